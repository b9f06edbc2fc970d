"""Own what it means that Redis answers a call with an error: whether a key is to blame, and which, by its noun alone."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from gatekeeper.core.errors import RefusedCallError, UnusableKeyError
from gatekeeper.ledger.lanes import Command
from gatekeeper.ledger.scripts import Script

Ask = Callable[[Sequence[Command]], Awaitable[list[Any]]]

_SCRIPTS = ("EVALSHA", "EVAL")
_PERMISSION = re.compile(r"NOPERM|can't run this command|No permissions")
# What a script or command breaks on when a key holds another type, or values that no script of ours wrote.
_HOLDS_SOMETHING_ELSE = re.compile(
    r"WRONGTYPE|attempt to |bad argument|not an integer|not a valid float|Missing bytes in input|Bad data format in input"
)
_LONGEST = 200
# The types of keys, as TYPE says them; all others are hashes.
_TYPES = {
    "parked": "list",
    "watch": "string",
    "rate": "string",
    "pair": "string",
    "probe": "string",
    "reached": "zset",
    "holding": "zset",
    "holders": "zset",
    "numbers": "set",
    "wabas": "set",
}


class Refusals:
    """Turns errors that Redis answers into faults, and tells of each."""

    def __init__(self, scripts: Iterable[Script], on_refusal: Callable[[RefusedCallError], None] | None) -> None:
        self._names = {script.sha: script.name for script in scripts}
        self._on_refusal = on_refusal or (lambda _refused: None)

    async def sound(
        self, commands: Sequence[Command], answers: list[Any], ask: Ask | None = None, *, partial: bool = False
    ) -> list[Any]:
        """The answers, when none is an error; RefusedCallError. *partial*: what an unusable key stopped has its fault for an answer."""
        first: RefusedCallError | None = None
        for n, answer in enumerate(answers):
            if isinstance(answer, Exception):
                refused = answers[n] = await refusal(answer, commands[n], self._names, ask)
                self._on_refusal(refused)
                if not (partial and isinstance(refused, UnusableKeyError)):
                    first = first or refused
        if first is not None:
            raise first
        return answers


async def refusal(error: Exception, command: Command, names: dict[str, str], ask: Ask | None) -> RefusedCallError:
    """
    Make a fault of the *error* that Redis answered *command* with; *names* are scripts by their hash.

    *ask* runs further commands on the same node, to see which key is of a wrong type.
    """
    script = command[0] in _SCRIPTS
    count = int(command[2]) if script else 1
    of = [str(key) for key in (command[3 : 3 + count] if script else command[1:2])]
    text = str(error)
    said = f"{type(error).__name__}: {text}"[:_LONGEST]
    call = names.get(str(command[1]), "script") if script else str(command[0])
    if _PERMISSION.search(text) or not _HOLDS_SOMETHING_ELSE.search(text):
        return RefusedCallError(said, call=call, noun=_nouns(of))
    wrong = []
    if "WRONGTYPE" in text and ask is not None:
        types = await ask([("TYPE", key) for key in of])
        wrong = [
            key for key, found in zip(of, types, strict=True) if found not in (b"none", _TYPES.get(noun(key), "hash").encode())
        ]
    return UnusableKeyError(said, call=call, noun=_nouns(wrong or of))


def noun(key: str) -> str:
    """What a key is of: `thread`, `message` …"""
    return key.partition("}:")[2].partition(":")[0]


def _nouns(of: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(filter(None, map(noun, of))))
