"""Own what is said of a compared month: a table for a person, one JSON object for a program, rows for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gatekeeper.core.vocabulary import money
from gatekeeper.finance.comparing import Comparison, Row
from gatekeeper.finance.tables import Amounts, aligned

COLUMNS = (
    "waba_id",
    "month",
    "currency",
    "category",
    "market",
    "meta_messages",
    "meta_cost",
    "settled_messages",
    "settled_cost",
    "settled_unpriced",
    "predicted_sends",
    "predicted_cost",
    "predicted_unpriced",
    "messages_difference",
    "cost_difference",
    "agrees",
)
_HEADINGS = ("messages: meta", "settled", "difference", "cost: meta", "settled", "difference", "predicted")
_AGREES = {True: "agrees", False: "differs"}
_SHORT = {True: "", False: "*"}


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """A compared month, whose it is, and what a reader should know of it."""

    waba_id: str
    month: str
    currency: str
    compared: Comparison
    notes: tuple[str, ...]


def told(month: Month) -> Iterator[str]:
    """Tell a person: the table, what there is to know, and whether the month agrees."""
    compared = month.compared
    listed = [*compared.rows, compared.total]
    amount = Amounts(
        micros for row in listed for micros in (row.meta_cost, row.settled_cost, row.cost_difference, row.predicted_cost)
    )
    table = [("", "category", "market", *_HEADINGS)]
    for row in listed:
        name = ("total", "") if row is compared.total else (row.category, row.market)
        agrees = compared.agrees if row is compared.total else row.agrees
        messages = (str(row.meta_messages), str(row.settled_messages), _signed(row.messages_difference, str))
        costs = (amount(row.meta_cost), amount(row.settled_cost), _signed(row.cost_difference, amount))
        table.append((_SHORT[agrees], *name, *messages, *costs, amount(row.predicted_cost)))
    yield f"{month.waba_id}, {month.month}, in {month.currency}: what Meta says, and what was settled"
    yield from aligned(table, words=3)
    yield from (f"note: {note}" for note in month.notes)
    yield summary(month)


def summary(month: Month) -> str:
    """Say in a line whether the month agrees."""
    compared, total = month.compared, month.compared.total
    if compared.agrees:
        charged = "" if total.meta_cost is None else f" and {money(total.meta_cost)} {month.currency}"
        return f"{month.month} agrees: {_messages(total.meta_messages)}{charged} on both sides"
    count, cost = total.messages_difference, total.cost_difference
    said = [f"{_messages(abs(count))} {'more' if count > 0 else 'fewer'}" if count else "as many messages"]
    if cost is not None:
        said.append(f"{money(abs(cost))} {month.currency} {'more' if cost > 0 else 'less'}" if cost else "the same cost")
    differing = f"{sum(not row.agrees for row in compared.rows)} of {len(compared.rows)} rows (*)"
    return f"{month.month} differs in {differing}: in all, Meta has {' and '.join(said)}"


def as_json(month: Month) -> bytes:
    """Tell a program; money as plain decimals, null where it is not known."""
    return msgspec.json.encode(
        {
            "waba_id": month.waba_id,
            "month": month.month,
            "currency": month.currency,
            "agrees": month.compared.agrees,
            "rows": [{"category": row.category, "market": row.market, **_figures(row)} for row in month.compared.rows],
            "total": _figures(month.compared.total),
            "notes": month.notes,
        }
    )


def rows(month: Month) -> Iterator[tuple[object, ...]]:
    """Every row under COLUMNS; the total is the spreadsheet's own."""
    yield COLUMNS
    for row in month.compared.rows:
        yield (
            month.waba_id,
            month.month,
            month.currency,
            row.category,
            row.market,
            row.meta_messages,
            _money(row.meta_cost),
            row.settled_messages,
            _money(row.settled_cost),
            row.settled_unpriced,
            row.predicted_sends,
            _money(row.predicted_cost),
            row.predicted_unpriced,
            row.messages_difference,
            _money(row.cost_difference),
            _AGREES[row.agrees],
        )


def _figures(row: Row) -> dict[str, Any]:
    return {
        "meta": {"messages": row.meta_messages, "cost": _money(row.meta_cost)},
        "settled": {"messages": row.settled_messages, "cost": _money(row.settled_cost), "unpriced": row.settled_unpriced},
        "predicted": {"sends": row.predicted_sends, "cost": _money(row.predicted_cost), "unpriced": row.predicted_unpriced},
        "difference": {"messages": row.messages_difference, "cost": _money(row.cost_difference)},
        "agrees": row.agrees,
    }


def _messages(count: int) -> str:
    return f"{count} {'message' if count == 1 else 'messages'}"


def _money(micros: int | None) -> str | None:
    return None if micros is None else money(micros)


def _signed(value: int | None, written: Any) -> str:
    return f"+{written(value)}" if value is not None and value > 0 else str(written(value))
