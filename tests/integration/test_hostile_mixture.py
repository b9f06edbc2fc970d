"""A gate that hears nothing but spoilt requests for a while: it never fails, and never tells what it heard."""

from __future__ import annotations

import copy
import json
import random
from typing import Any
from urllib.parse import quote

import pytest
from conftest import ask

NUMBER, USER, WABA = "106540352242922", "4915112345678", "102290129340398"
SENDS = f"/v23.0/{NUMBER}/messages"
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e308, 2**63, 10**30, "", " ", "9" * 300, "\0", "\r\n", "\ud800", "x" * 5_000, [], {}, [[]]),
    *([None] * 9, {"": None}, {"id": {"id": {}}}, "unknown", "marketing", "regular", "free_entry_point", "en_US", "1794312000"),
)
RAW = ("NaN", "-Infinity", "1e99999", "9" * 400, '"\\ud800"', "[" * 2_000, "nul", '"')
MARK = "@@@"


def spoilt(value: Any, chance: random.Random) -> bytes:
    """The JSON of a value, with something odd in up to three places."""
    text = json.dumps(value)
    for _ in range(chance.randint(1, 3)):
        places = [
            (holder, key) for holder in holders(value) for key in (holder if isinstance(holder, dict) else range(len(holder)))
        ]
        holder, key = chance.choice(places)
        what = chance.random()
        if what < 0.15:
            del holder[key]
        elif what < 0.3:
            holder[key] = MARK
            text = json.dumps(value).replace(f'"{MARK}"', chance.choice(RAW))
            return text.encode()
        else:
            holder[key] = copy.deepcopy(chance.choice(ODD))
        text = json.dumps(value)
        if not value:
            break
    return text.encode()[: chance.choice([None, None, None, None, -1, -9])]


def holders(value: Any) -> list[Any]:
    """Every object and list that has something in it."""
    if not isinstance(value, dict | list) or not value:
        return []
    members = value.values() if isinstance(value, dict) else value
    return [value, *(found for member in members for found in holders(member))]


def a_send(chance: random.Random, at: str) -> dict[str, Any]:
    components = [{"type": "body", "parameters": [{"type": "text", "text": "Ada"}]}]
    name = chance.choice(["order_update", "spring_sale", "one_time_code", "on_hold", "nobody_knows"])
    contents: dict[str, Any] = {
        "template": {"name": name, "language": {"code": "en_US"}, "components": components},
        "text": {"body": at, "preview_url": False},
        "image": {"link": "https://x.example/"},
        "reaction": {"message_id": "w", "emoji": "x"},
        "interactive": {"type": "button", "body": {"text": "x"}},
        "contacts": [{"name": {"formatted_name": "Ada"}}],
    }
    kind = chance.choice(list(contents))
    head = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": chance.choice([USER, "DE.abc", "1"])}
    return {**head, "type": kind, kind: contents[kind], "category": chance.choice([None, "utility"]), "recipient": "DE.abc"}


def a_webhook(chance: random.Random, at: str, wamid: str) -> dict[str, Any]:
    message = {
        "from": USER,
        "id": "w",
        "timestamp": at,
        "type": "text",
        "text": {"body": "stop"},
        "referral": {"source_type": "ad"},
    }
    pricing = {"billable": True, "pricing_model": "CBP", "category": "utility", "type": "regular"}
    conversation = {"id": "c", "origin": {"type": "utility"}, "expiration_timestamp": at}
    status = {"id": wamid, "status": "delivered", "timestamp": at, "recipient_id": USER, "pricing": pricing}
    status |= {"conversation": conversation, "errors": [{"code": 131047}], "recipient_participant_id": "1"}
    template = {"message_template_name": "spring_sale", "message_template_language": "en_US", "new_category": "UTILITY"}
    values: list[tuple[str, dict[str, Any]]] = [
        ("messages", {"contacts": [{"wa_id": USER, "user_id": "DE.abc"}], "messages": [message]}),
        ("messages", {"statuses": [status, status]}),
        ("standby", {"standby": {"messages": [message]}}),
        ("calls", {"calls": [{"id": "c", "from": USER, "event": "connect", "timestamp": at, "direction": "USER_INITIATED"}]}),
        ("user_preferences", {"user_preferences": [{"wa_id": USER, "value": "stop", "timestamp": at}]}),
        ("user_id_update", {"user_id_update": [{"user_id": {"current": "DE.b", "previous": "DE.a"}, "wa_id": USER}]}),
        ("message_template_status_update", {**template, "event": "PAUSED"}),
        ("template_category_update", {**template, "correct_category": "MARKETING", "category_update_timestamp": at}),
        ("account_update", {"event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info": {"tier": "1:2", "region": "India"}}),
        (
            "account_update",
            {"event": "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE", "auth_international_rate_eligibility": {"start_time": at}},
        ),
    ]
    field, value = chance.choice(values)
    value = json.loads(json.dumps({"metadata": {"phone_number_id": NUMBER, "display_phone_number": "1"}, **value}))
    return {"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": [{"field": field, "value": value}]}]}


ACCEPTED = json.dumps({"contacts": [{"input": USER, "wa_id": USER}], "messages": [{"id": "wamid.1"}]}).encode()
HEADERS = [
    ("Gatekeeper-Caller", "a\tb"),
    ("Idempotency-Key", "k"),
    ("Gatekeeper-Dry-Run", "true"),
    ("Content-Type", "text/plain"),
]
ADMIN = [
    *(
        "/v1/spend",
        "/v1/spend?waba_id=",
        f"/v1/spend?waba_id={'9' * 500}",
        "/v1/spend?waba_id=1&month=",
        "/v1/spend/lines?waba_id=1&month=-1",
    ),
    *(
        f"/v1/spend?waba_id={WABA}&month={month}"
        for month in ("0000-01", "0001-01", "9999-12", "2026-13", "2026-1", "%00", "%ff", "\u0661\u0662\u0663\u0664-01")
    ),
    *(
        f"/v1/threads/{number}/{user}"
        for number in (NUMBER, "0", "%00", "%0d%0a", "%ff", "}")
        for user in (USER, "%00", "%ff", "x" * 5_000)
    ),
    *(
        "/v1/policy?a=%ff",
        "/v1/accounts?%00",
        "/metrics?name[]=%ff",
        "/healthz/..",
        "/v1/threads//",
        "/%ff",
        "/v1/check",
        "/v1/forget",
    ),
]


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_that_comes_makes_a_fault(seed, open_house, wire):
    """Sends, webhooks, checks and questions with odd things in them are answered, and never by an error of ours."""
    chance = random.Random(seed)
    budget = {"name": "b", "scope": "recipient", "period": "day", "limit": "9.00"}
    rule = {"name": "r", "category": ["marketing"], "price_above": "0.1", "template": ["spring_*"], "mode": "annotate"}
    fallback = {"template": "order_update", "language": "en_US", "text_parameter": True}
    limits = {"throughput": 1_000, "pair_rate": True, "messaging_limit": 1_000}
    policy = {"rule": [rule], "budget": [budget], "fallback": [fallback], "limits": limits, "opt_out_keywords": ["stop"]}
    house = await open_house(wire.url, policy=policy | {"cold_start": "closed"})
    wire.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(ACCEPTED), ACCEPTED)
    answers = []
    for _ in range(120):
        at = str(house.now // 1000 + chance.choice([0, -5, 5, -90_000]))
        headers = chance.sample(HEADERS, chance.randint(0, 2))
        answers.append(await house.send(spoilt(a_send(chance, at), chance), *headers))
        answers.append(await house.webhook(spoilt(a_webhook(chance, at, "wamid.1"), chance)))
        question = {
            "phone_number_id": NUMBER,
            "body": a_send(chance, at),
            "caller": "a",
            "at": chance.choice([1, house.now // 1000]),
        }
        body = spoilt(question, chance)
        answers.append(await ask(house.gate.admin_url, "POST", "/v1/check", [("Content-Type", "application/json")], body))
        house.now += chance.choice([0, 1_000, -3_600_000, 90_000_000])

    assert [] == [answer.body for answer in answers if answer.status >= 500]
    assert {200, 400} <= {answer.status for answer in answers}
    assert [] == house.logged("fault")


async def test_no_question_of_operations_makes_a_fault(house):
    """Whatever stands in a path or a query."""
    answers = {target: await house.admin(quote(target, safe="/?=&%[]{}")) for target in ADMIN}
    ends = [0, 1, 59, 1_356_998_400, 253_402_300_799, 253_402_214_400, -1, 10**20, 1.5, "1", None]
    body = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "x"}}
    questions = [json.dumps({"phone_number_id": NUMBER, "body": body, "at": at}).encode() for at in ends]
    checks = [await ask(house.gate.admin_url, "POST", "/v1/check", [], question) for question in questions]

    assert {} == {target: answer.body for target, answer in answers.items() if answer.status >= 500}
    assert [] == [answer.body for answer in checks if answer.status >= 500]
    assert [] == house.logged("fault")


async def test_no_handshake_makes_a_fault(house):
    """Whatever is asked of whom; the challenge comes back as text, and as nothing else."""
    odd = ["%00", "%ff", "%0d%0aX-Split:%201", "<script>", "%F0%9F%98%80", "%ED%A0%80", "x" * 5_000, ""]
    asked = [("the-verify-token", challenge) for challenge in odd] + [(token, "1") for token in odd]
    targets = [f"/webhook?hub.mode=subscribe&hub.verify_token={token}&hub.challenge={challenge}" for token, challenge in asked]
    answers = [await house.ask("GET", target) for target in targets]

    assert [200] * len(odd) + [403] * len(odd) == [answer.status for answer in answers]
    assert [] == [name for answer in answers for name, _ in answer.headers if name.lower() == "x-split"]
    assert {"text/plain; charset=utf-8"} == {answer["Content-Type"] for answer in answers[: len(odd)]}
