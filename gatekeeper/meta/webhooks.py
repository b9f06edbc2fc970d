"""
Own the envelope of a webhook: what is read for each field, and that a bad item never loses its neighbours.

Meta puts up to a thousand updates into one POST, of any mixture of accounts, numbers and kinds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import msgspec

from gatekeeper.meta import account, news, traffic
from gatekeeper.meta.change import Change, Unreadable, who_in
from gatekeeper.meta.events import (
    AccountUpdate,
    Broken,
    Call,
    Conversation,
    Event,
    Handover,
    Ignored,
    Inbound,
    InternationalRate,
    Preference,
    Pricing,
    PrimaryLocation,
    Status,
    SystemChange,
    TemplateCategory,
    TemplateQuality,
    TemplateStatus,
    VolumeTier,
)
from gatekeeper.meta.lenient import Json, child, number, text
from gatekeeper.meta.usual import usual_webhook

__all__ = [
    "AccountUpdate",
    "Broken",
    "Call",
    "Conversation",
    "Event",
    "Handover",
    "Ignored",
    "Inbound",
    "InternationalRate",
    "NotAWebhook",
    "Preference",
    "Pricing",
    "PrimaryLocation",
    "Status",
    "SystemChange",
    "TemplateCategory",
    "TemplateQuality",
    "TemplateStatus",
    "VolumeTier",
    "decode_closely",
    "decode_webhook",
    "events_of",
]

WHATSAPP = "whatsapp_business_account"
_decode = msgspec.json.Decoder().decode
_NO_ARRAY, _NO_OBJECT = "not an array", "not an object"

_MESSAGES: dict[str, Callable[[Change, Json], Event]] = {"messages": traffic.inbound, "statuses": traffic.status}

_LISTS: dict[str, dict[str, Callable[[Change, Json], Event]]] = {
    "messages": _MESSAGES,
    "standby": _MESSAGES,
    "calls": {"calls": traffic.call, "statuses": traffic.call_status},
    "user_preferences": {"user_preferences": news.preference},
    "user_id_update": {"user_id_update": news.user_id_update},
}

_SINGLES: dict[str, Callable[[Change], Event]] = {
    "message_template_status_update": news.template,
    "template_category_update": news.template,
    "message_template_quality_update": news.template,
    "messaging_handovers": news.handover,
    "account_update": account.update,
}


class NotAWebhook(ValueError):  # noqa: N818  it says what the body is
    """The body is not a JSON object, so no part of it can be read."""


def decode_webhook(body: bytes) -> list[Event]:
    """Read a webhook's body as events, in its order; NotAWebhook when it is not a JSON object."""
    usual = usual_webhook(body)
    return decode_closely(body) if usual is None else usual


def decode_closely(body: bytes) -> list[Event]:
    """Do so item by item, whatever it holds."""
    try:
        payload = _decode(body)
    except (ValueError, RecursionError):
        payload = _decode_leniently(body)
    return events_of(payload)


def events_of(payload: object) -> list[Event]:
    """Read a decoded payload as events, in its order; NotAWebhook when it is not an object."""
    if not isinstance(payload, dict):
        raise NotAWebhook("the payload is not a JSON object")
    kind = payload.get("object") or WHATSAPP
    if kind != WHATSAPP:
        return [Ignored(field=text(kind) or "")]
    return list(_entries(payload))


def _entries(payload: Json) -> Iterator[Event]:
    for place, entry in _each(payload, "entry", ""):
        if isinstance(entry, str):
            yield Broken(where=place, why=entry)
            continue
        waba_id = text(entry.get("id")) or ""
        for where, item in _each(entry, "changes", f"{place}."):
            if isinstance(item, str):
                yield Broken(waba_id=waba_id, where=where, why=item)
            else:
                yield from _change(item, waba_id, where)


def _change(item: Json, waba_id: str, where: str) -> Iterator[Event]:
    field, value = item.get("field"), item.get("value")
    if not isinstance(field, str) or not isinstance(value, dict):
        yield Broken(waba_id=waba_id, where=where, why="no value" if isinstance(field, str) else "no field")
        return
    where = f"{where}.value"
    # What the owner of a thread gets directly, an observer gets one level deeper.
    nested = value.get("standby") if field == "standby" else None
    if isinstance(nested, dict):
        value, where = {**value, **nested}, f"{where}.standby"
    metadata, contacts = child(value, "metadata"), value.get("contacts")
    change = Change(
        field=field,
        value=value,
        waba_id=waba_id,
        phone_number_id=number(metadata.get("phone_number_id")) or "",
        own_number=text(metadata.get("display_phone_number")),
        contacts=list(map(who_in, contacts)) if isinstance(contacts, list) else [],
    )
    if field in _SINGLES:
        try:
            yield _SINGLES[field](change)
        except Unreadable as error:
            yield _broken(change, where, str(error))
    else:
        yield from _lists(change, where)


def _lists(change: Change, where: str) -> Iterator[Event]:
    readers = _LISTS.get(change.field, {})
    present = [name for name in readers if change.value.get(name) not in (None, [])]
    if not present:
        yield Ignored(waba_id=change.waba_id, phone_number_id=change.phone_number_id, field=change.field)
    for name in present:
        read, items = readers[name], change.value[name]
        if not isinstance(items, list):
            yield _broken(change, f"{where}.{name}", _NO_ARRAY)
            continue
        change.count = len(items)
        for change.index, item in enumerate(items):
            try:
                yield (
                    read(change, item)
                    if isinstance(item, dict)
                    else _broken(change, f"{where}.{name}[{change.index}]", _NO_OBJECT)
                )
            except Unreadable as error:
                yield _broken(change, f"{where}.{name}[{change.index}]", str(error))


def _each(parent: Json, name: str, prefix: str) -> Iterator[tuple[str, Json | str]]:
    items = parent.get(name)
    if not isinstance(items, list):
        yield f"{prefix}{name}", _NO_ARRAY
        return
    for index, item in enumerate(items):
        yield f"{prefix}{name}[{index}]", item if isinstance(item, dict) else _NO_OBJECT


def _broken(change: Change, where: str, why: str) -> Broken:
    return Broken(waba_id=change.waba_id, phone_number_id=change.phone_number_id, where=where, why=why)


def _decode_leniently(body: bytes) -> Any:
    """Read what is JSON but for half an emoji, a stray byte or a number out of range: a thousand updates hang on it."""
    try:
        return json.loads(body.decode("utf-8", "replace"), parse_float=_number, parse_int=_number, parse_constant=_not_json)
    except (ValueError, RecursionError):
        raise NotAWebhook("the body is not JSON") from None


def _number(written: str) -> Any:
    """A number that is out of range stays as it is written, which every reader takes."""
    try:
        return _decode(written)
    except ValueError:
        return written


def _not_json(constant: str) -> NoReturn:
    raise NotAWebhook(f"{constant} is not JSON")
