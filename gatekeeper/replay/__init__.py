"""Histories through the engine that serves; nothing is decided, priced or settled in a second way."""

from gatekeeper.replay.writing import replay

__all__ = ["replay"]
