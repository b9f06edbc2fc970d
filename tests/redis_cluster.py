"""
Private redis-servers: alone, or three joined to one Redis Cluster, with replicas on demand.

Nothing is saved, and they are gone with the process that started them.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from gatekeeper.ledger.embedded import DIE_WITH_PARENT, find_server

NODES = 3
SLOTS = 16384
HOST = "127.0.0.1"
_BUS = 10_000  # nodes talk to each other on a port that is so much higher
_LOWEST, _HIGHEST = (
    20_000,
    30_000,
)  # below what systems hand out by themselves, so that nobody takes a port between look and start
_ATTEMPTS = 5
_PATIENCE_S, _POLL_S, _STOP_S = 20.0, 0.02, 5.0


class Nodes:
    """The nodes of a cluster by their ports: the masters come first, and then the replica of each in their order."""

    def __init__(self, nodes: dict[int, subprocess.Popen[bytes]]) -> None:
        self.nodes = nodes
        self.ports = list(nodes)

    @property
    def url(self) -> str:
        """The address of the first."""
        return f"redis://{HOST}:{self.ports[0]}"

    def client(self, n: int) -> Redis:
        """The nth alone, without redirections."""
        return Redis(HOST, self.ports[n], decode_responses=True)

    def stop(self, n: int, how: signal.Signals) -> None:
        """Kill, freeze or thaw the nth."""
        self.nodes[self.ports[n]].send_signal(how)


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Run one; the address of its first node."""
    with running() as found:
        yield found.url


@contextlib.contextmanager
def running(*, replicas: bool = False, **settings: str) -> Iterator[Nodes]:
    """Run one whose nodes have these *settings* too."""
    usual = {"cluster-enabled": "yes", "cluster-node-timeout": "5000", **settings}
    with servers(NODES * (1 + replicas), **usual) as nodes:
        found = Nodes(nodes)
        _join(found.ports[:NODES], found.ports[NODES:])
        yield found


@contextlib.contextmanager
def servers(count: int, **settings: str) -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """Run so many servers with these settings, by their ports."""
    with contextlib.ExitStack() as undo:
        for attempt in range(_ATTEMPTS):
            nodes = {port: undo.enter_context(server(port, **settings)) for port in free_ports(count)}
            if all(_answers(node, port) for port, node in nodes.items()):
                break
            if attempt == _ATTEMPTS - 1:
                raise RuntimeError("no redis-server could be started")
        yield nodes


def flush(url: str) -> None:
    """Empty every node of the cluster at *url*."""
    for client in clients(url):
        with client:
            client.flushall()


def clients(url: str) -> list[Redis]:
    """One client for each node of the cluster at *url*, without redirections."""
    with Redis.from_url(url) as first:
        known = first.execute_command("CLUSTER NODES")
    return [Redis(HOST, int(address.partition("@")[0].rpartition(":")[2])) for address in sorted(known)]


@contextlib.contextmanager
def server(port: int, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start one; it may not answer yet, or have ended."""
    with tempfile.TemporaryDirectory(prefix="gatekeeper-cluster-") as folder:
        usual = {
            "bind": HOST,
            "port": str(port),
            "dir": folder,
            "save": "",
            "loglevel": "warning",
            "logfile": str(Path(folder, "log")),
        }
        usual |= {name.replace("_", "-"): value for name, value in settings.items()}
        options = [part for name, value in usual.items() for part in (f"--{name}", *value.split(" "))]
        command = [sys.executable, "-c", DIE_WITH_PARENT, str(os.getpid()), str(find_server()), *arguments, *options]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_ports(count: int) -> list[int]:
    """Find ports that are free together with those of the nodes' own talk."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(_LOWEST, _HIGHEST)
        if port not in found and _free(port) and _free(port + _BUS):
            found.append(port)
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _answers(node: subprocess.Popen[bytes], port: int) -> bool:
    """Wait for a node to answer; False when it ended instead."""
    for _ in until("a node of the cluster did not answer"):
        if node.poll() is not None:
            return False
        with contextlib.suppress(RedisError), Redis(HOST, port) as client:
            return bool(client.ping())
    return False


def _join(ports: list[int], replicas: list[int]) -> None:
    """Give each master its share of the slots and its replica, and wait until each node knows of all."""
    nodes = [Redis(HOST, port, decode_responses=True) for port in (*ports, *replicas)]
    try:
        for n, node in enumerate(nodes):
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", n + 1)
            if n < len(ports):
                node.execute_command("CLUSTER ADDSLOTS", *range(n * SLOTS // NODES, (n + 1) * SLOTS // NODES))
        for port in (*ports[1:], *replicas):
            nodes[0].execute_command("CLUSTER MEET", HOST, port)
        for _ in until("the cluster did not come together"):
            if all(_whole(node, len(nodes)) for node in nodes):
                break
        for master, replica in zip(nodes, nodes[len(ports) :], strict=False):
            replica.execute_command("CLUSTER REPLICATE", master.execute_command("CLUSTER MYID"))
        for _ in until("the replicas did not come up"):
            if all(node.info("replication").get("master_link_status") == "up" for node in nodes[len(ports) :]):
                break
    finally:
        for node in nodes:
            node.close()


def _whole(node: Redis, known: int) -> bool:
    info = node.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and (int(info["cluster_slots_ok"]), int(info["cluster_known_nodes"])) == (SLOTS, known)


def until(fault: str) -> Iterator[None]:
    """Try again and again, for so long; TimeoutError says *fault*."""
    ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends:
        yield
        time.sleep(_POLL_S)
    raise TimeoutError(fault)
