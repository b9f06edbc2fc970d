"""Callers' keys: who may send, from which numbers and under which name; and what a key never shows itself in."""

from __future__ import annotations

import asyncio
import json

import pytest
from conftest import ask
from fake_graph import eventually
from gates import gates, written
from prometheus_client.parser import text_string_to_metric_families

from gatekeeper.settings import described, parse

WABA, NUMBER, OTHER, USER = "102290129340398", "106540352242922", "106540352242923", "4915112345678"
SENDS, BATCH = f"/v23.0/{NUMBER}/messages", "/v23.0/"
KEY, CALLER, DRY = "Gatekeeper-Key", "Gatekeeper-Caller", ("Gatekeeper-Dry-Run", "true")
CRM, SHOP = "crm-key-0123456789", "shop-key-0123456789"
CALLERS = [{"name": "crm", "key": CRM, "phone_number_ids": [NUMBER]}, {"name": "shop", "key": SHOP}]
TEMPLATE = {"name": "order_update", "language": {"code": "en_US"}}
BODY = {"messaging_product": "whatsapp", "to": USER, "type": "template", "template": TEMPLATE}


def batch(*numbers):
    operations = [{"method": "POST", "relative_url": f"{n}/messages", "body": "messaging_product=whatsapp"} for n in numbers]
    return json.dumps({"batch": operations}).encode()


@pytest.fixture
def opened(open_house, graph):
    """Open a gate that knows two callers, one of them for one number only."""

    async def opened(*, account=None, caller=CALLERS, **sections):
        given = {"phone_number_ids": [NUMBER, OTHER], **(account or {})}
        return await open_house(graph.url, account=given, caller=caller, **sections)

    return opened


async def turned_away(house):
    """How many were turned away, by why."""
    page = (await house.admin("/metrics")).body.decode()
    [family] = [one for one in text_string_to_metric_families(page) if one.name == "gatekeeper_turned_away"]
    return {one.labels["why"]: int(one.value) for one in family.samples if one.name.endswith("_total") and one.value}


@pytest.mark.parametrize(("key", "name"), [(CRM, "crm"), (SHOP, "shop")])
async def test_a_key_says_who_calls(key, name, opened, graph):
    """The send is its caller's, and the key goes no further."""
    house = await opened()
    answer = await house.send(BODY, (KEY, key))
    [arrived] = graph.arrived

    assert (200, name) == (answer.status, house.logged("decision")[-1]["caller"])
    assert ["Gatekeeper-Hop"] == [header for header, _ in arrived.headers if header.lower().startswith("gatekeeper-")]
    assert {} == await turned_away(house)


@pytest.mark.parametrize(
    ("headers", "error", "why"),
    [
        ([], (401, 190), "no_key"),
        ([(KEY, "")], (401, 190), "unknown_key"),
        ([(KEY, "no-such-key-0123456789")], (401, 190), "unknown_key"),
        ([(KEY, CRM[:-1])], (401, 190), "unknown_key"),
        ([(KEY, CRM + "9")], (401, 190), "unknown_key"),
        ([(KEY, CRM.upper())], (401, 190), "unknown_key"),
        ([(KEY, f"{CRM}, {SHOP}")], (401, 190), "unknown_key"),
        ([(KEY, CRM), (KEY, CRM)], (401, 190), "unknown_key"),
        ([("Authorization", f"Bearer {CRM}")], (401, 190), "no_key"),
        ([(CALLER, "crm")], (401, 190), "no_key"),
        ([(KEY, SHOP), (CALLER, "crm")], (403, 10), "other_caller"),
        ([(KEY, SHOP), (CALLER, "Shop")], (403, 10), "other_caller"),
    ],
    ids=str,
)
@pytest.mark.parametrize("more", [[], [DRY], [("Idempotency-Key", "k1")]], ids=["plain", "dry", "once"])
async def test_who_has_no_key_does_not_send(more, headers, error, why, opened, graph, redis):
    """Nothing reaches Meta and nothing is reserved; a dry run tells as little."""
    house = await opened()
    answer = await house.send(BODY, *headers, *more)
    [line] = house.logged("turned_away")

    assert error == answer.error
    assert ("OAuthException", answer["Gatekeeper-Id"]) == (answer.json["error"]["type"], answer.json["error"]["fbtrace_id"])
    assert ([], [], []) == (graph.arrived, redis.keys(), house.logged("decision"))
    assert (why, NUMBER, answer["Gatekeeper-Id"]) == (line["why"], line["phone_number_id"], line["id"])
    assert {why: 1} == await turned_away(house)


async def test_the_answer_names_the_header(opened):
    """Whoever integrates the gate reads what is missing; a client that keeps to HTTP finds the challenge."""
    answer = await (await opened()).send(BODY)

    assert KEY in answer.json["error"]["error_data"]["details"]
    assert ('Gatekeeper-Key realm="gatekeeper"', None) == (answer["WWW-Authenticate"], answer["Retry-After"])


@pytest.mark.parametrize("number", [OTHER, "1", "9" * 15])
async def test_a_number_that_is_not_the_callers_is_refused_whosever_it_is(number, opened, graph, redis):
    """A number of another account, and one that nobody has, are the same to who may not send from it."""
    house = await opened()
    answer = await house.send(BODY, (KEY, CRM), path=f"/v23.0/{number}/messages")
    also = await house.send(BODY, (KEY, CRM), path="/v23.0/7/messages")
    told = [{k: v for k, v in one.json["error"].items() if k != "fbtrace_id"} for one in (answer, also)]

    assert (403, 10) == answer.error
    assert told[0] == told[1]
    assert ([], []) == (graph.arrived, redis.keys())
    assert [("crm", number), ("crm", "7")] == [(line["caller"], line["phone_number_id"]) for line in house.logged("turned_away")]


@pytest.mark.parametrize("number", [NUMBER, OTHER, "1"])
async def test_without_a_key_every_number_is_the_same(number, opened):
    """One's own, another's and one that nobody has: nothing can be learned of who is served here."""
    answer = await (await opened()).send(BODY, path=f"/v23.0/{number}/messages")
    said = {k: v for k, v in answer.json["error"].items() if k != "fbtrace_id"}
    expected = {
        "message": "(#190) Invalid OAuth access token",
        "type": "OAuthException",
        "code": 190,
        "error_data": {
            "messaging_product": "whatsapp",
            "details": "This gate lets only callers send that it knows. Give your key in the header Gatekeeper-Key.",
        },
    }

    assert (401, expected) == (answer.status, said)


@pytest.mark.parametrize("number", [NUMBER, OTHER, "1"])
async def test_a_caller_without_numbers_may_send_from_any(number, opened):
    """One that no account names as well."""
    answer = await (await opened()).send(BODY, (KEY, SHOP), path=f"/v23.0/{number}/messages")

    assert 200 == answer.status


async def test_who_agrees_with_the_key_may_say_so(opened):
    """A caller that gives its own name is served."""
    house = await opened()

    assert 200 == (await house.send(BODY, (KEY, SHOP), (CALLER, "shop"))).status


async def test_nobody_spends_anothers_budget(opened):
    """A budget for each caller is that of its key."""
    budget = {"name": "b", "scope": "caller", "period": "month", "limit": "0.06"}  # one utility template to Germany costs 0.055
    house = await opened(policy={"budget": [budget]})
    found = [await house.send(BODY, (KEY, key), (CALLER, name)) for key, name in ((CRM, "crm"), (CRM, "shop"), (CRM, "crm"))]
    others = await house.send(BODY, (KEY, SHOP))

    assert [200, 403, 400] == [answer.status for answer in found]
    assert (900002, 200) == (found[2].error[1], others.status)


async def test_a_rule_knows_a_caller_by_its_key(opened):
    """What is forbidden to one is so whatever it calls itself."""
    house = await opened(policy={"rule": [{"name": "not crm", "caller": ["crm"]}]})
    found = [(await house.send(BODY, (KEY, key))).status for key in (CRM, SHOP)]

    assert [400, 200] == found


async def test_idempotency_keys_of_two_callers_are_two(opened, graph):
    """One caller never hears what another's send was answered."""
    house = await opened()
    first, second, again = [await house.send(BODY, (KEY, key), ("Idempotency-Key", "k")) for key in (CRM, SHOP, CRM)]

    assert 2 == len(graph.arrived)
    assert first.body == again.body != second.body


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", BATCH, batch(NUMBER)),
        ("POST", f"/v23.0/{WABA}/media?method=post&id={NUMBER}/messages", b"{}"),
        ("POST", f"/v23.0/me?batch=[{{%22method%22:%22POST%22,%22relative_url%22:%22{NUMBER}/messages%22}}]", b""),
        ("GET", SENDS, b'{"method":"POST","messaging_product":"whatsapp"}'),
    ],
    ids=["batch", "id", "query", "method"],
)
@pytest.mark.parametrize("mode", ["enforce", "annotate"])
async def test_no_side_door_is_open_without_a_key(mode, method, target, body, opened, graph):
    """What may be a send is asked for the key, whatever the policy's mode is."""
    house = await opened(policy={"mode": mode})
    answer = await house.ask(method, target, [("Content-Type", "application/json")], body)

    assert ((401, 190), []) == (answer.error, graph.arrived)
    assert {"no_key": 1} == await turned_away(house)


@pytest.mark.parametrize(
    ("key", "mode", "status"), [(SHOP, "enforce", 400), (SHOP, "annotate", 200), (CRM, "enforce", 403), (CRM, "annotate", 403)]
)
async def test_a_batch_needs_a_key_for_every_number(key, mode, status, opened):
    """Its numbers are not looked at one by one, so a caller that may send from some of them does not get it through."""
    house = await opened(policy={"mode": mode})
    answer = await house.ask("POST", BATCH, [("Content-Type", "application/json"), (KEY, key)], batch(NUMBER, OTHER))

    assert status == answer.status


async def test_a_large_batch_is_stopped_on_its_way(opened, graph):
    """Of a body that streams through nothing is acted upon before its end, and that does not come without a key."""
    house = await opened(policy={"mode": "annotate"}, server={"max_body": "1KiB"})
    body = json.dumps({"x": "x" * 5000, **json.loads(batch(NUMBER))}).encode()
    answer = await house.ask("POST", f"/v23.0/{WABA}/things", [("Content-Type", "application/json")], body)

    assert ((401, 190), []) == (answer.error, graph.arrived)


@pytest.mark.parametrize(("method", "target"), [("GET", f"/v23.0/{WABA}/message_templates"), ("POST", f"/v23.0/{NUMBER}/media")])
async def test_what_is_no_send_needs_no_key(method, target, opened, graph):
    """It comes by Meta's own token; a key that comes along stays here all the same."""
    house = await opened()
    found = [await house.ask(method, target, [("Authorization", "Bearer theirs"), *more]) for more in ([], [(KEY, CRM)])]

    assert [200, 200] == [answer.status for answer in found]
    assert [["Bearer theirs"], ["Bearer theirs"]] == [one.header("Authorization") for one in graph.arrived]
    assert not any(CRM in value for one in graph.arrived for _, value in one.headers)


async def test_a_body_is_not_waited_for(opened):
    """Who has no key is told so before the body is there, and does not hold the gate."""
    house = await opened()
    head = f"POST {SENDS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n"
    answer = await house.exchange(head.encode())

    assert (401, 190) == answer.error


async def test_a_connection_goes_on_after_a_refusal(opened):
    """A client that forgot its key may try again on the same connection."""
    house = await opened()
    body = json.dumps(BODY).encode()

    def request(*headers):
        lines = ["Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
        return f"POST {SENDS} HTTP/1.1\r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async with asyncio.timeout(5), house.connected() as (reader, writer):
        writer.write(request())
        first = await house.read_message(reader)
        writer.write(request(f"{KEY}: {CRM}"))
        second = await house.read_message(reader)

    assert [401, 200] == [first.status, second.status]


async def test_a_key_is_never_shown(opened, tmp_path, capsys):
    """Not by the log, the metrics, the policy in force, an error, check-config or the settings as Python prints them."""
    house = await opened()
    await house.send(BODY, (KEY, CRM))
    wrong = await house.send(BODY, (KEY, CRM + "x"))
    other = await house.send(BODY, (KEY, CRM), path="/v23.0/7/messages")
    pages = [(await house.admin(target)).body.decode() for target in ("/metrics", "/v1/policy", "/v1/accounts", "/readyz")]
    settings = parse({"caller": CALLERS}, name="t", environment={})
    shown = [*pages, house.written.getvalue(), wrong.body.decode(), other.body.decode()]
    shown += [str(described(settings)), repr(settings), str(settings), f"{settings.caller}"]

    assert [] == [text for text in shown if "0123456789" in text]
    assert ["set", "set"] == [caller["key"] for caller in described(settings)["caller"]]


@pytest.mark.parametrize(
    ("key", "question", "status", "names"),
    [
        (None, {}, 401, None),
        ("wrong-key-0123456789", {}, 401, None),
        (CRM, {}, 200, None),
        (CRM, {"caller": "crm"}, 200, None),
        (CRM, {"caller": "shop"}, 403, None),
        (CRM, {"phone_number_id": OTHER}, 403, None),
        (SHOP, {"phone_number_id": OTHER}, 200, None),
        (SHOP, {"phone_number_id": "x"}, 400, None),
    ],
)
async def test_a_check_needs_the_key_too(key, question, status, names, opened):
    """On the admin listener errors are problem details; a caller asks for itself and its own numbers alone."""
    house = await opened(policy={"rule": [{"name": "not crm", "caller": ["crm"], "mode": "annotate"}]})
    one = {"phone_number_id": NUMBER, "body": BODY, **question}
    headers = [] if key is None else [(KEY, key)]
    answers = [
        await ask(house.gate.admin_url, "POST", "/v1/check", headers, json.dumps(asked).encode())
        for asked in (one, [{"phone_number_id": NUMBER, "body": BODY}, one])
    ]

    assert [status, status] == [answer.status for answer in answers]
    if status == 200:
        rule = "not crm" if key == CRM else None
        assert [rule, rule] == [answers[0].json["rule"], answers[1].json[1]["rule"]]
    else:
        assert {"application/problem+json; charset=utf-8"} == {answer["Content-Type"] for answer in answers}
        assert {401: 'Gatekeeper-Key realm="gatekeeper"'}.get(status) == answers[0]["WWW-Authenticate"]


async def test_without_callers_nobody_needs_a_key(house):
    """A gate that names none serves everybody, by the name that is given."""
    answer = await house.send(BODY, (CALLER, "anybody"), (KEY, "whatever"))

    assert (200, "anybody") == (answer.status, house.logged("decision")[-1]["caller"])


async def test_callers_change_without_a_restart(graph, redis_url, redis, tmp_path):
    """A new one may send, one that is gone may not, and a key is exchanged."""

    def file(*callers):
        lines = [f'[[caller]]\nname = "{name}"\nkey = "{key}"\n' for name, key in callers]
        return written(graph.url, redis_url, server="" if callers else "allow_empty = true") + "".join(lines)

    async with gates(tmp_path) as start:
        gate = await start(file(("crm", CRM)))
        found = [[(await gate.send(Gatekeeper_Key=key))[0] for key in (CRM, SHOP)]]
        for n, callers in enumerate([(("crm", SHOP),), (("crm", CRM), ("shop", SHOP)), ()], 1):
            gate.config.write_text(file(*callers))
            gate.hang_up()
            await eventually(lambda n=n: len(gate.logged("reloaded")) == n)
            found.append([(await gate.send(Gatekeeper_Key=key))[0] for key in (CRM, SHOP)])

    assert [[200, 401], [401, 200], [200, 200], [200, 200]] == found
