"""Somebody else's data under our keys, and a Redis that answers with errors: one line, the policy's verdict, and no neighbour's harm."""

from __future__ import annotations

import json

import pytest
from conftest import NUMBER, USER, WABA
from fake_graph import eventually

OTHER = "4915112340000"
THREAD = f"gk:{{{WABA}}}:thread:{NUMBER}"
FREE = {"ledger_failure": "allow", "cold_start": "closed"}
CLOSED = {"ledger_failure": "block", "cold_start": "closed"}


def of_events(house):
    return {
        labels["event"]: sample.value
        for metric in house.gate.engine._metrics.webhooks.collect()
        for sample in metric.samples
        for labels in [sample.labels]
        if sample.name.endswith("_total") and sample.value
    }


async def wrote_two(house, *users):
    """Several users write to us, in one webhook."""
    seconds = house.now // 1000
    messages = [
        {"from": user, "id": f"wamid.{user}", "timestamp": str(seconds), "type": "text", "text": {"body": "hello"}}
        for user in users
    ]
    return await house.changed({"contacts": [{"wa_id": user} for user in users], "messages": messages})


def refusals(house):
    return [(line["call"], line["noun"]) for line in house.logged("ledger_refused")]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [pytest.param(FREE, (200, "allow", "degraded"), id="allow"), pytest.param(CLOSED, (503, "block", "degraded"), id="block")],
)
async def test_a_thread_of_a_wrong_type_is_a_ledger_failure_of_its_sends(open_house, graph, redis, policy, expected):
    """Sends to that user go by `policy.ledger_failure`, with one line for all of them; others are decided as ever."""
    house = await open_house(graph.url, policy=policy)
    redis.set(f"{THREAD}:{USER}", "somebody else's", px=60_000)
    answers = [await house.text() for _ in range(3)]
    other = await house.text(to=OTHER)
    lines = house.logged("ledger_refused")
    text = json.dumps(lines)
    found = [(one.status, one["Gatekeeper-Verdict"], one["Gatekeeper-State"]) for one in answers]

    assert [expected] * 3 == found
    assert "outside_customer_service_window" == other["Gatekeeper-Reason"]
    assert [("authorize", "thread")] == refusals(house)
    assert (False, False) == (USER in text, "somebody" in text)


async def test_a_thread_of_a_wrong_type_costs_its_neighbours_nothing(house, redis):
    """What another user wrote in the same webhook counts, Meta need not repeat it, and the lost item is counted and logged."""
    redis.set(f"{THREAD}:{USER}", "x", px=60_000)
    answer = await wrote_two(house, USER, OTHER, USER)
    neighbour = await house.text(to=OTHER)

    assert (200, 200) == (answer.status, neighbour.status)
    assert ("observe", "thread") in refusals(house)
    assert {"thread"} == {noun for _, noun in refusals(house)}
    assert 1 == of_events(house)["unkept"]


async def test_a_thread_heals_with_its_key(house, redis):
    """As soon as the wrong key is gone, the next send and webhook are as ever."""
    redis.set(f"{THREAD}:{USER}", "x", px=60_000)
    await house.wrote()
    redis.delete(f"{THREAD}:{USER}")
    await house.wrote()
    answer = await house.text()

    assert (200, "cold") == (answer.status, answer["Gatekeeper-State"])


async def test_values_that_no_script_wrote_are_the_same(house, redis):
    """A key of the right type with somebody else's values breaks a script: that is the key's fault and costs no neighbour."""
    redis.hset(f"{THREAD}:{USER}", mapping={"customer_service_window": "soon", "customer_service_window<": "then"})
    redis.pexpire(f"{THREAD}:{USER}", 60_000)
    answer = await wrote_two(house, USER, OTHER)
    neighbour = await house.text(to=OTHER)

    assert (200, 200) == (answer.status, neighbour.status)


async def test_a_message_of_a_wrong_type_costs_its_neighbours_nothing(house, graph, redis):
    """A status of a message whose key holds something else is counted, and what was written beside it counts."""
    redis.set(f"gk:{{{WABA}}}:message:wamid.bad", "x", px=60_000)
    seconds = str(house.now // 1000)
    status = {"id": "wamid.bad", "status": "delivered", "timestamp": seconds, "recipient_id": OTHER}
    message = {"from": USER, "id": "wamid.in", "timestamp": seconds, "type": "text", "text": {"body": "hello"}}
    answer = await house.changed({"contacts": [{"wa_id": USER}], "messages": [message]}, {"statuses": [status]})
    neighbour = await house.text()

    assert (200, 200) == (answer.status, neighbour.status)
    assert ("HMGET", "message") in refusals(house)


async def test_a_full_redis_is_a_ledger_that_is_away(open_house, graph, redis):
    """Out of memory: one line for all sends, degraded in `/readyz`, 503 for webhooks, and all is well once there is room."""
    house = await open_house(graph.url, policy=FREE)
    redis.config_set("maxmemory", 1)
    try:
        answers = [await house.template("order_update") for _ in range(3)]
        webhook = await house.wrote()
        ready = (await house.admin("/readyz")).json
    finally:
        redis.config_set("maxmemory", 0)
    await eventually(lambda: house.logged("ledger_recovered"))
    healed = await house.wrote()

    assert [(200, "degraded")] * 3 == [(one.status, one["Gatekeeper-State"]) for one in answers]
    assert (503, 200) == (webhook.status, healed.status)
    assert (True, True) == (
        ready["checks"]["ledger"].startswith("degraded"),
        "maxmemory" in house.logged("ledger_lost")[0]["error"],
    )
    assert 1 == len(house.logged("ledger_lost"))


async def test_missing_scripts_are_loaded_again(house, redis):
    """A Redis that was told to forget its scripts costs no send and no webhook."""
    await house.wrote()
    redis.script_flush()
    answers = [(await house.text()).status, (await house.wrote()).status]

    assert [200, 200] == answers
    assert [] == refusals(house)


async def test_a_command_that_is_not_permitted_is_a_ledger_failure(open_house, graph, redis):
    """Rights that are taken away under a running gate: sends go by policy, webhooks are 503, with one line, until they are back."""
    redis.execute_command("ACL", "SETUSER", "default", "-hset")
    house = await open_house(graph.url, policy=FREE)
    try:
        answers = [await house.template("order_update") for _ in range(3)]
        webhook = await house.wrote()
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+@all")
    healed = [(await house.template("order_update"))["Gatekeeper-State"], (await house.wrote()).status]

    assert [(200, "degraded")] * 3 == [(one.status, one["Gatekeeper-State"]) for one in answers]
    assert 503 == webhook.status
    assert ["cold", 200] == healed
    assert 1 == refusals(house).count(("authorize", "thread,reservation,watch,templates"))


async def test_a_redis_that_cannot_save_is_a_ledger_that_is_away(open_house, graph, redis):
    """A full disk makes Redis refuse writes (MISCONF): one line, degraded in `/readyz`, 503 for webhooks, and it heals by itself."""
    house = await open_house(graph.url, policy=FREE)
    before = {name: redis.config_get(name)[name] for name in ("dir", "save")}
    redis.config_set("save", "3600 1000000")
    redis.config_set("dir", "/proc")  # where no file can be made
    try:
        redis.bgsave()
        await eventually(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
        answers = [await house.template("order_update") for _ in range(3)]
        webhook = await house.wrote()
        ready = (await house.admin("/readyz")).json
    finally:
        redis.config_set("dir", before["dir"])
        redis.bgsave()
        await eventually(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "ok")
        redis.config_set("save", before["save"])
    await eventually(lambda: house.logged("ledger_recovered"))
    healed = await house.wrote()

    assert [(200, "degraded")] * 3 == [(one.status, one["Gatekeeper-State"]) for one in answers]
    assert (503, 200) == (webhook.status, healed.status)
    assert ready["checks"]["ledger"].startswith("degraded")
    assert [True] == ["MISCONF" in line["error"] for line in house.logged("ledger_lost")]
