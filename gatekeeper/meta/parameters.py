"""
Own the parameters of a request that is not a send, in every way in which Graph may read them: of its query, its body, an operation.

Reading is as lenient as any server may be. It goes on a budget: nobody knows yet who asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from gatekeeper.meta.bodies import UnreadableBody, form_of, parts, spelled
from gatekeeper.meta.budget import ReadingBudget, TooMuchToRead
from gatekeeper.meta.paths import may_post
from gatekeeper.meta.scanning import BATCHES, METHOD, is_garbled, unquoted

_UNREADABLE = "The parameters cannot be read."
_MOST_FIELDS = 5000
_LONGEST_PATH = 8192  # what comes in has a shorter one
# What an earlier operation of the batch answers is put in its place: any text.
_REFERENCE = re.compile(r"\{\s*result\s*=")
_LISTS = ("[", '"')  # what begins so may be a list to whoever reads JSON less strictly
# Steps for a part, a field and a member; and bytes of a text that take one.
_PART, _FIELD, _MEMBER, _BYTES = 20, 2, 1, 200


class Pairs(list[tuple[str, Any]]):
    """The members of an object in their order, those that come twice too."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as Graph has it: one that came in, or an operation."""

    url: str
    methods: Sequence[str]
    headers: Sequence[tuple[str, str]] = ()
    parameters: Pairs = Pairs()

    @property
    def path(self) -> str:
        """The path, of which no server takes more than so much; UnreadableBody when it is longer."""
        path = "/" + self.url.partition("?")[0].partition("#")[0].removeprefix("/")
        if len(path) > _LONGEST_PATH:
            raise UnreadableBody("A path is too long.")
        return path

    @property
    def query(self) -> str:
        return self.url.partition("?")[2].partition("#")[0]

    def may_post(self) -> bool:
        """Say whether it may be taken for a POST."""
        told = [str(value) for name, value in self.parameters if spelled(name) == METHOD]
        return may_post(",".join(self.methods), self.headers, told)

    def telling(self, more: Pairs) -> Asked:
        """The same request with parameters that stand elsewhere than in its query."""
        return msgspec.structs.replace(self, parameters=Pairs([*self.parameters, *more]))


def asked(url: str, method: str, headers: Iterable[tuple[str, str]] = (), budget: ReadingBudget | None = None) -> Asked:
    """A request that came in, as far as can be said without its body; UnreadableBody: its query has no end."""
    came = Asked(url=url, methods=(method,), headers=tuple(headers))
    return came.telling(fields(came.query, budget or ReadingBudget()))


def parameters(body: bytes, content_type: str, budget: ReadingBudget | None = None) -> Pairs:
    """Read the parameters in a body, in every way in which Graph may; UnreadableBody when there is none, or no end of them."""
    budget = budget or ReadingBudget()
    form = form_of(content_type)
    if form.is_multipart:
        found = parts(body, form.boundary)
        budget.spend(_PART * len(found))
        return Pairs((part.name, part.content.decode(errors="replace")) for part in found)
    text = body.decode("utf-8-sig", "replace")
    if form.is_form:
        return fields(text, budget)
    if not text.strip():
        return Pairs()
    also = fields(text, budget) if "=" in text and not form.is_json else Pairs()
    try:
        read = parsed(text, budget)
    except TooMuchToRead:
        raise
    except UnreadableBody:
        if also and not text.lstrip().startswith(_LISTS):
            return also
        raise
    return Pairs(
        [*(read if isinstance(read, Pairs) else [("batch", read)]), *(field for field in also if _readable(field, budget))]
    )


def _readable(field: tuple[str, Any], budget: ReadingBudget) -> bool:
    """Say whether a field in what is JSON as well may be meant: a piece of JSON that happens to look like a batch is none."""
    name, value = field
    if spelled(name) not in BATCHES or "[" in name:
        return True
    try:
        return parsed(value, budget) is not None
    except TooMuchToRead:
        raise
    except UnreadableBody:
        return False


def fields(text: str, budget: ReadingBudget) -> Pairs:
    """Split a form or a query into its fields, empty values too; UnreadableBody when there are too many."""
    found = [field for field in text.split("&") if field] if text.count("&") <= 2 * _MOST_FIELDS else None
    if found is None or len(found) > _MOST_FIELDS or is_garbled(text):
        raise UnreadableBody(_UNREADABLE)
    budget.spend(_FIELD * len(found) + len(text) // _BYTES)
    return Pairs((_decoded(name), _decoded(value)) for name, _, value in (field.partition("=") for field in found))


def _decoded(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return decoded(text) if "%" in text else text


def decoded(text: str) -> str:
    """Decode what is written in percent signs; what is no UTF-8 then is replaced."""
    return unquoted(text.encode(errors="replace")).decode(errors="replace") if "%" in text else text


def parsed(text: str, budget: ReadingBudget) -> Any:
    """Read JSON, with objects as Pairs; UnreadableBody."""
    objects, lists, members = text.count("{"), text.count("["), text.count(",")
    budget.spend(_MEMBER * (objects * 2 + lists + members) * 2 // 5 + len(text) // _BYTES)
    try:
        return json.loads(text, object_pairs_hook=Pairs, strict=False)
    except (ValueError, RecursionError):
        raise UnreadableBody(_UNREADABLE) from None


def strings(value: Any, budget: ReadingBudget) -> Iterator[str]:
    """Every text in a value, the names of its members too."""
    left = [value]
    while left:
        budget.spend(_MEMBER)
        one = left.pop()
        if isinstance(one, str):
            budget.spend(len(one) // _BYTES)
            yield one
        elif isinstance(one, list | tuple):
            left.extend(one)


def refers(text: str) -> bool:
    """Say whether a text stands in for what an earlier operation answers."""
    return ("{" in text or "%" in text) and _REFERENCE.search(decoded(text)) is not None


def text_of(value: Any) -> str:
    """A value as a text; UnreadableBody when it cannot be one."""
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        return ""
    raise UnreadableBody(_UNREADABLE)
