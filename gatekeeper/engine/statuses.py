"""
Own what statuses do: which of them settle a message, and which settle one again.

Delivery is a join over the statuses of a message, in whatever order they come: `read` and `played` over `delivered` over `failed` over
`sent`. The earliest delivery counts, by Meta's word on it, whenever that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.effects import Effects
from gatekeeper.core.recipients import Names
from gatekeeper.core.reservation import Event, State
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Again, Settled, Settlement, Settling, plan_delivery, settle
from gatekeeper.core.tariff import UNKNOWN_PRICE
from gatekeeper.core.word import Word
from gatekeeper.engine.batch import NEVER_EARLIER, Batch, Message
from gatekeeper.engine.directory import Directory, Number
from gatekeeper.engine.naming import names_send_of, told
from gatekeeper.engine.registry import Registry
from gatekeeper.engine.words import billed_by, when, word_of
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.ledger import Ledger, settled
from gatekeeper.ledger.records import Record
from gatekeeper.meta import events as meta
from gatekeeper.telemetry import Few, Labelled, Metrics

_DELIVERED = ("delivered", "read", "played")
_FAILED = "failed"
_MOVED = "moved"
_SAID = {True: "true", False: "false", None: "none"}
_encode_status = msgspec.msgpack.Encoder().encode


class Statuses:
    """Settles messages by what Meta says became of them."""

    def __init__(
        self,
        ledger: Ledger,
        book: Rulebook,
        directory: Directory,
        registry: Registry,
        metrics: Metrics,
        effects: Callable[[Account], Effects],
    ) -> None:
        """*effects*: what events do to the threads of an account."""
        self._ledger = ledger
        self._book = book
        self._directory = directory
        self._registry = registry
        self._metrics = metrics
        self._effects = effects
        self._categories = Few()
        self._settlements = Labelled(metrics.settlements)

    def follow(self, book: Rulebook) -> None:
        """Go by these rules from now on."""
        self._book = book

    async def settle_again(self, late: Sequence[tuple[str, str]], *, now: int) -> list[Settlement]:
        """Settle deliveries again that one before them in life was heard of after; what changed comes back."""
        records = await self._ledger.records(late)
        batch = Batch(self._ledger, now=now)
        for (tag, wamid), record in sorted(records.items(), key=lambda item: item[1].settled_at or 0):
            number = await self._directory.number(record.facts.phone_number_id)
            if record.settled_at is None:
                continue
            settling = await self._delivered(number, record, record.word, at=record.settled_at, now=now, again=Again.DISPLACED)
            batch.settle(calls.settle(tag, settling, wamid, record.thread), settling, tag, record.quote)
        answers = await batch.answers()
        made = (self.settlement(settling, quote, settled(answers[n])) for n, (settling, quote, _) in batch.settling.items())
        return [settlement for settlement in made if settlement is not None]

    async def _delivered(
        self,
        number: Number,
        record: Record,
        word: Word | None,
        *,
        at: int,
        now: int,
        billed: str = "",
        member: str = "",
        again: Again = Again.NO,
    ) -> Settling:
        """Lay out a delivery; *billed* is empty where the status names no recipient whom Meta bills."""
        if not billed and not record.facts.group:
            billed = self._directory.billed(number, record.facts.recipient)
        return plan_delivery(
            record.facts,
            await self._registry.account(number, now=now),
            self._book,
            at=at,
            billed=billed,
            latches=record.latches,
            word=word,
            member=member,
            again=again,
        )

    async def take(self, status: meta.Status, number: Number, message: Message, batch: Batch) -> None:
        """Settle the message that a status is of, if it settles; Meta's own word on the thread counts in any case."""
        at, record, word = when(status.at, batch.now), message.record, word_of(status, batch.now)
        if not status.group:
            self._believe(number, status, message, word, batch, at=at)
        if record is None:
            category = (word.category if word is not None else None) or ""
            threads = names_send_of(status, number)
            batch.park(calls.park(number.tag, status.wamid, _encode_status(status), threads, at=at, category=category), status)
            return
        earlier = message.word
        if word is not None:  # what is said of the delivery comes before what was said when it was sent
            first, second = (word, earlier) if status.status in _DELIVERED else (earlier or word, word)
            message.word = first.merged(second)
        is_news = message.word is not None and message.word != earlier
        member = (status.participant_id or "") if status.group else ""
        delivered = status.status in _DELIVERED
        again = Again.NO
        if not member and message.delivered_at is not None and (not delivered or at >= message.delivered_at):
            if not is_news or message.delivered_at == NEVER_EARLIER:
                return
            at, again = message.delivered_at, Again.REWORDED  # its delivery is known; Meta's word on it is news
        if delivered or again is not Again.NO:
            settling = await self._delivered(
                number, record, message.word, at=at, now=batch.now, billed=billed_by(status), member=member, again=again
            )
        elif status.status == _FAILED and (member or record.state is not State.RELEASED):
            settling = Settling(
                at=at, event=Event.FAIL, facts=record.facts, account=number.account, member=member, codes=status.error_codes
            )
        else:
            self._note(status, number, message, batch, is_news=is_news)
            return
        batch.settle(calls.settle(number.tag, settling, status.wamid, record.thread), settling, number.tag, record.quote)
        self._note(status, number, message, batch, is_news=is_news)  # behind: what is noted is no news when Meta repeats itself
        if not member and settling.event is Event.DELIVER:
            message.delivered_at = at

    @staticmethod
    def _note(status: meta.Status, number: Number, message: Message, batch: Batch, *, is_news: bool) -> None:
        """Remember Meta's word for the status that settles the message, or for what may be settled again."""
        if is_news and message.word is not None:
            batch.add(calls.note(number.tag, status.wamid, message.word))

    def _believe(
        self, number: Number, status: meta.Status, message: Message, word: Word | None, batch: Batch, *, at: int
    ) -> None:
        """Move the thread's clocks by Meta's own word."""
        names = Names(user_id=status.user_id, parent_user_id=status.parent_user_id, wa_id=status.recipient_id)
        known, record = names.known, message.record
        facts = record.facts if record else None
        failed = status.status == _FAILED
        delivered = message.delivered_at is not None or status.status in _DELIVERED
        message.failed = (message.failed or failed) and not delivered
        changes = []
        if word is not None:
            sent_at, by = (min(at, facts.at), facts.id) if facts else (at, "")
            changes = self._effects(number.account).said(word, at=at, sent_at=sent_at, by=by, failed=message.failed)
        if failed and facts:  # of a message that we do not know, we do not know when it was sent
            changes += self._effects(number.account).failed(status.error_codes, at=at, sent_at=facts.at)
        if changes and record is not None:
            batch.observe(record.thread, changes)
        elif changes:
            for name in known[:1]:
                batch.observe(keys.thread(number.tag, number.phone_number_id, name), changes)
        batch.link(told(self._directory, number, names, known, said=at, now=batch.now))

    def settlement(self, settling: Settling, quote: int, outcome: Settled) -> Settlement | None:
        if outcome.status != _MOVED:
            return None
        made = settle(settling, outcome)
        category = self._categories.of(made.category or "none")
        self._settlements.of(_SAID[made.delivered], category, _SAID[made.charged]).inc()
        if made.delivered and made.price is not None and quote not in (UNKNOWN_PRICE, made.price):
            direction = "above" if made.price > quote else "below"
            self._metrics.settled_difference.labels(settling.account.currency, direction).inc(abs(made.price - quote))
        for drift in made.drifts:
            self._metrics.drift.labels(drift.kind).inc()
        return made
