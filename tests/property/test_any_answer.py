"""
Whatever comes back for a send, in whatever encoding, shape and size, and however much of it: its reservation ends, and the books say what
Meta's statuses say.

The answer is bytes on a real socket; what Meta did, and says of it, is drawn beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import zlib
from collections.abc import Sequence

import msgspec
from hypothesis import given, note
from hypothesis import strategies as st
from story import LANGUAGE, ONE, USER, Story, message, pmp
from world import bounded

from gatekeeper.core.errors import UpstreamError
from gatekeeper.core.policy import Budget, Counted, Period, Policy
from gatekeeper.core.vocabulary import Money, micros
from gatekeeper.ledger import keys
from gatekeeper.meta.sends import decode_send
from gatekeeper.server.aftermath import Aftermath, Fate
from gatekeeper.server.line import MOST_ANSWER
from gatekeeper.server.upstream import Upstream
from gatekeeper.settings import Upstream as Settings
from gatekeeper.telemetry import logger

DAY, MINUTE = "2026-10-13", 60_000
BUDGET = Policy(budget=(Budget(name="all", scope=Counted.WABA, period=Period.MONTH, limit=Money(10**9)),))
LARGE = MOST_ANSWER + 1
_FINAL = ("delivered", "failed")

JUNK = ["w" * 5000, "", None, True, {}, []]
MESSAGE = {"messaging_product": "whatsapp", "contacts": [{"input": USER, "wa_id": USER}]}
NAMELESS = [{}, [], "x", None, 1, {"messages": "x"}, {"messages": ["x"]}, {"success": True}, {"id": "x"}]
ERRORS = [{"error": {"code": 131026, "message": "no"}}, {"error": {}}, {"error": "no"}, {"error": None}]


def texts(wamid: str) -> st.SearchStrategy[bytes]:
    """The body of an answer before it is packed; *wamid* is the message's true name."""
    listed = st.lists(st.sampled_from([*JUNK, wamid]), max_size=3)
    contents = st.one_of(
        listed.map(lambda found: MESSAGE | {"messages": [{"id": one} for one in found]}),
        st.just(MESSAGE | {"messages": [{"id": wamid}]}),
        st.just(MESSAGE | {"messages": [{"id": wamid}], "error": {"code": 1}}),
        st.sampled_from(NAMELESS),
        st.sampled_from(ERRORS),
    )
    return st.one_of(
        contents.map(lambda content: json.dumps(content).encode()),
        contents.map(lambda content: b"\xef\xbb\xbf" + json.dumps(content).encode()),
        contents.map(lambda content: json.dumps(content, indent=1).encode("utf-16")),
        st.binary(max_size=50),
        st.sampled_from([b"<html>", b"[" * 5000, bytes(LARGE), b"\x1f\x8b"]),
    )


layers = st.lists(st.sampled_from(["gzip", "deflate", "raw", "br"]), max_size=4)
headers = st.one_of(
    st.none(), st.lists(st.sampled_from(["gzip", "deflate", "x-gzip", "identity", "br", "zstd", "", "Ω"]), max_size=5)
)
statuses = st.sampled_from(
    [(), ("sent",), ("sent", "delivered"), ("delivered",), ("sent", "failed"), ("failed",), ("sent", "delivered", "read")]
)


class Reply(msgspec.Struct, frozen=True):
    """What the upstream says to one send, and what Meta did with it: *early* of its statuses come before that, the others after."""

    status: int
    raw: bytes
    kept: float
    taken: bool
    statuses: tuple[str, ...]
    early: int


@st.composite
def replies(draw, n: int) -> Reply:
    body, packed = draw(texts(f"wamid.{n}")), draw(layers)
    for name in packed:
        match name:
            case "gzip":
                body = gzip.compress(body)
            case "deflate":
                body = zlib.compress(body)
            case "raw":
                packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
                body = packer.compress(body) + packer.flush()
            case _:
                body = b"\x0b" + body
    body = body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) and draw(st.booleans()) else body
    honest = ["deflate" if name == "raw" else name for name in packed]
    said = honest if draw(st.booleans()) else draw(headers)
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 302, 400, 404, 500, 503]))
    head = io.BytesIO()
    head.write(f"HTTP/1.1 {status} X\r\n".encode())
    for line in draw(st.sampled_from([[said], [[one] for one in said]])) if said else []:
        head.write(f"Content-Encoding: {', '.join(line)}\r\n".encode())
    length = len(body) if draw(st.integers(0, 9)) else len(body) + 1
    head.write(f"Content-Length: {length}\r\n\r\n".encode())
    raw = head.getvalue() + (b"" if status == 204 else body)
    kept = draw(st.sampled_from([1.0] * 8 + [0.0, 0.5]))
    said_of_it = draw(statuses)
    return Reply(status, raw, kept, draw(st.booleans()), said_of_it, draw(st.integers(0, len(said_of_it))))


@contextlib.asynccontextmanager
async def speaking(spoken: Sequence[Reply]):
    """An upstream that says one reply after another, byte for byte, and hangs up."""
    asked = iter(spoken)

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            reply = next(asked)
            writer.write(reply.raw[: int(len(reply.raw) * reply.kept)])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = Upstream(Settings(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=5_000))
    try:
        yield upstream
    finally:
        await upstream.close()
        server.close()


class Life:
    """One gate through some sends, each to a user of its own, or all to one."""

    def __init__(self, world, *, one_user: bool):
        world.redis.flushall()
        self.world, self.one_user = world, one_user
        self.story = Story(world.ledger, DAY, policy=BUDGET)
        self.log = io.StringIO()
        self.now = self.story.start + MINUTE
        self.aftermath = Aftermath(self.story.engine, self.story.metrics, logger(self.log), lambda: self.now)
        self.price = self.delivered = self.unended = 0

    async def send(self, n: int, reply: Reply, upstream: Upstream) -> None:
        user = USER if self.one_user else f"49151000000{n:02}"
        body = message(user, "template", {"name": "utility", "language": {"code": LANGUAGE}})
        decided = await self.story.engine.decide(decode_send(json.dumps(body).encode()), ONE, now=self.now, decision_id=f"s{n}")
        self.price = micros(decided.decision.fields()["price"])
        told = list(reply.statuses) if reply.taken else []
        for word in told[: reply.early]:
            await self.status(n, user, word)
        fate, named = await self.answered(decided, upstream)
        if fate is Fate.REFUSED:  # then nothing was sent, whatever was said before
            return
        for word in told[reply.early :]:
            await self.status(n, user, word)
        self.delivered += "delivered" in told
        self.unended += bool((named or told) and not set(told).intersection(_FINAL))

    async def answered(self, decided, upstream: Upstream) -> tuple[Fate, bool]:
        try:
            answer = await upstream.post(f"/v23.0/{ONE}/messages", (), b"{}")
        except UpstreamError as error:
            await (self.aftermath.unanswered if error.sent else self.aftermath.released)(decided)
            return Fate.UNKNOWN if error.sent else Fate.REFUSED, False
        fate, read = await self.aftermath.followed_up(decided, answer, decision_id=decided.facts.id)
        named = fate is Fate.TAKEN and read is not None and read.wamid is not None
        loud = self.log.getvalue().count(f'"id":"{decided.facts.id}"')
        assert (1 if fate is Fate.TAKEN and not named else 0) == loud
        return fate, named

    async def status(self, n: int, user: str, word: str) -> None:
        item = {"id": f"wamid.{n}", "status": word, "timestamp": str(self.now // 1000), "recipient_id": user}
        more = {"errors": [{"code": 131026, "title": "no"}]} if word == "failed" else pmp("utility")
        await self.story.statuses(self.now - self.story.start, [item | more])

    def books(self):
        """What the budget holds and has spent, and what is open and settled on the bill."""
        redis = self.world.redis
        [budget] = [redis.hgetall(key) for key in redis.scan_iter("gk:*:budget:*")] or [{}]
        bill = redis.hgetall(next(iter(redis.scan_iter("gk:*:spend:*")), "none"))
        settled = sum(int(value) for field, value in bill.items() if field.startswith(b"s$"))
        return (
            int(budget.get(b"reserved", 0)),
            int(budget.get(b"spent", 0)),
            (int(bill.get(b"o#", 0)), int(bill.get(b"o$", 0))),
            settled,
        )


@given(st.integers(1, 4).flatmap(lambda sends: st.tuples(*map(replies, range(sends)))), st.booleans())
@bounded(100)
def test_the_reservation_ends_and_the_books_say_what_the_statuses_say(world, spoken, one_user):
    """
    After its lifetime nothing is held but for what Meta named and has not ended; spent and settled is what was delivered.

    A message that the answer did not name is found by its statuses.
    """
    life = Life(world, one_user=one_user)

    async def lived():
        async with speaking(spoken) as upstream:
            for n, reply in enumerate(spoken):
                await life.send(n, reply, upstream)
                life.now += MINUTE
        life.now += keys.UNNAMED_MS
        await life.story.engine.unnamed.lapse(now=life.now)

    world.run(lived())
    reserved, spent, opened, settled = life.books()
    note(life.log.getvalue())

    assert (life.delivered * life.price, life.delivered * life.price) == (spent, settled)
    assert (life.unended * life.price, (life.unended, life.unended * life.price)) == (reserved, opened)
    assert [] == [key for noun in ("unnamed", "lapsing") for key in world.redis.scan_iter(f"gk:*:{noun}*")]
    assert life.unended == len(
        [key for key in world.redis.scan_iter("gk:*:message:*") if b"accepted" == world.redis.hget(key, "state")]
    )
