"""Own the way to Meta: one client, the caller's bytes as they are, and which failure means that the body may have arrived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from gatekeeper.core.errors import UpstreamError
from gatekeeper.server.http import AUTOMATIC
from gatekeeper.settings import Upstream as UpstreamSettings

_CONNECTIONS = 1024
MOST_ANSWER = 4 << 20
_NEVER_OPENED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class UpstreamAnswer(msgspec.Struct, frozen=True):
    """What the upstream answered to a gated send: its status, headers and body as they came."""

    status: int
    reason: str
    headers: CIMultiDict[str]
    body: bytes


class Upstream:
    """Meta's Graph API, or whatever stands at `upstream.base_url`."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._base = URL(settings.base_url, encoded=True)
        self._timeout = settings.timeout / 1000
        connect = settings.connect_timeout / 1000
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=AUTOMATIC,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect, sock_read=self._timeout),
            trust_env=False,
        )
        self.reachable: bool | None = None

    async def close(self) -> None:
        """Drop every connection."""
        await self._session.close()

    async def post(self, path: str, headers: CIMultiDict[str], body: bytes, *, method: str = "POST") -> UpstreamAnswer:
        """
        Send a gated body on, once, by the caller's own *method*; UpstreamError says whether it may have arrived.

        The whole answer is due within the upstream's time-out.
        """
        try:
            async with asyncio.timeout(self._timeout):
                data = body if body or method == "POST" else None
                async with self._session.request(
                    method, self._url(path), headers=headers, data=data, allow_redirects=False
                ) as answer:
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

    def stream(self, method: str, path: str, headers: CIMultiDict[str], body: AsyncIterator[bytes] | None) -> Any:
        """A pass-through request as aiohttp's context manager: nothing of it is kept in memory."""
        return self._session.request(method, self._url(path), headers=headers, data=body, allow_redirects=False)

    def _url(self, target: str) -> URL:
        # Built from its parts, for a URL that is parsed loses an empty query.
        base = self._base
        return URL.build(scheme=base.scheme, authority=base.raw_authority, path=base.raw_path.rstrip("/") + target, encoded=True)

    @staticmethod
    async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
        chunks, size = [], 0
        async for chunk in answer.content.iter_any():
            size += len(chunk)
            if size > MOST_ANSWER:
                answer.close()
                raise aiohttp.ClientPayloadError
            chunks.append(chunk)
        return b"".join(chunks)
