"""
Own how the bytes of a send become members, in each content type that Graph takes.

In a form the nested objects are JSON strings. A member that comes twice counts as it came last, as in PHP and so at Meta.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec

Members = dict[str, msgspec.Raw]

_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"

_PLAIN = frozenset({"messaging_product", "recipient_type", "to", "recipient", "type", "status", "message_id", "category"})
_MOST_FIELDS = 1000
_LONGEST_HEAD = 4096

_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})
_PART_NAME = re.compile(rb'content-disposition:[^\r\n]*?;\s*name="?([^";\r\n]+)', re.IGNORECASE)

_MEMBERS = msgspec.json.Decoder(Members)


class UnreadableBody(ValueError):  # noqa: N818  it names the body
    """The bytes are not what their content type says; the text never quotes them."""


def read_members(body: bytes, content_type: str) -> Members:
    """Split a body into its members; UnreadableBody when it is not an object, or not UTF-8."""
    kind, parameters = _content_type(content_type)
    if parameters.get("charset", "utf-8").lower() not in _UTF8:
        raise UnreadableBody("The request body must be UTF-8.")
    try:
        # Decoding checks what msgspec skips over.
        text = body.decode()
        if kind == _FORM:
            return _of_form(dict(parse_qsl(text, max_num_fields=_MOST_FIELDS, errors="strict")))
        if kind == _MULTIPART:
            return _of_form(_parts(body, parameters.get("boundary", "")))
        return _MEMBERS.decode(body)
    except UnreadableBody:
        raise
    except (ValueError, RecursionError):
        raise UnreadableBody("The request body is not an object that can be read.") from None


def present(raw: msgspec.Raw | None) -> bool:
    """Say whether a member is there: null and an empty form field are not."""
    return raw is not None and bytes(raw) not in (b"", b"null")


def read(raw: msgspec.Raw) -> Any:
    """Read the value of a member; UnreadableBody when it is no JSON or a number out of range."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        raise UnreadableBody("A parameter cannot be read.") from None


def read_object(raw: msgspec.Raw) -> Members | None:
    """Split a member into its own members; None when it is not an object."""
    try:
        return _MEMBERS.decode(raw)
    except (ValueError, RecursionError):
        return None


def _content_type(header: str) -> tuple[str, dict[str, str]]:
    kind, *rest = header.split(";")
    pairs = (parameter.partition("=") for parameter in rest)
    return kind.strip().lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _of_form(fields: dict[str, str]) -> Members:
    return {
        name: msgspec.Raw(msgspec.json.encode(value) if name in _PLAIN else value.strip().encode())
        for name, value in fields.items()
    }


def _parts(body: bytes, boundary: str) -> dict[str, str]:
    if not boundary:
        raise UnreadableBody("The multipart boundary is missing.")
    sections = (b"\r\n" + body).split(b"\r\n--" + boundary.encode(), _MOST_FIELDS)
    fields: dict[str, str] = {}
    for section in sections[1:]:
        if section.startswith(b"--"):
            return fields
        head, blank, content = section.partition(b"\r\n\r\n")
        name = _PART_NAME.search(head) if blank and len(head) <= _LONGEST_HEAD else None
        if name is None:
            raise UnreadableBody("A part of the multipart body has no name.")
        fields[name.group(1).decode()] = content.decode()
    raise UnreadableBody("The multipart body has no end.")
