"""The rate cards: every printed figure arrives as it stands, and a wrong file is named with its row and column."""

from __future__ import annotations

import csv
import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.rates import RateCards, Tier, parse

FOLDER = data_dir("config") / "rates"
CARDS = RateCards.load(FOLDER)
LISTS = sorted(path for path in FOLDER.glob("20*.csv") if not path.stem.endswith("-tiers"))
TIERS = sorted(FOLDER.glob("20*-tiers.csv"))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def card_of(path: Path):
    return CARDS.on(path.stem[15:18], dt.date.fromisoformat(path.stem[:10]))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_cell_arrives_as_it_is_printed(path):
    """A rate is the card's decimal in micro-units, and a blank cell is no rate."""
    card = card_of(path)
    printed = {
        (row["market"], column): Decimal(cell) if cell else None
        for row in table(path)
        for column, cell in row.items()
        if column != "market"
    }
    read = {key: card.rate(*key) for key in printed}

    assert printed == {key: None if rate is None else Decimal(rate) / 1_000_000 for key, rate in read.items()}
    assert {market for market, _ in printed} == card.rates.keys()


@pytest.mark.parametrize("path", TIERS, ids=lambda path: path.stem)
def test_every_tier_arrives_as_it_is_printed(path):
    """A tier runs from the message after the last tier's end up to its own, at the printed rate."""
    card = card_of(path)
    printed = [
        (row["market"], row["category"], int(row["from"]), int(row["to"]) if row["to"] else None, Decimal(row["rate"]))
        for row in table(path)
    ]
    read = [(*key, tier.first, tier.last, Decimal(tier.rate) / 1_000_000) for key, steps in card.tiers.items() for tier in steps]

    assert sorted(printed, key=str) == sorted(read, key=str)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_completeness_says_what_is_there(path):
    """The counts of completeness.csv are those of the card."""
    said = next(row for row in table(FOLDER / "completeness.csv") if row["card"] == path.stem)
    rows = table(path)
    columns = [column for column in rows[0] if column != "market"]

    assert {column: said[column] for column in columns} == {
        column: str(sum(bool(row[column]) for row in rows)) for column in columns
    }


@pytest.mark.parametrize(
    ("currency", "day", "effective"),
    [
        ("USD", dt.date(2022, 1, 31), None),
        ("USD", dt.date(2022, 2, 1), dt.date(2022, 2, 1)),
        ("USD", dt.date(2023, 5, 31), dt.date(2022, 2, 1)),
        ("USD", dt.date(2024, 7, 31), dt.date(2024, 7, 1)),
        ("USD", dt.date(2024, 8, 1), dt.date(2024, 8, 1)),
        ("USD", dt.date(2025, 6, 30), dt.date(2025, 4, 1)),
        ("USD", dt.date(2025, 7, 1), dt.date(2025, 7, 1)),
        ("USD", dt.date(2026, 9, 30), dt.date(2026, 7, 1)),
        ("USD", dt.date(2026, 10, 1), dt.date(2026, 10, 1)),
        ("USD", dt.date(2031, 1, 1), dt.date(2026, 10, 1)),
        ("INR", dt.date(2025, 9, 30), None),
        ("INR", dt.date(2026, 9, 30), dt.date(2025, 10, 1)),
        ("EUR", dt.date(2026, 7, 1), dt.date(2026, 7, 1)),
        ("GBP", dt.date(2026, 6, 30), None),
        ("GBP", dt.date(2026, 10, 1), dt.date(2026, 7, 1)),
        ("SGD", dt.date(2026, 10, 1), None),
        ("usd", dt.date(2026, 10, 1), None),
    ],
)
def test_the_latest_card_on_or_before_the_day_is_in_force(currency, day, effective):
    """A card holds from its date until the next one of its currency; before the first, and without one, there is none."""
    card = CARDS.on(currency, day)

    assert effective == (card and card.effective)


@pytest.mark.parametrize(
    ("day", "currency", "market", "column", "rate"),
    [
        # Meta lowered utility alone on 2024-08-01, and India's marketing two months later.
        (dt.date(2024, 7, 31), "USD", "Brazil", "utility", 35_000),
        (dt.date(2024, 8, 1), "USD", "Brazil", "utility", 8_000),
        # A service conversation costs nothing since 2024-11-01: a printed zero, not a blank.
        (dt.date(2024, 10, 31), "USD", "India", "service", 4_000),
        (dt.date(2024, 11, 1), "USD", "India", "service", 0),
        # The first per-message card has no Saudi figures that we could find, and no service column to charge by.
        (dt.date(2025, 7, 1), "USD", "Saudi Arabia", "utility", None),
        (dt.date(2025, 7, 1), "USD", "India", "service", None),
        # Rest of Africa's utility fell between two cards without a word from Meta.
        (dt.date(2024, 10, 1), "USD", "Rest of Africa", "utility", 6_100),
        (dt.date(2024, 11, 1), "USD", "Rest of Africa", "utility", 4_000),
        # Kazakhstan's row, and one of the eight rates that no dollar source has although the rupee card does.
        (dt.date(2026, 10, 1), "USD", "Kazakhstan", "authentication_international", 160_000),
        (dt.date(2026, 10, 1), "USD", "Bangladesh", "authentication_international", None),
        (dt.date(2026, 10, 1), "INR", "Bangladesh", "authentication_international", 7_036_000),
        # Service costs what utility does since 2026-10-01.
        (dt.date(2026, 10, 1), "USD", "France", "service", 30_000),
        # Currencies are not converted: India's utility is out of line with every other figure of the two cards.
        (dt.date(2026, 10, 1), "USD", "India", "utility", 1_400),
        (dt.date(2026, 10, 1), "INR", "India", "utility", 115_000),
        # Only the first era's card knows conversations by who began them.
        (dt.date(2022, 2, 1), "USD", "Argentina", "business_initiated", 52_600),
        (dt.date(2022, 2, 1), "USD", "Argentina", "marketing", None),
        # A market that has not yet left its region, and none at all.
        (dt.date(2026, 6, 30), "USD", "Poland", "marketing", None),
        (dt.date(2026, 10, 1), "USD", "Atlantis", "marketing", None),
    ],
)
def test_awkward_figures(day, currency, market, column, rate):
    """What is free, what is unknown and what costs the odd fraction stay three different things."""
    assert rate == CARDS.on(currency, day).rate(market, column)


def test_the_tiers_of_a_card_are_those_of_its_own_date():
    """A card without a tiers file has none, whatever the card before it had."""
    found = {card.effective: len(card.tiers) for card in CARDS.by_currency["USD"] if card.effective >= dt.date(2026, 1, 1)}

    assert {
        dt.date(2026, 1, 1): 0,
        dt.date(2026, 4, 1): 73,
        dt.date(2026, 7, 1): 0,
        dt.date(2026, 10, 1): 1,
    } == found


def test_brazil_authentication_has_bounds_of_its_own():
    """Tiers of one market differ by category, and the last one has no end."""
    tiers = CARDS.on("USD", dt.date(2026, 4, 1)).tiers

    assert [500_000, 3_000_000, 5_250_000, 10_000_000, 20_000_000, None] == [
        tier.last for tier in tiers["Brazil", "authentication"]
    ]
    assert Tier(first=0, last=250_000, rate=6_800) == tiers["Brazil", "utility"][0]


def test_a_tier_is_not_computed_from_its_discount():
    """Meta rounds a tier from a finer rate than it prints: the list rate less the discount would be another figure."""
    tiers = CARDS.on("USD", dt.date(2026, 4, 1)).tiers["Rest of Central & Eastern Europe", "utility"]

    # 21,200 less 10 and less 20 per cent would round to 19,100 and 17,000.
    assert [21_200, 20_100, 19_000, 18_000, 16_900, 15_900] == [tier.rate for tier in tiers]


GOOD = "2026-10-01-pmp-USD.csv", "market,marketing,utility\nIndia,0.0118,0.0014\n"
TIERED = "2026-10-01-pmp-USD-tiers.csv"
HEAD = "market,category,from,to,rate\n"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            {"2026-10-01-pmp-USD.csv": "market,utility\nIndia,0.0014\nPeru,abc\n"},
            "2026-10-01-pmp-USD.csv, row 3, utility: 'abc' is not a decimal number",
        ),
        (
            {"2026-10-01-pmp-USD.csv": "market,utility\nIndia,0.00000014\n"},
            "2026-10-01-pmp-USD.csv, row 2, utility: '0.00000014' is not a decimal number of at most six places",
        ),
        (
            {"2026-10-01-pmp-IDR.csv": 'market,utility\nIndonesia,"1,940.13"\n'},
            "2026-10-01-pmp-IDR.csv, row 2, utility: '1,940.13' is not a decimal number",
        ),
        (
            {"2026-10-01-pmp-USD.csv": "market,utility\nIndia,-0.0014\n"},
            "2026-10-01-pmp-USD.csv, row 2, utility: '-0.0014' is less than nothing",
        ),
        (
            {"2026-10-01-pmp-USD.csv": "market,utilty\nIndia,0.0014\n"},
            "2026-10-01-pmp-USD.csv, row 1: 'utilty' is not a column of a rate card",
        ),
        ({"2026-10-01-pmp-USD.csv": "utility\n0.0014\n"}, "2026-10-01-pmp-USD.csv, row 1: the column 'market' is missing"),
        (
            {"2026-10-01-pmp-USD.csv": "market,utility,utility\nIndia,1,2\n"},
            "2026-10-01-pmp-USD.csv, row 1: a column stands here twice",
        ),
        ({"2026-10-01-pmp-USD.csv": "market,utility\nIndia\n"}, "2026-10-01-pmp-USD.csv, row 2: 1 cells under 2 columns"),
        (
            {"2026-10-01-pmp-USD.csv": "market,utility\nIndia,1\nIndia,2\n"},
            "2026-10-01-pmp-USD.csv, row 3, market: 'India' is empty or stands here twice",
        ),
        ({"2026-10-01-pmp-USD.csv": "market,utility\n"}, "2026-10-01-pmp-USD.csv: holds no market"),
        (
            {"2026-10-32-pmp-USD.csv": GOOD[1]},
            "2026-10-32-pmp-USD.csv: is not named <date>-<cbp or pmp>-<currency>.csv, with -tiers at the end for volume tiers",
        ),
        (
            {"USD.csv": GOOD[1]},
            "USD.csv: is not named <date>-<cbp or pmp>-<currency>.csv, with -tiers at the end for volume tiers",
        ),
        (
            {"2026-10-01-cbp-USD.csv": GOOD[1], GOOD[0]: GOOD[1]},
            "2026-10-01-pmp-USD.csv: a second USD card from 2026-10-01",
        ),
        ({TIERED: HEAD + "India,utility,0,,0.0014\n"}, f"{TIERED}: the card that it belongs to is missing"),
        (
            {GOOD[0]: GOOD[1], TIERED: HEAD + "India,utility,0,,0.0015\n"},
            f"{TIERED}, row 2, rate: 0.0015 is not the utility rate of 'India' on the card",
        ),
        (
            {GOOD[0]: GOOD[1], TIERED: HEAD + "India,utility,0,10,0.0014\nIndia,utility,10,,0.0013\n"},
            f"{TIERED}, row 3, from: 10 does not follow the tier above",
        ),
        (
            {GOOD[0]: GOOD[1], TIERED: HEAD + "India,utility,0,,0.0014\nIndia,utility,11,,0.0013\n"},
            f"{TIERED}, row 3, from: 11 does not follow the tier above",
        ),
        (
            {GOOD[0]: GOOD[1], TIERED: HEAD + "India,utility,0,10,0.0014\n"},
            f"{TIERED}, to: the last utility tier of 'India' has an end",
        ),
        (
            {GOOD[0]: GOOD[1], TIERED: HEAD + 'India,utility,0,"1,000",0.0014\n'},
            f"{TIERED}, row 2, to: '1,000' is not a number of messages",
        ),
        (
            {GOOD[0]: GOOD[1], TIERED: HEAD + "India,utility,0,10,0.0014\nIndia,utility,11,5,0.0013\n"},
            f"{TIERED}, row 3, to: 5 comes before 11",
        ),
    ],
)
def test_a_wrong_card_is_named(texts, message):
    """A mistake in a card names the file, the row and the column."""
    with pytest.raises(ConfigError) as caught:
        parse(texts)

    assert message == str(caught.value)


def test_a_folder_without_cards_is_a_mistake(tmp_path):
    """Prices that are all unknown because a path is wrong would go unseen."""
    with pytest.raises(ConfigError) as caught:
        RateCards.load(tmp_path)

    assert f"{tmp_path}: holds no rate card" == str(caught.value)


def test_a_card_saved_by_a_spreadsheet_is_read(tmp_path):
    """A byte order mark and CRLF do no harm."""
    (tmp_path / GOOD[0]).write_bytes(b"\xef\xbb\xbf" + GOOD[1].replace("\n", "\r\n").encode())
    card = RateCards.load(tmp_path).on("USD", dt.date(2026, 10, 1))

    assert {"India": {"marketing": 11_800, "utility": 1_400}} == card.rates
