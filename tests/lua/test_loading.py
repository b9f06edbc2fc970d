"""How a script is put together of what it shares with others, and how what it is asked arrives in it."""

from __future__ import annotations

import re

import msgspec
import pytest
from verbs import Verbs

from gatekeeper.core.data import data_dir
from gatekeeper.ledger import scripts, shapes

SHARED = """--[[
shared: of two functions one calls the other.

Owns     nothing
Never    anything
]]

local ONE = 1

-- Says one.
local function inner() return ONE end

local function outer() return inner() end

local kinds = {}

function kinds.a() return outer() end

function kinds.b() return 2 end
"""
DEFINED = re.compile(r"^(?:local function |local |function )([\w.]+)", re.MULTILINE)
BODY = "--[[\nverb: is a test.\n\nKEYS[1]  key  STRING  gk\nARGV[1]  now  int  milliseconds\n]]\n\n"


class Held(shapes.Row, frozen=True, kw_only=True):
    word: str
    number: int
    said: bool
    rows: msgspec.Raw


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("return 0", []),
        ("return inner()", ["ONE", "inner"]),
        ("return outer()", ["ONE", "inner", "outer"]),
        ("return kinds.b()", ["ONE", "inner", "outer", "kinds", "kinds.a", "kinds.b"]),
        ("return 0  -- of the inner one", []),
    ],
)
def test_a_script_gets_what_it_uses(code, found):
    """And what that uses in turn, in its order; Redis makes every function anew for each call."""
    source = scripts.read("verb", BODY + code, scripts.parts("shared", SHARED)).source
    defined = DEFINED.findall(source.removesuffix(BODY + code))

    assert found == defined
    assert source.endswith(BODY + code)


@pytest.mark.parametrize("text", ["return 0", "--[[\nshared: has no end\n"])
def test_a_file_without_a_header_is_named(text):
    """Nobody could say what it owns."""
    with pytest.raises(ValueError, match=r"verb\.lua has no header"):
        scripts.read("verb", text)
    with pytest.raises(ValueError, match=r"shared\.lua has no header"):
        scripts.parts("shared", text)


@pytest.mark.parametrize("name", scripts.SHARED)
def test_what_is_shared_is_taken_apart_between_functions(lua, name):
    """No empty line cuts one in two: each part is understood by itself."""
    parts = scripts.parts(name, (data_dir("lua") / f"{name}.lua").read_text("utf-8"))

    assert parts
    assert [40] * len(parts) == [len(lua.redis.script_load(part)) for part in parts]


@pytest.mark.parametrize(
    ("word", "number"), [("", 0), ("x" * 31, -1), ("x" * 32, 127), ("ü" * 200, 2**31), ("x" * 70_000, 2**53), ("x", -(2**53))]
)
@pytest.mark.parametrize("said", [True, False])
def test_a_row_arrives_as_it_was_packed(lua: Verbs, word, number, said):
    """Each field is one value, whatever its length; a list is a string that holds the same again."""
    row = shapes.row(Held(word=word, number=number, said=said, rows=shapes.values(word, number)))
    script = """
        local word, number, said, rows = cmsgpack.unpack(ARGV[1])
        local again = {cmsgpack.unpack(rows)}
        return {word, string.format('%d', number), said and 1 or 0, #again, again[1], string.format('%d', again[2])}
    """
    packed = word.encode()

    assert [packed, b"%d" % number, int(said), 2, packed, b"%d" % number] == lua.redis.eval(script, 0, row)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 1000, 7000])
def test_a_list_of_rows_arrives(lua, length):
    """Of as many rows as a policy has rules."""
    listed = shapes.rows(Held(word=str(n), number=n, said=True, rows=shapes.NONE) for n in range(length))
    script = """
        local found = {}
        for _, row in ipairs({cmsgpack.unpack((cmsgpack.unpack(ARGV[1])))}) do found[#found + 1] = (cmsgpack.unpack(row)) end
        return found
    """

    assert [b"%d" % n for n in range(length)] == lua.redis.eval(script, 0, bytes(listed))


@pytest.mark.parametrize("length", [0, 1, 15, 16, 1000])
def test_a_flat_list_arrives(lua, length):
    """As the fields of its rows, one row after the other."""
    listed = shapes.flat(Held(word=str(n), number=n, said=True, rows=shapes.NONE) for n in range(length))
    script = """
        local fields, found = {cmsgpack.unpack((cmsgpack.unpack(ARGV[1])))}, {}
        for i = 1, #fields, 4 do found[#found + 1] = fields[i] .. fields[i + 1] .. fields[i + 3] end
        return found
    """

    assert [b"%d%d" % (n, n) for n in range(length)] == lua.redis.eval(script, 0, bytes(listed))
