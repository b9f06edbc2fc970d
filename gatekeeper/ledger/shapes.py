"""
Own the shapes of what `authorize.lua` and `settle.lua` are asked, and how they are packed.

A row is its fields one after the other: the script takes it apart by one `unpack`, into locals of the same names, which costs Redis far
less than a table with keys. A list is a string, of which nothing is unpacked until the script walks it; it holds less than 8000 rows, for
all of them stand on Lua's stack at once. A short one is flat: its rows are not packed each for itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

encode = msgspec.msgpack.Encoder().encode


class Row(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a script takes apart at once. It has 15 fields at most: then msgpack says in one byte how many there are."""


class Case(Row, frozen=True, kw_only=True):
    """*needs*: a clock, or nothing; *others*: any of which does as well; *terms*: what only the case that is picked is asked."""

    needs: str
    others: msgspec.Raw
    unconfirmed: bool
    terms: msgspec.Raw


class Terms(Row, frozen=True, kw_only=True):
    """*steps*: up to which reading, and the price, in turn; then it is *price*. *meter*: its index among the keys, 0: none."""

    price: int
    steps: msgspec.Raw
    meter: int
    opens: str
    length: int
    cell: str


class Bar(Row, frozen=True, kw_only=True):
    clock: str
    refuse_open: bool


class Rule(Row, frozen=True, kw_only=True):
    """*among*: the cases that it is for, none: all."""

    window: str
    open: bool
    above: int
    among: msgspec.Raw
    block: bool
    enforced: bool


class Guard(Row, frozen=True, kw_only=True):
    """*among*: the cases that it is for, none: all; *terms*: what its kind alone asks, one of the rows below."""

    kind: str
    enforced: bool
    unless: str
    among: msgspec.Raw
    terms: msgspec.Raw


class AtMost(Row, frozen=True, kw_only=True):
    """*key*, *held*: indexes among the keys."""

    key: int
    by_recipient: bool
    limit: int
    lifetime: int


class Spaced(Row, frozen=True, kw_only=True):
    key: int
    by_recipient: bool
    every: int
    burst: int
    lifetime: int


class Distinct(Row, frozen=True, kw_only=True):
    key: int
    held: int
    limit: int
    every: int
    lifetime: int


class Clocked(Row, frozen=True, kw_only=True):
    clock: str


class Plan(Row, frozen=True, kw_only=True):
    """*state*, *latches*, *lifetime*, of what is reserved; the latter is text, for it goes to a command as it is."""

    now: int
    commit: bool
    enforce: bool
    registry: str
    watched_since: int
    unseen_closed: bool
    unpriced: bool
    bars: msgspec.Raw
    cases: msgspec.Raw
    rules: msgspec.Raw
    guards: msgspec.Raw
    state: str
    latches: msgspec.Raw
    lifetime: str
    meter_lifetime: int


class Move(Row, frozen=True, kw_only=True):
    """
    *conversations*: clocks that Meta counts the message in, and Meta's id of each, if it says one. *latches*: the ends of clocks as known
    at the send; negative of what the send must come after. *lifetime*: of what is left of the record; `0`: nothing is. *again*:
    gatekeeper.core.settlement:Again.
    """

    at: int
    id: str
    leaving: msgspec.Raw
    to: str
    member: str
    cases: msgspec.Raw
    own: msgspec.Raw
    conversations: dict[str, str]
    latches: dict[str, int]
    told: dict[str, int]
    sent_at: int
    lifetime: str
    meter_lifetime: int
    spend_lifetime: int
    again: int


def row(fields: Row) -> bytes:
    """Pack fields one after the other: without the byte that says how many they are."""
    return encode(fields)[1:]


def packed(fields: Row) -> msgspec.Raw:
    """Pack a row that stands in another one."""
    return text(row(fields))


def flat(listed: Iterable[Row]) -> msgspec.Raw:
    """Pack a list of rows of which there are never many: their fields, one row after the other."""
    return text(b"".join(map(row, listed)))


def rows(listed: Iterable[Row]) -> msgspec.Raw:
    """Pack a list of rows of which there may be many."""
    return text(b"".join(map(packed, listed)))


def values(*listed: str | int) -> msgspec.Raw:
    """Pack a list of what is not packed itself."""
    return text(b"".join(map(encode, listed))) if listed else NONE


def text(content: bytes) -> msgspec.Raw:
    """What Lua sees as a string until it looks into it; the reader in Redis 6.2 knows no msgpack but strings for that."""
    return msgspec.Raw(b"\xdb" + len(content).to_bytes(4, "big") + content)


NONE = text(b"")
"""An empty list."""
