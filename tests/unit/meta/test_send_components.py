"""What of a template send's components is looked at."""

from __future__ import annotations

import json

import pytest

from gatekeeper.core.checks import Component, Parameter
from gatekeeper.meta.sends import decode_send


def read(components):
    template = {"name": "a", "language": {"code": "en_US"}, "components": components}
    body = {"messaging_product": "whatsapp", "to": "16505551234", "type": "template", "template": template}
    return decode_send(json.dumps(body).encode()).components


def one(**component):
    """The parameters of one component."""
    (found,) = read([{"type": "body", **component}])
    return found.parameters


def test_a_whole_template_send():
    """Meta's own example: a header's image, a body's texts and a button's payload."""
    components = [
        {"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]},
        {"type": "body", "parameters": [{"type": "text", "parameter_name": "first_name", "text": "Ann"}]},
        {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "YES"}]},
    ]
    expected = (
        Component(kind="header", parameters=(Parameter(kind="image"),)),
        Component(kind="body", parameters=(Parameter(kind="text", name="first_name"),)),
        Component(kind="button", index=0, parameters=(Parameter(kind="payload"),)),
    )

    assert expected == read(components)


@pytest.mark.parametrize("components", [None, []])
def test_no_components_are_none(components):
    """Meta counts them as no parameters at all."""
    assert () == read(components)


@pytest.mark.parametrize("components", ["body", {"type": "body"}, [1], ["body"], [{}], [{"type": 1}], [{"type": "ß"}]])
def test_what_is_no_list_of_components_cannot_be_told(components):
    """Meta may read it in a way of its own, so nothing is held against it."""
    assert read(components) is None


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        (None, ()),
        ([], ()),
        ([{"type": "TEXT", "text": "a"}], (Parameter(kind="text"),)),
        ([{"text": "a"}], (Parameter(kind="text"),)),
        ([{"image": {"id": "1"}}], (Parameter(kind="image"),)),
        ([{"type": "text", "text": ""}], (Parameter(kind="text", empty=True),)),
        ([{"type": "text", "text": " "}], (Parameter(kind="text"),)),
        ([{"type": "text"}], (Parameter(kind="text"),)),
        ([{"type": "text", "text": "a", "parameter_name": ""}], (Parameter(kind="text"),)),
        ([{"type": "text", "text": "a", "parameter_name": 5}], (Parameter(kind="text", name="?"),)),
        ([{}], (Parameter(kind=""),)),
        ("a", None),
        ([1], None),
    ],
)
def test_parameters_are_told_by_kind_and_name(parameters, found):
    """A kind that is left out is told by its member; what is no parameter cannot be told."""
    assert found == one(parameters=parameters)


@pytest.mark.parametrize(("index", "found"), [("0", 0), (1, 1), (None, None), ("first", None), (1.5, None), (True, None)])
def test_a_button_has_a_place(index, found):
    """Meta takes it as a string or a number."""
    (component,) = read([{"type": "button", "index": index}])

    assert found == component.index


def test_other_messages_have_no_components():
    """What stands under that name elsewhere is nobody's template."""
    body = {"messaging_product": "whatsapp", "to": "1650555123", "type": "text", "text": {"body": "a", "components": [1]}}

    assert decode_send(json.dumps(body).encode()).components is None
