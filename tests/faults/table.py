"""
What a run came to, as a table of README.md: written by `pytest tests/faults --long`, or again from the file that it left.

    python tests/faults/table.py tests/faults/result.json
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import msgspec
from books import NO_FAULT, Books, Invariant, Says, now
from faults import FAULTS
from judge import is_repeat

ROOT = Path(__file__).parents[2]
README, RESULT = ROOT / "README.md", Path(__file__).with_name("result.json")
HEADING, BEGIN, END = "## Faults", "<!-- faults: begin -->", "<!-- faults: end -->"
COLUMNS = {
    "lost": (Invariant.LOST,),
    "doubled": (Invariant.DOUBLED,),
    "told wrong": (Invariant.WRONG,),
    "webhooks lost": (Invariant.WEBHOOK,),
    "budget leaks": (Invariant.BUDGET,),
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: how often, how many sends met it, what broke by column, and how long recovery took."""

    fault: str
    times: int
    sends: int
    broken: dict[str, int]
    median_s: float | None
    worst_s: float | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    seed: int
    seconds: int
    faults: int
    sends: int
    webhooks: int
    ledger_timeout_ms: int
    degraded: int
    degraded_p99_ms: int
    degraded_max_ms: int
    broken: dict[str, int]
    excused: dict[str, int]
    found: list[str]
    rows: list[Row]


def summed(books: Books, *, seed: int, ledger_timeout_ms: int) -> Result:
    """Sum a run up."""
    attempts = [a for letter in books.letters.values() for a in letter.attempts if a.says is not Says.REFUSED]
    met: dict[str, int] = {}
    for attempt in attempts:
        names = {i.fault for i in books.during(attempt.began, attempt.ended)} or {NO_FAULT}
        for name in names:
            met[name] = met.get(name, 0) + 1
    late = sorted(a.decide_ms for a in attempts if a.degraded and not is_repeat(a)) or [0.0]
    return Result(
        seed=seed,
        seconds=round(now() - books.started),
        faults=len(books.injections),
        sends=len(attempts),
        webhooks=sum(bool(told.at) for told in books.told),
        ledger_timeout_ms=ledger_timeout_ms,
        degraded=sum(a.degraded for a in attempts),
        degraded_p99_ms=round(late[int(len(late) * 0.99)]),
        degraded_max_ms=round(late[-1]),
        broken={what.value: sum(b.what is what for b in books.broken) for what in Invariant},
        excused=books.excused,
        found=[f"{b.what} | {b.fault} | {b.text}" for b in books.broken],
        rows=[_row(books, name, met.get(name, 0)) for name in (*(f.name for f in FAULTS), NO_FAULT)],
    )


def _row(books: Books, name: str, sends: int) -> Row:
    times = [i.recovery_s for i in books.injections if i.fault == name]
    own = [b.what for b in books.broken if b.fault == name]
    return Row(
        fault=name,
        times=len(times),
        sends=sends,
        broken={column: sum(what in kinds for what in own) for column, kinds in COLUMNS.items()},
        median_s=statistics.median(times) if times else None,
        worst_s=max(times) if times else None,
    )


def markdown(result: Result) -> str:
    """Write a run as a reader wants to see it."""
    others = {what: n for what, n in result.broken.items() if n and not any(what in kinds for kinds in COLUMNS.values())}
    whole = (
        f"{result.faults:,} faults in {result.seconds // 60} min {result.seconds % 60} s (seed {result.seed}), "
        f"{result.sends:,} sends and {result.webhooks:,} webhooks through two gates, one of them with two workers."
    )
    degraded = (
        f"{result.degraded:,} sends were decided without the ledger (`ledger.timeout` {result.ledger_timeout_ms} ms): 99 of 100 of "
        f"them within {result.degraded_p99_ms} ms, all within {result.degraded_max_ms} ms."
    )
    lines = [
        whole,
        degraded,
        "Also broken: " + (", ".join(f"{what} {n}" for what, n in others.items()) or "nothing") + ".",
        "Excused: " + (", ".join(f"{why} {n}" for why, n in result.excused.items()) or "nothing") + ".",
        "",
        "| fault | times | sends | " + " | ".join(COLUMNS) + " | well again: median | worst |",
        "| --- |" + " ---: |" * (4 + len(COLUMNS)),
    ]
    for row in result.rows:
        broken = " | ".join(str(row.broken[column]) for column in COLUMNS)
        lines.append(f"| {row.fault} | {row.times:,} | {row.sends:,} | {broken} | {_s(row.median_s)} | {_s(row.worst_s)} |")
    return "\n".join(lines)


def _s(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f} s"


def placed(text: str, table: str) -> str:
    """Put a table into a text: between its marks, or under its heading, which is made at the end where there is none."""
    block = f"{BEGIN}\n{table}\n{END}"
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        return before + block + rest.partition(END)[2]
    if f"\n{HEADING}\n" not in text:
        text = f"{text.rstrip()}\n\n{HEADING}\n"
    return text.replace(f"\n{HEADING}\n", f"\n{HEADING}\n\n{block}\n", 1)


def write(result: Result, *, readme: Path = README) -> None:
    """Put the table of a run into README.md."""
    readme.write_text(placed(readme.read_text("utf-8"), markdown(result)), "utf-8")


def read(path: Path) -> Result:
    """Read what a run left."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def keep(result: Result, path: Path = RESULT) -> None:
    """Leave a run for later."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")


if __name__ == "__main__":
    write(read(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULT))
