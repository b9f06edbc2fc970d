"""
A history of one or two threads, heard on time and with its statuses heard late in any order: it comes to the same.

What a user did is heard of when it happens; each delivery has a time of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from story import MINUTE, OTHER_USER, USER, Sent, pmp
from world import World, bounded

DAYS = ["2022-04-05", "2023-09-05", "2025-01-14", "2025-09-09", "2026-10-13"]
USERS = (USER, OTHER_USER)
HOURS = 60
LATEST = 100 * HOURS  # everything late is heard of after all that happened


class Step(NamedTuple):
    """Something that happens at a minute: the user writes, clicks an ad, or is sent something that lands some minutes later."""

    what: str
    user: str
    at: int
    landed: int
    read: int
    fails: bool


_steps = st.builds(
    Step,
    what=st.sampled_from(["wrote", "ad", "text", "utility", "utility", "marketing", "marketing"]),
    user=st.sampled_from(USERS),
    at=st.integers(0, 80 * HOURS),
    landed=st.integers(1, 15 * HOURS),
    read=st.integers(0, 4 * HOURS),
    fails=st.sampled_from([False, False, False, True]),
)


@pytest.fixture(scope="module")
def world(redis_url: str, redis_session: Redis) -> Iterator[World]:
    with asyncio.Runner() as runner:
        made = World(redis_url, redis_session, runner)
        yield made
        made.close()


def said(step: Step, day: str, worded: bool) -> dict[str, Any]:
    """Meta's word on a message that no conversation or free entry point needs to be known for."""
    if not worded or step.what == "text" or day < DAYS[3]:
        return {}
    return pmp(step.what) if step.what == "marketing" else {}


async def lived(world: World, day: str, steps: list[Step], order: list[int] | None, worded: bool) -> tuple[Any, ...]:
    """Live through the steps; *order*: statuses are heard after all of them, so ordered, else when they are true."""
    story = world.story(day)
    events: list[tuple[int, int, str]] = []
    for n, step in enumerate(steps):
        events.append((step.at * MINUTE, n, "step"))
        if step.what not in ("wrote", "ad") and order is None:
            events += [(at, n, word) for at, word in statuses(n, step)]
    sent: dict[int, Sent] = {}

    async def hear(n: int, word: str, at: int, told: int) -> None:
        if n not in sent:
            return
        more = said(steps[n], day, worded) if word != "failed" else {}
        await (sent[n].failed(at, told=told) if word == "failed" else sent[n].status(word, at, told=told, **more))

    for at, n, what in sorted(events):
        step = steps[n]
        if what != "step":
            await hear(n, what, at, at)
        elif step.what == "wrote":
            await story.wrote(at, step.user)
        elif step.what == "ad":
            await story.clicked(at, step.user)
        else:
            made = await (story.text(at, step.user) if step.what == "text" else story.template(at, step.what, step.user))
            if made.decided.decision.forwards:
                sent[n] = made
    late = [(n, word, at) for n, step in enumerate(steps) if step.what not in ("wrote", "ad") for at, word in statuses(n, step)]
    for place, k in enumerate(order or []):
        n, word, at = late[k % len(late)]
        await hear(n, word, at, LATEST * MINUTE + place)
    if order is not None:  # whatever was not drawn comes in the end
        for n, word, at in late:
            await hear(n, word, at, LATEST * MINUTE + len(order))
    settled = {steps.index(steps[n]): story.settlements.get(each.id) for n, each in sent.items()}
    counted = {
        key: {
            field: value for field, value in content.items() if value != "0" and (":spend:" not in key or field.startswith("s"))
        }
        for key, content in world.content().items()
        if (":spend:" in key or ":meter:" in key) and isinstance(content, dict)
    }
    return settled, {key: content for key, content in counted.items() if content}


def statuses(n: int, step: Step) -> list[tuple[int, str]]:
    """When what is said of a message is true; no two of a history at once."""
    at = (step.at + step.landed) * MINUTE + n * 1000
    found = [(at, "delivered"), (at + step.read * MINUTE + 20_000, "read")]
    return [(at - 20_000, "failed"), *found] if step.fails else found


@bounded(60)
@given(
    day=st.sampled_from(DAYS),
    steps=st.lists(_steps, min_size=2, max_size=7),
    order=st.lists(st.integers(0, 40), max_size=12),
    worded=st.booleans(),
)
def test_late_statuses_come_to_the_same(world, day, steps, order, worded):
    """The last settlement of each message, what all of them come to, and what meters read."""
    steps = [step for n, step in enumerate(sorted(steps)) if step not in sorted(steps)[:n]]
    if not any(step.what not in ("wrote", "ad") for step in steps):
        return
    worded = worded and not any(step.what == "ad" for step in steps)  # a word of what an ad opened would have to be true
    on_time = world.run(lived(world, day, steps, None, worded))
    late = world.run(lived(world, day, steps, order, worded))

    assert on_time[0].keys() == late[0].keys()
    assert on_time == late
