"""Own how long Redis may take: so long, but not while this process is too busy to read an answer that has come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

# Each step gives the event loop a turn to read what has arrived: with an idle loop they add up to the time given.
_STEPS = 10


@contextlib.asynccontextmanager
async def in_time(seconds: float, *, pressed: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
    """
    TimeoutError in the block when Redis has not answered for so long, or for half of it and others wait behind (*pressed*).

    A cancellation is passed on though the client may swallow it, as redis-py does one that comes while it looks at its connection.
    """
    loop, waiting, task = asyncio.get_running_loop(), list[asyncio.TimerHandle](), asyncio.current_task()
    asked = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(None) as limit:

            def step(left: int) -> None:
                if left and not (2 * left <= _STEPS and pressed()):
                    waiting[:] = [loop.call_later(seconds / _STEPS, step, left - 1)]
                else:
                    limit.reschedule(loop.time())

            step(_STEPS)
            try:
                yield
            finally:
                waiting[0].cancel()
    finally:
        if task and task.cancelling() > asked:
            raise asyncio.CancelledError
