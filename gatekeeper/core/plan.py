"""
Own the plan: everything about one send, or one delivery, that needs no Redis.

`plan` turns a send into bars (what may forbid it) and rows (what it may be, in order). Lua finds which of them hold; `decision`
explains what it found. Start reading here, then `lua/authorize.lua`.
"""

from __future__ import annotations

from datetime import date

import msgspec

from gatekeeper.core import regimes
from gatekeeper.core.accounts import Account, Template, TemplateCategory
from gatekeeper.core.calendar import local_day, month
from gatekeeper.core.checks import NOT_SENDABLE, Finding, Given, find
from gatekeeper.core.guards import COUNTED_TURN, Asked, Guard, PlannedRule, asked_rules, guards
from gatekeeper.core.policy import ColdStart, Policy
from gatekeeper.core.rates import RateCard
from gatekeeper.core.regimes import Case, Regime
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.tariff import UNKNOWN_PRICE, Meter, owner, price_of, volume_meter, volume_steps
from gatekeeper.core.vocabulary import CONVERSATION, Clock, Product, Reason

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
    given: Given | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A case of the regime, completed for one send: clocks by their ledger names, the price looked up (None: no rate)."""

    case: Case
    needs: tuple[str, ...] = ()
    opens: str = ""
    length: int = 0
    category: str | None = None
    price: int | None = 0
    charged: bool = False
    meter: Meter | None = None
    free: int = 0
    ceiling: bool = False
    steps: tuple[tuple[int, int], ...] = ()
    meta: bool = False

    @property
    def tariff(self) -> tuple[tuple[int, int], ...]:
        """Steps of (up to this reading, price); the last step's bound is -1: no bound."""
        if self.steps:
            return self.steps
        price = UNKNOWN_PRICE if self.price is None else self.price
        return ((self.free, 0), (-1, price)) if self.meter and self.free else ((-1, price),)


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
) -> Plan:
    """
    Lay out what *sent* may be, now.

    *template* is what is known of the template named. *complete*: the ledger has seen everything, so an unseen window is closed.
    Raises LookupError when no regime is in force yet.
    """
    day = local_day(now, account.zone)
    regime = book.regime(day)
    market = None if sent.group else book.markets.market(sent.billed or sent.recipient, day)
    product = international(product_of(sent, account, template, book, day), sent, account, book, at=now)
    watch = book.platform.watch.clock
    cap = template.max_price if template and product is Product.MARKETING_LITE else None
    max_price = None if cap is None else int(cap)
    finding = find(policy.checks, sent.given, template) if sent.given else None
    laid = Plan(
        at=now,
        account=account,
        sent=sent,
        product=product,
        regime=regime,
        card=book.rates.on(account.currency, day),
        market=market,
        rows=rows(product, account, sent, book, at=now, market=market, max_price=max_price) if sent.is_message else (),
        max_price=max_price,
        bars=_bars(product, sent, account, book),
        refusal=Reason.MALFORMED_REQUEST if finding else _refusal(sent, account, template, product),
        finding=finding,
        template=template,
        pending=template.pending if template and template.pending != template.category else None,
        watched_since=None if complete else now - book.platform.length_ms(watch, day),
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


def rows(
    product: Product,
    account: Account,
    sent: Sent,
    book: Rulebook,
    *,
    at: int,
    market: str | None,
    window_at_send: bool | None = None,
    max_price: int | None = None,
) -> tuple[Row, ...]:
    """
    The cases of the regime at *at* for *product*, completed for this send.

    *window_at_send* is what was latched when it was sent; None while it is being sent, when the window itself is asked.
    *max_price*: what the caller has told Meta to charge at most, in place of the rate.
    """
    day = local_day(at, account.zone)
    regime = book.regime(day)
    card = book.rates.on(account.currency, day)
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
            Meter(case.allowance, owner(allowance.per, account, sent.phone_number_id), month(at, account.zone))
            if allowance
            else None
        )
        column = regimes.named(case.price, product)
        steps = volume_steps(column, card, market, book) if case.tiers else ()
        if steps:
            meter = volume_meter(column, str(market), account, book, month=month(at, account.zone))
        found.append(
            Row(
                case=case,
                needs=tuple(clock for name in needs for clock in book.regimes.clocks(name, product)),
                opens=opens,
                length=book.platform.length_ms(opens, day) if opens else 0,
                category=None if case.category == regimes.JOINED else regimes.named(case.category, product) or None,
                price=_price(column, card, market, book, max_price) if case.price else 0,
                ceiling=bool(case.price) and max_price is not None,
                charged=bool(case.price),
                meter=meter,
                free=allowance.free if allowance else 0,
                steps=steps,
            )
        )
    return tuple(found)


def _price(column: str, card: RateCard | None, market: str | None, book: Rulebook, max_price: int | None) -> int | None:
    return price_of(column, card, market, book) if max_price is None else max_price


def conversation_name(clock: str) -> str:
    """The category of an open conversation's clock, or the public name of another clock."""
    return clock.removeprefix(CONVERSATION) if clock.startswith(CONVERSATION) else Clock(clock).name.lower()


def _bars(product: Product, sent: Sent, account: Account, book: Rulebook) -> tuple[Bar, ...]:
    """What of the thread forbids this send, in the order in which Meta would say it."""
    needed = book.platform.permission
    bars = []
    if product in needed.needs_thread and not account.takes_threads:
        bars.append(Bar(clock=Clock.THREAD_ELSEWHERE, refuse_open=True, reason=Reason.THREAD_OWNED_ELSEWHERE))
    if product in needed.needs_consent:
        bars.append(Bar(clock=Clock.OPTED_OUT, refuse_open=True, reason=Reason.RECIPIENT_OPTED_OUT))
    if product in needed.needs_window and sent.is_message:
        bars.append(
            Bar(clock=Clock.CUSTOMER_SERVICE_WINDOW, refuse_open=False, reason=Reason.OUTSIDE_CUSTOMER_SERVICE_WINDOW),
        )
    return tuple(bars)


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
