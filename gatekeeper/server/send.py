"""
Own one send from bytes to bytes: read, decide, then refuse in Meta's shape or forward the caller's own bytes.

Read `Sends.handle` from top to bottom.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec
import structlog
from aiohttp import web

from gatekeeper.core.decision import Decision, passed_unread, refused
from gatekeeper.core.errors import LedgerError, UpstreamError
from gatekeeper.core.recipients import masked
from gatekeeper.core.vocabulary import Mode, Reason, Refusal, money
from gatekeeper.engine import Decided, Engine
from gatekeeper.meta.paths import Target
from gatekeeper.meta.responses import Answer, decode_answer
from gatekeeper.meta.sends import MalformedSend, Send, decode_send
from gatekeeper.server.headers import added, decision_headers
from gatekeeper.server.http import Answer as Upstreamed
from gatekeeper.server.http import (
    TooLarge,
    UnknownEncoding,
    answer_headers,
    fault,
    read_body,
    refusal_response,
    unpacked,
    upstream_headers,
)
from gatekeeper.server.repeats import HEADER, Lost, Repeats
from gatekeeper.server.upstream import MOST_ANSWER, Upstream, UpstreamAnswer
from gatekeeper.settings import Settings
from gatekeeper.telemetry import DECISION, FAULT, Metrics

_DRY_RUN = "Gatekeeper-Dry-Run"
_CALLER = "Gatekeeper-Caller"
_LONGEST = 64
_OK, _REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500
_RETRY_LATER = {Reason.LEDGER_UNAVAILABLE: "1"}  # seconds
_TRUE = ("true", "1")
_encode = msgspec.json.Encoder().encode


class _Course(msgspec.Struct, kw_only=True):
    """What is known of one send on its way: for its headers and its log line."""

    id: str
    target: Target
    caller: str
    started: float
    decided_at: float = 0.0
    upstream_s: float | None = None
    upstream_status: int | None = None
    recipient: str = ""
    type: str = ""
    lost: bool = False


class Sends:
    """The gate."""

    def __init__(
        self, engine: Engine, upstream: Upstream, settings: Settings, metrics: Metrics, log: Any, now: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._upstream = upstream
        self._most = settings.server.max_body
        self._enforce = settings.policy.mode is Mode.ENFORCE
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now
        self._repeats = Repeats(engine, upstream_timeout_ms=settings.upstream.timeout, now=now)

    async def handle(self, request: web.BaseRequest, target: Target) -> web.Response:
        """Decide one send, and let it out or not."""
        caller = request.headers.get(_CALLER, "")[:_LONGEST].encode("ascii", "replace").decode()
        course = _Course(id=secrets.token_hex(12), target=target, caller=caller, started=perf_counter())
        dry = request.headers.get(_DRY_RUN, "").lower() in _TRUE
        try:
            body = await read_body(request, self._most)
        except TooLarge:
            return self._closing(self._refuse(course, _bad(413, f"The body is larger than {self._most} bytes."), None))
        key = request.headers.get(HEADER)
        if not key or dry:
            return await self._decided(request, body, course, dry=dry)

        async def send() -> web.Response:
            response = await self._decided(request, body, course, dry=False)
            if course.lost:
                raise Lost(response)
            return response

        def refuse(refusal: Refusal, reason: Reason) -> web.Response:
            return self._refuse(course, refusal, refused(reason, refusal=refusal))

        return await self._repeats.once(target.phone_number_id, caller, key, body, owner=course.id, send=send, refuse=refuse)

    async def _decided(self, request: web.BaseRequest, body: bytes, course: _Course, *, dry: bool) -> web.Response:
        """Read what of the body decides, decide, and act on it."""
        target = course.target
        try:
            send = self._read(request, body, target)
        except TooLarge:
            return self._refuse(course, _bad(413, f"The body is larger than {self._most} bytes once unpacked."), None)
        except UnknownEncoding:
            return self._refuse(course, _bad(415, "The Content-Encoding is not one of gzip, deflate and identity."), None)
        except MalformedSend as malformed:
            refusal = Refusal(code=malformed.code, title=malformed.title, details=malformed.details)
            verdict = (refused if self._enforce else passed_unread)(Reason.MALFORMED_REQUEST, refusal=refusal)
            if self._enforce or dry:
                return self._refuse(course, refusal, verdict, dry=dry)
            return await self._forward(request, body, course, None, verdict)

        course.recipient, course.type = masked(send.to or send.recipient or ""), send.type[:_LONGEST]
        if not send.known_type:
            self._metrics.unknown_types.inc()
        decided = await self._engine.decide(
            send, target.phone_number_id, now=self._now(), decision_id=course.id, commit=not dry, caller=course.caller
        )
        decision = decided.decision
        course.decided_at = perf_counter()
        self._metrics.decide_seconds.observe(course.decided_at - course.started)
        if dry:
            self._record(course, decision, dry=True)
            return web.json_response(
                body=_encode(_described(course, decision, self._now())), headers=self._headers(course, decision)
            )
        if not decision.forwards:
            return self._refuse(course, decision.refusal, decision)
        return await self._forward(request, body, course, decided, decision)

    def _read(self, request: web.BaseRequest, body: bytes, target: Target) -> Send:
        """Read what of the body decides, whatever it is packed in."""
        try:
            text = unpacked(body, request.headers.get("Content-Encoding"), self._most)
        except ValueError as error:
            raise MalformedSend(100, f"{error}.") from None
        content_type = request.headers.get("Content-Type", "application/json")
        return decode_send(text, content_type=content_type, marketing_api=target.marketing_api)

    async def _forward(
        self, request: web.BaseRequest, body: bytes, course: _Course, decided: Decided | None, decision: Decision
    ) -> web.Response:
        """Send the caller's own bytes on, once, and follow up what Meta answers."""
        began = perf_counter()
        try:
            answer = await self._upstream.post(request.raw_path, upstream_headers(request.headers.items()), body)
        except UpstreamError as error:
            course.upstream_s, course.upstream_status = perf_counter() - began, error.status
            course.lost = error.sent
            if not error.sent:
                await self._released(decided)
            advice = "It was not sent." if not error.sent else "Whether it was sent is not known: do not send it again blindly."
            return self._refuse(course, _bad(error.status, f"{str(error).capitalize()}. {advice}"), decision)
        except BaseException:
            # Cancelled while the body may be on its way: the reservation stays, and so does the line that says so.
            course.upstream_s = perf_counter() - began
            self._record(course, decision)
            raise
        course.upstream_s, course.upstream_status = perf_counter() - began, answer.status
        await self._followed_up(decided, answer)
        self._record(course, decision)
        headers = answer_headers(answer.headers.items())
        headers.popall("Content-Length", None)
        return Upstreamed(
            status=answer.status, reason=answer.reason, body=answer.body, headers=added(headers, self._headers(course, decision))
        )

    async def _followed_up(self, decided: Decided | None, answer: UpstreamAnswer) -> None:
        """
        Hold, name or give back what the send reserved.

        An error in Graph's shape says that nothing was sent. A 5xx without that shape says nothing, so the reservation stays.
        """
        if decided is None:
            return
        read = _understood(answer)
        try:
            if (read is not None and read.error_code is not None) or _CLIENT_ERROR <= answer.status < _SERVER_ERROR:
                await self._engine.released(decided, now=self._now())
            elif read is not None and _OK <= answer.status < _REDIRECT:
                await self._engine.accepted(decided, read, now=self._now())
        except LedgerError as error:
            self._log.warning(
                FAULT, source=error.source, what="the answer could not be kept", error=str(error), id=decided.facts.id
            )
        except Exception as error:  # noqa: BLE001 - Meta has answered, and that answer is the caller's whatever becomes of ours
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, id=decided.facts.id, exc_info=error)

    async def _released(self, decided: Decided | None) -> None:
        if decided is None:
            return
        try:
            await self._engine.released(decided, now=self._now())
        except LedgerError as error:
            self._log.warning(
                FAULT, source=error.source, what="a reservation could not be released", error=str(error), id=decided.facts.id
            )

    def _refuse(self, course: _Course, refusal: Refusal | None, decision: Decision | None, *, dry: bool = False) -> web.Response:
        assert refusal is not None
        course.decided_at = course.decided_at or perf_counter()
        decision = decision or refused(Reason.MALFORMED_REQUEST, refusal=refusal)
        self._record(course, decision, dry=dry)
        headers = self._headers(course, decision)
        if dry:
            return web.json_response(body=_encode(_described(course, decision, self._now())), headers=headers)
        if decision.reason in _RETRY_LATER:
            headers["Retry-After"] = _RETRY_LATER[decision.reason]
        return refusal_response(refusal, trace=course.id, headers=headers)

    @staticmethod
    def _headers(course: _Course, decision: Decision) -> dict[str, str]:
        upstream_ms = None if course.upstream_s is None else _ms(course.upstream_s)
        return decision_headers(decision, course.id, decide_ms=_ms(course.decided_at - course.started), upstream_ms=upstream_ms)

    @staticmethod
    def _closing(response: web.Response) -> web.Response:
        """Close the connection behind an answer to a body that was not read."""
        response.force_close()
        return response

    def _record(self, course: _Course, decision: Decision, *, dry: bool = False) -> None:
        """Write the one line, and count."""
        if not dry:
            self._metrics.decisions.labels(decision.verdict, decision.reason, decision.category or "none").inc()
            if decision.forwards and decision.price_bound == "unknown":
                self._metrics.unpriced.labels(decision.currency or "none").inc()
            if course.upstream_status is not None:
                self._metrics.upstream.labels(str(course.upstream_status)).inc()
                self._metrics.upstream_seconds.observe(course.upstream_s or 0)
        self._log.info(
            DECISION,
            id=course.id,
            dry_run=dry,
            phone_number_id=course.target.phone_number_id[:_LONGEST],
            recipient=course.recipient,
            caller=course.caller,
            type=course.type,
            verdict=decision.verdict,
            reason=decision.reason,
            category=decision.category,
            opens=decision.opens,
            charged=decision.charged,
            price=None if decision.price is None else money(decision.price),
            price_bound=decision.price_bound,
            currency=decision.currency,
            market=decision.market,
            state=decision.state,
            decide_ms=_ms(course.decided_at - course.started),
            upstream_status=course.upstream_status,
            upstream_ms=None if course.upstream_s is None else _ms(course.upstream_s),
        )


def _understood(answer: UpstreamAnswer) -> Answer | None:
    """Read an answer whatever it is packed in; it goes back as it came."""
    try:
        return decode_answer(unpacked(answer.body, answer.headers.get("Content-Encoding"), MOST_ANSWER))
    except (TooLarge, UnknownEncoding, ValueError):
        return None


def _described(course: _Course, decision: Decision, now: int) -> dict[str, Any]:
    return {"event": "decision", "id": course.id, "at": now // 1000, **decision.fields()}


def _bad(status: int, details: str) -> Refusal:
    return fault(status, "Service temporarily unavailable" if status >= _SERVER_ERROR else "Invalid parameter", details)


def _ms(seconds: float) -> float:
    return round(max(seconds, 0) * 1000, 3)
