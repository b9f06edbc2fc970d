"""What many calls to the ledger share is made once for each thing that it is."""

from __future__ import annotations

from gatekeeper.ledger import wire


def test_one_tuple_may_be_several_things(monkeypatch):
    """The empty tuple is the bars of one plan and the rows of another: each is packed as what it is."""
    monkeypatch.setattr(wire, "_shared", {})
    empty = ()
    monkeypatch.setattr(wire, "_bars", lambda _: b"bars")
    monkeypatch.setattr(wire, "_cases", lambda *_: b"cases")
    monkeypatch.setattr(wire.shapes, "Plan", lambda **fields: fields)
    monkeypatch.setattr(wire.shapes, "row", lambda fields: fields)
    plan = _Plan(bars=empty, rows=empty)
    packed = wire.plan(plan, {}, (), commit=True, enforce=True, registry="")

    assert (b"bars", b"cases") == (packed["bars"], packed["cases"])


class _Plan:
    """As much of a plan as is packed."""

    at, watched_since, unseen_closed, rules, guards = 1, None, True, (), ()

    def __init__(self, *, bars, rows):
        self.bars, self.rows = bars, rows
        self.sent = type("Sent", (), {"group": False})
