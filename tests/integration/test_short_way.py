"""The short way through the listener: who takes it hears what the long way would have said, and who cannot is handed over unharmed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import random
import socket
import weakref

import pytest
from aiohttp import web
from both_loops import ON_BOTH, complaints, event_loop_policy, watched  # noqa: F401 - fixtures
from fake_graph import eventually
from test_hostile_http import ALLOWED, BLOCKED, CHUNKED, ONCE, REFUSED, chunked, post, sized

from gatekeeper.server import short_way
from gatekeeper.server.connections import GraphServer
from gatekeeper.server.http import Heads
from gatekeeper.server.replies import Reply

pytestmark = [ON_BOTH, pytest.mark.usefixtures("watched")]
PATIENCE_S, SILENCE_S = 10, 0.3
FORCED = {"send": 32, "receive": 33}  # socket.SO_SNDBUFFORCE and SO_RCVBUFFORCE, which Python does not name


def said(way, method, path, headers, body):
    """An answer that tells what was heard, and by which way where *way* is given."""
    heard = {
        "way": way,
        "method": method,
        "path": path,
        "headers": [[name, value] for name, value in headers if name.lower() != "content-length"],
        "body": body.decode("latin-1"),
    }
    return Reply(201, json.dumps(heard).encode(), [("X-Ours", "a"), ("Content-Type", "application/json")])


class Served:
    """
    The gate's own HTTP server; what it is asked under `/short` is for the short way.

    A short request whose body is `wait` is answered once `go` is set.
    """

    def __init__(self, *, short=True, ways=True, head_s=60.0, grace=2.0):
        self.taken, self.heard, self.tasks = [], [], set()
        self.go = asyncio.Event()
        self.ways = ways
        self.answer = None
        self.server = GraphServer(self.handle, taker=self if short else None, head_s=head_s)
        self.runner = web.ServerRunner(self.server, shutdown_timeout=grace)

    def wants(self, path):
        return path.startswith("/short")

    async def take(self, request):
        self.heard.append(request)
        return await self.answered("short", request, request.body)

    def begin(self, course):
        task = asyncio.get_running_loop().create_task(course)
        self.tasks.add(task)
        return task

    async def handle(self, request):
        body = b"".join([piece async for piece in request.content.iter_any()])
        return (await self.answered("long", request, body)).response()

    async def answered(self, way, request, body):
        self.taken.append(body)
        if body == b"wait":
            await self.go.wait()
        if self.answer is not None:
            return self.answer()
        return said(way if self.ways else None, request.method, request.raw_path, request.headers.items(), body)

    @contextlib.asynccontextmanager
    async def running(self, bound=None):
        await self.runner.setup()
        bound = bound or socket.create_server(("127.0.0.1", 0))
        await web.SockSite(self.runner, bound).start()
        self.address = bound.getsockname()
        try:
            yield self
        finally:
            async with asyncio.timeout(PATIENCE_S):
                await self.runner.cleanup()
                await eventually(lambda: not self.server.short)
                results = await asyncio.gather(*self.tasks, return_exceptions=True)
            assert ([], []) == ([one for one in results if one is not None], self.server.connections)

    @contextlib.asynccontextmanager
    async def connected(self):
        reader, writer = await asyncio.open_connection(*self.address, limit=16 << 20)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def served():
    async with asyncio.timeout(60), Served().running() as running:
        yield running


class Answer:
    """What was answered."""

    def __init__(self, head, body):
        self.line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(self.line.split()[1])
        self.headers = [tuple(line.split(": ", 1)) for line in lines]
        self.body = body

    @property
    def last(self):
        return ("Connection", "close") in self.headers

    @property
    def heard(self):
        """How a request was heard: its way, its path and its body."""
        if self.status != 201:
            return self.status
        told = json.loads(self.body)
        return f"{told['way']} {told['method']} {told['path']} {told['body'][:40]}"


async def answer_of(reader):
    async with asyncio.timeout(PATIENCE_S):
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return Answer(head, await reader.readexactly(int(lengths[0].partition(b":")[2])) if lengths else b"")


async def answers_until_the_end(reader):
    heard = []
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            heard.append(await answer_of(reader))
    return heard


async def tick(times=3):
    for _ in range(times):
        await asyncio.sleep(0)


def short(body=b"hi", *lines, path=b"/short"):
    return post(sized(body), *lines, body=body, target=path)


GET = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
LONG_GET = "long GET /x "
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
# What is said, and how it is heard, as far as no piece of it ends within a head or between requests.
SAID = {
    "one": (short(), ["short POST /short hi"]),
    "an empty body": (short(b""), ["short POST /short "]),
    "three at once": (short(b"a") + short(b"b") + short(b"c"), [f"POST /short {n}" for n in "abc"]),
    "send, GET, send": (short(b"a") + GET + short(b"b"), ["POST /short a", "GET /x ", "POST /short b"]),
    "another path": (post(sized(b"hi"), body=b"hi", target=b"/y"), ["POST /y hi"]),
    "a query": (short(path=b"/y?/short"), ["POST /y?/short hi"]),
    "chunks": (post(CHUNKED, body=chunked(b"h", b"i"), target=b"/short"), ["POST /short hi"]),
    "an expectation": (short(b"hi", b"Expect: miracles"), ["POST /short hi"]),
    "a header beyond ASCII": (short(b"hi", b"X-A: \xc3\x96\xff"), ["POST /short hi"]),
    "a header twice": (short(b"hi", b"X-A: 1", b"X-A: 2"), ["POST /short hi"]),
    "a long head": (short(b"hi", b"X-A: " + b"a" * 4_500, b"X-B: " + b"b" * 4_500), ["POST /short hi"]),
}


def without_way(heard):
    return [one.partition(" ")[2] for one in heard]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", [name for name in SAID if name != "a long head"])
async def test_a_request_may_be_cut_anywhere(name, known, served):
    """In two at every byte of it, and byte by byte: each request is answered once, in its turn, with its whole body."""
    whole, expected = SAID[name]
    expected = [one.removeprefix("short ") for one in expected]
    whole += LAST
    cuts = [[whole[:at], whole[at:]] for at in range(1, len(whole))]
    heard = {}
    for pieces in [*cuts, [bytes([byte]) for byte in whole]]:
        if not known:
            served.server.heads = Heads()
        async with served.connected() as (reader, writer):
            for piece in pieces:
                writer.write(piece)
                await tick()
            answers = without_way([one.heard for one in await answers_until_the_end(reader)])
            heard.setdefault(json.dumps(answers), []).append(len(pieces[0]))
    await eventually(lambda: not served.server.connections)

    assert [json.dumps([*expected, "GET /last "])] == list(heard)
    assert set() == served.server.short


@pytest.mark.parametrize(
    ("name", "way"),
    [(name, "short" if name in ("one", "an empty body") else "long") for name in SAID],
)
async def test_what_is_plain_goes_the_short_way(name, way, served):
    """What came in one piece, and nothing else."""
    async with served.connected() as (reader, writer):
        writer.write(SAID[name][0])
        answer = await answer_of(reader)

    assert way == answer.heard.partition(" ")[0]


async def test_a_connection_goes_from_the_short_way_to_the_long_one_and_stays(served):
    """A send, a GET and another send on one connection are answered by who can."""
    heard = []
    async with served.connected() as (reader, writer):
        for said_now in (short(b"1"), short(b"2"), GET, short(b"3")):
            writer.write(said_now)
            heard.append((await answer_of(reader)).heard)

    assert ["short POST /short 1", "short POST /short 2", LONG_GET, "long POST /short 3"] == heard


async def test_a_body_may_come_in_pieces(served):
    """Up to what the short way takes; a larger one is handed over with what came of it."""
    heard = []
    for size in (200_000, short_way._LONGEST - 200, short_way._LONGEST, short_way._LONGEST + 1, 900_000):
        body = bytes(range(32, 127)) * (size // 95 + 1)
        async with served.connected() as (reader, writer):
            for piece in (whole := short(body[:size]))[:20_000], whole[20_000:60_000], whole[60_000:]:
                writer.write(piece)
                await writer.drain()
                await tick()
            told = json.loads((await answer_of(reader)).body)
            heard.append((told["way"], told["body"].encode() == body[:size]))

    assert [("short", True), ("short", True), ("long", True), ("long", True), ("long", True)] == heard


async def test_what_is_handed_over_keeps_its_order():
    """However much of it lies there: uvloop reads on, in one go, while the first piece is still being looked at."""
    bound, caller = socket.create_server(("127.0.0.1", 0)), socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, FORCED["receive"], 8 << 20)
        caller.setsockopt(socket.SOL_SOCKET, FORCED["send"], 8 << 20)
    except PermissionError:
        bound.close()
        caller.close()
        pytest.skip("a buffer of that size is for root")
    body = b"".join(b"%07d " % n for n in range(1 << 18))
    async with asyncio.timeout(20), Served().running(bound) as served:
        caller.connect(served.address)
        caller.setblocking(False)
        sent = caller.send(short(body))
        reader, writer = await asyncio.open_connection(sock=caller, limit=16 << 20)
        told = json.loads((await answer_of(reader)).body)
        writer.close()

    assert sent > 2 * len(body) // 3
    assert ("long", True) == (told["way"], told["body"].encode() == body)


async def test_who_asks_while_being_answered_waits(served):
    """One at a time, in their order, whatever way each of them goes."""
    async with served.connected() as (reader, writer):
        for said_now in (short(b"wait"), short(b"2") + short(b"3"), GET, short(b"4")[:-20], short(b"4")[-20:]):
            writer.write(said_now)
            await tick(10)
        before = list(served.taken)
        served.go.set()
        heard = [(await answer_of(reader)).heard for _ in range(5)]

    assert [b"wait"] == before
    assert ["POST /short wait", "POST /short 2", "POST /short 3", "GET /x ", "POST /short 4"] == without_way(heard)


FAR = b"X-A: " + b"a" * 9_000
MORE = {
    "HTTP/1.0": post(sized(b"hi"), body=b"hi", version=b"HTTP/1.0"),
    "another protocol": post(sized(b"hi"), b"Connection: upgrade", b"Upgrade: h2c", body=b"hi"),
    "HTTP/1.0 that stays": post(sized(b"hi"), b"Connection: keep-alive", body=b"hi", version=b"HTTP/1.0"),
    "another method": post(sized(b"hi"), body=b"hi", target=b"/short").replace(b"POST", b"PUT"),
    "the last": post(sized(b"hi"), b"Connection: close", body=b"hi"),
    "to be continued": post(sized(b"hi"), b"Expect: nothing", body=b"hi"),
    "no length": post(),
    "a length of nought": post(b"Content-Length: 0"),
    "a blank behind a length": post(b"Content-Length: 2 ", body=b"hi"),
    "a blank behind a value": post(sized(b"hi"), b"X-A: \t b \t", body=b"hi"),
    "an empty value": post(sized(b"hi"), b"X-A:", b"X-B: ", body=b"hi"),
    "a long header": post(sized(b"hi"), FAR, body=b"hi"),
    "long headers": post(sized(b"hi"), *[b"X-%d: %b" % (n, b"a" * 4_000) for n in range(3)], body=b"hi"),
    "128 headers": post(sized(b"hi"), *[b"X-%d: a" % n for n in range(126)], body=b"hi"),
    "129 headers": post(sized(b"hi"), *[b"X-%d: a" % n for n in range(127)], body=b"hi"),
    "two types": post(sized(b"hi"), b"Content-Type: a", b"content-type: b", body=b"hi"),
    "two agents": post(sized(b"hi"), b"User-Agent: a", b"User-Agent: b", body=b"hi"),
    "two of another": post(sized(b"hi"), b"X-A: a", b"X-A: b", body=b"hi"),
    "an old websocket": post(sized(b"hi"), b"Sec-WebSocket-Key1: a", body=b"hi"),
    "a whole URL": post(sized(b"hi"), body=b"hi", target=b"http://x/short"),
    "two slashes": post(sized(b"hi"), body=b"hi", target=b"//short"),
    "odd bytes in a value": post(sized(b"hi"), b"X-A: \xc3\x96\xff", body=b"hi"),
    "odd bytes in a name": post(sized(b"hi"), b"X-\xc3: a", body=b"hi"),
    "odd bytes in a target": post(sized(b"hi"), body=b"hi", target=b"/short\xc3\x96"),
    "blank lines behind": post(sized(b"hi"), body=b"hi\r\n\r\n"),
    "rubbish behind": post(sized(b"hi"), body=b"hi\0\0"),
    "a method in small letters": post(sized(b"hi"), body=b"hi").replace(b"POST", b"post"),
    "ICE": post(sized(b"hi"), body=b"hi", version=b"ICE/1.1"),
    "HTTP/1.9": post(sized(b"hi"), body=b"hi", version=b"HTTP/1.9"),
    "zeros in front of a length": post(b"Content-Length: " + b"0" * 30 + b"2", body=b"hi"),
}
ALL = {
    name: one.replace(b"POST /v23.0/106540352242922/messages", b"POST /short") for name, one in (REFUSED | ONCE | MORE).items()
}


# Of "a length one short" in two pieces aiohttp has begun to answer when it sees what is wrong, and the short way has not.
ONE_BY_ONE = [(name, pieces) for name in ALL for pieces in (1, 2) if (name, pieces) != ("a length one short", 2)]


@pytest.mark.parametrize(("name", "pieces"), ONE_BY_ONE)
async def test_both_ways_say_the_same(name, pieces):
    """Whatever is asked, alone on its connection: what aiohttp refuses is refused, and what is heard has the same headers and body."""
    heard = []
    for way in (True, False):
        async with (
            asyncio.timeout(PATIENCE_S),
            Served(short=way, ways=False).running() as served,
            served.connected() as (reader, writer),
        ):
            whole = ALL[name]
            for piece in [whole] if pieces == 1 else [whole[:-2], whole[-2:]]:
                writer.write(piece)
                await tick(5)
            try:
                async with asyncio.timeout(SILENCE_S):
                    one = await answer_of(reader)
            except TimeoutError:
                heard.append("nothing")
            except ConnectionError:  # closed on what was not read, which may overtake the answer
                heard.append(400)
            else:
                told = sorted(pair for pair in one.headers if pair[0] not in ("Date", "Server"))
                heard.append(400 if one.status == 400 and pieces == 2 else (one.line, told, one.body))

    assert heard[1] == heard[0]


BODIES = [b"", b"hi", b"x" * 130, b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc", b"0\r\n\r\n", short(b"within")]
LENGTHS = [b"Content-Length: %d"] * 4 + [
    b"content-length:%d",
    b"Content-Length: 0%d",
    b"Content-Length:   %d",
    b"CONTENT-LENGTH: %d",
]
BROKEN = [b"Content-Length: %d ", b"Content-Length: %d\r\n 1", b"Content-Length: +%d", b"Content-Length: \r\nContent-Length: %d"]
LINES = [
    b"X-A: 1",
    b"X-A:",
    b"Authorization: Bearer a",
    b"Authorization: Bearer b",
    b"X-B: Content-Length: 3",
    b"Content-Length:",
]
BEHIND = [b"\r\n", b"\r", b"\n", b"P", b"\0", short(b"behind")]
ODD_BYTES = b"\r\n \t:\0" + b"059aC\xff"


def drawn_request(drawn):
    """One that is mostly plain, and mostly one that came before but for its body."""
    body = drawn.choice(BODIES)
    wrong = drawn.choice([1, -1, 2]) if drawn.random() < 0.05 else 0
    lines = [drawn.choice(LENGTHS if drawn.random() < 0.93 else BROKEN) % max(len(body) + wrong, 0)]
    if drawn.random() < 0.4:
        lines.insert(drawn.randrange(2), drawn.choice(LINES[:-1] if drawn.random() < 0.9 else LINES))
    whole = post(*lines, body=body, target=drawn.choice([b"/short", b"/short", b"/short2"]))
    if drawn.random() < 0.1:
        at = drawn.randrange(len(whole))
        whole = whole[:at] + bytes([drawn.choice(ODD_BYTES)]) + whole[at + drawn.randrange(2) :]
    return whole + (drawn.choice(BEHIND) if drawn.random() < 0.15 else b"")


def drawn_pieces(drawn):
    """What somebody says on one connection, mostly cut where a body begins, or within it."""
    for whole in (drawn_request(drawn) for _ in range(drawn.randrange(1, 5))):
        begins = whole.find(b"\r\n\r\n") + 4
        cuts = {drawn.choice([begins, drawn.randrange(begins, len(whole) + 1)]) for _ in range(drawn.choice([0, 0, 1, 1, 3]))}
        cuts |= {drawn.randrange(len(whole))} if drawn.random() < 0.05 else set()
        yield from (whole[a:b] for a, b in itertools.pairwise([0, *sorted(cuts), len(whole)]) if a < b)


async def conversation(served, pieces):
    async with served.connected() as (reader, writer):
        for piece in pieces:
            if not reader._eof:  # what is written behind the end would overtake the last answer
                writer.write(piece)
                await tick(8)
        await tick(20)
        if not reader._eof:
            writer.write_eof()
        return [answer.heard if answer.status == 201 else answer.status for answer in await answers_until_the_end(reader)]


@pytest.mark.parametrize("seed", range(3))
async def test_a_head_that_came_before_changes_nothing(seed):
    """Whoever said it, and whatever is said then: each request is heard as aiohttp hears it, which has seen no other."""
    drawn = random.Random(seed)
    heard, differing = set(), []
    async with (
        asyncio.timeout(60),
        Served().running() as served,
        Served(short=False).running() as plain,
    ):
        for _ in range(80):
            pieces = list(drawn_pieces(drawn))
            ours = await conversation(served, pieces)
            theirs = without_way_but_400(await conversation(plain, pieces))
            heard.update(str(one).partition(" ")[0] for one in ours)
            ours = without_way_but_400(ours)
            if ours[-1:] == theirs[-1:] == [400]:  # aiohttp may have begun to answer when it sees what is wrong
                theirs = [*theirs[: len(ours) - 1], 400]
            differing += [(pieces, ours, theirs)] * (ours != theirs)
        known = len(served.server.heads._known)

    assert [] == differing
    assert {"short", "long", "400"} == heard
    assert known > 10


async def test_only_a_head_that_comes_again_is_kept(served):
    """What comes once, as that of a webhook with its signature, drives none of them out; a long one is not kept at all."""
    async with served.connected() as (reader, writer):
        for lines in ([], [], *([b"X-A: %d" % n] for n in range(1100)), [b"X-B: " + b"b" * 4000], [b"X-B: " + b"b" * 4000]):
            writer.write(short(b"hi", *lines))
            await answer_of(reader)
        kept = list(served.server.heads._known)

    assert [short(b"hi")[: -len(b"\r\n\r\nhi")].replace(b"Content-Length: 2", b"Content-Length: ")] == kept


def without_way_but_400(heard):
    return [one if isinstance(one, int) else one.partition(" ")[2] for one in heard]


async def test_a_length_beyond_all_numbers_is_no_ones_fault(served):
    """Python reads no number of so many digits."""
    async with served.connected() as (reader, writer):
        writer.write(post(b"Content-Length: " + b"0" * 5_000 + b"2", body=b"hi", target=b"/short"))
        answer = await answer_of(reader)

    assert "long POST /short hi" == answer.heard


async def test_who_hangs_up_is_answered_nonetheless(served):
    """What is under way comes to its end; nobody hears it."""
    async with served.connected() as (_, writer):
        writer.write(short(b"wait"))
        await eventually(lambda: served.taken)
    await eventually(lambda: not served.server.short)
    gone = served.heard[0].transport
    served.go.set()
    await eventually(lambda: all(task.done() for task in served.tasks))
    async with served.connected() as (reader, writer):
        writer.write(short())
        following = await answer_of(reader)

    assert (None, "short POST /short hi") == (gone, following.heard)


async def test_who_does_not_read_is_not_answered_further(served):
    """What it asks meanwhile waits, and the rest of it in its own buffers; once it reads, every answer comes in its turn."""
    count = 40
    served.answer = lambda: Reply(body=b"%d" % len(served.taken) + b"x" * (1 << 20))
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, served.address)
    for n in range(count):
        await loop.sock_sendall(sock, short(b"%d" % n))
        await tick(10)
    await asyncio.sleep(0.02)
    before = len(served.taken)
    reader, writer = await asyncio.open_connection(sock=sock, limit=16 << 20)
    heard = [(await answer_of(reader)).body.rstrip(b"x") for _ in range(count)]
    writer.close()

    assert before < count / 2
    assert ([b"%d" % n for n in range(1, count + 1)], [b"%d" % n for n in range(count)]) == (heard, served.taken)


async def test_behind_a_last_answer_nothing_is_heard(served):
    """Who was told that this was the last one would ask again elsewhere: what it had asked already is not taken, slow as it may be."""

    def last():
        return Reply(body=b"x" * (4 << 20), last=True)

    served.answer = last
    async with served.connected() as (reader, writer):
        reader._limit = 1  # reads nothing by itself
        writer.write(short(b"wait"))
        await eventually(lambda: served.taken)
        writer.write(short(b"behind"))
        await tick(10)
        served.go.set()
        await asyncio.sleep(0.02)
        reader._limit = 16 << 20
        answers = await answers_until_the_end(reader)

    assert ([(True, 4 << 20)], [b"wait"]) == ([(one.last, len(one.body)) for one in answers], served.taken)


@pytest.mark.parametrize("header", [[("X-A", "a\rb")], [("X-A", "a\nb")]])
async def test_an_answer_that_cannot_be_written_costs_its_connection(header, served):
    """Neither the next one nor the server; and it is said."""
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(type(context["exception"])))
    served.answer = lambda: Reply(headers=header)
    async with served.connected() as (reader, writer):
        writer.write(short())
        broken = await answers_until_the_end(reader)
    served.answer = None
    async with served.connected() as (reader, writer):
        writer.write(short())
        following = await answer_of(reader)

    assert ([], [ValueError], "short POST /short hi") == (broken, reported, following.heard)


@pytest.mark.parametrize(
    "pieces",
    [[b""], [b"PO"], [short()[:-10]], [b"\r\n"] * 3, [short(), b"PO"], [short(b"x" * 100_000)[:-1]], [GET, b"POST /"]],
    ids=["nothing", "a word", "half a head", "blank lines", "a second one begun", "half a body", "a second one behind another"],
)
async def test_what_never_ends_is_hung_up(pieces, monkeypatch):
    """Head or body, first or second, by whichever way; who has begun hears that it was too slow."""
    monkeypatch.setattr(short_way, "BODY_S", 0.1)
    pieces = [piece for piece in pieces if piece]
    async with asyncio.timeout(5), Served(head_s=0.1).running() as served, served.connected() as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await tick(20)
        heard = await answers_until_the_end(reader)

    whole = sum(piece.endswith(b"hi") or piece.startswith(GET) for piece in pieces)
    begun = bool(pieces) and not pieces[-1].endswith(b"hi")

    assert [201] * whole + [408] * begun == [one.status for one in heard]


async def test_an_idle_connection_is_closed_in_the_end(monkeypatch):
    """Much later than a new one on which nothing comes."""
    monkeypatch.setattr(short_way, "_KEPT_S", 0.2)
    async with asyncio.timeout(5), Served(head_s=0.05).running() as served, served.connected() as (reader, writer):
        loop = asyncio.get_running_loop()
        writer.write(short())
        first = await answer_of(reader)
        began = loop.time()
        rest = await answers_until_the_end(reader)
        took = loop.time() - began

    assert ("short POST /short hi", [], True) == (first.heard, rest, 0.1 < took < 2)


@pytest.mark.parametrize("last", [True, False])
async def test_who_never_reads_its_answer_is_hung_up_on(last, monkeypatch):
    """As one who has nothing more to say would be."""

    def large():
        return Reply(body=b"x" * (16 << 20), last=last)

    monkeypatch.setattr(short_way, "_KEPT_S", 0.1)
    async with asyncio.timeout(10), Served(head_s=0.05).running() as served, served.connected() as (reader, writer):
        reader._limit = 1
        served.answer = large
        writer.write(short())
        await eventually(lambda: served.taken)
        await eventually(lambda: not served.server.short, 3)

    assert [b"hi"] == served.taken


async def test_leaving_ends_what_is_idle_and_waits_for_what_is_not():
    """An answer under way gets out, as the last on its connection; what stands behind it, or is half there, is not heard."""
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(Served(grace=5).running())
        idle, fresh, handed, half, busy = [await stack.enter_async_context(served.connected()) for _ in range(5)]
        for (reader, writer), said_now in ((idle, short()), (handed, GET)):
            writer.write(said_now)
            await answer_of(reader)
        half[1].write(short(b"never whole")[:-4])
        busy[1].write(short(b"wait"))
        await eventually(lambda: b"wait" in served.taken)
        busy[1].write(short(b"behind"))
        await tick(10)
        cleaning = asyncio.create_task(served.runner.cleanup())
        ended = [await answers_until_the_end(reader) for reader, _ in (idle, fresh, handed, half)]
        waited = not cleaning.done()
        loop = asyncio.get_running_loop()
        began = loop.time()
        served.go.set()
        [last] = await answers_until_the_end(busy[0])
        await cleaning
        took = loop.time() - began

    assert ([[]] * 4, True, True) == (ended, waited, took < 2)
    assert (True, "short POST /short wait", [b"hi", b"wait"]) == (last.last, last.heard, [one for one in served.taken if one])


async def test_leaving_hangs_up_on_what_never_ends():
    """When the grace is over; and on who does not read its answer."""
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(Served(grace=0.1).running())
        _, writer = await stack.enter_async_context(served.connected())
        deaf_reader, deaf = await stack.enter_async_context(served.connected())
        deaf_reader._limit = 1
        writer.write(short(b"wait"))
        await eventually(lambda: served.taken)
        served.answer = lambda: Reply(body=b"x" * (16 << 20))
        deaf.write(short(b"deaf"))
        await eventually(lambda: len(served.taken) == 2)
        await tick(10)
        await served.runner.cleanup()
        left = set(served.server.short)
        await eventually(lambda: not served.server.short)
        served.go.set()
        await eventually(lambda: all(task.done() for task in served.tasks))

    assert len(left) <= 2


@pytest.fixture
def uncollected():
    """What is kept is kept by somebody, or refers to itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_who_is_gone_leaves_nothing(served, uncollected):
    """Neither way keeps a connection that has ended; the short way leaves nothing that would have to be collected."""
    made = weakref.WeakSet()
    for said_now in (short(), GET, short() + GET, b"rubbish\r\n\r\n", short()[:-10], short()[:-1]):
        async with served.connected() as (reader, writer):
            writer.write(said_now)
            await tick(10)
            made.update(served.server.connections)
            if said_now in (short(), GET):
                await answer_of(reader)
    await eventually(lambda: not served.server.connections)
    await asyncio.gather(*served.tasks)
    served.heard.clear()
    served.tasks.clear()
    del reader, writer
    await tick()

    assert (0, 0) == (len(served.server.short), sum(isinstance(one, short_way.ShortWay) for one in made))


@pytest.fixture
async def gate(open_house, wire):
    """A gate that lets out templates alone, in front of an upstream whose every byte is the test's."""
    return await open_house(wire.url, policy={"cold_start": "closed"}, server={"max_body": "2000B"})


@pytest.fixture
def long_ways(monkeypatch):
    """How many connections were handed over."""
    made, really = [], GraphServer.handler

    def handler(self):
        made.append(1)
        return really(self)

    monkeypatch.setattr(GraphServer, "handler", handler)
    return made


SENT = {
    "a template": (ALLOWED, []),
    "a refusal": (BLOCKED, []),
    "a dry run": (ALLOWED, [("Gatekeeper-Dry-Run", "true")]),
    "no JSON": (b"{", []),
    "nothing": (b"", []),
    "too much": (b" " * 2_001, []),
    "an unknown coding": (ALLOWED, [("Content-Encoding", "br")]),
    "no gzip": (ALLOWED, [("Content-Encoding", "gzip")]),
    "a caller": (ALLOWED, [("Gatekeeper-Caller", "billing")]),
}
SAID_BY_META = {
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: Meta\r\n\r\n{}",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "400": b"HTTP/1.1 400 Bad\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nContent-Length: 2\r\n\r\n{}",
    "beyond ASCII": b"HTTP/1.1 200 O\xc3\x96\r\nX-A: \xc3\x96\r\nContent-Length: 2\r\n\r\n{}",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}",
    "an unheard-of status": b"HTTP/1.1 299 \r\nDATE: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 2\r\n\r\n{}",
    "a high status": b"HTTP/1.1 999 Oh\r\nContent-Length: 2\r\n\r\n{}",
    "205": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "headers of ours": b"HTTP/1.1 200 OK\r\nGatekeeper-Verdict: x\r\nServer-Timing: a\r\nContent-Length: 2\r\n\r\n{}",
    "empty values": b"HTTP/1.1 200 OK\r\nX-A:\r\nContent-Type:\r\nContent-Length: 2\r\n\r\n{}",
    "another coding": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "500": b"HTTP/1.1 500 Oh No\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"garbage",
    "a zero in the reason": b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\n{}",
}
UNEQUAL = ("date", "server", "gatekeeper-id", "server-timing", "gatekeeper-free-remaining")


def compared(answer):
    headers = [(name.lower(), value) for name, value in answer.headers if name.lower() not in UNEQUAL]
    body = answer.body
    with contextlib.suppress(ValueError, AttributeError):
        read = json.loads(body)
        read.get("error", {}).pop("fbtrace_id", None)
        for name in ("id", "free_remaining"):
            read.pop(name, None)
        body = json.dumps(read).encode()
    return answer.line, sorted(headers), body


async def by_both(gate, long_ways, target, headers, body):
    """What a plain request is answered, and the same one in chunks."""
    plain = await gate.ask("POST", target, headers, body)
    assert [] == long_ways
    long = await gate.ask("POST", target, [*headers, ("Transfer-Encoding", "chunked")], chunked(body) if body else b"0\r\n\r\n")
    assert [1] == long_ways
    return compared(plain), compared(long)


@pytest.mark.parametrize("name", SENT)
async def test_a_send_is_answered_alike_by_both_ways(name, gate, long_ways):
    """Whatever becomes of it."""
    body, headers = SENT[name]
    target = "/v23.0/106540352242922/messages"
    plain, long = await by_both(gate, long_ways, target, [("Content-Type", "application/json"), *headers], body)

    assert long == plain


@pytest.mark.parametrize("name", SAID_BY_META)
async def test_what_meta_answers_comes_back_alike_by_both_ways(name, gate, wire, long_ways):
    """Whatever it is; and the gate goes on."""
    wire.answer = SAID_BY_META[name]
    if name == "garbage":
        wire.script = closing_script
    plain, long = await by_both(gate, long_ways, "/v23.0/106540352242922/messages", [], ALLOWED)
    wire.answer, wire.script = SAID_BY_META["200"], None
    following = await gate.send(ALLOWED)

    assert (long, 200) == (plain, following.status)


async def closing_script(one, reader, writer):
    await reader.readexactly(1)
    writer.close()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("payload", [b"{}", b"[", b'{"object":"whatsapp_business_account","entry":[]}'])
async def test_a_webhook_is_answered_alike_by_both_ways(payload, signed, gate, long_ways, monkeypatch):
    """Taken, refused or not ours."""
    asked = []

    async def keep(method, target, headers, body):
        asked.append((headers, body))

    with monkeypatch.context() as patched:
        patched.setattr(gate, "ask", keep, raising=False)
        await gate.webhook(payload)
    headers = asked[0][0] if signed else []
    plain, long = await by_both(gate, long_ways, "/webhook", headers, payload)

    assert long == plain


async def test_a_send_whose_caller_hung_up_comes_to_its_end(gate, wire):
    """It is logged with what Meta said of it, what it held is settled, and the next one is answered."""
    go = asyncio.Event()

    async def script(one, reader, writer):
        await reader.readexactly(int(one["Content-Length"]))
        await go.wait()
        answer = b'{"messages":[{"id":"wamid.1"}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    wire.script = script
    async with gate.connected() as (_, writer):
        writer.write(post(sized(ALLOWED), body=ALLOWED))
        await eventually(lambda: wire.arrived)
    await tick(20)
    before = len(gate.logged("decision"))
    go.set()
    await eventually(lambda: gate.logged("decision"))
    told = await gate.status("wamid.1", "delivered")
    following = await gate.send(ALLOWED)
    [settled] = [line["settled"] for line in gate.logged("webhook")]

    assert (0, [200, 200], 200, 1) == (
        before,
        [line["upstream_status"] for line in gate.logged("decision")],
        told.status,
        settled,
    )
    assert 200 == following.status


async def test_nobody_gets_what_is_anothers(gate, wire):
    """Many callers whose requests differ in little send at once, again and again: each one's own goes out, with its own body."""
    echoed = []

    async def script(one, reader, writer):
        body = await reader.readexactly(int(one["Content-Length"]))
        echoed.append((one["Authorization"], one["X-A"], one["Gatekeeper-Caller"], json.loads(body)["biz_opaque_callback_data"]))
        answer = json.dumps({"error": {"code": 1, "message": echoed[-1][3]}}).encode()
        writer.write(b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    async def caller(n):
        heard = []
        async with gate.connected() as (reader, writer):
            for nth in range(6):
                told = f"{n}" * (1 + (nth * 37) % 101)
                body = json.dumps(json.loads(ALLOWED) | {"biz_opaque_callback_data": told}).encode()
                own = [b"Authorization: Bearer %d" % (n % 4), b"X-A: %d" % (n % 3), b"Gatekeeper-Caller: c%d" % n]
                whole = post(own[0], sized(body), *own[1:], body=body)
                for piece in [whole] if nth % 2 else [whole[: -len(body)], body]:
                    writer.write(piece)
                    await tick(n % 5)
                answer = await gate.read_message(reader)
                heard.append(answer.json["error"]["message"] == told)
        return heard

    wire.script = script
    asyncio.get_running_loop().slow_callback_duration = PATIENCE_S  # of which it would complain
    heard = await asyncio.gather(*(caller(n) for n in range(8)))
    callers = {line["caller"] for line in gate.logged("decision")}

    assert [[True] * 6] * 8 == heard
    assert {(f"Bearer {n % 4}", f"{n % 3}", None, str(n)) for n in range(8)} == {(*one[:3], one[3][0]) for one in echoed}
    assert (48, {f"c{n}" for n in range(8)}) == (len(echoed), callers)


async def test_a_gate_that_leaves_says_so_with_its_next_answer(gate, wire):
    """A connection on the short way is told that its answer was the last."""
    async with gate.connected() as (reader, writer):
        writer.write(post(sized(ALLOWED), body=ALLOWED))
        first = await gate.read_message(reader)
        leaving = asyncio.create_task(gate.gate.leave())
        await tick(20)
        writer.write(post(sized(ALLOWED), body=ALLOWED))
        last, rest = await gate.read_message(reader), await reader.read()
        async with asyncio.timeout(0.9):
            await leaving

    assert ((200, None), (200, "close"), b"") == ((first.status, first["Connection"]), (last.status, last["Connection"]), rest)
