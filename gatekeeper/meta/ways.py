"""
Own which parameters of a send decide, what Meta asks of each type, and in which ways a request may give them.

A parameter that one server takes from a request and another does not is refused: neither is believed.
"""

from __future__ import annotations

from gatekeeper.meta.bids import BID
from gatekeeper.meta.bodies import Members, UnreadableBody, present, query_readings, readings, spelled
from gatekeeper.meta.scanning import BATCHES, mentions

PRODUCT = "messaging_product"
# What Meta asks of the object under the type's own name: one name of each group.
_MEDIA = (("id", "link"),)
NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "text": (("body",),),
    "image": _MEDIA,
    "video": _MEDIA,
    "audio": _MEDIA,
    "document": _MEDIA,
    "sticker": _MEDIA,
    "location": (("latitude",), ("longitude",)),
    "contacts": (),
    "interactive": (("type",),),
    "reaction": (("message_id",),),
    "template": (("name",), ("language",)),
}
STRINGS = frozenset({"body", "message_id", "name"})

# What stands under another spelling of one of these is neither read nor passed by.
_DECIDING = BATCHES.union(NEEDS, (PRODUCT, "recipient_type", "to", "recipient", "type", "status", "message_id", "category", BID))
_TWO_WAYS = "The request can be read in two ways: give {names} once, in the body, and in one form."


def ways(body: bytes, content_type: str, query: str) -> list[Members]:
    """What the parameters of a request may be: those of the body with those of the query, without them, or overruled by them."""
    queries = query_readings(query) if query else []
    decide = [{name: raw for name, raw in members.items() if spelled(name) in _DECIDING} for members in queries]
    queries = [members for members in decide if members]
    bodies = readings(body, content_type) if body.strip() or not queries else [{}]
    if queries:
        bodies = [way for told in queries for members in bodies for way in (told | members, members, members | told)]
    for members in bodies:
        _plainly_one(members)
    if len(bodies) == 1:
        return bodies
    # A reading that nobody can take for a message says nothing beside one that is.
    return [members for members in bodies if _names_product(members)] or bodies[:1]


def _plainly_one(members: Members) -> None:
    """Refuse what is not one message, and in a message what one server takes for a parameter and another does not."""
    message = _names_product(members)
    for name, raw in members.items():
        parameter = spelled(name)
        if parameter in BATCHES and present(raw) and (message or mentions(name.encode() + bytes(raw), "relative_url")):
            raise UnreadableBody("A batch is not one message. Send each message by itself.")
        if message and name != parameter and (wanted := _DECIDING.intersection((parameter, spelled(name.replace("[", "_"))))):
            raise UnreadableBody(f"The parameter {min(wanted)} must be written just so, and in one form.")


def differ(one: Members, other: Members) -> str:
    """Name the parameters that decide and are not the same in both readings."""
    return _TWO_WAYS.format(
        names=" and ".join(sorted(name for name in _DECIDING if bytes(one.get(name, b"")) != bytes(other.get(name, b""))))
    )


def _names_product(members: Members) -> bool:
    return any(spelled(name) == PRODUCT for name in members)
