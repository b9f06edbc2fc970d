"""Own what a reload may not take away: a file that lost what it had is a mistake, unless it says that this is meant."""

from __future__ import annotations

from typing import Any

from gatekeeper.settings.sections import Settings

_MEANT = "if that is meant, say [server] allow_empty = true"
_EMPTY = f"the file is empty, and all that is in force would be lost; {_MEANT}"
_CALLERS = f"every [[caller]] in force is gone from the file, and anybody could send; {_MEANT}"
_ACCOUNTS = f"every [[account]] in force is gone from the file; {_MEANT}"


def loss(old: Settings, new: Settings, *, before: dict[str, Any], after: dict[str, Any]) -> tuple[str, str] | None:
    """
    Say what a change from *old* to *new* would lose, with its key path; None: nothing.

    *before* and *after* are the two documents: one that sets no key at all is empty, and only one that always was may be.
    """
    if new.server.allow_empty:
        return None
    if _is_empty(after) and not _is_empty(before):
        return "$.caller" if old.caller else "$.account" if old.account else "$", _EMPTY
    if old.caller and not new.caller:
        return "$.caller", _CALLERS
    if old.account and not new.account:
        return "$.account", _ACCOUNTS
    return None


def _is_empty(value: Any) -> bool:
    """Say whether nothing is set in a document, headings aside."""
    if isinstance(value, dict):
        return all(_is_empty(one) for one in value.values())
    return isinstance(value, list) and not value
