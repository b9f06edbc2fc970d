"""Own the balances that a gate starts from: what of a month was used before it was there."""

from __future__ import annotations

from datetime import date

import msgspec

from gatekeeper.core.calendar import midnight
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.tariff import free_meter, volume_meter
from gatekeeper.engine.directory import Directory
from gatekeeper.ledger import calls
from gatekeeper.ledger.ledger import Ledger


class Balances:
    """Sets meters to what somebody else has counted."""

    _book: Rulebook

    def __init__(self, ledger: Ledger, directory: Directory) -> None:
        self._ledger = ledger
        self._directory = directory

    def follow(self, book: Rulebook) -> None:
        """Go by these rules from now on."""
        self._book = book

    async def use_free(self, waba_id: str, phone_number_id: str, count: int, *, now: int) -> None:
        """
        Set this month's use of the free tier in force at *now*; nothing where the regime has none.

        LookupError: whose tier it is cannot be told.
        """
        account = self._directory.account(waba_id)
        tag = account.portfolio if account else phone_number_id
        if phone_number_id:
            number = await self._directory.number(phone_number_id)
            account, tag = number.account, number.tag
            if not number.named:
                account = msgspec.structs.replace(account, waba_id=waba_id or phone_number_id)
        if account is None:
            raise LookupError("free_used: names no phone_number_id, and no account that is configured")
        meter = free_meter(account, phone_number_id, self._book, at=now)
        if meter is not None and not meter.owner:
            raise LookupError("free_used: each phone number has a tier of its own, so phone_number_id is needed")
        if meter is not None:
            await self._ledger.set_settled(tag, meter, count)

    async def open(self) -> None:
        """Count in what the configuration says was used before this gate was there. LedgerError."""
        batch = []
        for account in self._directory.accounts:
            for opening in account.opening:
                day = date.fromisoformat(f"{opening.month}-01")
                meter, units = (
                    free_meter(account, opening.phone_number_id, self._book, at=midnight(day, account.zone)),
                    opening.free_used,
                )
                if opening.category:
                    meter = volume_meter(opening.category, opening.market, account, self._book, month=opening.month)
                    units = opening.charged
                if meter is not None:
                    batch.append(calls.open_meter(account.portfolio, meter, units))
        await self._ledger.run(batch)
