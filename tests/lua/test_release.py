"""`settle.lua`: what a refusal and a failure give back, and what a message finds whose thread became another's."""

from __future__ import annotations

import pytest
from verbs import DAY, HELD, HOUR, ID, MESSAGE, MINUTE, OTHER, RESERVATION, SPEND, THREAD, UNKNOWN, case, told

INSIDE, OPENS = case("x"), case(opens="x", length=HOUR, price=7)


def test_a_refused_send_leaves_nothing_at_all(lua):
    """Meta never took it, so no status will ever name it."""
    lua.has(w=HOUR)
    lua.reads(3, reserved=1)
    before = lua.everything()
    lua.authorize(case(opens="x", meter=HELD), meter_lifetime=HOUR)

    assert "moved" == lua.release().status
    assert before == lua.everything()


def test_a_refused_send_leaves_metas_word_alone(lua):
    """When Meta last spoke of a clock stays known: an older word must not count after a newer one."""
    lua.observe(told("x", 0, HOUR, by="s0"))
    lua.authorize(OPENS, at=2 * HOUR)
    lua.release(at=2 * HOUR)

    assert {"@": 0, "=": HOUR} == lua.clock("x")


def test_a_failed_message_gives_back_what_it_took(lua):
    """The clock that it assumed and its unit; only its record stays, that it may fail only once."""
    lua.has(w=HOUR)
    lua.sent(case(opens="x", meter=HELD))
    settled = lua.fail(at=0)

    assert ("moved", 0, UNKNOWN) == (settled.status, settled.case, settled.cost)
    assert {"w": HOUR, "w<": 0} == lua.clocks()
    assert {} == lua.meter()
    assert {MESSAGE.encode(), THREAD.encode(), SPEND.encode()} == set(lua.everything())
    assert "released" == lua.record(MESSAGE)["state"]


def test_a_failure_does_not_give_back_what_another_holds(lua):
    """Two are in flight and the first assumed the clock: the second's failure leaves it."""
    lua.sent(INSIDE, OPENS)
    lua.sent(INSIDE, OPENS, id="s2", wamid="2")
    lua.fail(at=MINUTE, id="s2", record=MESSAGE.replace("wamid.1", "2"))

    assert {"?": HOUR, "&": ID} == lua.clock("x")


@pytest.mark.parametrize("name", ["s 1", " s1", "s1 s2", "s-1.%d+", "ß\n"])
@pytest.mark.parametrize("heard", [False, True])
def test_a_failure_gives_back_under_any_name(lua, name, heard):
    """A recorded history names its sends as it likes."""
    lua.sent(OPENS, id=name)
    if heard:
        lua.observe(told("x", 0, DAY, by=name))
    lua.fail(at=MINUTE, id=name)

    assert not {"?", "&", "="} & set(lua.clock("x"))


def test_what_was_told_of_several_falls_with_the_last_of_them(lua):
    """Nothing stays assumed when all that Meta told an end with have failed."""
    for sent in ("s1", "s2"):
        lua.sent(INSIDE, OPENS, id=sent, wamid=sent)
    for sent in ("s1", "s2", "s1"):
        lua.observe(told("x", 0, DAY, by=sent))
    for sent in ("s1", "s2"):
        lua.fail(at=MINUTE, id=sent, record=MESSAGE.replace("wamid.1", sent))

    assert not {"?", "&", "="} & set(lua.clock("x"))


def test_a_failure_does_not_close_what_is_confirmed(lua):
    """A delivery in between has opened the clock for itself."""
    lua.sent(INSIDE, OPENS)
    lua.sent(INSIDE, OPENS, id="s2", wamid="2")
    lua.settle(INSIDE, OPENS, at=MINUTE, id="s2", record=MESSAGE.replace("wamid.1", "2"))
    lua.fail(at=2 * MINUTE)

    assert {"": HOUR + MINUTE, "<": MINUTE} == lua.clock("x")


def test_a_release_comes_once(lua):
    """What was refused is gone, and its unit is not given back twice."""
    lua.reads(reserved=1)
    lua.authorize(case(meter=HELD))

    assert ["moved", "ignored"] == [lua.release().status for _ in range(2)]
    assert {"settled": 0, "reserved": 1} == lua.meter()
    assert {} == lua.record(RESERVATION)


# -------------------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("linked", ["before", "between"])
def test_a_message_settles_on_the_thread_that_its_own_became(lua, linked):
    """Whether the two names were known to be one when it was sent, or only later."""
    if linked == "before":
        lua.link(OTHER, THREAD)
    lua.sent(OPENS, thread=OTHER)
    if linked == "between":
        lua.link(OTHER, THREAD)
    lua.settle(OPENS, at=MINUTE, thread=lua.record(MESSAGE)["thread"])

    assert {"": HOUR + MINUTE, "<": MINUTE} == lua.clock("x")
    assert {"link": THREAD} == lua.clocks(OTHER)
