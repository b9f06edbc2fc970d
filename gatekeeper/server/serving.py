"""Own the process that serves: its signals, its workers, and what a person at a terminal is told."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from typing import Any

from gatekeeper.core.rulebook import Rulebook
from gatekeeper.server.app import new_gate_id, running
from gatekeeper.server.ledgers import ledger_url
from gatekeeper.server.revision import Revision
from gatekeeper.server.sockets import listening, url_of, written
from gatekeeper.server.workers import Place, Workers, arguments, orphaned, place, say_ready
from gatekeeper.settings import Reading, Settings, load
from gatekeeper.telemetry import ONE_WORKER, STARTED, STOPPED, Metrics

_HARMLESS = (
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
)
_BETWEEN_COLLECTIONS = 50_000  # objects made and not yet gone


def _outlast_signals() -> None:
    """
    Ignore the signals by which other servers are asked for something that a gate has no use for; their default is the end.

    SIGHUP is among them until there is something that can reload.
    """
    for number in _HARMLESS:
        signal.signal(number, signal.SIG_IGN)


async def serve(
    settings: Settings, book: Rulebook, log: Any, *, sandbox: bool = False, reading: Reading, newest: Reading | None = None
) -> None:
    """
    Run a gate, or as many as the configuration wants, until SIGTERM or SIGINT; SIGHUP has them read the configuration again.

    *settings* are those that the gate was started with, from *reading*. *newest*: what came after it, in place of another worker.
    """
    stop, ours = asyncio.Event(), place()
    loop = asyncio.get_running_loop()
    _outlast_signals()
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # who is still starting reads the file in any case
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.server.workers > 1 and ours is None and not sandbox:
        await _serve_many(settings, log, stop, reading)
    else:
        waiting = settings.needs_restart(load(newest)) if newest else []
        await _serve_one(settings, book, log, stop, ours, sandbox=sandbox, reading=newest or reading, waiting=waiting)
    log.info(STOPPED, worker=ours and ours.number)


async def _serve_one(
    settings: Settings,
    book: Rulebook,
    log: Any,
    stop: asyncio.Event,
    ours: Place | None,
    *,
    sandbox: bool,
    reading: Reading,
    waiting: list[str],
) -> None:
    """Serve in this process, until it is to stop or its parent is gone; keys that are *waiting* need a restart."""
    loop = asyncio.get_running_loop()
    async with running(settings, log, book=book, sandbox=sandbox, reading=reading) as gate:
        gate.reload.restart_needed = waiting
        loop.add_signal_handler(signal.SIGHUP, gate.reload.ask)
        if settings.server.workers > 1 and sandbox:
            log.warning(ONE_WORKER, workers=settings.server.workers)
        upstream = gate.settings.upstream.base_url
        _settle_memory()
        log.info(STARTED, listen=gate.url, admin=gate.admin_url, upstream=upstream, sandbox=sandbox, worker=ours and ours.number)
        if ours is None:
            _greet(gate.url, gate.admin_url, "the built-in sandbox" if sandbox else upstream)
            await stop.wait()
        else:
            say_ready()
            ends = [loop.create_task(stop.wait()), loop.create_task(orphaned())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in ends:
                task.cancel()
        await gate.leave()


async def _serve_many(settings: Settings, log: Any, stop: asyncio.Event, reading: Reading) -> None:
    """
    Hold the addresses and the ledger, and keep the workers that serve running.

    The files are followed here too: one that starts in place of another begins with what the others go by, not with a mistake.
    """
    async with contextlib.AsyncExitStack() as stack:
        bound = listening(settings.server.listen, "listen", stack, shared=True, accepting=False)
        admin_bound = listening(settings.server.admin_listen, "admin_listen", stack, shared=True, accepting=False)
        url = await ledger_url(settings, Metrics(), log, stack)
        gate_id = new_gate_id()
        places = [
            Place(number=n, ledger_url=url, listen=written(bound), admin_listen=written(admin_bound), gate_id=gate_id)
            for n in range(1, settings.server.workers + 1)
        ]
        revision = Revision(reading, settings)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(tasks.create_task(revision.watch()).cancel)
        workers = Workers(arguments(reading.path), places, reading, lambda: revision.reading, log)

        def reload() -> None:
            revision.ask()
            workers.send(signal.SIGHUP)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        log.info(STARTED, listen=url_of(bound), admin=url_of(admin_bound), workers=len(places))
        await workers.run(stop, lambda: _greet(url_of(bound), url_of(admin_bound), settings.upstream.base_url))


def _settle_memory() -> None:
    """Look for garbage more seldom, and not among what was loaded at the start: a send leaves none that counting does not find."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])


def _greet(url: str, admin_url: str, upstream: str) -> None:
    """Tell a person at a terminal where things are; the log goes to standard error."""
    lines = [
        f"gatekeeper is ready, in front of {upstream}",
        f"  sends and webhooks  {url}",
        f"  health and state    {admin_url}",
    ]
    try:
        print("\n".join(lines), file=sys.stdout, flush=True)  # noqa: T201
    except OSError:  # a full disk, or a terminal that has gone: the log has the addresses too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
