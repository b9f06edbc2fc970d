"""What a send's body says, and how Meta would refuse it."""

import json
import re
from urllib.parse import urlencode

import pytest

from gatekeeper.meta.sends import Kind, MalformedSend, Send, decode_send

TO = "+16505551234"
BSUID = "US.13491208655302741918"
ENVELOPE = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": TO}

CONTENT = {
    "text": {"preview_url": False, "body": "Hello"},
    "image": {"id": "1"},
    "video": {"link": "https://example.com/v.mp4", "caption": "See"},
    "audio": {"id": "1", "voice": True},
    "document": {"link": "https://example.com/d.pdf", "filename": "d.pdf"},
    "sticker": {"id": "1"},
    "location": {"latitude": 0, "longitude": 0},
    "contacts": [{"name": {"formatted_name": "Ann"}}],
    "interactive": {"type": "button", "body": {"text": "?"}, "action": {"buttons": []}},
    "reaction": {"message_id": "wamid.A", "emoji": ""},
    "template": {"name": "order_update", "language": {"code": "en_US"}, "components": [{"type": "body"}]},
}
INBOUND_ONLY = ["button", "edit", "ephemeral", "order", "request_welcome", "revoke", "system", "unknown", "unsupported"]
TITLES = {
    100: "Invalid parameter",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131051: "Unsupported message type",
    131062: "Business-scoped User ID (BSUID) recipients are not supported for this message.",
}
KINDS = {"template": Kind.TEMPLATE, "reaction": Kind.REACTION}


def message(type_: str, **more) -> dict:
    return {**ENVELOPE, "type": type_, type_: CONTENT[type_], **more}


def decode(body: object, **how) -> Send:
    return decode_send(json.dumps(body).encode(), **how)


def refusal(body: object) -> MalformedSend:
    with pytest.raises(MalformedSend) as caught:
        decode(body)
    return caught.value


@pytest.mark.parametrize("type_", CONTENT)
def test_every_documented_type_is_a_message_of_its_kind(type_):
    """Only templates and reactions differ to the rules; everything else is free-form."""
    send = decode(message(type_))

    assert KINDS.get(type_, Kind.FREE_FORM) == send.kind
    assert (type_, TO, True, False) == (send.type, send.to, send.known_type, send.group)


def test_a_template_is_named_with_its_language():
    """The body of a template has no category, only name and language."""
    send = decode(message("template"))

    assert ("order_update", "en_US") == (send.template, send.language)


def test_a_language_may_be_a_bare_string():
    """Some clients write the language without the object around its code."""
    send = decode(message("template", template={"name": "order_update", "language": "pt_BR"}))

    assert send.language == "pt_BR"


def test_text_without_a_type_is_text():
    """Graph takes a body with text and no type for a text."""
    send = decode({**ENVELOPE, "text": {"body": "Hello"}})

    assert (Kind.FREE_FORM, "text") == (send.kind, send.type)


@pytest.mark.parametrize("word", ["WHATSAPP", "WhatsApp", "whatsapp"])
def test_words_are_read_in_either_case(word):
    """Graph's enums are the same word in upper and lower case, and so a template cannot hide behind capitals."""
    send = decode({**message("template"), "messaging_product": word, "type": "TEMPLATE"})

    assert (Kind.TEMPLATE, "template") == (send.kind, send.type)


@pytest.mark.parametrize(
    ("more", "to", "recipient"),
    [
        ({"to": 16505551234}, "16505551234", None),
        ({"to": "+1 (650) 555-1234"}, "+1 (650) 555-1234", None),
        ({"to": None, "recipient": BSUID}, None, BSUID),
        ({"to": "", "recipient": BSUID}, None, BSUID),
        ({"recipient": BSUID}, TO, BSUID),
    ],
)
def test_recipients_are_kept_as_written(more, to, recipient):
    """A number may come as a number; a BSUID has its own member, and both may be there."""
    send = decode(message("text", **more))

    assert (to, recipient) == (send.to, send.recipient)


def test_a_group_is_marked():
    """With recipient_type group the id under to is a group's."""
    send = decode(message("text", recipient_type="group", to="Y2FwaV9ncm91cDox"))

    assert (True, "Y2FwaV9ncm91cDox") == (send.group, send.to)


@pytest.mark.parametrize("more", [{}, {"typing_indicator": {"type": "text"}}, {"to": TO}])
def test_read_receipts_and_typing_indicators_are_no_messages(more):
    """They go to the same endpoint, send nothing and cost nothing."""
    send = decode({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A", **more})

    assert (Kind.NOT_A_MESSAGE, "read", None) == (send.kind, send.type, send.to)


def test_a_message_does_not_pass_as_a_read_receipt():
    """A body that Meta may send as a message is judged as one, whatever else it carries."""
    send = decode(message("text", status="read", message_id="wamid.A"))

    assert Kind.FREE_FORM == send.kind


@pytest.mark.parametrize("category", [None, "", "service", "SERVICE"])
def test_a_service_category_is_ordinary_free_form(category):
    """Absent or service, the category changes nothing."""
    send = decode(message("text", category=category))

    assert send.direct_send is None


@pytest.mark.parametrize("category", ["utility", "authentication", "UTILITY"])
def test_a_category_on_free_form_is_direct_send(category):
    """A non-template with a category is priced by it and needs no window."""
    send = decode(message("text", category=category))

    assert (Kind.FREE_FORM, category.lower()) == (send.kind, send.direct_send)


@pytest.mark.parametrize("type_", ["text", "interactive", "image", "video", "document"])
def test_direct_send_of_a_utility_takes_more_than_text(type_):
    """Buttons and headers are offered, and a BSUID will do."""
    send = decode(message(type_, category="utility", to=None, recipient=BSUID))

    assert (type_, "utility") == (send.type, send.direct_send)


def test_only_a_template_has_a_template_name():
    """A location has a name too."""
    send = decode(message("location", location={"latitude": 1, "longitude": 1, "name": "Home", "language": 5}))

    assert (None, None) == (send.template, send.language)


def test_a_category_on_a_template_says_nothing():
    """A template's category is Meta's, not the caller's."""
    send = decode(message("template", category="marketing"))

    assert send.direct_send is None


def test_an_unknown_type_is_taken_as_free_form():
    """What Meta adds tomorrow is let through as a message that needs a window."""
    send = decode({**ENVELOPE, "type": "hologram", "hologram": {}})

    assert (Kind.FREE_FORM, "hologram", False) == (send.kind, send.type, send.known_type)


def test_the_marketing_api_is_remembered():
    """Whether a template may go there is the rules' to say."""
    receipt = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"}

    assert [True, True, False] == [
        decode(message("text"), marketing_api=True).marketing_api,
        decode(receipt, marketing_api=True).marketing_api,
        decode(message("text")).marketing_api,
    ]


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        ([], 100, "body"),
        ("text", 100, "body"),
        (None, 100, "body"),
        ({}, 100, "messaging_product"),
        ({**ENVELOPE, "messaging_product": "messenger"}, 100, "messaging_product"),
        ({**ENVELOPE, "messaging_product": {"whatsapp": 1}}, 100, "messaging_product"),
        ({"messaging_product": "whatsapp", "type": "text", "text": {"body": "Hello"}}, 100, "to"),
        (message("text", to="  "), 100, "to"),
        (message("text", to=True), 131009, "to"),
        (message("text", to=-5), 131009, "to"),
        (message("text", to=0), 131009, "to"),
        (message("text", to=4915112345678.5), 131009, "to"),
        (message("text", to=[TO]), 131009, "to"),
        (message("text", recipient=5), 131009, "recipient"),
        (message("text", recipient_type="everyone"), 100, "recipient_type"),
        (ENVELOPE, 131008, "type"),
        ({**ENVELOPE, "type": ""}, 131008, "type"),
        ({**ENVELOPE, "type": {"text": 1}}, 131009, "type"),
        ({**ENVELOPE, "image": {"id": "1"}}, 131008, "type"),
        *[({**ENVELOPE, "type": type_}, 131008, type_) for type_ in CONTENT],
        *[({**ENVELOPE, "type": type_, type_: None}, 131008, type_) for type_ in CONTENT],
        *[({**ENVELOPE, "type": type_, type_: "x"}, 131009, type_) for type_ in CONTENT],
        *[({**ENVELOPE, "type": type_, type_: []}, 131009, type_) for type_ in CONTENT if type_ != "contacts"],
        *[({**ENVELOPE, "type": type_, type_: {}}, 131008, type_) for type_ in CONTENT if type_ != "contacts"],
        (message("contacts", contacts={}), 131009, "contacts"),
        (message("text", text={"body": ""}), 131008, "text.body"),
        (message("text", text={"body": 5}), 131009, "text.body"),
        (message("image", image={"caption": "x"}), 131008, "image.id or link"),
        (message("location", location={"latitude": 1}), 131008, "location.longitude"),
        (message("reaction", reaction={"emoji": "x"}), 131008, "reaction.message_id"),
        (message("reaction", reaction={"message_id": 5}), 131009, "reaction.message_id"),
        (message("template", template={"language": {"code": "en"}}), 131008, "template.name"),
        (message("template", template={"name": 5, "language": {"code": "en"}}), 131009, "template.name"),
        (message("template", template={"name": "a"}), 131008, "template.language"),
        (message("template", template={"name": "a", "language": {}}), 131008, "template.language.code"),
        (message("template", template={"name": "a", "language": {"code": 5}}), 131009, "template.language.code"),
        (message("template", template={"name": "a", "language": 5}), 131009, "template.language.code"),
        ({"messaging_product": "whatsapp", "status": "read"}, 131008, "message_id"),
        ({"messaging_product": "whatsapp", "status": "played", "message_id": "wamid.A"}, 100, "status"),
        (message("text", category="marketing"), 100, "category"),
        (message("text", category=5), 100, "category"),
        (message("text", category=["utility"]), 100, "category"),
        *[
            (message(type_, category="utility"), 100, "category")
            for type_ in ("audio", "contacts", "location", "reaction", "sticker")
        ],
        (message("interactive", category="authentication"), 100, "category"),
        (message("text", category="authentication", to=None, recipient=BSUID), 131062, "to"),
        (message("text", to=BSUID), 131009, "into recipient"),
        (message("template", to=f" {BSUID.lower()} ", recipient=BSUID), 131009, "into recipient"),
        (message("text", to="US.ENT.11815799212886844830"), 131009, "into recipient"),
        (message("text", to=["1", "2"]), 131009, "to"),
        (message("text", to="00491511234567"), 131009, "to"),
        (message("text", to=None, recipient="tel:+491511234567"), 131009, "recipient"),
        *[({**ENVELOPE, "type": type_, type_: {"payload": "x"}}, 131051, "type") for type_ in INBOUND_ONLY],
    ],
)
def test_a_malformed_body_is_refused_as_meta_would(body, code, names):
    """The code and its title are Meta's and the details name the parameter."""
    error = refusal(body)

    assert code == error.code
    assert error.title in {TITLES[code], f"The parameter {names} is required."}
    assert re.search(rf"\b{re.escape(names)}\b", error.details)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"messaging_product":"whatsapp","to":"491511234567","type":1e999,"text":{"body":"x"}}', "type"),
        (b'{"messaging_product":"whatsapp","to":1e999,"type":"text","text":{"body":"x"}}', "to"),
        (b'{"messaging_product":"whatsapp","to":"491511234567","type":"text","text":{"body":1e999}}', "text.body"),
        (
            b'{"messaging_product":"whatsapp","to":"491511234567","type":"template","template":{"name":1e999,"language":"en"}}',
            "template.name",
        ),
        (
            b'{"messaging_product":"whatsapp","to":"491511234567","type":"template","template":{"name":"a","language":1e999}}',
            "template.language",
        ),
        (b'{"messaging_product":"whatsapp","to":"491511234567","type":"reaction","reaction":{"message_id":1e999}}', "message_id"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_named(body, name):
    """A number out of range stands in one place, and the details say in which."""
    with pytest.raises(MalformedSend) as caught:
        decode_send(body)

    assert (100, True) == (caught.value.code, f"{name} cannot be read" in caught.value.details)


@pytest.mark.parametrize("name", ["messaging_product", "to"])
def test_a_missing_required_parameter_is_named_in_metas_words(name):
    """Graph says which parameter of its own is missing in the message itself."""
    error = refusal({key: value for key, value in message("text").items() if key != name})

    assert (100, f"The parameter {name} is required.") == (error.code, error.title)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"{",
        b'{"messaging_product": NaN}',
        b"\xff\xfe{}",
        b'{"messaging_product":"whatsapp","to":"4915112345678","type":"text","text":{"body":"\xff"}}',
        b'{"messaging_product":"whatsapp","to":"4915112345678","type":"hologram","\xff":1}',
        b'{"messaging_product":"whatsapp","to":' + b"9" * 5000 + b',"type":"hologram"}',
        b'{"messaging_product":"whatsapp","to":1e999,"type":"hologram"}',
        b'{"messaging_product":"whatsapp","to":"4915112345678","type":"text","text":'
        + b'{"a":' * 100_000
        + b"1"
        + b"}" * 100_001,
        b'{"messaging_product":"whatsapp","to":"4915112345678","type":"text","text":{"body":"x"},"x":' + b"[" * 100_000,
    ],
)
def test_what_is_no_json_object_is_an_invalid_parameter(body):
    """Broken JSON, other encodings, numbers out of range and endless nesting are one refusal and never a fault."""
    with pytest.raises(MalformedSend) as caught:
        decode_send(body)

    assert (100, "Invalid parameter") == (caught.value.code, caught.value.title)


def test_of_a_member_that_comes_twice_the_last_counts():
    """Meta's parser keeps the last one, so what is judged is what is sent."""
    body = (
        b'{"messaging_product":"whatsapp","to":"4915112345678","type":"template","text":{"body":"a"},'
        b'"template":{"name":"first","language":"en"},"template":{"name":"last","language":"en"},"to":"4915112345679","type":"text"}'
    )

    send = decode_send(body)

    assert ("text", "4915112345679") == (send.type, send.to)


@pytest.mark.parametrize(
    "body", [message("text", to=[TO]), message("text", text={"body": ["Secret"]}), {"to": TO, "x": "Secret"}]
)
def test_a_refusal_repeats_neither_content_nor_number(body):
    """Error text may be logged."""
    error = refusal(body)

    assert not any(secret in f"{error} {error.title} {error.details}" for secret in ("Secret", TO, "6505551234"))


def bid(bid_spec: object) -> bytes:
    """A marketing template's send with a `bid_spec`, as JSON or as the very text that stands for it."""
    written = bid_spec if isinstance(bid_spec, str) else json.dumps(bid_spec)
    template = json.dumps(ENVELOPE | {"type": "template", "template": CONTENT["template"]})
    return f'{template[:-1]}, "bid_spec": {written}}}'.encode()


@pytest.mark.parametrize(
    ("bid_spec", "millionths"),
    [
        ({"per_message_bid_multiplier": 1.5}, 1_500_000),
        ({"per_message_bid_multiplier": "1.5"}, 1_500_000),
        ({"per_message_bid_multiplier": 2}, 2_000_000),
        ('{"per_message_bid_multiplier": 15e-1}', 1_500_000),
        ('{"per_message_bid_multiplier": 1.0000001}', 1_000_001),
        ('{"per_message_bid_multiplier": "0.00000000000001"}', 1),
        ('{"per_message_bid_multiplier": 1e-09}', 1),
        ('{"per_message_bid_multiplier": 1.0000000000000000000000000000000000000000001}', 1_000_001),
        ('{"per_message_bid_multiplier": 1e+8}', 10**14),
        ({"per_message_bid_multiplier": None}, None),
        ({"bid_amount": 5000}, None),
        ({}, None),
        ("null", None),
    ],
)
def test_a_multiplier_of_the_max_price(bid_spec, millionths):
    """Read on /marketing_messages alone, in millionths and rounded up; without one there is none."""
    assert (millionths, None) == (
        decode_send(bid(bid_spec), marketing_api=True).bid_multiplier,
        decode_send(bid(bid_spec)).bid_multiplier,
    )


@pytest.mark.parametrize(
    "multiplier",
    [
        "0",
        "0.0",
        '"0"',
        "-1",
        '"-1.5"',
        "true",
        '"much"',
        '""',
        "[1.5]",
        '{"a": 1}',
        '"1e999999999"',
        "1e-999999999",
        "1e9",
        '"NaN"',
        '"Infinity"',
        "9" * 5000,
        f'"{"9" * 5000}"',
    ],
)
def test_a_multiplier_is_a_positive_number(multiplier):
    """Meta says so; whatever is none is refused before anything is multiplied by it."""
    with pytest.raises(MalformedSend) as caught:
        decode_send(bid(f'{{"per_message_bid_multiplier": {multiplier}}}'), marketing_api=True)

    assert (100, "The parameter bid_spec.per_message_bid_multiplier must be a positive number below 1000000000.") == (
        caught.value.code,
        caught.value.details,
    )


@pytest.mark.parametrize("bid_spec", ["1.5", '"1.5"', "[]", "true"])
def test_a_bid_is_an_object(bid_spec):
    """A multiplier that stands elsewhere is no multiplier."""
    with pytest.raises(MalformedSend) as caught:
        decode_send(bid(bid_spec), marketing_api=True)

    assert (100, "The parameter bid_spec must be an object.") == (caught.value.code, caught.value.details)


def test_a_multiplier_in_a_form():
    """Its object is a JSON string there, like any other."""
    members = {"messaging_product": "whatsapp", "to": TO, "type": "template", "template": json.dumps(CONTENT["template"])}
    body = urlencode(members | {"bid_spec": '{"per_message_bid_multiplier": 1.5}'}).encode()
    send = decode_send(body, content_type="application/x-www-form-urlencoded", marketing_api=True)

    assert 1_500_000 == send.bid_multiplier


def test_two_multipliers_are_two_sends():
    """One in the query and another in the body: Graph does not say which of them wins."""
    query = urlencode({"bid_spec": '{"per_message_bid_multiplier": 9}'})
    with pytest.raises(MalformedSend) as caught:
        decode_send(bid({"per_message_bid_multiplier": 1.5}), query=query, marketing_api=True)

    assert 100 == caught.value.code
