"""Hostile webhooks: what nobody signed, what is said again, and what no webhook of Meta's would hold."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

import pytest

WABA, NUMBER, USER = "102290129340398", "106540352242922", "4915112345678"
SIGNATURE = "X-Hub-Signature-256"
HOUR, DAY = 3_600_000, 86_400_000
MANY = 150


def signed(body: bytes, secret: str = "the-app-secret") -> tuple[str, str]:
    return SIGNATURE, "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def whole(value: object, *, field: str = "messages", waba: object = WABA) -> bytes:
    entry = {"id": waba, "changes": [{"field": field, "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def message(house, **more: object) -> dict[str, object]:
    return {"from": USER, "id": "wamid.in", "timestamp": str(house.now // 1000), "type": "text", "text": {"body": "hi"}, **more}


def value(number: object = NUMBER, **more: object) -> dict[str, object]:
    return {"messaging_product": "whatsapp", "metadata": {"phone_number_id": number}, **more}


FORGERIES = {
    "of another body": lambda body: [signed(body + b" ")],
    "of the body without its end": lambda body: [signed(body[:-1])],
    "by another secret": lambda body: [signed(body, "the-app-secret ")],
    "of nothing": lambda _: [signed(b"")],
    "of the unpacked body": lambda body: [signed(json.dumps(json.loads(body), indent=1).encode())],
    "the wrong one first": lambda body: [signed(b"x"), signed(body)],
    "two in one": lambda body: [(SIGNATURE, f"{signed(b'x')[1]}, {signed(body)[1]}")],
    "in capitals": lambda body: [(SIGNATURE, signed(body)[1].upper())],
    "of SHA-1": lambda body: [("X-Hub-Signature", "sha1=" + hmac.new(b"the-app-secret", body, "sha1").hexdigest())],
    "not of this world": lambda _: [(SIGNATURE, "sha256=\xff\xfe")],
    "very long": lambda body: [(SIGNATURE, signed(body)[1] + "0" * 7_000)],
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
async def test_what_is_not_signed_as_it_is_changes_nothing(forged, house, redis):
    """Only the very bytes that came count, under the one header that Meta signs."""
    body = whole(value(messages=[message(house)]))
    answer = await house.ask("POST", "/webhook", forged(body), body)

    assert ((401, 100), [], []) == (answer.error, redis.keys(), house.logged("webhook"))


@pytest.mark.parametrize("path", ["/webhook/", "//webhook", "/WEBHOOK", "/webhook;x", "/./webhook", "/%2fwebhook"])
async def test_only_the_webhooks_path_is_it(path, house, graph):
    """What looks like it is a mistake, which is nobody's, changes nothing, and has a line."""
    body = whole(value(messages=[message(house)]))
    answer = await house.ask("POST", path, [signed(body)], body)

    assert ([], None) == (house.logged("webhook"), (await house.thread())["customer_service_window"])
    assert ((404, 100), [], 1) == (answer.error, graph.arrived, len(house.logged("request_rejected")))


def kept(redis) -> dict[bytes, object]:
    """Everything in the ledger, but for lifetimes."""
    readers = {
        b"hash": redis.hgetall,
        b"string": redis.get,
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
    }
    return {key: readers.get(redis.type(key), lambda key: redis.lrange(key, 0, -1))(key) for key in redis.scan_iter()}


async def test_the_same_webhook_again_changes_nothing(house, redis):
    """Meta, or whoever recorded one, may say it a hundred times: windows, settlements, names and bills stay as after the first."""
    wamid = (await house.template("spring_sale")).json["messages"][0]["id"]
    at = str(house.now // 1000)
    pricing = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"}
    status = {"id": wamid, "status": "delivered", "timestamp": at, "recipient_id": USER, "pricing": pricing}
    said = [
        whole(value(contacts=[{"wa_id": USER, "user_id": "DE.abc"}], messages=[message(house)])),
        whole(value(statuses=[status])),
        whole(value(user_preferences=[{"wa_id": USER, "value": "stop", "timestamp": at}]), field="user_preferences"),
        whole(
            {"message_template_name": "spring_sale", "message_template_language": "en_US", "event": "PAUSED"},
            field="message_template_status_update",
        ),
    ]
    for body in said:
        await house.webhook(body)
    before, bill = kept(redis), (await house.admin(f"/v1/spend?waba_id={WABA}&month=2026-11")).json
    answers = [await house.webhook(body) for _ in range(3) for body in reversed(said)]
    after = kept(redis)

    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert ({200}, set()) == ({answer.status for answer in answers}, {key for key in changed if b":templates:" not in key})
    assert bill == (await house.admin(f"/v1/spend?waba_id={WABA}&month=2026-11")).json
    assert "1" == bill_of(bill)


def bill_of(bill: dict[str, object]) -> str:
    """How many messages a bill has settled, by their price."""
    settled, predicted = bill["settled"]["total"], bill["predicted"]["total"]
    return "1" if settled == predicted != "0" else f"{settled} of {predicted}"


async def test_a_member_that_comes_twice_counts_as_it_came_last(house):
    """As in Meta's own parsers; the first one opens nothing."""
    body = whole(value(messages=[message(house)])).decode()
    body = body.replace(f'"from": "{USER}"', f'"from": "{USER}", "from": "4915100000000"')
    answer = await house.webhook(body.encode())

    assert (200, None) == (answer.status, (await house.thread())["customer_service_window"])


NAMES = {
    "zero": "a\0b",
    "line": "a\r\nb\n",
    "unicode": "\u202e\U0001f600\u2028",
    "surrogate": "\ud83d",
    "brace": "}{",
    "blank": " ",
    "colon": "1:thread:2:3",
    "glob": "*?[a]",
    "percent": "%s%n{0}",
    "long": "9" * 3_000,
    "endless": "x" * 1_000_000,
    "number": 10**29,
    "negative": -1,
    "float": 1e300,
    "null": None,
    "list": [USER],
    "object": {"id": USER},
    "true": True,
}


def odd(house, name: object) -> list[bytes]:
    """Webhooks in which a name stands wherever a name may."""
    at = str(house.now // 1000)
    return [
        whole(value(messages=[message(house, **{"from": name}), message(house)])),
        whole(value(messages=[message(house, id=name, type=name, from_user_id=name), message(house)])),
        whole(value(messages=[message(house, group_id=name), message(house)])),
        whole(value(contacts=[{"wa_id": name, "user_id": name}], messages=[message(house), message(house)])),
        whole(value(name, messages=[message(house)])),
        whole(value(messages=[message(house)]), waba=name),
        whole(value(statuses=[{"id": name, "status": "delivered", "timestamp": at, "recipient_id": name}])),
        whole(value(statuses=[{"id": "w", "status": name, "timestamp": at, "recipient_user_id": name}])),
        whole(value(statuses=[{"id": "w", "status": "read", "recipient_type": "group", "recipient_participant_id": name}])),
        whole(value(statuses=[{"id": "w", "status": "sent", "pricing": {"category": name}, "conversation": {"id": name}}])),
        whole(value(user_id_update=[{"user_id": {"current": name, "previous": name}, "wa_id": name}]), field="user_id_update"),
        whole(value(user_preferences=[{"wa_id": name, "user_id": name, "value": "stop"}]), field="user_preferences"),
        whole(
            {"recipient": {"phone_number_id": name}, "sender": {"phone_number": name}, "control_taken": {}},
            field="messaging_handovers",
        ),
        whole(
            {"message_template_name": name, "message_template_language": name, "event": "APPROVED"},
            field="message_template_status_update",
        ),
        whole(value(messages=[message(house)]), field=name if isinstance(name, str) else "messages"),
    ]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
async def test_no_name_is_too_odd(name, house, redis):
    """Every webhook is taken in, what stands beside the name counts, and neither keys nor lines are made of what has no end."""
    answers = [await house.webhook(body) for body in odd(house, name)]
    window = (await house.thread())["customer_service_window"]

    assert ({200}, True) == ({answer.status for answer in answers}, window is not None)
    assert (True, True) == (max(map(len, redis.keys())) < 10_000, max(map(len, house.written.getvalue().split("\n"))) < 20_000)
    assert len(house.lines) == house.written.getvalue().count("\n")


@pytest.mark.parametrize("part", ["entry", "changes", "messages", "statuses"])
async def test_a_webhook_of_nothing_but_noise_is_a_few_lines(part, house):
    """However many bad items are in one, the log says where the first ones are, and how many there were."""
    noise: object = {part: [0] * 10_000}
    body = {
        "entry": lambda: json.dumps(noise).encode(),
        "changes": lambda: json.dumps({"entry": [noise]}).encode(),
    }.get(part, lambda: whole(value(**noise)))()
    answer = await house.webhook(body)
    [line] = house.logged("webhook")

    assert (200, {"broken": 10_000}) == (answer.status, line["kinds"])
    assert len(house.lines) < 30


async def test_words_that_meta_never_said_are_no_labels(house):
    """A hundred categories, kinds and templates of one day make the metrics no longer than a few."""

    async def series() -> int:
        return len(
            re.findall(
                rb"^gatekeeper_(?:decisions|settlements|webhook_events|drift)", (await house.admin("/metrics")).body, re.MULTILINE
            )
        )

    async def told(n: int) -> None:
        wamid = (await house.template("order_update")).json["messages"][0]["id"]
        pricing = {"pricing_model": "CBP", "category": f"category_{n}"}
        conversation = {"id": "c", "origin": {"type": f"category_{n}"}, "expiration_timestamp": str(house.now // 1000 + 3_600)}
        await house.status(wamid, "delivered", pricing=pricing, conversation=conversation)
        await house.changed({"messages": [message(house, type=f"type_{n}")]}, field="messages")
        await house.changed({"a": n}, field=f"field_{n}")

    for n in range(70):
        await told(n)
    before = await series()
    for n in range(70, 140):
        await told(n)

    assert before == await series()


async def test_numbers_that_nobody_has_leave_little(house, redis):
    """A send from a number that no account names leaves a few keys that end; nothing of it is remembered by the process."""
    directory = house.gate.engine.directory
    body = json.dumps(
        {
            "messaging_product": "whatsapp",
            "to": USER,
            "type": "template",
            "template": {"name": "order_update", "language": {"code": "en_US"}},
        }
    ).encode()
    answers = [await house.send(body, path=f"/v23.0/{10**12 + n}/messages") for n in range(MANY)]
    kept_by_process = [len(vars(directory)[name]) for name in ("_learned", "_billed", "_own")]

    assert {200} == {answer.status for answer in answers}
    assert redis.dbsize() <= 4 * MANY
    assert (True, True) == (kept_by_process[0] == 0, kept_by_process[1] <= 2 * MANY)
    assert all(redis.ttl(key) <= 400 * 24 * 3_600 for key in redis.scan_iter())


TIMES = {
    "seconds ahead": (lambda now: now // 1000 + 5, DAY + 5_000),
    "an hour ahead": (lambda now: now // 1000 + 3_600, DAY + HOUR),
    "two days ahead": (lambda now: now // 1000 + 2 * 86_400, DAY),
    "a year ahead": (lambda now: now // 1000 + 365 * 86_400, DAY),
    "as far ahead as can be": (lambda _: 10**11, DAY),
    "in milliseconds": (lambda now: now, DAY),
    "in milliseconds, years ahead": (lambda now: now + 10**12, DAY),
    "a fraction": (lambda now: now / 1000 - 0.5, DAY - 500),
    "a fraction as text": (lambda now: f"{now // 1000}.0", DAY),
    "a day late, but for a second": (lambda now: now // 1000 - 86_399, 1_000),
    "a day late": (lambda now: now // 1000 - 86_400, None),
    "a week late": (lambda now: now // 1000 - 7 * 86_400, None),
    **{
        f"{time!r}"[:20]: (lambda _, time=time: time, None)
        for time in (None, "", "0", 0, -1, "-1", "now", "1e9999", "NaN", [], {}, True, 10**20, "9" * 5_000, 1e308)
    },
}


async def test_a_window_ends_by_a_time_that_can_be(house):
    """Meta's own time counts, unless it lies so far ahead that no clock can be so wrong: a window of years would never shut."""
    expected, found = {}, {}
    for n, (name, (when, ends)) in enumerate(TIMES.items()):
        user = f"49151{n:08}"
        answer = await house.changed({"messages": [message(house, timestamp=when(house.now)) | {"from": user}]})
        window = (await house.admin(f"/v1/threads/{NUMBER}/{user}")).json["customer_service_window"]
        expected[name] = (200, ends and (house.now + ends) // 1000)
        found[name] = (answer.status, window and window["expires"])

    assert expected == found


@pytest.mark.parametrize(
    ("timestamp", "month"),
    [
        pytest.param(lambda now: str(now // 1000), "2026-11", id="now"),
        pytest.param(lambda now: str(now // 1000 + 400 * 86_400), "2026-11", id="next year"),
        pytest.param(str, "2026-11", id="in milliseconds"),
        pytest.param(lambda _: None, "2026-11", id="none"),
        pytest.param(lambda _: "soon", "2026-11", id="a word"),
    ],
)
async def test_a_delivery_is_on_the_bill_of_a_month_that_can_be(timestamp, month, house):
    """What was delivered has to be paid, whatever its time says: next year it was not."""
    wamid = (await house.template("spring_sale")).json["messages"][0]["id"]
    await house.status(wamid, "delivered", timestamp=timestamp(house.now))
    bill = (await house.admin(f"/v1/spend?waba_id={WABA}&month={month}")).json

    assert ("1", 0) == (bill_of(bill), bill["open"]["sends"])


@pytest.mark.parametrize("ends", [10**11, 10**10, "4102444800"])
async def test_an_end_that_is_years_away_is_not_believed(ends, house):
    """Meta says when a conversation ends; none lasts for years."""
    wamid = (await house.template("order_update")).json["messages"][0]["id"]
    conversation = {"id": "c", "origin": {"type": "referral_conversion"}, "expiration_timestamp": ends}
    pricing = {"pricing_model": "CBP", "category": "referral_conversion"}
    await house.status(wamid, "delivered", conversation=conversation, pricing=pricing)
    point = (await house.thread())["free_entry_point"]

    assert None is point or point["expires"] <= house.now // 1000 + 72 * 3_600
