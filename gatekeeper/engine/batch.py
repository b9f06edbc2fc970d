"""Own the calls that a webhook comes to: run in their order, and while the last ones are run the next are made up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gatekeeper.core.effects import Change
from gatekeeper.core.errors import UnusableKeyError
from gatekeeper.core.reservation import State
from gatekeeper.core.settlement import Settling
from gatekeeper.core.tariff import UNKNOWN_PRICE
from gatekeeper.core.word import Word
from gatekeeper.ledger import calls
from gatekeeper.ledger.calls import Call
from gatekeeper.ledger.lanes import MOST
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.ledger.records import Record
from gatekeeper.meta import events as meta

# So many are made up before others have their turn: while Redis is at work on the first of them, the next ones are made.
_SOME = 16
NEVER_EARLIER = -1


class Message:
    """
    One message of ours, as far as a webhook was taken in: its reservation, Meta's word on it, and what became of it.

    *delivered_at*: the earliest delivery that is known, of this webhook too, in Unix milliseconds; None: none is.
    *failed*: Meta said that it failed, and not that it was delivered.
    """

    __slots__ = ("delivered_at", "failed", "record", "word")
    delivered_at: int | None

    def __init__(self, record: Record | None) -> None:
        self.record = record
        self.word: Word | None = record.word if record else None
        self.failed, self.delivered_at = False, None
        if record is not None:
            self.failed = record.state is State.RELEASED
            if record.state is State.SETTLED:  # without its time: by the version before, which settles once
                self.delivered_at = NEVER_EARLIER if record.settled_at is None else record.settled_at


class Batch:
    """The calls of a webhook, and what is to be read from their answers."""

    def __init__(self, ledger: Ledger, *, now: int) -> None:
        self.now = now
        self.settling: dict[int, tuple[Settling, int, str]] = {}
        self.parking: dict[int, meta.Status] = {}
        self.unkept = 0
        self._ledger = ledger
        self._count = self._flowed = 0
        self._next: list[Call] = []
        self._answers: list[Any] = []
        self._going: asyncio.Task[None] | None = None
        self._observed: dict[str, dict[str, Change]] = {}

    def add(self, call: Call) -> None:
        """Have one more run whose answer says nothing."""
        self._next.append(call)
        self._count += 1

    def settle(self, call: Call, settling: Settling, tag: str, quote: int = UNKNOWN_PRICE) -> None:
        """Settle a message that was quoted so, of the business with this tag."""
        self.settling[self._count] = settling, quote, tag
        self.add(call)

    def park(self, call: Call, status: meta.Status) -> None:
        """Keep the status of a message that nobody knows."""
        self.parking[self._count] = status
        self.add(call)

    def observe(self, thread: str, changes: list[Change]) -> None:
        """Move clocks of a thread, but for what was done to them last: every change may be made twice, and is the same then."""
        last = self._observed.get(thread)
        if last is None:
            last = self._observed[thread] = {}
        else:
            changes = [change for change in changes if last.get(change.clock) != change]
        if changes:
            for change in changes:
                last[change.clock] = change
            self.add(calls.observe(thread, changes, now=self.now))

    def link(self, links: Sequence[Call]) -> None:
        """Let names lead to threads: what was known of those is of others from now on."""
        for call in links:
            for thread in call.keys:
                self._observed.pop(thread, None)
            self.add(call)

    @property
    def due(self) -> bool:
        """Whether so many have come since others last had their turn."""
        return self._count - self._flowed >= _SOME

    async def flow(self) -> None:
        """Let what there is set out unless a trip is on its way, and others have their turn. LedgerError as for answers."""
        self._flowed = self._count
        if self._going is None or self._going.done():
            if self._going is not None:
                self._going.result()
            self._going = asyncio.get_running_loop().create_task(self._run())
        await asyncio.sleep(0)

    async def answers(self) -> list[Any]:
        """
        What all of them returned, in their order; LedgerError: some may not have been run.

        What an unusable key stopped is left out of what settles and parks, and counted as *unkept*: its neighbours stay.
        """
        if self._going is not None:
            await self._going
        await self._run()
        for n, answer in enumerate(self._answers):
            if isinstance(answer, UnusableKeyError):
                self.settling.pop(n, None)
                self.parking.pop(n, None)
                self.unkept += 1
        return self._answers

    async def give_up(self) -> None:
        """Run no more than what is on its way."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.wait([self._going])
            if not self._going.cancelled():
                self._going.exception()  # who asked for the answers has had it

    async def _run(self) -> None:
        while self._next:
            some, self._next = self._next[:MOST], self._next[MOST:]
            self._answers += await self._ledger.run(some, behind=True, partial=True)
