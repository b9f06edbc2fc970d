"""Own what the ledger found of a plan, and what of it stands in the send's way."""

from __future__ import annotations

import msgspec

from gatekeeper.core.guards import Guard, Kind
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
    bar: int
    unseen: bool
    cold: bool
    case: int
    reading: int
    told: int
    cost: int
    sure: int
    most: int
    open: tuple[str | int, ...]
    rule: int
    guard: int
    wait: int
    warned: tuple[int, ...]
    looked: tuple[tuple[int, int], ...]

    def nth_answer(self, plan: Plan) -> int:
        """Which answer it is to what the user wrote last; 0: it answers nothing."""
        counted = next((n for n, guard in enumerate(plan.guards, 1) if guard.kind is Kind.TURN), 0)
        return dict(self.looked).get(counted, 0)

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
    rule = _matched(plan, outcome)
    if rule is not None and rule.action is Action.BLOCK and rule.mode is Mode.ENFORCE:
        return _by_rule(rule)
    return _by_guard(plan.guards[outcome.guard - 1]) if outcome is not None and outcome.guard else None


def warned(plan: Plan, outcome: Outcome | None) -> tuple[Hit, ...]:
    """What of the policy would block a send that goes out."""
    rule = _matched(plan, outcome)
    hits = [_by_rule(rule)] if rule is not None and rule.action is Action.BLOCK else []
    return (*hits, *(_by_guard(plan.guards[n - 1]) for n in (outcome.warned if outcome else ())))


def _matched(plan: Plan, outcome: Outcome | None) -> Rule | None:
    """The first rule that matches; without a ledger, if it surely does."""
    if outcome is not None:
        return plan.rules[outcome.rule - 1].rule if outcome.rule else None
    return plan.rules[0].rule if plan.rules and plan.rules[0].certain else None


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
