"""What a business does with a thread of an account that several partners share."""

import json

import pytest

from gatekeeper.core.recipients import Names
from gatekeeper.meta.thread_control import Control, controlled, decode_control

NUMBER, USER, BSUID = "106540352242922", "4915112345678", "DE.13491208655302741918"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (f"/{NUMBER}/thread_control", NUMBER),
        (f"/v25.0/{NUMBER}/thread_control", NUMBER),
        (f"/my/prefix/v25.0/{NUMBER}/thread_control/", NUMBER),
        (f"/v25.0/{NUMBER}/thread_control?access_token=x", NUMBER),
        (f"/v25.0/{NUMBER}/thread_controls", None),
        (f"/v25.0/{NUMBER}/messages", None),
        ("/me/thread_control", None),
        ("/thread_control", None),
        (f"/{NUMBER}/thread_control/x", None),
    ],
)
def test_which_requests_are_about_a_thread(path, number):
    """By their path."""
    assert number == controlled(path)


@pytest.mark.parametrize(("action", "elsewhere"), [("pass", True), ("PASS", True), ("release", False), ("take", False)])
@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"to": USER}, Names(wa_id=USER)),
        ({"to": 4915112345678}, Names(wa_id=USER)),
        ({"to": "+49 151 12345678"}, Names(wa_id="+49 151 12345678")),
        ({"recipient": BSUID}, Names(user_id=BSUID)),
    ],
)
def test_an_action_says_whose_the_thread_is(action, elsewhere, members, names):
    """Passed on it is another partner's; taken it is ours, and released nobody's."""
    body = {"messaging_product": "whatsapp", "action": action, **members, "metadata": "Secret"}
    if action == "pass":
        body["control_pass"] = {"target_role": "escalation"}

    assert Control(names=names, elsewhere=elsewhere) == decode_control(json.dumps(body).encode(), JSON)


def test_a_form_says_the_same():
    """Graph takes parameters in either."""
    body = f"messaging_product=whatsapp&action=pass&to={USER}&control_pass[target_role]=ai_agent".encode()

    assert Control(names=Names(wa_id=USER), elsewhere=True) == decode_control(body, FORM)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"\xff", b'{"action":"pass"}', b'{"to":"4915112345678"}', b'{"action":5,"to":"4915112345678"}'),
        *(b'{"action":"share","to":"4915112345678"}', b'{"action":"pass","to":"tel:1"}', b'{"action":"pass","recipient":"Ann"}'),
    ],
)
def test_what_says_nothing_of_a_thread_moves_none(body):
    """It is passed through all the same."""
    assert decode_control(body, JSON) is None
