"""
Own what becomes of a text that waits for its recipient to answer, and the one table of moves that it may make.

    waiting ──▶ claimed ──▶ sending ──▶ sent
       ▲ │         │  └────────┼──────▶ failed
       │ │         └───────────┤  └───▶ unknown
       │ └──▶ expired          │
       └───────────────────────┘ put back: it certainly was not sent

A claim that ended without a word was not sent, and is anybody's. A sending that ended so may have been, and nobody repeats it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class TextState(StrEnum):
    """Where a text is."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Turn(StrEnum):
    """What moves one that was claimed."""

    SEND = "send"
    PUT_BACK = "put_back"
    TAKEN = "taken"
    REFUSED = "refused"
    LOST = "lost"


class Passing(msgspec.Struct, frozen=True):
    """The states that a turn may leave, and the one that it leads to."""

    leaving: tuple[TextState, ...]
    to: TextState

    @property
    def ends(self) -> bool:
        """Whether the text waits no longer."""
        return self.to not in (TextState.WAITING, TextState.SENDING)


# Who was thought to be lost may come back with Meta's answer.
PASSINGS: dict[Turn, Passing] = {
    Turn.SEND: Passing((TextState.CLAIMED,), TextState.SENDING),
    Turn.PUT_BACK: Passing((TextState.CLAIMED, TextState.SENDING), TextState.WAITING),
    Turn.TAKEN: Passing((TextState.SENDING, TextState.UNKNOWN), TextState.SENT),
    Turn.REFUSED: Passing((TextState.CLAIMED, TextState.SENDING, TextState.UNKNOWN), TextState.FAILED),
    Turn.LOST: Passing((TextState.SENDING,), TextState.UNKNOWN),
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """
    A text that is to wait, as it is kept.

    *owner*: the decision that brings it. At most so many of a thread wait, until *deadline*, for *clock* to open. Who asks has
    *patience* to do so; *look*: how long until a list is looked at again. *proof*: the digest of the token that it came with, which
    is not kept if the recipient was asked by the same. *named*: what Meta called the recipient then.
    """

    owner: str
    most: int
    deadline: int
    clock: str
    patience: int
    look: int
    lifetime: int
    proof: str = ""
    named: str = ""


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A text that is to wait: what is to be sent, and by which right."""

    id: str
    entry: Entry
    request: bytes
    secret: bytes


def told(state: TextState, *, deadline: int, lease: int, now: int) -> TextState:
    """Say where a text is, to who asks: what the next look at it will find is so already."""
    if state is TextState.SENDING:
        return TextState.SENDING if lease > now else TextState.UNKNOWN
    if state is TextState.CLAIMED and lease > now:
        return TextState.WAITING
    if state in (TextState.WAITING, TextState.CLAIMED):
        return TextState.WAITING if deadline > now else TextState.EXPIRED
    return state
