"""
Own the shapes of Meta's downloads: a list of rates, or the volume tiers beside it.

Either begins with a title and some lines of prose; the headings stand in the first row whose first cell is "Market".
"""

from __future__ import annotations

import msgspec

from gatekeeper.core.errors import InputError
from gatekeeper.core.rates import Rates
from gatekeeper.rates.sheets import Sheet, Source
from gatekeeper.rates.tiers import Steps, is_tiers, read_tiers
from gatekeeper.rates.wording import Title, amount, currency, heading, is_none, title

COLUMNS = {
    "marketing": "marketing",
    "utility": "utility",
    "authentication": "authentication",
    "authentication-international": "authentication_international",
    "service": "service",
}
# Of Meta's own agent, charged by the token: no price of a message.
_IGNORED = frozenset({"metabusinessagent"})
_MARKET, _CURRENCY = "market", "currency"
_FIRST_HEADINGS = frozenset({_MARKET, "market(perratecard)"})


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """One table of Meta's, understood: rates, or tiers."""

    where: str
    source: Source
    title: Title
    rates: Rates = {}
    tiers: Steps = {}


def download(sheet: Sheet) -> Download:
    """Read one table of Meta's; InputError names the row and the column that is not understood."""
    head = next((n for n, row in enumerate(sheet.rows) if row and heading(row[0]) in _FIRST_HEADINGS), None)
    if head is None:
        raise InputError(f"{sheet.where}: no row begins with the heading 'Market': neither list rates nor volume tiers")
    named = title(sheet.rows[0][0] if sheet.rows[0] else "", f"{sheet.where}, row 1")
    if is_tiers(sheet.rows[head]):
        return Download(where=sheet.where, source=sheet.source, title=named, tiers=read_tiers(sheet, head, named.currency))
    return Download(where=sheet.where, source=sheet.source, title=named, rates=_rates(sheet, head, named.currency))


def _rates(sheet: Sheet, head: int, billed: str) -> Rates:
    headings = _headings(sheet, head)
    rates: Rates = {}
    for n, row in enumerate(sheet.rows[head + 1 :], head + 2):
        where = f"{sheet.where}, row {n}"
        if not row:
            continue
        if len(row) > len(headings):
            raise InputError(f"{where}: {row[len(headings)]!r} stands under no heading")
        cells = dict(zip(headings, row + ("",) * (len(headings) - len(row)), strict=True))
        market = cells[_MARKET]
        if not market or market in rates:
            raise InputError(f"{where}, market: {market!r} is empty or stands here twice")
        if currency(cells[_CURRENCY], f"{where}, currency") != billed:
            raise InputError(f"{where}, currency: {cells[_CURRENCY]!r} is not the {billed} of the title")
        rates[market] = {
            column: amount(cells[name], f"{where}, {column}")
            for name, column in COLUMNS.items()
            if name in cells and not is_none(cells[name])
        }
    if not rates:
        raise InputError(f"{sheet.where}: holds no market")
    return rates


def _headings(sheet: Sheet, head: int) -> tuple[str, ...]:
    where = f"{sheet.where}, row {head + 1}"
    found = tuple(_MARKET if n == 0 else heading(cell) for n, cell in enumerate(sheet.rows[head]))
    for name, cell in zip(found, sheet.rows[head], strict=True):
        if name not in (_MARKET, _CURRENCY) and name not in COLUMNS and name not in _IGNORED:
            raise InputError(f"{where}: {cell!r} is not a column of list rates that is known")
        if found.count(name) > 1:
            raise InputError(f"{where}: the column {cell!r} stands here twice")
    if _CURRENCY not in found:
        raise InputError(f"{where}: the column 'Currency' is missing")
    if not COLUMNS.keys() & set(found):
        raise InputError(f"{where}: no column of rates stands here")
    return found
