"""
Own where a webhook goes: which targets it concerns, whose status is Meta's answer, and how the others are told until they have it.

The first target of a list decides, and Meta's own repetition is its queue. The others have one here, in memory and bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import structlog

from gatekeeper.meta import events as meta
from gatekeeper.server.targets import UNANSWERED, Outcome, Parcel, Said, Target
from gatekeeper.settings import Webhook
from gatekeeper.telemetry import FAULT, FORWARD_DROPPED, FORWARD_FAILED, Metrics

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONGEST_PROBE_S, _PAUSE_WHILE_STOPPING_S = 0.25, 30.0, 5.0, 1.0
_DOUBLINGS = 30
_SEVERAL = 5
_OK, _REDIRECT = 200, 300
# Meta does not say a webhook anew so many times before it has an answer: it comes back from an app that leads to us.
_AT_ONCE = 3


class Dropped(StrEnum):
    """Why a webhook was given up for a target that Meta does not wait for."""

    FULL = "full"
    EXPIRED = "expired"
    STOPPED = "stopped"


class Forwarding:
    """Hands webhooks to the targets of the configuration."""

    def __init__(self, settings: Webhook, tasks: asyncio.TaskGroup, metrics: Metrics, log: Any) -> None:
        self._known: dict[str, Target] = {}
        self._tasks = tasks
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = log
        self._stopping = asyncio.Event()
        self._stopped_at = float("inf")
        self._ends: set[asyncio.Timeout] = set()
        self._under_way: Counter[bytes] = Counter()
        self.follow(settings)

    @classmethod
    @contextlib.asynccontextmanager
    async def going(cls, settings: Webhook, metrics: Metrics, log: Any) -> AsyncIterator[Forwarding]:
        """Be there until the block ends, and after that until nothing waits for a target any more."""
        with contextlib.ExitStack() as stack:
            async with asyncio.TaskGroup() as tasks:
                made = cls(settings, tasks, metrics, log)
                stack.callback(made._close)
                yield made

    def follow(self, settings: Webhook) -> None:
        """
        Go by these targets and routes from the next webhook on.

        A URL that is still named keeps what it has taken and what waits for it, whatever its key is now. What waits for one that is
        not named any more is handed over all the same: Meta was told that it is.
        """
        named = [*settings.forwards, *(one for n in range(len(settings.route)) for one in settings.routed(n))]
        keys = {url: key for key, url in reversed(named)}  # a URL that stands in several lists is one target, under its first key
        timeout_s = settings.timeout / 1000
        known = {url: target for url, target in self._known.items() if target.needed}
        known |= {url: Target(keys[url], url, timeout_s, self._metrics) for url in keys if url not in known}

        def targets(forwards: Sequence[tuple[str, str]]) -> tuple[Target, ...]:
            return tuple(known[url] for _, url in forwards)

        of_number: dict[str, tuple[Target, ...]] = {}
        of_waba: dict[str, tuple[Target, ...]] = {}
        for n, route in enumerate(settings.route):
            of_number |= dict.fromkeys(route.phone_number_id, targets(settings.routed(n)))
            of_waba |= dict.fromkeys(route.waba_id, targets(settings.routed(n)))
        for url, target in known.items():
            if url in keys:
                target.follow(keys[url], timeout_s)
                for reason in Dropped:
                    self._metrics.forward_dead_letters.labels(target.name, reason)
            else:
                target.retire()
        self._default, self._of_number, self._of_waba = targets(settings.forwards), of_number, of_waba
        self._known = known
        self.idle = not keys
        """Whether no app is told of anything."""
        self._retry_for = settings.retry_for / 1000

    def _close(self) -> None:
        for target in self._known.values():
            target.close()

    async def forward(self, events: Sequence[meta.Event], parcel: Parcel, *, heard: Callable[[], bool]) -> int:
        """
        Hand the same bytes to every target that one of the changes concerns; the status for Meta comes back.

        That is the highest of the deciding targets' own, so that one that failed makes Meta say the webhook again. Who took it
        then is not told twice, unless Meta has *heard* that all went well. One that goes round in circles is a 508.
        """
        if self._under_way[parcel.digest] >= _AT_ONCE:
            looped = UNANSWERED[Outcome.LOOPED]
            self._log.warning(FORWARD_FAILED, outcome=looped.outcome, status=looped.status, webhook=parcel.name)
            return looped.status
        self._under_way[parcel.digest] += 1
        try:
            return await self._forwarded(events, parcel, heard)
        finally:
            self._under_way[parcel.digest] -= 1
            if not self._under_way[parcel.digest]:
                del self._under_way[parcel.digest]

    async def _forwarded(self, events: Sequence[meta.Event], parcel: Parcel, heard: Callable[[], bool]) -> int:
        deciding, others = self._concerned(events)
        for target in others:
            self._queue(target, parcel)
        if len(deciding) == 1:
            status = await self._decide(deciding[0], parcel)
        else:
            status = max(await asyncio.gather(*(self._decide(target, parcel) for target in deciding)), default=_OK)
        if _OK <= status < _REDIRECT and heard():
            for target in (*deciding, *others):
                target.forget(parcel)
        return status

    def stop(self, within_s: float) -> None:
        """Tell what waits without long pauses, and give up in *within_s* what was not taken."""
        self._stopped_at = asyncio.get_running_loop().time() + within_s
        self._stopping.set()
        for end in self._ends:
            self._limit(end)

    def _concerned(self, events: Sequence[meta.Event]) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
        """Who decides, and who is told besides: the lists of every route that a change concerns; the default's for the rest."""
        if not self._of_number and not self._of_waba:
            return self._default[:1], self._default[1:]
        lists: dict[tuple[Target, ...], None] = {}
        for waba_id, number in dict.fromkeys((event.waba_id, event.phone_number_id) for event in events) or [("", "")]:
            routed = [found for found in (self._of_number.get(number), self._of_waba.get(waba_id)) if found]
            lists |= dict.fromkeys(routed or [self._default])
        deciding = dict.fromkeys(targets[0] for targets in lists if targets)
        others = dict.fromkeys(target for targets in lists for target in targets[1:] if target not in deciding)
        return tuple(deciding), tuple(others)

    async def _decide(self, target: Target, parcel: Parcel) -> int:
        """Ask a target that Meta waits for, once."""
        had = target.repeated(parcel)
        if had:
            return had
        said = UNANSWERED[Outcome.FULL]
        if target.admit(parcel):
            try:
                said = await target.ask(parcel)
            finally:
                target.leave(parcel)
        if said.taken:
            target.remember(parcel, said.status)
        else:
            self._failed(target, parcel, said)
        return said.status

    def _queue(self, target: Target, parcel: Parcel) -> None:
        """Let a target be told that Meta does not wait for."""
        if target.repeated(parcel) is not None:
            return
        if not target.admit(parcel):
            self._drop(target, parcel, Dropped.FULL, tries=0, last=None)
            return
        target.remember(parcel)
        self._tasks.create_task(self._tell(target, parcel))

    async def _tell(self, target: Target, parcel: Parcel) -> None:
        """Tell a target until it takes the webhook, or until that took too long."""
        tries, said = 0, None
        try:
            async with asyncio.timeout(self._retry_for) as end:
                with self._ending(end):
                    while True:
                        said = await self._turn(target, parcel)
                        tries += 1
                        if tries > 1:
                            self._metrics.forward_retries.labels(target.name).inc()
                        if said.taken:
                            return
                        if tries == 1:
                            self._failed(target, parcel, said)
                        await self._rest(_pause(tries, _LONGEST_PAUSE_S))
        except TimeoutError:
            reason = Dropped.STOPPED if self._stopping.is_set() else Dropped.EXPIRED
            self._drop(target, parcel, reason, tries=tries, last=said)
        except Exception as error:  # noqa: BLE001 - a bug here must not end the gate
            target.forget(parcel)
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
        finally:
            target.leave(parcel)

    async def _turn(self, target: Target, parcel: Parcel) -> Said:
        """
        Try a target.

        One that failed several times in a row is tried by one webhook at a time: what waits for it must not cost a send its time.
        """
        if target.failures >= _SEVERAL:
            async with target.probe:
                if target.failures >= _SEVERAL:
                    await self._rest(_pause(target.failures - _SEVERAL + 1, _LONGEST_PROBE_S))
                    return await target.ask(parcel)
        return await target.ask(parcel)

    @contextlib.contextmanager
    def _ending(self, end: asyncio.Timeout) -> Iterator[None]:
        """Let a stop move *end* forward."""
        self._ends.add(end)
        self._limit(end)
        try:
            yield
        finally:
            self._ends.discard(end)

    def _limit(self, end: asyncio.Timeout) -> None:
        when = end.when()
        if (when is None or when > self._stopped_at) and not end.expired():
            end.reschedule(self._stopped_at)

    async def _rest(self, pause: float) -> None:
        """Wait before the next try; a stop cuts it short."""
        if self._stopping.is_set():
            await asyncio.sleep(min(pause, _PAUSE_WHILE_STOPPING_S))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stopping.wait()

    def _failed(self, target: Target, parcel: Parcel, said: Said) -> None:
        self._log.warning(FORWARD_FAILED, target=target.name, outcome=said.outcome, status=said.status, webhook=parcel.name)

    def _drop(self, target: Target, parcel: Parcel, reason: Dropped, *, tries: int, last: Said | None) -> None:
        """Count a dead letter; if Meta says the webhook again, the target is told again."""
        target.forget(parcel)
        self._metrics.forward_dead_letters.labels(target.name, reason).inc()
        self._log.error(
            FORWARD_DROPPED,
            target=target.name,
            reason=reason,
            tries=tries,
            last=last.outcome if last else None,
            status=last.status if last else None,
            webhook=parcel.name,
            bytes=len(parcel.body),
        )


def _pause(failures: int, longest: float) -> float:
    """Twice as long after each failure, up to a bound; shortened at random, so that webhooks that failed together part."""
    pause = min(_FIRST_PAUSE_S * 2 ** min(failures - 1, _DOUBLINGS), longest)
    return random.uniform(pause / 2, pause)  # noqa: S311 - no secret
