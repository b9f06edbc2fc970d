"""
Own how a send of the Marketing Messages API changes its template's max price: `bid_spec.per_message_bid_multiplier`.

It is a positive number, 1 without one: 1.5 raises the max price by half. Source: Meta, "Set a max price for marketing messages",
copy of 2026-03-17.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

import msgspec

from gatekeeper.core.vocabulary import MICROS, money
from gatekeeper.meta.bodies import present, read_nested_object
from gatekeeper.meta.lenient import Json

BID = "bid_spec"
MULTIPLIER = "per_message_bid_multiplier"
# As JSON writes a number, or as a string of one; nothing else bounds how many digits a caller writes.
_NUMBER = re.compile(rb'("?)(\d{1,40}(?:\.\d{1,80})?(?:[eE][+-]?\d{1,3})?)\1')


def read_multiplier(bid_spec: msgspec.Raw | None) -> int | None:
    """Read the multiplier in millionths, rounded up; None: there is none. ValueError: it is no positive number."""
    if bid_spec is None or not present(bid_spec):
        return None
    members = read_nested_object(bid_spec)
    if members is None:
        raise ValueError(f"The parameter {BID} must be an object.")
    raw = members.get(MULTIPLIER)
    if raw is None or not present(raw):
        return None
    found = _NUMBER.fullmatch(bytes(raw).strip())
    if found is None:
        raise ValueError(_NOT_POSITIVE)
    multiplier = Fraction(found[2].decode())
    if not 0 < multiplier < _TOO_LARGE:
        raise ValueError(_NOT_POSITIVE)
    return math.ceil(multiplier * MICROS)


def write_multiplier(multiplier: int) -> Json:
    """Write a `bid_spec` that is read as this multiplier."""
    return {MULTIPLIER: money(multiplier)}


_TOO_LARGE = 10**9  # ours: no price times so much can be counted
_NOT_POSITIVE = f"The parameter {BID}.{MULTIPLIER} must be a positive number below {_TOO_LARGE}."
