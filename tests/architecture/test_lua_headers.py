"""
Each script's header is a contract, and here its body is held to it.

That no figure of Meta's stands in a script is held by `test_platform_figures.py`, and what keys look like by `test_keys.py`.
"""

from __future__ import annotations

import datetime as dt
import re

import pytest
from lua_source import (
    BINDING,
    CALL,
    HEADER,
    LINE,
    MADE,
    MOST_ARGUMENTS,
    MOST_FIELDS,
    READS,
    ROWS,
    SCRIPTS,
    STRUCT,
    TAKE,
    USE,
    VERBS,
    WRITES,
    body,
    bound,
    calls_of,
    commands,
    declared,
    split,
    struct,
    taken_apart,
    writers,
)
from story import rulebook

from gatekeeper.core.accounts import Account
from gatekeeper.core.bill import Cell, Quoted
from gatekeeper.core.guards import Kind
from gatekeeper.core.holding import Entry, Text
from gatekeeper.core.plan import Sent, plan
from gatekeeper.core.recipients import Link
from gatekeeper.core.reservation import Event, Facts
from gatekeeper.core.settlement import Settling
from gatekeeper.core.tariff import Meter
from gatekeeper.core.word import Word
from gatekeeper.ledger import calls, scripts
from gatekeeper.ledger.calls import Call

# What looks like a function that writes, and why it is none.
MAKERS = {"kinds_of_guards": "it makes what looks, which hands back what takes: test_a_guard_looks_before_it_takes"}
# A script that writes without that line, and why it may.
WITHOUT_TAKE = {
    "observe": "it is a list of changes, each checked and taken for itself: one that is old news refuses none of the others"
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_header_has_its_form(name):
    """A script says its name and purpose, what it owns and never does; a verb also its keys, arguments, result, writes and lifetimes."""
    header = HEADER.match(SCRIPTS[name])

    assert header is not None
    assert header["name"] == name
    lines = [LINE.match(line) for line in header["text"].split("\n")]
    said = [line["what"] for line in lines if line]
    named = [what for what in said if "[" in what]
    assert ["Owns", "Never"] == said[:2]
    if name not in scripts.SHARED:
        assert [] == [line for line in header["text"].split("\n") if line and not LINE.match(line)]
        assert ["Owns", "Never", *named, "Returns", "Writes", "Expires"] == said


@pytest.mark.parametrize("name", VERBS)
def test_keys_and_arguments_are_counted_without_a_gap(name):
    """KEYS come before ARGV, each from 1 on; only the last key may stand for more. The loader counts the same."""
    script = scripts.load()[name]
    kinds = [(line["list"], int(line["n"])) for line in declared(name)]
    keys = [n for kind, n in kinds if kind == "KEYS"]
    arguments = [n for kind, n in kinds if kind == "ARGV"]
    more = [bool(line["more"]) for line in declared(name) if line["list"] == "KEYS"]

    assert [("KEYS", n + 1) for n in range(len(keys))] + [("ARGV", n + 1) for n in range(len(arguments))] == kinds
    assert not any(more[:-1])
    assert (len(keys) - more[-1], len(arguments), more[-1]) == (script.keys, script.arguments, script.open)


@pytest.mark.parametrize("name", VERBS)
def test_what_the_header_names_is_bound_at_the_top(name):
    """Every key and argument has a local of the header's name, in its order, before anything else happens; a number is read as one."""
    expected = [
        (f"{line['name']}_key" if line["list"] == "KEYS" else line["name"], line["list"], int(line["n"]))
        for line in declared(name)
        if not line["more"]
    ]
    text = body(name).lstrip("\n")
    locals_ = bound(name)
    types = {line["name"]: line["type"] for line in declared(name) if line["list"] == "ARGV"}

    assert expected == [(local, kind, n) for local, kind, n, _ in locals_]
    assert re.fullmatch(r"(local [^\n]*(KEYS|ARGV)\[[^\n]*\n)+", text[: text.index("\n\n") + 1])
    for local, _, _, read in locals_:
        assert (types.get(local) == "int") == (read == "tonumber"), local
        assert read != "unpack" or types[local] == "msgpack"


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_undeclared_is_used(name):
    """Below the top nothing is taken from KEYS or ARGV by number; a key found by its index is one of those that the header leaves open."""
    text = body(name)
    uses = USE.findall(BINDING.sub("", text))
    numbered = [(kind, index) for kind, index in uses if index.isdigit()]
    computed = {kind for kind, index in uses if not index.isdigit()}
    open_ended = name in scripts.SHARED or any(line["more"] for line in declared(name))

    assert [] == numbered
    assert ({"KEYS"} if open_ended else set()) >= computed


@pytest.mark.parametrize("name", SCRIPTS)
def test_only_commands_of_the_oldest_server(name):
    """A script calls what Redis 6.2 knows, always by its literal name, and never asks for the time."""
    text = body(name)

    assert READS | WRITES >= commands(text)
    assert text.count("redis.") == len(CALL.findall(text))
    assert not text.startswith("#!")
    for call in CALL.finditer(text):
        arguments = split(text[call.end() :])
        assert len(arguments) <= MOST_ARGUMENTS.get(call["command"], len(arguments)), call[0]


def test_every_known_command_is_called():
    """A command that no script calls any more leaves the table."""
    assert READS | WRITES == set().union(*(commands(body(name)) for name in SCRIPTS))


@pytest.mark.parametrize("name", [name for name in VERBS if name not in WITHOUT_TAKE])
def test_nothing_is_written_before_all_is_known(name):
    """What writes stands below one line, so that a refusal has changed nothing."""
    above, *below = body(name).split(TAKE)

    assert 1 == len(below)
    assert set() == commands(above) & WRITES
    assert [] == calls_of(set().union(*(writers(body(one)) for one in (*scripts.SHARED, name))) - set(MAKERS), above)
    assert commands(below[0]) & WRITES


def test_an_exception_is_one_and_has_a_reason():
    """A script that has come to keep the rule leaves the table of those that do not."""
    assert [] == [name for name, reason in WITHOUT_TAKE.items() if TAKE in SCRIPTS[name] or not reason.strip()]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_makes_no_global(name):
    """Whatever a script names is its own: Redis shares one Lua among all callers."""
    text = body(name)
    names = {
        local.strip()
        for line in re.findall(r"\b(?:local|for) ([\w, ]+?)(?: =| in|$)", text, re.MULTILINE)
        for local in line.split(",")
    }
    names |= {argument.strip() for line in re.findall(r"function ?[\w.]*\(([\w, ]*)\)", text) for argument in line.split(",")}
    assigned = set(re.findall(r"^\s*(\w+)(?:, \w+)* = (?!function\()", text, re.MULTILINE))

    assert set() == assigned - names
    assert [] == re.findall(r"^function \w+\(", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "reference"),
    sorted({(name, reference) for name in VERBS for reference in STRUCT.findall(HEADER.match(SCRIPTS[name])["text"])}),
    ids=str,
)
def test_a_header_refers_to_what_is_there(name, reference):
    """Each `module:Name` of a header can be imported."""
    assert isinstance(struct(reference), type)


@pytest.mark.parametrize("name", VERBS)
def test_a_msgpack_argument_names_its_shape(name):
    """Whoever reads a script can look up what is packed in its arguments; only bytes that it merely keeps may be nothing."""
    packed = [
        line for line in HEADER.match(SCRIPTS[name])["text"].split("\n") if re.match(r"(ARGV\[\d+\]|Returns) .*\bmsgpack ", line)
    ]

    assert [] == [line for line in packed if not STRUCT.search(line)]


@pytest.mark.parametrize(
    ("local", "reference"),
    [
        ("change", ("gatekeeper.core.effects", "Change")),
        ("entry", ("gatekeeper.core.holding", "Entry")),
        ("learned", ("gatekeeper.ledger.wire", "_Learned")),
        ("onward", ("gatekeeper.ledger.wire", "_Onward")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_scripts_read_what_is_sent(local, reference):
    """A field that a script reads is one of the struct that crosses to it, and every field that crosses is read."""
    text = "".join(body(name) for name in SCRIPTS)
    read = set(re.findall(rf"(?<![\w.]){local}\.(\w+)", text))

    assert set(struct(reference).__struct_fields__) == read


@pytest.mark.parametrize("shape", ROWS, ids=lambda shape: shape.__name__)
def test_a_row_is_taken_apart_as_it_was_packed(shape):
    """The locals have the names of its fields, in their order; each is read somewhere, and msgpack's head of it is one byte."""
    fields = list(shape.__struct_fields__)
    named = taken_apart(shape)

    assert named
    assert [[one if one == "_" else field for field, one in zip(fields, names, strict=False)] for names in named] == named
    assert set(fields) == {name for names in named for name in names} - {"_"}
    assert len(fields) <= MOST_FIELDS


@pytest.mark.parametrize("name", ["authorize", "settle"])
def test_an_answer_has_its_structs_length(name):
    """An answer says at its head how many items it has; the longest has as many as the struct that reads it has fields."""
    returns = re.search(r"^Returns .*$", HEADER.match(SCRIPTS[name])["text"], re.MULTILINE)[0]
    fields = struct(STRUCT.search(returns).groups()).__struct_fields__
    text = body(name)
    short = [(int(found[1]) - 0x90, len(split(text[found.end() :]))) for found in re.finditer(r"'\\(\d+)' \.\. pack\(", text)]
    longer = [
        (int(found[1]), short[-1][1] + len(split(text[found.end() :])))
        for found in re.finditer(r"'\\220\\0\\(\d+)' \.\. answer:sub\(2\) \.\. pack\(", text)
    ]

    assert len(short) == 2
    assert [] == [head for head, items in short + longer if head != items]
    assert len(fields) == max(items for _, items in short + longer)


def test_a_guard_looks_before_it_takes():
    """What a guard writes, it writes in the function that it hands back."""
    guards = list(MADE.finditer(body("guards")))
    looking = [re.sub(r", function\(\w*\)\n.*", "", one[0], flags=re.DOTALL) for one in guards]

    assert [*Kind] == sorted((one["kind"] for one in guards), key=[*Kind].index)
    assert set() == set().union(*map(commands, looking)) & WRITES
    assert set() == {call for text in looking for call in calls_of({"keep", "remember"}, text)}
    assert any(commands(one[0]) & WRITES for one in guards)


def every_call() -> list[Call]:
    """One call of each verb, on a day with an allowance, so that there are meters."""
    at, account = 1_792_454_400_000, Account(waba_id="1")  # 2026-10-20
    sent = Sent(phone_number_id="2", recipient="4915112345678")
    planned = plan(sent, account, None, rulebook(), now=at)
    facts = Facts(id="s1", phone_number_id="2", recipient=sent.recipient, product=planned.product, at=at)
    settling = Settling(at=at, event=Event.DELIVER, facts=facts, account=account, rows=planned.rows)
    entry = Entry(owner="s1", most=1, deadline=at, clock="x", patience=1, look=1, lifetime=1)
    return [
        calls.authorize("P", planned, facts, commit=True, enforce=True, registry=""),
        calls.accept(
            "P", Quoted(id="s1", waba_id="1", day=dt.date(2026, 10, 20), cell=Cell("2", "", "", ""), price=0), "wamid.1"
        ),
        calls.expect(
            "P",
            Quoted(id="s1", waba_id="1", day=dt.date(2026, 10, 20), cell=Cell("2", "", "", ""), price=0),
            facts,
            taken=True,
            now=at,
        ),
        calls.park("P", "wamid.1", b"", ("thread",)),
        calls.note("P", "wamid.1", Word()),
        calls.settle("P", settling, "wamid.1", "thread"),
        calls.release("P", settling),
        calls.observe("thread", [], now=at),
        calls.link("P", "2", Link("49151", "DE.1"), now=at, said=at),
        calls.carry("P", "2", Link("49151", "DE.1"), "x", now=at),
        calls.learn("P", "1", {}),
        calls.tell_meter("P", Meter("volume", "P", "2026-10"), 1),
        calls.claim("repeats", now=at, owner="s1", digest="", patience=1),
        calls.conclude("repeats", owner="s1", outcome="free"),
        calls.queue("P", "2", "49151", Text(id="P-1", entry=entry, request=b"", secret=b""), step="ask", now=at),
        calls.take("P", "2", "49151", owner="s1", clock="x", patience=1, look=1, now=at),
        calls.move_on("text", "waiting", "holding", b"", now=at),
        calls.wake("P", "2", "49151", now=at),
    ]


@pytest.mark.parametrize("call", every_call(), ids=lambda call: call.script)
def test_a_call_passes_what_its_header_declares(call):
    """As many keys and arguments go to a script as it declares; only where it leaves them open, more keys."""
    script = scripts.load()[call.script]
    more = len(call.keys) - script.keys

    assert script.arguments == len(call.arguments)
    assert (1 if script.open else 0) == more


def test_every_verb_is_called():
    """No script lies there that nobody calls."""
    assert set(VERBS) == {call.script for call in every_call()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("local function b(x) return x end\n\nlocal function a(x)\n  redis.call('HSET', x)\nend", {"a"}),
        ("local function a(x)\n  redis.call('HSET', x)\nend", {"a"}),
        ("local function a(x) redis.call('DEL', x) end", {"a"}),
        ("local function a(x)\n  redis.call('HGET', x)\nend\nredis.call('HSET', y)", set()),
        ("function kinds.open(x)\n  redis.call('HSET', x)\nend", {"kinds.open"}),
    ],
)
def test_a_function_that_writes_is_seen(text, found):
    """A function counts as writing by the commands of its own body."""
    assert found == writers(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("keep(thread_key, 1)", ["keep"]),
        ("local function keep(key)\nend", []),
        ("local function other(key) keep(key) end", ["keep"]),
        ("upkeep(key)", []),
        ("x.keep(key)", []),
    ],
)
def test_a_call_is_seen(text, found):
    """A call is found wherever it stands; a definition is none."""
    assert found == calls_of({"keep"}, text)
