"""Own what is said of bills: their lines summed by what is asked for, a table for a person and rows for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from gatekeeper.core.vocabulary import money
from gatekeeper.finance.gate import Bill, FreeTier, Line
from gatekeeper.finance.tables import NONE, Amounts, aligned

DIMENSIONS = ("category", "market", "caller", "phone_number_id", "day")
_SIDES = ("predicted", "settled")
COLUMNS = (
    "waba_id",
    "currency",
    "day",
    "phone_number_id",
    "caller",
    "category",
    "market",
    *(f"{side}_{what}" for side in _SIDES for what in ("sends", "total", "unpriced")),
)
_HEADINGS = ("sends", "predicted", "unpriced", "delivered", "settled", "unpriced", "difference")


class Sums:
    """Both sides of some lines, summed."""

    def __init__(self) -> None:
        self.sends = self.predicted = self.unpriced = 0
        self.delivered = self.settled = self.settled_unpriced = 0
        self.answers = self.turns = 0

    def add(self, line: Line) -> Sums:
        """Count one line in."""
        self.sends += line.predicted.sends
        self.predicted += line.predicted.total
        self.unpriced += line.predicted.unpriced
        self.delivered += line.settled.sends
        self.settled += line.settled.total
        self.settled_unpriced += line.settled.unpriced
        self.answers += line.answers
        self.turns += line.turns
        return self

    @property
    def fan_out(self) -> str:
        """Free-form messages for each turn of a user; none where none was answered."""
        return f"{Decimal(self.answers) / self.turns:.2f}" if self.turns else NONE

    @property
    def difference(self) -> int:
        """What was settled above what was predicted."""
        return self.settled - self.predicted


def summed(lines: Iterable[Line], by: Sequence[str]) -> dict[tuple[str, ...], Sums]:
    """Sum lines by some of the DIMENSIONS, in their order."""
    sums: dict[tuple[str, ...], Sums] = {}
    for line in lines:
        sums.setdefault(tuple(str(getattr(line, name)) for name in by), Sums()).add(line)
    return dict(sorted(sums.items()))


def told(bills: Sequence[Bill], by: Sequence[str]) -> Iterator[str]:
    """Tell of each bill, and of all together by currency where there are several."""
    for n, bill in enumerate(bills):
        if n:
            yield ""
        yield f"{bill.waba_id}, {bill.month}, in {bill.currency}"
        yield from _table(summed(bill.lines, by), by, _total(bill)) if bill.lines else ["nothing was sent and nothing delivered"]
        if bill.open.sends:
            open_total = Amounts([bill.open.total])(bill.open.total)
            yield f"open: {bill.open.sends} accepted and not settled yet, predicted at {open_total}"
        yield from map(_free, bill.free_tier)
    if len(bills) > 1:
        currencies: dict[tuple[str, ...], Sums] = {}
        for bill in bills:
            for line in bill.lines:
                currencies.setdefault((bill.currency,), Sums()).add(line)
        yield from ["", f"all {len(bills)} accounts", *_table(dict(sorted(currencies.items())), ("currency",), None)]


def turns(bills: Sequence[Bill], by: Sequence[str]) -> Iterator[str]:
    """Tell how many free-form messages answered each turn of a user: since October 2026 each of them is a charge."""
    for bill in bills:
        sums = {names: each for names, each in summed(bill.lines, by).items() if each.answers}
        yield f"{bill.waba_id}, {bill.month}: free-form messages by turn"
        table = [(*by, "messages", "turns", "per turn")]
        table += [(*(name or NONE for name in names), str(e.answers), str(e.turns), e.fan_out) for names, e in sums.items()]
        yield from aligned(table, words=len(by)) if sums else ["none"]


def rows(bills: Iterable[Bill]) -> Iterator[tuple[object, ...]]:
    """Every line of the bills under COLUMNS."""
    yield COLUMNS
    for bill in bills:
        for line in bill.lines:
            named = (bill.waba_id, bill.currency, line.day, line.phone_number_id, line.caller, line.category, line.market)
            sides = [(side.sends, money(side.total), side.unpriced) for side in (line.predicted, line.settled)]
            yield (*named, *sides[0], *sides[1])


def _total(bill: Bill) -> Sums:
    whole = Sums()
    for line in bill.lines:
        whole.add(line)
    return whole


def _table(sums: dict[tuple[str, ...], Sums], by: Sequence[str], whole: Sums | None) -> list[str]:
    every = [*sums.values(), *([whole] if whole else [])]
    amount = Amounts(micros for each in every for micros in (each.predicted, each.settled, each.difference))

    def row(names: Iterable[str], each: Sums) -> tuple[str, ...]:
        predicted = (str(each.sends), amount(each.predicted), str(each.unpriced))
        settled = (str(each.delivered), amount(each.settled), str(each.settled_unpriced))
        return (*names, *predicted, *settled, amount(each.difference))

    table = [(*by, *_HEADINGS), *(row((name or NONE for name in names), each) for names, each in sums.items())]
    if whole:
        table.append(row(("total", *[""] * (len(by) - 1)), whole))
    return aligned(table, words=len(by))


def _free(tier: FreeTier) -> str:
    whose = f" of {tier.phone_number_id}" if tier.phone_number_id else ""
    return f"free tier: {tier.name}{whose}, {tier.used} of {tier.limit} used"
