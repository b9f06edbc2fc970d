"""What of a send and of a webhook is kept in a record: all that decides, and nothing else."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.core.data import data_dir
from gatekeeper.core.markets import Markets
from gatekeeper.core.pseudonyms import Pseudonyms
from gatekeeper.core.recipients import canonical
from gatekeeper.meta import events as meta
from gatekeeper.meta import sends
from gatekeeper.meta.paths import Target, gated
from gatekeeper.meta.redaction import MALFORMED, Plain, fits, kept_answer, kept_send, path_of
from gatekeeper.meta.responses import decode_answer
from gatekeeper.meta.retelling import payload_of
from gatekeeper.meta.rewriting import Written, as_template
from gatekeeper.meta.sends import MalformedSend, Send, decode_send
from gatekeeper.meta.webhooks import events_of

SHAPES = json.loads((Path(__file__).parents[1] / "fixtures" / "meta" / "webhook_shapes.json").read_text())
CANARY = "canary"
SILENT = (meta.Ignored, meta.Broken, meta.AccountUpdate)
Place = tuple[str | int, ...]


@functools.cache
def names() -> Pseudonyms:
    return Pseudonyms("a key of some length", Markets.load(data_dir("config")))


def webhook(shape: dict[str, Any]) -> dict[str, Any]:
    change = {"field": shape["field"], "value": deepcopy(shape["value"])}
    return {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}


def leaves(value: object, at: Place = ()) -> Iterator[Place]:
    """Find every string."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield from leaves(inner, (*at, key))
    if isinstance(value, str):
        yield at


def objects(value: object) -> Iterator[dict[str, Any]]:
    """Find every object."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(inner)


def put(payload: Any, place: Place, value: object) -> Any:
    copy = deepcopy(payload)
    *way, last = place
    functools.reduce(lambda inner, key: inner[key], way, copy)[last] = value
    return copy


def read(payload: Any) -> list[meta.Event]:
    """What of a payload says anything to us, but for what a user wrote and a conversation's id."""
    found = []
    for event in events_of(payload):
        if isinstance(event, meta.Inbound):
            found.append(msgspec.structs.replace(event, wish=""))
        elif isinstance(event, meta.Status) and event.conversation is not None:
            conversation = msgspec.structs.replace(event.conversation, id=None)
            found.append(msgspec.structs.replace(event, conversation=conversation))
        elif not isinstance(event, SILENT):
            found.append(event)
    return found


def kept(payload: Any) -> Any:
    return payload_of(events_of(payload), Plain())


def said(payload: Any, naming: Any = None) -> str:
    return json.dumps(payload_of(events_of(payload), naming or Plain()), ensure_ascii=False).lower()


# ------------------------------------------------------------------------------------------------------------------- webhooks


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["shape"])
def test_what_is_kept_of_a_webhook_says_the_same(shape):
    """It is read as the whole webhook is; what says nothing to us is not kept at all."""
    payload = webhook(shape)
    found = kept(payload)

    assert read(payload) == (read(found) if found is not None else [])
    assert (found is None) == (not read(payload))


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 10**20),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["9" * 400, "x" * 3000, "\ud83d", "1794312000", "491511234567", "US.1", "APPROVED"]),
    st.sampled_from([[], [None], {}, {"a": [1]}, {"id": {"id": None}}, [{"id": "1"}, "x"]]),
)


@given(st.lists(st.tuples(st.sampled_from(SHAPES), st.integers(0, 10**6), ODD), min_size=1, max_size=4))
def test_so_it_does_of_an_odd_webhook(chosen):
    """Whatever stands in place of a member, and whatever stands beside it."""
    changes = []
    for shape, nth, odd in chosen:
        [entry] = webhook(shape)["entry"]
        places = list(leaves(entry["changes"][0]))
        changes.append(put(entry["changes"][0], places[nth % len(places)], odd))
    payload = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}
    found = kept(payload)

    assert read(payload) == (read(found) if found is not None else [])


# Where a string of a webhook may come from that is in a record: its field, and the members that lead to it.
KEPT_STRINGS: dict[str, set[str]] = {
    "account_update": {
        "volume_tier_info.pricing_category",
        "volume_tier_info.region",
    },
    "calls": {
        "calls.from",
        "calls.to",
        "statuses.recipient_id",
        "statuses.recipient_user_id",
    },
    "message_template_quality_update": {
        "message_template_language",
        "message_template_name",
        "new_quality_score",
    },
    "message_template_status_update": {
        "event",
        "message_template_category",
        "message_template_language",
        "message_template_name",
        "other_info.title",
    },
    "messages": {
        "messages.from",
        "messages.from_parent_user_id",
        "messages.from_user_id",
        "messages.group_id",
        "messages.id",
        "messages.system.parent_user_id",
        "messages.system.type",
        "messages.system.user_id",
        "messages.system.wa_id",
        "messages.type",
        "metadata.display_phone_number",
        "statuses.conversation.origin.type",
        "statuses.id",
        "statuses.parent_recipient_user_id",
        "statuses.pricing.category",
        "statuses.pricing.pricing_model",
        "statuses.pricing.subtype",
        "statuses.pricing.type",
        "statuses.recipient_id",
        "statuses.recipient_participant_id",
        "statuses.recipient_participant_user_id",
        "statuses.recipient_user_id",
        "statuses.status",
    },
    "messaging_handovers": {
        "sender.phone_number",
        "sender.user_id",
    },
    "standby": {
        "messages.from",
        "messages.id",
        "messages.type",
        "metadata.display_phone_number",
        "standby.messages.from",
        "standby.messages.id",
        "standby.messages.type",
    },
    "template_category_update": {
        "correct_category",
        "message_template_language",
        "message_template_name",
        "new_category",
    },
    "user_id_update": {
        "user_id_update.parent_user_id.current",
        "user_id_update.parent_user_id.previous",
        "user_id_update.user_id.current",
        "user_id_update.user_id.previous",
        "user_id_update.wa_id",
    },
    "user_preferences": {
        "user_preferences.category",
        "user_preferences.user_id",
        "user_preferences.wa_id",
    },
}


def test_no_string_is_kept_but_these():
    """Ids, times, words and names of users: no text, no profile's name, no title, no link."""
    found: dict[str, set[str]] = {}
    for shape in SHAPES:
        payload = webhook(shape)
        for place in leaves(payload["entry"][0]["changes"][0]["value"]):
            whole: Place = ("entry", 0, "changes", 0, "value", *place)
            if CANARY in said(put(payload, whole, CANARY)):
                found.setdefault(shape["field"], set()).add(".".join(str(key) for key in place if isinstance(key, str)))

    assert KEPT_STRINGS == found


UNLISTED = st.recursive(st.just(CANARY), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner))


@given(st.sampled_from(SHAPES), st.lists(st.tuples(st.integers(0, 50), st.text(max_size=9), UNLISTED), max_size=5), st.booleans())
def test_a_member_that_nobody_reads_is_not_kept(shape, more, hidden):
    """Wherever it stands and however deep its value goes."""
    payload = webhook(shape)
    places = list(objects(payload))
    for nth, name, value in more:
        places[nth % len(places)].setdefault(f"unlisted {name}", value)

    assert CANARY not in said(payload, names() if hidden else Plain())


NAMES = ("from", "to", "wa_id", "customer", "phone_number", "display_phone_number", "group_id")
ENDS = ("user_id", "recipient_id", "participant_id", "user_id.current", "user_id.previous")


def is_name(place: Place) -> bool:
    path = ".".join(str(key) for key in place)
    return str(place[-1]) in NAMES or path.endswith(ENDS)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["shape"])
def test_no_name_is_kept_under_a_pseudonym(shape):
    """Neither a user's number nor a BSUID, nor an id of Meta's, which has the number in it."""
    payload = webhook(shape)
    value = payload["entry"][0]["changes"][0]["value"]
    strings = {place: functools.reduce(lambda inner, key: inner[key], place, value) for place in leaves(value)}
    secret = {text for place, text in strings.items() if is_name(place) or text.startswith("wamid.")}

    found = payload_of(events_of(payload), names())

    assert set() == secret & {functools.reduce(lambda inner, key: inner[key], place, found) for place in leaves(found)}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["shape"])
def test_the_same_users_are_told_apart_by_their_pseudonyms(shape):
    """What is said is said of the same names, each under its pseudonym."""
    payload = webhook(shape)
    found = payload_of(events_of(payload), names())

    assert [renamed(event) for event in read(payload)] == (read(found) if found is not None else [])


def renamed(event: meta.Event) -> meta.Event:
    """An event with a pseudonym for every name in it."""
    fields = ("wa_id", "user_id", "parent_user_id", "new_wa_id", "new_user_id", "new_parent_user_id", "recipient_id")
    fields += ("participant_id", "group_id", "own_number")
    named = {field: getattr(event, field) for field in fields if getattr(event, field, None) is not None}
    changed = {field: names().recipient(name) for field, name in named.items()}
    if getattr(event, "wamid", ""):
        changed["wamid"] = names().message(event.wamid)
    return msgspec.structs.replace(event, **changed)


# ---------------------------------------------------------------------------------------------------------------------- sends

TO = {"messaging_product": "whatsapp", "to": "4915112345678"}
PARAMETERS = [{"type": "text", "text": CANARY}, {"type": "text", "text": "", "parameter_name": CANARY}, {"image": {"id": CANARY}}]
COMPONENTS = [
    {"type": "HEADER", "parameters": [{"type": "image", "image": {"link": CANARY}}]},
    {"type": "body", "parameters": PARAMETERS},
    {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "payload", "payload": CANARY}]},
    {"type": "carousel", "cards": [{"card_index": 0, "components": [{"type": "body", "parameters": PARAMETERS}]}]},
    {"type": "body", "parameters": CANARY},
]
TEMPLATE = {"name": "order_update", "language": {"code": "en_US", "policy": "deterministic"}}
BODIES: dict[str, dict[str, Any]] = {
    "text": {**TO, "type": "text", "text": {"body": CANARY, "preview_url": True}},
    "text without its type": {**TO, "text": {"body": CANARY}},
    "text to a BSUID": {"messaging_product": "whatsapp", "recipient": "US.1349", "type": "text", "text": {"body": CANARY}},
    "text to both names": {**TO, "recipient": "US.1349", "type": "text", "text": {"body": CANARY}},
    "text to a group": {**TO, "to": "Y2FwaV9ncm91cDo", "recipient_type": "group", "type": "text", "text": {"body": CANARY}},
    "direct send": {**TO, "type": "text", "text": {"body": CANARY}, "category": "utility"},
    "reply": {**TO, "context": {"message_id": CANARY}, "type": "text", "text": {"body": CANARY}},
    **{kind: {**TO, "type": kind, kind: {"id": CANARY, "caption": CANARY}} for kind in ("image", "video", "audio", "sticker")},
    "document": {**TO, "type": "document", "document": {"link": CANARY, "filename": CANARY}},
    "location": {**TO, "type": "location", "location": {"latitude": "1.5", "longitude": "2", "name": CANARY, "address": CANARY}},
    "contacts": {**TO, "type": "contacts", "contacts": [{"name": {"formatted_name": CANARY}}]},
    "interactive": {**TO, "type": "interactive", "interactive": {"type": "button", "body": {"text": CANARY}}},
    "reaction": {**TO, "type": "reaction", "reaction": {"message_id": f"wamid.{CANARY}", "emoji": CANARY}},
    "read receipt": {"messaging_product": "whatsapp", "status": "read", "message_id": f"wamid.{CANARY}"},
    "template": {**TO, "type": "template", "template": TEMPLATE},
    "template with another max price": {
        **TO,
        "type": "template",
        "template": TEMPLATE,
        "bid_spec": {"per_message_bid_multiplier": 1.2500001, "bid_strategy": CANARY},
    },
    "template with components": {**TO, "type": "template", "template": {**TEMPLATE, "components": COMPONENTS}},
    "template with unreadable components": {**TO, "type": "template", "template": {**TEMPLATE, "components": CANARY}},
    "a type of another year": {**TO, "type": f"{CANARY}", CANARY: {"body": CANARY}},
}


def lessened(send: Send) -> Send:
    """A send without the words of which nothing hangs on what they are."""
    components = send.components and tuple(
        msgspec.structs.replace(
            component,
            parameters=component.parameters
            and tuple(msgspec.structs.replace(one, name="-" if one.name else "") for one in component.parameters),
        )
        for component in send.components
    )
    return msgspec.structs.replace(send, type=send.type if send.known_type else "other", components=components)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("marketing_api", [False, True])
def test_what_is_kept_of_a_send_is_read_as_the_send_is(body, marketing_api):
    """Its kind, recipient, template and category; and none of its content."""
    send = decode_send(json.dumps(body).encode(), marketing_api=marketing_api)
    found = json.dumps(kept_send(send, Plain()))

    assert lessened(send) == decode_send(found.encode(), marketing_api=marketing_api)
    assert CANARY not in found


KINDS = ["header", "body", "button", "carousel", CANARY, "", None, 1]
PARAMETER = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "image", "currency", "date_time", CANARY, "", None]),
        "text": st.sampled_from(["", CANARY, None]),
        "parameter_name": st.sampled_from([CANARY, "", None, 7]),
        "image": st.just({"id": CANARY}),
    },
)
COMPONENT = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)},
    optional={
        "index": st.sampled_from(["0", 1, "x", None]),
        "parameters": st.lists(PARAMETER, max_size=3) | st.sampled_from([None, CANARY, [CANARY]]),
    },
)


@given(st.lists(COMPONENT, max_size=4))
def test_the_components_of_a_template_keep_their_kinds_and_numbers(components):
    """What is asked of them is the same, word for word where there is a word."""
    body = {**TO, "type": "template", "template": {**TEMPLATE, "components": components}}
    send = decode_send(json.dumps(body).encode())
    found = json.dumps(kept_send(send, Plain()))
    again = decode_send(found.encode())

    assert CANARY not in found
    assert other(lessened(send)) == other(again)


def other(send: Send) -> Any:
    """The kinds of its components; of a kind that we do not know only that it is one."""
    return send.components and [
        (
            component.kind.replace(CANARY, "other"),
            component.index,
            component.parameters and [(one.kind.replace(CANARY, "other"), one.name, one.empty) for one in component.parameters],
        )
        for component in send.components
    ]


@pytest.mark.parametrize("name", ["4915112345678", "+52 1 55 1234 5678", "Y2FwaV9ncm91cDo", "anything"])
def test_a_sends_recipient_has_the_pseudonym_that_webhooks_have(name):
    """Of whatever spelling, so that a thread is a thread."""
    kind = "individual" if name[-1].isdigit() else "group"
    send = decode_send(json.dumps({**BODIES["text"], "to": name, "recipient_type": kind}).encode())

    assert names().recipient(canonical(name)) == kept_send(send, names())["to"]


@pytest.mark.parametrize(("letters", "long"), [(1, False), (1024, False), (1025, True), (3000, True)])
def test_a_text_too_long_for_a_template_stays_so(letters, long):
    """A fallback does not go out in its place then either."""
    body = json.dumps({**TO, "type": "text", "text": {"body": "é" * letters}}).encode()
    written = Written(body)
    again = Written(json.dumps(kept_send(decode_send(body), Plain(), fits=fits(written))).encode())
    rewritten = [as_template(each, name="a", language="b", text_parameter=True) is None for each in (written, again)]

    assert [long, long] == rewritten


CODES = {value for name, value in vars(sends).items() if name.isupper() and isinstance(value, int) and not name.startswith("_")}


@pytest.mark.parametrize("code", sorted(CODES))
def test_what_is_no_send_is_refused_with_the_same_code(code):
    """For every code that a body can be refused with there is one."""
    with pytest.raises(MalformedSend) as refused:
        decode_send(json.dumps(MALFORMED[code]).encode())

    assert code == refused.value.code
    assert set(MALFORMED) == CODES


@pytest.mark.parametrize("marketing_api", [False, True])
def test_a_path_keeps_the_number_and_the_api(marketing_api):
    """And neither a prefix nor a query, which may hold a token."""
    target = Target("106540352242922", marketing_api)

    assert target == gated(path_of(target))


ANSWER = {
    "messaging_product": "whatsapp",
    "contacts": [{"input": "+49 151 12345678", "wa_id": "4915112345678", "user_id": "DE.1"}],
    "messages": [{"id": "wamid.HBgN", "message_status": CANARY}],
}


def test_what_is_kept_of_an_answer_names_the_same_user_and_message():
    """Everything else of it is left out."""
    answer = decode_answer(json.dumps(ANSWER).encode())
    assert answer is not None
    plain, hidden = (json.dumps(kept_answer(answer, naming)) for naming in (Plain(), names()))

    assert answer == decode_answer(plain.encode())
    assert CANARY not in plain
    assert {"input": names().recipient("4915112345678"), "wa_id": names().recipient("4915112345678")}.items() <= json.loads(
        hidden
    )["contacts"][0].items()
    assert names().message("wamid.HBgN") == json.loads(hidden)["messages"][0]["id"]
