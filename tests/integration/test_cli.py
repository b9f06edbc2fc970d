"""The command line: each command, its exit codes, and one clear line for what is wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import gatekeeper
from gatekeeper.__main__ import _COMMANDS, main

ROOT = Path(__file__).parents[2]
NUMBER, WABA, USER = "106540352242922", "102290129340398", "4915112345678"
AT = 1_693_900_800


def run(*arguments, stdin=b"", env=None):
    """Run the command as a process."""
    command = [sys.executable, "-m", "gatekeeper", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, cwd=ROOT, env=os.environ | (env or {}), timeout=30, check=False
    )


def outcome(arguments, capsys):
    """Run the command in this process: its exit code and what it wrote."""
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_version_is_the_packages(capsys):
    """`--version` names it, on standard output."""
    assert (0, f"gatekeeper {gatekeeper.__version__}\n", "") == outcome(["--version"], capsys)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], *([name, "--help"] for names in _COMMANDS.values() for name in names)])
def test_help_is_on_standard_output(arguments, capsys):
    """It exits 0, and names the command."""
    status, out, err = outcome(arguments, capsys)

    assert (0, "") == (status, err)
    assert out.startswith(" ".join(["usage: gatekeeper", *arguments[:-1]]))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["--nope"],
        ["serve", "--nope"],
        ["serve", "extra"],
        ["serve", "--config"],
        ["check-config", "a", "b"],
        ["replay"],
        ["replay", "a", "b"],
    ],
)
def test_a_wrong_command_line_is_one_line_and_2(arguments, capsys):
    """It says what is wrong and where to read on, without a page of usage."""
    status, out, err = outcome(arguments, capsys)

    assert (2, "", 1) == (status, out, len(err.splitlines()))
    assert (True, True) == (err.startswith("gatekeeper"), "--help" in err)


@pytest.mark.parametrize(
    "arguments",
    [["serve", "--config", "FILE"], ["check-config", "FILE"], ["replay", "FILE"], ["replay", "-", "--config", "FILE"]],
)
def test_a_missing_file_is_one_line_and_2(arguments, capsys, tmp_path):
    """Whichever file it is, it is named."""
    missing = str(tmp_path / "missing")
    found = outcome([missing if argument == "FILE" else argument for argument in arguments], capsys)

    assert (2, "", f"gatekeeper: {missing}: No such file or directory\n") == found


def send(at=AT, **more):
    template = {"name": "order_update", "language": {"code": "en_US"}}
    body = {"messaging_product": "whatsapp", "to": USER, "type": "template", "template": template}
    whole = {"id": "s1", "path": f"/v23.0/{NUMBER}/messages", "body": body, "wamid": "wamid.s1", **more}
    return {"at": at, "send": whole}


def webhook(at, **value):
    change = {"field": "messages", "value": {"metadata": {"phone_number_id": NUMBER}, **value}}
    return {"at": at, "webhook": {"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": [change]}]}}


def delivered(at):
    return webhook(at, statuses=[{"id": "wamid.s1", "status": "delivered", "timestamp": str(at), "recipient_id": USER}])


def lines(*items):
    return "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in items)


CONFIG = """
[[account]]
waba_id = "102290129340398"
phone_number_ids = ["106540352242922"]
[[account.template]]
name = "order_update"
language = "en_US"
category = "utility"
"""
DECIDED = {
    "event": "decision",
    "id": "s1",
    "at": AT,
    "verdict": "allow",
    "reason": "opens_conversation",
    "error_code": None,
    "category": "utility",
    "opens": "utility",
    "charged": True,
    "price": "0.0853",
    "price_bound": "exact",
    "currency": "USD",
    "market": "Germany",
    "rate_card": "2023-06-01",
    "regime": "cbp-2023-06",
    "window_expires": None,
    "free_entry_expires": None,
    "conversation_expires": None,
    "free_remaining": None,
}


@pytest.fixture
def history(tmp_path):
    """A file to replay, and its configuration."""

    def written(text):
        (tmp_path / "config.toml").write_text(CONFIG)
        (tmp_path / "history.jsonl").write_text(text)
        return [str(tmp_path / "history.jsonl"), "--config", str(tmp_path / "config.toml")]

    return written


@pytest.mark.parametrize("from_standard_input", [False, True])
def test_a_history_is_decided_and_settled(from_standard_input, history):
    """From a file or standard input: a decision, its settlement, and a summary, one object a line."""
    text = lines(send(), delivered(AT + 5))
    file, *config = history(text)
    found = run("replay", "-", *config, stdin=text.encode()) if from_standard_input else run("replay", file, *config)
    decision, settlement, summary = [json.loads(line) for line in found.stdout.splitlines()]

    assert (0, b"") == (found.returncode, found.stderr)
    assert (DECIDED, list(DECIDED)) == (decision, list(decision))
    assert {
        "event": "settlement",
        "id": "s1",
        "at": AT + 5,
        "delivered": True,
        "opened": "utility",
        "category": "utility",
        "charged": True,
        "price": "0.0853",
    } == settlement
    assert {"event": "summary", "sends": 1, "blocked": 0, "charged": 1, "spend": {"USD": "0.0853"}} == summary


def test_an_empty_history_comes_to_nothing(history, capsysbinary):
    """Its summary says so."""
    status = main(["replay", *history("")])

    assert (0, {"event": "summary", "sends": 0, "blocked": 0, "charged": 0, "spend": {}}) == (
        status,
        json.loads(capsysbinary.readouterr().out),
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param("{", "", id="no JSON"),
        pytest.param("[]", "", id="array"),
        pytest.param('{"at": 1693900800}', "one of webhook, send and free_used", id="nothing happens"),
        pytest.param({**send(), "free_used": {"count": 1}}, "one of webhook, send and free_used", id="two things happen"),
        pytest.param('{"webhook": {}}', "at", id="no time"),
        pytest.param({"at": "now", "webhook": {}}, "at", id="time is a word"),
        pytest.param({"at": -1, "webhook": {}}, "not a time", id="before time"),
        pytest.param({"at": 10**12, "webhook": {}}, "not a time", id="in milliseconds"),
        pytest.param('{"at": NaN, "webhook": {}}', "", id="no number"),
        pytest.param({"at": AT - 60, "webhook": {}}, "before the line above", id="out of order"),
        pytest.param({"at": AT, "webhook": []}, "webhook", id="webhook is no object"),
        pytest.param(send(path="/v23.0/abc/messages"), "path", id="no send's path"),
        pytest.param({"at": AT, "send": {"id": "s2"}}, "send", id="half a send"),
        pytest.param({"at": AT, "free_used": {"count": "many"}}, "free_used.count", id="count is a word"),
        pytest.param({"at": AT, "free_used": {}}, "count", id="no count"),
        pytest.param({"at": AT, "free_used": {"count": -1}}, "count", id="less than nothing"),
    ],
)
def test_a_bad_line_is_named_by_its_number(line, says, history, capsysbinary):
    """One line on standard error with file and line; exit 2, and nothing that looks like a result."""
    file, *config = history(lines(send(AT - 1, id="s0", wamid="wamid.s0"), webhook(AT), line, send()))
    status, said = main(["replay", file, *config]), capsysbinary.readouterr()
    err = said.err.decode()

    assert (2, b"", 1) == (status, said.out, len(err.splitlines()))
    assert err.startswith(f"gatekeeper: {file}: line 3: ")
    assert says in err


def test_a_history_of_before_any_regime_is_named_by_its_line(history, capsysbinary):
    """No rule is guessed for a time of which none is known."""
    file, *config = history(lines(send(1_500_000_000)))
    status, said = main(["replay", file, *config]), capsysbinary.readouterr()

    assert (2, 1, True) == (status, len(said.err.splitlines()), b"line 1: " in said.err)


def test_standard_input_is_named_too(history, capsysbinary, monkeypatch):
    """A bad line of it has its number."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"{\n")))
    status, said = main(["replay", "-"]), capsysbinary.readouterr()

    assert (2, True) == (status, said.err.startswith(b"gatekeeper: standard input: line 1: "))


def test_a_reader_that_has_had_enough_is_no_fault(history):
    """`gatekeeper replay … | head` ends quietly."""
    many = [send(AT + n, id=f"s{n}", wamid=f"wamid.s{n}") for n in range(400)]
    command = [sys.executable, "-m", "gatekeeper", "replay", *history(lines(*many))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        process.stdout.close()
        said = process.stderr.read()
        status = process.wait(timeout=30)

    assert (0, b"") == (status, said)


@pytest.mark.parametrize("listen", ["a..b:80", "300.1.1.1:80", "192.0.2.1:80"])
def test_an_address_that_cannot_be_had_is_one_line_and_2(listen, tmp_path):
    """Whatever is the matter with it, the key is named and nothing was started."""
    config = tmp_path / "config.toml"
    config.write_text(f'[server]\nlisten = "{listen}"\nadmin_listen = "127.0.0.1:0"\n[ledger]\ndata_dir = "{tmp_path / "var"}"\n')
    found = run("serve", "--config", str(config))

    assert (2, 1) == (found.returncode, len(found.stderr.splitlines()))
    assert b"$.server.listen: cannot listen on" in found.stderr


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path):
    """The ledger's own words, without a traceback."""
    (tmp_path / "file").touch()
    config = tmp_path / "config.toml"
    listens = '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\n'
    config.write_text(f'{listens}[ledger]\ndata_dir = "{tmp_path / "file" / "var"}"\n')
    found = run("serve", "--config", str(config))

    assert (True, 1) == (found.returncode != 0, len(found.stderr.splitlines()))


@pytest.mark.parametrize("command", [["check-config"], ["rates", "list"]])
def test_output_that_cannot_be_written_is_one_line(command):
    """A full disk behind standard output is said in one line, without a traceback."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gatekeeper", *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (1, "gatekeeper: the output cannot be written: No space left on device\n") == (done.returncode, done.stderr)
