"""
The faults: one table of what can go wrong, how it is made to, and how it ends.

A fault's `inject` returns when it is there, its `heal` when its cause is gone; what then still takes time is the gate's recovery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import steps
from books import Attempt, Says
from house import LEDGER_TIMEOUT_S
from judge import is_without
from line import Mode
from steps import REPLACED_S, Step


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row. *bites* says of an attempt that it felt the fault: a fault that nobody feels is not injected."""

    name: str
    group: str
    inject: Step
    heal: Step
    bites: Callable[[Attempt], bool]
    of_ledger: bool = False
    """Sends may be decided without the ledger for it."""
    empties: bool = False
    since_blow: bool = False
    """Recovery is counted from the blow, for restarting is part of it."""
    within_s: float | None = 5.0
    """The longest recovery; None: a process has to be started by somebody."""


def _unreached(attempt: Attempt) -> bool:
    return attempt.says is Says.NOT_SENT and attempt.status == 502


def _met(mood: str, *says: Says) -> Callable[[Attempt], bool]:
    """Whether Meta was met in a mood, and the caller was told so."""

    def bites(attempt: Attempt) -> bool:
        return attempt.says in says and any(a.mood == mood and a.tag == attempt.tag for a in attempt.letter.arrivals)

    return bites


def _cut(attempt: Attempt) -> bool:
    return attempt.says is Says.NOTHING


def _closed(attempt: Attempt) -> bool:
    return attempt.says is Says.REFUSED


def _late(attempt: Attempt) -> bool:
    return attempt.decide_ms > LEDGER_TIMEOUT_S * 400


def _ledger(
    name: str, inject: Step, heal: Step, bites: Callable[[Attempt], bool] = is_without, *, empties: bool = False
) -> Fault:
    return Fault(name=name, group="ledger", inject=inject, heal=heal, bites=bites, of_ledger=True, empties=empties)


def _upstream(mood: str, name: str, *says: Says) -> Fault:
    found = _met(mood, *(says or (Says.UNKNOWN,)))
    return Fault(name=name, group="upstream", inject=steps.mood(mood), heal=steps.mood("well"), bites=found)


def _ours(
    name: str,
    inject: Step,
    heal: Step,
    bites: Callable[[Attempt], bool],
    within_s: float | None = None,
    *,
    of_ledger: bool = False,
) -> Fault:
    return Fault(
        name=name,
        group="ourselves",
        inject=inject,
        heal=heal,
        bites=bites,
        of_ledger=of_ledger,
        since_blow=True,
        within_s=within_s,
    )


FAULTS: tuple[Fault, ...] = (
    _ledger("ledger killed, restarted empty", steps.kill_ledger, steps.empty_ledger, empties=True),
    _ledger("ledger killed, restarted from disk", steps.kill_ledger, steps.restart_ledger),
    _ledger("ledger hung", steps.hang, steps.wake),
    _ledger("ledger slow, within its time-out", steps.slow(0.2), steps.fast, _late),
    _ledger("ledger slower than its time-out", steps.slow(0.8), steps.fast),
    _ledger("ledger a read-only replica", steps.read_only, steps.writable),
    _ledger("ledger out of memory", steps.memory("1"), steps.memory("0")),
    _ledger("ledger refuses connections", steps.line_refused, steps.line_again),
    _ledger("ledger's line half open, delivers late", steps.line(Mode.HOLD), steps.line(Mode.OPEN)),
    _ledger("ledger's line a black hole", steps.line(Mode.SWALLOW), steps.line(Mode.OPEN)),
    _ledger("ledger fails over to its replica", steps.fail_over, steps.promote),
    Fault(
        name="upstream refuses connections", group="upstream", inject=steps.meta_refused, heal=steps.meta_again, bites=_unreached
    ),
    _upstream("reset unread", "upstream resets before the body"),
    _upstream("reset read", "upstream resets after the body"),
    _upstream("500", "upstream answers 500, not Graph's"),
    _upstream("429", "upstream answers 429 with Retry-After", Says.NOT_SENT),
    _upstream("truncated", "upstream's answer truncated"),
    _upstream("endless", "upstream's answer endless"),
    _upstream("slow headers", "upstream's headers slow", Says.UNKNOWN, Says.TAKEN),
    _upstream("slow body", "upstream's body slow", Says.UNKNOWN, Says.TAKEN),
    _ours("gate killed at any moment", steps.kill_at_random, steps.start_struck, _closed),
    _ours("gate killed while Meta holds its request", steps.kill_while_held, steps.start_struck, _cut),
    _ours("gate killed when Meta has answered", steps.kill_when_answered, steps.start_struck, _closed),
    _ours("gate killed while it decides", steps.kill_while_deciding, steps.start_struck, _closed, of_ledger=True),
    _ours("gate stopped under load (SIGTERM)", steps.stop_under_load, steps.start_stopped, _closed),
    _ours("worker killed", steps.kill_worker, steps.nothing, lambda _: True, REPLACED_S),
    _ours("both gates restarted in turn", steps.roll, steps.nothing, _closed),
)
