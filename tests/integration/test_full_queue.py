"""More than the upstream takes: what waits is bounded, and what comes on top is told to come later."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from conftest import NUMBER
from fake_graph import eventually

from gatekeeper.server import upstream


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
