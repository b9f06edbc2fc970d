"""
Own what a caller is told of a text that waits: the 202 for it, the refusal where it cannot wait, and where it is later on.

The recipient is asked to answer by the first text's own request, with its own token. Nothing waits of which Meta did not take that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from aiohttp import web

from gatekeeper.core.decision import SECOND_MS, Decision
from gatekeeper.core.errors import LedgerError
from gatekeeper.core.holding import told
from gatekeeper.core.recipients import digits, is_bsuid
from gatekeeper.core.vocabulary import REFUSALS, Reason, Refusal, State, Verdict
from gatekeeper.engine import Decided, Engine
from gatekeeper.engine.holding import Holding, Request, Waiting, insisted
from gatekeeper.ledger.holding import Place, Step
from gatekeeper.meta.rewriting import Written, as_question, carries_rights
from gatekeeper.meta.sends import Send, decode_send
from gatekeeper.server.course import Course, described
from gatekeeper.server.http import Request as Asked
from gatekeeper.server.http import onward
from gatekeeper.server.replies import Reply, fault, refusal_reply
from gatekeeper.telemetry import FAULT, HELD, Metrics

PATH = "/gatekeeper/held/"
_ID, _UNTIL = "Gatekeeper-Held", "Gatekeeper-Held-Until"
_ACCEPTED = 202
_TRACE = "gatekeeper-held"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.25
_FULL = "As many messages as this gate holds wait for this recipient already; this one was not kept."
_LARGE = "The message is larger than this gate holds until the recipient answers; it was not kept."
_BUSY = "The template that asks this recipient to answer is still on its way; send this again."
_RIGHTS = "This gate holds no message whose body carries an access token; use the Authorization header."
_NOT_KEPT = (
    "The template that asks the recipient to answer went out, but the ledger is out of reach, so the message was not kept. "
    "Send it again once the recipient has answered."
)
_encode = msgspec.json.Encoder().encode

Forwarding = Callable[[Decided], Awaitable[Reply]]
Refusing = Callable[[Refusal], Reply]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A send that may wait: as it was made, read and decided, and how the gate lets a send out or refuses one."""

    request: Asked
    body: bytes
    send: Send
    written: Written
    decided: Decided
    dry: bool
    forward: Forwarding
    refuse: Refusing
    record: Callable[[Decision], None]

    def advised(self, advice: str) -> Reply:
        """Refuse it for the window, and say why it does not wait."""
        refusal = REFUSALS[Reason.OUTSIDE_CUSTOMER_SERVICE_WINDOW]
        return self.refuse(msgspec.structs.replace(refusal, details=f"{refusal.details} {advice}"))

    def declined(self) -> Reply:
        """Refuse it as if nothing ever waited."""
        return self.refuse(REFUSALS[Reason.OUTSIDE_CUSTOMER_SERVICE_WINDOW])


class Held:
    """Lets sends wait for their recipients."""

    def __init__(self, engine: Engine, holding: Holding, metrics: Metrics, log: Any, now: Callable[[], int]) -> None:
        self._engine = engine
        self._holding = holding
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now

    async def hold(self, wish: Wish, course: Course) -> Reply:
        """Keep a send until its recipient answers; the first of them asks for that."""
        hold, request = wish.decided.hold, wish.request
        assert hold is not None
        if len(wish.body) > hold.max_bytes:
            return wish.advised(_LARGE)
        if carries_rights(wish.written):
            return wish.advised(_RIGHTS)
        kept = Request(request.method, request.raw_path, onward(request), wish.body, course.caller)
        text = self._holding.waiting(wish.decided, hold, kept, now=self._now())
        try:
            place, named = await self._placed(text, course, dry=wish.dry)
        except LedgerError as error:
            self._unkept(error, course)
            return wish.declined()
        if place is Place.FIRST:
            return await self._first(wish, course, text)
        if place is Place.JOINED or (wish.dry and place is Place.BUSY):
            return self._answered(wish, course, wish.decided.decision, text, named)
        if place is Place.FULL:
            self._metrics.held_texts.labels("full").inc()
        return wish.advised(_FULL if place is Place.FULL else _BUSY)

    async def _placed(self, text: Waiting, course: Course, *, dry: bool) -> tuple[Place, str]:
        """
        Join those that wait, or become the first; while another one is asking, wait for what becomes of that.

        That takes half of the time that this send has: if it becomes the first, the other half is for Meta's answer.
        """
        if dry:
            return await self._holding.queue(text, Step.LOOK, now=self._now())
        loop, wait = asyncio.get_running_loop(), _FIRST_WAIT_S
        assert course.ends is not None
        half = (loop.time() + course.ends) / 2
        while True:
            place, named = await self._holding.queue(text, Step.ASK, now=self._now())
            if place is not Place.BUSY or loop.time() > half:
                return place, named
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _first(self, wish: Wish, course: Course, text: Waiting) -> Reply:
        """Ask the recipient to answer, and let the text wait for that."""
        asking = await self._asking(wish, course)
        if asking is None:
            await self._gave_up(text, dry=wish.dry)
            return wish.declined()
        if wish.dry:
            return self._answered(wish, course, asking.decision, text, "")
        response = await wish.forward(asking)
        if course.taken is None:
            await self._gave_up(text, dry=False)
            return response
        contact = course.taken.contacts[0] if course.taken.contacts else None
        named = ((contact.wa_id or contact.user_id) if contact else None) or ""
        try:
            await insisted(lambda: self._holding.queue(text, Step.ASKED, now=self._now(), named=named))
        except LedgerError as error:
            self._unkept(error, course)
            refusal = msgspec.structs.replace(REFUSALS[Reason.LEDGER_UNAVAILABLE], details=_NOT_KEPT)
            return refusal_reply(refusal, trace=course.id, headers=course.headers(asking.decision))
        return self._answered(wish, course, asking.decision, text, named, recorded=True)

    async def _asking(self, wish: Wish, course: Course) -> Decided | None:
        """Decide the template that asks; None: it may not go out either."""
        hold, number = wish.decided.hold, wish.decided.number
        assert hold is not None
        body = as_question(wish.written, name=hold.template, language=hold.language, text_parameter=hold.text_parameter)
        if body is None:
            return None
        asking = await self._engine.decide(
            decode_send(body),
            number.phone_number_id,
            now=self._now(),
            decision_id=course.id,
            commit=not wish.dry,
            caller=course.caller,
        )
        if not asking.decision.forwards or asking.decision.state is State.DEGRADED:
            return None
        decision = msgspec.structs.replace(asking.decision, verdict=Verdict.REWRITE, template=hold.template)
        return msgspec.structs.replace(asking, decision=decision, body=body)

    async def _gave_up(self, text: Waiting, *, dry: bool) -> None:
        if dry:
            return
        try:
            await self._holding.queue(text, Step.GAVE_UP, now=self._now())
        except LedgerError:
            return  # then the next one waits a while before it asks

    def _unkept(self, error: LedgerError, course: Course) -> None:
        self._log.warning(FAULT, source=error.source, what="a message could not be held", error=str(error), id=course.id)

    def _answered(
        self, wish: Wish, course: Course, decision: Decision, text: Waiting, named: str, *, recorded: bool = False
    ) -> Reply:
        """Say that a send waits; a dry run, that it would."""
        if not recorded:
            wish.record(decision)
        headers = course.headers(decision)
        if wish.dry:
            return Reply.json(_encode(described(course, decision, self._now()) | {"held": True}), headers=headers)
        self._metrics.held_texts.labels("held").inc()
        self._log.info(HELD, id=text.id, decision=course.id, until=text.deadline // SECOND_MS)
        body = {
            "messaging_product": "whatsapp",
            "contacts": [_contact(wish.send.to or wish.send.recipient or "", named)],
            "messages": [{"id": f"gatekeeper.{text.id}", "message_status": "held"}],
        }
        headers |= {_ID: text.id, _UNTIL: str(text.deadline // SECOND_MS), "Location": PATH + text.id}
        return Reply.json(_encode(body), status=_ACCEPTED, headers=headers)

    def serves(self, path: str) -> bool:
        """Whether a path is ours to answer."""
        return self._holding.serves and path.startswith(PATH)

    async def status(self, request: web.BaseRequest) -> Reply:
        """Say where a text is, to who knows its id."""
        if request.method not in ("GET", "HEAD"):
            refusal = fault(405, "Unsupported request", "Where a held message is can only be asked for.")
            return refusal_reply(refusal, trace=_TRACE, headers={"Allow": "GET, HEAD"})
        text_id = request.path.removeprefix(PATH)
        try:
            found = await self._holding.told(text_id)
        except LedgerError:
            return refusal_reply(REFUSALS[Reason.LEDGER_UNAVAILABLE], trace=_TRACE, headers={"Retry-After": "1"})
        if found is None:
            refusal = fault(404, "Unknown message", "No message was held under this id, or it is too long ago.")
            return refusal_reply(refusal, trace=_TRACE)
        state = told(found.state, deadline=found.deadline, lease=found.lease, now=self._now())
        said = {"id": text_id, "state": state, "until": found.deadline // SECOND_MS, "wamid": found.wamid, "code": found.code}
        return Reply.json(_encode(said), headers={"Cache-Control": "no-store"})


def _contact(dialled: str, named: str) -> dict[str, str]:
    """A recipient as Meta's answer to a send has it."""
    name = named or digits(dialled) or dialled
    return {"input": dialled, "user_id" if is_bsuid(name) else "wa_id": name}
