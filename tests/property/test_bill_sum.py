"""
Ten thousand messages of all sorts, and not a micro-unit lost: replay's summary, the bill and the settlements are one sum.

And so in the years of conversations, by who began them and by category. `bills.py` says what happens in those months.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
import uvloop
from bills import BY_NUMBER, BY_WABA, CATEGORIES, ERAS, Bill, Lived, Message, live, told
from rate_sheets import Country, country_of, sheet_on
from recorded import keep_ledger
from redis import Redis
from story import Json

NOW = "by message"
EVERY = pytest.mark.parametrize("lived", ERAS, indirect=True)
TODAY = pytest.mark.parametrize("lived", [NOW], indirect=True)
PRODUCT = dict.fromkeys(("text", "ad"), "service")  # what is in several open conversations is billed as what it is
COLUMN = {f"group_{column}": column for column in ("service", *CATEGORIES)}
TIER_BEGINS, FREE, SOME, SEED = dt.date(2026, 10, 1), 1000, 300, 20261001


@pytest.fixture(scope="module")
def lived(redis_url: str, redis_session: Redis, request: pytest.FixtureRequest) -> Lived:
    redis_session.flushall()
    with pytest.MonkeyPatch.context() as patch:
        keep_ledger(patch, redis_url)
        found = uvloop.run(live(ERAS[request.param], SEED, redis_url))
    redis_session.flushall()
    return found


# ------------------------------------------------------------------------------------------------------- what is to be expected


def local_day(at: float, number: str) -> dt.date:
    return dt.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(BY_NUMBER[number].timezone)).date()


def cell(said: Json, sent: Message) -> str | None:
    """What the card of the day says of a settlement; the market is that of the day, too, and of two markets the dearer."""
    day, country = local_day(said["at"], sent.number), recipients_country(said, sent)
    sheet = sheet_on(BY_NUMBER[sent.number].currency, day)
    if sheet is None:
        return None
    markets = [country.market(day), *filter(None, [country.perhaps(day)])]
    prices = [sheet.price(market, COLUMN.get(said["category"], said["category"])) for market in markets]
    return None if None in prices else max(prices, key=Decimal)


def market_of(said: Json, sent: Message) -> str:
    return recipients_country(said, sent).market(local_day(said["at"], sent.number))


def recipients_country(said: Json, sent: Message) -> Country:
    return country_of(said.get("recipient") or sent.to[0])


def delivered(lived: Lived) -> list[tuple[Json, Message]]:
    return [(said, lived.told[said["id"]]) for said in lived.replayed.settlements if said["delivered"]]


def summed(priced: Iterable[tuple[str | None, str, str]]) -> Json:
    """One side of a bill, from (price, category, market)."""
    listed, by = list(priced), {"by_category": Counter[str](), "by_market": Counter[str]()}
    for price, category, market in listed:
        by["by_category"][category] += Decimal(price or 0)
        by["by_market"][market] += Decimal(price or 0)
    return {
        "total": sum(Decimal(price or 0) for price, _, _ in listed),
        "sends": len(listed),
        "unpriced": sum(price is None for price, _, _ in listed),
        **{name: costly(sums) for name, sums in by.items()},
    }


def read(side: Json) -> Json:
    """One side of a bill as it was reported, its money as numbers."""
    by = {name: costly({key: Decimal(cost) for key, cost in side[name].items()}) for name in ("by_category", "by_market")}
    return side | {"total": Decimal(side["total"])} | by


def costly(sums: dict[str, Decimal]) -> dict[str, Decimal]:
    """What comes to something: a free message inside several conversations is of none of their categories."""
    return {name: cost for name, cost in sums.items() if cost}


def by_bill(lived: Lived, rows: Iterable[tuple[Message, float, Any]]) -> dict[Bill, list[Any]]:
    """Rows by the bill that they belong to: account and local month."""
    found: dict[Bill, list[Any]] = {(waba_id, month): [] for waba_id in BY_WABA for month in lived.era.months}
    for sent, at, row in rows:
        found[BY_NUMBER[sent.number].waba_id, str(local_day(at, sent.number))[:7]].append(row)
    return found


# ------------------------------------------------------------------------------------------------------------------------- tests


@TODAY
def test_the_history_has_everything_in_it(lived):
    """Each category in each currency, free and charged, priced and unknown; or what follows would prove little."""
    found = Counter(
        (BY_NUMBER[sent.number].currency, said["category"], said["price"] in (None, "0")) for said, sent in delivered(lived)
    )
    free_of_charge = Counter(said["category"] for said, _ in delivered(lived) if not said["charged"])

    assert lived.era.sends == lived.replayed.summary.sends == len(lived.replayed.decided)
    assert min(found[currency, category, False] for currency in ("USD", "INR", "EUR") for category in CATEGORIES) > 100
    assert min(found["USD", "service", False], found["INR", "service", False], found["SGD", "marketing", True]) > 50
    assert {"service", "utility", "referral_conversion", "group_utility", "group_service"} <= free_of_charge.keys()
    assert (
        min(sum(bill["settled"]["sends"] for (_, of), bill in lived.bills.items() if of == month) for month in lived.era.months)
        > 200
    )


@EVERY
def test_each_message_is_settled_as_it_ended_and_once(lived):
    """Delivered or read is delivered, failed is not; a group's message once for each member; the others are not settled."""
    ends = {
        (each.name, to if len(each.to) > 1 else None): "failed" not in each.fate
        for each in lived.told.values()
        for to in each.to
        if set(each.fate or ()) - {"sent"} and lived.replayed.decided[each.name].verdict == "allow"
    }
    found = [((said["id"], said.get("recipient")), said["delivered"]) for said in lived.replayed.settlements]

    assert len(ends) == len(found)
    assert ends == dict(found)


@EVERY
def test_a_charged_message_costs_its_cell_and_a_free_one_nothing(lived):
    """The cell of the delivery's day, in the account's currency and time zone; where it is blank nobody knows."""
    wrong = [
        (said, cell(said, sent))
        for said, sent in delivered(lived)
        if said["price"] != (cell(said, sent) if said["charged"] else "0")
    ]

    assert [] == wrong


@TODAY
def test_the_free_tiers_are_what_was_free_of_service(lived):
    """By number and month: what was settled within the tier is its use, up to a thousand, and the rest of it was charged."""
    charged, whole = Counter[Bill](), Counter[Bill]()
    for said, sent in delivered(lived):
        day = local_day(said["at"], sent.number)
        if COLUMN.get(said["category"], said["category"]) == "service" and day >= TIER_BEGINS:
            whole[sent.number, str(day)[:7]] += 1
            charged[sent.number, str(day)[:7]] += said["charged"]
    before = {(number, day[:7]): count for number in BY_NUMBER for day, count in lived.era.used.items()}
    used = {
        (tier["phone_number_id"], month): tier["used"] for (_, month), bill in lived.bills.items() for tier in bill["free_tier"]
    }

    assert {key: before.get(key, 0) + count for key, count in whole.items()} == used
    assert {key: max(0, count - FREE) for key, count in used.items()} == {key: charged[key] for key in used}


@EVERY
def test_the_summary_is_the_sum_of_the_settlements(lived):
    """To the micro-unit, in each currency; what nobody knows the price of is charged, and adds nothing."""
    spent = Counter[str]()
    for said, sent in delivered(lived):
        if said["charged"] and said["price"] is not None:
            spent[BY_NUMBER[sent.number].currency] += Decimal(said["price"])
    summary = lived.replayed.summary

    assert sum(bool(said["charged"]) for said in lived.replayed.settlements) == summary.charged
    assert dict(spent) == {currency: Decimal(total) for currency, total in summary.spend.items()}


@EVERY
def test_the_bill_is_the_sum_of_the_settlements(lived):
    """Of each account and month, in whole, by category and by market."""
    rows = ((sent, said["at"], (said["price"], said["category"], market_of(said, sent))) for said, sent in delivered(lived))

    assert {key: summed(listed) for key, listed in by_bill(lived, rows).items()} == {
        key: read(bill["settled"]) for key, bill in lived.bills.items()
    }


@EVERY
def test_the_prediction_is_the_sum_of_the_decisions(lived):
    """Of the accepted sends of each month, whatever became of them; a group's has neither market nor price yet."""
    accepted = [(each, lived.replayed.decided[each.name]) for each in lived.told.values() if each.fate is not None]
    rows = (
        (sent, sent.at, (said.price, said.category or PRODUCT.get(sent.kind, sent.kind), said.market or "none"))
        for sent, said in accepted
        if said.verdict == "allow"
    )

    assert {key: summed(listed) for key, listed in by_bill(lived, rows).items()} == {
        key: read(bill["predicted"]) for key, bill in lived.bills.items()
    }


@EVERY
def test_what_is_open_is_what_was_never_settled(lived):
    """Accepted, and neither delivered nor failed."""
    ended = {said["id"] for said in lived.replayed.settlements}
    waiting = [
        (each, lived.replayed.decided[each.name])
        for each in lived.told.values()
        if each.fate is not None and each.name not in ended
    ]
    quoted = ((sent, sent.at, Decimal(said.price or 0)) for sent, said in waiting if said.verdict == "allow")

    assert {key: (len(listed), sum(listed)) for key, listed in by_bill(lived, quoted).items()} == {
        key: (bill["open"]["sends"], Decimal(bill["open"]["total"])) for key, bill in lived.bills.items()
    }


@EVERY
def test_the_lines_of_a_bill_come_to_its_total(lived):
    """Days, numbers and cells are a partition of the month."""
    sides = ("predicted", "settled")
    sums = {
        key: [
            (
                sum(Decimal(line[side]["total"]) for line in listed),
                *(sum(line[side][of] for line in listed) for of in ("sends", "unpriced")),
            )
            for side in sides
        ]
        for key, listed in lived.lines.items()
    }

    assert sums == {
        key: [(Decimal(bill[side]["total"]), bill[side]["sends"], bill[side]["unpriced"]) for side in sides]
        for key, bill in lived.bills.items()
    }


@EVERY
def test_saying_everything_once_more_changes_nothing(lived):
    """Meta repeats a webhook for as long as it likes: nothing is settled twice, and no bill changes."""
    assert 0 == lived.settled_again
    assert lived.bills == lived.bills_again


async def test_repeated_webhooks_change_no_byte():
    """A history in which every webhook comes three times is decided and settled as the one in which each comes once."""
    history, _ = told(ERAS[NOW]._replace(sends=SOME), SEED)
    once = await history.replayed()
    thrice = await history.replayed([line for line in history.lines() for _ in range(3 if b'"webhook"' in line else 1)])

    assert once.written == thrice.written
    assert once.summary.charged > SOME / 3
