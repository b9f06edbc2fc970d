"""Own what a file of Meta's figures is before it is understood: its text, and its data points as they stand there, each with its place."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gatekeeper.core.errors import InputError

STANDARD_INPUT = "-"
_MOST_BYTES = 64 << 20
_WORKBOOK = b"PK"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SHOWN = 40


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """A data point as it stands in its file; *columns* are the headings of a table, by field."""

    where: str
    fields: Mapping[str, Any]
    columns: Mapping[str, str] = {}

    def place(self, field: str) -> str:
        """Say where one field of it stands."""
        if not self.columns:
            return f"{self.where}.{field}"
        return f"{self.where}, column {self.columns[field]!r}" if field in self.columns else f"{self.where}, {field}"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A file of Meta's figures: the accounts that it names, its data points, and what a reader should know of it."""

    name: str
    waba_ids: tuple[str, ...]
    points: tuple[Raw, ...]
    notes: tuple[str, ...] = ()


def read(path: str) -> tuple[str, str]:
    """Read a file's text (`-`: standard input), with its name for messages."""
    name = "standard input" if path == STANDARD_INPUT else path
    try:
        if path == STANDARD_INPUT:
            raw = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                raw = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as fault:
        raise InputError(f"{name}: {getattr(fault, 'strerror', None) or fault}") from None
    if len(raw) > _MOST_BYTES:
        raise InputError(f"{name}: is larger than {_MOST_BYTES >> 20} MiB")
    if raw.startswith(_WORKBOOK):
        raise InputError(f"{name}: is a workbook or an archive; save its table as CSV")
    try:
        return name, raw.decode("utf-16" if raw.startswith(_WIDE) else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{name}: is not text in UTF-8 or UTF-16") from None


def shown(value: Any) -> str:
    """Show a value that is not understood, however long or strange it is."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
