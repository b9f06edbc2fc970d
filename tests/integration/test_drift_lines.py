"""Where Meta's word differs from our own tables, the log says how, and of which decision."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import NUMBER, USER

from gatekeeper import telemetry

ROOT = Path(__file__).parents[2]
SALE = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"}
LINE = {
    "phone_number_id": NUMBER,
    "kind": "pricing",
    "delivered": True,
    "category": "marketing",
    "charged": True,
    "price": "0.1365",
    "expected_category": "utility",
    "expected_charged": True,
    "expected_price": "0.055",
    "currency": "USD",
}


def drifts(house):
    own = ("level", "at", "event")
    return [{name: value for name, value in line.items() if name not in own} for line in house.logged("drifted")]


async def sent(house):
    """Send a template: the decision's id and the message's."""
    answer = await house.template("order_update")
    return answer["Gatekeeper-Id"], answer.json["messages"][0]["id"]


async def test_another_price_is_one_line(house):
    """What we expected stands beside what Meta says, once, and nothing of the recipient."""
    decision, wamid = await sent(house)
    for status in ("sent", "delivered", "delivered", "read"):
        await house.status(wamid, status, pricing=SALE)

    assert [{"id": decision, **LINE}] == drifts(house)
    assert USER not in json.dumps(drifts(house))


async def test_what_agrees_leaves_no_line(house):
    """A delivery that costs what our table says is no drift."""
    _, wamid = await sent(house)
    await house.status(wamid, "delivered", pricing={**SALE, "category": "utility"})

    assert [] == drifts(house)


@pytest.mark.parametrize("code", [131047, 131050])
async def test_a_failure_that_was_not_foreseen_is_one_line(house, code):
    """We let it out and Meta did not."""
    decision, wamid = await sent(house)
    await house.status(wamid, "failed", errors=[{"code": code}])
    [line] = drifts(house)

    assert (decision, str(code), False, "0") == (line["id"], line["kind"], line["delivered"], line["price"])


def test_every_name_of_a_line_is_used():
    """A declared name that nothing writes is a line that somebody waits for in vain."""
    declared = re.findall(r'^([A-Z_]+(?:, [A-Z_]+)*) = "', (ROOT / "gatekeeper/telemetry.py").read_text(), re.MULTILINE)
    names = [name for group in declared for name in group.split(", ")]
    code = "\n".join(path.read_text() for path in (ROOT / "gatekeeper").rglob("*.py"))
    calls = re.sub(r"^(?:from|import) .*?(?:\)|$)", "", code, flags=re.MULTILINE)
    unused = [name for name in names if len(re.findall(rf"\b{name}\b", calls)) < 2]

    assert [] == unused
    assert {"DRIFT", "WEBHOOK", "FAULT"} <= set(names) & set(dir(telemetry))
