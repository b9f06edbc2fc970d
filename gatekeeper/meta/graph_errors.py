"""Own the body of a Graph error: every refusal and fault that a client sees has Meta's own shape."""

from __future__ import annotations

import msgspec

from gatekeeper.core.vocabulary import Refusal


def graph_error(
    *,
    code: int,
    title: str,
    details: str,
    type: str = "OAuthException",  # noqa: A002  it is Meta's name for it
    trace: str,
) -> bytes:
    """Write an error as Graph does, so that the SDK in use raises its own exception."""
    return refusal_body(Refusal(code=code, title=title, details=details, type=type), trace=trace)


def refusal_body(refusal: Refusal, *, trace: str, details: str | None = None) -> bytes:
    """Write *refusal* as Graph would, with *details* in place of its own advice where given."""
    return msgspec.json.encode(
        {
            "error": {
                "message": refusal.message,
                "type": refusal.type,
                "code": refusal.code,
                "error_data": {
                    "messaging_product": "whatsapp",
                    "details": refusal.details if details is None else details,
                },
                "fbtrace_id": trace,
            }
        }
    )
