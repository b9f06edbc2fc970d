"""
Own how events are written down again, as a webhook that they are read from: for a record, which holds nothing else of the first one.

Of what a user wrote nothing is written down, a keyword that stops marketing neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from gatekeeper.meta import events as meta
from gatekeeper.meta.lenient import Json
from gatekeeper.meta.redaction import Names
from gatekeeper.meta.webhooks import WHATSAPP

_SECOND_MS = 1000
# A change that holds a list of items, or one that is itself the item.
_Told: TypeAlias = tuple[str, str, Json]
_MESSAGES, _CALLS, _ACCOUNT = "messages", "calls", "account_update"


def payload_of(events: Iterable[meta.Event], names: Names) -> Json | None:
    """Write the webhook that *events* are read from, names as *names* has them; None: nothing in it is of use."""
    entries: list[Json] = []
    for event in events:
        write = _WRITERS.get(type(event))
        if write is not None:
            field, items, item = write(event, names)
            _add(entries, event.waba_id, field, items, item, _metadata(event, names))
    return {"object": WHATSAPP, "entry": entries} if entries else None


def _add(entries: list[Json], waba_id: str, field: str, items: str, item: Json, metadata: Json) -> None:
    """Add an item to the last list, if it is one of the same."""
    if not entries or entries[-1]["id"] != waba_id:
        entries.append({"id": waba_id, "changes": []})
    changes = entries[-1]["changes"]
    if not items:
        changes.append({"field": field, "value": {**metadata, **item}})
        return
    last = changes[-1] if changes else {}
    if last.get("field") != field or items not in last["value"] or last["value"].get("metadata") != metadata.get("metadata"):
        changes.append({"field": field, "value": {**metadata, items: []}})
    changes[-1]["value"][items].append(item)


def _metadata(event: meta.Event, names: Names) -> Json:
    own = event.own_number if isinstance(event, meta.Inbound) else None
    said = {
        "phone_number_id": event.phone_number_id or None,
        "display_phone_number": None if own is None else names.recipient(own),
    }
    found = _given(said)
    return {"metadata": found} if found else {}


def _inbound(event: meta.Inbound, names: Names) -> _Told:
    item = _given(
        {
            "id": names.message(event.wamid) if event.wamid else None,
            "timestamp": _time(event.at),
            "type": event.type,
            "group_id": _name(names, event.group_id),
            "referral": {"source_type": "ad"} if event.from_ad else None,
            **_who(event, names, "from", "from_user_id", "from_parent_user_id"),
        }
    )
    return "standby" if event.standby else _MESSAGES, "messages", item


def _system(event: meta.SystemChange, names: Names) -> _Told:
    system = {
        "type": event.kind,
        "previous_user_id": _name(names, event.user_id),
        "previous_parent_user_id": _name(names, event.parent_user_id),
        "wa_id": _name(names, event.new_wa_id),
        "user_id": _name(names, event.new_user_id),
        "parent_user_id": _name(names, event.new_parent_user_id),
    }
    item = {"type": "system", "from": _name(names, event.wa_id), "timestamp": _time(event.at), "system": _given(system)}
    return _MESSAGES, "messages", _given(item)


def _call(event: meta.Call, names: Names) -> _Told:
    if event.by_user:
        who = _who(event, names, "from", "from_user_id", "from_parent_user_id")
        return _CALLS, "calls", {"event": "connect", "direction": "USER_INITIATED", "timestamp": _time(event.at), **_given(who)}
    who = _who(event, names, "recipient_id", "recipient_user_id", "recipient_parent_user_id")
    status = "ACCEPTED" if event.accepted else "REJECTED"
    return _CALLS, "statuses", {"status": status, "timestamp": _time(event.at), **_given(who)}


def _status(event: meta.Status, names: Names) -> _Told:
    item: Json = {"id": names.message(event.wamid), "status": event.status, "timestamp": _time(event.at)}
    if event.group:
        item["recipient_type"] = "group"
        item["recipient_id"] = _name(names, event.recipient_id)
        item["recipient_participant_id"] = _name(names, event.participant_id)
    else:
        item["recipient_id"] = _name(names, event.recipient_id)
        item["recipient_user_id"] = _name(names, event.user_id)
        item["recipient_parent_user_id"] = _name(names, event.parent_user_id)
    found = _given(item)
    if event.conversation is not None:  # one of which nothing is known is one all the same
        ends, origin = event.conversation.expires_at, event.conversation.origin
        found["conversation"] = {"expiration_timestamp": _time(ends), "origin": {"type": origin}}
    if event.pricing is not None:
        said = event.pricing
        found["pricing"] = {
            "pricing_model": said.model,
            "type": said.type,
            "category": said.category,
            "subtype": said.subtype,
        }
    if event.error_codes:
        found["errors"] = [{"code": code} for code in event.error_codes]
    return _MESSAGES, "statuses", found


def _preference(event: meta.Preference, names: Names) -> _Told:
    said = {"category": event.category, "value": "stop" if event.stop else "resume", "timestamp": _time(event.at)}
    who = _who(event, names, "wa_id", "user_id", "parent_user_id")
    return "user_preferences", "user_preferences", _given({**said, **who})


def _handover(event: meta.Handover, names: Names) -> _Told:
    value = {
        "type": "control_taken" if event.taken else "control_passed",
        "timestamp": _time(event.at),
        "recipient": {"phone_number_id": event.phone_number_id},
        "sender": _given({"wa_id": _name(names, event.wa_id), "user_id": _name(names, event.user_id)}),
    }
    return "messaging_handovers", "", _given(value)


def _template(event: meta.TemplateStatus | meta.TemplateCategory | meta.TemplateQuality, _: Names) -> _Told:
    said: Json = {"message_template_name": event.name, "message_template_language": event.language or None}
    if isinstance(event, meta.TemplateQuality):
        said["new_quality_score"] = event.score
        return "message_template_quality_update", "", _given(said)
    if isinstance(event, meta.TemplateCategory):
        changed = {
            "new_category": event.category,
            "correct_category": event.impending,
            "category_update_timestamp": _time(event.at),
        }
        return "template_category_update", "", _given(said | changed)
    told = {
        "event": event.event,
        "message_template_category": event.category,
        "other_info": None if event.title is None else {"title": event.title},
    }
    return "message_template_status_update", "", _given(said | told)


def _international(event: meta.InternationalRate, _: Names) -> _Told:
    exceptions = [{"country_code": country, "start_time": _time(at)} for country, at in event.exceptions.items()]
    told = {"start_time": _time(event.start_time), "exception_countries": exceptions}
    return _ACCOUNT, "", {"event": "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE", "auth_international_rate_eligibility": told}


def _at_home(event: meta.PrimaryLocation, _: Names) -> _Told:
    return _ACCOUNT, "", {"event": "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE", "country": event.country}


def _tier(event: meta.VolumeTier, _: Names) -> _Told:
    told = {
        "tier": f"{event.first}:",
        "pricing_category": event.category,
        "region": event.region,
        "effective_month": event.month,
    }
    return _ACCOUNT, "", {"event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info": told}


# What is not here says nothing to us.
_WRITERS: dict[type, Callable[[Any, Names], _Told]] = {
    meta.Inbound: _inbound,
    meta.SystemChange: _system,
    meta.Call: _call,
    meta.Status: _status,
    meta.Preference: _preference,
    meta.Handover: _handover,
    meta.TemplateStatus: _template,
    meta.TemplateCategory: _template,
    meta.TemplateQuality: _template,
    meta.InternationalRate: _international,
    meta.PrimaryLocation: _at_home,
    meta.VolumeTier: _tier,
}


def _who(
    event: meta.Inbound | meta.Call | meta.Preference, names: Names, number: str, user_id: str, parent: str
) -> dict[str, str | None]:
    """The names of a user, under the members that they have here."""
    return {
        number: _name(names, event.wa_id),
        user_id: _name(names, event.user_id),
        parent: _name(names, event.parent_user_id),
    }


def _name(names: Names, name: str | None) -> str | None:
    return None if name is None else names.recipient(name)


def _time(at: int | None) -> str | None:
    """A moment as Meta writes it, in seconds; one between two seconds in milliseconds, which are read too."""
    if at is None:
        return None
    return str(at // _SECOND_MS if at % _SECOND_MS == 0 else at)


def _given(said: Json) -> Json:
    return {member: value for member, value in said.items() if value is not None}
