"""The configuration file: units, addresses, variables of the environment, and what is shown of it."""

from __future__ import annotations

import pytest

from gatekeeper.core.errors import ConfigError
from gatekeeper.core.vocabulary import Mode
from gatekeeper.settings import ColdStart, LedgerFailure, Settings, address, described, load, parse


def parsed(raw, **environment):
    return parse(raw, name="test.toml", environment=environment)


def test_nothing_is_all_defaults():
    """An empty file is valid."""
    settings = parsed({})

    assert ("127.0.0.1:8080", "127.0.0.1:8081", 1, 1 << 20, 30_000) == (
        settings.server.listen,
        settings.server.admin_listen,
        settings.server.workers,
        settings.server.max_body,
        settings.server.grace,
    )
    assert ("https://graph.facebook.com", 5_000, 60_000) == (
        settings.upstream.base_url,
        settings.upstream.connect_timeout,
        settings.upstream.timeout,
    )
    assert ("embedded", False, "var", 250) == (
        settings.ledger.url,
        settings.ledger.cluster,
        settings.ledger.data_dir,
        settings.ledger.timeout,
    )
    assert ("/webhook", (), "", (), 10_000, 300_000, ()) == (
        settings.webhook.path,
        settings.webhook.app_secret,
        settings.webhook.verify_token,
        settings.webhook.targets,
        settings.webhook.timeout,
        settings.webhook.retry_for,
        settings.webhook.route,
    )
    assert (Mode.ENFORCE, ColdStart.UNKNOWN, LedgerFailure.ALLOW, False) == (
        settings.policy.mode,
        settings.policy.cold_start,
        settings.policy.ledger_failure,
        settings.policy.reaction_opens_window,
    )
    assert ((), settings) == (settings.account, load(None, {}))


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [("1ms", 1), ("250ms", 250), ("5s", 5_000), ("90 s", 90_000), ("2m", 120_000), ("1h", 3_600_000), ("0001s", 1_000)],
)
def test_a_duration_is_a_number_and_a_unit(written, milliseconds):
    """It is kept in milliseconds."""
    assert milliseconds == parsed({"server": {"grace": written}}).server.grace


@pytest.mark.parametrize(
    ("written", "size"), [("1B", 1), ("512 B", 512), ("64KiB", 65_536), ("1MiB", 1_048_576), ("2GiB", 2_147_483_648)]
)
def test_a_size_is_a_number_and_a_unit(written, size):
    """It is kept in bytes."""
    assert size == parsed({"server": {"max_body": written}}).server.max_body


@pytest.mark.parametrize(
    "written", ["", "s", "5", "5S", "5 sec", "1.5s", "-5s", "0s", "5s5s", "9999999999s", 5, 5.0, True, None, []]
)
def test_what_is_no_duration_is_refused(written):
    """A number alone has no unit, and no time at all is none."""
    with pytest.raises(ConfigError, match=r"^test\.toml: \$\.upstream\.timeout: "):
        parsed({"upstream": {"timeout": written}})


@pytest.mark.parametrize("written", ["", "MiB", "1", "1mib", "1MB", "1.5MiB", "-1B", "0B", 1, None])
def test_what_is_no_size_is_refused(written):
    """Sizes are counted in powers of two, and say so."""
    with pytest.raises(ConfigError, match=r"^test\.toml: \$\.server\.max_body: "):
        parsed({"server": {"max_body": written}})


@pytest.mark.parametrize(
    ("listen", "split"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::]:8080", ("::", 8080)),
        (":8080", ("127.0.0.1", 8080)),
    ],
)
def test_an_address_is_a_host_and_a_port(listen, split):
    """Without a host it is loopback: nothing is open to the world by omission."""
    assert split == address(listen)


@pytest.mark.parametrize("listen", ["", "8080", "localhost", "localhost:", "localhost:http", "localhost:-1", "localhost:65536"])
def test_what_is_no_address_is_refused(listen):
    """Both listeners are held to it."""
    for key in ("listen", "admin_listen"):
        with pytest.raises(ConfigError, match=rf"^test\.toml: \$\.server\.{key}: "):
            parsed({"server": {key: listen}})


@pytest.mark.parametrize(
    ("forward_to", "targets"),
    [
        ("", ()),
        ([], ()),
        ("http://app/hook", ("http://app/hook",)),
        (["http://a", "https://b/c"], ("http://a", "https://b/c")),
        (["", "http://b"], ("http://b",)),
    ],
)
def test_webhooks_are_forwarded_to_none_one_or_several(forward_to, targets):
    """Their order is kept: the first one decides."""
    assert targets == parsed({"webhook": {"forward_to": forward_to}}).webhook.targets


def test_a_target_is_known_by_the_key_under_which_it_stands():
    """Logs, metrics and mistakes name it so, for the URL itself may hold a secret."""
    routes = [{"waba_id": ["1"], "forward_to": "http://a"}, {"phone_number_id": ["2"], "forward_to": ["http://b", "http://a"]}]
    webhook = parsed({"webhook": {"forward_to": ["", "http://c"], "route": routes}}).webhook

    assert (("forward_to[1]", "http://c"),) == webhook.forwards
    assert [
        (("route[0].forward_to", "http://a"),),
        (("route[1].forward_to[0]", "http://b"), ("route[1].forward_to[1]", "http://a")),
    ] == [webhook.routed(n) for n in range(2)]


@pytest.mark.parametrize(
    ("listen", "url", "own"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("127.0.0.1:8080", "http://LOCALHOST:8080/any/path", True),
        ("127.0.0.1:80", "http://127.0.0.1/", True),
        ("127.0.0.1:443", "https://127.0.0.1/", True),
        ("localhost:8080", "http://[::1]:8080/", True),
        ("0.0.0.0:8080", "http://0.0.0.0:8080/", True),
        ("[::]:8080", "http://127.0.0.1:8080/", True),
        ("gate.internal:8080", "http://user@Gate.Internal.:8080/", True),
        ("127.0.0.1:8080", "http://127.0.0.1:8081", False),
        ("127.0.0.1:8080", "http://127.0.0.1/", False),
        ("127.0.0.1:8080", "http://[::1]:8080", False),
        ("0.0.0.0:8080", "http://app.internal:8080", False),
        ("127.0.0.1:0", "http://127.0.0.1:8080", False),
    ],
)
def test_a_webhook_is_not_forwarded_to_the_gate_itself(listen, url, own):
    """It would go round until the last connection is taken. What only the network knows cannot be told here."""
    raw = {"server": {"listen": listen, "admin_listen": "127.0.0.1:1"}, "webhook": {"forward_to": url}}
    try:
        refused = parsed(raw) is None
    except ConfigError as error:
        refused = "test.toml: $.webhook.forward_to: the gate's own address ($.server.listen)" == str(error)

    assert own == refused


def test_a_variable_of_the_environment_is_read():
    """Wherever a string stands, in lists too."""
    settings = parsed(
        {
            "upstream": {"base_url": "env:UPSTREAM"},
            "webhook": {"app_secret": "env:SECRET", "forward_to": ["env:APP", "http://b"]},
            "account": [{"waba_id": "env:WABA", "phone_number_ids": ["env:NUMBER"], "access_token": "env:TOKEN"}],
        },
        UPSTREAM="http://127.0.0.1:1",
        SECRET="s3",
        APP="http://a",
        WABA="1",
        NUMBER="2",
        TOKEN="t",
    )
    [account] = settings.account

    assert ("http://127.0.0.1:1", ("s3",), ("http://a", "http://b")) == (
        settings.upstream.base_url,
        settings.webhook.app_secret,
        settings.webhook.targets,
    )
    assert ("1", ("2",), "t") == (account.waba_id, account.phone_number_ids, account.access_token)


@pytest.mark.parametrize("webhook", [{}, {"path": "/hook"}])
def test_the_webhooks_secrets_are_read_from_metas_variables(webhook):
    """They need not be written down at all."""
    settings = parsed({"webhook": webhook}, META_APP_SECRET="s3", META_VERIFY_TOKEN="vt")

    assert (("s3",), "vt") == (settings.webhook.app_secret, settings.webhook.verify_token)


@pytest.mark.parametrize(
    "raw",
    [
        {"webhook": {"app_secret": "env:UNSET"}},
        {"webhook": {"verify_token": "env:UNSET"}},
        {"webhook": {"forward_to": "env:UNSET"}},
        {"webhook": {"forward_to": ["env:UNSET"]}},
        {"account": [{"waba_id": "1", "access_token": "env:UNSET", "portfolio_id": "env:UNSET"}]},
    ],
)
def test_an_optional_variable_that_is_unset_counts_as_absent(raw):
    """Secrets and what else may be empty are then as if nobody had written them."""
    settings = parsed(raw)
    absent = parsed({"account": [{"waba_id": "1"}]} if "account" in raw else {})

    assert (absent.webhook.targets, absent.webhook.app_secret, absent.account) == (
        settings.webhook.targets,
        settings.webhook.app_secret,
        settings.account,
    )


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({"server": {"listen": "env:UNSET"}}, "$.server.listen"),
        ({"ledger": {"url": "env:UNSET"}}, "$.ledger.url"),
        ({"webhook": {"path": "env:UNSET"}}, "$.webhook.path"),
        ({"account": [{"waba_id": "1"}, {"waba_id": "env:UNSET"}]}, "$.account[1].waba_id"),
        ({"account": [{"waba_id": "1", "template": [{"name": "env:UNSET", "language": "en"}]}]}, "$.account[0].template[0].name"),
    ],
)
def test_any_other_variable_that_is_unset_is_a_mistake(raw, path):
    """It is named with its key."""
    with pytest.raises(ConfigError) as raised:
        parsed(raw)

    assert f"test.toml: {path}: the environment variable UNSET is not set" == str(raised.value)


@pytest.mark.parametrize(
    ("section", "key", "written", "read"),
    [
        ("server", "workers", "4", 4),
        ("server", "workers", " 0x10 ", 16),
        ("server", "workers", "1_000", 1000),
        ("server", "allow_empty", "true", True),
        ("policy", "reaction_opens_window", "false", False),
        ("record", "keep", "7", 7),
        ("server", "grace", "5s", 5000),
        ("upstream", "base_url", "http://1", "http://1"),
    ],
)
def test_a_variable_of_a_number_or_a_flag_is_read_as_toml(section, key, written, read):
    """As TOML writes it; what is text stays text."""
    assert read == getattr(getattr(parsed({section: {key: "env:VALUE"}}, VALUE=written), section), key)


@pytest.mark.parametrize("written", ["", "many", "1.5", '"4"', "4\nlisten = 1", "[4]", "true"])
def test_a_variable_that_is_no_number_is_a_mistake(written):
    """It adds no key of its own either."""
    with pytest.raises(ConfigError, match=r"^test\.toml: \$\.server\.workers: Expected `int`"):
        parsed({"server": {"workers": "env:VALUE"}}, VALUE=written)


def test_a_limit_may_come_from_the_environment():
    """Where a number may be left out, and deep in a list."""
    opening = {"month": "2026-11", "free_used": "env:RATE"}
    raw = {
        "policy": {"limits": {"throughput": "env:RATE", "pair_rate": "env:PAIR"}},
        "account": [{"waba_id": "1"}, {"waba_id": "2", "direct_send": "env:PAIR", "opening": [opening]}],
    }
    settings = parsed(raw, RATE="80", PAIR="true")

    assert (80, True, True, 80) == (
        settings.policy.limits.throughput,
        settings.policy.limits.pair_rate,
        settings.account[1].direct_send,
        settings.account[1].opening[0].free_used,
    )


@pytest.mark.parametrize(
    ("written", "secrets"),
    [
        ("s1", ("s1",)),
        (["s1", "s2"], ("s1", "s2")),
        ([], ()),
        ("", ()),
        (["", "s2"], ("s2",)),
        (["env:A", "env:UNSET"], ("of A",)),
    ],
)
def test_there_may_be_several_app_secrets(written, secrets):
    """Those that are absent are left out; a route's are read alike."""
    route = {"waba_id": ["1"], "forward_to": "http://a", "app_secret": written}
    webhook = parsed({"webhook": {"app_secret": written, "route": [route]}}, A="of A").webhook

    assert (secrets, secrets) == (webhook.app_secret, webhook.route[0].app_secret)
    assert [] == [secret for secret in secrets if secret in repr(webhook)]


def test_a_variable_is_read_once():
    """A value that looks like another variable is a value."""
    assert ("env:B",) == parsed({"webhook": {"app_secret": "env:A"}}, A="env:B", B="x").webhook.app_secret


@pytest.mark.parametrize(
    "raw", [{"webhook": 1}, {"account": "x"}, {"account": [1]}, {"account": [{"waba_id": "1", "template": {}}]}, {"x": 1}]
)
def test_a_file_of_another_shape_is_a_mistake(raw):
    """Whatever stands where a section should, one line says where."""
    with pytest.raises(ConfigError, match=r"^test\.toml: \$\.\w+"):
        parsed(raw)


SECRET = {
    "ledger": {"url": "rediss://user:hidden-1@example.com:6380/1"},
    "webhook": {"app_secret": "hidden-2", "verify_token": "hidden-3"},
    "account": [{"waba_id": "1", "access_token": "hidden-4"}, {"waba_id": "2"}],
}


def test_what_is_shown_has_no_secret():
    """A secret is set or absent; everything else is shown."""
    shown = described(parsed(SECRET))

    assert "hidden" not in str(shown)
    assert ("rediss://…@example.com:6380/1", "set", "set", ["set", "absent"]) == (
        shown["ledger"]["url"],
        shown["webhook"]["app_secret"],
        shown["webhook"]["verify_token"],
        [account["access_token"] for account in shown["account"]],
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hidden@localhost",
        "redis://user:hid@den@localhost/0",
        "redis://localhost?password=hidden",
        "unix:///s?password=hidden",
    ],
)
def test_a_ledgers_password_is_not_shown_wherever_it_stands(url):
    """redis-py reads one from the query too."""
    assert "hidden" not in described(parsed({"ledger": {"url": url}}))["ledger"]["url"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://app.internal:3000/hooks/whatsapp", "https://app.internal:3000/hooks/whatsapp"),
        ("https://user:hid@den@app/hook", "https://…@app/hook"),
        ("https://app/hook?token=hidden&x=1", "https://app/hook?…"),
        ("https://app/hook?", "https://app/hook?"),
    ],
)
def test_an_apps_secret_is_not_shown(url, shown):
    """A webhook's URL may carry a password or a token; in a list and in a route too."""
    route = {"waba_id": ["1"], "forward_to": url}
    [once, listed] = [
        described(parsed({"webhook": {"forward_to": given, "route": [route]}}))["webhook"] for given in (url, ["http://a", url])
    ]

    assert (shown, ["http://a", shown], shown) == (once["forward_to"], listed["forward_to"], once["route"][0]["forward_to"])


def test_settings_are_frozen():
    """What was loaded is what is in force."""
    with pytest.raises(AttributeError):
        Settings().server.workers = 2
