"""Own what crosses to Lua and back: which of a plan, a move and a change the scripts are told, and how their answers are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
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
from gatekeeper.core.settlement import LATCHED, Settled, Settling
from gatekeeper.core.tariff import Meter
from gatekeeper.core.vocabulary import Mode
from gatekeeper.ledger import keys, shapes

_T = TypeVar("_T")
_encode = shapes.encode
_outcome = msgspec.msgpack.Decoder(Outcome).decode
_settled = msgspec.msgpack.Decoder(Settled).decode
_RESERVING = shapes.packed(
    shapes.Reserving(
        state=State.RESERVED, latches=shapes.values(*LATCHED), lifetime=keys.RESERVATION_MS, meter_lifetime=keys.METER_MS
    )
)
_LEAVING = {event: shapes.values(*legal.leaving) for event, legal in MOVES.items()}
# An answer is its fields alone; before them belongs how many they are.
_OUTCOME, _SETTLED = (b"\xdc" + len(answer.__struct_fields__).to_bytes(2, "big") for answer in (Outcome, Settled))


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
    facts: Facts,
    meters: dict[Meter, int],
    guarded: Sequence[tuple[int, int]],
    *,
    commit: bool,
    enforce: bool,
    registry: str,
) -> bytes:
    """Encode what `authorize.lua` needs; *meters* and *guarded* give the index of each meter's and guard's keys among the keys."""
    return shapes.row(
        shapes.Plan(
            id=facts.id,
            commit=commit,
            enforce=enforce,
            registry=registry,
            watched_since=plan.watched_since or 0,
            unseen_closed=plan.unseen_closed,
            unpriced=plan.sent.group,
            bars=_kept(plan.bars, _bars),
            cases=_kept(plan.rows, lambda rows: _cases(rows, meters)),  # the places of meters follow from the rows
            rules=shapes.joined(map(_rule, plan.rules)) if plan.rules else shapes.NONE,
            guards=shapes.joined(map(_guard, plan.guards, guarded)) if guarded else shapes.NONE,
            reserving=_RESERVING,
        )
    )


def outcome(answer: bytes) -> Outcome:
    """Read what `authorize.lua` returned."""
    return _outcome(_OUTCOME + answer)


def move(settling: Settling, meters: dict[Meter, int]) -> bytes:
    """Encode what `settle.lua` needs; *meters* gives each meter's index among the keys."""
    facts = settling.facts
    # What many deliveries share is packed once: the cases, with their lines of the bill; the places of meters follow from the rows.
    key = id(settling.rows), id(settling.own), facts.phone_number_id, facts.caller, facts.product, settling.market
    found = _moved.get(key)
    if found is None or found[0] is not settling.rows or found[1] is not settling.own:
        cases, own = _cases(settling.rows, meters, settling), _cases(settling.own, meters)
        found = remember(_moved, key, (settling.rows, settling.own, cases, own))
    return shapes.row(
        shapes.Move(
            id=facts.id,
            leaving=_LEAVING[settling.event],
            to=MOVES[settling.event].to,
            member=settling.member,
            cases=found[2],
            own=found[3],
            lengths=settling.lengths,
            latches=settling.latches,
            told=settling.told,
            sent_at=facts.at,
            lifetime=0
            if settling.event is Event.REFUSE
            else keys.SETTLED_MS,  # what Meta never took has no statuses to tell apart
            meter_lifetime=keys.METER_MS,
            spend_lifetime=keys.SPEND_MS,
        )
    )


def settled(answer: bytes) -> Settled:
    """Read what `settle.lua` returned."""
    return _settled(_SETTLED + answer)


def facts(facts: Facts) -> bytes:
    """Encode what a reservation remembers; Lua keeps it as it is."""
    return _encode(facts)


def changes(listed: list[Change]) -> bytes:
    """Encode what `observe.lua` needs."""
    return _encode(listed)


def meters(*tables: tuple[Row, ...], first: int) -> dict[Meter, int]:
    """Give each meter of some rows its index among the keys, counting from *first*."""
    found: dict[Meter, int] = {}
    for row in (row for table in tables for row in table):
        if row.meter is not None and row.meter not in found:
            found[row.meter] = first + len(found)
    return found


_rules: dict[PlannedRule, msgspec.Raw] = {}


def _rule(planned: PlannedRule) -> msgspec.Raw:
    found = _rules.get(planned)
    if found is None:
        shape = shapes.Rule(
            window=planned.window,
            open=planned.open,
            above=planned.above,
            among=shapes.values(*planned.cases),
            block=planned.rule.action is Action.BLOCK,
            enforced=planned.rule.mode is Mode.ENFORCE,
        )
        found = remember(_rules, planned, shapes.packed(shape))
    return found


_guards: dict[tuple[Guard, tuple[int, int]], msgspec.Raw] = {}


def _guard(guard: Guard, places: tuple[int, int]) -> msgspec.Raw:
    found = _guards.get((guard, places))
    if found is None:
        shape = shapes.Guard(
            kind=guard.kind,
            enforced=guard.mode is Mode.ENFORCE,
            unless=guard.unless,
            among=shapes.values(*guard.cases),
            terms=shapes.packed(_TERMS[guard.kind](guard, *places)),
        )
        found = remember(_guards, (guard, places), shapes.packed(shape))
    return found


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

_packed: dict[int, tuple[Any, msgspec.Raw]] = {}
_moved: dict[Any, tuple[tuple[Row, ...], tuple[Row, ...], msgspec.Raw, msgspec.Raw]] = {}


def _kept(shared: _T, shaped: Callable[[_T], msgspec.Raw]) -> msgspec.Raw:
    """Pack what many plans share once."""
    found = _packed.get(id(shared))
    if found is None or found[0] is not shared:
        found = remember(_packed, id(shared), (shared, shaped(shared)))
    return found[1]


def _bars(bars: tuple[Bar, ...]) -> msgspec.Raw:
    return shapes.rows(shapes.Bar(clock=bar.clock, refuse_open=bar.refuse_open) for bar in bars)


def _cases(table: tuple[Row, ...], meters: dict[Meter, int], settling: Settling | None = None) -> msgspec.Raw:
    return shapes.rows(
        shapes.Case(
            needs=shapes.values(*row.needs),
            unconfirmed=row.case.unconfirmed,
            tariff=shapes.values(*chain.from_iterable(row.tariff)),
            meter=meters[row.meter] if row.meter else 0,
            opens=row.opens,
            length=row.length,
            cell=settled_cell(settling, row).packed if settling else "",
        )
        for row in table
    )
