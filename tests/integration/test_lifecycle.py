"""A gate as a process: how it starts, what it survives, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_graph import eventually

from gatekeeper.ledger.embedded import find_server

ROOT = Path(__file__).parents[2]
PATIENCE_S = 40
NUMBER, USER = "106540352242922", "4915112345678"
ANSWERED = b'{"messages":[{"id":"wamid.1"}]}'
ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWERED), ANSWERED)
URL = re.compile(r"https?://\S+")


class Served:
    """`gatekeeper serve`, its two addresses and what it wrote."""

    def __init__(self, process, log):
        self.process, self.log, self.url, self.admin_url = process, log, "", ""

    async def greeted(self):
        """Read the addresses from what it says on standard output."""
        async with asyncio.timeout(PATIENCE_S):
            lines = [(await self.process.stdout.readline()).decode() for _ in range(3)]
        self.url, self.admin_url = (URL.search(line)[0] for line in lines[1:])
        return self

    async def ended(self):
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    @property
    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def logged(self, event):
        return [line for line in self.lines if line["event"] == event]

    @property
    def redis(self):
        """The embedded ledger's process id."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next((int(pid) for pid in children if "redis-server" in Path(f"/proc/{pid}/cmdline").read_text()), None)


@pytest.fixture
async def serve(tmp_path):
    """Run gates; one that is still running at the end is killed."""
    started = []

    async def start(upstream, *, greeted=True, stderr=None, **sections):
        usual = {
            "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"},
            "upstream": {"base_url": upstream},
            "ledger": {"data_dir": str(tmp_path / "var")},
            "webhook": {"app_secret": "the-app-secret"},
            "policy": {"cold_start": "closed"},
        }
        merged = {name: {**keys, **sections.get(name, {})} for name, keys in usual.items()}
        config, log = (tmp_path / f"{len(started)}.{end}" for end in ("toml", "log"))
        text = [f"[{name}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys.items()) for name, keys in merged.items()]
        config.write_text("\n".join(text))
        with log.open("wb") as written:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gatekeeper", "serve", "--config", str(config)),
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr or written,
                cwd=ROOT,
            )
        started.append(process)
        served = Served(process, log)
        return await served.greeted() if greeted else served

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.fixture
def talk(bare):
    """A caller of gates in other processes, borrowed from one in this."""

    class Caller:
        @staticmethod
        async def text(served):
            bare.gate.url = served.url
            return await bare.text()

        @staticmethod
        async def template(served):
            bare.gate.url = served.url
            return await bare.template("order_update")

        @staticmethod
        async def wrote(served):
            bare.gate.url, bare.now = served.url, time.time_ns() // 1_000_000
            return await bare.wrote()

        @staticmethod
        async def admin(served, target):
            bare.gate.admin_url = served.admin_url
            return await bare.admin(target)

    return Caller


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def refuses(url) -> bool:
    """Whether nobody listens there any more."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) != 0


def taken(port) -> bool:
    """Whether somebody has an address, listening or not."""
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.bind(("127.0.0.1", port))
        return False
    return True


def timed():
    """A watch that is already running."""
    began = time.monotonic()
    return lambda: time.monotonic() - began


async def test_a_gate_is_ready_within_two_seconds(serve, graph, talk, tmp_path):
    """From nothing, embedded ledger and all, to an answer; on a busy machine one of three has to make it."""
    took = [PATIENCE_S]
    while min(took) >= 2 and len(took) <= 3:
        watch = timed()
        gate = await serve(graph.url, ledger={"data_dir": str(tmp_path / str(len(took)))})
        answer = await talk.admin(gate, "/readyz")
        took.append(watch())

    assert (200, True) == (answer.status, answer.json["ready"])
    assert min(took) < 2


@pytest.mark.parametrize(
    "signals", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGINT], [signal.SIGINT, signal.SIGINT]], ids=str
)
async def test_a_gate_that_is_told_to_stop_finishes_what_is_in_flight(signals, serve, wire, talk):
    """It accepts nothing more, gives the send its answer, and exits 0; told again it does no less."""
    taken, answer = asyncio.Event(), asyncio.Event()

    async def slow(head, reader, writer):
        await reader.readexactly(int(head["Content-Length"]))
        taken.set()
        await answer.wait()
        writer.write(ACCEPTED)

    wire.script = slow
    gate = await serve(wire.url)
    sending = asyncio.create_task(talk.template(gate))
    await taken.wait()
    for number in signals:
        gate.process.send_signal(number)
    await eventually(lambda: refuses(gate.url))
    alive = gate.process.returncode is None
    answer.set()
    answered = await sending
    status = await gate.ended()

    assert (True, 200, "allow", 0) == (alive, answered.status, answered["Gatekeeper-Verdict"], status)
    assert ["started", "decision", "stopped"] == [line["event"] for line in gate.lines]


async def test_grace_is_over_at_some_time(serve, wire):
    """An upstream that never answers does not keep a gate alive: the send has its line, and the exit is a clean one."""
    taken = asyncio.Event()

    async def silence(head, reader, writer):
        taken.set()
        await reader.read()

    wire.script = silence
    gate = await serve(wire.url, server={"grace": "200ms"})
    host, port = gate.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    template = {
        "messaging_product": "whatsapp",
        "to": USER,
        "type": "template",
        "template": {"name": "a", "language": {"code": "en"}},
    }
    body = json.dumps(template).encode()
    writer.write(
        b"POST /v23.0/%b/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (NUMBER.encode(), len(body), body)
    )
    await taken.wait()
    watch = timed()
    gate.process.send_signal(signal.SIGTERM)
    status = await gate.ended()
    took = watch()
    writer.close()

    assert (0, 1, "stopped") == (status, len(gate.logged("decision")), gate.lines[-1]["event"])
    assert took < 5


def template_to(number, *lines):
    """A template on its way, plain or in chunks."""
    body = json.dumps(
        {"messaging_product": "whatsapp", "to": number, "type": "template", "template": {"name": "a", "language": {"code": "en"}}}
    ).encode()
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if CHUNKED in lines else body
    length = [] if CHUNKED in lines else [b"Content-Length: %d" % len(body)]
    return b"\r\n".join([b"POST /v23.0/%b/messages HTTP/1.1" % NUMBER.encode(), b"Host: x", *lines, *length, b"", framed])


CHUNKED, PATIENT = b"Transfer-Encoding: chunked", b"X-Patient: 1"


async def test_at_the_end_every_send_has_one_line_and_keeps_what_it_holds(serve, wire, redis, redis_url):
    """Answered within the grace or broken off, its caller still there or gone, by whichever way it came: nothing else is said of it."""
    go, taken = asyncio.Event(), []

    async def either(head, reader, writer):
        await reader.readexactly(int(head["Content-Length"]))
        taken.append(head)
        nth = len(taken)
        if head["X-Patient"] is None:
            await reader.read()
            return
        await go.wait()
        answer = b'{"messages":[{"id":"wamid.%d"}]}' % nth
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    wire.script = either
    gate = await serve(wire.url, ledger={"url": redis_url}, server={"grace": "500ms"})
    host, port = gate.url.removeprefix("http://").split(":")
    kinds = [(patient, chunked, stays) for patient in ([PATIENT], []) for chunked in ([CHUNKED], []) for stays in (True, False)]
    open_ = []
    for n, (patient, chunked, stays) in enumerate(kinds):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(template_to(f"49151000000{n:02d}", *patient, *chunked))
        await eventually(lambda seen=n: len(taken) > seen)
        if stays:
            open_.append((reader, writer))
        else:
            writer.close()
    gate.process.send_signal(signal.SIGTERM)
    await eventually(lambda: refuses(gate.url))
    go.set()
    status = await gate.ended()
    heard = [(await reader.read()).partition(b"\r\n")[0] for reader, _ in open_]
    for _, writer in open_:
        writer.close()
    states = [[redis.hget(key, "state") for key in redis.scan_iter(f"gk:*:{kind}:*")] for kind in ("message", "reservation")]
    told = [line["upstream_status"] for line in gate.logged("decision")]

    assert (0, [b"HTTP/1.1 200 OK"] * 2 + [b""] * 2) == (status, heard)
    assert {"started", "decision", "stopped"} == {line["event"] for line in gate.lines}
    assert [200] * 4 + [None] * 4 == sorted(told, key=lambda one: one is None)
    assert [[b"accepted"] * 4, [b"reserved"] * 4] == states


async def test_an_idle_connection_does_not_hold_up_the_end(serve, graph):
    """A caller that keeps its connection open has nothing in flight."""
    gate = await serve(graph.url)
    host, port = gate.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    watch = timed()
    gate.process.send_signal(signal.SIGTERM)
    status = await gate.ended()
    took = watch()
    writer.close()

    assert 0 == status
    assert took < 3


async def test_a_log_that_nobody_reads_does_not_change_an_answer(serve, graph, talk):
    """When whoever took the log has gone, a send is still answered as Meta did, and the gate lives."""
    ours, theirs = os.pipe()
    gate = await serve(graph.url, stderr=theirs)
    os.close(theirs)
    os.close(ours)
    answers = [await talk.template(gate) for _ in range(3)]

    assert ([200] * 3, 3, None) == ([answer.status for answer in answers], len(graph.arrived), gate.process.returncode)


@pytest.mark.parametrize("key", ["listen", "admin_listen"])
async def test_an_address_in_use_is_one_line(key, serve, graph):
    """It is a mistake of the configuration: exit 2, and the key is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gate = await serve(graph.url, greeted=False, server={key: f"127.0.0.1:{taken.getsockname()[1]}"})
        status = await gate.ended()
    said = gate.log.read_text().splitlines()

    assert (2, 1) == (status, len(said))
    assert f"$.server.{key}: cannot listen on 127.0.0.1:" in said[0]


async def test_of_two_gates_started_at_once_on_one_address_one_says_why_it_cannot(serve, graph, tmp_path):
    """However closely they start, here with the first held up by its directory, the loser ends with one line and no traceback."""
    port, held = free_port(), tmp_path / "one"
    held.mkdir()
    with (held / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        first = await serve(graph.url, greeted=False, server={"listen": f"127.0.0.1:{port}"}, ledger={"data_dir": str(held)})
        await eventually(lambda: taken(port))
        other = {"data_dir": str(tmp_path / "two")}
        second = await serve(graph.url, greeted=False, server={"listen": f"127.0.0.1:{port}"}, ledger=other)
        await eventually(lambda: second.process.returncode is not None or bool(second.log.read_text()))
    await eventually(lambda: any(gate.process.returncode is not None for gate in (first, second)))
    [loser] = [gate for gate in (first, second) if gate.process.returncode is not None]
    said = loser.log.read_text().splitlines()

    assert (2, 1) == (loser.process.returncode, len(said))


async def test_two_gates_on_one_directory_are_one_too_many(serve, graph, tmp_path):
    """The second says in one line whose the directory is, and the first goes on."""
    first = await serve(graph.url)
    second = await serve(graph.url, greeted=False)
    status = await second.ended()
    said = second.log.read_text().splitlines()

    assert (True, 1, None) == (status != 0, len(said), first.process.returncode)
    assert f"{tmp_path / 'var'} is in use by process {first.process.pid}" in said[0]


async def test_a_restart_keeps_the_windows(serve, graph, talk):
    """What Meta said once is known until it ends."""
    first = await serve(graph.url)
    await talk.wrote(first)
    first.process.send_signal(signal.SIGTERM)
    status = await first.ended()
    second = await serve(graph.url)
    answer = await talk.text(second)

    assert (0, 200) == (status, answer.status)


async def test_a_killed_ledger_heals_and_keeps_its_state(serve, graph, talk):
    """The embedded ledger comes back by itself with all it knew; meanwhile sends are decided without it."""
    gate = await serve(graph.url)
    await talk.wrote(gate)
    before = await talk.text(gate)
    os.kill(gate.redis, signal.SIGKILL)
    states, deadline = [], timed()
    while not states or (states[-1] == "degraded" and deadline() < 5):
        answer = await talk.text(gate)
        states.append(answer["Gatekeeper-State"])
    await eventually(lambda: bool(gate.logged("ledger_restarted")))

    assert (200, 200, "cold") == (before.status, answer.status, states[-1])
    assert int(before["Gatekeeper-Free-Remaining"]) > int(answer["Gatekeeper-Free-Remaining"])


@contextlib.contextmanager
def redis_on(port, folder):
    """A Redis of one's own, on a port."""
    folder.mkdir(exist_ok=True)
    command = [find_server(), "--port", str(port), "--save", "", "--dir", str(folder), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("policy", "status"), [("allow", 200), ("block", 503)])
async def test_a_ledger_that_was_never_there_is_waited_for_by_nobody(policy, status, serve, graph, talk, tmp_path):
    """Without it sends are decided by policy, each at once; when it comes it is found within 5 s, without a restart."""
    port = free_port()
    gate = await serve(graph.url, ledger={"url": f"redis://127.0.0.1:{port}/0"}, policy={"ledger_failure": policy})
    watch = timed()
    answers = [await talk.text(gate) for _ in range(10)]
    took = watch()
    with redis_on(port, tmp_path / "redis"):
        watch = timed()
        while (found := await talk.text(gate))["Gatekeeper-State"] == "degraded" and watch() < 6:
            pass
        recovered = watch()

    assert ({status}, {"degraded"}) == ({a.status for a in answers}, {a["Gatekeeper-State"] for a in answers})
    assert ({"window_unknown"} if policy == "allow" else {"ledger_unavailable"}) == {a["Gatekeeper-Reason"] for a in answers}
    assert took < 1.5
    assert ((400, 131047), True) == (found.error, recovered < 5)
    assert (policy == "allow") == (len(graph.arrived) > 0)


async def test_a_block_for_want_of_the_ledger_may_be_tried_again(open_house, graph):
    """It is a 503 of ours, with the time after which a repeat can help."""
    house = await open_house(graph.url, ledger={"url": f"redis://127.0.0.1:{free_port()}"}, policy={"ledger_failure": "block"})
    answer = await house.text()

    assert ((503, 900004), "GatekeeperException", True, []) == (
        answer.error,
        answer.json["error"]["type"],
        int(answer["Retry-After"]) > 0,
        graph.arrived,
    )


async def test_a_ledger_that_hangs_costs_one_timeout(open_house, graph, frozen):
    """The first send is decided within `ledger.timeout`, those after it at once, and recovery takes less than 5 s."""
    house = await open_house(graph.url, ledger={"timeout": "300ms"})
    await house.wrote()
    watch = timed()
    with frozen():
        first = await house.text()
        waited = watch()
        others = [await house.text() for _ in range(10)]
        took = watch() - waited
    watch = timed()
    await eventually(lambda: bool(house.logged("ledger_recovered")))
    recovered = watch()
    back = await house.text()

    assert ({"degraded"}, "cold") == ({a["Gatekeeper-State"] for a in [first, *others]}, back["Gatekeeper-State"])
    assert (True, True, True) == (0.3 <= waited < 0.55, took < 0.5, recovered < 5)


async def test_sends_at_once_share_one_timeout(open_house, graph, frozen):
    """However many wait for a ledger that hangs, they share one `ledger.timeout`: one after the other they would wait half a minute."""
    house = await open_house(graph.url, ledger={"timeout": "300ms"})
    await house.wrote()
    watch = timed()
    with frozen():
        answers = await asyncio.gather(*(house.text() for _ in range(100)))
        took = watch()
    await eventually(lambda: bool(house.logged("ledger_recovered")))

    assert {"degraded"} == {a["Gatekeeper-State"] for a in answers}
    assert took < 5


async def test_a_burst_is_not_taken_for_the_loss_of_the_ledger(serve, graph, bare):
    """However many sends come at once, a ledger that answers is asked for each: the wait in line is ours, not its silence."""
    gate = await serve(graph.url)
    bare.gate.url = gate.url
    template = {
        "messaging_product": "whatsapp",
        "to": USER,
        "type": "template",
        "template": {"name": "a", "language": {"code": "en"}},
    }
    body = json.dumps(template).encode()
    send = b"POST /%b/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (NUMBER.encode(), len(body), body)
    async with contextlib.AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(bare.connected()) for _ in range(900)]
        for _, writer in callers:
            writer.write(send)
        answers = await asyncio.gather(*(bare.read_message(reader) for reader, _ in callers))

    assert ({200}, {"cold"}) == ({a.status for a in answers}, {a["Gatekeeper-State"] for a in answers})
    assert [] == gate.logged("ledger_lost")


async def test_an_unknown_number_waits_for_the_ledger_no_longer(open_house, graph, frozen):
    """A number that no account names has to be looked up first; that does not double the wait."""
    house = await open_house(graph.url, ledger={"timeout": "300ms"})
    watch = timed()
    with frozen():
        answer = await house.send({"messaging_product": "whatsapp", "to": USER, "text": {"body": "x"}}, path="/1/messages")
        took = watch()
    await eventually(lambda: bool(house.logged("ledger_recovered")))

    assert (200, "degraded") == (answer.status, answer["Gatekeeper-State"])
    assert took < 0.55


async def test_scripts_that_redis_forgot_are_loaded_again(house, redis):
    """A flush of Redis's scripts, as its restart brings, is not noticed by a caller."""
    await house.wrote()
    before = await house.text()
    redis.script_flush()
    after = await house.text()
    redis.script_flush()
    settled = await house.status("wamid.1", "delivered")

    assert ("999", "998", 200, []) == (
        before["Gatekeeper-Free-Remaining"],
        after["Gatekeeper-Free-Remaining"],
        settled.status,
        house.logged("ledger_lost"),
    )


async def test_a_ledger_that_refuses_writes_is_a_failure_not_a_crash(open_house, graph, redis):
    """A Redis that is out of memory is out of reach until it takes something again, and everybody hears so at once."""
    house = await open_house(graph.url)
    await house.wrote()
    redis.config_set("maxmemory", 1)
    try:
        answer = await house.text()
        meanwhile = await house.text()
    finally:
        redis.config_set("maxmemory", 0)
    await eventually(lambda: house.gate.engine.ledger.up)
    after = await house.text()

    assert (200, "degraded") == (answer.status, answer["Gatekeeper-State"])
    assert ("degraded", "cold") == (meanwhile["Gatekeeper-State"], after["Gatekeeper-State"])
    assert 1 == len(house.logged("ledger_lost")) == len(house.logged("ledger_recovered"))
