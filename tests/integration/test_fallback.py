"""Fallback templates: what goes out in place of a text outside the window, and when the text stays refused."""

from __future__ import annotations

import gzip
import json
from urllib.parse import urlencode

import pytest

from gatekeeper.__main__ import main

NUMBER, OTHER_NUMBER, USER = "106540352242922", "106540352242923", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
TEXT = {"messaging_product": "whatsapp", "to": "+49 1511 2345678", "type": "text", "text": {"body": "Your\nparcel   is here"}}
FOLLOW_UP = {"template": "order_update", "language": "en_US", "text_parameter": True}
BARE = {**FOLLOW_UP, "text_parameter": False}
SUPPORT, DRY = ("Gatekeeper-Caller", "support"), ("Gatekeeper-Dry-Run", "true")
SAID = ("Gatekeeper-Verdict", "Gatekeeper-Template", "Gatekeeper-Reason")
REWRITTEN = ("rewrite", "order_update", "charged_message")
REFUSED = ("block", None, "outside_customer_service_window")
UTILITY = "0.055"


def of(answer, *names):
    return tuple(answer[name] for name in names or SAID)


def text(body, **more):
    return {**TEXT, "text": {"body": body}, **more}


def fallback(*fallbacks, **policy):
    return {"cold_start": "closed", "fallback": list(fallbacks or (FOLLOW_UP,)), **policy}


def parameters(arrived):
    """The texts that a template is filled in with; None: it takes none."""
    components = json.loads(arrived.body)["template"].get("components")
    return components and [one["text"] for one in components[0]["parameters"]]


# ---------------------------------------------------------------------------------------------------- what goes out


async def test_a_text_outside_the_window_goes_out_as_a_template(open_house, graph):
    """To the same recipient, with everything else that its caller gave; it is decided and priced as what it became."""
    house = await open_house(graph.url, policy=fallback())
    more = {"recipient_type": "individual", "context": {"message_id": "wamid.in"}, "biz_opaque_callback_data": "order 7"}
    answer = await house.send({**TEXT, **more}, ("Authorization", "Bearer t"))
    [arrived] = graph.arrived

    assert (200, REWRITTEN) == (answer.status, of(answer))
    assert {
        "messaging_product": "whatsapp",
        "to": "+49 1511 2345678",
        **more,
        "type": "template",
        "template": {
            "name": "order_update",
            "language": {"code": "en_US"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": "Your parcel is here"}]}],
        },
    } == json.loads(arrived.body)
    assert (SENDS, ["Bearer t"], ["application/json"]) == (
        arrived.target,
        *(arrived.header(name) for name in ("Authorization", "Content-Type")),
    )
    assert ("utility", "true", UTILITY, "exact", None) == of(
        answer,
        *(f"Gatekeeper-{name}" for name in ("Category", "Charged", "Price", "Price-Bound", "Window-Expires")),
    )


async def test_inside_the_window_the_text_itself_goes_out(open_house, graph):
    """With its own bytes."""
    house = await open_house(graph.url, policy=fallback())
    await house.wrote()
    body = json.dumps(TEXT, indent=1).encode()
    answer = await house.send(body)

    assert (("allow", None, "within_free_tier"), body) == (of(answer), graph.arrived[0].body)


@pytest.mark.parametrize(
    ("body", "goes_as"),
    [
        ("one", "one"),
        ("one\ntwo\r\n\r\nthree", "one two three"),
        ("\ttabs\tand      long blanks ", "tabs and long blanks"),
        ("a\u2028b\u00a0c\u3000d", "a b c d"),
        ("emoji \U0001f44d é", "emoji \U0001f44d é"),
        ('quotes " and \\ {{1}}', 'quotes " and \\ {{1}}'),
        ("x" * 1024, "x" * 1024),
        ("x" + " " * 5000 + "y", "x y"),
        ("x" * 1025, None),
    ],
)
async def test_a_parameter_is_one_line_that_is_not_too_long(body, goes_as, open_house, graph):
    """Line breaks, tabs and long blanks are one blank, as Meta wants them; what does not fit stays refused."""
    house = await open_house(graph.url, policy=fallback())
    answer = await house.send(text(body))

    assert (REFUSED if goes_as is None else REWRITTEN) == of(answer)
    assert ([] if goes_as is None else [[goes_as]]) == [parameters(arrived) for arrived in graph.arrived]


@pytest.mark.parametrize("body", ["hi", "x" * 2000])
async def test_a_template_without_a_parameter_takes_any_text(body, open_house, graph):
    """And says nothing of it."""
    house = await open_house(graph.url, policy=fallback(BARE))
    answer = await house.send(text(body))

    assert (REWRITTEN, None) == (of(answer), parameters(graph.arrived[0]))


FORM = urlencode({name: json.dumps(value) if isinstance(value, dict) else value for name, value in TEXT.items()})
PART = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
MULTIPART = "".join(PART.format(name, json.dumps(value) if isinstance(value, dict) else value) for name, value in TEXT.items())


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("Content-Type", "application/json; charset=utf-8")], json.dumps(TEXT).encode("utf-8-sig")),
        ([("Content-Type", "application/x-www-form-urlencoded")], FORM.encode()),
        (
            [("Content-Type", "application/x-www-form-urlencoded")],
            f"{FORM}&access_token=EAAB&biz_opaque_callback_data=7&context=%7B%22message_id%22%3A%22w%22%7D".encode(),
        ),
        ([("Content-Type", "multipart/form-data; boundary=b")], f"{MULTIPART}--b--\r\n".encode()),
        ([("Content-Type", "application/json"), ("Content-Encoding", "gzip")], gzip.compress(json.dumps(TEXT).encode(), mtime=0)),
        ([], json.dumps(TEXT).encode()),
    ],
)
async def test_whatever_it_was_written_in_it_goes_out_as_json(headers, body, open_house, graph):
    """In plain bytes, with one content type and the length that it has; a form's fields are texts there."""
    house = await open_house(graph.url, policy=fallback())
    answer = await house.ask("POST", SENDS, headers, body)
    [arrived] = graph.arrived
    written = json.loads(arrived.body)

    assert (REWRITTEN, ["Your parcel is here"], TEXT["to"]) == (of(answer), parameters(arrived), written["to"])
    assert (["application/json"], [], [str(len(arrived.body))]) == tuple(
        arrived.header(name) for name in ("Content-Type", "Content-Encoding", "Content-Length")
    )
    if b"access_token" in body:
        assert ("EAAB", "7", {"message_id": "w"}) == tuple(
            written[name] for name in ("access_token", "biz_opaque_callback_data", "context")
        )


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?access_token=EAAB", REWRITTEN),
        ("?to=4915112345678", REWRITTEN),
        ("?type=text", REFUSED),
        ("?messaging_product=whatsapp", REFUSED),
    ],
)
async def test_what_stands_in_the_query_stays_there(query, said, open_house, graph):
    """The recipient too; but a query that says that it is a text would say so of the template."""
    house = await open_house(graph.url, policy=fallback())
    given = {name: value for name, value in TEXT.items() if f"{name}=" not in query}
    answer = await house.send(given, path=SENDS + query)

    assert said == of(answer)
    assert ([SENDS + query] if said == REWRITTEN else []) == [arrived.target for arrived in graph.arrived]


# ------------------------------------------------------------------------------------------------------- for whom


@pytest.mark.parametrize(
    ("fallbacks", "headers", "said"),
    [
        ([{**BARE, "caller": ["support"]}], [SUPPORT], REWRITTEN),
        ([{**BARE, "caller": ["support"]}], [], REFUSED),
        ([{**BARE, "caller": ["support"]}], [("Gatekeeper-Caller", "Support")], REFUSED),
        ([{**BARE, "phone_number_id": [NUMBER]}], [], REWRITTEN),
        ([{**BARE, "phone_number_id": [OTHER_NUMBER]}], [SUPPORT], REFUSED),
        ([{**BARE, "template": "on_hold", "caller": ["crm"]}, BARE], [SUPPORT], REWRITTEN),
        ([{**BARE, "template": "on_hold"}, BARE], [SUPPORT], REFUSED),
    ],
)
async def test_the_first_that_is_for_the_caller_is_used(fallbacks, headers, said, open_house, graph):
    """And no other, even when it cannot be sent."""
    house = await open_house(graph.url, policy=fallback(*fallbacks))

    assert said == of(await house.send(TEXT, *headers))


@pytest.mark.parametrize(
    "body",
    [
        {**TEXT, "type": "image", "image": {"id": "1"}},
        {**TEXT, "type": "reaction", "reaction": {"message_id": "w", "emoji": "\U0001f44d"}},
        {**TEXT, "type": "interactive", "interactive": {"type": "button", "body": {"text": "hi"}}},
    ],
)
async def test_only_a_text_becomes_a_template(body, open_house, graph):
    """Another message outside the window stays refused, though text stands beside it."""
    house = await open_house(graph.url, policy=fallback(BARE))
    answer = await house.send(body)

    assert (REFUSED, 131047) == (of(answer), answer.json["error"]["code"])


# -------------------------------------------------------------------------------------------- one that cannot be sent


@pytest.mark.parametrize(
    ("instead", "policy"),
    [
        pytest.param({"template": "on_hold"}, {}, id="paused"),
        pytest.param({"template": "too_bad"}, {}, id="disabled"),
        pytest.param({"template": "not_yet"}, {}, id="not approved"),
        pytest.param({}, {"rule": [{"name": "no utility", "category": ["utility"]}]}, id="rule"),
        pytest.param({}, {"rule": [{"name": "not this one", "template": ["order_*"]}]}, id="rule on the template"),
        pytest.param({}, {"budget": [{"name": "b", "scope": "waba", "period": "day", "limit": "0.05"}]}, id="budget"),
    ],
)
async def test_one_that_cannot_be_sent_leaves_the_text_refused(instead, policy, open_house, graph, redis):
    """The caller is told of the text that it sent; nothing goes out, and nothing is taken."""
    house = await open_house(graph.url, policy=fallback({**FOLLOW_UP, **instead}, **policy))
    answer = await house.send(TEXT)

    assert (REFUSED, (400, 131047)) == (of(answer), answer.error)
    assert ([], []) == (graph.arrived, [key for key in redis.scan_iter() if b":reservation:" in key or b":budget:" in key])


async def test_who_stopped_marketing_gets_no_marketing_instead(open_house, graph):
    """Permission is that of the template."""
    house = await open_house(graph.url, policy=fallback({**FOLLOW_UP, "template": "spring_sale"}))
    stop = {"wa_id": USER, "category": "marketing_messages", "value": "stop", "timestamp": house.now // 1000}
    await house.changed({"user_preferences": [stop]}, field="user_preferences")

    assert REFUSED == of(await house.send(TEXT))


async def test_a_limit_counts_what_it_became(open_house, graph):
    """A recipient outside the window, and a message of the second."""
    house = await open_house(graph.url, policy=fallback(limits={"messaging_limit": 1}))
    first, other, again = [await house.send(text("hi", to=to)) for to in (USER, "4915187654321", USER)]

    assert [REWRITTEN, REFUSED, REWRITTEN] == [of(answer) for answer in (first, other, again)]


async def test_a_template_that_nobody_heard_of_goes_out(open_house, graph):
    """What it is and costs is not known; Meta will say."""
    house = await open_house(graph.url, policy=fallback({**FOLLOW_UP, "template": "never_heard_of"}))
    answer = await house.send(TEXT)

    assert ("rewrite", "never_heard_of", "unknown", "unknown") == of(
        answer, "Gatekeeper-Verdict", "Gatekeeper-Template", "Gatekeeper-Category", "Gatekeeper-Charged"
    )


@pytest.mark.parametrize("what", ["rule", "budget"])
async def test_what_only_annotates_is_said_beside(what, open_house, graph):
    """It went out as a template, and a rule would have blocked that."""
    policy = {
        "rule": {"rule": [{"name": "r", "category": ["utility"], "mode": "annotate"}]},
        "budget": {"budget": [{"name": "r", "scope": "waba", "period": "day", "limit": "0", "mode": "annotate"}]},
    }[what]
    house = await open_house(graph.url, policy=fallback(**policy))
    answer = await house.send(TEXT)
    [line] = house.logged("decision")

    assert ("rewrite", "order_update", "r") == of(answer, "Gatekeeper-Verdict", "Gatekeeper-Template", "Gatekeeper-Rule")
    assert (200, ["r"]) == (answer.status, line["annotated"])


# ---------------------------------------------------------------------------------------------------- when it is not


async def test_annotate_rewrites_nothing(open_house, graph):
    """The text goes out as it is, and the answer says what would have stopped it."""
    house = await open_house(graph.url, policy=fallback(mode="annotate"))
    body = json.dumps(TEXT).encode()
    answer = await house.send(body)

    assert (("annotate", None, REFUSED[2]), body) == (of(answer), graph.arrived[0].body)


async def test_a_window_that_may_be_open_is_not_worked_around(open_house, graph):
    """Before the gate has watched for long enough the text itself goes out."""
    house = await open_house(graph.url, policy=fallback(cold_start="unknown"))
    answer = await house.send(TEXT)

    assert ("allow", None, "window_unknown") == of(answer)
    assert TEXT == json.loads(graph.arrived[0].body)


async def test_without_the_ledger_the_text_goes_out(open_house, graph, frozen):
    """Nobody can say that the window is closed."""
    house = await open_house(graph.url, policy=fallback(), ledger={"timeout": "100ms"})
    with frozen():
        answer = await house.send(TEXT)

    assert ("allow", None, "window_unknown") == of(answer)


# ---------------------------------------------------------------------------------------------------------- told of it


async def test_a_rewritten_send_is_one_line_that_says_so(open_house, graph):
    """With the template, and never the text."""
    house = await open_house(graph.url, policy=fallback())
    await house.send(TEXT, SUPPORT)
    [line] = house.logged("decision")

    assert ("rewrite", "order_update", "charged_message", UTILITY, "support", 200) == tuple(
        line[name] for name in ("verdict", "template", "reason", "price", "caller", "upstream_status")
    )
    assert "parcel" not in house.written.getvalue()


async def test_a_dry_run_says_what_would_go_out(open_house, graph, redis):
    """Nothing goes out, and nothing is reserved."""
    house = await open_house(graph.url, policy=fallback())
    answer = await house.send(TEXT, DRY)

    assert (200, "rewrite", "charged_message", "utility", UTILITY) == (
        answer.status,
        *(answer.json[name] for name in ("verdict", "reason", "category", "price")),
    )
    assert ("order_update", [], 0) == (answer["Gatekeeper-Template"], graph.arrived, redis.dbsize())


async def test_a_repeat_gets_the_first_answer(open_house, graph):
    """By the text that the caller repeats; another one is another message."""
    house = await open_house(graph.url, policy=fallback())
    key = ("Idempotency-Key", "one")
    first, again, other = [await house.send(body, key) for body in (TEXT, TEXT, text("another"))]

    assert (REWRITTEN, first["Gatekeeper-Id"], 409) == (of(again), again["Gatekeeper-Id"], other.status)
    assert 1 == len(graph.arrived)


async def spent(house):
    """What this month's bill says: quoted, settled, and how many are open."""
    bill = (await house.admin("/v1/spend?waba_id=102290129340398")).json
    return bill["predicted"]["by_category"], bill["settled"]["by_category"], bill["open"]["sends"]


async def test_it_is_settled_as_what_it_became(open_house, graph):
    """Under the id that Meta gave it."""
    house = await open_house(graph.url, policy=fallback())
    await house.send(TEXT)
    before = await spent(house)
    await house.status("wamid.1", "delivered")

    assert ({"utility": UTILITY}, {}, 1) == before
    assert ({"utility": UTILITY}, {"utility": UTILITY}, 0) == await spent(house)


@pytest.mark.parametrize("how", ["refused", "failed"])
async def test_what_meta_did_not_take_is_given_back(how, open_house, wire):
    """Refused at once or failed later: its budget has as much as before."""
    error = b'{"error":{"message":"(#132001) x","type":"OAuthException","code":132001}}'
    taken = b'{"messaging_product":"whatsapp","contacts":[{"input":"1","wa_id":"1"}],"messages":[{"id":"wamid.1"}]}'
    status, body = (b"404 X", error) if how == "refused" else (b"200 OK", taken)
    wire.answer = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
    limit = {"name": "b", "scope": "waba", "period": "day", "limit": UTILITY}
    house = await open_house(wire.url, policy=fallback(budget=[limit]))
    answer = await house.send(TEXT)
    during = of(await house.send(TEXT, DRY))
    if how == "failed":
        await house.status("wamid.1", "failed", errors=[{"code": 131026, "title": "x"}])

    assert ("rewrite", 404 if how == "refused" else 200) == (answer["Gatekeeper-Verdict"], answer.status)
    assert (REWRITTEN if how == "refused" else REFUSED) == during
    assert REWRITTEN == of(await house.send(TEXT, DRY))


HISTORY = """\
{"at": 1794312000, "send": {"id": "s1", "path": "/v23.0/106540352242922/messages", "caller": "support", "wamid": "wamid.s1", "body": %s}}
{"at": 1794312001, "send": {"id": "s2", "path": "/v23.0/106540352242922/messages", "body": %s}}
{"at": 1794312005, "webhook": {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [{"field": \
"messages", "value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "106540352242922"}, "statuses": \
[{"id": "wamid.s1", "status": "delivered", "timestamp": "1794312005", "recipient_id": "4915112345678"}]}}]}]}}
"""
CONFIG = """
[[account]]
waba_id = "102290129340398"
phone_number_ids = ["106540352242922"]
[[account.template]]
name = "order_update"
language = "en_US"
category = "utility"
[[policy.fallback]]
template = "order_update"
language = "en_US"
caller = ["support"]
"""


def test_a_history_is_rewritten_too(tmp_path, capsysbinary):
    """By the policy that it is replayed under."""
    history, config = tmp_path / "history.jsonl", tmp_path / "gatekeeper.toml"
    history.write_text(HISTORY % (json.dumps(TEXT), json.dumps(TEXT)))
    config.write_text(CONFIG)
    status = main(["replay", str(history), "--config", str(config)])
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]

    assert 0 == status
    assert [
        ("s1", "rewrite", "charged_message", "utility", UTILITY),
        ("s2", "block", "outside_customer_service_window", None, None),
    ] == [tuple(line[name] for name in ("id", "verdict", "reason", "category", "price")) for line in lines[:2]]
    assert ("s1", True, "utility", UTILITY) == tuple(lines[2][name] for name in ("id", "delivered", "category", "price"))
