"""Meta's volume tiers: sections side by side, markets filled down, and every tier held to the one above it."""

from __future__ import annotations

import pytest
from downloads_of_meta import NONE, SECTIONS, TIER_HEADINGS, TIERS, UNDER_SECTIONS, as_csv, tier_rows, title

from gatekeeper.core.errors import InputError
from gatekeeper.rates.downloads import Download, download
from gatekeeper.rates.sheets import sheets
from gatekeeper.rates.tiers import Step


def read(rows) -> Download:
    (sheet,) = sheets(as_csv(rows), "tiers.csv")
    return download(sheet)


def test_tiers_are_read_by_market_and_category():
    """A market stands on the first of its rows only, a section that it has none in is n/a throughout, and the last tier has no end."""
    assert {
        ("Freedonia", "utility"): (
            Step(row=6, first=0, last=250_000, rate=20_000, discount=0),
            Step(row=7, first=250_001, last=1_000_000, rate=19_000, discount=-5),
            Step(row=8, first=1_000_001, last=None, rate=14_000, discount=-30),
        ),
        ("Freedonia", "authentication"): (
            Step(row=6, first=0, last=750_000, rate=30_000, discount=0),
            Step(row=7, first=750_001, last=None, rate=28_500, discount=-5),
        ),
        ("Freedonia", "authentication_international"): (
            Step(row=6, first=0, last=750_000, rate=136_000, discount=0),
            Step(row=7, first=750_001, last=None, rate=129_200, discount=-5),
        ),
        ("Rest of Sylvania", "utility"): (
            Step(row=9, first=0, last=80_000, rate=3_400, discount=0),
            Step(row=10, first=80_001, last=None, rate=3_200, discount=-6),
        ),
    } == read(tier_rows()).tiers


def test_a_row_of_prose_between_sections_and_headings_is_not_needed():
    """Sections are found by their names, not by counting rows."""
    rows = tier_rows()

    assert [steps[0].rate for steps in read(rows).tiers.values()] == [
        steps[0].rate for steps in read([*rows[:3], *rows[4:]]).tiers.values()
    ]


def changed(row: int, at: int, *cells: str) -> list[tuple[str, ...]]:
    """The rows, with other cells from column *at* on in *row*, as a spreadsheet counts it."""
    rows = tier_rows()
    before = (*rows[row - 1], *("",) * (17 - len(rows[row - 1])))
    rows[row - 1] = (*before[:at], *cells, *before[at + len(cells) :])
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed(7, 2, "250,000"), "tiers.csv, row 7, utility from: '250,000' does not follow the tier above"),
        (changed(7, 2, "250,002"), "tiers.csv, row 7, utility from: '250,002' does not follow the tier above"),
        (changed(6, 2, "1"), "tiers.csv, row 6, utility from: '1' does not follow the tier above"),
        (changed(7, 3, "--"), "tiers.csv, row 8, utility from: '1,000,001' does not follow the tier above"),
        (changed(7, 3, "9"), "tiers.csv, row 7, utility to: '9' comes before '250,001'"),
        (changed(8, 3, "2,000,000"), "tiers.csv, row 8, utility to: the last tier of 'Freedonia' has an end"),
        (changed(7, 2, "many"), "tiers.csv, row 7, utility from: 'many' is not a number of messages"),
        (changed(7, 2, "250001.5"), "tiers.csv, row 7, utility from: '250001.5' is not a number of messages"),
        (changed(7, 3, ""), "tiers.csv, row 7, utility to: '' is not a number of messages"),
        (changed(7, 4, "List rate"), "tiers.csv, row 7, utility rate type: 'List rate' is not the type of tier 2"),
        (changed(6, 4, "Tier rate"), "tiers.csv, row 6, utility rate type: 'Tier rate' is not the type of tier 1"),
        (changed(7, 5, "free"), "tiers.csv, row 7, utility rate: 'free' is not an amount"),
        (changed(7, 5, "0.0201"), "tiers.csv, row 7, utility rate: '0.0201' is more than the tier above costs"),
        (changed(7, 6, "5"), "tiers.csv, row 7, utility discount: '5' is not a discount such as -5%"),
        (changed(7, 6, "0%"), "tiers.csv, row 7, utility discount: '0%' is not the discount of a tier rate"),
        (changed(6, 6, "-5%"), "tiers.csv, row 6, utility discount: '-5%' is not the discount of a list rate"),
        (changed(7, 9, "n/a"), "tiers.csv, row 7, authentication rate type: 'n/a' beside cells that are not"),
        (
            changed(7, 12, *NONE),
            "tiers.csv, row 6, authentication_international to: the last tier of 'Freedonia' has an end",
        ),
        (changed(7, 7, *NONE), "tiers.csv, row 6, authentication to: the last tier of 'Freedonia' has an end"),
        (changed(9, 0, "Freedonia"), "tiers.csv, row 9, market: 'Freedonia' is empty or stands here twice"),
        (changed(6, 0, ""), "tiers.csv, row 6, market: '' is empty or stands here twice"),
        (changed(7, 1, ""), "tiers.csv, row 7, currency: '' is not a currency that Meta is known to bill in"),
        (changed(7, 1, "A$"), "tiers.csv, row 7, currency: 'A$' is not the USD of the title"),
        (tier_rows([*TIERS, (*TIERS[3], "x")]), "tiers.csv, row 11: 'x' stands under no heading"),
        (tier_rows([]), "tiers.csv: holds no tiers"),
        (changed(3, 12, "Marketing"), "tiers.csv, row 3: the section 'Marketing' is unknown or stands here twice"),
        (changed(3, 12, "Utility"), "tiers.csv, row 3: the section 'Utility' is unknown or stands here twice"),
        (
            changed(5, 8, "From"),
            "tiers.csv, row 5, authentication: the columns are not From, To, Rate type, Rate and vs. List rate",
        ),
        (
            changed(5, 8, "Until"),
            "tiers.csv, row 5, authentication: the columns are not From, To, Rate type, Rate and vs. List rate",
        ),
        (changed(3, 7, ""), "tiers.csv, row 5, utility: the columns are not From, To, Rate type, Rate and vs. List rate"),
        (changed(3, 2, ""), "tiers.csv, row 5: 'From' belongs to no section"),
        (changed(5, 1, "Money"), "tiers.csv, row 5: the second column is not 'Currency'"),
        (tier_rows(sections=("",)), "tiers.csv, row 5: no rows above name the sections Utility, Authentication, …"),
        (
            [(title(),), SECTIONS, SECTIONS, UNDER_SECTIONS, TIER_HEADINGS, *TIERS],
            "tiers.csv, row 5: 2 rows above name the sections Utility, Authentication, …",
        ),
    ],
)
def test_what_is_not_understood_is_named(rows, message):
    """Tiers that do not join, that contradict themselves or that stand in unknown columns are refused with row and column."""
    with pytest.raises(InputError) as caught:
        read(rows)

    assert message == str(caught.value)


def test_two_sections_that_share_a_meter_share_their_bounds():
    """International authentication counts on where authentication is, so other bounds beside it are a slip."""
    rows = changed(6, 13, "900,000")
    rows[6] = (*rows[6][:12], "900,001", *rows[6][13:])
    with pytest.raises(InputError) as caught:
        read(rows)

    assert "tiers.csv, row 6, authentication_international: 'Freedonia' has other bounds there under authentication" == str(
        caught.value
    )
