"""Own how long Redis may take: so long, but not while this process is too busy to read an answer that has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

# Each step gives the event loop a turn to read what has arrived: with an idle loop they add up to the time given.
STEPS = 10
LAST_S = 0.001  # a loop that looks at its clocks before its sockets reads meanwhile what came before the last step


class in_time:  # noqa: N801 - it reads as what it does, like asyncio.timeout
    """
    TimeoutError in the block when Redis has not answered for so long, or for half of it and others wait behind (*pressed*).

    A cancellation is passed on though the client may swallow it, as redis-py does one that comes while it looks at its connection.
    """

    __slots__ = ("_asked", "_limit", "_loop", "_pressed", "_step", "_task", "_waiting", "left")

    def __init__(self, seconds: float, *, pressed: Callable[[], bool] | None = None) -> None:
        self.left = STEPS
        self._step = seconds / STEPS
        self._pressed = pressed
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._asked = self._task.cancelling() if self._task else 0
        await self._limit.__aenter__()
        self._waiting = self._loop.call_later(self._step, self._wait)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._waiting.cancel()
        try:
            await self._limit.__aexit__(kind, error, trace)
        finally:
            if self._task and self._task.cancelling() > self._asked:
                raise asyncio.CancelledError

    def _wait(self) -> None:
        self.left -= 1
        if self.left and not (self._pressed is not None and 2 * self.left <= STEPS and self._pressed()):
            self._waiting = self._loop.call_later(self._step, self._wait)
        else:
            self._limit.reschedule(self._loop.time() + LAST_S)
