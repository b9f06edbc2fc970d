"""Own how the money of two runs is summed: quoted and settled, side by side in one currency, and never over two of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Total(msgspec.Struct, kw_only=True):
    """So many messages, what those with a known price come to, and how many have none."""

    messages: int = 0
    micros: int = 0
    unpriced: int = 0

    def add(self, price: int | None) -> None:
        """Count in one message."""
        self.messages += 1
        self.micros += price or 0
        self.unpriced += price is None

    def merge(self, other: Total) -> None:
        """Count in a whole total."""
        self.messages += other.messages
        self.micros += other.micros
        self.unpriced += other.unpriced


class Side(msgspec.Struct, kw_only=True):
    """
    The money of one configuration: what sends were quoted, and what deliveries that are charged cost.

    *unknown* is the part of *quoted* of which the history cannot say what became of it.
    """

    quoted: Total = msgspec.field(default_factory=Total)
    unknown: Total = msgspec.field(default_factory=Total)
    settled: Total = msgspec.field(default_factory=Total)

    def merge(self, other: Side) -> None:
        """Count in another side of the same configuration."""
        self.quoted.merge(other.quoted)
        self.unknown.merge(other.unknown)
        self.settled.merge(other.settled)


class Moved(msgspec.Struct, kw_only=True):
    """What the second configuration saves on some messages, and what it spends more on others."""

    saved: int = 0
    spent: int = 0

    def add(self, a: int, b: int) -> None:
        """Count in a message that costs *a* under the one and *b* under the other."""
        self.saved += max(a - b, 0)
        self.spent += max(b - a, 0)

    def merge(self, other: Moved) -> None:
        """Count in what other messages come to."""
        self.saved += other.saved
        self.spent += other.spent


class Pair(msgspec.Struct, kw_only=True):
    """Both configurations in one currency."""

    a: Side = msgspec.field(default_factory=Side)
    b: Side = msgspec.field(default_factory=Side)
    quoted: Moved = msgspec.field(default_factory=Moved)
    settled: Moved = msgspec.field(default_factory=Moved)

    @property
    def sides(self) -> tuple[Side, Side]:
        """The one and the other."""
        return self.a, self.b


def merged(pairs: Iterable[Pair]) -> Pair:
    """Sum pairs of one currency."""
    whole = Pair()
    for pair in pairs:
        whole.a.merge(pair.a)
        whole.b.merge(pair.b)
        whole.quoted.merge(pair.quoted)
        whole.settled.merge(pair.settled)
    return whole
