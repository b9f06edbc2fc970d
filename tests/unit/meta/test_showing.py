"""What shows of a message in a body that is not read: too large, or of which nobody can be sure."""

import json
from urllib.parse import quote

import pytest

from gatekeeper.meta.showing import Showing

MULTIPART = "multipart/form-data; boundary=b.d"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
HEAD = b'\r\n--b.d\r\nContent-Type: text/json\r\nContent-Disposition: form-data; name="batch"\r\n\r\n[]'
OPERATIONS = b'[{"method":"POST","relative_url":"1/messages"}]'


def shown(body: bytes, *types: str, size: int = 1000, closely: bool = False) -> Showing:
    """What a body shows that comes in pieces of that size."""
    showing = Showing([type_ for type_ in types if type_ is not None], closely=closely)
    for start in range(0, len(body), size):
        showing.feed(body[start : start + size])
    showing.end()
    return showing


def seen(body: bytes, type_: str | None, size: int) -> bool:
    """Say whether a batch shows itself."""
    return shown(body, type_, size=size).may_send(edge=False, posts=True)


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"x" * 20_000 + HEAD, MULTIPART),
        (HEAD + b"x" * 20_000, MULTIPART),
        (b"x" * 9_000 + HEAD.replace(b"\r\n", b"\n"), MULTIPART),
        (b"x" * 9_000 + HEAD.replace(b'"batch"', b"batch"), MULTIPART),
        (b"x" * 9_000 + HEAD.replace(b'"batch"', b'"AsyncBatch[0]"'), MULTIPART),
        (b'{"x":"' + b"x" * 9_000 + b'","batch":' + OPERATIONS + b"}", JSON),
        (b'{"batch" : ' + OPERATIONS + b',"x":"' + b"x" * 9_000 + b'"}', None),
        (b'{"x":"' + b"x" * 9_000 + b'","\\u0062atch":[{"relativ\\u0065_url":""}]}', JSON),
        (b"x=" + b"x" * 9_000 + b"&batch=%5B%7B%22relative_url%22", FORM),
        (b"x=" + b"x" * 9_000 + b"&%62atch[0][relative%5Furl]=", FORM),
        (b"batch=%5B%7B%22relative_url%22" + b"x" * 9_000, FORM),
        (b"x" * 9_000 + b"&+Batch+=%5B%7B%22relative_url%22", FORM),
    ],
)
def test_a_batch_shows_itself(body, form, size):
    """Whichever piece its name is in, and wherever that ends."""
    assert seen(body, form, size)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"x" * 9_000 + HEAD.replace(b"b.d", b"bxd"), MULTIPART),
        (b"x" * 9_000 + HEAD.replace(b'"batch"', b'"file"; filename="batch"'), MULTIPART),
        (b"x" * 9_000 + HEAD.replace(b'"batch"', b'"batches"'), MULTIPART),
        (b'{"x":"batch","y":"relative_url"}' * 300, JSON),
        (b'{"batch":7}' * 900, JSON),
        (b"x=batch&relative_url=1" * 500, FORM),
        (b"See graph.facebook.com/?batch=[{relative_url}], and the batch = 1. " * 200, FORM),
        (b'\'{\\"batch\\": [{\\"relative_url\\": 1}]}\' is a \'"batch" :\' ' * 200, None),
        (bytes(range(256)) * 100, None),
    ],
)
def test_a_file_may_speak_of_batches(body, form, size):
    """What is in a file, or only looks like a name, is no batch."""
    assert not seen(body, form, size)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(("body", "found"), [(b"x" * 9_000 + b"&b%61tch", False), (b"x" * 9_000 + b"&bat ch", True)])
def test_where_batches_belong_a_mention_is_enough(body, found, size):
    """There nobody uploads anything."""
    assert found == shown(body, FORM, size=size, closely=True).is_free()


FAR = 30_000


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (b"{" + b" " * FAR + b'"batch":' + OPERATIONS + b"}", JSON),
        (b'{"batch"' + b"\n" * FAR + b":" + OPERATIONS + b"}", JSON),
        (b'{"a":1,' + b"\t" * FAR + b'"batch"' + b" " * FAR + b":" + OPERATIONS + b"}", JSON),
        (b'{"batch":[' + b" " * FAR + OPERATIONS[1:] + b"}", None),
        (b"x=1&" + b"+" * FAR + b"batch=" + OPERATIONS, FORM),
        (b"x=1&" + b"%20" * FAR + b"b%61tch" + b"[" + b"x" * FAR + b"]=" + OPERATIONS, FORM),
        (b"x=1&batch%00" + b"x" * FAR + b"=" + OPERATIONS, FORM),
        (b" " * FAR + OPERATIONS, JSON),
        (b"\xef\xbb\xbf" + OPERATIONS + b" " * FAR, JSON),
        (json.dumps(OPERATIONS.decode()).encode() + b" " * FAR, JSON),
        (('{"x":"' + "\u00e9" * FAR + '","batch":' + OPERATIONS.decode() + "}").encode("utf-16"), JSON),
        (('{"x":"' + "\u00e9" * FAR + '","batch":' + OPERATIONS.decode() + "}").encode("utf-32-le"), None),
        (b"x=" + b"%zz" * FAR + b"&batch=" + quote(quote(OPERATIONS)).encode(), FORM),
    ],
)
def test_a_batch_shows_itself_however_far_its_name_is_from_what_makes_it_one(body, type_, size):
    """Nothing is read in a window of which somebody may know the size."""
    assert seen(body, type_, size)


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize(
    "head",
    [
        b'--b.d\r\nContent-Disposition: form-data; x="' + b"x" * 7000 + b'"; name="batch"\r\n\r\n',
        b'--b.d \t\r\nContent-Disposition: form-data; name="b\\atch"\r\n\r\n',
        b"--b.d\r\nContent-Disposition: form-data; name='batch'\r\n\r\n",
        b"--b.d\r\nContent-Disposition: form-data; name*=utf-8''b%61tch\r\n\r\n",
        b'--b.d\r\nContent-Disposition: form-data; name*0="bat"; name*1="ch"\r\n\r\n',
        b'--b.d\r\n--b.d\r\nContent-Disposition: form-data; name="batch"\r\n\r\n',
        b"--b.d\r\n" + b"X: y\r\n" * 2000 + b'Content-Disposition: form-data; name="batch"\r\n\r\n',
        b'--b.d\r\nContent-Disposition: form-data; name="a"\r\n\r\n' * 1001,
    ],
)
def test_a_part_that_may_be_a_batch_shows_itself(head, size):
    """In any spelling that some server reads; a head that is too long to be read, and too many, may be one too."""
    assert shown(b"x" * FAR + head + OPERATIONS, MULTIPART, size=size).may_send(edge=False, posts=False)


@pytest.mark.parametrize(
    ("body", "types", "free"),
    [
        (b'{"x":[1,2]}', [JSON], True),
        (b"x=1&y=[2]", [FORM], True),
        (b"scrape=true", [], True),
        (b"hello", ["text/plain; charset=utf-8"], True),
        (b'{"x":1}', ["application/json; charset=iso-8859-1"], True),
        (OPERATIONS, [JSON], False),
        (b" [1,2]", [JSON], False),
        (b'"[1]"', [JSON], False),
        (b"hello [1]", ["text/plain"], False),
        (b'{"x":1}', [JSON, FORM], False),
        (b'{"x":1}', [f"{JSON}, {FORM}"], False),
        (b'{"x":1}', ["application/json; charset=utf-7"], False),
        (b'{"x":1}', ["application/json; charset=gbk"], False),
        ('{"x":1}'.encode("utf-16"), [JSON], False),
        (b'{"x":"relative\\u005Furl"}', [JSON], False),
        (b"id=1/mess%61ges", [FORM], False),
        (b"{}", ["multipart/form-data"], False),
    ],
)
def test_a_body_is_free_when_it_shows_that_it_can_hold_nothing(body, types, free):
    """At the root that is what lets it pass."""
    assert free == shown(body, *types, closely=True).is_free()


@pytest.mark.parametrize(
    ("body", "types", "edge", "found"),
    [
        (b'{"id":"1/messages"}', [JSON], False, True),
        (b'{"id":"1\\/messages"}', [JSON], False, True),
        (b"x=1&id=1%2fmessages", [FORM], False, True),
        (b'{"id":"1","to":"2"}', [JSON], True, True),
        (b'{"id":"1","text":"two messages"}', [JSON], False, False),
        (b'--b.d\r\nContent-Disposition: form-data; name="id"\r\n\r\n1/messages\r\n--b.d--', [MULTIPART], False, True),
        (b'--b.d\r\nContent-Disposition: form-data; name="id"\r\n\r\n1\r\n--b.d--', [MULTIPART], True, True),
        (b'--b.d\r\nContent-Disposition: form-data; name="id"\r\n\r\n1\r\n--b.d--', [MULTIPART], False, False),
        (OPERATIONS, ["application/json; charset=utf-7"], False, True),
        (OPERATIONS, [JSON, FORM], False, True),
        (b"\x89PNG", ["image/png"], True, False),
    ],
)
def test_a_number_that_a_parameter_names_shows_itself(body, types, edge, found):
    """So does what is in letters that nobody reads."""
    assert found == shown(body, *types).may_send(edge=edge, posts=True)
