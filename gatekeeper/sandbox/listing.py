"""Own how the sandbox lists templates: filters, fields and pages as Graph has them, components as far as they are known."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from yarl import URL

from gatekeeper.core.accounts import ButtonKind, HeaderFormat, Shape, Template
from gatekeeper.meta.lenient import integer
from gatekeeper.sandbox.catalogue import fingerprint

_FILTERS = ("name", "language", "category", "status")
_PAGE, _LARGEST_PAGE = 25, 1000
_ID_DIGITS = 15
_MOST_UNVERIFIED = 250
_RATED = 1_767_225_600  # some day, in Unix seconds: nobody rates a template here
_PLAIN_BUTTON = {"type": "QUICK_REPLY", "text": "Thank you"}
_BUTTONS = {
    ButtonKind.URL: {"type": "URL", "text": "Open", "url": "https://example.com/{{1}}", "example": ["https://example.com/1"]},
    ButtonKind.OTP: {
        "type": "URL",
        "text": "Copy code",
        "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}",
        "example": ["https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp123456"],
    },
    ButtonKind.COPY_CODE: {"type": "COPY_CODE", "text": "Copy offer code", "example": ["25OFF"]},
}


class BadPage(Exception):  # noqa: N818 - it names the request
    """`limit` or `after` is not what it should be; the text names it."""


def listed(templates: tuple[Template, ...], waba_id: str, asked: Mapping[str, str], address: str) -> dict[str, Any]:
    """One page of *templates*, and where the next one is; BadPage. *address* is the list's own."""
    wanted = {name: asked[name].lower() for name in _FILTERS if asked.get(name)}
    found = [row for row in (_row(template, waba_id) for template in templates) if _matches(row, wanted)]
    start, size = _start(asked.get("after", "")), _size(asked.get("limit", ""))
    rows = found[start : start + size]
    summary = {"summary": _summary(len(found), len(templates))} if asked.get("summary") else {}
    if not rows:
        return {"data": [], **summary}
    after = _cursor(start + len(rows))
    paging: dict[str, Any] = {"cursors": {"before": _cursor(start), "after": after}}
    if start + size < len(found):
        paging["next"] = str(URL(address).with_query({**asked, "limit": size, "after": after}))
    fields = {"id", *asked["fields"].split(",")} if asked.get("fields") else None
    data = [{name: value for name, value in row.items() if fields is None or name in fields} for row in rows]
    return {"data": data, "paging": paging, **summary}


def _row(template: Template, waba_id: str) -> dict[str, Any]:
    coming = {"correct_category": template.pending.upper()} if template.pending else {}
    return {
        "name": template.name,
        **_asks(template),
        "language": template.language,
        "status": template.status.value,
        "category": (template.category or "").upper(),
        **coming,
        "quality_score": {"score": "UNKNOWN", "date": _RATED},
        "id": "1" + fingerprint(waba_id, template.name, template.language, digits=_ID_DIGITS),
    }


def _asks(template: Template) -> dict[str, Any]:
    """
    The components, and how their places are named.

    Of a template whose shape nobody told the sandbox takes any parameters, so it shows two bodies: nobody can count them there.
    """
    shape, text = template.shape, f"The text of {template.name}."
    if shape is None:
        return {"parameter_format": "POSITIONAL", "components": [{"type": "BODY", "text": text}] * 2}
    components = [
        *([_header(shape.header, shape)] if shape.header else []),
        {"type": "BODY", "text": _with_places(text, shape.body or ())},
        *([{"type": "BUTTONS", "buttons": _buttons(shape)}] if shape.buttons else []),
    ]
    return {"parameter_format": "NAMED" if shape.named else "POSITIONAL", "components": components}


def _header(kind: HeaderFormat, shape: Shape) -> dict[str, Any]:
    text = {"text": _with_places("A header", shape.header_parameters or ())} if kind is HeaderFormat.TEXT else {}
    return {"type": "HEADER", "format": kind.value, **text}


def _with_places(text: str, names: tuple[str, ...]) -> str:
    return " ".join((text, *(f"{{{{{name}}}}}" for name in names)))


def _buttons(shape: Shape) -> list[dict[str, Any]]:
    """The buttons that a send fills in, at their places, and plain ones between them."""
    kinds = {button.index: button.kind for button in shape.buttons}
    return [_BUTTONS[kinds[n]] if n in kinds else _PLAIN_BUTTON for n in range(max(kinds) + 1)]


def _summary(found: int, owned: int) -> dict[str, Any]:
    return {
        "total_count": found,
        "message_template_count": owned,
        "message_template_limit": _MOST_UNVERIFIED,
        "are_translations_complete": True,
    }


def _matches(row: dict[str, Any], wanted: dict[str, str]) -> bool:
    return all(value == row[name].lower() for name, value in wanted.items())


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"page:{position}".encode()).decode()


def _start(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        position = integer(base64.urlsafe_b64decode(cursor).decode().removeprefix("page:"))
    except (binascii.Error, ValueError):
        position = None
    if position is None:
        raise BadPage("The parameter after is not a cursor of this list.")
    return position


def _size(limit: str) -> int:
    size = integer(limit) if limit else _PAGE
    if size is None or not 1 <= size <= _LARGEST_PAGE:
        raise BadPage(f"The parameter limit must be a number from 1 to {_LARGEST_PAGE}.")
    return size
