"""
Own `gatekeeper replay`: a recorded history decided and settled by the very engine that serves, on a throwaway ledger.

Lines come out in the order of their `at`. A settlement may be older than the decisions before it, because webhooks come late, so the
output waits in a temporary file until the history has been read.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, BinaryIO

import msgspec
from tqdm import tqdm

from gatekeeper.core.data import data_dir
from gatekeeper.core.decision import Decision, passed_unread, refused
from gatekeeper.core.errors import InputError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import Mode, Reason, Refusal, money
from gatekeeper.engine import Engine
from gatekeeper.ledger.embedded import EmbeddedLedger
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta.paths import gated
from gatekeeper.meta.responses import Answer, decode_answer
from gatekeeper.meta.rewriting import Written
from gatekeeper.meta.sends import MalformedSend, decode_send
from gatekeeper.meta.webhooks import NotAWebhook, events_of
from gatekeeper.settings import Settings
from gatekeeper.telemetry import Metrics

# A throwaway Redis has nobody else to answer, and a loaded machine may take its time.
_PATIENCE_MS = 60_000
_LAST_SECOND = 10**11
_encode = msgspec.json.Encoder().encode


class _Send(msgspec.Struct, kw_only=True):
    id: str
    path: str
    body: msgspec.Raw
    caller: str = ""
    wamid: str | None = None
    response: msgspec.Raw | None = None


class _FreeUsed(msgspec.Struct, kw_only=True):
    count: Annotated[int, msgspec.Meta(ge=0)]
    waba_id: str = ""
    phone_number_id: str = ""


class _Line(msgspec.Struct, kw_only=True):
    at: int | float
    webhook: Any = None
    send: _Send | None = None
    free_used: _FreeUsed | None = None


_decode = msgspec.json.Decoder(_Line).decode


class Summary:
    """What a history comes to."""

    def __init__(self) -> None:
        self.sends = self.blocked = self.charged = 0
        self.spend: Counter[str] = Counter()

    def fields(self) -> dict[str, Any]:
        """The summary's JSON fields."""
        spend = {currency: money(micros) for currency, micros in sorted(self.spend.items())}
        return {"event": "summary", "sends": self.sends, "blocked": self.blocked, "charged": self.charged, "spend": spend}


class Ordered:
    """Lines kept in a temporary file, to be given back in the order of their time; those of one time as they came."""

    def __init__(self) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self._index: list[tuple[float, int, int]] = []

    def add(self, at: float, line: dict[str, Any]) -> None:
        """Keep one line."""
        written = _encode(line)
        self._index.append((at, self._file.tell(), len(written)))
        self._file.write(written)

    def __iter__(self) -> Iterator[bytes]:
        for _, offset, length in sorted(self._index):
            self._file.seek(offset)
            yield self._file.read(length)

    def close(self) -> None:
        """Forget everything."""
        self._file.close()


async def replay(source: Iterable[bytes], name: str, settings: Settings, out: BinaryIO, *, total: int | None = None) -> Summary:
    """
    Decide the history *source* (JSON lines, in time order) and write decisions, settlements and a summary to *out*.

    InputError names *name* and the line. *total* is the input's size in bytes, for the progress bar; None: not known.
    """
    embedded = EmbeddedLedger(None)
    await embedded.start()
    ledger = Ledger(embedded.url, timeout_ms=_PATIENCE_MS)
    ordered = Ordered()
    try:
        engine = Engine(settings, Rulebook.load(data_dir("config")), ledger, Metrics(), complete=True)
        await engine.open_balances()
        run = _Run(engine, settings, ordered)
        with tqdm(total=total, unit="B", unit_scale=True, disable=None, file=sys.stderr, leave=False) as progress:
            for number, line in enumerate(source, 1):
                try:
                    await run.line(line)
                except (InputError, LookupError) as error:
                    raise InputError(f"{name}: line {number}: {error}") from None
                progress.update(len(line))
        out.writelines(written + b"\n" for written in ordered)
        out.write(_encode(run.summary.fields()) + b"\n")
        out.flush()
        return run.summary
    finally:
        ordered.close()
        await ledger.close()
        await embedded.stop()


class _Run:
    """One history on its way through the engine."""

    def __init__(self, engine: Engine, settings: Settings, out: Ordered) -> None:
        self._engine = engine
        self._enforce = settings.policy.mode is Mode.ENFORCE
        self._out = out
        self._latest = float("-inf")
        self._sends = 0
        self._currency: dict[str, str] = {}
        self.summary = Summary()

    async def line(self, text: bytes) -> None:
        if not text.strip():
            return
        try:
            line = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(str(error)) from None
        if sum(part is not None for part in (line.webhook, line.send, line.free_used)) != 1:
            raise InputError("has to hold one of webhook, send and free_used")
        if not 0 <= line.at < _LAST_SECOND:
            raise InputError(f"at {line.at} is not a time in Unix seconds")
        if line.at < self._latest:
            raise InputError(f"at {line.at} is before the line above it, at {self._latest}")
        self._latest = line.at
        now = round(line.at * 1000)
        if line.send is not None:
            await self._send(line.send, line.at, now)
        elif line.free_used is not None:
            used = line.free_used
            await self._engine.use_free(used.waba_id, used.phone_number_id, used.count, now=now)
        else:
            try:
                events = events_of(line.webhook)
            except NotAWebhook as error:
                raise InputError(f"webhook: {error}") from None
            self._settle(await self._engine.absorb(events, now=now))

    async def _send(self, send: _Send, at: float, now: int) -> None:
        target = gated(send.path)
        if target is None:
            raise InputError(f"send.path {send.path!r} is not a send's path")
        self.summary.sends += 1
        self._sends += 1
        try:
            read = decode_send(bytes(send.body), marketing_api=target.marketing_api)
        except MalformedSend as malformed:
            refusal = Refusal(code=malformed.code, title=malformed.title, details=malformed.details)
            decision = (refused if self._enforce else passed_unread)(Reason.MALFORMED_REQUEST, refusal=refusal)
            self._decided(send.id, at, decision)
            return
        decided = await self._engine.decide(
            read, target.phone_number_id, now=now, decision_id=send.id, caller=send.caller, written=Written(bytes(send.body))
        )
        self._currency[send.id] = decided.plan.account.currency
        self._decided(send.id, at, decided.decision)
        if not decided.decision.forwards:
            return
        answer = self._answer(send)
        if answer.wamid is None:
            await self._engine.released(decided, now=now)
        else:
            self._settle(await self._engine.accepted(decided, answer, now=now))

    @staticmethod
    def _answer(send: _Send) -> Answer:
        answer = (decode_answer(bytes(send.response)) if send.response is not None else None) or Answer()
        return answer if send.wamid is None else msgspec.structs.replace(answer, wamid=send.wamid)

    def _decided(self, send_id: str, at: float, decision: Decision) -> None:
        self.summary.blocked += not decision.forwards
        self._out.add(at, {"event": "decision", "id": send_id, "at": at, **decision.fields()})

    def _settle(self, settlements: list[Settlement]) -> None:
        for settled in settlements:
            at = settled.at // 1000 if settled.at % 1000 == 0 else settled.at / 1000
            self._out.add(at, {"event": "settlement", "id": settled.id, "at": at, **settled.fields()})
            if settled.charged:
                self.summary.charged += 1
                if settled.price is not None:  # what nobody knows is not nothing
                    self.summary.spend[self._currency[settled.id]] += settled.price
