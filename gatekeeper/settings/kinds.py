"""Own which keys and values the configuration takes at each of its places, and which of them is nearest to what was written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache
from typing import TypeAlias

from msgspec import inspect

from gatekeeper.settings.sections import Settings

_CUTOFF, _MOST, _LONGEST = 0.6, 3, 100
_STEPS = re.compile(r"\.(\w+)|\[(\d+)\]")
_NO_TEXT = (inspect.IntType, inspect.FloatType, inspect.BoolType)


Kind: TypeAlias = inspect.Type | None


@cache
def whole() -> inspect.Type:
    """What the file as a whole is."""
    return inspect.type_info(Settings)


def below(kind: Kind, key: str | int) -> Kind:
    """What stands under a key of a table, or at an index of a list; None: nothing may stand there."""
    for one in _alternatives(kind):
        if isinstance(one, inspect.StructType) and isinstance(key, str):
            return next((field.type for field in one.fields if field.encode_name == key), None)
        if isinstance(one, inspect.DictType) and isinstance(key, str):
            return one.value_type
        if isinstance(one, inspect.VarTupleType | inspect.ListType) and isinstance(key, int):
            return one.item_type
    return None


def is_number_or_flag(kind: Kind) -> bool:
    """Say whether only a number or a boolean may stand there."""
    found = [one for one in _alternatives(kind) if not isinstance(one, inspect.NoneType)]
    return bool(found) and all(isinstance(one, _NO_TEXT) for one in found)


def keys_at(path: str) -> list[str]:
    """The keys of the table at a path such as `$.account[0]`."""
    return [field.encode_name for one in _alternatives(_at(path)) if isinstance(one, inspect.StructType) for field in one.fields]


def values_at(path: str) -> list[str]:
    """The words of the closed set from which the value at a path is taken."""
    return [str(member.value) for one in _alternatives(_at(path)) if isinstance(one, inspect.EnumType) for member in one.cls]


def nearest(written: str, valid: Iterable[str], *, listed: bool = True) -> str:
    """Say which of the *valid* words may be meant, or, where none is near and they are to be *listed*, which there are."""
    words, written = list(valid), written[:_LONGEST]
    plain = {_plain(word): word for word in reversed(words)}
    same = [_plain(written)] if _plain(written) in plain else []
    near = same or difflib.get_close_matches(_plain(written), plain, n=_MOST, cutoff=_CUTOFF)
    if near:
        return f"; did you mean {_joined([plain[word] for word in near])}?"
    return f"; valid: {', '.join(map(_quoted, words))}" if listed and words else ""


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_").replace(" ", "_")


def _joined(words: list[str]) -> str:
    *others, last = map(_quoted, words)
    return f"{', '.join(others)} or {last}" if others else last


def _quoted(word: str) -> str:
    return f'"{word}"'


def _at(path: str) -> Kind:
    kind: Kind = whole()
    for key, index in _STEPS.findall(path):
        kind = below(kind, int(index) if index else key)
    return kind


def _alternatives(kind: Kind) -> tuple[inspect.Type, ...]:
    if kind is None:
        return ()
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)
