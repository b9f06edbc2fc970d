"""Own what an account is: the WhatsApp Business Account whose time zone, currency and flags a decision follows."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

import msgspec

from gatekeeper.core.secret import Secret
from gatekeeper.core.vocabulary import Money

_Instant = Annotated[dt.datetime, msgspec.Meta(tz=True)]


class TemplateStatus(StrEnum):
    """
    A template's status, as Meta's template webhooks and listing name it.

    Source: Meta, "message_template_status_update" and "Template management", copies of October to December 2025.
    """

    APPROVED = "APPROVED"
    PENDING = "PENDING"
    REJECTED = "REJECTED"
    IN_APPEAL = "IN_APPEAL"
    PAUSED = "PAUSED"
    DISABLED = "DISABLED"
    PENDING_DELETION = "PENDING_DELETION"
    DELETED = "DELETED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    ARCHIVED = "ARCHIVED"


class TemplateCategory(StrEnum):
    """The three categories that a template can have."""

    MARKETING = "marketing"
    UTILITY = "utility"
    AUTHENTICATION = "authentication"


class HeaderFormat(StrEnum):
    """What a template's header is made of, where a send has to fill it in."""

    TEXT = "TEXT"
    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    DOCUMENT = "DOCUMENT"
    LOCATION = "LOCATION"


class ButtonKind(StrEnum):
    """A template's button that a send fills in."""

    URL = "url"
    OTP = "otp"
    COPY_CODE = "copy_code"


class Button(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Such a button, and its place among all buttons."""

    index: int
    kind: ButtonKind


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """
    What a send of a template has to fill in, as its components say.

    *body* and *header_parameters*: the names of the places in the text, `1`, `2` … unless they are *named*; None: they cannot be
    told. *header* None: there is none, or none that we know.
    """

    named: bool = False
    header: HeaderFormat | None = None
    header_parameters: tuple[str, ...] | None = ()
    body: tuple[str, ...] | None = ()
    buttons: tuple[Button, ...] = ()


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What is known of one template in one language; category and shape None: not known.

    *pending*: the category that it is about to get. *max_price*: what the Marketing Messages API may charge for it at most, times the
    multiplier of the recipient's country (ISO 3166), in *country_multipliers*, which are written and kept as amounts are.
    """

    name: str
    language: str
    category: TemplateCategory | None = None
    status: TemplateStatus = TemplateStatus.APPROVED
    pending: TemplateCategory | None = None
    max_price: Money | None = None
    country_multipliers: dict[str, Money] = {}
    shape: Shape | None = None


class Opening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    `[[account.opening]]`: what a gate that is adopted in the middle of a month has not seen.

    Either *free_used* of the free tier (of a number, where each number has its own), or *charged* messages of a volume tier.
    """

    month: str
    phone_number_id: str = ""
    free_used: int = 0
    category: str = ""
    market: str = ""
    charged: int = 0


class AuthenticationInternational(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    `[account.authentication_international]`: from when on a business pays that rate, and where it is at home (ISO 3166).

    A home that Meta has not verified is empty: nowhere is at home then. Source: Meta, "Authentication-international rates",
    copy of 2025-12-12.
    """

    start_time: _Instant
    primary_location: str = ""
    exception_countries: dict[str, _Instant] = {}

    def applies(self, country: str | None, at: int) -> bool:
        """Whether a message to *country* that is delivered *at* is charged so."""
        if country is None or country == self.primary_location:
            return False
        return at >= _millis(self.exception_countries.get(country, self.start_time))


_zone = lru_cache(maxsize=1024)(zoneinfo.ZoneInfo)


def _millis(instant: dt.datetime) -> int:
    return (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[account]]`: one WhatsApp Business Account."""

    waba_id: str
    timezone: str = "UTC"
    currency: str = "USD"
    phone_number_ids: tuple[str, ...] = ()
    portfolio_id: str = ""
    access_token: Secret = Secret("")
    inject_token: bool = False
    direct_send: bool = False
    ai_provider: bool = False
    service_exempt: bool = False
    takes_threads: bool = True
    marketing_on_messages: bool = True
    payment_method: bool = True
    authentication_international: AuthenticationInternational | None = None
    template: tuple[Template, ...] = ()
    opening: tuple[Opening, ...] = ()

    @property
    def lends(self) -> bool:
        """Whether its sends go out by its own token, whoever's they are."""
        return self.inject_token and bool(self.access_token)

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The time zone that bounds this account's days and months."""
        return _zone(self.timezone)

    @property
    def portfolio(self) -> str:
        """The portfolio whose shared state this account's sends touch; a WABA without one is its own."""
        return self.portfolio_id or self.waba_id
