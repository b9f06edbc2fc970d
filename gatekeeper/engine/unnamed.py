"""
Own the sends whose message Meta's answer did not name: a status names them later, or what they hold is given back.

Meta may have taken a send without a word that can be read: the answer is in an encoding that is not read, broken, or never came. The
statuses of its message then name it: the first `sent`, `delivered` or `failed` of an unknown message in its thread, from the moment
of the send on. What is joined so was sent from this number to this recipient, so the books never exceed what Meta bills. No `read`
names a send: users read what is older than anything that the ledger remembers.
"""

from __future__ import annotations

from gatekeeper.core.bill import Quoted
from gatekeeper.core.reservation import Event, Facts
from gatekeeper.core.settlement import Settling
from gatekeeper.engine.directory import Directory
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.ledger import Ledger, settled
from gatekeeper.ledger.records import read_facts
from gatekeeper.telemetry import Metrics

_AT_ONCE = 256
_MOVED, _GONE = "moved", b"gone"


class Unnamed:
    """Sends that wait for the name of their message."""

    def __init__(self, ledger: Ledger, directory: Directory, metrics: Metrics) -> None:
        self._ledger = ledger
        self._directory = directory
        self._metrics = metrics

    async def expect(self, tag: str, quoted: Quoted, facts: Facts, *, taken: bool, now: int) -> list[bytes]:
        """
        Let a send wait for a status that names its message; the statuses that came before, where they name it at once. LedgerError.

        *taken*: Meta took it, so it is booked; of what it may have taken that is done when a status says so.
        """
        await self._keep_tag(tag, now=now)
        answer: list[bytes] = (await self._ledger.run([calls.expect(tag, quoted, facts, taken=taken, now=now)]))[0]
        if answer[0] != _GONE:
            self._metrics.unnamed_sends.labels(answer[0].decode()).inc()
        return answer[1:]

    async def lapse(self, *, now: int) -> list[str]:
        """Give back what sends hold that no status has named in time; their ids. LedgerError."""
        key, lapsed = keys.lapsers(keys.NOBODY), list[str]()
        _, tags = await self._ledger.ask(key, ("ZREMRANGEBYSCORE", key, "-inf", now), ("ZRANGE", key, "0", "-1"))
        for tag in tags:
            lapsed += await self._lapse(tag.decode(), now=now)
        return lapsed

    async def _lapse(self, tag: str, *, now: int) -> list[str]:
        key, lapsed = keys.lapsing(tag), list[str]()
        [due] = await self._ledger.ask(key, ("ZRANGEBYSCORE", key, "-inf", now, "LIMIT", 0, _AT_ONCE))
        for send_id in [one.decode() for one in due]:
            record = keys.reservation(tag, send_id)
            [(packed, unnamed)] = await self._ledger.ask(record, ("HMGET", record, "facts", "waits"))
            if packed is not None:
                facts = read_facts(packed)
                number = await self._directory.number(facts.phone_number_id)
                settling = Settling(at=now, event=Event.LAPSE, facts=facts, account=number.account)
                if settled((await self._ledger.run([calls.release(tag, settling)]))[0]).status == _MOVED:
                    self._metrics.unnamed_sends.labels("lapsed").inc()
                    lapsed.append(send_id)
            await self._ledger.ask(key, ("ZREM", key, send_id), *([("HDEL", unnamed, send_id)] if unnamed else ()))
        return lapsed

    async def _keep_tag(self, tag: str, *, now: int) -> None:
        """Remember whose sends wait, so that every process looks after them whatever its configuration names."""
        key = keys.lapsers(keys.NOBODY)
        until = now + 2 * keys.UNNAMED_MS
        await self._ledger.ask(key, ("ZADD", key, "GT", until, tag), ("PEXPIRE", key, 2 * keys.UNNAMED_MS))
