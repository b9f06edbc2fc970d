"""
Own the messages that a request may carry without being a send: the operations of Graph's batches, and numbers that a parameter names.

A batch is a parameter of any request, wherever it is posted, and each operation a request of its own. None of it is decided here:
what may be a message is found, and whoever asked refuses it. So reading is as lenient as any server may be, and whatever cannot be
read to its end is taken for a message. Source: Meta, Graph API, Batch Requests and Asynchronous Batch Requests, read 2026-11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_to_bytes

import msgspec

from gatekeeper.meta.bodies import UnreadableBody, form_of, parts, spelled
from gatekeeper.meta.paths import Target, gated, is_root, may_post, names_edge

BATCHES = frozenset({"batch", "asyncbatch", "adbatch"})

_ADVICE = "Send each message by itself to …/messages."
_SENDS = f"Operation {{where}} may send a message, and a batch is not decided as one. {_ADVICE}"
_NAMES_NUMBER = f"The parameter id may make this a message. {_ADVICE}"
_UNREADABLE = f"The batch cannot be read, so it may hold a message. {_ADVICE}"

_METHOD, _URL, _BODY, _HEADERS, _IDS = "method", "relative_url", "body", "headers", ("id", "ids")
_MOST_OPERATIONS, _MOST_FIELDS = 500, 5000
_DEEPEST, _DECODINGS = 5, 2
# What an earlier operation of the batch answers is put in its place: any text.
_REFERENCE = re.compile(r"\{\s*result\s*=")


class Pairs(list[tuple[str, Any]]):
    """The members of an object in their order, those that come twice too."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A request that sends, or that nobody can say does not; *target* is whose number it is, where that is known."""

    details: str
    status: int = 400
    target: Target | None = None


UNREADABLE = Found(details=_UNREADABLE)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as Graph has it: one that came in, or an operation."""

    url: str
    methods: Sequence[str]
    headers: Sequence[tuple[str, str]] = ()
    parameters: Pairs = Pairs()

    @property
    def path(self) -> str:
        return "/" + self.url.partition("?")[0].partition("#")[0].removeprefix("/")

    @property
    def query(self) -> str:
        return self.url.partition("?")[2].partition("#")[0]

    def may_post(self) -> bool:
        """Say whether it may be taken for a POST."""
        told = [str(value) for name, value in self.parameters if spelled(name) == _METHOD]
        return any(may_post(method, self.headers, told) for method in self.methods)

    def telling(self, more: Pairs) -> Asked:
        """The same request with parameters that stand elsewhere than in its query."""
        return msgspec.structs.replace(self, parameters=Pairs([*self.parameters, *more]))


def asked(url: str, method: str, headers: Iterable[tuple[str, str]] = ()) -> Asked:
    """A request that came in, as far as can be said without its body."""
    came = Asked(url=url, methods=(method,), headers=tuple(headers))
    return came.telling(_fields(came.query))


def parameters(body: bytes, content_type: str) -> Pairs:
    """Read the parameters in a body, in every way in which Graph may; UnreadableBody when there is none."""
    form = form_of(content_type)
    if form.is_multipart:
        return Pairs((part.name, part.content.decode(errors="replace")) for part in parts(body, form.boundary))
    text = body.decode("utf-8-sig", "replace")
    if form.is_form:
        return _fields(text)
    if not text.strip():
        return Pairs()
    also = _fields(text) if "=" in text and not form.is_json else Pairs()
    try:
        read = _parsed(text)
    except UnreadableBody:
        if also:
            return also
        raise
    return Pairs([*(read if isinstance(read, Pairs) else [("batch", read)]), *filter(_readable, also)])


def _readable(field: tuple[str, Any]) -> bool:
    """Say whether a field in what is JSON as well may be meant: a piece of JSON that happens to look like a batch is none."""
    name, value = field
    try:
        return spelled(name) not in BATCHES or "[" in name or _parsed(value) is not None
    except UnreadableBody:
        return False


def find(request: Asked) -> Found | None:
    """Find what may be a message in a request that is not itself a send; None: it holds none."""
    try:
        return _Search(strict=is_root(request.url)).within(request, "")
    except UnreadableBody:
        return UNREADABLE


class _Search:
    """
    One search; what it may cost is bounded over all operations.

    Elsewhere than at the root it is not *strict*: a parameter may be called a batch there and be something else.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._left = _MOST_OPERATIONS

    def within(self, request: Asked, place: str, depth: int = 0) -> Found | None:
        for name, value in request.parameters:
            parameter = spelled(name)
            found = None
            if parameter in BATCHES and (depth or self._strict or mentions(f"{name}{value}".encode(errors="replace"), _URL)):
                if "[" in name:
                    raise UnreadableBody(_UNREADABLE)
                found = self._batch(value, f"{place}.batch" if place else "batch", depth)
            elif parameter in _IDS:
                found = _by_id(request, value, place)
            if found is not None:
                return found
        return None

    def _batch(self, value: Any, where: str, depth: int) -> Found | None:
        if depth > _DEEPEST:
            raise UnreadableBody(_UNREADABLE)
        if isinstance(value, str) and not value.strip():
            return None
        for index, operation in enumerate(_operations(value)):
            self._left -= 1
            if self._left < 0:
                raise UnreadableBody(_UNREADABLE)
            found = self._operation(operation, f"{where}[{index}]", depth)
            if found is not None:
                return found
        return None

    def _operation(self, operation: Any, where: str, depth: int) -> Found | None:
        members = _parsed(operation) if isinstance(operation, str) else operation
        if members is None:
            return None
        if not isinstance(members, Pairs):
            raise UnreadableBody(_UNREADABLE)
        told = {name: [value for key, value in members if spelled(key) == name] for name in (_URL, _METHOD, _HEADERS, _BODY)}
        methods = [_text(value) for value in told[_METHOD]] or ["GET"]
        headers = [header for value in told[_HEADERS] for header in _headers(value)]
        body = Pairs(pair for value in told[_BODY] for pair in _body(value))
        referring = _refers(" ".join([*methods, *map(str, told[_BODY])]))
        for url in map(_text, told[_URL] or [""]):
            request = Asked(url=url, methods=methods, headers=headers)
            request = request.telling(_fields(request.query)).telling(body)
            found = self._asked(request, where, depth, referring=referring or _refers(request.query))
            if found is not None:
                return found
        return None

    def _asked(self, request: Asked, where: str, depth: int, *, referring: bool) -> Found | None:
        target, posts = gated(request.path), request.may_post()
        if (target and (posts or referring)) or (posts and _refers(request.path)):
            return Found(details=_SENDS.format(where=where), target=target)
        found = self.within(request, where, depth + 1)
        if found is None and posts and names_edge(request.path):  # of a number that is none
            found = Found(details=_SENDS.format(where=where))
        return found


def _refers(text: str) -> bool:
    return _REFERENCE.search(unquote(text)) is not None


def _by_id(request: Asked, value: Any, place: str) -> Found | None:
    """Find a message whose number a parameter names: `/messages?id=…`, as Graph reads `/?id=…` for an object."""
    edge = request.path.rstrip("/").rpartition("/")[2]
    if not (names_edge(request.path) or "messages" in unquote(str(value)).casefold()) or not request.may_post():
        return None
    given = _parsed(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
    names = [_text(name) for name in given] if isinstance(given, list) else _text(given).split(",")
    if len(names) > _MOST_OPERATIONS:
        raise UnreadableBody(_UNREADABLE)
    targets = (gated(f"/{name}/{edge}") or gated(f"/{name}") for name in names)
    details = _SENDS.format(where=place) if place else _NAMES_NUMBER
    return next((Found(details=details, target=target) for target in targets if target), None)


def _operations(value: Any) -> Iterable[Any]:
    read = _parsed(value) if isinstance(value, str) else value
    if isinstance(read, Pairs):  # to PHP an object is an array as well
        return [read] if any(spelled(name) == _URL for name, _ in read) else [member for _, member in read]
    if read is None:
        return ()
    if not isinstance(read, list):
        raise UnreadableBody(_UNREADABLE)
    return read


def _body(value: Any) -> Pairs:
    """The parameters in an operation's body: a form as a string, or what Graph may take for one."""
    if value is None or isinstance(value, Pairs):
        return value or Pairs()
    text = _text(value)
    pairs = _fields(text)
    if text.lstrip()[:1] in ("{", "["):
        try:
            read = _parsed(text)
        except UnreadableBody:
            if mentions(text.encode(errors="replace"), "batch") or _REFERENCE.search(text):
                raise
            return pairs
        pairs.extend(read if isinstance(read, Pairs) else [("batch", read)])
    return pairs


def _headers(value: Any) -> Iterator[tuple[str, str]]:
    for header in value if isinstance(value, list) and not isinstance(value, Pairs) else [value]:
        if isinstance(header, Pairs):
            told = {name.lower(): _text(word) for name, word in header}
            yield from told.items()
            yield told.get("name", ""), told.get("value", "")
        elif isinstance(header, str):
            name, _, word = header.partition(":")
            yield name.strip(), word


def _fields(text: str) -> Pairs:
    try:
        return Pairs(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise UnreadableBody(_UNREADABLE) from None


def _text(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        return ""
    raise UnreadableBody(_UNREADABLE)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=Pairs, strict=False)
    except (ValueError, RecursionError):
        raise UnreadableBody(_UNREADABLE) from None


def spellings(word: str) -> bytes:
    """A pattern for a word in bytes, in JSON's escapes too, and in encodings of two bytes a letter."""
    return rb"\0?".join(rb"(?:%c|\\u00%02x)" % (letter, letter) for letter in word.encode())


def unescaped(body: bytes) -> list[bytes]:
    """A body as it is and as a form, where there is the least sign of a word that matters in it: patterns are slow."""
    ways = [body]
    while b"%" in ways[-1] and len(ways) <= _DECODINGS and (less := unquote_to_bytes(ways[-1])) != ways[-1]:
        ways.append(less)
    return [way for way in ways if _SIGNS.search(way.lower())]


def mentions(body: bytes, word: str) -> bool:
    """Say whether a word is anywhere in a body, readable or not."""
    return any(_WORDS[word].search(way) for way in unescaped(body))


_WORDS = {word: re.compile(spellings(word), re.IGNORECASE) for word in ("batch", "messages", _METHOD, _URL)}
_SIGNS = re.compile(rb"\\u00|" + b"|".join(b"%b|%c\0%c" % (word.encode(), *word[:2].encode()) for word in _WORDS))
