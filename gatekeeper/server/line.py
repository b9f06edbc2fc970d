"""Own one connection that sends or webhooks go out by: a request at a time, and its answer, read by httptools' parser."""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MOST_ANSWER = 4 << 20
_MOST_HEAD = 32 << 10
_MOST_BYTES = 2 * MOST_ANSWER  # with heads, and what frames the chunks of a body
# Where only the status counts: a body is read if it is no longer, and here so soon, and the connection can serve again.
_SHORT, _SHORT_S = 64 << 10, 0.25
_INTERIM, _SWITCHING, _FINAL = 100, 101, 200


class UpstreamAnswer(msgspec.Struct, frozen=True):
    """What the upstream answered to a gated send: its status, headers and body as they came."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


class BrokenOff(Exception):  # noqa: N818 - it names what became of a connection
    """The connection ended, or what came on it was no answer: what was sent may have arrived."""


class Line(asyncio.Protocol):
    """One connection; httptools calls its `on_…` while it reads an answer."""

    def __init__(self, lines: set[Line], *, brief: bool) -> None:
        """
        *lines*: where this one is while it is open.

        *brief*: only the status of an answer counts. Then it is read as leniently as clients commonly do, and a body that is long or
        late is not waited for.
        """
        self._lines, self._brief = lines, brief
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        if brief:
            self._parser.set_dangerous_leniencies(
                lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
            )
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

    async def ask(self, request: bytes, *, within_s: float, has_body: bool) -> UpstreamAnswer:
        """Write a request and wait for its answer; BrokenOff, TimeoutError. *has_body*: an answer to its method may have one."""
        self._has_body, self._hurried = has_body, False
        self._received = 0
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
        self._reset()

    def _fail(self, error: Exception) -> None:
        if self._answer is None or self._answer.done():
            return
        if self._enough:
            self._kept = False
            self._deliver()
        else:
            self._answer.set_exception(error)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
