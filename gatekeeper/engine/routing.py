"""Own what the business itself does with a thread, where several partners share its account: it passes it on, releases or takes it."""

from __future__ import annotations

from gatekeeper.core.effects import Effects
from gatekeeper.core.recipients import Names
from gatekeeper.engine.engine import Engine
from gatekeeper.ledger import calls, keys


async def hand_over(engine: Engine, phone_number_id: str, names: Names, *, elsewhere: bool, now: int) -> None:
    """Let a thread be another partner's from now on, or no longer; LedgerError: it is not known to be."""
    number = await engine.directory.number(phone_number_id)
    effects = Effects(engine.book, number.account, reaction_opens=False, forever=keys.OPTED_OUT_MS)
    thread = keys.thread(number.tag, number.phone_number_id, names.known[0])
    await engine.ledger.run([calls.observe(thread, [effects.held(at=now, elsewhere=elsewhere)], now=now)])
