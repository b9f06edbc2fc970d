"""The way to one node of Redis: whoever asks has his own answer or a LedgerError, in time, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time

import hiredis
import pytest
from both_loops import ON_BOTH, complaints, event_loop_policy  # noqa: F401 - fixtures
from fake_graph import eventually
from redis.exceptions import RedisError, ResponseError

from gatekeeper.core.errors import LedgerError
from gatekeeper.ledger import clients, lanes
from gatekeeper.ledger.lanes import Lane
from gatekeeper.ledger.patience import STEPS

pytestmark = ON_BOTH
KEY = "gk:{1}:probe"
LONG, SHORT = 60.0, 0.2


@pytest.fixture(autouse=True)
async def watched(request, complaints):  # noqa: F811 - the fixture
    """A loop in debug mode has nothing to complain of, unless a test wants that, and no task is left."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    yield
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    assert "faulty" in request.fixturenames or [] == complaints()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(lanes, "PROBE_S", 0.02)


class Node:
    """A server that speaks RESP: it echoes the last word of each question, unless it is told otherwise."""

    def __init__(self):
        self.asked = []
        self.odd = {}
        self.held = self.rude = False
        self.writers = set()
        self.port = 0
        self._kept = []

    async def serve(self, reader, writer):
        if self.rude:
            writer.close()
            return
        self.writers.add(writer)
        questions = hiredis.Reader()
        try:
            while data := await reader.read(1 << 16):
                questions.feed(data)
                answers = []
                while question := questions.gets():
                    self.asked.append(question)
                    answers.append(self.odd.get(question[-1], b"$%d\r\n%b\r\n" % (len(question[-1]), question[-1])))
                if self.held:
                    self._kept.append((writer, answers))
                else:
                    writer.write(b"".join(answers))
        except ConnectionError:
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    def go_on(self):
        """Answer now what was kept, to whoever asked it and may have hung up."""
        self.held = False
        kept, self._kept = self._kept, []
        for writer, answers in kept:
            if writer in self.writers and not writer.transport.is_closing():
                writer.write(b"".join(answers))

    def say(self, words):
        for writer in self.writers:
            writer.write(words)

    def hang_up(self):
        self._kept = []
        for writer in list(self.writers):
            writer.transport.abort()


@pytest.fixture
async def node():
    found = Node()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    await eventually(lambda: not found.writers)  # every lane has hung up


@pytest.fixture
async def opened(node):
    """Open lanes to the node, or elsewhere; all are closed at the end."""
    made = []

    def open_lane(url=None, *, timeout_s=LONG, on_change=lambda: None):
        pool = clients.single(url or f"redis://127.0.0.1:{node.port}", timeout_s=timeout_s).connection_pool

        async def serves(key):
            [answer] = await lane.direct([("SET", key, 1, "PX", 1000)])
            return not isinstance(answer, Exception)

        def changed():
            lane.told.append(lane.up)
            on_change()

        lane = Lane(pool, timeout_s=timeout_s, on_change=changed, probe=serves)
        lane.told = []
        made.append(lane)
        return lane

    yield open_lane
    for lane in made:
        await lane.close()


@pytest.fixture
async def lane(opened):
    return opened()


@pytest.fixture
def faulty():
    """The loop has something to complain of."""


def echo(lane, word, **how):
    return lane.ask(KEY, [("ECHO", word)], **how)


def start(lane, count, first=0):
    return [asyncio.create_task(echo(lane, str(n))) for n in range(first, first + count)]


def step(lane):
    """Let a step of the time be over now."""
    lane._look.cancel()
    lane._looked()


async def ends(tasks):
    """What each has: its answers, or the kind of its error."""
    async with asyncio.timeout(10):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(one) if isinstance(one, BaseException) else one for one in found]


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


# Order


@pytest.mark.parametrize("seed", range(8))
async def test_cancelled_callers_never_shift_the_answers(seed, opened, redis_url):
    """Cancelled before they are asked, while they are queued or on their way: everyone else has his own."""
    lane, chance = opened(redis_url), random.Random(seed)
    calls, cancelled = [], set()
    for _ in range(12):
        calls += start(lane, chance.randrange(1, 40), len(calls))
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        for n in chance.sample(range(len(calls)), len(calls) // 5):
            if calls[n].cancel():
                cancelled.add(n)
    found = await ends(calls)

    assert [asyncio.CancelledError if n in cancelled else [str(n).encode()] for n in range(len(calls))] == found
    assert (True, []) == (lane.up, lane.told)


async def test_units_of_any_size_stay_whole(opened, redis_url, redis):
    """Whatever fits in no trip goes alone, and nobody gets between MULTI and EXEC."""
    lane = opened(redis_url)
    nothing = await ends([lane.ask(KEY, [])])
    sizes = [0, 1, 15, 16, 17, 3, 99, 100, 101, 1, 300, 2]

    async def several(n, size):
        return await lane.ask(KEY, [("ECHO", f"{n}-{m}") for m in range(size)])

    async def whole(n):
        return (await lane.ask(KEY, [("MULTI",), ("SET", KEY, n, "PX", 1000), ("GET", KEY), ("EXEC",)]))[-1]

    found = await ends([call for n, size in enumerate(sizes) for call in (several(n, size), whole(n))])

    assert [[]] == nothing
    assert [[f"{n}-{m}".encode() for m in range(size)] for n, size in enumerate(sizes)] == found[::2]
    assert [[b"OK", str(n).encode()] for n in range(len(sizes))] == found[1::2]


async def test_a_huge_answer_and_many_small_ones(opened, redis_url, redis):
    """In many reads, or all in one."""
    lane = opened(redis_url)
    huge = b"x" * 8_000_000
    redis.set(KEY, huge, px=10_000)
    small = [("ECHO", str(n)) for n in range(5000)]
    found = await ends([lane.ask(KEY, [("GET", KEY)]), lane.ask(KEY, small), echo(lane, "last")])

    assert [[huge], [str(n).encode() for n in range(5000)], [b"last"]] == found


async def test_those_in_no_hurry_wait_for_a_while_at_most(lane, node):
    """However many sends keep coming, a webhook's turn comes; and however many webhooks wait, a send goes before them."""
    done = asyncio.Event()

    async def keeps_asking(*, behind):
        while not done.is_set():
            await echo(lane, "busy", behind=behind)

    for behind in (False, True):
        done.clear()
        crowd = [asyncio.create_task(keeps_asking(behind=behind)) for _ in range(150)]
        await turns(5)
        node.asked.clear()
        async with asyncio.timeout(10):
            await echo(lane, "other", behind=not behind)
        before = [question[-1] for question in node.asked].index(b"other")
        done.set()
        await asyncio.gather(*crowd)

        assert (
            before <= (lanes._PASSES + lanes._TRIPS + 1) * lanes._FULL
            if not behind
            else before <= lanes._FULL * (lanes._TRIPS + 1)
        )


# Errors as answers


@pytest.mark.parametrize(
    "said",
    [
        b"-NOSCRIPT No matching script.\r\n",
        b"-MOVED 3999 127.0.0.1:6381\r\n",
        b"-WRONGTYPE Operation against a key\r\n",
        b"-ERR what is that\r\n",
        b"-ERR \xff\xfe\r\n",
        b"-\r\n",
    ],
)
async def test_an_error_is_the_answer_of_its_own_command(said, lane, node):
    """Those before and behind it in the same trip have theirs, and the node is there."""
    node.odd[b"2"] = said
    found = await ends([echo(lane, "0"), lane.ask(KEY, [("ECHO", "1"), ("ECHO", "2"), ("ECHO", "3")]), echo(lane, "4")])

    assert isinstance(found[1][1], ResponseError)
    assert ([b"0"], [b"1"], [b"3"], [b"4"]) == (found[0], found[1][:1], found[1][2:], found[2])
    assert [] == lane.told


@pytest.mark.parametrize(
    "said",
    [
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-ERR Error running script: @user_script: -OOM command not allowed\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-BUSY Redis is busy running a script.\r\n",
        b"-MISCONF Redis is configured to save RDB snapshots\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-CLUSTERDOWN The cluster is down\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-ERR max number of clients reached\r\n",
    ],
)
async def test_a_node_that_cannot_serve_is_away_until_it_can(said, lane, node):
    """Its caller hears of it, others on the same trip have their answers, and the next fails at once."""
    node.odd[b"1"] = said
    found = await ends(start(lane, 3))
    away = await ends([echo(lane, "3")])
    asked = [question[-1] for question in node.asked]
    await eventually(lambda: lane.up)
    back = await ends([echo(lane, "4")])

    assert ([[b"0"], LedgerError, [b"2"]], [LedgerError], [[b"4"]]) == (found, away, back)
    assert b"3" not in asked
    assert [False, True] == lane.told


async def test_an_error_inside_an_answer_is_part_of_it(lane, node):
    """As EXEC answers."""
    node.odd[b"EXEC"] = b"*2\r\n+OK\r\n-WRONGTYPE Operation against a key\r\n"
    [[answer], other] = await ends([lane.ask(KEY, [("EXEC",)]), echo(lane, "0")])

    assert (b"OK", True, [b"0"]) == (answer[0], isinstance(answer[1], ResponseError), other)


# A connection that is lost


async def test_a_connection_lost_while_nobody_asks_is_nobodys_loss(lane, node):
    """The next one connects anew."""
    for n in range(3):
        await echo(lane, str(n))
        node.hang_up()
        await eventually(lambda: lane._pipe is None)
    found = await ends(start(lane, 40))

    assert ([[str(n).encode()] for n in range(40)], []) == (found, lane.told)


@pytest.mark.parametrize("count", [1, 4, 200])
async def test_a_connection_lost_with_questions_on_their_way(count, lane, node):
    """All that were asked or waited fail, once; the node comes back, and nobody is asked again."""
    await echo(lane, "first")
    node.held = True
    calls = start(lane, count)
    await eventually(lambda: len(node.asked) > 1)
    node.hang_up()
    node.held = False
    found = await ends(calls)
    meanwhile = await ends([echo(lane, "meanwhile")])
    await eventually(lambda: lane.up)
    asked = len(node.asked)
    back = await ends(start(lane, 3))

    assert ([LedgerError] * count, [LedgerError], [[b"0"], [b"1"], [b"2"]]) == (found, meanwhile, back)
    assert ([False, True], asked + 3) == (lane.told, len(node.asked))


@pytest.mark.parametrize("late", [False, True])
async def test_a_node_that_hangs_up_at_once(late, opened, node):
    """Whether the connection was taken over by then or not: the caller need not wait for the time-out."""
    node.rude = True
    for _ in range(5):
        lane = opened()
        if late:
            kind = lane._pool.connection_class

            class Slow(kind):
                async def connect(self) -> None:
                    await super().connect()
                    await asyncio.sleep(0.01)

            lane._pool.connection_class = Slow
        found = await ends(start(lane, 5))

        assert ([LedgerError] * 5, True) == (found, lane.why.startswith(("Connection", "BrokenPipe")))


@pytest.mark.parametrize("going", [0, 1, 6])
@pytest.mark.parametrize("turn", range(4))
async def test_a_connection_closed_under_those_who_are_due(going, turn, lane, node):
    """Whenever they come, they have an answer or a LedgerError, and no error of the loop's."""
    await echo(lane, "first")
    node.held = bool(going)
    calls = start(lane, going)
    await turns(2)
    lane._pipe._transport.abort()
    await turns(turn)
    calls += start(lane, 3, going)
    await turns(1)
    node.go_on()
    found = await ends(calls)

    assert {LedgerError} >= {one for one in found if not isinstance(one, list)}


async def test_a_connection_that_cannot_be_written_to(lane, node, monkeypatch):
    """As uvloop's after it was closed: who asks hears it as any other loss."""

    def closed(_: list[bytes]) -> None:
        raise RuntimeError("the handler is closed")

    await echo(lane, "first")
    monkeypatch.setattr(lane._pipe, "write", closed)
    found = await ends(start(lane, 20))
    await eventually(lambda: lane.up)

    assert ([LedgerError] * 20, [False, True]) == (found, lane.told)
    assert [[b"new"]] == await ends([echo(lane, "new")])


async def test_an_answer_that_comes_too_late_is_nobodys(lane, node):
    """Those who ask after the time-out have their own."""
    await echo(lane, "first")
    node.held = True
    calls = start(lane, 6)
    await eventually(lambda: len(node.asked) > 3)
    for _ in range(STEPS + 1):
        step(lane)
    found = await ends(calls)
    node.go_on()
    await eventually(lambda: lane.up)
    back = await ends(start(lane, 9, 10))

    assert ([LedgerError] * 6, "TimeoutError", [[str(n).encode()] for n in range(10, 19)]) == (found, lane.why, back)


async def test_a_redis_that_stands_still(opened, redis_url, frozen):
    """Who asks it fails in time; what it answers when it wakes up is nobody's."""
    lane = opened(redis_url, timeout_s=SHORT)
    await echo(lane, "first")
    with frozen():
        found = await ends(start(lane, 100))
        away = await ends([echo(lane, "away")])
    await eventually(lambda: lane.up)
    back = await ends(start(lane, 9, 100))

    assert ([LedgerError] * 100, [LedgerError], [[str(n).encode()] for n in range(100, 109)]) == (found, away, back)
    assert [False, True] == lane.told


async def test_a_redis_that_sleeps_for_less_than_the_time(opened, redis_url, redis):
    """Is waited for."""
    lane = opened(redis_url)
    found = await ends([lane.ask(KEY, [("DEBUG", "SLEEP", "0.05")]), *start(lane, 100)])

    assert ([[b"OK"], *([str(n).encode()] for n in range(100))], []) == (found, lane.told)


# Words that nobody asked for


async def test_an_answer_without_a_question(lane, node):
    """It ends the connection: whose would the next one be?"""
    await echo(lane, "first")
    node.say(b"+OK\r\n")
    await eventually(lambda: lane._pipe is None)

    assert ([[b"0"], [b"1"], [b"2"]], []) == (await ends(start(lane, 3)), lane.told)


async def test_more_answers_than_questions_leave_nobody_waiting(lane, node):
    """Whoever is queued then is asked on another connection."""
    await echo(lane, "first")
    node.held = True
    calls = start(lane, 1) + start(lane, 90, 1)
    await eventually(lambda: len(lane._going) == lanes._TRIPS and len(node.asked) > lanes._ENOUGH)
    node.say(b"+what\r\n" * 91)
    node.go_on()
    found = await ends(calls)

    assert all(one is LedgerError or len(one) == 1 for one in found)
    assert [[b"new"]] == await ends([echo(lane, "new")])


async def test_what_is_no_answer_ends_the_connection(lane, node):
    """What was whole before it is answered, what comes behind it fails."""
    node.odd |= {b"2": b"what?\r\n"}
    found = await ends([echo(lane, "0"), lane.ask(KEY, [("ECHO", "1")] * 20), echo(lane, "2"), echo(lane, "3")])
    await eventually(lambda: lane.up)

    assert [[b"0"], [b"1"] * 20, LedgerError, LedgerError] == found
    assert [[b"new"]] == await ends([echo(lane, "new")])


@pytest.mark.parametrize("said", [b"-MISCONF no\r\n", b"what?\r\n"])
async def test_a_fault_of_our_own_fails_those_who_asked(faulty, said, opened, node):
    """It is the loop's to report; nobody hangs."""

    def faulty_change():
        raise RuntimeError("our own fault")

    lane = opened(on_change=faulty_change)
    await echo(lane, "first")
    node.odd[b"20"] = said
    found = await ends(start(lane, 200))
    await eventually(lambda: lane.up)

    assert {LedgerError} == {one for one in found if not isinstance(one, list)}
    assert [[b"new"]] == await ends([echo(lane, "new")])


# Time


@pytest.mark.parametrize(("others", "steps"), [(0, STEPS), (3, STEPS), (200, STEPS // 2)])
async def test_patience_is_half_when_others_wait(others, steps, lane, node):
    """Those who are on their way too do not wait behind anybody."""
    await echo(lane, "first")
    await asyncio.sleep(0.01)
    node.held = True
    lane._hang_up("")
    calls = start(lane, 1)
    await eventually(lambda: b"0" in [question[-1] for question in node.asked])
    calls += start(lane, others, 1)
    await turns(3)
    for _ in range(steps - 1):
        step(lane)
    await asyncio.sleep(0.01)
    waiting = not calls[0].done()
    step(lane)
    await eventually(calls[0].done)

    assert (True, [LedgerError] * (1 + others)) == (waiting, await ends(calls))


async def test_a_second_trip_has_time_of_its_own(lane, node):
    """It does not run out of it with the first."""
    await echo(lane, "first")
    lane._hang_up("")
    node.held = True
    calls = start(lane, 1)
    await eventually(lambda: len(node.asked) == 2)
    for _ in range(STEPS - 1):
        step(lane)
    node.go_on()
    await ends(calls)
    node.held = True
    calls = start(lane, 1, 1)
    await eventually(lambda: len(node.asked) == 3)
    for _ in range(STEPS):
        step(lane)
    await asyncio.sleep(0.01)
    waiting = not calls[0].done()
    step(lane)

    assert (True, [LedgerError]) == (waiting, await ends(calls))


async def test_connecting_takes_from_the_time_of_those_who_wait_for_it(opened, node):
    """Not from that of those who come later."""
    lane = opened(f"redis://:secret@127.0.0.1:{node.port}", timeout_s=5.0)
    node.odd[b"secret"] = b"+OK\r\n"
    node.held = True
    calls = start(lane, 1)
    await eventually(lambda: node.asked)
    await asyncio.sleep(0.55)
    node.go_on()
    node.held = True
    await eventually(lambda: lane._going)
    calls += start(lane, 1, 1)
    await eventually(lambda: len(lane._going) == 2)
    left = [trip.left for trip in lane._going]
    node.go_on()

    assert [[b"0"], [b"1"]] == await ends(calls)
    assert (True, STEPS + 1) == (left[0] < STEPS, left[1])


async def test_a_caller_who_gave_up_while_it_was_opened_takes_no_time_from_others(opened, node):
    """The first trip that goes is another's, later."""
    lane = opened(f"redis://:secret@127.0.0.1:{node.port}", timeout_s=0.5)
    node.odd[b"secret"] = b"+OK\r\n"
    node.held = True
    calls = start(lane, 1)
    await eventually(lambda: node.asked)
    await asyncio.sleep(0.12)
    calls[0].cancel()
    node.go_on()
    await eventually(lambda: lane._pipe)
    node.held = True
    calls += start(lane, 1, 1)
    await turns(2)
    left = [trip.left for trip in lane._going]
    await eventually(lambda: len(node.asked) == 2)
    node.go_on()

    assert ([STEPS], [asyncio.CancelledError, [b"1"]]) == (left, await ends(calls))


@pytest.mark.parametrize("over", [0, STEPS - 1])
async def test_a_process_that_was_busy_reads_before_it_gives_up(over, opened, redis_url, frozen):
    """For longer than the time-out, or in the last step of it: the answer lies there, whether the loop looks at clocks first or not."""
    lane, loop = opened(redis_url, timeout_s=SHORT), asyncio.get_running_loop()
    await echo(lane, "first")
    await asyncio.sleep(0.03)
    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as stack, ours, theirs:
        stack.enter_context(frozen())
        calls = start(lane, 1)
        await turns(1)
        for _ in range(over):
            step(lane)

        def busy() -> None:
            loop.remove_reader(ours)
            stack.close()
            time.sleep(1.2 * SHORT)

        loop.add_reader(ours, busy)
        theirs.send(b"!")
        found = await ends(calls)

    assert ([[b"0"]], []) == (found, lane.told)


async def test_a_process_that_was_busy_while_it_connected(opened, redis_url):
    """Its own time is not Redis'."""
    lane = opened(redis_url, timeout_s=SHORT)
    calls = start(lane, 1)
    await turns(2)
    time.sleep(1.2 * SHORT)  # noqa: ASYNC251
    await eventually(lambda: lane._going or calls[0].done())
    left = [trip.left for trip in lane._going]

    assert ([[b"0"]], []) == (await ends(calls), lane.told)
    assert all(one >= STEPS // 2 for one in left)


# Apart


async def test_a_question_of_its_own_way(lane, node):
    """It works while the lane's connection is stuck, fails by itself while nobody is there, and disturbs nobody."""
    await echo(lane, "first")
    node.held = True
    calls = start(lane, 3)
    await eventually(lambda: len(node.asked) > 1)
    apart = asyncio.create_task(lane.direct([("ECHO", "a"), ("ECHO", "b")]))
    await eventually(lambda: len(node.asked) >= 4)
    node.go_on()
    answers = await ends([apart, *calls])
    node.rude = True
    await lane._pool.disconnect()
    with pytest.raises((RedisError, OSError)):
        await lane.direct([("ECHO", "c")])
    node.rude = False

    assert [[b"a", b"b"], [b"0"], [b"1"], [b"2"]] == answers
    assert ([b"d"], []) == (await lane.direct([("ECHO", "d")]), lane.told)


# The end


async def connecting(lane, node):
    node.held = True
    calls = start(lane, 3)
    await eventually(lambda: node.asked)
    return calls


async def on_their_way(lane, node):
    await echo(lane, "first")
    node.held = True
    calls = start(lane, 100)
    await eventually(lambda: len(lane._going) == lanes._TRIPS and len(node.asked) > lanes._ENOUGH)
    return calls


async def due(lane, node):
    await echo(lane, "first")
    node.held = True
    calls = start(lane, 2)
    await turns(1)
    return calls


async def away(lane, node):
    await echo(lane, "first")
    node.odd |= {b"0": b"-MISCONF no\r\n", b"1000": b"-MISCONF no\r\n"}
    calls = start(lane, 1)
    await eventually(lambda: not lane.up)
    return calls


async def being_probed(lane, node):
    calls = await away(lane, node)
    node.held = True
    known = len(node.asked)
    await eventually(lambda: len(node.asked) > known)
    return calls


async def just_started(lane, node):
    return start(lane, 3)


async def one_turn_on(lane, node):
    calls = start(lane, 3)
    await turns(1)
    return calls


async def idle(lane, node):
    await echo(lane, "first")
    return []


async def never_used(lane, node):
    return []


STATES = [never_used, idle, just_started, one_turn_on, connecting, due, on_their_way, away, being_probed]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_closing_leaves_nothing(state, opened, node):
    """Whatever goes on: whoever asked has an end, every connection is hung up, and no task is left."""
    lane = opened(f"redis://:secret@127.0.0.1:{node.port}")
    node.odd[b"secret"] = b"+OK\r\n"
    before = asyncio.all_tasks()
    calls = await state(lane, node)
    told = list(lane.told)
    await lane.close()
    await lane.close()
    found = await ends(calls)
    later = await ends([echo(lane, "later")])
    await eventually(lambda: not node.writers)
    left = asyncio.all_tasks() - before - set(calls)
    node.held = False

    assert ([LedgerError] * len(calls), [LedgerError], told) == (found, later, lane.told)
    assert (None, None) == (lane._pipe, lane._look)
    assert all(task.get_coro().__name__ == "serve" for task in left)


@pytest.mark.parametrize("turn", range(16))
async def test_closing_at_any_turn(turn, opened, redis_url):
    """While it connects and asks."""
    lane = opened(redis_url)
    calls = start(lane, 3)
    await turns(turn)
    await lane.close()
    found = await ends(calls)

    assert {LedgerError} >= {one for one in found if not isinstance(one, list)}
    assert None is lane._pipe


@pytest.mark.parametrize("turn", range(16))
async def test_a_lane_that_is_retired_leaves_no_connection(turn, opened, node):
    """One that was being opened is hung up as soon as it is there."""
    lane = opened()
    calls = start(lane, 3)
    await turns(turn)
    lane.retire()
    found = await ends(calls)
    await eventually(lambda: not lane._opening and not node.writers)

    assert {LedgerError} >= {one for one in found if not isinstance(one, list)}
    assert None is lane._pipe
