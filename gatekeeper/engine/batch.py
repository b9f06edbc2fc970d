"""Own the calls that a webhook comes to: run in their order, and while the last ones are run the next are made up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gatekeeper.core.settlement import Settling
from gatekeeper.core.tariff import UNKNOWN_PRICE
from gatekeeper.ledger.calls import Call
from gatekeeper.ledger.lanes import MOST
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta import events as meta


class Batch:
    """The calls of a webhook, and what is to be read from their answers."""

    def __init__(self, ledger: Ledger) -> None:
        self.settling: dict[int, tuple[Settling, int]] = {}
        self.parking: dict[int, meta.Status] = {}
        self.failed: set[str] = set()
        self._ledger = ledger
        self._count = 0
        self._next: list[Call] = []
        self._answers: list[Any] = []
        self._going: asyncio.Task[None] | None = None

    def add(
        self,
        call: Call,
        *,
        settling: Settling | None = None,
        quote: int = UNKNOWN_PRICE,
        parking: meta.Status | None = None,
    ) -> None:
        """Have one more run."""
        if settling is not None:
            self.settling[self._count] = settling, quote
        if parking is not None:
            self.parking[self._count] = parking
        self.add_all([call])

    def add_all(self, calls: Sequence[Call]) -> None:
        """Have some more run whose answers say nothing."""
        self._next += calls
        self._count += len(calls)

    async def flow(self) -> None:
        """Let what is enough for a trip set out, and others have their turn."""
        if len(self._next) >= MOST:
            some, self._next = self._next, []
            self._going = asyncio.get_running_loop().create_task(self._run(some, self._going))
            await asyncio.sleep(0)

    async def answers(self) -> list[Any]:
        """What all of them returned, in their order; LedgerError: some may not have been run."""
        if self._going is None:
            return await self._ledger.run(self._next, behind=True)
        await self._run(self._next, self._going)
        return self._answers

    async def give_up(self) -> None:
        """Run no more than what is on its way."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.wait([self._going])
            if not self._going.cancelled():
                self._going.exception()  # who asked for the answers has had it

    async def _run(self, some: Sequence[Call], before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        self._answers += await self._ledger.run(some, behind=True)
