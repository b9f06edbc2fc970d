"""Own the answers that are here whole: refusals in Graph's shape, JSON of our own, and what the upstream answered to a send."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from gatekeeper.core.vocabulary import Refusal
from gatekeeper.meta.graph_errors import refusal_body
from gatekeeper.meta.rewriting import JSON
from gatekeeper.server.http import NO_BODY, head_of

_GRAPHS = f"{JSON}; charset=utf-8"
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Reply(msgspec.Struct):
    """
    An answer that is here whole, whichever way it goes back.

    *reason*: the words behind the status; None: the usual ones. *last*: the connection ends behind it.
    """

    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = []
    reason: str | None = None
    last: bool = False

    @classmethod
    def json(cls, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        """An answer of our own."""
        return cls(status, body, [*({"Content-Type": JSON} | dict(headers or {})).items()])

    @property
    def words(self) -> str:
        """What stands behind the status."""
        return _PHRASES.get(self.status, "") if self.reason is None else self.reason

    def written(self, date: str, *, last: bool) -> bytes:
        """As it goes over the wire; *date* is for one that has none."""
        lines = [f"HTTP/1.1 {self.status} {self.words}", *map(": ".join, self.headers)]
        if self.status not in NO_BODY:
            lines.append(f"Content-Length: {len(self.body)}")
        if last:
            lines.append("Connection: close")
        return head_of(lines, date) + self.body

    def response(self) -> web.Response:
        """As aiohttp takes it."""
        response = _Answer(status=self.status, reason=self.reason, body=self.body, headers=CIMultiDict(self.headers))
        if self.last:
            response.force_close()
        return response


def refusal_reply(refusal: Refusal, *, trace: str, headers: Mapping[str, str] | None = None, details: str | None = None) -> Reply:
    """Answer as Graph would refuse."""
    body = refusal_body(refusal, trace=trace, details=details)
    return Reply.json(body, status=refusal.http_status, headers={"Content-Type": _GRAPHS, **(headers or {})})


def fault(status: int, title: str, details: str) -> Refusal:
    """A fault of ours on the listener, in the shape of a refusal: Graph's own general codes."""
    return Refusal(code=2 if status >= _SERVER_ERROR else 100, title=title, details=details, http_status=status)


def too_slow(part: str) -> Reply:
    """Refuse a request of which a *part* did not come in time."""
    reply = refusal_reply(fault(408, "Invalid request", f"The request's {part} did not come in time."), trace="gatekeeper")
    reply.last = True
    return reply


_SERVER_ERROR = 500


class _Untouched:
    """An answer of the upstream's: aiohttp's own Server and default Content-Type are not added to it."""

    headers: CIMultiDict[str]

    async def _prepare_headers(self) -> None:
        missing = [name for name in ("Server", "Content-Type") if name not in self.headers]
        await super()._prepare_headers()  # type: ignore[misc]
        for name in missing:
            self.headers.popall(name, None)


class _Answer(_Untouched, web.Response):
    """An answer that is here whole."""


class StreamedAnswer(_Untouched, web.StreamResponse):
    """An upstream's answer on its way."""
