"""Own the shapes that cross to Lua: a plan, a move and a change as msgpack maps whose keys the scripts name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from gatekeeper.core.bill import settled_cell
from gatekeeper.core.caching import remember
from gatekeeper.core.effects import Change
from gatekeeper.core.guards import Guard, PlannedRule
from gatekeeper.core.holding import Passing
from gatekeeper.core.plan import Bar, Plan
from gatekeeper.core.policy import Action, Period
from gatekeeper.core.reservation import MOVES, Event, Facts, State
from gatekeeper.core.rows import Row
from gatekeeper.core.settlement import LATCHED, Settling
from gatekeeper.core.tariff import Meter
from gatekeeper.core.vocabulary import Mode
from gatekeeper.ledger import keys

_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode


class _Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    needs: tuple[str, ...]
    opens: str
    length: int
    meter: int
    unconfirmed: bool = False
    tariff: tuple[tuple[int, int], ...]
    cell: str = ""


class _Bar(msgspec.Struct, frozen=True, kw_only=True):
    clock: str
    refuse_open: bool


class _Rule(msgspec.Struct, frozen=True, kw_only=True):
    window: str
    open: bool
    above: int
    cases: tuple[int, ...]
    block: bool
    enforce: bool


class _Guard(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    key: int
    held: int
    by_recipient: bool
    limit: int
    every: int
    burst: int
    lifetime: int
    cases: tuple[int, ...]
    unless: str
    clock: str
    enforce: bool


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    state: str
    commit: bool
    enforce: bool
    registry: str
    watched_since: int
    unseen_closed: bool
    latches: tuple[str, ...]
    bars: msgspec.Raw
    cases: msgspec.Raw
    rules: tuple[_Rule, ...]
    guards: tuple[_Guard, ...]
    unpriced: bool
    lifetime: int
    meter_lifetime: int


class _Move(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    leaving: tuple[str, ...]
    to: str
    member: str
    cases: tuple[_Case, ...]
    own: tuple[_Case, ...]
    lengths: dict[str, int]
    latches: dict[str, int]
    told: dict[str, int]
    sent_at: int
    lifetime: int
    meter_lifetime: int
    spend_lifetime: int


class _Learned(msgspec.Struct, frozen=True, kw_only=True):
    facts: dict[str, str]
    version: str


def learned(facts: dict[str, str], version: str) -> bytes:
    """Encode what `learn.lua` needs."""
    return _encode(_Learned(facts=facts, version=version))


class _Onward(msgspec.Struct, frozen=True, kw_only=True):
    owner: str
    leaving: tuple[str, ...]
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
            leaving=passing.leaving,
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
    return _encode(
        _Plan(
            id=facts.id,
            state=State.RESERVED,
            commit=commit,
            enforce=enforce,
            registry=registry,
            watched_since=plan.watched_since or 0,
            unseen_closed=plan.unseen_closed,
            latches=LATCHED,
            bars=_kept(plan.bars, _bars),
            cases=_kept(plan.rows, lambda rows: _cases(rows, meters)),  # the places of meters follow from the rows
            rules=tuple(_rule(rule) for rule in plan.rules),
            guards=tuple(_guard(guard, *places) for guard, places in zip(plan.guards, guarded, strict=True)),
            unpriced=plan.sent.group,
            lifetime=keys.RESERVATION_MS,
            meter_lifetime=keys.METER_MS,
        )
    )


def move(settling: Settling, meters: dict[Meter, int]) -> bytes:
    """Encode what `settle.lua` needs; *meters* gives each meter's index among the keys."""
    legal = MOVES[settling.event]
    return _encode(
        _Move(
            id=settling.facts.id,
            leaving=legal.leaving,
            to=legal.to,
            member=settling.member,
            cases=_cases(settling.rows, meters, settling),
            own=_cases(settling.own, meters),
            lengths=settling.lengths,
            latches=settling.latches,
            told=settling.told,
            sent_at=settling.facts.at,
            lifetime=0
            if settling.event is Event.REFUSE
            else keys.SETTLED_MS,  # what Meta never took has no statuses to tell apart
            meter_lifetime=keys.METER_MS,
            spend_lifetime=keys.SPEND_MS,
        )
    )


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


def _rule(planned: PlannedRule) -> _Rule:
    return _Rule(
        window=planned.window,
        open=planned.open,
        above=planned.above,
        cases=planned.cases,
        block=planned.rule.action is Action.BLOCK,
        enforce=planned.rule.mode is Mode.ENFORCE,
    )


def _guard(guard: Guard, key: int, held: int) -> _Guard:
    return _Guard(
        kind=guard.kind,
        key=key,
        held=held,
        by_recipient=guard.by_recipient,
        limit=guard.limit,
        every=guard.every,
        burst=guard.burst,
        lifetime=_lifetime(guard),
        cases=guard.cases,
        unless=guard.unless,
        clock=guard.clock,
        enforce=guard.mode is Mode.ENFORCE,
    )


def _lifetime(guard: Guard) -> int:
    """How long what a guard counts is looked at."""
    return _LIFETIMES[guard.period] if guard.period else guard.every + keys.PACE_MS


_LIFETIMES = {Period.DAY: keys.DAY_BUDGET_MS, Period.MONTH: keys.MONTH_BUDGET_MS}


_packed: dict[int, tuple[Any, msgspec.Raw]] = {}


def _kept(shared: _T, shaped: Callable[[_T], Any]) -> msgspec.Raw:
    """Pack what many plans share once."""
    found = _packed.get(id(shared))
    if found is None or found[0] is not shared:
        found = remember(_packed, id(shared), (shared, msgspec.Raw(_encode(shaped(shared)))))
    return found[1]


def _bars(bars: tuple[Bar, ...]) -> tuple[_Bar, ...]:
    return tuple(_Bar(clock=bar.clock, refuse_open=bar.refuse_open) for bar in bars)


def _cases(rows: tuple[Row, ...], meters: dict[Meter, int], settling: Settling | None = None) -> tuple[_Case, ...]:
    return tuple(
        _Case(
            needs=row.needs,
            unconfirmed=row.case.unconfirmed,
            opens=row.opens,
            length=row.length,
            meter=meters[row.meter] if row.meter else 0,
            tariff=row.tariff,
            cell=settled_cell(settling, row).packed if settling else "",
        )
        for row in rows
    )
