"""Own `gatekeeper replay`: what it takes, a history decided once or compared under two configurations, and what it prints."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from gatekeeper.backtest.comparing import compare
from gatekeeper.backtest.telling import as_json, told
from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import InputError
from gatekeeper.finance.tables import say
from gatekeeper.replay import replay
from gatekeeper.settings import Settings, load_all

_T = TypeVar("_T")


def add_parser(commands: Any) -> None:
    """Add the command `replay` to the subparsers *commands*."""
    one = commands.add_parser("replay", help="decide a recorded history", description=_replay.__doc__)
    one.add_argument("file", metavar="FILE", help="JSON lines in time order; - is standard input")
    one.add_argument("--config", type=Path, metavar="FILE", help="the configuration (default: none)")
    one.add_argument("--compare", type=Path, metavar="FILE", help="say instead what changes under this configuration")
    one.add_argument("--json", action="store_true", help="say so as one JSON object")
    one.set_defaults(run=_replay)


def _replay(given: argparse.Namespace) -> None:
    """Decide a recorded history."""
    settings = _loaded(given.config)
    if given.compare is None:
        if given.json:
            raise InputError("--json goes with --compare: a plain replay writes JSON lines in any case")
        _read(given.file, lambda source, name, total: replay(source, name, settings, sys.stdout.buffer, total=total))
        return
    a, b = ("defaults" if given.config is None else str(given.config), settings), (str(given.compare), _loaded(given.compare))
    comparison = _read(given.file, lambda source, name, total: compare(source, name, a, b, total=total))
    say(as_json(comparison).decode() + "\n" if given.json else "\n".join([*told(comparison), ""]))


def _loaded(config: Path | None) -> Settings:
    return load_all(config, data_dir("config"))[0]


def _read(file: str, run: Callable[[Iterable[bytes], str, int | None], Coroutine[Any, Any, _T]]) -> _T:
    """Run what reads a history, given its lines, its name, and its size in bytes where that is known."""
    if file == "-":
        return uvloop.run(run(sys.stdin.buffer, "standard input", None))
    try:
        source = Path(file).open("rb")  # noqa: SIM115 - closed below, where what it holds may be wrong too
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    with source:
        return uvloop.run(run(source, file, os.fstat(source.fileno()).st_size))
