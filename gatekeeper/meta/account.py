"""Own how news of an account becomes events: eligibility for other rates, where it is at home, and its volume tiers."""

from __future__ import annotations

import re
from collections.abc import Callable

from gatekeeper.meta.change import Change, Unreadable
from gatekeeper.meta.events import AccountUpdate, Event, InternationalRate, PrimaryLocation, VolumeTier
from gatekeeper.meta.lenient import child, children, integer, millis, text, word

_PHONE_NUMBER = "phone_number"  # news of a number of the account may say no more than which one it is (Meta's changelog, 2026-10)
_COUNTRY = re.compile(r"[A-Z]{2}")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def update(change: Change) -> Event:
    """Read news of the account."""
    event = word(change.value.get("event")) or (_PHONE_NUMBER if _PHONE_NUMBER in change.value else None)
    if event is None:
        raise Unreadable("no event")
    return _KINDS.get(event, _other)(change)


def _eligible(change: Change) -> Event:
    told = child(change.value, "auth_international_rate_eligibility")
    start = millis(told.get("start_time"))
    if start is None:
        raise Unreadable("no start_time")
    exceptions = {}
    for row in children(told, "exception_countries"):
        country, at = _country(row.get("country_code")), millis(row.get("start_time"))
        if country and at:
            exceptions[country] = at
    return InternationalRate(
        waba_id=change.waba_id, phone_number_id=change.phone_number_id, start_time=start, exceptions=exceptions
    )


def _at_home(change: Change) -> Event:
    country = _country(change.value.get("country"))
    if country is None:
        raise Unreadable("no country")
    return PrimaryLocation(waba_id=change.waba_id, phone_number_id=change.phone_number_id, country=country)


def _tier(change: Change) -> Event:
    """Read a tier, `25000001:50000000`; several may come for one, and all say the same of the meter."""
    told = child(change.value, "volume_tier_info")
    category, region, month = word(told.get("pricing_category")), text(told.get("region")), text(told.get("effective_month"))
    first = integer((text(told.get("tier")) or "").partition(":")[0])
    if category is None or region is None or first is None or first < 0 or not (month and _MONTH.fullmatch(month)):
        raise Unreadable("no tier, pricing_category, region or effective_month")
    return VolumeTier(
        waba_id=change.waba_id,
        phone_number_id=change.phone_number_id,
        category=category,
        region=region,
        month=month,
        first=first,
    )


def _other(change: Change) -> Event:
    event = word(change.value.get("event")) or _PHONE_NUMBER
    return AccountUpdate(waba_id=change.waba_id, phone_number_id=change.phone_number_id, event=event.upper(), value=change.value)


def _country(value: object) -> str | None:
    code = (text(value) or "").upper()
    return code if _COUNTRY.fullmatch(code) else None


_KINDS: dict[str, Callable[[Change], Event]] = {
    "auth_intl_price_eligibility_update": _eligible,
    "business_primary_location_country_update": _at_home,
    "volume_based_pricing_tier_update": _tier,
}
