"""Nothing of ours asks twice by itself, and nobody waits for an answer that cannot come: what a review found, held for good."""

from __future__ import annotations

import asyncio

import pytest

from gatekeeper.core.errors import LedgerError, UpstreamError
from gatekeeper.ledger import keys
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.server.upstream import Upstream
from gatekeeper.settings import Upstream as Settings


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_send_goes_out_once_whatever_its_method_promises(method, wire):
    """A kept connection that breaks before the answer leaves it unknown whether the send was taken: it is not sent again."""
    arrived = []

    async def script(head, reader, writer):
        arrived.append(head.line.split()[0])
        await reader.readexactly(3)
        if len(arrived) == 1:
            writer.write(wire.answer)
        else:
            writer.close()

    wire.script = script
    upstream = Upstream(Settings(base_url=wire.url))
    first = await upstream.post("/v1/2/messages", (), b"one", method=method)
    with pytest.raises(UpstreamError) as broken:
        await upstream.post("/v1/2/messages", (), b"two", method=method)
    await upstream.close()

    assert (200, True, [method, method]) == (first.status, broken.value.sent, arrived)


async def test_who_asks_a_ledger_that_is_closed_hears_so(redis_url):
    """Whether the question was on its way, waited, or comes later."""
    ledger = Ledger(redis_url, timeout_ms=2000)
    await ledger.ping()
    asked = [asyncio.create_task(ledger.ask(key, ("GET", key))) for key in [keys.probe("x")] * 50]
    await asyncio.sleep(0)
    await ledger.close()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*asked, return_exceptions=True)

    assert {True} == {isinstance(answer, LedgerError | list) for answer in answers}
    with pytest.raises(LedgerError):
        await ledger.ping()


async def test_a_record_that_cannot_be_read_costs_one_look(house, redis):
    """Another version of ours may write what this one does not know: a status of such a message is taken, and settles nothing."""
    await house.wrote()
    await house.text()
    [message] = list(redis.scan_iter("gk:*:message:*"))
    redis.hset(message, "state", "nobody knows")
    told = await house.status("wamid.1", "delivered")
    after = await house.text()

    assert (200, 200) == (told.status, after.status)
    assert [] == house.logged("ledger_lost")
