"""Nothing that a stranger can send makes the wire fail in a way that is not documented."""

import json
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.meta.bodies import UnreadableBody
from gatekeeper.meta.responses import Answer, decode_answer
from gatekeeper.meta.sends import MalformedSend, Send, decode_send
from gatekeeper.meta.signature import verify
from gatekeeper.meta.webhooks import Broken, NotAWebhook, decode_webhook, events_of

WORDS = [
    *(
        "object",
        "whatsapp_business_account",
        "entry",
        "changes",
        "field",
        "value",
        "id",
        "metadata",
        "phone_number_id",
        "contacts",
    ),
    *("messages", "statuses", "standby", "calls", "user_preferences", "user_id_update", "messaging_handovers", "account_update"),
    *(
        "message_template_status_update",
        "template_category_update",
        "message_template_name",
        "message_template_language",
        "event",
    ),
    *("from", "from_user_id", "timestamp", "type", "system", "referral", "source_type", "group_id", "wa_id", "user_id", "status"),
    *(
        "recipient_id",
        "recipient_participant_id",
        "conversation",
        "origin",
        "expiration_timestamp",
        "pricing",
        "category",
        "errors",
    ),
    *(
        "code",
        "start_time",
        "direction",
        "sender",
        "recipient",
        "control_taken",
        "new_category",
        "correct_category",
        "other_info",
    ),
    *(
        "messaging_product",
        "whatsapp",
        "to",
        "text",
        "body",
        "template",
        "name",
        "language",
        "reaction",
        "message_id",
        "contacts",
    ),
    *("recipient_type", "image", "link", "location", "latitude", "interactive", "error", "success", "input", "utility", "read"),
]
KEYS = st.sampled_from(WORDS) | st.text(max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(WORDS)
    | st.just("1750030000"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)
ITEMS = st.lists(JSON, max_size=3)
VALUES = st.dictionaries(KEYS, JSON | ITEMS, max_size=8)
WEBHOOKS = st.builds(
    lambda field, value: {"entry": [{"id": "2", "changes": [{"field": field, "value": value}]}]}, st.sampled_from(WORDS), VALUES
)
TYPES = st.sampled_from(["text", "template", "image", "contacts", "reaction", "interactive", "hologram", "button", 5, None])
SENDS = st.builds(
    lambda body, type_: {"messaging_product": "whatsapp", "to": "4915112345678", "type": type_, **body}, VALUES, TYPES
)
CONTENT_TYPES = st.sampled_from(
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "; charset=x",
    ]
) | st.text(max_size=30)

WHYS = {
    *("not an array", "not an object", "no field", "no value", "no timestamp", "no user", "no id", "no status", "no new id"),
    *("no value that is known", "no template name or language", "no event, category or score", "no event"),
}


def sent(body: bytes, content_type: str) -> Send | MalformedSend:
    try:
        return decode_send(body, content_type=content_type)
    except MalformedSend as error:
        return error


def received(body: bytes) -> list | NotAWebhook:
    try:
        return decode_webhook(body)
    except NotAWebhook as error:
        return error


@given(st.binary(max_size=200) | JSON.map(lambda body: json.dumps(body).encode()), CONTENT_TYPES)
def test_any_bytes_are_a_send_or_malformed(body, content_type):
    """A caller gets Meta's refusal and never a fault."""
    result = sent(body, content_type)

    assert isinstance(result, Send) or result.code in {100, 131008, 131009, 131051, 131062}
    assert not isinstance(result, UnreadableBody)


@given(SENDS, CONTENT_TYPES)
def test_anything_like_a_send_is_a_send_or_malformed(body, content_type):
    """So with bodies that are nearly right, as JSON and as a form."""
    form = urlencode(
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}, errors="replace"
    )

    results = [sent(json.dumps(body).encode(), content_type), sent(form.encode(), "application/x-www-form-urlencoded")]

    assert all(isinstance(result, Send) or result.code in {100, 131008, 131009, 131051, 131062} for result in results)
    assert all(
        result.to is not None or result.recipient is not None for result in results if getattr(result, "type", "read") != "read"
    )


@given(st.binary(max_size=200) | JSON.map(lambda body: json.dumps(body).encode()))
def test_any_bytes_are_a_webhook_or_none(body):
    """Meta gets 400 for what is no JSON object and never 500."""
    assert isinstance(received(body), list | NotAWebhook)


@given(WEBHOOKS, st.text(min_size=6, max_size=12).map("§{}".format))
def test_anything_like_a_webhook_gives_events_without_content(payload, secret):
    """Whatever the shape, each item becomes an event, and a broken one tells nothing of what it held."""
    payload["entry"].append(
        {"id": "3", "changes": [{"field": "messages", "value": {"messages": [{"id": secret, "type": secret}]}}]}
    )

    events = events_of(payload)

    assert Broken(waba_id="3", where="entry[1].changes[0].value.messages[0]", why="no user") == events[-1]
    assert events == decode_webhook(json.dumps(payload).encode())
    assert set() == {event.why for event in events if isinstance(event, Broken)} - WHYS


@given(st.binary(max_size=200) | JSON.map(lambda body: json.dumps(body).encode()))
def test_any_bytes_are_an_answer_or_none(body):
    """Whatever stands between Meta and us may answer."""
    assert isinstance(decode_answer(body), Answer | None)


@given(st.binary(max_size=20), st.text(max_size=80) | st.none())
def test_any_header_is_a_signature_or_none(body, header):
    """A wrong header is refused and never a fault."""
    assert not verify("secret", body, header)
