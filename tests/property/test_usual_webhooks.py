"""Reading a webhook in one go says nothing else than reading it item by item."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatekeeper.meta.usual import usual_webhook
from gatekeeper.meta.webhooks import NotAWebhook, decode_closely, decode_webhook

FIXTURES = Path(__file__).parents[1] / "fixtures"
SHAPES = [shape for shape in json.loads((FIXTURES / "meta" / "webhook_shapes.json").read_text()) if shape["field"] == "messages"]
PHONE, OTHER, BSUID, PARENT = "16505551234", "16509999999", "US.13491208655302741918", "US.ENT.11815799212886844830"
TEXT = {"from": PHONE, "id": "wamid.I", "timestamp": "1750030000", "type": "text", "text": {"body": " stop "}}
PRICING = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"}
STATUS = {"id": "wamid.S", "status": "delivered", "timestamp": "1750030073", "recipient_id": PHONE, "pricing": PRICING}
PARENTS = {f"{name}user_id": f"US.{n}" for n, name in enumerate(("parent_recipient_", "recipient_parent_", "parent_"))}
METADATA = {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"}
NAMES = {
    "messages": [
        *TEXT,
        "from_user_id",
        "from_parent_user_id",
        "group_id",
        "system",
        "referral",
        "button",
        "interactive",
        "",
        "é",
    ],
    "statuses": [
        *[*STATUS, "conversation", "errors", "group_id", "recipient_type", "recipient_user_id", "parent_recipient_user_id"],
        *["recipient_parent_user_id", "parent_user_id", "recipient_participant_id", "participant_recipient_id"],
        *["recipient_participant_user_id", "é"],
    ],
    "contacts": ["wa_id", "user_id", "parent_user_id", "profile"],
}
ABSENT = object()
WORDS = ["", " ", "x", "é", "\ud83d", "NaN", "text", "button", "system", "Group", "individual", "read", "1750030000.5"]
WORDS += [
    "15550783881",
    "+1 (555) 078-3881",
    PHONE,
    f"+{PHONE}",
    OTHER,
    BSUID,
    PARENT,
    "x" * 64,
    "x" * 65,
    "9" * 20,
    "y" * 4096,
    "y" * 4097,
]
OBJECTS = [{}, [], [{}], [{"code": 131047}], {"body": "stop"}, {"body": "x" * 41}, {"body": 1}, {"body": None}, {"": "stop"}]
OBJECTS += [
    {"source_type": "ad"},
    {"text": "stop"},
    {"button_reply": {"title": "stop"}},
    {"user_id": BSUID, "type": "user_changed"},
]
OBJECTS += [{"type": "Regular", "pricing_model": "cbp"}, {"category": 7}, {"x": "y" * 300, "category": "utility"}]
OBJECTS += [{"id": "c", "expiration_timestamp": "1750030000", "origin": {"type": "Service"}}]
NUMBERS = [0, 7, -1, 1750030000, 1750030000.5, 10**15, 10**30, 10**400, True, False, None]
ODD = [ABSENT, *NUMBERS, *WORDS, *OBJECTS]
CONTACTS = {
    "no contacts": [],
    "its number": [{"wa_id": PHONE, "profile": {"name": "Ann"}}],
    "its BSUID": [{"wa_id": PHONE, "user_id": BSUID}],
    "its parent": [{"wa_id": PHONE, "parent_user_id": PARENT}],
    "another's": [{"wa_id": OTHER, "user_id": "US.9"}, {"user_id": BSUID}],
    "of both items": [{"user_id": "US.1"}, {"user_id": "US.2"}],
}
EDITS = {name: st.lists(st.tuples(st.sampled_from(names), st.sampled_from(ODD)), max_size=2) for name, names in NAMES.items()}
ITEMS = {name: [item for shape in SHAPES for item in shape["value"].get(name, [])] for name in NAMES}


def written(item, *edits) -> str:
    """An item with members of its own, some of them twice."""
    members = [(name, value) for name, value in item.items() if (name, ABSENT) not in edits]
    members += [(name, value) for name, value in edits if value is not ABSENT]
    return "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members) + "}"


def webhook(*values, field="messages", waba_id="1") -> bytes:
    """The webhook of which these are the changes."""
    changes = ",".join(f'{{"field":{json.dumps(field)},"value":{value}}}' for value in values)
    return f'{{"entry":[{{"id":{json.dumps(waba_id)},"changes":[{changes}]}}]}}'.encode()


def value(metadata=None, **lists) -> str:
    """What a change holds, its items as they are written."""
    metadata = json.dumps(METADATA) if metadata is None else metadata
    listed = [f'"{name}":[{",".join(items)}]' for name, items in lists.items()]
    return "{" + ",".join([f'"metadata":{metadata}', *listed]) + "}"


def differs(body: bytes) -> bool:
    """Whether the two ways read something else; the short one may leave it alone."""
    short = usual_webhook(body)
    try:
        return short is not None and decode_closely(body) != short
    except NotAWebhook:
        return True


@pytest.mark.parametrize("contacts", CONTACTS.values(), ids=CONTACTS)
@pytest.mark.parametrize(("name", "item"), [("messages", TEXT), ("statuses", STATUS), ("statuses", STATUS | PARENTS)])
def test_whatever_stands_in_one_place_is_read_the_same(name, item, contacts):
    """Every member that anyone reads, with everything that it may hold, or without it."""
    beside = {"contacts": [written(contact) for contact in contacts]}
    wrong = [
        (member, odd)
        for member, odd in product(NAMES[name], ODD)
        for first in (item, {**item, "type": member})
        if differs(webhook(value(**{name: [written(first, (member, odd)), written(item)]}, **beside)))
        or differs(webhook(value(**{name: [written(first, (member, ABSENT), (member, odd))]}, **beside)))
    ]

    assert [] == wrong


@pytest.mark.parametrize("item", [TEXT, {**STATUS, "recipient_id": None}], ids=["messages", "statuses"])
def test_whatever_a_contact_holds_is_read_the_same(item):
    """Of one that names the user, and of one that does not."""
    name = "messages" if item is TEXT else "statuses"
    wrong = [
        (member, odd)
        for member, odd, contact in product(NAMES["contacts"], ODD, [*CONTACTS["its BSUID"], {"wa_id": OTHER}])
        for lists in ([written(item)], [written(item, ("from", None)), written(item)])
        if differs(webhook(value(**{name: lists}, contacts=[written(contact, (member, ABSENT), (member, odd))])))
    ]

    assert [] == wrong


def test_whatever_stands_around_the_items_is_read_the_same():
    """The account, the number, the kind of change, and lists that are none."""
    good = value(messages=[written(TEXT)])
    around = [
        webhook(inner, field=field, waba_id=waba_id)
        for odd in ODD
        if odd is not ABSENT
        for field, waba_id, inner in (
            (odd, "1", good),
            ("messages", odd, good),
            ("messages", "1", json.dumps(odd)),
            ("messages", "1", value(metadata=json.dumps(odd), messages=[written(TEXT)])),
            *(("messages", "1", value(metadata=written(METADATA, (name, odd)), messages=[written(TEXT)])) for name in METADATA),
            *(("messages", "1", f'{good[:-1]},"{name}":{json.dumps(odd)}}}') for name in (*NAMES, "errors", "standby")),
        )
    ]
    kinds = [webhook(good).replace(b'{"entry"', f'{{"object":{json.dumps(odd)},"entry"'.encode()) for odd in (*ODD[1:], "page")]

    assert [] == [
        body for body in (*around, *kinds, *(webhook(good, field=name) for name in ("standby", "calls"))) if differs(body)
    ]


@st.composite
def bodies(draw) -> bytes:
    """A webhook of items of any shape, and bytes put in where they may not belong."""
    values = []
    for _ in range(draw(st.integers(1, 2))):
        lists = {
            name: [written(draw(st.sampled_from(ITEMS[name])), *draw(EDITS[name])) for _ in range(draw(st.integers(0, 2)))]
            for name in NAMES
        }
        values.append(value(**lists))
    body = webhook(*values)
    for at, more in draw(st.lists(st.tuples(st.integers(0, 900), st.binary(max_size=3)), max_size=1)):
        body = body[:at] + more + body[at:]
    return body


@given(bodies())
@example(webhook(value(messages=[written(TEXT)])) + b"\xff")
@example(webhook(value(statuses=[written(STATUS, ("x", "?"), ("pricing", {"category": 7}))])).replace(b"?", b"\xff"))
@example(webhook(value(statuses=[written(STATUS, ("x", 5), ("pricing", {"category": 7}))])).replace(b":5", b":1e999"))
@example(b"\xef\xbb\xbf" + webhook(value(messages=[])))
@example(b"[" * 5000)
def test_what_is_read_in_one_go_is_what_is_read_item_by_item(body):
    """Whatever is odd about a webhook, the short way reads what the long way reads, or leaves it alone."""
    assert not differs(body)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["shape"])
def test_the_documented_messages_and_statuses_go_the_short_way(shape):
    """It is there for them."""
    body = webhook(json.dumps(shape["value"]))
    short = usual_webhook(body)

    assert decode_closely(body) == short


def test_whatever_is_not_usual_is_read_all_the_same():
    """A number where Meta writes a string costs time, and nothing else."""
    body = webhook(value(messages=[written(TEXT), written({**TEXT, "from": int(PHONE)}), "5", written({**TEXT, "id": "\ud83d"})]))

    assert usual_webhook(body) is None
    assert ["Inbound", "Inbound", "Broken", "Inbound"] == [type(event).__name__ for event in decode_webhook(body)]
