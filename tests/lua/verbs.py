"""
The scripts called by hand, on clocks that mean nothing: `w`, `x`, `y` and `z`.

Moments are milliseconds after `NOW`, which is arbitrary; what a script writes is given back the same way.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, get_origin

import msgspec
from redis import Redis

from gatekeeper.core.effects import Change
from gatekeeper.core.outcome import Outcome
from gatekeeper.core.settlement import Settled
from gatekeeper.ledger import keys, scripts, shapes, wire

NOW = 1_700_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
UNKNOWN = -1

ID, WAMID = "s1", "wamid.1"
THREAD, OTHER = keys.thread("P", "1", "49151"), keys.thread("P", "1", "DE.49")
RESERVATION, MESSAGE, PARKED = keys.reservation("P", ID), keys.message("P", WAMID), keys.parked("P", WAMID)
STRAYS, UNNAMED, LAPSING = keys.strays("P", "1", "49151"), keys.unnamed("P", "1", "49151"), keys.lapsing("P")
WATCH, REGISTRY = keys.watch("P", "1"), keys.templates("P", "9")
SPEND = keys.spend("P", "9", dt.date(2026, 10, 20))
METER, NEXT_METER = keys.meter("P", "free", "1", "2026-10"), keys.meter("P", "free", "1", "2026-11")
REPEAT = keys.repeat("P", "1", "digest")
DELIVERIES, OTHER_DELIVERIES = keys.deliveries("P", "1", "49151"), keys.deliveries("P", "1", "DE.49")
BUDGET, RATE, PAIR = keys.budget("P", "b", "waba", "9", "USD", "2026-10"), keys.rate("P", "1"), keys.pair("P", "1")
REACHED, HELD_BACK = keys.reached("P"), keys.held("P")
# The place of the first meter among the keys of each script: a case names its meter so, and a guard its keys.
HELD, COUNTED = (scripts.load()[verb].keys + 1 for verb in ("authorize", "settle"))

_OF_A_LINK = ("exact", "said")
_MOMENTS = ("", "<", "!", "*", "?", "=", "@")  # the fields of a clock that hold a moment
_WORDS = ("&", "#", "~", "%")  # those that hold something else


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """A guard of any kind: what its own kind does not ask is not sent."""

    kind: str
    key: int
    held: int
    enforce: bool = True
    by_recipient: bool = False
    limit: int = 0
    every: int = 0
    burst: int = 0
    lifetime: int = DAY
    cases: tuple[int, ...] = ()
    unless: str = ""
    clock: str = ""

    def shaped(self) -> shapes.Guard:
        kind = TERMS[self.kind]
        terms = kind(**{name: getattr(self, name) for name in kind.__struct_fields__})
        return shapes.Guard(
            kind=self.kind,
            enforced=self.enforce,
            unless=self.unless,
            among=shapes.values(*self.cases),
            terms=shapes.packed(terms),
        )


TERMS: dict[str, type[shapes.Row]] = {
    "at_most": shapes.AtMost,
    "spaced": shapes.Spaced,
    "distinct": shapes.Distinct,
    "turn": shapes.Clocked,
    "absent": shapes.Clocked,
}


def bar(clock: str, *, open: bool = False) -> shapes.Bar:  # noqa: A002 - it reads as it is meant
    """A bar that forbids while *clock* is closed, or while it is *open*."""
    return shapes.Bar(clock=clock, refuse_open=open)


def case(
    *needs: str,
    opens: str = "",
    length: int = HOUR,
    price: int = 0,
    meter: int = 0,
    steps: Iterable[tuple[int, int]] = (),
    unconfirmed: bool = False,
) -> shapes.Case:
    """A case that holds while any of *needs* is open; *steps* come before its *price*."""
    terms = shapes.Terms(
        price=price,
        steps=shapes.values(*itertools.chain(*steps)),
        meter=meter,
        opens=opens,
        length=length,
        cell="line",
    )
    first, *others = needs or ("",)
    return shapes.Case(needs=first, others=shapes.values(*others), unconfirmed=unconfirmed, terms=shapes.packed(terms))


def guard(kind: str, *, key: int = HELD, **more: Any) -> Guard:
    """A guard over the first of the keys that a plan leaves open; `held` is its second key."""
    return Guard(kind=kind, key=key, held=key + 1, **more)


def rule(
    *,
    block: bool = True,
    enforce: bool = True,
    above: int = UNKNOWN,
    window: str = "",
    open: bool = False,  # noqa: A002 - the field's name
    cases: tuple[int, ...] = (),
) -> shapes.Rule:
    """A rule that always matches, but for what is given."""
    return shapes.Rule(window=window, open=open, above=above, among=shapes.values(*cases), block=block, enforced=enforce)


def opened(clock: str, at: int, ends: int, by: str = "") -> Change:
    return Change(kind="open", clock=clock, at=NOW + at, ends=NOW + ends, by=by)


def shut(clock: str, at: int, ends: int = DAY, by: str = "") -> Change:
    return Change(kind="shut", clock=clock, at=NOW + at, ends=NOW + ends, by=by)


def told(clock: str, at: int, ends: int, by: str = "", conversation: str = "") -> Change:
    return Change(kind="tell", clock=clock, at=NOW + at, ends=NOW + ends, by=by, conversation=conversation)


def proven(clock: str, at: int) -> Change:
    return Change(kind="prove", clock=clock, at=NOW + at, ends=NOW + at)


def _filled(kind: type[shapes.Row], /, **given: Any) -> shapes.Row:
    """A row that says nothing but what is given: no text, no number, an empty list."""
    nothing = {msgspec.Raw: shapes.values}
    types = {field.name: get_origin(field.type) or field.type for field in msgspec.structs.fields(kind)}
    return kind(**{name: nothing.get(type_, type_)() for name, type_ in types.items()} | given)


class Verbs:
    """Each script, with what a test does not care for filled in."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._scripts = scripts.load()

    def run(self, script: str, named: Iterable[str], *arguments: Any) -> Any:
        listed = list(named)
        return self.redis.eval(self._scripts[script].source, len(listed), *listed, *arguments)

    # ------------------------------------------------------------------------------------------------------ verbs

    def authorize(
        self,
        *cases: shapes.Case,
        bars: Iterable[shapes.Bar] = (),
        rules: Iterable[shapes.Rule] = (),
        guards: Iterable[Guard] = (),
        latches: Iterable[str] = ("w",),
        lifetime: int = 38 * DAY,
        meter_lifetime: int = 75 * DAY,
        at: int = 0,
        id: str = ID,  # noqa: A002 - the field's name
        thread: str = THREAD,
        meters: Iterable[str] = (METER,),
        **plan: Any,
    ) -> Outcome:
        whole = _filled(
            shapes.Plan,
            now=NOW + at,
            bars=shapes.flat(bars),
            cases=shapes.flat(cases),
            rules=shapes.rows(rules),
            guards=shapes.rows(one.shaped() for one in guards),
            state="reserved",
            latches=shapes.values(*latches),
            lifetime=str(lifetime),
            meter_lifetime=meter_lifetime,
            **{"commit": True, "enforce": True} | plan,
        )
        named = [thread, keys.reservation("P", id), WATCH, REGISTRY, *meters]
        answer = self.run("authorize", named, shapes.row(whole), b"facts")
        return wire.outcome(answer)

    def accept(self, id: str = ID, wamid: str = WAMID, quote: int = 0, lifetime: int = 400 * DAY) -> list[bytes]:  # noqa: A002
        named = [keys.reservation("P", id), keys.message("P", wamid), keys.parked("P", wamid), SPEND]
        return self.run("accept", named, "accepted", "line", quote, lifetime)

    def park(
        self,
        status: str,
        lifetime: int = 10 * MINUTE,
        *threads: str,
        wamid: str = WAMID,
        at: int = 0,
        category: str = "",
    ) -> int | list[bytes]:
        named = [keys.message("P", wamid), keys.parked("P", wamid), *threads]
        return self.run("park", named, status, lifetime, NOW + at, category)

    def expect(
        self,
        id: str = ID,  # noqa: A002 - the field's name
        *,
        taken: bool = True,
        thread: str = THREAD,
        since: int = 0,
        product: str = "utility",
        quote: int = 0,
        ends: int = 8 * DAY,
        lifetime: int = 16 * DAY,
    ) -> list[bytes]:
        named = [keys.reservation("P", id), thread, LAPSING, SPEND]
        booked = int(taken), "accepted", "line", quote, 400 * DAY
        return self.run("expect", named, *booked, NOW + since, product, NOW + ends, lifetime)

    def note(self, note: str) -> int:
        return self.run("note", [MESSAGE], note)

    def settle(
        self, *cases: shapes.Case, record: str = MESSAGE, thread: str = THREAD, meters: Iterable[str] = (METER,), **move: Any
    ) -> Settled:
        answer = self.run("settle", [record, thread, SPEND, *meters], self.move(*cases, **move))
        return wire.settled(answer)

    @staticmethod
    def move(
        *cases: shapes.Case,
        at: int,
        id: str = ID,  # noqa: A002 - the field's name
        own: Iterable[shapes.Case] = (),
        leaving: Iterable[str] = ("accepted",),
        lifetime: int = 8 * DAY,
        **move: Any,
    ) -> bytes:
        """The argument of a settlement."""
        usual = {"to": "settled", "sent_at": NOW}
        lives = {"lifetime": str(lifetime), "meter_lifetime": 75 * DAY, "spend_lifetime": 400 * DAY}
        listed = {"cases": shapes.flat(cases), "own": shapes.flat(own), "leaving": shapes.values(*leaving)}
        return shapes.row(_filled(shapes.Move, at=NOW + at, id=id, **listed, **lives | usual | move))

    def delivered(self, *cases: shapes.Case, at: int, sent: str, **move: Any) -> Settled:
        """A delivery of the message of this send, which has the same name."""
        return self.settle(*cases, at=at, id=sent, record=keys.message("P", sent), **{"leaving": ("accepted", "released")} | move)

    def fail(self, at: int, **how: Any) -> Settled:
        return self.settle(at=at, to="released", **how)

    def release(self, id: str = ID, at: int = 0) -> Settled:  # noqa: A002 - the field's name
        record = keys.reservation("P", id)
        return self.settle(at=at, id=id, record=record, leaving=("reserved",), to="released", lifetime=0)

    def observe(self, *changes: Change, at: int = 0, thread: str = THREAD) -> int:
        return self.run("observe", [thread], NOW + at, msgspec.msgpack.encode(changes))

    def link(
        self, name: str, thread: str, lifetime: int = 400 * DAY, *, at: int = 0, said: int = 0, exact: int = 1, only: str = ""
    ) -> int:
        return self.run("link", [name, thread], NOW + at, NOW + said, exact, only, lifetime)

    def sent(self, *cases: shapes.Case, id: str = ID, wamid: str = WAMID, at: int = 0, **plan: Any) -> Outcome:  # noqa: A002
        """A send that Meta accepted."""
        outcome = self.authorize(*cases, id=id, at=at, **plan)
        self.accept(id, wamid)
        return outcome

    # ---------------------------------------------------------------------------------------------- what is there

    def has(self, thread: str = THREAD, lifetime: int = DAY, **clocks: Mapping[str, int] | int | tuple[int, int]) -> None:
        """
        Lay clocks down: an end, or since when and until when; or fields by their sign.

        `w=HOUR`, `w=(-HOUR, HOUR)`, `w={"?": HOUR, "&": "s1"}`
        """
        for clock, value in clocks.items():
            if isinstance(value, Mapping):
                fields = value
            else:
                since, ends = value if isinstance(value, tuple) else (0, value)
                fields = {"": ends, "<": since}
            for sign, moment in fields.items():
                self.redis.hset(thread, clock + sign, moment if sign in _WORDS else NOW + moment)
        self.redis.pexpire(thread, lifetime)

    def reads(self, settled: int = 0, reserved: int = 0, meter: str = METER) -> None:
        """Set a meter."""
        self.redis.hset(meter, mapping={"settled": settled, "reserved": reserved})
        self.redis.pexpire(meter, DAY)

    def clocks(self, thread: str = THREAD) -> dict[str, int | str]:
        """Every field of a thread, moments after NOW; of a name only where it leads."""
        found = {field.decode(): value.decode() for field, value in self.redis.hgetall(thread).items()}
        return {
            field: value if field == "link" or field.endswith(_WORDS) else int(value) - NOW
            for field, value in sorted(found.items())
            if field not in _OF_A_LINK
        }

    def clock(self, name: str, thread: str = THREAD) -> dict[str, int | str]:
        """The fields of one clock by their sign."""
        found = self.clocks(thread)
        return {sign: found[name + sign] for sign in (*_MOMENTS, *_WORDS) if name + sign in found}

    def deliveries(self, key: str = DELIVERIES) -> dict[str, tuple[int, str]]:
        """What the log has of each delivery: its time, and what it opened."""
        found = {name.decode(): msgspec.msgpack.decode(row) for name, row in self.redis.hgetall(key).items()}
        return {name: (row[0] - NOW, row[1]) for name, row in sorted(found.items(), key=lambda each: each[1][0])}

    def meter(self, meter: str = METER) -> dict[str, int]:
        return {field.decode(): int(value) for field, value in self.redis.hgetall(meter).items()}

    def record(self, key: str = RESERVATION) -> dict[str, str]:
        return {field.decode(): value.decode(errors="replace") for field, value in self.redis.hgetall(key).items()}

    def lifetime(self, key: str) -> int:
        """How long a key still lives, to the minute."""
        return -(-self.redis.pttl(key) // MINUTE) * MINUTE

    def everything(self) -> dict[bytes, tuple[bytes, int]]:
        """Each key's content and lifetime to the minute."""
        return {key: (self.redis.dump(key), self.lifetime(key)) for key in sorted(self.redis.scan_iter())}


def orders(items: Iterable[Any]) -> list[tuple[Any, ...]]:
    return list(itertools.permutations(items))
