"""
Own what `gatekeeper replay` writes: decisions and settlements in the order of `at`, then a summary.

A settlement may be older than the decisions before it, because webhooks come late, so the output waits in a temporary file until
the history has been read. A settlement that a later one of the same message corrects is left out.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from gatekeeper.core.decision import Decision
from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import money
from gatekeeper.replay.history import Line, Sent, walked
from gatekeeper.replay.run import running
from gatekeeper.settings import Settings

_encode = msgspec.json.Encoder().encode


class Summary:
    """What a history comes to."""

    def __init__(self) -> None:
        self.sends = self.blocked = self.charged = 0
        self.spend: Counter[str] = Counter()

    def decided(self, decision: Decision) -> None:
        """Count in a send."""
        self.sends += 1
        self.blocked += not decision.forwards

    def settled(self, settlements: Iterable[Settlement]) -> None:
        """Count in what messages came to in the end."""
        for settlement in settlements:
            if settlement.charged:
                self.charged += 1
                if settlement.price is not None:  # what nobody knows is not nothing
                    self.spend[settlement.currency] += settlement.price

    def fields(self) -> dict[str, Any]:
        """The summary's JSON fields."""
        spend = {currency: money(micros) for currency, micros in sorted(self.spend.items())}
        return {"event": "summary", "sends": self.sends, "blocked": self.blocked, "charged": self.charged, "spend": spend}


class Ordered:
    """Lines kept in a temporary file, to be given back in the order of their time; those of one time as they came."""

    def __init__(self) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self._index: list[tuple[float, int, int]] = []

    def __len__(self) -> int:
        return len(self._index)

    def drop(self, place: int) -> None:
        """Leave out the line that was added as number *place*."""
        at, offset, _ = self._index[place]
        self._index[place] = at, offset, 0

    def add(self, at: float, line: dict[str, Any]) -> None:
        """Keep one line."""
        written = _encode(line)
        self._index.append((at, self._file.tell(), len(written)))
        self._file.write(written)

    def __iter__(self) -> Iterator[bytes]:
        for _, offset, length in sorted(self._index):
            if length:
                self._file.seek(offset)
                yield self._file.read(length)

    def close(self) -> None:
        """Forget everything."""
        self._file.close()


async def replay(source: Iterable[bytes], name: str, settings: Settings, out: BinaryIO, *, total: int | None = None) -> Summary:
    """
    Decide the history *source* (JSON lines, in time order) and write decisions, settlements and a summary to *out*.

    InputError names *name* and the line. *total* is the input's size in bytes, for the progress bar; None: not known.
    """
    ordered, summary = Ordered(), Summary()
    settled: dict[tuple[str, str | None], tuple[int, Settlement]] = {}
    try:
        async with running(settings) as run:

            async def take(line: Line) -> None:
                taken = await run.take(line)
                if taken.decision is not None:
                    assert isinstance(line.happened, Sent)
                    summary.decided(taken.decision)
                    ordered.add(line.at, {"event": "decision", "id": line.happened.id, "at": line.at, **taken.decision.fields()})
                for settlement in taken.settlements:
                    key = settlement.id, settlement.recipient
                    if key in settled:
                        ordered.drop(settled[key][0])
                    settled[key] = len(ordered), settlement
                    at = settlement.at // 1000 if settlement.at % 1000 == 0 else settlement.at / 1000
                    ordered.add(at, {"event": "settlement", "id": settlement.id, "at": at, **settlement.fields()})

            await walked(source, name, take, total=total)
        summary.settled(settlement for _, settlement in settled.values())
        out.writelines(written + b"\n" for written in ordered)
        out.write(_encode(summary.fields()) + b"\n")
        out.flush()
        return summary
    finally:
        ordered.close()
