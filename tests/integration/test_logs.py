"""The log: one line for each send, always of the same fields, and never what is nobody's business."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import socket

import pytest
from fake_graph import eventually

NUMBER, USER = "106540352242922", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
TEXT = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hi"}}
DECISION = {
    "level",
    "at",
    "event",
    "id",
    "dry_run",
    "phone_number_id",
    "recipient",
    "caller",
    "type",
    "verdict",
    "reason",
    "rule",
    "message",
    "annotated",
    "unkept",
    "template",
    "category",
    "category_pending",
    "opens",
    "charged",
    "price",
    "price_bound",
    "currency",
    "market",
    "state",
    "decide_ms",
    "upstream_status",
    "upstream_ms",
}


def template(name):
    return {**TEXT, "type": "template", "template": {"name": name, "language": {"code": "en_US"}}}


@pytest.mark.parametrize(
    ("body", "headers", "verdict", "reason", "upstream"),
    [
        pytest.param(TEXT, [], "block", "outside_customer_service_window", None, id="block"),
        pytest.param(template("order_update"), [], "allow", "charged_message", 200, id="allow"),
        pytest.param(template("order_update"), [("Gatekeeper-Dry-Run", "true")], "allow", "charged_message", None, id="dry run"),
        pytest.param(template("on_hold"), [], "block", "template_paused", None, id="paused"),
        pytest.param(
            {"messaging_product": "whatsapp", "status": "read", "message_id": "m"}, [], "allow", "not_a_message", 200, id="read"
        ),
        pytest.param(b"{", [], "block", "malformed_request", None, id="malformed"),
        pytest.param(b"{", [("Content-Encoding", "br")], "block", "malformed_request", None, id="unknown encoding"),
        pytest.param(b" " * (1 << 21), [], "block", "malformed_request", None, id="too large"),
    ],
)
async def test_each_send_is_one_line_of_the_same_fields(body, headers, verdict, reason, upstream, house):
    """Whatever becomes of it, its line has every field, and the id that the caller was given."""
    answer = await house.send(body, *headers)
    [line] = house.logged("decision")

    assert DECISION == set(line)
    assert (answer["Gatekeeper-Id"], verdict, reason, upstream) == (
        line["id"],
        line["verdict"],
        line["reason"],
        line["upstream_status"],
    )
    assert (answer["Gatekeeper-Verdict"], answer["Gatekeeper-Reason"], answer["Gatekeeper-State"]) == (
        line["verdict"],
        line["reason"],
        line["state"],
    )


async def test_a_line_says_what_the_headers_say(house):
    """Money is a plain decimal string, a recipient can be recognised and not read, times are UTC."""
    await house.wrote()
    answer = await house.template("spring_sale", ("Gatekeeper-Caller", "crm"))
    [line] = house.logged("decision")
    fields = ("category", "opens", "price", "price_bound", "currency", "market")

    assert [answer[f"Gatekeeper-{name.replace('_', '-').title()}"] for name in fields] == [line[name] for name in fields]
    assert ("info", "4915…78", "crm", "template", True, False) == (
        *(line[name] for name in ("level", "recipient", "caller", "type", "charged", "dry_run")),
    )
    assert dt.timedelta(0) == dt.datetime.fromisoformat(line["at"]).utcoffset()
    assert (True, True) == (line["decide_ms"] > 0, line["upstream_ms"] > 0)


def closed_port() -> str:
    """A URL where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


async def test_a_send_that_met_no_upstream_is_one_line_too(open_house):
    """It says what the caller got in the upstream's place."""
    house = await open_house(closed_port())
    await house.template("order_update")

    assert [("allow", 502)] == [(line["verdict"], line["upstream_status"]) for line in house.logged("decision")]


async def test_a_send_without_the_ledger_is_one_line_that_says_so(open_house, graph, frozen):
    """Losing the ledger and finding it again are lines of their own, once each."""
    house = await open_house(graph.url, ledger={"timeout": "100ms"})
    with frozen():
        for _ in range(3):
            await house.text()
    await eventually(lambda: bool(house.logged("ledger_recovered")))
    await house.text()

    assert ["degraded"] * 3 + ["cold"] == [line["state"] for line in house.logged("decision")]
    assert (1, 1) == (len(house.logged("ledger_lost")), len(house.logged("ledger_recovered")))


@pytest.mark.parametrize(
    "body",
    [
        {**TEXT, "type": "x" * 100_000},
        {**TEXT, "to": "9" * 100_000},
        {**TEXT, "type": 'x"\n{"event":"decision"}\r\u2028\u0000'},
        {**template("n" * 100_000)},
    ],
)
async def test_a_caller_cannot_write_into_the_log(body, house):
    """Whatever it sends, its line is one line of JSON, and a short one."""
    await house.send(body, ("Gatekeeper-Caller", "c" * 5_000))
    [line] = house.written.getvalue().removesuffix("\n").split("\n")

    assert DECISION == set(json.loads(line))
    assert len(line) < 2_000


TOKEN, BODY, NAME, SECRET_USER, BSUID = (
    "EAAtoken0123456789",
    "a-very-private-text",
    "Ada-Lovelace",
    "4915199887766",
    "US.abcdef0123456789",
)
SIGNATURE = "0123456789abcdef" * 4
SECRETS = [TOKEN, BODY, NAME, SECRET_USER, BSUID, SIGNATURE, "the-app-secret", "the-verify-token", "another-token"]
SENT = [
    {**TEXT, "to": SECRET_USER, "text": {"body": BODY}},
    {**TEXT, "to": f"+{SECRET_USER}", "text": {"body": BODY}},
    {**TEXT, "to": None, "recipient": BSUID, "text": {"body": BODY}},
    {**template("order_update"), "to": SECRET_USER, "biz_opaque_callback_data": BODY},
    {**TEXT, "to": SECRET_USER, "type": "reaction", "reaction": {"message_id": BODY, "emoji": BODY}},
    {**TEXT, "to": SECRET_USER, "text": BODY},
    {**TEXT, "to": [SECRET_USER], "text": {"body": BODY}},
    {**TEXT, "to": SECRET_USER, "recipient_type": BODY},
    {**TEXT, "messaging_product": BODY, "to": SECRET_USER},
    {"to": SECRET_USER, "text": BODY},
    BODY.encode(),
    f'{{"to": "{SECRET_USER}", "text": "{BODY}"'.encode(),
]


async def test_nothing_private_is_ever_logged(open_house, wire, capfd, caplog):
    """No token, body, whole number, user id, name or signature, however a request fares."""
    error = {"message": BODY, "code": 100, "error_data": {"details": f"{BODY} {SECRET_USER} {TOKEN}"}}
    house = await open_house(
        wire.url, webhook={"forward_to": f"{closed_port()}/?token=another-token"}, policy={"cold_start": "closed"}
    )
    authorized = [("Authorization", f"Bearer {TOKEN}"), ("Cookie", TOKEN), ("Gatekeeper-Caller", "crm")]

    async def everything():
        for body in SENT:
            for more in ([], [("Gatekeeper-Dry-Run", "true")], [("Idempotency-Key", f"key-{len(str(body))}")]):
                await house.send(body, *authorized, *more, path=f"{SENDS}?access_token={TOKEN}")
        await house.send(gzip.compress(BODY.encode()), *authorized, ("Content-Encoding", "gzip"))

    await everything()
    inbound = {"from_user_id": BSUID, "text": {"body": BODY}}
    contacts = [{"wa_id": SECRET_USER, "user_id": BSUID, "profile": {"name": NAME}}]
    await house.wrote(user=SECRET_USER, **inbound)
    await house.changed({"contacts": contacts, "messages": [{"from": SECRET_USER, "text": {"body": BODY}}, BODY, {"id": BODY}]})
    await house.changed(
        {"statuses": [{"id": BODY, "status": BODY, "recipient_id": SECRET_USER, "errors": [error]}, {"status": BODY}]}
    )
    await house.changed({"user_preferences": [{"wa_id": SECRET_USER, "value": BODY, "detail": BODY}]}, field="user_preferences")
    await everything()
    wire.answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(json.dumps({"error": error}))
    wire.answer += json.dumps({"error": error}).encode()
    await everything()
    for signature in (f"sha256={SIGNATURE}", f"sha256={TOKEN}", SIGNATURE):
        await house.ask("POST", "/webhook", [("X-Hub-Signature-256", signature)], BODY.encode())
    await house.webhook(BODY.encode())
    await house.ask("GET", f"/webhook?hub.mode=subscribe&hub.verify_token={TOKEN}&hub.challenge={BODY}")
    await house.ask("GET", "/webhook?hub.mode=subscribe&hub.verify_token=the-verify-token&hub.challenge=1")
    await house.ask("GET", f"/v23.0/{SECRET_USER}?access_token={TOKEN}", authorized)
    await house.exchange(f"nonsense {TOKEN}\r\n\r\n".encode())
    await house.admin(f"/v1/threads/{NUMBER}/{SECRET_USER}")
    await wire_gone(wire, house)
    said = house.written.getvalue() + "".join(capfd.readouterr()) + caplog.text

    assert [] == [secret for secret in SECRETS if secret in said]
    assert len(house.logged("decision")) > 3 * len(SENT)


async def wire_gone(wire, house):
    """The upstream breaks off."""

    async def broken(head, reader, writer):
        await reader.readexactly(int(head["Content-Length"]))
        writer.transport.abort()

    wire.script = broken
    await house.send({**template("order_update"), "to": SECRET_USER}, ("Authorization", f"Bearer {TOKEN}"))
