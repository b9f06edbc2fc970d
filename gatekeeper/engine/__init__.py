"""
The course of a send and of a webhook through plan, ledger and explanation.

The live server and replay both drive this and nothing else: what a recorded history says is what the gate would have said.
"""

from gatekeeper.engine.directory import Number
from gatekeeper.engine.engine import Decided, Engine

__all__ = ["Decided", "Engine", "Number"]
