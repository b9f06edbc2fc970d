"""`link.lua`: a name of a user leads to a more exact one, and what was known under both is one thread."""

from __future__ import annotations

import itertools

import pytest
from verbs import DAY, HOUR, ID, MESSAGE, MINUTE, NOW, OTHER, THREAD, case, opened, orders, shut, told

from gatekeeper.ledger import keys

A, B, C, D, E, F = (keys.thread("P", "1", name) for name in "abcdef")
OPENS = case(opens="x", length=HOUR, price=7)
VAGUE, EXACT = 1, 3


def leads_to(lua, name: str) -> str:
    """The end of the way from a name."""
    while link := lua.redis.hget(name, "link"):
        name = link.decode()
    return name


def opens(lua, thread: str, at: int = 0) -> dict[str, int]:
    """What a send would find open or expected."""
    found = lua.authorize(thread=thread, at=at, commit=False).clocks()
    return {clock: until - NOW for clock, until in found.items()}


# -------------------------------------------------------------------------------------------------------------- links


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


@pytest.mark.parametrize("before", [True, False])
def test_a_link_lives_as_long_as_its_thread(lua, before):
    """Whoever stopped marketing is found under every name as long as that is known."""
    if before:
        lua.link(OTHER, THREAD, DAY)
    lua.has(lifetime=3650 * DAY, x=3650 * DAY)
    lua.link(OTHER, THREAD, DAY)

    assert [3650 * DAY, 3650 * DAY] == [lua.lifetime(OTHER), lua.lifetime(THREAD)]


def test_a_link_on_the_way_lives_on_too(lua):
    """A name that leads on over another one keeps that one's link alive."""
    lua.link(B, C, DAY)
    lua.link(A, B, 2 * DAY)

    assert [2 * DAY, 2 * DAY] == [lua.lifetime(A), lua.lifetime(B)]


def test_a_thread_is_no_name_of_itself(lua):
    """Linking it to itself, straight or through its own name, changes nothing."""
    lua.has(w=HOUR)
    lua.link(OTHER, THREAD)
    before = lua.everything()

    assert [0, 0] == [lua.link(THREAD, THREAD), lua.link(THREAD, OTHER)]
    assert before == lua.everything()


# ----------------------------------------------------------------------------------------------------------- merging

OPEN = {"": HOUR, "<": -HOUR}
LONGER = {"": 2 * HOUR, "<": -MINUTE}
TOLD = {"": 90 * MINUTE, "<": -HOUR, "=": 90 * MINUTE, "@": -MINUTE}
HOPED = {"?": 2 * HOUR, "&": "s2"}
MERGES = [
    pytest.param(LONGER, {}, LONGER, id="one side knows nothing"),
    pytest.param(OPEN, LONGER, LONGER, id="the later end, with its own beginning"),
    pytest.param({"": -HOUR, "<": -2 * DAY}, OPEN, OPEN, id="what is over gives way"),
    pytest.param(
        OPEN | {"#": "0 2"}, LONGER | {"#": "0 1"}, LONGER | {"#": "0 1"}, id="answers are counted from the opening that counts"
    ),
    pytest.param(OPEN | {"#": "0 2"}, {}, OPEN | {"#": "0 2"}, id="answers that only one side had"),
    pytest.param(
        {"": 3 * HOUR, "<": -2 * DAY, "!": -DAY}, OPEN, OPEN | {"!": -DAY}, id="what was denied gives way, though it ends later"
    ),
    pytest.param(
        {"": 3 * HOUR, "<": -2 * DAY, "*": -DAY}, OPEN, OPEN | {"*": -DAY}, id="what is used up gives way, though it ends later"
    ),
    pytest.param(OPEN, {"!": -MINUTE}, OPEN | {"!": -MINUTE}, id="denied afterwards"),
    pytest.param(OPEN, {"!": -HOUR}, OPEN | {"!": -HOUR}, id="denied as it opened"),
    pytest.param(OPEN, {"!": -2 * HOUR}, OPEN | {"!": -2 * HOUR}, id="denied before it opened"),
    pytest.param(OPEN | {"!": -2 * HOUR}, {"!": -MINUTE}, OPEN | {"!": -MINUTE}, id="denied twice"),
    pytest.param(OPEN | {"*": -MINUTE}, {"*": -2 * HOUR}, OPEN | {"*": -MINUTE}, id="used up twice"),
    pytest.param(LONGER, TOLD, TOLD, id="Meta's word on the end counts more than our own"),
    pytest.param(TOLD, TOLD | {"": HOUR, "=": HOUR, "@": 0}, TOLD | {"": HOUR, "=": HOUR, "@": 0}, id="its newest word"),
    pytest.param(
        LONGER | {"!": -30}, TOLD, LONGER | {"!": -30, "@": -MINUTE}, id="its word on what was denied since says nothing"
    ),
    pytest.param(
        OPEN,
        HOPED | {"=": 2 * HOUR, "@": -MINUTE},
        {"": 2 * HOUR, "<": -HOUR, "=": 2 * HOUR, "@": -MINUTE},
        id="its word on what the other thread hoped for is of what is open",
    ),
    pytest.param(OPEN, HOPED, OPEN, id="what is open was not opened by the other thread's send"),
    pytest.param(OPEN | HOPED, {"!": -2 * HOUR}, OPEN | HOPED | {"!": -2 * HOUR}, id="a hope of its own stays beside it"),
    pytest.param({"?": HOUR, "&": "s1"}, HOPED, {"?": HOUR, "&": "s1"}, id="of two hopes the first: the second send found it"),
    pytest.param({"?": -HOUR, "&": "s1"}, HOPED, HOPED, id="a hope that is over gives way"),
    pytest.param(
        {"?": HOUR, "&": "s1"}, HOPED | {"=": 2 * HOUR, "@": 0}, HOPED | {"=": 2 * HOUR, "@": 0}, id="of two hopes Meta's"
    ),
    pytest.param(
        {"?": HOUR, "&": "s1"}, {"": -HOUR, "<": -DAY}, {"": -HOUR, "<": -DAY, "?": HOUR, "&": "s1"}, id="a hope after an end"
    ),
]


@pytest.mark.parametrize(("name", "thread", "merged"), MERGES)
@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
def test_two_threads_are_made_one(lua, name, thread, merged, turned):
    """Whatever was said of a clock under one name or the other, and whichever of them leads to which, it is as if said of one."""
    lua.has(OTHER, x=thread if turned else name)
    lua.has(THREAD, x=name if turned else thread)
    lua.link(OTHER, THREAD)

    assert dict(sorted(merged.items())) == dict(sorted(lua.clock("x").items()))
    assert {"link": THREAD} == lua.clocks(OTHER)


@pytest.mark.parametrize("marks", [{"!": -MINUTE}, {"*": -MINUTE}])
@pytest.mark.parametrize(("since", "stays"), [(-MINUTE, False), (-MINUTE + 1, True)])
def test_a_merged_clock_stays_honest(lua, marks, since, stays):
    """What the other name denied or used up is not open again, and what was opened later is not denied."""
    lua.has(OTHER, x={"": HOUR, "<": since})
    lua.has(THREAD, x=marks)
    lua.link(OTHER, THREAD)

    assert ({"x": HOUR} if stays else {}) == opens(lua, OTHER)


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
    lua.observe(opened("x", 0, HOUR), shut("y", MINUTE), told("z", 0, 2 * HOUR, by="s1"), thread=OTHER)
    lua.observe(opened("x", MINUTE, 2 * HOUR), opened("y", 0, HOUR), opened("z", -HOUR, HOUR), thread=THREAD)
    if first == "news":
        lua.link(OTHER, THREAD)
    found = lua.clocks()

    assert {"x": 2 * HOUR, "x<": MINUTE, "y": HOUR, "y<": 0, "y!": MINUTE} == {k: v for k, v in found.items() if k[0] != "z"}
    assert 2 * HOUR == opens(lua, THREAD)["z"]


# --------------------------------------------------------------------------------------------------- sends in flight


@pytest.mark.parametrize("assumed_by", [THREAD, OTHER])
def test_an_assumption_is_settled_where_it_went(lua, assumed_by):
    """A send is in flight while its thread becomes a name of another: the clock opens there, and nothing stays assumed."""
    lua.sent(OPENS, thread=assumed_by)
    lua.link(OTHER, THREAD)
    lua.settle(OPENS, at=MINUTE, thread=lua.record(MESSAGE)["thread"])

    assert {"": HOUR + MINUTE, "<": MINUTE} == lua.clock("x")


@pytest.mark.parametrize("assumed_by", [THREAD, OTHER])
def test_an_assumption_is_given_back_where_it_went(lua, assumed_by):
    """The same when it fails."""
    lua.sent(OPENS, thread=assumed_by)
    lua.link(OTHER, THREAD)
    lua.fail(at=MINUTE, thread=lua.record(MESSAGE)["thread"])

    assert {} == lua.clock("x")


@pytest.mark.parametrize("fails", ["s1", "s2"])
def test_of_two_assumptions_the_one_left_is_the_first(lua, fails):
    """Both threads had a send in flight. As in one thread, the second would have been inside what the first one opens."""
    for sent, thread in (("s1", THREAD), ("s2", OTHER)):
        lua.sent(OPENS, id=sent, wamid=sent, thread=thread, at=0 if sent == "s1" else MINUTE)
    lua.link(OTHER, THREAD, at=MINUTE)
    lua.fail(at=MINUTE, id=fails, record=keys.message("P", fails), thread=lua.record(keys.message("P", fails))["thread"])

    assert ({} if fails == "s1" else {"?": HOUR, "&": "s1"}) == lua.clock("x")


@pytest.mark.parametrize("order", orders(["s1", "s2"]))
def test_two_sends_in_flight_open_once(lua, order):
    """The first that is delivered opens, the other one is inside, and nothing stays assumed."""
    inside = case("x", price=0)
    for sent, thread in (("s1", THREAD), ("s2", OTHER)):
        lua.sent(inside, OPENS, id=sent, wamid=sent, thread=thread)
    lua.link(OTHER, THREAD)
    settled = [
        lua.settle(inside, OPENS, at=n, id=sent, record=(key := keys.message("P", sent)), thread=lua.record(key)["thread"])
        for n, sent in enumerate(order, 1)
    ]

    assert [2, 1] == [each.case for each in settled]
    assert {"": HOUR + 1, "<": 1} == lua.clock("x")


# --------------------------------------------------------------------------------------------------- who a name is


def test_a_name_that_changes_hands_takes_nothing_along(lua):
    """A number that was one BSUID's is said to be another's: what was known of the first one stays with it."""
    lua.observe(opened("x", 0, HOUR), thread=A)
    lua.link(A, B, exact=EXACT, said=1)
    lua.link(A, C, exact=EXACT, said=2)

    assert {"link": C} == lua.clocks(A)
    assert [{}, {"x": HOUR}, {}] == [opens(lua, name) for name in (A, B, C)]


@pytest.mark.parametrize(("said", "leads"), [(1, B), (2, B), (3, C)])
def test_only_a_newer_word_moves_a_name(lua, said, leads):
    """Webhooks come late and repeat themselves: whose a name is says the newest."""
    lua.link(A, B, exact=EXACT, said=2)

    assert (leads == C) == bool(lua.link(A, C, exact=EXACT, said=said))
    assert leads == leads_to(lua, A)


def test_a_name_is_confirmed_by_being_named_again(lua):
    """A name that was said again to be one user's is not another's by what was said in between."""
    lua.link(A, B, exact=EXACT, said=1)
    lua.link(A, B, exact=EXACT, said=3)
    lua.link(A, C, exact=EXACT, said=2)

    assert B == leads_to(lua, A)


@pytest.mark.parametrize("order", orders([(A, B, VAGUE), (B, C, EXACT)]))
def test_names_follow_the_name_that_they_lead_to(lua, order):
    """What was dialled stands for the number, whosever that becomes."""
    for name, thread, exact in order:
        lua.link(name, thread, exact=exact, said=1)
    lua.link(B, D, exact=EXACT, said=2)

    assert [D, D] == [leads_to(lua, A), leads_to(lua, B)]


def test_a_name_that_is_said_to_be_two_vague_ones_leads_to_the_newest(lua):
    """Nothing says that the two numbers which Meta made of one at different times are one user's."""
    lua.observe(opened("x", 0, HOUR), thread=A)
    lua.link(OTHER, A, exact=VAGUE, said=1)
    found = lua.link(OTHER, B, exact=VAGUE, said=2)

    assert 1 == found
    assert {"link": B} == lua.clocks(OTHER)
    assert {"x": HOUR, "x<": 0} == lua.clocks(A)


@pytest.mark.parametrize("order", orders([(A, B, VAGUE), (A, C, EXACT)]), ids=["number first", "id first"])
def test_a_vague_name_and_an_exact_one_of_one_name_are_one_user(lua, order):
    """Meta made a number of what was dialled, and knows the BSUID of what was dialled: so the number is that BSUID's."""
    for clock, thread in zip("xyz", (A, B, C), strict=True):
        lua.observe(opened(clock, 0, HOUR), thread=thread)
    for n, (name, thread, exact) in enumerate(order):
        lua.link(name, thread, exact=exact, said=n)

    assert {C} == {leads_to(lua, name) for name in (A, B, C)}
    assert dict.fromkeys("xyz", HOUR) == opens(lua, A)


@pytest.mark.parametrize("order", orders([(A, C), (B, C), (D, C)]))
def test_many_vague_names_of_one_exact_one_are_one_user(lua, order):
    """A user may be known by several numbers' spellings, and each brings what was known under it."""
    for name in (A, B, C, D):
        lua.observe(opened(f"x{name[-1]}", 0, HOUR), thread=name)
    for name, thread in order:
        lua.link(name, thread, exact=EXACT)

    assert dict.fromkeys(("xa", "xb", "xc", "xd"), HOUR) == opens(lua, B)


# ------------------------------------------------------------------------------------------------- what goes along


def test_one_clock_goes_along_without_a_link(lua):
    """A user with new names keeps one wish; the names stay two users' otherwise."""
    lua.has(A, 3650 * DAY, x=3650 * DAY, y=HOUR)
    lua.link(B, A, exact=EXACT)
    found = [lua.link(B, C, exact=EXACT, only="x") for _ in range(2)]

    assert [1, 0] == found
    assert {"x": 3650 * DAY, "x<": 0} == lua.clocks(C)
    assert 3650 * DAY == lua.lifetime(C)
    assert [A, C] == [leads_to(lua, B), leads_to(lua, C)]


def test_a_clock_that_is_not_there_does_not_go_along(lua):
    """Nothing is written, and nothing lives longer for it."""
    lua.has(A, DAY, y=HOUR)
    lua.has(C, HOUR, y=MINUTE)
    before = lua.everything()

    assert 0 == lua.link(A, C, exact=EXACT, only="x")
    assert before == lua.everything()


# ------------------------------------------------------------------------------------------------- chains and rings


@pytest.mark.parametrize("order", orders([(A, B), (B, C), (C, D)]), ids=lambda order: "".join(a[-1] for a, _ in order))
def test_a_chain_leads_to_its_end(lua, order):
    """However three links came about, all four names are one thread."""
    for name in (A, B, C, D):
        lua.observe(opened(name[-1], 0, HOUR), thread=name)
    for name, thread in order:
        lua.link(name, thread)

    assert {D} == {leads_to(lua, name) for name in (A, B, C, D)}
    assert dict.fromkeys("abcd", HOUR) == opens(lua, A)


@pytest.mark.parametrize("names", [2, 3, 4])
def test_names_in_a_circle_stay_one_thread(lua, names):
    """The link that would close a ring is not made."""
    ring = [A, B, C, D][:names]
    lua.observe(opened("x", 0, HOUR), thread=A)
    for name, thread in zip(ring, [*ring[1:], A], strict=True):
        lua.link(name, thread)

    assert {"x": HOUR} == opens(lua, ring[0])
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
    """One user may come to have any number of names, each leading to the next."""
    chain = [keys.thread("P", "1", str(n)) for n in range(50)]
    lua.observe(opened("x", 0, HOUR), thread=chain[0])
    for name, thread in itertools.pairwise(chain):
        lua.link(name, thread)

    assert [{"x": HOUR}] * 3 == [opens(lua, name) for name in (chain[0], chain[25], chain[-1])]
    assert 0 == lua.link(chain[-1], chain[0])


def test_a_link_is_no_clock(lua):
    """Neither is it told as open nor merged as one."""
    lua.link(A, B)
    lua.observe(opened("x", 0, HOUR), thread=B)
    lua.link(B, C)

    assert {"x": HOUR} == opens(lua, A)
    assert {"x": HOUR, "x<": 0} == lua.clocks(C)
    assert ID not in lua.clocks(C).values()
