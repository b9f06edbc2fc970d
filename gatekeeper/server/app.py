"""Own lifetimes: what is started in which order, and how all of it stops."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError, LedgerError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.engine import Engine
from gatekeeper.ledger.embedded import EmbeddedLedger
from gatekeeper.ledger.ledger import PROBE_S, Ledger
from gatekeeper.sandbox.graph import Sandbox
from gatekeeper.server.admin import Admin
from gatekeeper.server.forwarding import Forwarding
from gatekeeper.server.http import GraphServer
from gatekeeper.server.listener import Listener
from gatekeeper.server.reload import Reload
from gatekeeper.server.send import Sends
from gatekeeper.server.side_doors import SideDoors
from gatekeeper.server.targets import session
from gatekeeper.server.templates import Rounds, TemplateReader
from gatekeeper.server.upstream import Upstream
from gatekeeper.server.webhooks import Webhooks
from gatekeeper.settings import EMBEDDED, Settings, address
from gatekeeper.telemetry import LEDGER_BACK, LEDGER_LOST, LEDGER_RESTARTED, ONE_WORKER, STARTED, STOPPED, Metrics

_BACKLOG = 1024


def unix_ms() -> int:
    """The clock of a live gate."""
    return time.time_ns() // 1_000_000


class Gate:
    """A running gate: its listeners' addresses, until the context ends."""

    def __init__(self, url: str, admin_url: str, engine: Engine, settings: Settings, reload: Reload) -> None:
        self.reload = reload
        self.url = url
        self.admin_url = admin_url
        self.engine = engine
        self.settings = settings


@contextlib.asynccontextmanager
async def running(
    settings: Settings, log: Any, *, sandbox: bool = False, now: Callable[[], int] = unix_ms, config: Path | None = None
) -> AsyncIterator[Gate]:
    """
    Run a gate until the block ends; then stop accepting, finish what is in flight, and close.

    *config* is the file that *settings* were read from, to be followed.

    ConfigError: an address or a data file is wrong. LedgerError: the embedded ledger cannot start.
    """
    metrics = Metrics()
    book = Rulebook.load(data_dir("config"))
    loaded = settings
    if sandbox:
        settings = _with_secrets(settings)
    async with contextlib.AsyncExitStack() as stack:
        bound = _bound(settings.server.listen, "listen", stack)
        admin_bound = _bound(settings.server.admin_listen, "admin_listen", stack)
        ledger = await _ledger(settings, metrics, log, stack)
        customer_routes: list[web.RouteDef] = []
        followers: list[Callable[[Settings], None]] = []
        if sandbox:
            graph = Sandbox(
                book=book,
                ledger=ledger,
                settings=settings,
                app_secret=settings.webhook.app_secret,
                webhook_url=_url(bound) + settings.webhook.path,
                now=now,
                log=log,
            )
            await graph.start()
            stack.push_async_callback(graph.stop)
            upstream_settings = msgspec.structs.replace(settings.upstream, base_url=graph.base_url)
            settings = msgspec.structs.replace(settings, upstream=upstream_settings)
            customer_routes = graph.customer_routes()
            followers.append(graph.follow)
        reader = TemplateReader(settings.upstream)
        stack.push_async_callback(reader.close)
        engine = Engine(settings, book, ledger, metrics, reader=reader)
        upstream = Upstream(settings.upstream)
        stack.push_async_callback(upstream.close)
        apps = await stack.enter_async_context(session())
        courses = await stack.enter_async_context(asyncio.TaskGroup())
        forwarding = Forwarding(settings.webhook, apps, courses, metrics, log)
        webhooks = Webhooks(engine, settings.webhook, forwarding, metrics, log, now)
        sends = Sends(engine, upstream, settings, metrics, log, now)
        rounds = Rounds(engine.registry, log, now)

        def follow(new: Settings, book: Rulebook) -> None:
            current = msgspec.structs.replace(settings, policy=new.policy, account=new.account)
            engine.follow(current, book)
            rounds.follow(current.account)
            for one in followers:
                one(current)
            stack.callback(courses.create_task(_balanced(engine)).cancel)

        reload = Reload(config, loaded, follow, metrics, log, now)
        for task in (_balanced(engine), reload.watch()):
            stack.callback(courses.create_task(task).cancel)
        side_doors = SideDoors(sends, upstream, settings.server.max_body)
        listener = Listener(sends, webhooks, side_doors, settings.webhook.path, log, courses)
        grace = settings.server.grace / 1000
        stack.push_async_callback(listener.abandon, grace)
        admin = Admin(engine, upstream, settings, metrics, now, reload).application(*customer_routes)
        await _listen(web.AppRunner(admin, access_log=None, shutdown_timeout=1), admin_bound, stack)
        await _listen(web.ServerRunner(GraphServer(listener.handle), shutdown_timeout=grace), bound, stack)
        stack.callback(forwarding.stop, grace)
        await stack.enter_async_context(rounds.going(settings.account))
        yield Gate(_url(bound), _url(admin_bound), engine, settings, reload)


async def serve(settings: Settings, log: Any, *, sandbox: bool = False, config: Path | None = None) -> None:
    """Run a gate until SIGTERM or SIGINT; SIGHUP has it read *config* again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, log, sandbox=sandbox, config=config) as gate:
        loop.add_signal_handler(signal.SIGHUP, gate.reload.ask)
        if settings.server.workers > 1:
            log.warning(ONE_WORKER, workers=settings.server.workers)
        log.info(STARTED, listen=gate.url, admin=gate.admin_url, upstream=gate.settings.upstream.base_url, sandbox=sandbox)
        _greet(gate, sandbox=sandbox)
        await stop.wait()
    log.info(STOPPED)


async def _balanced(engine: Engine) -> None:
    """Count in what was used before this gate, as soon as the ledger can be asked."""
    while True:
        try:
            return await engine.open_balances()
        except LedgerError:
            await asyncio.sleep(PROBE_S)


async def _ledger(settings: Settings, metrics: Metrics, log: Any, stack: contextlib.AsyncExitStack) -> Ledger:
    """The ledger of the configuration; the embedded one is started, watched and stopped with us."""
    url = settings.ledger.url

    def told(event: str, fields: dict[str, object]) -> None:
        log.warning(event, **fields)
        if event == LEDGER_RESTARTED:
            metrics.ledger_restarts.inc()

    if url == EMBEDDED:
        embedded = EmbeddedLedger(Path(settings.ledger.data_dir), told)
        await embedded.start()
        stack.push_async_callback(embedded.stop)
        url = embedded.url

    def changed(up: bool) -> None:  # noqa: FBT001
        metrics.ledger_up.set(up)
        log.warning(LEDGER_BACK if up else LEDGER_LOST)

    ledger = Ledger(url, timeout_ms=settings.ledger.timeout, cluster=settings.ledger.cluster, on_change=changed)
    metrics.ledger_up.set(1)
    stack.push_async_callback(ledger.close)
    return ledger


def _bound(listen: str, key: str, stack: contextlib.AsyncExitStack) -> socket.socket:
    """Take an address, before anything is started for it; ConfigError when it cannot be had."""
    host, port = address(listen)
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        bound.listen(_BACKLOG)  # a second gate on this address fails here, whichever of the two came first
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"$.server.{key}: cannot listen on {listen}: {getattr(error, 'strerror', None) or error}") from None
    return bound


async def _listen(runner: web.BaseRunner, bound: socket.socket, stack: contextlib.AsyncExitStack) -> None:
    """Accept connections until the gate stops."""
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound, backlog=_BACKLOG).start()


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://{_reachable(host)}:{port}"


def _reachable(host: str) -> str:
    """A host to connect to for one to listen on."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _with_secrets(settings: Settings) -> Settings:
    """The sandbox signs its webhooks with a secret of its own when none is set."""
    webhook = settings.webhook
    webhook = msgspec.structs.replace(
        webhook,
        app_secret=webhook.app_secret or secrets.token_hex(16),
        verify_token=webhook.verify_token or secrets.token_hex(8),
    )
    return msgspec.structs.replace(settings, webhook=webhook)


def _greet(gate: Gate, *, sandbox: bool) -> None:
    """Tell a person at a terminal where things are; the log goes to standard error."""
    upstream = "the built-in sandbox" if sandbox else gate.settings.upstream.base_url
    lines = [
        f"gatekeeper is ready, in front of {upstream}",
        f"  sends and webhooks  {gate.url}",
        f"  health and state    {gate.admin_url}",
    ]
    print("\n".join(lines), file=sys.stdout, flush=True)  # noqa: T201
