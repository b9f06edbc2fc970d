"""A scripted upstream on a real socket: it keeps what arrives, byte for byte, and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web

Script = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Arrived:
    """One request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class FakeGraph:
    """Start it, point a gate at `url`, and set `script` to answer in another way."""

    script: Script | None = None
    arrived: list[Arrived] = field(default_factory=list)
    url: str = ""
    wamids: int = 0

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.script is not None:
            return await self.script(request)
        body = await request.read()
        self.keep(request, body)
        return self.accept(body)

    def keep(self, request: web.BaseRequest, body: bytes) -> None:
        headers = [(name.decode(), value.decode()) for name, value in request.raw_headers]
        self.arrived.append(Arrived(request.method, request.raw_path, headers, body))

    def accept(self, body: bytes) -> web.Response:
        """Meta's answer to a good send."""
        self.wamids += 1
        try:
            to = json.loads(body).get("to", "")
        except ValueError:
            to = ""
        answer = {
            "messaging_product": "whatsapp",
            "contacts": [{"input": to, "wa_id": "".join(c for c in to if c.isdigit())}],
            "messages": [{"id": f"wamid.{self.wamids}"}],
        }
        return web.json_response(answer, headers={"X-Fb-Trace-Id": "abc", "Facebook-Api-Version": "v23.0"})


@contextlib.contextmanager
def full(host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """An address where nobody takes connections, and none is refused."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server((host, 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()


async def eventually(true: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until something holds, not a fixed time."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for is another process's, or a log line
            await asyncio.sleep(0.01)
