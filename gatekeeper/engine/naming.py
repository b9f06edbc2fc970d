"""
Own what is learned of the names of users: which of them lead to one thread, whom Meta bills, and what a user with new names keeps.

With another phone number a user gets another BSUID and parent BSUID. Whether windows outlive that is not documented, so the new
names begin with none; only the wish to hear no marketing goes along.
"""

from __future__ import annotations

from collections.abc import Sequence

from gatekeeper.core.recipients import Link, Names, answered, canonical, digits
from gatekeeper.core.vocabulary import Clock
from gatekeeper.engine.directory import Directory, Number
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.calls import Call
from gatekeeper.meta import events as meta
from gatekeeper.meta.responses import Answer

_SEVERAL = 2
_NAMING = ("sent", "delivered", "failed")  # no `read`, see gatekeeper.engine.unnamed


def told(directory: Directory, number: Number, names: Names, known: Sequence[str], *, said: int, now: int) -> list[Call]:
    """Meta gives one user several names; *known*: those that we know."""
    if billed := digits(names.wa_id or ""):
        for name in known:
            directory.bill(number, name, billed)
    if len(known) < _SEVERAL:
        return []
    return [calls.link(number.tag, number.phone_number_id, link, now=now, said=said) for link in names.links]


def answered_with(directory: Directory, number: Number, answer: Answer, *, claimed: str, now: int) -> list[Call]:
    """
    Meta's answer to a send names its recipient.

    *claimed* is the BSUID that the caller gave beside a number: Meta sends to the number and repeats the BSUID, so it says nothing.
    """
    found = []
    for contact in answer.contacts:
        user_id = contact.user_id if contact.user_id and canonical(contact.user_id) != claimed else None
        if user_id is None and contact.wa_id == contact.input and digits(contact.input) == contact.input:
            directory.bill(number, canonical(contact.input), contact.input)  # the usual answer, which tells no new name
            continue
        names = Names(user_id=user_id, wa_id=contact.wa_id)
        found += told(directory, number, names, names.known, said=now, now=now)
        link = answered(contact.input, contact.wa_id, user_id)
        if billed := digits(contact.wa_id or ""):
            directory.bill(number, canonical(contact.input), billed)
        if link is not None:
            found.append(calls.link(number.tag, number.phone_number_id, link, now=now, said=now))
    return found


def names_send_of(status: meta.Status, number: Number) -> list[str]:
    """The threads of which a send may wait for the name that this status, of an unknown message, brings."""
    if status.status not in _NAMING:
        return []
    names = Names(user_id=status.user_id, parent_user_id=status.parent_user_id, wa_id=status.recipient_id).known
    if status.group:
        names = [status.recipient_id] if status.recipient_id else []
    return [keys.thread(number.tag, number.phone_number_id, name) for name in names]


def renamed(directory: Directory, number: Number, change: meta.SystemChange, *, said: int, now: int) -> list[Call]:
    """A user has other names from now on."""
    before = Names(user_id=change.user_id, parent_user_id=change.parent_user_id, wa_id=change.wa_id)
    after = Names(user_id=change.new_user_id, parent_user_id=change.new_parent_user_id, wa_id=change.new_wa_id)
    found = [call for names in (before, after) for call in told(directory, number, names, names.known, said=said, now=now)]
    if before.known and after.known:
        link = Link(before.known[0], after.known[0])
        found.append(calls.carry(number.tag, number.phone_number_id, link, Clock.OPTED_OUT, now=now))
    return found
