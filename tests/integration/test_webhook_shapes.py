"""
Every shape of webhook that Meta documents, whole, with each member missing, and with each member odd: answered 200, and what
stands beside it counts.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

NUMBER, WABA, OTHER_WABA = "106540352242922", "102290129340398", "999999999999999"
USER = "4915112345678"
NOON = 1_794_312_000
OPEN = {"expires": NOON + 86_400, "confirmed": True}
METADATA = {"display_phone_number": "15550783881", "phone_number_id": NUMBER}
SHAPES = json.loads((Path(__file__).parents[1] / "fixtures" / "meta" / "webhook_shapes.json").read_text())
FIELDS = sorted({shape["field"] for shape in SHAPES})
ODD = [
    *(None, True, -1, 0.5, 0, 10**400, "", "x", "\0", "\ud83d", "9" * 400, "x" * 3000),
    *(1, "1", 253_402_300_800, "99999999999"),  # moments of which no rule is known
    *([], [None], [[]], ["x"], {}, {"a": [1]}, {"id": {"id": None}}),
]

Path_ = tuple[str | int, ...]


def paths(value: object, at: Path_ = ()) -> Iterator[Path_]:
    """Find every member and every item of a value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield (*at, key)
        yield from paths(inner, (*at, key))


def at(value: object, path: Path_) -> object:
    for key in path:
        value = value[key]
    return value


def without(value: dict, path: Path_) -> dict:
    copy = deepcopy(value)
    del at(copy, path[:-1])[path[-1]]
    return copy


def with_odd(value: dict, path: Path_, odd: object) -> dict:
    copy = deepcopy(value)
    at(copy, path[:-1])[path[-1]] = odd
    return copy


def variants(field: str) -> list[tuple[str, list[dict]]]:
    """
    Name the payloads' odd changes: each shape, then each of its members missing, and odd in five ways.

    What another shape of the field has in the same place with the same value is varied once.
    """
    found: list[tuple[str, list[dict]]] = []
    seen: set[str] = set()
    odd = itertools.cycle(ODD)
    for shape in SHAPES:
        if shape["field"] != field:
            continue
        change = {"field": field, "value": shape["value"]}
        found.append((shape["shape"], [change]))
        for path in paths(change):
            place = json.dumps([path, at(change, path)])
            if place not in seen:
                seen.add(place)
                odds = [with_odd(change, path, next(odd)) for _ in range(5)]
                found.append((f"{shape['shape']}: {'.'.join(map(str, path))}", [without(change, path), *odds]))
    return found


def inbound(user: str) -> dict:
    return {"from": user, "id": f"wamid.in.{user}", "timestamp": str(NOON), "type": "text", "text": {"body": "x"}}


def delivered(user: str, wamid: str) -> dict:
    return {"id": wamid, "status": "delivered", "timestamp": str(NOON), "recipient_id": user}


def payload(waba_id: str, changes: list[dict], kind: str, good: dict) -> dict:
    """Put what is known to be good between the odd changes: into the list of the first one, if that is as it should be."""
    first, *others = deepcopy(changes)
    value, among = first.get("value"), [{"field": "messages", "value": {"metadata": METADATA, kind: [good]}}]
    shares = first.get("field") == "messages" and isinstance(value, dict) and value.get("metadata") == METADATA
    if shares and isinstance(value.get(kind), list):
        value[kind].append(good)
        among = []
    entries = [(waba_id, [first]), (WABA, among), (waba_id, others)]
    return {"object": "whatsapp_business_account", "entry": [{"id": waba, "changes": some} for waba, some in entries]}


async def sent(house, user: str) -> str:
    """Send what a status can settle; its wamid."""
    template = {"name": "order_update", "language": {"code": "en_US"}}
    body = {"messaging_product": "whatsapp", "to": user, "type": "template", "template": template}
    return (await house.send(body)).json["messages"][0]["id"]


async def lost(house, waba_id: str, named: list[tuple[str, list[dict]]]) -> list[str]:
    """
    Post a webhook for each of *named*, beside a user's message or a delivery; what was not answered 200, or cost it its effect.

    Sends come first, so that nothing in the webhooks can forbid them.
    """
    users = [f"4915110{n:06}" for n in range(len(named))]
    wamids = {user: await sent(house, user) for user in users[::2]}
    failed = []
    for user, (name, changes) in zip(users, named, strict=True):
        wamid = wamids.get(user)
        good = ("statuses", delivered(user, wamid)) if wamid else ("messages", inbound(user))
        answer = await house.webhook(payload(waba_id, changes, *good))
        if answer.status != 200:
            failed.append(f"{name}: answered {answer.status}")
    settled = [line["settled"] for line in house.logged("webhook")]
    for user, (name, _), settlements in zip(users, named, settled, strict=True):
        window = (await house.admin(f"/v1/threads/{NUMBER}/{user}")).json["customer_service_window"]
        if (settlements, bool(window)) != ((1, False) if user in wamids else (0, True)):
            failed.append(f"{name}: the {'delivery' if user in wamids else 'message'} beside it is lost")
    return failed


@pytest.mark.parametrize("field", FIELDS)
async def test_no_shape_costs_its_neighbours(field, house):
    """Whatever is missing or odd in one update, the others of its webhook count, and Meta need not repeat it."""
    # News of an account is told of another one than ours, so that none of it changes what is known of ours.
    ours = any("metadata" in shape["value"] for shape in SHAPES if shape["field"] == field)

    assert [] == await lost(house, WABA if ours else OTHER_WABA, variants(field))


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
async def test_no_odd_envelope_costs_its_neighbours(odd, house):
    """Where an entry, a change, its field or its value should stand may stand anything."""
    good = {"id": WABA, "changes": [{"field": "messages", "value": {"metadata": METADATA, "messages": [inbound(USER)]}}]}
    value = {"metadata": METADATA, "statuses": [{"id": "wamid.X", "status": "sent"}]}
    change = {"field": "messages", "value": value}
    entries = [
        *(odd, {"id": odd, "changes": [change]}, {"id": WABA, "changes": odd}, {"id": WABA, "changes": [odd, change]}),
        {"id": WABA, "changes": [{**change, "field": odd}, {**change, "value": odd}, change]},
        {"id": WABA, "changes": [{**change, "value": {**value, "metadata": odd, "contacts": odd}}]},
        *({"changes": [change]}, {"id": WABA}, {}),
    ]
    answer = await house.webhook({"object": "whatsapp_business_account", "entry": [*entries, good, *entries], "more": odd})

    assert (200, OPEN) == (answer.status, (await house.thread())["customer_service_window"])


@pytest.mark.parametrize("whole", [{}, {"object": None}, {"object": ""}])
async def test_a_webhook_that_does_not_say_what_it_is_of_is_read(whole, house):
    """Which product it is of is known by where it was posted."""
    change = {"field": "messages", "value": {"metadata": METADATA, "messages": [inbound(USER)]}}
    answer = await house.webhook({**whole, "entry": [{"id": WABA, "changes": [change]}]})

    assert (200, OPEN) == (answer.status, (await house.thread())["customer_service_window"])
