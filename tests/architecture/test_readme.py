"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from readme_tables import README, TABLES, filled

ROOT = Path(__file__).parents[2]


def test_the_tables_are_the_codes_own():
    """The README's tables are written from the code's; run tests/architecture/readme_tables.py after a change."""
    text = README.read_text("utf-8")

    assert filled(text) == text
    assert all(table() in text for table in TABLES.values())


def test_ci_runs_the_readmes_test_command():
    """CI runs the command that the README names, to the letter."""
    command = re.search(r"# 2\. the tests\n(.+)\n", README.read_text("utf-8"))

    assert command is not None
    assert command[1] in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", ["LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "config/gatekeeper.toml", "config/sandbox.toml"])
def test_every_file_that_the_readme_names_is_there(name):
    """A link of the README leads somewhere."""
    assert name in README.read_text("utf-8")
    assert (ROOT / name).is_file()
