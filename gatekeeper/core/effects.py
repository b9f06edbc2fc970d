"""
Own what Meta's webhooks mean for a thread: which clocks an event opens, shuts or corrects.

Every change is one that may be made twice and in any order; `lua/observe.lua` makes it.
"""

from __future__ import annotations

from datetime import date

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.caching import remember
from gatekeeper.core.calendar import local_day
from gatekeeper.core.policy import Policy
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import HELD_BACK, OPTED_OUT, WINDOW_CLOSED
from gatekeeper.core.vocabulary import Clock, conversation
from gatekeeper.core.word import Word

_REACTION, _SYSTEM = "reaction", "system"
_FREE_ENTRY = (Clock.FREE_ENTRY_OFFER, Clock.FREE_ENTRY_POINT)
_UNDENIABLE = ("general_purpose_ai",)  # charged inside a free entry point too, so it says nothing of one


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What Meta said of one clock: it was opened or shut *at*, ends when Meta says, or is proven to be open. Milliseconds.

    *by* is the reservation, and *conversation* Meta's id of the conversation, that it speaks of.
    """

    kind: str
    clock: str
    at: int
    ends: int
    by: str = ""
    conversation: str = ""


class Effects:
    """What events do to the clocks of an account's threads."""

    def __init__(self, book: Rulebook, account: Account, *, reaction_opens: bool, forever: int) -> None:
        self._book = book
        self._account = account
        self._zone = account.zone
        self._lengths: dict[tuple[str, date], int] = {}
        self._reaction_opens = reaction_opens
        self._forever = forever

    def wrote(self, *, at: int, kind: str, from_ad: bool, standby: bool, group: bool) -> list[Change]:
        """
        A user's message opens the window, an ad's also the offer of a free entry point; on standby another partner holds the thread.

        Any last message of the user moves the thread, also one that opens no window.
        """
        if kind == _SYSTEM:  # no user wrote it
            return []
        moved = [] if self._account.takes_threads else [self.held(at=at, elsewhere=standby)]
        if kind in self._book.platform.window.not_opened_by or (kind == _REACTION and not self._reaction_opens):
            return moved
        changes = [self._open(Clock.CUSTOMER_SERVICE_WINDOW, at)]
        if from_ad and not group:
            changes.append(self._open(Clock.FREE_ENTRY_OFFER, at))
        return changes + moved

    def called(self, *, at: int) -> list[Change]:
        """A user's call, or a call of ours that the user took, opens the window as a message does."""
        return [self._open(Clock.CUSTOMER_SERVICE_WINDOW, at)]

    def held(self, *, at: int, elsewhere: bool) -> Change:
        """Another partner holds the thread from *at* on, or no longer does."""
        return self._open(Clock.THREAD_ELSEWHERE, at) if elsewhere else self._shut(Clock.THREAD_ELSEWHERE, at)

    def preferred(self, *, at: int, stop: bool) -> list[Change]:
        """A user stops marketing messages, or resumes them."""
        return [Change(kind="open" if stop else "shut", clock=Clock.OPTED_OUT, at=at, ends=at + self._forever)]

    def wished(self, wish: str, policy: Policy, *, at: int) -> list[Change]:
        """A word of the policy's stops marketing messages, or lets them come again."""
        said = wish.casefold()
        for words, stop in ((policy.opt_out_keywords, True), (policy.opt_in_keywords, False)):
            if said and words and said in [word.strip().casefold() for word in words]:
                return self.preferred(at=at, stop=stop)
        return []

    def failed(self, codes: tuple[int, ...], *, at: int, sent_at: int) -> list[Change]:
        """Meta refused a message of ours late. The window was closed when it was sent: what the user wrote since still opens it."""
        changes = []
        if WINDOW_CLOSED in codes:
            changes.append(self._shut(Clock.CUSTOMER_SERVICE_WINDOW, sent_at))
        if HELD_BACK in codes:
            changes.append(self._open(Clock.MARKETING_HELD, at))
        if OPTED_OUT in codes:
            changes += self.preferred(at=at, stop=True)
        return changes

    def said(self, word: Word, *, at: int, sent_at: int, by: str, failed: bool = False) -> list[Change]:
        """
        Meta says what it counts a message in, and until when; a word that is not of a free entry point denies one.

        It denies what there was when the message was sent. One that *failed* opened nothing, whatever was said of it before.
        """
        category = word.category
        if category is None or category in _UNDENIABLE:
            return []
        if word.free_entry:
            if failed:
                return []
            return [self._tell(Clock.FREE_ENTRY_POINT, at, word, by)] if word.expires_at else [self._prove(at)]
        day = local_day(sent_at, self._zone)
        changes = [
            Change(kind="shut", clock=clock, at=sent_at, ends=sent_at + self._length(clock, day), by=by) for clock in _FREE_ENTRY
        ]
        regime = self._book.regime(local_day(at, self._zone))
        if word.counts_conversations(regime) and word.expires_at and not failed:
            changes.append(self._tell(conversation(category), at, word, by))
        return changes

    def _open(self, clock: str, at: int) -> Change:
        return Change(kind="open", clock=clock, at=at, ends=at + self._length(clock, local_day(at, self._zone)))

    def _shut(self, clock: str, at: int) -> Change:
        return Change(kind="shut", clock=clock, at=at, ends=at + self._length(clock, local_day(at, self._zone)))

    @staticmethod
    def _tell(clock: str, at: int, word: Word, by: str) -> Change:
        return Change(kind="tell", clock=clock, at=at, ends=word.expires_at or 0, by=by, conversation=word.conversation or "")

    @staticmethod
    def _prove(at: int) -> Change:
        return Change(kind="prove", clock=Clock.FREE_ENTRY_POINT, at=at, ends=at)

    def _length(self, clock: str, day: date) -> int:
        found = self._lengths.get((clock, day))
        return remember(self._lengths, (clock, day), self._book.platform.length_ms(clock, day)) if found is None else found
