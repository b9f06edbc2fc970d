"""
Own which reading of the configuration and the rules is the newest that is fit to be in force.

A file that cannot be read, has a mistake, or lost what is in force is not; what can be read only once never changes.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.settings import Reading, Settings, document, load_all, loss, read_again

_EVERY_S = 0.5
# So many looks in a row must find the files the same. What looks like half of a file gets longer: its writer may be slow.
_LOOKS, _LOOKS_AT_HALF = 1, 4


class Revision:
    """Follows the files that a gate is configured by."""

    def __init__(self, reading: Reading, settings: Settings, folder: Path | None = None) -> None:
        """*reading* and the *settings* that it makes are in force."""
        self.reading = reading
        self.settings = settings
        self._folder = folder or data_dir("config")
        self._asked = asyncio.Event()
        self._examined = self._seen = self._fingerprint(reading.text)
        self._text = reading.text
        self._alike = 0

    def ask(self) -> None:
        """Read the files now, changed or not."""
        self._asked.set()

    async def watch(self) -> None:
        """Follow the files until cancelled; a change is read once nothing has changed for some looks."""
        while True:
            forced = await self._woken()
            seen = await asyncio.to_thread(self._look)
            self._alike = self._alike + 1 if seen == self._seen else 0
            self._seen = seen
            if forced or (seen != self._examined and self._alike >= self._looks()):
                self._examined = seen
                await self.read()

    async def read(self) -> None:
        """Read everything anew; a mistake leaves what is in force."""
        try:
            reading, settings, book = await asyncio.to_thread(self._loaded)
            self.adopt(reading, settings, book)
        except ConfigError as error:
            self.refuse(error)
            return
        self.reading, self.settings = reading, settings

    def adopt(self, reading: Reading, settings: Settings, book: Rulebook) -> None:
        """Put what was read into effect; ConfigError: it cannot be, and nothing has changed."""

    def refuse(self, error: ConfigError) -> None:
        """Say that what was read is not fit to be in force."""

    async def _woken(self) -> bool:
        """Wait for a signal, or until it is time to look; True: it was a signal."""
        try:
            async with asyncio.timeout(_EVERY_S):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    def _loaded(self) -> tuple[Reading, Settings, Rulebook]:
        try:
            reading = read_again(self.reading)
            if reading.path is None:
                return reading, self.settings, Rulebook.load(self._folder)
            settings, book = load_all(reading, self._folder)
            lost = loss(self.settings, settings, before=document(self.reading), after=document(reading))
        except ConfigError:
            raise
        except Exception as error:  # whatever a file does to us, the gate goes on as it was
            raise ConfigError(f"it cannot be read: {type(error).__name__}") from error
        if lost is not None:
            raise ConfigError(f"{reading.name}: {lost[0]}: {lost[1]}")
        return reading, settings, book

    def _looks(self) -> int:
        """How many looks must agree: more when the text ends within a line, or is only the beginning of what is in force."""
        begun = len(self._text) < len(self.reading.text) and self.reading.text.startswith(self._text)
        return _LOOKS_AT_HALF if begun or not self._text.endswith(b"\n") else _LOOKS

    def _look(self) -> bytes:
        """What the files are now."""
        try:
            self._text = read_again(self.reading).text
        except ConfigError as error:
            self._text = b"\n"
            return self._fingerprint(b"", str(error))
        return self._fingerprint(self._text)

    def _fingerprint(self, text: bytes, error: str = "") -> bytes:
        """The configuration by its text, since it may be a link that is swapped; the data by name, size and time."""
        digest = hashlib.sha256(text)
        digest.update(error.encode("utf-8", "surrogateescape"))
        try:
            for file in sorted(self._folder.rglob("*.*")):
                stat = file.stat()
                digest.update(f"{file}|{stat.st_size}|{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        except OSError as fault:
            digest.update(repr(fault).encode())
        return digest.digest()
