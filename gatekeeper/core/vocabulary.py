"""
Own the words of the public contract: verdicts, reasons, modes, and what a refused caller is told.

Everything here is closed and stable: a name on this page is a header value, a JSON value or a metric label.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache

import msgspec

MICROS = 1_000_000


class Verdict(StrEnum):
    """What happens to a send (contract section 4)."""

    ALLOW = "allow"
    BLOCK = "block"
    ANNOTATE = "annotate"
    REWRITE = "rewrite"


class Reason(StrEnum):
    """Why it happens (contract section 5)."""

    NOT_A_MESSAGE = "not_a_message"
    FREE_REACTION = "free_reaction"
    INSIDE_OPEN_CONVERSATION = "inside_open_conversation"
    OPENS_CONVERSATION = "opens_conversation"
    FREE_ENTRY_POINT = "free_entry_point"
    OPENS_FREE_ENTRY_POINT = "opens_free_entry_point"
    FREE_CUSTOMER_SERVICE = "free_customer_service"
    WITHIN_FREE_TIER = "within_free_tier"
    EXEMPT = "exempt"
    CHARGED_MESSAGE = "charged_message"
    WINDOW_UNKNOWN = "window_unknown"

    OUTSIDE_CUSTOMER_SERVICE_WINDOW = "outside_customer_service_window"
    TEMPLATE_NOT_FOUND = "template_not_found"
    TEMPLATE_PAUSED = "template_paused"
    TEMPLATE_DISABLED = "template_disabled"
    RECIPIENT_OPTED_OUT = "recipient_opted_out"
    MARKETING_TEMPLATES_ONLY = "marketing_templates_only"
    DIRECT_SEND_NOT_ENABLED = "direct_send_not_enabled"
    THREAD_OWNED_ELSEWHERE = "thread_owned_elsewhere"
    MALFORMED_REQUEST = "malformed_request"
    POLICY_RULE = "policy_rule"
    BUDGET_EXHAUSTED = "budget_exhausted"
    THROUGHPUT_LIMIT = "throughput_limit"
    PAIR_RATE_LIMIT = "pair_rate_limit"
    MESSAGING_LIMIT = "messaging_limit"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"


class PriceBound(StrEnum):
    """How far the price on a decision can be trusted (contract section 4)."""

    EXACT = "exact"
    AT_MOST = "at-most"
    UNKNOWN = "unknown"


class State(StrEnum):
    """What the ledger could say (contract section 4)."""

    WARM = "warm"
    COLD = "cold"
    DEGRADED = "degraded"


class Mode(StrEnum):
    """Whether a refusal is kept or only said (contract section 9)."""

    ENFORCE = "enforce"
    ANNOTATE = "annotate"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a refused caller is told: Meta's code, HTTP status, title and advice."""

    code: int
    title: str
    details: str
    http_status: int = 400
    type: str = "OAuthException"

    @property
    def message(self) -> str:
        """Meta's `error.message`: the code in brackets, then the title."""
        return f"(#{self.code}) {self.title}"


REFUSALS: dict[Reason, Refusal] = {
    Reason.OUTSIDE_CUSTOMER_SERVICE_WINDOW: Refusal(
        code=131047,
        title="Re-engagement message",
        details="More than 24 hours have passed since the recipient last wrote to this number. Send a template message instead.",
    ),
    Reason.TEMPLATE_NOT_FOUND: Refusal(
        code=132001,
        title="Template name does not exist in the translation",
        details="No approved template has this name and language. Check both, and the template's status.",
        http_status=404,
    ),
    Reason.TEMPLATE_PAUSED: Refusal(
        code=132015,
        title="Template is paused",
        details="Meta has paused this template for low quality. Send another template, or wait until it is active again.",
    ),
    Reason.TEMPLATE_DISABLED: Refusal(
        code=132016,
        title="Template is disabled",
        details="Meta has disabled this template for good. Create a new template with other content.",
    ),
    Reason.RECIPIENT_OPTED_OUT: Refusal(
        code=131050,
        title="Unable to deliver the message",
        details="This recipient has stopped marketing messages from this number. Send none until they resume.",
    ),
    Reason.MARKETING_TEMPLATES_ONLY: Refusal(
        code=134100,
        title="Only marketing messages supported",
        details="/marketing_messages takes approved marketing templates only. Send this one to /messages.",
    ),
    Reason.DIRECT_SEND_NOT_ENABLED: Refusal(
        code=100,
        title="Invalid parameter",
        details="The 'category' value requires Direct Send, which is not enabled for this account.",
    ),
    Reason.THREAD_OWNED_ELSEWHERE: Refusal(
        code=131070,
        title="Thread is owned by another partner",
        details="Another partner holds this thread and this account does not take threads over. Take the thread first.",
    ),
    Reason.MALFORMED_REQUEST: Refusal(code=100, title="Invalid parameter", details="The request body is not a valid message."),
    Reason.POLICY_RULE: Refusal(
        code=900001,
        title="Blocked by policy",
        details="A rule of this gate's policy forbids this message.",
        type="GatekeeperException",
    ),
    Reason.BUDGET_EXHAUSTED: Refusal(
        code=900002,
        title="Budget exhausted",
        details="A budget of this gate's policy cannot pay for this message. Messages that are free still go out.",
        type="GatekeeperException",
    ),
    Reason.MESSAGING_LIMIT: Refusal(
        code=900003,
        title="Messaging limit reached",
        details="The portfolio has reached as many recipients outside a window as its messaging limit allows in 24 hours.",
        type="GatekeeperException",
    ),
    Reason.THROUGHPUT_LIMIT: Refusal(
        code=130429,
        title="Rate limit hit",
        details="The phone number sends more messages a second than its throughput allows. Send this one again later.",
    ),
    Reason.PAIR_RATE_LIMIT: Refusal(
        code=131056,
        title="(Business Account, Consumer Account) pair rate limit hit",
        details="Too many messages went from this number to this recipient in a short time. Send this one again later.",
    ),
    Reason.LEDGER_UNAVAILABLE: Refusal(
        code=900004,
        title="Gatekeeper's ledger is unavailable",
        details="The decision could not be made. The message was not sent; send it again later.",
        http_status=503,
        type="GatekeeperException",
    ),
    Reason.IDEMPOTENCY_CONFLICT: Refusal(
        code=900005,
        title="Idempotency key was used before",
        details="Another body was sent with this Idempotency-Key. Use a new key for a new message.",
        http_status=409,
        type="GatekeeperException",
    ),
}


MEANINGS: dict[Reason, str] = {
    Reason.NOT_A_MESSAGE: "a read receipt or typing indicator",
    Reason.FREE_REACTION: "a reaction, free for everyone",
    Reason.INSIDE_OPEN_CONVERSATION: "joins a conversation that is already open",
    Reason.OPENS_CONVERSATION: "opens a conversation (free for service conversations from November 2024)",
    Reason.FREE_ENTRY_POINT: "inside the free window after an ad",
    Reason.OPENS_FREE_ENTRY_POINT: "answers an ad, which opens that window",
    Reason.FREE_CUSTOMER_SERVICE: "free inside the customer service window (July 2025 to September 2026)",
    Reason.WITHIN_FREE_TIER: "one of this month's free messages or conversations",
    Reason.EXEMPT: "free because Meta exempts the account",
    Reason.CHARGED_MESSAGE: "charged by itself",
    Reason.WINDOW_UNKNOWN: "let out because the ledger cannot yet, or cannot now, say that the window is closed",
    Reason.OUTSIDE_CUSTOMER_SERVICE_WINDOW: "free-form while the customer service window is closed",
    Reason.TEMPLATE_NOT_FOUND: "no such template, or not approved, in that language",
    Reason.TEMPLATE_PAUSED: "the template is paused",
    Reason.TEMPLATE_DISABLED: "the template is disabled",
    Reason.RECIPIENT_OPTED_OUT: "marketing to a recipient who stopped it",
    Reason.MARKETING_TEMPLATES_ONLY: "`/marketing_messages` takes marketing templates only",
    Reason.DIRECT_SEND_NOT_ENABLED: "a free-form `category` on an account without Direct Send",
    Reason.THREAD_OWNED_ELSEWHERE: "another partner holds the thread, and the account does not take threads over",
    Reason.MALFORMED_REQUEST: (
        "a body that Meta would refuse, by its code: 100, 131008, 131009, 131021, 131051, 131061, 131062, 131063, 132000 or 132012"
    ),
    Reason.POLICY_RULE: "a rule of the policy",
    Reason.BUDGET_EXHAUSTED: "a budget of the policy cannot pay for it; what is expected to be free passes",
    Reason.THROUGHPUT_LIMIT: "more messages a second than `policy.limits.throughput`; `Retry-After` says when",
    Reason.PAIR_RATE_LIMIT: "more messages to one recipient than Meta takes (`policy.limits.pair_rate`); `Retry-After` says when",
    Reason.MESSAGING_LIMIT: "more recipients outside a window in 24 hours than `policy.limits.messaging_limit`",
    Reason.LEDGER_UNAVAILABLE: "the ledger is out of reach and `policy.ledger_failure` is `block`",
    Reason.IDEMPOTENCY_CONFLICT: "the `Idempotency-Key` was used for another body, or its first send has no known outcome",
}


class Money(int):
    """Micro-units of a currency, written as a plain decimal string."""


class Duration(int):
    """Milliseconds, written `250ms`, `5s`, `2m` or `1h`."""


class Size(int):
    """Bytes, written `512KiB` or `1MiB`."""


@lru_cache(maxsize=1024)
def money(micros: int) -> str:
    """Write micro-units of a currency as a plain decimal string without trailing zeros."""
    text = f"{Decimal(micros) / MICROS:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def micros(text: str) -> int:
    """Read a plain decimal string as micro-units; ValueError when it is not one or is finer than a micro-unit."""
    try:
        value = Decimal(text) * MICROS
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a decimal number") from None
    if not value.is_finite() or value != value.to_integral_value():
        raise ValueError(f"{text!r} is not a decimal number of at most six places")
    return int(value)


class Clock(StrEnum):
    """
    Something of a thread that is open until a moment; the value is the field's name in the ledger, short because it is stored often.

    Data files name the members in lower case. Conversations have one clock per category: `conversation`.
    """

    CUSTOMER_SERVICE_WINDOW = "csw"
    FREE_ENTRY_OFFER = "offer"
    FREE_ENTRY_POINT = "fep"
    THREAD_ELSEWHERE = "held"
    OPTED_OUT = "stop"
    MARKETING_HELD = "wait"


CONVERSATION = "c:"


def conversation(category: str) -> str:
    """The clock of an open conversation of *category*."""
    return CONVERSATION + category


class Product(StrEnum):
    """What a send is, before it is priced: the rows of a regime are for some of these."""

    MARKETING = "marketing"
    MARKETING_LITE = "marketing_lite"
    UTILITY = "utility"
    AUTHENTICATION = "authentication"
    AUTHENTICATION_INTERNATIONAL = "authentication_international"
    UNKNOWN = "unknown"
    SERVICE = "service"
    REACTION = "reaction"
    GENERAL_PURPOSE_AI = "general_purpose_ai"
    GROUP_MARKETING = "group_marketing"
    GROUP_UTILITY = "group_utility"
    GROUP_AUTHENTICATION = "group_authentication"
    GROUP_SERVICE = "group_service"
