"""
What became of a message is a join over all that Meta says of it: no order and no repetition of its statuses changes what it comes to.

`delivered`, `read` and `played` say that it was delivered, the earliest of them when; without any of them, `failed` that it was not.
"""

from __future__ import annotations

import io
import itertools
import json

import pytest
from story import MINUTE, ONE, OWN_NUMBER, WABA, Said, Story, cbp, h, message, pmp

from gatekeeper.core.policy import Budget, Counted, Period, Policy
from gatekeeper.core.vocabulary import Money
from gatekeeper.replay.writing import replay
from gatekeeper.settings import Settings

DAYS = ["2022-04-05", "2023-09-05", "2025-01-14", "2025-09-09", "2026-10-13"]
AT = {"sent": h(1), "failed": h(2), "delivered": h(3), "read": h(4), "played": h(5)}
HEARD = h(6)
DELIVERED = ("delivered", "read", "played")
# Every order of some of them, and in two regimes every repetition too.
ORDERS = [order for n in range(1, 5) for order in itertools.permutations(AT, n)]
REPEATED = [order for n in range(1, 5) for order in itertools.product(AT, repeat=n)]
BUDGET = Budget(name="b", scope=Counted.WABA, period=Period.MONTH, limit=Money(10**12))
CASES = [
    pytest.param(day, orders, id=f"{day} {name}")
    for day in DAYS
    for name, orders in (("orders", ORDERS), *((("repeated", REPEATED),) if day in (DAYS[1], DAYS[-1]) else ()))
]
# Of a thread, its links and lifetimes apart, and of what is counted, all is compared.
COUNTED = (":spend:", ":budget:", ":meter:", ":thread:")


def user(n: int) -> str:
    return f"49151{n:08d}"


def word(day: str, status: str) -> dict:
    """Meta's word, on every status but a failure."""
    if status == "failed":
        return {}
    if day >= "2025-07":
        return pmp("utility")
    return cbp("business_initiated" if day == DAYS[0] else "utility")


def state(redis) -> dict[str, dict[bytes, bytes]]:
    found = {
        key.decode(): redis.hgetall(key) for key in sorted(redis.scan_iter()) if any(kind in key.decode() for kind in COUNTED)
    }
    return {
        key: kept
        for key, fields in found.items()
        if (kept := {name: value for name, value in fields.items() if value != b"0" and name not in (b"said", b"exact")})
    }


async def lived(ledger, redis, day: str, orders, *, late: bool, worded: bool) -> tuple[dict[str, Said], dict]:
    """What the messages came to, one for each order of statuses, and all that is left of it: heard so, or each on time."""
    redis.flushall()
    story = Story(ledger, day, policy=Policy(budget=(BUDGET,)))
    if day == DAYS[0]:
        await story.used(1000)
    for n, order in enumerate(orders):
        sent = await story.template(h(0), to=user(n))
        for m, status in enumerate(order if late else sorted(set(order), key=AT.__getitem__)):
            more = word(day, status) if worded else {}
            await sent.status(status, AT[status], told=HEARD + m * MINUTE if late else AT[status], **more)
    return story.settlements, state(redis)


@pytest.mark.parametrize(("day", "orders"), CASES)
@pytest.mark.parametrize("worded", [False, True], ids=["", "worded"])
async def test_no_order_of_statuses_matters(ledger, redis, day, orders, worded):
    """Settlements, bill, budget, free tier and clocks are those of the same statuses heard on time."""
    if worded and orders is REPEATED:
        orders = REPEATED[::4]
    expected = await lived(ledger, redis, day, orders, late=False, worded=worded)
    settled, left = await lived(ledger, redis, day, orders, late=True, worded=worded)

    assert [any(status in order for status in DELIVERED) for order in orders if set(order) != {"sent"}] == [
        settled[f"s{n}"].delivered for n, order in enumerate(orders, 1) if set(order) != {"sent"}
    ]
    assert expected[0] == settled
    assert expected[1] == left


@pytest.mark.parametrize("day", DAYS)
async def test_no_order_matters_in_replay(day):
    """A recorded history has one settlement for each message in the end, and the summary counts it once."""
    on_time, late = [await replayed(day, late=late) for late in (False, True)]

    assert on_time == late
    assert len([line for line in late if line["event"] == "settlement"]) == len([o for o in ORDERS if set(o) != {"sent"}])
    assert late[-1]["charged"] == sum(any(status in order for status in DELIVERED) for order in ORDERS)


async def replayed(day: str, *, late: bool) -> list[dict]:
    story = Story(None, day)  # for its times and words alone
    used = {"at": story.unix(0), "free_used": {"waba_id": WABA, "phone_number_id": ONE, "count": 1000}}
    lines = [used] if day == DAYS[0] else []
    for n in range(len(ORDERS)):
        body = message(user(n), "template", {"name": "utility", "language": {"code": "en_US"}})
        lines.append(
            {"at": story.unix(h(0)), "send": {"id": f"s{n}", "path": f"/v23.0/{ONE}/messages", "body": body, "wamid": f"w{n}"}}
        )
    heard = []
    for n, order in enumerate(ORDERS):
        for m, status in enumerate(order if late else sorted(set(order), key=AT.__getitem__)):
            at = HEARD + m * MINUTE if late else AT[status]
            item = {"id": f"w{n}", "status": status, "timestamp": str(story.unix(AT[status])), "recipient_id": user(n)}
            value = {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": OWN_NUMBER, "phone_number_id": ONE},
                "statuses": [item],
            }
            entry = {"id": WABA, "changes": [{"field": "messages", "value": value}]}
            heard.append({"at": story.unix(at), "webhook": {"object": "whatsapp_business_account", "entry": [entry]}})
    lines += sorted(heard, key=lambda line: line["at"])
    out = io.BytesIO()
    settings = Settings(account=(story.account,))
    await replay([json.dumps(line).encode() + b"\n" for line in lines], "history", settings, out)
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    return sorted(found[:-1], key=lambda line: (line["event"], line["id"])) + found[-1:]


@pytest.mark.parametrize("word", ["pending", "captured", "failed", "delivered"])
@pytest.mark.parametrize("day", DAYS)
async def test_what_is_said_of_a_payment_says_nothing_of_delivery(ledger, redis, day, word):
    """A status item of another type than message changes nothing, before the delivery and after it."""
    story = Story(ledger, day)
    sent = await story.template(h(0))
    before = state(redis)
    settled = await sent.status(word, h(1), type="payment", payment={"reference_id": "1"})
    assert None is settled
    assert before == state(redis)
    await sent.delivered(h(2))
    after = state(redis)

    assert None is await sent.status(word, h(1), told=h(3), type="payment", payment={"reference_id": "1"})
    assert after == state(redis)


def test_all_orders_are_here():
    """Of five words, up to four at a time."""
    assert (5 + 20 + 60 + 120, 5 + 25 + 125 + 625) == (len(ORDERS), len(REPEATED))
