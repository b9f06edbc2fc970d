"""A send is the same send in each content type that Graph takes."""

import json
from urllib.parse import urlencode

import pytest

from gatekeeper.meta.sends import MalformedSend, decode_send

BODIES = [
    {"messaging_product": "whatsapp", "to": "+16505551234", "type": "text", "text": {"body": "Hällo & more"}},
    {"messaging_product": "whatsapp", "to": "+16505551234", "text": {"body": "Hello"}, "category": "utility"},
    {
        "messaging_product": "whatsapp",
        "recipient": "US.1349",
        "type": "template",
        "template": {"name": "order_update", "language": {"code": "en_US"}},
    },
    {
        "messaging_product": "whatsapp",
        "to": "4915112345678",
        "type": "contacts",
        "contacts": [{"name": {"formatted_name": "Ann"}}],
    },
    {"messaging_product": "whatsapp", "recipient_type": "group", "to": "group", "type": "image", "image": {"id": "1"}},
    {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A", "typing_indicator": {"type": "text"}},
]


def fields(body: dict) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}


def multipart(parts: dict[str, str], boundary: str = "xyz") -> bytes:
    sections = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts.items()
    ]
    return ("".join(sections) + f"--{boundary}--\r\n").encode()


NEW = multipart({"messaging_product": "whatsapp", "to": "4915112345678", "type": "new"})


@pytest.mark.parametrize("body", BODIES)
def test_a_form_says_what_the_json_says(body):
    """In a form the nested objects are JSON strings."""
    send = decode_send(urlencode(fields(body)).encode(), content_type="application/x-www-form-urlencoded")

    assert decode_send(json.dumps(body).encode()) == send


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=xyz", 'Multipart/Form-Data; charset=utf-8; boundary="xyz"']
)
@pytest.mark.parametrize("body", BODIES)
def test_a_multipart_form_says_what_the_json_says(body, content_type):
    """Each member is a part of its own."""
    send = decode_send(multipart(fields(body)), content_type=content_type)

    assert decode_send(json.dumps(body).encode()) == send


def test_a_small_form_is_a_send():
    """What the cases of the next table break."""
    assert decode_send(NEW, content_type="multipart/form-data; boundary=xyz").to == "4915112345678"


def test_parts_may_carry_headers_of_their_own():
    """Clients add a content type to each part, and a file name to some."""
    body = b"\r\n".join(
        [
            b"--b",
            b"Content-Type: text/plain",
            b'content-disposition: form-data; filename="f"; name=messaging_product',
            b"\r\nwhatsapp",
            b"--b",
            b'Content-Disposition: form-data; name="to"',
            b"\r\n4915112345678",
            b"--b",
            b'Content-Disposition: form-data; name="text"',
            b"Content-Type: application/json",
            b'\r\n{"body": "Hello"}',
            b"--b--",
        ]
    )

    assert decode_send(body, content_type="multipart/form-data; boundary=b").type == "text"


def test_of_a_field_that_comes_twice_the_last_counts():
    """A form is read as Meta reads it."""
    body = b"messaging_product=whatsapp&to=4915112345678&to=4915112345679&text=%7B%22body%22%3A%22a%22%7D"

    assert decode_send(body, content_type="application/x-www-form-urlencoded").to == "4915112345679"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "APPLICATION/JSON; charset=UTF-8",
        'application/json; charset="utf8"',
        "text/plain",
        "application/x-new; v=1",
    ],
)
def test_any_other_content_type_is_tried_as_json(content_type):
    """What the header says matters less than what the body is."""
    assert decode_send(json.dumps(BODIES[0]).encode(), content_type=content_type).type == "text"


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (json.dumps(BODIES[0]).encode("utf-16"), "application/json; charset=utf-16", 100),
        (json.dumps(BODIES[0]).encode(), "application/json; charset=latin-1", 100),
        (b"messaging_product=whatsapp&to=4915112345678&type=text&text=%FF", "application/x-www-form-urlencoded", 100),
        (b"messaging_product=whatsapp&to=4915112345678&type=text&text=hello", "application/x-www-form-urlencoded", 131009),
        (b"messaging_product=whatsapp&to=4915112345678&type=text&text=", "application/x-www-form-urlencoded", 131008),
        (
            b"messaging_product=whatsapp&to=4915112345678&type=text&text=" + b"[" * 50_000,
            "application/x-www-form-urlencoded",
            131009,
        ),
        (b"messaging_product=whatsapp&to=4915112345678&type=new" + b"&a=1" * 2000, "application/x-www-form-urlencoded", 100),
        (b"messaging_product=whatsapp&to=4915112345678&type=new", "application/x-www-form-urlencoded; charset=utf-16", 100),
        (b"", "application/x-www-form-urlencoded", 100),
        (multipart(fields(BODIES[0])), "multipart/form-data", 100),
        (multipart(fields(BODIES[0])), "multipart/form-data; boundary=other", 100),
        (multipart(fields(BODIES[0])).removesuffix(b"--xyz--\r\n"), "multipart/form-data; boundary=xyz", 100),
        (
            multipart({"messaging_product": "whatsapp", "to": "4915112345678", "text": "hello"}),
            "multipart/form-data; boundary=xyz",
            131009,
        ),
        (NEW.replace(b"\r\n\r\n4915112345678", b"\r\n4915112345678"), "multipart/form-data; boundary=xyz", 100),
        (NEW.replace(b"name=", b"nom="), "multipart/form-data; boundary=xyz", 100),
        (
            NEW.replace(b"form-data", b"x" * 5000),
            "multipart/form-data; boundary=xyz",
            100,
        ),
        (NEW.replace(b"\r\n4915112345678\r\n", b"\r\n\xff\r\n"), "multipart/form-data; boundary=xyz", 100),
    ],
)
def test_a_body_that_is_not_what_its_type_says_is_refused(body, content_type, code):
    """Whatever cannot be read must not pass unread."""
    with pytest.raises(MalformedSend) as caught:
        decode_send(body, content_type=content_type)

    assert code == caught.value.code
