"""`authorize.lua`: which case holds, at what reading and price; and what is taken."""

from __future__ import annotations

import msgspec
import pytest
from story import rulebook
from verbs import DAY, HELD, HOUR, ID, METER, MINUTE, NOW, OTHER, RESERVATION, THREAD, UNKNOWN, case

from gatekeeper.core.accounts import Account
from gatekeeper.core.plan import Sent, plan
from gatekeeper.core.reservation import Facts
from gatekeeper.core.tariff import Meter
from gatekeeper.ledger import calls, wire

FREE = case()

# ------------------------------------------------------------------------------------------------------------- cases


@pytest.mark.parametrize(
    ("clocks", "chosen"),
    [
        ({}, 3),
        ({"x": HOUR}, 1),
        ({"y": HOUR}, 1),
        ({"z": HOUR}, 2),
        ({"y": HOUR, "z": HOUR}, 1),
        ({"x": 0, "z": HOUR}, 2),
        ({"x": {"?": HOUR, "&": "s0"}, "z": HOUR}, 1),
        ({"x": {"?": 0, "&": "s0"}}, 3),
    ],
)
def test_the_first_case_that_holds_is_picked(lua, clocks, chosen):
    """Cases are asked in order; a case holds when any clock that it needs is open or assumed open, or when it needs none."""
    lua.has(**clocks)

    assert chosen == lua.authorize(case("x", "y"), case("z"), case()).case


@pytest.mark.parametrize(
    ("clock", "case_", "sure", "cost", "most"),
    [
        ({"": HOUR, "<": 0}, 1, 1, 0, 0),
        ({"?": HOUR, "&": "s0"}, 1, 2, 0, 7),
        ({"": HOUR, "<": 0, "!": 0, "?": HOUR, "&": "s0"}, 1, 2, 0, 7),
        ({}, 2, 2, 7, 7),
    ],
)
def test_what_is_only_assumed_is_not_certain(lua, clock, case_, sure, cost, most):
    """The price is that of the case expected, the bound that of the case over confirmed clocks alone."""
    lua.has(x=clock)
    outcome = lua.authorize(case("x"), case(price=7))

    assert (case_, sure, cost, most) == (outcome.case, outcome.sure, outcome.cost, outcome.most)


def test_a_case_that_nobody_confirms_is_never_certain(lua):
    """An unconfirmed case may be expected, but the bound passes over it, open as its clock is."""
    lua.has(x=HOUR)
    outcome = lua.authorize(case("x", unconfirmed=True), case("x", price=3), case(price=7))

    assert (1, 2, 0, 3) == (outcome.case, outcome.sure, outcome.cost, outcome.most)


def test_open_clocks_are_told_with_their_later_end(lua):
    """What is open or assumed open is told once, until the later of both; what is shut, over, or a link is not."""
    lua.has(
        w=HOUR,
        x={"?": 2 * HOUR, "&": "s0"},
        **{"c:utility": {"": HOUR, "<": 0, "?": 3 * HOUR, "&": "s0"}, "c:authentication_international": 4 * HOUR},
        y={"": HOUR, "<": 0, "!": 0},
        z=0,
    )

    assert {
        "w": NOW + HOUR,
        "x": NOW + 2 * HOUR,
        "c:utility": NOW + 3 * HOUR,
        "c:authentication_international": NOW + 4 * HOUR,
    } == lua.authorize(FREE).clocks()


# ---------------------------------------------------------------------------------------------------- meters, tariffs


@pytest.mark.parametrize(
    ("settled", "reserved", "reading", "cost"),
    [(0, 0, 0, 0), (1, 0, 1, 0), (1, 1, 2, 5), (2, 0, 2, 5), (0, 3, 3, 5), (4, 0, 4, 9), (3, 9, 12, 9)],
)
def test_a_price_follows_its_meter(lua, settled, reserved, reading, cost):
    """A step holds for readings below its bound: two for nothing, two for 5, then 9. What is reserved counts as used."""
    lua.reads(settled, reserved)
    outcome = lua.authorize(case(meter=HELD, steps=[(2, 0), (4, 5)], price=9))

    assert (reading, cost, cost) == (outcome.reading, outcome.cost, outcome.most)
    assert {"settled": settled, "reserved": reserved + 1} == lua.meter()


def test_a_case_without_a_meter_reads_nothing(lua):
    """Its price is its only step, and no meter moves."""
    lua.reads(5)
    outcome = lua.authorize(case(price=UNKNOWN))

    assert (0, UNKNOWN, UNKNOWN) == (outcome.reading, outcome.cost, outcome.most)
    assert {"settled": 5, "reserved": 0} == lua.meter()


def test_each_case_has_its_own_meter(lua):
    """The meter of the case picked is taken, not that of the bound; a case names it by its place among the keys."""
    other = METER.replace("free", "other")
    lua.reads(1)
    lua.reads(7, meter=other)
    lua.has(x={"?": HOUR, "&": "s0"})
    outcome = lua.authorize(
        case("x", meter=HELD + 1, steps=[(8, 1)], price=2), case(meter=HELD, steps=[(2, 3)], price=4), meters=[METER, other]
    )

    assert (7, 1, 3) == (outcome.reading, outcome.cost, outcome.most)
    assert ({"settled": 1, "reserved": 0}, {"settled": 7, "reserved": 1}) == (lua.meter(), lua.meter(other))


# ------------------------------------------------------------------------------------------------------ what is taken


def test_a_reservation_keeps_facts_thread_and_latch(lua):
    """What will settle it: the facts as they came, where its clocks are and until when the window was open."""
    lua.has(w=HOUR)
    lua.authorize(case(price=5))

    assert {
        "state": "reserved",
        "facts": "facts",
        "thread": THREAD,
        "latch:w": str(NOW + HOUR),
    } == lua.record()
    assert 38 * DAY == lua.lifetime(RESERVATION)


@pytest.mark.parametrize(
    ("clock", "latch"),
    [
        ({"": HOUR, "<": 0}, {"latch:x": str(NOW + HOUR)}),
        ({"": 0, "<": -HOUR}, {}),
        ({"": HOUR, "<": 0, "!": 0}, {}),
        ({"?": HOUR, "&": "s0"}, {}),
        ({}, {}),
    ],
)
def test_a_latch_is_a_clock_as_it_is_known(lua, clock, latch):
    """Of the clocks that the plan names, those confirmed and open are kept with their ends; the others are not."""
    lua.has(x=clock, y=HOUR)
    lua.authorize(FREE, latches=("w", "x"))

    assert latch == {field: value for field, value in lua.record().items() if field.startswith("latch")}


def test_an_opening_is_assumed_under_the_reservations_name(lua):
    """The next send sees the clock as open, but not as certain."""
    first = lua.authorize(case("x"), case(opens="x", length=HOUR, price=5), id="s1", at=MINUTE)
    second = lua.authorize(case("x"), case(opens="x", length=HOUR, price=5), id="s2", at=2 * MINUTE)

    assert (2, 5, 5) == (first.case, first.cost, first.most)
    assert (1, 0, 5) == (second.case, second.cost, second.most)
    assert {"?": HOUR + MINUTE, "&": "s1"} == lua.clock("x")


def test_a_meter_is_taken_with_its_key(lua):
    """The reservation knows which meter it holds a unit of, whatever month it is settled in."""
    lua.authorize(case(meter=HELD))

    assert METER == lua.record()["meter"]
    assert {"reserved": 1} == lua.meter()
    assert 75 * DAY == lua.lifetime(METER)


def test_a_plan_without_cases_takes_its_reservation_alone(lua):
    """No case, no price, no clock, no meter."""
    outcome = lua.authorize()

    assert ("reserved", 0, UNKNOWN) == (outcome.status, outcome.case, outcome.cost)
    assert {"state": "reserved", "facts": "facts", "thread": THREAD} == lua.record()
    assert {} == lua.clocks()


@pytest.mark.parametrize(("had", "has"), [(MINUTE, HOUR), (DAY, DAY)])
def test_lifetimes_only_grow(lua, had, has):
    """A thread lives as long as its last clock, a meter as long as it is asked to; neither is cut."""
    lua.has(w=HOUR, lifetime=had)
    lua.reads(1)
    lua.redis.pexpire(METER, had)
    lua.authorize(case(opens="x", length=HOUR, meter=HELD), meter_lifetime=HOUR)

    assert (has, has) == (lua.lifetime(THREAD), lua.lifetime(METER))


def test_another_name_leads_to_the_same_thread(lua):
    """What is open under the one name is open under the other, and what is taken is taken there."""
    lua.has(x=HOUR)
    lua.link(OTHER, THREAD)
    outcome = lua.authorize(case("x", opens="y", price=1), case(), thread=OTHER)

    assert 1 == outcome.case
    assert THREAD == lua.record()["thread"]
    assert {"?": HOUR, "&": ID} == lua.clock("y")
    assert {"link": THREAD} == lua.clocks(OTHER)


@pytest.mark.parametrize(
    ("steps", "reading", "cost"),
    [
        (((2, 7), (4, 5)), 0, 7),
        (((2, 7), (4, 5)), 1, 7),
        (((2, 7), (4, 5)), 2, 5),
        (((2, 7), (4, 5)), 3, 5),
        (((2, 7), (4, 5)), 4, UNKNOWN),
        (((2, 7), (4, 5), (-1, 3)), 3, 5),
        (((2, 7), (4, 5), (-1, 3)), 4, 3),
        (((-1, 3),), 9, 3),
    ],
)
def test_a_tariff_is_asked_as_far_as_it_goes(lua, steps, reading, cost):
    """Each price up to its bound; beyond the last bound nobody knows it, unless the last step has none."""
    at, counter = 1_792_454_400_000, Meter("volume", "P", "2026-10")
    planned = plan(Sent(phone_number_id="1", recipient="49151"), Account(waba_id="9"), None, rulebook(), now=at)
    row = msgspec.structs.replace(planned.rows[-1], steps=steps, meter=counter)
    planned = msgspec.structs.replace(planned, rows=(row,), bars=(), guards=())
    facts = Facts(id=ID, phone_number_id="1", recipient="49151", product=planned.product, at=at)
    call = calls.authorize("P", planned, facts, commit=False, enforce=True, registry="")
    lua.reads(reading, meter=calls.meter_key("P", counter))
    outcome = wire.outcome(lua.run(call.script, call.keys, *call.arguments))

    assert (cost, reading) == (outcome.cost, outcome.reading)
