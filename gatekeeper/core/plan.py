"""
Own the plan: everything about one send, or one delivery, that needs no Redis.

`plan` turns a send into bars (what may forbid it) and rows (what it may be, in order). Lua finds which of them hold; `decision`
explains what it found. Start reading here, then `lua/authorize.lua`.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from gatekeeper.core.accounts import Account, Template, TemplateCategory
from gatekeeper.core.caching import remember
from gatekeeper.core.calendar import local_day, month
from gatekeeper.core.checks import NOT_SENDABLE, Finding, Given, find
from gatekeeper.core.guards import COUNTED_TURN, Asked, Guard, PlannedRule, asked_rules, guards
from gatekeeper.core.markets import Market
from gatekeeper.core.policy import ColdStart, Policy
from gatekeeper.core.rates import RateCard
from gatekeeper.core.regimes import Regime
from gatekeeper.core.rows import Row, rows
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.tariff import UNKNOWN_PRICE, cap_of
from gatekeeper.core.vocabulary import CONVERSATION, MICROS, Clock, Product, Reason

_NO_POLICY = Policy()
_DIRECT_SEND = {"utility": Product.UTILITY, "authentication": Product.AUTHENTICATION}


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """
    What of a send decides: from whom, to whom and what.

    *recipient* is a canonical name (digits, BSUID or group id), *claimed* the one given beside it, to which nothing is sent.
    """

    phone_number_id: str
    recipient: str
    claimed: str = ""
    billed: str = ""
    is_message: bool = True
    is_template: bool = False
    is_reaction: bool = False
    group: bool = False
    direct_send: str | None = None
    marketing_api: bool = False
    template: str | None = None
    language: str | None = None
    bid_multiplier: int | None = None
    given: Given | None = None


_NOBODYS = Sent(phone_number_id="", recipient="")
_LONGEST_KEPT = 512  # letters of a template's name, which may be anything that a caller makes up


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """What forbids a send: *clock* being open, or being closed."""

    clock: Clock
    refuse_open: bool
    reason: Reason


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All about one send that needs no Redis. *refusal*: Meta would refuse it whatever the ledger holds."""

    at: int
    account: Account
    sent: Sent
    product: Product
    regime: Regime
    card: RateCard | None
    market: str | None
    rows: tuple[Row, ...]
    rules: tuple[PlannedRule, ...] = ()
    guards: tuple[Guard, ...] = ()
    bars: tuple[Bar, ...] = ()
    refusal: Reason | None = None
    finding: Finding | None = None
    template: Template | None = None
    pending: TemplateCategory | None = None
    max_price: int | None = None
    watched_since: int | None = None
    unseen_closed: bool = False
    decided: dict[Any, Any] = {}
    """What was decided of plans like this one, by what the ledger found: for `decision` alone."""


def plan(
    sent: Sent,
    account: Account,
    template: Template | None,
    book: Rulebook,
    *,
    now: int,
    complete: bool = False,
    policy: Policy = _NO_POLICY,
    caller: str = "",
    laid: dict[Any, Plan] | None = None,
) -> Plan:
    """
    Lay out what *sent* may be, now.

    *template* is what is known of the template named. *complete*: the ledger has seen everything, so an unseen window is closed.
    *laid*: the plans that were laid out by this book and policy, for those to come differ in little. Raises LookupError when no regime
    is in force yet.
    """
    day = local_day(now, account.zone)
    market = None if sent.group else book.markets.charged(sent.billed or sent.recipient, day)
    product = product_of(sent, account, template, book, day)
    if account.authentication_international is not None:
        product = international(product, sent, account, book, at=now)
    finding = find(policy.checks, sent.given, template) if sent.given else None
    max_price = _max_price(sent, template, book) if product is Product.MARKETING_LITE else None
    key = (sent.phone_number_id, product, market, day, caller, sent.template, max_price, *_manner(sent))
    found = laid.get(key) if laid is not None and finding is None else None
    if found is None or found.account is not account or found.template is not template:
        found = _laid_out(
            sent, account, template, book, product, market, finding, max_price, now=now, policy=policy, caller=caller
        )
        if laid is not None and finding is None and len(sent.template or "") <= _LONGEST_KEPT:
            remember(laid, key, msgspec.structs.replace(found, sent=_NOBODYS))
    watched_since = None if complete else now - book.watch_ms(day)
    return msgspec.structs.replace(found, at=now, sent=sent, watched_since=watched_since)


def _manner(sent: Sent) -> tuple[bool | str | None, ...]:
    """What of a send, beside its product, decides how it is laid out."""
    return sent.is_message, sent.is_template, sent.group, sent.marketing_api, sent.direct_send


def _max_price(sent: Sent, template: Template | None, book: Rulebook) -> int | None:
    """
    What a message of the Marketing Messages API costs at most; None: its rate.

    Where the recipient's country is not known the largest multiplier counts. A multiplier of a max price that nobody told us of leaves
    the price unknown.
    """
    if template is None or template.max_price is None:
        return None if sent.bid_multiplier is None else UNKNOWN_PRICE
    country, by_country = book.markets.country(sent.billed or sent.recipient), template.country_multipliers
    of_country = max(MICROS, *by_country.values()) if by_country and country is None else by_country.get(country or "", MICROS)
    return cap_of(template.max_price, of_country, MICROS if sent.bid_multiplier is None else sent.bid_multiplier)


def _laid_out(
    sent: Sent,
    account: Account,
    template: Template | None,
    book: Rulebook,
    product: Product,
    market: Market | None,
    finding: Finding | None,
    max_price: int | None,
    *,
    now: int,
    policy: Policy,
    caller: str,
) -> Plan:
    """A plan for a day's sends of one manner to one market."""
    day = local_day(now, account.zone)
    regime = book.regime(day)
    laid = Plan(
        at=now,
        account=account,
        sent=sent,
        product=product,
        regime=regime,
        card=book.rates.on(account.currency, day),
        market=market.name if market else None,
        rows=rows(product, account, sent.phone_number_id, book, at=now, market=market, max_price=max_price)
        if sent.is_message
        else (),
        max_price=max_price,
        bars=bars(product, account, book) if sent.is_message else (),
        refusal=Reason.MALFORMED_REQUEST if finding else _refusal(sent, account, template, product),
        finding=finding,
        template=template,
        pending=template.pending if template and template.pending != template.category else None,
        unseen_closed=policy.cold_start is ColdStart.CLOSED,
    )
    counted = (COUNTED_TURN,) if sent.is_message and product in book.platform.permission.answers else ()
    if not policy.asks or not sent.is_message:
        return msgspec.structs.replace(laid, guards=counted) if counted else laid
    asked = asked_of(laid, book, caller)
    return msgspec.structs.replace(
        laid, rules=asked_rules(policy, asked, book.platform), guards=(*guards(policy, asked, book.platform), *counted)
    )


def asked_of(plan: Plan, book: Rulebook, caller: str) -> Asked:
    """What of a plan a policy looks at."""
    sent, account = plan.sent, plan.account
    return Asked(
        product=plan.product,
        categories=tuple(row.category for row in plan.rows),
        market=plan.market,
        caller=caller,
        phone_number_id=sent.phone_number_id,
        template=sent.template,
        portfolio=account.portfolio,
        waba_id=account.waba_id,
        currency=account.currency,
        day=local_day(plan.at, account.zone),
        month=month(plan.at, account.zone),
        outside_window=not sent.group and plan.product not in book.platform.permission.needs_window,
    )


def product_of(sent: Sent, account: Account, template: Template | None, book: Rulebook, day: date) -> Product:
    """What *sent* is before it is priced."""
    if sent.is_reaction:
        return Product.REACTION
    if sent.direct_send:
        return _DIRECT_SEND[sent.direct_send]
    if not sent.is_template:
        if sent.group:
            return Product.GROUP_SERVICE
        if account.ai_provider and book.platform.charges_ai(book.markets.country(sent.billed or sent.recipient), day):
            return Product.GENERAL_PURPOSE_AI
        return Product.SERVICE
    if template is None or template.category is None:
        return Product.MARKETING_LITE if sent.marketing_api else Product.UNKNOWN
    if sent.group:
        return Product(f"group_{template.category}")
    if sent.marketing_api and template.category is TemplateCategory.MARKETING:
        return Product.MARKETING_LITE
    return Product(template.category.value)


def international(product: Product, sent: Sent, account: Account, book: Rulebook, *, at: int) -> Product:
    """What *product* is for a recipient abroad: an eligible business pays a rate of its own for authentication there."""
    own = account.authentication_international
    if own is None or product not in (Product.AUTHENTICATION, Product.AUTHENTICATION_INTERNATIONAL):
        return product
    country = book.markets.country(sent.billed or sent.recipient)
    rated = book.platform.has_international_rate(country, local_day(at, account.zone))
    return Product.AUTHENTICATION_INTERNATIONAL if rated and own.applies(country, at) else Product.AUTHENTICATION


def conversation_name(clock: str) -> str:
    """The category of an open conversation's clock, or the public name of another clock."""
    return clock.removeprefix(CONVERSATION) if clock.startswith(CONVERSATION) else Clock(clock).name.lower()


def bars(product: Product, account: Account, book: Rulebook) -> tuple[Bar, ...]:
    """What of the thread forbids a message, in the order in which Meta would say it."""
    found: tuple[Bar, ...] | None = book.laid.get((product, account.takes_threads))
    return remember(book.laid, (product, account.takes_threads), _bars(product, account, book)) if found is None else found


def _bars(product: Product, account: Account, book: Rulebook) -> tuple[Bar, ...]:
    needed = book.platform.permission
    found = []
    if product in needed.needs_thread and not account.takes_threads:
        found.append(Bar(clock=Clock.THREAD_ELSEWHERE, refuse_open=True, reason=Reason.THREAD_OWNED_ELSEWHERE))
    if product in needed.needs_consent:
        found.append(Bar(clock=Clock.OPTED_OUT, refuse_open=True, reason=Reason.RECIPIENT_OPTED_OUT))
    if product in needed.needs_window:
        found.append(
            Bar(clock=Clock.CUSTOMER_SERVICE_WINDOW, refuse_open=False, reason=Reason.OUTSIDE_CUSTOMER_SERVICE_WINDOW),
        )
    return tuple(found)


def _refusal(sent: Sent, account: Account, template: Template | None, product: Product) -> Reason | None:
    """What Meta refuses at once, whatever the state of the thread."""
    if not sent.is_message:
        return None
    if sent.direct_send and not account.direct_send:
        return Reason.DIRECT_SEND_NOT_ENABLED
    if sent.marketing_api and product is not Product.MARKETING_LITE:
        return Reason.MARKETING_TEMPLATES_ONLY
    if sent.is_template and template is not None:
        return NOT_SENDABLE.get(template.status, Reason.TEMPLATE_NOT_FOUND)
    return None
