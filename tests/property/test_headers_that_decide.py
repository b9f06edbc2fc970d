"""Whatever headers a request has: those that decide go on as they were read, or it goes no further."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gatekeeper.meta.paths import OVERRIDES
from gatekeeper.server.http import Head, forwarded_headers, stream_headers, upstream_headers
from gatekeeper.server.screening import ambiguity

DECIDING = [
    "Content-Type",
    "Content-Encoding",
    "Authorization",
    "X-Hub-Signature-256",
    "X-Hub-Signature",
    "X-HTTP-Method-Override",
]
OURS = ["Gatekeeper-Key", "Gatekeeper-Dry-Run", "Gatekeeper-Caller", "Gatekeeper-Tags", "Idempotency-Key"]
OTHERS = [
    "X-A",
    "Accept",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Upgrade",
    "Content-Length",
    "Host",
    "Transfer-Encoding",
]
NAMES = [*DECIDING, "X-HTTP-Method", "X-Method-Override", *OURS, *OTHERS]


def spellings(name):
    """As headers may be written, and as variables are."""
    return st.sampled_from([name, name.lower(), name.upper(), name.replace("-", "_"), name.lower().replace("-", "_", 1)])


names = st.sampled_from(NAMES).flatmap(spellings)
blanks = st.sampled_from(["", " ", "\t", "  "])
tokens = st.builds(
    lambda before, name, after: before + name + after, blanks, names | st.sampled_from(["close", "keep-alive", ""]), blanks
)
values = st.sampled_from(["application/json", "application/x-www-form-urlencoded", "gzip", "identity", "POST", "a", "", "a, b"])
connections = st.tuples(
    st.sampled_from(["Connection", "connection", "CONNECTION", "Proxy-Connection"]), st.lists(tokens, max_size=3).map(",".join)
)
requests = st.lists(st.tuples(names, values) | connections, max_size=6)


def deciding(headers):
    """What the gate decides by: each header's values in their order, a method's in either spelling."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        hyphened = name.lower().replace("_", "-")
        if name.lower() in {one.lower() for one in DECIDING} or hyphened in OVERRIDES:
            found.setdefault(hyphened, []).append(value)
    return found


@given(requests)
def test_what_decides_is_what_goes_out(headers):
    """As a send, as a stream and as a webhook, on the short way and the long one; nothing else is read for one of them there."""
    if ambiguity(headers) is not None:
        return
    read = deciding(CIMultiDict(headers).items())
    ways = [
        upstream_headers(headers),
        stream_headers(headers).items(),
        forwarded_headers(headers),
        Head("/1/messages", headers).onward,
    ]

    assert [read] * 4 == [deciding(way) for way in ways]
    gone = [name.lower().replace("_", "-") for way in ways for name, _ in way]
    assert set() == {name for name in gone if name.startswith("gatekeeper-")}
    variables = {name.replace("_", "-") for way in ways for name, _ in way if "_" in name} - {"X-HTTP-Method-Override"}
    assert set() == {name for name in variables if name.lower() in {one.lower() for one in DECIDING} - OVERRIDES}


@given(requests, st.sampled_from([*DECIDING, *OURS]).flatmap(spellings), blanks, st.sampled_from(["Connection", "CONNECTION"]))
def test_a_connection_that_names_what_decides_is_always_found(headers, name, blank, connection):
    """Whatever else stands there, and wherever it stands."""
    named = [*headers, (connection, f"close,{blank}{name}{blank}, x")]

    assert None is not ambiguity(named)
    assert None is not ambiguity(named[::-1])


@given(st.lists(st.tuples(st.sampled_from(["X-A", "Accept", "Content-Type", "Content-Encoding"]), values), max_size=5))
def test_a_usual_connection_is_fine(headers):
    """What clients and proxies really say."""
    said = ["close", "keep-alive", "Keep-Alive", "Upgrade, HTTP2-Settings", "TE", "X-A", "keep-alive, X-B", ""]

    assert [None] * len(said) == [ambiguity([*headers, ("Connection", one)]) for one in said]
