"""Own the policy: what operations may tune, key by key."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from gatekeeper.core.checks import Checks
from gatekeeper.core.vocabulary import Duration, Mode, Money, Size

# The longest name of a calling system, and of a rule or budget: both stand in headers and on metrics.
LONGEST_CALLER, LONGEST_NAME = 64, 100


class ColdStart(StrEnum):
    """What an unseen window is before the ledger has watched long enough."""

    UNKNOWN = "unknown"
    CLOSED = "closed"


class LedgerFailure(StrEnum):
    """What becomes of a send while the ledger is out of reach."""

    ALLOW = "allow"
    BLOCK = "block"


class Window(StrEnum):
    """The customer service window, as a rule asks for it."""

    OPEN = "open"
    CLOSED = "closed"


class Action(StrEnum):
    """What a rule does with the send that it matches."""

    BLOCK = "block"
    ALLOW = "allow"


class Counted(StrEnum):
    """Whose a budget is: one counter for each."""

    PORTFOLIO = "portfolio"
    WABA = "waba"
    PHONE_NUMBER = "phone_number"
    CALLER = "caller"
    RECIPIENT = "recipient"


class Period(StrEnum):
    """How long a budget is for, in the account's time zone."""

    DAY = "day"
    MONTH = "month"


_DAY_MS = 86_400_000


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


# Any of these. Nothing in a list would be none of them, and nobody means that.
Named: TypeAlias = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Rule(_Section, frozen=True, kw_only=True):
    """`[[policy.rule]]`: every condition given must hold; a list means any of."""

    name: str
    category: Named = ()
    market: Named = ()
    window: Window | None = None
    caller: Named = ()
    phone_number_id: Named = ()
    template: Named = ()
    price_above: Money | None = None
    action: Action = Action.BLOCK
    mode: Mode = Mode.ENFORCE
    message: str = ""


class Budget(_Section, frozen=True, kw_only=True):
    """`[[policy.budget]]`: the most that may be spent; one name and counter for each of its scope."""

    name: str
    scope: Counted
    period: Period
    limit: Money
    category: Named = ()
    mode: Mode = Mode.ENFORCE


class Limits(_Section, frozen=True, kw_only=True):
    """`[policy.limits]`: the platform's own limits, kept before Meta has to; absent: not kept."""

    throughput: int | None = None
    pair_rate: bool = False
    messaging_limit: int | None = None
    marketing_hold: bool = False
    mode: Mode = Mode.ENFORCE


class _Instead(_Section, frozen=True, kw_only=True):
    """The template that goes out where a free-form message may not, and for whom."""

    template: str
    language: str
    text_parameter: bool = False
    caller: Named = ()
    phone_number_id: Named = ()

    def is_for(self, *, caller: str, phone_number_id: str) -> bool:
        """Whether it is for this caller and number."""
        return (not self.caller or caller in self.caller) and (
            not self.phone_number_id or phone_number_id in self.phone_number_id
        )


class Fallback(_Instead, frozen=True, kw_only=True):
    """`[[policy.fallback]]`: the template that a free-form text outside the window goes out as."""


class Hold(_Instead, frozen=True, kw_only=True):
    """
    `[[policy.hold]]`: a free-form message outside the window waits until the recipient answers the template that asks for it.

    It waits no longer than *deadline*; so many for each recipient, of so many bytes each.
    """

    deadline: Duration = Duration(_DAY_MS)
    max_texts: int = 20
    max_bytes: Size = Size(64 << 10)


class Policy(_Section, frozen=True, kw_only=True):
    """`[policy]`."""

    mode: Mode = Mode.ENFORCE
    cold_start: ColdStart = ColdStart.UNKNOWN
    ledger_failure: LedgerFailure = LedgerFailure.ALLOW
    reaction_opens_window: bool = False
    opt_out_keywords: tuple[str, ...] = ()
    opt_in_keywords: tuple[str, ...] = ()
    rule: tuple[Rule, ...] = ()
    budget: tuple[Budget, ...] = ()
    limits: Limits = Limits()
    hold: tuple[Hold, ...] = ()
    fallback: tuple[Fallback, ...] = ()
    checks: Checks = Checks()

    @property
    def asks(self) -> bool:
        """Whether anything of it looks at a send."""
        return bool(self.rule or self.budget or self.limits != Limits())


def hold(policy: Policy, *, caller: str, phone_number_id: str) -> Hold | None:
    """The first hold that is for this caller and number."""
    return next((one for one in policy.hold if one.is_for(caller=caller, phone_number_id=phone_number_id)), None)


def fallback(policy: Policy, *, caller: str, phone_number_id: str) -> Fallback | None:
    """The first fallback that is for this caller and number."""
    return next((one for one in policy.fallback if one.is_for(caller=caller, phone_number_id=phone_number_id)), None)
