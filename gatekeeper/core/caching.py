"""Own how what can be made again is kept: so much of it, and no more."""

from __future__ import annotations

from itertools import islice
from typing import TypeVar

_MOST, _PART = 4096, 16
_K = TypeVar("_K")
_V = TypeVar("_V")


def remember(cache: dict[_K, _V], key: _K, value: _V, *, most: int = _MOST) -> _V:
    """Keep a value that can be made again; where there is no room, the oldest make some: one by one each would cost a look at all."""
    if len(cache) >= most and key not in cache:
        for oldest in list(islice(cache, max(most // _PART, 1))):
            del cache[oldest]
    cache[key] = value
    return value
