"""
What users want: a stop to marketing messages, until they resume them.

Source: Meta, the `user_preferences` webhook, copy of 2025-11, and "Error codes", copy of 2025-12-12 (131050).
"""

from __future__ import annotations

import itertools

import pytest
from story import OTHER_USER, TWO, USER, Story, h

from gatekeeper.core.policy import Policy

DAY = "2026-10-13"
STOPPED = ("block", "recipient_opted_out", 131050)
SAYS = ("verdict", "reason", "error_code")
BSUID = "DE.13491208655302741918"


@pytest.fixture
def story(ledger) -> Story:
    return Story(ledger, DAY)


async def test_a_user_who_stopped_gets_no_marketing(story):
    """131050, whatever is open, and through either endpoint; until the user resumes."""
    await story.clicked(h(0))
    await story.text(h(1), lands=True)
    await story.prefers(h(2), "stop")
    stopped = [await story.template(h(3), "marketing", api=api) for api in ("messages", "marketing_messages")]
    year_later = await story.template(h(24 * 365), "marketing")
    await story.prefers(h(24 * 366), "resume")
    resumed = await story.template(h(24 * 367), "marketing")

    assert [STOPPED] * 3 == [each.of(*SAYS) for each in (*stopped, year_later)]
    assert ("allow", None) == resumed.of("verdict", "error_code")


@pytest.mark.parametrize("product", ["text", "utility", "authentication"])
async def test_a_stop_is_of_marketing_alone(story, product):
    """Everything else still goes."""
    await story.wrote(h(0))
    await story.prefers(h(0), "stop")
    sent = await (story.text(h(1)) if product == "text" else story.template(h(1), product))

    assert "allow" == sent.verdict


async def test_a_stop_of_something_else_is_not_of_marketing(story):
    """The webhook names the category of messages."""
    await story.prefers(h(0), "stop", category="newsletters")
    sent = await story.template(h(1), "marketing")

    assert "allow" == sent.verdict


async def test_a_stop_is_between_one_number_and_one_user(story):
    """It is stored for the pair."""
    await story.prefers(h(0), "stop")
    other_user = await story.template(h(1), "marketing", OTHER_USER)
    other_number = await story.template(h(1), "marketing", number=TWO)

    assert ["allow", "allow"] == [other_user.verdict, other_number.verdict]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize(
    ("wishes", "stopped"),
    [(("stop", "resume", "stop"), True), (("resume", "stop", "resume"), False)],
    ids=["stopped at last", "resumed at last"],
)
async def test_the_last_wish_counts(story, wishes, stopped, order):
    """By its own time, in whatever order Meta tells of them."""
    for n, which in enumerate(order):
        await story.prefers(h(which), wishes[which], told=h(5 + n))
    sent = await story.template(h(9), "marketing")

    assert stopped == (sent.blocked == 131050)


@pytest.mark.parametrize("names", [{"wa_id": USER}, {"wa_id": None, "user_id": BSUID}, {"user_id": BSUID}])
@pytest.mark.parametrize("to", [USER, BSUID])
async def test_a_wish_reaches_all_names_of_a_user(story, names, to):
    """It is told under a phone number, a BSUID or both."""
    await story.wrote(h(0), USER, from_user_id=BSUID)
    await story.prefers(h(1), "stop", **names)
    by_id = "." in to
    sent = await story.template(h(2), "marketing", None if by_id else to, body={"recipient": to} if by_id else {})

    assert STOPPED == sent.of(*SAYS)


async def test_a_late_131050_is_a_stop(story):
    """Meta fails a marketing message to a user who stopped: from then on we know."""
    sent = await story.template(h(0), "marketing")
    settled = await sent.failed(h(1), 131050)
    following = await story.template(h(2), "marketing")
    await story.prefers(h(3), "resume")
    resumed = await story.template(h(4), "marketing")

    assert ("allow", False) == (sent.verdict, settled.delivered)
    assert STOPPED == following.of(*SAYS)
    assert "allow" == resumed.verdict


async def test_a_late_131050_does_not_outlive_a_resume(story):
    """The user resumed meanwhile, and the news of the failure came late."""
    sent = await story.template(h(0), "marketing")
    await story.prefers(h(2), "resume")
    await sent.failed(h(1), 131050, told=h(3))
    following = await story.template(h(4), "marketing")

    assert "allow" == following.verdict


@pytest.mark.parametrize("to", ["14155551234", "16505551234"])
async def test_what_meta_decides_on_its_own_grounds_is_not_predicted(story, to):
    """US marketing (since 2025-04-01) and per-user limits fail with 131049: the send goes out, and costs nothing when it fails."""
    sent = await story.template(h(0), "marketing", to)
    settled = await sent.failed(h(1), 131049)
    following = await story.template(h(2), "marketing", to)

    assert ("allow", "allow") == (sent.verdict, following.verdict)
    assert (False, False, "0") == settled.of("delivered", "charged", "price")


@pytest.mark.parametrize(
    ("said", "stops"),
    [
        ({"text": {"body": "STOP"}}, True),
        ({"text": {"body": " stop "}}, True),
        ({"text": {"body": "please stop"}}, False),
        ({"text": {"body": "START"}}, False),
        ({"type": "button", "button": {"text": "Stop", "payload": "x"}}, True),
        ({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Stop"}}}, True),
    ],
)
async def test_a_word_of_the_configuration_stops_marketing(ledger, said, stops):
    """Written or tapped, alone and in any case; the message opens the window all the same."""
    policy = Policy(opt_out_keywords=("Stop",), opt_in_keywords=("Start",))
    story = Story(ledger, "2026-10-13", policy=policy)
    await story.wrote(h(0), **said)
    marketing, text = await story.template(h(1), "marketing"), await story.text(h(1))
    await story.wrote(h(2), text={"body": "start"})
    again = await story.template(h(3), "marketing")

    assert (stops, "allow", "allow") == (marketing.reason == "recipient_opted_out", text.verdict, again.verdict)
