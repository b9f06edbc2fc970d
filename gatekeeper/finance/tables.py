"""Own how figures are set for a person and for a spreadsheet: columns of text, amounts to one number of places, RFC 4180."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal

from gatekeeper.asking import printable
from gatekeeper.core.vocabulary import MICROS, money

_FEWEST_PLACES = 2
NONE = "-"


class Amounts:
    """Writes the amounts of one table, all to as many places as the finest of them needs."""

    def __init__(self, listed: Iterable[int | None]) -> None:
        fractions = [money(amount).partition(".")[2] for amount in listed if amount is not None]
        self._places = max([_FEWEST_PLACES, *map(len, fractions)])

    def __call__(self, amount: int | None) -> str:
        """Write an amount of micro-units; None: not known."""
        return NONE if amount is None else f"{Decimal(amount) / MICROS:.{self._places}f}"


def aligned(table: Sequence[Sequence[str]], *, words: int) -> list[str]:
    """Write rows in columns: the first *words* of them begin at one place, all others, figures, end at one."""
    shown = [[printable(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if n < words else cell.rjust(width) for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in shown
    ]


def as_csv(table: Iterable[Sequence[object]]) -> str:
    """Write rows as RFC 4180 has them."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(table)
    return out.getvalue()


def say(text: str) -> None:
    """Write to standard output, in UTF-8 wherever it leads."""
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
