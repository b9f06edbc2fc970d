"""Own what of a send's body decides: kind, recipient, template, category; and which bodies Meta would refuse at once."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from gatekeeper.core.checks import TITLES, Component
from gatekeeper.meta.addresses import faults
from gatekeeper.meta.bids import BID, read_multiplier
from gatekeeper.meta.bodies import Members, UnreadableBody, parsed, present, read, read_nested, read_nested_object
from gatekeeper.meta.components import read_components
from gatekeeper.meta.ways import NEEDS, PRODUCT, STRINGS, differ, ways

INVALID_PARAMETER = 100
MISSING_PARAMETER = 131008
INVALID_VALUE = 131009
UNSUPPORTED_TYPE = 131051
BSUID_NOT_SUPPORTED = 131062

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

    def __init__(self, code: int, details: str, *, title: str | None = None, is_missing: bool = False) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.title = TITLES[code] if title is None else title
        self.details = details
        self.is_missing = is_missing or code == MISSING_PARAMETER or title is not None


def decode_send(body: bytes, *, content_type: str = "application/json", query: str = "", marketing_api: bool = False) -> Send:
    """
    Read a send; MalformedSend when it is none, with the code that Meta would answer.

    Graph takes parameters from the *query* too, and does not say which of two wins: all ways of reading the request must agree.
    """
    try:
        first, *others = ways(body, content_type, query)
        try:
            send: Send | MalformedSend = _send(first, marketing_api=marketing_api)
        except MalformedSend as error:
            send = error
        for members in others:
            if not _agrees(members, send, marketing_api=marketing_api):
                raise MalformedSend(INVALID_PARAMETER, differ(first, members))
    except UnreadableBody as error:
        raise MalformedSend(INVALID_PARAMETER, str(error)) from None
    if isinstance(send, MalformedSend):
        raise send
    return send


def _agrees(members: Members, send: Send | MalformedSend, *, marketing_api: bool) -> bool:
    try:
        return _send(members, marketing_api=marketing_api) == send
    except MalformedSend as error:
        return error.is_missing or isinstance(send, MalformedSend)  # read so, nothing would be sent


def _send(members: Members, *, marketing_api: bool) -> Send:
    product = _value(members, PRODUCT)
    if product is None:
        raise _required(PRODUCT)
    if not isinstance(product, str) or product.lower() != "whatsapp":
        raise MalformedSend(INVALID_PARAMETER, f"The parameter {PRODUCT} must be whatsapp.", is_missing=True)
    type_ = _word(members, "type") or ("text" if present(members.get("text")) else None)
    if type_ is None:
        return _receipt(members, marketing_api=marketing_api)
    to, recipient = _to(members), _string(members, "recipient")
    if to is None and recipient is None:
        raise _required("to")
    if type_ in _INBOUND_ONLY:
        raise MalformedSend(UNSUPPORTED_TYPE, "The parameter type names a message that users send, and businesses do not.")
    content = _content(members, type_)
    group = _is_group(members)
    send = Send(
        kind=_KINDS.get(type_, Kind.FREE_FORM),
        type=type_,
        to=to,
        recipient=recipient,
        group=group,
        template=_string(content, "name") if type_ == "template" else None,
        language=_language(content) if type_ == "template" else None,
        direct_send=_direct_send(members, type_, to_bsuid=to is None),
        marketing_api=marketing_api,
        known_type=type_ in NEEDS,
        components=read_components(content.get("components")) if type_ == "template" else None,
        bid_multiplier=_bid_multiplier(members) if marketing_api else None,
    )
    wrong = faults(to, recipient, group=group)
    if wrong is not None:
        raise MalformedSend(INVALID_VALUE, wrong)
    return send


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
        if not isinstance(read_nested(raw), list):
            raise MalformedSend(INVALID_VALUE, "The parameter contacts must be an array.")
        return {}
    content = read_nested_object(raw)
    if content is None:
        raise MalformedSend(INVALID_VALUE, f"The parameter {type_} must be an object.")
    for names in needs:
        if not any(_given(content, name, type_) for name in names):
            raise MalformedSend(MISSING_PARAMETER, f"The parameter {type_}.{' or '.join(names)} is missing.")
    return content


def _given(content: Members, name: str, type_: str) -> bool:
    if name in STRINGS:
        return _string(content, name, within=f"{type_}.") is not None
    return present(content.get(name))


def _to(members: Members) -> str | None:
    value = _value(members, "to")
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return str(value)
    return _as_string(value, "to")


def _is_group(members: Members) -> bool:
    kind = _word(members, "recipient_type")
    if kind not in (None, "individual", "group"):
        raise MalformedSend(INVALID_PARAMETER, "The parameter recipient_type must be individual or group.")
    return kind == "group"


def _language(template: Members) -> str:
    value = parsed(_value(template, "language", within="template."))
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


def _value(members: Members, name: str, *, within: str = "") -> Any:
    raw = members.get(name)
    try:
        return read(raw) if raw is not None and present(raw) else None
    except UnreadableBody:
        raise MalformedSend(INVALID_PARAMETER, f"The parameter {within}{name} cannot be read.") from None


def _string(members: Members, name: str, *, within: str = "") -> str | None:
    return _as_string(_value(members, name, within=within), f"{within}{name}")


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
