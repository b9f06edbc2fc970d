"""Sends at the same instant: of any number of them each conversation, free entry point and free unit is taken once."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from story import GROUP, ONE, OTHER_USER, TWO, USER, h
from world import bounded

MANY = 50
CBP, PMP = "2023-09-05", "2026-10-13"


async def all_sent(story, at, count, send):
    return await asyncio.gather(*(send(story, at) for _ in range(count)))


@pytest.mark.parametrize("category", ["marketing", "utility", "authentication"])
def test_many_templates_at_once_open_one_conversation(world, category):
    """One of them is told that it opens, the others that they are inside, at most at the price of opening; one that lands opened."""

    async def course():
        story = world.story(CBP)
        sent = await all_sent(story, 0, MANY, lambda story, at: story.template(at, category))
        landed = list(sent)
        random.shuffle(landed)
        settled = await asyncio.gather(*(each.delivered(h(1) + n * 1000) for n, each in enumerate(landed)))
        return sent, settled

    sent, settled = world.run(course())

    assert [category] == [each.opens for each in sent if each.opens]
    assert {("opens_conversation", "exact"): 1, ("inside_open_conversation", "at-most"): MANY - 1} == counted(
        each.of("reason", "price_bound") for each in sent
    )
    assert 1 == len({each.price for each in sent})
    assert {(category, True): 1, (None, False): MANY - 1} == counted(each.of("opened", "charged") for each in settled)


def test_many_texts_at_once_open_one_service_conversation(world):
    """Of one user's texts one opens, and it takes one free unit."""

    async def course():
        story = world.story(CBP)
        await story.wrote(0)
        sent = await all_sent(story, h(1), MANY, lambda story, at: story.text(at))
        settled = await asyncio.gather(*(each.delivered(h(2)) for each in sent))
        return sent, settled

    sent, settled = world.run(course())

    assert {"within_free_tier": 1, "inside_open_conversation": MANY - 1} == counted(each.reason for each in sent)
    assert {"service": 1, None: MANY - 1} == counted(each.opened for each in settled)
    assert [(1, 0)] == list(world.meters().values())


@pytest.mark.parametrize("day", ["2022-04-05", CBP, "2025-01-14", "2025-09-09", PMP])
def test_many_answers_to_an_ad_open_one_free_entry_point(world, day):
    """Whatever they are, one opens it and the others are inside; all that land are free."""

    async def course():
        story = world.story(day)
        await story.used(1000)
        await story.clicked(0)
        kinds = ("marketing", "utility", "authentication", None)
        sent = await asyncio.gather(*(story.template(h(1), kind) if kind else story.text(h(1)) for kind in (kinds * MANY)[:MANY]))
        settled = await asyncio.gather(*(each.delivered(h(2)) for each in sent))
        return sent, settled

    sent, settled = world.run(course())

    assert {"opens_free_entry_point": 1, "free_entry_point": MANY - 1} == counted(each.reason for each in sent)
    assert {"free_entry_point": 1, None: MANY - 1} == counted(each.opened for each in settled)
    assert {("referral_conversion", False, "0")} == {each.of("category", "charged", "price") for each in settled}


@bounded(15)
@given(left=st.integers(0, 20), groups=st.integers(0, 3))
def test_exactly_what_is_left_of_a_free_tier_is_quoted_free(world, left, groups):
    """Of twenty texts at once as many are free as there are free units left, to whomever they go; a group's is one unit at first."""

    async def course():
        story = world.story(PMP)
        await story.used(1000 - left)
        for user in (USER, OTHER_USER):
            await story.wrote(0, user)
        await story.wrote(0, group_id=GROUP)
        to = [lambda: story.group_text(h(1))] * groups
        to += [lambda: story.text(h(1)), lambda: story.text(h(1), OTHER_USER)] * 10
        return await asyncio.gather(*(send() for send in to[:20]))

    sent = world.run(course())

    assert {False: left, True: 20 - left} == {False: 0, True: 0} | counted(each.charged for each in sent)
    assert list(range(left - 1, -1, -1)) + [0] * (20 - left) == sorted((each.free_remaining for each in sent), reverse=True)
    assert [(1000 - left, 20)] == list(world.meters().values())


def test_seven_of_twenty_are_free(world):
    """The twenty texts of two numbers: each number has a tier of its own, and seven left."""

    async def course():
        story = world.story(PMP)
        for number in (ONE, TWO):
            await story.used(993, number=number)
            await story.wrote(0, number=number)
        return await asyncio.gather(*(story.text(h(1), number=number) for number in (ONE, TWO) for _ in range(20)))

    sent = world.run(course())

    assert {(ONE, False): 7, (ONE, True): 13, (TWO, False): 7, (TWO, True): 13} == counted(
        (each.decided.facts.phone_number_id, each.charged) for each in sent
    )


@pytest.mark.parametrize("word", ["delivered", "read", "failed"])
def test_a_status_said_many_times_at_once_settles_once(world, word):
    """Meta tells every subscriber and repeats itself; a message is settled by one of all those."""

    async def course():
        story = world.story(PMP)
        await story.wrote(0)
        sent = await story.text(h(1))
        say = sent.failed if word == "failed" else lambda at: sent.status(word, at)
        return await asyncio.gather(*(say(h(2)) for _ in range(MANY)))

    settled = [each for each in world.run(course()) if each]

    assert [word != "failed"] == [each.delivered for each in settled]
    assert [(1, 0)] * (word != "failed") == list(world.meters().values())


def test_an_answer_and_its_statuses_at_once_settle_once(world):
    """Statuses race the answer to their own send: parked or not, each message is settled, and once."""

    async def course():
        story = world.story(PMP)
        await story.wrote(0)
        sent = [await story.text(h(1), answered=False) for _ in range(MANY)]
        steps = [each.answered(h(1)) for each in sent]
        steps += [each.status(word, h(1)) for each in sent for word in ("sent", "delivered", "read")]
        random.shuffle(steps)
        found = await asyncio.gather(*steps)
        return [each.id for answer in found for each in (answer if isinstance(answer, list) else [answer]) if each]

    settled = world.run(course())

    assert MANY == len(settled) == len(set(settled))
    assert [(MANY, 0)] == list(world.meters().values())
    assert [] == [key for key in world.content() if ":parked:" in key or ":reservation:" in key]


def counted(found):
    listed = list(found)
    return {value: listed.count(value) for value in set(listed)}
