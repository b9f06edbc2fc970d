"""
Own the settlement: what a delivery or failure makes of a reservation.

A delivery asks the table again, at its own time, over what is confirmed. Where Meta says what it charges, the table is narrowed to
the rows that agree with it; `own` keeps the rows as they were, so that a difference can be counted as drift.
"""

from __future__ import annotations

from datetime import date
from enum import IntEnum
from typing import Any

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.caching import remember
from gatekeeper.core.calendar import local_day
from gatekeeper.core.drift import Drift, priced, unforeseen
from gatekeeper.core.markets import Market
from gatekeeper.core.plan import Sent, conversation_name, international
from gatekeeper.core.reservation import Event, Facts
from gatekeeper.core.rows import Row, rows
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.tariff import UNKNOWN_PRICE, price_of
from gatekeeper.core.vocabulary import CONVERSATION, Clock, Product, Reason, conversation, money
from gatekeeper.core.word import Word

_REGULAR = "regular"
# Meta may count a message as another product of the same set.
_SIBLINGS = ("template", "group_template", "text")
# The clocks whose ends a reservation remembers: a later message may move them before its delivery is heard of.
LATCHED = (Clock.CUSTOMER_SERVICE_WINDOW.value, Clock.FREE_ENTRY_OFFER.value)
ANSWERED = Clock.FREE_ENTRY_OFFER.value  # a message that was sent before it does not answer it
_FREE_ENTRY_REASONS = (Reason.FREE_ENTRY_POINT, Reason.OPENS_FREE_ENTRY_POINT)
# What an asynchronous failure says of the thread. Source: Meta's error codes, copy of 2025-12-12.
WINDOW_CLOSED, HELD_BACK, OPTED_OUT = 131047, 131049, 131050


class Again(IntEnum):
    """
    Why a message is settled that a delivery settled before.

    DISPLACED: another delivery that came first in life was heard of since; REWORDED: Meta said more of the message since.
    """

    NO = 0
    DISPLACED = 1
    REWORDED = 2


class Settling(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    All about one delivery or failure that needs no Redis.

    *told* and *conversations*: the clock that Meta counts the message in, with its end and Meta's id of it.
    """

    at: int
    event: Event
    facts: Facts
    account: Account
    member: str = ""
    market: str | None = None
    rows: tuple[Row, ...] = ()
    own: tuple[Row, ...] = ()
    latches: dict[str, int] = {}
    told: dict[str, int] = {}
    conversations: dict[str, str] = {}
    again: Again = Again.NO
    word: Word | None = None
    codes: tuple[int, ...] = ()


class _Laid(msgspec.Struct, frozen=True):
    """What the deliveries of one kind may have been."""

    account: Account  # kept alive, so that nothing else comes to have its id
    rows: tuple[Row, ...]
    own: tuple[Row, ...]


class Settled(msgspec.Struct, frozen=True, array_like=True):
    """
    What `settle.lua` did. *status*: moved, same (settled again as before) or ignored (settled before). Indexes count from 1; 0 is none.
    *joined*: open clocks. *late*: the wamids of later deliveries that have to be settled again, in their order.
    """

    status: str
    case: int = 0
    reading: int = 0
    cost: int = UNKNOWN_PRICE
    own: int = 0
    own_cost: int = UNKNOWN_PRICE
    joined: tuple[str, ...] = ()
    late: tuple[str, ...] = ()


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a send really opened and cost, in the *currency* of its account and in the *market* of its delivery.

    *drift*: Meta's word differs from what our own table says.
    """

    id: str
    at: int
    delivered: bool
    opened: str | None = None
    category: str | None = None
    charged: bool | None = False
    price: int | None = 0
    recipient: str | None = None
    drift: bool = False
    currency: str = ""
    market: str | None = None
    drifts: tuple[Drift, ...] = ()

    def fields(self) -> dict[str, Any]:
        """The settlement's JSON fields, every key present."""
        said = {
            "delivered": self.delivered,
            "opened": self.opened,
            "category": self.category,
            "charged": self.charged,
            "price": None if self.price is None else money(self.price),
        }
        return said if self.recipient is None else said | {"recipient": self.recipient}


def plan_delivery(
    facts: Facts,
    account: Account,
    book: Rulebook,
    *,
    at: int,
    billed: str,
    latches: dict[str, int],
    word: Word | None,
    member: str = "",
    again: Again = Again.NO,
) -> Settling:
    """
    Lay out what a delivered message may have been.

    *latches* are the ends of clocks as they were known at send; *billed* is the name of the recipient that Meta bills. Raises
    LookupError when no regime was in force.
    """
    day = local_day(at, account.zone)
    market = book.markets.charged(billed or facts.recipient, day)
    word = word if word is not None and word.category is not None else None
    sent_as = facts.product
    if account.authentication_international is not None:
        sent = Sent(phone_number_id=facts.phone_number_id, recipient=facts.recipient, billed=billed, group=facts.group)
        sent_as = international(sent_as, sent, account, book, at=at)
    open_at_send, said = Clock.CUSTOMER_SERVICE_WINDOW in latches, word and (word.type, word.category, word.model)
    key = id(account), facts.phone_number_id, facts.product, sent_as, day, market, open_at_send, facts.max_price, said
    laid: _Laid | None = book.laid.get(key)
    if laid is None or laid.account is not account:
        laid = _lay_out(facts, sent_as, account, book, at=at, market=market, open_at_send=open_at_send, word=word)
        remember(book.laid, key, laid)
    return Settling(
        at=at,
        event=Event.DELIVER,
        facts=facts,
        account=account,
        member=member,
        market=market.name if market else None,
        rows=laid.rows,
        own=laid.own,
        latches=latches,
        told={word.clock: word.expires_at} if word is not None and word.expires_at else {},
        conversations={word.clock: word.conversation or ""} if word is not None else {},
        word=word,
        again=again,
    )


def settle(settling: Settling, settled: Settled) -> Settlement:
    """Say what *settled* means for *settling*."""
    group, currency, number = settling.member or None, settling.account.currency, settling.facts.phone_number_id
    if settling.event is not Event.DELIVER:
        base = Settlement(id=settling.facts.id, at=settling.at, delivered=False, recipient=group, currency=currency)
        return msgspec.structs.replace(base, drifts=unforeseen(number, settling.codes, (WINDOW_CLOSED, OPTED_OUT)))
    row = settling.rows[settled.case - 1]
    free = row.meter is not None and settled.reading < row.free
    charged: bool | None = row.charged and not free
    price, category = None if settled.cost == UNKNOWN_PRICE else settled.cost, row.category
    if not category:
        joined = [clock.removeprefix(CONVERSATION) for clock in settled.joined if clock.startswith(CONVERSATION)]
        category = joined[0] if len(joined) == 1 else None
    opened = conversation_name(row.opens) if row.opens and not row.meta else None
    if settling.facts.product is Product.UNKNOWN and settling.word is None and row.category == Product.UNKNOWN:
        charged, price, opened = None, None, None
    drifts: tuple[Drift, ...] = ()
    if settling.word is not None and settled.own:
        ours = settling.own[settled.own - 1]
        if (ours.category or category) != category or settled.own_cost != settled.cost:
            drifts = priced(number, ours.category or category, settled.own_cost, charged=ours.charged)
    return Settlement(
        id=settling.facts.id,
        at=settling.at,
        delivered=True,
        opened=opened,
        category=category,
        charged=charged,
        price=price,
        recipient=group,
        drift=bool(drifts),
        drifts=drifts,
        currency=currency,
        market=settling.market,
    )


def _lay_out(
    facts: Facts,
    sent_as: Product,
    account: Account,
    book: Rulebook,
    *,
    at: int,
    market: Market | None,
    open_at_send: bool,
    word: Word | None,
) -> _Laid:
    """What such a message may have been when it was delivered; of its facts and of the word only what the caller keeps this by."""

    def asked(product: Product, *, window: bool) -> tuple[Row, ...]:
        return rows(
            product, account, facts.phone_number_id, book, at=at, market=market, window_at_send=window, max_price=facts.max_price
        )

    def unheard(row: Row) -> Row:
        """What a template costs that nobody ever told us of is not known, also when it was delivered."""
        return msgspec.structs.replace(row, price=None, steps=()) if row.category == Product.UNKNOWN else row

    believed = own = asked(sent_as, window=open_at_send)
    if word is not None:  # what Meta says of the window is in its category
        # Any product of one recipient's goes into a free entry point; a free-form message always has its rows.
        product = Product(str(word.category)) if _became(sent_as, word, book) else sent_as
        asked_of = asked(Product.SERVICE if word.free_entry else product, window=True)
        believed = _believed(word, asked_of, book, local_day(at, account.zone), account, market)
    elif facts.product is Product.UNKNOWN:
        believed = own = tuple(unheard(row) for row in own)
    return _Laid(account, believed, own if word is not None else ())


def _became(product: Product, word: Word, book: Rulebook) -> bool:
    """Whether Meta counts a message of *product* as another one: a template of another category, or an AI provider's text."""
    sets = book.platform.products
    return any(product in sets[name] and word.category in sets[name] for name in _SIBLINGS)


def _believed(
    word: Word, asked: tuple[Row, ...], book: Rulebook, day: date, account: Account, market: Market | None
) -> tuple[Row, ...]:
    """Narrow the rows to those that agree with Meta's word; the last one is what remains when none of them holds."""
    category = word.category or ""
    if word.free_entry:
        entry = [row for row in asked if row.case.reason in _FREE_ENTRY_REASONS]
        return (*entry, msgspec.structs.replace(entry[-1], needs=()))
    kept = [row for row in asked if row.case.reason not in _FREE_ENTRY_REASONS]
    last = kept[-1]
    flat = msgspec.structs.replace(last, needs=(), category=category, free=0, steps=(), meter=None if last.steps else last.meter)
    if word.type == _REGULAR:
        if last.steps and last.category == category:
            return (msgspec.structs.replace(last, needs=()),)
        card_price = price_of(category, market, account, day, book).micros
        price = last.price if last.ceiling and last.category == category else card_price
        return (msgspec.structs.replace(flat, price=price, charged=True),)
    if word.type is not None:
        return (msgspec.structs.replace(flat, price=0, charged=False),)
    regime = book.regime(day)
    if not word.counts_conversations(regime):
        return tuple(kept)  # a per-message word without a type: only the category is news
    own = conversation(category)
    agreeing = [
        msgspec.structs.replace(row, needs=(own,), category=category) if row.category is None and row.needs else row
        for row in kept
        if row.category in (category, None) and regime.has_conversations
    ]
    # Meta counts the message to a conversation that we know nothing of, or that outlived its regime: it was inside one.
    inside = msgspec.structs.replace(
        flat, opens=own, length=book.platform.length_ms(own, day), price=0, charged=False, meter=None, meta=True
    )
    return (*agreeing, inside)
