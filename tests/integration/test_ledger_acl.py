"""A ledger whose user may do what a gate does and nothing else: the permissions that README.md names, on a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from aiohttp import web
from conftest import ask as asked
from redis import Redis
from redis_cluster import clients, flush

from gatekeeper.ledger import scripts

ROOT = Path(__file__).parents[2]
WABA, NUMBER, SECOND, USER = "102290129340398", "106540352242922", "106540352242923", "4915112345678"
BSUID, STRANGER, STRANGERS = "DE.24602319766413852029", "106540352242999", "102290129340999"
NOON, DAY = 1_794_312_000_000, 86_400_000
NAME, PASSWORD = "a-gate", "a-password"

SCRIPTS = {call for script in scripts.load().values() for call in re.findall(r"redis\.call\('(\w+)'", script.source)}
VERBS = {"EVAL", "EVALSHA"} | {"EXEC", "GET", "HGET", "HGETALL", "HMGET", "HSET", "MULTI", "PEXPIRE", "SADD", "SET", "SMEMBERS"}
HOLDING = {"HMGET", "PEXPIRE", "ZADD", "ZCARD", "ZRANGEBYSCORE", "ZREMRANGEBYSCORE"}
ERASURE = {"HDEL", "HGET", "HKEYS", "HMGET", "HSTRLEN", "LRANGE", "LREM", "SCAN", "UNLINK", "ZRANGE", "ZREM"}
NODES = {"ASKING", "CLUSTER"}
EMBEDDED = {"BGREWRITEAOF"}  # of a server of our own, which has no users
SPELLED = [
    (["forgetting"], ERASURE - {"SCAN"}),
    (["ledger", "lanes", "nodes", "keys", "holding", "calls"], VERBS | HOLDING | NODES | EMBEDDED | {"SCAN"}),
]

GATE = SCRIPTS | VERBS | HOLDING
FORGET = ERASURE - GATE
CLUSTER = {"ASKING", "CLUSTER|SLOTS"}


def rule(*commands):
    return " ".join(f"+{command.lower()}" for command in sorted(set().union(*commands)))


def permitted(node: Redis, *commands: set[str]) -> None:
    granted = f"on >{PASSWORD} ~gk:* resetchannels -@all {rule(*commands)}"
    node.execute_command("ACL", "SETUSER", NAME, "reset", *granted.split())
    node.execute_command("ACL", "LOG", "RESET")


def denied(node: Redis) -> list[tuple[str, str]]:
    return [(entry["reason"], entry["object"]) for entry in node.acl_log() if entry["username"] == NAME]


@pytest.fixture(params=["one", "cluster"])
def where(request, redis_url, redis):
    """A Redis, and a cluster of three, both with that user: the ledger's section and the nodes."""
    if request.param == "one":
        section, nodes, granted = {"url": f"{redis_url}?username={NAME}&password={PASSWORD}"}, [redis], (GATE, FORGET)
    else:
        url = request.getfixturevalue("redis_cluster_url")
        flush(url)
        section, nodes = {"url": url.replace("//", f"//{NAME}:{PASSWORD}@"), "cluster": True}, clients(url)
        granted = GATE, FORGET, CLUSTER
    for node in nodes:
        permitted(node, *granted)
    yield section, nodes
    for node in nodes:
        node.execute_command("ACL", "DELUSER", NAME)
        if node is not redis:
            node.close()


@pytest.fixture
async def opened(where, open_house, graph):
    section, _ = where
    policy = {
        "limits": {"pair_rate": True, "messaging_limit": 100, "throughput": 80, "marketing_hold": True},
        "budget": [{"name": scope, "scope": scope, "period": "month", "limit": "9"} for scope in ("recipient", "waba")],
        "hold": [{"template": "order_update", "language": "en_US", "phone_number_id": [SECOND]}],
    }
    account = {"phone_number_ids": [NUMBER, SECOND], "opening": [{"month": "2026-11", "phone_number_id": NUMBER, "free_used": 3}]}
    house = await open_house(graph.url, ledger=section, account=account, policy=policy)
    for number in (NUMBER, SECOND):
        await house.gate.engine.ledger.watch(WABA, number, now=NOON - 2 * DAY)
    return house


def text(to=USER):
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "hi"}}


async def live(house, graph):
    """All that a gate asks of its ledger: what each step answered."""
    answers = [await house.template("order_update", ("Idempotency-Key", "k")) for _ in range(2)]
    wamid = answers[0].json["messages"][0]["id"]
    answers += [await house.status(wamid, status) for status in ("sent", "delivered")]
    answers.append(await house.status("wamid.nobodys", "delivered"))
    answers.append(await house.send(text(), path=f"/v23.0/{SECOND}/messages"))
    names = {"wa_id": USER, "user_id": BSUID}
    message = {"from": USER, "from_user_id": BSUID, "id": "wamid.in", "timestamp": str(house.now // 1000), "type": "text"}
    answers.append(await house.changed({"contacts": [names], "messages": [{**message, "text": {"body": "hello"}}]}))
    answers += [await house.text(), await house.text(("Gatekeeper-Dry-Run", "true"))]
    graph.script = lambda _: refused()
    answers.append(await house.template("spring_sale"))
    graph.script = None
    answers.append(await house.send(text("4915187654321"), path=f"/v23.0/{STRANGER}/messages"))
    metadata = {"phone_number_id": STRANGER}
    stranger = [{"id": STRANGERS, "changes": [{"field": "messages", "value": {"metadata": metadata, "messages": [message]}}]}]
    answers.append(await house.webhook({"object": "whatsapp_business_account", "entry": stranger}))
    news = {"event": "PAUSED", "message_template_name": "order_update", "message_template_language": "en_US"}
    answers.append(await house.changed(news, field="message_template_status_update"))
    for target in ("/readyz", f"/v1/threads/{NUMBER}/{USER}", f"/v1/spend?waba_id={WABA}", "/v1/accounts"):
        answers.append(await house.admin(target))
    return answers


async def refused():
    error = {"message": "(#131026) no", "type": "OAuthException", "code": 131026}
    return web.json_response({"error": error}, status=400)


async def forgotten(house):
    url = house.gate.admin_url
    body = json.dumps({"recipient": USER}).encode()
    return await asked(url, "POST", "/v1/forget", [("Content-Type", "application/json")], body)


async def test_a_gate_needs_no_more_than_this(where, opened, graph):
    """Sends, webhooks, held texts, bills and erasure go through, and Redis has not refused a single command or key."""
    _, nodes = where
    answers = await live(opened, graph)
    forgot = await forgotten(opened)
    states = [answer["Gatekeeper-State"] for answer in answers if answer["Gatekeeper-State"]]

    assert [] == [entry for node in nodes for entry in denied(node)]
    assert [] == [(answer.line, answer.body) for answer in answers if answer.status not in (200, 202, 400)]
    assert {"warm", "cold"} == set(states)
    assert (200, True) == (forgot.status, forgot.json["erased"]["threads"] > 0)
    assert [] == opened.logged("ledger_lost")


@pytest.mark.parametrize(("modules", "commands"), SPELLED, ids=["erasure", "all else"])
def test_the_ledger_asks_for_nothing_else(modules, commands, redis):
    """The commands that its modules spell are those of the tables above: a new one is a new permission, and has to be said."""
    known = {name.upper() for name in redis.command()}
    words = {
        word
        for module in modules
        for word in re.findall(r'"([A-Z]+)"', (ROOT / "gatekeeper" / "ledger" / f"{module}.py").read_text())
    }

    assert commands == words & known


def test_the_manual_names_these_permissions():
    """README.md's lines are made of the very tables that are tried here."""
    readme = (ROOT / "README.md").read_text()

    assert [] == [line for line in (rule(GATE), rule(FORGET), rule(CLUSTER)) if line not in readme]
