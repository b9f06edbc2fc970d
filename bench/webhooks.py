"""
Measure webhooks: one with a thousand updates, single ones while sends go through, and as many of them as follow from every send.

All through one running gate of one worker, signed, with a ledger that knows the sends that they speak of.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import parts
import wire
from load import Result
from report import Report, parser

UPDATES, RECIPIENTS = 1000, 1000
LARGE = 15
ENTRY = 10
"""So many updates stand in one change: Meta gathers them by phone number."""

SUSTAINED = 0.6
CONTENT = re.compile(rb'"id":"(wamid[^"]+)"')


def sent(port: int, recipients: range) -> list[tuple[int, bytes]]:
    """Send a text to each; the recipients, and the wamids that Meta gave."""
    found = []
    with socket.create_connection(("127.0.0.1", port), parts.PATIENCE_S) as connection:
        for recipient in recipients:
            connection.sendall(wire.send_request("text") % recipient)
            answer = b""
            while (wamid := CONTENT.search(answer)) is None:
                got = connection.recv(1 << 16)
                if not got:
                    raise SystemExit(f"a send was answered {answer[:300]!r}")
                answer += got
            found.append((recipient, wamid[1]))
    return found


def batch(sends: Sequence[tuple[int, bytes]], updates: int, salt: int) -> bytes:
    """Write a webhook of *updates*: three statuses of each send, and messages for what is left."""
    words = wire.COURSE
    items = [wire.status(wamid, word, recipient, pricing) for word, pricing in words for recipient, wamid in sends]
    statuses = [b'"statuses":[%s]' % b",".join(items[n : n + ENTRY]) for n in range(0, len(items), ENTRY)]
    writers = range(wire.FIRST, wire.FIRST + updates - len(items))
    inbound = [
        wire.messages(range(start, min(start + ENTRY, writers.stop)), salt) for start in range(writers.start, writers.stop, ENTRY)
    ]
    return wire.webhook(
        *(value for pair in zip(statuses, inbound, strict=False) for value in pair),
        *statuses[len(inbound) :],
        *inbound[len(statuses) :],
    )


def one_large(gate: parts.Served, rounds: int) -> tuple[list[float], list[float]]:
    """Post a webhook of a thousand updates again and again, each with sends of its own; how long it took, and how much CPU, in ms."""
    took, used = [], []
    for n in range(rounds):
        sends = sent(gate.port, range(wire.FIRST, wire.FIRST + UPDATES // 6))
        request, before = batch(sends, UPDATES, (n + 1) * 10**6), parts.cpu(gate.pid)
        took.append(parts.post(gate.port, request))
        used.append(1000 * (parts.cpu(gate.pid) - before))
    return took, used


def run(report: Report, where: Path, given: argparse.Namespace) -> None:
    """Print the tables."""
    cores = parts.Cores.here()
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(parts.redis_server(where, cores.redis))
        graph = stack.enter_context(parts.helper("graph.py", core=cores.graph))
        gate = stack.enter_context(parts.gate(where, cores.measured, upstream=graph.port, ledger=ledger))
        parts.open_windows(gate.port, RECIPIENTS)

        took, used = one_large(gate, 1 if given.quick else LARGE)
        report.table(
            f"one webhook with {UPDATES} updates, half of them statuses of sends that the ledger holds",
            ("posts", "p50 ms", "best ms", "worst ms", "CPU ms"),
            [[len(took), median(took), min(took), max(took), sum(used) / len(used)]],
            "target: 30 ms",
        )

        def load(**job: float) -> Result:
            return parts.load(cores.load, port=gate.port, seconds=given.seconds, recipients=RECIPIENTS, **job)

        seen = parts.in_turn(given.rounds, {"alone": load, "tenth": lambda: load(hooks=10), "every": lambda: load(hooks=1)})
        rate = given.rate or max(1, SUSTAINED * median(one.sends.rate for one in seen["tenth"]))
        calm = min(rate, max(1, SUSTAINED * median(one.sends.rate for one in seen["every"])))
        seen |= parts.in_turn(
            given.rounds,
            {"paced": lambda: load(hooks=10, rate=rate), "paced, every": lambda: load(hooks=1, rate=calm)},
        )
        names = {
            "alone": "sends alone, as fast as they go",
            "tenth": "0.4 webhooks a send, as fast as they go",
            "paced": f"0.4 webhooks a send, {rate:.0f} sends/s",
            "every": "3 webhooks a send, as fast as they go",
            "paced, every": f"3 webhooks a send, {calm:.0f} sends/s",
        }
        columns = (
            "",
            "sends/s",
            "webhooks/s",
            "webhook p50 ms",
            "webhook p99 ms",
            "send p50 ms",
            "send p99 ms",
            "sends/s of alone",
        )
        alone = [one.sends.rate for one in seen["alone"]]
        rows = [
            [
                title,
                median(one.sends.rate for one in seen[name]),
                *(median(getattr(one.hooks, figure) for one in seen[name]) or None for figure in ("rate", "p50_ms", "p99_ms")),
                *(median(getattr(one.sends, figure) for one in seen[name]) for figure in ("p50_ms", "p99_ms")),
                parts.ratio([one.sends.rate for one in seen[name]], alone),
            ]
            for name, title in names.items()
        ]
        report.table(
            "single webhooks while sends go through",
            columns,
            rows,
            "32 connections send, 8 bring webhooks; target: p99 of a webhook 50 ms",
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    one = parser(__doc__)
    one.add_argument(
        "--rate", type=float, default=0, metavar="N", help="sends/s of the paced rounds (default: what is sustained)"
    )
    one.add_argument("--seconds", type=float, metavar="S", help="length of a round (default: 2)")
    one.add_argument("--rounds", type=int, metavar="N", help="rounds of each (default: 5)")
    given = one.parse_args(arguments)
    given.seconds = given.seconds or (0.2 if given.quick else 2)
    given.rounds = given.rounds or (1 if given.quick else 5)
    report = Report("webhooks", given)
    with parts.folder() as where:
        run(report, where, given)
    report.kept()


if __name__ == "__main__":
    main()
