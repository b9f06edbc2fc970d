"""
Free entry points: what opens one, how long it lasts, and what Meta's own word makes of it.

Source: Meta, "Conversation-based pricing", copy of 2025-11-14, and "Pricing", copies of 2026-03-02 and quotes of 2026-09-28, where a
test names no other.
"""

from __future__ import annotations

import pytest
from story import Story, cbp, free_entry, h, pmp

EARLY, CBP, PMP, NOW = "2022-04-05", "2023-09-05", "2025-09-09", "2026-10-13"
ERAS = pytest.mark.parametrize("day", [EARLY, CBP, "2025-01-14", PMP, NOW])
HOURS = {EARLY: 24}
OPENS = ("opens_free_entry_point", "free_entry_point", "referral_conversion", False)
INSIDE = ("free_entry_point", None, "referral_conversion", False)
SAYS = ("reason", "opens", "category", "charged")
FEP = "referral_conversion"


async def opened(story: Story, at: int = h(1)) -> None:
    """An ad is clicked at the beginning, and our answer delivered at *at*."""
    await story.clicked(h(0))
    answer = await story.text(at)
    await answer.delivered(at)


async def free(story: Story, at: int) -> bool:
    sent = await story.template(at, "marketing")
    return sent.reason == "free_entry_point"


@ERAS
@pytest.mark.parametrize("product", ["text", "marketing", "utility", "authentication"])
async def test_any_answer_to_an_ad_opens_one(ledger, day, product):
    """A message through an ad and an answer of any type within 24 hours: the answer is free, and opens the entry point when delivered."""
    story = Story(ledger, day)
    await story.clicked(h(0))
    sent = await (story.text(h(1)) if product == "text" else story.template(h(1), product))
    settled = await sent.delivered(h(2))
    following = await story.template(h(3), "marketing")

    assert OPENS == sent.of(*SAYS)
    assert sent.free_entry_expires is None
    assert ("free_entry_point", FEP, False, "0") == settled.of("opened", "category", "charged", "price")
    # Meta has not said so yet, and only Android and iOS count; in 2022 the free tier makes it free all the same.
    assert (*INSIDE, "exact" if day < CBP else "at-most") == following.of(*SAYS, "price_bound")
    assert story.unix(h(2 + HOURS.get(day, 72))) == following.free_entry_expires


@ERAS
@pytest.mark.parametrize(
    ("at", "answers"),
    [
        pytest.param(h(24) - 1, True, id="in the last millisecond"),
        pytest.param(h(24), False, id="after 24 hours"),
        pytest.param(h(24) + 1, False, id="later"),
    ],
)
async def test_an_ad_has_to_be_answered_within_24_hours(ledger, day, at, answers):
    """Without an answer by then there is no entry point, and a template opens or is charged as its category says."""
    story = Story(ledger, day)
    await story.used(1000)
    await story.clicked(h(0))
    sent = await story.template(at, "marketing")

    assert (answers, not answers) == (sent.reason == "opens_free_entry_point", sent.charged)


@ERAS
@pytest.mark.parametrize("source", ["post", "unknown", None])
async def test_only_an_ad_makes_the_offer(ledger, day, source):
    """Boosted posts give none, and so does a message without a referral."""
    story = Story(ledger, day)
    await (story.wrote(h(0)) if source is None else story.clicked(h(0), source_type=source))
    sent = await story.template(h(1), "marketing")

    assert sent.reason in ("opens_conversation", "charged_message", "within_free_tier")


@pytest.mark.parametrize("kind", ["text", "image", "interactive", "button"])
async def test_a_referral_may_sit_on_any_message(ledger, kind):
    """Only the message that came from the ad carries it, of whatever type; a placement in Status lacks even its click id."""
    story = Story(ledger, PMP)
    await story.clicked(h(0), type=kind)
    await story.wrote(h(0.5))
    sent = await story.text(h(1))

    assert OPENS == sent.of(*SAYS)


@ERAS
@pytest.mark.parametrize(
    ("late", "inside"),
    [
        pytest.param(-1, True, id="in the last millisecond"),
        pytest.param(0, False, id="at its end"),
        pytest.param(1, False, id="after it"),
    ],
)
async def test_how_long_it_lasts(ledger, day, late, inside):
    """72 hours from the delivery of the answer, 24 until 2023-02-28."""
    story = Story(ledger, day)
    await opened(story, h(2))

    assert inside == await free(story, h(2 + HOURS.get(day, 72)) + late)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata"])
@pytest.mark.parametrize(("late", "hours"), [(-1000, 24), (0, 72)], ids=["2023-02-28", "2023-03-01"])
async def test_the_day_on_which_it_became_longer(ledger, zone, late, hours):
    """One that opens on 2023-03-01 of the account's calendar or later lasts 72 hours (second-hand: WATI and Blip, 2023)."""
    story = Story(ledger, "2023-02-28", zone=zone)
    await story.clicked(h(20))
    sent = await story.text(h(21))
    opens = h(24) + late
    await sent.delivered(opens)
    await story.wrote(opens + h(1))

    assert [True, False] == [await free(story, opens + h(hours) + late) for late in (-1, 0)]


@pytest.mark.parametrize("day", [CBP, PMP])
async def test_it_is_independent_of_the_window(ledger, day):
    """Free-form needs an open window inside it too; a message of the user reopens the window, and never lengthens the entry point."""
    story = Story(ledger, day)
    await opened(story)
    template = await story.template(h(30))
    closed = await story.text(h(30))
    await story.wrote(h(40))
    text = await story.text(h(41))

    assert INSIDE == template.of(*SAYS)
    assert (131047, story.unix(h(73))) == (closed.blocked, closed.free_entry_expires)
    assert (*INSIDE, story.unix(h(64)), story.unix(h(73))) == text.of(*SAYS, "window_expires", "free_entry_expires")


async def test_the_worked_example(ledger):
    """Ad at 10 am, template at 10 pm, free text until 10 am, templates for 72 hours: as Meta prints it."""
    story = Story(ledger, CBP)
    await story.clicked(h(10))
    found = []
    for at, product in [
        (22, "utility"),
        (33.9, "text"),
        (34, "text"),
        (36, "marketing"),
        (93.9, "authentication"),
        (94, "marketing"),
    ]:
        sent = await (story.text(h(at)) if product == "text" else story.template(h(at), product))
        found.append(sent.blocked or (await sent.delivered(h(at))).of("opened", "category", "charged"))

    expected = [("free_entry_point", FEP, False), (None, FEP, False), 131047, (None, FEP, False), (None, FEP, False)]
    assert [*expected, ("marketing", "marketing", True)] == found


@pytest.mark.parametrize("category", ["marketing", "utility", "authentication"])
async def test_no_conversation_opens_inside_it_and_none_survives_it(ledger, category):
    """It closes all open conversations, and no new one opens until it expires."""
    story = Story(ledger, CBP)
    await story.template(h(-1), category, lands=True)
    await opened(story)
    inside = await story.template(h(2), category, lands=True)
    after = await story.template(h(73), category, lands=True)

    assert INSIDE == inside.of(*SAYS)
    assert (None, FEP, False) == inside.settled.of("opened", "category", "charged")
    assert (category, True) == after.settled.of("opened", "charged")


@ERAS
async def test_an_ad_is_answered_once(ledger, day):
    """The answer uses the offer up: when the entry point has ended, only another ad makes another."""
    story = Story(ledger, day)
    await story.clicked(h(0))
    first = await story.text(h(1))
    await first.sent(h(1), **free_entry(), ends=h(2))
    await first.delivered(h(1))
    after = await story.template(h(3), "marketing")
    await story.clicked(h(4))
    again = await story.template(h(5), "marketing")

    assert "opens_free_entry_point" != after.reason
    assert OPENS == again.of(*SAYS)


async def test_an_answer_in_the_same_second_uses_the_ad_up(ledger):
    """Meta's times are whole seconds, and an automatic answer is quick."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    answer = await story.text(h(0))
    await answer.sent(h(0), **free_entry(), ends=h(2))
    settled = await answer.delivered(h(0))
    after = await story.template(h(3), "marketing")

    assert "free_entry_point" == settled.opened
    assert ("marketing", True) == after.of("category", "charged")


@ERAS
async def test_it_is_uncertain_until_it_is_delivered(ledger, day):
    """Only Android and iOS count and no webhook names the device, so an unconfirmed one is free at best."""
    story = Story(ledger, day)
    await story.used(1000)
    await story.clicked(h(0))
    first, second = [await story.template(h(1), "marketing") for _ in range(2)]
    price = "0.0819" if day == EARLY else "0.1365"

    assert (*OPENS, price, "at-most") == first.of(*SAYS, "price", "price_bound")
    assert (*INSIDE, price, "at-most") == second.of(*SAYS, "price", "price_bound")


DENIALS = [
    pytest.param(CBP, cbp("marketing"), ("marketing", True, "0.1365"), id="2023"),
    pytest.param(PMP, pmp("marketing"), ("marketing", True, "0.1365"), id="2025"),
    pytest.param(NOW, pmp("marketing"), ("marketing", True, "0.1365"), id="2026"),
]


@pytest.mark.parametrize(("day", "word", "expected"), DENIALS)
async def test_meta_denies_it(ledger, day, word, expected):
    """A message from WhatsApp Web or Desktop never opens one: the first status of the answer says what it is counted as."""
    story = Story(ledger, day)
    await story.clicked(h(0))
    sent = await story.template(h(1), "marketing")
    settled = await sent.delivered(h(2), **word)
    following = await story.template(h(3), "authentication")

    assert OPENS == sent.of(*SAYS)
    assert expected == settled.of("category", "charged", "price")
    assert ("authentication", True, "exact") == following.of("category", "charged", "price_bound")


@pytest.mark.parametrize(("day", "word", "expected"), DENIALS)
async def test_meta_denies_it_before_the_delivery(ledger, day, word, expected):
    """What a `sent` status says holds for whoever comes next, and for the delivery that carries no word itself."""
    story = Story(ledger, day)
    await story.clicked(h(0))
    sent = await story.template(h(1), "marketing")
    await sent.sent(h(1), **word)
    behind = await story.template(h(1.5), "authentication")
    settled = await sent.delivered(h(2))

    assert ("authentication", True, "exact") == behind.of("category", "charged", "price_bound")
    assert expected == settled.of("category", "charged", "price")


@pytest.mark.parametrize(("day", "word", "expected"), DENIALS)
async def test_a_denial_that_overtakes_the_answer_counts(ledger, day, word, expected):
    """A status may come before Meta's answer to the send; what it says holds from then on all the same."""
    story = Story(ledger, day)
    await story.clicked(h(0))
    sent = await story.template(h(1), "marketing", answered=False)
    await sent.sent(h(1), **word)
    await sent.answered(h(1))
    following = await story.template(h(2), "marketing")

    assert (expected[0], None) == following.of("category", "free_entry_expires")


@pytest.mark.parametrize(("day", "word", "expected"), DENIALS)
async def test_a_denial_holds_for_every_answer_to_its_ad(ledger, day, word, expected):
    """The ad was never on offer, so another answer to it was none either, even one delivered before that we hear of later."""
    story = Story(ledger, day)
    await story.clicked(h(0))
    first, second = await story.template(h(1), "marketing"), await story.template(h(1), "authentication")
    await first.delivered(h(2), **word)
    settled = await second.delivered(h(1.5), told=h(3))

    assert ("authentication", True) == settled.of("category", "charged")


@pytest.mark.parametrize(("day", "word", "expected"), DENIALS)
async def test_a_denial_holds_for_its_ad_alone(ledger, day, word, expected):
    """The next ad may be clicked on a phone; Meta repeating its word about the first does not touch it."""
    story = Story(ledger, day)
    await story.clicked(h(0))
    sent = await story.template(h(1), "marketing")
    await sent.delivered(h(2), **word)
    await story.clicked(h(3))
    await sent.delivered(h(2), told=h(4), **word)
    again = await story.text(h(5))

    assert OPENS == again.of(*SAYS)


@pytest.mark.parametrize(("day", "word"), [(EARLY, cbp(FEP)), (CBP, cbp(FEP)), (PMP, free_entry()), (NOW, free_entry())])
async def test_an_entry_point_that_nothing_announced(ledger, day, word):
    """A Facebook Page's button leaves no mark on the inbound message: only a status tells, and is believed."""
    story = Story(ledger, day)
    await story.used(1000)
    await story.wrote(h(0))
    sent = await story.text(h(1))
    settled = await sent.delivered(h(1), **word)
    following = await story.template(h(2), "marketing", lands=True)

    assert "opens_free_entry_point" != sent.reason
    assert ("free_entry_point", FEP, False, "0") == settled.of("opened", "category", "charged", "price")
    assert (*INSIDE, "0", "exact") == following.of(*SAYS, "price", "price_bound")
    assert (None, FEP, False) == following.settled.of("opened", "category", "charged")


TOLD = pytest.mark.parametrize(
    "ends",
    [
        pytest.param(h(1 + 168), id="seven days"),
        pytest.param(h(1 + 96), id="four days"),
        pytest.param(h(1 + 72), id="as we thought"),
        pytest.param(h(1 + 24), id="one day"),
        pytest.param(h(3), id="two hours"),
    ],
)


@TOLD
@pytest.mark.parametrize("day", [CBP, PMP, NOW])
@pytest.mark.parametrize("order", ["sent first", "delivered first", "much later"])
async def test_metas_expiry_is_believed(ledger, day, ends, order):
    """`conversation.expiration_timestamp` of the `sent` status decides, longer or shorter, before the delivery or after it."""
    story = Story(ledger, day)
    await story.clicked(h(0))
    sent = await story.text(h(1))
    if order == "sent first":
        await sent.sent(h(1), **free_entry(), ends=ends)
    await sent.delivered(h(1))
    if order != "sent first":
        await sent.sent(h(1), told=h(2.9) if order == "much later" else h(1), **free_entry(), ends=ends)

    assert [True, False] == [await free(story, ends + late) for late in (-1, 0)]


@TOLD
async def test_a_late_delivery_leaves_metas_expiry_alone(ledger, ends):
    """Of two answers the first one opened it, though we hear of that after the second; Meta told its end, and that stays."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    first, second = [await story.text(h(1)) for _ in range(2)]
    for each in (first, second):
        await each.sent(h(1), **free_entry(), ends=ends)
    await second.delivered(h(2))
    await first.delivered(h(1), told=h(2.5))

    assert [True, False] == [await free(story, ends + late) for late in (-1, 0)]


@pytest.mark.parametrize(("day", "opened"), [(CBP, "marketing"), (PMP, None), (NOW, None)])
async def test_a_delivery_from_before_the_ad_was_not_inside(ledger, day, opened):
    """What reached the user before the ad was clicked is charged, though we hear of it after the entry point opened."""
    story = Story(ledger, day)
    before = await story.template(h(-2), "marketing")
    await story.clicked(h(0))
    answer = await story.text(h(1))
    await answer.delivered(h(2))
    settled = await before.delivered(h(-1), told=h(3))

    assert (opened, "marketing", True, "0.1365") == settled.of("opened", "category", "charged", "price")
    assert [True, False] == [await free(story, h(74) + late) for late in (-1, 0)]


async def test_a_second_click_leaves_the_first_ones_answer_alone(ledger):
    """The answer reached the user while the first ad was on offer, though we hear of that after the second click."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    sent = await story.template(h(1), "marketing")
    await story.clicked(h(3))
    settled = await sent.delivered(h(2), told=h(4))

    assert ("free_entry_point", FEP, False) == settled.of("opened", "category", "charged")


async def test_meta_repeats_an_expiry(ledger):
    """Every message inside carries the same expiry, and an older status never overrules a newer one."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    first = await story.text(h(1))
    await first.sent(h(1), **free_entry(), ends=h(100))
    await first.delivered(h(1))
    second = await story.text(h(2))
    await second.sent(h(2), **free_entry(), ends=h(120))
    await first.sent(h(1), told=h(3), **free_entry(), ends=h(100))

    assert [True, False] == [await free(story, h(120) + late) for late in (-1, 0)]


async def test_an_expiry_does_not_confirm(ledger):
    """What is only sent may still fail: inside it the price stays a bound, and a failure takes it back."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    first = await story.template(h(1), "marketing")
    await first.sent(h(1), **free_entry(), ends=h(169))
    expected = await story.template(h(2), "marketing")
    await first.failed(h(3))
    following = await story.template(h(4), "marketing")

    assert (*INSIDE, "0.1365", "at-most") == expected.of(*SAYS, "price", "price_bound")
    assert OPENS == following.of(*SAYS)


async def test_an_expiry_that_has_passed_opens_nothing(ledger):
    """An answer that reaches the user after the entry point's own end was free, but nothing is open after it."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    sent = await story.template(h(1), "marketing")
    await sent.sent(h(1), **free_entry(), ends=h(73))
    settled = await sent.delivered(h(80))
    following = await story.template(h(81), "marketing")

    assert (FEP, False) == settled.of("category", "charged")
    assert ("marketing", True, "exact") == following.of("category", "charged", "price_bound")


async def test_the_expiry_of_a_failed_answer_is_forgotten(ledger):
    """The answer that is delivered opens an entry point of its own, for as long as any."""
    story = Story(ledger, NOW)
    await story.clicked(h(0))
    first = await story.template(h(1), "marketing")
    await first.sent(h(1), **free_entry(), ends=h(10))
    await first.failed(h(2))
    second = await story.template(h(3), "marketing", lands=True)

    assert "free_entry_point" == second.settled.opened
    assert [True, False] == [await free(story, h(3 + 72) + late) for late in (-1, 0)]


@pytest.mark.parametrize("day", ["2026-09-27", "2026-09-28", "2026-10-13"])
async def test_72_hours_are_the_safe_assumption(ledger, day):
    """Since 2026-09-28 it may last up to seven days, but what shortens it is not documented: only Meta's word lengthens it."""
    story = Story(ledger, day)
    await opened(story)

    assert [True, False] == [await free(story, h(73) + late) for late in (-1, 0)]


@pytest.mark.parametrize("day", [CBP, PMP])
async def test_a_late_word_about_the_ad_changes_nothing_twice(ledger, day):
    """Meta repeats the user's message: an ad that was answered is not on offer again."""
    story = Story(ledger, day)
    await story.clicked(h(0), id="wamid.ad")
    first = await story.text(h(1), lands=True)
    await first.sent(h(1), **free_entry(), ends=h(2))
    await story.clicked(h(0), told=h(3), id="wamid.ad")
    following = await story.template(h(4), "marketing")

    assert ("marketing", True) == following.of("category", "charged")
