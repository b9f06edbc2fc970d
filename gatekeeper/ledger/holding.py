"""Own the part of the ledger's façade that texts wait in: their lists, their states, and which lists are due."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from gatekeeper.core.holding import PASSINGS, Text, TextState, Turn
from gatekeeper.ledger import calls, keys, wire
from gatekeeper.ledger.ledger import Ledger

_LIST = re.compile(r"gk:\{(?P<tag>.+?)\}:waiting:(?P<phone_number_id>[0-9]+):(?P<recipient>.*)", re.DOTALL)
_MOST_DUE = 1024  # the others are due at the next look
_STATE = ("state", "deadline", "lease", "wamid", "code")


class Step(StrEnum):
    """What one wants of a list."""

    LOOK = "look"
    ASK = "ask"
    ASKED = "asked"
    GAVE_UP = "gave_up"


class Place(StrEnum):
    """What a text gets there: it waits, is the one for which the recipient is asked, while another one is, or there is no room."""

    JOINED = "joined"
    FIRST = "first"
    BUSY = "busy"
    FULL = "full"


class Found(StrEnum):
    """How a list is found: its first text is claimed, another sender is at it, the recipient has not answered, nothing waits."""

    CLAIMED = "claimed"
    BUSY = "busy"
    SHUT = "shut"
    EMPTY = "empty"


class List(msgspec.Struct, frozen=True):
    """Whom texts wait for."""

    tag: str
    phone_number_id: str
    recipient: str


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A text that is ours to send."""

    key: str
    owner: str
    deadline: int
    request: bytes
    secret: bytes

    @property
    def id(self) -> str:
        """The text's id."""
        return _id(self.key)


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a list had; where it is kept from now on, and the ids of the texts that were let go."""

    found: Found
    list: List
    expired: Sequence[str]
    lost: Sequence[str]
    text: Claimed | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger has of a text."""

    state: TextState
    deadline: int
    lease: int
    wamid: str | None
    code: int | None


class Texts:
    """What waits."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def queue(self, where: List, text: Text, step: Step, *, now: int) -> tuple[Place, str]:
        """Let a text wait, or see whether it could; the place that it has, and what Meta calls its recipient."""
        if step in (Step.ASK, Step.ASKED):
            await self._keep_tag(where.tag, now=now, until=text.entry.deadline + text.entry.lifetime)
        call = calls.queue(where.tag, where.phone_number_id, where.recipient, text, step=step, now=now)
        place, named = (await self._ledger.run([call]))[0]
        return Place(place.decode()), named.decode()

    async def take(self, where: List, *, owner: str, clock: str, patience: int, look: int, now: int) -> Taken:
        """Claim the first text of a list whose recipient has answered."""
        call = calls.take(
            where.tag,
            where.phone_number_id,
            where.recipient,
            owner=owner,
            clock=clock,
            patience=patience,
            look=look,
            now=now,
        )
        found, key, expired, lost, *text = (await self._ledger.run([call]))[0]
        return Taken(
            found=Found(found.decode()),
            list=_list(key) or where,
            expired=[_id(one.decode()) for one in expired],
            lost=[_id(one.decode()) for one in lost],
            text=Claimed(key=text[0].decode(), owner=owner, deadline=text[1], request=text[2], secret=text[3]) if text else None,
        )

    async def move_on(
        self,
        where: List,
        text: Claimed,
        turn: Turn,
        *,
        now: int,
        lease: int = 0,
        due: int = 0,
        told: dict[str, str] | None = None,
    ) -> bool:
        """Move a claimed text on; False: it is no longer ours. *due*: after how long its list is looked at again."""
        onward = wire.onward(PASSINGS[turn], owner=text.owner, lease=lease, due=due, told=told or {})
        waiting = keys.waiting(where.tag, where.phone_number_id, where.recipient)
        call = calls.move_on(text.key, waiting, keys.holding(where.tag), onward, now=now)
        return bool((await self._ledger.run([call]))[0])

    async def wake(self, users: Sequence[List], *, now: int) -> int:
        """Look at once at what waits for users who may have answered; how many lists there are."""
        batch = [calls.wake(user.tag, user.phone_number_id, user.recipient, now=now) for user in users]
        return sum(await self._ledger.run(batch))

    async def told(self, tag: str, text_id: str) -> Told | None:
        """What became of a text; None: nobody knows it, or no longer."""
        key = keys.text(tag, text_id)
        [found] = await self._ledger.ask(key, ("HMGET", key, *_STATE))
        state, deadline, lease, wamid, code = (None if value is None else value.decode() for value in found)
        if state is None or deadline is None:
            return None
        return Told(
            state=TextState(state),
            deadline=int(deadline),
            lease=int(lease or 0),
            wamid=wamid,
            code=None if code is None else int(code),
        )

    async def tags(self, *, now: int) -> list[str]:
        """Whose texts wait, or did not long ago."""
        key = keys.holders(keys.NOBODY)
        [found] = await self._ledger.ask(key, ("ZRANGEBYSCORE", key, now, "+inf"))
        return [tag.decode() for tag in found]

    async def due(self, tag: str, *, now: int, everything: bool = False) -> tuple[list[List], int]:
        """The lists that are due, and how many there are in all."""
        key, until = keys.holding(tag), "+inf" if everything else now
        first = ("ZRANGEBYSCORE", key, "-inf", until, "LIMIT", 0, _MOST_DUE)
        found, count = await self._ledger.ask(key, first, ("ZCARD", key))
        return [one for one in map(_list, found) if one is not None], count

    async def _keep_tag(self, tag: str, *, now: int, until: int) -> None:
        """Remember whose texts wait, so that every process looks after them whatever its configuration names."""
        key = keys.holders(keys.NOBODY)
        await self._ledger.ask(
            key,
            ("ZREMRANGEBYSCORE", key, "-inf", now),
            ("ZADD", key, "GT", until, tag),
            ("PEXPIRE", key, keys.HOLDERS_MS),
        )


def _list(key: bytes) -> List | None:
    found = _LIST.fullmatch(key.decode())
    return None if found is None else List(**found.groupdict())


def _id(key: str) -> str:
    return key.rpartition(":")[2]
