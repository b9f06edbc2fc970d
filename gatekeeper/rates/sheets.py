"""
Own what a file's bytes are: rows of text cells, whether they came as CSV or as a workbook.

Meta's downloads keep the name `.csv` although they have been .xlsx workbooks since October 2026, so the first bytes say which it is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import warnings
import zipfile
from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from gatekeeper.core.errors import InputError

Rows = tuple[tuple[str, ...], ...]

_ZIP = b"PK"
_MOST_BYTES = 64 << 20
_MOST_ROWS = 10_000


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The file that something was read from, and the sheet of it if it is a workbook."""

    name: str
    sha256: str
    sheet: str = ""


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A table of text; rows are counted as a spreadsheet shows them, from 1, however many lines one of them takes."""

    where: str
    source: Source
    rows: Rows


def read_bytes(path: Path) -> bytes:
    """Read a file that is no larger than a price list can be."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as fault:
        raise InputError(f"{path}: {fault.strerror}") from None
    if len(raw) > _MOST_BYTES:
        raise InputError(f"{path}: is too large for a rate card")
    return raw


def sheets(raw: bytes, name: str) -> tuple[Sheet, ...]:
    """Read every table in the bytes *raw* of the file *name*; a workbook's empty sheets are left out."""
    digest = hashlib.sha256(raw).hexdigest()
    tables: dict[str, list[Any]] = _workbook(raw, name) if raw.startswith(_ZIP) else {"": _csv(raw, name)}
    found = []
    for title, table in tables.items():
        where = f"{name}, sheet {title!r}" if title else name
        if rows := _tidy(table, where):
            source = Source(name=Path(name).name, sha256=digest, sheet=title)
            found.append(Sheet(where=where, source=source, rows=rows))
    if not found:
        raise InputError(f"{name}: is empty")
    return tuple(found)


def _csv(raw: bytes, name: str) -> list[Any]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{name}: is neither an .xlsx workbook nor text in UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return list(itertools.islice(reader, _MOST_ROWS + 1))
    except csv.Error as fault:
        raise InputError(f"{name}, line {reader.line_num}: {fault}") from None


def _workbook(raw: bytes, name: str) -> dict[str, list[Any]]:
    """Read the values of every sheet by its title; formulas count as what they came to."""
    from openpyxl import load_workbook  # noqa: PLC0415 - a gate that serves never needs it, and it loads slowly

    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
    except zipfile.BadZipFile:
        raise InputError(f"{name}: begins like an .xlsx workbook but is not one") from None
    if unpacked > _MOST_BYTES:
        raise InputError(f"{name}: is too large for a rate card")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and extensions, of which nothing is used
            with closing(load_workbook(io.BytesIO(raw), read_only=True, data_only=True)) as book:
                return {sheet.title: _values(sheet) for sheet in book.worksheets}
    except Exception as fault:  # noqa: BLE001 - openpyxl stumbles over a broken workbook in whatever way it happens to
        raise InputError(f"{name}: is not a workbook that can be read: {' '.join(str(fault).split())}") from None


def _values(sheet: Any) -> list[Any]:
    sheet.reset_dimensions()  # what a workbook says about its own size need not be true
    return list(itertools.islice(sheet.iter_rows(values_only=True), _MOST_ROWS + 1))


def _tidy(rows: Iterable[Iterable[Any]], where: str) -> Rows:
    """Make text of every cell and drop what is empty at the end of each row and of the table."""
    tidy = [_stripped(tuple(map(_text, row))) for row in rows]
    if len(tidy) > _MOST_ROWS:
        raise InputError(f"{where}: is too large for a rate card")
    while tidy and not tidy[-1]:
        tidy.pop()
    return tuple(tidy)


def _stripped(cells: tuple[str, ...]) -> tuple[str, ...]:
    length = max((n for n, cell in enumerate(cells, 1) if cell), default=0)
    return cells[:length]


def _text(value: Any) -> str:
    """
    Write a cell's value as it would be typed, with single blanks.

    A workbook keeps numbers as binary fractions: the shortest decimal that means the same fraction is the one that was typed in.
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{Decimal(repr(value)):f}"
    return " ".join(str(value).split())
