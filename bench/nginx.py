"""Own the other yardstick: nginx with a few lines of Lua that ask the same Redis whether the window is open, and nothing else."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import socket
import string
import time
from collections.abc import Iterator
from pathlib import Path

import parts
import wire

from gatekeeper.core.vocabulary import Clock
from gatekeeper.ledger import keys

MODULES = Path("/usr/lib/nginx/modules")
HOW = "nginx with Lua was not found: apt-get install -y nginx libnginx-mod-http-lua"
CONFIG = parts.HERE / "nginx"


def missing() -> str | None:
    """How to get it; None: it is here."""
    here = shutil.which("nginx") and (MODULES / "ngx_http_lua_module.so").exists()
    return None if here else HOW


@contextlib.contextmanager
def running(where: Path, core: set[int], *, upstream: int, redis: Path) -> Iterator[parts.Served]:
    """One worker before the same upstream."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    thread = keys.thread(wire.WABA, wire.NUMBER, "")
    values = {"folder": where, "modules": MODULES, "port": port, "upstream": upstream, "lua": CONFIG / "access.lua"}
    values |= {"redis": redis, "thread": thread, "clock": Clock.CUSTOMER_SERVICE_WINDOW.value}
    values |= {"user": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}  # who may ask our Redis
    path = where / "nginx.conf"
    path.write_text(string.Template((CONFIG / "nginx.conf").read_text()).substitute(values))
    with parts.started(["nginx", "-p", str(where), "-e", str(where / "nginx.log"), "-c", str(path)], core) as process:
        until = time.monotonic() + parts.PATIENCE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if time.monotonic() > until:
                raise SystemExit(f"nginx did not start: {(where / 'nginx.log').read_text()[-2000:]}")
            time.sleep(parts.POLL_S)
        yield parts.Served(process.pid, port)
