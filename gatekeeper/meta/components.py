"""
Own what of a template send's `components` is looked at: their kinds, and their parameters' kinds, names and number.

A member that is not what it should be is in doubt rather than wrong: Meta may read it in a way of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gatekeeper.core.checks import Component, Parameter
from gatekeeper.meta.bodies import UnreadableBody, parsed, present, read_nested
from gatekeeper.meta.lenient import Json, integer, word

_TEXT = "text"
_KINDS = (
    _TEXT,
    "image",
    "video",
    "document",
    "location",
    "currency",
    "date_time",
)  # told by its member where the type is left out


def read_components(raw: msgspec.Raw | None) -> tuple[Component, ...] | None:
    """Read the components of a template send; None: they cannot be told."""
    if raw is None or not present(raw):
        return ()
    try:
        listed = _objects(read_nested(raw))
    except UnreadableBody:
        return None
    if listed is None:
        return None
    found = tuple(_component(item) for item in listed)
    return found if all(component.kind for component in found) else None


def _component(item: Json) -> Component:
    return Component(
        kind=word(item.get("type")) or "", index=integer(item.get("index")), parameters=_parameters(item.get("parameters"))
    )


def _parameters(listed: Any) -> tuple[Parameter, ...] | None:
    if listed is None:
        return ()
    found = _objects(parsed(listed))
    return None if found is None else tuple(_parameter(item) for item in found)


def _objects(listed: Any) -> list[Json] | None:
    """The objects of a list, each of which may be a string that holds its JSON; None: it is no list of objects."""
    items = [parsed(item) for item in listed] if isinstance(listed, list) else [None]
    found = [item for item in items if isinstance(item, dict)]
    return found if len(found) == len(items) else None


def _parameter(item: Json) -> Parameter:
    kind = word(item.get("type")) or next((name for name in _KINDS if name in item), "")
    name = item.get("parameter_name")
    # A name that is no text is one that we cannot read, not one that is missing.
    return Parameter(
        kind=kind, name=name if isinstance(name, str) else "?" if name else "", empty=kind == _TEXT and item.get(_TEXT) == ""
    )
