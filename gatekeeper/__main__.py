"""Own the command line: what each command reads, and its exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import uvloop

from gatekeeper import __version__, backtest, explaining, finance, forgetting, rates
from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError, GatekeeperError, InputError
from gatekeeper.server.serving import serve
from gatekeeper.settings import described, load_all
from gatekeeper.telemetry import logger

_FAILED, _WRONG, _INTERRUPTED = 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_WRONG, f"{self.prog}: {message}; try {self.prog} --help\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0: done, 1: it failed, 2: the command line, a configuration or an input file is wrong."""
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except GatekeeperError as error:
        print(f"gatekeeper: {error}", file=sys.stderr)
        return _WRONG if isinstance(error, ConfigError | InputError) else _FAILED
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gatekeeper", description="Decide and price every WhatsApp Cloud API send before Meta does.")
    parser.add_argument("--version", action="version", version=f"gatekeeper {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", parser_class=_Parser)

    one = commands.add_parser("serve", help="run the proxy", description="Run the proxy.")
    one.add_argument("--config", type=Path, metavar="FILE", help="the configuration (default: none)")
    one.add_argument("--sandbox", action="store_true", help="in front of a built-in Cloud API look-alike")
    one.set_defaults(run=_serve)

    one = commands.add_parser(
        "check-config", help="load what serve loads, and say what it understood", description=_check.__doc__
    )
    one.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the configuration (default: none)")
    one.set_defaults(run=_check)

    backtest.add_parser(commands)
    rates.add_parser(commands)
    finance.add_parser(commands)
    explaining.add_parser(commands)
    forgetting.add_parser(commands)
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
