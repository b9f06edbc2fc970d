"""
Own the plainest of sends, read in one go: a text or a template to one number, in JSON, written just as Meta documents it.

Nearly all sends are so. Whatever is anything else is left to `sends`, which reads a body in every way in which it may be read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec

from gatekeeper.core.recipients import too_long, undialable
from gatekeeper.meta.bodies import UnreadableBody, form_of
from gatekeeper.meta.components import read_components
from gatekeeper.meta.sends import Kind, Send

_NOTHING = msgspec.Raw()


class _Text(msgspec.Struct):
    body: str


class _Language(msgspec.Struct):
    code: str


class _Template(msgspec.Struct):
    name: str
    language: _Language
    components: msgspec.Raw = _NOTHING


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    """What names anything else may mean anything else."""

    messaging_product: Literal["whatsapp"]
    to: str
    type: Literal["text", "template"]
    recipient_type: Literal["individual"] = "individual"
    text: _Text | None = None
    template: _Template | None = None
    context: msgspec.Raw = _NOTHING
    biz_opaque_callback_data: msgspec.Raw = _NOTHING


_decode = msgspec.json.Decoder(_Message).decode


def plain_send(body: bytes, *, content_type: str, query: str, marketing_api: bool) -> Send | None:
    """Read a plain send; None: look closer."""
    if query or not _is_json(content_type):
        return None
    try:
        message = _decode(body.decode())  # which sees every byte; msgspec passes some over
    except (ValueError, RecursionError):
        return None
    to = message.to
    if undialable(to) is not None or too_long(to):
        return None
    if message.type == "template":
        return _template(message.template, to, marketing_api=marketing_api) if message.template else None
    if message.text is None or not message.text.body.strip():
        return None
    return Send(kind=Kind.FREE_FORM, type=message.type, to=to, marketing_api=marketing_api)


def _template(template: _Template, to: str, *, marketing_api: bool) -> Send | None:
    name, code = template.name, template.language.code
    if not name.strip() or not code.strip():
        return None
    components = read_components(template.components)
    return Send(
        kind=Kind.TEMPLATE,
        type=Kind.TEMPLATE.value,
        to=to,
        template=name,
        language=code,
        marketing_api=marketing_api,
        components=components,
    )


@lru_cache(maxsize=256)
def _is_json(content_type: str) -> bool:
    try:
        return form_of(content_type).is_json
    except UnreadableBody:
        return False
