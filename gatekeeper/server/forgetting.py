"""Own `POST /v1/forget`: a person is erased from the ledger, under all names, and it is said how much there was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from aiohttp import web

from gatekeeper.core.errors import LedgerError
from gatekeeper.core.persons import Person
from gatekeeper.core.recipients import canonical, exactness, masked
from gatekeeper.engine import Engine
from gatekeeper.engine.holding import Request, insisted
from gatekeeper.ledger.forgetting import Forgetting, Readers
from gatekeeper.meta import events as meta
from gatekeeper.meta.mentions import of_wamid, users
from gatekeeper.meta.paths import gated
from gatekeeper.server.http import TooLarge, UnknownEncoding, unpacked
from gatekeeper.server.line import MOST_ANSWER
from gatekeeper.server.repeats import Kept
from gatekeeper.settings import EMBEDDED
from gatekeeper.telemetry import FORGOTTEN

KINDS = ("threads", "messages", "statuses", "texts", "answers", "counters")
_JSON = "application/json"


class _Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to forget; *phone_number_id*: as that number knows them alone."""

    recipient: str
    phone_number_id: str = ""


_wish = msgspec.json.Decoder(_Wish).decode
_status = msgspec.msgpack.Decoder(meta.Status).decode
_kept = msgspec.msgpack.Decoder(Kept).decode
_request = msgspec.msgpack.Decoder(Request).decode


class Erasure:
    """Erases persons, one after the other."""

    def __init__(self, engine: Engine, log: Any) -> None:
        self._engine = engine
        self._log: structlog.stdlib.BoundLogger = log
        self._one = asyncio.Lock()

    async def answer(self, request: web.Request) -> web.Response:
        """Forget whom the body names."""
        if request.content_type != _JSON:  # what a web page may send from a browser on this machine without being asked
            raise web.HTTPUnsupportedMediaType(text=f"Send the wish as {_JSON}.")
        try:
            wish = _wish(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise web.HTTPBadRequest(text=f"The body does not say whom to forget: {error}") from None
        name, number = canonical(wish.recipient), wish.phone_number_id
        if exactness(name) is None:
            raise web.HTTPBadRequest(text="recipient is neither a phone number nor a business-scoped user id.")
        if number and not (number.isascii() and number.isdigit()):
            raise web.HTTPBadRequest(text="phone_number_id is an id of digits.")
        try:
            async with self._one:
                said = await self._forgotten(Person(name), number)
        except LedgerError as error:
            raise web.HTTPServiceUnavailable(text=f"The ledger is out of reach, so not all is forgotten: {error}") from None
        self._log.info(FORGOTTEN, recipient=masked(name), phone_number_id=number or None, rewrites=await self._rewrites(), **said)
        return web.json_response(body=msgspec.json.encode(said), status=HTTPStatus.OK)

    async def _forgotten(self, person: Person, number: str) -> dict[str, Any]:
        erased = await Forgetting(self._engine.ledger, READERS, person, number).forget()
        self._engine.directory.forget(person.names)
        return {"names": len(person.names), "erased": {kind: erased[kind] for kind in KINDS}}

    async def _rewrites(self) -> bool:
        """Whether the embedded ledger's file, which has every write in it until then, is being written anew."""
        if self._engine.settings.ledger.url != EMBEDDED:
            return False
        try:
            await insisted(self._engine.ledger.rewrite)  # not while it does so already
        except LedgerError:
            return False
        return True


def _of_status(packed: bytes) -> tuple[str, Iterable[str]]:
    status = _status(packed)
    named = (status.recipient_id, status.user_id, status.parent_user_id, status.participant_id)
    return status.phone_number_id, [*(canonical(name) for name in named if name), *of_wamid(status.wamid)]


def _of_answer(packed: bytes) -> Iterator[str]:
    kept = _kept(packed)
    said = {name.decode().lower(): value.decode(errors="replace") for name, value in kept.headers}
    yield from users(_plain(kept.body, said.get("content-encoding", "")))


def _of_text(request: bytes | None, wamid: bytes | None) -> tuple[str, Iterable[str]]:
    names = list(of_wamid(wamid.decode())) if wamid else []
    if not request:
        return "", names
    kept = _request(request)
    encoding = ",".join(value for name, value in kept.headers if name.lower() == "content-encoding")
    target = gated(kept.path)
    body = _plain(kept.body, encoding) + kept.path.encode(errors="replace")
    return target.phone_number_id if target else "", [*names, *users(body)]


def _plain(body: bytes, encoding: str) -> bytes:
    """A body without its content encoding; one that cannot be unpacked is nobody's but its sender's."""
    try:
        return unpacked(body, encoding, MOST_ANSWER)
    except (TooLarge, UnknownEncoding, ValueError):
        return body


READERS = Readers(status=_of_status, answer=_of_answer, text=_of_text)
