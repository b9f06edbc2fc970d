"""Own how what can be made again is kept: so much of it, and no more."""

from __future__ import annotations

from typing import TypeVar

_MOST = 4096
_K = TypeVar("_K")
_V = TypeVar("_V")


def remember(cache: dict[_K, _V], key: _K, value: _V, *, most: int = _MOST) -> _V:
    """Keep a value that can be made again; the oldest makes room for it."""
    if len(cache) >= most:
        cache.pop(next(iter(cache)))
    cache[key] = value
    return value
