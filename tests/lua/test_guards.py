"""Guards: what each kind of them compares, what a send takes of it, and what it gives back."""

from __future__ import annotations

import msgspec
import pytest
from verbs import (
    BUDGET,
    DAY,
    HELD,
    HELD_BACK,
    HOUR,
    MESSAGE,
    METER,
    MINUTE,
    OTHER,
    PAIR,
    RATE,
    REACHED,
    THREAD,
    UNKNOWN,
    case,
    guard,
    rule,
)

PAID = case(price=7)
LIVES = 3 * DAY


def at_most(limit=100, **how):
    return guard("at_most", limit=limit, lifetime=LIVES, **how)


def spaced(burst, every=1000, **how):
    return guard("spaced", burst=burst, every=every, **how)


def distinct(limit, **how):
    return guard("distinct", limit=limit, every=DAY, **how)


def thread(user):
    return THREAD.replace("49151", user)


def statuses(outcomes):
    return [outcome.status for outcome in outcomes]


# ------------------------------------------------------------------------------------------------------ at most


@pytest.mark.parametrize(
    ("spent", "reserved", "price", "limit", "status"),
    [
        (0, 0, 7, 7, "reserved"),
        (0, 0, 7, 6, "refused"),
        (93, 0, 7, 100, "reserved"),
        (94, 0, 7, 100, "refused"),
        (0, 93, 7, 100, "reserved"),
        (0, 94, 7, 100, "refused"),
        (50, 43, 7, 100, "reserved"),
        (50, 44, 7, 100, "refused"),
        (200, 0, 1, 100, "refused"),
        (200, 0, 0, 100, "reserved"),
        (200, 0, UNKNOWN, 100, "reserved"),
        (0, 0, 7, 0, "refused"),
        (0, 0, 0, 0, "reserved"),
    ],
)
def test_what_is_spent_and_reserved_stays_within_the_limit(lua, spent, reserved, price, limit, status):
    """The limit itself may be reached; what costs nothing, or nobody knows what, passes it."""
    lua.redis.hset(BUDGET, mapping={"spent": spent, "reserved": reserved})
    lua.redis.pexpire(BUDGET, DAY)
    outcome = lua.authorize(case(price=price), meters=[BUDGET], guards=[at_most(limit)])

    assert (status, int(status == "refused"), ((1, spent + reserved),)) == (outcome.status, outcome.guard, outcome.looked)
    assert {"spent": spent, "reserved": reserved + price * (status == "reserved" and price > 0)} == lua.meter(BUDGET)


@pytest.mark.parametrize(("expected", "certain", "reserved"), [(3, 7, 7), (7, 3, 7), (0, 7, None), (3, UNKNOWN, 3)])
def test_what_it_may_cost_at_most_is_reserved(lua, expected, certain, reserved):
    """Of what is expected and what is certain the dearer; what is expected to be free reserves nothing."""
    lua.has(x={"?": HOUR, "&": "s0"})
    lua.authorize(case("x", price=expected), case(price=certain), meters=[BUDGET], guards=[at_most()])

    assert reserved == lua.meter(BUDGET).get("reserved")
    assert (LIVES if reserved else 0) == max(lua.lifetime(BUDGET), 0)


@pytest.mark.parametrize(("cost", "spent"), [(7, {"spent": 7}), (5, {"spent": 5}), (9, {"spent": 9}), (0, {}), (UNKNOWN, {})])
def test_a_delivery_spends_what_it_cost(lua, cost, spent):
    """Not what was quoted; what is delivered for nothing, or for nobody knows what, spends nothing."""
    lua.sent(PAID, meters=[BUDGET], guards=[at_most()])
    before = lua.meter(BUDGET)
    for _ in range(2):
        lua.settle(case(price=cost), at=MINUTE)

    assert ({"reserved": 7}, spent) == (before, lua.meter(BUDGET))


@pytest.mark.parametrize("ending", ["fail", "release"])
def test_what_was_not_sent_is_given_back(lua, ending):
    """Failed late or refused at once; said twice, it is given back once."""
    lua.sent(PAID, id="s0", wamid="w0", meters=[BUDGET], guards=[at_most()])
    before = lua.meter(BUDGET)
    lua.authorize(PAID, meters=[BUDGET], guards=[at_most()])
    during = lua.meter(BUDGET)
    if ending == "fail":
        lua.accept()
    for _ in range(2):
        lua.fail(MINUTE) if ending == "fail" else lua.release()

    assert ({"reserved": 7}, {"reserved": 14}) == (before, during)
    assert before == lua.meter(BUDGET)


def test_what_was_expected_to_be_free_spends_what_it_cost(lua):
    """Meta may charge for it after all; then its key begins, with its lifetime."""
    lua.sent(case(price=0), meters=[BUDGET], guards=[at_most(0)])
    before = lua.redis.exists(BUDGET)
    lua.settle(case(price=9), at=MINUTE)

    assert (0, {"spent": 9}, LIVES) == (before, lua.meter(BUDGET), lua.lifetime(BUDGET))


def test_each_member_of_a_group_spends(lua):
    """What the send reserved is given back with the first status; each delivery spends its own, a failure nothing."""
    lua.sent(PAID, id="s0", wamid="w0", meters=[BUDGET], guards=[at_most()])
    lua.sent(PAID, meters=[BUDGET], guards=[at_most()])
    seen = []
    for member, cost in (("a", 7), ("b", None), ("c", 9), ("a", 7)):
        if cost is None:
            lua.settle(at=MINUTE, member=member)
        else:
            lua.settle(case(price=cost), at=MINUTE, member=member)
        seen.append(lua.meter(BUDGET))

    assert [{"reserved": 7, "spent": spent} for spent in (7, 7, 16, 16)] == seen


def test_a_group_that_failed_first_still_spends(lua):
    """The first member's failure gives back what was reserved; it takes nothing from what the others spend."""
    lua.sent(PAID, meters=[BUDGET], guards=[at_most()])
    lua.settle(at=MINUTE, member="a")
    after = lua.meter(BUDGET)
    lua.settle(case(price=7), at=MINUTE, member="b")

    assert ({}, {"spent": 7}) == (after, lua.meter(BUDGET))


def test_a_budget_whose_period_is_over_owes_nothing(lua):
    """Its key is gone by then, and what comes late does not make one that is below nothing or stays for ever."""
    lua.sent(PAID, id="s0", wamid="w0", meters=[BUDGET], guards=[at_most()])
    lua.sent(PAID, meters=[BUDGET], guards=[at_most()])
    lua.redis.delete(BUDGET)
    lua.fail(MINUTE)
    gone = lua.meter(BUDGET)
    lua.settle(PAID, at=MINUTE, id="s0", record=MESSAGE.replace("wamid.1", "w0"))

    assert ({}, {"spent": 7}, LIVES) == (gone, lua.meter(BUDGET), lua.lifetime(BUDGET))


def test_each_recipient_has_a_counter(lua):
    """Under whatever name the recipient comes: the counter is the thread's."""
    lua.link(OTHER, THREAD)
    own = {"meters": [BUDGET], "guards": [at_most(7, by_recipient=True)]}
    outcomes = [lua.authorize(PAID, id=f"s{n}", thread=name, **own) for n, name in enumerate((THREAD, OTHER, thread("49152")))]

    assert ["reserved", "refused", "reserved"] == statuses(outcomes)
    assert {f"{BUDGET}:49151", f"{BUDGET}:49152"} == {key.decode() for key in lua.redis.scan_iter(f"{BUDGET}*")}


# ------------------------------------------------------------------------------------------------------- spaced


@pytest.mark.parametrize("burst", [1, 2, 3, 6, 7, 9, 15, 45, 80, 99, 333, 1000])
def test_exactly_so_many_fit_at_once(lua, burst):
    """Whatever share of the time each of them has; and as many again when the time is over, to the millisecond."""

    def so_many(at, count):
        return statuses(lua.authorize(PAID, at=at, id=f"s{n}", meters=[RATE], guards=[spaced(burst)]) for n in range(count))

    assert ["reserved"] * burst + ["refused"] == so_many(0, burst + 1)
    assert ["reserved"] * burst + ["refused"] == so_many(1000, burst + 1)


@pytest.mark.parametrize(("burst", "every", "wait"), [(1, 1000, 1000), (4, 1000, 250), (3, 1000, 334), (45, 270_000, 6000)])
def test_the_next_is_due_when_its_share_has_leaked(lua, burst, every, wait):
    """A refused one is told after how many milliseconds it would not be, and that is true to the millisecond."""
    how = {"meters": [RATE], "guards": [spaced(burst, every)]}
    for n in range(burst):
        lua.authorize(PAID, id=f"s{n}", **how)
    at_once, early, due = [lua.authorize(PAID, at=at, id=f"at{at}", **how) for at in (0, wait - 1, wait)]

    assert [("refused", wait), ("refused", 1), ("reserved", 0)] == [(one.status, one.wait) for one in (at_once, early, due)]
    assert [((1, wait),), ((1, 1),), ((1, 0),)] == [one.looked for one in (at_once, early, due)]


def test_a_bucket_never_holds_more_than_it_is_large(lua):
    """Nothing is saved up while nothing is sent."""
    how = {"meters": [RATE], "guards": [spaced(2)]}
    lua.authorize(PAID, id="s0", **how)

    assert ["reserved", "reserved", "refused"] == statuses(lua.authorize(PAID, at=DAY, id=f"s{n}", **how) for n in range(1, 4))


def test_a_clock_that_is_behind_fills_the_same_bucket(lua):
    """Of two gates one may be a little late: it is told to wait for as much longer."""
    how = {"meters": [RATE], "guards": [spaced(2)]}
    for n in range(2):
        lua.authorize(PAID, id=f"s{n}", at=100, **how)
    late, after = lua.authorize(PAID, id="s2", at=0, **how), lua.authorize(PAID, id="s3", at=600, **how)

    assert [("refused", 600), ("reserved", 0)] == [(one.status, one.wait) for one in (late, after)]


@pytest.mark.parametrize(("before", "after", "wait"), [(1000, 10, 100), (10, 1000, 1), (4, 4, 250)])
def test_a_changed_limit_finds_the_bucket_as_full_as_it_was(lua, before, after, wait):
    """A full one is full by the new measure too: the next is due after its new share."""
    for n in range(before):
        lua.authorize(PAID, id=f"s{n}", meters=[RATE], guards=[spaced(before)])
    refused = lua.authorize(PAID, id="s", meters=[RATE], guards=[spaced(after)])

    assert ("refused", wait) == (refused.status, refused.wait)


def test_what_only_warns_runs_up_no_debt(lua):
    """However much goes out over the limit, the bucket is full and no more: once it is enforced, the next is due in time."""
    for n in range(50):
        lua.authorize(PAID, id=f"s{n}", meters=[RATE], guards=[spaced(4, enforce=False)])
    enforced = lua.authorize(PAID, id="s", meters=[RATE], guards=[spaced(4)])

    assert ("refused", 250) == (enforced.status, enforced.wait)


def test_a_pace_is_of_one_recipient(lua):
    """Each has a bucket of its own, under whatever name it comes; it lives as long as it is looked at, and is not given back."""
    lua.link(OTHER, THREAD)
    how = {"meters": [PAIR], "guards": [spaced(1, by_recipient=True, lifetime=HOUR)]}
    outcomes = [lua.authorize(PAID, id=f"s{n}", thread=name, **how) for n, name in enumerate((THREAD, OTHER, thread("49152")))]
    before = lua.redis.get(f"{PAIR}:49151")
    lua.release("s0")

    assert ["reserved", "refused", "reserved"] == statuses(outcomes)
    assert (HOUR, before) == (lua.lifetime(f"{PAIR}:49151"), lua.redis.get(f"{PAIR}:49151"))


# ----------------------------------------------------------------------------------------------------- distinct


class Reached:
    """Recipients that sends are on their way to, one after the other."""

    def __init__(self, lua, limit):
        self.lua, self.limit, self.sends = lua, limit, 0

    def send(self, user, at=0, **how):
        """The id of a send that was let out; None: it was refused."""
        self.sends += 1
        name = f"s{self.sends}"
        outcome = self.lua.authorize(
            PAID, at=at, id=name, thread=thread(user), meters=[REACHED, HELD_BACK], guards=[distinct(self.limit, **how)]
        )
        if outcome.status == "refused":
            return None
        self.lua.accept(name, f"w.{name}")
        return name

    def ends(self, name, at, *, delivered):
        record = MESSAGE.replace("wamid.1", f"w.{name}")
        cases = [PAID] if delivered else []
        self.lua.settle(*cases, record=record, id=name, at=at, to="settled" if delivered else "released")

    def delivered(self, name, at):
        self.ends(name, at, delivered=True)

    def failed(self, name, at):
        self.ends(name, at, delivered=False)

    def left(self, at):
        """How many strangers could be sent to."""
        outcome = self.lua.authorize(
            PAID,
            at=at,
            commit=False,
            thread=thread("0"),
            meters=[REACHED, HELD_BACK],
            guards=[distinct(self.limit)],
        )
        return self.limit - outcome.looked[0][1]


@pytest.fixture
def three(lua):
    return Reached(lua, 3)


def test_so_many_recipients_and_no_more(three):
    """One that is known already passes; the limit itself may be reached."""
    sends = [three.send(user) for user in ("1", "2", "3", "4", "1")]

    assert [True, True, True, False, True] == [send is not None for send in sends]
    assert 0 == three.left(0)


@pytest.mark.parametrize(("later", "left"), [(DAY - 1, 2), (DAY, 3), (DAY + 1, 3)])
def test_a_recipient_counts_for_so_long_since_the_delivery(three, later, left):
    """Not since the send: until it is delivered it is only on its way."""
    three.delivered(three.send("1", 0), HOUR)

    assert (2, left) == (three.left(HOUR), three.left(HOUR + later))


def test_a_recipient_that_is_reached_again_counts_for_longer(three):
    """Each delivery begins the time anew, however late it is told."""
    first, second = three.send("1", 0), three.send("1", HOUR)
    three.delivered(second, 2 * HOUR)
    three.delivered(first, HOUR)

    assert [2, 3] == [three.left(at) for at in (2 * HOUR + DAY - 1, 2 * HOUR + DAY)]


def test_one_that_nothing_was_delivered_to_is_given_back(three):
    """But not while another send is on its way to it, and not when something was delivered to it."""
    first, second = three.send("1"), three.send("1")
    three.failed(first, MINUTE)
    on_its_way = three.left(MINUTE)
    three.failed(second, MINUTE)
    nothing = three.left(MINUTE)
    third, fourth = three.send("1"), three.send("1")
    three.delivered(third, MINUTE)
    three.failed(fourth, MINUTE)

    assert [2, 3, 2] == [on_its_way, nothing, three.left(MINUTE)]


def test_a_failure_leaves_the_last_delivery(three):
    """What was delivered an hour ago counts from then, not from the send that failed since."""
    three.delivered(three.send("1", 0), 0)
    three.failed(three.send("1", HOUR), 2 * HOUR)

    assert [2, 3] == [three.left(at) for at in (DAY - 1, DAY)]


def test_a_send_to_one_that_was_reached_holds_it_too(three):
    """The delivery's time runs out while the send is on its way: it counts all the same."""
    three.delivered(three.send("1", 0), 0)
    second = three.send("1", 23 * HOUR)
    during = three.left(25 * HOUR)
    three.failed(second, 25 * HOUR)

    assert [2, 3] == [during, three.left(25 * HOUR)]


def test_a_send_that_was_forgotten_gives_nothing_back(three):
    """One of long ago is no longer held; its failure takes nothing from the one that set out since."""
    first = three.send("1", 0)
    forgotten = three.left(DAY)
    second = three.send("1", DAY)
    three.failed(first, DAY)
    held = three.left(DAY)
    three.failed(second, DAY)

    assert [3, 2, 3] == [forgotten, held, three.left(DAY)]


def test_a_delivery_that_is_told_late_shortens_nothing(three):
    """The send was forgotten, and another one has reached its recipient since."""
    first, second = three.send("1", 0), three.send("1", DAY)
    three.delivered(second, DAY + 2 * HOUR)
    three.delivered(first, DAY + HOUR)

    assert [2, 3] == [three.left(at) for at in (2 * DAY + 2 * HOUR - 1, 2 * DAY + 2 * HOUR)]


@pytest.mark.parametrize(("later", "known"), [(DAY - 1, True), (DAY, False)])
def test_who_no_longer_counts_is_a_stranger(lua, later, known):
    """On a full list the known pass, and no others."""
    two = Reached(lua, 2)
    for user, at in (("1", 0), ("2", HOUR)):
        two.delivered(two.send(user, at), at)
    two.limit = 1

    assert known == (two.send("1", later) is not None)


def test_a_late_delivery_counts_from_its_time(three):
    """Even when the send was forgotten, and its recipients' key is gone with it."""
    first = three.send("1", 0)
    three.failed(three.send("2", DAY), DAY)
    three.delivered(first, DAY + HOUR)

    assert [2, 3] == [three.left(at) for at in (DAY + HOUR, 2 * DAY + HOUR)]
    assert DAY == three.lua.lifetime(REACHED)


def test_the_forgotten_are_cleared_away(lua):
    """A few with each send, so that nobody who is no longer counted stays for ever."""
    many = Reached(lua, 1000)
    for n in range(30):
        many.send(str(n), n)
    for n in range(100, 105):
        many.send(str(n), 2 * DAY)

    assert {str(n).encode() for n in range(100, 105)} == set(lua.redis.zrange(REACHED, 0, -1)) == set(lua.redis.hkeys(HELD_BACK))


def test_the_names_and_what_is_held_live_as_long_as_they_count(three):
    """Both keys, from the last send on."""
    three.send("1")

    assert (DAY, DAY) == (three.lua.lifetime(REACHED), three.lua.lifetime(HELD_BACK))


@pytest.mark.parametrize(("clock", "counted"), [({"w": HOUR}, False), ({"w": {"?": HOUR, "&": "s0"}}, True), ({}, True)])
def test_a_clock_lifts_a_guard(lua, clock, counted):
    """While it is certainly open nobody is counted, nor refused."""
    lua.has(**clock)
    lua.authorize(PAID, meters=[REACHED, HELD_BACK], guards=[distinct(1, unless="w")])

    assert counted == lua.redis.exists(REACHED)


# ------------------------------------------------------------------------------------------------------- absent


@pytest.mark.parametrize(
    ("clock", "status"),
    [
        ({}, "reserved"),
        ({"": 1, "<": -HOUR}, "refused"),
        ({"": 0, "<": -HOUR}, "reserved"),
        ({"": HOUR, "<": -HOUR, "!": -HOUR}, "reserved"),
        ({"?": HOUR, "&": "s0"}, "reserved"),
    ],
)
def test_a_clock_has_to_be_shut(lua, clock, status):
    """Open to its last millisecond; what is over, denied or only assumed is not open."""
    lua.has(x=clock)

    assert status == lua.authorize(PAID, guards=[guard("absent", clock="x")]).status


# ------------------------------------------------------------------------------------------------------ several

OVER = {"limit": 6}
FIRST, SECOND = HELD, HELD + 2
KEYS = [BUDGET, BUDGET + ":held", BUDGET + ":2", BUDGET + ":2:held"]


@pytest.mark.parametrize(
    ("guards", "failed", "warned", "looked"),
    [
        ([at_most(key=FIRST), at_most(key=SECOND)], 0, (), 2),
        ([at_most(6, key=FIRST), at_most(key=SECOND)], 1, (), 1),
        ([at_most(key=FIRST), at_most(6, key=SECOND)], 2, (), 2),
        ([at_most(6, key=FIRST), at_most(6, key=SECOND)], 1, (), 1),
        ([at_most(6, key=FIRST, enforce=False), at_most(6, key=SECOND)], 2, (1,), 2),
        ([at_most(6, key=FIRST, enforce=False), at_most(key=SECOND)], 0, (1,), 2),
        ([at_most(6, key=FIRST, enforce=False), at_most(6, key=SECOND, enforce=False)], 0, (1, 2), 2),
    ],
)
def test_the_first_that_fails_is_the_reason(lua, guards, failed, warned, looked):
    """What stands behind it is not looked at; what only warns is told, and refuses nothing."""
    outcome = lua.authorize(PAID, meters=KEYS, guards=guards)

    assert (failed, warned, looked) == (outcome.guard, outcome.warned, len(outcome.looked))
    assert ("refused" if failed else "reserved") == outcome.status
    assert ([{}, {}] if failed else [{"reserved": 7}, {"reserved": 7}]) == [lua.meter(key) for key in (BUDGET, BUDGET + ":2")]


@pytest.mark.parametrize(("cases", "status"), [((), "refused"), ((1,), "reserved"), ((2,), "refused"), ((1, 2), "refused")])
def test_a_guard_is_for_its_cases(lua, cases, status):
    """One that names none is for all of them."""
    lua.has(x=0)

    assert status == lua.authorize(case("x"), PAID, meters=[BUDGET], guards=[at_most(6, cases=cases)]).status


@pytest.mark.parametrize(
    ("rules", "matched", "status", "looked"),
    [
        ([], 0, "refused", 1),
        ([rule()], 1, "refused", 0),
        ([rule(block=False)], 1, "refused", 1),
        ([rule(enforce=False)], 1, "refused", 1),
        ([rule(block=False), rule()], 1, "refused", 1),
        ([rule(cases=(1,)), rule()], 2, "refused", 0),
        ([rule(window="w", open=True), rule(block=False)], 2, "refused", 1),
        ([rule(window="w")], 1, "refused", 0),
        ([rule(above=7)], 0, "refused", 1),
        ([rule(above=6)], 1, "refused", 0),
    ],
)
def test_rules_come_before_guards(lua, rules, matched, status, looked):
    """The first that matches ends their list; one that blocks leaves no guard to be looked at, the others do."""
    outcome = lua.authorize(case("x"), PAID, meters=[BUDGET], rules=rules, guards=[at_most(6)])

    assert (matched, status, looked) == (outcome.rule, outcome.status, len(outcome.looked))


EVERY_KIND = {
    "at most": (at_most(6), [BUDGET, BUDGET]),
    "at most, of a recipient": (at_most(6, by_recipient=True), [BUDGET, BUDGET]),
    "spaced": (spaced(1), [RATE, RATE]),
    "spaced, of a recipient": (spaced(1, by_recipient=True), [PAIR, PAIR]),
    "distinct": (distinct(1), [REACHED, HELD_BACK]),
    "absent": (guard("absent", clock="x"), [METER, METER]),
}


def placed(*kinds, **how):
    """Guards of these kinds, their keys one behind the other, and as warnings but for the last."""
    found = [
        msgspec.structs.replace(EVERY_KIND[kind][0], key=HELD + 2 * n, held=HELD + 2 * n + 1) for n, kind in enumerate(kinds)
    ]
    return {
        "guards": [*(msgspec.structs.replace(one, enforce=False) for one in found[:-1]), *found[-1:]],
        "meters": [key for kind in kinds for key in EVERY_KIND[kind][1]] + [METER],
        "thread": thread("49153" if kinds[-1] == "distinct" else "49151"),
    }


TAKES_ALL = case(opens="z", price=7, meter=HELD + 4)


@pytest.fixture
def full(lua):
    """A ledger in which nothing is left to be taken."""
    lua.has(x=HOUR, y={"?": HOUR, "&": "s0"})
    lua.has(thread("49153"), x=HOUR)
    lua.reads(3, 1)
    guards, keys = zip(*EVERY_KIND.values(), strict=True)
    spread = [
        msgspec.structs.replace(one, key=HELD + 2 * n, held=HELD + 2 * n + 1, enforce=False) for n, one in enumerate(guards)
    ]
    for n, user in enumerate(("49151", "49152", "49153")):
        kept = spread if user != "49153" else [one for one in spread if one.kind != "distinct"]
        lua.sent(PAID, id=f"f{n}", wamid=f"f{n}", thread=thread(user), meters=[key for two in keys for key in two], guards=kept)
    return lua


@pytest.mark.parametrize("refuses", EVERY_KIND)
@pytest.mark.parametrize("first", EVERY_KIND)
def test_a_refusal_leaves_no_trace(full, first, refuses):
    """Whatever refuses, and whatever would have been taken before it: no key and no lifetime is another one."""
    before = full.everything()
    outcome = full.authorize(TAKES_ALL, **placed(first, refuses))

    assert ("refused", 2) == (outcome.status, outcome.guard)
    assert before == full.everything()


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_rule_that_blocks_leaves_no_trace(full, kind):
    """Nothing behind it is taken."""
    before = full.everything()
    outcome = full.authorize(TAKES_ALL, rules=[rule()], **placed(kind, kind))

    assert ("refused", 1, 0) == (outcome.status, outcome.rule, outcome.guard)
    assert before == full.everything()


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("how", [{"commit": False}, {"commit": False, "enforce": False}])
def test_a_dry_run_takes_nothing(full, kind, how):
    """It says what a send would be told, whether that is kept or only said."""
    said = placed(kind, kind)
    before = full.everything()
    outcome = full.authorize(TAKES_ALL, **said, **how)

    assert (
        (2, (1,)) == (outcome.guard, outcome.warned) if "enforce" not in how else (0, (1, 2)) == (outcome.guard, outcome.warned)
    )
    assert before == full.everything()


@pytest.mark.parametrize("how", ["mode", "policy"])
def test_what_only_warns_is_taken_all_the_same(lua, how):
    """Its counters go on, so that they are right on the day that it is enforced."""
    kinds = [kind for kind in EVERY_KIND if kind != "absent"]
    for kind in kinds:
        said = placed(kind)
        said["guards"] = [msgspec.structs.replace(one, enforce=how == "policy") for one in said["guards"]]
        for n in range(2):
            outcome = lua.authorize(PAID, id=f"{kind}{n}", enforce=how != "policy", **said | {"thread": thread(f"4915{n}")})
            assert "reserved" == outcome.status

    assert ({"reserved": 14}, {"reserved": 7}) == (lua.meter(BUDGET), lua.meter(f"{BUDGET}:49151"))
    assert 2 == lua.redis.zcard(REACHED) == lua.redis.hlen(HELD_BACK)
    assert [True] * 3 == [bool(lua.redis.exists(key)) for key in (RATE, f"{PAIR}:49150", f"{PAIR}:49151")]
