"""
Own the connections that sends and webhooks go out by: HTTP/1.1 by httptools' parser, one request at a time on each, then kept.

Each is written once. Nothing here asks again: who hears of a failure is told whether what was sent may have arrived, and decides.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from functools import lru_cache
from typing import Any, cast

import aiohappyeyeballs
import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from yarl import URL

from gatekeeper.server.http import Pairs, head_of, tls

MOST_ANSWER = 4 << 20
_MOST_HEAD = 32 << 10
_LONGEST_KEPT = 8 << 10
_MOST_BYTES = 2 * MOST_ANSWER  # with heads, and what frames the chunks of a body
_KEPT_S = 15.0  # so long a connection is kept without a request; most servers do so for longer
# Where only the status counts: a body is read if it is no longer, and here so soon, and the connection can serve again.
_SHORT, _SHORT_S = 64 << 10, 0.25
_NAMES_S = 60.0  # so long a looked-up address holds
_NEXT_ADDRESS_S = 0.25  # Source: RFC 8305, section 5
_INTERIM, _SWITCHING, _FINAL = 100, 101, 200
_TLS_PORT, _PORT = 443, 80


class UpstreamAnswer(msgspec.Struct, frozen=True):
    """What the upstream answered to a gated send: its status, headers and body as they came."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


class NeverOpened(Exception):  # noqa: N818 - it names what became of a connection
    """There is no connection: nothing was sent."""


class BrokenOff(Exception):  # noqa: N818 - the same
    """The connection ended, or what came on it was no answer: what was sent may have arrived."""


class _Line(asyncio.Protocol):
    """One connection; httptools calls its `on_…` while it reads an answer."""

    def __init__(self, lines: set[_Line]) -> None:
        self._lines = lines
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        self._answer: asyncio.Future[UpstreamAnswer] | None = None
        self._kept = True
        self.idle_since = 0.0
        self._reset()

    @property
    def open(self) -> bool:
        """Whether a request may be written."""
        return self._kept and not self._transport.is_closing()

    @property
    def usable(self) -> bool:
        """Whether another one may be: the one before is out, and answered."""
        return self.open and not self._transport.get_write_buffer_size()

    async def ask(self, request: bytes, *, within_s: float, has_body: bool, brief: bool) -> UpstreamAnswer:
        """
        Write a request and wait for its answer; BrokenOff, TimeoutError.

        *has_body*: an answer to its method may have one. *brief*: it is an answer without it, too.
        """
        self._has_body, self._brief, self._hurried = has_body, brief, False
        self._received = 0
        self._reset()
        self._answer = self._loop.create_future()
        self._late = self._loop.call_later(within_s, self._fail, TimeoutError())
        self._transport.write(request)
        try:
            return await self._answer
        except BaseException:
            self.drop()  # what is answered later is nobody's
            raise
        finally:
            self._late.cancel()
            self._answer = None

    def drop(self) -> None:
        """Close it at once."""
        self._kept = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._lines.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._kept = False
        del self._parser  # which holds us
        self._lines.discard(self)
        if error is None and self._waits and self._ends_with_connection():
            self._deliver()
        self._fail(BrokenOff())

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if not self._waits:  # nobody asked
            self.drop()
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._kept = False
            self._fail(BrokenOff())
        if self._received > (_MOST_BYTES if self._headed else _MOST_HEAD):
            self._fail(BrokenOff())
        elif self._enough and self._waits and not self._hurried:
            self._hurried = True
            self._late.cancel()
            self._late = self._loop.call_later(_SHORT_S, self._fail, TimeoutError())

    def on_message_begin(self) -> None:
        if not self._waits:
            self._kept = False

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed:  # what follows a body in chunks is no header
            return
        self._size += len(name) + len(value)
        if self._size > _MOST_HEAD:
            self._fail(BrokenOff())
        self._headers.append((_text(name), _text(value.strip(b" \t"))))

    def on_headers_complete(self) -> None:
        self._headed, self._size = True, 0
        self._status = self._parser.get_status_code()
        if b"\0" in self._reason:  # the only thing in a head that the parser lets pass and nobody can pass on
            self._fail(BrokenOff())
        self._kept = self._kept and self._parser.should_keep_alive()
        if not self._has_body and self._status >= _FINAL and self._waits:
            self._kept = False  # the parser would take what follows for its body
            self._deliver()

    def on_body(self, piece: bytes) -> None:
        self._body.append(piece)
        self._size += len(piece)
        if self._size > (_SHORT if self._brief else MOST_ANSWER):
            self._fail(BrokenOff())

    def on_message_complete(self) -> None:
        if not self._waits:
            return
        if self._status == _SWITCHING or self._status < _INTERIM:  # nobody asked for another protocol, and no answer follows
            self._fail(BrokenOff())
        elif self._status < _FINAL:
            self._kept = True
            self._reset()
        else:
            self._deliver()

    @property
    def _waits(self) -> bool:
        return self._answer is not None and not self._answer.done()

    @property
    def _enough(self) -> bool:
        """Whether what counts is here."""
        return self._brief and self._headed and self._status >= _FINAL

    def _ends_with_connection(self) -> bool:
        """Whether an answer has no other end."""
        framed = ("content-length", "transfer-encoding")
        return self._headed and not any(name.lower() in framed for name, _ in self._headers)

    def _reset(self) -> None:
        self._status, self._reason, self._size = 0, b"", 0
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._headed = False

    def _deliver(self) -> None:
        assert self._answer is not None
        self._answer.set_result(UpstreamAnswer(self._status, _text(self._reason), self._headers, b"".join(self._body)))

    def _fail(self, error: Exception) -> None:
        if self._answer is None or self._answer.done():
            return
        if self._enough:
            self._kept = False
            self._deliver()
        else:
            self._answer.set_exception(error)


class Lines:
    """All connections to one origin."""

    def __init__(self, base: URL, *, connect_s: float, kept_s: float = _KEPT_S) -> None:
        """*connect_s*: how long it may take until one is open, its TLS included. *kept_s*: how long one is kept without a request."""
        self._host, self._named = base.raw_host or "", base.host_port_subcomponent or ""
        self._port = base.port or (_TLS_PORT if base.scheme == "https" else _PORT)
        self._tls: ssl.SSLContext | None = None
        if base.scheme == "https":
            self._tls = tls()
        self._connect_s, self._kept_s = connect_s, kept_s
        self._loop = asyncio.get_running_loop()  # kept: to ask for it costs a call of the system
        self._all, self._idle, self._closed = set[_Line](), deque[_Line](), False
        self._addresses, self._stale_at, self._looking = list[Any](), 0.0, asyncio.Lock()

    async def ask(
        self, method: str, path: str, headers: Pairs, body: bytes | None, *, within_s: float, brief: bool = False
    ) -> UpstreamAnswer:
        """
        Send a request and hear its answer, all of it within so many seconds; NeverOpened, BrokenOff, TimeoutError.

        *brief*: only its status counts, and of a long body, or one that does not come at once, little is read.
        """
        request = _written(method, path, self._named, headers, body, once=brief)
        began = self._loop.time()
        line = self._kept_line(began) or await self._opened(within_s)
        left = began + within_s - self._loop.time()
        answer = await line.ask(request, within_s=left, has_body=method != "HEAD", brief=brief)
        now = self._loop.time()
        if line.usable:
            line.idle_since = now
            self._idle.append(line)
        else:
            line.drop()
        while self._idle and now - self._idle[0].idle_since >= self._kept_s:
            self._idle.popleft().drop()
        return answer

    def close(self) -> None:
        """Drop every connection, and open none any more."""
        self._closed = True
        for line in list(self._all):
            line.drop()

    def _kept_line(self, now: float) -> _Line | None:
        """The connection that was used last, if any may still be there; all the others are older."""
        while self._idle:
            line = self._idle.pop()
            if line.usable and now - line.idle_since < self._kept_s:
                return line
            line.drop()
        return None

    async def _opened(self, within_s: float) -> _Line:
        try:
            async with asyncio.timeout(min(self._connect_s, within_s)):
                found = await self._looked_up()
                reached = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1)
                named = self._host if self._tls else None
                _, line = await self._loop.create_connection(
                    lambda: _Line(self._all), sock=reached, ssl=self._tls, server_hostname=named
                )
        except (OSError, TimeoutError, UnicodeError, RuntimeError):  # of a name that is none, and one of uvloop's
            self._stale_at = 0.0  # it may have moved
            raise NeverOpened from None
        if self._closed or not line.open:
            line.drop()
            raise NeverOpened
        return line

    async def _looked_up(self) -> list[Any]:
        async with self._looking:  # once for all who want it
            if self._loop.time() >= self._stale_at:
                self._addresses = await self._loop.getaddrinfo(
                    self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
                self._stale_at = self._loop.time() + _NAMES_S
        return self._addresses


def _written(method: str, path: str, host: str, headers: Pairs, body: bytes | None, *, once: bool) -> bytes:
    """A request as it goes over the wire; *once*: none has the same headers, as no webhook's signature is another's."""
    anew = once or len(path) + sum([len(name) + len(value) for name, value in headers]) > _LONGEST_KEPT
    head = (_head.__wrapped__ if anew else _head)(method, path, host, headers)
    return head + b"\r\n" if body is None else b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


@lru_cache(maxsize=512)
def _head(method: str, path: str, host: str, headers: Pairs) -> bytes:
    """What stands before a body but for how long that is: a client sends the same again and again."""
    return head_of([f"{method} {path} HTTP/1.1", f"Host: {host}", *map(": ".join, headers)]).removesuffix(b"\r\n")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
