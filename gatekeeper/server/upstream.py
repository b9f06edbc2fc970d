"""Own the way to Meta: the caller's bytes as they are, how many at once, and which failure means that the body may have arrived."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gatekeeper.core.errors import UpstreamError
from gatekeeper.server.http import AUTOMATIC, HOP_HEADER, Pairs
from gatekeeper.server.line import BrokenOff, UpstreamAnswer
from gatekeeper.server.lines import Lines, NeverOpened
from gatekeeper.settings import Settings
from gatekeeper.settings import Upstream as UpstreamSettings

_SENDS, _STREAMS = 1024, 512  # on their way at once
_NONE_FREE = "no connection to the upstream was free in time"
# What a send takes beside the upstream's time-out: Meta's word on a template, and the ledger's answers before and after.
_MARGIN_MS, _LEDGER_ANSWERS = 5_000, 16


def lease_ms(settings: Settings) -> int:
    """How long one attempt to send takes at most, from its claim to what is kept of its answer; milliseconds."""
    return settings.upstream.timeout + _MARGIN_MS + _LEDGER_ANSWERS * settings.ledger.timeout


class _Queue:
    """Lets so many in at once, and as many more wait; whoever comes on top of them is told to come later."""

    def __init__(self, size: int) -> None:
        self._slots = asyncio.Semaphore(size)
        self._size = size
        self._waiting = 0

    async def enter(self, ends: float) -> None:
        """Wait for a turn, which `leave` ends, until *ends* by the loop's clock; UpstreamError when the queue is full, or too slow."""
        if not self._slots.locked():
            await self._slots.acquire()  # at once
            return
        if self._waiting >= self._size:
            raise UpstreamError("too many requests wait for the upstream", status=503, sent=False)
        self._waiting += 1
        try:
            async with asyncio.timeout_at(ends):
                await self._slots.acquire()
        except TimeoutError:
            raise UpstreamError(_NONE_FREE, status=503, sent=False) from None
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        """Let the next one in."""
        self._slots.release()


class Upstream:
    """Meta's Graph API, or whatever stands at `upstream.base_url`."""

    def __init__(self, settings: UpstreamSettings, *, gate_id: str = "") -> None:
        """*gate_id* goes with every request, behind those of the gates before, so that one that comes back is known."""
        self._hop = ((HOP_HEADER, gate_id),) if gate_id else ()
        self._base = URL(settings.base_url, encoded=True)
        self._timeout = settings.timeout / 1000
        connect = settings.connect_timeout / 1000
        self._passing = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),  # the queues are the limit
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=AUTOMATIC,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect, sock_read=self._timeout),
        )
        self._lines = Lines(self._base, connect_s=connect)
        self._prefix = self._base.raw_path.rstrip("/")
        self._sends, self._streams = _Queue(_SENDS), _Queue(_STREAMS)
        self.reachable: bool | None = None

    async def close(self) -> None:
        """Drop every connection."""
        self._lines.close()
        await self._passing.close()

    def deadline(self) -> float:
        """When a send that sets out now is answered at the latest, by the loop's clock."""
        return asyncio.get_running_loop().time() + self._timeout

    async def post(
        self, path: str, headers: Pairs, body: bytes, *, method: str = "POST", ends: float | None = None
    ) -> UpstreamAnswer:
        """
        Send a gated body on, once, by the caller's own *method*; UpstreamError says whether it may have arrived.

        Its turn, the connection and the whole answer are due by one deadline: *ends*, or the upstream's time-out from now on.
        """
        ends = self.deadline() if ends is None else ends
        data = body if body or method == "POST" else None
        await self._sends.enter(ends)
        try:
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                raise UpstreamError(_NONE_FREE, status=503, sent=False)
            answer = await self._lines.ask(method, self._prefix + path, headers + self._hop, data, within_s=left)
        except NeverOpened:
            self.reachable = False
            raise UpstreamError("the upstream cannot be reached", status=502, sent=False) from None
        except TimeoutError:
            raise UpstreamError("the upstream did not answer in time", status=504, sent=True) from None
        except BrokenOff:
            raise UpstreamError("the upstream broke off before it answered", status=502, sent=True) from None
        finally:
            self._sends.leave()
        self.reachable = True
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, path: str, headers: CIMultiDict[str], body: AsyncIterator[bytes] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A pass-through request: nothing of it is kept in memory. UpstreamError: too many are on their way."""
        for name, gate_id in self._hop:  # in one line: aiohttp keeps only the last of several that are spelled in two ways
            headers[name] = ", ".join([*headers.popall(name, []), gate_id])
        await self._streams.enter(self.deadline())
        try:
            async with self._passing.request(
                method, self._url(path), headers=headers, data=body, allow_redirects=False
            ) as answer:
                yield answer
        finally:
            self._streams.leave()

    def _url(self, target: str) -> URL:
        base = self._base  # built from its parts, for a URL that is parsed loses an empty query
        return URL.build(scheme=base.scheme, authority=base.raw_authority, path=self._prefix + target, encoded=True)
