"""How each fault is made, and how its cause ends: one step of a run each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from books import Forgetting, Invariant, now
from house import LEDGER_TIMEOUT_S, Gate
from line import Mode
from load import until_well

if TYPE_CHECKING:
    from run import Run

Step = Callable[["Run"], Awaitable[None]]
STEER_S = 10.0
REPLACED_S = 5.0
REPLICA_LAG_S = 1.0
"""What was written so shortly before a failover may not have reached the replica: Redis does not wait for it."""


async def nothing(_: Run) -> None:
    pass


# --- the ledger


async def kill_ledger(run: Run) -> None:
    await run.house.server.kill()


async def restart_ledger(run: Run) -> None:
    await run.house.server.start()


async def empty_ledger(run: Run) -> None:
    """Start the ledger empty: it is cold, and calls no window closed that it never saw."""
    house, began = run.house, run.now.began
    house.server.forget()
    run.teller.windows.clear()
    run.books.forgot.append(Forgetting(began, float("inf"), all=True))
    await house.server.start()
    run.books.forgot[-1].ended = now()


async def hang(run: Run) -> None:
    run.house.server.signal(signal.SIGSTOP)


async def wake(run: Run) -> None:
    run.house.server.signal(signal.SIGCONT)


def slow(share: float) -> Step:
    async def inject(run: Run) -> None:
        run.house.line.delay_s = LEDGER_TIMEOUT_S * share

    return inject


async def fast(run: Run) -> None:
    run.house.line.delay_s = 0.0


async def read_only(run: Run) -> None:
    await run.house.server.client.replicaof("127.0.0.1", str(run.house.port()))


async def writable(run: Run) -> None:
    await run.house.server.client.replicaof("NO", "ONE")


def memory(limit: str) -> Step:
    async def step(run: Run) -> None:
        await run.house.server.client.config_set("maxmemory", limit)

    return step


async def line_refused(run: Run) -> None:
    run.house.line.refuse()


async def line_again(run: Run) -> None:
    await run.house.line.start()


def line(mode: Mode) -> Step:
    async def step(run: Run) -> None:
        run.house.line.set(mode)

    return step


async def fail_over(run: Run) -> None:
    """Kill the ledger while a replica has all that reached it, and let that be the ledger."""
    replica = await run.house.fail_over()
    run.now.began = now()
    run.books.forgot.append(Forgetting(run.now.began - REPLICA_LAG_S, now(), all=False))
    await run.house.server.kill()
    run.replica = replica


async def promote(run: Run) -> None:
    assert run.replica is not None
    await run.house.promote(run.replica)
    run.books.forgot[-1].ended = now()


# --- the upstream


def mood(mood: str) -> Step:
    async def step(run: Run) -> None:
        run.meta.be(mood)

    return step


async def meta_refused(run: Run) -> None:
    run.meta.refuse()


async def meta_again(run: Run) -> None:
    await run.meta.start()


# --- ourselves


def blow(run: Run, gate: Gate) -> None:
    """Kill a gate, which somebody has to start again."""
    gate.blow()
    run.now.blow, run.struck = now(), gate
    run.now.killed.add(gate.name)


async def kill_at_random(run: Run) -> None:
    await asyncio.sleep(run.random.uniform(0, 0.3))
    blow(run, run.random.choice(run.house.gates))


async def kill_while_held(run: Run) -> None:
    """Kill a gate between the forward and the answer: Meta has the message, and nobody will say so."""
    tag = await asyncio.wait_for(run.meta.hold(), STEER_S)
    blow(run, run.house.gate_of(tag))
    run.meta.be("well")


async def kill_when_answered(run: Run) -> None:
    """Kill a gate when Meta's answer is on the wire: before, while or after it is kept."""
    run.meta.answered = asyncio.get_running_loop().create_future()
    tag = await asyncio.wait_for(run.meta.answered, STEER_S)
    await asyncio.sleep(run.random.choice((0, 0.0005, 0.002)))
    blow(run, run.house.gate_of(tag))
    run.meta.answered = None


async def kill_while_deciding(run: Run) -> None:
    """Kill a gate while its question is on a slow line to the ledger."""
    line = run.house.line
    line.delay_s = LEDGER_TIMEOUT_S * 0.2
    await asyncio.sleep(0.05)
    line.asked.clear()
    await asyncio.wait_for(line.asked.wait(), STEER_S)
    await asyncio.sleep(run.random.uniform(0, line.delay_s))
    blow(run, run.random.choice(run.house.gates))
    line.delay_s = 0.0


async def start_struck(run: Run) -> None:
    assert run.struck is not None
    await run.struck.kill()
    await run.struck.start()


async def stop_under_load(run: Run) -> None:
    """Stop a gate while Meta is slow: whoever is in flight gets an answer, and the other gate takes what is new."""
    gate = run.struck = run.random.choice(run.house.gates)
    await asyncio.wait_for(run.meta.hold(), STEER_S)
    asyncio.get_running_loop().call_later(0.2, run.meta.be, "well")
    await stopped(run, gate)


async def stopped(run: Run, gate: Gate) -> None:
    run.now.blow = run.now.stopped[gate.name] = now()
    if (status := await gate.terminate()) != 0:
        run.books.broke(Invariant.ANSWER, f"{gate.name} ended with {status} after SIGTERM", run.now.began, now())


async def start_stopped(run: Run) -> None:
    assert run.struck is not None
    await run.struck.start()


async def kill_worker(run: Run) -> None:
    """Kill one worker of two: its parent has another one ready in time."""
    gate = run.house.gates[1]
    before, blow = gate.workers_started(), now()
    run.now.blow = blow
    run.now.killed.add(gate.name)
    os.kill(run.random.choice(gate.worker_pids()), signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2 * REPLACED_S):
            while gate.workers_started() == before:  # noqa: ASYNC110 - what is waited for is another process's line
                await asyncio.sleep(0.02)
    if now() - blow > REPLACED_S:
        run.books.broke(Invariant.RECOVERY, f"a worker was replaced after {now() - blow:.1f} s", blow, now())


async def roll(run: Run) -> None:
    """Stop and start one gate after the other."""
    for gate in run.house.gates:
        await stopped(run, gate)
        await gate.start()
        await until_well(run.load, [gate], STEER_S)
