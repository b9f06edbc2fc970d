"""
What became of a message: which statuses settle it, and that neither order nor repetition of them matters.

Sources: Meta, "Status webhooks", copy of 2025-11-20: `read` without `delivered` means delivered; "Webhooks overview", copy of 2025-12:
webhooks are repeated for up to seven days and come in no order; "Send messages", copy of 2025-11-04: 200 means accepted, not sent.
"""

from __future__ import annotations

import itertools

import pytest
from story import OTHER_USER, Story, cbp, free_entry, h, pmp

DAYS = pytest.mark.parametrize("day", ["2022-04-05", "2023-09-05", "2025-01-14", "2025-09-09", "2026-10-13"])
PRICE = {"2022-04-05": "0.1365", "2023-09-05": "0.0853", "2025-01-14": "0.055", "2025-09-09": "0.055", "2026-10-13": "0.055"}
SETTLED = ("delivered", "charged", "price")


@pytest.fixture
async def story(ledger) -> Story:
    return Story(ledger, "2023-09-05")


@DAYS
@pytest.mark.parametrize("order", list(itertools.permutations(("sent", "delivered", "read"))), ids="-".join)
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
async def test_a_message_is_settled_once(ledger, day, order, times):
    """`delivered` or `read` settles it, at its own time; the one that was earlier in life corrects the other, and nothing else does."""
    story = Story(ledger, day, repeats=times)
    await story.used(1000)
    sent = await story.template(h(0))
    at = {"sent": h(1), "delivered": h(2), "read": h(3)}
    settled = [await sent.status(word, at[word], told=h(4 + n)) for n, word in enumerate(order)]
    after_read = order.index("read") < order.index("delivered")

    assert {"sent": False, "delivered": True, "read": after_read} == {
        word: bool(each) for word, each in zip(order, settled, strict=True)
    }
    assert (True, True, PRICE[day], story.start + h(2)) == story.settlements[sent.id].of(*SETTLED, "at")


@DAYS
async def test_a_repeated_status_changes_nothing_that_follows(ledger, redis, day):
    """A history told once or three times gives the same answers."""

    async def lived(repeats: int) -> list:
        redis.flushall()
        story = Story(ledger, day, repeats=repeats)
        await story.used(998)
        await story.clicked(h(0))
        first = await story.text(h(1))
        await first.sent(h(1), **free_entry(), ends=h(9))
        sent = [first, await story.template(h(2), "marketing")]
        settled = [await sent[1].delivered(h(3)), await first.delivered(h(4)), await first.read(h(5))]
        await story.prefers(h(5), "stop")
        sent += [await story.template(h(10), "marketing"), await story.template(h(10)), await story.text(h(11))]
        settled += [await sent[3].failed(h(11), 131047), await sent[4].delivered(h(11))]
        sent += [await story.text(h(12)), await story.template(h(12))]
        return [dict(each) for each in sent] + [each and dict(each) for each in settled]

    assert await lived(1) == await lived(3)


@pytest.mark.parametrize("first", ["delivered", "read"])
async def test_what_was_delivered_has_not_failed(story, first):
    """A failure after the delivery changes nothing."""
    sent = await story.template(h(0))
    await sent.status(first, h(1))
    settled = await sent.failed(h(2))
    following = await story.template(h(3))

    assert settled is None
    assert "inside_open_conversation" == following.reason


@pytest.mark.parametrize("late", ["delivered", "read"])
async def test_a_delivery_corrects_a_failure(story, late):
    """One of a recipient's devices failed and another took it: the message was delivered, whichever Meta says first."""
    sent = await story.template(h(0))
    failed = await sent.failed(h(1))
    settled = await sent.status(late, h(2))
    following = await story.template(h(3))

    assert (False, False, "0") == failed.of(*SETTLED)
    assert (True, True, "0.0853") == settled.of(*SETTLED)
    assert "inside_open_conversation" == following.reason


@pytest.mark.parametrize("word", ["sent", "accepted", "deleted", "warning", "transported"])
async def test_no_other_status_settles(story, word):
    """Only `delivered`, `read`, `played` and `failed` do."""
    sent = await story.template(h(0))
    settled = await sent.status(word, h(1))
    delivered = await sent.delivered(h(2))

    assert settled is None
    assert (True, True, "0.0853") == delivered.of(*SETTLED)


# --------------------------------------------------------------------------------------------------------- before the answer


@DAYS
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sent"], []),
        (["delivered"], [True]),
        (["read"], [True]),
        (["failed"], [False]),
        (["sent", "delivered", "read"], [True]),
        (["delivered", "delivered"], [True]),
        (["read", "delivered", "sent"], [True]),
    ],
    ids=lambda words: "-".join(words) if words and isinstance(words[0], str) else "",
)
async def test_a_status_may_overtake_the_answer_to_its_send(ledger, day, words, expected):
    """What comes before Meta has named the message is kept, and settles it as soon as it has a name."""
    story = Story(ledger, day)
    await story.used(1000)
    sent = await story.template(h(0), answered=False)
    early = [await sent.status(word, h(1)) for word in words]
    settled = await sent.answered(h(1))
    late = await sent.delivered(h(2))

    assert [None] * len(words) == early
    assert expected == [each.delivered for each in settled]
    assert (True not in expected) == (late is not None)  # which corrects a failure
    assert all(each.of("charged", "price") == ((True, PRICE[day]) if each.delivered else (False, "0")) for each in settled)


async def test_a_word_that_overtakes_the_answer_is_believed(story):
    """Price and category come with the first status that has them, and that may be one of these."""
    sent = await story.template(h(0), answered=False)
    await sent.sent(h(1), **cbp("marketing"))
    await sent.delivered(h(1))
    (settled,) = await sent.answered(h(1))

    assert ("marketing", "marketing", True, "0.1365") == settled.of("opened", "category", "charged", "price")


async def test_statuses_of_another_message_wait_for_theirs(story):
    """Messages in flight are told apart by their ids."""
    first, second = [await story.template(h(0), to=user, answered=False) for user in ("4915100000001", "4915100000002")]
    await second.delivered(h(1))
    settled = [await each.answered(h(1)) for each in (first, second)]

    assert [[], [second.id]] == [[each.id for each in found] for found in settled]


async def test_a_status_of_a_message_that_is_not_ours_settles_nothing(story):
    """Another system may send from the same number."""
    item = {"id": "wamid.theirs", "status": "delivered", "timestamp": str(story.unix(h(0))), "recipient_id": OTHER_USER}
    settled = await story.statuses(h(0), [item | cbp("marketing")])

    assert [] == settled


# ------------------------------------------------------------------------------------------------------------------- batches


async def test_a_batch_settles_in_its_order(story):
    """One webhook may hold the whole life of several messages, with what users wrote between."""
    users = [f"49151100000{n:02d}" for n in range(20)]
    sent = [await story.template(h(0), to=user) for user in users]
    statuses = [each.item(word, h(1)) for each in sent for word in ("sent", "delivered", "read")]
    messages = [story.message(h(1), user) for user in users]
    settled = await story.webhook(h(1), "messages", {"statuses": statuses, "messages": messages})
    texts = [await story.text(h(2), user) for user in users]

    assert [each.id for each in sent] == [each.id for each in settled]
    assert [(True, True, "0.0853")] * 20 == [each.of(*SETTLED) for each in settled]
    assert [("inside_open_conversation", "utility")] * 20 == [each.of("reason", "category") for each in texts]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_batch_opens_once(story, order):
    """Two deliveries of one conversation in one webhook: the first in it opens."""
    sent = [await story.template(h(0)) for _ in range(2)]
    settled = await story.statuses(h(1), [sent[n].item("delivered", h(1)) for n in order])

    assert [("utility", True), (None, False)] == [each.of("opened", "charged") for each in settled]


async def test_a_broken_item_costs_nobody_else(story):
    """What cannot be read is skipped, and its neighbours are settled."""
    sent = await story.template(h(0))
    good = sent.item("delivered", h(1))
    broken = [
        None,
        7,
        {},
        {"id": "wamid.x"},
        {"status": "delivered"},
        {**good, "id": None},
        {**good, "id": "wamid.y", "timestamp": "1"},
    ]
    settled = await story.webhook(h(1), "messages", {"statuses": [*broken, good], "messages": [{"from": 1}, "x"]})

    assert [(True, True, "0.0853")] == [each.of(*SETTLED) for each in settled]


async def test_two_words_of_one_message_in_one_batch(story):
    """The `sent` beside a `delivered` lends it the price."""
    sent = await story.template(h(0))
    items = [sent.item("sent", h(1), **cbp("marketing")), sent.item("delivered", h(1))]
    (settled,) = await story.statuses(h(1), items)

    assert ("marketing", True, "0.1365") == settled.of("category", "charged", "price")


# ------------------------------------------------------------------------------------------------------------- late deliveries


@pytest.mark.parametrize("told", [(0, 1), (1, 0)], ids=["in order", "the later one first"])
async def test_the_order_of_webhooks_charges_once(story, told):
    """Two deliveries of one conversation, told in either order: one charge, and the conversation counts from the earlier one."""
    sent = [await story.template(h(0)) for _ in range(2)]
    at = [h(1), h(2)]
    for n in told:
        await sent[n].delivered(at[n], told=h(3))
    following = [await story.template(h(25) + late) for late in (-1, 0)]

    assert [True, False] == [story.settlements[each.id].charged for each in sent]
    assert ["inside_open_conversation", "opens_conversation"] == [each.reason for each in following]


async def test_a_text_that_came_first_opened_its_own_conversation(ledger):
    """Told after a template that was delivered later: the text did not join what was not open yet, nor lengthen it."""
    story = Story(ledger, "2023-09-05")
    await story.used(1000)
    await story.wrote(h(0))
    text = await story.text(h(1))
    template = await story.template(h(1), "marketing")
    await template.delivered(h(3))
    settled = await text.delivered(h(2), told=h(4))
    following = [await story.template(h(27) + late, "marketing") for late in (-1, 0)]

    assert ("service", "service", True, "0.0819") == settled.of("opened", "category", "charged", "price")
    assert ["inside_open_conversation", "opens_conversation"] == [each.reason for each in following]


@pytest.mark.parametrize("ends", [h(25) + 59_000, h(24)], ids=["later than we thought", "earlier"])
async def test_a_late_delivery_leaves_metas_expiry_alone(story, ends):
    """Both messages were told to be in the same conversation; which of them opened it does not change its end."""
    sent = [await story.template(h(0)) for _ in range(2)]
    for each in sent:
        await each.sent(h(1), **cbp("utility"), ends=ends)
    await sent[1].delivered(h(2))
    await sent[0].delivered(h(1), told=h(3))
    following = [await story.template(ends + late) for late in (-1, 0)]

    assert ["inside_open_conversation", "opens_conversation"] == [each.reason for each in following]


async def test_a_send_that_meta_refuses_at_once_holds_nothing(story):
    """An error in Meta's answer: no conversation is on its way, and no status will come."""
    refused = await story.template(h(0), answered=False)
    await refused.refused(h(0))
    following = await story.template(h(1))

    assert ("opens_conversation", True, "exact") == following.of("reason", "charged", "price_bound")


async def test_a_send_without_an_answer_stays(story):
    """After a broken connection nobody knows whether Meta took it: it counts until Meta says otherwise."""
    await story.template(h(0), answered=False)
    following = await story.template(h(1))

    assert ("inside_open_conversation", "0.0853", "at-most") == following.of("reason", "price", "price_bound")


@pytest.mark.parametrize("code", [131026, 131047, 131049, 131050, 132015, 131042])
async def test_a_failure_costs_nothing(story, code):
    """Whatever the reason: not delivered, not charged, price 0."""
    sent = await story.template(h(0), "marketing")
    settled = await sent.failed(h(1), code, **pmp("marketing"))

    assert (False, False, "0", None, None) == settled.of(*SETTLED, "opened", "category")
