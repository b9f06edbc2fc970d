"""What a gate could not tell the ledger while it was away is told when it is back: nothing is held for a send that never was."""

from __future__ import annotations

import contextlib
import json

import pytest
from aiohttp import web
from conftest import NUMBER, USER, WABA
from fake_graph import eventually

from gatekeeper.ledger import keys

SOON = {"timeout": "150ms"}
BUDGET = {"budget": [{"name": "all", "scope": "waba", "period": "month", "limit": "100.00"}]}
RATE_LIMIT = {"error": {"message": "(#130429) Rate limit hit", "type": "OAuthException", "code": 130429}}
PATIENCE = 10_000  # looks
KEY = ("Idempotency-Key", "once")


@pytest.fixture
def away(frozen):
    """The ledger is away from when it is told to be until the stack is closed."""
    with contextlib.ExitStack() as stack:
        stack.freeze = lambda: stack.enter_context(frozen())
        yield stack


def money(redis) -> bool:
    """Whether a budget holds or has spent any."""
    return any(int(amount) for key in redis.keys("gk:*:budget:*") for amount in redis.hgetall(key).values())


def script(graph, before, status: int):
    """Let something happen when a request has come in whole, then answer it."""

    async def answered(request):
        body = await request.read()
        graph.keep(request, body)
        before()
        return graph.accept(body) if status == 200 else web.json_response(RATE_LIMIT, status=status)

    graph.script = answered


async def test_what_a_refused_send_held_is_given_back_later(open_house, graph, redis, away):
    """Meta refuses while the ledger is away: the money comes back when the ledger does."""
    house = await open_house(graph.url, ledger=SOON, policy=BUDGET)
    script(graph, away.freeze, 429)
    answer = await house.template("spring_sale")
    away.close()
    await eventually(lambda: not money(redis))

    assert (429, "cold") == (answer.status, answer["Gatekeeper-State"])


async def test_an_accepted_send_is_named_later(open_house, graph, redis, away):
    """Meta takes a send while the ledger is away: what becomes of it is settled all the same."""
    house = await open_house(graph.url, ledger=SOON, policy=BUDGET)
    script(graph, away.freeze, 200)
    answer = await house.template("spring_sale")
    away.close()
    await eventually(lambda: house.gate.engine.ledger.up and redis.exists(keys.message(WABA, "wamid.1")) == 1)
    told = await house.status("wamid.1", "failed", errors=[{"code": 131026, "title": "Message undeliverable"}])

    assert (200, 200) == (answer.status, told.status)
    assert not money(redis)


async def test_a_decision_that_was_taken_unheard_is_given_back_too(open_house, graph, redis, away):
    """The ledger takes a decision that it answers too late: the send is decided without it, and what it holds follows its fate."""
    house = await open_house(graph.url, ledger=SOON, policy=BUDGET)
    await house.template("spring_sale", ("Gatekeeper-Dry-Run", "true"))
    seen: list[bool] = []

    def back() -> None:
        away.close()
        seen.append(any(money(redis) for _ in range(PATIENCE)))

    script(graph, back, 429)
    away.freeze()
    answer = await house.template("spring_sale")
    await eventually(lambda: not money(redis))

    assert (429, "degraded", [True]) == (answer.status, answer["Gatekeeper-State"], seen)


async def test_a_key_that_was_claimed_unheard_is_free_again(open_house, graph, redis, away):
    """A send that the gate turned away for want of the ledger does not use its idempotency key up."""
    house = await open_house(graph.url, ledger=SOON)
    await house.template("spring_sale", ("Idempotency-Key", "earlier"))  # Redis knows the scripts from here on
    [earlier] = redis.keys("gk:*:repeat:*")
    away.freeze()
    turned_away = await house.template("spring_sale", KEY)
    away.close()
    await eventually(lambda: len(redis.keys("gk:*:repeat:*")) == 2)
    await eventually(lambda: redis.keys("gk:*:repeat:*") == [earlier])
    again = await house.template("spring_sale", KEY)

    assert (503, "degraded") == (turned_away.status, turned_away["Gatekeeper-State"])
    assert (200, 2) == (again.status, len(graph.arrived))


async def test_an_answer_that_was_not_kept_is_kept_later(open_house, graph, redis, away):
    """An answer that the ledger could not keep is what a repeat gets, once it can."""
    house = await open_house(graph.url, ledger=SOON)
    script(graph, away.freeze, 200)
    first = await house.template("spring_sale", KEY)
    away.close()
    [key] = redis.keys("gk:*:repeat:*")
    await eventually(lambda: redis.hexists(key, "answer"))
    again = await house.template("spring_sale", KEY)

    assert (200, 200, 1) == (first.status, again.status, len(graph.arrived))
    assert json.loads(first.body) == json.loads(again.body)
    assert (NUMBER, USER) == (graph.arrived[0].target.split("/")[2], json.loads(graph.arrived[0].body)["to"])
