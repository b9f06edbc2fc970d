"""Budgets and the messaging limit: whatever is sent, answered, said and reloaded, they let through what they have, and keep nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter

import msgspec
from hypothesis import given, note
from hypothesis import strategies as st
from story import GROUP, ONE, PORTFOLIO, TWO, WABA, h, pmp, rulebook
from world import bounded

from gatekeeper.core.policy import Budget, Counted, Limits, Period, Policy
from gatekeeper.core.vocabulary import Mode, Money, micros
from gatekeeper.settings import Settings

DAY, UTILITY, MARKETING = "2026-10-13", 55_000, 136_500
USERS = [f"4915112345{n}" for n in range(600, 604)]
BUDGETS = {
    "all": Budget(name="all", scope=Counted.WABA, period=Period.MONTH, limit=Money(5 * MARKETING)),
    "day": Budget(name="day", scope=Counted.PHONE_NUMBER, period=Period.DAY, limit=Money(4 * MARKETING)),
    "promo": Budget(
        name="promo", scope=Counted.PORTFOLIO, period=Period.MONTH, limit=Money(3 * MARKETING), category=("marketing",)
    ),
    "each": Budget(name="each", scope=Counted.RECIPIENT, period=Period.MONTH, limit=Money(2 * MARKETING)),
}
LIMITS = [Money(n) for n in (0, UTILITY, MARKETING, MARKETING + UTILITY, 3 * MARKETING - 1, 3 * MARKETING, 10 * MARKETING)]
WORDS = [
    {},
    pmp("marketing"),
    pmp("utility"),
    pmp("marketing", "free_customer_service"),
    pmp("referral_conversion", "free_entry_point"),
]

ENDS = ["delivered", "delivered", "read", "sent", "failed"]
COSTS = {"marketing": MARKETING, "utility": UTILITY, "never heard of": MARKETING, "text": 0, "group": 0}

EXHAUSTED = 900002

nths = st.integers(0, 30)
SENDS = st.tuples(
    st.just("send"),
    st.sampled_from(["marketing", "utility", "text", "group", "never heard of"]),
    st.sampled_from(USERS),
    st.sampled_from([ONE, TWO]),
    st.integers(1, 4),
    st.sampled_from(["taken", "taken", "refused", None]),
)
STEPS = st.one_of(
    SENDS,
    SENDS,
    st.tuples(st.just("answer"), nths, st.sampled_from(["taken", "refused"])),
    st.tuples(st.just("status"), nths, st.sampled_from(ENDS), st.sampled_from(WORDS), nths),
    st.tuples(st.just("status"), st.just(-1), st.sampled_from(ENDS), st.sampled_from(WORDS), nths),
    st.tuples(st.just("reload"), st.sampled_from(list(BUDGETS)), st.sampled_from([None, *LIMITS]), st.sampled_from(list(Mode))),
    st.tuples(st.just("later"), st.sampled_from([1, 7, 26])),
)


class Books:
    """What each counter of each budget should hold, by what the gate said of each send and settlement."""

    def __init__(self):
        self.reserved, self.spent = Counter(), Counter()
        self.highest, self.beyond = Counter(), Counter()
        self.held, self.cost = {}, {}

    def takes(self, sent, counters, *, watched):
        """A send was let out: its price is reserved wherever it counts, and no counter that is kept goes over its limit by it."""
        amount = micros(sent.price) if sent.price is not None and sent.charged is not False else 0
        self.held[sent.id] = dict.fromkeys(counters, amount)
        for key, limit in counters.items():
            self.reserved[key] += amount
            self.highest[key] = max(self.highest[key], limit)
            if key in watched:
                self.beyond[key] += amount
            elif amount:
                assert self.reserved[key] + self.spent[key] <= limit

    def refuses(self, amount, counters, *, watched):
        """A send was not let out: it costs something, and there is a counter that is kept and has no room for it."""
        assert amount
        assert any(self.reserved[key] + self.spent[key] + amount > limit for key, limit in counters.items() if key not in watched)

    def gives(self, sent_id, price, member=None):
        """A send, or the first of a group's members, came to its end, or came to another one than before; *price*: what it cost."""
        before = self.cost.get((sent_id, member), 0)
        self.cost[sent_id, member] = price
        for key, amount in self.held.get(sent_id, {}).items():
            self.reserved[key] -= amount
            self.held[sent_id][key] = 0
            self.spent[key] += price - before
            self.beyond[key] += max(0, price - amount)

    def check(self, world):
        found = {key: value for key, value in world.content().items() if ":budget:" in key}
        there = {key: (int(value.get("reserved", 0)), int(value.get("spent", 0))) for key, value in found.items()}
        wanted = {key: (self.reserved[key], self.spent[key]) for key in self.highest}

        assert {key: both for key, both in wanted.items() if any(both)} == {key: both for key, both in there.items() if any(both)}
        assert [] == [key for key, both in wanted.items() if sum(both) > self.highest[key] + self.beyond[key]]


class Course:
    """One gate, whose policy changes under its sends."""

    def __init__(self, world):
        self.world, self.books = world, Books()
        self.budgets = dict(BUDGETS)
        self.story = world.story(DAY, policy=self.policy)
        self.now, self.sent, self.members = h(1), [], 0

    @property
    def policy(self):
        return Policy(budget=tuple(self.budgets.values()))

    def counters(self, category, user, number):
        """The counters of the budgets in force that a send counts in, with their limits, and which of them only watch."""
        day = dt.datetime.fromtimestamp((self.story.start + self.now) / 1000, dt.UTC).date()
        found, watched = {}, set()
        for budget in self.budgets.values():
            if budget.category and category not in budget.category:
                continue
            owner = {Counted.WABA: WABA, Counted.PORTFOLIO: PORTFOLIO, Counted.PHONE_NUMBER: number, Counted.RECIPIENT: ""}
            period = f"{day:%Y-%m}" if budget.period is Period.MONTH else f"{day}"
            key = f"gk:{{{PORTFOLIO}}}:budget:{budget.name}:{budget.scope}:{owner[budget.scope]}:USD:{period}"
            key += f":{user}" if budget.scope is Counted.RECIPIENT else ""
            found[key] = int(budget.limit)
            if budget.mode is Mode.ANNOTATE:
                watched.add(key)
        return found, watched

    async def begin(self):
        """Everybody has written to both numbers, so that for a day there are messages that are free."""
        for user in USERS:
            for number in (ONE, TWO):
                await self.story.wrote(0, user, number=number)

    async def send(self, kind, user, number, count, answer):
        """So many at once: together they take no more than there is, in whatever order the ledger has them; then Meta answers."""
        story, how = self.story, {"number": number, "answered": False}

        def one():
            if kind == "group":
                return story.group_template(self.now, "marketing", **how)
            return story.text(self.now, user, **how) if kind == "text" else story.template(self.now, kind, user, **how)

        category = {"group": "marketing", "never heard of": "marketing"}.get(kind, kind)
        counters, watched = self.counters(category, GROUP if kind == "group" else user, number)
        sends = await asyncio.gather(*(one() for _ in range(count)))
        for sent in sends:
            if sent.blocked is None:
                self.books.takes(sent, counters, watched=watched)
                self.sent.append([sent, "reserved", kind])
        for sent in sends:
            if sent.blocked == EXHAUSTED:
                self.books.refuses(COSTS[kind], counters, watched=watched)
        for nth in range(len(self.sent) - sum(sent.blocked is None for sent in sends), len(self.sent)) if answer else ():
            await self.answer(nth, answer)

    async def answer(self, nth, how):
        entry = self.nth(nth)
        if entry is None or entry[1] != "reserved":
            return
        if how == "taken":
            entry[1] = "accepted"
            await entry[0].answered(self.now)
        else:
            entry[1] = "released"
            await entry[0].refused(self.now)
            self.books.gives(entry[0].id, 0)

    async def status(self, nth, word, said, member):
        entry = self.nth(nth)
        if entry is None or entry[1] in ("reserved", "released"):
            return
        sent, _, kind = entry
        if kind == "group":
            names = [USERS[member % len(USERS)]]
            settled = await sent.reached(self.now, names, word, **({} if word == "failed" else said))
        else:
            settled = [await (sent.failed(self.now) if word == "failed" else sent.status(word, self.now, **said))]
        for one in settled:
            if one is not None:
                self.books.gives(one.id, micros(one.price) if one.price is not None else 0, names[0] if kind == "group" else None)

    async def reload(self, name, limit, mode):
        self.budgets.pop(name, None)
        if limit is not None:
            self.budgets[name] = msgspec.structs.replace(BUDGETS[name], limit=limit, mode=mode)
        self.story.engine.follow(Settings(account=(self.story.account,), policy=self.policy), rulebook())

    async def later(self, hours):
        self.now += h(hours)

    def nth(self, nth):
        return self.sent[nth % len(self.sent)] if self.sent else None

    async def end(self, word):
        """Everything that is under way comes to its end."""
        for nth, entry in enumerate(self.sent):
            if entry[1] == "reserved":
                await self.answer(nth, "taken")
            await self.status(nth, word, {}, 0)


@bounded(120)
@given(steps=st.lists(STEPS, min_size=5, max_size=40), last=st.sampled_from(["delivered", "failed"]))
def test_a_budget_holds_what_was_reserved_and_spent_and_no_more(world, steps, last):
    """
    After every step each counter holds what is reserved and what was spent, to the micro-unit.

    It is over its limit by no more than what only watched, and what Meta charged beyond the quote. When nothing is under way,
    nothing is reserved, and what is spent is the sum of the settlements.
    """

    async def lived():
        course = Course(world)
        await course.begin()
        for name, *arguments in steps:
            await getattr(course, name)(*arguments)
            course.books.check(world)
        await course.end(last)
        course.books.check(world)
        return course

    course = world.run(lived())
    note(str([entry[0].id for entry in course.sent]))

    assert [] == [key for key, left in course.books.reserved.items() if left]


EVENTS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 5)),
    st.tuples(st.just("send"), st.integers(0, 5)),
    st.tuples(st.just("ends"), nths, st.booleans()),
    st.tuples(st.just("later"), st.sampled_from([1, 8, 23, 24])),
)
MOST, IN = 2, h(24)


class Reached:
    """Who counts towards the messaging limit, as Meta counts: each recipient once, for 24 hours since the last delivery."""

    def __init__(self, world):
        self.story = world.story(DAY, policy=Policy(limits=Limits(messaging_limit=MOST)))
        self.now, self.going, self.delivered = h(1), [], {}

    def counted(self):
        """Those that were reached, and those that a send of the last 24 hours is on its way to."""
        reached = {user for user, at in self.delivered.items() if at > self.now - IN}
        return reached | {user for _, user, at in self.going if at > self.now - IN}

    async def send(self, n):
        user = f"491511234{n:04}"
        before = self.counted()
        sent = await self.story.template(self.now, "utility", user)
        if sent.blocked is None:
            assert user in before or len(before) < MOST
            self.going.append((sent, user, self.now))
        else:
            assert user not in before
            assert len(before) == MOST or self.going  # what failed may still stand in the way while another is under way

    async def ends(self, nth, delivered):
        if self.going:
            sent, user, _ = self.going.pop(nth % len(self.going))
            await (sent.delivered(self.now) if delivered else sent.failed(self.now))
            if delivered:
                self.delivered[user] = self.now

    async def later(self, hours):
        self.now += h(hours)


@bounded(120)
@given(events=st.lists(EVENTS, min_size=5, max_size=40))
def test_the_messaging_limit_counts_each_recipient_once(world, events):
    """Never more than the limit at any time; and when nothing is under way, exactly those that were reached in 24 hours."""

    async def lived():
        course = Reached(world)
        for name, *arguments in events:
            await getattr(course, name)(*arguments)
        while course.going:
            await course.ends(0, delivered=False)
        room = MOST - len(course.counted())
        passed = 0
        for n in range(100, 100 + MOST + 1):
            sent = await course.story.template(course.now, "utility", f"491511235{n:04}")
            passed += sent.blocked is None
        return room, passed

    room, passed = world.run(lived())

    assert max(room, 0) == passed
