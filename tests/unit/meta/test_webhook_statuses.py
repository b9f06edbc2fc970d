"""What became of a message of ours, in each shape that Meta has used since 2022."""

import pytest

from gatekeeper.meta.webhooks import Conversation, Pricing, Status, events_of

PHONE = "16505551234"
BSUID = "US.13491208655302741918"
PARENT = "US.11815799212886844830"
DELIVERED = {"id": "wamid.A", "status": "delivered", "timestamp": "1750030073", "recipient_id": PHONE}


def read(*statuses: object, field: str = "messages", **value):
    value = {"metadata": {"display_phone_number": "15550783881", "phone_number_id": "1"}, **value, "statuses": list(statuses)}
    return events_of(
        {"object": "whatsapp_business_account", "entry": [{"id": "2", "changes": [{"field": field, "value": value}]}]}
    )


def conversation(origin: str, **more) -> dict:
    return {"id": "d6", "origin": {"type": origin}, **more}


def pmp(category: str, type_: str = "regular", *, billable: bool = True, **more) -> dict:
    return {"billable": billable, "pricing_model": "PMP", "type": type_, "category": category, **more}


def cbp(category: str, *, billable: bool = True) -> dict:
    return {"billable": billable, "pricing_model": "CBP", "category": category}


SHAPES = {
    "2022 business-initiated": (
        {
            "conversation": conversation("business_initiated", expiration_timestamp=1603172713),
            "pricing": cbp("business_initiated"),
        },
        Conversation(id="d6", expires_at=1603172713000, origin="business_initiated"),
        Pricing(category="business_initiated", model="CBP"),
    ),
    "2024 service, sent": (
        {"conversation": conversation("service", expiration_timestamp="1750943820"), "pricing": cbp("service")},
        Conversation(id="d6", expires_at=1750943820000, origin="service"),
        Pricing(category="service", model="CBP"),
    ),
    "2024 service, delivered": (
        {"conversation": conversation("service"), "pricing": cbp("service")},
        Conversation(id="d6", origin="service"),
        Pricing(category="service", model="CBP"),
    ),
    "authentication-international": (
        {"conversation": conversation("authentication_international"), "pricing": pmp("authentication-international")},
        Conversation(id="d6", origin="authentication_international"),
        Pricing(type="regular", category="authentication_international", model="PMP"),
    ),
    "2025 marketing, webhook up to v23": (
        {"conversation": conversation("marketing", expiration_timestamp="1750116480"), "pricing": pmp("marketing")},
        Conversation(id="d6", expires_at=1750116480000, origin="marketing"),
        Pricing(type="regular", category="marketing", model="PMP"),
    ),
    "2025 marketing, webhook from v24": (
        {"pricing": pmp("marketing")},
        None,
        Pricing(type="regular", category="marketing", model="PMP"),
    ),
    "2025 utility in the window": (
        {"pricing": pmp("utility", "free_customer_service", billable=False)},
        None,
        Pricing(type="free_customer_service", category="utility", model="PMP"),
    ),
    "2026 utility in the window": ({"pricing": pmp("utility")}, None, Pricing(type="regular", category="utility", model="PMP")),
    "service within the free tier": (
        {"pricing": pmp("service", "free_customer_service", billable=False)},
        None,
        Pricing(type="free_customer_service", category="service", model="PMP"),
    ),
    "service after the free tier": ({"pricing": pmp("service")}, None, Pricing(type="regular", category="service", model="PMP")),
    "service of an exempt business": (
        {"pricing": pmp("service", "free_customer_service", billable=False, subtype="paid_exempt")},
        None,
        Pricing(type="free_customer_service", subtype="paid_exempt", category="service", model="PMP"),
    ),
    "free entry point of 2023": (
        {
            "conversation": conversation("referral_conversion", expiration_timestamp="1750943820"),
            "pricing": cbp("referral_conversion", billable=False),
        },
        Conversation(id="d6", expires_at=1750943820000, origin="referral_conversion"),
        Pricing(category="referral_conversion", model="CBP"),
    ),
    "free entry point of 2025": (
        {
            "conversation": conversation("referral_conversion", expiration_timestamp="1750943820"),
            "pricing": pmp("referral_conversion", "free_entry_point", billable=False),
        },
        Conversation(id="d6", expires_at=1750943820000, origin="referral_conversion"),
        Pricing(type="free_entry_point", category="referral_conversion", model="PMP"),
    ),
    "marketing_messages": (
        {"pricing": pmp("marketing_lite")},
        None,
        Pricing(type="regular", category="marketing_lite", model="PMP"),
    ),
    "AI provider": (
        {"pricing": pmp("general_purpose_ai")},
        None,
        Pricing(type="regular", category="general_purpose_ai", model="PMP"),
    ),
    "neither": ({}, None, None),
    "null": ({"conversation": None, "pricing": None, "errors": None}, None, None),
    "empty": ({"conversation": {}, "pricing": {}, "errors": []}, None, None),
    "odd": ({"conversation": "x", "pricing": [1], "errors": 5}, None, None),
    "half": ({"conversation": {"id": 7, "origin": "x"}, "pricing": {"type": 5}}, Conversation(id="7"), Pricing()),
    "unreadable expiry": ({"conversation": {"id": "d6", "expiration_timestamp": "later"}}, Conversation(id="d6"), None),
}


@pytest.mark.parametrize(("members", "joined", "pricing"), SHAPES.values(), ids=SHAPES)
def test_conversation_and_pricing_are_taken_where_they_are(members, joined, pricing):
    """Each regime and webhook version says other things with other statuses; none of them is required."""
    assert [
        Status(
            waba_id="2",
            phone_number_id="1",
            wamid="wamid.A",
            status="delivered",
            at=1750030073000,
            recipient_id=PHONE,
            conversation=joined,
            pricing=pricing,
        )
    ] == read({**DELIVERED, **members})


@pytest.mark.parametrize("state", ["sent", "delivered", "read", "failed", "played", "deleted", "warning"])
def test_every_status_is_handed_on(state):
    """What a status settles is a rule."""
    assert [state] == [event.status for event in read({**DELIVERED, "status": state})]


@pytest.mark.parametrize(
    ("errors", "codes"),
    [
        ([{"code": 131049, "title": "…", "error_data": {"details": "…"}, "href": "/x"}], (131049,)),
        ([{"code": "131047"}], (131047,)),
        ([{"code": 131047}, {"code": 131026}], (131047, 131026)),
        ([None, {}, {"code": None}, {"code": True}, {"code": "x"}, {"code": 131047}], (131047,)),
        ([], ()),
    ],
)
def test_a_failure_brings_its_codes(errors, codes):
    """Meta asks to branch on the code."""
    (event,) = read({**DELIVERED, "status": "failed", "errors": errors})

    assert codes == event.error_codes


@pytest.mark.parametrize("timestamp", [None, "", "x", -1])
def test_a_status_without_a_time_still_settles(timestamp):
    """A delivery that is not counted costs more than one that is dated late."""
    (event,) = read({**DELIVERED, "timestamp": timestamp})

    assert ("delivered", None) == (event.status, event.at)


@pytest.mark.parametrize(
    ("members", "contacts", "expected"),
    [
        ({"recipient_user_id": BSUID}, None, (PHONE, BSUID, None)),
        ({"recipient_id": None, "recipient_user_id": BSUID}, None, (None, BSUID, None)),
        ({"recipient_user_id": BSUID, "parent_recipient_user_id": PARENT}, None, (PHONE, BSUID, PARENT)),
        ({"recipient_user_id": BSUID, "recipient_parent_user_id": PARENT}, None, (PHONE, BSUID, PARENT)),
        ({"recipient_user_id": BSUID, "parent_user_id": PARENT}, None, (PHONE, BSUID, PARENT)),
        ({}, [{"profile": {"username": "ann"}, "wa_id": PHONE, "user_id": BSUID}], (PHONE, BSUID, None)),
        ({"recipient_id": None, "recipient_user_id": BSUID}, [{"wa_id": PHONE, "user_id": BSUID}], (PHONE, BSUID, None)),
        ({"recipient_id": None}, [{"user_id": BSUID, "parent_user_id": PARENT}], (None, BSUID, PARENT)),
        (
            {"recipient_id": None, "recipient_user_id": PARENT},
            [{"wa_id": PHONE, "parent_user_id": PARENT}, {}],
            (PHONE, None, PARENT),
        ),
        (
            {"recipient_id": None, "recipient_user_id": PARENT},
            [{"user_id": BSUID, "parent_user_id": PARENT}],
            (None, BSUID, PARENT),
        ),
        ({"recipient_user_id": PARENT, "parent_user_id": PARENT}, None, (PHONE, None, PARENT)),
        ({"recipient_user_id": BSUID}, [{"wa_id": PHONE, "user_id": "US.2", "parent_user_id": PARENT}], (PHONE, BSUID, None)),
        ({"recipient_user_id": BSUID}, [{"user_id": BSUID, "parent_user_id": PARENT}], (PHONE, BSUID, PARENT)),
        ({"recipient_id": None}, None, (None, None, None)),
    ],
)
def test_the_recipient_is_named_as_far_as_meta_does(members, contacts, expected):
    """
    A hidden number is left out, and the contacts beside a status may bring the other name.

    A message to a parent id names that id as the recipient's ("Business-scoped user IDs", copy of 2026-02-06).
    """
    (event,) = read({**DELIVERED, **members}, contacts=contacts)

    assert expected == (event.recipient_id, event.user_id, event.parent_user_id)


@pytest.mark.parametrize(
    ("members", "contacts", "member"),
    [
        ({"recipient_type": "group", "recipient_participant_id": PHONE}, None, PHONE),
        ({"recipient_participant_id": PHONE}, None, PHONE),
        ({"participant_recipient_id": PHONE}, None, PHONE),
        ({"recipient_type": "group", "recipient_participant_user_id": BSUID}, None, BSUID),
        ({"recipient_participant_user_id": BSUID}, [{"wa_id": PHONE, "user_id": BSUID, "parent_user_id": PARENT}, {}], PHONE),
        ({"recipient_type": "group", "parent_user_id": PARENT}, None, None),
        ({"recipient_id": None, "group_id": "group"}, None, None),
        ({"recipient_id": None, "group_id": "group", "recipient_participant_id": PHONE}, None, PHONE),
    ],
)
def test_a_group_status_names_group_and_member(members, contacts, member):
    """The group is the recipient, so no user's BSUID may be taken for its name."""
    pricing = pmp("group_utility", "free_group_customer_service", billable=False)

    (event,) = read({**DELIVERED, "recipient_id": "group", "pricing": pricing, **members}, contacts=contacts)

    assert (True, "group", member) == (event.group, event.recipient_id, event.participant_id)
    assert (None, None) == (event.user_id, event.parent_user_id)
    assert Pricing(type="free_group_customer_service", category="group_utility", model="PMP") == event.pricing


def test_an_individual_status_is_no_group():
    """The recipient type may be spelled out."""
    (event,) = read({**DELIVERED, "recipient_type": "individual"})

    assert (False, None) == (event.group, event.participant_id)


@pytest.mark.parametrize("nested", [True, False])
def test_a_status_on_standby_is_a_status(nested):
    """What another partner sent changes hands in the same shape."""
    value = {"standby": {"statuses": [DELIVERED]}} if nested else {"statuses": [DELIVERED]}

    (event,) = events_of({"entry": [{"id": "2", "changes": [{"field": "standby", "value": value}]}]})

    assert ("wamid.A", "delivered") == (event.wamid, event.status)
