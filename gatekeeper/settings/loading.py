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
from gatekeeper.core.secret import Secret, Secrets
from gatekeeper.core.vocabulary import Duration, Money, Size, micros, money
from gatekeeper.settings import kinds
from gatekeeper.settings.mistakes import mistakes
from gatekeeper.settings.policies import market_mistakes
from gatekeeper.settings.readings import Reading, read
from gatekeeper.settings.sections import Settings, Webhook

_DURATION = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_SIZE = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# An `env:` value here may be unset: it then counts as absent. Anywhere else that is a mistake.
_OPTIONAL = re.compile(
    r"\$\.(webhook\.((route\[\d+\]\.)?app_secret(\[\d+\])?|verify_token|forward_to(\[\d+\])?)|record\.key"
    r"|account\[\d+\]\.(access_token|portfolio_id))"
)
ENV = "env:"
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


def load(given: Reading | Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the file at a path (None: all defaults), or take what was read of it; ConfigError names file and key path."""
    reading = given if isinstance(given, Reading) else read(given)
    return parse(document(reading), name=reading.name, environment=os.environ if environment is None else environment)


def load_all(given: Reading | Path | None, folder: Path) -> tuple[Settings, Rulebook]:
    """Read a configuration and the rules of *folder*, and hold the one to the other; ConfigError."""
    reading = given if isinstance(given, Reading) else read(given)
    settings, book = load(reading), Rulebook.load(folder)
    for where, mistake in market_mistakes(settings, book):
        raise ConfigError(f"{reading.name}: {where}: {mistake}")
    return settings, book


def document(reading: Reading) -> dict[str, Any]:
    """Decode what was read as TOML; ConfigError names the file, line and column."""
    try:
        return tomllib.loads(reading.text.decode("utf-8").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        raise ConfigError(f"{reading.name}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{reading.name}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{reading.name}: {_TOO_DEEP}") from None


def parse(raw: dict[str, Any], *, name: str, environment: Mapping[str, str]) -> Settings:
    """Turn a decoded TOML document into settings; ConfigError names file and key path."""
    webhook = raw.get("webhook", {})
    if isinstance(webhook, dict):  # the defaults of these two are variables, so they pass through the same door
        unwritten = {"app_secret": [*Webhook().app_secret], "verify_token": Webhook().verify_token}
        raw = {**raw, "webhook": {**unwritten, **webhook}}
    try:
        resolved = _from_environment(raw, "$", kinds.whole(), name, environment)
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
        secrets = forwarding["app_secret"]
        forwarding["app_secret"] = secrets if len(secrets) > 1 else secrets[0] if secrets else _shown(Secret())
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


def _from_environment(value: Any, path: str, kind: kinds.Kind, name: str, environment: Mapping[str, str]) -> Any:
    """Replace every `env:NAME`; an optional one that is unset becomes empty."""
    if isinstance(value, dict):
        return {k: _from_environment(v, f"{path}.{k}", kinds.below(kind, k), name, environment) for k, v in value.items()}
    if isinstance(value, list):
        return [_from_environment(v, f"{path}[{i}]", kinds.below(kind, i), name, environment) for i, v in enumerate(value)]
    if not isinstance(value, str) or not value.startswith(ENV):
        return value
    variable = value.removeprefix(ENV)
    if variable in environment:
        found = environment[variable]
        return _toml(found) if kinds.is_number_or_flag(kind) else found
    if _OPTIONAL.fullmatch(path):
        return ""
    raise ConfigError(f"{name}: {path}: {unset(variable, environment)}")


def unset(variable: str, environment: Mapping[str, str]) -> str:
    """Say that a variable is not set, and which one of those that are may be meant."""
    return f"the environment variable {_shortened(variable)} is not set{kinds.nearest(variable, environment, listed=False)}"


def _toml(written: str) -> Any:
    """Read a number or a boolean as TOML writes it; anything else stays text, which is then of the wrong type."""
    try:
        found = tomllib.loads(f"value = {written.strip()}")
    except (ValueError, RecursionError):
        return written
    return found["value"] if len(found) == 1 else written


def _shown(value: Any) -> Any:
    if isinstance(value, Secret):
        return "set" if value else "absent"
    return money(value) if isinstance(value, Money) else int(value)


def _unit(kind: type, value: Any) -> Any:
    if kind is Secret or kind is Secrets:
        return kind.read(value)
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
        return f"{path}.{_shortened(unknown[1])}: unknown key{kinds.nearest(unknown[1], kinds.keys_at(path))}"
    word = re.fullmatch(r"Invalid enum value '(.*)'", message, re.DOTALL)
    if word:
        return f"{path}: {_shortened(message)}{kinds.nearest(word[1], kinds.values_at(path))}"
    item = re.fullmatch(r"(\[\d+\]): (.*)", message)
    if item:
        return f"{path}{item[1]}: {item[2]}"
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
