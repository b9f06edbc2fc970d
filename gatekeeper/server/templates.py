"""
Own how templates are read from Meta: the requests, and the rounds that go over every account that has a token.

A token goes to the configured upstream alone: the next page is asked for by its cursor, never by the address that an answer names.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Protocol

import aiohttp
import structlog
from yarl import URL

from gatekeeper.core.accounts import Account
from gatekeeper.core.errors import GatekeeperError, UpstreamError
from gatekeeper.engine.reading import Listing, Read
from gatekeeper.meta.listing import FIELDS, Listed, NotAListing, Page, decode_page
from gatekeeper.meta.responses import decode_answer
from gatekeeper.server.http import HOP_HEADER
from gatekeeper.settings import Upstream
from gatekeeper.telemetry import FAULT, TEMPLATES_READ, TEMPLATES_UNREAD

ROUND_S = 15 * 60
RETRY_S = 30
_VERSION = "v26.0"  # Graph's newest when this was written; each lives two years
_ROWS = 100  # with their components more would be too much for Graph
_PAGES = 100  # an account has 6,000 templates at most
_PAGE_S = 20
_MOST_PAGE = 8 << 20
_CONNECTIONS = 8
_JITTER = 0.1
_OK = 200


class Registry(Protocol):
    """What keeps the templates."""

    async def read_all(self, account: Account, *, now: int) -> Read:
        """Read every template of an account; UpstreamError, LedgerError."""


class TemplateReader:
    """Asks Meta for an account's templates, with that account's own token."""

    def __init__(self, settings: Upstream, *, gate_id: str = "") -> None:
        """*gate_id*: by which this gate knows its own requests."""
        self._base = settings.base_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            headers={HOP_HEADER: gate_id} if gate_id else None,
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_PAGE_S, sock_connect=settings.connect_timeout / 1000),
            trust_env=False,
        )

    async def close(self) -> None:
        """Drop every connection."""
        await self._session.close()

    async def listing(self, account: Account, name: str | None = None) -> Listing:
        """The templates of an account, or those that Meta finds under *name*. UpstreamError: no answer."""
        rows: list[Listed] = []
        seen: set[str] = set()
        unreadable, after = 0, None
        for _ in range(_PAGES):
            page = await self._page(account, name, after)
            rows += page.rows
            unreadable += page.unreadable
            after = page.after
            if not page.more and len(page.rows) + page.unreadable < _ROWS:
                return Listing(rows=tuple(rows), complete=not unreadable)
            if after is None or after in seen:
                return Listing(rows=tuple(rows), complete=not (unreadable or page.more))
            seen.add(after)
        return Listing(rows=tuple(rows), complete=False)

    async def _page(self, account: Account, name: str | None, after: str | None) -> Page:
        asked = {"fields": FIELDS, "limit": str(_ROWS)} | ({"name": name} if name else {}) | ({"after": after} if after else {})
        url = URL(f"{self._base}/{_VERSION}/{account.waba_id}/message_templates", encoded=True).with_query(asked)
        headers = {"Authorization": f"Bearer {account.access_token}", "Accept": "application/json"}
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                status, body = answer.status, await _bounded(answer)
        except TimeoutError:
            raise UpstreamError("Meta did not answer in time", status=504, sent=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(f"Meta cannot be reached: {type(error).__name__}", status=502, sent=False) from None
        if status != _OK:
            code = getattr(decode_answer(body), "error_code", None)
            raise UpstreamError(f"Meta answered {status}" + (f" with error {code}" if code else ""), status=status, sent=True)
        try:
            return decode_page(body)
        except NotAListing as error:
            raise UpstreamError(f"Meta answered what is no list of templates: {error}", status=status, sent=True) from None


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > _MOST_PAGE:
            answer.close()
            raise aiohttp.ClientPayloadError
        chunks.append(chunk)
    return b"".join(chunks)


class Rounds:
    """Goes over the accounts again and again, each at its own pace."""

    def __init__(
        self,
        registry: Registry,
        log: Any,
        now: Callable[[], int],
        *,
        round_s: float = ROUND_S,
        retry_s: float = RETRY_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now
        self._round = round_s
        self._retry = retry_s
        self._sleep = sleep
        self._group = asyncio.TaskGroup()
        self._courses: dict[str, tuple[Account, asyncio.Task[None]]] = {}

    @contextlib.asynccontextmanager
    async def going(self, accounts: Iterable[Account]) -> AsyncIterator[None]:
        """Go over *accounts* until the block ends; nobody waits for the first round."""
        async with self._group:
            self.follow(accounts)
            try:
                yield
            finally:
                self.follow(())

    def follow(self, accounts: Iterable[Account]) -> None:
        """Adopt changed accounts: what is new or has another token is read at once."""
        wanted = {account.waba_id: account for account in accounts if account.access_token}
        for waba_id, (account, course) in list(self._courses.items()):
            if wanted.get(waba_id) != account:
                course.cancel()
                del self._courses[waba_id]
        for waba_id, account in wanted.items():
            if waba_id not in self._courses:
                self._courses[waba_id] = account, self._group.create_task(self._course(account))

    async def _course(self, account: Account) -> None:
        """Read an account's templates; after a failure sooner, but ever later while it fails."""
        pause = self._retry
        while True:
            read, task = await self._read(account), asyncio.current_task()
            if task is not None and task.cancelling():  # a client swallows what comes just when a connection fails
                raise asyncio.CancelledError
            if read:
                pause, wait = self._retry, self._round
            else:
                pause, wait = min(pause * 2, self._round), pause
            await self._sleep(wait * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - so that not all ask at once

    async def _read(self, account: Account) -> bool:
        try:
            read = await self._registry.read_all(account, now=self._now())
        except GatekeeperError as error:
            status = error.status if isinstance(error, UpstreamError) else None
            self._log.warning(TEMPLATES_UNREAD, waba_id=account.waba_id, source=error.source, status=status, error=str(error))
            return False
        except Exception as error:  # noqa: BLE001 - a bug of ours must not stop the gate
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, waba_id=account.waba_id, exc_info=error)
            return False
        self._log.info(
            TEMPLATES_READ,
            waba_id=account.waba_id,
            templates=read.templates,
            changed=read.changed,
            deleted=read.deleted,
            complete=read.complete,
        )
        return True
