"""Own what sets one card apart from the card before it, and which of that is too odd to be taken on trust."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gatekeeper.core.rates import RateCard
from gatekeeper.rates.cards import COLUMNS, printed

# Meta has moved rates as far (Colombia's utility by 42 times on 2024-08-01), but seldom; a slipped decimal point goes as far each time.
_FOLD = 10


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One rate that is not what it was; None: the card does not say."""

    market: str
    column: str
    before: int | None
    after: int | None

    def __str__(self) -> str:
        """Write it as `utility 0.0014 -> 0.0015`."""
        return f"{self.column} {_shown(self.before)} -> {_shown(self.after)}"

    @property
    def is_odd(self) -> bool:
        """Whether the rate moved more than tenfold, either way; from nothing to something is further still."""
        return (
            self.before is not None
            and self.after is not None
            and (self.after > self.before * _FOLD or self.before > self.after * _FOLD)
        )


def changes(before: RateCard, after: RateCard) -> tuple[Change, ...]:
    """Compare the markets that stand on both cards."""
    return tuple(
        Change(market=market, column=column, before=before.rate(market, column), after=after.rate(market, column))
        for market in after.rates
        if market in before.rates
        for column in COLUMNS
        if before.rate(market, column) != after.rate(market, column)
    )


def objections(before: RateCard, after: RateCard) -> list[str]:
    """Say what on the card *after* a person should look at before it is used."""
    against = f"on the card from {before.effective}"
    gone = [f"{market!r} is missing, which is {against}" for market in before.rates if market not in after.rates]
    odd = [
        f"{change.market!r} {change} is more than tenfold what is {against}" for change in changes(before, after) if change.is_odd
    ]
    return gone + odd


def contradicts(there: RateCard, new: RateCard) -> bool:
    """Say whether *new* takes back anything that the card *there* says; to fill in what was unknown is no contradiction."""
    return (
        not there.rates.keys() <= new.rates.keys()
        or any(change.before is not None for change in changes(there, new))
        or any(new.tiers.get(key) != tiers for key, tiers in there.tiers.items())
    )


def summary(before: RateCard, after: RateCard) -> Iterator[str]:
    """Tell the difference in lines: markets first, then columns as a whole, then market by market."""
    for market in after.rates:
        if market not in before.rates:
            yield f"  new market: {market}"
    for market in before.rates:
        if market not in after.rates:
            yield f"  market gone: {market}"
    found = changes(before, after)
    whole = {column for column in COLUMNS if _holds(before, column) != _holds(after, column)}
    for column in COLUMNS:
        if column in whole:
            yield f"  {column}: rates for {_count(before, column)} markets before, now for {_count(after, column)}"
    for market in after.rates:
        here = [str(change) for change in found if change.market == market and change.column not in whole]
        if here:
            yield f"  {market}: {', '.join(here)}"
    if not found and before.rates.keys() == after.rates.keys():
        yield "  no rate has changed"
    if before.tiers or after.tiers:
        yield f"  {_tiers(before, after)}"


def _tiers(before: RateCard, after: RateCard) -> str:
    both = before.tiers.keys() & after.tiers.keys()
    changed = sum(before.tiers[key] != after.tiers[key] for key in both)
    new, gone = len(after.tiers) - len(both), len(before.tiers) - len(both)
    return f"volume tiers: {len(after.tiers)}, one a market and category; {new} new, {gone} gone, {changed} changed"


def _holds(card: RateCard, column: str) -> bool:
    return _count(card, column) > 0


def _count(card: RateCard, column: str) -> int:
    return sum(column in row for row in card.rates.values())


def _shown(rate: int | None) -> str:
    return "n/a" if rate is None else printed(rate)
