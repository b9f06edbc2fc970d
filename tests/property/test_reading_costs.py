"""Reading what nobody has decided yet takes a time that grows as it does, whatever it is: never as its square."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
import zlib
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
from multidict import CIMultiDict

from gatekeeper.meta.batch import asked, find, parameters
from gatekeeper.meta.bodies import UnreadableBody
from gatekeeper.meta.budget import ReadingBudget
from gatekeeper.meta.paths import gated, is_root, names_edge
from gatekeeper.meta.rewriting import Written
from gatekeeper.meta.sends import MalformedSend
from gatekeeper.meta.showing import Showing
from gatekeeper.server.http import TooLarge, unpacked
from gatekeeper.server.lending import hold_body_plain
from gatekeeper.server.reading import read_send

JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
MIB = 1 << 20
NUMBER = "106540352242922"
# Four times as much takes four times as long, or sixteen times where it is a square; measuring is rough.
FACTOR, TRIES = 9.0, 4
LEAST_S = 0.004  # below it, what is measured is the clock
MOST_S = 0.25  # for all that one request may have, on any machine: it was seconds


def cost(run: Callable[[], object]) -> float:
    """CPU seconds, the least of several."""
    costs = []
    for _ in range(TRIES):
        began = time.process_time()
        with contextlib.suppress(UnreadableBody, MalformedSend, TooLarge, ValueError):
            run()
        costs.append(time.process_time() - began)
    return min(costs)


def grows(run_of: Callable[[int], Callable[[], object]], size: int) -> float:
    """How many times as long four times as much takes."""
    return cost(run_of(4 * size)) / max(cost(run_of(size)), LEAST_S)


def filled(unit: bytes, size: int) -> bytes:
    return (unit * (size // len(unit) + 1))[:size]


def shown(body: bytes, type_: str, *, size: int = 1 << 16) -> None:
    """Look at a body as it streams by."""
    showing = Showing([type_], closely=not type_.startswith("multipart"))
    for start in range(0, len(body), size):
        showing.feed(body[start : start + size])
    showing.end()
    showing.is_free() if not type_.startswith("multipart") else showing.may_send(edge=True, posts=True)


def found(body: bytes, type_: str, url: str = "/") -> None:
    budget = ReadingBudget(MIB)
    find(asked(url, "POST", (), budget).telling(parameters(body, type_, budget)), budget)


def sent(body: bytes, type_: str, encoding: str | None = None) -> None:
    """Read a send, and whether it is plain."""

    class Request:
        headers = CIMultiDict({"Content-Type": type_} | ({"Content-Encoding": encoding} if encoding else {}))
        raw_path = f"/{NUMBER}/messages"

    _, written = read_send(Request(), body, MIB, marketing_api=False)
    hold_body_plain(written)


UNITS = {
    "noughts": b"\0",
    "percent signs": b"%41",
    "percent signs that stand for nothing": b"%zz",
    "both": b"%zz%41%",
    "percent signs in percent signs": b"%2525",
    "escapes": b"\\u0041",
    "escapes of a name": b"\\u0062\\u0061\\u0074",
    "commas": b",",
    "braces": b'{"',
    "names": b'{"batch" ',
    "fields": b"&batch ",
    "numbers": b'"id":1,',
    "blanks": b"{" + b" " * 99,
    "digits": b"messages 1///",
    "brackets": b"[",
    "addresses": b"relative_ur",
}


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_a_text_is_looked_at_in_time_that_grows_as_it_does(unit):
    """However often something begins that may matter."""
    assert grows(lambda size: lambda: shown(filled(unit, size), JSON), 256 << 10) < FACTOR


HEADS = {
    "delimiters": b"--b\r\n",
    "delimiters without lines": b"--b",
    "heads": b"--b\r\nx: y\r\n",
    "heads without end": b"--b\r\n" + b"x" * 3000,
    "names": b'--b\r\nx: name="',
    "dashes": b"-",
    "bytes": bytes(range(256)),
}


@pytest.mark.parametrize("size", [1 << 16, 100])
@pytest.mark.parametrize("unit", HEADS.values(), ids=HEADS)
def test_parts_are_looked_at_in_time_that_grows_as_they_do(unit, size):
    """However many of them there seem to be."""
    assert grows(lambda most: lambda: shown(filled(unit, most), PARTS, size=size), MIB) < FACTOR


def test_pieces_of_a_byte_are_looked_at_together():
    """Chunks may be as small as their sender likes."""
    assert grows(lambda size: lambda: shown(filled(b"--b\r\n\r\nx{", size), PARTS, size=1), 50_000) < FACTOR
    assert grows(lambda size: lambda: shown(filled(b'%7b"batch"', size), JSON, size=1), 50_000) < FACTOR


def operation(url="me", method="GET", **more):
    return {"method": method, "relative_url": url, **more}


def batch(*operations) -> bytes:
    return urlencode({"batch": json.dumps(operations)}).encode()


def nested(depth: int, width: int) -> str:
    inner = json.dumps([operation()] * width)
    for _ in range(depth):
        inner = json.dumps([operation("me?batch=" + quote(inner))])
    return inner


PAIR, ADDRESS = b'"id":"1"', '"relative_url":"x?a=1"'
SEARCHES: dict[str, Callable[[int], tuple[bytes, str, str]]] = {
    "numbers in JSON": lambda n: (b"{" + b",".join([PAIR] * (n // 9)) + b"}", JSON, "/messages"),
    "numbers in a form": lambda n: (b"&".join([b"id=1,2,3"] * (n // 99)), FORM, "/" + "a/" * 3000 + "messages"),
    "numbers in one": lambda n: (b"id=" + b"1," * n, FORM, "/messages"),
    "objects": lambda n: (b"[" + b"{}," * (n // 3) + b"{}]", JSON, "/"),
    "lists": lambda n: (b"[" + b"[]," * (n // 3) + b"{}]", JSON, "/"),
    "depth": lambda n: (b"[" * n, JSON, "/"),
    "members": lambda n: (b"{" + b",".join([b'"batch":[]'] * (n // 11)) + b"}", JSON, "/"),
    "operations": lambda n: (batch(*[operation()] * (n // 60)), FORM, "/"),
    "addresses and parameters": lambda n: (
        f'{{"batch":[{{{",".join([ADDRESS] * (n // 50))},"body":"{"a=1&" * (n // 8)}"}}]}}'.encode(),
        JSON,
        "/",
    ),
    "methods and headers": lambda n: (
        json.dumps({"batch": [{"headers": ["a: b"] * (n // 16), "method": "GET", "relative_url": f"{NUMBER}/messages"}]})
        .replace('"method": "GET"', ",".join(['"method":"GET"'] * (n // 32)))
        .encode(),
        JSON,
        "/",
    ),
    "dots": lambda n: (batch(operation("a/" * (n // 5) + "../" * (n // 6) + f"{NUMBER}/messages")), FORM, "/"),
    "short dots": lambda n: (batch(*[operation("a/..%25" * 1000 + "/messages")] * (n // 8000)), FORM, "/"),
    "references": lambda n: (batch(operation("x", body="{ result" * (n // 9))), FORM, "/"),
    "percent signs in a body": lambda n: (batch(operation("x", body="a=" + "%41" * (n // 9))), FORM, "/"),
    "fields": lambda n: (b"&".join([b"a%41=%41"] * (n // 99)), FORM, "/"),
    "empty fields": lambda n: (b"&" * n, FORM, "/"),
    "fields that are batches": lambda n: (b"&".join([b"batch=[]"] * (n // 99)), FORM, "/"),
    "batches in batches": lambda n: (urlencode({"batch": nested(4, n // 4000)}).encode(), FORM, "/"),
    "parts": lambda n: (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n" * (n // 600) + b"--b--", PARTS, "/"),
    "words of parts": lambda n: (
        (b"--b\r\nContent-Disposition: form-data; name=a" + b"; x=y" * 600 + b"\r\n\r\nx\r\n") * (n // 3000) + b"--b--",
        PARTS,
        "/",
    ),
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_request_is_searched_in_time_that_grows_as_it_does_and_ends(search):
    """Whatever there is much of, and what there is too much of is taken for a message."""
    bodies = [search(size) for size in (64 << 10, 256 << 10, MIB)]
    small, large, whole = [cost(lambda body=body: found(*body)) for body in bodies]

    assert large < FACTOR * max(small, LEAST_S)
    assert whole < MOST_S


PATHS = {
    "slashes": "/",
    "segments": "/a",
    "dots": "/a/..",
    "many dots": "/..",
    "semicolons": "/;",
    "backslashes": "/\\",
    "percent signs": "%25",
    "encoded slashes": "%252F",
    "blanks": "/%20",
}


@pytest.mark.parametrize("unit", PATHS.values(), ids=PATHS)
def test_a_path_is_read_in_time_that_grows_as_it_does(unit):
    """Whatever it is made of, and wherever it leads."""

    def run_of(size: int) -> Callable[[], None]:
        path = (unit * (size // len(unit)))[:size] + "%00/messages"
        back = "/a" * (size // 5) + "/.." * (size // 6) + f"/{NUMBER}/messages"

        def run() -> None:
            for read in (gated, is_root, names_edge):
                read.__wrapped__(path)
                read.__wrapped__(back)

        return run

    assert grows(run_of, 8 << 10) < FACTOR
    assert cost(run_of(8 << 10)) < MOST_S


MESSAGE = b'{"messaging_product":"whatsapp","to":"491511","type":"template","template":{"name":"a","language":{"code":"en"},"components":'
SENDS: dict[str, Callable[[int], tuple[bytes, str]]] = {
    "members": lambda n: (MESSAGE + b"[]}," + b",".join(b'"%x":1' % i for i in range(n // 11)) + b"}", JSON),
    "members of one name": lambda n: (MESSAGE + b"[]}," + b",".join([b'"a":1'] * (n // 6)) + b"}", JSON),
    "components": lambda n: (MESSAGE + b"[" + b"{}," * (n // 3) + b"{}]}}", JSON),
    "parameters": lambda n: (MESSAGE + b'[{"parameters":[' + b'{"type":"text"},' * (n // 16) + b"{}]}]}}", JSON),
    "a list as a number": lambda n: (b'{"messaging_product":"whatsapp","type":"text","to":[' + b"[]," * (n // 3) + b"1]}", JSON),
    "depth": lambda n: (MESSAGE + b"[" * n, JSON),
    "percent signs": lambda n: (b"text=" + b"%41" * (n // 3), FORM),
    "percent signs that stand for nothing": lambda n: (b"text=%41" + b"%zz" * (n // 3), FORM),
    "fields": lambda n: (b"&".join([b"a=1"] * (n // 300)), FORM),
    "a form in JSON": lambda n: (MESSAGE + b'"&=' + b"%41" * (n // 3) + b'"}}', "text/plain"),
    "parts": lambda n: (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n" * (n // 600) + b"--b--", PARTS),
    "headers of parts": lambda n: (
        (b"--b\r\nContent-Disposition: form-data; name=a\r\n" + b"a:b\r\n" * 700 + b"\r\nx\r\n") * (n // 3600) + b"--b--",
        PARTS,
    ),
    "words of a content type": lambda n: (b"{}", "multipart/form-data" + "; boundary" * (n // 130)),
    "blanks of a content type": lambda n: (b"{}", "multipart/form-data" + " " * (n // 130) + ";\t" * (n // 400)),
}


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
def test_a_send_is_read_in_time_that_grows_as_it_does_and_ends(send):
    """Before it is decided it is a stranger's too."""
    bodies = [send(size) for size in (64 << 10, 256 << 10, MIB)]
    small, large, whole = [cost(lambda body=body: sent(*body)) for body in bodies]

    assert large < FACTOR * max(small, LEAST_S)
    assert whole < MOST_S


EMPTY = b"\0\0\0\xff\xff"  # a block of deflate with nothing in it


def tables(size: int) -> bytes:
    """Blocks of deflate that say how they are coded, and hardly more."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    blocks = [packer.compress(b"abcdefgh" * 9 + bytes(range(99))) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(size // 190)]
    return b"".join(blocks) + packer.flush()


PACKED: dict[str, Callable[[int], tuple[bytes, str]]] = {
    "nothing": lambda n: (filled(EMPTY, n) + b"\3\0", "deflate"),
    "nothing, packed": lambda n: (gzip.compress(filled(EMPTY, 9 * n) + b"\3\0", mtime=0), "deflate, gzip"),
    "nothing, packed twice": lambda n: (
        gzip.compress(gzip.compress(filled(EMPTY, 99 * n) + b"\3\0", mtime=0), mtime=0),
        "deflate, gzip, gzip",
    ),
    "tables": lambda n: (tables(n), "deflate"),
    "members": lambda n: (filled(gzip.compress(b"", mtime=0), n), "gzip"),
    "noughts": lambda n: (gzip.compress(bytes(99 * n), mtime=0), "gzip"),
    "noughts, packed twice": lambda n: (gzip.compress(gzip.compress(bytes(99 * n), mtime=0), mtime=0), "gzip, gzip"),
}


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
def test_a_body_is_unpacked_in_time_that_grows_as_it_does(packed):
    """Every layer counts, and what goes in as well as what comes out."""
    bodies = [packed(size) for size in (64 << 10, 256 << 10)]
    small, large = [cost(lambda body=body: unpacked(*body, MIB)) for body in bodies]

    assert large < FACTOR * max(small, LEAST_S)
    assert large < MOST_S


def test_a_message_may_be_as_large_as_any_that_is_meant():
    """The bounds are far from what anybody sends."""
    cards = [
        {"card_index": n, "components": [{"type": "body", "parameters": [{"type": "text", "text": "x" * 1000}] * 20}]}
        for n in range(10)
    ]
    template = {"name": "a", "language": {"code": "en"}, "components": [{"type": "carousel", "cards": cards}]}
    body = {"messaging_product": "whatsapp", "to": "491511", "type": "template", "template": template}
    text = {"messaging_product": "whatsapp", "to": "491511", "type": "text", "text": json.dumps({"body": "\U0001f600%:" * 4096})}

    assert [None, None] == [sent(json.dumps(body).encode(), JSON), sent(urlencode(text).encode(), FORM)]
    assert hold_body_plain(Written(json.dumps(body).encode())) is None
