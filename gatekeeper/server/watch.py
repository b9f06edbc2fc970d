"""Own how a body is read while it streams by: unpacked piece by piece, kept while it is small, and looked at in passing when it is not."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from aiohttp import web

from gatekeeper.meta.batch import UNREADABLE, Found, Pairs, asked, find, mentions, parameters
from gatekeeper.meta.bodies import Form, UnreadableBody, form_of
from gatekeeper.meta.glance import Glance
from gatekeeper.meta.paths import gated, is_root, names_edge
from gatekeeper.server.http import WINDOWS

_ADVICE = "Send each message by itself to …/messages."
_TOO_LARGE = Found(status=413, details=f"The body is too large to be read, and may hold a message. {_ADVICE}")
_UNKNOWN = Found(status=415, details=f"The Content-Encoding is not one of gzip, deflate and identity. {_ADVICE}")
_TELLING = ("batch", "messages", "method")
_STEP = 1 << 18
_MEMBERS, _LAYERS = 8, 3
# A packed body that grows more than so many times is not read to its end, once it is so many times what may be kept.
_GROWTH, _PATIENCE = 256, 16


class _BrokenPacking(ValueError):  # noqa: N818 - it names the body
    """A body is not what its content encoding says."""


class _Inflater:
    """One content encoding, undone piece by piece."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._inflater = zlib.decompressobj(window)
        self._members, self._begun = 1, False
        self._head = b""

    @property
    def ended(self) -> bool:
        return self._inflater.eof

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if not self._begun:
            piece = self._head = self._head + piece
        while len(piece) > (not self._begun):  # a header of zlib's shows in its second byte
            if self._inflater.eof:  # only gzip has members
                self._members += 1
                if self._window <= zlib.MAX_WBITS or self._members > _MEMBERS:
                    raise _BrokenPacking
                self._inflater = zlib.decompressobj(self._window)
            try:
                text = self._inflater.decompress(piece, _STEP)
            except zlib.error:
                if self._begun or self._window != zlib.MAX_WBITS:
                    raise _BrokenPacking from None
                self._window = -zlib.MAX_WBITS  # `deflate` without its header, as some clients send it
                self._inflater, self._begun = zlib.decompressobj(self._window), True
                continue
            self._begun = True
            yield text
            piece = self._inflater.unused_data or self._inflater.unconsumed_tail


class Watch:
    """
    What is known of a request on its way through; *found* is the message that it may carry.

    Where batches belong it is *strict*: there a body that may hold one and cannot be read is taken for a message.
    """

    def __init__(self, request: web.BaseRequest, most: int) -> None:
        self._asked = asked(request.raw_path, request.method, request.headers.items())
        self.strict = is_root(request.raw_path)
        self.posts = False
        self.found: Found | None = find(self._asked)
        self._by_method = gated(request.raw_path) is not None
        self._always = self.strict or self._by_method or names_edge(request.raw_path)
        self._types = request.headers.getall("Content-Type", [""])
        self._most = most
        self._kept = bytearray()
        self._glances: list[Glance] = []
        self._over = self._broken = False
        self._fed = self._read = 0
        names = [name.strip().lower() for name in ",".join(request.headers.getall("Content-Encoding", [])).split(",")]
        packed = [name for name in reversed(names) if name not in ("", "identity")]
        self._inflaters = [_Inflater(WINDOWS[name]) for name in packed if name in WINDOWS]
        self._unknown = len(self._inflaters) != len(packed) or len(packed) > _LAYERS

    def feed(self, piece: bytes) -> None:
        """Read the next piece."""
        if self._broken or self._unknown or (self._over and self.found is not None):
            return
        self._fed += len(piece)
        texts: Iterable[bytes] = [piece]
        for inflater in self._inflaters:
            texts = _through(inflater, texts)
        try:
            for text in texts:
                self._read += len(text)
                if self._read > max(_PATIENCE * self._most, _GROWTH * self._fed):
                    self.too_large()
                    return
                self._take(text)
        except _BrokenPacking:
            self._broken = True

    def end(self) -> None:
        """Judge the whole."""
        if self._unknown:
            if self.strict or self._by_method:
                self.found = self.found or _UNKNOWN
        elif self._over:
            self._glance(b"", last=True)
            self.posts = self._by_method
        else:
            broken = self._broken or not all(inflater.ended for inflater in self._inflaters)
            self._judge(bytes(self._kept), broken=broken)

    def too_large(self) -> None:
        """Give up on a body of which the whole would have to be read."""
        self.found = self.found or _TOO_LARGE

    def _take(self, text: bytes) -> None:
        if not self._over:
            self._kept += text
            if len(self._kept) <= self._most:
                return
            self._over, text, self._kept = True, bytes(self._kept), bytearray()
            self._glances = [Glance(_form(type_), strict=self.strict) for type_ in self._types]
        self._glance(text)

    def _glance(self, text: bytes, *, last: bool = False) -> None:
        seen = [glance.sees(text, last=last) for glance in self._glances]
        if any(seen):
            self.too_large()

    def _judge(self, body: bytes, *, broken: bool) -> None:
        if not self._always and not any(mentions(body, word) for word in _TELLING):
            return
        told, unreadable = Pairs(), True
        for type_ in self._types if not broken else ():
            try:
                told.extend(parameters(body, type_))
                unreadable = False
            except UnreadableBody:
                continue
        if unreadable:
            batch = mentions(body, "batch") and (self.strict or mentions(body, "relative_url"))
            self.found = UNREADABLE if batch or (broken and self.strict) else None
            self.posts = broken or mentions(body, "method")
            return
        whole = self._asked.telling(told)
        self.posts, self.found = whole.may_post(), find(whole)


def _through(inflater: _Inflater, texts: Iterable[bytes]) -> Iterator[bytes]:
    for text in texts:
        yield from inflater.feed(text)


def _form(content_type: str) -> Form | None:
    try:
        return form_of(content_type)
    except UnreadableBody:
        return None
