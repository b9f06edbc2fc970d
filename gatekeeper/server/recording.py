"""
Own the recorded history: each send and webhook is a line that `gatekeeper replay` reads, in the order of their time.

A send has its place in the history from when it is decided, and its line is written once it is known what Meta answered. All writing
is done in a thread of its own, so a slow disk delays nobody: what there is no room for is dropped, counted, and said.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import structlog

from gatekeeper.core.errors import ConfigError
from gatekeeper.core.markets import Markets
from gatekeeper.core.pseudonyms import Pseudonyms
from gatekeeper.meta.lenient import Json
from gatekeeper.meta.redaction import Names, Plain
from gatekeeper.server.rotation import Line, Rotation
from gatekeeper.settings import Recipients, Record
from gatekeeper.telemetry import RECORD_DROPPED, RECORD_RESUMED, RECORD_STARTED, Metrics

_MOST = 50_000  # sends and events that wait to be written
_AT_ONCE = 500  # lines
_PATIENCE_S = 5.0  # how long everything behind a send waits for what Meta answers it
_STOPPING_S = 5.0
_QUIET_S = 60.0  # without a loss, before one is said to be over
_SECOND = 1000
_encode = msgspec.json.Encoder().encode

Say: TypeAlias = Callable[[Names], Iterable[Json]]
"""What is written of something that happened: none, one or several lines without their time."""


class Place:
    """A place in the history, for something that is happening."""

    def __init__(self, recording: Recording, at: int, weight: int, begun: float) -> None:
        self._recording = recording
        self.at = at
        self.weight = weight
        self.begun = begun
        self.say: Say | None = None
        self.ended = False
        self.passed = False

    def end(self, say: Say) -> None:
        """It happened, and this is what is written of it."""
        if not self.ended:
            self.say, self.ended = say, True
            self._recording.ended(self)

    def withdraw(self) -> None:
        """It did not happen."""
        self.end(_nothing)


class Recording:
    """Writes the history."""

    def __init__(self, settings: Record, markets: Markets, metrics: Metrics, log: Any, now: Callable[[], int]) -> None:
        self._path = settings.path
        self._key = settings.key
        self._recipients = settings.recipients
        self._names: Names = Plain()
        if settings.recipients is Recipients.PSEUDONYMISED:
            self._names = Pseudonyms(settings.key or secrets.token_hex(32), markets)
        self._files = Rotation(Path(settings.path), most=settings.max_file, keep=settings.keep)
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now
        self._places: deque[Place] = deque()
        self._inbox: queue.SimpleQueue[Place | None] = queue.SimpleQueue()
        self._waiting = 0
        self._latest = 0
        self._dropped = 0
        self._dropped_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """Write until the block ends, and then what is left; ConfigError: the folder cannot be written to."""
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._files.prepare)
        except OSError as error:
            raise ConfigError(f"$.record.path: cannot write to {self._path}: {error.strerror}") from None
        thread = threading.Thread(target=self._write, name="record", daemon=True)  # a disk that hangs keeps nobody from ending
        thread.start()
        key = "set" if self._key else "of this process"
        self._log.info(RECORD_STARTED, path=self._path, recipients=self._recipients, key=key)
        try:
            yield
        finally:
            self._flow(whole=True)
            self._inbox.put(None)
            await asyncio.to_thread(thread.join, _STOPPING_S)
            self._loop = None

    def begin(self, now: int, weight: int = 1) -> Place:
        """Take the next place in the history; *weight*: how many things happen there."""
        self._latest = max(self._latest, now)  # a clock that is set back does not turn the history round
        place = Place(self, self._latest, weight, time.monotonic())
        if self._waiting + weight > _MOST:
            place.ended = True  # nobody hears of it
            self._drop("full", 1)
            return place
        self._waiting += weight
        self._places.append(place)
        return place

    def ended(self, place: Place) -> None:
        """Hand on what is complete; one that everything else went past gets a new place at the end."""
        if place.passed:
            place.at = self._latest = max(self._latest, self._now())
            self._places.append(place)
        self._flow()

    def _flow(self, *, whole: bool = False) -> None:
        """Hand to the writer what has ended, in order; *whole*: whatever has."""
        while self._places:
            head = self._places[0]
            if not head.ended and not whole and time.monotonic() - head.begun < _PATIENCE_S:
                return
            self._places.popleft()
            head.passed = not head.ended
            if head.ended:
                self._inbox.put(head)

    # ------------------------------------------------------------------------------------------------------ in the thread

    def _write(self) -> None:
        """Write what is handed over until None is."""
        while True:
            batch, last = self._batch()
            lines: list[Line] = []
            faults = 0
            fault: Exception | None = None
            for place in batch:
                try:
                    lines += [_line(place.at, said) for said in (place.say or _nothing)(self._names)]
                except Exception as error:  # noqa: BLE001 - a bug in what is kept must not end the record
                    faults, fault = faults + 1, error
            written, failed = self._files.write(lines) if lines else (0, None)
            self._tell(sum(place.weight for place in batch), written, len(lines) - written + faults, failed or fault)
            if last:
                with contextlib.suppress(OSError):  # it is mended at the next start
                    self._files.close()
                return

    def _batch(self) -> tuple[list[Place], bool]:
        """What there is, up to a bound, at least one; True: there will be no more."""
        found: list[Place] = []
        place = self._inbox.get()
        while place is not None:
            found.append(place)
            if len(found) == _AT_ONCE:
                return found, False
            try:
                place = self._inbox.get_nowait()
            except queue.Empty:
                return found, False
        return found, True

    def _tell(self, weight: int, written: int, lost: int, error: Exception | None) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before a slow disk did
                loop.call_soon_threadsafe(self._wrote, weight, written, lost, error)

    # -------------------------------------------------------------------------------------------------------- in the loop

    def _wrote(self, weight: int, written: int, lost: int, error: Exception | None) -> None:
        self._waiting -= weight
        self._metrics.record_lines.labels("written").inc(written)
        if lost or error is not None:
            self._drop("failed", lost, error)
        elif self._dropped and written and time.monotonic() - self._dropped_at >= _QUIET_S:
            self._log.info(RECORD_RESUMED, dropped=self._dropped)
            self._dropped = 0

    def _drop(self, why: str, lines: int, error: Exception | None = None) -> None:
        """Count what is lost, and say so once until lines are written again."""
        if not self._dropped:
            said = (error.strerror if isinstance(error, OSError) else None) or (error and type(error).__name__)
            self._log.error(RECORD_DROPPED, reason=why, path=self._path, error=said)
        self._dropped += max(lines, 1)
        self._dropped_at = time.monotonic()
        self._metrics.record_lines.labels(why).inc(lines)


def _nothing(_: Names) -> Iterable[Json]:
    return ()


def _line(at: int, said: Json) -> Line:
    seconds = at // _SECOND if at % _SECOND == 0 else at / _SECOND
    return Line(at, _encode({"at": seconds, **said}) + b"\n")
