"""`settle.lua`: what a delivery opens, until when, and what it knows of deliveries and words that were heard of in another order."""

from __future__ import annotations

import pytest
from verbs import (
    COUNTED,
    DAY,
    DELIVERIES,
    HOUR,
    ID,
    MESSAGE,
    MINUTE,
    NOW,
    OTHER,
    OTHER_DELIVERIES,
    SPEND,
    THREAD,
    case,
    orders,
    proven,
    shut,
    told,
)

INSIDE, OPENS = case("x"), case(opens="x", length=HOUR, price=7)


# ---------------------------------------------------------------------------------------------- what a delivery opens


def test_a_delivery_opens_from_its_own_time(lua):
    """What was assumed since the send becomes certain since the delivery."""
    lua.sent(OPENS)
    lua.settle(OPENS, at=MINUTE)

    assert {"": HOUR + MINUTE, "<": MINUTE} == lua.clock("x")


def test_a_delivery_inside_opens_nothing(lua):
    """A clock that is open is not lengthened by what it covers."""
    lua.has(x=HOUR)
    lua.sent(INSIDE, OPENS)
    lua.settle(INSIDE, OPENS, at=MINUTE)

    assert {"": HOUR, "<": 0} == lua.clock("x")


@pytest.mark.parametrize("order", orders(["s1", "s2"]), ids=str)
def test_of_two_in_flight_the_first_delivered_opens(lua, order):
    """Not the first that was sent; the other was inside, and nothing stays assumed."""
    for sent in ("s1", "s2"):
        lua.sent(INSIDE, OPENS, id=sent, wamid=sent)
    costs = {
        sent: lua.settle(INSIDE, OPENS, at=at, id=sent, record=MESSAGE.replace("wamid.1", sent)).cost
        for at, sent in enumerate(order, 1)
    }

    assert {order[0]: 7, order[1]: 0} == costs
    assert {"": HOUR + 1, "<": 1} == lua.clock("x")


def test_anothers_assumption_stays_until_it_is_settled(lua):
    """A delivery takes back only what its own send assumed."""
    lua.has(x={"?": HOUR, "&": "s0"}, y={"?": HOUR, "&": ID}, z={"?": HOUR, "&": ID})
    lua.sent()
    lua.settle(case(), at=MINUTE)

    assert {"x?": HOUR, "x&": "s0"} == lua.clocks()


def test_the_clock_that_made_it_open_is_used_up(lua):
    """An ad is answered once: openings up to the delivery no longer count, later ones do."""
    lua.has(y=DAY)
    lua.sent()
    lua.settle(case("y", opens="x"), at=MINUTE)

    assert {"": DAY, "<": 0, "*": MINUTE} == lua.clock("y")


def test_what_was_used_up_is_used_up_by_the_first_delivery(lua):
    """An earlier use that is heard of later is the one that counts; the other finds nothing to use when it is settled again."""
    lua.has(y=DAY)
    for sent in ("s1", "s2"):
        lua.sent(id=sent, wamid=sent)
    answers = case("y", opens="x"), case()
    lua.delivered(*answers, at=3 * MINUTE, sent="s1")
    lua.delivered(*answers, at=2 * MINUTE, sent="s2")
    again = lua.delivered(*answers, at=3 * MINUTE, sent="s1", again=1)

    assert 2 == again.case
    assert {"": DAY, "<": 0, "*": 2 * MINUTE} == lua.clock("y")


def test_a_clock_that_runs_longer_is_not_cut(lua):
    """Where Meta counts a message in what is open for longer already, that stays as it is."""
    lua.has(x=DAY)
    lua.sent()
    lua.settle(OPENS, at=MINUTE)

    assert {"": DAY, "<": 0} == lua.clock("x")


@pytest.mark.parametrize(("had", "at", "has"), [(MINUTE, 0, HOUR), (DAY, 0, DAY), (MINUTE, -MINUTE, HOUR)])
def test_a_thread_lives_as_long_as_its_last_clock(lua, had, at, has):
    """Its lifetime is lengthened by what opens, never cut."""
    lua.has(w=HOUR, lifetime=had)
    lua.sent()
    lua.redis.pexpire(THREAD, had)
    lua.settle(OPENS, at=at)

    assert has == lua.lifetime(THREAD)


# --------------------------------------------------------------------------------------------------- what Meta told


@pytest.mark.parametrize("ends", [2 * HOUR, HOUR // 2, MINUTE])
def test_an_expiry_told_before_the_delivery_is_believed_with_it(lua, ends):
    """Longer or shorter than ours; when it is over by the time of the delivery, nothing is open after it."""
    lua.sent(OPENS)
    lua.observe(told("x", 0, ends, by=ID))
    lua.settle(OPENS, at=MINUTE)

    assert (ends > MINUTE) == (lua.clock("x").get("", 0) == ends > MINUTE)
    assert (ends > MINUTE) == (1 == lua.authorize(INSIDE, case(), at=MINUTE, commit=False).case)


@pytest.mark.parametrize("between", ["nothing", "a denial"])
def test_an_expiry_of_an_earlier_opening_says_nothing_of_a_later_one(lua, between):
    """The clock that Meta spoke of has ended, by itself or by Meta's word; the next one runs as long as any."""
    lua.sent(OPENS)
    lua.settle(OPENS, at=0)
    lua.observe(told("x", 0, DAY if between == "a denial" else HOUR + 1, by=ID))
    if between == "a denial":
        lua.observe(shut("x", HOUR, by="s0"))
    lua.sent(OPENS, id="s2", wamid="2", at=2 * HOUR)
    lua.settle(OPENS, at=2 * HOUR, id="s2", record=MESSAGE.replace("wamid.1", "2"))

    assert (3 * HOUR, 2 * HOUR) == (lua.clock("x")[""], lua.clock("x")["<"])


def test_what_a_failed_message_was_told_is_forgotten(lua):
    """The expiry of a conversation that never opened does not cut the one that another message opens later."""
    lua.sent(OPENS)
    lua.observe(told("x", 0, HOUR, by=ID))
    lua.fail(at=MINUTE)
    lua.sent(id="s2", wamid="2", at=30 * MINUTE)
    lua.settle(OPENS, at=30 * MINUTE, id="s2", record=MESSAGE.replace("wamid.1", "2"))

    assert 30 * MINUTE + HOUR == lua.clock("x")[""]


@pytest.mark.parametrize("order", orders(["older", "newer", "delivery"]), ids=str)
def test_metas_newest_word_on_an_end_outlasts_a_settlement(lua, order):
    """An older word that is heard after a newer one changes nothing, whether a delivery came between or not."""
    lua.sent(OPENS)
    steps = {
        "older": lambda: lua.observe(told("x", MINUTE, 2 * HOUR, by="s2")),
        "newer": lambda: lua.observe(told("x", 2 * MINUTE, 3 * HOUR, by=ID)),
        "delivery": lambda: lua.settle(OPENS, at=3 * MINUTE),
    }
    for step in order:
        steps[step]()

    assert (3 * HOUR, 3 * MINUTE) == (lua.clock("x")[""], lua.clock("x")["<"])


# ------------------------------------------------------------------------------------------------- heard out of order


@pytest.mark.parametrize(("at", "chosen"), [(10, 2), (20 - HOUR, 2), (19, 2), (20, 1), (21, 1)])
def test_what_no_delivery_is_known_to_have_opened_stays_where_it_is(lua, at, chosen):
    """A clock of which the log knows nothing, as the version before wrote it, does not begin earlier."""
    lua.sent()
    lua.has(x=(20, 20 + HOUR))
    settled = lua.settle(INSIDE, OPENS, at=at)

    assert (chosen, ()) == (settled.case, settled.late)
    assert {"": 20 + HOUR, "<": 20} == lua.clock("x")


@pytest.mark.parametrize(("at", "again"), [(10, 1), (20 - HOUR + 1, 1), (20 - HOUR, 2), (19, 1)])
def test_a_delivery_heard_of_after_a_later_one_comes_first(lua, at, again):
    """It opened, for it was the first in life; the later one is settled again, inside as long as the earlier conversation runs."""
    for sent in ("s1", "s2"):
        lua.sent(id=sent, wamid=sent)
    lua.delivered(INSIDE, OPENS, at=20, sent="s2")
    first = lua.delivered(INSIDE, OPENS, at=at, sent="s1")
    second = lua.delivered(INSIDE, OPENS, at=20, sent="s2", again=1)

    assert (2, ("s2",)) == (first.case, first.late)
    assert ("moved" if again == 1 else "same", again) == (second.status, second.case)
    began = at if again == 1 else 20
    assert {"": began + HOUR, "<": began} == lua.clock("x")


def test_a_clock_whose_length_nobody_says_does_not_begin_earlier(lua):
    """Only conversations and free entry points begin with a delivery; a window does not."""
    lua.sent()
    lua.has(x=(20, HOUR))

    assert 2 == lua.settle(INSIDE, case(), at=10).case
    assert {"": HOUR, "<": 20} == lua.clock("x")


def test_a_clock_that_was_shut_does_not_begin_earlier(lua):
    """What Meta denied was not open before either."""
    lua.sent()
    lua.has(x={"": HOUR, "<": 20, "!": 20})

    assert 2 == lua.settle(INSIDE, case(), at=10).case


def test_an_opening_heard_of_late_begins_the_clock(lua):
    """Also where the case that holds opens the clock anew, by Meta's word; the later one opened it too, if Meta says so."""
    for sent in ("s1", "s2"):
        lua.sent(id=sent, wamid=sent)
    lua.delivered(OPENS, at=20, sent="s2")
    lua.delivered(OPENS, at=10, sent="s1")

    assert {"": 10 + HOUR, "<": 10} == lua.clock("x")
    assert {"s1": (10, "x"), "s2": (20, "-x")} == lua.deliveries()
    assert "same" == lua.delivered(OPENS, at=20, sent="s2", again=1).status
    assert {"": 20 + HOUR, "<": 20} == lua.clock("x")


@pytest.mark.parametrize("order", orders(["s1", "s2"]), ids=str)
@pytest.mark.parametrize("senders", orders(["s1", "s2"]), ids=str)
def test_metas_expiry_holds_whichever_delivery_is_heard_first(lua, senders, order):
    """Meta told an end beyond our own length; that a delivery comes first in life and is heard of second does not undo its word."""
    for sent in senders:
        lua.sent(INSIDE, OPENS, id=sent, wamid=sent)
    lua.observe(told("x", 0, DAY, by=ID))
    for sent in order:
        at = {"s1": 10, "s2": 20}
        for late in lua.delivered(INSIDE, OPENS, at=at[sent], sent=sent).late:
            lua.delivered(INSIDE, OPENS, at=at[late], sent=late, again=1)

    assert {"": DAY, "<": 10} == {sign: lua.clock("x")[sign] for sign in ("", "<")}


# ------------------------------------------------------------------------------------------- the log of deliveries


def test_the_log_has_what_later_words_may_change(lua):
    """What opened, what joined, and what would have been something else beside an opening; nothing of what has but one case."""
    for sent in ("s1", "s2", "s3", "s4"):
        lua.sent(id=sent, wamid=sent)
    lua.delivered(INSIDE, OPENS, at=10, sent="s1")
    lua.delivered(INSIDE, OPENS, at=20, sent="s2")
    lua.delivered(case("y"), case(), at=30, sent="s3")
    lua.delivered(case(), at=40, sent="s4")

    assert {"s1": (10, "x"), "s2": (20, ""), "s3": (30, "")} == lua.deliveries()
    assert 8 * DAY == lua.lifetime(DELIVERIES)


def test_what_comes_after_a_late_opening_is_settled_again_in_order(lua):
    """Every delivery after it is stale until then, with or without an opening of its own; those before it are not."""
    for sent in ("s0", "s1", "s2", "s3"):
        lua.sent(id=sent, wamid=sent)
    for at, sent in ((-2 * HOUR, "s0"), (20, "s2"), (30, "s3")):
        lua.delivered(INSIDE, OPENS, at=at, sent=sent)
    late = lua.delivered(INSIDE, OPENS, at=10, sent="s1").late

    assert ("s2", "s3") == late
    assert {"s0": (-2 * HOUR, "x"), "s1": (10, "x"), "s2": (20, "-x"), "s3": (30, "-")} == lua.deliveries()
    again = [lua.delivered(INSIDE, OPENS, at=at, sent=sent, again=1) for at, sent in ((20, "s2"), (30, "s3"))]
    assert [("moved", 1, 0), ("same", 1, 0)] == [(each.status, each.case, each.cost) for each in again]
    assert {"s0": (-2 * HOUR, "x"), "s1": (10, "x"), "s2": (20, ""), "s3": (30, "")} == lua.deliveries()
    assert {"": 10 + HOUR, "<": 10} == lua.clock("x")


def test_what_was_not_settled_again_comes_back_with_the_next_delivery(lua):
    """Whoever was to do it broke off: the mark stays until it is done, and does nothing twice."""
    for sent in ("s1", "s2", "s3"):
        lua.sent(id=sent, wamid=sent)
    lua.delivered(INSIDE, OPENS, at=20, sent="s2")
    lua.delivered(INSIDE, OPENS, at=10, sent="s1")

    assert ("s2",) == lua.delivered(INSIDE, OPENS, at=30, sent="s3").late
    assert ["moved", "ignored"] == [lua.delivered(INSIDE, OPENS, at=20, sent="s2", again=1).status for _ in range(2)]


def test_a_rewound_clock_is_what_it_was_before(lua):
    """The opening before the late one is whole again until the later ones are settled again: its end as Meta said it, its id, its proof."""
    for sent in ("s1", "s2", "s3"):
        lua.sent(id=sent, wamid=sent)
    lua.delivered(INSIDE, OPENS, at=0, sent="s1", conversations={"x": "a"}, told={"x": NOW + 2 * HOUR})
    before = lua.clock("x")
    lua.delivered(INSIDE, OPENS, at=3 * HOUR, sent="s3", conversations={"x": "c"})
    lua.delivered(case(opens="z"), at=HOUR, sent="s2")

    assert {"": 2 * HOUR, "<": 0, "%": "a"} == before == lua.clock("x")
    lua.delivered(INSIDE, OPENS, at=3 * HOUR, sent="s3", conversations={"x": "c"}, again=1)
    assert {"": 4 * HOUR, "<": 3 * HOUR, "%": "c"} == lua.clock("x")


def test_an_earlier_delivery_of_the_same_message_moves_its_opening(lua):
    """Read was heard of first: the delivery was earlier, and what it opened began with it; it is charged once."""
    lua.sent(OPENS)
    lua.settle(OPENS, at=2 * HOUR)
    moved = lua.settle(OPENS, at=HOUR)

    assert ("moved", 7, ()) == (moved.status, moved.cost, moved.late)
    assert {"": 2 * HOUR, "<": HOUR} == lua.clock("x")
    assert {"s#line": 1, "s$line": 7} == {
        name: int(value) for name, value in lua.record(SPEND).items() if name.startswith("s") and value != "0"
    }


def test_the_first_delivery_has_the_reading_of_the_one_it_displaces(lua):
    """One conversation is one unit: the earlier opener takes over what the meter read when the other one was counted."""
    opens = case(opens="x", length=HOUR, meter=COUNTED, steps=[(1, 0)], price=9)
    for sent in ("s1", "s2"):
        lua.sent(id=sent, wamid=sent)
    later = lua.delivered(INSIDE, opens, at=20, sent="s2")
    first = lua.delivered(INSIDE, opens, at=10, sent="s1")
    again = lua.delivered(INSIDE, opens, at=20, sent="s2", again=1)

    assert [(0, 0), (0, 0), (0, 0)] == [(each.reading, each.cost) for each in (later, first, again)]
    assert [2, 2, 1] == [each.case for each in (later, first, again)]
    assert {"settled": 1} == lua.meter()


@pytest.mark.parametrize(("named", "chosen"), [("a", 1), ("b", 2), ("", 1)])
def test_a_conversation_is_known_by_its_name(lua, named, chosen):
    """The same id is the same conversation, another one another; without one its time decides."""
    for sent in ("s1", "s2"):
        lua.sent(id=sent, wamid=sent)
    lua.delivered(INSIDE, OPENS, at=0, sent="s1", conversations={"x": "a"})

    assert chosen == lua.delivered(INSIDE, OPENS, at=MINUTE, sent="s2", conversations={"x": named}).case
    assert ("b" if named == "b" else "a") == lua.clock("x")["%"]


@pytest.mark.parametrize(("named", "chosen"), [("a", 1), ("b", 2), ("", 2)])
def test_the_same_conversation_goes_on_past_the_end_that_we_reckon(lua, named, chosen):
    """Meta rounds its ends up: what it counts in a conversation is in it."""
    for sent in ("s1", "s2"):
        lua.sent(id=sent, wamid=sent)
    lua.delivered(INSIDE, OPENS, at=0, sent="s1", conversations={"x": "a"})

    assert chosen == lua.delivered(INSIDE, OPENS, at=HOUR + 1, sent="s2", conversations={"x": named}).case


def test_a_conversation_gets_its_name_from_what_joins_it(lua):
    """Where Meta did not say the id of the message that opened it, the next one that it counts in it does."""
    for sent in ("s1", "s2", "s3"):
        lua.sent(id=sent, wamid=sent)
    lua.delivered(INSIDE, OPENS, at=0, sent="s1")
    lua.delivered(INSIDE, OPENS, at=1, sent="s2", conversations={"x": "a"})

    assert "a" == lua.clock("x")["%"]
    assert 2 == lua.delivered(INSIDE, OPENS, at=2, sent="s3", conversations={"x": "b"}).case


# ---------------------------------------------------------------------------------------------- without Meta's word


UNPROVEN = case("y", opens="x", length=HOUR, unconfirmed=True)


def test_an_opening_that_only_we_say_is_not_certain(lua):
    """It is expected, so what follows is priced by it at most; Meta's word proves it, on any message inside."""
    lua.has(y=DAY)
    for sent in ("s1", "s2"):
        lua.sent(id=sent, wamid=sent)
    lua.delivered(UNPROVEN, case(), at=1, sent="s1")
    assert "1" == lua.clock("x")["~"]
    expected = lua.authorize(INSIDE, case(), at=2, commit=False)
    lua.delivered(INSIDE, case(), at=3, sent="s2", conversations={"x": ""})

    assert (1, 2) == (expected.case, expected.sure)
    assert "~" not in lua.clock("x")
    assert 1 == lua.authorize(INSIDE, case(), at=4, commit=False).sure


@pytest.mark.parametrize("prove", [lambda lua: lua.observe(proven("x", 2)), lambda lua: lua.observe(told("x", 2, HOUR))])
def test_metas_word_proves_an_opening(lua, prove):
    """Whether with an end or without."""
    lua.has(y=DAY)
    lua.sent()
    lua.settle(UNPROVEN, case(), at=1)
    prove(lua)

    assert "~" not in lua.clock("x")


def test_what_is_over_is_not_proven(lua):
    """A word on a message after the end says nothing of the opening."""
    lua.has(x={"": HOUR, "<": 0, "~": "1"})
    lua.observe(proven("x", HOUR))

    assert "1" == lua.clock("x")["~"]


@pytest.mark.parametrize("proved", [True, False])
def test_an_opening_with_metas_word_is_certain(lua, proved):
    """No empty field is left of what is not so."""
    lua.has(y=DAY)
    lua.sent()
    lua.settle(UNPROVEN, case(), at=1, conversations={"x": "a"} if proved else {})

    assert ({"%": "a"} if proved else {"~": "1"}) == {sign: value for sign, value in lua.clock("x").items() if sign in ("~", "%")}


# -------------------------------------------------------------------------------------------------------- one's name


def test_a_log_follows_its_thread(lua):
    """Two names turn out to be one user's: what was delivered under either is one log, and stays as long."""
    for sent, thread in (("s1", THREAD), ("s2", OTHER)):
        lua.sent(id=sent, wamid=sent, thread=thread)
        lua.delivered(INSIDE, OPENS, at={"s1": 10, "s2": 20}[sent], sent=sent, thread=thread)
    lua.link(OTHER, THREAD)

    assert {"s1": (10, "x"), "s2": (20, "x")} == lua.deliveries()
    assert {} == lua.deliveries(OTHER_DELIVERIES)
    assert 8 * DAY == lua.lifetime(DELIVERIES)


def test_metas_end_is_metas_though_it_is_ours_too(lua):
    """Told to the millisecond what we thought anyway; an earlier delivery does not make it earlier."""
    for sent in ("s1", "s2"):
        lua.sent(id=sent, wamid=sent)
    lua.observe(told("x", 5, 20 + HOUR, by="s1"))
    lua.delivered(INSIDE, OPENS, at=20, sent="s2")
    lua.delivered(INSIDE, OPENS, at=10, sent="s1", told={"x": NOW + 20 + HOUR})
    lua.delivered(INSIDE, OPENS, at=20, sent="s2", again=1)

    assert {"": 20 + HOUR, "<": 10} == {sign: lua.clock("x")[sign] for sign in ("", "<")}
