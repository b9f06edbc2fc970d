"""Own the course of a send: plan, ledger, explanation, and what follows from Meta's answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec

from gatekeeper.core.bill import quote
from gatekeeper.core.calendar import midnight
from gatekeeper.core.decision import Decision, decide, refused
from gatekeeper.core.effects import names
from gatekeeper.core.errors import LedgerError
from gatekeeper.core.plan import Plan, Sent, plan
from gatekeeper.core.recipients import canonical
from gatekeeper.core.reservation import Event, Facts
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Settlement, Settling
from gatekeeper.core.tariff import free_meter, volume_meter
from gatekeeper.core.vocabulary import Mode, Reason, State, Verdict
from gatekeeper.engine.directory import Directory, Number
from gatekeeper.engine.intake import Intake
from gatekeeper.engine.registry import Registry
from gatekeeper.engine.spend import Spend
from gatekeeper.ledger import calls
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta import events as meta
from gatekeeper.meta.responses import Answer
from gatekeeper.meta.sends import Kind, Send
from gatekeeper.settings import ColdStart, LedgerFailure, Settings
from gatekeeper.telemetry import Metrics

_STALE = "stale"
_RESERVED = "reserved"
_PLANS = 3  # templates do not change faster than that


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision, and what it takes to follow it up. *held*: the ledger holds a reservation for it."""

    decision: Decision
    number: Number
    facts: Facts
    plan: Plan
    held: bool


class Engine:
    """Decides sends and takes in webhooks, over one ledger."""

    def __init__(self, settings: Settings, book: Rulebook, ledger: Ledger, metrics: Metrics, *, complete: bool = False) -> None:
        """*complete*: the history is known to be whole, so no window is ever unseen (replay)."""
        self.book = book
        self.ledger = ledger
        self.directory = Directory(settings.account, ledger)
        self.registry = Registry(settings.account, ledger)
        self.spend = Spend(ledger, book, self.directory)
        self._accounts = settings.account
        self._policy = settings.policy
        self._metrics = metrics
        self._complete = complete
        self._enforce = settings.policy.mode is Mode.ENFORCE
        opens = settings.policy.reaction_opens_window
        self._intake = Intake(ledger, book, self.directory, self.registry, metrics, reaction_opens=opens, watching=not complete)

    async def decide(
        self, send: Send, phone_number_id: str, *, now: int, decision_id: str, commit: bool = True, caller: str = ""
    ) -> Decided:
        """
        Decide one send and reserve what it takes.

        A ledger that does not answer is answered by policy. LookupError: no pricing regime is known for *now*.
        """
        try:
            number = await self.directory.number(phone_number_id)
        except LedgerError:
            number = self.directory.unnamed(phone_number_id)
        sent = self._sent(send, number)
        for _ in range(_PLANS):
            known = await self.registry.known(number, sent.template, sent.language, now=now)
            planned = plan(
                sent,
                known.account,
                known.template,
                self.book,
                now=now,
                complete=self._complete,
                unseen_closed=self._policy.cold_start is ColdStart.CLOSED,
            )
            facts = Facts(
                id=decision_id,
                phone_number_id=phone_number_id,
                recipient=sent.recipient,
                product=planned.product,
                at=now,
                group=sent.group,
                caller=caller,
                max_price=planned.max_price,
            )
            if not sent.is_message or (planned.refusal and self._enforce):
                return Decided(decision=decide(planned, None), number=number, facts=facts, plan=planned, held=False)
            try:
                if not known.reachable:
                    raise LedgerError("the templates are not known")
                outcome = await self.ledger.authorize(
                    number.tag, planned, facts, commit=commit, enforce=self._enforce, registry=known.version
                )
            except LedgerError:
                if self._complete:  # a recorded history has no use for a guess
                    raise
                return self._without_ledger(number, facts, planned)
            if outcome.status != _STALE:
                break
            self.registry.forget(number.account.waba_id)
        decision = decide(planned, outcome, enforce=self._enforce)
        return Decided(decision=decision, number=number, facts=facts, plan=planned, held=outcome.status == _RESERVED)

    async def accepted(self, decided: Decided, answer: Answer, *, now: int) -> list[Settlement]:
        """
        Meta took the send: name its reservation, learn the names in the answer, and settle by statuses that overtook it.

        LedgerError: the reservation keeps its old name, and stays.
        """
        number, facts = decided.number, decided.facts
        batch = self._learned(number, facts, answer)
        if decided.held and answer.wamid is not None:
            quoted = quote(decided.decision, decided.plan, facts)
            batch.append(calls.accept(number.tag, quoted, answer.wamid))
        answers = await self.ledger.run(batch)
        parked = answers[-1] if decided.held and answer.wamid is not None else []
        return await self._intake.unpark(parked, now=now)

    async def released(self, decided: Decided, *, now: int) -> None:
        """Meta refused the send: give back what it held."""
        if decided.held:
            settling = Settling(at=now, event=Event.REFUSE, facts=decided.facts, account=decided.number.account)
            await self.ledger.release(decided.number.tag, settling)

    async def absorb(self, events: Sequence[meta.Event], *, now: int) -> list[Settlement]:
        """Take in what a webhook says; the settlements that it made come back. LedgerError: Meta must say it again."""
        return await self._intake.absorb(events, now=now)

    async def use_free(self, waba_id: str, phone_number_id: str, count: int, *, now: int) -> None:
        """Set this month's use of the free tier in force at *now*; nothing where the regime has none."""
        number = await self.directory.number(phone_number_id)
        account = number.account if number.named else msgspec.structs.replace(number.account, waba_id=waba_id or phone_number_id)
        meter = free_meter(account, phone_number_id, self.book, at=now)
        if meter is not None:
            await self.ledger.set_settled(number.tag, meter, count)

    async def open_balances(self) -> None:
        """Count in what the configuration says was used before this gate was there. LedgerError."""
        batch = []
        for account in self._accounts:
            for opening in account.opening:
                day = date.fromisoformat(f"{opening.month}-01")
                meter, units = (
                    free_meter(account, opening.phone_number_id, self.book, at=midnight(day, account.zone)),
                    opening.free_used,
                )
                if opening.category:
                    meter = volume_meter(opening.category, opening.market, account, self.book, month=opening.month)
                    units = opening.charged
                if meter is not None:
                    batch.append(calls.open_meter(account.portfolio, meter, units))
        await self.ledger.run(batch)

    def _without_ledger(self, number: Number, facts: Facts, planned: Plan) -> Decided:
        self._metrics.ledger_failures.inc()
        decision = decide(planned, None, enforce=self._enforce)
        if self._policy.ledger_failure is LedgerFailure.BLOCK:
            if self._enforce:
                decision = refused(Reason.LEDGER_UNAVAILABLE, planned, state=State.DEGRADED)
            else:
                decision = msgspec.structs.replace(decision, verdict=Verdict.ANNOTATE, reason=Reason.LEDGER_UNAVAILABLE)
        return Decided(decision=decision, number=number, facts=facts, plan=planned, held=False)

    def _learned(self, number: Number, facts: Facts, answer: Answer) -> list[calls.Call]:
        """The links between the names that Meta's answer gives one user."""
        links = []
        for contact in answer.contacts:
            known, dialled = names(contact.wa_id, contact.user_id), canonical(contact.input)
            for name in (dialled, *known) if contact.wa_id else ():
                self.directory.bill(number, name, contact.wa_id or "")
            if known and not facts.group and facts.recipient in (dialled, *known):
                others = dict.fromkeys(name for name in (facts.recipient, dialled, *known) if name != known[0])
                links += [calls.link(number.tag, number.phone_number_id, name, known[0]) for name in others]
        return links

    def _sent(self, send: Send, number: Number) -> Sent:
        written = send.to or send.recipient or ""
        recipient = written if send.group else canonical(written)
        return Sent(
            phone_number_id=number.phone_number_id,
            recipient=recipient,
            billed=self.directory.billed(number, recipient),
            is_message=send.kind is not Kind.NOT_A_MESSAGE,
            is_template=send.kind is Kind.TEMPLATE,
            is_reaction=send.kind is Kind.REACTION,
            group=send.group,
            direct_send=send.direct_send,
            marketing_api=send.marketing_api,
            template=send.template,
            language=send.language,
        )
