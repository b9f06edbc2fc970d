"""
When rules and rates change: at the account's own midnight, a message by the day of its send, a settlement by that of its delivery.

Source: Meta, "Conversation-based pricing", copy of 2025-11-14, and "Pricing", copy of 2026-03-02: every change takes effect at
"12:00 AM, based on WhatsApp Business Account time zone".
"""

from __future__ import annotations

import pytest
from story import HOUR, SECOND, Story, h

ZONES = pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata"])
SIDES = pytest.mark.parametrize(("late", "after"), [(-1, False), (0, True)], ids=["before midnight", "at midnight"])
INDIAN, KAZAKH, POLE, ZIMBABWEAN = "919812345678", "77011234567", "48501234567", "263771234567"


@ZONES
@SIDES
@pytest.mark.parametrize(
    ("eve", "day", "before", "then"),
    [
        ("2023-05-31", "2023-06-01", "cbp-2022-02", "cbp-2023-06"),
        ("2024-10-31", "2024-11-01", "cbp-2023-06", "cbp-2024-11"),
        ("2025-06-30", "2025-07-01", "cbp-2024-11", "pmp-2025-07"),
        ("2026-09-30", "2026-10-01", "pmp-2025-07", "pmp-2026-10"),
    ],
    ids=["categories", "service free", "per message", "service charged"],
)
async def test_the_regime_of_a_decision(ledger, zone, eve, day, before, then, late, after):
    """A regime is in force from the first instant of its day in the account's time zone."""
    story = Story(ledger, eve, zone=zone)
    sent = await story.template(story.day(day) + late)

    assert (then if after else before) == sent.regime


@ZONES
async def test_there_is_no_regime_before_the_first(ledger, zone):
    """Meta charges by conversations since 2022-02-01; nothing is known of what was before."""
    story = Story(ledger, "2022-01-31", zone=zone)
    sent = await story.template(story.day("2022-02-01"))
    with pytest.raises(LookupError, match="2022-01-31"):
        await story.template(story.day("2022-02-01") - 1)

    assert "cbp-2022-02" == sent.regime


@ZONES
@SIDES
@pytest.mark.parametrize(
    ("day", "product", "before", "then"),
    [
        pytest.param(
            "2023-06-01",
            "text",
            ("user_initiated", "user_initiated", False, "0"),
            ("service", "service", False, "0"),
            id="text 2023",
        ),
        pytest.param(
            "2023-06-01",
            "utility",
            ("user_initiated", "user_initiated", False, "0"),
            ("utility", "utility", True, "0.0853"),
            id="utility 2023",
        ),
        pytest.param(
            "2025-07-01",
            "marketing",
            ("marketing", "marketing", True, "0.1365"),
            (None, "marketing", True, "0.1365"),
            id="marketing 2025",
        ),
        pytest.param(
            "2025-07-01", "utility", ("utility", "utility", True, "0.055"), (None, "utility", False, "0"), id="utility 2025"
        ),
        pytest.param("2025-07-01", "text", ("service", "service", False, "0"), (None, "service", False, "0"), id="text 2025"),
        pytest.param("2026-10-01", "utility", (None, "utility", False, "0"), (None, "utility", True, "0.055"), id="utility 2026"),
    ],
)
async def test_a_settlement_follows_the_day_of_the_delivery(ledger, zone, day, product, before, then, late, after):
    """What is on its way over midnight is charged by the rules that it arrives under; the window was open when it was sent."""
    story = Story(ledger, "2023-01-01", zone=zone)
    midnight = story.day(day)
    await story.wrote(midnight - HOUR)
    sent = await (story.text(midnight - HOUR) if product == "text" else story.template(midnight - HOUR, product))
    settled = await sent.delivered(midnight + late * SECOND)

    assert (then if after else before) == settled.of("opened", "category", "charged", "price")


@ZONES
@SIDES
async def test_service_is_free_by_the_day_of_its_delivery(ledger, zone, late, after):
    """A text beyond the free conversations of October 2024 is free when it arrives in November."""
    story = Story(ledger, "2024-10-31", zone=zone)
    await story.used(1000)
    await story.wrote(h(20))
    sent = await story.text(h(20))
    settled = await sent.delivered(h(24) + late * SECOND)

    assert (True, "0.0819") == sent.of("charged", "price")
    assert ("service", not after, "0" if after else "0.0819") == settled.of("opened", "charged", "price")


@ZONES
@SIDES
async def test_service_is_charged_by_the_day_of_its_delivery(ledger, zone, late, after):
    """A text of September 2026 that arrives in October is one of October's messages."""
    story = Story(ledger, "2026-09-30", zone=zone)
    await story.used(1000, at=h(24))
    await story.wrote(h(20))
    sent = await story.text(h(20))
    settled = await sent.delivered(h(24) + late * SECOND)

    assert (False, "0", None) == sent.of("charged", "price", "free_remaining")
    assert (after, "0.055" if after else "0") == settled.of("charged", "price")


@ZONES
@SIDES
@pytest.mark.parametrize(
    ("eve", "day", "to", "product", "before", "then"),
    [
        pytest.param(
            "2024-07-31",
            "2024-08-01",
            INDIAN,
            "utility",
            ("India", "2024-07-01", "0.0042"),
            ("India", "2024-08-01", "0.0014"),
            id="utility lowered",
        ),
        pytest.param(
            "2024-09-30",
            "2024-10-01",
            INDIAN,
            "marketing",
            ("India", "2024-08-01", "0.0099"),
            ("India", "2024-10-01", "0.0107"),
            id="marketing raised",
        ),
        pytest.param(
            "2025-12-31",
            "2026-01-01",
            INDIAN,
            "marketing",
            ("India", "2025-10-01", "0.0107"),
            ("India", "2026-01-01", "0.0118"),
            id="marketing raised again",
        ),
    ],
)
async def test_the_rate_card_of_a_send(ledger, zone, eve, day, to, product, before, then, late, after):
    """Decisions are priced by the card of the day in the account's time zone."""
    story = Story(ledger, eve, zone=zone)
    sent = await story.template(story.day(day) + late, product, to)

    assert (then if after else before) == sent.of("market", "rate_card", "price")


@ZONES
@SIDES
async def test_the_rate_card_of_a_delivery(ledger, zone, late, after):
    """Settlements are priced by the card of the day of the delivery."""
    story = Story(ledger, "2024-09-30", zone=zone)
    sent = await story.template(h(23), "marketing", INDIAN)
    settled = await sent.delivered(h(24) + late * SECOND)

    assert "0.0099" == sent.price
    assert ("0.0107" if after else "0.0099") == settled.price


@ZONES
@SIDES
async def test_the_market_of_a_delivery(ledger, zone, late, after):
    """A message that is on its way over midnight costs the rate of the market that the country is in when it arrives."""
    story = Story(ledger, "2026-09-30", zone=zone)
    sent = await story.template(h(23), to=KAZAKH)
    settled = await sent.delivered(h(24) + late * SECOND)

    assert "0.0077" == sent.price
    assert ("0.018" if after else "0.0077") == settled.price


@ZONES
@SIDES
@pytest.mark.parametrize(
    ("eve", "day", "to", "before", "then"),
    [
        ("2026-09-30", "2026-10-01", KAZAKH, "Other", "Kazakhstan"),
        ("2026-06-30", "2026-07-01", POLE, "Rest of Central & Eastern Europe", "Poland"),
        ("2025-09-30", "2025-10-01", ZIMBABWEAN, "Other", "Rest of Africa"),
    ],
)
async def test_a_country_moves_to_its_market(ledger, zone, eve, day, to, before, then, late, after):
    """Countries get a market of their own on a quarter day. Source: "Pricing", country calling codes, and the cards of 2026."""
    story = Story(ledger, eve, zone=zone)
    sent = await story.template(story.day(day) + late, to=to)

    assert (then if after else before) == sent.market
