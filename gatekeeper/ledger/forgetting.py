"""
Own how a person is erased from the ledger: every key and value that names them, on every node, a few keys at a time.

What is booked stays: a bill and an allowance name nobody. A message on its way is erased with the rest, so what it reserved counts as
spent, as it does whenever Meta's word never comes.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import msgspec

from gatekeeper.core.persons import Person
from gatekeeper.core.recipients import canonical
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.ledger.records import read_facts

_KEY = re.compile(r"gk:\{(?P<tag>[^}]+)\}:(?P<noun>[a-z]+):?(?P<ids>.*)", re.DOTALL)
_MEMBER = "member:"
_AT_ONCE, _BYTES_AT_ONCE = 100, 1 << 18
_ROUNDS = 3  # what was renamed while it was looked for is found the next time
_UNREFERRED = 5  # so many ids has a budget's key before its recipient


class Key(NamedTuple):
    """A key, taken apart; *name*: what stands behind the phone number id, where that is what its ids begin with."""

    key: str
    tag: str
    noun: str
    ids: str

    @property
    def number(self) -> str:
        """The phone number id that its ids begin with."""
        return self.ids.partition(":")[0]

    @property
    def name(self) -> str:
        """What stands behind that."""
        return self.ids.partition(":")[2]


class Readers(msgspec.Struct, frozen=True, kw_only=True):
    """How stored values are read that the ledger keeps as they are: the phone number id, empty where unknown, and users' names."""

    status: Callable[[bytes], tuple[str, Iterable[str]]]
    answer: Callable[[bytes], Iterable[str]]
    text: Callable[[bytes | None, bytes | None], tuple[str, Iterable[str]]]


class Forgetting:
    """Erases one person."""

    def __init__(self, ledger: Ledger, readers: Readers, person: Person, number: str = "") -> None:
        """*number*: from what this phone number knows alone."""
        self._ledger = ledger
        self._readers = readers
        self._person = person
        self._number = number
        self._shared: dict[str, list[tuple[str, ...]]] = {}
        self._elsewhere: set[str] = set()

    async def forget(self) -> Counter[str]:
        """Erase; how much of what. LedgerError: not everything, so ask again."""
        while await self._learned():
            pass
        erased: Counter[str] = Counter()
        for _ in range(_ROUNDS):
            again = await self._erased()
            erased += again
            if not again.total():
                break
        return erased

    async def _learned(self) -> bool:
        """Look through the links for further names; whether there were any."""
        news = False
        async for found in self._ledger.scanned(f"gk:{{*}}:thread:{self._number or '*'}:*"):
            threads = [key for key in map(_parsed, found) if key is not None and self._within(key.number)]
            links = await self._asked([("HGET", thread.key, "link") for thread in threads])
            for thread, link in zip(threads, links, strict=True):
                target = _parsed(link.decode()) if link else None
                if target is not None:
                    news |= self._person.learn(thread.tag, thread.number, thread.name, target.name)
        return news

    async def _erased(self) -> Counter[str]:
        """Go over everything once."""
        erased: Counter[str] = Counter()
        self._shared.clear()
        async for found in self._ledger.scanned("gk:{*"):
            by_noun: defaultdict[str, list[Key]] = defaultdict(list)
            for key in map(_parsed, found):
                if key is not None:
                    by_noun[key.noun].append(key)
            for noun, some in by_noun.items():
                if noun in self.ERASERS:
                    what, erase = self.ERASERS[noun]
                    erased[what] += await erase(self, some)
        for tag, commands in self._shared.items():
            if tag not in self._elsewhere:
                erased["counters"] += sum(await self._asked(commands))
        return erased

    async def _threads(self, some: Sequence[Key]) -> int:
        self._elsewhere |= {one.tag for one in some if not self._within(one.number) and one.name in self._person.names}
        return await self._named(some)

    async def _named(self, some: Sequence[Key]) -> int:
        """Keys that are one user's."""
        return await self._unlinked(one.key for one in some if self._is_theirs(one.tag, one.number, one.name))

    async def _indexes(self, some: Sequence[Key]) -> int:
        """What leads from one user's thread to that which is erased and counted itself."""
        await self._named(some)
        return 0

    async def _lists(self, some: Sequence[Key]) -> int:
        """What waits for this person, and the lists of it."""
        theirs = [one for one in some if self._is_theirs(one.tag, one.number, one.name)]
        listed = await self._asked([("HGET", one.key, "texts") for one in theirs])
        texts = [text for packed in listed if packed for text in msgspec.msgpack.decode(packed, type=list[str])]
        await self._asked([("ZREM", keys.holding(one.tag), one.key) for one in theirs])
        await self._unlinked(one.key for one in theirs)
        return await self._unlinked(texts)

    async def _dues(self, some: Sequence[Key]) -> int:
        """Lists that are still to be looked at, though they are there no longer."""
        for one in some:
            start, found = 0, [b""]
            while found:
                [found] = await self._asked([("ZRANGE", one.key, str(start), str(start + _AT_ONCE - 1))])
                start += len(found)
                lists = [key for key in map(_parsed, (member.decode() for member in found)) if key is not None]
                gone = [("ZREM", one.key, key.key) for key in lists if self._is_theirs(key.tag, key.number, key.name)]
                start -= sum(await self._asked(gone))
        return 0

    async def _records(self, some: Sequence[Key]) -> int:
        """What sends hold. Of a group's it is the member's mark."""
        found = await self._asked([("HMGET", one.key, "facts", "thread") for one in some])
        theirs: list[str] = []
        groups: list[tuple[Key, str]] = []
        for one, (packed, written) in zip(some, found, strict=True):
            facts, thread = read_facts(packed) if packed else None, _parsed(written.decode()) if written else None
            if facts is None:
                continue
            if facts.group:
                groups.append((one, facts.phone_number_id))
            elif self._is_theirs(one.tag, facts.phone_number_id, facts.recipient) or (
                thread is not None and self._is_theirs(one.tag, thread.number, thread.name)
            ):
                theirs.append(one.key)
        await self._members(groups)
        return await self._unlinked(theirs)

    async def _members(self, groups: Sequence[tuple[Key, str]]) -> None:
        """Who of a group had its message."""
        found = await self._asked([("HKEYS", one.key) for one, _ in groups])
        marks = [(one, number, mark.decode()) for (one, number), fields in zip(groups, found, strict=True) for mark in fields]
        await self._asked(
            [
                ("HDEL", one.key, mark)
                for one, number, mark in marks
                if mark.startswith(_MEMBER) and self._is_theirs(one.tag, number, canonical(mark.removeprefix(_MEMBER)))
            ]
        )

    async def _statuses(self, some: Sequence[Key]) -> int:
        """Statuses of messages that nobody knows."""
        found = await self._asked([("LRANGE", one.key, "0", "-1") for one in some])
        gone = []
        for one, statuses in zip(some, found, strict=True):
            for status in statuses:
                number, names = self._readers.status(status)
                if self._has(one.tag, number, names):
                    gone.append(("LREM", one.key, "0", status))
        return sum(await self._asked(gone))

    async def _answers(self, some: Sequence[Key]) -> int:
        """Answers that repeats would get: the key stays used, so that nothing is sent twice."""

        def theirs(one: Key, owner: bytes | None, answer: bytes | None) -> bool:
            return bool(owner and answer) and self._has(one.tag, one.number, self._readers.answer(answer or b""))

        told = [(one.key, values[0].decode()) for one, values in await self._read(some, ("owner", "answer"), theirs)]
        await self._ledger.run([calls.conclude(key, owner=owner, outcome="lost") for key, owner in told])
        return sum(await self._asked([("HDEL", key, "answer") for key, _ in told]))

    async def _texts(self, some: Sequence[Key]) -> int:
        """Held texts that no list names any more."""

        def theirs(one: Key, wamid: bytes | None, request: bytes | None) -> bool:
            number, names = self._readers.text(request, wamid)
            return self._has(one.tag, number, names)

        return await self._unlinked(one.key for one, _ in await self._read(some, ("wamid", "request"), theirs))

    async def _read(
        self, some: Sequence[Key], fields: tuple[str, str], theirs: Callable[[Key, bytes | None, bytes | None], bool]
    ) -> list[tuple[Key, list[bytes]]]:
        """Which of the values are of this person; the second field may be large, so there are few at a time, and elsewhere."""
        found: list[tuple[Key, list[bytes]]] = []
        sizes = await self._asked([("HSTRLEN", one.key, fields[1]) for one in some])
        for group in _grouped(some, sizes):
            values = await self._asked([("HMGET", one.key, *fields) for one in group])
            pairs = list(zip(group, values, strict=True))
            marks = await asyncio.to_thread(list, map(theirs, group, *zip(*values, strict=True)))
            found += [pair for pair, mark in zip(pairs, marks, strict=True) if mark]
        return found

    async def _budgets(self, some: Sequence[Key]) -> int:
        """Budgets of one recipient each, which all numbers of a portfolio share."""
        for one in some:
            *_, name = one.ids.split(":", _UNREFERRED)
            if one.ids.count(":") >= _UNREFERRED and name in self._person.names:
                self._shared.setdefault(one.tag, []).append(("UNLINK", one.key))
        return 0

    async def _reached(self, some: Sequence[Key]) -> int:
        """Whom a portfolio reached, which all its numbers share."""
        for one in some:
            command = "ZREM" if one.key == keys.reached(one.tag) else "HDEL"
            self._shared.setdefault(one.tag, []).append((command, one.key, *sorted(self._person.names)))
        return 0

    # Every noun that may name a person: what is counted, and how it is erased. The others name none.
    ERASERS: ClassVar[dict[str, tuple[str, Callable[[Forgetting, Sequence[Key]], Awaitable[int]]]]] = {
        "thread": ("threads", _threads),
        "deliveries": ("threads", _named),
        "reservation": ("messages", _records),
        "message": ("messages", _records),
        "parked": ("statuses", _statuses),
        "strays": ("statuses", _indexes),
        "unnamed": ("messages", _indexes),
        "repeat": ("answers", _answers),
        "text": ("texts", _texts),
        "waiting": ("texts", _lists),
        "holding": ("texts", _dues),
        "pair": ("counters", _named),
        "budget": ("counters", _budgets),
        "reached": ("counters", _reached),
        "held": ("counters", _reached),
    }

    def _within(self, number: str) -> bool:
        return self._number in ("", number)

    def _is_theirs(self, tag: str, number: str, name: str) -> bool:
        return self._within(number) and self._person.has(tag, number, name)

    def _has(self, tag: str, number: str, names: Iterable[str]) -> bool:
        return any(self._is_theirs(tag, number, name) for name in names)

    async def _unlinked(self, found: Iterable[str]) -> int:
        return sum(await self._asked([("UNLINK", key) for key in found]))

    async def _asked(self, commands: Sequence[tuple[str | bytes, ...]]) -> list[Any]:
        """Run plain commands, each on one key, in as few round trips as do not hold Redis up."""
        return await self._ledger.each(commands)


def _grouped(some: Sequence[Key], sizes: Sequence[int]) -> Iterable[list[Key]]:
    """Some keys together, as long as what is read of them is not too much at once."""
    group: list[Key] = []
    total = 0
    for one, size in zip(some, sizes, strict=True):
        if group and total + size > _BYTES_AT_ONCE:
            yield group
            group, total = [], 0
        group.append(one)
        total += size
    if group:
        yield group


def _parsed(key: str) -> Key | None:
    found = _KEY.fullmatch(key)
    return Key(key, found["tag"], found["noun"], found["ids"]) if found else None
