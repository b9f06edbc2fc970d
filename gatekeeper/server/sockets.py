"""Own the addresses that a gate listens on: taken before anything is started for them, alone or shared with other workers."""

from __future__ import annotations

import contextlib
import socket

from gatekeeper.core.errors import ConfigError
from gatekeeper.settings import address

BACKLOG = 1024


def listening(
    listen: str, key: str, stack: contextlib.AsyncExitStack, *, shared: bool = False, accepting: bool = True
) -> socket.socket:
    """
    Take an address, before anything is started for it; ConfigError when it cannot be had.

    *shared*: with other workers. A parent holds it without *accepting* on it.
    """
    host, port = address(listen)
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(where)
        if accepting:
            bound.listen(BACKLOG)  # a second gate on this address fails here, whichever of the two came first
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"$.server.{key}: cannot listen on {listen}: {getattr(error, 'strerror', None) or error}") from None
    return bound


def written(bound: socket.socket) -> str:
    """An address as the configuration writes it."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://{_reachable(host)}:{port}"


def _reachable(host: str) -> str:
    """A host to connect to for one to listen on."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"[{host}]" if ":" in host else host
