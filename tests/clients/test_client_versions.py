"""README.md calls tested what is pinned."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from sandboxed import NODE

ROOT = Path(__file__).parents[2]
TEST = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test"]
PYTHON = dict(line.split("==") for line in TEST if line.split("==")[0] in ("pywa", "heyoo"))
NPM = json.loads((NODE / "package.json").read_text())["dependencies"]


@pytest.mark.parametrize(("name", "version"), (PYTHON | NPM).items())
def test_the_readme_names_the_version_that_runs(name, version):
    """A row of the table of clients names the client and its pinned version."""
    rows = re.findall(r"^\|(.+?)\|(.+?)\|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    named = [row[1].strip() for row in rows if name in re.split(r"[`,\s]+", row[0])]

    assert [version] == named
