"""
Own what a data point of Meta's says: its span, what it counts, how many and at what cost.

Every field may be wrong, and is refused with its place; a country or a category that is new is nothing wrong.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from decimal import Decimal

import msgspec

from gatekeeper.core.calendar import local_day, midnight
from gatekeeper.core.errors import InputError
from gatekeeper.core.word import REFERRAL, Word
from gatekeeper.finance.sources import Raw, Source, shown

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_SECOND_MS = 1000
_DAY = dt.timedelta(days=1)
_UNIX = re.compile(r"\d{9,10}", re.ASCII)
_LATEST_MS = 10**13
_A_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_A_DATE = re.compile(r"(?P<month>[A-Za-z]{3,9})\.? (?P<day>\d{1,2}),? (?P<year>\d{4})", re.ASCII)
_COUNT = re.compile(r"(\d{1,15})(\.0+)?", re.ASCII)
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,40})?([eE][+-]?\d{1,2})?", re.ASCII)
_LARGEST = 10**12
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_LONGEST_TEXT = 64


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A data point, understood. *start* and *end* in Unix milliseconds; None: Meta was not asked, or does not say."""

    where: str
    start: int
    end: int
    country: str | None
    category: str | None
    type: str | None
    phone_number: str | None
    tier: str | None
    volume: int
    cost: Decimal | None

    @property
    def span(self) -> tuple[int, int]:
        """When it runs from and to."""
        return self.start, self.end

    @property
    def booked(self) -> str | None:
        """The category that the bill has it under: Meta lists a free entry by its messages' own, and says this one in webhooks."""
        free_entry = self.category is not None and Word(type=self.type, category=self.category).free_entry
        return REFERRAL if free_entry else self.category

    @property
    def counted(self) -> tuple[object, ...]:
        """What it is of: no two points of one answer have it in common."""
        return (self.span, self.country, self.category, self.type, self.phone_number, self.tier)

    def day(self, zone: zoneinfo.ZoneInfo) -> dt.date:
        """The day that most of it lies around."""
        return local_day((self.start + self.end) // 2, zone)


def understood(source: Source, zone: zoneinfo.ZoneInfo, currency: str) -> tuple[Point, ...]:
    """Read every data point of an account in *zone* that is billed in *currency*."""
    return tuple(_point(raw, zone, currency) for raw in source.points)


def _point(raw: Raw, zone: zoneinfo.ZoneInfo, currency: str) -> Point:
    start, end = _span(raw, zone)
    billed = _text(raw, "currency")
    if billed is not None and billed.upper() != currency:
        raise InputError(f"{raw.place('currency')}: {shown(billed)} is not the {currency} of this account")
    return Point(
        where=raw.where,
        start=start,
        end=end,
        country=_text(raw, "country"),
        category=_word(raw, "pricing_category"),
        type=_word(raw, "pricing_type"),
        phone_number=_text(raw, "phone_number"),
        tier=_text(raw, "tier"),
        volume=_volume(raw),
        cost=_cost(raw),
    )


def _span(raw: Raw, zone: zoneinfo.ZoneInfo) -> tuple[int, int]:
    """
    Read when a point runs from and to.

    A day or a month may be written as such, and then needs no end. A day as an end is not part of the span, unless nothing would
    be left: which month it is of does not depend on that.
    """
    start, after = _time(raw, "start", zone)
    if raw.fields.get("end") is not None:
        end, _ = _time(raw, "end", zone)
        if end < start or (end == start and after is None):
            raise InputError(f"{raw.place('end')}: is not after the start")
        return start, end if after is None else max(end, midnight(local_day(start, zone) + _DAY, zone))
    if after is None:
        raise InputError(f"{raw.where}: has no end")
    return start, after


def _time(raw: Raw, field: str, zone: zoneinfo.ZoneInfo) -> tuple[int, int | None]:
    """Read a moment, and where a day or a month is written, its end."""
    text = _text(raw, field)
    if text is None:
        raise InputError(f"{raw.where}: has no {field}")
    try:
        moment, after = _moment(text, zone)
    except (ValueError, OverflowError):
        moment, after = -1, None
    if not 0 <= moment < _LATEST_MS:
        raise InputError(f"{raw.place(field)}: {shown(text)} is not a time: write Unix seconds, 2026-10-01 or 2026-10")
    return moment, after


def _moment(text: str, zone: zoneinfo.ZoneInfo) -> tuple[int, int | None]:
    if _UNIX.fullmatch(text):
        return int(text) * _SECOND_MS, None
    if found := _A_MONTH.fullmatch(text):
        first = dt.date(int(found[1]), int(found[2]), 1)
        return midnight(first, zone), midnight((first + 31 * _DAY).replace(day=1), zone)
    if found := _A_DATE.fullmatch(text):
        number = next((n for n, name in enumerate(_MONTHS, 1) if name.startswith(found["month"].casefold())), 0)
        moment = dt.datetime(int(found["year"]), number, int(found["day"]))  # noqa: DTZ001 - a day, and zoned below
    else:
        moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None and moment.time() == dt.time.min:
        return midnight(moment.date(), zone), midnight(moment.date() + _DAY, zone)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return int(moment.timestamp()) * _SECOND_MS, None


def _text(raw: Raw, field: str) -> str | None:
    value = raw.fields.get(field)
    if value is None:
        return None
    text = value.strip() if isinstance(value, str) else ""
    if not (text.isprintable() and 0 < len(text) <= _LONGEST_TEXT):
        raise InputError(f"{raw.place(field)}: {_hidden(field, value)} is not a {field.replace('_', ' ')}")
    return text


def _word(raw: Raw, field: str) -> str | None:
    """Read a category or a type: `AUTHENTICATION-INTERNATIONAL` is `authentication_international`."""
    text = _text(raw, field)
    if text is None:
        return None
    word = re.sub(r"[\s_-]+", "_", text).casefold()
    if not _WORD.fullmatch(word):
        raise InputError(f"{raw.place(field)}: {shown(text)} is not a {field.replace('_', ' ')}")
    return word


def _volume(raw: Raw) -> int:
    text = raw.fields.get("volume")
    if text is None:
        raise InputError(f"{raw.where}: has no volume; ask Meta for metric_types(VOLUME,COST) or for none in particular")
    found = _COUNT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InputError(f"{raw.place('volume')}: {shown(text)} is not a number of messages")
    return int(found[1])


def _cost(raw: Raw) -> Decimal | None:
    text = raw.fields.get("cost")
    if text is None:
        return None
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text) or Decimal(text) >= _LARGEST:
        raise InputError(f"{raw.place('cost')}: {shown(text)} is not an amount of money such as 11.96")
    return Decimal(text)


def _hidden(field: str, value: object) -> str:
    return "what stands there" if field == "phone_number" else shown(value)
