"""The callers: what they send, to which gate, and when they send it again."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from books import MICROS, Attempt, Books, Kind, Letter, Says, now
from house import Gate
from meta import NUMBER, Teller

SENDERS = 6
PAUSE_S = 0.1
REPEATS = 6
CALLER_SENDS = 150
KEYED, TEXTS, OPEN = 0.4, 0.25, 0.7
CUSTOMERS = 400
NOT_SENT, NOT_KNOWN, GATE_FAILED = "It was not sent.", "Whether it was sent is not known", "The gate failed on this request"
DECIDE = re.compile(r"decide;dur=([\d.]+)")


class Load:
    """Senders that run through everything, and stop between two letters when they are asked to."""

    def __init__(self, gates: list[Gate], books: Books, teller: Teller, rng: random.Random) -> None:
        self.gates, self.books, self.teller, self.random = gates, books, teller, rng
        self.going, self.busy = asyncio.Event(), 0
        self._written = 0
        self._posted: set[asyncio.Task[None]] = set()
        self._users = 0

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=15)
        async with (
            aiohttp.ClientSession(timeout=timeout) as lasting,
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True, limit=0)) as fresh,
            asyncio.TaskGroup() as group,
        ):
            self._fresh = fresh
            for n in range(SENDERS):
                group.create_task(self._sender(fresh if n % 2 else lasting))
            group.create_task(self._customers())
            self.going.set()

    async def pause(self) -> None:
        """Let every letter come to its end, and everything about it be told."""
        self.going.clear()
        async with asyncio.timeout(60):
            while self.busy or self.teller.open:  # noqa: ASYNC110 - two counts, seldom
                await asyncio.sleep(0.01)

    async def _customers(self) -> None:
        """Users write, and write to us again when there are enough of them only after the ledger forgot."""
        while True:
            await self.going.wait()
            if len(self.teller.windows) < CUSTOMERS:
                self._users += 1
                self.teller.wrote(f"4917{self._users:08d}")
            await asyncio.sleep(0.15)

    async def _sender(self, session: aiohttp.ClientSession) -> None:
        while True:
            await self.going.wait()
            self.busy += 1
            try:
                await self.deliver(self._letter(), session)
            finally:
                self.busy -= 1
            await asyncio.sleep(self.random.expovariate(1 / PAUSE_S))

    def _letter(self) -> Letter:
        windows = self.teller.windows
        if self.random.random() < TEXTS:
            window = self.random.choice(windows) if windows and self.random.random() < OPEN else None
            letter = self.write(Kind.TEXT, window.recipient if window else None)
            letter.window = window
        else:
            letter = self.write(self.random.choice((Kind.UTILITY, Kind.MARKETING)))
        letter.key = f"key-{letter.marker}" if self.random.random() < KEYED else None
        return letter

    def write(self, kind: Kind, recipient: str | None = None) -> Letter:
        """Write a letter; without a recipient to one who gets no other."""
        self._written += 1
        n = self._written
        letter = Letter(f"m{n}", kind, recipient or f"4915{n:09d}", caller=f"team-{n // CALLER_SENDS}")
        self.books.letters[letter.marker] = letter
        return letter

    def post(self, gate: Gate) -> None:
        """Send one letter by one gate without waiting for its answer, so that somebody meets what is there now."""

        async def posted() -> None:
            try:
                await self.probe(gate)
            finally:
                self.busy -= 1

        self.busy += 1
        task = asyncio.ensure_future(posted())
        self._posted.add(task)
        task.add_done_callback(self._posted.discard)

    async def probe(self, gate: Gate, kind: Kind = Kind.MARKETING) -> Attempt:
        """Send one letter by one gate, over a connection of its own."""
        letter = self.write(kind)
        attempt = await self._attempt(letter, gate, self._fresh)
        letter.done = True
        return attempt

    async def deliver(self, letter: Letter, session: aiohttp.ClientSession) -> None:
        """Send a letter as a sensible caller does: again where nothing can be sent twice, and else only to who answers the door."""
        gates = self.random.sample(self.gates, len(self.gates))
        for n in range(REPEATS):
            attempt = await self._knocked(letter, gates, session)
            again = letter.key and attempt.says in AGAIN and attempt.reason != "idempotency_conflict"
            if not (again and (attempt.status in (0, 429) or attempt.status >= 500)):
                break
            await asyncio.sleep(self.random.uniform(0.05, 0.2) * (n + 1))
        letter.done = True

    async def _knocked(self, letter: Letter, gates: list[Gate], session: aiohttp.ClientSession) -> Attempt:
        while True:
            for gate in gates:
                attempt = await self._attempt(letter, gate, session)
                if attempt.says is not Says.REFUSED:
                    return attempt
            await asyncio.sleep(0.05)

    async def _attempt(self, letter: Letter, gate: Gate, session: aiohttp.ClientSession) -> Attempt:
        tag = f"{letter.marker}/{len(letter.attempts)}"
        attempt = Attempt(letter, tag, gate.name, began=now(), lasting=session is not self._fresh)
        letter.attempts.append(attempt)
        headers = {"X-Attempt": tag, "Gatekeeper-Caller": letter.caller, "Content-Type": "application/json"}
        if letter.key:
            headers["Idempotency-Key"] = letter.key
        try:
            async with session.post(f"{gate.url}/v23.0/{NUMBER}/messages", data=_body(letter), headers=headers) as answer:
                read(attempt, answer.status, answer.headers, await answer.text())
        except aiohttp.ClientConnectorError:
            attempt.says = Says.REFUSED
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            attempt.error = type(error).__name__
        attempt.ended = now()
        if attempt.price and attempt.state == "warm":
            self.books.prices[letter.kind] = attempt.price
        return attempt


AGAIN = (Says.NOTHING, Says.UNKNOWN, Says.NOT_SENT)


def _body(letter: Letter) -> bytes:
    body: dict[str, Any] = {"messaging_product": "whatsapp", "to": letter.recipient}
    if letter.kind is Kind.TEXT:
        body |= {"type": "text", "text": {"body": letter.marker}}
    else:
        body |= {"type": "template", "template": {"name": letter.kind.value, "language": {"code": "en_US"}}}
    return json.dumps(body | {"biz_opaque_callback_data": letter.marker}).encode()


def read(attempt: Attempt, status: int, headers: Any, text: str) -> None:
    """Read from an answer what it says, as its caller has to."""
    attempt.status = status
    attempt.id, attempt.verdict = headers.get("Gatekeeper-Id", ""), headers.get("Gatekeeper-Verdict", "")
    attempt.reason, attempt.state = headers.get("Gatekeeper-Reason", ""), headers.get("Gatekeeper-State", "")
    attempt.replayed = "Gatekeeper-Idempotent-Replay" in headers
    if price := headers.get("Gatekeeper-Price"):
        attempt.price = round(float(price) * MICROS)
    if decided := DECIDE.search(headers.get("Server-Timing", "")):
        attempt.decide_ms = float(decided[1])
    try:
        error = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        attempt.says = Says.TAKEN if status < 300 else Says.UNKNOWN
        attempt.details = text[:80]
        return
    attempt.details = error.get("error_data", {}).get("details", "")
    attempt.ours = bool(error.get("error_data"))
    attempt.says = Says.UNKNOWN if NOT_KNOWN in attempt.details else Says.NOT_SENT


async def until_well(
    load: Load, gates: list[Gate], patience_s: float, ready: Callable[[], Awaitable[bool]] | None = None
) -> bool:
    """Send letters until each gate, and whichever worker takes them, decides by the ledger and gets them to Meta."""
    deadline = now() + patience_s
    for gate in gates:
        good, wanted = 0, 1 if gate.workers == 1 else 4
        while good < wanted:
            attempt = await load.probe(gate)
            well = attempt.says is Says.TAKEN and attempt.state not in ("degraded", "")
            good = good + 1 if well else 0
            if now() > deadline:
                return False
            if not well:
                await asyncio.sleep(0.03)
    return ready is None or await ready()
