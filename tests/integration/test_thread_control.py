"""Threads that move between the partners of an account: what passes through to move one is believed once Meta says yes."""

from __future__ import annotations

import gzip
import json

import pytest
from aiohttp import web

NUMBER, USER, BSUID = "106540352242922", "4915112345678", "DE.13491208655302741918"
CONTROL = f"/v25.0/{NUMBER}/thread_control"
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture
async def house(open_house, graph):
    """An account that may take no thread over."""
    return await open_house(graph.url, account={"takes_threads": False})


def control(action: str, **members: str) -> bytes:
    return json.dumps({"messaging_product": "whatsapp", "action": action, **(members or {"to": USER})}).encode()


@pytest.mark.parametrize(
    ("actions", "blocked"),
    [
        ([], None),
        (["pass"], 131070),
        (["release"], None),
        (["take"], None),
        (["pass", "take"], None),
        (["pass", "release"], None),
    ],
)
async def test_a_thread_that_is_passed_on_is_another_partners(actions, blocked, house, graph):
    """Nobody tells the business of what it did itself; a service message would be refused with 131070."""
    await house.wrote()
    passed = []
    for action in actions:
        house.now += 1000
        passed.append((await house.ask("POST", CONTROL, [JSON], control(action))).status)
    sent = await house.text()

    assert [200] * len(actions) == passed
    assert blocked == (sent.error[1] if sent.status != 200 else None)
    assert [control(action) for action in actions] == [one.body for one in graph.arrived if one.target == CONTROL]


@pytest.mark.parametrize(
    ("headers", "body", "target"),
    [
        pytest.param([JSON], control("pass", to="+49 (151) 12345678"), CONTROL, id="another spelling"),
        pytest.param([FORM], f"action=pass&to={USER}&control_pass[target_role]=ai_agent".encode(), CONTROL, id="form"),
        pytest.param([JSON, ("Content-Encoding", "gzip")], gzip.compress(control("pass")), CONTROL, id="packed"),
        pytest.param([JSON], control("pass"), f"/{NUMBER}/thread_control?access_token=x", id="without a version"),
        pytest.param([JSON], control("pass", recipient=BSUID), CONTROL, id="by its business-scoped id"),
    ],
)
async def test_a_thread_is_moved_however_it_is_named(headers, body, target, house, graph):
    """The request goes out byte for byte."""
    await house.wrote(from_user_id=BSUID)
    house.now += 1000
    await house.ask("POST", target, headers, body)
    sent = await house.text()
    plain = gzip.decompress(body) if ("Content-Encoding", "gzip") in headers else body  # as the fake Graph keeps it

    assert (400, 131070) == sent.error
    assert [(target, plain)] == [(one.target, one.body) for one in graph.arrived]


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_what_meta_refuses_moves_no_thread(status, house, graph):
    """2494191, say: only the escalation partner may take one."""
    await house.wrote()
    house.now += 1000

    async def refuse(_: web.BaseRequest) -> web.Response:
        return web.json_response({"error": {"code": 2494191}}, status=status)

    graph.script = refuse
    passed = await house.ask("POST", CONTROL, [JSON], control("pass"))
    graph.script = None

    assert (status, 200) == (passed.status, (await house.text()).status)


@pytest.mark.parametrize(
    ("method", "body"),
    [("GET", b""), ("POST", b""), ("POST", b"{"), ("POST", control("share")), ("POST", control("pass") + b" " * 70_000)],
)
async def test_what_says_nothing_of_a_thread_passes_and_moves_none(method, body, house):
    """Nor does what is larger than any such request."""
    await house.wrote()
    house.now += 1000
    passed = await house.ask(method, CONTROL, [JSON], body)

    assert (200, 200) == (passed.status, (await house.text()).status)


async def test_a_batch_does_not_pass_for_a_thread(house, graph):
    """It is looked at as everything else that passes through."""
    batch = [{"method": "POST", "relative_url": f"{NUMBER}/messages", "body": f"messaging_product=whatsapp&to={USER}&type=text"}]
    body = json.dumps({**json.loads(control("pass")), "batch": batch}).encode()
    answer = await house.ask("POST", CONTROL, [JSON], body)

    assert (400, []) == (answer.status, graph.arrived)
