"""Own the decision: what the ledger's outcome of a plan means, in the words of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from gatekeeper.core.caching import remember
from gatekeeper.core.outcome import Hit, Outcome, dearest, platform, stopped, unkept, warned
from gatekeeper.core.plan import Plan, conversation_name
from gatekeeper.core.rows import Row
from gatekeeper.core.tariff import UNKNOWN_PRICE
from gatekeeper.core.vocabulary import (
    CONVERSATION,
    REFUSALS,
    Clock,
    PriceBound,
    Product,
    Reason,
    Refusal,
    State,
    Verdict,
    money,
)

SECOND_MS = 1000
_UNKNOWN_ENDS: Mapping[str, int] = MappingProxyType({})


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision on one send: contract sections 4 to 6. Prices in micro-units, times in Unix milliseconds."""

    verdict: Verdict
    reason: Reason
    refusal: Refusal | None = None
    category: str | None = None
    opens: str | None = None
    charged: bool | None = False
    price: int | None = None
    price_bound: PriceBound | None = None
    currency: str | None = None
    market: str | None = None
    rate_card: str | None = None
    regime: str | None = None
    window_expires: int | None = None
    free_entry_expires: int | None = None
    conversation_expires: int | None = None
    free_remaining: int | None = None
    category_pending: str | None = None
    state: State = State.WARM
    template: str | None = None
    hits: tuple[Hit, ...] = ()
    unkept: tuple[Hit, ...] = ()
    retry_after: int | None = None

    @property
    def rule(self) -> str | None:
        """The name of the rule, budget or limit that blocked the send, or would have."""
        return self.hits[0].name if self.hits else None

    @property
    def needs_template(self) -> bool:
        """Whether it is blocked for what a template need not mind: the closed window."""
        return not self.forwards and self.reason is Reason.OUTSIDE_CUSTOMER_SERVICE_WINDOW

    @property
    def forwards(self) -> bool:
        """Whether the send goes out."""
        return self.verdict is not Verdict.BLOCK

    def fields(self) -> dict[str, Any]:
        """The decision's JSON fields, every key present."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "error_code": self.refusal.code if self.refusal and not self.forwards else None,
            "category": self.category,
            "opens": self.opens,
            "charged": self.charged,
            "price": None if self.price is None else money(self.price),
            "price_bound": self.price_bound,
            "currency": self.currency,
            "market": self.market,
            "rate_card": self.rate_card,
            "regime": self.regime,
            "window_expires": _seconds(self.window_expires),
            "free_entry_expires": _seconds(self.free_entry_expires),
            "conversation_expires": _seconds(self.conversation_expires),
            "free_remaining": self.free_remaining,
        }


def refused(reason: Reason, plan: Plan | None = None, *, refusal: Refusal | None = None, state: State = State.WARM) -> Decision:
    """Block for *reason*; what applies to the send in any case is said too."""
    return Decision(
        verdict=Verdict.BLOCK, reason=reason, refusal=refusal or REFUSALS[reason], state=state, **(_frame(plan) if plan else {})
    )


def passed_unread(reason: Reason, *, refusal: Refusal | None = None, state: State = State.WARM) -> Decision:
    """Let a send out of which nothing can be said but that *reason* would have blocked it."""
    return Decision(
        verdict=Verdict.ANNOTATE,
        reason=reason,
        refusal=refusal or REFUSALS[reason],
        charged=None,
        price_bound=PriceBound.UNKNOWN,
        state=state,
    )


def decide(plan: Plan, outcome: Outcome | None, *, enforce: bool = True, ends: Mapping[str, int] = _UNKNOWN_ENDS) -> Decision:
    """
    Say what *outcome* means for *plan*; None: the ledger was not there, and the send is let through without it.

    Without *enforce* what would block only annotates. *ends*: of the thread's clocks, where only those are known.
    """
    key = None if outcome is None else _likeness(plan, outcome, enforce=enforce)
    if key is None or outcome is None:
        return _decide(plan, outcome, outcome.clocks() if outcome else ends, enforce=enforce)
    found: Decision | None = plan.decided.get(key)
    if found is None:
        found = remember(plan.decided, key, _decide(plan, outcome, outcome.clocks(), enforce=enforce))
    clocks = outcome.clocks()
    return msgspec.structs.replace(
        found,
        window_expires=clocks.get(Clock.CUSTOMER_SERVICE_WINDOW),
        free_entry_expires=clocks.get(Clock.FREE_ENTRY_POINT),
        free_remaining=None if found.free_remaining is None else _free_remaining(plan.rows[outcome.case - 1], outcome),
    )


def _likeness(plan: Plan, outcome: Outcome, *, enforce: bool) -> tuple[Any, ...] | None:
    """What decisions share that differ in when windows end and how much is free; None: there is more to this one."""
    joins = any(str(clock).startswith(CONVERSATION) for clock in outcome.open[::2])
    if outcome.wait or not plan.sent.is_message or joins:
        return None
    row = plan.rows[outcome.case - 1] if outcome.case else None
    told = row is not None and bool(row.steps) and outcome.told < _tier_begins(row, outcome.reading)
    return (
        *(enforce, outcome.bar, outcome.unseen, outcome.cold, outcome.case, row is not None and outcome.reading < row.free, told),
        *(outcome.cost, outcome.most, outcome.rule, outcome.guard, outcome.warned),
    )


def _decide(plan: Plan, outcome: Outcome | None, clocks: Mapping[str, int], *, enforce: bool) -> Decision:
    if not plan.sent.is_message:
        return Decision(verdict=Verdict.ALLOW, reason=Reason.NOT_A_MESSAGE, price=0, price_bound=PriceBound.EXACT, **_frame(plan))
    expiries = {
        "window_expires": clocks.get(Clock.CUSTOMER_SERVICE_WINDOW),
        "free_entry_expires": clocks.get(Clock.FREE_ENTRY_POINT),
    }
    state = State.DEGRADED if outcome is None else State.COLD if outcome.cold else State.WARM
    refusing = platform(plan, outcome)
    if refusing is not None and enforce:
        asked = State.WARM if outcome is None and plan.refusal else state  # what Meta refuses anyway needs no ledger
        return _blocked(plan, refusing, state=asked, **expiries)
    stopping = stopped(plan, outcome) if enforce else None
    if stopping is not None:
        wait = outcome.wait if outcome and outcome.wait else None
        return _blocked(plan, stopping, state=state, retry_after=wait, **expiries)
    said = _without_ledger(plan) if outcome is None else _picked(plan, outcome, clocks)
    if plan.sent.group:
        said |= {"price": None, "price_bound": PriceBound.UNKNOWN}
    if outcome is None:
        said["unkept"] = unkept(plan)
    hits = (*((refusing,) if refusing else ()), *warned(plan, outcome))
    if hits:
        said |= {"verdict": Verdict.ANNOTATE, "reason": hits[0].reason, "refusal": hits[0].refusal, "hits": hits}
    return Decision(
        **{"verdict": Verdict.ALLOW, "state": state, "category_pending": plan.pending, **_frame(plan), **expiries, **said}
    )


def _blocked(plan: Plan, hit: Hit, *, state: State, **said: Any) -> Decision:
    decision = refused(hit.reason, plan, refusal=hit.refusal, state=state)
    return msgspec.structs.replace(decision, hits=(hit,), **said)


def _picked(plan: Plan, outcome: Outcome, clocks: Mapping[str, int]) -> dict[str, Any]:
    """What the case that was picked says of the send."""
    row = plan.rows[outcome.case - 1]
    free = row.meter is not None and outcome.reading < row.free
    joined = [clock for clock in row.needs if clock.startswith(CONVERSATION) and clock in clocks]
    said: dict[str, Any] = {
        "reason": Reason.WITHIN_FREE_TIER if free else row.case.reason,
        "category": row.category or (conversation_name(joined[0]) if len(joined) == 1 else None),
        "opens": conversation_name(row.opens) if row.opens else None,
        "charged": row.charged and not free,
        "free_remaining": _free_remaining(row, outcome),
        "conversation_expires": max((clocks[clock] for clock in joined), default=None),
        **_priced(outcome.cost, outcome.most),
    }
    by_count = outcome.cost not in (UNKNOWN_PRICE, row.price) and outcome.told < _tier_begins(row, outcome.reading)
    if row.steps and by_count and said["price_bound"] is PriceBound.EXACT:
        said["price_bound"] = PriceBound.AT_MOST  # a tier reached by our own count; Meta's, over all partners, can only be higher
    if row.ceiling and said["charged"] and said["price_bound"] is PriceBound.EXACT:
        said["price_bound"] = PriceBound.AT_MOST
    if outcome.unseen:
        said["reason"] = Reason.WINDOW_UNKNOWN
    return said | _unheard_of(plan, row)


def _free_remaining(row: Row, outcome: Outcome) -> int | None:
    """How many units of an allowance are left behind this one."""
    return max(row.free - outcome.reading - 1, 0) if row.meter and not row.steps else None


def _tier_begins(row: Row, reading: int) -> int:
    """The reading from which on the volume tier holds that *reading* is in."""
    return max((bound for bound, _ in row.steps if 0 <= bound <= reading), default=0)


def _priced(cost: int, most: int) -> dict[str, Any]:
    if UNKNOWN_PRICE in (cost, most):
        return {"price": None, "price_bound": PriceBound.UNKNOWN}
    return {"price": max(cost, most), "price_bound": PriceBound.AT_MOST if most > cost else PriceBound.EXACT}


def _unheard_of(plan: Plan, row: Row) -> dict[str, Any]:
    """A template that we know nothing of may be free, or cost what a marketing template does."""
    if plan.product is not Product.UNKNOWN or row.category != Product.UNKNOWN:
        return {}
    price = plan.rows[-1].price
    bound = PriceBound.UNKNOWN if price is None else PriceBound.AT_MOST
    return {"opens": None, "charged": None, "price": price, "price_bound": bound}


def _without_ledger(plan: Plan) -> dict[str, Any]:
    """Every case might hold: say what they agree on, and the most that any of them costs."""
    last = plan.rows[-1]
    most = dearest(plan)
    may_be_free, may_cost = any(not row.charged or row.free for row in plan.rows), any(row.charged for row in plan.rows)
    unknown = may_be_free and may_cost
    window = any(not bar.refuse_open for bar in plan.bars)
    at_most = unknown or any(row.ceiling for row in plan.rows)
    return {
        "reason": Reason.WINDOW_UNKNOWN if window else last.case.reason,
        "category": last.category,
        "charged": None if unknown else may_cost,
        "price": most,
        "price_bound": PriceBound.UNKNOWN if most is None else PriceBound.AT_MOST if at_most else PriceBound.EXACT,
    } | _unheard_of(plan, last)


def _frame(plan: Plan) -> dict[str, Any]:
    """What is said of every send, free and blocked ones too."""
    return {
        "currency": plan.account.currency,
        "market": plan.market,
        "rate_card": plan.card.effective.isoformat() if plan.card else None,
        "regime": plan.regime.name,
    }


def _seconds(at: int | None) -> int | None:
    return None if at is None else at // SECOND_MS
