"""
Own how names with brackets become members of members: `text[body]=hi` is `{"text": {"body": "hi"}}`, as PHP reads a form.

PHP reads `a[]` as one more item, and replaces `a` by `a[b]` or the other way round, whichever comes last. No other server has to read
these so: a name that is used in both ways keeps a member of its own beside the nested one, and so does a name that is no
plain sequence of brackets. Source: PHP, `main/php_variables.c`; HHVM reads forms in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

_NAME = re.compile(r"([^\s\[\].\0]+)((?:\[[^\s\[\]\0]*\])+)")
_KEY = re.compile(r"\[([^\]]*)\]")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_DEEPEST = 64  # PHP drops what is nested deeper
_MOST = 5_000  # brackets of a whole form: more than any message has, and no more than is read in a moment

Leaf: TypeAlias = "str | Array"


class Array(dict[str, Leaf]):
    """A PHP array: members by key, where an index that is left out is the next one."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0

    def key(self, written: str) -> str:
        """Give the key that *written* stands for; an empty one takes the next index."""
        key = written or str(self._next)
        if _INDEX.fullmatch(key):
            self._next = max(self._next, int(key) + 1)
        return key

    def plain(self) -> dict[str, Any] | list[Any]:
        """As JSON has it: a list where the keys are the indices 0, 1, 2 … in their order."""
        values = {key: value.plain() if isinstance(value, Array) else value for key, value in self.items()}
        return list(values.values()) if list(values) == [str(index) for index in range(len(values))] else values


def nested(fields: Iterable[tuple[str, str]]) -> tuple[dict[str, Any], dict[str, str]]:
    """
    Join the fields whose names have brackets into objects and lists, by the name in front of the brackets.

    Second come the fields that only one way of reading a form takes so, under their names as they are written. ValueError: there
    is too much of it.
    """
    found = Array()
    doubtful: dict[str, str] = {}
    brackets = 0
    for name, value in fields:
        depth = name.count("[")
        brackets += min(depth, _DEEPEST)
        if brackets > _MOST:
            raise ValueError("too many brackets")
        split = _NAME.fullmatch(name) if depth <= _DEEPEST else None
        if split is None or not _put(found, [split[1], *_KEY.findall(split[2])], value):
            doubtful[name] = value
    return {name: value.plain() for name, value in found.items() if isinstance(value, Array)}, doubtful


def _put(place: Array, keys: list[str], value: str) -> bool:
    """Put a value where *keys* lead from *place*, over what is there; False: that was of another shape."""
    *way, last = keys
    same = True
    for written in way:
        key = place.key(written)
        inner = place.get(key)
        if not isinstance(inner, Array):
            same = same and inner is None
            inner = place[key] = Array()
        place = inner
    key = place.key(last)
    same = same and not isinstance(place.get(key), Array)
    place[key] = value
    return same
