"""Own the admin listener: health, readiness, metrics, and the state of a thread. JSON; errors are RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gatekeeper.core.calendar import local_day
from gatekeeper.core.decision import SECOND_MS
from gatekeeper.core.errors import LedgerError
from gatekeeper.core.recipients import canonical
from gatekeeper.core.vocabulary import CONVERSATION, Clock
from gatekeeper.engine import Engine
from gatekeeper.server.callers import Callers
from gatekeeper.server.checking import Checking
from gatekeeper.server.forgetting import Erasure
from gatekeeper.server.guard import Guard
from gatekeeper.server.reload import Reload
from gatekeeper.server.upstream import Upstream
from gatekeeper.settings import LedgerFailure, Settings, described
from gatekeeper.telemetry import FAULT, Metrics, exposed

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_SAID = ("Allow", "WWW-Authenticate")
_SINCE, _DENIED, _USED, _ASSUMED = "<", "!", "*", "?"


class Admin:
    """What operations may ask."""

    def __init__(
        self,
        engine: Engine,
        upstream: Upstream,
        settings: Settings,
        metrics: Metrics,
        now: Callable[[], int],
        reload: Reload,
        *,
        callers: Callers,
        log: Any,
    ) -> None:
        self._engine = engine
        self._upstream = upstream
        self._reload = reload
        self._metrics = metrics
        self._now = now
        self._callers = callers
        self._log = log
        self._guard = Guard(settings.server.admin_token, metrics, log)

    def application(self, *more: web.RouteDef) -> web.Application:
        """The admin listener's routes, and *more*."""
        app = web.Application(middlewares=[self._problems, self._guard.middleware()])
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics_page),
                web.get("/v1/threads/{phone_number_id}/{recipient}", self._thread),
                web.get("/v1/accounts", self._accounts),
                web.get("/v1/policy", self._policy),
                web.post("/v1/check", Checking(self._engine, self._callers, self._now).answer),
                web.post("/v1/forget", Erasure(self._engine, self._log).answer),
                web.get("/v1/spend", self._spend),
                web.get("/v1/spend/lines", self._spend_lines),
                *more,
            ]
        )
        return app

    @web.middleware
    async def _problems(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Give every error the same shape; a bug of ours is one line and one answer."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            response = problem(error.status, error.text or error.reason)
            response.headers.update({name: error.headers[name] for name in _SAID if name in error.headers})
            return response
        except Exception as error:  # noqa: BLE001
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The gate failed on this request; its log says how.")

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        checks = {
            "ledger": await self._ledger(),
            "policy": self._reload.state,
            "upstream": self._reached(),
            "rate_card": self._rate_card(),
        }
        webhook = self._engine.settings.webhook
        if not webhook.app_secret:
            refused = (
                "all but those of routes with an app_secret are"
                if any(r.app_secret for r in webhook.route)
                else "every webhook is"
            )
            checks["webhook"] = f"no app secret: {refused} refused; set webhook.app_secret"
        if self._reload.restart_needed:
            checks["restart_needed"] = ", ".join(f"$.{key}" for key in self._reload.restart_needed)
        blocked = self._engine.settings.policy.ledger_failure is LedgerFailure.BLOCK
        ready = checks["ledger"] == "ok" or not blocked
        told = {"checks": checks} if self._guard.admits(request) else {}
        return web.json_response({"ready": ready, **told}, status=200 if ready else 503)

    async def _ledger(self) -> str:
        try:
            await self._engine.ledger.ping()
        except LedgerError as error:
            return f"degraded: {error}"
        return "ok"

    def _reached(self) -> str:
        return {None: "not asked yet", True: "ok", False: "out of reach at the last send"}[self._upstream.reachable]

    def _rate_card(self) -> str:
        """Whether each account's currency has a card today."""
        wanted = {account.currency: account for account in self._engine.settings.account}
        missing = [
            c for c, account in wanted.items() if self._engine.book.rates.on(c, local_day(self._now(), account.zone)) is None
        ]
        return f"no card for {', '.join(sorted(missing))}: prices are unknown" if missing else "ok"

    async def _policy(self, _: web.Request) -> web.Response:
        """The policy in force, and since when."""
        said = {
            "since": self._reload.since // SECOND_MS,
            "state": self._reload.state,
            "policy": described(self._engine.settings)["policy"],
        }
        return web.json_response(body=msgspec.json.encode(said))

    async def _metrics_page(self, _: web.Request) -> web.Response:
        return web.Response(body=exposed(self._metrics), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _accounts(self, _: web.Request) -> web.Response:
        try:
            found = await self._engine.spend.accounts()
        except LedgerError as error:
            raise web.HTTPServiceUnavailable(text=f"The ledger is out of reach: {error}") from None
        return web.json_response(body=msgspec.json.encode({"accounts": found}))

    async def _spend(self, request: web.Request) -> web.Response:
        return await self._billed(request, self._engine.spend.report)

    async def _spend_lines(self, request: web.Request) -> web.Response:
        return await self._billed(request, self._engine.spend.lines)

    async def _billed(self, request: web.Request, ask: Callable[..., Awaitable[dict[str, Any]]]) -> web.Response:
        waba_id = request.query.get("waba_id", "")
        if not (waba_id.isascii() and waba_id.isdigit()):
            raise web.HTTPBadRequest(text="waba_id must name a WhatsApp Business Account: ?waba_id=102290129340398&month=2026-10")
        try:
            found = await ask(waba_id, request.query.get("month"), now=self._now())
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"month: {error}") from None
        except LedgerError as error:
            raise web.HTTPServiceUnavailable(text=f"The ledger is out of reach: {error}") from None
        return web.json_response(body=msgspec.json.encode(found))

    async def _thread(self, request: web.Request) -> web.Response:
        number_id, written = request.match_info["phone_number_id"], request.match_info["recipient"]
        recipient = canonical(written)
        try:
            number = await self._engine.directory.number(number_id)
            fields = await self._engine.ledger.thread(number.tag, number_id, recipient)
            watched = await self._engine.ledger.watched_since(number.tag, number_id)
        except LedgerError as error:
            raise web.HTTPServiceUnavailable(text=f"The ledger is out of reach: {error}") from None
        return web.json_response(body=msgspec.json.encode(thread_state(number_id, recipient, fields, watched, now=self._now())))


def thread_state(
    phone_number_id: str, recipient: str, fields: dict[str, str], watched: int | None, *, now: int
) -> dict[str, Any]:
    """A thread's windows, free entry point and conversations, with their ends in Unix seconds; null: not open."""

    def ends(clock: str) -> int | None:
        counts = int(fields.get(clock + _SINCE, 0)) > max(int(fields.get(clock + mark, 0)) for mark in (_DENIED, _USED))
        return int(fields[clock]) if counts and int(fields[clock]) > now else None

    def one(clock: str) -> dict[str, Any] | None:
        confirmed, assumed = ends(clock), int(fields.get(clock + _ASSUMED, 0))
        until = max(confirmed or 0, assumed if assumed > now else 0)
        return {"expires": until // 1000, "confirmed": confirmed is not None} if until else None

    categories = sorted({name.removeprefix(CONVERSATION).rstrip("<!*?&=@") for name in fields if name.startswith(CONVERSATION)})
    return {
        "phone_number_id": phone_number_id,
        "recipient": recipient,
        "customer_service_window": one(Clock.CUSTOMER_SERVICE_WINDOW),
        "free_entry_offer": one(Clock.FREE_ENTRY_OFFER),
        "free_entry_point": one(Clock.FREE_ENTRY_POINT),
        "conversations": [{"category": c, **found} for c in categories if (found := one(CONVERSATION + c))],
        "opted_out_of_marketing": ends(Clock.OPTED_OUT) is not None,
        "owned_elsewhere": ends(Clock.THREAD_ELSEWHERE) is not None,
        "watched_since": None if watched is None else watched // 1000,
    }


def problem(status: int, detail: str) -> web.Response:
    """An RFC 9457 problem."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")
