"""
Own HTTP as both directions need it: requests that are here whole, which headers travel, and packed bodies read within a bound.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterable
from functools import lru_cache
from itertools import compress
from typing import TypeAlias

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from gatekeeper.core.caching import remember
from gatekeeper.meta.budget import ReadingBudget, TooMuchToRead
from gatekeeper.meta.packing import UnknownPacking, Unpacking
from gatekeeper.server.encodings import readable_encodings

OURS = "gatekeeper-"
HOP_HEADER, HOP = "Gatekeeper-Hop", "gatekeeper-hop"
# What aiohttp's client would add to a request that lacks it.
AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
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
_NOT_FORWARDED = _NOT_SENT_WHOLE | {HOP}
_NOT_SAID = _HOP_BY_HOP | {HOP}
_NOT_SAID_WHOLE = _NOT_SAID | {"content-length"}
# Where Meta signs a webhook, today and formerly.
SIGNATURES = frozenset({"x-hub-signature-256", "x-hub-signature"})
NO_BODY = (204, 304)  # statuses. Source: RFC 9110, section 6.4.1
# What comes slower than this is nobody's honest request.
HEAD_S, BODY_S = 60, 60


Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Headers: names as they were spelled, and values."""


class TooLarge(Exception):  # noqa: N818 - it names the body
    """A body is over its bound."""


class UnknownEncoding(Exception):  # noqa: N818 - it names the body
    """A body has a content encoding that we do not read."""


_MOST_HEADS, _LONGEST_KEPT = 1024, 2048  # so many, and bytes of the longest


class Head:
    """What stands before the body of a plain POST, but for how long that is: the same bytes mean the same again."""

    __slots__ = ("_onward", "headers", "hops", "is_signed", "path")

    def __init__(self, path: str, headers: list[tuple[str, str]]) -> None:
        self.path = path
        self.hops = hops_of(headers)
        self.is_signed = any(_lower(name) in SIGNATURES for name, _ in headers)
        self.headers = CIMultiDictProxy(CIMultiDict([pair for pair in headers if _lower(pair[0]) != "content-length"]))
        self._onward: Pairs | None = None

    @property
    def onward(self) -> Pairs:
        """The headers that go on."""
        if self._onward is None:
            self._onward = _plain(self.headers)
        return self._onward


class Heads:
    """The heads that came more than once, by their bytes; what never comes again, as that of a webhook, drives none of them out."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self._seen: dict[int, None] = {}
        self.get = self._known.get

    def learn(self, name: bytes, head: Head) -> None:
        """Keep a head if it is not the first time that it comes, and no long one."""
        if len(name) > _LONGEST_KEPT:
            return
        if hash(name) in self._seen:
            remember(self._known, name, head, most=_MOST_HEADS)
        else:
            remember(self._seen, hash(name), None, most=_MOST_HEADS)


class Whole:
    """A request that is here whole."""

    __slots__ = ("body", "head", "headers", "method", "raw_path", "transport")

    def __init__(self, head: Head, body: bytes, transport: asyncio.BaseTransport) -> None:
        self.method = "POST"
        self.head = head
        self.raw_path = head.path
        self.headers = head.headers
        self.body = body
        self.transport: asyncio.BaseTransport | None = transport
        """None once whoever asked is gone."""


Request: TypeAlias = web.BaseRequest | Whole


def onward(request: Request) -> Pairs:
    """The headers of a send that go on; its answer is asked for in encodings that are read."""
    return request.head.onward if isinstance(request, Whole) else _plain(request.headers)


def _plain(headers: MultiMapping[str]) -> Pairs:
    plain = upstream_headers((str(name), value) for name, value in headers.items())  # a multidict's names are no plain strings
    return readable_encodings(plain)


def upstream_headers(headers: Iterable[tuple[str, str]]) -> Pairs:
    """The headers of a request that go on: neither hop-by-hop nor ours but for its hops, nor the length of what is here whole."""
    return tuple(_kept(headers, _NOT_SENT_WHOLE))


def forwarded_headers(headers: Iterable[tuple[str, str]]) -> Pairs:
    """The headers of a webhook that go on to an app: neither hop-by-hop nor ours, nor its length."""
    return tuple(_kept(headers, _NOT_FORWARDED))


def stream_headers(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """The headers of a request that goes on as a stream: its length stays, for it is not known otherwise."""
    spelled: dict[str, str] = {}  # aiohttp keeps only the last of a header that comes in two spellings
    return CIMultiDict([(spelled.setdefault(_lower(name), name), value) for name, value in _kept(headers, _NOT_SENT)])


def answer_headers(headers: Iterable[tuple[str, str]], *, stream: bool = False) -> list[tuple[str, str]]:
    """The headers of an answer that go back: neither hop-by-hop, nor what only we say."""
    return _kept(headers, _NOT_SAID if stream else _NOT_SAID_WHOLE)


def _kept(headers: Iterable[tuple[str, str]], drop: frozenset[str]) -> list[tuple[str, str]]:
    listed = list(headers)
    names = tuple([name for name, _ in listed])
    goes, has_connection = (_going if sum(map(len, names)) <= _LONGEST_KEPT else _going.__wrapped__)(names, drop)
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
    goes = tuple(name not in drop and (name == HOP or not name.replace("_", "-").startswith(OURS)) for name in lower)
    return goes, "connection" in lower


@lru_cache(maxsize=1024)
def _lower(name: str) -> str:
    return name.lower()


def hops_of(headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The gates that a request has come through, by their ids."""
    return tuple(hop.strip() for name, value in headers if _lower(name) == HOP for hop in value.split(","))


def authorized(headers: Iterable[tuple[str, str]], right: str) -> Pairs:
    """Headers with this right in the place of every one that they bring."""
    return (*(pair for pair in headers if _lower(pair[0]) != "authorization"), ("Authorization", right))


def tls() -> ssl.SSLContext:
    """What other servers' certificates are held against: the system's authorities, or those of SSL_CERT_FILE."""
    return _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _tls(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Read once, for there are many."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def head_of(lines: list[str], date: str | None = None) -> bytes:
    """A head as it goes over the wire; *date* is for one that has none. ValueError when a header would make two of it."""
    head = "\r\n".join(lines)
    if not head.count("\n") == head.count("\r") == len(lines) - 1 or "\0" in head:
        raise ValueError("a header has a line break in it")
    if date is not None and "\ndate:" not in head.lower():
        head += date
    return (head + "\r\n\r\n").encode("utf-8", "surrogateescape")


def unpacked(body: bytes, encoding: str | None, most: int) -> bytes:
    """Undo a content encoding; TooLarge when what comes out is more than *most* bytes, UnknownEncoding, or ValueError when it is broken."""
    texts, size = [], 0
    try:
        unpacking = Unpacking(encoding or "", ReadingBudget(most))
        for text in unpacking.feed(body):
            size += len(text)
            if size > most:
                raise TooLarge
            texts.append(text)
    except UnknownPacking:
        raise UnknownEncoding from None
    except TooMuchToRead:
        raise TooLarge from None
    if not unpacking.ended:
        raise ValueError("the body ends before its content encoding does")
    return b"".join(texts)
