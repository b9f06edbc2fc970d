"""
Own what Meta said of an account and its templates: how it is kept, and how it corrects the configuration.

The ledger has the facts under a version; a process keeps them until a decision finds that the version is another.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from gatekeeper.core.accounts import Account, AuthenticationInternational, Template, TemplateCategory, TemplateStatus
from gatekeeper.core.errors import LedgerError
from gatekeeper.engine.directory import Number
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta import events as meta

# A template that is flagged or locked can still be sent, so those events say nothing here.
_STATUS_OF = {"REINSTATED": TemplateStatus.APPROVED, **{status.value: status for status in TemplateStatus}}
_FRESH_MS = 60_000  # a decision is held to the version in any case; this is for settlements
_CATEGORIES = frozenset(TemplateCategory)
_START, _HOME, _EXCEPTION = "account start_time", "account primary_location", "account exception "


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a send's account and template, under which version, and whether the ledger could be asked."""

    account: Account
    version: str = ""
    template: Template | None = None
    reachable: bool = True


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    said: dict[str, str]
    read_at: int


class Registry:
    """What an account is and which template is what, by the configuration and by what Meta said since."""

    def __init__(self, accounts: tuple[Account, ...], ledger: Ledger) -> None:
        self._ledger = ledger
        self._accounts = {account.waba_id: account for account in accounts}
        self._facts: dict[str, _Facts] = {}

    async def known(self, number: Number, name: str | None, language: str | None, *, now: int) -> Known:
        """What is known of a template and its account; an empty version where the ledger cannot hold a decision to it."""
        account = number.account
        if name is None or language is None:  # nothing that Meta says of an account touches a free-form message
            return Known(account=account)
        try:
            facts = await self._read(number, now=now)
        except LedgerError:
            return Known(account=account, template=_template(account, name, language, {}), reachable=False)
        return Known(
            account=_corrected(account, facts.said),
            version=facts.version if number.named else "",
            template=_template(account, name, language, facts.said),
        )

    async def account(self, number: Number, *, now: int) -> Account:
        """*number*'s account, as Meta says that it is; LedgerError."""
        return _corrected(number.account, (await self._read(number, now=now)).said) if number.named else number.account

    def forget(self, waba_id: str) -> None:
        """Read what is known of a WABA anew at the next send."""
        self._facts.pop(waba_id, None)

    async def _read(self, number: Number, *, now: int) -> _Facts:
        account = number.account
        facts = self._facts.get(account.waba_id)
        if facts is None or now - facts.read_at >= _FRESH_MS:
            version, said = await self._ledger.templates(account.portfolio, account.waba_id)
            facts = _Facts(version=version, said=said, read_at=now)
            if number.named:  # only what an account names is kept: anybody can make up a number
                self._facts[account.waba_id] = facts
        return facts

    async def learn(
        self, event: meta.TemplateStatus | meta.TemplateCategory | meta.InternationalRate | meta.PrimaryLocation
    ) -> None:
        """Keep what a webhook says of an account or a template."""
        learned = _learned(event)
        if learned:
            account = self._accounts.get(event.waba_id) or Account(waba_id=event.waba_id)
            await self._ledger.learn(account.portfolio, event.waba_id, learned)
            self.forget(event.waba_id)


def fact(what: str, language: str, name: str) -> str:
    """The field of the registry that says *what* of a template."""
    return f"{what} {language} {name}"


def _learned(
    event: meta.TemplateStatus | meta.TemplateCategory | meta.InternationalRate | meta.PrimaryLocation,
) -> dict[str, str]:
    if isinstance(event, meta.PrimaryLocation):
        return {_HOME: event.country}
    if isinstance(event, meta.InternationalRate):
        return {_START: str(event.start_time), **{_EXCEPTION + country: str(at) for country, at in event.exceptions.items()}}
    learned: dict[str, str] = {}
    if event.category in _CATEGORIES:
        learned[fact("category", event.language, event.name)] = str(event.category)
    if isinstance(event, meta.TemplateCategory):
        pending = event.impending if event.impending in _CATEGORIES else None
        learned[fact("pending", event.language, event.name)] = pending or ""
    elif event.event in _STATUS_OF:
        learned[fact("status", event.language, event.name)] = _STATUS_OF[event.event].value
    return learned


def _template(account: Account, name: str, language: str, facts: dict[str, str]) -> Template | None:
    """What the configuration says of a template, corrected by what Meta said since; None: nobody said anything."""
    told = next((t for t in account.template if (t.name, t.language) == (name, language)), None)
    category, status, pending = (facts.get(fact(what, language, name)) for what in ("category", "status", "pending"))
    if told is None and category is None and status is None:
        return None
    told = told or Template(name=name, language=language)
    return msgspec.structs.replace(
        told,
        category=TemplateCategory(category) if category else told.category,
        status=TemplateStatus(status) if status else told.status,
        pending=TemplateCategory(pending) if pending else told.pending,
    )


def _corrected(account: Account, facts: dict[str, str]) -> Account:
    """An account as Meta says it is."""
    told, start = account.authentication_international, facts.get(_START)
    if told is None and start is None:
        return account
    exceptions = {field.removeprefix(_EXCEPTION): _instant(at) for field, at in facts.items() if field.startswith(_EXCEPTION)}
    told = told or AuthenticationInternational(start_time=_instant(str(start)))
    corrected = AuthenticationInternational(
        start_time=_instant(start) if start else told.start_time,
        primary_location=facts.get(_HOME) or told.primary_location,
        exception_countries={**told.exception_countries, **exceptions},
    )
    return msgspec.structs.replace(account, authentication_international=corrected)


def _instant(millis: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(millis) / 1000, dt.UTC)
