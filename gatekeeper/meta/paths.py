"""Own which request paths are sends: `[/prefix]/[vNN.N/]{phone_number_id}/messages` and `…/marketing_messages`."""

from __future__ import annotations

import re

import msgspec

_GATED = re.compile(r"(?:/[^?#]*?)?/(?P<number>\d+)/(?P<api>messages|marketing_messages)/?(?:[?#].*)?", re.DOTALL)


class Target(msgspec.Struct, frozen=True):
    """The phone number that a send is from, and whether it uses the Marketing Messages API."""

    phone_number_id: str
    marketing_api: bool


def gated(path: str) -> Target | None:
    """Read a request's path; None: not a send."""
    found = _GATED.fullmatch(path)
    return Target(found["number"], found["api"] == "marketing_messages") if found else None
