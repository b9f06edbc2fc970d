"""
Own what is no send by its path and method: read along for messages that it may carry all the same, and passed through.

What carries none arrives byte for byte. What may carry one is refused, or, where nothing is blocked, passed and said so; either way
with a decision line. At the root, where batches belong, nothing leaves before as much as may be kept is read. Everything else streams
through while it is read, all but its last byte: what never ends, Graph never acts on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from gatekeeper.meta.batch import Found
from gatekeeper.meta.paths import Target
from gatekeeper.server.http import BODY_S, BrokenOff
from gatekeeper.server.passthrough import pass_through
from gatekeeper.server.replies import Reply, fault
from gatekeeper.server.send import Sends
from gatekeeper.server.upstream import Upstream
from gatekeeper.server.watch import Watch

_NO_NUMBER = Target("", marketing_api=False)


class _Stopped(Exception):  # noqa: N818 - it names what became of a body
    """A body was not let out to its end."""


class SideDoors:
    """Every way through the gate but the one that it decides."""

    def __init__(self, sends: Sends, upstream: Upstream, most: int) -> None:
        self._sends = sends
        self._upstream = upstream
        self._most = most

    async def handle(self, request: web.BaseRequest, target: Target | None) -> web.StreamResponse | Reply:
        """Pass a request through; *target*: its path is a send's, and only its body may say that its method is too."""
        watch = Watch(request, self._most)
        if watch.found is not None or not request.can_read_body:
            body = request.content.iter_any() if request.can_read_body else None
            return await self._concluded(request, target, watch, body)
        if target is None and not watch.strict:
            return await self._along(request, watch)
        begun, ended = await self._begun(request, watch)
        if not ended and target is None and watch.found is None:
            return await self._along(request, watch, begun)
        if not ended:
            watch.too_large()
        elif target is not None and (watch.posts or watch.found):
            return await self._sends.handle(request, target, begun)
        return await self._concluded(request, target, watch, _chained(begun, request.content.iter_any()))

    async def _begun(self, request: web.BaseRequest, watch: Watch) -> tuple[bytes, bool]:
        """Read a body, and whether that is all of it: no more than may be kept."""
        begun = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                async for piece in request.content.iter_any():
                    begun += piece
                    await watch.read(piece)
                    if len(begun) > self._most:
                        return bytes(begun), False
        except (ConnectionError, TimeoutError, HttpProcessingError, ClientPayloadError):
            raise BrokenOff from None
        watch.end()
        return bytes(begun), True

    async def _concluded(
        self, request: web.BaseRequest, target: Target | None, watch: Watch, body: AsyncIterator[bytes] | None
    ) -> web.StreamResponse | Reply:
        """Act on what was found before anything went out."""
        said: dict[str, str] = {}
        if watch.found is not None:
            refused, said = self._told(request, watch.found, target)
            if refused is not None:
                return refused
        return await pass_through(request, self._upstream, body, lambda: said)

    async def _along(self, request: web.BaseRequest, watch: Watch, begun: bytes = b"") -> web.StreamResponse | Reply:
        """Let a body out while it is read, and its last byte when it is known to carry no message."""
        said: dict[str, str] = {}
        refused: Reply | None = None

        def judge() -> None:
            nonlocal refused
            if watch.found is not None and not said:
                refused, headers = self._told(request, watch.found)
                said.update(headers)
            if refused is not None:
                raise _Stopped

        async def let_out() -> AsyncIterator[bytes]:
            held = begun
            async for piece in request.content.iter_any():
                await watch.read(piece)
                judge()
                yield held + piece[:-1]
                held = piece[-1:]
            watch.end()
            judge()
            yield held

        response = await pass_through(request, self._upstream, let_out(), lambda: said)
        return refused if refused is not None and isinstance(response, Reply) else response

    def _told(self, request: web.BaseRequest, found: Found, target: Target | None = None) -> tuple[Reply | None, dict[str, str]]:
        refusal = fault(found.status, "Invalid parameter", found.details)
        refused, said = self._sends.unread(request, found.target or target or _NO_NUMBER, refusal)
        if refused is not None and not request.content.is_eof():
            refused.last = True
        return refused, said


async def _chained(begun: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begun
    async for piece in rest:
        yield piece
