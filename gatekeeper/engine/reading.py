"""
Own reading templates from Meta: the whole list now and then, one name when it is used, and what of an answer is still news.

What a webhook says while an answer is on its way is younger than the answer, so that template is left as the webhook has it.
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.errors import UpstreamError
from gatekeeper.engine import facts
from gatekeeper.engine.facts import Key
from gatekeeper.ledger.ledger import STALE, Ledger
from gatekeeper.meta.listing import Listed
from gatekeeper.telemetry import Metrics

PATIENCE_S = 2.0  # what a send waits for Meta at most
_STANDS_MS = 60_000  # how long an answer on one name stands
_DEAF_MS = 10_000  # after no answer nobody waits for another one for as long
_MOST, _MOST_IN_MS = 60, 60_000  # names of one account that are asked for: others need Meta's patience too
_NAMES = 10_000
_CHUNK = 2_000  # facts that are written well within the ledger's time-out
_TRIES = 4
_NAME = re.compile(r"[a-z0-9_]{1,512}")  # Source: Meta, "Template components", copy of 2025-12; another name is left to Meta


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What Meta lists; *complete*: all of it was read and understood."""

    rows: tuple[Listed, ...]
    complete: bool


class Reader(Protocol):
    """Whoever can ask Meta."""

    async def listing(self, account: Account, name: str | None = None) -> Listing:
        """The templates of an account, or those that Meta finds under *name*. UpstreamError: no answer."""


class Kept(msgspec.Struct, frozen=True):
    """What the ledger has of an account's templates, under which version."""

    version: str
    said: dict[str, str]


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole list came to."""

    templates: int
    changed: int
    deleted: int
    complete: bool


class _Answer(msgspec.Struct, frozen=True):
    at: int
    languages: frozenset[str]


class Reading:
    """Asks Meta for templates, and keeps what it hears."""

    def __init__(self, ledger: Ledger, reader: Reader | None, metrics: Metrics) -> None:
        """*reader* None: nobody can ask (replay, and accounts without a token)."""
        self._ledger = ledger
        self._reader = reader
        self._metrics = metrics
        self._answers: dict[str, dict[str, _Answer]] = {}
        self._asking: dict[tuple[str, str], asyncio.Future[frozenset[str] | None]] = {}
        self._deaf: dict[str, int] = {}
        self._asked: dict[str, tuple[int, int]] = {}

    def answered(self, account: Account, name: str, *, now: int) -> frozenset[str] | None:
        """The languages in which Meta has a template, by an answer that still stands; None: there is none."""
        answer = self._answers.get(account.waba_id, {}).get(name)
        return answer.languages if answer is not None and 0 <= now - answer.at < _STANDS_MS else None

    def forget(self, waba_id: str, name: str | None = None) -> None:
        """An answer stands no longer: Meta has said something else since."""
        if name is None:
            self._answers.pop(waba_id, None)
        else:
            self._answers.get(waba_id, {}).pop(name, None)

    async def ask(self, account: Account, name: str, kept: Kept, *, now: int) -> frozenset[str] | None:
        """
        Ask Meta for one name, once for all who want to know it at the same moment, and keep the answer.

        The languages that it has come back; None: there is no answer. LedgerError: it could not be kept.
        """
        key = (account.waba_id, name)
        under_way = self._asking.get(key)
        if under_way is not None:
            return await asyncio.shield(under_way)
        if not self._may_ask(account, name, now=now):
            return None
        mine = self._asking[key] = asyncio.get_running_loop().create_future()
        languages = None
        try:
            languages = await self._asked_for(account, name, kept, now=now)
        finally:
            del self._asking[key]
            mine.set_result(languages)
        return languages

    async def read(self, account: Account) -> Read:
        """Read the whole list of an account; what it no longer has is deleted. UpstreamError, LedgerError."""
        assert self._reader is not None
        kept = await self._kept(account)
        try:
            listing = await self._reader.listing(account)
        except UpstreamError:
            self._count("list", "failed")
            raise
        read = await self._adopt(account, kept, listing)
        self._deaf.pop(account.waba_id, None)
        self._count("list", "complete" if listing.complete else "incomplete")
        return read

    def _may_ask(self, account: Account, name: str, *, now: int) -> bool:
        if self._reader is None or not account.access_token or not _NAME.fullmatch(name):
            return False
        if 0 < self._deaf.get(account.waba_id, 0) - now <= _DEAF_MS:
            return False
        since, count = self._asked.get(account.waba_id, (now, 0))
        if not 0 <= now - since < _MOST_IN_MS:
            since, count = now, 0
        self._asked[account.waba_id] = (since, count + 1)
        return count < _MOST

    async def _asked_for(self, account: Account, name: str, kept: Kept, *, now: int) -> frozenset[str] | None:
        assert self._reader is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                listing = await self._reader.listing(account, name)
        except (UpstreamError, TimeoutError):
            self._deaf[account.waba_id] = now + _DEAF_MS
            self._count("name", "failed")
            return None
        languages = frozenset(row.language for row in listing.rows if row.name == name)
        self._count("name", "found" if languages else "missing" if listing.complete else "incomplete")
        if not listing.complete:
            return None
        await self._adopt(account, kept, listing, name=name)
        answers = self._answers.setdefault(account.waba_id, {})
        if len(answers) >= _NAMES:
            answers.pop(next(iter(answers)))
        answers[name] = _Answer(now, languages)
        return languages

    async def _adopt(self, account: Account, kept: Kept, listing: Listing, *, name: str | None = None) -> Read:
        """Keep what a list says of every template, or of those called *name*; *kept* is what was known before it was asked for."""
        rows = {(row.name, row.language): row for row in listing.rows if name in (None, row.name)}
        younger: set[Key] = set()
        for _ in range(_TRIES):
            known = {key for key in facts.known(account, kept.said) if name in (None, key[0])}
            gone = known - rows.keys() - younger if listing.complete else set()
            said = [facts.of_listed(row) for key, row in rows.items() if key not in younger] + [
                facts.of_deleted(key) for key in gone
            ]
            news = {field: value for one in said for field, value in one.items() if kept.said.get(field, "") != value}
            written = await self._written(account, kept, news)
            if written.version != STALE:
                break
            kept = await self._kept(account)
            younger |= _differing(written.said, kept.said)
        changed = len({facts.key_of(field) for field in news})
        return Read(templates=len(rows), changed=changed, deleted=len(gone), complete=listing.complete)

    async def _written(self, account: Account, kept: Kept, news: dict[str, str]) -> Kept:
        """Write news over what is known, as far as nobody else writes; the version is STALE where somebody did."""
        said, version = dict(kept.said), kept.version
        fields = list(news)
        for start in range(0, len(fields), _CHUNK):
            some = {field: news[field] for field in fields[start : start + _CHUNK]}
            version = await self._ledger.learn(account.portfolio, account.waba_id, some, version)
            if version == STALE:
                break
            said.update(some)
        return Kept(version=version, said=said)

    async def _kept(self, account: Account) -> Kept:
        version, said = await self._ledger.templates(account.portfolio, account.waba_id)
        return Kept(version=version, said=said)

    def _count(self, what: str, outcome: str) -> None:
        self._metrics.template_reads.labels(what, outcome).inc()


def _differing(here: dict[str, str], there: dict[str, str]) -> set[Key]:
    """The templates of which two readings differ; an empty fact is none."""
    fields = {field for field in here.keys() | there.keys() if here.get(field, "") != there.get(field, "")}
    return {key for field in fields if (key := facts.key_of(field)) is not None}
