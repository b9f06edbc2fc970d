"""Which encodings an answer is asked for in: those that the caller accepts and that are read."""

from __future__ import annotations

import pytest

from gatekeeper.server.encodings import readable_encodings

UNCHANGED = [
    "gzip",
    "gzip, deflate",
    "GZIP;Q=0.5 , x-gzip",
    "identity",
    "",
    "*;q=0, gzip",
    "deflate;q=0",
    "gzip, br;q=0",
    "identity;q=0, gzip",
]


@pytest.mark.parametrize("asked", UNCHANGED)
def test_what_is_read_is_asked_for_as_the_caller_wrote_it(asked):
    """Nothing in it could bring an answer that is not read, so no byte of it is another."""
    headers = (("Host", "a"), ("Accept-Encoding", asked))

    assert headers is readable_encodings(headers)


def test_a_caller_that_says_nothing_says_nothing_afterwards():
    """No header is added."""
    assert () == readable_encodings(())


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("gzip, compress, deflate, br", "gzip, deflate"),  # axios
        ("gzip, deflate, br, zstd", "gzip, deflate"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip;q=0.8, deflate;q=0.1"),
        ("br", "identity"),
        ("br, identity;q=0", "identity"),
        ("zstd, *;q=0", "identity"),
        ("zstd, gzip;q=0", "gzip;q=0"),
        ("zstd, gzip;q=0.000, identity;q=0", "identity"),
        ("br, gzip, *;q=0", "gzip, *;q=0"),
        ("br, identity;q=0.5, *;q=0", "identity;q=0.5, *;q=0"),
        ("*", "gzip, deflate"),
        ("*;q=0.5, gzip;q=0", "deflate;q=0.5, gzip;q=0"),
        ("*, identity;q=0", "gzip, deflate, identity;q=0"),
        ("BR, GZip", "GZip"),
        ("br ; q=1 ,, gzip ; q=0.7", "gzip ; q=0.7"),
        ("aws-chunked", "identity"),
        ("gzip-br", "identity"),
    ],
)
def test_what_is_not_read_is_not_asked_for(asked, wanted):
    """What is left keeps its weight; a caller that accepts nothing that is read gets what every client reads."""
    assert (("accept-encoding", wanted), ("X", "1")) == readable_encodings((("accept-encoding", asked), ("X", "1")))


def test_several_lines_become_one():
    """In the place of the first."""
    headers = (("Accept-Encoding", "br"), ("X", "1"), ("ACCEPT-ENCODING", "gzip, zstd"))

    assert (("Accept-Encoding", "gzip"), ("X", "1")) == readable_encodings(headers)


def test_several_lines_that_are_read_stay_several():
    """As they came."""
    headers = (("Accept-Encoding", "gzip"), ("X", "1"), ("accept-encoding", "deflate"))

    assert headers == readable_encodings(headers)
