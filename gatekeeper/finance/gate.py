"""Own what a running gate tells of its books."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import msgspec

from gatekeeper.asking import Gate, GateError
from gatekeeper.core.errors import InputError
from gatekeeper.core.vocabulary import micros

_NO_BOOKS = "the gate keeps no books yet: no account is configured, and no webhook has told of one"


class Micros(int):
    """Micro-units, which the gate writes as a plain decimal."""


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """A WABA that the gate keeps books of."""

    waba_id: str
    timezone: str = "UTC"
    currency: str

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The time zone of its days and months; GateError when this machine does not know it."""
        try:
            return zoneinfo.ZoneInfo(self.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise GateError(f"the time zone {self.timezone!r} of the account {self.waba_id} is not known here") from None


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a line: messages, what they come to, and how many of them have no known price."""

    sends: int
    total: Micros
    unpriced: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a month's bill; it reads as `gatekeeper.core.bill.detail` writes it."""

    day: dt.date
    phone_number_id: str
    caller: str
    category: str
    market: str
    predicted: Side
    settled: Side
    answers: int = 0
    turns: int = 0


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """What is accepted and not settled yet."""

    sends: int
    total: Micros


class FreeTier(msgspec.Struct, frozen=True, kw_only=True):
    """An allowance of the month, and what was used of it."""

    name: str
    phone_number_id: str | None
    used: int
    limit: int


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """One WABA's month."""

    waba_id: str
    month: str
    currency: str
    open: Open
    free_tier: tuple[FreeTier, ...]
    lines: tuple[Line, ...]


class _Accounts(msgspec.Struct, frozen=True, kw_only=True):
    accounts: tuple[Books, ...]


class _Report(msgspec.Struct, frozen=True, kw_only=True):
    month: str
    currency: str
    open: Open
    free_tier: tuple[FreeTier, ...]


class _Lines(msgspec.Struct, frozen=True, kw_only=True):
    lines: tuple[Line, ...]


class Bookkeeper(Gate):
    """A running gate, as its admin listener tells of its books."""

    def books(self) -> dict[str, Books]:
        """The WABAs that it keeps books of, by id."""
        return {books.waba_id: books for books in self.ask(_Accounts, "/v1/accounts").accounts}

    def kept(self) -> list[str]:
        """The ids of all of them; InputError when there are none."""
        found = list(self.books())
        if not found:
            raise InputError(_NO_BOOKS)
        return found

    def account(self, waba_id: str | None, month: str | None) -> Books:
        """The books of one account, None: of the only one; InputError when there are none, or several to choose from."""
        kept = self.books()
        listed = f"it keeps those of {', '.join(kept)}" if kept else _NO_BOOKS
        if waba_id is None:
            if len(kept) != 1:
                raise InputError(f"choose an account of the gate's with --waba-id; {listed}" if kept else _NO_BOOKS)
            return next(iter(kept.values()))
        if waba_id in kept:
            return kept[waba_id]
        bill = self.bill(waba_id, month)  # a number whose WABA was not heard of yet is billed under its own id
        if not bill.lines and not bill.open.sends:
            raise InputError(f"the gate keeps no books of the account {waba_id}; {listed}")
        return Books(waba_id=waba_id, currency=bill.currency)

    def bill(self, waba_id: str, month: str | None) -> Bill:
        """One WABA's month, `2026-10`; None: the month that it is there."""
        report = self.ask(_Report, "/v1/spend", dec_hook=_money, waba_id=waba_id, month=month)
        lines = self.ask(_Lines, "/v1/spend/lines", dec_hook=_money, waba_id=waba_id, month=report.month)
        return Bill(
            waba_id=waba_id,
            month=report.month,
            currency=report.currency,
            open=report.open,
            free_tier=report.free_tier,
            lines=lines.lines,
        )


def _money(kind: type, value: Any) -> Any:
    if kind is not Micros:
        raise TypeError(f"nothing is read as {kind.__name__}")
    return Micros(micros(value))
