"""Own one webhook: raw bytes, signature, events, ledger, the app; and Meta's verification handshake."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import Any

import aiohttp
import structlog
from aiohttp import web
from multidict import CIMultiDict

from gatekeeper.core.errors import LedgerError
from gatekeeper.engine import Engine
from gatekeeper.meta import events as meta
from gatekeeper.meta.signature import verify
from gatekeeper.meta.webhooks import NotAWebhook, decode_webhook
from gatekeeper.server.http import AUTOMATIC, TooLarge, fault, read_body, refusal_response, upstream_headers
from gatekeeper.settings import Webhook
from gatekeeper.telemetry import FORWARD_FAILED, ITEM_SKIPPED, WEBHOOK, Metrics

_MOST = 4 << 20
_SIGNATURE = "X-Hub-Signature-256"
_TRACE = "gatekeeper-webhook"
_FORWARD_S = 20


class Webhooks:
    """What Meta tells us."""

    def __init__(self, engine: Engine, settings: Webhook, metrics: Metrics, log: Any, now: Callable[[], int]) -> None:
        self._engine = engine
        self._secret = settings.app_secret
        self._token = settings.verify_token
        self._targets = settings.targets
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_FORWARD_S),
            auto_decompress=False,
            skip_auto_headers=AUTOMATIC,
        )

    async def close(self) -> None:
        """Drop every connection to the app."""
        await self._session.close()

    async def handshake(self, request: web.BaseRequest) -> web.Response:
        """Answer Meta's verification request with its own challenge, if it knows our token."""
        asked = request.query
        token = asked.get("hub.verify_token", "")
        known = bool(self._token) and hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())
        if asked.get("hub.mode") != "subscribe" or not known:
            return self._answer(403, "The verify token is not ours.")
        return web.Response(text=asked.get("hub.challenge", ""))

    async def receive(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Take one webhook in, then hand its bytes on.

        It is answered 200, or as the app answers, only once the ledger has it: until then Meta says it again.
        """
        try:
            body = await read_body(request, _MOST)
        except TooLarge:
            response = self._answer(413, f"The body is larger than {_MOST} bytes.")
            response.force_close()
            return response
        if not verify(self._secret, body, request.headers.get(_SIGNATURE)):
            return self._answer(401, f"{_SIGNATURE} is missing or does not sign this body.")
        try:
            events = decode_webhook(body)
        except NotAWebhook as error:
            return self._answer(400, f"The body is not a webhook: {error}")
        for event in events:
            if isinstance(event, meta.Broken):
                self._log.warning(ITEM_SKIPPED, where=event.where, why=event.why, phone_number_id=event.phone_number_id)
        try:
            settlements = await self._engine.absorb(events, now=self._now())
        except LedgerError as error:
            self._metrics.ledger_failures.inc()
            self._log.warning(WEBHOOK, events=len(events), status=503, error=str(error))
            return self._answer(503, "The ledger is out of reach; send this again.", {"Retry-After": "1"})
        status = await self._forwarded(request, body) if self._targets else 200
        self._log.info(WEBHOOK, events=len(events), kinds=_kinds(events), settled=len(settlements), status=status)
        return self._counted(web.Response(status=status))

    async def _forwarded(self, request: web.BaseRequest, body: bytes) -> int:
        """Hand the same bytes and headers to the app; its status is Meta's answer, and one that we cannot reach is a 502."""
        headers = upstream_headers(request.headers.items())
        statuses = await asyncio.gather(*(self._handed_on(n, url, headers, body) for n, url in enumerate(self._targets)))
        return statuses[0]

    async def _handed_on(self, target: int, url: str, headers: CIMultiDict[str], body: bytes) -> int:
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._log.warning(FORWARD_FAILED, target=target, error=type(error).__name__)
            return 502

    def _answer(self, status: int, details: str, headers: dict[str, str] | None = None) -> web.Response:
        return self._counted(refusal_response(fault(status, "Webhook refused", details), trace=_TRACE, headers=headers))

    def _counted(self, response: web.Response) -> web.Response:
        self._metrics.webhook_requests.labels(str(response.status)).inc()
        return response


def _kinds(events: list[meta.Event]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for event in events:
        counts[type(event).__name__] = counts.get(type(event).__name__, 0) + 1
    return counts
