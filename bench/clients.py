"""
Measure what a client for HTTP takes of one core for each send: the gate's own connections, aiohttp's, and others where they are installed.

A client has the core to itself; the fake Graph is elsewhere. `pip install httpx niquests pyreqwest` for the other rows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from statistics import median
from typing import Any

import aiohttp
import parts
import uvloop
import wire
from report import Report, parser
from yarl import URL

from gatekeeper.server.lines import Lines

CALLERS = 32
HEADERS = {"Authorization": "Bearer EAAG0123456789", "Content-Type": "application/json"}
BODY = wire.KINDS["text"] % wire.FIRST
One = Callable[[], Awaitable[Any]]


@contextlib.asynccontextmanager
async def by_lines(url: str) -> AsyncIterator[One]:
    """The gate's own, over httptools."""
    target = URL(url)
    lines = Lines(target.origin(), connect_s=1)
    yield lambda: lines.ask("POST", target.raw_path, tuple(HEADERS.items()), BODY, within_s=10)
    lines.close()


@contextlib.asynccontextmanager
async def by_aiohttp(url: str) -> AsyncIterator[One]:
    """As the gate uses it for what is no send."""
    target = URL(url)
    jar, connector = aiohttp.DummyCookieJar(), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False) as session:

        async def one() -> None:
            async with session.post(target, data=BODY, headers=HEADERS, allow_redirects=False) as answer:
                await answer.read()

        yield one


@contextlib.asynccontextmanager
async def by_httpx(url: str) -> AsyncIterator[One]:
    """In pure Python."""
    import httpx

    limits = httpx.Limits(max_connections=CALLERS, max_keepalive_connections=CALLERS)
    async with httpx.AsyncClient(limits=limits) as client:
        yield lambda: client.post(url, content=BODY, headers=HEADERS)


@contextlib.asynccontextmanager
async def by_niquests(url: str) -> AsyncIterator[One]:
    """Requests' successor, with HTTP/2 where the other side has it."""
    import niquests

    async with niquests.AsyncSession(pool_maxsize=CALLERS) as session:
        yield lambda: session.post(url, data=BODY, headers=HEADERS)


@contextlib.asynccontextmanager
async def by_pyreqwest(url: str) -> AsyncIterator[One]:
    """A core in Rust."""
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().build() as client:

        async def one() -> None:
            answer = await client.post(url).headers(HEADERS).body_bytes(BODY).build().send()
            await answer.bytes()

        yield one


CLIENTS = {"gatekeeper": by_lines, "aiohttp": by_aiohttp, "httpx": by_httpx, "niquests": by_niquests, "pyreqwest": by_pyreqwest}


def cpu_s() -> float:
    """What this process has used, its threads included."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def course(name: str, url: str, seconds: float) -> tuple[float, float]:
    """Send for so long by one client; sends a second, and microseconds of CPU for each."""
    async with CLIENTS[name](url) as one:
        await asyncio.gather(*(one() for _ in range(CALLERS)))
        began, used, done = time.perf_counter(), cpu_s(), 0

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() < began + seconds:
                await one()
                done += 1

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return done / (time.perf_counter() - began), 1e6 * (cpu_s() - used) / done


def apart(name: str, url: str, seconds: float, core: set[int]) -> tuple[float, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--one", name, url, str(seconds)]
    with parts.started(command, core) as process:
        assert process.stdout is not None
        rate, each = json.loads(process.stdout.readline())
        return rate, each


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    one = parser(__doc__)
    one.add_argument("--one", nargs=3, metavar=("CLIENT", "URL", "S"), help=argparse.SUPPRESS)
    given = one.parse_args(arguments)
    if given.one:
        name, url, seconds = given.one
        print(json.dumps(uvloop.run(course(name, url, float(seconds)))))
        return
    report, cores = Report("clients", given), parts.Cores.here()
    with parts.helper("graph.py", core=cores.graph) as graph:
        url = f"http://127.0.0.1:{graph.port}/v23.0/{wire.NUMBER}/messages"
        have = [name for name in CLIENTS if importlib.util.find_spec(name)]
        seconds, rounds = (0.2, 1) if given.quick else (1.5, 5)
        seen = parts.in_turn(rounds, {name: (lambda name=name: apart(name, url, seconds, cores.measured)) for name in have})
    costs = {name: [each for _, each in courses] for name, courses in seen.items()}
    rows = [
        [name, median(rate for rate, _ in seen[name]), median(costs[name]), parts.ratio(costs[name], costs["aiohttp"])]
        for name in have
    ]
    missing = [name for name in CLIENTS if name not in have]
    report.table(
        "clients, 32 sends at once",
        ("", "sends/s", "CPU µs a send", "of aiohttp"),
        rows,
        *([f"not installed: {', '.join(missing)}"] if missing else []),
    )
    report.kept()


if __name__ == "__main__":
    main()
