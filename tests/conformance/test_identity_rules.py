"""
Who a user is: the many spellings of one phone number, and the business-scoped ids beside them.

Sources: Meta, "Send messages", copy of 2025-11-04; "Business-scoped user IDs", copy of 2026-02-06; its changelog of 2026-08-11. That
Argentina's 9 comes and goes, and which Brazilian numbers lack theirs, is known from integrators (Vocero and Chatwoot issues of 2026;
Zoho's help page).
"""

from __future__ import annotations

import pytest
from story import GROUP, MINUTE, USER, Story, h, pmp

from gatekeeper.meta.sends import MalformedSend

DAY = "2026-10-13"
BSUID, PARENT = "DE.13491208655302741918", "DE.ENT.11815799212886844830"
OTHER, OTHER_PARENT, OTHER_NUMBER = "DE.24817305912873645029", "DE.ENT.98765432109876543210", "4915100000000"
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
    pytest.param("22501234567", "+225 01 01 23 45 67", id="Ivory Coast: old and new form, Moov"),
    pytest.param("22505123456", "+2250505123456", id="Ivory Coast: old and new form, MTN"),
    pytest.param("22507123456", "2250707123456", id="Ivory Coast: old and new form, Orange"),
    pytest.param("2250748123456", "+225 48 12 34 56", id="Ivory Coast: new and old form"),
    pytest.param("22997123456", "+229 01 97 12 34 56", id="Benin: old and new form"),
    pytest.param("2290161123456", "22961123456", id="Benin: new and old form"),
]
DIFFERENT = [
    pytest.param("554133334444", "5541933334444", id="Brazil: a landline has no ninth digit"),
    pytest.param("5541933334444", "554133334444", id="Brazil: a mobile is no landline"),
    pytest.param("554152223333", "5541952223333", id="Brazil: a landline that begins with 5"),
    pytest.param("541143334444", "5411433344445", id="Argentina: one digit more"),
    pytest.param("54911433344", "5411433344", id="Argentina: two digits less"),
    pytest.param("525543334444", "525543334445", id="Mexico: another landline"),
    pytest.param("16315551234", "16315551235", id="another number"),
    pytest.param("525512345678", "5255123456789", id="Mexico: one digit more"),
    pytest.param("4915112345678", "49915112345678", id="Germany has no twin"),
    pytest.param("2250101234567", "2250701234567", id="Ivory Coast: another network's number"),
    pytest.param("22507123456", "2250507123456", id="Ivory Coast: a new number of another network"),
    pytest.param("22520123456", "2250120123456", id="Ivory Coast: what was a landline"),
    pytest.param("22997123456", "2290297123456", id="Benin: another prefix"),
    pytest.param("22897123456", "2280197123456", id="Togo was not renumbered"),
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


async def test_the_number_that_meta_bills_for_an_id_is_remembered(story):
    """Once a number was heard of with it, a send to a BSUID is priced by that; and so is what is settled without a number."""
    await story.wrote(h(0), "919812345678", from_user_id=BSUID)
    sent = await story.template(h(1), "marketing", to=None, body={"recipient": BSUID})
    settled = await sent.delivered(h(2))

    assert ("India", "0.0118") == sent.of("market", "price")
    assert "0.0118" == settled.price


# ------------------------------------------------------------------------------------------------------ who says what


async def test_a_bsuid_under_to_is_refused(story):
    """Meta answers it with a message id and sends nothing (Chatwoot, pull request 15150, 2026-07-24)."""
    with pytest.raises(MalformedSend) as refused:
        await story.text(h(0), BSUID)

    assert (131009, "recipient") == (refused.value.code, refused.value.details.split()[-1].strip("."))


@pytest.mark.parametrize("claimed", [BSUID, "de" + BSUID[2:], PARENT])
async def test_what_the_caller_claims_is_not_learned(story, claimed):
    """Where a number and an id are given Meta sends to the number and repeats the id in its answer: nobody said that they are one."""
    await story.wrote(h(0), USER)
    contact = {"wa_id": USER, "user_id": BSUID if claimed != PARENT else PARENT}
    await story.text(h(1), USER, body={"recipient": claimed}, contact=contact)
    before = await reaches(story, h(2), claimed)
    sent = await story.template(h(3), to=USER)
    await sent.delivered(h(3), recipient_user_id=BSUID, parent_recipient_user_id=PARENT)

    assert [False, True] == [before, await reaches(story, h(4), claimed)]


async def test_what_became_of_a_message_to_a_parent_id_names_the_user(story):
    """`recipient_user_id` is the parent then, and the contact beside it has both ids."""
    sent = await story.template(h(0), to=None, body={"recipient": PARENT})
    item = sent.item("delivered", h(0)) | {"parent_recipient_user_id": PARENT}
    contacts = [{"profile": {"name": "Ann"}, "wa_id": USER, "user_id": BSUID, "parent_user_id": PARENT}]
    await story.webhook(h(0), "messages", {"statuses": [item], "contacts": contacts})
    await hears(story, h(1), BSUID)

    assert [True, True, True] == [await reaches(story, h(2), name) for name in (BSUID, PARENT, USER)]


async def test_a_status_that_overtakes_its_answer_names_the_user(story):
    """It waits for its message to be known; whom it names is known at once, and the message settles where its thread went."""
    await story.used(1000)
    await hears(story, h(0), BSUID)
    sent = await story.template(h(1), to=USER, answered=False)
    early = await sent.delivered(h(1), recipient_user_id=BSUID)
    reached = await reaches(story, h(2), USER)
    settled = await sent.answered(h(3), wa_id=USER)

    assert early is None
    assert reached
    assert [True] == [each.delivered for each in settled]


async def test_a_call_names_its_user(story):
    """Parent id and all."""
    await story.called(h(0), from_user_id=BSUID, from_parent_user_id=PARENT)

    assert [True, True, True] == [await reaches(story, h(1), name) for name in (USER, BSUID, PARENT)]


@pytest.mark.parametrize("stopped", [USER, BSUID, PARENT])
@pytest.mark.parametrize("known", ["before", "after"])
async def test_an_opt_out_is_the_users_whatever_the_name(story, stopped, known):
    """Under whichever name it was said, and whenever the names become known; a `resume` under another one lifts it."""

    async def refused(at):
        bodies = [(USER, {}), (None, {"recipient": BSUID}), (None, {"recipient": PARENT})]
        return [(await story.template(at, "marketing", to, body=body)).blocked for to, body in bodies]

    async def introduce(at):
        await story.wrote(at, USER, from_user_id=BSUID, from_parent_user_id=PARENT)

    names = {"wa_id": None} | {("wa_id" if stopped == USER else "user_id" if stopped == BSUID else "parent_user_id"): stopped}
    if known == "before":
        await introduce(h(0))
    await story.prefers(h(1), "stop", **names)
    if known == "after":
        await introduce(h(2))
    stopped_for = await refused(h(3))
    await story.prefers(h(4), "resume", wa_id=USER, user_id=BSUID)

    assert [131050] * 3 == stopped_for
    assert [None] * 3 == await refused(h(5))


async def test_an_opt_out_is_found_under_every_name_as_long_as_it_lasts(story, redis):
    """A name leads to a thread for as long as something is known of it."""
    await story.prefers(h(0), "stop", USER, user_id=BSUID)
    lives = {key: redis.pttl(key) // h(24) for key in redis.scan_iter("*:thread:*")}

    assert 2 == len(lives)
    assert min(lives.values()) >= 3649


# ------------------------------------------------------------------------------------------------ who takes new names


async def changed(story: Story, at: int, kind: str, **system: str) -> None:
    """WhatsApp says that the user has other names."""
    member = {"from": system.pop("sender", None), "system": {"type": kind, "body": "changed", **system}}
    await story.wrote(at, USER, type="system", **member)


def number_changed(**system: str) -> tuple[str, dict[str, str]]:
    return "user_changed_number", {"sender": USER, "wa_id": OTHER_NUMBER, "user_id": OTHER, "previous_user_id": BSUID, **system}


RENAMED = [
    pytest.param("user_changed_number", {"sender": USER, "wa_id": OTHER_NUMBER}, [OTHER_NUMBER], id="number"),
    pytest.param(*number_changed(), [OTHER_NUMBER, OTHER], id="number and id"),
    pytest.param(
        *number_changed(parent_user_id=OTHER_PARENT, previous_parent_user_id=PARENT),
        [OTHER_NUMBER, OTHER, OTHER_PARENT],
        id="number, id and parent",
    ),
    pytest.param("user_changed_user_id", {"user_id": OTHER, "previous_user_id": BSUID}, [OTHER], id="id alone"),
    pytest.param("user_changed_user_id", {"user_id": OTHER, "sender": USER}, [OTHER], id="id, without the old one"),
    pytest.param(
        "customer_changed_number", {"customer": USER, "new_wa_id": OTHER_NUMBER}, [OTHER_NUMBER], id="number, before v12"
    ),
]


@pytest.mark.parametrize(("kind", "system", "new"), RENAMED)
async def test_a_user_with_new_names_keeps_no_window(story, kind, system, new):
    """A new number brings a new BSUID. Whether windows outlive that is not documented, so the new names begin with none."""
    await story.wrote(h(0), USER, from_user_id=BSUID, from_parent_user_id=PARENT)
    await changed(story, h(1), kind, **system)

    assert [False] * len(new) == [await reaches(story, h(2), name) for name in new]
    assert [True, True] == [await reaches(story, h(2), name) for name in (USER, BSUID)]


@pytest.mark.parametrize(("kind", "system", "new"), RENAMED)
@pytest.mark.parametrize("stopped", [USER, BSUID])
async def test_a_user_with_new_names_has_still_stopped_marketing(story, kind, system, new, stopped):
    """That is the person's wish, not the number's; what they say under a new name counts from then on."""
    await story.wrote(h(0), USER, from_user_id=BSUID, from_parent_user_id=PARENT)
    await story.prefers(h(1), "stop", **{"wa_id": None, ("user_id" if stopped == BSUID else "wa_id"): stopped})
    await changed(story, h(2), kind, **system)
    bodies = [{"to": None, "body": {"recipient": name}} if "." in name else {"to": name} for name in new]
    stopped = [(await story.template(h(3), "marketing", **body)).blocked for body in bodies]
    await story.prefers(h(4), "resume", None, **{"user_id" if "." in new[0] else "wa_id": new[0]})
    resumed = [(await story.template(h(5), "marketing", **body)).blocked for body in bodies]
    old = await story.template(h(5), "marketing", USER)

    assert [131050] * len(new) == stopped
    assert [None] * len(new) == resumed
    assert 131050 == old.blocked


async def test_old_names_that_are_told_only_now_are_one_user(story):
    """The news of a change names the old number and the old id: what was said under either goes along."""
    await story.prefers(h(0), "stop", USER)
    kind, system = number_changed()
    await changed(story, h(1), kind, **system)
    sent = [await story.template(h(2), "marketing", None, body={"recipient": name}) for name in (BSUID, OTHER)]

    assert [131050, 131050] == [each.blocked for each in sent]


@pytest.mark.parametrize(("kind", "system", "new"), RENAMED[1:3])
async def test_new_names_are_one_user(story, kind, system, new):
    """What is written under one of them opens the window of the others."""
    await changed(story, h(1), kind, **system)
    await hears(story, h(2), new[0])

    assert [True] * len(new) == [await reaches(story, h(3), name) for name in new]


async def test_news_of_another_id_names_the_number_of_now(story):
    """`user_id_update` names the number of now beside both ids; it is the new id's from then on, and takes nothing of the old one along."""
    await story.wrote(h(0), USER, from_user_id=BSUID)
    update = {"wa_id": USER, "user_id": {"previous": BSUID, "current": OTHER}, "timestamp": str(story.unix(h(1)))}
    await story.webhook(h(1), "user_id_update", {"user_id_update": [update]})
    before = [await reaches(story, h(2), name) for name in (BSUID, USER, OTHER)]
    await hears(story, h(3), OTHER)

    assert [True, False, False] == before
    assert await reaches(story, h(4), USER)


async def test_a_changed_identity_changes_no_name(story):
    """`user_identity_changed` is about the user's phone: the names are the same, and so is all that is known under them."""
    await story.wrote(h(0), USER)
    await changed(story, h(1), "user_identity_changed", sender=USER, identity="a1b2")

    assert await reaches(story, h(2), USER)


# -------------------------------------------------------------------------------------------- a number that changes hands


async def test_a_number_that_is_somebody_elses_takes_nothing_along(story):
    """Numbers are given out again. A new BSUID says so: the other user has no window here, and did not stop marketing."""
    await story.wrote(h(0), USER, from_user_id=BSUID)
    await story.prefers(h(1), "stop", USER)
    first = await story.template(h(2), to=USER)
    await first.delivered(h(3), recipient_user_id=OTHER)
    window, marketing = await reaches(story, h(4), USER), await story.template(h(4), "marketing", USER)
    old = [await reaches(story, h(4), BSUID), (await story.template(h(4), "marketing", None, body={"recipient": BSUID})).blocked]

    assert (False, None) == (window, marketing.blocked)
    assert [True, 131050] == old


async def test_a_late_word_does_not_give_a_number_back(story):
    """Meta repeats webhooks for days: what is said of whose a number is counts by when it was true."""
    await story.wrote(h(10), USER, from_user_id=OTHER)
    await story.wrote(h(0), USER, told=h(11), from_user_id=BSUID)

    assert [False, True] == [await reaches(story, h(24), name) for name in (BSUID, USER)]


async def test_a_message_settles_with_the_user_that_it_was_sent_to(ledger):
    """Its number has become somebody else's before the delivery is heard of: what it opened is not theirs."""
    story = Story(ledger, "2023-09-05")
    await story.wrote(h(0), USER, from_user_id=BSUID)
    sent = await story.template(h(1), to=USER)
    await story.wrote(h(3), USER, from_user_id=OTHER)
    settled = await sent.delivered(h(2), told=h(4), recipient_id=None)
    following = [
        await story.template(h(5), to=USER),
        await story.template(h(5), to=None, body={"recipient": BSUID}),
    ]

    assert "utility" == settled.opened
    assert ["opens_conversation", "inside_open_conversation"] == [each.reason for each in following]


async def test_metas_word_on_a_message_is_of_the_user_that_it_was_sent_to(story):
    """It denies that the first user's ad counts; the second user, to whom the number belongs by now, came through another one."""
    await story.clicked(h(0), USER, from_user_id=BSUID)
    sent = await story.template(h(1), "marketing", USER)
    await story.clicked(h(1), USER, from_user_id=OTHER)
    await sent.delivered(h(1) + MINUTE, recipient_id=None, **pmp("marketing"))
    following = [
        await story.template(h(2), "marketing", to=USER),
        await story.template(h(2), "marketing", to=None, body={"recipient": BSUID}),
    ]

    assert ["opens_free_entry_point", "charged_message"] == [each.reason for each in following]


# --------------------------------------------------------------------------------------------------------------- groups


async def test_a_group_is_nobodys_name(story):
    """A member's names are linked to each other and never to the group."""
    await story.wrote(h(0), USER, from_user_id=BSUID, group_id=GROUP)
    sent = await story.group_text(h(1), contact={"wa_id": USER, "user_id": BSUID})
    await sent.reached(h(1), [USER], recipient_participant_user_id=BSUID)
    alone = [await reaches(story, h(2), name) for name in (USER, BSUID)]
    await hears(story, h(3), BSUID)

    assert [False, False] == alone
    assert await reaches(story, h(4), USER)
    assert 131047 == (await story.group_text(h(25), GROUP)).blocked
