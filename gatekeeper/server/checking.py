"""Own `POST /v1/check`: what would be decided of a send, and everything that is looked at for it. Nothing is sent or reserved."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from gatekeeper.core.decision import SECOND_MS, Decision, passed_unread, refused
from gatekeeper.core.explanation import REFUSES, Looked
from gatekeeper.core.vocabulary import Reason, Refusal
from gatekeeper.engine import Engine
from gatekeeper.meta.rewriting import Written
from gatekeeper.meta.sends import MalformedSend, decode_send
from gatekeeper.server.callers import CHALLENGE, REFUSALS, Callers
from gatekeeper.server.lending import hold_body_plain, lender

_MOST = 500
_LAST_SECOND = 253_370_764_800  # the year 9999, whose months our calendar does not see the end of


class _Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One send to check; *at* in Unix seconds, None: now."""

    phone_number_id: str
    body: msgspec.Raw
    caller: str = ""
    marketing_messages: bool = False
    at: int | None = None


_questions = msgspec.json.Decoder(_Question | list[_Question]).decode


class Checking:
    """Answers what would become of sends."""

    def __init__(self, engine: Engine, callers: Callers, now: Callable[[], int]) -> None:
        self._engine = engine
        self._callers = callers
        self._now = now

    async def answer(self, request: web.Request) -> web.Response:
        """An object answers an object, a list a list."""
        try:
            asked = _questions(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise web.HTTPBadRequest(text=f"The body is not a send to check, or a list of them: {error}") from None
        listed = asked if isinstance(asked, list) else [asked]
        if len(listed) > _MOST:
            raise web.HTTPBadRequest(text=f"At most {_MOST} sends are checked at once.")
        answers = [await self._checked(one) for one in [self._admitted(request, one) for one in listed]]
        return web.json_response(body=msgspec.json.encode(answers if isinstance(asked, list) else answers[0]))

    def _admitted(self, request: web.Request, question: _Question) -> _Question:
        """The question as its caller may ask it, under the caller's own name."""
        if not (question.phone_number_id.isascii() and question.phone_number_id.isdigit()):
            raise web.HTTPBadRequest(text="phone_number_id is an id of digits.")
        admission = self._callers.admitted(request.headers, question.caller, (question.phone_number_id,))
        if admission.why is None:
            return msgspec.structs.replace(question, caller=admission.caller)
        self._callers.told(admission, question.phone_number_id)
        refusal = REFUSALS[admission.why]
        if refusal.http_status == HTTPStatus.FORBIDDEN:
            raise web.HTTPForbidden(text=refusal.details)
        raise web.HTTPUnauthorized(text=refusal.details, headers={"WWW-Authenticate": CHALLENGE})

    async def _checked(self, question: _Question) -> dict[str, Any]:
        if question.at is not None and not 0 <= question.at < _LAST_SECOND:
            raise web.HTTPBadRequest(text="at is a time in Unix seconds.")
        now = self._now() if question.at is None else question.at * SECOND_MS
        check_id, body = secrets.token_hex(12), bytes(question.body)
        lends = lender(self._engine.directory.named(question.phone_number_id)) is not None
        try:
            send = decode_send(body, marketing_api=question.marketing_messages)
            if lends:
                hold_body_plain(Written(body))
        except MalformedSend as malformed:
            refusal = Refusal(code=malformed.code, title=malformed.title, details=malformed.details)
            decision = (refused if self._engine.enforces or lends else passed_unread)(Reason.MALFORMED_REQUEST, refusal=refusal)
            looked = [Looked(looked_at="platform", name=Reason.MALFORMED_REQUEST, outcome=REFUSES, why=malformed.details)]
            return _described(check_id, now, decision, looked)
        try:
            decided = await self._engine.decide(
                send,
                question.phone_number_id,
                now=now,
                decision_id=check_id,
                commit=False,
                caller=question.caller,
                written=Written(body),
            )
        except LookupError as error:
            raise web.HTTPBadRequest(text=f"at: {error}") from None
        return _described(check_id, now, decided.decision, self._engine.explained(decided))


def _described(check_id: str, now: int, decision: Decision, looked: list[Looked]) -> dict[str, Any]:
    return {
        "event": "decision",
        "id": check_id,
        "at": now // SECOND_MS,
        **decision.fields(),
        "rule": decision.rule,
        "template": decision.template,
        "state": decision.state,
        "explain": looked,
    }
