"""
Own what shows of a body that is not read: because it is too large, or in a way that nobody can be sure of.

Where batches belong, a body must show that it holds none. Elsewhere it must show that it may hold one: what is uploaded speaks of
anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gatekeeper.meta.bodies import Form, UnreadableBody, form_of
from gatekeeper.meta.part_names import IDS, PartNames
from gatekeeper.meta.scanning import BATCHES, METHOD, SENDS, URL, TextScan

_MOST_TYPES = 4
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s;,"']*)""", re.IGNORECASE)
# In these every byte below 128 means what it means in ASCII, in those letters that are ASCII do at least show, bytes of nought aside.
_PLAIN = re.compile(r"utf-?8|(us-)?ascii|iso[-_]?8859[-_]?\d+|latin-?\d+|(windows|cp)-?125\d|koi8-?[ru]|binary|", re.IGNORECASE)
_SHOWING = re.compile(r"utf-?(16|32)([-_]?[lb]e)?|ucs-?[24]|gb(k|2312|18030)|big5.*|s(hift)?[-_]?jis|euc-?..", re.IGNORECASE)
_TELLING = {"batch", "messages", METHOD}


class Showing:
    """What has shown of one body so far."""

    def __init__(self, types: Sequence[str], *, closely: bool = False) -> None:
        """*types*: the content types that it was sent with, as they came. *closely*: what stands in a part is looked at too."""
        distinct = list(dict.fromkeys(types)) or [""]
        self.types = [plain_type(type_) for type_ in distinct[:_MOST_TYPES]]
        charsets = [name for type_ in distinct for name in _CHARSET.findall(type_)]
        self._hidden = len(distinct) > _MOST_TYPES or not all(_PLAIN.fullmatch(n) or _SHOWING.fullmatch(n) for n in charsets)
        self._forms = [_form(type_) for type_ in self.types]
        self._parts = [PartNames(form.boundary) for form in self._forms if form and form.is_multipart]
        self._text = TextScan() if closely or len(self._parts) < len(self._forms) else None
        self._is_plain = len(distinct) == 1 and self._forms[0] is not None and all(_PLAIN.fullmatch(name) for name in charsets)

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._text is not None:
            self._text.feed(piece)
        for parts in self._parts:
            parts.feed(piece)

    def end(self) -> None:
        """Look at what is left; no more comes."""
        if self._text is not None:
            self._text.end()
        for parts in self._parts:
            parts.end()

    @property
    def names_method(self) -> bool:
        """Whether it may say which method is meant."""
        return METHOD in self._words or self._hidden or METHOD in self._names

    @property
    def is_suspect(self) -> bool:
        """Whether it is worth reading: there is a sign of a parameter that matters."""
        names = self._names & (BATCHES | IDS | {METHOD})
        text = self._text
        wide = text is not None and (text.wide or text.is_list) and URL in text.words
        return bool(names or self._words & _TELLING or wide or self._hidden or any(parts.odd for parts in self._parts))

    @property
    def is_read_for_certain(self) -> bool:
        """Whether nobody reads it in another way than its one content type says."""
        return self._is_plain and not (self._text is not None and self._text.wide and not self._parts)

    def may_send(self, *, edge: bool, posts: bool) -> bool:
        """Say whether it seems to hold a message; *edge*: its path lacks nothing but a number, *posts*: it is a POST at least."""
        text, names, words = self._text, self._names, self._words
        if self._hidden or any(parts.odd for parts in self._parts) or names & BATCHES:
            return True
        if (
            text is not None
            and URL in words
            and ("batch" in text.names or text.is_list or ("batch" in words and self._is_parted))
        ):
            return True
        if not (posts or self.names_method):
            return False
        if any(edge or b"messages" in parts.ids for parts in self._parts if parts.names & IDS):
            return True
        return text is not None and "id" in text.names and (edge or SENDS in words)

    def is_free(self) -> bool:
        """Say whether it shows that it can hold no message, whatever it is."""
        text = self._text
        assert text is not None  # it is looked at where this is asked
        form = self._forms[0]
        if not self.is_read_for_certain or form is None or any(parts.odd for parts in self._parts):
            return False
        if text.words & {"batch", "messages", URL} or self._names & (BATCHES | IDS) or text.is_list or text.wide:
            return False
        return form.is_json or form.is_form or form.is_multipart or not text.brackets

    @property
    def _words(self) -> set[str]:
        return self._text.words if self._text is not None else set()

    @property
    def _names(self) -> set[str]:
        return {name for parts in self._parts for name in parts.names}

    @property
    def _is_parted(self) -> bool:
        return any("multipart" in type_.lower() for type_ in self.types)


def plain_type(content_type: str) -> str:
    """A content type without a charset that says nothing of what matters."""
    charsets = _CHARSET.findall(content_type)
    if len(charsets) != 1 or not _PLAIN.fullmatch(charsets[0]):
        return content_type
    return re.sub(r""";\s*charset\s*=\s*["']?[^\s;,"']*["']?""", "", content_type, flags=re.IGNORECASE)


def _form(content_type: str) -> Form | None:
    try:
        return form_of(content_type)
    except UnreadableBody:
        return None
