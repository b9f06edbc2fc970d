"""What tests share: a throwaway Redis and Redis Cluster for the session, an empty ledger for each test, and a watch on what they leave."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
from hypothesis import settings
from redis import Redis
from redis_cluster import cluster, flush

from gatekeeper.ledger.embedded import EmbeddedLedger
from gatekeeper.ledger.ledger import Ledger

# The same examples every time, so that a change is what makes a test fail; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

PATIENCE_MS = 10_000
FOR_EVER = -1


def pytest_addoption(parser: pytest.Parser) -> None:
    """Here, where pytest looks for options whether it is given all tests or `tests/faults` alone."""
    group = parser.getgroup("faults", "the fault harness of tests/faults")
    group.addoption("--long", action="store_true", help="inject many faults at random and write README's table")
    group.addoption("--faults", type=int, metavar="N", help="so many, instead of 1000 or of each one once")
    group.addoption("--seed", type=int, metavar="SEED", help="the schedule of an earlier run")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """
    Run one server for all tests.

    It is started in a loop of its own, which rests while tests run: each test has another one, and connections belong to theirs.
    """
    loop = asyncio.new_event_loop()
    server = EmbeddedLedger(None)
    loop.run_until_complete(server.start())
    try:
        yield server.url
    finally:
        loop.run_until_complete(server.stop())
        loop.close()


@pytest.fixture(scope="session")
def redis_session(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def redis(redis_session: Redis) -> Redis:
    """Look into an empty Redis without a loop."""
    redis_session.flushall()
    return redis_session


@pytest.fixture
async def ledger(redis_url: str, redis: Redis) -> AsyncIterator[Ledger]:
    """Open an empty ledger in the test's own loop."""
    opened = Ledger(redis_url, timeout_ms=PATIENCE_MS)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def redis_cluster_url() -> Iterator[str]:
    """Run one cluster of three nodes for all tests that ask for it; the address of one of them."""
    with cluster() as url:
        yield url


@pytest.fixture
async def cluster_ledger(redis_cluster_url: str) -> AsyncIterator[Ledger]:
    """Open an empty ledger on the cluster in the test's own loop."""
    flush(redis_cluster_url)
    opened = Ledger(redis_cluster_url, timeout_ms=PATIENCE_MS, cluster=True)
    yield opened
    await opened.close()


def keys_for_ever(redis: Redis) -> list[str]:
    """Find the keys that would never go away by themselves."""
    return sorted(key.decode() for key in redis.scan_iter(count=1000) if redis.ttl(key) == FOR_EVER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail the test that left a key without a lifetime: in the ledger everything ends."""
    result = yield
    client = getattr(item, "funcargs", {}).get("redis")
    if client is not None and (left := keys_for_ever(client)):
        pytest.fail(f"left without a lifetime: {', '.join(left)}", pytrace=False)
    return result
