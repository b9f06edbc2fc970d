"""One run of the fault harness for all tests that look at it: every fault once, or with --long as many as wanted."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from house import LEDGER_TIMEOUT_S
from run import Run, each_once, scheduled
from table import keep, markdown, summed, write

LONG, USUAL_SEED = 1_000, 20_261_110
SHORTEST_S, LONGEST_S = 300, 4 * 3600  # what takes longer hangs, and a run that hangs says nothing


class Done:
    """A run that is over; *told*: what a reader of a failure wants to see."""

    def __init__(self, run: Run, seed: int) -> None:
        self.books = run.books
        self.result = summed(run.books, seed=seed, ledger_timeout_ms=round(LEDGER_TIMEOUT_S * 1000))
        self.told = f"seed {seed}\n{markdown(self.result)}"

    def broken(self, what: str) -> list[str]:
        return [f"{broken.fault}: {broken.text}" for broken in self.books.broken if broken.what == what]


@pytest.fixture(scope="session")
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """
    Run once. The seed chooses faults, their order, lengths and moments; what several processes make of them is theirs.

    With --long the seed is a new one unless it is given, and the table goes to README.md whatever it says.
    """
    long, count = request.config.getoption("--long"), request.config.getoption("--faults")
    seed = request.config.getoption("--seed")
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 31) if long else USUAL_SEED
    schedule = scheduled(seed, count or LONG) if long or count else each_once(seed)
    folder: Path = tmp_path_factory.mktemp("faults")
    _say(request, f"fault harness: seed {seed}")
    run = Run(folder, seed=seed, calm_s=0.15 if long else 0.1, longest_s=0.5 if long else 0.35)
    try:
        asyncio.run(asyncio.wait_for(run.through(schedule), LONGEST_S if long or count else SHORTEST_S))
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
    found = Done(run, seed)
    if long:
        keep(found.result)
        write(found.result)
        _say(request, found.told)
    return found


def _say(request: pytest.FixtureRequest, text: str) -> None:
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\n{text}")
