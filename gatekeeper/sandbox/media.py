"""Own media in the sandbox: what is uploaded is measured and forgotten, what is downloaded are as many blank bytes."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator

import msgspec
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

_MOST_KEPT = 1000
_CHUNK = 1 << 16
_BLANK = bytes(_CHUNK)
_LONGEST_FIELD = 1024
# So that a media id is told from every other id of digits.
_MARK, _DIGITS = "700000", 14
_MULTIPART = "multipart/"
_ANY_TYPE = "application/octet-stream"
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


class NotAnUpload(Exception):  # noqa: N818 - it names the request
    """A request holds no file; the text says what is missing."""


class Medium(msgspec.Struct, frozen=True, kw_only=True):
    """One uploaded file, in numbers. *sha256* is that of the blank bytes that come back."""

    id: str
    mime_type: str
    size: int
    sha256: str


class Media:
    """The files uploaded last."""

    def __init__(self) -> None:
        self._kept: dict[str, Medium] = {}

    @staticmethod
    def is_id(text: str) -> bool:
        """Say whether *text* has the shape of a media id."""
        return text.startswith(_MARK) and len(text) == len(_MARK) + _DIGITS

    def find(self, media_id: str) -> Medium | None:
        """A file that was uploaded and not deleted."""
        return self._kept.get(media_id)

    def delete(self, media_id: str) -> bool:
        """Forget a file; whether it was there."""
        return self._kept.pop(media_id, None) is not None

    async def upload(self, request: web.BaseRequest) -> Medium:
        """Read the form of an upload to its end without keeping it; NotAnUpload."""
        if not request.content_type.startswith(_MULTIPART):
            raise NotAnUpload("The request body must be multipart/form-data.")
        fields = {name: request.query.get(name, "") for name in ("type", "messaging_product")}
        size, mime_type, digest = None, "", hashlib.sha256()
        try:
            async for part in await request.multipart():
                if not isinstance(part, BodyPartReader):
                    raise NotAnUpload("A part of the multipart body is multipart itself.")
                if part.name == "file":
                    size, mime_type = 0, part.headers.get("Content-Type", "")
                    while chunk := await part.read_chunk(_CHUNK):
                        size += len(chunk)
                        digest.update(memoryview(_BLANK)[: len(chunk)])
                elif part.name in fields:
                    fields[part.name] = (await part.read_chunk(_LONGEST_FIELD)).decode("utf-8", "replace").strip()
        except (ValueError, HttpProcessingError):
            raise NotAnUpload("The multipart body cannot be read.") from None
        if size is None:
            raise NotAnUpload("The parameter file is required.")
        if fields["messaging_product"] != "whatsapp":
            raise NotAnUpload("The parameter messaging_product is required.")
        named = (name for name in (fields["type"], mime_type) if _MIME_TYPE.fullmatch(name))
        medium = Medium(id=_new_id(), mime_type=next(named, _ANY_TYPE), size=size, sha256=digest.hexdigest())
        if len(self._kept) >= _MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[medium.id] = medium
        return medium


async def blank(size: int) -> AsyncIterator[bytes]:
    """*size* bytes of nothing, piece by piece."""
    while size > 0:
        yield _BLANK[: min(size, _CHUNK)]
        size -= _CHUNK


def _new_id() -> str:
    return _MARK + "".join(secrets.choice("0123456789") for _ in range(_DIGITS))
