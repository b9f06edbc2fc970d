"""Markets: the longest prefix says which, the local day says since when."""

from __future__ import annotations

import csv
import datetime as dt
import itertools

import pytest

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.markets import Market, Markets, parse
from gatekeeper.core.rates import RateCards

FOLDER = data_dir("config")
MARKETS = Markets.load(FOLDER)
TODAY = dt.date(2026, 11, 20)


@pytest.mark.parametrize(
    ("recipient", "country", "market"),
    [
        ("4915112345678", "DE", "Germany"),
        ("919876543210", "IN", "India"),
        ("5511987654321", "BR", "Brazil"),
        # North America has one calling code: the area code tells its countries apart, and only three are listed away from it.
        ("16505551234", "US", "North America"),
        ("14165551234", "CA", "North America"),
        ("18095551234", "DO", "Rest of Latin America"),
        ("18295551234", "DO", "Rest of Latin America"),
        ("18495551234", "DO", "Rest of Latin America"),
        ("16585551234", "JM", "Rest of Latin America"),
        ("18765551234", "JM", "Rest of Latin America"),
        ("17875551234", "PR", "Rest of Latin America"),
        ("19395551234", "PR", "Rest of Latin America"),
        ("18685551234", "TT", "Other"),
        ("12425551234", "BS", "Other"),
        # Russia and Kazakhstan share 7; the digit after it is Kazakhstan's when it is 6 or 7.
        ("79161234567", "RU", "Russia"),
        ("77012345678", "KZ", "Kazakhstan"),
        ("76012345678", "KZ", "Kazakhstan"),
        # Others that hide behind a neighbour's code.
        ("447400123456", "GB", "United Kingdom"),
        ("390612345678", "IT", "Italy"),
        ("358401234567", "FI", "Rest of Western Europe"),
        ("212612345678", "MA", "Morocco"),
        ("38349123456", "XK", "Other"),
        # Unlisted countries are Other, whatever a map says.
        ("821012345678", "KR", "Other"),
        ("352621123456", "LU", "Other"),
        # Several countries share 590, and nobody's is 999: the market is known, the country is not.
        ("590690123456", None, "Other"),
        ("99912345678", None, "Other"),
        # A code cut short is not a country's.
        ("2", None, "Other"),
        # A business-scoped user id says its country itself, in either case; a parent's too; an unlisted one is Other.
        ("US.13491208655302741918", "US", "North America"),
        ("ca.13491208655302741918", "CA", "North America"),
        ("BR.ENT.11815799212886844830", "BR", "Brazil"),
        ("KZ.1", "KZ", "Kazakhstan"),
        ("ZZ.1", None, "Other"),
        ("GG.1", "GG", "Other"),
        # What is neither has no market, rather than a wrong one.
        ("", None, None),
        ("+4915112345678", None, None),
        ("01512345678", None, None),
        ("abc", None, None),
        ("US.", None, None),
        ("US", None, None),
        ("٤٩١٥١١٢٣٤٥٦٧٨", None, None),
        ("Y2FwaV9ncm91cDoxNzA1NTU1MDEzOQZDZD", None, None),
    ],
)
def test_where_a_recipient_belongs(recipient, country, market):
    """The longest known prefix decides, or the country of a BSUID."""
    assert (country, market) == (MARKETS.country(recipient), MARKETS.market(recipient, TODAY))


@pytest.mark.parametrize(
    ("recipient", "switch", "before", "after"),
    [
        ("263771234567", dt.date(2025, 10, 1), "Other", "Rest of Africa"),
        ("85251234567", dt.date(2026, 7, 1), "Rest of Asia Pacific", "Hong Kong"),
        ("36201234567", dt.date(2026, 7, 1), "Rest of Central & Eastern Europe", "Hungary"),
        ("48501234567", dt.date(2026, 7, 1), "Rest of Central & Eastern Europe", "Poland"),
        ("97433123456", dt.date(2026, 7, 1), "Rest of Middle East", "Qatar"),
        ("40712345678", dt.date(2026, 7, 1), "Rest of Central & Eastern Europe", "Romania"),
        ("6581234567", dt.date(2026, 7, 1), "Rest of Asia Pacific", "Singapore"),
        ("8801712345678", dt.date(2026, 10, 1), "Rest of Asia Pacific", "Bangladesh"),
        ("9647701234567", dt.date(2026, 10, 1), "Rest of Middle East", "Iraq"),
        ("77012345678", dt.date(2026, 10, 1), "Other", "Kazakhstan"),
        ("96550123456", dt.date(2026, 10, 1), "Rest of Middle East", "Kuwait"),
        ("212612345678", dt.date(2026, 10, 1), "Rest of Africa", "Morocco"),
        ("9779812345678", dt.date(2026, 10, 1), "Rest of Asia Pacific", "Nepal"),
        ("96892123456", dt.date(2026, 10, 1), "Rest of Middle East", "Oman"),
        ("94712345678", dt.date(2026, 10, 1), "Rest of Asia Pacific", "Sri Lanka"),
        ("380501234567", dt.date(2026, 10, 1), "Rest of Central & Eastern Europe", "Ukraine"),
        ("UA.1234567", dt.date(2026, 10, 1), "Rest of Central & Eastern Europe", "Ukraine"),
    ],
)
def test_a_country_moves_on_its_day(recipient, switch, before, after):
    """The market is the old one through the day before, and the new one from the day itself."""
    found = [MARKETS.market(recipient, day) for day in (switch - dt.timedelta(days=1), switch, TODAY)]

    assert [before, after, after] == found


IN_DOUBT = [
    *[(number, "US", "North America") for number in ("1340", "1670", "1671", "1684")],
    *[(number, "MA", "Morocco") for number in ("2125288", "2125289")],
    ("35818", "FI", "Rest of Western Europe"),
    ("3906698", "IT", "Italy"),
    *[(f"44{prefix}", "GB", "United Kingdom") for prefix in ("1481", "7781", "7839", "7911", "79111", "79117")],  # Guernsey
    *[(f"44{prefix}", "GB", "United Kingdom") for prefix in ("1624", "7524", "7624", "7924", "74576")],  # Isle of Man
    *[(f"44{prefix}", "GB", "United Kingdom") for prefix in ("1534", "7509", "7700", "7797", "7829", "7937")],  # Jersey
    *[(f"44{prefix}", "GB", "United Kingdom") for prefix in ("77003", "77007", "77008")],
    ("4779", "NO", "Rest of Western Europe"),
    *[(number, "AU", "Rest of Asia Pacific") for number in ("6189162", "6189164")],
]


@pytest.mark.parametrize("rest", ["0000000", "1234567", "9999999"])
@pytest.mark.parametrize(("prefix", "country", "market"), IN_DOUBT)
def test_a_territory_that_metas_list_does_not_name(prefix, country, market, rest):
    """Its numbers count as the country's whose calling code they share, and perhaps as what is not listed: Other."""
    number = prefix + rest

    assert Market(market, "Other") == MARKETS.charged(number, TODAY)
    assert (country, market) == (MARKETS.country(number), MARKETS.market(number, TODAY))


@pytest.mark.parametrize("number", ["447400123456", "447450123456", "16505551234", "212612345678", "390612345678", "4740123456"])
def test_its_neighbours_are_not_in_doubt(number):
    """Nor is a user of the territory whom a BSUID places there: no calling code is left to share."""
    assert ("", "") == (MARKETS.charged(number, TODAY).perhaps, MARKETS.charged("JE.1", TODAY).perhaps)


def test_a_territory_moves_with_its_country():
    """Morocco got a market of its own in October 2026; Western Sahara's numbers count as Morocco's in either time, or are Other."""
    found = [MARKETS.charged("212528812345", day) for day in (dt.date(2026, 9, 30), dt.date(2026, 10, 1))]

    assert [Market("Rest of Africa", "Other"), Market("Morocco", "Other")] == found


def test_two_readings_of_one_market_are_no_doubt():
    """Until Zimbabwe left Other, a territory beside it could be nothing else."""
    markets = parse(
        HEAD + "ZW,263,,Rest of Africa\nXX,263,9,Other\n",
        HISTORY + "ZW,Other,2023-06-01\nZW,Rest of Africa,2025-10-01\n",
        "iso2,in_doubt_with\nXX,ZW\n",
    )
    found = [markets.charged("2639", day) for day in (dt.date(2025, 9, 30), dt.date(2025, 10, 1))]

    assert [Market("Other"), Market("Rest of Africa", "Other")] == found


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("DE,XX", "markets_in_doubt.csv, row 2, in_doubt_with: 'XX' does not stand in markets.csv"),
        ("XX,DE", "markets_in_doubt.csv, row 2, iso2: 'XX' does not stand in markets.csv"),
    ],
)
def test_a_doubt_is_between_countries_of_the_table(row, message):
    """A country that is not there is a mistake, on either side."""
    with pytest.raises(ConfigError) as caught:
        parse(HEAD + "DE,49,,Germany\n", HISTORY, f"iso2,in_doubt_with\n{row}\n")

    assert message == str(caught.value)


def test_days_before_the_first_known_market_have_that_one():
    """The table begins in June 2023; nothing says that the year before was different."""
    assert "Other" == MARKETS.market("263771234567", dt.date(2022, 2, 1))


def test_every_market_is_on_todays_cards():
    """A market that no card names would be a price unknown for ever."""
    with (FOLDER / "markets.csv").open(newline="") as file:
        named = {row["market"] for row in csv.DictReader(file)}
    cards = RateCards.load(FOLDER / "rates")

    assert cards.on("USD", TODAY).rates.keys() == named
    assert cards.on("INR", TODAY).rates.keys() == named


@pytest.mark.parametrize("day", [dt.date(2023, 6, 1), dt.date(2025, 9, 30), dt.date(2026, 6, 30), dt.date(2026, 9, 30)])
def test_every_earlier_market_is_on_its_card(day):
    """No country is ever in a market that the card of the day does not price."""
    with (FOLDER / "markets.csv").open(newline="") as file:
        named = {MARKETS.market(f"{row['iso2']}.1", day) for row in csv.DictReader(file)}

    assert RateCards.load(FOLDER / "rates").on("USD", day).rates.keys() == named


def test_a_move_leaves_no_gap():
    """Each market of a country begins on the day after the last one ended."""
    with (FOLDER / "markets_history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pairs = [(one, other) for one, other in itertools.pairwise(rows) if one["iso2"] == other["iso2"]]

    assert 16 == len(pairs)
    assert [dt.date.fromisoformat(one["valid_to"]) + dt.timedelta(days=1) for one, _ in pairs] == [
        dt.date.fromisoformat(other["valid_from"]) for _, other in pairs
    ]


HEAD = "iso2,calling_code,network_prefix_if_needed,market\n"
HISTORY = "iso2,market,valid_from\n"


@pytest.mark.parametrize(
    ("countries", "history", "message"),
    [
        ("iso2,market\n", HISTORY, "markets.csv, row 1: the column 'calling_code' is missing"),
        (HEAD + "DE,49,,Germany\nDE,49,,Germany\n", HISTORY, "markets.csv, row 3, iso2: 'DE' stands here twice"),
        (HEAD + "DE,49,,\n", HISTORY, "markets.csv, row 2, market: is empty"),
        (HEAD + "DE,+49,,Germany\n", HISTORY, "markets.csv, row 2, calling_code: '+49' is not a number"),
        (
            HEAD + "US,1,,North America\nTT,1,,Other\n",
            HISTORY,
            "markets.csv, row 3, calling_code: shares a prefix with US, whose market is another",
        ),
        (HEAD, HISTORY + "PL,Poland,July\n", "markets_history.csv, row 2, valid_from: 'July' is not a date"),
        (HEAD, HISTORY + "PL,Poland,2026-07-01\n", "markets_history.csv, iso2: 'PL' does not stand in markets.csv"),
        (
            HEAD + "PL,48,,Poland\n",
            HISTORY + "PL,Other,2026-07-01\n",
            "markets.csv, row 2, market: 'Poland' here, but last 'Other' in markets_history.csv",
        ),
    ],
)
def test_a_wrong_table_is_named(countries, history, message):
    """A mistake in a table names the file, the row and the column."""
    with pytest.raises(ConfigError) as caught:
        parse(countries, history)

    assert message == str(caught.value)


def test_a_missing_table_is_named(tmp_path):
    """A folder without the tables is a mistake that names the file."""
    with pytest.raises(ConfigError, match=r"markets\.csv"):
        Markets.load(tmp_path)
