"""
Measure what grows: decisions among ever more threads, bytes per thread and per send, and a gate's memory over many recipients.

Threads are made by the real scripts and then copied, byte for byte, inside Redis.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import decision
import parts
import uvloop
import wire
from report import Report, parser

from gatekeeper.core.effects import Change
from gatekeeper.core.vocabulary import Clock, conversation
from gatekeeper.ledger import calls, keys
from gatekeeper.meta.responses import decode_answer

COPY = """
local dump, life = redis.call('DUMP', KEYS[1]), redis.call('PTTL', KEYS[1])
for n = tonumber(ARGV[2]), tonumber(ARGV[3]) do
  redis.call('RESTORE', ARGV[1] .. string.format('%.0f', n), life, dump, 'REPLACE')
end
"""
CHUNK = 10_000
FULL: dict[str, tuple[str, ...]] = {
    "every clock of today's rules": (),
    "and every conversation of older ones": ("marketing", "utility", "authentication", "service", "referral_conversion"),
}
SAMPLE = 2000
STEPS = 10
MIB = 1 << 20


async def used(scene: decision.Scene) -> int:
    """What Redis has in use."""
    return int((await scene.client.info("memory"))["used_memory"])


async def fill(scene: decision.Scene, source: str, count: int) -> float:
    """Copy the thread *source* to so many recipients; the bytes that each took."""
    before = await used(scene)
    prefix = keys.thread(wire.WABA, wire.NUMBER, "")
    for start in range(wire.FIRST, wire.FIRST + count, CHUNK):
        await scene.client.eval(COPY, 1, source, prefix, start, min(start + CHUNK, wire.FIRST + count) - 1)
    return (await used(scene) - before) / count


async def every_clock(scene: decision.Scene, n: int, categories: Sequence[str]) -> str:
    """Make a thread with all clocks open, and conversations of these categories, by the script that opens them; its key."""
    now = int(time.time() * 1000)
    clocks = [clock.value for clock in Clock] + [conversation(category) for category in categories]
    key = keys.thread(wire.WABA, wire.NUMBER, str(wire.FIRST - n))
    opened = [Change(kind="open", clock=clock, at=now, ends=now + keys.DAY_MS) for clock in clocks]
    await scene.ledger.run([calls.observe(key, opened, now=now)])
    return key


async def threads(report: Report, stack: contextlib.AsyncExitStack, where: Path, given: argparse.Namespace) -> None:
    """Compare decisions in Redis servers that hold more and more threads, in turn, and weigh threads."""
    cores, scenes, weights = parts.Cores.here(), {}, []
    for size in given.threads:
        home = where / str(size)
        home.mkdir()
        url = stack.enter_context(parts.redis_server(home, cores.redis))
        chosen = random.Random(size).sample(range(wire.FIRST, wire.FIRST + size), min(size, SAMPLE))
        scene = decision.Scene(parts.config(home, upstream=9, ledger=url), url, wire.KINDS["text"], chosen)
        stack.push_async_callback(scene.close)
        await scene.hear(wire.messages([wire.FIRST - 1]))
        window = keys.thread(wire.WABA, wire.NUMBER, str(wire.FIRST - 1))
        began = time.perf_counter()
        scenes[size] = scene
        weights.append(
            [
                "window",
                size,
                await scene.client.memory_usage(window),
                await fill(scene, window, size),
                time.perf_counter() - began,
            ]
        )
    home = where / "full"
    home.mkdir()
    url = stack.enter_context(parts.redis_server(home, cores.redis))
    empty = decision.Scene(parts.config(home, upstream=9, ledger=url), url, wire.KINDS["text"], [wire.FIRST])
    stack.push_async_callback(empty.close)
    for n, (name, categories) in enumerate(FULL.items(), start=2):
        await empty.client.flushall()
        key = await every_clock(empty, n, categories)
        size = await empty.client.memory_usage(key)
        weights.append([name, given.threads[0], size, await fill(empty, key, given.threads[0]), None])

    parts.pin(cores.measured)
    seen: dict[int, list[decision.Course]] = {size: [] for size in scenes}
    for _ in range(given.rounds):
        for size, scene in scenes.items():
            seen[size].append(await decision.course(1, given.seconds, scene.decide))
    p50s = {size: [parts.quantile(one.latencies, 0.5) for one in courses] for size, courses in seen.items()}
    first = p50s[given.threads[0]]
    rows = [
        [
            size,
            1000 * median(p50s[size]),
            1000 * median(parts.quantile(one.latencies, 0.99) for one in seen[size]),
            parts.ratio(p50s[size], first),
        ]
        for size in scenes
    ]
    report.table(
        "decisions among threads, one caller", ("threads", "p50 ms", "p99 ms", "p50 of the first"), rows, "target: within 10 %"
    )
    columns = ("thread with", "threads", "MEMORY USAGE", "used_memory each", "s to fill")
    report.table("bytes of a thread", columns, weights, "used_memory counts the dictionary's growth, in steps of a power of two")


async def sends(report: Report, stack: contextlib.AsyncExitStack, where: Path, given: argparse.Namespace) -> None:
    """Weigh sends on their way, and settled."""
    home = where / "sends"
    home.mkdir()
    url = stack.enter_context(parts.redis_server(home, parts.Cores.here().redis))
    scene = decision.Scene(parts.config(home, upstream=9, ledger=url), url, wire.KINDS["text"])
    stack.push_async_callback(scene.close)
    await scene.open()

    async def send(n: int) -> None:
        decided, to = await scene.decide(), b"%d" % (wire.FIRST + n % len(decision.RECIPIENTS))
        answer = decode_answer(wire.ACCEPTED % (to, to, wire.wamid(n)))
        assert answer is not None
        await scene.engine.accepted(decided, answer, now=int(time.time() * 1000))

    await send(0)  # what is there once: meters, the day's bill
    key, rows, empty = keys.message(wire.WABA, wire.wamid(1).decode()), [], await used(scene)
    for n in range(1, given.sends + 1):
        await send(n)
    rows.append(["in flight", await scene.client.memory_usage(key), (await used(scene) - empty) / given.sends])
    for start in range(1, given.sends + 1, 100):
        items = [
            wire.status(wire.wamid(n), b"delivered", wire.FIRST + n % len(decision.RECIPIENTS))
            for n in range(start, min(start + 100, given.sends + 1))
        ]
        await scene.hear(b'"statuses":[%s]' % b",".join(items))
    rows.append(["settled", await scene.client.memory_usage(key), (await used(scene) - empty) / given.sends])
    report.table(f"bytes of a send, over {given.sends:,} of them", ("send", "MEMORY USAGE", "used_memory each"), rows)


async def in_redis(report: Report, where: Path, given: argparse.Namespace) -> None:
    """What grows in Redis."""
    async with contextlib.AsyncExitStack() as stack:
        await sends(report, stack, where, given)
        await threads(report, stack, where, given)


def in_the_gate(report: Report, where: Path, given: argparse.Namespace) -> None:
    """What grows in a gate's process: over recipients that it sees once each, and over time."""
    cores = parts.Cores.here()
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(parts.redis_server(where, cores.redis))
        graph = stack.enter_context(parts.helper("graph.py", core=cores.graph))
        gate = stack.enter_context(parts.gate(where, cores.measured, upstream=graph.port, ledger=ledger))
        steps = 2 if given.quick else STEPS
        began, step = time.monotonic(), max(given.recipients // steps, 1)

        def weighed(recipients: int) -> list[Any]:
            return [recipients, parts.memory(gate.pid) / MIB, time.monotonic() - began]

        rows = [weighed(0)]
        for n in range(steps):
            job = {"kind": "template", "first": n * step, "recipients": step, "count": step, "warm": 0}
            parts.load(cores.load, port=gate.port, **job)
            rows.append(weighed((n + 1) * step))
        until, told = time.monotonic() + 60 * given.minutes, time.monotonic()
        while time.monotonic() < until:
            parts.load(cores.load, port=gate.port, kind="template", first=0, recipients=step, seconds=10, hooks=10)
            if time.monotonic() - told >= 60 or time.monotonic() >= until:
                told = time.monotonic()
                rows.append(weighed(given.recipients))
    report.table(
        "a gate's memory", ("distinct recipients", "RSS MiB", "after s"), rows, "templates, as fast as 32 connections go"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    one = parser(__doc__)
    one.add_argument("--threads", type=int, nargs="+", metavar="N", help="numbers of threads (default: 1000 100000 1000000)")
    one.add_argument("--recipients", type=int, metavar="N", help="distinct recipients that a gate sends to (default: 50000)")
    one.add_argument("--minutes", type=float, default=0, metavar="M", help="go on so long, with webhooks too (default: 0)")
    one.add_argument("--sends", type=int, metavar="N", help="sends that are weighed (default: 5000)")
    one.add_argument("--seconds", type=float, metavar="S", help="length of a round of decisions (default: 1)")
    one.add_argument("--rounds", type=int, metavar="N", help="rounds of each (default: 5)")
    given = one.parse_args(arguments)
    given.threads = given.threads or ((100, 1000) if given.quick else (1000, 100_000, 1_000_000))
    given.recipients = given.recipients or (200 if given.quick else 50_000)
    given.sends = given.sends or (100 if given.quick else 5000)
    given.seconds = given.seconds or (0.1 if given.quick else 1)
    given.rounds = given.rounds or (1 if given.quick else 5)
    report = Report("growth", given)
    with parts.folder() as where:
        in_the_gate(report, where, given)
        uvloop.run(in_redis(report, where, given))
    report.kept()


if __name__ == "__main__":
    main()
