"""Own which content encodings the upstream is asked for: of those that a caller accepts, the ones in which an answer can be read."""

from __future__ import annotations

from functools import lru_cache

_NAME = "accept-encoding"
_ANY, _IDENTITY = "*", "identity"
# What a caller that accepts anything accepts too; `identity` needs no word. Source: RFC 9110, section 12.5.3.
_OFFERED = ("gzip", "deflate")
READABLE = frozenset({*_OFFERED, "x-gzip", _IDENTITY})
"""The content codings that an answer is read in."""

Pairs = tuple[tuple[str, str], ...]


def readable_encodings(headers: Pairs) -> Pairs:
    """
    Ask for an answer only in encodings that are read, in the place of what the caller accepts.

    An answer that cannot be read names a message that its statuses then do not find. What is accepted and readable keeps its weight
    and place; a caller that accepts nothing else gets `identity`, which every client reads. Headers that name no other encoding, or
    none at all, are the same afterwards.
    """
    found = [(name, value) for name, value in headers if name.lower() == _NAME]
    if not found:
        return headers
    asked = ",".join([value for _, value in found])
    wanted = _readable(asked)
    if wanted == asked:
        return headers
    first = True
    changed = []
    for name, value in headers:
        if name.lower() != _NAME:
            changed.append((name, value))
        elif first:
            changed.append((name, wanted))
            first = False
    return tuple(changed)


@lru_cache(maxsize=256)
def _readable(asked: str) -> str:
    """The value itself where it asks for nothing that is not read."""
    elements = [element.strip() for element in asked.split(",") if element.strip()]
    named = {_coding(element) for element in elements}
    offered = list[str]()
    for element in elements:
        coding = _coding(element)
        if coding in READABLE or _refused(element):
            offered.append(element)
        elif coding == _ANY:
            offered += [other + element[len(_ANY) :] for other in _OFFERED if other not in named]
    if offered == elements:
        return asked
    rest = any(_coding(element) == _ANY for element in offered)  # it is refused
    acceptable = [element for element in offered if not _refused(element)] or (_IDENTITY not in named and not rest)
    return ", ".join(offered) if offered and acceptable else _IDENTITY


def _coding(element: str) -> str:
    return element.partition(";")[0].strip().lower()


def _refused(element: str) -> bool:
    """Whether an element's weight is 0."""
    for parameter in element.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            return not value.strip().strip("0.")
    return False
