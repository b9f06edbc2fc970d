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
            raise TypeError(f"Expected `str`, got `{_name(value)}`")
        return cls(value)


class Secrets(tuple[Secret, ...]):
    """Secrets of which each one is good, so that one can be exchanged for another; those that are empty are left out."""

    __slots__ = ()

    @classmethod
    def read(cls, value: object) -> Self:
        """Take a secret or a list of them from a configuration file; TypeError begins with the index of the item that is no text."""
        if not isinstance(value, list | tuple):
            if not isinstance(value, str):
                raise TypeError(f"Expected `str | array`, got `{_name(value)}`")
            value = [value]
        for n, item in enumerate(value):
            if not isinstance(item, str):
                raise TypeError(f"[{n}]: Expected `str`, got `{_name(item)}`")
        return cls(Secret(item) for item in value if item)


def _name(value: object) -> str:
    return _NAMES.get(type(value), type(value).__name__)


# As msgspec calls what stands in a file.
_NAMES: dict[type, str] = {dict: "object", list: "array"}
