"""Forms and queries whose names have brackets, as PHP reads them."""

import json
from urllib.parse import quote, urlencode

import pytest

from gatekeeper.meta.brackets import nested
from gatekeeper.meta.rewriting import Written, as_template
from gatekeeper.meta.sends import Kind, MalformedSend, Send, decode_send

FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
TO = "4915112345678"
HEAD = {"messaging_product": "whatsapp", "to": TO}
TEXT = {**HEAD, "type": "text", "text": {"body": "hi"}}
COMPONENTS = [
    {"type": "header", "parameters": [{"type": "image", "image": {"id": "7"}}]},
    {"type": "body", "parameters": [{"type": "text", "text": "Ada", "parameter_name": "name"}, {"type": "text", "text": ""}]},
    {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "x"}]},
]
TEMPLATE = {
    **HEAD,
    "type": "template",
    "template": {"name": "order_update", "language": {"code": "en_US"}, "components": COMPONENTS},
}
SENDS = {
    "text": TEXT,
    "template": TEMPLATE,
    "image": {**HEAD, "type": "image", "image": {"link": "https://example.com/a.png"}},
    "location": {**HEAD, "type": "location", "location": {"latitude": "1.5", "longitude": "2"}},
    "contacts": {**HEAD, "type": "contacts", "contacts": [{"name": {"formatted_name": "Ada"}}]},
    "interactive": {**HEAD, "type": "interactive", "interactive": {"type": "button", "action": {"buttons": [{"type": "reply"}]}}},
    "reaction": {**HEAD, "type": "reaction", "reaction": {"message_id": "wamid.A", "emoji": "x"}},
    "receipt": {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": "wamid.A",
        "typing_indicator": {"type": "text"},
    },
}


def flat(value: object, name: str = "", *, counted: bool = True) -> list[tuple[str, str]]:
    """The fields that PHP reads as *value*; lists by index, or left to count."""
    if isinstance(value, dict):
        members = [(f"{name}[{key}]" if name else key, inner) for key, inner in value.items()]
    elif isinstance(value, list):
        members = [(f"{name}[{index if counted else ''}]", inner) for index, inner in enumerate(value)]
    else:
        return [(name, str(value))]
    return [field for inner_name, inner in members for field in flat(inner, inner_name, counted=counted)]


def multipart(fields: list[tuple[str, str]]) -> bytes:
    sections = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
    return ("".join(sections) + "--b--\r\n").encode()


def decoded(body: str | bytes, content_type: str = FORM, query: str = "") -> Send | MalformedSend:
    try:
        return decode_send(body.encode() if isinstance(body, str) else body, content_type=content_type, query=query)
    except MalformedSend as error:
        return error


@pytest.mark.parametrize("name", SENDS)
def test_brackets_say_what_the_json_says(name):
    """In a form, in parts, in the query, and in a body that does not say what it is."""
    fields = flat(SENDS[name])
    form = urlencode(fields)
    found = [
        decoded(form),
        decoded(multipart(fields), PARTS),
        decoded(b"", "", form),
        decoded(form, ""),
        decoded(form, "text/plain"),
    ]

    assert [decode_send(json.dumps(SENDS[name]).encode())] * len(found) == found


def test_members_in_brackets_may_be_json_in_their_turn():
    """As in a form without brackets: an object, or a list, may be a string of JSON at any depth."""
    expected = decode_send(json.dumps(TEMPLATE).encode())
    head = urlencode({**HEAD, "type": "template", "template[name]": "order_update"})
    ways = [
        "&template[language]=en_US&template[components]=" + quote(json.dumps(COMPONENTS)),
        "&template[language]=" + quote('{"code":"en_US"}') + "&template[components]=" + quote(json.dumps(COMPONENTS)),
        "&template[language][code]=en_US"
        + "".join(f"&template[components][{n}]=" + quote(json.dumps(part)) for n, part in enumerate(COMPONENTS)),
        "&template[language][code]=en_US" + "".join("&template[components][]=" + quote(json.dumps(part)) for part in COMPONENTS),
        "&template[language][code]=en_US&"
        + urlencode(
            [
                field
                for n, part in enumerate(COMPONENTS)
                for field in flat({**part, "parameters": json.dumps(part["parameters"])}, f"template[components][{n}]")
            ]
        ),
    ]

    assert [expected] * len(ways) == [decoded(head + way) for way in ways]


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ([("a[b]", "1")], {"a": {"b": "1"}}),
        ([("a[b]", "1"), ("a[b]", "2")], {"a": {"b": "2"}}),
        ([("a[]", "1"), ("a[]", "2")], {"a": ["1", "2"]}),
        ([("a[][b]", "1"), ("a[][b]", "2")], {"a": [{"b": "1"}, {"b": "2"}]}),
        ([("a[0][b]", "1"), ("a[0][c]", "2"), ("a[1][b]", "3")], {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        ([("a[1]", "x"), ("a[0]", "y")], {"a": {"1": "x", "0": "y"}}),
        ([("a[5]", "x"), ("a[]", "y")], {"a": {"5": "x", "6": "y"}}),
        ([("a[b]", "x"), ("a[]", "y")], {"a": {"b": "x", "0": "y"}}),
        ([("a[b.c]", "x")], {"a": {"b.c": "x"}}),
        ([("a[00]", "x")], {"a": {"00": "x"}}),
        ([("a[b][c]", "")], {"a": {"b": {"c": ""}}}),
    ],
)
def test_what_php_makes_of_brackets(fields, value):
    """An index that is left out is the next one; the last value of a name counts."""
    assert (value, {}) == nested(fields)


@pytest.mark.parametrize("fields", [[("a[b]", "1"), ("a[b][c]", "2")], [("a[b][c]", "2"), ("a[b]", "1")]])
def test_of_a_value_and_an_object_under_one_name_the_last_counts_and_it_is_in_doubt(fields):
    """PHP replaces either by the other; not every server does."""
    found, doubtful = nested(fields)
    last = "1" if fields[-1][0] == "a[b]" else {"c": "2"}

    assert ({"a": {"b": last}}, [fields[-1][0]]) == (found, list(doubtful))


@pytest.mark.parametrize("name", ["a[", "a[b", "a]b", "a[b]c", "a[b]c[d]", "a[[b]]", "a [b]", "a.b[c]", "a[ b]", "[b]", "a\0[b]"])
def test_a_name_that_is_no_plain_sequence_of_brackets_is_in_doubt(name):
    """PHP drops, cuts or renames these, each in a way of its own."""
    assert ({}, {name: "1"}) == nested([(name, "1")])


def test_brackets_are_nested_as_deep_as_php_nests_them():
    """What is deeper is dropped there."""
    names = ["a" + "[b]" * depth for depth in (64, 65)]
    found = [nested([(name, "1")]) for name in names]

    assert [1, 0] == [len(members) for members, _ in found]
    assert [[], names[1:]] == [list(doubtful) for _, doubtful in found]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        (f"to[]={TO}", "to"),
        (f"to[0]={TO}", "to"),
        (f"to[={TO}", "to"),
        ("text={}", "text"),
        ("text[body=hi", "text"),
        ("text[body]x=hi", "text"),
        ("text[body][x]=hi", "text"),
        ("Text[body]=hi", "text"),
        ("text.x=&tex t[body]=x&+text[body]=hi", "text"),
        ("type[]=text", "type"),
        ("recipient[type=group", "recipient"),
        ("recipient_type[]=group", "recipient_type"),
        ("category[]=utility", "category"),
        ("messaging[product=whatsapp", "messaging_product"),
        ("messaging_product[]=whatsapp", "messaging_product"),
        ("batch[0][method]=POST&batch[0][relative_url]=1/messages", "batch"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_can_be_read_in_two_ways_is_refused_by_name(more, name, first):
    """Neither is decided and the other sent."""
    send = f"messaging_product=whatsapp&to={TO}&type=text&text[body]=hi"
    found = decoded(f"{more}&{send}" if first else f"{send}&{more}")

    assert isinstance(found, MalformedSend)
    assert name in found.details


@pytest.mark.parametrize(
    ("body", "code", "details"),
    [
        (f"messaging_product=whatsapp&to[]={TO}&type=text&text[body]=hi", 131009, "The parameter to must be a string."),
        (f"messaging_product=whatsapp&to={TO}&type=text&text[]=hi", 131009, "The parameter text must be an object."),
        (f"messaging_product=whatsapp&to={TO}&type=text&text[body]=", 131008, "The parameter text.body is missing."),
        (f"messaging_product=whatsapp&to={TO}&type=text&text[body][]=x", 131009, "The parameter text.body must be a string."),
        (f"messaging_product=whatsapp&to={TO}&type[]=text", 131009, "The parameter type must be a string."),
        (
            f"messaging_product=whatsapp&to={TO}&type=template&template[name]=a",
            131008,
            "The parameter template.language is missing.",
        ),
        (
            f"messaging_product=whatsapp&to={TO}&type=template&template[name]=a&template[language][locale]=en",
            131008,
            "The parameter template.language.code is missing.",
        ),
    ],
)
def test_what_is_wrong_in_brackets_is_named_as_in_json(body, code, details):
    """The details name the member."""
    found = decoded(body)

    assert (code, details) == (found.code, found.details)


def test_a_receipt_to_one_server_and_a_message_to_another_is_neither():
    """A server that knows no brackets reads a receipt."""
    found = decoded(f"messaging_product=whatsapp&status=read&message_id=wamid.A&to={TO}&text[body]=hi")

    assert (100, True) == (found.code, "two ways: give text once" in found.details)


def test_brackets_in_the_query_are_held_against_the_body():
    """As any other parameter there."""
    body = json.dumps(TEXT)
    same, other = (
        decoded(body, "application/json", query)
        for query in ("text[body]=hi", "type=template&template[name]=b&template[language]=en")
    )

    assert (Kind.FREE_FORM, 100) == (same.kind, other.code)


def test_names_in_brackets_that_decide_nothing_may_be_anything():
    """A quoted message, say."""
    form = f"messaging_product=whatsapp&to={TO}&type=text&text[body]=hi&context[message_id]=wamid.A&context=x&x[=1&a[b]c=2&[d]=3"

    assert decode_send(json.dumps(TEXT).encode()) == decoded(form)


def test_a_text_in_brackets_becomes_a_template():
    """A fallback keeps the recipient, and the text is the template's parameter."""
    written = Written(f"messaging_product=whatsapp&to={TO}&context[message_id]=w&text[body]=hi+there".encode(), FORM)
    body = json.loads(as_template(written, name="a", language="en", text_parameter=True) or b"{}")

    assert (TO, {"message_id": "w"}) == (body["to"], body["context"])
    assert [{"type": "body", "parameters": [{"type": "text", "text": "hi there"}]}] == body["template"]["components"]


@pytest.mark.parametrize(
    ("depth", "fields", "refused"), [(5, 900, False), (6, 900, True), (64, 79, True), (64, 50, False), (9_000, 9, False)]
)
def test_a_form_has_no_more_brackets_than_any_message(depth, fields, refused):
    """So that what it costs to read one stays small, however it is written."""
    more = "&".join(f"x[{n}]{'[b]' * (depth - 1)}=1" for n in range(fields))
    found = decoded(f"{urlencode(HEAD)}&type=text&text[body]=hi&{more}")

    assert refused == isinstance(found, MalformedSend)
    assert not refused or "too many parameters in brackets" in found.details
