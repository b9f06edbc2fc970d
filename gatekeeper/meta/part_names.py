"""Own which names the parts of a multipart body have, read while it streams by, and as leniently as any server may."""

from __future__ import annotations

import re

from gatekeeper.meta.bodies import spelled
from gatekeeper.meta.scanning import unquoted

_LONGEST_HEAD, _MOST_PARTS, _TOGETHER = 8192, 500, 1 << 14
_LONGEST_ID = 1024
IDS = frozenset({"id", "ids"})
_BLANK_LINES = (b"\n\r\n", b"\n\n")
_BLANK = b" \t\r\n"
_NAME = re.compile(rb"""(?<![\w*-])name(\*?)([0-9*]*)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^;\s]*)""", re.IGNORECASE | re.DOTALL)


class PartNames:
    """
    The names of the parts so far.

    *ids*: what parts called `id` begin with. *odd*: a part has a head that cannot be read, or there are too many parts.
    """

    def __init__(self, boundary: str) -> None:
        self.names: set[str] = set()
        self.ids = b""
        self.odd = False
        self._delimiter = b"--" + boundary.encode()
        self._rest, self._unseen = b"", bytearray()
        self._parts = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece; small ones are looked at together."""
        self._unseen += piece
        if len(self._unseen) >= _TOGETHER:
            text, self._unseen = bytes(self._unseen), bytearray()
            self._look(text, last=False)

    def end(self) -> None:
        """Look at what is left; no more comes."""
        self._look(bytes(self._unseen), last=True)

    def _look(self, piece: bytes, *, last: bool) -> None:
        if self.odd:
            return
        text, self._rest = self._rest + piece if self._rest else piece, b""
        at = text.find(self._delimiter)
        while at >= 0:
            begun = at + len(self._delimiter)
            following = text.find(self._delimiter, begun)
            end = following if following >= 0 else len(text)
            if not self._read(text[begun : min(end, begun + _LONGEST_HEAD)], whole=last or following >= 0):
                self._rest = text[at:]
                return
            self._parts += 1
            if self._parts > _MOST_PARTS:
                self.odd = True
            if self.odd:
                return
            at = following
        self._rest = text[-len(self._delimiter) + 1 :]

    def _read(self, text: bytes, *, whole: bool) -> bool:
        """Read the head that a part begins with; False: the rest of it is still to come."""
        ends = [end for end in (text.find(blank) for blank in _BLANK_LINES) if end >= 0]
        if not ends and not whole and len(text) < _LONGEST_HEAD:
            return False
        head = text[: min(ends)] if ends else text
        value = text[len(head) : len(head) + _LONGEST_ID]
        names = set()
        for starred, numbered, written in _NAME.findall(head):
            if numbered:
                self.odd = True  # in pieces, of which the others may stand anywhere
            word = written.strip(b"\"'").replace(b"\\", b"")
            names.add(spelled((unquoted(word.rpartition(b"'")[2]) if starred else word).decode("latin-1")))
        if names & IDS:
            if not whole and len(value) < _LONGEST_ID and len(text) < _LONGEST_HEAD:
                return False
            self.ids += unquoted(value).lower()
        line, _, _ = head.partition(b"\n")
        if not ends and len(text) == _LONGEST_HEAD and not line.strip(_BLANK):
            self.odd = True
        self.names |= names
        return True
