"""Own the calls: each verb's script with its keys and arguments, in the order that the script's header names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

import msgspec

from gatekeeper.core.bill import Quoted
from gatekeeper.core.calendar import local_day
from gatekeeper.core.effects import Change
from gatekeeper.core.guards import Guard, Noun
from gatekeeper.core.holding import Text
from gatekeeper.core.plan import Plan
from gatekeeper.core.recipients import Link
from gatekeeper.core.reservation import Facts, State
from gatekeeper.core.rows import Row
from gatekeeper.core.settlement import Settling
from gatekeeper.core.tariff import UNKNOWN_PRICE, Meter
from gatekeeper.core.word import Word
from gatekeeper.ledger import keys, wire


class Call(msgspec.Struct, frozen=True):
    """One script with its keys and arguments."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[bytes | str | int]


def authorize(tag: str, plan: Plan, facts: Facts, *, commit: bool, enforce: bool, registry: str) -> Call:
    """Decide one send and reserve what it takes; *registry* is the version of the templates that the plan rests on."""
    sent = plan.sent
    meters, meter_keys = _meters(tag, 5, plan.rows)
    named = [
        keys.thread(tag, sent.phone_number_id, sent.recipient),
        keys.reservation(tag, facts.id),
        keys.watch(tag, sent.phone_number_id),
        keys.templates(tag, plan.account.waba_id),
        *meter_keys,
    ]
    places = []
    for own in [_guard_keys(tag, guard) for guard in plan.guards]:
        first, second = (len(named) + n if n <= len(own) else 0 for n in (1, 2))
        places.append((first, second))
        named += own
    packed = wire.plan(plan, meters, tuple(places), commit=commit, enforce=enforce, registry=registry)
    return Call("authorize", named, (packed, wire.facts(facts)))


def accept(tag: str, quoted: Quoted, wamid: str) -> Call:
    """Give a reservation its wamid and book its quote; the statuses that were parked under it come back, oldest first."""
    named = [
        keys.reservation(tag, quoted.id),
        keys.message(tag, wamid),
        keys.parked(tag, wamid),
        keys.spend(tag, quoted.waba_id, quoted.day),
    ]
    price = UNKNOWN_PRICE if quoted.price is None else quoted.price
    return Call("accept", named, (State.ACCEPTED.value, quoted.cell.packed, price, keys.SPEND_MS))


def expect(tag: str, quoted: Quoted, facts: Facts, *, taken: bool, now: int) -> Call:
    """Let a send wait for a status that names its message. *taken*: Meta took it."""
    named = [
        keys.reservation(tag, facts.id),
        keys.thread(tag, facts.phone_number_id, facts.recipient),
        keys.lapsing(tag),
        keys.spend(tag, quoted.waba_id, quoted.day),
    ]
    price = UNKNOWN_PRICE if quoted.price is None else quoted.price
    booked = (State.ACCEPTED.value, quoted.cell.packed, price, keys.SPEND_MS)
    waits = (facts.at - keys.SKEW_MS, facts.product.value, now + keys.UNNAMED_MS, 2 * keys.UNNAMED_MS)
    return Call("expect", named, (int(taken), *booked, *waits))


def park(tag: str, wamid: str, status: bytes, threads: Sequence[str] = (), *, at: int = 0, category: str = "") -> Call:
    """
    Keep a status whose message is unknown; 1 when it is known after all.

    A send of one of *threads* that waits for the name of its message may be its; then the statuses parked before come back.
    """
    named = [keys.message(tag, wamid), keys.parked(tag, wamid), *threads]
    return Call("park", named, (status, keys.PARKED_MS, at, category))


def note(tag: str, wamid: str, word: Word) -> Call:
    """Remember Meta's word on a message for the status that will settle it."""
    return Call("note", [keys.message(tag, wamid)], (msgspec.msgpack.encode(word),))


def settle(tag: str, settling: Settling, wamid: str, thread: str) -> Call:
    """Settle or release the message *wamid*, whose reservation was made on *thread*."""
    return _move(tag, settling, keys.message(tag, wamid), thread)


def release(tag: str, settling: Settling) -> Call:
    """Give back what a send holds that Meta refused, or never named."""
    facts = settling.facts
    return _move(tag, settling, keys.reservation(tag, facts.id), keys.thread(tag, facts.phone_number_id, facts.recipient))


def observe(thread: str, changes: list[Change], *, now: int) -> Call:
    """Move the clocks of one thread by what Meta said of it."""
    return Call("observe", [thread], (now, wire.changes(changes)))


def link(tag: str, phone_number_id: str, link: Link, *, now: int, said: int) -> Call:
    """Let one name of a user lead to another from now on; *said* is when Meta said so."""
    named = [keys.thread(tag, phone_number_id, name) for name in (link.name, link.thread)]
    return Call("link", named, (now, min(said, now), link.exact.value, "", keys.LINK_MS))


def carry(tag: str, phone_number_id: str, link: Link, clock: str, *, now: int) -> Call:
    """Let one clock of a name go along to another that does not lead to the same thread."""
    named = [keys.thread(tag, phone_number_id, name) for name in (link.name, link.thread)]
    return Call("link", named, (now, now, link.exact.value, clock, keys.LINK_MS))


def learn(tag: str, waba_id: str, facts: dict[str, str], version: str = "") -> Call:
    """Keep what Meta said of an account and its templates, if what is known is still *version*; empty: in any case."""
    return Call("learn", [keys.templates(tag, waba_id)], (wire.learned(facts, version), keys.TEMPLATES_MS))


def tell_meter(tag: str, meter: Meter, floor: int) -> Call:
    """Let a meter read at least *floor*, because Meta says so."""
    return Call("meter", [meter_key(tag, meter)], ("told", floor, keys.METER_MS))


def open_meter(tag: str, meter: Meter, units: int) -> Call:
    """Let a meter start from what was counted before us."""
    return Call("meter", [meter_key(tag, meter)], ("opening", units, keys.METER_MS))


def claim(key: str, *, now: int, owner: str, digest: str, patience: int) -> Call:
    """Be the first send with an idempotency key, or hear what became of the first."""
    return Call("claim", [key], (now, owner, digest, patience, keys.REPEAT_MS))


def conclude(key: str, *, owner: str, outcome: str, answer: bytes = b"") -> Call:
    """Say what became of the first send with an idempotency key."""
    return Call("conclude", [key], (owner, outcome, answer))


def queue(tag: str, phone_number_id: str, recipient: str, text: Text, *, step: str, now: int) -> Call:
    """Let a text wait for its recipient, or ask the recipient first."""
    named = [*_lists(tag, phone_number_id, recipient), keys.text(tag, text.id)]
    return Call("queue", named, (now, step, msgspec.msgpack.encode(text.entry), text.request, text.secret))


def take(tag: str, phone_number_id: str, recipient: str, *, owner: str, clock: str, patience: int, look: int, now: int) -> Call:
    """Claim the first text that waits for a recipient who has answered."""
    return Call("take", _lists(tag, phone_number_id, recipient), (now, owner, clock, patience, look, keys.TEXT_MS))


def move_on(text: str, waiting: str, holding: str, onward: bytes, *, now: int) -> Call:
    """Move a text on that was claimed; 1 when it was the claimant's."""
    return Call("pass", [text, waiting, holding], (now, onward))


def wake(tag: str, phone_number_id: str, name: str, *, now: int) -> Call:
    """Look at once at what waits for a user."""
    return Call("wake", [keys.holding(tag), keys.thread(tag, phone_number_id, name)], (now,))


def _lists(tag: str, phone_number_id: str, recipient: str) -> list[str]:
    waiting, thread = (noun(tag, phone_number_id, recipient) for noun in (keys.waiting, keys.thread))
    return [waiting, keys.holding(tag), thread]


def meter_key(tag: str, meter: Meter) -> str:
    """The key of a meter."""
    return keys.meter(tag, meter.name, meter.owner, meter.month)


def _guard_keys(tag: str, guard: Guard) -> Sequence[str]:
    """The keys that a guard looks at, in the order in which its kind has them."""
    return _GUARDED[guard.noun](tag, *guard.owner)


_GUARDED: dict[Noun, Callable[..., Sequence[str]]] = {
    Noun.BUDGET: lambda tag, *owner: (keys.budget(tag, *(quote(part, safe="") for part in owner)),),
    Noun.RATE: lambda tag, number: (keys.rate(tag, number),),
    Noun.PAIR: lambda tag, number: (keys.pair(tag, number),),
    Noun.REACHED: lambda tag: (keys.reached(tag), keys.held(tag)),
    Noun.THREAD: lambda _: (),
}


def _move(tag: str, settling: Settling, record: str, thread: str) -> Call:
    meters, meter_keys = _meters(tag, 4, settling.rows, settling.own)
    spend = keys.spend(tag, settling.account.waba_id, local_day(settling.at, settling.account.zone))
    named = [record, thread, spend, *meter_keys]
    return Call("settle", named, (wire.move(settling, meters),))


def _meters(tag: str, first: int, *tables: tuple[Row, ...]) -> tuple[dict[Meter, int], list[str]]:
    """The meters of some rows, each with its index among the keys, the first of which is *first*; and those keys."""
    return wire.once(("meters", tag, first, *map(id, tables)), _of_meters, tag, first, *tables)


def _of_meters(tag: str, first: int, *tables: tuple[Row, ...]) -> tuple[dict[Meter, int], list[str]]:
    metered = dict.fromkeys(row.meter for table in tables for row in table if row.meter is not None)
    return {meter: n for n, meter in enumerate(metered, first)}, [meter_key(tag, meter) for meter in metered]
