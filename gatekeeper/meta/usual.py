"""
Own the usual webhook, read in one go: messages of users, and what became of ours, each member written as Meta documents it.

Nearly all webhooks are so. Whatever holds anything else is left to `webhooks`, which reads item by item; an item that is rare here is
read as it is there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import msgspec

from gatekeeper.meta import traffic
from gatekeeper.meta.change import Change, Unreadable, Who
from gatekeeper.meta.events import Conversation, Event, Ignored, Inbound, Pricing, Status
from gatekeeper.meta.lenient import Json, Text, millis, number, word

_FIELD = "messages"
_SYSTEM, _TEXT, _INDIVIDUAL = "system", "text", "individual"
_NOTHING = msgspec.Raw()
_LONGEST_KEPT = 256


class _Body(msgspec.Struct, gc=False):
    body: str


class _Message(msgspec.Struct, gc=False):
    """What stands under a name without a type here is rare."""

    timestamp: Text
    from_: Text = msgspec.field(name="from", default=None)
    from_user_id: Text = None
    from_parent_user_id: Text = None
    id: Text = None
    type: Text = None
    text: _Body | None = None
    group_id: msgspec.Raw = _NOTHING
    system: msgspec.Raw = _NOTHING
    referral: msgspec.Raw = _NOTHING
    button: msgspec.Raw = _NOTHING
    interactive: msgspec.Raw = _NOTHING


class _Status(msgspec.Struct, gc=False):
    """The same."""

    id: Text
    status: Text
    timestamp: Text = None
    recipient_id: Text = None
    recipient_user_id: Text = None
    parent_recipient_user_id: Text = None
    recipient_parent_user_id: Text = None
    parent_user_id: Text = None
    recipient_type: Text = None
    type: Text = None
    pricing: msgspec.Raw = _NOTHING
    conversation: msgspec.Raw = _NOTHING
    errors: msgspec.Raw = _NOTHING
    group_id: msgspec.Raw = _NOTHING
    recipient_participant_id: msgspec.Raw = _NOTHING
    participant_recipient_id: msgspec.Raw = _NOTHING
    recipient_participant_user_id: msgspec.Raw = _NOTHING


class _Metadata(msgspec.Struct, gc=False):
    phone_number_id: Text = None
    display_phone_number: Text = None


_UNSAID = _Metadata()


class _Value(msgspec.Struct, gc=False):
    metadata: _Metadata | None = None
    contacts: list[Who] | None = None
    messages: list[_Message] | None = None
    statuses: list[_Status] | None = None


class _Change(msgspec.Struct, gc=False):
    field: Literal["messages"]
    value: _Value


class _Entry(msgspec.Struct, gc=False):
    changes: list[_Change]
    id: Text = None


class _Payload(msgspec.Struct, gc=False):
    entry: list[_Entry]
    object: Literal["whatsapp_business_account"] = "whatsapp_business_account"


_decode = msgspec.json.Decoder(_Payload).decode
_decode_any = msgspec.json.Decoder().decode
_millis = lru_cache(maxsize=1024)(millis)  # many were sent in one second


def usual_webhook(body: bytes) -> list[Event] | None:
    """Read a usual webhook as events, in its order; None: look closer."""
    found: list[Event] = []
    try:
        for entry in _decode(body).entry:
            waba_id = entry.id or ""
            for change in entry.changes:
                _read(change.value, waba_id, found)
    except (ValueError, RecursionError, Unreadable):
        return None
    return found


def _read(value: _Value, waba_id: str, found: list[Event]) -> None:
    metadata = value.metadata or _UNSAID
    change = Change(
        field=_FIELD,
        value={},
        waba_id=waba_id,
        phone_number_id=number(metadata.phone_number_id) or "",
        own_number=metadata.display_phone_number,
        contacts=value.contacts or [],
    )
    if value.messages:
        change.count = len(value.messages)
        for change.index, message in enumerate(value.messages):
            found.append(_inbound(change, message))
    if value.statuses:
        change.count = len(value.statuses)
        for change.index, status in enumerate(value.statuses):
            found.append(_status(change, status))
    if not (value.messages or value.statuses):
        found.append(Ignored(waba_id=waba_id, phone_number_id=change.phone_number_id, field=_FIELD))


def _inbound(change: Change, message: _Message) -> Event:
    kind, at = message.type, _millis(message.timestamp)
    usual = message.group_id is message.system is message.referral is message.button is message.interactive is _NOTHING
    if not usual or at is None or kind == _SYSTEM or change.is_ours(message.from_):
        return traffic.inbound(change, _item(message))
    who = change.completed(message.from_, message.from_user_id, message.from_parent_user_id)
    if not who.known:
        raise Unreadable
    return Inbound(
        waba_id=change.waba_id,
        phone_number_id=change.phone_number_id,
        wamid=message.id or "",
        at=at,
        wa_id=who.wa_id,
        user_id=who.user_id,
        parent_user_id=who.parent_user_id,
        type=kind or traffic.UNKNOWN_TYPE,
        own_number=change.own_number,
        wish=traffic.wish(message.text.body) if kind == _TEXT and message.text is not None else "",
    )


def _status(change: Change, status: _Status) -> Event:
    usual = (
        status.errors
        is status.group_id
        is status.recipient_participant_id
        is status.participant_recipient_id
        is status.recipient_participant_user_id
        is _NOTHING
    )
    wamid, state = status.id, word(status.status)
    if not usual or wamid is None or state is None or status.type is not None or status.recipient_type not in (None, _INDIVIDUAL):
        return traffic.status(change, _item(status))
    who = change.completed(
        status.recipient_id,
        status.recipient_user_id,
        status.parent_recipient_user_id or status.recipient_parent_user_id or status.parent_user_id,
    )
    return Status(
        waba_id=change.waba_id,
        phone_number_id=change.phone_number_id,
        wamid=wamid,
        status=state,
        at=_millis(status.timestamp),
        recipient_id=who.wa_id,
        user_id=who.user_id,
        parent_user_id=who.parent_user_id,
        conversation=None if status.conversation is _NOTHING else _conversation(status.conversation),
        pricing=None if status.pricing is _NOTHING else _pricing(status.pricing),
    )


def _pricing(written: msgspec.Raw) -> Pricing | None:
    text = bytes(written)
    return _kept_pricing(text) if len(text) <= _LONGEST_KEPT else _read_pricing(text)


def _read_pricing(text: bytes) -> Pricing | None:
    found = _decode_any(text)
    return traffic.pricing_of(found) if isinstance(found, dict) else None


_kept_pricing = lru_cache(maxsize=256)(_read_pricing)  # few things are said of a price, and each of many messages


def _conversation(written: msgspec.Raw) -> Conversation | None:
    found = _decode_any(written)
    return traffic.conversation_of(found) if isinstance(found, dict) else None


def _item(members: msgspec.Struct) -> Json:
    """An item as it was written, as far as anyone reads it."""
    named = zip(members.__struct_encode_fields__, msgspec.structs.astuple(members), strict=True)
    return {name: _plain(value) for name, value in named if value is not None and value is not _NOTHING}


def _plain(value: object) -> Any:
    if isinstance(value, msgspec.Raw):
        return _decode_any(value)
    return {"body": value.body} if isinstance(value, _Body) else value
