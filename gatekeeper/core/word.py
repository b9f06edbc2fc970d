"""Own Meta's own word on a message: what it charges the message as, and which conversation it counts the message in."""

from __future__ import annotations

import msgspec

from gatekeeper.core.regimes import Regime
from gatekeeper.core.vocabulary import Clock, conversation

REFERRAL = "referral_conversion"
_FREE_ENTRY = "free_entry_point"
_CONVERSATION_MODEL = "CBP"


class Word(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Meta's own word on a message: `pricing` and `conversation` (its id) of a status. *expires_at* in Unix milliseconds."""

    type: str | None = None
    category: str | None = None
    model: str | None = None
    expires_at: int | None = None
    conversation: str | None = None

    @property
    def free_entry(self) -> bool:
        """Whether the message counts as part of a free entry point."""
        return self.type == _FREE_ENTRY or self.category == REFERRAL

    def counts_conversations(self, regime: Regime) -> bool:
        """Whether Meta counts this message in a conversation: it says so, or says nothing and *regime* has them."""
        return self.model == _CONVERSATION_MODEL or (self.model is None and regime.has_conversations)

    @property
    def clock(self) -> str:
        """The clock that `expires_at` is the end of."""
        return Clock.FREE_ENTRY_POINT.value if self.free_entry else conversation(str(self.category))

    def merged(self, earlier: Word | None) -> Word:
        """Add what only an earlier status said."""
        if earlier is None:
            return self
        return Word(
            type=self.type or earlier.type,
            category=self.category or earlier.category,
            model=self.model or earlier.model,
            expires_at=self.expires_at or earlier.expires_at,
            conversation=self.conversation or earlier.conversation,
        )
