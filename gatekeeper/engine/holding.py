"""
Own the course of a text that waits for its recipient to answer: what is kept of it, who may have answered, and what a turn makes of it.

Its recipient has one list under each name that was dialled, and the list goes where the name leads. What it says and the token that
it is sent by are kept no longer than it waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.effects import Effects
from gatekeeper.core.errors import LedgerError
from gatekeeper.core.holding import Entry, Text, Turn
from gatekeeper.core.policy import Hold
from gatekeeper.core.recipients import Names
from gatekeeper.core.settlement import WINDOW_CLOSED
from gatekeeper.core.vocabulary import Clock
from gatekeeper.engine.engine import Decided, Engine
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.holding import Claimed, List, Place, Step, Taken, Texts, Told
from gatekeeper.ledger.lanes import PROBE_S
from gatekeeper.meta import events as meta
from gatekeeper.meta.rewriting import without_rights

LOOK_MS = 300_000  # what no webhook woke is looked at so often
PUT_BACK_MS = 5_000
_INSISTS = 10
_T = TypeVar("_T")
_AUTHORIZATION = "authorization"
_ID = re.compile(r"([0-9]+)-[0-9a-f]{32}")


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A send as its caller made it, without what only concerned that connection."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    caller: str


class Right(msgspec.Struct, frozen=True, array_like=True):
    """By which right a request came: its path with the tokens in its query, and its Authorization."""

    path: str
    headers: tuple[tuple[str, str], ...]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A text that is about to wait."""

    where: List
    text: Text

    @property
    def id(self) -> str:
        """The id that its caller is told."""
        return self.text.id

    @property
    def deadline(self) -> int:
        """Until when it waits."""
        return self.text.entry.deadline


_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request).decode
_right = msgspec.msgpack.Decoder(Right).decode


class Holding:
    """What waits, as the rest of the gate sees it."""

    def __init__(self, engine: Engine, *, patience_ms: int) -> None:
        """*patience_ms*: how long one attempt to send may take."""
        self._engine = engine
        self._texts = Texts(engine.ledger)
        self._patience = patience_ms
        self._tags: AbstractSet[str] = frozenset()

    @property
    def serves(self) -> bool:
        """Whether anything is ever held."""
        return bool(self._engine.settings.policy.hold)

    def waiting(self, decided: Decided, hold: Hold, request: Request, *, now: int) -> Waiting:
        """
        Make of a blocked send a text that can wait.

        Its token is kept apart, and not at all if it turns out to be the one that Meta took when the recipient was asked, and the
        account has one of its own: whoever could not have asked does not get to send by the account's.
        """
        account, number = decided.number.account, decided.number
        rights = tuple(header for header in request.headers if header[0].lower() == _AUTHORIZATION)
        kept = msgspec.structs.replace(
            request,
            path=without_rights(request.path),
            headers=tuple(header for header in request.headers if header not in rights),
        )
        secret = b"" if account.lends else _encode(Right(request.path, rights))
        entry = Entry(
            owner=decided.facts.id,
            most=hold.max_texts,
            deadline=now + hold.deadline,
            clock=Clock.CUSTOMER_SERVICE_WINDOW,
            patience=self._patience,
            look=LOOK_MS,
            lifetime=keys.TEXT_MS,
            proof=hashlib.sha256(secret).hexdigest() if account.access_token else "",
        )
        where = List(number.tag, number.phone_number_id, decided.facts.recipient)
        text_id = f"{number.tag}-{secrets.token_hex(16)}"
        return Waiting(where=where, text=Text(id=text_id, entry=entry, request=_encode(kept), secret=secret))

    async def queue(self, text: Waiting, step: Step, *, now: int, named: str = "") -> tuple[Place, str]:
        """Let a text wait, or see whether it could; the place that it has, and what Meta calls its recipient. LedgerError."""
        self._tags |= {text.where.tag}
        entry = msgspec.structs.replace(text.text.entry, named=named)
        return await self._texts.queue(text.where, msgspec.structs.replace(text.text, entry=entry), step, now=now)

    async def told(self, text_id: str) -> Told | None:
        """What became of a text; None: no such text, or one of long ago. LedgerError."""
        found = _ID.fullmatch(text_id)
        return await self._texts.told(found[1], text_id) if found else None

    async def wake(self, events: Sequence[meta.Event], *, now: int) -> int:
        """Look at once at what waits for those who did something, or of whom another name was learned. LedgerError."""
        if not self.serves and not self._tags:
            return 0
        users: dict[List, None] = {}
        for event in events:
            if not isinstance(event, (meta.Inbound, meta.Call, meta.Status)) or not event.phone_number_id:
                continue
            number = await self._engine.directory.number(event.phone_number_id)
            if self.serves or number.tag in self._tags:
                users |= dict.fromkeys(List(number.tag, number.phone_number_id, name) for name in _names(event))
        return await self._texts.wake(list(users), now=now) if users else 0

    async def due(self, *, now: int, everything: bool = False) -> tuple[list[List], int]:
        """The lists that are due, and how many there are in all. LedgerError."""
        self._tags = frozenset(await self._texts.tags(now=now))
        found: list[List] = []
        whole = 0
        for tag in self._tags:
            due, count = await self._texts.due(tag, now=now, everything=everything)
            found, whole = found + due, whole + count
        return found, whole

    async def take(self, where: List, *, now: int) -> Taken:
        """Claim the first text of a list, if its recipient has answered. LedgerError."""
        return await self._texts.take(
            where,
            owner=secrets.token_hex(12),
            clock=Clock.CUSTOMER_SERVICE_WINDOW,
            patience=self._patience,
            look=LOOK_MS,
            now=now,
        )

    async def move_on(self, taken: Taken, turn: Turn, *, now: int, due: int = 0, told: dict[str, str] | None = None) -> bool:
        """Move a claimed text on; False: it is no longer ours. *due*: after how long its list is looked at again. LedgerError."""
        assert taken.text is not None
        lease = self._patience if turn is Turn.SEND else 0
        return await self._texts.move_on(taken.list, taken.text, turn, now=now, lease=lease, due=lease or due, told=told)

    async def shut(self, decided: Decided, *, now: int) -> None:
        """Meta says that the window is closed: what its recipient writes from now on opens it again. LedgerError."""
        policy, facts = self._engine.settings.policy, decided.facts
        effects = Effects(
            self._engine.book,
            decided.number.account,
            reaction_opens=policy.reaction_opens_window,
            forever=keys.OPTED_OUT_MS,
        )
        changes = effects.failed((WINDOW_CLOSED,), at=now, sent_at=facts.at)
        thread = keys.thread(decided.number.tag, facts.phone_number_id, facts.recipient)
        await self._engine.ledger.run([calls.observe(thread, changes, now=now)])


async def insisted(ask: Callable[[], Awaitable[_T]]) -> _T:
    """Ask the ledger until it answers, for it has to know what Meta did; LedgerError when it does not for long."""
    for _ in range(_INSISTS):
        try:
            return await ask()
        except LedgerError:
            await asyncio.sleep(PROBE_S)
    return await ask()


def request_of(text: Claimed, account: Account) -> Request:
    """What is to be sent, by its caller's right or, where nothing of that was kept, by the account's."""
    kept = _request(text.request)
    if text.secret:
        right = _right(text.secret)
        return msgspec.structs.replace(kept, path=right.path, headers=(*kept.headers, *right.headers))
    if account.access_token:
        return msgspec.structs.replace(kept, headers=(*kept.headers, ("Authorization", f"Bearer {account.access_token}")))
    return kept


def _names(event: meta.Inbound | meta.Call | meta.Status) -> Iterable[str]:
    """Under which names texts may wait for whom an event is of."""
    if isinstance(event, meta.Inbound) and event.group_id:
        return (event.group_id,)
    if isinstance(event, meta.Status):
        names = Names(user_id=event.user_id, parent_user_id=event.parent_user_id, wa_id=event.recipient_id).known
        return names if len(names) > 1 and not event.group else ()
    return Names(user_id=event.user_id, parent_user_id=event.parent_user_id, wa_id=event.wa_id).known
