"""Own `serve` and `check-config`: what they load, and what is said of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from gatekeeper.core.data import data_dir
from gatekeeper.server.serving import serve
from gatekeeper.settings import described, load_all
from gatekeeper.telemetry import logger


def add_parser(commands: Any) -> None:
    """Add the commands `serve` and `check-config` to the subparsers *commands*."""
    one = commands.add_parser("serve", help="run the proxy", description="Run the proxy.")
    one.add_argument("--config", type=Path, metavar="FILE", help="the configuration (default: none)")
    one.add_argument("--sandbox", action="store_true", help="in front of a built-in Cloud API look-alike")
    one.set_defaults(run=_serve)

    one = commands.add_parser(
        "check-config", help="load what serve loads, and say what it understood", description=_check.__doc__
    )
    one.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the configuration (default: none)")
    one.set_defaults(run=_check)


def _serve(given: argparse.Namespace) -> None:
    settings, book = load_all(given.config, data_dir("config"))
    uvloop.run(serve(settings, book, logger(), sandbox=given.sandbox, config=given.config))


def _check(given: argparse.Namespace) -> None:
    """Load exactly what serve loads; print what it understood, or the path of the mistake."""
    settings, book = load_all(given.file, data_dir("config"))
    for path, value in _flat(described(settings), ""):
        print(f"{path} = {msgspec.json.encode(value).decode()}")
    print(f"# regimes: {', '.join(f'{regime.name} from {regime.effective}' for regime in book.regimes)}")
    for currency, cards in sorted(book.rates.by_currency.items()):
        print(f"# rate cards in {currency}: {', '.join(card.effective.isoformat() for card in cards)}")


def _flat(value: Any, path: str) -> list[tuple[str, Any]]:
    """Every leaf of nested values, with its path."""
    if isinstance(value, dict):
        return [leaf for key, one in value.items() for leaf in _flat(one, f"{path}.{key}" if path else key)]
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return [leaf for n, one in enumerate(value) for leaf in _flat(one, f"{path}[{n}]")]
    return [(path, value)]
