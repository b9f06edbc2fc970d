"""What is nobody's business stays where it came from, however a request fares: each secret, text and number has a face of its own."""

from __future__ import annotations

import json
import socket

import pytest
from conftest import ask
from fake_graph import eventually

from gatekeeper.core.errors import ConfigError
from gatekeeper.settings import described, parse

NUMBER, WABA, USER = "106540352242922", "102290129340398", "4915199887766"
SENDS = f"/v23.0/{NUMBER}/messages"
SECRETS = {
    "app secret": "app-secret-11112222",
    "verify token": "verify-token-33334444",
    "admin token": "admin-token-55556666",
    "key of the caller": "crm-key-77778888",
    "access token": "EAAaccess99990000",
    "login of the app": "login-aaaabbbb",
    "query of the app": "query-ccccdddd",
    "record key": "record-key-eeeeffff",
}
BROUGHT = {
    "own token": "EAAown12341234",
    "query token": "EAAquery56785678",
    "cookie": "cookie-90129012",
    "wrong key": "wrong-key-34563456",
    "text": "a-private-text-7890",
    "number": USER,
    "user id": "DE.abcdefghijklmnop",
    "name": "Ada-Lovelace-1815",
}
CALLER = ("Gatekeeper-Key", SECRETS["key of the caller"])
BEARER = ("Authorization", f"Bearer {SECRETS['admin token']}")
HEAD = {"messaging_product": "whatsapp", "to": USER}
OWN = [("Authorization", f"Bearer {BROUGHT['own token']}"), ("Cookie", BROUGHT["cookie"])]


def template(name: str) -> dict[str, object]:
    parameters = [{"type": "text", "text": BROUGHT["text"]}]
    content = {"name": name, "language": {"code": "en_US"}, "components": [{"type": "body", "parameters": parameters}]}
    return {**HEAD, "type": "template", "template": content, "biz_opaque_callback_data": BROUGHT["text"]}


TEXT = {**HEAD, "type": "text", "text": {"body": BROUGHT["text"]}, "recipient": BROUGHT["user id"]}
SENT = [
    template("order_update"),
    template("spring_sale"),
    template("on_hold"),
    TEXT,
    {**TEXT, "to": None},
    {**TEXT, "to": f"+{USER}", "type": "hologram"},
    {**TEXT, "text": BROUGHT["text"]},
    {**TEXT, "recipient_type": BROUGHT["text"]},
    {**TEXT, "category": BROUGHT["text"]},
    {**HEAD, "type": "reaction", "reaction": {"message_id": BROUGHT["text"], "emoji": BROUGHT["text"]}},
    {"messaging_product": BROUGHT["text"], "to": USER},
    {"batch": [{"method": "POST", "relative_url": SENDS, "body": BROUGHT["text"]}]},
    BROUGHT["text"].encode(),
]


def closed_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


def sections() -> dict[str, object]:
    """A configuration with every secret that there is."""
    login, query = SECRETS["login of the app"], SECRETS["query of the app"]
    forward = f"http://app:{login}@{closed_port()}/?token={query}"
    webhook = {
        "app_secret": SECRETS["app secret"],
        "verify_token": SECRETS["verify token"],
        "forward_to": [forward],
        "timeout": "1s",
    }
    budget = {"name": "b", "scope": "recipient", "period": "day", "limit": "0.20"}
    rule = {"name": "r", "caller": ["crm"], "template": ["spring_*"], "action": "block"}
    return {
        "server": {"admin_token": SECRETS["admin token"]},
        "webhook": webhook,
        "caller": [{"name": "crm", "key": SECRETS["key of the caller"]}],
        "account": {"access_token": SECRETS["access token"], "inject_token": True},
        "policy": {"cold_start": "closed", "budget": [budget], "rule": [rule]},
        "ledger": {"timeout": "200ms"},
    }


class Run:
    """Everything that a gate said to others than to whom it belongs."""

    def __init__(self, house) -> None:
        house.secret = SECRETS["app secret"]
        self.house = house
        self.answers: list[str] = []

    def heard(self, answer) -> None:
        """An answer of ours to a caller; what the upstream said is the caller's own."""
        if answer.status >= 400 or answer["Gatekeeper-Verdict"] is None:
            self.answers.append(f"{answer.line} {answer.headers} {answer.body!r}")

    async def sends(self) -> None:
        for body in SENT:
            for more in ([], [("Gatekeeper-Dry-Run", "true")], [("Idempotency-Key", BROUGHT["text"] + str(len(str(body))))]):
                self.heard(await self.house.send(body, CALLER, *more, path=SENDS))
                self.heard(
                    await self.house.send(body, *OWN, CALLER, *more, path=f"{SENDS}?access_token={BROUGHT['query token']}")
                )
        self.heard(await self.house.send(SENT[0], ("Gatekeeper-Key", BROUGHT["wrong key"])))
        self.heard(await self.house.send(SENT[0], CALLER, ("Gatekeeper-Caller", BROUGHT["wrong key"])))
        self.heard(await self.house.send(SENT[0], CALLER, ("Content-Encoding", "gzip")))
        for target in (f"/v23.0/{USER}?access_token={BROUGHT['query token']}", "/v23.0/x"):
            self.heard(await self.house.ask("GET", target, OWN))

    async def webhooks(self) -> None:
        at = str(self.house.now // 1000)
        message = {"from": USER, "id": BROUGHT["text"], "timestamp": at, "type": "text", "text": {"body": BROUGHT["text"]}}
        contacts = [{"wa_id": USER, "user_id": BROUGHT["user id"], "profile": {"name": BROUGHT["name"]}}]
        error = {"code": 131026, "title": BROUGHT["text"], "error_data": {"details": f"{BROUGHT['text']} {USER}"}}
        self.heard(await self.house.changed({"contacts": contacts, "messages": [message, {"from": USER}, BROUGHT["text"]]}))
        self.heard(
            await self.house.changed(
                {"statuses": [{"id": BROUGHT["text"], "status": "failed", "recipient_id": USER, "errors": [error]}]}
            )
        )
        self.heard(
            await self.house.changed({"user_preferences": [{"wa_id": USER, "value": BROUGHT["text"]}]}, field="user_preferences")
        )
        self.heard(await self.house.webhook(BROUGHT["text"].encode()))
        self.heard(await self.house.ask("POST", "/webhook", [("X-Hub-Signature-256", f"sha256={SECRETS['app secret']}")], b"{}"))
        for token in (SECRETS["verify token"][:-1], BROUGHT["own token"]):
            self.heard(await self.house.ask("GET", f"/webhook?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1"))

    async def operations(self) -> None:
        """Pages of the admin listener; who asks for a thread names its user."""
        question = json.dumps([{"phone_number_id": NUMBER, "body": body} for body in SENT if isinstance(body, dict)]).encode()
        pages = (
            "/metrics",
            "/v1/policy",
            "/v1/accounts",
            f"/v1/spend?waba_id={WABA}",
            f"/v1/spend/lines?waba_id={WABA}",
            "/readyz",
        )
        asked = [("GET", page, b"") for page in pages] + [("POST", "/v1/check", question), ("POST", "/v1/check", SENT[-1])]
        for method, page, body in asked:
            for headers in ([BEARER, CALLER], [("Authorization", f"Bearer {BROUGHT['own token']}")], []):
                answer = await ask(self.house.gate.admin_url, method, page, headers, body)
                self.answers.append(f"{answer.line} {answer.headers} {answer.body!r}")


async def test_nothing_private_is_said_to_anybody(open_house, wire, capfd, caplog, frozen):
    """Neither in lines nor on pages nor in errors: with an upstream that takes, refuses, breaks off or is gone, and without the ledger."""
    error = json.dumps({"error": {"message": "(#100) x", "code": 100, "error_data": {"details": "x"}}}).encode()
    answers = [
        b'HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{"messages":[{"id":"wamid.1"}]}',
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(error), error),
        b"HTTP/1.1 200 OK\r\n",
    ]
    run = Run(await open_house(wire.url, upstream={"timeout": "300ms"}, **sections()))
    for wire.answer in answers[:2]:
        await run.sends()
        await run.webhooks()
        await run.operations()
    wire.answer = answers[2]
    run.heard(await run.house.send(SENT[0], CALLER))
    wire.answer = answers[0]
    with frozen():
        await run.sends()
    gone = Run(await open_house(f"http://{closed_port()}", **sections()))
    await gone.sends()
    await eventually(lambda: bool(run.house.logged("ledger_recovered")))
    lines = run.house.written.getvalue() + gone.house.written.getvalue() + "".join(capfd.readouterr()) + caplog.text
    said = lines + "".join(run.answers + gone.answers)

    assert {} == {name: said[said.index(secret) - 200 :][:300] for name, secret in (SECRETS | BROUGHT).items() if secret in said}
    assert (True, True) == (len(run.house.logged("decision")) > 100, len(run.answers) > 100)


def test_settings_show_no_secret():
    """Neither as Python shows them nor as a person is told them."""
    record = {"path": "r", "key": SECRETS["record key"]}
    account = {"waba_id": WABA, "phone_number_ids": [NUMBER], **sections()["account"]}
    settings = parse(sections() | {"account": [account], "record": record}, name="test", environment={})
    told = json.dumps(described(settings))
    shown = "".join(repr(part) for part in (settings.server, settings.caller, settings.account, settings.record))

    assert [] == [name for name, secret in SECRETS.items() if secret in told]
    assert [] == [name for name, secret in SECRETS.items() if secret in shown]


@pytest.mark.parametrize("url", ["https://user:pass@graph.facebook.com", "https://token@graph.facebook.com/x", "http://@h"])
def test_the_upstream_has_no_login_in_its_address(url):
    """That address is greeted with and logged."""
    with pytest.raises(ConfigError) as caught:
        parse({"upstream": {"base_url": url}}, name="test", environment={})

    assert r"test: $.upstream.base_url: a URL without a login" == str(caught.value)
