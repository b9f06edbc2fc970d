"""
Own the comparison of a month as Meta tells it with the month as the gate settled it: by category and market, values in, values out.

Meta's cost may be finer than a micro-unit. Costs are summed exactly, and only a sum is rounded, half up: so the total may differ
from the sum of its rows by as many micro-units as there are rows. A cost that Meta does not give is unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext

import msgspec

from gatekeeper.core.vocabulary import MICROS
from gatekeeper.finance.gate import Line
from gatekeeper.finance.points import Point

ALL = "all"
_DIGITS = 400  # more than any sum of costs has


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One category in one market, or everything: what Meta says, what was settled, and what was predicted. Money in micro-units."""

    category: str
    market: str
    meta_messages: int
    meta_cost: int | None
    settled_messages: int
    settled_cost: int
    settled_unpriced: int
    predicted_sends: int
    predicted_cost: int
    predicted_unpriced: int

    @property
    def messages_difference(self) -> int:
        """How many messages more Meta counts than were settled."""
        return self.meta_messages - self.settled_messages

    @property
    def cost_difference(self) -> int | None:
        """How much more Meta charges than was settled; None: it does not say."""
        return None if self.meta_cost is None else self.meta_cost - self.settled_cost

    @property
    def agrees(self) -> bool:
        """Whether both say the same, as far as both say anything; a message that no rate card had a price for agrees with no cost."""
        priced = self.meta_cost is None or not self.settled_unpriced
        return self.messages_difference == 0 and not self.cost_difference and priced


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A month, compared."""

    rows: tuple[Row, ...]
    total: Row

    @property
    def agrees(self) -> bool:
        """Whether every row does; the total may be some micro-units off for its own rounding."""
        return all(row.agrees for row in self.rows)

    @property
    def furthest(self) -> int | None:
        """The largest difference in cost, of a row or the month, without its sign; None: Meta gives no cost."""
        found = [row.cost_difference for row in (*self.rows, self.total)]
        known = [abs(difference) for difference in found if difference is not None]
        return max(known) if self.total.cost_difference is not None else None


def compare(points: Sequence[Point], lines: Iterable[Line], market_of: Callable[[Point], str]) -> Comparison:
    """
    Compare Meta's data points of a month with the lines of its bill.

    Where Meta was not asked for categories or countries, the lines are summed over theirs. Where it gives no cost at all, as to an
    account on a partner's credit line, none is compared: not even with categories that it does not list.
    """
    costs = not points or any(point.cost is not None for point in points)
    by_category = not points or any(point.category is not None for point in points)
    by_market = not points or any(point.country is not None for point in points)
    theirs: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        key = (point.booked or ALL, market_of(point) if by_market else ALL)
        theirs.setdefault(key, []).append(point)
    ours: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        key = (line.category if by_category else ALL, line.market if by_market else ALL)
        ours.setdefault(key, []).append(line)
    rows = [_row(key, theirs.get(key, []), ours.get(key, []), costs=costs) for key in sorted(theirs.keys() | ours.keys())]
    whole = [line for each in ours.values() for line in each]
    return Comparison(rows=tuple(rows), total=_row((ALL, ALL), points, whole, costs=costs))


def summed(costs: Iterable[Decimal | None]) -> int | None:
    """Sum costs exactly and round the sum half up to micro-units; None where one of them is not known."""
    listed = list(costs)
    known = [cost for cost in listed if cost is not None]
    if len(known) < len(listed):
        return None
    with localcontext() as context:
        context.prec = _DIGITS
        return int((sum(known, Decimal()) * MICROS).to_integral_value(rounding=ROUND_HALF_UP))


def _row(key: tuple[str, str], points: Sequence[Point], lines: Sequence[Line], *, costs: bool) -> Row:
    return Row(
        category=key[0],
        market=key[1],
        meta_messages=sum(point.volume for point in points),
        meta_cost=summed(point.cost for point in points) if costs else None,
        settled_messages=sum(line.settled.sends for line in lines),
        settled_cost=sum(line.settled.total for line in lines),
        settled_unpriced=sum(line.settled.unpriced for line in lines),
        predicted_sends=sum(line.predicted.sends for line in lines),
        predicted_cost=sum(line.predicted.total for line in lines),
        predicted_unpriced=sum(line.predicted.unpriced for line in lines),
    )
