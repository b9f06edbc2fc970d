"""Own the Lua: how a script is read, checked against its header, put behind what it shares with others and named by its hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gatekeeper.core.data import data_dir

SHARED = ("prelude", "cases", "bill", "guards", "holds", "deliveries", "openings", "texts", "unnamed")
_HEADER = re.compile(r"\A--\[\[\n(?P<text>.*?)\n\]\]\n", re.DOTALL)
_NAMED = re.compile(r"^(?:local function |local |function )(\w+(?:, \w+)*)", re.MULTILINE)
_WORD = re.compile(r"\w+")
_COMMENT = re.compile(r"--\[\[.*?\]\]|--[^\n]*", re.DOTALL)
_ARGUMENT = re.compile(r"^(KEYS|ARGV)\[(\d+)(…?)\]", re.MULTILINE)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One verb: its full source and SHA-1, and how many keys and arguments its header declares (*open*: or more keys)."""

    name: str
    source: str
    sha: str
    keys: int
    arguments: int
    open: bool


def load(folder: Path | None = None) -> dict[str, Script]:
    """Read every script of *folder*; ValueError names a file whose header is missing."""
    folder = folder or data_dir("lua")
    shared = [part for name in SHARED for part in parts(name, (folder / f"{name}.lua").read_text("utf-8"))]
    return {
        path.stem: read(path.stem, path.read_text("utf-8"), shared)
        for path in sorted(folder.glob("*.lua"))
        if path.stem not in SHARED
    }


def parts(name: str, text: str) -> list[str]:
    """Take a shared file apart at its empty lines; its header is for who reads it."""
    return [part.strip("\n") + "\n\n" for part in text[_header(name, text).end() :].split("\n\n")]


def read(name: str, body: str, shared: Sequence[str] = ()) -> Script:
    """
    Make a script of its *body*, by its header, behind what of the *shared* it uses.

    No more than that: Redis makes every function anew for each call.
    """
    declared = [(kind, int(n), bool(more)) for kind, n, more in _ARGUMENT.findall(_header(name, body)["text"])]
    source, used = body, _words(body)
    for part in reversed(shared):
        if any(used.intersection(_WORD.findall(names)) for names in _NAMED.findall(part)):
            source, used = part + source, used | _words(part)
    return Script(
        name=name,
        source=source,
        sha=hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
        keys=max((n for kind, n, more in declared if kind == "KEYS" and not more), default=0),
        arguments=max((n for kind, n, _ in declared if kind == "ARGV"), default=0),
        open=any(more for kind, _, more in declared if kind == "KEYS"),
    )


def _header(name: str, text: str) -> re.Match[str]:
    found = _HEADER.match(text)
    if not found:
        raise ValueError(f"{name}.lua has no header")
    return found


def _words(code: str) -> set[str]:
    return set(_WORD.findall(_COMMENT.sub("", code)))
