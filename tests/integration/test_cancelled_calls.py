"""A call to the ledger that is cancelled is cancelled: whoever stops a task that asks it does not wait for that task in vain."""

from __future__ import annotations

import asyncio

import pytest

from gatekeeper.ledger.ledger import Ledger

TURNS = 30


@pytest.mark.parametrize("connected", [True, False])
async def test_a_cancellation_is_never_swallowed(connected, redis_url, redis):
    """At whatever turn of the loop it comes, on a new connection or one that is there."""
    kept = []
    for turn in range(TURNS):
        ledger = Ledger(redis_url, timeout_ms=2000)
        if connected:
            await ledger.ping()
        call = asyncio.create_task(ledger.templates("1", "2"))
        for _ in range(turn):
            await asyncio.sleep(0)
        if call.cancel():
            await asyncio.wait([call])
            kept += [turn] if not call.cancelled() else []
        await ledger.close()

    assert [] == kept
