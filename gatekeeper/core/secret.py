"""Own what a secret of the configuration is: text that is used like any other, and shown by nothing."""

from __future__ import annotations

from typing import Self

SHORTEST = 16


class Secret(str):
    """A key or a token; empty: there is none. Whatever prints a struct that holds one, or encodes it, does not tell it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)" if self else "Secret()"

    @classmethod
    def read(cls, value: object) -> Self:
        """Take one from a configuration file; TypeError when it is no text."""
        if not isinstance(value, str):
            raise TypeError(f"Expected `str`, got `{_NAMES.get(type(value), type(value).__name__)}`")
        return cls(value)


# As msgspec calls what stands in a file.
_NAMES: dict[type, str] = {dict: "object", list: "array"}
