"""A ledger behind TLS: the real one, with a proxy in front of it that ends the encryption as Redis itself would."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from socket import MSG_PEEK, create_server
from urllib.parse import unquote, urlsplit

import pytest
from redis import Redis
from redis.exceptions import RedisError
from redis_cluster import HOST, free_ports, server, servers, until

from gatekeeper.core.errors import LedgerError

TLS = Path(__file__).parents[1] / "fixtures" / "tls"
OURS, KEY, ANOTHER = (str(TLS / name) for name in ("localhost-certificate.pem", "localhost.pem", "another-certificate.pem"))
HANDSHAKE = b"\x16"
EXPIRED = str(TLS / "localhost-expired.pem")
PASSWORD = "a-pass%2Fword%40with%23all"
USER = "a-gate"
# What a person is told of a ledger that cannot be trusted, or does not trust us.
SAYS = {
    "the wrong authority": "CERTIFICATE_VERIFY_FAILED",
    "no authority": "CERTIFICATE_VERIFY_FAILED",
    "expired": "certificate has expired",
    "another host": "CERTIFICATE_VERIFY_FAILED",
    "no certificate of ours": "",  # under TLS 1.3 the client learns of that when it first reads
}


@dataclass
class Front:
    """What listens for TLS in front of a ledger's socket, and the first bytes of each connection that it let through."""

    port: int
    through: list[bytes] = field(default_factory=list)

    @property
    def url(self):
        return f"rediss://localhost:{self.port}"


def unix(path):
    return lambda: asyncio.open_unix_connection(path)


def tcp(port):
    return lambda: asyncio.open_connection(HOST, port)


async def first_byte(sock):
    """Look at what comes first, and leave it there."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(BlockingIOError):
            return sock.recv(1, MSG_PEEK)
        readable = loop.create_future()
        loop.add_reader(sock, readable.set_result, None)
        try:
            await readable
        finally:
            loop.remove_reader(sock)


@contextlib.asynccontextmanager
async def front(behind_it, *, certificate: str = KEY, ask: bool = False):
    """Listen with *certificate*; *ask* for the caller's own. Who does not speak TLS, as Sentinels that watch, is let through too."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    if ask:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(OURS)
    loop, tasks = asyncio.get_running_loop(), set()
    listener = create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    found = Front(listener.getsockname()[1])

    async def copy(reader, writer):
        with contextlib.suppress(OSError):
            while some := await reader.read(1 << 16):
                writer.write(some)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        behind, before = await behind_it()
        with contextlib.closing(writer), contextlib.closing(before), contextlib.suppress(asyncio.CancelledError):
            first = await reader.read(1 << 16)
            if writer.get_extra_info("ssl_object"):
                found.through.append(first)
            before.write(first)
            await asyncio.gather(copy(reader, before), copy(behind, writer))

    async def greet(sock):
        secured = await first_byte(sock) == HANDSHAKE
        reader = asyncio.StreamReader()
        with contextlib.suppress(OSError):
            await loop.connect_accepted_socket(
                lambda: asyncio.StreamReaderProtocol(reader, serve), sock, ssl=context if secured else None
            )

    async def accept():
        while True:
            sock, _ = await loop.sock_accept(listener)
            sock.setblocking(False)
            tasks.add(asyncio.create_task(greet(sock)))

    tasks.add(asyncio.create_task(accept()))
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listener.close()


@pytest.fixture
def socket(redis_url):
    return unquote(urlsplit(redis_url).path)


@pytest.fixture
def user(redis):
    """A user of that Redis, whose password has everything that means something in a URL."""
    redis.execute_command("ACL", "SETUSER", USER, "on", f">{unquote(PASSWORD)}", "~gk:*", "+@all")
    yield
    redis.execute_command("ACL", "DELUSER", USER)


@pytest.mark.parametrize("shown", [False, True], ids=["without our certificate", "with our certificate"])
async def test_a_ledger_behind_tls_decides(shown, socket, user, open_house, graph):
    """With the authority in `ledger.ca`, and our certificate where it is asked for, a ledger is like any other."""
    files = {"ca": OURS, **({"certificate": OURS, "key": KEY} if shown else {})}
    async with front(unix(socket), ask=shown) as tls:
        house = await open_house(graph.url, ledger={"url": tls.url.replace("//", f"//{USER}:{PASSWORD}@"), **files})
        first, second = await house.text(), await house.template("order_update")
        ready = (await house.admin("/readyz")).json["checks"]["ledger"]

    assert ["cold", "cold", "ok"] == [first["Gatekeeper-State"], second["Gatekeeper-State"], ready]
    assert [b"*3\r\n$4\r\nAUTH\r\n"] == sorted({first[:14] for first in tls.through})


@pytest.mark.parametrize("case", SAYS)
async def test_a_ledger_that_cannot_be_trusted_is_away(case, socket, user, open_house, graph):
    """Sends are decided without it, at once, and one line says why; nothing of the URL's password is anywhere."""
    ca = {"the wrong authority": ANOTHER, "no authority": "", "expired": EXPIRED}.get(case, OURS)
    certificate = EXPIRED if case == "expired" else KEY
    async with front(unix(socket), certificate=certificate, ask=case == "no certificate of ours") as tls:
        url = tls.url.replace("//", f"//{USER}:{PASSWORD}@")
        url = url.replace("localhost", "127.0.0.1") if case == "another host" else url
        house = await open_house(graph.url, ledger={"url": url, "ca": ca})
        with pytest.raises(LedgerError) as fault:
            await house.gate.engine.ledger.ping()
        sends = [await house.text() for _ in range(3)]
        ready, policy = await house.admin("/readyz"), await house.admin("/v1/policy")
        said = "\n".join(
            [
                str(fault.value),
                house.written.getvalue(),
                *map(str, (ready.body, policy.body)),
                *(str(send.headers) for send in sends),
            ]
        )

    assert [("degraded", "window_unknown")] * 3 == [(send["Gatekeeper-State"], send["Gatekeeper-Reason"]) for send in sends]
    assert [] == tls.through
    assert [True] == [SAYS[case] in line["error"] for line in house.logged("ledger_lost")]
    assert SAYS[case] in str(fault.value)
    assert SAYS[case] in ready.json["checks"]["ledger"]
    assert [] == re.findall(rf"{PASSWORD}|{re.escape(unquote(PASSWORD))}|pass/word|BEGIN", said)


SENTINEL = """\
port {port}
requirepass {password}
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel monitor the-ledger localhost {master} 1
"""


def names_master(port):
    with contextlib.suppress(RedisError), Redis(HOST, port, password=unquote(PASSWORD)) as sentinel:
        return sentinel.sentinel_get_master_addr_by_name("the-ledger") is not None
    return False


@pytest.mark.parametrize(
    ("ca", "secret", "says"),
    [(OURS, PASSWORD, ""), (ANOTHER, PASSWORD, "CERTIFICATE_VERIFY_FAILED"), (OURS, "another", "AuthenticationError")],
    ids=["trusted", "not trusted", "not trusting us"],
)
async def test_sentinels_and_their_master_are_trusted_alike(ca, secret, says, open_house, graph, tmp_path):
    """With rediss+sentinel:// both are spoken to by TLS, each with its own password, the master by the name that Sentinels call it."""
    [port] = free_ports(1)
    with servers(1) as [master]:
        async with front(tcp(master)) as before_master, front(tcp(port)) as before_sentinel:
            file = tmp_path / "sentinel.conf"
            file.write_text(SENTINEL.format(port=port, master=before_master.port, password=f'"{unquote(PASSWORD)}"'))
            with server(port, str(file), "--sentinel"), Redis(HOST, master) as admin:
                admin.execute_command("ACL", "SETUSER", USER, "on", ">of-the-master", "~gk:*", "+@all")
                await asyncio.to_thread(lambda: next(None for _ in until("no Sentinel") if names_master(port)))
                url = f"rediss+sentinel://{USER}:of-the-master@localhost:{before_sentinel.port}/the-ledger?sentinel_password={secret}"
                house = await open_house(graph.url, ledger={"url": url, "ca": ca})
                with pytest.raises(LedgerError) if says else contextlib.nullcontext() as fault:
                    await house.gate.engine.ledger.ping()
                state = (await house.text())["Gatekeeper-State"]

    assert ("degraded" if says else "cold") == state
    assert says in str(fault and fault.value)
    assert "of-the-master" not in str(fault and fault.value) + house.written.getvalue()
    assert bool(says) != bool(before_master.through)
