"""Own how content encodings are undone: piece by piece, in the layers that a header names, on a budget."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from gatekeeper.meta.budget import ReadingBudget

_GZIP = 16 + zlib.MAX_WBITS
# The content encodings that are read, and zlib's word for each.
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
_MEMBERS, _LAYERS = 8, 3
_BROKEN = "the body is not what its content encoding says"
_STEP = 1 << 16  # bytes that go into a layer, or come out of it, at a time


class UnknownPacking(ValueError):  # noqa: N818 - it names the body
    """A content encoding is none that is read, or there are too many."""


class BrokenPacking(ValueError):  # noqa: N818 - it names the body
    """A body is not what its content encoding says."""


class Unpacking:
    """The content encodings of one body on their way off."""

    def __init__(self, encoding: str, budget: ReadingBudget) -> None:
        """*encoding*: the header, or several of it as one list; UnknownPacking."""
        names = [name.strip().lower() for name in encoding.split(",")]
        packed = [name for name in reversed(names) if name not in ("", "identity")]
        if len(packed) > _LAYERS or not all(name in _WINDOWS for name in packed):
            raise UnknownPacking("the content encoding is not one that is read")
        self._budget = budget
        self._layers = [_Layer(_WINDOWS[name]) for name in packed]

    @property
    def layers(self) -> int:
        """How often the body is packed."""
        return len(self._layers)

    @property
    def ended(self) -> bool:
        """Whether every layer has come to its end."""
        return all(layer.ended for layer in self._layers)

    @property
    def begun(self) -> bool:
        """Whether the body is packed at all: something of it could be undone."""
        return any(layer.begun for layer in self._layers)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Give what comes out of the next piece; BrokenPacking, TooMuchToRead."""
        self._budget.receive(len(piece))
        texts: Iterable[bytes] = (piece,)
        for left in range(len(self._layers), 0, -1):
            texts = self._through(self._layers[-left], texts, inner=left > 1)
        yield from texts

    def _through(self, layer: _Layer, texts: Iterable[bytes], *, inner: bool) -> Iterator[bytes]:
        for text in texts:
            for start in range(0, len(text), _STEP):
                for out in layer.feed(text[start : start + _STEP]):
                    self._budget.unpack(len(out), inner=inner)
                    yield out


class _Layer:
    """One content encoding, undone piece by piece."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._inflater = zlib.decompressobj(window)
        self._members, self.begun = 1, False
        self._head = b""

    @property
    def ended(self) -> bool:
        return self._inflater.eof

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if not self.begun:
            piece = self._head = self._head + piece
        full = False
        while full or len(piece) > (not self.begun):  # a header of zlib's shows in its second byte
            if self._inflater.eof:
                self._members += 1
                # Only gzip has members; what follows a deflated stream could be read in two ways.
                if self._window <= zlib.MAX_WBITS or self._members > _MEMBERS:
                    raise BrokenPacking(_BROKEN)
                self._inflater = zlib.decompressobj(self._window)
            try:
                text = self._inflater.decompress(piece, _STEP)
            except zlib.error:
                if self.begun or self._window != zlib.MAX_WBITS:
                    raise BrokenPacking(_BROKEN) from None
                self._window = -zlib.MAX_WBITS  # `deflate` without its header, as some clients send it
                self._inflater, self.begun = zlib.decompressobj(self._window), True
                continue
            self.begun = True
            yield text
            piece = self._inflater.unused_data or self._inflater.unconsumed_tail
            full = len(text) == _STEP and not self._inflater.eof  # there may be more without a byte more
