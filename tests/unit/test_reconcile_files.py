"""Files of Meta's figures: what is read from them, and what is refused with its place; no file at all makes a traceback."""

from __future__ import annotations

import codecs
import datetime as dt
import io
import json
import zoneinfo
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatekeeper.core.errors import InputError
from gatekeeper.finance import sources
from gatekeeper.finance.answers import answers, is_json
from gatekeeper.finance.choosing import consistent, in_month
from gatekeeper.finance.exports import exported
from gatekeeper.finance.points import understood
from gatekeeper.finance.sources import read

META = Path(__file__).parents[1] / "fixtures" / "meta"
UTC, KOLKATA, LOS_ANGELES = map(zoneinfo.ZoneInfo, ("UTC", "Asia/Kolkata", "America/Los_Angeles"))
DAY_S = 86_400
START = 1794268800  # 2026-11-10T00:00Z
KNOWN = "those of Meta are start, end, country, pricing category, pricing type, tier, phone, volume, cost, currency, waba id"
NO_FIELD = "holds no pricing_analytics; ask Meta for GET /{waba_id}?fields=pricing_analytics.start(…).end(…)…"
DEEP = "is nested too deep for an answer of Meta's"
POINT = {
    "start": START,
    "end": START + DAY_S,
    "country": "DE",
    "tier": "0:MAX",
    "pricing_type": "REGULAR",
    "pricing_category": "MARKETING",
    "volume": 1,
    "cost": 0.1365,
}


def at(text: str, zone=UTC) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def page(*points, **more):
    return {"data": [{"data_points": list(points)}], **more}


def answer(*points, **more):
    return {"pricing_analytics": page(*points), "id": "102290129340398", **more}


def taken(text: str, zone=UTC, month=None, currency="USD"):
    """Read a text as the command does; the points of a month and the notes."""
    source = answers(text, "f") if is_json(text) else exported(text, "f")
    points, noted = consistent(understood(source, zone, currency))
    chosen = in_month(points, month, zone, source.name)
    return chosen, (*source.notes, *noted, *chosen.notes)


def one(**more):
    """A single point, some fields of it changed; None: left out."""
    fields = {key: value for key, value in {**POINT, **more}.items() if value is not None}
    return taken(json.dumps(answer(fields)))[0].points[0]


def refused(text: str, **more) -> str:
    with pytest.raises(InputError) as caught:
        taken(text, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        answer(POINT),
        page(POINT),
        page(POINT, paging={"cursors": {"before": "a", "after": "b"}}),
        [answer(POINT)],
        {"pricing_analytics": {"data_points": [POINT]}},
        [POINT],
        POINT,
        {"unheard_of": 1, **answer({**POINT, "unheard_of": [{}]})},
    ],
    ids=["account", "page", "paging", "list of pages", "without data", "list of points", "point", "more than we know"],
)
def test_an_answer_is_read_in_every_nesting(document):
    """Graph nests the points by edge and version, and people take them out of it."""
    [point] = taken(json.dumps(document))[0].points

    assert (START * 1000, (START + DAY_S) * 1000, "DE", "marketing", "regular", "0:MAX", 1, Decimal("0.1365")) == (
        point.start,
        point.end,
        point.country,
        point.category,
        point.type,
        point.tier,
        point.volume,
        point.cost,
    )


def test_pages_are_read_one_after_the_other():
    """As `curl >>` leaves them; the account's id stands in the first one alone."""
    later = {**POINT, "start": START + DAY_S, "end": START + 2 * DAY_S}
    text = f"{json.dumps(answer(POINT))}\n{json.dumps(page(later))}"

    assert (("102290129340398",), 2) == (answers(text, "f").waba_ids, len(taken(text)[0].points))


def test_a_page_that_is_missing_is_told():
    """The last page has no next one; its address, which holds a token, is not repeated."""
    pages = [{**answer(POINT), "x": 1}, page({**POINT, "country": "IN"}, paging={"next": "https://graph/?access_token=EAAJB"})]
    notes = taken(json.dumps(pages))[1]

    assert ("Meta's answer goes on after its last page (paging.next), and that page is not in the file",) == notes
    assert () == taken(json.dumps(pages[::-1]))[1]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "f: line 1, column 2: Expecting property name enclosed in double quotes"),
        ('{"data":\n[1,}', "f: line 2, column 4: Expecting value"),
        ("[" * 100_000, f"f: {DEEP}"),
        ("[[[[[[[[[]]]]]]]]]", f"f: $[0][0][0][0][0][0]: {DEEP}"),
        ('{"data": {"data": {"data": {"data": {"data": {"data": []}}}}}}', f"f: $.data.data.data.data.data.data: {DEEP}"),
        ("{}", f"f: $: {NO_FIELD}"),
        ('{"id": "1"}', f"f: $: {NO_FIELD}"),
        ('{"conversation_analytics": {"data": []}}', f"f: $: {NO_FIELD}"),
        ("[1]", "f: $[0]: '1' is no answer of Meta's"),
        ("[null]", "f: $[0]: None is no answer of Meta's"),
        ('{"pricing_analytics": "x"}', "f: $.pricing_analytics: 'x' is no answer of Meta's"),
        ('{"pricing_analytics": null}', "f: $.pricing_analytics: None is no answer of Meta's"),
        ('{"data": [{"data_points": {}}]}', "f: $.data[0].data_points: an object is not a list of data points"),
        ('{"data": [{"data_points": [[]]}]}', "f: $.data[0].data_points[0]: a list is not a data point"),
        ('{"pricing_analytics": {"data": []}, "id": "+7"}', "f: $.id: '+7' is not the id of an account"),
        ('{"pricing_analytics": {"data": []}, "id": ["7"]}', "f: $.id: a list is not the id of an account"),
        ('{"error": {"message": "EAAJB", "code": 190}}', "f: $.error: Meta answered with an error, code '190', and with no figures"),
        ('{"error": 1}', "f: $.error: Meta answered with an error, code None, and with no figures"),
        ('{"data": [], "data": []}', "f: a key stands twice in one object: 'data'"),
        ('{"data": []} {', "f: line 1, column 15: Expecting property name enclosed in double quotes"),
        ('{"data": []} x', "f: line 1, column 14: Expecting value"),
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_what_is_no_answer_is_refused_with_its_place(document, message):
    """One line each; what Graph says of an error may repeat a token, and is not repeated."""

    assert message == refused(document)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("start", None, ": has no start"),
        ("start", "yesterday", ".start: 'yesterday' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("start", START * 1000, f".start: '{START}000' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("start", -START, f".start: '-{START}' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("start", 10**400, f".start: '1{'0' * 38}… is not a start"),
        ("start", 1.5e9, ".start: '1500000000.0' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("start", "0001-01-01", ".start: '0001-01-01' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("start", "9999-12-31", ".start: '9999-12-31' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("start", "2026-13", ".start: '2026-13' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("start", "Foo 1, 2026", ".start: 'Foo 1, 2026' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("start", "10/01/2026", ".start: '10/01/2026' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("start", True, ".start: True is not a start"),
        ("start", {"a": 1}, ".start: an object is not a start"),
        ("end", None, ": has no end"),
        ("end", START, ".end: is not after the start"),
        ("end", START - 1, ".end: is not after the start"),
        ("end", START + 40 * DAY_S, ": runs over more than a month; ask Meta for granularity(DAILY)"),
        ("volume", None, ": has no volume; ask Meta for metric_types(VOLUME,COST) or for none in particular"),
        ("volume", -1, ".volume: '-1' is not a number of messages"),
        ("volume", 1.5, ".volume: '1.5' is not a number of messages"),
        ("volume", 10**30, f".volume: '1{'0' * 30}' is not a number of messages"),
        ("volume", True, ".volume: True is not a number of messages"),
        ("volume", [1], ".volume: a list is not a number of messages"),
        ("cost", -0.01, ".cost: '-0.01' is not an amount of money such as 11.96"),
        ("cost", float("nan"), ".cost: 'NaN' is not an amount of money such as 11.96"),
        ("cost", float("inf"), ".cost: 'Infinity' is not an amount of money such as 11.96"),
        ("cost", 1e300, ".cost: '1e+300' is not an amount of money such as 11.96"),
        ("cost", 10**12, ".cost: '1000000000000' is not an amount of money such as 11.96"),
        ("cost", "1e99", ".cost: '1e99' is not an amount of money such as 11.96"),
        ("cost", "0,11", ".cost: '0,11' is not an amount of money such as 11.96"),
        ("cost", "$1", ".cost: '$1' is not an amount of money such as 11.96"),
        ("cost", "", ".cost: '' is not an amount of money such as 11.96"),
        ("cost", [{"type": "amount_spent", "value": 0.01}], ".cost: a list is not an amount of money such as 11.96"),
        ("pricing_category", "<script>", ".pricing_category: '<script>' is not a pricing category"),
        ("pricing_category", "", ".pricing_category: '' is not a pricing category"),
        ("pricing_category", 5, ".pricing_category: '5' is not a pricing category"),
        ("pricing_category", "\u0130", ".pricing_category: '\u0130' is not a pricing category"),
        ("pricing_type", {}, ".pricing_type: an object is not a pricing type"),
        ("country", "\ud800", ".country: '\\ud800' is not a country"),
        ("country", "D\nE", ".country: 'D\\nE' is not a country"),
        ("country", "x" * 65, f".country: '{'x' * 39}… is not a country"),
        ("phone_number", {"4915112345678": 1}, ".phone_number: what stands there is not a phone number"),
        ("phone_number", "4915112345678\x00", ".phone_number: what stands there is not a phone number"),
        ("currency", "EUR", ".currency: 'EUR' is not the USD of this account"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_field_that_is_not_understood_is_refused_with_its_path(field, value, message):
    """Nothing is taken for nothing, and no phone number is repeated."""
    fields = {key: one for key, one in {**POINT, field: value}.items() if one is not None}

    assert f"f: $.pricing_analytics.data[0].data_points[0]{message}" == refused(json.dumps(answer(fields)))


@pytest.mark.parametrize(
    ("written", "category"),
    [
        ("MARKETING", "marketing"),
        ("authentication-international", "authentication_international"),
        ("AUTHENTICATION_INTERNATIONAL", "authentication_international"),
        ("Authentication International", "authentication_international"),
        ("MARKETING_LITE", "marketing_lite"),
        ("GROUP_SERVICE", "group_service"),
        ("REFERRAL_CONVERSION", "referral_conversion"),
        ("General-Purpose AI", "general_purpose_ai"),
        ("SOMETHING_NEW", "something_new"),
    ],
)
def test_a_category_is_spelled_as_ours(written, category):
    """However Meta writes it; a new one is one of its own."""
    assert category == one(pricing_category=written).booked


@pytest.mark.parametrize("category", ["SERVICE", "UTILITY", "REFERRAL_CONVERSION"])
def test_a_free_entry_is_a_referral(category):
    """Analytics list it under its message's own category, the webhooks and our bill as `referral_conversion`."""
    assert "referral_conversion" == one(pricing_category=category, pricing_type="FREE_ENTRY_POINT").booked


def test_two_free_entries_of_different_messages_are_two():
    """What is booked alike is not the same data point."""
    points = [
        {**POINT, "pricing_type": "FREE_ENTRY_POINT", "pricing_category": category, "volume": volume}
        for category, volume in (("SERVICE", 6), ("UTILITY", 2))
    ]
    chosen, notes = taken(json.dumps(answer(*points)))

    assert ([6, 2], ()) == ([point.volume for point in chosen.points], notes)


def test_numbers_stay_exact():
    """A cost is the decimal that stands in the file, to the last digit."""
    text = json.dumps(answer(POINT)).replace("0.1365", "0.30000000000000004")

    assert Decimal("0.30000000000000004") == taken(text)[0].points[0].cost


@pytest.mark.parametrize(("written", "cost"), [("1e-05", "0.00001"), ("1E+2", "100"), ('"2.50"', "2.5"), ("null", None)])
def test_a_cost_is_written_in_many_ways(written, cost):
    """As JSON writes small and large numbers; null is unknown."""
    text = json.dumps(answer(POINT)).replace("0.1365", written)

    assert (None if cost is None else Decimal(cost)) == taken(text)[0].points[0].cost


def test_a_point_that_stands_on_two_pages_counts_once():
    """Pages overlap when figures move between two requests; a note says so."""
    chosen, notes = taken(json.dumps([answer(POINT), page(POINT, POINT)]))

    assert (1, ("data points that stand in the file again, and count once: 2",)) == (len(chosen.points), notes)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"volume": 2},
            "f: $[1].data[0].data_points[0]: is the same data point as $[0].data[0].data_points[0], with other figures",
        ),
        (
            {"cost": 0.2},
            "f: $[1].data[0].data_points[0]: is the same data point as $[0].data[0].data_points[0], with other figures",
        ),
        (
            {"cost": None},
            "f: $[1].data[0].data_points[0]: is the same data point as $[0].data[0].data_points[0], with other figures",
        ),
        (
            {"start": at("2026-11-01"), "end": at("2026-12-01")},
            "f: $[0].data[0].data_points[0]: runs over the time of $[1].data[0].data_points[0]: these are answers to different questions",
        ),
        (
            {"start": START + DAY_S // 2, "end": START + 2 * DAY_S},
            "f: $[1].data[0].data_points[0]: runs over the time of $[0].data[0].data_points[0]: these are answers to different questions",
        ),
        (
            {"pricing_category": None},
            "f: $[1].data[0].data_points[0]: names no category, and others do: these are answers to different questions",
        ),
        (
            {"phone_number": "15550783881"},
            "f: $[0].data[0].data_points[0]: names no phone number, and others do: these are answers to different questions",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_points_that_would_count_twice_are_refused(other, message):
    """Both places are named."""
    fields = {key: value for key, value in {**POINT, **other}.items() if value is not None}

    assert message == refused(json.dumps([page(POINT), page(fields)]))


def test_a_point_without_a_country_beside_others_is_told():
    """It may be that Meta does not know it."""
    fields = {key: value for key, value in POINT.items() if key != "country"}
    chosen, notes = taken(json.dumps(page(POINT, fields)))

    assert (2, ("data points that name no country, while others do: 1",)) == (len(chosen.points), notes)


def daily(day: str, zone=UTC, **more):
    return {**POINT, "start": at(day, zone), "end": at(day, zone) + DAY_S, **more}


def test_a_month_is_chosen():
    """The other ones are left out, and named."""
    text = json.dumps(page(daily("2026-10-31"), daily("2026-11-01"), daily("2026-11-30"), daily("2026-12-01")))
    chosen, notes = taken(text, month="2026-11")

    assert ("2026-11", 2) == (chosen.month, len(chosen.points))
    assert ("data points of other months are left out: 1 of 2026-10, 1 of 2026-12",) == notes
    assert "f: has data points of 2026-10, 2026-11, 2026-12; choose one with --month" == refused(text)
    assert "f: has no data point of 2026-09; it has 2026-10, 2026-11, 2026-12" == refused(text, month="2026-09")


def test_an_empty_answer_is_of_the_month_that_is_asked_for():
    """Meta may have nothing to say; of which month it then says nothing too."""
    chosen, notes = taken('{"data": []}', month="2026-11")

    assert ("2026-11", (), ("the file has no data point",)) == (chosen.month, chosen.points, notes)
    assert "f: has no data point; say which month it is of with --month" == refused('{"data": []}')


@pytest.mark.parametrize(
    ("zone", "start", "month", "over"),
    [
        (UTC, at("2026-10-31"), "2026-10", False),
        (KOLKATA, at("2026-11-01", KOLKATA), "2026-11", False),
        (KOLKATA, at("2026-10-31"), "2026-10", True),
        (LOS_ANGELES, at("2026-11-01", LOS_ANGELES), "2026-11", False),
        (LOS_ANGELES, at("2026-11-01"), "2026-11", True),
    ],
)
def test_months_are_the_accounts_own(zone, start, month, over):
    """A day that was cut in another time zone is counted where most of it lies, and told."""
    chosen, notes = taken(json.dumps(page({**POINT, "start": start, "end": start + DAY_S})), zone=zone)
    told = f"data points that run over a month's end in {zone.key}, and count where most of each lies: 1"

    assert (month, (told,) if over else ()) == (chosen.month, notes)


def test_a_month_whose_clock_is_put_back_is_a_month():
    """MONTHLY points are an hour longer then; cut in UTC they run over both its ends."""
    start, end = at("2026-11-01", LOS_ANGELES), at("2026-12-01", LOS_ANGELES)
    exact = taken(json.dumps(page({**POINT, "start": start, "end": end})), zone=LOS_ANGELES)
    shifted = taken(json.dumps(page({**POINT, "start": at("2026-11-01"), "end": at("2026-12-01")})), zone=LOS_ANGELES)

    assert (30 * DAY_S + 3600, "2026-11", ()) == (end - start, exact[0].month, exact[1])
    assert ("2026-11", 1) == (shifted[0].month, len(shifted[1]))


TABLE = (META / "pricing_analytics-2026-11.csv").read_text()


def test_a_table_says_what_an_answer_says():
    """Both fixtures are of the same month."""
    [table, graph] = [taken((META / f"pricing_analytics-2026-11.{kind}").read_text())[0] for kind in ("csv", "json")]

    assert table.month == graph.month
    assert [(p.span, p.booked, p.type, p.volume, p.cost) for p in table.points] == [
        (p.span, p.booked, p.type, p.volume, p.cost) for p in graph.points
    ]


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", " , ") + "\n\n",
        TABLE.upper().replace("(USD)", "(USD)"),
        TABLE.replace("Messages delivered", "MESSAGES_DELIVERED").replace("Pricing type", "pricing-type"),
        TABLE.replace("Date", "Start,End").replace("2026-11-10", f"{START},{START + DAY_S}"),
        TABLE.replace("2026-11-10", "2026-11-10T00:00:00"),
        TABLE.replace("2026-11-10", '"Nov 10, 2026"'),
        TABLE.replace("2026-11-10", "November 10 2026"),
        TABLE.replace("2026-11-10", "20261110"),
        TABLE.replace("Date", "Start date,End date").replace("2026-11-10", "2026-11-10,2026-11-10"),
        TABLE.replace("Date", "Start date,End date").replace("2026-11-10", "2026-11-10,2026-11-11"),
        TABLE.replace(" (USD)", ""),
        TABLE.replace("Date", "Account name,Date").replace("2026-11-10", "Shop,2026-11-10"),
        TABLE.replace("Date", "Currency,Date").replace("2026-11-10", "usd,2026-11-10"),
    ],
    ids=[
        "as it is", "CR LF", "semicolons", "tabs", "blanks", "capitals", "dashes", "Unix seconds", "times", "English dates",
        "long English dates", "compact dates", "same end", "next end", "no currency", "account name", "currency column",
    ],
)  # fmt: skip
def test_a_table_is_read_in_every_dress(text):
    """Case, blanks, order, separators and the ways of writing a day do not count."""
    points = taken(text)[0].points

    assert [(START * 1000, (START + DAY_S) * 1000)] * 3 == [point.span for point in points]
    assert [2, 1, 1] == [point.volume for point in points]
    assert [Decimal("0.11"), Decimal("0.1365"), Decimal(0)] == [point.cost for point in points]


@pytest.mark.parametrize("cell", ["", "-", "N/A", "null"])
def test_a_cost_may_be_left_empty(cell):
    """It is unknown then, as with an account on a partner's credit line."""
    points = taken(TABLE.replace("0.1365", cell))[0].points

    assert [False, True, False] == [point.cost is None for point in points]


def test_thousands_may_be_set_apart():
    """Where columns are set apart by commas too, so that a comma is no decimal point."""
    text = 'Month,Volume,Cost\n2026-11,"1,234,567","12,345.60"\n'
    [point] = taken(text)[0].points

    assert (1_234_567, Decimal("12345.60")) == (point.volume, point.cost)
    assert "f, row 2, column 'Cost': '12,345' is not an amount of money such as 11.96" == refused(
        "Month;Volume;Cost\n2026-11;1;12,345\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f: is empty"),
        ("\n \n,,\n", "f: is empty"),
        ("hello\n", f"f, row 1, column 1: 'hello' is not a heading that is understood; {KNOWN}"),
        ("Date,Volume,Weather\n", f"f, row 1, column 3: 'Weather' is not a heading that is understood; {KNOWN}"),
        ("Date,Volume (USD)\n", f"f, row 1, column 2: 'Volume (USD)' is not a heading that is understood; {KNOWN}"),
        ("Date,Day,Volume\n", "f, row 1, column 2: 'Day' means the same as 'Date'"),
        ("Date,Cost\n", f"f, row 1: no column is headed 'volume' or 'messages' or 'messages delivered'; {KNOWN}"),
        ("Volume\n1\n", f"f, row 1: no column is headed 'start' or 'date' or 'day'; {KNOWN}"),
        ("Date,Volume\n2026-11-10\n", "f, row 2: 1 cells under 2 headings"),
        ("Date,Volume\n2026-11-10,1,2\n", "f, row 2: 3 cells under 2 headings"),
        ("Date,Volume\n\n2026-11-10,many\n", "f, row 3, column 'Volume': 'many' is not a number of messages"),
        ("Date,Volume\n2026-11-10,-5\n", "f, row 2, column 'Volume': '-5' is not a number of messages"),
        ("Date,Volume\n2026-11-10,\n", "f, row 2: has no volume; ask Meta for metric_types(VOLUME,COST) or for none in particular"),
        ("Date,Volume\nTotal,5\n", "f, row 2, column 'Date': 'Total' is not a time: write Unix seconds, 2026-10-01 or 2026-10"),
        ("Date,Volume\n,5\n", "f, row 2: has no start"),
        ("Start,Volume\n1794268800,5\n", "f, row 2: has no end"),
        ("Date,End,Volume\n2026-11-10,2026-11-09,5\n", "f, row 2, column 'End': is not after the start"),
        ('Date,Volume\n"2026-11-10,5\n', "f, row 2: unexpected end of data"),
        ('Date,Volume\n"2026-11-10"x,5\n', "f, row 2: ',' expected after '\"'"),
        (f"Date,Volume\n{'9' * 200_000},5\n", "f, row 2: field larger than field limit (131072)"),
        ("Date,Volume,Cost (EUR)\n2026-11-10,5,1\n", "f, row 2, currency: 'EUR' is not the USD of this account"),
        ("Date,Volume,WABA ID\n2026-11-10,5,1.0229E+14\n", "f, row 2, column 'WABA ID': '1.0229E+14' is not the id of an account"),
        ("Date,Volume,Phone number\n2026-11-10,5,+49\x01\n", "f, row 2, column 'Phone number': what stands there is not a phone number"),
        ("Date,Volume\n2026-11-10,5\n2026-11-10,6\n", "f, row 3: is the same data point as f, row 2, with other figures"),
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_a_table_that_is_not_understood_is_refused_with_row_and_column(text, message):
    """Also a heading alone: it may tell apart rows that look the same without it."""
    assert message == refused(text)


def test_a_table_may_name_its_account():
    """One, or it is refused later."""
    text = "Date,Volume,WABA ID\n2026-11-10,5,7\n2026-11-11,6,7\n2026-11-12,6,8\n"

    assert ("7", "8") == exported(text, "f").waba_ids


@pytest.mark.parametrize(
    "raw",
    [TABLE.encode(), codecs.BOM_UTF8 + TABLE.encode(), TABLE.encode("utf-16")],
    ids=["UTF-8", "with a byte order mark", "UTF-16"],
)
def test_a_file_is_text_with_or_without_a_mark(raw, tmp_path):
    """Spreadsheets write one."""
    (tmp_path / "f").write_bytes(raw)

    assert (str(tmp_path / "f"), TABLE) == read(str(tmp_path / "f"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\xff\x00\xfe", "is not text in UTF-8 or UTF-16"),
        (codecs.BOM_UTF16_LE + b"\x00", "is not text in UTF-8 or UTF-16"),
        (b"PK\x03\x04", "is a workbook or an archive; save its table as CSV"),
    ],
)
def test_a_file_that_is_no_text_is_refused(raw, message, tmp_path):
    """It is named, with what to do."""
    (tmp_path / "f").write_bytes(raw)
    with pytest.raises(InputError) as caught:
        read(str(tmp_path / "f"))

    assert f"{tmp_path / 'f'}: {message}" == str(caught.value)


def test_a_file_without_end_is_refused(monkeypatch):
    """Before more than its bound is in memory."""
    with pytest.raises(InputError) as caught:
        read("/dev/zero")

    assert "/dev/zero: is larger than 64 MiB" == str(caught.value)


def test_standard_input_is_a_file_too(monkeypatch):
    """It has a name of its own in messages."""
    monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"{}")))

    assert ("standard input", "{}") == read("-")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([START, START + DAY_S, "DE"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*POINT, "data", "data_points", "id"]), inner, max_size=6)
    ),
    max_leaves=12,
)


def said(text):
    """What is refused of a text; nothing where it is understood."""
    try:
        taken(text)
    except InputError as fault:
        return [str(fault)]
    return []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*POINT, "currency"]), JUNK))
def test_no_point_makes_a_traceback(fields):
    """Whatever stands in its fields, it is understood or refused in one line."""
    texts = [json.dumps(document) for document in (answer({**POINT, **fields}), fields, [fields])]

    assert [] == [message for text in texts for message in said(text) if len(message.splitlines()) != 1]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JUNK | st.text())
def test_no_document_makes_a_traceback(document):
    """However it is nested."""
    texts = [json.dumps(document), f"[{json.dumps(document)}]", str(document)]

    assert [] == [message for text in texts for message in said(text) if len(message.splitlines()) != 1]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.text(alphabet=st.sampled_from('ab1-.,;"\n\r\t\x00 2026')), min_size=2, max_size=3), max_size=4))
def test_no_table_makes_a_traceback(cells):
    """Whatever its cells hold, and however many there are."""
    text = "Date,Volume,Cost\n" + "\n".join(",".join(row) for row in cells)

    assert [] == [message for message in said(text) if len(message.splitlines()) != 1]
