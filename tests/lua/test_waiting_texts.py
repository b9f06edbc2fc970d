"""`queue.lua`, `take.lua`, `pass.lua` and `wake.lua`: texts that wait for their recipient, in their order, each for one sender."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from verbs import DAY, HOUR, MINUTE, NOW, OTHER, THREAD

from gatekeeper.core.holding import PASSINGS, Entry, TextState, Turn
from gatekeeper.ledger import keys, wire

HOLDING = keys.holding("P")
WAITING, ELSEWHERE = keys.waiting("P", "1", "49151"), keys.waiting("P", "1", "DE.49")
PATIENCE, LOOK = MINUTE, 5 * MINUTE


class Lists:
    """The scripts, on one thread and its one clock `w`."""

    def __init__(self, lua):
        self.lua, self.redis = lua, lua.redis

    def queue(
        self,
        text="a",
        step="ask",
        *,
        at=0,
        owner=None,
        most=3,
        deadline=DAY,
        waiting=WAITING,
        thread=THREAD,
        named="",
        proof="",
    ):
        entry = Entry(
            owner=owner or f"asks {text}",
            most=most,
            deadline=NOW + deadline,
            clock="w",
            patience=PATIENCE,
            look=LOOK,
            lifetime=8 * DAY,
            named=named,
            proof=proof,
        )
        named = [waiting, HOLDING, thread, key(text)]
        answer = self.lua.run("queue", named, NOW + at, step, msgspec.msgpack.encode(entry), f"says {text}", f"token of {text}")
        return tuple(part.decode() for part in answer)

    def waits(self, *texts, at=0, **how):
        """Let texts wait: the first one asks."""
        for n, text in enumerate(texts):
            if n == 0:
                self.queue(text, at=at, **how)
            self.queue(text, "ask" if n else "asked", at=at, **how)

    def take(self, owner="s1", *, at=0, waiting=WAITING, thread=THREAD):
        named = [waiting, HOLDING, thread]
        found, *rest = self.lua.run("take", named, NOW + at, owner, "w", PATIENCE, LOOK, 8 * DAY)
        where, expired, lost, *text = rest
        return {
            "found": found.decode(),
            "where": where.decode(),
            "expired": [name(one) for one in expired],
            "lost": [name(one) for one in lost],
            "text": name(text[0]) if text else None,
            "told": text[1:],
        }

    def taken(self, owner="s1", **how):
        """What is taken, in two words."""
        found = self.take(owner, **how)
        return found["found"], found["text"]

    def move(self, text, turn, *, owner="s1", at=0, lease=0, due=0, waiting=WAITING, **told):
        packed = wire.onward(PASSINGS[turn], owner=owner, lease=lease, due=due, told=told)
        return self.lua.run("pass", [key(text), waiting, HOLDING], NOW + at, packed)

    def wake(self, *, at=0, thread=THREAD):
        return self.lua.run("wake", [HOLDING, thread], NOW + at)

    def text(self, text="a"):
        return self.lua.record(key(text))

    def state(self, text="a"):
        return self.text(text).get("state")

    def listed(self, waiting=WAITING):
        packed = self.redis.hget(waiting, "texts")
        return [] if packed is None else [name(one) for one in msgspec.msgpack.decode(packed)]

    def due(self, waiting=WAITING):
        """When a list is to be looked at, after NOW."""
        score = self.redis.zscore(HOLDING, waiting)
        return None if score is None else int(score) - NOW


def key(text):
    return keys.text("P", f"P-{text}")


def name(text_key):
    return (text_key if isinstance(text_key, str) else text_key.decode()).rpartition("-")[2]


@pytest.fixture
def lists(lua):
    return Lists(lua)


# ------------------------------------------------------------------------------------------------------- waiting


def test_the_first_asks_and_waits_only_when_it_has_asked(lists):
    """Until then nothing waits, and nothing is to be looked at."""
    assert ("first", "") == lists.queue("a")
    assert ([], None, None) == (lists.listed(), lists.due(), lists.state("a"))
    assert ("joined", "49151") == lists.queue("a", "asked", named="49151")
    assert (["a"], LOOK, "waiting") == (lists.listed(), lists.due(), lists.state("a"))


def test_others_join_behind_it_in_their_order_and_hear_its_name(lists):
    """One asked for all of them."""
    lists.waits("a", named="4915")
    answers = [lists.queue(text) for text in "bc"]

    assert [("joined", "4915")] * 2 == answers
    assert ["a", "b", "c"] == lists.listed()


def test_while_one_asks_the_others_hear_so(lists):
    """Neither do they ask, nor do they wait for what may not have been asked."""
    lists.queue("a")
    before = lists.lua.everything()

    assert ("busy", "") == lists.queue("b", at=PATIENCE - 1)
    assert before == lists.lua.everything()


def test_who_asks_and_never_comes_back_is_waited_for_no_longer_than_its_patience(lists):
    """Then another one asks."""
    lists.queue("a")

    assert ("first", "") == lists.queue("b", at=PATIENCE)


def test_who_could_not_ask_gives_up_at_once(lists):
    """The next one asks; nothing is left of the first."""
    lists.queue("a")
    lists.queue("a", "gave_up")

    assert {} == lists.lua.everything()
    assert ("first", "") == lists.queue("b")


def test_giving_up_is_not_for_others(lists):
    """Who asks since does not lose its claim."""
    lists.queue("a")
    lists.queue("b", at=PATIENCE)
    lists.queue("a", "gave_up", at=PATIENCE)

    assert ("busy", "") == lists.queue("c", at=PATIENCE)


def test_who_asked_late_waits_all_the_same(lists):
    """The recipient was asked, twice even; both texts wait."""
    lists.queue("a")
    lists.queue("b", at=PATIENCE)
    lists.queue("a", "asked", at=PATIENCE)
    lists.queue("b", "asked", at=PATIENCE)

    assert ["a", "b"] == lists.listed()


def test_the_same_text_waits_once(lists):
    """Its sender may say again that it asked, when it did not hear the ledger's answer."""
    lists.waits("a")
    before = lists.lua.everything()

    assert ("joined", "") == lists.queue("a", "asked")
    assert before == lists.lua.everything()


@pytest.mark.parametrize(("most", "answers"), [(1, ["full", "full"]), (2, ["joined", "full"]), (3, ["joined", "joined"])])
def test_no_more_wait_than_may(lists, most, answers):
    """What there is no room for leaves no trace."""
    lists.waits("a", most=most)
    heard = [lists.queue(text, most=most)[0] for text in "bc"]

    assert answers == heard
    assert 1 + answers.count("joined") == len(lists.listed()) == len(list(lists.redis.scan_iter("gk:{P}:text:*")))


def test_what_waited_too_long_takes_no_room_and_asks_for_nobody(lists):
    """Whoever comes after the last deadline asks anew, looked at or not."""
    lists.waits("a", "b", most=2)

    assert "full" == lists.queue("c", at=DAY - 1, most=2)[0]
    assert "first" == lists.queue("c", at=DAY, most=2, deadline=2 * DAY)[0]


@pytest.mark.parametrize(
    ("before", "answer"), [((), "first"), (("a",), "joined"), (("a", "b", "c"), "full")], ids=["nobody", "room", "no room"]
)
def test_a_look_says_what_would_be_and_changes_nothing(lists, before, answer):
    """As a dry run does."""
    lists.waits(*before)
    there = lists.lua.everything()

    assert answer == lists.queue("z", "look")[0]
    assert there == lists.lua.everything()


def test_the_token_is_kept_unless_the_recipient_was_asked_by_the_same(lists):
    """Who came by another one has to be sent by it; an empty digest stands for none."""
    lists.waits("a", proof="one")
    lists.queue("b", proof="one")
    lists.queue("c", proof="other")

    assert [None, None, "token of c"] == [lists.text(text).get("secret") for text in "abc"]


def test_a_token_without_a_digest_is_always_kept(lists):
    """There is nothing that could stand in for it."""
    lists.waits("a", "b")

    assert ["token of a", "token of b"] == [lists.text(text)["secret"] for text in "ab"]


def test_a_new_list_forgets_by_which_token_an_older_one_was_asked(lists):
    """A token that Meta took once may be revoked since."""
    lists.waits("a", proof="one", deadline=HOUR)
    lists.waits("b", at=HOUR, proof="other")
    lists.queue("c", at=HOUR, proof="one")

    assert "token of c" == lists.text("c")["secret"]


def test_everything_lives_as_long_as_it_waits_and_what_became_of_it_is_told(lists):
    """The deadline, and a while more."""
    lists.waits("a", deadline=3 * DAY)

    assert {11 * DAY} == {lists.lua.lifetime(one) for one in (key("a"), WAITING, HOLDING)}


def test_who_only_asks_leaves_a_claim_that_ends_by_itself(lists):
    """Not longer than its patience."""
    lists.queue("a")

    assert PATIENCE == lists.lua.lifetime(WAITING)


@pytest.mark.parametrize(("clock", "due"), [((-HOUR, HOUR), 0), ((-HOUR, 0), LOOK), (None, LOOK)])
def test_who_waits_though_the_recipient_answered_meanwhile_is_looked_at_at_once(lists, clock, due):
    """The answer may have overtaken the ledger."""
    lists.queue("a")
    if clock:
        lists.lua.has(w=clock)
    lists.queue("a", "asked")

    assert due == lists.due()


def test_a_list_is_looked_at_when_its_first_text_expires(lists):
    """If that is before it would be looked at in any case; who joins does not put it off."""
    lists.waits("a", deadline=MINUTE)
    lists.queue("b", deadline=DAY)

    assert MINUTE == lists.due()


@pytest.mark.parametrize(("deadline", "due"), [(MINUTE, MINUTE), (HOUR, LOOK + 1)])
def test_a_list_that_was_looked_at_in_vain_is_looked_at_again(lists, deadline, due):
    """After a while, or when its first text expires."""
    lists.waits("a", deadline=deadline)
    lists.take(at=1)

    assert due == lists.due()


# ---------------------------------------------------------------------------------------------------------- names


def test_texts_to_two_names_of_one_user_wait_in_one_list(lists):
    """The one that leads and the one that it leads to, in either order."""
    lists.lua.link(THREAD, OTHER)
    lists.waits("a", waiting=ELSEWHERE, thread=OTHER)

    assert "joined" == lists.queue("b")[0]
    assert (["a", "b"], []) == (lists.listed(ELSEWHERE), lists.listed(WAITING))


def test_who_dials_a_name_that_has_a_list_joins_that(lists):
    """Also when it leads to another thread since."""
    lists.waits("a")
    lists.lua.link(THREAD, OTHER)

    assert "joined" == lists.queue("b")[0]
    assert ["a", "b"] == lists.listed(WAITING)


def test_a_look_takes_a_list_where_its_name_leads(lists):
    """Then it is found under both names, and its old key is gone."""
    lists.waits("a", "b")
    lists.lua.link(THREAD, OTHER)
    found = lists.take()

    assert ("shut", ELSEWHERE) == (found["found"], found["where"])
    assert (["a", "b"], [], LOOK, None) == (
        lists.listed(ELSEWHERE),
        lists.listed(WAITING),
        lists.due(ELSEWHERE),
        lists.due(WAITING),
    )
    assert "joined" == lists.queue("c")[0]
    assert "full" == lists.queue("d", waiting=ELSEWHERE, thread=OTHER)[0]


def test_two_lists_stay_two(lists):
    """Of which is first nobody knows; each keeps its order."""
    lists.waits("a")
    lists.waits("b", waiting=ELSEWHERE, thread=OTHER)
    lists.lua.link(THREAD, OTHER)

    assert WAITING == lists.take()["where"]


def test_a_list_does_not_move_while_somebody_sends_from_it(lists):
    """Who sends knows it under this name."""
    lists.waits("a", "b")
    lists.lua.has(w=(0, HOUR))
    lists.take()
    lists.lua.link(THREAD, OTHER)
    found = lists.take("s2")

    assert ("busy", WAITING) == (found["found"], found["where"])
    assert 1 == lists.move("a", Turn.SEND)


@pytest.mark.parametrize(("thread", "count"), [(THREAD, 1), (OTHER, 0), (keys.thread("P", "2", "49151"), 0)])
def test_a_user_who_did_something_is_looked_at_at_once(lists, thread, count):
    """And nobody else is."""
    lists.waits("a")

    assert count == lists.wake(at=5, thread=thread)
    assert (5 if count else LOOK) == lists.due()


def test_a_list_is_woken_under_the_name_that_led_to_it(lists):
    """The webhook names the number, and the text waits for the id."""
    lists.lua.link(THREAD, OTHER)
    lists.waits("a")

    assert (1, 5) == (lists.wake(at=5), lists.due(ELSEWHERE))


def test_nobody_is_put_off_by_being_woken(lists):
    """What is due stays due."""
    lists.waits("a")
    lists.wake()

    assert (1, 0) == (lists.wake(at=MINUTE), lists.due())


def test_waking_whom_nothing_waits_for_leaves_no_trace(lists):
    """As most webhooks do."""
    assert (0, {}) == (lists.wake(), lists.lua.everything())


# ---------------------------------------------------------------------------------------------------------- taking


@pytest.mark.parametrize(("until", "found"), [(MINUTE, "claimed"), (0, "shut"), (-1, "shut")])
def test_a_text_is_taken_while_the_window_is_open(lists, until, found):
    """Up to its end and no longer."""
    lists.waits("a")
    lists.lua.has(w=(-HOUR, until))

    assert (found, "a" if found == "claimed" else None) == lists.taken()


def test_a_window_that_is_only_assumed_is_shut(lists):
    """As it is for any send."""
    lists.waits("a")
    lists.lua.has(w={"?": HOUR})

    assert ("shut", None) == lists.taken()


def test_what_is_taken_comes_with_what_it_says(lists):
    """Whoever takes it needs nothing more to send it."""
    lists.waits("a")
    lists.lua.has(w=(0, HOUR))

    assert [NOW + DAY, b"says a", b"token of a"] == lists.take()["told"]


def test_one_sender_is_at_a_list_at_a_time(lists):
    """So its order holds, however many there are."""
    lists.waits("a", "b")
    lists.lua.has(w=(0, HOUR))

    assert [("claimed", "a"), ("busy", None), ("busy", None)] == [lists.taken(f"s{n}", at=n) for n in range(3)]
    assert PATIENCE == lists.due()


def test_texts_go_out_in_their_order(lists):
    """The next one when the last word on the one before it was said; then nothing is left of the list."""
    lists.waits("a", "b", "c")
    lists.lua.has(w=(0, HOUR))
    order = []
    while (found := lists.taken())[0] == "claimed":
        order.append(found[1])
        lists.move(found[1], Turn.SEND, lease=PATIENCE)
        assert 1 == lists.move(found[1], Turn.TAKEN, wamid=f"wamid.{found[1]}")

    assert ("empty", None) == found
    assert ["a", "b", "c"] == order
    assert (0, 0) == (lists.redis.exists(WAITING), lists.redis.exists(HOLDING))


@pytest.mark.parametrize("at", [PATIENCE - 1, PATIENCE])
def test_a_claim_that_ended_was_not_sent_and_is_anybodys(lists, at):
    """Who claimed it does not get to send it any more."""
    lists.waits("a", "b")
    lists.lua.has(w=(0, HOUR))
    lists.take("s1")
    ended = at == PATIENCE

    assert (("claimed", "a") if ended else ("busy", None)) == lists.taken("s2", at=at)
    assert (0 if ended else 1) == lists.move("a", Turn.SEND, owner="s1", at=at)


@pytest.mark.parametrize("at", [PATIENCE - 1, PATIENCE])
def test_a_sending_without_an_answer_is_never_repeated(lists, at):
    """It counts as lost when its time is over, and the next one is taken."""
    lists.waits("a", "b")
    lists.lua.has(w=(0, HOUR))
    lists.take("s1")
    lists.move("a", Turn.SEND, lease=PATIENCE)
    found = lists.take("s2", at=at)

    assert ((["a"], "b") if at == PATIENCE else ([], None)) == (found["lost"], found["text"])
    assert ("unknown" if at == PATIENCE else "sending") == lists.state("a")


def test_who_was_thought_lost_may_still_say_what_became_of_it(lists):
    """Late knowledge is better than none; the list goes on as it was."""
    lists.waits("a", "b")
    lists.lua.has(w=(0, HOUR))
    lists.take("s1")
    lists.move("a", Turn.SEND, lease=PATIENCE)
    lists.take("s2", at=PATIENCE)

    assert 1 == lists.move("a", Turn.TAKEN, owner="s1", at=PATIENCE, wamid="wamid.1")
    assert ("sent", "wamid.1", ["b"]) == (lists.state("a"), lists.text("a")["wamid"], lists.listed())


@pytest.mark.parametrize("shut", [True, False])
def test_a_text_whose_deadline_has_come_is_let_go(lists, shut):
    """Not a moment earlier, and in an open window too: nobody wants it any more."""
    lists.waits("a", deadline=HOUR)
    lists.queue("b", deadline=2 * HOUR)
    if not shut:
        lists.lua.has(w=(0, DAY))
    early, late = lists.take(at=HOUR - 1), lists.take("s2", at=HOUR + PATIENCE)

    assert ([], ["a"]) == (early["expired"], late["expired"])
    assert (None if shut else "b") == late["text"]
    assert "expired" == lists.state("a")


@pytest.mark.parametrize("turn", [Turn.TAKEN, Turn.REFUSED, Turn.LOST])
def test_what_became_of_a_text_outlives_what_it_said(lists, turn):
    """Neither content nor token is kept, and the rest for so long."""
    lists.waits("a", "b")
    lists.lua.has(w=(0, HOUR))
    lists.take()
    lists.move("a", Turn.SEND, lease=PATIENCE)
    lists.move("a", turn, wamid="wamid.1")

    assert {"state": PASSINGS[turn].to, "deadline": str(NOW + DAY), "owner": "s1", "wamid": "wamid.1"} == lists.text("a")
    assert (8 * DAY, ["b"], 0) == (lists.lua.lifetime(key("a")), lists.listed(), lists.due())


def test_what_expires_or_is_lost_says_nothing_any_more_either(lists):
    """Whoever lets it go."""
    lists.waits("a", deadline=HOUR)
    lists.take(at=HOUR)

    assert {"state": "expired", "deadline": str(NOW + HOUR)} == lists.text("a")
    assert 8 * DAY == lists.lua.lifetime(key("a"))


def test_a_text_that_is_put_back_is_the_first_again(lists):
    """Not before the list is due."""
    lists.waits("a", "b")
    lists.lua.has(w=(0, HOUR))
    lists.take()
    lists.move("a", Turn.SEND, lease=PATIENCE)

    assert 1 == lists.move("a", Turn.PUT_BACK, due=7)
    assert (7, ["a", "b"], "waiting") == (lists.due(), lists.listed(), lists.state("a"))
    assert ("claimed", "a") == lists.taken("s2")


@pytest.mark.parametrize(("turn", "state"), list(itertools.product(Turn, TextState)))
def test_a_move_is_made_from_the_states_that_it_may_leave(lists, turn, state):
    """From any other it changes nothing."""
    lists.waits("a")
    lists.redis.hset(key("a"), mapping={"state": state, "owner": "s1"})
    before = lists.lua.everything()
    legal = state in PASSINGS[turn].leaving

    assert int(legal) == lists.move("a", turn)
    assert (PASSINGS[turn].to if legal else state) == lists.state("a")
    assert legal or before == lists.lua.everything()


def test_nobody_else_moves_a_text(lists):
    """Nor does who claimed it earlier."""
    lists.waits("a")
    lists.lua.has(w=(0, HOUR))
    lists.take("s1")
    before = lists.lua.everything()

    assert 0 == lists.move("a", Turn.SEND, owner="s2")
    assert before == lists.lua.everything()


def test_every_key_of_a_moved_list_still_ends(lists):
    """Its index too, which was empty for a moment."""
    lists.waits("a")
    lists.lua.link(THREAD, OTHER)
    lists.take()

    assert 9 * DAY == lists.lua.lifetime(HOLDING) == lists.lua.lifetime(ELSEWHERE)
