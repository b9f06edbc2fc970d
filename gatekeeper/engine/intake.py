"""
Own the course of a webhook: events → records → clocks, settlements and names, in few round trips however many events there are.

Every effect may happen twice, so that Meta's own repetition is the queue: what the ledger did not take is said again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gatekeeper.core.caching import remember
from gatekeeper.core.effects import Effects
from gatekeeper.core.policy import Policy
from gatekeeper.core.recipients import Names
from gatekeeper.core.reservation import Event, State
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import OPTED_OUT, WINDOW_CLOSED, Settlement, Settling, Word, plan_delivery, settle
from gatekeeper.core.tariff import UNKNOWN_PRICE, volume_meter
from gatekeeper.engine.batch import Batch
from gatekeeper.engine.directory import NUMBERS, Directory, Number
from gatekeeper.engine.facts import News
from gatekeeper.engine.naming import renamed, told
from gatekeeper.engine.registry import Registry
from gatekeeper.engine.words import billed_by, when, word_of
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.ledger import Ledger, settled
from gatekeeper.ledger.records import Record
from gatekeeper.meta import events as meta
from gatekeeper.telemetry import Few, Labelled, Metrics

_DELIVERED = ("delivered", "read")
_FAILED = "failed"
_MARKETING = "marketing_messages"
_WATCH_EVERY_MS = 60_000
_IGNORED = "ignored"
_encode_status = msgspec.msgpack.Encoder().encode
_decode_status = msgspec.msgpack.Decoder(meta.Status).decode


class Intake:
    """Takes in what Meta says."""

    def __init__(
        self,
        ledger: Ledger,
        book: Rulebook,
        directory: Directory,
        registry: Registry,
        metrics: Metrics,
        policy: Policy,
        *,
        watching: bool,
    ) -> None:
        """*watching*: remember since when a number's webhooks are seen."""
        self._ledger = ledger
        self._book = book
        self._directory = directory
        self._registry = registry
        self._metrics = metrics
        self._policy = policy
        self._watching = watching
        self._watched: dict[str, int] = {}
        self._categories = Few()
        self._events, self._settlements = Labelled(metrics.webhooks), Labelled(metrics.settlements)

    def follow(self, policy: Policy, book: Rulebook) -> None:
        """Go by this policy and these rules from now on."""
        self._policy, self._book = policy, book

    async def absorb(self, events: Sequence[meta.Event], *, now: int, again: bool = False) -> list[Settlement]:
        """
        Take in what a webhook says; the settlements that it made come back.

        LedgerError: some of it is not in the ledger, so Meta must say it again.
        """
        batch = Batch(self._ledger)
        records, words = await self._records(events), dict[tuple[str, str], Word]()
        try:
            for event in events:
                self._events.of(type(event).__name__).inc()
                try:
                    await self._take(event, records, words, batch, now=now)
                except (LookupError, OverflowError):  # a time of which no rule is known; its neighbours count all the same
                    self._events.of("OutOfTime").inc()
                await batch.flow()
            answers = await batch.answers()
        finally:
            await batch.give_up()
        found = [self._settlement(settling, quote, answers[n]) for n, (settling, quote) in batch.settling.items()]
        overtaken = [status for n, status in batch.parking.items() if answers[n]]
        if overtaken and not again:  # their send was accepted between our reading and our parking
            found += await self.absorb(overtaken, now=now, again=True)
        elif overtaken:  # of records that another version of ours wrote
            self._events.of("Unreadable").inc(len(overtaken))
        return [settlement for settlement in found if settlement is not None]

    async def _take(
        self,
        event: meta.Event,
        records: dict[tuple[str, str], Record],
        words: dict[tuple[str, str], Word],
        batch: Batch,
        *,
        now: int,
    ) -> None:
        if isinstance(event, News):
            await self._registry.learn(event)
        elif isinstance(event, meta.VolumeTier):
            self._tier(event, batch)
        elif not event.phone_number_id:
            return
        elif isinstance(event, meta.Status):
            await self._status(event, records, words, batch, now=now)
        elif isinstance(event, meta.Inbound | meta.Call | meta.Preference | meta.Handover):
            await self._heard(event, batch, now=now)
        elif isinstance(event, meta.SystemChange):
            number = await self._directory.seen(event)
            batch.add_all(renamed(self._directory, number, event, said=when(event.at, now), now=now))

    async def unpark(self, parked: Sequence[bytes], *, now: int) -> list[Settlement]:
        """Take in statuses that came before the answer to their own send."""
        return await self.absorb([_decode_status(status) for status in parked], now=now) if parked else []

    async def _records(self, events: Sequence[meta.Event]) -> dict[tuple[str, str], Record]:
        statuses = [event for event in events if isinstance(event, meta.Status) and event.phone_number_id]
        wanted = [((await self._directory.seen(status)).tag, status.wamid) for status in statuses]
        return await self._ledger.records(list(dict.fromkeys(wanted)))

    def _tier(self, event: meta.VolumeTier, batch: Batch) -> None:
        """Meta says which volume tier a portfolio has come to: it counts over all partners, and we only our own."""
        market = self._book.markets.named(event.region)
        account = self._directory.account(event.waba_id)
        if market is None or account is None:
            self._events.of("UnknownTier").inc()
            return
        meter = volume_meter(event.category, market, account, self._book, month=event.month)
        batch.add(calls.tell_meter(account.portfolio, meter, event.first - 1))

    async def _heard(self, event: meta.Inbound | meta.Call | meta.Preference | meta.Handover, batch: Batch, *, now: int) -> None:
        """Something that a user did, or that was done with a user's thread."""
        number = await self._directory.seen(event)
        await self._watch(number, now=now)
        effects = self._effects(number)
        at = when(event.at, now)
        names = Names(user_id=event.user_id, parent_user_id=event.parent_user_id, wa_id=event.wa_id)
        whose = names.known[:1]
        if isinstance(event, meta.Inbound):
            group = event.group_id is not None
            changes = effects.wrote(at=at, kind=event.type, from_ad=event.from_ad, standby=event.standby, group=group)
            whose = [event.group_id] if event.group_id else whose
            changes += [] if group else effects.wished(event.wish, self._policy, at=at)
        elif isinstance(event, meta.Call):
            changes = effects.called(at=at) if event.by_user or event.accepted else []
        elif isinstance(event, meta.Preference):
            changes = effects.preferred(at=at, stop=event.stop) if event.category == _MARKETING else []
        else:
            changes = [effects.held(at=at, elsewhere=event.taken)]
        for name in whose if changes else ():
            batch.add(calls.observe(keys.thread(number.tag, number.phone_number_id, name), changes, now=now))
        # Last, so that every name leads to the thread as long as what was just said of it lasts.
        batch.add_all(told(self._directory, number, names, said=at, now=now))

    async def _status(
        self,
        status: meta.Status,
        records: dict[tuple[str, str], Record],
        words: dict[tuple[str, str], Word],
        batch: Batch,
        *,
        now: int,
    ) -> None:
        """Settle the message that a status is of, if it settles; Meta's own word on the thread counts in any case."""
        number = await self._directory.seen(status)
        await self._watch(number, now=now)
        at = when(status.at, now)
        key = (number.tag, status.wamid)
        record, word = records.get(key), word_of(status, now)
        self._believe(number, status, record, word, batch, at=at, now=now)
        if record is None:
            batch.add(calls.park(number.tag, status.wamid, _encode_status(status)), parking=status)
            return
        member = (status.participant_id or "") if status.group else ""
        earlier = words.get(key) or record.word
        if word is not None:
            word = words[key] = word.merged(earlier)
        if status.status in _DELIVERED:
            billed = billed_by(status) or ("" if status.group else self._directory.billed(number, record.facts.recipient))
            settling = plan_delivery(
                record.facts,
                await self._registry.account(number, now=now),
                self._book,
                at=at,
                billed=billed,
                latches=record.latches,
                word=word or earlier,
                member=member,
            )
        elif status.status == _FAILED:
            settling = Settling(
                at=at, event=Event.FAIL, facts=record.facts, account=number.account, member=member, codes=status.error_codes
            )
        else:
            if word is not None:
                batch.add(calls.note(number.tag, status.wamid, word))
            return
        batch.add(calls.settle(number.tag, settling, status.wamid, record.thread), settling=settling, quote=record.quote)

    def _believe(
        self, number: Number, status: meta.Status, record: Record | None, word: Word | None, batch: Batch, *, at: int, now: int
    ) -> None:
        """Move the thread's clocks by Meta's own word."""
        if status.group:
            return
        names = Names(user_id=status.user_id, parent_user_id=status.parent_user_id, wa_id=status.recipient_id)
        effects, facts = self._effects(number), record.facts if record else None
        failed = (
            status.status == _FAILED or (record is not None and record.state is State.RELEASED) or status.wamid in batch.failed
        )
        changes = (
            effects.said(word, at=at, sent_at=min(at, facts.at) if facts else at, by=facts.id if facts else "", failed=failed)
            if word
            else []
        )
        if status.status == _FAILED:
            batch.failed.add(status.wamid)
            if facts:  # of a message that we do not know, we do not know when it was sent
                changes += effects.failed(status.error_codes, at=at, sent_at=facts.at)
        known = [keys.thread(number.tag, number.phone_number_id, name) for name in names.known[:1]]
        for thread in ([record.thread] if record else known) if changes else ():
            batch.add(calls.observe(thread, changes, now=now))
        batch.add_all(told(self._directory, number, names, said=at, now=now))

    def _settlement(self, settling: Settling, quote: int, answer: Any) -> Settlement | None:
        outcome = settled(answer)
        if outcome.status == _IGNORED:
            return None
        made = settle(settling, outcome)
        category = self._categories.of(made.category or "none")
        self._settlements.of(str(made.delivered).lower(), category, str(made.charged).lower()).inc()
        if made.delivered and made.price is not None and quote not in (UNKNOWN_PRICE, made.price):
            direction = "above" if made.price > quote else "below"
            self._metrics.settled_difference.labels(settling.account.currency, direction).inc(abs(made.price - quote))
        if made.drift:
            self._metrics.drift.labels("pricing").inc()
        for code in (WINDOW_CLOSED, OPTED_OUT):
            if code in settling.codes:  # we let it out, and Meta did not
                self._metrics.drift.labels(str(code)).inc()
        return made

    async def _watch(self, number: Number, *, now: int) -> None:
        """Remember that this number is watched; not at every webhook."""
        if self._watching and now - self._watched.get(number.phone_number_id, 0) >= _WATCH_EVERY_MS:
            await self._ledger.watch(number.tag, number.phone_number_id, now=now)
            remember(self._watched, number.phone_number_id, now, most=NUMBERS)

    def _effects(self, number: Number) -> Effects:
        return Effects(self._book, number.account, reaction_opens=self._policy.reaction_opens_window, forever=keys.OPTED_OUT_MS)
