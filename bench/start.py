"""
Measure starts and replays: from exec to a `/readyz` that says 200, and how long a recorded history takes, in how much memory.

Starts are of `gatekeeper serve` with its embedded ledger. A history ten times as long has to take ten times as long, in the same memory.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import parts
import wire
from report import Report, parser

EVENTS_A_SEND = 5
BEGIN = 1_793_500_000  # 2026-11-01, in a regime that counts and charges
GAP_S = 10
RECIPIENTS = 1000
MIB = 1 << 20


def ready(port: int) -> bool:
    """Ask once whether it is ready."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
        return connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    return False


def one_start(where: Path, core: set[int]) -> tuple[float, float]:
    """Start a gate; how many seconds until it is ready, and its memory then in MiB."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    path = parts.config(where, upstream=9, ledger="embedded")
    path.write_text(path.read_text().replace('admin_listen = "127.0.0.1:0"', f'admin_listen = "127.0.0.1:{port}"'))
    began = time.perf_counter()
    with parts.started([sys.executable, "-m", "gatekeeper", "serve", "--config", str(path)], core, where / "gate.log") as process:
        while not ready(port):
            if process.poll() is not None or time.perf_counter() - began > parts.PATIENCE_S:
                raise SystemExit(f"the gate did not start: {(where / 'gate.log').read_text()[-2000:]}")
            time.sleep(parts.POLL_S)
        return time.perf_counter() - began, parts.memory(process.pid) / MIB


def one_look(core: set[int]) -> tuple[float, float]:
    """Load what a gate loads, say so and end: for scale."""
    began = time.perf_counter()
    with parts.started([sys.executable, "-m", "gatekeeper", "check-config"], core) as process:
        if process.wait():
            raise SystemExit("gatekeeper check-config failed")
        return time.perf_counter() - began, 0


def starts(report: Report, where: Path, given: argparse.Namespace) -> None:
    """Start several times; the last ones find the files of the first."""
    cores = parts.Cores.here()
    seen = parts.in_turn(
        given.rounds,
        {"check-config": lambda: one_look(cores.measured), "serve, to /readyz": lambda: one_start(where, cores.measured)},
    )
    rows = [
        [
            name,
            len(some),
            median(took for took, _ in some),
            max(took for took, _ in some),
            median(held for _, held in some) or None,
        ]
        for name, some in seen.items()
    ]
    report.table("starts", ("gatekeeper", "starts", "median s", "worst s", "RSS MiB"), rows, "embedded ledger included")


def history(events: int) -> Iterator[bytes]:
    """Make up a history: a customer writes, is answered, and the answer is sent, delivered and read."""
    for n in range(events // EVENTS_A_SEND):
        at, to = BEGIN + n * GAP_S, wire.FIRST + n * 7919 % RECIPIENTS
        body, name = wire.KINDS["text"] % to, wire.wamid(n)
        yield _webhook(at, b'"messages":[%s]' % (wire.INBOUND % (to, n, at)))
        path = f"/v23.0/{wire.NUMBER}/messages".encode()
        yield b'{"at":%d,"send":{"id":"s%d","path":"%s","body":%s,"wamid":"%s"}}\n' % (at + 1, n, path, body, name)
        for late, (word, pricing) in enumerate(wire.COURSE, 2):
            yield _webhook(at + late, b'"statuses":[%s]' % (wire.STATUS % (name, word, at + late, to, pricing)))


def _webhook(at: int, value: bytes) -> bytes:
    return b'{"at":%d,"webhook":%s}\n' % (at, wire.ENVELOPE % (wire.CHANGE % value))


def one_replay(where: Path, events: int) -> list[float]:
    """Replay so many events; seconds, events a second, and the memory of the process at its most."""
    path = where / "history.jsonl"
    with path.open("wb") as file:
        file.writelines(history(events))
    config = parts.config(where, upstream=9, ledger="embedded")
    began, most, out = time.perf_counter(), 0, where / "decisions.jsonl"
    command = [sys.executable, "-m", "gatekeeper", "replay", str(path), "--config", str(config)]
    with out.open("wb") as written, subprocess.Popen(command, stdout=written, cwd=parts.HERE.parent) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError):
                most = max(most, parts.memory(process.pid, "VmHWM"))
            time.sleep(10 * parts.POLL_S)
    took = time.perf_counter() - began
    decided = sum(b'"event":"decision"' in line.replace(b" ", b"") for line in out.open("rb"))
    if process.returncode or decided != events // EVENTS_A_SEND:
        raise SystemExit(f"replay ended with {process.returncode} after {decided} decisions")
    path.unlink()
    return [took, events / took, most / MIB, out.stat().st_size / MIB]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    one = parser(__doc__)
    one.add_argument("--rounds", type=int, metavar="N", help="starts (default: 7)")
    one.add_argument("--events", type=int, nargs="+", metavar="N", help="lengths of the histories (default: 10000 100000)")
    given = one.parse_args(arguments)
    given.rounds = given.rounds or (1 if given.quick else 7)
    given.events = given.events or ((100,) if given.quick else (10_000, 100_000))
    report = Report("start", given)
    with parts.folder() as where:
        starts(report, where, given)
        rows = [[events, *one_replay(where, events)] for events in given.events]
    report.table(
        "gatekeeper replay",
        ("events", "s", "events/s", "RSS MiB at most", "MiB written"),
        rows,
        "a fifth of the events are sends",
    )
    report.kept()


if __name__ == "__main__":
    main()
