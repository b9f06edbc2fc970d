"""
Own the way to one node of Redis: what is asked in one turn of the event loop goes there in one round trip.

A node that does not answer in time, or that cannot serve, is a `LedgerError` for whoever asked it, and so is every question after
that until a probe gets through: while a node is away, nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import hiredis
import redis.asyncio as redis
from redis.exceptions import ClusterDownError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from gatekeeper.core.errors import LedgerError
from gatekeeper.ledger import keys
from gatekeeper.ledger.patience import in_time

PROBE_S = 0.5
_CLOSED = "the ledger is closed"
MOST = 100  # commands of one trip: answered well within the time-out, and others wait behind them
_ENOUGH = 16  # for a trip that does not wait for the end of the turn
_TRIPS = 2  # on their way at once: while one is answered the next is written
_UNABLE = (ClusterDownError, OutOfMemoryError, ReadOnlyError)
# What redis-py has no class for; before Redis 7 the error of a script has it in its middle.
_UNABLE_WORDS = re.compile(r"^(BUSY|UNKILLABLE) |(^|-)(MISCONF|NOREPLICAS|OOM|READONLY) ")

Command = tuple[str | bytes | int, ...]


class _Unit:
    """What one caller asks, of one slot: never torn apart."""

    __slots__ = ("answers", "commands", "key")

    def __init__(self, key: str, commands: Sequence[Command], answers: asyncio.Future[list[Any]]) -> None:
        self.key = key
        self.commands = _packed(commands)
        self.answers = answers


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
        self.up = True
        self.why = ""
        """Why it was lost when it last was."""
        self._pool = pool
        self._timeout = timeout_s
        self._on_change = on_change
        self._probe = probe
        self._first, self._then = deque[_Unit](), deque[_Unit]()
        self._closed = False
        self._kept: Any = None  # the connection that was used last: giving it back each time costs more than a question
        self._going = 0
        self._due = False
        self._tasks = set[asyncio.Task[None]]()

    async def ask(self, key: str, commands: Sequence[Command], *, behind: bool = False) -> list[Any]:
        """
        Run commands on keys of the slot of *key*, one behind the other; an error that Redis answers is its command's answer.

        *behind*: whoever is in a hurry goes first. LedgerError: the node is away.
        """
        if not self.up:
            raise LedgerError(f"the ledger is away: {self.why}")
        if self._closed:
            raise LedgerError(_CLOSED)
        if not (self._going or self._first or self._then):
            return await self._alone(key, commands)
        loop = asyncio.get_running_loop()
        unit = _Unit(key, commands, loop.create_future())
        waiting = self._then if behind else self._first
        waiting.append(unit)
        if self._going < _TRIPS:
            if len(waiting) >= _ENOUGH:  # Redis is at work on these while the others are made up
                self._set_out()
            elif not self._due:
                self._due = True
                loop.call_soon(self._set_out)
        return await unit.answers

    async def direct(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands at once and whether the node is thought to be there or not; RedisError or OSError when it is not."""
        async with in_time(self._timeout):
            return await self._travel(_packed(commands))

    async def close(self) -> None:
        """Drop every connection, and whoever still waits."""
        self._closed = True
        self._fail(_CLOSED)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with contextlib.suppress(RedisError, OSError):
            await self._pool.disconnect()

    async def _alone(self, key: str, commands: Sequence[Command]) -> list[Any]:
        """Ask at once, without a task for it: whoever comes meanwhile goes with the next trip."""
        self._going += 1
        try:
            async with in_time(self._timeout, pressed=self._presses):
                answers = await self._travel(_packed(commands))
        except Exception as error:  # noqa: BLE001 - as for a trip
            raise LedgerError(self._lost(key, error)) from None
        finally:
            self._going -= 1
            self._set_out()
        unable = next((answer for answer in answers if _is_unable(answer)), None)
        if unable is not None:
            raise LedgerError(self._lost(key, unable))
        return answers

    def _presses(self) -> bool:
        """Whether somebody in a hurry waits."""
        return bool(self._first)

    def _set_out(self) -> None:
        """Let as many trips begin as there is need and room for."""
        self._due = False
        while self._going < _TRIPS and (units := self._next()):
            self._going += 1
            self._start(self._trip(units)).add_done_callback(partial(self._ended, units))

    def _ended(self, units: list[_Unit], _trip: asyncio.Task[None]) -> None:
        """Whoever has no answer by now gets none: a trip that is cancelled before its first step cannot say so itself."""
        self._fail(_CLOSED, units)

    def _next(self) -> list[_Unit]:
        """The next to go together."""
        units, size = list[_Unit](), 0
        while waiting := self._first or self._then:
            if units and size + len(waiting[0].commands) > MOST:
                break
            unit = waiting.popleft()
            if not unit.answers.done():  # nobody waits for it any more
                units.append(unit)
                size += len(unit.commands)
        return units

    async def _trip(self, units: list[_Unit]) -> None:
        try:
            async with in_time(self._timeout, pressed=self._presses):
                answers = await self._travel([packed for unit in units for packed in unit.commands])
        except Exception as error:  # noqa: BLE001 - whatever the client breaks on, those who asked must hear of it
            self._fail(self._lost(units[0].key, error), units)
        else:
            self._arrived(units, answers)
        finally:
            self._going -= 1
            self._set_out()

    def _arrived(self, units: list[_Unit], answers: list[Any]) -> None:
        start = 0
        for unit in units:
            end = start + len(unit.commands)
            own, start = answers[start:end], end
            unable = next((answer for answer in own if _is_unable(answer)), None)
            if unable is not None:
                self._fail(self._lost(unit.key, unable), [unit])
            elif not unit.answers.done():
                unit.answers.set_result(own)

    async def _travel(self, packed: list[bytes]) -> list[Any]:
        connection, self._kept = self._kept, None
        if connection is None:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await self._pool.ensure_connection(connection)
            await connection.send_packed_command(packed, check_health=False)
            answers = [await _read(connection) for _ in packed]
        except BaseException:  # RuntimeError too: uvloop's word for a connection that was closed under us
            await connection.disconnect(nowait=True)  # what it answers later is nobody's
            await self._pool.release(connection)
            raise
        if self._kept is None and self.up:
            self._kept = connection
        else:
            await self._pool.release(connection)
        return answers

    def _lost(self, key: str, error: Exception) -> str:
        """Leave the node alone until it serves again; why, in words."""
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self._fail(said)
        if self.up and not self._closed:
            self.up, self.why = False, said
            self._start(self._recover(key))
            self._on_change()
        return said

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
                self.up = await self._probe(key)
        self._on_change()

    def _start(self, going: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(going)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def probing(key: str) -> Command:
    """The command that sees whether anything can be written where *key* is."""
    tag = key.partition("{")[2].partition("}")[0]
    return "SET", keys.probe(tag), 1, "PX", keys.PROBE_MS


def _packed(commands: Sequence[Command]) -> list[bytes]:
    return [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub has no unions


def _is_unable(answer: Any) -> bool:
    return isinstance(answer, _UNABLE) or (isinstance(answer, ResponseError) and _UNABLE_WORDS.search(str(answer)) is not None)


async def _read(connection: Any) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
