"""
Own what stands for a recipient in a record: another name of the same kind, in the same market, for one and the same user always.

Numbers are permuted under a key, so that no two users become one; as many leading digits stay as decide the market, and as many
digits in all. A BSUID keeps its country. Whoever has the key can tell who is who, and nobody else can.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from gatekeeper.core.markets import Markets
from gatekeeper.core.recipients import canonical, is_bsuid, undialable

_ROUNDS = 10  # as in NIST SP 800-38G, whose construction this is with another function
_DIGEST = 16
_REMEMBERED = 65_536
_PARENT = ".ENT."


class Pseudonyms:
    """Names that stand for names."""

    def __init__(self, key: str, markets: Markets) -> None:
        self._key = hashlib.blake2b(key.encode(), digest_size=hashlib.blake2b.MAX_KEY_SIZE).digest()
        self._markets = markets
        self.recipient = lru_cache(maxsize=_REMEMBERED)(self._recipient)

    def message(self, wamid: str) -> str:
        """What stands for a message's id: Meta's own has its recipient's number in it."""
        return f"wamid.{self._hashed(b'message', wamid)}"

    def _recipient(self, name: str) -> str:
        """What stands for a name: the same for all spellings of it."""
        plain = canonical(name)
        if plain.isascii() and plain.isdigit():
            return self._number(plain)
        if is_bsuid(plain):
            country, parent = plain[:2], _PARENT if _PARENT in plain else "."
            return f"{country}{parent}{self._hashed(b'user', plain)}"
        return f"x{self._hashed(b'other', plain)}"  # a group's id, or nothing that Meta could send to

    def _number(self, number: str) -> str:
        """Permute the digits behind the prefix until what comes out is as good a number as this one, of the same market."""
        prefix = self._markets.prefix(number)
        kept = prefix or number[:1]
        rest = number[len(kept) :]
        while rest:
            rest = self._permuted(rest, kept)
            found = kept + rest
            if canonical(found) == found and self._markets.prefix(found) == prefix and undialable(found) == undialable(number):
                return found
        return number

    def _permuted(self, digits: str, kept: str) -> str:
        """One of as many numbers as there are of so many digits, each for another one: a Feistel network over decimal digits."""
        left, right = digits[: len(digits) // 2], digits[len(digits) // 2 :]
        for turn in range(_ROUNDS):
            mixed = int(left or 0) + int(self._hashed(f"{turn} {kept} {len(digits)}".encode(), right), 16)
            left, right = right, f"{mixed % 10 ** len(left):0{len(left)}d}" if left else ""
        return left + right

    def _hashed(self, what: bytes, text: str) -> str:
        keyed = hashlib.blake2b(what + b"\0" + text.encode("utf-8", "replace"), key=self._key, digest_size=_DIGEST)
        return keyed.hexdigest()
