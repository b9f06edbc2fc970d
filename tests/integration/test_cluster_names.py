"""Names on a Redis Cluster of three nodes, and many of them at once: a merge is one step on one node."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from redis.crc import key_slot
from redis_cluster import clients
from story import ONE, USER, Story, h

from gatekeeper.core.effects import Change
from gatekeeper.core.recipients import Link, Names
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.ledger import Ledger

DAY, MONTH = "2023-09-05", "2023-09"
TAG = "506914307656634"
NOW, LONG = 1_800_000_000_000, 3_600_000
BSUID, PARENT, TWIN = "BR.13491208655302741918", "BR.ENT.11815799212886844830", "554188887777"
NUMBERS = [f"554198888{n:04d}" for n in range(8)]
ALL = [BSUID, PARENT, *NUMBERS]
EVERY_CLOCK = {f"x{n}" for n in range(50)}


@pytest.fixture(params=["one", "cluster"])
def anywhere(request: pytest.FixtureRequest) -> Ledger:
    """A ledger on one Redis, and on three."""
    return request.getfixturevalue("ledger" if request.param == "one" else "cluster_ledger")


async def clocks(ledger: Ledger, name: str, tag: str = TAG) -> set[str]:
    return {field for field in await ledger.thread(tag, ONE, name) if field.isalnum()}


def observe(name: str, clock: str, tag: str = TAG) -> calls.Call:
    change = Change(kind="open", clock=clock, at=NOW, ends=NOW + LONG)
    return calls.observe(keys.thread(tag, ONE, name), [change], now=NOW)


def link(name: str, thread: str, tag: str = TAG) -> calls.Call:
    return calls.link(tag, ONE, Link(name, thread), now=NOW, said=NOW)


@pytest.mark.parametrize("tag", [TAG, "102290129340398", "106540352242922", "1", "9" * 15])
def test_all_names_of_a_business_share_a_slot(tag):
    """Threads, links, reservations and messages alike: whatever a script finds on its way is where the script runs."""
    names = [keys.thread(tag, number, name) for number in (ONE, "2") for name in (*ALL, "Y2FwaV9ncm91cDo")]
    names += [keys.reservation(tag, "s1"), keys.message(tag, "wamid.1"), keys.parked(tag, "wamid.1")]

    assert 1 == len({key_slot(name.encode()) for name in names})


async def test_businesses_are_spread_over_the_nodes(cluster_ledger, redis_cluster_url):
    """Each business is on one node; together they use all of them."""
    tags = [str(n) for n in range(30)]
    for tag in tags:
        await cluster_ledger.run([observe(BSUID, "x", tag), observe(NUMBERS[0], "y", tag), link(NUMBERS[0], BSUID, tag)])
    sizes = []
    for client in clients(redis_cluster_url):
        with client:
            sizes.append(client.dbsize())

    assert 2 * len(tags) == sum(sizes)
    assert all(sizes)
    assert [{"x", "y"}] * len(tags) == [await clocks(cluster_ledger, NUMBERS[0], tag) for tag in tags]


async def test_two_threads_become_one_on_a_cluster(cluster_ledger):
    """The window of one name, the send in flight of the other and the opt-out of a third are one user's."""
    story = Story(cluster_ledger, DAY)
    await story.wrote(h(0), BSUID, **{"from": None, "from_user_id": BSUID})
    sent = await story.template(h(1), "marketing", to=TWIN)
    await story.prefers(h(2), "stop", None, user_id=PARENT, wa_id=None, parent_user_id=None)
    await story.wrote(h(3), NUMBERS[0][:4] + "9" + TWIN[4:], from_user_id=BSUID, from_parent_user_id=PARENT)
    text = await story.text(h(4), TWIN)
    settled = await sent.delivered(h(5), recipient_user_id=BSUID)
    refused = await story.template(h(6), "marketing", to=None, body={"recipient": BSUID})

    assert "inside_open_conversation" == text.reason
    assert "marketing" == settled.opened
    assert 131050 == refused.blocked


# ------------------------------------------------------------------------------------------------------ all at once


@pytest.mark.parametrize("seed", range(5))
async def test_fifty_at_once_lose_nothing(anywhere, seed):
    """Each hears something under some name and links two of them; in the end all is known under every name."""
    drawn = random.Random(seed)
    linked = [(name, BSUID) for name in ALL[1:]]

    async def hear(n: int) -> None:
        batch = [observe(drawn.choice(ALL), f"x{n}"), link(*linked[n % len(linked)])]
        drawn.shuffle(batch)
        for call in batch:
            await anywhere.run([call])

    async with asyncio.TaskGroup() as tasks:
        for n in range(50):
            tasks.create_task(hear(n))

    assert [EVERY_CLOCK] * len(ALL) == [await clocks(anywhere, name) for name in ALL]


@pytest.mark.parametrize("seed", range(3))
async def test_fifty_links_at_once_are_one_thread(anywhere, seed):
    """Whatever the order in which vague names come to lead to each other and to exact ones."""
    drawn = random.Random(seed)
    pairs = [*itertools.pairwise(NUMBERS), *((name, PARENT) for name in NUMBERS), (PARENT, BSUID), (NUMBERS[0], BSUID)] * 3
    drawn.shuffle(pairs)
    await anywhere.run([observe(name, f"x{n}") for n, name in enumerate(ALL)])
    async with asyncio.TaskGroup() as tasks:
        for pair in pairs[:50]:
            tasks.create_task(anywhere.run([link(*pair)]))
    await anywhere.run([link(*pair) for pair in pairs])

    assert [{f"x{n}" for n in range(len(ALL))}] * len(ALL) == [await clocks(anywhere, name) for name in ALL]


async def test_sends_in_flight_while_their_names_are_linked(anywhere):
    """Thirty sends under three names, linked while they are decided and delivered: each settles once, and nothing stays assumed."""
    story = Story(anywhere, DAY)
    await story.wrote(h(0), USER)
    addresses = itertools.cycle(
        [{"to": USER}, {"to": None, "body": {"recipient": BSUID}}, {"to": None, "body": {"recipient": PARENT}}]
    )
    names = Names(user_id=BSUID, parent_user_id=PARENT, wa_id=USER)

    async def send(n: int, address: dict) -> object:
        sent = await story.template(h(1), ("marketing", "utility")[n % 2], **address)
        await anywhere.run(
            [calls.link(story.account.portfolio, ONE, each, now=story.start + h(1), said=n) for each in names.links]
        )
        return await sent.delivered(h(2))

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(send(n, address)) for n, address in zip(range(30), addresses, strict=False)]
    settled = [each.result() for each in running]
    fields = [await anywhere.thread(story.account.portfolio, ONE, name) for name in names.known]

    assert 30 == len({each.id for each in settled})
    assert [] == [field for field in fields[0] if field[-1] in "?&"]
    assert {"c:marketing", "c:utility", "csw"} == {field for field in fields[0] if field[-1].isalnum()}
    assert [fields[0]] * 3 == fields
