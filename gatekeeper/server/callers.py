"""
Own who may send: the caller that a request's key is of, and the numbers that this caller may send from.

Without a `[[caller]]` anybody may, under whatever name they give. What is no send is not asked for a key: it goes to Meta by the right
that it brings, and gets no other.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from enum import StrEnum
from typing import Any

import msgspec
import structlog
from multidict import MultiMapping

from gatekeeper.core.policy import LONGEST_CALLER
from gatekeeper.core.vocabulary import Refusal
from gatekeeper.server.http import Request
from gatekeeper.server.reading import caller_of
from gatekeeper.server.replies import Reply, refusal_reply
from gatekeeper.settings import Caller
from gatekeeper.telemetry import TURNED_AWAY, Metrics

KEY = "Gatekeeper-Key"
CHALLENGE = f'{KEY} realm="gatekeeper"'
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_LONGEST_NUMBER = 64


class Why(StrEnum):
    """Why a request is turned away."""

    NO_KEY = "no_key"
    UNKNOWN_KEY = "unknown_key"
    OTHER_CALLER = "other_caller"
    OTHER_NUMBER = "other_number"


# An unknown key hears what a missing one does, and a number that nobody has what another's does. The code is Meta's for a token that
# is none, or lacks a permission: SDKs raise their own errors for these.
_NO_CALLER = Refusal(
    code=190,
    title="Invalid OAuth access token",
    details=f"This gate lets only callers send that it knows. Give your key in the header {KEY}.",
    http_status=_UNAUTHORIZED,
)
_NO_PERMISSION = Refusal(
    code=10,
    title="Application does not have permission for this action",
    details=f"The caller of this {KEY} may not send from this phone number, or not a batch, whose numbers are not checked.",
    http_status=_FORBIDDEN,
)
REFUSALS = {
    Why.NO_KEY: _NO_CALLER,
    Why.UNKNOWN_KEY: _NO_CALLER,
    Why.OTHER_CALLER: msgspec.structs.replace(
        _NO_PERMISSION, details=f"Gatekeeper-Caller names another caller than {KEY}. Leave it out: the key says who calls."
    ),
    Why.OTHER_NUMBER: _NO_PERMISSION,
}


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, as far as that is known; *why*: the request is turned away."""

    caller: str = ""
    why: Why | None = None


class Callers:
    """The calling systems that the configuration names."""

    def __init__(self, callers: tuple[Caller, ...], metrics: Metrics, log: Any) -> None:
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = log
        self._salt = secrets.token_bytes()
        self.follow(callers)
        for why in Why:
            metrics.turned_away.labels(why)

    def follow(self, callers: tuple[Caller, ...]) -> None:
        """Go by these callers from the next request on."""
        self._known = tuple((self._digest(caller.key), caller) for caller in callers)

    @property
    def are_known(self) -> bool:
        """Whether a key says who calls; else whoever calls is believed."""
        return bool(self._known)

    def admit(self, request: Request, phone_number_id: str | None) -> Admission:
        """Say who wants to send from a number; None: from numbers that nobody has looked at."""
        return self.admitted(request.headers, caller_of(request, LONGEST_CALLER), (phone_number_id,))

    def admitted(self, headers: MultiMapping[str], said: str, numbers: tuple[str | None, ...]) -> Admission:
        """Say who wants to send from *numbers*; *said* is the name that the request gives its caller, empty: none."""
        if not self._known:
            return Admission(caller=said)
        keys, found = headers.getall(KEY, []), None
        presented = self._digest(keys[0] if len(keys) == 1 else "")
        for digest, caller in self._known:  # to the last, so that time tells nothing of which it was, or how near it came
            if hmac.compare_digest(digest, presented):
                found = caller
        if found is None:
            return Admission(why=Why.UNKNOWN_KEY if keys else Why.NO_KEY)
        if said not in ("", found.name):
            return Admission(caller=found.name, why=Why.OTHER_CALLER)
        if found.phone_number_ids and not set(found.phone_number_ids).issuperset(numbers):
            return Admission(caller=found.name, why=Why.OTHER_NUMBER)
        return Admission(caller=found.name)

    def turn_away(self, admission: Admission, phone_number_id: str) -> Reply:
        """Refuse in Meta's shape a request that no key admits; nothing else becomes of it."""
        assert admission.why is not None
        trace, refusal = self.told(admission, phone_number_id), REFUSALS[admission.why]
        headers = {"WWW-Authenticate": CHALLENGE} if refusal.http_status == _UNAUTHORIZED else {}
        return refusal_reply(refusal, trace=trace, headers={"Gatekeeper-Id": trace, **headers})

    def told(self, admission: Admission, phone_number_id: str) -> str:
        """Count a request that is turned away, and write its one line; its id comes back."""
        assert admission.why is not None
        trace = secrets.token_hex(12)
        self._metrics.turned_away.labels(admission.why).inc()
        number = phone_number_id[:_LONGEST_NUMBER]
        self._log.warning(TURNED_AWAY, id=trace, why=admission.why, caller=admission.caller or None, phone_number_id=number)
        return trace

    def _digest(self, key: str) -> bytes:
        """A key as it is compared: of one length, and by a secret that no caller can work towards."""
        return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), key=self._salt).digest()
