"""A ledger that lives as long as a module's examples."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis import Redis
from world import World


@pytest.fixture(scope="module")
def world(redis_url: str, redis_session: Redis) -> Iterator[World]:
    with asyncio.Runner() as runner:
        opened = World(redis_url, redis_session, runner)
        yield opened
        opened.close()
