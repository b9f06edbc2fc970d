"""Own how news about users, threads, templates and the account becomes events."""

from __future__ import annotations

import re

from gatekeeper.meta.change import Change, Unreadable, Who, named
from gatekeeper.meta.events import (
    Event,
    Handover,
    Ignored,
    Preference,
    SystemChange,
    TemplateCategory,
    TemplateQuality,
    TemplateStatus,
)
from gatekeeper.meta.lenient import Json, child, children, first, millis, number, text, word

_TAKEN = {"control_taken": True, "control_passed": False}
_WISHES = {"stop": True, "resume": False}
_DELETED = frozenset({"deleted", "pending_deletion"})
_BSUID = re.compile(r"[A-Za-z]{2}\.")


def preference(change: Change, item: Json) -> Event:
    """Read a user's wish to stop or resume messages of a category."""
    wish = word(item.get("value"))
    if wish not in _WISHES:
        raise Unreadable("no value that is known")
    who = named(
        change.who(wa_id=item.get("wa_id"), user_id=item.get("user_id"), parent_user_id=item.get("parent_user_id")),
    )
    return Preference(
        waba_id=change.waba_id,
        phone_number_id=change.phone_number_id,
        at=millis(item.get("timestamp")),
        wa_id=who.wa_id,
        user_id=who.user_id,
        parent_user_id=who.parent_user_id,
        category=word(item.get("category")) or "marketing_messages",
        stop=_WISHES[wish],
    )


def user_id_update(change: Change, item: Json) -> Event:
    """Read that Meta gave a user another BSUID, as it does when the number changes; the number here is the one of now."""
    ids, parents = child(item, "user_id"), child(item, "parent_user_id")
    current = text(ids.get("current"))
    if current is None:
        raise Unreadable("no new id")
    return SystemChange(
        waba_id=change.waba_id,
        phone_number_id=change.phone_number_id,
        kind="user_changed_user_id",
        at=millis(item.get("timestamp")),
        user_id=text(ids.get("previous")),
        parent_user_id=text(parents.get("previous")),
        new_wa_id=text(item.get("wa_id")),
        new_user_id=current,
        new_parent_user_id=text(parents.get("current")),
    )


def template(change: Change) -> Event:
    """
    Read news of a template by its shape, since Meta's own example of one comes under another's field.

    Until a change of category happens `new_category` is the one in force and `correct_category` the one to come.
    """
    value = change.value
    name, language = text(value.get("message_template_name")), text(value.get("message_template_language"))
    score, category, event = (word(value.get(member)) for member in ("new_quality_score", "new_category", "event"))
    # A template is deleted by its name, in every language.
    if name is None or (language is None and event not in _DELETED):
        raise Unreadable("no template name or language")
    # Meta's examples write pt-BR for what a send calls pt_BR.
    known: Json = {
        "waba_id": change.waba_id,
        "phone_number_id": change.phone_number_id,
        "name": name,
        "language": (language or "").replace("-", "_"),
    }
    if score is not None:
        return TemplateQuality(**known, score=score.upper())
    if category is not None:
        correct = word(value.get("correct_category"))
        at = millis(value.get("category_update_timestamp"))
        return TemplateCategory(**known, category=category, impending=correct if correct != category else None, at=at)
    if event is not None:
        title = word(child(value, "other_info").get("title"))
        category = word(value.get("message_template_category"))
        return TemplateStatus(**known, event=event.upper(), title=title.upper() if title else None, category=category)
    raise Unreadable("no event, category or score")


def handover(change: Change) -> Event:
    """
    Read who controls a thread now.

    The business number stands under `recipient` here, not under `metadata`, and the user under `sender`; other places
    are tried because the shape is hardly documented.
    """
    value = change.value
    kind = word(value.get("type")) or next((name for name in _TAKEN if name in value), None)
    recipient = child(value, "recipient")
    phone_number_id = change.phone_number_id or number(recipient.get("phone_number_id")) or ""
    if kind not in _TAKEN:
        return Ignored(waba_id=change.waba_id, phone_number_id=phone_number_id, field=change.field)
    people = [child(value, "sender")] if "phone_number_id" in recipient else [child(value, "sender"), recipient]
    found = [_user_in(person, "id") for person in people]
    found += [_user_in(place) for place in (value, child(value, kind), *children(value, "contacts"))]
    who = named(next((user for user in found if user.known), Who()))
    return Handover(
        waba_id=change.waba_id,
        phone_number_id=phone_number_id,
        at=millis(value.get("timestamp")),
        wa_id=who.wa_id,
        user_id=who.user_id,
        taken=_TAKEN[kind],
    )


def _user_in(place: Json, *more: str) -> Who:
    number = first(place, "phone_number", "wa_id", "from", "sender", "recipient", "recipient_id", *more)
    user_id = first(place, "user_id", "from_user_id", "recipient_user_id")
    if number and _BSUID.match(number):
        return Who(user_id=user_id or number)
    return Who(wa_id=number, user_id=user_id)
