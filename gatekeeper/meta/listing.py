"""
Own Meta's list of an account's templates: one page of it, what each row says, and what a template's components ask of a send.

Source: Meta, "Template management" and "Template components", copies of 2025-10 to 2025-12. A one-time password's button is listed
as a link to `whatsapp.com/otp`.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import msgspec

from gatekeeper.core.accounts import Button, ButtonKind, HeaderFormat, Shape, TemplateCategory, TemplateStatus
from gatekeeper.meta.lenient import Json, child, children, text, word

FIELDS = "name,language,status,category,correct_category,previous_category,quality_score,parameter_format,components"

_STATUSES = {status.value: status for status in TemplateStatus}
_CATEGORIES = {category.value: category for category in TemplateCategory}
_HEADERS = {header.value: header for header in HeaderFormat}
_NAMED = {"named": True, "positional": False}
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_OPEN = "{{"
_OTP_LINK = re.compile(r"https?://(www\.)?whatsapp\.com/otp/", re.IGNORECASE)


class NotAListing(ValueError):  # noqa: N818 - it names the body
    """The body is no page of a list."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One template in one language, as Meta lists it; None: not said, or not in a word that we know."""

    name: str
    language: str
    status: TemplateStatus | None = None
    category: TemplateCategory | None = None
    pending: TemplateCategory | None = None
    quality: str | None = None
    shape: Shape | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page; *after*: the cursor of the next one, *more*: there is one. *unreadable*: rows that name no template."""

    rows: tuple[Listed, ...]
    unreadable: int = 0
    after: str | None = None
    more: bool = False


def decode_page(body: bytes) -> Page:
    """Read a page; NotAListing."""
    try:
        payload = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise NotAListing("not JSON") from None
    data = payload.get("data") if isinstance(payload, dict) else None
    if not isinstance(data, list):
        raise NotAListing("no list of templates")
    rows = [_row(item) for item in data if isinstance(item, dict)]
    read = tuple(row for row in rows if row is not None)
    paging = child(payload, "paging")
    following = text(paging.get("next"))
    after = text(child(paging, "cursors").get("after")) or _cursor(following)
    return Page(rows=read, unreadable=len(data) - len(read), after=after, more=following is not None)


def _cursor(url: str | None) -> str | None:
    """The cursor in the address of the next page: nothing else of that address is believed."""
    try:
        return next(iter(parse_qs(urlsplit(url or "").query).get("after", ())), None)
    except ValueError:
        return None


def _row(item: Json) -> Listed | None:
    name, language = text(item.get("name")), text(item.get("language"))
    if name is None or language is None:
        return None
    category, coming = (_CATEGORIES.get(word(item.get(member)) or "") for member in ("category", "correct_category"))
    score = word(child(item, "quality_score").get("score") or item.get("quality_score"))
    return Listed(
        name=name,
        language=language.replace("-", "_"),
        status=_STATUSES.get((word(item.get("status")) or "").upper()),
        category=category,
        pending=coming if coming != category else None,
        quality=score.upper() if score else None,
        shape=_shape(item),
    )


def _shape(item: Json) -> Shape | None:
    """What a send has to fill in; None where Meta does not say how its places are named, or has not one body."""
    named = _NAMED.get(word(item.get("parameter_format")) or "")
    components = children(item, "components")
    bodies, headers = ([part for part in components if word(part.get("type")) == kind] for kind in ("body", "header"))
    if named is None or len(bodies) != 1 or len(headers) > 1:
        return None
    header = headers[0] if headers else {}
    known = _HEADERS.get((word(header.get("format")) or "").upper())
    return Shape(
        named=named,
        header=known,
        header_parameters=_places(header.get("text"), named=named) if known is HeaderFormat.TEXT else (),
        body=_places(bodies[0].get("text"), named=named),
        buttons=tuple(_buttons(components)),
    )


def _places(value: object, *, named: bool) -> tuple[str, ...] | None:
    """The names of the places in a text; None when they are not as Meta numbers or names them, so that nobody can count them."""
    if not isinstance(value, str):
        return None
    found = _PLACE.findall(value)
    numbered = sorted(found) == sorted(str(n + 1) for n in range(len(found)))
    orderly = len(set(found)) == len(found) if named and not any(name.isdigit() for name in found) else numbered and not named
    return tuple(found) if orderly and len(found) == value.count(_OPEN) else None


def _buttons(components: list[Json]) -> list[Button]:
    listed = [part.get("buttons") for part in components if word(part.get("type")) == "buttons"]
    buttons = listed[0] if len(listed) == 1 and isinstance(listed[0], list) else []
    kinds = [_kind(button) if isinstance(button, dict) else None for button in buttons]
    return [Button(index=n, kind=kind) for n, kind in enumerate(kinds) if kind is not None]


def _kind(button: Json) -> ButtonKind | None:
    kind, url = word(button.get("type")), text(button.get("url")) or ""
    if kind == "url":
        return ButtonKind.OTP if _OTP_LINK.match(url) else ButtonKind.URL if _OPEN in url else None
    return {"otp": ButtonKind.OTP, "copy_code": ButtonKind.COPY_CODE}.get(kind or "")
