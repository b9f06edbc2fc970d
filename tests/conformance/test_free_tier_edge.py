"""
The edge of a free tier, message by message: what is settled in between, what is on its way, what fails, and who counts with whom.

Sources: Meta, "Conversation-based pricing", 2023-24 text: 1,000 free service conversations for each account and month. "Pricing",
quotes of September 2026: 1,000 delivered service messages for each business phone number and month.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest
from recorded import History, account, unix
from story import ONE, TWO, WABA, Story, h

CONVERSATIONS, MESSAGES = "2023-09-05", "2026-10-13"
FREE, PACKED = 1000, 50  # statuses in a webhook
PRICE = {CONVERSATIONS: "0.0819", MESSAGES: "0.055"}
SAYS, SETTLES = ("reason", "charged", "price", "free_remaining"), ("charged", "price")
FREE_SETTLED, PAID_SETTLED = (False, "0"), (True, PRICE[MESSAGES])


def user(n: int) -> str:
    """One German of many."""
    return f"4915112{n:06d}"


def free(left: int) -> tuple[object, ...]:
    return ("within_free_tier", False, "0", left)


def paid(reason: str = "charged_message", price: str = PRICE[MESSAGES]) -> tuple[object, ...]:
    return (reason, True, price, 0)


def answer(history: History, at: int, name: str, to: str, number: str = ONE) -> None:
    """A user writes, we answer, and the answer arrives before anything else happens."""
    history.wrote(at, to, number=number)
    history.text(at, name, to, number=number)
    history.delivered(at, name)


# ------------------------------------------------------------------------------------------------------------- in sequence


async def test_one_message_after_another():
    """The 1,000th delivered message is the last free one; the number beside it has all of its own."""
    history, at = History(), unix(MESSAGES)
    history.used(at, 998)
    for n in range(999, 1003):
        answer(history, at + n, str(n), user(n))
        answer(history, at + n, f"beside {n}", user(n), TWO)
    said = await history.replayed()
    beside = {f"beside {n}": free(FREE - k) for k, n in enumerate(range(999, 1003), 1)}

    assert {"999": free(1), "1000": free(0), "1001": paid(), "1002": paid(), **beside} == said.decisions(*SAYS)
    assert {"999": FREE_SETTLED, "1000": FREE_SETTLED, "1001": PAID_SETTLED, "1002": PAID_SETTLED} == {
        name: settled for name, settled in said.settles(*SETTLES).items() if name not in beside
    }
    assert {FREE_SETTLED} == {said.settled[name].of(*SETTLES) for name in beside}
    assert {"USD": "0.11"} == said.summary.spend


async def test_a_thousand_messages_really_sent():
    """Nobody told the count: 1,002 texts of one number, to one user and within a day."""
    history, at = History(), unix(MESSAGES)
    history.wrote(at, user(0))
    names = [str(n) for n in range(1, FREE + 3)]
    for n, name in enumerate(names):
        history.text(at + n, name, user(0))
    for n in range(0, len(names), PACKED):
        history.delivered(at + n + PACKED, *names[n : n + PACKED])
    said = await history.replayed()

    assert [free(FREE - 1 - n) for n in range(FREE)] + [paid()] * 2 == [said.decided[name].of(*SAYS) for name in names]
    assert [FREE_SETTLED] * FREE + [PAID_SETTLED] * 2 == [said.settled[name].of(*SETTLES) for name in names]
    assert ({"USD": "0.11"}, 2) == said.summary.of("spend", "charged")


async def test_a_thousand_conversations_really_opened():
    """Two numbers of one account open them in turns, and the account has one tier; a second message in one counts for nothing."""
    history, at = History(), unix(CONVERSATIONS)
    names = [str(n) for n in range(1, FREE + 3)]
    numbers = [number for _, number in zip(names, itertools.cycle([ONE, TWO]))]
    for number in (ONE, TWO):
        history.wrote(at, *(user(n) for n, owner in enumerate(numbers) if owner == number), number=number)
    for n, (name, number) in enumerate(zip(names, numbers, strict=True)):
        history.text(at + n, name, user(n), number=number)
        if n % 100 == 0:
            history.text(at + n, f"again {name}", user(n), number=number)
    for n in range(0, len(names), PACKED):
        history.delivered(at + n + PACKED, *names[n : n + PACKED])
    said = await history.replayed()
    opened, settled = [said.decided[name].of(*SAYS) for name in names], [said.settled[name].of(*SETTLES) for name in names]

    assert [free(FREE - 1 - n) for n in range(FREE)] + [paid("opens_conversation", PRICE[CONVERSATIONS])] * 2 == opened
    assert [FREE_SETTLED] * FREE + [(True, PRICE[CONVERSATIONS])] * 2 == settled


@pytest.mark.parametrize("currency", ["USD", "INR", "EUR"])
async def test_the_first_charged_message_in_each_currency(currency):
    """Free is free whatever the card says; beyond it the account's own card counts, and a card without the column knows no price."""
    price = {"USD": "0.055", "INR": "4.0322", "EUR": None}[currency]
    history, at = History(account(currency=currency)), unix(MESSAGES)
    history.used(at, 999)
    answer(history, at, "last", user(1))
    answer(history, at, "first", user(2))
    said = await history.replayed()

    assert [free(0), paid(price=price)] == [said.decided[name].of(*SAYS) for name in ("last", "first")]
    assert [FREE_SETTLED, (True, price)] == [said.settled[name].of(*SETTLES) for name in ("last", "first")]


# -------------------------------------------------------------------------------------------------------------- all at once


async def many(story: Story, users: list[str], number: str = ONE) -> list:
    """Everybody is answered at the same instant."""
    for to in users:
        await story.wrote(h(0), to, number=number)
    return await asyncio.gather(*(story.text(h(1), to, number=number) for to in users))


@pytest.mark.parametrize("day", [CONVERSATIONS, MESSAGES])
@pytest.mark.parametrize("left", [0, 1, 2, 7, 8])
async def test_of_eight_at_once_as_many_are_free_as_are_left(ledger, day, left):
    """Quoted and settled alike, in whatever order they arrive."""
    story = Story(ledger, day)
    await story.used(FREE - left)
    sent = await many(story, [user(n) for n in range(8)])
    settled = await asyncio.gather(*(each.delivered(h(2)) for each in reversed(sent)))

    assert {False: left, True: 8 - left} == {False: 0, True: 0} | Counter(each.charged for each in sent)
    assert sorted([*range(left), *[0] * (8 - left)]) == sorted(each.free_remaining for each in sent)
    assert {"0": left, PRICE[day]: 8 - left} == {"0": 0, PRICE[day]: 0} | Counter(each.price for each in settled)


@pytest.mark.parametrize("day", [CONVERSATIONS, MESSAGES])
@pytest.mark.parametrize("failing", [0, 1, 2, 3, 6, 8])
async def test_failures_among_eight_at_once_give_back(ledger, day, failing):
    """With 998 used two of eight are free: of those that arrive, whichever were quoted so; then the rest of the tier is whole."""
    story = Story(ledger, day)
    await story.used(998)
    sent = await many(story, [user(n) for n in range(8)])
    ended = await asyncio.gather(*(each.failed(h(2)) if n < failing else each.delivered(h(2)) for n, each in enumerate(sent)))
    arrived = [each for each in ended if each.delivered]
    following = await many(story, [user(n) for n in range(8, 11)])

    assert [(False, "0")] * failing == [each.of("charged", "price") for each in ended if not each.delivered]
    assert [False] * min(2, 8 - failing) + [True] * max(0, 6 - failing) == sorted(each.charged for each in arrived)
    assert max(0, 2 - len(arrived)) == sum(not each.charged for each in following)


@pytest.mark.parametrize(
    ("day", "shared"),
    [pytest.param(CONVERSATIONS, True, id="an account's"), pytest.param(MESSAGES, False, id="each number's own")],
)
async def test_two_numbers_at_once(ledger, day, shared):
    """Eight of each number, with two left: two in all where the account has the tier, two of each where the number has it."""
    story = Story(ledger, day)
    for number in (ONE, TWO):
        await story.used(998, number=number)
    ones, twos = await asyncio.gather(
        many(story, [user(n) for n in range(8)], ONE), many(story, [user(n) for n in range(8, 16)], TWO)
    )
    settled = await asyncio.gather(*(each.delivered(h(2)) for each in (*ones, *twos)))
    tiers = [sum(not each.charged for each in some) for some in (settled[:8], settled[8:])]
    report = await story.engine.spend.report(WABA, None, now=story.start + h(3))

    assert sum(tiers) == 2 if shared else tiers == [2, 2]
    assert sum(not each.charged for each in (*ones, *twos)) == (2 if shared else 4)
    assert ([1014] if shared else [1006, 1006]) == [tier["used"] for tier in report["free_tier"]]


async def test_what_was_quoted_the_price_may_arrive_free(ledger):
    """The 1,000th fails after the 1,001st was quoted the price: what arrives first after that is the free one."""
    story = Story(ledger, MESSAGES)
    await story.used(999)
    first, second = await many(story, [user(1), user(2)])
    lost, kept = (first, second) if not first.charged else (second, first)
    await lost.failed(h(2))
    settled = await kept.delivered(h(3))
    (following,) = await many(story, [user(3)])

    assert (PAID_SETTLED, FREE_SETTLED) == (kept.of(*SETTLES), settled.of(*SETTLES))
    assert following.charged
