"""
Own the bill: which line of it a message belongs to, and what a month of lines comes to.

Quoted is what a decision said that an accepted send costs, settled what its delivery did cost, open what was accepted and is not
settled yet. A price that no card knows is counted, never summed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import msgspec

from gatekeeper.core.calendar import local_day
from gatekeeper.core.decision import Decision
from gatekeeper.core.plan import Plan
from gatekeeper.core.reservation import Facts
from gatekeeper.core.rows import Row
from gatekeeper.core.settlement import Settling
from gatekeeper.core.vocabulary import money

_SEPARATOR = "|"
_NOWHERE = "none"
_COUNT, _SUM, _UNKNOWN = "#", "$", "?"
_QUOTED, _SETTLED, _OPEN, _ANSWERS, _TURNS = "p", "s", "o", "a", "t"


class Cell(msgspec.Struct, frozen=True):
    """A line of the bill."""

    phone_number_id: str
    caller: str
    category: str
    market: str

    @property
    def packed(self) -> str:
        """The line as the ledger names it."""
        parts = msgspec.structs.astuple(self)
        joined = _SEPARATOR.join(parts)
        if joined.count(_SEPARATOR) == len(parts) - 1:
            return joined
        return _SEPARATOR.join(part.replace(_SEPARATOR, "/") for part in parts)


class Quoted(msgspec.Struct, frozen=True, kw_only=True):
    """What an accepted send was quoted: its line, the day it was sent, and its price in micro-units (None: unknown)."""

    id: str
    waba_id: str
    day: date
    cell: Cell
    price: int | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of one day: how many messages, what they come to, and how many of them have no known price."""

    day: date
    kind: str
    cell: Cell
    sends: int = 0
    micros: int = 0
    unpriced: int = 0


class Total:
    """A sum of lines."""

    def __init__(self) -> None:
        self.sends = self.micros = self.unpriced = 0

    def add(self, line: Line) -> None:
        """Count one line in."""
        self.sends += line.sends
        self.micros += line.micros
        self.unpriced += line.unpriced


def quote(decision: Decision, plan: Plan, facts: Facts) -> Quoted:
    """The line that a decision is quoted on."""
    return Quoted(
        id=facts.id,
        waba_id=plan.account.waba_id,
        day=local_day(facts.at, plan.account.zone),
        cell=Cell(facts.phone_number_id, facts.caller, decision.category or plan.product.value, decision.market or _NOWHERE),
        price=decision.price,
    )


def settled_cell(settling: Settling, row: Row) -> Cell:
    """The line that a delivery is settled on when *row* is what it was."""
    facts = settling.facts
    return Cell(facts.phone_number_id, facts.caller, row.category or facts.product.value, settling.market or _NOWHERE)


def lines(day: date, fields: Mapping[str, int]) -> list[Line]:
    """Read one day of the ledger's bill."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for name, value in fields.items():
        found.setdefault((name[0], name[2:]), {})[name[1]] = value
    return [
        Line(
            day=day,
            kind=kind,
            cell=Cell(*packed.split(_SEPARATOR)) if packed else Cell("", "", "", ""),
            sends=said.get(_COUNT, 0),
            micros=said.get(_SUM, 0),
            unpriced=said.get(_UNKNOWN, 0),
        )
        for (kind, packed), said in sorted(found.items())
    ]


def summed(listed: Iterable[Line], by: Callable[[Line], str]) -> dict[str, Total]:
    """Sum lines by what *by* says of each, in its order."""
    sums: dict[str, Total] = {}
    for line in listed:
        sums.setdefault(by(line), Total()).add(line)
    return dict(sorted(sums.items()))


def month_report(listed: list[Line]) -> dict[str, Any]:
    """What a month comes to: predicted, settled and open."""
    opened = Total()
    for line in listed:
        if line.kind == _OPEN:
            opened.add(line)
    return {
        "predicted": _side([line for line in listed if line.kind == _QUOTED]),
        "settled": _side([line for line in listed if line.kind == _SETTLED]),
        "open": {"sends": opened.sends, "total": money(opened.micros)},
    }


def detail(listed: list[Line]) -> list[dict[str, Any]]:
    """Every line as JSON: the day, what it is of, and both sides."""
    found: dict[tuple[date, Cell], dict[str, Any]] = {}
    for line in listed:
        if line.kind == _OPEN:
            continue
        row = found.setdefault((line.day, line.cell), {})
        if line.kind in _SIDES:
            row[_SIDES[line.kind]] = {"sends": line.sends, "total": money(line.micros), "unpriced": line.unpriced}
        else:
            row[_COUNTS[line.kind]] = line.sends
    nothing = {"sends": 0, "total": "0", "unpriced": 0}
    return [
        {
            "day": day.isoformat(),
            **msgspec.structs.asdict(cell),
            **{side: row.get(side, nothing) for side in _SIDES.values()},
            **{count: row.get(count, 0) for count in _COUNTS.values()},
        }
        for (day, cell), row in sorted(found.items(), key=lambda item: (item[0][0], msgspec.structs.astuple(item[0][1])))
    ]


_SIDES = {_QUOTED: "predicted", _SETTLED: "settled"}
# Free-form messages, and how many of them were the first answer to what a user wrote: what they share is the fan-out.
_COUNTS = {_ANSWERS: "answers", _TURNS: "turns"}


def _side(listed: list[Line]) -> dict[str, Any]:
    whole = Total()
    for line in listed:
        whole.add(line)
    return {
        "total": money(whole.micros),
        "by_category": {name: money(total.micros) for name, total in summed(listed, lambda line: line.cell.category).items()},
        "by_market": {name: money(total.micros) for name, total in summed(listed, lambda line: line.cell.market).items()},
        "sends": whole.sends,
        "unpriced": whole.unpriced,
    }
