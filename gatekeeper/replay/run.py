"""Own a history's way through the very engine that serves, on a throwaway ledger: what is decided, held and settled."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from gatekeeper.core.data import data_dir
from gatekeeper.core.decision import Decision, passed_unread, refused
from gatekeeper.core.errors import InputError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import Reason, Refusal
from gatekeeper.engine import Engine
from gatekeeper.ledger.embedded import EmbeddedLedger
from gatekeeper.ledger.keys import RESERVATION_MS
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta import events as meta
from gatekeeper.meta.paths import gated
from gatekeeper.meta.responses import Answer
from gatekeeper.meta.rewriting import Written
from gatekeeper.meta.sends import MalformedSend, decode_send
from gatekeeper.replay.history import FreeUsed, Line, Sent
from gatekeeper.settings import Settings
from gatekeeper.telemetry import Metrics

# A throwaway Redis has nobody else to answer, and a loaded machine may take its time.
_PATIENCE_MS = 60_000
_NEVER_NAMED = "gatekeeper.unanswered."  # begins no id of Meta's, so no status settles what is held under it


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a line came to: the decision on a send, and what was settled by it."""

    decision: Decision | None = None
    settlements: Sequence[Settlement] = ()


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Run]:
    """Run an engine with these settings, on a ledger of its own that goes when the block ends."""
    embedded = EmbeddedLedger(None)
    await embedded.start()
    ledger = Ledger(embedded.url, timeout_ms=_PATIENCE_MS)
    try:
        engine = Engine(settings, Rulebook.load(data_dir("config")), ledger, Metrics(), complete=True)
        await engine.balances.open()
        yield Run(engine)
    finally:
        await ledger.close()
        await embedded.stop()


class Run:
    """One history on its way through an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unsent: dict[str, int] = {}

    async def take(self, line: Line) -> Taken:
        """Let one line happen; InputError, LookupError."""
        happened, now = line.happened, line.now
        if isinstance(happened, Sent):
            return await self._send(happened, now)
        if isinstance(happened, FreeUsed):
            await self._engine.balances.use_free(happened.waba_id, happened.phone_number_id, happened.count, now=now)
            return Taken()
        return Taken(settlements=await self._engine.absorb(self._heard(happened, now), now=now))

    async def _send(self, send: Sent, now: int) -> Taken:
        target = gated(send.path)
        if target is None:
            raise InputError(f"send.path {send.path!r} is not a send's path")
        answer = send.answer
        try:
            read = decode_send(bytes(send.body), marketing_api=target.marketing_api)
        except MalformedSend as malformed:
            refusal = Refusal(code=malformed.code, title=malformed.title, details=malformed.details)
            decision = (refused if self._engine.enforces else passed_unread)(Reason.MALFORMED_REQUEST, refusal=refusal)
            return self._stopped(decision, answer, now)
        decided = await self._engine.decide(
            read, target.phone_number_id, now=now, decision_id=send.id, caller=send.caller, written=Written(bytes(send.body))
        )
        if not decided.decision.forwards:
            return self._stopped(decided.decision, answer, now)
        if answer.wamid is None and send.unanswered:
            answer = msgspec.structs.replace(answer, wamid=_NEVER_NAMED + send.id)
        if answer.wamid is None:
            await self._engine.released(decided, now=now)
            return Taken(decision=decided.decision)
        return Taken(decision=decided.decision, settlements=await self._engine.accepted(decided, answer, now=now))

    def _stopped(self, decision: Decision, answer: Answer, now: int) -> Taken:
        """Remember a message that did not go out here, though in the history it did."""
        if answer.wamid is not None and not decision.forwards:
            self._unsent[answer.wamid] = now
        return Taken(decision=decision)

    def _heard(self, events: Sequence[meta.Event], now: int) -> Sequence[meta.Event]:
        """Leave out what became of messages that did not go out here: Meta could not have said it."""
        while self._unsent and (oldest := next(iter(self._unsent.items())))[1] < now - RESERVATION_MS:
            del self._unsent[oldest[0]]
        return [event for event in events if not (isinstance(event, meta.Status) and event.wamid in self._unsent)]
