"""The account's calendar, at the edges where clocks are changed."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import pytest

from gatekeeper.core.calendar import local_day, midnight, month, month_end

HOUR = 3_600_000


def at(text: str) -> int:
    """Read an instant in UTC."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 1000


def zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


@pytest.mark.parametrize(
    ("name", "day", "start"),
    [
        ("UTC", "2026-10-01", "2026-10-01T00:00:00"),
        ("America/Los_Angeles", "2026-10-01", "2026-10-01T07:00:00"),
        ("America/Los_Angeles", "2026-12-01", "2026-12-01T08:00:00"),
        # Half and quarter hours.
        ("Asia/Kolkata", "2026-10-01", "2026-09-30T18:30:00"),
        ("Asia/Kathmandu", "2026-10-01", "2026-09-30T18:15:00"),
        ("Australia/Lord_Howe", "2026-10-05", "2026-10-04T13:00:00"),
        # The clock skips midnight: the day begins at the skip.
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00:00"),
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00"),
        # Midnight comes twice: the day begins at the first.
        ("America/Havana", "2026-11-01", "2026-11-01T04:00:00"),
        ("Atlantic/Azores", "2026-10-25", "2026-10-25T00:00:00"),
        # Far from Greenwich on either side.
        ("Pacific/Kiritimati", "2026-10-01", "2026-09-30T10:00:00"),
        ("Pacific/Pago_Pago", "2026-10-01", "2026-10-01T11:00:00"),
    ],
)
def test_a_day_begins_at_its_first_midnight(name, day, start):
    """Both sides of the boundary fall on the right day."""
    day = dt.date.fromisoformat(day)
    boundary = midnight(day, zone(name))

    assert at(start) == boundary
    assert day == local_day(boundary, zone(name))
    assert day - dt.timedelta(days=1) == local_day(boundary - 1, zone(name))


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("America/Santiago", "2026-09-06", 23),
        ("America/Havana", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Asia/Kolkata", "2026-03-08", 24),
    ],
)
def test_a_day_is_as_long_as_its_clock_says(name, day, hours):
    """Days are 23 to 25 hours long where clocks are changed."""
    day = dt.date.fromisoformat(day)
    start, end = midnight(day, zone(name)), midnight(day + dt.timedelta(days=1), zone(name))

    assert hours * HOUR == end - start
    assert {day} == {local_day(instant, zone(name)) for instant in range(start, end, HOUR // 4)}


def found_afresh(instant: int, name: str) -> dt.date:
    """Ask for another day first, so that nothing remembered answers."""
    local_day(0, zone(name))
    return local_day(instant, zone(name))


@pytest.mark.parametrize("name", ["America/St_Johns", "Pacific/Apia", "America/Toronto", "America/Sao_Paulo", "Europe/London"])
def test_days_follow_one_another_without_a_gap(name):
    """No instant is outside its day, even where the clock went back over midnight or a date was left out."""
    instants = [
        instant
        for begin in ("2010-11-06", "2011-12-29", "2018-11-03", "1919-03-30", "2026-03-28")
        for instant in range(at(begin), at(begin) + 72 * HOUR, HOUR // 4)
    ]
    outside = [
        instant
        for instant in instants
        for day in (found_afresh(instant, name),)
        if not midnight(day, zone(name)) <= instant < midnight(day + dt.timedelta(days=1), zone(name))
    ]

    assert [] == outside


def test_answers_do_not_depend_on_what_was_asked_before():
    """Zones and days asked for in turn do not mix."""
    instants = [at("2026-10-01T03:00:00"), at("2026-09-30T12:00:00"), at("2026-10-01T08:00:00")]
    found = [
        [local_day(instant, zone(name)).day for name in ("UTC", "America/Los_Angeles", "Asia/Tokyo")] for instant in instants
    ]

    assert [[1, 30, 1], [30, 30, 30], [1, 1, 1]] == found


@pytest.mark.parametrize(
    ("name", "instant", "which", "end"),
    [
        ("UTC", "2026-09-30T23:59:59", "2026-09", "2026-10-01T00:00:00"),
        ("UTC", "2026-10-01T00:00:00", "2026-10", "2026-11-01T00:00:00"),
        ("UTC", "2026-12-31T12:00:00", "2026-12", "2027-01-01T00:00:00"),
        ("UTC", "2024-02-29T12:00:00", "2024-02", "2024-03-01T00:00:00"),
        ("UTC", "2026-02-01T00:00:00", "2026-02", "2026-03-01T00:00:00"),
        ("America/Los_Angeles", "2026-11-01T06:59:59", "2026-10", "2026-11-01T07:00:00"),
        ("America/Los_Angeles", "2026-11-01T07:00:00", "2026-11", "2026-12-01T08:00:00"),
        ("Asia/Kolkata", "2026-09-30T18:29:59", "2026-09", "2026-09-30T18:30:00"),
        ("Asia/Kolkata", "2026-09-30T18:30:00", "2026-10", "2026-10-31T18:30:00"),
    ],
)
def test_a_month_ends_at_the_accounts_midnight(name, instant, which, end):
    """A month is the account's own: it ends when the first day of the next one begins there."""
    assert (which, at(end)) == (month(at(instant), zone(name)), month_end(at(instant), zone(name)))
