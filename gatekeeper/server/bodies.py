"""
Own how the body of a request comes in: within a bound of its size, of memory over all connections, and of time.

What is not yet decided on is a stranger's. So all such bodies together have one share of memory, and each has to make progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from collections.abc import AsyncIterator, Iterator

from aiohttp import ClientPayloadError, StreamReader
from aiohttp.http_exceptions import HttpProcessingError

from gatekeeper.server.http import BODY_S, Request, TooLarge, Whole

# What is read of undecided bodies at once, in one process: a dozen and more of the largest webhooks. The first bytes of each body are
# not counted: a connection may have as many in its buffers in any case, and a small webhook comes through however many large ones do.
_MOST_UNDECIDED, _UNCOUNTED = 64 << 20, 64 << 10
_WORTH_TRIMMING, _TRIM_AFTER_S = 32 << 20, 1.0
# The least that a body has to bring in so many seconds in which we wait for it.
_LEAST_PROGRESS, _PROGRESS_S = 4 << 10, 20.0
_BROKEN = (ConnectionError, HttpProcessingError, ClientPayloadError)


class BodyBrokenOff(Exception):  # noqa: N818 - it names the body
    """A request's body did not come to its end, or what came is none."""


class BodyTooSlow(Exception):  # noqa: N818 - it names the body
    """A request's body did not come in time."""


class NoRoom(Exception):  # noqa: N818 - it names the state of our memory
    """As many undecided bodies are being read as may be kept in memory."""


class BodyMemory:
    """The memory that undecided bodies of all connections share, in bytes."""

    def __init__(self, most: int = _MOST_UNDECIDED) -> None:
        self.most = most
        self.used = self._highest = 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Share]:
        """Have a share of it for one body, until the block ends."""
        share = Share(self)
        try:
            yield share
        finally:
            share.resize(0)

    def count(self, more: int) -> None:
        """Take so much more, or give it back; NoRoom. Once a lot was taken and all is given back, the system has it back too."""
        used = self.used + more
        if more > 0 and used > self.most:
            raise NoRoom
        self.used, self._highest = used, max(self._highest, used)
        if not used and self._highest >= _WORTH_TRIMMING:
            self._highest = 0
            _give_back()


class Share:
    """What one body takes of the memory."""

    __slots__ = ("_counted", "_memory")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory, self._counted = memory, 0

    def resize(self, size: int) -> None:
        """Count a body as *size* bytes; NoRoom when it grows by more than is left."""
        counted = max(size - _UNCOUNTED, 0)
        if counted != self._counted:
            self._memory.count(counted - self._counted)
            self._counted = counted


def _give_back() -> None:
    """Have the C library give free memory back to the system, where it can: glibc keeps what lies between pieces that are in use."""
    if _trim is not None:
        loop = asyncio.get_running_loop()
        loop.call_later(_TRIM_AFTER_S, loop.run_in_executor, None, _trim, 0)


_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
MEMORY = BodyMemory()
"""That of this process."""


async def read_body(request: Request, most: int, *, within_s: float = BODY_S) -> bytes:
    """
    Read a request's body.

    TooLarge when it is more than *most* bytes, before more than that is in memory; NoRoom, BodyBrokenOff, BodyTooSlow.
    """
    if isinstance(request, Whole):
        if len(request.body) > most:
            raise TooLarge
        return request.body
    length, content = request.content_length, request.content
    if length is not None and length > most:
        raise TooLarge
    if content.is_eof() and content.exception() is None and length == content.total_bytes:  # it came with its head
        return content.read_nowait()
    chunks, size = [], 0
    async with intake(within_s) as share:
        async for chunk in content.iter_any():
            size += len(chunk)
            if size > most:
                raise TooLarge
            share.resize(size)
            chunks.append(chunk)
        return b"".join(chunks)


@contextlib.asynccontextmanager
async def intake(within_s: float = BODY_S) -> AsyncIterator[Share]:
    """Take in a body that is kept, with a share of the memory, which it must be counted in; NoRoom, BodyBrokenOff, BodyTooSlow."""
    try:
        with MEMORY.share() as share:
            async with asyncio.timeout(within_s):
                yield share
    except TimeoutError:
        raise BodyTooSlow from None
    except _BROKEN:
        raise BodyBrokenOff from None


async def progressing(content: StreamReader) -> AsyncIterator[bytes]:
    """
    Give a body that streams through piece by piece; BodyTooSlow when it hardly makes progress.

    Only the time in which its sender is waited for counts: how fast the upstream reads is not the sender's fault.
    """
    loop, waited, brought = asyncio.get_running_loop(), 0.0, 0
    while not content.at_eof():
        began = loop.time()
        try:
            async with asyncio.timeout(_PROGRESS_S - waited):
                piece = await content.readany()
        except TimeoutError:
            raise BodyTooSlow from None
        waited += loop.time() - began
        brought += len(piece)
        if brought >= _LEAST_PROGRESS:
            waited, brought = 0.0, 0
        if piece:
            yield piece
