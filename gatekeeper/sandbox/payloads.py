"""
Own the JSON that the sandbox speaks: answers to sends and the webhooks that follow, in the shapes that Meta writes.

Source: Meta, "Send messages", "Message status" and "Text messages" webhooks, copies of 2025-11 to 2026-05.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.recipients import digits, is_bsuid
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.meta.sends import INVALID_PARAMETER, Kind, MalformedSend, Send
from gatekeeper.meta.webhooks import WHATSAPP
from gatekeeper.sandbox.catalogue import fingerprint, line

Json = dict[str, Any]

_BSUID_DIGITS = 17
_PROFILE = {"name": "Sandbox customer"}
# A group has one member here, whom nobody can be: 555-0100 is kept for fiction.
_GROUP_MEMBER = "12125550100"
_WINDOW_CLOSED: Json = {
    "code": 131047,
    "title": "Re-engagement message",
    "message": "Re-engagement message",
    "error_data": {
        "details": "Message failed to send because more than 24 hours have passed since the customer last replied to this number."
    },
}


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Who a message is to or from: a number, a BSUID or both; or a group."""

    wa_id: str | None = None
    user_id: str | None = None
    group_id: str | None = None

    def contact(self) -> Json:
        """An item of `contacts` in a webhook."""
        return {"profile": _PROFILE} | _given(wa_id=self.wa_id, user_id=self.user_id)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What every status of one message says."""

    wamid: str
    user: User
    callback: str | None = None


def wamid() -> str:
    """Name a message; the name holds nobody's number, unlike Meta's."""
    return "wamid.HBgL" + secrets.token_hex(16).upper()


def customer(wa_id: str, account: Account, book: Rulebook) -> User:
    """The user behind a phone number; who has one BSUID for each portfolio, beginning with the user's country."""
    country = book.markets.country(wa_id)
    user_id = f"{country}.{fingerprint(account.portfolio, wa_id, digits=_BSUID_DIGITS)}" if country else None
    return User(wa_id=wa_id, user_id=user_id)


def addressed(send: Send, account: Account, book: Rulebook) -> User:
    """Whom a send is to; MalformedSend when that is nobody. Of a number and a BSUID the number counts."""
    written = send.to or send.recipient or ""
    if send.group:
        return User(group_id=written)
    if is_bsuid(written):
        return User(user_id=written)
    number = digits(written)
    if number is None:
        raise MalformedSend(INVALID_PARAMETER, "The parameter to is not a phone number.")
    return customer(number, account, book)


def answer(message: Message, send: Send) -> Json:
    """What an accepted send is answered."""
    user = message.user
    also = user.user_id if send.recipient else None
    contact = {"input": send.to or send.recipient} | _given(wa_id=user.wa_id, user_id=also if user.wa_id else user.user_id)
    said = {"id": message.wamid} | _given(group_id=user.group_id)
    if send.kind is Kind.TEMPLATE:
        said["message_status"] = "accepted"
    return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [said]}


def status(message: Message, state: str, at: int, charge: Json | None = None) -> Json:
    """The part of a webhook that says what became of a message; *charge* is its `pricing` and `conversation`."""
    item = {**_status(message, state, at), **(charge or {})}
    return {"contacts": [message.user.contact()], "statuses": [item]} if message.user.group_id is None else {"statuses": [item]}


def window_closed(message: Message, at: int) -> Json:
    """The part of a webhook that says that a free-form message came too late; it has no contacts."""
    return {"statuses": [{**_status(message, "failed", at), "errors": [_WINDOW_CLOSED]}]}


def inbound(user: User, text: str, at: int, *, ad: bool) -> Json:
    """The part of a webhook that brings a user's text, by way of an ad or not."""
    item: Json = {"from": user.wa_id} | _given(from_user_id=user.user_id)
    item |= {"id": wamid(), "timestamp": _seconds(at), "text": {"body": text}, "type": "text"}
    if ad:
        item["referral"] = {
            "source_url": "https://fb.me/sandbox",
            "source_id": "120000000000000000",
            "source_type": "ad",
            "headline": "Chat with us",
            "body": "An ad of the sandbox",
            "media_type": "image",
            "image_url": "https://scontent.example/ad.jpg",
            "ctwa_clid": secrets.token_urlsafe(24),
            "welcome_message": {"text": "Hi there! How can we help?"},
        }
    return {"contacts": [user.contact()], "messages": [item]}


def webhook(waba_id: str, phone_number_id: str, value: Json) -> Json:
    """Put *value* into its envelope."""
    metadata = {"display_phone_number": line(phone_number_id), "phone_number_id": phone_number_id}
    change = {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    return {"object": WHATSAPP, "entry": [{"id": waba_id, "changes": [change]}]}


def _status(message: Message, state: str, at: int) -> Json:
    user = message.user
    item: Json = {"id": message.wamid, "status": state, "timestamp": _seconds(at)}
    if user.group_id is None:
        item |= _given(recipient_id=user.wa_id, recipient_user_id=user.user_id)
    else:
        item |= {"recipient_type": "group", "recipient_id": user.group_id, "recipient_participant_id": _GROUP_MEMBER}
    return item | _given(biz_opaque_callback_data=message.callback)


def _seconds(at: int) -> str:
    """Round up to a second: what follows another thing is then never older than it, by however little."""
    return str(-(-at // 1000))


def _given(**members: str | None) -> Json:
    return {name: value for name, value in members.items() if value is not None}
