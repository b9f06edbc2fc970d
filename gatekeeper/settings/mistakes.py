"""Own what the types of the configuration cannot say: each mistake with its key path."""

from __future__ import annotations

import re
import zoneinfo
from urllib.parse import urlsplit

from gatekeeper.core.accounts import Account
from gatekeeper.settings.sections import EMBEDDED, Settings


def address(listen: str) -> tuple[str, int]:
    """Split `host:port` (`[::1]:8080` for IPv6); ValueError when it is not that."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the largest port
        raise ValueError(f"{listen!r} is not host:port")
    return host.strip("[]") or "127.0.0.1", int(port)


def mistakes(settings: Settings) -> list[tuple[str, str]]:
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
