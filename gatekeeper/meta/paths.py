"""Own which request paths are sends: `[/prefix]/[vNN.N/]{phone_number_id}/messages` and `…/marketing_messages`."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

_GATED = re.compile(r"(?:/.*)?/(?P<number>[0-9]+)/(?P<api>messages|marketing_messages)", re.DOTALL | re.IGNORECASE)


class Target(msgspec.Struct, frozen=True):
    """The phone number that a send is from, and whether it uses the Marketing Messages API."""

    phone_number_id: str
    marketing_api: bool


def gated(path: str) -> Target | None:
    """Read a request's path, as it stands in the request line; None: not a send."""
    found = _GATED.fullmatch(plain(path)) or _GATED.fullmatch(plain(path, merging=False))
    return Target(found["number"], found["api"].lower() == "marketing_messages") if found else None


def plain(path: str, *, merging: bool = True) -> str:
    """
    The path as the upstream may read it: without a query, percent signs, empty segments or dots, so that none hides a send.

    Not every server is *merging* empty segments before it takes two dots back.
    """
    segments: list[str] = []
    for segment in unquote(path.partition("?")[0].partition("#")[0]).split("/"):
        if segment == "..":
            segments = segments[:-1]
        elif segment != "." and (segment or not merging):
            segments.append(segment)
    return "/" + "/".join(segment for segment in segments if segment)
