"""
Own what `gatekeeper replay` writes: decisions and settlements in the order of `at`, then a summary.

A settlement may be older than the decisions before it, because webhooks come late, so the output waits in a temporary file until
the history has been read.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from gatekeeper.core.vocabulary import money
from gatekeeper.replay.history import Line, Sent, walked
from gatekeeper.replay.run import Taken, running
from gatekeeper.settings import Settings

_encode = msgspec.json.Encoder().encode


class Summary:
    """What a history comes to."""

    def __init__(self) -> None:
        self.sends = self.blocked = self.charged = 0
        self.spend: Counter[str] = Counter()

    def add(self, taken: Taken) -> None:
        """Count in what a line came to."""
        if taken.decision is not None:
            self.sends += 1
            self.blocked += not taken.decision.forwards
        for settled in taken.settlements:
            if settled.charged:
                self.charged += 1
                if settled.price is not None:  # what nobody knows is not nothing
                    self.spend[settled.currency] += settled.price

    def fields(self) -> dict[str, Any]:
        """The summary's JSON fields."""
        spend = {currency: money(micros) for currency, micros in sorted(self.spend.items())}
        return {"event": "summary", "sends": self.sends, "blocked": self.blocked, "charged": self.charged, "spend": spend}


class Ordered:
    """Lines kept in a temporary file, to be given back in the order of their time; those of one time as they came."""

    def __init__(self) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self._index: list[tuple[float, int, int]] = []

    def add(self, at: float, line: dict[str, Any]) -> None:
        """Keep one line."""
        written = _encode(line)
        self._index.append((at, self._file.tell(), len(written)))
        self._file.write(written)

    def __iter__(self) -> Iterator[bytes]:
        for _, offset, length in sorted(self._index):
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
    try:
        async with running(settings) as run:

            async def take(line: Line) -> None:
                taken = await run.take(line)
                summary.add(taken)
                _write(line, taken, ordered)

            await walked(source, name, take, total=total)
        out.writelines(written + b"\n" for written in ordered)
        out.write(_encode(summary.fields()) + b"\n")
        out.flush()
        return summary
    finally:
        ordered.close()


def _write(line: Line, taken: Taken, out: Ordered) -> None:
    if taken.decision is not None:
        assert isinstance(line.happened, Sent)
        out.add(line.at, {"event": "decision", "id": line.happened.id, "at": line.at, **taken.decision.fields()})
    for settled in taken.settlements:
        at = settled.at // 1000 if settled.at % 1000 == 0 else settled.at / 1000
        out.add(at, {"event": "settlement", "id": settled.id, "at": at, **settled.fields()})
