"""Own what of a webhook is Meta's own word on a message, and which times in it are believed."""

from __future__ import annotations

from gatekeeper.core.recipients import canonical, digits, is_bsuid
from gatekeeper.core.word import Word
from gatekeeper.ledger.keys import DAY_MS
from gatekeeper.meta import events as meta

# A clock that is further ahead of ours is wrong, and nothing that Meta says the end of ends later than that.
_AHEAD_MS, _LATEST_END_MS = DAY_MS, 7 * DAY_MS

_LONGEST_ID = 128


def when(said: int | None, now: int) -> int:
    """
    Say when something was: as Meta says, or *now* where it says nothing, or what cannot be.

    What were opened in years to come would stay open until then, whatever Meta says in the meantime.
    """
    return now if said is None or said > now + _AHEAD_MS else said


def word_of(status: meta.Status, now: int) -> Word | None:
    """Give Meta's own word, wherever the status carries one."""
    pricing, conversation = status.pricing, status.conversation
    if pricing is None and conversation is None:
        return None
    origin, ends, name = (conversation.origin, conversation.expires_at, conversation.id) if conversation else (None, None, None)
    return Word(
        type=pricing.type if pricing else None,
        category=(pricing.category if pricing else None) or origin,
        model=pricing.model if pricing else None,
        expires_at=ends if ends is not None and ends <= now + _LATEST_END_MS else None,
        conversation=name[:_LONGEST_ID] if name else None,
    )


def billed_by(status: meta.Status) -> str:
    """Give the name whose market Meta bills: a member's own in a group; empty when the status names none."""
    name = (status.participant_id if status.group else status.recipient_id) or ""
    return digits(name) or (canonical(name) if is_bsuid(name) else "")
