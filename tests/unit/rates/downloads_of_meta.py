"""Files in the shapes of Meta's downloads, built from rows: as CSV down to the missing newline, or as a workbook."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from decimal import Decimal

Row = Sequence[str]

NOTE = "We charge on a per-message basis. Learn more here:", "", "", "", "https://developers.facebook.com/docs/whatsapp/pricing"
HEADINGS = "Market", "Currency", "Marketing", "Utility", "Authentication", "Authentication-\nInternational", "Service"
AGENT = "Meta Business Agent"
SECTIONS = ("", "", "Utility", "", "", "", "", "Authentication", "", "", "", "", "Authentication-International")
UNDER_SECTIONS = ("", "", *("Messages (per month)", "", "What we charge", "", "") * 3)
TIER_HEADINGS = ("Market\n(per rate card)", "Currency", *("From", "To", "Rate type", "Rate", "vs. List rate") * 3)
NONE = ("n/a",) * 5

# Two markets of our own making, one with an international rate; tiers of utility, authentication and the international one.
RATES = (
    ("Freedonia", "USD", "0.0600", "0.0200", "0.0300", "0.1360", "0.0200"),
    ("Rest of Sylvania", "USD", "0.0250", "0.0034", "0.0034", "n/a", "n/a"),
)
_THREE_QUARTERS = "0", "750,000", "List rate"
_THE_REST = "750,001", "--", "Tier rate"
TIERS = (
    (
        *("Freedonia", "USD", "0", "250,000", "List rate", "0.0200", "0%"),
        *(*_THREE_QUARTERS, "0.0300", "0%"),
        *(*_THREE_QUARTERS, "0.1360", "0%"),
    ),
    (
        *("", "USD", "250,001", "1,000,000", "Tier rate", "0.0190", "-5%"),
        *(*_THE_REST, "0.0285", "-5%"),
        *(*_THE_REST, "0.1292", "-5%"),
    ),
    ("", "USD", "1,000,001", "--", "Tier rate", "0.0140", "-30%", *NONE, *NONE),
    ("Rest of Sylvania", "USD", "0", "80,000", "List rate", "0.0034", "0%", *NONE, *NONE),
    ("", "USD", "80,001", "--", "Tier rate", "0.0032", "-6%", *NONE, *NONE),
)


def title(currency: str = "USD", effective: str = "January 1, 2027", unit: str = "message") -> str:
    return f"Cost per {unit} in {currency} on the WhatsApp Business Platform, effective {effective}"


def list_rows(rates: Sequence[Row] = RATES, *, first: str | None = None, headings: Row = HEADINGS) -> list[Row]:
    """The rows of list rates: five lines of prose, headings in row 6, markets from row 7."""
    return [(first or title(),), NOTE, NOTE, NOTE, NOTE, headings, *rates]


def tier_rows(tiers: Sequence[Row] = TIERS, *, first: str | None = None, sections: Row = SECTIONS) -> list[Row]:
    """The rows of volume tiers: two lines of prose, sections in row 3, headings in row 5, markets from row 6."""
    opening = first or f"{title()} - Reflecting volume tiers for utility and authentication messages"
    return [(opening,), NOTE, sections, UNDER_SECTIONS, TIER_HEADINGS, *tiers]


def as_csv(rows: Sequence[Row]) -> bytes:
    """Write rows as Meta's CSV: as wide as the widest, CRLF between rows, line feeds inside cells, nothing at the end."""
    width = max(map(len, rows))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([*row, *("",) * (width - len(row))] for row in rows)
    return text.getvalue().removesuffix("\r\n").encode()


def as_workbook(**sheets: Sequence[Row]) -> bytes:
    """Write rows as a workbook, a sheet for each keyword with blanks for underscores; what looks like a number is one."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name.replace("_", " "))
        for row in rows:
            sheet.append([_typed(cell) for cell in row])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def with_agent(rows: Sequence[Row]) -> list[Row]:
    """List rates as they are since October 2026: three rows above the headings, and a column of prose at the end."""
    above, headings, markets = rows[:5], rows[5], rows[6:]
    return [*above[:3], (*headings, AGENT), *((*row, "$2.00 USD / 1 M (million) tokens") for row in markets)]


def _typed(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    plain = cell.replace(",", "")
    if re.fullmatch(r"\d+", plain):
        return int(plain)
    if re.fullmatch(r"\d+\.\d+", plain):
        return float(plain)
    if re.fullmatch(r"-?\d+%", plain):
        return float(Decimal(plain.removesuffix("%")) / 100)
    return cell or None
