"""Own what of a send's body decides: kind, recipient, template, category; and which bodies Meta would refuse at once."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from gatekeeper.core.checks import TITLES, Component
from gatekeeper.core.recipients import is_bsuid, too_long
from gatekeeper.meta.batch import BATCHES, mentions
from gatekeeper.meta.bids import BID, read_multiplier
from gatekeeper.meta.bodies import Members, UnreadableBody, present, query_members, read, read_object, readings, spelled
from gatekeeper.meta.components import read_components

INVALID_PARAMETER = 100
MISSING_PARAMETER = 131008
INVALID_VALUE = 131009
UNSUPPORTED_TYPE = 131051
BSUID_NOT_SUPPORTED = 131062

# What Meta asks of the object under the type's own name: one name of each group.
_MEDIA = (("id", "link"),)
NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "text": (("body",),),
    "image": _MEDIA,
    "video": _MEDIA,
    "audio": _MEDIA,
    "document": _MEDIA,
    "sticker": _MEDIA,
    "location": (("latitude",), ("longitude",)),
    "contacts": (),
    "interactive": (("type",),),
    "reaction": (("message_id",),),
    "template": (("name",), ("language",)),
}
_STRINGS = frozenset({"body", "message_id", "name"})

_PRODUCT = "messaging_product"
# The parameters that decide: what stands under another spelling of one is neither read nor passed by.
_DECIDING = BATCHES.union(NEEDS, (_PRODUCT, "recipient_type", "to", "recipient", "type", "status", "message_id", "category", BID))
_TWO_WAYS = "The request can be read in two ways. Give each parameter once, all of them in the body."

_INBOUND_ONLY = frozenset(
    {"button", "edit", "ephemeral", "order", "request_welcome", "revoke", "system", "unknown", "unsupported"}
)

_DIRECT = ("utility", "authentication")
_NEVER_DIRECT = frozenset({"audio", "contacts", "location", "reaction", "sticker"})


class Kind(StrEnum):
    """What a send is to the rules: they ask of each what they ask of no other."""

    TEMPLATE = "template"
    FREE_FORM = "free_form"
    REACTION = "reaction"
    NOT_A_MESSAGE = "not_a_message"


_KINDS = {"template": Kind.TEMPLATE, "reaction": Kind.REACTION}


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """
    One request to the messages endpoint.

    `to` and `recipient` are as the caller wrote them; where both are, Meta sends to `to`. `known_type` is False for a type
    that Meta added after this was written: it is taken for a free-form message. `bid_multiplier`: by how many millionths the template's
    max price is multiplied, None where it is not.
    """

    kind: Kind
    type: str = ""
    to: str | None = None
    recipient: str | None = None
    group: bool = False
    template: str | None = None
    language: str | None = None
    direct_send: str | None = None
    marketing_api: bool = False
    known_type: bool = True
    components: tuple[Component, ...] | None = None
    bid_multiplier: int | None = None


class MalformedSend(Exception):  # noqa: N818  it is a refusal, not a fault
    """A body that Meta would refuse at once; `details` names the parameter, never its value."""

    def __init__(self, code: int, details: str, *, title: str | None = None) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.title = TITLES[code] if title is None else title
        self.details = details
        self.is_missing = code == MISSING_PARAMETER or title is not None


def decode_send(body: bytes, *, content_type: str = "application/json", query: str = "", marketing_api: bool = False) -> Send:
    """
    Read a send; MalformedSend when it is none, with the code that Meta would answer.

    Graph takes parameters from the *query* too, and does not say which of two wins: all ways of reading the request must agree.
    """
    try:
        first, *others = _ways(body, content_type, query)
        send = _send(first, marketing_api=marketing_api)
        if not all(_agrees(members, send) for members in others):
            raise MalformedSend(INVALID_PARAMETER, _TWO_WAYS)
    except UnreadableBody as error:
        raise MalformedSend(INVALID_PARAMETER, str(error)) from None
    return send


def _ways(body: bytes, content_type: str, query: str) -> list[Members]:
    """What the parameters of a request may be: those of the body with those of the query, without them, or overruled by them."""
    told = {name: raw for name, raw in query_members(query).items() if spelled(name) in _DECIDING} if query else {}
    bodies = readings(body, content_type) if body.strip() or not told else [{}]
    if told:
        bodies = [way for members in bodies for way in (told | members, members, members | told)]
    for members in bodies:
        _plainly_one(members)
    if len(bodies) == 1:
        return bodies
    # A reading that nobody can take for a message says nothing beside one that is.
    return [members for members in bodies if _names_product(members)] or bodies[:1]


def _plainly_one(members: Members) -> None:
    """Refuse what is not one message, and in a message what one server takes for a parameter and another does not."""
    message = _names_product(members)
    for name, raw in members.items():
        parameter = spelled(name)
        if parameter in BATCHES and present(raw) and (message or mentions(name.encode() + bytes(raw), "relative_url")):
            raise MalformedSend(INVALID_PARAMETER, "A batch is not one message. Send each message by itself.")
        if message and parameter in _DECIDING and name != parameter:
            raise MalformedSend(INVALID_PARAMETER, f"The parameter {parameter} must be written just so.")


def _names_product(members: Members) -> bool:
    return any(spelled(name) == _PRODUCT for name in members)


def _agrees(members: Members, send: Send) -> bool:
    try:
        return _send(members, marketing_api=send.marketing_api) == send
    except MalformedSend as error:
        return error.is_missing  # read so, nothing would be sent


def _send(members: Members, *, marketing_api: bool) -> Send:
    product = _value(members, _PRODUCT)
    if not isinstance(product, str) or product.lower() != "whatsapp":
        raise _required(_PRODUCT)
    type_ = _word(members, "type") or ("text" if present(members.get("text")) else None)
    if type_ is None:
        return _receipt(members, marketing_api=marketing_api)
    to, recipient = _to(members), _string(members, "recipient")
    if to is None and recipient is None:
        raise _required("to")
    for name, value in (("to", to), ("recipient", recipient)):
        if too_long(value or ""):
            raise MalformedSend(INVALID_VALUE, f"The parameter {name} is too long.")
    if type_ in _INBOUND_ONLY:
        raise MalformedSend(UNSUPPORTED_TYPE, "Users send messages of this type, businesses do not.")
    content = _content(members, type_)
    return Send(
        kind=_KINDS.get(type_, Kind.FREE_FORM),
        type=type_,
        to=to,
        recipient=recipient,
        group=_is_group(members),
        template=_string(content, "name") if type_ == "template" else None,
        language=_language(content) if type_ == "template" else None,
        direct_send=_direct_send(members, type_, to_bsuid=to is None),
        marketing_api=marketing_api,
        known_type=type_ in NEEDS,
        components=read_components(content.get("components")) if type_ == "template" else None,
        bid_multiplier=_bid_multiplier(members) if marketing_api else None,
    )


def _receipt(members: Members, *, marketing_api: bool) -> Send:
    status = _word(members, "status")
    if status is None or any(present(members.get(type_)) for type_ in NEEDS):  # no message passes for a receipt
        raise MalformedSend(MISSING_PARAMETER, "The parameter type is missing.")
    if status != "read":
        raise MalformedSend(INVALID_PARAMETER, "The parameter status must be read.")
    if _string(members, "message_id") is None:
        raise MalformedSend(MISSING_PARAMETER, "The parameter message_id is missing.")
    return Send(kind=Kind.NOT_A_MESSAGE, type="read", marketing_api=marketing_api)


def _content(members: Members, type_: str) -> Members:
    needs = NEEDS.get(type_)
    if needs is None:
        return {}
    raw = members.get(type_)
    if raw is None or not present(raw):
        raise MalformedSend(MISSING_PARAMETER, f"The parameter {type_} is missing.")
    if type_ == "contacts":
        if not bytes(raw).startswith(b"["):
            raise MalformedSend(INVALID_VALUE, "The parameter contacts must be an array.")
        return {}
    content = read_object(raw)
    if content is None:
        raise MalformedSend(INVALID_VALUE, f"The parameter {type_} must be an object.")
    for names in needs:
        if not any(_given(content, name, type_) for name in names):
            raise MalformedSend(MISSING_PARAMETER, f"The parameter {type_}.{' or '.join(names)} is missing.")
    return content


def _given(content: Members, name: str, type_: str) -> bool:
    if name in _STRINGS:
        return _string(content, name, within=f"{type_}.") is not None
    return present(content.get(name))


def _to(members: Members) -> str | None:
    """Meta takes a BSUID here for a number that nobody has, answers with a message id and sends nothing (reported 2026-07-24)."""
    value = _value(members, "to")
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return str(value)
    to = _as_string(value, "to")
    if to is not None and is_bsuid(to.strip()):
        raise MalformedSend(INVALID_VALUE, "The parameter to takes a phone number. Put a business-scoped user ID into recipient.")
    return to


def _is_group(members: Members) -> bool:
    kind = _word(members, "recipient_type")
    if kind not in (None, "individual", "group"):
        raise MalformedSend(INVALID_PARAMETER, "The parameter recipient_type must be individual or group.")
    return kind == "group"


def _language(template: Members) -> str:
    value = _value(template, "language")
    code = value.get("code") if isinstance(value, dict) else value
    found = _as_string(code, "template.language.code")
    if found is None:
        raise MalformedSend(MISSING_PARAMETER, "The parameter template.language.code is missing.")
    return found


def _direct_send(members: Members, type_: str, *, to_bsuid: bool) -> str | None:
    if type_ == "template":
        return None
    value = _value(members, "category")
    category = value.lower() if isinstance(value, str) else value
    if category in (None, "", "service"):
        return None
    if category not in _DIRECT:
        raise MalformedSend(INVALID_PARAMETER, "The parameter category must be service, utility or authentication.")
    if type_ in _NEVER_DIRECT or (category == "authentication" and type_ != "text"):
        raise MalformedSend(INVALID_PARAMETER, "The parameter category does not go with this type of message.")
    if category == "authentication" and to_bsuid:
        raise MalformedSend(BSUID_NOT_SUPPORTED, "Authentication messages need a phone number under to.")
    return category


def _bid_multiplier(members: Members) -> int | None:
    try:
        return read_multiplier(members.get(BID))
    except ValueError as error:
        raise MalformedSend(INVALID_PARAMETER, str(error)) from None


def _value(members: Members, name: str) -> Any:
    raw = members.get(name)
    return read(raw) if raw is not None and present(raw) else None


def _string(members: Members, name: str, *, within: str = "") -> str | None:
    return _as_string(_value(members, name), f"{within}{name}")


def _as_string(value: object, name: str) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str):
        raise MalformedSend(INVALID_VALUE, f"The parameter {name} must be a string.")
    return value


def _word(members: Members, name: str) -> str | None:
    found = _string(members, name)
    return found.lower() if found else None


def _required(name: str) -> MalformedSend:
    message = f"The parameter {name} is required."
    return MalformedSend(INVALID_PARAMETER, message, title=message)
