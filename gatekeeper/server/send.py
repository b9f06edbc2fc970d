"""
Own one send from bytes to bytes: read, decide, then refuse in Meta's shape or forward the caller's own bytes.

Read `Sends.handle` from top to bottom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec
from aiohttp import web

from gatekeeper.core.decision import SECOND_MS, Decision, passed_unread, refused
from gatekeeper.core.errors import UpstreamError
from gatekeeper.core.recipients import masked
from gatekeeper.core.vocabulary import Reason, Refusal, State
from gatekeeper.engine import Decided, Engine
from gatekeeper.meta.paths import Target, names_edge
from gatekeeper.meta.responses import Answer
from gatekeeper.meta.rewriting import without_rights
from gatekeeper.meta.sends import MalformedSend
from gatekeeper.server.aftermath import Aftermath, Fate
from gatekeeper.server.bodies import read_body
from gatekeeper.server.callers import Callers
from gatekeeper.server.course import LONGEST, Course, Record, begun, described
from gatekeeper.server.holding import Held, Wish
from gatekeeper.server.http import Request, TooLarge, UnknownEncoding, answer_headers, onward
from gatekeeper.server.lending import hold_plain, lender, lent
from gatekeeper.server.reading import instead, is_dry, is_packed_much, query_of, read_send, rights_of
from gatekeeper.server.recorded import Unread
from gatekeeper.server.repeats import HEADER, Conclusion, Repeats
from gatekeeper.server.replies import Reply, fault, refusal_reply
from gatekeeper.server.upstream import Upstream, lease_ms
from gatekeeper.settings import Settings
from gatekeeper.telemetry import Metrics

_OK, _REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500
_UNAVAILABLE, _SOON = 503, "1"
_RETRY_LATER = {Reason.LEDGER_UNAVAILABLE: "1"}  # seconds
_encode = msgspec.json.Encoder().encode


class Sends:
    """The gate."""

    def __init__(
        self,
        engine: Engine,
        upstream: Upstream,
        held: Held,
        settings: Settings,
        metrics: Metrics,
        log: Any,
        now: Callable[[], int],
        *,
        aftermath: Aftermath,
        callers: Callers,
        unread: Unread | None = None,
    ) -> None:
        """*unread* is told of what is no send, which the engine never sees."""
        self._engine = engine
        self._upstream = upstream
        self._most = settings.server.max_body
        self._metrics = metrics
        self._record = Record(metrics, log)
        self._held = held
        self._aftermath = aftermath
        self._now = now
        self._callers = callers
        self._unread = unread
        self._repeats = Repeats(engine, patience_ms=lease_ms(settings), now=now, owe=aftermath.owe)

    async def handle(self, request: Request, target: Target, body: bytes | None = None) -> Reply:
        """Decide one send, and let it out or not; *body* is its body where that has been read."""
        admission = self._callers.admit(request, target.phone_number_id)
        if admission.why is not None:
            return self._callers.turn_away(admission, target.phone_number_id)
        course, dry = begun(target, admission.caller), is_dry(request)
        try:
            body = await read_body(request, self._most) if body is None else body
        except TooLarge:
            return self._closing(self._refuse(course, _bad(413, f"The body is larger than {self._most} bytes."), None))
        key = request.headers.get(HEADER)
        if not key or dry:
            return await self._decided(request, body, course, dry=dry)

        async def send() -> tuple[Reply, Conclusion]:
            response = await self._decided(request, body, course, dry=False)
            if course.lost:
                return response, Conclusion.LOST
            return response, Conclusion.FREE if course.malformed else Conclusion.ANSWERED

        def refuse(refusal: Refusal, reason: Reason) -> Reply:
            state = State.DEGRADED if reason is Reason.LEDGER_UNAVAILABLE else State.WARM
            return self._refuse(course, refusal, refused(reason, refusal=refusal, state=state))

        query = query_of(request)
        more = without_rights(f"?{query}").encode("utf-8", "replace") if query else b""
        content = (body, more) if body and more else (body or query.encode("utf-8", "replace"),)
        scope = (course.caller, *(() if self._callers.are_known else rights_of(request)))
        return await self._repeats.once(
            target.phone_number_id, key, content, scope=scope, owner=course.id, send=send, refuse=refuse
        )

    def unread(self, request: web.BaseRequest, target: Target, refusal: Refusal) -> tuple[Reply | None, dict[str, str]]:
        """Refuse what may be a message but not a send, or, where nothing is blocked, give the headers that say so; log it either way."""
        admission = self._callers.admit(request, None)
        if admission.why is not None:
            return self._callers.turn_away(admission, target.phone_number_id), {}
        course = begun(target, admission.caller)
        course.decided_at = course.started
        if not names_edge(request.raw_path):
            course.type = "batch"
        verdict = (refused if self._engine.enforces else passed_unread)(Reason.MALFORMED_REQUEST, refusal=refusal)
        if not verdict.forwards or is_dry(request):
            return self._refuse(course, refusal, verdict, dry=is_dry(request)), {}
        self._record.write(course, verdict)
        return None, course.headers(verdict)

    async def _decided(self, request: Request, body: bytes, course: Course, *, dry: bool) -> Reply:
        """Read what of the body decides, decide, and act on it."""
        target = course.target
        course.lender = lender(self._engine.directory.named(target.phone_number_id))
        try:
            if is_packed_much(request, body):
                send, written = await asyncio.to_thread(read_send, request, body, self._most, marketing_api=target.marketing_api)
            else:
                send, written = read_send(request, body, self._most, marketing_api=target.marketing_api)
            if course.lender is not None:
                hold_plain(request.method, request.raw_path, request.headers.items(), written)
        except TooLarge:
            return self._refuse(course, _bad(413, f"The body is larger than {self._most} bytes once unpacked."), None)
        except UnknownEncoding:
            return self._refuse(course, _bad(415, "The Content-Encoding is not one of gzip, deflate and identity."), None)
        except MalformedSend as malformed:
            refusal = Refusal(code=malformed.code, title=malformed.title, details=malformed.details)
            stops = self._engine.enforces or course.lender is not None
            verdict = (refused if stops else passed_unread)(Reason.MALFORMED_REQUEST, refusal=refusal)
            if self._unread is not None and not dry:
                self._unread(malformed.code, target, now=self._now(), decision_id=course.id, caller=course.caller)
            if stops or dry:
                return self._refuse(course, refusal, verdict, dry=dry)
            return await self._forward(request, body, course, None, verdict)

        course.recipient, course.type = masked(send.to or send.recipient or ""), send.type[:LONGEST]
        if not send.known_type:
            self._metrics.unknown_types.inc()
        decided = await self._engine.decide(
            send,
            target.phone_number_id,
            now=self._now(),
            decision_id=course.id,
            commit=not dry,
            caller=course.caller,
            written=written,
        )
        decision = decided.decision
        course.answer = decided.outcome.nth_answer(decided.plan) if decided.outcome else 0
        course.decided_at, course.ends = perf_counter(), self._upstream.deadline()
        self._metrics.decide_seconds.observe(course.decided_at - course.started)
        if decided.hold is not None:
            wish = Wish(
                request=request,
                body=body,
                send=send,
                written=written,
                decided=decided,
                dry=dry,
                forward=lambda asking: self._forward(request, body, course, asking, asking.decision),
                refuse=lambda refusal: self._refuse(course, refusal, decision, dry=dry),
                record=lambda one: self._record.write(course, one, dry=dry),
            )
            return await self._held.hold(wish, course)
        if dry:
            self._record.write(course, decision, dry=True)
            return Reply.json(_encode(described(course, decision, self._now())), headers=course.headers(decision))
        if not decision.forwards:
            return self._refuse(course, decision.refusal, decision)
        return await self._forward(request, body, course, decided, decision)

    async def _forward(self, request: Request, body: bytes, course: Course, decided: Decided | None, decision: Decision) -> Reply:
        """Send the caller's own bytes on, or the template in their place, once; and follow up what Meta answers."""
        began = perf_counter()
        try:
            headers = onward(request)
            if decided is not None and decided.body is not None:
                headers, body = instead(headers), decided.body
            path, headers = lent(request.raw_path, headers, course.lender)
            answer = await self._upstream.post(path, headers, body, method=request.method, ends=course.ends)
        except UpstreamError as error:
            course.upstream_s, course.upstream_status = perf_counter() - began, error.status
            course.lost = error.sent
            await (self._aftermath.unanswered if error.sent else self._aftermath.released)(decided)
            advice = "It was not sent." if not error.sent else "Whether it was sent is not known: do not send it again blindly."
            return self._refuse(course, _bad(error.status, f"{str(error).capitalize()}. {advice}"), decision)
        except BaseException:
            # Cancelled while the body may be on its way: the reservation stays for its statuses, and the line says so.
            course.upstream_s = perf_counter() - began
            self._aftermath.broken_off(decided)
            self._record.write(course, decision)
            raise
        course.upstream_s, course.upstream_status = perf_counter() - began, answer.status
        fate, read = await self._aftermath.followed_up(decided, answer, decision_id=course.id)
        if fate is Fate.TAKEN:
            course.taken = read or Answer()
        self._record.write(course, decision)
        # None of theirs has a name of ours; a Server-Timing of their own stays beside ours.
        said = [*answer_headers(answer.headers), *course.headers(decision).items()]
        return Reply(answer.status, answer.body, said, answer.reason)

    def _refuse(self, course: Course, refusal: Refusal | None, decision: Decision | None, *, dry: bool = False) -> Reply:
        assert refusal is not None
        course.decided_at = course.decided_at or perf_counter()
        decision = decision or refused(Reason.MALFORMED_REQUEST, refusal=refusal)
        course.malformed = decision.reason is Reason.MALFORMED_REQUEST
        self._record.write(course, decision, dry=dry)
        headers = course.headers(decision)
        if dry:
            return Reply.json(_encode(described(course, decision, self._now())), headers=headers)
        if decision.reason in _RETRY_LATER:
            headers["Retry-After"] = _RETRY_LATER[decision.reason]
        elif refusal.http_status == _UNAVAILABLE:
            headers["Retry-After"] = _SOON
        elif decision.retry_after:
            headers["Retry-After"] = str(-(-decision.retry_after // SECOND_MS))
        return refusal_reply(refusal, trace=course.id, headers=headers)

    @staticmethod
    def _closing(response: Reply) -> Reply:
        """Close the connection behind an answer to a body that was not read."""
        response.last = True
        return response


def _bad(status: int, details: str) -> Refusal:
    return fault(status, "Service temporarily unavailable" if status >= _SERVER_ERROR else "Invalid parameter", details)
