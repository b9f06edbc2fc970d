"""The template that asks for an answer, and requests that carry the token they are sent by."""

from __future__ import annotations

import json

import pytest

from gatekeeper.meta.rewriting import Written, as_question, carries_rights, without_rights

FORM = "application/x-www-form-urlencoded"
TEXT = {"messaging_product": "whatsapp", "to": "49 1511", "type": "text", "text": {"body": "a\n b"}}
IMAGE = {"messaging_product": "whatsapp", "recipient": "DE.1", "type": "image", "image": {"id": "1"}}


def question(body, *, text_parameter=False, content_type="application/json", query=""):
    written = Written(body if isinstance(body, bytes) else json.dumps(body).encode(), content_type, query)
    made = as_question(written, name="news", language="de", text_parameter=text_parameter)
    return None if made is None else json.loads(made)


@pytest.mark.parametrize(
    ("body", "address"),
    [
        (TEXT, {"to": "49 1511"}),
        (IMAGE, {"recipient": "DE.1"}),
        ({**TEXT, "recipient_type": "group"}, {"to": "49 1511", "recipient_type": "group"}),
        ({**TEXT, "to": 4915}, {"to": 4915}),
        ({**TEXT, "context": {"message_id": "w"}, "biz_opaque_callback_data": "x", "ttl": 5}, {"to": "49 1511"}),
    ],
)
def test_a_question_is_addressed_as_the_message_is(body, address):
    """And has nothing else of it."""
    template = {"name": "news", "language": {"code": "de"}}

    assert {"messaging_product": "whatsapp", **address, "type": "template", "template": template} == question(body)


def test_a_form_gives_the_same_question():
    """It goes out as JSON."""
    assert (
        "49 1511" == question(b"messaging_product=whatsapp&to=49+1511&text=%7B%22body%22%3A%22a%22%7D", content_type=FORM)["to"]
    )


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        (TEXT, "a b"),
        ({**TEXT, "text": {"body": "x" * 1024}}, "x" * 1024),
        ({**TEXT, "text": {"body": "x" * 1025}}, None),
        ({**TEXT, "text": {"body": " "}}, None),
        (IMAGE, None),
    ],
)
def test_a_question_may_take_the_text(body, parameter):
    """Where it is none that can be a parameter, there is no question."""
    made = question(body, text_parameter=True)

    assert parameter == (made and made["template"]["components"][0]["parameters"][0]["text"])


@pytest.mark.parametrize("query", ["type=image", "text=%7B%7D", "messaging_product=whatsapp", "image=%7B%7D"])
def test_what_stands_in_the_query_would_go_along(query):
    """So there is no question."""
    assert None is question(IMAGE, query=query)


@pytest.mark.parametrize(
    ("body", "content_type", "carries"),
    [
        (b'{"a": 1}', "application/json", False),
        (b'{"access_token": "x"}', "application/json", True),
        (b'{"Access_Token": "x"}', "application/json", True),
        (b'{"text": {"access_token": "x"}}', "application/json", False),
        (b"to=1&access.token=x", FORM, True),
        (b"to=1&appsecret_proof=x", FORM, True),
        (b"to=1", FORM, False),
        (b"\xff", "application/json", True),
    ],
)
def test_a_body_may_carry_the_token_that_it_is_sent_by(body, content_type, carries):
    """In any spelling; what cannot be read may."""
    assert carries == carries_rights(Written(body, content_type))


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/v23.0/1/messages", "/v23.0/1/messages"),
        ("/v23.0/1/messages?a=b&c", "/v23.0/1/messages?a=b&c"),
        ("/v23.0/1/messages?access_token=x", "/v23.0/1/messages"),
        ("/v23.0/1/messages?a=b&access_token=x&c=d", "/v23.0/1/messages?a=b&c=d"),
        ("/v23.0/1/messages?Access%5Ftoken=x&a=%20", "/v23.0/1/messages?a=%20"),
        ("/v23.0/1/messages?access_token[]=x&appsecret_proof=y", "/v23.0/1/messages"),
    ],
)
def test_a_path_is_left_without_the_tokens_in_its_query(path, left):
    """The rest stays as it was written."""
    assert left == without_rights(path)
