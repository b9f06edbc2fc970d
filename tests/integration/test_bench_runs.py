"""The benches run: each prints its tables and leaves them as JSON. How fast anything was is not asserted."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
TABLES = {
    "proxy": 4,
    "decision": 3,
    "webhooks": 2,
    "growth": 4,
    "start": 2,
    "clients": 1,
}


@pytest.mark.parametrize("name", TABLES)
async def test_a_bench_prints_its_tables(name, tmp_path):
    """`--quick` is the same bench with figures without worth."""
    kept = tmp_path / "figures.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, f"bench/{name}.py", "--quick", "--json", str(kept)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    async with asyncio.timeout(PATIENCE_S):
        printed, complaints = (said.decode() for said in await process.communicate())
    assert (0, "") == (process.returncode, complaints)
    figures = json.loads(kept.read_text())

    assert name == figures["bench"]
    assert TABLES[name] == len(figures["tables"])
    assert [] == [title for title in figures["tables"] if title not in printed]
    assert any(table["rows"] for table in figures["tables"].values())
