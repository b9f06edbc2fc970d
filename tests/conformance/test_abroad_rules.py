"""
Authentication-international: whom an eligible business pays more for, and from when on.

Sources: Meta, "Authentication-international rates", copy of 2025-12-12; `account_update` webhook, copy of 2025-12; the rate cards of
2026-10-01: India 0.0014 and 0.0304, Pakistan 0.0150 and 0.0750, Germany 0.0550.
"""

from __future__ import annotations

import datetime as dt

import pytest
from story import Story, h, pmp

from gatekeeper.core.accounts import AuthenticationInternational

DAY = "2026-10-13"
INDIAN, PAKISTANI, GERMAN = "919812345678", "923001234567", "4915112345678"
SAYS = ("category", "price")
AT_HOME, ABROAD = ("authentication", "0.0014"), ("authentication_international", "0.0304")


def instant(day: str, hour: int = 0) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(hour=hour, tzinfo=dt.UTC)


def eligible(**told) -> AuthenticationInternational:
    return AuthenticationInternational(**{"start_time": instant("2026-03-01"), "primary_location": "US"} | told)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, AT_HOME),
        (eligible(), ABROAD),
        (eligible(primary_location=""), ABROAD),
        (eligible(primary_location="IN"), AT_HOME),
        (eligible(start_time=instant("2026-10-14")), AT_HOME),
        (eligible(exception_countries={"IN": instant("2026-11-01")}), AT_HOME),
        (eligible(start_time=instant("2026-12-01"), exception_countries={"IN": instant("2026-10-01")}), ABROAD),
        (eligible(exception_countries={"PK": instant("2026-11-01")}), ABROAD),
    ],
)
async def test_who_pays_the_rate(ledger, told, expected):
    """Eligible, at home elsewhere (or nowhere that Meta has verified), and past the country's start time."""
    sent = await Story(ledger, DAY, authentication_international=told).template(h(1), "authentication", INDIAN)

    assert expected == sent.of(*SAYS)


async def test_a_market_without_the_rate(ledger):
    """Germany has one authentication rate."""
    sent = await Story(ledger, DAY, authentication_international=eligible()).template(h(1), "authentication", GERMAN)

    assert ("authentication", "0.055") == sent.of(*SAYS)


async def test_only_authentication(ledger):
    """A utility template costs the same from everywhere."""
    sent = await Story(ledger, DAY, authentication_international=eligible()).template(h(1), "utility", INDIAN)

    assert ("utility", "0.0014") == sent.of(*SAYS)


async def test_the_time_of_delivery_counts(ledger):
    """Sent before the start time and delivered after it: charged as international."""
    told = eligible(start_time=instant(DAY, hour=2))
    sent = await Story(ledger, DAY, authentication_international=told).template(h(1), "authentication", INDIAN)
    settled = await sent.delivered(h(3))

    assert AT_HOME == sent.of(*SAYS)
    assert ABROAD == settled.of(*SAYS)


async def test_meta_says_who_is_eligible(ledger):
    """Webhooks tell start times and home; the latest one counts."""
    story = Story(ledger, DAY)
    rate = {"start_time": story.unix(h(-24)), "exception_countries": [{"country_code": "PK", "start_time": story.unix(h(24))}]}
    said = []
    for news in (
        {"event": "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE", "auth_international_rate_eligibility": rate},
        {"event": "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE", "country": "IN"},
        {"event": "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE", "country": "DE"},
    ):
        await story.post(h(1), "account_update", news)
        said += [(await story.template(h(2), "authentication", to)).category for to in (INDIAN, PAKISTANI)]

    away, home = "authentication_international", "authentication"
    assert [away, home, home, home, away, home] == said


async def test_metas_word_wins(ledger):
    """What its pricing calls authentication-international is that, whatever we knew."""
    sent = await Story(ledger, DAY).template(h(1), "authentication", INDIAN)
    settled = await sent.delivered(h(1), **pmp("authentication-international"))

    assert AT_HOME == sent.of(*SAYS)
    assert ABROAD == settled.of(*SAYS)


TIER = {"pricing_category": "UTILITY", "tier": "1000001:5000000", "effective_month": "2026-04", "region": "INDIA"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, ("0.0014", "exact")),
        ({"tier": "25000001:50000000", "tier_update_time": 1776000000}, ("0.0013", "exact")),
        ({"tier": "25000001:50000000", "effective_month": "2026-03"}, ("0.0014", "exact")),
        ({"tier": "25000001:50000000", "pricing_category": "AUTHENTICATION"}, ("0.0014", "exact")),
        ({"tier": "25000001:50000000", "region": "Rest of Africa"}, ("0.0014", "exact")),
        ({"tier": "25000001:50000000", "region": "Atlantis"}, ("0.0014", "exact")),
    ],
)
async def test_meta_tells_the_volume_tier(ledger, told, expected):
    """It counts over all partners, so its word raises our meter of that market, category and month, and makes the price exact."""
    story = Story(ledger, "2026-04-20")
    if told:
        await story.post(h(1), "account_update", {"event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info": TIER | told})
    sent = await story.template(h(2), "utility", INDIAN)

    assert expected == sent.of("price", "price_bound")


async def test_a_lower_tier_told_later_changes_nothing(ledger):
    """Webhooks come in any order, and a month's count only grows."""
    story = Story(ledger, "2026-04-20")
    for tier in ("25000001:50000000", "0:25000000"):
        news = TIER | {"tier": tier}
        await story.post(h(1), "account_update", {"event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info": news})
    sent = await story.template(h(2), "utility", INDIAN)

    assert ("0.0013", "exact") == sent.of("price", "price_bound")
