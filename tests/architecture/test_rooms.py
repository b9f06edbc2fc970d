"""The house: rooms import one way, and each keeps to what it may know (`[tool.importlinter]` in pyproject.toml)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in CONFIG["contracts"]}
MODULE = re.compile(r"gatekeeper[\w.]*")
COMMAND = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(config_filename=sys.argv[1]))"


def built(layer: str) -> str:
    """Mark the modules of a layer that are not there yet as optional, which is import-linter's brackets."""

    def mark(found: re.Match[str]) -> str:
        path = ROOT / found[0].replace(".", "/")
        return found[0] if path.is_dir() or path.with_suffix(".py").is_file() else f"({found[0]})"

    return MODULE.sub(mark, layer)


def lint(folder: Path, contract: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Run import-linter on one contract; a TOML string or list of them is written as JSON's."""
    options = {key: value for key, value in contract.items() if key != "include_external_packages"}
    if "layers" in options:
        options["layers"] = [built(layer) for layer in contract["layers"]]
    lines = [
        "[tool.importlinter]",
        'root_package = "gatekeeper"',
        "include_external_packages = true",
        "[[tool.importlinter.contracts]]",
        *(f"{key} = {json.dumps(value)}" for key, value in options.items()),
    ]
    config = folder / "contract.toml"
    config.write_text("\n".join(lines))
    return subprocess.run([sys.executable, "-c", COMMAND, config], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_house_keeps_its_contracts(name, tmp_path):
    """Each contract of pyproject.toml holds over the source as it is."""
    answer = lint(tmp_path, CONTRACTS[name])

    assert 0 == answer.returncode, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    "contract",
    [
        {"name": "upside down", "type": "layers", "layers": ["gatekeeper.core", "gatekeeper.settings"]},
        {"name": "too strict", "type": "forbidden", "source_modules": ["gatekeeper.core"], "forbidden_modules": ["msgspec"]},
    ],
    ids=lambda contract: contract["name"],
)
def test_a_broken_contract_is_seen(contract, tmp_path):
    """A contract that the source does not keep fails, whether it is about our modules or about others'."""
    answer = lint(tmp_path, contract)

    assert 1 == answer.returncode
    assert f"{contract['name']} BROKEN" in answer.stdout
