"""
Own the dated rate cards: what a message costs by market and column, and what Meta's volume tiers make of it.

A card is a file, `2026-10-01-pmp-USD.csv`; its tiers lie beside it, `2026-10-01-pmp-USD-tiers.csv`. Nothing is computed: a blank
cell is a rate that we do not know, a tier's rate is the printed one, and no currency is made from another.
"""

from __future__ import annotations

import bisect
import datetime as dt
import re
from pathlib import Path

import msgspec

from gatekeeper.core.data import read, rows
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.regimes import Regime
from gatekeeper.core.vocabulary import micros

COLUMNS = frozenset(
    {
        "marketing",
        "utility",
        "authentication",
        "authentication_international",
        "service",
        "business_initiated",
        "user_initiated",
        "general_purpose_ai",
    }
)
NOTES = frozenset({"provenance.csv", "completeness.csv"})
_MARKET = "market"
_NAME = re.compile(r"(?P<effective>\d{4}-\d\d-\d\d)-(?P<model>cbp|pmp)-(?P<currency>[A-Z]{3})(?P<tiers>-tiers)?\.csv")

Rates = dict[str, dict[str, int]]


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """The rate of a month's charged messages from number *first* up to and with number *last*; None: without end."""

    first: int
    last: int | None
    rate: int


Tiers = dict[tuple[str, str], tuple[Tier, ...]]


class RateCard(msgspec.Struct, frozen=True, kw_only=True):
    """The rates of one currency from one day on, in micro-units by market and column."""

    effective: dt.date
    model: str
    currency: str
    rates: Rates
    tiers: Tiers = {}

    def rate(self, market: str, column: str) -> int | None:
        """Say the list rate; None: the card does not say."""
        row = self.rates.get(market)
        return None if row is None else row.get(column)


class RateCards(msgspec.Struct, frozen=True, kw_only=True):
    """Every card there is, by currency in order of date."""

    by_currency: dict[str, tuple[RateCard, ...]]
    effective: dict[str, tuple[dt.date, ...]]

    @classmethod
    def load(cls, folder: Path) -> RateCards:
        """Read every card in *folder*."""
        texts = {path.name: read(path) for path in folder.glob("*.csv") if path.name not in NOTES}
        if not texts:
            raise ConfigError(f"{folder}: holds no rate card")
        return parse(texts)

    def on(self, currency: str, day: dt.date) -> RateCard | None:
        """Say which card of *currency* was in force on the account's local *day*; None: we have none."""
        dates = self.effective.get(currency)
        found = bisect.bisect_right(dates, day) if dates else 0
        return self.by_currency[currency][found - 1] if found else None


def is_older_than(effective: dt.date, regime: Regime) -> bool:
    """Whether rates from *effective* on were made for an earlier regime than *regime*, so that they bound a price at best."""
    return effective < regime.effective


def parse(texts: dict[str, str]) -> RateCards:
    """Read cards from their texts by file name."""
    cards: dict[tuple[str, dt.date], RateCard] = {}
    for file in sorted(texts, key=_tiers_last):
        effective, model, currency, is_tiers = _title(file)
        key = currency, effective
        if is_tiers:
            card = cards.get(key)
            if card is None or card.model != model:
                raise ConfigError(f"{file}: the card that it belongs to is missing")
            cards[key] = msgspec.structs.replace(card, tiers=parse_tiers(texts[file], file, card.rates))
        elif key in cards:
            raise ConfigError(f"{file}: a second {currency} card from {effective}")
        else:
            cards[key] = RateCard(effective=effective, model=model, currency=currency, rates=parse_rates(texts[file], file))

    by_currency: dict[str, tuple[RateCard, ...]] = {}
    for currency, effective in sorted(cards):
        by_currency[currency] = (*by_currency.get(currency, ()), cards[currency, effective])
    dates = {currency: tuple(card.effective for card in each) for currency, each in by_currency.items()}
    return RateCards(by_currency=by_currency, effective=dates)


def parse_rates(text: str, file: str) -> Rates:
    """Read a card's rates from its text."""
    rates: Rates = {}
    for where, row in rows(text, file, _MARKET):
        market = row.pop(_MARKET)
        if not market or market in rates:
            raise ConfigError(f"{where}, market: {market!r} is empty or stands here twice")
        if unknown := row.keys() - COLUMNS:
            raise ConfigError(f"{file}, row 1: {min(unknown)!r} is not a column of a rate card")
        rates[market] = {column: _rate(cell, f"{where}, {column}") for column, cell in row.items() if cell}
    if not rates:
        raise ConfigError(f"{file}: holds no market")
    return rates


def parse_tiers(text: str, file: str, rates: Rates) -> Tiers:
    """Read a card's volume tiers from their text, and hold them to the card's *rates*."""
    tiers: dict[tuple[str, str], list[Tier]] = {}
    for where, row in rows(text, file, _MARKET, "category", "from", "to", "rate"):
        market, category = row[_MARKET], row["category"]
        rate = _rate(row["rate"], f"{where}, rate")
        steps = tiers.setdefault((market, category), [])
        if not steps and rate != rates.get(market, {}).get(category):
            raise ConfigError(f"{where}, rate: {row['rate']} is not the {category} rate of {market!r} on the card")
        first = _count(row["from"], f"{where}, from")
        last = _count(row["to"], f"{where}, to") if row["to"] else None
        if first != _next(steps):
            raise ConfigError(f"{where}, from: {first} does not follow the tier above")
        if last is not None and last < first:
            raise ConfigError(f"{where}, to: {last} comes before {first}")
        steps.append(Tier(first=first, last=last, rate=rate))
    for (market, category), steps in tiers.items():
        if steps[-1].last is not None:
            raise ConfigError(f"{file}, to: the last {category} tier of {market!r} has an end")
    return {key: tuple(steps) for key, steps in tiers.items()}


def _next(steps: list[Tier]) -> int | None:
    """Say where the next tier begins: Meta prints the first from 0, the others from the message after the last."""
    if not steps:
        return 0
    return None if steps[-1].last is None else steps[-1].last + 1


def _tiers_last(file: str) -> tuple[bool, str]:
    return file.endswith("-tiers.csv"), file


def _title(file: str) -> tuple[dt.date, str, str, bool]:
    found = _NAME.fullmatch(file)
    try:
        effective = dt.date.fromisoformat(found["effective"]) if found else None
    except ValueError:
        effective = None
    if found is None or effective is None:
        raise ConfigError(f"{file}: is not named <date>-<cbp or pmp>-<currency>.csv, with -tiers at the end for volume tiers")
    return effective, found["model"], found["currency"], found["tiers"] is not None


def _rate(cell: str, where: str) -> int:
    try:
        rate = micros(cell)
    except ValueError as fault:
        raise ConfigError(f"{where}: {fault}") from None
    if rate < 0:
        raise ConfigError(f"{where}: {cell!r} is less than nothing")
    return rate


def _count(cell: str, where: str) -> int:
    if not (cell.isascii() and cell.isdigit()):
        raise ConfigError(f"{where}: {cell!r} is not a number of messages")
    return int(cell)
