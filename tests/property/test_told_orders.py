"""
Small histories told in two orders: those that must come to the same, and the few that cannot.

A settlement is made of what was known when it was made, and again when an earlier delivery is heard of. What the user did, and Meta's
own word, count from when they are heard. That is the whole of what depends on order.
"""

from __future__ import annotations

import pytest
from story import MINUTE, Story, cbp, free_entry, h, pmp

CBP, NOW = "2023-09-05", "2026-10-13"
WEEK = h(168)


async def free(story, at):
    return (await story.template(at, "marketing")).reason == "free_entry_point"


# ---------------------------------------------------------------------------------------------------- the same in any order


@pytest.mark.parametrize("order", [("sent", "failed"), ("failed", "sent"), ("sent", "failed", "sent")], ids="-".join)
@pytest.mark.parametrize(
    ("day", "word", "reason"), [(CBP, cbp("utility"), "opens_conversation"), (NOW, free_entry(), "opens_free_entry_point")]
)
async def test_what_failed_opened_nothing(ledger, day, word, reason, order):
    """`sent` may be heard after `failed`, or once more: neither a conversation nor an entry point is expected of a message that failed."""
    story = Story(ledger, day)
    if day == NOW:
        await story.clicked(h(0))
    first = await story.template(h(1))
    for said in order:
        if said == "sent":
            await first.sent(h(1), told=h(2), **word, ends=h(25))
        else:
            await first.failed(h(1) + MINUTE, told=h(2))
    following = await story.template(h(3))

    assert reason == following.reason


@pytest.mark.parametrize("repeated", [False, True])
async def test_a_repeated_word_does_not_undo_a_newer_one(ledger, repeated):
    """Meta says that a message opened an entry point, later that another is outside of one, and then repeats what it said first."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    first = await story.text(h(1))
    await first.sent(h(1), **free_entry(), ends=WEEK)
    await first.delivered(h(1))
    second = await story.template(h(2), "marketing")
    await second.delivered(h(2), **pmp("marketing"))
    if repeated:
        await first.sent(h(1), told=h(3), **free_entry(), ends=WEEK)
    following = await story.template(h(4), "marketing")

    assert ("charged_message", "exact") == following.of("reason", "price_bound")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "late"])
async def test_a_denial_counts_though_a_later_one_was_heard_of_first(ledger, order):
    """Both answers to an ad are said to be outside an entry point; whichever is heard of first, none is expected any more."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    sent = [await story.template(h(1), "marketing") for _ in range(2)]
    for n in order:
        await sent[n].sent(h(1) + n * MINUTE, told=h(2), **pmp("marketing"))
    following = await story.template(h(3), "marketing")

    assert ("charged_message", "exact") == following.of("reason", "price_bound")


@pytest.mark.parametrize("failing", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("both", [False, True], ids=["told of one", "told of both"])
async def test_metas_expiry_outlives_another_messages_failure(ledger, failing, both):
    """Two answers to an ad are on their way and Meta tells the entry point's end with one, or with both; the other one fails."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    sent = [await story.template(h(1), "marketing") for _ in range(2)]
    for n in (1 - failing, failing) if both else (1 - failing,):
        await sent[n].sent(h(1), **free_entry(), ends=WEEK)
    await sent[failing].failed(h(2))
    await sent[1 - failing].delivered(h(3))

    assert [True, False] == [await free(story, WEEK + late) for late in (-1, 0)]


@pytest.mark.parametrize("order", [("s0", "s1", "f0", "f1"), ("s0", "f0", "s1", "f1"), ("f0", "s0", "f1", "s1")], ids="-".join)
async def test_nothing_is_expected_when_all_have_failed(ledger, order):
    """Meta tells the entry point's end with two answers and then fails both, in whatever order that is heard."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    sent = [await story.template(h(1), "marketing") for _ in range(2)]
    for what, n in ((step[0], int(step[1])) for step in order):
        if what == "s":
            await sent[n].sent(h(1), told=h(3), **free_entry(), ends=WEEK)
        else:
            await sent[n].failed(h(2), told=h(3))
    following = await story.template(h(4), "marketing")

    assert "opens_free_entry_point" == following.reason


async def test_metas_expiry_outlives_the_settlement_of_a_message_inside(ledger):
    """Three are on their way; Meta told the end, and each is heard to have been delivered before the one that was heard of last."""
    story = Story(ledger, CBP)
    sent = [await story.template(h(0)) for _ in range(3)]
    end = h(25) + MINUTE
    for n in (1, 0):
        await sent[n].sent(h(0) + n * MINUTE, told=h(4), **cbp("utility"), ends=end)
    await sent[2].delivered(h(3), told=h(4))
    await sent[2].sent(h(0) + 2 * MINUTE, told=h(4), **cbp("utility"), ends=end)
    for n in (1, 0):
        await sent[n].delivered(h(1 + n), told=h(4))
    inside, after = [await story.template(end + late) for late in (-1, 0)]

    assert ["inside_open_conversation", "opens_conversation"] == [inside.reason, after.reason]


@pytest.mark.parametrize("heard", [(0, 1), (1, 0)], ids=["in order", "late"])
@pytest.mark.parametrize("opener", [0, 1])
async def test_metas_expiry_stays_when_an_earlier_delivery_is_heard_of(ledger, opener, heard):
    """Of two answers either may be delivered first, and be heard of first; the end that Meta told is the end."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    sent = [await story.text(h(1)) for _ in range(2)]
    for each in sent:
        await each.sent(h(1), **free_entry(), ends=WEEK)
    landed = [sent[opener], sent[1 - opener]]
    for n in heard:
        await landed[n].delivered(h(2 + n), told=h(4))

    assert [True, False] == [await free(story, WEEK + late) for late in (-1, 0)]


@pytest.mark.parametrize("told", [None, h(0), h(2)], ids=["never", "first", "late"])
async def test_an_expiry_is_of_one_conversation(ledger, told):
    """What Meta told of the end of yesterday's conversation, and when it was heard of, does not touch today's."""
    story = Story(ledger, CBP)
    first = await story.template(h(0))
    if told == h(0):
        await first.sent(h(0), **cbp("utility"), ends=h(25) + MINUTE)
    await first.delivered(h(1))
    if told == h(2):
        await first.sent(h(0), told=h(2), **cbp("utility"), ends=h(25) + MINUTE)
    second = await story.template(h(30), lands=True)
    inside, after = [await story.template(h(54) + late) for late in (-1, 0)]

    assert ("utility", True) == second.settled.of("opened", "charged")
    assert ["inside_open_conversation", "opens_conversation"] == [inside.reason, after.reason]


@pytest.mark.parametrize("answered", [True, False], ids=["after the answer", "before the answer"])
async def test_a_late_refusal_speaks_of_the_window_at_the_send(ledger, answered):
    """131047: the window was closed when the message was sent; what the user wrote since opens it, whichever webhook overtook what."""
    story = Story(ledger, NOW)
    sent = await story.template(h(1), answered=answered)
    await story.wrote(h(2))
    await sent.failed(h(3), 131047)
    if not answered:
        await sent.answered(h(3))
    text = await story.text(h(4))

    assert text.blocked is None


@pytest.mark.parametrize("landed", [h(0.5), h(2)], ids=["before the ad", "after the ad"])
async def test_a_denial_is_of_what_was_on_offer_when_the_message_was_sent(ledger, landed):
    """A message from before the ad is no answer to it: that Meta charges it, whenever it lands, says nothing of the ad."""
    story = Story(ledger, NOW)
    before = await story.template(h(0), "marketing")
    await story.clicked(h(1))
    await before.delivered(landed, told=h(2), **pmp("marketing"))
    answer = await story.template(h(3), "marketing")

    assert ("opens_free_entry_point", "at-most") == answer.of("reason", "price_bound")


@pytest.mark.parametrize("order", [("delivered", "read"), ("read", "delivered")], ids=["in order", "late"])
async def test_the_earliest_delivery_dates_the_settlement(ledger, order):
    """`delivered` or `read`, whichever was earlier, at its own time: without Meta's expiry the conversation begins then."""
    story = Story(ledger, CBP)
    sent = await story.template(h(0))
    at = {"delivered": h(1), "read": h(3)}
    for word in order:
        await sent.status(word, at[word], told=h(4))
    inside, after = [await story.template(h(25) + late) for late in (-1, 0)]

    assert ["inside_open_conversation", "opens_conversation"] == [inside.reason, after.reason]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "late"])
async def test_a_text_that_overtakes_the_opener_of_its_conversation_is_inside_it(ledger, order):
    """Heard of first, the text found no conversation and opened a service one; that is taken back when the template is heard of."""
    story = Story(ledger, CBP)
    await story.used(1000)
    await story.wrote(h(0))
    sent = [await story.template(h(1)), await story.text(h(1))]
    for n in order:
        await sent[n].delivered(h(2 + n), told=h(4))

    assert [True, False] == [story.settlements[each.id].charged for each in sent]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (2, 0, 1)], ids=str)
async def test_conversations_heard_of_backwards_are_what_they_were(ledger, order):
    """Deliveries 20 hours apart are two conversations."""
    story = Story(ledger, CBP)
    sent = [await story.template(h(0)) for _ in range(3)]
    for n in order:
        await sent[n].delivered(h(1 + 20 * n), told=h(42))

    assert [True, False, True] == [story.settlements[each.id].charged for each in sent]


# -------------------------------------------------------------------------------------------------- what depends on the order


@pytest.mark.parametrize(("first", "expected"), [("ad", (False, "free_entry_point")), ("delivery", (True, None))])
async def test_an_ad_that_is_heard_of_after_the_delivery_comes_too_late_for_it(ledger, first, expected):
    """Nothing but the ad's webhook, or Meta's word on the answer, says that the answer was free."""
    story = Story(ledger, NOW)
    sent = await story.template(h(1), "marketing")
    if first == "ad":
        await story.clicked(h(0), told=h(3))
    settled = await sent.delivered(h(2), told=h(3))
    if first == "delivery":
        await story.clicked(h(0), told=h(3))

    assert expected == settled.of("charged", "opened")


@pytest.mark.parametrize(("first", "expected"), [("word", (True, "marketing")), ("delivery", (False, "referral_conversion"))])
async def test_a_word_that_is_heard_of_after_the_delivery_comes_too_late_for_it(ledger, first, expected):
    """Where only `sent` carries Meta's word, a delivery that overtakes it is settled by our own table; who comes next is not."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    sent = await story.template(h(1), "marketing")
    if first == "word":
        await sent.sent(h(1), told=h(3), **pmp("marketing"))
    settled = await sent.delivered(h(2), told=h(3))

    assert expected == settled.of("charged", "category")
