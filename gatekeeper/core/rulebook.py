"""Own the set of rules in force: regimes, rate cards and markets, loaded together and swapped together."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from gatekeeper.core.accounts import Account
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
        found = self.regimes.on(day)
        if found is None:
            raise LookupError(f"no pricing regime is known for {day.isoformat()}")
        return found
