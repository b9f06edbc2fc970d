"""Own the course of a reconciliation: from Meta's file and the gate's books to a compared month."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gatekeeper.asking import printable
from gatekeeper.core.data import read as read_data
from gatekeeper.core.data import rows
from gatekeeper.core.errors import InputError
from gatekeeper.core.markets import COUNTRIES_FILE, Markets
from gatekeeper.core.vocabulary import money
from gatekeeper.finance.answers import answers, is_json
from gatekeeper.finance.choosing import consistent, in_month
from gatekeeper.finance.comparing import compare
from gatekeeper.finance.exports import exported
from gatekeeper.finance.gate import Bill, Bookkeeper
from gatekeeper.finance.points import Point, understood
from gatekeeper.finance.sources import Source, read
from gatekeeper.finance.telling import Month


class Countries:
    """Says which market a data point is of: by the ISO code of its country, or by its name."""

    def __init__(self, markets: Markets, names: Mapping[str, str], zone: zoneinfo.ZoneInfo) -> None:
        """*names* lead to ISO codes; *zone* says which day a point is of."""
        self._markets = markets
        self._names = {name.casefold(): code for name, code in names.items()}
        self._zone = zone

    @classmethod
    def load(cls, config: Path, zone: zoneinfo.ZoneInfo) -> Countries:
        """Read the tables of countries in the folder *config*."""
        table = rows(read_data(config / COUNTRIES_FILE), COUNTRIES_FILE, "iso2", "country")
        return cls(Markets.load(config), {row["country"]: row["iso2"] for _, row in table}, zone)

    def market(self, point: Point) -> str | None:
        """The market of a point on its day; None: its country is not known."""
        if point.country is None:
            return None
        code = self._names.get(point.country.casefold(), point.country.upper())
        return self._markets.of_country(code, point.day(self._zone))

    def row(self, point: Point) -> str:
        """The market that a point is listed under; one whose country is not known gets a row with its name."""
        return self.market(point) or ("no country" if point.country is None else f"unknown country {point.country}")


def reconcile(path: str, gate: Bookkeeper, config: Path, *, waba_id: str | None, month: str | None) -> Month:
    """Compare what the file at *path* says with the gate's books; *config* is the folder of the markets."""
    name, text = read(path)
    source = answers(text, name) if is_json(text) else exported(text, name)
    account = gate.account(_named(source, waba_id), month)
    points, noted = consistent(understood(source, account.zone, account.currency))
    chosen = in_month(points, month, account.zone, name)
    bill = gate.bill(account.waba_id, chosen.month)
    countries = Countries.load(config, account.zone)
    return Month(
        waba_id=bill.waba_id,
        month=bill.month,
        currency=bill.currency,
        compared=compare(chosen.points, bill.lines, countries.row),
        notes=(*source.notes, *noted, *chosen.notes, *_notes(chosen.points, bill, countries)),
    )


def _named(source: Source, waba_id: str | None) -> str | None:
    """The account that is asked for, or that the file names."""
    if len(source.waba_ids) > 1:
        raise InputError(f"{source.name}: is of several accounts, {' and '.join(map(printable, source.waba_ids))}")
    told = next(iter(source.waba_ids), None)
    if waba_id and told and waba_id != told:
        raise InputError(f"{source.name}: is of the account {printable(told)}, and not of {waba_id}")
    return waba_id or told


def _notes(points: Sequence[Point], bill: Bill, countries: Countries) -> Iterator[str]:
    """What a reader should know of a comparison before believing it."""
    silent = sum(point.cost is None for point in points)
    if points and silent == len(points):
        yield "Meta gives no cost, as to accounts on a partner's credit line: only messages are compared"
    elif silent:
        yield f"{silent} of {len(points)} data points have no cost, and where they count no cost is compared"
    for dimension, lacks in (
        ("PRICING_CATEGORY", all(point.category is None for point in points)),
        ("COUNTRY", all(point.country is None for point in points)),
    ):
        if points and lacks:
            yield f"Meta was not asked for dimensions({dimension}): the rows are summed over them"
    unknown = {point.country for point in points if point.country is not None and countries.market(point) is None}
    if unknown:
        yield f"no market is known for {', '.join(sorted(map(printable, filter(None, unknown))))}"
    if unpriced := sum(line.settled.unpriced for line in bill.lines):
        yield f"{unpriced} of the settled messages have no known price, and are in no sum"
    if bill.open.sends:
        yield f"{bill.open.sends} accepted sends, predicted at {money(bill.open.total)}, are not settled yet"
