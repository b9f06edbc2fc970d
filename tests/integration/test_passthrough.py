"""What is no send: a stream to the upstream and back, byte for byte, of which nothing sits whole in memory."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import socket

import pytest
from fake_graph import eventually

MEDIA = "/v23.0/106540352242922/media"
MIB = 1 << 20
PIECE = bytes(range(256)) * 256  # 64 KiB
JSON = ("Content-Type", "application/json")
HOP = ["gatekeeper-hop"]


def lower(headers, *, without=()):
    """The spelling of a name says nothing."""
    return [(name.lower(), value) for name, value in headers if name.lower() not in without]


def http(status: str, body: bytes = b"", *headers: tuple[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@pytest.mark.parametrize("body", [b"", b'{"a": 1}\n', b"\x00\xff" * 1000])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_is_passed_on_with_its_body(method, body, bare, wire):
    """Method, target, body and answer are the caller's and the upstream's own."""
    wire.answer = http("201 Made", b"\x01\x02")
    answer = await bare.ask(method, "/v23.0/1?fields=a%2Cb&x=", [JSON], body)
    [request] = wire.arrived

    assert ((method, "/v23.0/1?fields=a%2Cb&x=", body), ("HTTP/1.1 201 Made", b"\x01\x02", {})) == (
        (request.line.split()[0], request.target, request.body),
        (answer.line, answer.body, answer.ours),
    )


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "//a//b",
        "/a/../b",
        "/a/./b?c=../d",
        "/%2e%2E/%00",
        "/caf%C3%A9/%ff",
        "/a;b=c,d/@:!$&'()*+=~",
        "/a?b?c&&=",
        '/{a}|"b"',
    ],
)
async def test_a_target_is_passed_on_as_it_was_written(target, bare, wire):
    """Nothing in a path or query is decoded, encoded or tidied."""
    await bare.ask("GET", target)

    assert [target] == [request.target for request in wire.arrived]


async def test_a_request_is_passed_on_without_additions(bare, wire):
    """A GET that says nothing of itself goes out as such: no type, no length, no agent."""
    await bare.ask("GET", "/v23.0/1")

    assert [[("host", wire.url.removeprefix("http://"))]] == [lower(request.headers, without=HOP) for request in wire.arrived]


HEADERS = [
    ("Authorization", "Bearer EAAx"),
    ("X-Tag", "One"),
    ("Range", "bytes=0-99"),
    ("X-Tag", "Two"),
    ("If-None-Match", '"a", W/"b"'),
    ("Accept-Encoding", "gzip"),
    ("Cookie", "c=1"),
]


async def test_headers_are_passed_on_in_their_order_and_number(bare, wire):
    """Hop-by-hop headers and ours aside, they are the caller's."""
    ours = [
        ("Gatekeeper-Dry-Run", "true"),
        ("Connection", "X-Mine"),
        ("X-Mine", "1"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
    ]
    await bare.ask("GET", "/v23.0/1", [*HEADERS, *ours])

    assert [lower(HEADERS)] == [lower(request.headers, without=["host", *HOP]) for request in wire.arrived]


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        pytest.param("200 OK", b"x", [("Set-Cookie", "a=1"), JSON, ("Set-Cookie", "b=2"), ("ETag", 'W/"1"')], id="200"),
        pytest.param("206 Partial Content", b"abc", [("Content-Range", "bytes 0-2/9"), ("Content-Type", "video/mp4")], id="206"),
        pytest.param("200 OK", gzip.compress(b"x"), [("Content-Encoding", "gzip"), JSON], id="gzip"),
        pytest.param("302 Found", b"", [("Location", "https://lookaside.example/x?y=1"), JSON], id="302"),
        pytest.param("404 Not Found", b'{"error":{}}', [JSON], id="404"),
        pytest.param("500 Oh no", b"<p>", [("Content-Type", "text/html")], id="500"),
    ],
)
async def test_an_answer_comes_back_as_it_is(status, body, headers, bare, wire):
    """Status line, headers in their order, body: untouched, redirects not followed, nothing unpacked."""
    wire.answer = http(status, body, *headers)
    answer = await bare.ask("GET", "/v23.0/1")

    assert (f"HTTP/1.1 {status}", body) == (answer.line, answer.body)
    assert lower(headers) == lower(answer.headers, without=["date", "content-length", "server"])


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
async def test_nothing_is_added_to_an_answer_but_its_date(status, bare, wire):
    """An answer without a type gets none, and nobody learns what we are made of."""
    wire.answer = http(status, b"x")
    answer = await bare.ask("GET", "/v23.0/1")

    assert [("content-length", "1")] == lower(answer.headers, without=["date"])


@pytest.mark.parametrize(
    ("method", "answer", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", "12345"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n', None),
    ],
)
async def test_an_answer_without_a_body_has_none(method, answer, length, bare, wire):
    """HEAD says how long the body would be; the connection is free for the next request at once."""
    wire.answer = answer
    found = [await bare.ask(method, "/v23.0/1") for _ in range(2)]

    assert [answer.split(b"\r\n")[0].decode()] * 2 == [one.line for one in found]
    assert [(length, b"")] * 2 == [(one["Content-Length"], one.body) for one in found]


@pytest.mark.parametrize("framing", [("Transfer-Encoding", "chunked"), ("Content-Length", str(8 * MIB))])
async def test_an_upload_reaches_the_upstream_while_it_is_still_being_sent(framing, bare, wire):
    """The upstream has the first piece before the caller has sent the last of 8 MiB, framed as the caller frames it."""
    first, digest, chunked = asyncio.Event(), hashlib.sha256(), framing[1] == "chunked"

    async def take(head, reader, writer):
        async for piece in bare.read_chunks(reader, head):
            digest.update(piece)
            first.set()
        writer.write(http("200 OK", b"{}"))

    wire.script = take
    async with bare.connected() as (reader, writer):
        writer.write(f"POST {MEDIA} HTTP/1.1\r\nHost: x\r\n{': '.join(framing)}\r\n\r\n".encode())
        for n in range(128):
            writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
            await writer.drain()
            if n == 0:
                async with asyncio.timeout(5):
                    await first.wait()
        writer.write(b"0\r\n\r\n" if chunked else b"")
        answer = await bare.read_message(reader)

    assert (200, hashlib.sha256(PIECE * 128).digest()) == (answer.status, digest.digest())
    assert [framing] == [header for header in wire.arrived[0].headers if header[0] not in ("Host", "Gatekeeper-Hop")]


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
async def test_a_download_reaches_the_caller_while_it_is_still_being_sent(framing, bare, wire):
    """The caller has the first piece before the upstream has written the last of 8 MiB, however it is framed."""
    first, digest = asyncio.Event(), hashlib.sha256()

    async def give(head, reader, writer):
        said = {"chunked": "Transfer-Encoding: chunked", "length": f"Content-Length: {8 * MIB}", "close": "Connection: close"}
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n{said[framing]}\r\n\r\n".encode())
        for n in range(128):
            writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if framing == "chunked" else PIECE)
            await writer.drain()
            if n == 0:
                await first.wait()
        writer.write(b"0\r\n\r\n" if framing == "chunked" else b"")
        await writer.drain()
        if framing == "close":
            writer.close()

    wire.script = give
    async with asyncio.timeout(10), bare.connected() as (reader, writer):
        writer.write(f"GET {MEDIA} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await bare.read_head(reader)
        async for piece in bare.read_chunks(reader, head):
            digest.update(piece)
            first.set()

    assert (200, hashlib.sha256(PIECE * 128).digest()) == (head.status, digest.digest())


async def standstill(count):
    """Wait until a counter stands still, and read it."""
    last, still = -1, 0
    async with asyncio.timeout(10):
        while still < 20:
            await asyncio.sleep(0.01)
            still, last = (still + 1, last) if count() == last else (0, count())
    return last


WHOLE = 128 * MIB
KERNELS = 32 * MIB  # what the buffers of two sockets may take


async def test_a_slow_reader_slows_the_upstream_down(bare, wire):
    """What nobody reads is not fetched: the gate holds back an upstream that is faster than its caller."""
    written = 0

    async def give(head, reader, writer):
        nonlocal written
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {WHOLE}\r\n\r\n".encode())
        while written < WHOLE:
            writer.write(PIECE)
            await writer.drain()
            written += len(PIECE)

    wire.script = give
    async with bare.connected() as (_, writer):
        writer.transport.pause_reading()
        writer.write(f"GET {MEDIA} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await eventually(lambda: written > 0)
        fetched = await standstill(lambda: written)

    assert fetched < KERNELS


async def test_a_slow_upstream_slows_the_writer_down(bare, wire):
    """What the upstream does not take is not read: the gate holds back a caller that is faster than its upstream."""
    sent, done = 0, asyncio.Event()

    async def take(head, reader, writer):
        writer.transport.pause_reading()
        await done.wait()

    async def give(writer):
        nonlocal sent
        while True:
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)

    wire.script = take
    async with bare.connected() as (_, writer):
        writer.write(f"POST {MEDIA} HTTP/1.1\r\nHost: x\r\nContent-Length: {WHOLE}\r\n\r\n".encode())
        giving = asyncio.create_task(give(writer))
        await eventually(lambda: sent > 0)
        taken = await standstill(lambda: sent)
        giving.cancel()
        await asyncio.wait([giving])
        writer.transport.abort()
    done.set()

    assert taken < KERNELS


def closed_port() -> str:
    """A URL where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_upstream_out_of_reach_is_a_502_in_graphs_shape(method, open_house):
    """Nobody there is no answer of the upstream's, but ours."""
    house = await open_house(closed_port())
    answer = await house.ask(method, "/v23.0/1")

    assert ((502, 2), "OAuthException", "whatsapp") == (
        answer.error,
        answer.json["error"]["type"],
        answer.json["error"]["error_data"]["messaging_product"],
    )


async def test_an_upstream_that_says_nothing_is_a_504_in_graphs_shape(open_house, wire):
    """`upstream.timeout` bounds the wait for an answer."""

    async def silence(head, reader, writer):
        await reader.read()

    wire.script = silence
    house = await open_house(wire.url, upstream={"timeout": "200ms"})
    answer = await house.ask("GET", "/v23.0/1")

    assert 504 == answer.error[0]


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_transfer_may_take_longer_than_the_timeout(way, open_house, wire):
    """`upstream.timeout` is for an upstream that is silent, not for one that is fed, or read from, slowly."""
    clock = asyncio.get_running_loop().time

    async def slowly(writer):
        until = clock() + 0.6
        while clock() < until:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def serve(head, reader, writer):
        async for _ in house.read_chunks(reader, head):
            pass
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await (slowly(writer) if way == "down" else writer.drain())
        writer.write(b"" if way == "down" else b"0\r\n\r\n")

    wire.script = serve
    house = await open_house(wire.url, upstream={"timeout": "200ms"})
    async with house.connected() as (reader, writer):
        writer.write(f"POST {MEDIA} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        await (slowly(writer) if way == "up" else writer.drain())
        writer.write(b"" if way == "up" else b"0\r\n\r\n")
        answer = await house.read_message(reader)

    assert (200, way == "down") == (answer.status, len(answer.body) > 3)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"220 smtp ESMTP\r\n\r\n"])
async def test_an_upstream_that_breaks_off_before_its_answer_is_a_502(answer, bare, wire):
    """Half a head, or none, is no answer."""

    async def broken(head, reader, writer):
        writer.write(answer)
        await writer.drain()
        writer.close()

    wire.script = broken
    found = await bare.ask("GET", "/v23.0/1")

    assert 502 == found.error[0]


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_half_an_answer_is_seen_to_be_half(framing, bare, wire):
    """When the upstream breaks off in its body the caller's connection breaks too: it must not take half for the whole."""

    async def broken(head, reader, writer):
        writer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nhello\r\n".encode())
        await writer.drain()
        writer.transport.abort()

    wire.script = broken
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await bare.ask("GET", "/v23.0/1")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_nothing_is_sent_twice(method, bare, wire):
    """A request that the upstream took without an answer is not tried again behind the caller's back."""

    async def first_only(head, reader, writer):
        async for _ in bare.read_chunks(reader, head):
            pass
        if len(wire.arrived) == 1:
            writer.write(http("200 OK", b"{}"))
        else:
            writer.close()

    wire.script = first_only
    first = await bare.ask("GET", "/v23.0/1")
    second = await bare.ask(method, "/v23.0/2", body=b"once")

    assert (200, 502, ["/v23.0/1", "/v23.0/2"]) == (first.status, second.status, [request.target for request in wire.arrived])


async def listened(reader, gone):
    """Wait until the other side hangs up."""
    with contextlib.suppress(OSError):
        while await reader.read(1 << 16):
            pass
    gone.set()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"])
async def test_a_caller_that_hangs_up_frees_the_upstream(answer, bare, wire):
    """Nobody waits for what nobody wants: neither before the answer nor in the midst of it."""
    gone, told = asyncio.Event(), asyncio.Event()

    async def slow(head, reader, writer):
        writer.write(answer)
        await writer.drain()
        told.set()
        await listened(reader, gone)
        writer.close()

    wire.script = slow
    async with bare.connected() as (reader, writer):
        writer.write(f"GET {MEDIA} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await told.wait()
        if answer:
            await reader.readuntil(b"hello")
        writer.transport.abort()
    async with asyncio.timeout(2):
        await gone.wait()

    assert gone.is_set()


@pytest.mark.parametrize("end", [b"", b"zz\r\n"])
async def test_an_upload_that_breaks_off_is_seen_to_be_half(end, bare, wire):
    """The upstream must not take half an upload for the whole, and the log has no traceback of it."""
    begun, ended = asyncio.Event(), asyncio.Event()
    outcome = []

    async def take(head, reader, writer):
        try:
            async for _ in bare.read_chunks(reader, head):
                begun.set()
            outcome.append("whole")
        except (asyncio.IncompleteReadError, OSError, ValueError):
            outcome.append("half")
        ended.set()
        writer.close()

    wire.script = take
    async with bare.connected() as (_, writer):
        writer.write(f"POST {MEDIA} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".encode())
        await begun.wait()
        writer.write(end)
        writer.close()
    async with asyncio.timeout(5):
        await ended.wait()

    assert ["half"] == outcome


async def test_an_upstream_that_refuses_an_upload_early_is_heard(bare, wire):
    """An answer may come before the body is done."""

    async def early(head, reader, writer):
        writer.write(http("413 Too Much", b"no", ("Connection", "close")))
        await listened(reader, asyncio.Event())
        writer.close()

    wire.script = early
    answer = await bare.ask("POST", MEDIA, body=PIECE * 16)

    assert (413, b"no") == (answer.status, answer.body)


@pytest.mark.parametrize("header", ["X-A: caf\xe9", "X-A: \x80\x81", "Cookie: \xff"])
async def test_a_header_that_is_not_utf8_is_refused(header, bare, wire):
    """Its bytes would not arrive as they are, so it does not go out at all."""
    name, _, value = header.partition(": ")
    answer = await bare.ask("GET", "/v23.0/1", [(name, value)])

    assert (400, []) == (answer.status, wire.arrived)


@pytest.mark.parametrize("target", ["/caf\xe9", "/a?b=\xff", "/\x80/x"])
async def test_a_target_outside_ascii_is_passed_on_or_refused(target, bare, wire):
    """What is no URL makes no traceback: it goes out as it came, or is a 400."""
    answer = await bare.ask("GET", target)

    assert answer.status == 400 or [target] == [request.target for request in wire.arrived]


@pytest.mark.parametrize("target", ["http://evil.example/x", "*", "evil.example:443"])
async def test_a_target_that_is_no_path_is_refused(target, bare, wire):
    """The gate is no open proxy: there is one upstream."""
    answer = await bare.ask("CONNECT" if ":443" in target else "OPTIONS", target)

    assert (400, []) == (answer.error[0], wire.arrived)


async def test_other_methods_on_the_webhook_path_are_the_upstreams(bare, wire):
    """Only GET and POST are Meta's there."""
    await bare.ask("DELETE", "/webhook")

    assert ["/webhook"] == [request.target for request in wire.arrived]
