"""Own the signature of a webhook: HMAC-SHA256 of the raw bytes under the app secret."""

from __future__ import annotations

import hmac

_SCHEME = "sha256="


def sign(secret: str, body: bytes) -> str:
    """Write the value of `X-Hub-Signature-256` for *body*."""
    return _SCHEME + hmac.digest(secret.encode("utf-8", "surrogateescape"), body, "sha256").hex()


def verify(secret: str, body: bytes, header: str | None) -> bool:
    """
    Say whether *header* signs *body*, in constant time.

    An empty secret verifies nothing: anyone can sign with it.
    """
    if not secret or header is None or not header.isascii():
        return False
    return hmac.compare_digest(sign(secret, body).encode("ascii"), header.encode("ascii"))
