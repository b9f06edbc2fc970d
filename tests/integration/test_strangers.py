"""What a stranger can make a gate do: little is kept of what nobody has looked at, nothing waits for ever, and each refusal has a line."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import hmac
import json

import pytest
from fake_graph import eventually
from test_hostile_http import ALLOWED, LAST, REFUSED, SIGNED, SMUGGLED, post, sized, spoken

from gatekeeper.server import app, bodies, passthrough, rejections, short_way, upstream
from gatekeeper.server.bodies import MEMORY, BodyMemory, NoRoom, Share
from gatekeeper.server.connections import GraphServer

NUMBER, USER = "106540352242922", "4915112345678"
SENDS, MEDIA = f"/v23.0/{NUMBER}/messages", f"/v23.0/{NUMBER}/media"
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
TWICE = [("X-A", "1"), ("X-A", "2")]  # a header that comes twice leads to aiohttp's own server
MIB, KIB = 1 << 20, 1 << 10


def rejected(house):
    return [(line["why"], line["status"], line["level"]) for line in house.logged("request_rejected")]


def counted(page, why):
    [line] = [one for one in page.splitlines() if one.startswith(f'gatekeeper_rejected_requests_total{{why="{why}"}}')]
    return float(line.rpartition(" ")[2])


NAMED = [
    "Content-Type",
    "content-encoding",
    "Authorization",
    "X-Hub-Signature-256",
    "X-HTTP-Method-Override",
    "x-http-method",
    "Idempotency-Key",
    "Gatekeeper-Key",
    "gatekeeper-caller",
    "close, Content-Type",
    "keep-alive ,\tCONTENT-TYPE",
    "content_type",
]
PLACES = [("POST", SENDS), ("POST", "/"), ("POST", "/v23.0/me"), ("POST", MEDIA), ("GET", "/v23.0/1"), ("POST", "/webhook")]


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize(("method", "path"), PLACES)
async def test_no_connection_takes_away_what_decides(method, path, named, bare, wire):
    """The header would be left out on the way, and the upstream read something else."""
    answer = await bare.ask(method, path, [FORM, ("Connection", named)], b"to=1" if method == "POST" else b"")

    assert ((400, 100), [], []) == (answer.error, wire.arrived, bare.logged("decision"))
    assert [("ambiguous_headers", 400, "warning")] == rejected(bare)


@pytest.mark.parametrize(
    "name", ["Content_Type", "content_encoding", "Transfer_Encoding", "X_Hub_Signature_256", "Gatekeeper_Dry-Run"]
)
@pytest.mark.parametrize(("method", "path"), PLACES)
async def test_a_variables_name_is_no_headers(method, path, name, bare, wire):
    """CGI and PHP know headers as variables, and cannot tell one from the other."""
    answer = await bare.ask(method, path, [(name, "application/x-www-form-urlencoded")], b"{}" if method == "POST" else b"")

    assert ((400, 100), []) == (answer.error, wire.arrived)


@pytest.mark.parametrize(("method", "path"), [("POST", SENDS), ("POST", MEDIA), ("GET", "/v23.0/1")])
@pytest.mark.parametrize("connection", ["keep-alive", "close", "Upgrade, HTTP2-Settings", "X-A", "te", "content-length"])
async def test_what_clients_say_of_their_connection_is_fine(connection, method, path, bare, wire):
    """The headers that decide arrive as they came."""
    body = ALLOWED if method == "POST" else b""
    answer = await bare.ask(method, path, [JSON, ("Authorization", "Bearer x"), ("Connection", connection), ("X-A", "1")], body)
    [request] = wire.arrived

    assert (200, [JSON[1]], ["Bearer x"], body) == (
        answer.status,
        request.all("Content-Type"),
        request.all("Authorization"),
        request.body,
    )


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_read_has_a_line_and_is_counted(name, bare):
    """Which says why in our words, and quotes nothing."""
    await spoken(bare, REFUSED[name] + SMUGGLED + LAST)
    lines = bare.logged("request_rejected")
    page = (await bare.admin("/metrics")).body.decode()

    assert (1, {400}) == (len(lines), {line["status"] for line in lines})
    assert {"level", "at", "event", "why", "status", "left_out"} <= lines[0].keys() <= {*lines[0].keys(), "details"}
    assert 1 == counted(page, lines[0]["why"])
    assert [False] * 3 == [text in bare.written.getvalue() for text in ("order_update", USER, "AAAA")]


async def test_of_many_only_some_have_a_line(bare, monkeypatch):
    """The next line says how many were left out; each is counted."""
    monkeypatch.setattr(rejections, "_MOST_LINES", 3)
    monkeypatch.setattr(rejections, "_WHILE_S", 1e9)
    for _ in range(8):
        await spoken(bare, b"NONSENSE\r\n\r\n")
    first = [line["left_out"] for line in bare.logged("request_rejected")]
    rejection = rejections.Why.UNREADABLE
    count = counted((await bare.admin("/metrics")).body.decode(), rejection)

    monkeypatch.setattr(rejections, "_WHILE_S", 0.0)
    await spoken(bare, b"NONSENSE\r\n\r\n")

    assert (8, [0, 0, 0]) == (count, first)
    assert [0, 0, 0, 5] == [line["left_out"] for line in bare.logged("request_rejected")]


async def unfinished(house, stack, path, size, *lines):
    """A connection on which all of a body came but its last byte."""
    reader, writer = await stack.enter_async_context(house.connected())
    writer.write(post(b"Content-Length: %d" % (size + 1), *lines, target=path.encode()))
    with contextlib.suppress(ConnectionError):
        for at in range(0, size, 64 * KIB):
            writer.write(b"x" * min(64 * KIB, size - at))
            await writer.drain()
    return reader, writer


@pytest.mark.parametrize(
    ("path", "size", "lines"), [("/webhook", 3 * MIB, [SIGNED]), (SENDS, 900 * KIB, []), ("/", 900 * KIB, [])]
)
async def test_undecided_bodies_share_one_memory(path, size, lines, bare, wire, monkeypatch):
    """Whoever comes on top is told to come later, a small one is read all the same, and afterwards all of it is free again."""
    most = 4 * size
    monkeypatch.setattr(MEMORY, "most", most)
    async with contextlib.AsyncExitStack() as stack:
        strangers = [await unfinished(bare, stack, path, size, *lines) for _ in range(12)]
        await eventually(lambda: len(rejected(bare)) >= 8)
        taken = MEMORY.used
        reading = [asyncio.wait_for(bare.read_message(reader), 0.5) for reader, _ in strangers]
        answers = await asyncio.gather(*reading, return_exceptions=True)
        refused = [answer for answer in answers if not isinstance(answer, BaseException)]
        small = [await bare.template("order_update"), await bare.webhook({"object": "x", "entry": []})]
    await eventually(lambda: MEMORY.used == 0)

    assert (True, [200, 200]) == (most // 2 < taken <= most, [answer.status for answer in small])
    assert len(refused) >= 8
    assert {((503, 2), "1")} == {(answer.error, answer["Retry-After"]) for answer in refused}
    assert {("no_room", 503, "warning")} == {line for line in rejected(bare) if line[0] != "broken_body"}
    assert 1 == len(wire.arrived)


async def test_a_plain_request_in_pieces_counts_too(bare, monkeypatch):
    """Its body is kept while the rest is waited for; without room for it, it is refused as any other is."""
    monkeypatch.setattr(MEMORY, "most", 100 * KIB)
    async with contextlib.AsyncExitStack() as stack:
        _, first = await unfinished(bare, stack, SENDS, 150 * KIB)
        await eventually(lambda: MEMORY.used > 80 * KIB)
        second, _ = await unfinished(bare, stack, SENDS, 150 * KIB)
        answer = await bare.read_message(second)
        first.write(b"x")
        await eventually(lambda: MEMORY.used == 0)

    assert ((503, 2), "1") == (answer.error, answer["Retry-After"])


async def test_a_webhook_without_a_signature_is_not_read(bare):
    """Its 401 comes before its body."""
    async with asyncio.timeout(5), bare.connected() as (reader, writer):
        writer.write(post(b"Content-Length: 4000000", target=b"/webhook"))
        answer = await bare.read_message(reader)

    assert ((401, 100), 0) == (answer.error, MEMORY.used)


async def test_honest_webhooks_of_any_size_come_through(house):
    """Ten of 3 MB at once, while the gate has its usual memory."""
    body = json.dumps({"object": "whatsapp_business_account", "entry": [], "more": "x" * 3_000_000}).encode()
    signature = "sha256=" + hmac.new(b"the-app-secret", body, hashlib.sha256).hexdigest()
    answers = await asyncio.gather(
        *(house.ask("POST", "/webhook", [("X-Hub-Signature-256", signature)], body) for _ in range(10))
    )

    assert ([200] * 10, 0) == ([answer.status for answer in answers], MEMORY.used)


async def test_memory_comes_back_to_the_system(monkeypatch):
    """Once many large bodies are gone, and not for a few."""
    trimmed = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(bodies, "_trim", lambda _: loop.call_soon_threadsafe(trimmed.set))
    monkeypatch.setattr(bodies, "_TRIM_AFTER_S", 0)
    memory = BodyMemory()
    with memory.share() as few:
        few.resize(20 * MIB)
    await asyncio.sleep(0.05)
    before = trimmed.is_set()
    with memory.share() as one, memory.share() as another:
        one.resize(20 * MIB)
        another.resize(20 * MIB)
    async with asyncio.timeout(5):
        await trimmed.wait()

    assert (False, True) == (before, trimmed.is_set())


def test_a_share_is_given_back_whatever_happens():
    """It counts a body above its first bytes, never more than there is, and nothing once it is over."""
    memory = BodyMemory(200 * KIB)
    first, second = Share(memory), Share(memory)
    first.resize(bodies._UNCOUNTED)
    free = memory.used
    first.resize(bodies._UNCOUNTED + 150 * KIB)
    with pytest.raises(NoRoom):
        second.resize(bodies._UNCOUNTED + 51 * KIB)
    refused = memory.used
    second.resize(bodies._UNCOUNTED + 50 * KIB)
    full = memory.used
    first.resize(10)
    with contextlib.suppress(RuntimeError), memory.share() as third:
        third.resize(200 * KIB)
        raise RuntimeError

    assert (0, 150 * KIB, 200 * KIB, 50 * KIB) == (free, refused, full, memory.used)


@pytest.fixture
def hurried(monkeypatch):
    """A gate that does not wait long, with room for two streams."""
    monkeypatch.setattr(bodies, "_PROGRESS_S", 0.3)
    monkeypatch.setattr(upstream, "_STREAMS", 2)


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("drips", [True, False])
async def test_an_upload_that_makes_no_progress_ends(drips, framing, hurried, open_house, wire):
    """With a 408, and whoever waits behind it goes on."""
    house = await open_house(wire.url)

    async def drip():
        async with house.connected() as (reader, writer):
            writer.write(post(framing, b"Content-Type: image/png", target=MEDIA.encode()))
            answer = asyncio.create_task(house.read_message(reader))
            writer.write(b"1\r\nx\r\n")
            with contextlib.suppress(ConnectionError):
                while not answer.done():
                    if drips:
                        writer.write(b"1\r\nx\r\n")
                    await asyncio.sleep(0.02)
            return await answer

    async with asyncio.timeout(10):
        dripping = [asyncio.create_task(drip()) for _ in range(2)]
        await eventually(lambda: len(wire.arrived) == 2)
        behind = await house.ask("GET", "/v23.0/1")
        answers = await asyncio.gather(*dripping)

    assert (200, [(408, 100)] * 2) == (behind.status, [answer.error for answer in answers])
    assert [("too_slow", 408, "warning")] * 2 == rejected(house)


async def test_an_upload_that_is_slow_and_steady_comes_through(hurried, open_house, wire):
    """Longer in all than a pause may be."""
    house = await open_house(wire.url)
    async with asyncio.timeout(10), house.connected() as (reader, writer):
        writer.write(post(b"Content-Length: %d" % (20 * 5000), b"Content-Type: image/png", target=MEDIA.encode()))
        for _ in range(20):
            writer.write(b"x" * 5000)
            await asyncio.sleep(0.03)
        answer = await house.read_message(reader)

    assert (200, [20 * 5000]) == (answer.status, [len(request.body) for request in wire.arrived])


async def test_a_slow_upstream_is_not_the_callers_fault(hurried, open_house, wire):
    """Only the time in which the caller is waited for counts."""
    waited = asyncio.Event()

    async def slow(head, reader, writer):
        await waited.wait()
        size = sum([len(chunk) async for chunk in house.read_chunks(reader, head)])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n%d" % size)

    wire.script = slow
    house = await open_house(wire.url)
    asking = asyncio.create_task(house.ask("POST", MEDIA, [("Content-Type", "image/png")], b"x" * (8 * MIB)))
    await eventually(lambda: len(wire.arrived) == 1)
    asyncio.get_running_loop().call_later(1.0, waited.set)
    answer = await asking

    assert (200, str(8 * MIB).encode()) == (answer.status, answer.body)


async def test_a_download_that_is_not_read_ends(hurried, open_house, wire, monkeypatch):
    """Whoever does not read frees the place of whoever would."""
    monkeypatch.setattr(passthrough, "_READ_S", 0.2)

    async def endless(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while head.target == "/v23.0/large":
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    wire.script = endless
    house = await open_house(wire.url)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            _, writer = await stack.enter_async_context(house.connected())
            writer.write(b"GET /v23.0/large HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: len(wire.arrived) == 2)
        behind = await house.ask("GET", "/v23.0/small")

    assert 200 == behind.status


@pytest.mark.parametrize("said", [b"PO", b"POST /x HTTP/1.1\r\nHost: x\r\nX-A: ", post(sized(ALLOWED), body=ALLOWED[:-9])])
async def test_a_slow_request_has_its_line(said, open_house, wire, monkeypatch):
    """Head or body: it hears a 408 and the connection ends."""
    monkeypatch.setattr(app, "GraphServer", functools.partial(GraphServer, head_s=0.2))
    monkeypatch.setattr(short_way, "BODY_S", 0.2)
    house = await open_house(wire.url)
    statuses = await spoken(house, said)

    assert ([408], [("too_slow", 408, "warning")]) == (statuses, rejected(house))
