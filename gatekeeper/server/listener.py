"""Own the public listener: which request is a webhook, which a send, and which neither; and that the first two come to their end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web

from gatekeeper.meta.bodies import spelled
from gatekeeper.meta.paths import gated, may_post
from gatekeeper.server.holding import PATH as HELD_PATH
from gatekeeper.server.holding import Held
from gatekeeper.server.http import BrokenOff, Whole
from gatekeeper.server.replies import Reply, fault, refusal_reply
from gatekeeper.server.send import Sends
from gatekeeper.server.side_doors import SideDoors
from gatekeeper.server.webhooks import Webhooks
from gatekeeper.telemetry import FAULT

_LEAVE_S, _LOOK_S = 1.0, 0.02  # who is under load has sent again by then
_POST, _GET, _CONNECT = "POST", "GET", "CONNECT"
_TRACE = "gatekeeper"
_CHUNKED = "chunked"
_MOST_DIGITS = 20
_BROKEN = re.compile("[\udc80-\udcff]")
# Of nothing else could we know that the upstream reads it as we do.
_TARGET = re.compile(r"/[^\x00-\x20\x7f#]*")
# A path of which nothing is encoded, and without a query.
_PLAIN = re.compile(r"/[A-Za-z0-9._~/-]*")
_T = TypeVar("_T")
_Answer = TypeVar("_Answer", bound=web.StreamResponse | Reply)


class Listener:
    """The public listener: one function from request to answer."""

    def __init__(
        self,
        sends: Sends,
        webhooks: Webhooks,
        side_doors: SideDoors,
        held: Held,
        webhook_path: str,
        log: Any,
    ) -> None:
        self._loop = asyncio.get_running_loop()  # kept: to ask for it costs a call of the system
        self._sends = sends
        self._held = held
        self._webhooks = webhooks
        self._side_doors = side_doors
        self._webhook_path = webhook_path
        self._log = log
        self._running: set[asyncio.Task[Any]] = set()
        self.leaving = False
        """Whether each answer is to be the last on its connection."""

    def follow(self, webhook_path: str) -> None:
        """Take webhooks at this path from the next request on."""
        self._webhook_path = webhook_path

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Hand a request to the gate, to the webhooks, or through.

        A send and a webhook come to their end even when their caller hangs up: a message may be on its way, and a webhook half in
        the ledger.
        """
        course = self._answered(self._handed(request))
        if not self._is_webhook(request) and gated(request.raw_path) is None:
            answer = await course
        else:
            answer = await asyncio.shield(self.begin(course))
        return answer.response() if isinstance(answer, Reply) else answer

    def wants(self, path: str) -> bool:
        """Whether a POST there is plainly a send or a webhook."""
        if path == self._webhook_path:
            return _PLAIN.fullmatch(path) is not None
        return _PLAIN.fullmatch(path) is not None and gated(path) is not None and not path.startswith(HELD_PATH)

    def take(self, request: Whole) -> Coroutine[Any, Any, Reply]:
        """Answer one of those."""
        target = None if request.raw_path == self._webhook_path else gated(request.raw_path)
        return self._answered(self._webhooks.receive(request) if target is None else self._sends.handle(request, target))

    def begin(self, course: Coroutine[Any, Any, _T], /) -> asyncio.Task[_T]:
        """Let a course come to its end, or to that of our patience."""
        task = self._loop.create_task(course)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def leave(self, runner: web.ServerRunner, grace: float) -> None:
        """
        Take no new connections, and let those that are there go after their next answer, or when they have been idle for long.

        Whoever sends on a connection that is closed at that moment cannot tell whether it was heard.
        """
        for site in list(runner.sites):
            await site.stop()
        self.leaving = True
        server = runner.server
        ends = self._loop.time() + min(_LEAVE_S, grace)
        while server is not None and server.connections and self._loop.time() < ends:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(_LOOK_S)

    async def abandon(self, grace: float) -> None:
        """Let what is still running end, and break it off when the grace is over."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        late = list(self._running)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _answered(self, course: Awaitable[_Answer]) -> _Answer | Reply:
        answer: _Answer | Reply
        try:
            answer = await course
        except BrokenOff:  # nobody reads this
            answer = _refused("The request broke off.")
        except Exception as error:  # noqa: BLE001 - a bug of ours is one line and one answer
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
            refusal = fault(500, "Service temporarily unavailable", "The gate failed on this request; its log says how.")
            answer = refusal_reply(refusal, trace=_TRACE)
        if self.leaving:
            _end_with(answer)
        return answer

    async def _handed(self, request: web.BaseRequest) -> web.StreamResponse | Reply:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        if not _TARGET.fullmatch(request.raw_path) or request.method == _CONNECT:
            return _refused("The request target is not a path.")
        if any(coding.strip().lower() != _CHUNKED for coding in request.headers.getall("Transfer-Encoding", ())):
            return _closing("The only Transfer-Encoding that is read is chunked.")
        if len(request.headers.get("Content-Length", "")) > _MOST_DIGITS:
            return _closing("The Content-Length is longer than any number of bytes.")
        if self._is_webhook(request):
            return await self._webhooks.receive(request)
        if request.path == self._webhook_path and request.method == _GET:
            return await self._webhooks.handshake(request)
        if any(not value.isascii() and _BROKEN.search(value) for value in request.headers.values()):
            return _refused("A header is neither ASCII nor UTF-8.")
        if self._held.serves(request.path):
            return await self._held.status(request)
        target = gated(request.raw_path)
        if target is not None and _may_post(request):
            return await self._sends.handle(request, target)
        return await self._side_doors.handle(request, target)

    def _is_webhook(self, request: web.BaseRequest) -> bool:
        return request.method == _POST and request.path == self._webhook_path


def _may_post(request: web.BaseRequest) -> bool:
    """Say whether a request may be taken for a POST, as far as can be said without its body."""
    query = request.raw_path.partition("?")[2]
    if not query and request.method == _POST:
        return True
    told = (value for name, value in parse_qsl(query, keep_blank_values=True) if spelled(name) == "method")
    return may_post(request.method, request.headers.items(), told)


def _refused(details: str) -> Reply:
    return refusal_reply(fault(400, "Invalid request", details), trace=_TRACE)


def _closing(details: str) -> Reply:
    """Refuse a request whose body nobody reads."""
    reply = _refused(details)
    reply.last = True
    return reply


def _end_with(answer: web.StreamResponse | Reply) -> None:
    """Let an answer be the last on its connection."""
    if isinstance(answer, Reply):
        answer.last = True
    else:
        answer.force_close()
