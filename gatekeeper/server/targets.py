"""Own one target of webhooks: how it is asked, what it has taken already, and how much may wait for it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
from collections.abc import Iterable
from enum import StrEnum
from time import perf_counter

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from gatekeeper.server.http import AUTOMATIC, tls, upstream_headers
from gatekeeper.telemetry import Metrics

_CONNECTIONS = 64
_MOST, _MOST_BYTES = 10_000, 32 << 20
_REMEMBERED = 10_000
# Below what app servers commonly wait for the next request: a POST into a connection just closed could not be told from a lost one.
_IDLE_S = 1.5
# Of an app's answer only the status counts. A short body is read, so that the connection can serve again.
_SHORT, _SHORT_S = 64 << 10, 0.25


class Outcome(StrEnum):
    """What came of handing a webhook to a target."""

    TAKEN = "taken"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    FULL = "full"
    REPEATED = "repeated"
    LOOPED = "looped"


_FIRST, _REDIRECT, _LAST = 200, 300, 599


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """What Meta posted, as it goes on."""

    body: bytes
    headers: CIMultiDict[str]
    digest: bytes
    size: int

    @classmethod
    def of(cls, headers: Iterable[tuple[str, str]], body: bytes) -> Parcel:
        """Take the bytes as they are, and the headers but for those between two neighbours and ours."""
        kept = CIMultiDict(upstream_headers((name, value) for name, value in headers if _writable(value)))
        size = len(body) + sum(len(name) + len(value) for name, value in kept.items())
        return cls(body=body, headers=kept, digest=hashlib.sha256(body).digest(), size=size)

    @property
    def name(self) -> str:
        """What the log calls it: the same for the same bytes, and nothing of what they say."""
        return self.digest.hex()[:16]


class Said(msgspec.Struct, frozen=True):
    """A target's answer: what came of it, and the status for Meta."""

    outcome: Outcome
    status: int

    @property
    def taken(self) -> bool:
        """Whether the target has it, by its own word."""
        return self.outcome is Outcome.TAKEN


# What Meta is answered where the target said nothing that could be passed on.
UNANSWERED = {
    outcome: Said(outcome, status)
    for outcome, status in ((Outcome.TIMED_OUT, 504), (Outcome.UNREACHABLE, 502), (Outcome.FULL, 503), (Outcome.LOOPED, 508))
}


class Target:
    """An app's webhook URL, under the key of the configuration where it stands first."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession, timeout_s: float, metrics: Metrics) -> None:
        self.name = name
        self._url = URL(url).with_user(None)
        self._login = _login(URL(url))
        self._session = session
        self._timeout = timeout_s
        self._metrics = metrics
        self._connections = asyncio.Semaphore(_CONNECTIONS)
        self._had: dict[bytes, int] = {}
        self._held = self._held_bytes = 0
        self._hold(0, 0)
        self.failures = 0  # in a row
        self.probe = asyncio.Lock()

    async def ask(self, parcel: Parcel) -> Said:
        """Hand a webhook over, once; redirects are not followed."""
        began = perf_counter()
        said = await self._asked(parcel)
        self.failures = 0 if said.taken else self.failures + 1
        self._metrics.forwards.labels(self.name, said.outcome).inc()
        self._metrics.forward_seconds.labels(self.name).observe(perf_counter() - began)
        return said

    def repeated(self, parcel: Parcel) -> int | None:
        """
        The status with which the target took this webhook the last time that Meta said it; 0: it waits to be told.

        Bounded, and of one process: a target may still get a webhook twice, as it may from Meta.
        """
        found = self._had.get(parcel.digest)
        if found is not None:
            self._metrics.forwards.labels(self.name, Outcome.REPEATED).inc()
        return found

    def remember(self, parcel: Parcel, status: int = 0) -> None:
        """Keep in mind that the target has this webhook, or will be told."""
        while len(self._had) >= _REMEMBERED:
            self._had.pop(next(iter(self._had)))
        self._had[parcel.digest] = status

    def forget(self, parcel: Parcel) -> None:
        """Let a webhook go: Meta will not say it again, or the target does not have it."""
        self._had.pop(parcel.digest, None)

    def admit(self, parcel: Parcel) -> bool:
        """Hold a webhook in memory for this target, if there is room for it."""
        if self._held >= _MOST or self._held_bytes + parcel.size > _MOST_BYTES:
            self._metrics.forwards.labels(self.name, Outcome.FULL).inc()
            return False
        self._hold(1, parcel.size)
        return True

    def leave(self, parcel: Parcel) -> None:
        """Hold it no longer."""
        self._hold(-1, -parcel.size)

    def _hold(self, webhooks: int, size: int) -> None:
        self._held += webhooks
        self._held_bytes += size
        self._metrics.forward_queue.labels(self.name).inc(webhooks)
        self._metrics.forward_queue_bytes.labels(self.name).inc(size)

    async def _asked(self, parcel: Parcel) -> Said:
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(self._timeout):
                    await stack.enter_async_context(self._connections)
                    headers = parcel.headers.copy()
                    headers.update(self._login)
                    post = self._session.post(self._url, data=io.BytesIO(parcel.body), headers=headers, allow_redirects=False)
                    answer = await stack.enter_async_context(post)
                await _read_short(answer)
        except TimeoutError:
            return UNANSWERED[Outcome.TIMED_OUT]
        except (aiohttp.ClientError, OSError):
            return UNANSWERED[Outcome.UNREACHABLE]
        if not _FIRST <= answer.status <= _LAST:
            return UNANSWERED[Outcome.UNREACHABLE]
        return Said(Outcome.TAKEN if answer.status < _REDIRECT else Outcome.REFUSED, answer.status)


def session() -> aiohttp.ClientSession:
    """The client of all targets. Certificates are held against the system's authorities, or those of SSL_CERT_FILE."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S, ssl=tls())
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        skip_auto_headers=AUTOMATIC,
        trust_env=False,
    )


async def _read_short(answer: aiohttp.ClientResponse) -> None:
    """Read what is left of a short answer; of any other the connection is closed, and Meta waits for neither."""
    left = _SHORT
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(_SHORT_S):
            while left > 0 and (chunk := await answer.content.readany()):
                left -= len(chunk)


def _login(url: URL) -> dict[str, str]:
    """Basic authentication for a URL that names a user."""
    if url.user is None and url.password is None:
        return {}
    pair = f"{url.user or ''}:{url.password or ''}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _writable(value: str) -> bool:
    """Whether a header can be written again: one that is neither ASCII nor UTF-8 cannot."""
    return value.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in value)
