"""
Where a status carries Meta's own word on price or conversation, it wins over ours.

Source: Meta, "Status webhooks", copies of 2025-11-20 and 2026-05-21: take `type` and `category`; `billable` is deprecated. Which status
carries what has changed with every version, so the word is taken from the first one that has it.
"""

from __future__ import annotations

import pytest
from story import MINUTE, Story, cbp, h, pmp

FIRST, CBP, FREE_SERVICE, PMP, NOW = "2022-04-05", "2023-09-05", "2025-01-14", "2025-09-09", "2026-10-13"
SETTLED = ("opened", "category", "charged", "price")
INDIAN = "919812345678"


async def send(story: Story, at: int, product: str, **how):
    return await (story.text(at, **how) if product == "text" else story.template(at, product, **how))


@pytest.mark.parametrize(
    ("day", "product", "word", "expected"),
    [
        pytest.param(CBP, "utility", cbp("utility"), ("utility", "utility", True, "0.0853"), id="2023: as we thought"),
        pytest.param(CBP, "utility", cbp("marketing"), ("marketing", "marketing", True, "0.1365"), id="2023: another category"),
        pytest.param(CBP, "marketing", cbp("utility"), ("utility", "utility", True, "0.0853"), id="2023: a cheaper one"),
        pytest.param(CBP, "text", cbp("service"), ("service", "service", True, "0.0819"), id="2023: service"),
        pytest.param(CBP, "text", cbp("marketing"), (None, "marketing", False, "0"), id="2023: a text cannot open marketing"),
        pytest.param(
            FIRST, "utility", cbp("user_initiated"), ("user_initiated", "user_initiated", True, "0.0819"), id="2022: by the user"
        ),
        pytest.param(FIRST, "text", cbp("user_initiated"), ("user_initiated", "user_initiated", True, "0.0819"), id="2022: text"),
        pytest.param(FREE_SERVICE, "text", cbp("service"), ("service", "service", False, "0"), id="2025: service is free"),
        pytest.param(PMP, "marketing", pmp("marketing"), (None, "marketing", True, "0.1365"), id="per message: marketing"),
        pytest.param(
            PMP, "utility", pmp("utility"), (None, "utility", True, "0.055"), id="per message: the window had closed for Meta"
        ),
        pytest.param(
            PMP,
            "utility",
            pmp("utility", "free_customer_service"),
            (None, "utility", False, "0"),
            id="per message: utility in the window",
        ),
        pytest.param(PMP, "utility", pmp("marketing"), (None, "marketing", True, "0.1365"), id="per message: another category"),
        pytest.param(
            PMP, "text", pmp("service", "free_customer_service"), (None, "service", False, "0"), id="per message: service"
        ),
        pytest.param(NOW, "text", pmp("service"), (None, "service", True, "0.055"), id="2026: beyond the tier"),
        pytest.param(
            NOW, "text", pmp("service", "free_customer_service"), (None, "service", False, "0"), id="2026: within the tier"
        ),
        pytest.param(NOW, "utility", pmp("utility"), (None, "utility", True, "0.055"), id="2026: utility in the window"),
        pytest.param(
            NOW,
            "utility",
            pmp("utility", "free_customer_service"),
            (None, "utility", False, "0"),
            id="2026: utility free after all",
        ),
    ],
)
@pytest.mark.parametrize("status", ["sent", "delivered", "read"])
async def test_metas_word_settles(ledger, day, product, word, expected, status):
    """`type` and `category` decide what a delivered message was, whichever status brings them."""
    story = Story(ledger, day)
    await story.used(1000)
    await story.wrote(h(0))
    sent = await send(story, h(1), product)
    if status == "sent":
        await sent.sent(h(1), **word)
        settled = await sent.delivered(h(2))
    else:
        settled = await sent.status(status, h(2), **word)

    assert expected == settled.of(*SETTLED)


@pytest.mark.parametrize("billable", [True, False])
@pytest.mark.parametrize(
    ("day", "word", "charged"),
    [
        (FREE_SERVICE, cbp("service"), False),
        (PMP, pmp("service", "free_customer_service"), False),
        (NOW, pmp("service"), True),
    ],
)
async def test_billable_is_not_believed(ledger, day, word, charged, billable):
    """A real webhook log of June 2025 says `billable: true` of free service conversations."""
    story = Story(ledger, day)
    await story.used(1000)
    await story.wrote(h(0))
    sent = await story.text(h(1))
    settled = await sent.delivered(h(1), **word | {"pricing": word["pricing"] | {"billable": billable}})

    assert charged == settled.charged


@pytest.mark.parametrize(
    ("day", "word", "expected"),
    [
        pytest.param(
            "2024-09-03",
            cbp("authentication_international"),
            ("authentication_international", "authentication_international", True, "0.028"),
            id="conversation",
        ),
        pytest.param(
            PMP, pmp("authentication-international"), (None, "authentication_international", True, "0.028"), id="message"
        ),
        pytest.param(
            PMP, pmp("authentication_international"), (None, "authentication_international", True, "0.028"), id="underscore"
        ),
    ],
)
async def test_authentication_international(ledger, day, word, expected):
    """Only Meta knows who pays the international rate, since 2024-06-01; its word has the rate's own column on the card."""
    story = Story(ledger, day)
    sent = await story.template(h(0), "authentication", INDIAN)
    settled = await sent.delivered(h(1), **word)

    assert "authentication" == sent.category
    assert expected == settled.of(*SETTLED)


async def test_a_second_international_authentication_is_inside(ledger):
    """One conversation of a category covers what follows, this category's too."""
    story = Story(ledger, "2024-09-03")
    sent = [await story.template(h(n), "authentication", INDIAN) for n in (0, 2)]
    settled = [await each.delivered(h(n), **cbp("authentication_international")) for each, n in zip(sent, (1, 3), strict=True)]

    assert [True, False] == [each.charged for each in settled]


@pytest.mark.parametrize(("word", "category"), [("marketing_lite", "marketing_lite"), ("marketing", "marketing")])
async def test_marketing_lite_may_fall_back(ledger, word, category):
    """Through `/marketing_messages` a message is `marketing_lite`, or `marketing` if it fell back; the price is the same."""
    story = Story(ledger, PMP)
    sent = await story.template(h(0), "marketing", api="marketing_messages")
    settled = await sent.delivered(h(1), **pmp(word))

    assert ("marketing_lite", "0.1365") == sent.of("category", "price")
    assert (None, category, True, "0.1365") == settled.of(*SETTLED)


async def test_a_word_about_the_window_in_2022(ledger):
    """Meta saw the user write when we did not: the conversation is user-initiated, and somebody has to have opened it."""
    story = Story(ledger, FIRST)
    await story.used(1000)
    sent = await story.template(h(0))
    settled = await sent.delivered(h(1), **cbp("user_initiated"))
    following = await story.template(h(2))

    assert "business_initiated" == sent.category
    assert ("user_initiated", "user_initiated", True, "0.0819") == settled.of(*SETTLED)
    assert ("inside_open_conversation", "user_initiated") == following.of("reason", "category")


async def test_a_conversation_that_we_never_saw_open(ledger):
    """A text that Meta counts in a marketing conversation joined it: it opened none, and the next text joins it too."""
    story = Story(ledger, CBP)
    await story.wrote(h(0))
    first = await story.text(h(1))
    await first.delivered(h(1), **cbp("marketing"))
    following = await story.text(h(2))

    assert ("inside_open_conversation", "marketing") == following.of("reason", "category")


@pytest.mark.parametrize("batched", [True, False], ids=["in one webhook", "in two"])
async def test_what_one_status_leaves_out_another_said(ledger, batched):
    """`pricing` comes with one status and `conversation` with another; together they are Meta's word."""
    story = Story(ledger, PMP)
    await story.wrote(h(0))
    sent = await story.template(h(1))
    items = [sent.item("sent", h(1), **pmp("utility")), sent.item("delivered", h(2), conversation=cbp("utility")["conversation"])]
    settled = [
        each for group in ([items] if batched else [[item] for item in items]) for each in await story.statuses(h(2), group)
    ]

    assert [("utility", True, "0.055")] == [each.of("category", "charged", "price") for each in settled]


@pytest.mark.parametrize(
    ("word", "drifts"),
    [(pmp("utility"), False), (pmp("marketing"), True), (pmp("utility", "free_customer_service"), True), ({}, False)],
    ids=["the same", "another category", "another price", "none"],
)
async def test_a_difference_is_counted(ledger, word, drifts):
    """Where Meta's word differs from our table, the operator hears of it."""
    story = Story(ledger, PMP)
    sent = await story.template(h(0))
    settled = await sent.delivered(h(1), **word)
    counted = story.metrics.registry.get_sample_value("gatekeeper_drift_total", {"kind": "pricing"})

    assert (drifts, drifts) == (settled.drift, bool(counted))


async def test_the_tier_is_counted_beyond_it_too(ledger):
    """A message that Meta charges as service is beyond the tier, and so are those after it."""
    story = Story(ledger, NOW)
    await story.used(999)
    await story.wrote(h(0))
    sent = await story.text(h(1))
    settled = await sent.delivered(h(1), **pmp("service"))
    following = await story.text(h(2))

    assert ("within_free_tier", True) == (sent.reason, settled.charged)
    assert "charged_message" == following.reason


# -------------------------------------------------------------------------------------------------------------------- expiries


@pytest.mark.parametrize("order", ["sent first", "delivered first"])
@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(h(25) + MINUTE - 1000, id="rounded up to the minute"),
        pytest.param(h(25), id="as we thought"),
        pytest.param(h(24), id="earlier"),
    ],
)
async def test_a_conversation_ends_when_meta_says(ledger, order, ends):
    """`expiration_timestamp` on the `sent` status is rounded up to the full minute (a real log of 2025-06, and Meta's own example)."""
    story = Story(ledger, CBP)
    sent = await story.template(h(0))
    if order == "sent first":
        await sent.sent(h(1), **cbp("utility"), ends=ends)
    await sent.delivered(h(1))
    if order == "delivered first":
        await sent.sent(h(1), told=h(2), **cbp("utility"), ends=ends)
    following = [await story.template(ends + late) for late in (-1, 0)]

    assert ["inside_open_conversation", "opens_conversation"] == [each.reason for each in following]
    assert story.unix(ends) == following[0].conversation_expires


async def test_an_expiry_confirms_nothing(ledger):
    """The opener settles as the opener, though its conversation was told of before it was delivered."""
    story = Story(ledger, CBP)
    sent = await story.template(h(0))
    await sent.sent(h(0), **cbp("utility"), ends=h(24))
    settled = await sent.delivered(h(1), **cbp("utility"))

    assert ("utility", "utility", True, "0.0853") == settled.of(*SETTLED)


async def test_the_conversation_of_a_failed_message_is_forgotten(ledger):
    """What Meta told of it goes with it: the next one opens a conversation of 24 hours."""
    story = Story(ledger, CBP)
    first = await story.template(h(0))
    await first.sent(h(0), **cbp("utility"), ends=h(24))
    await first.failed(h(1))
    await story.template(h(2), lands=True)
    following = [await story.template(h(26) + late) for late in (-1, 0)]

    assert ["inside_open_conversation", "opens_conversation"] == [each.reason for each in following]


@pytest.mark.parametrize("version", ["up to v23", "from v24"])
async def test_a_message_has_no_conversation_to_join(ledger, version):
    """Since messages are charged, up to v23 each one has a conversation object of its own: it means nothing."""
    story = Story(ledger, PMP)
    first = await story.template(h(0))
    word = cbp("utility") | pmp("utility") if version == "up to v23" else pmp("utility")
    await first.sent(h(0), **word, **({"ends": h(24)} if version == "up to v23" else {}))
    behind = await story.template(h(1), lands=True)
    await first.delivered(h(2), **pmp("utility"))
    following = await story.template(h(3), lands=True)

    for each in (behind, following):
        assert ("charged_message", None, True) == each.of("reason", "conversation_expires", "charged")
        assert each.settled.charged
