"""A send that can be read in several ways is the same in all of them, or none."""

import json
from urllib.parse import parse_qs, quote, urlencode

import pytest

from gatekeeper.meta.sends import Kind, MalformedSend, Send, decode_send

JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
TEXT = {"messaging_product": "whatsapp", "to": "4915112345678", "type": "text", "text": {"body": "hi"}}
TEMPLATE = {
    "messaging_product": "whatsapp",
    "to": "4915112345678",
    "type": "template",
    "template": {"name": "a", "language": {"code": "en"}},
}
READ = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"}
MESSAGES = {"text": TEXT, "template": TEMPLATE}


def form(body: dict) -> str:
    return urlencode({name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()})


def parts(*given: tuple[str, str]) -> bytes:
    sections = (f"--b\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n" for name, value in given)
    return "".join(sections).encode() + b"--b--\r\n"


def named(body: dict) -> list[tuple[str, str]]:
    return [(f'name="{name}"', value if isinstance(value, str) else json.dumps(value)) for name, value in body.items()]


def decoded(body: object, content_type: str = JSON, query: str = "") -> Send | MalformedSend:
    """What becomes of a body: text as it is, anything else as JSON."""
    given = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    try:
        return decode_send(given, content_type=content_type, query=query)
    except MalformedSend as error:
        return error


def code(found: Send | MalformedSend) -> int | None:
    return found.code if isinstance(found, MalformedSend) else None


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ("", form(TEXT)),
        (" \r\n", form(TEXT)),
        ({}, form(TEXT)),
        ({"messaging_product": "whatsapp"}, form({k: v for k, v in TEXT.items() if k != "messaging_product"})),
        ({k: v for k, v in TEXT.items() if k != "messaging_product"}, "messaging_product=whatsapp"),
        ({k: v for k, v in TEXT.items() if k != "text"}, "text=" + quote('{"body":"hi"}')),
        (TEXT, "to=4915112345678"),
        (TEXT, form(TEXT)),
        (TEXT, "text=" + quote('{"body":"another, but as much a text"}')),
        (TEXT, "access_token=x&fields=id&q=%FF&b=&empty&a=1&a=2"),
        (TEXT, "batch="),
        (TEXT, "status=read&message_id=x"),
        (TEXT, "to="),
        (TEXT, form(READ) + "&type="),
    ],
)
def test_parameters_may_stand_in_the_query(body, query):
    """Graph takes those of the query and of the body together."""
    assert decoded(TEXT) == decoded(body, query=query)


@pytest.mark.parametrize(
    ("body", "query"),
    [
        (TEXT, "to=2"),
        (TEXT, "type=template&template=" + quote('{"name":"a","language":"en"}')),
        (TEXT, "recipient_type=group"),
        (TEXT, "category=utility"),
        (TEXT, "type=order"),
        (TEMPLATE, "template=" + quote('{"name":"b","language":"en"}')),
        (TEMPLATE, "type=text&text=" + quote('{"body":"hi"}')),
        (READ, "to=4915112345678&type=text&text=" + quote('{"body":"hi"}')),
        (READ, form(TEMPLATE)),
        ({k: v for k, v in TEXT.items() if k != "type"}, "type=template&template=" + quote('{"name":"a","language":"en"}')),
    ],
)
def test_a_query_that_says_otherwise_than_the_body_is_refused(body, query):
    """Graph does not say which of them wins, so neither is believed."""
    found = decoded(body, query=query)

    assert (100, True) == (code(found), "two ways" in found.details)
    assert any(f" {name} " in found.details for name in parse_qs(query))


@pytest.mark.parametrize(
    ("body", "query"),
    [
        (TEXT, "to[]=2"),
        (TEXT, "to[=2"),
        (READ, "text[body]=hi&to=4915112345678"),
        (READ, "recipient[type=group"),
        (TEXT, "%20type=template"),
        (TEXT, "Type=template"),
        (TEXT, "messaging.product=whatsapp"),
        (READ, "Text[body]=hi"),
        (TEXT, "batch=[]"),
        (TEXT, "batch=%5B%7B%22relative_url%22%3A%22x%22%7D%5D"),
        ({**TEXT, "batch": []}, ""),
        ({**READ, "batch": [{"method": "POST", "relative_url": "1/messages"}]}, ""),
        ({**READ, "asyncbatch": "[]"}, ""),
        ({"batch": [{"method": "POST", "relative_url": "1/messages"}]}, ""),
        ({**READ, "Type": "text"}, ""),
        ({**READ, "TEXT": {"body": "hi"}, "To": "1"}, ""),
        ({**READ, " type": "text"}, ""),
        ({**READ, "type\0": "text"}, ""),
        ({**TEXT, "Category": "utility"}, ""),
    ],
)
def test_a_parameter_has_one_spelling(body, query):
    """What one server takes for a parameter and another does not is refused, and so is a batch."""
    assert 100 == code(decoded(body, query=query))


@pytest.mark.parametrize(
    "body",
    [
        form(READ) + "&+type=text&to=4915112345678&text=%7B%22body%22%3A%22hi%22%7D",
        form(READ) + "&Type=text",
        form(READ) + "&type[]=text",
        form(READ) + "&text[body]=hi&to=4915112345678",
        form(READ) + "&recipient.type=group",
        form(READ) + "&type%00x=text",
        form(READ) + "&batch[0][method]=POST",
        form(TEXT) + "&to[]=2",
        form(TEMPLATE) + "&template[name]=b",
    ],
)
def test_a_field_of_a_form_has_one_spelling(body):
    """PHP reads ` type`, `type[]` and `type` as one, others do not."""
    assert 100 == code(decoded(body, FORM))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form(TEMPLATE) + "&type=text&text=%7B%22body%22%3A%22hi%22%7D", Kind.FREE_FORM),
        (form(TEMPLATE) + "&type=&text=%7B%22body%22%3A%22hi%22%7D", Kind.FREE_FORM),
        (
            form(READ) + "&type=template&to=4915112345678&template=%7B%22name%22%3A%22a%22%2C%22language%22%3A%22en%22%7D",
            Kind.TEMPLATE,
        ),
    ],
)
def test_of_a_field_that_comes_twice_the_last_counts_also_when_it_is_empty(body, kind):
    """PHP reads it so."""
    assert kind == decoded(body, FORM).kind


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-new", "application/octet-stream"])
@pytest.mark.parametrize("body", [json.dumps(TEXT), form(TEXT)], ids=["JSON", "form"])
def test_without_a_type_that_says_so_a_body_may_be_json_or_a_form(body, content_type):
    """Whatever a server makes of it, it is read."""
    assert decoded(TEXT) == decoded(body, content_type)


HYBRID = json.dumps({**READ, "x": "&" + form(TEXT) + "&y="})
HIDDEN_BATCH = json.dumps({**READ, "x": "&batch=" + quote('[{"relative_url":"1/messages","method":"POST"}]') + "&y="})


@pytest.mark.parametrize("body", [HYBRID, HIDDEN_BATCH], ids=["message", "batch"])
def test_no_form_hides_in_json(body):
    """A receipt to one server and a message to another is neither; where the type says JSON it is a receipt to all."""
    assert (100, 100, None) == tuple(code(decoded(body, content_type)) for content_type in ("", "text/plain", JSON))


@pytest.mark.parametrize("content_type", ["", "text/plain"])
def test_a_text_may_quote_a_query(content_type):
    """A message with a link in it is one message."""
    body = {**TEXT, "text": {"body": "See https://example.com/?a=1&type=template&Status=2&to=5&batch=7&c=d"}}

    assert decoded(TEXT) == decoded(body, content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json, multipart/form-data; boundary=b",
        "application/json; charset=utf-8, text/plain",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; charset=utf-16",
        "application/json; charset=utf-16le",
        "application/json; charset=latin-1",
        "application/json; charset=utf-7",
    ],
)
def test_a_body_has_one_type_and_is_utf8(content_type):
    """Other charsets write other letters with the same bytes."""
    assert 100 == code(decoded(TEXT, content_type))


@pytest.mark.parametrize("content_type", [JSON, "application/vnd.api+json", "text/json; charset=UTF-8", ""])
def test_a_byte_order_mark_says_nothing(content_type):
    """Some clients write one before UTF-8."""
    assert decoded(TEXT) == decoded(b"\xef\xbb\xbf" + json.dumps(TEXT).encode(), content_type)


def test_json_in_a_form_is_no_form():
    """What curl sends where nobody says that it is JSON is refused, as Graph does."""
    assert 100 == code(decoded(json.dumps(TEXT), FORM))


@pytest.mark.parametrize("name", MESSAGES)
def test_a_multipart_message_may_have_a_file_beside_it(name):
    """A file of any bytes is no parameter."""
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\xff\xfe\r\n'

    assert decoded(MESSAGES[name]) == decoded(file + parts(*named(MESSAGES[name])), PARTS)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            parts(*named(READ), ('name="x"', "1\n--b\nContent-Disposition: form-data; name=type\n\ntext")), id="LF alone"
        ),
        pytest.param(
            parts(*named(READ)) + b'\r\n--b\r\nContent-Disposition: form-data; name="type"\r\n\r\ntext\r\n--b--',
            id="after the end",
        ),
        pytest.param(parts(*named(READ)).replace(b"--b--", b"--bc--\r\n--b--"), id="a delimiter that another begins with"),
        pytest.param(parts(*named(TEXT), ('name="type"; filename="x"', "template")), id="a file of that name"),
        pytest.param(parts(*named(TEXT), ('name="to"; filename="x"', "2")), id="a file for the recipient"),
        pytest.param(parts(*named(READ), ('filename="; name=x"; name="type"', "text")), id="a name in a file name"),
        pytest.param(parts(*named(READ), ('name="x"; name="type"', "text")), id="two names"),
        pytest.param(parts(*named(READ), ("name=\"x\"; name*=utf-8''type", "text")), id="an encoded name"),
        pytest.param(parts(*named(READ), ("name='type'", "text")), id="another quote"),
        pytest.param(parts(*named(READ), ('name="ty\\pe"', "text")), id="an escape"),
        pytest.param(parts(*named(READ), ('name="type', "text")), id="half a quote"),
        pytest.param(parts(*named(READ), ('name="type"\r\nContent-Disposition: form-data; name="x"', "text")), id="twice"),
        pytest.param(parts(*named(READ), ('\r\n name="type"', "text")), id="folded"),
        pytest.param(parts(*named(READ), ('name="type"\nX: y', "text")), id="LF in the head"),
        pytest.param(parts(*named(READ), ('name="type"\r\nContent-Transfer-Encoding: base64', "dGV4dA==")), id="base64"),
        pytest.param(parts(*named(READ), ('name="type"', "text")).replace(b"form-data", b"attachment"), id="no form"),
        pytest.param(parts(*named(READ), ('name="type"', "text")).removesuffix(b"--\r\n"), id="without an end"),
    ],
)
def test_a_multipart_body_is_split_in_one_way(body):
    """What one server takes for a part and another for content, or for a file, is refused."""
    found = decoded(body, PARTS)

    assert isinstance(found, MalformedSend) or found.kind is not Kind.NOT_A_MESSAGE
    assert code(found) in (100, 131008, 131009)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=b; boundary=c",
        "multipart/form-data; xboundary=c; boundary=b",
        "multipart/form-data; x=boundary; boundary=b",
        "multipart/form-data; boundary=b,c",
        'multipart/form-data; boundary="b;c"',
        'multipart/form-data; boundary="b',
        "multipart/form-data; boundary=",
    ],
)
def test_a_boundary_is_read_in_one_way(content_type):
    """PHP takes the first mention of one."""
    assert 100 == code(decoded(parts(*named(TEXT)), content_type))


@pytest.mark.parametrize("boundary", ["----WebKitFormBoundaryAbC123", "-------------------------974767299852498929531610575"])
@pytest.mark.parametrize("quoted", [False, True])
def test_the_boundaries_of_common_clients_are_read(boundary, quoted):
    """Browsers, curl and libraries write them so."""
    value = f'"{boundary}"' if quoted else boundary
    body = parts(*named(TEXT)).replace(b"--b", b"--" + boundary.encode())

    assert decoded(TEXT) == decoded(body, f"multipart/form-data; boundary={value}; charset=utf-8")


@pytest.mark.parametrize(
    "more",
    [
        {"text": {"body": "hi"}},
        {"image": {"id": "1"}, "to": "4915112345678"},
        {"template": TEMPLATE["template"], "to": "4915112345678"},
        {"interactive": {"type": "button"}, "to": "4915112345678"},
        {"reaction": {"message_id": "x", "emoji": ""}},
        {"contacts": [], "to": "4915112345678"},
        {"type": "text", "to": "4915112345678"},
        {"type": "image", "to": "4915112345678"},
    ],
)
@pytest.mark.parametrize("receipt", [READ, {**READ, "typing_indicator": {"type": "text"}}], ids=["read", "typing"])
def test_a_receipt_with_a_message_in_it_is_no_receipt(receipt, more):
    """It is the message, or malformed, and never passes for free."""
    found = decoded({**receipt, **more})

    assert isinstance(found, MalformedSend) or found.kind is not Kind.NOT_A_MESSAGE


@pytest.mark.parametrize(
    "more", [{}, {"to": "4915112345678"}, {"typing_indicator": {"type": "text"}}, {"text": None}, {"image": None}]
)
def test_a_receipt_stays_one(more):
    """With what belongs to it, and with members that are not there."""
    assert Kind.NOT_A_MESSAGE == decoded({**READ, **more}).kind


@pytest.mark.parametrize(
    "type_",
    [
        *("button", "list", "product", "product_list", "catalog_message", "flow", "cta_url", "location_request_message"),
        *("address_message", "call_permission_request", "voice_call", "carousel", "order_details", "order_status"),
        *("request_contact_info", "contact_request", "something_new"),
    ],
)
def test_every_interactive_message_is_free_form(type_):
    """None of them is exempt, not even an order's status."""
    found = decoded({**TEXT, "type": "interactive", "interactive": {"type": type_, "action": {}}})

    assert (Kind.FREE_FORM, "interactive", True) == (found.kind, found.type, found.known_type)


@pytest.mark.parametrize("emoji", ["👍", "", None])
def test_a_reaction_is_one_when_it_is_taken_back(emoji):
    """An empty emoji removes it."""
    reaction = {"message_id": "wamid.A"} | ({} if emoji is None else {"emoji": emoji})

    assert Kind.REACTION == decoded({**TEXT, "type": "reaction", "reaction": reaction}).kind


@pytest.mark.parametrize("depth", [100, 2_000, 200_000])
def test_deep_nesting_is_read_or_refused(depth):
    """It is never a fault."""
    body = (
        '{"messaging_product":"whatsapp","to":"4915112345678","type":"text","text":{"body":"hi"},"x":'
        + "[" * depth
        + "]" * depth
        + "}"
    )

    assert code(decoded(body)) in (None, 100)
