"""`Idempotency-Key`: one send for each key, whatever becomes of the first."""

from __future__ import annotations

import asyncio

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
