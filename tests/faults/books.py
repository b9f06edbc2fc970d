"""What every party saw: each caller's letter with its attempts, what arrived at Meta, what Meta told, and when the ledger forgot."""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum

MICROS = 1_000_000


def now() -> float:
    return time.monotonic()


class Kind(StrEnum):
    """What is sent: two templates under a budget each, and a text."""

    UTILITY = "order_update"
    MARKETING = "spring_sale"
    TEXT = "text"


class Says(StrEnum):
    """What an answer tells its caller of this one attempt."""

    TAKEN = "taken"
    NOT_SENT = "not sent"
    UNKNOWN = "unknown"
    NOTHING = "nothing"
    """The connection was made and broke."""
    REFUSED = "refused"
    """No connection was made."""


@dataclass
class Arrival:
    """One attempt as it came to Meta; *whole*: with its body. *taken*: Meta sends the message."""

    tag: str
    at: float
    mood: str
    whole: bool = False
    taken: bool = False
    wamid: str = ""


@dataclass
class Attempt:
    """One request of a caller, and all that the answer said."""

    letter: Letter
    tag: str
    gate: str
    began: float
    ended: float = 0.0
    says: Says = Says.NOTHING
    error: str = ""
    status: int = 0
    id: str = ""
    verdict: str = ""
    reason: str = ""
    state: str = ""
    price: int | None = None
    decide_ms: float = 0.0
    replayed: bool = False
    ours: bool = False
    """The answer was made by the gate."""
    details: str = ""
    lasting: bool = False
    """It came by a connection that lasts for several."""

    @property
    def degraded(self) -> bool:
        return self.state == "degraded"

    def overlaps(self, began: float, ended: float) -> bool:
        return self.began <= ended and (self.ended or now()) >= began


@dataclass
class Letter:
    """What one caller wants to be sent once."""

    marker: str
    kind: Kind
    recipient: str
    caller: str
    key: str | None = None
    window: Told | None = None
    attempts: list[Attempt] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    done: bool = False

    @property
    def taken(self) -> list[Arrival]:
        return [arrival for arrival in self.arrivals if arrival.taken]


@dataclass
class Told:
    """One webhook of Meta's; *at*: when it was answered 200."""

    what: str
    wamid: str
    recipient: str
    at: float = 0.0
    began: float = 0.0
    tries: int = 0
    checked: bool = False


@dataclass
class Forgetting:
    """From *began* to *ended* the ledger lost what it had; *all* of it, or (a failover) what had not reached the replica."""

    began: float
    ended: float
    all: bool


@dataclass
class Injection:
    """One fault, injected once: how long it was there, and until when all was well again."""

    fault: str
    began: float
    of_ledger: bool = False
    within_s: float | None = None
    """The longest that recovery may take."""
    healed: float = 0.0
    well: float = 0.0
    recovery_s: float = 0.0
    killed: set[str] = field(default_factory=set)
    """The gates of which a process was killed."""
    stopped: dict[str, float] = field(default_factory=dict)
    """The gates that were told to stop, and when."""
    blow: float = 0.0
    last: str = ""
    """The last send that felt it."""


@dataclass
class Books:
    """Kept by all."""

    letters: dict[str, Letter] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    forgot: list[Forgetting] = field(default_factory=list)
    injections: list[Injection] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    excused: dict[str, int] = field(default_factory=dict)
    prices: dict[Kind, int] = field(default_factory=dict)
    sums: list[tuple[int, int]] = field(default_factory=list)
    """What was reserved and spent whenever the ledger was looked at."""
    strained: list[float] = field(default_factory=list)
    """When this machine kept this process, or an ask of its own to Redis, waiting for long."""
    complained: set[str] = field(default_factory=set)
    statuses: dict[str, Told] = field(default_factory=dict)
    """The last word on each message, by wamid."""
    started: float = field(default_factory=now)

    @property
    def epoch(self) -> float:
        """Since when the ledger has forgotten nothing as a whole."""
        return max((f.ended for f in self.forgot if f.all), default=self.started)

    def letter_of(self, tag: str) -> Letter:
        return self.letters[tag.partition("/")[0]]

    def during(self, began: float, ended: float) -> list[Injection]:
        """The faults of a time; they come one after the other."""
        last = bisect_right(self.injections, ended or now(), key=lambda injection: injection.began)
        found = []
        for injection in reversed(self.injections[:last]):
            if (injection.well or now()) < began:
                break
            found.append(injection)
        return found[::-1]

    def at_fault(self, began: float, ended: float) -> str:
        """Name the fault of a time; what happened when nothing was wrong has no excuse and a row of its own."""
        found = self.during(began, ended)
        return found[0].fault if found else NO_FAULT

    def forgetting(self, began: float, ended: float) -> bool:
        """Whether the ledger forgot something at a time."""
        return any(f.began <= ended and began <= f.ended for f in self.forgot)

    def excuse(self, why: str) -> None:
        self.excused[why] = self.excused.get(why, 0) + 1

    def broke(self, what: Invariant, text: str, began: float, ended: float) -> None:
        self.broken.append(Broken(what=what, text=text, fault=self.at_fault(began, ended)))


NO_FAULT = "(no fault)"


class Invariant(StrEnum):
    """What must hold whatever happens."""

    LOST = "lost"
    DOUBLED = "doubled"
    WRONG = "told not sent, though sent"
    WEBHOOK = "webhook lost"
    BUDGET = "budget leak"
    SLOW = "degraded answer too late"
    RECOVERY = "not recovered in time"
    ANSWER = "an answer that nobody promised"
    UNANSWERED = "not answered"
    COLD = "not cold after the ledger was emptied"
    LOG = "a traceback"


@dataclass
class Broken:
    """An invariant that did not hold."""

    what: Invariant
    text: str
    fault: str
