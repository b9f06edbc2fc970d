"""
Charges by message, 2025-07-01 to 2026-09-30, and what remained of conversations when they began.

Source: Meta, "Pricing", copies of 2025-12-10 and 2026-03-02, and "Updates to pricing", 2024-10 to 2025, where a test names no other.
"""

from __future__ import annotations

import pytest
from story import Story, cbp, h

DAY, EVE = "2025-09-09", "2025-06-30"
PRICE = {"marketing": "0.1365", "utility": "0.055", "authentication": "0.055"}
SAYS = ("reason", "opens", "category", "charged", "price", "price_bound")


@pytest.fixture
def story(ledger) -> Story:
    return Story(ledger, DAY)


@pytest.mark.parametrize("category", PRICE)
async def test_every_template_outside_the_window_is_charged(story, category):
    """One charge for each delivered template: nothing covers the next one."""
    sent = [await story.template(h(n), category, lands=True) for n in range(3)]

    for each in sent:
        assert ("charged_message", None, category, True, PRICE[category], "exact") == each.of(*SAYS)
        assert (None, category, True, PRICE[category]) == each.settled.of("opened", "category", "charged", "price")


@pytest.mark.parametrize("category", ["marketing", "authentication"])
async def test_marketing_and_authentication_are_charged_inside_the_window(story, category):
    """Only utility templates are free inside an open customer service window."""
    await story.wrote(h(0))
    sent = await story.template(h(1), category, lands=True)

    assert ("charged_message", None, category, True, PRICE[category], "exact") == sent.of(*SAYS)
    assert (category, True, PRICE[category]) == sent.settled.of("category", "charged", "price")


@pytest.mark.parametrize(
    ("at", "free"),
    [
        pytest.param(h(0), True, id="at once"),
        pytest.param(h(24) - 1, True, id="in the last millisecond"),
        pytest.param(h(24), False, id="at its end"),
        pytest.param(h(24) + 1, False, id="after it"),
    ],
)
async def test_a_utility_template_inside_the_window_is_free(story, at, free):
    """`free_customer_service`, category utility; outside it is charged."""
    await story.wrote(h(0))
    sent = await story.template(at)
    expected = ("free_customer_service", None, "utility", False, "0", "exact")

    assert (expected if free else ("charged_message", None, "utility", True, "0.055", "exact")) == sent.of(*SAYS)


@pytest.mark.parametrize(("at", "free"), [(h(23), True), (h(24) - 1000, True), (h(24), False)])
async def test_a_utility_template_is_free_when_it_is_delivered_inside_the_window(story, at, free):
    """Free is what is "delivered within an open customer service window"; sent inside and delivered after is charged, to be careful."""
    await story.wrote(h(0))
    sent = await story.template(h(22))
    settled = await sent.delivered(at)

    assert (not free, "0" if free else "0.055") == settled.of("charged", "price")


async def test_a_utility_template_that_meets_a_window_is_free(story):
    """Sent outside, delivered after the user wrote."""
    sent = await story.template(h(0))
    await story.wrote(h(1))
    settled = await sent.delivered(h(2))

    assert (True, "0.055") == sent.of("charged", "price")
    assert ("utility", False, "0") == settled.of("category", "charged", "price")


async def test_a_later_message_of_the_user_does_not_charge_an_earlier_delivery(story):
    """The window of the send covered the delivery, though we hear of it after the user wrote again."""
    await story.wrote(h(0))
    sent = await story.template(h(1))
    await story.wrote(h(3))
    settled = await sent.delivered(h(2), told=h(4))

    assert (False, "0") == settled.of("charged", "price")


async def test_free_form_is_free(story):
    """All non-template messages are free, and only possible inside the window."""
    await story.wrote(h(0))
    sent = await story.text(h(1), lands=True)

    assert ("free_customer_service", None, "service", False, "0", "exact") == sent.of(*SAYS)
    assert (None, "service", False, "0") == sent.settled.of("opened", "category", "charged", "price")


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param(
            [(0, "marketing"), (2, "user"), (3, "text"), (4, "utility"), (26, "text"), (30, "utility")],
            [True, False, False, None, True],
            id="one marketing, one utility",
        ),
        pytest.param([(0, "marketing"), (1, "utility"), (2, "utility")], [True, True, True], id="three outside the window"),
        pytest.param(
            [(0, "marketing"), (1, "user"), (2, "utility"), (3, "utility")],
            [True, False, False],
            id="two of three inside the window",
        ),
    ],
)
async def test_worked_examples(story, history, expected):
    """Meta's printed examples: which messages are charged. None: refused, since the window has closed."""
    found = []
    for at, what in history:
        if what == "user":
            await story.wrote(h(at))
            continue
        sent = await (story.text(h(at)) if what == "text" else story.template(h(at), what))
        found.append(None if sent.blocked else (await sent.delivered(h(at))).charged)

    assert expected == found


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata"])
@pytest.mark.parametrize(
    ("at", "inside"),
    [
        pytest.param(h(24), True, id="at the switch"),
        pytest.param(h(44) - 1, True, id="in its last millisecond"),
        pytest.param(h(44), False, id="at its end"),
    ],
)
async def test_a_utility_conversation_outlives_the_switch(ledger, zone, at, inside):
    """One that was opened before 2025-07-01 keeps absorbing utility templates until it ends ("Pricing", edge case)."""
    story = Story(ledger, EVE, zone=zone)
    await story.template(h(20), lands=True)
    sent = await story.template(at)
    expected = ("inside_open_conversation", None, "utility", False, "0", "exact")

    assert "pmp-2025-07" == sent.regime
    assert (expected if inside else ("charged_message", None, "utility", True, "0.055", "exact")) == sent.of(*SAYS)
    assert (story.unix(h(44)) if inside else None) == sent.conversation_expires


@pytest.mark.parametrize(("at", "inside"), [(h(44) - 1000, True), (h(44), False)], ids=["in its last second", "at its end"])
async def test_a_delivery_into_a_conversation_from_before_the_switch(ledger, at, inside):
    """The delivery decides here too."""
    story = Story(ledger, EVE)
    await story.template(h(20), lands=True)
    sent = await story.template(h(30))
    settled = await sent.delivered(at)

    assert (None, "utility", not inside, "0" if inside else "0.055") == settled.of("opened", "category", "charged", "price")


@pytest.mark.parametrize("category", ["marketing", "authentication"])
async def test_only_utility_templates_outlive_the_switch(ledger, category):
    """Marketing and authentication templates are charged from midnight on, whatever is open."""
    story = Story(ledger, EVE)
    for opened in PRICE:
        await story.template(h(20), opened, lands=True)
    sent = await story.template(h(25), category, lands=True)

    assert ("charged_message", True, PRICE[category]) == sent.of("reason", "charged", "price")
    assert (None, True, PRICE[category]) == sent.settled.of("opened", "charged", "price")


async def test_a_template_from_before_the_switch_opens_nothing_after_it(ledger):
    """What is delivered on 2025-07-01 is charged by message, so the next one has no conversation to join."""
    story = Story(ledger, EVE)
    first = await story.template(h(23))
    settled = await first.delivered(h(24))
    sent = await story.template(h(25), lands=True)

    assert "utility" == first.opens
    assert (None, True, "0.055") == settled.of("opened", "charged", "price")
    assert (True, "0.055") == sent.settled.of("charged", "price")


async def test_metas_word_on_a_conversation_that_we_never_saw(ledger):
    """`pricing_model: CBP` after the switch means that a utility conversation from before it absorbed the message."""
    story = Story(ledger, "2025-07-01")
    sent = await story.template(h(1))
    settled = await sent.delivered(h(1), **cbp("utility"))

    assert (True, "0.055") == sent.of("charged", "price")
    assert (None, "utility", False, "0") == settled.of("opened", "category", "charged", "price")
