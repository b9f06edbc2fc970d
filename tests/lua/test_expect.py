"""`expect.lua` and `park.lua`: a send whose answer named no message gets its name from a status, whichever comes first."""

from __future__ import annotations

import pytest
from verbs import (
    DAY,
    HELD,
    HOUR,
    ID,
    LAPSING,
    MESSAGE,
    METER,
    MINUTE,
    OTHER,
    PARKED,
    RESERVATION,
    SPEND,
    STRAYS,
    THREAD,
    UNNAMED,
    WAMID,
    case,
)

from gatekeeper.ledger import keys

NAMED, WAITS, GONE = b"named", b"waits", b"gone"


def bill(lua) -> dict[str, str]:
    return {field.decode(): value.decode() for field, value in lua.redis.hgetall(SPEND).items()}


def there(lua) -> set[str]:
    return {key.decode() for key in lua.redis.scan_iter()}


@pytest.mark.parametrize("taken", [True, False])
def test_a_send_without_a_name_waits_for_one(lua, taken):
    """It holds what it held, is listed in its thread and by when it lapses; what Meta took is on the bill, what it may have is not."""
    lua.authorize(case(price=7, meter=HELD))
    answer = lua.expect(taken=taken, quote=7)
    state, meter = lua.redis.hmget(RESERVATION, "state", "meter")

    assert [WAITS] == answer
    assert (b"accepted" if taken else b"reserved", METER.encode()) == (state, meter)
    assert {"reserved": 1} == lua.meter()
    assert ({"p#line": "1", "p$line": "7", "o#": "1", "o$": "7"} if taken else {}) == bill(lua)
    assert [ID.encode()] == lua.redis.zrange(LAPSING, 0, -1) == list(lua.redis.hgetall(UNNAMED))
    assert [16 * DAY, 16 * DAY, 38 * DAY] == [lua.lifetime(key) for key in (UNNAMED, LAPSING, RESERVATION)]


@pytest.mark.parametrize("taken", [True, False])
def test_who_asks_again_changes_nothing(lua, taken):
    """While the send waits, once it has its name, and when it is gone."""
    lua.authorize()
    seen = []
    for happens in (lambda: lua.expect(taken=taken), lambda: lua.park("sent", HOUR, THREAD), lambda: lua.redis.delete(MESSAGE)):
        happens()
        before = lua.everything()
        seen.append((lua.expect(taken=taken), before == lua.everything()))

    assert [([WAITS], True), ([GONE], True), ([GONE], True)] == seen


@pytest.mark.parametrize("taken", [True, False])
def test_a_status_names_the_send_that_waits_in_its_thread(lua, taken):
    """It is the message's from then on, on the bill once, and listed nowhere; the status is not parked."""
    lua.authorize(case(price=7))
    lua.expect(taken=taken, quote=7)
    answers = [lua.park("sent", HOUR, THREAD), lua.park("delivered", HOUR, THREAD)]
    record = lua.record(MESSAGE)
    booked = record["state"], record["quote"], record["spend"]

    assert [[], 1] == answers
    assert ("accepted", "7", SPEND) == booked
    assert set() == {"later", "waits", "lapses"} & set(record)
    assert {"p#line": "1", "p$line": "7", "o#": "1", "o$": "7"} == bill(lua)
    assert {MESSAGE, SPEND} == there(lua)
    assert 38 * DAY == lua.lifetime(MESSAGE)


@pytest.mark.parametrize("taken", [True, False])
def test_statuses_that_came_before_name_it_at_once(lua, taken):
    """Whoever asks again, because it did not hear that, hears it once more."""
    lua.authorize(case(price=7))
    parked = [lua.park("sent", HOUR, THREAD, at=1), lua.park("read", HOUR)]
    answers = [lua.expect(taken=taken, quote=7) for _ in range(2)]

    assert ([0, 0], [[NAMED, b"sent", b"read"]] * 2) == (parked, answers)
    assert {"p#line": "1", "p$line": "7", "o#": "1", "o$": "7"} == bill(lua)
    assert {MESSAGE, SPEND, PARKED, STRAYS} == there(lua)


@pytest.mark.parametrize(
    ("how", "parked"),
    [
        ({"at": -1}, "too early"),
        ({"thread": OTHER}, "of another thread"),
        ({"thread": None}, "of no thread"),
    ],
)
@pytest.mark.parametrize("first", ["status", "send"])
def test_another_status_names_nothing(lua, how, parked, first):
    """One of a moment before the send, of another recipient, or of one that cannot name."""
    thread = how.get("thread", THREAD)
    lua.authorize()

    def status():
        return lua.park(parked, HOUR, *([thread] if thread else []), at=how.get("at", 0))

    answers = [status(), lua.expect()] if first == "status" else [lua.expect(), status()]

    assert sorted(map(str, [0, [WAITS]])) == sorted(map(str, answers))
    assert [parked.encode()] == lua.redis.lrange(PARKED, 0, -1)


def test_of_several_sends_the_one_of_its_category_is_named(lua):
    """Else the first of them."""
    for n, product in enumerate(("service", "marketing", "utility")):
        lua.authorize(id=f"s{n}", at=n)
        lua.expect(f"s{n}", product=product, since=n)
    named = []
    for n, category in enumerate(("utility", "", "")):
        lua.park("sent", HOUR, THREAD, wamid=f"w{n}", category=category, at=HOUR)
        named.append(lua.record(keys.message("P", f"w{n}"))["named"])
    left = lua.park("sent", HOUR, THREAD, wamid="w3", at=HOUR)

    assert (["s2", "s0", "s1"], 0) == (named, left)


def test_of_several_messages_the_one_of_its_category_is_its_own(lua):
    """Else the first of them; each is of one send."""
    for n, category in enumerate(("service", "", "marketing")):
        lua.park(f"sent {n}", HOUR, THREAD, wamid=f"w{n}", category=category, at=n)
    answers = []
    for n in range(4):
        lua.authorize(id=f"s{n}")
        answers.append(lua.expect(f"s{n}", product="marketing"))

    assert [[NAMED, b"sent 2"], [NAMED, b"sent 0"], [NAMED, b"sent 1"], [WAITS]] == answers


@pytest.mark.parametrize("first", ["status", "send"])
def test_a_name_that_leads_elsewhere_is_followed(lua, first):
    """The send was dialled by one name of its recipient, and the status has another."""
    lua.link(THREAD, OTHER)
    lua.authorize()
    steps = {"status": lambda: lua.park("sent", HOUR, OTHER), "send": lua.expect}
    steps[first]()
    [other] = set(steps) - {first}
    steps[other]()

    assert ID == lua.record(MESSAGE)["named"]


def test_a_name_that_is_learned_meanwhile_is_followed_too(lua):
    """What waits under the name that was dialled is found by it."""
    lua.authorize()
    lua.expect()
    lua.link(THREAD, OTHER)
    answer = lua.park("sent", HOUR, OTHER, THREAD)

    assert ([], ID) == (answer, lua.record(MESSAGE)["named"])


def test_a_message_that_a_status_gave_away_is_not_given_twice(lua):
    """A status overtook the answer to its own send, and named another that waited: the answer then finds the name taken."""
    lua.authorize(id="s1")
    lua.expect("s1")
    lua.authorize(id="s2")
    lua.park("sent", HOUR, THREAD)
    answers = lua.accept(id="s2"), lua.expect("s2"), lua.park("sent", HOUR, THREAD, wamid="wamid.2")

    assert (None, [WAITS], []) == answers
    assert ["s1", "s2"] == [lua.record(keys.message("P", wamid))["named"] for wamid in (WAMID, "wamid.2")]


@pytest.mark.parametrize("taken", [True, False])
def test_what_lapses_gives_back_what_it_held(lua, taken):
    """The record is gone, and so is its part of what is open; no later status finds it."""
    lua.authorize(case(price=7, meter=HELD))
    lua.expect(taken=taken, quote=7)
    moved = lua.settle(at=8 * DAY, record=RESERVATION, leaving=("reserved", "accepted"), to="released", lifetime=0)
    late = lua.park("delivered", HOUR, THREAD, at=8 * DAY)

    assert ("moved", 0, {}) == (moved.status, late, lua.meter())
    assert "0" == bill(lua).get("o#", "0") == bill(lua).get("o$", "0")
    assert RESERVATION not in there(lua)


def test_what_nobody_knows_is_indexed_as_long_as_it_is_parked(lua):
    """By its first moment, with the category as soon as one is said."""
    lua.park("sent", MINUTE, THREAD, at=5)
    lua.park("delivered", 2 * MINUTE, THREAD, at=9, category="utility")
    lua.authorize()

    assert 2 * MINUTE == lua.lifetime(STRAYS)
    assert [NAMED, b"sent", b"delivered"] == lua.expect(since=5)
