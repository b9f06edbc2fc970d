"""
Own the course of a webhook: events → records → clocks, settlements and names, in few round trips however many events there are.

Every effect may happen twice, so that Meta's own repetition is the queue: what the ledger did not take is said again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.caching import remember
from gatekeeper.core.effects import Effects
from gatekeeper.core.errors import UnusableKeyError
from gatekeeper.core.policy import Policy
from gatekeeper.core.recipients import Names, canonical
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Settlement
from gatekeeper.core.tariff import volume_meter
from gatekeeper.engine.batch import Batch, Message
from gatekeeper.engine.directory import NUMBERS, Directory, Number
from gatekeeper.engine.facts import News
from gatekeeper.engine.naming import renamed, told
from gatekeeper.engine.registry import Registry
from gatekeeper.engine.statuses import Statuses
from gatekeeper.engine.words import when
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.ledger import Ledger, settled
from gatekeeper.meta import events as meta
from gatekeeper.telemetry import Labelled, Metrics

_MARKETING = "marketing_messages"
_OF_THREADS = frozenset({meta.Status, meta.Inbound, meta.Call, meta.Preference, meta.Handover, meta.SystemChange})
_Heard: TypeAlias = meta.Inbound | meta.Call | meta.Preference | meta.Handover | meta.SystemChange
_WATCH_EVERY_MS = 60_000
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
        self._effects_on: dict[int, tuple[Account, Effects]] = {}
        self._events = Labelled(metrics.webhooks)
        self._statuses = Statuses(ledger, book, directory, registry, metrics, self._effects)

    def follow(self, policy: Policy, book: Rulebook) -> None:
        """Go by this policy and these rules from now on."""
        self._policy, self._book = policy, book
        self._statuses.follow(book)
        self._effects_on.clear()

    async def absorb(self, events: Sequence[meta.Event], *, now: int, again: bool = False) -> list[Settlement]:
        """
        Take in what a webhook says; the settlements that it made come back.

        LedgerError: some of it is not in the ledger, so Meta must say it again.
        """
        for kind, count in meta.kinds(events).items():
            self._events.of(kind).inc(count)
        numbers, messages = await self._looked_up(events, now=now)
        batch = Batch(self._ledger, now=now)
        try:
            for event, number in zip(events, numbers, strict=True):
                try:
                    if number is None:
                        await self._learn(event, batch)
                    elif isinstance(event, meta.Status):
                        await self._statuses.take(event, number, messages[number.tag, event.wamid], batch)
                    else:
                        self._heard(cast("_Heard", event), number, batch)
                except (LookupError, OverflowError):  # a time of which no rule is known; its neighbours count all the same
                    self._events.of(meta.Label.OUT_OF_TIME.value).inc()
                except UnusableKeyError:
                    batch.unkept += 1
                if batch.due:
                    await batch.flow()
            answers = await batch.answers()
            if batch.unkept:
                self._events.of(meta.Label.UNKEPT.value).inc(batch.unkept)
        finally:
            await batch.give_up()
        found, late = [], dict[tuple[str, str], None]()
        for n, (settling, quote, tag) in batch.settling.items():
            outcome = settled(answers[n])
            late |= dict.fromkeys((tag, wamid) for wamid in outcome.late)
            settlement = self._statuses.settlement(settling, quote, outcome)
            if settlement is not None:
                found.append(settlement)
        if late:
            found += await self._statuses.settle_again(list(late), now=now)
        overtaken = list[meta.Status]()
        for n, status in batch.parking.items():
            if isinstance(answers[n], list):  # it names the message of a send that waited for that
                self._metrics.unnamed_sends.labels("named").inc()
                overtaken += [_decode_status(parked) for parked in answers[n]]
            if answers[n] != 0:
                overtaken.append(status)
        if overtaken and not again:  # their send was accepted between our reading and our parking
            found += await self.absorb(overtaken, now=now, again=True)
        elif overtaken:  # of records that another version of ours wrote
            self._events.of(meta.Label.UNREADABLE.value).inc(len(overtaken))
        return found

    async def unpark(self, parked: Sequence[bytes], *, now: int) -> list[Settlement]:
        """Take in statuses that came before the answer to their own send."""
        return await self.absorb([_decode_status(status) for status in parked], now=now) if parked else []

    async def _looked_up(
        self, events: Sequence[meta.Event], *, now: int
    ) -> tuple[list[Number | None], dict[tuple[str, str], Message]]:
        """The number whose thread each event is about (None: it is about none), and the messages that statuses are of."""
        seen: dict[tuple[type, str, str, str | None], Number] = {}  # most of a webhook is about one number
        found: list[Number | None] = []
        wanted: dict[tuple[str, str], None] = {}
        for event in events:
            kind = type(event)
            if kind not in _OF_THREADS or not event.phone_number_id:
                found.append(None)
                continue
            place = kind, event.waba_id, event.phone_number_id, event.own_number if isinstance(event, meta.Inbound) else None
            number = seen.get(place)
            if number is None:
                try:
                    number = seen[place] = await self._directory.seen(event)
                    if kind is not meta.SystemChange:
                        await self._watch(number, now=now)
                except UnusableKeyError:
                    self._events.of(meta.Label.UNKEPT.value).inc()
                    found.append(None)
                    continue
            found.append(number)
            if isinstance(event, meta.Status):
                wanted[number.tag, event.wamid] = None
        if not wanted:
            return found, {}
        records = await self._ledger.records(list(wanted))
        return found, {key: Message(records.get(key)) for key in wanted}

    async def _learn(self, event: meta.Event, batch: Batch) -> None:
        """What is said of an account, if anything."""
        if isinstance(event, News):
            await self._registry.learn(event)
        elif isinstance(event, meta.VolumeTier):
            self._tier(event, batch)

    def _tier(self, event: meta.VolumeTier, batch: Batch) -> None:
        """Meta says which volume tier a portfolio has come to: it counts over all partners, and we only our own."""
        market = self._book.markets.named(event.region)
        account = self._directory.account(event.waba_id)
        if market is None or account is None:
            self._events.of(meta.Label.UNKNOWN_TIER.value).inc()
            return
        meter = volume_meter(event.category, market, account, self._book, month=event.month)
        batch.add(calls.tell_meter(account.portfolio, meter, event.first - 1))

    def _heard(self, event: _Heard, number: Number, batch: Batch) -> None:
        """Something that a user did, or that was done with a user's thread; nothing that bears our own number is either."""
        at = when(event.at, batch.now)
        if event.wa_id and canonical(event.wa_id) == self._directory.own(number.phone_number_id):
            return
        if isinstance(event, meta.SystemChange):
            batch.link(renamed(self._directory, number, event, said=at, now=batch.now))
            return
        effects, group_id = self._effects(number.account), None
        names = Names(user_id=event.user_id, parent_user_id=event.parent_user_id, wa_id=event.wa_id)
        known = names.known
        if isinstance(event, meta.Inbound):
            group_id = event.group_id
            group = group_id is not None
            changes = effects.wrote(at=at, kind=event.type, from_ad=event.from_ad, standby=event.standby, group=group)
            if event.wish and not group:
                changes += effects.wished(event.wish, self._policy, at=at)
        elif isinstance(event, meta.Call):
            changes = effects.called(at=at) if event.by_user or event.accepted else []
        elif isinstance(event, meta.Preference):
            changes = effects.preferred(at=at, stop=event.stop) if event.category == _MARKETING else []
        else:
            changes = [effects.held(at=at, elsewhere=event.taken)]
        if changes:
            for name in [group_id] if group_id else known[:1]:
                batch.observe(keys.thread(number.tag, number.phone_number_id, name), changes)
        # Last, so that every name leads to the thread as long as what was just said of it lasts.
        batch.link(told(self._directory, number, names, known, said=at, now=batch.now))

    async def _watch(self, number: Number, *, now: int) -> None:
        """Remember that this number is watched; not at every webhook."""
        if self._watching and now - self._watched.get(number.phone_number_id, 0) >= _WATCH_EVERY_MS:
            await self._ledger.watch(number.tag, number.phone_number_id, now=now)
            remember(self._watched, number.phone_number_id, now, most=NUMBERS)

    def _effects(self, account: Account) -> Effects:
        """What events do to the threads of an account, made once for it: whoever has it keeps its id."""
        found = self._effects_on.get(id(account))
        if found is None or found[0] is not account:
            made = Effects(self._book, account, reaction_opens=self._policy.reaction_opens_window, forever=keys.OPTED_OUT_MS)
            found = remember(self._effects_on, id(account), (account, made))
        return found[1]
