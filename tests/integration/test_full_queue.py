"""More than the upstream takes: what waits is bounded, and what comes on top is told to come later."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from aiohttp import web
from conftest import NUMBER
from fake_graph import eventually, full

from gatekeeper.core.errors import UpstreamError
from gatekeeper.server import upstream
from gatekeeper.server.upstream import Upstream
from gatekeeper.settings import Upstream as Settings


@pytest.fixture
def narrow(monkeypatch):
    """Room for two at once, and for two that wait."""
    monkeypatch.setattr(upstream, "_SENDS", 2)
    monkeypatch.setattr(upstream, "_STREAMS", 2)


async def test_a_full_queue_is_a_503(narrow, open_house, graph):
    """In Graph's shape, with Retry-After and nothing held; those that waited go out once there is room."""
    house = await open_house(graph.url, policy={"cold_start": "closed"})
    gone_on = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        graph.keep(request, body)
        await gone_on.wait()
        return graph.accept(body)

    graph.script = slow
    sending = {asyncio.create_task(house.template("order_update")) for _ in range(5)}
    done, waiting = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
    refused = done.pop().result()
    gone_on.set()
    answers = await asyncio.gather(*waiting)

    assert (503, "1") == (refused.status, refused["Retry-After"])
    assert "too many requests wait" in refused.json["error"]["error_data"]["details"].lower()
    assert ([200] * 4, 4) == ([each.status for each in answers], len(graph.arrived))


async def test_what_is_passed_through_has_a_queue_of_its_own(narrow, open_house, graph):
    """Downloads cannot keep sends waiting."""
    house = await open_house(graph.url)
    gone_on = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        graph.keep(request, body)
        if request.method == "GET":
            await gone_on.wait()
            return web.Response(text="media")
        return graph.accept(body)

    graph.script = slow
    loading = [asyncio.create_task(house.ask("GET", f"/v23.0/{NUMBER}")) for _ in range(2)]
    await eventually(lambda: len(graph.arrived) == 2)
    sent = await house.template("order_update")
    gone_on.set()

    assert (200, [200, 200]) == (sent.status, [each.status for each in await asyncio.gather(*loading)])


async def outcome(posted):
    """How many seconds a post took, and how it failed."""
    began = monotonic()
    with pytest.raises(UpstreamError) as failed:
        await posted
    return monotonic() - began, failed.value.status, failed.value.sent


async def test_the_queue_and_the_answer_share_one_deadline(monkeypatch, wire):
    """What waited for its turn has only the rest of the time for its answer: the whole takes no longer than one time-out."""
    monkeypatch.setattr(upstream, "_SENDS", 1)
    timeout_s, first_takes_s = 2.0, 1.6
    arrived = []

    async def script(head, reader, writer):
        arrived.append(await reader.readexactly(1))
        if len(arrived) == 1:
            await asyncio.sleep(first_takes_s)
            writer.write(wire.answer)
        else:
            await asyncio.sleep(60)

    wire.script = script
    narrow = Upstream(Settings(base_url=wire.url, timeout=int(timeout_s * 1000)))
    first = asyncio.create_task(narrow.post("/v1/2/messages", (), b"1"))
    await eventually(lambda: bool(arrived))
    took, status, sent = await outcome(narrow.post("/v1/2/messages", (), b"2"))
    answered = (await first).status
    await narrow.close()

    assert (200, 504, True, 2) == (answered, status, sent, len(arrived))
    assert timeout_s * 0.9 < took < timeout_s + first_takes_s * 0.75


async def test_a_turn_that_comes_too_late_sends_nothing(monkeypatch, wire):
    """It is a 503 at the deadline, and nothing arrives."""
    monkeypatch.setattr(upstream, "_SENDS", 1)
    arrived = []

    async def script(head, reader, writer):
        arrived.append(await reader.readexactly(1))
        await asyncio.sleep(60)

    wire.script = script
    narrow = Upstream(Settings(base_url=wire.url, timeout=500))
    loop = asyncio.get_running_loop()
    first = asyncio.create_task(outcome(narrow.post("/v1/2/messages", (), b"1", ends=loop.time() + 2)))
    await eventually(lambda: bool(arrived))
    second = await outcome(narrow.post("/v1/2/messages", (), b"2"))
    late = await outcome(narrow.post("/v1/2/messages", (), b"3", ends=loop.time() - 1))
    first.cancel()
    await narrow.close()

    assert ([(503, False)] * 2, [b"1"]) == ([each[1:] for each in (second, late)], arrived)


async def test_the_connection_shares_the_deadline_too():
    """One that takes the whole time to open is not sent on."""
    with full() as (host, port):
        slow = Upstream(Settings(base_url=f"http://{host}:{port}", timeout=600, connect_timeout=5_000))
        took, status, sent = await outcome(slow.post("/v1/2/messages", (), b"1"))
        await slow.close()

    assert (502, False, True) == (status, sent, took < 3)


async def test_a_lease_is_longer_than_anything_that_a_send_waits_for(open_house, graph, redis):
    """Of an idempotency key: while its first send may still be answered, a repeat does not take it for lost."""
    house = await open_house(graph.url, upstream={"timeout": "3s"}, ledger={"timeout": "1s"})
    gone_on = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        graph.keep(request, body)
        await gone_on.wait()
        return graph.accept(body)

    graph.script = slow
    key = ("Idempotency-Key", "k")
    first = asyncio.create_task(house.template("order_update", key))
    await eventually(lambda: bool(graph.arrived))
    house.now += 3_000 + 5_000 + 4 * 1_000  # the whole time-out, a template that is looked up, and a slow ledger
    again = asyncio.create_task(house.template("order_update", key))
    await eventually(lambda: bool(redis.keys("gk:*:repeat:*")))
    done, _ = await asyncio.wait({again}, timeout=0.5)
    gone_on.set()
    answers = [await first, await again]

    assert (set(), [200, 200], 1) == (done, [each.status for each in answers], len(graph.arrived))
