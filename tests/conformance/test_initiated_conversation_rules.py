"""
Conversations by who starts them, 2022-02-01 to 2023-05-31.

Source: Meta, "How it works", "Free tier" and "Free entry points", text of 2022, where a test names no other.
"""

from __future__ import annotations

import pytest
from story import OTHER_USER, Story, h

DAY = "2022-04-05"
# Germany on the card of 2022-02-01.
BY_USER, BY_BUSINESS = ("user_initiated", "0.0819"), ("business_initiated", "0.1365")
SAYS = ("opens", "category", "charged", "price")


def opens(category: str, price: str) -> tuple[str, str, bool, str]:
    return (category, category, True, price)


@pytest.fixture
async def story(ledger) -> Story:
    """An account that has used up its free conversations."""
    story = Story(ledger, DAY)
    await story.used(1000)
    return story


@pytest.mark.parametrize("product", ["text", "utility", "marketing", "authentication"])
@pytest.mark.parametrize(
    ("wrote", "sends", "expected"),
    [
        pytest.param(0, h(1), BY_USER, id="an hour after"),
        pytest.param(0, 2000, BY_USER, id="an automatic answer"),
        pytest.param(0, h(24) - 1, BY_USER, id="in the last millisecond"),
        pytest.param(0, h(24), BY_BUSINESS, id="at the end of the window"),
        pytest.param(0, h(30), BY_BUSINESS, id="long after"),
        pytest.param(None, h(1), BY_BUSINESS, id="never written to us"),
    ],
)
async def test_who_starts_a_conversation(story, product, wrote, sends, expected):
    """A reply within 24 hours is user-initiated, template or not; anything else is business-initiated and has to be a template."""
    if wrote is not None:
        await story.wrote(wrote)
    sent = await (story.text(sends) if product == "text" else story.template(sends, product))
    refused = product == "text" and expected is BY_BUSINESS

    assert (131047 if refused else None) == sent.blocked
    assert refused or opens(*expected) == sent.of(*SAYS)


@pytest.mark.parametrize(("wrote", "expected"), [(True, BY_USER), (False, BY_BUSINESS)])
async def test_a_conversation_is_charged_when_it_is_delivered(story, wrote, expected):
    """What was opened, and by whom, is settled as it was sent."""
    if wrote:
        await story.wrote(h(0))
    sent = await story.template(h(1), "utility")
    settled = await sent.delivered(h(2))

    assert ("opens_conversation", "exact", "2022-02-01", "Germany") == sent.of("reason", "price_bound", "rate_card", "market")
    assert opens(*expected) == settled.of("opened", "category", "charged", "price")


async def test_a_window_that_was_open_at_send_makes_the_conversation_the_users(story):
    """The reply was in time, however long it took to arrive."""
    await story.wrote(h(0))
    sent = await story.text(h(23))
    settled = await sent.delivered(h(30))

    assert opens(*BY_USER) == settled.of("opened", "category", "charged", "price")


@pytest.mark.parametrize("first", ["text", "template"])
@pytest.mark.parametrize("second", ["text", "utility", "marketing", "authentication"])
async def test_an_open_conversation_covers_everything(story, first, second):
    """Any number of messages, templates included, goes within one session of 24 hours; there is one conversation at a time."""
    if first == "text":
        await story.wrote(h(0))
    await (story.text(h(1), lands=True) if first == "text" else story.template(h(1), lands=True))
    await story.wrote(h(2))
    sent = await (story.text(h(3), lands=True) if second == "text" else story.template(h(3), second, lands=True))

    assert ("inside_open_conversation", None, False, "0", "exact") == sent.of(
        "reason", "opens", "charged", "price", "price_bound"
    )
    assert story.unix(h(25)) == sent.conversation_expires
    assert (None, False, "0") == sent.settled.of("opened", "charged", "price")


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        pytest.param(h(25) - 1000, True, id="in the last second"),
        pytest.param(h(25), False, id="after 24 hours"),
    ],
)
async def test_a_session_is_24_hours_from_the_first_delivery(story, at, inside):
    """It starts when the first message is delivered and is not extended by what is said in it."""
    await story.wrote(h(0))
    first = await story.text(h(0.5))
    await first.delivered(h(1))
    await story.wrote(h(20))
    await story.text(h(21), lands=True)
    sent = await story.text(at, lands=True)

    assert (None if inside else "user_initiated", not inside) == sent.of("opens", "charged")
    assert (None if inside else "user_initiated", not inside) == sent.settled.of("opened", "charged")


async def test_a_user_who_writes_again_a_week_later_is_a_second_charge(story):
    """Outside the free conversations, the same user twice, a week apart, is charged twice."""
    sent = []
    for beginning in (h(0), h(24 * 7)):
        await story.wrote(beginning)
        sent.append(await story.text(beginning + 60_000, lands=True))

    assert [opens(*BY_USER)] * 2 == [each.settled.of("opened", "category", "charged", "price") for each in sent]


async def test_what_users_write_opens_no_conversation(ledger):
    """Without an answer of the business nothing opens, and nothing is used up."""
    story = Story(ledger, DAY)
    await story.used(999)
    for n in range(3):
        await story.wrote(h(n))
    await story.wrote(h(3), OTHER_USER)
    sent = await story.text(h(4))

    assert ("within_free_tier", "user_initiated", 0) == sent.of("reason", "opens", "free_remaining")


async def test_a_message_that_is_not_delivered_opens_nothing(story):
    """A failed template is not charged, and the next one opens the conversation."""
    failed = await (await story.template(h(0))).failed(h(1))
    sent = await story.template(h(2), lands=True)

    assert (False, None, None, False, "0") == failed.of("delivered", "opened", "category", "charged", "price")
    assert opens(*BY_BUSINESS) == sent.settled.of("opened", "category", "charged", "price")


@pytest.mark.parametrize("wrote", [True, False])
async def test_either_kind_of_conversation_may_be_free(ledger, wrote):
    """The first 1,000 conversations of a month are free, whoever starts them."""
    story = Story(ledger, DAY)
    await story.used(10)
    if wrote:
        await story.wrote(h(0))
    sent = await story.template(h(1), lands=True)
    opened = "user_initiated" if wrote else "business_initiated"

    assert ("within_free_tier", opened, False, "0", 989) == sent.of("reason", "opens", "charged", "price", "free_remaining")
    assert (opened, opened, False, "0") == sent.settled.of("opened", "category", "charged", "price")
