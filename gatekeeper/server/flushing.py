"""
Own how texts that wait go out when their recipient has answered: list by list, in their order, each decided as any send is.

What is known to wait is in the ledger alone, so any gate on it goes on where another one stopped. A webhook only says which lists to
look at now; the others are looked at when they are due.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NoReturn

import msgspec
import structlog
from multidict import CIMultiDict

from gatekeeper.core.errors import LedgerError, UpstreamError
from gatekeeper.core.holding import PASSINGS, TextState, Turn
from gatekeeper.core.recipients import masked
from gatekeeper.core.settlement import WINDOW_CLOSED
from gatekeeper.core.vocabulary import Reason, State
from gatekeeper.engine import Decided, Engine
from gatekeeper.engine.holding import PUT_BACK_MS, Holding, insisted, request_of
from gatekeeper.ledger.holding import Found, List, Taken
from gatekeeper.meta import events as meta
from gatekeeper.meta.paths import gated
from gatekeeper.meta.responses import Answer
from gatekeeper.meta.sends import INVALID_PARAMETER, MalformedSend, Send
from gatekeeper.server.aftermath import Aftermath, Fate
from gatekeeper.server.course import LONGEST, Course, Record
from gatekeeper.server.encodings import readable_encodings
from gatekeeper.server.http import TooLarge, UnknownEncoding
from gatekeeper.server.lending import hold_plain, lender, lent
from gatekeeper.server.reading import read_send
from gatekeeper.server.upstream import Upstream
from gatekeeper.telemetry import FAULT, HELD_ENDED, Metrics

_EVERY_S = 2.0
_AT_ONCE = 32
# Meta is busy, or we are: nothing was sent, and a while later it would be. Source: Meta, "Error codes", copy of 2025-12-12.
_LATER = frozenset({4, 80007, 130429, 131056})


class _Kept(msgspec.Struct, frozen=True):
    """A kept request, as a request is read."""

    raw_path: str
    headers: CIMultiDict[str]


class _Stop(Exception):  # noqa: N818 - it names what becomes of a list
    """No further text of this list goes out now."""


class Flushing:
    """Sends what waits."""

    def __init__(
        self,
        engine: Engine,
        holding: Holding,
        upstream: Upstream,
        tasks: asyncio.TaskGroup,
        metrics: Metrics,
        log: Any,
        now: Callable[[], int],
        *,
        aftermath: Aftermath,
        most: int,
    ) -> None:
        """*most*: how large a body may be once it is unpacked."""
        self._engine = engine
        self._holding = holding
        self._upstream = upstream
        self._tasks = tasks
        self._metrics = metrics
        self._record = Record(metrics, log)
        self._aftermath = aftermath
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now
        self._most = most
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._running: dict[List, asyncio.Task[None]] = {}
        self._nudge = asyncio.Event()
        self._stopping = False

    async def heard(self, events: Sequence[meta.Event], *, now: int) -> None:
        """Look at once at what waits for those who may have answered; nobody waits for what comes of it. LedgerError."""
        if await self._holding.wake(events, now=now):
            self._nudge.set()

    async def watch(self) -> None:
        """Send what is due until it is stopped; first of all look at everything."""
        everything = True
        while not self._stopping:
            try:
                await self.look(self._now(), everything=everything)
                everything = False
            except LedgerError:
                pass  # it says so itself, and what waits waits there
            except Exception as error:  # noqa: BLE001 - a bug of ours must not stop the gate
                self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await self._nudge.wait()
            self._nudge.clear()

    async def look(self, now: int, *, everything: bool = False) -> list[asyncio.Task[None]]:
        """Begin to send what is due at *now*, one course for each list. LedgerError."""
        due, whole = await self._holding.due(now=now, everything=everything)
        self._metrics.held_recipients.set(whole)
        for where in due:
            if where not in self._running and not self._stopping:
                self._running[where] = self._tasks.create_task(self._flush(where))
        return list(self._running.values())

    def stop(self, within_s: float) -> None:
        """Begin no further send; break off in so many seconds what is on its way."""
        self._stopping = True
        self._nudge.set()
        for task in self._running.values():
            asyncio.get_running_loop().call_later(within_s, task.cancel)

    async def _flush(self, listed: List) -> None:
        """Send what waits in a list until it is empty, its window is shut, or another sender is at it."""
        where = listed
        try:
            async with self._slots:
                while not self._stopping:
                    taken = await self._holding.take(where, now=self._now())
                    for text_id in taken.expired:
                        self._ended(text_id, TextState.EXPIRED)
                    for text_id in taken.lost:
                        self._ended(text_id, TextState.UNKNOWN)
                    if taken.found is not Found.CLAIMED:
                        return
                    where = taken.list
                    await self._send(taken)
        except (_Stop, LedgerError):
            return  # what was claimed is anybody's again after a while
        except Exception as error:  # noqa: BLE001 - a bug of ours must not stop the gate
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
        finally:
            del self._running[listed]

    async def _send(self, taken: Taken) -> None:
        """Decide one text, and let it out; _Stop: those behind it have to wait."""
        assert taken.text is not None
        number = await self._engine.directory.number(taken.list.phone_number_id)
        kept = request_of(taken.text, number.account)
        target = gated(kept.path)
        assert target is not None
        course = Course(
            id=taken.text.owner, target=target, caller=kept.caller, lender=lender(number.account), started=perf_counter()
        )
        try:
            asked = _Kept(kept.path, CIMultiDict(kept.headers))
            send, written = read_send(asked, kept.body, self._most, marketing_api=target.marketing_api)
            if course.lender is not None:
                hold_plain(kept.method, kept.path, kept.headers, written)
        except (MalformedSend, TooLarge, UnknownEncoding):  # it could be read once: the configuration has changed since
            await self._end(taken, Turn.REFUSED, code=INVALID_PARAMETER)
            return
        path, onward = lent(kept.path, readable_encodings(kept.headers), course.lender)  # kept by the version before, perhaps
        decided = await self._decided(taken, course, send)
        if decided is None:
            return
        if not await self._holding.move_on(taken, Turn.SEND, now=self._now()):
            await self._aftermath.released(decided)
            raise _Stop
        began = perf_counter()
        try:
            answer = await self._upstream.post(path, onward, kept.body, method=kept.method)
        except UpstreamError as error:
            course.upstream_s, course.upstream_status = perf_counter() - began, error.status
            self._record.write(course, decided.decision)
            if not error.sent:
                await self._aftermath.released(decided)
                await self._put_back(taken)
            await self._aftermath.unanswered(decided)
            await self._end(taken, Turn.LOST)
            return
        except BaseException:  # cancelled while the body may be on its way: after a while it counts as lost
            course.upstream_s = perf_counter() - began
            self._aftermath.broken_off(decided)
            self._record.write(course, decided.decision)
            raise
        course.upstream_s, course.upstream_status = perf_counter() - began, answer.status
        fate, read = await self._aftermath.followed_up(decided, answer, decision_id=course.id)
        self._record.write(course, decided.decision)
        await self._conclude(taken, decided, fate, read, answer.status)

    async def _conclude(self, taken: Taken, decided: Decided, fate: Fate, read: Answer | None, status: int) -> None:
        """Make of a text what Meta's answer says; _Stop: it waits on."""
        code = read.error_code if read is not None else None
        if fate is Fate.TAKEN:
            await self._end(taken, Turn.TAKEN, wamid=read.wamid if read else None)
        elif fate is Fate.UNKNOWN:
            await self._end(taken, Turn.LOST)
        elif code == WINDOW_CLOSED:
            await self._holding.shut(decided, now=self._now())
            await self._put_back(taken)
        elif code in _LATER:
            await self._put_back(taken)
        else:
            await self._end(taken, Turn.REFUSED, code=status if code is None else code)

    async def _decided(self, taken: Taken, course: Course, send: Send) -> Decided | None:
        """Decide a text as it goes out now; None: it is refused. _Stop: it waits on, for that is not the last word on it."""
        course.recipient, course.type = masked(send.to or send.recipient or ""), send.type[:LONGEST]
        decided = await self._engine.decide(
            send, taken.list.phone_number_id, now=self._now(), decision_id=course.id, caller=course.caller
        )
        decision = decided.decision
        course.answer = decided.outcome.nth_answer(decided.plan) if decided.outcome else 0
        course.decided_at = perf_counter()
        if decision.state is State.DEGRADED:
            await self._put_back(taken)
        if decision.forwards:
            return decided
        self._record.write(course, decision)
        assert decision.refusal is not None
        if decision.needs_template or decision.retry_after or decision.reason is Reason.LEDGER_UNAVAILABLE:
            await self._put_back(taken, decision.retry_after or 0)
        await self._end(taken, Turn.REFUSED, code=decision.refusal.code)
        return None

    async def _put_back(self, taken: Taken, wait: int = 0) -> NoReturn:
        """Let a text that was not sent wait on, and those behind it."""
        due = max(wait, PUT_BACK_MS)
        await insisted(lambda: self._holding.move_on(taken, Turn.PUT_BACK, now=self._now(), due=due))
        raise _Stop

    async def _end(self, taken: Taken, turn: Turn, *, wamid: str | None = None, code: int | None = None) -> None:
        """Keep what became of a text."""
        assert taken.text is not None
        said = {name: str(value) for name, value in (("wamid", wamid), ("code", code)) if value is not None}
        if await insisted(lambda: self._holding.move_on(taken, turn, now=self._now(), told=said)):
            self._ended(taken.text.id, PASSINGS[turn].to, decision=taken.text.owner, code=code)

    def _ended(self, text_id: str, state: TextState, *, decision: str | None = None, code: int | None = None) -> None:
        self._metrics.held_texts.labels(state).inc()
        self._log.info(HELD_ENDED, id=text_id, decision=decision, state=state, code=code)
