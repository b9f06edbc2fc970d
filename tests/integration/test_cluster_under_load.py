"""A Redis Cluster that changes while it is asked: slots move, masters die, and only whom it concerns notices, not for long."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time

import pytest
from fake_graph import eventually
from redis.crc import key_slot
from redis_cluster import HOST, NODES, SLOTS, running

from gatekeeper.ledger import keys

NUMBERS = [
    next(str(n) for n in range(10**14, 10**15) if key_slot(str(n).encode()) * NODES // SLOTS == node) for node in range(NODES)
]
"""Phone numbers that no account names, each of which is a business on another master."""
USER, TIMEOUT_S, RECOVERY_S, PATIENCE_S = "4915112345678", 0.5, 5, 20
PARTIAL = {"cluster_require_full_coverage": "no"}


def text():
    return {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hi"}}


class Load:
    """Sends from each number, one after the other, until it is enough: when each was answered, how soon, and how it was decided."""

    def __init__(self, house):
        self.house, self.sends, self.enough = house, {number: [] for number in NUMBERS}, False

    async def run(self, number):
        while not self.enough:
            began = time.monotonic()
            answer = await self.house.send(text(), path=f"/v23.0/{number}/messages")
            ended = time.monotonic()
            wamid = answer.json["messages"][0]["id"]
            self.sends[number].append((ended, ended - began, answer["Gatekeeper-State"], wamid))

    def since(self, moment, number):
        """How its sends since then were decided."""
        return [state for at, _, state, _ in self.sends[number] if at > moment]

    def usual(self, moment, numbers):
        """How long a send of these numbers took since then."""
        return statistics.median(took for number in numbers for at, took, *_ in self.sends[number] if at > moment)

    async def more(self, moment, count=50, numbers=NUMBERS):
        """Wait until each number has sent so often since then."""
        await eventually(lambda: all(len(self.since(moment, number)) >= count for number in numbers), PATIENCE_S)

    async def recovered(self, since, number):
        """Wait until the ledger decides again; how long after *since* that was."""
        await eventually(lambda: "cold" in self.since(since, number), PATIENCE_S)
        return next(at for at, _, state, _ in self.sends[number] if at > since and state == "cold") - since


@pytest.fixture
def loaded(open_house, graph):
    """Open a gate on a cluster, and load it until the test is over."""
    loads = []

    async def loaded(nodes, *, timeout_s=TIMEOUT_S):
        house = await open_house(graph.url, ledger={"url": nodes.url, "cluster": True, "timeout": f"{int(timeout_s * 1000)}ms"})
        load = Load(house)
        load.tasks = [asyncio.create_task(load.run(number)) for number in NUMBERS for _ in range(2)]
        loads.append(load)
        await load.more(0)
        return load

    return loaded


async def ended(load, graph):
    """End the load; whether all that was sent has arrived once."""
    load.enough = True
    await asyncio.gather(*load.tasks)
    wamids = [wamid for sends in load.sends.values() for *_, wamid in sends]
    return len(wamids) == len(set(wamids)) == len(graph.arrived)


class Move:
    """A slot on its way from one master to another, as redis-cli would have it."""

    def __init__(self, nodes, slot, source, target):
        self._nodes, self._slot, self._source, self._target = nodes, slot, source, target

    def begin(self):
        """From now on new keys belong to the target."""
        with self._nodes.client(self._source) as source, self._nodes.client(self._target) as target:
            ids = source.execute_command("CLUSTER MYID"), target.execute_command("CLUSTER MYID")
            target.execute_command("CLUSTER", "SETSLOT", self._slot, "IMPORTING", ids[0])
            source.execute_command("CLUSTER", "SETSLOT", self._slot, "MIGRATING", ids[1])
            self.some()

    def some(self):
        """Move a few keys; how many."""
        with self._nodes.client(self._source) as source:
            found = source.execute_command("CLUSTER", "GETKEYSINSLOT", self._slot, 10)
            if found:
                source.execute_command("MIGRATE", HOST, self._nodes.ports[self._target], "", 0, 5000, "KEYS", *found)
        return len(found)

    def end(self):
        """Move what is left; how many keys that were."""
        count = sum(iter(self.some, 0))
        with self._nodes.client(self._target) as target:
            mine = target.execute_command("CLUSTER MYID")
        for n in (self._target, self._source, *({*range(NODES)} - {self._source, self._target})):
            with self._nodes.client(n) as node:
                node.execute_command("CLUSTER", "SETSLOT", self._slot, "NODE", mine)
        return count


@pytest.fixture(scope="module")
def whole():
    """A cluster that nobody harms."""
    with running() as nodes:
        yield nodes


async def test_a_slot_that_moves_costs_no_decision(whole, loaded, graph):
    """While a business moves from node to node its sends wait, and nobody else's; nothing is lost on the way."""
    load = await loaded(whole, timeout_s=5)
    counts = []
    for way in ((0, 1), (1, 2), (2, 0)):
        move = Move(whole, key_slot(NUMBERS[0].encode()), *way)
        move.begin()
        await load.more(time.monotonic(), 20, NUMBERS[1:])
        counts.append(move.end())
        await load.more(time.monotonic())
    arrived = await ended(load, graph)
    messages = [keys.message(NUMBERS[0], wamid) for *_, wamid in load.sends[NUMBERS[0]]]
    with whole.client(0) as home:
        kept = home.exists(*messages)

    assert min(counts) > 20
    assert [{"cold"}] * NODES == [set(load.since(0, number)) for number in NUMBERS]
    assert arrived
    assert len(messages) == kept
    assert [] == load.house.logged("ledger_lost")


async def test_a_slot_that_moves_for_long_is_waited_for_no_longer_than_allowed(whole, loaded, graph):
    """Redis serves no new key of a slot until all of it has moved: its business is decided without the ledger, and only meanwhile."""
    load = await loaded(whole)
    move = Move(whole, key_slot(NUMBERS[0].encode()), 0, 1)
    began = time.monotonic()
    move.begin()
    await eventually(lambda: load.since(began, NUMBERS[0]).count("degraded") > 2)
    move.end()
    moved = time.monotonic()
    await load.more(moved + TIMEOUT_S)
    late = load.since(moved + TIMEOUT_S, NUMBERS[0])
    back = Move(whole, key_slot(NUMBERS[0].encode()), 1, 0)
    back.begin()
    back.end()
    arrived = await ended(load, graph)

    assert {"cold"} == {*late}
    assert [{"cold"}] * 2 == [set(load.since(0, number)) for number in NUMBERS[1:]]
    assert load.usual(began, NUMBERS[1:]) < TIMEOUT_S / 4
    assert arrived
    assert [] == load.house.logged("ledger_lost")


async def test_a_master_that_dies_is_replaced_by_its_replica(loaded, graph):
    """Its businesses are decided without the ledger until then; all others are decided by it, as fast as ever."""
    with running(replicas=True, cluster_node_timeout="1000", **PARTIAL) as nodes:
        load = await loaded(nodes)
        with nodes.client(1) as master, nodes.client(NODES + 1) as replica:
            await asyncio.to_thread(master.wait, 1, 1000)
            killed = time.monotonic()
            nodes.stop(1, signal.SIGKILL)
            await eventually(lambda: replica.info("replication")["role"] == "master", PATIENCE_S)
        promoted = time.monotonic()
        took = await load.recovered(promoted, NUMBERS[1])
        await load.more(time.monotonic())
        arrived = await ended(load, graph)

    assert {"degraded", "cold"} == set(load.since(killed, NUMBERS[1]))
    assert took < RECOVERY_S
    assert [{"cold"}] * 2 == [set(load.since(killed, number)) for number in (NUMBERS[0], NUMBERS[2])]
    assert load.usual(killed, [NUMBERS[0], NUMBERS[2]]) < TIMEOUT_S / 4
    assert arrived


async def test_a_master_without_a_replica_takes_nobody_with_it(loaded, open_house, graph):
    """Frozen, it decides again as soon as it is there again; dead, it leaves the others as they were, and a new gate finds them."""
    gone, *others = NUMBERS
    with running(**PARTIAL) as nodes:
        load = await loaded(nodes)
        frozen = time.monotonic()
        nodes.stop(0, signal.SIGSTOP)
        await load.more(frozen + 2 * TIMEOUT_S)
        nodes.stop(0, signal.SIGCONT)
        took = await load.recovered(time.monotonic(), gone)
        killed = time.monotonic()
        nodes.stop(0, signal.SIGKILL)
        await load.more(killed + 2 * TIMEOUT_S)
        arrived = await ended(load, graph)
        hosts = ",".join(f"{HOST}:{port}" for port in nodes.ports)
        later = await open_house(graph.url, ledger={"url": f"redis://{hosts}", "cluster": True})
        found = [(await later.send(text(), path=f"/v23.0/{number}/messages"))["Gatekeeper-State"] for number in (*others, gone)]

    assert {"degraded", "cold"} == set(load.since(frozen, gone))
    assert {"degraded"} == set(load.since(killed + TIMEOUT_S, gone))
    assert took < RECOVERY_S
    assert [{"cold"}] * 2 == [set(load.since(frozen, number)) for number in others]
    assert load.usual(frozen, others) < TIMEOUT_S / 4
    assert arrived
    assert ["cold", "cold", "degraded"] == found
    assert [2, 1] == [len(load.house.logged(event)) for event in ("ledger_lost", "ledger_recovered")]
