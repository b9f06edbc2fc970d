"""
Own what a webhook can tell us: one struct for each thing that happened, in our words.

Times are Unix milliseconds. `wa_id`, `user_id` (a BSUID) and `parent_user_id` are names of one user; Meta may leave out any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="what", gc=False):
    """Where it happened; an id that the payload does not name is empty."""

    waba_id: str = ""
    phone_number_id: str = ""


class Inbound(_Event, frozen=True, kw_only=True):
    """
    A user wrote to us, to our *own_number*.

    Whether that opens a window depends on `type` and is not decided here; `wish` is what was written or tapped, if it is short.
    """

    wamid: str
    at: int
    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    group_id: str | None = None
    type: str
    from_ad: bool = False
    standby: bool = False
    own_number: str | None = None
    wish: str = ""


class SystemChange(_Event, frozen=True, kw_only=True):
    """A user changed number or BSUID: the old names, then the new ones."""

    kind: str
    at: int | None = None
    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    new_wa_id: str | None = None
    new_user_id: str | None = None
    new_parent_user_id: str | None = None


class Call(_Event, frozen=True, kw_only=True):
    """A call by the user, or the user's answer to a call of ours."""

    at: int
    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    by_user: bool
    accepted: bool


class Conversation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The conversation that Meta counts a message in; `expires_at` comes with the first status only."""

    id: str | None = None
    expires_at: int | None = None
    origin: str | None = None


class Pricing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Meta's word on the price; its `billable` is unreliable and left out."""

    type: str | None = None
    category: str | None = None
    model: str | None = None
    subtype: str | None = None


class Status(_Event, frozen=True, kw_only=True, tag="Status"):  # parked statuses in the ledger carry this tag
    """
    What became of a message of ours.

    In a group `recipient_id` is the group, `participant_id` the member (a BSUID when the number is hidden), and
    `user_id` stays empty: the group has none.
    """

    wamid: str
    status: str
    at: int | None = None
    recipient_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    group: bool = False
    participant_id: str | None = None
    conversation: Conversation | None = None
    pricing: Pricing | None = None
    error_codes: tuple[int, ...] = ()


class TemplateStatus(_Event, frozen=True, kw_only=True):
    """A template was approved, paused, disabled …; `title` says which pause it is. Without a language it is said of every one."""

    name: str
    language: str
    event: str
    title: str | None = None
    category: str | None = None


class TemplateCategory(_Event, frozen=True, kw_only=True):
    """The category of a template in force now, and the one that it is about to get."""

    name: str
    language: str
    category: str
    impending: str | None = None
    at: int | None = None


class TemplateQuality(_Event, frozen=True, kw_only=True):
    """How users like a template."""

    name: str
    language: str
    score: str


class Preference(_Event, frozen=True, kw_only=True):
    """A user stopped or resumed messages of a category."""

    at: int | None = None
    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    category: str
    stop: bool


class Handover(_Event, frozen=True, kw_only=True):
    """Control of a thread was taken from us, or passed to us."""

    at: int | None = None
    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    taken: bool


class InternationalRate(_Event, frozen=True, kw_only=True):
    """From when on an account pays the authentication-international rate; some countries have a time of their own."""

    start_time: int
    exceptions: dict[str, int]


class PrimaryLocation(_Event, frozen=True, kw_only=True):
    """The country (ISO 3166) that a business is at home in."""

    country: str


class VolumeTier(_Event, frozen=True, kw_only=True):
    """The volume tier that a portfolio has come to: its *first* message's number, in a month `2026-10`."""

    category: str
    region: str
    month: str
    first: int


class AccountUpdate(_Event, frozen=True, kw_only=True):
    """Something about the account changed; what it is depends on `event`."""

    event: str
    value: dict[str, Any]


class Ignored(_Event, frozen=True, kw_only=True):
    """A change that says nothing to us."""

    field: str


class Broken(_Event, frozen=True, kw_only=True):
    """An item that could not be read; `why` never carries content or a number."""

    where: str
    why: str


Event: TypeAlias = (
    Inbound
    | SystemChange
    | Call
    | Status
    | TemplateStatus
    | TemplateCategory
    | TemplateQuality
    | Preference
    | Handover
    | InternationalRate
    | PrimaryLocation
    | VolumeTier
    | AccountUpdate
    | Ignored
    | Broken
)


class Label(StrEnum):
    """The values of the label `event` of `gatekeeper_webhook_events`, and the kinds in the log: they stay whatever a class is called."""

    INBOUND = "inbound"
    SYSTEM_CHANGE = "system_change"
    CALL = "call"
    STATUS = "status"
    TEMPLATE_STATUS = "template_status"
    TEMPLATE_CATEGORY = "template_category"
    TEMPLATE_QUALITY = "template_quality"
    PREFERENCE = "preference"
    HANDOVER = "handover"
    INTERNATIONAL_RATE = "international_rate"
    PRIMARY_LOCATION = "primary_location"
    VOLUME_TIER = "volume_tier"
    ACCOUNT_UPDATE = "account_update"
    IGNORED = "ignored"
    BROKEN = "broken"
    OUT_OF_TIME = "out_of_time"
    UNKNOWN_TIER = "unknown_tier"
    UNREADABLE = "unreadable"
    UNKEPT = "unkept"


LABELS: dict[type, Label] = {
    Inbound: Label.INBOUND,
    SystemChange: Label.SYSTEM_CHANGE,
    Call: Label.CALL,
    Status: Label.STATUS,
    TemplateStatus: Label.TEMPLATE_STATUS,
    TemplateCategory: Label.TEMPLATE_CATEGORY,
    TemplateQuality: Label.TEMPLATE_QUALITY,
    Preference: Label.PREFERENCE,
    Handover: Label.HANDOVER,
    InternationalRate: Label.INTERNATIONAL_RATE,
    PrimaryLocation: Label.PRIMARY_LOCATION,
    VolumeTier: Label.VOLUME_TIER,
    AccountUpdate: Label.ACCOUNT_UPDATE,
    Ignored: Label.IGNORED,
    Broken: Label.BROKEN,
}


def kinds(events: Sequence[Event]) -> dict[str, int]:
    """How many there are of each kind, by its label."""
    counts: dict[str, int] = {}
    for event in events:
        kind = LABELS[type(event)].value
        counts[kind] = counts.get(kind, 0) + 1
    return counts
