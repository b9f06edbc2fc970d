"""Held messages: what waits for its recipient to answer, how the recipient is asked, and that each goes out once."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import time

import msgspec
import pytest
from aiohttp import web
from fake_graph import eventually
from gates import gates, written

from gatekeeper.core.effects import Change
from gatekeeper.core.holding import Turn
from gatekeeper.core.vocabulary import Clock, State
from gatekeeper.engine.holding import Holding
from gatekeeper.ledger import calls, keys
from gatekeeper.server import flushing
from gatekeeper.settings import parse

WABA, NUMBER, USER, OTHER = "102290129340398", "106540352242922", "4915112345678", "4915187654321"
SENDS = f"/v23.0/{NUMBER}/messages"
SECOND, HOUR = 1000, 3_600_000
DAY = 24 * HOUR
NOON = 1_794_312_000_000
HOLD = {"template": "order_update", "language": "en_US"}
TOKEN = ("Authorization", "Bearer the-callers")
DRY = ("Gatekeeper-Dry-Run", "true")
PUT_BACK = 6 * SECOND


def text(body="hello", to=USER, **more):
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body}, **more}


def refusal(code, status=400):
    return web.json_response({"error": {"message": f"(#{code}) no", "type": "OAuthException", "code": code}}, status=status)


@pytest.fixture
def opened(open_house, graph, redis, monkeypatch):
    """Open a gate that holds, and whose ledger has watched for long; by itself it looks at what is due only when it starts."""
    monkeypatch.setattr(flushing, "_EVERY_S", 60)

    async def opened(upstream=None, *, hold=None, policy=None, warm=True, **sections):
        if warm:
            redis.set(keys.watch(WABA, NUMBER), NOON - 2 * DAY, px=7 * DAY)
        holds = [HOLD] if hold is None else [HOLD | one for one in ([hold] if isinstance(hold, dict) else hold)]
        return await open_house(upstream or graph.url, policy={"hold": holds, **(policy or {})}, **sections)

    return opened


def word(body):
    """What a body says: a template by its name, a text as it is."""
    read = json.loads(body)
    return read["template"]["name"] if read["type"] == "template" else read["text"]["body"]


def said(graph):
    """What Meta heard, in its order."""
    return [word(one.body) for one in graph.arrived]


def answering(graph, answers):
    """Let Meta answer a text in another way than with its consent, once or always."""

    async def script(request):
        body = await request.read()
        graph.keep(request, body)
        found = answers.get(word(body))
        if isinstance(found, list):
            found = found.pop(0) if found else None
        return graph.accept(body) if found is None else await found(request)

    graph.script = script


def told(code, status=400):
    async def answer(_):
        return refusal(code, status)

    return answer


async def reset(request):
    request.transport.abort()
    raise asyncio.CancelledError


async def status(house, answer):
    found = (await house.ask("GET", answer["Location"])).json
    return found["state"], found["wamid"] or found["code"]


async def ended(house, count=1):
    await eventually(lambda: len(house.logged("held_ended")) >= count)


async def waits(house, *texts, headers=(TOKEN,), **how):
    """Let texts wait; their answers."""
    answers = [await house.send(text(one, **how), *headers) for one in texts]
    assert [202] * len(texts) == [answer.status for answer in answers]
    return answers


async def looked(house, at=None):
    """Let the gate look at what is due, and wait for what comes of it."""
    house.now = house.now if at is None else at
    await asyncio.gather(*await house.gate.flushing.look(house.now))


def there(redis):
    """What waits, whatever it is."""
    return sorted(redis.scan_iter("gk:*:waiting:*")), sorted(redis.scan_iter("gk:*:text:*"))


# ----------------------------------------------------------------------------------------------------- being held


async def test_a_text_waits_behind_a_template_that_asks_for_an_answer(opened, graph):
    """The caller hears so in the shape of Meta's answer; the template is decided, priced and said as any template is."""
    house = await opened()
    answer = await house.send(text("one"), TOKEN)
    held = answer["Gatekeeper-Held"]

    assert (202, ["order_update"]) == (answer.status, said(graph))
    assert {
        "messaging_product": "whatsapp",
        "contacts": [{"input": USER, "wa_id": USER}],
        "messages": [{"id": f"gatekeeper.{held}", "message_status": "held"}],
    } == answer.json
    assert (f"/gatekeeper/held/{held}", str((NOON + DAY) // SECOND)) == (answer["Location"], answer["Gatekeeper-Held-Until"])
    assert ("rewrite", "order_update", "charged_message", "utility", "0.055") == tuple(
        answer[f"Gatekeeper-{name}"] for name in ("Verdict", "Template", "Reason", "Category", "Price")
    )


async def test_the_others_wait_without_another_template(opened, graph):
    """Nothing goes out for them, and that is what they say."""
    house = await opened()
    await waits(house, "one")
    answer = await house.send(text("two"), TOKEN)

    assert (202, ["order_update"]) == (answer.status, said(graph))
    assert ("block", "outside_customer_service_window", None, None, "false") == tuple(
        answer[f"Gatekeeper-{name}"] for name in ("Verdict", "Reason", "Template", "Price", "Charged")
    )
    assert answer["Gatekeeper-Held"] in answer["Location"]
    assert "held" == answer.json["messages"][0]["message_status"]


async def test_each_recipient_is_asked_once(opened, graph):
    """And each number's recipients are its own."""
    house = await opened()
    await waits(house, "one", "two")
    await waits(house, "three", "four", to=OTHER)

    assert [USER, OTHER] == [json.loads(one.body)["to"] for one in graph.arrived]


async def test_of_texts_at_once_one_asks(opened, graph):
    """The others wait for what becomes of that, and then wait themselves."""
    house = await opened()
    gate = asyncio.Event()

    async def slow(_):
        await gate.wait()
        return graph.accept(graph.arrived[0].body)

    answering(graph, {"order_update": slow})
    sends = [asyncio.create_task(house.send(text(f"{n}"), TOKEN)) for n in range(8)]
    await eventually(lambda: len(graph.arrived) == 1)
    await asyncio.sleep(0.1)
    gate.set()
    answers = await asyncio.gather(*sends)

    assert ["order_update"] == said(graph)
    assert [202] * 8 == [answer.status for answer in answers]
    assert ["block"] * 7 + ["rewrite"] == sorted(answer["Gatekeeper-Verdict"] for answer in answers)


async def test_the_template_says_nothing_of_the_text_but_to_whom_it_is(opened, graph):
    """Neither its reply nor its tracking data: that is the text's own, and comes with it."""
    house = await opened()
    await waits(house, "one", context={"message_id": "wamid.x"}, biz_opaque_callback_data="ticket 7", recipient_type="individual")

    assert {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": USER,
        "type": "template",
        "template": {"name": "order_update", "language": {"code": "en_US"}},
    } == json.loads(graph.arrived[0].body)
    assert ["Bearer the-callers"] == graph.arrived[0].header("Authorization")


async def test_a_template_with_a_parameter_gets_the_text(opened, graph):
    """In one line, as Meta takes parameters."""
    house = await opened(hold={"text_parameter": True})
    await waits(house, "Your\nparcel   is here")

    [component] = json.loads(graph.arrived[0].body)["template"]["components"]
    assert {"type": "body", "parameters": [{"type": "text", "text": "Your parcel is here"}]} == component


IMAGE = {"messaging_product": "whatsapp", "to": USER, "type": "image", "image": {"id": "1"}}
REACTION = {"messaging_product": "whatsapp", "to": USER, "type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "🙂"}}
BSUID = "DE.13491208655302741918"
BY_ID = {"messaging_product": "whatsapp", "recipient": BSUID, "type": "text", "text": {"body": "hello"}}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(json.dumps(IMAGE).encode(), [], id="image"),
        pytest.param(
            b'{ "messaging_product":"whatsapp",  "to":"+49 1511 2345678","type":"text","text":{"body":"x"}}', [], id="odd"
        ),
        pytest.param(gzip.compress(json.dumps(text()).encode()), [("Content-Encoding", "gzip")], id="gzip"),
        pytest.param(json.dumps(BY_ID).encode(), [], id="bsuid"),
    ],
)
async def test_any_free_form_message_waits_and_goes_out_byte_for_byte(body, headers, opened, graph):
    """With the path and the headers that its caller sent."""
    house = await opened()
    more = [TOKEN, ("X-Own", "1"), ("Gatekeeper-Caller", "crm"), ("User-Agent", "sdk/1"), *headers]
    answer = await house.send(body, *more, path=f"{SENDS}?pretty=1")
    await house.changed(
        {
            "contacts": [{"wa_id": USER, "user_id": BSUID}],
            "messages": [
                {"from": USER, "id": "wamid.i", "timestamp": str(NOON // SECOND), "type": "text", "text": {"body": "a"}}
            ],
        }
    )
    await ended(house)
    [_, sent] = graph.arrived

    assert (202, "sent") == (answer.status, (await status(house, answer))[0])
    read = gzip.decompress(body) if headers else body  # as the upstream of this test unpacks it
    assert (read, f"{SENDS}?pretty=1", "POST") == (sent.body, sent.target, sent.method)
    expected = {"content-type": "application/json", "authorization": "Bearer the-callers", "x-own": "1", "user-agent": "sdk/1"}
    expected |= {name.lower(): value for name, value in headers} | {"content-length": str(len(body))}
    assert expected == {name.lower(): value for name, value in sent.headers if name.lower() not in ("host", "gatekeeper-hop")}


@pytest.mark.parametrize(
    ("body", "section"),
    [
        pytest.param(REACTION, {}, id="reaction"),
        pytest.param(text(), {"hold": {"caller": ["crm"]}}, id="another caller"),
        pytest.param(text(), {"hold": {"phone_number_id": ["1"]}}, id="another number"),
        pytest.param(text(), {"policy": {"cold_start": "closed"}, "warm": False}, id="cold ledger"),
        pytest.param(IMAGE, {"hold": {"text_parameter": True}}, id="no text for the parameter"),
        pytest.param(text("x" * 1025), {"hold": {"text_parameter": True}}, id="too long for the parameter"),
        pytest.param(text(), {"hold": {"template": "on_hold"}}, id="template paused"),
        pytest.param(text(), {"hold": {"template": "nobody_knows", "language": "de"}, "policy": {"rule": [
            {"name": "known only", "category": ["unknown"]}]}}, id="template blocked by a rule"),
        pytest.param(
            text(),
            {"policy": {"budget": [{"name": "b", "scope": "waba", "period": "day", "limit": "0.01"}]}},
            id="template over budget",
        ),
    ],
)  # fmt: skip
async def test_what_cannot_wait_is_refused_as_ever(body, section, opened, graph, redis):
    """With Meta's own error for a closed window; nothing goes out, and nothing is kept."""
    house = await opened(**section)
    answer = await house.send(body, TOKEN)

    assert (400, 131047) == answer.error
    assert ("block", "outside_customer_service_window", None) == tuple(
        answer[f"Gatekeeper-{name}"] for name in ("Verdict", "Reason", "Held")
    )
    assert ([], ([], [])) == (said(graph), there(redis))


async def test_a_gate_that_only_annotates_holds_nothing(opened, graph, redis):
    """The text goes out, and the headers say what would have stopped it."""
    house = await opened(policy={"mode": "annotate"})
    answer = await house.send(text("one"), TOKEN)

    assert (200, "annotate", ["one"], ([], [])) == (answer.status, answer["Gatekeeper-Verdict"], said(graph), there(redis))


async def test_a_hold_is_asked_before_a_fallback(opened, graph):
    """Whom no hold is for still has its fallback."""
    house = await opened(hold={"caller": ["crm"]}, policy={"fallback": [{"template": "spring_sale", "language": "en_US"}]})
    held, fallen = [await house.send(text(), TOKEN, ("Gatekeeper-Caller", name)) for name in ("crm", "shop")]

    assert (202, 200) == (held.status, fallen.status)
    assert ["order_update", "spring_sale"] == said(graph)


async def test_the_first_hold_that_is_for_a_caller_counts(opened, graph):
    """As the first fallback does."""
    house = await opened(hold=[{"caller": ["crm"], "deadline": "1h"}, {"template": "spring_sale"}])
    crm = await house.send(text(), TOKEN, ("Gatekeeper-Caller", "crm"))
    await house.send(text(to=OTHER), TOKEN)

    assert str((NOON + HOUR) // SECOND) == crm["Gatekeeper-Held-Until"]
    assert ["order_update", "spring_sale"] == said(graph)


async def test_a_template_that_meta_refuses_leaves_nothing_waiting(opened, graph, redis):
    """The caller gets Meta's own error, and what the template reserved is given back."""
    house = await opened(policy={"budget": [{"name": "b", "scope": "waba", "period": "day", "limit": "0.06"}]})
    answering(graph, {"order_update": [told(132001, 404)]})
    answer = await house.send(text("one"), TOKEN)

    assert (404, 132001) == answer.error
    assert ([], []) == there(redis)
    assert 202 == (await house.send(text("one"), TOKEN)).status
    assert ["order_update"] * 2 == said(graph)


async def test_who_waited_for_a_refused_template_asks_itself(opened, graph):
    """Each caller hears of its own attempt."""
    house = await opened()
    gate = asyncio.Event()

    async def slow(_):
        await gate.wait()
        return refusal(132001, 404)

    answering(graph, {"order_update": slow})
    sends = [asyncio.create_task(house.send(text(f"{n}"), TOKEN)) for n in range(3)]
    await eventually(lambda: len(graph.arrived) == 1)
    gate.set()

    assert [(404, 132001)] * 3 == [(await send).error for send in sends]
    assert 3 == len(graph.arrived)


async def test_a_template_of_which_nobody_knows_leaves_nothing_waiting(opened, graph, redis):
    """The caller hears that it is not known, as of any send; nothing is sent twice by the gate itself."""
    house = await opened()
    answering(graph, {"order_update": reset})
    answer = await house.send(text("one"), TOKEN)

    assert (502, ["order_update"], ([], [])) == (answer.status, said(graph), there(redis))


@pytest.mark.parametrize(
    ("hold", "body", "says"),
    [
        ({"max_texts": 2}, text("three"), "As many messages as this gate holds"),
        ({"max_bytes": "150B"}, text("x" * 200), "larger than this gate holds"),
        ({}, {**text("three"), "access_token": "secret"}, "use the Authorization header"),
    ],
)
async def test_what_there_is_no_room_for_is_refused_with_advice(hold, body, says, opened, graph):
    """In Meta's shape; those that wait already wait on."""
    house = await opened(hold=hold)
    await waits(house, "one", "two")
    answer = await house.send(body, TOKEN)
    await house.wrote()
    await ended(house, 2)

    assert (400, 131047) == answer.error
    assert says in answer.json["error"]["error_data"]["details"]
    assert ["order_update", "one", "two"] == said(graph)


async def test_a_first_text_that_is_too_large_asks_for_nothing(opened, graph, redis):
    """No template is paid for it."""
    house = await opened(hold={"max_bytes": "50B"})

    assert (400, 131047) == (await house.send(text(), TOKEN)).error
    assert ([], ([], [])) == (said(graph), there(redis))


@pytest.mark.parametrize(("before", "verdict", "price"), [((), "rewrite", "0.055"), (("one",), "block", None)])
async def test_a_dry_run_says_what_would_happen(before, verdict, price, opened, graph, redis):
    """And holds nothing."""
    house = await opened()
    await waits(house, *before)
    kept = there(redis), len(graph.arrived)
    answer = await house.send(text("two"), TOKEN, DRY)

    assert (200, verdict, price, True) == (answer.status, *(answer.json.get(name) for name in ("verdict", "price", "held")))
    assert kept == (there(redis), len(graph.arrived))
    assert None is answer["Gatekeeper-Held"]


async def test_a_dry_run_of_what_cannot_wait_says_so(opened):
    """It is the block that it would be."""
    house = await opened(hold={"max_texts": 1})
    await waits(house, "one")
    answer = await house.send(text("two"), TOKEN, DRY)

    assert (200, "block", 131047, None) == (answer.status, *(answer.json.get(name) for name in ("verdict", "error_code", "held")))


async def test_a_repeat_gets_the_same_answer_and_waits_once(opened, graph):
    """It is the same text."""
    house = await opened()
    first, again = [await house.send(text("one"), TOKEN, ("Idempotency-Key", "k")) for _ in range(2)]
    await house.wrote()
    await ended(house)

    assert (202, first.body, first["Location"], "true") == (
        again.status,
        again.body,
        again["Location"],
        again["Gatekeeper-Idempotent-Replay"],
    )
    assert ["order_update", "one"] == said(graph)
    assert [] == graph.arrived[-1].header("Idempotency-Key")


# ------------------------------------------------------------------------------------------------------- going out


async def test_when_the_recipient_answers_everything_goes_out_in_its_order(opened, graph):
    """Each as an ordinary send, decided and logged by its caller's name."""
    house = await opened()
    words = [f"{n}" for n in range(10)]
    answers = []
    for n, one in enumerate(words):
        answers += await waits(house, one, headers=(TOKEN, ("Gatekeeper-Caller", f"caller {n}")))
    await house.wrote()
    await ended(house, 10)
    lines = house.logged("decision")[10:]

    assert ["order_update", *words] == said(graph)
    assert [("sent", f"wamid.{n + 2}") for n in range(10)] == [await status(house, answer) for answer in answers]
    assert [("allow", "within_free_tier", f"caller {n}") for n in range(10)] == [
        tuple(line[name] for name in ("verdict", "reason", "caller")) for line in lines
    ]


async def test_what_goes_out_is_charged_as_what_it_is(opened, redis):
    """Beyond the free tier a service message costs."""
    house = await opened(account={"opening": [{"month": "2026-11", "phone_number_id": NUMBER, "free_used": 1000}]})
    await eventually(lambda: bool(redis.keys("*meter*")))
    await waits(house, "one")
    await house.wrote()
    await ended(house)
    line = house.logged("decision")[-1]

    assert ("service", True, "charged_message") == (line["category"], line["charged"], line["reason"])


async def test_a_call_is_an_answer_too(opened, graph):
    """It opens the window as a message does."""
    house = await opened()
    await waits(house, "one")
    call = {
        "id": "wacid.1",
        "from": USER,
        "to": "1",
        "event": "connect",
        "direction": "USER_INITIATED",
        "timestamp": str(NOON // SECOND),
    }
    await house.changed({"contacts": [{"wa_id": USER}], "calls": [call]}, field="calls")
    await ended(house)

    assert ["order_update", "one"] == said(graph)


@pytest.mark.parametrize("event", ["another user", "another number", "delivered", "reaction", "long ago"])
async def test_what_opens_no_window_lets_nothing_out(event, opened, graph):
    """Nor does anybody else's answer."""
    house = await opened()
    await waits(house, "one")
    if event == "another user":
        await house.wrote(user=OTHER)
    elif event == "another number":
        value = {"metadata": {"phone_number_id": "99"}, "contacts": [{"wa_id": USER}]}
        message = {"from": USER, "id": "w", "timestamp": str(NOON // SECOND), "type": "text", "text": {"body": "hello"}}
        await house.changed({**value, "messages": [message]})
    elif event == "delivered":
        await house.status("wamid.1", "delivered")
    elif event == "reaction":
        await house.wrote(type="reaction", reaction={"message_id": "wamid.1", "emoji": "🙂"})
    else:
        await house.wrote(at=NOON - 25 * HOUR)
    await looked(house)

    assert ["order_update"] == said(graph)


async def test_meta_does_not_wait_for_what_goes_out(opened, graph):
    """The webhook is answered before the first text is."""
    house = await opened()
    gate = asyncio.Event()

    async def slow(_):
        await gate.wait()
        return web.json_response({"messages": [{"id": "wamid.slow"}]})

    answering(graph, {"one": slow})
    await waits(house, "one")
    webhook = await house.wrote()
    await eventually(lambda: len(graph.arrived) == 2)
    waiting = await status(house, await house.send(text("probe", to=OTHER), TOKEN))
    gate.set()
    await ended(house)

    assert (200, ("waiting", None)) == (webhook.status, waiting)


async def test_one_recipients_slow_upstream_holds_up_nobody_else(opened, graph):
    """Each list is a course of its own."""
    house = await opened()
    gate = asyncio.Event()

    async def slow(_):
        await gate.wait()
        return web.json_response({"messages": [{"id": "wamid.slow"}]})

    answering(graph, {"one": slow})
    await waits(house, "one")
    [other] = await waits(house, "two", to=OTHER)
    await house.wrote()
    await house.wrote(user=OTHER)
    await ended(house)

    assert "sent" == (await status(house, other))[0]
    gate.set()
    await ended(house, 2)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        pytest.param(told(131026), ("failed", 131026), id="refused"),
        pytest.param(told(131000, 500), ("failed", 131000), id="refused by a fault in Graph's shape"),
        pytest.param(reset, ("unknown", None), id="broken off"),
        pytest.param(lambda _: _plain(503), ("unknown", None), id="a fault without Graph's shape"),
        pytest.param(lambda _: _plain(404), ("failed", 404), id="refused without Graph's shape"),
        pytest.param(lambda _: _plain(200), ("sent", None), id="taken without a word"),
    ],
)
async def test_what_becomes_of_one_text_does_not_stop_the_next(answer, state, opened, graph):
    """And it is sent no second time, whatever became of it."""
    house = await opened()
    answering(graph, {"one": answer})
    first, second = await waits(house, "one", "two")
    await house.wrote()
    await ended(house, 2)
    await looked(house, at=NOON + HOUR)

    assert ["order_update", "one", "two"] == said(graph)
    assert [state, "sent"] == [await status(house, first), (await status(house, second))[0]]


async def _plain(code):
    return web.Response(status=code, text="…")


async def test_meta_is_asked_only_for_what_is_read(opened, graph, redis):
    """By the template that asks, and by the text when it goes out; one that the version before kept is no exception."""
    house = await opened()
    await waits(house, "one", headers=(TOKEN, ("Accept-Encoding", "gzip, br")))
    [key] = redis.keys("gk:*:text:*")
    kept = msgspec.msgpack.decode(redis.hget(key, "request"))
    kept[2] = [[name, "gzip, br"] if name == "Accept-Encoding" else [name, value] for name, value in kept[2]]
    redis.hset(key, "request", msgspec.msgpack.encode(kept))
    await house.wrote()
    await ended(house)

    assert (["order_update", "one"], [["gzip"]] * 2) == (said(graph), [one.header("Accept-Encoding") for one in graph.arrived])


@pytest.mark.parametrize("answer", ["br", "reset"])
async def test_a_text_without_an_answer_that_can_be_read_finds_its_statuses(answer, opened, graph, redis):
    """What became of it on the bill is what they say."""

    async def unread(_):
        return web.Response(body=b"?", headers={"Content-Encoding": "br"})

    house = await opened()
    answering(graph, {"one": [unread if answer == "br" else reset]})
    await waits(house, "one")
    await house.wrote()
    await ended(house)
    before = redis.zcard(keys.lapsing(WABA))
    await house.status("wamid.x", "delivered")

    assert (1, 0, 1) == (before, redis.zcard(keys.lapsing(WABA)), redis.exists(keys.message(WABA, "wamid.x")))
    assert (1 if answer == "br" else 0) == len(house.logged("answer_unnamed"))


@pytest.mark.parametrize("code", [4, 80007, 130429, 131056])
async def test_a_text_that_came_too_fast_is_sent_a_while_later(code, opened, graph):
    """Meta did not take it; those behind it keep their places."""
    house = await opened()
    answering(graph, {"one": [told(code)]})
    first, _ = await waits(house, "one", "two")
    await house.wrote()
    await eventually(lambda: len(house.logged("decision")) == 3)
    await looked(house)
    early = said(graph), await status(house, first)
    await looked(house, at=NOON + PUT_BACK)

    assert (["order_update", "one"], ("waiting", None)) == early
    assert ["order_update", "one", "one", "two"] == said(graph)


async def test_a_window_that_meta_says_is_shut_is_waited_for(opened, graph):
    """The text was not sent; with the next answer it is, and not before."""
    house = await opened()
    answering(graph, {"one": [told(131047)]})
    first, _ = await waits(house, "one", "two")
    await house.wrote()
    await eventually(lambda: len(house.logged("decision")) == 3)
    await looked(house, at=NOON + HOUR)
    early = said(graph), await status(house, first)
    await house.wrote()
    await ended(house, 2)

    assert (["order_update", "one"], ("waiting", None)) == early
    assert ["order_update", "one", "one", "two"] == said(graph)


async def test_a_pace_of_ours_holds_a_text_back_and_does_not_lose_it(opened, graph):
    """The limit's own wait is waited."""
    house = await opened(policy={"limits": {"throughput": 1}})
    first, second = await waits(house, "one", "two")
    house.now += SECOND
    await house.wrote()
    await ended(house)
    early = said(graph), await status(house, second)
    await looked(house, at=NOON + PUT_BACK + SECOND)

    assert (["order_update", "one"], ("waiting", None)) == early
    assert ["order_update", "one", "two"] == said(graph)
    assert "sent" == (await status(house, first))[0]


async def test_rules_and_budgets_apply_when_a_text_goes_out(opened, graph):
    """What they refuse is refused for good, and said by its code."""
    rule = {"name": "quiet", "category": ["service"], "caller": ["crm"]}
    house = await opened(policy={"rule": [rule]})
    [first] = await waits(house, "one", headers=(TOKEN, ("Gatekeeper-Caller", "crm")))
    [second] = await waits(house, "two")
    await house.wrote()
    await ended(house, 2)

    assert [("failed", 900001), "sent"] == [await status(house, first), (await status(house, second))[0]]
    assert ["order_update", "two"] == said(graph)
    assert ("block", "policy_rule", "crm") == tuple(house.logged("decision")[2][name] for name in ("verdict", "reason", "caller"))


async def test_a_budget_lets_out_as_many_as_it_pays_for(opened, graph, redis):
    """The template first, then texts beyond the free tier."""
    house = await opened(
        account={"opening": [{"month": "2026-11", "phone_number_id": NUMBER, "free_used": 1000}]},
        policy={"budget": [{"name": "b", "scope": "waba", "period": "day", "limit": "0.16"}]},
    )
    await eventually(lambda: bool(redis.keys("*meter*")))
    answers = await waits(house, "one", "two", "three")
    await house.wrote()
    await ended(house, 3)
    spent = sum(float(line["price"]) for line in house.logged("decision") if line["verdict"] in ("allow", "rewrite"))

    assert [("sent"), ("failed", 900002)] == [(await status(house, answers[0]))[0], await status(house, answers[2])]
    assert spent <= 0.16
    assert len(said(graph)) == sum(line["upstream_status"] == 200 for line in house.logged("decision"))


# ------------------------------------------------------------------------------------------------ time, and the gate


@pytest.mark.parametrize(("at", "state"), [(DAY - SECOND, "sent"), (DAY, "expired")])
async def test_a_text_waits_until_its_deadline(at, state, opened, graph):
    """An answer that comes later finds nothing."""
    house = await opened()
    [answer] = await waits(house, "one")
    house.now = NOON + at
    await house.wrote()
    await ended(house)

    assert state == (await status(house, answer))[0]
    assert (["order_update", "one"] if state == "sent" else ["order_update"]) == said(graph)


async def test_a_text_expires_without_anybodys_answer(opened, redis):
    """What it said is forgotten at once, and what became of it is told for a while."""
    house = await opened(hold={"deadline": "1h"})
    [answer] = await waits(house, "one")
    await looked(house, at=NOON + HOUR)
    [kept] = there(redis)[1]

    assert ("expired", None) == await status(house, answer)
    assert ([], {b"state", b"deadline"}) == (there(redis)[0], set(redis.hkeys(kept)))


async def test_after_a_list_is_empty_the_recipient_is_asked_anew(opened, graph):
    """A day later it is another conversation."""
    house = await opened()
    await waits(house, "one")
    await house.wrote()
    await ended(house)
    house.now = NOON + DAY
    await waits(house, "two")

    assert ["order_update", "one", "order_update"] == said(graph)


async def test_a_change_of_the_policy_leaves_what_waits_as_it_was(opened, graph):
    """Its deadline stands; a policy that holds nothing any more still lets it out, and no longer tells where it is."""
    house = await opened()
    [answer] = await waits(house, "one")
    engine = house.gate.engine
    engine.follow(msgspec.structs.replace(engine.settings, policy=parse({}, name="t", environment={}).policy), engine.book)
    house.now = NOON + 23 * HOUR
    await house.wrote()
    await ended(house)

    assert ["order_update", "one"] == said(graph)
    refused = await house.send(text("two", to=OTHER), TOKEN)
    assert (400, 131047) == refused.error
    await house.ask("GET", answer["Location"])
    assert answer["Location"] == graph.arrived[-1].target


async def test_a_shorter_deadline_is_for_what_comes_later(opened, open_house):
    """A text keeps the one that it was told."""
    house = await opened()
    [answer] = await waits(house, "one")
    engine = house.gate.engine
    shorter = parse({"policy": {"hold": [HOLD | {"deadline": "1h"}]}}, name="t", environment={}).policy
    engine.follow(msgspec.structs.replace(engine.settings, policy=shorter), engine.book)
    [later] = await waits(house, "two")
    await looked(house, at=NOON + 2 * HOUR)

    assert [("waiting", None), ("expired", None)] == [await status(house, one) for one in (answer, later)]


async def test_what_waits_outlives_the_gate(opened, graph):
    """Another one sends it, and knows where it is."""
    house = await opened()
    answers = await waits(house, "one", "two")
    house.gate.flushing.stop(0)
    other = await opened()
    await other.wrote()
    await ended(other, 2)

    assert ["order_update", "one", "two"] == said(graph)
    assert ["sent", "sent"] == [(await status(other, answer))[0] for answer in answers]


async def test_a_gate_that_starts_sends_what_was_answered_meanwhile(opened, graph):
    """The one that heard the answer never came to it."""
    house = await opened()
    house.gate.flushing.stop(0)
    await waits(house, "one")
    await house.wrote()
    silent = said(graph)
    other = await opened()
    await ended(other)

    assert (["order_update"], ["order_update", "one"]) == (silent, said(graph))


async def test_of_two_gates_that_hear_an_answer_each_text_is_sent_by_one(opened, graph):
    """At once, and in its order."""
    gates = [await opened(), await opened()]
    words = [f"{n}" for n in range(12)]
    for n, one in enumerate(words):
        await waits(gates[n % 2], one)
    await asyncio.gather(*(gate.wrote() for gate in gates for _ in range(3)))
    await eventually(lambda: sum(len(gate.logged("held_ended")) for gate in gates) == 12)
    for gate in gates:
        await looked(gate, at=NOON + HOUR)

    assert ["order_update", *words] == said(graph)


async def test_of_two_gates_one_asks(opened, graph):
    """However many texts come to each at once."""
    gates = [await opened(), await opened()]
    answers = await asyncio.gather(*(gate.send(text(f"{n}"), TOKEN) for n in range(6) for gate in gates))

    assert [202] * 12 == [answer.status for answer in answers]
    assert ["order_update"] == said(graph)


async def test_an_upstream_that_is_not_there_is_waited_for(opened, graph):
    """What was certainly not sent waits on, up to its deadline."""
    house = await opened()
    [answer] = await waits(house, "one")
    away = await opened("http://127.0.0.1:9")
    house.gate.flushing.stop(0)
    await away.wrote()
    await eventually(lambda: bool(away.logged("decision")))
    await asyncio.gather(*await away.gate.flushing.look(NOON))
    early = await status(away, answer)
    back = await opened()
    await looked(back, at=NOON + PUT_BACK)
    await ended(back)

    assert (("waiting", None), "sent") == (early, (await status(back, answer))[0])
    assert ["order_update", "one"] == said(graph)


async def test_what_an_upstream_that_is_not_there_would_have_taken_is_given_back(opened, redis):
    """A text that is put back holds nothing."""
    house = await opened(policy={"budget": [{"name": "b", "scope": "waba", "period": "day", "limit": "9"}]})
    await waits(house, "one")
    away = await opened("http://127.0.0.1:9")
    await away.wrote()
    await eventually(lambda: bool(away.logged("decision")))
    await asyncio.gather(*await away.gate.flushing.look(NOON))

    assert ("allow", 502) == tuple(away.logged("decision")[0][name] for name in ("verdict", "upstream_status"))
    assert [] == list(redis.scan_iter("gk:*:meter:*"))


async def test_a_window_that_is_shut_while_a_text_is_decided_is_waited_for(opened, graph, redis, monkeypatch):
    """The decision has the last word on it, and it is no refusal."""
    house = await opened()
    [answer] = await waits(house, "one")
    holding = house.gate.flushing._holding
    take = holding.take

    async def taken(*where, **how):
        found = await take(*where, **how)
        redis.delete(keys.thread(WABA, NUMBER, USER))
        return found

    monkeypatch.setattr(holding, "take", taken)
    await house.wrote()
    await eventually(lambda: len(house.logged("decision")) == 2)
    await looked(house)
    early = await status(house, answer)
    monkeypatch.undo()
    await house.wrote()
    await ended(house)

    assert (("waiting", None), "sent") == (early, (await status(house, answer))[0])
    assert ["order_update", "one"] == said(graph)


def once_degraded(house, monkeypatch):
    """Let the ledger be away for the next decision that would let something out, and only for that."""
    decide = house.gate.engine.decide

    async def decided(*send, **how):
        found = await decide(*send, **how)
        if found.decision.forwards:
            monkeypatch.setattr(house.gate.engine, "decide", decide)
            return msgspec.structs.replace(found, decision=msgspec.structs.replace(found.decision, state=State.DEGRADED))
        return found

    monkeypatch.setattr(house.gate.engine, "decide", decided)


async def test_nothing_that_waits_goes_out_undecided(opened, graph, monkeypatch):
    """While the ledger is away other sends go out without it; what waits can wait."""
    house = await opened()
    await waits(house, "one")
    once_degraded(house, monkeypatch)
    await house.wrote()
    await looked(house)
    early = said(graph)
    await looked(house, at=NOON + PUT_BACK)

    assert (["order_update"], ["order_update", "one"]) == (early, said(graph))


async def test_nobody_is_asked_undecided(opened, graph, monkeypatch):
    """What could not be kept then has nothing to ask for."""
    house = await opened()
    once_degraded(house, monkeypatch)
    answer = await house.send(text("one"), TOKEN)

    assert ((400, 131047), []) == (answer.error, said(graph))


async def test_who_is_overtaken_while_it_decides_does_not_send(opened, graph, monkeypatch):
    """Its claim ended, and another gate has sent the text."""
    slow, quick = await opened(), await opened()
    [answer] = await waits(slow, "one")
    decide = slow.gate.engine.decide

    async def decided(*send, **how):
        found = await decide(*send, **how)
        await looked(quick, at=NOON + HOUR)
        return found

    monkeypatch.setattr(slow.gate.engine, "decide", decided)
    await slow.wrote()
    await ended(quick)
    await looked(slow)

    assert (["order_update", "one"], "sent") == (said(graph), (await status(quick, answer))[0])
    assert [] == slow.logged("held_ended")


async def test_a_gate_that_holds_nothing_wakes_what_others_hold(opened, graph):
    """Whichever of them hears the answer."""
    house = await opened()
    await waits(house, "one")
    other = await opened(hold=[])
    await asyncio.gather(*await other.gate.flushing.look(NOON))
    await other.wrote()
    await ended(other)

    assert ["order_update", "one"] == said(graph)


async def test_a_gate_that_starts_looks_at_everything(opened, graph):
    """Also at what nobody woke: the window was opened by a ledger's older self."""
    house = await opened()
    await waits(house, "one")
    opens = Change(kind="open", clock=Clock.CUSTOMER_SERVICE_WINDOW, at=NOON, ends=NOON + HOUR)
    await house.gate.engine.ledger.run([calls.observe(keys.thread(WABA, NUMBER, USER), [opens], now=NOON)])
    await looked(house)
    silent = said(graph)
    other = await opened()
    await ended(other)

    assert (["order_update"], ["order_update", "one"]) == (silent, said(graph))


async def test_a_ledger_that_is_away_for_a_moment_costs_nothing(opened, graph, frozen):
    """The template is out: the gate insists until its text is kept."""
    house = await opened(ledger={"timeout": "100ms"})
    away = frozen()

    async def lost(_):
        away.__enter__()
        asyncio.get_running_loop().call_later(0.7, away.__exit__, None, None, None)
        return graph.accept(graph.arrived[0].body)

    answering(graph, {"order_update": lost})
    [answer] = await waits(house, "one")
    await house.wrote()
    await ended(house)

    assert ("sent", "wamid.2") == await status(house, answer)


# ------------------------------------------------------------------------------------------------- gates that die


@pytest.fixture
async def mortal(tmp_path, redis_url, redis, remote):
    """Run a gate as a process, on the same ledger and by the world's clock; `killed` ends it without a word."""
    policy = "[[policy.hold]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in HOLD.items())
    async with gates(tmp_path) as run:

        async def start(upstream):
            redis.set(keys.watch(WABA, NUMBER), now_ms() - 2 * DAY, px=7 * DAY)
            gate = await run(written(upstream, redis_url, policy=policy))
            house = remote(gate.url, now_ms())

            async def killed():
                gate.process.kill()
                await gate.process.wait()

            house.killed = killed
            return house

        yield start


def now_ms():
    return time.time_ns() // 1_000_000


async def test_a_gate_that_dies_loses_nothing_that_waits(mortal, opened, graph):
    """Whoever is there when the recipient answers sends it."""
    house = await mortal(graph.url)
    answers = await waits(house, "one", "two")
    await house.killed()
    other = await opened(now=now_ms() + HOUR, warm=False)
    await other.wrote()
    await ended(other, 2)

    assert ["order_update", "one", "two"] == said(graph)
    assert ["sent", "sent"] == [(await status(other, answer))[0] for answer in answers]


async def test_a_gate_that_dies_while_it_asks_leaves_nothing_waiting(mortal, opened, graph):
    """Its caller was never told anything else; whoever comes next asks."""
    house = await mortal(graph.url)
    answering(graph, {"order_update": [never]})
    asking = asyncio.create_task(house.send(text("one"), TOKEN))
    await eventually(lambda: len(graph.arrived) == 1)
    await house.killed()
    with pytest.raises(asyncio.IncompleteReadError):
        await asking
    other = await opened(now=now_ms() + HOUR, warm=False)
    await waits(other, "two")
    await other.wrote()
    await ended(other)

    assert ["order_update", "order_update", "two"] == said(graph)


async def test_a_gate_that_dies_while_it_sends_leaves_it_unknown(mortal, opened, graph):
    """Nobody sends that text again, and those behind it go out."""
    house = await mortal(graph.url)
    answering(graph, {"one": never})
    first, second = await waits(house, "one", "two")
    await house.wrote(at=now_ms())
    await eventually(lambda: len(graph.arrived) == 2)
    await house.killed()
    early = await opened(now=now_ms(), warm=False)
    await looked(early)
    sending = await status(early, first), await status(early, second)
    await looked(early, at=now_ms() + HOUR)
    await ended(early, 2)

    assert (("sending", None), ("waiting", None)) == sending
    assert [("unknown", None), "sent"] == [await status(early, first), (await status(early, second))[0]]
    assert ["order_update", "one", "two"] == said(graph)


async def test_a_gate_that_dies_before_it_sends_leaves_the_text_to_others(opened, graph):
    """A claim is no sending."""
    house = await opened()
    [answer] = await waits(house, "one")
    house.gate.flushing.stop(0)
    await house.wrote()
    claims = Holding(house.gate.engine, patience_ms=10 * SECOND)
    [where], _ = await claims.due(now=NOON)
    claimed = await claims.take(where, now=NOON)
    other = await opened()
    await looked(other, at=NOON + 9 * SECOND)
    early = await status(other, answer)
    await looked(other, at=NOON + 10 * SECOND)

    assert ("claimed", ("waiting", None)) == (claimed.found, early)
    assert (["order_update", "one"], "sent") == (said(graph), (await status(other, answer))[0])
    assert not await claims.move_on(claimed, Turn.SEND, now=NOON)


async def test_a_gate_that_stops_finishes_what_it_sends(opened, graph):
    """And begins nothing more; the next gate goes on behind it."""
    house = await opened(server={"grace": "5s"})
    gate = asyncio.Event()

    async def slow(_):
        await gate.wait()
        return web.json_response({"messages": [{"id": "wamid.slow"}]})

    answering(graph, {"one": slow})
    answers = await waits(house, "one", "two")
    await house.wrote()
    await eventually(lambda: len(graph.arrived) == 2)
    house.gate.flushing.stop(5)
    gate.set()
    await ended(house)
    alone = said(graph)
    other = await opened()
    await ended(other)

    assert ["order_update", "one"] == alone
    assert [("sent", "wamid.slow"), "sent"] == [await status(other, answers[0]), (await status(other, answers[1]))[0]]


async def never(request):
    """Answer nothing as long as anybody waits for it."""
    await eventually(lambda: request.transport is None, 60)
    raise asyncio.CancelledError


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_no_text_is_sent_twice(seed, opened, graph, redis):
    """Three gates at once, answers of every kind, and sendings that are broken off: each text comes to one end, which it says."""
    rng = random.Random(seed)
    gates_ = [await opened() for _ in range(3)]
    users = [f"4915110000{n}" for n in range(4)]
    ends, held, clock = {}, {}, NOON

    async def script(request):
        body = await request.read()
        graph.keep(request, body)
        fate = rng.choices(["sent", 131026, 130429, 131047, "unknown"], [10, 2, 2, 1, 2])[0]
        if json.loads(body)["type"] != "template" and fate not in (130429, 131047):
            ends.setdefault(word(body), []).append({131026: "failed"}.get(fate, fate))
        if fate == "unknown":
            return await reset(request)
        return graph.accept(body) if fate == "sent" else refusal(fate)

    async def sent(name):
        answer = await rng.choice(gates_).send(text(name, to=rng.choice(users)), TOKEN)
        held.update({name: answer} if answer.status == 202 else {})

    async def looks(step):
        nonlocal clock
        clock += step
        for gate in gates_:
            gate.now = clock
        return [task for gate in gates_ for task in await gate.gate.flushing.look(clock)]

    graph.script = script
    for step in range(12):
        courses = [sent(f"{step}.{n}") for n in range(rng.randint(0, 5))]
        courses += [rng.choice(gates_).wrote(user=rng.choice(users)) for _ in range(rng.randint(0, 2))]
        await asyncio.gather(*courses)
        for task in await looks(rng.choice([SECOND, PUT_BACK, HOUR])):
            if rng.random() < 0.3:
                task.cancel()
    for _ in range(40):
        await asyncio.gather(*(gates_[0].wrote(user=user) for user in users), *await looks(2 * PUT_BACK), return_exceptions=True)
    states = {name: (await status(gates_[0], answer))[0] for name, answer in held.items()}

    assert [] == [name for name, found in ends.items() if len(found) > 1]
    assert {"sent", "failed", "unknown", "expired"} >= set(states.values())
    assert {} == {
        name: (state, ends.get(name))
        for name, state in states.items()
        if (state in ("sent", "failed") and ends.get(name) != [state]) or (state == "expired" and name in ends)
    }
    assert [] == there(redis)[0]


# --------------------------------------------------------------------------------------------------------- names


async def test_who_answers_under_another_name_is_the_same_recipient(opened, graph):
    """The template's own status tells both names; then the webhook of the answer names one."""
    house = await opened()
    await waits(house, "one")
    await house.status("wamid.1", "delivered", recipient_user_id=BSUID)
    await looked(house)
    await waits(house, "two")
    await house.changed(
        {
            "contacts": [{"user_id": BSUID}],
            "messages": [
                {
                    "from_user_id": BSUID,
                    "id": "wamid.i",
                    "timestamp": str(NOON // SECOND),
                    "type": "text",
                    "text": {"body": "a"},
                }
            ],
        }
    )
    await ended(house, 2)

    assert ["order_update", "one", "two"] == said(graph)


async def test_a_group_is_a_recipient_too(opened, graph):
    """Any member's answer opens its window; a message of that member's own opens another."""
    house = await opened()
    [answer] = await waits(house, "one", to="group-1", recipient_type="group")
    await house.wrote()
    await looked(house)
    alone = said(graph)
    await house.wrote(group_id="group-1")
    await ended(house)

    assert (["order_update"], "group") == (alone, json.loads(graph.arrived[0].body)["recipient_type"])
    assert (["order_update", "one"], "sent") == (said(graph), (await status(house, answer))[0])


@pytest.mark.parametrize("dialled", ["+49 1511 2345678", "4915112345678", "+4915112345678"])
async def test_all_spellings_of_a_number_are_one_recipient(dialled, opened, graph):
    """Each caller hears its own spelling again."""
    house = await opened()
    await waits(house, "one")
    [answer] = await waits(house, "two", to=dialled)

    assert ["order_update"] == said(graph)
    assert [{"input": dialled, "wa_id": USER}] == answer.json["contacts"]


# -------------------------------------------------------------------------------------------- tokens and secrets


async def test_the_account_sends_by_its_own_token_and_none_is_kept(opened, graph, redis):
    """The caller's was taken by Meta when the template went out, so it may send."""
    house = await opened(account={"access_token": "the-accounts"})
    await waits(house, "one", "two")
    kept = [redis.hgetall(one) for one in there(redis)[1]]
    await house.wrote()
    await ended(house, 2)
    sends = [one for one in graph.arrived if one.target == SENDS]

    assert [b"the-callers" in b"".join(one.values()) for one in kept] == [False, False]
    assert ["Bearer the-callers", "Bearer the-accounts", "Bearer the-accounts"] == [
        one.header("Authorization")[0] for one in sends
    ]


async def test_who_could_not_have_asked_does_not_send_by_the_accounts_token(opened, graph):
    """A token that Meta never saw goes with its own text, and Meta judges it."""
    house = await opened(account={"access_token": "the-accounts"})
    await waits(house, "one")
    await waits(house, "two", headers=(("Authorization", "Bearer made up"),))
    await waits(house, "three", headers=())
    await house.wrote()
    await ended(house, 3)
    sends = [one for one in graph.arrived if one.target == SENDS][1:]

    assert [["Bearer the-accounts"], ["Bearer made up"], []] == [one.header("Authorization") for one in sends]


async def test_an_account_that_lends_its_token_lends_it_to_what_waits(opened, graph, redis):
    """Its callers bring keys, and no token that could be kept."""
    caller = {"name": "crm", "key": "0123456789abcdef0123456789abcdef"}
    house = await opened(account={"access_token": "the-accounts", "inject_token": True}, caller=[caller])
    key = ("Gatekeeper-Key", caller["key"])
    await waits(house, "one", headers=(key,))
    await waits(house, "two", headers=(key, ("Authorization", "Bearer made up")))
    kept = b"".join(b"".join(redis.hgetall(one).values()) for one in there(redis)[1])
    await house.wrote()
    await ended(house, 2)
    sends = [one for one in graph.arrived if one.target == SENDS]

    assert [["Bearer the-accounts"]] * 3 == [one.header("Authorization") for one in sends]
    assert [False, False] == [word in kept for word in (b"made up", caller["key"].encode())]


async def test_a_token_in_the_query_is_one_too(opened, graph, redis):
    """It goes out again as it came, unless the account has its own."""
    house = await opened(account={"access_token": "the-accounts"})
    await house.send(text("one"), path=f"{SENDS}?access_token=the-callers&a=b")
    kept = b"".join(b"".join(redis.hgetall(one).values()) for one in there(redis)[1])
    await house.wrote()
    await ended(house)

    assert b"the-callers" not in kept
    assert [f"{SENDS}?access_token=the-callers&a=b", f"{SENDS}?a=b"] == [
        one.target for one in graph.arrived if "messages" in one.target and "template" not in one.target
    ]


async def test_neither_content_nor_token_reaches_the_log(opened, graph):
    """Nor a whole number, whatever becomes of the text."""
    house = await opened()
    answering(graph, {"a secret": [told(131026)]})
    await waits(house, "a secret", "another secret")
    await house.wrote()
    await ended(house, 2)
    written = house.written.getvalue()

    assert [] == [word for word in ("secret", "the-callers", USER) if word in written]


async def test_what_becomes_of_texts_is_logged_and_counted(opened, graph):
    """By its id, and by the decision that let it out."""
    house = await opened()
    answering(graph, {"one": told(131026)})
    answers = await waits(house, "one", "two")
    await house.wrote()
    await ended(house, 2)
    await looked(house)
    metrics = (await house.admin("/metrics")).body.decode()
    lines = house.logged("held_ended")

    assert [(answers[0]["Gatekeeper-Held"], "failed", 131026), (answers[1]["Gatekeeper-Held"], "sent", None)] == [
        (line["id"], line["state"], line["code"]) for line in lines
    ]
    assert [line["id"] for line in house.logged("decision")[2:]] == [line["decision"] for line in lines]
    assert [answer["Gatekeeper-Held"] for answer in answers] == [line["id"] for line in house.logged("held")]
    for outcome, count in (("held", 2), ("failed", 1), ("sent", 1)):
        assert f'gatekeeper_held_texts_total{{outcome="{outcome}"}} {count}.0' in metrics
    assert "gatekeeper_held_recipients 0.0" in metrics


async def test_recipients_that_are_waited_for_are_counted(opened):
    """Not their texts."""
    house = await opened()
    await waits(house, "one", "two")
    await waits(house, "three", to=OTHER)
    await looked(house)

    assert "gatekeeper_held_recipients 2.0" in (await house.admin("/metrics")).body.decode()


# --------------------------------------------------------------------------------------------------------- asking


async def test_where_a_text_is_says_nothing_of_what_it_is(opened):
    """Its state, its deadline, and how it ended."""
    house = await opened()
    [answer] = await waits(house, "one")
    found = await house.ask("GET", answer["Location"])

    assert {
        "id": answer["Gatekeeper-Held"],
        "state": "waiting",
        "until": (NOON + DAY) // SECOND,
        "wamid": None,
        "code": None,
    } == found.json
    assert (200, "no-store") == (found.status, found["Cache-Control"])


@pytest.mark.parametrize(
    "made", ["", "x", f"{WABA}-", f"{WABA}-{'0' * 32}", f"{NUMBER}-{'0' * 32}", "../../v23.0/me", "%2e%2e/x"]
)
async def test_nobody_is_told_of_an_id_that_was_never_given(made, opened, graph):
    """In Graph's shape, as every error here; and nothing goes on to Meta."""
    house = await opened()
    answer = await house.ask("GET", f"/gatekeeper/held/{made}")

    assert ((404, 100), []) == (answer.error, said(graph))


async def test_a_text_can_only_be_asked_for(opened, graph):
    """There is nothing else that could be done to it."""
    house = await opened()
    [answer] = await waits(house, "one")
    refused = await house.ask("DELETE", answer["Location"])

    assert ((405, 100), "GET, HEAD", 1) == (refused.error, refused["Allow"], len(graph.arrived))
    assert 200 == (await house.ask("HEAD", answer["Location"])).status


async def test_without_a_hold_the_path_is_metas(open_house, graph):
    """As any path that is not a send's."""
    house = await open_house(graph.url)
    await house.ask("GET", "/gatekeeper/held/x")

    assert ["/gatekeeper/held/x"] == [one.target for one in graph.arrived]
