"""`gatekeeper spend` and `gatekeeper reconcile` as they are typed, against running gates: what they print, and what they refuse."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import signal
import sys
from pathlib import Path

import pytest
from conftest import ask
from fake_graph import eventually
from prometheus_client.parser import text_string_to_metric_families

from gatekeeper.__main__ import main

ROOT = Path(__file__).parents[2]
META = ROOT / "tests" / "fixtures" / "meta"
NUMBER, WABA, USER = "106540352242922", "102290129340398", "4915112345678"
DAY = 86_400_000
HEADER = (
    "waba_id,currency,day,phone_number_id,caller,category,market,"
    "predicted_sends,predicted_total,predicted_unpriced,settled_sends,settled_total,settled_unpriced"
)


@pytest.fixture
def typed(capsys):
    """Type a command line while gates run in this process: its exit code, standard output and standard error."""

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


async def process(*arguments, stdin=b""):
    """Run the command as a process."""
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gatekeeper", *map(str, arguments), stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT
    )
    async with asyncio.timeout(60):
        out, err = await started.communicate(stdin)
    return started.returncode, out.decode(), err.decode()


async def traffic(house):
    """Two utility templates, a marketing one and a text are delivered; another template of each is on its way or failed."""
    await house.wrote()
    for name, caller in (("order_update", "shop"), ("order_update", "shop"), ("spring_sale", "crm")):
        await house.template(name, ("Gatekeeper-Caller", caller))
    await house.text(("Gatekeeper-Caller", 'the "desk", 1'))
    await house.template("order_update")
    await house.template("spring_sale", ("Gatekeeper-Caller", "crm"))
    for n in range(1, 5):
        await house.status(f"wamid.{n}", "delivered")
    await house.status("wamid.6", "failed")


async def test_a_month_is_told(house, typed):
    """What was predicted, what was settled, what is open and what of the free tier was used; nothing goes to standard error."""
    await traffic(house)
    found = await typed("spend", "--admin", house.gate.admin_url)

    assert (0, "") == (found[0], found[2])
    assert [
        "102290129340398, 2026-11, in USD",
        "category   sends  predicted  unpriced  delivered  settled  unpriced  difference",
        "marketing      2     0.2730         0          1   0.1365         0     -0.1365",
        "service        1     0.0000         0          1   0.0000         0      0.0000",
        "utility        3     0.1650         0          2   0.1100         0     -0.0550",
        "total          6     0.4380         0          4   0.2465         0     -0.1915",
        "open: 1 accepted and not settled yet, predicted at 0.055",
        "free tier: service_messages of 106540352242922, 1 of 1000 used",
    ] == found[1].splitlines()


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        (("caller",), [["-"], ["crm"], ["shop"], ['the "desk", 1']]),
        (("market",), [["Germany"]]),
        (("day", "phone_number_id"), [["2026-11-10", NUMBER]]),
        (("category", "caller"), [["marketing", "crm"], ["service", 'the "desk", 1'], ["utility", "-"], ["utility", "shop"]]),
        (("category", "category"), [["marketing"], ["service"], ["utility"]]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_a_month_is_summed_by_what_is_asked_for(by, rows, house, typed):
    """One row for each combination; the total is the same."""
    await traffic(house)
    _, out, _ = await typed("spend", "--admin", house.gate.admin_url, "--by", *by)
    _, head, *table = out.splitlines()[: len(rows) + 3]
    last = head.index("sends") - 1
    cells = [[cell.strip() for cell in line[: last - 1].split("  ") if cell.strip()] for line in table]

    assert [*rows, ["total"]] == cells
    assert table[-1].split()[-7:] == ["6", "0.4380", "0", "4", "0.2465", "0", "-0.1915"]


async def test_every_line_is_written_as_csv(house, typed):
    """RFC 4180: lines end in CR LF, and a caller may be called anything; amounts are plain decimals."""
    await traffic(house)
    status, out, err = await typed("spend", "--csv", "--admin", house.gate.admin_url)

    assert (0, "") == (status, err)
    assert [
        HEADER,
        f"{WABA},USD,2026-11-10,{NUMBER},,utility,Germany,1,0.055,0,0,0,0",
        f"{WABA},USD,2026-11-10,{NUMBER},crm,marketing,Germany,2,0.273,0,1,0.1365,0",
        f"{WABA},USD,2026-11-10,{NUMBER},shop,utility,Germany,2,0.11,0,2,0.11,0",
        f'{WABA},USD,2026-11-10,{NUMBER},"the ""desk"", 1",service,Germany,1,0,0,1,0,0',
        "",
    ] == out.split("\r\n")
    assert {13} == set(map(len, csv.reader(io.StringIO(out, newline=""), strict=True)))


async def test_a_terminal_obeys_no_caller(open_house, graph, typed):
    """What would move a cursor or colour a screen is shown as it is written in code."""
    house = await open_house(graph.url)
    for caller in ("caf\u00e9", "a\u009b31mb"):
        await house.template("order_update", ("Gatekeeper-Caller", caller))
    _, out, _ = await typed("spend", "--by", "caller", "--admin", house.gate.admin_url)

    assert [] == [c for c in out if not c.isprintable() and c != "\n"]


async def test_a_price_that_no_card_knows_is_counted(open_house, graph, typed):
    """On either side; it is in no sum."""
    house = await open_house(graph.url, account={"currency": "JPY"})
    await house.template("order_update")
    await house.status("wamid.1", "delivered")
    _, out, _ = await typed("spend", "--admin", house.gate.admin_url)

    assert ["total", "1", "0.00", "1", "1", "0.00", "1", "0.00"] == out.splitlines()[3].split()


async def test_a_month_without_anything_says_so(house, typed):
    """An empty month is an answer."""
    found = await typed("spend", "--admin", house.gate.admin_url, "--month", "2026-09")

    assert (0, f"{WABA}, 2026-09, in USD\nnothing was sent and nothing delivered\n", "") == found


async def test_accounts_that_webhooks_told_of_are_told_too(open_house, graph, typed):
    """The gate says which accounts it keeps books of; several come with a sum for each currency."""
    house = await open_house(graph.url, account={"waba_id": "7", "phone_number_ids": ["71"], "timezone": "Asia/Kolkata"})
    await house.wrote()
    await house.text()
    await house.status("wamid.1", "delivered")
    listed = (await house.admin("/v1/accounts")).json
    _, out, _ = await typed("spend", "--admin", house.gate.admin_url)
    _, one, _ = await typed("spend", "--admin", house.gate.admin_url, "--waba-id", "7", "--waba-id", "7")

    configured = {"waba_id": "7", "timezone": "Asia/Kolkata", "phone_number_ids": ["71"], "configured": True}
    heard = {"waba_id": WABA, "timezone": "UTC", "phone_number_ids": [NUMBER], "configured": False}
    assert {"accounts": [{**each, "portfolio_id": None, "currency": "USD"} for each in (configured, heard)]} == listed
    assert ["7, 2026-11, in USD", f"{WABA}, 2026-11, in USD", "all 2 accounts"] == [
        line for line in out.splitlines() if ", in " in line or line.startswith("all")
    ]
    assert ["USD", "1", "0.00", "0", "1", "0.00", "0", "0.00"] == out.splitlines()[-1].split()
    assert ["7, 2026-11, in USD", "nothing was sent and nothing delivered"] == one.splitlines()[:2]


async def test_a_number_whose_account_is_not_heard_of_is_billed_under_its_own_id(open_house, graph, typed):
    """No webhook came yet: the number stands for its account."""
    house = await open_house(graph.url, account={"waba_id": "7", "phone_number_ids": ["71"]})
    await house.template("order_update")
    status, out, _ = await typed("spend", "--admin", house.gate.admin_url, "--waba-id", NUMBER)

    assert (0, f"{NUMBER}, 2026-11, in USD") == (status, out.splitlines()[0])


async def test_the_accounts_tell_no_secret(open_house, graph):
    """An account's access token is nobody's business."""
    house = await open_house(graph.url, account={"access_token": "EAAJB"})

    assert b"EAAJB" not in (await house.admin("/v1/accounts")).body


async def test_the_configuration_says_where_the_gate_is(house, typed, tmp_path):
    """`--config` names the very file that the gate runs with; one that listens everywhere is found here."""
    config, port = tmp_path / "config.toml", house.gate.admin_url.rpartition(":")[2]
    config.write_text(f'[server]\nadmin_listen = "0.0.0.0:{port}"\nadmin_token = "{"t" * 16}"\n')

    assert 0 == (await typed("spend", "--config", config))[0]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--month", "2026-13"], 2, "argument --month: '2026-13' is not a month such as 2026-10"),
        (["--month", "October"], 2, "'October' is not a month"),
        (["--waba-id", "abc"], 2, "'abc' is not the id of a WhatsApp Business Account"),
        (["--waba-id", "123"], 2, f"the gate keeps no books of the account 123; it keeps those of {WABA}"),
        (["--by", "weather"], 2, "invalid choice: 'weather'"),
        (["extra"], 2, "unrecognized arguments: extra"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_a_wrong_question_is_one_line_and_2(arguments, status, says, house, typed):
    """It says what is wrong."""
    found = await typed("spend", "--admin", house.gate.admin_url, *arguments)

    assert (status, "", 1, True) == (found[0], found[1], len(found[2].splitlines()), says in found[2])


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--admin", "http://127.0.0.1:1"], 1, "no gate answers at http://127.0.0.1:1: Connection refused"),
        (["--admin", "127.0.0.1:1"], 1, "no gate answers at http://127.0.0.1:1: "),
        (["--admin", "http://[::1"], 2, "--admin: write the URL"),
        (["--admin", "http://a b"], 2, "--admin: write the URL"),
        (["--admin", "http://u:secret@127.0.0.1"], 2, "--admin: write the URL"),
        (["--admin", "http://127.0.0.1:99999"], 2, "--admin: write the URL"),
        (["--admin", "ftp://127.0.0.1"], 2, "--admin: write the URL"),
        (["--admin", "http://127.0.0.1:1/?a=b"], 2, "--admin: write the URL"),
        (["--admin", ""], 2, "--admin: write the URL"),
        (["--admin", "http://x", "--config", "y"], 2, "not allowed with"),
        (["--config", "/missing.toml"], 2, "/missing.toml: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_a_gate_that_cannot_be_asked_is_one_line(arguments, status, says, typed):
    """1 when nobody answers, 2 when the command line or the configuration is wrong; a password is not repeated."""
    found = await typed("spend", *arguments)

    assert (status, "", 1, True) == (found[0], found[1], len(found[2].splitlines()), says in found[2])
    assert "secret" not in found[2]


@pytest.mark.parametrize(
    ("listen", "asked"),
    [
        ("0.0.0.0:1", "127.0.0.1:1"),
        (":1", "127.0.0.1:1"),
        ("[::]:1", "[::1]:1"),
        ("[::1]:1", "[::1]:1"),
        ("127.0.0.1:1", "127.0.0.1:1"),
    ],
)
async def test_a_gate_is_asked_where_it_listens(listen, asked, typed, tmp_path):
    """One that listens everywhere is asked on this machine."""
    (tmp_path / "config.toml").write_text(f'[server]\nadmin_listen = "{listen}"\nadmin_token = "{"t" * 16}"\n')
    status, _, err = await typed("spend", "--config", tmp_path / "config.toml")

    assert (1, True) == (status, err.startswith(f"gatekeeper: no gate answers at http://{asked}: "))


async def test_a_port_that_the_system_chooses_is_in_no_configuration(typed, tmp_path):
    """Only the gate itself says where it is then."""
    (tmp_path / "config.toml").write_text('[server]\nadmin_listen = "127.0.0.1:0"\n')
    status, _, err = await typed("spend", "--config", tmp_path / "config.toml")

    assert (2, True) == (status, "$.server.admin_listen" in err and "--admin" in err)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"accounts":[1]',
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n\xff\xff",
        b'HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n{"accounts":[{"waba_id":"1","timezone":"Mars/X","currency":"USD"}    ]}',
    ],
    ids=["not HTTP", "nothing", "cut off", "list", "bad JSON", "no text", "redirect", "odd 503", "odd time zone"],
)
async def test_whatever_else_answers_is_no_gate(answer, wire, typed):
    """One line, and 1."""

    async def script(_head, _reader, writer):
        writer.write(answer)
        await writer.drain()
        writer.close()

    wire.script = script
    status, out, err = await typed("reconcile", META / "pricing_analytics-2026-11.csv", "--waba-id", "1", "--admin", wire.url)

    assert (1, "", 1) == (status, out, len(err.splitlines()))


async def test_a_gate_without_its_ledger_says_so(open_house, graph, frozen, typed):
    """The bill is not guessed at."""
    house = await open_house(graph.url, ledger={"timeout": "100ms"})
    with frozen():
        status, out, err = await typed("spend", "--admin", house.gate.admin_url)
        listed = await house.admin("/v1/accounts")
    await eventually(lambda: bool(house.logged("ledger_recovered")))

    assert (1, "", True, 503) == (status, out, "cannot answer now: The ledger is out of reach" in err, listed.status)


async def differences(house):
    """The settled difference by direction."""
    text = (await house.admin("/metrics")).body.decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {
        (s.labels["currency"], s.labels["direction"]): s.value
        for s in samples
        if s.name == "gatekeeper_settled_difference_micros_total"
    }


@pytest.mark.parametrize(
    ("pricing", "expected"),
    [
        ({"type": "regular", "category": "utility"}, {}),
        ({"type": "regular", "category": "marketing"}, {("USD", "above"): 81_500.0}),
        ({"type": "free_entry_point", "category": "referral_conversion"}, {("USD", "below"): 55_000.0}),
        (None, {}),
    ],
    ids=["as quoted", "dearer", "free", "no word"],
)
async def test_what_is_settled_apart_from_its_quote_is_measured(pricing, expected, house):
    """In micro-units, by currency and direction; a repeated status counts nothing again, and a failure is no price."""
    await house.template("order_update")
    await house.template("order_update")
    for status in ("delivered", "read", "delivered"):
        await house.status(
            "wamid.1", status, **({"pricing": {"billable": True, "pricing_model": "PMP", **pricing}} if pricing else {})
        )
    await house.status("wamid.2", "failed")

    assert expected == await differences(house)


async def delivered(house):
    """The traffic that the fixtures of Meta's figures are of."""
    await house.wrote()
    for name in ("order_update", "order_update", "spring_sale"):
        await house.template(name)
    await house.text()
    for n in range(1, 5):
        await house.status(f"wamid.{n}", "delivered")


AGREES = [
    "102290129340398, 2026-11, in USD: what Meta says, and what was settled",
    "  category   market   messages: meta  settled  difference  cost: meta  settled  difference  predicted",
    "  marketing  Germany               1        1           0      0.1365   0.1365      0.0000     0.1365",
    "  service    Germany               1        1           0      0.0000   0.0000      0.0000     0.0000",
    "  utility    Germany               2        2           0      0.1100   0.1100      0.0000     0.1100",
    "  total                            4        4           0      0.2465   0.2465      0.0000     0.2465",
    "2026-11 agrees: 4 messages and 0.2465 USD on both sides",
]


@pytest.mark.parametrize("file", ["pricing_analytics-2026-11.json", "pricing_analytics-2026-11.csv"])
async def test_a_month_that_agrees_is_told_row_by_row(file, house, typed):
    """Graph's answer and a table of it say the same; the fixtures are of our own making, in the shape of Meta's documentation."""
    await delivered(house)
    status, out, err = await typed("reconcile", META / file, "--admin", house.gate.admin_url, "--fail-above", "0")

    assert (0, AGREES, "") == (status, out.splitlines(), err)


async def test_a_month_that_differs_is_told_with_what_explains_it(house, typed):
    """Rows that differ are marked; what is open is said. The exit code is 0 all the same."""
    await delivered(house)
    await house.template("order_update")
    await house.template("spring_sale")
    await house.status("wamid.6", "delivered")
    status, out, _ = await typed("reconcile", META / "pricing_analytics-2026-11.json", "--admin", house.gate.admin_url)

    assert 0 == status
    assert [
        "*  marketing  Germany               1        2          -1      0.1365   0.2730     -0.1365     0.2730",
        "   service    Germany               1        1           0      0.0000   0.0000      0.0000     0.0000",
        "   utility    Germany               2        2           0      0.1100   0.1100      0.0000     0.1650",
        "*  total                            4        5          -1      0.2465   0.3830     -0.1365     0.4380",
        "note: 1 accepted sends, predicted at 0.055, are not settled yet",
        "2026-11 differs in 1 of 3 rows (*): in all, Meta has 1 message fewer and 0.1365 USD less",
    ] == out.splitlines()[2:]


@pytest.mark.parametrize(("allowed", "status"), [("0.1364", 1), ("0.1365", 0), ("1", 0)])
async def test_a_difference_may_be_bounded(allowed, status, house, typed):
    """Above the bound the exit code is 1 and standard error says by how much; the table is printed all the same."""
    await house.template("spring_sale")
    file, admin = META / "pricing_analytics-2026-11.json", house.gate.admin_url
    for name in ("order_update", "order_update"):
        await house.template(name)
    for n in (2, 3):
        await house.status(f"wamid.{n}", "delivered")
    found = await typed("reconcile", file, "--admin", admin, "--fail-above", allowed)

    assert (status, True) == (found[0], "2026-11 differs in 2 of 3 rows" in found[1])
    assert (["gatekeeper: 2026-11 differs by 0.1365, more than 0.1364 USD"] if status else []) == found[2].splitlines()


async def test_a_program_gets_json(house, typed):
    """Money is plain decimals, and every row says whether it agrees."""
    await delivered(house)
    _, out, _ = await typed("reconcile", META / "pricing_analytics-2026-11.json", "--json", "--admin", house.gate.admin_url)
    found = json.loads(out)
    sides = {
        "meta": {"messages": 2, "cost": "0.11"},
        "settled": {"messages": 2, "cost": "0.11", "unpriced": 0},
        "predicted": {"sends": 2, "cost": "0.11", "unpriced": 0},
        "difference": {"messages": 0, "cost": "0"},
        "agrees": True,
    }

    assert {"category": "utility", "market": "Germany", **sides} == found["rows"][2]
    assert {"waba_id": WABA, "month": "2026-11", "currency": "USD", "agrees": True, "notes": []} == {
        key: value for key, value in found.items() if key not in ("rows", "total")
    }
    assert {"messages": 4, "cost": "0.2465"} == found["total"]["meta"]


async def test_a_spreadsheet_gets_csv(house, typed, tmp_path):
    """Rows alone on standard output; what else there is to know goes to standard error. An unknown cost is an empty cell."""
    await delivered(house)
    point = {"start": 1794268800, "end": 1794355200, "country": "DE", "pricing_category": "UTILITY", "volume": 2}
    (tmp_path / "meta.json").write_text(json.dumps({"data": [{"data_points": [point]}]}))
    _, out, err = await typed("reconcile", tmp_path / "meta.json", "--csv", "--admin", house.gate.admin_url)

    assert [
        f"{WABA},2026-11,USD,marketing,Germany,0,,1,0.1365,0,1,0.1365,0,-1,,differs",
        f"{WABA},2026-11,USD,service,Germany,0,,1,0,0,1,0,0,-1,,differs",
        f"{WABA},2026-11,USD,utility,Germany,2,,2,0.11,0,2,0.11,0,0,,agrees",
        "",
    ] == out.split("\r\n")[1:]
    assert "gatekeeper: note: Meta gives no cost, as to accounts on a partner's credit line: only messages are compared\n" == err


async def test_a_cost_that_is_not_given_can_be_held_to_no_bound(house, typed, tmp_path):
    """A bound that nothing was checked against must not look kept."""
    point = {"start": 1794268800, "end": 1794355200, "country": "DE", "pricing_category": "UTILITY", "volume": 2}
    (tmp_path / "meta.json").write_text(json.dumps({"data": [{"data_points": [point]}]}))
    status, _, err = await typed("reconcile", tmp_path / "meta.json", "--fail-above", "1", "--admin", house.gate.admin_url)

    assert (2, "gatekeeper: --fail-above: Meta does not give the cost of the whole month, so nothing can be held to it\n") == (
        status,
        err,
    )


async def test_days_are_the_accounts_own(open_house, graph, typed, tmp_path):
    """A day of Meta's is the account's: what was delivered late on the 31st in Kolkata is of October there."""
    house = await open_house(graph.url, account={"timezone": "Asia/Kolkata"}, now=1_793_471_340_000)  # 2026-10-31T23:59+05:30
    await house.template("order_update")
    await house.status("wamid.1", "delivered")
    point = {"start": 1793385000, "end": 1793471400, "country": "DE", "pricing_category": "UTILITY", "volume": 1, "cost": 0.055}
    (tmp_path / "meta.json").write_text(json.dumps({"data": [{"data_points": [point]}]}))
    _, out, _ = await typed("reconcile", tmp_path / "meta.json", "--admin", house.gate.admin_url)

    assert "2026-10 agrees: 1 message and 0.055 USD on both sides" == out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["FILE", "--waba-id", "123"], f"FILE: is of the account {WABA}, and not of 123"),
        (["FILE", "--month", "2026-10"], "FILE: has no data point of 2026-10; it has 2026-11"),
        (["FILE", "--fail-above", "-1"], "'-1' is less than nothing"),
        (["FILE", "--fail-above", "much"], "'much' is not a decimal number"),
        (["FILE", "--json", "--csv"], "not allowed with argument"),
        (["missing.json"], "missing.json: No such file or directory"),
        (["/"], "/: Is a directory"),
        (["a\0b"], "embedded null byte"),
        ([], "the following arguments are required: FILE"),
    ],
    ids=lambda value: " ".join(map(repr, value)) if isinstance(value, list) else "",
)
async def test_what_cannot_be_compared_is_one_line_and_2(arguments, says, house, typed):
    """It names the file, and what is wrong with the question."""
    file = str(META / "pricing_analytics-2026-11.json")
    given = [file if argument == "FILE" else argument for argument in arguments]
    status, out, err = await typed("reconcile", "--admin", house.gate.admin_url, *given)

    assert (2, "", 1, True) == (status, out, len(err.splitlines()), says.replace("FILE:", f"{file}:") in err)


async def test_one_of_several_accounts_must_be_chosen(open_house, graph, typed):
    """A table names no account."""
    house = await open_house(graph.url, account={"waba_id": "7", "phone_number_ids": ["71"]})
    await house.wrote()
    table, admin = META / "pricing_analytics-2026-11.csv", house.gate.admin_url
    status, _, err = await typed("reconcile", table, "--admin", admin)
    chosen, _, _ = await typed("reconcile", table, "--admin", admin, "--waba-id", "7")

    assert (2, True, 0) == (status, f"it keeps those of 7, {WABA}" in err, chosen)


@contextlib.asynccontextmanager
async def sandbox(folder):
    """A gate in a process of its own, in front of the sandbox; its two addresses."""
    config = folder / "config.toml"
    account = (
        f'[[account]]\nwaba_id = "{WABA}"\nphone_number_ids = ["{NUMBER}"]\n'
        '[[account.template]]\nname = "order_update"\nlanguage = "en_US"\ncategory = "utility"\n'
    )
    config.write_text(
        '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\n'
        f'[ledger]\ndata_dir = "{folder / "var"}"\ntimeout = "10s"\n[policy]\ncold_start = "closed"\n{account}'
    )
    with (folder / "log").open("wb") as log:
        gate = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gatekeeper", "serve", "--sandbox", "--config", str(config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
        )
        try:
            async with asyncio.timeout(60):
                lines = [(await gate.stdout.readline()).decode() for _ in range(3)]
            yield [line.split()[-1] for line in lines[1:]]
        finally:
            gate.send_signal(signal.SIGTERM)
            await gate.wait()


async def test_a_month_from_the_first_send_to_the_agreement(tmp_path):
    """Processes all through: the gate in front of its sandbox, the bill as CSV, Meta's answer made of it, and both compared."""

    async with sandbox(tmp_path) as (url, admin):
        for _ in range(2):
            template = {"name": "order_update", "language": {"code": "en_US"}}
            body = {"messaging_product": "whatsapp", "to": USER, "type": "template", "template": template}
            headers = [("Authorization", "Bearer any"), ("Content-Type", "application/json")]
            answer = await ask(url, "POST", f"/v23.0/{NUMBER}/messages", headers, json.dumps(body).encode())
            assert 200 == answer.status
        async with asyncio.timeout(60):
            while True:
                status, out, err = await process("spend", "--csv", "--admin", admin)
                lines = list(csv.DictReader(io.StringIO(out, newline="")))
                if sum(int(line["settled_sends"]) for line in lines) == 2:
                    break
        table = "Date,Country,Category,Volume,Cost\n" + "".join(
            f"{line['day']},DE,{line['category'].upper()},{line['settled_sends']},{line['settled_total']}\n" for line in lines
        )
        told = await process("spend", "--admin", admin, "--by", "market", "day")
        agreed = await process("reconcile", "-", "--admin", admin, "--fail-above", "0", stdin=table.encode())

    assert (0, "") == (status, err)
    assert (0, "", True) == (told[0], told[2], "Germany" in told[1])
    assert (0, "", True) == (agreed[0], agreed[2], " agrees: 2 messages and " in agreed[1])


async def test_answers_are_told_by_turn(house, typed):
    """Two texts in answer to one message are two charges: by caller, or by whatever is asked for."""
    await house.wrote()
    for _ in range(2):
        await house.text(("Gatekeeper-Caller", "crm"))
    status, out, _ = await typed("spend", "--turns", "--admin", house.gate.admin_url)

    assert (0, ["crm", "2", "1", "2.00"]) == (status, out.splitlines()[-1].split())
