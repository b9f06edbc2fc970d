"""Own how a free-form text becomes a template: the recipient and everything else that the caller gave stay as they are."""

from __future__ import annotations

import msgspec

from gatekeeper.meta.bodies import Members, UnreadableBody, query_members, read, read_object, readings

JSON = "application/json"
_REPLACED = ("type", "text", "category")
# Meta takes no line breaks, tabs or long blanks in a parameter, and not more than so many letters of a body.
# Source: Meta, "Template components" and error 132005, copies of 2025-12.
_LONGEST = 1024


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
    try:
        members = readings(written.body, written.content_type)[0]
        told = query_members(written.query) if written.query else {}
        text = _text(members)
    except UnreadableBody:
        return None
    if text is None or any(member in told for member in (*_REPLACED, "messaging_product")):
        return None
    template: dict[str, object] = {"name": name, "language": {"code": language}}
    if text_parameter:
        if not text or len(text) > _LONGEST:
            return None
        template["components"] = [{"type": "body", "parameters": [{"type": "text", "text": text}]}]
    kept = {member: raw for member, raw in members.items() if member not in _REPLACED}
    return msgspec.json.encode({**kept, "type": "template", "template": template})


def _text(members: Members) -> str | None:
    raw = members.get("text")
    content = read_object(raw) if raw is not None else None
    body = read(content["body"]) if content and "body" in content else None
    return " ".join(body.split()) if isinstance(body, str) else None
