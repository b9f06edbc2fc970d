"""Own what the ledger found of a plan, and what of it stands in the send's way."""

from __future__ import annotations

import msgspec

from gatekeeper.core.guards import Guard, Kind, PlannedRule
from gatekeeper.core.plan import Plan
from gatekeeper.core.policy import Action, Rule
from gatekeeper.core.vocabulary import REFUSALS, Mode, Reason, Refusal


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """
    What `authorize.lua` found. Indexes count from 1; 0 is none.

    *status*: reserved, picked (nothing written), refused or stale (the templates changed meanwhile). *case* holds over what is
    expected, *sure* over what is certain; *cost* and *most* are their prices. *told* is what Meta said that the meter reads at least.
    *open* lists clocks and their ends in turn. *rule* is the first that matches, *guard* the first that fails and refuses, *wait* after
    how many milliseconds it would not; *warned* are the guards that fail and do not refuse, *looked* all that were asked, each with
    what it read.
    """

    status: str
    cold: bool = False
    case: int = 0
    reading: int = 0
    told: int = 0
    cost: int = 0
    sure: int = 0
    most: int = 0
    open: tuple[str | int, ...] = ()
    looked: tuple[tuple[int, int], ...] = ()
    bar: int = 0
    unseen: bool = False
    rule: int = 0
    guard: int = 0
    wait: int = 0
    warned: tuple[int, ...] = ()

    def nth_answer(self, plan: Plan) -> int:
        """Which answer it is to what the user wrote last; 0: it answers nothing."""
        for n, guard in enumerate(plan.guards, 1):
            if guard.kind is Kind.TURN:
                return dict(self.looked).get(n, 0)
        return 0

    def clocks(self) -> dict[str, int]:
        """The open clocks and their ends."""
        return dict(zip(self.open[::2], self.open[1::2], strict=True))  # type: ignore[arg-type]


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Something that blocks a send, or would: the reason, and the name of the rule, budget or limit."""

    reason: Reason
    name: str | None = None
    refusal: Refusal


def platform(plan: Plan, outcome: Outcome | None) -> Hit | None:
    """What Meta would refuse."""
    if plan.finding is not None:
        return Hit(reason=Reason.MALFORMED_REQUEST, refusal=plan.finding.refusal)
    reason = plan.refusal
    if reason is None and outcome is not None and outcome.bar:
        reason = plan.bars[outcome.bar - 1].reason
    return None if reason is None else Hit(reason=reason, refusal=REFUSALS[reason])


def stopped(plan: Plan, outcome: Outcome | None) -> Hit | None:
    """What of the policy blocks the send."""
    rule = _blocking(plan, outcome)
    if rule is not None and rule.mode is Mode.ENFORCE:
        return _by_rule(rule)
    return _by_guard(plan.guards[outcome.guard - 1]) if outcome is not None and outcome.guard else None


def warned(plan: Plan, outcome: Outcome | None) -> tuple[Hit, ...]:
    """What of the policy would block a send that goes out."""
    rule = _blocking(plan, outcome)
    hits = [_by_rule(rule)] if rule is not None else []
    return (*hits, *(_by_guard(plan.guards[n - 1]) for n in (outcome.warned if outcome else ())))


def unkept(plan: Plan) -> tuple[Hit, ...]:
    """What of the policy nobody can hold a send to while the ledger is away."""
    untold = [plan.rules[n - 1].rule for n in _possible(plan)] if not matched(plan, None) else []
    rules = [_by_rule(rule) for rule in untold if rule.action is Action.BLOCK]
    return (*rules, *(_by_guard(guard) for guard in plan.guards if guard.kind is not Kind.TURN))


def matched(plan: Plan, outcome: Outcome | None) -> int:
    """
    Which rule is the first that matches, counting from 1; 0: none.

    Without a ledger it is the one that matches whatever a window is. Where several may be the first and each of them blocks, one of
    them does: the mildest, so that nothing is refused that might go out.
    """
    if outcome is not None:
        return outcome.rule
    possible = _possible(plan)
    rules = {n: plan.rules[n - 1] for n in possible}
    if not possible or not _told(rules[possible[-1]]):
        return 0
    if len({rule.rule.action for rule in rules.values()}) > 1:
        return 0
    return next((n for n, rule in rules.items() if rule.rule.mode is Mode.ANNOTATE), possible[-1])


def dearest(plan: Plan) -> int | None:
    """The most that any case costs; None: it is not known."""
    prices = [row.price for row in plan.rows]
    return None if plan.sent.group or None in prices else max((price for price in prices if price is not None), default=0)


def _possible(plan: Plan) -> list[int]:
    """The rules that may be the first to match, as far as can be told without a ledger: up to one that surely matches."""
    most, found = dearest(plan), []
    for n, rule in enumerate(plan.rules, 1):
        if rule.above >= 0 and most is not None and most <= rule.above:
            continue
        found.append(n)
        if _told(rule):
            break
    return found


def _told(rule: PlannedRule) -> bool:
    """Whether a rule whose price was looked at matches whatever the ledger would say."""
    return not rule.window and not rule.cases


def _blocking(plan: Plan, outcome: Outcome | None) -> Rule | None:
    n = matched(plan, outcome)
    return plan.rules[n - 1].rule if n and plan.rules[n - 1].rule.action is Action.BLOCK else None


def _by_rule(rule: Rule) -> Hit:
    refusal = REFUSALS[Reason.POLICY_RULE]
    details = rule.message or f"The rule {rule.name!r} of this gate's policy forbids this message."
    return Hit(reason=Reason.POLICY_RULE, name=rule.name, refusal=msgspec.structs.replace(refusal, details=details))


def _by_guard(guard: Guard) -> Hit:
    refusal = REFUSALS[guard.reason]
    return Hit(
        reason=guard.reason,
        name=guard.name,
        refusal=msgspec.structs.replace(refusal, details=f"{refusal.details} ({guard.name})"),
    )
