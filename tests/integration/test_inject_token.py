"""An account's own token: what goes out by it, in place of which right, and that nothing else does."""

from __future__ import annotations

import gzip
import json

import pytest
from conftest import ask
from fake_graph import eventually
from gates import gates, written

from gatekeeper.ledger import keys

WABA, NUMBER, OTHER, USER = "102290129340398", "106540352242922", "106540352242923", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
CRM, TOKEN = "crm-key-0123456789", "EAAJB-the-accounts-own"
KEY = ("Gatekeeper-Key", CRM)
NOON, DAY = 1_794_312_000_000, 86_400_000
DRY = ("Gatekeeper-Dry-Run", "true")
JSON = ("Content-Type", "application/json")
TEMPLATE = {"name": "order_update", "language": {"code": "en_US"}}
BODY = {"messaging_product": "whatsapp", "to": USER, "type": "template", "template": TEMPLATE}
TEXT = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hello"}}
FORM = b"messaging_product=whatsapp&to=4915112345678&type=template&template=" + json.dumps(TEMPLATE).encode()


@pytest.fixture
def opened(open_house, graph, redis):
    """Open a gate whose account sends by its own token."""

    async def opened(*, account=None, **sections):
        redis.hset(f"gk:{{{WABA}}}:templates:{WABA}", "version", "1")
        redis.pexpire(f"gk:{{{WABA}}}:templates:{WABA}", 60_000)
        given = {"access_token": TOKEN, "inject_token": True, **(account or {})}
        caller = [{"name": "crm", "key": CRM}]
        return await open_house(graph.url, account=given, caller=caller, **sections)

    return opened


def sends(graph):
    """What arrived, without the questions for templates that the gate asks itself."""
    return [one for one in graph.arrived if "message_templates?fields=" not in one.target]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer the-callers")],
        [("authorization", "Bearer one"), ("AUTHORIZATION", "Bearer two")],
    ],
    ids=["none", "one", "two"],
)
async def test_a_send_goes_out_by_the_accounts_token(headers, opened, graph):
    """Whatever Authorization its caller gives; the body is the caller's own, byte for byte."""
    house = await opened()
    body = json.dumps(BODY, indent=3).encode()
    answer = await house.send(body, KEY, *headers)
    [arrived] = sends(graph)

    assert (200, [f"Bearer {TOKEN}"], body, SENDS) == (
        answer.status,
        arrived.header("Authorization"),
        arrived.body,
        arrived.target,
    )
    assert TOKEN not in house.written.getvalue() + str(answer.headers) + answer.body.decode()


@pytest.mark.parametrize(
    "query",
    [
        "?access_token=theirs",
        "?appsecret_proof=abc&access_token=theirs",
        "?access%5Ftoken=theirs",
        "?Access_Token=theirs&access_token[]=more",
        "?",
    ],
)
async def test_a_right_in_the_query_is_left_out(query, opened, graph):
    """The token in the header is the only one that Meta sees."""
    house = await opened()
    answer = await house.send(BODY, KEY, path=SENDS + query)
    [arrived] = sends(graph)

    assert (200, SENDS, [f"Bearer {TOKEN}"]) == (answer.status, arrived.target, arrived.header("Authorization"))


BATCHED = "batch=[{%22method%22:%22DELETE%22,%22relative_url%22:%221/message_templates?name=x%22}]"


@pytest.mark.parametrize("mode", ["enforce", "annotate"])
@pytest.mark.parametrize("more", [[], [DRY]], ids=["send", "dry"])
@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", SENDS, [], json.dumps({**BODY, "access_token": "theirs"}).encode()),
        ("POST", SENDS, [], json.dumps({**BODY, "Access_Token": "theirs"}).encode()),
        ("POST", SENDS, [], json.dumps({**BODY, "appsecret_proof": "theirs"}).encode()),
        ("POST", SENDS, [], json.dumps({**BODY, "method": "DELETE"}).encode()),
        ("POST", SENDS, [], json.dumps({**BODY, "ids": "1,2"}).encode()),
        ("POST", SENDS, [], json.dumps({**BODY, "asyncbatch": "[]"}).encode()),
        (
            "POST",
            SENDS,
            [("Content-Encoding", "gzip")],
            gzip.compress(json.dumps({**BODY, "access_token": "x"}).encode(), mtime=0),
        ),
        ("POST", SENDS, [("Content-Type", "application/x-www-form-urlencoded")], FORM + b"&access_token=theirs"),
        ("POST", SENDS, [("Content-Type", "application/x-www-form-urlencoded")], FORM + b"&batch=%5B%5D"),
        ("POST", SENDS, [], b"{}"),
        ("POST", SENDS, [], b"what is this"),
        ("POST", f"{SENDS}?{BATCHED}", [], json.dumps(BODY).encode()),
        ("POST", f"{SENDS}?fields=x", [], json.dumps(BODY).encode()),
        ("POST", f"{SENDS}?method=DELETE", [], json.dumps(BODY).encode()),
        ("POST", SENDS, [("X-HTTP-Method-Override", "DELETE")], json.dumps(BODY).encode()),
        ("GET", SENDS, [("X-HTTP-Method", "POST")], json.dumps(BODY).encode()),
        ("POST", f"/v23.0/1/..%2f{NUMBER}/messages", [], json.dumps(BODY).encode()),
        ("POST", f"/v23.0/1/message_templates%3f/{NUMBER}/messages", [], json.dumps(BODY).encode()),
        ("POST", f"/v23.0/{WABA}/../{NUMBER}/messages", [], json.dumps(BODY).encode()),
        ("POST", f"/v23.0/{NUMBER}/messages;x=1", [], json.dumps(BODY).encode()),
        ("POST", f"/v23.0/{NUMBER}//messages", [], json.dumps(BODY).encode()),
        ("POST", f"/v23.0/{NUMBER}/Messages", [], json.dumps(BODY).encode()),
        ("POST", f"/v23.0/{NUMBER}/messages/", [], json.dumps(BODY).encode()),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value)[:60],
)
async def test_only_a_plain_send_goes_out_by_it(method, path, headers, body, more, mode, opened, graph):
    """What Graph may take for more, or what brings a right in its body, is refused with advice, whatever the policy's mode is."""
    house = await opened(policy={"mode": mode})
    kinds = [] if any(name == "Content-Type" for name, _ in headers) else [JSON]
    answer = await house.ask(method, path, [*kinds, *headers, KEY, *more], body)

    assert [] == sends(graph)
    if more:
        assert (200, "block", 100) == (answer.status, answer.json["verdict"], answer.json["error_code"])
    else:
        assert 400 == answer.status
        assert answer.error[1] in (100, 131008)
        assert "malformed_request" == answer["Gatekeeper-Reason"]


@pytest.mark.parametrize(
    "path", [f"/{NUMBER}/messages", f"/any/prefix/v23.0/{NUMBER}/messages", f"/v23.0/{NUMBER}/marketing_messages"]
)
async def test_every_plain_way_to_send_is_one(path, opened, graph):
    """Without a version, behind a prefix, and through the Marketing Messages API."""
    house = await opened(account={"template": [{"name": "order_update", "language": "en_US", "category": "marketing"}]})
    answer = await house.send(BODY, KEY, path=path)

    assert (200, [f"Bearer {TOKEN}"]) == (answer.status, sends(graph)[0].header("Authorization"))


async def test_a_number_of_no_such_account_is_sent_from_by_its_callers_right(opened, graph):
    """The token is the account's, and goes to no other number."""
    house = await opened()
    await house.send(BODY, KEY, ("Authorization", "Bearer theirs"), path=f"/v23.0/{OTHER}/messages?access_token=x")
    [arrived] = sends(graph)

    assert (["Bearer theirs"], f"/v23.0/{OTHER}/messages?access_token=x") == (arrived.header("Authorization"), arrived.target)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", f"/v23.0/{WABA}/message_templates", b""),
        ("POST", f"/v23.0/{NUMBER}/media", b"x"),
        ("DELETE", f"/v23.0/{NUMBER}", b""),
        ("GET", SENDS, b""),
        ("POST", "/v23.0/", b'{"batch": [{"method": "GET", "relative_url": "me"}]}'),
    ],
)
async def test_what_is_no_send_goes_by_the_right_that_it_brings(method, target, body, opened, graph):
    """A key lets a caller send, and neither read nor change what else the account's token could."""
    house = await opened()
    for headers in ([KEY], [KEY, ("Authorization", "Bearer theirs")]):
        await house.ask(method, target, [JSON, *headers], body)

    assert [[], ["Bearer theirs"]] == [one.header("Authorization") for one in sends(graph)]


async def test_a_fallback_template_goes_out_by_it_too(opened, graph):
    """What goes out in place of a text goes by the same token."""
    policy = {"cold_start": "closed", "fallback": [{"template": "order_update", "language": "en_US"}]}
    house = await opened(policy=policy)
    answer = await house.send(TEXT, KEY, ("Authorization", "Bearer theirs"), path=SENDS + "?access_token=x")
    [arrived] = sends(graph)

    assert ("rewrite", [f"Bearer {TOKEN}"], SENDS) == (
        answer["Gatekeeper-Verdict"],
        arrived.header("Authorization"),
        arrived.target,
    )


@pytest.mark.parametrize(("body", "verdict"), [(BODY, "allow"), ({**BODY, "access_token": "x"}, "block"), ({"to": "x"}, "block")])
@pytest.mark.parametrize("mode", ["enforce", "annotate"])
async def test_a_check_says_the_same(mode, body, verdict, opened):
    """`/v1/check` refuses what the gate would."""
    house = await opened(policy={"mode": mode})
    question = json.dumps({"phone_number_id": NUMBER, "body": body}).encode()
    answer = await ask(house.gate.admin_url, "POST", "/v1/check", [KEY], question)

    assert verdict == answer.json["verdict"]


async def test_a_held_text_goes_out_by_it_too(opened, graph, redis):
    """Now and later; the right that its caller brought is not kept, for it is used for nothing."""
    redis.set(keys.watch(WABA, NUMBER), NOON - 2 * DAY, px=7 * DAY)
    house = await opened(policy={"hold": [{"template": "order_update", "language": "en_US"}]})
    held = await house.send(TEXT, KEY, ("Authorization", "Bearer theirs"), path=SENDS + "?access_token=theirs")
    kept = [value for key in redis.scan_iter("*:text:*") for value in redis.hgetall(key).values()]
    await house.wrote()
    await eventually(lambda: len(sends(graph)) == 2)

    assert (202, []) == (held.status, [value for value in kept if b"theirs" in value])
    assert [(SENDS, [f"Bearer {TOKEN}"])] * 2 == [(one.target, one.header("Authorization")) for one in sends(graph)]


async def test_a_token_is_exchanged_without_a_restart(graph, redis_url, redis, tmp_path):
    """And taken away: what goes out next goes by the right of the moment."""

    def file(token, *, inject=True):
        account = f'waba_id = "{WABA}"\naccess_token = "{token}"\ninject_token = {str(inject).lower()}\n'
        text = written(graph.url, redis_url).replace(f'waba_id = "{WABA}"\n', account)
        return text + f'[[caller]]\nname = "crm"\nkey = "{CRM}"\n'

    async with gates(tmp_path) as start:
        gate = await start(file("first"))
        await gate.send(Gatekeeper_Key=CRM, Authorization="Bearer theirs")
        for n, text in enumerate([file("second"), file("second", inject=False)], 1):
            gate.config.write_text(text)
            gate.hang_up()
            await eventually(lambda n=n: len(gate.logged("reloaded")) == n)
            await gate.send(Gatekeeper_Key=CRM, Authorization="Bearer theirs")

    assert ["Bearer first", "Bearer second", "Bearer theirs"] == [one.header("Authorization")[0] for one in sends(graph)]
