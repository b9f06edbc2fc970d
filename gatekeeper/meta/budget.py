"""
Own what reading one undecided request may cost: steps of work, and bytes that come out of what it is packed in.

Who sent it is not known yet, so its reading must not cost more than a usual request asks for. One budget goes through all readers.
"""

from __future__ import annotations

from gatekeeper.meta.bodies import UnreadableBody

# A step is about a microsecond of one core; the event loop stands still while they are taken.
_STEPS = 25_000
# Unpacked bytes: so many times what is read whole, or what came, whichever is more. What is packed twice is rare and dear.
_MOST_TIMES, _CAME_TIMES, _INNER_WEIGHT = 4, 128, 8


class TooMuchToRead(UnreadableBody):
    """Reading goes on for longer than a request is worth."""

    def __init__(self) -> None:
        super().__init__("The request takes too long to read.")


class ReadingBudget:
    """What is left for the reading of one request."""

    __slots__ = ("_came", "_most", "_steps", "_unpacked")

    def __init__(self, most: int = 0, *, steps: int = _STEPS) -> None:
        """*most*: how many bytes of a body are read whole."""
        self._steps = steps
        self._most = most
        self._came = self._unpacked = 0

    def spend(self, steps: int) -> None:
        """Take steps; TooMuchToRead when there are not so many left: then none is taken, and something shorter may still be read."""
        if steps > self._steps:
            raise TooMuchToRead
        self._steps -= steps

    def receive(self, size: int) -> None:
        """Count bytes as they came."""
        self._came += size

    def unpack(self, size: int, *, inner: bool) -> None:
        """Count bytes that came out of a content encoding, *inner*: that have another one; TooMuchToRead."""
        self._unpacked += size * _INNER_WEIGHT if inner else size
        if self._unpacked > max(_MOST_TIMES * self._most, _CAME_TIMES * self._came):
            raise TooMuchToRead
