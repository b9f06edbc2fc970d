"""Own the command line: what each command reads, and its exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import uvloop

from gatekeeper import __version__
from gatekeeper.core.errors import ConfigError, GatekeeperError, InputError
from gatekeeper.replay import replay
from gatekeeper.settings import load

_WRONG = 2


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0: done, 2: the command line, a configuration or an input file is wrong."""
    given = _parser().parse_args(arguments)
    try:
        code: int = given.run(given)
    except (ConfigError, InputError) as error:
        print(f"gatekeeper: {error}", file=sys.stderr)  # noqa: T201
        return _WRONG
    except GatekeeperError as error:
        print(f"gatekeeper: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gatekeeper", description="Decide and price every WhatsApp Cloud API send before Meta does."
    )
    parser.add_argument("--version", action="version", version=f"gatekeeper {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("replay", help="decide a recorded history", description="Decide a recorded history.")
    one.add_argument("file", metavar="FILE", help="JSON lines in time order; - is standard input")
    one.add_argument("--config", type=Path, metavar="FILE", help="the configuration (default: none)")
    one.set_defaults(run=_replay)
    return parser


def _replay(given: argparse.Namespace) -> int:
    settings = load(given.config)
    if given.file == "-":
        uvloop.run(replay(sys.stdin.buffer, "standard input", settings, sys.stdout.buffer))
        return 0
    try:
        with Path(given.file).open("rb") as source:
            total = os.fstat(source.fileno()).st_size
            uvloop.run(replay(source, given.file, settings, sys.stdout.buffer, total=total))
    except OSError as error:
        raise InputError(f"{given.file}: {error.strerror}") from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
