"""
Own what a price depends on: the card's rate for a category and market, its volume tiers, and the meters that are read for them.

Here alone it is decided whether a rate is what a message costs or the most that it can cost.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.calendar import local_day, month
from gatekeeper.core.markets import Market
from gatekeeper.core.rates import is_older_than
from gatekeeper.core.regimes import Scope
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.vocabulary import MICROS

UNKNOWN_PRICE = -1  # on the wire to Lua, where nil would end an array
_UNCOUNTABLE = 1 << 53  # Lua's numbers are floats


class Doubt(StrEnum):
    """Why a price is the most that a message can cost rather than what it costs; the value is said in explanations."""

    MAX_PRICE = "Meta charges the template's max price or less"
    OLDER_CARD = "the rate is older than the regime in force"
    TWO_MARKETS = "Meta's list can be read as another market, and this is the dearer rate"


class Price(msgspec.Struct, frozen=True):
    """What a charged message costs in micro-units (None: not known), and why it may cost less; no doubts: it costs just that."""

    micros: int | None
    doubts: tuple[Doubt, ...] = ()


class Meter(msgspec.Struct, frozen=True):
    """A counter that a price depends on: which allowance, whose, and in which month."""

    name: str
    owner: str
    month: str


def price_of(column: str, market: Market | None, account: Account, day: date, book: Rulebook) -> Price:
    """
    The rate of a category on a day of the account's; not known where no card, market or cell says.

    Of two markets that a number may be in the dearer rate counts, and a blank cell of either leaves both unknown.
    """
    if market is None:
        return Price(None)
    named = (market.name, market.perhaps) if market.perhaps else (market.name,)
    found = [_rate(column, name, account.currency, day, book) for name in named]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return Price(None)
    doubts = [Doubt.TWO_MARKETS] if market.perhaps else []
    if any(is_older_than(effective, book.regime(day)) for _, effective in known):
        doubts.append(Doubt.OLDER_CARD)
    return Price(max(rate for rate, _ in known), tuple(doubts))


def cap_of(max_price: int, *multipliers: int) -> int:
    """
    What a message with a max price costs at most, in micro-units: *multipliers* are millionths, and what is left over rounds up.

    UNKNOWN_PRICE: more than Redis counts exactly.
    """
    cap, unit = max_price, 1
    for multiplier in multipliers:
        cap, unit = cap * multiplier, unit * MICROS
    rounded_up = -(-cap // unit)
    return rounded_up if rounded_up < _UNCOUNTABLE else UNKNOWN_PRICE


def capped(cap: int) -> Price:
    """The price of a message that costs its *cap* at most; UNKNOWN_PRICE: there is a cap that we do not know."""
    return Price(None if cap == UNKNOWN_PRICE else cap, (Doubt.MAX_PRICE,))


def _rate(column: str, market: str, currency: str, day: date, book: Rulebook) -> tuple[int, date] | None:
    """A rate and the day that it is from: the list card's, else one that stands on no list card."""
    card, column = book.rates.on(currency, day), book.platform.price_column.get(column, column)
    rate = None if card is None else card.rate(market, column)
    if card is not None and rate is not None:
        return rate, card.effective
    return book.platform.unlisted_rate(column, market, currency, day)


def volume_steps(column: str, market: Market | None, account: Account, day: date, book: Rulebook) -> tuple[tuple[int, int], ...]:
    """
    The volume tiers of a category in a market, as steps of (up to this reading, price); empty where the card has none.

    Only the messages inside a tier get its rate. Where the number may be in another market, of which nothing is counted, no step is
    below that one's list rate. Source: Meta, "Pricing", copy of 2026-03-02.
    """
    card = book.rates.on(account.currency, day)
    if card is None or market is None:
        return ()
    column = book.platform.price_column.get(column, column)
    least = card.rate(market.perhaps, column) if market.perhaps else 0
    if least is None:
        return ()
    tiers = card.tiers.get((market.name, column), ())
    return tuple((-1 if tier.last is None else tier.last, max(tier.rate, least)) for tier in tiers)


def volume_meter(category: str, market: str, account: Account, book: Rulebook, *, month: str) -> Meter:
    """The meter of a category's volume tiers in a market: a portfolio's, over all its accounts."""
    return Meter(f"volume/{book.platform.counts_with.get(category, category)}/{market}", account.portfolio, month)


def free_meter(account: Account, phone_number_id: str, book: Rulebook, *, at: int) -> Meter | None:
    """The meter of the free tier in force at *at*; None where the regime has none."""
    regime = book.regime(local_day(at, account.zone))
    return next(
        (
            Meter(name, owner(tier.per, account, phone_number_id), month(at, account.zone))
            for name, tier in regime.allowance.items()
        ),
        None,
    )


def owner(scope: Scope, account: Account, phone_number_id: str) -> str:
    """Who has an allowance of its own."""
    return account.waba_id if scope is Scope.WABA else phone_number_id
