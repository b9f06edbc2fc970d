"""
Own what is known of numbers, templates and names beside the threads: whose a phone number is, which category a template has, and
which number Meta bills for a dialled one. Bounded caches of one process; the ledger and the configuration have the truth.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from gatekeeper.core.accounts import Account, Template, TemplateCategory, TemplateStatus
from gatekeeper.core.errors import LedgerError
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta import events as meta

_K = TypeVar("_K")
_V = TypeVar("_V")
_ALIASES = 100_000
_NUMBERS = 100_000
# A template that is flagged or locked can still be sent, so those events say nothing here.
_STATUS_OF = {"REINSTATED": TemplateStatus.APPROVED, **{status.value: status for status in TemplateStatus}}


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A business phone number: whose it is, and the tag that its keys carry."""

    phone_number_id: str
    account: Account
    tag: str
    named: bool


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the template that a send names, under which version, and whether the ledger could be asked."""

    version: str = ""
    template: Template | None = None
    reachable: bool = True


class Directory:
    """Whose a number is, what a template is, and whom Meta bills."""

    def __init__(self, accounts: tuple[Account, ...], ledger: Ledger) -> None:
        self._ledger = ledger
        self._named = {
            number: Number(phone_number_id=number, account=account, tag=account.portfolio, named=True)
            for account in accounts
            for number in account.phone_number_ids
        }
        self._accounts = {account.waba_id: account for account in accounts}
        self._learned: dict[str, Number] = {}
        self._templates: dict[str, tuple[str, dict[str, str]]] = {}
        self._billed: dict[tuple[str, str], str] = {}

    def account(self, waba_id: str) -> Account | None:
        """The account that the configuration names so."""
        return self._accounts.get(waba_id)

    async def number(self, phone_number_id: str) -> Number:
        """Whose number this is: by the configuration, or by what webhooks said."""
        found = self._named.get(phone_number_id) or self._learned.get(phone_number_id)
        if found is None:
            waba_id = await self._ledger.waba_of(phone_number_id)
            found = self.unnamed(phone_number_id, waba_id)
            if waba_id:
                _bounded(self._learned, _NUMBERS)[phone_number_id] = found
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
            number = _bounded(self._learned, _NUMBERS)[pnid] = self.unnamed(pnid, event.waba_id)
        return number

    async def template(self, number: Number, name: str | None, language: str | None) -> Registry:
        """What is known of a template; an empty version where the ledger cannot hold the decision to it."""
        if name is None or language is None:
            return Registry()
        account, reachable = number.account, True
        version, learned = self._templates.get(account.waba_id, ("", {}))
        if not version:
            try:
                version, learned = await self._ledger.templates(account.portfolio, account.waba_id)
            except LedgerError:
                reachable = False
            if reachable and number.named:  # only what an account names is kept: anybody can make up a number
                self._templates[account.waba_id] = version, learned
        found = _merged(account, name, language, learned)
        return Registry(version=version if number.named else "", template=found, reachable=reachable)

    def forget_templates(self, waba_id: str) -> None:
        """Read a WABA's templates anew at the next send."""
        self._templates.pop(waba_id, None)

    async def learn_template(self, event: meta.TemplateStatus | meta.TemplateCategory) -> None:
        """Keep what a webhook says of a template."""
        learned: dict[str, str] = {}
        if event.category in TemplateCategory.__members__.values():
            learned[_fact("category", event.language, event.name)] = str(event.category)
        if isinstance(event, meta.TemplateStatus) and event.event in _STATUS_OF:
            learned[_fact("status", event.language, event.name)] = _STATUS_OF[event.event].value
        if learned:
            account = self._accounts.get(event.waba_id) or Account(waba_id=event.waba_id)
            await self._ledger.learn_template(account.portfolio, event.waba_id, learned)
            self.forget_templates(event.waba_id)

    def billed(self, number: Number, recipient: str) -> str:
        """The number that Meta bills for a recipient, as far as it was heard of."""
        return self._billed.get((number.tag, recipient), "")

    def bill(self, number: Number, recipient: str, billed: str) -> None:
        """Remember which number Meta bills: the market is that of it, not of what was dialled."""
        _bounded(self._billed, _ALIASES)[number.tag, recipient] = billed


def _bounded(cache: dict[_K, _V], most: int) -> dict[_K, _V]:
    """Make room for one more: the oldest goes."""
    if len(cache) >= most:
        cache.pop(next(iter(cache)))
    return cache


def _fact(what: str, language: str, name: str) -> str:
    return f"{what} {language} {name}"


def _merged(account: Account, name: str, language: str, learned: dict[str, str]) -> Template | None:
    """What the configuration says of a template, corrected by what Meta said since; None: nobody said anything."""
    told = next((t for t in account.template if (t.name, t.language) == (name, language)), None)
    category = learned.get(_fact("category", language, name))
    status = learned.get(_fact("status", language, name))
    if told is None and category is None and status is None:
        return None
    told = told or Template(name=name, language=language)
    return Template(
        name=name,
        language=language,
        category=TemplateCategory(category) if category else told.category,
        status=TemplateStatus(status) if status else told.status,
    )
