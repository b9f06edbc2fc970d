"""
Own how Meta words a download: the title, headings, currencies and figures. What is not worded so is refused, never guessed at.

Sources: the list rates and volume tiers in USD of April 2026, and accounts of files in other currencies, of January 2026, and of
workbooks, of October 2026. "GBD" is Meta's own slip.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

import msgspec

from gatekeeper.core.errors import InputError
from gatekeeper.core.vocabulary import micros

CURRENCIES = frozenset(
    {
        "AED",
        "ARS",
        "AUD",
        "BRL",
        "CLP",
        "COP",
        "EUR",
        "GBP",
        "IDR",
        "INR",
        "MXN",
        "MYR",
        "PEN",
        "SAR",
        "SGD",
        "USD",
    }
)
SPELLINGS = {
    "$US": "USD",
    "US$": "USD",
    "A$": "AUD",
    "GBD": "GBP",
    "£": "GBP",
    "€": "EUR",
    "₹": "INR",
    "RP": "IDR",
    "R$": "BRL",
    "S$": "SGD",
}
MODELS = {"message": "pmp", "conversation": "cbp"}
PER = {model: unit for unit, model in MODELS.items()}

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_NONE = "n/a"
_OPEN_END = "--"
_TITLE = re.compile(r"cost per (?P<unit>message|conversation) in (?P<currency>[^\s,]+)", re.IGNORECASE)
_EFFECTIVE = re.compile(r"effective (?P<rest>(?P<month>[a-z]+) (?P<day>\d{1,2}), (?P<year>\d{4}))", re.IGNORECASE | re.ASCII)
_WHOLE = r"\d{1,3}(,\d{3})+|\d+"
_AMOUNT = re.compile(rf"({_WHOLE})(\.\d+)?", re.ASCII)
_COUNT = re.compile(_WHOLE, re.ASCII)
_PERCENT = re.compile(r"-?\d{1,2}%", re.ASCII)
_FRACTION = re.compile(r"-?0(\.\d{1,2})?", re.ASCII)


class Title(msgspec.Struct, frozen=True, kw_only=True):
    """What the first line of a download says: the model, the currency and, usually, the day."""

    model: str
    currency: str
    effective: dt.date | None


def is_title(cell: str) -> bool:
    """Say whether *cell* is how a download of Meta's begins."""
    return _TITLE.match(cell) is not None


def title(cell: str, where: str) -> Title:
    """Read a download's first line."""
    found = _TITLE.match(cell)
    if found is None:
        raise InputError(f"{where}: {cell!r} is not a title such as 'Cost per message in USD …, effective April 1, 2026'")
    return Title(
        model=MODELS[found["unit"].lower()],
        currency=currency(found["currency"], where),
        effective=_effective(cell, where),
    )


def _effective(cell: str, where: str) -> dt.date | None:
    found = _EFFECTIVE.search(cell)
    if found is None:
        return None
    try:
        month = _MONTHS.index(found["month"].capitalize()) + 1
        return dt.date(int(found["year"]), month, int(found["day"]))
    except ValueError:
        raise InputError(f"{where}: {found['rest']!r} is not a date such as 'April 1, 2026'") from None


def heading(cell: str) -> str:
    """Bring a heading into one form: case, blanks and the line feeds that Meta puts into long ones do not count."""
    return "".join(cell.split()).lower()


def currency(cell: str, where: str) -> str:
    """Read a currency as Meta spells it."""
    code = cell.upper()
    code = SPELLINGS.get(code, code)
    if code not in CURRENCIES:
        raise InputError(f"{where}: {cell!r} is not a currency that Meta is known to bill in")
    return code


def is_none(cell: str) -> bool:
    """Say whether *cell* is how Meta prints that there is nothing."""
    return cell.lower() == _NONE


def amount(cell: str, where: str) -> int:
    """Read an amount of money, thousands separators and all, as micro-units."""
    if not _AMOUNT.fullmatch(cell):
        raise InputError(f"{where}: {cell!r} is not an amount")
    try:
        return micros(cell.replace(",", ""))
    except ValueError as fault:
        raise InputError(f"{where}: {fault}") from None


def count(cell: str, where: str) -> int:
    """Read a number of messages."""
    if not _COUNT.fullmatch(cell):
        raise InputError(f"{where}: {cell!r} is not a number of messages")
    return int(cell.replace(",", ""))


def last(cell: str, where: str) -> int | None:
    """Read where a tier ends; None: it does not."""
    return None if cell == _OPEN_END else count(cell, where)


def discount(cell: str, where: str) -> int:
    """Read what a tier takes off the list rate, in per cent; a workbook may hold -5% as the fraction that it is."""
    if _PERCENT.fullmatch(cell):
        return int(cell.removesuffix("%"))
    if _FRACTION.fullmatch(cell):
        return int(Decimal(cell) * 100)
    raise InputError(f"{where}: {cell!r} is not a discount such as -5%")
