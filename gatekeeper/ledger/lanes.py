"""
Own the way to one node of Redis: what is asked in one turn of the event loop goes there in one round trip.

A node that does not answer in time, or that cannot serve, is a `LedgerError` for whoever asked it, and so is every question after
that until a probe gets through: while a node is away, nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import hiredis
import redis.asyncio as redis
from redis.exceptions import RedisError

from gatekeeper.core.errors import LedgerError
from gatekeeper.ledger import keys
from gatekeeper.ledger.patience import LAST_S, STEPS, in_time
from gatekeeper.ledger.pipes import Pipe, asked_apart, is_unable

PROBE_S = 0.5
_CLOSED = "the ledger is closed"
MOST = 100  # commands of one caller at once: answered well within the time-out, and others wait behind them
_ENOUGH = 4  # for a trip that does not wait for the end of the turn
_FULL = 16  # commands, and whoever comes behind them goes with the next trip
_TRIPS = 4  # on their way at once: while one is answered others are written
_PASSES = 8  # trips that may leave before somebody who is not in a hurry: half of Redis is for those who are

Command = tuple[str | bytes | int, ...]


class _Unit:
    """What one caller asks, of one slot: never torn apart."""

    __slots__ = ("answers", "commands", "key")

    def __init__(self, key: str, commands: Sequence[Command], answers: asyncio.Future[list[Any]]) -> None:
        self.key = key
        self.commands = _packed(commands)
        self.answers = answers


class _Trip:
    """Units on their way together, what came back for them so far, and how much patience is left."""

    __slots__ = ("answers", "left", "questions", "units")

    def __init__(self, units: list[_Unit], left: int) -> None:
        self.units = units
        self.questions = [packed for unit in units for packed in unit.commands]
        self.answers: list[Any] = []
        self.left = left


class Lane:
    """One node."""

    def __init__(
        self,
        pool: redis.ConnectionPool,
        *,
        timeout_s: float,
        on_change: Callable[[], None],
        probe: Callable[[str], Awaitable[bool]],
    ) -> None:
        """*on_change* is told when the node is lost and when it is back. *probe* looks whether it serves a key again, or never will."""
        self._loop = asyncio.get_running_loop()  # kept: to ask for it costs a call of the system
        self.up = True
        self.why = ""
        """Why it was lost when it last was."""
        self._pool = pool
        self._timeout = timeout_s
        self._on_change = on_change
        self._probe = probe
        self._first, self._then = deque[_Unit](), deque[_Unit]()
        self._going = deque[_Trip]()
        self._pipe: Pipe | None = None
        self._opening = self._due = self._closed = False
        self._patience = STEPS
        self._passed = 0
        self._look: asyncio.TimerHandle | None = None
        self._tasks = set[asyncio.Task[None]]()

    async def ask(self, key: str, commands: Sequence[Command], *, behind: bool = False) -> list[Any]:
        """
        Run commands on keys of the slot of *key*, one behind the other; an error that Redis answers is its command's answer.

        *behind*: whoever is in a hurry goes first, though not for ever. LedgerError: the node is away.
        """
        if not self.up:
            raise LedgerError(f"the ledger is away: {self.why}")
        if self._closed:
            raise LedgerError(_CLOSED)
        if not commands:  # nothing would come back for it
            return []
        unit = _Unit(key, commands, self._loop.create_future())
        waiting = self._then if behind else self._first
        waiting.append(unit)
        if not self._going or (len(waiting) >= _ENOUGH and len(self._going) < _TRIPS):
            self._set_out()  # Redis is at work on these while the others are made up
        elif not self._due and len(self._going) < _TRIPS:
            self._due = True
            self._loop.call_soon(self._set_out)
        return await unit.answers

    async def direct(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands at once and whether the node is thought to be there or not; RedisError or OSError when it is not."""
        async with in_time(self._timeout):
            return await asked_apart(self._pool, _packed(commands))

    def retire(self) -> None:
        """Serve nobody any more."""
        self._closed = True
        self._hang_up(_CLOSED)
        self._fail(_CLOSED)

    async def close(self) -> None:
        """Drop every connection, and whoever still waits."""
        self.retire()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._hang_up(_CLOSED)  # what was being opened
        with contextlib.suppress(RedisError, OSError):
            await self._pool.disconnect()

    def _set_out(self) -> None:
        """Let as many trips begin as there is need and room for."""
        self._due = False
        while len(self._going) < _TRIPS and (self._first or self._then):
            if self._pipe is None:
                if not self._opening and not self._closed:
                    self._opening = True
                    self._start(self._open())
                return
            units = self._next()
            if units:
                self._going.append(trip := _Trip(units, self._patience + bool(self._look)))  # the first step may be half over
                if self._look is None:
                    self._look_later()
                try:
                    self._pipe.write(trip.questions)
                except Exception as error:  # noqa: BLE001 - uvloop's RuntimeError: a connection that was closed under us
                    self._broken(error)

    async def _open(self) -> None:
        """Connect, within the time that an answer has."""
        limit = in_time(self._timeout, pressed=lambda: len(self._first) > 1)
        try:
            async with limit:
                self._pipe = await Pipe.opened(self._pool, self._arrived, self._broken)
        except Exception as error:  # noqa: BLE001 - whatever the client breaks on, those who asked must hear of it
            self._lost(error, next((unit.key for unit in (*self._first, *self._then)), ""))
        finally:
            self._opening = False
        if self._closed:
            self._hang_up(_CLOSED)
        self._patience = max(limit.left, 1)
        self._set_out()
        self._patience = STEPS

    def _next(self) -> list[_Unit]:
        """The next to go together."""
        units, size, passed = list[_Unit](), 0, self._passed
        while waiting := (self._then if passed == _PASSES else self._first) or self._first or self._then:
            if units and size + len(waiting[0].commands) > _FULL:
                break
            if waiting is self._then:
                passed = -1
            unit = waiting.popleft()
            if not unit.answers.done():  # nobody waits for it any more
                units.append(unit)
                size += len(unit.commands)
        self._passed = passed + 1 if self._then else 0
        return units

    def _arrived(self, answers: list[Any]) -> None:
        """Hand out what came back, in the order in which it was asked."""
        for answer in answers:
            if not self._going:  # nobody asked
                self._broken(RedisError("an answer without a question"))
                return
            trip = self._going[0]
            trip.answers.append(answer)
            if len(trip.answers) == len(trip.questions):
                self._hand_out(trip)
                self._going.popleft()  # not before: whatever goes wrong, who has no answer is found here
        if not self._due:
            self._set_out()

    def _hand_out(self, trip: _Trip) -> None:
        start = 0
        for unit in trip.units:
            own = trip.answers[start : start + len(unit.commands)]
            start += len(own)
            for answer in own:
                if is_unable(answer):
                    self._fail(_said(answer), [unit])
                    self._lost(answer, unit.key)
                    break
            else:
                if not unit.answers.done():
                    unit.answers.set_result(own)

    def _looked(self) -> None:
        """A step of the time that an answer has is over: the oldest trip is out of it, or the next step begins."""
        self._look = None
        if not self._going:
            return
        for trip in self._going:
            trip.left -= 1
        oldest = self._going[0]
        if oldest.left <= 0 or (2 * oldest.left <= STEPS and self._first):  # others wait behind it
            self._look = self._loop.call_later(LAST_S, self._late, oldest)
        else:
            self._look_later()

    def _late(self, oldest: _Trip) -> None:
        """What had come by the end of the time has been read."""
        self._look = None
        if self._going and self._going[0] is oldest:
            self._broken(TimeoutError())
        elif self._going:
            self._look_later()

    def _look_later(self) -> None:
        self._look = self._loop.call_later(self._timeout / STEPS, self._looked)

    def _broken(self, error: Exception) -> None:
        """The connection is of no use any more: whoever waits for an answer gets none."""
        if self._going:
            key = self._going[0].units[0].key
            self._hang_up(_said(error))
            self._lost(error, key)
        else:  # nobody was asked anything, and the next one connects anew
            self._hang_up("")
            self._set_out()

    def _hang_up(self, said: str) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.drop()
        if self._look is not None:
            self._look.cancel()
            self._look = None
        while self._going:
            self._fail(said, self._going.popleft().units)

    def _lost(self, error: Exception, key: str) -> None:
        """Leave the node alone until it serves *key* again."""
        said = _said(error)
        self._fail(said)
        if self.up and not self._closed:
            self.up, self.why = False, said
            self._start(self._recover(key))
            self._on_change()

    def _fail(self, said: str, units: list[_Unit] | None = None) -> None:
        """Tell units, or all that wait, that there is no answer."""
        if units is None:
            units = [*self._first, *self._then]
            self._first.clear()
            self._then.clear()
        for unit in units:
            if not unit.answers.done():
                unit.answers.set_exception(LedgerError(said))

    async def _recover(self, key: str) -> None:
        """Ask every so often until the node serves again."""
        while not self.up:
            await asyncio.sleep(PROBE_S)
            with contextlib.suppress(Exception):  # whatever it is, the node is not there yet
                await self._pool.disconnect()  # to what was there before
                self._hang_up("the connection was dropped")
                self.up = await self._probe(key)
        self._on_change()

    def _start(self, going: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(going)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def probing(key: str) -> Command:
    """The command that sees whether anything can be written where *key* is."""
    tag = key.partition("{")[2].partition("}")[0]
    return "SET", keys.probe(tag), 1, "PX", keys.PROBE_MS


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _packed(commands: Sequence[Command]) -> list[bytes]:
    return [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub has no unions
