"""Fixtures for tests that hold on both loops, asyncio's own and uvloop: import them, and each test of the module runs twice."""

from __future__ import annotations

import asyncio
import gc

import pytest
import uvloop

ON_BOTH = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request):
    return request.param()


@pytest.fixture
def complaints(caplog):
    """What the loop and aiohttp say, unless it is that something took long."""

    def found() -> list[str]:
        gc.collect(1)  # what a test leaves is young
        records = [one for one in caplog.get_records("call") if one.name.startswith(("asyncio", "aiohttp"))]
        said = [record.getMessage() for record in records]
        return [one for one in said if "Executing" not in one and "poll" not in one]

    return found


@pytest.fixture
async def watched(event_loop_policy, complaints):
    """The loop is the one that was wanted, and has nothing to complain of."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    assert isinstance(event_loop_policy, uvloop.EventLoopPolicy) == isinstance(loop, uvloop.Loop)
    yield
    assert [] == complaints()
