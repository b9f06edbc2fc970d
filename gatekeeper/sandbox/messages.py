"""
Own what messages do in the sandbox: a send is answered and takes its course, a customer writes.

What a send may do and what it comes to, an engine of the gate's own kind decides, in a state apart from the gate's. It believes the
very webhooks that it sends, so that gate and sandbox can only differ where one of them missed something.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from gatekeeper.core.calendar import local_day
from gatekeeper.core.errors import LedgerError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import REFUSALS, Product, Reason, Refusal
from gatekeeper.engine import Decided, Engine
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta.responses import decode_answer
from gatekeeper.meta.sends import Kind, Send
from gatekeeper.meta.webhooks import events_of
from gatekeeper.sandbox import payloads
from gatekeeper.sandbox.catalogue import Catalogue
from gatekeeper.sandbox.charges import charge, later
from gatekeeper.sandbox.courier import Courier
from gatekeeper.settings import Settings
from gatekeeper.telemetry import Metrics

_MOST_ENGINES = 1000
_THROTTLED = Refusal(code=130429, title="Rate limit hit", details="Too many webhooks of this sandbox are still on their way.")
# Meta takes a free-form message in any case, and says later that its window was closed.
_FAILS_LATER = Reason.OUTSIDE_CUSTOMER_SERVICE_WINDOW
_REACTION_STATES = ("sent",)
_STATES = ("sent", "delivered", "read")


class Refused(Exception):  # noqa: N818 - it is Meta's refusal, not a fault
    """Meta refuses a send at once."""

    def __init__(self, refusal: Refusal, details: str | None = None) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.details = details


class Messages:
    """Everything that passes between businesses and customers."""

    def __init__(
        self, *, book: Rulebook, ledger: Ledger, settings: Settings, courier: Courier, now: Callable[[], int], pace: float
    ) -> None:
        """*pace*: seconds between the steps of a message."""
        self.catalogue = Catalogue(settings)
        self._book = book
        self._ledger = ledger
        self._courier = courier
        self._now = now
        self._pace = pace
        self._metrics = Metrics()
        self._engines: dict[str, Engine] = {}

    def follow(self, settings: Settings) -> None:
        """Adopt changed accounts and templates."""
        self.catalogue = Catalogue(settings)
        self._engines.clear()

    async def send(self, send: Send, phone_number_id: str, callback: str | None) -> dict[str, Any]:
        """Take a send as Meta does and give its answer; Refused, or MalformedSend when its recipient is nobody."""
        if send.kind is Kind.NOT_A_MESSAGE:
            return {"success": True}
        if self._courier.full:
            raise Refused(_THROTTLED)
        if send.kind is Kind.TEMPLATE and not self.catalogue.has(phone_number_id, send.template, send.language):
            details = f"template name ({send.template}) does not exist in {send.language}"
            raise Refused(REFUSALS[Reason.TEMPLATE_NOT_FOUND], details)
        user = payloads.addressed(send, self.catalogue.account(phone_number_id), self._book)
        message = payloads.Message(wamid=payloads.wamid(), user=user, callback=callback)
        answer = payloads.answer(message, send)
        decided = await self._decided(send, phone_number_id, answer)
        if decided is not None and not decided.decision.forwards and decided.decision.reason is not _FAILS_LATER:
            raise Refused(decided.decision.refusal or REFUSALS[Reason.MALFORMED_REQUEST])
        self._courier.begin(self._course(message, phone_number_id, decided))
        return answer

    async def write(self, wa_id: str, phone_number_id: str, text: str, *, ad: bool) -> tuple[str, int | None]:
        """Let a customer write; the message's id, and how its webhook was answered (None: out of reach)."""
        user = payloads.customer(wa_id, self.catalogue.account(phone_number_id), self._book)
        value = payloads.inbound(user, text, self._now(), ad=ad)
        await self._absorb(phone_number_id, value)
        return value["messages"][0]["id"], await self._post(phone_number_id, value)

    async def _decided(self, send: Send, phone_number_id: str, answer: dict[str, Any]) -> Decided | None:
        """Decide and reserve; None while the ledger is away: Meta would not be, so the send goes its way without a price."""
        engine, now = self._engine(phone_number_id), self._now()
        known = decode_answer(msgspec.json.encode(answer))
        try:
            decided = await engine.decide(send, phone_number_id, now=now, decision_id=secrets.token_hex(8))
            if known is not None and decided.decision.forwards:
                await engine.accepted(decided, known, now=now)
        except LedgerError:
            return None
        return decided

    async def _course(self, message: payloads.Message, phone_number_id: str, decided: Decided | None) -> None:
        """Say what becomes of a message, step by step."""
        await asyncio.sleep(self._pace)
        if decided is not None and not decided.decision.forwards:
            await self._post(phone_number_id, payloads.window_closed(message, self._now()))
            return
        charge = await self._charge(message, decided) if decided is not None else None
        reaction = decided is not None and decided.facts.product is Product.REACTION
        for state in _REACTION_STATES if reaction else _STATES:
            if state == "sent":
                value = payloads.status(message, state, self._now(), charge)
                await self._believed(phone_number_id, value)
            else:
                await asyncio.sleep(self._pace)
                said = later(charge) if charge and state == "delivered" else None
                value = payloads.status(message, state, self._now(), said)
            await self._post(phone_number_id, value)

    async def _charge(self, message: payloads.Message, decided: Decided) -> dict[str, Any] | None:
        """Deliver a message and find out what it comes to: Meta says so with its first status already. None: nothing is said."""
        number, facts = decided.number, decided.facts
        delivered = payloads.status(message, "delivered", self._now())
        try:
            settlements = await self._absorb(facts.phone_number_id, delivered)
            clocks = await self._ledger.thread(number.tag, facts.phone_number_id, facts.recipient)
        except LedgerError:
            return None
        if facts.product is Product.REACTION or not settlements:
            return None
        settlement = settlements[0]
        regime = self._book.regime(local_day(settlement.at, number.account.zone))
        # A conversation may outlive the regime that it began in; what is sent inside it is still counted to it.
        counted = regime.has_conversations or decided.decision.reason is Reason.INSIDE_OPEN_CONVERSATION
        thread = f"{number.tag}:{facts.phone_number_id}:{facts.recipient}"
        return charge(settlement, clocks, counted=counted, group=facts.group, thread=thread)

    async def _believed(self, phone_number_id: str, value: dict[str, Any]) -> None:
        """Hold the sandbox to the expiry that it is about to tell."""
        try:
            await self._absorb(phone_number_id, value)
        except LedgerError:
            return  # the gate, on the same ledger, will not hold it to that either

    async def _absorb(self, phone_number_id: str, value: dict[str, Any]) -> list[Settlement]:
        payload = self._webhook(phone_number_id, value)
        return await self._engine(phone_number_id).absorb(events_of(payload), now=self._now())

    async def _post(self, phone_number_id: str, value: dict[str, Any]) -> int | None:
        return await self._courier.post(self._webhook(phone_number_id, value))

    def _webhook(self, phone_number_id: str, value: dict[str, Any]) -> dict[str, Any]:
        return payloads.webhook(self.catalogue.account(phone_number_id).waba_id, phone_number_id, value)

    def _engine(self, phone_number_id: str) -> Engine:
        """The engine of one phone number; all it remembers is in the ledger, so it may be made anew."""
        if phone_number_id not in self._engines:
            if len(self._engines) >= _MOST_ENGINES:
                self._engines.clear()
            settings = self.catalogue.settings(phone_number_id)
            self._engines[phone_number_id] = Engine(settings, self._book, self._ledger, self._metrics, complete=True)
        return self._engines[phone_number_id]
