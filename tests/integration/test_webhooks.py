"""One webhook: verified before it is parsed, kept before it is answered, and handed on as it came."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import socket

import pytest
from fake_graph import eventually

NUMBER, WABA, USER, OTHER = "106540352242922", "102290129340398", "4915112345678", "4915187654321"
SIGNATURE = "X-Hub-Signature-256"
APP_SECRET = "the-app-secret"
NOON = 1_794_312_000


def sign(body: bytes, secret: str = APP_SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def inbound(user=USER, timestamp=str(NOON), **more):
    return {"from": user, "id": f"wamid.in.{user}", "timestamp": timestamp, "type": "text", "text": {"body": "x"}, **more}


def value(**more):
    return {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, **more}


def payload(*values, field="messages"):
    changes = [{"field": field, "value": one} for one in values]
    return {"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": changes}]}


GOOD = payload(value(messages=[inbound()]))
OPEN = {"expires": NOON + 86_400, "confirmed": True}


async def window(house):
    return (await house.thread())["customer_service_window"]


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=the-verify-token", 200, b"1158201444"),
        ("hub.verify_token=the%2Dverify%2Dtoken&hub.challenge=%3Cb%3E&hub.mode=subscribe", 200, b"<b>"),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=the-verify-toke", 403, None),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=", 403, None),
        ("hub.mode=subscribe&hub.challenge=1", 403, None),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=%C3%A9%ff", 403, None),
        ("hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=the-verify-token", 403, None),
        ("hub.challenge=1&hub.verify_token=the-verify-token", 403, None),
        ("", 403, None),
    ],
)
async def test_the_handshake_is_for_who_knows_the_token(query, status, body, house):
    """Meta's verification request gets its own challenge back; without our token it is refused in Graph's shape."""
    answer = await house.ask("GET", f"/webhook?{query}")

    assert status == answer.status
    assert ("text/plain; charset=utf-8", body) == (answer["Content-Type"], answer.body) if body else answer.json["error"]["code"]


@pytest.mark.parametrize("token", ["", "anything"])
async def test_without_a_token_of_ours_the_handshake_is_refused(token, open_house, graph):
    """An empty token is nobody's."""
    house = await open_house(graph.url, webhook={"verify_token": ""})
    answer = await house.ask("GET", f"/webhook?hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}")

    assert 403 == answer.error[0]


BODY = json.dumps(GOOD, indent=3).encode()
DIGEST = sign(BODY)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="none"),
        pytest.param([(SIGNATURE, "")], id="empty"),
        pytest.param([(SIGNATURE, sign(BODY, "another-secret"))], id="another secret"),
        pytest.param([(SIGNATURE, sign(BODY + b" "))], id="another body"),
        pytest.param([(SIGNATURE, sign(BODY, ""))], id="an empty secret"),
        pytest.param([(SIGNATURE, DIGEST[:-1])], id="cut off"),
        pytest.param([(SIGNATURE, DIGEST + "0")], id="longer"),
        pytest.param([(SIGNATURE, DIGEST.removeprefix("sha256="))], id="no scheme"),
        pytest.param([(SIGNATURE, DIGEST.replace("sha256", "sha1"))], id="another scheme"),
        pytest.param([(SIGNATURE, "sha256=\xe9" + "0" * 63)], id="outside ASCII"),
        pytest.param([("X-Hub-Signature", DIGEST)], id="in the old header"),
    ],
)
async def test_what_meta_did_not_sign_is_a_401(headers, house):
    """A missing, wrong or malformed signature is refused, says nothing of the right one, and changes nothing."""
    answer = await house.ask("POST", "/webhook", headers, BODY)

    assert ((401, 100), None) == (answer.error, await window(house))
    assert DIGEST.removeprefix("sha256=").encode() not in answer.body


@pytest.mark.parametrize("secret", ["", "the-app-secret"])
async def test_without_a_secret_of_ours_every_webhook_is_refused(secret, open_house, graph):
    """Nothing verifies against an absent secret, least of all an empty one."""
    house = await open_house(graph.url, webhook={"app_secret": ""})
    answer = await house.ask("POST", "/webhook", [(SIGNATURE, sign(BODY, secret))], BODY)

    assert 401 == answer.error[0]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"not JSON", 400),
        (b"\x00\xff", 400),
        (b"hub.mode=subscribe", 400),
        (b"{}", 200),
        (b'{"object":"page","entry":[]}', 200),
        (b'{"object":"whatsapp_business_account","entry":[]}', 200),
        (b" \n" + BODY + b"\r\n", 200),
    ],
)
async def test_what_is_signed_has_to_be_json(body, status, house):
    """The signature is over the raw bytes and comes first; then what is no JSON is a 400, and what says nothing to us a 200."""
    answer = await house.webhook(body)

    assert status == (answer.status if status == 200 else answer.error[0])


@pytest.mark.parametrize("status", ["sent", "delivered", "read", "failed", "odd"])
@pytest.mark.parametrize(
    "neighbour",
    [
        pytest.param({"statuses": [{"status": "STATUS"}]}, id="no id"),
        pytest.param({"statuses": ["x", None, 3]}, id="no objects"),
        pytest.param({"statuses": [{"id": "wamid.unknown", "status": "STATUS", "timestamp": str(NOON)}]}, id="unknown message"),
        pytest.param({"statuses": [{"id": "wamid.1", "status": "STATUS", "timestamp": "1"}]}, id="1970"),
        pytest.param({"statuses": [{"id": "wamid.1", "status": "STATUS", "timestamp": "253402300800"}]}, id="the year 10000"),
        pytest.param({"statuses": [{"id": "wamid.1", "status": "STATUS", "timestamp": str(10**18)}]}, id="beyond time"),
        pytest.param({"statuses": [{"id": "wamid.1", "status": "STATUS", "timestamp": {"a": 1}}]}, id="no time"),
        pytest.param(
            {
                "statuses": [
                    {"id": "wamid.1", "status": "STATUS", "timestamp": "1", "pricing": {"category": "utility", "type": 7}}
                ]
            },
            id="odd pricing in 1970",
        ),
    ],
)
async def test_a_bad_status_does_not_cost_its_neighbours(neighbour, status, house):
    """Beside an item that cannot be understood the others count, and Meta is not asked to repeat them."""
    await house.template("order_update")  # wamid.1
    odd = json.loads(json.dumps(neighbour).replace("STATUS", status))
    answer = await house.webhook(payload(value(**odd), value(messages=[inbound()])))

    assert (200, OPEN) == (answer.status, await window(house))


@pytest.mark.parametrize(
    "neighbour",
    [
        pytest.param("x", id="no value"),
        pytest.param(None, id="null"),
        pytest.param({}, id="empty"),
        pytest.param(value(messages="x"), id="no list"),
        pytest.param(value(messages=[{}]), id="empty message"),
        pytest.param(value(messages=[inbound(OTHER, "1")]), id="1970"),
        pytest.param(value(messages=[inbound(OTHER, "99999999999")]), id="the year 5138"),
        pytest.param(value(messages=[inbound(OTHER, "yesterday")]), id="no time"),
        pytest.param(value(messages=[inbound("")]), id="nobody"),
        pytest.param(value(messages=[inbound("x" * 10_000)]), id="a long name"),
        pytest.param({**value(messages=[inbound(OTHER)]), "metadata": {"phone_number_id": "x" * 1000}}, id="a long number"),
        pytest.param({**value(messages=[inbound(OTHER)]), "metadata": 7}, id="nobody's number"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
async def test_a_bad_change_does_not_cost_its_neighbours(neighbour, first, house):
    """Wherever the bad one stands, what stands beside it is taken in."""
    good = value(messages=[inbound()])
    answer = await house.webhook(payload(*((neighbour, good) if first else (good, neighbour))))

    assert (200, OPEN) == (answer.status, await window(house))


async def test_a_stray_byte_or_half_an_emoji_does_not_cost_the_rest(house):
    """What is JSON but for its text is read all the same."""
    whole = json.dumps(payload(value(messages=[inbound(OTHER, text={"body": "HERE"}), inbound()])))
    answer = await house.webhook(whole.encode().replace(b"HERE", b"\xff\\ud83d"))

    assert (200, OPEN) == (answer.status, await window(house))


@pytest.mark.parametrize(("size", "status"), [(4 << 20, 200), ((4 << 20) + 1, 413)])
async def test_a_webhook_has_4_mib(size, status, house):
    """The limit itself is taken in, one byte more is a 413 in Graph's shape."""
    body = json.dumps(GOOD).encode()
    answer = await house.webhook(body + b" " * (size - len(body)))

    assert (status, OPEN if status == 200 else None) == (
        answer.status if status == 200 else answer.error[0],
        await window(house),
    )


async def test_a_thousand_updates_in_one_webhook_are_taken_in(open_house, graph):
    """Meta puts up to a thousand into one POST; that takes one answer, and is no reason to call the ledger lost."""
    house = await open_house(graph.url, ledger={"timeout": "250ms"})
    users = [f"49151{n:08}" for n in range(999)]
    answer = await house.webhook(payload(*(value(messages=[inbound(user)]) for user in [*users, USER])))
    statuses = [{"id": f"wamid.x{n}", "status": "delivered", "timestamp": str(NOON), "recipient_id": USER} for n in range(1000)]
    again = await house.webhook(payload(value(statuses=statuses)))

    assert (200, 200, OPEN, []) == (answer.status, again.status, await window(house), house.logged("ledger_lost"))


async def test_webhooks_come_where_the_configuration_says(open_house, graph):
    """`webhook.path` moves them, and what is signed and comes elsewhere goes nowhere."""
    house = await open_house(graph.url, webhook={"path": "/meta/hook"})
    old = await house.ask("POST", "/webhook", [(SIGNATURE, DIGEST)], BODY)
    before = await window(house)
    new = await house.ask("POST", "/meta/hook", [(SIGNATURE, DIGEST)], BODY)

    assert ([], 404, None, 200, OPEN) == (
        [a.target for a in graph.arrived],
        old.status,
        before,
        new.status,
        await window(house),
    )


async def test_a_message_opens_the_window_and_a_delivery_settles_its_answer(house):
    """The whole loop: the user writes, we may answer, Meta says what became of it, once however often it says so."""
    closed = await house.text()
    wrote = await house.wrote()
    allowed = await house.text()
    said = [(await house.status("wamid.1", status)).status for status in ("sent", "delivered", "delivered", "read")]
    metrics = (await house.admin("/metrics")).body.decode()
    settled = [line for line in metrics.splitlines() if line.startswith("gatekeeper_settlements_total")]

    assert (400, 200, 200, [200] * 4) == (closed.status, wrote.status, allowed.status, said)
    assert ['gatekeeper_settlements_total{category="service",charged="false",delivered="true"} 1.0'] == settled
    assert [0, 0, 1, 0, 0] == [line["settled"] for line in house.logged("webhook")]
    assert 998 == await house.free_remaining()


async def test_a_failure_gives_back_what_its_send_took(house):
    """A message that Meta could not deliver does not count toward the free tier."""
    await house.wrote()
    await house.text()
    held = await house.free_remaining()
    await house.status("wamid.1", "failed", errors=[{"code": 131026, "title": "Message undeliverable"}])

    assert (998, 999) == (held, await house.free_remaining())


async def test_metas_late_word_shuts_the_window(house):
    """A 131047 that comes after the answer says that the window was closed all along."""
    await house.wrote()
    house.now += 1000
    await house.text()
    await house.status("wamid.1", "failed", errors=[{"code": 131047, "title": "Re-engagement message"}])
    answer = await house.text()

    assert 131047 == answer.error[1]


META = [
    ("Content-Type", "application/json"),
    ("User-Agent", "facebookexternalua"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "deflate, gzip"),
    ("X-Hub-Signature", "sha1=0000"),
    ("X-Odd", "One"),
    ("X-Odd", "Two"),
]


async def test_the_app_gets_the_very_same_webhook(open_house, graph, wire):
    """Bytes and headers, the signature among them, reach the app as Meta sent them; hop-by-hop headers do not."""
    house = await open_house(graph.url, webhook={"forward_to": f"{wire.url}/hooks/whatsapp?tenant=1"})
    headers = [*META, (SIGNATURE, DIGEST)]
    answer = await house.ask("POST", "/webhook", [*headers, ("Connection", "close"), ("Gatekeeper-Caller", "x")], BODY)
    [forwarded] = wire.arrived

    assert (200, b"") == (answer.status, answer.body)
    assert ("POST", "/hooks/whatsapp?tenant=1", BODY) == (forwarded.line.split()[0], forwarded.target, forwarded.body)
    assert headers == [h for h in forwarded.headers if h[0] not in ("Host", "Content-Length")]


async def test_nothing_is_added_to_what_the_app_gets(open_house, graph, wire):
    """A header that Meta did not send is not invented for it."""
    house = await open_house(graph.url, webhook={"forward_to": wire.url})
    await house.ask("POST", "/webhook", [(SIGNATURE, DIGEST)], BODY)

    assert {"Host", SIGNATURE, "Content-Length"} == {name for name, _ in wire.arrived[0].headers}


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "204 No Content", "302 Found", "404 Not Found", "500 Oh", "503 No"])
async def test_meta_gets_the_apps_own_status(status, open_house, graph, wire):
    """Where we forward, the app decides whether Meta repeats a webhook; a redirect is not followed."""
    wire.answer = f"HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode()
    house = await open_house(graph.url, webhook={"forward_to": wire.url})
    answer = await house.webhook(BODY)

    assert (int(status[:3]), 1, OPEN) == (answer.status, len(wire.arrived), await window(house))


def closed_port() -> str:
    """A URL where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


async def broken(head, reader, writer):
    """Take the body and break off."""
    await reader.readexactly(int(head["Content-Length"]))
    writer.transport.abort()


async def test_an_app_out_of_reach_is_a_502(open_house, graph):
    """Meta repeats what the app did not get; we have it all the same."""
    house = await open_house(graph.url, webhook={"forward_to": closed_port()})
    answer = await house.webhook(BODY)

    assert (502, OPEN, 1) == (answer.status, await window(house), len(house.logged("forward_failed")))


async def test_an_app_that_breaks_off_is_a_502(open_house, graph, wire):
    """A status that never came is none."""
    wire.script = broken
    house = await open_house(graph.url, webhook={"forward_to": wire.url})
    answer = await house.webhook(BODY)

    assert (502, 1) == (answer.status, len(wire.arrived))


@pytest.mark.parametrize("second", ["down", "500"])
async def test_the_first_app_decides(second, open_house, graph, wire):
    """Of several apps each gets the webhook, and the first one's status is Meta's answer."""
    wire.answer = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
    other = closed_port() if second == "down" else f"{wire.url}/500"
    house = await open_house(graph.url, webhook={"forward_to": [f"{wire.url}/first", other]})
    answer = await house.webhook(BODY)
    told = {"/first"} if second == "down" else {"/first", "/500"}
    await eventually(lambda: told == {request.target for request in wire.arrived if request.body})

    assert 201 == answer.status
    assert {BODY} == {request.body for request in wire.arrived}


async def test_a_first_app_that_is_down_leaves_the_second_its_webhook(open_house, graph, wire):
    """Who comes second is told all the same."""
    house = await open_house(graph.url, webhook={"forward_to": [closed_port(), wire.url]})
    answer = await house.webhook(BODY)
    await eventually(lambda: [BODY] == [request.body for request in wire.arrived])

    assert 502 == answer.status


async def test_what_is_not_metas_reaches_no_app(open_house, graph, wire):
    """Only what was verified and read is handed on."""
    house = await open_house(graph.url, webhook={"forward_to": wire.url})
    answers = [
        await house.ask("POST", "/webhook", [], BODY),
        await house.webhook(b"no JSON"),
        await house.webhook(b" " * (5 << 20)),
    ]

    assert ([401, 400, 413], []) == ([answer.status for answer in answers], wire.arrived)


async def test_a_ledger_out_of_reach_is_a_503_and_nothing_is_handed_on(open_house, graph, wire, frozen):
    """Until the ledger has it Meta has to say it again, and the app hears it then, once."""
    house = await open_house(graph.url, webhook={"forward_to": wire.url}, ledger={"timeout": "100ms"})
    before = await house.webhook(payload(value(messages=[inbound(OTHER)])))
    with frozen():
        refused = [await house.webhook(BODY) for _ in range(2)]
        unsigned = await house.ask("POST", "/webhook", [], BODY)
        unheard = len(wire.arrived)
    await eventually(lambda: bool(house.logged("ledger_recovered")))
    again = await house.webhook(BODY)

    assert (200, [503, 503], 401, 1) == (before.status, [r.error[0] for r in refused], unsigned.status, unheard)
    assert (["1", "1"], 200, 2, OPEN) == (
        [r["Retry-After"] for r in refused],
        again.status,
        len(wire.arrived),
        await window(house),
    )


async def test_a_webhook_that_breaks_off_is_none(house):
    """Half a webhook changes nothing, and is no fault of ours."""
    half = (
        f"POST /webhook HTTP/1.1\r\nHost: x\r\n{SIGNATURE}: {DIGEST}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:-1]
    )
    with contextlib.suppress(OSError):
        await house.exchange(half, hang_up=True)

    assert None is await window(house)
