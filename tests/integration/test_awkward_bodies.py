"""Bodies that are written in a way of their own: what Graph takes goes out byte for byte, and what it does not is named."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, quote, urlencode

import pytest

NUMBER, USER = "106540352242922", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
PARTS = ("Content-Type", "multipart/form-data; boundary=b")
TEXT = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hi"}}
HEAD = f"messaging_product=whatsapp&to={USER}"
IN_BRACKETS = (
    f"{HEAD}&type=template&template[name]=order_update&template[language][code]=en_US&template[components][0][type]=body"
)


def written(text: str) -> bytes:
    """A text of JSON escapes, just so."""
    return ('{"messaging_product":"whatsapp","to":"' + USER + '","type":"text","text":' + text + "}").encode()


def part(name: str, value: str) -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


BODIES = {
    "half an emoji": (JSON, written('{"body":"a\\ud83d"}')),
    "half an emoji in a name": (JSON, written('{"body":"a","\\ude00":"b"}')),
    "a text as a string": (JSON, written('"{\\"body\\":\\"hi\\"}"')),
    "a text in brackets": (FORM, f"{HEAD}&type=text&text[body]=hi".encode()),
    "a text in JSON in a form": (FORM, f"{HEAD}&type=text&text={quote(json.dumps({'body': 'hi'}))}".encode()),
    "a template in brackets": (FORM, IN_BRACKETS.encode()),
    "a template in encoded brackets": (FORM, urlencode(parse_qsl(IN_BRACKETS)).encode()),
    "a text in brackets in parts": (
        PARTS,
        part("messaging_product", "whatsapp") + part("to", USER) + part("text[body]", "hi") + b"--b--\r\n",
    ),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_graph_takes_goes_out_as_it_came(name, house, graph):
    """It is decided, and Meta gets the caller's own bytes."""
    header, body = BODIES[name]
    await house.wrote()
    answer = await house.ask("POST", SENDS, [header], body)

    assert (200, "allow") == (answer.status, answer["Gatekeeper-Verdict"])
    assert [body] == [request.body for request in graph.arrived]
    assert ["4915…78"] == [line["recipient"] for line in house.logged("decision")]


@pytest.mark.parametrize("name", ["a template in brackets", "a template in encoded brackets"])
async def test_a_template_in_brackets_is_priced_as_one(name, house):
    """It needs no window, and is no text."""
    header, body = BODIES[name]
    answer = await house.ask("POST", SENDS, [header], body)

    assert ("allow", "charged_message", "Germany") == tuple(
        answer[f"Gatekeeper-{header}"] for header in ("Verdict", "Reason", "Market")
    )


NO_NUMBERS = {
    "0049151123456": "+ and the country code in place of a leading 00",
    "+49 (0)151 12345678": "leave out the (0)",
    "tel:+4915112345678": "leave out what stands before the number",
    "whatsapp:+4915112345678": "leave out what stands before the number",
    "4915112345678@s.whatsapp.net": "leave out the @",
    "4915112345678@c.us": "leave out the @",
    "+": "too few digits",
    "call me": "nothing but digits",
    "12345678901234567": "too many digits",
    "49151\ud83d12345678": "nothing but digits",
}


@pytest.mark.parametrize("to", NO_NUMBERS, ids=ascii)
@pytest.mark.parametrize("known", [True, False])
async def test_what_is_no_phone_number_is_refused_for_that(to, known, house, graph):
    """Not for a window that nobody could ever open; the details say what to write in its place."""
    if known:
        await house.wrote()
    answer = await house.send({**TEXT, "to": to})
    details = answer.json["error"]["error_data"]["details"]

    assert ((400, 131009), "malformed_request", []) == (answer.error, answer["Gatekeeper-Reason"], graph.arrived)
    assert "The parameter to is not a phone number." in details
    assert NO_NUMBERS[to] in details


@pytest.mark.parametrize("to", NO_NUMBERS, ids=ascii)
async def test_where_nothing_is_blocked_it_goes_out_with_the_reason(to, open_house, graph):
    """Byte for byte, as any send that would be blocked."""
    house = await open_house(graph.url, policy={"mode": "annotate"})
    body = json.dumps({**TEXT, "to": to}).encode()
    answer = await house.ask("POST", SENDS, [JSON], body)

    assert (200, "annotate", "malformed_request") == (answer.status, answer["Gatekeeper-Verdict"], answer["Gatekeeper-Reason"])
    assert [body] == [request.body for request in graph.arrived]


@pytest.mark.parametrize("to", ["+49 (151) 123-45678", "49.151.1234.5678", "4915112345678"])
async def test_what_meta_takes_between_the_digits_is_no_mistake(to, house):
    """Spaces, hyphens, dots and brackets fall away, and so does a missing plus."""
    await house.wrote()
    answer = await house.send({**TEXT, "to": to})

    assert (200, "allow") == (answer.status, answer["Gatekeeper-Verdict"])


async def test_a_group_has_no_number(house):
    """Its id is whatever Meta makes it."""
    answer = await house.send({**TEXT, "recipient_type": "group", "to": "120363041234567890@g.us"})

    assert (400, 131047) == answer.error
