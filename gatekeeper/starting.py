"""Own `serve` and `check-config`: what they load, and what is said of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from gatekeeper.core.data import data_dir
from gatekeeper.server.app import unix_ms
from gatekeeper.server.serving import serve
from gatekeeper.server.workers import place
from gatekeeper.settings import described, load, load_all, read, warnings
from gatekeeper.telemetry import CONFIG_WARNING, logger


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
    ours, log, newest = place(), logger(), None
    if ours is not None:
        reading, newest = ours.readings(given.config)
    else:
        reading = read(given.config)
    settings, book = load_all(reading, data_dir("config"))
    if newest is not None:
        settings = settings.revised(load(newest))
    for path, warning in warnings(reading, settings, book, now=unix_ms()) if ours is None else ():
        log.warning(CONFIG_WARNING, key=path, warning=warning)
    uvloop.run(serve(settings, book, log, sandbox=given.sandbox, reading=reading, newest=newest))


def _check(given: argparse.Namespace) -> None:
    """Load exactly what serve loads; print what it understood, or the path of the mistake; warn of what is seldom meant."""
    reading = read(given.file)
    settings, book = load_all(reading, data_dir("config"))
    for path, warning in warnings(reading, settings, book, now=unix_ms()):
        print(f"gatekeeper: warning: {reading.name}: {path}: {warning}", file=sys.stderr)
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
