"""
Own which market a recipient belongs to, and which country: by calling code and network prefix, or by the country of a BSUID.

The tables are data: `markets.csv` holds every country, `markets_history.csv` the markets of those that moved. A country that
neither names is `Other`. Source: Meta, "Pricing", country calling codes, copies of November 2025 and July 2026.

Some territories share another country's calling code, and Meta's page can be read in two ways: they count as that country, or as one
that it does not list. `markets_in_doubt.csv` names them: a number there has the other country's market, and perhaps the territory's own.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gatekeeper.core.data import read, rows
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.recipients import is_bsuid

COUNTRIES_FILE = "markets.csv"
HISTORY_FILE = "markets_history.csv"
IN_DOUBT_FILE = "markets_in_doubt.csv"
OTHER = "Other"
_REMEMBERED = 4096


class Market(msgspec.Struct, frozen=True):
    """A row of the rate card; *perhaps*: another row by which Meta may charge instead, empty where there is no doubt."""

    name: str
    perhaps: str = ""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a prefix or a country code leads to; `since` lists its markets, latest first, the last one without a beginning."""

    country: str | None
    since: tuple[tuple[dt.date, Market], ...]

    def market(self, day: dt.date) -> Market:
        """Say which market this was on *day*."""
        for beginning, market in self.since:
            if day >= beginning:
                return market
        return _OTHER


_OTHER = Market(OTHER)
_NOWHERE = Place(country=None, since=((dt.date.min, _OTHER),))


class Markets:
    """The world as a rate card sees it."""

    def __init__(self, by_country: Mapping[str, Place], by_prefix: Mapping[str, Place]) -> None:
        self._by_country = by_country
        self._by_prefix = by_prefix
        self._by_name = {_plain(market.name): market.name for place in by_country.values() for _, market in place.since}
        self._reach = max(map(len, by_prefix), default=0)
        # Callers' numbers cluster in few prefixes; a flood of others must not grow the process.
        self._longest = functools.lru_cache(maxsize=_REMEMBERED)(self._found)

    @classmethod
    def load(cls, folder: Path) -> Markets:
        """Read the tables from *folder*."""
        return parse(*(read(folder / file) for file in (COUNTRIES_FILE, HISTORY_FILE, IN_DOUBT_FILE)))

    def market(self, recipient: str, day: dt.date) -> str | None:
        """Say which market *recipient* (digits or a BSUID) was in on the account's local *day*; None: it is neither."""
        charged = self.charged(recipient, day)
        return None if charged is None else charged.name

    def charged(self, recipient: str, day: dt.date) -> Market | None:
        """Say which market *recipient* was charged by on *day*, and which one instead perhaps; None: it is neither number nor BSUID."""
        place = self._place(recipient)
        return None if place is None else place.market(day)

    def country(self, recipient: str) -> str | None:
        """Say which country (ISO 3166) *recipient* belongs to; None: not known, or several share its prefix."""
        place = self._place(recipient)
        return None if place is None else place.country

    def of_country(self, iso2: str, day: dt.date) -> str | None:
        """Say which market a country (ISO 3166) was in on *day*; None: the tables do not have it."""
        place = self._by_country.get(iso2)
        return None if place is None else place.market(day).name

    @property
    def names(self) -> list[str]:
        """The names of all markets, present and past."""
        return sorted(set(self._by_name.values()))

    def has(self, market: str) -> bool:
        """Whether a market is called so, now or once."""
        return market in self._by_name.values()

    def named(self, text: str) -> str | None:
        """Say which market *text* means: Meta writes `&` or `and`, and some partners capitals; None: none of ours."""
        return self._by_name.get(_plain(text))

    def prefix(self, number: str) -> str:
        """The leading digits of *number* that decide its place; empty where it has none."""
        lengths = range(min(self._reach, len(number)), 0, -1)
        return next((number[:length] for length in lengths if number[:length] in self._by_prefix), "")

    def _place(self, recipient: str) -> Place | None:
        # No calling code begins with 0: that is a number without its country.
        if recipient.isdigit() and recipient.isascii():
            return None if recipient[0] == "0" else self._longest(recipient[: self._reach])
        if is_bsuid(recipient):
            return self._by_country.get(recipient[:2].upper(), _NOWHERE)
        return None

    def _found(self, number: str) -> Place:
        return self._by_prefix.get(self.prefix(number), _NOWHERE)


def parse(countries: str, history: str, in_doubt: str = "iso2,in_doubt_with") -> Markets:
    """Read the tables from their text."""
    moves: dict[str, list[tuple[dt.date, str]]] = {}
    for where, row in rows(history, HISTORY_FILE, "iso2", "market", "valid_from"):
        try:
            moves.setdefault(row["iso2"], []).append((dt.date.fromisoformat(row["valid_from"]), row["market"]))
        except ValueError:
            raise ConfigError(f"{where}, valid_from: {row['valid_from']!r} is not a date") from None

    by_country: dict[str, Place] = {}
    exact: dict[str, Place] = {}
    for where, row in rows(countries, COUNTRIES_FILE, "iso2", "calling_code", "network_prefix_if_needed", "market"):
        iso2, market = row["iso2"], row["market"]
        if iso2 in by_country:
            raise ConfigError(f"{where}, iso2: {iso2!r} stands here twice")
        if not market:
            raise ConfigError(f"{where}, market: is empty")
        place = by_country[iso2] = Place(country=iso2, since=_since(moves.pop(iso2, []), market, where))
        for network in row["network_prefix_if_needed"].split(";"):
            prefix = row["calling_code"] + network.strip()
            if not prefix.isdigit():
                raise ConfigError(f"{where}, calling_code: {prefix!r} is not a number")
            exact[prefix] = _shared(exact[prefix], place, where) if prefix in exact else place
    if moves:
        raise ConfigError(f"{HISTORY_FILE}, iso2: {min(moves)!r} does not stand in {COUNTRIES_FILE}")
    for where, row in rows(in_doubt, IN_DOUBT_FILE, "iso2", "in_doubt_with"):
        for column in ("iso2", "in_doubt_with"):
            if row[column] not in by_country:
                raise ConfigError(f"{where}, {column}: {row[column]!r} does not stand in {COUNTRIES_FILE}")
        own = by_country[row["iso2"]]
        shared = _in_doubt(by_country[row["in_doubt_with"]], own)
        exact |= {prefix: shared for prefix, place in exact.items() if place is own}
    return Markets(by_country, exact)


def _in_doubt(taken: Place, own: Place) -> Place:
    """Say of numbers that Meta may count to either place: they are *taken*'s, and perhaps charged as the territory's *own*."""
    days = sorted({day for place in (taken, own) for day, _ in place.since}, reverse=True)
    markets = ((day, taken.market(day).name, own.market(day).name) for day in days)
    return Place(
        country=taken.country,
        since=tuple((day, Market(name, "" if perhaps == name else perhaps)) for day, name, perhaps in markets),
    )


def _since(moves: list[tuple[dt.date, str]], market: str, where: str) -> tuple[tuple[dt.date, Market], ...]:
    """Put a country's markets latest first; the days before the first known one are taken for its."""
    if not moves:
        return ((dt.date.min, Market(market)),)
    latest_first = sorted(moves, reverse=True)
    if latest_first[0][1] != market:
        raise ConfigError(f"{where}, market: {market!r} here, but last {latest_first[0][1]!r} in {HISTORY_FILE}")
    return tuple((day, Market(name)) for day, name in (*latest_first[:-1], (dt.date.min, latest_first[-1][1])))


def _shared(one: Place, other: Place, where: str) -> Place:
    """Join two countries with one prefix: of a number there only the market is known."""
    if one.since != other.since:
        raise ConfigError(f"{where}, calling_code: shares a prefix with {one.country}, whose market is another")
    return Place(country=None, since=one.since)


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("&", " and ").split())
