"""
Own the reload: a changed configuration, rate card or regime is read whole, and takes effect at once or not at all.

A file with a mistake leaves everything as it was, and says so.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.settings import Settings, load_all
from gatekeeper.telemetry import RELOAD_FAILED, RELOADED, RESTART_NEEDED, Metrics

_EVERY_S = 0.5
_BY_RESTART = ("server", "upstream", "ledger", "webhook", "record")
_OK = "ok"


class Reload:
    """Watches the files that a gate is configured by."""

    def __init__(
        self,
        path: Path | None,
        settings: Settings,
        follow: Callable[[Settings, Rulebook], None],
        metrics: Metrics,
        log: Any,
        now: Callable[[], int],
        folder: Path | None = None,
    ) -> None:
        """*follow* puts new settings and rules into effect; *path* None: only the rules can change."""
        self._path = path
        self._folder = folder or data_dir("config")
        self._follow = follow
        self._started_with = settings
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now
        self._asked = asyncio.Event()
        self._read = self._seen = self._fingerprint()
        self.since = now()
        self.state = _OK

    def ask(self) -> None:
        """Read the files now, changed or not."""
        self._asked.set()

    async def watch(self) -> None:
        """
        Follow the files until cancelled.

        A change is read once nothing has changed between two looks: whoever writes a file may not be done with it.
        """
        if await asyncio.to_thread(self._changed_since_start):
            await self.read()
        while True:
            forced = await self._woken()
            seen, before = await asyncio.to_thread(self._fingerprint), self._seen
            self._seen = seen
            if forced or (seen != self._read and seen == before):
                self._read = seen
                await self.read()

    async def read(self) -> None:
        """Read everything anew; a mistake leaves what is in force."""
        try:
            settings, book = await asyncio.to_thread(self._loaded)
        except ConfigError as error:
            self.state = f"stale: {str(error).removeprefix(f'{self._path}: ')}"  # everybody who asks knows the file's name
            self._metrics.reloads.labels("failed").inc()
            self._metrics.policy_stale.set(1)
            self._log.error(RELOAD_FAILED, error=str(error))
            return
        waiting = [section for section in _BY_RESTART if getattr(settings, section) != getattr(self._started_with, section)]
        if waiting:
            self._log.warning(RESTART_NEEDED, sections=waiting)
        self._follow(settings, book)
        self.since, self.state = self._now(), _OK
        self._metrics.reloads.labels("done").inc()
        self._metrics.policy_stale.set(0)
        self._log.info(
            RELOADED,
            accounts=len(settings.account),
            callers=len(settings.caller),
            rules=len(settings.policy.rule),
            budgets=len(settings.policy.budget),
        )

    async def _woken(self) -> bool:
        """Wait for a signal, or until it is time to look; True: it was a signal."""
        try:
            async with asyncio.timeout(_EVERY_S):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    def _loaded(self) -> tuple[Settings, Rulebook]:
        try:
            if self._path is None:
                return self._started_with, Rulebook.load(self._folder)
            return load_all(self._path, self._folder)
        except ConfigError:
            raise
        except Exception as error:  # whatever a file does to us, the gate goes on as it was
            raise ConfigError(f"it cannot be read: {type(error).__name__}") from error

    def _changed_since_start(self) -> bool:
        """Whether the configuration is another one than the gate was started with, a moment ago."""
        try:
            return self._loaded()[0] != self._started_with
        except ConfigError:
            return True

    def _fingerprint(self) -> bytes:
        """What the files are: the configuration by its text, since it may be a link that is swapped; the data by name, size and time."""
        digest = hashlib.sha256()
        if self._path is not None:
            try:
                digest.update(self._path.read_bytes())
            except OSError as error:
                digest.update(repr(error).encode())
        try:
            for file in sorted(self._folder.rglob("*.*")):
                stat = file.stat()
                digest.update(f"{file}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
        except OSError as error:
            digest.update(repr(error).encode())
        return digest.digest()
