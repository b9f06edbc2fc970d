"""
One thread as a person would keep it on paper, told in the order of life: what is open, what is expected, what is counted.

It knows the rules of two regimes by their names, and nothing of plans, scripts or keys. Moments are milliseconds.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from story import h

CBP, PMP = "2023-09-28", "2026-10-28"
DAY = h(24)
MONTH_END = {CBP: 3 * DAY, PMP: 4 * DAY}  # the midnight that ends the first one
FREE = 1000
PRICES = {
    CBP: {"marketing": 136_500, "utility": 85_300, "service": 81_900},
    PMP: {"marketing": 136_500, "utility": 55_000, "service": 55_000},
}
WINDOW, OFFER, ENTRY, CONVERSATION = h(24), h(24), h(72), h(24)
TEXT, REACTION = "service", "reaction"


class Span(NamedTuple):
    """Something open from a moment up to another."""

    since: int
    ends: int

    def holds(self, at: int) -> bool:
        return self.since <= at < self.ends


NEVER = Span(-1, -1)


class Expected(NamedTuple):
    """An opening by a send that is on its way."""

    ends: int
    by: str


class Quote(NamedTuple):
    """What a decision should say."""

    reason: str
    opens: str | None = None
    charged: bool = False
    price: int = 0
    bound: str = "exact"
    left: int | None = None
    blocked: int | None = None


class Outcome(NamedTuple):
    """What a settlement should say."""

    opened: str | None
    charged: bool
    price: int


class Message(NamedTuple):
    product: str
    at: int
    month: str | None


class Thread:
    """What is known of one user on one number."""

    def __init__(self, day: str, used: int) -> None:
        self.day = day
        self.window = self.offer = self.entry = NEVER
        self.window_shut = self.offer_used = -1
        self.stopped, self.resumed = -1, -1
        self.conversations: dict[str, Span] = {}
        self.expected: dict[str, Expected] = {}
        self.messages: dict[str, Message] = {}
        self.settled, self.reserved = Counter({"first": used}), Counter[str]()

    # ------------------------------------------------------------------------------------------------------ the user

    def writes(self, at: int, *, ad: bool) -> None:
        self.window = Span(at, at + WINDOW)
        if ad:
            self.offer = Span(at, at + OFFER)

    def stops(self, at: int) -> None:
        self.stopped = at

    def resumes(self, at: int) -> None:
        self.resumed = at

    # ------------------------------------------------------------------------------------------------------- asking

    def window_open(self, at: int) -> bool:
        return self.window.holds(at) and self.window.since > self.window_shut

    def _offered(self, at: int, sent_at: int | None = None) -> bool:
        """Whether an ad is on offer; a message answers only what was on offer when it was sent."""
        return self.offer.holds(at) and self.offer.since > self.offer_used and (sent_at is None or self.offer.since <= sent_at)

    def _open(self, clock: str, at: int) -> bool:
        if clock == "entry":
            return self.entry.holds(at)
        return self.conversations.get(clock, NEVER).holds(at)

    def _expects(self, clock: str, at: int) -> bool:
        return self._open(clock, at) or (clock in self.expected and self.expected[clock].ends > at)

    def _joins(self, product: str, is_open) -> bool:
        asked = (product,) if product != TEXT else ("marketing", "utility", TEXT)
        return any(is_open(clock) for clock in asked)

    def _case(self, product: str, at: int, is_open, *, certain: bool, sent_at: int | None = None) -> str:
        """What a message is, by what *is_open* says; *certain*: an answer to an ad may have come from a desktop."""
        if product == REACTION:
            return "free_reaction"
        if is_open("entry") and not certain:  # Meta says nothing of it here, and only Android and iOS count
            return "free_entry_point"
        if self._offered(at, sent_at) and not certain:
            return "opens_free_entry_point"
        if self.day == PMP:
            return "charged_message"
        return "inside_open_conversation" if self._joins(product, is_open) else "opens_conversation"

    def _counts(self, case: str, product: str) -> bool:
        """Whether a message takes a unit of the month's allowance."""
        return product == TEXT and case in ("charged_message", "opens_conversation")

    def _price(self, case: str, product: str, reading: int) -> int:
        if case not in ("charged_message", "opens_conversation"):
            return 0
        return 0 if product == TEXT and reading < FREE else PRICES[self.day][product]

    def _opens(self, case: str, product: str) -> str | None:
        return {"opens_free_entry_point": "free_entry_point", "opens_conversation": product}.get(case)

    # --------------------------------------------------------------------------------------------------------- us

    def quote(self, product: str, at: int) -> Quote:
        """What a send would be told."""
        if product == "marketing" and self.stopped > self.resumed:
            return Quote("recipient_opted_out", blocked=131050)
        if product in (TEXT, REACTION) and not self.window_open(at):
            return Quote("outside_customer_service_window", blocked=131047)
        case = self._case(product, at, lambda clock: self._expects(clock, at), certain=False)
        sure = self._case(product, at, lambda clock: self._open(clock, at), certain=True)
        reading = self.settled[self.month(at)] + self.reserved[self.month(at)]
        cost, most = self._price(case, product, reading), self._price(sure, product, reading)
        counts = self._counts(case, product)
        free = counts and reading < FREE
        return Quote(
            reason="within_free_tier" if free else case,
            opens=self._opens(case, product),
            charged=case in ("charged_message", "opens_conversation") and not free,
            price=max(cost, most),
            bound="at-most" if most > cost else "exact",
            left=max(FREE - reading - 1, 0) if counts else None,
        )

    def sends(self, name: str, product: str, at: int) -> None:
        """A send is let out."""
        case = self._case(product, at, lambda clock: self._expects(clock, at), certain=False)
        if case == "opens_free_entry_point":
            self.expected["entry"] = Expected(at + ENTRY, name)
        elif case == "opens_conversation":
            self.expected[product] = Expected(at + CONVERSATION, name)
        held = self.month(at) if self._counts(case, product) else None
        self.messages[name] = Message(product, at, held)
        if held:
            self.reserved[held] += 1

    def _ends(self, name: str) -> Message:
        message = self.messages.pop(name)
        self.expected = {clock: each for clock, each in self.expected.items() if each.by != name}
        if message.month:
            self.reserved[message.month] -= 1
        return message

    def lands(self, name: str, at: int) -> Outcome:
        """A message is delivered."""
        message = self._ends(name)
        product = message.product
        case = self._case(product, at, lambda clock: self._open(clock, at), certain=False, sent_at=message.at)
        reading = self.settled[self.month(at)]
        price = self._price(case, product, reading)
        if case == "opens_free_entry_point":
            self.entry, self.offer_used = Span(at, at + ENTRY), at
        elif case == "opens_conversation":
            self.conversations[product] = Span(at, at + CONVERSATION)
        if self._counts(case, product):
            self.settled[self.month(at)] += 1
        return Outcome(self._opens(case, product), price > 0, price)

    def fails(self, name: str, at: int, code: int) -> None:
        """A message fails late; what that says of the thread was true when it was sent."""
        message = self._ends(name)
        if code == 131047:
            self.window_shut = max(self.window_shut, message.at)
        if code == 131050:
            self.stops(at)

    def is_refused(self, name: str) -> None:
        """Meta refuses a send at once."""
        self._ends(name)

    # --------------------------------------------------------------------------------------------------------- all

    def open(self, at: int) -> dict[str, int]:
        """The clocks that are certainly open, by their names in the ledger."""
        spans = {"fep": self.entry} | {f"c:{category}": span for category, span in self.conversations.items()}
        found = {clock: span.ends for clock, span in spans.items() if span.holds(at)}
        if self.window_open(at):
            found["csw"] = self.window.ends
        if self._offered(at):
            found["offer"] = self.offer.ends
        return found

    def counts(self) -> dict[str, tuple[int, int]]:
        """What each month's meter reads, where it reads something."""
        months = {**self.settled, **self.reserved}
        return {name: reads for name in months if any(reads := (self.settled[name], self.reserved[name]))}

    def month(self, at: int) -> str:
        """The month of a moment: a history goes from one into the next."""
        return "first" if at < MONTH_END[self.day] else "second"
