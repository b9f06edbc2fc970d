"""A reload that would open the gate, close it or leave it half configured changes nothing; what can be read once is never read again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from fake_graph import eventually
from gates import ACCOUNT, NUMBER, gates, written

WITHIN_S = 15
KEY = "a-key-of-the-crm-system"
CALLER = f'[[caller]]\nname = "crm"\nkey = "{KEY}"\n'
MEANT = "if that is meant, say [server] allow_empty = true"
EMPTY = f"stale: $.caller: the file is empty, and all that is in force would be lost; {MEANT}"
NO_CALLER = f"stale: $.caller: every [[caller]] in force is gone from the file, and anybody could send; {MEANT}"
NO_ACCOUNT = f"stale: $.account: every [[account]] in force is gone from the file; {MEANT}"


@pytest.fixture
async def start(tmp_path):
    async with gates(tmp_path) as started:
        yield started


@pytest.fixture
def config(graph, redis_url, redis):
    def of(policy="", **more):
        return written(graph.url, redis_url, policy=policy, **more)

    return of


async def statuses(gate):
    """What becomes of a send without a key, and of one with it."""
    return [(await gate.send(**headers))[0] for headers in ({}, {"Gatekeeper_Key": KEY})]


def state_of(pid):
    """As /proc spells it: T is stopped, Z is dead."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def folder(file):
    file.unlink()
    file.mkdir()


def pipe(file):
    file.unlink()
    os.mkfifo(file)


def link_to_nothing(file):
    file.unlink()
    file.symlink_to("nowhere.toml")


CHANGES = {
    "empty": (lambda file: file.write_text(""), EMPTY),
    "only comments": (lambda file: file.write_text("# to be written\n\n[policy]\n[server]\n"), EMPTY),
    "without callers": (lambda file: file.write_text(file.read_text().replace(CALLER, "")), NO_CALLER),
    "without accounts": (lambda file: file.write_text(file.read_text().replace(ACCOUNT, "")), NO_ACCOUNT),
    "cut off": (lambda file: file.write_text(file.read_text()[: file.read_text().index("[[account]]")]), NO_CALLER),
    "missing": (lambda file: file.unlink(), "stale: No such file or directory"),
    "a folder": (folder, "stale: Is a directory"),
    "a pipe": (pipe, "stale: not a file that can be read again"),
    "a link to nothing": (link_to_nothing, "stale: No such file or directory"),
}


async def test_a_file_that_lost_what_is_in_force_is_refused(start, config):
    """Emptied, cut off, gone or something else: callers stay known, `/readyz` and the log say why, and a whole file is adopted again."""
    gate = await start(config() + CALLER)
    whole, found = gate.config.read_text(), {}
    for name, (change, _) in CHANGES.items():
        failed, reloaded = (len(gate.logged(event)) for event in ("reload_failed", "reloaded"))
        change(gate.config)
        gate.hang_up()
        await eventually(lambda failed=failed: len(gate.logged("reload_failed")) > failed, WITHIN_S)
        found[name] = (await gate.asked("/readyz"))[1]["checks"]["policy"], await statuses(gate)
        new = gate.config.with_suffix(".new")
        new.write_text(whole)
        if gate.config.is_dir():
            gate.config.rmdir()
        new.rename(gate.config)
        gate.hang_up()
        await eventually(lambda reloaded=reloaded: len(gate.logged("reloaded")) > reloaded, WITHIN_S)
    ready = await gate.asked("/readyz")

    assert {name: (says, [401, 200]) for name, (_, says) in CHANGES.items()} == found
    assert (200, "ok") == (ready[0], ready[1]["checks"]["policy"])


async def test_an_emptied_file_is_refused_by_itself(start, config):
    """Without a signal too, within seconds."""
    gate = await start(config() + CALLER)
    gate.config.write_text("")
    await eventually(lambda: bool(gate.logged("reload_failed")), WITHIN_S)

    assert [401, 200] == await statuses(gate)


async def test_what_is_meant_to_be_empty_says_so(start, config):
    """Then callers and accounts may go; the key itself needs no restart."""
    gate = await start(config() + CALLER)
    gate.config.write_text(config(account="", server="allow_empty = true"))
    gate.hang_up()
    await eventually(lambda: bool(gate.logged("reloaded")), WITHIN_S)

    assert [200, 200] == await statuses(gate)
    assert [] == gate.logged("restart_needed")


# ---------------------------------------------------------------------------------------- what can be read only once


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_pipe_is_read_once(workers, start, config, graph):
    """Every worker is configured by that one reading, a signal does not change it, and a worker that takes another's place has it too."""
    gate = await start("/dev/stdin", piped=config(server=f"workers = {workers}") + CALLER)
    before = [await statuses(gate) for _ in range(6)]
    gate.hang_up()
    await eventually(lambda: len(gate.logged("reloaded")) == workers, WITHIN_S)
    for started in gate.logged("worker_started"):
        os.kill(started["pid"], signal.SIGKILL)
    await eventually(
        lambda: len([line for line in gate.logged("started") if line.get("upstream")]) >= 2 * workers - 1, 3 * WITHIN_S
    )
    after = [await statuses(gate) for _ in range(6)]
    checks = (await gate.asked("/readyz"))[1]["checks"]

    assert [[401, 200]] * 12 == before + after
    assert ("ok", [], 12) == (checks["policy"], gate.logged("reload_failed"), len(graph.arrived))


async def test_a_named_pipe_is_read_once(start, config, tmp_path):
    """Its writer is waited for, at the start and never again."""
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    text = config() + CALLER
    gate, _ = await asyncio.gather(start(pipe), asyncio.to_thread(pipe.write_text, text))
    gate.hang_up()
    await eventually(lambda: bool(gate.logged("reloaded")), WITHIN_S)

    assert ([401, 200], []) == (await statuses(gate), gate.logged("reload_failed"))


async def test_a_worker_that_replaces_another_goes_by_what_is_in_force(start, config, graph):
    """The file has lost its callers and its upstream meanwhile: neither counts for the new one."""
    gate = await start(config(server="workers = 2") + CALLER)
    gate.config.write_text(config(server="workers = 2").replace(graph.url, "http://127.0.0.1:9"))
    await eventually(lambda: len(gate.logged("reload_failed")) == 2, WITHIN_S)
    for started in gate.logged("worker_started"):
        os.kill(started["pid"], signal.SIGKILL)
    await eventually(lambda: len([line for line in gate.logged("started") if line.get("worker")]) == 4, 3 * WITHIN_S)
    found = [await statuses(gate) for _ in range(6)]

    assert [[401, 200]] * 6 == found


# ------------------------------------------------------------------------------------------------------------ signals


@pytest.mark.parametrize("workers", [1, 2])
async def test_signals_of_other_servers_do_nothing(workers, start, config):
    """SIGUSR1 reopens logs elsewhere, SIGTTIN adds a worker: here they end, stop and change nothing, in parent and workers."""
    gate = await start(config(server=f"workers = {workers}"))
    pids = [gate.process.pid, *(line["pid"] for line in gate.logged("worker_started"))]
    for name in ("SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTTIN", "SIGTTOU", "SIGALRM", "SIGVTALRM", "SIGPROF"):
        for pid in pids:
            os.kill(pid, getattr(signal, name))
    found = [(await gate.send())[0] for _ in range(6)]
    stopped = [pid for pid in pids if state_of(pid) in "TZ"]

    assert ([200] * 6, [], []) == (found, stopped, gate.logged("worker_died"))
    assert {1: 0, 2: 2}[workers] == len(gate.logged("worker_started"))


# ------------------------------------------------------------------------------------------------- what needs a restart


async def test_readyz_names_the_keys_that_need_a_restart(start, config, graph):
    """It stays 200, and forgets them when the file is as it was."""
    gate = await start(config())
    text = gate.config.read_text()
    gate.config.write_text(text.replace(graph.url, "http://127.0.0.1:9").replace("[server]", '[server]\ngrace = "31s"'))
    await eventually(lambda: len(gate.logged("reloaded")) == 1, WITHIN_S)
    needed = await gate.asked("/readyz")
    gate.config.write_text(text)
    await eventually(lambda: len(gate.logged("reloaded")) == 2, WITHIN_S)
    back = await gate.asked("/readyz")

    assert (200, "$.server.grace, $.upstream.base_url") == (needed[0], needed[1]["checks"]["restart_needed"])
    assert [["server.grace", "upstream.base_url"]] == [line["keys"] for line in gate.logged("restart_needed")]
    assert (200, True) == (back[0], "restart_needed" not in back[1]["checks"])


async def test_a_reload_warns_as_the_start_does(start, config):
    """Of a variable that is not set and of a currency without prices, by key, in the log."""
    odd = ACCOUNT.replace(f'phone_number_ids = ["{NUMBER}"]', 'currency = "CHF"\naccess_token = "env:GATEKEEPER_NOT_SET"')
    gate = await start(config(account=odd))
    gate.hang_up()
    await eventually(lambda: bool(gate.logged("reloaded")), WITHIN_S)

    assert ["$.account[0].access_token", "$.account[0].currency"] * 2 == [line["key"] for line in gate.logged("config_warning")]
