"""
A history told in a few words, for tests: who wrote, what we sent, what Meta said of it.

Every step takes its time as an argument, passes through the very bytes that Meta or a caller would send, and then through the
engine and the ledger. Times are milliseconds from the local midnight at which the story begins.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import json
import zoneinfo
from collections.abc import Iterable
from typing import Any, TypeAlias

from gatekeeper.core.accounts import Account, Template, TemplateCategory
from gatekeeper.core.data import data_dir
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.settlement import Settlement
from gatekeeper.engine import Decided, Engine
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta.paths import gated
from gatekeeper.meta.responses import decode_answer
from gatekeeper.meta.sends import decode_send
from gatekeeper.meta.webhooks import decode_webhook
from gatekeeper.settings import Policy, Settings
from gatekeeper.telemetry import Metrics

Json: TypeAlias = dict[str, Any]

WABA, PORTFOLIO = "102290129340398", "506914307656634"
ONE, TWO, OWN_NUMBER = "106540352242922", "106540352242923", "15550783881"
USER, OTHER_USER, GROUP = "4915112345678", "4915187654321", "Y2FwaV9ncm91cDo"
LANGUAGE = "en_US"

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def h(hours: float) -> int:
    """So many hours after the story's beginning."""
    return round(hours * HOUR)


def midnight(day: str, zone: str = "UTC") -> int:
    """When a day begins, in Unix milliseconds."""
    return int(dt.datetime.fromisoformat(day).replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp()) * SECOND


@functools.cache
def rulebook() -> Rulebook:
    """The rules that we ship."""
    return Rulebook.load(data_dir("config"))


def cbp(category: str) -> Json:
    """Meta's word in the time of conversations: which one it counts a message in."""
    return {
        "conversation": {"id": f"of-{category}", "origin": {"type": category}},
        "pricing": {"billable": True, "pricing_model": "CBP", "category": category},
    }


def pmp(category: str, kind: str = "regular", **more: str) -> Json:
    """Meta's word since it charges by message."""
    return {"pricing": {"billable": kind == "regular", "pricing_model": "PMP", "type": kind, "category": category, **more}}


def free_entry() -> Json:
    """Meta's word on a message inside a free entry point, with the conversation that only those still have."""
    return cbp("referral_conversion") | pmp("referral_conversion", "free_entry_point")


def message(to: str | None, kind: str, content: Any) -> Json:
    """The body of a send."""
    return {"messaging_product": "whatsapp", **({"to": to} if to else {}), "type": kind, kind: content}


class Said(dict[str, Any]):
    """The fields of a decision or settlement, as replay writes them."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def of(self, *names: str) -> tuple[Any, ...]:
        """Some fields, in order."""
        return tuple(self[name] for name in names)


def said(settlements: Iterable[Settlement]) -> list[Said]:
    return [Said(each.fields(), at=each.at, id=each.id, drift=each.drift) for each in settlements]


class Sent(Said):
    """A decision on a send, and the way to say what became of the send."""

    def __init__(self, story: Story, decided: Decided, body: Json) -> None:
        super().__init__(decided.decision.fields(), state=decided.decision.state, id=decided.facts.id)
        self.story, self.decided, self.body = story, decided, body
        self.wamid = f"wamid.{decided.facts.id}"
        self.settled: Said | None = None

    @property
    def blocked(self) -> int | None:
        """Meta's code when the send was blocked."""
        code: int | None = self["error_code"]
        return code

    async def answered(self, at: int, **contact: str) -> list[Said]:
        """Meta accepts the send and names its message; *contact* is what the answer calls the recipient."""
        contacts = [{"input": self.body.get("to") or self.body.get("recipient"), **contact}]
        body = {"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": self.wamid}]}
        answer = decode_answer(json.dumps(body).encode())
        assert answer is not None
        return said(await self.story.engine.accepted(self.decided, answer, now=self.story.start + at))

    async def refused(self, at: int) -> None:
        """Meta refuses the send at once."""
        await self.story.engine.released(self.decided, now=self.story.start + at)

    async def status(self, word: str, at: int, *, told: int | None = None, **item: Any) -> Said | None:
        """
        Meta says at *told* what became of the message at *at*; its own settlement comes back.

        What it corrects of other messages is in the story's `settlements`, by the ids of their sends.
        """
        settled = await self.story.statuses(at if told is None else told, [self.item(word, at, **item)], self._number)
        self.story.settlements |= {each.id: each for each in settled}
        own = [each for each in settled if each.id == self.id]
        assert len(own) <= 1
        return own[0] if own else None

    sent = functools.partialmethod(status, "sent")
    delivered = functools.partialmethod(status, "delivered")
    read = functools.partialmethod(status, "read")

    async def failed(self, at: int, code: int = 131026, **item: Any) -> Said | None:
        error = {"code": code, "title": "failed", "message": "failed", "error_data": {"details": "failed"}}
        return await self.status("failed", at, errors=[error], **item)

    async def reached(self, at: int, members: Iterable[str], word: str = "delivered", **item: Any) -> list[Said]:
        """A group message reaches *members*."""
        names = {"recipient_type": "group", "recipient_id": self.body["to"]}
        items = [self.item(word, at, **names, recipient_participant_id=member, **item) for member in members]
        return await self.story.statuses(at, items, self._number)

    def item(self, word: str, at: int, *, ends: int | None = None, **item: Any) -> Json:
        """One of a webhook's `statuses`; *ends* is when Meta says that the conversation expires."""
        names = {"recipient_id": self.body.get("to", "").strip("+"), "recipient_user_id": self.body.get("recipient")}
        known = {name: value for name, value in names.items() if value}
        found = {"id": self.wamid, "status": word, "timestamp": str(self.story.unix(at)), **known, **item}
        if ends is not None:
            found["conversation"] = {**item["conversation"], "expiration_timestamp": str(self.story.unix(ends))}
        return found

    @property
    def _number(self) -> str:
        return self.decided.number.phone_number_id


class Story:
    """A history that begins at the local midnight of *day*; *account* are flags of the account that lives it."""

    def __init__(
        self,
        ledger: Ledger,
        day: str,
        *,
        zone: str = "UTC",
        policy: Policy | None = None,
        complete: bool = True,
        repeats: int = 1,
        **account: Any,
    ) -> None:
        """*repeats*: how often Meta says everything; *complete*: nothing happened before the story."""
        self._zone, self._repeats, self._ids = zone, repeats, itertools.count(1)
        self.start = midnight(day, zone)
        templates = tuple(Template(name=category, language=LANGUAGE, category=category) for category in TemplateCategory)
        usual = {"waba_id": WABA, "portfolio_id": PORTFOLIO, "phone_number_ids": (ONE, TWO), "template": templates}
        self.account = Account(**{**usual, "timezone": zone, **account})
        self.settlements: dict[str, Said] = {}
        self.metrics = Metrics()
        settings = Settings(account=(self.account,), policy=policy or Policy())
        self.engine = Engine(settings, rulebook(), ledger, self.metrics, complete=complete)

    def day(self, day: str) -> int:
        """When *day* begins, on the story's clock."""
        return midnight(day, self._zone) - self.start

    def unix(self, at: int) -> int:
        """A moment as Meta and we write it: whole Unix seconds."""
        return (self.start + at) // SECOND

    # ------------------------------------------------------------------------------------------------------------- Meta

    async def post(self, at: int, field: str, value: Json, *, waba_id: str = WABA) -> list[Said]:
        """Meta posts a change; what it settled comes back."""
        entry = {"id": waba_id, "changes": [{"field": field, "value": value}]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
        found = [await self.engine.absorb(decode_webhook(body), now=self.start + at) for _ in range(self._repeats)]
        return said(itertools.chain(*found))

    async def webhook(self, at: int, field: str, value: Json, number: str = ONE) -> list[Said]:
        """Meta posts a change that concerns a business phone number."""
        metadata = {"display_phone_number": OWN_NUMBER, "phone_number_id": number}
        return await self.post(at, field, {"messaging_product": "whatsapp", "metadata": metadata, **value})

    async def statuses(self, at: int, items: list[Any], number: str = ONE) -> list[Said]:
        return await self.webhook(at, "messages", {"statuses": items}, number)

    async def template_news(self, at: int, name: str, event: str, *, language: str = LANGUAGE, **value: Any) -> None:
        """Meta says that something happened to a template."""
        await self.post(at, "message_template_status_update", {"event": event, **_template(name, language), **value})

    async def template_category(self, at: int, name: str, **value: Any) -> None:
        """Meta says that a template changes its category, or is about to."""
        await self.post(at, "template_category_update", {**_template(name, LANGUAGE), **value})

    async def used(self, count: int, at: int = 0, number: str = ONE) -> None:
        """So many of this month's free ones were used before."""
        await self.engine.balances.use_free(WABA, number, count, now=self.start + at)

    # --------------------------------------------------------------------------------------------------------- the user

    async def wrote(
        self, at: int, user: str = USER, *, told: int | None = None, number: str = ONE, field: str = "messages", **more: Any
    ) -> None:
        """A user writes at *at*, and Meta says so at *told*; *more* are members of the message, None to leave one out."""
        value: Json = {"messages": [self.message(at, user, **more)]}
        if more.get("type") != "system":
            names = {"wa_id": more.get("from", user), "user_id": more.get("from_user_id")}
            value["contacts"] = [{"profile": {"name": "Ann"}, **{name: value for name, value in names.items() if value}}]
        await self.webhook(at if told is None else told, field, value, number)

    def message(self, at: int, user: str = USER, **more: Any) -> Json:
        """One of a webhook's inbound `messages`."""
        kind = more.get("type", "text")
        usual = {"from": user, "id": f"wamid.in{next(self._ids)}", "timestamp": str(self.unix(at)), "type": kind, kind: {}}
        return {name: value for name, value in (usual | more).items() if value is not None}

    async def clicked(self, at: int, user: str = USER, *, source_type: str = "ad", **more: Any) -> None:
        """A user writes through an ad that clicks to WhatsApp."""
        referral = {"source_url": "https://fb.me/3cr4Wqqkv", "source_id": "120226305854810726", "source_type": source_type}
        await self.wrote(at, user, referral=referral, **more)

    async def called(self, at: int, user: str = USER, **more: Any) -> None:
        """A user calls us."""
        names = {"id": f"wacid.{next(self._ids)}", "from": user, "to": OWN_NUMBER}
        call = {"event": "connect", "direction": "USER_INITIATED", "timestamp": str(self.unix(at))}
        await self.webhook(at, "calls", {"calls": [names | call | more]})

    async def took_our_call(self, at: int, status: str = "ACCEPTED", user: str = USER) -> None:
        """A user answers a call of ours, or does not."""
        names = {"id": f"wacid.{next(self._ids)}", "type": "call", "recipient_id": user}
        await self.webhook(at, "calls", {"statuses": [names | {"status": status, "timestamp": str(self.unix(at))}]})

    async def prefers(self, at: int, value: str, user: str = USER, *, told: int | None = None, **more: Any) -> None:
        """A user stops or resumes marketing messages."""
        wish = {"wa_id": user, "category": "marketing_messages", "value": value, "timestamp": self.unix(at), **more}
        await self.webhook(at if told is None else told, "user_preferences", {"user_preferences": [wish]})

    # -------------------------------------------------------------------------------------------------------------- us

    async def send(
        self,
        at: int,
        body: Json,
        *,
        number: str = ONE,
        api: str = "messages",
        lands: bool = False,
        answered: bool = True,
        contact: dict[str, str] | None = None,
    ) -> Sent:
        """
        Ask the gate for a send; Meta accepts it unless *answered* is off, and calls the recipient *contact*.

        *lands*: it is delivered in the same second, and the settlement is under `settled`.
        """
        target = gated(f"/v23.0/{number}/{api}")
        assert target is not None
        read = decode_send(json.dumps(body).encode(), marketing_api=target.marketing_api)
        decision_id = f"s{next(self._ids)}"
        decided = await self.engine.decide(read, target.phone_number_id, now=self.start + at, decision_id=decision_id)
        sent = Sent(self, decided, body)
        if decided.decision.forwards and answered:
            await sent.answered(at, **(contact or {}))
        if lands:
            sent.settled = await sent.delivered(at)
        return sent

    async def text(self, at: int, to: str | None = USER, *, body: Json | None = None, **how: Any) -> Sent:
        return await self.send(at, message(to, "text", {"body": "Hello"}) | (body or {}), **how)

    async def template(self, at: int, name: str = "utility", to: str | None = USER, **how: Any) -> Sent:
        content = {"name": name, "language": {"code": how.pop("language", LANGUAGE)}}
        return await self.send(at, message(to, "template", content) | how.pop("body", {}), **how)

    async def direct(self, at: int, category: str = "utility", to: str = USER, **how: Any) -> Sent:
        """Direct Send: no template is named, but a category."""
        return await self.text(at, to, body={"category": category}, **how)

    async def reaction(self, at: int, to: str = USER, **how: Any) -> Sent:
        return await self.send(at, message(to, "reaction", {"message_id": "wamid.in", "emoji": "\U0001f44d"}), **how)

    async def group_text(self, at: int, group: str = GROUP, **how: Any) -> Sent:
        return await self.text(at, group, body={"recipient_type": "group"}, **how)

    async def group_template(self, at: int, name: str, group: str = GROUP, **how: Any) -> Sent:
        return await self.template(at, name, group, body={"recipient_type": "group"}, **how)


def _template(name: str, language: str) -> Json:
    return {"message_template_id": 1, "message_template_name": name, "message_template_language": language}
