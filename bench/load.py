"""
Own the load: sends over kept-alive connections, and the webhooks that follow from them, each timed.

Raw asyncio protocols on uvloop, so that it is never what a bench measures. `python bench/load.py` reads a `Job` on standard input
and writes a `Result`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from typing import cast

import msgspec
import uvloop
from wire import COURSE, END, FIRST, WAMID, length, messages, send_request, status, webhook

TICK_S = 0.001
DRAIN_S = 30.0
MOST_WAITING = 64
"""So many webhooks may wait before the load holds its sends back."""


class Job(msgspec.Struct, kw_only=True):
    """
    What load to make.

    *warm*: this part of *seconds* goes before them and does not count. *rate*: sends a second, evenly; 0: each connection sends
    again as soon as it is answered. *count*: end after so many sends. *hooks*: after so many sends the webhooks of one (three
    statuses; an inbound message too where it is more than one); 0: none.
    """

    port: int
    seconds: float = 2.0
    warm: float = 0.2
    connections: int = 32
    rate: float = 0
    count: int = 0
    kind: str = "text"
    first: int = 0
    recipients: int = 1000
    hooks: int = 0
    hook_connections: int = 8


class Figures(msgspec.Struct, kw_only=True):
    """How many were answered, how fast, and how many badly."""

    done: int = 0
    bad: int = 0
    worst: str = ""
    rate: float = 0
    p50_ms: float = 0
    p99_ms: float = 0


class Result(msgspec.Struct, kw_only=True):
    """What a load saw; *all*: how many sends it made, warming up and draining included."""

    seconds: float
    all: int = 0
    sends: Figures
    hooks: Figures


class _Client(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self, load: Load, side: Side) -> None:
        self._load, self._side = load, side
        self._rest = b""
        self.began, self.recipient = 0.0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def ask(self, request: bytes, began: float) -> None:
        self.began = began
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._rest = data = self._rest + data if self._rest else data
        end = data.find(END)
        if end < 0 or len(data) < length(data, end):
            return
        self._rest = b""
        self._side.answered(self.began, data)
        self._load.answered(self, self._side, data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._load.broken.set()


class Side:
    """What is known of the sends, or of the webhooks."""

    def __init__(self) -> None:
        self.idle: deque[_Client] = deque()
        self.asked = self.got = self.bad = 0
        self.worst = ""
        self.latencies: list[float] = []

    def answered(self, began: float, data: bytes) -> None:
        self.got += 1
        if not data.startswith(b"HTTP/1.1 200"):
            self.bad += 1
            self.worst = data.partition(b"\r\n")[0].decode()
        self.latencies.append(time.perf_counter() - began)

    def restart(self) -> None:
        """Forget what the warming up saw."""
        self.latencies.clear()
        self.bad = 0

    def figures(self, seconds: float) -> Figures:
        ordered = sorted(self.latencies)
        if not ordered:
            return Figures()
        p50, p99 = (1000 * ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
        return Figures(done=len(ordered), bad=self.bad, worst=self.worst, rate=len(ordered) / seconds, p50_ms=p50, p99_ms=p99)


class Load:
    """Sends, and the webhooks that follow from them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.sends, self.hooks = Side(), Side()
        self.broken, self._spent = asyncio.Event(), asyncio.Event()
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._due: deque[float] = deque()
        self._running = True
        self._request = send_request(job.kind)

    async def run(self) -> Result:
        """Make the load; a connection that the other side closes is an error."""
        await self._connect(self.sends, self._job.connections)
        await self._connect(self.hooks, self._hookers)
        pace = asyncio.create_task(self._paced()) if self._job.rate else None
        self._pump()
        if self._job.warm:
            await asyncio.sleep(self._job.warm * self._job.seconds)
            self.sends.restart()
            self.hooks.restart()
        began = time.perf_counter()
        ends = [asyncio.create_task(event.wait()) for event in (self.broken, self._spent)]
        await asyncio.wait(ends, timeout=None if self._job.count else self._job.seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in [*ends, *([pace] if pace else [])]:
            task.cancel()
        self._running = False
        if self.broken.is_set():
            raise SystemExit("load: a connection was closed by the other side")
        seconds = time.perf_counter() - began
        result = Result(seconds=seconds, sends=self.sends.figures(seconds), hooks=self.hooks.figures(seconds))
        await self._drained()
        return msgspec.structs.replace(result, all=self.sends.got)

    async def _connect(self, side: Side, count: int) -> None:
        for _ in range(count):
            made = asyncio.get_running_loop().create_connection(lambda: _Client(self, side), "127.0.0.1", self._job.port)
            _, client = await made
            side.idle.append(client)

    def answered(self, client: _Client, side: Side, data: bytes) -> None:
        """Let a connection go on to what is next."""
        side.idle.append(client)
        if side is self.sends:
            self._follow(client.recipient, data)
            if self._job.count and side.got >= self._job.count:
                self._spent.set()
        self._pump()

    def _follow(self, recipient: int, data: bytes) -> None:
        """Queue the webhooks that Meta would send after the answer to a send."""
        if not self._job.hooks or self.sends.got % self._job.hooks:
            return
        found = WAMID.search(data)
        if found is None:
            return
        wanted = [b'"statuses":[%s]' % status(found[1], word, recipient, pricing) for word, pricing in COURSE]
        if self._job.hooks > 1:
            wanted.insert(0, messages([recipient], self.sends.got))
        now = time.perf_counter()
        self._waiting.extend((webhook(value), now) for value in wanted)

    def _pump(self) -> None:
        """Use every idle connection that has something to do."""
        now = time.perf_counter()
        while self._waiting and self.hooks.idle:
            request, due = self._waiting.popleft()
            self.hooks.idle.popleft().ask(request, due if self._job.rate else now)
        if not self._running:
            return
        if self._job.rate:
            while self._due and self.sends.idle:
                self._send(self._due.popleft())
        else:
            while self.sends.idle and len(self._waiting) < MOST_WAITING and not self._enough():
                self._send(time.perf_counter())

    def _enough(self) -> bool:
        return bool(self._job.count) and self.sends.asked >= self._job.count

    def _send(self, began: float) -> None:
        client = self.sends.idle.popleft()
        client.recipient = FIRST + self._job.first + self.sends.asked % self._job.recipients
        self.sends.asked += 1
        client.ask(self._request % client.recipient, began)

    async def _paced(self) -> None:
        """Let sends fall due evenly, whatever becomes of those before; their time counts from then."""
        began, made = time.perf_counter(), 0
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            wanted = int((now - began) * self._job.rate)
            self._due.extend([now] * (wanted - made))
            made = wanted
            self._pump()

    async def _drained(self) -> None:
        """Let what is under way end, so that the next load finds everything at rest."""
        async with asyncio.timeout(DRAIN_S):
            while self._waiting or len(self.sends.idle) < self._job.connections or len(self.hooks.idle) < self._hookers:  # noqa: ASYNC110 - waits for four things at once
                await asyncio.sleep(TICK_S)

    @property
    def _hookers(self) -> int:
        return self._job.hook_connections if self._job.hooks else 0


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(Load(given).run())))
