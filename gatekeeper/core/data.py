"""Own the data files: where the folders `lua` and `config` lie, and how a table in them is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from gatekeeper.core.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]


def data_dir(name: str, *, package: Path = _PACKAGE) -> Path:
    """Find the data folder *name*: a wheel carries it inside the package, a checkout or an editable install beside it."""
    places = (package / "_data" / name, package.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise ConfigError(f"the data folder {name!r} is missing: neither {places[0]} nor {places[1]} exists")


def read(path: Path) -> str:
    """Read a data file's text; a spreadsheet's byte order mark does no harm."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path}: {fault}") from None


def rows(text: str, file: str, *columns: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Walk the rows of a table that has at least *columns*, each with the words that say where it stands."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = next(reader, [])
        if missing := [column for column in columns if column not in header]:
            raise ConfigError(f"{file}, row 1: the column {missing[0]!r} is missing")
        if len(set(header)) != len(header):
            raise ConfigError(f"{file}, row 1: a column stands here twice")
        for cells in reader:
            where = f"{file}, row {reader.line_num}"
            if len(cells) != len(header):
                raise ConfigError(f"{where}: {len(cells)} cells under {len(header)} columns")
            yield where, dict(zip(header, cells, strict=True))
    except csv.Error as fault:
        raise ConfigError(f"{file}, row {reader.line_num}: {fault}") from None
