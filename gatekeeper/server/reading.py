"""
Own how a send is read out of its request: what its body is packed in, what it says it is, what stands in the query.

Two headers are read here too: whether it is a dry run, and which system calls.
"""

from __future__ import annotations

from typing import Protocol

from multidict import MultiMapping

from gatekeeper.meta.plain import plain_send
from gatekeeper.meta.rewriting import JSON, Written, query_rights
from gatekeeper.meta.sends import INVALID_PARAMETER, MalformedSend, Send, decode_send
from gatekeeper.server.http import Pairs, Request, unpacked

_DRY_RUN = "Gatekeeper-Dry-Run"
_CALLER = "Gatekeeper-Caller"
_OF_A_BODY = ("content-encoding", "content-type")
_PACKED_MUCH = 1 << 14  # bytes
_TRUE = ("true", "1")


class Requested(Protocol):
    """A request as far as it is read here: one that is there, or one that was kept."""

    @property
    def headers(self) -> MultiMapping[str]:
        """Its headers."""

    @property
    def raw_path(self) -> str:
        """Its path as it stands in the request line."""


def read_send(request: Requested, body: bytes, most: int, *, marketing_api: bool) -> tuple[Send, Written]:
    """
    Read what of a send decides, and give it as it was written too.

    MalformedSend; TooLarge: it is more than *most* bytes once unpacked; UnknownEncoding. Headers that come twice are one list.
    """
    headers = request.headers
    try:
        packed = ",".join(headers.getall("Content-Encoding", ()))
        text = unpacked(body, packed, most) if packed and body else body
    except ValueError as error:
        raise MalformedSend(INVALID_PARAMETER, f"{error}.") from None
    content_type = ",".join(dict.fromkeys(headers.getall("Content-Type", ())))
    written = Written(text, content_type, query_of(request))
    said = {"content_type": content_type, "query": written.query}
    return plain_send(text, **said, marketing_api=marketing_api) or decode_send(
        text, **said, marketing_api=marketing_api
    ), written


def is_packed_much(request: Requested, body: bytes) -> bool:
    """Say whether to undo what a body is packed in may take so long that others must not wait for it."""
    packed = request.headers.get("Content-Encoding")
    return packed is not None and (
        len(body) > _PACKED_MUCH or "," in packed or len(request.headers.getall("Content-Encoding")) > 1
    )


def instead(headers: Pairs) -> Pairs:
    """The headers of a send that goes out as plain JSON in place of what its caller wrote."""
    return *((name, value) for name, value in headers if name.lower() not in _OF_A_BODY), ("Content-Type", JSON)


def is_dry(request: Request) -> bool:
    """Say whether a decision is asked for and nothing more."""
    return request.headers.get(_DRY_RUN, "").lower() in _TRUE


def caller_of(request: Request, longest: int) -> str:
    """Give the name of the calling system, cut to what a name may be."""
    return request.headers.get(_CALLER, "")[:longest].encode("ascii", "replace").decode()


def rights_of(request: Requested) -> tuple[str, ...]:
    """Give the tokens that a request brings: those of its Authorization, and of its query."""
    return *request.headers.getall("Authorization", ()), *query_rights(query_of(request))


def query_of(request: Requested) -> str:
    """Give the query as it stands in the request line."""
    return request.raw_path.partition("?")[2].partition("#")[0]
