"""A head that is taken for one that came before means what it meant then, but for how long its body is."""

from __future__ import annotations

import pytest
from httptools import HttpParserError, HttpRequestParser

from gatekeeper.server.http import Head
from gatekeeper.server.short_way import _measured

SPELLED = [b"Content-Length: %d", b"content-length:%d", b"Content-Length:   0%d"]
LENGTHS = [b"Content-Length: 5", b"content-length:5", b"Content-Length:   0005", b"Content-length: 90000"]
OTHERS = [
    [],
    [b"X-A:"],
    [b"X-A: Content-Length: 5"],
    [b"X-Content-Length: 5"],
    [b"Content-Length-X: 5", b"Authorization: Bearer a"],
]
BODIES = [b"", b"hello", b"\r\nContent-Length: 5\r\n\r\n", b"5\r\nContent-Length: 5\r\n\r\nPOST /"]
HEADS = {
    b"\r\n".join([b"POST /1/messages HTTP/1.1", b"Host: x", *others[:at], length, *others[at:], b"", b""])
    for length in LENGTHS
    for others in OTHERS
    for at in range(len(others) + 1)
}
PUT_IN = [
    b"1",
    b"42",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b":",
    b"\r\nContent-Length: 7",
    b"\r\nContent-Length: ",
    b"\r\n\r\n",
]


class Read:
    """A request as httptools reads it."""

    def __init__(self, said):
        self.path, self.headers, self.body_at, self.begun = b"", [], None, 0
        parser = HttpRequestParser(self)
        for at in range(len(said)):  # so that it can be told where the body begins
            if self.body_at is None:
                parser.feed_data(said[at : at + 1])
                self.body_at = at + 1 if self.headed else None
                self.keeps = parser.should_keep_alive()

    headed = False

    def on_message_begin(self):
        self.begun += 1

    def on_url(self, path):
        self.path += path

    def on_header(self, name, value):
        self.headers.append((name.decode(), value.strip(b" \t").decode()))

    def on_headers_complete(self):
        self.headed = True

    @property
    def lengths(self):
        return [int(value) for name, value in self.headers if name.lower() == "content-length"]


def read(said):
    try:
        found = Read(said)
    except (HttpParserError, UnicodeDecodeError):
        return None
    return found if found.body_at else None


def relatives(said):
    """The same with something put in or left out, wherever that may be."""
    yield said
    for at in range(len(said)):
        yield said[:at] + said[at + 1 :]
        yield from (said[:at] + more + said[at:] for more in PUT_IN)


KNOWN = {_measured(head)[0]: read(head) for head in HEADS}


def test_heads_that_differ_in_nothing_but_their_length_are_one():
    """In how it is spelled they may not differ."""
    named = [{_measured(b"X\r\n" + length % n + b"\r\n\r\n")[0] for n in (0, 7, 90_000)} for length in SPELLED]

    assert (len(HEADS), False) == (len(KNOWN), b"" in KNOWN)
    assert [1] * len(SPELLED) == [len(names) for names in named]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_head_is_not_taken_for_another(body):
    """Its path and headers are those of the one that came before, and its body begins and ends where httptools says."""
    wrong, found = [], 0
    for head in HEADS:
        for said in relatives(head + body):
            name, body_at, ends = _measured(said)
            if name not in KNOWN:
                continue
            found += 1
            one, known = read(said), KNOWN[name]
            if one is None or (one.path, one.begun, one.keeps, one.body_at) != (known.path, 1, True, body_at):
                wrong.append(said)
                continue
            ours, theirs = (Head(each.path.decode(), each.headers) for each in (known, one))
            same = (ours.headers, ours.onward) == (theirs.headers, theirs.onward)
            if not same or one.lengths != [ends - body_at]:
                wrong.append(said)

    assert [] == wrong
    assert found > len(HEADS)
