"""
Own the files of a recorded history: one begun after another in a folder, whole ones never touched again, the oldest deleted.

The file being written ends in `.jsonl.open` and is renamed when it is whole, so a `.jsonl` has no half line in it. One that a killed
gate left behind is cut after its last line, and renamed, at the next start. Only the owner can read any of them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import mmap
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

_OTHERS = 0o077
_WHOLE, _OPEN = ".jsonl", ".jsonl.open"
_NAME = re.compile(r"\d{8}T\d{9}Z-\d+\.jsonl(\.open)?")


class Line(msgspec.Struct, frozen=True):
    """A line with its line feed, and its time in Unix milliseconds."""

    at: int
    text: bytes


class Rotation:
    """Writes lines into files of a folder; no two threads at once."""

    def __init__(self, folder: Path, *, most: int, keep: int) -> None:
        """*most*: bytes of a file. *keep*: so many whole ones stay."""
        self._folder = folder
        self._most = most
        self._keep = keep
        self._file: int | None = None
        self._path = folder
        self._size = 0
        self._finished = False

    def prepare(self) -> None:
        """Make sure that the folder can be written to, and make whole what was left behind; OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
        for path in (self._folder, *self._named(_WHOLE), *self._named(_OPEN)):
            _close_to_others(path)
        for path in self._named(_OPEN):
            _mend(path)

    def write(self, lines: Iterable[Line]) -> tuple[int, Exception | None]:
        """Write as many of the lines as can be, and say how many and why no more; a line is written whole or not at all."""
        written, pending, size = 0, list[Line](), self._size
        try:
            for line in lines:
                if size and size + len(line.text) > self._most:
                    written += self._append(pending)
                    self._finish()
                    pending, size = [], 0
                pending.append(line)
                size += len(line.text)
            written += self._append(pending)
            self._retire()
        except (OSError, ValueError, OverflowError) as error:  # a full disk, or a time that no file can be named after
            return written, error
        return written, None

    def close(self) -> None:
        """Make the file that is being written a whole one; OSError."""
        self._finish()
        self._retire()

    def _append(self, lines: list[Line]) -> int:
        if not lines:
            return 0
        if self._file is None:
            self._begin(lines[0].at)
        assert self._file is not None
        text = b"".join(line.text for line in lines)
        try:
            done = 0
            while done < len(text):
                done += os.write(self._file, text[done:])
        except OSError:
            self._abandon()
            raise
        self._size += len(text)
        return len(lines)

    def _begin(self, at: int) -> None:
        """Begin a file that is named after its first line, or a millisecond later where one has that name."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            moment = dt.datetime.fromtimestamp(at / 1000, dt.UTC)
            name = f"{moment:%Y%m%dT%H%M%S}{at % 1000:03d}Z-{os.getpid()}"
            self._path = self._folder / f"{name}{_OPEN}"
            if not (self._folder / f"{name}{_WHOLE}").exists():
                with contextlib.suppress(FileExistsError):
                    self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
                    break
            at += 1
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # so that nobody mends it before we are gone
        self._size = 0

    def _finish(self) -> None:
        """Make the file a whole one, whatever comes of that: nothing more is written to it."""
        if self._file is None:
            return
        file, self._file, self._size, self._finished = self._file, None, 0, True
        try:
            self._path.rename(self._path.with_suffix(""))
        finally:
            os.close(file)

    def _abandon(self) -> None:
        """Cut off half a line, and go on in another file; what cannot be done now is done when the file is mended."""
        assert self._file is not None
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._size)
            if self._size:
                self._finish()
            else:
                self._path.unlink()
        if self._file is not None:
            os.close(self._file)
            self._file, self._size = None, 0

    def _retire(self) -> None:
        if self._finished:
            self._finished = False
            for path in self._named(_WHOLE)[: -self._keep]:
                path.unlink(missing_ok=True)  # another worker may be at it too

    def _named(self, suffix: str) -> list[Path]:
        """Our own files of one kind, the oldest first."""
        return sorted(path for path in self._folder.glob(f"*{suffix}") if _NAME.fullmatch(path.name))


def _close_to_others(path: Path) -> None:
    """Take from others what was left them; only the owner can."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if found.st_uid == os.geteuid() and found.st_mode & _OTHERS and not stat.S_ISLNK(found.st_mode):
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def _mend(path: Path) -> None:
    """Make a file whole whose writer is gone."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody writes it
            return
        if os.fstat(file.fileno()).st_size == 0:  # somebody is about to
            return
        with mmap.mmap(file.fileno(), 0) as text:
            end = text.rfind(b"\n") + 1
        os.ftruncate(file.fileno(), end)
        path.rename(path.with_suffix(""))
