"""Counters that many share: of any number of sends at the same instant exactly as many pass as a budget or limit has room for."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from gates import ACCOUNT, NUMBER, WABA, gates, written
from redis import Redis
from redis_cluster import clients, flush

MANY, ENOUGH = 200, 50
USER = "4915112345678"
BUDGET = '[[policy.budget]]\nname = "b"\nscope = "{}"\nperiod = "month"\nlimit = "{}"\n'
SPENT = f"{ENOUGH * 0.055:.2f}"  # what so many utility templates to Germany cost
LIMITS = "[policy.limits]\n"
PORTFOLIO = "506914307656634"
IN_PORTFOLIO = ACCOUNT.replace("\nphone", f'\nportfolio_id = "{PORTFOLIO}"\nphone')
TWO_ACCOUNTS = "".join(IN_PORTFOLIO.replace(WABA, f"{WABA[:-1]}{n}").replace(NUMBER, f"{NUMBER[:-1]}{n}") for n in range(2))


def stranger(n):
    return f"49151{n:08}"


@pytest.fixture
async def start(tmp_path):
    async with gates(tmp_path) as started:
        yield started


async def flood(running, to=lambda n: USER, number=lambda n: NUMBER):
    """So many sends at once, spread over some gates; how many came to what."""
    sends = (running[n % len(running)].send(to=to(n), number=number(n)) for n in range(MANY))
    return Counter(headers["Gatekeeper-Reason"] for _, headers in await asyncio.gather(*sends))


# What is shared, for whom, and what becomes of those that it has no room for.
SHARED = [
    pytest.param(BUDGET.format("waba", SPENT), {}, "budget_exhausted", id="budget of an account"),
    pytest.param(BUDGET.format("caller", SPENT), {"to": stranger}, "budget_exhausted", id="budget of a caller"),
    pytest.param(BUDGET.format("recipient", SPENT), {}, "budget_exhausted", id="budget of a recipient"),
    pytest.param(f"{LIMITS}messaging_limit = {ENOUGH}\n", {"to": stranger}, "messaging_limit", id="messaging limit"),
]


@pytest.mark.parametrize(("policy", "how", "reason"), SHARED[::3])
async def test_four_gates_on_one_redis_keep_it(policy, how, reason, start, graph, redis_url, redis):
    """Processes that share nothing but the ledger."""
    text = written(graph.url, redis_url, policy=policy)
    running = await asyncio.gather(*(start(text) for _ in range(4)))

    assert {"charged_message": ENOUGH, reason: MANY - ENOUGH} == await flood(running, **how)
    assert ENOUGH == len(graph.arrived)


async def test_accounts_of_one_portfolio_share_its_budget(start, graph, redis_url, redis):
    """By two gates, over two accounts with a number each."""
    text = written(graph.url, redis_url, policy=BUDGET.format("portfolio", SPENT), account=TWO_ACCOUNTS)
    running = await asyncio.gather(*(start(text) for _ in range(2)))
    found = await flood(running, number=lambda n: f"{NUMBER[:-1]}{n // 2 % 2}")

    assert {"charged_message": ENOUGH, "budget_exhausted": MANY - ENOUGH} == found


@pytest.mark.parametrize(("policy", "how", "reason"), SHARED[1:])
async def test_two_gates_on_a_cluster_keep_it(policy, how, reason, start, graph, redis_cluster_url):
    """All that one decision touches lies on one of three masters."""
    flush(redis_cluster_url)
    text = written(graph.url, redis_cluster_url, policy=policy, ledger="cluster = true")
    running = await asyncio.gather(*(start(text) for _ in range(2)))
    found = await flood(running, **how)
    nodes = clients(redis_cluster_url)

    assert {"charged_message": ENOUGH, reason: MANY - ENOUGH} == found
    assert [] == [key for node in nodes for key in node.scan_iter() if node.ttl(key) == -1]
    assert 1 == sum(node.dbsize() > 0 for node in nodes)


async def test_accounts_of_a_cluster_have_their_own(start, graph, redis_cluster_url):
    """Each on its own master or not: what one account spends is nothing to another."""
    flush(redis_cluster_url)
    accounts = "".join(ACCOUNT.replace(WABA, f"1{n}").replace(NUMBER, f"2{n}") for n in range(8))
    limit = f"{3 * 0.055:.3f}"
    text = written(graph.url, redis_cluster_url, policy=BUDGET.format("waba", limit), account=accounts, ledger="cluster = true")
    running = [await start(text)]
    found = await flood(running, number=lambda n: f"2{n % 8}")

    assert {"charged_message": 8 * 3, "budget_exhausted": MANY - 8 * 3} == found
    assert 1 < sum(node.dbsize() > 0 for node in clients(redis_cluster_url))


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"budget": [{"name": "b", "scope": "waba", "period": "day", "limit": SPENT}]}, "budget_exhausted"),
        ({"limits": {"throughput": ENOUGH}}, "throughput_limit"),
        ({"limits": {"pair_rate": True}}, "pair_rate_limit"),
    ],
)
async def test_one_gate_keeps_it(policy, reason, open_house, graph, redis):
    """All at the very same millisecond; and of those that failed as many pass again."""
    house = await open_house(graph.url, policy=policy)
    answers = await asyncio.gather(*(house.template("order_update") for _ in range(MANY)))
    found = Counter(answer["Gatekeeper-Reason"] for answer in answers)
    room = 45 if reason == "pair_rate_limit" else ENOUGH

    assert {"charged_message": room, reason: MANY - room} == found
    assert room == len(graph.arrived)


async def test_what_fails_at_once_is_free_at_once(open_house, graph, redis: Redis):
    """Twenty fail while others are asking: as many more go out, and none beyond."""
    house = await open_house(graph.url, policy={"budget": [{"name": "b", "scope": "waba", "period": "day", "limit": SPENT}]})
    await asyncio.gather(*(house.template("order_update") for _ in range(ENOUGH)))
    failing = (house.status(f"wamid.{n}", "failed", errors=[{"code": 131026, "title": "x"}]) for n in range(1, 21))
    answers = await asyncio.gather(*failing, *(house.template("order_update") for _ in range(30)))
    passed = sum(answer["Gatekeeper-Reason"] == "charged_message" for answer in answers)
    more = [await house.template("order_update") for _ in range(25)]
    passed += sum(answer["Gatekeeper-Reason"] == "charged_message" for answer in more)
    [key] = redis.scan_iter("gk:*:budget:*")

    assert 20 == passed
    assert {b"reserved": str(round(float(SPENT) * 1_000_000)).encode()} == redis.hgetall(key)
