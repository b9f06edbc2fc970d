"""Own lifetimes: what is started in which order, and how all of it stops."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from gatekeeper.core.data import data_dir
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.secret import Secret, Secrets
from gatekeeper.engine import Engine
from gatekeeper.engine.holding import Holding
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.sandbox.graph import Sandbox
from gatekeeper.server import ledgers
from gatekeeper.server.admin import Admin
from gatekeeper.server.aftermath import Aftermath
from gatekeeper.server.callers import Callers
from gatekeeper.server.connections import GraphServer
from gatekeeper.server.flushing import Flushing
from gatekeeper.server.following import Following, with_secrets
from gatekeeper.server.forwarding import Forwarding
from gatekeeper.server.holding import Held
from gatekeeper.server.listener import Listener
from gatekeeper.server.recorded import RecordedEngine
from gatekeeper.server.recording import Recording
from gatekeeper.server.rejections import Rejections
from gatekeeper.server.reload import Reload
from gatekeeper.server.screening import Screening
from gatekeeper.server.send import Sends
from gatekeeper.server.side_doors import SideDoors
from gatekeeper.server.sockets import BACKLOG, listening, url_of
from gatekeeper.server.templates import Rounds, TemplateReader
from gatekeeper.server.thread_control import ThreadControl
from gatekeeper.server.upstream import Upstream, lease_ms
from gatekeeper.server.webhooks import Webhooks
from gatekeeper.server.workers import place
from gatekeeper.settings import Reading, Settings, Webhook
from gatekeeper.telemetry import Metrics


def unix_ms() -> int:
    """The clock of a live gate."""
    return time.time_ns() // 1_000_000


def new_gate_id() -> str:
    """An id that no other gate has, by which a gate and its workers know the requests that they sent."""
    return secrets.token_hex(_GATE_ID_BYTES)


_GATE_ID_BYTES = 8
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
    reading: Reading | None = None,
) -> AsyncIterator[Gate]:
    """
    Run a gate until the block ends; then stop accepting, finish what is in flight, and close.

    *book*: the rules, where they have been read. *reading* is what *settings* were made from; the files are followed from there.

    ConfigError: an address or a data file is wrong. LedgerError: the embedded ledger cannot start.
    """
    metrics, book = Metrics(), book or Rulebook.load(data_dir("config"))
    loaded, reading, ours = settings, reading or Reading(), place()
    if ours is not None:  # what the parent holds is where it says
        server = msgspec.structs.replace(settings.server, listen=ours.listen, admin_listen=ours.admin_listen)
        settings = msgspec.structs.replace(settings, server=server)
    if sandbox:
        settings = with_secrets(settings, _made_secrets())
    async with contextlib.AsyncExitStack() as stack:
        bound = listening(settings.server.listen, "listen", stack, shared=ours is not None)
        admin_bound = listening(settings.server.admin_listen, "admin_listen", stack, shared=ours is not None)
        url = ours.ledger_url if ours else await ledgers.ledger_url(settings, metrics, log, stack)
        ledger = ledgers.ledger(url, settings, metrics, log, stack)
        graph = await _sandbox(settings, book, ledger, url_of(bound), now, log, stack) if sandbox else None
        if graph is not None:
            upstream_settings = msgspec.structs.replace(settings.upstream, base_url=graph.base_url)
            settings = msgspec.structs.replace(settings, upstream=upstream_settings)
        gate_id, grace = (ours and ours.gate_id) or new_gate_id(), settings.server.grace / 1000
        engine = await _engine(settings, book, ledger, metrics, log, now, stack, gate_id)
        upstream = Upstream(settings.upstream, gate_id=gate_id)
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
        rejections = Rejections(metrics, log)
        screening = Screening(settings.webhook.path, gate_id, rejections)
        webhooks = Webhooks(engine, settings.webhook, forwarding, flushing, metrics, log, now)
        side_doors = ThreadControl(SideDoors(sends, upstream, settings.server.max_body), engine, log, now)
        listener = Listener(sends, webhooks, side_doors, held, screening, rejections, settings.webhook.path, log)
        following = Following(
            settings, engine, callers, forwarding, webhooks, listener, rounds if reads else None, graph, courses
        )
        reload = Reload(reading, loaded, following.follow, metrics, log, now, warns=reads)
        for task in (reload.watch(), aftermath.make_up(), aftermath.lapse()):
            stack.callback(courses.create_task(task).cancel)
        following.balance()
        stack.callback(following.stop)
        stack.push_async_callback(listener.abandon, grace)
        admin = Admin(engine, upstream, settings, metrics, now, reload, callers=callers, log=log)
        app = admin.application(*(graph.customer_routes() if graph else ()))
        await _listen(web.AppRunner(app, access_log=None, shutdown_timeout=1), admin_bound, stack)
        runner = await _listen(
            web.ServerRunner(GraphServer(listener.handle, taker=listener, rejections=rejections), shutdown_timeout=grace),
            bound,
            stack,
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
    gate_id: str,
) -> Engine:
    """The engine, with whoever reads templates for it, and with a record of its course where the configuration wants one."""
    reader = TemplateReader(settings.upstream, gate_id=gate_id)
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
        app_secret=webhook.app_secret[0],
        webhook_url=url + webhook.path,
        now=now,
        log=log,
    )
    await graph.start()
    stack.push_async_callback(graph.stop)
    return graph


async def _listen(runner: _Runner, bound: socket.socket, stack: contextlib.AsyncExitStack) -> _Runner:
    """Accept connections until the gate stops."""
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound, backlog=BACKLOG).start()
    return runner


def _made_secrets() -> Settings:
    """Make secrets of its own for a sandbox."""
    app_secret, verify_token = Secrets((Secret(secrets.token_hex(16)),)), Secret(secrets.token_hex(8))
    return Settings(webhook=Webhook(app_secret=app_secret, verify_token=verify_token))
