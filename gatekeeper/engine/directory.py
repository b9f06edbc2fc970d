"""
Own what is known of numbers and names beside the threads: whose a phone number is, and which number Meta bills for a dialled one.

Bounded caches of one process; the ledger and the configuration have the truth.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.caching import remember
from gatekeeper.core.recipients import canonical
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta import events as meta

_ALIASES = 100_000
NUMBERS = 100_000


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A business phone number: whose it is, and the tag that its keys carry."""

    phone_number_id: str
    account: Account
    tag: str
    named: bool


class Directory:
    """Whose a number is, and whom Meta bills."""

    def __init__(self, accounts: tuple[Account, ...], ledger: Ledger) -> None:
        self._ledger = ledger
        self.follow(accounts)
        self._learned: dict[str, Number] = {}
        self._billed: dict[tuple[str, str], str] = {}
        self._own: dict[str, str] = {}

    def follow(self, accounts: tuple[Account, ...]) -> None:
        """Go by these accounts from now on."""
        self._named = {
            number: Number(phone_number_id=number, account=account, tag=account.portfolio, named=True)
            for account in accounts
            for number in account.phone_number_ids
        }
        self._accounts = {account.waba_id: account for account in accounts}

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that the configuration names."""
        return tuple(self._accounts.values())

    def account(self, waba_id: str) -> Account | None:
        """The account that the configuration names so."""
        return self._accounts.get(waba_id)

    def named(self, phone_number_id: str) -> Account | None:
        """The account to which the configuration gives a number."""
        found = self._named.get(phone_number_id)
        return found.account if found else None

    async def number(self, phone_number_id: str) -> Number:
        """Whose number this is: by the configuration, or by what webhooks said."""
        found = self._named.get(phone_number_id) or self._learned.get(phone_number_id)
        if found is None:
            waba_id = await self._ledger.waba_of(phone_number_id)
            found = self.unnamed(phone_number_id, waba_id)
            if waba_id:
                remember(self._learned, phone_number_id, found, most=NUMBERS)
        return found

    @staticmethod
    def unnamed(phone_number_id: str, waba_id: str | None = None) -> Number:
        """A number that no account names: default settings, and keys of its own."""
        account = Account(waba_id=waba_id or phone_number_id, phone_number_ids=(phone_number_id,))
        return Number(phone_number_id=phone_number_id, account=account, tag=phone_number_id, named=False)

    async def seen(self, event: meta.Event) -> Number:
        """The number that an event is of; its WABA is learned on the way."""
        pnid = event.phone_number_id
        number = await self.number(pnid)
        if not number.named and event.waba_id and number.account.waba_id != event.waba_id:
            await self._ledger.learn_number(pnid, event.waba_id)
            number = remember(self._learned, pnid, self.unnamed(pnid, event.waba_id), most=NUMBERS)
        if isinstance(event, meta.Inbound) and event.own_number:
            remember(self._own, pnid, canonical(event.own_number), most=NUMBERS)
        return number

    def own(self, phone_number_id: str) -> str:
        """The phone number itself, as webhooks name it; empty until one came."""
        return self._own.get(phone_number_id, "")

    def billed(self, number: Number, recipient: str) -> str:
        """The number that Meta bills for a recipient, as far as it was heard of."""
        return self._billed.get((number.tag, recipient), "")

    def bill(self, number: Number, recipient: str, billed: str) -> None:
        """Remember which number Meta bills: the market is that of it, not of what was dialled."""
        key = number.tag, recipient
        if self._billed.get(key) != billed:
            remember(self._billed, key, billed, most=_ALIASES)

    def forget(self, names: Container[str]) -> None:
        """Remember of nobody with one of these names whom Meta bills for them."""
        for (tag, name), billed in list(self._billed.items()):
            if name in names or billed in names:
                del self._billed[tag, name]
