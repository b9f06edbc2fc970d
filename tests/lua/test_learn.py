"""`learn.lua`: facts are kept side by side, and the version counts what changed."""

from __future__ import annotations

import pytest
from verbs import DAY, HOUR, REGISTRY

from gatekeeper.ledger import wire


def learn(lua, facts: dict[str, str], *, version: str = "", lifetime: int = DAY) -> str:
    return lua.run("learn", [REGISTRY], wire.learned(facts, version), lifetime).decode()


def kept(redis) -> dict[str, str]:
    return {field.decode(): value.decode() for field, value in redis.hgetall(REGISTRY).items()}


def test_facts_are_kept_side_by_side(lua, redis):
    """None overwrites another; each change is a new version."""
    versions = [learn(lua, {"x a": "1"}), learn(lua, {"x b": "2", "y a": "3"}), learn(lua, {"x a": "4"})]

    assert ["1", "2", "3"] == versions
    assert {"x a": "4", "x b": "2", "y a": "3", "version": "3"} == kept(redis)


def test_what_is_known_is_no_news(lua, redis):
    """The version stays, however often Meta says it again."""
    learn(lua, {"x a": "1"})

    assert ["1", "1", "1"] == [learn(lua, {"x a": "1"}), learn(lua, {}), learn(lua, {"x b": ""})]
    assert {"x a": "1", "version": "1"} == kept(redis)


def test_an_empty_fact_is_forgotten(lua, redis):
    """It leaves no field behind."""
    learn(lua, {"x a": "1", "x b": "2"})

    assert "2" == learn(lua, {"x a": ""})
    assert {"x b": "2", "version": "2"} == kept(redis)


@pytest.mark.parametrize(("version", "answer"), [("1", "2"), ("", "2"), ("0", "stale"), ("2", "stale"), ("x", "stale")])
def test_what_rests_on_an_older_version_is_stale(lua, redis, version, answer):
    """It changes nothing: whoever wrote in between knew better. An empty version rests on none."""
    learn(lua, {"x a": "1"})

    assert answer == learn(lua, {"x a": "2"}, version=version)
    assert ("1" if answer == "stale" else "2") == kept(redis)["x a"]


def test_the_first_version_of_all_is_nought(lua, redis):
    """What is learned before anything was known rests on that."""
    assert ["1", "stale"] == [learn(lua, {"x a": "1"}, version="0"), learn(lua, {"x a": "2"}, version="0")]
    assert "1" == kept(redis)["x a"]


def test_the_registry_lives_on_while_it_is_told_something(lua):
    """Even what is no news keeps it; a shorter life does not cut it off, and a stale word does not prolong it."""
    learn(lua, {"x a": "1"}, lifetime=HOUR)
    learn(lua, {"x a": "1"}, lifetime=DAY)
    learn(lua, {"x a": "1"}, lifetime=HOUR)
    learn(lua, {"x a": "2"}, lifetime=2 * DAY, version="0")

    assert DAY == lua.lifetime(REGISTRY)
