"""Own what passes through to move a thread between partners: it is read along, and believed once Meta has said yes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from aiohttp import StreamReader, web

from gatekeeper.core.errors import LedgerError
from gatekeeper.engine import Engine
from gatekeeper.engine.routing import hand_over
from gatekeeper.meta.paths import Target
from gatekeeper.meta.thread_control import controlled, decode_control
from gatekeeper.server.http import TooLarge, UnknownEncoding, unpacked
from gatekeeper.server.replies import Reply
from gatekeeper.server.side_doors import SideDoors
from gatekeeper.telemetry import FAULT

_MOST = 1 << 16  # bytes of a request: Meta takes 2,000 letters beside the names
_OK, _REDIRECT = 200, 300


class ThreadControl:
    """The side doors, and what goes through them to move a thread."""

    def __init__(self, side_doors: SideDoors, engine: Engine, log: Any, now: Callable[[], int]) -> None:
        self._side_doors = side_doors
        self._engine = engine
        self._log = log
        self._now = now

    async def handle(self, request: web.BaseRequest, target: Target | None) -> web.StreamResponse | Reply:
        """Pass a request through, and move the thread that it moves."""
        phone_number_id = controlled(request.raw_path) if request.method == "POST" else None
        if phone_number_id is None or not request.can_read_body:
            return await self._side_doors.handle(request, target)
        copied = _Copied(request)
        answer = await self._side_doors.handle(cast("web.BaseRequest", copied), target)
        body = bytes(copied.content.copy)
        if not isinstance(answer, Reply) and _OK <= answer.status < _REDIRECT and len(body) <= _MOST:
            await self._moved(request, phone_number_id, body)
        return answer

    async def _moved(self, request: web.BaseRequest, phone_number_id: str, body: bytes) -> None:
        try:
            text = unpacked(body, ",".join(request.headers.getall("Content-Encoding", ())) or None, _MOST)
        except (TooLarge, UnknownEncoding, ValueError):
            return
        control = decode_control(text, request.headers.get("Content-Type", ""))
        if control is None:
            return
        try:
            await hand_over(self._engine, phone_number_id, control.names, elsewhere=control.elsewhere, now=self._now())
        except LedgerError as error:
            self._log.warning(FAULT, source=error.source, what="whose thread it is could not be kept", error=str(error))


class _Copied:
    """A request whose body is copied while it is read."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.content = _Content(request.content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


class _Content:
    """A body, and a copy of what was read of it: no more than may be about a thread."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self.copy = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def readany(self) -> bytes:
        """Read on as the body itself does."""
        piece = await self._content.readany()
        if len(self.copy) <= _MOST:
            self.copy += piece
        return piece

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Read on to the end, as the body itself does."""
        while piece := await self.readany():
            yield piece
