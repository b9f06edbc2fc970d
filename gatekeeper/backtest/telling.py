"""Own what is said of a comparison: aligned tables for a person, one JSON object for a program."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from gatekeeper.asking import printable
from gatekeeper.backtest.comparing import Comparison, Counted, Half, Hits
from gatekeeper.backtest.differences import MEANINGS, Change, Difference, Said
from gatekeeper.backtest.sums import Moved, Pair, Total
from gatekeeper.core.vocabulary import Reason, Verdict, money
from gatekeeper.finance.tables import NONE, Amounts, aligned

_Table: TypeAlias = list[tuple[str, ...]]

_ORDER = tuple(Change)
_UNKNOWN = "the history does not say what became of them: they count as quoted, never as settled"
_encode = msgspec.json.Encoder().encode


def as_json(comparison: Comparison) -> bytes:
    """Tell a program; money as plain decimals, each with its currency."""
    return _encode(
        {
            "history": {"name": comparison.name, "from": comparison.first, "to": comparison.last},
            **{side: _half(half) for side, half in zip("ab", comparison.halves, strict=True)},
            "money": [
                {"currency": currency, **_pair(pair, pair.quoted, pair.settled)} for currency, pair in comparison.money().items()
            ],
            "changes": [_change(difference, counted) for difference, counted in _changes(comparison)],
            "by_rule": [{"reason": reason, "name": name, "a": a, "b": b} for (reason, name), a, b in _rules(comparison)],
            "by_reason": [{"reason": reason, "a": a, "b": b} for reason, a, b in _reasons(comparison)],
            "by_category_and_market": [
                {"currency": currency, "category": category, "market": market, **_pair(pair)}
                for (currency, category, market), pair in _cells(comparison)
            ],
        }
    )


def told(comparison: Comparison) -> Iterator[str]:
    """Tell a person."""
    yield f"{printable(comparison.name)}, {_period(comparison)}"
    yield from (f"{side}: {printable(half.config)}" for side, half in zip("AB", comparison.halves, strict=True))
    yield from ["", *_totals(comparison)]
    differing = _changes(comparison)
    tables = (
        ("what changes", 6, _changes_table(differing)),
        ("by rule, budget and limit", 2, _rules_table(comparison)),
        ("by reason", 1, _reasons_table(comparison)),
        ("by category and market", 3, _cells_table(comparison)),
    )
    for title, words, table in tables:
        if len(table) > 1:
            yield from ["", title, *aligned(table, words=words)]
    yield ""
    if not differing:
        yield "nothing changes"
    yield from (f"{change}: {MEANINGS[change]}" for change in _ORDER if any(d.change is change for d, _ in differing))
    if any(half.unknown for half in comparison.halves):
        yield f"outcome unknown: {_UNKNOWN}"


def _period(comparison: Comparison) -> str:
    if comparison.first is None or comparison.last is None:
        return "an empty history"
    first, last = (
        dt.datetime.fromtimestamp(at, dt.UTC).isoformat(" ", "minutes").removesuffix("+00:00")
        for at in (comparison.first, comparison.last)
    )
    return f"{first} to {last} UTC"


# ------------------------------------------------------------------------------------------------------------- what is told


def _changes(comparison: Comparison) -> list[tuple[Difference, Counted]]:
    """The ways in which the sides differ: by what changes, the most frequent first."""
    return sorted(
        comparison.differences.items(), key=lambda item: (_ORDER.index(item[0].change), -item[1].messages, repr(item[0]))
    )


def _rules(comparison: Comparison) -> list[tuple[tuple[Reason, str], Hits, Hits]]:
    a, b = (half.rules for half in comparison.halves)
    return [(key, a.get(key, Hits()), b.get(key, Hits())) for key in sorted({*a, *b})]


def _reasons(comparison: Comparison) -> list[tuple[Reason, int, int]]:
    a, b = (half.reasons for half in comparison.halves)
    return [(reason, a[reason], b[reason]) for reason in Reason if a[reason] or b[reason]]


def _cells(comparison: Comparison) -> list[tuple[tuple[str, str | None, str | None], Pair]]:
    return sorted(comparison.cells.items(), key=lambda item: tuple(name or "" for name in item[0]))


# -------------------------------------------------------------------------------------------------------------- for a program


def _half(half: Half) -> dict[str, Any]:
    summary = half.summary.fields()
    del summary["event"]
    return {"config": half.config, **summary, **dict(_ways(half)[2:])}


def _change(difference: Difference, counted: Counted) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(difference),
        "messages": counted.messages,
        "outcome_unknown": counted.unknown,
        "money": [{"currency": currency, **_pair(pair)} for currency, pair in sorted(counted.money.items())],
    }


def _pair(pair: Pair, quoted: Moved | None = None, settled: Moved | None = None) -> dict[str, Any]:
    return {
        "quoted": _both(pair.a.quoted, pair.b.quoted, quoted),
        "outcome_unknown": _both(pair.a.unknown, pair.b.unknown),
        "settled": _both(pair.a.settled, pair.b.settled, settled),
    }


def _both(a: Total, b: Total, moved: Moved | None = None) -> dict[str, Any]:
    sides = {
        side: {"messages": total.messages, "total": money(total.micros), "unpriced": total.unpriced}
        for side, total in (("a", a), ("b", b))
    }
    said = {} if moved is None else {"saved": money(moved.saved), "spent": money(moved.spent)}
    return {**sides, "change": money(b.micros - a.micros), **said}


# --------------------------------------------------------------------------------------------------------------- for a person


def _ways(half: Half) -> list[tuple[str, int]]:
    """How many sends there are, and what becomes of them."""
    summary = half.summary
    return [
        ("sends", summary.sends),
        ("blocked", summary.blocked),
        ("let_out", summary.sends - summary.blocked),
        ("rewritten", half.verdicts[Verdict.REWRITE]),
        ("annotated", half.verdicts[Verdict.ANNOTATE]),
        ("outcome_unknown", half.unknown),
    ]


def _totals(comparison: Comparison) -> list[str]:
    a, b = comparison.halves
    counts = [(name, one, other) for (name, one), (_, other) in zip(_ways(a), _ways(b), strict=True)]
    counts.append(("charged deliveries", a.summary.charged, b.summary.charged))
    table: _Table = [("", "A", "B", "change", "saved", "spent"), *(_counts(*count) for count in counts)]
    for currency, pair in comparison.money().items():
        table += _amounts(currency, pair)
    return aligned(table, words=1)


def _amounts(currency: str, pair: Pair) -> Iterator[tuple[str, ...]]:
    """The rows on the money in one currency."""
    rows = [("quoted", pair.a.quoted, pair.b.quoted, pair.quoted), ("settled", pair.a.settled, pair.b.settled, pair.settled)]
    if pair.a.unknown.messages or pair.b.unknown.messages:
        rows.insert(1, ("outcome unknown", pair.a.unknown, pair.b.unknown, Moved()))
    amount = Amounts(
        micros for _, a, b, moved in rows for micros in (a.micros, b.micros, b.micros - a.micros, moved.saved, moved.spent)
    )
    for name, a, b, moved in rows:
        said = (amount(moved.saved), amount(moved.spent)) if name != "outcome unknown" else ("", "")
        yield (f"{name}, {currency}", amount(a.micros), amount(b.micros), _signed(b.micros - a.micros, amount), *said)
        if a.unpriced or b.unpriced:
            yield _counts(f"{name} without a known price, {currency}", a.unpriced, b.unpriced)


def _counts(name: str, a: int, b: int) -> tuple[str, ...]:
    return (name.replace("_", " "), str(a), str(b), _signed(b - a), "", "")


def _changes_table(differing: Sequence[tuple[Difference, Counted]]) -> _Table:
    money_of = [pair for _, counted in differing for pair in counted.money.values()]
    amount = Amounts(total.micros for pair in money_of for side in pair.sides for total in (side.quoted, side.settled))
    headings = (
        "change",
        "reason: A",
        "B",
        "category",
        "market",
        "currency",
        "messages",
        "unknown",
        "quoted: A",
        "B",
        "settled: A",
        "B",
    )
    table: _Table = [headings]
    for difference, counted in differing:
        a, b = difference.a, difference.b
        words = (difference.change.value, _cause(a), _cause(b), _became(a.category, b.category), difference.market or NONE)
        for currency, pair in sorted(counted.money.items()) or [(NONE, Pair())]:
            figures = (amount(total.micros) for total in (pair.a.quoted, pair.b.quoted, pair.a.settled, pair.b.settled))
            table.append((*words, currency, str(counted.messages), str(counted.unknown), *figures))
    return table


def _rules_table(comparison: Comparison) -> _Table:
    table: _Table = [("reason", "name", "blocked: A", "B", "change", "annotated: A", "B", "change")]
    for (reason, name), a, b in _rules(comparison):
        blocked = (str(a.blocked), str(b.blocked), _signed(b.blocked - a.blocked))
        annotated = (str(a.annotated), str(b.annotated), _signed(b.annotated - a.annotated))
        table.append((reason.value, name, *blocked, *annotated))
    return table


def _reasons_table(comparison: Comparison) -> _Table:
    rows = [(reason.value, str(a), str(b), _signed(b - a)) for reason, a, b in _reasons(comparison)]
    return [("reason", "A", "B", "change"), *rows]


def _cells_table(comparison: Comparison) -> _Table:
    cells = _cells(comparison)
    sides = [(pair.a.quoted, pair.b.quoted, pair.a.settled, pair.b.settled) for _, pair in cells]
    amount = Amounts(m for qa, qb, sa, sb in sides for m in (qa.micros, qb.micros, sa.micros, sb.micros))
    table: _Table = [
        ("currency", "category", "market", "messages: A", "B", "quoted: A", "B", "change", "settled: A", "B", "change")
    ]
    for (names, _), (qa, qb, sa, sb) in zip(cells, sides, strict=True):
        quoted = (amount(qa.micros), amount(qb.micros), _signed(qb.micros - qa.micros, amount))
        settled = (amount(sa.micros), amount(sb.micros), _signed(sb.micros - sa.micros, amount))
        table.append((*(name or NONE for name in names), str(qa.messages), str(qb.messages), *quoted, *settled))
    return table


def _cause(said: Said) -> str:
    """The reason, and the name of the rule, budget or limit behind it."""
    return " ".join(part for part in (said.reason, said.rule and f"({said.rule})") if part) or NONE


def _became(a: str | None, b: str | None) -> str:
    """One category, or the one and what it becomes; of a message that one side blocks, the other's."""
    return " > ".join(dict.fromkeys(category for category in (a, b) if category)) or NONE


def _signed(value: int, written: Callable[[int], str] = str) -> str:
    return f"+{written(value)}" if value > 0 else written(value)
