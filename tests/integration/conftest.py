"""A gate on real sockets: what is written to it is bytes, what stands behind it keeps bytes, and its clock is the test's."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import io
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from fake_graph import FakeGraph
from redis import Redis

from gatekeeper.core.data import data_dir
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.server.app import Gate, running
from gatekeeper.settings import parse
from gatekeeper.telemetry import logger

BOOK = Rulebook.load(data_dir("config"))
NOON = 1_794_312_000_000  # 2026-11-10T12:00Z
PATIENCE_S = 10
WABA, NUMBER, USER = "102290129340398", "106540352242922", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
APP_SECRET, VERIFY_TOKEN = "the-app-secret", "the-verify-token"
TEMPLATES = [
    {"name": "order_update", "language": "en_US", "category": "utility"},
    {"name": "spring_sale", "language": "en_US", "category": "marketing"},
    {"name": "one_time_code", "language": "en_US", "category": "authentication"},
    {"name": "on_hold", "language": "en_US", "category": "utility", "status": "PAUSED"},
    {"name": "too_bad", "language": "en_US", "category": "utility", "status": "DISABLED"},
    {"name": "not_yet", "language": "en_US", "category": "utility", "status": "PENDING"},
]

Headers = list[tuple[str, str]]


@dataclass
class Message:
    """An HTTP message as it stood on the wire: its first line, its headers in their order and spelling, its body still packed."""

    line: str
    headers: Headers
    body: bytes = b""

    @property
    def status(self) -> int:
        return int(self.line.split()[1])

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, int]:
        """The status, and the code of an error in Graph's shape."""
        return self.status, self.json["error"]["code"]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str | None:
        """A header that comes once, or not at all."""
        [value] = self.all(name) or [None]
        return value

    @property
    def ours(self) -> dict[str, str]:
        """Our own headers, but for those that differ from one answer to the next."""
        return {k: v for k, v in self.headers if k.startswith("Gatekeeper-") and k != "Gatekeeper-Id"}


async def read_head(reader: asyncio.StreamReader) -> Message:
    """Read a message up to its body; IncompleteReadError when none comes."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    return Message(lines[0], [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])])


async def read_chunks(reader: asyncio.StreamReader, head: Message) -> AsyncIterator[bytes]:
    """Read a body piece by piece, as its headers frame it."""
    if "chunked" in head.all("Transfer-Encoding"):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    elif head.all("Content-Length"):
        left = int(head["Content-Length"])
        while left:
            if not (chunk := await reader.read(min(left, 1 << 16))):
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(chunk)
            yield chunk
    elif head.line.startswith("HTTP/"):
        while chunk := await reader.read(1 << 16):
            yield chunk


async def read_message(reader: asyncio.StreamReader, *, to: str = "POST") -> Message:
    """Read a whole message; *to*: the method that it answers."""
    head = await read_head(reader)
    if to == "HEAD" or head.line.startswith(("HTTP/1.1 204", "HTTP/1.1 304", "HTTP/1.1 1")):
        return head
    head.body = b"".join([chunk async for chunk in read_chunks(reader, head)])
    return head


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of one's own."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(url: str, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Message:
    """Ask with exactly these headers, and the two without which there is no request."""
    given = [("Host", urlsplit(url).netloc), *headers]
    framed = {name.lower() for name, _ in given} & {"content-length", "transfer-encoding"}
    if not framed and (body or method in ("POST", "PUT")):
        given.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in given)
    async with asyncio.timeout(PATIENCE_S), connected(url) as (reader, writer):
        writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        return await read_message(reader, to=method)


Script = Callable[[Message, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Wire:
    """
    An upstream on a bare socket.

    Without a *script* it keeps each request, body and all, and answers with the bytes of *answer*. A script gets the request
    up to its body, and both ends of the connection.
    """

    url: str = ""
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    script: Script | None = None
    arrived: list[Message] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Wire]:
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.current_task())
            with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self._one(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        self.arrived.append(head)
        if self.script is not None:
            await self.script(head, reader, writer)
            return
        head.body = b"".join([chunk async for chunk in read_chunks(reader, head)])
        writer.write(self.answer)
        await writer.drain()


@dataclass
class House:
    """A gate, its clock, its log, and what Meta and a caller do to it."""

    gate: Gate = field(init=False)
    now: int = NOON
    written: io.StringIO = field(default_factory=io.StringIO)
    secret: str = APP_SECRET

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written.getvalue().split("\n") if line]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    async def ask(self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Message:
        return await ask(self.gate.url, method, target, headers, body)

    read_head, read_chunks, read_message = staticmethod(read_head), staticmethod(read_chunks), staticmethod(read_message)

    def connected(self) -> contextlib.AbstractAsyncContextManager[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        return connected(self.gate.url)

    async def exchange(self, request: bytes, *, hang_up: bool = False) -> Message:
        """Write bytes that need not be HTTP; one that hangs up waits for no answer."""
        async with asyncio.timeout(PATIENCE_S), connected(self.gate.url) as (reader, writer):
            writer.write(request)
            if not hang_up:
                return await read_message(reader)
            await writer.drain()
            return Message("", [])

    async def admin(self, target: str, method: str = "GET") -> Message:
        return await ask(self.gate.admin_url, method, target)

    async def send(self, body: Any, *headers: tuple[str, str], path: str = SENDS) -> Message:
        """Send a body: bytes as they are, anything else as JSON."""
        given = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.ask("POST", path, [("Content-Type", "application/json"), *headers], given)

    async def text(self, *headers: tuple[str, str], to: str = USER) -> Message:
        text = {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "hi"}}
        return await self.send(text, *headers)

    async def template(self, name: str, *headers: tuple[str, str], path: str = SENDS) -> Message:
        template = {"name": name, "language": {"code": "en_US"}}
        body = {"messaging_product": "whatsapp", "to": USER, "type": "template", "template": template}
        return await self.send(body, *headers, path=path)

    async def webhook(self, payload: Any, *headers: tuple[str, str]) -> Message:
        """Post what Meta signs."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        signature = "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        return await self.ask("POST", "/webhook", [("X-Hub-Signature-256", signature), *headers], body)

    async def changed(self, *values: Any, field: str = "messages") -> Message:
        """Meta says that something of our number changed."""
        whole = [{"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, **value} for value in values]
        changes = [{"field": field, "value": value} for value in whole]
        return await self.webhook({"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": changes}]})

    async def wrote(self, *, at: int | None = None, user: str = USER, **more: Any) -> Message:
        """A user writes to us."""
        seconds = (self.now if at is None else at) // 1000
        message = {
            "from": user,
            "id": f"wamid.in.{seconds}",
            "timestamp": str(seconds),
            "type": "text",
            "text": {"body": "hello"},
        }
        return await self.changed({"contacts": [{"wa_id": user}], "messages": [{**message, **more}]})

    async def status(self, wamid: str, status: str, **more: Any) -> Message:
        """Meta says what became of a message of ours."""
        item = {"id": wamid, "status": status, "timestamp": str(self.now // 1000), "recipient_id": USER}
        return await self.changed({"statuses": [{**item, **more}]})

    async def free_remaining(self) -> int:
        """What the free tier would leave after one message more: every reservation that is held counts."""
        return (await self.text(("Gatekeeper-Dry-Run", "true"))).json["free_remaining"]

    async def thread(self) -> Any:
        return (await self.admin(f"/v1/threads/{NUMBER}/{USER}")).json


Opener = Callable[..., Awaitable[House]]


@pytest.fixture
async def open_house(redis_url: str, redis: Redis, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Opener]:
    """Open gates; each section given is put over the usual settings. No test makes a gate write a traceback."""
    houses: list[House] = []
    async with contextlib.AsyncExitStack() as stack:

        async def opened(upstream: str, /, *, now: int = NOON, **sections: Any) -> House:
            usual: dict[str, Any] = {
                "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "grace": "1s"},
                "upstream": {"base_url": upstream, "timeout": "5s", "connect_timeout": "1s"},
                "webhook": {"app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN},
                "ledger": {"url": redis_url, "timeout": "2s"},
                "policy": {},
            }
            account = {"waba_id": WABA, "phone_number_ids": [NUMBER], "template": TEMPLATES, **sections.pop("account", {})}
            merged = {name: {**usual[name], **sections.pop(name, {})} for name in usual}
            house = House(now=now)
            settings = parse({**merged, "account": [account], **sections}, name="test", environment={})
            house.gate = await stack.enter_async_context(
                running(settings, logger(house.written), book=BOOK, now=lambda: house.now)
            )
            houses.append(house)
            return house

        yield opened
    tracebacks = [line for house in houses for line in house.lines if "exception" in line]
    said = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert ([], []) == (tracebacks, said)


@pytest.fixture
async def graph() -> AsyncIterator[FakeGraph]:
    """Meta, in a good mood."""
    found = FakeGraph()
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """An upstream whose every byte is the test's."""
    async with Wire().listening() as found:
        yield found


@pytest.fixture
async def house(open_house: Opener, graph: FakeGraph) -> House:
    """A gate with the usual settings in front of Meta in a good mood; a window never seen counts as closed."""
    return await open_house(graph.url, policy={"cold_start": "closed"})


@pytest.fixture
async def bare(open_house: Opener, wire: Wire) -> House:
    """A gate in front of an upstream whose every byte is the test's."""
    return await open_house(wire.url)


@pytest.fixture
def remote() -> Callable[[str, int], House]:
    """What a caller and Meta do to a gate in another process, whose clock is the world's."""

    def found(url: str, now: int) -> House:
        house = House(now=now)
        house.gate = SimpleNamespace(url=url)  # type: ignore[assignment]
        return house

    return found


@pytest.fixture
def frozen(redis: Redis) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Stop Redis without closing a connection, for a while."""
    pid = redis.info("server")["process_id"]

    @contextlib.contextmanager
    def stopped() -> Iterator[None]:
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    return stopped
