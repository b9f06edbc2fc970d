"""Meta's list rates: read as they were downloaded, or refused with the row and the column that is not understood."""

from __future__ import annotations

import datetime as dt

import pytest
from downloads_of_meta import HEADINGS, RATES, as_csv, list_rows, title

from gatekeeper.core.errors import InputError
from gatekeeper.rates.downloads import Download, download
from gatekeeper.rates.sheets import sheets
from gatekeeper.rates.wording import Title


def read(raw: bytes) -> Download:
    (sheet,) = sheets(raw, "list.csv")
    return download(sheet)


def test_a_download_is_read_as_it_is():
    """CRLF, a line feed inside a heading, prose above it and no newline at the end are how Meta writes it."""
    raw = as_csv(list_rows())
    found = read(raw)

    assert b'Authentication,"Authentication-\nInternational",Service\r\nFreedonia' in raw
    assert raw.endswith(b"n/a")
    assert {
        "Freedonia": {
            "marketing": 60_000,
            "utility": 20_000,
            "authentication": 30_000,
            "authentication_international": 136_000,
            "service": 20_000,
        },
        "Rest of Sylvania": {"marketing": 25_000, "utility": 3_400, "authentication": 3_400},
    } == found.rates
    assert Title(model="pmp", currency="USD", effective=dt.date(2027, 1, 1)) == found.title


def test_a_byte_order_mark_and_newlines_at_the_end_do_no_harm():
    """A spreadsheet that saved the file again changed none of its figures."""
    raw = as_csv(list_rows())

    assert read(raw).rates == read(b"\xef\xbb\xbf" + raw + b"\r\n,,,,,,\r\n\r\n").rates


@pytest.mark.parametrize(
    ("first", "named"),
    [
        (title("USD", "April 1, 2026"), Title(model="pmp", currency="USD", effective=dt.date(2026, 4, 1))),
        (title("$US", "October 31, 2026"), Title(model="pmp", currency="USD", effective=dt.date(2026, 10, 31))),
        (
            "Cost per conversation in USD, effective June 1, 2023",
            Title(model="cbp", currency="USD", effective=dt.date(2023, 6, 1)),
        ),
        ("Cost per message in USD on the WhatsApp Business Platform", Title(model="pmp", currency="USD", effective=None)),
    ],
)
def test_the_title_says_model_currency_and_day(first, named):
    """The first line is the only place with the date; cards before July 2025 count conversations."""
    assert named == read(as_csv(list_rows(first=first))).title


@pytest.mark.parametrize(
    ("spelling", "currency"),
    [
        ("USD", "USD"),
        ("$US", "USD"),
        ("A$", "AUD"),
        ("GBD", "GBP"),
        ("£", "GBP"),
        ("€", "EUR"),
        ("₹", "INR"),
        ("RP", "IDR"),
        ("Rp", "IDR"),
        ("MXN", "MXN"),
    ],
)
def test_a_currency_has_several_spellings(spelling, currency):
    """The currency column abbreviates as it likes, once with a slip of the pen; the title has the code."""
    markets = [(row[0], spelling, *row[2:]) for row in RATES]

    assert currency == read(as_csv(list_rows(markets, first=title(currency)))).title.currency


@pytest.mark.parametrize(
    ("cell", "rate"),
    [
        ("1,940.13", 1_940_130_000),
        ("1,234,567", 1_234_567_000_000),
        ("1940.13", 1_940_130_000),
        ("0.000001", 1),
        ("0.0000", 0),
        ("0", 0),
        (" 0.0200 ", 20_000),
    ],
)
def test_an_amount_is_exact(cell, rate):
    """Thousands are set apart where a currency is small; free is an amount, and not the same as none."""
    found = read(as_csv(list_rows([("Freedonia", "IDR", cell, *RATES[0][3:])], first=title("IDR"))))

    assert rate == found.rates["Freedonia"]["marketing"]


def changed(at: int, cell: str) -> list[tuple[str, ...]]:
    """The markets, with another cell in column *at* of the second one, in row 8."""
    first, second = RATES
    return [first, (*second[:at], cell, *second[at + 1 :])]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (list_rows(changed(3, "abc")), "list.csv, row 8, utility: 'abc' is not an amount"),
        (list_rows(changed(3, "")), "list.csv, row 8, utility: '' is not an amount"),
        (list_rows(changed(3, "1,94")), "list.csv, row 8, utility: '1,94' is not an amount"),
        (list_rows(changed(3, "-0.01")), "list.csv, row 8, utility: '-0.01' is not an amount"),
        (list_rows(changed(3, "$0.01")), "list.csv, row 8, utility: '$0.01' is not an amount"),
        (list_rows(changed(3, "٣.٤")), "list.csv, row 8, utility: '٣.٤' is not an amount"),
        (list_rows(changed(3, "--")), "list.csv, row 8, utility: '--' is not an amount"),
        (
            list_rows(changed(3, "0.0000014")),
            "list.csv, row 8, utility: '0.0000014' is not a decimal number of at most six places",
        ),
        (list_rows(changed(0, "Freedonia")), "list.csv, row 8, market: 'Freedonia' is empty or stands here twice"),
        (list_rows(changed(0, "")), "list.csv, row 8, market: '' is empty or stands here twice"),
        (list_rows(changed(1, "CHF")), "list.csv, row 8, currency: 'CHF' is not a currency that Meta is known to bill in"),
        (list_rows(changed(1, "$")), "list.csv, row 8, currency: '$' is not a currency that Meta is known to bill in"),
        (list_rows(changed(1, "€")), "list.csv, row 8, currency: '€' is not the USD of the title"),
        (list_rows([*RATES, ("* Note",)]), "list.csv, row 9, currency: '' is not a currency that Meta is known to bill in"),
        (list_rows([*RATES, ("", "", "", "", "", "", "", "x")]), "list.csv, row 9: 'x' stands under no heading"),
        (list_rows([]), "list.csv: holds no market"),
        (
            list_rows(headings=(*HEADINGS[:6], "Voice")),
            "list.csv, row 6: 'Voice' is not a column of list rates that is known",
        ),
        (
            list_rows(headings=(*HEADINGS[:5], "", HEADINGS[6])),
            "list.csv, row 6: '' is not a column of list rates that is known",
        ),
        (list_rows(headings=(*HEADINGS[:6], "utility")), "list.csv, row 6: the column 'Utility' stands here twice"),
        (list_rows(headings=("Market", "Marketing")), "list.csv, row 6: the column 'Currency' is missing"),
        (list_rows(headings=("Market", "Currency")), "list.csv, row 6: no column of rates stands here"),
        (
            list_rows(headings=("Country", *HEADINGS[1:])),
            "list.csv: no row begins with the heading 'Market': neither list rates nor volume tiers",
        ),
        (
            list_rows(first="Prices"),
            "list.csv, row 1: 'Prices' is not a title such as 'Cost per message in USD …, effective April 1, 2026'",
        ),
        (list_rows(first=title("CHF")), "list.csv, row 1: 'CHF' is not a currency that Meta is known to bill in"),
        (
            list_rows(first=title(effective="February 30, 2026")),
            "list.csv, row 1: 'February 30, 2026' is not a date such as 'April 1, 2026'",
        ),
        (
            list_rows(first=title(effective="Avril 1, 2026")),
            "list.csv, row 1: 'Avril 1, 2026' is not a date such as 'April 1, 2026'",
        ),
    ],
)
def test_what_is_not_understood_is_named(rows, message):
    """No figure is guessed at: the file, the row as a spreadsheet counts it and the column are named."""
    with pytest.raises(InputError) as caught:
        read(as_csv(rows))

    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "list.csv: is empty"),
        (b",,\r\n,,", "list.csv: is empty"),
        ("Märkte".encode("latin-1"), "list.csv: is neither an .xlsx workbook nor text in UTF-8"),
        (b'Market\r\n"India', "list.csv, line 2: unexpected end of data"),
        (b"x\n" * 10_001, "list.csv: is too large for a rate card"),
        (
            b"<!doctype html>",
            "list.csv: no row begins with the heading 'Market': neither list rates nor volume tiers",
        ),
    ],
)
def test_what_is_no_download_is_named(raw, message):
    """A link that has expired, or a wrong file, is not a card without markets."""
    with pytest.raises(InputError) as caught:
        read(raw)

    assert message == str(caught.value)
