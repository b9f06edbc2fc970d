"""Own `gatekeeper explain`: asks a running gate what it would decide of a send, and prints everything that it looked at."""

from __future__ import annotations

import argparse
import datetime as dt
from typing import Any

import msgspec

from gatekeeper.asking import Gate, add_gate, from_variable, printable
from gatekeeper.core.errors import InputError

_KEY = "Gatekeeper-Key"
_SHOWN = ("category", "opens", "charged", "price", "price_bound", "currency", "market", "rate_card", "regime", "state")
_EXPIRIES = ("window_expires", "free_entry_expires", "conversation_expires")


class _Looked(msgspec.Struct, frozen=True, kw_only=True):
    looked_at: str
    name: str
    outcome: str
    why: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    verdict: str
    reason: str
    error_code: int | None
    rule: str | None
    template: str | None
    category: str | None
    opens: str | None
    charged: bool | None
    price: str | None
    price_bound: str | None
    currency: str | None
    market: str | None
    rate_card: str | None
    regime: str | None
    window_expires: int | None
    free_entry_expires: int | None
    conversation_expires: int | None
    free_remaining: int | None
    state: str
    explain: tuple[_Looked, ...]


def add_parser(commands: Any) -> None:
    """Add the command `explain` to the subparsers *commands*."""
    one = commands.add_parser("explain", help="what a running gate would decide of a send, and why", description=_explain.__doc__)
    one.add_argument("--from", dest="number", required=True, metavar="PNID", help="the phone number id that sends")
    one.add_argument("--to", required=True, metavar="NUMBER", help="the recipient: a phone number, or a business-scoped user id")
    kind = one.add_mutually_exclusive_group()
    kind.add_argument("--template", metavar="NAME", help="a template (default: a text)")
    kind.add_argument("--text", action="store_true", help="a free-form text")
    one.add_argument("--language", default="en_US", metavar="CODE", help="the template's language (default: en_US)")
    one.add_argument("--marketing-messages", action="store_true", help="through the Marketing Messages API")
    one.add_argument("--caller", default="", metavar="NAME", help="as if this system sent it")
    one.add_argument(
        "--key-env",
        metavar="NAME",
        help="the environment variable that holds that system's key (default: the one in the configuration)",
    )
    one.add_argument(
        "--at", type=_time, metavar="TIME", help="at this time, 2026-11-21T09:00+01:00 or Unix seconds (default: now)"
    )
    add_gate(one)
    one.set_defaults(run=_explain)


def _explain(given: argparse.Namespace) -> None:
    """Ask a running gate what it would decide of a send now, and print every case, rule, budget and limit that it looks at."""
    gate = Gate.given(given)
    if not (given.number.isascii() and given.number.isdigit()):
        raise InputError(f"--from: {given.number!r} is not a phone number id, which is all digits")
    question = {
        "phone_number_id": given.number,
        "body": _body(given),
        "caller": given.caller,
        "marketing_messages": given.marketing_messages,
        "at": given.at,
    }
    print("\n".join(_told(gate.ask(_Answer, "/v1/check", question=question, headers=_headers(given, gate)))))  # noqa: T201 - a command of the command line


def _headers(given: argparse.Namespace, gate: Gate) -> dict[str, str]:
    """By which key the caller is known, where callers have keys."""
    if given.key_env is not None:
        return {_KEY: from_variable(given.key_env, "--key-env")}
    if gate.keys and given.caller not in gate.keys:
        raise InputError(f"--caller: name one of the configuration's callers: {', '.join(map(printable, gate.keys))}")
    return {_KEY: gate.keys[given.caller]} if gate.keys else {}


def _body(given: argparse.Namespace) -> dict[str, Any]:
    is_number = given.to.strip().lstrip("+")[:1].isdigit()
    body: dict[str, Any] = {"messaging_product": "whatsapp", ("to" if is_number else "recipient"): given.to}
    if given.template is None:
        return {**body, "type": "text", "text": {"body": "…"}}
    return {**body, "type": "template", "template": {"name": given.template, "language": {"code": given.language}}}


def _told(answer: _Answer) -> list[str]:
    code = f" ({answer.error_code})" if answer.error_code else ""
    by = f", by {answer.rule!r}" if answer.rule else ""
    instead = f", as the template {answer.template!r}" if answer.template else ""
    said = msgspec.structs.asdict(answer)
    facts = [f"{name} {_word(said[name])}" for name in _SHOWN if said[name] is not None]
    facts += [f"{name} {_when(said[name])}" for name in _EXPIRIES if said[name] is not None]
    wide = [max([0, *(len(printable(getattr(one, key))) for one in answer.explain)]) for key in ("looked_at", "name", "outcome")]
    rows = [
        f"  {one.looked_at:<{wide[0]}}  {printable(one.name):<{wide[1]}}  {one.outcome:<{wide[2]}}  {printable(one.why)}"
        for one in answer.explain
    ]
    return [f"{answer.verdict}: {answer.reason}{code}{by}{instead}", *(f"  {fact}" for fact in facts), "", *rows]


def _word(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _when(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-11-21T09:00+01:00, or Unix seconds") from None
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} names no time zone; write 2026-11-21T09:00Z")
    return int(at.timestamp())
