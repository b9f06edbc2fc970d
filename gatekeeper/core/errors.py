"""
Own the tree of faults: what goes wrong without being a decision.

GatekeeperError
├── ConfigError      a config, regime or rate card is wrong; names file and key path
├── InputError       a recorded history is wrong; names file and line
├── LedgerError      Redis did not answer, or not in time
│   └── RefusedCallError       Redis answered a call with an error
│       └── UnusableKeyError   because of what a key holds: trying again does not help
└── UpstreamError    Meta could not be reached, or broke off
"""

from __future__ import annotations

from typing import ClassVar


class GatekeeperError(Exception):
    """A fault of ours with a source that says whose it is."""

    source: ClassVar[str] = "gatekeeper"
    retryable: ClassVar[bool] = False


class ConfigError(GatekeeperError):
    """A configuration or data file is wrong; the text names the file and the key path."""

    source = "config"


class InputError(GatekeeperError):
    """An input file is wrong; the text names the file and the line."""

    source = "client"


class LedgerError(GatekeeperError):
    """The ledger did not answer, or not in time."""

    source = "ledger"
    retryable = True


class RefusedCallError(LedgerError):
    """Redis answered a call with an error; `call` is the script or command, `noun` what the key is of, never the key."""

    def __init__(self, message: str, *, call: str, noun: str) -> None:
        super().__init__(message)
        self.call = call
        self.noun = noun


class UnusableKeyError(RefusedCallError):
    """A key holds what is not ours, or not of its type: its neighbours are served, and the same call fails again."""

    retryable = False


class UpstreamError(GatekeeperError):
    """The upstream could not be reached or broke off; `sent` says whether the body may have arrived."""

    source = "upstream"
    retryable = True

    def __init__(self, message: str, *, status: int, sent: bool) -> None:
        super().__init__(message)
        self.status = status
        self.sent = sent
