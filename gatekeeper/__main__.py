"""Own the command line: which commands there are, and their exit codes."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from importlib import import_module
from typing import NoReturn

from gatekeeper import __version__
from gatekeeper.core.errors import ConfigError, GatekeeperError, InputError

_FAILED, _WRONG, _INTERRUPTED = 1, 2, 130
_WHILE_LOADING = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# The commands that each module adds, in the order in which help tells of them. To load all of them takes longer than to run one.
_COMMANDS = {
    "starting": ("serve", "check-config"),
    "backtest": ("replay",),
    "rates": ("rates",),
    "finance": ("spend", "reconcile"),
    "explaining": ("explain",),
    "forgetting": ("forget",),
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_WRONG, f"{self.prog}: {message}; try {self.prog} --help\n")


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What writing to a full disk, or to one that is no longer there, fails with."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0: done, 1: it failed, 2: the command line, a configuration or an input file is wrong."""
    if arguments is None:
        arguments = sys.argv[1:]
        if arguments[:1] == [
            "serve"
        ]:  # what it takes to serve loads for a while, and nothing of it must end by a signal meanwhile
            for number in _WHILE_LOADING:
                signal.signal(number, signal.SIG_IGN)
    given = _parser(arguments[0] if arguments else "").parse_args(arguments)
    try:
        given.run(given)
        print(end="", flush=True)
    except GatekeeperError as error:
        print(f"gatekeeper: {error}", file=sys.stderr)
        return _WRONG if isinstance(error, ConfigError | InputError) else _FAILED
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in _FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains of it once more at its end
        print(f"gatekeeper: the output cannot be written: {error.strerror}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _parser(first: str) -> argparse.ArgumentParser:
    """A parser for a command line that begins so: with one command where that is one, or else with all of them."""
    parser = _Parser(prog="gatekeeper", description="Decide and price every WhatsApp Cloud API send before Meta does.")
    parser.add_argument("--version", action="version", version=f"gatekeeper {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", parser_class=_Parser)
    if first != "--version":
        known = {name: module for module, names in _COMMANDS.items() for name in names}
        for module in [known[first]] if first in known else _COMMANDS:
            import_module(f"gatekeeper.{module}").add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
