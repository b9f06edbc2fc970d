"""
Who a user is: the many spellings of one phone number, and the business-scoped ids beside them.

Sources: Meta, "Send messages", copy of 2025-11-04; "Business-scoped user IDs", copy of 2026-02-06. That Argentina's 9 comes and goes,
and which Brazilian numbers lack theirs, is known from integrators (Vocero and Chatwoot issues of 2026; Zoho's help page).
"""

from __future__ import annotations

import pytest
from story import USER, Story, h

DAY = "2026-10-13"
BSUID, PARENT = "DE.13491208655302741918", "DE.ENT.11815799212886844830"
SAME = [
    pytest.param("16315551234", "+1 (631) 555-1234", id="punctuation"),
    pytest.param("16315551234", "1-631-555-1234", id="hyphens"),
    pytest.param("16315551234", "16315551234", id="digits"),
    pytest.param("5215512345678", "+525512345678", id="Mexico: 521 and 52"),
    pytest.param("525512345678", "+5215512345678", id="Mexico: 52 and 521"),
    pytest.param("5491158749895", "541158749895", id="Argentina: 549 and 54"),
    pytest.param("541158749895", "5491158749895", id="Argentina: 54 and 549"),
    pytest.param("554188887777", "+5541988887777", id="Brazil: without and with the ninth digit"),
    pytest.param("5541988887777", "+554188887777", id="Brazil: with and without the ninth digit"),
    pytest.param("554167771234", "5541967771234", id="Brazil: a mobile that begins with 6"),
]
DIFFERENT = [
    pytest.param("554133334444", "5541933334444", id="Brazil: a landline has no ninth digit"),
    pytest.param("16315551234", "16315551235", id="another number"),
    pytest.param("525512345678", "5255123456789", id="Mexico: one digit more"),
    pytest.param("4915112345678", "49915112345678", id="Germany has no twin"),
    pytest.param("US.13491208655302741918", "US.13491208655302741919", id="another id"),
]


@pytest.fixture
def story(ledger) -> Story:
    return Story(ledger, DAY)


async def hears(story: Story, at: int, name: str) -> None:
    """The user writes under *name*."""
    await (story.wrote(at, **{"from": None, "from_user_id": name}) if "." in name else story.wrote(at, name))


async def reaches(story: Story, at: int, name: str) -> bool:
    """Whether a text to *name* finds the window open."""
    sent = await (story.text(at, None, body={"recipient": name}) if "." in name else story.text(at, name))
    return sent.blocked is None


@pytest.mark.parametrize(("wrote", "to"), SAME)
async def test_spellings_of_one_user(story, wrote, to):
    """What the user wrote under one spelling opens the window for the others."""
    await hears(story, h(0), wrote)

    assert await reaches(story, h(1), to)


@pytest.mark.parametrize(("wrote", "to"), DIFFERENT)
async def test_names_of_two_users(story, wrote, to):
    """What looks alike is not the same."""
    await hears(story, h(0), wrote)

    assert not await reaches(story, h(1), to)


@pytest.mark.parametrize(("wrote", "to"), SAME)
async def test_statuses_find_their_user_under_any_spelling(story, wrote, to):
    """The status calls the recipient by `wa_id`, the send by what was dialled."""
    await story.used(1000)
    await hears(story, h(0), wrote)
    sent = await story.text(h(1), to)
    settled = await sent.delivered(h(2), recipient_id=wrote)

    assert (True, True) == settled.of("delivered", "charged")


@pytest.mark.parametrize("first", [USER, BSUID])
@pytest.mark.parametrize("then", [USER, BSUID])
async def test_a_phone_number_and_a_bsuid_are_one_user(story, first, then):
    """An inbound message with both names links them: either reaches the window."""
    await story.wrote(h(0), USER, from_user_id=BSUID)
    await hears(story, h(20), first)

    assert await reaches(story, h(43), then)


@pytest.mark.parametrize(("opened", "named"), [(BSUID, USER), (USER, BSUID)])
async def test_names_that_are_learned_later_join_what_was_known(story, opened, named):
    """A window that was opened under one name is open under the other as soon as they are known to be one user."""
    await hears(story, h(0), opened)
    before = await reaches(story, h(1), named)
    sent = await story.template(h(2), to=USER)
    await sent.delivered(h(2), recipient_user_id=BSUID)

    assert [False, True, True] == [before, await reaches(story, h(3), named), await reaches(story, h(3), opened)]


async def test_clocks_join_by_the_later_of_each(story):
    """Two threads that turn out to be one have the later window."""
    await hears(story, h(0), USER)
    await hears(story, h(5), BSUID)
    await story.template(h(6), to=USER, contact={"wa_id": USER, "user_id": BSUID})

    assert [True, False] == [await reaches(story, h(29) - 1, USER), await reaches(story, h(29), USER)]


async def test_the_answer_to_a_send_tells_names(ledger):
    """`contacts[].input` is what was dialled, `wa_id` and `user_id` are who it is."""
    story = Story(ledger, "2025-09-09")
    await story.template(h(0), to="+5541988887777", contact={"wa_id": "554188887777"}, lands=True)
    await story.wrote(h(1), "554188887777")

    assert await reaches(story, h(2), "+5541988887777")


async def test_an_answer_to_a_bsuid_tells_the_number(story):
    """A send by BSUID is answered with both names where Meta knows both."""
    await story.wrote(h(0), USER)
    before = await reaches(story, h(1), BSUID)
    await story.template(h(2), to=None, body={"recipient": BSUID}, contact={"wa_id": USER, "user_id": BSUID})

    assert [False, True] == [before, await reaches(story, h(3), BSUID)]


async def test_a_parent_bsuid_is_a_name_too(story):
    """Linked portfolios share a parent id."""
    await story.wrote(h(0), USER, from_user_id=BSUID, from_parent_user_id=PARENT)

    assert await reaches(story, h(1), PARENT)


async def test_the_case_of_a_bsuids_country_does_not_matter(story):
    """Two letters and a dot, then what Meta made up."""
    await hears(story, h(0), BSUID)

    assert [True, False] == [await reaches(story, h(1), "de" + BSUID[2:]), await reaches(story, h(1), BSUID[:-1])]


async def test_to_wins_over_recipient(story):
    """Where both are given Meta sends to `to`."""
    await story.wrote(h(0), USER)
    both = await story.text(h(1), USER, body={"recipient": "US.99999999999999999999"})
    other = await story.text(h(1), "4915100000009", body={"recipient": "US.99999999999999999999"})

    assert (None, 131047) == (both.blocked, other.blocked)


async def test_a_conversation_is_the_users_whatever_the_name(ledger):
    """A conversation that was opened under one name covers a send to another."""
    story = Story(ledger, "2023-09-05")
    await story.wrote(h(0), "5215512345678")
    await story.template(h(1), to="525512345678", lands=True)
    sent = await story.template(h(2), to="+52 1 55 1234 5678")

    assert "inside_open_conversation" == sent.reason


async def test_one_in_flight_moves_with_its_thread(ledger):
    """The names are linked by the answer, while the message is on its way."""
    story = Story(ledger, "2023-09-05")
    sent = await story.template(h(0), to=None, body={"recipient": BSUID}, contact={"wa_id": USER, "user_id": BSUID})
    behind = await story.template(h(1), to=USER)
    settled = [await each.delivered(h(2)) for each in (sent, behind)]

    assert ("inside_open_conversation", "at-most") == behind.of("reason", "price_bound")
    assert ["utility", None] == [each.opened for each in settled]


@pytest.mark.parametrize(
    ("to", "market"),
    [
        ("US.13491208655302741918", "North America"),
        ("IN.13491208655302741918", "India"),
        ("DE.ENT.13491208655302741918", "Germany"),
        ("18091234567", "Rest of Latin America"),
        ("18761234567", "Rest of Latin America"),
        ("17871234567", "Rest of Latin America"),
        ("14161234567", "North America"),
        ("79161234567", "Russia"),
        ("77011234567", "Kazakhstan"),
        ("35212345678", "Other"),
    ],
)
async def test_the_market_is_that_of_the_recipients_country(story, to, market):
    """By calling code and network prefix, or by the two letters of a BSUID ("Pricing", country calling codes, 2025-11 and 2026-07)."""
    body = {"recipient": to} if "." in to else {}
    sent = await story.template(h(0), to=None if body else to, body=body)

    assert market == sent.market


async def test_a_user_is_priced_by_the_number_that_meta_bills(story):
    """The number in Meta's answer counts, not the one dialled."""
    first = await story.template(h(0), "marketing", "919812345678", contact={"wa_id": "4915112345678"})
    settled = await first.delivered(h(1), recipient_id="4915112345678")
    second = await story.template(h(2), "marketing", "919812345678")

    assert ("0.0118", "0.1365", "0.1365") == (first.price, settled.price, second.price)


async def test_a_changed_number_takes_nothing_along(story):
    """Whether windows survive a change of number is not documented, so they do not."""
    await story.wrote(h(0), USER)
    system = {"type": "user_changed_number", "body": "changed", "wa_id": "4915100000000"}
    await story.wrote(h(1), USER, type="system", system=system)

    assert [True, False] == [await reaches(story, h(2), USER), await reaches(story, h(2), "4915100000000")]
