"""
Own many workers: a parent that starts them on shared ports, replaces one that dies, and passes signals on.

Each worker is a `gatekeeper serve` of its own, with its own event loop; what they share is the ledger, the addresses (SO_REUSEPORT)
and the folder that their metrics are added up from. A worker whose parent is gone stops by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
from prometheus_client.multiprocess import mark_process_dead

from gatekeeper.core.errors import ConfigError
from gatekeeper.settings import Reading
from gatekeeper.telemetry import METRICS_DIR, WORKER_DIED, WORKER_STARTED

PLACE = "GATEKEEPER_WORKER"
READY = b"ready\n"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 4.0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a worker is told by its parent: which one it is, where the ledger is, what it shares: addresses and the gate's id.

    *started* and *newest* are the sizes of the two texts that stand at the head of its standard input: the configuration that the
    parent was started with, and the newest one that is fit to be in force. *once*: it cannot be read again.
    """

    number: int
    ledger_url: str
    listen: str
    admin_listen: str
    gate_id: str = ""
    started: int = 0
    newest: int = 0
    once: bool = False

    def readings(self, path: Path | None) -> tuple[Reading, Reading]:
        """Take both from standard input, which nothing else has read yet; *path* is where the parent read them."""
        texts = _taken(self.started), _taken(self.newest)
        started, newest = (Reading(path=path, text=text, once=self.once) for text in texts)
        return started, newest


def _taken(size: int) -> bytes:
    """Read so many bytes of standard input, unbuffered: what is behind them stays there. ConfigError: the parent is gone."""
    text = b""
    while len(text) < size:
        piece = os.read(0, size - len(text))
        if not piece:  # half of a configuration must not be served by
            raise ConfigError("the configuration broke off: the process that started this worker is gone")
        text += piece
    return text


def place() -> Place | None:
    """The place of this process; None: it is nobody's worker."""
    told = os.environ.get(PLACE)
    return msgspec.json.decode(told, type=Place) if told else None


def say_ready() -> None:
    """Tell the parent that this worker accepts connections."""
    os.write(sys.stdout.fileno(), READY)


async def orphaned() -> None:
    """Wait until the parent is gone: it holds the other end of our standard input, and never writes."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(0, "rb", buffering=0))
    try:
        await reader.read()
    finally:
        transport.close()


class Workers:
    """Keeps so many workers running until it is told to stop."""

    def __init__(
        self, arguments: Sequence[str], places: Sequence[Place], started: Reading, newest: Callable[[], Reading], log: Any
    ) -> None:
        """*arguments* of the command line that each worker is started with; *started* and *newest*: what each is configured by."""
        self._arguments = arguments
        self._started, self._newest = started, newest
        self._places = places
        self._log: structlog.stdlib.BoundLogger = log
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._told = False
        self._ready = {place.number: asyncio.Event() for place in places}

    async def run(self, stop: asyncio.Event, greet: Any) -> None:
        """Start all, call *greet* once each of them accepts connections, and end with them."""
        with tempfile.TemporaryDirectory(prefix="gatekeeper-metrics-") as folder:
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep(place, folder)) for place in self._places]
                greeting = group.create_task(self._greeted(greet))
                await stop.wait()
                self._told = True
                greeting.cancel()
                self.send(signal.SIGTERM)
                await asyncio.wait(keepers)

    def stopping(self) -> bool:
        """Whether no worker is to be started any more."""
        return self._told

    def send(self, number: signal.Signals) -> None:
        """Pass a signal on to every worker; one that is still starting is only told to stop."""
        for place, process in self._running.items():
            if number is not signal.SIGTERM and not self._ready[place].is_set():
                continue
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _greeted(self, greet: Any) -> None:
        for ready in self._ready.values():
            await ready.wait()
        greet()

    async def _keep(self, place: Place, folder: str) -> None:
        """Run one worker, and another one in its place whenever it dies: at once, but ever later while none of them gets ready."""
        pause = _FIRST_PAUSE_S
        while not self.stopping():
            self._ready[place.number].clear()
            started, newest = self._started, self._newest()
            place = msgspec.structs.replace(place, started=len(started.text), newest=len(newest.text), once=started.once)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gatekeeper",
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, PLACE: msgspec.json.encode(place).decode(), METRICS_DIR: folder},
            )
            self._running[place.number] = process
            self._log.info(WORKER_STARTED, worker=place.number, pid=process.pid)
            if self.stopping():  # told so while it was being started
                process.terminate()
            assert process.stdout is not None
            assert process.stdin is not None
            with contextlib.suppress(ConnectionError):  # it is gone already
                process.stdin.write(started.text + newest.text)
                await process.stdin.drain()
            if await process.stdout.readline() == READY:
                self._ready[place.number].set()
                pause = _FIRST_PAUSE_S
            status = await process.wait()
            del self._running[place.number]
            mark_process_dead(process.pid, path=folder)  # type: ignore[no-untyped-call]
            if not self.stopping():
                self._log.error(WORKER_DIED, worker=place.number, pid=process.pid, status=status)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)


def arguments(config: Path | None) -> list[str]:
    """The command line of a worker."""
    return ["serve", *(["--config", str(config)] if config else [])]
