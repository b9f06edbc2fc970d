"""What Graph may make of a request, written apart from the gate: by whoever would rather take it for a message than not."""

from __future__ import annotations

import contextlib
import email
import gzip
import json
import posixpath
import re
import zlib
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import parse_qsl, unquote

Headers = list[tuple[str, str]]
Parameters = list[tuple[str, Any]]

OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")


class Everything(dict):
    """An object whose members all count, those that come twice too."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def may_send(method: str, target: str, headers: Headers, body: bytes) -> bool:
    """Say whether anything that Graph might do with this request could send a message."""
    return any(_sends(method, target, headers, [*_query(target), *found], depth=0) for found in _readings(headers, body))


def messages(method: str, target: str, headers: Headers, body: bytes) -> set[tuple[str, str]]:
    """
    From which number to whom a request may send, if it is a send.

    Of a parameter that comes in the query and in the body either may count, and of one that comes twice in one place the last.
    """
    numbers = {found[1] for path in _paths(target) if (found := _SEND.search(path))}
    users = set()
    for given in _readings(headers, body):
        posts = _posts(method, headers, [*_query(target), *given])
        for pairs in ([*_query(target), *given], [*given, *_query(target)], given, _query(target)):
            some = dict(pairs)
            if posts and some.get("messaging_product") == "whatsapp" and some.get("type") and some.get("to"):
                users.add(str(_plain(some["to"])))
    return {(number, user) for number in numbers for user in users}


def _plain(value: Any) -> Any:
    read = _read(value)
    return read if isinstance(read, str | int) else value


def _posts(method: str, headers: Headers, parameters: Parameters) -> bool:
    posts = method.strip().upper() == "POST"
    posts |= any(_name(name) == "method" and str(value).strip().upper() == "POST" for name, value in parameters)
    return posts or any(name.lower().replace("_", "-") in OVERRIDES and "POST" in value.upper() for name, value in headers)


def _sends(method: str, target: str, headers: Headers, parameters: Parameters, depth: int) -> bool:
    posts = _posts(method, headers, parameters)
    parameters = [*parameters, *_nested(parameters)]
    if posts and any(_is_edge(path) or (depth and "{result=" in path) for path in _paths(target)):
        return True
    for name, value in parameters:
        if _name(name) in ("id", "ids") and posts and _sends_by_id(target, value):
            return True
        if _name(name) in ("batch", "asyncbatch", "adbatch") and any(_operation(item, depth) for item in _items(value)):
            return True
    return False


def _operation(item: Any, depth: int) -> bool:
    item = _read(item)
    if not isinstance(item, Everything) or depth > 5:
        return depth > 5
    given = {_name(name): value for name, value in item.pairs}
    target = "/" + str(given.get("relative_url", "")).removeprefix("/")
    body = given.get("body") or ""
    parameters = body.pairs if isinstance(body, Everything) else parse_qsl(str(body), keep_blank_values=True)
    inner = _read(body)
    parameters = [*_query(target), *parameters, *(inner.pairs if isinstance(inner, Everything) else [])]
    headers = [(str(header.get("name")), str(header.get("value"))) for header in given.get("headers") or []]
    told = unquote(f"{given.get('method')} {body} {target.partition('?')[2]}")
    if "{result=" in told and any(_is_send(path) for path in _paths(target)):
        return True  # what an earlier operation answers may make a POST of it
    return _sends(str(given.get("method", "GET")), target, headers, parameters, depth + 1)


def _sends_by_id(target: str, value: Any) -> bool:
    edge = target.partition("?")[0].rstrip("/").rpartition("/")[2]
    return any(_is_send(path) for name in str(value).split(",") for path in (*_paths(f"/{name}/{edge}"), *_paths(f"/{name}")))


def _paths(target: str) -> Iterator[str]:
    """Each reading of a path: how often decoded, where ended, which slashes, with or without parameters, dots taken back or not."""
    text = target.partition("?")[0].partition("#")[0]
    for times, ended, slashed, bare, resolved in product(range(4), (0, 1), (0, 1), (0, 1), _RESOLVED):
        path = text
        for _ in range(times):
            path = unquote(path)
        path = re.split(r"[?#\0]", path)[0] if ended else path
        path = path.replace("\\", "/") if slashed else path
        path = re.sub(r";[^/]*", "", path) if bare else path
        yield resolved(path)


def _without_merging(path: str) -> str:
    """Take dots back as some servers do: an empty segment is one to go back from."""
    while (less := re.sub(r"(^|/)[^/]*/\.\.(?=/|$)", r"\1", path.replace("/./", "/"), count=1)) != path:
        path = less
    return path


_RESOLVED = (str, lambda path: posixpath.normpath(re.sub("/+", "/", path)), _without_merging)


_SEND = re.compile(r"(?:^|/)\s*([0-9]+)[\s/]*/\s*(?:marketing_)?messages[\s/]*$", re.IGNORECASE | re.ASCII)


def _is_send(path: str) -> bool:
    return _SEND.search(path) is not None


def _is_edge(path: str) -> bool:
    """Say whether a path ends like a send's, of whatever number: the gate decides none of another product either."""
    return re.search(r"(?:^|/)\s*(?:marketing_)?messages[\s/]*$", path, re.IGNORECASE) is not None


def _name(name: str) -> str:
    return name.split("[", maxsplit=1)[0].strip().lower()


def _query(target: str) -> Parameters:
    return parse_qsl(target.partition("?")[2].partition("#")[0], keep_blank_values=True)


def _nested(parameters: Parameters) -> Parameters:
    """What PHP makes of names in brackets: arrays in arrays."""
    found: dict[str, Any] = {}
    for name, value in parameters:
        base, bracket, rest = name.strip().partition("[")
        if not bracket:
            continue
        at, keys = found.setdefault(base, {}), re.findall(r"\[?([^\[\]]*)\]", rest)
        for key in keys[:-1]:
            at = at.setdefault(key or str(len(at)), {})
            if not isinstance(at, dict):
                break
        else:
            if keys:
                at[keys[-1] or str(len(at))] = value
    return [(name, _everything(value)) for name, value in found.items()]


def _everything(value: Any) -> Any:
    return Everything([(name, _everything(one)) for name, one in value.items()]) if isinstance(value, dict) else value


def _readings(headers: Headers, body: bytes) -> Iterator[Parameters]:
    """The parameters in a body, by each of its content types, in each of the letters that it may be written in."""
    encodings = ",".join(value for name, value in headers if name.lower() == "content-encoding")
    for encoding in reversed([name.strip().lower() for name in encodings.split(",")]):
        if encoding in ("gzip", "x-gzip"):
            body = gzip.decompress(body)
        elif encoding == "deflate":
            body = zlib.decompress(body)
    given = [value for name, value in headers if name.lower() == "content-type"] or [""]
    for kind in {*given, ",".join(given), *",".join(given).split(",")}:
        if "multipart" in kind:
            yield _parts(kind, body)
            yield _lenient_parts(kind, body)
            continue
        for text in _texts(kind, body):
            found: Parameters = []
            if "urlencoded" not in kind:
                read = _read(_read(text))
                found += read.pairs if isinstance(read, Everything) else [("batch", read)] if isinstance(read, list) else []
            if "json" not in kind:
                found += parse_qsl(text, keep_blank_values=True)
            yield found


def _texts(kind: str, body: bytes) -> list[str]:
    """A body in the letters that are declared, and in any that it looks like."""
    declared = re.findall(r"charset=\"?([\w-]+)", kind)
    wide = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"] if b"\0" in body else []
    texts = {body.decode("utf-8", "replace").removeprefix("\ufeff"): None}
    for charset in [*declared, *wide]:
        with contextlib.suppress(LookupError, UnicodeError):
            texts[body.decode(charset).removeprefix("\ufeff")] = None
    return list(texts)


def _parts(kind: str, body: bytes) -> Parameters:
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    return [
        (str(part.get_param("name", header="content-disposition")), part.get_payload(decode=True).decode(errors="replace"))
        for part in message.get_payload()
        if not isinstance(part, str)
    ]


def _lenient_parts(kind: str, body: bytes) -> Parameters:
    """As a reader has it that takes any line end, and any delimiter that it sees."""
    boundary = kind.partition("boundary=")[2].strip('"').partition(";")[0]
    found: Parameters = []
    for section in re.split(re.escape(f"--{boundary}").encode(), body)[1:] if boundary else []:
        head, _, value = section.replace(b"\r\n", b"\n").partition(b"\n\n")
        named = re.search(rb"""\bname\s*=\s*["']?([^"';\n]*)""", head)
        if named:
            found.append((named[1].decode("latin-1"), value.removesuffix(b"\n").decode(errors="replace")))
    return found


def _items(value: Any) -> list[Any]:
    read = _read(value)
    if isinstance(read, Everything):
        return [read, *read.values()]
    return read if isinstance(read, list) else []


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=Everything)
    except ValueError:
        return None
