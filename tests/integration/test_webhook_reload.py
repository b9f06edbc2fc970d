"""Webhooks, their routes and secrets in a running gate: who is believed, of what, and where it goes after a reload."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import hmac
import io

import pytest
from aiohttp import ClientSession
from fake_graph import eventually
from test_forwarding import NUMBER, NUMBER_2, USER, WABA, WABA_2, apps, change, entry, inbound, message, webhook  # noqa: F401

from gatekeeper.core.data import data_dir
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.server.app import running
from gatekeeper.settings import parse
from gatekeeper.telemetry import logger

SIGNATURE = "X-Hub-Signature-256"
WHOLE, NEXT, SHOP, OTHER = "the-app-secret", "the-next-app-secret", "the-secret-of-the-shop", "the-secret-of-another"
NUMBER_4 = "200000000000004"
BOOK = Rulebook.load(data_dir("config"))
NEWS = {"event": "DISABLED", "message_template_name": "order_update", "message_template_language": "en_US"}


def signed(body: bytes, secret: str) -> list[tuple[str, str]]:
    return [(SIGNATURE, "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest())]


async def posted(house, body: bytes, secret: str, path: str = "/webhook") -> int:
    return (await house.ask("POST", path, signed(body, secret), body)).status


async def window(house, number: str):
    return (await house.admin(f"/v1/threads/{number}/{USER}")).json["customer_service_window"] is not None


def follow(house, **sections) -> None:
    """Adopt a changed file, as a reload does."""
    raw = {"ledger": {"url": "redis://127.0.0.1"}, **sections}
    house.gate.reload._follow(parse(raw, name="test", environment={}), BOOK)


def route(waba: str = "", number: str = "", **more):
    return {"waba_id": [waba] if waba else [], "phone_number_id": [number] if number else [], **more}


# ------------------------------------------------------------------------------------------------- several secrets


async def test_any_of_several_secrets_is_good(open_house, graph):
    """One can be exchanged for another without a webhook lost."""
    house = await open_house(graph.url, webhook={"app_secret": [NEXT, WHOLE]})
    body = message()

    assert [200, 200, 401] == [await posted(house, body, secret) for secret in (WHOLE, NEXT, SHOP)]


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([], "no_signature"),
        ([(SIGNATURE, "sha256=12")], "malformed_signature"),
        ([(SIGNATURE, "sha1=" + "0" * 64)], "malformed_signature"),
        ([(SIGNATURE, "sha256=" + "0" * 64)], "wrong_signature"),
    ],
)
async def test_each_webhook_that_is_not_believed_leaves_a_line(headers, why, house):
    """It says why, and nothing of the body or the secret."""
    status = (await house.ask("POST", "/webhook", headers, b"{}")).status
    [line] = house.logged("webhook_refused")

    assert (401, (401, why)) == (status, (line["status"], line["why"]))


async def test_a_handshake_that_is_refused_leaves_a_line(house):
    """By another token, or for something else than to subscribe."""
    for query in ("hub.mode=subscribe&hub.verify_token=no", "hub.mode=x&hub.verify_token=the-verify-token"):
        await house.ask("GET", f"/webhook?{query}")

    assert ["wrong_token", "no_subscription"] == [line["why"] for line in house.logged("webhook_refused")]


# ---------------------------------------------------------------------------------------------- a route's own secret


@pytest.fixture
async def shop(open_house, graph, apps):  # noqa: F811
    """A gate of two clients: one signs by the gate's secret, the shop by its own."""
    app, other = await apps(), await apps()
    house = await open_house(
        graph.url,
        webhook={
            "forward_to": other.url,
            "route": [
                route(WABA_2, forward_to=app.url, app_secret=SHOP),
                route("", NUMBER_4, forward_to=other.url, app_secret=[OTHER]),
            ],
        },
    )
    return house, app, other


async def test_a_routes_secret_signs_what_the_route_names(shop):
    """A number of its account opens a window there, and the app of the route has the very bytes; the gate's own secret signs it too."""
    house, app, other = shop
    body = message(NUMBER_2, WABA_2)
    found = [await posted(house, body, SHOP), await window(house, NUMBER_2)]
    again = await posted(house, message(NUMBER_2, WABA_2, 1), WHOLE)

    assert ([200, True], 200, [body, message(NUMBER_2, WABA_2, 1)], []) == (found, again, app.got, other.got)


@pytest.mark.parametrize(
    "body",
    [
        message(),
        message(NUMBER, WABA_2),
        message(NUMBER_4, WABA_2),
        message(NUMBER_2, WABA),
        webhook(entry(WABA, change(None, "message_template_status_update", **NEWS))),
    ],
    ids=["all another's", "another's number", "a number of another route", "another's account", "news of another account"],
)
async def test_a_routes_secret_signs_nothing_else(body, shop):
    """Whoever has it opens no window and changes no template of another client, whatever ids stand beside; no app hears of it."""
    house, app, other = shop
    status = await posted(house, body, SHOP)
    windows = [await window(house, number) for number in (NUMBER, NUMBER_2, NUMBER_4)]
    reason = (await house.template("order_update", ("Gatekeeper-Dry-Run", "true"))).json["reason"]

    assert (401, [False, False, False], "charged_message") == (status, windows, reason)
    assert ([], [], ["other_route"]) == (app.got, other.got, [line["why"] for line in house.logged("webhook_refused")])
    assert [("route[0].app_secret", 1)] == [(line["signer"], line["refused"]) for line in house.logged("items_refused")]


async def test_what_is_another_clients_in_a_batch_costs_its_neighbours_nothing(shop):
    """The shop's own item counts, the other one is ignored and said."""
    house, app, other = shop
    body = webhook(entry(WABA_2, change(NUMBER_2, messages=[inbound()])), entry(WABA, change(NUMBER, messages=[inbound(1)])))
    status = await posted(house, body, SHOP)
    found = [await window(house, number) for number in (NUMBER, NUMBER_2)]

    assert (200, [False, True], 1) == (status, found, house.logged("items_refused")[0]["refused"])
    assert ([body], []) == (app.got, other.got)


async def test_a_route_of_numbers_speaks_for_an_account_that_has_no_others(open_house, graph, apps):  # noqa: F811
    """News of a template has no number: it is the route's when all of the account's numbers are."""
    app = await apps()
    house = await open_house(graph.url, webhook={"route": [route("", NUMBER, forward_to=app.url, app_secret=SHOP)]})
    found = [
        await posted(house, message(), SHOP),
        await posted(house, webhook(entry(WABA, change(None, "message_template_status_update", **NEWS))), SHOP),
    ]

    assert ([200, 200], "template_disabled") == (found, (await house.template("order_update")).ours["Gatekeeper-Reason"])


async def test_only_routes_have_a_secret(open_house, graph, apps):  # noqa: F811
    """What no route names is then refused, and `/readyz` says so."""
    app = await apps()
    secretless = {"app_secret": "", "route": [route(WABA_2, forward_to=app.url, app_secret=SHOP)]}
    house = await open_house(graph.url, webhook=secretless)
    found = [await posted(house, message(NUMBER_2, WABA_2), SHOP), await posted(house, message(), WHOLE)]

    assert [200, 401] == found
    assert "all but those of routes" in (await house.admin("/readyz")).json["checks"]["webhook"]


# ------------------------------------------------------------------------------------------------------------ reload


async def test_a_new_account_comes_with_its_route(house, apps):  # noqa: F811
    """From one webhook to the next: what is the new client's never goes to the old one's app."""
    old, new = await apps(), await apps()
    follow(house, webhook={"app_secret": WHOLE, "forward_to": old.url}, account=[{"waba_id": WABA, "phone_number_ids": [NUMBER]}])
    await posted(house, message(n=1), WHOLE)
    follow(
        house,
        webhook={"app_secret": WHOLE, "forward_to": old.url, "route": [route(WABA_2, forward_to=new.url)]},
        account=[{"waba_id": WABA, "phone_number_ids": [NUMBER]}, {"waba_id": WABA_2, "phone_number_ids": [NUMBER_2]}],
    )
    await posted(house, message(NUMBER_2, WABA_2), WHOLE)
    accounts = [one["waba_id"] for one in (await house.admin("/v1/accounts")).json["accounts"]]

    assert ([message(n=1)], [message(NUMBER_2, WABA_2)]) == (old.got, new.got)
    assert [WABA, WABA_2] == accounts


async def test_secrets_token_and_path_are_exchanged(house):
    """The old ones are good for nothing from then on."""
    follow(house, webhook={"app_secret": NEXT, "verify_token": "another-token", "path": "/hooks/meta"})
    found = [await posted(house, message(), secret, "/hooks/meta") for secret in (WHOLE, NEXT)]
    query = "hub.mode=subscribe&hub.challenge=7&hub.verify_token="
    tokens = [(await house.ask("GET", f"/hooks/meta?{query}{t}")).status for t in ("the-verify-token", "another-token")]

    assert ([401, 200], [403, 200]) == (found, tokens)


async def test_what_waits_for_an_app_survives_its_route(house, apps):  # noqa: F811
    """A webhook that Meta was told is taken reaches its app, under whichever key, or none, it is named by then."""
    first, later = await apps(), await apps(None)
    named = {"app_secret": WHOLE, "forward_to": [first.url, later.url]}
    follow(house, webhook=named)
    await posted(house, message(n=1), WHOLE)
    follow(house, webhook={"app_secret": WHOLE, "route": [route(WABA_2, forward_to=later.url)]})
    follow(house, webhook={"app_secret": WHOLE})
    await asyncio.sleep(0)
    later.free.set()
    await eventually(lambda: len(later.got) == 1 and not later.running)
    follow(house, webhook=named)
    again = await posted(house, message(n=2), WHOLE)

    assert ([message(n=1), message(n=2)], 200) == (first.got, again)
    assert message(n=1) == later.got[0]


async def test_a_repetition_is_known_across_a_reload(house, apps):  # noqa: F811
    """An app that took a webhook while another one failed is not told again, though its key is another by then."""
    took, fails = await apps(), await apps(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    body = webhook(entry(WABA, change(NUMBER, messages=[inbound()])), entry(WABA_2, change(NUMBER_2, messages=[inbound(1)])))
    follow(house, webhook={"app_secret": WHOLE, "forward_to": took.url, "route": [route(WABA_2, forward_to=fails.url)]})
    first = await posted(house, body, WHOLE)
    routes = [route(WABA_2, forward_to=fails.url), route(WABA, forward_to=took.url)]
    follow(house, webhook={"app_secret": WHOLE, "route": routes})
    second = await posted(house, body, WHOLE)

    assert ([500, 200], 1, 2) == ([first, second], len(took.got), len(fails.got))


async def test_a_reload_that_cannot_be_put_into_effect_changes_nothing(house, monkeypatch):
    """Not even a part: the secret stays the old one, and the gate goes on."""

    def broken(*_):
        raise ValueError

    monkeypatch.setattr("gatekeeper.server.forwarding.Target", broken)
    reload = house.gate.reload
    settings = parse({"webhook": {"app_secret": NEXT, "forward_to": "http://127.0.0.1:9"}}, name="test", environment={})
    before = house.gate.engine.settings
    with pytest.raises(Exception, match="it cannot be put into effect: ValueError"):
        reload.adopt(reload.reading, settings, BOOK)
    house.written.seek(0)
    house.written.truncate()  # the line on this fault, with its traceback

    assert (before is house.gate.engine.settings, 200) == (True, await posted(house, message(), WHOLE))


async def test_reloads_leave_nothing_behind(house, apps):  # noqa: F811
    """A hundred of them: no more tasks, callbacks or targets than one."""
    app = await apps()
    found = []
    settings = parse(
        {"webhook": {"app_secret": WHOLE, "forward_to": app.url}, "account": [{"waba_id": WABA}]}, name="t", environment={}
    )
    for times in (1, 100):
        for _ in range(times):
            house.gate.reload._follow(settings, BOOK)
            await asyncio.sleep(0)
        await eventually(lambda: not any("_balanced" in repr(task) for task in asyncio.all_tasks()))
        ours = sorted(task.get_coro().__qualname__ for task in asyncio.all_tasks() if "/gatekeeper/" in repr(task))
        stacks = [one for one in gc.get_objects() if isinstance(one, contextlib.AsyncExitStack | contextlib.ExitStack)]
        found.append((ours, sum(len(stack._exit_callbacks) for stack in stacks)))

    assert found[0] == found[1]


async def test_the_sandbox_follows_the_secret_and_the_path(redis_url, redis):
    """Its customers are heard after each change, and where no secret is given it goes on with its own."""
    raw = {
        "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"},
        "ledger": {"url": redis_url},
        "account": [{"waba_id": WABA, "phone_number_ids": [NUMBER]}],
    }
    written, users = io.StringIO(), ["4915110000001", "4915110000002", "4915110000003"]
    changes = [{}, {"app_secret": NEXT, "path": "/hooks"}, {"path": "/again"}]
    async with (
        running(parse(raw, name="test", environment={}), logger(written), sandbox=True) as gate,
        ClientSession() as session,
    ):

        async def heard(user):
            async with session.get(f"{gate.admin_url}/v1/threads/{NUMBER}/{user}") as answer:
                return (await answer.json())["customer_service_window"] is not None

        for user, webhook_section in zip(users, changes, strict=True):
            gate.reload._follow(parse({**raw, "webhook": webhook_section}, name="test", environment={}), BOOK)
            body = {"phone_number_id": NUMBER, "text": "hi"}
            async with session.post(f"{gate.admin_url}/sandbox/customers/{user}/messages", json=body) as answer:
                assert 200 == answer.status
            async with asyncio.timeout(5):
                while not await heard(user):  # noqa: ASYNC110 - a webhook comes over a socket
                    await asyncio.sleep(0.01)

    assert [] == [line for line in written.getvalue().splitlines() if "webhook_refused" in line]


async def test_a_number_moves_between_accounts_in_one_step(house):
    """Of sends decided all the while, each has account, currency, category and caller of the one file or all of the other."""
    one = {"webhook": {"app_secret": WHOLE}}
    template = {"name": "order_update", "language": "en_US"}
    utility, marketing = ([{**template, "category": category}] for category in ("utility", "marketing"))
    first, second = (
        {
            **one,
            "account": [
                {"waba_id": WABA, "phone_number_ids": [NUMBER][:n], "template": utility},
                {
                    "waba_id": WABA_2,
                    "currency": "INR",
                    "phone_number_ids": [NUMBER][n:],
                    "template": marketing,
                },
            ],
        }
        for n in (1, 0)
    )
    found = set()

    async def sends(times: int = 15) -> None:
        for _ in range(times):
            told = (await house.template("order_update", ("Gatekeeper-Dry-Run", "true"))).json
            found.add((told["currency"], told["category"]))

    async def reloads() -> None:
        for n in range(60):
            follow(house, **(first, second)[n % 2])
            await asyncio.sleep(0.005)

    await asyncio.gather(reloads(), *(sends() for _ in range(8)))
    for settings in (first, second):
        follow(house, **settings)
        await sends(1)

    assert {("USD", "utility"), ("INR", "marketing")} == found
