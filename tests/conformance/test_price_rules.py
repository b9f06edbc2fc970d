"""
Prices: by category and the recipient's market, from the card in force; and what is said where no card knows.

Sources: Meta, "Pricing", copies of 2025-12-10 and 2026-03-02, and its rate cards; "AI providers", copies of 2026-03-04 and 2026-05-21.
"""

from __future__ import annotations

import pytest
from story import Story, free_entry, h, pmp

DAY = "2026-10-13"
SAYS = ("charged", "price", "price_bound")
BRAZILIAN, ITALIAN, FRENCHMAN, GERMAN, ICELANDER, BRITON = (
    "5541988887777",
    "393471234567",
    "33612345678",
    "4915112345678",
    "3546123456",
    "447700900123",
)


@pytest.mark.parametrize(
    ("to", "market", "prices"),
    [
        ("33612345678", "France", ("0.0859", "0.03", "0.03")),
        ("5541988887777", "Brazil", ("0.0625", "0.0068", "0.0068")),
        ("4915112345678", "Germany", ("0.1365", "0.055", "0.055")),
        ("919812345678", "India", ("0.0118", "0.0014", "0.0014")),
    ],
)
async def test_the_card_of_today(ledger, to, market, prices):
    """Spot values of the card of 2026-10-01; the service column equals the utility column."""
    story = Story(ledger, DAY)
    await story.used(1000)
    await story.wrote(h(0), to)
    sent = [await story.template(h(1), category, to) for category in ("marketing", "utility", "authentication")]
    text = await story.text(h(1), to)

    assert [(market, "USD", "2026-10-01")] * 4 == [each.of("market", "currency", "rate_card") for each in (*sent, text)]
    assert [*prices, prices[1]] == [each.price for each in (*sent, text)]


@pytest.mark.parametrize(
    ("currency", "day", "card", "price"),
    [
        pytest.param("INR", DAY, "2026-10-01", ("4.5293", "exact"), id="another currency has a card of its own"),
        pytest.param("INR", "2025-08-05", None, (None, "unknown"), id="before its first card"),
        pytest.param("SGD", DAY, None, (None, "unknown"), id="no card at all"),
    ],
)
async def test_a_currency_is_never_converted(ledger, currency, day, card, price):
    """A price comes from the account's own card or is not known; a send is never refused for that."""
    story = Story(ledger, day, currency=currency)
    sent = await story.template(h(0), "marketing", "541158749895", lands=True)

    assert ("allow", currency, card, "Argentina") == sent.of("verdict", "currency", "rate_card", "market")
    assert (True, *price) == sent.of(*SAYS)
    assert (True, price[0]) == sent.settled.of("charged", "price")


async def test_a_cell_that_the_card_leaves_blank(ledger):
    """The card of 2022 lacks some markets: charged, and nobody says what."""
    story = Story(ledger, "2022-04-05")
    await story.used(1000)
    sent = await story.template(h(0), to="35212345678", lands=True)

    assert ("Other", True, None, "unknown") == sent.of("market", *SAYS)
    assert ("business_initiated", True, None) == sent.settled.of("opened", "charged", "price")


async def test_what_is_free_is_free_without_a_card(ledger):
    """Nothing has to be looked up for it."""
    story = Story(ledger, DAY, currency="SGD")
    await story.clicked(h(0))
    await (await story.text(h(1))).delivered(h(1), **free_entry())
    sent = await story.template(h(2), "marketing", lands=True)

    assert (False, "0", "exact") == sent.of(*SAYS)
    assert (False, "0") == sent.settled.of("charged", "price")


async def test_a_bound_needs_a_price(ledger):
    """An answer to an ad may cost something, but without a rate nobody can say how much."""
    story = Story(ledger, DAY, currency="SGD")
    await story.clicked(h(0))
    sent = await story.template(h(1), "marketing")

    assert ("opens_free_entry_point", False, None, "unknown") == sent.of("reason", *SAYS)


# ---------------------------------------------------------------------------------------------------------------- AI providers


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata"])
@pytest.mark.parametrize(
    ("to", "day", "late", "charged"),
    [
        pytest.param(ITALIAN, "2026-02-16", -1, False, id="Italy, before"),
        pytest.param(ITALIAN, "2026-02-16", 0, True, id="Italy, from 2026-02-16"),
        pytest.param(ITALIAN, "2026-05-13", -1, True, id="Italy, until 2026-05-12"),
        pytest.param(ITALIAN, "2026-05-13", 0, False, id="Italy, after"),
        pytest.param(GERMAN, "2026-03-11", -1, False, id="EU, before"),
        pytest.param(GERMAN, "2026-03-11", 0, True, id="EU, from 2026-03-11"),
        pytest.param(GERMAN, "2026-05-13", -1, True, id="EU, until 2026-05-12"),
        pytest.param(GERMAN, "2026-05-13", 0, False, id="EU, after"),
        pytest.param(ICELANDER, "2026-03-11", 0, True, id="EEA"),
        pytest.param(BRITON, "2026-03-11", 0, False, id="not the United Kingdom"),
        pytest.param(BRAZILIAN, "2026-03-11", -1, False, id="Brazil, before"),
        pytest.param(BRAZILIAN, "2026-03-11", 0, True, id="Brazil, from 2026-03-11"),
        pytest.param(BRAZILIAN, "2026-11-20", 0, True, id="Brazil, today"),
    ],
)
async def test_where_ai_providers_are_charged(ledger, zone, to, day, late, charged):
    """Non-template messages of general-purpose assistants; EU and EEA stopped on 2026-05-13, Brazil remains."""
    story = Story(ledger, "2026-01-01", zone=zone, ai_provider=True)
    at = story.day(day) + late
    await story.wrote(at, to)
    sent = await story.text(at, to)

    assert ("general_purpose_ai" if charged else "service") == sent.category


async def test_an_ai_providers_message_is_charged_by_itself(ledger):
    """Every one of them, from the first on and inside a free entry point too; no card of ours has the rate."""
    story = Story(ledger, DAY, ai_provider=True)
    await story.clicked(h(0), BRAZILIAN)
    first, second = [await story.text(h(n), BRAZILIAN, lands=True) for n in (1, 2)]
    template = await story.template(h(3), "marketing", BRAZILIAN)

    for each in (first, second):
        assert ("charged_message", "general_purpose_ai", True, None, "unknown") == each.of("reason", "category", *SAYS)
        assert each.free_remaining is None
        assert ("general_purpose_ai", True, None) == each.settled.of("category", "charged", "price")
    assert "opens_free_entry_point" == template.reason


async def test_metas_word_on_an_ai_provider_says_nothing_of_an_entry_point(ledger):
    """A message that is charged inside one does not end it."""
    story = Story(ledger, DAY, ai_provider=True)
    await story.clicked(h(0), BRAZILIAN)
    opener = await story.template(h(1), "marketing", BRAZILIAN)
    await opener.delivered(h(1), **free_entry())
    text = await story.text(h(2), BRAZILIAN)
    settled = await text.delivered(h(2), **pmp("general_purpose_ai"))
    following = await story.template(h(3), "marketing", BRAZILIAN)

    assert ("general_purpose_ai", True, None) == settled.of("category", "charged", "price")
    assert "free_entry_point" == following.reason


@pytest.mark.parametrize("product", ["utility", "reaction", "direct"])
async def test_what_an_ai_provider_is_not_charged_so_for(ledger, product):
    """Templates and Direct Send have their own category, and reactions are free."""
    story = Story(ledger, DAY, ai_provider=True, direct_send=True)
    await story.wrote(h(0), BRAZILIAN)
    sent = {
        "utility": lambda: story.template(h(1), "utility", BRAZILIAN),
        "reaction": lambda: story.reaction(h(1), BRAZILIAN),
        "direct": lambda: story.direct(h(1), "utility", BRAZILIAN),
    }[product]

    assert ("service" if product == "reaction" else "utility") == (await sent()).category


async def test_only_ai_providers_are(ledger):
    """The account says whether it is one."""
    story = Story(ledger, DAY)
    await story.wrote(h(0), BRAZILIAN)
    sent = await story.text(h(1), BRAZILIAN)

    assert "service" == sent.category


async def test_an_ai_provider_needs_the_window_too(ledger):
    """It is free-form all the same."""
    sent = await Story(ledger, DAY, ai_provider=True).text(h(1), BRAZILIAN)

    assert 131047 == sent.blocked
