"""Own how the traffic of a number becomes events: messages, what became of ours, and calls."""

from __future__ import annotations

from typing import Any

from gatekeeper.meta.change import Change, Unreadable, Who, named
from gatekeeper.meta.events import (
    Call,
    Conversation,
    Event,
    Ignored,
    Inbound,
    Pricing,
    Status,
    SystemChange,
)
from gatekeeper.meta.lenient import Json, child, children, first, integer, millis, text, word

UNKNOWN_TYPE = "unknown"
# Our own name of a type: `config/platform.toml` has it among those that open no window.
AUTOMATIC_REPLY = "automatic_call_permission_reply"

_LONGEST_WISH = 40
_WISHES: dict[Any, tuple[str, ...]] = {
    "text": ("text", "body"),
    "button": ("button", "text"),
    "interactive": ("interactive", "button_reply", "title"),
}
_CALLING = {None, "connect", "call_created", "terminate"}
_GROUP_MEMBERS = frozenset({"group_id", "recipient_participant_id", "participant_recipient_id", "recipient_participant_user_id"})


def inbound(change: Change, message: Json) -> Event:
    """
    Read a message of a user; what WhatsApp itself says about the user comes in the same place.

    A message from the business's own number is an echo of one of ours, and says nothing of a user.
    """
    if change.is_ours(text(message.get("from"))):
        return Ignored(waba_id=change.waba_id, phone_number_id=change.phone_number_id, field=change.field)
    if message.get("type") == "system":
        return _system_change(change, message)
    group_id, kind = text(message.get("group_id")), text(message.get("type"))
    who = change.who(
        wa_id=message.get("from"),
        user_id=message.get("from_user_id"),
        parent_user_id=message.get("from_parent_user_id"),
    )
    if group_id is None:
        named(who)
    return Inbound(
        waba_id=change.waba_id,
        phone_number_id=change.phone_number_id,
        wamid=text(message.get("id")) or "",
        at=_moment(message),
        wa_id=who.wa_id,
        user_id=who.user_id,
        parent_user_id=who.parent_user_id,
        group_id=group_id,
        type=AUTOMATIC_REPLY if _is_automatic(message) else kind or UNKNOWN_TYPE,
        from_ad="referral" in message and word(child(message, "referral").get("source_type")) == "ad",
        standby=change.field == "standby",
        own_number=change.own_number,
        wish=_wish(message, kind),
    )


def _is_automatic(message: Json) -> bool:
    """Whether it is an answer to a request to call that no user gave: WhatsApp gives one after calls that were not taken."""
    return word(child(child(message, "interactive"), "call_permission_reply").get("response_source")) == "automatic"


def _wish(message: Json, kind: str | None) -> str:
    said: Any = message if kind in _WISHES else ""
    for member in _WISHES.get(kind, ()):
        said = said.get(member) if isinstance(said, dict) else None
    return wish(said) if isinstance(said, str) else ""


def wish(said: str) -> str:
    """What a user wrote or tapped, if it may be a single word that means something: longer texts are nobody's business here."""
    return said.strip() if len(said) <= _LONGEST_WISH else ""


def status(change: Change, item: Json) -> Event:
    """
    Read what became of a message of ours; the contacts beside it name its recipient, or the group's member.

    What is said of something else than a message, as of a payment, is not about delivery.
    """
    about = word(item.get("type"))
    if about is not None and about != "message":
        return Ignored(waba_id=change.waba_id, phone_number_id=change.phone_number_id, field="statuses.type")
    wamid, state = text(item.get("id")), word(item.get("status"))
    if wamid is None:
        raise Unreadable("no id")
    if state is None:
        raise Unreadable("no status")
    group = word(item.get("recipient_type")) == "group" or not _GROUP_MEMBERS.isdisjoint(item)
    who = _member(change, item) if group else _recipient(change, item)
    return Status(
        waba_id=change.waba_id,
        phone_number_id=change.phone_number_id,
        wamid=wamid,
        status=state,
        at=millis(item.get("timestamp")),
        recipient_id=first(item, "recipient_id", "group_id") if group else who.wa_id,
        user_id=None if group else who.user_id,
        parent_user_id=None if group else who.parent_user_id,
        group=group,
        participant_id=who.wa_id or who.user_id if group else None,
        conversation=conversation_of(child(item, "conversation")) if "conversation" in item else None,
        pricing=pricing_of(child(item, "pricing")) if "pricing" in item else None,
        error_codes=_error_codes(item) if "errors" in item else (),
    )


def call(change: Change, item: Json) -> Event:
    """
    Read an event of a call: the end of one names its beginning, and news of its recording is none.

    A call from our own number is ours, whatever is said of its direction; that may be left out.
    """
    if word(item.get("event")) not in _CALLING:
        return Ignored(waba_id=change.waba_id, phone_number_id=change.phone_number_id, field=change.field)
    by_user = word(item.get("direction")) != "business_initiated" and not change.is_ours(text(item.get("from")))
    user = "from" if by_user else "to"
    return _call(
        change,
        who=change.who(
            wa_id=item.get(user), user_id=item.get(f"{user}_user_id"), parent_user_id=item.get(f"{user}_parent_user_id")
        ),
        at=millis(item.get("start_time")) or _moment(item),
        by_user=by_user,
        accepted=False,
    )


def call_status(change: Change, item: Json) -> Event:
    """Read what a user did with a call of ours."""
    return _call(
        change,
        who=_recipient(change, item),
        at=_moment(item),
        by_user=False,
        accepted=word(item.get("status")) == "accepted",
    )


def _moment(item: Json) -> int:
    at = millis(item.get("timestamp"))
    if at is None:
        raise Unreadable("no timestamp")
    return at


def _recipient(change: Change, item: Json) -> Who:
    return change.who(
        wa_id=item.get("recipient_id"),
        user_id=item.get("recipient_user_id"),
        parent_user_id=first(item, "parent_recipient_user_id", "recipient_parent_user_id", "parent_user_id"),
    )


def _member(change: Change, item: Json) -> Who:
    return change.who(
        wa_id=first(item, "recipient_participant_id", "participant_recipient_id"),
        user_id=item.get("recipient_participant_user_id"),
    )


def conversation_of(item: Json) -> Conversation | None:
    """Read the conversation that Meta counts a message in, if it says anything of one."""
    if not item:
        return None
    return Conversation(
        id=text(item.get("id")),
        expires_at=millis(item.get("expiration_timestamp")),
        origin=word(child(item, "origin").get("type")),
    )


def pricing_of(item: Json) -> Pricing | None:
    """Read Meta's word on a price, if it says anything."""
    if not item:
        return None
    model = word(item.get("pricing_model"))
    return Pricing(
        type=word(item.get("type")),
        category=word(item.get("category")),
        model=model.upper() if model else None,
        subtype=word(item.get("subtype")),
    )


def _error_codes(item: Json) -> tuple[int, ...]:
    codes = (integer(error.get("code")) for error in children(item, "errors"))
    return tuple(code for code in codes if code is not None)


def _call(change: Change, *, who: Who, at: int, by_user: bool, accepted: bool) -> Call:
    if by_user or accepted:
        named(who)
    return Call(
        waba_id=change.waba_id,
        phone_number_id=change.phone_number_id,
        at=at,
        wa_id=who.wa_id,
        user_id=who.user_id,
        parent_user_id=who.parent_user_id,
        by_user=by_user,
        accepted=accepted,
    )


def _system_change(change: Change, message: Json) -> SystemChange:
    """Whose names the sender's are is said of the number only, so an id that stands as the new one too is no old one."""
    system = child(message, "system")
    new = {name: text(system.get(name)) for name in ("user_id", "parent_user_id")}
    sender = {name: text(message.get(f"from_{name}")) for name in new}
    old = {name: text(system.get(f"previous_{name}")) or (sender[name] if sender[name] != new[name] else None) for name in new}
    return SystemChange(
        waba_id=change.waba_id,
        phone_number_id=change.phone_number_id,
        kind=word(system.get("type")) or UNKNOWN_TYPE,
        at=millis(message.get("timestamp")),
        wa_id=text(message.get("from")) or text(system.get("customer")),
        **old,
        new_wa_id=first(system, "wa_id", "new_wa_id"),
        new_user_id=new["user_id"],
        new_parent_user_id=new["parent_user_id"],
    )
