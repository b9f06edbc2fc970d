"""
Own the bytes of one connection to Redis: many questions written at once, and their answers in order.

redis-py makes the connection, with its TLS, its user and its Sentinels, and reads answers one by one for one caller. Here they are
read as they come, for all: a round trip costs a third of the time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import hiredis
import redis.asyncio as redis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ClusterDownError, InvalidResponse, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as Lost

_MORE = object()
_UNABLE = (ClusterDownError, OutOfMemoryError, ReadOnlyError)
# What redis-py has no class for; before Redis 7 the error of a script has it in its middle.
_UNABLE_WORDS = re.compile(r"^(BUSY|UNKILLABLE) |(^|-)(MISCONF|NOREPLICAS|OOM|READONLY) ")


class Pipe(asyncio.Protocol):
    """One connection, greeted and logged in."""

    def __init__(self, connection: Any, arrived: Callable[[list[Any]], None], lost: Callable[[Exception], None]) -> None:
        """*connection* is redis-py's, which is left without its streams. *arrived* is told of answers, *lost* of the end."""
        self._arrived, self._lost = arrived, lost
        errors = DefaultParser.parse_error
        self._answers = hiredis.Reader(protocolError=InvalidResponse, replyError=errors, notEnoughData=_MORE)
        self._writer = connection._writer  # noqa: SLF001 - redis-py has no public way to hand its streams over
        connection._writer = connection._reader = None  # noqa: SLF001
        self._transport = self._writer.transport
        self._transport.set_protocol(self)
        self._transport.set_write_buffer_limits(0)  # at once: Redis is at work while others make up their questions

    @classmethod
    async def opened(
        cls, pool: redis.ConnectionPool, arrived: Callable[[list[Any]], None], lost: Callable[[Exception], None]
    ) -> Pipe:
        """Connect as *pool* does; RedisError or OSError."""
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        connection.socket_connect_timeout = None  # the caller's patience is what counts: a busy process does not run out of it
        try:
            await pool.ensure_connection(connection)  # a hang-up that its streams have heard of would not be told again
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cls(connection, arrived, lost)

    def write(self, questions: list[bytes]) -> None:
        """Ask."""
        self._transport.write(b"".join(questions))

    def drop(self) -> None:
        """Hang up; nobody is told."""
        self._lost = _ignore
        self._arrived = _ignore
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read whatever answers are whole."""
        answers: list[Any] = []
        fault: Exception | None = None
        try:
            self._answers.feed(data)
            while (answer := self._answers.gets(False)) is not _MORE:
                answers.append(answer)
        except Exception as error:  # noqa: BLE001 - whatever it breaks on, nothing behind it can be read
            fault = error
        if answers:
            self._arrived(answers)
        if fault is not None:
            self._lost(fault)

    def connection_lost(self, error: Exception | None) -> None:
        """Say so."""
        self._lost(error or Lost("Connection closed by server."))


async def asked_apart(pool: redis.ConnectionPool, questions: list[bytes]) -> list[Any]:
    """The answers on a connection that the *pool* keeps, whatever becomes of others; RedisError or OSError."""
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        await connection.send_packed_command(questions, check_health=False)
        return [await _read(connection) for _ in questions]
    except BaseException:
        await connection.disconnect(nowait=True)  # what it answers later is nobody's
        raise
    finally:
        await pool.release(connection)


async def _read(connection: Any) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def is_unable(answer: Any) -> bool:
    """Whether an answer says that the node cannot serve, rather than what became of the question."""
    if not isinstance(answer, Exception):
        return False
    return not isinstance(answer, ResponseError) or isinstance(answer, _UNABLE) or _UNABLE_WORDS.search(str(answer)) is not None


def _ignore(_: Any) -> None:
    """Nobody cares any more."""
