"""Workbooks: what Meta hands out since October 2026, under the old name, comes to the same bytes as its CSV."""

from __future__ import annotations

import io
import zipfile

import pytest
from downloads_of_meta import RATES, TIERS, as_csv, as_workbook, list_rows, tier_rows, title, with_agent

from gatekeeper.core.errors import InputError
from gatekeeper.rates.cards import rates_text, tiers_text
from gatekeeper.rates.downloads import download
from gatekeeper.rates.sheets import sheets


def read(raw: bytes):
    return [download(sheet) for sheet in sheets(raw, "790341025_n.csv")]


def test_list_rates_come_to_the_same_bytes():
    """Neither the column about Meta's agent nor the row that the headings are in changes a card."""
    (text,) = read(as_csv(list_rows()))
    (book,) = read(as_workbook(List_rates=with_agent(list_rows())))

    assert (
        "market,marketing,utility,authentication,authentication_international,service\n"
        "Freedonia,0.0600,0.0200,0.0300,0.1360,0.0200\n"
        "Rest of Sylvania,0.0250,0.0034,0.0034,,\n"
    ) == rates_text(book.rates)
    assert rates_text(text.rates) == rates_text(book.rates)
    assert text.title == book.title


def test_volume_tiers_come_to_the_same_bytes():
    """Numbers, thousands and per cent are typed cells in a workbook and text in a CSV."""
    (text,) = read(as_csv(tier_rows()))
    (book,) = read(as_workbook(Volume_tiers=tier_rows()))

    assert (
        "market,category,from,to,rate,rate_type,discount_pct\n"
        "Freedonia,utility,0,250000,0.0200,list,0\n"
        "Freedonia,utility,250001,1000000,0.0190,tier,-5\n"
        "Freedonia,utility,1000001,,0.0140,tier,-30\n"
        "Freedonia,authentication,0,750000,0.0300,list,0\n"
        "Freedonia,authentication,750001,,0.0285,tier,-5\n"
        "Freedonia,authentication_international,0,750000,0.1360,list,0\n"
        "Freedonia,authentication_international,750001,,0.1292,tier,-5\n"
        "Rest of Sylvania,utility,0,80000,0.0034,list,0\n"
        "Rest of Sylvania,utility,80001,,0.0032,tier,-6\n"
    ) == tiers_text(book.tiers)
    assert tiers_text(text.tiers) == tiers_text(book.tiers)


def test_one_workbook_may_hold_both():
    """Each sheet is known by its headings; an empty one says nothing."""
    found = read(as_workbook(Volume_tiers=tier_rows(), Notes=[], List_rates=list_rows()))

    assert [("Volume tiers", 4, 0), ("List rates", 0, 2)] == [(one.source.sheet, len(one.tiers), len(one.rates)) for one in found]


@pytest.mark.parametrize(
    ("number", "rate"),
    [
        (0.0001, 100),
        (0.0003, 300),
        (0.07, 70_000),
        (0.29, 290_000),
        (1.1, 1_100_000),
        (0.000045, 45),
        (1e-06, 1),
        (1940.13, 1_940_130_000),
        (2.0, 2_000_000),
        (3, 3_000_000),
        ("0.0618", 61_800),
        ("1,940.13", 1_940_130_000),
    ],
)
def test_a_binary_fraction_is_the_decimal_that_was_typed(number, rate):
    """A workbook's numbers are doubles; the shortest decimal that is the same double is the printed rate."""
    (found,) = read(as_workbook(List_rates=list_rows([(*RATES[0][:2], number, *RATES[0][3:])])))

    assert rate == found.rates["Freedonia"]["marketing"]


@pytest.mark.parametrize(
    ("book", "message"),
    [
        (
            {"List_rates": list_rows([(*RATES[0][:2], 0.12345678, *RATES[0][3:])])},
            "sheet 'List rates', row 7, marketing: '0.12345678' is not a decimal number of at most six places",
        ),
        (
            {"List_rates": list_rows([(*RATES[0][:2], "#N/A", *RATES[0][3:])])},
            "sheet 'List rates', row 7, marketing: '#N/A' is not an amount",
        ),
        (
            {"List_rates": list_rows([(*RATES[0][:2], "", *RATES[0][3:])])},
            "sheet 'List rates', row 7, marketing: '' is not an amount",
        ),
        # A formula counts as what it came to when the workbook was saved, and this one never was by a spreadsheet.
        (
            {"List_rates": list_rows([(*RATES[0][:2], "=0.01+0.01", *RATES[0][3:])])},
            "sheet 'List rates', row 7, marketing: '' is not an amount",
        ),
        (
            {"List_rates": list_rows(), "Calls": [("Calling rates",)]},
            "sheet 'Calls': no row begins with the heading 'Market': neither list rates nor volume tiers",
        ),
        (
            {"Volume_tiers": tier_rows([("Freedonia", "EUR", *TIERS[0][2:])], first=title("$US"))},
            "sheet 'Volume tiers', row 6, currency: 'EUR' is not the USD of the title",
        ),
    ],
)
def test_what_is_not_understood_is_named(book, message):
    """A mistake in a workbook names the sheet as well."""
    with pytest.raises(InputError) as caught:
        read(as_workbook(**book))

    assert f"790341025_n.csv, {message}" == str(caught.value)


def packed(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_a_torn_workbook_is_named():
    """A download that broke off is one clear mistake."""
    with pytest.raises(InputError) as caught:
        read(as_workbook(List_rates=list_rows())[:500])

    assert "790341025_n.csv: begins like an .xlsx workbook but is not one" == str(caught.value)


def test_an_archive_that_unpacks_without_end_is_refused():
    """What an archive would unpack to is looked at before it is unpacked."""
    with pytest.raises(InputError) as caught:
        read(packed(bomb=bytes((64 << 20) + 1)))

    assert "790341025_n.csv: is too large for a rate card" == str(caught.value)


def test_a_workbook_without_a_cell_is_empty():
    """Empty sheets are left out, and here none is left."""
    with pytest.raises(InputError) as caught:
        read(as_workbook(Empty=[]))

    assert "790341025_n.csv: is empty" == str(caught.value)


def test_an_archive_of_something_else_is_named():
    """Whatever the library stumbles over becomes one line."""
    with pytest.raises(InputError) as caught:
        read(packed(readme=b"hello"))

    assert str(caught.value).startswith("790341025_n.csv: is not a workbook that can be read: ")


def test_what_a_workbook_says_of_its_own_size_is_not_believed():
    """Some writers leave a dimension that is too small; a market below it is a market all the same."""
    file = io.BytesIO(as_workbook(List_rates=list_rows()))
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    smaller = parts[sheet].replace(b'<dimension ref="A1:G8"', b'<dimension ref="A1:C7"')
    (found,) = read(packed(**{**parts, sheet: smaller}))

    assert smaller != parts[sheet]
    assert ["Freedonia", "Rest of Sylvania"] == list(found.rates)
