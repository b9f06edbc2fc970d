"""Own the course of a send: plan, ledger, explanation, and what follows from Meta's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gatekeeper.core.bill import quote
from gatekeeper.core.checks import Given
from gatekeeper.core.decision import Decision, decide, refused
from gatekeeper.core.errors import LedgerError, UnusableKeyError
from gatekeeper.core.explanation import Looked, explain
from gatekeeper.core.outcome import Outcome
from gatekeeper.core.plan import Plan, Sent, plan
from gatekeeper.core.policy import Hold, hold
from gatekeeper.core.recipients import canonical, is_bsuid
from gatekeeper.core.reservation import Event, Facts
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Settlement, Settling
from gatekeeper.core.vocabulary import Mode, Reason, State, Verdict
from gatekeeper.engine.balances import Balances
from gatekeeper.engine.directory import Directory, Number
from gatekeeper.engine.instead import instead
from gatekeeper.engine.intake import Intake
from gatekeeper.engine.naming import answered_with
from gatekeeper.engine.reading import Reader
from gatekeeper.engine.registry import Known, Registry
from gatekeeper.engine.spend import Spend
from gatekeeper.engine.unnamed import Unnamed
from gatekeeper.ledger import calls
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta import events as meta
from gatekeeper.meta.responses import Answer
from gatekeeper.meta.rewriting import Written
from gatekeeper.meta.sends import Kind, Send
from gatekeeper.settings import LedgerFailure, Settings
from gatekeeper.telemetry import Metrics

_STALE, _RESERVED = "stale", "reserved"
_PLANS = 3  # templates do not change faster than that


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """
    A decision, and what it takes to follow it up.

    *held*: the ledger holds a reservation for it; *perhaps_held*: it was asked to, and did not answer. *outcome*: what the ledger
    found; None: it was not asked, or did not answer. *body*: what goes out in place of the caller's own bytes, as JSON. *hold*: it may
    wait for its recipient to answer.
    """

    decision: Decision
    number: Number
    facts: Facts
    plan: Plan
    held: bool
    perhaps_held: bool = False
    outcome: Outcome | None = None
    body: bytes | None = None
    hold: Hold | None = None


class Engine:
    """Decides sends and takes in webhooks, over one ledger."""

    def __init__(
        self,
        settings: Settings,
        book: Rulebook,
        ledger: Ledger,
        metrics: Metrics,
        *,
        complete: bool = False,
        reader: Reader | None = None,
    ) -> None:
        """*complete*: the history is known to be whole, so no window is ever unseen (replay). *reader* asks Meta for templates."""
        self.ledger = ledger
        self.directory = Directory(settings.account, ledger)
        self.registry = Registry(settings.account, ledger, metrics, reader)
        self.spend = Spend(ledger, book, self.directory)
        self.balances = Balances(ledger, self.directory)
        self.unnamed = Unnamed(ledger, self.directory, metrics)
        self._metrics = metrics
        self._complete = complete
        self._intake = Intake(ledger, book, self.directory, self.registry, metrics, settings.policy, watching=not complete)
        self.follow(settings, book)

    def follow(self, settings: Settings, book: Rulebook) -> None:
        """Go by these settings and rules from the next decision on; what was learned and counted stays."""
        self.book = book
        self.settings = settings
        self._laid: dict[Any, Plan] = {}  # by this book and policy
        self.directory.follow(settings.account)
        self.registry.follow(settings.account)
        self.spend.follow(book)
        self.balances.follow(book)
        self._intake.follow(settings.policy, book)

    @property
    def enforces(self) -> bool:
        """Whether anything is blocked at all."""
        return self.settings.policy.mode is Mode.ENFORCE

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
        """
        Decide one send and reserve what it takes.

        *written* is the send as its caller wrote it, so that a template can go out in its place where the policy has one for it.
        A ledger that does not answer is answered by policy. LookupError: no pricing regime is known for *now*.
        """
        decided = await self._decide(send, phone_number_id, now=now, decision_id=decision_id, commit=commit, caller=caller)
        if written is None or not decided.decision.needs_template:
            return decided
        waits = hold(self.settings.policy, caller=caller, phone_number_id=phone_number_id)
        if waits is not None and send.kind is Kind.FREE_FORM and decided.decision.state is State.WARM:
            return msgspec.structs.replace(decided, hold=waits)
        found = instead(self.settings.policy, send, written, caller=caller, phone_number_id=phone_number_id)
        if found is None:
            return decided
        rewritten = await self._decide(
            found.send, phone_number_id, now=now, decision_id=decision_id, commit=commit, caller=caller
        )
        if not rewritten.decision.forwards:
            return decided
        decision = msgspec.structs.replace(rewritten.decision, verdict=Verdict.REWRITE, template=found.template)
        return msgspec.structs.replace(rewritten, decision=decision, body=found.body)

    async def _decide(
        self, send: Send, phone_number_id: str, *, now: int, decision_id: str, commit: bool, caller: str
    ) -> Decided:
        try:
            number = await self.directory.number(phone_number_id)
        except LedgerError:
            number = self.directory.unnamed(phone_number_id)
        sent = self._sent(send, number)
        for left in reversed(range(_PLANS)):
            known = await self.registry.known(number, sent.template, sent.language, now=now)
            planned = self._planned(sent, known, now=now, caller=caller)
            if planned.finding is not None and planned.finding.of_shape and not known.sure:
                known = await self.registry.confirmed(number, known, now=now)
                planned = self._planned(sent, known, now=now, caller=caller)
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
            if not sent.is_message or (planned.refusal and self.enforces):
                if left and sent.is_message and not await self.registry.current(number, known):
                    continue
                ends = await self._ends(number, planned, facts)
                return Decided(decision=decide(planned, None, ends=ends), number=number, facts=facts, plan=planned, held=False)
            asked = False
            try:
                if not known.reachable:
                    raise LedgerError("the templates are not known")
                asked = commit and self.ledger.up
                outcome = await self.ledger.authorize(
                    number.tag, planned, facts, commit=commit, enforce=self.enforces, registry=known.version if left else ""
                )
            except LedgerError:
                if self._complete:  # a recorded history has no use for a guess
                    raise
                return self._without_ledger(number, facts, planned, asked=asked)
            if outcome.status != _STALE:
                break
            self.registry.forget(number.account.waba_id)
        decision = decide(planned, outcome, enforce=self.enforces)
        held = outcome.status == _RESERVED
        return Decided(decision=decision, number=number, facts=facts, plan=planned, held=held, outcome=outcome)

    async def _ends(self, number: Number, planned: Plan, facts: Facts) -> dict[str, int]:
        """Until when the clocks of a thread are open, for a send that Meta refuses whatever they say; without a ledger none is known."""
        if not planned.sent.is_message or planned.finding is not None or not self.ledger.up:
            return {}
        try:
            outcome = await self.ledger.authorize(number.tag, planned, facts, commit=False, enforce=True, registry="")
        except LedgerError:
            if self._complete:
                raise
            return {}
        return outcome.clocks()

    def _planned(self, sent: Sent, known: Known, *, now: int, caller: str) -> Plan:
        return plan(
            sent,
            known.account,
            known.template,
            self.book,
            now=now,
            complete=self._complete,
            policy=self.settings.policy,
            caller=caller,
            laid=self._laid,
        )

    async def accepted(self, decided: Decided, answer: Answer, *, now: int) -> list[Settlement]:
        """
        Meta took the send: name its reservation, learn the names in the answer, and settle by statuses that overtook it.

        Where the answer names no message, or one that is of another send already, a status has to. LedgerError: the reservation keeps
        its old name, and stays.
        """
        number, facts = decided.number, decided.facts
        batch, held = [], decided.held or decided.perhaps_held
        if not facts.group:
            claimed = decided.plan.sent.claimed
            batch = answered_with(self.directory, number, answer, claimed=claimed, now=now)
        if held and answer.wamid is not None:
            quoted = quote(decided.decision, decided.plan, facts)
            batch.append(calls.accept(number.tag, quoted, answer.wamid))
        answers = await self.ledger.run(batch, partial=True)
        parked = answers[-1] if held and answer.wamid is not None else None
        if isinstance(parked, UnusableKeyError):
            raise parked
        if parked is None:
            return await self.unanswered(decided, taken=True, now=now)
        return await self._intake.unpark(parked, now=now)

    async def unanswered(self, decided: Decided, *, taken: bool, now: int) -> list[Settlement]:
        """Meta took the send (*taken*), or may have, and did not say which message it is: a status says so, or it lapses. LedgerError."""
        if not decided.held and not decided.perhaps_held:
            return []
        quoted = quote(decided.decision, decided.plan, decided.facts)
        parked = await self.unnamed.expect(decided.number.tag, quoted, decided.facts, taken=taken, now=now)
        return await self._intake.unpark(parked, now=now)

    def explained(self, decided: Decided) -> list[Looked]:
        """Everything that was looked at for a decision."""
        return explain(decided.plan, decided.outcome, self.settings.policy, self.book, caller=decided.facts.caller)

    async def released(self, decided: Decided, *, now: int) -> None:
        """Meta refused the send: give back what it held."""
        if decided.held or decided.perhaps_held:
            settling = Settling(at=now, event=Event.REFUSE, facts=decided.facts, account=decided.number.account)
            await self.ledger.release(decided.number.tag, settling)

    async def absorb(self, events: Sequence[meta.Event], *, now: int) -> list[Settlement]:
        """Take in what a webhook says; the settlements that it made come back. LedgerError: Meta must say it again."""
        return await self._intake.absorb(events, now=now)

    def _without_ledger(self, number: Number, facts: Facts, planned: Plan, *, asked: bool) -> Decided:
        self._metrics.ledger_failures.inc()
        decision = decide(planned, None, enforce=self.enforces)
        # What a rule blocks in any case is better said: no later try helps.
        if self.settings.policy.ledger_failure is LedgerFailure.BLOCK and decision.verdict is Verdict.ALLOW:
            if self.enforces:
                decision = refused(Reason.LEDGER_UNAVAILABLE, planned, state=State.DEGRADED)
            else:
                decision = msgspec.structs.replace(decision, verdict=Verdict.ANNOTATE, reason=Reason.LEDGER_UNAVAILABLE)
        return Decided(decision=decision, number=number, facts=facts, plan=planned, held=False, perhaps_held=asked)

    def _sent(self, send: Send, number: Number) -> Sent:
        written = send.to or send.recipient or ""
        recipient = written if send.group else canonical(written)
        return Sent(
            phone_number_id=number.phone_number_id,
            recipient=recipient,
            claimed=canonical(send.recipient) if send.to and send.recipient else "",
            billed=self.directory.billed(number, recipient),
            is_message=send.kind is not Kind.NOT_A_MESSAGE,
            is_template=send.kind is Kind.TEMPLATE,
            is_reaction=send.kind is Kind.REACTION,
            group=send.group,
            direct_send=send.direct_send,
            marketing_api=send.marketing_api,
            template=send.template,
            language=send.language,
            bid_multiplier=send.bid_multiplier,
            given=self._given(send, number, recipient),
        )

    def _given(self, send: Send, number: Number, recipient: str) -> Given | None:
        if send.kind is Kind.NOT_A_MESSAGE:
            return None
        return Given(
            recipient=recipient,
            sender=self.directory.own(number.phone_number_id),
            to_user_id=send.to is None and is_bsuid(recipient),
            group=send.group,
            components=send.components,
            marketing_api=send.marketing_api,
            marketing_elsewhere=not number.account.marketing_on_messages,
        )
