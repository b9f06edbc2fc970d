"""
A history written down as `gatekeeper replay` reads it, and what replay says of it.

Times are Unix seconds. Lines may be told in any order; they are written in that of their time, those of one time as they were told.
"""

from __future__ import annotations

import io
import itertools
import json
import operator
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from story import LANGUAGE, ONE, OWN_NUMBER, PORTFOLIO, SECOND, TWO, WABA, Json, Said, message, midnight, rulebook

from gatekeeper.core.accounts import Account, Template, TemplateCategory
from gatekeeper.engine import Engine
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.replay import replay
from gatekeeper.settings import Settings
from gatekeeper.telemetry import Metrics

DAY = 24 * 60 * 60
TEMPLATES = tuple(Template(name=category, language=LANGUAGE, category=category) for category in TemplateCategory)


def unix(day: str, zone: str = "UTC") -> int:
    """When a day begins."""
    return midnight(day, zone) // SECOND


def account(waba_id: str = WABA, numbers: Iterable[str] = (ONE, TWO), **more: Any) -> Account:
    """An account with a template of each category, named so."""
    usual = {"portfolio_id": PORTFOLIO, "template": TEMPLATES}
    return Account(waba_id=waba_id, phone_number_ids=tuple(numbers), **{**usual, **more})


class Replayed:
    """What replay wrote: decisions and settlements by the send's id, and the summary."""

    def __init__(self, written: bytes) -> None:
        self.written = written
        lines = [Said(json.loads(line)) for line in written.splitlines()]
        self.summary = lines.pop()
        self.settlements = [line for line in lines if line.event == "settlement"]
        self.decided = {line.id: line for line in lines if line.event == "decision"}
        self.settled = {line.id: line for line in self.settlements}

    def decisions(self, *fields: str) -> dict[str, tuple[Any, ...]]:
        """Some fields of each decision."""
        return {name: said.of(*fields) for name, said in self.decided.items()}

    def settles(self, *fields: str) -> dict[str, tuple[Any, ...]]:
        """Some fields of each settlement."""
        return {name: said.of(*fields) for name, said in self.settled.items()}


class History:
    """What happened to some accounts, line by line."""

    def __init__(self, *accounts: Account) -> None:
        self.settings = Settings(account=accounts or (account(),))
        self._wabas = {number: each.waba_id for each in self.settings.account for number in each.phone_number_ids}
        self._lines: list[tuple[float, Json]] = []
        self._sends: dict[str, tuple[str, str]] = {}
        self._ids = itertools.count(1)

    # ------------------------------------------------------------------------------------------------------------------ us

    def send(
        self, at: float, name: str, body: Json, *, number: str = ONE, api: str = "messages", taken: bool = True, **more: Any
    ) -> None:
        """We send *body* under the id *name*; *taken*: Meta accepts it."""
        self._sends[name] = (number, _wa_id(body["to"]))
        whole = {"id": name, "path": f"/v23.0/{number}/{api}", "body": body, **more}
        self._line(at, send=whole | ({"wamid": f"wamid.{name}"} if taken else {}))

    def text(self, at: float, name: str, to: str, **how: Any) -> None:
        self.send(at, name, message(to, "text", {"body": "Hello"}), **how)

    def template(self, at: float, name: str, template: str, to: str, **how: Any) -> None:
        content = {"name": template, "language": {"code": LANGUAGE}}
        self.send(at, name, message(to, "template", content), **how)

    def used(self, at: float, count: int, number: str = ONE) -> None:
        """So many of this month's free ones are used."""
        self._line(at, free_used={"waba_id": self.waba_of(number), "phone_number_id": number, "count": count})

    # ---------------------------------------------------------------------------------------------------------------- Meta

    def post(self, at: float, number: str, **value: Any) -> None:
        """Meta posts a change that concerns a business phone number."""
        metadata = {"display_phone_number": OWN_NUMBER, "phone_number_id": number}
        whole = {"messaging_product": "whatsapp", "metadata": metadata, **value}
        self.webhook(at, "messages", whole, self.waba_of(number))

    def webhook(self, at: float, field: str, value: Json, waba_id: str = WABA) -> None:
        """Meta posts a change."""
        entry = {"id": waba_id, "changes": [{"field": field, "value": value}]}
        self._line(at, webhook={"object": "whatsapp_business_account", "entry": [entry]})

    def inbound(self, at: float, user: str, **more: Any) -> Json:
        """One of a webhook's `messages`."""
        usual = {"from": user, "id": f"wamid.in{next(self._ids)}", "timestamp": str(int(at))}
        return {**usual, "type": "text", "text": {"body": "Hi"}, **more}

    def wrote(self, at: float, *users: str, number: str = ONE) -> None:
        """Users write to us."""
        self.post(at, number, messages=[self.inbound(at, user) for user in users])

    def item(self, word: str, at: float, name: str, **item: Any) -> Json:
        """One of a webhook's `statuses`: what became of a send at *at*."""
        return {"id": f"wamid.{name}", "recipient_id": self._sends[name][1], "status": word, "timestamp": str(int(at)), **item}

    def status(self, word: str, at: float, *names: str, told: float | None = None, **item: Any) -> None:
        """Meta says at *told* what became of some sends at *at*: one webhook for each business phone number."""
        for number, some in itertools.groupby(sorted(names, key=self.number_of), self.number_of):
            self.post(at if told is None else told, number, statuses=[self.item(word, at, name, **item) for name in some])

    def delivered(self, at: float, *names: str, **how: Any) -> None:
        self.status("delivered", at, *names, **how)

    def failed(self, at: float, *names: str, **how: Any) -> None:
        self.status("failed", at, *names, errors=[{"code": 131026, "title": "Message undeliverable"}], **how)

    # -------------------------------------------------------------------------------------------------------------- replay

    def lines(self, wanted: Callable[[Json], bool] = lambda _line: True) -> list[bytes]:
        """The history as JSON lines; those that are *wanted*."""
        ordered = sorted(self._lines, key=operator.itemgetter(0))
        return [json.dumps(line).encode() + b"\n" for _, line in ordered if wanted(line)]

    async def replayed(self, lines: Iterable[bytes] | None = None) -> Replayed:
        """Replay the history, or *lines* instead."""
        out = io.BytesIO()
        source = io.BytesIO(b"".join(self.lines() if lines is None else lines))
        await replay(source, "a test", self.settings, out)
        return Replayed(out.getvalue())

    def engine(self, ledger: Ledger) -> Engine:
        """The engine that would go on where the history ends."""
        return Engine(self.settings, rulebook(), ledger, Metrics(), complete=True)

    def number_of(self, name: str) -> str:
        """The business phone number that sent *name*."""
        return self._sends[name][0]

    def waba_of(self, number: str) -> str:
        """The account that a business phone number is of."""
        return self._wabas[number]

    def _line(self, at: float, **what: Json) -> None:
        self._lines.append((at, {"at": at, **what}))


def _wa_id(to: str) -> str:
    """What Meta calls a recipient: a number's digits, and any other name as it is."""
    return to if any(map(str.isalpha, to)) else "".join(filter(str.isdigit, to))


class Kept:
    """The tests' own Redis where replay would start a throwaway one: what it leaves can be looked into."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def start(self) -> None:
        """It runs already."""

    async def stop(self) -> None:
        """It runs on."""


def keep_ledger(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let replay keep its state in the Redis at *url*."""
    monkeypatch.setattr("gatekeeper.replay.run.EmbeddedLedger", lambda _data_dir: Kept(url))
