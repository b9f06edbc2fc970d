"""No side door: whatever Graph may take for a message is decided, and what is none arrives byte for byte."""

from __future__ import annotations

import gzip
import json
import zlib
from urllib.parse import quote, urlencode

import pytest

NUMBER, USER = "106540352242922", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
TOKEN = "EAAsecret123"
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
PARTS = ("Content-Type", "multipart/form-data; boundary=b")
CHUNKED = ("Transfer-Encoding", "chunked")
CLOSED, MALFORMED = (400, 131047), (400, 100)
TEXT = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hi"}}
READ = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in"}
QUERY = urlencode({name: value if isinstance(value, str) else json.dumps(value) for name, value in TEXT.items()})
PLAIN = json.dumps(TEXT).encode()


def operation(url=f"{NUMBER}/messages", method="POST", **more):
    return {"method": method, "relative_url": url, **more}


SEND, READS = operation(body=QUERY), operation("me", "GET")


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def parts(**given: bytes) -> bytes:
    return b"".join(part(name, value) for name, value in given.items()) + b"--b--\r\n"


def chunks(body: bytes, size: int = 50) -> bytes:
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def form(*operations) -> bytes:
    return urlencode({"access_token": TOKEN, "batch": json.dumps(operations)}).encode()


def came(graph):
    return [(request.method, request.target, request.body) for request in graph.arrived]


def decided(house):
    """What the log says of the one request that there was: whose it is, what it is, and what becomes of it."""
    [line] = house.logged("decision")
    return line["phone_number_id"], line["verdict"], line["reason"]


OVERRIDES = [
    pytest.param("?method=post", [], b"", id="query"),
    pytest.param("?Method=POST&x=1", [], b"", id="query in capitals"),
    pytest.param("?method=get&method=post", [], b"", id="query, second"),
    pytest.param("?method=post&method=get", [], b"", id="query, first"),
    pytest.param("?%6dethod=%70ost", [], b"", id="query in percent signs"),
    pytest.param("?method=%20POST+", [], b"", id="query with blanks"),
    pytest.param("?method[]=post", [], b"", id="query in brackets"),
    pytest.param("", [("X-HTTP-Method-Override", "POST")], b"", id="header"),
    pytest.param("", [("x-http-method", "post")], b"", id="another header"),
    pytest.param("", [("X-Method-Override", "POST")], b"", id="a third"),
    pytest.param("", [("X_HTTP_METHOD_OVERRIDE", "POST")], b"", id="header with low lines"),
    pytest.param("", [FORM], b"method=post&", id="form"),
    pytest.param("", [FORM], b"%6Dethod=POST&", id="form in percent signs"),
    pytest.param("", [], b"method=post&", id="form without a type"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(("query", "headers", "prefix"), OVERRIDES)
async def test_a_method_that_is_told_otherwise_is_believed(method, query, headers, prefix, house, graph):
    """A request that the upstream may take for a POST is a send, wherever its parameters are."""
    target = SENDS + (f"{query}&{QUERY}" if query else "" if prefix else f"?{QUERY}")
    answer = await house.ask(method, target, headers, prefix + QUERY.encode() if prefix else b"")

    assert (400, [], (NUMBER, "block", "outside_customer_service_window")) == (answer.status, graph.arrived, decided(house))
    assert method == "HEAD" or answer.error == CLOSED


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([JSON], json.dumps({**TEXT, "method": "POST"}).encode()),
        (
            [PARTS],
            parts(method=b"post", **{k: v.encode() if isinstance(v, str) else json.dumps(v).encode() for k, v in TEXT.items()}),
        ),
        ([FORM, ("Content-Encoding", "gzip")], gzip.compress(b"method=post&" + QUERY.encode(), mtime=0)),
        ([FORM, CHUNKED], chunks(b"method=post&" + QUERY.encode())),
    ],
    ids=["JSON", "multipart", "gzip", "chunked"],
)
async def test_a_method_is_read_in_any_body(headers, body, house, graph):
    """Graph takes the parameter from where all of them are."""
    answer = await house.ask("PUT", SENDS, headers, body)

    assert (CLOSED, []) == (answer.error, graph.arrived)


@pytest.mark.parametrize("override", ["?method=get", "?method=delete"])
@pytest.mark.parametrize("headers", [[JSON], [JSON, ("X-HTTP-Method-Override", "GET")]], ids=["alone", "and a header"])
async def test_a_post_stays_one_whatever_it_says(override, headers, house, graph):
    """A server that does not know the override would send."""
    answer = await house.ask("POST", SENDS + override, headers, PLAIN)

    assert (CLOSED, []) == (answer.error, graph.arrived)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        (f"{SENDS}?{QUERY}", [], b""),
        (f"{SENDS}?method=get&{QUERY}", [], b""),
        (SENDS, [JSON], PLAIN),
        (SENDS, [FORM], b"method=delete&" + QUERY.encode()),
        (SENDS, [FORM], b"note=method%3Dpost"),
        (SENDS, [("X-HTTP-Method-Override", "PUT")], PLAIN),
        (SENDS, [], b"\x00\xff"),
        (SENDS, [JSON, CHUNKED], chunks(PLAIN)),
        (SENDS, [("Content-Encoding", "gzip")], gzip.compress(PLAIN, mtime=0)),
    ],
)
async def test_another_method_passes_untouched(method, target, headers, body, bare, wire):
    """What no server takes for a POST is no send."""
    answer = await bare.ask(method, target, headers, body)
    [request] = wire.arrived
    plain = PLAIN if CHUNKED in headers else body

    assert (200, method, target, plain, {}, []) == (
        answer.status,
        request.line.split()[0],
        request.target,
        request.body,
        answer.ours,
        bare.logged("decision"),
    )


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ([FORM], b"method=post&x=" + b"x" * 5000, 413),
        ([FORM, CHUNKED], chunks(b"method=post&x=" + b"x" * 5000), 413),
        ([FORM, ("Content-Encoding", "br")], b"?", 415),
        ([FORM, ("Content-Encoding", "gzip")], b"not gzip", 400),
        ([FORM, ("Content-Encoding", "gzip")], gzip.compress(b"method=post&x=" + b"x" * 5000, mtime=0), 413),
        ([PARTS], b"method", 400),
    ],
)
async def test_a_body_that_may_say_post_and_cannot_be_read_is_refused(headers, body, status, open_house, graph):
    """Nobody can tell that it is not a send."""
    house = await open_house(graph.url, server={"max_body": "4KiB", "grace": "1s"})
    answer = await house.ask("PUT", SENDS, headers, body)

    assert (status, [], "malformed_request") == (answer.error[0], graph.arrived, answer["Gatekeeper-Reason"])
    assert (NUMBER, "block", "malformed_request") == decided(house)


async def test_a_send_by_another_method_goes_out_as_it_came(house, graph):
    """It is decided, priced and followed up like any send, and its method and target stay the caller's."""
    await house.wrote()
    target = f"{SENDS}?method=post&access_token={TOKEN}&{QUERY}"
    answer = await house.ask("GET", target)
    [line] = house.logged("decision")

    assert (200, [("GET", target, b"")], "within_free_tier") == (answer.status, came(graph), answer["Gatekeeper-Reason"])
    assert ("4915…78", "text", 200) == (line["recipient"], line["type"], line["upstream_status"])
    assert {"content-length", "content-type"}.isdisjoint(name.lower() for name, _ in graph.arrived[0].headers)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"messaging_product":"whatsapp"}'])
async def test_a_send_may_stand_in_the_query(body, house, graph):
    """With or without a body its parameters are seen."""
    blocked = await house.ask("POST", f"{SENDS}?{QUERY}", [JSON], body)
    await house.wrote()
    allowed = await house.ask("POST", f"{SENDS}?{QUERY}", [JSON], body)

    assert (CLOSED, 200, [("POST", f"{SENDS}?{QUERY}", body)]) == (blocked.error, allowed.status, came(graph))


@pytest.mark.parametrize("query", ["to=1", "type=order", QUERY.replace(USER, "1"), "batch=[]", "to[]=1", "Type=template"])
async def test_a_query_that_says_otherwise_than_the_body_is_refused(query, house, graph):
    """Nobody knows which of the two Graph would take."""
    await house.wrote()
    answer = await house.ask("POST", f"{SENDS}?{query}", [JSON], PLAIN)

    assert (MALFORMED, []) == (answer.error, graph.arrived)


async def test_a_repeat_is_one_by_its_query_too(house, graph):
    """Where all of a message stands in the query, another query is another message."""
    await house.wrote()
    key = ("Idempotency-Key", "k1")
    asked = [await house.ask("POST", f"{SENDS}?{query}", [key]) for query in (QUERY, QUERY, QUERY + "&x=1")]

    assert ([200, 200, 409], 1) == ([answer.status for answer in asked], len(graph.arrived))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("Content-Type", "text/plain")], json.dumps({**READ, "x": f"&{QUERY}&y="}).encode()),
        ([JSON, ("Content-Type", "application/x-www-form-urlencoded")], PLAIN),
        ([("Content-Type", "application/json; charset=utf-16")], json.dumps(TEXT).encode("utf-16")),
        ([FORM], urlencode(READ).encode() + b"&type[]=text"),
        ([FORM], urlencode(READ).encode() + b"&batch=" + quote(json.dumps([SEND])).encode()),
        ([JSON], json.dumps({**READ, "Type": "text"}).encode()),
        ([JSON], json.dumps({**READ, "batch": [SEND]}).encode()),
        ([JSON], json.dumps({**READ, "image": {"id": "1"}, "to": USER}).encode()),
        ([JSON, ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")], PLAIN),
    ],
)
async def test_nothing_passes_for_a_receipt_that_may_be_a_message(headers, body, house, graph):
    """What can be read in two ways is refused, with Graph's own code for a request that is wrong."""
    await house.wrote()
    answer = await house.ask("POST", SENDS, headers, body)

    assert (400, True, []) == (answer.status, answer.error[1] in (100, 131008), graph.arrived)


async def test_a_byte_order_mark_goes_out_with_its_body(house, graph):
    """It is read over, and not taken away."""
    await house.wrote()
    answer = await house.send(b"\xef\xbb\xbf" + PLAIN)

    assert (200, [b"\xef\xbb\xbf" + PLAIN]) == (answer.status, [request.body for request in graph.arrived])


@pytest.mark.parametrize(
    "target",
    [
        f"/v23.0/{NUMBER}/%256dessages",
        f"/v23.0/{NUMBER}%252Fmessages",
        f"/v23.0/{NUMBER}/messages;v=1",
        f"/v23.0/{NUMBER};v=1/messages",
        f"/v23.0\\{NUMBER}\\messages",
        f"/v23.0/{NUMBER}/messages%20",
        f"/v23.0/{NUMBER}/messages%00.png",
        f"/v23.0/{NUMBER}/messages%3Fa=b",
        f"/v23.0/{NUMBER}/media/..;/messages",
        f"//graph.facebook.com/v23.0/{NUMBER}/messages",
        f"/https://graph.facebook.com/v23.0/{NUMBER}/messages",
        f"/V23.0/{NUMBER}/MESSAGES/",
    ],
)
async def test_no_spelling_of_the_path_hides_a_send(target, house, graph):
    """Whatever any server on the way to Graph would read as a send is one."""
    answer = await house.send(TEXT, path=target)

    assert (CLOSED, []) == (answer.error, graph.arrived)


@pytest.mark.parametrize("target", ["/v23.0/me?", "/?", "/v23.0/me??&=", SENDS + "?"])
async def test_an_empty_query_goes_out_as_one(target, house, graph):
    """Not even a question mark is lost on the way."""
    await house.wrote()
    await house.send(TEXT, path=target)

    assert [target] == [request.target for request in graph.arrived]


@pytest.mark.parametrize("method", ["POST", "CONNECT"])
@pytest.mark.parametrize(
    "target",
    [
        f"http://graph.facebook.com{SENDS}",
        f"https://x{SENDS}",
        NUMBER,
        f"/v23.0/{NUMBER}/mess\tages",
        f"{SENDS}#x",
        f"/a#{SENDS}",
        f"{SENDS}\x7f",
        f"/v23.0/{NUMBER}/ messages",
    ],
)
async def test_a_target_that_is_no_path_goes_nowhere(method, target, house, graph):
    """It is refused, or decided when it is a send all the same."""
    answer = await house.ask(method, target, [JSON], PLAIN)

    assert (400, []) == (answer.status, graph.arrived)


@pytest.mark.parametrize(
    "head",
    [
        f"post {SENDS} HTTP/1.1",
        f"Post {SENDS} HTTP/1.1",
        f"POST {SENDS} HTTP/1.0",
        f"POST  {SENDS}  HTTP/1.1",
        f"POST {SENDS} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket",
        f"POST {SENDS} HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
        f"GET {SENDS} HTTP/1.1\r\nConnection: X-HTTP-Method-Override\r\nX-HTTP-Method-Override: POST",
    ],
)
async def test_no_way_of_asking_hides_a_send(head, house, graph):
    """Whatever the head of a request is like, its message is decided or nobody gets it."""
    answer = await house.exchange(f"{head}\r\nHost: x\r\nContent-Length: {len(PLAIN)}\r\n\r\n".encode() + PLAIN)

    assert (400, []) == (answer.status, graph.arrived)


async def test_a_tunnel_is_refused(bare, wire):
    """What goes through one nobody could read."""
    answer = await bare.ask("CONNECT", "/v23.0/me", body=b"x")

    assert (400, []) == (answer.error[0], wire.arrived)


def content(type_):
    """A member of a type, as Meta asks for it."""
    known = {
        "text": {"body": "hi"},
        "location": {"latitude": 1, "longitude": 1},
        "contacts": [{"name": {"formatted_name": "Ann"}}],
        "interactive": {"type": "button", "action": {}},
        "reaction": {"message_id": "wamid.in", "emoji": ""},
    }
    return known.get(type_, {"id": "1"})


TYPES = ["text", "image", "video", "audio", "document", "sticker", "location", "contacts", "interactive", "reaction", "hologram"]


@pytest.mark.parametrize("more", [{}, {"recipient_type": "group", "to": "Y2FwaV9ncm91cDo"}], ids=["user", "group"])
@pytest.mark.parametrize("type_", TYPES)
async def test_every_type_is_a_message(type_, more, house, graph):
    """What is no template needs the window, one that Meta adds tomorrow too, and whoever it is to."""
    answer = await house.send({**TEXT, "type": type_, type_: content(type_), **more})

    assert (CLOSED, [], type_) == (answer.error, graph.arrived, house.logged("decision")[0]["type"])


async def test_a_type_of_tomorrow_is_counted(house):
    """Operations see that Meta has something that the gate does not know."""
    await house.wrote()
    answer = await house.send({**TEXT, "type": "hologram", "hologram": {}})
    metrics = (await house.admin("/metrics")).body.decode()

    assert (200, True) == (answer.status, "gatekeeper_unknown_types_total 1.0" in metrics)


@pytest.mark.parametrize("more", [{}, {"typing_indicator": {"type": "text"}}])
async def test_a_receipt_passes_and_counts_for_nothing(more, house, graph):
    """It needs no window and takes nothing of the free tier."""
    await house.wrote()
    answers = [await house.send({**READ, **more}) for _ in range(3)]

    assert ({200}, {"not_a_message"}, 3, 999) == (
        {answer.status for answer in answers},
        {answer["Gatekeeper-Reason"] for answer in answers},
        len(graph.arrived),
        await house.free_remaining(),
    )


BATCH = json.dumps([READS, SEND]).encode()
CARRIERS = [
    pytest.param("", [FORM], form(READS, SEND), id="form"),
    pytest.param("", [PARTS], parts(access_token=TOKEN.encode(), batch=BATCH), id="multipart"),
    pytest.param("", [PARTS], part("file1", b"\xff\x00", '; filename="a"') + parts(batch=BATCH), id="multipart with a file"),
    pytest.param("", [JSON], json.dumps({"batch": [READS, SEND]}).encode(), id="JSON"),
    pytest.param("", [JSON], json.dumps({"batch": BATCH.decode()}).encode(), id="JSON in a string"),
    pytest.param("", [], form(READS, SEND), id="form without a type"),
    pytest.param("", [FORM, ("Content-Encoding", "gzip")], gzip.compress(form(READS, SEND)), id="gzip"),
    pytest.param("", [FORM, ("Content-Encoding", "deflate")], zlib.compress(form(READS, SEND))[2:-4], id="raw deflate"),
    pytest.param(
        "", [FORM, ("Content-Encoding", "deflate, gzip")], gzip.compress(zlib.compress(form(READS, SEND))), id="packed twice"
    ),
    pytest.param("", [FORM, CHUNKED], chunks(form(READS, SEND)), id="chunked"),
    pytest.param("", [FORM, CHUNKED], chunks(form(READS, SEND), 1), id="byte by byte"),
    pytest.param(
        "",
        [FORM, CHUNKED, ("Content-Encoding", "deflate")],
        chunks(zlib.compress(form(READS, SEND))[2:-4], 1),
        id="raw deflate, byte by byte",
    ),
    pytest.param(
        "",
        [FORM, CHUNKED, ("Content-Encoding", "x-gzip")],
        chunks(gzip.compress(form(READS, SEND)[:50]) + gzip.compress(form(READS, SEND)[50:]), 7),
        id="gzip of two members, in chunks",
    ),
    pytest.param("?batch=" + quote(BATCH.decode()), [], b"", id="query"),
    pytest.param("?access_token=x&b%61tch=" + quote(BATCH.decode()), [JSON], b"{}", id="query beside a body"),
    pytest.param("", [FORM], form(READS, operation(method="GET", body="method=post&" + QUERY)), id="method override"),
    pytest.param("", [FORM], form(READS, operation(f"https://graph.facebook.com/v9.0/{NUMBER}/%6Dessages")), id="absolute"),
    pytest.param("", [FORM], form(READS, operation("?batch=" + quote(json.dumps([SEND])))), id="batch in a batch"),
    pytest.param("", [FORM], form(READS, operation("me", body="batch=" + quote(json.dumps([SEND])))), id="batch in a body"),
    pytest.param("", [FORM], form(READS, operation("{result=a:$.id}/messages")), id="reference"),
    pytest.param("", [FORM], form(READS, operation(f"messages?id={NUMBER}")), id="number in a parameter"),
    pytest.param("", [FORM], form(READS, operation(f"{NUMBER}/marketing_messages")), id="marketing"),
]
PLACES = ["/", "/v23.0", "/v23.0/", "/my/prefix/v23.0/", "/me", f"/v23.0/{NUMBER}/media"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("query", "headers", "body"), CARRIERS)
async def test_a_batch_with_a_message_in_it_is_refused(place, query, headers, body, house, graph):
    """Graph takes batches at any endpoint; one that may send is refused like a send, and says which operation it is."""
    answer = await house.ask("POST", place + query, headers, body)
    details = answer.json["error"]["error_data"]["details"]

    assert (MALFORMED, "malformed_request", "block", []) == (
        answer.error,
        answer["Gatekeeper-Reason"],
        answer["Gatekeeper-Verdict"],
        graph.arrived,
    )
    assert ("Operation batch[1", True) == (details[:17], details.endswith("Send each message by itself to …/messages."))
    assert ("block", "malformed_request") == decided(house)[1:]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("place", ["/", "/me"])
async def test_a_batch_by_another_method_is_refused_too(method, place, house, graph):
    """Whether Graph would read it is nothing to rely on."""
    answers = [
        await house.ask(method, f"{place}?method=post&batch=" + quote(BATCH.decode())),
        await house.ask(method, place, [FORM], b"method=post&" + form(SEND)),
    ]

    assert ([MALFORMED] * 2, []) == ([answer.error for answer in answers], graph.arrived)


GENTLE = [
    READS,
    operation("me?fields=id", "GET"),
    operation(f"{NUMBER}/messages", "GET"),
    operation(f"{NUMBER}/messages", "DELETE"),
    operation("me/feed", body="message=see%20/1/messages"),
    operation("?ids={result=a:$.data.*.id}", "GET"),
    operation(f"{NUMBER}/media", attached_files="file1"),
]
HARMLESS = [
    pytest.param("", [FORM], form(*GENTLE), id="form"),
    pytest.param(
        "", [PARTS], part("file1", b"\xff\x00", '; filename="a"') + parts(batch=json.dumps(GENTLE).encode()), id="multipart"
    ),
    pytest.param("", [JSON], b' {"batch" :' + json.dumps(GENTLE).encode() + b', "x":1}\n', id="JSON"),
    pytest.param("", [FORM, ("Content-Encoding", "gzip")], gzip.compress(form(*GENTLE)), id="gzip"),
    pytest.param("?a=b&batch=" + quote(json.dumps(GENTLE)), [], b"", id="query"),
    pytest.param("", [FORM], b"batch=", id="empty"),
    pytest.param("", [FORM], b"batch=[]&batch=%5B%5D", id="no operation"),
    pytest.param("", [FORM], b"a=b&scrape=true&id=https%3A%2F%2Fexample.com%2F1", id="form without one"),
    pytest.param("", [JSON], b'{"a":1}', id="JSON without one"),
    pytest.param("", [JSON], b'{"a":', id="broken JSON without one"),
    pytest.param("", [("Content-Type", "image/png")], b"\x89PNG\xff" * 9, id="image"),
    pytest.param("", [], b"", id="nothing"),
    pytest.param("", [FORM], b"x=%FF&y=\xff", id="stray bytes"),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("query", "headers", "body"), HARMLESS)
async def test_what_sends_nothing_passes_untouched(place, query, headers, body, bare, wire):
    """A batch of other requests, and a request to the root that is no batch, arrive byte for byte, and nobody decides."""
    answer = await bare.ask("POST", place + query, headers, body)
    [request] = wire.arrived
    kept = {name.lower() for name, _ in headers} | {"content-length"}

    assert (200, {}, []) == (answer.status, answer.ours, bare.logged("decision"))
    assert ("POST", place + query, body) == (request.line.split()[0], request.target, request.body)
    assert kept == {name.lower() for name, _ in request.headers} - {"host", "gatekeeper-hop"}


@pytest.mark.parametrize("place", ["/", "/v23.0/", "/a/prefix/v23.0"])
@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param([FORM], b"batch=%5B%7B%22method", 400, id="cut off"),
        pytest.param([FORM], b"batch=hello", 400, id="no JSON"),
        pytest.param([FORM], b"batch=[1]", 400, id="no operation"),
        pytest.param([FORM], b"batch[0][method]=POST", 400, id="brackets"),
        pytest.param([JSON], b'{"batch":[{"method":', 400, id="broken JSON"),
        pytest.param([JSON], b'{"b\\u0061tch":[{"method":', 400, id="broken JSON in escapes"),
        pytest.param([("Content-Type", "application/json; charset=utf-16")], '{"batch":[]}'.encode("utf-16"), 400, id="UTF-16"),
        pytest.param([PARTS], part("batch", b"[]"), 400, id="multipart without an end"),
        pytest.param([("Content-Type", "multipart/form-data")], parts(batch=b"[]"), 400, id="multipart without a boundary"),
        pytest.param([FORM, ("Content-Encoding", "gzip")], b"batch=[]", 400, id="no gzip"),
        pytest.param([FORM, ("Content-Encoding", "gzip")], gzip.compress(form(READS))[:-9], 400, id="half of gzip"),
        pytest.param([FORM, ("Content-Encoding", "br")], b"?", 415, id="unknown encoding"),
        pytest.param([FORM], b"batch=%5B%5D&x=" + b"x" * 5000, 413, id="too large"),
        pytest.param([FORM], b"x=" + b"x" * 9000 + b"&batch=%5B%5D", 413, id="too large, and last"),
        pytest.param([FORM, CHUNKED], chunks(b"x=" + b"x" * 9000 + b"&b%61tch=%5B%5D"), 413, id="too large, in chunks"),
        pytest.param(
            [FORM, ("Content-Encoding", "gzip")], gzip.compress(b"batch=[]&x=" + b"x" * 5000), 413, id="too large, unpacked"
        ),
        pytest.param([FORM], form(*[READS] * 501)[:4000], 400, id="too much"),
    ],
)
async def test_at_the_root_what_cannot_be_read_is_refused(place, headers, body, status, open_house, graph):
    """It may hold a batch, and nobody can show that the batch is harmless."""
    house = await open_house(graph.url, server={"max_body": "4KiB", "grace": "1s"})
    answer = await house.ask("POST", place, headers, body)

    assert ((status, 100), "malformed_request", []) == (answer.error, answer["Gatekeeper-Reason"], graph.arrived)
    assert ("", "block", "malformed_request") == decided(house)


@pytest.mark.parametrize(
    ("place", "headers", "body"),
    [
        ("/", [FORM], b"x=" + b"x" * 9000),
        ("/v23.0", [JSON, CHUNKED], b'{"x":"' + b"x" * 9000 + b'"}'),
        ("/me", [FORM], b"batch=hello"),
        ("/me", [JSON], b'{"batch":'),
        ("/me", [("Content-Encoding", "br")], b"?"),
        ("/me", [("Content-Encoding", "gzip")], b"no gzip"),
        ("/me", [JSON], b'{"batch":"' + b"x" * 9000 + b'"}'),
        ("/me", [FORM], b"x=a+batch+of+9+messages&y=" + b"x" * 9000),
        ("/v23.0/1/media", [PARTS], part("file", b"name=batch relative_url " * 900, '; filename="batch"') + b"--b--"),
        ("/v23.0/1/media", [], b'{"batch\\":' * 900 + b"relative_url"),
    ],
)
async def test_what_can_be_no_batch_passes_in_any_size(place, headers, body, open_house, wire):
    """At the root it has no mention of one; elsewhere it may, as long as it is none."""
    house = await open_house(wire.url, server={"max_body": "4KiB", "grace": "1s"})
    answer = await house.ask("POST", place, headers, chunks(body, 1000) if CHUNKED in headers else body)

    assert (200, [body], []) == (answer.status, [request.body for request in wire.arrived], house.logged("decision"))


LARGE = b"x" * (3 << 20)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param([FORM], b"x=" + LARGE + b"&batch=" + quote(BATCH.decode()).encode(), id="form"),
        pytest.param([FORM], b"+B%61tch=" + quote(BATCH.decode()).encode() + b"&x=" + LARGE, id="form, first"),
        pytest.param([JSON], b'{"x":"' + LARGE + b'","batch" : ' + BATCH + b"}", id="JSON"),
        pytest.param([JSON], b'{"x":"' + LARGE + b'","b\\u0061tch":' + BATCH + b"}", id="JSON in escapes"),
        pytest.param([], b'{"x":"' + LARGE + b'","batch":' + BATCH + b"}", id="no type"),
        pytest.param([PARTS], part("file1", LARGE, '; filename="a"') + parts(batch=BATCH), id="multipart"),
        pytest.param(
            [PARTS],
            part("file1", LARGE, '; filename="a"') + part("batch", BATCH, "\r\nContent-Type: text/json") + b"--b--",
            id="multipart with a type",
        ),
        pytest.param([FORM, ("Content-Encoding", "gzip")], gzip.compress(b"x=" + LARGE + b"&" + form(SEND)), id="gzip"),
        pytest.param([FORM, CHUNKED], chunks(b"x=" + LARGE + b"&" + form(SEND), 40_000), id="chunked"),
    ],
)
async def test_a_large_batch_is_broken_off_before_its_end(headers, body, bare, wire):
    """Elsewhere than at the root a body streams through; one that shows itself a batch never arrives whole."""
    answer = await bare.ask("POST", "/v23.0/me", headers, body)

    assert ((413, 100), ("", "block", "malformed_request")) == (answer.error, decided(bare))
    assert [] == [request for request in wire.arrived if request.body]


@pytest.mark.parametrize("place", ["/", "/me"])
async def test_a_batch_that_nobody_blocks_is_said_to_be_one(place, open_house, graph):
    """With `policy.mode = "annotate"` it goes out byte for byte, with a line and headers like any send that would be blocked."""
    house = await open_house(graph.url, policy={"mode": "annotate"})
    body = form(READS, SEND)
    answer = await house.ask("POST", place, [FORM], body)

    assert (200, [("POST", place, body)]) == (answer.status, came(graph))
    assert ("annotate", "malformed_request", "unknown") == tuple(
        answer[f"Gatekeeper-{name}"] for name in ("Verdict", "Reason", "Charged")
    )
    assert (NUMBER, "annotate", "malformed_request") == decided(house)


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("POST", "/", [FORM], b"batch=%5B&x=" + b"x" * 9000),
        ("POST", "/", [FORM, ("Content-Encoding", "br")], b"?"),
        ("POST", "/", [JSON], b'{"batch":['),
        ("POST", "/me", [JSON], b'{"x":"' + b"x" * 9000 + b'","batch":' + BATCH + b"}"),
        ("POST", "/?batch=" + quote(BATCH.decode()), [], b""),
        ("PUT", SENDS, [FORM], b"x=" + b"x" * 9000),
    ],
)
async def test_what_cannot_be_read_passes_too_where_nothing_is_blocked(method, target, headers, body, open_house, wire):
    """It arrives whole, and with a line."""
    house = await open_house(wire.url, policy={"mode": "annotate"}, server={"max_body": "4KiB", "grace": "1s"})
    answer = await house.ask(method, target, headers, body)

    assert (200, [(target, body)]) == (answer.status, [(request.target, request.body) for request in wire.arrived])
    assert ("annotate", "annotate") == (answer["Gatekeeper-Verdict"], decided(house)[1])


@pytest.mark.parametrize("mode", ["enforce", "annotate"])
async def test_a_dry_run_of_a_batch_sends_nothing(mode, open_house, graph):
    """It answers with the decision, as for a send."""
    house = await open_house(graph.url, policy={"mode": mode})
    answers = [await house.ask("POST", place, [FORM, ("Gatekeeper-Dry-Run", "true")], form(SEND)) for place in ("/", "/me")]
    verdict = {"enforce": "block", "annotate": "annotate"}[mode]

    assert ([(200, verdict, "malformed_request")] * 2, []) == (
        [(answer.status, answer.json["verdict"], answer.json["reason"]) for answer in answers],
        graph.arrived,
    )


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("POST", f"{SENDS}?access_token={TOKEN}", [JSON], PLAIN),
        ("POST", SENDS, [JSON], json.dumps({**TEXT, "access_token": TOKEN}).encode()),
        ("POST", SENDS, [FORM], f"access_token={TOKEN}&{QUERY}".encode()),
        ("GET", f"{SENDS}?method=post&access_token={TOKEN}&{QUERY}", [], b""),
        ("POST", f"{SENDS}?access_token={TOKEN}&to=1", [JSON], PLAIN),
        ("POST", f"/?access_token={TOKEN}", [FORM], form(SEND)),
        ("POST", f"/me?access_token={TOKEN}", [FORM], form(operation(body=f"access_token={TOKEN}&" + QUERY))),
        ("POST", f"/?access_token={TOKEN}", [FORM], b"batch=" + TOKEN.encode()),
        ("POST", f"/messages?id={NUMBER}&access_token={TOKEN}", [], b""),
    ],
)
@pytest.mark.parametrize("mode", ["enforce", "annotate"])
async def test_a_token_is_nobodys_business(mode, method, target, headers, body, open_house, graph):
    """It travels on with what it came in, and stands in no log, error, header or metric."""
    house = await open_house(graph.url, policy={"mode": mode, "cold_start": "closed"})
    answer = await house.ask(method, target, headers, body)
    metrics = await house.admin("/metrics")
    said = [house.written.getvalue(), metrics.body.decode(), str(answer.headers)]
    said += [answer.body.decode()] if mode == "enforce" else []

    assert [False] * len(said) == [TOKEN in text for text in said]
    assert ([] if mode == "enforce" else [(method, target, body)]) == came(graph)


async def test_an_upstream_out_of_reach_says_nothing_of_a_token(open_house):
    """What went wrong is told without the target."""
    house = await open_house("http://127.0.0.1:1", policy={"cold_start": "unknown"})
    answers = [await house.ask("POST", f"{path}?access_token={TOKEN}", [JSON], PLAIN) for path in (SENDS, "/me", "/")]

    assert ({502}, False) == ({answer.status for answer in answers}, TOKEN in house.written.getvalue() + str(answers))
