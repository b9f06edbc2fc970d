"""One run: a schedule of faults from a seed, the load that runs through them, and what it all came to."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

from audit import audit
from books import MICROS, Books, Injection, Invariant, Kind, now
from faults import FAULTS, Fault
from house import PILOT_LIMIT, Gate, House, Server
from judge import judge, read_logs
from load import Load, until_well
from meta import Meta, Teller
from redis import RedisError

LIMIT = round(float(PILOT_LIMIT) * MICROS)
PATIENCE_S = 15.0
PULSE_S, STRAIN_S = 0.02, 0.04
AUDIT_EVERY = 40
WEIGHTS = {"ledger": 3, "upstream": 3, "ourselves": 2}


class Run:
    """Everything of one run, as a fault finds it."""

    def __init__(self, folder: Path, *, seed: int, calm_s: float, longest_s: float) -> None:
        self.random = random.Random(seed)
        self.books = Books()
        self.house = House(folder, self.books)
        self.teller = Teller(lambda: [gate.url for gate in self.house.gates], self.books, random.Random(seed + 1))
        self.meta = Meta(self.house.port(), self.books, random.Random(seed + 2), self.teller.taken)
        self.load: Load
        self.now = Injection("", 0.0)
        self.struck: Gate | None = None
        self.replica: Server | None = None
        self.calm_s, self.longest_s = calm_s, longest_s
        self._seed = seed
        self._unaudited = 0

    async def through(self, schedule: Iterator[Fault]) -> None:
        """Inject every fault of the schedule under load, and audit."""
        await self.house.start(self.meta)
        try:
            self.load = Load(self.house.gates, self.books, self.teller, random.Random(self._seed + 3))
            going = [asyncio.ensure_future(self.load.run()), asyncio.ensure_future(self.teller.run())]
            going.append(asyncio.ensure_future(self._pulse()))
            try:
                await self._injected(schedule)
            finally:
                waiting = set(going)
                while waiting:  # redis-py may swallow a cancellation that comes while it looks at its connection
                    for task in waiting:
                        task.cancel()
                    _, waiting = await asyncio.wait(waiting, timeout=0.2)
                for ended in await asyncio.gather(*going, return_exceptions=True):
                    if isinstance(ended, Exception):
                        raise ended
        finally:
            await self.house.stop()
        judge(self.books)
        read_logs(self.house, self.books)

    async def _pulse(self) -> None:
        """Note when the machine keeps us waiting, so that a gate is not blamed for it."""
        while True:
            began = now()
            await asyncio.sleep(PULSE_S)
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(STRAIN_S):
                    await self.house.server.client.ping()
            if now() - began > PULSE_S + STRAIN_S:
                self.books.strained.append(now())

    async def _injected(self, schedule: Iterator[Fault]) -> None:
        await self.load.going.wait()
        await until_well(self.load, self.house.gates, PATIENCE_S)
        for fault in schedule:
            if fault.empties or self._unaudited >= AUDIT_EVERY:
                await self._audited()
            await asyncio.sleep(self.random.uniform(0.5, 1.0) * self.calm_s)
            await self._one(fault)
        await self._audited()

    async def _one(self, fault: Fault) -> None:
        self._unaudited += 1
        self.now = Injection(fault.name, began=now(), of_ledger=fault.of_ledger, within_s=fault.within_s)
        self.books.injections.append(self.now)
        await fault.inject(self)
        for gate in self.house.gates if fault.group != "ourselves" else []:
            self.load.post(gate)
        await asyncio.sleep(self.random.uniform(0.5, 1.0) * self.longest_s)
        await fault.heal(self)
        self.now.healed = now()
        well = await until_well(self.load, self.house.gates, PATIENCE_S)
        self.now.well = now()
        self.now.recovery_s = self.now.well - (self.now.blow if fault.since_blow else self.now.healed)
        if not well:
            self.books.broke(Invariant.RECOVERY, f"not within {PATIENCE_S} s", self.now.began, self.now.began)
        if fault.empties:
            await self._cold()

    async def _cold(self) -> None:
        """See that an emptied ledger is cold and lets out what it cannot judge; then let it have watched for long again."""
        for gate in self.house.gates:
            attempt = await self.load.probe(gate, Kind.TEXT)
            while attempt.degraded and now() < self.now.healed + PATIENCE_S:
                attempt = await self.load.probe(gate, Kind.TEXT)
            if (attempt.state, attempt.reason) != ("cold", "window_unknown"):
                self.books.broke(Invariant.COLD, f"{attempt.state} {attempt.reason}", attempt.began, attempt.ended)
        await self.house.warm()

    async def _audited(self) -> None:
        self._unaudited = 0
        await self.load.pause()
        await audit(self.house, self.books, LIMIT)
        self.load.going.set()


def each_once(seed: int) -> Iterator[Fault]:
    """Every fault once, in an order of the seed's; Meta's last, for after them nobody waits long for an answer."""
    shuffled = random.Random(seed).sample(FAULTS, len(FAULTS))
    return iter(sorted(shuffled, key=lambda fault: fault.group == "upstream"))


def scheduled(seed: int, count: int) -> Iterator[Fault]:
    """So many faults at random: every one of the table once, then any."""
    rng, weights = random.Random(seed), [WEIGHTS[fault.group] for fault in FAULTS]
    first = rng.sample(FAULTS, min(count, len(FAULTS)))
    return iter([*first, *rng.choices(FAULTS, weights, k=count - len(first))])
