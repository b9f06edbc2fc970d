"""
Own the account's calendar: which local day and month an instant falls in, and when they begin and end.

Meta switches cards and regimes, and resets months, at 12 am in the account's time zone. A day runs from its first midnight up
to the next day's; where the clock skips midnight, from the instant of the skip.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo

import msgspec

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
_DAY = dt.timedelta(days=1)
_LONGEST_MONTH = dt.timedelta(days=31)


class _Span(msgspec.Struct, frozen=True, kw_only=True):
    """One local day, the instants that it runs between, and its month."""

    start: int
    end: int
    day: dt.date
    month: str
    month_end: int


# The day last asked for in each zone: sends come in time order, so it is nearly always the one asked for next.
_latest: dict[zoneinfo.ZoneInfo, _Span] = {}


def midnight(day: dt.date, zone: zoneinfo.ZoneInfo) -> int:
    """Say when *day* begins in *zone*."""
    # In a gap fold 0 counts by the offset before it, and so names the instant of the skip; in a fold it names the first pass.
    local = dt.datetime(day.year, day.month, day.day, tzinfo=zone)
    return (local - _EPOCH) // _MILLISECOND


def local_day(at: int, zone: zoneinfo.ZoneInfo) -> dt.date:
    """Say which day it is in *zone* at the instant *at*."""
    return _span(at, zone).day


def month(at: int, zone: zoneinfo.ZoneInfo) -> str:
    """Say which month it is in *zone* at the instant *at*, as `2026-10`."""
    return _span(at, zone).month


def month_end(at: int, zone: zoneinfo.ZoneInfo) -> int:
    """Say when the month that *at* falls in ends in *zone*: the first instant of the next one."""
    return _span(at, zone).month_end


def _span(at: int, zone: zoneinfo.ZoneInfo) -> _Span:
    span = _latest.get(zone)
    if span is None or not span.start <= at < span.end:
        span = _latest[zone] = _find(at, zone)
    return span


def _find(at: int, zone: zoneinfo.ZoneInfo) -> _Span:
    day = (_EPOCH + at * _MILLISECOND).astimezone(zone).date()
    # Where the clock goes back over midnight, the wall shows the old date again although the day has begun.
    if at >= midnight(day + _DAY, zone):
        day += _DAY
    elif at < midnight(day, zone):
        day -= _DAY
    next_month = (day.replace(day=1) + _LONGEST_MONTH).replace(day=1)
    return _Span(
        start=midnight(day, zone),
        end=midnight(day + _DAY, zone),
        day=day,
        month=f"{day:%Y-%m}",
        month_end=midnight(next_month, zone),
    )
