"""Own how a free-form text becomes a template: the recipient and everything else that the caller gave stay as they are."""

from __future__ import annotations

from urllib.parse import unquote_plus

import msgspec

from gatekeeper.meta.bodies import (
    Members,
    UnreadableBody,
    decoded,
    query_members,
    read,
    read_nested_object,
    read_object,
    readings,
    spelled,
)

JSON = "application/json"
_REPLACED = ("type", "text", "category")
_ADDRESS = ("messaging_product", "recipient_type", "to", "recipient")
# Graph's own parameters that say by which right a request comes.
_RIGHTS = ("access_token", "appsecret_proof")
# Meta takes no line breaks, tabs or long blanks in a parameter, and not more than so many letters of a body.
# Source: Meta, "Template components" and error 132005, copies of 2025-12.
LONGEST_PARAMETER = 1024


class Written(msgspec.Struct, frozen=True):
    """A request as its caller wrote it, unpacked."""

    body: bytes
    content_type: str = JSON
    query: str = ""


def as_template(written: Written, *, name: str, language: str, text_parameter: bool) -> bytes | None:
    """
    Write the JSON body of a template in place of a text, with the text as the body's first parameter if it takes one.

    None: it is no text that can be a parameter, or some of it stands in the query, where it would stay a text.
    """
    found = _members(written)
    if found is None:
        return None
    members, text = found
    if text is None:
        return None
    kept = {member: raw for member, raw in members.items() if member not in _REPLACED}
    return _body(kept, name, language, text if text_parameter else None)


def as_question(written: Written, *, name: str, language: str, text_parameter: bool) -> bytes | None:
    """
    Write the JSON body of a template that asks the recipient of a message to answer; of the message it says only whom it is for.

    None: it takes a text, and the message is none that can be a parameter; or some of it stands in the query.
    """
    found = _members(written)
    if found is None:
        return None
    members, text = found
    if text is None and text_parameter:
        return None
    kept = {member: raw for member, raw in members.items() if member in _ADDRESS}
    return _body(kept, name, language, text if text_parameter else None)


def carries_rights(written: Written) -> bool:
    """Say whether a body carries the token that it is sent by, so that it cannot be kept without that."""
    try:
        return any(spelled(member) in _RIGHTS for members in readings(written.body, written.content_type) for member in members)
    except UnreadableBody:
        return True


def without_rights(path: str) -> str:
    """A path without the tokens in its query, the rest as it was written."""
    before, mark, query = path.partition("?")
    kept = "&".join(part for part in query.split("&") if not _is_right(part))
    return before + mark + kept if kept else before


def query_rights(query: str) -> tuple[str, ...]:
    """The tokens in a query, as they were written."""
    return tuple(part for part in query.split("&") if _is_right(part)) if query else ()


def _is_right(part: str) -> bool:
    return spelled(unquote_plus(part.partition("=")[0])) in _RIGHTS


def _members(written: Written) -> tuple[Members, str | None] | None:
    """What is written in a body, and the text in it; None: some of the message stands in the query, where it would stay what it is."""
    try:
        members = readings(written.body, written.content_type)[0]
        if read_object(msgspec.Raw(decoded(written.body).encode())) is None:
            members = {name: _of_form(raw) for name, raw in members.items()}
        told = query_members(written.query) if written.query else {}
        type_ = read(members["type"]) if "type" in members else None
        text = _text(members)
    except UnreadableBody:
        return None
    replaced = (*_REPLACED, "messaging_product", type_ if isinstance(type_, str) else "type")
    return None if any(member in told for member in replaced) else (members, text)


def _body(kept: Members, name: str, language: str, text: str | None) -> bytes | None:
    template: dict[str, object] = {"name": name, "language": {"code": language}}
    if text is not None:
        if not text or len(text) > LONGEST_PARAMETER:
            return None
        template["components"] = [{"type": "body", "parameters": [{"type": "text", "text": text}]}]
    return msgspec.json.encode({**kept, "type": "template", "template": template})


def _of_form(raw: msgspec.Raw) -> msgspec.Raw:
    """A field of a form as JSON has it: what is no object, list or quoted text is a text."""
    text = bytes(raw)
    if text[:1] in (b"{", b"[", b'"') and _is_json(raw):
        return raw
    return msgspec.Raw(msgspec.json.encode(decoded(text)))


def _is_json(raw: msgspec.Raw) -> bool:
    try:
        read(raw)
    except UnreadableBody:
        return False
    return True


def _text(members: Members) -> str | None:
    raw = members.get("text")
    content = read_nested_object(raw) if raw is not None else None
    body = read(content["body"]) if content and "body" in content else None
    return " ".join(body.split()) if isinstance(body, str) else None
