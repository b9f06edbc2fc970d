"""One Redis and one loop for all the examples of a module, and a look at everything that an example left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from redis import Redis
from story import Story

from gatekeeper.ledger import keys
from gatekeeper.ledger.ledger import Ledger

PATIENCE_MS = 10_000
_T = TypeVar("_T")

# Every key's lifetime, and when it ends in Unix milliseconds: read in one step, so that both are of one moment.
_LIFETIMES = """
local now, found = redis.call('TIME'), {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  found[#found + 1] = {key, left, now[1] * 1000 + math.floor(now[2] / 1000) + left}
end
return found
"""
FOR_EVER = -1
SLACK_MS = 5

Content = dict[str, dict[str, str] | list[str] | str]


def bounded(examples: int) -> settings:
    """So many examples, and none remembered; Redis may take its time."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


async def opened(url: str) -> Ledger:
    """A ledger on the runner's loop."""
    return Ledger(url, timeout_ms=PATIENCE_MS)


class World:
    """A ledger for example after example."""

    def __init__(self, url: str, redis: Redis, runner: asyncio.Runner) -> None:
        self.redis = redis
        self.ledger = runner.run(opened(url))
        self._runner = runner

    def run(self, course: Coroutine[Any, Any, _T]) -> _T:
        """Live through an example; whatever it leaves has to end by itself."""
        try:
            return self._runner.run(course)
        finally:
            assert [] == [key for key, (left, _) in self.lifetimes().items() if left == FOR_EVER]

    def close(self) -> None:
        self._runner.run(self.ledger.close())

    def story(self, day: str, **account: Any) -> Story:
        """A new history in an empty ledger."""
        self.redis.flushall()
        return Story(self.ledger, day, **account)

    # ---------------------------------------------------------------------------------------------- what is there

    def lifetimes(self) -> dict[str, tuple[int, int]]:
        """For each key how long it lives, and until when."""
        found: list[Any] = self.redis.eval(_LIFETIMES, 0)
        return {key.decode(): (left, until) for key, left, until in found}

    def content(self) -> Content:
        """What each key holds."""
        return {key.decode(): self._value(key) for key in sorted(self.redis.scan_iter())}

    def _value(self, key: bytes) -> dict[str, str] | list[str] | str:
        match self.redis.type(key):
            case b"hash":
                return {field.decode(): value.decode("latin-1") for field, value in sorted(self.redis.hgetall(key).items())}
            case b"list":
                return [item.decode("latin-1") for item in self.redis.lrange(key, 0, -1)]
            case _:
                return self.redis.get(key).decode("latin-1")

    def meters(self) -> dict[str, tuple[int, int]]:
        """For each meter what is settled and what is reserved."""
        return {
            key: (int(value.get("settled", 0)), int(value.get("reserved", 0)))
            for key, value in self.content().items()
            if ":meter:" in key and isinstance(value, dict)
        }

    def fields(self, story: Story, user: str, number: str) -> dict[str, str]:
        """A thread's fields; links are followed."""
        key = keys.thread(story.account.portfolio, number, user)
        found: dict[str, str] = {}
        for _ in range(9):
            found = {field.decode(): value.decode() for field, value in self.redis.hgetall(key).items()}
            if "link" not in found:
                break
            key = found["link"]
        return found


def confirmed(fields: dict[str, str]) -> dict[str, int]:
    """The end of each clock that counts as opened."""
    return {
        clock: int(value)
        for clock, value in fields.items()
        if clock[-1].isalnum() and int(fields.get(clock + "<", 0)) > max(int(fields.get(clock + mark, 0)) for mark in "!*")
    }


def assumed(fields: dict[str, str]) -> dict[str, int]:
    """The end of each clock that is assumed open."""
    return {field[:-1]: int(value) for field, value in fields.items() if field.endswith("?")}


def running(clocks: dict[str, int], at: int) -> dict[str, int]:
    """Those that are not over."""
    return {clock: ends for clock, ends in clocks.items() if ends > at}
