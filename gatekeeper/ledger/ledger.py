"""
Own the façade over Redis: one method per verb, one round trip each, and what becomes of a ledger that does not answer.

A call that Redis does not answer in time is a `LedgerError`, and so is every call after it until a probe gets through: while the
ledger is away, nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from gatekeeper.core.decision import Outcome
from gatekeeper.core.effects import Change
from gatekeeper.core.errors import LedgerError
from gatekeeper.core.plan import Meter, Plan
from gatekeeper.core.reservation import Facts, State
from gatekeeper.core.settlement import Settled, Settling, Word
from gatekeeper.ledger import keys, scripts, wire

PROBE_S = 0.5
_CONNECTIONS = 64
_outcome = msgspec.msgpack.Decoder(Outcome).decode
_settled = msgspec.msgpack.Decoder(Settled).decode
_facts = msgspec.msgpack.Decoder(Facts).decode
_word = msgspec.msgpack.Decoder(Word).decode
_VERSION = b"version"  # no template fact is called that: each names a template after a space


class Call(msgspec.Struct, frozen=True):
    """One script with its keys and arguments."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[bytes | str | int]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A reservation as the ledger holds it. *window_until*: the window's end as known at send; *quote*: micro-units, -1 unknown."""

    facts: Facts
    state: State
    thread: str
    window_until: int
    quote: int
    word: Word | None


class Ledger:
    """Shared state, atomically."""

    def __init__(
        self, url: str, *, timeout_ms: int, cluster: bool = False, on_change: Callable[[bool], None] | None = None
    ) -> None:
        self._timeout = timeout_ms / 1000
        self._scripts = scripts.load()
        self._on_change = on_change or (lambda _up: None)
        self._probe: asyncio.Task[None] | None = None
        self.up = True
        never = Retry(NoBackoff(), 0)  # a script that was cut off may have run: asking twice would take twice
        if cluster:
            self._redis: Any = redis.RedisCluster.from_url(url, socket_connect_timeout=self._timeout)
        else:
            pool = redis.BlockingConnectionPool.from_url(
                url, max_connections=_CONNECTIONS, timeout=None, retry=never, socket_connect_timeout=self._timeout
            )
            self._redis = redis.Redis(connection_pool=pool)

    async def close(self) -> None:
        """Drop every connection."""
        if self._probe:
            self._probe.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probe
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()
            pool = getattr(self._redis, "connection_pool", None)
            if pool is not None:
                await pool.disconnect()

    async def ping(self) -> None:
        """Ask whether Redis answers; LedgerError when not."""
        await self._asked(self._redis.ping())

    async def authorize(  # noqa: PLR0913
        self, tag: str, plan: Plan, facts: Facts, *, commit: bool, enforce: bool = True, registry: str = ""
    ) -> Outcome:
        """Decide one send and reserve what it takes; *registry* is the version of the templates that the plan rests on."""
        meters = wire.meters(plan.rows, first=5)
        sent = plan.sent
        named = [
            keys.thread(tag, sent.phone_number_id, sent.recipient),
            keys.reservation(tag, facts.id),
            keys.watch(tag, sent.phone_number_id),
            keys.templates(tag, plan.account.waba_id),
            *(self._meter(tag, meter) for meter in meters),
        ]
        packed = wire.plan(plan, facts, meters, commit=commit, enforce=enforce, registry=registry)
        return _outcome(await self._call("authorize", named, plan.at, packed, wire.facts(facts)))

    async def accept(self, tag: str, decision_id: str, wamid: str) -> list[bytes]:
        """Give a reservation its wamid; the statuses that were parked under it come back, oldest first."""
        named = [keys.reservation(tag, decision_id), keys.message(tag, wamid), keys.parked(tag, wamid)]
        return list(await self._call("accept", named, State.ACCEPTED))

    async def park(self, tag: str, wamid: str, status: bytes) -> bool:
        """Keep a status whose message is unknown; True when it is known after all."""
        named = [keys.message(tag, wamid), keys.parked(tag, wamid)]
        return bool(await self._call("park", named, status, keys.PARKED_MS))

    async def note(self, tag: str, wamid: str, word: Word) -> None:
        """Remember Meta's word on a message for the status that will settle it."""
        await self._call("note", [keys.message(tag, wamid)], msgspec.msgpack.encode(word))

    async def settle(self, tag: str, settling: Settling, wamid: str, thread: str) -> Settled:
        """Settle or release the message *wamid*."""
        return await self._moved(tag, settling, keys.message(tag, wamid), thread)

    async def release(self, tag: str, settling: Settling) -> Settled:
        """Give back what a send holds that Meta refused."""
        facts = settling.facts
        thread = keys.thread(tag, facts.phone_number_id, facts.recipient)
        return await self._moved(tag, settling, keys.reservation(tag, facts.id), thread)

    async def records(self, tag: str, wamids: Sequence[str]) -> dict[str, Record]:
        """The reservations of messages, by wamid; one that nobody knows is absent."""

        async def read() -> Any:
            pipeline = self._redis.pipeline(transaction=False)
            for wamid in wamids:
                pipeline.hmget(keys.message(tag, wamid), "facts", "state", "thread", "latch", "quote", "note")
            return await pipeline.execute()

        found = await self._asked(read())
        return {
            wamid: Record(
                facts=_facts(facts),
                state=State(state.decode()),
                thread=thread.decode(),
                window_until=int(latch),
                quote=int(quote),
                word=_word(note) if note else None,
            )
            for wamid, (facts, state, thread, latch, quote, note) in zip(wamids, found, strict=True)
            if facts is not None
        }

    async def observe(self, tag: str, phone_number_id: str, recipient: str, changes: list[Change], *, now: int) -> None:
        """Move the clocks of one thread by what Meta said of it."""
        named = [keys.thread(tag, phone_number_id, recipient)]
        await self._call("observe", named, now, wire.changes(changes))

    async def link(self, tag: str, phone_number_id: str, name: str, recipient: str) -> None:
        """Let *name* stand for *recipient* from now on."""
        named = [keys.thread(tag, phone_number_id, name), keys.thread(tag, phone_number_id, recipient)]
        await self._call("link", named, keys.LINK_MS)

    async def watch(self, tag: str, phone_number_id: str, *, now: int) -> None:
        """Remember since when a phone number's webhooks are seen."""
        key = keys.watch(tag, phone_number_id)

        async def write() -> None:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.set(key, now, nx=True)
            pipeline.pexpire(key, keys.WATCH_MS)
            await pipeline.execute()

        await self._asked(write())

    async def thread(self, tag: str, phone_number_id: str, recipient: str) -> dict[str, str]:
        """The fields of a thread, links followed."""
        key = keys.thread(tag, phone_number_id, recipient)
        for _ in range(4):
            found = await self._asked(self._redis.hgetall(key))
            if b"link" not in found:
                break
            key = found[b"link"].decode()
        return {field.decode(): value.decode() for field, value in found.items()}

    async def watched_since(self, tag: str, phone_number_id: str) -> int | None:
        """Since when a phone number is watched; None: it is not."""
        found = await self._asked(self._redis.get(keys.watch(tag, phone_number_id)))
        return None if found is None else int(found)

    async def set_settled(self, tag: str, meter: Meter, count: int) -> None:
        """Set what a meter has settled so far."""
        key = self._meter(tag, meter)

        async def write() -> None:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hset(key, "settled", count)
            pipeline.pexpire(key, keys.METER_MS)
            await pipeline.execute()

        await self._asked(write())

    async def templates(self, tag: str, waba_id: str) -> tuple[str, dict[str, str]]:
        """What Meta said of a WABA's templates, as it was learned, and its version."""
        found = await self._asked(self._redis.hgetall(keys.templates(tag, waba_id)))
        version = found.pop(_VERSION, b"0").decode()
        return version, {field.decode(): value.decode() for field, value in found.items()}

    async def learn_template(self, tag: str, waba_id: str, learned: dict[str, str]) -> None:
        """Keep what Meta said of one template; each fact is a field of its own, so that none overwrites another."""
        key = keys.templates(tag, waba_id)

        async def write() -> None:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.hset(key, mapping=learned)
            pipeline.hincrby(key, _VERSION, 1)
            pipeline.pexpire(key, keys.TEMPLATES_MS)
            await pipeline.execute()

        await self._asked(write())

    async def learn_number(self, phone_number_id: str, waba_id: str) -> None:
        """Remember which WABA a phone number belongs to."""
        key = keys.number(phone_number_id)

        async def write() -> None:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hset(key, "waba_id", waba_id)
            pipeline.pexpire(key, keys.NUMBER_MS)
            await pipeline.execute()

        await self._asked(write())

    async def waba_of(self, phone_number_id: str) -> str | None:
        """The WABA that a phone number was seen to belong to."""
        found = await self._asked(self._redis.hget(keys.number(phone_number_id), "waba_id"))
        return None if found is None else found.decode()

    async def _moved(self, tag: str, settling: Settling, record: str, thread: str) -> Settled:
        meters = wire.meters(settling.rows, settling.own, first=3)
        named = [record, thread, *(self._meter(tag, meter) for meter in meters)]
        return _settled(await self._call("settle", named, settling.at, wire.move(settling, meters)))

    @staticmethod
    def _meter(tag: str, meter: Meter) -> str:
        return keys.meter(tag, meter.name, meter.owner, meter.month)

    async def _call(self, name: str, named: Sequence[str], *arguments: bytes | str | int) -> Any:
        script = self._scripts[name]

        async def evaluate() -> Any:
            try:
                return await self._redis.execute_command("EVALSHA", script.sha, len(named), *named, *arguments)
            except NoScriptError:  # Redis was restarted or flushed: EVAL runs it and keeps it
                return await self._redis.execute_command("EVAL", script.source, len(named), *named, *arguments)

        return await self._asked(evaluate())

    async def _asked(self, question: Any) -> Any:
        """Await Redis no longer than allowed; LedgerError when it fails, and at once while it is known to be away."""
        if not self.up:
            question.close()
            raise LedgerError("the ledger is away")
        try:
            async with asyncio.timeout(self._timeout):
                return await question
        except (RedisError, OSError, TimeoutError) as error:
            if not isinstance(error, redis.ResponseError) or isinstance(error, redis.BusyLoadingError | redis.ReadOnlyError):
                self._lost()
            raise LedgerError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from None

    def _lost(self) -> None:
        if self.up:
            self.up = False
            self._on_change(False)
            self._probe = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """Ask every so often until Redis answers again."""
        while True:
            await asyncio.sleep(PROBE_S)
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(self._timeout):
                    await self._redis.ping()
                self.up = True
                self._on_change(True)
                return
