"""Own how a body is read while it streams by: unpacked piece by piece, kept while it is small, and looked at in passing when it is not."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gatekeeper.meta.batch import UNREADABLE, Asked, Found, Pairs, asked, find, parameters
from gatekeeper.meta.bodies import UnreadableBody
from gatekeeper.meta.budget import ReadingBudget, TooMuchToRead
from gatekeeper.meta.packing import BrokenPacking, UnknownPacking, Unpacking
from gatekeeper.meta.paths import gated, is_root, may_post, names_edge
from gatekeeper.meta.showing import Showing

_ADVICE = "Send each message by itself to …/messages."
_TOO_LARGE = Found(status=413, details=f"The body is too large to be read, and may hold a message. {_ADVICE}")
_UNKNOWN = Found(status=415, details=f"The Content-Encoding is not one of gzip, deflate and identity. {_ADVICE}")
# Bytes that are read at once: more of them, and what they unpack to, are read aside, so that the event loop goes on.
_AT_ONCE, _AT_ONCE_PACKED = 1 << 17, 1 << 9


class Watch:
    """
    What is known of a request on its way through; *found* is the message that it may carry.

    Where batches belong it is *strict*: there a body that may hold one and cannot be read is taken for a message.
    """

    def __init__(self, request: web.BaseRequest, most: int) -> None:
        path, method, headers = request.raw_path, request.method, list(request.headers.items())
        self.strict = is_root(path)
        self.posts = False
        self.found: Found | None
        self._budget = ReadingBudget(most)
        try:
            self._asked = asked(path, method, headers, self._budget)
            self.found = find(self._asked, self._budget)
        except UnreadableBody:
            self._asked, self.found = Asked(url=path, methods=(method,)), UNREADABLE
        self._may_post = may_post(method, headers) or self._asked.may_post()
        self._by_method = gated(path) is not None
        self._edge = names_edge(path)
        self._most = most
        self._kept = bytearray()
        types = request.headers.getall("Content-Type", [])
        self._showing = Showing(types, closely=self.strict or self._by_method)
        # What does not undo a content encoding reads a body as it came.
        self._showing_packed: Showing | None = None
        self._over = self._broken = False
        self._unpacking: Unpacking | None = None
        encoding = ",".join(request.headers.getall("Content-Encoding", ()))
        try:
            self._unpacking = Unpacking(encoding, self._budget)
        except UnknownPacking:
            return
        if self._unpacking.layers:
            self._showing_packed = Showing(types)

    async def read(self, piece: bytes) -> None:
        """Read the next piece."""
        if len(piece) > (_AT_ONCE_PACKED if self._showing_packed is not None else _AT_ONCE):
            await asyncio.to_thread(self.feed, piece)
        else:
            self.feed(piece)

    def feed(self, piece: bytes) -> None:
        """Read the next piece, here and now."""
        if self._broken or self._unpacking is None or (self._over and self.found is not None):
            return
        try:
            for text in self._unpacking.feed(piece):
                self._take(text)
            if self._showing_packed is not None:
                self._showing_packed.feed(piece)
        except BrokenPacking:
            self._broken = True
        except TooMuchToRead:
            self._over = True
            self.too_large()

    def end(self) -> None:
        """Judge the whole."""
        if self._unpacking is None:
            if self.strict or self._by_method or (self._edge and self._may_post):
                self.found = self.found or _UNKNOWN
            return
        self._showing.end()
        if self._showing_packed is not None:
            self._showing_packed.end()
            if self._shows(self._showing_packed):
                self.found = self.found or UNREADABLE
        if self._over:
            if self._broken or self._shows_anything():
                self.too_large()
            self.posts = self._by_method
        else:
            self._judge(bytes(self._kept), broken=self._broken or not self._unpacking.ended)

    def too_large(self) -> None:
        """Give up on a body of which the whole would have to be read."""
        self.found = self.found or _TOO_LARGE

    def _take(self, text: bytes) -> None:
        self._showing.feed(text)
        if not self._over:
            self._kept += text
            if len(self._kept) <= self._most:
                return
            self._over, self._kept = True, bytearray()
        if self._shows_anything():
            self.too_large()

    def _shows(self, showing: Showing) -> bool:
        return showing.may_send(edge=self._edge, posts=self._may_post)

    def _shows_anything(self) -> bool:
        """Say whether what is not read may hold a message."""
        return (self.strict and not self._showing.is_free()) or self._shows(self._showing)

    def _judge(self, body: bytes, *, broken: bool) -> None:
        showing = self._showing
        if not broken and not (self.strict or self._by_method or self._edge or showing.is_suspect):
            return
        told, doubtful = Pairs(), broken or not showing.is_read_for_certain
        for type_ in showing.types if not broken and body else ():
            try:
                told.extend(parameters(body, type_, self._budget))
            except UnreadableBody:
                doubtful = True
        whole = self._asked.telling(told)
        self.posts = whole.may_post() or (doubtful and (broken or showing.names_method))
        self.found = self.found or find(whole, self._budget)
        # What is broken behind something may go on for others.
        hides = broken and (self.strict or (self._broken and self._unpacking is not None and self._unpacking.begun))
        if hides or (doubtful and body and self._shows_anything()):
            self.found = self.found or UNREADABLE
