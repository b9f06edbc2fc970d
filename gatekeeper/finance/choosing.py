"""
Own which data points of a file count: each once, none beside another that tells the same, and those of one month.

Meta cuts days and months at midnight in the account's time zone, and so does the bill.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from gatekeeper.core.calendar import month
from gatekeeper.core.errors import InputError
from gatekeeper.finance.points import Point

_ALWAYS_NAMED = ("category", "type", "phone_number")
_LONGEST_MONTH_MS = dt.timedelta(days=32) // dt.timedelta(milliseconds=1)  # of 31 days and a clock that was put back


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The data points of one month, and what a reader should know of them."""

    month: str
    points: tuple[Point, ...]
    notes: tuple[str, ...]


def consistent(points: Sequence[Point]) -> tuple[tuple[Point, ...], tuple[str, ...]]:
    """
    Take each data point once, however often it stands in the file; with it, what a reader should know.

    InputError: two points contradict each other, or come of different questions, so that something would count twice.
    """
    once: dict[tuple[object, ...], Point] = {}
    for point in points:
        first = once.setdefault(point.counted, point)
        if (first.volume, first.cost) != (point.volume, point.cost):
            raise InputError(f"{point.where}: is the same data point as {_place(first)}, with other figures")
    spans = {point.span: point for point in once.values()}
    for before, point in pairwise(spans[span] for span in sorted(spans)):
        if point.start < before.end:
            raise InputError(f"{point.where}: runs over the time of {_place(before)}: these are answers to different questions")
    for name in _ALWAYS_NAMED:
        said = [getattr(point, name) is not None for point in once.values()]
        if any(said) and not all(said):
            lacking = next(point for point in once.values() if getattr(point, name) is None)
            raise InputError(
                f"{lacking.where}: names no {name.replace('_', ' ')}, and others do: these are answers to different questions"
            )
    notes = []
    if again := len(points) - len(once):
        notes.append(f"data points that stand in the file again, and count once: {again}")
    nowhere = sum(point.country is None for point in once.values())
    if 0 < nowhere < len(once):
        notes.append(f"data points that name no country, while others do: {nowhere}")
    return tuple(once.values()), tuple(notes)


def in_month(points: Sequence[Point], wanted: str | None, zone: zoneinfo.ZoneInfo, name: str) -> Chosen:
    """Choose the points of the month *wanted*; None: of the only month that there is."""
    by_month: dict[str, list[Point]] = {}
    over = 0
    for point in points:
        by_month.setdefault(f"{point.day(zone):%Y-%m}", []).append(point)
        if month(point.start, zone) != month(point.end - 1, zone):
            over += 1
            if point.end - point.start > _LONGEST_MONTH_MS:
                raise InputError(f"{point.where}: runs over more than a month; ask Meta for granularity(DAILY)")
    listed = ", ".join(sorted(by_month))
    if wanted is None:
        if len(by_month) != 1:
            has = f"has data points of {listed}; choose one" if listed else "has no data point; say which month it is of"
            raise InputError(f"{name}: {has} with --month")
        wanted = next(iter(by_month))
    notes = []
    if points and wanted not in by_month:
        raise InputError(f"{name}: has no data point of {wanted}; it has {listed}")
    left_out = {other: len(each) for other, each in sorted(by_month.items()) if other != wanted}
    if left_out:
        told = ", ".join(f"{count} of {other}" for other, count in left_out.items())
        notes.append(f"data points of other months are left out: {told}")
    if over:
        notes.append(f"data points that run over a month's end in {zone.key}, and count where most of each lies: {over}")
    if not points:
        notes.append("the file has no data point")
    return Chosen(month=wanted, points=tuple(by_month.get(wanted, ())), notes=tuple(notes))


def _place(point: Point) -> str:
    return point.where.partition(": ")[2] or point.where
