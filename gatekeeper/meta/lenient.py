"""
Own how Meta's JSON is read leniently: a member that is not what it should be counts as absent.

Ids come as strings or numbers, times as strings or numbers of seconds, words in either case.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, TypeAlias

import msgspec

Json = dict[str, Any]

_LATEST_IN_SECONDS = 10**11
_LATEST_IN_MILLIS = 10**14
_LARGEST_ID = 10**30
_LARGEST = 2**63 - 1
_MOST_DIGITS = 19
# No id, name or address that Meta gives is longer, and no word: they become keys, labels and fields.
_LONGEST_TEXT, _LONGEST_WORD = 4096, 64

Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_TEXT)] | None
"""What `text` gives back as it is."""


def text(value: object) -> str | None:
    """Read an id or a name, which some senders write as a number; what is empty, or endless, is absent."""
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            return None
        # What cannot be written as UTF-8 could never be stored or logged.
        return (value if value.isascii() else value.encode("utf-8", "replace").decode()) or None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_ID:
        return str(value)
    return None


def number(value: object) -> str | None:
    """Read the id of a business phone number, which is of digits alone."""
    found = text(value)
    return found if found and found.isascii() and found.isdigit() and len(found) <= _LONGEST_WORD else None


def word(value: object) -> str | None:
    """Read a word of a closed set in the spelling that we use: Meta writes `-` and `_`, upper and lower case."""
    return _spelling(value) if isinstance(value, str) and len(value) <= _LONGEST_WORD else None


@lru_cache(maxsize=1024)
def _spelling(value: str) -> str | None:
    return value.lower().replace("-", "_") if value and value.isascii() else None


def integer(value: object) -> int | None:
    """Read a whole number of 64 bits, as such or as a string of digits."""
    if isinstance(value, str):
        value = int(value) if len(value) <= _MOST_DIGITS and value.isascii() and value.isdecimal() else None
    return value if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST else None


def millis(value: object) -> int | None:
    """
    Read a moment as Unix milliseconds.

    Meta writes seconds, as a string or a number; what would lie beyond the year 5138 is in milliseconds already.
    """
    whole = integer(value)
    if whole is None:
        return _millis_of_fraction(value)
    if 0 < whole <= _LATEST_IN_SECONDS:
        return whole * 1000
    return whole if _LATEST_IN_SECONDS < whole <= _LATEST_IN_MILLIS else None


def child(parent: Json, name: str) -> Json:
    """Give the object under *name*, an empty one when there is none."""
    found = parent.get(name)
    return found if isinstance(found, dict) else {}


def children(parent: Json, name: str) -> list[Json]:
    """Give the objects of the array under *name*, without what is not an object."""
    found = parent.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def first(parent: Json, *names: str) -> str | None:
    """Read the id or name that stands under the first of several members to have one."""
    for name in names:
        value = parent.get(name)
        if value is not None and (found := text(value)) is not None:
            return found
    return None


def _millis_of_fraction(value: object) -> int | None:
    if not isinstance(value, float | str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    if not 0 < seconds <= _LATEST_IN_MILLIS:
        return None
    return int(seconds * 1000) if seconds <= _LATEST_IN_SECONDS else int(seconds)
