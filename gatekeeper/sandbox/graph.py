"""
Own the sandbox's HTTP: the part of the Graph API that a WhatsApp client uses, on a port of this machine.

One table says what is answered; everything else is Graph's own "unsupported request".
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.vocabulary import Refusal
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta.bodies import UnreadableBody, present, read, read_members
from gatekeeper.meta.lenient import integer, text
from gatekeeper.meta.sends import MalformedSend, decode_send
from gatekeeper.sandbox.catalogue import line
from gatekeeper.sandbox.courier import Courier
from gatekeeper.sandbox.customers import Customers
from gatekeeper.sandbox.listing import BadPage, listed
from gatekeeper.sandbox.media import Media, NotAnUpload, blank
from gatekeeper.sandbox.messages import Messages, Refused
from gatekeeper.server.bodies import read_body
from gatekeeper.server.connections import GraphServer
from gatekeeper.server.http import TooLarge, UnknownEncoding, unpacked
from gatekeeper.server.replies import refusal_reply
from gatekeeper.settings import Settings

PACE_S = 0.05
PAUSES_S = (0.1, 0.4, 1.6)
_CLOSING_S = 1.0
_MOST_BODY = 1 << 20
_JSON = "application/json; charset=UTF-8"
_CALLBACK = "biz_opaque_callback_data"

_UNAUTHORIZED = Refusal(
    code=190, title="Invalid OAuth access token", details="Send any token: the sandbox knows none from another.", http_status=401
)
_UNSUPPORTED = Refusal(code=100, title="Unsupported request", details="The sandbox has nothing at this path and method.")
_NO_OBJECT = Refusal(code=100, title="Unsupported request", details="This object does not exist, or was deleted.")
_BROKEN_OFF = Refusal(code=100, title="Invalid request", details="The request broke off.")

_Handler = Callable[["_Request"], Awaitable[web.StreamResponse]]


class _Request(msgspec.Struct, frozen=True):
    """A request, and the ids that its path names."""

    http: web.BaseRequest
    id: str
    api: str = ""


class Sandbox:
    """A Cloud API look-alike: sends, their webhooks, and customers that a person plays."""

    def __init__(
        self,
        *,
        book: Rulebook,
        ledger: Ledger,
        settings: Settings,
        app_secret: str,
        webhook_url: str,
        now: Callable[[], int],
        log: structlog.stdlib.BoundLogger,
        pace: float = PACE_S,
        pauses: tuple[float, ...] = PAUSES_S,
    ) -> None:
        """*pace*: seconds between a message's statuses; *pauses*: seconds before each repetition of a refused webhook."""
        self._gate_url = webhook_url.removesuffix(settings.webhook.path)
        self._courier = Courier(webhook_url, app_secret, log, pauses=pauses)
        self._messages = Messages(book=book, ledger=ledger, settings=settings, courier=self._courier, now=now, pace=pace)
        self._customers = Customers(self._messages)
        self._media = Media()
        self._most_body = max(_MOST_BODY, settings.server.max_body)
        self._runner = web.ServerRunner(GraphServer(self._answer), shutdown_timeout=_CLOSING_S)
        self.base_url = ""
        self._routes: list[tuple[str, re.Pattern[str], _Handler]] = [
            ("POST", _path(r"/(?P<id>\d+)/(?P<api>messages|marketing_messages)"), self._send),
            ("POST", _path(r"/(?P<id>\d+)/media"), self._upload),
            ("GET", _path(r"/(?P<id>\d+)/message_templates"), self._templates),
            ("GET", _path(r"/(?P<id>\d+)/download"), self._download),
            ("GET", _path(r"/(?P<id>\d+)"), self._look_up),
            ("DELETE", _path(r"/(?P<id>\d+)"), self._delete),
        ]

    async def start(self) -> None:
        """Listen on a free port of this machine; from now on `base_url` names it."""
        await self._courier.start()
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0]
        self.base_url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening, and drop the webhooks that are still to come."""
        await self._runner.cleanup()
        await self._courier.stop()

    def follow(self, settings: Settings) -> None:
        """Adopt changed accounts and templates."""
        self._messages.follow(settings)

    def post_to(self, path: str, app_secret: str) -> None:
        """Post webhooks to this path of the gate from now on, and sign them by this secret."""
        self._courier.follow(self._gate_url + path, app_secret)

    def customer_routes(self) -> list[web.RouteDef]:
        """What the admin listener adds, so that a person can play the customer."""
        return self._customers.routes()

    async def _answer(self, http: web.BaseRequest) -> web.StreamResponse:
        if not _authorized(http):
            return _refused(_UNAUTHORIZED)
        for method, path, handler in self._routes:
            found = path.fullmatch(http.path)
            if found and http.method == method:
                try:
                    return await handler(_Request(http, **found.groupdict()))
                except (ConnectionError, HttpProcessingError):
                    return _refused(_BROKEN_OFF)
        return _refused(_UNSUPPORTED)

    async def _send(self, request: _Request) -> web.StreamResponse:
        http, kind = request.http, request.http.headers.get("Content-Type", "")
        try:
            body = await self._body(http)
            send = decode_send(body, content_type=kind, marketing_api=request.api == "marketing_messages")
            return _json(await self._messages.send(send, request.id, _callback(body, kind)))
        except MalformedSend as error:
            return _refused(Refusal(code=error.code, title=error.title, details=error.details))
        except Refused as error:
            return _refused(error.refusal, details=error.details)

    async def _body(self, http: web.BaseRequest) -> bytes:
        try:
            return unpacked(await read_body(http, self._most_body), http.headers.get("Content-Encoding"), self._most_body)
        except TooLarge:
            raise Refused(_malformed(f"The body is larger than {self._most_body} bytes.", http_status=413)) from None
        except (UnknownEncoding, ValueError):
            raise Refused(_malformed("The body is not what its Content-Encoding says.")) from None

    async def _templates(self, request: _Request) -> web.StreamResponse:
        templates = self._messages.catalogue.templates(request.id)
        address = self.base_url + request.http.path
        try:
            return _json(listed(templates, request.id, request.http.query, address))
        except BadPage as error:
            return _refused(_malformed(str(error)))

    async def _look_up(self, request: _Request) -> web.StreamResponse:
        """Tell of a file, or of a phone number: any number exists."""
        if not self._media.is_id(request.id):
            number = line(request.id)
            shown = f"+{number[0]} {number[1:4]}-{number[4:7]}-{number[7:]}"
            return _json({"verified_name": "Sandbox", "display_phone_number": shown, "id": request.id})
        medium = self._media.find(request.id)
        if medium is None:
            return _refused(_NO_OBJECT)
        return _json(
            {
                "messaging_product": "whatsapp",
                "url": f"{self.base_url}/{medium.id}/download",
                "mime_type": medium.mime_type,
                "sha256": medium.sha256,
                "file_size": medium.size,
                "id": medium.id,
            }
        )

    async def _upload(self, request: _Request) -> web.StreamResponse:
        try:
            return _json({"id": (await self._media.upload(request.http)).id})
        except NotAnUpload as error:
            return _refused(_malformed(str(error)))

    async def _download(self, request: _Request) -> web.StreamResponse:
        """As many blank bytes as the file had, or as `size` asks for."""
        medium = self._media.find(request.id)
        if medium is None:
            return _refused(_NO_OBJECT)
        size = integer(request.http.query.get("size", medium.size))
        if size is None or size < 0:
            return _refused(_malformed("The parameter size must be a number of bytes."))
        return await _streamed(request.http, blank(size), size, medium.mime_type)

    async def _delete(self, request: _Request) -> web.StreamResponse:
        return _json({"success": True}) if self._media.delete(request.id) else _refused(_NO_OBJECT)


def _path(pattern: str) -> re.Pattern[str]:
    """A path with or without the version in front."""
    return re.compile(rf"(?:/v\d+\.\d+)?{pattern}/?", re.ASCII)


def _authorized(http: web.BaseRequest) -> bool:
    scheme, _, token = http.headers.get("Authorization", "").partition(" ")
    return bool(scheme.lower() == "bearer" and token.strip()) or bool(http.query.get("access_token"))


def _callback(body: bytes, content_type: str) -> str | None:
    """What the caller wants to read again in every status."""
    raw = read_members(body, content_type).get(_CALLBACK)
    if raw is None or not present(raw):
        return None
    try:
        return text(read(raw))
    except UnreadableBody:  # a form's plain string
        return bytes(raw).decode()


def _malformed(details: str, http_status: int = 400) -> Refusal:
    return Refusal(code=100, title="Invalid parameter", details=details, http_status=http_status)


def _refused(refusal: Refusal, details: str | None = None) -> web.Response:
    return refusal_reply(refusal, trace="A" + secrets.token_urlsafe(16), details=details).response()


def _json(said: dict[str, Any]) -> web.Response:
    return web.Response(body=msgspec.json.encode(said), headers={"Content-Type": _JSON})


async def _streamed(http: web.BaseRequest, chunks: AsyncIterator[bytes], size: int, mime_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": mime_type, "Content-Length": str(size)})
    await response.prepare(http)
    with contextlib.suppress(ConnectionError):  # whoever asked may have heard enough
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
    return response
