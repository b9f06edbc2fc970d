"""
Own `Idempotency-Key`: a repeat with the same key and body gets the first answer, and nothing is sent twice.

The scope of a key is the phone number and the caller. Where no `[[caller]]` proves who calls, the token that a send brings takes part: a
send with another one is somebody else's, and never gets the first one's answer. Of a token only a digest is kept, in the key's name.

While the first is on its way its repeats wait for it. What could not be read as a send uses up no key: it is refused again as it was
before, and no record of it stays. Nor is an answer kept that asks to try again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec

from gatekeeper.core.errors import LedgerError
from gatekeeper.core.vocabulary import REFUSALS, Reason, Refusal
from gatekeeper.engine import Engine
from gatekeeper.ledger import calls, keys
from gatekeeper.server.replies import Reply

HEADER = "Idempotency-Key"
REPLAYED = "Gatekeeper-Idempotent-Replay"
_TOO_MANY, _SERVER_ERROR = 429, 500
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.25
_LOST = "unknown"
_UNKNOWN = (
    "The outcome of the first send with this Idempotency-Key is not known: it may have arrived. It was not sent again. "
    "Its Gatekeeper-Id is {id}, its reservation is {state}."
)
_WAITED = "The first send with this Idempotency-Key has not been answered yet."


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """An answer as it is given again."""

    status: int
    reason: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Conclusion(StrEnum):
    """What becomes of a key: its answer is given again, nobody knows what it would be, or the next send is the first."""

    ANSWERED = "answered"
    LOST = "lost"
    FREE = "free"


Sending = Callable[[], Awaitable[tuple[Reply, Conclusion]]]
Scope = tuple[str, ...]
Refusing = Callable[[Refusal, Reason], Reply]
Owing = Callable[[Callable[[], Awaitable[object]]], None]
_kept = msgspec.msgpack.Decoder(Kept).decode


class Repeats:
    """Sends a message once for each key."""

    def __init__(self, engine: Engine, *, patience_ms: int, now: Callable[[], int], owe: Owing) -> None:
        """*patience_ms*: how long the first may take. *owe* keeps what the ledger could not be told until it can be."""
        self._owe = owe
        self._engine = engine
        self._patience = patience_ms
        self._now = now

    async def once(
        self,
        phone_number_id: str,
        key: str,
        content: tuple[bytes, ...],
        *,
        scope: Scope,
        owner: str,
        send: Sending,
        refuse: Refusing,
    ) -> Reply:
        """
        Send if this is the first, else answer as the first was answered.

        *scope*: the caller, and the tokens that stand for one that nothing proves. *content*: what makes two sends the same one.
        """
        try:
            number = await self._engine.directory.number(phone_number_id)
            caller, *rights = (part.encode("utf-8", "replace") for part in scope)
            name = keys.repeat(number.tag, phone_number_id, _digest(caller, key.encode("utf-8", "replace"), *rights))
            claimed = await self._claimed(name, owner, _digest(*content), let_go=lambda: self._tell(name, owner, Conclusion.FREE))
            outcome, first = (part.decode() for part in claimed[:2])
            state = await self._state(number.tag, first) if outcome == _LOST else ""
        except LedgerError:
            return refuse(REFUSALS[Reason.LEDGER_UNAVAILABLE], Reason.LEDGER_UNAVAILABLE)
        if outcome == "first":
            return await self._first(name, owner, send)
        if outcome == "answered":
            return _again(_kept(claimed[2]))
        refusal = REFUSALS[Reason.IDEMPOTENCY_CONFLICT]
        if outcome != "conflict":
            details = _UNKNOWN.format(id=first, state=state) if outcome == _LOST else _WAITED
            refusal = msgspec.structs.replace(refusal, details=details)
        return refuse(refusal, Reason.IDEMPOTENCY_CONFLICT)

    async def _state(self, tag: str, decision_id: str) -> str:
        """What became of the reservation of a send without an answer: a status may have told of it since."""
        key = keys.reservation(tag, decision_id)
        [state] = await self._engine.ledger.ask(key, ("HGET", key, "state"))
        return state.decode() if state else "not there any more"

    async def _claimed(self, name: str, owner: str, digest: str, *, let_go: Callable[[], Awaitable[object]]) -> list[bytes]:
        """
        Ask until the first is answered, or as long as it may take.

        A claim that was made and not heard of is *let_go* later, or the key would be taken by a send that never was.
        """
        loop, wait = asyncio.get_running_loop(), _FIRST_WAIT_S
        deadline = loop.time() + self._patience / 1000
        while True:
            call = calls.claim(name, now=self._now(), owner=owner, digest=digest, patience=self._patience)
            there = self._engine.ledger.up
            try:
                claimed: list[bytes] = (await self._engine.ledger.run([call]))[0]
            except LedgerError:
                if there:
                    self._owe(let_go)
                raise
            if claimed[0] != b"waiting" or loop.time() > deadline:
                return claimed
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _first(self, name: str, owner: str, send: Sending) -> Reply:
        reply, outcome = await send()
        if outcome is Conclusion.ANSWERED and (reply.status == _TOO_MANY or reply.status >= _SERVER_ERROR):
            outcome = Conclusion.FREE
        await self._conclude(name, owner, outcome, _keeping(reply) if outcome is Conclusion.ANSWERED else b"")
        return reply

    async def _conclude(self, name: str, owner: str, outcome: Conclusion, answer: bytes = b"") -> None:
        try:
            await self._tell(name, owner, outcome, answer)
        except LedgerError:  # until it is told, a repeat waits, or hears that nobody knows
            self._owe(lambda: self._tell(name, owner, outcome, answer))

    async def _tell(self, name: str, owner: str, outcome: Conclusion, answer: bytes = b"") -> None:
        await self._engine.ledger.run([calls.conclude(name, owner=owner, outcome=outcome, answer=answer)])


def _keeping(reply: Reply) -> bytes:
    headers = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in reply.headers]
    return msgspec.msgpack.encode(Kept(reply.status, reply.words, headers, reply.body))


def _again(kept: Kept) -> Reply:
    headers = [(name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in kept.headers]
    return Reply(kept.status, kept.body, [*headers, (REPLAYED, "true")], kept.reason)


def _digest(*parts: bytes) -> str:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8))
        hashed.update(part)
    return hashed.hexdigest()
