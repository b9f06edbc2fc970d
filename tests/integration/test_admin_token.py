"""The admin listener's token: who is asked for it, who has it, and that no listener is open to the network without one."""

from __future__ import annotations

import asyncio
import json

import pytest
from conftest import ask
from prometheus_client.parser import text_string_to_metric_families

from gatekeeper.__main__ import main
from gatekeeper.core.errors import ConfigError
from gatekeeper.settings import parse

NUMBER, USER, WABA = "106540352242922", "4915112345678", "102290129340398"
TOKEN, CRM = "admin-token-0123456789", "crm-key-0123456789"
BEARER = ("Authorization", f"Bearer {TOKEN}")
TARGETS = [
    ("GET", "/metrics"),
    ("GET", f"/v1/threads/{NUMBER}/{USER}"),
    ("GET", "/v1/accounts"),
    ("GET", "/v1/policy"),
    ("GET", f"/v1/spend?waba_id={WABA}"),
    ("GET", f"/v1/spend/lines?waba_id={WABA}"),
    ("POST", "/v1/check"),
    ("POST", "/v1/forget"),
    ("POST", "/v1/metrics"),
    ("GET", "/no/such/thing"),
    ("GET", "/healthz/"),
    ("GET", "//healthz"),
    ("DELETE", "/metrics"),
]


@pytest.fixture
async def guarded(open_house, graph):
    return await open_house(graph.url, server={"admin_token": TOKEN})


@pytest.fixture
def typed(capsys):
    """Type a command line while a gate runs in this process: its exit code, standard output and standard error."""

    async def run(*arguments):
        def called():
            try:
                return main([str(argument) for argument in arguments])
            except SystemExit as ended:
                return ended.code

        status = await asyncio.to_thread(called)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.mark.parametrize(("method", "target"), TARGETS)
@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ([], 'Bearer realm="gatekeeper"'),
        ([("Authorization", "")], 'Bearer realm="gatekeeper", error="invalid_token"'),
        ([("Authorization", "Bearer wrong-token-0123456789")], 'Bearer realm="gatekeeper", error="invalid_token"'),
        ([("Authorization", f"Basic {TOKEN}")], 'Bearer realm="gatekeeper", error="invalid_token"'),
        ([("Authorization", TOKEN)], 'Bearer realm="gatekeeper", error="invalid_token"'),
        ([BEARER, BEARER], 'Bearer realm="gatekeeper", error="invalid_token"'),
        ([("Gatekeeper-Key", TOKEN)], 'Bearer realm="gatekeeper"'),
    ],
    ids=["none", "empty", "wrong", "basic", "bare", "twice", "elsewhere"],
)
async def test_without_the_token_nothing_is_told(headers, challenge, method, target, guarded):
    """Not even which paths there are; the answer is problem details with a challenge."""
    answer = await ask(guarded.gate.admin_url, method, target, headers)

    assert (401, "application/problem+json; charset=utf-8", challenge) == (
        answer.status,
        answer["Content-Type"],
        answer["WWW-Authenticate"],
    )
    assert {"type": "about:blank", "title": "Unauthorized", "status": 401} == {
        key: value for key, value in answer.json.items() if key != "detail"
    }
    assert [("admin_token", None)] == [(line["why"], line["caller"]) for line in guarded.logged("turned_away")]
    assert TOKEN not in answer.body.decode() + guarded.written.getvalue()


@pytest.mark.parametrize("header", [BEARER, ("authorization", f"bearer {TOKEN}"), ("Authorization", f"Bearer  {TOKEN}")])
@pytest.mark.parametrize("target", ["/metrics", "/v1/policy", "/v1/accounts", f"/v1/threads/{NUMBER}/{USER}"])
async def test_who_has_the_token_is_answered(target, header, guarded):
    """The scheme may be written in any case."""
    assert 200 == (await ask(guarded.gate.admin_url, "GET", target, [header])).status


async def test_who_watches_over_processes_needs_none(guarded):
    """Whether the gate lives and is ready is told to anybody; what is the matter, only with the token."""
    found = [await ask(guarded.gate.admin_url, "GET", target) for target in ("/healthz", "/readyz")]
    told = await ask(guarded.gate.admin_url, "GET", "/readyz", [BEARER])

    assert [(200, {"status": "ok"}), (200, {"ready": True})] == [(answer.status, answer.json) for answer in found]
    assert {"ready", "checks"} == set(told.json)


async def test_what_is_turned_away_is_counted(guarded):
    """An operator sees that somebody tries."""
    await ask(guarded.gate.admin_url, "GET", "/metrics")
    page = (await ask(guarded.gate.admin_url, "GET", "/metrics", [BEARER])).body.decode()
    [family] = [one for one in text_string_to_metric_families(page) if one.name == "gatekeeper_turned_away"]

    assert 1 == sum(one.value for one in family.samples if one.labels.get("why") == "admin_token" and one.name.endswith("_total"))


@pytest.mark.parametrize(
    "listen",
    ["0.0.0.0:8081", "[::]:8081", "10.0.0.1:8081", "gate.internal:8081", "127.0.0.1.example.com:1", "[::ffff:10.0.0.1]:1"],
)
def test_a_listener_that_others_reach_needs_a_token(listen):
    """The configuration is refused, with clear words, until it has one."""
    with pytest.raises(ConfigError) as raised:
        parse({"server": {"admin_listen": listen}}, name="t", environment={})
    opened = parse({"server": {"admin_listen": listen, "admin_token": "env:T"}}, name="t", environment={"T": TOKEN})

    assert f"t: $.server.admin_listen: {listen!r} can be reached from other machines, so it needs admin_token" == str(
        raised.value
    )
    assert TOKEN == opened.server.admin_token


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:8081", "127.0.0.2:8081", "localhost:8081", "LOCALHOST:1", "[::1]:8081", ":8081", "[::ffff:127.0.0.1]:1"]
)
def test_a_listener_that_only_this_machine_reaches_needs_none(listen):
    """As it always was."""
    assert "" == parse({"server": {"admin_listen": listen}}, name="t", environment={}).server.admin_token


async def test_commands_take_the_token_from_the_configuration(guarded, typed, tmp_path):
    """The same file that the gate runs with opens its admin listener."""
    config = tmp_path / "gatekeeper.toml"
    config.write_text(f'[server]\nadmin_listen = "{guarded.gate.admin_url.removeprefix("http://")}"\nadmin_token = "{TOKEN}"\n')
    asked = ["--config", config]
    spent = await typed("spend", "--waba-id", WABA, *asked)
    explained = await typed("explain", "--from", NUMBER, "--to", USER, *asked)

    assert [(0, ""), (0, "")] == [(status, err) for status, _, err in (spent, explained)]


async def test_commands_take_the_token_from_a_variable(guarded, typed, monkeypatch):
    """No secret on a command line, where every process of the machine could read it."""
    monkeypatch.setenv("ADMIN_TOKEN", TOKEN)
    asked = ["--admin", guarded.gate.admin_url, "--token-env", "ADMIN_TOKEN"]
    spent = await typed("spend", "--waba-id", WABA, *asked)
    explained = await typed("explain", "--from", NUMBER, "--to", USER, *asked)

    assert [(0, ""), (0, "")] == [(status, err) for status, _, err in (spent, explained)]


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        (None, "--token-env: the environment variable ADMIN_TOKEN is not set"),
        ("", "--token-env: the environment variable ADMIN_TOKEN is not set"),
        ("two words", "--token-env: the environment variable ADMIN_TOKEN holds more than one word of printable ASCII"),
        ("wrong-token-0123456789", "does not answer everybody: The token is not that of this admin listener."),
    ],
)
async def test_a_token_that_is_none_is_one_line(variable, says, guarded, typed, monkeypatch):
    """It never repeats what the variable holds."""
    monkeypatch.delenv("ADMIN_TOKEN", raising=False)
    if variable is not None:
        monkeypatch.setenv("ADMIN_TOKEN", variable)
    status, out, err = await typed("spend", "--admin", guarded.gate.admin_url, "--token-env", "ADMIN_TOKEN")

    assert (2, "", 1, True) == (status, out, len(err.splitlines()), says in err)
    assert not variable or variable not in err


async def test_a_command_without_the_token_says_what_is_missing(guarded, typed):
    """The operator reads which key of the configuration it is."""
    status, _, err = await typed("spend", "--admin", guarded.gate.admin_url)

    assert (2, True) == (status, "server.admin_token" in err)


async def test_explain_asks_by_a_callers_key(open_house, graph, typed, tmp_path, monkeypatch):
    """The configuration has the key of the caller that is named; elsewhere a variable holds it."""
    house = await open_house(graph.url, caller=[{"name": "crm", "key": CRM}])
    config = tmp_path / "gatekeeper.toml"
    listen = house.gate.admin_url.removeprefix("http://")
    config.write_text(f'[server]\nadmin_listen = "{listen}"\n[[caller]]\nname = "crm"\nkey = "{CRM}"\n')
    monkeypatch.setenv("CRM_KEY", CRM)
    asked = ["explain", "--from", NUMBER, "--to", USER]
    found = [
        await typed(*asked, *more)
        for more in (
            ["--config", config, "--caller", "crm"],
            ["--admin", house.gate.admin_url, "--key-env", "CRM_KEY"],
            ["--config", config, "--caller", "shop"],
            ["--config", config],
            ["--admin", house.gate.admin_url],
            ["--admin", house.gate.admin_url, "--key-env", "CRM_KEY", "--caller", "shop"],
        )
    ]
    names = "gatekeeper: --caller: name one of the configuration's callers: crm\n"

    assert [0, 0, 2, 2, 2, 2] == [status for status, _, _ in found]
    assert ["", "", names, names] == [err for _, _, err in found[:4]]
    assert ("Gatekeeper-Key" in found[4][2], "Gatekeeper-Caller" in found[5][2]) == (True, True)
    assert not any(CRM in out + err for _, out, err in found)


async def test_a_token_of_another_configuration_is_not_sent_anywhere_else(guarded, typed, tmp_path):
    """`--token-env` is read where it is given; without it the gate of `--admin` gets none."""
    body = json.dumps({"phone_number_id": NUMBER}).encode()
    answer = await ask(guarded.gate.admin_url, "POST", "/v1/check", [BEARER], body)

    assert 400 == answer.status
