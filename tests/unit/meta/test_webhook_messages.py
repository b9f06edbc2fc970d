"""Messages of users, and what WhatsApp says about the users in the same place."""

import pytest

from gatekeeper.meta.webhooks import Broken, Ignored, Inbound, SystemChange, events_of

PHONE = "16505551234"
BSUID = "US.13491208655302741918"
PARENT = "US.11815799212886844830"
TEXT = {"from": PHONE, "id": "wamid.I", "timestamp": "1750030000", "type": "text", "text": {"body": "Hi"}}
HIDDEN = {"from_user_id": BSUID, "id": "wamid.I", "timestamp": "1750030000", "type": "text", "text": {"body": "Hi"}}
REFERRAL = {"source_url": "https://fb.me/3cr4Wqqkv", "source_id": "120226305854810726", "source_type": "ad", "ctwa_clid": "Aff"}


def read(*messages: object, field: str = "messages", **value):
    value = {"metadata": {"display_phone_number": "15550783881", "phone_number_id": "1"}, **value, "messages": list(messages)}
    return events_of(
        {"object": "whatsapp_business_account", "entry": [{"id": "2", "changes": [{"field": field, "value": value}]}]}
    )


def names(events) -> list[tuple[str | None, str | None]]:
    return [(event.wa_id, event.user_id) for event in events]


@pytest.mark.parametrize(
    "type_",
    [
        *("text", "image", "video", "audio", "document", "sticker", "location", "contacts", "button", "interactive", "order"),
        *("reaction", "unsupported", "edit", "revoke", "request_welcome", "hologram"),
    ],
)
def test_a_message_of_any_type_is_inbound(type_):
    """Which types open a window is a rule, so the type is handed on."""
    where = {"waba_id": "2", "phone_number_id": "1", "own_number": "15550783881"}
    found = read({**TEXT, "type": type_, type_: {}, "errors": [{"code": 131051}]})

    assert [Inbound(**where, wamid="wamid.I", at=1750030000000, wa_id=PHONE, type=type_)] == found


def test_a_message_without_a_type_or_id_is_still_a_message():
    """The window hangs on the time and the user alone."""
    (event,) = read({"from": PHONE, "timestamp": 1750030000})

    assert ("unknown", "", 1750030000000) == (event.type, event.wamid, event.at)


@pytest.mark.parametrize(
    ("timestamp", "at"),
    [
        ("1750030000", 1750030000000),
        (1750030000, 1750030000000),
        (1750030000.5, 1750030000500),
        ("1750030000.5", 1750030000500),
        (1750030000123, 1750030000123),
        ("1750030000123", 1750030000123),
        (100_000_000_000, 100_000_000_000_000),
        (100_000_000_001, 100_000_000_001),
    ],
)
def test_times_are_seconds_unless_they_are_too_large_for_it(timestamp, at):
    """Meta writes seconds as string or number; test tools write milliseconds."""
    (event,) = read({**TEXT, "timestamp": timestamp})

    assert at == event.at


@pytest.mark.parametrize(
    "timestamp", [None, "", "soon", "-5", -5, 0, "nan", "inf", float("inf"), True, [1750030000], 10**15, "9" * 30]
)
def test_a_message_without_a_readable_time_is_broken(timestamp):
    """The window is counted from Meta's time and never from ours."""
    (event,) = read({**TEXT, "timestamp": timestamp})

    assert ("no timestamp", True) == (event.why, isinstance(event, Broken))


@pytest.mark.parametrize(
    ("message", "contacts", "expected"),
    [
        (TEXT, None, (PHONE, None)),
        (TEXT, [], (PHONE, None)),
        (TEXT, "x", (PHONE, None)),
        (TEXT, [{"wa_id": PHONE, "user_id": BSUID}], (PHONE, BSUID)),
        (TEXT, [{"wa_id": "16509999999", "user_id": "US.9"}, {"wa_id": PHONE, "user_id": BSUID}], (PHONE, BSUID)),
        ({**TEXT, "from": f"+{PHONE}"}, [{"wa_id": PHONE, "user_id": BSUID}, {}], (f"+{PHONE}", BSUID)),
        ({**TEXT, "from": 16505551234}, [], (PHONE, None)),
        ({**TEXT, "from": "5491122334455"}, [{"wa_id": "541122334455", "user_id": "AR.1"}], ("5491122334455", "AR.1")),
        (HIDDEN, [{"profile": {"username": "ann"}, "user_id": BSUID}], (None, BSUID)),
        (HIDDEN, [{"wa_id": "16509999999", "user_id": "US.9"}, {"wa_id": PHONE, "user_id": BSUID}], (PHONE, BSUID)),
        ({**HIDDEN, "from_user_id": None}, [{"user_id": BSUID}], (None, BSUID)),
        ({**TEXT, "from_user_id": BSUID}, [{"wa_id": "16509999999", "user_id": "US.9"}], (PHONE, BSUID)),
        (HIDDEN, [{"wa_id": PHONE, "user_id": "US.9"}], (None, BSUID)),
        (HIDDEN, [{"wa_id": PHONE}], (PHONE, BSUID)),
        (TEXT, [None, 5], (PHONE, None)),
    ],
)
def test_the_contact_beside_a_message_completes_its_names(message, contacts, expected):
    """A number and a BSUID of one user are linked; those of two users never are."""
    assert [expected] == names(read(message, contacts=contacts))


@pytest.mark.parametrize(
    ("message", "contact", "expected"),
    [
        (TEXT, {"wa_id": PHONE, "parent_user_id": PARENT}, (PHONE, None, PARENT)),
        (TEXT, {"wa_id": PHONE, "user_id": BSUID, "parent_user_id": PARENT}, (PHONE, BSUID, PARENT)),
        (HIDDEN, {"user_id": BSUID, "parent_user_id": PARENT}, (None, BSUID, PARENT)),
        ({**TEXT, "from_parent_user_id": "US.9"}, {"wa_id": PHONE, "parent_user_id": PARENT}, (PHONE, None, "US.9")),
    ],
)
def test_a_parent_id_comes_from_the_contact_too(message, contact, expected):
    """What the message itself says of it counts first."""
    (event,) = read(message, contacts=[contact])

    assert expected == (event.wa_id, event.user_id, event.parent_user_id)


def test_contacts_in_their_places_belong_to_the_messages():
    """Where no name is shared the order of the array tells."""
    events = read(
        {**TEXT, "from": None, "from_user_id": None},
        {**TEXT, "from": "16500000002"},
        contacts=[{"user_id": "US.1"}, {"user_id": "US.2"}],
    )

    assert [(None, "US.1"), ("16500000002", "US.2")] == names(events)


def test_contacts_in_their_places_name_the_nameless():
    """Even by number alone; and a lone contact names them all."""
    nameless = {"id": "wamid.I", "timestamp": "1750030000", "type": "text"}

    assert [("1", None), ("2", None)] == names(read(nameless, nameless, contacts=[{"wa_id": "1"}, {"wa_id": "2"}]))
    assert [("1", None), ("1", None)] == names(read(nameless, nameless, contacts=[{"wa_id": "1"}]))


def test_one_contact_does_not_lend_its_names_to_strangers():
    """Two users in a batch and a contact for one of them."""
    events = read(TEXT, {**TEXT, "from": "16500000002"}, contacts=[{"wa_id": PHONE, "user_id": BSUID}])

    assert [(PHONE, BSUID), ("16500000002", None)] == names(events)


def test_a_contact_in_the_place_of_another_number_is_a_stranger():
    """The order of the array counts for less than the numbers in it."""
    events = read(
        {**TEXT, "from": "16500000001"},
        {**TEXT, "from": "16500000002"},
        contacts=[{"wa_id": "3", "user_id": "US.3"}, {"wa_id": "4"}],
    )

    assert [("16500000001", None), ("16500000002", None)] == names(events)


def test_a_parent_bsuid_is_kept_beside_the_bsuid():
    """Linked portfolios know the user by another id."""
    (event,) = read({**HIDDEN, "from_parent_user_id": PARENT})
    (other,) = read(TEXT, contacts=[{"wa_id": PHONE, "user_id": BSUID, "parent_user_id": PARENT}])

    assert [PARENT, PARENT] == [event.parent_user_id, other.parent_user_id]


def test_a_group_message_names_group_and_member():
    """Any member's message opens the window of the whole group, even of a member without a name."""
    (event,) = read({**TEXT, "group_id": "group"})
    (nameless,) = read({**TEXT, "group_id": "group", "from": None})

    assert [("group", PHONE), ("group", None)] == [(event.group_id, event.wa_id), (nameless.group_id, nameless.wa_id)]


@pytest.mark.parametrize(
    ("referral", "from_ad"),
    [
        (REFERRAL, True),
        ({"source_type": "ad"}, True),
        ({**REFERRAL, "source_type": "AD"}, True),
        ({**REFERRAL, "source_type": "post"}, False),
        ({"ctwa_clid": "Aff"}, False),
        ({}, False),
        (None, False),
        ("ad", False),
        ({"source_type": ["ad"]}, False),
    ],
)
def test_only_a_referral_of_an_ad_is_an_ad(referral, from_ad):
    """Boosted posts give no free entry point, and the click id is missing from ads in a status."""
    (event,) = read({**TEXT, "referral": referral})

    assert from_ad == event.from_ad


@pytest.mark.parametrize("nested", [True, False])
def test_a_message_on_standby_is_inbound_seen_from_aside(nested):
    """Another partner holds the thread, yet the user did write; Meta wraps the lists once more there."""
    lists = {"contacts": [{"wa_id": PHONE, "user_id": BSUID}], "messages": [{**TEXT, "referral": REFERRAL}]}
    value = {"metadata": {"phone_number_id": "1"}, **({"standby": lists} if nested else lists)}

    (event,) = events_of({"entry": [{"id": "2", "changes": [{"field": "standby", "value": value}]}]})

    assert (True, True, PHONE, BSUID, "1") == (event.standby, event.from_ad, event.wa_id, event.user_id, event.phone_number_id)


def test_a_broken_message_on_standby_is_found_where_it_is():
    """The place names the wrapping too."""
    value = {"metadata": {"phone_number_id": "1"}, "standby": {"messages": [5]}}

    assert [
        Broken(waba_id="2", phone_number_id="1", where="entry[0].changes[0].value.standby.messages[0]", why="not an object")
    ] == events_of({"entry": [{"id": "2", "changes": [{"field": "standby", "value": value}]}]})


def test_only_standby_is_wrapped_once_more():
    """A member of that name elsewhere is unknown."""
    assert [(PHONE, None)] == names(read(TEXT, standby={"messages": []}))


@pytest.mark.parametrize("standby", [{}, {"message_echoes": [{"id": "wamid.E", "message": {"to": PHONE}}]}])
def test_echoes_on_standby_are_ignored(standby):
    """What another partner sends is no message of the user."""
    value = {"metadata": {"phone_number_id": "1"}, "standby": standby}

    assert [Ignored(waba_id="2", phone_number_id="1", field="standby")] == events_of(
        {"entry": [{"id": "2", "changes": [{"field": "standby", "value": value}]}]}
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            {
                "from": PHONE,
                "timestamp": "1750030000",
                "system": {"type": "user_changed_number", "body": "…", "wa_id": "16500000002"},
            },
            {"kind": "user_changed_number", "at": 1750030000000, "wa_id": PHONE, "new_wa_id": "16500000002"},
        ),
        (
            {
                "from": PHONE,
                "from_user_id": "US.1",
                "timestamp": "1750030000",
                "system": {"type": "user_changed_user_id", "user_id": "US.2", "parent_user_id": PARENT},
            },
            {
                "kind": "user_changed_user_id",
                "at": 1750030000000,
                "wa_id": PHONE,
                "user_id": "US.1",
                "new_user_id": "US.2",
                "new_parent_user_id": PARENT,
            },
        ),
        (
            {"system": {"type": "customer_changed_number", "customer": PHONE, "new_wa_id": "16500000002"}},
            {"kind": "customer_changed_number", "wa_id": PHONE, "new_wa_id": "16500000002"},
        ),
        (
            {"system": {"type": "user_changed_user_id", "previous_user_id": "US.1", "user_id": "US.2"}},
            {"kind": "user_changed_user_id", "user_id": "US.1", "new_user_id": "US.2"},
        ),
        (
            {
                "from_user_id": "US.2",
                "from_parent_user_id": PARENT,
                "system": {
                    "type": "user_changed_number",
                    "wa_id": "16500000002",
                    "previous_user_id": "US.1",
                    "previous_parent_user_id": "US.ENT.1",
                    "user_id": "US.2",
                    "parent_user_id": PARENT,
                },
            },
            {
                "kind": "user_changed_number",
                "user_id": "US.1",
                "parent_user_id": "US.ENT.1",
                "new_wa_id": "16500000002",
                "new_user_id": "US.2",
                "new_parent_user_id": PARENT,
            },
        ),
        (
            {"from_user_id": "US.2", "system": {"type": "user_changed_user_id", "user_id": "US.2"}},
            {"kind": "user_changed_user_id", "new_user_id": "US.2"},
        ),
        ({"from": PHONE}, {"kind": "unknown", "wa_id": PHONE}),
    ],
)
def test_a_system_message_is_a_change_of_names_and_no_message(message, expected):
    """It opens nothing: the user did not write."""
    assert [SystemChange(waba_id="2", phone_number_id="1", **expected)] == read({"type": "system", "id": "wamid.X", **message})


def test_a_new_bsuid_is_a_change_of_names():
    """Meta tells of it in a field of its own, with the old id and the new one."""
    update = {
        "wa_id": PHONE,
        "user_id": {"previous": "US.1", "current": "US.2"},
        "parent_user_id": {"previous": "US.3", "current": PARENT},
        "timestamp": "1750030000",
    }
    value = {"metadata": {"phone_number_id": "1"}, "user_id_update": [update, {}]}

    event, broken = events_of({"entry": [{"id": "2", "changes": [{"field": "user_id_update", "value": value}]}]})

    assert event == SystemChange(
        waba_id="2",
        phone_number_id="1",
        kind="user_changed_user_id",
        at=1750030000000,
        user_id="US.1",
        parent_user_id="US.3",
        new_wa_id=PHONE,
        new_user_id="US.2",
        new_parent_user_id=PARENT,
    )
    assert broken.why == "no new id"


# --------------------------------------------------------------------------------------------------------------- echoes

OURS = ["15550783881", "+1 (555) 078-3881", "+15550783881", "1-555-078-3881", "1.555.078.3881", 15550783881]
BRAZIL = ["+55 41 98888-7777", "554188887777", "5541988887777"]


@pytest.mark.parametrize("field", ["messages", "standby"])
@pytest.mark.parametrize("display", OURS)
@pytest.mark.parametrize("sender", OURS)
@pytest.mark.parametrize("more", [{}, {"referral": REFERRAL}, {"group_id": "g"}, {"type": "system", "system": {"wa_id": PHONE}}])
def test_a_message_from_our_own_number_is_an_echo(sender, display, more, field):
    """In whatever spelling the two are written, and whatever stands beside it: it says nothing of a user."""
    metadata = {"display_phone_number": display, "phone_number_id": "1"}
    message = {**TEXT, "from": sender, "from_user_id": BSUID, **more}
    found = read(message, field=field, metadata=metadata, contacts=[{"wa_id": PHONE, "user_id": BSUID}])

    assert [Ignored(waba_id="2", phone_number_id="1", field=field)] == found


@pytest.mark.parametrize("display", BRAZIL)
@pytest.mark.parametrize("sender", BRAZIL)
def test_our_own_number_may_have_two_spellings_too(sender, display):
    """As a user's has."""
    found = read({**TEXT, "from": sender}, metadata={"display_phone_number": display, "phone_number_id": "1"})

    assert [Ignored(waba_id="2", phone_number_id="1", field="messages")] == found


def test_the_neighbours_of_an_echo_are_messages():
    """Each has its own user, by its place where no name is shared."""
    found = read(
        {**TEXT, "from": "+15550783881"}, HIDDEN, contacts=[{"wa_id": "15550783881"}, {"wa_id": PHONE, "user_id": BSUID}]
    )

    assert [Ignored, Inbound] == [type(event) for event in found]
    assert (PHONE, BSUID) == (found[1].wa_id, found[1].user_id)


@pytest.mark.parametrize("metadata", [{"phone_number_id": "1"}, {"display_phone_number": "", "phone_number_id": "1"}])
def test_without_our_own_number_no_message_is_an_echo(metadata):
    """What else is known of the number is looked at later."""
    assert [("15550783881", None)] == names(read({**TEXT, "from": "15550783881"}, metadata=metadata))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"response": "accept", "response_source": "automatic"}, "automatic_call_permission_reply"),
        ({"response": "accept", "response_source": "AUTOMATIC"}, "automatic_call_permission_reply"),
        ({"response": "accept", "response_source": "user_action"}, "interactive"),
        ({"response": "reject"}, "interactive"),
        ({}, "interactive"),
    ],
)
def test_a_permission_to_call_that_no_user_gave_is_told_apart(reply, kind):
    """WhatsApp gives it by itself after calls that were not taken; whether that opens anything is a rule."""
    interactive = {"type": "call_permission_reply", "call_permission_reply": reply}
    (event,) = read({**without_text(), "type": "interactive", "interactive": interactive})

    assert kind == event.type


def without_text() -> dict:
    return {name: value for name, value in TEXT.items() if name != "text"}
