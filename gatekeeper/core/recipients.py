"""
Own the names of a recipient: which texts are phone numbers, which are BSUIDs, and which of them are one and the same user.

A key made here is for looking up only: the caller's own `to` goes upstream as it came.
"""

from __future__ import annotations

import re

_PUNCTUATION = str.maketrans("", "", "+-().\u2010\u2011 \u00a0\t\n\r")
_SHORTEST, _LONGEST = 5, 20
# ISO country, a dot, and up to 128 alphanumerics; `.ENT.` marks one that several linked portfolios share.
# Source: Meta, "Business-scoped user IDs", copy of 2026-02-06.
_BSUID = re.compile(r"[A-Za-z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")
# Countries where one mobile has two spellings: what is kept of one, and what goes between to make the other.
# Source: Meta, "Send messages", copy of 2025-11-04: it may add or drop the extra prefix of a Brazilian or Mexican number.
# Argentina's is seen in webhooks, while only the short form can be sent to.
_TWINS = {
    "52": (re.compile(r"(52)1(\d{10})"), ""),
    "54": (re.compile(r"(54)9(\d{10})"), ""),
    "55": (re.compile(r"(55\d\d)([6-9]\d{7})"), "9"),
}
_CALLING_CODE = 2
_HEAD, _TAIL = 4, 2
_MASKABLE = 10


def digits(text: str) -> str | None:
    """Read a phone number as bare digits, as Meta does: plus, hyphens, brackets, dots and spaces fall away. None: not one."""
    number = text if text.isdigit() else text.translate(_PUNCTUATION)
    return number if _SHORTEST <= len(number) <= _LONGEST and number.isascii() and number.isdigit() else None


def is_bsuid(text: str) -> bool:
    """Say whether *text* has the shape of a business-scoped user id, a parent's included."""
    return _BSUID.fullmatch(text) is not None


def canonical(text: str) -> str:
    """Name the user behind *text*: all spellings of a phone number give one key, and so does either case of a BSUID's country."""
    number = digits(text)
    if number is None:
        name = text.strip()
        return name[:2].upper() + name[2:] if is_bsuid(name) else name
    twin = _TWINS.get(number[:_CALLING_CODE])
    found = twin and twin[0].fullmatch(number)
    return f"{found[1]}{twin[1]}{found[2]}" if twin and found else number


def masked(recipient: str) -> str:
    """Write *recipient* for a log: enough to recognise a known one, never enough to learn one (`4915…78`)."""
    name = digits(recipient) or recipient.strip()
    if len(name) < _MASKABLE:
        return "…"
    return f"{name[:_HEAD]}…{name[-_TAIL:]}"
