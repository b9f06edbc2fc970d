"""Own what the benches share: processes and their cores, rounds in turn, and statistics."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import wire
from load import Job, Result
from redis import Redis

from gatekeeper.core.errors import LedgerError
from gatekeeper.ledger.embedded import PACKED, find_server

HERE = Path(__file__).parent
PATIENCE_S = 20
POLL_S = 0.005
BATCH = 500
USER_TIME, SYSTEM_TIME = 11, 12  # in /proc/PID/stat, counted behind the name

HEAD = """\
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
workers = {workers}
[upstream]
base_url = "http://127.0.0.1:{upstream}"
[ledger]
url = "{ledger}"
data_dir = "{data}"
timeout = "5s"
[webhook]
app_secret = "{secret}"
forward_to = "{app}"
"""
ACCOUNT = f"""
[[account]]
waba_id = "{wire.WABA}"
phone_number_ids = ["{wire.NUMBER}"]
[[account.template]]
name = "order_update"
language = "en_US"
category = "utility"
[[account.template]]
name = "spring_sale"
language = "en_US"
category = "marketing"
"""
POLICY = """
[[policy.rule]]
name = "nothing dear"
category = ["marketing"]
price_above = "5.00"
action = "block"
[[policy.budget]]
name = "a month"
scope = "waba"
period = "month"
limit = "99999999.00"
"""
"""One rule and one budget, neither of which ever stops a send."""


class Cores(msgspec.Struct, frozen=True):
    """Which core does what: what is measured never shares its core with what measures it, where there are two."""

    measured: set[int]
    load: set[int]
    graph: set[int]
    redis: set[int]

    @classmethod
    def here(cls, workers: int = 1) -> Cores:
        """Share out the cores that this process may use."""
        have = sorted(os.sched_getaffinity(0))
        if len(have) == 1:
            return cls(*({have[0]} for _ in range(4)))
        mine, rest = set(have[:workers]), have[workers:] or have[-1:]
        return cls(mine, *({rest[n % len(rest)]} for n in range(3)))


class Served(msgspec.Struct, frozen=True):
    """A process that serves on a port."""

    pid: int
    port: int


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder of our own, gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="gatekeeper-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def started(command: Sequence[str], core: set[int], log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process on its core, ended with the block."""
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(log.open("w")) if log else None
        process = subprocess.Popen(
            [*command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=HERE.parent,
            preexec_fn=lambda: os.sched_setaffinity(0, core),  # noqa: PLW1509 - nothing of ours runs in threads
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()


@contextlib.contextmanager
def redis_server(where: Path, core: set[int]) -> Iterator[str]:
    """A Redis on a Unix socket that saves nothing, and packs hashes as the embedded one does; its URL."""
    socket = where / "redis.sock"
    options = {"port": "0", "unixsocket": str(socket), "save": "", "appendonly": "no", "dir": str(where), "loglevel": "warning"}
    options |= PACKED
    command = [str(find_server()), *(word for name, value in options.items() for word in (f"--{name}", value))]
    url = f"unix://{socket}"
    with started(command, core, where / "redis.log"):
        until = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError), Redis.from_url(url) as client, contextlib.suppress(Exception):
                client.ping()
                break
            if time.monotonic() > until:
                raise LedgerError("the bench's Redis did not answer in time")
            time.sleep(POLL_S)
        yield url


@contextlib.contextmanager
def helper(*arguments: str, core: set[int]) -> Iterator[Served]:
    """A script of this folder that prints its port first."""
    with started([sys.executable, str(HERE / arguments[0]), *arguments[1:]], core) as process:
        assert process.stdout is not None
        yield Served(process.pid, int(process.stdout.readline()))


def config(where: Path, *, upstream: int, ledger: str, workers: int = 1, app: str = "", policy: str = "") -> Path:
    """Write a gate's configuration; *app*: the URL that webhooks go on to."""
    path, secret = where / "gatekeeper.toml", wire.SECRET.decode()
    head = HEAD.format(workers=workers, upstream=upstream, ledger=ledger, data=where / "var", secret=secret, app=app)
    path.write_text(head + policy + ACCOUNT)
    return path


@contextlib.contextmanager
def gate(where: Path, core: set[int], **how: Any) -> Iterator[Served]:
    """`gatekeeper serve`, as it runs in production: its log goes to a file."""
    command = [sys.executable, "-m", "gatekeeper", "serve", "--config", str(config(where, **how))]
    with started(command, core, where / "gate.log") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        if not lines[2]:
            raise SystemExit(f"the gate did not start: {(where / 'gate.log').read_text()[-2000:]}")
        [listen] = re.findall(r"http://\S+", lines[1])
        yield Served(process.pid, int(listen.rpartition(":")[2]))


def load(core: set[int], **job: Any) -> Result:
    """Make a load from a process of its own; a wrong answer makes the bench worthless, so it ends it."""
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py")],
        input=msgspec.json.encode(Job(**job)),
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, core),
    )
    result = msgspec.json.decode(done.stdout, type=Result)
    if result.sends.bad or result.hooks.bad:
        worst = result.sends.worst or result.hooks.worst
        raise SystemExit(f"{result.sends.bad} sends and {result.hooks.bad} webhooks were not answered 200, but {worst}")
    return result


def post(port: int, request: bytes) -> float:
    """Write a whole request on a connection of its own; how many milliseconds until its answer, which must be 200."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        began = time.perf_counter()
        connection.sendall(request)
        answer = connection.recv(1 << 16)
        took = 1000 * (time.perf_counter() - began)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"a webhook was answered {answer[:200]!r}")
    return took


def open_windows(port: int, recipients: int, first: int = 0) -> None:
    """Let so many customers write, so that free-form messages may go to them."""
    begin = wire.FIRST + first
    for start in range(begin, begin + recipients, BATCH):
        post(port, wire.webhook(wire.messages(range(start, min(start + BATCH, begin + recipients)))))


def in_turn(rounds: int, contenders: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
    """Let each have its turn, A B C A B C …, so that what the machine does to one round it does to all of them."""
    seen: dict[str, list[Any]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            seen[name].append(run())
    return seen


def ratio(ours: Sequence[float], reference: Sequence[float]) -> float:
    """The median of the rounds' ratios; NaN when the reference was too slow for any."""
    return median([one / other for one, other in zip(ours, reference, strict=True) if other] or [float("nan")])


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which this part of *values* lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def memory(pid: int, field: str = "VmRSS") -> int:
    """A process's memory in bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def cpu(pid: int) -> float:
    """How many seconds of a core a process and its children have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = (int(fields[USER_TIME]) + int(fields[SYSTEM_TIME])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu(int(child)) for child in children)


def pin(core: set[int]) -> None:
    """Stay on a core."""
    os.sched_setaffinity(0, core)
