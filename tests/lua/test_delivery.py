"""`settle.lua`: what a delivery opens, until when, and what it knows of deliveries and words that were heard of in another order."""

from __future__ import annotations

import pytest
from verbs import DAY, HOUR, ID, MESSAGE, MINUTE, THREAD, case, orders, shut, told

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


def test_what_is_used_up_again_stays_used_up(lua):
    """An earlier use that is heard of later takes nothing back."""
    lua.has(y=DAY)
    for sent, at in (("s1", 3 * MINUTE), ("s2", 2 * MINUTE)):
        lua.sent(id=sent, wamid=sent)
        lua.settle(case("y", opens=sent), at=at, id=sent, record=MESSAGE.replace("wamid.1", sent))

    assert {"": DAY, "<": 0, "*": 3 * MINUTE} == lua.clock("y")


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


@pytest.mark.parametrize(
    ("at", "chosen", "ends", "since"),
    [
        (10, 1, 10 + HOUR, 10),
        (20 - HOUR + 1, 1, 21, 20 - HOUR + 1),
        (20 - HOUR, 2, 20 + HOUR, 20),
        (19, 1, 19 + HOUR, 19),
        (20, 1, 20 + HOUR, 20),
        (21, 1, 20 + HOUR, 20),
    ],
)
def test_a_delivery_heard_of_after_a_later_one_comes_first(lua, at, chosen, ends, since):
    """The later one, at 20, is known to have opened. If the earlier would still have covered it, the clock began with the earlier."""
    lua.sent()
    lua.has(x=(20, 20 + HOUR))
    settled = lua.settle(INSIDE, OPENS, at=at, lengths={"x": HOUR})

    assert chosen == settled.case
    assert {"": ends, "<": since} == lua.clock("x")


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

    assert 2 == lua.settle(INSIDE, case(), at=10, lengths={"x": HOUR}).case


def test_an_opening_heard_of_late_begins_the_clock(lua):
    """Also where the case that holds opens the clock anew, by Meta's word."""
    lua.sent()
    lua.has(x=(20, 20 + HOUR))
    settled = lua.settle(OPENS, at=10, lengths={"x": HOUR})

    assert 1 == settled.case
    assert {"": 10 + HOUR, "<": 10} == lua.clock("x")


@pytest.mark.parametrize("order", orders(["s1", "s2"]), ids=str)
@pytest.mark.parametrize("senders", orders(["s1", "s2"]), ids=str)
def test_metas_expiry_holds_whichever_delivery_is_heard_first(lua, senders, order):
    """Meta told an end beyond our own length; that a delivery comes first in life and is heard of second does not undo its word."""
    for sent in senders:
        lua.sent(INSIDE, OPENS, id=sent, wamid=sent)
    lua.observe(told("x", 0, DAY, by=ID))
    for sent in order:
        record = MESSAGE.replace("wamid.1", sent)
        lua.settle(INSIDE, OPENS, at={"s1": 10, "s2": 20}[sent], id=sent, record=record, lengths={"x": HOUR})

    assert {"": DAY, "<": 10} == {sign: lua.clock("x")[sign] for sign in ("", "<")}


def test_metas_end_is_metas_though_it_is_ours_too(lua):
    """Told to the millisecond what we thought anyway; an earlier delivery does not make it earlier."""
    lua.sent()
    lua.has(x=(20, 20 + HOUR))
    lua.observe(told("x", 5, 20 + HOUR, by="s2"))
    lua.settle(INSIDE, OPENS, at=10, lengths={"x": HOUR})

    assert {"": 20 + HOUR, "<": 10} == {sign: lua.clock("x")[sign] for sign in ("", "<")}
