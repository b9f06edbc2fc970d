"""Own the signature of a webhook: HMAC-SHA256 of the raw bytes under the app secret."""

from __future__ import annotations

import hmac
import re
from functools import lru_cache

_SCHEME = "sha256="
_SHAPE = re.compile(r"sha256=[0-9a-f]{64}")


def sign(secret: str, body: bytes) -> str:
    """Write the value of `X-Hub-Signature-256` for *body*."""
    keyed = _keyed(secret).copy()
    keyed.update(body)
    return _SCHEME + keyed.hexdigest()


def verify(secret: str, body: bytes, header: str | None) -> bool:
    """
    Say whether *header* signs *body*, in constant time.

    An empty secret verifies nothing: anyone can sign with it.
    """
    if not secret or header is None or not header.isascii():
        return False
    return hmac.compare_digest(sign(secret, body).encode("ascii"), header.encode("ascii"))


def is_signature(header: str) -> bool:
    """Say whether *header* could sign anything at all."""
    return _SHAPE.fullmatch(header) is not None


@lru_cache(maxsize=256)
def _keyed(secret: str) -> hmac.HMAC:
    """What has the secret in it already, and of a body nothing yet."""
    return hmac.new(secret.encode("utf-8", "surrogateescape"), digestmod="sha256")
