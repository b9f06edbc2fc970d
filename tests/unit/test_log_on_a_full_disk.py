"""A log that cannot be written costs lines and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import resource, signal, sys
from gatekeeper.telemetry import logger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open(sys.argv[1], "a") as file:
    log = logger(file)
    log.info("first", text="x" * 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    log.info("half", text="x" * 400)
    log.info("lost")
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.info("last")
print("alive")
"""


def test_half_a_line_costs_no_line_behind_it(tmp_path):
    """A full disk takes half a line: once there is room again, the next line stands by itself."""
    path = tmp_path / "log"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=True)
    lines = path.read_text().splitlines()

    assert ("alive\n", "") == (done.stdout, done.stderr)
    assert ["first", "last"] == [json.loads(line)["event"] for line in (lines[0], lines[-1])]
    assert 3 == len(lines)


def test_a_full_device_is_silent():
    """No line can be written, and nothing breaks on it."""
    script = "from gatekeeper.telemetry import logger; logger(open('/dev/full', 'w')).info('lost'); print('alive')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ("alive\n", "") == (done.stdout, done.stderr)
