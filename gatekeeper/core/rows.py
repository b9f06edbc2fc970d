"""
Own the rows of a plan: the cases of a regime, completed for the sends of one account to one market.

They differ in little from send to send, so they are laid out once; the rulebook that they were made by keeps them.
"""

from __future__ import annotations

import msgspec

from gatekeeper.core import regimes
from gatekeeper.core.accounts import Account
from gatekeeper.core.caching import remember
from gatekeeper.core.calendar import local_day, month
from gatekeeper.core.markets import Market
from gatekeeper.core.regimes import Case
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.tariff import UNKNOWN_PRICE, Doubt, Meter, Price, capped, owner, price_of, volume_meter, volume_steps
from gatekeeper.core.vocabulary import Clock, Product


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """
    A case of the regime, completed for one send: clocks by their ledger names, the price looked up (None: no rate).

    *doubts*: why its price is the most that it can cost.
    """

    case: Case
    needs: tuple[str, ...] = ()
    opens: str = ""
    length: int = 0
    category: str | None = None
    price: int | None = 0
    charged: bool = False
    meter: Meter | None = None
    free: int = 0
    doubts: tuple[Doubt, ...] = ()
    steps: tuple[tuple[int, int], ...] = ()
    meta: bool = False

    @property
    def ceiling(self) -> bool:
        """Whether the price is the most that it can cost, rather than what it costs."""
        return bool(self.doubts)

    @property
    def tariff(self) -> tuple[tuple[int, int], ...]:
        """Steps of (up to this reading, price); the last step's bound is -1: no bound."""
        if self.steps:
            return self.steps
        price = UNKNOWN_PRICE if self.price is None else self.price
        return ((self.free, 0), (-1, price)) if self.meter and self.free else ((-1, price),)


def rows(
    product: Product,
    account: Account,
    phone_number_id: str,
    book: Rulebook,
    *,
    at: int,
    market: Market | None,
    window_at_send: bool | None = None,
    max_price: int | None = None,
) -> tuple[Row, ...]:
    """
    The cases of the regime at *at* for *product*, completed for this send.

    *window_at_send* is what was latched when it was sent; None while it is being sent, when the window itself is asked.
    *max_price*: what the caller has told Meta to charge at most, in place of the rate; UNKNOWN_PRICE where we do not know how much.
    """
    day = local_day(at, account.zone)
    key = id(account), phone_number_id, product, day, market, window_at_send, max_price
    found: tuple[Account, tuple[Row, ...]] | None = book.laid.get(key)
    if found is None or found[0] is not account:  # which it keeps alive, so that nothing else comes to have its id
        laid = _rows(
            product, account, phone_number_id, book, at=at, market=market, window_at_send=window_at_send, max_price=max_price
        )
        found = remember(book.laid, key, (account, laid))
    return found[1]


def _rows(
    product: Product,
    account: Account,
    phone_number_id: str,
    book: Rulebook,
    *,
    at: int,
    market: Market | None,
    window_at_send: bool | None,
    max_price: int | None,
) -> tuple[Row, ...]:
    day = local_day(at, account.zone)
    regime = book.regime(day)
    found = []
    for case in book.regimes.cases(regime, product, account, day):
        needs = case.needs
        if regimes.WINDOW_AT_SEND in needs:
            if window_at_send is False:
                continue
            needs = () if window_at_send else (Clock.CUSTOMER_SERVICE_WINDOW.name.lower(),)
        opens = book.regimes.clocks(case.opens, product)[0] if case.opens else ""
        allowance = regime.allowance.get(case.allowance)
        meter = (
            Meter(case.allowance, owner(allowance.per, account, phone_number_id), month(at, account.zone)) if allowance else None
        )
        column = regimes.named(case.price, product)
        price = Price(0)
        if case.price:
            price = price_of(column, market, account, day, book) if max_price is None else capped(max_price)
        steps = volume_steps(column, market, account, day, book) if case.tiers else ()
        if steps and market is not None:
            meter = volume_meter(column, market.name, account, book, month=month(at, account.zone))
        found.append(
            Row(
                case=case,
                needs=tuple(clock for name in needs for clock in book.regimes.clocks(name, product)),
                opens=opens,
                length=book.platform.length_ms(opens, day) if opens else 0,
                category=None if case.category == regimes.JOINED else regimes.named(case.category, product) or None,
                price=price.micros,
                doubts=price.doubts,
                charged=bool(case.price),
                meter=meter,
                free=allowance.free if allowance else 0,
                steps=steps,
            )
        )
    return tuple(found)
