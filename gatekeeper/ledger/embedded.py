"""
Own the embedded ledger: a private redis-server child on a Unix socket, its files, its death and its healing.

One gate holds one data directory. The server inherits the lock, so that an orphan whose gate was killed keeps the
directory until it has saved its file and ended.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, closing, suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from gatekeeper.core.errors import LedgerError
from gatekeeper.ledger.servers import OLDEST_SERVER, OLDEST_WITH_FOLDER, find_server

START_LIMIT = 10.0
LOADING_LIMIT = 60.0
STOP_LIMIT = 5.0
LOCK_PATIENCE = 3.0
FIRST_PAUSE = 0.05
LAST_PAUSE = 2.0
STEADY = 10.0
"""A server that lived this long has earned the first pause again."""

POLL = 0.005
LOG_LIMIT = 1 << 20
LOCK_TEXT = 32
"""Room for the gate's process id and its server's, for the gate that is refused; of one length, so that a full disk takes it."""

_OTHERS = 0o077
"""The bits that no file of the server has: what customers wrote and paid is in them."""

LONGEST_TEMP_DIR = 70
"""A socket's path ends at some 100 bytes, whatever the file system takes."""

PACKED = {"hash-max-ziplist-value": "512", "hash-max-ziplist-entries": "64"}
"""What is kept of a send is a small hash: in one piece it takes half the memory. Redis 7 says listpack, and knows these names too."""

FILES = ("lock", "redis.log", "dump.rdb", "appendonly.aof", "appendonlydir")
"""What the server and its gate keep in the data directory; whatever else is there is somebody else's."""

SETTINGS = {"port": "0", "unixsocketperm": "700", "loglevel": "warning", "maxmemory-policy": "noeviction", "save": ""}
SAVING = {"appendonly": "yes", "appendfsync": "everysec", "aof-load-truncated": "yes"}

DIE_WITH_PARENT = """
import ctypes, os, sys
os.umask(0o077)
PR_SET_PDEATHSIG, SIGTERM = 1, 15
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(SIGTERM))
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""
A fresh interpreter asks for the signal and sets the umask, since Python code between fork and exec can deadlock.

The kernel sends it when the thread that forked ends: the event loop's. The parent may have died before the asking.
"""


class EmbeddedLedger:
    """
    A redis-server that dies with this process and is restarted when it dies alone.

    Without a *data_dir* it is a throwaway: it saves nothing and leaves nothing. *on_event* hears `ledger_lost`,
    `ledger_restart_failed` and `ledger_restarted`, each with its fields, and may not raise.
    """

    def __init__(self, data_dir: Path | None, on_event: Callable[[str, dict[str, object]], None] | None = None) -> None:
        self.url = ""
        self.restarts = 0
        self._tell = on_event or (lambda _event, _fields: None)
        self._data_dir = data_dir.absolute() if data_dir else None
        self._home = Path()
        self._socket = Path()
        self._lock: int | None = None
        self._command: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._undo = AsyncExitStack()

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it is down."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Return when the server answers; LedgerError says in one line why it cannot."""
        try:
            async with AsyncExitStack() as undo:
                if self._data_dir:
                    self._lock = _open_lock(self._data_dir)
                    undo.callback(os.close, self._lock)
                    await _take_lock(self._lock, self._data_dir)
                    await asyncio.to_thread(_close_to_others, self._data_dir)
                run_dir = _private_folder()
                undo.callback(shutil.rmtree, run_dir, ignore_errors=True)
                self._home = self._data_dir or run_dir
                self._socket = run_dir / "redis.sock"
                self.url = f"unix://{quote(str(self._socket))}"
                in_folder = (self._home / "appendonlydir").is_dir()
                server = await asyncio.to_thread(find_server, OLDEST_WITH_FOLDER if in_folder else OLDEST_SERVER)
                self._command = self._command_of(server)
                undo.push_async_callback(self._end)
                await self._launch()
                undo.push_async_callback(_cancel, asyncio.create_task(self._watch(), name="embedded ledger"))
                self._undo = undo.pop_all()
        except OSError as error:
            raise LedgerError(f"the embedded ledger cannot use {error.filename or self._data_dir}: {error.strerror}") from error

    async def stop(self) -> None:
        """Let the server save its file and end; harmless when repeated."""
        await self._undo.pop_all().aclose()

    def _command_of(self, server: Path) -> list[str]:
        settings = (
            SETTINGS | PACKED | {"unixsocket": str(self._socket), "dir": str(self._home)} | (SAVING if self._data_dir else {})
        )
        options = chain.from_iterable((f"--{name}", value) for name, value in settings.items())
        return [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), str(server), *options]

    async def _launch(self) -> None:
        path = self._home / "redis.log"
        with _open_log(path) as log:
            begin = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=() if self._lock is None else (self._lock,),
                start_new_session=True,  # the terminal's Ctrl-C is for the gate, which still has sends to finish
            )
        if self._lock is not None:
            os.pwrite(self._lock, f"{os.getpid()} {self._process.pid}".ljust(LOCK_TEXT).encode(), 0)
        try:
            await self._answered(self._process)
        except TimeoutError:
            raise LedgerError(f"the embedded ledger did not answer in time, see {path}") from None
        if self._process.returncode is not None:
            last_word = _last_line(path, begin) or f"see {path}"
            raise LedgerError(f"the embedded ledger {_ending(self._process.returncode)} at its start: {last_word}")

    async def _answered(self, process: asyncio.subprocess.Process) -> None:
        """Return when *process* answers, or has ended."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(START_LIMIT) as limit:
            while process.returncode is None:
                answer = await _ping(self._socket)
                if answer.startswith(b"+PONG"):
                    return
                if answer.startswith(b"-LOADING"):
                    limit.reschedule(began + LOADING_LIMIT)
                await asyncio.sleep(POLL)

    async def _end(self) -> None:
        if process := self._process:
            with suppress(ProcessLookupError, TimeoutError):
                process.send_signal(signal.SIGTERM if self._data_dir else signal.SIGKILL)
                async with asyncio.timeout(STOP_LIMIT):
                    await process.wait()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE
        while True:
            assert self._process
            began = clock()
            status = await self._process.wait()
            self._tell("ledger_lost", {"ending": _ending(status)})
            if clock() - began > STEADY:
                pause = FIRST_PAUSE
            healed = False
            while not healed:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)
                healed = await self._relaunched()

    async def _relaunched(self) -> bool:
        try:
            await self._launch()
        except (LedgerError, OSError) as error:
            self._tell("ledger_restart_failed", {"error": str(error)})
            await self._end()
            return False
        self.restarts += 1
        self._tell("ledger_restarted", {"restarts": self.restarts, "pid": self.pid})
        return True


def _private_folder() -> Path:
    """Make one whose socket has a short path, wherever the data are."""
    usual = tempfile.gettempdir()
    short = usual if len(os.fsencode(usual)) <= LONGEST_TEMP_DIR else "/tmp"  # noqa: S108 -- mkdtemp makes it ours alone
    return Path(tempfile.mkdtemp(prefix="gatekeeper-", dir=short))


def _open_lock(data_dir: Path) -> int:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)


def _close_to_others(data_dir: Path) -> None:
    """Take from others what an older gate, or whoever made the directory, left them; a link leads out of it and is left alone."""
    files = [data_dir / name for name in FILES]
    for path in (data_dir, *files, *(path for folder in files if folder.is_dir() for path in folder.iterdir())):
        with suppress(FileNotFoundError):
            found = path.lstat()
            if found.st_uid == os.geteuid() and found.st_mode & _OTHERS and not stat.S_ISLNK(found.st_mode):
                path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


async def _take_lock(lock: int, data_dir: Path) -> None:
    """Wait a moment: an orphan whose gate was killed may still be saving."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOCK_PATIENCE):
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                await asyncio.sleep(POLL)
    noted = [int(word) for word in os.pread(lock, LOCK_TEXT, 0).split() if word.isdigit()]
    holder = next(filter(_lives, noted), "unknown")
    raise LedgerError(f"the ledger directory {data_dir} is in use by process {holder}: stop it, or set another ledger.data_dir")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def _open_log(path: Path) -> BinaryIO:
    """Open the log at its end, or afresh when it has grown long."""
    grown = path.exists() and path.stat().st_size > LOG_LIMIT
    mode = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if grown else os.O_APPEND)
    return os.fdopen(os.open(path, mode, 0o600), "wb" if grown else "ab")


def _last_line(log: Path, begin: int) -> str:
    """Take the server's last words since *begin*, without Redis's process, date and level."""
    lines = log.read_bytes()[begin:].decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return re.sub(r"^\d+:\w .*? # ", "", last)


def _ending(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


async def _ping(socket: Path) -> bytes:
    """Ask once; nothing when nobody listens yet."""
    with suppress(OSError):
        reader, writer = await asyncio.open_unix_connection(socket)
        with closing(writer):
            writer.write(b"PING\r\n")
            return await reader.readline()
    return b""


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
