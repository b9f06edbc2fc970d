"""`authorize.lua`: what forbids a send, what lets it pass in the cold, and that a refusal takes nothing."""

from __future__ import annotations

import pytest
from verbs import DAY, HELD, HOUR, ID, NOW, REGISTRY, UNKNOWN, WATCH, bar, case

CLOSED = {"!": -HOUR}
FREE = case()


@pytest.fixture
def untouched(lua):
    """Something of everything, and the way to see that none of it was touched."""
    lua.has(w=HOUR, x={"?": HOUR, "&": "s0", "=": HOUR, "@": 0})
    lua.reads(settled=3, reserved=1)
    before = lua.everything()
    return lambda: lua.everything() == before


@pytest.mark.parametrize(
    ("clocks", "refused_by"),
    [
        ({"z": HOUR}, 0),
        ({"x": HOUR, "z": HOUR}, 1),
        ({"x": HOUR, "y": HOUR, "z": HOUR}, 1),
        ({"y": HOUR, "z": HOUR}, 2),
        ({"y": HOUR}, 2),
        ({}, 3),
    ],
)
def test_the_first_bar_that_holds_refuses(lua, clocks, refused_by):
    """Bars are asked in their order: `x` open, `y` open, `z` closed."""
    lua.has(**clocks)
    outcome = lua.authorize(FREE, bars=[bar("x", open=True), bar("y", open=True), bar("z")])

    assert ("refused" if refused_by else "reserved", refused_by) == (outcome.status, outcome.bar)


@pytest.mark.parametrize(
    ("clock", "is_open"),
    [
        ({"": 1, "<": -HOUR}, True),
        ({"": 0, "<": -HOUR}, False),
        ({"": HOUR, "<": -HOUR, "!": -HOUR - 1}, True),
        ({"": HOUR, "<": -HOUR, "!": -HOUR}, False),
        ({"": HOUR, "<": -HOUR, "!": 0}, False),
        ({"": HOUR, "<": -HOUR, "*": -HOUR - 1}, True),
        ({"": HOUR, "<": -HOUR, "*": -HOUR}, False),
        ({"": HOUR, "<": -HOUR, "*": 0}, False),
        ({"?": HOUR, "&": "s0"}, False),
        ({}, False),
    ],
)
def test_a_bar_asks_what_is_confirmed(lua, clock, is_open):
    """A clock is open up to its end and not at it, if it was opened after it was last shut or used up. What is assumed is not."""
    lua.has(x=clock)
    found = [lua.authorize(FREE, bars=[bar("x", open=refuse)], commit=False).status for refuse in (False, True)]

    assert (["picked", "refused"] if is_open else ["refused", "picked"]) == found


def test_a_refusal_says_what_is_open_and_nothing_of_cases(lua):
    """Who is refused still hears of the clocks."""
    lua.has(w=HOUR, x=(-HOUR, 2 * HOUR))
    outcome = lua.authorize(case(price=5), bars=[bar("w", open=True)])

    assert ("refused", 0, 0, 0, UNKNOWN, UNKNOWN) == (
        outcome.status,
        outcome.case,
        outcome.sure,
        outcome.reading,
        outcome.cost,
        outcome.most,
    )
    assert {"w": NOW + HOUR, "x": NOW + 2 * HOUR} == outcome.clocks()


@pytest.mark.parametrize("how", [{"bars": [bar("y")]}, {"commit": False}, {"registry": "7"}])
def test_what_takes_nothing_leaves_no_trace(lua, untouched, how):
    """A refusal, a dry run and a stale plan change no key and no lifetime."""
    outcome = lua.authorize(case(opens="y", meter=HELD), **how)

    assert outcome.status in ("refused", "picked", "stale")
    assert untouched()


def test_what_is_not_enforced_is_only_said(lua):
    """Without `enforce` a bar is named, and the send takes what its case takes."""
    outcome = lua.authorize(case(opens="x", price=5), bars=[bar("w")], enforce=False)

    assert ("reserved", 1, 1, 5) == (outcome.status, outcome.bar, outcome.case, outcome.cost)
    assert {"?": HOUR, "&": ID} == lua.clock("x")


# ----------------------------------------------------------------------------------------------------- cold and stale


@pytest.mark.parametrize(
    ("since", "watched", "cold"),
    [
        (0, None, False),
        (0, HOUR, False),
        (NOW - DAY, None, True),
        (NOW - DAY, -DAY + 1, True),
        (NOW - DAY, -DAY, False),
        (NOW - DAY, -DAY - 1, False),
    ],
)
def test_a_number_is_cold_until_it_was_watched_long_enough(lua, since, watched, cold):
    """Cold is who was never watched, or only from later on than asked for; who asks for no moment is never cold."""
    if watched is not None:
        lua.redis.set(WATCH, NOW + watched, px=DAY)
    outcome = lua.authorize(FREE, bars=[bar("w")], watched_since=since)

    assert (cold, cold, "reserved" if cold else "refused") == (outcome.cold, outcome.unseen, outcome.status)


@pytest.mark.parametrize(
    ("clock", "bars", "plan", "status", "unseen"),
    [
        ({}, [bar("w")], {}, "reserved", True),
        ({}, [bar("w")], {"unseen_closed": True}, "refused", False),
        (CLOSED, [bar("w")], {}, "refused", False),
        ({"": HOUR, "<": 0}, [bar("w")], {}, "reserved", False),
        ({"": HOUR, "<": 0}, [bar("w", open=True)], {}, "refused", False),
        ({}, [bar("w", open=True)], {}, "reserved", False),
        ({}, [bar("w"), bar("v")], {}, "reserved", True),
        ({}, [bar("w"), bar("x", open=True)], {}, "refused", True),
    ],
)
def test_in_the_cold_a_closed_clock_may_be_unseen(lua, clock, bars, plan, status, unseen):
    """A clock that was never heard of lets pass; one that Meta shut, or an operator's word, does not; later bars still hold."""
    lua.has(w=clock, x=HOUR)
    outcome = lua.authorize(FREE, bars=bars, watched_since=NOW - DAY, **plan)

    assert (status, unseen, True) == (outcome.status, outcome.unseen, outcome.cold)


@pytest.mark.parametrize(
    ("asked", "held", "status"),
    [
        ("", None, "reserved"),
        ("", "3", "reserved"),
        ("0", None, "reserved"),
        ("3", "3", "reserved"),
        ("3", None, "stale"),
        ("3", "4", "stale"),
        ("4", "3", "stale"),
        ("0", "1", "stale"),
    ],
)
def test_a_plan_rests_on_one_version_of_the_templates(lua, asked, held, status):
    """When the registry has moved on the plan is stale, before anything else is asked; an empty version rests on none."""
    if held is not None:
        lua.redis.hset(REGISTRY, "version", held)
        lua.redis.pexpire(REGISTRY, DAY)
    outcome = lua.authorize(FREE, registry=asked)

    assert (status, 0, ()) == (outcome.status, outcome.bar, outcome.open)
