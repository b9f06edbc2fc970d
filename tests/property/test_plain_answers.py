"""The short way of reading an answer reads what the long one reads."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from gatekeeper.meta import responses
from gatekeeper.meta.responses import decode_answer

CONTACT = {"input": "+49 151 1", "wa_id": "491511"}
TAKEN = {"messaging_product": "whatsapp", "contacts": [CONTACT], "messages": [{"id": "wamid.A", "message_status": "accepted"}]}
REFUSED = {"error": {"message": "no", "code": 131047, "fbtrace_id": "A"}}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 200_000),
    st.sampled_from(["", " ", "wamid.B", "x" * 3000, "\ud800", "é", "131047"]),
    st.sampled_from([[], {}, [None], [{}], [{"id": None}], [{"id": 1}, {"id": "wamid.C"}], [CONTACT, CONTACT], {"code": "1"}]),
)
NAMES = st.sampled_from(["contacts", "messages", "error", "success", "id", "input", "wa_id", "user_id", "code", "Messages"])
PLACES = st.sampled_from([(), ("contacts", 0), ("messages", 0), ("error",)])
EDITS = st.lists(st.tuples(PLACES, NAMES, st.one_of(ODD, st.just(...))), max_size=3)
CUTS = st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=2)), max_size=2)


def written(answer, edits, cuts):
    """An answer with other members in it, some of them twice, and bytes put in."""
    answer = json.loads(json.dumps(answer))
    twice = []
    for place, name, value in edits:
        found = answer
        for step in place:
            found = found.get(step, {}) if isinstance(found, dict) else found[step] if isinstance(found, list) and found else {}
        if not isinstance(found, dict):
            continue
        if value is ...:
            found.pop(name, None)
        elif place:
            found[name] = value
        else:
            twice.append(f"{json.dumps(name)}:{json.dumps(value)}")
    members = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in answer.items()] + twice
    body = ("{" + ",".join(members) + "}").encode()
    for at, more in cuts:
        body = body[:at] + more + body[at:]
    return body


@given(st.sampled_from([TAKEN, REFUSED, {"success": True}]), EDITS, CUTS)
@example(TAKEN, [], [])
@example(TAKEN, [((), "error", {"code": 1})], [])
@example(TAKEN, [((), "success", True)], [])
@example(TAKEN, [((), "messages", [])], [])
@example(TAKEN, [(("messages", 0), "id", "")], [])
@example(TAKEN, [(("contacts", 0), "wa_id", "")], [])
@example(TAKEN, [((), "contacts", [])], [])
def test_an_answer_is_read_alike_both_ways(answer, edits, cuts):
    """Whatever is in it, once or twice; of one that is broken where nobody looks the short way may still make something."""
    body = written(answer, edits, cuts)

    assert responses._leniently(body) in (None, decode_answer(body))
