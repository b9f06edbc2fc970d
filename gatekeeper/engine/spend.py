"""Own the month's bill as it is asked for: by WABA, over every tag that its numbers keep their state under."""

from __future__ import annotations

import calendar
from datetime import date
from typing import Any

from gatekeeper.core.accounts import Account
from gatekeeper.core.bill import Line, detail, month_report
from gatekeeper.core.calendar import midnight, month
from gatekeeper.core.regimes import Scope
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.tariff import free_meter
from gatekeeper.engine.directory import Directory
from gatekeeper.ledger.ledger import Ledger


class Spend:
    """What was quoted, settled and is open."""

    def __init__(self, ledger: Ledger, book: Rulebook, directory: Directory) -> None:
        self._ledger = ledger
        self._book = book
        self._directory = directory

    async def accounts(self) -> list[dict[str, Any]]:
        """Every WABA that books are kept of: those that accounts name, then those that webhooks told of."""
        heard = [waba_id for waba_id in await self._ledger.wabas() if self._directory.account(waba_id) is None]
        return [
            *[_described(account, configured=True) for account in self._directory.accounts],
            *[_described(await self._account(waba_id), configured=False) for waba_id in heard],
        ]

    def follow(self, book: Rulebook) -> None:
        """Go by these rules from now on."""
        self._book = book

    async def report(self, waba_id: str, wanted: str | None, *, now: int) -> dict[str, Any]:
        """One WABA's month, `2026-10`; None: the month that it is there. ValueError: not a month."""
        account = await self._account(waba_id)
        days = _days(wanted or month(now, account.zone))
        free = [tier for number in account.phone_number_ids for tier in await self._free_tier(account, number, days, now=now)]
        return {
            "waba_id": waba_id,
            "month": f"{days[0]:%Y-%m}",
            "currency": account.currency,
            **month_report(await self._lines(account, days)),
            "free_tier": [tier for n, tier in enumerate(free) if tier not in free[:n]],
        }

    async def lines(self, waba_id: str, wanted: str | None, *, now: int) -> dict[str, Any]:
        """Every line of that month, by day, phone number, caller, category and market."""
        account = await self._account(waba_id)
        days = _days(wanted or month(now, account.zone))
        return {
            "waba_id": waba_id,
            "month": f"{days[0]:%Y-%m}",
            "currency": account.currency,
            "lines": detail(await self._lines(account, days)),
        }

    async def _account(self, waba_id: str) -> Account:
        """A configured account, or one of the numbers that were seen to be of this WABA."""
        named = self._directory.account(waba_id)
        return named or Account(waba_id=waba_id, phone_number_ids=tuple(await self._ledger.numbers_of(waba_id)) or (waba_id,))

    async def _lines(self, account: Account, days: list[date]) -> list[Line]:
        if self._directory.account(account.waba_id) is not None:
            return await self._ledger.bill(account.portfolio, account.waba_id, days)
        # A number that no account names keeps its own books: under its own id until its WABA is known, and under that from then on.
        owners = [(number, owner) for number in account.phone_number_ids for owner in dict.fromkeys((account.waba_id, number))]
        return [line for number, owner in owners for line in await self._ledger.bill(number, owner, days)]

    async def _free_tier(self, account: Account, number_id: str, days: list[date], *, now: int) -> list[dict[str, Any]]:
        """The allowance in force at the end of that month, or now, and what of it was used."""
        at = min(midnight(days[-1], account.zone), now)
        number = await self._directory.number(number_id)
        try:
            found = free_meter(account, number_id, self._book, at=at)
        except LookupError:
            return []
        if found is None or found.month != f"{days[0]:%Y-%m}":
            return []
        meter, tier = found, self._book.regime_at(at, account).allowance[found.name]
        used = await self._ledger.settled_units(number.tag, meter)
        own = number_id if tier.per is Scope.PHONE_NUMBER else None
        return [{"name": meter.name, "phone_number_id": own, "used": used, "limit": tier.free}]


def _described(account: Account, *, configured: bool) -> dict[str, Any]:
    return {
        "waba_id": account.waba_id,
        "portfolio_id": account.portfolio_id or None,
        "timezone": account.timezone,
        "currency": account.currency,
        "phone_number_ids": account.phone_number_ids,
        "configured": configured,
    }


def _days(wanted: str) -> list[date]:
    """The days of a month, `2026-10`; ValueError when it is none."""
    try:
        first = date.fromisoformat(f"{wanted}-01")
    except ValueError:
        raise ValueError(f"{wanted!r} is not a month such as 2026-10") from None
    return [first.replace(day=day) for day in range(1, calendar.monthrange(first.year, first.month)[1] + 1)]
