"""`accept.lua`, `park.lua` and `note.lua`: a record finds its message's name, and what was said of it before."""

from __future__ import annotations

import pytest
from verbs import DAY, HELD, HOUR, MESSAGE, METER, MINUTE, PARKED, RESERVATION, SPEND, THREAD, case, orders

from gatekeeper.ledger import keys

# ------------------------------------------------------------------------------------------------------------ accept


def test_an_accepted_reservation_goes_by_its_messages_name(lua):
    """It keeps all that it holds and its lifetime; under the old name there is nothing any more."""
    lua.authorize(case(meter=HELD), lifetime=38 * DAY)
    held = lua.record(RESERVATION)

    assert [] == lua.accept()
    assert held | {"state": "accepted", "spend": SPEND, "quote": "0"} == lua.record(MESSAGE)
    assert {} == lua.record(RESERVATION)
    assert 38 * DAY == lua.lifetime(MESSAGE)
    assert {MESSAGE, METER, SPEND} == {key.decode() for key in lua.everything()}


def test_what_was_parked_is_handed_over_in_its_order(lua):
    """Oldest first, and again to who did not hear the answer."""
    for status in ("sent", "delivered", "read"):
        lua.park(status)
    lua.authorize()

    assert [[b"sent", b"delivered", b"read"]] * 2 == [lua.accept(), lua.accept()]
    assert 0 < lua.redis.pttl(PARKED)


def test_nothing_is_handed_over_without_a_reservation(lua):
    """A record that is gone cannot be settled; what is parked ends by itself."""
    lua.park("sent")
    before = lua.everything()

    assert [] == lua.accept()
    assert before == lua.everything()


def test_a_name_that_is_taken_is_not_taken_over(lua):
    """Meta never gives one name twice; if it seems so the first record stays what it is, and the second keeps its own key."""
    lua.sent(id="s1")
    lua.authorize(id="s2", latches=("x",))
    before = lua.everything()

    assert None is lua.accept(id="s2")
    assert before == lua.everything()


def test_a_repeated_acceptance_changes_nothing(lua):
    """Neither while the message is on its way nor when it is settled."""
    lua.sent()
    lua.settle(case(), at=0)
    before = lua.everything()

    assert [] == lua.accept()
    assert before == lua.everything()


# -------------------------------------------------------------------------------------------------------------- park


def test_a_status_of_an_unknown_message_is_parked(lua):
    """For a while, counted from the last one."""
    assert [0, 0] == [lua.park("sent", MINUTE), lua.park("delivered", 2 * MINUTE)]
    assert [b"sent", b"delivered"] == lua.redis.lrange(PARKED, 0, -1)
    assert 2 * MINUTE == lua.lifetime(PARKED)


@pytest.mark.parametrize("settled", [False, True])
def test_a_status_of_a_known_message_is_not(lua, settled):
    """Who asks takes it in again instead."""
    lua.sent()
    if settled:
        lua.settle(case(), at=0)
    before = lua.everything()

    assert 1 == lua.park("sent")
    assert before == lua.everything()


@pytest.mark.parametrize("order", orders(["park", "accept"]), ids=str)
def test_a_status_is_parked_or_its_message_known(lua, order):
    """Whichever comes first, somebody has the status: who accepts, or who parks."""
    lua.authorize()
    answers = {step: lua.accept() if step == "accept" else lua.park("sent") for step in order}

    assert ({"accept": [b"sent"], "park": 0} if order[0] == "park" else {"accept": [], "park": 1}) == answers
    assert (order[0] == "park") == lua.redis.exists(PARKED)


def test_messages_have_their_own_parking(lua):
    """A status waits for its own message alone."""
    lua.park("sent")
    lua.authorize(id="s2")

    assert [] == lua.accept(id="s2", wamid="wamid.2")
    assert [b"sent"] == lua.redis.lrange(PARKED, 0, -1)
    assert "accepted" == lua.record(keys.message("P", "wamid.2"))["state"]


# -------------------------------------------------------------------------------------------------------------- note


def test_a_note_waits_for_the_settlement(lua):
    """It lies beside what the record holds, the latest in place of the one before, and lives as long as the record does."""
    lua.sent(lifetime=HOUR)
    held = lua.record(MESSAGE)

    assert [1, 1] == [lua.note("early"), lua.note("late")]
    assert held | {"note": "late"} == lua.record(MESSAGE)
    assert HOUR == lua.lifetime(MESSAGE)


@pytest.mark.parametrize("known", [False, True])
def test_nothing_is_noted_of_an_unknown_message(lua, known):
    """A record that has no name yet is not known by one."""
    if known:
        lua.authorize()
    before = lua.everything()

    assert 0 == lua.note("early")
    assert before == lua.everything()
    assert not lua.redis.exists(THREAD)
