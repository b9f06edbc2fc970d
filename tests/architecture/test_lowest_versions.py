"""The lowest versions that pyproject.toml names are installed and tested by `.ci/run`."""

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


def test_the_lowest_versions_are_tested():
    """`.ci/run` tests them after everything else."""
    assert ".ci/lowest" == (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1]


def test_structs_are_decoded_by_a_version_that_can():
    """msgspec 0.19 and 0.20 answer some bodies with a ValidationError that 0.21 reads."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]

    assert "msgspec>=0.21,<1" in wanted
