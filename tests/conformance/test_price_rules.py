"""
Prices: by category and the recipient's market, from the card in force; and what is said where no card knows.

Sources: Meta, "Pricing", copies of 2025-12-10 and 2026-03-02, and its rate cards; "AI providers", copies of 2026-03-04 and 2026-05-21.
"""

from __future__ import annotations

import datetime as dt

import pytest
from rate_sheets import sheet_on
from story import Story, free_entry, h, midnight, pmp, rulebook

from gatekeeper.core.accounts import Account
from gatekeeper.core.decision import decide
from gatekeeper.core.plan import Sent, plan
from gatekeeper.core.vocabulary import money

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
    """Every one of them, from the first on and inside a free entry point too; in reais nothing is known of the rate."""
    story = Story(ledger, DAY, ai_provider=True, currency="BRL")
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

    assert ("general_purpose_ai", True, "0.0625") == settled.of("category", "charged", "price")
    assert "free_entry_point" == following.reason


@pytest.mark.parametrize(
    ("to", "currency", "day", "late", "expected"),
    [
        pytest.param(ITALIAN, "USD", "2026-02-16", 0, ("0.0691", "exact"), id="Italy, from 2026-02-16"),
        pytest.param(ITALIAN, "USD", "2026-05-13", -1, ("0.0691", "exact"), id="Italy, until 2026-05-12"),
        pytest.param(ITALIAN, "EUR", "2026-02-16", 0, ("0.0572", "exact"), id="in euros, before any list card"),
        pytest.param(ITALIAN, "GBP", "2026-05-13", -1, ("0.0498", "exact"), id="in pounds"),
        pytest.param(ITALIAN, "INR", "2026-02-16", 0, (None, "unknown"), id="in no other currency"),
        pytest.param(GERMAN, "USD", "2026-03-11", 0, (None, "unknown"), id="the rest of the EU"),
        pytest.param(BRAZILIAN, "USD", "2026-10-01", -1, (None, "unknown"), id="Brazil, before it is used"),
        pytest.param(BRAZILIAN, "USD", "2026-10-01", 0, ("0.0625", "at-most"), id="Brazil, from before its regime"),
        pytest.param(BRAZILIAN, "EUR", "2026-03-11", 0, (None, "unknown"), id="Brazil, in euros"),
    ],
)
async def test_what_an_ai_providers_message_costs(ledger, to, currency, day, late, expected):
    """As much of their own card as is known, each rate in its own currency; delivered it costs the same, with Meta's word or without."""
    story = Story(ledger, "2026-01-01", ai_provider=True, currency=currency)
    at = story.day(day) + late
    await story.wrote(at, to)
    first, second = [await story.text(at, to) for _ in range(2)]
    told, untold = await first.delivered(at, **pmp("general_purpose_ai")), await second.delivered(at)

    assert ("general_purpose_ai", True, *expected) == first.of("category", *SAYS)
    assert [("general_purpose_ai", True, expected[0])] * 2 == [each.of("category", "charged", "price") for each in (told, untold)]
    assert not told.drift


# ------------------------------------------------------------------------------------------------------------- what bounds a price

JERSEYMAN, GUAMANIAN, SAHRAWI = "447797123456", "16715551234", "212528812345"
MARKET = ("market", *SAYS)


@pytest.mark.parametrize(
    ("to", "day", "market", "dearer"),
    [
        pytest.param(JERSEYMAN, DAY, "United Kingdom", ("0.0635", "0.022"), id="the country's rate is the dearer"),
        pytest.param(GUAMANIAN, DAY, "North America", ("0.0604", "0.0077"), id="the rate of Other is"),
        pytest.param(SAHRAWI, "2026-09-30", "Rest of Africa", ("0.0604", "0.0077"), id="before its country moved"),
        pytest.param(SAHRAWI, DAY, "Morocco", ("0.0604", "0.023"), id="each category by its own dearer rate"),
        pytest.param(JERSEYMAN, "2024-09-10", "United Kingdom", ("0.0705", "0.022"), id="in the time of conversations"),
    ],
)
async def test_a_number_of_two_markets_costs_the_dearer_at_most(ledger, to, day, market, dearer):
    """Meta's list does not name the territory: it has the market whose calling code it shares, and costs no more than either."""
    story = Story(ledger, day)
    for category, price in zip(("marketing", "utility"), dearer, strict=True):
        sent = await story.template(h(1), category, to, lands=True)

        assert (market, True, price, "at-most") == sent.of(*MARKET)
        assert (category, True, price) == sent.settled.of("category", "charged", "price")


@pytest.mark.parametrize("word", [{}, pmp("marketing")], ids=["without Meta's word", "with Meta's word"])
async def test_metas_word_leaves_the_market_open(ledger, word):
    """It says what was charged for, and not at which rate."""
    story = Story(ledger, DAY)
    sent = await story.template(h(1), "marketing", GUAMANIAN)
    settled = await sent.delivered(h(1), **word)

    assert ("0.0604", False) == settled.of("price", "drift")


async def test_another_category_by_metas_word_has_two_markets_too(ledger):
    """A utility template that Meta charges as marketing costs the dearer marketing rate at most."""
    story = Story(ledger, DAY)
    sent = await story.template(h(1), "utility", GUAMANIAN)
    settled = await sent.delivered(h(1), **pmp("marketing"))

    assert ("marketing", "0.0604") == settled.of("category", "price")


async def test_a_reading_without_a_rate_leaves_the_price_open(ledger):
    """The card of dirhams has no row for either of them: what bounds a price is not known."""
    sent = await Story(ledger, DAY, currency="AED").template(h(1), "marketing", GUAMANIAN)

    assert ("North America", True, None, "unknown") == sent.of(*MARKET)


async def test_what_is_free_in_either_market_is_free(ledger):
    """Inside the free tier no rate counts."""
    story = Story(ledger, DAY)
    await story.used(999)
    await story.wrote(h(0), JERSEYMAN)
    free, charged = [await story.text(h(1), JERSEYMAN, lands=True) for _ in range(2)]

    assert ("United Kingdom", False, "0", "exact") == free.of(*MARKET)
    assert ("United Kingdom", True, "0.022", "at-most") == charged.of(*MARKET)
    assert ["0", "0.022"] == [each.settled.price for each in (free, charged)]


async def test_a_tier_is_never_below_the_other_reading(ledger):
    """The market's own count says which tier it is; of the other market nothing is counted, so its list rate bounds what is left."""
    story = Story(ledger, "2026-04-14")
    probe = await story.template(h(0), "utility", GUAMANIAN, answered=False)
    await probe.refused(h(0))
    meter = probe.decided.plan.rows[-1].meter
    await ledger.set_settled(meter.owner, meter, 10**9)
    beyond = await story.template(h(1), "utility", GUAMANIAN, lands=True)
    american = await story.template(h(1), "utility", "16505551234")

    assert ("0.0077", "at-most", "0.0077") == (*beyond.of("price", "price_bound"), beyond.settled.price)
    assert float(american.price) < float("0.0034")


@pytest.mark.parametrize(
    ("currency", "to", "price"),
    [
        ("EUR", GERMAN, "0.0456"),
        ("GBP", GERMAN, "0.0397"),
        ("USD", GERMAN, "0.055"),
        ("INR", GERMAN, "4.0322"),
        ("BRL", BRAZILIAN, "0.035"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles"])
async def test_a_card_older_than_its_regime_bounds_a_price(ledger, zone, currency, to, price):
    """On either side of 2026-10-01 of the account's calendar: where a currency has no newer card, its old one says the most."""
    story = Story(ledger, "2026-09-30", zone=zone, currency=currency)
    before, after = [await story.template(at, "authentication", to, lands=True) for at in (h(24) - 1000, h(24))]
    newer = sheet_on(currency, dt.date(2026, 10, 1)).effective >= dt.date(2026, 10, 1)

    assert (True, price, "exact") == before.of(*SAYS)
    assert (True, price, "exact" if newer else "at-most") == after.of(*SAYS)
    assert [price, price] == [each.settled.price for each in (before, after)]


async def test_what_is_free_is_free_by_an_old_card_too(ledger):
    """The free tier, and what a free entry point covers, cost nothing whatever a card says; what an old one lacks is not known."""
    story = Story(ledger, DAY, currency="EUR")
    await story.used(999)
    await story.wrote(h(0))
    tier, beyond = [await story.text(h(1)) for _ in range(2)]
    await story.clicked(h(2), FRENCHMAN)
    opener = await story.text(h(3), FRENCHMAN)
    await opener.delivered(h(3), **free_entry())
    inside = await story.template(h(4), "marketing", FRENCHMAN)

    assert ("within_free_tier", False, "0", "exact") == tier.of("reason", *SAYS)
    assert ("charged_message", True, None, "unknown") == beyond.of("reason", *SAYS)
    assert ("free_entry_point", False, "0", "exact") == inside.of("reason", *SAYS)


async def test_an_old_card_bounds_what_is_unconfirmed_too(ledger):
    """An answer to an ad is expected to be free, and costs at most what the old card says."""
    story = Story(ledger, DAY, currency="EUR")
    await story.clicked(h(0))
    sent = await story.template(h(1), "marketing")

    assert ("opens_free_entry_point", False, "0.1131", "at-most") == sent.of("reason", *SAYS)


@pytest.mark.parametrize(
    ("to", "day", "price", "bound"),
    [(ITALIAN, "2026-05-12", "0.0691", "exact"), (BRAZILIAN, "2026-10-01", "0.0625", "at-most")],
)
def test_without_a_ledger_a_bound_is_one_too(to, day, price, bound):
    """What is not known of a rate has nothing to do with Redis: an AI provider's message is charged in any case."""
    account = Account(waba_id="1", ai_provider=True)
    sent = Sent(phone_number_id="2", recipient=to)
    decision = decide(plan(sent, account, None, rulebook(), now=midnight(day)), None)

    assert (True, price, bound) == (decision.charged, money(decision.price), decision.price_bound)


@pytest.mark.parametrize(
    ("currency", "to", "says"),
    [
        ("USD", GERMAN, "costs 0.1365 USD"),
        ("EUR", GERMAN, "costs at most 0.1131 EUR: the rate is older than the regime in force"),
        ("USD", GUAMANIAN, "costs at most 0.0604 USD: Meta's list can be read as another market, and this is the dearer rate"),
    ],
)
async def test_an_explanation_says_what_bounds_a_price(ledger, currency, to, says):
    """It names the reason of an at-most, and of an exact price none."""
    story = Story(ledger, DAY, currency=currency)
    sent = await story.template(h(1), "marketing", to)
    [why] = [looked.why for looked in story.engine.explained(sent.decided) if looked.outcome == "holds"]

    assert f"nothing above holds; charged by itself; {says}" == why
