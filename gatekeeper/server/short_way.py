"""
Own the short way through the public listener, for the requests that matter most.

A plain request that came in one piece or in two, and that somebody takes for a send or a webhook, is answered here. At the first
request of any other kind the connection goes to aiohttp with all that came, and stays there: this way never has to say no.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from time import time
from typing import Any, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gatekeeper.server.bodies import MEMORY, NoRoom, Share
from gatekeeper.server.http import BODY_S, HEAD_S, Head, Heads, Whole
from gatekeeper.server.rejections import Rejections, Why
from gatekeeper.server.replies import Reply, too_slow

_KEPT_S = 3630.0  # aiohttp's own: longer than the proxies in front of us keep theirs
_LONGEST_HEAD, _MOST_HEADERS, _LONGEST = 8190, 128, 256 << 10  # the first two are aiohttp's own
_MOST_DIGITS = len(str(_LONGEST))
_BREAK, _END = b"\r\n", b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *([0-9]{1,%d})\r\n" % _MOST_DIGITS)
_STAYS = "keep-alive"
_UNPLAIN = frozenset({"transfer-encoding", "expect", "upgrade", "sec-websocket-key1"})


class Taker(Protocol):
    """Whoever answers plain requests."""

    def wants(self, path: str) -> bool:
        """Whether a POST there is for the short way."""

    def take(self, request: Whole) -> Coroutine[Any, Any, Reply]:
        """Answer it, whatever happens."""

    def begin(self, course: Coroutine[Any, Any, None], /) -> object:
        """Let a course come to its end, even when its caller hangs up."""


class ShortWay(asyncio.Protocol):
    """One connection; httptools calls its `on_…` while it reads a request."""

    _begun, _path, _body = b"", "", b""
    _messages = _ended = 0

    def __init__(
        self,
        taker: Taker,
        long_way: Callable[[], asyncio.Protocol],
        all_short: set[ShortWay],
        heads: Heads,
        *,
        head_s: float,
        rejections: Rejections | None = None,
    ) -> None:
        """
        *long_way* makes the protocol that takes over; *all_short*: where this one is while it is not taken over.

        *heads*: those of plain requests, by how they came but for the digits of their length. Who sends often sends the same one.
        """
        self._taker = taker
        self._heads = heads
        self._long_way = long_way
        self._all = all_short
        self._limit = head_s
        self._rejections = rejections
        self._share = Share(MEMORY)
        self._loop = asyncio.get_running_loop()
        self._parser = HttpRequestParser(self)
        self._since = self._loop.time()
        self._look: asyncio.TimerHandle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._whole: Whole | None = None  # the request that is being answered
        self._ahead = b""
        self._clogged = self._closing = False
        self._reset()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._all.add(self)
        connection = transport.get_extra_info("socket")
        if connection is not None:  # the other end may be gone without a word
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._look = self._loop.call_later(self._limit, self._looked)

    def connection_lost(self, _error: Exception | None) -> None:
        self._forgotten()
        if self._whole is not None:
            self._whole.transport = None

    def data_received(self, data: bytes) -> None:
        if self._whole is not None or self._clogged:  # one at a time, and only for who reads the answers
            if not self._ahead:
                self._transport.pause_reading()
            self._ahead += data
            return
        begun = self._begun = self._begun + data if self._begun else data
        if not self._messages:  # the parser has not been asked: it need not be for a head that came before
            name, body_at, end = _measured(begun)
            head = self._heads.get(name)
            if head is not None and len(begun) <= end:
                if len(begun) == end:
                    self._take(head, begun[body_at:])
                else:
                    self._wait()
                return
        try:
            self._parser.feed_data(data if self._messages else begun)
        except (HttpParserError, HttpParserUpgrade):  # aiohttp will say so
            self._hand_over()
            return
        if self._messages != 1 or not self._headed or len(begun) > _LONGEST or not self._plain():
            self._hand_over()
        elif self._ended:
            self._take(self._learned(), self._body)
        else:
            self._wait()

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        if self._whole is None:
            self._go_on()

    def on_message_begin(self) -> None:
        self._messages += 1

    def on_url(self, path: bytes) -> None:
        self._path += path.decode("ascii")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("ascii"), value.strip(b" \t").decode("ascii")))

    def on_headers_complete(self) -> None:
        self._headed = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self._body += piece

    def on_message_complete(self) -> None:
        self._ended += 1

    def close(self) -> None:
        """Take leave: at once where nothing is on its way, else behind the next answer."""
        self._closing = True
        if self._whole is None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up."""
        self._transport.abort()

    def _plain(self) -> bool:
        """Whether what is read so far is for the short way: nothing about it that aiohttp might refuse, or read in another way."""
        headers = {name.lower(): value for name, value in self._headers}
        length = headers.get("content-length", "")
        return (
            self._taker.wants(self._path)
            and self._parser.get_method() == b"POST"
            and self._parser.get_http_version() == "1.1"
            and len(self._begun) - len(self._body) <= _LONGEST_HEAD
            and len(headers) == len(self._headers) <= _MOST_HEADERS  # none comes twice
            and "host" in headers
            and 0 < len(length) <= _MOST_DIGITS
            and int(length) <= _LONGEST
            and headers.keys().isdisjoint(_UNPLAIN)
            and headers.get("connection", _STAYS).lower() == _STAYS  # who names headers there may name one that decides
            and "_" not in "".join(headers)
        )

    def _learned(self) -> Head:
        """The head that was read."""
        head, (name, _, _) = Head(self._path, self._headers), _measured(self._begun)
        if name:
            self._heads.learn(name, head)
        return head

    def _wait(self) -> None:
        """The rest of its body comes in a piece of its own; where there is no room for more of it, aiohttp reads it, and says so."""
        try:
            self._share.resize(len(self._begun))
        except NoRoom:
            self._hand_over()
            return
        if self._late is None:
            self._late = self._loop.call_later(BODY_S, self._end_waiting)

    def _end_waiting(self) -> None:
        if self._rejections is not None:
            self._rejections.record(Why.TOO_SLOW, status=408)
        self._transport.write(too_slow("body").written(date_line(int(time())), last=True))
        self._transport.close()

    def _take(self, head: Head, body: bytes) -> None:
        self._whole = Whole(head, body, self._transport)
        self._reset()
        self._taker.begin(self._answered(self._taker.take(self._whole)))

    async def _answered(self, course: Coroutine[Any, Any, Reply]) -> None:
        try:
            self._say(await course)
        except Exception as error:  # noqa: BLE001 - it costs this connection, not the gate; aiohttp does the same
            self._loop.call_exception_handler({"message": "An answer could not be written", "exception": error, "protocol": self})
            self._transport.abort()
        except BaseException:
            self._transport.abort()
            raise

    def _say(self, reply: Reply) -> None:
        self._whole = None
        if self._transport.is_closing():
            return
        self._closing = self._closing or reply.last
        self._transport.write(reply.written(date_line(int(time())), last=self._closing))
        self._since, self._limit = self._loop.time(), _KEPT_S
        if self._closing or not self._clogged:
            self._go_on()

    def _go_on(self) -> None:
        """Look at what came meanwhile; behind a last answer that is nothing."""
        if self._closing or self._transport.is_closing():
            self._transport.close()
        elif self._ahead:
            data, self._ahead = self._ahead, b""
            self._transport.resume_reading()
            self.data_received(data)

    def _hand_over(self) -> None:
        """Give the connection to aiohttp, as if it had just been made."""
        handler = self._long_way()
        self._forgotten()
        self._transport.pause_reading()  # uvloop may have read more already, and would say it first
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        self._loop.call_soon(self._told, handler, self._begun)  # once it waits for that

    def _told(self, handler: asyncio.Protocol, begun: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
            handler.data_received(begun)

    def _reset(self) -> None:
        """Be ready for the next request."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self._path, self._begun, self._body = "", b"", b""
        self._headers: list[tuple[str, str]] = []
        self._messages = self._ended = 0
        self._headed = False
        self._share.resize(0)

    def _forgotten(self) -> None:
        del self._parser  # which holds us: nobody has to come and collect the two
        self._share.resize(0)
        self._all.discard(self)
        for timer in (self._look, self._late):
            if timer is not None:
                timer.cancel()

    def _looked(self) -> None:
        """Hang up on who has been idle for long, or has not read its answer."""
        left = self._since + self._limit - self._loop.time()
        if self._whole is None and not self._begun and left <= 0:
            self._transport.abort()
        else:
            self._look = self._loop.call_later(left if left > 0 else HEAD_S, self._looked)


def _measured(begun: bytes) -> tuple[bytes, int, int]:
    """A head without the digits of its length, where the body begins, and where it ends; no head: none that is plain is there."""
    end = begun.find(_END)
    digits = _LENGTH.search(begun, 0, end + len(_BREAK))
    ends = end + len(_END) + int(digits[1]) if digits else 0
    if digits is None or ends > _LONGEST:
        return b"", 0, 0
    return begun[: digits.start(1)] + begun[digits.end(1) : end], end + len(_END), ends


_stamps: dict[int, str] = {}


def date_line(now: int) -> str:
    """The header that says the time, made once a second."""
    if now not in _stamps:
        _stamps.clear()
        _stamps[now] = f"\r\nDate: {formatdate(now, usegmt=True)}"
    return _stamps[now]
