"""
Histories as Hypothesis draws them: sends that were made, and what Meta then said in some order, some of it again and again.

Meta's word, where a history has one, is true: it is what Meta would say of that history, told by every status of it. What a story
depends on besides (an ad, a first message of the user) happened and was heard of before the sends. Moments are minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st
from story import MINUTE, ONE, USER, WABA, Sent, Story

from gatekeeper.core.settlement import Settlement
from gatekeeper.core.tariff import Meter
from gatekeeper.meta import events as meta

CBP, PMP = "2023-09-05", "2026-10-13"
HOURS = 60  # minutes
DAY = 24 * HOURS
HEARD = 21 * HOURS  # everything is heard of at once, while all that it opened is still open
FREE_ENTRY = "referral_conversion"
WINDOW_CLOSED, OPTED_OUT, UNDELIVERABLE = 131047, 131050, 131026
_HERE = {"waba_id": WABA, "phone_number_id": ONE}


class Message(NamedTuple):
    """A send: what and when, what became of it and when, and whether it was read as it was delivered."""

    product: str
    at: int
    end: str
    landed: int
    read: bool
    code: int


class History(NamedTuple):
    """Sends, what the user did meanwhile, and whether `sent` is told and statuses carry Meta's word. *left*: free units of the month."""

    day: str
    ad: bool
    left: int
    worded: bool
    sent_told: bool
    messages: tuple[Message, ...]
    wishes: tuple[tuple[str, int], ...]


class Told(NamedTuple):
    """What is told of a history: who wrote or wished, or a status of a message."""

    at: int
    what: str
    message: int = -1


WISHES = ("wrote", "called", "took our call", "stop", "resume", "on standby", "taken", "given back")
_minutes = st.integers(0, 20 * HOURS - 1)


@st.composite
def _messages(draw: st.DrawFn, products: Sequence[str]) -> Message:
    at = draw(st.integers(0, 3 * HOURS))
    return Message(
        product=draw(st.sampled_from(products)),
        at=at,
        end=draw(st.sampled_from(["delivered", "delivered", "delivered", "failed", "pending"])),
        landed=draw(st.integers(at + 2, 20 * HOURS - 1)),
        read=draw(st.booleans()),
        code=draw(st.sampled_from([UNDELIVERABLE, WINDOW_CLOSED, OPTED_OUT])),
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    day, ad = draw(st.sampled_from([CBP, PMP])), draw(st.booleans())
    # Without an ad, a text of the conversations' time belongs to whatever was opened before it: its price depends on its neighbours.
    products = ("marketing", "utility") if day == CBP and not ad else ("marketing", "utility", "text")
    messages = draw(st.lists(_messages(products), min_size=1, max_size=4))
    return History(
        day=day,
        ad=ad,
        left=draw(st.integers(0, 2)),
        worded=draw(st.sampled_from([True, True, False])),
        sent_told=draw(st.sampled_from([True, True, False])),
        messages=tuple(sorted(messages, key=lambda message: message.at)),
        wishes=tuple(draw(st.lists(st.tuples(st.sampled_from(WISHES), st.integers(-5 * HOURS, 20 * HOURS)), max_size=4))),
    )


def told(history: History) -> list[Told]:
    """Everything that Meta says of a history, in the order of life."""
    found = [Told(at, wish) for wish, at in history.wishes]
    for n, message in enumerate(history.messages):
        if history.sent_told:
            found.append(Told(message.at + 1, "sent", n))
        if message.end != "pending":
            found.append(Told(message.landed, message.end, n))
        if message.end == "delivered" and message.read:
            found.append(Told(message.landed, "read", n))
    return sorted(found, key=lambda each: each.at)


@st.composite
def disorders(draw: st.DrawFn, history: History) -> list[list[Told]]:
    """The same in any order, with repetitions, in webhooks of any size."""
    events = told(history)
    repeated = draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    shuffled = draw(st.permutations(events + repeated))
    cuts = sorted(draw(st.sets(st.integers(1, max(len(shuffled) - 1, 1)), max_size=len(shuffled))))
    return [list(shuffled[start:end]) for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


# --------------------------------------------------------------------------------------------------------- what Meta says


def landings(history: History, product: str | None = None) -> list[int]:
    """When messages landed, in order; of one product, or of all."""
    return sorted(
        message.landed for message in history.messages if message.end == "delivered" and product in (None, message.product)
    )


def expiry(history: History, message: Message) -> int:
    """When Meta says that the message's free entry point or conversation expires: from its first delivery on."""
    first = landings(history, None if history.ad else message.product) or [message.at + 1]
    return first[0] + (7 * DAY if history.ad else DAY) + 1


def _word(history: History, n: int, start: int, *, expires: bool) -> dict[str, Any]:
    """Meta's true word on a message."""
    message = history.messages[n]
    if not history.worded:
        return {}
    if history.ad:
        category, kind = FREE_ENTRY, "free_entry_point"
    elif history.day == CBP:
        category, kind = message.product, None
    else:
        category, kind = {"text": "service"}.get(message.product, message.product), "regular"
        if message.product == "text" and message.landed in landings(history, "text")[: history.left]:
            kind = "free_customer_service"
    model = "CBP" if history.day == CBP else "PMP"
    word: dict[str, Any] = {"pricing": meta.Pricing(type=None if model == "CBP" else kind, category=category, model=model)}
    if history.ad or history.day == CBP:
        ends = start + expiry(history, message) * MINUTE if expires else None
        word["conversation"] = meta.Conversation(id="1", expires_at=ends, origin=category)
    return word


def event(history: History, each: Told, story: Story, sent: Sequence[Sent]) -> meta.Event:
    """What is told, as a webhook tells it."""
    at = story.start + each.at * MINUTE
    who: dict[str, Any] = {**_HERE, "at": at, "wa_id": USER}
    match each.what:
        case "wrote" | "on standby":
            return meta.Inbound(wamid=f"wamid.in{each.at}", type="text", standby=each.what == "on standby", **who)
        case "called":
            return meta.Call(by_user=True, accepted=False, **who)
        case "took our call":
            return meta.Call(by_user=False, accepted=True, **who)
        case "stop" | "resume":
            return meta.Preference(category="marketing_messages", stop=each.what == "stop", **who)
        case "taken" | "given back":
            return meta.Handover(taken=each.what == "taken", **who)
    message = history.messages[each.message]
    return meta.Status(
        wamid=sent[each.message].wamid,
        status=each.what,
        at=at,
        recipient_id=USER,
        error_codes=(message.code,) if each.what == "failed" else (),
        **({} if each.what == "failed" else _word(history, each.message, story.start, expires=each.what == "sent")),
        **_HERE,
    )


# -------------------------------------------------------------------------------------------------------------- living it


async def begun(story: Story, history: History) -> list[Sent]:
    """What happened first, and the sends."""
    await story.used(1000 - history.left)
    await (story.clicked(-MINUTE) if history.ad else story.wrote(-MINUTE))
    return [
        await (
            story.text(message.at * MINUTE) if message.product == "text" else story.template(message.at * MINUTE, message.product)
        )
        for message in history.messages
    ]


async def heard(story: Story, history: History, sent: Sequence[Sent], webhooks: Sequence[Sequence[Told]]) -> list[Settlement]:
    """Take in what Meta says, webhook by webhook; the settlements that come of it."""
    now = story.start + HEARD * MINUTE
    found: list[Settlement] = []
    for webhook in webhooks:
        found += await story.engine.absorb([event(history, each, story, sent) for each in webhook], now=now)
    return found


def account(history: History) -> dict[str, Any]:
    """An account for which it matters who holds a thread."""
    return {"takes_threads": False}


def meter(history: History, story: Story) -> Meter:
    """The month's free tier."""
    name, owner = ("service_conversations", WABA) if history.day == CBP else ("service_messages", ONE)
    return Meter(name, owner, history.day[:7])
