"""The configuration: what may stand in it, how it is read, and what is wrong with it."""

from gatekeeper.core.policy import ColdStart, LedgerFailure, Policy
from gatekeeper.settings.addresses import address
from gatekeeper.settings.loading import described, load, load_all, parse
from gatekeeper.settings.sections import DEFAULT_UPSTREAM, EMBEDDED, Caller, Recipients, Record, Settings, Upstream, Webhook

__all__ = [
    "DEFAULT_UPSTREAM",
    "EMBEDDED",
    "Caller",
    "ColdStart",
    "LedgerFailure",
    "Policy",
    "Recipients",
    "Record",
    "Settings",
    "Upstream",
    "Webhook",
    "address",
    "described",
    "load",
    "load_all",
    "parse",
]
