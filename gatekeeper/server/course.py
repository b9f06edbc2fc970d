"""Own what is known of one send on its way: its headers, its one log line, and what is counted of it."""

from __future__ import annotations

import secrets
from time import perf_counter
from typing import Any

import msgspec
import structlog

from gatekeeper.core.accounts import Account
from gatekeeper.core.decision import Decision
from gatekeeper.core.vocabulary import PriceBound, money
from gatekeeper.meta.paths import Target
from gatekeeper.meta.responses import Answer
from gatekeeper.server.headers import decision_headers
from gatekeeper.telemetry import DECISION, Few, Labelled, Metrics

LONGEST = 64
_NOT_TAKEN = 300
_MANY = 5
_ID_BYTES, _DRAWN = 12, 64


class Course(msgspec.Struct, kw_only=True):
    """
    One send, from its first byte to its answer.

    *lender*: the account whose own token it goes out by. *ends*: when the upstream has answered at the latest, by the loop's clock;
    None: the time-out counts from when it sets out. *lost*: it may have arrived; *malformed*: it was refused as that.
    *taken*: what Meta said when it took it.
    """

    id: str
    target: Target
    caller: str
    lender: Account | None = None
    started: float
    decided_at: float = 0.0
    ends: float | None = None
    upstream_s: float | None = None
    upstream_status: int | None = None
    recipient: str = ""
    type: str = ""
    lost: bool = False
    malformed: bool = False
    answer: int = 0
    taken: Answer | None = None

    def headers(self, decision: Decision) -> dict[str, str]:
        """Our headers on the answer."""
        decide_ms, upstream_ms = self.took()
        return decision_headers(decision, self.id, decide_ms=decide_ms, upstream_ms=upstream_ms)

    def took(self) -> tuple[float, float | None]:
        """How many milliseconds the decision took, and the upstream, if it was asked."""
        return _ms(self.decided_at - self.started), None if self.upstream_s is None else _ms(self.upstream_s)


def begun(target: Target, caller: str) -> Course:
    """A send that has just come in."""
    return Course(id=_drawn(), target=target, caller=caller, started=perf_counter())


_ids: list[str] = []


def _drawn() -> str:
    """An id that nobody has; many are drawn at once, for each draw asks the kernel."""
    if not _ids:
        text = secrets.token_hex(_ID_BYTES * _DRAWN)
        _ids.extend(text[at : at + 2 * _ID_BYTES] for at in range(0, len(text), 2 * _ID_BYTES))
    return _ids.pop()


def described(course: Course, decision: Decision, now: int) -> dict[str, Any]:
    """A decision as JSON says it."""
    return {"event": "decision", "id": course.id, "at": now // 1000, **decision.fields()}


class Record:
    """Keeps the log and the counters."""

    def __init__(self, metrics: Metrics, log: Any) -> None:
        self._metrics = metrics
        self._callers, self._categories = Few(), Few()
        self._decisions, self._upstream, self._answers = map(Labelled, (metrics.decisions, metrics.upstream, metrics.answers))
        self._log: structlog.stdlib.BoundLogger = log

    def write(self, course: Course, decision: Decision, *, dry: bool = False) -> None:
        """Write the one line, and count."""
        if not dry:
            category = self._categories.of(decision.category or "none")
            self._decisions.of(decision.verdict, decision.reason, category).inc()
            if decision.forwards and decision.price_bound is PriceBound.UNKNOWN:
                self._metrics.unpriced.labels(decision.currency or "none").inc()
            if decision.category_pending:
                self._metrics.pending_categories.labels(category, decision.category_pending).inc()
            for hit in decision.hits:
                self._metrics.hits.labels(hit.reason, hit.name or "", "annotated" if decision.forwards else "blocked").inc()
            for hit in decision.unkept:
                self._metrics.hits.labels(hit.reason, hit.name or "", "unkept").inc()
            if course.upstream_status is not None:
                self._upstream.of(course.upstream_status).inc()
                if course.answer and decision.forwards and course.upstream_status < _NOT_TAKEN:
                    self._answers.of(self._callers.of(course.caller), _place(course.answer)).inc()
                self._metrics.upstream_seconds.observe(course.upstream_s or 0)
        decide_ms, upstream_ms = course.took()
        self._log.info(
            DECISION,
            id=course.id,
            dry_run=dry,
            phone_number_id=course.target.phone_number_id[:LONGEST],
            recipient=course.recipient,
            caller=course.caller,
            type=course.type,
            verdict=decision.verdict,
            reason=decision.reason,
            rule=decision.rule,
            message=decision.hits[0].refusal.details if decision.rule else None,
            annotated=[hit.name or hit.reason for hit in decision.hits] if decision.forwards else [],
            unkept=[hit.name for hit in decision.unkept],
            template=decision.template,
            category=decision.category,
            category_pending=decision.category_pending,
            opens=decision.opens,
            charged=decision.charged,
            price=None if decision.price is None else money(decision.price),
            price_bound=decision.price_bound,
            currency=decision.currency,
            market=decision.market,
            state=decision.state,
            decide_ms=decide_ms,
            upstream_status=course.upstream_status,
            upstream_ms=upstream_ms,
        )


def _place(nth: int) -> str:
    """Which answer of a turn it is, in few words."""
    return str(nth) if nth < _MANY else f"{_MANY}+"


def _ms(seconds: float) -> float:
    return max(round(seconds * 1_000_000), 0) / 1000
