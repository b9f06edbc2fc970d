"""The configuration: what may stand in it, how it is read, and what is wrong with it."""

from gatekeeper.core.policy import ColdStart, LedgerFailure, Policy
from gatekeeper.settings.addresses import address
from gatekeeper.settings.loading import described, document, load, load_all, parse
from gatekeeper.settings.losses import loss
from gatekeeper.settings.readings import Reading, read, read_again
from gatekeeper.settings.sections import (
    DEFAULT_UPSTREAM,
    EMBEDDED,
    Caller,
    Recipients,
    Record,
    Route,
    Settings,
    Upstream,
    Webhook,
)
from gatekeeper.settings.warnings import warnings

__all__ = [
    "DEFAULT_UPSTREAM",
    "EMBEDDED",
    "Caller",
    "ColdStart",
    "LedgerFailure",
    "Policy",
    "Reading",
    "Recipients",
    "Record",
    "Route",
    "Settings",
    "Upstream",
    "Webhook",
    "address",
    "described",
    "document",
    "load",
    "load_all",
    "loss",
    "parse",
    "read",
    "read_again",
    "warnings",
]
