"""Every mistake that we reject, by its file, with the exact line that a person reads."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from gatekeeper.__main__ import main
from gatekeeper.core.vocabulary import Product

MISTAKES = Path(__file__).parents[1] / "fixtures" / "config"
ROOT = Path(__file__).parents[2]

DURATION = "write a number and one of ms, s, m, h, for example 5s"
SIZE = "write a number and one of B, KiB, MiB, GiB, for example 5KiB"
WEB = "an http:// or https:// URL"
LEDGER = (
    '"embedded" or a redis://, rediss://, redis+sentinel://, rediss+sentinel:// or unix:// URL; '
    "in a password write %23, %2F, %3F, %40 for #, /, ?, @"
)
NO_TLS = "is for a rediss:// or rediss+sentinel:// URL"
PEM = "tests/fixtures/tls/localhost-certificate.pem"
ZONE = "is not an IANA time zone such as America/Los_Angeles"
AMOUNT = 'write an amount as a decimal string, for example "0.05"'
CALLER = "a name of at most 64 printable ASCII characters, without spaces around it"
CURRENCY = "is not a currency code such as USD"
CATEGORIES = ", ".join(f'"{name}"' for name in sorted((*Product, "referral_conversion", "user_initiated", "business_initiated")))

SAYS = {
    "account-as-section": "$.account: Expected `array`, got `object`",
    "account-without-waba": "$.account[0].waba_id: required key is missing",
    "admin-listen-everywhere": "$.server.admin_listen: '0.0.0.0:8081' can be reached from other machines, so it needs admin_token",
    "admin-listen-of-a-name": "$.server.admin_listen: 'gate.internal:8081' can be reached from other machines, so it needs admin_token",
    "admin-listen-port-is-a-word": "$.server.admin_listen: 'localhost:http' is not host:port",
    "admin-token-too-short": "$.server.admin_token: at least 16 characters",
    "admin-token-unset": "$.server.admin_token: the environment variable GATEKEEPER_NOT_SET is not set",
    "admin-token-with-a-space": "$.server.admin_token: printable ASCII, without spaces",
    "allow-empty-is-text": "$.server.allow_empty: Expected `bool`, got `str`",
    "app-secret-is-a-number": "$.webhook.app_secret: Expected `str | array`, got `int`",
    "app-secret-second-is-a-number": "$.webhook.app_secret[1]: Expected `str`, got `int`",
    "base-url-without-host": f"$.upstream.base_url: {WEB}",
    "base-url-without-scheme": f"$.upstream.base_url: {WEB}",
    "budget-category-unknown": f"$.policy.budget[0].category[0]: 'promotion' is not a category; valid: {CATEGORIES}",
    "budget-limit-is-a-number": f"$.policy.budget[0].limit: {AMOUNT}",
    "budget-limit-with-thousands": f"$.policy.budget[0].limit: {AMOUNT}",
    "budget-mode-unknown": '$.policy.budget[0].mode: Invalid enum value \'warn\'; valid: "enforce", "annotate"',
    "budget-name-empty": "$.policy.budget[0].name: must not be empty",
    "budget-name-twice": "$.policy.budget[1].name: also the name of budget[0]",
    "budget-period-unknown": '$.policy.budget[0].period: Invalid enum value \'week\'; valid: "day", "month"',
    "budget-scope-unknown": (
        "$.policy.budget[0].scope: Invalid enum value 'template';"
        ' valid: "portfolio", "waba", "phone_number", "caller", "recipient"'
    ),
    "budget-without-limit": "$.policy.budget[0].limit: required key is missing",
    "budget-without-scope": "$.policy.budget[0].scope: required key is missing",
    "caller-as-section": "$.caller: Expected `array`, got `object`",
    "caller-key-empty": "$.caller[0].key: must not be empty",
    "caller-key-is-a-number": "$.caller[0].key: Expected `str`, got `int`",
    "caller-key-of-two-callers": "$.caller[1].key: also the key of caller[0]",
    "caller-key-too-short": "$.caller[1].key: at least 16 characters",
    "caller-key-unset": "$.caller[1].key: the environment variable GATEKEEPER_NOT_SET is not set",
    "caller-key-with-a-space": "$.caller[0].key: printable ASCII, without spaces",
    "caller-name-empty": "$.caller[0].name: must not be empty",
    "caller-name-not-ascii": f"$.caller[0].name: {CALLER}",
    "caller-name-twice": "$.caller[1].name: also the name of caller[0]",
    "caller-number-is-a-phone-number": "$.caller[0].phone_number_ids[1]: an id of digits",
    "caller-number-twice": "$.caller[0].phone_number_ids[1]: named above",
    "caller-numbers-are-an-empty-list": "$.caller[0].phone_number_ids: Expected `array` of length >= 1",
    "caller-without-key": "$.caller[0].key: required key is missing",
    "caller-without-name": "$.caller[1].name: required key is missing",
    "check-is-text": "$.policy.checks.parameter_count: Expected `bool`, got `str`",
    "cluster-is-text": "$.ledger.cluster: Expected `bool`, got `str`",
    "cold-start-unknown": '$.policy.cold_start: Invalid enum value \'open\'; valid: "unknown", "closed"',
    "country-multiplier-is-a-number": f"$.account[0].template[0].country_multipliers.IN: {AMOUNT}",
    "country-multiplier-of-a-name": "$.account[0].template[0].country_multipliers: 'India' is not a country code such as IN",
    "country-multiplier-of-no-price": "$.account[0].template[0].country_multipliers: there is no max_price to multiply",
    "country-multiplier-zero": "$.account[0].template[0].country_multipliers: the multiplier of 'IN' must be more than 0",
    "currency-in-lower-case": f"$.account[0].currency: 'usd' {CURRENCY}",
    "currency-is-a-sign": f"$.account[0].currency: '$' {CURRENCY}",
    "duration-is-a-number": f"$.upstream.connect_timeout: {DURATION}",
    "duration-negative": f"$.ledger.timeout: {DURATION}",
    "duration-of-another-unit": f"$.upstream.timeout: {DURATION}",
    "duration-without-unit": f"$.server.grace: {DURATION}",
    "duration-zero": f"$.ledger.timeout: {DURATION}",
    "embedded-cluster": "$.ledger.cluster: the embedded ledger is not a cluster",
    "fallback-caller-is-an-empty-list": "$.policy.fallback[0].caller: Expected `array` of length >= 1",
    "fallback-caller-not-printable": f"$.policy.fallback[0].caller[0]: {CALLER}",
    "fallback-caller-unknown": "$.policy.fallback[0].caller[1]: 'shop' is not the name of a [[caller]]; valid: \"crm\"",
    "fallback-template-empty": "$.policy.fallback[0].template: must not be empty",
    "fallback-text-parameter-is-text": "$.policy.fallback[0].text_parameter: Expected `bool`, got `str`",
    "fallback-without-language": "$.policy.fallback[0].language: required key is missing",
    "flag-is-text": "$.policy.reaction_opens_window: Expected `bool`, got `str`",
    "flag-variable-is-text": "$.policy.reaction_opens_window: Expected `bool`, got `str`",
    "forward-to-is-a-number": "$.webhook.forward_to: Expected `str | array`, got `int`",
    "forward-to-is-the-gate": "$.webhook.forward_to: the gate's own address ($.server.listen)",
    "forward-to-second-is-a-number": "$.webhook.forward_to[1]: Expected `str`, got `int`",
    "forward-to-second-is-the-admin-listener": "$.webhook.forward_to[1]: the gate's own address ($.server.admin_listen)",
    "forward-to-second-is-wrong": f"$.webhook.forward_to[1]: {WEB}",
    "forward-to-twice": "$.webhook.forward_to[2]: named above",
    "forward-to-with-fragment": f"$.webhook.forward_to: {WEB}",
    "forward-to-with-space": f"$.webhook.forward_to: {WEB}",
    "forward-to-without-scheme": f"$.webhook.forward_to: {WEB}",
    "hold-as-section": "$.policy.hold: Expected `array`, got `object`",
    "hold-bytes-is-a-number": f"$.policy.hold[0].max_bytes: {SIZE}",
    "hold-bytes-too-many": "$.policy.hold[0].max_bytes: at most 1MiB",
    "hold-deadline-too-far": "$.policy.hold[0].deadline: at most 720h",
    "hold-deadline-without-unit": f"$.policy.hold[0].deadline: {DURATION}",
    "hold-number-is-a-phone-number": "$.policy.hold[0].phone_number_id[1]: an id of digits",
    "hold-template-empty": "$.policy.hold[1].template: must not be empty",
    "hold-texts-none": "$.policy.hold[0].max_texts: from 1 to 100",
    "hold-texts-too-many": "$.policy.hold[0].max_texts: from 1 to 100",
    "hold-without-language": "$.policy.hold[0].language: required key is missing",
    "inject-token-is-text": "$.account[0].inject_token: Expected `bool`, got `str`",
    "inject-token-without-caller": "$.account[0].inject_token: needs a [[caller]]: without keys anybody could send by the account's token",
    "inject-token-without-numbers": "$.account[0].inject_token: needs the phone_number_ids that may send by it",
    "inject-token-without-token": "$.account[0].inject_token: needs the access_token that is to be injected",
    "key-twice": "Cannot overwrite a value (at line 3, column 17)",
    "ledger-ca-is-no-certificate": "$.ledger.ca: pyproject.toml: no certificates in PEM",
    "ledger-ca-missing": "$.ledger.ca: /nowhere/ca.pem: No such file or directory",
    "ledger-ca-of-the-embedded-one": f"$.ledger.ca: {NO_TLS}",
    "ledger-ca-without-tls": f"$.ledger.ca: {NO_TLS}",
    "ledger-certificate-without-key": "$.ledger.key: needed with certificate",
    "ledger-cluster-of-a-socket": "$.ledger.cluster: a Unix socket is not a cluster",
    "ledger-cluster-with-database": "$.ledger.url: a cluster has no database but 0",
    "ledger-cluster-with-sentinel": "$.ledger.cluster: Sentinels watch one Redis, not a cluster",
    "ledger-failure-unknown": '$.policy.ledger_failure: Invalid enum value \'deny\'; valid: "allow", "block"',
    "ledger-key-is-no-key": f"$.ledger.key: {PEM}: not the unencrypted key of {PEM}, both in PEM",
    "ledger-key-missing": "$.ledger.key: /nowhere/key.pem: No such file or directory",
    "ledger-key-without-certificate": "$.ledger.certificate: needed with key",
    "ledger-sentinel-user-without-sentinel": (
        "$.ledger.url: sentinel_username and sentinel_password are for a redis+sentinel:// URL"
    ),
    "ledger-sentinel-without-service": (
        "$.ledger.url: Sentinels are asked for a service, as in redis+sentinel://host:26379/mymaster/0"
    ),
    "ledger-url-of-another-scheme": f"$.ledger.url: {LEDGER}",
    "ledger-url-of-no-socket": "$.ledger.url: a socket has a path of its own, as in unix:///run/redis/redis.sock",
    "ledger-url-of-several-hosts": "$.ledger.url: several hosts are nodes of a cluster, or Sentinels (redis+sentinel://)",
    "ledger-url-unset": "$.ledger.url: the environment variable GATEKEEPER_NOT_SET is not set",
    "ledger-url-with-a-named-database": "$.ledger.url: a database is a number, as in redis://localhost:6379/0",
    "ledger-url-with-a-slash-in-the-password": f"$.ledger.url: {LEDGER}",
    "ledger-url-with-an-unknown-parameter": (
        "$.ledger.url: behind the question mark only db, password, sentinel_password, sentinel_username, username may stand"
    ),
    "ledger-url-without-scheme": f"$.ledger.url: {LEDGER}",
    "limits-as-list": "$.policy.limits: Expected `object`, got `array`",
    "listen-is-a-number": "$.server.listen: Expected `str`, got `int`",
    "listen-port-too-large": "$.server.listen: '127.0.0.1:65536' is not host:port",
    "listen-without-port": "$.server.listen: '127.0.0.1' is not host:port",
    "marketing-on-messages-is-text": "$.account[0].marketing_on_messages: Expected `bool`, got `str`",
    "messaging-limit-zero": "$.policy.limits.messaging_limit: at least 1",
    "mode-unknown": '$.policy.mode: Invalid enum value \'observe\'; valid: "enforce", "annotate"',
    "not-a-section": "$.server: Expected `object`, got `str`",
    "not-toml": "Expected ']' at the end of a table declaration (at line 1, column 8)",
    "opt-in-keyword-is-an-opt-out-keyword": "$.policy.opt_in_keywords[1]: also one of opt_out_keywords",
    "opt-out-keyword-empty": "$.policy.opt_out_keywords[1]: must not be empty",
    "pair-rate-is-a-number": "$.policy.limits.pair_rate: Expected `bool`, got `int`",
    "phone-number-id-is-a-number": "$.account[0].phone_number_ids[1]: Expected `str`, got `int`",
    "phone-number-id-is-a-phone-number": "$.account[0].phone_number_ids[0]: an id of digits",
    "phone-number-id-of-two-accounts": "$.account[1].phone_number_ids[1]: also named by account[0]",
    "phone-number-ids-is-text": "$.account[0].phone_number_ids: Expected `array`, got `str`",
    "portfolio-is-a-word": "$.account[0].portfolio_id: an id of digits",
    "record-keep-zero": "$.record.keep: at least 1",
    "record-key-too-short": "$.record.key: at least 16 characters",
    "record-max-file-without-unit": f"$.record.max_file: {SIZE}",
    "record-of-several-workers": "$.record.key: needed with several workers, which would each have other pseudonyms",
    "record-recipients-unknown": '$.record.recipients: Invalid enum value \'hidden\'; valid: "kept", "pseudonymised"',
    "retry-for-zero": f"$.webhook.retry_for: {DURATION}",
    "route-app-secret-is-a-table": "$.webhook.route[0].app_secret: Expected `str | array`, got `object`",
    "route-as-section": "$.webhook.route: Expected `array`, got `object`",
    "route-is-the-gate": "$.webhook.route[0].forward_to[1]: the gate's own address ($.server.listen)",
    "route-number-is-a-phone-number": "$.webhook.route[0].phone_number_id[1]: an id of digits",
    "route-number-is-text": "$.webhook.route[0].phone_number_id: Expected `array`, got `str`",
    "route-number-of-two-routes": "$.webhook.route[1].phone_number_id[1]: also named by route[0]",
    "route-number-twice": "$.webhook.route[0].phone_number_id[1]: named above",
    "route-target-is-an-empty-list": "$.webhook.route[0].forward_to: names no target",
    "route-target-is-empty": "$.webhook.route[0].forward_to: names no target",
    "route-target-of-second-is-wrong": f"$.webhook.route[1].forward_to[1]: {WEB}",
    "route-waba-of-two-routes": "$.webhook.route[1].waba_id[0]: also named by route[0]",
    "route-without-ids": "$.webhook.route[0]: names no phone_number_id and no waba_id",
    "route-without-target": "$.webhook.route[0].forward_to: required key is missing",
    "rule-action-unknown": '$.policy.rule[0].action: Invalid enum value \'deny\'; valid: "block", "allow"',
    "rule-as-section": "$.policy.rule: Expected `array`, got `object`",
    "rule-caller-not-ascii": f"$.policy.rule[0].caller[0]: {CALLER}",
    "rule-caller-too-long": f"$.policy.rule[0].caller[0]: {CALLER}",
    "rule-caller-unknown": "$.policy.rule[0].caller[0]: 'shop' is not the name of a [[caller]]; valid: \"crm\"",
    "rule-caller-with-space-around": f"$.policy.rule[0].caller[1]: {CALLER}",
    "rule-category-is-an-empty-list": "$.policy.rule[1].category: Expected `array` of length >= 1",
    "rule-category-is-text": "$.policy.rule[0].category: Expected `array`, got `str`",
    "rule-category-unknown": f"$.policy.rule[0].category[1]: 'promotion' is not a category; valid: {CATEGORIES}",
    "rule-market-is-a-country-code": "$.policy.rule[0].market[0]: 'DE' is not a market; `gatekeeper rates list` shows them",
    "rule-market-unknown": "$.policy.rule[0].market[1]: 'Atlantis' is not a market; `gatekeeper rates list` shows them",
    "rule-mode-unknown": '$.policy.rule[0].mode: Invalid enum value \'shadow\'; valid: "enforce", "annotate"',
    "rule-name-empty": "$.policy.rule[0].name: must not be empty",
    "rule-name-too-long": "$.policy.rule[0].name: at most 100 characters",
    "rule-name-twice": "$.policy.rule[2].name: also the name of rule[0]",
    "rule-number-is-a-phone-number": "$.policy.rule[0].phone_number_id[0]: an id of digits",
    "rule-price-is-a-number": f"$.policy.rule[0].price_above: {AMOUNT}",
    "rule-price-negative": f"$.policy.rule[0].price_above: {AMOUNT}",
    "rule-price-too-fine": f"$.policy.rule[0].price_above: {AMOUNT}",
    "rule-price-with-currency": f"$.policy.rule[0].price_above: {AMOUNT}",
    "rule-template-pattern-empty": "$.policy.rule[0].template[1]: must not be empty",
    "rule-window-unknown": '$.policy.rule[0].window: Invalid enum value \'shut\'; valid: "open", "closed"',
    "rule-without-name": "$.policy.rule[0].name: required key is missing",
    "second-account-without-waba": "$.account[1].waba_id: required key is missing",
    "section-as-list": "$.server: Expected `object`, got `array`",
    "size-is-a-number": f"$.server.max_body: {SIZE}",
    "size-of-another-unit": f"$.server.max_body: {SIZE}",
    "size-without-unit": f"$.server.max_body: {SIZE}",
    "size-zero": f"$.server.max_body: {SIZE}",
    "template-of-another-category": (
        '$.account[0].template[0].category: Invalid enum value \'service\'; valid: "marketing", "utility", "authentication"'
    ),
    "template-of-another-status": "$.account[0].template[0].status: Invalid enum value 'approved'; did you mean \"APPROVED\"?",
    "template-without-language": "$.account[0].template[0].language: required key is missing",
    "template-without-name": "$.account[0].template[0].name: must not be empty",
    "throughput-is-text": "$.policy.limits.throughput: Expected `int | null`, got `str`",
    "throughput-zero": "$.policy.limits.throughput: at least 1",
    "timezone-empty": f"$.account[0].timezone: '' {ZONE}",
    "timezone-is-a-folder": f'$.account[0].timezone: \'America\' {ZONE}; did you mean "America/Nuuk", "America/Nome" or "America/Lima"?',
    "timezone-leaves-its-folder": f"$.account[0].timezone: '../../etc/passwd' {ZONE}",
    "timezone-of-second-account": f"$.account[1].timezone: 'Mars/Olympus' {ZONE}",
    "timezone-unknown": f"$.account[0].timezone: 'Los Angeles' {ZONE}; did you mean \"America/Los_Angeles\"?",
    "token-with-a-space": "$.account[0].access_token: a token of printable ASCII, without spaces",
    "two-sections": "Cannot declare ('policy',) twice (at line 4, column 8)",
    "unknown-account-key": '$.account[1].time_zone: unknown key; did you mean "timezone"?',
    "unknown-budget-key": '$.policy.budget[0].currency: unknown key; valid: "name", "scope", "period", "limit", "category", "mode"',
    "unknown-caller-key": '$.caller[0].numbers: unknown key; did you mean "phone_number_ids"?',
    "unknown-check": (
        "$.policy.checks.spelling: unknown key;"
        ' valid: "sender_is_recipient", "authentication_to_user_id", "max_price_on_messages", '
        '"max_price_to_user_id", "parameter_text", "header_format", "parameter_names", "parameter_count", "button_parameter"'
    ),
    "unknown-fallback-key": (
        '$.policy.fallback[0].category: unknown key; valid: "template", "language", "text_parameter", "caller", "phone_number_id"'
    ),
    "unknown-hold-key": '$.policy.hold[0].max_text: unknown key; did you mean "max_texts" or "max_bytes"?',
    "unknown-key": '$.server.lisen: unknown key; did you mean "listen"?',
    "unknown-ledger-key": '$.ledger.certfile: unknown key; did you mean "certificate"?',
    "unknown-limit": (
        '$.policy.limits.per_second: unknown key; valid: "throughput", "pair_rate", "messaging_limit", "marketing_hold", "mode"'
    ),
    "unknown-list-of-sections": '$.acount: unknown key; did you mean "account"?',
    "unknown-policy-key": '$.policy.fallbacks: unknown key; did you mean "fallback"?',
    "unknown-record-key": '$.record.folder: unknown key; valid: "path", "max_file", "keep", "recipients", "key"',
    "unknown-route-key": '$.webhook.route[0].phone_number_ids: unknown key; did you mean "phone_number_id"?',
    "unknown-rule-key": '$.policy.rule[0].markets: unknown key; did you mean "market"?',
    "unknown-section": '$.sever: unknown key; did you mean "server"?',
    "unknown-template-key": '$.account[0].template[1].lang: unknown key; did you mean "language"?',
    "unknown-webhook-key": '$.webhook.secret: unknown key; did you mean "app_secret"?',
    "value-without-quotes": "Invalid value (at line 2, column 8)",
    "variable-of-the-wrong-type": "$.server.workers: Expected `int`, got `str`",
    "variable-unset": "$.upstream.base_url: the environment variable GATEKEEPER_NOT_SET is not set",
    "variable-unset-in-a-list": "$.account[0].phone_number_ids[1]: the environment variable GATEKEEPER_NOT_SET is not set",
    "variable-unset-in-a-route": "$.webhook.route[0].forward_to: the environment variable GATEKEEPER_NOT_SET is not set",
    "variable-unset-that-is-near-another": (
        '$.ledger.url: the environment variable REDIS_URL_OF_NOBODY is not set; did you mean "REDIS_URL_OF_SOMEBODY"?'
    ),
    "waba-is-a-number": "$.account[0].waba_id: Expected `str`, got `int`",
    "waba-is-a-word": "$.account[0].waba_id: an id of digits",
    "waba-twice": "$.account[1].waba_id: named by an account above",
    "webhook-path-without-slash": "$.webhook.path: starts with a slash",
    "webhook-timeout-without-unit": f"$.webhook.timeout: {DURATION}",
    "workers-is-text": "$.server.workers: Expected `int`, got `str`",
    "workers-zero": "$.server.workers: at least 1",
}
# Mistakes whose wording is nobody's business yet; their key is.
NAMED = {
    "base-url-with-query": "$.upstream.base_url",
    "ledger-url-with-odd-port": "$.ledger.url",
    "template-twice": "$.account[0].template[1]",
}


@pytest.mark.parametrize("mistake", SAYS)
def test_a_mistake_is_one_line_that_names_file_and_key(mistake, capsys, monkeypatch):
    """`check-config` and `serve` say the very same of a file with a mistake, and exit 2."""
    monkeypatch.delenv("GATEKEEPER_NOT_SET", raising=False)
    monkeypatch.setenv("REDIS_URL_OF_SOMEBODY", "redis://localhost")
    file = str(MISTAKES / f"{mistake}.toml")
    checked, says = main(["check-config", file]), capsys.readouterr()
    assert 2 == checked  # or `serve` would run
    served, said = main(["serve", "--config", file]), capsys.readouterr()

    assert (2, f"gatekeeper: {file}: {SAYS[mistake]}\n", "") == (served, says.err, says.out)
    assert says == said


@pytest.mark.parametrize("mistake", NAMED)
def test_a_mistake_is_found_before_it_is_served(mistake, capsys):
    """What would fail, or be ignored, while serving is found when it is loaded."""
    file = str(MISTAKES / f"{mistake}.toml")
    status, says = main(["check-config", file]), capsys.readouterr().err

    assert (2, True) == (status, says.startswith(f"gatekeeper: {file}: {NAMED[mistake]}"))


def test_every_mistake_has_its_file():
    """No file without its line, and no line without its file."""
    assert sorted([*SAYS, *NAMED]) == sorted(file.stem for file in MISTAKES.glob("*.toml"))


def test_an_empty_file_is_all_defaults(capsys, tmp_path, monkeypatch):
    """Every key has a default, and the file that shows them shows those."""
    for name in ("META_APP_SECRET", "META_VERIFY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path / "empty.toml"
    empty.touch()
    said = []
    for arguments in ([], [str(empty)], [str(ROOT / "config" / "gatekeeper.toml")]):
        assert 0 == main(["check-config", *arguments])
        said.append(capsys.readouterr().out)

    assert 1 == len(set(said))
    assert {'server.listen = "127.0.0.1:8080"', 'upstream.base_url = "https://graph.facebook.com"'} < set(said[0].splitlines())


def test_every_example_is_one_that_loads(capsys, tmp_path, monkeypatch):
    """What stands in the file as a comment, without its number sign; all that it names is there."""
    text = re.sub(r"^# (?=\[|[a-z_]+ = )", "", (ROOT / "config" / "gatekeeper.toml").read_text(), flags=re.MULTILINE)
    for name in re.findall(r"env:(\w+)", text):
        monkeypatch.setenv(name, f"a-secret-of-{name}")
    file = tmp_path / "examples.toml"
    file.write_text(f'{text}\n[[caller]]\nname = "support"\nkey = "a-secret-of-support"\n')
    status, says = main(["check-config", str(file)]), capsys.readouterr()

    assert (0, "") == (status, says.err)
    assert {'policy.rule[0].price_above = "0.05"', 'policy.fallback[0].template = "follow_up"'} < set(says.out.splitlines())


SECRETS = """
[webhook]
app_secret = "env:OUR_SECRET"
verify_token = "a-verify-token"
[ledger]
url = "redis://user:a-password@localhost:6379/0"
[[account]]
waba_id = "1"
access_token = "EAAtoken"
"""


def test_what_is_understood_is_printed_without_secrets(capsys, tmp_path, monkeypatch):
    """A secret is said to be set, never what it is."""
    monkeypatch.setenv("OUR_SECRET", "a-hidden-secret")
    file = tmp_path / "secrets.toml"
    file.write_text(SECRETS)
    status, says = main(["check-config", str(file)]), capsys.readouterr()

    assert (0, "") == (status, says.err)
    assert [] == [word for word in ("a-hidden-secret", "a-verify-token", "a-password", "EAAtoken") if word in says.out]
    assert {'webhook.app_secret = "set"', 'webhook.verify_token = "set"', 'account[0].access_token = "set"'} < set(
        says.out.splitlines()
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis://gate:a-pass%2Fword@localhost:6379/0",
        "rediss://:a-pass%2Fword@localhost",
        "redis+sentinel://gate:a-pass%2Fword@one,two:26380/service/0?sentinel_username=s&sentinel_password=a-pass%2Fword",
        "unix:///run/redis.sock?db=1&password=a-pass%2Fword",
    ],
)
def test_a_ledger_is_printed_without_its_passwords(url, capsys, tmp_path, monkeypatch):
    """The whole URL may come from the environment; the rest of it is shown."""
    monkeypatch.setenv("LEDGER_URL", url)
    file = tmp_path / "ledger.toml"
    file.write_text('[ledger]\nurl = "env:LEDGER_URL"\n')
    status, says = main(["check-config", str(file)]), capsys.readouterr()
    [shown] = [line for line in says.out.splitlines() if line.startswith("ledger.url")]

    assert (0, "") == (status, says.err)
    assert "a-pass" not in says.out
    assert f'ledger.url = "{url.partition("://")[0]}://' in shown


POLICY = """
[[policy.rule]]
name = "no marketing into an open chat"
category = ["marketing"]
window = "open"
price_above = "0.050"
[[policy.budget]]
name = "marketing per month"
scope = "waba"
period = "month"
limit = "1250.00"
mode = "annotate"
[policy.limits]
throughput = 80
[[policy.fallback]]
template = "follow_up"
language = "en_US"
caller = ["support"]
"""
UNDERSTOOD = """
policy.rule[0].name = "no marketing into an open chat"
policy.rule[0].category = ["marketing"]
policy.rule[0].window = "open"
policy.rule[0].price_above = "0.05"
policy.rule[0].action = "block"
policy.rule[0].mode = "enforce"
policy.budget[0].name = "marketing per month"
policy.budget[0].scope = "waba"
policy.budget[0].period = "month"
policy.budget[0].limit = "1250"
policy.budget[0].mode = "annotate"
policy.limits.throughput = 80
policy.limits.pair_rate = false
policy.limits.messaging_limit = null
policy.limits.marketing_hold = false
policy.limits.mode = "enforce"
policy.fallback[0].template = "follow_up"
policy.fallback[0].language = "en_US"
policy.fallback[0].text_parameter = false
policy.fallback[0].caller = ["support"]
"""


def test_a_policy_is_printed_as_it_was_understood(capsys, tmp_path):
    """Money as plain decimals, the conditions that are given and no others, and the defaults of what is not."""
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    status, says = main(["check-config", str(file)]), capsys.readouterr()
    sections = ("policy.rule", "policy.budget", "policy.limits", "policy.fallback")

    assert (0, "") == (status, says.err)
    assert UNDERSTOOD.split("\n")[1:-1] == [line for line in says.out.splitlines() if line.startswith(sections)]


@pytest.mark.parametrize("name", ["folder", "missing.toml", "latin.toml"])
def test_a_file_that_cannot_be_read_is_one_line(name, capsys, tmp_path):
    """It names the file and what is the matter with it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.toml").write_bytes(b'[webhook]\npath = "/caf\xe9"\n')
    file = str(tmp_path / name)
    status, says = main(["check-config", file]), capsys.readouterr()
    reason = {"folder": "Is a directory", "missing.toml": "No such file or directory", "latin.toml": "not UTF-8 text"}[name]

    assert (2, f"gatekeeper: {file}: {reason}\n") == (status, says.err)


WARNED = """
[upstream]
base_url = "http://localhost:8080/"
[webhook]
app_secret = ["env:GATEKEEPER_NOT_SET", "env:GATEKEEPER_SET"]
verify_token = "env:GATEKEEPER_SETT"
[[webhook.route]]
waba_id = ["2"]
forward_to = "http://app.internal:3000/"
app_secret = "env:OF_NO_USE"
[[account]]
waba_id = "1"
[[account]]
waba_id = "2"
currency = "CHF"
access_token = "env:OF_NO_USE"
[[account]]
waba_id = "3"
currency = "EUR"
"""
UNSET, NEAR = "the environment variable OF_NO_USE is not set", 'is not set; did you mean "GATEKEEPER_SET"?'
WARNINGS = [
    "$.upstream.base_url: the gate's own address ($.server.listen): what is sent there comes back",
    f"$.webhook.app_secret[0]: the environment variable GATEKEEPER_NOT_SET {NEAR}; it counts as absent",
    f"$.webhook.verify_token: the environment variable GATEKEEPER_SETT {NEAR}; it counts as absent",
    f"$.webhook.route[0].app_secret: {UNSET}; it counts as absent",
    f"$.account[1].access_token: {UNSET}; it counts as absent",
    "$.account[1].currency: no CHF rate card is in force on 2026-11-10: every price is unknown",
    (
        "$.account[2].currency: the EUR rate card of 2026-07-01 is older than the rules in force, pmp-2026-10 from 2026-10-01: "
        "no price is exact"
    ),
    "$.account[2].currency: the EUR rate card of 2026-07-01 has no service price: what a text costs is unknown",
]


def test_what_is_seldom_meant_is_a_warning(capsys, tmp_path, monkeypatch):
    """Variables that are not set, currencies without a card or a service price, cards older than the rules: named, and no mistake."""
    monkeypatch.setattr("os.environ", {"GATEKEEPER_SET": "a-secret-that-is-set"})
    monkeypatch.setattr("gatekeeper.starting.unix_ms", lambda: 1_794_312_000_000)
    file = tmp_path / "warned.toml"
    file.write_text(WARNED)
    status, says = main(["check-config", str(file)]), capsys.readouterr()

    assert (0, [f"gatekeeper: warning: {file}: {warning}" for warning in WARNINGS]) == (status, says.err.splitlines())
    assert {'webhook.app_secret = "set"', 'webhook.route[0].app_secret = "absent"'} < set(says.out.splitlines())


def test_a_pipe_that_says_nothing_is_a_warning(capsys, tmp_path):
    """What should have written it failed, and all defaults are no error."""
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("",))
    writer.start()
    status, says = main(["check-config", str(pipe)]), capsys.readouterr()
    writer.join()
    warning = f"gatekeeper: warning: {pipe}: $: nothing came from what can be read only once: all defaults are in force\n"

    assert (0, warning) == (status, says.err)
