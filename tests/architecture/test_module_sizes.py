"""Every module can be read in one sitting."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMITS = {".py": 300, ".lua": 120}
# A longer file and the reason why it is one piece, by path from the root.
EXCEPTIONS: dict[str, str] = {}
MODULES = sorted(path.relative_to(ROOT).as_posix() for room in ("gatekeeper", "lua") for path in (ROOT / room).rglob("*"))


def too_long(path: str, text: str) -> bool:
    """Say whether a module is longer than its kind may be."""
    return len(text.splitlines()) > LIMITS[Path(path).suffix]


@pytest.mark.parametrize("path", [path for path in MODULES if Path(path).suffix in LIMITS])
def test_a_module_is_short(path):
    """Python has at most 300 lines, Lua 120; an exception has its reason, and goes when it is no longer one."""
    assert (path in EXCEPTIONS) == too_long(path, (ROOT / path).read_text())


def test_an_exception_is_a_module_with_a_reason():
    """No exception outlives its module or goes without its reason."""
    assert [] == [path for path, reason in EXCEPTIONS.items() if path not in MODULES or not reason.strip()]


@pytest.mark.parametrize(
    ("path", "lines", "answer"),
    [("a.py", 300, False), ("a.py", 301, True), ("a.lua", 120, False), ("a.lua", 121, True)],
)
def test_one_line_more_is_too_long(path, lines, answer):
    """The limit itself is allowed."""
    assert answer == too_long(path, "x\n" * lines)
