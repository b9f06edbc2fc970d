"""
Own what shows in a text while it streams by: words that matter, and members and fields that have their names, in any spelling.

A text is looked at as it is, with what is written in percent signs, and with what is written so twice. Each byte is looked at a fixed
number of times, however much there is of it. JSON's escapes are read, and letters of two or four bytes.
"""

from __future__ import annotations

import re

BATCHES = frozenset({"batch", "asyncbatch", "adbatch"})
URL, METHOD = "relative_url", "method"

_TAIL = 8192  # a name may begin in one piece and end in the next
_TOGETHER = 1 << 16  # small pieces are looked at together, and large ones in parts
_DECODINGS = 2
_MOST_SIGNS = 5000
_BLANK = b" \t\r\n\f\v"
_MARKS = b"\xef\xbb\xbf\xff\xfe"  # byte order marks, of all encodings that have one
_LISTS = (b"[", b'"')  # a list may be JSON in a string

_SIGN = re.compile(rb"%[0-9a-f]{2}")
_NO_SIGN = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_RUN = re.compile(rb"[\s+]{32,}")
_ESCAPE = b"\\u00"


def unquoted(text: bytes) -> bytes:
    """Decode what is written in percent signs; one that stands for nothing stays."""
    text = text.replace(b"\\", b"\\\\")
    try:
        return _unquoted(text)
    except UnicodeDecodeError:
        return _unquoted(_NO_SIGN.sub(b"%25", text))


def is_garbled(text: str) -> bool:
    """Say whether a form has more percent signs that stand for nothing than any that is meant."""
    return len(text) > _TOGETHER and _NO_SIGN.subn(b"", text.encode(errors="replace"), _MOST_SIGNS)[1] == _MOST_SIGNS


def _unquoted(text: bytes) -> bytes:
    return (
        text.replace(b"%", b"\\x").decode("unicode_escape").encode("latin-1")
    )  # Python has no other decoder that is a loop in C


def _spellings(word: str) -> bytes:
    """A pattern for a word in small letters, in JSON's escapes too."""
    return b"".join(rb"(?:%c|\\u00(?:%02x|%02x))" % (letter, letter, ord(chr(letter).upper())) for letter in word.encode())


def _named(word: bytes) -> re.Pattern[bytes]:
    """A pattern for a member of an object, or a field of a form, that may be taken for one of that name."""
    return re.compile(rb'[{,]\s*"\s*' + word + rb'\s*(?:\[|"\s*:)|&[\s+]*' + word + rb"[\s+]*[\[=\0]")


_WORDS = {word: (word.encode(), re.compile(_spellings(word))) for word in ("batch", "messages", METHOD, URL)}
_BATCH = _named(b"(?:" + _spellings("async") + b"|" + _spellings("ad") + b")?" + _spellings("batch"))
_ID = _named(_spellings("id") + b"(?:" + _spellings("s") + b")?")
_IDS_QUICKLY = re.compile(rb'ids?[\s+]*[\["=\0]')  # where this is not, that is not
_SENDS = re.compile(rb'[0-9][^a-z0-9"&]{0,8}(?:marketing_)?' + _spellings("messages"))
SENDS = "…/messages"
"""The word for a number with the edge of a send behind it."""


def mentions(body: bytes, word: str) -> bool:
    """Say whether a word is anywhere in a body, readable or not."""
    scan = TextScan()
    scan.feed(body)
    scan.end()
    return word in scan.words


class _Level:
    """A text that is decoded so many times."""

    def __init__(self, tail: bytes) -> None:
        self.tail = tail
        self.open = b""  # the beginning of what is written in percent signs
        self.deeper: _Level | None = None

    def deepen(self) -> None:
        """Begin to decode: up to here there was nothing to."""
        at = self.tail.find(b"%", max(len(self.tail) - 2, 0))
        at = len(self.tail) if at < 0 else at
        self.deeper, self.open = _Level(self.tail[:at]), self.tail[at:]


class TextScan:
    """
    A look at a text in passing.

    *words*: those that were seen; *names*: `batch` and `id`, where a member or a field seems to be called so. *first*: the byte that
    it begins with, but for blanks; *wide*: it has letters of several bytes; *brackets*: it has one that opens a list.
    """

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.names: set[str] = set()
        self.first = b""
        self.wide = self.brackets = False
        self._unseen = bytearray()
        self._level = _Level(b"&")

    @property
    def is_list(self) -> bool:
        """Whether it begins as a list does."""
        return self.first in _LISTS

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        if len(self._unseen) + len(piece) < _TOGETHER:
            self._unseen += piece
            return
        text, self._unseen = bytes(self._unseen) + piece, bytearray()
        for start in range(0, len(text), _TOGETHER):
            self._look(text[start : start + _TOGETHER], last=False)

    def end(self) -> None:
        """Look at what is left; no more comes."""
        text, self._unseen = bytes(self._unseen), bytearray()
        self._look(text, last=True)

    def _look(self, text: bytes, *, last: bool) -> None:
        if b"\0" in text:
            self.wide, text = True, text.translate(None, b"\0")
        if not self.first:
            self.first = text.lstrip(_BLANK + _MARKS)[:1]
        level: _Level | None = self._level
        for _ in range(_DECODINGS):
            assert level is not None
            text = text.lower()
            if level.deeper is None and _SIGN.search(level.tail[-2:] + text):
                level.deepen()
            self._see(level, text)
            if level.deeper is None:
                return
            text = level.open + text
            at = text.find(b"%", max(len(text) - 2, 0))
            at = len(text) if last or at < 0 else at
            text, level.open = unquoted(text[:at]), text[at:]
            level = level.deeper
        assert level is not None
        self._see(level, text.lower())

    def _see(self, level: _Level, text: bytes) -> None:
        whole = level.tail + text
        escaped = _ESCAPE in whole
        for word, (plain, spelled) in _WORDS.items():
            if word not in self.words and (plain in whole or (escaped and spelled.search(whole))):
                self.words.add(word)
        if "batch" not in self.names and (escaped or b"batch" in whole) and _BATCH.search(whole):
            self.names.add("batch")
        if "id" not in self.names and (escaped or _IDS_QUICKLY.search(whole)) and _ID.search(whole):
            self.names.add("id")
        if SENDS not in self.words and "messages" in self.words and _SENDS.search(whole):
            self.words.add(SENDS)
        self.brackets = self.brackets or b"[" in text or (escaped and b"\\u005b" in whole)
        # Of blanks there may be any number between a name and what makes it one.
        level.tail = (_RUN.sub(b" ", whole) if _RUN.search(whole, max(len(whole) - _TAIL, 0)) else whole)[-_TAIL:]
