"""Deliveries of one kind are laid out once, and what was laid out is never used for another kind."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from gatekeeper.core.accounts import Account
from gatekeeper.core.data import data_dir
from gatekeeper.core.reservation import Facts
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import plan_delivery
from gatekeeper.core.vocabulary import Clock, Product
from gatekeeper.core.word import Word

BOOK = Rulebook.load(data_dir("config"))
DAY_MS = 86_400_000
NOON = 1_796_040_000_000  # 2026-11-30
FACTS = Facts(id="one", phone_number_id="106540352242922", recipient="4915112345678", product=Product.UTILITY, at=NOON)
ACCOUNT = Account(waba_id="102290129340398", phone_number_ids=("106540352242922",))
OPEN = {Clock.CUSTOMER_SERVICE_WINDOW.value: NOON + DAY_MS}
WORD = Word(type="regular", category="utility", model="PMP")
USUAL = {"facts": FACTS, "account": ACCOUNT, "at": NOON, "billed": "", "latches": {}, "word": None}


def lay_out(book: Rulebook, **how: object):
    """Plan a delivery."""
    asked = USUAL | how
    return plan_delivery(asked.pop("facts"), asked.pop("account"), book, **asked)


def fresh() -> Rulebook:
    """The same rules, by which nothing was laid out yet."""
    return Rulebook(BOOK.regimes, BOOK.rates, BOOK.markets)


def other(**facts: object) -> dict[str, object]:
    """Facts that differ in something."""
    return {"facts": msgspec.structs.replace(FACTS, **facts)}


KINDS = [
    {},
    other(product=Product.MARKETING),
    other(product=Product.UNKNOWN),
    other(product=Product.SERVICE),
    other(phone_number_id="106540352242923", product=Product.SERVICE),
    other(recipient="919876543210"),
    other(max_price=1000),
    other(group=True, product=Product.GROUP_UTILITY),
    {"billed": "919876543210"},
    {"account": Account(waba_id="2", currency="EUR")},
    {"account": Account(waba_id="102290129340398", service_exempt=True)},
    {"word": WORD},
    {"word": Word(type="regular", category="marketing", model="PMP")},
    {"word": Word(type="free_customer_service", category="utility", model="PMP")},
    {"word": Word(type="free_entry_point", category="referral_conversion")},
    {"word": Word(category="utility", model="CBP")},
]
DAYS = {
    "2026-11-30": NOON,
    "2026-10-01": NOON - 60 * DAY_MS,
    "2025-07-18": NOON - 500 * DAY_MS,
    "2023-09-05": NOON - 1182 * DAY_MS,
    "2022-04-05": NOON - 1700 * DAY_MS,
}

USED = fresh()
for kind, at, latches in itertools.product(KINDS, DAYS.values(), ({}, OPEN)):
    lay_out(USED, **kind | {"at": at, "latches": latches})


@pytest.mark.parametrize("latches", [{}, OPEN], ids=["out of", "in"])
@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_laid_out_before_changes_no_plan(kind, day, latches):
    """A plan is the same whether its rulebook is new or has laid out all of the others before."""
    asked = kind | {"at": DAYS[day], "latches": latches}

    assert lay_out(fresh(), **asked) == lay_out(USED, **asked)


def test_deliveries_of_one_kind_share_their_rows():
    """What differs from message to message stays its own: who it went to, when, and what was told of its end."""
    book = fresh()
    one = lay_out(book, word=WORD)
    two = lay_out(
        book,
        at=NOON + 1,
        word=msgspec.structs.replace(WORD, expires_at=NOON + DAY_MS),
        **other(id="two", recipient="4915187654321", caller="crm"),
    )

    assert one.rows is two.rows
    assert one.own is two.own
    assert {} == one.told
    assert [NOON + DAY_MS] == list(two.told.values())
    assert (NOON, NOON + 1) == (one.at, two.at)
