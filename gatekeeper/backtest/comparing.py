"""
Own the comparison of one history under two configurations: what changes with each message, and what either side comes to.

The history says what became of a send that it let out. Of one that only one side lets out and that Meta never answered it says
nothing: that one counts as quoted, never as settled, and is told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from gatekeeper.backtest import differences
from gatekeeper.backtest.differences import Difference
from gatekeeper.backtest.sums import Moved, Pair, Total, merged
from gatekeeper.core.decision import Decision
from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import Reason, Verdict
from gatekeeper.ledger.keys import RESERVATION_MS, SETTLED_MS
from gatekeeper.replay.history import Fate, Line, Sent, walked
from gatekeeper.replay.run import Taken, running
from gatekeeper.replay.writing import Summary
from gatekeeper.settings import Settings

_QUOTED, _UNKNOWN, _SETTLED = "quoted", "unknown", "settled"
_MOVED = (_QUOTED, _SETTLED)


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    """One message's money under one configuration."""

    currency: str
    category: str | None
    market: str | None
    price: int | None


class Counted(msgspec.Struct, kw_only=True):
    """The messages that differ in one way: how many, of how many the outcome is unknown, and their money by currency."""

    messages: int = 0
    unknown: int = 0
    money: dict[str, Pair] = msgspec.field(default_factory=dict)

    def pair(self, currency: str) -> Pair:
        """Their money in one currency."""
        return self.money.setdefault(currency, Pair())


class Hits(msgspec.Struct, kw_only=True):
    """How often a rule, budget or limit blocked a send, and how often it would have."""

    blocked: int = 0
    annotated: int = 0


class Half:
    """What one configuration makes of the history."""

    def __init__(self, config: str) -> None:
        self.config = config
        self.summary = Summary()
        self.verdicts: Counter[Verdict] = Counter()
        self.reasons: Counter[Reason] = Counter()
        self.rules: dict[tuple[Reason, str], Hits] = {}
        self.unknown = 0

    def add(self, taken: Taken) -> None:
        """Count in what a line came to."""
        decision = taken.decision
        if decision is None:
            return
        self.summary.decided(decision)
        self.verdicts[decision.verdict] += 1
        self.reasons[decision.reason] += 1
        for hit in decision.hits:
            if hit.name is not None:
                hits = self.rules.setdefault((hit.reason, hit.name), Hits())
                hits.annotated += decision.forwards
                hits.blocked += not decision.forwards


class Comparison:
    """What two configurations make of one history."""

    def __init__(self, name: str, configs: tuple[str, str]) -> None:
        self.name = name
        self.halves = (Half(configs[0]), Half(configs[1]))
        self.first: float | None = None
        self.last: float | None = None
        self.cells: dict[tuple[str, str | None, str | None], Pair] = {}
        self.differences: dict[Difference, Counted] = {}
        self._open: dict[str, tuple[Difference, int]] = {}
        self._last: dict[tuple[str, str | None], tuple[int, list[Settlement | None]]] = {}

    def add(self, line: Line, taken: tuple[Taken, Taken]) -> None:
        """Count in what a line came to on both sides."""
        self.first, self.last = (line.at if self.first is None else self.first), line.at
        for half, one in zip(self.halves, taken, strict=True):
            half.add(one)
        a, b = (one.decision for one in taken)
        if isinstance(line.happened, Sent) and a is not None and b is not None:
            self._decided(line.happened, a, b, line.now)
        self._settled(taken, line.now)

    def end(self) -> None:
        """Count in what was settled last: no later word can correct it any more."""
        self._settle_before(None)

    def money(self) -> dict[str, Pair]:
        """What all of it comes to, by currency."""
        currencies = sorted({currency for currency, *_ in self.cells})
        whole = {
            currency: merged(pair for (theirs, *_), pair in self.cells.items() if theirs == currency) for currency in currencies
        }
        for counted in self.differences.values():
            for currency, pair in counted.money.items():
                whole[currency].quoted.merge(pair.quoted)
                whole[currency].settled.merge(pair.settled)
        return whole

    def _decided(self, send: Sent, a: Decision, b: Decision, now: int) -> None:
        difference, fate = differences.decided(a, b), send.fate
        quoted = (
            _quoted(a) if differences.counts(fate, a, b) else None,
            _quoted(b) if differences.counts(fate, b, a) else None,
        )
        unknown = fate is not Fate.TAKEN
        for half, item in zip(self.halves, quoted, strict=True):
            half.unknown += unknown and item is not None
        self._count(_QUOTED, quoted, difference)
        if unknown:
            self._count(_UNKNOWN, quoted, difference)
        if difference is not None:
            counted = self._counted(difference)
            counted.messages += 1
            counted.unknown += unknown and quoted != (None, None)
            if quoted != (None, None):
                self._open[send.id] = difference, now
        while self._open and (oldest := next(iter(self._open.items())))[1][1] < now - RESERVATION_MS - SETTLED_MS:
            del self._open[oldest[0]]

    def _settled(self, taken: tuple[Taken, Taken], now: int) -> None:
        """Remember what a line settled, or settled otherwise than before, until nothing can correct it any more."""
        for n, one in enumerate(taken):
            for settlement in one.settlements:
                key = settlement.id, settlement.recipient
                _, both = self._last.pop(key, (now, [None, None]))
                both[n] = settlement
                self._last[key] = now, both
        self._settle_before(now - SETTLED_MS)

    def _settle_before(self, moment: int | None) -> None:
        while self._last:
            (send_id, member), (at, (a, b)) = next(iter(self._last.items()))
            if moment is not None and at >= moment:
                return
            del self._last[send_id, member]
            for half, settlement in zip(self.halves, (a, b), strict=True):
                half.summary.settled([settlement] if settlement is not None else [])
            difference = self._open[send_id][0] if send_id in self._open else None
            if difference is not None and member is None:  # a group's message has a settlement for each member
                del self._open[send_id]
            if difference is None and a is not None and b is not None:
                difference = differences.settled(a, b)
                if difference is not None:
                    self._counted(difference).messages += 1
            self._count(_SETTLED, (_charged(a), _charged(b)), difference)

    def _count(self, what: str, items: tuple[_Item | None, _Item | None], difference: Difference | None) -> None:
        """Count a message in on either side, in its cell and among the messages that differ in the same way."""
        for n, item in enumerate(items):
            if item is None:
                continue
            pairs = [self.cells.setdefault((item.currency, item.category, item.market), Pair())]
            if difference is not None:
                pairs.append(self._counted(difference).pair(item.currency))
            for pair in pairs:
                total: Total = getattr(pair.sides[n], what)
                total.add(item.price)
        if difference is not None and what in _MOVED:
            for currency in {item.currency for item in items if item is not None}:
                a, b = ((item.price or 0) if item is not None and item.currency == currency else 0 for item in items)
                moved: Moved = getattr(self._counted(difference).pair(currency), what)
                moved.add(a, b)

    def _counted(self, difference: Difference) -> Counted:
        return self.differences.setdefault(difference, Counted())


async def compare(
    source: Iterable[bytes], name: str, a: tuple[str, Settings], b: tuple[str, Settings], *, total: int | None = None
) -> Comparison:
    """
    Run the history *source* (JSON lines, in time order) under two configurations, each given with its name.

    InputError names *name* and the line. *total* is the input's size in bytes, for the progress bar; None: not known.
    """
    comparison = Comparison(name, (a[0], b[0]))
    async with running(a[1]) as one, running(b[1]) as other:

        async def take(line: Line) -> None:
            comparison.add(line, (await one.take(line), await other.take(line)))

        await walked(source, name, take, total=total)
    comparison.end()
    return comparison


def _quoted(decision: Decision) -> _Item | None:
    if decision.currency is None:  # what cannot be read is not priced
        return None
    return _Item(currency=decision.currency, category=decision.category, market=decision.market, price=decision.price)


def _charged(settlement: Settlement | None) -> _Item | None:
    if settlement is None or not settlement.charged:
        return None
    return _Item(currency=settlement.currency, category=settlement.category, market=settlement.market, price=settlement.price)
