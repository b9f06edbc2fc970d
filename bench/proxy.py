"""
Measure what the gate costs as a proxy: sends a second and their latency, against a bare pass-through of aiohttp.

Both stand on the same core before the same fake Graph, under the same load, in turn. Redis, Graph and the load are elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import nginx
import parts
from load import Result
from report import Report, parser

RECIPIENTS = 2000
BARE, GATE = "bare aiohttp", "gatekeeper"
COLUMNS = (
    *("", "sends/s", "of bare", "CPU µs a send", "of bare's", "p50 ms", "p99 ms"),
    *("paced p50", "paced p99", "of bare's p99", "webhooks/s"),
)
SUSTAINED = 0.6
"""This part of what the slowest can do is a rate that all can sustain."""

WORKERS = 2


def compared(
    servers: dict[str, parts.Served], cores: parts.Cores, given: argparse.Namespace, **job: Any
) -> tuple[list[list[Any]], float]:
    """Load each in turn, at full speed and then at one rate for all; a row for each, and that rate."""
    used = dict.fromkeys(servers, 0.0)

    def loaded(name: str, **more: Any) -> Callable[[], Result]:
        served = servers[name]

        def run() -> Result:
            before = parts.cpu(served.pid)
            result = parts.load(cores.load, port=served.port, seconds=given.seconds, recipients=RECIPIENTS, **job, **more)
            used[name] += 0 if more else 1e6 * (parts.cpu(served.pid) - before)
            return result

        return run

    full = parts.in_turn(given.rounds, {name: loaded(name) for name in servers})
    rates = {name: [one.sends.rate for one in results] for name, results in full.items()}
    costs = {name: used[name] / sum(one.all for one in results) for name, results in full.items()}
    rate = given.rate or max(1, SUSTAINED * min(median(of) for of in rates.values()))
    paced = parts.in_turn(given.rounds, {name: loaded(name, rate=rate) for name in servers})
    p99s = {name: [one.sends.p99_ms for one in results] for name, results in paced.items()}
    return [
        [
            name,
            median(rates[name]),
            parts.ratio(rates[name], rates[BARE]),
            costs[name],
            costs[name] / costs[BARE],
            median(one.sends.p50_ms for one in full[name]),
            median(one.sends.p99_ms for one in full[name]),
            median(one.sends.p50_ms for one in paced[name]),
            median(p99s[name]),
            parts.ratio(p99s[name], p99s[BARE]),
            median(one.hooks.rate for one in full[name]) or None,
        ]
        for name in servers
    ], rate


def one_worker(report: Report, where: Path, given: argparse.Namespace) -> None:
    """Compare one worker with one bare process: without webhooks, with those that go on to an app, and with those that end here."""
    cores = parts.Cores.here()
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(parts.redis_server(where, cores.redis))
        graph = stack.enter_context(parts.helper("graph.py", core=cores.graph))
        url = f"http://127.0.0.1:{graph.port}"  # what answers as Graph does is an app's answer too

        def pair(name: str, app: str, *ends: str) -> dict[str, parts.Served]:
            """A bare process and a gate that do the same with webhooks."""
            (where / name).mkdir()
            bare = stack.enter_context(parts.helper("bare.py", url, *ends, core=cores.measured))
            gate = parts.gate(where / name, cores.measured, upstream=graph.port, ledger=ledger, app=app)
            return {BARE: bare, GATE: stack.enter_context(gate)}

        ending, passing = pair("ending", "", "/webhook"), pair("passing", f"{url}/webhook")
        parts.open_windows(ending[GATE].port, RECIPIENTS)
        missing, servers = nginx.missing(), dict(ending)
        if missing is None:
            asking = nginx.running(where, cores.measured, upstream=graph.port, redis=where / "redis.sock")
            servers["nginx + lua"] = stack.enter_context(asking)
        rows, rate = compared(servers, cores, given)
        if missing is not None:
            rows.append(["nginx + lua", *[None] * (len(COLUMNS) - 1)])
        report.table(
            "free-form texts into open windows",
            COLUMNS,
            rows,
            f"32 connections; paced: {rate:.0f} sends/s for all; targets: 0.80 of bare, p99 1.3 of bare",
            "CPU is the process's own; neighbours of a virtual machine move it as they move the rates; latencies are in ms",
            "nginx asks Redis one question, whether the window is open, and keeps nothing" if missing is None else missing,
        )
        for servers, title in (
            (passing, "the same with webhooks, which both hand on to an app and the gate reads and settles by first"),
            (ending, "the same with webhooks that end here: the gate reads them, the bare one answers them unread"),
        ):
            rows, rate = compared(servers, cores, given, hooks=10)
            note = "four webhooks for every ten sends: an inbound message, sent, delivered, read"
            report.table(title, COLUMNS, rows, note, f"paced: {rate:.0f} sends/s for both")


def workers(report: Report, given: argparse.Namespace) -> None:
    """Compare several workers with one, where they have cores."""
    title, columns, have = f"{WORKERS} workers against 1", ("", "sends/s", "of one"), len(os.sched_getaffinity(0))
    if have < WORKERS or given.quick:
        why = "a quick run leaves it out" if given.quick else f"it takes {WORKERS} cores, and twice as many to be worth something"
        report.table(title, columns, [], f"not measured: {why}")
        return
    with contextlib.ExitStack() as stack:
        ports = {}
        for count in (1, WORKERS):
            where = stack.enter_context(parts.folder())
            cores = parts.Cores.here(count)
            ledger = stack.enter_context(parts.redis_server(where, cores.redis))
            graph = stack.enter_context(parts.helper("graph.py", core=cores.graph))
            gate = stack.enter_context(parts.gate(where, cores.measured, upstream=graph.port, ledger=ledger, workers=count))
            parts.open_windows(gate.port, RECIPIENTS)
            ports[count] = gate.port
        core = parts.Cores.here(WORKERS).load

        def loaded(port: int) -> Callable[[], float]:
            return lambda: parts.load(core, port=port, seconds=given.seconds, recipients=RECIPIENTS).sends.rate

        seen = parts.in_turn(given.rounds, {str(count): loaded(port) for count, port in ports.items()})
    rows = [[f"workers = {name}", median(rates), parts.ratio(rates, seen["1"])] for name, rates in seen.items()]
    shared = have < WORKERS + 2
    notes = [f"{have} cores: the last worker shares its core with load, Graph and Redis, so this is the least that it can be"]
    report.table(title, columns, rows, *notes[: int(shared)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    one = parser(__doc__)
    one.add_argument(
        "--rate", type=float, default=0, metavar="N", help="sends/s of the paced rounds (default: what all can sustain)"
    )
    one.add_argument("--seconds", type=float, metavar="S", help="length of a round (default: 1.2)")
    one.add_argument("--rounds", type=int, metavar="N", help="rounds of each (default: 5)")
    given = one.parse_args(arguments)
    given.seconds = given.seconds or (0.2 if given.quick else 1.2)
    given.rounds = given.rounds or (1 if given.quick else 5)
    report = Report("proxy", given)
    with parts.folder() as where:
        one_worker(report, where, given)
    workers(report, given)
    report.kept()


if __name__ == "__main__":
    main()
