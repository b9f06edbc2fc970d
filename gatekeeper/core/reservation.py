"""
Own what an allowed send holds, and the one table of moves that it may make.

    reserved ──accept──▶ accepted ──deliver──▶ settled
        │                   └─────fail─────▶ released ──deliver──▶ settled
        └──────refuse──────▶ released

A message may fail on one device of its recipient and be delivered to another, and Meta says so in either order: delivery wins.
What Meta has not named waits for a status that does, reserved or accepted, and lapses into released when none comes.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from gatekeeper.core.vocabulary import Product


class State(StrEnum):
    """Where a reservation is."""

    RESERVED = "reserved"
    ACCEPTED = "accepted"
    SETTLED = "settled"
    RELEASED = "released"


class Event(StrEnum):
    """What moves one."""

    ACCEPT = "accept"
    DELIVER = "deliver"
    FAIL = "fail"
    REFUSE = "refuse"
    LAPSE = "lapse"


class Move(msgspec.Struct, frozen=True):
    """The states that an event may leave, and the one that it leads to."""

    leaving: tuple[State, ...]
    to: State


MOVES: dict[Event, Move] = {
    Event.ACCEPT: Move((State.RESERVED,), State.ACCEPTED),
    Event.DELIVER: Move((State.ACCEPTED, State.RELEASED), State.SETTLED),
    Event.FAIL: Move((State.ACCEPTED,), State.RELEASED),
    Event.REFUSE: Move((State.RESERVED,), State.RELEASED),
    Event.LAPSE: Move((State.RESERVED, State.ACCEPTED), State.RELEASED),
}


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a reservation remembers of its send: what was sent, by whom, to whom and when; never what we concluded."""

    id: str
    phone_number_id: str
    recipient: str
    product: Product
    at: int
    group: bool = False
    caller: str = ""
    max_price: int | None = None
