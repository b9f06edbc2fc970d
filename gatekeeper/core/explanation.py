"""Own the explanation of a decision: everything that was looked at, in the order in which it was, with its outcome in words."""

from __future__ import annotations

import datetime as dt

import msgspec

from gatekeeper.core.guards import Guard, Kind, PlannedRule, pays, unmet
from gatekeeper.core.outcome import Outcome, matched
from gatekeeper.core.plan import Bar, Plan, asked_of, conversation_name
from gatekeeper.core.policy import Action, Policy, Rule
from gatekeeper.core.rows import Row
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.tariff import UNKNOWN_PRICE
from gatekeeper.core.vocabulary import MEANINGS, REFUSALS, Mode, money

HOLDS, FAILS, PASSES, SKIPPED = "holds", "does not hold", "passes", "not reached"
REFUSES, WARNS, UNKNOWN, ELSEWHERE = "refuses", "would refuse", "unknown", "not for this message"


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at: a platform rule, a case, a rule, a budget or a limit."""

    looked_at: str
    name: str
    outcome: str
    why: str


def explain(plan: Plan, outcome: Outcome | None, policy: Policy, book: Rulebook, *, caller: str) -> list[Looked]:
    """Say what was looked at for *plan*; *outcome* None: the ledger was not asked."""
    if not plan.sent.is_message:
        return [Looked(looked_at="platform", name="not_a_message", outcome=PASSES, why="nothing is sent, and nothing counts")]
    return [
        *_platform(plan, outcome),
        *(_case(plan, n, row, outcome) for n, row in enumerate(plan.rows, 1)),
        *_rules(plan, outcome, policy, book, caller),
        *_budgets_elsewhere(plan, policy, book, caller),
        *(_guard(plan, n, guard, outcome) for n, guard in enumerate(plan.guards, 1) if guard.kind is not Kind.TURN),
    ]


def _platform(plan: Plan, outcome: Outcome | None) -> list[Looked]:
    if plan.refusal is not None:
        details = plan.finding.refusal.details if plan.finding else REFUSALS[plan.refusal].details
        return [Looked(looked_at="platform", name=plan.refusal, outcome=REFUSES, why=details)]
    return [_bar(n, bar, outcome) for n, bar in enumerate(plan.bars, 1)]


def _bar(n: int, bar: Bar, outcome: Outcome | None) -> Looked:
    clock, ends = conversation_name(bar.clock), outcome.clocks().get(bar.clock) if outcome else None
    open_until = f"{clock} is open until {_time(ends)}" if ends else f"{clock} is not open"
    if outcome is None:
        said = UNKNOWN, "the ledger was not asked"
    elif outcome.bar == n:
        said = REFUSES, open_until
    elif outcome.bar and outcome.bar < n:
        said = SKIPPED, "something above refuses already"
    elif outcome.unseen and not bar.refuse_open:
        said = UNKNOWN, f"{clock} was never seen open, and the ledger has not watched for long enough to call it closed"
    else:
        said = PASSES, open_until
    return Looked(looked_at="platform", name=bar.reason, outcome=said[0], why=said[1])


def _case(plan: Plan, n: int, row: Row, outcome: Outcome | None) -> Looked:
    needs = " or ".join(conversation_name(clock) for clock in row.needs)
    if outcome is None or not outcome.case or n > outcome.case:
        said = SKIPPED, f"needs {needs}" if needs else "always holds"
    elif n < outcome.case:
        said = FAILS, f"needs {needs}, which is not open"
    else:
        said = HOLDS, "; ".join((f"{needs} is open" if needs else "nothing above holds", _priced(plan, row, outcome)))
    return Looked(looked_at="case", name=row.case.name, outcome=said[0], why=said[1])


def _priced(plan: Plan, row: Row, outcome: Outcome) -> str:
    cost, most = _amount(outcome.cost, plan), _amount(outcome.most, plan)
    said = [MEANINGS[row.case.reason], f"costs {cost}"]
    if outcome.cost > 0 and row.doubts:
        said[-1] = f"costs at most {cost}: {' and '.join(row.doubts)}"
    if row.meter:
        of = f" of {row.free} free" if row.free else ""
        said.append(f"{outcome.reading}{of} counted before it ({row.meter.name}, {row.meter.month})")
    if outcome.sure != outcome.case:
        said.append(f"not certain yet: at most {most}, by the case {plan.rows[outcome.sure - 1].case.name!r}")
    return "; ".join(said)


def _rules(plan: Plan, outcome: Outcome | None, policy: Policy, book: Rulebook, caller: str) -> list[Looked]:
    asked, planned = asked_of(plan, book, caller), {one.rule.name: (n, one) for n, one in enumerate(plan.rules, 1)}
    first = matched(plan, outcome)
    found, ended = [], False
    for rule in policy.rule:
        n, one = planned.get(rule.name, (0, None))
        if ended:
            said = SKIPPED, "a rule above ends the list"
        elif one is None:
            conditions = unmet(rule, asked) or ("category",)
            said = FAILS, f"the message does not meet: {', '.join(conditions)}"
        elif not plan.rows or (outcome is not None and not outcome.case):
            said = SKIPPED, "the platform refuses already"
        elif outcome is None and n != first:
            said = UNKNOWN, "the ledger was not asked"
        elif n == first:
            said, ended = _matched(plan, rule), True
        else:
            said = FAILS, f"the message does not meet: {_unmet_there(one, plan, outcome)}"
        found.append(Looked(looked_at="rule", name=rule.name, outcome=said[0], why=said[1]))
    return found


def _matched(plan: Plan, rule: Rule) -> tuple[str, str]:
    if rule.action is Action.ALLOW:
        return PASSES, "it matches, and allows: the list ends here"
    refuses = rule.mode is Mode.ENFORCE
    return (
        REFUSES if refuses else WARNS
    ), rule.message or f"every condition holds ({plan.product}, {plan.market or 'no market'})"


def _unmet_there(planned: PlannedRule, plan: Plan, outcome: Outcome | None) -> str:
    said = []
    if planned.window:
        said.append(f"window {'open' if planned.open else 'closed'}")
    if planned.above >= 0:
        said.append(f"price above {money(planned.above)} {plan.account.currency}")
    if planned.cases and outcome is not None and outcome.case not in planned.cases:
        said.append("category")
    return " and ".join(said)


def _budgets_elsewhere(plan: Plan, policy: Policy, book: Rulebook, caller: str) -> list[Looked]:
    asked = asked_of(plan, book, caller)
    return [
        Looked(looked_at="budget", name=budget.name, outcome=ELSEWHERE, why=f"it is for {', '.join(budget.category)}")
        for budget in policy.budget
        if not pays(budget, asked, book.platform)
    ]


def _guard(plan: Plan, n: int, guard: Guard, outcome: Outcome | None) -> Looked:
    readings = dict(outcome.looked) if outcome else {}
    if outcome is None:
        said = UNKNOWN, "the ledger was not asked: it cannot be kept"
    elif n not in readings:
        reached = outcome.case and not outcome.guard and not (outcome.rule and outcome.status == "refused")
        said = (ELSEWHERE, "it does not count this message now") if reached else (SKIPPED, "something above refuses already")
    else:
        verdict = REFUSES if outcome.guard == n else WARNS if n in outcome.warned else PASSES
        said = verdict, _read(plan, guard, readings[n], outcome)
    return Looked(looked_at="budget" if guard.kind is Kind.AT_MOST else "limit", name=guard.name, outcome=said[0], why=said[1])


def _read(plan: Plan, guard: Guard, reading: int, outcome: Outcome) -> str:
    match guard.kind:
        case Kind.AT_MOST:
            takes = money(max(outcome.cost, outcome.most)) if outcome.cost > 0 else "0"
            currency = plan.account.currency
            return f"{money(reading)} of {money(guard.limit)} {currency} is spent or reserved, and this message takes {takes}"
        case Kind.SPACED:
            return (
                f"the next one is due in {reading} ms" if reading else f"{guard.burst} at once, and as many in {guard.every} ms"
            )
        case Kind.DISTINCT:
            return f"{reading} of {guard.limit} recipients were reached outside a window"
        case Kind.ABSENT:
            ends = outcome.clocks().get(guard.clock)
            return f"Meta held a marketing message back; wait until {_time(ends)}" if ends else "Meta held nothing back"
        case Kind.TURN:
            return f"answer {reading} to what the user wrote last"


def _amount(micros: int, plan: Plan) -> str:
    return "an unknown price" if micros == UNKNOWN_PRICE else f"{money(micros)} {plan.account.currency}"


def _time(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
