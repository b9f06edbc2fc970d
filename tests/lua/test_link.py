"""`link.lua`: one name of a user stands for another, and what was known under both is merged."""

from __future__ import annotations

import pytest
from verbs import DAY, HOUR, ID, MESSAGE, MINUTE, NOW, OTHER, THREAD, case, opened, orders, shut

from gatekeeper.ledger import keys

A, B, C, D, E, F = (keys.thread("P", "1", name) for name in "abcdef")
OPENS = case(opens="x", length=HOUR, price=7)


def test_a_name_becomes_a_link(lua):
    """A name that nothing was known of leads to the thread from now on, for as long as it is told."""
    assert [1, 0] == [lua.link(OTHER, THREAD, 400 * DAY), lua.link(OTHER, THREAD, 400 * DAY)]
    assert {"link": THREAD} == lua.clocks(OTHER)
    assert {} == lua.clocks(THREAD)
    assert 400 * DAY == lua.lifetime(OTHER)


def test_a_repeated_link_lives_anew(lua):
    """A name that is heard again is kept again."""
    lua.link(OTHER, THREAD, DAY)
    lua.link(OTHER, THREAD, 2 * DAY)

    assert 2 * DAY == lua.lifetime(OTHER)


def test_a_thread_is_no_name_of_itself(lua):
    """Linking it to itself, straight or through its own name, changes nothing."""
    lua.has(w=HOUR)
    lua.link(OTHER, THREAD)
    before = lua.everything()

    assert [0, 0] == [lua.link(THREAD, THREAD), lua.link(THREAD, OTHER)]
    assert before == lua.everything()


# ----------------------------------------------------------------------------------------------------------- merging


@pytest.mark.parametrize(
    ("name", "thread", "merged"),
    [
        ({"": 2 * HOUR, "<": 0}, {}, {"": 2 * HOUR, "<": 0}),
        ({}, {"": 2 * HOUR, "<": 0}, {"": 2 * HOUR, "<": 0}),
        ({"": 2 * HOUR, "<": MINUTE}, {"": HOUR, "<": 0}, {"": 2 * HOUR, "<": MINUTE}),
        ({"": HOUR, "<": 0}, {"": 2 * HOUR, "<": MINUTE}, {"": 2 * HOUR, "<": MINUTE}),
        ({"": HOUR, "<": 0}, {"!": MINUTE}, {"": HOUR, "<": 0, "!": MINUTE}),
        ({"!": MINUTE}, {"": HOUR, "<": 0}, {"": HOUR, "<": 0, "!": MINUTE}),
        ({"!": 0}, {"": HOUR, "<": MINUTE, "!": MINUTE}, {"": HOUR, "<": MINUTE, "!": MINUTE}),
        ({"?": 2 * HOUR, "&": "s2"}, {"?": HOUR, "&": "s1"}, {"?": 2 * HOUR, "&": "s2"}),
        ({"?": HOUR, "&": "s2"}, {"?": 2 * HOUR, "&": "s1"}, {"?": 2 * HOUR, "&": "s1"}),
        ({"?": HOUR, "&": "s2"}, {}, {"?": HOUR, "&": "s2"}),
        (
            {"?": HOUR, "&": "s2", "=": HOUR, "@": 0},
            {"": HOUR, "<": 0},
            {"": HOUR, "<": 0, "?": HOUR, "&": "s2", "=": HOUR, "@": 0},
        ),
    ],
)
def test_the_later_of_each_clock_counts(lua, name, thread, merged):
    """Opened, shut, told and assumed: whatever is later of what was known under the two names; an assumption keeps its owner."""
    lua.has(OTHER, x=name)
    lua.has(THREAD, x=thread)
    lua.link(OTHER, THREAD)

    assert merged == lua.clock("x")
    assert {"link": THREAD} == lua.clocks(OTHER)


@pytest.mark.parametrize(("name", "thread", "merged"), [(DAY, HOUR, DAY), (HOUR, DAY, DAY), (HOUR, None, HOUR)])
def test_a_merged_thread_lives_as_long_as_its_last_clock(lua, name, thread, merged):
    """The longer of both lifetimes."""
    lua.has(OTHER, name, x=HOUR)
    if thread:
        lua.has(THREAD, thread, y=HOUR)
    lua.link(OTHER, THREAD)

    assert merged == lua.lifetime(THREAD)


@pytest.mark.parametrize("first", ["link", "news"])
def test_when_two_names_are_known_to_be_one_does_not_matter(lua, first):
    """What is heard under both names comes to the same, before the link and after it."""
    if first == "link":
        lua.link(OTHER, THREAD)
    lua.observe(opened("x", 0, HOUR), shut("y", MINUTE), thread=OTHER)
    lua.observe(opened("x", MINUTE, 2 * HOUR), opened("y", 0, HOUR), thread=THREAD)
    if first == "news":
        lua.link(OTHER, THREAD)

    assert {"x": 2 * HOUR, "x<": MINUTE, "y": HOUR, "y<": 0, "y!": MINUTE} == lua.clocks()


@pytest.mark.parametrize("assumed_by", [THREAD, OTHER])
def test_an_assumption_is_settled_where_it_went(lua, assumed_by):
    """A send is in flight while its thread becomes a name of another: the clock opens there, and nothing stays assumed."""
    lua.sent(OPENS, thread=assumed_by)
    lua.link(OTHER, THREAD)
    lua.settle(OPENS, at=MINUTE, thread=lua.record(MESSAGE)["thread"])

    assert {"": HOUR + MINUTE, "<": MINUTE} == lua.clock("x")


@pytest.mark.parametrize("fails", ["s1", "s2"])
def test_of_two_assumptions_the_one_left_is_the_later(lua, fails):
    """Both threads had a send in flight. The one whose assumption gave way has none to take back."""
    for sent, thread in (("s1", THREAD), ("s2", OTHER)):
        lua.sent(OPENS, id=sent, wamid=sent, thread=thread, at=0 if sent == "s1" else MINUTE)
    lua.link(OTHER, THREAD)
    lua.fail(at=MINUTE, id=fails, record=keys.message("P", fails), thread=lua.record(keys.message("P", fails))["thread"])

    assert ({} if fails == "s2" else {"?": HOUR + MINUTE, "&": "s2"}) == lua.clock("x")


# ------------------------------------------------------------------------------------------------- chains and rings


@pytest.mark.parametrize("order", orders([(A, B), (B, C), (C, D)]), ids=lambda order: "".join(a[-1] for a, _ in order))
def test_a_chain_leads_to_its_end(lua, order):
    """However three links came about, all four names are one thread."""
    for name in (A, B, C, D):
        lua.observe(opened(name[-1], 0, HOUR), thread=name)
    for name, thread in order:
        lua.link(name, thread)

    assert dict.fromkeys("abcd", NOW + HOUR) == lua.authorize(thread=A, commit=False).clocks()
    for name in (B, C, D):
        assert lua.authorize(thread=A, commit=False).clocks() == lua.authorize(thread=name, commit=False).clocks()


def test_a_name_is_led_straight_to_the_end(lua):
    """A link to a link becomes one to the thread that it stands for, and is new."""
    lua.link(B, C)
    lua.link(C, D)

    assert [1, 0] == [lua.link(B, C), lua.link(B, D)]
    assert {"link": D} == lua.clocks(B)


@pytest.mark.parametrize("names", [2, 3, 4])
def test_names_in_a_circle_stay_one_thread(lua, names):
    """The link that would close a ring is not made."""
    ring = [A, B, C, D][:names]
    lua.observe(opened("x", 0, HOUR), thread=A)
    for name, thread in zip(ring, [*ring[1:], A], strict=True):
        lua.link(name, thread)

    assert {"x": NOW + HOUR} == lua.authorize(thread=ring[0], commit=False).clocks()
    assert 1 == sum("link" not in lua.clocks(name) for name in ring if lua.redis.exists(name))


def test_a_ring_that_is_there_does_not_hang_us(lua):
    """Nothing makes one, but if one is there every script ends, and every key still has a lifetime."""
    for name, thread in ((A, B), (B, A)):
        lua.redis.hset(name, "link", thread)
        lua.redis.pexpire(name, DAY)
    lua.observe(opened("x", 0, HOUR), thread=A)
    outcome = lua.sent(OPENS, thread=A)
    lua.settle(OPENS, at=MINUTE, thread=A)

    assert "reserved" == outcome.status
    assert lua.link(C, A) in (0, 1)


def test_a_chain_of_many_names_keeps_its_clocks(lua):
    """One user may come to have more names than a look-up follows at once; each new one still finds what was known."""
    lua.observe(opened("x", 0, HOUR), thread=A)
    for name, thread in zip((A, B, C, D, E), (B, C, D, E, F), strict=True):
        lua.link(name, thread)
    lua.link(F, A)

    assert {NOW + HOUR} == {lua.authorize(thread=name, commit=False).clocks().get("x") for name in (B, C, D, E, F)}


def test_a_name_can_move_to_another_thread(lua):
    """Meta's newest answer says whom a name stands for; what was known of the old one stays with it."""
    lua.observe(opened("x", 0, HOUR), thread=A)
    lua.link(OTHER, A)
    found = lua.link(OTHER, B)

    assert 1 == found
    assert {"link": B} == lua.clocks(OTHER)
    assert {"x": HOUR, "x<": 0} == lua.clocks(A)


def test_a_link_is_no_clock(lua):
    """Neither is it told as open nor merged as one."""
    lua.link(A, B)
    lua.observe(opened("x", 0, HOUR), thread=B)
    lua.link(B, C)

    assert {"x": NOW + HOUR} == lua.authorize(thread=A, commit=False).clocks()
    assert {"x": HOUR, "x<": 0} == lua.clocks(C)
    assert ID not in lua.clocks(C).values()
