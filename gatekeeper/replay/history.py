"""Own a recorded history: JSON lines in the order of their time, each a webhook, a send, or what of a free tier was used."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import msgspec
from tqdm import tqdm

from gatekeeper.core.errors import InputError
from gatekeeper.meta import events as meta
from gatekeeper.meta.responses import Answer, decode_answer
from gatekeeper.meta.webhooks import NotAWebhook, events_of

_LAST_SECOND = 10**11


class Fate(StrEnum):
    """What a history says became of a send."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    UNSAID = "unsaid"


class Sent(msgspec.Struct, kw_only=True):
    """
    A history's `send`. Without a `wamid` Meta refused it, and nothing is held.

    *unanswered*: Meta never answered it, because the gate of that time had blocked it or because the answer was lost. Where such a
    send goes out it holds what it takes, and nothing ever settles it.
    """

    id: str
    path: str
    body: msgspec.Raw
    caller: str = ""
    wamid: str | None = None
    response: msgspec.Raw = msgspec.Raw()  # in a union with None it would take null alone
    unanswered: bool = False

    @property
    def answer(self) -> Answer:
        """Meta's answer, as far as the history has it."""
        answer = decode_answer(bytes(self.response)) or Answer()
        return answer if self.wamid is None else msgspec.structs.replace(answer, wamid=self.wamid)

    @property
    def fate(self) -> Fate:
        """What became of it."""
        answer = self.answer
        if answer.wamid is not None:
            return Fate.TAKEN
        if self.unanswered:
            return Fate.UNANSWERED
        return Fate.UNSAID if answer.error_code is None else Fate.REFUSED


class FreeUsed(msgspec.Struct, kw_only=True):
    """A history's `free_used`."""

    count: Annotated[int, msgspec.Meta(ge=0)]
    waba_id: str = ""
    phone_number_id: str = ""


class _Written(msgspec.Struct, kw_only=True):
    at: int | float
    webhook: Any = None
    send: Sent | None = None
    free_used: FreeUsed | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a history: when it was (as it is written, and in Unix milliseconds), and one of the three things that it may be."""

    at: float
    now: int
    happened: Sent | FreeUsed | Sequence[meta.Event]


Take: TypeAlias = Callable[[Line], Awaitable[None]]
_decode = msgspec.json.Decoder(_Written).decode


async def walked(source: Iterable[bytes], name: str, take: Take, *, total: int | None = None) -> None:
    """Hand every line of a history to *take*, one after the other; InputError names *name* and the line that is wrong."""
    latest = float("-inf")
    with tqdm(total=total, unit="B", unit_scale=True, disable=None, file=sys.stderr, leave=False) as progress:
        for number, text in enumerate(source, 1):
            try:
                if text.strip():
                    line = _read(text, latest)
                    latest = line.at
                    await take(line)
            except (InputError, LookupError) as error:
                raise InputError(f"{name}: line {number}: {error}") from None
            progress.update(len(text))


def _read(text: bytes, latest: float) -> Line:
    """Read a line that is not older than *latest*; InputError."""
    try:
        line = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(str(error)) from None
    if sum(part is not None for part in (line.webhook, line.send, line.free_used)) != 1:
        raise InputError("has to hold one of webhook, send and free_used")
    if not 0 <= line.at < _LAST_SECOND:
        raise InputError(f"at {line.at} is not a time in Unix seconds")
    if line.at < latest:
        raise InputError(f"at {line.at} is before the line above it, at {latest}")
    try:
        happened = line.send or line.free_used or events_of(line.webhook)
    except NotAWebhook as error:
        raise InputError(f"webhook: {error}") from None
    return Line(at=line.at, now=round(line.at * 1000), happened=happened)
