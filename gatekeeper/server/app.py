"""Own lifetimes: what is started in which order, what a request is handed to, and how all of it stops."""

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
from gatekeeper.meta.paths import gated
from gatekeeper.sandbox.graph import Sandbox
from gatekeeper.server.admin import Admin
from gatekeeper.server.http import BrokenOff, GraphServer, fault, refusal_response
from gatekeeper.server.passthrough import pass_through
from gatekeeper.server.send import Sends
from gatekeeper.server.upstream import Upstream
from gatekeeper.server.webhooks import Webhooks
from gatekeeper.settings import EMBEDDED, Settings, address
from gatekeeper.telemetry import FAULT, LEDGER_BACK, LEDGER_LOST, LEDGER_RESTARTED, ONE_WORKER, STARTED, STOPPED, Metrics

_POST, _GET = "POST", "GET"
_BACKLOG = 1024


def unix_ms() -> int:
    """The clock of a live gate."""
    return time.time_ns() // 1_000_000


class Listener:
    """The public listener: one function from request to answer."""

    def __init__(
        self, sends: Sends, webhooks: Webhooks, upstream: Upstream, webhook_path: str, log: Any, courses: asyncio.TaskGroup
    ) -> None:
        self._sends = sends
        self._webhooks = webhooks
        self._upstream = upstream
        self._webhook_path = webhook_path
        self._log = log
        self._courses = courses
        self._running: set[asyncio.Task[web.StreamResponse]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Hand a request to the gate, to the webhooks, or through.

        A send and a webhook come to their end even when their caller hangs up: a message may be on its way, and a webhook half in
        the ledger.
        """
        course = self._answered(request)
        if request.method != _POST or self._passes(request):
            return await course
        task = self._courses.create_task(course)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def abandon(self, grace: float) -> None:
        """Let what is still running end, and break it off when the grace is over."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in self._running:
            task.cancel()

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0
            return await self._handed(request)
        except BrokenOff:  # nobody reads this
            return refusal_response(fault(400, "Invalid request", "The request broke off."), trace="gatekeeper")
        except Exception as error:  # noqa: BLE001 - a bug of ours is one line and one answer
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
            refusal = fault(500, "Service temporarily unavailable", "The gate failed on this request; its log says how.")
            return refusal_response(refusal, trace="gatekeeper")

    def _passes(self, request: web.BaseRequest) -> bool:
        return request.path != self._webhook_path and gated(request.raw_path) is None

    async def _handed(self, request: web.BaseRequest) -> web.StreamResponse:
        if not request.raw_path.startswith("/"):
            return refusal_response(fault(400, "Invalid request", "The request target is not a path."), trace="gatekeeper")
        if request.path == self._webhook_path and request.method in (_GET, _POST):
            return await (self._webhooks.receive(request) if request.method == _POST else self._webhooks.handshake(request))
        if any("\udc80" <= letter <= "\udcff" for _, value in request.headers.items() if not value.isascii() for letter in value):
            return refusal_response(fault(400, "Invalid request", "A header is neither ASCII nor UTF-8."), trace="gatekeeper")
        target = gated(request.raw_path) if request.method == _POST else None
        if target is not None:
            return await self._sends.handle(request, target)
        return await pass_through(request, self._upstream)


class Gate:
    """A running gate: its listeners' addresses, until the context ends."""

    def __init__(self, url: str, admin_url: str, engine: Engine, settings: Settings) -> None:
        self.url = url
        self.admin_url = admin_url
        self.engine = engine
        self.settings = settings


@contextlib.asynccontextmanager
async def running(
    settings: Settings, log: Any, *, sandbox: bool = False, now: Callable[[], int] = unix_ms
) -> AsyncIterator[Gate]:
    """
    Run a gate until the block ends; then stop accepting, finish what is in flight, and close.

    ConfigError: an address or a data file is wrong. LedgerError: the embedded ledger cannot start.
    """
    metrics = Metrics()
    book = Rulebook.load(data_dir("config"))
    if sandbox:
        settings = _with_secrets(settings)
    async with contextlib.AsyncExitStack() as stack:
        bound = _bound(settings.server.listen, "listen", stack)
        admin_bound = _bound(settings.server.admin_listen, "admin_listen", stack)
        ledger = await _ledger(settings, metrics, log, stack)
        engine = Engine(settings, book, ledger, metrics)
        customer_routes: list[web.RouteDef] = []
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
        upstream = Upstream(settings.upstream)
        stack.push_async_callback(upstream.close)
        webhooks = Webhooks(engine, settings.webhook, metrics, log, now)
        stack.push_async_callback(webhooks.close)
        sends = Sends(engine, upstream, settings, metrics, log, now)
        courses = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(courses.create_task(_balanced(engine)).cancel)
        listener = Listener(sends, webhooks, upstream, settings.webhook.path, log, courses)
        grace = settings.server.grace / 1000
        stack.push_async_callback(listener.abandon, grace)
        admin = Admin(engine, upstream, settings, metrics, now).application(*customer_routes)
        await _listen(web.AppRunner(admin, access_log=None, shutdown_timeout=1), admin_bound, stack)
        await _listen(web.ServerRunner(GraphServer(listener.handle), shutdown_timeout=grace), bound, stack)
        yield Gate(_url(bound), _url(admin_bound), engine, settings)


async def serve(settings: Settings, log: Any, *, sandbox: bool = False) -> None:
    """Run a gate until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, log, sandbox=sandbox) as gate:
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
