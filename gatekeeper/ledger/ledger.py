"""
Own the façade over Redis: one round trip for each verb, and what becomes of a ledger that does not answer: a `LedgerError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from typing import Any

from redis.exceptions import NoScriptError

from gatekeeper.core.bill import Line, lines
from gatekeeper.core.errors import RefusedCallError, UnusableKeyError
from gatekeeper.core.outcome import Outcome
from gatekeeper.core.plan import Plan
from gatekeeper.core.reservation import Facts
from gatekeeper.core.settlement import Settled, Settling
from gatekeeper.core.tariff import Meter
from gatekeeper.ledger import calls, clients, keys, records, scripts, wire
from gatekeeper.ledger.calls import Call
from gatekeeper.ledger.clients import Tls
from gatekeeper.ledger.lanes import MOST, Command, probing
from gatekeeper.ledger.nodes import Cluster, Single
from gatekeeper.ledger.records import Record
from gatekeeper.ledger.refusals import Refusals

STALE = "stale"
settled = wire.settled
_VERSION = "version"  # no template fact is called that: each names a template after a space


class Ledger:
    """Shared state, atomically; of the event loop in which it was made."""

    def __init__(
        self,
        url: str,
        *,
        timeout_ms: int,
        cluster: bool = False,
        tls: Tls | None = None,
        on_change: Callable[[bool], None] | None = None,
        on_refusal: Callable[[RefusedCallError], None] | None = None,
    ) -> None:
        """
        *on_change* is told when the ledger, or a node of it, is lost (False) and when all of it is back (True).

        *on_refusal* is told of every call that Redis answered with an error.
        """
        told = on_change or (lambda _up: None)
        timeout_s = timeout_ms / 1000
        self._scripts = scripts.load()
        self._refusals = Refusals(self._scripts.values(), on_refusal)
        self._sources = {script.sha: script.source for script in self._scripts.values()}
        self._cluster = cluster
        self._nodes: Single | Cluster
        if cluster:
            self._nodes = Cluster(*clients.cluster(url, timeout_s=timeout_s, tls=tls), timeout_s=timeout_s, on_change=told)
        else:
            self._nodes = Single(clients.single(url, timeout_s=timeout_s, tls=tls), timeout_s=timeout_s, on_change=told)

    @property
    def up(self) -> bool:
        """Whether all of it answered when it was last asked."""
        return self._nodes.up

    @property
    def why(self) -> str:
        """Why the ledger, or some of it, is away; empty when it is not."""
        return self._nodes.why

    async def close(self) -> None:
        """Drop every connection."""
        await self._nodes.close()

    async def ping(self) -> None:
        """Ask whether Redis can keep anything; LedgerError when not."""
        key = keys.probe(keys.NOBODY)
        await self.ask(key, probing(key))

    async def run(self, batch: Sequence[Call], *, behind: bool = False, partial: bool = False) -> list[Any]:
        """
        Run scripts in their order, in one round trip for so many; what each returns comes back. *behind*: sends go first.

        *partial*: one that an unusable key stops has its UnusableKeyError for an answer.
        """
        if len(batch) == 1 or (not self._cluster and 0 < len(batch) <= MOST):
            return await self._at(batch[0].keys[0], [self._asked(call) for call in batch], behind=behind, partial=partial)
        answers: list[Any] = []
        for start in range(0, len(batch), MOST):
            commands = [(call.keys[0], self._asked(call)) for call in batch[start : start + MOST]]
            answers += await self._spread(commands, behind=behind, partial=partial)
        return answers

    async def authorize(
        self, tag: str, plan: Plan, facts: Facts, *, commit: bool, enforce: bool = True, registry: str = ""
    ) -> Outcome:
        """Decide one send and reserve what it takes; *registry* is the version of the templates that the plan rests on."""
        call = calls.authorize(tag, plan, facts, commit=commit, enforce=enforce, registry=registry)
        return wire.outcome((await self._at(call.keys[0], [self._asked(call)]))[0])

    async def release(self, tag: str, settling: Settling) -> Settled:
        """Give back what a send holds that Meta refused."""
        return wire.settled((await self.run([calls.release(tag, settling)]))[0])

    async def records(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Record]:
        """The reservations of messages, by (tag, wamid); one that nobody knows is absent."""
        found = await self.each([("HMGET", keys.message(tag, wamid), *records.FIELDS) for tag, wamid in wanted], partial=True)
        whole = ((key, values) for key, values in zip(wanted, found, strict=True) if not isinstance(values, UnusableKeyError))
        read = ((key, records.read(values)) for key, values in whole)
        return {key: record for key, record in read if record is not None}

    async def watch(self, tag: str, phone_number_id: str, *, now: int) -> None:
        """Remember since when a phone number's webhooks are seen."""
        key = keys.watch(tag, phone_number_id)
        await self.ask(key, ("SET", key, now, "NX"), ("PEXPIRE", key, keys.WATCH_MS))

    async def watched_since(self, tag: str, phone_number_id: str) -> int | None:
        """Since when a phone number is watched; None: it is not."""
        key = keys.watch(tag, phone_number_id)
        [found] = await self.ask(key, ("GET", key))
        return None if found is None else int(found)

    async def thread(self, tag: str, phone_number_id: str, recipient: str) -> dict[str, str]:
        """The fields of a thread, links followed."""
        key, seen, found = keys.thread(tag, phone_number_id, recipient), set[str](), dict[str, str]()
        while key and key not in seen:
            seen.add(key)
            found = _pairs((await self.ask(key, ("HGETALL", key)))[0])
            key = found.pop("link", "")
        return found

    async def set_settled(self, tag: str, meter: Meter, count: int) -> None:
        """Set what a meter has settled so far."""
        key = calls.meter_key(tag, meter)
        await self.ask(key, ("HSET", key, "settled", count, "opening", 0), ("PEXPIRE", key, keys.METER_MS))

    async def bill(self, tag: str, waba_id: str, days: Sequence[date]) -> list[Line]:
        """The lines of a WABA's bill on some days."""
        found = await self.each([("HGETALL", keys.spend(tag, waba_id, day)) for day in days])
        return [
            line
            for day, flat in zip(days, found, strict=True)
            for line in lines(day, {name: int(value) for name, value in _pairs(flat).items()})
        ]

    async def settled_units(self, tag: str, meter: Meter) -> int:
        """How many units of an allowance have been settled."""
        key = calls.meter_key(tag, meter)
        [found] = await self.ask(key, ("HMGET", key, "settled", "opening"))
        return sum(int(units or 0) for units in found)

    async def templates(self, tag: str, waba_id: str) -> tuple[str, dict[str, str]]:
        """What Meta said of a WABA and its templates, as it was learned, and its version."""
        key = keys.templates(tag, waba_id)
        facts = _pairs((await self.ask(key, ("HGETALL", key)))[0])
        return facts.pop(_VERSION, "0"), facts

    async def templates_version(self, tag: str, waba_id: str) -> str:
        """The version alone."""
        key = keys.templates(tag, waba_id)
        [found] = await self.ask(key, ("HGET", key, _VERSION))
        return (found or b"0").decode()

    async def learn(self, tag: str, waba_id: str, facts: dict[str, str], version: str = "") -> str:
        """Keep what Meta said of an account and its templates, if that is still at *version*; the new one, or STALE."""
        version_now: bytes = (await self.run([calls.learn(tag, waba_id, facts, version)]))[0]
        return version_now.decode()

    async def learn_number(self, phone_number_id: str, waba_id: str) -> None:
        """Remember which WABA a phone number belongs to."""
        for key, *written in (
            (keys.number(phone_number_id), "HSET", "waba_id", waba_id),
            (keys.numbers(waba_id), "SADD", phone_number_id),
            (keys.wabas(keys.NOBODY), "SADD", waba_id),
        ):
            await self.ask(key, (written[0], key, *written[1:]), ("PEXPIRE", key, keys.NUMBER_MS))

    async def wabas(self) -> list[str]:
        """The WABAs that phone numbers were seen to belong to and that no account names."""
        return await self._members(keys.wabas(keys.NOBODY))

    async def numbers_of(self, waba_id: str) -> list[str]:
        """The phone numbers that were seen to belong to a WABA that no account names."""
        return await self._members(keys.numbers(waba_id))

    async def waba_of(self, phone_number_id: str) -> str | None:
        """The WABA that a phone number was seen to belong to."""
        key = keys.number(phone_number_id)
        [found] = await self.ask(key, ("HGET", key, "waba_id"))
        return None if found is None else found.decode()

    async def scanned(self, pattern: str) -> AsyncIterator[list[str]]:
        """The keys that match, on every node and a few at a time, so that Redis is never held up; some may come twice."""
        if not self._nodes.known:
            await self._nodes.find()
        for lane in self._nodes.all():
            cursor = b"0"
            while True:
                commands = [("SCAN", cursor, "MATCH", pattern, "COUNT", MOST)]
                [answer] = await self._refusals.sound(commands, await lane.ask("", commands))
                cursor = answer[0]
                yield [key.decode(errors="replace") for key in answer[1]]
                if cursor == b"0":
                    break

    async def rewrite(self) -> None:
        """Have the file on disk written anew, without what was deleted."""
        await self.ask(keys.probe(keys.NOBODY), ("BGREWRITEAOF",))

    async def each(self, commands: Sequence[Command], *, partial: bool = False) -> list[Any]:
        """Run plain commands, each on the key that is its first argument, in one round trip for so many; *partial* as for `run`."""
        if len(commands) == 1:
            return await self._at(_text(commands[0][1]), commands, partial=partial)
        answers: list[Any] = []
        for start in range(0, len(commands), MOST):
            some = [(_text(command[1]), command) for command in commands[start : start + MOST]]
            answers += await self._spread(some, partial=partial)
        return answers

    async def ask(self, key: str, *commands: Command) -> list[Any]:
        """Run plain commands on keys of the slot of *key*; all or none of them, where there is one Redis: no key without its lifetime."""
        if len(commands) == 1 or self._cluster:
            return await self._at(key, commands)
        answers = (await self._at(key, [("MULTI",), *commands, ("EXEC",)]))[-1]
        return await self._refusals.sound(commands, answers, lambda asked: self._nodes.lane(key).ask(key, asked))

    def _asked(self, call: Call) -> Command:
        return "EVALSHA", self._scripts[call.script].sha, len(call.keys), *call.keys, *call.arguments

    async def _members(self, key: str) -> list[str]:
        [found] = await self.ask(key, ("SMEMBERS", key))
        return sorted(member.decode() for member in found)

    async def _spread(self, commands: Sequence[tuple[str, Command]], *, behind: bool = False, partial: bool = False) -> list[Any]:
        """Run commands, each behind a key of its slot, in their order on every slot."""
        if len(commands) == 1 or not self._cluster or len({_slot(key) for key, _ in commands}) == 1:
            return await self._at(commands[0][0], [command for _, command in commands], behind=behind, partial=partial)
        slots: dict[str, list[int]] = {}
        for n, (key, _) in enumerate(commands):
            slots.setdefault(_slot(key), []).append(n)
        found = await asyncio.gather(
            *(
                self._at(commands[some[0]][0], [commands[n][1] for n in some], behind=behind, partial=partial)
                for some in slots.values()
            ),
            return_exceptions=True,
        )
        answers: dict[int, Any] = {}
        for some, own in zip(slots.values(), found, strict=True):
            if isinstance(own, BaseException):
                raise own
            answers.update(zip(some, own, strict=True))
        return [answers[n] for n in range(len(commands))]

    async def _at(self, key: str, commands: Sequence[Command], *, behind: bool = False, partial: bool = False) -> list[Any]:
        nodes = self._nodes
        if not nodes.known:
            await nodes.find()
        answers = await nodes.lane(key).ask(key, commands, behind=behind)
        for answer in answers:
            if isinstance(answer, Exception):
                break
        else:
            return answers
        answers = await nodes.followed(key, commands, answers)
        missing = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missing:  # Redis was restarted or flushed, or has never run them
            whole = self._whole([commands[n] for n in missing])
            again = await nodes.followed(key, whole, await nodes.lane(key).ask(key, whole, behind=behind))
            for n, answer in zip(missing, again, strict=True):
                answers[n] = answer
        return await self._refusals.sound(commands, answers, lambda asked: nodes.lane(key).ask(key, asked), partial=partial)

    def _whole(self, commands: Sequence[Command]) -> list[Command]:
        """Let the first call of each script carry its source: Redis keeps it."""
        known, whole = set[Any](), list[Command]()
        for command in commands:
            sha, *rest = command[1:]
            whole.append(command if sha in known else ("EVAL", self._sources[str(sha)], *rest))
            known.add(sha)
        return whole


def _slot(key: str) -> str:
    """The part of a key that decides where it is."""
    return key[: key.find("}")]


def _text(part: str | bytes | int) -> str:
    return part.decode() if isinstance(part, bytes) else str(part)


def _pairs(flat: Sequence[bytes]) -> dict[str, str]:
    """The fields of a hash."""
    return {flat[n].decode(): flat[n + 1].decode() for n in range(0, len(flat), 2)}
