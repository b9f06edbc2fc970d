"""`turn` guards: which answer a send is to what the user wrote last, in the thread, in the record and on the bill."""

from __future__ import annotations

import msgspec
import pytest
from verbs import DAY, HOUR, MESSAGE, MINUTE, NOW, OTHER, RESERVATION, SPEND, THREAD, case, guard

TURN = guard("turn", clock="x")


def answers(lua, *sends, **how):
    """Authorize sends that answer, and say which answer each was."""
    return [lua.authorize(case(), id=name, guards=[TURN], **how).looked[0][1] for name in sends]


def counted(lua, thread=THREAD):
    return lua.clocks(thread).get("x#")


def test_answers_are_counted_from_what_opened_the_clock(lua):
    """Another opening begins anew; while the clock is shut nothing is answered, and nothing written."""
    lua.has(x=(-HOUR, HOUR))
    first = answers(lua, "s1", "s2", "s3")
    lua.has(x=(MINUTE, DAY))
    anew = answers(lua, "s4", at=2 * MINUTE)
    shut = answers(lua, "s5", at=2 * DAY)

    assert ([1, 2, 3], [1], [0]) == (first, anew, shut)
    assert f"{NOW + MINUTE} 1" == counted(lua)
    assert "turn" not in lua.record(RESERVATION.replace("s1", "s5"))


def test_a_record_says_which_answer_it_is(lua):
    """The field of its thread, and what the send made of it."""
    lua.has(x=(-HOUR, HOUR))
    answers(lua, "s1", "s2")

    assert f"x# {NOW - HOUR} 2" == lua.record(RESERVATION.replace("s1", "s2"))["turn"]


@pytest.mark.parametrize(("so_far", "first"), [(0, 1), (1, 0), (9, 0), (10, 0), (20, 0)])
def test_first_answers_are_booked_apart(lua, so_far, first):
    """Every answer is booked, and once more when it is the first."""
    lua.has(x={"": HOUR, "<": -HOUR, "#": f"{NOW - HOUR} {so_far}"})
    answers(lua, "s1")
    lua.accept()
    bill = lua.meter(SPEND)

    assert (1, first) == (bill["a#line"], bill.get("t#line", 0))


@pytest.mark.parametrize(("turn", "booked"), [("1", (1, 1)), ("2", (1, 0)), ("11", (1, 0))])
def test_an_answer_that_the_version_before_reserved_is_booked(lua, turn, booked):
    """It kept the number alone."""
    lua.redis.hset(RESERVATION, mapping={"state": "reserved", "facts": "facts", "thread": THREAD, "turn": turn})
    lua.redis.pexpire(RESERVATION, DAY)
    lua.accept()
    bill = lua.meter(SPEND)

    assert booked == (bill["a#line"], bill.get("t#line", 0))


@pytest.mark.parametrize("ending", ["fail", "release"])
def test_what_was_not_sent_answered_nothing(lua, ending):
    """It is given back once, whichever name the user goes by meanwhile."""
    lua.has(x=(-HOUR, HOUR))
    answers(lua, "s1", "s2")
    lua.link(THREAD, OTHER)
    if ending == "fail":
        lua.accept()
    for _ in range(2):
        lua.fail(MINUTE) if ending == "fail" else lua.release()
    one = counted(lua, OTHER)
    lua.release("s2")

    assert (f"{NOW - HOUR} 1", None) == (one, counted(lua, OTHER))


def test_an_answer_to_what_is_over_is_not_taken_off_what_came_after(lua):
    """What the user wrote since has answers of its own."""
    lua.has(x=(-HOUR, HOUR))
    answers(lua, "s1")
    lua.has(x=(MINUTE, DAY))
    answers(lua, "s2", at=2 * MINUTE)
    lua.release("s1")

    assert f"{NOW + MINUTE} 1" == counted(lua)


@pytest.mark.parametrize(("delivered", "left"), [(True, 2), (False, 1)])
def test_a_group_answers_once(lua, delivered, left):
    """The first status decides; what other members' failures say changes nothing."""
    lua.has(x=(-HOUR, HOUR))
    answers(lua, "s1", "s2")
    lua.accept()
    lua.settle(*[case()] * delivered, at=0, member="a")
    for member in ("b", "c"):
        lua.settle(at=0, member=member)

    assert f"{NOW - HOUR} {left}" == counted(lua)


@pytest.mark.parametrize(("delivered", "left"), [(True, 2), (False, 1)])
def test_what_the_version_before_held_is_given_back(lua, delivered, left):
    """It kept the answer among the holds, and its number alone in the record."""
    lua.has(x=(-HOUR, HOUR))
    answers(lua, "s1", "s2")
    lua.accept()
    held = [["turn", THREAD, "x#", NOW - HOUR]]
    lua.redis.hset(MESSAGE, mapping={"turn": "1", "holds": msgspec.msgpack.encode(held)})
    lua.settle(*[case()] * delivered, at=0)

    assert f"{NOW - HOUR} {left}" == counted(lua)
