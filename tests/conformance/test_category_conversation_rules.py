"""
Conversations by category, 2023-06-01 to 2025-06-30.

Source: Meta, "Conversation-based pricing", text of 2023-24 and copy of 2025-11-14, where a test names no other.
"""

from __future__ import annotations

import pytest
from story import Story, h

# Germany on the card of 2023-06-01.
PRICE = {"marketing": "0.1365", "utility": "0.0853", "authentication": "0.0768", "service": "0.0819"}
TEMPLATES = ("marketing", "utility", "authentication")
BEFORE, AFTER = "2023-09-05", "2025-01-14"
SETTLED = ("opened", "category", "charged", "price")


async def send(story: Story, at: int, product: str, **how):
    return await (story.text(at, **how) if product == "service" else story.template(at, product, **how))


@pytest.fixture
async def story(ledger) -> Story:
    """An account that has used up its free service conversations."""
    story = Story(ledger, BEFORE)
    await story.used(1000)
    return story


@pytest.mark.parametrize("category", TEMPLATES)
@pytest.mark.parametrize("window", [True, False])
async def test_a_template_opens_a_conversation_of_its_category(story, category, window):
    """A delivered template opens one when none of its category is open, inside the window too; as a first reply it opens no service."""
    if window:
        await story.wrote(h(0))
    sent = await story.template(h(1), category)
    settled = await sent.delivered(h(2))

    assert ("opens_conversation", category, category) == sent.of("reason", "opens", "category")
    assert (True, PRICE[category], "exact") == sent.of("charged", "price", "price_bound")
    assert (category, category, True, PRICE[category]) == settled.of(*SETTLED)


@pytest.mark.parametrize("first", PRICE)
@pytest.mark.parametrize("second", TEMPLATES)
async def test_a_template_looks_at_its_own_category_alone(story, first, second):
    """Other conversations, service included, do not matter to a template: several run side by side."""
    await story.wrote(h(0))
    await send(story, h(1), first, lands=True)
    sent = await story.template(h(2), second, lands=True)
    inside = first == second

    assert ("inside_open_conversation" if inside else "opens_conversation") == sent.reason
    assert (None if inside else second, second, not inside) == sent.settled.of("opened", "category", "charged")
    assert ("0" if inside else PRICE[second]) == sent.settled.price


async def test_four_categories_are_open_side_by_side(story):
    """One conversation of each category may be open at once; a text then joins them without being told which."""
    await story.wrote(h(0))
    sent = [await send(story, h(n), product, lands=True) for n, product in enumerate(("service", *TEMPLATES), 1)]
    joins = await story.text(h(5), lands=True)

    assert ["service", *TEMPLATES] == [each.settled.opened for each in sent]
    assert ("inside_open_conversation", None, None, False) == joins.of("reason", "opens", "category", "charged")
    assert (None, None, False, "0") == joins.settled.of(*SETTLED)


@pytest.mark.parametrize("open_category", PRICE)
async def test_a_text_joins_whatever_conversation_is_open(story, open_category):
    """A non-template message opens a service conversation only while no conversation of any category is open."""
    await story.wrote(h(0))
    await send(story, h(1), open_category, lands=True)
    sent = [await story.text(h(n), lands=True) for n in (2, 3)]

    for each in sent:
        assert ("inside_open_conversation", None, False, "0") == each.of("reason", "opens", "charged", "price")
        assert (None, False, "0") == each.settled.of("opened", "charged", "price")


@pytest.mark.parametrize("open_category", PRICE)
async def test_the_category_of_a_text_is_that_of_the_only_open_conversation(story, open_category):
    """Meta's `pricing.category` is that of the conversation that the message is counted in, at send and when it is delivered."""
    await story.wrote(h(0))
    await send(story, h(1), open_category, lands=True)
    sent = await story.text(h(2), lands=True)

    assert open_category == sent.category
    assert open_category == sent.settled.category


async def test_a_text_opens_a_service_conversation(story):
    """With the window open and no conversation, a text opens one of service."""
    await story.wrote(h(0))
    sent = await story.text(h(1), lands=True)

    assert ("opens_conversation", "service", "service", True, "0.0819") == sent.of(
        "reason", "opens", "category", "charged", "price"
    )
    assert ("service", "service", True, "0.0819") == sent.settled.of(*SETTLED)


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        pytest.param(h(26) - 1, True, id="in the last millisecond"),
        pytest.param(h(26), False, id="after 24 hours"),
        pytest.param(h(26) + 1, False, id="a millisecond later"),
    ],
)
@pytest.mark.parametrize("category", PRICE)
async def test_a_conversation_lasts_24_hours_from_the_delivery_that_opened_it(story, category, at, inside):
    """It is neither counted from the send nor extended by messages in it."""
    await story.wrote(h(1))
    first = await send(story, h(1), category)
    await first.delivered(h(2))
    await story.wrote(h(20))
    await send(story, h(21), category, lands=True)
    sent = await send(story, at, category)

    assert (None if inside else category, not inside) == sent.of("opens", "charged")
    assert (story.unix(h(26)) if inside else None) == sent.conversation_expires


@pytest.mark.parametrize(("at", "inside"), [(h(26) - 1000, True), (h(26), False)])
@pytest.mark.parametrize("category", PRICE)
async def test_a_delivery_at_the_end_of_a_conversation(story, category, at, inside):
    """The conversation is half-open: a delivery 24 hours after the first opens the next."""
    await story.wrote(h(1))
    first = await send(story, h(1), category)
    await first.delivered(h(2))
    await story.wrote(h(20))
    late = await send(story, h(21), category)
    settled = await late.delivered(at)

    assert (None if inside else category, not inside) == settled.of("opened", "charged")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["as sent", "the other way round"])
async def test_the_first_delivery_opens(story, order):
    """Conversations open in the order of deliveries, not of sends: of two in flight, the first delivered opens."""
    sent = [await story.template(h(n), "marketing") for n in (0, 1)]
    settled = [await sent[n].delivered(h(2) + 1000 * place) for place, n in enumerate(order)]

    assert [("opens_conversation", True), ("inside_open_conversation", False)] == [each.of("reason", "charged") for each in sent]
    assert [("marketing", True, "0.1365"), (None, False, "0")] == [each.of("opened", "charged", "price") for each in settled]


async def test_a_send_behind_one_in_flight_may_cost_what_the_other_does(story):
    """It is expected to be inside, but until the first is delivered nothing is certain."""
    first = await story.template(h(0), "marketing")
    second = await story.template(h(0), "marketing")
    await first.delivered(h(1))
    third = await story.template(h(2), "marketing")

    assert (False, "0.1365", "at-most") == second.of("charged", "price", "price_bound")
    assert (False, "0", "exact") == third.of("charged", "price", "price_bound")


@pytest.mark.parametrize(("at", "reason"), [(h(24) - 1, "inside_open_conversation"), (h(24), "opens_conversation")])
async def test_one_in_flight_is_expected_to_open_for_24_hours(story, at, reason):
    """A message that nobody heard of since it was sent covers others no longer than if it had been delivered at once."""
    await story.template(h(0), "marketing")
    sent = await story.template(at, "marketing")

    assert reason == sent.reason


async def test_an_opener_that_fails_leaves_the_opening_to_the_next(story):
    """An undelivered template opens nothing; the one behind it, delivered, opens and is charged."""
    first, second = [await story.template(h(0), "marketing") for _ in range(2)]
    failed = await first.failed(h(1))
    settled = await second.delivered(h(2))

    assert (False, None, False, "0") == failed.of("delivered", "opened", "charged", "price")
    assert ("marketing", True, "0.1365") == settled.of("opened", "charged", "price")


async def test_a_failure_inside_a_conversation_leaves_it_open(story):
    """Only the opener's own failure takes an opening back, and a delivered one is never taken back."""
    await story.template(h(0), "marketing", lands=True)
    await (await story.template(h(1), "marketing")).failed(h(2))
    sent = await story.template(h(3), "marketing")

    assert ("inside_open_conversation", story.unix(h(24))) == sent.of("reason", "conversation_expires")


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param(
            [(9.5, None), (9.6, "service"), (16.5, "marketing")], ["service", "marketing"], id="service, then marketing"
        ),
        pytest.param([(15.7, "marketing"), (18, "utility")], ["marketing", "utility"], id="marketing, then utility"),
        pytest.param([(9, "utility"), (11, "utility")], ["utility", None], id="utility twice"),
        pytest.param(
            [(0, "marketing"), (4, "utility"), (10, "utility")], ["marketing", "utility", None], id="a utility joins its own"
        ),
        pytest.param([(0, "utility"), (23.9, "utility"), (24, "utility")], ["utility", None, "utility"], id="a day of utility"),
        pytest.param(
            [(0, "marketing"), (1, None), (2, "service"), (3, "service")], ["marketing", None, None], id="a chat in marketing"
        ),
        pytest.param([(0, "utility"), (1, None), (2, "service")], ["utility", None], id="a chat in utility"),
        pytest.param(
            [(0, "marketing"), (4, None), (5, "service"), (25, "service"), (26, "service")],
            ["marketing", None, "service", None],
            id="a window outlives its conversation",
        ),
    ],
)
async def test_worked_examples(story, history, expected):
    """Meta's printed examples, and those of its partners: what each message opens, and whether it is charged."""
    sent = []
    for at, product in history:
        if product is None:
            await story.wrote(h(at))
        else:
            sent.append(await send(story, h(at), product, lands=True))

    assert expected == [each.opens for each in sent]
    assert [(opened, bool(opened)) for opened in expected] == [each.settled.of("opened", "charged") for each in sent]


async def test_a_text_that_is_delivered_after_the_window_opens_its_conversation_then(story):
    """Permission is asked when a message is sent, its price when it is delivered."""
    await story.wrote(h(0))
    sent = await story.text(h(23.9))
    settled = await sent.delivered(h(26))

    assert ("service", True, "0.0819") == settled.of("opened", "charged", "price")


async def test_a_template_is_what_its_category_says(story):
    """Mixed content makes a marketing template, and a marketing template makes a marketing conversation, whatever else it says."""
    sent = await story.template(h(12), "marketing", lands=True)

    assert ("marketing", "0.1365") == sent.settled.of("opened", "price")


@pytest.mark.parametrize("category", PRICE)
async def test_since_november_2024_only_service_is_free(ledger, category):
    """Service conversations are free without a cap and open as before; the other categories are unchanged. From 2024-11-01."""
    story = Story(ledger, AFTER)
    await story.used(250_000)
    await story.wrote(h(0))
    sent = await send(story, h(1), category, lands=True)
    second = await send(story, h(2), category, lands=True)
    price = {"marketing": "0.1365", "utility": "0.055", "authentication": "0.0768", "service": "0"}[category]

    assert ("opens_conversation", category, price != "0", price) == sent.of("reason", "opens", "charged", "price")
    assert (category, category, price != "0", price) == sent.settled.of(*SETTLED)
    assert ("inside_open_conversation", None) == second.of("reason", "opens")
    assert (None, False, "0") == second.settled.of("opened", "charged", "price")
