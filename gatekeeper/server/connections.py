"""Own the connections of the public listener: aiohttp's, whose own errors have Graph's shape, and the short way before them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gatekeeper.server.http import HEAD_S, Heads
from gatekeeper.server.replies import fault, refusal_reply
from gatekeeper.server.short_way import ShortWay, Taker

_LOOK_S = 0.02


class _GraphHandler(RequestHandler):
    """A connection whose own errors have Graph's shape and are no tracebacks, and which waits for a head no longer than *head_s*."""

    def __init__(self, manager: web.Server, *, head_s: float, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._head_s = head_s
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
            self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(self._head_s, self.force_close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - aiohttp's signature
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or that broke our handler."""
        if request.writer.output_size > 0:
            raise ConnectionError  # half an answer is out; only a broken connection says so
        refusal = fault(status, "Invalid request", "The HTTP request could not be read.")
        reply = refusal_reply(refusal, trace="gatekeeper")
        reply.last = True
        return reply.response()


class GraphServer(web.Server):
    """aiohttp's server, on connections whose errors have Graph's shape; bodies stay as they came, compressed ones too."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        taker: Taker | None = None,
        head_s: float = HEAD_S,
    ) -> None:
        """*taker*: who answers on the short way."""
        super().__init__(handler, handler_cancellation=True, access_log=None, auto_decompress=False)
        self._taker = taker
        self._head_s = head_s
        self.short = set[ShortWay]()
        """The connections on the short way."""
        self.heads = Heads()
        """The heads that were read there."""

    def __call__(self) -> Any:
        """Make a connection's protocol."""
        if self._taker is None:
            return self.handler()
        return ShortWay(self._taker, self.handler, self.short, self.heads, head_s=self._head_s)

    def handler(self) -> RequestHandler:
        """Make the handler of a connection that is aiohttp's."""
        return _GraphHandler(self, head_s=self._head_s, loop=self._loop, **self._kwargs)

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
