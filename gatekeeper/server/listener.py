"""Own the public listener: which request is a webhook, which a send, and which neither; and that the first two come to their end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from aiohttp import web

from gatekeeper.meta.paths import gated
from gatekeeper.server.bodies import BodyBrokenOff, BodyTooSlow, NoRoom
from gatekeeper.server.holding import PATH as HELD_PATH
from gatekeeper.server.holding import Held
from gatekeeper.server.http import Whole
from gatekeeper.server.rejections import Rejections, Why
from gatekeeper.server.replies import Reply, fault, refusal_reply, too_slow
from gatekeeper.server.screening import Screening
from gatekeeper.server.send import Sends
from gatekeeper.server.side_doors import may_be_post
from gatekeeper.server.thread_control import ThreadControl
from gatekeeper.server.webhooks import Webhooks
from gatekeeper.telemetry import FAULT

_LEAVE_S, _LOOK_S = 1.0, 0.02  # who is under load has sent again by then
_POST, _GET = "POST", "GET"
_SERVER_ERROR, _UNAVAILABLE = 500, 503
_TRACE = "gatekeeper"
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
        side_doors: ThreadControl,
        held: Held,
        screening: Screening,
        rejections: Rejections,
        webhook_path: str,
        log: Any,
    ) -> None:
        self._loop = asyncio.get_running_loop()  # kept: to ask for it costs a call of the system
        self._sends = sends
        self._held = held
        self._webhooks = webhooks
        self._side_doors = side_doors
        self._screening = screening
        self._rejections = rejections
        self._webhook_path = webhook_path
        self._log = log
        self._running: set[asyncio.Task[Any]] = set()
        self.leaving = False
        """Whether each answer is to be the last on its connection."""

    def follow(self, webhook_path: str) -> None:
        """Take webhooks at this path from the next request on."""
        self._webhook_path = webhook_path
        self._screening.follow(webhook_path)

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
        head = request.head
        if head.hops or head.is_signed:
            refusal = self._screening.refuse_plain(request)
            if refusal is not None:
                return self._answered(_at_once(refusal))
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
        except BodyBrokenOff:  # most often nobody reads this
            answer = self._rejected(Why.BROKEN_BODY, 400, "The request's body broke off, or is not framed as it says.")
        except BodyTooSlow:
            self._rejections.record(Why.TOO_SLOW, status=408)
            answer = too_slow("body")
        except NoRoom:
            answer = self._rejected(Why.NO_ROOM, 503, "The gate reads as many large bodies as it has room for; send this again.")
        except Exception as error:  # noqa: BLE001 - a bug of ours is one line and one answer
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
            refusal = fault(500, "Service temporarily unavailable", "The gate failed on this request; its log says how.")
            answer = refusal_reply(refusal, trace=_TRACE)
        if self.leaving:
            _end_with(answer)
        return answer

    async def _handed(self, request: web.BaseRequest) -> web.StreamResponse | Reply:
        refusal = self._screening.refuse(request)
        if refusal is not None:
            return refusal
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        if self._screening.is_webhook_path(request.raw_path):
            if request.method == _POST:
                return await self._webhooks.receive(request)
            if request.method == _GET:
                return await self._webhooks.handshake(request)
        if self._held.serves(request.path):
            return await self._held.status(request)
        target = gated(request.raw_path)
        if target is not None and may_be_post(request):
            return await self._sends.handle(request, target)
        return await self._side_doors.handle(request, target)

    def _is_webhook(self, request: web.BaseRequest) -> bool:
        return request.method == _POST and self._screening.is_webhook_path(request.raw_path)

    def _rejected(self, why: Why, status: int, details: str) -> Reply:
        """Refuse a request of which not all was read; what is to be sent again is read on, so that its answer is heard."""
        self._rejections.record(why, status=status)
        title = "Invalid request" if status < _SERVER_ERROR else "Service temporarily unavailable"
        headers = {"Retry-After": "1"} if status == _UNAVAILABLE else {}
        reply = refusal_reply(fault(status, title, details), trace=_TRACE, headers=headers)
        reply.last = status != _UNAVAILABLE
        return reply


async def _at_once(reply: Reply) -> Reply:
    return reply


def _end_with(answer: web.StreamResponse | Reply) -> None:
    """Let an answer be the last on its connection."""
    if isinstance(answer, Reply):
        answer.last = True
    else:
        answer.force_close()
