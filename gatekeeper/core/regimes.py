"""
Own the decision tables: how a regime file and `platform.toml` are read, checked and asked.

A regime is an ordered list of cases; for one product, the first case whose clocks are open says what a message is. What Meta
may change on a quarter day is in those files. Here is only their shape.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.vocabulary import CONVERSATION, Clock, Product, Reason, micros

HOUR_MS = 3_600_000
ANY_CONVERSATION = "*"
OWN_PRODUCT = "{product}"
JOINED = "joined"
WINDOW_AT_SEND = "window_at_send"
_T = TypeVar("_T")
_CONVERSATION = "conversation:"


class Scope(StrEnum):
    """What shares one allowance."""

    WABA = "waba"
    PHONE_NUMBER = "phone_number"


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Allowance(_Row, frozen=True, kw_only=True):
    """A free tier: so many a month, counted for each *per*."""

    per: Scope
    free: int


class Case(_Row, frozen=True, kw_only=True, rename={"products": "for"}):
    """
    One row of a regime.

    `needs`: any of these clocks is open (none: always). `category` is what Meta will report: a name, the product's own, or that of
    the conversation joined. `price` is the rate card's column; without one the case is free. `when` is a flag of the account.
    """

    name: str
    products: tuple[str, ...]
    reason: Reason
    needs: tuple[str, ...] = ()
    unconfirmed: bool = False
    when: str = ""
    until: date | None = None
    opens: str = ""
    category: str = ""
    price: str = ""
    tiers: bool = False
    allowance: str = ""


class Regime(_Row, frozen=True, kw_only=True):
    """The rules of charging in force from one date; `rates` is the kind of rate card that they are priced by."""

    name: str
    effective: date
    rates: str
    case: tuple[Case, ...]
    allowance: dict[str, Allowance] = {}

    @property
    def has_conversations(self) -> bool:
        """Whether a message of this regime can open a conversation."""
        return any(case.opens.startswith(_CONVERSATION) for case in self.case)


class _Permission(_Row, frozen=True, kw_only=True):
    needs_window: tuple[Product, ...]
    needs_thread: tuple[Product, ...]
    needs_consent: tuple[Product, ...]
    answers: tuple[Product, ...]


class _Window(_Row, frozen=True, kw_only=True):
    not_opened_by: tuple[str, ...]


class _Length(_Row, frozen=True, kw_only=True):
    clock: str
    effective: date
    hours: int


class _Watch(_Row, frozen=True, kw_only=True):
    clock: str


class _AiProvider(_Row, frozen=True, kw_only=True):
    countries: tuple[str, ...]
    effective: date
    until: date = date.max


class _UnlistedRate(_Row, frozen=True, kw_only=True):
    column: str
    market: str
    effective: date
    until: date = date.max
    used_from: date = date.min
    rates: dict[str, str]

    def __post_init__(self) -> None:
        for rate in self.rates.values():
            if micros(rate) < 0:
                raise ValueError(f"{rate!r} is less than nothing")


class _International(_Row, frozen=True, kw_only=True):
    countries: tuple[str, ...]
    effective: date


class _Limits(_Row, frozen=True, kw_only=True):
    throughput_ms: int
    pair_ms: int
    pair_burst: int
    messaging_ms: int


class Platform(_Row, frozen=True, kw_only=True):
    """`platform.toml`: what holds across regimes."""

    products: dict[str, tuple[Product, ...]]
    permission: _Permission
    window: _Window
    length: tuple[_Length, ...]
    price_column: dict[str, str]
    counts_with: dict[str, str]
    limits: _Limits
    watch: _Watch
    ai_provider: tuple[_AiProvider, ...]
    unlisted_rate_of: tuple[_UnlistedRate, ...] = msgspec.field(default=(), name="unlisted_rate")
    authentication_international: tuple[_International, ...]

    def length_ms(self, clock: str, day: date) -> int:
        """
        How long *clock* (a name of the data files, or of the ledger) runs when it starts on *day*, in milliseconds.

        LookupError when nothing is known of that day yet.
        """
        name = _length_name(clock)
        known = [row for row in self.length if row.clock == name and row.effective <= day]
        if not known:
            raise LookupError(f"nothing is known of {day.isoformat()}")
        return max(known, key=_effective).hours * HOUR_MS

    def charges_ai(self, country: str | None, day: date) -> bool:
        """Whether an AI provider's free-form message to *country* is charged as such on *day*."""
        return any(country in row.countries and row.effective <= day <= row.until for row in self.ai_provider)

    def unlisted_rate(self, column: str, market: str, currency: str, day: date) -> tuple[int, date] | None:
        """The rate of a category that stands on no list card, in micro-units, and the day that it is from; None: not known."""
        for row in self.unlisted_rate_of:
            in_force = max(row.effective, row.used_from) <= day <= row.until
            if in_force and (row.column, row.market) == (column, market) and currency in row.rates:
                return micros(row.rates[currency]), row.effective
        return None

    def has_international_rate(self, country: str | None, day: date) -> bool:
        """Whether authentication messages to *country* have an international rate on *day*."""
        return any(country in row.countries and row.effective <= day for row in self.authentication_international)


class Regimes:
    """All regimes, and what holds across them."""

    def __init__(self, regimes: tuple[Regime, ...], platform: Platform) -> None:
        self.platform = platform
        self._regimes = sorted(regimes, key=_effective)
        self.conversations: tuple[str, ...] = tuple(
            sorted(
                {CONVERSATION + category for regime in regimes for case in regime.case for category in _opened(case, platform)}
            )
        )

    @classmethod
    def load(cls, folder: Path) -> Regimes:
        """Read `platform.toml` and `regimes/*.toml` below *folder*; ConfigError names the file and what is wrong in it."""
        platform = _read(folder / "platform.toml", Platform)
        regimes = tuple(_read(path, Regime) for path in sorted((folder / "regimes").glob("*.toml")))
        if not regimes:
            raise ConfigError(f"{folder / 'regimes'}: no regime files")
        for regime in regimes:
            for mistake in _mistakes(regime, platform):
                raise ConfigError(f"{folder / 'regimes' / regime.name}.toml: {mistake}")
        return cls(regimes, platform)

    def __iter__(self) -> Iterator[Regime]:
        return iter(self._regimes)

    def on(self, day: date) -> Regime | None:
        """The regime in force on *day*; None before the first."""
        return next((regime for regime in reversed(self._regimes) if regime.effective <= day), None)

    def cases(self, regime: Regime, product: Product, account: Account, day: date) -> tuple[Case, ...]:
        """The rows of *regime* that are for *product* sent by *account* on *day*, in order."""
        return tuple(
            case
            for case in regime.case
            if product in _products(case, self.platform)
            and (not case.when or getattr(account, case.when))
            and (case.until is None or day <= case.until)
        )

    def clocks(self, name: str, product: Product) -> tuple[str, ...]:
        """The ledger's names of a clock as a row names it."""
        if not name.startswith(_CONVERSATION):
            return (Clock[name.upper()].value,)
        category = name.removeprefix(_CONVERSATION)
        if category == ANY_CONVERSATION:
            return self.conversations
        return (CONVERSATION + category.replace(OWN_PRODUCT, product),)


def named(text: str, product: Product) -> str:
    """*text* of a row with the product's own name in place of its placeholder."""
    return product.value if text == OWN_PRODUCT else text


def _length_name(clock: str) -> str:
    if clock.startswith((CONVERSATION, _CONVERSATION)):
        return _CONVERSATION.rstrip(":")
    return _NAMES.get(clock, clock)


_NAMES = {clock.value: clock.name.lower() for clock in Clock}


def _effective(row: Regime | _Length) -> date:
    return row.effective


def _products(case: Case, platform: Platform) -> frozenset[str]:
    return frozenset(p for name in case.products for p in platform.products.get(name, (name,)))


def _opened(case: Case, platform: Platform) -> set[str]:
    if not case.opens.startswith(_CONVERSATION):
        return set()
    category = case.opens.removeprefix(_CONVERSATION)
    return set(_products(case, platform)) if category == OWN_PRODUCT else {category}


def _read(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), kind)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _mistakes(regime: Regime, platform: Platform) -> list[str]:
    """What the types of a regime cannot say."""
    found = []
    everything: Mapping[str, object] = {**{p.value: p for p in Product}, **platform.products}
    flags = {name for name in Account.__struct_fields__ if isinstance(getattr(Account(waba_id="0"), name), bool)}
    for n, case in enumerate(regime.case):
        where = f"$.case[{n}]"
        found += [f"{where}.for: no product or set is called {name!r}" for name in case.products if name not in everything]
        if case.allowance and case.allowance not in regime.allowance:
            found.append(f"{where}.allowance: no allowance is called {case.allowance!r}")
        if case.when and case.when not in flags:
            found.append(f"{where}.when: an account has no flag called {case.when!r}")
        for clock in (*case.needs, *((case.opens,) if case.opens else ())):
            if not clock.startswith(_CONVERSATION) and clock != WINDOW_AT_SEND and clock.upper() not in Clock.__members__:
                found.append(f"{where}: no clock is called {clock!r}")
    for product in Product:
        rows = [case for case in regime.case if product in _products(case, platform)]
        if not rows:
            found.append(f"$.case: no case is for {product}")
        elif rows[-1].needs or rows[-1].when or rows[-1].until:
            found.append(f"$.case: the last case for {product} must always hold")
    return found
