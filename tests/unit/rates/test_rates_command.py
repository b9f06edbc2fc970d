"""`gatekeeper rates` as it is typed: what it prints, and what it refuses with exit code 2."""

from __future__ import annotations

import argparse
import datetime as dt
import shutil

import pytest
from downloads_of_meta import RATES, as_csv, as_workbook, list_rows, tier_rows, title

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError, InputError
from gatekeeper.core.rates import RateCards, parse
from gatekeeper.rates import add_parser
from gatekeeper.rates.showing import aligned, history, listed, named, shown

INSTALLED = data_dir("config") / "rates"
CARDS = parse(
    {
        "2023-06-01-cbp-USD.csv": "market,marketing,utility\nIndia,0.0099,0.0042\nOther,0.05,\n",
        "2026-04-01-pmp-USD.csv": "market,marketing,utility,authentication_international\nIndia,0.0118,0.0042,0.03\nOther,0.05,0.01,\n",
        "2026-07-01-pmp-USD.csv": "market,marketing\nIndia,0.012\nIndonesia,0.04\n",
        "2026-04-01-pmp-USD-tiers.csv": "market,category,from,to,rate\nIndia,utility,0,9,0.0042\nIndia,utility,10,,0.004\n",
        "2026-10-01-pmp-EUR.csv": "market,service\nIndia,0.001234\n",
    }
)
COUNTRIES = {"Kenya": "Rest of Africa", "India": "India"}


def rates(*arguments: str) -> None:
    """Run one command line."""
    parser = argparse.ArgumentParser(prog="gatekeeper")
    add_parser(parser.add_subparsers(required=True))
    given = parser.parse_args(["rates", *arguments])
    given.run(given)


def test_cards_are_listed():
    """Each says which columns are complete, which are not and by how much, and whether it has tiers."""
    notes = {"2026-04-01-pmp-USD": {"expected_authentication_international": "2"}}

    assert [
        "currency  model  from        markets  complete            incomplete                           tiers",
        "EUR       pmp    2026-10-01  1        service             -                                    -",
        "USD       cbp    2023-06-01  2        marketing           utility 1 of 2                       -",
        "USD       pmp    2026-04-01  2        marketing, utility  authentication_international 1 of 2  1 of 2",
        "USD       pmp    2026-07-01  2        marketing           -                                    -",
    ] == listed(CARDS, notes)


def test_installed_cards_are_listed(capsys):
    """The list is of what the gate would load."""
    rates("list")
    lines = capsys.readouterr().out.splitlines()

    assert 1 + sum(map(len, RateCards.load(INSTALLED).by_currency.values())) == len(lines)
    assert ["USD", "pmp", "2026-10-01", "47"] == lines[-1].split()[:4]
    assert ["authentication_international", "10", "of", "18", "1", "of", "47"] == lines[-1].split()[-7:]


def test_a_market_is_shown_on_a_day():
    """The card is the one in force that day, tiers and all."""
    assert [
        "India: USD per message, in force on 2026-06-30, from 2026-04-01",
        "marketing                     0.0118",
        "utility                       0.0042",
        "authentication_international  0.0300",
        "",
        "utility by messages in a month",
        "0 to 9            0.0042",
        "10 to any number  0.0040",
    ] == shown("India", CARDS, "USD", dt.date(2026, 6, 30))


def test_a_market_is_shown_through_time():
    """One line a card: a rate where it moved, a sign where it did not, another where it is not known."""
    assert [
        "on every card in USD (= as above, - none or not known)",
        "from        marketing  utility  authentication_international",
        "2023-06-01  0.0099     0.0042   -",
        "2026-04-01  0.0118     =        0.0300",
        "2026-07-01  0.0120     -        -",
    ] == history("India", CARDS, "USD")


@pytest.mark.parametrize(("given", "market"), [("India", "India"), ("INDIA", "India"), ("other", "Other")])
def test_a_market_is_named_in_any_case(given, market):
    """Nobody has to remember how Meta writes it."""
    assert market == named(given, CARDS, COUNTRIES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Inda", "'Inda' is not a market; near it: India, Indonesia"),
        ("Kenia", "'Kenia' is not a market; near it: Kenya (in 'Rest of Africa'), India"),
        ("kenya", "'kenya' is not a market: Kenya (in 'Rest of Africa')"),
        ("Zzz", "'Zzz' is not a market"),
        ("", "'' is not a market"),
    ],
)
def test_an_unknown_market_is_answered_with_near_ones(given, message):
    """A slip of the finger is told apart from a country without a rate of its own."""
    with pytest.raises(InputError) as caught:
        named(given, CARDS, COUNTRIES)

    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("market", "currency", "day", "message"),
    [
        ("India", "CHF", dt.date(2026, 7, 1), "no rate card is in 'CHF'; there are EUR, USD"),
        (
            "India",
            "USD",
            dt.date(2023, 5, 31),
            "no rate card in USD was in force on 2023-05-31; the first one is from 2023-06-01",
        ),
        (
            "Indonesia",
            "USD",
            dt.date(2026, 6, 30),
            "'Indonesia' was not a market of its own on the USD card from 2026-04-01",
        ),
    ],
)
def test_what_cannot_be_shown_is_named(market, currency, day, message):
    """A currency, a day or a market that there is no card for is no empty table."""
    with pytest.raises(InputError) as caught:
        shown(market, CARDS, currency, day)

    assert message == str(caught.value)


def test_show_looks_at_the_installed_cards(capsys):
    """With a day there is one card to show; without, the card of today and how it came to be."""
    rates("show", "india", "--on", "2023-06-01")
    then = capsys.readouterr().out.splitlines()
    rates("show", "india", "--currency", "inr")
    now = capsys.readouterr().out.splitlines()

    assert ["India: USD per conversation, in force on 2023-06-01, from 2023-06-01"] == then[:1]
    assert "on every card in INR (= as above, - none or not known)" in now
    assert not any(line.startswith("on every card") for line in then)


def test_check_says_what_it_understood(capsys, tmp_path, monkeypatch):
    """Our own files and Meta's are told apart by what they say."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2026-04-01-pmp-USD.csv").write_bytes(as_csv(list_rows()))
    shutil.copy(INSTALLED / "2023-06-01-cbp-USD.csv", tmp_path)
    shutil.copy(INSTALLED / "2026-10-01-pmp-USD.csv", tmp_path)  # only beside its tiers
    shutil.copy(INSTALLED / "2026-10-01-pmp-USD-tiers.csv", tmp_path)
    (tmp_path / "undated.csv").write_bytes(
        as_csv(list_rows([("Freedonia", "£", *RATES[0][2:])], first="Cost per conversation in £"))
    )
    (tmp_path / "790341025_n.csv").write_bytes(as_workbook(Volume_tiers=tier_rows()))
    rates(
        "check",
        *("2026-04-01-pmp-USD.csv", "undated.csv", "790341025_n.csv"),
        *("2023-06-01-cbp-USD.csv", "2026-10-01-pmp-USD-tiers.csv"),
    )

    assert [
        f"{name}: {said}"
        for name, said in {
            "2023-06-01-cbp-USD.csv": "USD per conversation from 2023-06-01: "
            "32 markets: marketing 32, utility 32, authentication 30, service 32",
            "2026-10-01-pmp-USD-tiers.csv": "USD per message from 2026-10-01: volume tiers, 6 of them",
            "2026-04-01-pmp-USD.csv": "Meta's own: USD per message from 2027-01-01: "
            "2 markets: marketing 2, utility 2, authentication 2, authentication_international 1, service 1",
            "undated.csv": "Meta's own: GBP per conversation without a date: "
            "1 markets: marketing 1, utility 1, authentication 1, authentication_international 1, service 1",
            "790341025_n.csv, sheet 'Volume tiers'": "Meta's own: USD per message from 2027-01-01: volume tiers, 9 of them",
        }.items()
    ] == capsys.readouterr().out.splitlines()


def test_every_installed_card_passes_its_own_check(capsys):
    """What we ship is understood, one line a file."""
    files = sorted(str(path) for path in INSTALLED.iterdir() if path.name[0].isdigit())
    rates("check", *files)

    assert files == [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("name", "text", "fault", "message"),
    [
        (
            "2027-01-01-pmp-USD.csv",
            "market,utility\nIndia,0,0014\n",
            ConfigError,
            "2027-01-01-pmp-USD.csv, row 2: 3 cells under 2 columns",
        ),
        (
            "2027-01-01-pmp-USD.csv",
            "markt,utility\nIndia,0.0014\n",
            ConfigError,
            "2027-01-01-pmp-USD.csv, row 1: the column 'market' is missing",
        ),
        (
            "mine.csv",
            "market,utility\nIndia,0.0014\n",
            ConfigError,
            "mine.csv: is not named <date>-<cbp or pmp>-<currency>.csv, with -tiers at the end for volume tiers",
        ),
        (
            "2027-01-01-pmp-USD-tiers.csv",
            "market,category,from,to,rate\nIndia,utility,0,,1\n",
            ConfigError,
            "2027-01-01-pmp-USD-tiers.csv: the card that it belongs to is missing",
        ),
        (
            "other.csv",
            "a,b\n1,2\n",
            InputError,
            "other.csv: no row begins with the heading 'Market': neither list rates nor volume tiers",
        ),
        ("missing.csv", None, InputError, "missing.csv: No such file or directory"),
        (".", None, InputError, ".: Is a directory"),
    ],
)
def test_check_names_the_mistake(tmp_path, monkeypatch, name, text, fault, message):
    """A file that the gate would not load, or an import would not take, is refused with its place."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(fault) as caught:
        rates("check", name)

    assert message == str(caught.value)


def test_check_holds_tiers_to_their_list(tmp_path, monkeypatch):
    """Two downloads of one card are checked against each other as well."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_bytes(as_csv(list_rows(RATES[:1])))
    (tmp_path / "tiers.csv").write_bytes(as_csv(tier_rows()))
    with pytest.raises(InputError) as caught:
        rates("check", "list.csv", "tiers.csv")

    assert ("tiers.csv, row 9, utility rate: 'Rest of Sylvania' has the list rate 0.0034 here, but none in list.csv") == str(
        caught.value
    )


def download(folder, rate: str = "0.0600"):
    """List rates in a currency that no installed card is in."""
    path = folder / "download.csv"
    path.write_bytes(as_csv(list_rows([("India", "MXN", rate, *RATES[0][3:])], first=title("MXN"))))
    return str(path)


def test_import_writes_a_card_that_loads(tmp_path, capsys):
    """Into a folder that need not be there."""
    cards = tmp_path / "cards"
    rates("import", download(tmp_path), "--to", str(cards))

    assert [
        "2027-01-01-pmp-MXN: 1 markets",
        "the first card in MXN",
        f"wrote {cards / '2027-01-01-pmp-MXN.csv'}",
        f"wrote {cards / 'provenance.csv'}",
        f"wrote {cards / 'completeness.csv'}",
    ] == capsys.readouterr().out.splitlines()
    assert 60_000 == RateCards.load(cards).on("MXN", dt.date(2027, 1, 1)).rate("India", "marketing")


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    """It tells what it would write."""
    rates("import", download(tmp_path), "--to", str(tmp_path / "cards"), "--dry-run")

    assert f"would write {tmp_path / 'cards' / '2027-01-01-pmp-MXN.csv'}" in capsys.readouterr().out.splitlines()
    assert ["download.csv"] == [path.name for path in tmp_path.iterdir()]


def test_an_odd_card_needs_force(tmp_path, capsys):
    """Without it nothing is written, but the difference is told; with it the card is taken."""
    cards = str(tmp_path / "cards")
    rates("import", download(tmp_path), "--to", cards)
    capsys.readouterr()
    arguments = "import", download(tmp_path, "6.0000"), "--to", cards, "--effective", "2027-04-01"
    with pytest.raises(InputError) as caught:
        rates(*arguments)
    told = capsys.readouterr().out.splitlines()
    files = len(list((tmp_path / "cards").iterdir()))
    rates(*arguments, "--force")

    assert (
        "2027-04-01-pmp-MXN: 'India' marketing 0.0600 -> 6.0000 is more than tenfold what is on the card from 2027-01-01"
        "; if that is right, --force takes it"
    ) == str(caught.value)
    assert "  India: marketing 0.0600 -> 6.0000" in told
    assert 3 == files
    assert 6_000_000 == RateCards.load(tmp_path / "cards").on("MXN", dt.date(2027, 4, 1)).rate("India", "marketing")


def test_an_import_may_be_repeated(tmp_path, capsys):
    """The second time there is nothing to do."""
    cards = tmp_path / "cards"
    rates("import", download(tmp_path), "--to", str(cards))
    capsys.readouterr()
    rates("import", download(tmp_path), "--to", str(cards))

    assert f"{cards} holds all of it already" == capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("guess",),
        ("show",),
        ("show", "India", "--on", "tomorrow"),
        ("check",),
        ("import",),
        ("import", "x", "--effective", "2027-13-01"),
    ],
)
def test_a_wrong_command_line_is_exit_code_two(arguments, capsys):
    """As everywhere."""
    with pytest.raises(SystemExit) as caught:
        rates(*arguments)

    assert 2 == caught.value.code
    assert capsys.readouterr().err


def test_columns_are_as_wide_as_they_must_be():
    """Nothing is left hanging at the end of a line."""
    assert ["a    b", "ccc"] == aligned([("a", "b"), ("ccc", "")])


def test_a_market_that_is_not_on_the_last_card_keeps_its_history():
    """A market that was merged away is still found by those who look back."""
    lines = history(named("other", CARDS, COUNTRIES), CARDS, "USD")

    assert ["2023-06-01", "2026-04-01"] == [line.split()[0] for line in lines[2:]]
