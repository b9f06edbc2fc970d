"""Many workers on one address: they share the ledger and are one gate to whoever asks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import aiohttp
import pytest
from fake_graph import eventually
from prometheus_client.parser import text_string_to_metric_families
from test_lifecycle import serve  # noqa: F401 - a fixture

NUMBER, USER = "106540352242922", "4915112345678"
MANY = 60
REPLACED_S = 5


def workers_of(served) -> set[int]:
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    return {int(pid) for pid in children if "--config" in Path(f"/proc/{pid}/cmdline").read_text()}


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def sent(served, count: int = MANY, name: str = "hello") -> list[tuple[int, str]]:
    """Send templates, each over a connection of its own so that the workers share them."""
    body = {"messaging_product": "whatsapp", "to": USER, "type": "template"}
    body["template"] = {"name": name, "language": {"code": "en_US"}}
    url = f"{served.url}/v23.0/{NUMBER}/messages"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def one() -> tuple[int, str]:
            async with session.post(url, json=body) as answer:
                await answer.read()
                return answer.status, answer.headers["Gatekeeper-Reason"]

        return list(await asyncio.gather(*(one() for _ in range(count))))


async def decided(served) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{served.admin_url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return sum(s.value for family in families if family.name == "gatekeeper_decisions" for s in family.samples)


@pytest.fixture
async def served(serve, graph):  # noqa: F811
    return await serve(graph.url, server={"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "workers": 2})


async def test_workers_share_the_work_and_the_count(served):
    """Several of them decide, and /metrics of any of them adds all up."""
    answers = await sent(served)
    deciders = {line["worker"] for line in served.logged("started") if line.get("worker")}

    assert {200} == {status for status, _ in answers}
    assert {1, 2} == deciders
    assert [MANY, MANY] == [await decided(served) for _ in range(2)]


async def test_workers_are_one_gate_to_what_comes_back(served, graph):
    """What one of them sent, any of them knows; so a circle ends at once, whoever of them it comes to."""
    await sent(served)
    gates = {hop for request in graph.arrived for hop in request.header("Gatekeeper-Hop")}
    statuses = set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        for _ in range(20):
            async with session.get(f"{served.url}/v23.0/1", headers={"Gatekeeper-Hop": ", ".join(gates)}) as answer:
                statuses.add(answer.status)

    assert (1, {508}) == (len(gates), statuses)


async def test_a_budget_is_one_for_all_workers(serve, graph):  # noqa: F811
    """Of 200 sends at once exactly as many pass as the limit pays for."""
    served = await serve(graph.url, server={"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "workers": 4})
    config = next(Path(served.log).parent.glob("*.toml"))
    config.write_text(
        config.read_text()
        + f"""
[[policy.budget]]
name = "all"
scope = "waba"
period = "month"
limit = "{50 * 0.055:.3f}"

[[account]]
waba_id = "102290129340398"
phone_number_ids = ["{NUMBER}"]
[[account.template]]
name = "order_update"
language = "en_US"
category = "utility"
"""
    )
    os.kill(served.process.pid, signal.SIGHUP)
    await eventually(lambda: len(served.logged("reloaded")) >= 4)
    answers = await sent(served, 200, "order_update")

    assert [50, 150] == [sum(reason == wanted for _, reason in answers) for wanted in ("charged_message", "budget_exhausted")]
    assert 50 == len(graph.arrived)


async def test_a_dead_worker_is_replaced(served):
    """Within five seconds; the others go on, and so do the counts."""
    await sent(served)
    before = workers_of(served)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    async with asyncio.timeout(REPLACED_S):
        await eventually(lambda: len(served.logged("started")) == 4)  # the parent, two workers, and the new one
    after = workers_of(served)
    answers = await sent(served)

    assert (2, True) == (len(after), victim not in after)
    assert {200} == {status for status, _ in answers}
    assert 2 * MANY == await decided(served)


async def test_a_stop_is_passed_on(served):
    """SIGTERM to the parent ends all of them, with what is in flight finished."""
    pids = workers_of(served)
    sending = asyncio.create_task(sent(served))
    await eventually(lambda: bool(served.logged("decision")))
    served.process.terminate()
    status, answers = await served.ended(), await asyncio.gather(sending, return_exceptions=True)

    assert (0, [False, False]) == (status, [alive(pid) for pid in pids])
    assert not isinstance(answers[0], AssertionError)


async def test_workers_do_not_outlive_their_parent(served):
    """A parent that is killed leaves nobody on its ports."""
    pids = workers_of(served)
    served.process.kill()
    await served.ended()

    await eventually(lambda: not any(alive(pid) for pid in pids))


async def test_a_reload_reaches_every_worker(served):
    """SIGHUP to the parent, at once."""
    os.kill(served.process.pid, signal.SIGHUP)
    await eventually(lambda: len(served.logged("reloaded")) >= 2)

    assert all(json.dumps(line) for line in served.lines)
