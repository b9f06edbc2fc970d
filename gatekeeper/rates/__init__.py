"""
The operator's side of rate cards: what is installed, what a file says, and Meta's own downloads made into cards of ours.

Nothing here decides a send. What a card means stands in `gatekeeper.core.rates`, and whatever is written here is read back by it first.
"""

from gatekeeper.rates.command import add_parser

__all__ = ["add_parser"]
