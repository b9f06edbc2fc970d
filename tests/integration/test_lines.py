"""The connections that sends go out by: what comes back on them is read to the byte, and nothing is asked twice, on both loops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import weakref
from pathlib import Path

import pytest
from both_loops import ON_BOTH, complaints, event_loop_policy, watched  # noqa: F401 - fixtures
from fake_graph import eventually, full
from yarl import URL

from gatekeeper.core.errors import UpstreamError
from gatekeeper.server.line import MOST_ANSWER, BrokenOff
from gatekeeper.server.lines import Lines, NeverOpened, OpenedLate
from gatekeeper.server.upstream import Upstream
from gatekeeper.settings import Upstream as Settings

pytestmark = [ON_BOTH, pytest.mark.usefixtures("watched")]
TLS = Path(__file__).parents[1] / "fixtures" / "tls"
KEY, EXPIRED, TRUSTED = (str(TLS / name) for name in ("localhost.pem", "localhost-expired.pem", "localhost-certificate.pem"))
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
PATH = "/v23.0/1/messages"


@pytest.fixture
def opened(wire):
    """Open connections to the wire, or elsewhere; all are gone at the end."""
    made = []

    def open_lines(url=None, *, connect_s=1.0, **how):
        made.append(Lines(URL(url or wire.url, encoded=True), connect_s=connect_s, **how))
        return made[-1]

    yield open_lines
    for lines in made:
        lines.close()


def ask(lines, body=b"x", *, method="POST", path=PATH, headers=(), within_s=5.0):
    return lines.ask(method, path, tuple(headers), body, within_s=within_s)


def plain(answer):
    return answer.status, answer.reason, answer.headers, answer.body


def speak(wire, *says):
    """
    Say one thing after another to who asks, the last of them for ever; what comes back are the connections that were asked.

    A list is said piece by piece; None hangs up.
    """
    ports, asked = {}, []

    async def script(head, reader, writer):
        if length := head.all("Content-Length"):
            head.body = await reader.readexactly(int(length[0]))
        asked.append(ports.setdefault(writer.get_extra_info("peername"), len(ports)))
        said = says[min(len(asked), len(says)) - 1]
        for piece in [said] if isinstance(said, bytes) else said:
            if piece is None:
                writer.close()
            if writer.is_closing():
                return
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    wire.script = script
    return asked


def head(*lines, status=b"200 OK", version=b"HTTP/1.1"):
    return b"\r\n".join([version + b" " + status, *lines, b"", b""])


def sized(body, *lines, **more):
    return head(b"Content-Length: %d" % len(body), *lines, **more) + body


CHUNKED = head(b"Transfer-Encoding: chunked")
KEPT, GONE = [0, 0], [0, 1]
# What is said, what is read of it, and whether the connection serves again.
READ = {
    "a length": (sized(b"{}"), (200, "OK", [("Content-Length", "2")], b"{}"), KEPT),
    "no body": (sized(b""), (200, "OK", [("Content-Length", "0")], b""), KEPT),
    "chunks": (CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", (200, "OK", [("Transfer-Encoding", "chunked")], b"{}"), KEPT),
    "chunks, extensions and trailers": (
        CHUNKED + b'2;a="b"\r\n{}\r\n0;c\r\nX-Late: 1\r\n\r\n',
        (200, "OK", [("Transfer-Encoding", "chunked")], b"{}"),
        KEPT,
    ),
    "a body until the end": ([head() + b"{", b"}", None], (200, "OK", [], b"{}"), GONE),
    "a head and the end": ([head(), None], (200, "OK", [], b""), GONE),
    "204": (head(status=b"204 No Content"), (204, "No Content", [], b""), KEPT),
    "304 with a length": (
        head(b"Content-Length: 5", status=b"304 Not Modified"),
        (304, "Not Modified", [("Content-Length", "5")], b""),
        KEPT,
    ),
    "interim answers": (
        head(status=b"100 Continue") + head(b"Link: x", status=b"103 Early Hints") + sized(b"{}"),
        (200, "OK", [("Content-Length", "2")], b"{}"),
        KEPT,
    ),
    "the last one": (
        sized(b"{}", b"Connection: close"),
        (200, "OK", [("Content-Length", "2"), ("Connection", "close")], b"{}"),
        GONE,
    ),
    "HTTP/1.0": (sized(b"{}", version=b"HTTP/1.0"), (200, "OK", [("Content-Length", "2")], b"{}"), GONE),
    "HTTP/1.0 that stays": (
        sized(b"{}", b"Connection: keep-alive", version=b"HTTP/1.0"),
        (200, "OK", [("Content-Length", "2"), ("Connection", "keep-alive")], b"{}"),
        KEPT,
    ),
    "two at once": (sized(b"{}") + sized(b"[]"), (200, "OK", [("Content-Length", "2")], b"{}"), GONE),
    "an interim answer behind it": (
        sized(b"{}") + head(status=b"100 Continue"),
        (200, "OK", [("Content-Length", "2")], b"{}"),
        GONE,
    ),
    "three at once, the last one interim": (
        sized(b"{}") + sized(b"[]") + head(status=b"100 Continue"),
        (200, "OK", [("Content-Length", "2")], b"{}"),
        GONE,
    ),
    "rubbish behind it": (sized(b"{}") + b"rubbish", (200, "OK", [("Content-Length", "2")], b"{}"), GONE),
    "headers that come twice": (
        sized(b"", b"X-A: 1", b"x-a:2", b"Set-Cookie: a", b"Set-Cookie: b"),
        (200, "OK", [("Content-Length", "0"), ("X-A", "1"), ("x-a", "2"), ("Set-Cookie", "a"), ("Set-Cookie", "b")], b""),
        KEPT,
    ),
    "odd bytes": (
        sized(b"", b"X-A: \t\xff\xc3\x96 \x80,: \t", b"X-B:", b"X-C: ", status=b"299 \xc3\x96\xff \x1b"),
        (299, "Ö\udcff \x1b", [("Content-Length", "0"), ("X-A", "\udcffÖ \udc80,:"), ("X-B", ""), ("X-C", "")], b""),
        KEPT,
    ),
    "no reason": (sized(b"", status=b"200"), (200, "", [("Content-Length", "0")], b""), KEPT),
    "an upgrade that is none": (
        sized(b"{}", b"Connection: upgrade", b"Upgrade: h2c"),
        (200, "OK", [("Content-Length", "2"), ("Connection", "upgrade"), ("Upgrade", "h2c")], b"{}"),
        KEPT,
    ),
}
BEHIND = [name for name, (_, _, asked) in READ.items() if asked == GONE and ("at once" in name or "behind" in name)]


# What comes behind an answer comes with it, or not at all.
CUT = [(name, pieces) for name in READ for pieces in ("whole", "byte by byte") if pieces == "whole" or name not in BEHIND]


@pytest.mark.parametrize(("name", "pieces"), CUT)
async def test_an_answer_is_read_as_it_was_said(name, pieces, opened, wire):
    """However it is framed and cut; and what follows on the same connection, or on another where it had to end, is the next one's."""
    said, expected, connections = READ[name]
    listed = said if isinstance(said, list) else [said]
    if pieces == "byte by byte":
        listed = [piece for one in listed for piece in ([one] if one is None else [bytes([byte]) for byte in one])]
    asked, lines = speak(wire, listed, NEXT), opened()
    first, second = plain(await ask(lines)), await ask(lines)

    assert (expected, b"next", connections) == (first, second.body, asked)


@pytest.mark.parametrize("length", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X-None: 0"])
async def test_an_answer_to_head_has_no_body(length, opened, wire):
    """Whatever its headers say of one."""
    asked, lines = speak(wire, head(length), NEXT), opened()
    answer, following = await ask(lines, None, method="HEAD"), await ask(lines)

    assert (200, b"", b"next") == (answer.status, answer.body, following.body)
    assert ["HEAD", "POST"] == [one.line.split()[0] for one in wire.arrived]
    assert GONE == asked


LARGE = b"x" * MOST_ANSWER
FRAMES = {
    "a length": lambda body: [sized(body)],
    "chunks": lambda body: [CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)],
    "the end": lambda body: [head() + body, None],
}


@pytest.mark.parametrize("framed", FRAMES)
async def test_an_answer_has_a_bound(framed, opened, wire):
    """The longest that is taken is taken whole; one byte more, and it is given up."""
    speak(wire, *[FRAMES[framed](LARGE)] * 3, FRAMES[framed](LARGE + b"x"), NEXT)
    lines = opened()
    longest = [len((await ask(lines)).body) for _ in range(3)]
    with pytest.raises(BrokenOff):
        await ask(lines)
    following = await ask(lines)

    assert ([len(LARGE)] * 3, b"next") == (longest, following.body)


BROKEN = {
    "nothing": [None],
    "half a head": [b"HTTP/1.1 200 OK\r\nContent-", None],
    "a head without its end": [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", None],
    "half a body": [head(b"Content-Length: 9") + b"half", None],
    "half a chunk": [CHUNKED + b"9\r\nhalf", None],
    "chunks without the last": [CHUNKED + b"4\r\nhalf\r\n", None],
    "an interim answer alone": [head(status=b"100 Continue"), None],
    "another protocol": [head(b"Connection: upgrade", b"Upgrade: h2c", status=b"101 Switching Protocols")],
    "another protocol without its name": [head(status=b"101 Switching Protocols") + sized(b"{}")],
    "a status of nought": [sized(b"{}", status=b"000 Odd")],
    "a zero in the reason": [sized(b"{}", status=b"200 O\0K")],
    "a zero in a value": [sized(b"{}", b"X-A: \0")],
    "a folded header": [sized(b"{}", b"X-A: a\r\n b")],
    "two lengths": [head(b"Content-Length: 2", b"Content-Length: 3") + b"{}"],
    "a length and chunks": [head(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"],
    "a chunk of no size": [CHUNKED + b"x\r\n"],
    "no HTTP": [b"+OK\r\n"],
    "line feeds": [b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
    "a long header": [sized(b"{}", b"X-A: " + b"a" * 40_000)],
    "a long header without end": [b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 40_000],
    "a long reason": [b"HTTP/1.1 200 " + b"a" * 40_000],
    "many headers": [sized(b"{}", *[b"A: b"] * 17_000)],
    "many interim answers": [head(status=b"100 Continue") * 2_000],
    "many trailers": [CHUNKED + b"0\r\n" + b"A: b\r\n" * 1_500_000],
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_no_answer_is_broken_off(name, opened, wire):
    """On a new connection and on a kept one alike; nothing is asked again, and the connection is not used again."""
    asked, lines = speak(wire, BROKEN[name], NEXT, BROKEN[name], NEXT), opened()
    heard = []
    for _ in range(4):
        try:
            heard.append((await ask(lines)).body)
        except BrokenOff:
            heard.append(None)

    assert ([None, b"next", None, b"next"], [0, 1, 1, 2]) == (heard, asked)


LATE = {
    "nothing": [b""],
    "half a head": [b"HTTP/1.1 200 OK\r\nContent-"],
    "half a body": [head(b"Content-Length: 9") + b"half"],
    "no last chunk": [CHUNKED + b"4\r\nhalf\r\n"],
    "a body that drips": [CHUNKED, *[b"1\r\nx\r\n"] * 20_000],
    "interim answers": [head(status=b"100 Continue")],
}


@pytest.mark.parametrize("name", LATE)
async def test_an_answer_is_due_as_a_whole(name, opened, wire):
    """However steadily it comes; what comes of it later is nobody's."""
    asked, lines = speak(wire, NEXT, LATE[name], NEXT), opened()
    await ask(lines)
    with pytest.raises(TimeoutError):
        await ask(lines, within_s=0.03)
    await eventually(lambda: not lines._all)
    following = await ask(lines)

    assert (b"next", [0, 0, 1]) == (following.body, asked)


async def test_who_is_cancelled_leaves_no_answer_behind(opened, wire):
    """It would be the next one's."""
    answer = asyncio.Event()

    async def script(one, reader, writer):
        await reader.readexactly(1)
        if len(wire.arrived) == 1:
            await answer.wait()
            writer.write(sized(b"late"))
        else:
            writer.write(NEXT)

    wire.script, lines = script, opened()
    first = asyncio.create_task(ask(lines))
    await eventually(lambda: wire.arrived)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await eventually(lambda: not lines._all)
    answer.set()
    following = await ask(lines)

    assert (b"next", 2) == (following.body, len(wire.arrived))


async def test_the_connection_that_was_used_last_is_used_next(opened, wire):
    """So that those that a burst opened grow old; an old one is never used."""
    order, turns = [], [asyncio.Event() for _ in range(3)]

    async def script(one, reader, writer):
        nth = int(await reader.readexactly(1))
        order.append((nth, writer.get_extra_info("peername")[1]))
        if len(order) <= 3:
            await turns[nth].wait()
        writer.write(NEXT)

    wire.script, lines = script, opened()
    burst = [asyncio.create_task(ask(lines, b"%d" % n)) for n in range(3)]
    await eventually(lambda: len(order) == 3)
    ports = dict(order)
    for n in (2, 0, 1):
        turns[n].set()
        await burst[n]
    await ask(lines, b"7")
    again = await asyncio.gather(ask(lines, b"8"), ask(lines, b"9"))
    last, open_before = order[3:], len(lines._all)
    lines._kept_s = -1.0
    await ask(lines, b"6")

    assert ([ports[1], ports[1], ports[0]], 3, 2) == ([port for _, port in last], open_before, len(again))
    assert order[-1][1] not in ports.values()


async def test_a_connection_that_nobody_uses_is_closed(opened, wire):
    """By itself, however long nothing is sent."""
    speak(wire, NEXT)
    lines = opened(kept_s=0.05)
    await asyncio.gather(*(ask(lines) for _ in range(3)))
    await eventually(lambda: not lines._all)

    assert not lines._idle


UNASKED = sized(b"no", status=b"408 Late")


@pytest.mark.parametrize("said", [[NEXT, None], [NEXT, b"", b"", b"", UNASKED], [NEXT, b"", b"", b"", UNASKED, None]])
async def test_what_happens_to_an_idle_connection_is_heard(said, opened, wire):
    """One that the server closed, or spoke on without being asked, is not asked."""
    asked, lines = speak(wire, said, NEXT), opened()
    first = await ask(lines)
    await eventually(lambda: not lines._all)
    second = await ask(lines)

    assert (b"next", b"next", GONE) == (first.body, second.body, asked)


async def test_an_answer_may_come_before_its_request_is_out(opened, wire):
    """It is the answer; the rest of the request is not waited for, and the connection is not used again."""
    ports = []

    async def script(one, reader, writer):
        ports.append(writer.get_extra_info("peername")[1])
        if len(ports) == 1:
            writer.write(sized(b"{}", status=b"413 Too Large"))
            await asyncio.Event().wait()
        await reader.readexactly(1)
        writer.write(NEXT)

    wire.script, lines = script, opened()
    refused, following = await ask(lines, b"x" * (32 << 20)), await ask(lines)

    assert (413, b"next", 2) == (refused.status, following.body, len(set(ports)))


@contextlib.asynccontextmanager
async def serving(answer, *, host="127.0.0.1", **how):
    """A server of one's own: its port."""
    tasks = set()

    async def served(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(served, host, 0, **how)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def silent(reader, writer):
    await asyncio.Event().wait()


async def answering(reader, writer):
    while True:
        await reader.readuntil(b"\r\n\r\nx")
        writer.write(NEXT)


async def closing(reader, writer):
    writer.close()


async def rude(reader, writer):
    writer.write(NEXT * 3)
    await silent(reader, writer)


def certified(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return {"ssl": context}


UNTRUSTED = {
    "a certificate of its own": (answering, KEY, "localhost", False),
    "an old certificate": (answering, EXPIRED, "localhost", True),
    "another name": (answering, KEY, "127.0.0.1", True),
    "no TLS": (rude, None, "localhost", True),
    "silence": (silent, None, "localhost", True),
    "the end": (closing, None, "localhost", True),
}


@pytest.mark.parametrize("name", UNTRUSTED)
async def test_without_tls_that_can_be_trusted_nothing_is_sent(name, opened, monkeypatch):
    """Within the time for a connection, however long an answer may take."""
    answer, certificate, host, trusted = UNTRUSTED[name]
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", TRUSTED)
    async with serving(answer, **(certified(certificate) if certificate else {})) as port:
        lines = opened(f"https://{host}:{port}", connect_s=0.3)
        async with asyncio.timeout(3):
            with pytest.raises(NeverOpened):
                await ask(lines, within_s=60)
        await eventually(lambda: not lines._all)

    assert not lines._idle


async def test_a_certificate_is_for_a_name_without_its_last_dot(opened, monkeypatch):
    """Which says that the name is whole, and stands in no certificate."""
    loop = asyncio.get_running_loop()
    really = loop.getaddrinfo
    monkeypatch.setattr(loop, "getaddrinfo", lambda host, *more, **how: really(host.rstrip("."), *more, **how))
    monkeypatch.setenv("SSL_CERT_FILE", TRUSTED)
    async with serving(answering, **certified(KEY)) as port:
        answer = await ask(opened(f"https://localhost.:{port}"))

    assert b"next" == answer.body


async def test_tls_is_kept_like_any_other(opened, monkeypatch):
    """Whoever has a certificate of its name is asked, again and again on one connection."""
    monkeypatch.setenv("SSL_CERT_FILE", TRUSTED)
    async with serving(answering, **certified(KEY)) as port:
        lines = opened(f"https://localhost:{port}")
        answers = [(await ask(lines)).body for _ in range(3)]
        connections = len(lines._all)

    assert ([b"next"] * 3, 1) == (answers, connections)


async def test_a_connection_that_ends_as_it_begins_is_no_reason_to_wait(opened, monkeypatch):
    """Whether it was still open when the request was written or not is told, at once."""
    monkeypatch.setenv("SSL_CERT_FILE", TRUSTED)
    async with serving(closing, **certified(KEY)) as port:
        lines = opened(f"https://localhost:{port}")
        async with asyncio.timeout(3):
            for _ in range(10):
                with pytest.raises((NeverOpened, BrokenOff)):
                    await ask(lines, within_s=60)

    assert not lines._idle


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def lookup(monkeypatch, *answers):
    """What a name stands for, one look-up after another: addresses, or what is raised."""
    asked = []

    loop = asyncio.get_running_loop()
    really = loop.getaddrinfo

    async def getaddrinfo(host, port, **how):
        if not host.endswith(".test"):  # uvloop asks for the numbers of what is a number
            return await really(host, port, **how)
        asked.append((host, port))
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in answer]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("host", ["127.0.0.1", "a..b", f"{'a' * 64}.test", "unknown.test", "too-slow.test"])
async def test_where_nobody_is_nothing_is_sent(host, monkeypatch):
    """A send that found no connection may be sent again."""
    if host == "unknown.test":
        lookup(monkeypatch, socket.gaierror(socket.EAI_NONAME, "unknown"))
    elif host == "too-slow.test":
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *_, **__: asyncio.Event().wait())
    upstream = Upstream(Settings(base_url=f"http://{host}:{free_port()}", connect_timeout=100))
    with pytest.raises(UpstreamError) as error:
        await upstream.post(PATH, (), b"x")
    await upstream.close()

    assert (502, False, False) == (error.value.status, error.value.sent, upstream.reachable)


async def test_a_name_has_several_addresses(opened, wire, monkeypatch):
    """The first that can be reached is taken; they are looked up once, and again when none could be."""
    port = URL(wire.url).port
    dead, live = ("127.0.0.2", port), ("127.0.0.1", port)
    asked = lookup(monkeypatch, [dead], [dead, live])
    connections, lines = speak(wire, sized(b"{}", b"Connection: close")), opened(f"http://name.test:{port}")
    with pytest.raises(NeverOpened):
        await ask(lines)
    answers = [(await ask(lines)).body for _ in range(3)]

    assert ([b"{}"] * 3, [0, 1, 2], [("name.test", port)] * 2) == (answers, connections, asked)
    assert {f"name.test:{port}"} == {one["Host"] for one in wire.arrived}


async def test_a_silent_name_server_is_asked_once(opened, wire, monkeypatch):
    """The threads that look names up are few, and others need them: who waits gives up, the question stays, and its answer counts."""
    loop, free, asked = asyncio.get_running_loop(), asyncio.Event(), []
    really, port = loop.getaddrinfo, URL(wire.url).port

    async def getaddrinfo(host, port, **how):
        if host != "silent.test":
            return await really(host, port, **how)
        asked.append(host)
        await free.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    speak(wire, NEXT)
    lines = opened(f"http://silent.test:{port}", connect_s=0.05)
    heard = [type(error) for error in await asyncio.gather(*(ask(lines) for _ in range(3)), return_exceptions=True)]
    with pytest.raises(OpenedLate):
        await ask(lines)
    free.set()
    answer = await ask(lines)

    assert ([OpenedLate] * 3, ["silent.test"], b"next") == (heard, asked, answer.body)


async def test_who_is_cancelled_while_it_opens_leaves_nothing(opened, wire):
    """At whichever step that is."""
    speak(wire, NEXT)
    lines, cancelled = opened(), []
    await ask(lines)  # so that its name is known: how many turns a look-up takes nobody can say
    for turns in range(25):
        task = asyncio.create_task(ask(lines))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        cancelled.append(task.cancelled())
        lines.close()
        await eventually(lambda: not lines._all)
        lines._closed = False

    answer = await ask(lines)

    assert ([True] * 3, b"next") == (cancelled[:3], answer.body)


async def test_an_address_that_hangs_costs_a_moment(opened, wire, monkeypatch):
    """The next one is tried before the first has been given up."""
    port = URL(wire.url).port
    with full("127.0.0.2") as hanging:
        lookup(monkeypatch, [hanging, ("127.0.0.1", port)])
        answer = await ask(opened(f"http://name.test:{port}", connect_s=3))

    assert b"{}" == answer.body


@pytest.fixture
def uncollected():
    """What is kept is kept by somebody, or refers to itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_who_is_gone_leaves_nothing(opened, wire, uncollected):
    """A connection that has ended, in whatever way, leaves nothing that would have to be collected."""
    speak(wire, NEXT, sized(b"{}", b"Connection: close"), [None], NEXT)
    lines, made = opened(), weakref.WeakSet()
    for _ in range(4):
        with contextlib.suppress(BrokenOff):
            await ask(lines)
        made.update(lines._all)
    await ask(lines)
    made.update(lines._all)
    lines.close()
    await eventually(lambda: not lines._all)
    lines._idle.clear()
    await asyncio.sleep(0)

    assert 0 == len(made)


async def test_closing_ends_what_is_under_way(opened, wire):
    """Who waits for an answer hears that it will not come, who waits for a connection that there is none, and nobody opens another."""
    wire.script = silent_script
    lines = opened()
    waiting = [asyncio.create_task(ask(lines)) for _ in range(3)]
    await eventually(lambda: len(wire.arrived) == 3)
    opening = asyncio.create_task(ask(lines))
    await asyncio.sleep(0)
    lines.close()
    async with asyncio.timeout(3):
        heard = await asyncio.gather(*waiting, opening, ask(lines), return_exceptions=True)
    await eventually(lambda: not lines._all)

    assert [BrokenOff] * 3 + [NeverOpened] * 2 == [type(one) for one in heard]


async def silent_script(one, reader, writer):
    await asyncio.Event().wait()


@pytest.mark.parametrize("pair", [("X-A", "b\r\nX-Split: 1"), ("X-A", "b\n"), ("X-A", "\r"), ("X-A", "\0"), ("X\r\nA", "b")])
async def test_a_header_that_would_be_two_is_not_sent(pair, opened, wire):
    """Nothing of its request is."""
    lines = opened()
    with pytest.raises(ValueError, match="line break"):
        await ask(lines, headers=[("X-Good", "1"), pair])
    with pytest.raises(ValueError, match="line break"):
        await ask(lines, path="/x HTTP/1.1\r\nX-Split: 1")

    assert ([], set()) == (wire.arrived, lines._all)


async def test_a_request_goes_out_as_it_was_given(opened, wire):
    """The caller's method, target and headers to the byte; a body that is none has no length."""
    lines = opened()
    odd = [("X-a", "1"), ("x-A", "2"), ("X-Odd", "Ö\udcff"), ("X-None", "")]
    await ask(lines, b"", method="PUT", path="/é/\udcff?a=%2f&&", headers=odd)
    await ask(lines, None, method="DELETE")
    await ask(lines, b"{}")
    heard = [(one.line.encode("latin-1"), one.headers[1:], one.body) for one in wire.arrived]
    host = ("Host", wire.url.removeprefix("http://"))

    assert [host] * 3 == [one.headers[0] for one in wire.arrived]
    assert [
        (
            b"PUT /\xc3\xa9/\xff?a=%2f&& HTTP/1.1",
            [
                ("X-a", "1"),
                ("x-A", "2"),
                ("X-Odd", "Ö".encode().decode("latin-1") + "ÿ"),
                ("X-None", ""),
                ("Content-Length", "0"),
            ],
            b"",
        ),
        (b"DELETE /v23.0/1/messages HTTP/1.1", [], b""),
        (b"POST /v23.0/1/messages HTTP/1.1", [("Content-Length", "2")], b"{}"),
    ] == heard


ALIKE = [
    {},
    {"headers": [("X-A", "1")]},
    {"headers": [("X-a", "1")]},
    {"headers": [("X-A", "2")]},
    {"headers": [("X-A", "1"), ("X-B", "2")]},
    {"headers": [("X-B", "2"), ("X-A", "1")]},
    {"headers": [("X-A", "1: X-B: 2")]},
    {"method": "PUT"},
    {"path": PATH + "?"},
    {"body": None},
    {"body": b""},
    {"body": b"x" * 100},
]


async def test_a_request_like_one_before_is_its_own(opened, wire):
    """Whichever of them went out before."""
    lines = opened()
    for asked in [*ALIKE, *reversed(ALIKE)]:
        await ask(lines, **{"body": b"y"} | asked)
    heard = [(one.line, one.headers, one.body) for one in wire.arrived]
    expected = [
        (
            f"{asked.get('method', 'POST')} {asked.get('path', PATH)} HTTP/1.1",
            [*asked.get("headers", ()), *([] if body is None else [("Content-Length", str(len(body)))])],
            body or b"",
        )
        for asked in ALIKE
        for body in [asked.get("body", b"y")]
    ]

    assert [*expected, *reversed(expected)] == [(line, headers[1:], body) for line, headers, body in heard]


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://graph.test", "graph.test", 80),
        ("http://graph.test:80/x", "graph.test", 80),
        ("https://graph.test", "graph.test", 443),
        ("https://graph.test:443", "graph.test", 443),
        ("https://graph.test:80", "graph.test:80", 80),
        ("http://graph.test:8080", "graph.test:8080", 8080),
        ("http://[::1]", "[::1]", 80),
        ("http://[::1]:8080", "[::1]:8080", 8080),
    ],
)
async def test_a_host_is_named_as_its_url_names_it(url, host, port, opened):
    """With the port where it is not the scheme's own."""
    lines = opened(url)

    assert (host, port) == (lines._named, lines._port)


async def test_a_host_may_be_a_number_of_six_times_the_length(opened):
    """An address of IPv6, in brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    async with serving(answering, host="::1") as port:
        answer = await ask(opened(f"http://[::1]:{port}"))

    assert b"next" == answer.body


@pytest.mark.parametrize("end", ["", "/", "//"])
async def test_a_base_may_have_a_path(end, wire):
    """What is asked for stands behind it."""
    upstream = Upstream(Settings(base_url=f"{wire.url}/graph/x{end}"))
    await upstream.post(PATH, (), b"x")
    await upstream.close()

    assert ["/graph/x" + PATH] == [one.target for one in wire.arrived]


@pytest.mark.parametrize(
    ("said", "status", "sent"),
    [([None], 502, True), ([head(b"Content-Length: 9")], 504, True), ([b"rubbish"], 502, True), ([b""], 504, True)],
)
async def test_a_send_that_went_out_may_have_arrived(said, status, sent, wire):
    """And went out once."""
    asked = speak(wire, said)
    upstream = Upstream(Settings(base_url=wire.url, timeout=500))
    with pytest.raises(UpstreamError) as error:
        await upstream.post(PATH, (), b"x")
    await upstream.close()

    assert (status, sent, [0]) == (error.value.status, error.value.sent, asked)
