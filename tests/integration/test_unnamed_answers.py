"""Answers that name no message: they pass as they came, are said aloud, find their statuses, and hold nothing for ever."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest
from conftest import NOON, NUMBER, SENDS, USER, WABA
from fake_graph import eventually

from gatekeeper.ledger import keys
from gatekeeper.server.line import MOST_ANSWER

AXIOS = ("Accept-Encoding", "gzip, compress, deflate, br")
BUDGET = {"budget": [{"name": "all", "scope": "waba", "period": "month", "limit": "100.00"}]}
DAY = 24 * 3600 * 1000
WAMID = "wamid.1"
TAKEN = json.dumps({"messaging_product": "whatsapp", "messages": [{"id": WAMID}]}).encode()
UTILITY = {"pricing": {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "utility"}}
ERROR = b'{"error":{"message":"(#131026) no","type":"OAuthException","code":131026}}'


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"])
    return head.encode() + b"\r\n\r\n" + body


def layered(body: bytes, *names: str) -> bytes:
    for name in names:
        body = gzip.compress(body) if name == "gzip" else zlib.compress(body)
    return body


@pytest.fixture
async def gate(open_house, wire):
    """A gate with a budget in front of an upstream whose every byte is the test's."""
    return await open_house(wire.url, policy=BUDGET)


def money(redis) -> tuple[int, int]:
    """What the budgets hold, and what they have spent."""
    found = [redis.hgetall(key) for key in redis.scan_iter("gk:*:budget:*")]
    return tuple(sum(int(each.get(field, 0)) for each in found) for field in (b"reserved", b"spent"))


async def spend(house):
    """The totals of the month's bill: predicted, settled, open, and how many sends are open."""
    found = (await house.admin(f"/v1/spend?waba_id={WABA}&month=2026-11")).json
    return found["predicted"]["total"], found["settled"]["total"], found["open"]["total"], found["open"]["sends"]


async def count(house, metric):
    lines = (await house.admin("/metrics")).body.decode().split("\n")
    return {
        line.partition(" ")[0].partition("{")[2].rstrip("}"): float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(metric)
    }


# ------------------------------------------------------------------------------------------------------ what is asked for


@pytest.mark.parametrize("way", ["short", "long"])
async def test_meta_is_asked_for_what_is_read(gate, wire, way):
    """Whichever way in the send takes, and again for a head that came before; everything else goes as it came."""
    wire.answer = http("200 OK", TAKEN)
    more = [("Accept-Encoding", "zstd")] if way == "long" else []
    for _ in range(3):
        await gate.template("order_update", AXIOS, ("Accept", "*/*"), *more)

    assert [["gzip, deflate"]] * 3 == [arrived.all("Accept-Encoding") for arrived in wire.arrived]
    assert [["*/*"]] * 3 == [arrived.all("Accept") for arrived in wire.arrived]


async def test_who_accepts_nothing_in_particular_asks_for_nothing(gate, wire):
    """No header is added."""
    await gate.template("order_update")

    assert [] == wire.arrived[0].all("Accept-Encoding")


# -------------------------------------------------------------------------------------------------- what cannot be read

UNREAD = {
    "br": (http("200 OK", b"\x0b\x00\x80{}\x03", "Content-Encoding: br"), "encoding"),
    "zstd over gzip": (http("200 OK", b"\x28\xb5\x2f\xfd", "Content-Encoding: gzip, zstd"), "encoding"),
    "too many layers": (http("200 OK", layered(TAKEN, *["gzip"] * 4), "Content-Encoding: gzip, gzip, gzip, gzip"), "encoding"),
    "cut off": (http("200 OK", gzip.compress(TAKEN)[:-9], "Content-Encoding: gzip"), "broken"),
    "not gzip": (http("200 OK", b"<html>", "Content-Encoding: gzip"), "broken"),
    "a bomb": (http("200 OK", gzip.compress(bytes(MOST_ANSWER + 1)), "Content-Encoding: gzip"), "too_large"),
    "a bomb in a bomb": (
        http("200 OK", layered(bytes(64 << 20), "gzip", "gzip"), "Content-Encoding: gzip, gzip"),
        "too_large",
    ),
    "nothing": (http("200 OK", b""), "no_message"),
    "201": (http("201 Created", b"{}"), "no_message"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "no_message"),
    "no JSON": (http("200 OK", b"<html>"), "no_message"),
    "half of it": (http("200 OK", TAKEN[:-5]), "no_message"),
    "no object": (http("200 OK", b"[]"), "no_message"),
    "no messages": (http("200 OK", b'{"messages":[]}'), "no_message"),
    "an empty id": (http("200 OK", b'{"messages":[{"id":""}]}'), "no_message"),
    "no text for an id": (http("200 OK", b'{"messages":[{"id":{}}]}'), "no_message"),
    "messages of another shape": (http("200 OK", b'{"messages":{"id":"wamid.1"}}'), "no_message"),
    "an endless id": (http("200 OK", b'{"messages":[{"id":"%b"}]}' % (b"w" * 5000)), "no_message"),
    "success": (http("200 OK", b'{"success":true}'), "no_message"),
    "deep": (http("200 OK", b"[" * 100_000), "no_message"),
}


@pytest.mark.parametrize(("answer", "why"), UNREAD.values(), ids=UNREAD)
@pytest.mark.parametrize("early", [False, True], ids=["statuses after", "a status before"])
async def test_a_2xx_without_a_name_is_said_aloud_and_finds_its_statuses(gate, wire, redis, answer, why, early):
    """It passes as it came, is on the bill, and its delivery settles it, whether Meta says so before or after it answers."""
    wire.answer = answer
    if early:
        await gate.status(WAMID, "sent", **UTILITY)
    passed = await gate.template("order_update")
    said, bill, held = gate.logged("answer_unnamed"), await spend(gate), money(redis)
    settled = [(await gate.status(WAMID, status, **UTILITY)).status for status in ("sent", "delivered")]
    price = passed["Gatekeeper-Price"]

    assert answer.partition(b"\r\n\r\n")[2] == passed.body
    assert [(passed["Gatekeeper-Id"], why, "warning")] == [(line["id"], line["why"], line["level"]) for line in said]
    assert {f'why="{why}"': 1.0} == {name: n for name, n in (await count(gate, "gatekeeper_unnamed_answers_total")).items() if n}
    assert ((price, "0", price, 1), True) == (bill, held[0] > 0 == held[1])
    assert [200, 200] == settled
    assert (price, price, "0", 0) == await spend(gate)
    assert (0, held[0]) == money(redis)
    assert 1 == (await count(gate, "gatekeeper_unnamed_sends_total"))['outcome="named"']


READ = {
    "gzip without a word": http("200 OK", gzip.compress(TAKEN)),
    "JSON that says it is gzip": http("200 OK", TAKEN, "Content-Encoding: gzip"),
    "JSON that says it is br": http("200 OK", TAKEN, "Content-Encoding: br"),
    "three layers": http(
        "200 OK", layered(TAKEN, "gzip", "deflate", "gzip"), "Content-Encoding: gzip, deflate", "Content-Encoding: gzip"
    ),
    "a byte order mark": http("200 OK", b"\xef\xbb\xbf" + TAKEN),
    "several messages": http("200 OK", b'{"messages":[{"id":null},{"id":""},{"id":"wamid.1"},{"id":"wamid.2"}]}'),
    "an error beside it": http("200 OK", TAKEN[:-1] + b"," + ERROR[1:]),
}


@pytest.mark.parametrize("answer", READ.values(), ids=READ)
async def test_a_name_that_can_be_read_is(gate, wire, redis, answer):
    """Whatever is odd about the answer, it needs no status to name its message."""
    wire.answer = answer
    passed = await gate.template("order_update")
    named = redis.exists(keys.message(WABA, WAMID))

    assert (200, 1, []) == (passed.status, named, gate.logged("answer_unnamed"))


async def test_a_receipt_has_no_name_to_say(gate, wire):
    """Meta answers it with `success`, and nothing is missing."""
    wire.answer = http("200 OK", b'{"success":true}')
    await gate.send({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in"})

    assert [] == gate.logged("answer_unnamed")


async def test_a_refusal_in_what_is_not_read_is_given_back(gate, wire, redis):
    """A 4xx says so by its status alone."""
    wire.answer = http("400 Bad Request", b"?", "Content-Encoding: br")
    await gate.template("order_update")

    assert ((0, 0), []) == (money(redis), gate.logged("answer_unnamed"))


# ------------------------------------------------------------------------------------------- what may have been taken


async def reset(_head, _reader, writer):
    writer.close()


async def silent(_head, _reader, _writer):
    await asyncio.sleep(60)


UNKNOWN = {
    "a 5xx of no shape": (http("500 Oops", b"<html>"), None, 500),
    "a redirect": (http("302 Found", b"", "Location: /"), None, 302),
    "broken off": (b"", reset, 502),
    "silent": (b"", silent, 504),
}


@pytest.mark.parametrize(("answer", "script", "status"), UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("word", ["delivered", "failed", None])
async def test_what_may_have_been_taken_is_what_its_statuses_say(open_house, wire, redis, answer, script, status, word):
    """It is on no bill before they say so; without any it is given back, in time and by itself."""
    gate = await open_house(wire.url, policy=BUDGET, upstream={"timeout": "300ms"})
    wire.answer, wire.script = answer, script
    passed = await gate.template("order_update")
    before, held = await spend(gate), money(redis)
    if word is not None:
        more = UTILITY if word == "delivered" else {"errors": [{"code": 131026, "title": "no"}]}
        await gate.status(WAMID, word, **more)
    gate.now += 9 * DAY
    lapsed = await gate.gate.engine.unnamed.lapse(now=gate.now)
    price = passed["Gatekeeper-Price"]
    wanted = {"delivered": (price, price), "failed": (price, "0"), None: ("0", "0")}[word]

    assert (status, ("0", "0", "0", 0), True) == (passed.status, before, held[0] > 0)
    assert (*wanted, "0", 0) == await spend(gate)
    assert (0, held[0] if word == "delivered" else 0) == money(redis)
    assert ([] if word else [passed["Gatekeeper-Id"]]) == lapsed


# ------------------------------------------------------------------------------------------------------- how it ends


async def test_what_no_status_names_lapses_by_itself(open_house, wire, redis, monkeypatch):
    """The gate looks for it without being asked, gives back what it holds, and says so; a day before it does not."""
    monkeypatch.setattr("gatekeeper.server.aftermath._LAPSE_EVERY_S", 0.02)
    gate = await open_house(wire.url, policy=BUDGET)
    wire.answer = UNREAD["br"][0]
    sent = await gate.template("order_update")
    gate.now = NOON + keys.UNNAMED_MS - DAY
    early = await gate.gate.engine.unnamed.lapse(now=gate.now), money(redis)[0] > 0
    gate.now = NOON + keys.UNNAMED_MS
    await eventually(lambda: bool(gate.logged("send_lapsed")))
    await eventually(lambda: not redis.exists(keys.lapsing(WABA)))

    assert ([], True) == early
    assert [sent["Gatekeeper-Id"]] == [line["id"] for line in gate.logged("send_lapsed")]
    assert ((0, 0), ("0", 0)) == (money(redis), (await spend(gate))[2:])
    assert [] == [key for noun in ("reservation", "unnamed") for key in redis.keys(f"gk:*:{noun}:*")]


async def test_a_read_names_nothing(gate, wire, redis):
    """A user may read today what was sent before anything that the ledger remembers."""
    wire.answer = UNREAD["br"][0]
    await gate.template("order_update")
    await gate.status("wamid.old", "read")
    held = money(redis)[0] > 0
    await gate.status(WAMID, "delivered", **UTILITY)

    assert (True, 0) == (held, money(redis)[0])


async def test_a_status_of_another_recipient_or_time_names_nothing(gate, wire, redis):
    """What is joined was sent to this recipient, and not before."""
    wire.answer = UNREAD["br"][0]
    await gate.template("order_update")
    await gate.status("wamid.a", "delivered", recipient_id="4915187654321")
    await gate.status("wamid.b", "delivered", timestamp=str(NOON // 1000 - 60))

    assert money(redis)[0] > 0 == money(redis)[1]


async def test_an_answer_that_its_own_status_overtook_costs_no_other_send_its_name(gate, wire, redis):
    """The status is taken for that of a send that waits; then the answer comes, and its send waits in the other's place."""
    wire.answer = UNREAD["br"][0]
    await gate.template("order_update")
    taken, answered = asyncio.Event(), asyncio.Event()

    async def slow(head, reader, writer):
        await reader.readexactly(int(head["Content-Length"]))
        taken.set()
        await answered.wait()
        writer.write(http("200 OK", TAKEN))

    wire.script = slow
    sending = asyncio.create_task(gate.template("order_update"))
    await taken.wait()
    await gate.status(WAMID, "delivered", **UTILITY)
    answered.set()
    price = float((await sending)["Gatekeeper-Price"])
    half = await spend(gate)
    await gate.status("wamid.2", "delivered", **UTILITY)

    assert (2 * price, price, price, 1) == (*map(float, half[:3]), half[3])
    assert (2 * price, 2 * price, 0, 0) == tuple(map(float, await spend(gate)))
    assert 0 == money(redis)[0]


async def test_a_message_that_is_named_twice_is_one(gate, wire, redis):
    """Of two answers with one id the second waits for another name, and lapses without one."""
    wire.answer = http("200 OK", TAKEN)
    for _ in range(2):
        await gate.template("order_update")
    await gate.status(WAMID, "delivered", **UTILITY)
    reserved = money(redis)[0]
    await gate.gate.engine.unnamed.lapse(now=NOON + keys.UNNAMED_MS)

    assert (True, 0) == (reserved > 0, money(redis)[0])


async def test_a_gate_that_stops_lets_what_is_on_its_way_wait(open_house, wire, redis):
    """Broken off by the end of the grace, the send still finds its statuses."""
    gate = await open_house(wire.url, policy=BUDGET, server={"grace": "100ms"})
    wire.script = silent
    sending = asyncio.create_task(gate.template("order_update"))
    await eventually(lambda: bool(wire.arrived))
    await gate.gate.leave()
    sending.cancel()
    await asyncio.wait([sending])
    await eventually(lambda: redis.exists(keys.lapsing(WABA)) == 1)

    assert [1] == [redis.zcard(keys.lapsing(WABA))]
    assert [SENDS] == [arrived.target for arrived in wire.arrived]
    assert redis.exists(keys.unnamed(WABA, NUMBER, USER))
