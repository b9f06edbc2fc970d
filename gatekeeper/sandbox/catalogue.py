"""
Own what exists in the sandbox: accounts and templates, under keys that never meet the gate's.

The sandbox is another customer of the gate's own engine. Configured portfolios are digits, so a prefix keeps its state apart.
"""

from __future__ import annotations

import hashlib

import msgspec

from gatekeeper.core.accounts import Account, Button, ButtonKind, HeaderFormat, Shape, Template, TemplateCategory
from gatekeeper.settings import Policy, Settings

APART = "sandbox-"
UNNAMED_WABA = "100000000000000"
"""The account of every phone number that no configured account names."""

BUILT_IN = (
    Template(name="hello_world", language="en_US", category=TemplateCategory.UTILITY),
    Template(name="order_update", language="en_US", category=TemplateCategory.UTILITY),
    Template(name="summer_sale", language="en_US", category=TemplateCategory.MARKETING),
    Template(name="login_code", language="en_US", category=TemplateCategory.AUTHENTICATION),
    # What these ask for is told, so that a send has to hand it over; the others take whatever comes.
    Template(
        name="delivery_photo",
        language="en_US",
        category=TemplateCategory.UTILITY,
        shape=Shape(header=HeaderFormat.IMAGE, body=("1", "2"), buttons=(Button(index=1, kind=ButtonKind.URL),)),
    ),
    Template(
        name="appointment_reminder",
        language="en_US",
        category=TemplateCategory.UTILITY,
        shape=Shape(named=True, header=HeaderFormat.TEXT, header_parameters=("place",), body=("first_name", "time")),
    ),
    Template(
        name="one_time_password",
        language="en_US",
        category=TemplateCategory.AUTHENTICATION,
        shape=Shape(body=("1",), buttons=(Button(index=0, kind=ButtonKind.OTP),)),
    ),
)
_LINE_DIGITS = 7


class Catalogue:
    """The accounts of one configuration, as the sandbox has them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        accounts = [_completed(account) for account in settings.account]
        self._by_number = {number: account for account in accounts for number in account.phone_number_ids}
        self._templates = {account.waba_id: account.template for account in accounts}

    def account(self, phone_number_id: str) -> Account:
        """The account that a phone number belongs to."""
        unnamed = Account(waba_id=UNNAMED_WABA, phone_number_ids=(phone_number_id,), portfolio_id=phone_number_id)
        return self._by_number.get(phone_number_id) or _completed(unnamed)

    def settings(self, phone_number_id: str) -> Settings:
        """What an engine for one phone number is made from: Meta refuses what is wrong, whatever the gate's own policy."""
        policy = Policy(reaction_opens_window=self._settings.policy.reaction_opens_window)
        return msgspec.structs.replace(self._settings, account=(self.account(phone_number_id),), policy=policy)

    def templates(self, waba_id: str) -> tuple[Template, ...]:
        """The templates of an account."""
        return self._templates.get(waba_id, BUILT_IN)

    def has(self, phone_number_id: str, name: str | None, language: str | None) -> bool:
        """Say whether a phone number's account has a template in a language."""
        return any((t.name, t.language) == (name, language) for t in self.account(phone_number_id).template)


def line(phone_number_id: str) -> str:
    """The number behind a phone number id, made up from it: +1 555, which nobody has."""
    return "1555" + fingerprint(phone_number_id, digits=_LINE_DIGITS)


def fingerprint(*parts: str, digits: int) -> str:
    """Digits that stand for *parts*: the same ones every time, in every process."""
    value = int.from_bytes(hashlib.sha256(":".join(parts).encode()).digest())
    return str(value % 10**digits).zfill(digits)


def _completed(account: Account) -> Account:
    """Add the built-in templates, and the category that Meta would know; what is neither of the others counts as marketing."""
    own = tuple(msgspec.structs.replace(t, category=t.category or TemplateCategory.MARKETING) for t in account.template)
    named = {(t.name, t.language) for t in own}
    built_in = tuple(t for t in BUILT_IN if (t.name, t.language) not in named)
    return msgspec.structs.replace(account, portfolio_id=APART + account.portfolio, template=own + built_in)
