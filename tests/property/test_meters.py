"""Meters: whatever happens to messages and in whatever order, they count what was delivered and what is on its way."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, note
from hypothesis import strategies as st
from story import ONE, TWO, h
from world import bounded

DAY = "2026-10-13"
FREE = 1000
# What can become of a message, and what Meta may then say of it, as often as it likes.
FATES = {
    "delivered": ["sent", "delivered", "read"],
    "failed": ["sent", "failed"],
    "on its way": ["sent"],
    "refused": [],
}


@st.composite
def courses(draw: st.DrawFn) -> tuple[str, list[str]]:
    """One message from end to end: the number it is sent from, and what happens to it after the decision."""
    fate = draw(st.sampled_from([*FATES, "delivered"]))
    if fate == "refused":
        return draw(st.sampled_from([ONE, TWO])), ["refused"]
    said = draw(st.lists(st.sampled_from(FATES[fate]), max_size=5))
    answered = draw(st.integers(0, len(said)))
    return draw(st.sampled_from([ONE, TWO])), [*said[:answered], "answered", *said[answered:]]


class Count:
    """What the meters of both numbers should read."""

    def __init__(self, used: int) -> None:
        self.used = used
        self.settled: Counter[str] = Counter()
        self.reserved: Counter[str] = Counter()
        self._heard: dict[int, set[str]] = {}
        self._done: set[int] = set()

    def happens(self, n: int, number: str, step: str) -> None:
        """Message *n* of *number* makes a step."""
        heard = self._heard.setdefault(n, set())
        heard.add(step)
        if step == "decided":
            self.reserved[number] += 1
        if n in self._done:
            return
        landed = bool(heard & {"delivered", "read"})
        if step == "refused" or ("answered" in heard and (landed or "failed" in heard)):
            self._done.add(n)
            self.reserved[number] -= 1
            self.settled[number] += landed

    def reads(self) -> dict[str, tuple[int, int]]:
        return {number: (self.used + self.settled[number], self.reserved[number]) for number in (ONE, TWO)}


async def step(story, sent, what):
    """Let one thing happen; the settlements that come of it."""
    if what == "answered":
        return await sent.answered(h(2))
    if what == "refused":
        await sent.refused(h(2))
        return []
    found = await (sent.failed(h(3)) if what == "failed" else sent.status(what, h(3)))
    return [found] if found else []


async def begun(world, left):
    story = world.story(DAY)
    for number in (ONE, TWO):
        await story.used(FREE - left, number=number)
        await story.wrote(0, number=number)
    return story


def meters(world):
    return {key.split(":")[4]: reads for key, reads in world.meters().items()}


@bounded(60)
@given(data=st.data(), left=st.integers(0, 3), messages=st.lists(courses(), min_size=1, max_size=5))
def test_meters_read_what_a_model_says(world, data, left, messages):
    """After every single step: reserved is what is decided and neither delivered, failed nor refused; settled is what was delivered."""
    programs = [(number, ["decided", *steps]) for number, steps in messages]
    turns = data.draw(st.permutations([n for n, (_, steps) in enumerate(programs) for _ in steps]))
    note(str(turns))

    async def course():
        story, count = await begun(world, left), Count(FREE - left)
        sent, differing, settled, charged = {}, [], Counter(), Counter()
        at = [0] * len(programs)
        for n in turns:
            number, steps = programs[n]
            what = steps[at[n]]
            at[n] += 1
            if what == "decided":
                sent[n] = await story.text(h(1), number=number, answered=False)
            else:
                for each in await step(story, sent[n], what):
                    settled[each.id] += 1
                    charged[number] += bool(each.charged)
            count.happens(n, number, what)
            if meters(world) != count.reads():
                differing.append((what, n, meters(world), count.reads()))
        return count, differing, settled, charged

    count, differing, settled, charged = world.run(course())

    assert [] == differing
    assert {1} >= set(settled.values())
    assert {number: max(count.settled[number] - left, 0) for number in (ONE, TWO)} == {
        number: charged[number] for number in (ONE, TWO)
    }


@bounded(40)
@given(
    left=st.integers(0, 3),
    messages=st.lists(courses(), min_size=1, max_size=12),
    pauses=st.lists(st.integers(0, 3), min_size=7, max_size=7),
)
def test_meters_read_the_same_when_all_happens_at_once(world, left, messages, pauses):
    """Every message lives its life beside all the others; in the end the count is right, and each is settled once."""

    async def life(story, n, number, steps):
        sent = await story.text(h(1), number=number, answered=False)
        found = []
        for turn, what in enumerate(steps, n):
            for _ in range(pauses[turn % len(pauses)]):
                await asyncio.sleep(0)
            found += await step(story, sent, what)
        return found

    async def course():
        story, count = await begun(world, left), Count(FREE - left)
        found = await asyncio.gather(*(life(story, n, number, steps) for n, (number, steps) in enumerate(messages)))
        for n, (number, steps) in enumerate(messages):
            for what in ("decided", *steps):
                count.happens(n, number, what)
        return count, found, meters(world)

    count, found, read = world.run(course())
    charged = Counter({ONE: 0, TWO: 0})
    for (number, _), settlements in zip(messages, found, strict=True):
        charged[number] += sum(bool(each.charged) for each in settlements)

    assert count.reads() == read
    assert {0, 1} >= {len(settlements) for settlements in found}
    assert {number: max(count.settled[number] - left, 0) for number in (ONE, TWO)} == dict(charged)
