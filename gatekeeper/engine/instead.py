"""Own what may go out in place of a text: the template that the policy has for it, read as the send that it is."""

from __future__ import annotations

import msgspec

from gatekeeper.core.policy import Policy, fallback
from gatekeeper.meta.rewriting import Written, as_template
from gatekeeper.meta.sends import MalformedSend, Send, decode_send

_TEXT = "text"


class Instead(msgspec.Struct, frozen=True, kw_only=True):
    """A template's name, the body that sends it, and that body as it is read."""

    template: str
    body: bytes
    send: Send


def instead(policy: Policy, send: Send, written: Written, *, caller: str, phone_number_id: str) -> Instead | None:
    """Make a template of a text; None: the policy has none for it, or it cannot become one."""
    found = fallback(policy, caller=caller, phone_number_id=phone_number_id)
    if found is None or send.type != _TEXT:
        return None
    body = as_template(written, name=found.template, language=found.language, text_parameter=found.text_parameter)
    try:
        return None if body is None else Instead(template=found.template, body=body, send=decode_send(body, query=written.query))
    except MalformedSend:
        return None
