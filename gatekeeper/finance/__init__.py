"""
The books of a running gate as an operator reads them: the month's bill, and how it compares with what Meta says of the month.

Nothing here reads the ledger: it may be a private child of the gate, so the gate's admin listener is asked.
"""

from gatekeeper.finance.command import add_parser

__all__ = ["add_parser"]
