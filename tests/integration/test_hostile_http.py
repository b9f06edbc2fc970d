"""Hostile callers on bare sockets: what they write is refused, or reaches the upstream as exactly the request that was decided."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import json
import re
import time
import zlib

import pytest
from aiohttp import web

from gatekeeper.server.bodies import BodyTooSlow, read_body
from gatekeeper.server.connections import GraphServer

NUMBER, USER = "106540352242922", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
MIB = 1 << 20


def template(name: str, **more: object) -> dict[str, object]:
    content = {"name": name, "language": {"code": "en_US"}, **more}
    return {"messaging_product": "whatsapp", "to": USER, "type": "template", "template": content}


ALLOWED = json.dumps(template("order_update")).encode()
BLOCKED = json.dumps({"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "smuggled"}}).encode()
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
SIGNED = b"X-Hub-Signature-256: sha256=" + b"0" * 64


def post(*lines: bytes, body: bytes = b"", target: bytes = SENDS.encode(), version: bytes = b"HTTP/1.1") -> bytes:
    """A POST with just these header lines."""
    return b"\r\n".join([b"POST %b %b" % (target, version), b"Host: x", *lines, b"", body])


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


SMUGGLED = post(sized(BLOCKED), body=BLOCKED)


async def spoken(house, said: bytes) -> list[int]:
    """Say all of it on one connection, and hear every answer until the gate closes it."""
    statuses = []
    async with asyncio.timeout(10), house.connected() as (reader, writer):
        writer.write(said)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not reader.at_eof():
                statuses.append((await house.read_message(reader)).status)
    return statuses


@pytest.fixture
async def strict(open_house, wire):
    """A gate that lets out templates alone, in front of an upstream whose every byte is the test's."""
    return await open_house(wire.url, policy={"cold_start": "closed"})


REFUSED = {
    "two equal lengths": post(sized(ALLOWED), sized(ALLOWED), body=ALLOWED),
    "a list of lengths": post(b"Content-Length: %d, %d" % (len(ALLOWED), len(ALLOWED)), body=ALLOWED),
    "a length with a sign": post(b"Content-Length: +%d" % len(ALLOWED), body=ALLOWED),
    "a length in hex": post(b"Content-Length: 0x%x" % len(ALLOWED), body=ALLOWED),
    "a length with a gap": post(b"Content-Length: 1 45", body=ALLOWED),
    "an empty length": post(b"Content-Length:", body=ALLOWED),
    "length before chunks": post(sized(ALLOWED), CHUNKED, body=chunked(ALLOWED)),
    "length after chunks": post(CHUNKED, sized(ALLOWED), body=chunked(ALLOWED)),
    "chunked, identity": post(b"Transfer-Encoding: chunked, identity", body=chunked(ALLOWED)),
    "identity, chunked": post(b"Transfer-Encoding: identity, chunked", body=chunked(ALLOWED)),
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked", body=chunked(gzip.compress(ALLOWED))),
    "identity": post(b"Transfer-Encoding: identity", sized(ALLOWED), body=ALLOWED),
    "no coding": post(b"Transfer-Encoding:", sized(ALLOWED), body=ALLOWED),
    "xchunked": post(b"Transfer-Encoding: xchunked", sized(ALLOWED), body=ALLOWED),
    "quoted": post(b'Transfer-Encoding: "chunked"', body=chunked(ALLOWED)),
    "chunked behind a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=chunked(ALLOWED)),
    "chunked twice": post(CHUNKED, CHUNKED, body=chunked(ALLOWED)),
    "chunked and identity": post(CHUNKED, b"Transfer-Encoding: identity", body=chunked(ALLOWED)),
    "folded coding": post(b"Transfer-Encoding:\r\n chunked", body=chunked(ALLOWED)),
    "folded header": post(b"X-A: b\r\n c", sized(ALLOWED), body=ALLOWED),
    "folded first header": b"POST %b HTTP/1.1\r\n Host: x\r\n%b\r\n\r\n%b" % (SENDS.encode(), sized(ALLOWED), ALLOWED),
    "a blank before the coding's colon": post(b"Transfer-Encoding : chunked", body=chunked(ALLOWED)),
    "a blank before the length's colon": post(b"Content-Length : %d" % len(ALLOWED), body=ALLOWED),
    "chunks in HTTP/1.0": post(CHUNKED, body=chunked(ALLOWED), version=b"HTTP/1.0"),
    "bare line feeds": post(sized(ALLOWED), body=ALLOWED).replace(b"\r\n", b"\n"),
    "a bare line feed": post(b"X-A: b\nTransfer-Encoding: chunked", sized(ALLOWED), body=ALLOWED),
    "a bare carriage return": post(b"X-A: b\rTransfer-Encoding: chunked", sized(ALLOWED), body=ALLOWED),
    "a line feed in a chunk's extension": post(CHUNKED, body=b"%x;a\nb\r\n%b\r\n0\r\n\r\n" % (len(ALLOWED), ALLOWED)),
    "chunks by line feeds": post(CHUNKED, body=b"%x\n%b\n0\n\n" % (len(ALLOWED), ALLOWED)),
    "a chunk with a sign": post(CHUNKED, body=b"+%x\r\n%b\r\n0\r\n\r\n" % (len(ALLOWED), ALLOWED)),
    "a chunk of 0x": post(CHUNKED, body=b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(ALLOWED), ALLOWED)),
    "a chunk of less than nothing": post(CHUNKED, body=b"-1\r\n%b\r\n0\r\n\r\n" % ALLOWED),
    "a chunk of more than 64 bits": post(CHUNKED, body=b"f" * 17 + b"\r\n%b\r\n0\r\n\r\n" % ALLOWED),
    "a chunk that is longer": post(CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(ALLOWED) - 1, ALLOWED)),
    "a chunk without an end": post(CHUNKED, body=b"%x\r\n%bxx0\r\n\r\n" % (len(ALLOWED), ALLOWED)),
    "trailers that frame": post(CHUNKED, body=chunked(ALLOWED, end=b"0\r\nContent-Length: 5\r\n\r\n")),
    "many trailers": post(CHUNKED, body=chunked(ALLOWED, end=b"0\r\n" + b"A: b\r\n" * 10_000 + b"\r\n")),
    "a length one short": post(b"Content-Length: %d" % (len(ALLOWED) - 1), body=ALLOWED),
    "HTTP/2.0": post(sized(ALLOWED), body=ALLOWED, version=b"HTTP/2.0"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /x\r\n\r\n",
    "no host": b"POST %b HTTP/1.1\r\n%b\r\n\r\n%b" % (SENDS.encode(), sized(ALLOWED), ALLOWED),
    "two hosts": post(b"Host: y", sized(ALLOWED), body=ALLOWED),
    "an unknown method": b"SMUGGLE /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank in the target": post(sized(ALLOWED), body=ALLOWED, target=SENDS.encode() + b" x"),
    "a zero in the target": post(sized(ALLOWED), body=ALLOWED, target=SENDS.encode() + b"\0"),
    "a header without a colon": post(b"Nonsense", sized(ALLOWED), body=ALLOWED),
    "a header without a name": post(b": x", sized(ALLOWED), body=ALLOWED),
    "a zero in a name": post(b"X\0A: x", sized(ALLOWED), body=ALLOWED),
    "a zero in a value": post(b"Gatekeeper-Caller: x\0", sized(ALLOWED), body=ALLOWED),
    "an escape in a value": post(b"Gatekeeper-Caller: \x1b[31m", sized(ALLOWED), body=ALLOWED),
    "many headers": post(*(b"A%d: b" % n for n in range(1_000)), sized(ALLOWED), body=ALLOWED),
    "a long name": post(b"A" * 9_000 + b": b", sized(ALLOWED), body=ALLOWED),
    "a long target": post(sized(ALLOWED), body=ALLOWED, target=SENDS.encode() + b"?" + b"a" * 9_000),
}


async def test_what_can_be_framed_in_two_ways_goes_nowhere(strict, wire):
    """It is a 400 behind which the connection ends: what is written behind it is not even heard."""
    heard = {name: await spoken(strict, said + SMUGGLED + LAST) for name, said in REFUSED.items()}

    assert {name: [400] for name in REFUSED} == heard
    assert ([], []) == (wire.arrived, strict.logged("decision"))


ONCE = {
    "a length": post(sized(ALLOWED), body=ALLOWED),
    "a length with zeros before it": post(b"Content-Length: 000%d" % len(ALLOWED), body=ALLOWED),
    "chunks": post(CHUNKED, body=chunked(ALLOWED[:9], ALLOWED[9:])),
    "chunks in capitals": post(b"Transfer-Encoding:\tCHUNKED", body=chunked(ALLOWED)),
    "a chunk's extension": post(CHUNKED, body=b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(ALLOWED), ALLOWED)),
    "a length that looks like one": post(b"Content_Length: 3", sized(ALLOWED), body=ALLOWED),
    "a connection that names its framing": post(
        b"Connection: transfer-encoding, content-length, host", CHUNKED, body=chunked(ALLOWED)
    ),
    "a blank line before": b"\r\n\r\n" + post(sized(ALLOWED), body=ALLOWED),
    "an expectation that nobody knows": post(b"Expect: miracles", sized(ALLOWED), body=ALLOWED),
}


@pytest.mark.parametrize("path", [SENDS, "/webhook", "/v23.0/x"])
async def test_a_length_of_endless_digits_is_refused(path, strict, wire):
    """It is a number to the parser and none to Python: whatever is asked, that is the caller's fault and not ours."""
    statuses = await spoken(strict, post(b"Content-Length: " + b"0" * 5000 + b"2", body=b"{}", target=path.encode()))

    assert ([400], []) == (statuses, wire.arrived)


async def test_a_send_is_followed_by_what_is_written_behind_it(strict, wire):
    """However it is framed it goes out once, plainly framed, and what follows is a request of its own, decided for itself."""
    heard = {name: await spoken(strict, said + SMUGGLED + LAST) for name, said in ONCE.items()}
    framed = [
        (name, value) for one in wire.arrived for name, value in one.headers if name in ("Content-Length", "Transfer-Encoding")
    ]

    assert {name: [200, 400, 200] for name in ONCE} == heard
    assert [ALLOWED, b""] * len(ONCE) == [request.body for request in wire.arrived]
    assert [("Content-Length", str(len(ALLOWED)))] * len(ONCE) == framed
    assert {wire.url.removeprefix("http://")} == {request["Host"] for request in wire.arrived}
    assert ["allow", "block"] * len(ONCE) == [line["verdict"] for line in strict.logged("decision")]


INSIDE = {
    "GET with a body": b"GET /x HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n%b" % (sized(SMUGGLED), SMUGGLED),
    "GET in chunks": b"GET /x HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n%b" % (CHUNKED, chunked(SMUGGLED)),
    "DELETE with a body": b"DELETE /x HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n%b" % (sized(SMUGGLED), SMUGGLED),
    "PUT whose connection names the length": b"PUT /x HTTP/1.1\r\nHost: x\r\nConnection: content-length\r\n%b\r\n\r\n%b"
    % (sized(SMUGGLED), SMUGGLED),
    "PUT whose connection names the coding": b"PUT /x HTTP/1.1\r\nHost: x\r\nConnection: transfer-encoding\r\n%b\r\n\r\n%b"
    % (CHUNKED, chunked(SMUGGLED)),
    "PUT with a length with zeros before it": b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 000%d\r\n\r\n%b"
    % (len(SMUGGLED), SMUGGLED),
}


async def test_a_request_in_a_body_stays_in_it(strict, wire):
    """The upstream reads the body of what is no send where the gate read it: what it holds is no request there."""
    heard = {name: await spoken(strict, said + LAST) for name, said in INSIDE.items()}

    assert {name: [200, 200] for name in INSIDE} == heard
    assert [("/x", SMUGGLED), ("/last", b"")] * len(INSIDE) == [(request.target, request.body) for request in wire.arrived]


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"tcp", b"x"])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_connection_stays_http(protocol, pieces, strict, wire):
    """Whatever a caller wants to switch to, as some clients of Java always do, each request is read and decided as if it had not."""
    said = post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, sized(BLOCKED), body=BLOCKED)
    answers = []
    async with asyncio.timeout(5), strict.connected() as (reader, writer):
        for request in (said, said.replace(BLOCKED, ALLOWED).replace(sized(BLOCKED), sized(ALLOWED))):
            for piece in [request] if pieces == 1 else [request[:-9], request[-9:]]:
                writer.write(piece)
                await asyncio.sleep(0)
            answers.append((await strict.read_message(reader)).status)

    assert ([400, 200], [ALLOWED]) == (answers, [request.body for request in wire.arrived])
    assert [] == [name for request in wire.arrived for name, _ in request.headers if name in ("Upgrade", "Connection")]


@pytest.mark.parametrize(
    "target",
    [
        "//host" + SENDS,
        "/x/%2e%2e" + SENDS,
        "/x/%252e%252e" + SENDS,
        "/x/.%2e/" + SENDS,
        SENDS.replace("/messages", "%2fmessages"),
        "/x%0d%0aHost:%20evil/..%2f.." + SENDS,
        f"/{'1' * 7_000}/messages",
    ],
)
async def test_no_dots_or_escapes_lead_around_the_gate(target, strict, wire):
    """What any server might take for a send is decided."""
    statuses = await spoken(strict, post(sized(BLOCKED), body=BLOCKED, target=target.encode()) + LAST)

    assert ([400, 200], ["/last"]) == (statuses, [request.target for request in wire.arrived])
    assert ["outside_customer_service_window"] == [line["reason"] for line in strict.logged("decision")]


async def test_a_trace_tells_what_the_upstream_tells(strict, wire):
    """The gate itself echoes no headers."""
    wire.answer = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
    answer = await strict.ask("TRACE", "/x", [("Authorization", "Bearer secret")])

    assert (405, b"") == (answer.status, answer.body)


VALUES = ["a%0d%0aX-Split: 1", "a\\r\\nX-Split: 1", "a\u2028X-Split: 1", "a\u010d\u010aX-Split: 1", "{" * 500]


@pytest.mark.parametrize("header", ["Gatekeeper-Caller", "Idempotency-Key", "Gatekeeper-Dry-Run", "Content-Type"])
async def test_a_header_stays_in_its_line(header, strict):
    """Neither escapes nor letters that end as CR LF in another charset make a header of an answer, or a line of the log."""
    answers = [
        await strict.exchange(post(header.encode() + b": " + value.encode(), sized(ALLOWED), body=ALLOWED)) for value in VALUES
    ]

    assert {200, 400} >= {answer.status for answer in answers}
    assert [] == [name for answer in answers for name, _ in answer.headers if name.lower() == "x-split"]
    assert len(strict.lines) == strict.written.getvalue().count("\n")


NASTY = "a\r\nX-Split: 1\r\n\r\n<script>\u0000\u2028\x1b[31m"


SENT = [
    template(NASTY),
    template("order_update", language={"code": NASTY}),
    template("order_update", components=[{"type": NASTY, "parameters": [{"type": NASTY, "parameter_name": NASTY}]}]),
    *({**template("order_update"), member: NASTY} for member in ("to", "type", "recipient_type", "category", NASTY)),
]


async def test_what_stands_in_a_body_makes_no_header_and_no_line(strict):
    """Names and words of a send end in answers and logs as data."""
    ways = [[], [("Gatekeeper-Dry-Run", "true")], [("Idempotency-Key", "k")]]
    answers = [await strict.send(body, *headers) for body in SENT for headers in ways]
    page = (await strict.admin("/metrics")).body.decode()

    assert {200, 400, 404, 409} >= {answer.status for answer in answers}
    assert [] == [name for answer in answers for name, _ in answer.headers if name.lower() == "x-split"]
    assert (len(strict.lines), False) == (strict.written.getvalue().count("\n"), "X-Split" in page)


@pytest.mark.parametrize("name", ['odd "name"', "näme", "tab\tname"])
async def test_a_rules_name_is_written_as_a_header_can_carry_it(name, open_house, wire):
    """Whatever a configuration may call a rule, its answer has one header for it and ends where it should."""
    rule = {"name": name, "action": "block", "message": NASTY.replace("\0", "")}
    house = await open_house(wire.url, policy={"rule": [rule]})
    answer = await house.template("order_update")

    assert (400, 900001) == answer.error
    assert re.sub(r"[^ -~]", "?", name) == answer["Gatekeeper-Rule"]
    assert None is answer["X-Split"]


UPSTREAMS = {
    "a folded header": b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}",
    "a bare CR in a header": b"HTTP/1.1 200 OK\r\nX-A: b\rX-Split: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a zero in a header": b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 2\r\n\r\n{}",
    "stray bytes in a header": b"HTTP/1.1 200 OK\r\nX-A: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
    "stray bytes in the reason": b"HTTP/1.1 200 \xc3\x96K\xff\r\nContent-Length: 2\r\n\r\n{}",
    "a CR in the reason": b"HTTP/1.1 200 O\rX-Split: 1\r\nContent-Length: 2\r\n\r\n{}",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 30\r\n\r\n{}",
    "a status of its own": b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}",
    "a continuation first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "an answer nobody asked for": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "a bomb": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(packed := gzip.compress(b"{" * (8 << 20))), packed),
    "deep": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000,
    "a header without end": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("path", [SENDS, "/v23.0/x"])
async def test_an_odd_answer_splits_nothing(path, open_house, wire):
    """Whatever stands between Meta and us says, the caller gets one answer, passed on or a 502, and the next request gets its own."""
    house, heard = await open_house(wire.url, upstream={"timeout": "1s"}), {}
    for name, answer in UPSTREAMS.items():
        wire.answer = answer
        odd = await house.send(ALLOWED, path=path)
        wire.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
        following = await house.send(ALLOWED, path=path)
        heard[name] = (odd.status in (200, 502, 999), odd["X-Split"], following.body)

    assert dict.fromkeys(UPSTREAMS, (True, None, b"next")) == heard


async def test_a_protocol_that_nobody_asked_for_is_a_502(bare, wire):
    """After that no answer would follow that anybody could read."""
    statuses = []
    for line in (b"101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade", b"000 Odd\r\nContent-Length: 0"):
        wire.answer = b"HTTP/1.1 " + line + b"\r\n\r\n"
        statuses.append((await bare.ask("GET", "/v23.0/x")).error)

    assert [(502, 2)] * 2 == statuses


DEEP = [
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000,
    b'{"a":' * 100_000 + b"0" + b"}" * 100_000,
]
PLACES = {
    "the whole": b"%b",
    "beside": ALLOWED[:-1] + b',"x":%b}',
    "components": ALLOWED.replace(b'"language"', b'"components": %b, "language"'),
    "to": b'{"messaging_product":"whatsapp","type":"text","text":{"body":"x"},"to":%b}',
    "text": b'{"messaging_product":"whatsapp","to":"1","type":"text","text":%b}',
    "batch": b'{"batch":%b}',
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
async def test_a_hundred_thousand_levels_are_no_json(place, strict, wire):
    """Nobody's stack is so deep: wherever they stand the body is refused, whether it closes them all or none."""
    statuses = set()
    for nested in DEEP:
        body = place.replace(b"%b", nested)
        webhook = b'{"entry":[{"changes":[{"field":"messages","value":%b}]}]}' % body
        checked = b'{"phone_number_id":"1","body":%b}' % body
        answers = [await strict.send(body), await strict.webhook(body), await strict.webhook(webhook)]
        answers += [await admin_post(strict, "/v1/check", checked), await admin_post(strict, "/v1/forget", body)]
        statuses |= {answer.status for answer in answers}

    assert ({400}, []) == (statuses, wire.arrived)


async def admin_post(house, target: str, body: bytes):
    """Post to the admin listener."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(house.gate.admin_url.rsplit(":", 1)[1]))
    with contextlib.closing(writer):
        writer.write(
            b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%b\r\n\r\n%b"
            % (target.encode(), sized(body), body)
        )
        return await house.read_message(reader)


def bomb(size: int, layers: int = 1, window: int = 16 + zlib.MAX_WBITS) -> bytes:
    """So many zeros, packed so many times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    text = b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()
    for _ in range(layers - 1):
        text = zlib.compress(text, 9, window)
    return text


@functools.cache
def bombs() -> dict[str, tuple[str, bytes]]:
    """By what they are packed in: the header, and the bytes."""
    return {
        "gzip": ("gzip", bomb(48 * MIB)),
        "deflate": ("deflate", bomb(48 * MIB, window=zlib.MAX_WBITS)),
        "raw deflate": ("deflate", bomb(48 * MIB, window=-zlib.MAX_WBITS)),
        "gzip twice": ("gzip, gzip", bomb(256 * MIB, layers=2)),
        "gzip thrice": ("gzip, gzip, gzip", bomb(256 * MIB, layers=3)),
    }


@pytest.mark.parametrize("path", [SENDS, "/webhook", "/", "/v23.0/1/media"])
async def test_a_bomb_holds_nobody_up(path, strict, wire):
    """What a few kilobytes unpack to is not read to its end: it is refused at once, and never arrives whole."""
    ask = strict.webhook if path == "/webhook" else lambda body, *headers: strict.ask("POST", path, headers, body)
    heard = {}
    for name, (encoding, packed) in bombs().items():
        began = time.perf_counter()
        answer = await ask(packed, ("Content-Encoding", encoding))
        heard[name] = (answer.status, time.perf_counter() - began < 1.5)

    assert dict.fromkeys(bombs(), (413, True)) == heard
    assert [] == [request for request in wire.arrived if request.body]


@pytest.mark.parametrize(
    ("head", "pieces"),
    [
        pytest.param(post(b"Content-Length: 99999999999"), [], id="a length beyond all bounds"),
        pytest.param(post(CHUNKED), [b"%x\r\n%b\r\n" % (1 << 16, b"x" * (1 << 16))] * 100, id="chunks without end"),
        pytest.param(post(CHUNKED), [b"7fffffffffffffff\r\n", *[b"x" * (1 << 16)] * 100], id="one chunk without end"),
        pytest.param(
            post(CHUNKED, SIGNED, target=b"/webhook"), [b"%x\r\n%b\r\n" % (1 << 16, b"x" * (1 << 16))] * 200, id="a webhook"
        ),
    ],
)
async def test_a_body_without_end_is_broken_off(head, pieces, strict, wire):
    """It is answered with a 413 as soon as it is too large, while it is still being sent."""
    async with asyncio.timeout(10), strict.connected() as (reader, writer):
        writer.write(head)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        answer = await strict.read_message(reader)

    assert (413, "close", []) == (answer.status, answer["Connection"], wire.arrived)


async def slowly(url: str, pieces: list[bytes]) -> bytes:
    """Write piece by piece, for as long as the other side keeps the connection, and hear what it says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))

    async def write() -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)

    writing, heard = asyncio.create_task(write()), b""
    try:
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):  # it is closed on what it has not read
                while piece := await reader.read(1 << 16):
                    heard += piece
        return heard
    finally:
        writing.cancel()
        writer.close()


@contextlib.asynccontextmanager
async def served(handler, **patience: float):
    """The gate's own HTTP server, with less patience than it has for honest callers."""
    runner = web.ServerRunner(GraphServer(handler, **patience))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


DRIP = [bytes([byte]) for byte in b"POST / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1_000]


@pytest.mark.parametrize(
    ("pieces", "answered"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([b"\r\n"] * 1_000, 0, id="blank lines"),
        pytest.param(DRIP, 0, id="a head that drips"),
        pytest.param([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", *DRIP], 1, id="a second head that drips"),
        pytest.param([b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST / HT", *DRIP], 1, id="a second head begun behind the first"),
    ],
)
async def test_a_head_that_never_ends_is_given_up(pieces, answered):
    """Whoever opens a connection has so long to say what it wants."""

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(text="ok")

    async with served(handler, head_s=0.2) as url:
        heard = await slowly(url, pieces)

    assert answered == heard.count(b"HTTP/1.1 200 OK")


async def test_patience_with_a_head_is_none_with_a_handler():
    """A request that is read is answered however long that takes, and its connection serves the next one."""

    async def handler(_: web.BaseRequest) -> web.Response:
        await asyncio.sleep(0.15)
        return web.Response(text="ok")

    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served(handler, head_s=0.05) as url:
        heard = await slowly(url, [request + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")])

    assert 2 == heard.count(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", CHUNKED])
async def test_a_body_that_drips_is_given_up(framing):
    """A body is due as a whole, however steadily it comes."""
    given_up = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        try:
            await read_body(request, MIB, within_s=0.1)
        except BodyTooSlow:
            given_up.set()
        return web.Response(text="ok")

    async with served(handler) as url:
        dripping = asyncio.create_task(slowly(url, [post(framing), *[b"1\r\nx\r\n"] * 1_000]))
        async with asyncio.timeout(5):
            await given_up.wait()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)

    assert given_up.is_set()


async def test_what_callers_make_up_is_no_label(strict):
    """However many names, numbers and types callers think of, the metrics have as many series as before."""

    async def series() -> int:
        return (await strict.admin("/metrics")).body.count(b"\n")

    async def sends(n: int) -> None:
        named = ("Gatekeeper-Caller", f"caller-{n}")
        await strict.template(f"made_up_{n}", named)
        await strict.template("order_update", named, path=f"/v23.0/{10**9 + n}/messages")
        await strict.send({"messaging_product": "whatsapp", "to": f"49151{n:07}", "type": f"type{n}"}, named)
        await strict.send({**template("order_update"), "to": f"to-{n}"}, named, ("Idempotency-Key", f"key-{n}"))
        await strict.send({"messaging_product": f"product-{n}"}, named)
        await strict.ask("GET", f"/v23.0/{n}", [named])

    await strict.wrote()
    for n in range(3):
        await sends(n)
    before = await series()
    for n in range(3, 80):
        await sends(n)

    assert before == await series()
