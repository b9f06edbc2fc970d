"""
Own the shape of Meta's `pricing_analytics` as Graph answers it, page by page.

The first page is the account with the field in it, `{"pricing_analytics": {"data": [{"data_points": […]}], "paging": {…}}, "id": …}`;
the pages that `paging.next` leads to are what stands inside. A file may hold several, one after the other or in a list.
Source: Meta, "Analytics", copies of 2025-11-19 and 2026-02-12.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gatekeeper.core.errors import InputError
from gatekeeper.finance.sources import Raw, Source, shown

_FIELD, _PAGES, _POINTS = "pricing_analytics", "data", "data_points"
_POINT = "start"
_DEEPEST = 6
_BLANKS = " \t\r\n"


def is_json(text: str) -> bool:
    """Say whether *text* begins as JSON does, and no table."""
    return text.lstrip(_BLANKS)[:1] in ("{", "[")


def answers(text: str, name: str) -> Source:
    """Read every page in *text*; InputError names the place of what is not understood."""
    found = _Found()
    documents = list(_documents(text, name))
    for n, document in enumerate(documents, 1):
        where = f"{name}: $" if len(documents) == 1 else f"{name}: document {n}: $"
        found.walk(document, where, _DEEPEST)
    notes = (
        ("Meta's answer goes on after its last page (paging.next), and that page is not in the file",) if found.goes_on else ()
    )
    return Source(name=name, waba_ids=tuple(dict.fromkeys(found.waba_ids)), points=tuple(found.points), notes=notes)


class _Found:
    """What was come across on the way through the documents."""

    def __init__(self) -> None:
        self.waba_ids: list[str] = []
        self.points: list[Raw] = []
        self.goes_on = False

    def walk(self, node: Any, where: str, deeper: int) -> None:
        """Take in a page, or a list of pages."""
        if not deeper:
            raise InputError(f"{where}: is nested too deep for an answer of Meta's")
        if isinstance(node, list):
            for n, one in enumerate(node):
                self.walk(one, f"{where}[{n}]", deeper - 1)
            return
        if not isinstance(node, dict):
            raise InputError(f"{where}: {shown(node)} is no answer of Meta's")
        if "error" in node:  # its text may repeat the access token
            code = node["error"].get("code") if isinstance(node["error"], dict) else None
            raise InputError(f"{where}.error: Meta answered with an error, code {shown(code)}, and with no figures")
        inside = next((key for key in (_FIELD, _PAGES, _POINTS) if key in node), None)
        if inside is None and _POINT in node:  # somebody took the points out of their pages
            self.points.append(Raw(where=where, fields=node))
            return
        if inside is None:
            raise InputError(f"{where}: holds no {_FIELD}; ask Meta for GET /{{waba_id}}?fields={_FIELD}.start(…).end(…)…")
        if inside == _FIELD:
            self._account(node, where)
        if inside != _POINTS:
            self.walk(node[inside], f"{where}.{inside}", deeper - 1)
        else:
            self._points(node[_POINTS], f"{where}.{_POINTS}")
        if inside == _PAGES:
            paging = node.get("paging")
            self.goes_on = isinstance(paging, dict) and bool(paging.get("next"))

    def _account(self, node: dict[str, Any], where: str) -> None:
        waba_id = node.get("id")
        if waba_id is None:
            return
        if not (isinstance(waba_id, str) and waba_id.isascii() and waba_id.isdigit()):
            raise InputError(f"{where}.id: {shown(waba_id)} is not the id of an account")
        self.waba_ids.append(waba_id)

    def _points(self, listed: Any, where: str) -> None:
        if not isinstance(listed, list):
            raise InputError(f"{where}: {shown(listed)} is not a list of data points")
        for n, one in enumerate(listed):
            if not isinstance(one, dict):
                raise InputError(f"{where}[{n}]: {shown(one)} is not a data point")
            self.points.append(Raw(where=f"{where}[{n}]", fields=one))


def _documents(text: str, name: str) -> Iterator[Any]:
    """Decode the JSON documents that stand one after the other; every number stays the text that it is."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            raise InputError(f"{name}: a key stands twice in one object: {shown(_twice(pairs))}")
        return members

    decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=unique)
    at, end = 0, len(text)
    while at < end:
        if text[at] in _BLANKS:
            at += 1
            continue
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as fault:
            raise InputError(f"{name}: line {fault.lineno}, column {fault.colno}: {fault.msg}") from None
        except RecursionError:
            raise InputError(f"{name}: is nested too deep for an answer of Meta's") from None
        yield document


def _twice(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    return next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
