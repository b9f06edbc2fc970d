"""
Own what of a send and of a webhook is kept in a record: what the gate read of it, written as its caller or Meta would write it.

A record is written from what was read and never from the body itself, so that no content, no profile's name and no member that we do
not know can be in it. Where content has to be for the body to be one, there is a dash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gatekeeper.core.checks import Component, Parameter
from gatekeeper.meta.bids import BID, write_multiplier
from gatekeeper.meta.lenient import Json
from gatekeeper.meta.paths import Target
from gatekeeper.meta.responses import Answer
from gatekeeper.meta.rewriting import LONGEST_PARAMETER, Written, as_template
from gatekeeper.meta.sends import (
    BSUID_NOT_SUPPORTED,
    INVALID_PARAMETER,
    INVALID_VALUE,
    MISSING_PARAMETER,
    UNSUPPORTED_TYPE,
    Kind,
    Send,
)
from gatekeeper.meta.ways import NEEDS

_DASH = "-"
_OTHER = "other"
_APIS = {False: "messages", True: "marketing_messages"}
_LISTED = "contacts"  # the type whose content is an array
_KEPT_COMPONENTS = frozenset({"header", "body", "button", "footer", "carousel", "limited_time_offer", "order_status"})
_KEPT_PARAMETERS = frozenset(
    {"text", "image", "video", "document", "location", "currency", "date_time", "payload", "coupon_code", "action", "product"}
)
_HEAD: Json = {"messaging_product": "whatsapp"}

# A body for each code that Meta would refuse it with: what was wrong with the body itself may be anything.
MALFORMED: dict[int, Json] = {
    INVALID_PARAMETER: {},
    MISSING_PARAMETER: {**_HEAD, "to": _DASH, "type": "text"},
    INVALID_VALUE: {**_HEAD, "to": [_DASH], "type": "text"},
    UNSUPPORTED_TYPE: {**_HEAD, "to": _DASH, "type": "system"},
    BSUID_NOT_SUPPORTED: {
        **_HEAD,
        "recipient": _DASH,
        "type": "text",
        "text": {"body": _DASH},
        "category": "authentication",
    },
}


class Names(Protocol):
    """What stands in a record for the names of users and messages."""

    def recipient(self, name: str, /) -> str:
        """What stands for a user, under any spelling of a name; or for a group."""

    def message(self, wamid: str, /) -> str:
        """What stands for a message's id."""


class Plain:
    """Names that stand for themselves."""

    @staticmethod
    def recipient(name: str) -> str:
        return name

    @staticmethod
    def message(wamid: str) -> str:
        return wamid


def path_of(target: Target) -> str:
    """Write the path of a send: a version and a prefix decide nothing, and a query may hold a token."""
    return f"/{target.phone_number_id}/{_APIS[target.marketing_api]}"


def fits(written: Written | None) -> bool:
    """Whether a text can be the parameter of a template that goes out in its place."""
    if written is None or len(written.body) <= LONGEST_PARAMETER:  # no letter is shorter than a byte
        return True
    return as_template(written, name=_DASH, language=_DASH, text_parameter=True) is not None


def kept_send(send: Send, names: Names, *, fits: bool = True) -> Json:
    """Write a body that is read as this send is; a text that does not fit into a template's parameter stays too long."""
    if send.kind is Kind.NOT_A_MESSAGE:
        return {**_HEAD, "status": send.type, "message_id": _DASH}
    type_ = send.type if send.known_type else _OTHER
    content: Any = [] if type_ == _LISTED else {group[0]: _DASH for group in NEEDS.get(type_, ())}
    if send.kind is Kind.TEMPLATE:
        content = {"name": send.template, "language": {"code": send.language}, **_components(send.components)}
    elif type_ == "text" and not fits:
        content["body"] = _DASH * (LONGEST_PARAMETER + 1)
    said: Json = {
        "recipient_type": "group" if send.group else None,
        "to": _named(names, send.to),
        "recipient": _named(names, send.recipient),
        "type": type_,
        "category": send.direct_send,
        type_: content,
        BID: None if send.bid_multiplier is None else write_multiplier(send.bid_multiplier),
    }
    return {**_HEAD, **{member: value for member, value in said.items() if value is not None}}


def kept_answer(answer: Answer, names: Names) -> Json:
    """Write what Meta called the recipient, and the message."""
    contacts = [
        {"input": names.recipient(one.input), "wa_id": _named(names, one.wa_id), "user_id": _named(names, one.user_id)}
        for one in answer.contacts
    ]
    messages = [] if answer.wamid is None else [{"id": names.message(answer.wamid)}]
    return {**_HEAD, "contacts": [{k: v for k, v in one.items() if v is not None} for one in contacts], "messages": messages}


def _named(names: Names, name: str | None) -> str | None:
    return None if name is None else names.recipient(name)


def _components(components: Sequence[Component] | None) -> Json:
    """Components of the same kinds and numbers; what could not be read cannot be read again."""
    if components is None:
        return {"components": _DASH}
    return {"components": [_component(component) for component in components]} if components else {}


def _component(component: Component) -> Json:
    parameters = None if component.parameters is None else [_parameter(one) for one in component.parameters]
    return {
        "type": component.kind if component.kind in _KEPT_COMPONENTS else _OTHER,
        "index": component.index,
        "parameters": _DASH if parameters is None else parameters,
    }


def _parameter(parameter: Parameter) -> Json:
    kind = parameter.kind if parameter.kind in _KEPT_PARAMETERS or not parameter.kind else _OTHER
    said: Json = {"type": kind or None, "parameter_name": _DASH if parameter.name else None}
    return {**said, "text": ""} if parameter.empty else said
