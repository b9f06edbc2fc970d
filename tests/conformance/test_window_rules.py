"""
The customer service window: what opens it, for how long, and what it permits.

Sources: Meta, "Send messages", copies of 2025-11-04 and 2026-05-21; "Text messages" and other webhooks, copies of 2025-10 and 2025-11;
"Calling pricing", copy of 2025-12-11; "Error codes", copy of 2025-12-12.
"""

from __future__ import annotations

import itertools

import pytest
from story import GROUP, ONE, OTHER_USER, OWN_NUMBER, TWO, USER, Story, h, message

from gatekeeper.core.vocabulary import Mode
from gatekeeper.settings import Policy

DAY = "2025-09-09"
CLOSED = ("block", "outside_customer_service_window", 131047)
REGIMES = ["2022-04-05", "2023-09-05", "2025-01-14", "2025-09-09", "2026-10-13"]
MEDIA = {"id": "1013859600285441"}
FREE_FORM = {
    "text": {"body": "Hello"},
    "image": MEDIA,
    "video": MEDIA,
    "audio": {"id": "1", "voice": True},
    "document": {"link": "https://example.com/a.pdf", "filename": "a.pdf"},
    "sticker": MEDIA,
    "location": {"latitude": 37.4, "longitude": -122.1},
    "contacts": [{"name": {"formatted_name": "Ann"}}],
    "interactive": {"type": "button", "body": {"text": "Sure?"}, "action": {"buttons": []}},
    "reaction": {"message_id": "wamid.in", "emoji": "\U0001f44d"},
    "hologram": {"id": "a type of the future"},
}


@pytest.fixture
def story(ledger) -> Story:
    return Story(ledger, DAY)


async def is_open(story: Story, at: int, to: str = USER, **how) -> bool:
    return not (await story.text(at, to, **how)).blocked


# ---------------------------------------------------------------------------------------------------------- what it permits


@pytest.mark.parametrize("day", REGIMES)
@pytest.mark.parametrize("kind", FREE_FORM)
async def test_free_form_needs_an_open_window(ledger, day, kind):
    """Any type while it is open, only templates while it is closed; a reaction is treated the same, though Meta does not say."""
    story = Story(ledger, day)
    body = message(USER, kind, FREE_FORM[kind])
    before = await story.send(h(0), body)
    await story.wrote(h(1))
    inside = await story.send(h(2), body)

    assert CLOSED == before.of("verdict", "reason", "error_code")
    assert (None, None, False, None) == before.of("category", "opens", "charged", "price")
    assert ("allow", None) == inside.of("verdict", "error_code")


@pytest.mark.parametrize("day", REGIMES)
@pytest.mark.parametrize("name", ["marketing", "utility", "authentication"])
async def test_templates_need_no_window(ledger, day, name):
    """They are what a business may begin with."""
    sent = await Story(ledger, day).template(h(0), name)

    assert ("allow", None) == sent.of("verdict", "error_code")


# ------------------------------------------------------------------------------------------------------------- how long it lasts


@pytest.mark.parametrize("day", REGIMES)
@pytest.mark.parametrize(
    ("at", "inside"),
    [
        pytest.param(h(0), True, id="at once"),
        pytest.param(h(24) - 1, True, id="in the last millisecond"),
        pytest.param(h(24), False, id="after 24 hours"),
        pytest.param(h(24) + 1, False, id="a millisecond later"),
    ],
)
async def test_it_lasts_24_hours(ledger, day, at, inside):
    """A 24-hour timer starts when a user writes; a window is half-open."""
    story = Story(ledger, day)
    await story.wrote(h(0))
    sent = await story.text(at)

    assert inside == (sent.blocked is None)
    assert (story.unix(h(24)) if inside else None) == sent.window_expires


@pytest.mark.parametrize(("at", "inside"), [(h(34) - 1, True), (h(34), False)])
async def test_the_timer_is_reset_by_the_last_message(story, at, inside):
    """It counts from the last message of the user, not from the first."""
    for wrote in (0, 5, 10):
        await story.wrote(h(wrote))

    assert inside == await is_open(story, at)


async def test_a_window_opens_again(story):
    """A message after the end opens it anew."""
    await story.wrote(h(0))
    shut = await is_open(story, h(24))
    await story.wrote(h(30))

    assert [False, True, False] == [shut, await is_open(story, h(54) - 1), await is_open(story, h(54))]


async def test_it_counts_from_the_time_of_the_message(story):
    """Webhooks come late: the message's own timestamp counts, not when we hear of it."""
    await story.wrote(h(0), told=h(10))

    assert [True, False] == [await is_open(story, h(24) - 1), await is_open(story, h(24))]


@pytest.mark.parametrize("order", list(itertools.permutations((2, 6, 10))), ids=str)
async def test_the_order_of_webhooks_does_not_matter(story, order):
    """The latest message counts, in whatever order Meta tells of them; an old one never shortens the window."""
    for n, wrote in enumerate(order):
        await story.wrote(h(wrote), told=h(11 + n))

    assert [True, False] == [await is_open(story, h(34) - 1), await is_open(story, h(34))]


async def test_a_repeated_webhook_does_not_lengthen_it(story):
    """Meta repeats webhooks for up to seven days."""
    for told in (0, 10, 23):
        await story.wrote(h(0), told=h(told), id="wamid.same")

    assert [True, False] == [await is_open(story, h(24) - 1), await is_open(story, h(24))]


async def test_a_webhook_that_comes_when_the_window_is_over_opens_nothing(story):
    """A day late is too late."""
    await story.wrote(h(0), told=h(25))

    assert not await is_open(story, h(25))


async def test_a_message_from_before_all_regimes_harms_no_neighbour(story):
    """A payload may hold anything: a message with an old timestamp opens nothing, and what comes with it counts."""
    messages = [story.message(story.day("2021-05-04"), OTHER_USER), story.message(h(0))]
    await story.webhook(h(0), "messages", {"messages": messages})

    assert [False, True] == [await is_open(story, h(1), OTHER_USER), await is_open(story, h(1))]


async def test_a_batch_is_heard_to_its_end(story):
    """Up to a thousand updates come in one webhook, of any users and kinds."""
    users = [f"491511000{n:04d}" for n in range(100)]
    contacts = [{"profile": {"name": "Ann"}, "wa_id": user} for user in users]
    messages = [story.message(h(0), user) for user in users]
    await story.webhook(h(0), "messages", {"contacts": contacts, "messages": messages})

    assert [True] * 100 == [await is_open(story, h(1), user) for user in users]


# ---------------------------------------------------------------------------------------------------------------- what opens it


@pytest.mark.parametrize(
    ("kind", "opens"),
    [
        *((kind, True) for kind in ("text", "image", "video", "audio", "voice", "document", "sticker", "location", "contacts")),
        *((kind, True) for kind in ("button", "interactive", "order", "request_welcome", "unsupported", "hologram")),
        *((kind, False) for kind in ("reaction", "system", "edit", "revoke")),
    ],
)
async def test_which_messages_open_it(story, kind, opens):
    """Whatever a user sends; not what changes an old message, what WhatsApp says of the user, or a reaction."""
    more = {"system": {"type": "user_changed_number", "body": "changed", "wa_id": "4915100000000"}} if kind == "system" else {}
    await story.wrote(h(0), type=kind, **more)

    assert opens == await is_open(story, h(1))


@pytest.mark.parametrize("opens", [True, False])
async def test_whether_a_reaction_opens_it_is_a_setting(ledger, opens):
    """Meta does not say; a wrong "open" costs a failed send, a wrong "closed" a template."""
    story = Story(ledger, DAY, policy=Policy(reaction_opens_window=opens))
    await story.wrote(h(0), type="reaction")

    assert opens == await is_open(story, h(1))


@pytest.mark.parametrize("word", ["sent", "delivered", "read", "played", "failed"])
async def test_nothing_that_the_business_does_opens_it(story, word):
    """Templates, their deliveries and their reading open nothing."""
    sent = await story.template(h(0))
    await sent.status(word, h(1))

    assert not await is_open(story, h(2))


async def test_nothing_that_the_business_does_lengthens_it(story):
    """Our own messages do not move its end."""
    await story.wrote(h(0))
    await (await story.text(h(23), lands=True)).read(h(23.5))

    assert [True, False] == [await is_open(story, h(24) - 1), await is_open(story, h(24))]


async def test_it_belongs_to_one_business_number(story):
    """131047 speaks of the sender number: what a user writes to one of ours opens nothing for another."""
    await story.wrote(h(0))

    assert [True, False] == [await is_open(story, h(1)), await is_open(story, h(1), number=TWO)]


async def test_it_belongs_to_one_user(story):
    """Another user's window is another."""
    await story.wrote(h(0))

    assert [True, False] == [await is_open(story, h(1)), await is_open(story, h(1), OTHER_USER)]


@pytest.mark.parametrize("event", ["connect", "terminate"])
async def test_a_users_call_opens_it(story, event):
    """Whether or not we accept the call, for 24 hours."""
    await story.called(h(0), event=event)

    assert [True, False] == [await is_open(story, h(24) - 1), await is_open(story, h(24))]


async def test_a_users_call_without_a_direction_opens_it(story):
    """Meta leaves the direction out at times; whoever calls our number is the user."""
    await story.called(h(0), direction=None)

    assert await is_open(story, h(1))


@pytest.mark.parametrize("direction", ["BUSINESS_INITIATED", None])
async def test_a_call_of_ours_opens_nothing(story, direction):
    """Our own calls come in the same webhook."""
    await story.called(h(0), direction=direction, **{"from": OWN_NUMBER, "to": USER})

    assert not await is_open(story, h(1))


@pytest.mark.parametrize(("status", "opens"), [("RINGING", False), ("REJECTED", False), ("ACCEPTED", True)])
async def test_a_call_of_ours_that_the_user_takes_opens_it(story, status, opens):
    """Only a user who accepts has answered."""
    await story.took_our_call(h(0), status)

    assert [opens, False] == [await is_open(story, h(24) - 1), await is_open(story, h(24))]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (
            "smb_message_echoes",
            {"message_echoes": [{"from": OWN_NUMBER, "to": USER, "id": "wamid.echo", "timestamp": "1757376000", "type": "text"}]},
        ),
        (
            "history",
            {"history": [{"threads": [{"id": USER, "messages": [{"from": USER, "timestamp": "1757376000", "type": "text"}]}]}]},
        ),
        ("smb_app_state_sync", {"state_sync": [{"type": "contact", "contact": {"phone_number": USER}, "action": "add"}]}),
    ],
)
async def test_what_the_business_app_does_opens_nothing(story, field, value):
    """Coexistence: messages of the WhatsApp Business app, and imported history, neither create nor extend a window."""
    await story.webhook(h(0), field, value)

    assert not await is_open(story, h(1))


async def test_a_message_on_standby_opens_it(story):
    """With Conversation Routing an observer gets `standby` in place of `messages`: the user wrote all the same."""
    await story.wrote(h(0), field="standby")

    assert [True, False] == [await is_open(story, h(24) - 1), await is_open(story, h(24))]


# ------------------------------------------------------------------------------------------------------ echoes of our own number

OWN_SPELLINGS = [OWN_NUMBER, "+1 (555) 078-3881", "1-555-078-3881"]


@pytest.mark.parametrize("field", ["messages", "standby"])
@pytest.mark.parametrize("own", OWN_SPELLINGS)
async def test_an_echo_of_our_own_number_opens_nothing(ledger, own, field):
    """Signed or not, an item whose `from` is the business's own number is an echo: no window, no free entry, no thread moves."""
    story = Story(ledger, "2026-10-13", takes_threads=False)
    await story.clicked(h(0), own, field=field)
    await story.wrote(h(0), own, field=field, group_id=GROUP)
    sends = [await story.text(h(1)), await story.template(h(1), "marketing"), await story.group_text(h(1))]

    assert [131047, None, 131047] == [sent.blocked for sent in sends]
    assert ("charged_message", None) == sends[1].of("reason", "free_entry_expires")


@pytest.mark.parametrize("own", OWN_SPELLINGS)
async def test_an_echo_links_no_names(story, own):
    """Who stands beside it is whom we wrote to: their id is no name of our number, nor of each other."""
    contacts = [{"wa_id": USER, "user_id": "DE.1349"}]
    await story.webhook(h(0), "messages", {"contacts": contacts, "messages": [story.message(h(0), own, from_user_id="DE.1349")]})
    await story.wrote(h(1), USER)

    assert await is_open(story, h(2))
    assert not await is_open(story, h(2), None, body={"recipient": "DE.1349"})


@pytest.mark.parametrize("own", OWN_SPELLINGS)
async def test_an_echo_is_known_by_what_was_heard_of_the_number(story, own):
    """The metadata may lack our number; an earlier webhook had it."""
    value = {"metadata": {"phone_number_id": ONE}, "contacts": [{"wa_id": USER, "user_id": "DE.1349"}]}
    call = {"id": "wacid.x", "from": own, "to": USER, "event": "connect", "timestamp": str(story.unix(h(2)))}
    await story.wrote(h(0), OTHER_USER)
    await story.post(h(1), "messages", {**value, "messages": [story.message(h(1), own)]})
    await story.post(h(2), "calls", {**value, "calls": [call]})
    open_to = [await is_open(story, h(3), USER), await is_open(story, h(3), None, body={"recipient": "DE.1349"})]

    assert [False, False] == open_to


@pytest.mark.parametrize("direction", ["USER_INITIATED", None])
@pytest.mark.parametrize("own", OWN_SPELLINGS)
async def test_a_call_from_our_own_number_opens_nothing(story, own, direction):
    """Whatever is said of its direction."""
    await story.called(h(0), own, to=USER, direction=direction)

    assert not await is_open(story, h(1))


@pytest.mark.parametrize(("source", "opens"), [("automatic", False), ("user_action", True), (None, True)])
async def test_a_permission_to_call_that_no_user_gave_opens_nothing(story, source, opens):
    """WhatsApp gives it by itself after four calls that were not taken (Meta's changelog of 2026-10)."""
    reply = {"response": "accept", "response_source": source}
    await story.wrote(h(0), type="interactive", interactive={"type": "call_permission_reply", "call_permission_reply": reply})

    assert opens == await is_open(story, h(1))


async def test_user_actions_open_nothing(story):
    """They come where messages come, and are none."""
    actions = {"user_actions": [{"from": USER, "timestamp": str(story.unix(h(0)))}]}
    await story.webhook(h(0), "messages", {"contacts": [{"wa_id": USER}], **actions})
    await story.wrote(h(0), type="user_actions")

    assert not await is_open(story, h(1))


# --------------------------------------------------------------------------------------------------------- when Meta disagrees


async def test_a_late_131047_shuts_it(story):
    """Meta accepts a free-form message outside the window and fails it afterwards: then ours was wrong, and is shut."""
    await story.wrote(h(0))
    sent = await story.text(h(1))
    settled = await sent.failed(h(1.1), 131047)
    following = await story.text(h(2))

    assert (False, None, False, "0") == settled.of("delivered", "category", "charged", "price")
    assert (*CLOSED, None) == following.of("verdict", "reason", "error_code", "window_expires")
    assert 1 == story.metrics.registry.get_sample_value("gatekeeper_drift_total", {"kind": "131047"})


@pytest.mark.parametrize(
    ("wrote", "told"), [(1.05, 1.06), (1.05, 1.2), (3, 3)], ids=["before the news", "heard after it", "later"]
)
async def test_what_the_user_wrote_since_the_send_keeps_it_open(story, wrote, told):
    """131047 speaks of the moment of the send."""
    await story.wrote(h(0))
    sent = await story.text(h(1))
    if told < 1.1:
        await story.wrote(h(wrote), told=h(told))
    await sent.failed(h(1.1), 131047)
    if told > 1.1:
        await story.wrote(h(wrote), told=h(told))

    assert [True, False] == [await is_open(story, h(wrote + 24) - 1), await is_open(story, h(wrote + 24))]


async def test_an_old_message_does_not_reopen_what_meta_shut(story):
    """A repeated webhook tells nothing that Meta did not know when it refused."""
    await story.wrote(h(0))
    sent = await story.text(h(2))
    await sent.failed(h(2), 131047)
    await story.wrote(h(0), told=h(3))
    await story.wrote(h(1), told=h(3))

    assert not await is_open(story, h(4))


async def test_a_131047_that_overtakes_the_answer_shuts_it(story):
    """The failure may come before Meta's answer to the send."""
    await story.wrote(h(0))
    sent = await story.text(h(1), answered=False)
    early = await sent.failed(h(1), 131047)
    settled = await sent.answered(h(1))

    assert (None, [False]) == (early, [each.delivered for each in settled])
    assert not await is_open(story, h(2))


@pytest.mark.parametrize("code", [131026, 131049, 131042, 130429])
async def test_other_failures_leave_it_open(story, code):
    """Only 131047 speaks of the window."""
    await story.wrote(h(0))
    await (await story.text(h(1))).failed(h(1), code)

    assert await is_open(story, h(2))


async def test_another_users_131047_shuts_nothing(story):
    """It is about one recipient of one number."""
    await story.wrote(h(0))
    await story.wrote(h(0), OTHER_USER)
    await (await story.text(h(1), OTHER_USER)).failed(h(1), 131047)

    assert [True, False] == [await is_open(story, h(2)), await is_open(story, h(2), OTHER_USER)]


# ------------------------------------------------------------------------------------------------------------ whose thread it is


async def handed_over(story: Story, at: int, kind: str) -> None:
    value = {
        "recipient": {"phone_number_id": ONE},
        "sender": {"phone_number": USER},
        "timestamp": str(story.unix(at)),
        "type": kind,
        kind: {},
    }
    await story.post(at, "messaging_handovers", value)


@pytest.mark.parametrize("takes", [True, False])
async def test_a_thread_that_another_partner_holds(ledger, takes):
    """A service message normally takes the thread over; only an account that may not is refused with 131070 (standby page, 2026-08-04)."""
    story = Story(ledger, "2026-10-13", takes_threads=takes)
    await story.wrote(h(0), field="standby")
    sent = await story.text(h(1))
    template = await story.template(h(1))

    assert (None if takes else 131070) == sent.blocked
    assert takes or "thread_owned_elsewhere" == sent.reason
    assert template.blocked is None


@pytest.mark.parametrize(
    ("back", "blocked"),
    [
        pytest.param("messages", None, id="the user's next message came to us"),
        pytest.param("passed", None, id="control was passed to us"),
        pytest.param("taken", 131070, id="control was taken"),
        pytest.param("lapsed", None, id="ownership lapsed after 24 hours"),
    ],
)
async def test_who_holds_the_thread_now(ledger, back, blocked):
    """The customer's last message says whose thread it is, and so does a handover."""
    story = Story(ledger, "2026-10-13", takes_threads=False)
    await story.wrote(h(0), field="messages" if back == "taken" else "standby")
    await story.called(h(1))
    if back == "messages":
        await story.wrote(h(2))
    elif back in ("passed", "taken"):
        await handed_over(story, h(2), f"control_{back}")
    sent = await story.text(h(24) if back == "lapsed" else h(3))

    assert blocked == sent.blocked


async def test_the_thread_comes_before_the_window(ledger):
    """Of two reasons Meta's first one is said."""
    story = Story(ledger, "2026-10-13", takes_threads=False)
    before = await story.text(h(0))
    await handed_over(story, h(1), "control_taken")
    after = await story.text(h(2))

    assert (131047, 131070) == (before.blocked, after.blocked)


# ------------------------------------------------------------------------------------------------------------------- our own say


async def test_a_refusal_may_be_annotated_only(ledger):
    """In annotate mode what would block goes out, and says why it should not have."""
    story = Story(ledger, DAY, policy=Policy(mode=Mode.ANNOTATE))
    sent = await story.text(h(0))

    assert ("annotate", "outside_customer_service_window", None) == sent.of("verdict", "reason", "error_code")


@pytest.mark.parametrize(
    ("at", "reason", "state"),
    [
        pytest.param(h(24) - 1, "window_unknown", "cold", id="watched for less than a window"),
        pytest.param(h(24), "outside_customer_service_window", "warm", id="watched for a whole one"),
    ],
)
async def test_an_unseen_window_is_unknown_at_first(ledger, at, reason, state):
    """Until a number's webhooks have been watched for 24 hours a window may be open that nobody saw open."""
    story = Story(ledger, DAY, complete=False)
    await story.wrote(h(0), OTHER_USER)
    sent = await story.text(at)

    assert (reason, state) == sent.of("reason", "state")
