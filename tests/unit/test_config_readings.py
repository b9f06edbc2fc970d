"""How a configuration is read from where it lies: what can be read again, and what a second reading says of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from gatekeeper.core.errors import ConfigError
from gatekeeper.settings import Reading, read, read_again


def test_a_file_is_read_again(tmp_path):
    """By its path, whatever lies there by then, through links too."""
    file, link = tmp_path / "one.toml", tmp_path / "link.toml"
    file.write_text("a = 1")
    link.symlink_to("one.toml")
    reading = read(link)
    (tmp_path / "two.toml").write_text("a = 2")
    (tmp_path / "two.toml").rename(file)

    assert (Reading(path=link, text=b"a = 1"), b"a = 2") == (reading, read_again(reading).text)


def test_a_pipe_is_read_once(tmp_path):
    """A second reading would find it empty, or wait for ever."""
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("a = 1",))
    writer.start()
    reading = read(pipe)
    writer.join()

    assert (Reading(path=pipe, text=b"a = 1", once=True), reading) == (reading, read_again(reading))


@pytest.mark.parametrize("linked", [False, True])
def test_a_descriptor_is_read_once(linked, tmp_path):
    """Of a file as of a pipe: in another process, and later in this one, the same name leads elsewhere."""
    file, link = tmp_path / "one.toml", tmp_path / "link.toml"
    file.write_text("a = 1")
    with file.open("rb") as opened:
        link.symlink_to(f"/dev/fd/{opened.fileno()}")
        name = link if linked else Path(f"/proc/self/fd/{opened.fileno()}")
        reading = read(name)

    assert (b"a = 1", True, reading) == (reading.text, reading.once, read_again(reading))


def huge(file):
    file.touch()
    os.truncate(file, (16 << 20) + 1)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (lambda file: None, "No such file or directory"),
        (Path.mkdir, "Is a directory"),
        (os.mkfifo, "not a file that can be read again"),
        (lambda file: file.symlink_to(file.name), "Too many levels of symbolic links"),
        (lambda file: file.symlink_to("/dev/zero"), "not a file that can be read again"),
        (huge, "larger than 16 MiB"),
    ],
)
def test_what_is_no_file_any_more_is_a_mistake(changed, says, tmp_path):
    """It is said at once: a pipe without a writer holds nothing up, and what never ends is not read."""
    file = tmp_path / "one.toml"
    file.write_text("a = 1")
    reading = read(file)
    file.unlink()
    changed(file)
    with pytest.raises(ConfigError) as raised:
        read_again(reading)

    assert f"{file}: {says}" == str(raised.value)


def test_what_never_ends_is_not_read():
    """At the start neither."""
    with pytest.raises(ConfigError, match=r"^/dev/zero: larger than 16 MiB$"):
        read(Path("/dev/zero"))
