"""
The ledger, held against what every party saw, when nobody sends and everything that is to be told has been told.

What is excused, and why. A ledger that was emptied excuses what rested on what it had: the budgets of earlier sends, and webhooks
answered before. A failover excuses the same of the moment before it, for Redis does not wait for its replica. A send decided without
the ledger may or may not be counted: budgets cannot be kept then. A gate that was killed excuses a send that it never answered, and what
it had in hand at that moment: an answer of Meta's that the ledger was still to be told, with the statuses that came before it. Each of
the last is counted and told. Nothing else is excused.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
from books import Attempt, Books, Invariant, Kind, Says, Told, now
from house import House
from meta import NUMBER, WABA

from gatekeeper.core.vocabulary import Clock
from gatekeeper.ledger import keys

PARKED_S = keys.PARKED_MS / 1000 - 60
IN_HAND_S = 2.0
"""So long a gate may have something in hand for the ledger once it has been answered, or the ledger is back."""
MANY, SOME = 500, 10
PATIENCE_S = 5.0
BUDGETED = {Kind.UTILITY: "pilot", Kind.MARKETING: "campaign"}
STATE_OF = {"delivered": "settled", "failed": "released"}
_unpack = msgspec.msgpack.decode


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger has of one send."""

    key: str
    id: str
    recipient: str
    state: str
    held: int


async def look(house: House) -> tuple[list[Record], dict[str, int]]:
    """Read every reservation, and what each budget says is reserved and spent."""
    client, records = house.server.client, list[Record]()
    budgets: dict[str, int] = {"reserved": 0, "spent": 0, "most": 0}
    names = [name async for name in client.scan_iter(match="gk:*", count=1000)]
    for start in range(0, len(names), MANY):
        some = names[start : start + MANY]
        nouns = [name.decode().split("}:")[1].split(":")[0] for name in some]
        wanted = [(n.decode(), noun) for n, noun in zip(some, nouns, strict=True) if noun in ("reservation", "message", "budget")]
        pipeline = client.pipeline(transaction=False)
        for name, _ in wanted:
            pipeline.hgetall(name)
        for (name, noun), fields in zip(wanted, await pipeline.execute(), strict=True):
            if noun == "budget":
                taken = {word: int(fields.get(word.encode(), 0)) for word in ("reserved", "spent")}
                for word, amount in taken.items():
                    budgets[word] += amount
                if ":pilot:" in name:
                    budgets["most"] = max(budgets["most"], sum(taken.values()))
            elif b"facts" in fields:
                records.append(_record(name, fields))
    return records, budgets


def _record(name: str, fields: dict[bytes, bytes]) -> Record:
    facts = _unpack(fields[b"facts"])
    holds = _unpack(fields[b"holds"]) if b"holds" in fields else []
    held = sum(hold[3] for hold in holds if hold[0] == "at_most")
    return Record(key=name, id=facts["id"], recipient=facts["recipient"], state=fields[b"state"].decode(), held=held)


async def audit(house: House, books: Books, limit: int) -> None:
    """Hold the ledger against the books, when nobody sends, and everything that is to be told has been told."""
    records, budgets = await look(house)
    _budgets(books, records, budgets, limit)
    await _webhooks(house, books, records)


def _budgets(books: Books, records: list[Record], budgets: dict[str, int], limit: int) -> None:
    """Whether the budgets are the sum of what sends hold and spent, and each send counts what is due."""
    epoch, kinds = books.epoch, {x.recipient: x.kind for x in books.letters.values() if x.kind in BUDGETED}
    kept = [record for record in records if record.recipient in kinds]
    prices = {recipient: books.prices[kind] for recipient, kind in kinds.items()} if kept else {}
    spent = {record.key: prices[record.recipient] for record in kept if record.state == "settled"}
    sums = sum(record.held for record in kept), sum(spent.values())
    books.sums.append(sums)
    if sums != (budgets["reserved"], budgets["spent"]) and f"since {epoch}" not in books.complained:
        books.complained.add(f"since {epoch}")
        text = f"reserved and spent are {budgets['reserved']} and {budgets['spent']}, of sends {sums[0]} and {sums[1]}"
        books.broke(Invariant.BUDGET, text, epoch, now())
    if budgets["most"] > limit:
        books.broke(Invariant.BUDGET, f"{budgets['most']} of {limit} is taken", epoch, now())
    attempts = [
        attempt
        for letter in books.letters.values()
        if letter.kind in BUDGETED
        for attempt in letter.attempts
        if attempt.ended >= epoch and not attempt.replayed
    ]
    counted = _counted(books, attempts, [(record, spent.get(record.key, record.held)) for record in kept])
    for attempt in attempts:
        least, most, why = due(books, attempt)
        if least <= counted.get(attempt.tag, 0) <= most or attempt.tag in books.complained:
            continue
        books.complained.add(attempt.tag)
        if in_hand(books, attempt):
            books.excuse("an amount still held, which a killed gate had in hand to give back")
        else:
            text = f"{attempt.tag} ({why}) counts {counted.get(attempt.tag, 0)}, due is {least} to {most}"
            books.broke(Invariant.BUDGET, text, attempt.began, attempt.ended)


def _counted(books: Books, attempts: list[Attempt], amounts: list[tuple[Record, int]]) -> dict[str, int]:
    """What each attempt counts, by its decision's id; one without an answer is known by its recipient, who gets no other letter."""
    by_id = {attempt.id: attempt for attempt in attempts if attempt.id}
    unanswered: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.says is Says.NOTHING:
            unanswered.setdefault(attempt.letter.recipient, []).append(attempt)
    counted: dict[str, int] = {}
    for record, amount in amounts:
        found = by_id.get(record.id)
        if found is None and (others := unanswered.get(record.recipient)):
            found = others.pop()
        if found is not None:
            counted[found.tag] = counted.get(found.tag, 0) + amount
        elif record.key not in books.complained:
            books.complained.add(record.key)
            books.broke(Invariant.BUDGET, f"{record.key} is nobody's: {amount}", books.epoch, now())
    return counted


def due(books: Books, attempt: Attempt) -> tuple[int, int, str]:
    """What an attempt may count in the budgets, at least and at most, and why."""
    price = books.prices[attempt.letter.kind]
    if books.forgetting(attempt.began, attempt.ended):
        return 0, price, "while the ledger forgot"
    if attempt.says is Says.REFUSED:
        return 0, 0, "no connection"
    if attempt.says is Says.NOTHING:
        return 0, price, "no answer"
    if attempt.says is Says.NOT_SENT:
        return 0, 0, f"not sent, {attempt.state or 'no state'}, {attempt.reason}"
    told = next((books.statuses[a.wamid] for a in attempt.letter.arrivals if a.tag == attempt.tag and a.taken), None)
    answered = "" if attempt.says is Says.TAKEN else ", without a readable answer"
    if told is None and not answered:
        return 0, 0, "lost"
    if told is not None and told.what == "failed":
        return 0, 0, f"failed, {attempt.state}{answered}"
    became = "unknown" if told is None else "delivered"
    return 0 if attempt.degraded else price, price, f"{became}, {attempt.state}{answered}"


def in_hand(books: Books, attempt: Attempt) -> bool:
    """Whether the gate was killed while it still had something of this send to tell the ledger."""
    since = attempt.ended
    for injection in books.injections:
        blow = injection.blow if attempt.gate in injection.killed else None
        if blow is not None and attempt.began <= blow <= since + IN_HAND_S:
            return True
        if injection.of_ledger and injection.began <= since + IN_HAND_S and injection.well >= attempt.began:
            since = max(since, injection.healed + injection.recovery_s)
    return False


async def _webhooks(house: House, books: Books, records: list[Record]) -> None:
    """Whether everything that was answered 200 since the ledger last forgot is there."""
    messages = {record.key: record for record in records}
    wanted = [told for told in books.told if told.at and not told.checked and not _forgotten(books, told)]
    pipeline = house.server.client.pipeline(transaction=False)
    for told in wanted:
        pipeline.exists(keys.parked(WABA, told.wamid))
        pipeline.hget(keys.thread(WABA, NUMBER, told.recipient), Clock.CUSTOMER_SERVICE_WINDOW.value)
    answers: list[Any] = await pipeline.execute() if wanted else []
    for told, parked, window in zip(wanted, answers[::2], answers[1::2], strict=True):
        told.checked = True
        if told.what == "wrote":
            there = window is not None
        else:
            record = messages.get(keys.message(WABA, told.wamid))
            there = bool(parked) if record is None else record.state == STATE_OF[told.what]
        if not there and told.wamid and in_hand(books, _attempt_of(books, told)):
            books.excuse("a status that came before its answer, which a killed gate had in hand")
        elif not there:
            books.broke(Invariant.WEBHOOK, f"{told.what} of {told.wamid or told.recipient}", told.began, told.at)
    await _shown(house, books, [told for told in wanted if told.what == "wrote"][-SOME:])


async def _shown(house: House, books: Books, windows: list[Told]) -> None:
    """Whether operations are shown the same windows."""
    async with aiohttp.ClientSession() as session:
        for told in windows:
            url = f"{house.gates[0].admin_url}/v1/threads/{NUMBER}/{told.recipient}"
            status, until = 0, now() + PATIENCE_S
            shown: dict[str, Any] = {}
            while status != 200 and now() < until:  # 503: the gate thinks that the ledger is away
                async with session.get(url) as answer:
                    status, shown = answer.status, await answer.json()
                await asyncio.sleep(0.01 if status == 200 else 0.1)
            if shown.get("customer_service_window") is None:
                books.broke(Invariant.WEBHOOK, f"{told.recipient} is not shown: {status}", told.began, told.at)


def _attempt_of(books: Books, told: Told) -> Attempt:
    tag = told.wamid.removeprefix("wamid.")
    return next(attempt for attempt in books.letter_of(tag).attempts if attempt.tag == tag)


def _forgotten(books: Books, told: Told) -> bool:
    """Whether the ledger forgot it since, or forgets it by itself about now."""
    wiped = any(told.began <= f.ended for f in books.forgot if f.all)
    return wiped or books.forgetting(told.began, told.at) or now() - told.at > PARKED_S
