"""Erasure: after `forget` nothing in the ledger names a person, in any spelling, and everybody else's is as it was."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import re

import msgspec
import pytest
from aiohttp import web
from conftest import ask
from fake_graph import eventually
from gates import gates, written
from redis_cluster import clients, flush

from gatekeeper.__main__ import main
from gatekeeper.core.persons import Person
from gatekeeper.core.recipients import Link
from gatekeeper.core.reservation import Facts
from gatekeeper.core.vocabulary import Product
from gatekeeper.engine.holding import Request
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.forgetting import Forgetting
from gatekeeper.meta.events import Status
from gatekeeper.server.forgetting import READERS

WABA, NUMBER, SECOND = "102290129340398", "106540352242922", "106540352242923"
PORTFOLIO = "506914307656634"
USER, BSUID, PARENT = "5511987654321", "BR.13491208655302741918", "BR.ENT.11815799212886844830"
OTHER, OTHERS = "4915112345678", "DE.24602319766413852029"
SPELLINGS = ["+55 (11) 98765-4321", "551187654321", USER, BSUID, f"br{BSUID[2:]}", PARENT]
NOON, HOUR, DAY = 1_794_312_000_000, 3_600_000, 86_400_000
KINDS = {"threads", "messages", "statuses", "texts", "answers", "counters"}
NOUNS_OF_NOBODY = {
    "lapsing",
    "lapsers",
    "watch",
    "meter",
    "spend",
    "rate",
    "templates",
    "number",
    "numbers",
    "wabas",
    "holders",
    "probe",
}
GROUP = "Y2FwaV9ncm91cDo"
POLICY = {
    "limits": {"pair_rate": True, "messaging_limit": 100, "throughput": 80},
    "budget": [{"name": f"each: {scope}", "scope": scope, "period": "month", "limit": "9"} for scope in ("recipient", "waba")],
    "hold": [{"template": "order_update", "language": "en_US", "phone_number_id": [SECOND]}],
}


def wamid(user, n):
    """A message's id as Meta makes it, with its user in it."""
    return "wamid." + base64.b64encode(b"\x1c\x18" + bytes([len(user)]) + user.encode() + b"\x15\x02\x00" + b"%020d" % n).decode()


@pytest.fixture(params=["one", "cluster"])
def where(request, redis_url, redis):
    """A Redis, and a cluster of three: the ledger's section, and a client for each node."""
    if request.param == "one":
        return {"url": redis_url}, [redis]
    url = request.getfixturevalue("redis_cluster_url")
    flush(url)
    return {"url": url, "cluster": True}, clients(url)


@pytest.fixture
def opened(open_house, graph, where):
    """Open a gate with all that may keep something of a person, in front of a Meta that names users in its ids."""
    section, nodes = where
    sent = iter(range(1000))

    async def script(request):
        body = await request.read()
        graph.keep(request, body)
        if "X-Unnamed" in request.headers:
            return web.json_response({})
        to = json.loads(body).get("to") or json.loads(body).get("recipient")
        digits = "".join(c for c in to if c.isdigit())
        user = USER if digits in (USER, "551187654321") else digits
        contact = {"input": to, "wa_id": user} | ({"user_id": BSUID} if user == USER else {})
        answer = {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": wamid(user, next(sent))}]}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            packed = gzip.compress(json.dumps(answer).encode())
            return web.Response(body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
        return web.json_response(answer)

    graph.script = script

    async def opened(**sections):
        account = {"phone_number_ids": [NUMBER, SECOND], "portfolio_id": PORTFOLIO}
        house = await open_house(graph.url, account=account, policy=POLICY, ledger=section, **sections)
        for number in (NUMBER, SECOND):
            await house.gate.engine.ledger.watch(PORTFOLIO, number, now=house.now - 2 * DAY)
        return house

    opened.nodes = nodes
    return opened


def template(to, name="order_update"):
    content = {"name": name, "language": {"code": "en_US"}}
    return {"messaging_product": "whatsapp", "to": to, "type": "template", "template": content}


def text(to, **more):
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "the secret words"}, **more}


def pack_text():
    return json.dumps(text("+55 11 98765 4321")).encode()


async def live(house, user, bsuid, *, number=NUMBER, second=SECOND):
    """All that a user may leave behind: a thread with names, messages on their way, settled and in groups, held texts, answers."""
    here, there = f"/v23.0/{number}/messages", f"/v23.0/{second}/messages"
    once = [("Idempotency-Key", f"k-{user}")]
    await house.send(template(user), *once, path=here)
    await house.send(template(user, "spring_sale"), ("Idempotency-Key", "z"), ("Accept-Encoding", "gzip"), path=here)
    names = {"user_id": bsuid, "wa_id": user} | ({"parent_user_id": PARENT} if user == USER else {})
    item = {"from": user, "from_user_id": bsuid, "id": wamid(user, 1), "timestamp": str(house.now // 1000), "type": "text"}
    await house.changed({"contacts": [names], "messages": [{**item, "text": {"body": "hello"}}]})
    sent = (await house.send(text(user), path=here)).json["messages"][0]["id"]
    for status in ("sent", "delivered"):
        await house.status(sent, status, recipient_id=user, recipient_user_id=bsuid)
    await house.status(wamid(user, 999), "delivered", recipient_id=user, recipient_user_id=bsuid)
    assert 202 == (await house.send(text(user), path=there)).status
    packed = gzip.compress(json.dumps(text(user)).encode())
    assert 202 == (await house.send(packed, ("Content-Encoding", "gzip"), path=there)).status
    assert 200 == (await house.send(template(user), ("X-Unnamed", "1"), path=there)).status


async def met(house, *members):
    """A message to a group, which its members get."""
    gid = (await house.send({**template(GROUP), "recipient_type": "group"})).json["messages"][0]["id"]
    for member in members:
        more = {"recipient_id": GROUP, "recipient_type": "group", "recipient_participant_id": member}
        await house.status(gid, "delivered", **more)
    return gid


def dump(nodes):
    """Every key with its value, as plain bytes in an order of its own."""
    kinds = {
        b"string": lambda node, key: [node.get(key)],
        b"hash": lambda node, key: [part for pair in sorted(node.hgetall(key).items()) for part in pair],
        b"list": lambda node, key: node.lrange(key, 0, -1),
        b"set": lambda node, key: sorted(node.smembers(key)),
        b"zset": lambda node, key: node.zrange(key, 0, -1),
    }
    return {key: kinds[node.type(key)](node, key) for node in nodes for key in node.scan_iter(count=1000)}


def mentions(nodes, *words):
    """The keys in which, or in whose values, one of the words stands, packed or in a message's id as well."""
    patterns = [re.compile(re.escape(word.encode()), re.IGNORECASE) for word in words]

    def readings(blob):
        yield blob
        for found in re.finditer(rb"\x1f\x8b", blob):
            try:
                yield gzip.GzipFile(fileobj=io.BytesIO(blob[found.start() :])).read()
            except (OSError, EOFError):
                continue

    def spelled(blob):
        for reading in readings(blob):
            yield reading
            yield re.sub(rb"[ ()+-]", b"", reading)
            for found in re.findall(rb"wamid\.([A-Za-z0-9+/=]+)", reading):
                yield base64.b64decode(found + b"=" * (-len(found) % 4))

    return sorted(
        key.decode()
        for key, values in dump(nodes).items()
        if any(pattern.search(way) for blob in (key, *values) for way in spelled(blob) for pattern in patterns)
    )


def everything_of(nodes):
    """Where the person is, in any spelling: the digits with and without the ninth, the ids without their country."""
    return mentions(nodes, USER, "551187654321", "1187654321", BSUID[3:], PARENT[7:])


async def forget(house, recipient, **more):
    body = json.dumps({"recipient": recipient, **more}).encode()
    return await ask(house.gate.admin_url, "POST", "/v1/forget", [("Content-Type", "application/json")], body)


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_nothing_is_left_of_a_person(spelling, opened):
    """By whatever name they are known to who asks: no key and no value has their digits or ids, packed or plain."""
    house = await opened()
    await live(house, OTHER, OTHERS)
    before = dump(opened.nodes)
    await live(house, USER, BSUID)
    gid = await met(house, USER, "551187654321", BSUID, OTHER)
    nouns = {key.split(":")[2] for key in everything_of(opened.nodes)}
    answer = await forget(house, spelling)
    after = dump(opened.nodes)
    held = re.compile(
        rf"gk:\{{{PORTFOLIO}\}}:(message|reservation|thread|deliveries|pair|repeat|text|waiting|parked|strays|unnamed|budget):".encode()
    )
    named = {
        "thread",
        "deliveries",
        "message",
        "parked",
        "pair",
        "reached",
        "held",
        "budget",
        "repeat",
        "text",
        "waiting",
        "holding",
    }

    assert named | {"reservation", "unnamed", "strays"} == nouns
    assert [] == everything_of(opened.nodes)
    assert (200, KINDS) == (answer.status, set(answer.json["erased"]))
    assert 0 not in answer.json["erased"].values()
    assert {key: value for key, value in before.items() if held.match(key) and b"each%3A%20waba" not in key} == {
        key: value for key, value in after.items() if key in before and held.match(key) and b"each%3A%20waba" not in key
    }
    assert f"gk:{{{PORTFOLIO}}}:message:{gid}".encode() in after


async def test_who_is_forgotten_twice_was_forgotten(opened):
    """The second time there is nothing; so is it with who was never known."""
    house = await opened()
    await live(house, USER, BSUID)
    await forget(house, USER)
    before = dump(opened.nodes)
    again = [(await forget(house, name)).json for name in (USER, BSUID, "4930123456")]

    assert [{"names": 1, "erased": dict.fromkeys(KINDS, 0)}] * 3 == again
    assert before == dump(opened.nodes)


async def test_no_key_is_left_without_a_lifetime(opened):
    """Erasing only takes away."""
    house = await opened()
    await live(house, USER, BSUID)
    await forget(house, USER)

    assert [] == [key for node in opened.nodes for key in node.scan_iter() if node.ttl(key) < 0]


async def test_what_is_booked_stays(opened):
    """The month's bill is the same; what was on its way stays open, for nobody will hear what became of it."""
    house = await opened()
    await live(house, USER, BSUID)
    before = (await house.admin(f"/v1/spend?waba_id={WABA}")).json
    await forget(house, USER)

    assert before == (await house.admin(f"/v1/spend?waba_id={WABA}")).json
    assert "0" != before["settled"]["total"] or before["open"]["sends"] > 0


async def test_a_repeat_is_not_sent_again(opened, graph):
    """The answer is gone, but the key is used: what was sent once is not sent anew because somebody was forgotten."""
    house = await opened()
    await live(house, USER, BSUID)
    await forget(house, USER)
    count = len(graph.arrived)
    again = await house.send(template(USER), ("Idempotency-Key", f"k-{USER}"))

    assert ((409, 900005), count) == (again.error, len(graph.arrived))


async def test_a_late_status_says_no_more_than_meta_does(opened):
    """It settles nothing and opens no window; what it is parked as goes by itself."""
    house = await opened()
    await live(house, USER, BSUID)
    sent = (await house.send(template(USER))).json["messages"][0]["id"]
    before = (await house.admin(f"/v1/spend?waba_id={WABA}")).json
    await forget(house, USER)
    for status in ("sent", "delivered", "read"):
        await house.status(sent, status, recipient_id=USER, recipient_user_id=BSUID)
    state = (await house.admin(f"/v1/threads/{NUMBER}/{USER}")).json

    assert before == (await house.admin(f"/v1/spend?waba_id={WABA}")).json
    assert (None, None, []) == (state["customer_service_window"], state["free_entry_point"], state["conversations"])
    assert {"thread", "parked", "strays"} == {key.split(":")[2] for key in everything_of(opened.nodes)}


async def test_a_held_text_is_not_sent_any_more(opened, graph):
    """What waited for an answer is gone before the answer comes; who held it hears that it is unknown."""
    house = await opened()
    held = await house.send(text(USER), path=f"/v23.0/{SECOND}/messages")
    await forget(house, USER)
    item = {"from": USER, "id": "wamid.in", "timestamp": str(house.now // 1000), "type": "text", "text": {"body": "hi"}}
    await house.changed({"metadata": {"phone_number_id": SECOND}, "contacts": [{"wa_id": USER}], "messages": [item]})
    await asyncio.gather(*await house.gate.flushing.look(house.now, everything=True))

    assert (202, 404) == (held.status, (await house.ask("GET", held["Location"])).status)
    assert [] == [one for one in graph.arrived if b"secret words" in one.body]


async def test_one_number_may_forget_alone(opened):
    """`--from`: what other numbers know of the person stays, and what a portfolio's numbers share while one of them knows them."""
    house = await opened()
    await live(house, USER, BSUID)
    first = await forget(house, USER, phone_number_id=NUMBER)
    left = everything_of(opened.nodes)
    second = await forget(house, USER, phone_number_id=SECOND)

    assert [200, 200] == [first.status, second.status]
    shared = {"reached", "holding", "held", "budget"}
    assert shared | {"thread", "message", "pair", "waiting", "text", "reservation", "unnamed"} == {
        key.split(":")[2] for key in left
    }
    assert [] == [key for key in left if NUMBER in key.split(":")]
    assert [] == everything_of(opened.nodes)


async def test_businesses_that_no_account_names_forget_too(opened):
    """Every tag of the ledger is looked through: of numbers that are only served, and of portfolios that were configured once."""
    house = await opened()
    await live(house, USER, BSUID, number="777", second=SECOND)
    ledger = house.gate.engine.ledger
    await ledger.run([calls.link("888", "889", Link(USER, "BR.99"), now=NOON, said=NOON)])
    answer = await forget(house, BSUID)

    assert [] == [*everything_of(opened.nodes), *mentions(opened.nodes, "BR.99")]
    assert 4 == answer.json["names"]


@pytest.mark.parametrize(
    "wish",
    [
        b"",
        b"[]",
        b"{}",
        b'{"recipient": ""}',
        b'{"recipient": 5511987654321}',
        b'{"recipient": "*"}',
        b'{"recipient": "gk:{1}"}',
        b'{"recipient": "Y2FwaV9ncm91cDo"}',
        b'{"recipient": "1234"}',
        b'{"recipient": "5511987654321", "phone_number_id": "*"}',
        b'{"recipient": "5511987654321", "from": "1"}',
        b'{"recipient": "\xff"}',
    ],
)
async def test_a_wish_that_names_nobody_is_refused(wish, house, redis):
    """Nothing is erased for it, and nobody's whole number is repeated."""
    redis.set("gk:{1}:watch:1", "1", px=60_000)
    answer = await ask(house.gate.admin_url, "POST", "/v1/forget", [("Content-Type", "application/json")], wish)

    assert (400, "application/problem+json; charset=utf-8") == (answer.status, answer["Content-Type"])
    assert b"5511987654321" not in answer.body
    assert redis.exists("gk:{1}:watch:1")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_a_web_page_cannot_wish(kind, house):
    """A browser sends such a request without asking; JSON it asks about first, and is not answered."""
    headers = [] if kind is None else [("Content-Type", kind)]
    answer = await ask(house.gate.admin_url, "POST", "/v1/forget", headers, json.dumps({"recipient": USER}).encode())

    assert 415 == answer.status


async def test_a_ledger_out_of_reach_forgets_nothing_silently(open_house, graph, frozen):
    """Who asked knows that it is not done."""
    house = await open_house(graph.url, ledger={"timeout": "100ms"})
    with frozen():
        answer = await forget(house, USER)

    assert (503, True) == (answer.status, "not all is forgotten" in answer.json["detail"])


async def test_it_is_logged_without_the_number(opened):
    """One line says how much there was, and who asked must know of whom."""
    house = await opened()
    await live(house, USER, BSUID)
    answer = await forget(house, USER, phone_number_id=NUMBER)
    [line] = house.logged("forgotten")

    assert ("5511…21", NUMBER, answer.json["names"], answer.json["erased"], False) == tuple(
        line[name] for name in ("recipient", "phone_number_id", "names", "erased", "rewrites")
    )
    assert USER not in house.written.getvalue()


async def test_whom_meta_bills_is_forgotten_too(opened):
    """What the process itself remembers of names goes with them."""
    house = await opened()
    await live(house, USER, BSUID)
    await live(house, OTHER, OTHERS)
    await forget(house, USER)
    remembered = str(house.gate.engine.directory.__dict__)

    assert (False, True) == (USER in remembered, OTHER in remembered)


async def test_another_users_stays_though_a_number_was_theirs_once(ledger, redis):
    """A number that leads to another BSUID of the same portfolio elsewhere is somebody else's there: it is not followed."""
    number, a, b = "4915187654321", "DE.1", "DE.2"
    links = [("1", Link(number, a)), ("2", Link(number, b)), ("2", Link("4915100000000", b)), ("3", Link(number, a))]
    await ledger.run([calls.link("P", at, link, now=NOON, said=NOON) for at, link in links])
    facts = Facts(id="s", phone_number_id="2", recipient=number, product=Product.UTILITY, at=NOON)
    for wamid_of, thread in (("a", a), ("b", b)):  # both were dialled by the number, which led to one, and then to the other
        packed = {"facts": msgspec.msgpack.encode(facts), "thread": keys.thread("P", "2", thread)}
        redis.hset(keys.message("P", wamid_of), mapping=packed)
        redis.pexpire(keys.message("P", wamid_of), 60_000)
    person = Person(a)
    erased = await Forgetting(ledger, READERS, person).forget()

    assert ({number, a}, {"threads": 2, "messages": 1}) == (person.names, {kind: n for kind, n in erased.items() if n})
    assert (0, 1) == (redis.exists(keys.message("P", "a")), redis.delete(keys.message("P", "b")))
    assert sorted(keys.thread("P", "2", name) for name in (number, "4915100000000")) == sorted(
        key.decode() for key in redis.scan_iter()
    )


async def test_what_nothing_leads_to_is_found(ledger, redis):
    """Lists that are gone but still due, texts that no list names, statuses by BSUID or by the message's id alone."""
    pack = msgspec.msgpack.encode
    kept = Request("POST", f"/v23.0/{NUMBER}/messages", (("Content-Encoding", "gzip"),), gzip.compress(pack_text()), "")
    redis.zadd(
        "gk:{P}:holding", {keys.waiting("P", NUMBER, name): n for n, name in enumerate([USER, OTHER, *map(str, range(250))])}
    )
    redis.hset("gk:{P}:text:P-1", mapping={"state": "claimed", "request": pack(kept)})
    redis.hset("gk:{P}:text:P-2", mapping={"state": "sent", "wamid": wamid(USER, 1)})
    redis.hset("gk:{P}:text:P-3", mapping={"state": "sent", "wamid": wamid(OTHER, 1)})
    statuses = [{"wamid": "w", "user_id": BSUID}, {"wamid": wamid(USER, 2)}, {"wamid": "w", "recipient_id": OTHER}]
    redis.rpush("gk:{P}:parked:w", *(pack(Status(phone_number_id=NUMBER, status="sent", **status)) for status in statuses))
    for key in redis.scan_iter():
        redis.pexpire(key, 60_000)
    await ledger.run([calls.link("P", NUMBER, Link(USER, BSUID), now=NOON, said=NOON)])
    erased = await Forgetting(ledger, READERS, Person(USER)).forget()

    assert [] == everything_of([redis])
    assert {"threads": 1, "texts": 2, "statuses": 2} == {kind: n for kind, n in erased.items() if n}
    assert (251, 1, 1) == (redis.zcard("gk:{P}:holding"), redis.exists("gk:{P}:text:P-3"), redis.llen("gk:{P}:parked:w"))


async def test_many_keys_never_hold_redis_up(ledger, redis):
    """It looks at a few at a time: no command takes long, and none asks for all keys."""
    for start in range(0, 20_000, 1000):
        with redis.pipeline() as pipeline:
            for n in range(start, start + 1000):
                pipeline.hset(f"gk:{{{n % 7}}}:thread:1:49151{n:08}", "csw", 1)
                pipeline.pexpire(f"gk:{{{n % 7}}}:thread:1:49151{n:08}", 600_000)
            pipeline.execute()
    redis.config_set("slowlog-log-slower-than", 20_000)
    redis.slowlog_reset()
    before = redis.info("commandstats")
    erased = await Forgetting(ledger, READERS, Person("4915100012345")).forget()
    after = redis.info("commandstats")

    assert ({"threads": 1}, 19_999) == ({kind: n for kind, n in erased.items() if n}, redis.dbsize())
    assert [] == [entry["command"] for entry in redis.slowlog_get() if b"gk:" in entry["command"]]
    assert before.get("cmdstat_keys") == after.get("cmdstat_keys")


async def test_the_embedded_ledgers_file_is_written_anew(graph, tmp_path):
    """Its file has every write in it, and would name the person until it happens to be rewritten."""
    folder = tmp_path / "var"

    def named():
        return [file.name for file in folder.rglob("*") if file.is_file() and USER.encode() in file.read_bytes()]

    async with gates(tmp_path) as start:
        gate = await start(written(graph.url, "embedded", ledger=f'data_dir = "{folder}"'))
        await gate.send(to=USER)
        await eventually(lambda: bool(named()))
        answer = await ask(
            gate.admin_url, "POST", "/v1/forget", [("Content-Type", "application/json")], json.dumps({"recipient": USER}).encode()
        )
        await eventually(lambda: not named())

        assert (200, [True]) == (answer.status, [line["rewrites"] for line in gate.logged("forgotten")])


def test_every_noun_is_looked_at_or_names_nobody():
    """A noun that is new has to say which of both it is."""
    documented = set(re.findall(r"^    (\w+) +[A-Z]+ +\S", keys.__doc__, re.MULTILINE))

    assert documented == set(Forgetting.ERASERS) | NOUNS_OF_NOBODY
    assert set() == set(Forgetting.ERASERS) & NOUNS_OF_NOBODY
    assert KINDS == {what for what, _ in Forgetting.ERASERS.values()}


@pytest.fixture
def typed(capsys, monkeypatch):
    """Type a command line while a gate runs in this process: its exit code, standard output and standard error."""

    async def run(*arguments, stdin=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))

        def called():
            try:
                return main([str(argument) for argument in arguments])
            except SystemExit as ended:
                return ended.code

        status = await asyncio.to_thread(called)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.mark.parametrize("where", ["one"], indirect=True)
async def test_the_command_asks_the_running_gate(opened, typed):
    """It says how much there was, and what it cannot erase; a name on standard input is in no list of processes."""
    house = await opened()
    await live(house, USER, BSUID)
    alone = await typed("forget", USER, "--from", NUMBER, "--admin", house.gate.admin_url)
    all_of_it = await typed("forget", "-", "--admin", house.gate.admin_url, stdin=f"{USER}\n")
    nothing = await typed("forget", USER, "--admin", house.gate.admin_url)

    assert [(0, ""), (0, ""), (0, "")] == [(status, err) for status, _, err in (alone, all_of_it, nothing)]
    assert re.match(r"forgotten under 3 names: 4 threads, \d+ messages, 1 statuses, \d+ answers, \d+ counters\n", alone[1])
    assert re.match(r"forgotten under 2 names: .*2 texts", all_of_it[1])
    assert nothing[1].startswith("forgotten under 1 name: nothing was known\nNot erased: amounts in bills")
    assert [] == everything_of(opened.nodes)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["forget"], 2, "the following arguments are required: RECIPIENT"),
        (["forget", "nobody"], 2, "RECIPIENT: neither a phone number nor a business-scoped user id"),
        (["forget", "-"], 2, "RECIPIENT: neither a phone number nor a business-scoped user id"),
        (["forget", USER, "--from", "x"], 2, "--from: 'x' is not a phone number id, which is all digits"),
        (["forget", USER, "--admin", "http://127.0.0.1:1"], 1, "no gate answers at http://127.0.0.1:1"),
    ],
)
async def test_a_wrong_command_is_one_line(arguments, status, says, typed):
    """2 for what is typed wrongly, 1 when no gate answers."""
    found = await typed(*arguments)

    assert (status, "", 1, True) == (found[0], found[1], len(found[2].splitlines()), says in found[2])


@pytest.mark.parametrize("where", ["one"], indirect=True)
async def test_the_admin_token_is_asked_for(opened, typed, monkeypatch):
    """Nobody is forgotten by who may not ask."""
    house = await opened(server={"admin_token": "admin-token-0123456789"})
    await live(house, USER, BSUID)
    monkeypatch.setenv("T", "admin-token-0123456789")
    refused = await typed("forget", USER, "--admin", house.gate.admin_url)
    there = everything_of(opened.nodes)
    done = await typed("forget", USER, "--admin", house.gate.admin_url, "--token-env", "T")

    assert [2, 0] == [refused[0], done[0]]
    assert there
    assert [] == everything_of(opened.nodes)
