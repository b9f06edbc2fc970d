"""What a gate that is adopted in the middle of a month counts in, and what the Marketing Messages API charges at most."""

from __future__ import annotations

import msgspec
import pytest
from story import LANGUAGE, ONE, TWO, USER, Story, h, pmp

from gatekeeper.core.accounts import Opening, Template, TemplateCategory
from gatekeeper.core.policy import Budget, Counted, Period, Policy
from gatekeeper.core.vocabulary import Money

INDIAN = "919812345678"


@pytest.mark.parametrize(
    ("opening", "number", "expected"),
    [
        (Opening(month="2026-10", phone_number_id=ONE, free_used=998), ONE, ["within_free_tier"] * 2 + ["charged_message"]),
        (Opening(month="2026-10", phone_number_id=ONE, free_used=998), TWO, ["within_free_tier"] * 3),
        (Opening(month="2026-09", phone_number_id=ONE, free_used=998), ONE, ["within_free_tier"] * 3),
        (Opening(month="2026-10", phone_number_id=ONE, free_used=5000), ONE, ["charged_message"] * 3),
    ],
)
async def test_the_free_tier_goes_on_where_it_was(ledger, opening, number, expected):
    """Each number has its own 1,000 a month; starting the gate twice counts what was used before it once."""
    story = Story(ledger, "2026-10-13", opening=(opening,))
    for _ in range(2):
        await story.engine.balances.open()
    await story.wrote(h(0), number=number)
    sent = [await story.text(h(1), number=number, lands=True) for _ in range(3)]

    assert expected == [each.reason for each in sent]


async def test_a_conversation_tier_is_the_accounts(ledger):
    """Before July 2025 a WABA had 1,000 free service conversations over all its numbers."""
    story = Story(ledger, "2024-05-13", opening=(Opening(month="2024-05", free_used=999),))
    await story.engine.balances.open()
    said = []
    for number in (ONE, TWO):
        await story.wrote(h(0), number=number)
        said.append((await story.text(h(1), number=number, lands=True)).charged)

    assert [False, True] == said


async def test_a_volume_tier_goes_on_where_it_was(ledger):
    """India's utility rate falls after 25 million messages; our own count of it is an estimate."""
    opening = Opening(month="2026-04", category="utility", market="India", charged=25_000_000)
    story = Story(ledger, "2026-04-20", opening=(opening,))
    await story.engine.balances.open()
    sent = await story.template(h(1), "utility", INDIAN)

    assert ("0.0013", "at-most") == sent.of("price", "price_bound")


OFFER = Template(name="offer", language=LANGUAGE, category=TemplateCategory.MARKETING, max_price=Money(40_000))
ABROAD = {"IN": Money(800_000), "MY": Money(1_300_000)}
MALAYSIAN, MARTINICAN = "60123456789", "590690123456"
CAPPED = ("category", "charged", "price", "price_bound")


async def test_a_max_price_is_the_most_that_is_charged(ledger):
    """It stands for the rate on `/marketing_messages`, and is settled as what it may have been at most."""
    story = Story(ledger, "2026-10-13", template=(OFFER,))
    capped = await story.template(h(1), "offer", api="marketing_messages", lands=True)

    assert ("marketing_lite", True, "0.04", "at-most") == capped.of(*CAPPED)
    assert ("marketing_lite", "0.04") == capped.settled.of("category", "price")


@pytest.mark.parametrize(
    ("multiplier", "price"),
    [
        pytest.param(1.5, "0.06", id="half as much again"),
        pytest.param("1.5", "0.06", id="as a string"),
        pytest.param(0.5, "0.02", id="half"),
        pytest.param(1, "0.04", id="as it is"),
        pytest.param(None, "0.04", id="null"),
        pytest.param(1.00001, "0.040001", id="rounded up to the micro-unit"),
        pytest.param(1e-9, "0.000001", id="never down to nothing"),
        pytest.param("0.3333333333333333333333", "0.013334", id="longer than a float"),
    ],
)
@pytest.mark.parametrize("word", [{}, pmp("marketing_lite")], ids=["without Meta's word", "with Meta's word"])
async def test_a_send_multiplies_its_templates_max_price(ledger, multiplier, price, word):
    """`bid_spec.per_message_bid_multiplier`, for this message alone; decision, budget and settlement have the same cap."""
    story = Story(ledger, "2026-10-13", template=(OFFER,))
    body = {"bid_spec": {"per_message_bid_multiplier": multiplier}}
    sent = await story.template(h(1), "offer", api="marketing_messages", body=body)
    settled = await sent.delivered(h(1), **word)
    following = await story.template(h(2), "offer", api="marketing_messages")

    assert ("marketing_lite", True, price, "at-most") == sent.of(*CAPPED)
    assert (price, False) == settled.of("price", "drift")
    assert "0.04" == following.price


@pytest.mark.parametrize(
    ("to", "multiplier", "price"),
    [
        pytest.param(INDIAN, None, "0.032", id="a country's own"),
        pytest.param(INDIAN, 1.5, "0.048", id="and the message's"),
        pytest.param(MALAYSIAN, None, "0.052", id="another country's"),
        pytest.param(USER, None, "0.04", id="none for this country"),
        pytest.param(MARTINICAN, None, "0.052", id="a country that is not known: the largest"),
    ],
)
async def test_a_country_multiplies_a_max_price(ledger, to, multiplier, price):
    """Multipliers of a template by country. Source: Meta, "Set a max price for marketing messages", 2026."""
    offer = msgspec.structs.replace(OFFER, country_multipliers=ABROAD)
    story = Story(ledger, "2026-10-13", template=(offer,))
    body = {"bid_spec": {"per_message_bid_multiplier": multiplier}}
    sent = await story.template(h(1), "offer", to, api="marketing_messages", body=body, lands=True)

    assert ("marketing_lite", True, price, "at-most") == sent.of(*CAPPED)
    assert price == sent.settled.price


async def test_countries_of_one_market_have_caps_of_their_own(ledger):
    """What was laid out for one of them says nothing of the other."""
    offer = msgspec.structs.replace(OFFER, country_multipliers={"KE": Money(2_000_000)})
    story = Story(ledger, "2026-10-13", template=(offer,))
    kenyan, ghanaian = [
        await story.template(h(1), "offer", to, api="marketing_messages") for to in ("254712345678", "233241234567")
    ]

    assert [("Rest of Africa", "0.08"), ("Rest of Africa", "0.04")] == [each.of("market", "price") for each in (kenyan, ghanaian)]


@pytest.mark.parametrize("multiplier", [1.5, 10**9 - 1])
async def test_a_multiplier_of_an_unknown_max_price_leaves_the_price_open(ledger, multiplier):
    """Who multiplies a max price has set one, even if nobody told us how much: the rate is no bound then. Nor is what cannot be counted."""
    rich = (
        msgspec.structs.replace(OFFER, max_price=Money(10**18))
        if multiplier > 2
        else msgspec.structs.replace(OFFER, max_price=None)
    )
    story = Story(ledger, "2026-10-13", template=(rich,))
    body = {"bid_spec": {"per_message_bid_multiplier": multiplier}}
    sent = await story.template(h(1), "offer", api="marketing_messages", body=body)
    settled = await sent.delivered(h(1), **pmp("marketing_lite"))

    assert ("allow", True, None, "unknown") == (sent.verdict, *sent.of(*CAPPED)[1:])
    assert (True, None) == settled.of("charged", "price")


async def test_a_budget_reserves_the_cap(ledger):
    """As much as the message may cost: with its multiplier it no longer fits, without one it does."""
    budget = Budget(name="marketing", scope=Counted.WABA, period=Period.DAY, limit=Money(50_000))
    story = Story(ledger, "2026-10-13", template=(OFFER,), policy=Policy(budget=(budget,)))
    body = {"bid_spec": {"per_message_bid_multiplier": 1.5}}
    multiplied = await story.template(h(1), "offer", api="marketing_messages", body=body)
    plain = await story.template(h(1), "offer", api="marketing_messages")

    assert ["budget_exhausted", "charged_message"] == [multiplied.reason, plain.reason]


@pytest.mark.parametrize(
    ("api", "to", "body", "code"),
    [
        pytest.param("messages", USER, {}, 131061, id="on /messages"),
        pytest.param("marketing_messages", None, {"recipient": "DE.1349"}, 131062, id="to a BSUID"),
        pytest.param("marketing_messages", USER, {"recipient": "DE.1349"}, None, id="to a number, whatever stands beside it"),
    ],
)
async def test_where_a_max_price_is_refused(ledger, api, to, body, code):
    """Meta takes such a template on `/marketing_messages` and for phone numbers alone."""
    story = Story(ledger, "2026-10-13", template=(OFFER,))
    sent = await story.template(h(1), "offer", to, api=api, body=body)

    assert (("malformed_request" if code else "charged_message"), code) == (sent.reason, sent.blocked)


@pytest.mark.parametrize(
    ("name", "api", "code"),
    [
        ("marketing", "messages", 131063),
        ("marketing", "marketing_messages", None),
        ("utility", "messages", None),
    ],
)
async def test_an_account_whose_marketing_goes_elsewhere(ledger, name, api, code):
    """131063: Meta has switched marketing templates on `/messages` off for the account."""
    story = Story(ledger, "2026-10-13", marketing_on_messages=False)
    sent = await story.template(h(1), name, api=api)

    assert code == sent.blocked
