"""Own which names are one person's, as far as it is told that one name leads to another."""

from __future__ import annotations

from collections import defaultdict

from gatekeeper.core.recipients import Exactness, exactness


class Person:
    """
    Whom to forget: the names that are known to be theirs, and where such a name leads to somebody else.

    A number may come to be another user's. So one that was not given, but found, is not followed to a BSUID of a portfolio in which
    this person is known by another one.
    """

    def __init__(self, name: str) -> None:
        self._given = name
        self.names = {name}
        self._ids: defaultdict[tuple[str, Exactness], set[str]] = defaultdict(set)
        self._anothers: set[tuple[str, str, str]] = set()

    def learn(self, tag: str, number: str, name: str, leads_to: str) -> bool:
        """One name leads to another; whether that tells a new one of this person."""
        if name not in self.names and (leads_to not in self.names or (tag, number, leads_to) in self._anothers):
            return False
        exact = exactness(leads_to) or Exactness.NUMBER
        known = self._ids[tag, exact]
        found = name != self._given and exactness(name) is Exactness.NUMBER
        if exact > Exactness.NUMBER and found and known and leads_to not in self.names:
            self._anothers.add((tag, number, name))
            return False
        known.add(leads_to)
        before = len(self.names)
        self.names |= {name, leads_to}
        return len(self.names) > before

    def has(self, tag: str, number: str, name: str) -> bool:
        """Whether a name is this person's there."""
        return name in self.names and (tag, number, name) not in self._anothers
