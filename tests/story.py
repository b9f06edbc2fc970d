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
from collections.abc import Iterable, Mapping
from typing import Any

from gatekeeper.core.accounts import Account, Template, TemplateCategory
from gatekeeper.core.data import data_dir
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.engine import Decided, Engine
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.meta.paths import gated
from gatekeeper.meta.responses import decode_answer
from gatekeeper.meta.sends import decode_send
from gatekeeper.meta.webhooks import decode_webhook
from gatekeeper.settings import Policy, Settings
from gatekeeper.telemetry import Metrics

WABA, PORTFOLIO = "102290129340398", "506914307656634"
ONE, TWO = "106540352242922", "106540352242923"
OWN_NUMBER = "15550783881"
USER, OTHER_USER = "4915112345678", "4915187654321"
GROUP = "Y2FwaV9ncm91cDo"
LANGUAGE = "en_US"

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def h(hours: float) -> int:
    """So many hours after the story's beginning."""
    return round(hours * HOUR)


@functools.cache
def rulebook() -> Rulebook:
    """The rules that we ship."""
    return Rulebook.load(data_dir("config"))


def midnight(day: str, zone: str) -> int:
    """When a day begins, in Unix milliseconds."""
    return int(dt.datetime.fromisoformat(day).replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp()) * SECOND


def cbp(category: str) -> dict[str, Any]:
    """Meta's word in the time of conversations: which one it counts a message in."""
    return {
        "conversation": {"id": f"of-{category}", "origin": {"type": category}},
        "pricing": {"billable": True, "pricing_model": "CBP", "category": category},
    }


def pmp(category: str, kind: str = "regular", **more: str) -> dict[str, Any]:
    """Meta's word since it charges by message."""
    return {"pricing": {"billable": kind == "regular", "pricing_model": "PMP", "type": kind, "category": category, **more}}


def free_entry() -> dict[str, Any]:
    """Meta's word on a message inside a free entry point, with the conversation that only those still have."""
    return cbp("referral_conversion") | pmp("referral_conversion", "free_entry_point")


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


class Sent(Said):
    """A decision on a send, and the way to say what became of the send."""

    def __init__(self, story: Story, decided: Decided, body: Mapping[str, Any]) -> None:
        super().__init__(decided.decision.fields(), state=decided.decision.state)
        self.story, self.decided, self.body = story, decided, body
        self.wamid = f"wamid.{decided.facts.id}"
        self.settled: Said | None = None

    @property
    def blocked(self) -> int | None:
        """Meta's code when the send was blocked."""
        return self["error_code"]

    async def answered(self, at: int, **contact: str) -> list[Said]:
        """Meta accepts the send and names its message; *contact* is what the answer calls the recipient."""
        written = self.body.get("to") or self.body.get("recipient")
        answer = {
            "messaging_product": "whatsapp",
            "contacts": [{"input": written, **contact}],
            "messages": [{"id": self.wamid}],
        }
        read = decode_answer(json.dumps(answer).encode())
        assert read is not None
        settled = await self.story.engine.accepted(self.decided, read, now=self.story.start + at)
        return self.story.settled(settled)

    async def refused(self, at: int) -> None:
        """Meta refuses the send at once."""
        await self.story.engine.released(self.decided, now=self.story.start + at)

    async def status(self, word: str, at: int, *, told: int | None = None, ends: int | None = None, **item: Any) -> Said | None:
        """Meta says at *told* what became of the message at *at*, and with *ends* when its conversation expires."""
        settled = await self.story.webhook(
            told or at, "messages", {"statuses": [self.item(word, at, ends=ends, **item)]}, self.number
        )
        assert len(settled) <= 1
        return settled[0] if settled else None

    def item(self, word: str, at: int, *, ends: int | None = None, **item: Any) -> dict[str, Any]:
        """One of a webhook's `statuses`."""
        names = {"recipient_id": self.body.get("to", "").strip("+"), "recipient_user_id": self.body.get("recipient")}
        known = {name: value for name, value in names.items() if value}
        found = {"id": self.wamid, "status": word, "timestamp": str(self.story.unix(at)), **known, **item}
        if ends is not None:
            found["conversation"] = {**item["conversation"], "expiration_timestamp": str(self.story.unix(ends))}
        return found

    async def sent(self, at: int, **item: Any) -> Said | None:
        return await self.status("sent", at, **item)

    async def delivered(self, at: int, **item: Any) -> Said | None:
        return await self.status("delivered", at, **item)

    async def read(self, at: int, **item: Any) -> Said | None:
        return await self.status("read", at, **item)

    async def failed(self, at: int, code: int = 131026, **item: Any) -> Said | None:
        error = {"code": code, "title": "failed", "message": "failed", "error_data": {"details": "failed"}}
        return await self.status("failed", at, errors=[error], **item)

    async def reached(self, at: int, members: Iterable[str], word: str = "delivered", **item: Any) -> list[Said]:
        """A group message reaches *members*."""
        names = {"recipient_type": "group", "recipient_id": self.body["to"]}
        items = [self.item(word, at, **names, recipient_participant_id=member, **item) for member in members]
        return await self.story.webhook(at, "messages", {"statuses": items}, self.number)

    @property
    def number(self) -> str:
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
        self.zone, self.start, self._repeats = zone, midnight(day, zone), repeats
        self._ids = itertools.count(1)
        told = [Template(name=category, language=LANGUAGE, category=category) for category in TemplateCategory]
        self.account = Account(
            **{
                "waba_id": WABA,
                "portfolio_id": PORTFOLIO,
                "timezone": zone,
                "phone_number_ids": (ONE, TWO),
                "template": tuple(told),
                **account,
            }
        )
        settings = Settings(account=(self.account,), policy=policy or Policy())
        self.metrics = Metrics()
        self.engine = Engine(settings, rulebook(), ledger, self.metrics, complete=complete)

    # ------------------------------------------------------------------------------------------------------ time

    def day(self, day: str) -> int:
        """When *day* begins, on the story's clock."""
        return midnight(day, self.zone) - self.start

    def unix(self, at: int) -> int:
        """A moment as Meta and we write it: whole Unix seconds."""
        return (self.start + at) // SECOND

    # ------------------------------------------------------------------------------------------------------ Meta

    async def webhook(self, at: int, field: str, value: Mapping[str, Any], number: str = ONE) -> list[Said]:
        """Meta posts one change; what it settled comes back."""
        metadata = {"display_phone_number": OWN_NUMBER, "phone_number_id": number}
        value = {"messaging_product": "whatsapp", "metadata": metadata, **value}
        return await self.post(at, [{"id": self.account.waba_id, "changes": [{"field": field, "value": value}]}])

    async def post(self, at: int, entries: list[dict[str, Any]]) -> list[Said]:
        """Meta posts a payload."""
        body = json.dumps({"object": "whatsapp_business_account", "entry": entries}).encode()
        found = [await self.engine.absorb(decode_webhook(body), now=self.start + at) for _ in range(self._repeats)]
        return self.settled(itertools.chain(*found))

    @staticmethod
    def settled(settlements: Iterable[Any]) -> list[Said]:
        return [
            Said(settlement.fields(), at=settlement.at, id=settlement.id, drift=settlement.drift) for settlement in settlements
        ]

    async def template_news(self, at: int, name: str, event: str, *, language: str = LANGUAGE, **value: Any) -> None:
        """Meta says that something happened to a template."""
        news = {"event": event, "message_template_id": 1, "message_template_name": name, "message_template_language": language}
        await self.post(at, [self._change("message_template_status_update", news | value)])

    async def template_category(self, at: int, name: str, **value: Any) -> None:
        """Meta says that a template changes its category, or is about to."""
        news = {"message_template_id": 1, "message_template_name": name, "message_template_language": LANGUAGE}
        await self.post(at, [self._change("template_category_update", news | value)])

    def _change(self, field: str, value: dict[str, Any]) -> dict[str, Any]:
        return {"id": self.account.waba_id, "changes": [{"field": field, "value": value}]}

    async def used(self, count: int, at: int = 0, number: str = ONE) -> None:
        """So many of this month's free ones were used before the story."""
        await self.engine.use_free(self.account.waba_id, number, count, now=self.start + at)

    # ------------------------------------------------------------------------------------------------- the user

    async def wrote(
        self, at: int, user: str = USER, *, told: int | None = None, number: str = ONE, field: str = "messages", **message: Any
    ) -> None:
        """A user writes at *at*, and Meta says so at *told*; *message* are members to add, or None to leave out."""
        value: dict[str, Any] = {"messages": [self.message(at, user, **message)]}
        if message.get("type") != "system":
            ids = {"wa_id": message.get("from", user), "user_id": message.get("from_user_id")}
            value["contacts"] = [{"profile": {"name": "Ann"}, **{name: value for name, value in ids.items() if value}}]
        await self.webhook(at if told is None else told, field, value, number)

    def message(self, at: int, user: str = USER, **message: Any) -> dict[str, Any]:
        """One of a webhook's inbound `messages`."""
        kind = message.get("type", "text")
        whole = {
            "from": user,
            "id": f"wamid.in{next(self._ids)}",
            "timestamp": str(self.unix(at)),
            "type": kind,
            kind: {},
            **message,
        }
        return {name: value for name, value in whole.items() if value is not None}

    async def clicked(self, at: int, user: str = USER, *, source_type: str = "ad", **more: Any) -> None:
        """A user writes through an ad that clicks to WhatsApp."""
        referral = {
            "source_url": "https://fb.me/3cr4Wqqkv",
            "source_id": "120226305854810726",
            "source_type": source_type,
            "headline": "Chat with us",
        }
        await self.wrote(at, user, referral=referral, **more)

    async def called(self, at: int, user: str = USER, **call: Any) -> None:
        """A user calls us."""
        whole = {
            "id": f"wacid.{next(self._ids)}",
            "from": user,
            "to": OWN_NUMBER,
            "event": "connect",
            "direction": "USER_INITIATED",
            "timestamp": str(self.unix(at)),
        }
        await self.webhook(at, "calls", {"calls": [whole | call]})

    async def took_our_call(self, at: int, status: str = "ACCEPTED", user: str = USER) -> None:
        """A user answers a call of ours, or does not."""
        call = {
            "id": f"wacid.{next(self._ids)}",
            "type": "call",
            "status": status,
            "timestamp": str(self.unix(at)),
            "recipient_id": user,
        }
        await self.webhook(at, "calls", {"statuses": [call]})

    async def prefers(self, at: int, value: str, user: str = USER, *, told: int | None = None, **more: Any) -> None:
        """A user stops or resumes marketing messages."""
        wish = {"wa_id": user, "category": "marketing_messages", "value": value, "timestamp": self.unix(at), **more}
        await self.webhook(at if told is None else told, "user_preferences", {"user_preferences": [wish]})

    # ----------------------------------------------------------------------------------------------------- sends

    async def send(
        self,
        at: int,
        body: Mapping[str, Any],
        *,
        number: str = ONE,
        api: str = "messages",
        lands: bool = False,
        answered: bool = True,
        contact: dict[str, str] | None = None,
    ) -> Sent:
        """
        Ask the gate for a send; Meta accepts it unless *answered* is off.

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

    async def text(self, at: int, to: str | None = USER, *, body: Mapping[str, Any] | None = None, **how: Any) -> Sent:
        return await self.send(at, message(to, "text", {"body": "Hello"}) | (body or {}), **how)

    async def template(
        self,
        at: int,
        name: str = "utility",
        to: str | None = USER,
        *,
        language: str = LANGUAGE,
        body: Mapping[str, Any] | None = None,
        **how: Any,
    ) -> Sent:
        content = {"name": name, "language": {"code": language}}
        return await self.send(at, message(to, "template", content) | (body or {}), **how)

    async def direct(self, at: int, category: str = "utility", to: str = USER, **how: Any) -> Sent:
        """Direct Send: no template is named, but a category."""
        return await self.text(at, to, body={"category": category}, **how)

    async def reaction(self, at: int, to: str = USER, **how: Any) -> Sent:
        return await self.send(at, message(to, "reaction", {"message_id": "wamid.in", "emoji": "\U0001f44d"}), **how)

    async def group_text(self, at: int, group: str = GROUP, **how: Any) -> Sent:
        return await self.text(at, group, body={"recipient_type": "group"}, **how)

    async def group_template(self, at: int, name: str, group: str = GROUP, **how: Any) -> Sent:
        return await self.template(at, name, group, body={"recipient_type": "group"}, **how)


def message(to: str | None, kind: str, content: Any) -> dict[str, Any]:
    """The body of a send."""
    addressed = {} if to is None else {"to": to}
    return {"messaging_product": "whatsapp", **addressed, "type": kind, kind: content}
