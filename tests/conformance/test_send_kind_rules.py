"""
What a request is: messages and what only looks like one, Direct Send, and the Marketing Messages API.

Sources: Meta, "Mark message as read" and "Typing indicators", copies of 2025-10; "Direct Send", copies of 2026-07-31; "Send marketing
messages", copy of 2026-02-19; "Business-scoped user IDs", copy of 2026-02-06.
"""

from __future__ import annotations

import pytest
from story import USER, Story, free_entry, h, message

from gatekeeper.meta.sends import MalformedSend

REGIMES = ["2022-04-05", "2023-09-05", "2025-01-14", "2025-09-09", "2026-10-13"]
DAY = "2026-10-13"
READ = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in"}
TYPING = READ | {"typing_indicator": {"type": "text"}}
SAYS = ("reason", "category", "charged", "price", "price_bound")
LIBRARY = {"name": "library", "language": {"code": "en_US"}}


@pytest.mark.parametrize("day", REGIMES)
@pytest.mark.parametrize("body", [READ, TYPING], ids=["read receipt", "typing indicator"])
async def test_a_receipt_is_not_a_message(ledger, day, body):
    """They go to the same endpoint, need no window, send nothing and cost nothing."""
    story = Story(ledger, day)
    await story.used(999)
    receipt = await story.send(h(0), body)
    await story.wrote(h(0))
    sent = await story.text(h(1))

    assert ("allow", None) == receipt.of("verdict", "error_code")
    assert ("not_a_message", None, False, "0", "exact") == receipt.of(*SAYS)
    assert sent.free_remaining in (0, None)


# ----------------------------------------------------------------------------------------------------------------- Direct Send


@pytest.mark.parametrize("category", ["utility", "authentication"])
@pytest.mark.parametrize("window", [True, False])
async def test_direct_send_needs_no_window(ledger, category, window):
    """A free-form body with a `category` is priced at that category's rate and may be sent at any time."""
    story = Story(ledger, DAY, direct_send=True)
    if window:
        await story.wrote(h(0))
    sent = await story.direct(h(1), category, lands=True)

    assert ("charged_message", category, True, "0.055", "exact") == sent.of(*SAYS)
    assert (category, True, "0.055") == sent.settled.of("category", "charged", "price")


@pytest.mark.parametrize("category", ["utility", "authentication"])
@pytest.mark.parametrize("window", [True, False])
async def test_direct_send_has_to_be_enabled(ledger, category, window):
    """Meta refuses it at once with error 100, the window open or not."""
    story = Story(ledger, DAY)
    if window:
        await story.wrote(h(0))
    sent = await story.direct(h(1), category)

    assert ("block", "direct_send_not_enabled", 100) == sent.of("verdict", "reason", "error_code")


@pytest.mark.parametrize("category", ["service", None])
@pytest.mark.parametrize("enabled", [True, False])
async def test_service_is_no_direct_send(ledger, category, enabled):
    """An absent category and `service` are ordinary free-form."""
    story = Story(ledger, DAY, direct_send=enabled)
    before = await story.text(h(0), body={"category": category})
    await story.wrote(h(1))
    after = await story.text(h(2), body={"category": category})

    assert (131047, None, "service") == (before.blocked, after.blocked, after.category)


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        *((kind, "utility") for kind in ("audio", "contacts", "location", "sticker", "reaction")),
        *((kind, "authentication") for kind in ("image", "interactive")),
        ("text", "marketing"),
    ],
)
async def test_what_direct_send_does_not_take(ledger, kind, category):
    """Not marketing, and not these types; authentication is text only."""
    story = Story(ledger, DAY, direct_send=True)
    content = {"contacts": [{}], "location": {"latitude": 1, "longitude": 1}, "reaction": {"message_id": "wamid.in", "emoji": ""}}
    body = message(USER, kind, content.get(kind, {"id": "1", "body": "code", "type": "button"})) | {"category": category}
    with pytest.raises(MalformedSend) as refused:
        await story.send(h(0), body)

    assert 100 == refused.value.code


async def test_authentication_is_not_sent_to_a_bsuid(ledger):
    """Error 131062: it needs a phone number."""
    story = Story(ledger, DAY, direct_send=True)
    body = message(None, "text", {"body": "Your code is 1"}) | {
        "recipient": "US.13491208655302741918",
        "category": "authentication",
    }
    with pytest.raises(MalformedSend) as refused:
        await story.send(h(0), body)

    assert 131062 == refused.value.code


# ------------------------------------------------------------------------------------------------- the Marketing Messages API


@pytest.mark.parametrize(("day", "price"), [("2025-09-09", "0.1365"), ("2026-10-13", "0.1365")])
async def test_a_marketing_template_is_billed_as_marketing_lite(ledger, day, price):
    """`pricing.category` is `marketing_lite`; the rate is that of marketing since 2025-07-01."""
    story = Story(ledger, day)
    sent = await story.template(h(0), "marketing", api="marketing_messages", lands=True)

    assert ("charged_message", "marketing_lite", True, price, "exact") == sent.of(*SAYS)
    assert ("marketing_lite", True, price) == sent.settled.of("category", "charged", "price")


@pytest.mark.parametrize("window", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(message(USER, "template", LIBRARY | {"name": "utility"}), id="a utility template"),
        pytest.param(message(USER, "template", LIBRARY | {"name": "authentication"}), id="an authentication template"),
        pytest.param(message(USER, "text", {"body": "Hello"}), id="free-form"),
        pytest.param(message(USER, "reaction", {"message_id": "wamid.in", "emoji": ""}), id="a reaction"),
    ],
)
async def test_it_takes_marketing_templates_only(ledger, body, window):
    """Anything else is refused at once with 134100, the window open or not."""
    story = Story(ledger, DAY)
    if window:
        await story.wrote(h(0))
    sent = await story.send(h(1), body, api="marketing_messages")

    assert ("block", "marketing_templates_only", 134100) == sent.of("verdict", "reason", "error_code")


async def test_a_template_that_nobody_told_us_of_may_be_one(ledger):
    """Meta lets only marketing templates through here, so that is what it is."""
    sent = await Story(ledger, DAY).template(h(0), "unheard", api="marketing_messages")

    assert ("allow", "marketing_lite", "0.1365") == sent.of("verdict", "category", "price")


async def test_it_is_free_inside_a_free_entry_point(ledger):
    """As every message is."""
    story = Story(ledger, DAY)
    await story.clicked(h(0))
    await (await story.text(h(1))).delivered(h(1), **free_entry())
    sent = await story.template(h(2), "marketing", api="marketing_messages")

    assert ("free_entry_point", "referral_conversion", False, "0", "exact") == sent.of(*SAYS)
