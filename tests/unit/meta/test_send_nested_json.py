"""Objects that come as strings of JSON, and texts with half an emoji: what Graph takes is read."""

import json

import pytest

from gatekeeper.meta.plain import plain_send
from gatekeeper.meta.rewriting import Written, as_question, as_template
from gatekeeper.meta.sends import Kind, MalformedSend, Send, decode_send

HEAD = {"messaging_product": "whatsapp", "to": "4915112345678"}
PARAMETERS = [{"type": "text", "text": "Ada", "parameter_name": "name"}, {"type": "text", "text": ""}]
COMPONENTS = [{"type": "body", "parameters": PARAMETERS}, {"type": "button", "sub_type": "url", "index": "0", "parameters": []}]
LANGUAGE = {"code": "en_US", "policy": "deterministic"}
CONTENT = {"name": "order_update", "language": LANGUAGE, "components": COMPONENTS}
TEMPLATE = {**HEAD, "type": "template", "template": CONTENT}
TEXT = {**HEAD, "type": "text", "text": {"body": "hi"}}
SENDS = {
    "text": TEXT,
    "template": TEMPLATE,
    "image": {**HEAD, "type": "image", "image": {"id": "7"}},
    "location": {**HEAD, "type": "location", "location": {"latitude": 1, "longitude": 2}},
    "contacts": {**HEAD, "type": "contacts", "contacts": [{"name": {"formatted_name": "Ada"}}]},
    "interactive": {**HEAD, "type": "interactive", "interactive": {"type": "button", "action": {}}},
    "reaction": {**HEAD, "type": "reaction", "reaction": {"message_id": "wamid.A"}},
}


def decoded(body: object) -> Send:
    return decode_send(body if isinstance(body, bytes) else json.dumps(body).encode())


def refused(body: object) -> MalformedSend:
    with pytest.raises(MalformedSend) as caught:
        decoded(body)
    return caught.value


@pytest.mark.parametrize("type_", SENDS)
def test_the_object_of_a_type_may_be_a_string_of_json(type_):
    """Graph decodes a string where an object is due, as it does in a form."""
    body = SENDS[type_]

    assert decoded(body) == decoded({**body, type_: json.dumps(body[type_])})
    assert decoded(body) == decoded({**body, type_: f" {json.dumps(body[type_], indent=1)}\n"})


@pytest.mark.parametrize(
    "more",
    [
        {"language": json.dumps(LANGUAGE)},
        {"language": "en_US"},
        {"components": json.dumps(COMPONENTS)},
        {"components": [json.dumps(component) for component in COMPONENTS]},
        {"components": [{**component, "parameters": json.dumps(component["parameters"])} for component in COMPONENTS]},
        {
            "components": [
                {**component, "parameters": [json.dumps(one) for one in component["parameters"]]} for component in COMPONENTS
            ]
        },
        {"language": json.dumps(LANGUAGE), "components": json.dumps([json.dumps(component) for component in COMPONENTS])},
    ],
    ids=["language", "bare language", "components", "each component", "parameters", "each parameter", "all of it"],
)
def test_what_is_in_a_template_may_be_strings_of_json(more):
    """At every depth; also where the template itself is one."""
    content = {**CONTENT, **more}

    assert decoded(TEMPLATE) == decoded({**TEMPLATE, "template": content})
    assert decoded(TEMPLATE) == decoded({**TEMPLATE, "template": json.dumps(content)})


def test_a_text_without_a_type_may_be_a_string_of_json():
    """It is a text all the same, and no receipt."""
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": "w", **HEAD, "text": '{"body":"hi"}'}

    assert (Kind.FREE_FORM, "text") == (decoded(body).kind, decoded(body).type)


@pytest.mark.parametrize(
    ("body", "code", "details"),
    [
        ({**TEXT, "text": "hi"}, 131009, "The parameter text must be an object."),
        ({**TEXT, "text": '{"body":'}, 131009, "The parameter text must be an object."),
        ({**TEXT, "text": '["body"]'}, 131009, "The parameter text must be an object."),
        ({**TEXT, "text": json.dumps('{"body":"hi"}')}, 131009, "The parameter text must be an object."),
        ({**TEXT, "text": "{}"}, 131008, "The parameter text.body is missing."),
        ({**TEXT, "text": '{"body":5}'}, 131009, "The parameter text.body must be a string."),
        ({**TEXT, "text": '{"body":["Secret"]}'}, 131009, "The parameter text.body must be a string."),
        ({**TEMPLATE, "template": '{"name":"a"}'}, 131008, "The parameter template.language is missing."),
        ({**TEMPLATE, "template": '{"name":"a","language":"{}"}'}, 131008, "The parameter template.language.code is missing."),
        (
            {**TEMPLATE, "template": {"name": "a", "language": '{"code":5}'}},
            131009,
            "The parameter template.language.code must be a string.",
        ),
        ({**HEAD, "type": "contacts", "contacts": "{}"}, 131009, "The parameter contacts must be an array."),
    ],
)
def test_what_is_wrong_in_a_string_of_json_is_named_as_in_an_object(body, code, details):
    """The details name the member, and nothing that it holds."""
    found = refused(body)

    assert (code, details) == (found.code, found.details)


@pytest.mark.parametrize("text", ["{", "{}", '{"body":"a"}', "[1, 2]", '"{}"'])
def test_a_body_that_looks_like_json_is_a_text(text):
    """Only where an object is due is a string read as one."""
    assert decoded(TEXT) == decoded({**TEXT, "text": {"body": text}})


def test_texts_as_strings_of_json_become_templates():
    """A fallback reads them as the gate does."""
    written = Written(json.dumps({**TEXT, "text": '{"body":"hi there"}'}).encode())
    found = [rewrite(written, name="a", language="en", text_parameter=True) or b"{}" for rewrite in (as_template, as_question)]

    assert [["hi there"]] * 2 == [
        [parameter["text"] for part in json.loads(body)["template"]["components"] for parameter in part["parameters"]]
        for body in found
    ]


# ---------------------------------------------------------------------------------------------------------- half an emoji

HALVES = ["\\ud83d", "\\uDE00", "a\\ud83d b", "\\ude00\\ud83d", "\\ud83d\\ud83d\\ude00", "\\\\\\ud83d"]


def raw(**members: str) -> bytes:
    """JSON with members that are written just so."""
    head = {"messaging_product": '"whatsapp"', "to": '"4915112345678"', **members}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in head.items()) + "}").encode()


@pytest.mark.parametrize("half", HALVES)
def test_half_an_emoji_is_read(half):
    """It is no text in UTF-8, and a client may write one all the same: what it stands in is decided by."""
    bodies = [
        raw(type='"text"', text=f'{{"body":"{half}"}}'),
        raw(type='"text"', text='"{\\"body\\":\\"' + half.replace("\\", "\\\\") + '\\"}"'),
        raw(type='"template"', template=f'{{"name":"a","language":{{"code":"en","x":"{half}"}}}}'),
        raw(type='"text"', text='{"body":"hi"}', biz_opaque_callback_data=f'"{half}"'),
        raw(type='"text"', text='{"body":"hi"}').replace(b"{", f'{{"{half}":1,'.encode(), 1),
    ]
    found = [decoded(body) for body in bodies]

    assert ["text", "text", "template", "text", "text"] == [send.type for send in found]
    assert ["4915112345678"] * 5 == [send.to for send in found]


@pytest.mark.parametrize("half", HALVES)
def test_half_an_emoji_in_a_name_leaves_one_that_can_be_stored(half):
    """Every name that is read can be written as UTF-8: it becomes a key, and stands in a log."""
    found = decoded(
        raw(
            type='"template"',
            template=f'{{"name":"a{half}","language":{{"code":"en{half}"}},'
            f'"components":[{{"type":"body","parameters":[{{"type":"text","parameter_name":"{half}","text":"x"}}]}}]}}',
        )
    )
    names = [found.template, found.language, found.components[0].parameters[0].name]

    assert all("\ufffd" in name and name.encode() for name in names)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["to", "recipient"])
def test_half_an_emoji_is_no_address(name, half):
    """It is refused as any other letter is, by the name of the parameter."""
    found = refused(raw(type='"text"', text='{"body":"hi"}', **{"to": "null", name: f'"49151{half}"'}))

    assert (131009, True) == (found.code, f"The parameter {name} is not a phone number" in found.details)


def test_a_whole_emoji_stays_one():
    """Two halves in their order are a letter."""
    found = decoded(raw(type='"template"', template='{"name":"\\ud83d\\ude00\\ud83d","language":"en"}'))

    assert "\U0001f600\ufffd" == found.template


def test_the_short_way_leaves_half_an_emoji_to_the_long_one():
    """It reads nothing that is odd."""
    body = raw(type='"text"', text='{"body":"\\ud83d"}')

    assert plain_send(body, content_type="application/json", query="", marketing_api=False) is None
