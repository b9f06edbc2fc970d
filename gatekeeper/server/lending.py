"""
Own how a send goes out by its account's own token: only a plain one does, and in place of whatever right its caller brings.

A token can do more than send. So nothing that Graph might take for something else goes out by it, in whatever mode the policy is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gatekeeper.core.accounts import Account
from gatekeeper.meta.batch import BATCHES
from gatekeeper.meta.bodies import readings, spelled
from gatekeeper.meta.paths import OVERRIDES
from gatekeeper.meta.rewriting import Written, carries_rights, without_rights
from gatekeeper.meta.sends import INVALID_PARAMETER, MalformedSend
from gatekeeper.server.http import Pairs, authorized

# A path that no server reads in two ways: nothing in it is encoded, doubled, dotted or a parameter.
_PLAIN = re.compile(r"(/[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)*/[0-9]+/(marketing_)?messages")
# By these Graph may take a request for others, or for another.
_DIVERTING = BATCHES | {"method", "id", "ids"}
_OWN = "This gate sends from this number by the account's own token"


def lender(account: Account | None) -> Account | None:
    """The account itself, where its sends go out by its own token."""
    return account if account is not None and account.lends else None


def hold_plain(method: str, path: str, headers: Iterable[tuple[str, str]], written: Written) -> None:
    """MalformedSend: a request that was read as a send is not so plain that the account's token may go with it."""
    overridden = any(name.lower().replace("_", "-") in OVERRIDES for name, _ in headers)
    if method != "POST" or overridden or not _PLAIN.fullmatch(without_rights(path)):
        raise _malformed("so nothing but a plain POST to …/{phone_number_id}/messages goes out, without a query.")
    hold_body_plain(written)


def hold_body_plain(written: Written) -> None:
    """MalformedSend: a body brings a right of its own, or may be more than a send."""
    if carries_rights(written):
        raise _malformed("so leave access_token and appsecret_proof out of the body.")
    if any(spelled(name) in _DIVERTING for members in readings(written.body, written.content_type) for name in members):
        raise _malformed("so leave parameters called batch, method, id or ids out of the body.")


def lent(path: str, headers: Pairs, account: Account | None) -> tuple[str, Pairs]:
    """Put the account's token in the place of every right that a caller has brought; None: leave that as it is."""
    if account is None:
        return path, headers
    return without_rights(path), authorized(headers, f"Bearer {account.access_token}")


def _malformed(advice: str) -> MalformedSend:
    return MalformedSend(INVALID_PARAMETER, f"{_OWN}, {advice}")
