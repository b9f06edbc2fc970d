"""A batch is found in whatever letters, types and sizes it comes; what is none streams through as it always did."""

from __future__ import annotations

import gzip
import json
import os
from urllib.parse import quote

import pytest

NUMBER = "106540352242922"
JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
LIST = json.dumps([{"method": "POST", "relative_url": f"{NUMBER}/messages", "body": "to=1&type=text"}])
BATCH = json.dumps({"batch": LIST})
MOST, FAR = 4 << 10, 20 << 10
ROOTS = ["/", "//", "/v23.0", "/v23.0/", "/?access_token=x", "/a/prefix/v23.0/", "/v23.0//?x"]


def typed(*types: str, **more: str) -> list[tuple[str, str]]:
    return [*(("Content-Type", type_) for type_ in types), *((name.replace("_", "-"), value) for name, value in more.items())]


def pad(text: str, before: int = 0, behind: int = 0) -> bytes:
    return (" " * before + text + " " * behind).encode()


HIDDEN = [
    pytest.param(typed(f"{JSON}; charset=utf-16"), LIST.encode("utf-16"), id="UTF-16"),
    pytest.param(typed(f'{JSON}; charset="UTF-16LE"'), LIST.encode("utf-16-le"), id="UTF-16LE"),
    pytest.param(typed(f"{JSON};charset=utf-32"), LIST.encode("utf-32"), id="UTF-32"),
    pytest.param(typed(f"{JSON}; charset=utf-7"), LIST.encode("utf-7"), id="UTF-7"),
    pytest.param(typed(f"{JSON}; charset=cp037"), LIST.encode("cp037"), id="EBCDIC"),
    pytest.param(typed(f"{JSON}; charset=iso-8859-1"), LIST.encode(), id="Latin 1"),
    pytest.param(typed(f"{JSON}; charset=shift_jis"), LIST.encode(), id="Shift JIS"),
    pytest.param(typed(f"{JSON}; charset=nobody-knows"), LIST.encode(), id="unknown letters"),
    pytest.param(typed(JSON), LIST.encode("utf-16"), id="UTF-16 without a word"),
    pytest.param([], LIST.encode("utf-32-be"), id="UTF-32BE without a type"),
    pytest.param(typed(f"{JSON}, text/plain"), LIST.encode(), id="two types"),
    pytest.param(typed("image/png"), LIST.encode(), id="as an image"),
    pytest.param(typed("text/plain"), LIST.encode(), id="as text"),
    pytest.param(typed("text/plain"), LIST.replace("}]", "},]").replace("?", "?a=b").encode(), id="as text, not quite JSON"),
    pytest.param(typed(JSON), LIST.replace("}]", "},]").encode(), id="not quite JSON"),
    pytest.param(typed(JSON), json.dumps(LIST).encode(), id="in a string"),
    pytest.param(typed(JSON), b"\xef\xbb\xbf" + LIST.encode(), id="behind a byte order mark"),
    pytest.param(typed(JSON), pad(LIST, behind=FAR), id="too large"),
    pytest.param(typed(JSON), pad(LIST, before=FAR), id="too large, at its end"),
    pytest.param([], pad(LIST, before=FAR), id="too large, without a type"),
    pytest.param(typed(JSON), pad(json.dumps(LIST), behind=FAR), id="too large, in a string"),
    pytest.param(typed(JSON), pad(LIST, behind=FAR).decode().encode("utf-16"), id="too large, in UTF-16"),
    pytest.param(typed(JSON, Content_Encoding="gzip"), gzip.compress(pad(LIST, behind=FAR)), id="too large, packed"),
    pytest.param(typed(JSON), b"{" + b" " * FAR + BATCH[1:].encode(), id="far from what it is in"),
    pytest.param(typed(JSON), b'{"batch"' + b"\n" * FAR + BATCH[8:].encode(), id="far from what it is"),
    pytest.param(typed(FORM), b"x=" + b"x" * FAR + b"&" + b"+" * FAR + b"batch=" + quote(LIST).encode(), id="behind blanks"),
    pytest.param(
        typed(PARTS),
        b'--b\r\nContent-Disposition: form-data; x="'
        + b"x" * 3000
        + b'"; name="batch"\r\n\r\n'
        + pad(LIST, behind=FAR)
        + b"\r\n--b--",
        id="behind a long head",
    ),
    pytest.param(typed(JSON), b"[" + b"{}," * 60 + LIST[1:].encode() + b" " * FAR, id="behind nothing"),
    pytest.param(
        typed(JSON, Content_Encoding="gzip"), gzip.compress(b"") * 9 + gzip.compress(LIST.encode()), id="in many members"
    ),
]


@pytest.mark.parametrize("place", [*ROOTS, "/me"])
@pytest.mark.parametrize(("headers", "body"), HIDDEN)
async def test_no_disguise_lets_a_batch_out(place, headers, body, open_house, wire):
    """It is refused in Graph's shape and has its line."""
    house = await open_house(wire.url, server={"max_body": "4KiB", "grace": "1s"})
    answer = await house.ask("POST", place, headers, body)
    [line] = house.logged("decision")

    assert (True, 100) == (answer.status in (400, 413), answer.json["error"]["code"])
    assert ("block", "malformed_request") == (line["verdict"], line["reason"])
    assert [] == [request for request in wire.arrived if request.body]


UNFREE = [
    pytest.param(typed(f"{FORM}; charset=utf-16"), "scrape=true".encode("utf-16"), id="other letters"),
    pytest.param(typed(f"{FORM}, {JSON}"), b"scrape=true", id="two types"),
    pytest.param(typed(JSON), b"5", id="a number"),
    pytest.param(typed(JSON), b'"x"', id="a string"),
    pytest.param(typed("text/plain"), b"see [1]", id="text that has a bracket"),
    pytest.param(typed(FORM), b"id=1%2Fmessages&x=" + b"x" * FAR, id="a number that is named, too large"),
    pytest.param(typed(FORM, Content_Encoding="br"), b"?", id="unknown encoding"),
    pytest.param(typed(FORM, Content_Encoding="gzip"), b"scrape=true", id="no gzip"),
    pytest.param(typed("multipart/form-data"), b"--b--", id="no boundary"),
]


@pytest.mark.parametrize("place", ROOTS)
@pytest.mark.parametrize(("headers", "body"), UNFREE)
async def test_at_the_root_nothing_passes_that_may_be_a_batch(place, headers, body, open_house, wire):
    """There it must show that it is none."""
    house = await open_house(wire.url, server={"max_body": "4KiB", "grace": "1s"})
    answer = await house.ask("POST", place, headers, body)

    assert (True, []) == (answer.status in (400, 413, 415), wire.arrived)
    assert ["malformed_request"] == [line["reason"] for line in house.logged("decision")]


@pytest.mark.parametrize("target", [f"/messages?x={'x' * 99}", "/v23.0/me/messages", "/v23.0/messages"])
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (typed(FORM), b"x=" + b"x" * FAR + f"&id={NUMBER}".encode()),
        (typed(JSON), b'{"x":"' + b"x" * FAR + f'","id":{NUMBER}}}'.encode()),
        (typed(f"{JSON}; charset=utf-16"), f'{{"id":"{NUMBER}"}}'.encode("utf-16")),
        (typed(FORM, Content_Encoding="br"), b"?"),
    ],
)
async def test_a_number_is_found_in_a_body_that_is_not_read(target, headers, body, open_house, wire):
    """An edge lacks nothing but that to be a send."""
    house = await open_house(wire.url, server={"max_body": "4KiB", "grace": "1s"})
    answer = await house.ask("POST", target, headers, body)

    assert (True, []) == (answer.status in (400, 404, 413, 415), [request for request in wire.arrived if request.body])


FILE = os.urandom(3 << 20) + b'{"batch": relative_url &batch= Content-Disposition: form-data; name="batch"\r\n\r\n'
PASSING = [
    pytest.param(
        f"/v23.0/{NUMBER}/media",
        typed(PARTS),
        b'--b\r\nContent-Disposition: form-data; name="messaging_product"\r\n\r\nwhatsapp\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="batch"\r\nContent-Type: video/mp4\r\n\r\n'
        + FILE
        + b"\r\n--b--\r\n",
        id="a large file",
    ),
    pytest.param("/v23.0/upload:1", typed("video/mp4", file_offset="0"), FILE[: 3 << 20], id="a file that is the body"),
    pytest.param(
        "/v23.0/1/message_templates", typed(f"{JSON}; charset=ISO-8859-1"), '{"name":"é"}'.encode("latin-1"), id="Latin 1"
    ),
    pytest.param(
        "/v23.0/1/items_batch",
        typed(JSON),
        json.dumps(
            {"requests": [{"method": "UPDATE", "data": {"id": str(n), "url": f"http://x/{n}"}} for n in range(9000)]}
        ).encode(),
        id="a large catalogue",
    ),
    pytest.param("/v23.0/1/flows", typed(JSON), b"[" + b"[[]]," * 50_000 + b"1]", id="much JSON"),
    pytest.param("/v23.0/1/x", typed(JSON, Content_Encoding="gzip"), gzip.compress(FILE[: 3 << 20]), id="a large file, packed"),
    pytest.param(
        "/v23.0/1/x", typed("text/csv; charset=utf-16"), "a;b\nbatch;1\n".encode("utf-16") * 999, id="a table in UTF-16"
    ),
    pytest.param(
        "/", typed(FORM), b"id=https%3A%2F%2Fexample.com&scrape=true&x=" + b"x" * (2 << 20), id="a large form at the root"
    ),
    pytest.param("/", typed(f"{JSON};charset=utf-8"), b'{"ids":["1","2"],"x":[1]}', id="JSON at the root"),
]


@pytest.mark.parametrize(("target", "headers", "body"), PASSING)
async def test_what_is_no_batch_streams_through_untouched(target, headers, body, bare, wire):
    """Byte for byte, without a line."""
    answer = await bare.ask("POST", target, headers, body)

    assert (200, [(target, body)], []) == (answer.status, [(r.target, r.body) for r in wire.arrived], bare.logged("decision"))
