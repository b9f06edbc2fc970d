"""
Own the shape of Meta's volume tiers: sections side by side, one a category, and a market named on the first of its rows.

The row of section names stands above the headings, with prose between them; each section has the same five columns.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gatekeeper.core.errors import InputError
from gatekeeper.rates.sheets import Sheet
from gatekeeper.rates.wording import amount, count, currency, discount, heading, is_none, last

SECTIONS = {
    "utility": "utility",
    "authentication": "authentication",
    "authentication-international": "authentication_international",
}
_FROM, _TO, _TYPE, _RATE, _DISCOUNT = "from", "to", "ratetype", "rate", "vs.listrate"
_NAMES = {_FROM: "from", _TO: "to", _TYPE: "rate type", _RATE: "rate", _DISCOUNT: "discount"}
_LIST, _TIER = "list rate", "tier rate"
_BEFORE_SECTIONS = 2


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One tier and the row that it stands in; *discount* in per cent."""

    row: int
    first: int
    last: int | None
    rate: int
    discount: int


Steps = dict[tuple[str, str], tuple[Step, ...]]


def is_tiers(headings: tuple[str, ...]) -> bool:
    """Say whether *headings* are those of volume tiers."""
    return _FROM in map(heading, headings)


def read_tiers(sheet: Sheet, head: int, billed: str) -> Steps:
    """Read the rows below the headings in row *head*, all in the currency *billed*."""
    sections = _sections(sheet, head)
    width = len(sheet.rows[head])
    tiers: Steps = {}
    seen: set[str] = set()
    market = ""
    for n, row in enumerate(sheet.rows[head + 1 :], head + 2):
        where = f"{sheet.where}, row {n}"
        if not row:
            continue
        if len(row) > width:
            raise InputError(f"{where}: {row[width]!r} stands under no heading")
        cells = row + ("",) * (width - len(row))
        if cells[0] in seen or not (cells[0] or market):
            raise InputError(f"{where}, market: {cells[0]!r} is empty or stands here twice")
        if cells[0]:
            market = cells[0]
            seen.add(market)
        if currency(cells[1], f"{where}, currency") != billed:
            raise InputError(f"{where}, currency: {cells[1]!r} is not the {billed} of the title")
        for category, columns in sections.items():
            above = tiers.get((market, category), ())
            step = _step({name: cells[at] for name, at in columns.items()}, above, n, f"{where}, {category}")
            if step is not None:
                tiers[market, category] = (*above, step)
    _complete(tiers, sheet.where)
    return tiers


def _sections(sheet: Sheet, head: int) -> dict[str, dict[str, int]]:
    """Find each section's category, and where its columns are."""
    where = f"{sheet.where}, row {head + 1}"
    headings = tuple(map(heading, sheet.rows[head]))
    if headings[1:_BEFORE_SECTIONS] != ("currency",):
        raise InputError(f"{where}: the second column is not 'Currency'")
    named = [n for n in range(1, head) if SECTIONS.keys() & set(map(heading, sheet.rows[n][_BEFORE_SECTIONS:]))]
    if len(named) != 1:
        raise InputError(f"{where}: {len(named) or 'no'} rows above name the sections Utility, Authentication, …")
    names = sheet.rows[named[0]]
    starts = [at for at, cell in enumerate(names) if cell]

    sections: dict[str, dict[str, int]] = {}
    for start, end in zip(starts, [*starts[1:], len(headings)], strict=True):
        category = SECTIONS.get(heading(names[start]))
        if category is None or category in sections:
            raise InputError(f"{sheet.where}, row {named[0] + 1}: the section {names[start]!r} is unknown or stands here twice")
        columns = {headings[at]: at for at in range(start, end)}
        if columns.keys() != _NAMES.keys() or end - start != len(_NAMES):
            raise InputError(f"{where}, {category}: the columns are not From, To, Rate type, Rate and vs. List rate")
        sections[category] = columns
    if starts[0] != _BEFORE_SECTIONS:
        raise InputError(f"{where}: {sheet.rows[head][_BEFORE_SECTIONS]!r} belongs to no section")
    return sections


def _step(cells: Mapping[str, str], above: tuple[Step, ...], row: int, where: str) -> Step | None:
    """Read one section of one row, which goes on from the tiers *above*; None: the market has none here."""
    absent = [name for name, cell in cells.items() if is_none(cell)]
    if len(absent) == len(cells):
        return None
    if absent:
        raise InputError(f"{where} {_NAMES[absent[0]]}: {cells[absent[0]]!r} beside cells that are not")
    step = Step(
        row=row,
        first=count(cells[_FROM], f"{where} from"),
        last=last(cells[_TO], f"{where} to"),
        rate=amount(cells[_RATE], f"{where} rate"),
        discount=discount(cells[_DISCOUNT], f"{where} discount"),
    )
    if step.first != _next(above):
        raise InputError(f"{where} from: {cells[_FROM]!r} does not follow the tier above")
    if step.last is not None and step.last < step.first:
        raise InputError(f"{where} to: {cells[_TO]!r} comes before {cells[_FROM]!r}")
    if cells[_TYPE].lower() != (_TIER if above else _LIST):
        raise InputError(f"{where} rate type: {cells[_TYPE]!r} is not the type of tier {len(above) + 1}")
    if above and step.rate > above[-1].rate:
        raise InputError(f"{where} rate: {cells[_RATE]!r} is more than the tier above costs")
    if (step.discount < 0) != bool(above):
        raise InputError(f"{where} discount: {cells[_DISCOUNT]!r} is not the discount of a {cells[_TYPE].lower()}")
    return step


def _next(above: tuple[Step, ...]) -> int | None:
    if not above:
        return 0
    return None if above[-1].last is None else above[-1].last + 1


def _complete(tiers: Steps, where: str) -> None:
    """Hold the sections to their end, and to each other."""
    if not tiers:
        raise InputError(f"{where}: holds no tiers")
    for (market, category), steps in tiers.items():
        if steps[-1].last is not None:
            raise InputError(f"{where}, row {steps[-1].row}, {category} to: the last tier of {market!r} has an end")
        # Meta counts both on one meter ("Volume tiers", 2026), so their bounds can only be the same.
        twin = tiers.get((market, "authentication")) if category == "authentication_international" else None
        for step, other in zip(steps, twin or steps, strict=False):
            if (step.first, step.last) != (other.first, other.last):
                raise InputError(f"{where}, row {step.row}, {category}: {market!r} has other bounds there under authentication")
