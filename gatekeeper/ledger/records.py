"""Own how a reservation is read from the ledger, before and after Meta has named its message."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gatekeeper.core.reservation import Facts, State
from gatekeeper.core.settlement import LATCHED
from gatekeeper.core.word import Word

FIELDS = ("facts", "state", "thread", "quote", "note", "settled", *(f"latch:{clock}" for clock in LATCHED))
_STATES = {state.value.encode(): state for state in State}
read_facts = msgspec.msgpack.Decoder(Facts).decode
_word = msgspec.msgpack.Decoder(Word).decode


def _settled_at(settled: bytes) -> int:
    """When a delivery settled: the first of what `settle.lua` booked by it."""
    booked: list[int] = msgspec.msgpack.decode(settled)
    return int(booked[0])


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    A reservation as the ledger holds it.

    *latches*: the ends of clocks as known at send; *quote*: micro-units, -1 unknown; *settled_at*: when it was delivered, as far as is
    known (Unix milliseconds).
    """

    facts: Facts
    state: State
    thread: str
    latches: dict[str, int]
    quote: int
    word: Word | None
    settled_at: int | None = None


def read(values: Sequence[bytes | None]) -> Record | None:
    """Make a record of the values of FIELDS; None: there is none, or one of another version of ours that says what we do not know."""
    facts, state, thread, quote, note, settled, *latches = values
    known = _STATES.get(state or b"")
    if facts is None or known is None or thread is None or quote is None:
        return None
    try:
        return Record(
            facts=read_facts(facts),
            state=known,
            thread=thread.decode(),
            latches={clock: int(until) for clock, until in zip(LATCHED, latches, strict=True) if until is not None},
            quote=int(quote),
            word=_word(note) if note else None,
            settled_at=_settled_at(settled) if settled else None,
        )
    except ValueError:  # msgspec's errors are such
        return None
