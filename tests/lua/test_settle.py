"""`settle.lua`: which moves are made, once; what a delivery finds open, and what it counts."""

from __future__ import annotations

import pytest
from verbs import BUDGET, COUNTED, DAY, HELD, HOUR, ID, MESSAGE, METER, MINUTE, NEXT_METER, NOW, UNKNOWN, case, guard, orders

IGNORED = ("ignored", 0, 0, UNKNOWN, 0, UNKNOWN)
INSIDE, OPENS = case("x"), case(opens="x", length=HOUR, price=7)


def fields(settled) -> tuple:
    return settled.status, settled.case, settled.reading, settled.cost, settled.own, settled.own_cost


# ------------------------------------------------------------------------------------------------------------- moves


@pytest.mark.parametrize("state", ["reserved", "settled", "released", None])
def test_a_move_from_another_state_is_ignored(lua, state):
    """What is not in a state that the move may leave, or not there at all, is left as it is, and so are clocks and meters."""
    if state:
        lua.redis.hset(MESSAGE, mapping={"state": state, "meter": METER})
        lua.redis.pexpire(MESSAGE, DAY)
    lua.has(x={"?": HOUR, "&": ID})
    lua.reads(settled=1, reserved=1)
    before = lua.everything()
    settled = lua.settle(OPENS, at=0, meters=[METER])

    assert IGNORED == fields(settled)
    assert before == lua.everything()


def test_any_of_the_states_named_may_be_left(lua):
    """The states are the caller's."""
    lua.sent()

    assert "moved" == lua.settle(case(), at=0, leaving=("reserved", "accepted"), to="elsewhere").status
    assert "elsewhere" == lua.record(MESSAGE)["state"]


@pytest.mark.parametrize(("first", "second"), [*orders(["deliver", "fail"]), ("deliver", "deliver"), ("fail", "fail")])
def test_a_message_settles_once(lua, first, second):
    """Whatever is said after the first delivery or failure changes nothing."""
    moves = {"deliver": lambda: lua.settle(case(opens="x", meter=COUNTED), at=MINUTE), "fail": lambda: lua.fail(at=MINUTE)}
    lua.sent(case(opens="x", meter=HELD))
    assert "moved" == moves[first]().status
    before = lua.everything()

    assert IGNORED == fields(moves[second]())
    assert before == lua.everything()


@pytest.mark.parametrize("move", ["deliver", "fail"])
def test_what_is_settled_holds_nothing(lua, move):
    """The meter, the guards and the bill have back what it held; what may be corrected stays with the record."""
    lua.has(x=(-HOUR, HOUR))
    held = [guard("turn", clock="x"), guard("at_most", key=HELD + 1, limit=9)]
    lua.authorize(case(meter=HELD), meters=(METER, BUDGET), guards=held, latches=("x",))
    lua.accept()
    assert {b"meter", b"holds", b"turn", b"spend"} <= set(lua.redis.hkeys(MESSAGE))
    {"deliver": lambda: lua.settle(case(meter=COUNTED), at=0), "fail": lambda: lua.fail(at=0)}[move]()

    booked = {b"settled"} if move == "deliver" else set()
    assert {b"state", b"facts", b"thread", b"quote", b"latch:x", b"holds"} | booked == set(lua.redis.hkeys(MESSAGE))
    assert not {b"reserved"} & set(lua.redis.hkeys(BUDGET))


def test_a_group_settles_once_for_each_member(lua):
    """Every member's delivery counts one unit, a failure none until another phone takes it; what was reserved is given back once."""
    lua.reads(reserved=3)
    lua.sent(case(meter=HELD))
    taken = case(meter=COUNTED, steps=[(1, 0)], price=5)
    found = [lua.settle(taken, at=0, member=member) for member in ("a", "a", "b")]
    found.append(lua.settle(at=0, member="c", to="released"))
    found.append(lua.settle(taken, at=0, member="c"))

    assert [("moved", 0, 0), ("ignored", 0, UNKNOWN), ("moved", 1, 5), ("moved", 0, UNKNOWN), ("moved", 2, 5)] == [
        (settled.status, settled.reading, settled.cost) for settled in found
    ]
    assert {"settled": 3, "reserved": 3} == lua.meter()
    assert "accepted" == lua.record(MESSAGE)["state"]


@pytest.mark.parametrize(("member", "lifetime"), [("", 8 * DAY), ("a", 38 * DAY)])
def test_a_settled_record_lives_as_long_as_its_statuses_may_be_repeated(lua, member, lifetime):
    """
    A message is all said once it is delivered; a group's waits for members whose phones are off.

    Meta drops a message after 30 days at most, and a member is charged when it arrives.
    """
    lua.sent(lifetime=38 * DAY)
    lua.settle(case(), at=0, member=member, lifetime=8 * DAY)

    assert lifetime == lua.lifetime(MESSAGE)


# ------------------------------------------------------------------------------------------- what a delivery finds open


@pytest.mark.parametrize(
    ("clock", "chosen"),
    [
        ({"": 1, "<": -HOUR}, 1),
        ({"": 0, "<": -HOUR}, 2),
        ({"": HOUR, "<": 0}, 1),
        ({"": HOUR, "<": 1}, 2),
        ({"": HOUR, "<": -HOUR, "!": -HOUR}, 2),
        ({"": HOUR, "<": -HOUR, "!": 1}, 2),
        ({"": HOUR, "<": -HOUR, "*": -HOUR}, 2),
        ({"": HOUR, "<": -HOUR, "*": 0}, 2),
        ({"": HOUR, "<": -HOUR, "*": 1}, 1),
        ({"": 0, "<": -HOUR, "*": 1}, 2),
        ({"?": HOUR, "&": "s0"}, 2),
        ({"?": HOUR, "&": ID}, 2),
        ({}, 2),
    ],
)
def test_a_delivery_asks_what_was_confirmed_open_at_its_time(lua, clock, chosen):
    """
    From the opening on, not at the end, and until it was used up.

    Not what Meta denies, be it later; neither what others assume nor what the message itself assumed.
    """
    lua.sent()
    lua.has(x=clock)

    assert chosen == lua.settle(INSIDE, OPENS, at=0).case


@pytest.mark.parametrize(
    ("latch", "clock", "chosen"),
    [
        (1, {"": HOUR, "<": 1}, 1),
        (0, {"": HOUR, "<": 1}, 2),
        (None, {"": HOUR, "<": 1}, 2),
        (1, {"": HOUR, "<": 1, "!": -2}, 1),
        (1, {"": HOUR, "<": 1, "!": -1}, 2),
        (1, {"": HOUR, "<": 1, "!": 0}, 2),
        (1, {"": HOUR, "<": 2, "*": 1}, 1),
        (1, {"": HOUR, "<": 1, "*": 0}, 2),
    ],
)
def test_the_latch_knows_of_a_clock_that_was_opened_anew(lua, latch, clock, chosen):
    """A clock that was opened again after the delivery was open at it, if it was at the send, and neither denied since nor used up."""
    lua.sent()
    lua.has(x=clock)
    latches = {} if latch is None else {"x": NOW + latch}

    assert chosen == lua.settle(INSIDE, case(), at=0, latches=latches, sent_at=NOW - 1).case


@pytest.mark.parametrize(
    ("clocks", "chosen"),
    [({"x": HOUR, "y": HOUR}, 1), ({"y": HOUR}, 1), ({"z": HOUR, "y": HOUR}, 1), ({"z": HOUR}, 2), ({}, 3)],
)
def test_the_first_case_that_holds_is_picked(lua, clocks, chosen):
    """Cases are asked in order, each for any of the clocks that it needs."""
    lua.sent()
    lua.has(**clocks)

    assert chosen == lua.settle(case("x", "y"), case("z"), case(), at=0).case


def test_the_open_clocks_that_a_case_needed_are_told(lua):
    """All that were open at the delivery, for it joined them all; what the case did not ask for is not told."""
    lua.sent()
    lua.has(x=HOUR, y=(-HOUR, 0), z=HOUR, w={"?": HOUR, "&": "s0"}, v=HOUR)

    assert ("x", "z") == lua.settle(case("w", "x", "y", "z"), case(), at=0).joined


def test_a_delivery_asks_an_unconfirmed_case_too(lua):
    """That nobody confirms a case matters to the bound on a price, not to what is settled."""
    lua.sent()
    lua.has(x=HOUR)

    assert 1 == lua.settle(case("x", unconfirmed=True), case(price=7), at=0).case


@pytest.mark.parametrize(("x", "own", "own_cost", "cost"), [(HOUR, 1, 3, 5), (0, 2, 7, 5)])
def test_our_own_table_is_asked_beside_metas_word(lua, x, own, own_cost, cost):
    """What we would have said is told with what counts, so that a difference can be seen; it takes nothing."""
    lua.sent()
    lua.has(x=(-HOUR, x))
    settled = lua.settle(
        case(price=5, meter=COUNTED), at=0, own=[case("x", price=3), case(price=7, meter=COUNTED + 1)], meters=[METER, NEXT_METER]
    )

    assert (1, cost, own, own_cost) == (settled.case, settled.cost, settled.own, settled.own_cost)
    assert ({"settled": 1}, {}) == (lua.meter(), lua.meter(NEXT_METER))


def test_without_metas_word_our_own_cost_is_the_cost(lua):
    """There is nothing to compare with."""
    lua.sent()
    settled = lua.settle(case(price=5), at=0)

    assert (5, 0, 5) == (settled.cost, settled.own, settled.own_cost)


# ------------------------------------------------------------------------------------------------------------ meters


@pytest.mark.parametrize(("settled", "reading", "cost"), [(0, 0, 0), (1, 1, 0), (2, 2, 5), (3, 3, 5), (4, 4, 9)])
def test_a_delivery_costs_by_what_was_settled_before_it(lua, settled, reading, cost):
    """Steps hold below their bounds; what others have reserved does not count, for it may yet fail."""
    lua.sent(case(meter=HELD))
    lua.reads(settled, reserved=40)
    found = lua.settle(case(meter=COUNTED, steps=[(2, 0), (4, 5)], price=9), at=0)

    assert (reading, cost) == (found.reading, found.cost)
    assert {"settled": settled + 1, "reserved": 39} == lua.meter()


def test_a_unit_is_given_back_where_it_was_taken(lua):
    """Sent in one month and delivered in the next: reserved there, settled here."""
    lua.sent(case(meter=HELD))
    lua.settle(case(meter=COUNTED), at=0, meters=[NEXT_METER])

    assert ({}, {"settled": 1}) == (lua.meter(), lua.meter(NEXT_METER))
    assert 75 * DAY == lua.lifetime(NEXT_METER)


def test_a_unit_of_a_meter_that_is_gone_is_not_owed(lua):
    """A meter that ended before the message did is not brought back, below nothing and without an end."""
    lua.sent(case(meter=HELD))
    lua.redis.delete(METER)
    lua.fail(at=0)

    assert {} == lua.meter()


def test_what_reserved_no_unit_gives_none_back(lua):
    """A message that was free when it was sent may count when it is delivered."""
    lua.sent(case())
    lua.reads(reserved=1)
    lua.settle(case(meter=COUNTED), at=0)

    assert {"settled": 1, "reserved": 1} == lua.meter()
