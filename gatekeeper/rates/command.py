"""Own `gatekeeper rates`: what its verbs take, and what they print."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gatekeeper.core.data import data_dir, read, rows
from gatekeeper.core.markets import COUNTRIES_FILE
from gatekeeper.core.rates import RateCards
from gatekeeper.rates.cards import COMPLETENESS
from gatekeeper.rates.checking import understood
from gatekeeper.rates.importing import FOLDER, destination, downloads, drafts, prepare, refuse, write
from gatekeeper.rates.showing import history, listed, named, shown


def add_parser(commands: Any) -> None:
    """Add the command `rates` to the subparsers *commands*."""
    one = commands.add_parser(
        "rates", help="look at rate cards, or take Meta's in", description="Look at rate cards, or take Meta's in."
    )
    verbs = one.add_subparsers(required=True, metavar="VERB", dest="verb")

    one = verbs.add_parser("list", help="what is installed", description=_list.__doc__)
    one.set_defaults(run=_list)

    one = verbs.add_parser("show", help="one market's rates", description=_show.__doc__)
    one.add_argument("market", metavar="MARKET", help="as the card spells it, in any case: India, Other, …")
    one.add_argument("--currency", type=str.upper, default="USD", metavar="CODE", help="of the card (default: USD)")
    one.add_argument("--on", type=_date, metavar="DATE", help="the day, YYYY-MM-DD (default: today, and how it came to be)")
    one.set_defaults(run=_show)

    one = verbs.add_parser("check", help="say what a file holds, or what is wrong with it", description=_check.__doc__)
    one.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a card or tiers of ours, or a download of Meta's")
    one.set_defaults(run=_check)

    one = verbs.add_parser("import", help="make cards of Meta's downloads", description=_import.__doc__)
    one.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="list rates or volume tiers, .csv or .xlsx, as downloaded"
    )
    one.add_argument("--to", type=Path, metavar="DIR", help="where cards go (default: the config/rates of this checkout)")
    one.add_argument(
        "--effective", type=_date, metavar="DATE", help="the day that they hold from (default: what their title says)"
    )
    one.add_argument(
        "--force", action="store_true", help="take what looks odd: a lost market, a tenfold rate, a card that is there"
    )
    one.add_argument("--dry-run", action="store_true", help="write nothing")
    one.set_defaults(run=_import)


def _list(_given: argparse.Namespace) -> None:
    """Tell of every installed rate card what it holds and what it lacks."""
    folder = data_dir("config") / FOLDER
    notes = {row["card"]: row for _, row in rows(read(folder / COMPLETENESS), COMPLETENESS, "card")}
    _say(listed(RateCards.load(folder), notes))


def _show(given: argparse.Namespace) -> None:
    """Tell a market's rates on the card in force, and on the cards before and after it."""
    config = data_dir("config")
    cards = RateCards.load(config / FOLDER)
    countries = {
        row["country"]: row["market"] for _, row in rows(read(config / COUNTRIES_FILE), COUNTRIES_FILE, "country", "market")
    }
    market = named(given.market, cards, countries)
    _say(shown(market, cards, given.currency, given.on or dt.datetime.now(dt.UTC).date()))
    if given.on is None:
        _say(["", *history(market, cards, given.currency)])


def _check(given: argparse.Namespace) -> None:
    """Read files as a card or as a download of Meta's, and say what was understood."""
    for line in understood(given.files):
        _say([line])


def _import(given: argparse.Namespace) -> None:
    """Take Meta's own list rates and volume tiers as they were downloaded, and write them as rate cards."""
    config = data_dir("config")
    folder = destination(given.to, config)
    found = prepare(drafts(downloads(given.files), given.effective), folder, config)
    _say(found.lines)
    if not given.force:
        refuse(found.objections)
    if not given.dry_run:
        write(found.texts, folder)
    verb = "would write" if given.dry_run else "wrote"
    _say([f"{verb} {folder / file}" for file in found.texts] or [f"{folder} holds all of it already"])


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2026-10-01") from None


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)  # noqa: T201 - a command of the command line
