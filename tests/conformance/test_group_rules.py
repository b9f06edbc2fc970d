"""
Groups: one window for all, one charge for each member reached.

Sources: Meta, "Groups pricing", copies of 2025-10 and 2026-05-21, and "Groups messaging", copy of 2025-11; since 2026-10-01 Meta's
changelog as quoted in October 2026.
"""

from __future__ import annotations

import pytest
from story import GROUP, USER, Story, h, pmp

FREE, NOW = "2025-11-11", "2026-10-13"
GERMANS = [f"49151100000{n:02d}" for n in range(5)]
PRICE = {"group_marketing": "0.1365", "group_utility": "0.055", "group_authentication": "0.055", "group_service": "0.055"}


async def wrote(story: Story, at: int, member: str = USER) -> None:
    await story.wrote(at, member, group_id=GROUP)


async def send(story: Story, at: int, product: str, **how):
    return await (story.group_text(at, **how) if product == "service" else story.group_template(at, product, **how))


@pytest.mark.parametrize(("at", "inside"), [(h(25) - 1, True), (h(25), False)])
async def test_any_members_message_opens_the_window_for_the_group(ledger, at, inside):
    """It opens, and is refreshed, between the business and the whole group; templates need none."""
    story = Story(ledger, FREE)
    before = await story.group_text(h(0))
    await wrote(story, h(0), GERMANS[0])
    await wrote(story, h(1), GERMANS[1])
    sent = await story.group_text(at)
    template = await story.group_template(h(30), "utility")

    assert (131047, inside) == (before.blocked, sent.blocked is None)
    assert template.blocked is None


async def test_a_groups_window_is_not_its_members(ledger):
    """What a member writes in the group opens nothing between the two of us, and the other way round."""
    story = Story(ledger, FREE)
    await wrote(story, h(0))
    single = await story.text(h(1))
    await story.wrote(h(2), GERMANS[0])
    other = await story.group_text(h(3), "another-group")

    assert [131047, 131047] == [single.blocked, other.blocked]


async def test_an_ad_in_a_group_offers_nothing(ledger):
    """A free entry point is between the business and one user."""
    story = Story(ledger, NOW)
    await story.clicked(h(0), group_id=GROUP)
    sent = [await story.group_text(h(1)), await story.template(h(1))]

    assert ["group_service", "utility"] == [each.category for each in sent]


@pytest.mark.parametrize(
    ("day", "product", "window", "charged"),
    [
        pytest.param(FREE, "service", True, False, id="2025: free-form in the window"),
        pytest.param(FREE, "utility", True, False, id="2025: utility in the window"),
        pytest.param(FREE, "utility", False, True, id="2025: utility outside"),
        pytest.param(FREE, "marketing", True, True, id="2025: marketing in the window"),
        pytest.param(FREE, "marketing", False, True, id="2025: marketing outside"),
        pytest.param(FREE, "authentication", True, True, id="2025: authentication"),
        pytest.param(NOW, "service", True, True, id="2026: free-form beyond the tier"),
        pytest.param(NOW, "utility", True, True, id="2026: utility in the window"),
        pytest.param(NOW, "marketing", True, True, id="2026: marketing in the window"),
    ],
)
async def test_a_group_message_is_charged_for_each_member(ledger, day, product, window, charged):
    """
    One charge for each delivered member, at that member's rate; how many it reaches is not known when it is sent.

    The text of October 2025 made marketing free in the window, that of May 2026 does not: it is charged, to be careful.
    """
    story = Story(ledger, day)
    await story.used(1000)
    if window:
        await wrote(story, h(0))
    sent = await send(story, h(1), product)
    settled = await sent.reached(h(1), GERMANS)
    category = f"group_{product}"
    one = (None, category, charged, PRICE[category] if charged else "0")

    assert (category, charged, None, "unknown") == sent.of("category", "charged", "price", "price_bound")
    assert [(*one, member) for member in GERMANS] == [
        each.of("opened", "category", "charged", "price", "recipient") for each in settled
    ]


async def test_each_member_has_a_rate_of_their_own(ledger):
    """The market is the member's, whoever else is in the group; one who hides the number has it by the BSUID's country."""
    story = Story(ledger, NOW)
    sent = await story.group_template(h(0), "marketing")
    members = {
        "4915112345678": "0.1365",
        "919812345678": "0.0118",
        "5511988887777": "0.0625",
        "IN.13491208655302741918": "0.0118",
    }
    settled = await sent.reached(h(1), members)

    assert members == {each.recipient: each.price for each in settled}


@pytest.mark.parametrize(
    "words", [("delivered", "read"), ("read", "delivered"), ("delivered", "delivered"), ("delivered", "failed")]
)
async def test_a_member_is_settled_once(ledger, words):
    """Statuses of one member come twice and in any order; other members are not held back by them."""
    story = Story(ledger, NOW)
    await wrote(story, h(0))
    sent = await story.group_text(h(1))
    found = [await sent.reached(h(1), GERMANS[:2], word) for word in words]
    late = await sent.reached(h(2), GERMANS[2:3])

    assert [2, 0] == [len(each) for each in found]
    assert [GERMANS[2]] == [each.recipient for each in late]


async def test_a_member_who_is_not_reached_costs_nothing(ledger):
    """Failures are for a member too."""
    story = Story(ledger, NOW)
    await story.used(999)
    await wrote(story, h(0))
    sent = await story.group_text(h(1))
    failed = await sent.reached(h(1), GERMANS[:2], "failed", errors=[{"code": 131026}])
    settled = await sent.reached(h(1), GERMANS[2:4])

    assert [(False, False, "0", member) for member in GERMANS[:2]] == [
        each.of("delivered", "charged", "price", "recipient") for each in failed
    ]
    assert [(True, False), (True, True)] == [each.of("delivered", "charged") for each in settled]


async def test_each_member_uses_one_of_the_free_messages(ledger):
    """A group service message consumes one unit of the number's 1,000 for each delivered recipient, from 2026-10-01."""
    story = Story(ledger, NOW)
    await story.used(998)
    await wrote(story, h(0))
    sent = await story.group_text(h(1))
    settled = await sent.reached(h(1), GERMANS)
    following = await story.group_text(h(2))

    assert ("within_free_tier", False) == sent.of("reason", "charged")
    assert [False, False, True, True, True] == [each.charged for each in settled]
    assert ("charged_message", True, None) == following.of("reason", "charged", "price")


async def test_metas_word_on_a_group(ledger):
    """`free_group_customer_service` is free, and another category than ours is Meta's."""
    story = Story(ledger, FREE)
    sent = await story.group_template(h(0), "utility")
    (free,) = await sent.reached(h(1), GERMANS[:1], **pmp("group_utility", "free_group_customer_service"))
    (charged,) = await sent.reached(h(1), GERMANS[1:2], **pmp("group_marketing"))

    assert ("group_utility", False, "0") == free.of("category", "charged", "price")
    assert ("group_marketing", True, "0.1365") == charged.of("category", "charged", "price")
