"""Own the way to Meta: one client, the caller's bytes as they are, and which failure means that the body may have arrived."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from gatekeeper.core.caching import remember
from gatekeeper.core.errors import UpstreamError
from gatekeeper.server.http import AUTOMATIC
from gatekeeper.settings import Upstream as UpstreamSettings

_SENDS, _STREAMS = 1024, 512  # on their way at once
MOST_ANSWER = 4 << 20
_LONGEST_KEPT = 256
_FINAL = 200  # what is below, 101 too, is no answer to a send
_NEVER_OPENED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class UpstreamAnswer(msgspec.Struct, frozen=True):
    """What the upstream answered to a gated send: its status, headers and body as they came."""

    status: int
    reason: str
    headers: CIMultiDict[str]
    body: bytes


class _Queue:
    """Lets so many in at once, and as many more wait; whoever comes on top of them is told to come later."""

    def __init__(self, size: int) -> None:
        self._slots = asyncio.Semaphore(size)
        self._size = size
        self._waiting = 0

    async def enter(self, patience: float) -> None:
        """Wait for a turn, which `leave` ends; UpstreamError when the queue is full, or too slow."""
        if not self._slots.locked():
            await self._slots.acquire()  # at once
            return
        if self._waiting >= self._size:
            raise UpstreamError("too many requests wait for the upstream", status=503, sent=False)
        self._waiting += 1
        try:
            async with asyncio.timeout(patience):
                await self._slots.acquire()
        except TimeoutError:
            raise UpstreamError("no connection to the upstream was free in time", status=503, sent=False) from None
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        """Let the next one in."""
        self._slots.release()


class Upstream:
    """Meta's Graph API, or whatever stands at `upstream.base_url`."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._base = URL(settings.base_url, encoded=True)
        self._timeout = settings.timeout / 1000
        connect = settings.connect_timeout / 1000
        how: dict[str, Any] = {
            "connector": aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),  # the queues are the limit
            "cookie_jar": aiohttp.DummyCookieJar(),
            "auto_decompress": False,
            "skip_auto_headers": AUTOMATIC,
            "trust_env": False,
        }
        read = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect, sock_read=self._timeout)
        self._passing = aiohttp.ClientSession(timeout=read, **how)
        # What is sent has one limit for all of it.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect), connector_owner=False, **how
        )
        # aiohttp asks again by itself, where the method promises that twice is as good as once: a send promises nothing.
        self._session._retry_connection = False  # noqa: SLF001 - it has no public switch
        self._sends, self._streams = _Queue(_SENDS), _Queue(_STREAMS)
        self._urls: dict[str, URL] = {}
        self.reachable: bool | None = None

    async def close(self) -> None:
        """Drop every connection."""
        await self._session.close()
        await self._passing.close()

    async def post(self, path: str, headers: CIMultiDict[str], body: bytes, *, method: str = "POST") -> UpstreamAnswer:
        """
        Send a gated body on, once, by the caller's own *method*; UpstreamError says whether it may have arrived.

        The whole answer is due within the upstream's time-out.
        """
        data = body if body or method == "POST" else None
        await self._sends.enter(self._timeout)
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.request(method, self._url(path), headers=headers, data=data, allow_redirects=False) as answer,
            ):
                if answer.status < _FINAL:
                    raise aiohttp.ClientPayloadError
                text = await self._bounded(answer)
                self.reachable = True
                return UpstreamAnswer(answer.status, answer.reason or "", CIMultiDict(answer.headers), text)
        except _NEVER_OPENED:
            self.reachable = False
            raise UpstreamError("the upstream cannot be reached", status=502, sent=False) from None
        except TimeoutError:
            raise UpstreamError("the upstream did not answer in time", status=504, sent=True) from None
        except (aiohttp.ClientError, OSError):
            raise UpstreamError("the upstream broke off before it answered", status=502, sent=True) from None
        finally:
            self._sends.leave()

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, path: str, headers: CIMultiDict[str], body: AsyncIterator[bytes] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A pass-through request: nothing of it is kept in memory. UpstreamError: too many are on their way."""
        await self._streams.enter(self._timeout)
        try:
            async with self._passing.request(
                method, self._url(path), headers=headers, data=body, allow_redirects=False
            ) as answer:
                yield answer
        finally:
            self._streams.leave()

    def _url(self, target: str) -> URL:
        # Built from its parts, for a URL that is parsed loses an empty query.
        base, found = self._base, self._urls.get(target)
        if found is None:
            path = base.raw_path.rstrip("/") + target
            found = URL.build(scheme=base.scheme, authority=base.raw_authority, path=path, encoded=True)
            if len(target) <= _LONGEST_KEPT:
                remember(self._urls, target, found)
        return found

    @staticmethod
    async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
        content = answer.content
        if content.is_eof() and content.exception() is None and content.total_bytes <= MOST_ANSWER:  # it came with its head
            return content.read_nowait()
        chunks, size = [], 0
        async for chunk in content.iter_any():
            size += len(chunk)
            if size > MOST_ANSWER:
                answer.close()
                raise aiohttp.ClientPayloadError
            chunks.append(chunk)
        return b"".join(chunks)
