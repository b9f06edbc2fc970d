"""Every figure that we ship says where it comes from."""

from __future__ import annotations

import csv
from pathlib import Path

from gatekeeper.core.data import data_dir
from gatekeeper.core.rates import NOTES, RateCards

FOLDER = data_dir("config") / "rates"


def table(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="") as file:
        return list(csv.DictReader(file))


def cards() -> set[str]:
    return {path.stem for path in FOLDER.iterdir() if path.name not in NOTES}


def test_every_card_has_its_provenance():
    """A card or tiers file without a source is not shipped, and no source speaks of one that is not."""
    assert cards() == {row["card"] for row in table("provenance.csv")}


def test_every_source_says_how_it_was_read():
    """Each row of the provenance has a status and a basis."""
    assert [] == [
        row for row in table("provenance.csv") if not (row["markets"] and row["fields"] and row["status"] and row["basis"])
    ]


def test_every_card_has_its_completeness():
    """What is missing from a card is counted; tiers are not part of that count."""
    assert {card for card in cards() if not card.endswith("-tiers")} == {row["card"] for row in table("completeness.csv")}


def test_every_card_in_the_folder_is_loaded():
    """No file lies there unread under a name that is almost right."""
    loaded = {
        f"{card.effective}-{card.model}-{card.currency}{tiers}"
        for each in RateCards.load(FOLDER).by_currency.values()
        for card in each
        for tiers in ("", "-tiers")
        if not tiers or card.tiers
    }

    assert loaded == cards()
    assert {".csv"} == {Path(path).suffix for path in FOLDER.iterdir()}
