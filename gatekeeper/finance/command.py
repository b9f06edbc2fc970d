"""Own `gatekeeper spend` and `gatekeeper reconcile`: what they take, and what they print where."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, ClassVar

from gatekeeper.asking import add_gate
from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import GatekeeperError, InputError
from gatekeeper.core.vocabulary import micros, money
from gatekeeper.finance import spending, telling
from gatekeeper.finance.gate import Bookkeeper
from gatekeeper.finance.reconciling import reconcile
from gatekeeper.finance.tables import as_csv, say

_A_MONTH = re.compile(r"2\d{3}-(0[1-9]|1[0-2])", re.ASCII)


class DifferenceError(GatekeeperError):
    """A month differs by more than the operator allows."""

    source: ClassVar[str] = "books"


def add_parser(commands: Any) -> None:
    """Add the commands `spend` and `reconcile` to the subparsers *commands*."""
    one = commands.add_parser("spend", help="the month's bill of a running gate", description=_spend.__doc__)
    one.add_argument("--month", type=_month, metavar="YYYY-MM", help="(default: the month that it is in the account's time zone)")
    one.add_argument(
        "--waba-id",
        type=_waba_id,
        nargs="+",
        action="extend",
        metavar="ID",
        help="of these accounts (default: of all that the gate keeps books of)",
    )
    one.add_argument(
        "--by",
        nargs="+",
        choices=spending.DIMENSIONS,
        action="extend",
        metavar="WHAT",
        help=f"one row for each of these, or for each combination: {', '.join(spending.DIMENSIONS)} (default: category)",
    )
    one.add_argument(
        "--csv", action="store_true", help="every line of the bill as CSV, by day, number, caller, category and market"
    )
    one.add_argument("--turns", action="store_true", help="how many free-form messages answered each turn of a user")
    add_gate(one)
    one.set_defaults(run=_spend)

    one = commands.add_parser("reconcile", help="compare a month's bill with what Meta says", description=_reconcile.__doc__)
    one.add_argument(
        "file", metavar="FILE", help="Meta's pricing_analytics as JSON, or a table of it as CSV; - is standard input"
    )
    one.add_argument("--month", type=_month, metavar="YYYY-MM", help="(default: the only month that FILE is of)")
    one.add_argument(
        "--waba-id", type=_waba_id, metavar="ID", help="the account (default: the one that FILE names, or the gate's only one)"
    )
    form = one.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object")
    form.add_argument("--csv", action="store_true", help="the rows as CSV; notes go to standard error")
    one.add_argument(
        "--fail-above",
        type=_amount,
        metavar="AMOUNT",
        help="exit 1 if the cost of a row or of the month differs by more than this",
    )
    add_gate(one)
    one.set_defaults(run=_reconcile)


def _spend(given: argparse.Namespace) -> None:
    """Print what a month came to: what was predicted when messages were sent, what deliveries were settled at, and what is open."""
    gate = Bookkeeper.given(given)
    wanted = [gate.account(waba_id, given.month).waba_id for waba_id in dict.fromkeys(given.waba_id or ())] or gate.kept()
    bills = [gate.bill(waba_id, given.month) for waba_id in wanted]
    if given.csv:
        say(as_csv(spending.rows(bills)))
    else:
        tell, usual = (spending.turns, "caller") if given.turns else (spending.told, "category")
        say("\n".join([*tell(bills, tuple(dict.fromkeys(given.by or [usual]))), ""]))


def _reconcile(given: argparse.Namespace) -> None:
    """Compare what Meta says of a month, its pricing_analytics, with what was settled, by category and market."""
    month = reconcile(given.file, Bookkeeper.given(given), data_dir("config"), waba_id=given.waba_id, month=given.month)
    if given.json:
        say(telling.as_json(month).decode() + "\n")
    elif given.csv:
        say(as_csv(telling.rows(month)))
        for note in month.notes:
            print(f"gatekeeper: note: {note}", file=sys.stderr)  # noqa: T201 - a command of the command line
    else:
        say("\n".join([*telling.told(month), ""]))
    if given.fail_above is not None:
        furthest = month.compared.furthest
        if furthest is None:
            raise InputError("--fail-above: Meta does not give the cost of the whole month, so nothing can be held to it")
        if furthest > given.fail_above:
            raise DifferenceError(
                f"{month.month} differs by {money(furthest)}, more than {money(given.fail_above)} {month.currency}"
            )


def _month(text: str) -> str:
    if not _A_MONTH.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a month such as 2026-10")
    return text


def _waba_id(text: str) -> str:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a WhatsApp Business Account, which is all digits")
    return text


def _amount(text: str) -> int:
    try:
        amount = micros(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None
    if amount < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than nothing")
    return amount
