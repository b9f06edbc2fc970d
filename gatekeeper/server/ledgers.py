"""Own how the ledger of a configuration is reached: the embedded one is started and watched, any other is where it is said to be."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any

from gatekeeper.core.errors import RefusedCallError
from gatekeeper.ledger.clients import Tls
from gatekeeper.ledger.embedded import EmbeddedLedger
from gatekeeper.ledger.ledger import Ledger
from gatekeeper.settings import EMBEDDED, Settings
from gatekeeper.telemetry import LEDGER_BACK, LEDGER_LOST, LEDGER_REFUSED, LEDGER_RESTARTED, Metrics

_AGAIN_S = 60.0


async def ledger_url(settings: Settings, metrics: Metrics, log: Any, stack: contextlib.AsyncExitStack) -> str:
    """Where the ledger of the configuration is; the embedded one is started, watched and stopped with us."""
    url = settings.ledger.url

    def told(event: str, fields: dict[str, object]) -> None:
        log.warning(event, **fields)
        if event == LEDGER_RESTARTED:
            metrics.ledger_restarts.inc()

    if url == EMBEDDED:
        embedded = EmbeddedLedger(Path(settings.ledger.data_dir), told)
        await embedded.start()
        stack.push_async_callback(embedded.stop)
        url = embedded.url
    return url


def ledger(url: str, settings: Settings, metrics: Metrics, log: Any, stack: contextlib.AsyncExitStack) -> Ledger:
    """The ledger at *url*, as long as *stack* is open."""

    def changed(up: bool) -> None:  # noqa: FBT001
        metrics.ledger_up.set(up)
        if up:
            log.warning(LEDGER_BACK)
        else:
            log.warning(LEDGER_LOST, error=found.why)

    said: dict[tuple[str, str, str], float] = {}

    def refused(error: RefusedCallError) -> None:
        """One line for each cause, and another every so often as long as it lasts."""
        cause, moment = (error.call, error.noun, type(error).__name__), time.monotonic()
        if moment - said.get(cause, -math.inf) >= _AGAIN_S:
            said[cause] = moment
            log.warning(LEDGER_REFUSED, call=error.call, noun=error.noun, error=str(error))

    given = settings.ledger
    tls = Tls(ca=given.ca, certificate=given.certificate, key=given.key)
    found = Ledger(url, timeout_ms=given.timeout, cluster=given.cluster, tls=tls, on_change=changed, on_refusal=refused)
    metrics.ledger_up.set(1)
    stack.push_async_callback(found.close)
    return found
