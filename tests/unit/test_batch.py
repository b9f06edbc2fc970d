"""What a request carries that is not itself a send: batches, and numbers that a parameter names."""

import json
import time
from urllib.parse import quote, urlencode

import pytest

from gatekeeper.meta.batch import Found, Pairs, asked, find, mentions, parameters
from gatekeeper.meta.bodies import UnreadableBody
from gatekeeper.meta.paths import Target

NUMBER = "106540352242922"
SENDS = f"v23.0/{NUMBER}/messages"
TARGET = Target(NUMBER, marketing_api=False)
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MESSAGE = 'messaging_product=whatsapp&to=1&type=text&text={"body":"hi"}'


def operation(url=SENDS, method="POST", **more):
    return {"method": method, "relative_url": url, **more}


def among(*operations, url="/", method="POST", headers=()) -> Found | None:
    """What is found in a batch, as JSON."""
    return found_in(json.dumps({"batch": operations}).encode(), JSON, url=url, method=method, headers=headers)


def found_in(body: bytes, content_type: str, *, url="/", method="POST", headers=()) -> Found | None:
    return find(asked(url, method, headers).telling(parameters(body, content_type)))


@pytest.mark.parametrize(
    "given",
    [
        operation(body=MESSAGE),
        operation(),
        operation("/" + SENDS),
        operation(f"{NUMBER}/messages"),
        operation(f"{NUMBER}/messages?access_token=x&to=1"),
        operation(f"v23.0/{NUMBER}/marketing_messages"),
        operation(f"https://graph.facebook.com/{SENDS}"),
        operation(f"//graph.facebook.com/{SENDS}"),
        operation(f"{NUMBER}/%6Dessages"),
        operation(f"{NUMBER}%252Fmessages"),
        operation(f"{NUMBER}/media/../messages"),
        operation(f"{NUMBER}/Messages/"),
        operation(f"{NUMBER}\\messages;x"),
        operation(method="post"),
        operation(method=" Post "),
        operation(f"{SENDS}?method=post", method="GET"),
        operation(f"{SENDS}?method=get&method=post", method="GET"),
        operation(method="GET", body="method=post&" + MESSAGE),
        operation(method="PUT", body='{"method":"POST"}'),
        operation(method="PUT", body={"method": "POST"}),
        operation(method="GET", headers=[{"name": "X-HTTP-Method-Override", "value": "POST"}]),
        operation(method="GET", headers={"X-HTTP-Method": "POST"}),
        operation(method="GET", headers=["X-Method-Override: POST"]),
        operation(f"{SENDS}?{{result=first:$.method}}", method="GET"),
        operation(f"{SENDS}?a=%7Bresult%3Dfirst:$.method%7D", method="GET"),
        operation(method="{result=first:$.method}"),
        operation(method="GET", body="a={result=first:$.method}"),
        operation("{result=first:$.id}/messages"),
        operation("{result=first:$.path}"),
        operation("%7B result = first:$.path}"),
        {"METHOD": "POST", "Relative_URL": SENDS},
        {"method": "POST", " relative_url": SENDS},
        operation("?batch=" + quote(json.dumps([operation()])), method="POST"),
        operation("", body=urlencode({"batch": json.dumps([operation()])})),
        operation("me", body=json.dumps({"batch": [operation()]})),
        operation("me", body={"batch": json.dumps([json.dumps(operation())])}),
        {"method": "POST", "body": urlencode({"batch": json.dumps([operation()])})},
        operation(f"v23.0/messages?id={NUMBER}"),
        operation(f"?id={NUMBER}/messages"),
        operation("messages", body=f"id={NUMBER}"),
        operation("messages", body={"ids": ["x", NUMBER]}),
        operation("messages", body=f'ids=["x","{NUMBER}"]'),
        operation("messages", body=f"ids=x, {NUMBER}"),
        json.dumps(operation()),
    ],
    ids=lambda given: json.dumps(given)[:90],
)
def test_an_operation_that_may_send_is_found(given):
    """However it is written, what Graph may take for a send is one, and is named by its place."""
    found = among(operation("me", "GET"), given)

    assert isinstance(found, Found)
    assert (400, True) == (found.status, "…/messages" in found.details)
    assert found.target in (TARGET, Target(NUMBER, marketing_api=True), None)


@pytest.mark.parametrize(
    ("operations", "place"),
    [
        ([operation()], "batch[0]"),
        ([operation("me", "GET"), operation("me", "GET"), operation()], "batch[2]"),
        ([operation("me", "GET"), operation(f"messages?id={NUMBER}")], "batch[1]"),
        ([operation("?batch=" + quote(json.dumps([operation("me", "GET"), operation()])))], "batch[0].batch[1]"),
    ],
)
def test_the_operation_is_named_by_its_place(operations, place):
    """The caller learns which of them has to go by itself, and the log whose number it is."""
    found = among(*operations)

    assert (f"Operation {place} may send", TARGET) == (found.details.partition(" a ")[0], found.target)


HARMLESS = [
    operation("me", "GET"),
    operation("me?fields=id,name", "GET"),
    operation(SENDS, "GET"),
    operation(SENDS, "DELETE"),
    operation(SENDS, "PUT", body=MESSAGE),
    operation(f"{SENDS}?method=get", "GET"),
    operation("me/feed", body="message=Hello&link=http://x/1/messages"),
    operation("me/feed", body="message={result=first:$.name}"),
    operation("me/feed?message={result=first:$.name}"),
    operation("?ids={result=first:$.data.*.id}", "GET"),
    operation("{result=first:$.id}", "GET"),
    operation(f"{NUMBER}/media", body="type=image/png", attached_files="file1"),
    operation(f"{NUMBER}/messages_history"),
    operation(f"{NUMBER}", body="about=x"),
    operation(f"x?path=/{NUMBER}/messages"),
    operation("me/feed", body='{"message":'),
    operation("me", body=None, headers=None),
    operation(4, "GET"),
    operation("me?batch=", "GET"),
    operation("me", body="batch=[]"),
    operation("me", body='{"batch":null}'),
    json.dumps(operation("me", "GET")),
    {},
    None,
]


@pytest.mark.parametrize("given", HARMLESS, ids=lambda given: json.dumps(given)[:90])
def test_an_operation_that_sends_nothing_is_left_alone(given):
    """Reading, uploading and everything else that is not a message may be batched."""
    assert among(given, given) is None


def test_a_batch_of_them_all_is_left_alone():
    """They do no more together than each by itself."""
    assert among(*HARMLESS) is None


BATCH = json.dumps([operation("me", "GET"), operation()])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(urlencode({"batch": BATCH}).encode(), FORM, id="form"),
        pytest.param(
            urlencode({"access_token": "x", "batch": BATCH, "include_headers": "false"}).encode(), FORM, id="among others"
        ),
        pytest.param(b"batch=%5B%5D&" + urlencode({"batch": BATCH}).encode() + b"&batch=", FORM, id="one of several"),
        pytest.param(b"b%61tch=" + quote(BATCH).encode(), FORM, id="name in percent signs"),
        pytest.param(b"+batch=" + quote(BATCH).encode(), FORM, id="name with a blank"),
        pytest.param(b"BATCH=" + quote(BATCH).encode(), FORM, id="name in capitals"),
        pytest.param(b"asyncbatch=" + quote(BATCH).encode(), FORM, id="asynchronous"),
        pytest.param(b"adbatch=" + quote(BATCH).encode(), FORM, id="of the Marketing API"),
        pytest.param(b"a=%FF&b=\xff&batch=" + quote(BATCH).encode(), FORM, id="beside stray bytes"),
        pytest.param(urlencode({"batch": BATCH}).encode(), "", id="form without a type"),
        pytest.param(urlencode({"batch": BATCH}).encode(), "text/plain", id="form as text"),
        pytest.param(json.dumps({"batch": json.loads(BATCH)}).encode(), JSON, id="JSON"),
        pytest.param(json.dumps({"batch": BATCH}).encode(), JSON, id="JSON in a string"),
        pytest.param(b'{"batch":[],"b\\u0061tch":' + BATCH.encode() + b',"batch":[]}', JSON, id="one of several members"),
        pytest.param(json.dumps({"batch": {"0": operation()}}).encode(), JSON, id="an object of operations"),
        pytest.param(json.dumps({"batch": operation()}).encode(), JSON, id="an operation alone"),
        pytest.param(BATCH.encode(), JSON, id="the list alone"),
        pytest.param(json.dumps({"batch": json.loads(BATCH)}).encode(), "", id="JSON without a type"),
        pytest.param(b'\xef\xbb\xbf{"batch":' + BATCH.encode() + b"}", JSON, id="JSON behind a byte order mark"),
        pytest.param(
            b'--b\r\nContent-Disposition: form-data; name="batch"\r\n\r\n' + BATCH.encode() + b"\r\n--b--",
            "multipart/form-data; boundary=b",
            id="multipart",
        ),
        pytest.param(
            b'--b\r\nContent-Disposition: form-data; name="file1"; filename="a"\r\n\r\n\xff\x00\r\n'
            b'--b\r\nContent-Disposition: form-data; name="batch"; filename="b"\r\n\r\n' + BATCH.encode() + b"\r\n--b--\r\n",
            'multipart/form-data; boundary="b"',
            id="multipart among files",
        ),
    ],
)
@pytest.mark.parametrize("url", ["/", "/v23.0", "/my/prefix/v23.0/", "/me", f"/v23.0/{NUMBER}/media", "/v23.0/x?access_token=y"])
def test_a_batch_is_found_wherever_it_is_posted_in_whatever_it_comes(body, content_type, url):
    """Graph takes it at any endpoint, and from any body that has parameters."""
    found = found_in(body, content_type, url=url)

    assert TARGET == found.target


@pytest.mark.parametrize("url", ["/?batch=", "/v23.0/me?a=b&batch=", "/v23.0?%62atch=", "/x?%20batch="])
def test_a_batch_is_found_in_the_query(url):
    """Graph's own example has it there."""
    found = find(asked(url + quote(BATCH), "POST"))

    assert TARGET == found.target


@pytest.mark.parametrize(
    "body",
    [
        b"batch=%5B%7B",
        b"batch=hello",
        b"batch=[1]",
        b"batch=[hello]",
        b"batch=5",
        b"batch[0][method]=POST&batch[0][relative_url]=x",
        b"batch=" + b"[" * 100_000,
        b'batch=[{"relative_url":["x"]}]',
        b'batch=[{"relative_url":"x","body":["batch=%5B%5D"]}]',
        b'batch=[{"relative_url":"x","body":"{\\"batch\\":"}]',
        b'batch=[{"relative_url":"x","body":"{result=a:$.b}"}]',
        b"batch=" + quote(json.dumps([operation("me", "GET")] * 501)).encode(),
    ],
)
def test_a_batch_that_cannot_be_read_to_its_end_is_taken_for_a_message(body):
    """Where batches belong nothing goes out that nobody can tell the meaning of."""
    found = found_in(body, FORM)

    assert (400, True) == (found.status, "cannot be read" in found.details)


@pytest.mark.parametrize(
    "url",
    ["me/messages", "v23.0/messages", "/+15551234567/messages", f"{NUMBER}/messages.json", "me/x/../Messages", "messages?id=abc"],
)
def test_an_operation_on_an_edge_of_sends_may_send(url):
    """Whatever stands for its number; reading there is fine."""
    assert among(operation(url)) is not None
    assert among(operation(url, "GET")) is None


def nested(depth: int) -> str:
    inner = json.dumps([operation()])
    for _ in range(depth):
        inner = json.dumps([operation("me?batch=" + quote(inner))])
    return inner


@pytest.mark.parametrize("depth", [1, 3, 7])
def test_a_batch_in_a_batch_is_read_as_deep_as_it_goes(depth):
    """Or, when it goes too deep to be meant, taken for a message."""
    assert found_in(urlencode({"batch": nested(depth)}).encode(), FORM) is not None


@pytest.mark.parametrize("body", [b'{"batch":"2024-07"}', b'{"batch":7}', b'{"batch":[1,2]}', b"[1,2,3]", b'[{"batch":{"a":1}}]'])
def test_a_parameter_of_that_name_elsewhere_may_be_something_else(body):
    """Only what has the address of an operation in it is a batch there."""
    assert found_in(body, JSON, url="/v23.0/1/things") is None


@pytest.mark.parametrize(
    ("url", "method", "body", "found"),
    [
        (f"/v23.0/messages?id={NUMBER}", "POST", b"{}", True),
        ("/v23.0/messages", "POST", b'{"id":"%b"}' % NUMBER.encode(), True),
        (f"/messages?id={NUMBER}&method=post", "GET", b"", True),
        (f"/?ids=1,{NUMBER}/messages", "POST", b"", True),
        (f"/v23.0/messages?id={NUMBER}", "GET", b"", False),
        ("/v23.0/messages?id=abc", "POST", b"{}", False),
        ("/v23.0/me/messages", "POST", b'{"recipient":{"id":"123"}}', False),
        ("/?id=https://example.com/1&scrape=true", "POST", b"", False),
    ],
)
def test_a_parameter_may_name_the_number_of_a_send(url, method, body, found):
    """Graph takes the object of a request from its path or from the parameter id."""
    assert found == (found_in(body, JSON, url=url, method=method) is not None)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", JSON),
        (b"hello", ""),
        (b'{"a":1}', "application/json; charset=utf-16"),
        (b"&a=1" * 6000, FORM),
        (b"--b", "multipart/form-data; boundary=b"),
        (b"", "multipart/form-data"),
        (b"\xff", JSON),
        (b"{}", "application/json, text/plain"),
    ],
)
def test_a_body_without_parameters_is_unreadable(body, content_type):
    """Whoever asks decides what that means."""
    with pytest.raises(UnreadableBody):
        parameters(body, content_type)


def test_a_text_may_have_parameters_of_two_kinds():
    """Without a type that says so a body is read as JSON and as a form."""
    read = parameters(b'{"a":"&batch=7&b="}', "text/plain")

    assert Pairs([("a", "&batch=7&b="), ('{"a":"', ""), ("batch", "7"), ("b", '"}')]) == read


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"x batch y", True),
        (b"BATCH", True),
        (b'{"b\\u0061t\\u0063h":', True),
        (b"b%61tch=", True),
        (b"%5Cu0062atch", True),
        ("batch".encode("utf-16"), True),
        (b"bat ch", False),
        (b"", False),
    ],
)
def test_a_word_is_seen_in_any_spelling(body, found):
    """Also where the body as a whole cannot be read."""
    assert found == mentions(body, "batch")


@pytest.mark.parametrize(
    "body",
    [
        urlencode({"batch": json.dumps([operation("x" * 20, "GET")] * 12_000)}).encode(),
        urlencode({"batch": json.dumps([operation("?" + "a=1&" * 200_000, "GET")])}).encode(),
        urlencode({"batch": json.dumps([operation("%25" * 200_000)])}).encode(),
        urlencode({"batch": json.dumps([operation("../" * 200_000 + SENDS)])}).encode(),
        urlencode({"batch": json.dumps([operation("{" * 300_000)])}).encode(),
        b"ids=" + b",1" * 300_000,
    ],
    ids=["operations", "parameters", "signs", "dots", "braces", "ids"],
)
def test_a_large_batch_holds_nobody_up(body):
    """One caller must not stop the others."""
    began = time.perf_counter()
    found_in(body, FORM)
    took = time.perf_counter() - began

    assert took < 1.5
