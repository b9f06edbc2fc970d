"""Own what a changed configuration does to a running gate: all of its parts go by the new one between two steps of the event loop."""

from __future__ import annotations

import asyncio

import msgspec

from gatekeeper.core.errors import LedgerError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.engine import Engine
from gatekeeper.ledger.lanes import PROBE_S
from gatekeeper.sandbox.graph import Sandbox
from gatekeeper.server.callers import Callers
from gatekeeper.server.forwarding import Forwarding
from gatekeeper.server.listener import Listener
from gatekeeper.server.templates import Rounds
from gatekeeper.server.webhooks import Webhooks
from gatekeeper.settings import Settings


class Following:
    """The parts of a gate that go by another configuration without a restart."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        callers: Callers,
        forwarding: Forwarding,
        webhooks: Webhooks,
        listener: Listener,
        rounds: Rounds | None,
        graph: Sandbox | None,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """*settings*: what the gate runs by now. *rounds*: None where another worker reads templates. *graph*: the sandbox, if any."""
        self._settings = settings
        self._engine = engine
        self._callers = callers
        self._forwarding = forwarding
        self._webhooks = webhooks
        self._listener = listener
        self._rounds = rounds
        self._graph = graph
        self._tasks = tasks
        self._balancing: asyncio.Task[None] | None = None

    def follow(self, new: Settings, book: Rulebook) -> None:
        """
        Go by *new* and *book* from now on, without giving way to anything else until all of the gate does.

        Routes and secrets come first: they alone can fail, and then nothing has changed.
        """
        current = self._settings.revised(new)
        if self._graph is not None:
            current = msgspec.structs.replace(current, webhook=with_secrets(current, self._settings).webhook)
        self._forwarding.follow(current.webhook)
        self._webhooks.follow(current.webhook)
        self._listener.follow(current.webhook.path)
        self._engine.follow(current, book)
        self._callers.follow(current.caller)
        if self._rounds is not None:
            self._rounds.follow(current.account)
        if self._graph is not None:
            self._graph.follow(current)
            self._graph.post_to(current.webhook.path, current.webhook.app_secret[0])
        self.balance()

    def balance(self) -> None:
        """Count in what was used before this gate, as soon as the ledger can be asked."""
        self.stop()
        self._balancing = self._tasks.create_task(_balanced(self._engine))

    def stop(self) -> None:
        """Give up waiting for the ledger."""
        if self._balancing is not None:
            self._balancing.cancel()


def with_secrets(settings: Settings, made: Settings) -> Settings:
    """The settings with the secrets of *made* where they have none: the sandbox signs its webhooks in any case."""
    webhook = msgspec.structs.replace(
        settings.webhook,
        app_secret=settings.webhook.app_secret or made.webhook.app_secret,
        verify_token=settings.webhook.verify_token or made.webhook.verify_token,
    )
    return msgspec.structs.replace(settings, webhook=webhook)


async def _balanced(engine: Engine) -> None:
    while True:
        try:
            return await engine.balances.open()
        except LedgerError:
            await asyncio.sleep(PROBE_S)
