"""Own the questions to a running gate: where its admin listener is, what it answers, and what becomes of one that does not."""

from __future__ import annotations

import argparse
import http.client
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from gatekeeper.core.errors import ConfigError, GatekeeperError, InputError
from gatekeeper.settings import address, load

_PATIENCE_S = 30
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to connect for one that listens there
_CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
_URL = re.compile(r"((?P<scheme>https?)://)?(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?(/[\w./~-]*)?", re.ASCII)
_T = TypeVar("_T")


class GateError(GatekeeperError):
    """A running gate could not be asked, or did not answer as one."""

    source: ClassVar[str] = "gate"
    retryable: ClassVar[bool] = True


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    detail: str = ""


class Gate:
    """A running gate, as its admin listener tells of it."""

    def __init__(self, url: str) -> None:
        """*url* of the admin listener; InputError when it is none."""
        found = _URL.fullmatch(url)
        try:
            if found is None:
                raise ValueError("it may hold a password, so it is not repeated")
            self._url = url if found["scheme"] else f"http://{url}"
            parts = urlsplit(self._url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            raise InputError("--admin: write the URL of a gate's admin listener, for example http://127.0.0.1:8081") from None
        self._scheme, self._prefix = parts.scheme, parts.path.rstrip("/")

    @classmethod
    def of_config(cls, path: Path | None) -> Self:
        """The gate that runs with the configuration at *path* (None: with the defaults)."""
        host, port = address(load(path).server.admin_listen)
        if not port:
            raise ConfigError(f"{path}: $.server.admin_listen: has no port of its own; name the gate with --admin URL")
        host = _EVERYWHERE.get(host, host)
        return cls(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    def ask(
        self,
        kind: type[_T],
        path: str,
        *,
        question: object = None,
        dec_hook: Callable[[type, Any], Any] | None = None,
        **query: str | None,
    ) -> _T:
        """Ask for one answer; GateError when there is none, InputError when the gate says that the question is wrong."""
        asked = {name: value for name, value in query.items() if value is not None}
        posted = None if question is None else msgspec.json.encode(question)
        status, body = self._said(self._prefix + path + (f"?{urlencode(asked)}" if asked else ""), posted)
        if status == http.client.BAD_REQUEST:
            raise InputError(_detail(body))
        if status == http.client.SERVICE_UNAVAILABLE:
            raise GateError(f"the gate at {self._url} cannot answer now: {_detail(body)}")
        try:
            if status == http.client.OK:
                return msgspec.json.decode(body, type=kind, dec_hook=dec_hook)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise GateError(
                f"what answers at {self._url} is not a gate's admin listener: {path} is not as one writes it"
            ) from None
        raise GateError(f"what answers at {self._url} is not a gate's admin listener: {path} is answered {status}")

    def _said(self, target: str, posted: bytes | None) -> tuple[int, bytes]:
        connection = _CONNECTIONS[self._scheme](self._host, self._port, timeout=_PATIENCE_S)
        try:
            method = "GET" if posted is None else "POST"
            connection.request(method, target, body=posted, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            said = printable(getattr(error, "strerror", None) or str(error).strip() or type(error).__name__)
            raise GateError(f"no gate answers at {self._url}: {said}; is it running, and is that its admin listener?") from None
        finally:
            connection.close()


def printable(text: str) -> str:
    """Show what a terminal would obey, a line feed or an escape, as it is written in code."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _detail(body: bytes) -> str:
    """The detail of an RFC 9457 problem."""
    try:
        said = msgspec.json.decode(body, type=_Problem).detail
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = ""
    return printable(said) or "no reason is given"


def add_gate(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which gate to ask."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--config", type=Path, metavar="FILE", help="the gate's configuration, which says where it listens (default: none)"
    )
    which.add_argument("--admin", metavar="URL", help="the gate's admin listener, such as http://127.0.0.1:8081")
