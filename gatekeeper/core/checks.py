"""
Own what Meta refuses for certain by the looks of a send: one row for each check, with Meta's code.

A send is held against a template's components only as far as both can be told; what is in doubt is let pass.
Sources: Meta, "Error codes", copies of 2025-12-12 and 2026-05-15, and the answers that developers report of it, 2023 to 2026. The titles
of 131061 and of 131063 to 131065 are ours: Meta's own were not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec

from gatekeeper.core.accounts import ButtonKind, HeaderFormat, Shape, Template, TemplateCategory, TemplateStatus
from gatekeeper.core.vocabulary import Reason, Refusal

TITLES = {
    100: "Invalid parameter",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131021: "Recipient cannot be sender",
    131051: "Unsupported message type",
    131061: "Templates with a max price are not supported on this endpoint",
    131062: "Business-scoped User ID (BSUID) recipients are not supported for this message.",
    131063: "Marketing templates are not supported on this endpoint for this account",
    131064: "Messaging limit reached because of template classification violations",
    131065: "Max price is not available in the recipient's country",
    132000: "Number of parameters does not match the expected number of params",
    132012: "Parameter format does not match format in the created template",
    138038: "Calling action by a responder that is not the primary one",
}
NOT_SENDABLE = {  # every other status is as good as no template in that language
    TemplateStatus.APPROVED: None,
    TemplateStatus.PAUSED: Reason.TEMPLATE_PAUSED,
    TemplateStatus.DISABLED: Reason.TEMPLATE_DISABLED,
}
_TEXT = "text"
_LOCALIZABLE = frozenset({_TEXT, "currency", "date_time"})  # what fills a place in a text
_BODY, _HEADER, _BUTTON = "body", "header", "button"
_FORMATS = frozenset(map(str, HeaderFormat))
_FILLED_IN = frozenset({ButtonKind.URL, ButtonKind.OTP})  # whether a coupon's code may be left to its example, Meta does not say


class Checks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[policy.checks]`: which of these refusals are ours; another is left to Meta."""

    sender_is_recipient: bool = True
    authentication_to_user_id: bool = True
    max_price_on_messages: bool = True
    max_price_to_user_id: bool = True
    parameter_text: bool = True
    header_format: bool = True
    parameter_names: bool = True
    parameter_count: bool = True
    button_parameter: bool = True


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a template send; an empty *kind* cannot be told. *empty*: a text of no letters."""

    kind: str
    name: str = ""
    empty: bool = False


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """One component of a template send; *index* and *parameters* None: they cannot be told."""

    kind: str
    index: int | None = None
    parameters: tuple[Parameter, ...] | None = ()


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """
    What of a send is checked.

    *sender* is our own number, empty while it is not known. *components* None: they cannot be told. *marketing_api*: it goes to
    `/marketing_messages`; *marketing_elsewhere*: that is where all of the account's marketing templates have to go.
    """

    recipient: str
    sender: str = ""
    to_user_id: bool = False
    group: bool = False
    components: tuple[Component, ...] | None = None
    marketing_api: bool = False
    marketing_elsewhere: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The first check that a send fails. *of_shape*: it rests on what is known of the template's components."""

    check: str
    refusal: Refusal
    of_shape: bool


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Meta's code, and the words that say what is wrong, if it is. *of_shape*: it is asked once the components are known."""

    code: int
    of_shape: bool = False
    fails: Callable[[Given, Template | None], str | None]


def find(checks: Checks, given: Given, template: Template | None) -> Finding | None:
    """Find the first of *checks* that a send fails; None: nothing is certain."""
    if given.marketing_elsewhere and not given.marketing_api and _is_sendable(template, TemplateCategory.MARKETING):
        return _NOT_HERE
    shaped = template is not None and template.shape is not None and template.status is TemplateStatus.APPROVED
    for name, check in _asked(checks, shaped=shaped):
        details = check.fails(given, template)
        if details is not None:
            refusal = Refusal(code=check.code, title=TITLES[check.code], details=details)
            return Finding(check=name, refusal=refusal, of_shape=check.of_shape)
    return None


@lru_cache(maxsize=64)
def _asked(checks: Checks, *, shaped: bool) -> tuple[tuple[str, Check], ...]:
    return tuple((name, check) for name, check in TABLE.items() if getattr(checks, name) and (shaped or not check.of_shape))


def _sender_is_recipient(given: Given, _: Template | None) -> str | None:
    same = given.sender and given.recipient == given.sender and not given.group
    return "The recipient is the number that the message is sent from." if same else None


def _authentication_to_user_id(given: Given, template: Template | None) -> str | None:
    """One-tap, zero-tap and copy-code templates all have such a button."""
    assert template is not None
    hands_over_a_code = any(button.kind is ButtonKind.OTP for button in _shape(template).buttons)
    if not given.to_user_id or template.category is not TemplateCategory.AUTHENTICATION or not hands_over_a_code:
        return None
    return "One-tap, zero-tap and copy-code authentication templates need a phone number under to."


def _max_price_on_messages(given: Given, template: Template | None) -> str | None:
    if given.marketing_api or not _has_max_price(template):
        return None
    return "A template with a max price is sent by /marketing_messages."


def _max_price_to_user_id(given: Given, template: Template | None) -> str | None:
    if not (given.marketing_api and given.to_user_id and _has_max_price(template)):
        return None
    return "A template with a max price needs a phone number under to."


def _has_max_price(template: Template | None) -> bool:
    """Whether it can be sent, and for a max price, which marketing alone has; one of another category is told so by mistake."""
    return template is not None and template.max_price is not None and _is_sendable(template, TemplateCategory.MARKETING, None)


def _is_sendable(template: Template | None, *categories: TemplateCategory | None) -> bool:
    return template is not None and template.category in categories and template.status is TemplateStatus.APPROVED


def _parameter_text(given: Given, _: Template | None) -> str | None:
    empty = any(parameter.empty for place in (_HEADER, _BODY) for parameter in _parameters(given, place) or ())
    return "Parameter of type text is missing text value" if empty else None


def _header_format(given: Given, template: Template | None) -> str | None:
    expected, parameters = _shape(template).header, _parameters(given, _HEADER)
    if expected is None or parameters is None:
        return None
    received = parameters[0].kind.upper() if parameters else "UNKNOWN"
    if expected is HeaderFormat.TEXT and not parameters:
        return None  # that is a matter of their number
    if parameters and (received not in _FORMATS or received == expected):
        return None
    return f"header: Format mismatch, expected {expected}, received {received}"


def _parameter_names(given: Given, template: Template | None) -> str | None:
    shape = _shape(template)
    if not shape.named:
        return None
    for place, names in _places(shape):
        parameters = _parameters(given, place) or ()
        if names and any(parameter.kind in _LOCALIZABLE and not parameter.name for parameter in parameters):
            return f"{place}: Parameter name is missing or empty"
    return None


def _parameter_count(given: Given, template: Template | None) -> str | None:
    for place, names in _places(_shape(template)):
        parameters = _parameters(given, place)
        if names is None or parameters is None or any(parameter.kind not in _LOCALIZABLE for parameter in parameters):
            continue
        if len(parameters) != len(names):
            counted = f"number of localizable_params ({len(parameters)})"
            return f"{place}: {counted} does not match the expected number of params ({len(names)})"
    return None


def _button_parameter(given: Given, template: Template | None) -> str | None:
    buttons = [component for component in given.components or () if component.kind == _BUTTON]
    if given.components is None or any(button.index is None or button.parameters is None for button in buttons):
        return None
    filled = {button.index for button in buttons if button.parameters}
    missing = [button.index for button in _shape(template).buttons if button.kind in _FILLED_IN and button.index not in filled]
    return f"buttons: Button at index {missing[0]} of type Url requires a parameter" if missing else None


def _shape(template: Template | None) -> Shape:
    assert template is not None
    assert template.shape is not None
    return template.shape


def _places(shape: Shape) -> tuple[tuple[str, tuple[str, ...] | None], ...]:
    """The texts of a template that have places to fill in, and the names of these."""
    header = shape.header_parameters if shape.header is HeaderFormat.TEXT else None
    return (_HEADER, header), (_BODY, shape.body)


def _parameters(given: Given, kind: str) -> tuple[Parameter, ...] | None:
    """The parameters of the one component of its kind; None: they cannot be told."""
    if given.components is None:
        return None
    found = [component for component in given.components if component.kind == kind]
    if len(found) > 1:
        return None
    return found[0].parameters if found else ()


TABLE: dict[str, Check] = {
    "sender_is_recipient": Check(code=131021, fails=_sender_is_recipient),
    "authentication_to_user_id": Check(code=131062, of_shape=True, fails=_authentication_to_user_id),
    "max_price_on_messages": Check(code=131061, fails=_max_price_on_messages),
    "max_price_to_user_id": Check(code=131062, fails=_max_price_to_user_id),
    "parameter_text": Check(code=131008, fails=_parameter_text),
    "header_format": Check(code=132012, of_shape=True, fails=_header_format),
    "parameter_names": Check(code=100, of_shape=True, fails=_parameter_names),
    "parameter_count": Check(code=132000, of_shape=True, fails=_parameter_count),
    "button_parameter": Check(code=131008, of_shape=True, fails=_button_parameter),
}

_NOT_HERE = Finding(  # its switch is the account's own `marketing_on_messages`
    check="marketing_on_messages",
    refusal=Refusal(
        code=131063,
        title=TITLES[131063],
        details="Meta takes this account's marketing templates on /marketing_messages alone.",
    ),
    of_shape=False,
)
