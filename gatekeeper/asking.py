"""Own the questions to a running gate: where its admin listener is, what it answers, and what becomes of one that does not."""

from __future__ import annotations

import argparse
import http.client
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from gatekeeper.core.errors import ConfigError, GatekeeperError, InputError
from gatekeeper.settings import address, load

_PATIENCE_S = 30
_JSON = "application/json"
_SECRET = re.compile(r"[!-~]+")
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

    def __init__(self, url: str, *, token: str = "", keys: Mapping[str, str] | None = None) -> None:
        """*url* of the admin listener; InputError when it is none. *token* of the listener, and the *keys* of callers by their names."""
        self._token = token
        self.keys: Mapping[str, str] = keys or {}
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
    def given(cls, given: argparse.Namespace) -> Self:
        """The gate that a command line names."""
        token = None if given.token_env is None else from_variable(given.token_env, "--token-env")
        return cls.of_config(given.config, token=token) if given.admin is None else cls(given.admin, token=token or "")

    @classmethod
    def of_config(cls, path: Path | None, *, token: str | None = None) -> Self:
        """The gate that runs with the configuration at *path* (None: with the defaults); *token* in place of the one that stands there."""
        settings = load(path)
        token = settings.server.admin_token if token is None else token
        keys = {caller.name: caller.key for caller in settings.caller}
        host, port = address(settings.server.admin_listen)
        if not port:
            raise ConfigError(f"{path}: $.server.admin_listen: has no port of its own; name the gate with --admin URL")
        host = _EVERYWHERE.get(host, host)
        return cls(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", token=token, keys=keys)

    def ask(
        self,
        kind: type[_T],
        path: str,
        *,
        question: object = None,
        dec_hook: Callable[[type, Any], Any] | None = None,
        headers: Mapping[str, str] | None = None,
        patience_s: float = _PATIENCE_S,
        **query: str | None,
    ) -> _T:
        """Ask for one answer; GateError when there is none, InputError when the gate says that the question or its right is wrong."""
        asked = {name: value for name, value in query.items() if value is not None}
        posted = None if question is None else msgspec.json.encode(question)
        target = self._prefix + path + (f"?{urlencode(asked)}" if asked else "")
        status, body = self._said(target, posted, headers or {}, patience_s)
        if status == http.client.BAD_REQUEST:
            raise InputError(_detail(body))
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            raise InputError(f"the gate at {self._url} does not answer everybody: {_detail(body)}")
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

    def _said(self, target: str, posted: bytes | None, more: Mapping[str, str], patience_s: float) -> tuple[int, bytes]:
        connection = _CONNECTIONS[self._scheme](self._host, self._port, timeout=patience_s)
        headers = {"Accept": _JSON, **({} if posted is None else {"Content-Type": _JSON}), **more}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            method = "GET" if posted is None else "POST"
            connection.request(method, target, body=posted, headers=headers)
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


def from_variable(name: str, option: str) -> str:
    """The secret in a variable of the environment; InputError, which says nothing of it, when there is none."""
    found = os.environ.get(name, "")
    if not _SECRET.fullmatch(found):
        wrong = "holds more than one word of printable ASCII" if found else "is not set"
        raise InputError(f"{option}: the environment variable {printable(name)} {wrong}")
    return found


def add_gate(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which gate to ask."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--config", type=Path, metavar="FILE", help="the gate's configuration, which says where it listens (default: none)"
    )
    which.add_argument("--admin", metavar="URL", help="the gate's admin listener, such as http://127.0.0.1:8081")
    parser.add_argument(
        "--token-env",
        metavar="NAME",
        help="the environment variable that holds the admin listener's token (default: the configuration's server.admin_token)",
    )
