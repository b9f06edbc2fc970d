"""The sandbox over real sockets: what it answers, what its webhooks say in each regime, and what a person playing the customer gets."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import aiohttp
import msgspec
import pytest
from aiohttp import web
from yarl import URL

from gatekeeper.core.accounts import Account, Template, TemplateCategory, TemplateStatus
from gatekeeper.core.data import data_dir
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import Reason
from gatekeeper.engine import Engine
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta.listing import decode_page
from gatekeeper.meta.responses import decode_answer
from gatekeeper.meta.sends import decode_send
from gatekeeper.meta.signature import verify
from gatekeeper.meta.webhooks import decode_webhook
from gatekeeper.sandbox import courier
from gatekeeper.sandbox.catalogue import BUILT_IN, Catalogue
from gatekeeper.sandbox.graph import Sandbox
from gatekeeper.settings import Settings
from gatekeeper.telemetry import Metrics, logger

BOOK = Rulebook.load(data_dir("config"))
SECRET = "the app secret"
NUMBER, WABA, USER, UNNAMED = "106540352242922", "102290129340398", "16505551234", "209900000000001"
DEADLINE_S = 10
TODAY = "2026-11-20T12:00:30Z"
HOUR_MS = 3_600_000
TOKEN = {"Authorization": "Bearer anything"}
TEXT = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "a secret text"}}
REACTION = {"messaging_product": "whatsapp", "to": USER, "type": "reaction", "reaction": {"message_id": "wamid.A", "emoji": "x"}}
READ = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"}
ACCOUNT = Account(
    waba_id=WABA,
    phone_number_ids=(NUMBER,),
    template=(
        Template(name="promo", language="de"),
        Template(name="paused", language="en_US", status=TemplateStatus.PAUSED),
        Template(name="rejected", language="en_US", status=TemplateStatus.REJECTED),
    ),
)


def template(name: str, language: str = "en_US", **more: object) -> dict[str, object]:
    named = {"name": name, "language": {"code": language}}
    return {"messaging_product": "whatsapp", "to": USER, "type": "template", "template": named, **more}


class World:
    """A sandbox, a gate behind its webhook's URL, and a clock that stands still."""

    def __init__(self, ledger: Ledger, at: str, account: Account) -> None:
        self.now = int(datetime.fromisoformat(at).timestamp() * 1000)
        self.settings = Settings(account=(account,))
        self.ledger = ledger
        self.metrics = Metrics()
        told = Settings(account=(msgspec.structs.replace(account, template=account.template + BUILT_IN),))
        self.gate = Engine(told, BOOK, ledger, self.metrics, complete=True)
        self.answers: list[int] = []
        self.webhooks: list[dict] = []
        self.settlements: list[Settlement] = []
        self.unsigned = 0
        self.log = io.StringIO()
        self.admin = ""
        self._news = asyncio.Condition()
        self._sends = 0

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        status = self.answers.pop(0) if self.answers else 200
        async with self._news:
            if not verify(SECRET, body, request.headers.get("X-Hub-Signature-256")):
                self.unsigned += 1
            elif status == 200:
                self.settlements += await self.gate.absorb(decode_webhook(body), now=self.now)
                self.webhooks.append(json.loads(body))
            self._news.notify_all()
        return web.Response(status=status)

    def statuses(self, wamid: str = "") -> list[dict]:
        values = [payload["entry"][0]["changes"][0]["value"] for payload in self.webhooks]
        found = [status for value in values for status in value.get("statuses", ())]
        return [status for status in found if wamid in ("", status["id"])]

    async def until(self, state: str, wamid: str) -> list[dict]:
        """Wait until a message has a status; all of its statuses."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: state in [status["status"] for status in self.statuses(wamid)])
        return self.statuses(wamid)

    async def call(self, method: str, path: str, **more: object) -> tuple[int, dict]:
        headers = TOKEN | more.pop("headers", {})
        async with self.session.request(method, self.sandbox.base_url + path, headers=headers, **more) as answer:
            return answer.status, await answer.json()

    async def send(self, body: dict, *, number: str = NUMBER, api: str = "messages") -> str:
        """Send through the gate's engine; the message's id."""
        self._sends += 1
        send = decode_send(json.dumps(body).encode(), marketing_api=api == "marketing_messages")
        decided = await self.gate.decide(send, number, now=self.now, decision_id=f"d{self._sends}")
        status, said = await self.call("POST", f"/v23.0/{number}/{api}", json=body)
        assert status == 200, said
        await self.gate.accepted(decided, decode_answer(json.dumps(said).encode()), now=self.now)
        return said["messages"][0]["id"]

    async def write(self, wa_id: str = USER, number: str = NUMBER, **more: object) -> tuple[int, dict]:
        body = {"phone_number_id": number, "text": "hi", **more}
        async with self.session.post(f"{self.admin}/sandbox/customers/{wa_id}/messages", json=body) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(
    ledger: Ledger, at: str = TODAY, *, account: Account = ACCOUNT, pace: float = 0.001, url: str = ""
) -> AsyncIterator[World]:
    world = World(ledger, at, account)
    app = web.Application()
    app.add_routes([web.post("/webhook", world.receive)])
    async with served(app) as gate, aiohttp.ClientSession() as world.session:
        world.sandbox = Sandbox(
            book=BOOK,
            ledger=ledger,
            settings=world.settings,
            app_secret=SECRET,
            webhook_url=url or f"{gate}/webhook",
            now=lambda: world.now,
            log=logger(world.log),
            pace=pace,
            pauses=(0.001, 0.001),
        )
        admin = web.Application()
        admin.add_routes(world.sandbox.customer_routes())
        await world.sandbox.start()
        try:
            async with served(admin) as world.admin:
                yield world
        finally:
            await world.sandbox.stop()


@pytest.fixture
async def world(ledger: Ledger) -> AsyncIterator[World]:
    async with running(ledger) as found:
        yield found


# What comes before the send (wrote, ad, hours that pass, templates sent and read), the send, and what Meta's `sent` says of it.
WROTE, AD = "wrote", "ad"
HELLO, SALE, CODE = template("hello_world"), template("summer_sale"), template("login_code")
REGIMES = {
    "2022 reply": ("2022-06-01", [WROTE], TEXT, "user_initiated", {"pricing_model": "CBP", "billable": False}),
    "2022 template in a reply": (
        "2022-06-01",
        [WROTE, TEXT],
        SALE,
        "user_initiated",
        {"pricing_model": "CBP", "billable": False},
    ),
    "2022 template": ("2022-06-01", [], HELLO, "business_initiated", {"pricing_model": "CBP", "billable": False}),
    "2023 template": ("2023-07-01", [], HELLO, "utility", {"pricing_model": "CBP", "billable": True}),
    "2023 same category": ("2023-07-01", [HELLO], HELLO, "utility", {"pricing_model": "CBP", "billable": False}),
    "2023 a day later": ("2023-07-01", [HELLO, 25], HELLO, "utility", {"pricing_model": "CBP", "billable": True}),
    "2023 other category": ("2023-07-01", [HELLO], SALE, "marketing", {"pricing_model": "CBP", "billable": True}),
    "2023 reply": ("2023-07-01", [WROTE], TEXT, "service", {"pricing_model": "CBP", "billable": False}),
    "2024 reply": ("2024-12-01", [WROTE], TEXT, "service", {"pricing_model": "CBP", "billable": False}),
    "2024 reply inside another": ("2024-12-01", [WROTE, SALE], TEXT, "marketing", {"pricing_model": "CBP", "billable": False}),
    "2024 reply inside two": (
        "2024-12-01",
        [WROTE, SALE, CODE],
        TEXT,
        "authentication",
        {"pricing_model": "CBP", "billable": False},
    ),
    "2024 reply inside two others": (
        "2024-12-01",
        [WROTE, CODE, SALE],
        TEXT,
        "marketing",
        {"pricing_model": "CBP", "billable": False},
    ),
    "2024 reply to an ad": ("2024-12-01", [AD], TEXT, "referral_conversion", {"pricing_model": "CBP", "billable": False}),
    "over the switch": ("2025-06-30", [HELLO, 12], HELLO, "utility", {"pricing_model": "CBP", "billable": False}),
    "2025 marketing": ("2025-08-01", [], SALE, None, {"pricing_model": "PMP", "type": "regular", "category": "marketing"}),
    "2025 code": ("2025-08-01", [WROTE], CODE, None, {"pricing_model": "PMP", "type": "regular", "category": "authentication"}),
    "2025 utility": ("2025-08-01", [], HELLO, None, {"pricing_model": "PMP", "type": "regular", "category": "utility"}),
    "2025 utility in the window": (
        "2025-08-01",
        [WROTE],
        HELLO,
        None,
        {"pricing_model": "PMP", "type": "free_customer_service", "category": "utility"},
    ),
    "2025 reply": (
        "2025-08-01",
        [WROTE],
        TEXT,
        None,
        {"pricing_model": "PMP", "type": "free_customer_service", "category": "service"},
    ),
    "2025 reply to an ad": (
        "2025-08-01",
        [AD],
        SALE,
        "referral_conversion",
        {"pricing_model": "PMP", "type": "free_entry_point"},
    ),
    "2026 reply": (
        "2026-11-20",
        [WROTE],
        TEXT,
        None,
        {"pricing_model": "PMP", "type": "free_customer_service", "category": "service"},
    ),
    "2026 utility in the window": (
        "2026-11-20",
        [WROTE],
        HELLO,
        None,
        {"pricing_model": "PMP", "type": "regular", "category": "utility"},
    ),
    "2026 reply to an ad": (
        "2026-11-20",
        [AD],
        TEXT,
        "referral_conversion",
        {"pricing_model": "PMP", "type": "free_entry_point"},
    ),
    "2026 inside the entry point": (
        "2026-11-20",
        [AD, TEXT, 30],
        SALE,
        "referral_conversion",
        {"pricing_model": "PMP", "type": "free_entry_point"},
    ),
}


@pytest.mark.parametrize(("day", "before", "body", "origin", "pricing"), REGIMES.values(), ids=REGIMES)
async def test_the_statuses_say_what_the_regime_makes_of_a_message(ledger, day, before, body, origin, pricing):
    """`sent` and `delivered` carry the price of the regime in force, `read` nothing; and the gate sees it the same way."""
    async with running(ledger, f"{day}T12:00:30Z") as world:
        for step in before:
            if isinstance(step, int):
                world.now += step * HOUR_MS
            elif isinstance(step, dict):
                await world.until("read", await world.send(step))
                world.now += 1000
            else:
                await world.write(ad=step == AD)
                world.now += 1000
        sent, delivered, read = await world.until("read", await world.send(body))

    said = {"billable": pricing.get("type") == "regular", "category": origin} | pricing
    expiry = sent.get("conversation", {}).pop("expiration_timestamp", None)
    assert ["sent", "delivered", "read"] == [sent["status"], delivered["status"], read["status"]]
    assert said == sent["pricing"]
    assert said == delivered["pricing"]
    assert origin == sent.get("conversation", {}).get("origin", {}).get("type")
    assert sent.get("conversation") == delivered.get("conversation")
    assert (origin is None) == (expiry is None)
    assert {"pricing", "conversation"}.isdisjoint(read)
    assert said["billable"] == world.settlements[-1].charged
    assert [] == [one for one in world.settlements if one.drift]


@pytest.mark.parametrize(("used", "kind"), [(999, "free_customer_service"), (1000, "regular")])
async def test_the_free_tier_ends_with_its_last_message(world, used, kind):
    """Since October 2026 the 1,001st service message of a number and month is charged."""
    own = Engine(Catalogue(world.settings).settings(NUMBER), BOOK, world.ledger, Metrics(), complete=True)
    await own.balances.use_free(WABA, NUMBER, used, now=world.now)
    await world.write()
    sent, *_ = await world.until("read", await world.send(TEXT))

    assert {"billable": used == 1000, "pricing_model": "PMP", "type": kind, "category": "service"} == sent["pricing"]


async def test_a_marketing_message_is_billed_as_one(world):
    """What goes through /marketing_messages is reported as marketing_lite."""
    sent, *_ = await world.until("read", await world.send(SALE, api="marketing_messages"))

    assert {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing_lite"} == sent["pricing"]


async def test_a_group_message_is_reported_for_its_member(world):
    """The statuses of a group message name the group and one member, and the group's own category."""
    body = {**HELLO, "recipient_type": "group", "to": "Y2FwaV9ncm91cDox"}
    sent, *_ = await world.until("read", await world.send(body))

    assert ("group", "Y2FwaV9ncm91cDox") == (sent["recipient_type"], sent["recipient_id"])
    assert "group_utility" == sent["pricing"]["category"]


async def test_messages_of_one_conversation_share_its_id_and_its_expiry_falls_on_a_minute(ledger):
    """An expiry is 24 hours after the delivery, rounded up to the minute; a later message of the conversation repeats it."""
    async with running(ledger, "2024-12-01T12:00:30Z") as world:
        first, *_ = await world.until("read", await world.send(HELLO))
        world.now += HOUR_MS
        second, *_ = await world.until("read", await world.send(HELLO))
        other, *_ = await world.until("read", await world.send({**HELLO, "to": "16505550000"}))

    assert str(int(datetime.fromisoformat("2024-12-02T12:01:00Z").timestamp())) == first["conversation"]["expiration_timestamp"]
    assert first["conversation"] == second["conversation"]
    assert first["conversation"]["id"] != other["conversation"]["id"]


@pytest.mark.parametrize(("later_s", "charged"), [(29, False), (30, True)])
async def test_a_conversation_lasts_until_the_expiry_that_was_told(ledger, later_s, charged):
    """What the sandbox tells, it keeps to: the seconds up to the full minute too."""
    async with running(ledger, "2024-12-01T12:00:30Z") as world:
        await world.until("read", await world.send(HELLO))
        world.now += 24 * HOUR_MS + later_s * 1000
        sent, *_ = await world.until("read", await world.send(HELLO))

    assert charged == sent["pricing"]["billable"]


async def test_a_free_form_message_outside_the_window_is_taken_and_fails_later(world):
    """Meta answers 200 and then fails with 131047, without a `sent`, contacts or a price."""
    status, said = await world.call("POST", f"/v23.0/{NUMBER}/messages", json=TEXT)
    wamid = said["messages"][0]["id"]
    (failed,) = await world.until("failed", wamid)

    code, title = 131047, "Re-engagement message"
    details = "Message failed to send because more than 24 hours have passed since the customer last replied to this number."
    assert 200 == status
    assert [{"code": code, "title": title, "message": title, "error_data": {"details": details}}] == failed["errors"]
    assert {"id", "status", "timestamp", "recipient_id", "recipient_user_id", "errors"} == set(failed)
    assert "contacts" not in world.webhooks[-1]["entry"][0]["changes"][0]["value"]


@pytest.mark.parametrize(("hours", "state"), [(23, "sent"), (24, "failed")])
async def test_a_customers_message_opens_the_window_for_a_day(world, hours, state):
    """The sandbox keeps windows of its own: 24 hours from the customer's message."""
    world.now -= world.now % 1000
    await world.write()
    world.now += hours * HOUR_MS
    _, said = await world.call("POST", f"/{NUMBER}/messages", json=TEXT)
    statuses = await world.until(state, said["messages"][0]["id"])

    assert state == statuses[0]["status"]


async def test_what_a_customer_writes_is_never_older_than_what_failed_before(world):
    """Meta's times are whole seconds, but a window that opens in the second of a failure stays open."""
    world.now += 400
    world.gate = Engine(world.settings, BOOK, world.ledger, world.metrics)  # it has not watched, so it lets the first one pass
    await world.until("failed", await world.send(TEXT))
    await world.write()
    decided = await world.gate.decide(decode_send(json.dumps(TEXT).encode()), NUMBER, now=world.now, decision_id="x")

    assert Reason.WITHIN_FREE_TIER == decided.decision.reason
    assert decided.decision.window_expires is not None


async def test_a_reaction_is_only_sent(world):
    """No `delivered` and no `read` ever come for a reaction."""
    await world.write()
    reaction = await world.send(REACTION)
    await world.until("read", await world.send(TEXT))
    await world.until("read", await world.send(TEXT))

    assert ["sent"] == [status["status"] for status in world.statuses(reaction)]
    assert "pricing" not in world.statuses(reaction)[0]


async def test_every_status_repeats_what_the_caller_gave_along(world):
    """`biz_opaque_callback_data` comes back in every status, from JSON and from a form."""
    body = {**HELLO, "biz_opaque_callback_data": "order-77"}
    as_json = await world.until("read", await world.send(body))
    form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
    _, said = await world.call("POST", f"/v23.0/{NUMBER}/messages", data=form)
    as_form = await world.until("read", said["messages"][0]["id"])

    assert ["order-77"] * 6 == [status["biz_opaque_callback_data"] for status in (*as_json, *as_form)]


@pytest.mark.parametrize(
    ("body", "contact", "message"),
    [
        (TEXT, {"input": USER, "wa_id": USER}, {}),
        ({**TEXT, "to": "+1 (650) 555-1234"}, {"input": "+1 (650) 555-1234", "wa_id": USER}, {}),
        (template("hello_world"), {"input": USER, "wa_id": USER}, {"message_status": "accepted"}),
        ({**TEXT, "to": None, "recipient": "US.13491"}, {"input": "US.13491", "user_id": "US.13491"}, {}),
        ({**HELLO, "recipient_type": "group", "to": "a-group"}, {"input": "a-group"}, {"message_status": "accepted"}),
    ],
    ids=["text", "punctuation", "template", "BSUID", "group"],
)
async def test_a_send_is_answered_as_meta_does(world, body, contact, message):
    """The answer names the recipient as given and as Meta calls them, and the message."""
    status, said = await world.call("POST", f"/v23.0/{NUMBER}/messages", json=body)
    (answered,) = said["messages"]

    assert 200 == status
    assert "whatsapp" == said["messaging_product"]
    assert [contact] == said["contacts"]
    assert answered.pop("id").startswith("wamid.")
    assert message == {name: value for name, value in answered.items() if name != "group_id"}


async def test_a_number_and_a_bsuid_are_one_customer(world):
    """Who wrote from a number can be answered under the BSUID that their webhook told."""
    await world.write()
    user_id = world.webhooks[0]["entry"][0]["changes"][0]["value"]["contacts"][0]["user_id"]
    statuses = await world.until("read", await world.send({**TEXT, "to": None, "recipient": user_id}))

    assert user_id.startswith("US.")
    assert [user_id] * 3 == [status["recipient_user_id"] for status in statuses]


@pytest.mark.parametrize("path", [f"/{NUMBER}/messages", f"/v23.0/{NUMBER}/messages", f"/v23.0/{NUMBER}/marketing_messages"])
async def test_a_read_receipt_succeeds_and_sends_nothing(world, path):
    """A receipt is no message: no id, no status."""
    answer = await world.call("POST", path, json=READ)
    await world.until("read", await world.send(HELLO))

    assert (200, {"success": True}) == answer
    assert 3 == len(world.statuses())


REFUSED = {
    "no JSON": ("messages", {"data": b"{"}, 400, 100),
    "no recipient": ("messages", {"json": {"messaging_product": "whatsapp", "type": "text", "text": {"body": "x"}}}, 400, 100),
    "no number": ("messages", {"json": {**TEXT, "to": "somebody"}}, 400, 131009),
    "no text": ("messages", {"json": {**TEXT, "text": {}}}, 400, 131008),
    "a type of users": ("messages", {"json": {**TEXT, "type": "system"}}, 400, 131051),
    "unknown template": ("messages", {"json": template("nothing")}, 404, 132001),
    "other language": ("messages", {"json": template("hello_world", "de")}, 404, 132001),
    "unknown marketing template": ("marketing_messages", {"json": template("nothing")}, 404, 132001),
    "paused": ("messages", {"json": template("paused")}, 400, 132015),
    "rejected": ("messages", {"json": template("rejected")}, 404, 132001),
    "utility as marketing": ("marketing_messages", {"json": HELLO}, 400, 134100),
    "text as marketing": ("marketing_messages", {"json": TEXT}, 400, 134100),
    "Direct Send": ("messages", {"json": {**TEXT, "category": "utility"}}, 400, 100),
    "no gzip": ("messages", {"data": b"{}", "headers": {"Content-Encoding": "gzip"}}, 400, 100),
    "half a gzip": ("messages", {"data": gzip.compress(b"{}")[:-4], "headers": {"Content-Encoding": "gzip"}}, 400, 100),
    "too large": ("messages", {"data": gzip.compress(bytes(2 << 20)), "headers": {"Content-Encoding": "gzip"}}, 413, 100),
}


@pytest.mark.parametrize(("api", "request_", "status", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_meta_refuses_is_refused_in_its_shape(world, api, request_, status, code):
    """A refusal has Graph's status, code and body, and nothing comes of it."""
    answered, said = await world.call("POST", f"/v23.0/{NUMBER}/{api}", **request_)
    await world.until("read", await world.send(HELLO))

    assert (status, code) == (answered, said["error"]["code"])
    assert {"message", "type", "code", "error_data", "fbtrace_id"} == set(said["error"])
    assert 3 == len(world.statuses())


@pytest.mark.parametrize(("name", "language"), [("hello_world", "en_US"), ("order_update", "en_US"), ("promo", "de")])
async def test_templates_are_those_of_the_account_and_a_few_of_its_own(world, name, language):
    """A configured template can be sent, and so can the built-in ones; one without a category is marketing."""
    sent, *_ = await world.until("read", await world.send(template(name, language)))

    assert {"promo": "marketing"}.get(name, "utility") == sent["pricing"]["category"]


async def test_a_number_without_an_account_is_served_too(world):
    """A phone number that no account names has the built-in templates and an account of its own."""
    await world.write(number=UNNAMED)
    sent, *_ = await world.until("read", await world.send(TEXT, number=UNNAMED))

    assert "service" == sent["pricing"]["category"]
    assert {"100000000000000"} == {payload["entry"][0]["id"] for payload in world.webhooks}


async def test_changed_settings_are_adopted(world):
    """A template that is added to the configuration can be sent from then on, as what it is."""
    before, _ = await world.call("POST", f"/{NUMBER}/messages", json=template("new"))
    await world.until("read", await world.send(HELLO))
    new = Template(name="new", language="en_US", category=TemplateCategory.AUTHENTICATION)
    world.sandbox.follow(Settings(account=(msgspec.structs.replace(ACCOUNT, template=(new,)),)))
    sent, *_ = await world.until("read", await world.send(template("new")))

    assert 404 == before
    assert "authentication" == sent["pricing"]["category"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("POST", f"/v23.0/{NUMBER}/messages", {}, 401, 190),
        ("POST", f"/v23.0/{NUMBER}/messages", {"Authorization": "Bearer "}, 401, 190),
        ("POST", f"/v23.0/{NUMBER}/messages", {"Authorization": "Basic eDp5"}, 401, 190),
        ("GET", f"/v23.0/{NUMBER}", {}, 401, 190),
        ("GET", f"/v23.0/{NUMBER}/messages", TOKEN, 400, 100),
        ("POST", "/v23.0/me/messages", TOKEN, 400, 100),
        ("POST", f"/v23.0/{NUMBER}/register", TOKEN, 400, 100),
        ("GET", "/", TOKEN, 400, 100),
        ("DELETE", f"/v23.0/{NUMBER}", TOKEN, 400, 100),
    ],
)
async def test_what_has_no_token_or_is_not_supported_is_said_so(world, method, path, headers, status, code):
    """Any token does, but there must be one; what the sandbox does not have is an unsupported request."""
    async with world.session.request(method, world.sandbox.base_url + path, headers=headers) as answer:
        said = await answer.json()

    assert (status, code) == (answer.status, said["error"]["code"])


async def test_a_token_may_stand_in_the_query(world):
    """`access_token` is as good as a header."""
    async with world.session.get(f"{world.sandbox.base_url}/v23.0/{NUMBER}?access_token=anything") as answer:
        said = await answer.json()

    assert 200 == answer.status
    assert {"id", "display_phone_number", "verified_name"} == set(said)
    assert NUMBER == said["id"]


@pytest.mark.parametrize(("refusals", "arrives"), [([], True), ([500, 503], True), ([500, 500, 500], False)])
async def test_a_webhook_that_is_not_taken_is_repeated(world, refusals, arrives):
    """A webhook that is refused comes again a few times, and the next status waits for it."""
    world.answers = list(refusals)
    statuses = await world.until("read", await world.send(HELLO))

    states = ["sent", "delivered", "read"] if arrives else ["delivered", "read"]
    assert states == [status["status"] for status in statuses]
    assert 0 == world.unsigned


async def test_a_customers_message_arrives_in_metas_shape(world):
    """The webhook names account, number and customer, and is answered for once it was taken."""
    status, said = await world.write(text="hello")
    (entry,) = world.webhooks[0]["entry"]
    value = entry["changes"][0]["value"]
    (message,) = value["messages"]

    assert (200, {"wamid": message["id"], "webhook_status": 200}) == (status, said)
    assert (WABA, "messages", NUMBER) == (entry["id"], entry["changes"][0]["field"], value["metadata"]["phone_number_id"])
    assert USER == value["contacts"][0]["wa_id"]
    assert (USER, "text", {"body": "hello"}) == (message["from"], message["type"], message["text"])
    assert str(world.now // 1000) == message["timestamp"]
    assert "referral" not in message


async def test_an_ads_message_carries_its_referral(world):
    """A message by way of an ad says so as Meta does."""
    await world.write(ad=True)
    (message,) = world.webhooks[0]["entry"][0]["changes"][0]["value"]["messages"]

    assert "ad" == message["referral"]["source_type"]
    assert message["referral"]["ctwa_clid"]


@pytest.mark.parametrize(
    ("wa_id", "body", "status"),
    [
        (USER, b"{", 400),
        (USER, b"[]", 400),
        (USER, b"{}", 400),
        (USER, b'{"phone_number_id": 7}', 400),
        (USER, b'{"phone_number_id": "us"}', 400),
        (USER, b'{"phone_number_id": "106540352242922", "ad": "yes"}', 400),
        (USER, b'{"phone_number_id": "106540352242922", "text": "\xff"}', 400),
        (USER, b" " * (1 << 17), 413),
        ("%2B16505551234", b'{"phone_number_id": "106540352242922"}', 400),
        ("somebody", b'{"phone_number_id": "106540352242922"}', 400),
    ],
)
async def test_a_mistake_in_a_customers_message_is_a_problem(world, wa_id, body, status):
    """A mistake is told as an RFC 9457 problem, and no webhook leaves."""
    async with world.session.post(f"{world.admin}/sandbox/customers/{wa_id}/messages", data=body) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert status == answer.status
    assert {"type", "title", "status", "detail"} == set(problem)
    assert status == problem["status"]
    assert [] == world.webhooks


async def test_a_refused_webhook_is_the_customers_problem(world):
    """A person who plays the customer is told when the gate does not take the message, and with what status."""
    world.answers = [401, 401, 401]
    status, problem = await world.write()

    assert (502, 502) == (status, problem["status"])
    assert "401" in problem["detail"]


async def test_an_unreachable_webhook_is_the_customers_problem(ledger):
    """Nobody listens at the webhook's URL: 502, and a send is answered all the same."""
    async with running(ledger, url="http://127.0.0.1:9/webhook") as world:
        status, problem = await world.write()
        answered, _ = await world.call("POST", f"/{NUMBER}/messages", json=HELLO)

    assert (502, 502) == (status, problem["status"])
    assert 200 == answered


async def test_the_sandbox_keeps_its_state_apart_from_the_gates(world):
    """A window that only the sandbox knows of does not open the gate's, though both share a ledger."""
    world.answers = [500, 500, 500]
    await world.write()
    own = await world.ledger.thread(f"sandbox-{WABA}", NUMBER, USER)
    gates = await world.ledger.thread(WABA, NUMBER, USER)
    decided = await world.gate.decide(decode_send(json.dumps(TEXT).encode()), NUMBER, now=world.now, decision_id="x")

    assert "csw" in own
    assert {} == gates
    assert not decided.decision.forwards


async def test_without_the_ledger_a_send_takes_its_course_without_a_price(ledger):
    """Meta is not away when our ledger is: the send is answered and delivered, and nothing is said of its price."""
    async with running(ledger) as world:
        away = Ledger("redis://127.0.0.1:9", timeout_ms=100)
        world.sandbox._messages._ledger = away
        world.sandbox._messages._engines.clear()
        _, said = await world.call("POST", f"/{NUMBER}/messages", json=TEXT)
        statuses = await world.until("read", said["messages"][0]["id"])
        wrote, problem = await world.write()
        await away.close()

    assert ["sent", "delivered", "read"] == [status["status"] for status in statuses]
    assert [] == [status for status in statuses if "pricing" in status]
    assert (503, 503) == (wrote, problem["status"])


async def test_stopping_drops_what_is_still_to_come(ledger):
    """A sandbox stops at once, however long its messages would take."""
    async with running(ledger, pace=3600) as world, asyncio.timeout(DEADLINE_S):
        await world.send(HELLO)

    assert [] == world.webhooks


async def test_more_under_way_than_may_be_is_throttled(world, monkeypatch):
    """Webhooks that cannot leave do not pile up without bound: further sends are refused as Meta throttles."""
    monkeypatch.setattr(courier, "MOST", 0)
    status, said = await world.call("POST", f"/{NUMBER}/messages", json=HELLO)

    assert (400, 130429) == (status, said["error"]["code"])


async def test_the_log_names_nobody_and_quotes_nothing(world):
    """What went wrong is logged without numbers, texts or ids of messages."""
    world.answers = [500] * 3
    await world.write(text="a secret text")
    log = world.log.getvalue()

    assert "forward_failed" in log
    assert [] == [word for word in (USER, "secret", "wamid") if word in log]


def upload(**fields: object) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        more = {"filename": "a.png", "content_type": "image/png"} if isinstance(value, bytes) else {}
        form.add_field(name, value, **more)
    return form


async def test_a_file_can_be_uploaded_looked_up_downloaded_and_deleted(world):
    """What comes back has the size, type and hash that were told, and is gone once deleted."""
    form = upload(messaging_product="whatsapp", type="image/png", file=b"x" * 200_000)
    _, uploaded = await world.call("POST", f"/v23.0/{NUMBER}/media", data=form)
    path = f"/v23.0/{uploaded['id']}"
    _, told = await world.call("GET", path)
    async with world.session.get(told["url"], headers=TOKEN) as answer:
        content = await answer.read()
    deleted = await world.call("DELETE", path)
    gone = [(await world.call(method, path))[0] for method in ("GET", "DELETE")]

    assert (200_000, "image/png") == (told["file_size"], told["mime_type"])
    assert (200_000, "image/png") == (len(content), answer.headers["Content-Type"])
    assert hashlib.sha256(content).hexdigest() == told["sha256"]
    assert (200, {"success": True}) == deleted
    assert [400, 400] == gone


@pytest.mark.parametrize("size", [0, 5, 3 << 20])
async def test_a_download_has_any_size_that_is_asked_for(world, size):
    """`size` makes a file as large as a test wants."""
    _, uploaded = await world.call("POST", f"/{NUMBER}/media", data=upload(messaging_product="whatsapp", file=b"x"))
    _, told = await world.call("GET", f"/{uploaded['id']}")
    async with world.session.get(told["url"], headers=TOKEN, params={"size": size}) as answer:
        content = await answer.read()

    assert (str(size), size) == (answer.headers["Content-Length"], len(content))


HEAD = "Host: sandbox\r\nAuthorization: Bearer x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
BROKEN_OFF = {
    "send": (f"POST /{NUMBER}/messages HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\n{{", 0),
    "upload": (
        f"POST /{NUMBER}/media HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\n--x\r\nContent-Disposition: form-data\r\n\r\nhalf",
        0,
    ),
    "chunk": (f"POST /{NUMBER}/messages HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 0),
    "download": (f"GET /MEDIA/download?size={1 << 40} HTTP/1.1\r\n{HEAD}\r\n", 1 << 20),
}


@pytest.mark.parametrize(("text", "length"), BROKEN_OFF.values(), ids=BROKEN_OFF)
async def test_a_client_that_breaks_off_leaves_no_traceback(world, caplog, text, length):
    """A request or a download that ends in the middle is nothing to report."""
    _, uploaded = await world.call("POST", f"/{NUMBER}/media", data=upload(messaging_product="whatsapp", file=b"x"))
    url = URL(world.sandbox.base_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(text.replace("MEDIA", uploaded["id"]).encode())
    await writer.drain()
    await reader.readexactly(length)
    await world.call("GET", f"/{NUMBER}")  # by then the sandbox has read the other request too
    writer.transport.abort()
    await world.sandbox.stop()

    assert [] == [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {}},
        {"data": upload(messaging_product="whatsapp", type="image/png")},
        {"data": upload(type="image/png", file=b"x")},
        {"data": b"no part", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"data": b"no part", "headers": {"Content-Type": "multipart/form-data"}},
        {"data": b"--x\r\nhalf", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"data": b"", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ],
    ids=["JSON", "no file", "no product", "no part", "no boundary", "half a part", "nothing"],
)
async def test_what_is_no_upload_is_refused(world, request_):
    """A request without a file is an invalid parameter."""
    status, said = await world.call("POST", f"/v23.0/{NUMBER}/media", **request_)

    assert (400, 100) == (status, said["error"]["code"])


async def test_templates_are_listed_page_by_page(world):
    """Following `paging.next` to its end gives every template of the account once."""
    _, page = await world.call("GET", f"/v23.0/{WABA}/message_templates?limit=3")
    names = [row["name"] for row in page["data"]]
    pages = 1
    while "next" in page["paging"]:
        async with world.session.get(page["paging"]["next"], headers=TOKEN) as answer:
            page = await answer.json()
        names += [row["name"] for row in page["data"]]
        pages += 1

    assert 4 == pages
    assert ["promo", "paused", "rejected", *(template.name for template in BUILT_IN)] == names


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("name=promo", ["promo"]),
        ("status=PAUSED", ["paused"]),
        ("category=AUTHENTICATION", ["login_code", "one_time_password"]),
        ("language=de", ["promo"]),
        ("name=nothing", []),
    ],
)
async def test_templates_are_filtered(world, asked, names):
    """A filter keeps what equals it."""
    _, page = await world.call("GET", f"/v23.0/{WABA}/message_templates?{asked}")

    assert names == [row["name"] for row in page["data"]]


async def test_templates_have_the_fields_that_are_asked_for(world):
    """`fields` chooses, and the id always comes."""
    _, page = await world.call(
        "GET", f"/v23.0/{WABA}/message_templates?fields=name,category&category=MARKETING&summary=total_count"
    )
    row = page["data"][-1]

    assert 4 == page["summary"]["total_count"]
    assert {"id", "name", "category"} == set(row)
    assert ("summer_sale", "MARKETING") == (row["name"], row["category"])


@pytest.mark.parametrize(
    "asked", ["limit=0", "limit=x", "limit=1001", f"limit={'9' * 5000}", "after=x", "after=%00", "after=cGFnZTp4"]
)
async def test_a_page_that_cannot_be_is_refused(world, asked):
    """A limit or cursor that is none is an invalid parameter."""
    status, said = await world.call("GET", f"/v23.0/{WABA}/message_templates?{asked}")

    assert (400, 100) == (status, said["error"]["code"])


FILLED = {
    "delivery_photo": [
        {"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]},
        {"type": "body", "parameters": [{"type": "text", "text": "Ann"}, {"type": "text", "text": "noon"}]},
        {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "77"}]},
    ],
    "appointment_reminder": [
        {"type": "header", "parameters": [{"type": "text", "parameter_name": "place", "text": "Berlin"}]},
        {
            "type": "body",
            "parameters": [
                {"type": "text", "parameter_name": "first_name", "text": "Ann"},
                {"type": "text", "parameter_name": "time", "text": "noon"},
            ],
        },
    ],
    "one_time_password": [
        {"type": "body", "parameters": [{"type": "text", "text": "123456"}]},
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "123456"}]},
    ],
}


def filled(name: str, components: list) -> dict:
    body = template(name)
    return {**body, "template": {**body["template"], "components": components}}


@pytest.mark.parametrize("name", FILLED)
async def test_a_template_that_says_what_it_asks_for_takes_just_that(world, name):
    """The sandbox holds a send against the components that it lists, as Meta does."""
    status, _ = await world.call("POST", f"/v23.0/{NUMBER}/messages", json=filled(name, FILLED[name]))

    assert 200 == status


@pytest.mark.parametrize(
    ("name", "left_out", "code"),
    [
        ("delivery_photo", 0, 132012),
        ("delivery_photo", 1, 132000),
        ("delivery_photo", 2, 131008),
        ("appointment_reminder", 0, 132000),
        ("appointment_reminder", 1, 132000),
        ("one_time_password", 0, 132000),
        ("one_time_password", 1, 131008),
    ],
)
async def test_a_template_that_lacks_something_is_refused(world, name, left_out, code):
    """With Meta's code, whatever the gate's own checks are set to."""
    components = [component for n, component in enumerate(FILLED[name]) if n != left_out]
    status, said = await world.call("POST", f"/v23.0/{NUMBER}/messages", json=filled(name, components))

    assert (400, code) == (status, said["error"]["code"])


@pytest.mark.parametrize("name", ["hello_world", "order_update", "login_code"])
async def test_a_template_that_does_not_say_takes_anything(world, name):
    """Where nobody told the sandbox what is asked for, its list shows no body that it could be counted in."""
    status, _ = await world.call("POST", f"/v23.0/{NUMBER}/messages", json=filled(name, FILLED["delivery_photo"]))
    _, page = await world.call("GET", f"/v23.0/{WABA}/message_templates?name={name}")

    assert 200 == status
    assert [2] == [len(listed["components"]) for listed in page["data"]]


async def test_what_the_sandbox_lists_is_what_it_asks_for(world):
    """A gate that reads the list knows each template as it is."""
    _, page = await world.call("GET", f"/v23.0/{WABA}/message_templates?limit=100")
    read = {(row.name, row.language): row for row in decode_page(json.dumps(page).encode()).rows}
    owned = {(one.name, one.language): one for one in (*ACCOUNT.template, *BUILT_IN)}

    assert {key: one.shape for key, one in owned.items()} == {key: row.shape for key, row in read.items()}
    assert {key: one.category or "marketing" for key, one in owned.items()} == {key: row.category for key, row in read.items()}
