"""What Meta's answer to a send says."""

import json

import pytest

from gatekeeper.meta.responses import Answer, AnsweredContact, decode_answer

BSUID = "US.13491208655302741918"


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": "+16505551234", "wa_id": "16505551234"}],
                "messages": [{"id": "wamid.A", "message_status": "accepted"}],
            },
            Answer(wamid="wamid.A", contacts=(AnsweredContact(input="+16505551234", wa_id="16505551234"),)),
        ),
        (
            {"contacts": [{"input": BSUID, "user_id": BSUID}], "messages": [{"id": "wamid.A"}]},
            Answer(wamid="wamid.A", contacts=(AnsweredContact(input=BSUID, user_id=BSUID),)),
        ),
        ({"messages": [{"id": "wamid.A", "group_id": "g"}], "success": True}, Answer(wamid="wamid.A", success=True)),
        ({"messages": [None, {}, 5]}, None),
        ({"messages": [None, {"id": "wamid.A"}], "contacts": [5, None]}, Answer(wamid="wamid.A")),
        ({"contacts": [{}]}, Answer(contacts=(AnsweredContact(input=""),))),
        ({"contacts": "x", "messages": {"id": "wamid.A"}}, None),
        ({"success": True}, Answer(success=True)),
        ({"success": False}, Answer(success=False)),
        ({"success": "yes"}, None),
        ({"error": {"message": "(#131047) Re-engagement message", "code": 131047}}, Answer(error_code=131047)),
        ({"error": {"code": "190"}}, Answer(error_code=190)),
        ({"error": {"message": "An unknown error occurred"}}, Answer(error_code=-1)),
        ({"error": {"code": [131047]}}, Answer(error_code=-1)),
        ({"error": {}}, Answer(error_code=-1)),
        ({"error": "invalid_request"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_an_answer_is_read_as_far_as_it_goes(payload, answer):
    """A wamid means accepted and Graph's error object refused; what is neither says nothing."""
    assert answer == decode_answer(json.dumps(payload).encode())


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b'{"messages":[{"id":"wam', b"\xff", b"[" * 100_000])
def test_an_answer_that_is_no_json_says_nothing(body):
    """A proxy on the way answers in HTML, and a broken connection in half an answer."""
    assert decode_answer(body) is None
