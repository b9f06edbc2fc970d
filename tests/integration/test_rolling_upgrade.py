"""Two versions of the gate on one ledger, as while one is put in the other's place: both read and move what either has written."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import shutil
from pathlib import Path

import msgspec
import pytest
from fake_graph import eventually

from gatekeeper.core.data import data_dir
from gatekeeper.core.reservation import Facts
from gatekeeper.core.vocabulary import Product
from gatekeeper.core.word import Word
from gatekeeper.engine.holding import Request, Right
from gatekeeper.ledger import scripts
from gatekeeper.meta.events import Conversation, Pricing, Status
from gatekeeper.server.repeats import Kept

WABA, NUMBER, NOON, MINUTE, DAY = "102290129340398", "106540352242922", 1_794_312_000_000, 60_000, 86_400_000
USERS = [f"49151123456{n:02d}" for n in range(6)]
SENDS = f"/v23.0/{NUMBER}/messages"
POLICY = {
    "cold_start": "closed",
    "limits": {"pair_rate": True, "messaging_limit": 1000},
    "budget": [{"name": "all", "scope": "waba", "period": "month", "limit": "100"}],
}
FLUSHES = 40


@pytest.fixture
def another(tmp_path, monkeypatch):
    """Let the next gate have the scripts of another version: each of them has another hash."""
    folder = tmp_path / "lua"
    shutil.copytree(data_dir("lua"), folder)
    for path in folder.glob("*.lua"):
        path.write_text(f"{path.read_text()}\n-- of another version\n")
    ours, load = scripts.load(), scripts.load
    assert not {script.sha for script in ours.values()} & {script.sha for script in load(folder).values()}

    def another():
        monkeypatch.setattr(scripts, "load", lambda: load(folder))

    return another


def text(to):
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "hi"}}


def template(to, name):
    content = {"name": name, "language": {"code": "en_US"}}
    return {"messaging_product": "whatsapp", "to": to, "type": "template", "template": content}


async def month(pick, houses):
    """Some hundred steps of a few users' lives, each at the gate that *pick* picks: what was decided, and what is known in the end."""
    drawn, decided, open_ = random.Random(7), [], []
    for n in range(240):
        house = houses[pick(n)]
        house.now = NOON + n * MINUTE
        user, step = drawn.choice(USERS), drawn.random()
        if step < 0.15:
            await house.wrote(user=user, id=f"wamid.in.{n}")
        elif step < 0.6:
            body = text(user) if drawn.random() < 0.5 else template(user, drawn.choice(["order_update", "spring_sale"]))
            answer = await house.send(body, ("Idempotency-Key", f"k{n}"))
            again = await houses[pick(n + 1)].send(body, ("Idempotency-Key", f"k{n}"))
            decided.append((n, answer.status, answer.ours))
            assert (answer.status, answer.body) == (again.status, again.body) or answer.status >= 400
            if answer.status == 200:
                open_.append((user, answer.json["messages"][0]["id"]))
        elif open_:
            whom, wamid = open_.pop(drawn.randrange(len(open_)))
            await house.status(wamid, drawn.choice(["delivered", "delivered", "failed"]), recipient_id=whom)
    house = houses[pick(0)]
    house.now = NOON + 240 * MINUTE
    threads = [(await house.admin(f"/v1/threads/{NUMBER}/{user}")).json for user in USERS]
    return decided, threads, (await house.admin(f"/v1/spend?waba_id={WABA}&month=2026-11")).json


async def test_two_versions_of_the_scripts_keep_one_account(open_house, graph, redis, another):
    """What two gates do in turns is what one does alone: the same decisions, windows and bill."""
    older = await open_house(graph.url, policy=POLICY)
    alone = await month(lambda _: 0, [older])
    redis.flushall()
    graph.wamids = 0
    older = await open_house(graph.url, policy=POLICY)
    another()
    newer = await open_house(graph.url, policy=POLICY)
    drawn = [random.Random(n).randrange(2) for n in range(1000)]
    together = await month(lambda n: drawn[n], [older, newer])

    assert alone == together
    assert {200, 400} <= {status for _, status, _ in alone[0]}
    assert alone[2]["settled"]["sends"] > 20


async def test_scripts_that_are_flushed_cost_no_decision(open_house, graph, redis, another):
    """While both versions send, Redis forgets all scripts again and again: whoever misses one brings it along."""
    older = await open_house(graph.url, policy={"cold_start": "unknown"})
    another()
    newer = await open_house(graph.url, policy={"cold_start": "unknown"})
    states, flushed = [], 0

    async def load(house, user):
        while flushed < FLUSHES:
            states.append((await house.text(to=user))["Gatekeeper-State"])

    async with asyncio.TaskGroup() as tasks:
        for house in (older, newer):
            for user in USERS[:3]:
                tasks.create_task(load(house, user))
        while flushed < FLUSHES:
            before = len(states)
            redis.script_flush()
            await eventually(lambda seen=before: len(states) > seen + 6)
            flushed += 1

    assert {"cold"} == set(states)
    assert [] == older.logged("ledger_lost") + newer.logged("ledger_lost")


# What is kept as a struct, and the bytes of it that this version writes: whatever comes later has to read them.
FACTS = Facts(
    id="01JD3",
    phone_number_id=NUMBER,
    recipient=USERS[0],
    product=Product.MARKETING,
    at=NOON,
    group=True,
    caller="crm",
    max_price=9,
)
WORD = Word(type="regular", category="marketing", expires_at=NOON + DAY)
STATUS = Status(
    waba_id=WABA,
    phone_number_id=NUMBER,
    wamid="wamid.1",
    status="delivered",
    at=NOON,
    recipient_id=USERS[0],
    conversation=Conversation(id="c", expires_at=NOON, origin="marketing"),
    pricing=Pricing(type="regular", category="marketing", model="PMP"),
    error_codes=(131026,),
)
KEPT = Kept(200, "OK", [(b"Content-Type", b"application/json")], b"{}")
REQUEST = Request("POST", SENDS, (("Content-Type", "application/json"),), b"{}", "crm")
RIGHT = Right(SENDS, (("Authorization", "Bearer x"),))
STORED = [FACTS, WORD, STATUS, KEPT, REQUEST, RIGHT]
WRITTEN = json.loads((Path(__file__).parents[1] / "fixtures" / "ledger" / "written.json").read_text())


def named(one):
    return type(one).__name__


@pytest.mark.parametrize("kept", STORED, ids=named)
def test_what_this_version_has_written_is_read(kept):
    """A ledger is full of it when the next version starts."""
    assert kept == msgspec.msgpack.decode(base64.b64decode(WRITTEN[named(kept)]), type=type(kept))


@pytest.mark.parametrize("kept", STORED, ids=named)
def test_what_a_newer_version_adds_is_passed_over(kept):
    """A field, or a further element, that this version does not know harms nothing."""
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(kept))
    more = [*fields, {"later": 1}] if isinstance(fields, list) else fields | {"later": {"and": ["more"]}}

    assert kept == msgspec.msgpack.decode(msgspec.msgpack.encode(more), type=type(kept))


@pytest.mark.parametrize("kept", STORED, ids=named)
def test_what_an_older_version_did_not_write_has_its_default(kept):
    """Every field that has been added since the first version has one."""
    fields, defaults = msgspec.msgpack.decode(msgspec.msgpack.encode(kept)), {}
    for field in msgspec.structs.fields(kept):
        if not field.required:
            defaults[field.name] = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    least = (
        fields[: len(fields) - len(defaults)]
        if isinstance(fields, list)
        else {k: v for k, v in fields.items() if k not in defaults}
    )

    assert msgspec.structs.replace(kept, **defaults) == msgspec.msgpack.decode(msgspec.msgpack.encode(least), type=type(kept))
