"""Own what an address to listen on and a URL of the web are, and whether the one is the other."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from urllib.parse import urlsplit

from yarl import URL

from gatekeeper.settings.sections import Server

_LARGEST_PORT = 65535
_SCHEMES = ("http", "https")
_UNWRITTEN = re.compile(r"[\s\x00-\x20\x7f]")
# Hosts that are reached under other names too: everything that listens there answers to each of them.
_LOOPBACK = ("127.0.0.1", "::1")
_NAMES = {"localhost": _LOOPBACK, "0.0.0.0": ("127.0.0.1",), "::": _LOOPBACK}  # noqa: S104 - compared, not bound


def address(listen: str) -> tuple[str, int]:
    """Split `host:port` (`[::1]:8080` for IPv6); ValueError when it is not that."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > _LARGEST_PORT:
        raise ValueError(f"{listen!r} is not host:port")
    return host.strip("[]") or "127.0.0.1", int(port)


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches what listens at *host*; a name that is not known to mean that does not."""
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def port_fits(url: str) -> bool:
    """Say whether the port of a URL, if it has one, is one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def of_the_web(url: str) -> bool:
    """Say whether a request can be sent to *url* as it is written: http or https, a host, no fragment, no white space."""
    try:
        parsed = URL(url)
    except ValueError:
        return False
    return parsed.scheme in _SCHEMES and bool(parsed.host) and parsed.port != 0 and not _UNWRITTEN.search(url) and "#" not in url


def listens(listen: str, url: str) -> bool:
    """
    Say whether who listens at *listen* is who *url* leads to, as far as names tell.

    One machine has more names than anybody can list, so a no is no proof.
    """
    host, port = address(listen)
    target = URL(url)
    return port == target.port and not _names(host).isdisjoint(_names(target.host or ""))


def own_listener(server: Server, url: str) -> str:
    """
    Name the key of that of our own listeners to which a URL leads; empty: to none, as far as names tell.

    What comes back from there goes round for ever.
    """
    for key in ("listen", "admin_listen"):
        with contextlib.suppress(ValueError):  # a mistake of its own
            if listens(getattr(server, key), url):
                return key
    return ""


def _names(host: str) -> set[str]:
    host = host.lower().rstrip(".")
    return {host, *_NAMES.get(host, ())}
