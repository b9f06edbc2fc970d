"""
Own whose word a webhook is: which of the configured secrets signs it, and of which numbers and accounts that secret may speak.

What `webhook.app_secret` signs may be about any. A route's own secret speaks for what the route names: it may be another client's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from gatekeeper.engine.directory import Directory
from gatekeeper.meta import events as meta
from gatekeeper.meta.signature import is_signature, verify
from gatekeeper.settings import Webhook

_NOTHING = (meta.Ignored, meta.Broken)
# What is hashed at once; more of it, by a large body or many secrets, is hashed beside the event loop.
_AT_ONCE = 1 << 20


class Unsigned(StrEnum):
    """Why a webhook is not believed."""

    UNCONFIGURED = "no_secret"
    NO_SIGNATURE = "no_signature"
    MALFORMED_SIGNATURE = "malformed_signature"
    WRONG_SIGNATURE = "wrong_signature"
    OTHER_ROUTE = "other_route"


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """Who a secret belongs to: to what these routes name, or, with *routes* None, to the whole gate."""

    routes: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The key under which the secret stands."""
        return "app_secret" if self.routes is None else ", ".join(f"route[{n}].app_secret" for n in self.routes)


class Signers:
    """The secrets of a configuration."""

    def __init__(self, webhook: Webhook) -> None:
        found: dict[str, Signer] = {}
        for n, route in enumerate(webhook.route):
            for secret in route.app_secret:
                before = found[secret].routes or () if secret in found else ()
                found[secret] = Signer(routes=(*(m for m in before if m != n), n))
        whole = dict.fromkeys(webhook.app_secret, Signer())
        self._signers = [*whole.items(), *((secret, signer) for secret, signer in found.items() if secret not in whole)]
        self._routes = webhook.route

    def unsigned(self, headers: Sequence[str]) -> Unsigned | None:
        """Say why these signatures sign no body at all; None: they may sign one."""
        if not self._signers:
            return Unsigned.UNCONFIGURED
        if not headers:
            return Unsigned.NO_SIGNATURE
        return None if len(headers) == 1 and is_signature(headers[0]) else Unsigned.MALFORMED_SIGNATURE

    async def signer(self, body: bytes, header: str) -> Signer | Unsigned:
        """Find whose secret signs *body*; each is compared in constant time."""
        if len(body) * len(self._signers) <= _AT_ONCE:
            return self._found(body, header)
        return await asyncio.to_thread(self._found, body, header)

    async def spoken_for(
        self, signer: Signer, events: Sequence[meta.Event], directory: Directory
    ) -> tuple[list[meta.Event], list[meta.Event]]:
        """Part what a signer may say from what is not its own. LedgerError: whose a number is cannot be asked."""
        if signer.routes is None:
            return list(events), []
        numbers, wabas = self._named(signer.routes)
        own = wabas | {
            account.waba_id
            for account in directory.accounts
            if account.phone_number_ids and numbers.issuperset(account.phone_number_ids)
        }
        others, other_wabas = self._named([n for n in range(len(self._routes)) if n not in signer.routes])
        other_wabas |= {account.waba_id for account in directory.accounts}
        places: dict[tuple[str, str], bool] = {}
        for place in {(event.waba_id, event.phone_number_id) for event in events}:
            waba_id, number = place
            if not number:
                places[place] = waba_id in own
                continue
            owner = directory.named(number)
            if number in numbers:
                places[place] = waba_id in own or waba_id not in other_wabas or (owner is not None and owner.waba_id == waba_id)
            elif waba_id not in own or number in others:
                places[place] = False
            else:
                owner = owner or (await directory.number(number)).account
                places[place] = owner.waba_id in own or owner.waba_id == number  # nobody has heard of it
        parted: tuple[list[meta.Event], list[meta.Event]] = [], []
        for event in events:
            spoken = places[event.waba_id, event.phone_number_id] or (
                isinstance(event, _NOTHING) and not event.waba_id and not event.phone_number_id
            )
            parted[0 if spoken else 1].append(event)
        return parted

    def _found(self, body: bytes, header: str) -> Signer | Unsigned:
        return next((signer for secret, signer in self._signers if verify(secret, body, header)), Unsigned.WRONG_SIGNATURE)

    def _named(self, routes: Sequence[int]) -> tuple[set[str], set[str]]:
        """The numbers and accounts that some routes name."""
        numbers = {number for n in routes for number in self._routes[n].phone_number_id}
        return numbers, {waba_id for n in routes for waba_id in self._routes[n].waba_id}
