"""
Own the course of a send and of a webhook through plan, ledger and explanation.

The live server and replay both drive this and nothing else: what a recorded history says is what the gate would have said.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gatekeeper.core.accounts import Account, Template, TemplateCategory, TemplateStatus
from gatekeeper.core.decision import Decision, decide, refused
from gatekeeper.core.effects import Effects, names
from gatekeeper.core.errors import LedgerError
from gatekeeper.core.plan import Plan, Sent, free_meter, plan
from gatekeeper.core.recipients import canonical, digits
from gatekeeper.core.reservation import Event, Facts
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import OPTED_OUT, WINDOW_CLOSED, Settlement, Settling, Word, plan_delivery, settle
from gatekeeper.core.vocabulary import Mode, Reason, State, Verdict
from gatekeeper.ledger import keys
from gatekeeper.ledger.ledger import Ledger, Record
from gatekeeper.meta import events as meta
from gatekeeper.meta.responses import Answer
from gatekeeper.meta.sends import Kind, Send
from gatekeeper.settings import ColdStart, LedgerFailure, Settings
from gatekeeper.telemetry import Metrics

_DELIVERED = ("delivered", "read")
_FAILED = "failed"
_MARKETING = "marketing_messages"
_ALIASES = 100_000
_WATCH_EVERY_MS = 60_000
_STALE_PLANS = 3
_STATUS_OF = {"REINSTATED": TemplateStatus.APPROVED, **{status.value: status for status in TemplateStatus}}
_encode_status = msgspec.msgpack.Encoder().encode
_decode_status = msgspec.msgpack.Decoder(meta.Status).decode


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A business phone number: whose it is, and the tag that its keys carry."""

    phone_number_id: str
    account: Account
    tag: str
    named: bool


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
        self.ledger = ledger
        self.book = book
        self._settings = settings
        self._metrics = metrics
        self._complete = complete
        self._enforce = settings.policy.mode is Mode.ENFORCE
        self._named = {
            number: Number(phone_number_id=number, account=account, tag=account.portfolio, named=True)
            for account in settings.account
            for number in account.phone_number_ids
        }
        self._accounts = {account.waba_id: account for account in settings.account}
        self._learned: dict[str, Number] = {}
        self._templates: dict[str, tuple[str, dict[str, str]]] = {}
        self._billed: dict[tuple[str, str], str] = {}
        self._watched: dict[str, int] = {}

    # ------------------------------------------------------------------------------------------------- sends

    async def decide(  # noqa: PLR0913
        self, send: Send, phone_number_id: str, *, now: int, decision_id: str, commit: bool = True, caller: str = ""
    ) -> Decided:
        """
        Decide one send and reserve what it takes.

        A ledger that does not answer is answered by policy. LookupError: no pricing regime is known for *now*.
        """
        try:
            number = await self.number(phone_number_id)
        except LedgerError:
            number = self._unnamed(phone_number_id, None)
        sent = self._sent(send, number)
        for _ in range(_STALE_PLANS):
            registry, template, reachable = await self._template(number, sent)
            planned = plan(
                sent,
                number.account,
                template,
                self.book,
                now=now,
                complete=self._complete,
                unseen_closed=self._settings.policy.cold_start is ColdStart.CLOSED,
            )
            facts = Facts(
                id=decision_id,
                phone_number_id=phone_number_id,
                recipient=sent.recipient,
                product=planned.product,
                at=now,
                group=sent.group,
                caller=caller,
            )
            if not sent.is_message or (planned.refusal and self._enforce):
                return Decided(decision=decide(planned, None), number=number, facts=facts, plan=planned, held=False)
            try:
                if not reachable:
                    raise LedgerError("the ledger is away")
                outcome = await self.ledger.authorize(
                    number.tag, planned, facts, commit=commit, enforce=self._enforce, registry=registry if number.named else ""
                )
            except LedgerError:
                if self._complete:  # a recorded history has no use for a guess
                    raise
                return self._without_ledger(number, facts, planned)
            if outcome.status != "stale":
                break
            self._templates.pop(number.account.waba_id, None)
        decision = decide(planned, outcome, enforce=self._enforce)
        return Decided(decision=decision, number=number, facts=facts, plan=planned, held=outcome.status == "reserved")

    def _without_ledger(self, number: Number, facts: Facts, planned: Plan) -> Decided:
        self._metrics.ledger_failures.inc()
        decision = decide(planned, None, enforce=self._enforce)
        if self._settings.policy.ledger_failure is LedgerFailure.BLOCK:
            if self._enforce:
                decision = refused(Reason.LEDGER_UNAVAILABLE, planned, state=State.DEGRADED)
            else:
                decision = msgspec.structs.replace(decision, verdict=Verdict.ANNOTATE, reason=Reason.LEDGER_UNAVAILABLE)
        return Decided(decision=decision, number=number, facts=facts, plan=planned, held=False)

    async def accepted(self, decided: Decided, answer: Answer, *, now: int) -> list[Settlement]:
        """Meta took the send: name its reservation, learn the names in the answer, and settle by statuses that overtook it."""
        number, facts = decided.number, decided.facts
        await self._learn_contacts(number, facts, answer)
        if not decided.held or answer.wamid is None:
            return []
        parked = await self.ledger.accept(number.tag, facts.id, answer.wamid)
        found = [await self._status(_decode_status(status), now=now) for status in parked]
        return [settlement for settlement in found if settlement is not None]

    async def released(self, decided: Decided, *, now: int) -> None:
        """Meta refused the send: give back what it held."""
        if decided.held:
            settling = Settling(at=now, event=Event.REFUSE, facts=decided.facts, account=decided.number.account)
            await self.ledger.release(decided.number.tag, settling)

    async def _learn_contacts(self, number: Number, facts: Facts, answer: Answer) -> None:
        for contact in answer.contacts:
            known = names(contact.wa_id, contact.user_id)
            dialled = canonical(contact.input)
            if contact.wa_id:
                self._remember(number, dialled, contact.wa_id)
            for name in (dialled, *known[1:]):
                if known and name != known[0] and facts.recipient in (dialled, *known):
                    await self.ledger.link(number.tag, number.phone_number_id, name, known[0])

    def _remember(self, number: Number, dialled: str, billed: str) -> None:
        """Keep which number Meta bills for a dialled one: the market is that of the former."""
        if len(self._billed) >= _ALIASES:
            self._billed.pop(next(iter(self._billed)))
        self._billed[number.tag, dialled] = billed

    def _sent(self, send: Send, number: Number) -> Sent:
        written = send.to or send.recipient or ""
        recipient = written if send.group else canonical(written)
        return Sent(
            phone_number_id=number.phone_number_id,
            recipient=recipient,
            billed=self._billed.get((number.tag, recipient), ""),
            is_message=send.kind is not Kind.NOT_A_MESSAGE,
            is_template=send.kind is Kind.TEMPLATE,
            is_reaction=send.kind is Kind.REACTION,
            group=send.group,
            direct_send=send.direct_send,
            marketing_api=send.marketing_api,
            template=send.template,
            language=send.language,
        )

    # ------------------------------------------------------------------------------------------------ numbers

    async def number(self, phone_number_id: str) -> Number:
        """Whose number this is: by the configuration, or by what webhooks said."""
        found = self._named.get(phone_number_id) or self._learned.get(phone_number_id)
        if found is None:
            waba_id = await self.ledger.waba_of(phone_number_id)
            found = self._unnamed(phone_number_id, waba_id)
            if waba_id:
                self._learned[phone_number_id] = found
        return found

    @staticmethod
    def _unnamed(phone_number_id: str, waba_id: str | None) -> Number:
        account = Account(waba_id=waba_id or phone_number_id, phone_number_ids=(phone_number_id,))
        return Number(phone_number_id=phone_number_id, account=account, tag=phone_number_id, named=False)

    async def _seen(self, event: meta.Event) -> Number:
        """The number that an event is of; its WABA is learned on the way."""
        pnid = event.phone_number_id
        number = await self.number(pnid)
        if not number.named and event.waba_id and number.account.waba_id != event.waba_id:
            await self.ledger.learn_number(pnid, event.waba_id)
            number = self._learned[pnid] = self._unnamed(pnid, event.waba_id)
        return number

    # ---------------------------------------------------------------------------------------------- templates

    async def _template(self, number: Number, sent: Sent) -> tuple[str, Template | None, bool]:
        """The registry's version, what is known of the template named, and whether the ledger could be asked."""
        if not sent.is_template:
            return "", None, True
        account, reachable = number.account, True
        if account.waba_id not in self._templates or not number.named:
            try:
                self._templates[account.waba_id] = await self.ledger.templates(self._registry_tag(account), account.waba_id)
            except LedgerError:
                reachable = False
        version, learned = self._templates.get(account.waba_id, ("0", {}))
        return version, _merged(account, sent, learned), reachable

    def _registry_tag(self, account: Account) -> str:
        return account.portfolio

    async def _learn_template(self, event: meta.TemplateStatus | meta.TemplateCategory) -> None:
        learned: dict[str, str] = {}
        category = event.category
        if category in TemplateCategory.__members__.values():
            learned[_fact("category", event.language, event.name)] = str(category)
        if isinstance(event, meta.TemplateStatus) and event.event in _STATUS_OF:
            learned[_fact("status", event.language, event.name)] = _STATUS_OF[event.event].value
        if learned:
            account = self._accounts.get(event.waba_id) or Account(waba_id=event.waba_id)
            await self.ledger.learn_template(self._registry_tag(account), event.waba_id, learned)
            self._templates.pop(event.waba_id, None)

    # ----------------------------------------------------------------------------------------------- webhooks

    async def absorb(self, events: Sequence[meta.Event], *, now: int) -> list[Settlement]:
        """
        Take in what a webhook says; the settlements that it made come back.

        Every effect may happen twice. LedgerError: some of it is not in the ledger, so Meta must say it again.
        """
        settlements = []
        for event in events:
            self._metrics.webhooks.labels(type(event).__name__).inc()
            if isinstance(event, meta.Status) and event.phone_number_id:
                settlement = await self._status(event, now=now)
                if settlement is not None:
                    settlements.append(settlement)
            elif isinstance(event, meta.TemplateStatus | meta.TemplateCategory):
                await self._learn_template(event)
            elif isinstance(event, meta.Inbound | meta.Call | meta.Preference | meta.Handover) and event.phone_number_id:
                await self._heard(event, now=now)
        return settlements

    async def _heard(self, event: meta.Inbound | meta.Call | meta.Preference | meta.Handover, *, now: int) -> None:
        """Something that a user did, or that was done with a user's thread."""
        number = await self._seen(event)
        await self._watch(number, now=now)
        effects = self._effects(number)
        at = now if event.at is None else event.at
        if isinstance(event, meta.Inbound):
            group = event.group_id is not None
            changes = effects.wrote(at=at, kind=event.type, from_ad=event.from_ad, standby=event.standby, group=group)
            known = [event.group_id] if event.group_id else names(event.wa_id, event.user_id, event.parent_user_id)
            if event.wa_id and not group:
                self._remember(number, canonical(event.wa_id), event.wa_id)
        else:
            known = names(event.wa_id, event.user_id)
            if isinstance(event, meta.Call):
                changes = effects.called(at=at) if event.by_user or event.accepted else []
            elif isinstance(event, meta.Preference):
                changes = effects.preferred(at=at, stop=event.stop) if event.category == _MARKETING else []
            else:
                changes = [effects.held(at=at, elsewhere=event.taken)]
        await self._linked(number, known)
        if changes and known:
            await self.ledger.observe(number.tag, number.phone_number_id, known[0], changes, now=now)

    async def _linked(self, number: Number, known: list[str]) -> None:
        for name in known[1:]:
            await self.ledger.link(number.tag, number.phone_number_id, name, known[0])

    async def _watch(self, number: Number, *, now: int) -> None:
        """Remember that this number is watched; not at every webhook."""
        if not self._complete and now - self._watched.get(number.phone_number_id, 0) >= _WATCH_EVERY_MS:
            await self.ledger.watch(number.tag, number.phone_number_id, now=now)
            self._watched[number.phone_number_id] = now

    def _effects(self, number: Number) -> Effects:
        opens = self._settings.policy.reaction_opens_window
        return Effects(self.book, number.account, reaction_opens=opens, forever=keys.OPTED_OUT_MS)

    # ----------------------------------------------------------------------------------------------- statuses

    async def _status(self, status: meta.Status, *, now: int) -> Settlement | None:
        """Settle the message that a status is of, if it settles; Meta's own word on the thread counts in any case."""
        number = await self._seen(status)
        await self._watch(number, now=now)
        at = now if status.at is None else status.at
        if not status.group:
            await self._linked(number, names(status.recipient_id, status.user_id, status.parent_user_id))
        record = (await self.ledger.records(number.tag, [status.wamid])).get(status.wamid)
        if record is None and await self.ledger.park(number.tag, status.wamid, _encode_status(status)):
            record = (await self.ledger.records(number.tag, [status.wamid])).get(status.wamid)
        word = _word(status)
        await self._believe(number, status, record, word, at=at, now=now)
        if record is None:
            return None
        if status.status in _DELIVERED:
            return await self._delivered(number, status, record, word, at=at)
        if status.status == _FAILED:
            member = (status.participant_id or "") if status.group else ""
            return await self._settled(
                number,
                status,
                record,
                Settling(at=at, event=Event.FAIL, facts=record.facts, account=number.account, member=member),
            )
        if word is not None:
            await self.ledger.note(number.tag, status.wamid, word)
        return None

    async def _believe(  # noqa: PLR0913
        self, number: Number, status: meta.Status, record: Record | None, word: Word | None, *, at: int, now: int
    ) -> None:
        """Move the thread's clocks by Meta's own word."""
        if status.group:
            return
        effects = self._effects(number)
        known = record.facts if record else None
        changes = effects.said(word, at=at, by=known.id if known else "") if word else []
        if status.status == _FAILED:
            changes += effects.failed(status.error_codes, at=at, sent_at=known.at if known else None)
            for code in status.error_codes:
                if known and code in (WINDOW_CLOSED, OPTED_OUT):
                    self._metrics.drift.labels(str(code)).inc()
        recipient = (
            known.recipient if known else next(iter(names(status.recipient_id, status.user_id, status.parent_user_id)), None)
        )
        if changes and recipient:
            await self.ledger.observe(number.tag, number.phone_number_id, recipient, changes, now=now)

    async def _delivered(
        self, number: Number, status: meta.Status, record: Record, word: Word | None, *, at: int
    ) -> Settlement | None:
        billed = status.participant_id if status.group else status.recipient_id
        settling = plan_delivery(
            record.facts,
            number.account,
            self.book,
            at=at,
            billed=digits(billed or "") or "",
            window_until=record.window_until,
            word=word.merged(record.word) if word else record.word,
            member=(status.participant_id or "") if status.group else "",
        )
        return await self._settled(number, status, record, settling)

    async def _settled(self, number: Number, status: meta.Status, record: Record, settling: Settling) -> Settlement | None:
        settled = await self.ledger.settle(number.tag, settling, status.wamid, record.thread)
        if settled.status == "ignored":
            return None
        settlement = settle(settling, settled)
        self._metrics.settlements.labels(
            str(settlement.delivered).lower(), settlement.category or "none", str(settlement.charged).lower()
        ).inc()
        if settlement.drift:
            self._metrics.drift.labels("pricing").inc()
        return settlement

    # ------------------------------------------------------------------------------------------------- meters

    async def use_free(self, waba_id: str, phone_number_id: str, count: int, *, now: int) -> None:
        """Set this month's use of the free tier in force at *now*; nothing where the regime has none."""
        number = await self.number(phone_number_id)
        account = number.account if number.named else msgspec.structs.replace(number.account, waba_id=waba_id or phone_number_id)
        meter = free_meter(account, phone_number_id, self.book, at=now)
        if meter is not None:
            await self.ledger.set_settled(number.tag, meter, count)


def _fact(what: str, language: str, name: str) -> str:
    return f"{what} {language} {name}"


def _merged(account: Account, sent: Sent, learned: dict[str, str]) -> Template | None:
    """What the configuration says of a template, corrected by what Meta said since; None: nobody said anything."""
    name, language = sent.template or "", sent.language or ""
    told = next((t for t in account.template if (t.name, t.language) == (name, language)), None)
    category = learned.get(_fact("category", language, name))
    status = learned.get(_fact("status", language, name))
    if told is None and category is None and status is None:
        return None
    told = told or Template(name=name, language=language)
    return Template(
        name=name,
        language=language,
        category=TemplateCategory(category) if category else told.category,
        status=TemplateStatus(status) if status else told.status,
    )


def _word(status: meta.Status) -> Word | None:
    """Meta's own word, wherever the status carries one."""
    pricing, conversation = status.pricing, status.conversation
    if pricing is None and conversation is None:
        return None
    origin = conversation.origin if conversation else None
    return Word(
        type=pricing.type if pricing else None,
        category=(pricing.category if pricing else None) or origin,
        model=pricing.model if pricing else None,
        expires_at=conversation.expires_at if conversation else None,
    )
