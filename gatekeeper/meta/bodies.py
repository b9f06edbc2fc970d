"""
Own how the bytes of a send become members, in each content type that Graph takes.

In a form the nested objects are JSON strings, or names with brackets. A member that comes twice counts as it came last: PHP and Hack
read it so, and so do our own parsers. A body that can be read in several ways has several readings, and whoever decides by them must
see that they agree; a body of which no way of reading can be relied on has none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec

from gatekeeper.meta.brackets import nested
from gatekeeper.meta.scanning import is_garbled, unquoted

Members = dict[str, msgspec.Raw]
_T = TypeVar("_T")

_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_JSON = re.compile(r"(application|text)/([\w.-]+\+)?json")

_PLAIN = frozenset({"messaging_product", "recipient_type", "to", "recipient", "type", "status", "message_id", "category"})
_MOST_FIELDS, _MOST_PARTS = 1000, 500
# Members at any depth, and what of a value is read: more than any message has, and no more than is read in a moment.
_MOST_COLONS, _MOST_ITEMS, _LARGE = 40_000, 20_000, 1 << 16
_MOST_SIGNS = 100_000  # percent signs in a form
_LONGEST_HEAD, _MOST_HEADERS, _MOST_WORDS = 4096, 16, 8  # of a part, and of a header of it

_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})
_QUOTED = re.compile(r'"[^"]*"')
_PARAMETER = re.compile(r';\s*([^=;,\s]+)\s*=\s*("[^"]*"|[^;]*)')
# The boundary that the first mention of one tells, of characters that mean it with or without quotes. Source: RFC 2046, section 5.1.1.
_BOUNDARY = re.compile(r'(?:(?!boundary).)*[;\s]boundary\s*=\s*("?)([0-9A-Za-z()+_\-./:=?]{1,70})\1\s*(;.*)?', re.IGNORECASE)

_PADDING = re.compile(rb"[ \t]*\r\n")
_VALUE = rb'(?:"(?:[^"\\\r\n]|\\.)*"|[^\s";]+)'
_DISPOSITION = re.compile(rb"\s*form-data\s*((?:;\s*[\w*-]+\s*=\s*" + _VALUE + rb"\s*)*)", re.IGNORECASE)
_DISPOSED = re.compile(rb";\s*([\w*-]+)\s*=\s*(" + _VALUE + rb")")
_AS_IT_IS = (b"7bit", b"8bit", b"binary")
_TOO_MANY = "The request has too many parameters."
_NO_FORM = "The form has too many fields, or is not UTF-8."
_MEMBERS = msgspec.json.Decoder(Members)
_ANY = msgspec.json.Decoder()
# Half an emoji: one of two surrogates without the other, which is no text in UTF-8.
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
_NO_LETTER, _BACKSLASH, _HELD = rb"\\ufffd", rb"\\", b"\0\0"


class UnreadableBody(ValueError):  # noqa: N818  it names the body
    """The bytes are not what their content type says; the text never quotes them."""


class Part(NamedTuple):
    """One part of a multipart body; what comes with a file name is a file to PHP, and no parameter."""

    name: str
    content: bytes
    is_file: bool


class Form(msgspec.Struct, frozen=True):
    """The content type of a body, as far as it says how to read it."""

    kind: str
    boundary: str

    @property
    def is_json(self) -> bool:
        return _JSON.fullmatch(self.kind) is not None

    @property
    def is_form(self) -> bool:
        return self.kind == _FORM

    @property
    def is_multipart(self) -> bool:
        return self.kind == _MULTIPART


@lru_cache(maxsize=256)
def form_of(content_type: str) -> Form:
    """Read a content type; UnreadableBody when it names another charset than UTF-8, or can be read in two ways."""
    kind = content_type.partition(";")[0].strip().lower()
    told = [(name.lower(), value.strip().strip('"')) for name, value in _PARAMETER.findall(content_type)]
    if "," in _QUOTED.sub("", content_type):
        raise UnreadableBody("The request has several content types.")
    if any(name == "charset" and value.lower() not in _UTF8 for name, value in told):
        raise UnreadableBody("The request body must be UTF-8.")
    if kind != _MULTIPART:
        return Form(kind, "")
    boundary = _BOUNDARY.fullmatch(content_type)
    if boundary is None or sum(name == "boundary" for name, _ in told) > 1:
        raise UnreadableBody("The multipart boundary is missing, or can be read in two ways.")
    return Form(kind, boundary[2])


def read_members(body: bytes, content_type: str) -> Members:
    """Split a body into its members; UnreadableBody when it is not an object, or not UTF-8."""
    return readings(body, content_type)[0]


def readings(body: bytes, content_type: str) -> list[Members]:
    """Split a body into its members in every way that its content type leaves open, the likeliest first; UnreadableBody as above."""
    form = form_of(content_type)
    if form.is_multipart:
        found = parts(body, form.boundary)
        plain = [part for part in found if not part.is_file]
        return [
            way
            for some in ([found, plain] if plain != found else [found])
            for way in _ways_of_form([(part.name, part.content) for part in some])
        ]
    text = decoded(body)
    if form.is_form:
        return _ways_of_form(fields(text))
    ways = []
    if len(text) > _LARGE and text.count(":") > _MOST_COLONS:
        raise UnreadableBody(_TOO_MANY)
    try:
        ways.append(_decoded(_MEMBERS, text.encode()))
    except (ValueError, RecursionError):
        if form.is_json or "=" not in text:
            raise UnreadableBody("The request body is not an object that can be read.") from None
    if len(ways) == 1 and len(ways[0]) > _MOST_FIELDS:
        raise UnreadableBody(_TOO_MANY)
    if not form.is_json and "=" in text:
        ways += _ways_of_form(fields(text))
    return ways


def query_members(query: str) -> Members:
    """Read the query of a request as a form; what is no UTF-8 in it is replaced."""
    return query_readings(query)[0]


def query_readings(query: str) -> list[Members]:
    """Do so in every way in which a form may be read, the likeliest first."""
    return _ways_of_form(parse_qsl(query, keep_blank_values=True, errors="replace"))


def decoded(body: bytes) -> str:
    """Read a body as text, with or without a byte order mark: decoding checks what msgspec skips over."""
    try:
        return body.decode("utf-8-sig")
    except ValueError:
        raise UnreadableBody("The request body is not UTF-8.") from None


def fields(text: str) -> list[tuple[str, str]]:
    """Split a form into its fields, empty ones too."""
    if text.count("&") >= _MOST_FIELDS or text.count("%") > _MOST_SIGNS or is_garbled(text):
        raise UnreadableBody(_NO_FORM)
    found = (field.partition("=") for field in text.split("&") if field)
    try:
        return [(_unquoted(name), _unquoted(value)) for name, _, value in found]
    except ValueError:
        raise UnreadableBody(_NO_FORM) from None


def _unquoted(text: str) -> str:
    text = text.replace("+", " ")
    return unquoted(text.encode()).decode() if "%" in text else text


def spelled(name: str) -> str:
    """The parameter that PHP, or a server that is less strict still, may take *name* for: `to[]`, ` to` and `To` are all `to`."""
    if name.isascii() and name.isidentifier() and name.islower():
        return name
    return name.partition("\0")[0].partition("[")[0].strip().replace(" ", "_").replace(".", "_").lower()


def present(raw: msgspec.Raw | None) -> bool:
    """Say whether a member is there: null and an empty form field are not."""
    return raw is not None and bytes(raw) not in (b"", b"null")


def read(raw: msgspec.Raw) -> Any:
    """Read the value of a member; UnreadableBody when it is no JSON, a number out of range, or more than any message has there."""
    written = bytes(raw)
    if len(written) > _LARGE and written.count(b"[") + written.count(b"{") + written.count(b",") > _MOST_ITEMS:
        raise UnreadableBody(_TOO_MANY)
    try:
        return _decoded(_ANY, raw)
    except (ValueError, RecursionError):
        raise UnreadableBody("A parameter cannot be read.") from None


def read_nested(raw: msgspec.Raw) -> Any:
    """Do so where an object or a list is due, which may come as a string that holds its JSON."""
    return parsed(read(raw))


def parsed(value: Any) -> Any:
    """Read the object or the list that a string holds as JSON, as Graph does where one is due; anything else stays as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return read(msgspec.Raw(value.encode()))
        except UnreadableBody:
            return value
    return value


def read_object(raw: msgspec.Raw) -> Members | None:
    """Split a member into its own members; None when it is not an object."""
    try:
        return _decoded(_MEMBERS, raw)
    except (ValueError, RecursionError):
        return None


def read_nested_object(raw: msgspec.Raw) -> Members | None:
    """Do so, also where it is a string that holds the JSON of an object."""
    if bytes(raw)[:1] != b'"':
        return read_object(raw)
    try:
        return read_object(msgspec.Raw(read(raw).encode()))
    except UnreadableBody:
        return None


def parts(body: bytes, boundary: str) -> list[Part]:
    """Split a multipart body, as strictly as that every server must split it so."""
    delimiter = b"--" + boundary.encode()
    text = b"\r\n" + body
    if text.count(b"\n" + delimiter) != text.count(b"\r\n" + delimiter):
        raise UnreadableBody("A line of the multipart body does not end in CR LF.")
    sections = text.split(b"\r\n" + delimiter, _MOST_PARTS + 1)[1:]
    if not sections or not sections[-1].startswith(b"--"):
        raise UnreadableBody("The multipart body has no end, or too many parts.")
    return [_part(section) for section in sections[:-1]]


def _part(section: bytes) -> Part:
    padding = _PADDING.match(section)
    head, blank, content = section[padding.end() :].partition(b"\r\n\r\n") if padding else (b"", b"", b"")
    if not blank or len(head) > _LONGEST_HEAD or head.count(b"\n") >= _MOST_HEADERS or head.count(b";") > _MOST_WORDS:
        raise UnreadableBody("A part of the multipart body has no name.")
    names, is_file = [], False
    for line in head.split(b"\r\n"):
        header, colon, value = line.partition(b":")
        if not colon or line[:1].isspace() or b"\r" in line or b"\n" in line:
            raise UnreadableBody("A header of a multipart body cannot be read.")
        if header.strip().lower() == b"content-transfer-encoding" and value.strip().lower() not in _AS_IT_IS:
            raise UnreadableBody("A part of the multipart body is encoded.")
        if header.strip().lower() == b"content-disposition":
            disposition = _DISPOSITION.fullmatch(value)
            told = [(name.lower(), word) for name, word in _DISPOSED.findall(disposition[1])] if disposition else []
            names += [word if name == b"name" else b"'" for name, word in told if name in (b"name", b"name*")]
            is_file = any(name.startswith(b"filename") for name, _ in told)
    if len(names) != 1 or b"\\" in names[0] or b"'" in names[0]:
        raise UnreadableBody("A part of the multipart body has no name, or several.")
    name = decoded(names[0].strip(b'"'))
    if not is_file:
        decoded(content)
    return Part(name, content, is_file)


def _decoded(decoder: msgspec.json.Decoder[_T], text: bytes | msgspec.Raw) -> _T:
    """Decode JSON, half an emoji as a letter that means nothing; ValueError, RecursionError."""
    try:
        return decoder.decode(text)
    except ValueError:
        text = bytes(text)
        if b"\\u" not in text or b"\0" in text:
            raise
        plain = text.replace(_BACKSLASH, _HELD)  # a backslash that is escaped begins no escape
        return decoder.decode(_HALF.sub(_NO_LETTER, plain).replace(_HELD, _BACKSLASH))


def _ways_of_form(given: Sequence[tuple[str, str | bytes]]) -> list[Members]:
    """Read a form as PHP does, and as a server does to which a bracket is a letter."""
    bare = {name: _raw(name, value) for name, value in given if "[" not in name}
    bracketed = [(name, _text(value)) for name, value in given if "[" in name]
    if not bracketed:
        return [bare]
    try:
        found, doubtful = nested(bracketed)
    except ValueError:
        raise UnreadableBody("The form has too many parameters in brackets.") from None
    members = {**bare, **{name: msgspec.Raw(msgspec.json.encode(value)) for name, value in found.items()}}
    doubtful |= {f"{name}[]": "" for name in found if name in bare}
    return [{**members, **{name: msgspec.Raw(msgspec.json.encode(value)) for name, value in doubtful.items()}}, bare]


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def _raw(name: str, value: str | bytes) -> msgspec.Raw:
    if name in _PLAIN:
        return msgspec.Raw(msgspec.json.encode(value if isinstance(value, str) else decoded(value)))
    return msgspec.Raw(value.strip() if isinstance(value, bytes) else value.strip().encode())
