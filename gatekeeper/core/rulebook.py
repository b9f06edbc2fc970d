"""Own the set of rules in force: regimes, rate cards and markets, loaded together and swapped together."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from gatekeeper.core.accounts import Account
from gatekeeper.core.caching import remember
from gatekeeper.core.calendar import local_day
from gatekeeper.core.markets import Markets
from gatekeeper.core.rates import RateCards
from gatekeeper.core.regimes import Platform, Regime, Regimes


class Rulebook:
    """Every dated rule that a plan needs."""

    def __init__(self, regimes: Regimes, rates: RateCards, markets: Markets) -> None:
        self.regimes = regimes
        self.rates = rates
        self.markets = markets
        self._in_force: dict[date, Regime] = {}
        self._watch: dict[date, int] = {}
        self._laid: dict[Any, Any] = {}

    @classmethod
    def load(cls, folder: Path) -> Rulebook:
        """Read the data files below *folder*; ConfigError names the file and what is wrong in it."""
        return cls(Regimes.load(folder), RateCards.load(folder / "rates"), Markets.load(folder))

    @property
    def platform(self) -> Platform:
        """What holds across regimes."""
        return self.regimes.platform

    def regime_at(self, at: int, account: Account) -> Regime:
        """The regime in force for *account* at the instant *at*; LookupError before the first."""
        return self.regime(local_day(at, account.zone))

    def regime(self, day: date) -> Regime:
        """The regime in force on *day*; LookupError before the first."""
        found = self._in_force.get(day)
        if found is None:
            found = self.regimes.on(day)
            if found is None:
                raise LookupError(f"no pricing regime is known for {day.isoformat()}")
            remember(self._in_force, day, found)
        return found

    def watch_ms(self, day: date) -> int:
        """How long a phone number's webhooks must have been seen before an unseen window is known to be closed."""
        found = self._watch.get(day)
        return found if found is not None else remember(self._watch, day, self._watched(day))

    def _watched(self, day: date) -> int:
        return self.platform.length_ms(self.platform.watch.clock, day)

    @property
    def laid(self) -> dict[Any, Any]:
        """What has been laid out by these rules: plans of one kind differ in little. Whoever adds to it uses `remember`."""
        return self._laid
