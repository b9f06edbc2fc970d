"""Own how the ledger's URL is written, and what can be wrong with it and with the files of its certificates."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import msgspec

from gatekeeper.core.secret import Secret
from gatekeeper.settings.sections import EMBEDDED, Ledger

_PORT, _SENTINEL_PORT, _LARGEST_PORT = 6379, 26379, 65535
_SHAPE = re.compile(
    r"(?P<scheme>rediss?|rediss?\+sentinel|unix)://((?P<user>[^/?#]*)@)?(?P<hosts>[^@/?#]*)(?P<path>/[^?#@]*)?(\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]|[^\s\[\]:]*)(:(?P<port>\d{1,5}))?")
_SHAPES = '"embedded" or a redis://, rediss://, redis+sentinel://, rediss+sentinel:// or unix:// URL'
# What may stand behind the question mark; all else about a connection is ours to say.
_ASKED = {"db", "username", "password", "sentinel_username", "sentinel_password"}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a ledger is: a socket's *path*, one place, some nodes of a cluster, or the Sentinels of a *service*."""

    tls: bool = False
    places: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: Secret | None = None
    sentinel_username: str | None = None
    sentinel_password: Secret | None = None


def target(url: str) -> Target:
    """Read a URL; ValueError says what is wrong, and repeats nothing of it, for it may hold a password."""
    found = _SHAPE.fullmatch(url)
    if not found:
        raise ValueError(f"{_SHAPES}; in a password write %23, %2F, %3F, %40 for #, /, ?, @")
    scheme, path = found["scheme"], found["path"] or ""
    asked = dict(parse_qsl(found["query"] or "", keep_blank_values=True))
    if not asked.keys() <= _ASKED:
        raise ValueError(f"behind the question mark only {', '.join(sorted(_ASKED))} may stand")
    user, colon, password = (found["user"] or "").partition(":")
    sentinel = scheme.endswith("+sentinel")
    service, _, number = path[1:].partition("/") if sentinel else ("", "", path[1:])
    if scheme == "unix":
        number = ""
    number = asked.get("db", number) or "0"
    if not re.fullmatch(r"\d{1,5}", number):
        raise ValueError("a database is a number, as in redis://localhost:6379/0")
    if sentinel and not service:
        raise ValueError("Sentinels are asked for a service, as in redis+sentinel://host:26379/mymaster/0")
    if scheme == "unix" and (found["hosts"] or len(path) <= 1):
        raise ValueError("a socket has a path of its own, as in unix:///run/redis/redis.sock")
    return Target(
        tls=scheme.startswith("rediss"),
        places=() if scheme == "unix" else _places(found["hosts"], _SENTINEL_PORT if sentinel else _PORT),
        path=unquote(path) if scheme == "unix" else "",
        service=unquote(service),
        db=int(number),
        username=asked.get("username") or unquote(user) or None,
        password=_secret(asked.get("password") or unquote(password if colon else "")),
        sentinel_username=asked.get("sentinel_username") or None,
        sentinel_password=_secret(asked.get("sentinel_password", "")),
    )


def ledger_mistakes(ledger: Ledger) -> list[tuple[str, str]]:
    """What types cannot say of `[ledger]`, each with its key."""
    if ledger.url == EMBEDDED:
        found = [("$.ledger.cluster", "the embedded ledger is not a cluster")] if ledger.cluster else []
        return found + [(f"$.ledger.{key}", _UNUSED) for key in _FILES if getattr(ledger, key)]
    try:
        where = target(ledger.url)
    except ValueError as error:
        return [("$.ledger.url", str(error))]
    found = [(f"$.ledger.{key}", mistake) for key, wrong, mistake in _misfits(ledger, where) if wrong]
    return found or [*_certificate_mistakes(ledger)]


_FILES = ("ca", "certificate", "key")
_UNUSED = "is for a rediss:// or rediss+sentinel:// URL"


def _misfits(ledger: Ledger, where: Target) -> Iterator[tuple[str, bool, str]]:
    several = len(where.places) > 1 and not where.service
    yield "cluster", ledger.cluster and bool(where.path), "a Unix socket is not a cluster"
    yield "cluster", ledger.cluster and bool(where.service), "Sentinels watch one Redis, not a cluster"
    yield "url", ledger.cluster and bool(where.db), "a cluster has no database but 0"
    yield "url", several and not ledger.cluster, "several hosts are nodes of a cluster, or Sentinels (redis+sentinel://)"
    asked = bool(where.sentinel_username or where.sentinel_password)
    yield "url", asked and not where.service, "sentinel_username and sentinel_password are for a redis+sentinel:// URL"
    for key in _FILES:
        yield key, bool(getattr(ledger, key)) and not where.tls, _UNUSED
    yield "key", bool(ledger.certificate) and not ledger.key, "needed with certificate"
    yield "certificate", bool(ledger.key) and not ledger.certificate, "needed with key"


def _certificate_mistakes(ledger: Ledger) -> Iterator[tuple[str, str]]:
    """Load what is there, as it will be loaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for key in _FILES:
        path = getattr(ledger, key)
        if path and (mistake := _unread(path)):
            yield f"$.ledger.{key}", mistake
            return
    try:
        if ledger.ca:
            context.load_verify_locations(ledger.ca)
    except (ssl.SSLError, OSError):
        yield "$.ledger.ca", f"{ledger.ca}: no certificates in PEM"
    try:
        if ledger.certificate:
            context.load_cert_chain(ledger.certificate, ledger.key, password="")  # or it would ask who started us
    except (ssl.SSLError, OSError, ValueError):
        yield "$.ledger.key", f"{ledger.key}: not the unencrypted key of {ledger.certificate}, both in PEM"


def _unread(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    return ""


def _places(hosts: str, port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for host in hosts.split(","):
        place = _HOST.fullmatch(host)
        if not place or not (place["host"] or host == hosts) or not 0 < int(place["port"] or port) <= _LARGEST_PORT:
            raise ValueError("a host is written as host:port, [::1]:port for IPv6, and several with commas between them")
        found.append((place["host"].strip("[]") or "localhost", int(place["port"] or port)))
    return tuple(found)


def _secret(text: str) -> Secret | None:
    return Secret(text) if text else None
