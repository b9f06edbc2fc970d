"""
Own what a request is refused for before anything is decided: what may be read in two ways, what went in a circle, and webhooks that
are not at their path.

What decides is what goes out: a header by which the gate decides, and which it would not send on as it read it, is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from yarl import URL

from gatekeeper.meta.paths import OVERRIDES, gated, may_lead_to, shown
from gatekeeper.server.http import OURS, SIGNATURES, Whole, hops_of
from gatekeeper.server.rejections import Rejections, Why
from gatekeeper.server.replies import Reply, fault, refusal_reply

_TRACE = "gatekeeper"
_POST, _GET, _CONNECT = "POST", "GET", "CONNECT"
_CHUNKED = "chunked"
_MOST_DIGITS = 20
_BROKEN = re.compile("[\udc80-\udcff]")
# Of nothing else could we know that the upstream reads it as we do.
_TARGET = re.compile(r"/[^\x00-\x20\x7f#]*")
# By these a request is decided, or is what it is. None may be left out on the way (RFC 9110, section 7.6.1, lets `Connection` ask for
# that), and none may come in the spelling of a variable, which CGI and PHP cannot tell from its own.
_DECIDING = frozenset({"authorization", "content-encoding", "content-type", "idempotency-key"}) | OVERRIDES | SIGNATURES
_DECIDING_ONLY_SO = _DECIDING - OVERRIDES | {"transfer-encoding"}  # a method is believed in either spelling, and goes on in it
_HUB = "hub."


class Screening:
    """Looks at each request before anything else does."""

    def __init__(self, webhook_path: str, gate_id: str, rejections: Rejections) -> None:
        """*gate_id*: the one by which this gate and its workers know a request that they sent."""
        self._gate_id = gate_id
        self._rejections = rejections
        self.follow(webhook_path)

    def follow(self, webhook_path: str) -> None:
        """Take webhooks at this path from the next request on."""
        self._webhook_path = webhook_path
        self._webhook_paths = frozenset({webhook_path, URL.build(path=webhook_path).raw_path})

    def refuse(self, request: web.BaseRequest) -> Reply | None:
        """Give the answer to a request that goes no further; None: it may."""
        headers = request.headers
        if self._gate_id in hops_of(headers.items()):
            return self.looped()
        if not _TARGET.fullmatch(request.raw_path) or request.method == _CONNECT:
            return self._refuse(Why.BAD_TARGET, "The request target is not a path.")
        if any(coding.strip().lower() != _CHUNKED for coding in headers.getall("Transfer-Encoding", ())):
            return self._refuse(Why.AMBIGUOUS_HEADERS, "The only Transfer-Encoding that is read is chunked.", last=True)
        if len(headers.get("Content-Length", "")) > _MOST_DIGITS:
            return self._refuse(Why.AMBIGUOUS_HEADERS, "The Content-Length is longer than any number of bytes.", last=True)
        ambiguous = ambiguity(headers.items())
        if ambiguous is not None:
            return self._refuse(Why.AMBIGUOUS_HEADERS, ambiguous, last=True)
        is_path = self.is_webhook_path(request.raw_path)
        if is_path and request.method in (_POST, _GET):
            return None
        if any(name.lower() in SIGNATURES for name in headers):
            return self._wrong_method(request) if is_path else self.misdirected(request, "signature")
        if _asks_hub(request.raw_path):
            return self._wrong_method(request) if is_path else self.misdirected(request, "handshake")
        if not is_path and gated(request.raw_path) is None and may_lead_to(request.raw_path, self._webhook_path):
            return self.misdirected(request, "path")
        if any(not value.isascii() and _BROKEN.search(value) for value in headers.values()):
            return self._refuse(Why.AMBIGUOUS_HEADERS, "A header is neither ASCII nor UTF-8.")
        return None

    def refuse_plain(self, request: Whole) -> Reply | None:
        """Give the answer to a plain request that goes no further: a loop, or a signature where a send would be; None: it may."""
        head = request.head
        if head.hops and self._gate_id in head.hops:
            return self.looped()
        if head.is_signed and request.raw_path != self._webhook_path:
            return self.misdirected(request, "signature")
        return None

    def is_webhook_path(self, raw_path: str) -> bool:
        """Say whether a path is where webhooks come, as it stands in the request line and with whatever query."""
        return raw_path.partition("?")[0] in self._webhook_paths

    def looped(self) -> Reply:
        """Refuse what this gate has sent, and what would go round for ever."""
        self._rejections.record(Why.LOOPED, status=508)
        details = "This request has come through this gate before: upstream.base_url leads back to it."
        reply = refusal_reply(fault(508, "Service temporarily unavailable", details), trace=_TRACE)
        reply.last = True
        return reply

    def misdirected(self, request: web.BaseRequest | Whole, sign: str) -> Reply:
        """Refuse what is meant for the webhooks, by a *sign* of that, and came elsewhere: it is the upstream's in no case."""
        self._rejections.record(Why.WRONG_PLACE, status=404, method=request.method, path=shown(request.raw_path), sign=sign)
        details = f"Webhooks and their verification come to {self._webhook_path}, spelled just so."
        return refusal_reply(fault(404, "Unknown path", details), trace=_TRACE)

    def _wrong_method(self, request: web.BaseRequest) -> Reply:
        self._rejections.record(Why.WRONG_METHOD, status=405, method=request.method)
        refusal = fault(405, "Unsupported request", "Webhooks come by POST, and their verification by GET.")
        return refusal_reply(refusal, trace=_TRACE, headers={"Allow": "GET, POST"})

    def _refuse(self, why: Why, details: str, *, last: bool = False) -> Reply:
        """Refuse it; *last*: nobody reads its body."""
        self._rejections.record(why, status=400, details=details)
        reply = refusal_reply(fault(400, "Invalid request", details), trace=_TRACE)
        reply.last = last
        return reply


def ambiguity(headers: Iterable[tuple[str, str]]) -> str | None:
    """Say why the headers of a request do not go on as they decide; None: they do."""
    for name, value in headers:
        lower = name.lower()
        hyphened = lower.replace("_", "-")
        if lower != hyphened and (hyphened in _DECIDING_ONLY_SO or hyphened.startswith(OURS)):
            return "The name of a header is spelled with an underscore where it has a hyphen."
        if lower == "connection":
            named = (token.strip().lower().replace("_", "-") for token in value.split(","))
            if any(token in _DECIDING or token.startswith(OURS) for token in named):
                return "Connection names a header by which the request is decided, so it would not go on as it was read."
    return None


def _asks_hub(raw_path: str) -> bool:
    """Say whether a parameter of Meta's verification stands in a query, or where a server might see one."""
    path, _, query = raw_path.partition("?")
    queries = [query, unquote(path).partition("?")[2]]
    if not any(_HUB in unquote(text).lower() for text in queries):
        return False
    return any(name.strip().lower().startswith(_HUB) for text in queries for name, _ in parse_qsl(text, keep_blank_values=True))
