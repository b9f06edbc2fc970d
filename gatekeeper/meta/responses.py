"""Own the answer to a send: the ids that Meta gives to a message and its recipient, or Meta's error."""

from __future__ import annotations

import msgspec

from gatekeeper.meta.lenient import Json, children, integer, text

UNKNOWN_ERROR = -1
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class AnsweredContact(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient as the caller wrote it, and what Meta calls it; `wa_id` is missing from an answer to a BSUID."""

    input: str
    wa_id: str | None = None
    user_id: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What Meta answered; `error_code` is set when it refused, whatever the HTTP status."""

    wamid: str | None = None
    contacts: tuple[AnsweredContact, ...] = ()
    error_code: int | None = None
    success: bool | None = None


class _Contact(msgspec.Struct):
    input: str = ""
    wa_id: str | None = None
    user_id: str | None = None


class _Message(msgspec.Struct):
    id: str


class _Taken(msgspec.Struct):
    """The answer that nearly all sends get; it has neither of the last two."""

    messages: tuple[_Message, ...]
    contacts: tuple[_Contact, ...] = ()
    error: None = None
    success: None = None


_taken = msgspec.json.Decoder(_Taken).decode


def decode_answer(body: bytes) -> Answer | None:
    """Read Meta's answer; None when it is not JSON or says nothing that we know."""
    try:
        taken = _taken(body)
    except (ValueError, RecursionError):
        return _leniently(body.removeprefix(_BYTE_ORDER_MARK))
    if not taken.messages or not (wamid := text(taken.messages[0].id)):
        return _leniently(body)
    return Answer(wamid=wamid, contacts=tuple(map(_named, taken.contacts)))


def _leniently(body: bytes) -> Answer | None:
    try:
        payload = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(payload, dict):
        return None
    success = payload.get("success")
    answer = Answer(
        wamid=next(filter(None, (text(message.get("id")) for message in children(payload, "messages"))), None),
        contacts=tuple(_contact(contact) for contact in children(payload, "contacts")),
        error_code=_error_code(payload),
        success=success if isinstance(success, bool) else None,
    )
    return answer if answer != _NOTHING else None


_NOTHING = Answer()


def _contact(contact: Json) -> AnsweredContact:
    return AnsweredContact(
        input=text(contact.get("input")) or "",
        wa_id=text(contact.get("wa_id")),
        user_id=text(contact.get("user_id")),
    )


def _named(contact: _Contact) -> AnsweredContact:
    return AnsweredContact(input=text(contact.input) or "", wa_id=text(contact.wa_id), user_id=text(contact.user_id))


def _error_code(payload: Json) -> int | None:
    error = payload.get("error")
    if not isinstance(error, dict):
        return None
    code = integer(error.get("code"))
    return UNKNOWN_ERROR if code is None else code
