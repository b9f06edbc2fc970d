"""
Own the configuration file: its keys, defaults, units and the path of every mistake in it.

One TOML file becomes one frozen `Settings`. Unknown keys are errors, so a typing mistake is never a silent default.
"""

from __future__ import annotations

import os
import re
import tomllib
import zoneinfo
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.errors import ConfigError
from gatekeeper.core.vocabulary import Mode

DEFAULT_UPSTREAM = "https://graph.facebook.com"
EMBEDDED = "embedded"
_DURATION = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_SIZE = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# An `env:` value here may be unset: it then counts as absent. Anywhere else that is a mistake.
_OPTIONAL = re.compile(
    r"\$\.(webhook\.(app_secret|verify_token|forward_to(\[\d+\])?)|account\[\d+\]\.(access_token|portfolio_id))"
)
_ENV = "env:"


class Duration(int):
    """Milliseconds, written `250ms`, `5s`, `2m` or `1h`."""


class Size(int):
    """Bytes, written `512KiB` or `1MiB`."""


class ColdStart(StrEnum):
    """What an unseen window is before the ledger has watched long enough."""

    UNKNOWN = "unknown"
    CLOSED = "closed"


class LedgerFailure(StrEnum):
    """What becomes of a send while the ledger is out of reach."""

    ALLOW = "allow"
    BLOCK = "block"


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Server(_Section, frozen=True, kw_only=True):
    """`[server]`."""

    listen: str = "127.0.0.1:8080"
    admin_listen: str = "127.0.0.1:8081"
    workers: int = 1
    max_body: Size = Size(1 << 20)
    grace: Duration = Duration(30_000)


class Upstream(_Section, frozen=True, kw_only=True):
    """`[upstream]`."""

    base_url: str = DEFAULT_UPSTREAM
    connect_timeout: Duration = Duration(5_000)
    timeout: Duration = Duration(60_000)


class Ledger(_Section, frozen=True, kw_only=True):
    """`[ledger]`."""

    url: str = EMBEDDED
    cluster: bool = False
    data_dir: str = "var"
    timeout: Duration = Duration(250)


class Webhook(_Section, frozen=True, kw_only=True):
    """`[webhook]`."""

    path: str = "/webhook"
    app_secret: str = "env:META_APP_SECRET"  # noqa: S105 - the name of a variable
    verify_token: str = "env:META_VERIFY_TOKEN"  # noqa: S105 - the name of a variable
    forward_to: str | tuple[str, ...] = ""

    @property
    def targets(self) -> tuple[str, ...]:
        """The app's webhook URLs; the first one's status is Meta's answer."""
        listed = (self.forward_to,) if isinstance(self.forward_to, str) else self.forward_to
        return tuple(url for url in listed if url)


class Policy(_Section, frozen=True, kw_only=True):
    """`[policy]`."""

    mode: Mode = Mode.ENFORCE
    cold_start: ColdStart = ColdStart.UNKNOWN
    ledger_failure: LedgerFailure = LedgerFailure.ALLOW
    reaction_opens_window: bool = False


class Settings(_Section, frozen=True, kw_only=True):
    """The whole file."""

    server: Server = Server()
    upstream: Upstream = Upstream()
    ledger: Ledger = Ledger()
    webhook: Webhook = Webhook()
    policy: Policy = Policy()
    account: tuple[Account, ...] = ()


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the file at *path* (None: all defaults); ConfigError names file and key path."""
    name = str(path) if path else "defaults"
    try:
        raw = tomllib.loads(path.read_text("utf-8")) if path else {}
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from None
    return parse(raw, name=name, environment=os.environ if environment is None else environment)


def parse(raw: dict[str, Any], *, name: str, environment: Mapping[str, str]) -> Settings:
    """Turn a decoded TOML document into settings; ConfigError names file and key path."""
    webhook = raw.get("webhook", {})
    if isinstance(webhook, dict):  # the defaults of these two are variables, so they pass through the same door
        raw = {**raw, "webhook": {"app_secret": Webhook().app_secret, "verify_token": Webhook().verify_token, **webhook}}
    try:
        resolved = _from_environment(raw, "$", name, environment)
        settings = msgspec.convert(resolved, Settings, dec_hook=_unit)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_located(resolved, _path_first(str(error)))}") from None
    for path, mistake in _mistakes(settings):
        raise ConfigError(f"{name}: {path}: {mistake}")
    return settings


def address(listen: str) -> tuple[str, int]:
    """Split `host:port` (`[::1]:8080` for IPv6); ValueError when it is not that."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the largest port
        raise ValueError(f"{listen!r} is not host:port")
    return host.strip("[]") or "127.0.0.1", int(port)


def described(settings: Settings) -> dict[str, Any]:
    """The settings as plain values for a person, secrets left out."""
    shown: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=int)
    for section, key in (("webhook", "app_secret"), ("webhook", "verify_token")):
        shown[section][key] = "set" if shown[section][key] else "absent"
    for account in shown["account"]:
        account["access_token"] = "set" if account["access_token"] else "absent"
    for section, key in (("server", "grace"), ("upstream", "connect_timeout"), ("upstream", "timeout"), ("ledger", "timeout")):
        shown[section][key] = f"{shown[section][key]}ms"
    shown["ledger"]["url"] = re.sub(r"(?<=//)[^@/]*(?=@)|(?<=password=)[^&]*", "…", shown["ledger"]["url"])
    return shown


def _from_environment(value: Any, path: str, name: str, environment: Mapping[str, str]) -> Any:
    """Replace every `env:NAME`; an optional one that is unset becomes empty."""
    if isinstance(value, dict):
        return {k: _from_environment(v, f"{path}.{k}", name, environment) for k, v in value.items()}
    if isinstance(value, list):
        return [_from_environment(v, f"{path}[{i}]", name, environment) for i, v in enumerate(value)]
    if not isinstance(value, str) or not value.startswith(_ENV):
        return value
    variable = value.removeprefix(_ENV)
    if variable in environment:
        return environment[variable]
    if _OPTIONAL.fullmatch(path):
        return ""
    raise ConfigError(f"{name}: {path}: the environment variable {variable} is not set")


def _unit(kind: type, value: Any) -> Any:
    for wanted, units in ((Duration, _DURATION), (Size, _SIZE)):
        if kind is wanted:
            found = re.fullmatch(r"(\d{1,9})\s*([A-Za-z]+)", value) if isinstance(value, str) else None
            if not found or found[2] not in units or not int(found[1]):
                raise ValueError(f"write a number and one of {', '.join(units)}, for example 5{list(units)[1]}")
            return wanted(int(found[1]) * units[found[2]])
    raise TypeError(f"no unit is written as {kind.__name__}")


def _path_first(text: str) -> str:
    """Turn msgspec's `text - at `path`` into `path: text`."""
    message, _, path = text.partition(" - at ")
    path = path.strip("`") or "$"
    unknown = re.fullmatch(r"Object contains unknown field `(.+)`", message)
    if unknown:
        return f"{path}.{unknown[1]}: unknown key"
    missing = re.fullmatch(r"Object missing required field `(.+)`", message)
    if missing:
        return f"{path}.{missing[1]}: required key is missing"
    return f"{path}: {message}"


def _located(raw: dict[str, Any], mistake: str) -> str:
    """Give the first `[...]` of msgspec's path its index: that of the shortest list that already fails."""
    while "[...]" in mistake:
        path = mistake[: mistake.index("[...]")]
        *parents, last = re.findall(r"\.(\w+)(?:\[(\d+)\])?", path)
        holder: Any = raw
        for key, index in parents:
            holder = holder[key][int(index)] if index else holder[key]
        whole = holder[last[0]]
        for n in range(len(whole)):
            holder[last[0]] = whole[: n + 1]
            try:
                msgspec.convert(raw, Settings, dec_hook=_unit)
            except msgspec.ValidationError:
                break
        holder[last[0]] = whole
        mistake = mistake.replace("[...]", f"[{n}]", 1)
    return mistake


def _mistakes(settings: Settings) -> list[tuple[str, str]]:
    """What types alone cannot say, each with its key path."""
    found: list[tuple[str, str]] = []
    for key in ("listen", "admin_listen"):
        try:
            address(getattr(settings.server, key))
        except ValueError as error:
            found.append((f"$.server.{key}", str(error)))
    if settings.server.workers < 1:
        found.append(("$.server.workers", "at least 1"))
    if not settings.webhook.path.startswith("/"):
        found.append(("$.webhook.path", "starts with a slash"))
    if not re.fullmatch(r"https?://[^/?#]+[^?#]*", settings.upstream.base_url) or not _port_fits(settings.upstream.base_url):
        found.append(("$.upstream.base_url", "an http:// or https:// URL"))
    listed = not isinstance(settings.webhook.forward_to, str)
    for n, url in enumerate(settings.webhook.targets):
        if not re.match(r"https?://[^/]", url) or not _port_fits(url):
            found.append((f"$.webhook.forward_to[{n}]" if listed else "$.webhook.forward_to", "an http:// or https:// URL"))
    fits = re.match(r"(rediss?|unix)://", settings.ledger.url) and _port_fits(settings.ledger.url)
    if settings.ledger.url != EMBEDDED and not fits:
        found.append(("$.ledger.url", '"embedded" or a redis://, rediss:// or unix:// URL'))
    if settings.ledger.cluster and settings.ledger.url == EMBEDDED:
        found.append(("$.ledger.cluster", "the embedded ledger is not a cluster"))
    numbers: dict[str, int] = {}
    wabas: set[str] = set()
    for n, account in enumerate(settings.account):
        found += [(f"$.account[{n}].{key}", mistake) for key, mistake in _account_mistakes(account)]
        if account.waba_id in wabas:
            found.append((f"$.account[{n}].waba_id", "named by an account above"))
        wabas.add(account.waba_id)
        for m, number in enumerate(account.phone_number_ids):
            if numbers.setdefault(number, n) != n:
                found.append((f"$.account[{n}].phone_number_ids[{m}]", f"also named by account[{numbers[number]}]"))
    return found


def _account_mistakes(account: Account) -> list[tuple[str, str]]:
    found = []
    try:
        zoneinfo.ZoneInfo(account.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        found.append(("timezone", f"{account.timezone!r} is not an IANA time zone such as America/Los_Angeles"))
    if not re.fullmatch(r"[A-Z]{3}", account.currency):
        found.append(("currency", f"{account.currency!r} is not a currency code such as USD"))
    ids = (("waba_id", r"\d+"), ("portfolio_id", r"\d*"))
    found += [(key, "an id of digits") for key, shape in ids if not re.fullmatch(shape, getattr(account, key))]
    found += [
        (f"phone_number_ids[{m}]", "an id of digits")
        for m, number in enumerate(account.phone_number_ids)
        if not re.fullmatch(r"\d+", number)
    ]
    templates = enumerate(account.template)
    found += [
        (f"template[{m}].{key}", "must not be empty") for m, t in templates for key in ("name", "language") if not getattr(t, key)
    ]
    named = [(template.name, template.language) for template in account.template]
    found += [(f"template[{m}]", "this name and language stand above") for m, key in enumerate(named) if key in named[:m]]
    return found


def _port_fits(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
