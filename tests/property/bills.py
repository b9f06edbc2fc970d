"""
Thousands of messages of all sorts, lived through: what replay says of them, and the bills that it leaves in the ledger.

Four accounts, in four currencies and time zones, live over changes of regime, card and markets and the ends of months. Whatever is
said of a message is said late, twice, out of order, or not at all.
"""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple, TypeVar

from rate_sheets import countries
from recorded import DAY, History, Replayed, account, unix
from story import LANGUAGE, Json, message, pmp

from gatekeeper.core.accounts import TemplateCategory
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta.webhooks import events_of

T = TypeVar("T")
Bill = tuple[str, str]
ACCOUNTS = (
    account("201", ("2011", "2012"), portfolio_id="p1", currency="USD", timezone="UTC"),
    account("202", ("2021",), portfolio_id="p1", currency="INR", timezone="Asia/Kolkata"),
    account("203", ("2031",), portfolio_id="p2", currency="EUR", timezone="America/Los_Angeles"),
    account("204", ("2041",), portfolio_id="", currency="SGD", timezone="Pacific/Auckland"),
)
BY_NUMBER = {number: each for each in ACCOUNTS for number in each.phone_number_ids}
BY_WABA = {each.waba_id: each for each in ACCOUNTS}
CATEGORIES = tuple(category.value for category in TemplateCategory)
# What becomes of a message, as Meta says it, with how often; a refused one gets no wamid.
FATES = {
    ("sent", "delivered", "read"): 15,
    ("delivered",): 45,
    ("read",): 10,
    ("sent", "read", "delivered"): 10,
    ("sent", "failed"): 8,
    ("failed",): 2,
    ("sent",): 5,
    (): 2,
    None: 3,
}
SINGLE = {"text": 28, "ad": 3, "marketing": 29, "utility": 20, "authentication": 14}
HEARD = 6 * 3600  # users' messages come in a webhook each so often
BOUNDED = 3 * DAY  # the longest that a status is on its way
PACKED, MANY = 50, 1000  # statuses in a webhook, at most; what is said again is said in few
PATIENCE_MS = 60_000


class Era(NamedTuple):
    """When a history happens, of how many messages of which kinds, and when how much of each free tier is used."""

    begin: str
    end: str
    sends: int
    kinds: dict[str, int]
    people: int
    used: dict[str, int]

    @property
    def months(self) -> list[str]:
        year, first, last = self.begin[:4], int(self.begin[5:7]), int(self.end[5:7])
        return [f"{year}-{month:02d}" for month in range(first, last + 1)]


ERAS = {
    "by initiator": Era("2023-05-22", "2023-06-10", 1000, SINGLE, 20, {"2023-05-23": 970, "2023-06-02": 985}),
    "by category": Era("2024-10-22", "2024-11-10", 1000, SINGLE, 20, {"2024-10-23": 985}),
    "by message": Era(
        "2026-09-25", "2026-11-05", 10_000, SINGLE | {"group text": 2, "group template": 4}, 180, {"2026-10-01": 800}
    ),
}


class Message(NamedTuple):
    """A send of the history: who it is to (a group's members, or one user), what becomes of it, and Meta's word on its price."""

    name: str
    number: str
    at: int
    to: tuple[str, ...]
    kind: str
    fate: tuple[str, ...] | None
    word: Json


class Lived(NamedTuple):
    """The history, what replay said of it, and the bills: then, and after everything was said once more."""

    era: Era
    told: dict[str, Message]
    replayed: Replayed
    bills: dict[Bill, Json]
    lines: dict[Bill, list[Json]]
    bills_again: dict[Bill, Json]
    settled_again: int


def told(era: Era, seed: int) -> tuple[History, dict[str, Message]]:
    """A history of *era*; the same one for the same *seed*."""
    rng, history, found = random.Random(seed), History(*ACCOUNTS), {}
    inbound: dict[tuple[int, str], list[Json]] = {}
    people = rng.sample([country.number(n) for n in range(3) for country in countries()], era.people)
    for number, owner in BY_NUMBER.items():
        for day, count in era.used.items():
            history.used(unix(day, owner.timezone), count, number)
    for n in range(era.sends):
        kind, fate = drawn(rng, era.kinds), drawn(rng, FATES)
        each = Message(
            name=f"s{n}",
            number=rng.choice(list(BY_NUMBER)),
            at=rng.randrange(unix(era.begin), unix(era.end) - BOUNDED),
            to=tuple(rng.sample(people, 3 if kind.startswith("group") else 1)),
            kind=kind,
            fate=fate,
            word=pmp(kind) if "group text" in era.kinds and kind in CATEGORIES and rng.randrange(3) == 0 else {},
        )
        earlier = each.at - each.at % HEARD
        inbound.setdefault((earlier, each.number), []).extend(send(history, each, earlier, rng))
        found[each.name] = each
    for (at, number), messages in inbound.items():
        history.post(at, number, messages=messages)
    say(history, found, rng)
    return history, found


def drawn(rng: random.Random, weights: dict[T, int]) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]


def send(history: History, each: Message, earlier: int, rng: random.Random) -> list[Json]:
    """We send; what users had to write *earlier* for that comes back."""
    kind = each.kind
    how: dict[str, Any] = {"number": each.number, "taken": each.fate is not None}
    if kind in CATEGORIES:
        history.template(each.at, each.name, kind, *each.to, **how)
        return []
    if kind in ("text", "ad"):
        history.text(each.at, each.name, *each.to, **how)
        referral = {"source_type": "ad", "source_id": "1", "source_url": "https://fb.me/1"}
        return [history.inbound(earlier, *each.to, **({"referral": referral} if kind == "ad" else {}))]
    group = f"group-{rng.randrange(10)}"
    category = None if kind == "group text" else rng.choice(CATEGORIES)
    content = {"name": category, "language": {"code": LANGUAGE}} if category else {"body": "Hello"}
    body = message(group, "template" if category else "text", content)
    history.send(each.at, each.name, body | {"recipient_type": "group"}, **how)
    return [history.inbound(earlier, each.to[0], group_id=group)] if category is None or rng.randrange(2) else []


def say(history: History, messages: dict[str, Message], rng: random.Random) -> None:
    """Meta says what became of the messages, in packs, with repeats."""
    spoken: dict[str, list[tuple[int, Json]]] = {number: [] for number in BY_NUMBER}
    for each in messages.values():
        for to in each.to:
            happens = each.at
            for word in each.fate or ():
                happens += rng.choice([0, 1, 60, 3600, rng.randrange(DAY)])
                names = {"recipient_type": "group", "recipient_participant_id": to} if len(each.to) > 1 else {}
                errors = {"errors": [{"code": 131026, "title": "Message undeliverable"}]} if word == "failed" else {}
                item = history.item(word, happens, each.name, **names, **(errors or each.word))
                for _ in range(rng.choice([1, 1, 1, 1, 1, 1, 2, 3])):
                    spoken[each.number].append((happens + rng.randrange(3600), item))
    for number, items in spoken.items():
        items.sort(key=lambda item: item[0])
        for start in range(0, len(items), PACKED):
            pack = items[start : start + PACKED]
            history.post(pack[-1][0], number, statuses=[item for _, item in pack])


async def bills(history: History, era: Era, ledger: Ledger) -> tuple[dict[Bill, Json], dict[Bill, list[Json]]]:
    """Each account's bill of each month, whole and line by line."""
    spend, of, now = (
        history.engine(ledger).spend,
        [(waba_id, month) for waba_id in BY_WABA for month in era.months],
        unix(era.end),
    )
    whole = {key: await spend.report(*key, now=now * 1000) for key in of}
    return whole, {key: (await spend.lines(*key, now=now * 1000))["lines"] for key in of}


async def live(era: Era, seed: int, url: str) -> Lived:
    """Live through *era* in the Redis at *url*, which replay keeps its state in, and hear all of Meta's words again."""
    history, messages = told(era, seed)
    replayed = await history.replayed()
    ledger = Ledger(url, timeout_ms=PATIENCE_MS)
    try:
        first, lines = await bills(history, era, ledger)
        engine, now = history.engine(ledger), unix(era.end) * 1000
        heard = [json.loads(line)["webhook"] for line in history.lines(lambda line: "webhook" in line)]
        events = [event for webhook in heard for event in events_of(webhook)]
        again = [await engine.absorb(events[n : n + MANY], now=now) for n in range(0, len(events), MANY)]
        second, _ = await bills(history, era, ledger)
    finally:
        await ledger.close()
    return Lived(era, messages, replayed, first, lines, second, sum(map(len, again)))
