"""Own the line on a drift: what Meta says of a message differs from what our own tables say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import money
from gatekeeper.telemetry import DRIFT


def log_drifts(log: Any, settlements: Iterable[Settlement]) -> None:
    """Write one line for each drift of these settlements; whose message it was is not in it."""
    for settlement in settlements:
        for drift in settlement.drifts:
            log.warning(
                DRIFT,
                id=settlement.id,
                phone_number_id=drift.phone_number_id,
                kind=drift.kind,
                delivered=settlement.delivered,
                category=settlement.category,
                charged=settlement.charged,
                price=_written(settlement.price),
                expected_category=drift.category,
                expected_charged=drift.charged,
                expected_price=_written(drift.price),
                currency=settlement.currency,
            )


def _written(price: int | None) -> str | None:
    return None if price is None else money(price)
