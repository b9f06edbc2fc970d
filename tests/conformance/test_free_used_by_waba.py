"""`free_used` of a tier that belongs to the account: `waba_id` alone says whose it is."""

from __future__ import annotations

import pytest
from recorded import History, unix
from story import ONE, WABA


@pytest.mark.parametrize("day", ["2022-04-05", "2023-09-05"])
async def test_a_tier_of_the_account_needs_no_phone_number(day):
    """Until October 2024 all numbers of an account share 1,000 free conversations; the line is accepted, so it has to count."""
    history, at = History(), unix(day)
    history._line(at, free_used={"waba_id": WABA, "count": 1000})
    history.wrote(at, "4915112345678", number=ONE)
    history.text(at, "s", "4915112345678")
    said = await history.replayed()

    assert (True, "0.0819") == said.decided["s"].of("charged", "price")
