"""The processes: gates as they are installed, Redis as a file keeps it, and the lines between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import redis.asyncio as redis
from books import Books
from line import Line, Ports
from meta import APP_SECRET, NUMBER, WABA, Meta

from gatekeeper.ledger import keys
from gatekeeper.ledger.embedded import find_server

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20
DAY_MS = 86_400_000
UPSTREAM_TIMEOUT_S = 1.0
LEDGER_TIMEOUT_S = 0.25
PILOT_LIMIT, CAMPAIGN_LIMIT = "1.50", "100000.00"
CONFIG = f"""\
[server]
listen = "127.0.0.1:{{listen}}"
admin_listen = "127.0.0.1:{{admin}}"
workers = {{workers}}
grace = "5s"
[upstream]
base_url = "http://127.0.0.1:{{upstream}}"
timeout = "{int(UPSTREAM_TIMEOUT_S * 1000)}ms"
connect_timeout = "1s"
[ledger]
url = "redis://127.0.0.1:{{ledger}}"
timeout = "{int(LEDGER_TIMEOUT_S * 1000)}ms"
[webhook]
app_secret = "{APP_SECRET}"
[[policy.budget]]
name = "campaign"
scope = "waba"
period = "month"
limit = "{CAMPAIGN_LIMIT}"
category = ["marketing"]
[[policy.budget]]
name = "pilot"
scope = "caller"
period = "month"
limit = "{PILOT_LIMIT}"
category = ["utility"]
[[account]]
waba_id = "{WABA}"
phone_number_ids = ["{NUMBER}"]
[[account.template]]
name = "order_update"
language = "en_US"
category = "utility"
[[account.template]]
name = "spring_sale"
language = "en_US"
category = "marketing"
"""


class Server:
    """A redis-server of its own, which writes every command to disk before it answers."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, folder
        self.process: asyncio.subprocess.Process | None = None
        self.client: redis.Redis = redis.Redis(port=port)

    async def start(self, *options: str) -> None:
        """Return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"]
        settings += ["--repl-diskless-sync", "no", "--repl-ping-replica-period", "1", "--auto-aof-rewrite-percentage", "0"]
        self.process = await asyncio.create_subprocess_exec(
            *(str(find_server()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), *settings),
            *options,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(redis.RedisError, OSError):
                    if await self.client.ping():
                        return
                await asyncio.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def close(self) -> None:
        await self.kill()
        await self.client.aclose()

    def forget(self) -> None:
        shutil.rmtree(self.folder)

    async def replica(self, port: int, folder: Path) -> Server:
        """Start another that has everything this one has."""
        other = Server(port, folder)
        await other.start("--replicaof", "127.0.0.1", str(self.port))
        async with asyncio.timeout(PATIENCE_S):
            while (await other.client.info("replication"))["master_link_status"] != "up":  # noqa: ASYNC110 - another process's
                await asyncio.sleep(0.01)
        return other


class Gate:
    """One `gatekeeper serve`, at the same addresses each time it is started."""

    def __init__(self, name: str, folder: Path, *, workers: int, listen: int, admin: int, upstream: int, ledger: int) -> None:
        self.name, self.workers, self._folder = name, workers, folder
        self.url, self.admin_url = f"http://127.0.0.1:{listen}", f"http://127.0.0.1:{admin}"
        self.config = folder / f"{name}.toml"
        self.config.write_text(
            CONFIG.format(listen=listen, admin=admin, upstream=upstream, ledger=ledger, workers=workers), "utf-8"
        )
        self.logs: list[Path] = []
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Return when it accepts connections."""
        self.logs.append(self._folder / f"{self.name}-{len(self.logs)}.log")
        with self.logs[-1].open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gatekeeper", "serve", "--config", str(self.config)),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(3):
                if not await self.process.stdout.readline():
                    raise RuntimeError(f"{self.name} ended at its start: {self.logs[-1].read_text()[-2000:]}")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def workers_started(self) -> int:
        """How many workers have said by now that they accept connections."""
        return sum('"event":"started"' in line and '"worker":null' not in line for line in self.lines())

    def lines(self) -> list[str]:
        return self.logs[-1].read_text().replace('": ', '":').splitlines()

    def blow(self) -> None:
        """Kill it at this very moment, and its workers with it."""
        for pid in self.worker_pids() if self.workers > 1 else []:
            os.kill(pid, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)

    async def kill(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.blow()
            await self.process.communicate()

    async def terminate(self) -> int:
        """Ask it to stop, and wait until it has; its exit status."""
        assert self.process is not None
        self.process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


class House:
    """Two gates, one with workers, on one Redis behind a line, in front of one Meta."""

    def __init__(self, folder: Path, books: Books) -> None:
        self.folder, self.books = folder, books
        self._ports = Ports()
        self.dirs = 0
        self.server = Server(self.port(), self._dir())
        self.line = Line(self.port(), self.server.port)
        self.meta: Meta
        self.gates: list[Gate] = []

    def port(self) -> int:
        return self._ports.take()

    def _dir(self) -> Path:
        self.dirs += 1
        return self.folder / f"redis-{self.dirs}"

    async def start(self, meta: Meta) -> None:
        self.meta = meta
        await self.server.start()
        await self.line.start()
        await meta.start()
        self.gates = [
            Gate(
                name,
                self.folder,
                workers=workers,
                listen=self.port(),
                admin=self.port(),
                upstream=meta.port,
                ledger=self.line.port,
            )
            for name, workers in (("single", 1), ("double", 2))
        ]
        await asyncio.gather(*(gate.start() for gate in self.gates))
        await self.warm()

    async def stop(self) -> None:
        for gate in self.gates:
            await gate.kill()
        await self.meta.stop()
        await self.line.stop()
        with contextlib.suppress(ProcessLookupError):
            self.server.signal(signal.SIGCONT)
        await self.server.close()
        self._ports.close()

    async def warm(self) -> None:
        """Let the ledger have watched for longer than a day, so that a window never seen counts as closed."""
        since = int(time.time() * 1000) - 2 * DAY_MS
        await self.server.client.set(keys.watch(WABA, NUMBER), since, px=keys.WATCH_MS)

    async def fail_over(self) -> Server:
        """Have a replica ready that knows everything."""
        return await self.server.replica(self.port(), self._dir())

    async def promote(self, replica: Server) -> None:
        """Let the replica be the ledger, and the line lead to it."""
        await self.server.close()
        await replica.client.replicaof("NO", "ONE")
        self.server, self.line.target = replica, replica.port

    def gate_of(self, tag: str) -> Gate:
        """The gate that an attempt is at."""
        name = next(attempt.gate for attempt in self.books.letter_of(tag).attempts if attempt.tag == tag)
        return next(gate for gate in self.gates if gate.name == name)
