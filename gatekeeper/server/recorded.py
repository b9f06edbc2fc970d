"""
Own what of the engine's course is recorded: each decision with what Meta answered, and each webhook that was taken in.

Everything that goes out or is heard passes the engine, whoever sends it, so it is recorded here and nowhere else. Dry runs are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from gatekeeper.core.accounts import Account, Template
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Settlement
from gatekeeper.engine import Decided, Engine
from gatekeeper.engine.reading import Reader
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta import events as meta
from gatekeeper.meta.lenient import Json
from gatekeeper.meta.paths import Target
from gatekeeper.meta.redaction import MALFORMED, Names, fits, kept_answer, kept_send, path_of
from gatekeeper.meta.responses import Answer
from gatekeeper.meta.retelling import payload_of
from gatekeeper.meta.rewriting import Written
from gatekeeper.meta.sends import INVALID_PARAMETER, Send
from gatekeeper.server.recording import Place, Recording
from gatekeeper.settings import Settings
from gatekeeper.telemetry import Metrics

_AGAIN_MS = 3_600_000  # so that a file without its predecessors says what its templates are
_TEMPLATES = 10_000
_REFUSED: Json = {"error": {}}


class Unread(Protocol):
    """Whoever is told of what is no send."""

    def __call__(self, code: int, target: Target, /, *, now: int, decision_id: str, caller: str) -> None:
        """Meta would refuse it with *code*."""


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """A send as it is written down, once its outcome is known; *news*: what Meta said of its template elsewhere."""

    id: str
    target: Target
    caller: str
    body: Callable[[Names], Json]
    news: Sequence[meta.Event] = ()

    def unanswered(self, names: Names) -> Iterator[Json]:
        """Meta was not asked, or nobody knows what it answered."""
        return self._told(names, {"unanswered": True})

    def refused(self, names: Names) -> Iterator[Json]:
        """Meta refused it, or it never got there."""
        return self._told(names, {"response": _REFUSED})

    def taken(self, names: Names, *, answer: Answer) -> Iterator[Json]:
        """Meta took it."""
        wamid = {} if answer.wamid is None else {"wamid": names.message(answer.wamid)}
        return self._told(names, {**wamid, "response": kept_answer(answer, names)})

    def _told(self, names: Names, outcome: Json) -> Iterator[Json]:
        payload = payload_of(self.news, names)
        if payload is not None:
            yield {"webhook": payload}
        caller = {"caller": self.caller} if self.caller else {}
        yield {"send": {"id": self.id, "path": path_of(self.target), "body": self.body(names), **caller, **outcome}}


class _Going(NamedTuple):
    """A send on its way."""

    place: Place
    line: _Line
    held: bool


class RecordedEngine(Engine):
    """An engine whose course is recorded."""

    def __init__(
        self,
        settings: Settings,
        book: Rulebook,
        ledger: Ledger,
        metrics: Metrics,
        *,
        recording: Recording,
        reader: Reader | None = None,
    ) -> None:
        super().__init__(settings, book, ledger, metrics, reader=reader)
        self._recording = recording
        self._going: dict[str, _Going] = {}
        self._told: dict[tuple[str, str, str], tuple[object, int]] = {}

    async def decide(
        self,
        send: Send,
        phone_number_id: str,
        *,
        now: int,
        decision_id: str,
        commit: bool = True,
        caller: str = "",
        written: Written | None = None,
    ) -> Decided:
        """Decide one send, which has its place from the moment that the ledger is asked: it answers in that order, or nearly."""
        place = self._recording.begin(now) if commit else None
        try:
            decided = await super().decide(
                send, phone_number_id, now=now, decision_id=decision_id, commit=commit, caller=caller, written=written
            )
        except BaseException:
            if place is not None:
                place.withdraw()
            raise
        if place is None:
            return decided
        line = _Line(
            id=decision_id,
            target=Target(phone_number_id, send.marketing_api),
            caller=caller,
            body=partial(kept_send, send, fits=fits(written)),
            news=self._news(decided.number.account, decided.plan.template, now=now),
        )
        if decided.decision.forwards:
            self._going[decision_id] = _Going(place, line, decided.held)
            task = asyncio.current_task()
            assert task is not None
            task.add_done_callback(lambda _: self._ended(decision_id))
        else:
            place.end(line.unanswered)
        return decided

    def unread(self, code: int, target: Target, *, now: int, decision_id: str, caller: str) -> None:
        """Record what is no send: a body that Meta refuses with the same code stands for it."""
        body = MALFORMED.get(code, MALFORMED[INVALID_PARAMETER])
        line = _Line(id=decision_id, target=target, caller=caller, body=lambda _: body)
        self._recording.begin(now).end(line.unanswered)

    async def accepted(self, decided: Decided, answer: Answer, *, now: int) -> list[Settlement]:
        """Follow up that Meta took the send."""
        going = self._going.pop(decided.facts.id, None)
        if going is not None:
            nameless = going.held and answer.wamid is None  # what is held then nobody will ever settle
            going.place.end(going.line.unanswered if nameless else partial(going.line.taken, answer=answer))
        return await super().accepted(decided, answer, now=now)

    async def released(self, decided: Decided, *, now: int) -> None:
        """Follow up that the send did not get through."""
        going = self._going.pop(decided.facts.id, None)
        if going is not None:
            going.place.end(going.line.refused)
        await super().released(decided, now=now)

    async def absorb(self, events: Sequence[meta.Event], *, now: int) -> list[Settlement]:
        """Take in what a webhook says; its place is where it was heard."""
        place = self._recording.begin(now, len(events))
        try:
            settlements = await super().absorb(events, now=now)
        except BaseException:  # Meta says it again
            place.withdraw()
            raise
        place.end(partial(_webhook, events))
        return settlements

    def _ended(self, decision_id: str) -> None:
        """Write down a send whose course ended without a word of what Meta answered."""
        going = self._going.pop(decision_id, None)
        if going is not None:
            going.place.end(going.line.unanswered)

    def _news(self, account: Account, template: Template | None, *, now: int) -> Sequence[meta.Event]:
        """What a replay could not know of a template: what Meta's own list said of it, now and then."""
        if template is None or _known(template) in map(_known, account.template):
            return ()
        key, said = (account.waba_id, template.name, template.language), _known(template)
        told, at = self._told.get(key, (None, 0))
        if told == said and now - at < _AGAIN_MS:
            return ()
        if len(self._told) >= _TEMPLATES:
            del self._told[next(iter(self._told))]
        self._told[key] = said, now
        return _as_told(account.waba_id, template)


def _known(template: Template) -> tuple[object, ...]:
    return template.name, template.language, template.status, template.category, template.pending


def _as_told(waba_id: str, template: Template) -> list[meta.Event]:
    """What is known of a template, as webhooks would have told it."""
    status, category, pending = template.status.value, template.category, template.pending
    told: list[meta.Event] = [
        meta.TemplateStatus(
            waba_id=waba_id,
            name=template.name,
            language=template.language,
            event=status,
            category=category.value if category else None,
        )
    ]
    if category is not None and pending not in (None, category):
        assert pending is not None
        told.append(
            meta.TemplateCategory(
                waba_id=waba_id,
                name=template.name,
                language=template.language,
                category=category.value,
                impending=pending.value,
            )
        )
    return told


def _webhook(events: Sequence[meta.Event], names: Names) -> Iterable[Json]:
    payload = payload_of(events, names)
    return () if payload is None else ({"webhook": payload},)
