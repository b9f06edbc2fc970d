"""Own how a settlement is said in a status: its `pricing` and `conversation`. What it comes to, the engine knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import CONVERSATION, Clock, conversation
from gatekeeper.core.word import REFERRAL

Json = dict[str, Any]

EXPIRY = "expiration_timestamp"
_MINUTE_MS = 60_000
# Beside a clock's end the ledger keeps what tells since when it is open.
_SINCE = "<"


class _Open(msgspec.Struct, frozen=True):
    """A clock of the thread that is open, and since when."""

    clock: str
    since: int
    ends: int


def charge(settlement: Settlement, clocks: Mapping[str, str], *, counted: bool, group: bool, thread: str) -> Json:
    """
    Say what a delivered message came to.

    *clocks* are its thread's, once it is delivered; *counted*: Meta counts it to a conversation. Per-message prices come with a
    conversation only for a free entry point. *thread* tells one's conversations from another's.
    """
    free_entry = settlement.category == REFERRAL
    found = _joined(settlement, clocks) if counted or free_entry else None
    category = settlement.category or (found.clock.removeprefix(CONVERSATION) if found else None)
    pricing: Json = {"billable": bool(settlement.charged), "pricing_model": "CBP" if counted else "PMP"}
    if not counted:
        free = "free_group_customer_service" if group else "free_customer_service"
        pricing["type"] = "free_entry_point" if free_entry else "regular" if settlement.charged else free
    pricing["category"] = category
    if found is None:
        return {"pricing": pricing}
    expiry = str(-(-found.ends // _MINUTE_MS) * _MINUTE_MS // 1000)
    name = hashlib.sha256(f"{thread}:{found.clock}:{found.since}".encode()).hexdigest()[:32]
    return {"conversation": {"id": name, EXPIRY: expiry, "origin": {"type": category}}, "pricing": pricing}


def later(charge: Json) -> Json:
    """What a status after `sent` says of the same message: the expiry is not repeated."""
    if "conversation" not in charge:
        return charge
    return {**charge, "conversation": {name: value for name, value in charge["conversation"].items() if name != EXPIRY}}


def _joined(settlement: Settlement, clocks: Mapping[str, str]) -> _Open | None:
    """The conversation that a message is counted to; of several that a free-form message may join, the youngest."""
    if settlement.category == REFERRAL:
        named: str | None = Clock.FREE_ENTRY_POINT
    else:
        named = conversation(settlement.category) if settlement.category else None
    found = [
        _Open(clock, int(clocks[clock + _SINCE]), int(ends))
        for clock, ends in clocks.items()
        if clock + _SINCE in clocks and (clock == named if named else clock.startswith(CONVERSATION))
    ]
    return max((one for one in found if one.ends > settlement.at), key=lambda one: one.since, default=None)
