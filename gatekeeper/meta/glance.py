"""Own what is looked for in a body that is too large to be read: the name of a batch, as it streams by."""

from __future__ import annotations

import re

from gatekeeper.meta.batch import mentions, spellings, unescaped
from gatekeeper.meta.bodies import Form

_TAIL = 8192  # a name, or the head of a part, may begin in one piece and end in the next
_BATCH = rb"(?:async|ad)?" + spellings("batch")
_NAMED = re.compile(
    rb"""[{,][\s\0]*"\0?""" + _BATCH + rb"""\0?"[\s\0]*:|&[\s+\0]*""" + _BATCH + rb"""[\s+\0]*(?:\[[^=&]*)?=""", re.IGNORECASE
)
_PART = rb"[ \t]*\r?\n(?:[^\r\n]+\r?\n)*?[^\r\n]*\bname\s*=[\s\"']*(?:async|ad)?batch\b"


class Glance:
    """
    A look at a body in passing.

    Where batches belong it is *strict*, and any mention of one will do. Elsewhere it takes a part of that name, or a member of that
    name and one that only operations have: a file may well speak of batches.
    """

    def __init__(self, form: Form | None, *, strict: bool) -> None:
        self._strict = strict
        parted = form is not None and form.is_multipart
        self._part = re.compile(b"--" + re.escape(form.boundary).encode() + _PART, re.IGNORECASE) if form and parted else None
        self._tail, self._unseen = b"&", bytearray()
        self._named = self._addressed = False

    def sees(self, piece: bytes, *, last: bool = False) -> bool:
        """Take the next piece, and say whether what was looked at may be a batch; small pieces are looked at together."""
        self._unseen += piece
        if len(self._unseen) < _TAIL and not last:
            return False
        text, self._unseen = self._tail + bytes(self._unseen), bytearray()
        self._tail = text[-_TAIL:]
        if self._strict:
            return mentions(text, "batch")
        if self._part is not None:
            return self._part.search(text) is not None
        for way in unescaped(text):
            self._named = self._named or _NAMED.search(way) is not None
            self._addressed = self._addressed or mentions(way, "relative_url")
        return self._named and self._addressed
