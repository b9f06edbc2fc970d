"""
Charges by message since 2026-10-01: free-form messages cost, and utility templates cost inside the window too.

Sources: Meta, "Non-template messages" pricing, copy of 2026-07-01 and quotes of 2026-08-25; "Pricing", quotes of September 2026.
The tier of 1,000 is in `test_free_tier_rules.py`.
"""

from __future__ import annotations

import pytest
from story import Story, free_entry, h, pmp

DAY = "2026-10-13"
SAYS = ("reason", "category", "charged", "price", "price_bound")
PRICE = {"marketing": "0.1365", "utility": "0.055", "authentication": "0.055"}


@pytest.fixture
async def story(ledger) -> Story:
    """An account that has used up its free messages."""
    story = Story(ledger, DAY)
    await story.used(1000)
    return story


async def test_service_is_charged_by_delivered_message(story):
    """Each delivered non-template message costs the market's utility rate."""
    await story.wrote(h(0))
    sent = [await story.text(h(n), lands=True) for n in (1, 2)]

    for each in sent:
        assert ("charged_message", "service", True, "0.055", "exact") == each.of(*SAYS)
        assert (None, "service", True, "0.055") == each.settled.of("opened", "category", "charged", "price")


@pytest.mark.parametrize("content", ["Hello", "SALE! Half price, today only"])
async def test_one_charge_applies_per_message(story, content):
    """Promotional free-form text is a service charge and nothing on top."""
    await story.wrote(h(0))
    sent = await story.text(h(1), body={"text": {"body": content}}, lands=True)

    assert ("service", True, "0.055") == sent.settled.of("category", "charged", "price")


@pytest.mark.parametrize("category", PRICE)
@pytest.mark.parametrize("window", [True, False], ids=["inside the window", "outside"])
async def test_every_template_is_charged(ledger, category, window):
    """Utility templates inside the window are charged again; no template uses the free tier."""
    story = Story(ledger, DAY)
    if window:
        await story.wrote(h(0))
    sent = await story.template(h(1), category, lands=True)

    assert ("charged_message", category, True, PRICE[category], "exact") == sent.of(*SAYS)
    assert sent.free_remaining is None
    assert (category, True, PRICE[category]) == sent.settled.of("category", "charged", "price")


async def test_a_reaction_is_free_and_counts_towards_nothing(ledger):
    """The only service message that stays free for everyone. No `delivered` ever comes for one, so `sent` settles nothing."""
    story = Story(ledger, DAY)
    await story.used(999)
    await story.wrote(h(0))
    reaction = await story.reaction(h(1))
    settled = await reaction.sent(h(1))
    text = await story.text(h(2))

    assert ("free_reaction", "service", False, "0", "exact") == reaction.of(*SAYS)
    assert (None, None) == (reaction.free_remaining, settled)
    assert ("within_free_tier", 0) == text.of("reason", "free_remaining")


async def test_a_reaction_is_free_beyond_the_tier(story):
    """Whatever else was sent."""
    await story.wrote(h(0))
    sent = await story.reaction(h(1))

    assert ("free_reaction", "service", False, "0", "exact") == sent.of(*SAYS)


@pytest.mark.parametrize("method", [True, False])
async def test_without_a_payment_method_meta_stops_after_the_tier(ledger, method):
    """The free ones are still delivered; later ones fail with 131042, and what failed is neither charged nor counted."""
    story = Story(ledger, DAY, payment_method=method)
    await story.used(999)
    await story.wrote(h(0))
    free = await story.text(h(1), lands=True)
    stopped = await story.text(h(2))
    settled = await stopped.failed(h(3), 131042)

    assert ("within_free_tier", False) == (free.reason, free.settled.charged)
    assert stopped.blocked is None
    assert (False, None, False, "0") == settled.of("delivered", "category", "charged", "price")


@pytest.mark.parametrize("product", ["text", "marketing", "utility", "authentication"])
async def test_inside_a_free_entry_point_everything_is_free(story, product):
    """Marketing, utility, authentication and service alike."""
    await story.clicked(h(0))
    await (await story.text(h(1))).delivered(h(1), **free_entry())
    sent = await (story.text(h(2), lands=True) if product == "text" else story.template(h(2), product, lands=True))

    assert ("free_entry_point", "referral_conversion", False, "0", "exact") == sent.of(*SAYS)
    assert ("referral_conversion", False, "0") == sent.settled.of("category", "charged", "price")


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata"])
@pytest.mark.parametrize(
    ("day", "late", "expected"),
    [
        pytest.param("2026-10-01", 0, ("exempt", False, "0"), id="the first instant"),
        pytest.param("2028-01-01", -1, ("exempt", False, "0"), id="the last millisecond"),
        pytest.param("2028-01-01", 0, ("charged_message", True, "0.055"), id="after it"),
    ],
)
async def test_governments_and_non_profits_are_exempt(ledger, zone, day, late, expected):
    """Eligible ones send service messages free beyond the tier, 2026-10-01 to 2027-12-31 (Meta's changelog, 2026-10-12)."""
    story = Story(ledger, "2026-09-30", zone=zone, service_exempt=True)
    at = story.day(day) + late
    await story.used(1000, at=at)
    await story.wrote(at - h(1))
    sent = await story.text(at)

    assert expected == sent.of("reason", "charged", "price")


async def test_an_exempt_account_is_told_so_by_meta(ledger):
    """Meta's webhook keeps `free_customer_service` and adds `paid_exempt`: free, and no drift."""
    story = Story(ledger, DAY, service_exempt=True)
    await story.used(1000)
    await story.wrote(h(0))
    sent = await story.text(h(1))
    settled = await sent.delivered(h(1), **pmp("service", "free_customer_service", subtype="paid_exempt"))

    assert ("exempt", "service", False, "0", "exact") == sent.of(*SAYS)
    assert ("service", False, "0", False) == settled.of("category", "charged", "price", "drift")


async def test_an_exemption_is_for_service_alone(ledger):
    """Templates of an exempt account are charged."""
    story = Story(ledger, DAY, service_exempt=True)
    sent = await story.template(h(1), lands=True)

    assert ("charged_message", True, "0.055") == (*sent.of("reason", "charged"), sent.settled.price)
