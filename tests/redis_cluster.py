"""Three private redis-servers joined to one Redis Cluster: no replicas, nothing saved, gone with the process that started them."""

from __future__ import annotations

import contextlib
import os
import random
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


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Run one; the address of its first node."""
    with contextlib.ExitStack() as undo:
        for attempt in range(_ATTEMPTS):
            ports = _free_ports()
            nodes = [undo.enter_context(_node(port)) for port in ports]
            if all(_answers(node, port) for node, port in zip(nodes, ports, strict=True)):
                break
            if attempt == _ATTEMPTS - 1:
                raise RuntimeError("no redis-server could be started for a cluster")
        _join(ports)
        yield f"redis://{HOST}:{ports[0]}"


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
def _node(port: int) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryDirectory(prefix="gatekeeper-cluster-") as folder:
        settings = {
            "bind": HOST,
            "port": str(port),
            "dir": folder,
            "save": "",
            "loglevel": "warning",
            "logfile": str(Path(folder, "log")),
            "cluster-enabled": "yes",
            "cluster-node-timeout": "5000",
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        command = [sys.executable, "-c", DIE_WITH_PARENT, str(os.getpid()), str(find_server()), *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports() -> list[int]:
    """Ports that are free together with those of the nodes' own talk."""
    found: list[int] = []
    while len(found) < NODES:
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
    for _ in _until("a node of the cluster did not answer"):
        if node.poll() is not None:
            return False
        with contextlib.suppress(RedisError), Redis(HOST, port) as client:
            return bool(client.ping())
    return False


def _join(ports: list[int]) -> None:
    """Give each node its share of the slots, and wait until each of them knows of all."""
    nodes = [Redis(HOST, port, decode_responses=True) for port in ports]
    try:
        for n, node in enumerate(nodes):
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", n + 1)
            node.execute_command("CLUSTER ADDSLOTS", *range(n * SLOTS // NODES, (n + 1) * SLOTS // NODES))
        for port in ports[1:]:
            nodes[0].execute_command("CLUSTER MEET", HOST, port)
        for _ in _until("the cluster did not come together"):
            if all(_whole(node) for node in nodes):
                return
    finally:
        for node in nodes:
            node.close()


def _whole(node: Redis) -> bool:
    info = node.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and (int(info["cluster_slots_ok"]), int(info["cluster_known_nodes"])) == (SLOTS, NODES)


def _until(fault: str) -> Iterator[None]:
    """Try again and again, for so long; TimeoutError says *fault*."""
    ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends:
        yield
        time.sleep(_POLL_S)
    raise TimeoutError(fault)
