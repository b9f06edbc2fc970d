"""The lowest versions that pyproject.toml names are installed and tested by `.ci/lowest`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_dependency_has_a_lowest_version():
    """`.ci/lowest` installs exactly the version behind `>=`, so each dependency names one first."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    odd = [one for one in wanted if not re.match(r"[\w-]+>=\d+(\.\d+)*", one)]

    assert [] == odd
