"""Own what a file is taken for, and what is said about it when it is right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gatekeeper.core.data import read
from gatekeeper.core.rates import Rates, parse
from gatekeeper.rates.downloads import Download
from gatekeeper.rates.importing import downloads, drafts
from gatekeeper.rates.sheets import read_bytes, sheets
from gatekeeper.rates.showing import holdings
from gatekeeper.rates.wording import PER, is_title

_OURS = re.compile(r"\d{4}-.*\.csv")
_TIERS = "-tiers.csv"


def understood(files: Sequence[Path]) -> Iterator[str]:
    """Say of each file what it holds; ConfigError or InputError says where one is wrong."""
    theirs = [file for file in files if not _is_ours(file)]
    for file in files:
        if file not in theirs:
            yield _ours(file)
    found = downloads(theirs)
    drafts(one for one in found if one.title.effective)
    yield from map(_theirs, found)


def _is_ours(file: Path) -> bool:
    """Tell our files from Meta's: by how the content begins, and where that says nothing, by the name."""
    first = sheets(read_bytes(file), str(file))[0]
    cell = first.rows[0][0] if first.rows[0] else ""
    return cell == "market" or (not first.source.sheet and not is_title(cell) and _OURS.fullmatch(file.name) is not None)


def _ours(file: Path) -> str:
    """Read a card, or tiers together with the card that lies beside them."""
    texts = {file.name: read(file)}
    tiered = file.name.endswith(_TIERS)
    beside = file.with_name(file.name.removesuffix(_TIERS) + ".csv")
    if tiered and beside.exists():
        texts[beside.name] = read(beside)
    ((card,),) = parse(texts).by_currency.values()
    kind = f"volume tiers, {sum(map(len, card.tiers.values()))} of them" if tiered else _rates(card.rates)
    return f"{file}: {card.currency} per {PER[card.model]} from {card.effective}: {kind}"


def _theirs(found: Download) -> str:
    title = found.title
    kind = f"volume tiers, {sum(map(len, found.tiers.values()))} of them" if found.tiers else _rates(found.rates)
    since = f"from {title.effective}" if title.effective else "without a date"
    return f"{found.where}: Meta's own: {title.currency} per {PER[title.model]} {since}: {kind}"


def _rates(rates: Rates) -> str:
    held = ", ".join(f"{column} {count}" for column, (count, _) in holdings(rates).items())
    return f"{len(rates)} markets: {held}"
