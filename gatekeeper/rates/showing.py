"""Own what is said about installed cards: the list of them, and one market's rates on them."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping
from itertools import pairwise

from gatekeeper.core.errors import InputError
from gatekeeper.core.rates import RateCard, RateCards, Rates
from gatekeeper.rates.cards import COLUMNS, EXPECTED, OF_SOME_MARKETS, printed
from gatekeeper.rates.wording import PER

_UNKNOWN, _UNCHANGED = "-", "="
_NEAR = 3


def listed(cards: RateCards, notes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Tell of every card what it holds and what it lacks; *notes* on completeness say how many rates a card should have."""
    table = [("currency", "model", "from", "markets", "complete", "incomplete", "tiers")]
    for currency, each in sorted(cards.by_currency.items()):
        for card in each:
            expected = notes.get(f"{card.effective}-{card.model}-{currency}", {}).get(EXPECTED, "")
            held = holdings(card.rates, int(expected) if expected.isdigit() else None)
            table.append(
                (
                    currency,
                    card.model,
                    card.effective.isoformat(),
                    str(len(card.rates)),
                    ", ".join(column for column, (count, of) in held.items() if count == of) or _UNKNOWN,
                    ", ".join(f"{column} {count} of {of}" for column, (count, of) in held.items() if count != of) or _UNKNOWN,
                    _tiers(card),
                )
            )
    return aligned(table)


def holdings(rates: Rates, expected: int | None = None) -> dict[str, tuple[int, int]]:
    """Count the rates of each column that has any, and how many it should have: one a market, except where few markets have one."""
    counts = {column: sum(column in row for row in rates.values()) for column in COLUMNS}
    return {
        column: (count, (count if expected is None else expected) if column == OF_SOME_MARKETS else len(rates))
        for column, count in counts.items()
        if count
    }


def named(name: str, cards: RateCards, countries: Mapping[str, str]) -> str:
    """Find the market *name*, whatever its case; *countries* lead whoever gave a country to its market."""
    markets = {market.casefold(): market for each in cards.by_currency.values() for card in each for market in card.rates}
    if found := markets.get(name.casefold()):
        return found
    places = {country.casefold(): f"{country} (in {market!r})" for country, market in countries.items()}
    if place := places.get(name.casefold()):
        raise InputError(f"{name!r} is not a market: {place}")
    near = difflib.get_close_matches(name.casefold(), {**places, **markets}, n=_NEAR)
    nearest = f"; near it: {', '.join(markets.get(one) or places[one] for one in near)}" if near else ""
    raise InputError(f"{name!r} is not a market{nearest}")


def shown(market: str, cards: RateCards, currency: str, day: dt.date) -> list[str]:
    """Tell the rates of *market* on the card of *currency* in force on *day*."""
    each = cards.by_currency.get(currency)
    if each is None:
        raise InputError(f"no rate card is in {currency!r}; there are {', '.join(sorted(cards.by_currency))}")
    card = cards.on(currency, day)
    if card is None:
        raise InputError(f"no rate card in {currency} was in force on {day}; the first one is from {each[0].effective}")
    row = card.rates.get(market)
    if row is None:
        raise InputError(f"{market!r} was not a market of its own on the {currency} card from {card.effective}")
    lines = [f"{market}: {currency} per {PER[card.model]}, in force on {day}, from {card.effective}"]
    lines += aligned((column, printed(row[column])) for column in COLUMNS if column in row)
    for (whose, category), tiers in card.tiers.items():
        if whose == market:
            lines += ["", f"{category} by messages in a month"]
            lines += aligned((f"{tier.first} to {tier.last or 'any number'}", printed(tier.rate)) for tier in tiers)
    return lines


def history(market: str, cards: RateCards, currency: str) -> list[str]:
    """Tell how the rates of *market* moved from card to card."""
    each = [card for card in cards.by_currency[currency] if market in card.rates]
    columns = [column for column in COLUMNS if any(card.rate(market, column) is not None for card in each)]
    table = [("from", *columns)]
    table += [
        (card.effective.isoformat(), *(_moved(card, before, market, column) for column in columns))
        for before, card in pairwise([None, *each])
        if card is not None
    ]
    return [f"on every card in {currency} ({_UNCHANGED} as above, {_UNKNOWN} none or not known)", *aligned(table)]


def aligned(table: Iterable[tuple[str, ...]]) -> list[str]:
    """Write rows of text in columns."""
    lines = list(table)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _moved(card: RateCard, before: RateCard | None, market: str, column: str) -> str:
    rate = card.rate(market, column)
    if rate is None:
        return _UNKNOWN
    return _UNCHANGED if before is not None and before.rate(market, column) == rate else printed(rate)


def _tiers(card: RateCard) -> str:
    count = len({market for market, _ in card.tiers})
    if not count:
        return _UNKNOWN
    return "all" if count == len(card.rates) else f"{count} of {len(card.rates)}"
