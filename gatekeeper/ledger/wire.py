"""Own what crosses to Lua and back: which of a plan, a move and a change the scripts are told, and how their answers are read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, takewhile
from typing import Any, TypeVar

import msgspec

from gatekeeper.core.bill import settled_cell
from gatekeeper.core.caching import remember
from gatekeeper.core.effects import Change
from gatekeeper.core.guards import Guard, Kind, PlannedRule
from gatekeeper.core.holding import Passing
from gatekeeper.core.outcome import Outcome
from gatekeeper.core.plan import Bar, Plan
from gatekeeper.core.policy import Action, Period
from gatekeeper.core.reservation import MOVES, Event, Facts, State
from gatekeeper.core.rows import Row
from gatekeeper.core.settlement import ANSWERED, LATCHED, Settled, Settling
from gatekeeper.core.tariff import UNKNOWN_PRICE, Meter
from gatekeeper.core.vocabulary import Mode
from gatekeeper.ledger import keys, shapes

_T = TypeVar("_T")
_encode = shapes.encode
outcome = msgspec.msgpack.Decoder(Outcome).decode
"""Read what `authorize.lua` returned."""

settled = msgspec.msgpack.Decoder(Settled).decode
"""Read what `settle.lua` returned."""

_LATCHES = shapes.values(*LATCHED)
_NEVER = 1
_LEAVING = {event: shapes.values(*legal.leaving) for event, legal in MOVES.items()}
_NO_BOUND = -1
_UNNAMED = (Event.REFUSE, Event.LAPSE)
# As text: they go to a command as they are. What Meta never took has no statuses to tell apart.
_RESERVATION_MS, _SETTLED_MS, _NOTHING = str(keys.RESERVATION_MS), str(keys.SETTLED_MS), "0"


class _Learned(msgspec.Struct, frozen=True, kw_only=True):
    facts: dict[str, str]
    version: str


def learned(facts: dict[str, str], version: str) -> bytes:
    """Encode what `learn.lua` needs."""
    return _encode(_Learned(facts=facts, version=version))


class _Onward(msgspec.Struct, frozen=True, kw_only=True):
    owner: str
    leaving: msgspec.Raw
    to: str
    ends: bool
    lease: int
    due: int
    lifetime: int
    told: dict[str, str]


def onward(passing: Passing, *, owner: str, lease: int, due: int, told: dict[str, str]) -> bytes:
    """Encode what `pass.lua` needs."""
    return _encode(
        _Onward(
            owner=owner,
            leaving=shapes.values(*passing.leaving),
            to=passing.to,
            ends=passing.ends,
            lease=lease,
            due=due,
            lifetime=keys.TEXT_MS,
            told=told,
        )
    )


def plan(
    plan: Plan,
    meters: dict[Meter, int],
    guarded: tuple[tuple[int, int], ...],
    *,
    commit: bool,
    enforce: bool,
    registry: str,
) -> bytes:
    """Encode what `authorize.lua` needs; *meters* and *guarded* give the index of each meter's and guard's keys among the keys."""
    return shapes.row(
        shapes.Plan(
            now=plan.at,
            commit=commit,
            enforce=enforce,
            registry=registry,
            watched_since=plan.watched_since or 0,
            unseen_closed=plan.unseen_closed,
            unpriced=plan.sent.group,
            bars=once(("bars", id(plan.bars)), _bars, plan.bars),
            cases=once(("cases", id(plan.rows)), _cases, plan.rows, meters),  # the places of meters follow from the rows
            rules=once(("rules", plan.rules), _rules, plan.rules) if plan.rules else shapes.NONE,
            guards=once(("guards", plan.guards, guarded), _guards, plan.guards, guarded) if guarded else shapes.NONE,
            state=State.RESERVED,
            latches=_LATCHES,
            lifetime=_RESERVATION_MS,
            meter_lifetime=keys.METER_MS,
        )
    )


def move(settling: Settling, meters: dict[Meter, int]) -> bytes:
    """Encode what `settle.lua` needs; *meters* gives each meter's index among the keys."""
    facts = settling.facts
    # Deliveries that share their rows and their line of the bill; the places of meters follow from the rows.
    shared = "tables", id(settling.rows), id(settling.own), facts.phone_number_id, facts.caller, facts.product, settling.market
    cases, own = once(shared, lambda *tables: _tables(settling, meters, *tables), settling.rows, settling.own)
    return shapes.row(
        shapes.Move(
            at=settling.at,
            id=facts.id,
            leaving=_LEAVING[settling.event],
            to=MOVES[settling.event].to,
            member=settling.member,
            cases=cases,
            own=own,
            conversations=settling.conversations,
            latches=settling.latches | {ANSWERED: -settling.latches.get(ANSWERED, _NEVER)},
            told=settling.told,
            sent_at=facts.at,
            lifetime=_NOTHING if settling.event in _UNNAMED else _SETTLED_MS,
            meter_lifetime=keys.METER_MS,
            spend_lifetime=keys.SPEND_MS,
            again=settling.again,
        )
    )


def facts(facts: Facts) -> bytes:
    """Encode what a reservation remembers; Lua keeps it as it is."""
    return _encode(facts)


def changes(listed: list[Change]) -> bytes:
    """Encode what `observe.lua` needs."""
    return _encode(listed)


def _rules(rules: tuple[PlannedRule, ...]) -> msgspec.Raw:
    return shapes.rows(
        shapes.Rule(
            window=planned.window,
            open=planned.open,
            above=planned.above,
            among=shapes.values(*planned.cases),
            block=planned.rule.action is Action.BLOCK,
            enforced=planned.rule.mode is Mode.ENFORCE,
        )
        for planned in rules
    )


def _guards(guards: tuple[Guard, ...], guarded: tuple[tuple[int, int], ...]) -> msgspec.Raw:
    return shapes.rows(
        shapes.Guard(
            kind=guard.kind,
            enforced=guard.mode is Mode.ENFORCE,
            unless=guard.unless,
            among=shapes.values(*guard.cases),
            terms=shapes.packed(_TERMS[guard.kind](guard, *places)),
        )
        for guard, places in zip(guards, guarded, strict=True)
    )


_LIFETIMES = {Period.DAY: keys.DAY_BUDGET_MS, Period.MONTH: keys.MONTH_BUDGET_MS}


def _at_most(guard: Guard, key: int, _: int) -> shapes.AtMost:
    lifetime = _LIFETIMES[guard.period] if guard.period else guard.every + keys.PACE_MS
    return shapes.AtMost(key=key, by_recipient=guard.by_recipient, limit=guard.limit, lifetime=lifetime)


def _spaced(guard: Guard, key: int, _: int) -> shapes.Spaced:
    lifetime = guard.every + keys.PACE_MS
    return shapes.Spaced(key=key, by_recipient=guard.by_recipient, every=guard.every, burst=guard.burst, lifetime=lifetime)


def _distinct(guard: Guard, key: int, held: int) -> shapes.Distinct:
    return shapes.Distinct(key=key, held=held, limit=guard.limit, every=guard.every, lifetime=guard.every + keys.PACE_MS)


def _clocked(guard: Guard, _key: int, _held: int) -> shapes.Clocked:
    return shapes.Clocked(clock=guard.clock)


# What each kind of guard is asked about, beside what all of them are.
_TERMS: dict[Kind, Callable[[Guard, int, int], shapes.Row]] = {
    Kind.AT_MOST: _at_most,
    Kind.SPACED: _spaced,
    Kind.DISTINCT: _distinct,
    Kind.TURN: _clocked,
    Kind.ABSENT: _clocked,
}


_shared: dict[Any, tuple[Any, tuple[Any, ...]]] = {}


def once(key: Any, make: Callable[..., _T], *of: Any) -> _T:
    """
    Make once what many calls share. *of* stays alive as long as that is kept, so *key* may be made of ids.

    *key* begins with the name of what is made: one tuple may be several things, as the empty one is.
    """
    found = _shared.get(key)
    if found is None:
        found = remember(_shared, key, (make(*of), of))
    packed: _T = found[0]
    return packed


def _bars(bars: tuple[Bar, ...]) -> msgspec.Raw:
    return shapes.flat(shapes.Bar(clock=bar.clock, refuse_open=bar.refuse_open) for bar in bars)


def _tables(
    settling: Settling, meters: dict[Meter, int], rows: tuple[Row, ...], own: tuple[Row, ...]
) -> tuple[msgspec.Raw, msgspec.Raw]:
    return _cases(rows, meters, settling), _cases(own, meters)


def _cases(table: tuple[Row, ...], meters: dict[Meter, int], settling: Settling | None = None) -> msgspec.Raw:
    return shapes.flat(_case(row, meters[row.meter] if row.meter else 0, settling) for row in table)


def _case(row: Row, meter: int, settling: Settling | None) -> shapes.Case:
    bounded = list(takewhile(lambda step: step[0] != _NO_BOUND, row.tariff))
    rest = [price for _, price in row.tariff[len(bounded) :]]
    terms = shapes.Terms(
        price=rest[0] if rest else UNKNOWN_PRICE,
        steps=shapes.values(*chain.from_iterable(bounded)),
        meter=meter,
        opens=row.opens,
        length=row.length,
        cell=settled_cell(settling, row).packed if settling else "",
    )
    needs, *others = row.needs or ("",)
    return shapes.Case(needs=needs, others=shapes.values(*others), unconfirmed=row.case.unconfirmed, terms=shapes.packed(terms))
