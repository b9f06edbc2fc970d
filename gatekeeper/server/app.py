"""Own lifetimes: what is started in which order, and how all of it stops."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import LedgerError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.secret import Secret
from gatekeeper.engine import Engine
from gatekeeper.engine.holding import Holding
from gatekeeper.ledger.lanes import PROBE_S
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.sandbox.graph import Sandbox
from gatekeeper.server import ledgers
from gatekeeper.server.admin import Admin
from gatekeeper.server.aftermath import Aftermath
from gatekeeper.server.callers import Callers
from gatekeeper.server.connections import GraphServer
from gatekeeper.server.flushing import Flushing
from gatekeeper.server.forwarding import Forwarding
from gatekeeper.server.holding import Held
from gatekeeper.server.listener import Listener
from gatekeeper.server.recorded import RecordedEngine
from gatekeeper.server.recording import Recording
from gatekeeper.server.reload import Reload
from gatekeeper.server.send import Sends
from gatekeeper.server.side_doors import SideDoors
from gatekeeper.server.sockets import BACKLOG, listening, url_of
from gatekeeper.server.templates import Rounds, TemplateReader
from gatekeeper.server.upstream import Upstream, lease_ms
from gatekeeper.server.webhooks import Webhooks
from gatekeeper.server.workers import place
from gatekeeper.settings import Settings
from gatekeeper.telemetry import Metrics


def unix_ms() -> int:
    """The clock of a live gate."""
    return time.time_ns() // 1_000_000


_Runner = TypeVar("_Runner", bound=web.BaseRunner)


class Gate:
    """A running gate: its listeners' addresses, until the context ends."""

    def __init__(
        self,
        url: str,
        admin_url: str,
        engine: Engine,
        settings: Settings,
        reload: Reload,
        flushing: Flushing,
        leave: Callable[[], Awaitable[None]],
    ) -> None:
        """*leave*: take leave of whoever is connected, before the context ends."""
        self.leave = leave
        self.reload = reload
        self.flushing = flushing
        self.url = url
        self.admin_url = admin_url
        self.engine = engine
        self.settings = settings


@contextlib.asynccontextmanager
async def running(
    settings: Settings,
    log: Any,
    *,
    book: Rulebook | None = None,
    sandbox: bool = False,
    now: Callable[[], int] = unix_ms,
    config: Path | None = None,
) -> AsyncIterator[Gate]:
    """
    Run a gate until the block ends; then stop accepting, finish what is in flight, and close.

    *book*: the rules, where they have been read. *config* is the file that *settings* were read from, to be followed.

    ConfigError: an address or a data file is wrong. LedgerError: the embedded ledger cannot start.
    """
    metrics, book = Metrics(), book or Rulebook.load(data_dir("config"))
    loaded, ours = settings, place()
    if ours is not None:  # what the parent holds is where it says
        server = msgspec.structs.replace(settings.server, listen=ours.listen, admin_listen=ours.admin_listen)
        settings = msgspec.structs.replace(settings, server=server)
    if sandbox:
        settings = _with_secrets(settings)
    async with contextlib.AsyncExitStack() as stack:
        bound = listening(settings.server.listen, "listen", stack, shared=ours is not None)
        admin_bound = listening(settings.server.admin_listen, "admin_listen", stack, shared=ours is not None)
        url = ours.ledger_url if ours else await ledgers.ledger_url(settings, metrics, log, stack)
        ledger = ledgers.ledger(url, settings, metrics, log, stack)
        graph = await _sandbox(settings, book, ledger, url_of(bound), now, log, stack) if sandbox else None
        if graph is not None:
            upstream_settings = msgspec.structs.replace(settings.upstream, base_url=graph.base_url)
            settings = msgspec.structs.replace(settings, upstream=upstream_settings)
        engine = await _engine(settings, book, ledger, metrics, log, now, stack)
        upstream = Upstream(settings.upstream)
        stack.push_async_callback(upstream.close)
        aftermath = _aftermath(engine, metrics, log, now, stack)
        courses = await stack.enter_async_context(asyncio.TaskGroup())
        forwarding = await stack.enter_async_context(Forwarding.going(settings.webhook, metrics, log))
        held, flushing = _holding(engine, upstream, courses, aftermath, settings, metrics, log, now, stack)
        callers = Callers(settings.caller, metrics, log)
        sends = Sends(
            engine,
            upstream,
            held,
            settings,
            metrics,
            log,
            now,
            aftermath=aftermath,
            callers=callers,
            unread=engine.unread if isinstance(engine, RecordedEngine) else None,
        )
        rounds, reads = Rounds(engine.registry, log, now), ours is None or ours.number == 1  # one worker reads them for all

        def follow(new: Settings, book: Rulebook) -> None:
            current = msgspec.structs.replace(settings, policy=new.policy, account=new.account, caller=new.caller)
            engine.follow(current, book)
            callers.follow(current.caller)
            if reads:
                rounds.follow(current.account)
            if graph is not None:
                graph.follow(current)
            stack.callback(courses.create_task(_balanced(engine)).cancel)

        reload = Reload(config, loaded, follow, metrics, log, now)
        for task in (_balanced(engine), reload.watch(), aftermath.make_up(), aftermath.lapse()):
            stack.callback(courses.create_task(task).cancel)
        listener = Listener(
            sends,
            Webhooks(engine, settings.webhook, forwarding, flushing, metrics, log, now),
            SideDoors(sends, upstream, settings.server.max_body),
            held,
            settings.webhook.path,
            log,
        )
        grace = settings.server.grace / 1000
        stack.push_async_callback(listener.abandon, grace)
        admin = Admin(engine, upstream, settings, metrics, now, reload, callers=callers, log=log)
        app = admin.application(*(graph.customer_routes() if graph else ()))
        await _listen(web.AppRunner(app, access_log=None, shutdown_timeout=1), admin_bound, stack)
        runner = await _listen(
            web.ServerRunner(GraphServer(listener.handle, taker=listener), shutdown_timeout=grace), bound, stack
        )
        stack.callback(forwarding.stop, grace)
        if reads:
            await stack.enter_async_context(rounds.going(settings.account))
        yield Gate(url_of(bound), url_of(admin_bound), engine, settings, reload, flushing, lambda: listener.leave(runner, grace))


async def _engine(
    settings: Settings,
    book: Rulebook,
    ledger: Ledger,
    metrics: Metrics,
    log: Any,
    now: Callable[[], int],
    stack: contextlib.AsyncExitStack,
) -> Engine:
    """The engine, with whoever reads templates for it, and with a record of its course where the configuration wants one."""
    reader = TemplateReader(settings.upstream)
    stack.push_async_callback(reader.close)
    if not settings.record.path:
        return Engine(settings, book, ledger, metrics, reader=reader)
    recording = Recording(settings.record, book.markets, metrics, log, now)
    await stack.enter_async_context(recording.going())
    return RecordedEngine(settings, book, ledger, metrics, recording=recording, reader=reader)


def _aftermath(engine: Engine, metrics: Metrics, log: Any, now: Callable[[], int], stack: contextlib.AsyncExitStack) -> Aftermath:
    """What follows Meta's answers up, and is told of the last of them when all courses have ended."""
    aftermath = Aftermath(engine, metrics, log, now)
    stack.push_async_callback(aftermath.catch_up)
    return aftermath


def _holding(
    engine: Engine,
    upstream: Upstream,
    courses: asyncio.TaskGroup,
    aftermath: Aftermath,
    settings: Settings,
    metrics: Metrics,
    log: Any,
    now: Callable[[], int],
    stack: contextlib.AsyncExitStack,
) -> tuple[Held, Flushing]:
    """What lets sends wait for their recipients, and what sends them then."""
    holding = Holding(engine, patience_ms=lease_ms(settings))
    held = Held(engine, holding, metrics, log, now)
    most = settings.server.max_body
    flushing = Flushing(engine, holding, upstream, courses, metrics, log, now, aftermath=aftermath, most=most)
    courses.create_task(flushing.watch())
    stack.callback(flushing.stop, settings.server.grace / 1000)
    return held, flushing


async def _sandbox(
    settings: Settings,
    book: Rulebook,
    ledger: Ledger,
    url: str,
    now: Callable[[], int],
    log: Any,
    stack: contextlib.AsyncExitStack,
) -> Sandbox:
    """The look-alike of the Cloud API, which posts its webhooks to *url*."""
    webhook = settings.webhook
    graph = Sandbox(
        book=book,
        ledger=ledger,
        settings=settings,
        app_secret=webhook.app_secret,
        webhook_url=url + webhook.path,
        now=now,
        log=log,
    )
    await graph.start()
    stack.push_async_callback(graph.stop)
    return graph


async def _balanced(engine: Engine) -> None:
    """Count in what was used before this gate, as soon as the ledger can be asked."""
    while True:
        try:
            return await engine.balances.open()
        except LedgerError:
            await asyncio.sleep(PROBE_S)


async def _listen(runner: _Runner, bound: socket.socket, stack: contextlib.AsyncExitStack) -> _Runner:
    """Accept connections until the gate stops."""
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound, backlog=BACKLOG).start()
    return runner


def _with_secrets(settings: Settings) -> Settings:
    """The sandbox signs its webhooks with a secret of its own when none is set."""
    webhook = settings.webhook
    webhook = msgspec.structs.replace(
        webhook,
        app_secret=webhook.app_secret or Secret(secrets.token_hex(16)),
        verify_token=webhook.verify_token or Secret(secrets.token_hex(8)),
    )
    return msgspec.structs.replace(settings, webhook=webhook)
