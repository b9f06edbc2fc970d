"""Own `gatekeeper forget`: has a running gate erase a person from its ledger, and says what there was and what remains elsewhere."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec

from gatekeeper.asking import Gate, add_gate
from gatekeeper.core.errors import InputError
from gatekeeper.core.recipients import canonical, exactness

_PATIENCE_S = 3600  # every key of the ledger is looked at
_REMAINS = """\
Not erased: amounts in bills, budgets and allowances, which name nobody; log lines, where numbers are masked; recorded histories;
backups of the ledger; and whatever Meta and your own systems keep. A wish to get no marketing is forgotten too."""


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    names: int
    erased: dict[str, int]


def add_parser(commands: Any) -> None:
    """Add the command `forget` to the subparsers *commands*."""
    one = commands.add_parser("forget", help="erase a person from a running gate's ledger", description=_forget.__doc__)
    one.add_argument("recipient", metavar="RECIPIENT", help="a phone number, or a business-scoped user id; - is standard input")
    one.add_argument("--from", dest="number", default="", metavar="PNID", help="only as this phone number id knows them")
    add_gate(one)
    one.set_defaults(run=_forget)


def _forget(given: argparse.Namespace) -> None:
    """Have a running gate erase a person under all names: windows, messages on their way, held texts and counters of theirs."""
    recipient = sys.stdin.readline().strip() if given.recipient == "-" else given.recipient
    if exactness(canonical(recipient)) is None:
        raise InputError("RECIPIENT: neither a phone number nor a business-scoped user id")
    if given.number and not (given.number.isascii() and given.number.isdigit()):
        raise InputError(f"--from: {given.number!r} is not a phone number id, which is all digits")
    wish = {"recipient": recipient, "phone_number_id": given.number}
    answer = Gate.given(given).ask(_Answer, "/v1/forget", question=wish, patience_s=_PATIENCE_S)
    told = ", ".join(f"{count} {what}" for what, count in answer.erased.items() if count) or "nothing was known"
    names = "1 name" if answer.names == 1 else f"{answer.names} names"
    print(f"forgotten under {names}: {told}\n{_REMAINS}")  # noqa: T201 - a command of the command line
