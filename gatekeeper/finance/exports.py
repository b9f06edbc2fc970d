"""
Own how a table of Meta's figures is read: which heading means which field, and which cells are empty.

Headings are those of `pricing_analytics` and their wordings in WhatsApp Manager and partners' exports; case, blanks and order do
not count. A heading that is not known is refused: it may tell apart rows that would otherwise look the same.
"""

from __future__ import annotations

import csv
import io
import re

from gatekeeper.core.errors import InputError
from gatekeeper.finance.sources import Raw, Source, shown

_HEADINGS: dict[str, tuple[str, ...]] = {
    "start": ("start", "date", "day", "start date", "start time", "start timestamp", "month", "from", "period", "period start"),
    "end": ("end", "end date", "end time", "end timestamp", "to", "until", "period end"),
    "country": ("country", "country code", "country name", "recipient country", "destination country"),
    "pricing_category": ("pricing category", "category", "message category", "conversation category"),
    "pricing_type": ("pricing type", "type", "message type", "conversation type"),
    "tier": ("tier", "pricing tier", "volume tier"),
    "phone_number": ("phone", "phone number", "business phone number", "display phone number"),
    "volume": ("volume", "messages", "messages delivered", "delivered messages", "delivered", "message volume", "message count"),
    "cost": ("cost", "total cost", "charges", "approximate charges", "approximate cost", "amount", "amount spent", "spend"),
    "currency": ("currency", "currency code", "billing currency"),
    "waba_id": ("waba id", "account id", "whatsapp business account id", "whatsapp account id"),
    "": ("account name", "waba name", "whatsapp business account name", "business name", "phone number name", "granularity"),
}
_NEEDED = ("start", "volume")
_NAMED = 3
_NOTHING = ("", "-", "--", "n/a", "null", "none")
_DELIMITERS = ",;\t"
# A heading may name the currency of its cells: `Approximate charges (USD)`.
_MONEY = re.compile(r"(?P<heading>.+?)\s*\((?P<currency>[A-Z]{3})\)\s*")
_COST, _CURRENCY, _WABA = "cost", "currency", "waba_id"


def _plain(heading: str) -> str:
    return "".join(c for c in heading.casefold() if c.isalnum())


_FIELDS = {_plain(heading): field for field, headings in _HEADINGS.items() for heading in headings}


def exported(text: str, name: str) -> Source:
    """Read a table; InputError names row and column of what is not understood."""
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    points: list[Raw] = []
    named: list[tuple[str, str]] = []
    fixed: dict[str, str] = {}
    row = 0
    try:
        for row, written in enumerate(reader, 1):
            cells = [cell.strip() for cell in written]
            if not any(cells):
                continue
            where = f"{name}, row {row}"
            if not named:
                named, fixed = _header(cells, where)
                continue
            if len(cells) != len(named):
                raise InputError(f"{where}: {len(cells)} cells under {len(named)} headings")
            columns = {field: heading for field, heading in named if field}
            fields = {field: _cell(field, cell, delimiter) for (field, _), cell in zip(named, cells, strict=True) if field}
            points.append(Raw(where=where, fields={**fixed, **fields}, columns=columns))
    except csv.Error as fault:
        raise InputError(f"{name}, row {row + 1}: {fault}") from None
    if not named:
        raise InputError(f"{name}: is empty")
    return Source(name=name, waba_ids=tuple(_accounts(points)), points=tuple(points))


def _accounts(points: list[Raw]) -> dict[str, None]:
    """The accounts that the rows name; a spreadsheet may have made a fraction of an id."""
    found: dict[str, None] = {}
    for point in points:
        waba_id = point.fields.get(_WABA)
        if waba_id is not None and not (waba_id.isascii() and waba_id.isdigit()):
            raise InputError(f"{point.place(_WABA)}: {shown(waba_id)} is not the id of an account")
        if waba_id is not None:
            found[waba_id] = None
    return found


def _delimiter(text: str) -> str:
    """What the headings are set apart by."""
    first = text.lstrip().partition("\n")[0]
    return max(_DELIMITERS, key=first.count)


def _header(cells: list[str], where: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Say which field each column is (an empty one: of no interest), and what the headings say of every row."""
    named: list[tuple[str, str]] = []
    fixed: dict[str, str] = {}
    for n, cell in enumerate(cells, 1):
        money = _MONEY.fullmatch(cell)
        field = _FIELDS.get(_plain(money["heading"] if money else cell))
        if field is None or (money and field != _COST):
            raise InputError(f"{where}, column {n}: {shown(cell)} is not a heading that is understood; {_known()}")
        if field and field in dict(named):
            raise InputError(f"{where}, column {n}: {shown(cell)} means the same as {dict(named)[field]!r}")
        if money:
            fixed[_CURRENCY] = money["currency"]
        named.append((field, cell))
    for needed in _NEEDED:
        if needed not in dict(named):
            raise InputError(f"{where}: no column is headed {' or '.join(map(repr, _HEADINGS[needed][:_NAMED]))}; {_known()}")
    return named, fixed


def _known() -> str:
    return f"those of Meta are {', '.join(headings[0] for field, headings in _HEADINGS.items() if field)}"


def _cell(field: str, cell: str, delimiter: str) -> str | None:
    if cell.casefold() in _NOTHING:
        return None
    # Thousands are set apart by commas only where columns are too; elsewhere a comma may stand for the decimal point.
    grouped = field in ("volume", _COST) and delimiter == "," and re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", cell, re.ASCII)
    return cell.replace(",", "") if grouped else cell
