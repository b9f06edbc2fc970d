"""Read the scripts as text: their headers, what they bind, which commands and functions they call."""

from __future__ import annotations

import importlib
import re

import msgspec

from gatekeeper.core.data import data_dir
from gatekeeper.ledger import scripts, shapes

SCRIPTS = {path.stem: path.read_text("utf-8") for path in sorted(data_dir("lua").glob("*.lua"))}
VERBS = [name for name in SCRIPTS if name not in scripts.SHARED]
TAKE = "-- Take it all."

# Every command that a script calls; all are older than Redis 6.2. TIME is not among them: the moment is an argument.
READS = {"EXISTS", "GET", "HGET", "HGETALL", "HMGET", "LRANGE", "PTTL", "ZCOUNT", "ZRANGEBYSCORE", "ZSCORE"}
WRITES = {"DEL", "HDEL", "HINCRBY", "HSET", "PEXPIRE", "RENAME", "RPUSH", "SET", "ZADD", "ZREM"}
# What 6.2 takes less of than its successors do: PEXPIRE's NX, XX, GT and LT came with 7.0.
MOST_ARGUMENTS = {"PEXPIRE": 2}

# The shapes that scripts take apart, and how many fields such a one has at most.
ROWS = [one for one in shapes.Row.__subclasses__() if one.__module__ == shapes.__name__]
MOST_FIELDS = 15
# A shape that several kinds of guards share.
KINDS = {"clocked": ("turn", "absent")}

HEADER = re.compile(r"\A--\[\[\n(?P<name>\w+): (?P<summary>\S.*?\.)\n\n(?P<text>.*?)\n\]\]\n", re.DOTALL)
LINE = re.compile(r"^(?P<what>Owns|Never|Returns|Writes|Expires|KEYS\[\d+…?\]|ARGV\[\d+\]) +(?P<says>\S.*)$")
DECLARED = re.compile(r"^(?P<list>KEYS|ARGV)\[(?P<n>\d+)(?P<more>…?)\] +(?P<name>\w+) +(?P<type>\w+)", re.MULTILINE)
STRUCT = re.compile(r"\b(gatekeeper(?:\.\w+)+):(\w+)")
COMMENT = re.compile(r"--\[\[.*?\]\]|--[^\n]*", re.DOTALL)
LONG = re.compile(r"(?<=,)\n +(?=[\w, ]+ = unpack)")
BINDING = re.compile(r"^local (?P<names>[\w, ]+) = (?P<values>.*(?:KEYS|ARGV)\[.*)$", re.MULTILINE)
VALUE = re.compile(r"(?P<read>tonumber|unpack)?\(?(?P<list>KEYS|ARGV)\[(?P<n>\d+)\]\)?(?:, |$)")
USE = re.compile(r"\b(KEYS|ARGV)\[([^\]]+)\]")
CALL = re.compile(r"redis\.call\('(?P<command>\w+)'")
NAME = r"(?:local )?function (?P<{}>[\w.]+)\("
MADE = re.compile(
    r"^    (?P<kind>\w+) = function\((?P<arguments>[\w, ]*)\)(?:[^\n]*\bend,$|.*?^    end,$)", re.MULTILINE | re.DOTALL
)
FUNCTION = re.compile(rf"^{NAME.format('short')}[^\n]*\bend$|^{NAME.format('long')}.*?^end$", re.MULTILINE | re.DOTALL)


def body(name: str) -> str:
    """A script without its comments, but for the line that parts looking from taking."""
    text = COMMENT.sub(lambda found: found[0] if found[0] == TAKE else "", SCRIPTS[name])
    return LONG.sub(" ", text)


def declared(name: str) -> list[re.Match[str]]:
    return list(DECLARED.finditer(HEADER.match(SCRIPTS[name])["text"]))


def bound(name: str) -> list[tuple[str, str, int, str | None]]:
    """What a script names at its top: (local, KEYS or ARGV, number, how it is read)."""
    found = []
    for line in BINDING.finditer(body(name)):
        values = list(VALUE.finditer(line["values"]))
        assert line["values"] == "".join(value[0] for value in values), line[0]
        names = line["names"].split(", ")
        assert len(names) == len(values), line[0]
        found += [(local, value["list"], int(value["n"]), value["read"]) for local, value in zip(names, values, strict=True)]
    return found


def taken_apart(shape: type[shapes.Row]) -> list[list[str]]:
    """
    Into which locals a shape is unpacked, wherever it is.

    The row of a flat list is read field by field, from `[i]` on. The shape of a guard's terms goes to its kind as arguments, behind
    what all kinds are asked.
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", shape.__name__).lower()
    text = "".join(body(script) for script in SCRIPTS)
    locals_ = re.findall(rf"^ *local ([\w, ]+) = unpack\({name}(?:s\[\w+\])?\)", text, re.MULTILINE)
    for names, values in re.findall(rf"^ *local ([\w, ]+) = ({name}s\[i\](?:, {name}s\[i \+ \d\])*)$", text, re.MULTILINE):
        assert values == ", ".join(f"{name}s[i + {n}]" if n else f"{name}s[i]" for n in range(names.count(",") + 1))
        locals_.append(names)
    for made in MADE.finditer(body("guards")):
        if made["kind"] in KINDS.get(name, (name,)):
            locals_.append(made["arguments"].removeprefix("send, "))
    return [names.split(", ") for names in locals_]


def commands(text: str) -> set[str]:
    return {call["command"] for call in CALL.finditer(text)}


def writers(text: str) -> set[str]:
    """The functions of *text* that write, by themselves."""
    return {found["short"] or found["long"] for found in FUNCTION.finditer(text) if commands(found[0]) & WRITES}


def calls_of(names: set[str], text: str) -> list[str]:
    """Which of the functions *names* are called in *text*, outside of their own first line."""
    bare = re.sub(r"^(local )?function [^\n]*", lambda found: found[0].partition(")")[2], text, flags=re.MULTILINE)
    return sorted(name for name in names if re.search(rf"(?<![\w.]){re.escape(name)}\(", bare))


def split(rest: str) -> list[str]:
    """The arguments behind a command's name, up to the bracket that ends the call."""
    found, depth = [""], 0
    for letter in rest.removeprefix(","):
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            break
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [argument.strip() for argument in found if argument.strip()]


def struct(reference: tuple[str, str]) -> type[msgspec.Struct]:
    module, name = reference
    return getattr(importlib.import_module(module), name)
