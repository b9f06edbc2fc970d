"""Own what the types of the configuration cannot say: each mistake with its key path."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator

from gatekeeper.core.accounts import Account, Template
from gatekeeper.core.secret import SHORTEST
from gatekeeper.settings.addresses import address, port_fits
from gatekeeper.settings.callers import access_mistakes
from gatekeeper.settings.forwards import forward_mistakes
from gatekeeper.settings.kinds import nearest
from gatekeeper.settings.ledgers import ledger_mistakes
from gatekeeper.settings.policies import policy_mistakes
from gatekeeper.settings.sections import Recipients, Settings


def mistakes(settings: Settings) -> list[tuple[str, str]]:
    """What types alone cannot say, each with its key path."""
    found: list[tuple[str, str]] = []
    for key in ("listen", "admin_listen"):
        try:
            address(getattr(settings.server, key))
        except ValueError as error:
            found.append((f"$.server.{key}", str(error)))
    if settings.server.workers < 1:
        found.append(("$.server.workers", "at least 1"))
    if not settings.webhook.path.startswith("/"):
        found.append(("$.webhook.path", "starts with a slash"))
    if not re.fullmatch(r"https?://[^/?#]+[^?#]*", settings.upstream.base_url) or not port_fits(settings.upstream.base_url):
        found.append(("$.upstream.base_url", "an http:// or https:// URL"))
    elif "@" in settings.upstream.base_url.split("/")[2]:  # it is greeted with and logged, and Graph asks for a token instead
        found.append(("$.upstream.base_url", "a URL without a login"))
    found += forward_mistakes(settings)
    found += _record_mistakes(settings)
    found += policy_mistakes(settings.policy)
    found += access_mistakes(settings)
    found += ledger_mistakes(settings.ledger)
    numbers: dict[str, int] = {}
    wabas: set[str] = set()
    for n, account in enumerate(settings.account):
        found += [(f"$.account[{n}].{key}", mistake) for key, mistake in _account_mistakes(account)]
        if account.waba_id in wabas:
            found.append((f"$.account[{n}].waba_id", "named by an account above"))
        wabas.add(account.waba_id)
        for m, number in enumerate(account.phone_number_ids):
            if numbers.setdefault(number, n) != n:
                found.append((f"$.account[{n}].phone_number_ids[{m}]", f"also named by account[{numbers[number]}]"))
    return found


def _record_mistakes(settings: Settings) -> list[tuple[str, str]]:
    record, found = settings.record, []
    if record.keep < 1:
        found.append(("$.record.keep", "at least 1"))
    if record.key and len(record.key) < SHORTEST:
        found.append(("$.record.key", f"at least {SHORTEST} characters"))
    if record.path and not record.key and record.recipients is Recipients.PSEUDONYMISED and settings.server.workers > 1:
        found.append(("$.record.key", "needed with several workers, which would each have other pseudonyms"))
    return found


def _multiplier_mistakes(template: Template, country: str, multiplier: int) -> Iterator[str]:
    if not re.fullmatch(r"[A-Z]{2}", country):
        yield f"{country!r} is not a country code such as IN"
    if not multiplier:
        yield f"the multiplier of {country!r} must be more than 0"
    if template.max_price is None:
        yield "there is no max_price to multiply"


def _account_mistakes(account: Account) -> list[tuple[str, str]]:
    found = []
    try:
        zoneinfo.ZoneInfo(account.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(account.timezone, sorted(zoneinfo.available_timezones()), listed=False)
        found.append(("timezone", f"{account.timezone!r} is not an IANA time zone such as America/Los_Angeles{near}"))
    if not re.fullmatch(r"[A-Z]{3}", account.currency):
        found.append(("currency", f"{account.currency!r} is not a currency code such as USD"))
    if not re.fullmatch(r"[!-~]*", account.access_token):
        found.append(("access_token", "a token of printable ASCII, without spaces"))
    ids = (("waba_id", r"\d+"), ("portfolio_id", r"\d*"))
    found += [(key, "an id of digits") for key, shape in ids if not re.fullmatch(shape, getattr(account, key))]
    found += [
        (f"phone_number_ids[{m}]", "an id of digits")
        for m, number in enumerate(account.phone_number_ids)
        if not re.fullmatch(r"\d+", number)
    ]
    templates = enumerate(account.template)
    found += [
        (f"template[{m}].{key}", "must not be empty") for m, t in templates for key in ("name", "language") if not getattr(t, key)
    ]
    found += [
        (f"template[{m}].country_multipliers", mistake)
        for m, template in enumerate(account.template)
        for country, multiplier in template.country_multipliers.items()
        for mistake in _multiplier_mistakes(template, country, multiplier)
    ]
    for m, opening in enumerate(account.opening):
        at = f"opening[{m}]"
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", opening.month):
            found.append((f"{at}.month", f"{opening.month!r} is not a month such as 2026-10"))
        if bool(opening.category) != bool(opening.market):
            found.append((at, "a volume tier has a category and a market"))
        if opening.phone_number_id and opening.phone_number_id not in account.phone_number_ids:
            found.append((f"{at}.phone_number_id", "is not one of this account's"))
        found += [(f"{at}.{key}", "not less than 0") for key in ("free_used", "charged") if getattr(opening, key) < 0]
    named = [(template.name, template.language) for template in account.template]
    found += [(f"template[{m}]", "this name and language stand above") for m, key in enumerate(named) if key in named[:m]]
    return found
