"""
Own the façade over Redis: one round trip for each verb, and what becomes of a ledger that does not answer.

A call that Redis does not answer in time is a `LedgerError`, and so is every call after it until a probe gets through: while the
ledger is away, nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import date
from typing import Any, TypeVar

import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, ReadOnlyError, RedisError, ResponseError

from gatekeeper.core.bill import Line, lines
from gatekeeper.core.errors import LedgerError
from gatekeeper.core.outcome import Outcome
from gatekeeper.core.plan import Plan
from gatekeeper.core.reservation import Facts
from gatekeeper.core.settlement import Settled, Settling
from gatekeeper.core.tariff import Meter
from gatekeeper.ledger import calls, keys, records, scripts
from gatekeeper.ledger.calls import Call
from gatekeeper.ledger.patience import in_time
from gatekeeper.ledger.records import Record

PROBE_S = 0.5
_CONNECTIONS = 16  # more would only wait for each other: one process is busy long before
_CHUNK = 100  # calls that are answered well within the time-out, and that others wait behind
STALE = "stale"
_VERSION = b"version"  # no template fact is called that: each names a template after a space
_T = TypeVar("_T")
_outcome = msgspec.msgpack.Decoder(Outcome).decode
settled = msgspec.msgpack.Decoder(Settled).decode


class Ledger:
    """Shared state, atomically."""

    def __init__(
        self, url: str, *, timeout_ms: int, cluster: bool = False, on_change: Callable[[bool], None] | None = None
    ) -> None:
        """*on_change* is told when the ledger is lost (False) and when it is back (True)."""
        self._timeout = timeout_ms / 1000
        self._scripts = scripts.load()
        self._on_change = on_change or (lambda _up: None)
        self._probe: asyncio.Task[None] | None = None
        self._cluster = cluster
        self._slots, self._finding = asyncio.Semaphore(_CONNECTIONS), asyncio.Lock()
        self.up = True
        never = Retry(NoBackoff(), 0)  # a script that was cut off may have run: asking twice would take twice
        self._redis: Any
        if cluster:
            self._redis = redis.RedisCluster.from_url(url, socket_connect_timeout=self._timeout)
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

    async def run(self, batch: Sequence[Call]) -> list[Any]:
        """Run scripts in their order, in one round trip for so many; what each returns comes back."""
        answers: list[Any] = []
        for start in range(0, len(batch), _CHUNK):
            answers += await self._asked(self._evaluated(batch[start : start + _CHUNK]))
        return answers

    async def authorize(
        self, tag: str, plan: Plan, facts: Facts, *, commit: bool, enforce: bool = True, registry: str = ""
    ) -> Outcome:
        """Decide one send and reserve what it takes; *registry* is the version of the templates that the plan rests on."""
        call = calls.authorize(tag, plan, facts, commit=commit, enforce=enforce, registry=registry)
        return _outcome((await self.run([call]))[0])

    async def release(self, tag: str, settling: Settling) -> Settled:
        """Give back what a send holds that Meta refused."""
        return settled((await self.run([calls.release(tag, settling)]))[0])

    async def records(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Record]:
        """The reservations of messages, by (tag, wamid); one that nobody knows is absent."""
        found: list[Any] = []
        for start in range(0, len(wanted), _CHUNK):

            def ask(pipeline: Any, some: Sequence[tuple[str, str]] = wanted[start : start + _CHUNK]) -> None:
                for tag, wamid in some:
                    pipeline.hmget(keys.message(tag, wamid), *records.FIELDS)

            found += await self.piped(ask)
        read = ((key, records.read(values)) for key, values in zip(wanted, found, strict=True))
        return {key: record for key, record in read if record is not None}

    async def watch(self, tag: str, phone_number_id: str, *, now: int) -> None:
        """Remember since when a phone number's webhooks are seen."""
        key = keys.watch(tag, phone_number_id)

        def write(pipeline: Any) -> None:
            pipeline.set(key, now, nx=True)
            pipeline.pexpire(key, keys.WATCH_MS)

        await self.piped(write)

    async def watched_since(self, tag: str, phone_number_id: str) -> int | None:
        """Since when a phone number is watched; None: it is not."""
        found = await self._asked(self._redis.get(keys.watch(tag, phone_number_id)))
        return None if found is None else int(found)

    async def thread(self, tag: str, phone_number_id: str, recipient: str) -> dict[str, str]:
        """The fields of a thread, links followed."""
        key, seen, found = keys.thread(tag, phone_number_id, recipient), set[str](), dict[bytes, bytes]()
        while key and key not in seen:
            seen.add(key)
            found = await self._asked(self._redis.hgetall(key))
            key = found.pop(b"link", b"").decode()
        return {field.decode(): value.decode() for field, value in found.items()}

    async def set_settled(self, tag: str, meter: Meter, count: int) -> None:
        """Set what a meter has settled so far."""
        key = calls.meter_key(tag, meter)

        def write(pipeline: Any) -> None:
            pipeline.hset(key, mapping={"settled": count, "opening": 0})
            pipeline.pexpire(key, keys.METER_MS)

        await self.piped(write)

    async def bill(self, tag: str, waba_id: str, days: Sequence[date]) -> list[Line]:
        """The lines of a WABA's bill on some days."""

        def ask(pipeline: Any) -> None:
            for day in days:
                pipeline.hgetall(keys.spend(tag, waba_id, day))

        found = await self.piped(ask)
        return [
            line
            for day, fields in zip(days, found, strict=True)
            for line in lines(day, {name.decode(): int(value) for name, value in fields.items()})
        ]

    async def settled_units(self, tag: str, meter: Meter) -> int:
        """How many units of an allowance have been settled."""
        found = await self._asked(self._redis.hmget(calls.meter_key(tag, meter), "settled", "opening"))
        return sum(int(units or 0) for units in found)

    async def templates(self, tag: str, waba_id: str) -> tuple[str, dict[str, str]]:
        """What Meta said of a WABA and its templates, as it was learned, and its version."""
        found = await self._asked(self._redis.hgetall(keys.templates(tag, waba_id)))
        version = found.pop(_VERSION, b"0").decode()
        return version, {field.decode(): value.decode() for field, value in found.items()}

    async def templates_version(self, tag: str, waba_id: str) -> str:
        """The version alone."""
        found: bytes | None = await self._asked(self._redis.hget(keys.templates(tag, waba_id), _VERSION))
        return (found or b"0").decode()

    async def learn(self, tag: str, waba_id: str, facts: dict[str, str], version: str = "") -> str:
        """Keep what Meta said of an account and its templates, if that is still at *version*; the new one, or STALE."""
        version_now: bytes = (await self.run([calls.learn(tag, waba_id, facts, version)]))[0]
        return version_now.decode()

    async def learn_number(self, phone_number_id: str, waba_id: str) -> None:
        """Remember which WABA a phone number belongs to."""
        key = keys.number(phone_number_id)

        def write(pipeline: Any) -> None:
            pipeline.hset(key, "waba_id", waba_id)
            pipeline.pexpire(key, keys.NUMBER_MS)
            pipeline.sadd(keys.numbers(waba_id), phone_number_id)
            pipeline.pexpire(keys.numbers(waba_id), keys.NUMBER_MS)
            pipeline.sadd(keys.wabas(keys.NOBODY), waba_id)
            pipeline.pexpire(keys.wabas(keys.NOBODY), keys.NUMBER_MS)

        await self.piped(write)

    async def wabas(self) -> list[str]:
        """The WABAs that phone numbers were seen to belong to and that no account names."""
        return sorted(waba_id.decode() for waba_id in await self._asked(self._redis.smembers(keys.wabas(keys.NOBODY))))

    async def numbers_of(self, waba_id: str) -> list[str]:
        """The phone numbers that were seen to belong to a WABA that no account names."""
        return sorted(number.decode() for number in await self._asked(self._redis.smembers(keys.numbers(waba_id))))

    async def waba_of(self, phone_number_id: str) -> str | None:
        """The WABA that a phone number was seen to belong to."""
        found = await self._asked(self._redis.hget(keys.number(phone_number_id), "waba_id"))
        return None if found is None else found.decode()

    async def _evaluated(self, batch: Sequence[Call]) -> list[Any]:
        answers = await self._evalsha(batch)
        missing = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missing:  # Redis was restarted or flushed
            for script in self._scripts.values():
                await self._redis.script_load(script.source)
            again = await self._evalsha([batch[n] for n in missing])
            for n, answer in zip(missing, again, strict=True):
                answers[n] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _evalsha(self, batch: Sequence[Call]) -> list[Any]:
        commands = [("EVALSHA", self._scripts[call.script].sha, len(call.keys), *call.keys, *call.arguments) for call in batch]
        if len(commands) == 1:
            try:
                return [await self._redis.execute_command(*commands[0])]
            except NoScriptError as error:
                return [error]
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    async def scanned(self, pattern: str) -> AsyncIterator[list[str]]:
        """The keys that match, on every node and a few at a time, so that Redis is never held up; some may come twice."""
        await self.ping()
        for node in self._redis.get_primaries() if self._cluster else [None]:
            cursor, there = b"0", {"target_nodes": node} if node else {}
            while cursor:
                asked = self._redis.execute_command("SCAN", cursor, "MATCH", pattern, "COUNT", _CHUNK, **there)
                answer = await self._asked(asked)
                cursor, found = next(iter(answer[0].values())) if node else answer[0], answer[1]
                yield [key.decode(errors="replace") for key in found]

    async def rewrite(self) -> None:
        """Have the file on disk written anew, without what was deleted."""
        await self._asked(self._redis.bgrewriteaof())

    async def piped(self, fill: Callable[[Any], None]) -> list[Any]:
        """Run plain commands in one round trip; all or none of them, where there is one Redis: no key is left without its lifetime."""
        pipeline = self._redis.pipeline(transaction=not self._cluster)
        fill(pipeline)
        answers: list[Any] = await self._asked(pipeline.execute())
        return answers

    async def _asked(self, question: Coroutine[Any, Any, _T]) -> _T:
        """Await Redis no longer than allowed; LedgerError when it fails, and at once while it is known to be away."""
        try:
            async with self._slots:  # a burst of ours is no fault of the ledger's, so waiting for each other is not timed
                if not self.up:
                    raise LedgerError("the ledger is away")
                async with in_time(self._timeout):
                    if self._cluster:
                        async with self._finding:  # many that look for the nodes at once cut each other off
                            await self._redis.initialize()
                    return await question
        except (RedisError, OSError, TimeoutError) as error:
            if not isinstance(error, ResponseError) or isinstance(error, BusyLoadingError | ReadOnlyError):
                self._lost()
            raise LedgerError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from None
        finally:
            question.close()  # one that was never asked would be a warning

    def _lost(self) -> None:
        if self.up:
            self.up = False
            self._on_change(False)
            self._probe = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """Ask every so often until Redis answers again."""
        while not self.up:
            await asyncio.sleep(PROBE_S)
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(self._timeout):
                    await self._redis.ping()
                self.up = True
        self._on_change(True)
