"""A comparison is two plain replays side by side: every count and amount of it can be had from what those write."""

from __future__ import annotations

import io
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from bills import ERAS, SINGLE, Era, told
from recorded import History
from story import Json

from gatekeeper.backtest import compare
from gatekeeper.backtest.telling import as_json
from gatekeeper.core.policy import Budget, Counted, Fallback, Limits, Period, Policy, Rule, Window
from gatekeeper.core.vocabulary import Mode, Money
from gatekeeper.replay import replay
from gatekeeper.settings import Settings

SENDS, SEED = 250, 7
STRICT = Policy(
    rule=(
        Rule(name="not into an open chat", category=("marketing",), window=Window.OPEN),
        Rule(name="not dear", price_above=Money(50_000)),
        Rule(name="only said", category=("utility",), mode=Mode.ANNOTATE),
    ),
    budget=(Budget(name="a day's utility", scope=Counted.WABA, period=Period.DAY, limit=Money(20_000), category=("utility",)),),
    limits=Limits(messaging_limit=20),
    fallback=(Fallback(template="utility", language="en_US"),),
)
POLICIES = {
    "strict": (Policy(), STRICT),
    "loose": (STRICT, Policy()),
    "not enforced": (STRICT, msgspec.structs.replace(STRICT, mode=Mode.ANNOTATE)),
    "two strict ones": (STRICT, Policy(budget=(msgspec.structs.replace(STRICT.budget[0], limit=Money(100_000)),))),
}
HISTORIES = {
    "by category": ERAS["by category"]._replace(sends=SENDS),
    "by message": Era("2026-09-25", "2026-11-05", SENDS, SINGLE | {"group text": 4, "group template": 8}, 30, {}),
}


async def plain(history: History, settings: Settings) -> tuple[dict[str, Json], list[Json], Json]:
    """What a plain replay writes: decisions by id, settlements, the summary."""
    out = io.BytesIO()
    await replay(history.lines(), "a test", settings, out)
    *lines, summary = (json.loads(line) for line in out.getvalue().splitlines())
    decided = {line["id"]: line for line in lines if line["event"] == "decision"}
    return decided, [line for line in lines if line["event"] == "settlement"], summary


def goes(said: Json) -> bool:
    return said["verdict"] != "block"


def by_hand(decided: dict[str, Json], other: dict[str, Json], settled: list[Json], taken: set[str]) -> dict[str, Any]:
    """The figures of one side of a comparison, from what its plain replay and the other one wrote."""
    quoted, unknown, spent = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for name, said in decided.items():
        if goes(said) and (name in taken or not goes(other[name])):
            for sums in (quoted, unknown) if name not in taken else (quoted,):
                sums[said["currency"]] += Decimal(said["price"] or 0)
    for line in settled:
        if line["charged"]:
            spent[decided[line["id"]]["currency"], line["category"]] += Decimal(line["price"] or 0)
    return {"quoted": quoted, "outcome_unknown": unknown, "settled": spent}


def compared(whole: Json, side: str) -> dict[str, Any]:
    """The same figures, from the comparison."""
    found: dict[str, Any] = {"quoted": Counter(), "outcome_unknown": Counter(), "settled": Counter()}
    for cell in whole["by_category_and_market"]:
        for what in ("quoted", "outcome_unknown"):
            found[what][cell["currency"]] += Decimal(cell[what][side]["total"])
        found["settled"][cell["currency"], cell["category"]] += Decimal(cell["settled"][side]["total"])
    return found


@pytest.mark.parametrize("policies", POLICIES)
@pytest.mark.parametrize("era", HISTORIES)
async def test_every_figure_is_that_of_two_plain_replays(era, policies):
    """Counts, reasons and money of either side are what a plain replay under its configuration comes to."""
    history, messages = told(HISTORIES[era], SEED)
    a, b = (msgspec.structs.replace(history.settings, policy=policy) for policy in POLICIES[policies])
    whole = json.loads(as_json(await compare(history.lines(), "a test", ("a", a), ("b", b))))
    (decided, settled, summary), (decided_b, settled_b, summary_b) = await plain(history, a), await plain(history, b)
    taken = {name for name, message in messages.items() if message.fate is not None}
    ways = Counter((goes(said), goes(decided_b[name])) for name, said in decided.items())
    changes = Counter[str]()
    for change in whole["changes"]:
        changes[change["change"]] += change["messages"]
    money = {(row["currency"], what): row[what] for row in whole["money"] for what in ("quoted", "settled")}

    assert [summary, summary_b] == [
        {"event": "summary", **{name: whole[side][name] for name in ("sends", "blocked", "charged", "spend")}} for side in "ab"
    ]
    assert [Counter(said["reason"] for said in each.values()) for each in (decided, decided_b)] == [
        +Counter({row["reason"]: row[side] for row in whole["by_reason"]}) for side in "ab"
    ]
    assert by_hand(decided, decided_b, settled, taken) == compared(whole, "a")
    assert by_hand(decided_b, decided, settled_b, taken) == compared(whole, "b")
    assert ways[True, False] == changes["blocked"]
    assert ways[False, True] == changes["let_out"] + sum(
        change["messages"] for change in whole["changes"] if change["change"] == "rewritten" and change["a"]["verdict"] == "block"
    )
    assert [Decimal(each["spent"]) - Decimal(each["saved"]) for each in money.values()] == [
        Decimal(each["change"]) for each in money.values()
    ]
    assert changes.total() > SENDS / 10
