"""
Own which requests are sends, by path and by method.

The path is `[/prefix]/[vNN.N/]{phone_number_id}/messages` or `…/marketing_messages`, in any spelling that a server on the way to
Graph may take for it; the method POST, in any way in which one may be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import unquote

import msgspec

_MESSAGES = "messages"
_APIS = {_MESSAGES: False, f"marketing_{_MESSAGES}": True}
_NUMBER = re.compile(r"[0-9]+")
# What stands before any ending: `.json`, or a sign that some server may cut a name off at.
_NAME = re.compile(r"\w*")
_VERSION = re.compile(r"v[0-9]+(\.[0-9]+)?", re.IGNORECASE)

_ENOUGH = 2  # segments say what a path is
_LONG_NUMBER, _LONGEST_SHOWN = re.compile(r"[0-9]{5,}"), 100
_DECODINGS = 3  # a percent sign may itself be written with one
_DROPPED = str.maketrans("", "", "\t\r\n")  # no parser of URLs keeps them, ours on the way out included
_END = re.compile(r"[?#\0]")

_POST = "POST"
OVERRIDES = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})


class Target(msgspec.Struct, frozen=True):
    """The phone number that a send is from, and whether it uses the Marketing Messages API."""

    phone_number_id: str
    marketing_api: bool


@lru_cache(maxsize=1024)
def gated(path: str) -> Target | None:
    """Read a request's path, as it stands in the request line; None: not a send."""
    for segments in _readings(path, holding=_MESSAGES):
        *_, number, api = ["", "", *segments]
        marketing_api = _APIS.get(api.casefold())
        if marketing_api is not None and _NUMBER.fullmatch(number):
            return Target(number, marketing_api)
    return None


@lru_cache(maxsize=1024)
def is_root(path: str) -> bool:
    """Say whether a path names no object, only perhaps a version: there Graph takes batches."""
    return any(not segments or _VERSION.fullmatch(segments[-1]) for segments in _readings(path))


@lru_cache(maxsize=1024)
def names_edge(path: str) -> bool:
    """Say whether a path ends as a send's does, whatever it is that stands before, and with whatever ending behind its name."""
    return any(segments and _is_edge(segments[-1]) for segments in _readings(path, holding=_MESSAGES))


def _is_edge(segment: str) -> bool:
    name = _NAME.match(segment.casefold())
    return name is not None and name[0] in _APIS


def may_lead_to(path: str, place: str) -> bool:
    """Say whether some server may take *path* for *place*, another path; the root is what it is in any spelling."""
    enough = place.count("/") + 1
    wanted = [segment.casefold() for segment in next(_readings(place, enough=enough), [])]
    if not wanted:
        return False
    found = _readings(path, holding=wanted[-1], enough=enough)
    return any([segment.casefold() for segment in segments] == wanted for segments in found)


def shown(path: str) -> str:
    """A path as an error or a log line may quote it: without its query, not long, and without whole numbers."""
    return _LONG_NUMBER.sub("…", path.partition("?")[0])[:_LONGEST_SHOWN]


def may_post(method: str, headers: Iterable[tuple[str, str]] = (), told: Iterable[str] = ()) -> bool:
    """Say whether a request may be taken for a POST; *told* is what its parameters called `method` say, which Graph believes."""
    overrides = (value for name, value in headers if name.lower().replace("_", "-") in OVERRIDES)
    return any(word.strip().upper() == _POST for said in (method, *overrides, *told) for word in said.split(","))


def _readings(path: str, *, holding: str = "", enough: int = _ENOUGH) -> Iterator[list[str]]:
    """The last *enough* segments of a path, in each way of reading it that has *holding* in it."""
    text = path.partition("?")[0].partition("#")[0].translate(_DROPPED)
    for _ in range(_DECODINGS):
        text = unquote(text).translate(_DROPPED)
        if holding in text.casefold():
            for read in dict.fromkeys((text, _END.split(text)[0])):
                for slashed in dict.fromkeys((read, read.replace("\\", "/"))):
                    yield _segments(slashed, merging=True, enough=enough)
                    yield _segments(slashed, merging=False, enough=enough)
        if "%" not in text:
            return


def _segments(path: str, *, merging: bool, enough: int) -> list[str]:
    """
    Give the last *enough* segments of a path, without parameters (`;…`), blanks or dots.

    Not every server is *merging* empty segments before it takes two dots back. It is read from its end, and no further than needed:
    it may be nothing but dots.
    """
    found: list[str] = []
    back = 0
    for written in reversed(path.split("/")):
        segment = written.partition(";")[0].strip() if written else written
        if segment == "..":
            back += 1
        elif segment == "." or (merging and not segment):
            continue
        elif back:
            back -= 1
        elif segment:
            found.append(segment)
            if len(found) == enough:
                break
    return found[::-1]
