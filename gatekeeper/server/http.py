"""
Own HTTP as both directions need it: which headers travel, bodies read within a bound, and answers of our own in Graph's shape.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import compress
from typing import TypeAlias

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from gatekeeper.core.vocabulary import Refusal
from gatekeeper.meta.graph_errors import refusal_body

OURS = "gatekeeper-"
# What aiohttp's client would add to a request that lacks it.
AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_JSON = "application/json; charset=utf-8"
# Between us and one neighbour only. Source: RFC 9110, section 7.6.1.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
    }
    | {"upgrade"}
)
_NOT_SENT = _HOP_BY_HOP | {"host", "expect"}
# What was read whole is measured anew.
_NOT_SENT_WHOLE = _NOT_SENT | {"content-length", "idempotency-key"}
_NOT_SAID_WHOLE = _HOP_BY_HOP | {"content-length"}
_MEMBERS, _LAYERS = 8, 3
NO_BODY = (204, 304)  # statuses. Source: RFC 9110, section 6.4.1
# What comes slower than this is nobody's honest request.
HEAD_S, BODY_S = 60, 60
# The content encodings that we read, and zlib's word for each.
WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class TooLarge(Exception):  # noqa: N818 - it names the body
    """A body is over its bound."""


class BrokenOff(Exception):  # noqa: N818 - it names the body
    """A body did not come to its end."""


class UnknownEncoding(Exception):  # noqa: N818 - it names the body
    """A body has a content encoding that we do not read."""


class Whole:
    """A request that came in one piece, and is here whole."""

    __slots__ = ("body", "headers", "method", "raw_path", "transport")

    def __init__(
        self, method: str, raw_path: str, headers: CIMultiDict[str], body: bytes, transport: asyncio.BaseTransport
    ) -> None:
        self.method = method
        self.raw_path = raw_path
        self.headers = headers
        self.body = body
        self.transport: asyncio.BaseTransport | None = transport
        """None once whoever asked is gone."""


Request: TypeAlias = web.BaseRequest | Whole


def refusal_response(
    refusal: Refusal, *, trace: str, headers: Mapping[str, str] | None = None, details: str | None = None
) -> web.Response:
    """Answer as Graph would refuse."""
    body = refusal_body(refusal, trace=trace, details=details)
    return web.Response(status=refusal.http_status, body=body, headers={"Content-Type": _JSON, **(headers or {})})


def fault(status: int, title: str, details: str) -> Refusal:
    """A fault of ours on the listener, in the shape of a refusal: Graph's own general codes."""
    return Refusal(code=2 if status >= _SERVER_ERROR else 100, title=title, details=details, http_status=status)


_SERVER_ERROR = 500


def upstream_headers(headers: Iterable[tuple[str, str]], *, stream: bool = False) -> CIMultiDict[str]:
    """The headers of a request that go on: neither hop-by-hop nor ours. The length of a *stream* stays, for it is not known otherwise."""
    kept = _kept(headers, _NOT_SENT if stream else _NOT_SENT_WHOLE)
    if not stream:
        return CIMultiDict(kept)
    spelled: dict[str, str] = {}  # aiohttp keeps only the last of a header that comes in two spellings
    return CIMultiDict([(spelled.setdefault(_lower(name), name), value) for name, value in kept])


def answer_headers(headers: Iterable[tuple[str, str]], *, stream: bool = False) -> list[tuple[str, str]]:
    """The headers of an answer that go back: neither hop-by-hop, nor what only we say."""
    return _kept(headers, _HOP_BY_HOP if stream else _NOT_SAID_WHOLE)


def _kept(headers: Iterable[tuple[str, str]], drop: frozenset[str]) -> list[tuple[str, str]]:
    listed = list(headers)
    goes, has_connection = _going(tuple([name for name, _ in listed]), drop)
    kept = list(compress(listed, goes))
    if not has_connection:
        return kept
    told = (value for name, value in listed if _lower(name) == "connection")
    named = {token.strip().lower() for value in told for token in value.split(",")}
    return [pair for pair in kept if _lower(pair[0]) not in named]


@lru_cache(maxsize=256)
def _going(names: tuple[str, ...], drop: frozenset[str]) -> tuple[tuple[bool, ...], bool]:
    """Which of some headers go on, and whether one of them is a Connection: clients send the same ones again and again."""
    lower = [_lower(name) for name in names]
    return tuple(name not in drop and not name.startswith(OURS) for name in lower), "connection" in lower


@lru_cache(maxsize=1024)
def _lower(name: str) -> str:
    return name.lower()


def tls() -> ssl.SSLContext:
    """What other servers' certificates are held against: the system's authorities, or those of SSL_CERT_FILE."""
    return _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _tls(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Read once, for there are many."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def head_of(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A head as it goes over the wire; ValueError when a header would make two of it."""
    lines = [first, *map(": ".join, headers)]
    head = "\r\n".join(lines)
    if not head.count("\n") == head.count("\r") == len(lines) - 1 or "\0" in head:
        raise ValueError("a header has a line break in it")
    return (head + "\r\n\r\n").encode("utf-8", "surrogateescape")


async def read_body(request: Request, most: int, *, within_s: float = BODY_S) -> bytes:
    """Read a request's body; TooLarge when it is more than *most* bytes, before more than that is in memory; BrokenOff."""
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
    try:
        async with asyncio.timeout(within_s):
            async for chunk in content.iter_any():
                size += len(chunk)
                if size > most:
                    raise TooLarge
                chunks.append(chunk)
    except (ConnectionError, TimeoutError, HttpProcessingError, ClientPayloadError):
        raise BrokenOff from None
    return b"".join(chunks)


def unpacked(body: bytes, encoding: str | None, most: int) -> bytes:
    """Undo a content encoding; TooLarge when what comes out is more than *most* bytes, UnknownEncoding, or ValueError when it is broken."""
    names = [part.strip().lower() for part in (encoding or "").split(",")]
    if len(names) > _LAYERS:
        raise UnknownEncoding
    for name in reversed(names):
        if name in ("", "identity"):
            continue
        if name not in WINDOWS:
            raise UnknownEncoding
        body = _inflated(body, WINDOWS[name], most)
    return body


def _inflated(body: bytes, window: int, most: int) -> bytes:
    """Inflate *body*: one stream, or of gzip a few members."""
    text = b""
    for _ in range(_MEMBERS):
        try:
            inflater = zlib.decompressobj(window)
            text += inflater.decompress(body, most + 1 - len(text))
        except zlib.error:
            if window != zlib.MAX_WBITS or text:
                break
            return _inflated(body, -zlib.MAX_WBITS, most)  # `deflate` without its header, as some clients send it
        if len(text) > most:
            raise TooLarge
        if not inflater.eof:
            raise ValueError("the body ends before its content encoding does")
        body = inflater.unused_data
        if not body:
            return text
        if window <= zlib.MAX_WBITS:  # only gzip has members; what follows a deflated stream could be read in two ways
            break
    raise ValueError("the body is not what its content encoding says")


class _Untouched:
    """An answer of the upstream's: aiohttp's own Server and default Content-Type are not added to it."""

    headers: CIMultiDict[str]

    async def _prepare_headers(self) -> None:
        missing = [name for name in ("Server", "Content-Type") if name not in self.headers]
        await super()._prepare_headers()  # type: ignore[misc]
        for name in missing:
            self.headers.popall(name, None)


class Answer(_Untouched, web.Response):
    """An upstream's answer that was read whole."""


class StreamedAnswer(_Untouched, web.StreamResponse):
    """An upstream's answer on its way."""
