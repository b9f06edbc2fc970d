"""One send from bytes to bytes: what goes out is the caller's own, what comes back is Meta's own, and ours is beside it."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest

NUMBER, USER = "106540352242922", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
JSON = ("Content-Type", "application/json")
TEXT = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hi"}}
PLAIN = json.dumps(TEXT).encode()


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'  {"messaging_product" :\t"whatsapp",\r\n"to":"4915112345678", "text":{"body":"hi"}}\n\n', id="white space"),
        pytest.param(
            b'{"messaging_product":"whatsapp","to":"4915112345678","text":{"body":"\\u00e9\\ud83d\\ude00\\/ \xc3\xa9"}}', id="escapes"
        ),
        pytest.param(
            b'{"messaging_product":"whatsapp","to":"1","to":"4915112345678","type":"text","text":{},"text":{"body":"hi"}}',
            id="members that come twice",
        ),
        pytest.param(
            b'{"messaging_product":"whatsapp","to":"4915112345678","type":"text","text":{"body":"hi"},"n":1.0E+2}', id="numbers"
        ),
    ],
)
async def test_a_body_goes_out_byte_for_byte(body, bare, wire):
    """An allowed send goes upstream with the caller's own bytes, however odd."""
    answer = await bare.send(body)

    assert (200, [body]) == (answer.status, [request.body for request in wire.arrived])


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(PLAIN)),
        ("x-gzip", gzip.compress(PLAIN)),
        ("GZip", gzip.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", raw_deflate(PLAIN)),
        ("identity", PLAIN),
        ("deflate, gzip", gzip.compress(zlib.compress(PLAIN))),
        ("gzip", gzip.compress(PLAIN[:20]) + gzip.compress(PLAIN[20:])),
    ],
)
async def test_a_packed_body_is_read_and_goes_out_packed(encoding, packed, bare, wire):
    """A body in a content encoding that we read is decided by what is in it, and forwarded as it came."""
    answer = await bare.send(packed, ("Content-Encoding", encoding))

    assert (200, "4915…78") == (answer.status, bare.logged("decision")[0]["recipient"])
    assert [(packed, encoding)] == [(request.body, request["Content-Encoding"]) for request in wire.arrived]
