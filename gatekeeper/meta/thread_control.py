"""
Own the request by which a business passes on, releases or takes a thread: Conversation Routing's `POST …/{phone_number_id}/thread_control`.

Meta tells nobody but the thread's new owner of a pass, and nobody of a release, so the request is all that says so.
Source: Meta, "Thread control", September 2026, read second-hand.
"""

from __future__ import annotations

import re

import msgspec

from gatekeeper.core.recipients import Names, is_bsuid, undialable
from gatekeeper.meta.bodies import Members, UnreadableBody, read, readings
from gatekeeper.meta.lenient import text, word

_PATH = re.compile(r"/(?:[^?#]*/)?([0-9]+)/thread_control/?")
# Whether somebody else has the thread then; a released one is nobody's.
_ELSEWHERE = {"pass": True, "release": False, "take": False}


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """Whose thread it is, and whether another partner has it from now on."""

    names: Names
    elsewhere: bool


def controlled(path: str) -> str | None:
    """Read whose threads a request's path is about, as it stands in the request line; None: it is another's."""
    found = _PATH.fullmatch(path.partition("?")[0])
    return found[1] if found else None


def decode_control(body: bytes, content_type: str) -> Control | None:
    """Read what becomes of a thread; None: it does not say."""
    try:
        members = readings(body, content_type)[0]
        action, to, recipient = (_value(members, name) for name in ("action", "to", "recipient"))
    except UnreadableBody:
        return None
    elsewhere = _ELSEWHERE.get(word(action) or "")
    number, user_id = text(to), text(recipient)
    names = Names(
        wa_id=number if number and undialable(number) is None else None,
        user_id=user_id if user_id and is_bsuid(user_id) else None,
    )
    return None if elsewhere is None or not names.known else Control(names=names, elsewhere=elsewhere)


def _value(members: Members, name: str) -> object:
    raw = members.get(name)
    try:
        return None if raw is None else read(raw)
    except UnreadableBody:  # a word of a form is no JSON
        return bytes(raw or b"").decode(errors="replace")
