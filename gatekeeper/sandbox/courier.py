"""Own how webhooks leave the sandbox: signed, repeated as Meta does, and all of them gone when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import aiohttp
import msgspec
import structlog

from gatekeeper.meta.signature import sign
from gatekeeper.telemetry import FORWARD_FAILED

MOST = 10_000
_CONNECTIONS = 32
_TIMEOUT_S = 30
_TAKEN = range(200, 300)


class Courier:
    """Posts webhooks to one URL; what sends cause later runs in its one task group."""

    def __init__(self, url: str, secret: str, log: structlog.stdlib.BoundLogger, *, pauses: tuple[float, ...]) -> None:
        """*pauses*: seconds before each repetition of a webhook that was not taken."""
        self._url = url
        self._secret = secret
        self._log = log
        self._pauses = pauses
        self._session: aiohttp.ClientSession | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._group = asyncio.TaskGroup()
        self._running = 0

    def follow(self, url: str, secret: str) -> None:
        """Post to this URL from now on, and sign by this secret."""
        self._url, self._secret = url, secret

    async def start(self) -> None:
        """Be ready to post."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
        )
        ready = asyncio.Event()
        # A group lives within one task, and whoever stops us need not be the task that started us.
        self._keeper = asyncio.create_task(self._keep(ready))
        await ready.wait()

    async def stop(self) -> None:
        """Drop what has not been posted yet."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            if not self._keeper.cancelled():
                self._keeper.result()
        if self._session is not None:
            await self._session.close()

    @property
    def full(self) -> bool:
        """Whether more is under way than may be."""
        return self._running >= MOST

    def begin(self, course: Coroutine[Any, Any, None]) -> None:
        """Run *course* beside everything else, until it ends or we stop."""
        self._running += 1
        self._group.create_task(course).add_done_callback(self._ended)

    async def post(self, payload: object) -> int | None:
        """Post a webhook until it is taken or patience ends; its last HTTP status, None: out of reach."""
        body = msgspec.json.encode(payload)
        status = await self._once(body)
        for pause in self._pauses:
            if status in _TAKEN:
                return status
            await asyncio.sleep(pause)
            status = await self._once(body)
        if status not in _TAKEN:
            self._log.warning(FORWARD_FAILED, target="sandbox webhook", status=status)
        return status

    async def _once(self, body: bytes) -> int | None:
        if self._session is None:
            return None
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature-256": sign(self._secret, body),
        }
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def _keep(self, ready: asyncio.Event) -> None:
        async with self._group:
            ready.set()
            await asyncio.Event().wait()

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._running -= 1
