"""
One history under two configurations, and what of it would be otherwise.

Both go through the same run as a plain replay does, line by line side by side, so that no more is kept than sums.
"""

from gatekeeper.backtest.command import add_parser
from gatekeeper.backtest.comparing import compare

__all__ = ["add_parser", "compare"]
