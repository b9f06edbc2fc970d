"""
Own what Meta's answer to a send means, and what follows from it: the reservation is named, given back, or stays.

A 2xx whose message has no name that can be read says so aloud, and waits for its statuses to name it. It and whatever else may have
been sent without an answer ends by itself.

What the ledger cannot be told then, because it is away, is told when it is back: a send that failed does not hold its money for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import structlog

from gatekeeper.core.errors import LedgerError
from gatekeeper.engine import Decided, Engine
from gatekeeper.meta.responses import Answer, decode_answer
from gatekeeper.server.drift import log_drifts
from gatekeeper.server.http import TooLarge, UnknownEncoding, unpacked
from gatekeeper.server.line import MOST_ANSWER, UpstreamAnswer
from gatekeeper.telemetry import ANSWER_UNNAMED, FAULT, SEND_LAPSED, Metrics

_GZIP, _MAGIC = "gzip", b"\x1f\x8b"
_LAPSE_EVERY_S = 60.0
_OK, _REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500
_PAUSE_S = 0.1
MOST_OWED = 10_000
_LONGEST_LOGGED = 64


class Fate(StrEnum):
    """What an answer says of its send."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Unnaming(StrEnum):
    """Why a 2xx answer names no message: it is packed in what is not read, or not in what it says, or too large; or it is read."""

    ENCODING = "encoding"
    BROKEN = "broken"
    TOO_LARGE = "too_large"
    NO_MESSAGE = "no_message"


class Aftermath:
    """Follows up what Meta answers."""

    def __init__(self, engine: Engine, metrics: Metrics, log: Any, now: Callable[[], int]) -> None:
        self._engine = engine
        self._unnamed = {why: metrics.unnamed_answers.labels(why) for why in Unnaming}
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now
        self._owed = deque[Callable[[], Awaitable[object]]]()
        self._due = asyncio.Event()

    async def make_up(self) -> None:
        """Tell the ledger what it could not be told, as soon as it can be; until cancelled."""
        while True:
            await self._due.wait()
            await asyncio.sleep(_PAUSE_S)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Tell it now, once round; what it cannot be told even now stays for later."""
        for _ in range(len(self._owed)):
            tell = self._owed.popleft()
            try:
                await tell()
            except asyncio.CancelledError:
                self._owed.appendleft(tell)  # whoever stops us catches up
                raise
            except LedgerError as error:
                if error.retryable:
                    self._owed.append(tell)
            except Exception as error:  # noqa: BLE001 - one that is broken costs the others nothing
                self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
        if not self._owed:
            self._due.clear()

    def owe(self, tell: Callable[[], Awaitable[object]]) -> None:
        """Keep it for later; the oldest of too many is given up, and what it held stays held."""
        if len(self._owed) >= MOST_OWED:
            self._owed.popleft()
            self._log.warning(
                FAULT, source=LedgerError.source, what="an answer was given up", error="too many wait for the ledger"
            )
        self._owed.append(tell)
        self._due.set()

    async def followed_up(
        self, decided: Decided | None, answer: UpstreamAnswer, *, decision_id: str
    ) -> tuple[Fate, Answer | None]:
        """
        Name or give back what the send reserved; what Meta answered comes back as far as it can be read.

        An error in Graph's shape says that nothing was sent. A 5xx without that shape says nothing: the reservation stays until a
        status names the message, or it lapses.
        """
        read, why = _understood(answer)
        fate = _fate(answer, read)
        if fate is Fate.TAKEN and (read is None or read.wamid is None) and _sends(decided, read):
            self._say_unnamed(answer, why or Unnaming.NO_MESSAGE, decision_id)
        if decided is None:
            return fate, read
        now = self._now()

        async def tell() -> None:
            if fate is Fate.REFUSED:
                await self._engine.released(decided, now=now)
            elif fate is Fate.TAKEN:
                log_drifts(self._log, await self._engine.accepted(decided, read or Answer(), now=now))
            else:
                await self._engine.unanswered(decided, taken=False, now=now)

        await self._told(tell, "the answer could not be kept", decided)
        return fate, read

    async def released(self, decided: Decided | None) -> None:
        """Give back what a send reserved that never went out."""
        if decided is not None:
            now = self._now()
            await self._told(lambda: self._engine.released(decided, now=now), "a reservation could not be released", decided)

    async def unanswered(self, decided: Decided | None) -> None:
        """Let what may have arrived wait for its statuses: nobody answered it."""
        if decided is not None:
            tell = self._unanswered(decided)
            await self._told(tell, "a send without an answer could not be kept", decided)

    def broken_off(self, decided: Decided | None) -> None:
        """As `unanswered`, for a course that is cancelled and waits for nothing any more."""
        if decided is not None:
            self.owe(self._unanswered(decided))

    async def lapse(self) -> None:
        """Give back what no status has named in time, whichever gate it was reserved by; until cancelled."""
        while True:
            try:
                for decision_id in await self._engine.unnamed.lapse(now=self._now()):
                    self._log.warning(SEND_LAPSED, id=decision_id)
            except LedgerError:
                pass  # it says so itself, and the next look is soon enough
            except Exception as error:  # noqa: BLE001 - a bug of ours must not stop the gate
                self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
            await asyncio.sleep(_LAPSE_EVERY_S)

    def _unanswered(self, decided: Decided) -> Callable[[], Awaitable[object]]:
        now = self._now()
        return lambda: self._engine.unanswered(decided, taken=False, now=now)

    async def _told(self, tell: Callable[[], Awaitable[object]], what: str, decided: Decided) -> None:
        try:
            await tell()
        except LedgerError as error:
            if error.retryable:
                self.owe(tell)
            self._log.warning(FAULT, source=error.source, what=what, error=str(error), id=decided.facts.id)
        except Exception as error:  # noqa: BLE001 - what Meta answered is the caller's whatever becomes of ours
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, id=decided.facts.id, exc_info=error)

    def _say_unnamed(self, answer: UpstreamAnswer, why: Unnaming, decision_id: str) -> None:
        self._unnamed[why].inc()
        packed = _packed(answer)[:_LONGEST_LOGGED]
        self._log.warning(
            ANSWER_UNNAMED, id=decision_id, why=why, status=answer.status, encoding=packed or None, bytes=len(answer.body)
        )


def _fate(answer: UpstreamAnswer, read: Answer | None) -> Fate:
    good = _OK <= answer.status < _REDIRECT
    if good and read is not None and read.wamid is not None:  # whatever else it says: its statuses will tell
        return Fate.TAKEN
    if (read is not None and read.error_code is not None) or _CLIENT_ERROR <= answer.status < _SERVER_ERROR:
        return Fate.REFUSED
    return Fate.TAKEN if good else Fate.UNKNOWN


def _sends(decided: Decided | None, read: Answer | None) -> bool:
    """Whether an answer should name a message: that to a read receipt does not."""
    return decided.plan.sent.is_message if decided is not None else not (read is not None and read.success)


def _packed(answer: UpstreamAnswer) -> str:
    return ",".join([value for name, value in answer.headers if name.lower() == "content-encoding"])


def _understood(answer: UpstreamAnswer) -> tuple[Answer | None, Unnaming | None]:
    """
    Read an answer whatever it is packed in; it goes back as it came. Why it cannot be unpacked, if so.

    A header may be wrong of it: what cannot be unpacked as it says may be JSON as it is, or gzip without a word.
    """
    packed, body, why = _packed(answer), answer.body, None
    if packed:
        try:
            body = unpacked(body, packed, MOST_ANSWER)
        except TooLarge:
            return None, Unnaming.TOO_LARGE
        except UnknownEncoding:
            why = Unnaming.ENCODING
        except ValueError:
            why = Unnaming.BROKEN
    read = decode_answer(body)
    if read is None and body.startswith(_MAGIC):
        with contextlib.suppress(TooLarge, ValueError):
            read = decode_answer(unpacked(body, _GZIP, MOST_ANSWER))
    return read, why
