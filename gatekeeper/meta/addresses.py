"""Own what is said of an address that Meta cannot send to: what is wrong with it, and what to write in its place."""

from __future__ import annotations

from gatekeeper.core.recipients import Undialable, is_bsuid, too_long, undialable

_ADVICE = {
    Undialable.SCHEME: "In {name}, leave out what stands before the number, as tel: or whatsapp:.",
    Undialable.CHAT_ID: "In {name}, leave out the @ and what follows it: write the number alone.",
    Undialable.TRUNK_ZERO: "In {name}, leave out the (0); where the 0 is part of the number, as in Italy, its brackets.",
    Undialable.DOUBLE_ZERO: "In {name}, write + and the country code in place of a leading 00.",
    Undialable.NO_COUNTRY: "In {name}, write the country code behind the +: none begins with 0.",
    Undialable.OTHER_LETTERS: "In {name}, write nothing but digits, a leading +, spaces, hyphens, dots and brackets.",
    Undialable.TOO_SHORT: "In {name}, write the whole number with its country code: there are too few digits.",
    Undialable.TOO_LONG: "In {name}, write one number with its country code: there are too many digits.",
}
_NUMBER_ONLY = "The parameter to takes a phone number. Put a business-scoped user ID into recipient."
_NO_NUMBER = "The parameter {name} is not a phone number. "
_TOO_LONG = "The parameter {name} is too long."


def faults(to: str | None, recipient: str | None, *, group: bool) -> str | None:
    """
    Say what is wrong with the address of a send, of which `to` counts where both are; None: Meta may know it.

    Meta takes a BSUID under `to` for a number that nobody has, answers with a message id and sends nothing (reported 2026-07-24).
    """
    for name, address in (("to", to), ("recipient", recipient)):
        if too_long(address or ""):
            return _TOO_LONG.format(name=name)
    if to is not None and is_bsuid(to.strip()):
        return _NUMBER_ONLY
    name, address = ("to", to) if to is not None else ("recipient", recipient or "")
    if group or is_bsuid(address.strip()):
        return None
    why = undialable(address)
    return None if why is None else f"{_NO_NUMBER}{_ADVICE[why]}".format(name=name)
