"""Own one target of webhooks: how it is asked, what it has taken already, and how much may wait for it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterable
from enum import StrEnum
from time import perf_counter

import msgspec
from yarl import URL

from gatekeeper.server.http import Pairs, authorized, forwarded_headers
from gatekeeper.server.line import BrokenOff
from gatekeeper.server.lines import Lines, NeverOpened, OpenedLate
from gatekeeper.telemetry import Labelled, Metrics

_CONNECTIONS = 64
_MOST, _MOST_BYTES = 10_000, 32 << 20
_REMEMBERED = 10_000
# Below what app servers commonly wait for the next request: a POST into a connection just closed could not be told from a lost one.
_IDLE_S = 1.5


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
    headers: Pairs
    digest: bytes
    size: int

    @classmethod
    def of(cls, headers: Iterable[tuple[str, str]], body: bytes) -> Parcel:
        """Take the bytes as they are, and the headers but for those between two neighbours and ours."""
        kept = forwarded_headers(headers)
        size = len(body) + sum([len(name) + len(value) for name, value in kept])
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

    def __init__(self, name: str, url: str, timeout_s: float, metrics: Metrics) -> None:
        at = URL(url)
        self._path = at.raw_path_qs
        self._login = _login(at)
        # Certificates are held against the system's authorities, or those of SSL_CERT_FILE.
        self._lines = Lines(at, connect_s=float("inf"), kept_s=_IDLE_S, brief=True)  # each question has an end of its own
        self._metrics = metrics
        self._tries = Labelled(metrics.forwards)
        self._held = self._held_bytes = 0
        self._retired = False
        self.follow(name, timeout_s)
        self._connections = asyncio.Semaphore(_CONNECTIONS)
        self._had: dict[bytes, int] = {}
        self.failures = 0  # in a row
        self.probe = asyncio.Lock()

    def follow(self, name: str, timeout_s: float) -> None:
        """Go by this name and time from now on; what waits is counted under the new name."""
        held, size = self._held, self._held_bytes
        if held:
            self._hold(-held, -size)
        self.name, self._timeout, self._retired = name, timeout_s, False
        self._seconds = self._metrics.forward_seconds.labels(name)
        self._waiting = self._metrics.forward_queue.labels(name)
        self._waiting_bytes = self._metrics.forward_queue_bytes.labels(name)
        if held:
            self._hold(held, size)

    def retire(self) -> None:
        """Close once nothing waits for it any more: the configuration does not name it."""
        self._retired = True
        if not self._held:
            self.close()

    @property
    def needed(self) -> bool:
        """Whether the configuration names it, or something waits for it still."""
        return not self._retired or bool(self._held)

    def close(self) -> None:
        """Drop every connection."""
        self._lines.close()

    async def ask(self, parcel: Parcel) -> Said:
        """Hand a webhook over, once; redirects are not followed."""
        began = perf_counter()
        said = await self._asked(parcel)
        self.failures = 0 if said.taken else self.failures + 1
        self._tries.of(self.name, said.outcome).inc()
        self._seconds.observe(perf_counter() - began)
        return said

    def repeated(self, parcel: Parcel) -> int | None:
        """
        The status with which the target took this webhook the last time that Meta said it; 0: it waits to be told.

        Bounded, and of one process: a target may still get a webhook twice, as it may from Meta.
        """
        found = self._had.get(parcel.digest)
        if found is not None:
            self._tries.of(self.name, Outcome.REPEATED).inc()
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
            self._tries.of(self.name, Outcome.FULL).inc()
            return False
        self._hold(1, parcel.size)
        return True

    def leave(self, parcel: Parcel) -> None:
        """Hold it no longer."""
        self._hold(-1, -parcel.size)
        if self._retired and not self._held:
            self.close()

    def _hold(self, webhooks: int, size: int) -> None:
        self._held += webhooks
        self._held_bytes += size
        self._waiting.inc(webhooks)
        self._waiting_bytes.inc(size)

    async def _asked(self, parcel: Parcel) -> Said:
        """Of an app's answer only the status counts, whatever becomes of the rest of it."""
        due = perf_counter() + self._timeout
        headers = authorized(parcel.headers, self._login) if self._login else parcel.headers
        try:
            if self._connections.locked():
                async with asyncio.timeout(self._timeout):
                    await self._connections.acquire()
            else:
                await self._connections.acquire()  # at once
            try:
                left = due - perf_counter()
                answer = await self._lines.ask("POST", self._path, headers, parcel.body, within_s=left)
            finally:
                self._connections.release()
        except (TimeoutError, OpenedLate):
            return UNANSWERED[Outcome.TIMED_OUT]
        except (NeverOpened, BrokenOff):
            return UNANSWERED[Outcome.UNREACHABLE]
        if not _FIRST <= answer.status <= _LAST:
            return UNANSWERED[Outcome.UNREACHABLE]
        return Said(Outcome.TAKEN if answer.status < _REDIRECT else Outcome.REFUSED, answer.status)


def _login(url: URL) -> str:
    """Basic authentication for a URL that names a user; empty: it names none."""
    if url.user is None and url.password is None:
        return ""
    pair = f"{url.user or ''}:{url.password or ''}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
