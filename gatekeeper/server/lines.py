"""
Own the connections that sends and webhooks go out by: HTTP/1.1, one request at a time on each, which is kept for the next one.

Each request is written once. Nothing here asks again: who hears of a failure is told whether it may have arrived, and decides.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from functools import lru_cache
from typing import Any

import aiohappyeyeballs
from yarl import URL

from gatekeeper.server.http import Pairs, head_of, tls
from gatekeeper.server.line import Line, UpstreamAnswer

_LONGEST_KEPT = 8 << 10
_KEPT_S = 15.0  # so long a connection is kept without a request; most servers do so for longer
_NAMES_S = 60.0  # so long a looked-up address holds
_NEXT_ADDRESS_S = 0.25  # Source: RFC 8305, section 5
_TLS_PORT, _PORT = 443, 80


class NeverOpened(Exception):  # noqa: N818 - it names what became of a connection
    """There is no connection: nothing was sent."""


class OpenedLate(NeverOpened):
    """There was none in time."""


class Lines:
    """All connections to one origin."""

    def __init__(self, base: URL, *, connect_s: float, kept_s: float = _KEPT_S, brief: bool = False) -> None:
        """
        *connect_s*: how long it may take until one is open, its TLS included. *kept_s*: how long one is kept without a request.

        *brief*: of answers only the status counts.
        """
        self._host, self._named = base.raw_host or "", base.host_port_subcomponent or ""
        self._port = base.port or (_TLS_PORT if base.scheme == "https" else _PORT)
        self._tls: ssl.SSLContext | None = None
        if base.scheme == "https":
            self._tls = tls()
        self._connect_s, self._kept_s, self._brief = connect_s, kept_s, brief
        self._loop = asyncio.get_running_loop()  # kept: to ask for it costs a call of the system
        self._all, self._idle, self._closed = set[Line](), deque[Line](), False
        self._sweeping: asyncio.TimerHandle | None = None
        self._addresses, self._stale_at = list[Any](), 0.0
        self._looking: asyncio.Task[None] | None = None

    async def ask(self, method: str, path: str, headers: Pairs, body: bytes | None, *, within_s: float) -> UpstreamAnswer:
        """Send a request and hear its answer, all of it within so many seconds; NeverOpened, BrokenOff, TimeoutError."""
        request = _written(method, path, self._named, headers, body, once=self._brief)
        began = self._loop.time()
        line = self._kept_line(began) or await self._opened(within_s)
        left = began + within_s - self._loop.time()
        if left <= 0:  # the time went into the connection
            line.drop()
            raise OpenedLate
        answer = await line.ask(request, within_s=left, has_body=method != "HEAD")
        if line.usable:
            line.idle_since = self._loop.time()
            self._idle.append(line)
            if self._sweeping is None:
                self._sweeping = self._loop.call_later(self._kept_s, self._sweep)
        else:
            line.drop()
        return answer

    def close(self) -> None:
        """Drop every connection, and open none any more."""
        self._closed = True
        for going in (self._sweeping, self._looking):
            if going is not None:
                going.cancel()
        for line in list(self._all):
            line.drop()

    def _kept_line(self, now: float) -> Line | None:
        """The connection that was used last, if any may still be there; all the others are older."""
        while self._idle:
            line = self._idle.pop()
            if line.usable and now - line.idle_since < self._kept_s:
                return line
            line.drop()
        return None

    def _sweep(self) -> None:
        """Drop what has been idle for long."""
        self._sweeping, now = None, self._loop.time()
        while self._idle and now - self._idle[0].idle_since >= self._kept_s:
            self._idle.popleft().drop()
        if self._idle:
            self._sweeping = self._loop.call_at(self._idle[0].idle_since + self._kept_s, self._sweep)

    async def _opened(self, within_s: float) -> Line:
        try:
            async with asyncio.timeout(min(self._connect_s, within_s)):
                found = await self._looked_up()
                reached = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1)
                line = await self._made(reached)
        except (OSError, UnicodeError, RuntimeError) as error:  # of a name that is none, and one of uvloop's
            self._stale_at = 0.0  # it may have moved
            raise (OpenedLate if isinstance(error, TimeoutError) else NeverOpened) from None
        if self._closed or not line.open:
            line.drop()
            raise NeverOpened
        return line

    async def _made(self, reached: socket.socket) -> Line:
        line = Line(self._all, brief=self._brief)
        named = self._host.rstrip(".") if self._tls else None  # no certificate has the dot of a whole name
        try:
            await self._loop.create_connection(lambda: line, sock=reached, ssl=self._tls, server_hostname=named)
        except BaseException:
            self._all.discard(line)  # uvloop does not say that one ended which nobody waits for any more
            raise
        return line

    async def _looked_up(self) -> list[Any]:
        """
        Where the name leads: looked up once for all who want it.

        A name server that is silent keeps a thread, of which there are few for all names: it is not asked again until it answers.
        """
        if self._loop.time() >= self._stale_at:
            if self._looking is None:
                self._looking = self._loop.create_task(self._look_up())
            await asyncio.shield(self._looking)
        return self._addresses

    async def _look_up(self) -> None:
        try:
            self._addresses = await self._loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
            self._stale_at = self._loop.time() + _NAMES_S
        finally:
            self._looking = None


def _written(method: str, path: str, host: str, headers: Pairs, body: bytes | None, *, once: bool) -> bytes:
    """A request as it goes over the wire; *once*: none has the same headers, as no webhook's signature is another's."""
    anew = once or len(path) + sum([len(name) + len(value) for name, value in headers]) > _LONGEST_KEPT
    head = (_head.__wrapped__ if anew else _head)(method, path, host, headers)
    return head + b"\r\n" if body is None else b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


@lru_cache(maxsize=512)
def _head(method: str, path: str, host: str, headers: Pairs) -> bytes:
    """What stands before a body but for how long that is: a client sends the same again and again."""
    return head_of([f"{method} {path} HTTP/1.1", f"Host: {host}", *map(": ".join, headers)]).removesuffix(b"\r\n")
