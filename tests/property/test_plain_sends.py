"""The short way of reading a send says nothing else than the long one."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from gatekeeper.meta.plain import plain_send
from gatekeeper.meta.sends import MalformedSend, Send, decode_send

BSUID = "US.13491208655302741918"
TEXT = {
    "messaging_product": "whatsapp",
    "recipient_type": "individual",
    "to": "4915112345678",
    "type": "text",
    "text": {"body": "hi"},
}
TEMPLATE = {
    **TEXT,
    "type": "template",
    "template": {
        "name": "a",
        "language": {"code": "en"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "x"}]}],
    },
}
WORDS = [
    *["whatsapp", "WhatsApp", "Text", "text", "template", "group", "read", "é", "�"],
    "",
    " ",
    BSUID,
    f" {BSUID} ",
    "x" * 600,
    *[
        "00491511234567",
        "+49 (151) 123-4567",
        "+49 (0)151 1234567",
        "tel:+491511234567",
        "491511234567@c.us",
        "+",
        "1234",
        "9" * 16,
    ],
]
OBJECTS = [{}, [], {"body": ""}, {"body": 1}, {"name": " "}, {"name": "a", "language": "en"}, {"message_id": "m"}]
ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(WORDS), st.sampled_from(OBJECTS))
OTHERS = ["recipient", "category", "status", "To", "to[]", "batch", "context", "biz_opaque_callback_data", "method", "ids", "é"]
NAMES = st.sampled_from([*TEMPLATE, *TEXT, *OTHERS])
EDITS = st.lists(st.tuples(NAMES, st.one_of(ODD, st.just(...))), max_size=3)
CUTS = st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=2)), max_size=2)
TYPES = st.sampled_from(
    ["application/json", "application/json; charset=utf-8", "text/json", "", "text/plain", "application/x-www-form-urlencoded"]
)


def written(base, edits, cuts):
    """A body with members of its own, some of them twice, and bytes put in."""
    members = [(name, value) for name, value in base.items() if (name, ...) not in edits]
    members += [(name, value) for name, value in edits if value is not ...]
    body = ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members) + "}").encode(
        "utf-8", "surrogatepass"
    )
    for at, more in cuts:
        body = body[:at] + more + body[at:]
    return body


@given(st.sampled_from([TEXT, TEMPLATE]), EDITS, CUTS, TYPES)
@example(TEXT, [], [], "application/json")
@example(TEMPLATE, [], [], "application/json")
@example(TEXT, [], [(0, b"\xef\xbb\xbf")], "application/json")
@example(TEXT, [("context", {"message_id": "m"})], [(300, b"\xff")], "application/json")
def test_what_is_read_in_one_go_is_what_is_read_in_every_way(base, edits, cuts, content_type):
    """Whatever is odd about a body, the short way reads what the long way reads, or leaves it alone."""
    body = written(base, edits, cuts)
    short = plain_send(body, content_type=content_type, query="", marketing_api=False)
    long: Send | None = None
    if short is not None:
        try:
            long = decode_send(body, content_type=content_type)
        except MalformedSend:
            long = None

    assert short == long


def test_the_documented_sends_go_the_short_way():
    """It is there for them."""
    bodies = [json.dumps(one).encode() for one in (TEXT, TEMPLATE, {**TEXT, "context": {"message_id": "m"}})]
    found = [plain_send(body, content_type="application/json", query="", marketing_api=False) for body in bodies]

    assert [decode_send(body) for body in bodies] == found
