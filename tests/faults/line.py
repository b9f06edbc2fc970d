"""A TCP line between a gate and its ledger that can be slow, silent, black or cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from enum import StrEnum

CHUNK = 1 << 16
LINGER_OFF = b"\x01\x00\x00\x00\x00\x00\x00\x00"


class Ports:
    """
    Ports that stay ours while nobody listens on them, as between the end of a gate and its next start.

    Each is below those that the kernel hands out to connections, and is held by a socket that never listens: whoever binds with
    SO_REUSEADDR, as servers do, may listen there, and another run that looks for a port finds it taken.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self) -> int:
        """Find one, and hold it."""
        for port in range(20_000, 32_000):
            held = socket.socket()
            try:
                held.bind(("127.0.0.1", port))
            except OSError:
                held.close()
                continue
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held.append(held)
            return port
        raise RuntimeError("no port is free")

    def close(self) -> None:
        for held in self._held:
            held.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by a RST, whatever was still to be written."""
    if (raw := writer.get_extra_info("socket")) is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
    writer.transport.abort()


class Mode(StrEnum):
    """What the line does with what it is given. Held bytes arrive when the line is open again; swallowed ones never do."""

    OPEN = "open"
    HOLD = "hold"
    SWALLOW = "swallow"


class Line:
    """Forwards each connection to `target`."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.delay_s = 0.0
        self._mode = Mode.OPEN
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._poisoned: set[asyncio.StreamWriter] = set()
        self.asked = asyncio.Event()
        """Set whenever bytes from a gate come in."""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=1024)

    def refuse(self) -> None:
        """Break every connection, and refuse new ones until started again."""
        assert self._server is not None
        self._server.close()
        self.break_off()

    def break_off(self) -> None:
        for writer in list(self._writers):
            reset(writer)

    def set(self, mode: Mode) -> None:
        """Change what becomes of bytes; connections that lost some are broken when the line opens again."""
        self._mode = mode
        if mode is Mode.HOLD:
            self._open.clear()
            return
        self._open.set()
        if mode is Mode.OPEN:
            for writer in self._poisoned:
                reset(writer)
            self._poisoned.clear()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._joined(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            self._poisoned.discard(writer)
            writer.close()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers.add(there)
        try:
            ways = [
                asyncio.ensure_future(self._carried(reader, there, writer, asks=True)),
                asyncio.ensure_future(self._carried(there_reader, writer, there, asks=False)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._writers.discard(there)
            self._poisoned.discard(there)
            there.close()

    async def _carried(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, *, asks: bool
    ) -> None:
        """Carry one way: what was read is due after the delay of that moment, so that a slow line is not a narrow one."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def fill() -> None:
            chunk = b"-"
            while chunk:
                chunk = await reader.read(CHUNK)
                if asks and chunk:
                    self.asked.set()
                if chunk and self._mode is Mode.SWALLOW:
                    self._poisoned |= {writer, back}
                    continue
                queue.put_nowait((loop.time() + self.delay_s, chunk))

        filling = asyncio.ensure_future(fill())
        filling.add_done_callback(lambda _: queue.put_nowait((0, b"")))
        try:
            while True:
                due, chunk = await queue.get()
                await self._open.wait()
                if not chunk:
                    return
                if (rest := due - loop.time()) > 0:
                    await asyncio.sleep(rest)
                writer.write(chunk)
                await writer.drain()
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
