"""`Idempotency-Key`: one send for each key, whatever becomes of the first."""

from __future__ import annotations

import asyncio
import gzip
import json

import msgspec
import pytest
from aiohttp import web
from conftest import SENDS, USER
from fake_graph import eventually

KEY = ("Idempotency-Key", "order-77")
TEMPLATE = {
    "messaging_product": "whatsapp",
    "to": USER,
    "type": "template",
    "template": {"name": "order_update", "language": {"code": "en_US"}},
}


async def test_a_repeat_gets_the_first_answer(house, graph):
    """Body, status and headers, and nothing is sent twice."""
    first, again = [await house.send(TEMPLATE, KEY) for _ in range(2)]

    assert 1 == len(graph.arrived)
    assert (first.status, first.body, first["Gatekeeper-Id"]) == (again.status, again.body, again["Gatekeeper-Id"])
    assert [None, "true"] == [each["Gatekeeper-Idempotent-Replay"] for each in (first, again)]


async def test_another_body_is_a_conflict(house, graph):
    """A key is for one message."""
    await house.send(TEMPLATE, KEY)
    other = await house.send({**TEMPLATE, "to": "4915187654321"}, KEY)

    assert ((409, 900005), "idempotency_conflict", 1) == (other.error, other["Gatekeeper-Reason"], len(graph.arrived))


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ([("Idempotency-Key", "order-78")], SENDS),
        ([KEY, ("Gatekeeper-Caller", "crm")], SENDS),
        ([KEY], "/v23.0/106540352242923/messages"),
    ],
)
async def test_a_key_is_the_callers_own(house, graph, headers, path):
    """Another key, caller or phone number is another message."""
    await house.send(TEMPLATE, KEY)
    await house.send(TEMPLATE, *headers, path=path)

    assert 2 == len(graph.arrived)


ONE, TWO = ("Authorization", "Bearer EAAone"), ("Authorization", "Bearer EAAtwo")


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (([ONE], ""), ([TWO], "")),
        (([ONE], ""), ([], "")),
        (([], ""), ([TWO], "")),
        (([], "?access_token=EAAone"), ([], "?access_token=EAAtwo")),
        (([], "?access_token=EAAone"), ([], "")),
        (([], "?access_token=EAAone"), ([("Authorization", "access_token=EAAone"), ONE], "")),
        (([ONE], "?appsecret_proof=1"), ([ONE], "?appsecret_proof=2")),
        (([ONE], "?%61ccess_token=x"), ([ONE], "?%61ccess_token=y")),
    ],
)
@pytest.mark.parametrize("caller", [[], [("Gatekeeper-Caller", "crm")]], ids=["no name", "a name"])
async def test_the_answer_to_one_token_is_not_given_to_another(house, graph, redis, first, other, caller):
    """Where no `[[caller]]` proves who calls, the token does: another one is another send, and no token is kept."""
    asked = []
    for headers, query in (first, other, first, other):
        asked.append(await house.send(TEMPLATE, KEY, *caller, *headers, path=SENDS + query))
    names = b" ".join(redis.scan_iter("gk:*:repeat:*"))
    values = b" ".join(value for name in redis.scan_iter("gk:*:repeat:*") for value in redis.hgetall(name).values())

    assert ([200] * 4, 2) == ([each.status for each in asked], len(graph.arrived))
    assert [None, None, "true", "true"] == [each["Gatekeeper-Idempotent-Replay"] for each in asked]
    assert [asked[0].body, asked[1].body] == [asked[2].body, asked[3].body]
    assert (False, False) == (b"EAA" in names, b"EAA" in values)


async def test_a_proved_caller_may_change_its_token(open_house, graph):
    """With a `[[caller]]` the key's scope is that caller: a token that was renewed meanwhile sends nothing twice."""
    house = await open_house(graph.url, caller=[{"name": "crm", "key": "k" * 32}])
    asked = [await house.send(TEMPLATE, KEY, ("Gatekeeper-Key", "k" * 32), token) for token in (ONE, TWO)]

    assert ([200, 200], 1) == ([each.status for each in asked], len(graph.arrived))


async def test_another_query_beside_the_same_body_is_another_message(house, graph):
    """Graph reads both; a token in it is no part of the message."""
    asked = [await house.send(TEMPLATE, KEY, path=f"{SENDS}?{query}") for query in ("a=1", "a=1", "a=2", "a=1&access_token=x")]

    assert ([200, 200, 409, 200], 2) == ([each.status for each in asked], len(graph.arrived))


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", [], 400),
        (b'{"messaging_product": "whatsapp"}', [], 400),
        (json.dumps({**TEMPLATE, "template": {}}).encode(), [], 400),
        (b"x", [("Content-Encoding", "br")], 415),
        (b"x", [("Content-Encoding", "gzip")], 400),
        (gzip.compress(bytes(2 << 20)), [("Content-Encoding", "gzip")], 413),
    ],
)
async def test_what_is_no_send_uses_up_no_key(house, graph, redis, body, headers, status):
    """However many keys a malformed send is tried with, no record stays; the send that it should have been goes out by the same key."""
    refused = [await house.send(body, ("Idempotency-Key", f"k{n % 2}"), *headers) for n in range(4)]
    left = redis.keys("gk:*:repeat:*")
    sent = await house.send(TEMPLATE, ("Idempotency-Key", "k0"))

    assert [(status, "malformed_request")] * 4 == [(each.status, each["Gatekeeper-Reason"]) for each in refused]
    assert [None] * 4 == [each["Gatekeeper-Idempotent-Replay"] for each in refused]
    assert ([], 200, 1) == (left, sent.status, len(graph.arrived))


async def test_repeats_at_once_wait_for_the_first(house, graph):
    """All of them get its answer."""
    answered = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        graph.keep(request, body)
        await answered.wait()
        return graph.accept(body)

    graph.script = slow
    sending = [asyncio.create_task(house.send(TEMPLATE, KEY)) for _ in range(5)]
    await eventually(lambda: bool(graph.arrived))
    answered.set()
    answers = await asyncio.gather(*sending)

    assert (1, {200}) == (len(graph.arrived), {each.status for each in answers})
    assert 1 == len({each.body for each in answers})


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_may_be_tried_again_is_not_kept(house, graph, status):
    """A repeat after Meta said "later" is a new try."""

    async def later(request: web.BaseRequest) -> web.Response:
        graph.keep(request, await request.read())
        return web.json_response({"error": {"code": 130429, "message": "later"}}, status=status)

    graph.script = later
    first = await house.send(TEMPLATE, KEY)
    graph.script = None
    again = await house.send(TEMPLATE, KEY)

    assert (status, 200, 2) == (first.status, again.status, len(graph.arrived))


async def test_a_refusal_is_kept(house, graph):
    """Ours too: the same message would be refused again."""
    body = {**TEMPLATE, "template": {"name": "on_hold", "language": {"code": "en_US"}}}
    first, again = [await house.send(body, KEY) for _ in range(2)]

    assert ((400, 132015), 0) == (first.error, len(graph.arrived))
    assert (first.body, "true") == (again.body, again["Gatekeeper-Idempotent-Replay"])


async def test_a_refusal_of_ours_is_kept_with_the_words_behind_its_status(house, redis):
    """A gate of the version before reads no answer without them."""
    await house.send({**TEMPLATE, "template": {"name": "on_hold", "language": {"code": "en_US"}}}, KEY)
    [key] = list(redis.scan_iter("gk:*:repeat:*"))
    status, words, *_ = msgspec.msgpack.decode(redis.hget(key, "answer"))

    assert (400, "Bad Request") == (status, words)


async def by_both_ways(house, body):
    """A repeat as it is heard: plain, and in chunks."""
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    plain = await house.ask("POST", SENDS, [KEY], body)
    long = await house.ask("POST", SENDS, [KEY, ("Transfer-Encoding", "chunked")], chunked)
    return [(one.line, sorted(pair for pair in one.headers if pair[0] != "Date"), one.body) for one in (plain, long)]


@pytest.mark.parametrize(
    ("kept", "start", "headers"),
    [
        pytest.param([200, "OK", [[b"X-A", b"1"], [b"x-a", b"\xc3\x96"]], b"{}"], "HTTP/1.1 200 OK", 3, id="Meta's"),
        pytest.param([299, "", [], b"{}"], "HTTP/1.1 299 ", 1, id="without a word"),
        pytest.param([204, "No Content", [], b""], "HTTP/1.1 204 No Content", 0, id="without a body"),
        pytest.param([200, "Fine", [[b"Server", b"Meta"]], b""], "HTTP/1.1 200 Fine", 2, id="their server"),
        pytest.param([404, "No", [[b"Content-Type", b"text/plain"]], b"no"], "HTTP/1.1 404 No", 2, id="a word of their own"),
    ],
)
async def test_whatever_was_kept_is_said_again_by_both_ways(kept, start, headers, house, graph, redis):
    """By the version before, which always kept words behind the status, or by this one."""
    body = json.dumps(TEMPLATE).encode()
    await house.ask("POST", SENDS, [KEY], body)
    [key] = list(redis.scan_iter("gk:*:repeat:*"))
    redis.hset(key, "answer", msgspec.msgpack.encode(kept))
    plain, long = await by_both_ways(house, body)

    assert (long, 1) == (plain, len(graph.arrived))
    assert (start, kept[3], headers + 1) == (plain[0], plain[2], len(plain[1]))


@pytest.mark.parametrize("name", ["order_update", "on_hold"])
async def test_an_answer_is_repeated_alike_by_both_ways(name, house, graph):
    """One of Meta's, and a refusal of ours."""
    body = json.dumps({**TEMPLATE, "template": {"name": name, "language": {"code": "en_US"}}}).encode()
    first = await house.ask("POST", SENDS, [KEY], body)
    plain, long = await by_both_ways(house, body)
    again = sorted([*(pair for pair in first.headers if pair[0] != "Date"), ("Gatekeeper-Idempotent-Replay", "true")])

    assert [(first.line, again, first.body)] * 2 == [plain, long]


async def test_an_unknown_outcome_is_told_honestly(bare, wire):
    """The connection broke after the body was sent: a repeat is a 409 that names the first one and what became of its reservation."""

    async def broken(_head, _reader, writer):
        writer.close()

    wire.script = broken
    first = await bare.template("order_update", KEY)
    wire.script = None
    again = await bare.template("order_update", KEY)
    details = again.json["error"]["error_data"]["details"]

    assert (502, (409, 900005), 1) == (first.status, again.error, len(wire.arrived))
    assert (True, True) == (first["Gatekeeper-Id"] in details, "reservation is reserved" in details)


async def test_without_a_ledger_nothing_could_prevent_the_double(open_house, graph, frozen):
    """Such a send is refused, and can be tried again."""
    house = await open_house(graph.url, ledger={"timeout": "50ms"})
    with frozen():
        answer = await house.send(TEMPLATE, KEY)

    assert ((503, 900004), "1", 0) == (answer.error, answer["Retry-After"], len(graph.arrived))
