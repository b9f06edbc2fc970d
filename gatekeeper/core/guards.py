"""
Own what of the policy a send is held to, as far as it can be told before the ledger is asked.

Rules come in order and the first that matches wins; then budgets and limits, of which the first that fails is the reason. What
depends on shared state goes to Lua as rules and guards of a plan; it compares, and this says what is compared with what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from gatekeeper.core.policy import Budget, Counted, Period, Policy, Rule, Window
from gatekeeper.core.regimes import Platform
from gatekeeper.core.vocabulary import Clock, Mode, Product, Reason


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What of a send a policy looks at; *categories* are what each case of its plan will be reported as."""

    product: Product
    categories: tuple[str | None, ...]
    market: str | None
    caller: str
    phone_number_id: str
    template: str | None
    portfolio: str
    waba_id: str
    currency: str
    day: date
    month: str
    outside_window: bool


class PlannedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of which only shared state is still open: a window, a price (-1: any), or which case it is (empty: any)."""

    rule: Rule
    window: str = ""
    open: bool = False
    above: int = -1
    cases: tuple[int, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether it matches whatever the ledger says."""
        return not self.window and self.above < 0 and not self.cases


class Kind(StrEnum):
    """What a guard compares."""

    AT_MOST = "at_most"
    SPACED = "spaced"
    DISTINCT = "distinct"
    ABSENT = "absent"
    TURN = "turn"


class Noun(StrEnum):
    """What a guard's key is."""

    BUDGET = "budget"
    RATE = "rate"
    PAIR = "pair"
    REACHED = "reached"
    THREAD = "thread"


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """
    One condition over one key, and what a send takes from it.

    at_most: what is spent and reserved in *period* stays within *limit* micro-units. spaced: *burst* at once, and then as many in
    *every* milliseconds. distinct: at most *limit* recipients in *every* milliseconds. absent: a clock is not open.
    turn: nothing is refused, only counted: which answer it is to what the user wrote when *clock* was opened. *noun* and *owner* name
    the key; *by_recipient*: one for each, whatever name the recipient comes under; *unless*: a clock that lifts it.
    """

    kind: Kind
    name: str
    reason: Reason
    mode: Mode
    noun: Noun
    owner: tuple[str, ...] = ()
    by_recipient: bool = False
    limit: int = 0
    every: int = 0
    burst: int = 0
    period: Period | None = None
    cases: tuple[int, ...] = ()
    unless: str = ""
    clock: str = ""


def asked_rules(policy: Policy, asked: Asked, platform: Platform) -> tuple[PlannedRule, ...]:
    """The rules that may match, up to the first that surely does."""
    found = []
    for rule in policy.rule:
        cases = _cases(rule.category, asked, platform)
        if cases is None or unmet(rule, asked):
            continue
        planned = PlannedRule(
            rule=rule,
            window=Clock.CUSTOMER_SERVICE_WINDOW if rule.window else "",
            open=rule.window is Window.OPEN,
            above=-1 if rule.price_above is None else int(rule.price_above),
            cases=cases,
        )
        found.append(planned)
        if planned.certain:
            break
    return tuple(found)


def unmet(rule: Rule, asked: Asked) -> tuple[str, ...]:
    """The conditions of a rule, besides its category, that the send does not meet whatever the ledger says."""
    return tuple(name for name, condition in _CONDITIONS.items() if not condition(rule, asked))


COUNTED_TURN = Guard(
    kind=Kind.TURN,
    name="turn",
    reason=Reason.CHARGED_MESSAGE,
    mode=Mode.ANNOTATE,
    noun=Noun.THREAD,
    clock=Clock.CUSTOMER_SERVICE_WINDOW,
)


def pays(budget: Budget, asked: Asked, platform: Platform) -> bool:
    """Whether a budget is for the send at all."""
    return _paid(budget, asked, platform) is not None


def guards(policy: Policy, asked: Asked, platform: Platform) -> tuple[Guard, ...]:
    """The budgets and limits that the send is held to, in their order."""
    found = [_budget(budget, asked, cases) for budget in policy.budget if (cases := _paid(budget, asked, platform)) is not None]
    limits, kept = policy.limits, platform.limits
    if limits.throughput:
        found.append(
            Guard(
                kind=Kind.SPACED,
                name="throughput",
                reason=Reason.THROUGHPUT_LIMIT,
                mode=limits.mode,
                noun=Noun.RATE,
                owner=(asked.phone_number_id,),
                every=kept.throughput_ms,
                burst=limits.throughput,
            )
        )
    if limits.pair_rate:
        found.append(
            Guard(
                kind=Kind.SPACED,
                name="pair_rate",
                reason=Reason.PAIR_RATE_LIMIT,
                mode=limits.mode,
                noun=Noun.PAIR,
                owner=(asked.phone_number_id,),
                by_recipient=True,
                every=kept.pair_ms * kept.pair_burst,
                burst=kept.pair_burst,
            )
        )
    if limits.messaging_limit and asked.outside_window:
        found.append(
            Guard(
                kind=Kind.DISTINCT,
                name="messaging_limit",
                reason=Reason.MESSAGING_LIMIT,
                mode=limits.mode,
                noun=Noun.REACHED,
                limit=limits.messaging_limit,
                every=kept.messaging_ms,
                unless=Clock.CUSTOMER_SERVICE_WINDOW,
            )
        )
    if limits.marketing_hold and asked.product in platform.permission.needs_consent:
        found.append(
            Guard(
                kind=Kind.ABSENT,
                name="marketing_hold",
                reason=Reason.POLICY_RULE,
                mode=limits.mode,
                noun=Noun.THREAD,
                clock=Clock.MARKETING_HELD,
            )
        )
    return tuple(found)


_CONDITIONS: dict[str, Callable[[Rule, Asked], bool]] = {
    "market": lambda rule, asked: not rule.market or asked.market in rule.market,
    "caller": lambda rule, asked: not rule.caller or asked.caller in rule.caller,
    "phone_number_id": lambda rule, asked: not rule.phone_number_id or asked.phone_number_id in rule.phone_number_id,
    "template": lambda rule, asked: not rule.template or (asked.template is not None and _any(asked.template, rule.template)),
}

_OWNERS: dict[Counted, Callable[[Asked], str]] = {
    Counted.PORTFOLIO: lambda asked: asked.portfolio,
    Counted.WABA: lambda asked: asked.waba_id,
    Counted.PHONE_NUMBER: lambda asked: asked.phone_number_id,
    Counted.CALLER: lambda asked: asked.caller,
    Counted.RECIPIENT: lambda _: "",
}


def _budget(budget: Budget, asked: Asked, cases: tuple[int, ...]) -> Guard:
    period = asked.month if budget.period is Period.MONTH else asked.day.isoformat()
    return Guard(
        kind=Kind.AT_MOST,
        name=budget.name,
        reason=Reason.BUDGET_EXHAUSTED,
        mode=budget.mode,
        noun=Noun.BUDGET,
        owner=(budget.name, budget.scope, _OWNERS[budget.scope](asked), asked.currency, period),
        by_recipient=budget.scope is Counted.RECIPIENT,
        limit=int(budget.limit),
        period=budget.period,
        cases=cases,
    )


def _paid(budget: Budget, asked: Asked, platform: Platform) -> tuple[int, ...] | None:
    """Which cases a budget pays for. What we never heard of may cost as much as marketing, so a budget for that pays for it."""
    priced_as = platform.price_column.get(asked.product)
    return () if priced_as in budget.category else _cases(budget.category, asked, platform)


def _cases(wanted: tuple[str, ...], asked: Asked, platform: Platform) -> tuple[int, ...] | None:
    """Which cases of the plan, counted from 1, are of a wanted category; empty: all of them, None: none."""
    if not wanted or any(name in wanted for name in _named(asked.product, platform)):
        return ()
    return tuple(n for n, category in enumerate(asked.categories, 1) if category in wanted) or None


def _named(product: Product, platform: Platform) -> Iterable[str]:
    """What a product may be called: marketing on `/marketing_messages` and in a group is marketing too; what we do not know is not."""
    yield product
    if product is not Product.UNKNOWN and product in platform.price_column:
        yield platform.price_column[product]


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
