"""
Own the way of Meta's downloads into a folder of cards: read, put together, held against what is there, and only then written.

Nothing is written before everything is understood, and what is written has been read back by the loader that serves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gatekeeper.core.data import read, rows
from gatekeeper.core.errors import ConfigError, InputError
from gatekeeper.core.markets import COUNTRIES_FILE
from gatekeeper.core.rates import NOTES, RateCards, parse
from gatekeeper.rates.cards import (
    COMPLETENESS,
    PROVENANCE,
    card_name,
    completeness,
    noted,
    printed,
    provenance,
    rates_text,
    tiers_text,
)
from gatekeeper.rates.changes import contradicts, objections, summary
from gatekeeper.rates.downloads import Download, download
from gatekeeper.rates.sheets import read_bytes, sheets

FOLDER = "rates"
_PACKAGE = Path(__file__).resolve().parents[1]
_DAY = dt.timedelta(days=1)
_SHOWN = 3


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A file of ours that is not written yet: a card or its tiers."""

    card: str
    effective: dt.date
    found: Download

    @property
    def stem(self) -> str:
        """The name that the notes know it by."""
        return f"{self.card}-tiers" if self.found.tiers else self.card

    @property
    def file(self) -> str:
        """The name that it is written under."""
        return f"{self.stem}.csv"

    @property
    def text(self) -> str:
        """What is written."""
        return tiers_text(self.found.tiers) if self.found.tiers else rates_text(self.found.rates)


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """What an import comes to: the texts to write by file, what to tell, and what stands against it."""

    texts: dict[str, str]
    lines: tuple[str, ...]
    objections: tuple[str, ...]


def downloads(files: Iterable[Path]) -> tuple[Download, ...]:
    """Read Meta's downloads; a workbook may hold several."""
    return tuple(download(sheet) for file in files for sheet in sheets(read_bytes(file), str(file)))


def drafts(found: Iterable[Download], effective: dt.date | None = None) -> tuple[Draft, ...]:
    """Name the card that each of *found* makes and hold those of one card together; *effective* wins over their titles."""
    cards: dict[str, Draft] = {}
    for one in found:
        day = effective or one.title.effective
        if day is None:
            raise InputError(f"{one.where}, row 1: the title holds no date: give it with --effective")
        draft = Draft(card=card_name(one, day.isoformat()), effective=day, found=one)
        if draft.stem in cards:
            raise InputError(f"{one.where}: is {draft.stem} a second time, after {cards[draft.stem].found.where}")
        cards[draft.stem] = draft
    for draft in cards.values():
        if draft.found.tiers and draft.card in cards:
            _agree(cards[draft.card].found, draft.found)
    return tuple(cards[stem] for stem in sorted(cards))  # each card before its tiers, which need it


def _agree(rates: Download, tiers: Download) -> None:
    """Hold the first tier of each market to the list rate."""
    for (market, category), steps in tiers.tiers.items():
        rate = rates.rates.get(market, {}).get(category)
        if rate != steps[0].rate:
            said = "none" if rate is None else printed(rate)
            raise InputError(
                f"{tiers.where}, row {steps[0].row}, {category} rate: {market!r} has the list rate {printed(steps[0].rate)} here, "
                f"but {said} in {rates.where}"
            )


def destination(to: Path | None, config: Path) -> Path:
    """Say where cards go: *to*, or the cards of the checkout that *config* belongs to."""
    if to is None:
        if config.resolve().is_relative_to(_PACKAGE):
            raise InputError("the installed package keeps its cards to itself: say where to put them with --to")
        return config / FOLDER
    if to.exists() and not to.is_dir():
        raise InputError(f"{to}: is not a folder")
    return to


def prepare(new: tuple[Draft, ...], folder: Path, config: Path) -> Import:
    """Hold *new* against the cards of *folder*, and where that has none before them, against the installed ones of *config*."""
    texts = {path.name: read(path) for path in sorted(folder.glob("*.csv")) if path.name not in NOTES}
    there = parse(texts)
    cards = parse(texts | {draft.file: draft.text for draft in new})
    installed = RateCards.load(config / FOLDER)
    led_to = {row["market"] for _, row in rows(read(config / COUNTRIES_FILE), COUNTRIES_FILE, "market")}

    lines: list[str] = []
    against: list[str] = []
    for card in dict.fromkeys(draft.card for draft in new):
        day, currency = next((draft.effective, draft.found.title.currency) for draft in new if draft.card == card)
        after = cards.on(currency, day)
        if after is None:  # it was parsed a moment ago
            raise ConfigError(f"{card}: cannot be read back")
        lines.append(f"{card}: {len(after.rates)} markets")
        lines += _dated(new, card)
        lines += [f"  no country of {COUNTRIES_FILE} leads to: {market}" for market in after.rates if market not in led_to]
        replaced = there.on(currency, day)
        if replaced is not None and replaced.effective == day and replaced != after:
            lines += ["in place of the card that is there:", *summary(replaced, after)]
            if contradicts(replaced, after):
                against.append(f"{card}: is there already and says otherwise")
        before = cards.on(currency, day - _DAY) or installed.on(currency, day - _DAY)
        if before is None:
            lines.append(f"the first card in {currency}")
        else:
            lines += [f"against the {before.model} card from {before.effective}:", *summary(before, after)]
            against += [f"{card}: {objection}" for objection in objections(before, after)]
    changed = [draft for draft in new if texts.get(draft.file) != draft.text]
    return Import(texts=_texts(changed, folder), lines=tuple(lines), objections=tuple(against))


def _dated(new: tuple[Draft, ...], card: str) -> list[str]:
    """Say where a title names another day than the one that it was given."""
    return [
        f"  {draft.found.where} is titled {draft.found.title.effective}"
        for draft in new
        if draft.card == card and draft.found.title.effective not in (None, draft.effective)
    ]


def refuse(objections: tuple[str, ...]) -> None:
    """Refuse what stands against an import in one line."""
    if objections:
        more = f"; and {len(objections) - _SHOWN} more" if len(objections) > _SHOWN else ""
        raise InputError(f"{'; '.join(objections[:_SHOWN])}{more}; if that is right, --force takes it")


def write(texts: dict[str, str], folder: Path) -> None:
    """Write each file as a whole or not at all, so that a gate which reloads meanwhile never reads half of one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            part = folder / f".{file}.part"
            part.write_text(text, "utf-8", newline="")
            part.replace(folder / file)
    except OSError as fault:
        raise InputError(f"{folder}: {fault.strerror}") from None


def _texts(new: list[Draft], folder: Path) -> dict[str, str]:
    """Every file that the drafts make or change: theirs, and the notes on them."""
    if not new:
        return {}
    sources = [provenance(draft.stem, draft.found.source) for draft in new]
    counts = [completeness(draft.stem, draft.found.rates) for draft in new if draft.found.rates]
    texts = {draft.file: draft.text for draft in new}
    for file, added in ((PROVENANCE, sources), (COMPLETENESS, counts)):
        if added:
            path = folder / file
            texts[file] = noted(read(path) if path.exists() else "", file, added)
    return texts
