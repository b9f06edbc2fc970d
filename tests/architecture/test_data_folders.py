"""`lua` and `config` are found from a wheel as well as from a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["lua", "config"])
def test_a_checkout_has_its_data_beside_the_package(name):
    """From a checkout or an editable install the top-level folder is used."""
    assert ROOT / name == data_dir(name)


def test_a_wheel_has_its_data_inside_the_package(tmp_path):
    """An installed package never takes a stranger's folder beside it for its own."""
    package = tmp_path / "gatekeeper"
    (package / "_data" / "lua").mkdir(parents=True)
    (tmp_path / "lua").mkdir()

    assert package / "_data" / "lua" == data_dir("lua", package=package)


def test_missing_data_is_one_clear_mistake(tmp_path):
    """The message names both places that were looked at."""
    package = tmp_path / "gatekeeper"
    with pytest.raises(ConfigError) as caught:
        data_dir("lua", package=package)

    assert f"the data folder 'lua' is missing: neither {package / '_data' / 'lua'} nor {tmp_path / 'lua'} exists" == str(
        caught.value
    )
