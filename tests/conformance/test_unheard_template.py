"""What nobody knows the price of is not on the bill as a price: a template that no account names and no webhook told of."""

from __future__ import annotations

import pytest
from recorded import History, account, keep_ledger, unix
from story import WABA


@pytest.mark.parametrize("day", ["2023-09-05", "2025-09-09", "2026-10-13"])
async def test_an_unknown_settlement_is_unpriced_on_the_bill(ledger, redis_url, monkeypatch, day):
    """Replay settles it with `charged` and `price` null and a summary of nothing; the bill says the same: one message, unpriced."""
    keep_ledger(monkeypatch, redis_url)
    history, at = History(account(template=())), unix(day)
    history.template(at, "s", "never_heard_of", "4915112345678")
    history.delivered(at, "s")
    said = await history.replayed()
    report = await history.engine(ledger).spend.report(WABA, day[:7], now=at * 1000)

    assert (("unknown", None, None), {}) == (said.settled["s"].of("category", "charged", "price"), said.summary.spend)
    assert ("0", 1, 1) == tuple(report["settled"][name] for name in ("total", "sends", "unpriced"))
