"""What a gate that is adopted in the middle of a month counts in, and what the Marketing Messages API charges at most."""

from __future__ import annotations

import pytest
from story import LANGUAGE, ONE, TWO, USER, Story, h

from gatekeeper.core.accounts import Opening, Template, TemplateCategory
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


async def test_a_max_price_is_the_most_that_is_charged(ledger):
    """It stands for the rate on `/marketing_messages` alone, and is settled as what it may have been at most."""
    offer = Template(name="offer", language=LANGUAGE, category=TemplateCategory.MARKETING, max_price=Money(40_000))
    story = Story(ledger, "2026-10-13", template=(offer,))
    capped = await story.template(h(1), "offer", api="marketing_messages", lands=True)
    plain = await story.template(h(1), "offer")

    assert ("marketing_lite", "0.04", "at-most") == capped.of("category", "price", "price_bound")
    assert ("marketing_lite", "0.04") == capped.settled.of("category", "price")
    assert ("marketing", "0.1365", "exact", USER) == (*plain.of("category", "price", "price_bound"), USER)
