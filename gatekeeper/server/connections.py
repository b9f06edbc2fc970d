"""Own the connections of the public listener: aiohttp's, whose own errors have Graph's shape, and the short way before them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import time
from typing import Any

from aiohttp import http_exceptions, web
from aiohttp.web_protocol import RequestHandler

from gatekeeper.server.http import HEAD_S, Heads
from gatekeeper.server.rejections import Rejections, Why
from gatekeeper.server.replies import fault, refusal_reply, too_slow
from gatekeeper.server.short_way import ShortWay, Taker, date_line

_LOOK_S = 0.02


class _GraphHandler(RequestHandler):
    """A connection whose own errors have Graph's shape and are no tracebacks, and which waits for a head no longer than *head_s*."""

    def __init__(self, manager: web.Server, *, head_s: float, rejections: Rejections | None, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._head_s = head_s
        self._rejections = rejections
        self._has_begun = False  # a head, of which the rest is waited for
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take in what came, and wait for the rest of a head that it left open."""
        super().data_received(data)
        if self._waiter is None or self._waiter.done():  # a request is being answered: this is its body, or the next one's head
            self._stop_waiting()
        elif data:
            self._has_begun = True
            self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(self._head_s, self._end_waiting)

    def _end_waiting(self) -> None:
        """Hang up, with an answer where there is something to answer."""
        if self._has_begun and self.transport is not None:
            if self._rejections is not None:
                self._rejections.record(Why.TOO_SLOW, status=408)
            self.transport.write(too_slow("head").written(date_line(int(time())), last=True))
        self.force_close()

    def _stop_waiting(self) -> None:
        self._has_begun = False
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature; it quotes what came
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or that broke our handler."""
        if request.writer.output_size > 0:
            raise ConnectionError  # half an answer is out; only a broken connection says so
        if self._rejections is not None:
            self._rejections.record(Why.UNREADABLE, status=status, details=_unreadable(exc))
        refusal = fault(status, "Invalid request", "The HTTP request could not be read.")
        reply = refusal_reply(refusal, trace="gatekeeper")
        reply.last = True
        return reply.response()


def _unreadable(error: BaseException | None) -> str:
    """What could not be read, in our own words."""
    return next((words for kind, words in _UNREADABLE if isinstance(error, kind)), "request")


# The more special first. aiohttp reads a header that may come once, and comes twice, as a bad message.
_UNREADABLE = (
    (http_exceptions.LineTooLong, "line too long"),
    (http_exceptions.InvalidHeader, "header"),
    (http_exceptions.BadStatusLine, "request line"),
    (http_exceptions.InvalidURLError, "request target"),
    (http_exceptions.TransferEncodingError, "framing"),
    (http_exceptions.ContentLengthError, "framing"),
    (http_exceptions.BadHttpMessage, "head"),
)


class GraphServer(web.Server):
    """aiohttp's server, on connections whose errors have Graph's shape; bodies stay as they came, compressed ones too."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        taker: Taker | None = None,
        rejections: Rejections | None = None,
        head_s: float = HEAD_S,
    ) -> None:
        """*taker*: who answers on the short way. *rejections*: where it is recorded what could not be read."""
        super().__init__(handler, handler_cancellation=True, access_log=None, auto_decompress=False)
        self._taker = taker
        self._rejections = rejections
        self._head_s = head_s
        self.short = set[ShortWay]()
        """The connections on the short way."""
        self.heads = Heads()
        """The heads that were read there."""

    def __call__(self) -> Any:
        """Make a connection's protocol."""
        if self._taker is None:
            return self.handler()
        return ShortWay(self._taker, self.handler, self.short, self.heads, head_s=self._head_s, rejections=self._rejections)

    def handler(self) -> RequestHandler:
        """Make the handler of a connection that is aiohttp's."""
        return _GraphHandler(self, head_s=self._head_s, rejections=self._rejections, loop=self._loop, **self._kwargs)

    @property
    def connections(self) -> list[Any]:
        """Whoever is connected."""
        return [*super().connections, *self.short]

    def pre_shutdown(self) -> None:
        """Take leave of whoever is idle."""
        super().pre_shutdown()
        for connection in list(self.short):
            connection.close()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Wait so long for what is on its way, and hang up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + (timeout or 0)
        await super().shutdown(timeout)
        while self.short and loop.time() < until:  # noqa: ASYNC110 - their courses have an end of their own
            await asyncio.sleep(_LOOK_S)
        for connection in list(self.short):
            connection.abort()
