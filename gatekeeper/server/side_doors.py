"""
Own what is no send by its path and method: read along for messages that it may carry all the same, and passed through.

What carries none arrives byte for byte. What may carry one is refused, or, where nothing is blocked, passed and said so; either way
with a decision line. At the root, where batches belong, nothing leaves before as much as may be kept is read. Everything else streams
through while it is read, all but its last byte: what never ends, Graph never acts on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

from aiohttp import web

from gatekeeper.meta.batch import Found
from gatekeeper.meta.bodies import spelled
from gatekeeper.meta.paths import Target, may_post, names_edge, shown
from gatekeeper.server.bodies import intake, progressing
from gatekeeper.server.passthrough import pass_through
from gatekeeper.server.replies import Reply, fault
from gatekeeper.server.send import Sends
from gatekeeper.server.upstream import Upstream
from gatekeeper.server.watch import Watch

_POST = "POST"
_NO_SEND = (
    "{path} ends like a send's path and has no phone number id before that, so the message cannot be decided. "
    "Sends go to …/{{phone_number_id}}/messages or …/{{phone_number_id}}/marketing_messages: the id in digits, nothing behind the name."
)
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
        """
        Pass a request through.

        *target*: its path is a send's, and only its body may say that its method is too. A path that ends like a send's and names no
        number is read like one, and then there is nothing by which a send could be decided.
        """
        watch = Watch(request, self._most)
        nearly = target is None and names_edge(request.raw_path)
        if nearly and may_be_post(request):
            watch.found = watch.found or _no_send(request)
        if watch.found is not None or not request.can_read_body:
            body = progressing(request.content) if request.can_read_body else None
            return await self._concluded(request, target, watch, body)
        decided = target is not None or nearly
        if not decided and not watch.strict:
            return await self._along(request, watch)
        begun, ended = await self._begun(request, watch)
        if not ended and not decided and watch.found is None:
            return await self._along(request, watch, begun)
        if not ended:
            watch.too_large()
        elif target is not None and (watch.posts or watch.found):
            return await self._sends.handle(request, target, begun)
        elif nearly and watch.posts:
            watch.found = watch.found or _no_send(request)
        return await self._concluded(request, target, watch, _chained(begun, progressing(request.content)))

    async def _begun(self, request: web.BaseRequest, watch: Watch) -> tuple[bytes, bool]:
        """Read a body, and whether that is all of it: no more than may be kept."""
        begun = bytearray()
        async with intake() as share:
            async for piece in request.content.iter_any():
                begun += piece
                share.resize(len(begun))
                await watch.read(piece)
                if len(begun) > self._most:
                    return bytes(begun), False
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
            async for piece in progressing(request.content):
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


def _no_send(request: web.BaseRequest) -> Found:
    return Found(details=_NO_SEND.format(path=shown(request.raw_path)))


def may_be_post(request: web.BaseRequest) -> bool:
    """Say whether a request may be taken for a POST, as far as can be said without its body."""
    query = request.raw_path.partition("?")[2]
    if not query and request.method == _POST:
        return True
    told = (value for name, value in parse_qsl(query, keep_blank_values=True) if spelled(name) == "method")
    return may_post(request.method, request.headers.items(), told)


async def _chained(begun: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begun
    async for piece in rest:
        yield piece
