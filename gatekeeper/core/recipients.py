"""
Own the names of a recipient: which texts are phone numbers, which are BSUIDs, and which of them are one and the same user.

A key made here is for looking up only: the caller's own `to` goes upstream as it came.

A user has one BSUID in a business portfolio, and gets another with another phone number; a number may come to be somebody else's.
So a thread is kept under the most exact name that is known, the others lead to it, and two BSUIDs are never one user.
Source: Meta, "Business-scoped user IDs", copy of 2026-02-06, and its changelog of 2026-08-11.
"""

from __future__ import annotations

import functools
import re
from enum import IntEnum, StrEnum

import msgspec

from gatekeeper.core.data import data_dir, read, rows
from gatekeeper.core.errors import ConfigError

_PUNCTUATION = str.maketrans("", "", "+-().\u2010\u2011 \u00a0\t\n\r")
_SHORTEST, _LONGEST = 5, 20
# What nearly every send has under `to`. Source of the most digits: ITU-T, E.164, 6.2.1.
_DIALLED = re.compile(r"\+?[1-9][0-9]{6,14}")
_MOST_DIGITS = 15
_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*\s*:")
_TRUNK_ZERO = re.compile(r"[0-9][^0-9(]*\(\s*0\s*\)")
# ISO country, a dot, and up to 128 alphanumerics; `.ENT.` marks one that several linked portfolios share.
# Source: Meta, "Business-scoped user IDs", copy of 2026-02-06.
_BSUID = re.compile(r"[A-Za-z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")
_PARENT = ".ENT."
# Where one number has two spellings: one of them, of which two groups are kept, and what goes between these to make the other.
SPELLINGS_FILE = "spellings.csv"
_SPELLING = re.compile(r"\((\d\d)\d*(?:\\d)*\)[^()]*\([^()]+\)")
_SORTED_BY = 2  # digits, as many as the shortest of these calling codes has
_HEAD, _TAIL = 4, 2
_LONGEST_OF_ALL = 512
_MASKABLE = 10


class Exactness(IntEnum):
    """How exactly a name tells a user. A parent BSUID is shared by linked portfolios, which a BSUID is not."""

    NUMBER = 1
    PARENT = 2
    BSUID = 3


class Undialable(StrEnum):
    """Why a text is no phone number that can be sent to."""

    SCHEME = "scheme"
    CHAT_ID = "chat_id"
    TRUNK_ZERO = "trunk_zero"
    DOUBLE_ZERO = "double_zero"
    NO_COUNTRY = "no_country"
    OTHER_LETTERS = "other_letters"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"


class Link(msgspec.Struct, frozen=True):
    """One name of a user, and the more exact one that it leads to."""

    name: str
    thread: str

    @property
    def exact(self) -> Exactness:
        """How exactly the user is told by the name that this one leads to."""
        return exactness(self.thread) or Exactness.NUMBER


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The names that Meta gives one user in one place, as far as it gives them."""

    user_id: str | None = None
    parent_user_id: str | None = None
    wa_id: str | None = None

    @property
    def known(self) -> list[str]:
        """Each in its canonical form and once, the most exact first."""
        if not self.user_id and not self.parent_user_id:
            return [canonical(self.wa_id)] if self.wa_id else []
        return list(dict.fromkeys(canonical(name) for name in (self.user_id, self.parent_user_id, self.wa_id) if name))

    @property
    def links(self) -> list[Link]:
        """Each leads to the most exact."""
        known = self.known
        if len(known) > 1:
            known = [name for name in known if exactness(name)]
        return [Link(name, known[0]) for name in known[1:]]


def digits(text: str) -> str | None:
    """Read a phone number as bare digits, as Meta does: plus, hyphens, brackets, dots and spaces fall away. None: not one."""
    if not text.isdigit():
        text = text.translate(_PUNCTUATION)
    return text if _SHORTEST <= len(text) <= _LONGEST and text.isascii() and text.isdigit() else None


def undialable(text: str) -> Undialable | None:
    """
    Say why *text* is no phone number that can be sent to; None: it may be one.

    A number without a country code may be one, as Meta puts the business's own in front. Sources: Meta, "Send messages", copy of
    2025-11-04, for what may stand between the digits; that 00 is refused since 2023-01: Whatsapp-Business-Cloud-Api-Net, issue 31.
    """
    if _DIALLED.fullmatch(text):
        return None
    if _SCHEME.match(text):
        return Undialable.SCHEME
    if "@" in text:
        return Undialable.CHAT_ID
    if _TRUNK_ZERO.search(text):
        return Undialable.TRUNK_ZERO
    bare = text.translate(_PUNCTUATION)
    if bare and not (bare.isascii() and bare.isdigit()):
        return Undialable.OTHER_LETTERS
    if bare.startswith("00"):
        return Undialable.DOUBLE_ZERO
    if bare.startswith("0") and text.lstrip().startswith("+"):
        return Undialable.NO_COUNTRY
    if len(bare) < _SHORTEST:
        return Undialable.TOO_SHORT
    return Undialable.TOO_LONG if len(bare) > _MOST_DIGITS else None


def too_long(text: str) -> bool:
    """Say whether *text* is longer than any name of Meta's, and than what is kept as one."""
    return len(text) > _LONGEST_OF_ALL


def is_bsuid(text: str) -> bool:
    """Say whether *text* has the shape of a business-scoped user id, a parent's included."""
    return _BSUID.fullmatch(text) is not None


def canonical(text: str) -> str:
    """Name the user behind *text*: all spellings of a phone number give one key, and so does either case of a BSUID's country."""
    number = digits(text)
    if number is None:
        name = text.strip()
        return name[:2].upper() + name[2:] if is_bsuid(name) else name
    for spelling, between in _spellings().get(number[:_SORTED_BY], ()):
        found = spelling.fullmatch(number)
        if found is not None:
            return f"{found[1]}{between}{found[2]}"
    return number


@functools.cache
def _spellings() -> dict[str, list[tuple[re.Pattern[str], str]]]:
    return spellings(read(data_dir("config") / SPELLINGS_FILE))


def spellings(text: str) -> dict[str, list[tuple[re.Pattern[str], str]]]:
    """Read the table of numbers with two spellings, by the digits that they begin with; ConfigError names the row."""
    found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for where, row in rows(text, SPELLINGS_FILE, "iso2", "spelling", "between", "source"):
        shape = _SPELLING.fullmatch(row["spelling"])
        if shape is None or not (row["between"].isdigit() or not row["between"]):
            raise ConfigError(
                f"{where}, spelling: {row['spelling']!r} is no pattern of a calling code and what is kept behind it"
            )
        try:
            found.setdefault(shape[1], []).append((re.compile(row["spelling"], re.ASCII), row["between"]))
        except re.error as fault:
            raise ConfigError(f"{where}, spelling: {row['spelling']!r} is no pattern: {fault}") from None
    return found


def exactness(name: str) -> Exactness | None:
    """How exactly a canonical *name* tells a user; None: it is no name of one, but a group's, say."""
    if is_bsuid(name):
        return Exactness.PARENT if _PARENT in name else Exactness.BSUID
    return Exactness.NUMBER if digits(name) else None


def answered(dialled: str, wa_id: str | None, user_id: str | None) -> Link | None:
    """
    Let what was dialled lead to what Meta's answer calls it, or the other way round where that is less exact.

    A number leads to the number that Meta made of it, and so follows that one whosever it becomes. Of an id to which the answer
    gives another id it is not said what that is to it: neither leads to the other.
    """
    name = canonical(dialled)
    exact = exactness(name)
    own = canonical((wa_id or user_id if exact is Exactness.NUMBER else user_id or wa_id) or "")
    whose = exactness(own)
    if exact is None or whose is None or name == own:
        return None
    if exact is Exactness.NUMBER or exact < whose:
        return Link(name, own)
    return Link(own, name) if whose < exact else None


def masked(recipient: str) -> str:
    """Write *recipient* for a log: enough to recognise a known one, never enough to learn one (`4915…78`)."""
    name = digits(recipient) or recipient.strip()
    if len(name) < _MASKABLE:
        return "…"
    return f"{name[:_HEAD]}…{name[-_TAIL:]}"
