"""
Free tiers: how many of a month are free, what counts towards them, for whom they are counted, and when a month ends.

Sources: Meta, "Free tier", text of 2022: 1,000 conversations of either kind for each account, "based on the timezone associated with
the WABA". "Conversation-based pricing", 2023-24: 1,000 service conversations. "Pricing", quotes of September 2026: 1,000 delivered
service messages for each business phone number, without roll-over, reset "at 12am by Messaging account timezone".
"""

from __future__ import annotations

import pytest
from story import GROUP, HOUR, ONE, TWO, Story, h

BY_USER, SERVICE, MESSAGES = "2022-04-05", "2023-09-05", "2026-10-13"
DAYS = pytest.mark.parametrize("day", [BY_USER, SERVICE, MESSAGES])
PRICE = {BY_USER: "0.0819", SERVICE: "0.0819", MESSAGES: "0.055"}
ZONES = pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata"])
MONTHS = pytest.mark.parametrize(
    ("day", "ends"), [(BY_USER, "2022-05-01"), (SERVICE, "2023-10-01"), (MESSAGES, "2026-11-01")], ids=["2022", "2023", "2026"]
)
FREE, CHARGED = "within_free_tier", ("opens_conversation", "charged_message")


def users(count: int) -> list[str]:
    """So many Germans: each opens a conversation of their own."""
    return [f"49151100000{n:02d}" for n in range(count)]


async def answer(story: Story, at: int, user: str, *, number: str = ONE, lands: bool = True):
    await story.wrote(at, user, number=number)
    return await story.text(at, user, number=number, lands=lands)


@DAYS
async def test_the_thousandth_is_the_last_free_one(ledger, day):
    """The first 1,000 of a month are free, and each one after them is charged."""
    story = Story(ledger, day)
    await story.used(997)
    sent = [await answer(story, h(n), user) for n, user in enumerate(users(5))]

    assert [True, True, True, False, False] == [each.reason == FREE for each in sent]
    assert [2, 1, 0, 0, 0] == [each.free_remaining for each in sent]
    assert [(False, "0")] * 3 + [(True, PRICE[day])] * 2 == [each.of("charged", "price") for each in sent]
    assert [(False, "0")] * 3 + [(True, PRICE[day])] * 2 == [each.settled.of("charged", "price") for each in sent]


@DAYS
async def test_one_in_flight_is_counted_already(ledger, day):
    """The last free one may be spent once: whoever comes behind it is quoted the price."""
    story = Story(ledger, day)
    await story.used(999)
    first, second = [await answer(story, h(0), user, lands=False) for user in users(2)]
    settled = [await each.delivered(h(1)) for each in (first, second)]

    assert [(FREE, "0"), (second.reason, PRICE[day])] == [each.of("reason", "price") for each in (first, second)]
    assert second.reason in CHARGED
    assert [(False, "0"), (True, PRICE[day])] == [each.of("charged", "price") for each in settled]


@DAYS
async def test_delivery_order_decides_who_was_free(ledger, day):
    """Only what is delivered counts, in the order in which it is."""
    story = Story(ledger, day)
    await story.used(999)
    first, second = [await answer(story, h(0), user, lands=False) for user in users(2)]
    settled = [await each.delivered(h(1)) for each in (second, first)]

    assert [(False, "0"), (True, PRICE[day])] == [each.of("charged", "price") for each in settled]


@DAYS
@pytest.mark.parametrize("ends", ["failed", "refused"])
async def test_what_was_not_delivered_is_given_back(ledger, day, ends):
    """A send that Meta refuses, at once or late, uses nothing up."""
    story = Story(ledger, day)
    await story.used(999)
    first, second, third = users(3)
    await story.wrote(h(0), first)
    lost = await story.text(h(0), first, answered=ends == "failed")
    await (lost.failed(h(1)) if ends == "failed" else lost.refused(h(1)))
    sent = [await answer(story, h(2), user) for user in (second, third)]

    assert [(FREE, False), (sent[1].reason, True)] == [each.of("reason", "charged") for each in sent]
    assert [False, True] == [each.settled.charged for each in sent]


@ZONES
@MONTHS
@pytest.mark.parametrize(
    ("late", "free"),
    [
        pytest.param(-1, False, id="a millisecond before"),
        pytest.param(0, True, id="at midnight"),
        pytest.param(1, True, id="a millisecond after"),
    ],
)
async def test_a_month_begins_at_the_accounts_midnight(ledger, day, ends, zone, late, free):
    """The tier is refreshed at 12 am of the 1st in the account's time zone, whatever the day is elsewhere."""
    story = Story(ledger, day, zone=zone)
    await story.used(1000)
    await story.wrote(story.day(ends) - HOUR)
    sent = await story.text(story.day(ends) + late)

    assert (free, 999 if free else 0) == (sent.reason == FREE, sent.free_remaining)


@ZONES
@MONTHS
@pytest.mark.parametrize(("late", "free"), [(-1000, False), (0, True)], ids=["before midnight", "at midnight"])
async def test_a_delivery_counts_in_its_own_month(ledger, day, ends, zone, late, free):
    """A message that is on its way over the month's end is counted in the month in which it arrives."""
    story = Story(ledger, day, zone=zone)
    await story.used(1000)
    await story.wrote(story.day(ends) - HOUR)
    sent = await story.text(story.day(ends) - HOUR)
    settled = await sent.delivered(story.day(ends) + late)
    (other,) = users(1)
    following = await answer(story, story.day(ends) + h(1), other, lands=False)

    assert sent.charged
    assert (not free) == settled.charged
    assert (998 if free else 999) == following.free_remaining


@DAYS
async def test_nothing_rolls_over(ledger, day):
    """What a month leaves unused is lost."""
    story = Story(ledger, day)
    await story.used(10)
    ends = {BY_USER: "2022-05-01", SERVICE: "2023-10-01", MESSAGES: "2026-11-01"}[day]
    (user,) = users(1)
    sent = await answer(story, story.day(ends), user)

    assert 999 == sent.free_remaining


@pytest.mark.parametrize(
    ("day", "shared"),
    [
        pytest.param(BY_USER, True, id="2022: one for the account"),
        pytest.param(SERVICE, True, id="2023: one for the account"),
        pytest.param(MESSAGES, False, id="2026: one for each number"),
    ],
)
async def test_whose_tier_it_is(ledger, day, shared):
    """Conversations are counted over all numbers of an account, messages by business phone number."""
    story = Story(ledger, day)
    await story.used(999)
    first, second = users(2)
    sent = [await answer(story, h(0), first, number=ONE), await answer(story, h(1), second, number=TWO)]

    assert [False, shared] == [each.charged for each in sent]
    assert [False, shared] == [each.settled.charged for each in sent]


@pytest.mark.parametrize("category", ["marketing", "utility", "authentication"])
@pytest.mark.parametrize("day", [SERVICE, MESSAGES])
async def test_templates_are_not_in_the_tier(ledger, day, category):
    """Marketing, utility and authentication are charged from the first one, and use nothing of the tier up."""
    story = Story(ledger, day)
    await story.used(999)
    first, second = users(2)
    template = await story.template(h(0), category, first, lands=True)
    text = await answer(story, h(1), second)

    assert (True, None) == template.of("charged", "free_remaining")
    assert template.settled.charged
    assert (FREE, False) == (text.reason, text.settled.charged)


async def test_messages_inside_a_conversation_do_not_count(ledger):
    """A tier of conversations counts conversations, however many messages there are in one."""
    story = Story(ledger, SERVICE)
    await story.used(998)
    first, second = users(2)
    await answer(story, h(0), first)
    inside = [await story.text(h(n), first, lands=True) for n in (1, 2, 3)]
    sent = await answer(story, h(4), second)

    assert [(None, False)] * 3 == [each.of("free_remaining", "charged") for each in inside]
    assert (FREE, 0) == sent.of("reason", "free_remaining")


@pytest.mark.parametrize("day", [SERVICE, MESSAGES])
async def test_a_free_entry_point_uses_nothing_up(ledger, day):
    """What a free entry point makes free is not within the tier."""
    story = Story(ledger, day)
    await story.used(999)
    first, second = users(2)
    await story.clicked(h(0), first)
    free = [await story.text(h(n), first, lands=True) for n in (1, 2)]
    sent = await answer(story, h(3), second)

    assert ["opens_free_entry_point", "free_entry_point"] == [each.reason for each in free]
    assert (FREE, 0) == sent.of("reason", "free_remaining")


async def test_what_users_send_does_not_count(ledger):
    """Inbound messages never charge and never use the tier up."""
    story = Story(ledger, MESSAGES)
    await story.used(999)
    for n in range(3):
        await story.wrote(h(n))
    sent = await story.text(h(3), lands=True)

    assert (FREE, 0, False) == (*sent.of("reason", "free_remaining"), sent.settled.charged)


async def test_groups_and_single_users_share_the_tier(ledger):
    """A number's 1,000 free messages are shared by one-to-one and group traffic."""
    story = Story(ledger, MESSAGES)
    await story.used(997)
    await story.wrote(h(0), group_id=GROUP)
    sent = await story.group_text(h(1))
    await sent.reached(h(1), users(2))
    texts = [await answer(story, h(2), user) for user in users(2)]

    assert [FREE, "charged_message"] == [each.reason for each in texts]


@pytest.mark.parametrize("day", ["2025-01-14", "2025-09-09"])
async def test_without_a_tier_there_is_nothing_to_count(ledger, day):
    """Between 2024-11-01 and 2026-09-30 service is free without a cap."""
    story = Story(ledger, day)
    await story.used(250_000)
    (user,) = users(1)
    sent = await answer(story, h(0), user)

    assert (False, None) == sent.of("charged", "free_remaining")
    assert not sent.settled.charged


async def test_a_count_before_the_tier_existed_belongs_to_no_tier(ledger):
    """A use told before 2026-10-01 is not of the tier that begins then."""
    story = Story(ledger, "2026-09-30")
    await story.used(1000, at=0)
    (user,) = users(1)
    sent = await answer(story, h(24), user)

    assert (FREE, 999) == sent.of("reason", "free_remaining")
