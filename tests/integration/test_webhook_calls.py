"""What a webhook asks of the ledger: nothing that cannot change anything, and all else in the order in which it was said."""

from __future__ import annotations

import json

import pytest
from story import GROUP, ONE, OTHER_USER, SECOND, USER, Story, free_entry, h, pmp

from gatekeeper.core.errors import LedgerError
from gatekeeper.ledger.lanes import MOST
from gatekeeper.meta.webhooks import decode_webhook

WORD = pmp("utility")
MANY = 3 * MOST


class Watched:
    """The trips of a ledger's scripts."""

    def __init__(self, ledger) -> None:
        self.trips: list[list] = []
        self.going = 0
        self.most = 0
        self.broken_after: int | None = None
        self._run = ledger.run
        ledger.run = self.run

    async def run(self, batch, *, behind=False, partial=False):
        """Run some, and remember them; LedgerError once so many trips were made."""
        if len(self.trips) == self.broken_after:
            raise LedgerError("gone")
        self.trips.append(list(batch))
        self.going += 1
        self.most = max(self.most, self.going)
        try:
            return await self._run(batch, behind=behind, partial=partial)
        finally:
            self.going -= 1

    @property
    def calls(self) -> list:
        return [call for trip in self.trips for call in trip]

    @property
    def scripts(self) -> list[str]:
        return [call.script for call in self.calls]


async def a_sent_template(ledger) -> tuple[Story, object, Watched]:
    """A template on its way, watched from now on."""
    story = Story(ledger, "2026-10-13")
    sent = await story.template(h(0))
    await story.wrote(h(0), OTHER_USER)
    return story, sent, Watched(ledger)


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        (["delivered"], ["observe", "settle", "note"]),
        (["delivered", "read"], ["observe", "settle", "note"]),
        (["read", "delivered", "read"], ["observe", "settle", "note"]),
        (["sent", "delivered"], ["observe", "note", "settle"]),
        (["sent", "sent"], ["observe", "note"]),
        (["delivered", "failed"], ["observe", "settle", "note"]),
        (["failed", "delivered"], ["observe", "settle", "note", "settle"]),
    ],
    ids="-".join,
)
async def test_what_was_said_once_is_not_asked_again(ledger, told, asked):
    """A message settles once, and a clock that was moved is not moved to the same place right after."""
    story, sent, watched = await a_sent_template(ledger)
    await story.statuses(h(1), [sent.item(word, h(1), **WORD) for word in told])

    assert asked == watched.scripts


@pytest.mark.parametrize(("first", "then"), [("delivered", "read"), ("read", "failed")])
async def test_what_has_settled_is_not_settled_by_a_later_webhook(ledger, first, then):
    """A record says that its message has settled; Meta's word on the thread still counts."""
    _, sent, watched = await a_sent_template(ledger)
    await sent.status(first, h(1), **WORD)
    watched.trips.clear()
    settled = await sent.status(then, h(2), **WORD)

    assert settled is None
    assert ["observe"] == watched.scripts


async def test_each_member_of_a_group_settles(ledger):
    """What has settled for one member has not for another, and may be asked again for each."""
    story = Story(ledger, "2026-10-13")
    await story.wrote(h(0), USER, group_id=GROUP)
    sent = await story.group_template(h(0), "utility")
    watched = Watched(ledger)
    settled = await sent.reached(h(1), [USER, OTHER_USER, USER])

    assert ["settle"] * 3 == watched.scripts
    assert 2 == len(settled)


async def test_what_was_said_otherwise_in_between_is_said_again(ledger):
    """A clock that was told to end, denied, and told to end again is so in the end."""
    story, sent, watched = await a_sent_template(ledger)
    told = sent.item("sent", h(1), ends=h(30), **free_entry())
    await story.statuses(h(1), [told, sent.item("sent", h(1), **WORD), told])
    changed = [call for call in watched.calls if call.script == "observe"]

    assert 3 == len(changed)
    assert changed[0] == changed[2]


async def test_a_name_that_changes_hands_is_told_anew(ledger):
    """What was said of a number's thread is said again once the number leads to another user's."""
    story = Story(ledger, "2026-10-13")
    watched = Watched(ledger)
    twice = story.message(h(1))
    moved = story.message(h(1)) | {"from_user_id": "US.13491208655302741918"}
    await story.webhook(h(1), "messages", {"messages": [twice, twice, moved, twice]})

    assert ["observe", "observe", "link", "observe"] == watched.scripts


async def heard(story: Story, count: int) -> None:
    """A webhook with a message of each of many users, who all write twice."""
    users = [str(int(USER) + n) for n in range(count)] * 2
    messages = [story.message(n * SECOND, user) for n, user in enumerate(users)]
    metadata = {"phone_number_id": ONE}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "messages": messages}
    entry = {"id": story.account.waba_id, "changes": [{"field": "messages", "value": value}]}
    await story.engine.absorb(decode_webhook(json.dumps({"entry": [entry]}).encode()), now=story.start + h(1))


async def test_a_large_webhook_goes_in_its_order(ledger, redis):
    """Of the trips of one webhook one is on its way at a time, so that what is said of a thread arrives as it was said."""
    story = Story(ledger, "2026-10-13")
    watched = Watched(ledger)
    await heard(story, MANY)
    threads = [call.keys[0].rpartition(":")[2] for call in watched.calls]
    window = [int(redis.hget(key, "csw<")) for key in redis.scan_iter("gk:*:thread:*")]

    assert [str(int(USER) + n % MANY) for n in range(2 * MANY)] == threads
    assert 1 == watched.most
    assert len(watched.trips) > 2 * MANY // MOST
    assert max(map(len, watched.trips)) <= MOST
    assert sorted(story.start + n * SECOND for n in range(MANY, 2 * MANY)) == sorted(window)


async def test_after_a_trip_that_failed_none_sets_out(ledger):
    """What the ledger did not take Meta says again, so nothing that comes behind it is of use."""
    story = Story(ledger, "2026-10-13")
    watched = Watched(ledger)
    watched.broken_after = 2
    with pytest.raises(LedgerError, match="gone"):
        await heard(story, MANY)
    kept = len(watched.trips)
    watched.broken_after = None
    await heard(story, MANY)

    assert 2 == kept
    assert 2 * MANY == sum(map(len, watched.trips[2:]))


async def test_windows_are_open_whatever_was_left_out(ledger):
    """A user who writes twice in one second has a window from then on."""
    story = Story(ledger, "2026-10-13")
    said = story.message(h(1))
    await story.webhook(h(1), "messages", {"messages": [said, said]})
    sent = await story.text(h(2))

    assert "allow" == sent.verdict
    assert (story.start + h(25)) // SECOND == sent.window_expires
