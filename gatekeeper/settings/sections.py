"""
Own the configuration file's keys and defaults: one TOML file becomes one frozen `Settings`.

Unknown keys are errors, so a typing mistake is never a silent default.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from gatekeeper.core.accounts import Account
from gatekeeper.core.policy import Named, Policy
from gatekeeper.core.secret import Secret, Secrets
from gatekeeper.core.vocabulary import Duration, Size

DEFAULT_UPSTREAM = "https://graph.facebook.com"
EMBEDDED = "embedded"


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Server(_Section, frozen=True, kw_only=True):
    """`[server]`."""

    listen: str = "127.0.0.1:8080"
    admin_listen: str = "127.0.0.1:8081"
    admin_token: Secret = Secret("")
    workers: int = 1
    max_body: Size = Size(1 << 20)
    grace: Duration = Duration(30_000)
    allow_empty: bool = False


class Upstream(_Section, frozen=True, kw_only=True):
    """`[upstream]`."""

    base_url: str = DEFAULT_UPSTREAM
    connect_timeout: Duration = Duration(5_000)
    timeout: Duration = Duration(60_000)


class Ledger(_Section, frozen=True, kw_only=True):
    """`[ledger]`."""

    url: str = EMBEDDED
    cluster: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""
    data_dir: str = "var"
    timeout: Duration = Duration(250)


class Route(_Section, frozen=True, kw_only=True):
    """
    `[[webhook.route]]`: the webhooks of these numbers, and of all numbers of these accounts.

    *app_secret*: what the app signs by that these numbers and accounts belong to. It speaks for them and for no others.
    """

    phone_number_id: tuple[str, ...] = ()
    waba_id: tuple[str, ...] = ()
    forward_to: str | tuple[str, ...]
    app_secret: Secrets = Secrets()


class Webhook(_Section, frozen=True, kw_only=True):
    """`[webhook]`."""

    path: str = "/webhook"
    app_secret: Secrets = Secrets((Secret("env:META_APP_SECRET"),))
    verify_token: Secret = Secret("env:META_VERIFY_TOKEN")
    forward_to: str | tuple[str, ...] = ""
    timeout: Duration = Duration(10_000)
    retry_for: Duration = Duration(300_000)
    route: tuple[Route, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The app's webhook URLs; the first one's status is Meta's answer."""
        return tuple(url for _, url in self.forwards)

    @property
    def forwards(self) -> tuple[tuple[str, str], ...]:
        """Where goes what no route takes: each URL behind its key."""
        return tuple((key, url) for key, url in _keyed("forward_to", self.forward_to) if url)

    def routed(self, n: int) -> tuple[tuple[str, str], ...]:
        """Where goes what the nth route takes: each URL behind its key."""
        return _keyed(f"route[{n}].forward_to", self.route[n].forward_to)


def _keyed(key: str, forward_to: str | tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Give each URL of a key that is one or a list the path by which a person finds it."""
    if isinstance(forward_to, str):
        return ((key, forward_to),)
    return tuple((f"{key}[{n}]", url) for n, url in enumerate(forward_to))


class Recipients(StrEnum):
    """What stands for a recipient in a record."""

    KEPT = "kept"
    PSEUDONYMISED = "pseudonymised"


class Record(_Section, frozen=True, kw_only=True):
    """`[record]`: a history for `gatekeeper replay`, in files of a folder."""

    path: str = ""
    max_file: Size = Size(64 << 20)
    keep: int = 30
    recipients: Recipients = Recipients.PSEUDONYMISED
    key: Secret = Secret("")


class Caller(_Section, frozen=True, kw_only=True):
    """`[[caller]]`: a calling system, the key that it is known by, and the only numbers that it may send from; none: any."""

    name: str
    key: Secret
    phone_number_ids: Named = ()


class Settings(_Section, frozen=True, kw_only=True):
    """The whole file."""

    server: Server = Server()
    upstream: Upstream = Upstream()
    ledger: Ledger = Ledger()
    webhook: Webhook = Webhook()
    record: Record = Record()
    policy: Policy = Policy()
    account: tuple[Account, ...] = ()
    caller: tuple[Caller, ...] = ()

    def revised(self, new: Settings) -> Settings:
        """These settings with everything of *new* that takes effect without a restart."""
        return msgspec.structs.replace(self, webhook=new.webhook, policy=new.policy, account=new.account, caller=new.caller)

    def needs_restart(self, new: Settings) -> list[str]:
        """The keys in which *new* differs and that only a restart puts into effect."""
        return [
            f"{section}.{key}"
            for section in _BY_RESTART
            for key in type(getattr(self, section)).__struct_fields__
            if f"{section}.{key}" not in _WITHOUT and getattr(getattr(self, section), key) != getattr(getattr(new, section), key)
        ]


_BY_RESTART = ("server", "upstream", "ledger", "record")
_WITHOUT = ("server.allow_empty",)  # it is about the reload itself
