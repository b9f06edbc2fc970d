"""Own what a drift is: Meta's word on a message against ours."""

from __future__ import annotations

import msgspec

from gatekeeper.core.tariff import UNKNOWN_PRICE


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """
    How Meta's word differs from ours: *kind* is `pricing`, or the code of a failure that we had not foreseen.

    *category*, *charged* and *price* (micro-units) are what our own table says.
    """

    kind: str
    phone_number_id: str
    category: str | None = None
    charged: bool | None = None
    price: int | None = None


def priced(phone_number_id: str, category: str | None, cost: int, *, charged: bool) -> tuple[Drift, ...]:
    """A message that our own table prices otherwise than Meta: what it costs there says whether it is charged."""
    price = None if cost == UNKNOWN_PRICE else cost
    charged = charged if price is None else price != 0
    return (Drift(kind="pricing", phone_number_id=phone_number_id, category=category, charged=charged, price=price),)


def unforeseen(phone_number_id: str, codes: tuple[int, ...], which: tuple[int, ...]) -> tuple[Drift, ...]:
    """Failures of a message that we let out and that we should have foreseen."""
    return tuple(Drift(kind=str(code), phone_number_id=phone_number_id) for code in which if code in codes)
