"""Own how a configuration is taken from where it lies: a pipe can be read once, and only a whole file is read again."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import msgspec

from gatekeeper.core.errors import ConfigError

_LARGEST_MIB = 16
_LARGEST = _LARGEST_MIB << 20
# Names of a process's own descriptors: in another process, and at another time, they lead elsewhere.
_DESCRIPTORS = re.compile(r"/dev/(fd/.*|std(in|out|err))|/proc/.*")
_LINKS = 40


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a configuration as it was read; *path* None: there is no file. *once*: it cannot be read again."""

    path: Path | None = None
    text: bytes = b""
    once: bool = False

    @property
    def name(self) -> str:
        """What a person knows it by."""
        return str(self.path) if self.path else "defaults"


def read(path: Path | None) -> Reading:
    """Read what is at *path* for the first time, whatever can be read there; ConfigError names the file and what is wrong."""
    if path is None:
        return Reading()
    try:
        with path.open("rb") as file:
            once = not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or _is_descriptor(path)
            return Reading(path=path, text=_bounded(path, file.read(_LARGEST + 1)), once=once)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None


def read_again(reading: Reading) -> Reading:
    """Read the same file anew, without ever waiting for it; ConfigError says why it cannot be read."""
    path = reading.path
    if path is None or reading.once:
        return reading
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path}: not a file that can be read again")
            return msgspec.structs.replace(reading, text=_bounded(path, file.read(_LARGEST + 1)))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None


def _bounded(path: Path, text: bytes) -> bytes:
    if len(text) > _LARGEST:
        raise ConfigError(f"{path}: larger than {_LARGEST_MIB} MiB")
    return text


def _is_descriptor(path: Path) -> bool:
    """Say whether a path leads through a name such as `/dev/stdin`, be it by a link."""
    at = path.absolute()
    for _ in range(_LINKS):
        if _DESCRIPTORS.fullmatch(str(at)):
            return True
        if not at.is_symlink():
            return False
        at = at.parent / at.readlink()
    return False
