"""
Own how cards are written: the names and texts of our files, and the notes on where each came from and what it lacks.

The same figures give the same bytes, whatever shape they came in.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from decimal import Decimal

from gatekeeper.core.data import rows
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.rates import Rates
from gatekeeper.core.vocabulary import MICROS, money
from gatekeeper.rates.downloads import Download
from gatekeeper.rates.sheets import Source
from gatekeeper.rates.tiers import Steps

PROVENANCE = "provenance.csv"
COMPLETENESS = "completeness.csv"
PRINTED = ("marketing", "utility", "authentication", "authentication_international", "service")
COLUMNS = (*PRINTED, "business_initiated", "user_initiated", "general_purpose_ai")

# A market without this rate has none, so nothing is missing there.
OF_SOME_MARKETS = "authentication_international"
EXPECTED = f"expected_{OF_SOME_MARKETS}"
_NOTES = {
    PROVENANCE: ("card", "markets", "fields", "status", "basis"),
    COMPLETENESS: ("card", "markets", *PRINTED[:4], EXPECTED, "service", "business_initiated", "user_initiated"),
}
_PLACES = 4
_FINEST_PRINTED = MICROS // 10**_PLACES


def card_name(found: Download, effective: str) -> str:
    """Name the card, without tiers and ending, that *found* is or belongs to."""
    return f"{effective}-{found.title.model}-{found.title.currency}"


def printed(rate: int) -> str:
    """Write a rate as cards do: to four places, or more where it is finer."""
    return money(rate) if rate % _FINEST_PRINTED else f"{Decimal(rate) / MICROS:.{_PLACES}f}"


def rates_text(rates: Rates) -> str:
    """Write a card's rates as a file of ours."""
    return _table(
        ("market", *PRINTED),
        ((market, *(printed(row[column]) if column in row else "" for column in PRINTED)) for market, row in rates.items()),
    )


def tiers_text(tiers: Steps) -> str:
    """Write a card's tiers as a file of ours."""
    return _table(
        ("market", "category", "from", "to", "rate", "rate_type", "discount_pct"),
        (
            (
                market,
                category,
                str(step.first),
                "" if step.last is None else str(step.last),
                printed(step.rate),
                "tier" if step.discount else "list",
                str(step.discount),
            )
            for (market, category), steps in tiers.items()
            for step in steps
        ),
    )


def provenance(card: str, source: Source) -> dict[str, str]:
    """Say where a card was read: a file of Meta's own, and which."""
    part = f" (sheet {source.sheet!r})" if source.sheet else ""
    basis = f"Meta's own file {source.name}{part}, sha256 {source.sha256}"
    return {"card": card, "markets": "*", "fields": "*", "status": "primary", "basis": basis}


def completeness(card: str, rates: Rates) -> dict[str, str]:
    """Count what a card of Meta's holds; all that it does not say, it does not have."""
    counts = {column: str(sum(column in row for row in rates.values())) for column in PRINTED}
    return {"card": card, "markets": str(len(rates)), **counts, EXPECTED: counts[OF_SOME_MARKETS]}


def noted(text: str, file: str, added: Iterable[Mapping[str, str]]) -> str:
    """Put *added* into the notes *text* of the folder, in place of what they said about the same cards."""
    header = _NOTES[file]
    new = list(added)
    replaced = {row["card"] for row in new}
    if text and text.splitlines()[0] != ",".join(header):
        raise ConfigError(f"{file}, row 1: the columns are not {', '.join(header)}")
    kept = [row for _, row in rows(text, file) if row["card"] not in replaced]
    every = sorted([*kept, *new], key=lambda row: row["card"])
    return _table(header, ([row.get(column, "") for column in header] for row in every))


def _table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()
