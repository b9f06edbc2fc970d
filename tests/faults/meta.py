"""Meta's side: an upstream on a bare socket whose mood can be changed, and the teller of what became of each message."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from books import Arrival, Books, Kind, Letter, Told, now
from line import reset

WABA, NUMBER, APP_SECRET = "102290129340398", "106540352242922", "the-app-secret"
TAG_HEADER = "x-attempt"
FAIL_SHARE = 0.25
MISHAPS = 0.04
"""Share of requests that Meta refuses though nothing is wrong: what they held is given back, whatever the ledger does meanwhile."""
TELLERS = 4
UNDELIVERABLE = 131026
CATEGORY = {Kind.UTILITY: "utility", Kind.MARKETING: "marketing", Kind.TEXT: "service"}


class Exchange:
    """One request at Meta, from its head to whatever its mood makes of it."""

    def __init__(self, meta: Meta, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.meta, self.reader, self.writer = meta, reader, writer
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        self.length = int(fields.get(b"content-length", b"0"))
        self.letter: Letter = meta.books.letter_of(tag := fields[TAG_HEADER.encode()].decode())
        mishap = meta.mood == "well" and meta.random.random() < MISHAPS
        self.arrival = Arrival(tag=tag, at=now(), mood="mishap" if mishap else meta.mood)
        self.letter.arrivals.append(self.arrival)

    async def read(self) -> None:
        await self.reader.readexactly(self.length)
        self.arrival.whole = True

    async def take(self) -> bytes:
        """Read the body, and send the message: from here on it is on its way whatever becomes of the answer."""
        await self.read()
        self.arrival.taken, self.arrival.wamid = True, f"wamid.{self.arrival.tag}"
        self.meta.on_taken(self.letter, self.arrival)
        to = self.letter.recipient
        answer = {"messaging_product": "whatsapp", "contacts": [{"input": to, "wa_id": to}]}
        return json.dumps(answer | {"messages": [{"id": self.arrival.wamid}]}).encode()

    async def answer(self, status: str, body: bytes, *headers: str, promise: int | None = None) -> None:
        """Write an answer, or the beginning of one that promises more."""
        length = len(body) if promise is None else promise
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {length}", *headers]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await self.writer.drain()


async def _well(x: Exchange) -> None:
    body = await x.take()
    await asyncio.sleep(x.meta.random.uniform(0, 0.02))
    await x.answer("200 OK", body)
    if x.meta.answered is not None and not x.meta.answered.done():
        x.meta.answered.set_result(x.arrival.tag)


async def _reset_unread(x: Exchange) -> None:
    reset(x.writer)


async def _reset_read(x: Exchange) -> None:
    await x.take()
    reset(x.writer)


async def _error_500(x: Exchange) -> None:
    await x.read()
    await x.answer("500 Internal Server Error", b"<html>Sorry, something went wrong.</html>")


async def _too_many(x: Exchange) -> None:
    await x.read()
    error = {"message": "(#130429) Rate limit hit", "type": "OAuthException", "code": 130429, "fbtrace_id": "f"}
    await x.answer("429 Too Many Requests", json.dumps({"error": error}).encode(), "Retry-After: 1")


async def _truncated(x: Exchange) -> None:
    body = await x.take()
    await x.answer("200 OK", body[: len(body) // 2], promise=len(body))
    x.writer.close()


async def _endless(x: Exchange) -> None:
    await x.take()
    await x.answer("200 OK", b"{", promise=1 << 40)
    while True:
        x.writer.write(b" " * (1 << 18))
        await x.writer.drain()
        await asyncio.sleep(0.05)


async def _slow_headers(x: Exchange) -> None:
    body = await x.take()
    await asyncio.sleep(x.meta.random.choice((0.5, 1.6)))
    await x.answer("200 OK", body)


async def _slow_body(x: Exchange) -> None:
    body = await x.take()
    await x.answer("200 OK", body[:1], promise=len(body))
    pause = x.meta.random.choice((0.1, 0.4))
    for at in range(1, len(body), 40):
        await asyncio.sleep(pause)
        x.writer.write(body[at : at + 40])
        await x.writer.drain()


async def _holding(x: Exchange) -> None:
    """Keep the answer back until the hold is over."""
    body = await x.take()
    if x.meta.held is not None and not x.meta.held.done():
        x.meta.held.set_result(x.arrival.tag)
    await x.meta.released.wait()
    await x.answer("200 OK", body)


MOODS: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "well": _well,
    "reset unread": _reset_unread,
    "reset read": _reset_read,
    "500": _error_500,
    "429": _too_many,
    "mishap": _too_many,
    "truncated": _truncated,
    "endless": _endless,
    "slow headers": _slow_headers,
    "slow body": _slow_body,
    "holding": _holding,
}


class Meta:
    """The upstream."""

    def __init__(self, port: int, books: Books, rng: random.Random, on_taken: Callable[[Letter, Arrival], None]) -> None:
        self.port, self.books, self.random, self.on_taken = port, books, rng, on_taken
        self.mood = "well"
        self.held: asyncio.Future[str] | None = None
        self.answered: asyncio.Future[str] | None = None
        self.released = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)

    def refuse(self) -> None:
        """Break every connection, and refuse new ones until started again."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            reset(writer)

    def hold(self) -> asyncio.Future[str]:
        """Take every message from now on without an answer; the first one's tag."""
        held = self.held = asyncio.get_running_loop().create_future()
        self.mood = "holding"
        self.released.clear()
        return held

    def be(self, mood: str) -> None:
        self.mood = mood
        self.released.set()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while not writer.is_closing():
                exchange = Exchange(self, reader, writer, await reader.readuntil(b"\r\n\r\n"))
                await MOODS[exchange.arrival.mood](exchange)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()


class Teller:
    """Tells what became of messages and that users wrote, again and again until a gate says 200; in no order."""

    def __init__(self, urls: Callable[[], list[str]], books: Books, rng: random.Random) -> None:
        self._urls, self._books, self._random = urls, books, rng
        self._queue: asyncio.Queue[tuple[Told, dict[str, Any]]] = asyncio.Queue()
        self._later: set[asyncio.TimerHandle] = set()
        self.open = 0
        self.windows: list[Told] = []
        """Customers whose windows the ledger was told of since it last forgot."""

    def taken(self, letter: Letter, arrival: Arrival) -> None:
        """Tell of a message soon: now and then before its own answer is out."""
        failed = self._random.random() < FAIL_SHARE
        status: dict[str, Any] = {"id": arrival.wamid, "recipient_id": letter.recipient, "timestamp": str(int(time.time()))}
        if failed:
            error = {"code": UNDELIVERABLE, "title": "Message undeliverable"}
            status |= {"status": "failed", "errors": [error]}
        else:
            category = CATEGORY[letter.kind]
            kind = "regular" if letter.kind is not Kind.TEXT else "free_customer_service"
            pricing = {"billable": letter.kind is not Kind.TEXT, "pricing_model": "PMP", "type": kind, "category": category}
            status |= {"status": "delivered", "pricing": pricing}
        told = Told(what=status["status"], wamid=arrival.wamid, recipient=letter.recipient)
        self._books.statuses[arrival.wamid] = told
        self._soon(told, {"statuses": [status]})

    def wrote(self, recipient: str) -> None:
        """A user writes to us."""
        message = {
            "from": recipient,
            "id": f"wamid.in.{recipient}",
            "timestamp": str(int(time.time())),
            "type": "text",
            "text": {"body": "hello"},
        }
        self._soon(Told(what="wrote", wamid="", recipient=recipient), {"contacts": [{"wa_id": recipient}], "messages": [message]})

    def _soon(self, told: Told, value: dict[str, Any]) -> None:
        self.open += 1
        self._books.told.append(told)
        asyncio.get_running_loop().call_later(self._random.uniform(0, 0.3), self._queue.put_nowait, (told, value))

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=4)) as session, asyncio.TaskGroup() as group:
            for _ in range(TELLERS):
                group.create_task(self._tell(session))

    async def _tell(self, session: aiohttp.ClientSession) -> None:
        while True:
            told, value = await self._queue.get()
            whole = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, **value}
            entry = {"id": WABA, "changes": [{"field": "messages", "value": whole}]}
            body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
            signature = "sha256=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
            headers = {"X-Hub-Signature-256": signature, "Content-Type": "application/json"}
            while not told.at:
                told.tries, told.began = told.tries + 1, now()
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                    url = self._random.choice(self._urls()) + "/webhook"
                    async with session.post(url, data=body, headers=headers) as answer:
                        if answer.status == 200:
                            told.at = now()
                            continue
                await asyncio.sleep(0.15)
            self.open -= 1
            if told.what == "wrote":
                self.windows.append(told)
