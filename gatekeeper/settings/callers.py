"""Own what can be wrong with who may do what: callers that cannot be told apart, secrets too easy to guess, doors left open."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gatekeeper.core.policy import LONGEST_CALLER
from gatekeeper.core.secret import SHORTEST, Secret
from gatekeeper.settings.addresses import address, is_loopback
from gatekeeper.settings.kinds import nearest
from gatekeeper.settings.sections import Caller, Settings

_Mistake = tuple[str, str]
A_CALLER = f"a name of at most {LONGEST_CALLER} printable ASCII characters, without spaces around it"
_PLAIN = re.compile(r"[!-~]*")
_IN_POLICY = ("rule", "hold", "fallback")


def names_caller(name: str) -> bool:
    """Say whether a header can carry *name*; the empty one is that of who gives none."""
    return len(name) <= LONGEST_CALLER and name.isascii() and name.isprintable() and name == name.strip()


def access_mistakes(settings: Settings) -> Iterator[_Mistake]:
    """Yield each mistake in who may do what, with its key path."""
    yield from _admin_mistakes(settings)
    seen: dict[tuple[str, str], int] = {}
    for n, caller in enumerate(settings.caller):
        yield from _caller_mistakes(caller, f"$.caller[{n}]")
        for key in ("name", "key"):
            first = seen.setdefault((key, getattr(caller, key)), n)
            if first != n:
                yield f"$.caller[{n}].{key}", f"also the {key} of caller[{first}]"
    known = sorted({caller.name for caller in settings.caller})
    for kind in _IN_POLICY if known else ():
        for n, one in enumerate(getattr(settings.policy, kind)):
            for m, name in enumerate(one.caller):
                if name not in known:
                    yield f"$.policy.{kind}[{n}].caller[{m}]", f"{name!r} is not the name of a [[caller]]{nearest(name, known)}"
    for n, account in enumerate(settings.account):
        if account.inject_token:
            at = f"$.account[{n}].inject_token"
            if not account.access_token:
                yield at, "needs the access_token that is to be injected"
            if not account.phone_number_ids:
                yield at, "needs the phone_number_ids that may send by it"
            if not settings.caller:
                yield at, "needs a [[caller]]: without keys anybody could send by the account's token"


def _admin_mistakes(settings: Settings) -> Iterator[_Mistake]:
    server = settings.server
    yield from _secret(server.admin_token, "$.server.admin_token")
    try:
        host, _ = address(server.admin_listen)
    except ValueError:  # a mistake of its own
        return
    if not server.admin_token and not is_loopback(host):
        yield "$.server.admin_listen", f"{server.admin_listen!r} can be reached from other machines, so it needs admin_token"


def _caller_mistakes(caller: Caller, at: str) -> Iterator[_Mistake]:
    if not caller.name or not names_caller(caller.name):
        yield f"{at}.name", A_CALLER if caller.name else "must not be empty"
    if not caller.key:
        yield f"{at}.key", "must not be empty"
    yield from _secret(caller.key, f"{at}.key")
    mine: set[str] = set()
    for m, number in enumerate(caller.phone_number_ids):
        if not (number.isascii() and number.isdigit()):
            yield f"{at}.phone_number_ids[{m}]", "an id of digits"
        elif number in mine:
            yield f"{at}.phone_number_ids[{m}]", "named above"
        mine.add(number)


def _secret(secret: Secret, at: str) -> Iterator[_Mistake]:
    if not _PLAIN.fullmatch(secret):
        yield at, "printable ASCII, without spaces"
    elif secret and len(secret) < SHORTEST:
        yield at, f"at least {SHORTEST} characters"
