"""One history under two configurations: what changes, and what nobody can know."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from recorded import History, account, unix
from story import GROUP, ONE, OTHER_USER, USER, Json, cbp, message

from gatekeeper.__main__ import main
from gatekeeper.backtest import compare
from gatekeeper.backtest.comparing import Comparison
from gatekeeper.backtest.differences import Change, Said, settled
from gatekeeper.backtest.telling import as_json, told
from gatekeeper.core.accounts import TemplateCategory
from gatekeeper.core.policy import Budget, Counted, Fallback, Period, Policy, Rule
from gatekeeper.core.settlement import Settlement
from gatekeeper.core.vocabulary import Mode, Money, micros, money
from gatekeeper.settings import Settings

AT, CONVERSATIONS = unix("2026-11-10"), unix("2023-09-05")
HOUR, DAY = 3600, 86_400
GERMAN = 136_500  # a marketing template to Germany, in micro-units of USD
NO_PRIZES = Policy(rule=(Rule(name="no prizes", caller=("prizes",)),))
NO_MARKETING = Policy(rule=(Rule(name="no marketing", category=("marketing",)),))


def budget(limit: int) -> Policy:
    return Policy(budget=(Budget(name="ads", scope=Counted.WABA, period=Period.DAY, limit=Money(limit)),))


async def comparison(history: History, a: Policy | Settings, b: Policy | Settings) -> Comparison:
    """Compare a history under two policies, or under whole settings."""
    one, other = (
        policy if isinstance(policy, Settings) else msgspec.structs.replace(history.settings, policy=policy) for policy in (a, b)
    )
    return await compare(history.lines(), "a test", ("a.toml", one), ("b.toml", other))


async def compared(history: History, a: Policy | Settings, b: Policy | Settings) -> Json:
    found: Json = json.loads(as_json(await comparison(history, a, b)))
    return found


def changes(whole: Json) -> list[tuple[Any, ...]]:
    """What changes: the kind, both reasons, and how many."""
    return [(each["change"], each["a"]["reason"], each["b"]["reason"], each["messages"]) for each in whole["changes"]]


def amounts(whole: Json, what: str, currency: str = "USD") -> tuple[str, ...]:
    """What A and B come to, and what B saves and spends."""
    [row] = [row[what] for row in whole["money"] if row["currency"] == currency]
    return row["a"]["total"], row["b"]["total"], row["saved"], row["spent"]


# ------------------------------------------------------------------------------------------------ what the history does not show


@pytest.mark.parametrize("words", ["sent", "delivered"])
async def test_what_is_said_of_a_message_that_does_not_go_out_opens_nothing(words):
    """A template that B blocks opened a conversation in the history; in B the next one of its category opens it and is charged."""
    history = History()
    history.template(CONVERSATIONS, "s1", "marketing", USER, caller="prizes")
    ends = {"expiration_timestamp": str(CONVERSATIONS + DAY)}
    word = cbp("marketing")
    word["conversation"] |= ends
    history.status(words, CONVERSATIONS + 2, "s1", **word)
    if words == "sent":
        history.delivered(CONVERSATIONS + 3, "s1", **cbp("marketing"))
    history.template(CONVERSATIONS + HOUR, "s2", "marketing", USER)
    history.delivered(CONVERSATIONS + HOUR + 2, "s2")
    whole = await compared(history, Policy(), NO_PRIZES)

    assert [
        ("blocked", "opens_conversation", "policy_rule", 1),
        ("priced", "inside_open_conversation", "opens_conversation", 1),
    ] == changes(whole)
    assert ("0.1365", "0.1365", "0.1365", "0.1365") == amounts(whole, "settled")


async def test_what_was_never_sent_is_quoted_and_never_settled():
    """A blocks a template that the history therefore has no outcome of: under B it would have gone out, and nobody knows what then."""
    history = History()
    history.template(AT, "s1", "marketing", USER, taken=False, unanswered=True)
    whole = await compared(history, NO_MARKETING, Policy())

    assert [("let_out", "policy_rule", "charged_message", 1)] == changes(whole)
    assert (0, 1, 1) == (whole["a"]["outcome_unknown"], whole["b"]["outcome_unknown"], whole["changes"][0]["outcome_unknown"])
    assert ("0", "0.1365", "0", "0.1365") == amounts(whole, "quoted")
    assert ("0", "0", "0", "0") == amounts(whole, "settled")


REFUSED = {"response": {"error": {"code": 131026, "message": "(#131026)"}}}
TAKEN = {"response": {"messages": [{"id": "wamid.s1"}]}}


@pytest.mark.parametrize(
    ("said", "stops_a", "stops_b", "quoted", "unknown"),
    [
        ({}, False, False, ("0", "0"), (0, 0)),
        ({}, True, False, ("0", "0.1365"), (0, 1)),
        ({}, False, True, ("0.1365", "0"), (1, 0)),
        ({}, True, True, ("0", "0"), (0, 0)),
        ({"unanswered": True}, False, False, ("0.1365", "0.1365"), (1, 1)),
        ({"unanswered": True}, True, False, ("0", "0.1365"), (0, 1)),
        (REFUSED, False, False, ("0", "0"), (0, 0)),
        (REFUSED, True, False, ("0", "0"), (0, 0)),
        (TAKEN, False, False, ("0.1365", "0.1365"), (0, 0)),
        (TAKEN, True, False, ("0", "0.1365"), (0, 0)),
    ],
)
async def test_what_a_send_without_an_outcome_counts_as(said, stops_a, stops_b, quoted, unknown):
    """Without an answer Meta refused a send, unless only one side lets it out, or unless the history says that Meta never answered."""
    history = History()
    history.template(AT, "s0", "marketing", OTHER_USER)  # so that there is money in any case
    history.template(AT, "s1", "marketing", USER, taken=False, caller="prizes", **said)
    whole = await compared(history, NO_PRIZES if stops_a else Policy(), NO_PRIZES if stops_b else Policy())

    assert tuple(money(GERMAN + micros(amount)) for amount in quoted) == amounts(whole, "quoted")[:2]
    assert unknown == (whole["a"]["outcome_unknown"], whole["b"]["outcome_unknown"])


async def test_a_larger_budget_lets_out_as_many_as_it_pays_for():
    """What would have gone out holds its money, though nobody knows what became of it: a budget of four lets out one more than of three."""
    history = History()
    for n in range(8):
        history.template(AT + n, f"s{n}", "marketing", USER, taken=n < 3, **({} if n < 3 else {"unanswered": True}))
    whole = await compared(history, budget(3 * GERMAN), budget(5 * GERMAN))

    assert [("let_out", "budget_exhausted", "charged_message", 2)] == changes(whole)
    assert [{"reason": "budget_exhausted", "name": "ads", "a": hits(5), "b": hits(3)}] == whole["by_rule"]


def hits(blocked: int = 0, annotated: int = 0) -> Json:
    return {"blocked": blocked, "annotated": annotated}


# ----------------------------------------------------------------------------------------------------------------- what changes


async def test_nothing_changes_under_one_configuration():
    """Then there is nothing to tell but the sums."""
    history = History()
    history.template(AT, "s1", "marketing", USER)
    history.delivered(AT + 5, "s1")
    found = await comparison(history, Policy(), Policy())

    assert [] == json.loads(as_json(found))["changes"]
    assert "nothing changes" == list(told(found))[-1]


async def test_an_empty_history_is_compared_too():
    """There is just nothing in it."""
    said = list(told(await comparison(History(), Policy(), NO_MARKETING)))

    assert ("a test, an empty history", "nothing changes") == (said[0], said[-1])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Policy(), NO_PRIZES, ("blocked", "charged_message", "policy_rule", 1)),
        (NO_PRIZES, Policy(), ("let_out", "policy_rule", "charged_message", 1)),
        (
            Policy(),
            msgspec.structs.replace(NO_PRIZES, mode=Mode.ANNOTATE),
            ("explained", "charged_message", "policy_rule", 1),
        ),
        (NO_PRIZES, budget(0), ("explained", "policy_rule", "budget_exhausted", 1)),
    ],
)
async def test_a_send_changes_in_one_way(a, b, expected):
    """Blocked, let out, or as before for another reason."""
    history = History()
    history.template(AT, "s1", "marketing", USER, caller="prizes")

    assert [expected] == changes(await compared(history, a, b))


FALLBACK = Policy(fallback=(Fallback(template="utility", language="en_US"),))


@pytest.mark.parametrize(
    ("a", "b", "change"),
    [
        (Policy(), FALLBACK, "rewritten"),
        (FALLBACK, Policy(), "blocked"),
        (FALLBACK, Policy(mode=Mode.ANNOTATE), "as_written"),
        (Policy(mode=Mode.ANNOTATE), FALLBACK, "rewritten"),
    ],
)
async def test_a_text_is_rewritten_or_no_longer(a, b, change):
    """A text outside the window goes out as a template under one of the two."""
    history = History()
    history.text(AT, "s1", USER)
    whole = await compared(history, a, b)

    assert [change] == [each["change"] for each in whole["changes"]]
    assert (int(a == FALLBACK), int(b == FALLBACK)) == (whole["a"]["rewritten"], whole["b"]["rewritten"])


async def test_another_category_is_another_price():
    """A template that the other configuration calls marketing costs what marketing does."""
    history = History()
    history.template(AT, "s1", "utility", USER)
    history.delivered(AT + 5, "s1")
    mine = history.settings.account[0]
    dearer = tuple(msgspec.structs.replace(each, category=TemplateCategory.MARKETING) for each in mine.template)
    other = Settings(account=(msgspec.structs.replace(mine, template=dearer),))
    whole = await compared(history, history.settings, other)

    assert [("priced", "utility", "marketing", "Germany")] == [
        (each["change"], each["a"]["category"], each["b"]["category"], each["market"]) for each in whole["changes"]
    ]
    assert ("0.055", "0.1365", "0", "0.0815") == amounts(whole, "settled")


async def test_currencies_are_never_added_up():
    """An account in another currency saves all of the one, and spends in the other."""
    history = History()
    history.template(AT, "s1", "marketing", USER)
    history.delivered(AT + 5, "s1")
    rupees = Settings(account=(account(currency="INR"),))
    whole = await compared(history, history.settings, rupees)

    assert ["INR", "USD"] == [row["currency"] for row in whole["money"]]
    assert ("0.1365", "0", "0.1365", "0") == amounts(whole, "settled")
    assert ("0", "10.0073", "0", "10.0073") == amounts(whole, "settled", "INR")
    assert ({"USD": "0.1365"}, {"INR": "10.0073"}) == (whole["a"]["spend"], whole["b"]["spend"])


async def test_a_groups_message_counts_for_each_member():
    """Every member is settled, and all of them count among the messages that one of the two blocks."""
    history = History()
    history.post(AT, ONE, messages=[history.inbound(AT, USER, group_id=GROUP)])
    content = {"name": "marketing", "language": {"code": "en_US"}}
    history.send(AT + 1, "s1", message(GROUP, "template", content) | {"recipient_type": "group"}, caller="prizes")
    for member in (USER, OTHER_USER):
        names = {"recipient_type": "group", "recipient_participant_id": member}
        history.status("delivered", AT + 5, "s1", **names)
    whole = await compared(history, Policy(), NO_PRIZES)
    [change] = whole["changes"]

    assert ("blocked", 1, 2) == (change["change"], change["messages"], change["money"][0]["settled"]["a"]["messages"])
    assert ("0.273", "0", "0.273", "0") == amounts(whole, "settled")


@pytest.mark.parametrize(
    ("more", "change"),
    [({}, None), ({"price": 2}, Change.SETTLED), ({"charged": False}, Change.SETTLED), ({"currency": "EUR"}, Change.SETTLED)],
)
def test_a_delivery_may_be_settled_otherwise(more, change):
    """What was decided alike may still be settled otherwise; only its money and category are looked at."""
    usual: dict[str, Any] = {"id": "s1", "at": 1, "delivered": True, "category": "service", "charged": True, "price": 1}
    found = settled(Settlement(**usual, currency="USD"), Settlement(**{**usual, "currency": "USD", "opened": "service", **more}))

    assert change == (found and found.change)
    assert found is None or found.a == Said(category="service")


# ------------------------------------------------------------------------------------------------------------------- how large


async def test_no_more_is_kept_than_what_may_still_be_settled():
    """A message that differs is kept until it is settled, or until nothing can be said of it any more."""
    history = History()
    for n in range(20):
        history.template(AT + n, f"s{n}", "marketing", USER, caller="prizes")
    history.delivered(AT + 60, *(f"s{n}" for n in range(15)))
    history.template(AT + 60, "s20", "utility", USER)
    soon = len((await comparison(history, Policy(), NO_PRIZES))._open)
    history.template(AT + 47 * DAY, "s21", "utility", USER)
    late = len((await comparison(history, Policy(), NO_PRIZES))._open)

    assert (5, 0) == (soon, late)


# ------------------------------------------------------------------------------------------------------------------ the command

TODAY = """
[[account]]
waba_id = "102290129340398"
phone_number_ids = ["106540352242922"]
[[account.template]]
name = "marketing"
language = "en_US"
category = "marketing"
"""
STRICTER = TODAY + '[[policy.rule]]\nname = "no prizes"\ncaller = ["prizes"]\n'
TABLE = """\
history.jsonl, 2026-11-10 00:00 to 2026-11-10 00:00 UTC
A: today.toml
B: stricter.toml

                         A       B   change   saved   spent
sends                    3       3        0
blocked                  1       2       +1
let out                  2       1       -1
rewritten                0       0        0
annotated                0       0        0
outcome unknown          0       0        0
charged deliveries       2       1       -1
quoted, USD         0.1990  0.0625  -0.1365  0.1365  0.0000
settled, USD        0.1990  0.0625  -0.1365  0.1365  0.0000

what changes
change   reason: A        B                        category   market   currency  messages  unknown  quoted: A       B  settled: A       B
blocked  charged_message  policy_rule (no prizes)  marketing  Germany  USD              1        0     0.1365  0.0000      0.1365  0.0000

by rule, budget and limit
reason       name       blocked: A  B  change  annotated: A  B  change
policy_rule  no prizes           0  1      +1             0  0       0

by reason
reason                           A  B  change
charged_message                  2  1      -1
outside_customer_service_window  1  1       0
policy_rule                      0  1      +1

by category and market
currency  category   market   messages: A  B  quoted: A       B   change  settled: A       B   change
USD       marketing  Brazil             1  1     0.0625  0.0625   0.0000      0.0625  0.0625   0.0000
USD       marketing  Germany            1  0     0.1365  0.0000  -0.1365      0.1365  0.0000  -0.1365

blocked: it went out, and no longer does
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A history and two configurations in the working folder."""
    history = History()
    history.template(AT, "s1", "marketing", USER, caller="prizes")
    history.template(AT + 1, "s2", "marketing", "5511987654321")
    history.text(AT + 2, "s3", "5511987654321", taken=False, unanswered=True)
    history.delivered(AT + 5, "s1", "s2")
    (tmp_path / "history.jsonl").write_bytes(b"".join(history.lines()))
    (tmp_path / "today.toml").write_text(TODAY)
    (tmp_path / "stricter.toml").write_text(STRICTER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_person_gets_a_table(folder, capsys):
    """What changes, by what, and what it saves."""
    status = main(["replay", "history.jsonl", "--config", "today.toml", "--compare", "stricter.toml"])
    said = capsys.readouterr()

    assert (0, "") == (status, said.err)
    assert TABLE == said.out


def test_a_program_gets_one_document(folder, capsys):
    """Each amount has its currency, each side the fields of its summary."""
    status = main(["replay", "history.jsonl", "--config", "today.toml", "--compare", "stricter.toml", "--json"])
    whole = json.loads(capsys.readouterr().out)
    one, none = ({"messages": n, "total": "0.1365" if n else "0", "unpriced": 0} for n in (1, 0))
    blocked = {"verdict": "block", "reason": "policy_rule", "rule": "no prizes", "category": None}

    assert 0 == status
    assert ["history", "a", "b", "money", "changes", "by_rule", "by_reason", "by_category_and_market"] == list(whole)
    assert {"name": "history.jsonl", "from": AT, "to": AT + 5} == whole["history"]
    assert {"config": "stricter.toml", "sends": 3, "blocked": 2, "charged": 1, "spend": {"USD": "0.0625"}} | {
        "let_out": 1,
        "rewritten": 0,
        "annotated": 0,
        "outcome_unknown": 0,
    } == whole["b"]
    assert [
        {
            "change": "blocked",
            "a": {"verdict": "allow", "reason": "charged_message", "rule": None, "category": "marketing"},
            "b": blocked,
            "market": "Germany",
            "messages": 1,
            "outcome_unknown": 0,
            "money": [
                {
                    "currency": "USD",
                    "quoted": {"a": one, "b": none, "change": "-0.1365"},
                    "outcome_unknown": {"a": none, "b": none, "change": "0"},
                    "settled": {"a": one, "b": none, "change": "-0.1365"},
                }
            ],
        }
    ] == whole["changes"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["history.jsonl", "--json"], "--json goes with --compare: a plain replay writes JSON lines in any case"),
        (["history.jsonl", "--compare", "none.toml"], "none.toml: No such file or directory"),
        (["history.jsonl", "--compare", "wrong.toml"], 'wrong.toml: $.policy.rule[0].nam: unknown key; did you mean "name"?'),
        (["none.jsonl", "--compare", "today.toml"], "none.jsonl: No such file or directory"),
        (["wrong.jsonl", "--compare", "today.toml"], "wrong.jsonl: line 5: at 1 is before the line above it, at 1794268805"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, says, folder, capsys):
    """It names the file, and exits 2 before anything is told."""
    (folder / "wrong.toml").write_text('[[policy.rule]]\nnam = "typo"\n')
    lines = (folder / "history.jsonl").read_text()
    (folder / "wrong.jsonl").write_text(lines + '{"at": 1, "webhook": {}}\n')
    status, said = main(["replay", *arguments]), capsys.readouterr()

    assert (2, "", f"gatekeeper: {says}\n") == (status, said.out, said.err)
