"""`observe.lua`: what opens, shuts and ends a clock, in whatever order and how often it is said."""

from __future__ import annotations

import pytest
from verbs import DAY, HOUR, ID, MESSAGE, MINUTE, NOW, OTHER, THREAD, case, opened, orders, shut, told

OPENS = case(opens="x", length=HOUR)


def is_open(lua, at: int = 0) -> bool:
    """Whether `x` counts as open for a send."""
    return 1 == lua.authorize(case("x"), case(), at=at, commit=False).sure


# ----------------------------------------------------------------------------------------------------------- opening


def test_what_opens_runs_until_its_end(lua):
    """The clock keeps when it was opened and until when it is open; the thread lives as long."""
    assert 1 == lua.observe(opened("x", -MINUTE, HOUR))
    assert {"": HOUR, "<": -MINUTE} == lua.clock("x")
    assert HOUR == lua.lifetime(THREAD)


@pytest.mark.parametrize("order", [("early", "late"), ("late", "early"), ("late", "early", "late", "early")], ids=str)
def test_the_later_end_counts_in_any_order(lua, order):
    """A clock only moves forward, whatever is heard twice or late."""
    changes = {"early": opened("x", -2 * MINUTE, HOUR), "late": opened("x", -MINUTE, 2 * HOUR)}
    moved = [lua.observe(changes[which]) for which in order]

    assert {"": 2 * HOUR, "<": -MINUTE} == lua.clock("x")
    assert [1, order[0] == "early", 0, 0][: len(order)] == moved


@pytest.mark.parametrize("at", [0, HOUR])
def test_what_was_over_before_it_was_heard_of_is_not_kept(lua, at):
    """News of a window that has ended opens nothing."""
    assert 0 == lua.observe(opened("x", -DAY, 0), at=at)
    assert {} == lua.clocks()


def test_one_webhook_moves_several_clocks(lua):
    """Each change counts for itself, and what is old among them costs the others nothing."""
    lua.has(w=HOUR)

    assert 3 == lua.observe(
        opened("w", 0, HOUR), opened("x", 0, HOUR), shut("y", 0), opened("z", 0, 2 * HOUR), opened("z", 0, HOUR)
    )
    assert {"w": HOUR, "w<": 0, "x": HOUR, "x<": 0, "y!": 0, "z": 2 * HOUR, "z<": 0} == lua.clocks()


def test_nothing_changes_nothing(lua):
    """An empty list is no news."""
    assert 0 == lua.observe()
    assert {} == lua.everything()


# ---------------------------------------------------------------------------------------------------------- shutting


@pytest.mark.parametrize("since", [-MINUTE, 0, MINUTE])
@pytest.mark.parametrize(
    "order", [*orders(["open", "shut"]), ("open", "shut", "open", "shut"), ("shut", "open", "open")], ids=str
)
def test_shutting_counts_against_what_was_opened_up_to_then(lua, order, since):
    """A clock that was opened before, or in the same instant, is closed; one that was opened after is open."""
    for which in order:
        lua.observe(opened("x", since, HOUR) if which == "open" else shut("x", 0, HOUR), at=MINUTE)

    assert (since > 0) == is_open(lua, MINUTE)


@pytest.mark.parametrize("order", orders([0, MINUTE, 2 * MINUTE]), ids=str)
def test_the_latest_shutting_counts(lua, order):
    """An earlier one that is heard of later takes nothing back."""
    for at in order:
        lua.observe(shut("x", at))

    assert {"!": 2 * MINUTE} == lua.clock("x")


def test_a_shutting_that_no_opening_can_survive_is_not_kept(lua):
    """What it could have closed has ended by itself."""
    assert 0 == lua.observe(shut("x", -DAY, 0))
    assert {} == lua.everything()


def test_a_shutting_heard_of_late_counts_against_what_is_still_open(lua):
    """Meta told an end beyond the usual length; a denial of it may be heard of after that length, and before that end."""
    lua.has(x=(0, 7 * DAY), lifetime=7 * DAY)
    lua.observe(shut("x", HOUR, 3 * DAY), at=4 * DAY)

    assert not is_open(lua, 4 * DAY)


def test_a_thread_that_was_only_shut_lives_until_that_has_lost_its_meaning(lua):
    """Closed is remembered as a moment, not as a state, and for no longer than it can matter."""
    lua.observe(shut("x", 0, HOUR))

    assert HOUR == lua.lifetime(THREAD)


@pytest.mark.parametrize(
    ("by", "left"), [(ID, {"!": 0}), ("s2", {"?": HOUR, "&": ID, "!": 0}), ("", {"?": HOUR, "&": ID, "!": 0})]
)
def test_a_denied_message_takes_back_what_it_assumed(lua, by, left):
    """Meta says that this very message opened nothing; what another assumes may still come true."""
    lua.sent(OPENS)
    lua.observe(shut("x", 0, by=by))

    assert left == lua.clock("x")


@pytest.mark.parametrize("order", orders(["own", "later"]), ids=str)
def test_a_denial_takes_back_the_assumption_in_any_order(lua, order):
    """Also when a later denial, of another message, was heard of first."""
    lua.sent(OPENS)
    for which in order:
        lua.observe(shut("x", 0, by=ID) if which == "own" else shut("x", MINUTE, by="s2"))

    assert {"!": MINUTE} == lua.clock("x")


# ----------------------------------------------------------------------------------------------------- Meta's own end


@pytest.mark.parametrize(
    ("ends", "until"), [(2 * HOUR, 2 * HOUR), (MINUTE, MINUTE), (HOUR, HOUR), (-MINUTE, HOUR), (-2 * MINUTE, HOUR)]
)
def test_metas_end_corrects_what_is_open(lua, ends, until):
    """It lengthens or shortens, unless it lies before the opening and so speaks of another."""
    lua.has(x=(-MINUTE, HOUR))
    moved = lua.observe(told("x", 0, ends))

    assert (until != HOUR) == moved
    assert (until, -MINUTE) == (lua.clock("x")[""], lua.clock("x")["<"])


@pytest.mark.parametrize("order", orders([0, MINUTE, 2 * MINUTE]), ids=str)
def test_metas_newest_word_on_an_end_counts(lua, order):
    """Not the longest, and not the one heard of last."""
    ends = {0: 3 * HOUR, MINUTE: 5 * HOUR, 2 * MINUTE: 4 * HOUR}
    lua.has(x=HOUR, y=0)
    for at in order:
        lua.observe(told("x", at, ends[at]), told("y", at, ends[at]))

    assert 4 * HOUR == lua.clock("x")[""]
    assert 4 * HOUR == lua.clock("y")["?"]


def test_metas_end_of_what_is_not_open_is_believed_without_confirming(lua):
    """It is assumed from then on: a send expects it, no bound rests on it, and a delivery opens with that end."""
    assert 1 == lua.observe(told("x", 0, 2 * HOUR, by=ID))
    outcome = lua.sent(case("x"), case(opens="x", price=7))

    assert (1, 2, 0, 7) == (outcome.case, outcome.sure, outcome.cost, outcome.most)
    assert 2 == lua.settle(case("x"), case(opens="x", price=7), at=MINUTE).case
    assert {"": 2 * HOUR, "<": MINUTE} == {sign: lua.clock("x")[sign] for sign in ("", "<")}


@pytest.mark.parametrize(("fails", "left"), [(ID, 2 * HOUR), ("s2", None)])
def test_metas_end_of_an_assumed_clock_hangs_on_the_message_it_was_told_of(lua, fails, left):
    """It replaces the length that was guessed for the first send, whose failure does not take it back; that of its own message does."""
    lua.sent(OPENS)
    lua.sent(case("x"), OPENS, id="s2", wamid="s2")
    lua.observe(told("x", MINUTE, 2 * HOUR, by="s2"))
    assert {"?": 2 * HOUR, "=": 2 * HOUR, "@": MINUTE, "&": "s2"} == lua.clock("x")
    lua.fail(at=2 * MINUTE, id=fails, record=MESSAGE if fails == ID else MESSAGE.replace("wamid.1", fails))

    assert (left, left) == (lua.clock("x").get("?"), lua.clock("x").get("="))


@pytest.mark.parametrize(("clock", "ends"), [({}, 0), ({}, -MINUTE), ({"": 0, "<": -HOUR}, 0), ({"": 0, "<": -HOUR}, -MINUTE)])
def test_an_end_in_the_past_opens_nothing(lua, clock, ends):
    """What is over is over."""
    lua.has(x=clock, w=HOUR)
    lua.observe(told("x", -2 * HOUR, ends))

    assert {"w": NOW + HOUR} == lua.authorize(commit=False).clocks()
    assert "?" not in lua.clock("x")


def test_a_repeated_word_changes_nothing(lua):
    """Neither on what is open nor on what is assumed."""
    lua.has(x=HOUR)
    for clock in ("x", "y"):
        lua.observe(told(clock, 0, 2 * HOUR, by=ID))
    before = lua.everything()
    moved = [lua.observe(told(clock, 0, 2 * HOUR, by=ID)) for clock in ("x", "y")]

    assert before == lua.everything()
    assert [0, 0] == moved


@pytest.mark.parametrize("order", orders(["denied", "told"]), ids=str)
@pytest.mark.parametrize("at", [-MINUTE, 0, MINUTE])
def test_one_webhook_may_deny_and_tell_of_one_clock(lua, order, at):
    """Changes of one list see what those before them did: nothing stays assumed that no settlement would ever take back."""
    lua.sent(OPENS)
    changes = {"denied": shut("x", 0, by=ID), "told": told("x", at, DAY, by=ID)}
    lua.observe(*(changes[which] for which in order))
    assert at > 0 or "?" not in lua.clock("x")
    lua.settle(case(), at=2 * MINUTE)

    assert not {"?", "&"} & set(lua.clock("x"))


# --------------------------------------------------------------------------------------------------------- lifetimes


@pytest.mark.parametrize("change", [opened("x", 0, HOUR), shut("x", 0, HOUR), told("x", 0, HOUR)], ids=lambda change: change.kind)
@pytest.mark.parametrize(("had", "has"), [(None, HOUR), (MINUTE, HOUR), (DAY, DAY)])
def test_a_thread_lives_as_long_as_its_last_clock(lua, change, had, has):
    """Every change lengthens the lifetime where that is needed, and none cuts it."""
    if had:
        lua.has(w=MINUTE, lifetime=had)
    lua.observe(change)

    assert has == lua.lifetime(THREAD)


def test_metas_shorter_end_leaves_the_thread_its_lifetime(lua):
    """Other clocks run on."""
    lua.observe(opened("w", 0, DAY), opened("x", 0, DAY))
    lua.observe(told("x", 0, HOUR))

    assert DAY == lua.lifetime(THREAD)


def test_what_is_observed_under_another_name_moves_the_thread(lua):
    """A link leads there, and stays nothing but a link."""
    lua.link(OTHER, THREAD)
    lua.observe(opened("x", 0, HOUR), thread=OTHER)

    assert {"x": HOUR, "x<": 0} == lua.clocks()
    assert {"link": THREAD} == lua.clocks(OTHER)
    assert NOW + HOUR == lua.authorize(thread=OTHER, commit=False).clocks()["x"]
    assert {} == lua.record(MESSAGE)
