"""`claim.lua` and `conclude.lua`: of any number of repeats one is sent, and the others hear what became of it."""

from __future__ import annotations

import pytest
from verbs import DAY, MINUTE, NOW, REPEAT


def claim(lua, owner: str, *, at: int = 0, digest: str = "body", patience: int = MINUTE) -> tuple[str, ...]:
    answer = lua.run("claim", [REPEAT], NOW + at, owner, digest, patience, DAY)
    return tuple(part.decode() for part in answer)


def conclude(lua, owner: str, outcome: str, answer: str = "") -> int:
    return lua.run("conclude", [REPEAT], owner, outcome, answer)


def test_the_first_claims_and_its_repeats_wait(lua):
    """The claim lives as long as a repeat is promised its answer, counted from the first."""
    assert [("first", "s1"), ("waiting", "s1"), ("waiting", "s1")] == [
        claim(lua, owner, at=at) for owner, at in (("s1", 0), ("s2", 1), ("s3", MINUTE))
    ]
    assert DAY == lua.lifetime(REPEAT)


@pytest.mark.parametrize(
    ("outcome", "repeat"),
    [("answered", ("answered", "s1", "200")), ("lost", ("unknown", "s1")), ("free", ("first", "s2"))],
)
def test_a_repeat_hears_what_became_of_the_first(lua, outcome, repeat):
    """The same answer; that nobody knows; or, where nothing was sent, that it is the first itself."""
    claim(lua, "s1")

    assert 1 == conclude(lua, "s1", outcome, "200")
    assert repeat == claim(lua, "s2")


@pytest.mark.parametrize("outcome", [None, "answered", "lost"])
def test_another_body_is_a_conflict_whatever_became_of_the_first(lua, outcome):
    """A key belongs to one body, on its way or answered."""
    claim(lua, "s1")
    if outcome:
        conclude(lua, "s1", outcome, "200")
    before = lua.everything()

    assert ("conflict", "s1") == claim(lua, "s2", digest="other", at=2 * MINUTE)
    assert before == lua.everything()


@pytest.mark.parametrize(("at", "answer"), [(MINUTE, "waiting"), (MINUTE + 1, "unknown")])
def test_a_first_that_never_answered_counts_as_lost(lua, at, answer):
    """Not before all of the patience has passed."""
    claim(lua, "s1")

    assert (answer, "s1") == claim(lua, "s2", at=at)


@pytest.mark.parametrize("outcome", ["answered", "lost", "free"])
@pytest.mark.parametrize("claimed", [True, False])
def test_only_the_first_speaks_for_its_key(lua, outcome, claimed):
    """Neither another send nor one whose claim has ended changes anything."""
    if claimed:
        claim(lua, "s1")
    before = lua.everything()

    assert 0 == conclude(lua, "s2", outcome, "200")
    assert before == lua.everything()


def test_a_conclusion_leaves_the_lifetime(lua):
    """A repeat gets the answer for as long as it was promised at the first."""
    claim(lua, "s1")
    lua.redis.pexpire(REPEAT, MINUTE)
    conclude(lua, "s1", "answered", "200")

    assert MINUTE == lua.lifetime(REPEAT)
