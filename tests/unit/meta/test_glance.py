"""What shows of a batch in a body that is too large to be read."""

import pytest

from gatekeeper.meta.bodies import Form
from gatekeeper.meta.glance import Glance

MULTIPART = Form("multipart/form-data", "b.d")
FORM, JSON = Form("application/x-www-form-urlencoded", ""), Form("application/json", "")
HEAD = b'\r\n--b.d\r\nContent-Type: text/json\r\nContent-Disposition: form-data; name="batch"\r\n\r\n[]'
OPERATIONS = b'[{"method":"POST","relative_url":"1/messages"}]'


def seen(body: bytes, form: Form | None, size: int, *, strict: bool = False) -> bool:
    """Say whether a batch was seen in any of the pieces of that size."""
    glance = Glance(form, strict=strict)
    found = [glance.sees(body[start : start + size]) for start in range(0, len(body), size)]
    return glance.sees(b"", last=True) or any(found)


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
@pytest.mark.parametrize(("body", "found"), [(b"x" * 9_000 + b"&b%61tch", True), (b"x" * 9_000 + b"&bat ch", False)])
def test_where_batches_belong_a_mention_is_enough(body, found, size):
    """There nobody uploads anything."""
    assert found == seen(body, FORM, size, strict=True)
