"""Hot reload: a changed file takes effect in a running gate, whole or not at all, and nothing that is under way notices."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from aiohttp import web
from fake_graph import eventually
from gates import ACCOUNT, ROOT, gates, written

from gatekeeper.server.reload import Reload
from gatekeeper.settings import load, read
from gatekeeper.telemetry import Metrics, logger

WITHIN_S = 5
RULE = '[[policy.rule]]\nname = "nothing"\n'
NO_RULE = ""
BUDGET = '[[policy.budget]]\nname = "b"\nscope = "waba"\nperiod = "month"\nlimit = "{:.3f}"\n'
PRICE = 0.055  # of an order_update to Germany


@pytest.fixture
async def start(tmp_path):
    async with gates(tmp_path) as started:
        yield started


@pytest.fixture
def config(graph, redis_url, redis):
    """A configuration by its policy."""

    def of(policy="", **more):
        return written(graph.url, redis_url, policy=policy, **more)

    return of


async def soon(asked, expected):
    """Ask until it is so, and not for longer than a change may take."""
    found = None
    async with asyncio.timeout(WITHIN_S):
        while found != expected:
            found = await asked()
            await asyncio.sleep(0.02)


# ------------------------------------------------------------------------------------------------- how it changes


def overwrite(file, text):
    file.write_text(text)


def replace(file, text):
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


def swap(file, text):
    """As Kubernetes swaps a ConfigMap: the file is a link through `..data`, a link to a folder that is replaced by another."""
    data = file.parent / "..data"
    folder = file.parent / f"..{os.urandom(4).hex()}"
    folder.mkdir()
    (folder / file.name).write_text(text)
    link = file.parent / "..data_tmp"
    link.symlink_to(folder.name)
    link.rename(data)
    if not file.is_symlink():
        file.symlink_to(Path("..data", file.name))


@pytest.mark.parametrize("change", [overwrite, replace, swap])
async def test_a_changed_file_takes_effect_by_itself(change, start, config, tmp_path):
    """However it is changed, and as often as it is."""
    file = tmp_path / "mounted" / "gatekeeper.toml"
    file.parent.mkdir()
    change(file, config())
    gate = await start(file)
    await soon(gate.reason, "charged_message")
    for policy, reason in ((RULE, "policy_rule"), (NO_RULE, "charged_message")):
        change(file, config(policy))
        await soon(gate.reason, reason)

    assert [(1, 1, 0), (1, 0, 0)] == [
        tuple(line[name] for name in ("accounts", "rules", "budgets")) for line in gate.logged("reloaded")
    ]


async def test_a_signal_reads_the_file_at_once(start, config):
    """Changed or not."""
    gate = await start(config())
    gate.hang_up()
    await eventually(lambda: len(gate.logged("reloaded")) == 1, WITHIN_S)
    gate.config.write_text(config(RULE))
    gate.hang_up()
    await eventually(lambda: len(gate.logged("reloaded")) == 2, 0.9)

    assert "policy_rule" == await gate.reason()


async def test_a_gate_without_a_file_takes_a_signal_too(start, tmp_path, config, graph):
    """It has all defaults, before and after."""
    gate = await start(config())
    gate.config.unlink()
    gate.hang_up()
    await eventually(lambda: bool(gate.logged("reload_failed")), WITHIN_S)

    assert (200, "charged_message") == ((await gate.asked("/readyz"))[0], await gate.reason())


# ----------------------------------------------------------------------------------------------------- mistakes


async def test_a_file_with_a_mistake_leaves_the_old_policy(start, config):
    """The log, `/readyz`, `/v1/policy` and a metric say so, and where; the gate stays ready. A repaired file is as good as a new one."""
    text, says = RULE + 'action = "deny"\n', '$.policy.rule[0].action: Invalid enum value \'deny\'; valid: "block", "allow"'
    gate = await start(config(RULE))
    in_force = (await gate.asked("/v1/policy"))[1]
    gate.config.write_text(config(text))
    await eventually(lambda: bool(gate.logged("reload_failed")), WITHIN_S)
    ready, (_, policy) = await gate.asked("/readyz"), await gate.asked("/v1/policy")
    [line] = gate.logged("reload_failed")

    assert "policy_rule" == await gate.reason()
    assert (200, True) == (ready[0], ready[1]["ready"])
    assert f"stale: {says}" == ready[1]["checks"]["policy"]
    assert (policy["state"], in_force["policy"], in_force["since"]) == (
        ready[1]["checks"]["policy"],
        policy["policy"],
        policy["since"],
    )
    assert f"{gate.config}: {says}" == line["error"]
    assert (1, 1) == (
        await gate.metric("gatekeeper_policy_stale"),
        await gate.metric('gatekeeper_reloads_total{outcome="failed"}'),
    )

    gate.config.write_text(config(NO_RULE))
    await soon(gate.reason, "charged_message")
    repaired = (await gate.asked("/readyz"))[1]["checks"]["policy"]

    assert ("ok", 0) == (repaired, await gate.metric("gatekeeper_policy_stale"))
    assert 1 == await gate.metric('gatekeeper_reloads_total{outcome="done"}')


# -------------------------------------------------------------------------------------------- what takes effect


async def passing(gate, most=6):
    """How many more of a template pass, one after the other."""
    statuses = [(await gate.send())[0] for _ in range(most)]
    return statuses.count(200)


async def test_a_budget_counts_what_was_spent_before_it_changed(start, config):
    """Raised, it has the difference; lowered, nothing; taken away and brought back, what it had, but for what went out meanwhile."""
    gate = await start(config(BUDGET.format(2 * PRICE)))
    found = [await passing(gate)]
    for limit in (3, 1, None, 5):
        gate.config.write_text(config(BUDGET.format(limit * PRICE) if limit else ""))
        gate.hang_up()
        before = len(gate.logged("reloaded"))
        await eventually(lambda before=before: len(gate.logged("reloaded")) > before, WITHIN_S)
        found.append(await passing(gate))

    assert [2, 1, 0, 6, 2] == found


async def test_what_is_reserved_before_a_change_is_given_back_after_it(start, config, graph):
    """Its budget is not in the file any more when Meta refuses; when it is back, it has lost nothing."""
    refuse, arrived = asyncio.Event(), asyncio.Event()

    async def answer(request):
        arrived.set()
        await refuse.wait()
        return web.json_response({"error": {"message": "x", "type": "OAuthException", "code": 131026}}, status=400)

    graph.script = answer
    gate = await start(config(BUDGET.format(PRICE)))
    sending = asyncio.create_task(gate.send())
    await arrived.wait()
    full = await gate.reason()
    gate.config.write_text(config())
    await soon(gate.reason, "charged_message")
    refuse.set()
    status, _ = await sending
    gate.config.write_text(config(BUDGET.format(PRICE)))
    await eventually(lambda: len(gate.logged("reloaded")) == 2, WITHIN_S)

    assert ("budget_exhausted", 400, "charged_message") == (full, status, await gate.reason())


OTHER = """
[[account]]
waba_id = "102290129340399"
currency = "INR"
phone_number_ids = ["106540352242924"]
[[account.template]]
name = "order_update"
language = "en_US"
category = "marketing"
"""


async def test_accounts_and_templates_take_effect(start, config):
    """A number of a new account is priced in its currency; a template that was told another category has that."""
    gate = await start(config())

    async def priced(number, name="order_update"):
        _, headers = await gate.send(name, number=number, Gatekeeper_Dry_Run="true")
        return headers["Gatekeeper-Currency"], headers["Gatekeeper-Category"]

    before = await priced("106540352242924"), await priced("106540352242922", "new_one")
    gate.config.write_text(config(account=ACCOUNT.replace("spring_sale", "new_one") + OTHER))
    await eventually(lambda: bool(gate.logged("reloaded")), WITHIN_S)
    after = await priced("106540352242924"), await priced("106540352242922", "new_one")
    gate.config.write_text(config())
    await eventually(lambda: len(gate.logged("reloaded")) == 2, WITHIN_S)

    assert (("USD", "unknown"), ("USD", "unknown")) == before
    assert (("INR", "marketing"), ("USD", "marketing")) == after
    assert before == (await priced("106540352242924"), await priced("106540352242922", "new_one"))


async def test_what_needs_a_restart_says_so(start, config, graph):
    """Sends go where they went; the rest of the file takes effect all the same."""
    gate = await start(config())
    gate.config.write_text(
        config(RULE.replace("nothing", "no crm") + 'caller = ["crm"]\n').replace(graph.url, "http://127.0.0.1:9")
    )
    await eventually(lambda: bool(gate.logged("reloaded")), WITHIN_S)
    statuses = [(await gate.send(**headers))[0] for headers in ({}, {"Gatekeeper_Caller": "crm"})]

    assert ([["upstream"]], [200, 400]) == ([line["sections"] for line in gate.logged("restart_needed")], statuses)


async def test_sends_in_flight_do_not_notice(start, config, graph):
    """Fifty that wait for Meta, and as many that come while the file is read again and again, good or bad."""
    answer, waiting = asyncio.Event(), 0

    async def held(request):
        nonlocal waiting
        body = await request.read()
        waiting += 1
        await answer.wait()
        return graph.accept(body)

    graph.script = held
    gate = await start(config(BUDGET.format(1000)))
    first = [asyncio.create_task(gate.send(to=f"49151{n:08}")) for n in range(50)]
    await eventually(lambda: waiting == 50)
    more = []
    for n in range(10):
        gate.config.write_text(config(BUDGET.format(1000 + n) if n % 3 else "[policy\n", account=ACCOUNT + OTHER * (n % 2)))
        gate.hang_up()
        more += [asyncio.create_task(gate.send(to=f"49152{n:04}{m:04}")) for m in range(5)]
        told = n + 1
        await eventually(lambda told=told: len(gate.logged("reloaded")) + len(gate.logged("reload_failed")) >= told, WITHIN_S)
    answer.set()
    statuses = [status for status, _ in await asyncio.gather(*first, *more)]

    assert [200] * 100 == statuses
    assert (6, 4) == (len(gate.logged("reloaded")), len(gate.logged("reload_failed")))


async def test_rates_and_regimes_take_effect(tmp_path, config):
    """A gate whose data is its own: a corrected figure is the next price, a file that is broken leaves the old ones."""
    code = tmp_path / "code"
    for folder in ("gatekeeper", "lua", "config"):
        shutil.copytree(ROOT / folder, code / folder, ignore=shutil.ignore_patterns("__pycache__"))
    card, regime = code / "config" / "rates" / "2026-10-01-pmp-USD.csv", code / "config" / "regimes" / "pmp-2026-10.toml"

    async with gates(tmp_path, code=code) as start:
        gate = await start(config())

        async def price():
            _, headers = await gate.send(Gatekeeper_Dry_Run="true")
            return headers["Gatekeeper-Price"]

        found = [await price()]
        card.write_text(card.read_text().replace("Germany,0.1365,0.0550", "Germany,0.1365,0.0660"))
        await soon(price, "0.066")
        whole = regime.read_text()
        regime.write_text(whole.replace('reason = "charged_message"', 'reason = "because"'))
        await eventually(lambda: bool(gate.logged("reload_failed")), WITHIN_S)
        found.append(await price())
        stale = (await gate.asked("/readyz"))[1]["checks"]["policy"]
        regime.write_text(whole)
        card.write_text(card.read_text().replace("0.0660", "0.0770"))
        await soon(price, "0.077")

    assert ["0.055", "0.066"] == found
    assert stale.startswith(f"stale: {regime}: Invalid enum value 'because'")


# ------------------------------------------------------------------------------------------------- when it is read


class Files:
    """A file that is watched, look by look, and what was read of it."""

    def __init__(self, folder, text=""):
        self.file = folder / "gatekeeper.toml"
        self.file.write_text(text)
        self.rules, self.looks = [], []
        data = folder / "config"
        shutil.copytree(ROOT / "config", data)
        follow = lambda settings, book: self.rules.append([rule.name for rule in settings.policy.rule])  # noqa: E731
        self.written = io.StringIO()
        self.reload = Reload(read(self.file), load(self.file, {}), follow, Metrics(), logger(self.written), lambda: 0, data)
        self.reload._woken = self._woken

    async def _woken(self):
        """The next look, after what is done before it; a look that is asked for by signal says True."""
        if not self.looks:
            raise asyncio.CancelledError
        done = self.looks.pop(0)
        if done is not None and done is not True:
            self.file.write_text(done)
        return done is True

    async def looked(self, *looks):
        self.looks = list(looks)
        with pytest.raises(asyncio.CancelledError):
            await self.reload.watch()
        return self.rules


def ruled(*names):
    return "".join(f'[[policy.rule]]\nname = "{name}"\n' for name in names)


@pytest.mark.parametrize(
    ("looks", "rules"),
    [
        ([None, None], []),
        ([ruled("a"), None], [["a"]]),
        ([ruled("a"), None, None, None], [["a"]]),
        ([ruled("a"), ruled("a", "b"), None], [["a", "b"]]),
        (["", ruled("a"), ruled("a", "b"), None, ruled("b"), None], [["a", "b"], ["b"]]),
        ([ruled("a", "b"), None, ruled("a"), None, None, None], [["a", "b"]]),
        ([ruled("a", "b"), None, ruled("a"), None, None, None, None], [["a", "b"], ["a"]]),
        ([ruled("a", "b"), None, ruled("a"), True], [["a", "b"], ["a"]]),
        ([ruled("a").rstrip(), None, None, None], []),
        ([ruled("a").rstrip(), None, None, None, None], [["a"]]),
        ([ruled("a"), None, "", None, None, None, ruled("b"), None], [["a"], ["b"]]),
        ([ruled("a"), True, None], [["a"]]),
        ([True], [[]]),
        ([ruled("a"), True, ruled("b"), None], [["a"], ["b"]]),
        ([ruled("a"), ""], []),
        ([ruled("a"), "", None], []),
    ],
)
async def test_a_file_is_read_when_its_writer_is_done(looks, rules, tmp_path):
    """
    What changed is read once two looks find it the same; one that is asked for by signal reads it as it is.

    A text that ends within a line, or is only the beginning of what is in force, may be half written: five looks have to agree.
    """
    assert rules == await Files(tmp_path).looked(*looks)


async def test_what_changed_while_the_gate_started_is_found(tmp_path):
    """Between reading the file and watching it."""
    files = Files(tmp_path)
    files.file.write_text(ruled("early"))

    assert [["early"]] == await files.looked(None, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[policy\n", "Expected ']' at the end of a table declaration (at line 1, column 8)"),
        (ruled("a", "a"), "$.policy.rule[1].name: also the name of rule[0]"),
        (
            ruled("a") + 'market = ["Atlantis"]\n',
            "$.policy.rule[0].market[0]: 'Atlantis' is not a market; `gatekeeper rates list` shows them",
        ),
        (ruled("a") + 'message = "env:NOT_SET"\n', "$.policy.rule[0].message: the environment variable NOT_SET is not set"),
        ("[[account]]\n", "$.account[0].waba_id: required key is missing"),
    ],
)
async def test_a_mistake_is_told_by_its_path(text, says, tmp_path):
    """Once for each change, without the file's name, which everybody knows who asks; put right, it is gone."""
    files = Files(tmp_path, ruled("old"))

    assert [] == await files.looked(text, None, None)
    assert (f"stale: {says}", 1) == (files.reload.state, files.written.getvalue().count("reload_failed"))
    assert [["new"]] == await files.looked(ruled("new"), None)
    assert "ok" == files.reload.state


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ('[server]\ngrace = "31s"\n', ["server"]),
        ('[upstream]\ntimeout = "61s"\n[ledger]\ntimeout = "251ms"\n', ["upstream", "ledger"]),
        ("[record]\nkeep = 3\n", ["record"]),
        ('[webhook]\nforward_to = "http://app.internal:3000/whatsapp"\n', None),
        ("[server]\nallow_empty = true\n", None),
        ("[server]\n[upstream]\n[ledger]\n[webhook]\n", None),
    ],
)
async def test_each_section_that_needs_a_restart_is_named(text, sections, tmp_path):
    """And only what is another one than the gate was started with."""
    files = Files(tmp_path)
    await files.looked(text, None)
    lines = [json.loads(line) for line in files.written.getvalue().splitlines()]

    assert ([sections] if sections else []) == [line["sections"] for line in lines if line["event"] == "restart_needed"]


async def test_a_file_that_breaks_the_reader_is_a_mistake(tmp_path, monkeypatch):
    """Whatever it does to us, the gate goes on as it was."""
    files = Files(tmp_path)

    def broken(reading, folder):
        raise RecursionError

    monkeypatch.setattr("gatekeeper.server.revision.load_all", broken)

    assert [] == await files.looked(True, None)
    assert "stale: it cannot be read: RecursionError" == files.reload.state


async def test_a_signal_while_it_starts_does_no_harm(start, config):
    """A gate that cannot reload yet, and is still loading its code, goes on starting, and is then what the file says."""
    gate = await start(config(), greeted=False)
    await eventually(lambda: gate.takes(signal.SIGHUP), 15)
    gate.config.write_text(config(RULE))
    gate.hang_up()
    await gate.greeted()

    await soon(gate.reason, "policy_rule")
