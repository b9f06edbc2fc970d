"""Own which node of Redis a key is on: the only one, or that of the key's slot in a cluster, wherever it moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import redis.asyncio as redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, RedisError, TryAgainError

from gatekeeper.core.errors import LedgerError
from gatekeeper.ledger.clients import Place
from gatekeeper.ledger.lanes import PROBE_S, Command, Lane, probing

_MIGRATING_S = 0.01
_NODES = ("CLUSTER", "SLOTS")
_REDIRECTED = (AskError, TryAgainError)  # a MovedError is an AskError


class Single:
    """One Redis, or the master that sentinels name."""

    known = True  # nothing has to be found before it is asked

    def __init__(self, client: redis.Redis, *, timeout_s: float, on_change: Callable[[bool], None]) -> None:
        self._client = client
        self._lane = Lane(client.connection_pool, timeout_s=timeout_s, on_change=lambda: on_change(self.up), probe=self._serves)

    @property
    def up(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._lane.up

    @property
    def why(self) -> str:
        """Why it is away."""
        return "" if self.up else self._lane.why

    async def find(self) -> None:
        """It is where it was said to be."""

    def lane(self, _key: str) -> Lane:
        """The only one."""
        return self._lane

    def all(self) -> list[Lane]:
        """Every node that has keys."""
        return [self._lane]

    async def followed(self, _key: str, _commands: Sequence[Command], answers: list[Any]) -> list[Any]:
        """One Redis never sends a caller on."""
        return answers

    async def close(self) -> None:
        """Drop every connection."""
        await self._lane.close()
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def _serves(self, key: str) -> bool:
        [answer] = await self._lane.direct([probing(key)])
        return not isinstance(answer, Exception)


class Cluster:
    """A Redis Cluster: a node that is lost takes its own businesses with it and nobody else's."""

    def __init__(
        self,
        places: Sequence[Place],
        pool: Callable[[Place], redis.ConnectionPool],
        *,
        timeout_s: float,
        on_change: Callable[[bool], None],
    ) -> None:
        """*places*: whom to ask for all nodes at first; *pool*: how one is reached."""
        self._places = list(places)
        self._pool = pool
        self._timeout = timeout_s
        self._on_change = on_change
        self._lanes: dict[Place, Lane] = {}
        self._slots: list[Place | None] = []
        self._looking: asyncio.Task[None] | None = None
        self._one, self._looked = asyncio.Lock(), asyncio.Event()
        self._up = self._found = True

    @property
    def up(self) -> bool:
        """Whether all nodes answered when they were last asked."""
        return self._found and all(lane.up for lane in self._lanes.values())

    @property
    def why(self) -> str:
        """Why nodes are away, each behind its address."""
        lost = [f"{host}:{port}: {lane.why}" for (host, port), lane in sorted(self._lanes.items()) if not lane.up]
        return "; ".join(lost) or ("" if self._found else "no node of the cluster answers")

    @property
    def known(self) -> bool:
        """Whether a node has said where all the others are."""
        return bool(self._slots)

    async def find(self) -> None:
        """Wait until it was looked for the nodes once; LedgerError when there were none."""
        if not self._looked.is_set() and self._looking is None:
            self._look_again()
        await self._looked.wait()  # many that wait share one look
        if not self._slots:
            self._look_again()
            raise LedgerError("no node of the cluster answers")

    def lane(self, key: str) -> Lane:
        """The node of a key's slot; LedgerError when nobody has that."""
        place = self._slots[key_slot(key.encode())]
        if place is None:
            self._look_again()
            raise LedgerError("no node of the cluster serves this slot")
        return self._lane_of(place)

    def all(self) -> list[Lane]:
        """Every node that has keys."""
        return [self._lane_of(place) for place in dict.fromkeys(self._slots) if place is not None]

    async def followed(self, key: str, commands: Sequence[Command], answers: list[Any]) -> list[Any]:
        """The *answers*, where a node has sent us on those of the right one: a slot moved, or is moving."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._timeout
        while any(isinstance(answer, _REDIRECTED) for answer in answers) and loop.time() < ends:
            for n, answer in enumerate(answers):
                if isinstance(answer, MovedError):
                    self._slots[answer.slot_id] = self._where(key, answer)
                    self._look_again()
                    [answers[n]] = await self.lane(key).ask(key, [commands[n]])
                elif isinstance(answer, AskError):
                    answers[n] = (await self._lane_of(self._where(key, answer)).ask(key, [("ASKING",), commands[n]]))[-1]
                elif isinstance(answer, TryAgainError):  # some of the keys have moved, the others will
                    await asyncio.sleep(_MIGRATING_S)
                    [answers[n]] = await self.lane(key).ask(key, [commands[n]])
        return answers

    async def close(self) -> None:
        """Drop every connection."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for lane in list(self._lanes.values()):
            await lane.close()

    def _lane_of(self, place: Place) -> Lane:
        lane = self._lanes.get(place)
        if lane is None:
            lane = Lane(
                self._pool(place),
                timeout_s=self._timeout,
                on_change=self._changed,
                probe=lambda key: self._serves(place, key),
            )
            self._lanes[place] = lane
        return lane

    def _where(self, key: str, error: AskError) -> Place:
        """Whom a node named; one that does not know its own name, or another's, has the name of the one that was asked."""
        known = self._slots[key_slot(key.encode())]
        return error.host or (known[0] if known else self._places[0][0]), error.port

    async def _serves(self, place: Place, key: str) -> bool:
        """Look for the nodes anew: another one may have taken over the slots of this one, which is forgotten then."""
        await self._look()
        lane = self._lanes[place]
        if (self.lane(key) is not lane) if key else (place not in self._slots):
            del self._lanes[place]
            lane.retire()
            return True
        [answer] = await lane.direct([probing(key) if key else _NODES])
        return not isinstance(answer, Exception) or type(answer) is AskError  # it is giving this slot away, and serves the others

    def _changed(self) -> None:
        if self.up != self._up:
            self._up = self.up
            self._on_change(self._up)

    def _look_again(self) -> None:
        """Look for the nodes while others are asked, every so often at most."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_and_rest())

    async def _look_and_rest(self) -> None:
        await self._look()
        await asyncio.sleep(PROBE_S)

    async def _look(self) -> None:
        """Ask all who may know for the nodes; the first is believed that knows of every slot, or who knows of most."""
        async with self._one:
            asked = [asyncio.ensure_future(self._told(place)) for place in {*self._places, *self._lanes}]
            best: list[Place | None] = []
            try:
                for answer in asyncio.as_completed(asked):
                    best = max(best, await answer, key=lambda slots: sum(map(bool, slots)))
                    if best and all(best):
                        break
            finally:
                for one in asked:
                    one.cancel()
                await asyncio.gather(*asked, return_exceptions=True)
            self._slots = best or self._slots
            self._found = bool(best)
            self._looked.set()
        self._changed()

    async def _told(self, place: Place) -> list[Place | None]:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            [answer] = await self._lane_of(place).direct([_NODES])
            if isinstance(answer, list) and answer:
                return _slots(answer, place)
        return []


def _slots(ranges: Sequence[Any], asked: Place) -> list[Place | None]:
    """Who has each slot, by the answer to CLUSTER SLOTS; a node that does not know its own name is the one that was *asked*."""
    slots: list[Place | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    for start, end, (host, port, *_), *_ in ranges:
        slots[start : end + 1] = [(host.decode() if host else asked[0], port)] * (end + 1 - start)
    return slots
