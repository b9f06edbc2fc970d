"""What `accept.lua` and `settle.lua` book on the bill: quoted and open when Meta takes a message, settled when it is delivered."""

from __future__ import annotations

import datetime as dt

import pytest
from verbs import COUNTED, DAY, HOUR, MESSAGE, METER, SPEND, UNKNOWN, case

from gatekeeper.ledger import keys

NEXT_DAY = keys.spend("P", "9", dt.date(2026, 10, 21))
RECORD = MESSAGE.replace("wamid.1", "2")


def bill(lua, key: str = SPEND) -> dict[str, int]:
    """Every number on a day's bill that is not nothing."""
    return {line: count for line, count in lua.meter(key).items() if count}


def test_what_meta_took_is_quoted_and_open(lua):
    """Counts and sums, under the line of the send and over all that is open; they are kept as long as a bill is."""
    for sent, quote in (("s1", 5), ("s2", 7), ("s3", 0)):
        lua.authorize(id=sent)
        lua.accept(sent, sent, quote)

    assert {"p#line": 3, "p$line": 12, "o#": 3, "o$": 12} == bill(lua)
    assert 400 * DAY == lua.lifetime(SPEND)


def test_an_unknown_price_is_counted_and_not_summed(lua):
    """Neither when it is quoted nor when it is settled."""
    lua.authorize()
    lua.accept(quote=UNKNOWN)
    quoted = bill(lua)
    lua.settle(case(price=UNKNOWN), at=0)

    assert {"p#line": 1, "p?line": 1, "o#": 1, "o?": 1} == quoted
    assert {"p#line": 1, "p?line": 1, "s#line": 1, "s?line": 1} == bill(lua)


def test_a_delivery_is_settled_at_what_it_cost(lua):
    """Whatever was quoted; and nothing is open any more."""
    lua.authorize()
    lua.accept(quote=7)
    lua.settle(case(price=5), at=0)

    assert {"p#line": 1, "p$line": 7, "s#line": 1, "s$line": 5} == bill(lua)


def test_a_failure_settles_nothing(lua):
    """It is no longer open, and was quoted all the same."""
    lua.authorize()
    lua.accept(quote=7)
    lua.fail(at=0)

    assert {"p#line": 1, "p$line": 7} == bill(lua)


def test_what_meta_refused_is_on_no_bill(lua):
    """Only what was accepted is booked."""
    lua.authorize(case(price=5))
    lua.release()

    assert {} == lua.everything()


@pytest.mark.parametrize("again", ["accept", "deliver", "fail"])
def test_nothing_is_booked_twice(lua, again):
    """Answers and statuses come more than once."""
    lua.authorize()
    lua.accept(quote=7)
    lua.settle(case(price=5), at=0)
    before = lua.everything()
    {"accept": lua.accept, "deliver": lambda: lua.settle(case(price=5), at=0), "fail": lambda: lua.fail(at=0)}[again]()

    assert before == lua.everything()


def test_a_group_is_settled_by_its_members(lua):
    """Each delivery is a unit of its own; the message is open until the first."""
    lua.authorize()
    lua.accept(quote=UNKNOWN)
    for member in ("a", "b", "b"):
        lua.settle(case(price=5), at=0, member=member)

    assert {"p#line": 1, "p?line": 1, "s#line": 2, "s$line": 10} == bill(lua)


def test_a_day_keeps_its_own_bill(lua):
    """A message is open on the day that it was sent, and settled on the day that it was delivered."""
    lua.authorize()
    lua.accept(quote=7)
    lua.run("settle", [MESSAGE, "thread", NEXT_DAY, METER], lua.move(case(price=5, meter=COUNTED), at=DAY))

    assert {"p#line": 1, "p$line": 7} == bill(lua)
    assert {"s#line": 1, "s$line": 5} == bill(lua, NEXT_DAY)
    assert [400 * DAY, 400 * DAY] == [lua.lifetime(SPEND), lua.lifetime(NEXT_DAY)]


@pytest.mark.parametrize(("had", "has"), [(HOUR, 400), (393 * DAY, 400), (394 * DAY, 394), (500 * DAY, 500)])
def test_a_bill_is_never_kept_for_less(lua, had, has):
    """What is booked lengthens a bill's lifetime when a 64th of it is over, for not each has to say so anew; it cuts none."""
    lua.redis.hset(SPEND, "p#line", 1)
    lua.redis.pexpire(SPEND, had)
    lua.authorize()
    lua.accept(quote=7)

    assert has * DAY == lua.lifetime(SPEND)


def test_a_bill_that_is_gone_lives_no_longer_for_a_late_failure(lua):
    """What is taken off it makes a key again, and that expires too."""
    lua.sent()
    lua.redis.delete(SPEND)
    lua.fail(at=0)

    assert 400 * DAY == lua.lifetime(SPEND)
