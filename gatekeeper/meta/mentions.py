"""Own which users a text of Meta's, or one for Meta, may speak of: by number or BSUID, in any spelling, or in a message's id."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote_plus

from gatekeeper.core.recipients import canonical, exactness

_WAMID = "wamid."
# What parts one value from another, in JSON as well as in a form.
_BETWEEN = re.compile(r'["&=<>,{}\[\]:;\r\n]')
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
# In a message's id stands its user, among bytes that mean nothing to us.
_IN_ID = re.compile(rb"\d{5,20}|[A-Za-z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")


def users(text: bytes) -> Iterator[str]:
    """The canonical names that stand in a text, and more: whatever may be a number is taken for one."""
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text.decode(errors="replace"))
    for spelled in dict.fromkeys((plain, unquote_plus(plain))):
        for part in _BETWEEN.split(spelled):
            word = part.strip()
            if word.startswith(_WAMID):
                yield from of_wamid(word)
            elif exactness(name := canonical(word)) is not None:
                yield name


def of_wamid(wamid: str) -> Iterator[str]:
    """The canonical names of whom a message is to, or from, as far as Meta wrote that into its id."""
    packed = wamid.removeprefix(_WAMID)
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4))
    except (binascii.Error, ValueError):
        return
    for found in _IN_ID.findall(raw):
        yield canonical(found.decode())
