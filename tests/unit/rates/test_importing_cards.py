"""The way into a folder of cards: read back by the loader, held against the card before, and noted."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
from pathlib import Path

import pytest
from downloads_of_meta import HEADINGS, NONE, RATES, TIERS, as_csv, as_workbook, list_rows, tier_rows, title, with_agent

import gatekeeper
from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError, InputError
from gatekeeper.core.rates import RateCards, Tier
from gatekeeper.rates.cards import noted, rates_text
from gatekeeper.rates.downloads import download
from gatekeeper.rates.importing import destination, downloads, drafts, prepare, refuse, write
from gatekeeper.rates.sheets import sheets

NEW_YEAR = dt.date(2027, 1, 1)
CARD, TIERS_OF_IT = "2027-01-01-pmp-USD.csv", "2027-01-01-pmp-USD-tiers.csv"
BEFORE = "market,marketing,utility,authentication,authentication_international,service\n"
USUAL = f"{BEFORE}Freedonia,0.0500,0.0200,0.0300,0.1360,0.0200\nRest of Sylvania,0.0250,0.0034,0.0034,,\n"


class House:
    """A folder of configuration with one card in force, and a place for downloads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config"
        self.cards = self.config / "rates"
        self.cards.mkdir(parents=True)
        (self.config / "markets.csv").write_text("iso2,market\nFR,Freedonia\nSY,Rest of Sylvania\n")
        self.card_of("2026-10-01", USUAL)

    def card_of(self, day: str, text: str, *, currency: str = "USD") -> None:
        (self.cards / f"{day}-pmp-{currency}.csv").write_text(text)

    def file(self, name: str, raw: bytes) -> Path:
        path = self.root / name
        path.write_bytes(raw)
        return path

    def prepare(self, *raws: bytes, effective: dt.date | None = None, folder: Path | None = None):
        files = [self.file(f"{n}.csv", raw) for n, raw in enumerate(raws)]
        return prepare(drafts(downloads(files), effective), folder or self.cards, self.config)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.cards / name).open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


BOTH = {
    "csv": (as_csv(list_rows()), as_csv(tier_rows())),
    "tiers first": (as_csv(tier_rows()), as_csv(list_rows())),
}


@pytest.mark.parametrize("raws", BOTH.values(), ids=BOTH)
def test_an_imported_card_is_loaded(house, raws):
    """What was written is what the gate reads, cell by cell."""
    found = house.prepare(*raws)
    write(found.texts, house.cards)
    card = RateCards.load(house.cards).on("USD", NEW_YEAR)

    assert [CARD, TIERS_OF_IT, "provenance.csv", "completeness.csv"] == list(found.texts)
    assert sorted([*found.texts, "2026-10-01-pmp-USD.csv"]) == sorted(path.name for path in house.cards.iterdir())
    assert (NEW_YEAR, "pmp", "USD") == (card.effective, card.model, card.currency)
    assert {
        "Freedonia": {
            "marketing": 60_000,
            "utility": 20_000,
            "authentication": 30_000,
            "authentication_international": 136_000,
            "service": 20_000,
        },
        "Rest of Sylvania": {"marketing": 25_000, "utility": 3_400, "authentication": 3_400},
    } == card.rates
    assert (
        Tier(first=0, last=80_000, rate=3_400),
        Tier(first=80_001, last=None, rate=3_200),
    ) == card.tiers["Rest of Sylvania", "utility"]
    assert 4 == len(card.tiers)


def test_a_workbook_and_csv_come_to_the_same_files(house):
    """Whatever shape the figures came in, the cards are the same bytes; only the notes name another source."""
    text = house.prepare(as_csv(list_rows()), as_csv(tier_rows())).texts
    book = house.prepare(as_workbook(List_rates=with_agent(list_rows()), Volume_tiers=tier_rows())).texts

    assert [text[CARD], text[TIERS_OF_IT], text["completeness.csv"]] == [book[CARD], book[TIERS_OF_IT], book["completeness.csv"]]
    assert text["provenance.csv"] != book["provenance.csv"]


@pytest.mark.parametrize(
    ("cell", "written"), [("0.02", "0.0200"), ("0.00003", "0.00003"), ("0.020000", "0.0200"), ("1,940.13", "1940.1300")]
)
def test_a_rate_has_one_form(cell, written):
    """Four places as Meta prints them, more where a rate is finer, and no separators."""
    (sheet,) = sheets(as_csv(list_rows([("Freedonia", "USD", cell, *NONE[:4])])), "list.csv")

    assert f"{BEFORE}Freedonia,{written},,,,\n" == rates_text(download(sheet).rates)


def test_an_import_that_was_only_prepared_has_written_nothing(house):
    """Everything is known before the first file is touched."""
    house.prepare(as_csv(list_rows()))

    assert ["2026-10-01-pmp-USD.csv"] == [path.name for path in house.cards.iterdir()]


def test_the_source_is_noted(house):
    """Every card says which file it was read from, and what it holds."""
    raws = as_csv(list_rows()), as_workbook(Volume_tiers=tier_rows())
    write(house.prepare(*raws).texts, house.cards)
    digests = [hashlib.sha256(raw).hexdigest() for raw in raws]

    assert [
        ("2027-01-01-pmp-USD", "*", "*", "primary", f"Meta's own file 0.csv, sha256 {digests[0]}"),
        ("2027-01-01-pmp-USD-tiers", "*", "*", "primary", f"Meta's own file 1.csv (sheet 'Volume tiers'), sha256 {digests[1]}"),
    ] == [tuple(row.values()) for row in house.table("provenance.csv")]
    assert [
        {
            "card": "2027-01-01-pmp-USD",
            "markets": "2",
            "marketing": "2",
            "utility": "2",
            "authentication": "2",
            "authentication_international": "1",
            "expected_authentication_international": "1",
            "service": "1",
            "business_initiated": "",
            "user_initiated": "",
        }
    ] == house.table("completeness.csv")


@pytest.mark.parametrize("file", ["provenance.csv", "completeness.csv"])
def test_other_notes_stay_as_they_are(file):
    """The notes that we ship come through unchanged, byte for byte, and a card's new note takes the place of its old ones."""
    text = (data_dir("config") / "rates" / file).read_text()
    added = noted(text, file, [{"card": "2026-01-01-pmp-USD", "markets": "new"}])

    assert text == noted(text, file, [])
    assert [line for line in text.splitlines() if "2026-01-01-pmp-USD" not in line] == [
        line for line in added.splitlines() if not line.startswith("2026-01-01-pmp-USD,")
    ]
    assert ["2026-01-01-pmp-USD", "new"] == [
        cell for line in added.splitlines() if line.startswith("2026-01-01-pmp-USD,") for cell in line.split(",")[:2]
    ]


def test_notes_stay_in_order():
    """A card's notes stand where its name belongs, so that a difference between two versions of them is short."""
    cards = ("2026-10-01-pmp-USD", "2026-04-01-pmp-USD", "2026-10-01-pmp-INR")
    text = noted("", "provenance.csv", [{"card": card} for card in cards])
    lines = noted(text, "provenance.csv", [{"card": "2026-07-01-pmp-USD"}]).splitlines()

    assert ["2026-04-01-pmp-USD", "2026-07-01-pmp-USD", "2026-10-01-pmp-INR", "2026-10-01-pmp-USD"] == [
        line.split(",")[0] for line in lines[1:]
    ]


def test_notes_in_another_shape_are_not_written_over():
    """A column that we do not know would be lost."""
    with pytest.raises(ConfigError) as caught:
        noted("card,mine\na,b\n", "provenance.csv", [])

    assert "provenance.csv, row 1: the columns are not card, markets, fields, status, basis" == str(caught.value)


def market(at: int, cell: str) -> bytes:
    """List rates with another cell in column *at* of Freedonia."""
    return as_csv(list_rows([(*RATES[0][:at], cell, *RATES[0][at + 1 :]), RATES[1]]))


@pytest.mark.parametrize(
    ("raw", "objections"),
    [
        (market(2, "0.5000"), ()),
        (
            market(2, "0.5001"),
            ("'Freedonia' marketing 0.0500 -> 0.5001 is more than tenfold what is on the card from 2026-10-01",),
        ),
        (market(2, "0.0050"), ()),
        (
            market(2, "0.0049"),
            ("'Freedonia' marketing 0.0500 -> 0.0049 is more than tenfold what is on the card from 2026-10-01",),
        ),
        (
            market(6, "0.0000"),
            ("'Freedonia' service 0.0200 -> 0.0000 is more than tenfold what is on the card from 2026-10-01",),
        ),
        # What a card no longer says, or never said, is unknown: that costs nobody money unseen.
        (market(6, "n/a"), ()),
        (as_csv(list_rows(RATES[:1])), ("'Rest of Sylvania' is missing, which is on the card from 2026-10-01",)),
        (as_csv(list_rows([*RATES, ("Ruritania", "USD", "9", *RATES[0][3:])])), ()),
    ],
)
def test_a_card_is_held_against_the_one_before(house, raw, objections):
    """A rate that moves more than tenfold either way, or a market that is gone, is more likely a slip than a price."""
    assert tuple(f"2027-01-01-pmp-USD: {one}" for one in objections) == house.prepare(raw).objections


def test_the_card_before_is_the_last_one_of_that_currency(house):
    """Neither another currency, nor an older card, nor one that comes later is compared with."""
    other = f"{BEFORE}Freedonia,9,9,9,9,9\nElsewhere,9,9,9,9,9\n"
    house.card_of("2026-12-01", other, currency="EUR")
    house.card_of("2026-07-01", other)
    house.card_of("2027-04-01", other)
    found = house.prepare(as_csv(list_rows()))

    assert () == found.objections
    assert "against the pmp card from 2026-10-01:" in found.lines


def test_a_folder_of_its_own_is_held_against_the_installed_cards(house, tmp_path):
    """An empty folder is no reason to believe a slip."""
    found = house.prepare(market(2, "5.0000"), folder=tmp_path / "elsewhere")

    assert (
        "2027-01-01-pmp-USD: 'Freedonia' marketing 0.0500 -> 5.0000 is more than tenfold what is on the card from 2026-10-01",
    ) == found.objections


def test_the_first_card_of_a_currency_is_held_against_nothing(house):
    """There is nothing to say about it but that."""
    found = house.prepare(as_csv(list_rows([(*RATES[0][:1], "A$", *RATES[0][2:])], first=title("AUD"))))

    assert ("2027-01-01-pmp-AUD: 1 markets", "the first card in AUD") == found.lines
    assert () == found.objections


def test_the_difference_is_told(house):
    """New markets, lost ones, columns as a whole, then rates market by market."""
    house.card_of("2026-10-01", "market,marketing,utility,authentication\nFreedonia,0.05,0.02,0.03\nKlopstokia,1,1,1\n")
    found = house.prepare(as_csv(list_rows()), as_csv(tier_rows()))

    assert (
        "2027-01-01-pmp-USD: 2 markets",
        "against the pmp card from 2026-10-01:",
        "  new market: Rest of Sylvania",
        "  market gone: Klopstokia",
        "  authentication_international: rates for 0 markets before, now for 1",
        "  service: rates for 0 markets before, now for 1",
        "  Freedonia: marketing 0.0500 -> 0.0600",
        "  volume tiers: 4, one a market and category; 4 new, 0 gone, 0 changed",
    ) == found.lines


def test_a_card_without_a_difference_says_so(house):
    """Silence would look like a card that was not compared."""
    house.card_of("2026-10-01", USUAL.replace("0.0500", "0.0600"))

    assert ("2027-01-01-pmp-USD: 2 markets", "against the pmp card from 2026-10-01:", "  no rate has changed") == house.prepare(
        as_csv(list_rows())
    ).lines


def test_a_market_that_no_country_leads_to_is_told(house):
    """A card alone moves no country: until the table of countries does, nobody is priced by the new market."""
    found = house.prepare(as_csv(list_rows([*RATES, ("Ruritania", *RATES[0][1:])])))

    assert "  no country of markets.csv leads to: Ruritania" in found.lines


def test_the_same_card_again_changes_nothing(house):
    """An import may be repeated; there is nothing left to write, and nothing against it."""
    raws = as_csv(list_rows()), as_csv(tier_rows())
    write(house.prepare(*raws).texts, house.cards)
    again = house.prepare(*raws)

    assert ({}, ()) == (again.texts, again.objections)


@pytest.mark.parametrize(
    ("there", "objections"),
    [
        (USUAL.replace("0.0500", ""), ()),
        (f"{BEFORE}Rest of Sylvania,0.0250,,,,\n", ()),
        (USUAL.replace("0.0500", "0.06"), ()),
        (USUAL, ("2027-01-01-pmp-USD: is there already and says otherwise",)),
        (
            USUAL.replace("0.0500", "0.06") + "Ruritania,1,1,1,,\n",
            ("2027-01-01-pmp-USD: is there already and says otherwise",),
        ),
    ],
)
def test_a_card_that_is_there_is_filled_in_but_not_contradicted(house, there, objections):
    """What was unknown may become known; a rate that is already charged by is only replaced on purpose."""
    house.card_of("2027-01-01", there)
    found = house.prepare(as_csv(list_rows()))

    assert objections == found.objections
    assert "in place of the card that is there:" in found.lines or CARD in found.texts


def test_other_tiers_contradict_those_that_are_there(house):
    """Tiers are part of what a card says."""
    write(house.prepare(as_csv(list_rows()), as_csv(tier_rows())).texts, house.cards)
    cheaper = [*TIERS[:4], ("", "USD", "80,001", "--", "Tier rate", "0.0031", "-9%", *NONE, *NONE)]

    assert ("2027-01-01-pmp-USD: is there already and says otherwise",) == house.prepare(as_csv(tier_rows(cheaper))).objections


def test_tiers_may_follow_their_card(house):
    """The two files are published apart, and may be imported so."""
    write(house.prepare(as_csv(list_rows())).texts, house.cards)
    found = house.prepare(as_csv(tier_rows()))

    assert ([TIERS_OF_IT, "provenance.csv"], ()) == (list(found.texts), found.objections)


def test_a_given_day_wins_over_the_title(house):
    """Meta has left an old date in a title (June 2023, in July 2024); that the two differ is told."""
    found = house.prepare(as_csv(list_rows()), effective=dt.date(2027, 4, 1))

    assert "2027-04-01-pmp-USD.csv" in found.texts
    assert f"  {house.root / '0.csv'} is titled 2027-01-01" in found.lines


@pytest.mark.parametrize(
    ("raws", "message"),
    [
        (
            (as_csv(list_rows(first="Cost per message in USD")),),
            "0.csv, row 1: the title holds no date: give it with --effective",
        ),
        (
            (as_csv(list_rows()), as_workbook),
            "1.csv, sheet 'List rates': is 2027-01-01-pmp-USD a second time, after 0.csv",
        ),
        (
            (as_csv(tier_rows()), market(3, "0.0210")),
            "0.csv, row 6, utility rate: 'Freedonia' has the list rate 0.0200 here, but 0.0210 in 1.csv",
        ),
        (
            (as_csv(list_rows(RATES[:1])), as_csv(tier_rows())),
            "1.csv, row 9, utility rate: 'Rest of Sylvania' has the list rate 0.0034 here, but none in 0.csv",
        ),
    ],
)
def test_files_that_do_not_belong_together_are_named(house, raws, message, monkeypatch):
    """Two cards for one day, or tiers that begin elsewhere than the list, are one file too many or a wrong one."""
    monkeypatch.chdir(house.root)
    made = [raw(List_rates=list_rows()) if callable(raw) else raw for raw in raws]
    files = [house.file(f"{n}.csv", raw).relative_to(house.root) for n, raw in enumerate(made)]
    with pytest.raises(InputError) as caught:
        drafts(downloads(files))

    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("raws", "message"),
    [
        ((as_csv(tier_rows()),), f"{TIERS_OF_IT}: the card that it belongs to is missing"),
        (
            (as_csv(list_rows(first="Cost per conversation in USD, effective October 1, 2026")),),
            "2026-10-01-pmp-USD.csv: a second USD card from 2026-10-01",
        ),
    ],
)
def test_a_card_that_the_gate_could_not_load_is_not_written(house, raws, message):
    """The folder as it would become is read as the gate reads it; this is its word."""
    with pytest.raises(ConfigError) as caught:
        house.prepare(*raws)

    assert message == str(caught.value)


def test_a_list_that_leaves_its_tiers_behind_is_not_written(house):
    """Whoever replaces a list rate brings the tiers that begin with it."""
    write(house.prepare(as_csv(list_rows()), as_csv(tier_rows())).texts, house.cards)
    with pytest.raises(ConfigError) as caught:
        house.prepare(market(3, "0.0210"))

    assert f"{TIERS_OF_IT}, row 2, rate: 0.0200 is not the utility rate of 'Freedonia' on the card" == str(caught.value)


def test_columns_may_stand_in_any_order(house):
    """Headings say what a column is, not its place."""
    turned = [(row[0], *reversed(row[1:])) for row in RATES]
    rows = list_rows(turned, headings=(HEADINGS[0], *reversed(HEADINGS[1:])))

    assert house.prepare(as_csv(list_rows())).texts[CARD] == house.prepare(as_csv(rows)).texts[CARD]


@pytest.mark.parametrize(
    ("objections", "message"),
    [
        (("a",), "a; if that is right, --force takes it"),
        (("a", "b", "c"), "a; b; c; if that is right, --force takes it"),
        (("a", "b", "c", "d", "e"), "a; b; c; and 2 more; if that is right, --force takes it"),
    ],
)
def test_a_refusal_is_one_line(objections, message):
    """However much is odd, the first of it is enough to look."""
    refuse(())
    with pytest.raises(InputError) as caught:
        refuse(objections)

    assert message == str(caught.value)


def test_a_checkout_has_a_place_for_cards(tmp_path):
    """Without a folder a checkout's own is meant; with one it need not exist yet."""
    assert tmp_path / "rates" == destination(None, tmp_path)
    assert tmp_path / "new" == destination(tmp_path / "new", tmp_path)


def test_an_installed_package_is_not_written_into():
    """The next installation would take the cards away again."""
    config = Path(gatekeeper.__file__).parent / "_data" / "config"
    with pytest.raises(InputError) as caught:
        destination(None, config)

    assert "the installed package keeps its cards to itself: say where to put them with --to" == str(caught.value)


def test_a_file_is_no_folder(tmp_path):
    """A card is not written over something else."""
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError) as caught:
        destination(tmp_path / "x", tmp_path)

    assert f"{tmp_path / 'x'}: is not a folder" == str(caught.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """A fault of the file system is one line as well."""
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError) as caught:
        write({"a.csv": "a"}, tmp_path / "x" / "y")

    assert f"{tmp_path / 'x' / 'y'}: Not a directory" == str(caught.value)
