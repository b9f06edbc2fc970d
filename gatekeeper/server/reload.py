"""
Own the reload: a changed configuration, rate card or regime is read whole, and takes effect at once or not at all.

A file with a mistake leaves everything as it was, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gatekeeper.core.errors import ConfigError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.server.revision import Revision
from gatekeeper.settings import Reading, Settings, warnings
from gatekeeper.telemetry import CONFIG_WARNING, FAULT, RELOAD_FAILED, RELOADED, RESTART_NEEDED, Metrics

_OK = "ok"


class Reload(Revision):
    """Puts what the files say into effect, and says what became of it."""

    def __init__(
        self,
        reading: Reading,
        settings: Settings,
        follow: Callable[[Settings, Rulebook], None],
        metrics: Metrics,
        log: Any,
        now: Callable[[], int],
        folder: Path | None = None,
        *,
        warns: bool = True,
    ) -> None:
        """
        *follow* puts new settings and rules into effect. *settings* are those that the gate runs by.

        *warns*: say what is no mistake and yet seldom meant; of several workers one does.
        """
        super().__init__(reading, settings, folder)
        self._follow = follow
        self._started_with = settings
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = log
        self._now = now
        self._warns = warns
        self.since = now()
        self.state = _OK
        self.restart_needed: list[str] = []
        """The keys whose change waits for a restart."""

    def adopt(self, reading: Reading, settings: Settings, book: Rulebook) -> None:
        """Put what was read into effect, and say so."""
        try:
            self._follow(settings, book)
        except ConfigError:
            raise
        except Exception as error:
            self._log.error(FAULT, source="gatekeeper", error=type(error).__name__, exc_info=error)
            raise ConfigError(f"it cannot be put into effect: {type(error).__name__}") from error
        self.since, self.state = self._now(), _OK
        self._metrics.reloads.labels("done").inc()
        self._metrics.policy_stale.set(0)
        self.restart_needed = self._started_with.needs_restart(settings)
        if self.restart_needed:
            sections = list(dict.fromkeys(key.partition(".")[0] for key in self.restart_needed))
            self._log.warning(RESTART_NEEDED, sections=sections, keys=self.restart_needed)
        if self._warns:
            for path, warning in warnings(reading, settings, book, now=self._now()):
                self._log.warning(CONFIG_WARNING, key=path, warning=warning)
        self._log.info(
            RELOADED,
            accounts=len(settings.account),
            callers=len(settings.caller),
            rules=len(settings.policy.rule),
            budgets=len(settings.policy.budget),
            routes=len(settings.webhook.route),
        )

    def refuse(self, error: ConfigError) -> None:
        """Say what is wrong with the files, and that all stays as it was."""
        self.state = f"stale: {str(error).removeprefix(f'{self.reading.name}: ')}"  # everybody who asks knows the file's name
        self._metrics.reloads.labels("failed").inc()
        self._metrics.policy_stale.set(1)
        self._log.error(RELOAD_FAILED, error=str(error))
