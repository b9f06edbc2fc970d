"""
Measure a decision: from a decoded body to the verdict, at several numbers of concurrent callers.

Against a bare `GET` through redis-py, and one through the gate's own connection, in turn; beside it what Redis itself and what Python
alone take.
"""

from __future__ import annotations

import argparse
import asyncio
import timeit
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter, time_ns
from typing import Any

import msgspec
import parts
import uvloop
import wire
from redis.asyncio import BlockingConnectionPool, Redis
from report import Report, parser

from gatekeeper.core.data import data_dir
from gatekeeper.core.decision import decide
from gatekeeper.core.plan import Plan, plan
from gatekeeper.engine import Decided, Engine
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta.sends import Send, decode_send
from gatekeeper.meta.webhooks import decode_webhook
from gatekeeper.settings import load_all
from gatekeeper.telemetry import Metrics

CALLERS = (1, 8, 32, 128)
CONNECTIONS = 16
"""Of the client that asks the bare question."""

RECIPIENTS = range(wire.FIRST, wire.FIRST + 1000)
REPEATS = 7
PATIENCE_MS = 60_000
BODIES = {
    "text in an open window": wire.KINDS["text"],
    "utility template": wire.KINDS["template"],
    "marketing template": wire.KINDS["template"].replace(b"order_update", b"spring_sale"),
}
POLICIES = {"": "", ", one budget and one rule": parts.POLICY}


class Course(msgspec.Struct):
    """What some callers saw in one round."""

    rate: float
    latencies: list[float]


class Scene:
    """An engine over a Redis of its own, with windows open; and sends to decide."""

    def __init__(self, config: Path, url: str, body: bytes, recipients: Sequence[int] = RECIPIENTS) -> None:
        self.settings, self.book = load_all(config, data_dir("config"))
        self.ledger = Ledger(url, timeout_ms=PATIENCE_MS)
        self.engine = Engine(self.settings, self.book, self.ledger, Metrics())
        self.client = Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=None))
        self._recipients = recipients
        self._sends = [decode_send(body % recipient, marketing_api=False) for recipient in recipients]
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._ids = count()
        self._watch = keys.watch(wire.WABA, wire.NUMBER)

    def next(self) -> tuple[Send, str]:
        """A send, and an id for its decision as long as a real one."""
        n = next(self._ids)
        return self._sends[n % len(self._sends)], f"{id(self):016x}{n:016x}"

    async def close(self) -> None:
        """Drop every connection."""
        await self.ledger.close()
        await self.client.aclose()
        await self.client.connection_pool.disconnect()

    async def open(self) -> None:
        """Let every recipient write."""
        await self.hear(wire.messages(self._recipients))

    async def hear(self, value: bytes) -> None:
        """Take in a webhook."""
        await self.engine.absorb(decode_webhook(wire.webhook(value).partition(wire.END)[2]), now=time_ns() // 1_000_000)

    async def decide(self) -> Decided:
        """Decide one send, as the gate does; it must go out."""
        send, name = self.next()
        decided = await self.engine.decide(send, wire.NUMBER, now=time_ns() // 1_000_000, decision_id=name)
        if not decided.held:
            raise SystemExit(f"a send of the bench was not reserved: {decided.decision.reason}")
        return decided

    async def get(self) -> Any:
        """Ask Redis the least that can be asked: no more at once than there are connections, and in turn."""
        async with self._slots:
            return await self.client.get(self._watch)

    async def own_get(self) -> Any:
        """Ask the same by the way that a decision goes."""
        return await self.ledger.ask(self._watch, ("GET", self._watch))

    async def used(self, command: str) -> float:
        """How many microseconds Redis itself took for each call of *command* since its statistics began."""
        found = (await self.client.info("commandstats")).get(f"cmdstat_{command}", {})
        return float(found.get("usec_per_call", 0))


async def course(callers: int, seconds: float, one: Callable[[], Awaitable[Any]]) -> Course:
    """Let so many callers each do *one* thing after the other."""
    end, latencies = perf_counter() + seconds, list[float]()

    async def caller() -> None:
        while (began := perf_counter()) < end:
            await one()
            latencies.append(perf_counter() - began)

    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    return Course(len(latencies) / (perf_counter() - began), latencies)


async def row(scene: Scene, callers: int, given: argparse.Namespace) -> list[Any]:
    """Decide and GET in turn."""
    ours, theirs, own, inside = [], [], [], []
    for _ in range(given.rounds):
        await scene.client.config_resetstat()
        ours.append(await course(callers, given.seconds, scene.decide))
        inside.append(await scene.used("evalsha"))
        theirs.append(await course(callers, given.seconds, scene.get))
        own.append(await course(callers, given.seconds, scene.own_get))
    said: list[Any] = [callers]
    for courses in (ours, theirs):
        said.append(median(one.rate for one in courses))
        said += [1000 * median(parts.quantile(one.latencies, part) for one in courses) for part in (0.5, 0.99)]
    decided, got, got_so = ([parts.quantile(one.latencies, 0.5) for one in courses] for courses in (ours, theirs, own))
    return [*said, parts.ratio(decided, got), parts.ratio(decided, got_so), median(inside)]


def in_python(scene: Scene, decided: Decided, number: int) -> list[float]:
    """How many microseconds planning, packing and explaining take, each at its best."""
    sent, outcome, facts = decided.plan.sent, decided.outcome, decided.facts
    account, template, policy = decided.plan.account, decided.plan.template, scene.settings.policy
    laid: dict[Any, Plan] = {}  # as the engine keeps them

    def timed(one: Callable[[], Any]) -> float:
        return 1e6 * min(timeit.repeat(one, number=number, repeat=REPEATS)) / number

    return [
        timed(lambda: plan(sent, account, template, scene.book, now=decided.plan.at, policy=policy, laid=laid)),
        timed(lambda: calls.authorize(wire.WABA, decided.plan, facts, commit=True, enforce=True, registry="0")),
        timed(lambda: decide(decided.plan, outcome)),
    ]


async def run(report: Report, url: str, where: Path, given: argparse.Namespace) -> None:
    """Print both tables."""
    columns = (
        *("callers", "decisions/s", "p50 ms", "p99 ms", "GET/s", "GET p50", "GET p99"),
        *("p50 of GET", "p50 of own GET", "Redis µs a decision"),
    )
    notes = "GET: through redis-py, in ms too", "own GET: by the connection that decisions go by"
    alone = []
    for more, policy in POLICIES.items():
        for what, body in BODIES.items():
            scene = Scene(parts.config(where, upstream=9, ledger=url, policy=policy), url, body)
            try:
                await scene.open()
                alone.append([what + more, *in_python(scene, await scene.decide(), 50 if given.quick else 2000)])
                if (what, bool(policy)) in (("text in an open window", False), ("marketing template", True)):
                    rows = [await row(scene, callers, given) for callers in given.callers]
                    report.table(f"decisions: {what}{more}", columns, rows, *notes)
            finally:
                await scene.close()
    report.table("Python alone, µs", ("", "plan", "pack the call", "decide"), alone)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    one = parser(__doc__)
    one.add_argument("--callers", type=int, nargs="+", metavar="N", help="numbers of concurrent callers (default: 1 8 32 128)")
    one.add_argument("--seconds", type=float, metavar="S", help="length of a round (default: 1)")
    one.add_argument("--rounds", type=int, metavar="N", help="rounds of each (default: 5)")
    given = one.parse_args(arguments)
    given.callers = given.callers or ((1, 32) if given.quick else CALLERS)
    given.seconds = given.seconds or (0.2 if given.quick else 1)
    given.rounds = given.rounds or (1 if given.quick else 5)
    report = Report("decision", given)
    cores = parts.Cores.here()
    with parts.folder() as where, parts.redis_server(where, cores.redis) as url:
        parts.pin(cores.measured)
        uvloop.run(run(report, url, where, given))
    report.kept()


if __name__ == "__main__":
    main()
