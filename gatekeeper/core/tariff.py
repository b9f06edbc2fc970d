"""Own what a price depends on: the card's rate for a category and market, its volume tiers, and the meters that are read for them."""

from __future__ import annotations

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.calendar import local_day, month
from gatekeeper.core.rates import RateCard
from gatekeeper.core.regimes import Scope
from gatekeeper.core.rulebook import Rulebook

UNKNOWN_PRICE = -1  # on the wire to Lua, where nil would end an array


class Meter(msgspec.Struct, frozen=True):
    """A counter that a price depends on: which allowance, whose, and in which month."""

    name: str
    owner: str
    month: str


def price_of(column: str, card: RateCard | None, market: str | None, book: Rulebook) -> int | None:
    """The rate of a category in micro-units; None where no card, market or cell says."""
    if card is None or market is None:
        return None
    return card.rate(market, book.platform.price_column.get(column, column))


def volume_steps(column: str, card: RateCard | None, market: str | None, book: Rulebook) -> tuple[tuple[int, int], ...]:
    """
    The volume tiers of a category in a market, as steps of (up to this reading, price); empty where the card has none.

    Only the messages inside a tier get its rate. Source: Meta, "Pricing", copy of 2026-03-02.
    """
    if card is None or market is None:
        return ()
    tiers = card.tiers.get((market, book.platform.price_column.get(column, column)), ())
    return tuple((-1 if tier.last is None else tier.last, tier.rate) for tier in tiers)


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
