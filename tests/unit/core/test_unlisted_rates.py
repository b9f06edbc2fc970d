"""Rates that stand on no list card: from which day to which, in which currency, and what a wrong row is told."""

from __future__ import annotations

import datetime as dt
import shutil

import pytest

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.regimes import Regimes

PLATFORM = Regimes.load(data_dir("config")).platform
AI = "general_purpose_ai"


@pytest.mark.parametrize(
    ("market", "currency", "day", "expected"),
    [
        ("Italy", "USD", "2026-02-15", None),
        ("Italy", "USD", "2026-02-16", (69_100, "2026-02-16")),
        ("Italy", "USD", "2026-05-12", (69_100, "2026-02-16")),
        ("Italy", "USD", "2026-05-13", None),
        ("Italy", "EUR", "2026-03-01", (57_200, "2026-02-16")),
        ("Italy", "GBP", "2026-03-01", (49_800, "2026-02-16")),
        ("Italy", "INR", "2026-03-01", None),
        ("Brazil", "USD", "2026-09-30", None),
        ("Brazil", "USD", "2026-10-01", (62_500, "2026-03-11")),
        ("Brazil", "EUR", "2026-10-01", None),
        ("France", "USD", "2026-03-11", None),
    ],
)
def test_what_is_known_of_ai_providers_own_card(market, currency, day, expected):
    """The rate in micro-units, and the day that it is from. Source: Meta, "AI providers" pricing, copies of 2026-03-04 and 2026-05-21."""
    found = PLATFORM.unlisted_rate(AI, market, currency, dt.date.fromisoformat(day))

    assert expected == (found and (found[0], str(found[1])))


def test_another_category_has_none():
    """A template to Italy costs what the list card says."""
    assert PLATFORM.unlisted_rate("marketing", "Italy", "USD", dt.date(2026, 3, 1)) is None


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ("-1", "'-1' is less than nothing"),
        ("0.0000001", "'0.0000001' is not a decimal number of at most six places"),
        ("much", "'much' is not a decimal number"),
    ],
)
def test_a_wrong_rate_is_named(tmp_path, rate, message):
    """With the file and the row that it stands in."""
    config = tmp_path / "config"
    shutil.copytree(data_dir("config"), config)
    with (config / "platform.toml").open("a") as file:
        file.write(
            f'\n[[unlisted_rate]]\ncolumn = "{AI}"\nmarket = "Italy"\neffective = 2027-01-01\nrates = {{ USD = "{rate}" }}\n'
        )
    with pytest.raises(ConfigError) as caught:
        Regimes.load(config)

    assert str(caught.value).startswith(f"{config / 'platform.toml'}: {message} - at `$.unlisted_rate[")
