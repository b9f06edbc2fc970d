"""Own one webhook: raw bytes, signature, events, ledger, the app; and Meta's verification handshake."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable
from itertools import islice
from typing import Any

import structlog
from aiohttp import web

from gatekeeper.core.errors import LedgerError, UnusableKeyError
from gatekeeper.engine import Engine
from gatekeeper.meta import events as meta
from gatekeeper.meta.webhooks import decode_webhook
from gatekeeper.server.bodies import read_body
from gatekeeper.server.drift import log_drifts
from gatekeeper.server.flushing import Flushing
from gatekeeper.server.forwarding import Forwarding
from gatekeeper.server.http import Request, TooLarge, UnknownEncoding, unpacked
from gatekeeper.server.replies import Reply, fault, refusal_reply
from gatekeeper.server.signers import Signers, Unsigned
from gatekeeper.server.targets import Parcel
from gatekeeper.settings import Webhook
from gatekeeper.telemetry import ITEM_SKIPPED, ITEMS_REFUSED, TEMPLATE_CHANGED, WEBHOOK, WEBHOOK_REFUSED, Labelled, Metrics

_MOST = 4 << 20
_SIGNATURE, _ENCODING = "X-Hub-Signature-256", "Content-Encoding"
_TRACE = "gatekeeper-webhook"
_TAKEN = 200
_OF_TEMPLATES = (meta.TemplateStatus, meta.TemplateCategory, meta.TemplateQuality)
_NAMES_OF_TEMPLATES = frozenset(meta.LABELS[kind].value for kind in _OF_TEMPLATES)
_MOST_TOLD = 20  # lines on bad items of one webhook: how many there were stands in its own line


class Webhooks:
    """What Meta tells us."""

    def __init__(
        self,
        engine: Engine,
        settings: Webhook,
        forwarding: Forwarding,
        flushing: Flushing,
        metrics: Metrics,
        log: Any,
        now: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._flushing = flushing
        self.follow(settings)
        self._forwarding = forwarding
        self._metrics = metrics
        self._by_status = Labelled(metrics.webhook_requests)
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now

    def follow(self, settings: Webhook) -> None:
        """Go by these secrets from the next request on."""
        self._signers = Signers(settings)
        self._token = settings.verify_token

    async def handshake(self, request: web.BaseRequest) -> Reply:
        """Answer Meta's verification request with its own challenge, if it knows our token."""
        asked = request.query
        token = asked.get("hub.verify_token", "")
        known = bool(self._token) and hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())
        if asked.get("hub.mode") != "subscribe" or not known:
            subscribes, why = asked.get("hub.mode") == "subscribe", "wrong_token" if self._token else "no_token"
            return self._answer(403, "The verify token is not ours.", why=why if subscribes else "no_subscription")
        return Reply(
            body=asked.get("hub.challenge", "").encode("utf-8", "surrogateescape"),
            headers=[("Content-Type", "text/plain; charset=utf-8")],
        )

    async def receive(self, request: Request) -> Reply:
        """
        Take one webhook in, then hand its bytes on.

        It is answered 200, or as the app answers, only once the ledger has it: until then Meta says it again.
        """
        signers, signatures = (
            self._signers,
            request.headers.getall(_SIGNATURE, []),
        )  # a reload meanwhile changes nothing for this webhook
        unsigned = signers.unsigned(signatures)
        if unsigned is not None:  # whatever its body is: it is not read
            return self._unbelieved(unsigned)
        try:
            body = await read_body(request, _MOST)
        except TooLarge:
            response = self._answer(413, f"The body is larger than {_MOST} bytes.", why="too_large")
            response.last = True
            return response
        signer = await signers.signer(body, signatures[0])
        if isinstance(signer, Unsigned):
            return self._unbelieved(signer)
        try:
            packed = ",".join(request.headers.getall(_ENCODING, []))
            events = decode_webhook(unpacked(body, packed, _MOST) if packed else body)
        except TooLarge:
            return self._answer(413, f"The body is larger than {_MOST} bytes once unpacked.", why="too_large")
        except UnknownEncoding:
            return self._answer(415, "The Content-Encoding is not one of gzip, deflate and identity.", why="encoding")
        except ValueError as error:
            return self._answer(400, f"The body is not a webhook: {error}", why="unreadable")
        if signer.routes is not None:
            try:
                events, others = await signers.spoken_for(signer, events, self._engine.directory)
            except LedgerError as error:
                return self._unreachable(error, len(events))
            if others:
                self._log.warning(ITEMS_REFUSED, signer=signer.name, refused=len(others), kinds=meta.kinds(others))
                if not events:
                    return self._unbelieved(Unsigned.OTHER_ROUTE)
        kinds = meta.kinds(events)
        if meta.Label.BROKEN in kinds:
            for bad in islice((event for event in events if isinstance(event, meta.Broken)), _MOST_TOLD):
                self._log.warning(ITEM_SKIPPED, where=bad.where, why=bad.why, phone_number_id=bad.phone_number_id)
        try:
            settlements = await self._engine.absorb(events, now=self._now())
            with contextlib.suppress(UnusableKeyError):  # the ledger has said so, and the lists are looked at later in any case
                await self._flushing.heard(events, now=self._now())
        except LedgerError as error:
            return self._unreachable(error, len(events))
        log_drifts(self._log, settlements)
        status = _TAKEN
        if not self._forwarding.idle:
            parcel = Parcel.of(request.headers.items(), body)
            status = await self._forwarding.forward(events, parcel, heard=lambda: request.transport is not None)
        if not _NAMES_OF_TEMPLATES.isdisjoint(kinds):
            for event in events:
                if isinstance(event, _OF_TEMPLATES):
                    self._log.info(TEMPLATE_CHANGED, **_told(event))
        self._log.info(WEBHOOK, events=len(events), kinds=kinds, settled=len(settlements), status=status)
        return self._counted(Reply(status))

    def _unbelieved(self, why: Unsigned) -> Reply:
        return self._answer(401, f"{_SIGNATURE} is missing or does not sign this body.", why=why)

    def _unreachable(self, error: LedgerError, events: int) -> Reply:
        self._metrics.ledger_failures.inc()
        self._log.warning(WEBHOOK, events=events, status=503, error=str(error))
        return self._answer(503, "The ledger is out of reach; send this again.", {"Retry-After": "1"})

    def _answer(self, status: int, details: str, headers: dict[str, str] | None = None, *, why: str | None = None) -> Reply:
        """Refuse; *why* is what the log says of it, where it is to say something."""
        if why is not None:
            self._log.warning(WEBHOOK_REFUSED, status=status, why=why)
        return self._counted(refusal_reply(fault(status, "Webhook refused", details), trace=_TRACE, headers=headers))

    def _counted(self, response: Reply) -> Reply:
        self._by_status.of(response.status).inc()
        return response


def _told(news: meta.TemplateStatus | meta.TemplateCategory | meta.TemplateQuality) -> dict[str, str | None]:
    """The fields of the line on what became of a template."""
    said: dict[str, str | None] = {"waba_id": news.waba_id, "template": news.name, "language": news.language}
    if isinstance(news, meta.TemplateStatus):
        return said | {"status": news.event, "title": news.title}
    if isinstance(news, meta.TemplateCategory):
        return said | {"category": news.category, "category_pending": news.impending}
    return said | {"quality": news.score}
