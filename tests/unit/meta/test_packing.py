"""What content encodings are undone, and on what budget."""

import gzip
import os
import zlib

import pytest

from gatekeeper.meta.budget import ReadingBudget, TooMuchToRead
from gatekeeper.meta.packing import BrokenPacking, UnknownPacking, Unpacking

MIB = 1 << 20
TEXT = b'{"to":"1"}' * 99


def raw(body: bytes) -> bytes:
    return zlib.compress(body)[2:-4]


def read(encoding: str, body: bytes, size: int = MIB, budget: ReadingBudget | None = None) -> tuple[bytes, bool]:
    """What comes out of a body that comes in pieces, and whether that is all of it."""
    unpacking = Unpacking(encoding, budget or ReadingBudget(MIB))
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(text for piece in pieces for text in unpacking.feed(piece)), unpacking.ended


@pytest.mark.parametrize("size", [1, 7, MIB])
@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        (" X-GZIP ", gzip.compress(TEXT, mtime=0)),
        ("gzip", gzip.compress(TEXT[:50], mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(TEXT[50:], mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw(TEXT)),
        ("deflate, gzip", gzip.compress(raw(TEXT), mtime=0)),
        ("gzip,identity,deflate", zlib.compress(gzip.compress(TEXT, mtime=0))),
        ("deflate, gzip, gzip", gzip.compress(gzip.compress(zlib.compress(TEXT), mtime=0), mtime=0)),
    ],
)
def test_a_body_comes_out_as_it_went_in(encoding, packed, size):
    """In whatever pieces it comes, and in whatever order it was packed."""
    assert (TEXT, True) == read(encoding, packed, size)


@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 65_537, 131_072, MIB])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
def test_no_length_is_cut_off(encoding, length):
    """What comes out in steps of some size may end with one of them."""
    packers = {"gzip": gzip.compress, "deflate": zlib.compress, "raw": raw}
    bodies = [bytes(length), os.urandom(length)]

    assert [(body, True) for body in bodies] == [
        read(encoding.replace("raw", "deflate"), packers[encoding](body)) for body in bodies
    ]


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "compress", "gzip, gzip, gzip, gzip", "gzip;q=1"])
def test_an_encoding_that_nobody_reads_is_named_at_once(encoding):
    """So are more of them than anybody means."""
    with pytest.raises(UnknownPacking):
        Unpacking(encoding, ReadingBudget(MIB))


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", b"no gzip at all"),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"more"),
        ("gzip", gzip.compress(b"", mtime=0) * 9),
        ("deflate", zlib.compress(TEXT) + raw(TEXT)),
        ("deflate", zlib.compress(TEXT)[:-4] + b"\0\0\0\0"),
        ("deflate, gzip", gzip.compress(b"no deflate", mtime=0)),
    ],
)
def test_what_is_not_what_its_encoding_says_is_broken(encoding, packed):
    """Also behind its end, where another reader may go on."""
    with pytest.raises(BrokenPacking):
        read(encoding, packed)


def test_half_a_body_has_not_ended():
    """It is not broken: the rest may come."""
    assert [False, False] == [read("gzip", packed)[1] for packed in (gzip.compress(TEXT, mtime=0)[:-1], b"")]


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(bytes(64 * MIB))),
        ("gzip, gzip", gzip.compress(gzip.compress(bytes(64 * MIB)))),
        ("deflate, gzip", gzip.compress(b"\0\0\0\xff\xff" * MIB + b"\3\0", mtime=0)),
        ("deflate, gzip, gzip", gzip.compress(gzip.compress(b"\0\0\0\xff\xff" * (4 * MIB) + b"\3\0"))),
    ],
    ids=["noughts", "noughts, twice", "nothing, packed", "nothing, packed twice"],
)
def test_what_grows_beyond_measure_is_not_read_to_its_end(encoding, packed):
    """Every layer counts, what comes out of the last one as well as what goes into it."""
    with pytest.raises(TooMuchToRead):
        read(encoding, packed)


def test_a_long_stream_may_be_unpacked_as_long_as_it_comes():
    """What came is the measure: there is no bound to an upload."""
    budget = ReadingBudget(1)
    packed = gzip.compress(os.urandom(1 << 16) * 40)

    assert (40 << 16, True) == (len((got := read("gzip", packed, 1000, budget))[0]), got[1])


def test_a_budget_is_one_for_all_readers():
    """Whoever takes the last step is stopped."""
    budget = ReadingBudget(steps=10)
    budget.spend(6)

    with pytest.raises(TooMuchToRead):
        budget.spend(5)
