"""A month as Meta tells it against the month that was settled: rows, differences, rounding, and what is said of them."""

from __future__ import annotations

import datetime as dt
import json
import zoneinfo
from decimal import Decimal

import pytest

from gatekeeper.core.data import data_dir
from gatekeeper.finance.comparing import compare, summed
from gatekeeper.finance.gate import Line, Micros, Side
from gatekeeper.finance.points import Point
from gatekeeper.finance.reconciling import Countries
from gatekeeper.finance.tables import Amounts, aligned, as_csv, printable
from gatekeeper.finance.telling import COLUMNS, Month, as_json, rows, summary, told

UTC = zoneinfo.ZoneInfo("UTC")
COUNTRIES = Countries.load(data_dir("config"), UTC)
DAY_MS = 86_400_000
NOVEMBER_10 = 1_794_268_800_000


def meta(volume=1, cost="0", *, country="DE", category="utility", kind="regular", start=NOVEMBER_10) -> Point:
    """A data point of Meta's."""
    return Point(
        where="$",
        start=start,
        end=start + DAY_MS,
        country=country,
        category=category,
        type=kind,
        phone_number=None,
        tier=None,
        volume=volume,
        cost=None if cost is None else Decimal(cost),
    )


def ours(sends=1, micros=0, *, market="Germany", category="utility", unpriced=0, caller="") -> Line:
    """A line of the bill, settled as it was predicted."""
    side = Side(sends=sends, total=Micros(micros), unpriced=unpriced)
    day = dt.date(2026, 11, 10)
    return Line(day=day, phone_number_id="1", caller=caller, category=category, market=market, predicted=side, settled=side)


def compared(points, lines):
    return compare(points, lines, COUNTRIES.row)


def differences(points, lines):
    """Each row's name, and what Meta has more of."""
    found = compared(points, lines)
    return {(row.category, row.market): (row.messages_difference, row.cost_difference) for row in found.rows}


def test_rows_are_matched_by_category_and_market():
    """Days, callers, tiers and countries of one market add up on either side; what only one side has is a row too."""
    points = [
        meta(2, "0.11"),
        meta(1, "0.055", start=NOVEMBER_10 + DAY_MS),
        meta(1, "0.0225", country="KE", category="marketing"),
        meta(2, "0.0450", country="AO", category="marketing"),
        meta(1, "0.1", country="BR"),
    ]
    lines = [
        ours(1, 55_000),
        ours(2, 110_000, caller="crm"),
        ours(3, 67_500, market="Rest of Africa", category="marketing"),
        ours(1, 5_000, category="service"),
    ]

    assert {
        ("marketing", "Rest of Africa"): (0, 0),
        ("service", "Germany"): (-1, -5_000),
        ("utility", "Brazil"): (1, 100_000),
        ("utility", "Germany"): (0, 0),
    } == differences(points, lines)


@pytest.mark.parametrize(
    ("points", "lines", "agrees"),
    [
        ([], [], True),
        ([meta(1, "0.055")], [ours(1, 55_000)], True),
        ([meta(1, "0.055")], [ours(1, 55_001)], False),
        ([meta(2, "0.055")], [ours(1, 55_000)], False),
        ([meta(1, None)], [ours(1, 55_000)], True),
        ([meta(2, None)], [ours(1, 55_000)], False),
        ([meta(1, "0")], [ours(1, 0, unpriced=1)], False),
        ([meta(1, None)], [ours(1, 0, unpriced=1)], True),
        ([meta(1, "0.055"), meta(1, "0", country="BR")], [ours(2, 55_000)], False),
        ([], [ours(1, 0)], False),
        ([meta(0, "0", country="BR")], [], True),
    ],
)
def test_a_month_agrees_when_each_row_does(points, lines, agrees):
    """Messages and, where Meta gives it, cost; rows that cancel out do not agree, nor does an unknown price with a cost."""
    assert agrees == compared(points, lines).agrees


@pytest.mark.parametrize(
    ("costs", "micros"),
    [
        ([], 0),
        (["0.0000005"], 1),
        (["0.0000004"], 0),
        (["0.0000004", "0.0000004"], 1),
        (["0.00000049999999999999999999999999999999999999999", "0.00000000000000000000000000000000000000000000001"], 1),
        (["0.1", "0.2"], 300_000),
        (["0.30000000000000004"] * 3, 900_000),
        (["999999999999", "0.0000005"], 999_999_999_999_000_001),
        (["999999999999", "0.00000049999999999999999999"], 999_999_999_999_000_000),
        (["1E+11", "1e-40"], 100_000_000_000_000_000),
        (["0.1", None], None),
        ([None], None),
    ],
)
def test_costs_are_summed_exactly_and_rounded_once(costs, micros):
    """Half a micro-unit up, at the sum; one that is not known makes the sum unknown."""
    assert micros == summed(None if cost is None else Decimal(cost) for cost in costs)


def test_the_total_is_rounded_by_itself():
    """It may differ from its rows by less than a micro-unit for each; the rows decide whether a month agrees."""
    points = [meta(1, "0.0000014"), meta(1, "0.0000014", country="BR")]
    found = compared(points, [ours(1, 1), ours(1, 1, market="Brazil")])

    assert (3, 2, True) == (found.total.meta_cost, found.total.settled_cost, found.agrees)


def test_without_any_cost_no_cost_is_compared():
    """Not even that of rows which Meta does not list."""
    found = compared([meta(1, None)], [ours(1, 55_000), ours(1, 5_000, category="service")])

    assert [None, None, None] == [row.cost_difference for row in (*found.rows, found.total)]
    assert None is found.furthest


def test_a_cost_that_lacks_here_and_there_is_compared_elsewhere():
    """Its row and the total are not known, the other rows are."""
    found = compared([meta(1, None), meta(1, "0.1", country="BR")], [ours(1, 55_000)])

    assert [100_000, None, None] == [row.cost_difference for row in (*found.rows, found.total)]
    assert None is found.furthest


def test_the_furthest_difference_is_a_rows_or_the_totals():
    """Differences that cancel out in the total are still there."""
    opposed = compared([meta(1, "0.1"), meta(1, "0.3", country="BR")], [ours(1, 300_000), ours(1, 100_000, market="Brazil")])
    summing = compared([meta(1, "0.1"), meta(1, "0.1", country="BR")], [])

    assert (0, 200_000) == (opposed.total.cost_difference, opposed.furthest)
    assert (200_000, 200_000) == (summing.total.cost_difference, summing.furthest)


@pytest.mark.parametrize(
    ("point", "row"),
    [
        ({"category": None}, ("all", "Germany")),
        ({"country": None}, ("utility", "all")),
        ({"category": None, "country": None}, ("all", "all")),
    ],
    ids=["no category", "no country", "neither"],
)
def test_what_meta_was_not_asked_for_is_summed_over(point, row):
    """Our lines are, too."""
    assert {row: (0, 0)} == differences([meta(3, "0.2", **point)], [ours(1, 50_000), ours(2, 150_000)])


def test_a_free_entry_is_compared_with_ours():
    """Meta's analytics say SERVICE where our bill, and its webhooks, say a referral."""
    points = [meta(2, kind="free_entry_point", category="service"), meta(1, kind="free_customer_service", category="service")]
    lines = [ours(2, category="referral_conversion"), ours(1, category="service")]

    assert {("referral_conversion", "Germany"): (0, 0), ("service", "Germany"): (0, 0)} == differences(points, lines)


@pytest.mark.parametrize(
    ("country", "day", "market"),
    [
        ("DE", "2026-11-10", "Germany"),
        ("de", "2026-11-10", "Germany"),
        ("germany", "2026-11-10", "Germany"),
        ("BD", "2026-09-30", "Rest of Asia Pacific"),
        ("BD", "2026-10-01", "Bangladesh"),
        ("AC", "2026-11-10", "Other"),
        ("QQ", "2026-11-10", "unknown country QQ"),
        ("Atlantis", "2026-11-10", "unknown country Atlantis"),
        (None, "2026-11-10", "no country"),
    ],
)
def test_a_country_is_of_its_market_on_that_day(country, day, market):
    """By ISO code or name; one that is not known is a row of its own, and named."""
    start = int(dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC).timestamp() * 1000)

    assert market == COUNTRIES.row(meta(country=country, start=start))


def month(points, lines, *notes):
    return Month(waba_id="7", month="2026-11", currency="USD", compared=compared(points, lines), notes=notes)


@pytest.mark.parametrize(
    ("points", "lines", "line"),
    [
        ([], [], "2026-11 agrees: 0 messages and 0 USD on both sides"),
        ([meta(1, "0.055")], [ours(1, 55_000)], "2026-11 agrees: 1 message and 0.055 USD on both sides"),
        ([meta(2, None)], [ours(2, 9)], "2026-11 agrees: 2 messages on both sides"),
        (
            [meta(2, "0.1")],
            [ours(1, 100_000)],
            "2026-11 differs in 1 of 1 rows (*): in all, Meta has 1 message more and the same cost",
        ),
        (
            [meta(1, "0.1")],
            [ours(3, 200_000)],
            "2026-11 differs in 1 of 1 rows (*): in all, Meta has 2 messages fewer and 0.1 USD less",
        ),
        (
            [meta(1, "0.3")],
            [ours(1, 200_000)],
            "2026-11 differs in 1 of 1 rows (*): in all, Meta has as many messages and 0.1 USD more",
        ),
        ([meta(1, None)], [ours(2, 2)], "2026-11 differs in 1 of 1 rows (*): in all, Meta has 1 message fewer"),
    ],
)
def test_the_last_line_says_whether_the_month_agrees(points, lines, line):
    """And if not, in which direction and by how much."""
    found = month(points, lines)

    assert line == summary(found) == list(told(found))[-1]


def test_a_table_is_told_with_its_notes():
    """Amounts have one number of places, signs stand before what Meta has more of, and what is not known is a dash."""
    found = month([meta(12, "0.66"), meta(1, None, country="BR")], [ours(10, 550_000)], "a note")

    assert [
        "7, 2026-11, in USD: what Meta says, and what was settled",
        "   category  market   messages: meta  settled  difference  cost: meta  settled  difference  predicted",
        "*  utility   Brazil                1        0          +1           -     0.00           -       0.00",
        "*  utility   Germany              12       10          +2        0.66     0.55       +0.11       0.55",
        "*  total                          13       10          +3           -     0.55           -       0.55",
        "note: a note",
    ] == list(told(found))[:-1]


def test_json_and_csv_say_the_same():
    """Null and an empty cell are what is not known."""
    found = month([meta(1, None), meta(1, "0.1", country="BR")], [ours(1, 55_000)], "a note")
    head, *table = rows(found)
    read = json.loads(as_json(found))

    assert COLUMNS == head
    assert [(each["meta"]["cost"], each["difference"]["cost"], each["agrees"]) for each in read["rows"]] == [
        (row[6], row[14], row[15] == "agrees") for row in table
    ]
    assert (["0.1", None], None, ["a note"]) == (
        [each["meta"]["cost"] for each in read["rows"]],
        read["total"]["meta"]["cost"],
        read["notes"],
    )


@pytest.mark.parametrize(
    ("amounts", "written"),
    [
        ([0], ["0.00"]),
        ([None], ["-"]),
        ([55_000, None, 1], ["0.055000", "-", "0.000001"]),
        ([-136_500, 10_000_000], ["-0.1365", "10.0000"]),
        ([9_007_199_254_740_993], ["9007199254.740993"]),
    ],
)
def test_amounts_of_a_table_have_as_many_places(amounts, written):
    """As the finest of them needs, and two at least; to the last micro-unit."""
    assert written == [Amounts(amounts)(amount) for amount in amounts]


def test_columns_are_words_left_and_figures_right():
    """Nothing hangs at the end of a line, and no cell moves the cursor."""
    assert ["a       1", "b\\x1b  22"] == aligned([("a", "1"), ("b\x1b", "22")], words=1)
    assert "\\n\\t\\x9b\\u202e é" == printable("\n\t\x9b\u202e é")


def test_csv_is_rfc_4180s():
    """Lines end in CR LF; what needs quotes has them."""
    assert 'a,,1\r\n"b,""\n",x,\r\n' == as_csv([("a", "", 1), ('b,"\n', "x", None)])
