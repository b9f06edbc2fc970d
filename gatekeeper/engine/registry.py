"""
Own what is known of an account and its templates: by the configuration, by Meta's webhooks, and by asking Meta.

The ledger has the facts under a version; a process keeps them until a decision finds that the version is another.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from gatekeeper.core.accounts import Account, Template, TemplateStatus
from gatekeeper.core.caching import remember
from gatekeeper.core.errors import LedgerError
from gatekeeper.engine import facts
from gatekeeper.engine.directory import Number
from gatekeeper.engine.facts import News
from gatekeeper.engine.reading import Kept, Read, Reader, Reading
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta import events as meta
from gatekeeper.telemetry import Metrics

_FRESH_MS = 60_000  # a decision is held to the version in any case; this is for settlements


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is known of a send's account and template, under which version, and whether the ledger could be asked.

    *sure*: the template's shape is what Meta or the operator said just now, so that a send may be refused for it.
    """

    account: Account
    version: str = ""
    template: Template | None = None
    reachable: bool = True
    sure: bool = False


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    kept: Kept
    read_at: int


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """An account and its templates as they are known to be: *said*, on top of what is *configured*."""

    configured: Account
    said: facts.Facts
    account: Account
    templates: dict[tuple[str, str], Template] = {}


class Registry:
    """What an account is and which template is what, by the configuration and by what Meta said since."""

    def __init__(self, accounts: tuple[Account, ...], ledger: Ledger, metrics: Metrics, reader: Reader | None = None) -> None:
        """*reader* asks Meta, for accounts that have a token."""
        self._ledger = ledger
        self._metrics = metrics
        self._accounts = {account.waba_id: account for account in accounts}
        self._facts: dict[str, _Facts] = {}
        self._as_told: dict[str, _Told] = {}
        self._reading = Reading(ledger, reader, metrics)
        self._counts: dict[str, tuple[Counter[str], Counter[str]]] = {}
        self._shown: tuple[set[str], set[str]] = set(), set()

    async def known(self, number: Number, name: str | None, language: str | None, *, now: int) -> Known:
        """
        What is known of a template and its account; an empty version where the ledger cannot hold a decision to it.

        A template that nobody spoke of is asked for; while there is no answer it stays unknown.
        """
        account = number.account
        if name is None or language is None:  # nothing that Meta says of an account touches a free-form message
            return Known(account=account)
        try:
            kept = await self._read(number, now=now)
            template = self._template(account, name, language, kept)
            languages = self._reading.answered(account, name, now=now)
            if (template is None or template.category is None) and languages is None:
                languages = await self._reading.ask(account, name, kept, now=now)
                if languages is not None:
                    kept = await self._read(number, now=now, anew=True)
                    template = self._template(account, name, language, kept)
        except LedgerError:
            return Known(account=account, template=facts.template(account, name, language, {}), reachable=False)
        if template is None and languages is not None and not _alike(language, languages):
            template = Template(name=name, language=language, status=TemplateStatus.DELETED)
        return Known(
            account=self._corrected(account, kept),
            version=kept.version if number.named else "",
            template=template,
            sure=languages is not None or not facts.has_shape(name, language, kept.said),
        )

    async def confirmed(self, number: Number, known: Known, *, now: int) -> Known:
        """What is known once Meta was asked for the template again: a shape that it does not confirm is left out."""
        assert known.template is not None
        account, name = number.account, known.template.name
        try:
            if await self._reading.ask(account, name, await self._read(number, now=now), now=now) is not None:
                self.forget(account.waba_id)
                return await self.known(number, name, known.template.language, now=now)
        except LedgerError:
            known = msgspec.structs.replace(known, reachable=False)
        assert known.template is not None
        return msgspec.structs.replace(known, template=msgspec.structs.replace(known.template, shape=None))

    async def current(self, number: Number, known: Known) -> bool:
        """Whether *known* is still what the ledger has, as far as it can be asked; if not, it is read anew at the next send."""
        account = number.account
        try:
            version = await self._ledger.templates_version(account.portfolio, account.waba_id) if known.version else ""
        except LedgerError:
            return True
        if version != known.version:
            self.forget(account.waba_id)
        return version == known.version

    async def account(self, number: Number, *, now: int) -> Account:
        """*number*'s account, as Meta says that it is; LedgerError."""
        return self._corrected(number.account, await self._read(number, now=now)) if number.named else number.account

    def follow(self, accounts: tuple[Account, ...]) -> None:
        """Adopt changed accounts."""
        self._accounts = {account.waba_id: account for account in accounts}
        self._facts.clear()
        self._counts.clear()

    def forget(self, waba_id: str) -> None:
        """Read what is known of a WABA anew at the next send."""
        self._facts.pop(waba_id, None)

    async def read_all(self, account: Account, *, now: int) -> Read:
        """Read every template of an account from Meta; UpstreamError, LedgerError."""
        read = await self._reading.read(account)
        self._hold(account, Kept(*await self._ledger.templates(account.portfolio, account.waba_id)), now=now)
        return read

    async def learn(self, news: News) -> None:
        """Keep what a webhook says of an account or a template."""
        account = self._accounts.get(news.waba_id) or Account(waba_id=news.waba_id)
        languages: set[str] = set()
        if isinstance(news, meta.TemplateStatus) and not news.language:
            _, said = await self._ledger.templates(account.portfolio, account.waba_id)
            languages = {language for name, language in facts.known(account, said) if name == news.name}
        learned = facts.of_news(news, languages)
        if learned:
            await self._ledger.learn(account.portfolio, news.waba_id, learned)
        self.forget(news.waba_id)
        self._reading.forget(news.waba_id, getattr(news, "name", None))

    async def _read(self, number: Number, *, now: int, anew: bool = False) -> Kept:
        account = number.account
        found = self._facts.get(account.waba_id)
        if found is not None and not anew and now - found.read_at < _FRESH_MS:
            return found.kept
        if found is not None and found.kept.version == await self._ledger.templates_version(account.portfolio, account.waba_id):
            self._facts[account.waba_id] = _Facts(kept=found.kept, read_at=now)
            return found.kept
        kept = Kept(*await self._ledger.templates(account.portfolio, account.waba_id))
        if number.named:  # only what an account names is kept: anybody can make up a number
            self._hold(account, kept, now=now)
        return kept

    def _corrected(self, account: Account, kept: Kept) -> Account:
        """The account as Meta says it is: one and the same as long as nobody says anything new, since plans are kept by it."""
        return self._told(account, kept).account

    def _template(self, account: Account, name: str, language: str, kept: Kept) -> Template | None:
        """What is known of a template: one and the same too."""
        told = self._told(account, kept).templates
        found = told.get((name, language))
        if found is None:
            found = facts.template(account, name, language, kept.said)
            if found is not None:  # of what callers make up nothing stays
                told[name, language] = found
        return found

    def _told(self, account: Account, kept: Kept) -> _Told:
        found = self._as_told.get(account.waba_id)
        if found is None or found.configured is not account or found.said is not kept.said:
            made = _Told(configured=account, said=kept.said, account=facts.corrected(account, kept.said))
            found = remember(self._as_told, account.waba_id, made)
        return found

    def _hold(self, account: Account, kept: Kept, *, now: int) -> None:
        self._facts[account.waba_id] = _Facts(kept=kept, read_at=now)
        self._counts[account.waba_id] = facts.counted(account, kept.said)
        gauges = (self._metrics.templates, self._metrics.template_quality)
        for gauge, counts, shown in zip(gauges, zip(*self._counts.values(), strict=True), self._shown, strict=True):
            whole = sum(counts, Counter[str]())
            shown.update(whole)
            for label in shown:  # a label that has been shown cannot be taken back where several workers write
                gauge.labels(label).set(whole[label])


def _alike(language: str, languages: frozenset[str]) -> bool:
    """Whether a language is one of these but for its spelling, which Meta may or may not mind."""
    return language.replace("-", "_").lower() in {one.lower() for one in languages}
