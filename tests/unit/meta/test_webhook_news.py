"""Calls, preferences, handovers, templates and the account."""

import pytest

from gatekeeper.meta.webhooks import (
    AccountUpdate,
    Broken,
    Call,
    Handover,
    Ignored,
    InternationalRate,
    Preference,
    PrimaryLocation,
    TemplateCategory,
    TemplateQuality,
    TemplateStatus,
    VolumeTier,
    events_of,
)

OURS = "15550783881"
PHONE = "16505551234"
BSUID = "US.13491208655302741918"
IDS = {"waba_id": "2", "phone_number_id": "1"}
METADATA = {"display_phone_number": OURS, "phone_number_id": "1"}
CONNECT = {
    "id": "wacid.A",
    "from": PHONE,
    "to": OURS,
    "event": "connect",
    "direction": "USER_INITIATED",
    "timestamp": "1750030000",
}
ACCEPTED = {"id": "wacid.A", "type": "call", "status": "ACCEPTED", "timestamp": "1750030000", "recipient_id": PHONE}
STOP = {"wa_id": PHONE, "category": "marketing_messages", "value": "stop", "timestamp": 1750030000, "detail": "User requested …"}
TEMPLATE = {"message_template_id": 806312974732579, "message_template_name": "welcome", "message_template_language": "en_US"}
HANDOVER = {
    "messaging_product": "whatsapp",
    "recipient": {"display_phone_number": OURS, "phone_number_id": "1"},
    "sender": {"phone_number": PHONE},
    "timestamp": "1750030000",
    "type": "control_taken",
    "control_taken": {"previous_owner_role": "ai_agent", "new_owner_role": "escalation", "metadata": "Secret"},
}


def read(field: str, value: object):
    return events_of(
        {"object": "whatsapp_business_account", "entry": [{"id": "2", "changes": [{"field": field, "value": value}]}]}
    )


def calls(**value):
    return read("calls", {"metadata": METADATA} | value)


def without(item: dict, *names: str) -> dict:
    return {name: value for name, value in item.items() if name not in names}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (CONNECT, {"wa_id": PHONE, "by_user": True}),
        (without(CONNECT, "direction"), {"wa_id": PHONE, "by_user": True}),
        (without(CONNECT, "event"), {"wa_id": PHONE, "by_user": True}),
        ({**CONNECT, "from": None, "from_user_id": BSUID}, {"user_id": BSUID, "by_user": True}),
        ({**CONNECT, "event": "terminate", "start_time": "1750029000"}, {"wa_id": PHONE, "by_user": True, "at": 1750029000000}),
        ({**CONNECT, "event": "terminate"}, {"wa_id": PHONE, "by_user": True}),
        ({**CONNECT, "event": "call_created"}, {"wa_id": PHONE, "by_user": True}),
        ({**CONNECT, "from": OURS, "to": PHONE, "direction": "BUSINESS_INITIATED"}, {"wa_id": PHONE, "by_user": False}),
        (
            {**CONNECT, "from": OURS, "to": None, "to_user_id": BSUID, "direction": "BUSINESS_INITIATED"},
            {"user_id": BSUID, "by_user": False},
        ),
        ({**without(CONNECT, "direction"), "from": f"+{OURS}", "to": PHONE}, {"wa_id": PHONE, "by_user": False}),
        ({**CONNECT, "from": OURS, "to": PHONE}, {"wa_id": PHONE, "by_user": False}),
        ({**CONNECT, "from": "+1 (555) 078-3881", "to": PHONE}, {"wa_id": PHONE, "by_user": False}),
        ({**CONNECT, "from": OURS, "to": None, "to_user_id": BSUID}, {"user_id": BSUID, "by_user": False}),
    ],
)
def test_a_call_is_by_whom_it_was_placed(item, expected):
    """A user's call opens the window, answered or not, from its beginning; a call of ours opens nothing."""
    assert [Call(**{**IDS, "at": 1750030000000, "accepted": False, **expected})] == calls(calls=[item])


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (without(CONNECT, "direction"), (PHONE, None, True)),
        ({**without(CONNECT, "direction", "from"), "from_user_id": BSUID}, (None, BSUID, True)),
        ({**CONNECT, "from": OURS, "to": PHONE, "direction": "BUSINESS_INITIATED"}, (PHONE, None, False)),
    ],
)
def test_a_call_is_read_without_knowing_our_number(item, expected):
    """The metadata may lack it; then the direction alone tells, and its absence means a user."""
    (event,) = calls(metadata={"phone_number_id": "1"}, calls=[item])

    assert expected == (event.wa_id, event.user_id, event.by_user)


def test_the_contact_beside_a_call_completes_its_names():
    """As it does for a message."""
    (event,) = calls(calls=[CONNECT], contacts=[{"wa_id": PHONE, "user_id": BSUID}])

    assert (PHONE, BSUID) == (event.wa_id, event.user_id)


@pytest.mark.parametrize("event", ["call_recording_available", "call_transcription_available", "transcript_available"])
def test_news_about_a_call_is_no_call(event):
    """They come long after it and would open a window anew."""
    assert [Ignored(**IDS, field="calls")] == calls(calls=[{**CONNECT, "event": event}])


@pytest.mark.parametrize(("status", "accepted"), [("ACCEPTED", True), ("RINGING", False), ("REJECTED", False), (None, False)])
def test_only_an_accepted_call_of_ours_counts(status, accepted):
    """Ringing and rejection are nothing that the user said."""
    assert [Call(**IDS, at=1750030000000, wa_id=PHONE, by_user=False, accepted=accepted)] == calls(
        statuses=[{**ACCEPTED, "status": status}]
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"calls": [without(CONNECT, "timestamp")]}, "no timestamp"),
        ({"calls": [without(CONNECT, "from")]}, "no user"),
        ({"statuses": [without(ACCEPTED, "timestamp")]}, "no timestamp"),
        ({"statuses": [without(ACCEPTED, "recipient_id")]}, "no user"),
        ({"calls": [None]}, "not an object"),
    ],
)
def test_a_call_without_user_or_time_is_broken_and_its_neighbours_are_kept(value, why):
    """The window hangs on both."""
    value = {name: [*items, CONNECT if name == "calls" else ACCEPTED] for name, items in value.items()}

    broken, kept = calls(**value)

    assert (why, True) == (broken.why, isinstance(kept, Call))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"wa_id": PHONE, "stop": True}),
        ({"value": "resume"}, {"wa_id": PHONE, "stop": False}),
        ({"value": "STOP"}, {"wa_id": PHONE, "stop": True}),
        ({"user_id": BSUID}, {"wa_id": PHONE, "user_id": BSUID, "stop": True}),
        ({"wa_id": None, "user_id": BSUID}, {"user_id": BSUID, "stop": True}),
        ({"timestamp": None}, {"wa_id": PHONE, "at": None, "stop": True}),
        ({"category": None}, {"wa_id": PHONE, "stop": True}),
        ({"category": "Other-Messages"}, {"wa_id": PHONE, "stop": True, "category": "other_messages"}),
    ],
)
def test_a_preference_stops_or_resumes(more, expected):
    """A wish without a time is a wish all the same."""
    value = {"metadata": METADATA, "user_preferences": [{**STOP, **more}]}

    assert [Preference(**{**IDS, "at": 1750030000000, "category": "marketing_messages", **expected})] == read(
        "user_preferences", value
    )


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({**STOP, "value": "maybe"}, "no value that is known"),
        ({**STOP, "value": None}, "no value that is known"),
        (without(STOP, "wa_id"), "no user"),
        (5, "not an object"),
    ],
)
def test_a_preference_that_says_nothing_is_broken_and_its_neighbours_are_kept(bad, why):
    """One user's wish never costs another's."""
    broken, kept = read("user_preferences", {"metadata": METADATA, "user_preferences": [bad, STOP]})

    assert (Broken(**IDS, where="entry[0].changes[0].value.user_preferences[0]", why=why), True) == (broken, kept.stop)


@pytest.mark.parametrize(("type_", "taken"), [("control_taken", True), ("control_passed", False)])
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"wa_id": PHONE}),
        ({"metadata": METADATA, "recipient": None}, {"wa_id": PHONE}),
        ({"sender": {"wa_id": PHONE, "user_id": BSUID}}, {"wa_id": PHONE, "user_id": BSUID}),
        ({"sender": {"id": PHONE}}, {"wa_id": PHONE}),
        ({"sender": {"id": BSUID}}, {"user_id": BSUID}),
        ({"sender": {"id": "US.9", "user_id": BSUID}}, {"user_id": BSUID}),
        ({"sender": {"from_user_id": BSUID}}, {"user_id": BSUID}),
        ({"sender": {"recipient_id": PHONE, "recipient_user_id": BSUID}}, {"wa_id": PHONE, "user_id": BSUID}),
        ({"recipient": None}, {"phone_number_id": "", "wa_id": PHONE}),
        ({"sender": PHONE}, {"wa_id": PHONE}),
        ({"sender": None, "metadata": METADATA, "recipient": {"wa_id": PHONE}}, {"wa_id": PHONE}),
        ({"sender": None, "metadata": METADATA, "recipient": PHONE}, {"wa_id": PHONE}),
        ({"sender": None, "from": PHONE}, {"wa_id": PHONE}),
        ({"sender": None, "wa_id": PHONE, "user_id": BSUID}, {"wa_id": PHONE, "user_id": BSUID}),
        ({"sender": None, "contacts": [{"wa_id": PHONE, "user_id": BSUID}]}, {"wa_id": PHONE, "user_id": BSUID}),
        ({"timestamp": None}, {"wa_id": PHONE, "at": None}),
    ],
)
def test_a_handover_says_who_controls_the_thread(type_, taken, more, expected):
    """The business number stands under recipient, the user under sender; other places are tried."""
    value = {**HANDOVER, "type": type_, **more}

    assert [Handover(**{**IDS, "at": 1750030000000, "taken": taken, **expected})] == read("messaging_handovers", value)


def test_a_handover_may_be_known_by_its_member_alone():
    """Its name is the type's."""
    (event,) = read("messaging_handovers", without(HANDOVER, "type"))

    assert event.taken


@pytest.mark.parametrize("recipient", [HANDOVER["recipient"], {"phone_number_id": "1", "phone_number": OURS}])
def test_a_handover_without_a_user_is_broken(recipient):
    """There is no thread to move, and our own number is no user's."""
    (event,) = read("messaging_handovers", {**without(HANDOVER, "sender"), "recipient": recipient})

    assert ("entry[0].changes[0].value", "no user") == (event.where, event.why)


@pytest.mark.parametrize("type_", ["control_shared", None])
def test_a_handover_of_another_kind_is_ignored(type_):
    """Meta may add one."""
    assert [Ignored(**IDS, field="messaging_handovers")] == read(
        "messaging_handovers", {**without(HANDOVER, "control_taken"), "type": type_}
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            {"event": "APPROVED", "message_template_category": "UTILITY", "reason": "NONE"},
            {"event": "APPROVED", "category": "utility"},
        ),
        ({"event": "PAUSED", "other_info": {"title": "FIRST_PAUSE"}}, {"event": "PAUSED", "title": "FIRST_PAUSE"}),
        ({"event": "paused", "other_info": {"title": "Unpause"}}, {"event": "PAUSED", "title": "UNPAUSE"}),
        ({"event": "DISABLED", "other_info": None, "reason": None}, {"event": "DISABLED"}),
        ({"event": "FLAGGED", "message_template_id": "5", "disable_info": {"disable_date": "…"}}, {"event": "FLAGGED"}),
        ({"event": "SOMETHING_NEW"}, {"event": "SOMETHING_NEW"}),
    ],
)
def test_a_template_changes_its_status(more, expected):
    """Optional members may be missing, and the id is a number or a string."""
    value = {**TEMPLATE, **more}

    assert [TemplateStatus(waba_id="2", name="welcome", language="en_US", **expected)] == read(
        "message_template_status_update", value
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            {"new_category": "UTILITY", "correct_category": "MARKETING", "category_update_timestamp": 1750030000},
            {"category": "utility", "impending": "marketing", "at": 1750030000000},
        ),
        ({"new_category": "UTILITY", "correct_category": "MARKETING"}, {"category": "utility", "impending": "marketing"}),
        ({"previous_category": "UTILITY", "new_category": "MARKETING"}, {"category": "marketing"}),
        (
            {"previous_category": "UTILITY", "new_category": "MARKETING", "correct_category": "MARKETING"},
            {"category": "marketing"},
        ),
        ({"new_category": "AUTHENTICATION", "correct_category": ""}, {"category": "authentication"}),
    ],
)
def test_a_template_has_one_category_in_force(more, expected):
    """While a change is announced new_category is still the current one: a trap."""
    value = {**TEMPLATE, **more}

    assert [TemplateCategory(waba_id="2", name="welcome", language="en_US", **expected)] == read(
        "template_category_update", value
    )


@pytest.mark.parametrize(
    "field", ["message_template_quality_update", "message_template_status_update", "template_category_update"]
)
def test_news_of_a_template_is_known_by_its_shape(field):
    """Meta's own example of a quality update names another field."""
    value = {**TEMPLATE, "message_template_language": "en-US", "previous_quality_score": "GREEN", "new_quality_score": "YELLOW"}

    assert [TemplateQuality(waba_id="2", name="welcome", language="en_US", score="YELLOW")] == read(field, value)


@pytest.mark.parametrize("event", ["DELETED", "PENDING_DELETION"])
def test_a_template_is_deleted_by_name_in_every_language(event):
    """Such news need not name one; of anything else a language is missing."""
    value = {**TEMPLATE, "message_template_language": None, "event": event}

    assert [TemplateStatus(waba_id="2", name="welcome", language="", event=event)] == read(
        "message_template_status_update", value
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({**TEMPLATE, "message_template_name": None, "event": "APPROVED"}, "no template name or language"),
        ({**TEMPLATE, "message_template_language": 5.5, "event": "APPROVED"}, "no template name or language"),
        (TEMPLATE, "no event, category or score"),
        ({**TEMPLATE, "previous_category": "UTILITY"}, "no event, category or score"),
    ],
)
def test_news_of_no_known_template_is_broken(value, why):
    """Name and language are the key, and something must have happened."""
    assert [Broken(waba_id="2", where="entry[0].changes[0].value", why=why)] == read("message_template_status_update", value)


@pytest.mark.parametrize(
    "value",
    [
        {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}},
        {"event": "ACCOUNT_VIOLATION"},
    ],
)
def test_an_account_update_is_handed_on_as_it_is(value):
    """What follows from it is a rule."""
    assert [AccountUpdate(waba_id="2", event=value["event"], value=value)] == read("account_update", value)


def test_an_account_update_without_an_event_is_broken():
    """There is nothing to hand on."""
    assert [Broken(waba_id="2", where="entry[0].changes[0].value", why="no event")] == read("account_update", {"number": "1"})


@pytest.mark.parametrize("more", [{}, {"event": "VERIFIED_ACCOUNT"}])
def test_an_account_update_may_be_about_a_number(more):
    """Which one it is may be all that it says."""
    value = {"phone_number": OURS, **more}

    assert [AccountUpdate(waba_id="2", event=more.get("event", "PHONE_NUMBER"), value=value)] == read("account_update", value)


NEW = {
    "business_username_updates": {"display_phone_number": OURS, "username": "luckyshrub", "status": "approved"},
    "business_username_update": {"display_phone_number": OURS, "status": "deleted", "context": "revoked"},
    "call_recording_available": {"metadata": METADATA, "calls": [{**CONNECT, "event": "call_recording_available"}]},
    "call_transcription_available": {"metadata": METADATA, "calls": [{**CONNECT, "event": "call_transcription_available"}]},
    "call_created": {"metadata": METADATA, "calls": [{**CONNECT, "event": "call_created"}]},
    "messages": {
        "metadata": METADATA,
        "contacts": [{"wa_id": PHONE}],
        "user_actions": [{"from": PHONE, "timestamp": "1750030000"}],
    },
    "user_actions": {"metadata": METADATA, "user_actions": [{"from": PHONE, "timestamp": "1750030000"}]},
}


@pytest.mark.parametrize("field", NEW)
def test_what_came_in_october_2026_says_nothing_to_us(field):
    """A field of its own, or a member beside messages: it is no message, and nothing is wrong with it."""
    found = read(field, NEW[field])

    assert [Ignored(waba_id="2", phone_number_id="1" if "metadata" in NEW[field] else "", field=field)] == found


TIER = {
    "tier_update_time": 1743451903,
    "pricing_category": "UTILITY",
    "tier": "25000001:50000000",
    "effective_month": "2025-11",
    "region": "India",
}
ELIGIBLE = {"start_time": 1721952000, "exception_countries": [{"country_code": "IN", "start_time": 1751347426}]}


@pytest.mark.parametrize(
    ("value", "event"),
    [
        (
            {"event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info": TIER},
            VolumeTier(waba_id="2", category="utility", region="India", month="2025-11", first=25_000_001),
        ),
        (
            {"event": "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE", "auth_international_rate_eligibility": ELIGIBLE},
            InternationalRate(waba_id="2", start_time=1_721_952_000_000, exceptions={"IN": 1_751_347_426_000}),
        ),
        (
            {"event": "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE", "auth_international_rate_eligibility": {"start_time": "1721952000"}},
            InternationalRate(waba_id="2", start_time=1_721_952_000_000, exceptions={}),
        ),
        ({"event": "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE", "country": "us"}, PrimaryLocation(waba_id="2", country="US")),
    ],
)
def test_news_of_what_an_account_pays(value, event):
    """Tiers, eligibility and the home of a business come as account updates."""
    assert [event] == read("account_update", value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"event": "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE"}, "no start_time"),
        ({"event": "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE", "country": "Germany"}, "no country"),
        *(
            (
                {"event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info": {**TIER, **wrong}},
                "no tier, pricing_category, region or effective_month",
            )
            for wrong in ({"tier": "all"}, {"effective_month": "November"}, {"region": None}, {"pricing_category": 5})
        ),
    ],
)
def test_news_of_what_an_account_pays_that_says_nothing_is_broken(value, why):
    """Nothing is guessed."""
    assert [Broken(waba_id="2", where="entry[0].changes[0].value", why=why)] == read("account_update", value)
