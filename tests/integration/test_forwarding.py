"""Where webhooks go on to: whose status is Meta's answer, who is told again, and what no app can hold up."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import socket
import ssl
import zlib
from pathlib import Path

import pytest
from fake_graph import eventually, full

from gatekeeper.server import forwarding, targets
from gatekeeper.server.app import running
from gatekeeper.settings import parse
from gatekeeper.telemetry import logger

NUMBER, WABA, USER = "106540352242922", "102290129340398", "4915112345678"
NUMBER_2, WABA_2, NUMBER_3, WABA_3 = "200000000000002", "300000000000002", "200000000000003", "300000000000003"
SIGNATURE = "X-Hub-Signature-256"
NOON = 1_794_312_000
OPEN = {"expires": NOON + 86_400, "confirmed": True}
TLS = Path(__file__).parents[1] / "fixtures" / "tls"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BROKEN = b""


def said(status: int) -> bytes:
    return f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\nLocation: /elsewhere\r\n\r\n".encode()


def inbound(n: int = 0) -> dict:
    return {"from": USER, "id": f"wamid.in.{n}", "timestamp": str(NOON), "type": "text", "text": {"body": "SECRET"}}


def change(number: str | None = NUMBER, field: str = "messages", **value) -> dict:
    return {"field": field, "value": {"metadata": {"phone_number_id": number}, **value} if number else value}


def entry(waba: str, *changes: dict) -> dict:
    return {"id": waba, "changes": list(changes)}


def webhook(*entries: dict) -> bytes:
    return json.dumps({"object": "whatsapp_business_account", "entry": list(entries)}).encode()


def message(number: str = NUMBER, waba: str = WABA, n: int = 0) -> bytes:
    return webhook(entry(waba, change(number, messages=[inbound(n)])))


BODY = message()


def closed_port() -> str:
    """A URL where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


class App:
    """
    An app on a bare socket. It answers with the next of *answers*, then always with *answer*.

    None: it takes the webhook and says nothing until the test lets it. BROKEN: it breaks off.
    """

    def __init__(self, *answers: bytes | None, answer: bytes | None = OK) -> None:
        self.url = ""
        self.answers, self.last, self.free = list(answers), answer, asyncio.Event()
        self.arrived: list = []
        self.got: list[bytes] = []
        self.connections: set[object] = set()
        self.running = self.most = 0

    async def taken(self, head, reader, writer):
        head.body = await reader.readexactly(int(head["Content-Length"]))
        self.arrived.append(head)
        self.got.append(head.body)
        self.connections.add(writer)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            answer = self.answers.pop(0) if self.answers else self.last
            if answer is None:
                await self.free.wait()
                answer = OK
            if answer is BROKEN:
                writer.transport.abort()
            writer.write(answer)
            await writer.drain()
        finally:
            self.running -= 1


@pytest.fixture
async def apps(wire):
    """Start apps."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*answers, answer=OK, script=None):
            app = App(*answers, answer=answer)
            app.url = (await stack.enter_async_context(type(wire)(script=script or app.taken).listening())).url
            return app

        yield start


@pytest.fixture
def opened(open_house, graph):
    """Open a gate that forwards."""

    async def open_(forward_to="", *, server=None, **webhook):
        urls = [
            app if isinstance(app, str) else app.url for app in (forward_to if isinstance(forward_to, list) else [forward_to])
        ]
        given = urls if isinstance(forward_to, list) else urls[0]
        return await open_house(graph.url, webhook={"forward_to": given, **webhook}, server=server or {})

    return open_


async def metrics(house, name: str) -> dict[str, float]:
    """The values of a metric that are not 0, by their labels."""
    lines = (await house.admin("/metrics")).body.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith((name + "{", name + " ")))
    return {labels.removeprefix(name): float(value) for labels, value in values.items() if float(value)}


async def idle(house) -> None:
    """Wait until no webhook waits for an app any more."""
    async with asyncio.timeout(5):
        while await metrics(house, "gatekeeper_forward_queue"):  # noqa: ASYNC110 - what is waited for is the gate's
            await asyncio.sleep(0.01)


async def window(house):
    return (await house.thread())["customer_service_window"]


async def settled(house) -> str:
    return (await house.admin(f"/v1/spend?waba_id={WABA}&month=2026-11")).json["settled"]["total"]


def delivered(wamid: str = "wamid.1") -> bytes:
    status = {"id": wamid, "status": "delivered", "timestamp": str(NOON), "recipient_id": USER}
    return webhook(entry(WABA, change(messages=[inbound()]), change(statuses=[status])))


# What is the gate's own comes first.


async def test_a_hanging_app_holds_up_nothing_of_ours(apps, opened):
    """While the app sits on a webhook for its whole time-out, its thread is open already and its delivery is in the books."""
    app = await apps(answer=None)
    house = await opened(app, timeout="700ms")
    price = (await house.template("order_update"))["Gatekeeper-Price"]
    meta = asyncio.create_task(house.webhook(delivered()))
    await eventually(lambda: bool(app.got))
    opened_meanwhile, spent_meanwhile, answered = await window(house), await settled(house), meta.done()
    answer = await meta

    assert (OPEN, price, False) == (opened_meanwhile, spent_meanwhile, answered)
    assert (504, [delivered()]) == (answer.status, app.got)


async def test_what_meta_repeats_is_booked_once(apps, opened):
    """An app that fails makes Meta repeat the webhook; the app gets it each time, and the delivery is spent once."""
    app = await apps(said(500), said(500), OK)
    house = await opened(app)
    price = (await house.template("order_update"))["Gatekeeper-Price"]
    answers = [(await house.webhook(delivered())).status for _ in range(3)]
    counted = await metrics(house, "gatekeeper_settlements_total")

    assert ([500, 500, 200], [delivered()] * 3) == (answers, app.got)
    assert (price, [1.0], [1, 0, 0]) == (
        await settled(house),
        list(counted.values()),
        [line["settled"] for line in house.logged("webhook")],
    )


# Whose status is Meta's answer.


async def test_meta_does_not_wait_for_the_others(apps, opened):
    """Only the first of a list decides; another may hang."""
    first, other = await apps(answer=said(202)), await apps(answer=None)
    house = await opened([first, other])
    answer = await house.webhook(BODY)
    await eventually(lambda: [BODY] == other.got)
    other.free.set()

    assert (202, 0) == (answer.status, other.most - 1)


async def test_a_slow_first_does_not_hold_up_the_others(apps, opened):
    """Who is told besides is told at once."""
    first, other = await apps(answer=None), await apps()
    house = await opened([first, other])
    meta = asyncio.create_task(house.webhook(BODY))
    await eventually(lambda: [BODY] == other.got and [BODY] == first.got)
    waiting = not meta.done()
    first.free.set()

    assert (True, 200) == (waiting, (await meta).status)


@contextlib.asynccontextmanager
async def hanging_up(house, body):
    """Say what Meta says, and do not wait for the answer."""
    signature = "sha256=" + hmac.new(house.secret.encode(), body, hashlib.sha256).hexdigest()
    head = f"POST /webhook HTTP/1.1\r\nHost: x\r\n{SIGNATURE}: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with house.connected() as (_, writer):
        writer.write(head.encode() + body)
        yield
    await house.admin("/healthz")  # by then the gate has seen it


async def test_an_app_slower_than_meta_gets_a_webhook_once(apps, opened):
    """Whose answer came after Meta had hung up is not asked again: what it said is the answer to Meta's repetition."""
    app, other = await apps(None, answer=said(500)), await apps()
    house = await opened([app, other])
    async with hanging_up(house, BODY):
        await eventually(lambda: [BODY] == app.got == other.got)
    app.free.set()
    await eventually(lambda: bool(house.logged("webhook")))
    again = await house.webhook(BODY)

    assert (200, [BODY], [BODY]) == (again.status, app.got, other.got)


@pytest.mark.parametrize("first", [500, 503, 404, 302])
async def test_who_has_a_webhook_is_not_told_again_because_the_first_failed(first, apps, opened):
    """Meta repeats for the first's sake; the others have it, or will. Once the first has it too, the same bytes would be news."""
    app, other = await apps(said(first), said(first)), await apps()
    house = await opened([app, other])
    answers = [(await house.webhook(BODY)).status for _ in range(3)]
    await eventually(lambda: bool(other.got))
    repeats = await metrics(house, "gatekeeper_forwards_total")
    told = len(other.got)
    await house.webhook(BODY)
    await eventually(lambda: len(other.got) == told + 1)

    assert ([first, first, 200], 1) == (answers, told)
    assert 2 == repeats['{outcome="repeated",target="forward_to[1]"}']


async def test_what_a_target_remembers_is_bounded(apps, opened, monkeypatch):
    """Of many webhooks that the first did not take, the oldest may be told twice, as by Meta itself."""
    monkeypatch.setattr(targets, "_REMEMBERED", 2)
    app, other = await apps(answer=said(500)), await apps()
    house = await opened([app, other])
    bodies = [message(n=n) for n in range(3)]
    for n in (0, 1, 2, 2, 1, 0):
        await house.webhook(bodies[n])
    await eventually(lambda: len(other.got) >= 4)

    assert ([0, 0, 1, 2], 6) == (sorted(map(bodies.index, other.got)), len(app.got))


# The others are told until they have it.


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        pytest.param(said(500), "refused", 500, id="500"),
        pytest.param(said(404), "refused", 404, id="404"),
        pytest.param(said(301), "refused", 301, id="a redirect"),
        pytest.param(said(101), "unreachable", 502, id="another protocol"),
        pytest.param(b"SSH-2.0-x\r\n\r\n", "unreachable", 502, id="no HTTP"),
        pytest.param(BROKEN, "unreachable", 502, id="broken off"),
        pytest.param(None, "timed_out", 504, id="no answer"),
    ],
)
async def test_another_app_is_told_until_it_takes_the_webhook(answer, outcome, status, apps, opened):
    """Whatever it says but 2xx: as Meta does with the first, the gate says the same bytes again, and one line tells."""
    first, other = await apps(), await apps(answer, answer)
    house = await opened([first, other], timeout="200ms")
    answered = await house.webhook(BODY)
    await eventually(lambda: len(other.got) == 3)
    await idle(house)
    [line] = house.logged("forward_failed")

    assert (200, [BODY], [BODY] * 3) == (answered.status, first.got, other.got)
    assert ("forward_to[1]", outcome, status) == (line["target"], line["outcome"], line["status"])
    assert {'{target="forward_to[1]"}': 2} == await metrics(house, "gatekeeper_forward_retries_total")
    assert {
        '{outcome="taken",target="forward_to[0]"}': 1,
        f'{{outcome="{outcome}",target="forward_to[1]"}}': 2,
        '{outcome="taken",target="forward_to[1]"}': 1,
    } == await metrics(house, "gatekeeper_forwards_total")


@pytest.mark.parametrize("down", ["refuses", "nobody listens"])
async def test_a_webhook_that_another_app_never_takes_is_a_dead_letter(down, apps, opened):
    """After `retry_for` it is counted, and one line names target and webhook by what is neither content nor secret."""
    first, other = await apps(), await apps(answer=said(500))
    url = f"{other.url if down == 'refuses' else closed_port()}/hook?token=SECRET"
    house = await opened([first, url], retry_for="400ms")
    await house.webhook(BODY)
    await eventually(lambda: bool(house.logged("forward_dropped")))
    [line] = house.logged("forward_dropped")
    await idle(house)

    assert {'{reason="expired",target="forward_to[1]"}': 1} == await metrics(house, "gatekeeper_forward_dead_letters_total")
    assert ("forward_to[1]", "expired", len(BODY), hashlib.sha256(BODY).hexdigest()[:16]) == (
        line["target"],
        line["reason"],
        line["bytes"],
        line["webhook"],
    )
    assert 2 <= line["tries"] <= 4
    assert ("refused", 500) == (line["last"], line["status"]) if down == "refuses" else ("unreachable", 502)
    assert [] == [word for word in ("SECRET", USER, url) if word in house.written.getvalue()]


async def test_a_dead_letter_is_told_again_when_meta_repeats_it(apps, opened):
    """Only what another app has, or is about to be told, is left out."""
    first, other = await apps(said(500)), await apps(answer=said(500))
    house = await opened([first, other], retry_for="100ms")
    await house.webhook(BODY)
    await eventually(lambda: bool(house.logged("forward_dropped")))
    tries = len(other.got)
    other.last = OK
    await house.webhook(BODY)
    await idle(house)

    assert (tries + 1, 1) == (len(other.got), len(house.logged("forward_dropped")))


@pytest.mark.parametrize(("bound", "value"), [("_MOST", 2), ("_MOST_BYTES", 3 * len(BODY))], ids=["too many", "too many bytes"])
async def test_what_waits_for_an_app_is_bounded(bound, value, apps, opened, monkeypatch):
    """Beyond the bound a webhook is a dead letter at once; what waited is told, and then there is room again."""
    monkeypatch.setattr(targets, bound, value)
    first, other = await apps(), await apps(None, None)
    house = await opened([first, other])
    bodies = [message(n=n) for n in range(4)]
    answers = [(await house.webhook(body)).status for body in bodies[:3]]
    [line] = house.logged("forward_dropped")
    waiting = await metrics(house, "gatekeeper_forward_queue")
    other.free.set()
    await idle(house)
    await house.webhook(bodies[3])
    await idle(house)

    assert ([200] * 3, ("full", 0), {'{target="forward_to[1]"}': 2}) == (answers, (line["reason"], line["tries"]), waiting)
    assert sorted([*bodies[:2], bodies[3]]) == sorted(other.got)
    assert {} == await metrics(house, "gatekeeper_forward_queue_bytes")


async def test_more_than_may_wait_for_the_first_app_is_metas_to_repeat(apps, opened, monkeypatch):
    """A 503 at once instead of memory without end; what it says to us counts all the same."""
    monkeypatch.setattr(targets, "_MOST", 1)
    app = await apps(None)
    house = await opened(app)
    waiting = asyncio.create_task(house.webhook(message(n=1)))
    await eventually(lambda: bool(app.got))
    answer = await house.webhook(BODY)
    app.free.set()

    assert (503, OPEN, 200) == (answer.status, await window(house), (await waiting).status)


async def test_an_app_gets_no_more_than_so_many_webhooks_at_once(apps, opened, monkeypatch):
    """Connections are bounded per target, for the first and for the others; the rest wait for their turn."""
    monkeypatch.setattr(targets, "_CONNECTIONS", 2)
    first, other = await apps(*[None] * 6), await apps(*[None] * 6)
    house = await opened([first, other])
    metas = [asyncio.create_task(house.webhook(message(n=n))) for n in range(6)]
    await eventually(lambda: len(first.got) == 2 and len(other.got) == 2)
    first.free.set()
    other.free.set()
    answers = [(await meta).status for meta in metas]
    await idle(house)

    assert ([200] * 6, (2, 2), (6, 6)) == (answers, (first.most, other.most), (len(first.got), len(other.got)))


async def test_an_app_that_is_down_is_tried_by_one_webhook_at_a_time(apps, opened):
    """However many wait for it; when it is back they all get through, each of them once."""
    first, other = await apps(), await apps(answer=said(503))
    house = await opened([first, other])
    bodies = [message(n=n) for n in range(100)]
    for body in bodies[:5]:
        await house.webhook(body)
    await eventually(lambda: len(other.got) >= 5)
    for body in bodies[5:]:
        await house.webhook(body)
    before = len(other.got)
    other.last, other.got = OK, []
    await idle(house)

    assert before < 15
    assert (sorted(bodies), []) == (sorted(other.got), house.logged("forward_dropped"))


@pytest.mark.parametrize(
    ("failures", "longest", "pause"), [(1, 30, 0.25), (2, 30, 0.5), (5, 30, 4), (8, 30, 30), (10_000, 30, 30), (8, 5, 5)]
)
def test_pauses_grow_up_to_a_bound(failures, longest, pause):
    """Each is twice the one before, shortened at random by at most half."""
    assert pause / 2 <= forwarding._pause(failures, longest) <= pause


# Stopping.


@contextlib.asynccontextmanager
async def ending(house, redis_url, *forward_to):
    """A gate that ends with the block, and has 700 ms for it; *house* speaks to it."""
    raw = {
        "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "grace": "700ms"},
        "webhook": {"app_secret": house.secret, "forward_to": [app.url for app in forward_to], "timeout": "5s"},
        "ledger": {"url": redis_url, "timeout": "2s"},
    }
    async with running(parse(raw, name="test", environment={}), logger(house.written)) as gate:
        house.gate = gate
        yield


async def test_what_waits_is_tried_while_the_gate_stops(apps, house, redis_url, monkeypatch):
    """However long the pause would have been, an app that is back by then gets its webhooks before the gate is gone."""
    monkeypatch.setattr(forwarding, "_FIRST_PAUSE_S", 30)
    first, other = await apps(), await apps(said(503), said(503))
    async with ending(house, redis_url, first, other):
        answers = [(await house.webhook(message(n=n))).status for n in range(2)]
        await eventually(lambda: len(house.logged("forward_failed")) == 2)
        before = len(other.got)

    assert ([200, 200], 2, 4, []) == (answers, before, len(other.got), house.logged("forward_dropped"))


@pytest.mark.parametrize("answer", [said(503), None], ids=["refuses", "hangs"])
async def test_what_is_not_taken_while_the_gate_stops_is_a_dead_letter(answer, apps, house, redis_url):
    """The grace is not overstayed for it, and the log says what was lost."""
    first, other = await apps(), await apps(answer=answer)
    clock = asyncio.get_running_loop().time
    async with ending(house, redis_url, first, other):
        await house.webhook(BODY)
        await eventually(lambda: bool(other.got))
        began = clock()
    took = clock() - began
    [line] = house.logged("forward_dropped")

    assert ("stopped", "forward_to[1]") == (line["reason"], line["target"])
    assert 0.6 < took < 1.5


# Routes.

ROUTES = [
    {"phone_number_id": [NUMBER], "forward_to": "a"},
    {"waba_id": [WABA_2], "forward_to": ["b", "b2"]},
]
TEMPLATE = {"event": "PAUSED", "message_template_name": "x", "message_template_language": "en"}


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        pytest.param([entry(WABA, change(messages=[inbound()]))], "a", id="a number with a route"),
        pytest.param([entry(WABA_2, change(NUMBER_2, messages=[inbound()]))], "b b2", id="a number of an account with a route"),
        pytest.param([entry(WABA_3, change(NUMBER_3, messages=[inbound()]))], "d", id="neither"),
        pytest.param([entry(WABA, change(NUMBER_3, messages=[inbound()]))], "d", id="another number of that number's account"),
        pytest.param([entry(WABA_2, change(messages=[inbound()]))], "a b b2", id="both a number and an account"),
        pytest.param(
            [entry(WABA, change(messages=[inbound()]), change(NUMBER_3, messages=[inbound()]))],
            "a d",
            id="two numbers of one account",
        ),
        pytest.param(
            [entry(WABA, change(messages=[inbound()])), entry(WABA_2, change(NUMBER_2, messages=[inbound()]))],
            "a b b2",
            id="two accounts",
        ),
        pytest.param(
            [entry(WABA_2, change(None, "message_template_status_update", **TEMPLATE))], "b b2", id="news of an account"
        ),
        pytest.param([entry(WABA, change(None, "message_template_status_update", **TEMPLATE))], "d", id="news of no number"),
        pytest.param([entry(WABA, change(field="a_field_of_2030", x=1))], "a", id="a field that says nothing to us"),
        pytest.param([entry(WABA, change(messages=[], statuses=[]))], "a", id="nothing in it"),
        pytest.param([entry(WABA, change(messages=[{"id": 1}]))], "a", id="a message that cannot be read"),
        pytest.param([entry(WABA, change(int(NUMBER), messages=[inbound()]))], "a", id="a number written as one"),
        pytest.param([entry(WABA_2, {"field": "messages"})], "b b2", id="an account's change without a value"),
        pytest.param([entry(WABA_2)], "d", id="no change"),
        pytest.param([], "d", id="no entry"),
        pytest.param([7], "d", id="no account"),
    ],
)
async def test_a_webhook_goes_to_every_route_that_one_of_its_changes_concerns(entries, told, apps, open_house, graph):
    """What no route takes goes to `webhook.forward_to`; every app gets all of the same bytes, or the signature would not hold."""
    by_name = {name: await apps() for name in ("a", "b", "b2", "d")}
    urls = {name: app.url for name, app in by_name.items()}
    routes = [
        {
            **route,
            "forward_to": urls[route["forward_to"]]
            if isinstance(route["forward_to"], str)
            else [urls[name] for name in route["forward_to"]],
        }
        for route in ROUTES
    ]
    house = await open_house(graph.url, webhook={"forward_to": urls["d"], "route": routes})
    body = webhook(*entries)
    answer = await house.webhook(body)
    await idle(house)

    assert 200 == answer.status
    assert {name: [body] for name in told.split()} == {name: app.got for name, app in by_name.items() if app.got}


async def routed(opened, default, *routes):
    """A gate with a route for each of several numbers."""
    numbers = (NUMBER, NUMBER_2, NUMBER_3)
    return await opened(
        default, route=[{"phone_number_id": [number], "forward_to": to} for number, to in zip(numbers, routes, strict=False)]
    )


BOTH = webhook(entry(WABA, change(messages=[inbound()]), change(NUMBER_2, messages=[inbound()])))


@pytest.mark.parametrize(
    ("first", "second", "answered"),
    [
        (200, 200, 200),
        (200, 204, 204),
        (200, 500, 500),
        (503, 200, 503),
        (404, 500, 500),
        (500, 404, 500),
        (302, 200, 302),
        (599, 400, 599),
        (600, 200, 502),
    ],
)
async def test_of_several_deciding_apps_the_worst_status_is_metas_answer(first, second, answered, apps, opened):
    """One that failed makes Meta say it again. The worst is the highest; what is no status of an answer counts as none."""
    one, two = await apps(answer=said(first)), await apps(answer=said(second))
    house = await routed(opened, "", one.url, two.url)
    answer = await house.webhook(BOTH)

    assert (answered, [BOTH], [BOTH]) == (answer.status, one.got, two.got)


async def test_a_deciding_app_that_took_it_is_not_told_again_because_another_failed(apps, opened):
    """Meta repeats for the one that failed; the others are spared, and their status stands."""
    one, two = await apps(answer=said(202)), await apps(said(500), said(500))
    house = await routed(opened, "", one.url, two.url)
    answers = [(await house.webhook(BOTH)).status for _ in range(3)]

    assert ([500, 500, 202], 1, 3) == (answers, len(one.got), len(two.got))


async def test_an_app_of_several_routes_is_told_once_and_decides_if_it_is_first_in_one(apps, opened):
    """The same URL is one app, wherever it stands."""
    one, two = await apps(answer=said(201)), await apps(answer=said(503))
    house = await routed(opened, "", [one.url, two.url], two.url)
    answer = await house.webhook(BOTH)
    await idle(house)

    assert (503, [BOTH], [BOTH]) == (answer.status, one.got, two.got)


async def test_what_no_route_takes_is_answered_by_us_where_there_is_no_default(apps, opened):
    """A gate may forward the webhooks of some numbers only."""
    one = await apps(answer=said(500))
    house = await routed(opened, "", one.url)
    answer = await house.webhook(message(NUMBER_3, WABA_3))

    assert (200, []) == (answer.status, one.got)


# What an app may not do to us.


async def endless(head, reader, writer):
    """Answer, and never come to the end of it."""
    await reader.readexactly(int(head["Content-Length"]))
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        await writer.drain()


async def trickling(head, reader, writer):
    """Answer, and then say a byte now and then."""
    await reader.readexactly(int(head["Content-Length"]))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    await writer.drain()
    await reader.read()


async def endless_headers(head, reader, writer):
    """Never come to the end of the headers."""
    await reader.readexactly(int(head["Content-Length"]))
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-More: and more\r\n" * 1000)
        await writer.drain()


async def endless_patience(head, reader, writer):
    """Ask for patience for ever."""
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0)


async def without_reading(head, reader, writer):
    """Answer before the body was read, and never read it."""
    writer.write(OK)
    await writer.drain()
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("script", "status"),
    [(endless, 200), (trickling, 200), (without_reading, 200), (endless_headers, 502), (endless_patience, 502)],
)
async def test_an_app_that_never_ends_holds_neither_memory_nor_metas_answer(script, status, apps, opened):
    """Its status is all that counts; the connection is closed when more comes than a short answer."""
    app = await apps(script=script)
    house = await opened(app, timeout="1s")
    body = BODY + b" " * (3 << 20)
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await house.webhook(body)

    assert status == answer.status
    assert loop.time() - began < 2


LENIENT = {
    "line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "a blank before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
    "a header on two lines": b"HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\nContent-Length: 2\r\n\r\n{}",
    "a byte that is no letter": b"HTTP/1.1 200 OK\r\nX-Odd: \x01\r\nContent-Length: 2\r\n\r\n{}",
    "blanks behind a size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", LENIENT)
async def test_an_app_need_not_speak_like_a_book(name, apps, opened):
    """What clients commonly take is taken: only the status counts."""
    app = await apps(answer=LENIENT[name])
    house = await opened(app)
    answers = [(await house.webhook(message(n=n))).status for n in range(2)]

    assert [200, 200] == answers


async def test_an_app_that_takes_no_connection_is_late(opened):
    """As one that takes the webhook and says nothing: it may yet come."""
    with full() as (host, port):
        house = await opened(f"http://{host}:{port}", timeout="50ms")
        answers = [(await house.webhook(message(n=n))).status for n in range(20)]

    assert [504] * 20 == answers


async def test_a_webhook_that_comes_back_ends_at_once(apps, opened):
    """A target that leads to the gate by a name which nobody could tell is an error of its own, and no storm."""
    house = None

    async def leads_back(head, reader, writer):
        body = await reader.readexactly(int(head["Content-Length"]))
        answer = await house.ask("POST", "/webhook", [h for h in head.headers if h[0] == SIGNATURE], body)
        writer.write(said(answer.status))
        await writer.drain()

    balancer = await apps(script=leads_back)
    house = await opened(balancer)
    answer = await house.webhook(BODY)
    again = await house.webhook(BODY)

    assert (508, 508, OPEN) == (answer.status, again.status, await window(house))
    assert 2 == len([line for line in house.logged("forward_failed") if line["outcome"] == "looped"])


async def test_a_large_webhook_goes_on_whole(apps, opened):
    """What Meta may send at most, and more."""
    app = await apps()
    house = await opened(app)
    body = BODY + b" " * ((4 << 20) - len(BODY))
    answer = await house.webhook(body)

    assert (200, [body]) == (answer.status, app.got)


async def test_of_an_endless_answer_little_is_read(apps, opened):
    """No more than a short one would have been, and what fits between two sockets."""
    sent = []

    async def endless(head, reader, writer):
        await reader.readexactly(int(head["Content-Length"]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent.append(65_536)

    house = await opened(await apps(script=endless))
    answer = await house.webhook(BODY)

    assert (200, True) == (answer.status, sum(sent) < 16 << 20)


async def test_a_connection_to_an_app_serves_again(apps, opened):
    """A short answer is read to its end, so that not every webhook costs a handshake."""
    connections = []

    async def late(head, reader, writer):
        await reader.readexactly(int(head["Content-Length"]))
        connections.append(writer)
        writer.write(OK.removesuffix(b"{}"))
        await asyncio.sleep(0.01)  # so that the body is not there yet when the status is
        writer.write(b"{}")
        await writer.drain()

    house = await opened(await apps(script=late))
    for n in range(5):
        await house.webhook(message(n=n))

    assert (5, 1) == (len(connections), len(set(connections)))


async def test_a_connection_that_the_app_closed_costs_no_webhook(apps, opened):
    """An app that closes after each answer is asked on a new one."""
    app = await apps(answer=OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    house = await opened(app)
    answers = [(await house.webhook(message(n=n))).status for n in range(3)]

    assert ([200] * 3, 3) == (answers, len(app.connections))


# What goes on.


async def test_a_url_with_a_user_logs_in(apps, opened):
    """Basic authentication, whatever the webhook itself came with."""
    app = await apps()
    house = await opened(app.url.replace("//", "//me:p%40ss@") + "/hook")
    await house.webhook(BODY, ("Authorization", "Bearer of Meta"), ("X-Odd", "One"), ("X-Odd", "Two"))
    [got] = app.arrived

    assert (["Basic bWU6cEBzcw=="], ["One", "Two"], "/hook") == (got.all("Authorization"), got.all("X-Odd"), got.target)


async def test_a_header_goes_on_byte_by_byte(apps, opened):
    """The signature is over the body, so the webhook is Meta's whatever else somebody put beside it, in whichever encoding."""
    app = await apps()
    house = await opened(app)
    answer = await house.webhook(BODY, ("X-Odd", "\xff"), ("X-Even", "2"))
    [got] = app.arrived

    assert (200, ["\xff"], ["2"]) == (answer.status, got.all("X-Odd"), got.all("X-Even"))


def packed(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        pytest.param("gzip", packed(BODY), 200, id="gzip"),
        pytest.param("deflate", zlib.compress(BODY), 200, id="deflate"),
        pytest.param("identity", BODY, 200, id="identity"),
        pytest.param("br", BODY, 415, id="another"),
        pytest.param("gzip", BODY, 400, id="not packed"),
        pytest.param("gzip", packed(b" " * (5 << 20)), 413, id="a bomb"),
    ],
)
async def test_a_packed_webhook_is_read_and_goes_on_packed(encoding, body, status, apps, opened):
    """The signature is over the bytes as they came; the app gets those, and the header that says how to read them."""
    app = await apps()
    house = await opened(app)
    answer = await house.webhook(body, ("Content-Encoding", encoding))
    got = [(request.body, request["Content-Encoding"]) for request in app.arrived]

    assert (status, [(body, encoding)] if status == 200 else []) == (answer.status, got)
    assert (OPEN if status == 200 else None) == await window(house)


@pytest.fixture
async def tls_app():
    """An app behind a certificate for `localhost` that nobody but itself has signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "localhost.pem")
    app = App()

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("Content-Length"))
        app.got.append(await reader.readexactly(int(length)))
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    app.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield app


@pytest.mark.parametrize(
    ("trusted", "host", "status"),
    [(True, "localhost", 200), (False, "localhost", 502), (True, "127.0.0.1", 502)],
    ids=["trusted", "not trusted", "another name"],
)
async def test_an_app_behind_tls_is_who_it_says(trusted, host, status, tls_app, opened, monkeypatch):
    """Its certificate is held against the system's authorities, or those that SSL_CERT_FILE names; nothing reaches an impostor."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "localhost-certificate.pem"))
    house = await opened(tls_app.url.replace("localhost", host))
    answer = await house.webhook(BODY)

    assert (status, [BODY] if status == 200 else []) == (answer.status, tls_app.got)


async def test_logs_and_metrics_name_an_app_by_its_key(apps, opened):
    """Its URL may hold a secret."""
    app = await apps(answer=said(500))
    secret = f"{app.url.replace('//', '//me:SECRET-1@')}/hook?token=SECRET-2"
    house = await opened(
        [secret, f"{secret}&x=1"], route=[{"waba_id": [WABA_2], "forward_to": f"{secret}&x=2"}], retry_for="50ms"
    )
    await house.webhook(message(waba=WABA_2))
    await house.webhook(BODY)
    await idle(house)
    said_of = (await house.admin("/metrics")).body.decode() + house.written.getvalue()
    named = {line["target"] for line in house.lines if "target" in line}

    assert ({"forward_to[0]", "forward_to[1]", "route[0].forward_to"}, False) == (named, "SECRET" in said_of)
