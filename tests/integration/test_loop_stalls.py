"""A stranger's request costs little: whatever it holds, the event loop goes on for everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import pytest

NUMBER = "106540352242922"
SENDS = f"/v23.0/{NUMBER}/messages"
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
TEXT = ("Content-Type", "text/plain")
PARTS = ("Content-Type", "multipart/form-data; boundary=b")
CHUNKED = ("Transfer-Encoding", "chunked")
KIB, MIB = 1 << 10, 1 << 20
# 50 ms of the loop's own CPU are the rule on a machine that has nothing else to do; it was seconds.
LONGEST_S = 0.15


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[list[float]]:
    """Measure how much CPU the loop's thread takes from one turn to the next: who else uses the machine does not count."""
    taken, over = [0.0], False

    async def tick() -> None:
        last = time.thread_time()
        while not over:
            await asyncio.sleep(0)
            now = time.thread_time()
            taken[0] = max(taken[0], now - last)
            last = now

    ticking = asyncio.create_task(tick())
    try:
        yield taken
    finally:
        over = True
        await ticking


def filled(unit: bytes, size: int) -> bytes:
    return (unit * (size // len(unit) + 1))[:size]


def chunks(body: bytes, size: int) -> bytes:
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def operation(url="me", method="GET", **more):
    return {"method": method, "relative_url": url, **more}


def batch(*operations) -> bytes:
    return urlencode({"batch": json.dumps(operations)}).encode()


def packed(encodings: str, body: bytes) -> tuple[list[tuple[str, str]], bytes]:
    for name in encodings.split(", "):
        body = {"gzip": lambda text: gzip.compress(text, mtime=0), "raw": bytes, "deflate": zlib.compress}[name](body)
    return [FORM, ("Content-Encoding", encodings.replace("raw", "deflate"))], body


EMPTY = filled(b"\0\0\0\xff\xff", 20 * MIB) + b"\3\0"
ATTACKS = {
    "delimiters": ([PARTS], filled(b"\r\n--b\r\n", 3 * MIB)),
    "heads": ([PARTS], filled(b'--b\r\nX: name="', 3 * MIB)),
    "heads of parts": ([PARTS], (b"--b\r\nContent-Disposition: form-data; name=a" + b"; x=y" * 600 + b"\r\n\r\n\r\n") * 300),
    "numbers": ([JSON], b"{" + b",".join([b'"id":"1"'] * (128 * KIB // 9)) + b"}"),
    "numbers in a form": ([FORM], b"&".join([b"id=" + b"1," * 100] * 4000)),
    "objects": ([JSON], b"[" + b"{}," * (MIB // 3 - 9) + b"{}]"),
    "members": ([JSON], b'{"method":1,' + b",".join(b'"%x":1' % n for n in range(90_000)) + b"}"),
    "depth": ([JSON], b'{"batch":' + b"[" * 900_000),
    "large JSON": ([JSON], b"[" + b'{"batch":"","relative_ur":[]},' * 120_000),
    "percent signs": ([FORM], filled(b"%62%61", 3 * MIB)),
    "percent signs that stand for nothing": ([FORM], b"%41" + filled(b"%zz", 3 * MIB)),
    "percent signs of a send": ([TEXT], b'{"text":"=' + filled(b"%41", MIB - KIB) + b'"}'),
    "escapes": ([JSON], filled(b"\\u0062\\u0061", 3 * MIB)),
    "fields": ([FORM], filled(b"a=1&", MIB - 9)),
    "fields that are batches": ([FORM], b"&".join([b"batch=[]"] * 4900)),
    "dots": ([FORM], batch(operation("a/" * 100_000 + "../" * 90_000 + f"{NUMBER}/messages"))),
    "operations": ([FORM], batch(*[operation("a/..%25" * 1000 + "/messages")] * 100)),
    "addresses": (
        [JSON],
        b'{"batch":[{' + b",".join([b'"relative_url":"x?a=1"'] * 9000) + b',"body":"' + b"a=1&" * 4000 + b'"}]}',
    ),
    "batches in batches": ([FORM], batch(*[operation("me?batch=" + quote(json.dumps([operation()] * 20)))] * 50)),
    "chunks of a byte": ([PARTS, CHUNKED], chunks(filled(b"--b\r\n\r\nx", 60_000), 1)),
    "blocks with nothing in them": packed("raw", EMPTY[: MIB - 9] + b"\3\0"),
    "blocks with nothing in them, packed twice": packed("raw, gzip, gzip", EMPTY),
    "members of gzip": ([FORM, ("Content-Encoding", "gzip")], filled(gzip.compress(b"", mtime=0), MIB - 9)),
    "noughts, packed twice": packed("gzip, gzip", bytes(64 * MIB)),
    "signs, packed": packed("gzip", filled(b"&batch%zz", 16 * MIB)),
    "words of a content type": ([("Content-Type", "multipart/form-data" + "; boundary" * 700)], b"--b"),
    "content types": ([("Content-Type", f"text/x{n}") for n in range(60)], filled(b"%41", MIB - 9)),
}
TARGETS = {
    "the root": ("POST", "/"),
    "an object": ("POST", "/me"),
    "an edge": ("POST", "/messages"),
    "media": ("POST", f"/v23.0/{NUMBER}/media"),
    "a send": ("POST", SENDS),
    "a send by another method": ("PUT", SENDS),
    "a webhook": ("POST", "/webhook"),
}


@pytest.mark.parametrize(
    ("mode", "target"),
    [
        *[pytest.param("enforce", target, id=name) for name, target in TARGETS.items()],
        *[pytest.param("annotate", TARGETS[name], id=f"annotate, {name}") for name in ("the root", "an object")],
    ],
)
async def test_no_body_holds_the_loop_up(mode, target, open_house, wire):
    """However it is made, it is read in turns that others get theirs between, or refused in Graph's shape."""
    house = await open_house(wire.url, policy={"mode": mode})
    held, answered = {}, set()
    for name, (headers, body) in ATTACKS.items():
        async with watched() as longest:
            answer = await house.ask(*target, headers, body)
        answered.add(answer.status)
        if longest[0] > LONGEST_S:
            held[name] = round(longest[0], 3)

    assert {} == held
    assert {200, 400, 401, 404, 413, 415} >= answered


PATHS = ["/" * 8000, "/a/.." * 1300, "/\\" * 3500, "%2525" * 1300, "/;" * 3500, "/.." * 2600, "%252f" * 1500]
QUERIES = ["&" * 8000, "batch=[]&" * 850, "id=1&" * 1500, "%41" * 2600, "method=a&" * 850, "batch=" + "%5B" * 2500]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_target_holds_the_loop_up(method, bare):
    """Nor does it make the gate fail."""
    targets = [*("/" + path + "/messages" for path in PATHS), *(f"/messages?{query}" for query in QUERIES)]
    targets += [f"/?{query}" for query in QUERIES]
    held, answered = {}, set()
    for target in targets:
        async with watched() as longest:
            answered.add((await bare.ask(method, target)).status)
        if longest[0] > LONGEST_S:
            held[target[:20]] = round(longest[0], 3)

    assert {} == held
    assert {200, 400} >= answered


async def test_no_header_holds_the_loop_up(bare):
    """However long it is, and however many there are."""
    values = [
        "x" * 8000,
        "; a" * 2600,
        '; a="' * 1600,
        "multipart/form-data; " + "\tboundary =" * 700,
        "," * 8000,
        "gzip, " * 1300,
    ]
    names = ["Content-Type", "Content-Encoding", "X-HTTP-Method-Override", "Accept", "X-Hub-Signature-256"]
    held, answered = {}, set()
    for target in ("/", "/messages", SENDS, "/webhook"):
        for name in names:
            for value in values:
                async with watched() as longest:
                    answered.add((await bare.ask("POST", target, [(name, value)], b'{"batch":[]}')).status)
                if longest[0] > LONGEST_S:
                    held[target, name, value[:9]] = round(longest[0], 3)

    assert {} == held
    assert {200, 400, 401, 404, 413, 415} >= answered
