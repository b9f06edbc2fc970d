"""Own how the configuration file is read: environment, units, and the path of every mistake in it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gatekeeper.core.errors import ConfigError
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.secret import Secret
from gatekeeper.core.vocabulary import Duration, Money, Size, micros, money
from gatekeeper.settings.mistakes import mistakes
from gatekeeper.settings.policies import market_mistakes
from gatekeeper.settings.sections import Settings, Webhook

_DURATION = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_SIZE = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# An `env:` value here may be unset: it then counts as absent. Anywhere else that is a mistake.
_OPTIONAL = re.compile(
    r"\$\.(webhook\.(app_secret|verify_token|forward_to(\[\d+\])?)|record\.key|account\[\d+\]\.(access_token|portfolio_id))"
)
_ENV = "env:"
_TOO_DEEP = "$: nested too deep"
_LONGEST = 200  # letters of a file's own that a mistake repeats
_MONEY = re.compile(r"\d{1,12}(\.\d{1,6})?")
_DURATIONS = (
    ("server", "grace"),
    ("upstream", "connect_timeout"),
    ("upstream", "timeout"),
    ("ledger", "timeout"),
    ("webhook", "timeout"),
    ("webhook", "retry_for"),
)


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
    except RecursionError:
        raise ConfigError(f"{name}: {_TOO_DEEP}") from None
    return parse(raw, name=name, environment=os.environ if environment is None else environment)


def load_all(path: Path | None, folder: Path) -> tuple[Settings, Rulebook]:
    """Read a configuration and the rules of *folder*, and hold the one to the other; ConfigError."""
    settings, book = load(path), Rulebook.load(folder)
    for where, mistake in market_mistakes(settings, book):
        raise ConfigError(f"{path or 'defaults'}: {where}: {mistake}")
    return settings, book


def parse(raw: dict[str, Any], *, name: str, environment: Mapping[str, str]) -> Settings:
    """Turn a decoded TOML document into settings; ConfigError names file and key path."""
    webhook = raw.get("webhook", {})
    if isinstance(webhook, dict):  # the defaults of these two are variables, so they pass through the same door
        raw = {**raw, "webhook": {"app_secret": Webhook().app_secret, "verify_token": Webhook().verify_token, **webhook}}
    try:
        resolved = _from_environment(raw, "$", name, environment)
        settings = msgspec.convert(resolved, Settings, dec_hook=_unit)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_path_first(resolved, str(error))}") from None
    except UnicodeEncodeError:
        raise ConfigError(f"{name}: {_unwritten(resolved)}: not UTF-8 text") from None
    except RecursionError:
        raise ConfigError(f"{name}: {_TOO_DEEP}") from None
    for path, mistake in mistakes(settings):
        raise ConfigError(f"{name}: {path}: {mistake}")
    return settings


def described(settings: Settings) -> dict[str, Any]:
    """The settings as plain values for a person, secrets left out."""
    shown: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=_shown)
    for section, key in _DURATIONS:
        shown[section][key] = f"{shown[section][key]}ms"
    for hold in shown["policy"]["hold"]:
        hold["deadline"] = f"{hold['deadline']}ms"
    shown["ledger"]["url"] = re.sub(r"(?<=//)[^/?]*(?=@)|(?<=password=)[^&]*", "…", shown["ledger"]["url"])
    for forwarding in (shown["webhook"], *shown["webhook"]["route"]):
        forwarding["forward_to"] = _hidden(forwarding["forward_to"])
    for kind in ("rule", "budget", "hold", "fallback"):  # a condition that is not given is none
        shown["policy"][kind] = [
            {key: value for key, value in one.items() if value not in ((), None, "")} for one in shown["policy"][kind]
        ]
    return shown


def _hidden(forward_to: str | list[str]) -> str | list[str]:
    """The app's URLs without what may be a secret in them: who logs in, and the query."""
    if isinstance(forward_to, str):
        return re.sub(r"(?<=//)[^/?]*(?=@)|(?<=\?).+", "…", forward_to)
    return [str(_hidden(url)) for url in forward_to]


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


def _shown(value: Any) -> Any:
    if isinstance(value, Secret):
        return "set" if value else "absent"
    return money(value) if isinstance(value, Money) else int(value)


def _unit(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret.read(value)
    if kind is Money:
        if not isinstance(value, str) or not _MONEY.fullmatch(value):
            raise ValueError('write an amount as a decimal string, for example "0.05"')
        return Money(micros(value))
    for wanted, units in ((Duration, _DURATION), (Size, _SIZE)):
        if kind is wanted:
            found = re.fullmatch(r"(\d{1,9})\s*([A-Za-z]+)", value) if isinstance(value, str) else None
            if not found or found[2] not in units or not int(found[1]):
                raise ValueError(f"write a number and one of {', '.join(units)}, for example 5{list(units)[1]}")
            return wanted(int(found[1]) * units[found[2]])
    raise TypeError(f"no unit is written as {kind.__name__}")


def _path_first(raw: dict[str, Any], text: str) -> str:
    """Turn msgspec's `text - at `path`` into `path: text`."""
    message, _, path = text.rpartition(" - at ") if text.endswith("`") and " - at `" in text else (text, "", "")
    path = _located(raw, path.strip("`") or "$")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message, re.DOTALL)
    if unknown:
        return f"{path}.{_shortened(unknown[1])}: unknown key"
    missing = re.fullmatch(r"Object missing required field `(.+)`", message)
    if missing:
        return f"{path}.{missing[1]}: required key is missing"
    return f"{path}: {_shortened(message)}"


def _shortened(text: str) -> str:
    """What a file says, as a line can hold it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_LONGEST])


def _located(raw: dict[str, Any], path: str) -> str:
    """Give each `[...]` of msgspec's path its index, or its key: that of the first item that already fails."""
    while "[...]" in path:
        before, _, behind = path.partition("[...]")
        *parents, last = re.findall(r"\.(\w+)(?:\[(\d+)\])?", before)
        holder: Any = raw
        for key, index in parents:
            holder = holder[key][int(index)] if index else holder[key]
        path = f"{before}{_failing(raw, holder, last[0])}{behind}"
    return path


def _failing(raw: dict[str, Any], holder: dict[str, Any], key: str) -> str:
    """The place in a list or a table of the first item without which all would be well so far."""
    whole = holder[key]
    table = isinstance(whole, dict)
    items = list(whole.items()) if table else whole
    for n in range(len(items)):
        holder[key] = dict(items[: n + 1]) if table else items[: n + 1]
        try:
            msgspec.convert(raw, Settings, dec_hook=_unit)
        except msgspec.ValidationError:
            break
    holder[key] = whole
    return f".{_shortened(items[n][0]).replace('[...]', '[…]')}" if table else f"[{n}]"


def _unwritten(value: Any, path: str = "$") -> str:
    """The place of the first text that is no UTF-8, as a variable of the environment may be."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found = _unwritten(item, f"{path}[{key}]" if isinstance(value, list) else f"{path}.{_shortened(str(key))}")
        if found:
            return found
    return (
        path if isinstance(value, str) and not isinstance(value, Secret) and any("\ud800" <= c <= "\udfff" for c in value) else ""
    )
