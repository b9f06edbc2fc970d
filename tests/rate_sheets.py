"""
The installed rate cards and markets as they are printed, read by the csv module alone.

What a test expects of a price comes from here, so it shares no line with the code that is tested.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import itertools
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

CONFIG = Path(__file__).parents[1] / "config"
NOTES = ("completeness", "provenance")
FOR_EVER = "9999-12-31"
BEYOND = dt.timedelta(days=31)


class Step(NamedTuple):
    """A row of a card's volume tiers; *last* None: without end."""

    first: int
    last: int | None
    rate: str


class Sheet(NamedTuple):
    """A card: `cells[market][column]` as printed, "" where it says nothing, and its tiers by market and column."""

    currency: str
    effective: dt.date
    cells: dict[str, dict[str, str]]
    tiers: dict[tuple[str, str], list[Step]]

    def price(self, market: str, column: str) -> str | None:
        """A cell as replay writes money; None where it is blank or there is none."""
        cell = self.cells.get(market, {}).get(column, "")
        return plain(cell) if cell else None

    @property
    def ends(self) -> dt.date:
        """The day from which the next card counts; the next quarter day, on which Meta may change prices, where there is none."""
        later = [other.effective for other in sheets() if other.currency == self.currency and other.effective > self.effective]
        return min(later, default=_quarter_after(self.effective))


class Country(NamedTuple):
    """
    A row of the markets' table; its *numbers* begin so, and belong to no other row.

    *own*: of a territory that may count as another country, whose *markets* these are then, the markets that it has otherwise.
    """

    iso2: str
    begins: str
    markets: list[tuple[str, str]]
    own: list[tuple[str, str]]

    def market(self, day: dt.date) -> str:
        """Its market on *day*; before the first known one, that one."""
        return _on(self.markets, day)

    def perhaps(self, day: dt.date) -> str | None:
        """The market that Meta may charge by instead; None: no doubt."""
        other = _on(self.own, day) if self.own else None
        return None if other == self.market(day) else other

    def number(self, n: int) -> str:
        """One of its phone numbers, of 15 digits at most."""
        return self.begins + str(n).zfill(min(7, 15 - len(self.begins)))


def plain(cell: str) -> str:
    """A printed figure without its trailing zeros."""
    return f"{Decimal(cell).normalize():f}"


@functools.cache
def sheets() -> tuple[Sheet, ...]:
    """Every installed card, by currency and date."""
    names = [path.stem for path in sorted((CONFIG / "rates").glob("*.csv")) if path.stem not in NOTES]
    return tuple(sorted((_sheet(name) for name in names if not name.endswith("-tiers")), key=lambda sheet: sheet[:2]))


def sheet_on(currency: str, day: dt.date) -> Sheet | None:
    """The card of *currency* on *day*."""
    return next((sheet for sheet in reversed(sheets()) if sheet.currency == currency and sheet.effective <= day), None)


@functools.cache
def countries() -> tuple[Country, ...]:
    """Every country that has numbers of its own."""
    listed, moved = _rows("markets.csv"), _rows("markets_history.csv")
    history = {
        iso2: sorted((row["valid_to"] or FOR_EVER, row["market"]) for row in rows)
        for iso2, rows in itertools.groupby(moved, lambda row: row["iso2"])
    }
    doubted = {row["iso2"]: row["in_doubt_with"] for row in _rows("markets_in_doubt.csv")}
    markets = {row["iso2"]: history.get(row["iso2"]) or [(FOR_EVER, row["market"])] for row in listed}
    prefixes = {
        row["calling_code"] + network.strip(): row["iso2"]
        for row in listed
        for network in row["network_prefix_if_needed"].split(";")
    }
    return tuple(
        Country(iso2, _own(prefix, prefixes), markets[doubted.get(iso2, iso2)], markets[iso2] if iso2 in doubted else [])
        for prefix, iso2 in prefixes.items()
    )


def country_of(number: str) -> Country:
    """Whose number that is: the one whose numbers begin most alike."""
    return max((each for each in countries() if number.startswith(each.begins)), key=lambda each: len(each.begins))


def places(market: str, day: dt.date) -> list[Country]:
    """The countries that were in *market* on *day*, without a doubt."""
    return [country for country in countries() if country.market(day) == market and country.perhaps(day) is None]


def _on(markets: list[tuple[str, str]], day: dt.date) -> str:
    return next(market for until, market in markets if day.isoformat() <= until)


def _own(prefix: str, prefixes: dict[str, str]) -> str:
    """Lengthen *prefix* until no longer one of another row begins a number of it."""
    others = [other for other in prefixes if other.startswith(prefix) and other != prefix]
    openings = (f"{prefix}{n}" for n in range(200, 1000))
    return next(
        opening for opening in openings if not any(opening.startswith(other) or other.startswith(opening) for other in others)
    )


def _sheet(name: str) -> Sheet:
    date, _, currency = name.rsplit("-", 2)
    tiers: dict[tuple[str, str], list[Step]] = {}
    if (CONFIG / "rates" / f"{name}-tiers.csv").exists():
        for row in _rows(f"rates/{name}-tiers.csv"):
            step = Step(int(row["from"]), int(row["to"]) if row["to"] else None, plain(row["rate"]))
            tiers.setdefault((row["market"], row["category"]), []).append(step)
    cells = {row.pop("market"): row for row in _rows(f"rates/{name}.csv")}
    return Sheet(currency, dt.date.fromisoformat(date), cells, tiers)


def _rows(file: str) -> list[dict[str, str]]:
    with (CONFIG / file).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _quarter_after(day: dt.date) -> dt.date:
    later = (day.replace(day=1) + BEYOND).replace(day=1)
    return later if later.month % 3 == 1 else _quarter_after(later)
