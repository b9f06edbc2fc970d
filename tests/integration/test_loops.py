"""A request that comes back to the gate that sent it goes no further."""

from __future__ import annotations

import json

import pytest

NUMBER, USER = "106540352242922", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
TWICE = [("X-A", "1"), ("X-A", "2")]  # a header that comes twice leads to aiohttp's own server
JSON = ("Content-Type", "application/json")
TEMPLATE = json.dumps(
    {
        "messaging_product": "whatsapp",
        "to": USER,
        "type": "template",
        "template": {"name": "order_update", "language": {"code": "en_US"}},
    }
).encode()


def hops(request):
    return [hop.strip() for value in request.all("Gatekeeper-Hop") for hop in value.split(",")]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", SENDS, TEMPLATE),
        ("GET", f"{SENDS}?method=post&messaging_product=whatsapp&to={USER}&type=text&text=%7B%22body%22%3A%22x%22%7D", b""),
        ("POST", "/v23.0/me", b'{"a":1}'),
        ("POST", f"/v23.0/{NUMBER}/media", b"x" * 100_000),
        ("GET", "/v23.0/1", b""),
        ("DELETE", "/v23.0/1", b""),
        ("POST", "/", b"{}"),
    ],
)
@pytest.mark.parametrize("more", [[], TWICE], ids=["short", "long"])
async def test_whatever_goes_out_says_who_sent_it(more, method, path, body, bare, wire):
    """Gated or not, and behind the gates before it, in their order; what came through this gate is refused with a 508."""
    headers = [*([JSON] if body else []), *more]
    await bare.ask(method, path, [*headers, ("gatekeeper-hop", "one, two"), ("Gatekeeper-Hop", "three")], body)
    await bare.ask(method, path, headers, body)
    [*before, ours] = hops(wire.arrived[0])
    answers = [
        await bare.ask(method, path, [*headers, ("Gatekeeper-Hop", said)], body)
        for said in (ours, f"one,{ours}", f"{ours} , two", ", ".join(["x"] * 50 + [ours]))
    ]

    assert (["one", "two", "three"], [ours]) == (before, hops(wire.arrived[1]))
    assert ([(508, 2)] * 4, 2) == ([answer.error for answer in answers], len(wire.arrived))
    assert [("looped", 508)] * 4 == [(line["why"], line["status"]) for line in bare.logged("request_rejected")]
    assert False is (ours in bare.written.getvalue())


async def test_a_webhook_in_a_circle_is_refused_too(bare, wire):
    """Before its signature is looked at."""
    await bare.ask("GET", "/x")
    [ours] = hops(wire.arrived[0])
    answers = [
        await bare.ask("POST", "/webhook", [("Gatekeeper-Hop", ours), ("X-Hub-Signature-256", "sha256=" + "0" * 64)], b"{}"),
        await bare.ask("GET", "/webhook?hub.mode=subscribe", [("Gatekeeper-Hop", ours)]),
    ]

    assert [(508, 2)] * 2 == [answer.error for answer in answers]


async def test_gates_behind_one_another_are_no_circle(open_house, wire):
    """Each has an id of its own, and the last tells the upstream of both."""
    second = await open_house(wire.url)
    first = await open_house(second.gate.url)
    answers = [await first.template("order_update"), await first.ask("GET", "/v23.0/1")]

    assert [200, 200] == [answer.status for answer in answers]
    assert [2, 2] == [len(set(hops(request))) for request in wire.arrived]


@pytest.mark.parametrize("through", [1, 2])
async def test_a_circle_is_gone_round_once(through, open_house, wire):
    """Of one gate or two: whoever started it hears a 508, after one decision of each."""

    async def lead(head, reader, writer):
        """Stand where the first gate's upstream is, and pass what comes on to the last gate."""
        head.body = b"".join([chunk async for chunk in last.read_chunks(reader, head)])
        kept = [(name, value) for name, value in head.headers if name.lower() not in ("host", "content-length")]
        method, path, _ = head.line.split(" ")
        answer = await last.ask(method, path, kept, head.body)
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (answer.status, len(answer.body), answer.body)
        )
        await writer.drain()

    wire.script = lead
    houses = [await open_house(wire.url)]
    for _ in range(through - 1):
        houses.append(await open_house(houses[-1].gate.url))
    last = houses[-1]
    answers = [await last.template("order_update"), await last.ask("GET", "/v23.0/1")]

    assert [508, 508] == [answer.status for answer in answers]
    assert [1] * through == [len(house.logged("decision")) for house in houses]
    assert 2 == len(wire.arrived)


async def test_no_answer_and_no_webhook_has_a_hop(open_house, wire):
    """It is for upstreams alone: what one says of it does not come back, and no app hears of it."""
    wire.answer = b"HTTP/1.1 200 OK\r\nGatekeeper-Hop: x\r\nContent-Length: 2\r\n\r\n{}"
    house = await open_house(wire.url, webhook={"forward_to": f"{wire.url}/app"})
    answers = [await house.template("order_update"), await house.ask("GET", "/x")]
    await house.webhook({"object": "whatsapp_business_account", "entry": []}, ("Gatekeeper-Hop", "other"))

    assert [None, None] == [answer["Gatekeeper-Hop"] for answer in answers]
    assert [True, True, False] == [bool(hops(request)) for request in wire.arrived]
