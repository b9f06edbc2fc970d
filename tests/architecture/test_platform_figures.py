"""What Meta may change on a quarter day is data: no price, window length, allowance or market stands in code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatekeeper.core.data import data_dir
from gatekeeper.core.rates import COLUMNS, RateCards

ROOT = Path(__file__).parents[2]
ROOMS = {"core", "meta", "ledger", "server", "engine", "replay"}
PACKAGE = ROOT / "gatekeeper"
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0].removesuffix(".py") in ROOMS
)
SCRIPTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "lua").rglob("*.lua"))

# Window lengths in hours, minutes, seconds and milliseconds; allowances and thresholds as they are counted.
LENGTHS = {hours * unit for hours in (24, 72, 168) for unit in (1, 60, 3_600, 3_600_000)}
COUNTS = {1_000, 750_000}
PRICE = re.compile(r"\d+\.\d{2,}")
CONVERSION = re.compile(r"(SECOND|MILLI|_MS$)")
CARDS = [card for cards in RateCards.load(data_dir("config") / "rates").by_currency.values() for card in cards]
MARKETS = {market for card in CARDS for market in card.rates}
# A figure that is ours rather than Meta's, and the reason why it stands in code, by (path, figure).
EXCEPTIONS: dict[tuple[str, object], str] = {
    ("gatekeeper/meta/bodies.py", 1000): "our own bound on the fields of a form, which a hostile caller could make endless",
    ("gatekeeper/core/markets.py", "Other"): "Meta's word for every country that its table does not list",
}

LUA_COMMENT_OR_TEXT = re.compile(r"--\[\[.*?\]\]|--[^\n]*|'(?P<one>[^'\n]*)'|\"(?P<two>[^\"\n]*)\"", re.DOTALL)
LUA_NUMBER = re.compile(r"(?<![\w.])\d[\w.]*")
LUA_WORDS = MARKETS | {card.currency for card in CARDS} | COLUMNS


def python_figures(text: str, *, core: bool) -> Iterator[object]:
    """Find what a Python module says that data should."""
    tree = ast.parse(text)
    allowed = set(conversions(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or node in allowed:
            continue
        value = node.value
        if isinstance(value, str):
            if value in MARKETS or PRICE.fullmatch(value):
                yield value
        elif (isinstance(value, float) and core) or (not isinstance(value, bool) and value in LENGTHS | COUNTS):
            yield value


def conversions(tree: ast.AST) -> Iterator[ast.expr]:
    """Find the numbers that turn one unit into another: factors, divisors, and constants that are named so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv | ast.Mod):
            yield from (side for side in (node.left, node.right) if isinstance(side, ast.Constant) and side.value in COUNTS)
        elif isinstance(node, ast.Assign) and all(
            isinstance(name, ast.Name) and CONVERSION.search(name.id) for name in node.targets
        ):
            yield node.value


def lua_figures(text: str) -> Iterator[str]:
    """Find what a script says that its caller should: any number above 9, and the words of a rate card."""
    for found in LUA_COMMENT_OR_TEXT.finditer(text):
        literal = found["one"] or found["two"]
        if literal in LUA_WORDS:
            yield literal
    bare = LUA_COMMENT_OR_TEXT.sub(" ", text)
    yield from (number for number in LUA_NUMBER.findall(bare) if not number.isdigit() or int(number) > 9)


@pytest.mark.parametrize("path", SOURCES)
def test_python_holds_no_figure_of_metas(path):
    """Lengths, allowances, prices and markets come from config; a float is not even a number in core."""
    found = set(python_figures((ROOT / path).read_text(), core="/core/" in path))

    assert {figure for where, figure in EXCEPTIONS if where == path} == found


@pytest.mark.parametrize("path", SCRIPTS)
def test_lua_holds_no_figure_of_metas(path):
    """A script compares what it is given, and knows no length, price, category, market or currency."""
    found = set(lua_figures((ROOT / path).read_text()))

    assert {figure for where, figure in EXCEPTIONS if where == path} == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("WINDOW = 24", [24]),
        ("WINDOW = 24 * 3600 * 1000", [24]),
        ("window = timedelta(hours=72)", [72]),
        ("WINDOW_MS: int = 86_400_000", [86_400_000]),
        ("ttl = 604800", [604_800]),
        ("FREE = 1000", [1000]),
        ("if used >= 1000: pass", [1000]),
        ("PRICE = Decimal('0.0042')", ["0.0042"]),
        ("PRICE = 0.0042", [0.0042]),
        ("if market == 'Rest of Africa': pass", ["Rest of Africa"]),
        ("SECOND_MS = 1000", []),
        ("at = seconds * 1000", []),
        ("at = at_ms // 1000", []),
        ("MICROS = 1_000_000", []),
        ("'''More than 24 hours have passed'''", []),
        ("version = '1.2.34'", []),
        ("yes = True", []),
    ],
)
def test_a_figure_in_python_is_seen(text, found):
    """A figure is found wherever it stands, and a conversion of units is none."""
    assert found == list(python_figures(text, core=True))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("local window = 24", ["24"]),
        ("local window = 864e5", ["864e5"]),
        ("local window = 0x18", ["0x18"]),
        ("local share = 0.5", ["0.5"]),
        ("if category == 'marketing' then", ["marketing"]),
        ('local currency = "USD"', ["USD"]),
        ("-- 24 hours, 'marketing'\n--[[ 72\n'USD' ]] local one = 9", []),
        ("redis.call('HGET', KEYS[2], 'x24')", []),
        ("local v2 = t1[3]", []),
    ],
)
def test_a_figure_in_lua_is_seen(text, found):
    """A figure is found outside comments, a word inside quotes."""
    assert found == list(lua_figures(text))


def test_an_exception_has_a_reason():
    """No exception outlives its module or goes without its reason."""
    assert [] == [key for key, reason in EXCEPTIONS.items() if key[0] not in {*SOURCES, *SCRIPTS} or not reason.strip()]
