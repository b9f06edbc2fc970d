"""
What is heard of late: an opening stays where it truly was, and what was settled by less than the whole story is settled again.

Sources: Meta, "Pricing", copies of 2023 to 2026: a conversation opens when a message is delivered; only a message that answers an ad
opens a free entry point. Meta's conversation expiry is rounded up to the minute.
"""

from __future__ import annotations

import datetime as dt

import pytest
from story import SECOND, Story, cbp, free_entry, h, pmp

from gatekeeper.core.policy import Budget, Counted, Period, Policy
from gatekeeper.core.vocabulary import Money

CBP, CHARGED, NOW = "2023-09-05", "2025-09-09", "2026-10-13"
OPENED, SETTLED = ("opened", "charged"), "s"


async def bill(ledger, story: Story, *days: str) -> list[tuple[int, int]]:
    """How many deliveries each day's bill has, and what they come to."""
    found = []
    for day in days:
        lines = await ledger.bill(story.account.portfolio, story.account.waba_id, [dt.date.fromisoformat(day)])
        counted = [line for line in lines if line.kind == SETTLED]
        found.append((sum(line.sends for line in counted), sum(line.micros for line in counted)))
    return found


# --------------------------------------------------------------------------------------------- what came before an ad


@pytest.mark.parametrize("landed", [h(1) + 5 * SECOND, h(3)])
async def test_what_was_sent_before_the_ad_does_not_answer_it(ledger, landed):
    """Delivered after it or not: it is charged, and the ad is still there to be answered."""
    story = Story(ledger, NOW)
    before = await story.template(h(0), "marketing")
    await story.clicked(h(1))
    settled = await before.delivered(landed)
    answer = await story.template(h(4), "marketing")

    assert (None, True) == settled.of(*OPENED)
    assert "marketing" == settled.category
    assert "opens_free_entry_point" == answer.reason


async def test_what_was_sent_before_a_second_ad_answers_the_first(ledger):
    """An ad that is clicked meanwhile does not take the first one's answer away."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    answer = await story.template(h(1), "marketing")
    await story.clicked(h(2))
    settled = await answer.delivered(h(3))

    assert ("free_entry_point", False) == settled.of(*OPENED)


async def test_what_was_sent_before_a_second_ad_does_not_answer_that(ledger):
    """The first one's offer was over when it landed."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    answer = await story.template(h(23), "marketing")
    await story.clicked(h(30))
    settled = await answer.delivered(h(31))

    assert (None, True) == settled.of(*OPENED)


@pytest.mark.parametrize("product", ["utility", "text"])
async def test_a_window_covers_what_was_sent_before_it(ledger, product):
    """What is free inside a window is so when it is delivered in one, whenever it was sent."""
    story = Story(ledger, CHARGED)
    if product == "text":
        await story.wrote(h(0))
    sent = await (story.text(h(1)) if product == "text" else story.template(h(1)))
    await story.wrote(h(20))
    settled = await sent.delivered(h(25))

    assert False is settled.charged


# ------------------------------------------------------------------------------------------------- without Meta's word


@pytest.mark.parametrize(("said", "bound"), [("nothing", "at-most"), ("of the opener", "exact"), ("of another", "exact")])
async def test_a_free_entry_point_is_certain_when_meta_says_so(ledger, said, bound):
    """A delivered answer opens one; only on phones does it count, so without Meta's word what follows may be charged."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    opener = await story.template(h(1), "marketing")
    await opener.delivered(h(1), **(free_entry() if said == "of the opener" else {}))
    if said == "of another":
        await (await story.text(h(2))).delivered(h(2), **free_entry())
    following = await story.template(h(3), "marketing")

    assert ("free_entry_point", "0.1365" if bound == "at-most" else "0", bound) == following.of("reason", "price", "price_bound")


# ----------------------------------------------------------------------------------------------------- who holds a thread


@pytest.mark.parametrize("kind", ["text", "reaction", "unsupported"])
async def test_any_last_message_moves_the_thread(ledger, kind):
    """On standby another partner has it; the user's next message that comes to us gives it to us, also one that opens no window."""
    story = Story(ledger, NOW, takes_threads=False)
    await story.wrote(h(0), field="standby")
    held = await story.text(h(1))
    await story.wrote(h(2), type=kind)
    ours = await story.text(h(3))

    assert ("block", "allow") == (held.verdict, ours.verdict)


# --------------------------------------------------------------------------------------------- an earlier conversation


async def test_a_late_word_of_an_earlier_conversation_leaves_the_next_where_it_is(ledger):
    """Three deliveries, the middle one heard of last: it was in the first conversation, and the second began when it began."""
    story = Story(ledger, CBP)
    sent = [await story.template(at) for at in (h(0), h(20), h(30))]
    for n, told in ((0, h(0)), (2, h(30)), (1, h(31))):
        await sent[n].delivered((h(0), h(20), h(30))[n], told=told)
    inside, after = [await story.template(h(54) + late) for late in (-1, 0)]

    assert [("utility", True), (None, False), ("utility", True)] == [story.settlements[each.id].of(*OPENED) for each in sent]
    assert ["inside_open_conversation", "opens_conversation"] == [inside.reason, after.reason]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2)], ids=str)
async def test_a_chain_of_conversations_is_what_it_was(ledger, order):
    """Deliveries 20 hours apart: the first opens, the second is inside, the third opens again. The bill has two."""
    story = Story(ledger, CBP)
    at = [h(1), h(21), h(41)]
    sent = [await story.template(h(0)) for _ in at]
    for n in order:
        await sent[n].delivered(at[n], told=h(42))
    inside, after = [await story.template(h(65) + late) for late in (-1, 0)]

    assert [("utility", True), (None, False), ("utility", True)] == [story.settlements[each.id].of(*OPENED) for each in sent]
    assert [(2, 85_300), (1, 85_300)] == await bill(ledger, story, "2023-09-05", "2023-09-06")
    assert ["inside_open_conversation", "opens_conversation"] == [inside.reason, after.reason]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
async def test_the_first_answer_to_an_ad_opens(ledger, order):
    """Two are on their way: whichever is heard of first, the one that was delivered first opened, and is said to have."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    sent = [await story.template(h(1), "marketing") for _ in range(2)]
    for n in order:
        await sent[n].delivered(h(2 + n), told=h(4))
    await story.template(h(5), "marketing")

    assert [("free_entry_point", False), (None, False)] == [story.settlements[each.id].of(*OPENED) for each in sent]
    assert story.unix(h(2 + 72)) == (await story.text(h(5))).free_entry_expires


# ------------------------------------------------------------------------------------------------------ read, delivered


async def test_an_earlier_delivery_is_billed_on_its_own_day(ledger):
    """`read` after midnight was heard of first: the message leaves that day's bill for the one before."""
    story = Story(ledger, CHARGED)
    sent = await story.template(h(22))
    await sent.read(h(25))
    late = await bill(ledger, story, "2025-09-09", "2025-09-10")
    corrected = await sent.delivered(h(23), told=h(26))

    assert [(0, 0), (1, 55_000)] == late
    assert [(1, 55_000), (0, 0)] == await bill(ledger, story, "2025-09-09", "2025-09-10")
    assert ("utility", True, "0.055", story.start + h(23)) == corrected.of("category", "charged", "price", "at")


async def test_an_earlier_delivery_goes_by_the_rules_of_its_own_day(ledger):
    """Read the day after per-message pricing began, but delivered before: it opened a conversation."""
    story = Story(ledger, "2025-06-30")
    sent = await story.template(h(22))
    read = await sent.read(h(25))
    corrected = await sent.delivered(h(23), told=h(26))

    assert (None, "utility") == (read.opened, corrected.opened)
    assert [(1, 55_000), (0, 0)] == await bill(ledger, story, "2025-06-30", "2025-07-01")


@pytest.mark.parametrize(
    "order", [("failed", "delivered"), ("delivered", "failed"), ("failed", "read", "delivered")], ids="-".join
)
async def test_what_was_delivered_after_all_takes_a_free_unit_and_budget(ledger, redis, order):
    """As if it had never been said to have failed."""
    budget = Budget(name="b", scope=Counted.WABA, period=Period.MONTH, limit=Money(10**9))
    story = Story(ledger, NOW, policy=Policy(budget=(budget,)))
    await story.used(998)
    await story.wrote(h(0))
    text, template = await story.text(h(1)), await story.template(h(1), "marketing")
    at = {"failed": h(2), "delivered": h(3), "read": h(4)}
    for word in order:
        for each in (text, template):
            await (each.failed(at[word], told=h(5)) if word == "failed" else each.status(word, at[word], told=h(5)))
    following = [await story.text(h(6)) for _ in range(2)]
    [spent] = [int(redis.hget(key, "spent")) for key in redis.scan_iter("gk:*:budget:*")]

    assert ["within_free_tier", "charged_message"] == [each.reason for each in following]
    assert 136_500 == spent
    assert [(2, 136_500)] == await bill(ledger, story, NOW)
    assert [True, True] == [story.settlements[each.id].delivered for each in (text, template)]


# --------------------------------------------------------------------------------------------------- Meta's conversation


def named(name: str, category: str = "utility", **more) -> dict:
    word = cbp(category)
    return word | {"conversation": word["conversation"] | {"id": name}}


@pytest.mark.parametrize(("name", "expected"), [("a", (None, False)), ("b", ("utility", True))])
async def test_a_new_id_is_a_new_conversation(ledger, name, expected):
    """The same id is the same one, whatever our own clock says."""
    story = Story(ledger, CBP)
    sent = [await story.template(h(0)) for _ in range(2)]
    await sent[0].delivered(h(0), **named("a"))
    settled = await sent[1].delivered(h(1), **named(name))

    assert expected == settled.of(*OPENED)


@pytest.mark.parametrize("late", [1, 59 * SECOND])
@pytest.mark.parametrize(("name", "expected"), [("a", (None, False)), ("b", ("utility", True))])
async def test_seconds_around_an_end_are_metas(ledger, late, name, expected):
    """Meta rounds the end up to the minute: what it counts in the conversation until then is in it."""
    story = Story(ledger, CBP)
    first = await story.template(h(0))
    second = await story.template(h(1))
    await first.delivered(SECOND, **named("a"))
    settled = await second.delivered(h(24) + SECOND + late, **named(name))

    assert expected == settled.of(*OPENED)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
@pytest.mark.parametrize(("name", "expected"), [("a", (None, False)), ("b", ("utility", True))])
async def test_an_id_counts_whichever_is_heard_of_first(ledger, order, name, expected):
    """Two deliveries an hour apart, of one conversation or of two, as Meta says."""
    story = Story(ledger, CBP)
    sent = [await story.template(h(0)) for _ in range(2)]
    for n in order:
        await sent[n].delivered(h(1 + n), told=h(4), **named(("a", name)[n]))

    assert [("utility", True), expected] == [story.settlements[each.id].of(*OPENED) for each in sent]


async def test_a_charged_message_is_charged_once_however_late(ledger):
    """Per message there is nothing to displace: each costs what it costs, on its day."""
    story = Story(ledger, CHARGED)
    sent = [await story.template(h(22), "marketing") for _ in range(2)]
    for n, at in ((1, h(25)), (0, h(23))):
        await sent[n].delivered(at, told=h(26), **pmp("marketing"))

    assert [(1, 136_500), (1, 136_500)] == await bill(ledger, story, "2025-09-09", "2025-09-10")


@pytest.mark.parametrize("late", ["sent", "read"])
async def test_a_word_heard_after_the_delivery_settles_it_again(ledger, late):
    """Meta names its category on one status only, and that one may be the last to arrive: the settlement follows it all the same."""
    story = Story(ledger, "2023-09-05")
    message = await story.template(h(0))
    first = await message.delivered(h(1))
    corrected = await message.status(late, h(0) if late == "sent" else h(2), told=h(3), **cbp("marketing"))
    again = await message.status(late, h(0) if late == "sent" else h(2), told=h(4), **cbp("marketing"))
    following = [await story.template(h(5), name) for name in ("marketing", "utility")]

    assert ("utility", "0.0853", story.start + h(1)) == first.of("category", "price", "at")
    assert ("marketing", "0.1365", story.start + h(1)) == corrected.of("category", "price", "at")
    assert again is None
    assert ["inside_open_conversation", "opens_conversation"] == [each.reason for each in following]


async def test_an_answer_to_an_ad_is_confirmed_by_a_late_word(ledger):
    """The ad stays answered once: the word that comes late changes the bound, and neither the end nor what was used up."""
    story = Story(ledger, "2026-10-13")
    await story.clicked(h(0))
    answer = await story.text(h(1), lands=True)
    before = await story.template(h(2), "marketing")
    await answer.sent(h(1), told=h(3), **free_entry(), ends=h(73))
    after = await story.template(h(4), "marketing")

    assert ["at-most", "exact"] == [before.price_bound, after.price_bound]
    assert story.unix(h(73)) == after.free_entry_expires
