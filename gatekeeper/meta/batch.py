"""
Own the messages that a request may carry without being a send: the operations of Graph's batches, and numbers that a parameter names.

A batch is a parameter of any request, wherever it is posted, and each operation a request of its own. None of it is decided here:
what may be a message is found, and whoever asked refuses it. So reading is as lenient as any server may be, and whatever cannot be
read to its end is taken for a message. Source: Meta, Graph API, Batch Requests and Asynchronous Batch Requests, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from gatekeeper.meta.bodies import UnreadableBody, spelled
from gatekeeper.meta.budget import ReadingBudget, TooMuchToRead
from gatekeeper.meta.parameters import Asked, Pairs, asked, decoded, fields, parameters, parsed, refers, strings, text_of
from gatekeeper.meta.paths import Target, gated, is_root, names_edge
from gatekeeper.meta.scanning import BATCHES, METHOD, URL, mentions

__all__ = ["BATCHES", "UNREADABLE", "Asked", "Found", "Pairs", "asked", "find", "mentions", "parameters"]

_ADVICE = "Send each message by itself to …/messages."
_SENDS = f"Operation {{where}} may send a message, and a batch is not decided as one. {_ADVICE}"
_NAMES_NUMBER = f"The parameter id may make this a message. {_ADVICE}"
_UNREADABLE = f"The batch cannot be read, so it may hold a message. {_ADVICE}"

_BODY, _HEADERS, _IDS = "body", "headers", ("id", "ids")
_MOST_OPERATIONS, _MOST_URLS = 500, 8
_DEEPEST = 5
# Steps for a batch, an operation, a name in ids, and a path; and letters of it that take one.
_BATCH, _OPERATION, _NAME, _PATH, _LETTERS = 10, 15, 10, 10, 4


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A request that sends, or that nobody can say does not; *target* is whose number it is, where that is known."""

    details: str
    status: int = 400
    target: Target | None = None


UNREADABLE = Found(details=_UNREADABLE)


def find(request: Asked, budget: ReadingBudget | None = None) -> Found | None:
    """Find what may be a message in a request that is not itself a send; None: it holds none."""
    try:
        return _Search(budget or ReadingBudget(), strict=is_root(request.url)).within(request, "")
    except UnreadableBody:
        return UNREADABLE


class _Search:
    """
    One search; what it may cost is bounded over all operations.

    Elsewhere than at the root it is not *strict*: a parameter may be called a batch there and be something else.
    """

    def __init__(self, budget: ReadingBudget, *, strict: bool) -> None:
        self._budget = budget
        self._strict = strict
        self._left = _MOST_OPERATIONS

    def within(self, request: Asked, place: str, depth: int = 0) -> Found | None:
        self._budget.spend(len(request.parameters))
        ids = []
        for name, value in request.parameters:
            parameter = spelled(name)
            if parameter in BATCHES and (depth or self._strict or self._has_address(name, value)):
                if "[" in name:
                    raise UnreadableBody(_UNREADABLE)
                found = self._batch(value, f"{place}.batch" if place else "batch", depth)
                if found is not None:
                    return found
            elif parameter in _IDS:
                ids.append(value)
        return self._by_id(request, ids, place) if ids else None

    def _has_address(self, name: str, value: Any) -> bool:
        """Say whether a parameter may hold an operation: nothing is one that says nowhere what it is for."""
        self._budget.spend(_BATCH)
        return mentions("\n".join((name, *strings(value, self._budget))).encode(errors="replace"), URL)

    def _batch(self, value: Any, where: str, depth: int) -> Found | None:
        self._budget.spend(_BATCH)
        if depth > _DEEPEST:
            raise UnreadableBody(_UNREADABLE)
        if isinstance(value, str) and not value.strip():
            return None
        for index, operation in enumerate(self._operations(value)):
            self._left -= 1
            self._budget.spend(_OPERATION)
            if self._left < 0:
                raise UnreadableBody(_UNREADABLE)
            found = self._operation(operation, f"{where}[{index}]", depth)
            if found is not None:
                return found
        return None

    def _operations(self, value: Any) -> Iterable[Any]:
        read = parsed(value, self._budget) if isinstance(value, str) else value
        if isinstance(read, Pairs):  # to PHP an object is an array as well
            self._budget.spend(len(read))
            return [read] if any(spelled(name) == URL for name, _ in read) else [member for _, member in read]
        if read is None:
            return ()
        if not isinstance(read, list):
            raise UnreadableBody(_UNREADABLE)
        return read

    def _operation(self, operation: Any, where: str, depth: int) -> Found | None:
        members = parsed(operation, self._budget) if isinstance(operation, str) else operation
        if members is None:
            return None
        if not isinstance(members, Pairs):
            raise UnreadableBody(_UNREADABLE)
        self._budget.spend(len(members))
        told: dict[str, list[Any]] = {URL: [], METHOD: [], _HEADERS: [], _BODY: []}
        for name, value in members:
            told.get(spelled(name), []).append(value)
        if len(told[URL]) > _MOST_URLS:
            raise UnreadableBody(_UNREADABLE)
        methods = [text_of(value) for value in told[METHOD]] or ["GET"]
        headers = [header for value in told[_HEADERS] for header in self._headers(value)]
        body = Pairs(pair for value in told[_BODY] for pair in self._body(value))
        referring = any(refers(text) for text in strings([*methods, *told[_BODY]], self._budget))
        for url in map(text_of, told[URL] or [""]):
            request = Asked(url=url, methods=methods, headers=headers)
            request = request.telling(fields(request.query, self._budget)).telling(body)
            self._budget.spend(len(request.parameters) + len(headers))
            found = self._asked(request, where, depth, referring=referring or refers(request.query))
            if found is not None:
                return found
        return None

    def _asked(self, request: Asked, where: str, depth: int, *, referring: bool) -> Found | None:
        path, posts = request.path, request.may_post()
        self._budget.spend(_PATH + len(path) // _LETTERS)
        target = gated(path)
        if (target and (posts or referring)) or (posts and refers(path)):
            return Found(details=_SENDS.format(where=where), target=target)
        found = self.within(request, where, depth + 1)
        if found is None and posts and names_edge(request.path):  # of a number that is none
            found = Found(details=_SENDS.format(where=where))
        return found

    def _by_id(self, request: Asked, ids: list[Any], place: str) -> Found | None:
        """Find a message whose number a parameter names: `/messages?id=…`, as Graph reads `/?id=…` for an object."""
        path = request.path
        edge, edged = path.rstrip("/").rpartition("/")[2], names_edge(path)
        if not request.may_post():
            return None
        for value in ids:
            if not edged and not any("messages" in decoded(text).casefold() for text in strings(value, self._budget)):
                continue
            given = parsed(value, self._budget) if isinstance(value, str) and value.lstrip().startswith("[") else value
            names = [text_of(name) for name in given] if isinstance(given, list) else text_of(given).split(",")
            if len(names) > _MOST_OPERATIONS:
                raise UnreadableBody(_UNREADABLE)
            for name in names:
                self._budget.spend(_NAME + (len(name) + len(edge)) // _LETTERS)
                target = gated(f"/{name}/{edge}") or gated(f"/{name}")
                if target is not None:
                    return Found(details=_SENDS.format(where=place) if place else _NAMES_NUMBER, target=target)
        return None

    def _body(self, value: Any) -> Pairs:
        """The parameters in an operation's body: a form as a string, or what Graph may take for one."""
        if value is None or isinstance(value, Pairs):
            return value or Pairs()
        text = text_of(value)
        pairs = fields(text, self._budget)
        if text.lstrip()[:1] in ("{", "["):
            try:
                read = parsed(text, self._budget)
            except TooMuchToRead:
                raise
            except UnreadableBody:
                if mentions(text.encode(errors="replace"), "batch") or refers(text):
                    raise
                return pairs
            pairs.extend(read if isinstance(read, Pairs) else [("batch", read)])
        return pairs

    def _headers(self, value: Any) -> Iterator[tuple[str, str]]:
        for header in value if isinstance(value, list) and not isinstance(value, Pairs) else [value]:
            self._budget.spend(1)
            if isinstance(header, Pairs):
                self._budget.spend(len(header))
                told = {name.lower(): text_of(word) for name, word in header}
                yield from told.items()
                yield told.get("name", ""), told.get("value", "")
            elif isinstance(header, str):
                name, _, word = header.partition(":")
                yield name.strip(), word
