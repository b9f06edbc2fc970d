"""Own what a bench prints and leaves behind, and the options that all benches have."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gatekeeper.ledger.embedded import find_server


class Report:
    """What a bench prints, table by table, and leaves as JSON."""

    def __init__(self, name: str, given: argparse.Namespace) -> None:
        self._name = name
        self._path: Path = given.json or Path(tempfile.gettempdir()) / "gatekeeper-bench" / f"{name}.json"
        version = subprocess.run([str(find_server()), "--version"], capture_output=True, text=True, check=True).stdout
        self._said: dict[str, Any] = {
            "bench": name,
            "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%MZ"),
            "cores": len(os.sched_getaffinity(0)),
            "load_before": round(os.getloadavg()[0], 2),
            "python": platform.python_version(),
            "redis": re.findall(r"v=(\S+)", version)[0],
            "quick": given.quick,
            "tables": {},
        }
        print(", ".join(f"{key} {value}" for key, value in self._said.items() if key != "tables"))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *notes: str) -> None:
        """Print one table, and keep it."""
        written = [[_cell(cell) for cell in row] for row in [columns, *rows]]
        wide = [max(map(len, column)) for column in zip(*written, strict=True)]
        print(f"\n{title}")
        for row in written:
            print(
                "  "
                + "  ".join(
                    f"{cell:<{w}}" if n == 0 else f"{cell:>{w}}" for n, (cell, w) in enumerate(zip(row, wide, strict=True))
                )
            )
        for note in notes:
            print(f"  ({note})")
        sys.stdout.flush()
        self._said["tables"][title] = {"rows": [dict(zip(columns, row, strict=True)) for row in rows], "notes": notes}

    def kept(self) -> None:
        """Write the JSON."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._said, indent=2) + "\n")
        print(f"\nkept in {self._path}")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that every bench has."""
    one = argparse.ArgumentParser(description=doc)
    one.add_argument("--quick", action="store_true", help="only see that it runs: a few seconds, figures without worth")
    one.add_argument("--json", type=Path, metavar="FILE", help="where the figures go (default: the system's temporary folder)")
    return one
