"""
Own a fake Graph that costs next to nothing, so that it is never what a bench measures.

A raw asyncio protocol on uvloop. `python bench/graph.py` prints its port and serves.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

import uvloop
from wire import ACCEPTED, END, length, wamid

TO = re.compile(rb'"to":"(\d+)"')


class Graph(asyncio.Protocol):
    """Answers every request as Meta answers an accepted send, each with a wamid of its own."""

    wamids = 0

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(END)) >= 0:
            whole = length(self._rest, end)
            if len(self._rest) < whole:
                return
            to = TO.search(self._rest, end, whole)
            self._rest = self._rest[whole:]
            Graph.wamids += 1
            self._answer(to[1] if to else b"", Graph.wamids)

    def _answer(self, to: bytes, n: int) -> None:
        body = ACCEPTED % (to, to, wamid(n))
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nfacebook-api-version: v23.0\r\n"
            b"x-fb-request-id: A1b2C3\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )


async def serve() -> None:
    """Answer on a port that the system picks."""
    server = await asyncio.get_running_loop().create_server(Graph, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
