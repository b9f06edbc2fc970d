"""Own the headers that we add to the answer of a gated send: one table from a decision's fields to their names."""

from __future__ import annotations

from gatekeeper.core.decision import Decision

# Beside these: Gatekeeper-Id, -Verdict, -Reason and -State, which every gated send has, and Server-Timing.
_TIMING = "Server-Timing"
HEADERS = {
    "category": "Gatekeeper-Category",
    "category_pending": "Gatekeeper-Category-Pending",
    "opens": "Gatekeeper-Opens",
    "charged": "Gatekeeper-Charged",
    "price": "Gatekeeper-Price",
    "price_bound": "Gatekeeper-Price-Bound",
    "currency": "Gatekeeper-Currency",
    "market": "Gatekeeper-Market",
    "rate_card": "Gatekeeper-Rate-Card",
    "window_expires": "Gatekeeper-Window-Expires",
    "free_entry_expires": "Gatekeeper-Free-Entry-Expires",
    "conversation_expires": "Gatekeeper-Conversation-Expires",
    "free_remaining": "Gatekeeper-Free-Remaining",
}


def decision_headers(decision: Decision, decision_id: str, *, decide_ms: float, upstream_ms: float | None) -> dict[str, str]:
    """Our headers; one that does not apply is absent."""
    headers = {
        "Gatekeeper-Id": decision_id,
        "Gatekeeper-Verdict": decision.verdict,
        "Gatekeeper-Reason": decision.reason,
    }
    said = decision.fields()
    said["category_pending"] = decision.category_pending
    charged = said["charged"]
    said["charged"] = "unknown" if charged is None else "true" if charged else "false"
    for field, header in HEADERS.items():
        value = said[field]
        if value is not None:
            headers[header] = str(value)
    if decision.template:
        headers["Gatekeeper-Template"] = _plain(decision.template)
    if decision.rule:
        headers["Gatekeeper-Rule"] = _plain(decision.rule)
    headers["Gatekeeper-State"] = decision.state
    headers[_TIMING] = f"decide;dur={decide_ms}" if upstream_ms is None else f"decide;dur={decide_ms}, upstream;dur={upstream_ms}"
    return headers


def _plain(name: str) -> str:
    """A name as a header can carry it."""
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in name)
