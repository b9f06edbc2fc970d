"""
Own what Meta's answer to a send means, and what follows from it: the reservation is named, given back, or stays.

What the ledger cannot be told then, because it is away, is told when it is back: a send that failed does not hold its money for ever.
"""

from __future__ import annotations

import asyncio
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
from gatekeeper.telemetry import FAULT

_OK, _REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500
_PAUSE_S = 0.1
MOST_OWED = 10_000


class Fate(StrEnum):
    """What an answer says of its send."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Aftermath:
    """Follows up what Meta answers."""

    def __init__(self, engine: Engine, log: Any, now: Callable[[], int]) -> None:
        self._engine = engine
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

    async def followed_up(self, decided: Decided | None, answer: UpstreamAnswer) -> tuple[Fate, Answer | None]:
        """
        Name or give back what the send reserved; what Meta answered comes back as far as it can be read.

        An error in Graph's shape says that nothing was sent. A 5xx without that shape says nothing, so the reservation stays.
        """
        read = _understood(answer)
        fate = _fate(answer, read)
        if decided is None:
            return fate, read
        now = self._now()

        async def tell() -> None:
            if fate is Fate.REFUSED:
                await self._engine.released(decided, now=now)
            elif fate is Fate.TAKEN and read is not None:
                log_drifts(self._log, await self._engine.accepted(decided, read, now=now))

        try:
            await tell()
        except LedgerError as error:
            if error.retryable:
                self.owe(tell)
            self._log.warning(
                FAULT, source=error.source, what="the answer could not be kept", error=str(error), id=decided.facts.id
            )
        except Exception as error:  # noqa: BLE001 - Meta has answered, and that answer is the caller's whatever becomes of ours
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, id=decided.facts.id, exc_info=error)
        return fate, read

    async def released(self, decided: Decided | None) -> None:
        """Give back what a send reserved that never went out."""
        if decided is None:
            return
        now = self._now()
        try:
            await self._engine.released(decided, now=now)
        except LedgerError as error:
            if error.retryable:
                self.owe(lambda: self._engine.released(decided, now=now))
            self._log.warning(
                FAULT, source=error.source, what="a reservation could not be released", error=str(error), id=decided.facts.id
            )


def _fate(answer: UpstreamAnswer, read: Answer | None) -> Fate:
    if (read is not None and read.error_code is not None) or _CLIENT_ERROR <= answer.status < _SERVER_ERROR:
        return Fate.REFUSED
    return Fate.TAKEN if _OK <= answer.status < _REDIRECT else Fate.UNKNOWN


def _understood(answer: UpstreamAnswer) -> Answer | None:
    """Read an answer whatever it is packed in; it goes back as it came."""
    packed = ",".join(value for name, value in answer.headers if name.lower() == "content-encoding")
    try:
        return decode_answer(unpacked(answer.body, packed, MOST_ANSWER) if packed else answer.body)
    except (TooLarge, UnknownEncoding, ValueError):
        return None
