"""
Days and months of an account are those of its own time zone: cards, free tiers and the bill, also on days of 23 and of 25 hours.

Accounts in Auckland, nowhere and Los Angeles live through one history. Instants of changes are written in UTC here, literally; what
day it is somewhere in between is asked of zoneinfo. Source: Meta, "Pricing", copy of 2026-03-02: every change takes effect at "12:00
AM, based on WhatsApp Business Account time zone"; quotes of September 2026: tiers reset "at 12am by Messaging account timezone".
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import Counter
from decimal import Decimal

import pytest
from rate_sheets import plain, sheet_on
from recorded import History, account, keep_ledger

AUCKLAND, UTC, ANGELES, SANTIAGO = "Pacific/Auckland", "UTC", "America/Los_Angeles", "America/Santiago"
NUMBERS = {zone: f"10654035224294{n}" for n, zone in enumerate((AUCKLAND, UTC, ANGELES, SANTIAGO))}
WABAS = {zone: f"10229012934041{n}" for n, zone in enumerate((AUCKLAND, UTC, ANGELES, SANTIAGO))}
SAUDI, GERMAN = "966512345678", "4915112345678"
HALF_HOUR = 30 * 60
SERVICE = "0.055"


def instant(text: str) -> int:
    """An instant in UTC, as Unix seconds."""
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp())


def day_there(at: int, zone: str) -> dt.date:
    return dt.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(zone)).date()


def lived_by(*zones: str) -> History:
    return History(*(account(WABAS[zone], [NUMBERS[zone]], timezone=zone) for zone in zones))


def half_hours(begin: str, end: str) -> range:
    return range(instant(begin), instant(end), HALF_HOUR)


CHANGES = [
    pytest.param(
        "2026-01-01", {AUCKLAND: "2025-12-31T11:00", UTC: "2026-01-01T00:00", ANGELES: "2026-01-01T08:00"}, id="January"
    ),
    pytest.param("2026-04-01", {AUCKLAND: "2026-03-31T11:00", UTC: "2026-04-01T00:00", ANGELES: "2026-04-01T07:00"}, id="April"),
    pytest.param("2026-07-01", {AUCKLAND: "2026-06-30T12:00", UTC: "2026-07-01T00:00", ANGELES: "2026-07-01T07:00"}, id="July"),
    pytest.param(
        "2026-10-01", {AUCKLAND: "2026-09-30T11:00", UTC: "2026-10-01T00:00", ANGELES: "2026-10-01T07:00"}, id="October"
    ),
]


@pytest.mark.parametrize(("day", "begins"), CHANGES)
async def test_a_card_begins_at_each_accounts_midnight(day, begins):
    """So three accounts are on different cards at one instant, and each switches in one second of its own."""
    history = lived_by(*begins)
    before, since = (sheet_on("USD", dt.date.fromisoformat(day) + dt.timedelta(days=n)) for n in (-1, 0))
    expected = {}
    for at in sorted(instant(text) + late for text in begins.values() for late in (-1, 0)):
        for zone, text in begins.items():
            name, sheet = f"{zone} {at}", since if at >= instant(text) else before
            history.template(at, name, "marketing", SAUDI, number=NUMBERS[zone])
            history.delivered(at, name)
            expected[name] = (str(sheet.effective), sheet.price("Saudi Arabia", "marketing"))
    said = await history.replayed()

    assert expected == said.decisions("rate_card", "price")
    assert {name: (price,) for name, (_, price) in expected.items()} == said.settles("price")
    assert {day, str(before.effective)} == {card for card, _ in expected.values()}


async def test_at_one_instant_on_three_sides_of_october():
    """At noon in London on 30 September it is October in Auckland: a text uses the free tier there and is simply free elsewhere."""
    history, at = lived_by(AUCKLAND, UTC, ANGELES), instant("2026-09-30T11:00")
    for zone in (AUCKLAND, UTC, ANGELES):
        history.wrote(at, GERMAN, number=NUMBERS[zone])
        history.text(at, f"text {zone}", GERMAN, number=NUMBERS[zone])
        history.template(at, f"utility {zone}", "utility", GERMAN, number=NUMBERS[zone])
    said = await history.replayed()
    still = {
        f"{what} {zone}": ("free_customer_service", "2026-07-01", "0", None)
        for what in ("text", "utility")
        for zone in (UTC, ANGELES)
    }

    assert still | {
        f"text {AUCKLAND}": ("within_free_tier", "2026-10-01", "0", 999),
        f"utility {AUCKLAND}": ("charged_message", "2026-10-01", SERVICE, None),
    } == said.decisions("reason", "rate_card", "price", "free_remaining")


@pytest.mark.parametrize(
    ("month", "begins"),
    [
        pytest.param(
            "2026-11", {AUCKLAND: "2026-10-31T11:00", UTC: "2026-11-01T00:00", ANGELES: "2026-11-01T07:00"}, id="November"
        ),
        pytest.param(
            "2026-12", {AUCKLAND: "2026-11-30T11:00", UTC: "2026-12-01T00:00", ANGELES: "2026-12-01T08:00"}, id="December"
        ),
        pytest.param(
            "2027-01", {AUCKLAND: "2026-12-31T11:00", UTC: "2027-01-01T00:00", ANGELES: "2027-01-01T08:00"}, id="January"
        ),
    ],
)
async def test_a_free_tier_is_whole_again_at_each_accounts_midnight(month, begins):
    """The last text of the old month is charged and the first one of the new month free; none knows of the others' months."""
    history = lived_by(*begins)
    for zone in begins:
        history.used(instant(min(begins.values())) - 3600, 1000, NUMBERS[zone])
    expected = {}
    for at in sorted(instant(text) + late for text in begins.values() for late in (-1, 0)):
        for zone, text in begins.items():
            name, new = f"{zone} {at}", at >= instant(text)
            history.wrote(at, GERMAN, number=NUMBERS[zone])
            history.text(at, name, GERMAN, number=NUMBERS[zone])
            history.delivered(at, name)
            earlier = sum(1 for other, (free, _) in expected.items() if other.startswith(zone) and free)
            expected[name] = (new, 999 - earlier if new else 0)
    said = await history.replayed()

    assert {name: (not free, "0" if free else SERVICE, left) for name, (free, left) in expected.items()} == (
        said.decisions("charged", "price", "free_remaining")
    )
    assert {name: (not free, "0" if free else SERVICE) for name, (free, _) in expected.items()} == said.settles(
        "charged", "price"
    )
    assert {True, False} == {free for free, _ in expected.values()}


# --------------------------------------------------------------------------------------------------------------------- the bill

DAYS_OF_CHANGE = [
    pytest.param(ANGELES, "2026-03-08", 23, id="spring in Los Angeles"),
    pytest.param(ANGELES, "2026-11-01", 25, id="autumn in Los Angeles, a month's first day"),
    pytest.param(AUCKLAND, "2026-04-05", 25, id="autumn in Auckland"),
    pytest.param(AUCKLAND, "2026-09-27", 23, id="spring in Auckland"),
    pytest.param(SANTIAGO, "2026-09-06", 23, id="spring in Santiago, where midnight is skipped"),
    pytest.param(SANTIAGO, "2026-04-04", 25, id="autumn in Santiago, at midnight"),
    pytest.param(UTC, "2026-11-01", 24, id="nowhere"),
]


@pytest.mark.parametrize(("zone", "day", "hours"), DAYS_OF_CHANGE)
async def test_a_day_of_the_bill_is_a_local_day(ledger, redis_url, monkeypatch, zone, day, hours):
    """A message every half hour, for three days: a line for each day, with as many as the day has half hours."""
    keep_ledger(monkeypatch, redis_url)
    history, noon = lived_by(zone), dt.date.fromisoformat(day)
    around = [noon + dt.timedelta(days=n) for n in (-1, 0, 1)]
    begin, end = (noon + dt.timedelta(days=n) for n in (-2, 3))
    moments = [at for at in half_hours(str(begin), str(end)) if day_there(at, zone) in around]
    for at in moments:
        history.template(at, str(at), "marketing", SAUDI, number=NUMBERS[zone])
        history.delivered(at, str(at))
    said = await history.replayed()
    spend, now = history.engine(ledger).spend, (moments[-1] + 1) * 1000
    lines = {
        line["day"]: line
        for month in {str(each)[:7] for each in around}
        for line in (await spend.lines(WABAS[zone], month, now=now))["lines"]
    }
    sends = dict(zip(map(str, around), (48, 2 * hours, 48), strict=True))
    cost = {
        str(each): plain(str(sends[str(each)] * Decimal(sheet_on("USD", each).price("Saudi Arabia", "marketing"))))
        for each in around
    }

    assert sum(sends.values()) == said.summary.charged
    assert {name: (sends[name], cost[name]) for name in sends} == {
        name: (line["settled"]["sends"], line["settled"]["total"]) for name, line in lines.items()
    }
    assert {name: (sends[name], cost[name]) for name in sends} == {
        name: (line["predicted"]["sends"], line["predicted"]["total"]) for name, line in lines.items()
    }


async def test_months_and_days_of_three_bills(ledger, redis_url, monkeypatch):
    """
    From 29 September to 2 November, a text and a template every four hours in each zone.

    Every month's bill, every day's line and every free tier is that of the account's own calendar.
    """
    keep_ledger(monkeypatch, redis_url)
    zones = (AUCKLAND, UTC, ANGELES)
    history, settled, used = lived_by(*zones), Counter(), Counter()
    for at in half_hours("2026-09-29T00:00", "2026-11-03T00:00")[::8]:
        for zone in zones:
            day, number = day_there(at, zone), NUMBERS[zone]
            sheet, service = sheet_on("USD", day), Decimal(0)
            if str(day) == "2026-10-20" and used[zone, "2026-10"] < 970:
                history.used(at, 970, number)
                used[zone, "2026-10"] = 970
            history.wrote(at, GERMAN, number=number)
            history.text(at, f"text {zone} {at}", GERMAN, number=number)
            history.template(at, f"marketing {zone} {at}", "marketing", SAUDI, number=number)
            history.delivered(at, f"text {zone} {at}", f"marketing {zone} {at}")
            if sheet.price("Germany", "service"):
                used[zone, str(day)[:7]] += 1
                service = Decimal(SERVICE) if used[zone, str(day)[:7]] > 1000 else Decimal(0)
            for category, price in (("service", service), ("marketing", Decimal(sheet.price("Saudi Arabia", "marketing")))):
                settled[zone, str(day)[:7], category] += price
                settled[zone, str(day), category] += price
    said = await history.replayed()
    spend, now = history.engine(ledger).spend, instant("2026-11-03T00:00") * 1000
    reports, days = {}, {}
    for zone in zones:
        for month in ("2026-09", "2026-10", "2026-11"):
            report = await spend.report(WABAS[zone], month, now=now)
            assert report["predicted"] == report["settled"]
            assert {"sends": 0, "total": "0"} == report["open"]
            reports |= {(zone, month, name): Decimal(cost) for name, cost in report["settled"]["by_category"].items()}
            for line in (await spend.lines(WABAS[zone], month, now=now))["lines"]:
                days[zone, line["day"], line["category"]] = Decimal(line["settled"]["total"])
    tiers = {
        (zone, month): [tier["used"] for tier in (await spend.report(WABAS[zone], month, now=now))["free_tier"]]
        for zone in zones
        for month in ("2026-09", "2026-10", "2026-11")
    }

    assert dict(settled) == reports | days
    assert Decimal(said.summary.spend["USD"]) == sum(reports.values())
    assert {(zone, month): [used[zone, month]] if used[zone, month] else [] for zone, month in tiers} == tiers
    assert all(reports[zone, "2026-10", "service"] > 0 for zone in zones)


@pytest.mark.parametrize("zone", [AUCKLAND, UTC, ANGELES])
async def test_what_is_on_its_way_over_the_months_end(ledger, redis_url, monkeypatch, zone):
    """Quoted and open on the bill of the month in which it was sent, settled on that of the month in which it arrived."""
    keep_ledger(monkeypatch, redis_url)
    history = lived_by(zone)
    midnight = instant({AUCKLAND: "2026-10-31T11:00", UTC: "2026-11-01T00:00", ANGELES: "2026-11-01T07:00"}[zone])
    for name in ("arrives", "fails", "waits"):
        history.template(midnight - 1, name, "marketing", GERMAN, number=NUMBERS[zone])
    history.delivered(midnight, "arrives")
    history.failed(midnight, "fails")
    await history.replayed()
    spend = history.engine(ledger).spend
    october, november = [await spend.report(WABAS[zone], month, now=midnight * 1000) for month in ("2026-10", "2026-11")]

    assert [("0.4095", 3), ("0", 0)] == [
        (month["predicted"]["total"], month["predicted"]["sends"]) for month in (october, november)
    ]
    assert [{"sends": 1, "total": "0.1365"}, {"sends": 0, "total": "0"}] == [month["open"] for month in (october, november)]
    assert [("0", 0), ("0.1365", 1)] == [(month["settled"]["total"], month["settled"]["sends"]) for month in (october, november)]
