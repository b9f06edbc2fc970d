"""Own what is no mistake in a configuration and yet seldom meant: variables that are not set, and prices that are not known."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from typing import Any

from gatekeeper.core.accounts import Account
from gatekeeper.core.calendar import local_day
from gatekeeper.core.regimes import Regime
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.vocabulary import Product
from gatekeeper.settings.addresses import own_listener
from gatekeeper.settings.loading import ENV, document, unset
from gatekeeper.settings.readings import Reading
from gatekeeper.settings.sections import Settings

_Warning = tuple[str, str]
_NO_ACCOUNT = "$.account"


def warnings(
    reading: Reading, settings: Settings, book: Rulebook, *, now: int, environment: Mapping[str, str] | None = None
) -> list[_Warning]:
    """What a person should know of a configuration without a mistake, each with its key path; *now*: the day of its prices."""
    raw, given = document(reading), os.environ if environment is None else environment
    found = [("$", "nothing came from what can be read only once: all defaults are in force")] if reading.once and not raw else []
    own = own_listener(settings.server, settings.upstream.base_url)
    if own:
        found.append(("$.upstream.base_url", f"the gate's own address ($.server.{own}): what is sent there comes back"))
    return [*found, *_unset(raw, "$", given), *_prices(settings, book, now)]


def _unset(value: Any, path: str, environment: Mapping[str, str]) -> Iterator[_Warning]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _unset(item, f"{path}.{key}", environment)
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _unset(item, f"{path}[{n}]", environment)
    elif isinstance(value, str) and value.startswith(ENV) and value.removeprefix(ENV) not in environment:
        yield path, f"{unset(value.removeprefix(ENV), environment)}; it counts as absent"


def _prices(settings: Settings, book: Rulebook, now: int) -> Iterator[_Warning]:
    """Yield for each account, or for the numbers that no account names where there is none, what its currency's card lacks today."""
    accounts = [(f"{_NO_ACCOUNT}[{n}].currency", account) for n, account in enumerate(settings.account)]
    for path, account in accounts or [(_NO_ACCOUNT, Account(waba_id=""))]:
        day = local_day(now, account.zone)
        regime, card = book.regimes.on(day), book.rates.on(account.currency, day)
        if card is None:
            yield path, f"no {account.currency} rate card is in force on {day}: every price is unknown"
            continue
        if regime is None:
            continue
        if card.effective < regime.effective:
            rules = f"{regime.name} from {regime.effective}"
            yield (
                path,
                f"the {account.currency} rate card of {card.effective} is older than the rules in force, {rules}: no price is exact",
            )
        unpriced = [market for market in sorted(card.rates) if card.rate(market, Product.SERVICE) is None]
        if unpriced and _charges_service(book, regime, account, day):
            of = "no service price" if len(unpriced) == len(card.rates) else f"no service price for {', '.join(unpriced)}"
            yield path, f"the {account.currency} rate card of {card.effective} has {of}: what a text costs is unknown"


def _charges_service(book: Rulebook, regime: Regime, account: Account, day: dt.date) -> bool:
    """Say whether a free-form message of an account has a price where nothing makes it free."""
    last = next((case for case in book.regimes.cases(regime, Product.SERVICE, account, day) if not case.needs), None)
    return last is not None and bool(last.price)
