"""Own what counts as a change between two decisions on one send or two settlements of one message, and whose money counts as quoted."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from gatekeeper.core.decision import Decision
from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import Reason, Verdict
from gatekeeper.replay.history import Fate


class Change(StrEnum):
    """What becomes otherwise with a message under the second configuration."""

    BLOCKED = "blocked"
    LET_OUT = "let_out"
    REWRITTEN = "rewritten"
    AS_WRITTEN = "as_written"
    PRICED = "priced"
    EXPLAINED = "explained"
    SETTLED = "settled"


MEANINGS = {
    Change.BLOCKED: "it went out, and no longer does",
    Change.LET_OUT: "it was blocked, and goes out",
    Change.REWRITTEN: "a fallback template goes out in its place",
    Change.AS_WRITTEN: "it goes out as it was written, and no fallback template in its place",
    Change.PRICED: "it goes out as before, with another category, charge or price",
    Change.EXPLAINED: "the same becomes of it, for another reason",
    Change.SETTLED: "it is decided as before, and its delivery is settled otherwise",
}


class _Way(StrEnum):
    STOPPED = "stopped"
    WRITTEN = "written"
    REWRITTEN = "rewritten"


_WAYS = {
    Verdict.BLOCK: _Way.STOPPED,
    Verdict.ALLOW: _Way.WRITTEN,
    Verdict.ANNOTATE: _Way.WRITTEN,
    Verdict.REWRITE: _Way.REWRITTEN,
}
_CHANGES = {
    (_Way.WRITTEN, _Way.STOPPED): Change.BLOCKED,
    (_Way.REWRITTEN, _Way.STOPPED): Change.BLOCKED,
    (_Way.STOPPED, _Way.WRITTEN): Change.LET_OUT,
    (_Way.STOPPED, _Way.REWRITTEN): Change.REWRITTEN,
    (_Way.WRITTEN, _Way.REWRITTEN): Change.REWRITTEN,
    (_Way.REWRITTEN, _Way.WRITTEN): Change.AS_WRITTEN,
}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one configuration says of a message; of its settlement only the category."""

    verdict: Verdict | None = None
    reason: Reason | None = None
    rule: str | None = None
    category: str | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the two differ, in one market."""

    change: Change
    a: Said
    b: Said
    market: str | None


def decided(a: Decision, b: Decision) -> Difference | None:
    """How two decisions on one send differ; None: they do not."""
    change = _CHANGES.get((_WAYS[a.verdict], _WAYS[b.verdict]))
    if change is None and _price(a) != _price(b):
        change = Change.PRICED
    if change is None and _cause(a) != _cause(b):
        change = Change.EXPLAINED
    return None if change is None else Difference(change=change, a=_said(a), b=_said(b), market=b.market or a.market)


def settled(a: Settlement, b: Settlement) -> Difference | None:
    """How two settlements of one message that was decided alike differ; None: they do not."""
    if (a.currency, a.category, a.charged, a.price) == (b.currency, b.category, b.charged, b.price):
        return None
    return Difference(
        change=Change.SETTLED, a=Said(category=a.category), b=Said(category=b.category), market=b.market or a.market
    )


def counts(fate: Fate, mine: Decision, other: Decision) -> bool:
    """
    Whether a send counts as quoted under the configuration that decides *mine*.

    Without an answer of Meta's it was refused, unless only one of the two lets it out: then nobody knows what Meta would have said.
    """
    if not mine.forwards or fate is Fate.REFUSED:
        return False
    return fate is not Fate.UNSAID or not other.forwards


def _price(decision: Decision) -> tuple[object, ...]:
    return decision.currency, decision.category, decision.charged, decision.price, decision.price_bound


def _cause(decision: Decision) -> tuple[object, ...]:
    return decision.verdict, decision.reason, decision.rule, decision.template


def _said(decision: Decision) -> Said:
    return Said(verdict=decision.verdict, reason=decision.reason, rule=decision.rule, category=decision.category)
