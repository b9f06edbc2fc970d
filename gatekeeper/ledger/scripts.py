"""Own the Lua: how a script is read, checked against its header, put behind the prelude and named by its hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gatekeeper.core.data import data_dir

SHARED = ("prelude", "guards", "holds", "texts")
_HEADER = re.compile(r"\A--\[\[\n(?P<text>.*?)\n\]\]\n", re.DOTALL)
_LOCALS = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)", re.MULTILINE)
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
    shared = [(folder / f"{name}.lua").read_text("utf-8") for name in SHARED]
    return {
        path.stem: read(path.stem, path.read_text("utf-8"), shared)
        for path in sorted(folder.glob("*.lua"))
        if path.stem not in SHARED
    }


def read(name: str, body: str, shared: Sequence[str] = ()) -> Script:
    """Make a script of its *body*, by its header, behind what of the *shared* it uses: Redis makes every function anew for each call."""
    header = _HEADER.match(body)
    if not header:
        raise ValueError(f"{name}.lua has no header")
    declared = [(kind, int(n), bool(more)) for kind, n, more in _ARGUMENT.findall(header["text"])]
    source = body
    for text in reversed(shared):
        code = _COMMENT.sub("", source)
        if any(re.search(rf"\b{local}\b", code) for names in _LOCALS.findall(text) for local in re.findall(r"\w+", names)):
            source = text + source
    return Script(
        name=name,
        source=source,
        sha=hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
        keys=max((n for kind, n, more in declared if kind == "KEYS" and not more), default=0),
        arguments=max((n for kind, n, _ in declared if kind == "ARGV"), default=0),
        open=any(more for kind, _, more in declared if kind == "KEYS"),
    )
