"""A ledger behind three Sentinels: its master is lost under load, and the gate follows them to the next one."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest
from conftest import NUMBER, WABA
from fake_graph import eventually
from redis import Redis
from redis.exceptions import RedisError
from redis_cluster import HOST, free_ports, server, servers, until

from gatekeeper.core.vocabulary import micros
from gatekeeper.ledger import clients, keys

SENTINELS, SERVICE = 3, "the-ledger"
NOTICED_MS = 500
TIMEOUT_S, PATIENCE_S, RECOVERY_S = 0.25, 20, 5
CALLERS, OTHER = 4, "4915187654321"
SENTINEL = """\
port {port}
bind {host}
sentinel monitor {service} {host} {master} 2
sentinel down-after-milliseconds {service} {noticed}
sentinel failover-timeout {service} 3000
"""


class Watched:
    """A master, its replica, the Sentinels, and their processes."""

    def __init__(self, nodes, sentinels):
        self.master, self.replica = (Redis(HOST, port, decode_responses=True) for port in nodes)
        self.process = next(iter(nodes.values()))
        self.sentinels = [(Redis(HOST, port, decode_responses=True), process) for port, process in sentinels.items()]
        self.url = f"redis+sentinel://{','.join(f'{HOST}:{port}' for port in sentinels)}/{SERVICE}"

    async def promoted(self):
        """Return when the replica has become the master; when that was."""
        await eventually(lambda: self.replica.info("replication")["role"] == "master", PATIENCE_S)
        return time.monotonic()


def knows_all(sentinel):
    """Whether a Sentinel knows the others and the replica."""
    try:
        known = sentinel.sentinel_masters()[SERVICE]
    except RedisError:
        return False
    return (known["num-other-sentinels"], known["num-slaves"]) == (SENTINELS - 1, 1)


def sentinel(folder, port, master):
    """Run a Sentinel that watches a master."""
    file = folder / f"{port}.conf"
    file.write_text(SENTINEL.format(port=port, host=HOST, service=SERVICE, master=master, noticed=NOTICED_MS))
    return server(port, str(file), "--sentinel")


@pytest.fixture
def watched(tmp_path):
    with servers(1) as first, contextlib.ExitStack() as undo:
        [master] = first
        second, sentinels = undo.enter_context(servers(1, replicaof=f"{HOST} {master}")), {}
        for port in free_ports(SENTINELS):
            sentinels[port] = undo.enter_context(sentinel(tmp_path, port, master))
        found = Watched(first | second, sentinels)
        for _ in until("the Sentinels did not find each other"):
            if all(knows_all(sentinel) for sentinel, _ in found.sentinels):
                break
        yield found
        for client in (found.master, found.replica, *(sentinel for sentinel, _ in found.sentinels)):
            client.close()


class Load:
    """Sends of several callers at once, until it is enough: when each was decided, with what, and which message it became."""

    def __init__(self, house):
        self.house, self.sends, self.price, self.callers, self.enough = house, [], 0, [], False

    async def run(self):
        while not self.enough:
            answer = await self.house.template("spring_sale")
            found = answer.status, answer["Gatekeeper-State"], answer.json["messages"][0]["id"]
            self.price = micros(answer["Gatekeeper-Price"])
            self.sends.append((time.monotonic(), *found))

    def since(self, moment):
        return [state for at, _, state, _ in self.sends if at > moment]

    async def recovered(self, since):
        """Wait until the ledger decides again; how long after *since* that was."""
        await eventually(lambda: "cold" in self.since(since), PATIENCE_S)
        return next(at for at, _, state, _ in self.sends if at > since and state == "cold") - since


@pytest.fixture
async def load(watched, open_house, graph):
    budget = {"name": "all", "scope": "waba", "period": "month", "limit": "100000"}
    house = await open_house(
        graph.url, ledger={"url": watched.url, "timeout": f"{int(TIMEOUT_S * 1000)}ms"}, policy={"budget": [budget]}
    )
    found = Load(house)
    async with asyncio.TaskGroup() as tasks:
        found.callers = [tasks.create_task(found.run()) for _ in range(CALLERS)]
        await eventually(lambda: len(found.sends) > 50)
        yield found
        found.enough = True


async def stopped(load):
    """End the load, and wait for what is on its way."""
    load.enough = True
    await asyncio.gather(*load.callers)


def taken(redis):
    """What the one budget has, in micro-units."""
    [key] = redis.keys("gk:*:budget:*")
    return sum(int(micros or 0) for micros in redis.hmget(key, "spent", "reserved"))


async def test_a_master_that_dies_is_replaced(load, watched, graph):
    """Sends go out without the ledger until the replica is promoted, each once; then it decides again, with all that it knew."""
    house = load.house
    before = set(load.since(0))
    await house.wrote(user=OTHER)
    await asyncio.to_thread(watched.master.wait, 1, 1000)
    killed = time.monotonic()
    watched.process.kill()
    promoted = await watched.promoted()
    took = await load.recovered(promoted)
    await stopped(load)
    thread = await house.gate.engine.ledger.thread(WABA, NUMBER, OTHER)
    decided = load.since(0).count("cold")

    assert {"cold"} == before
    assert {"degraded", "cold"} == set(load.since(killed))
    assert took < RECOVERY_S
    assert "csw" in thread
    assert {200} == {status for _, status, _, _ in load.sends}
    assert len(load.sends) == len({wamid for *_, wamid in load.sends}) == len(graph.arrived)
    # What the master took and did not answer may be there; what it answered and did not pass on is not.
    assert abs(taken(watched.replica) - load.price * decided) <= load.price * 2 * CALLERS
    assert [1, 1] == [len(house.logged(event)) for event in ("ledger_lost", "ledger_recovered")]


async def test_a_master_that_comes_back_is_not_written_to(load, watched):
    """One that was replaced while it was frozen believes that it is the master still; no send is decided by it."""
    watched.process.send_signal(signal.SIGSTOP)
    promoted = await watched.promoted()
    took = await load.recovered(promoted)
    watched.process.send_signal(signal.SIGCONT)
    role, frozen = watched.master.info("replication")["role"], watched.master.info("commandstats")
    thawed = time.monotonic()
    await eventually(lambda: len(load.since(thawed)) > 100)
    later = watched.master.info("commandstats")
    await stopped(load)
    messages = [keys.message(WABA, wamid) for at, *_, wamid in load.sends if at > thawed]
    await eventually(lambda: len(messages) == watched.replica.exists(*messages))

    assert took < RECOVERY_S
    assert "master" == role
    assert {"cold"} == set(load.since(thawed))
    assert frozen["cmdstat_evalsha"]["calls"] == later["cmdstat_evalsha"]["calls"]


async def test_two_sentinels_that_are_silent_keep_nobody_from_the_master(load, watched):
    """Who is connected needs none; and who is not believes the one that is left, in time for the very decision that asks."""
    for _, process in watched.sentinels[:2]:
        process.send_signal(signal.SIGSTOP)
    asked = time.monotonic()
    await eventually(lambda: len(load.since(asked)) > 50)
    connected = set(load.since(asked))
    watched.master.client_kill_filter(_type="normal", skipme=True)
    took = await load.recovered(time.monotonic() + 2 * TIMEOUT_S)  # whatever was on its way has an answer by then
    await stopped(load)

    assert {"cold"} == connected
    assert took < RECOVERY_S


async def test_a_master_that_is_made_a_replica_is_asked_again_when_it_is_one_no_more(open_house, graph):
    """Whoever keeps an address pointed at the master may be late: until then sends are decided without it."""
    with servers(2) as (one, other), Redis(HOST, one) as demoted:
        house = await open_house(graph.url, ledger={"url": f"redis://{HOST}:{one}"})
        states = [(await house.text())["Gatekeeper-State"]]
        demoted.replicaof(HOST, other)
        states += [(await house.text())["Gatekeeper-State"] for _ in range(3)]
        demoted.replicaof("NO", "ONE")
        began = time.monotonic()
        await eventually(lambda: bool(house.logged("ledger_recovered")), PATIENCE_S)
        took = time.monotonic() - began
        states.append((await house.text())["Gatekeeper-State"])

    assert ["cold", "degraded", "degraded", "degraded", "cold"] == states
    assert took < RECOVERY_S


async def test_most_sentinels_are_believed(tmp_path):
    """One that was cut off from the others may name a master that they have replaced, and be the first to answer."""
    with servers(2) as (old, new), contextlib.ExitStack() as undo:
        ports = free_ports(SENTINELS)
        for port, master in zip(ports, (old, new, new), strict=True):
            undo.enter_context(sentinel(tmp_path, port, master))
        client = clients.single(f"redis+sentinel://{','.join(f'{HOST}:{port}' for port in ports)}/{SERVICE}", timeout_s=2)
        pool, answers = client.connection_pool, []
        for one in client.connection_pool.sentinel_manager.sentinels:
            for _ in until("a Sentinel does not answer"):
                with contextlib.suppress(RedisError):
                    answers.append(await one.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE))
                    break
        named = {await pool.get_master_address() for _ in range(20)}
        await client.aclose()
        await pool.disconnect()

    assert [old, new, new] == [int(port) for _, port in answers]
    assert {(HOST, new)} == named
