"""Own who may ask the admin listener: everybody who reaches it, or only those who have its token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import structlog
from aiohttp import web

from gatekeeper.core.secret import Secret
from gatekeeper.telemetry import TURNED_AWAY, Metrics

# Whoever watches over processes asks these, and has no secret to show.
OPEN = frozenset({"/healthz", "/readyz"})
_WHY = "admin_token"
_SCHEME = "bearer"
_CHALLENGE = 'Bearer realm="gatekeeper"'
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Lets in who has the admin token, where there is one."""

    def __init__(self, token: Secret, metrics: Metrics, log: Any) -> None:
        self._token = _digest(token) if token else None
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = log
        metrics.turned_away.labels(_WHY)

    def admits(self, request: web.Request) -> bool:
        """Whether a request may hear everything."""
        if self._token is None:
            return True
        given = request.headers.getall("Authorization", [])
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        return hmac.compare_digest(self._token, _digest(token.strip())) and scheme.lower() == _SCHEME

    def middleware(self) -> Any:
        """Turn away who may not ask."""

        @web.middleware
        async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
            if request.path in OPEN or self.admits(request):
                return await handler(request)
            self._metrics.turned_away.labels(_WHY).inc()
            self._log.warning(TURNED_AWAY, why=_WHY, id=None, caller=None, phone_number_id=None)
            said = "Authorization" in request.headers
            detail = "The token is not that of this admin listener." if said else "This admin listener wants its token."
            challenge = f'{_CHALLENGE}, error="invalid_token"' if said else _CHALLENGE
            raise web.HTTPUnauthorized(
                text=f"{detail} Send Authorization: Bearer <server.admin_token>.", headers={"WWW-Authenticate": challenge}
            )

        return guarded


def _digest(token: str) -> bytes:
    """A token as it is compared: of one length."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
