"""The policy from outside: what a caller is told of a rule, a budget or a limit, and what of a send is held to them."""

from __future__ import annotations

import asyncio
import json
import re
import socket

import pytest
from fake_graph import eventually

WABA, NUMBER, OTHER_NUMBER = "102290129340398", "106540352242922", "106540352242923"
USER, INDIAN, GROUP = "4915112345678", "919812345678", "Y2FwaV9ncm91cDo"
SENDS = f"/v23.0/{NUMBER}/messages"
MARKETING = "0.1365"
CRM = ("Gatekeeper-Caller", "crm")
DRY = ("Gatekeeper-Dry-Run", "true")
SAID = ("Gatekeeper-Verdict", "Gatekeeper-Reason", "Gatekeeper-Rule")
BLOCKED, GOES = ("block", "policy_rule", "r"), ("allow", "charged_message", None)
TEXT = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hi"}}
RECEIPT = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in"}
REACTION = {**TEXT, "type": "reaction", "reaction": {"message_id": "wamid.in", "emoji": "\U0001f44d"}}


def template(name="spring_sale", to=USER, **more):
    content = {"name": name, "language": {"code": "en_US"}}
    return {"messaging_product": "whatsapp", "to": to, "type": "template", "template": content, **more}


def rule(**conditions):
    return {"name": "r", **conditions}


def budget(limit=MARKETING, **more):
    return {"name": "b", "scope": "waba", "period": "month", "limit": limit, **more}


def of(answer, *names):
    return tuple(answer[name] for name in names or SAID)


async def hits(house):
    """What the policy did, by reason, name and outcome, as Prometheus is told."""
    page = (await house.admin("/metrics")).body.decode()
    found = {}
    for labels, count in re.findall(r"^gatekeeper_hits_total\{(.*)\} (\S+)$", page, re.MULTILINE):
        said = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        found[said["reason"], said["name"], said["outcome"]] = int(float(count))
    return found


# -------------------------------------------------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("conditions", "body", "headers", "said"),
    [
        ({}, template(), [], BLOCKED),
        ({"category": ["marketing"]}, template(), [], BLOCKED),
        ({"category": ["utility", "marketing"]}, template(), [], BLOCKED),
        ({"category": ["marketing"]}, template("order_update"), [], GOES),
        ({"category": ["service"]}, TEXT, [], BLOCKED),
        ({"category": ["marketing"]}, TEXT, [], ("allow", "within_free_tier", None)),
        ({"market": ["India", "Germany"]}, template(), [], BLOCKED),
        ({"market": ["Germany"]}, template(to=INDIAN), [], GOES),
        ({"window": "open"}, template(), [], BLOCKED),
        ({"window": "open"}, template(to=INDIAN), [], GOES),
        ({"window": "closed"}, template(), [], GOES),
        ({"window": "closed"}, template(to=INDIAN), [], BLOCKED),
        ({"caller": ["crm"]}, template(), [CRM], BLOCKED),
        ({"caller": ["crm"]}, template(), [], GOES),
        ({"caller": ["CRM"]}, template(), [CRM], GOES),
        ({"caller": [""]}, template(), [], BLOCKED),
        ({"caller": [""]}, template(), [CRM], GOES),
        ({"phone_number_id": [NUMBER]}, template(), [], BLOCKED),
        ({"phone_number_id": [OTHER_NUMBER]}, template(), [], GOES),
        ({"template": ["promo_*", "spring_*"]}, template(), [], BLOCKED),
        ({"template": ["promo_*"]}, template(), [], GOES),
        ({"template": ["*"]}, TEXT, [], ("allow", "within_free_tier", None)),
        ({"price_above": "0.136499"}, template(), [], BLOCKED),
        ({"price_above": MARKETING}, template(), [], GOES),
        ({"price_above": "0"}, TEXT, [], ("allow", "within_free_tier", None)),
        ({"category": ["marketing"], "market": ["India"]}, template(), [], GOES),
        ({"category": ["marketing"], "market": ["India"]}, template(to=INDIAN), [], BLOCKED),
        ({"action": "allow"}, template(), [], GOES),
    ],
)
async def test_a_rule_holds_when_every_condition_does(conditions, body, headers, said, open_house, graph):
    """The user has written: their window is open, the other one's is closed."""
    house = await open_house(graph.url, policy={"rule": [rule(**conditions)]})
    await house.wrote()
    answer = await house.send(body, *headers)

    assert said == of(answer)
    assert (400 if said == BLOCKED else 200, int(said != BLOCKED)) == (answer.status, len(graph.arrived))


async def test_the_first_rule_that_matches_wins(open_house, graph):
    """One that allows ends the list, and so does one that only annotates."""
    rules = [
        {"name": "support may", "caller": ["support"], "action": "allow"},
        {"name": "crm is watched", "caller": ["crm"], "mode": "annotate"},
        {"name": "nobody else"},
    ]
    house = await open_house(graph.url, policy={"rule": rules})
    answers = [await house.send(template(), ("Gatekeeper-Caller", caller)) for caller in ("support", "crm", "shop")]

    assert [
        GOES,
        ("annotate", "policy_rule", "crm is watched"),
        ("block", "policy_rule", "nobody else"),
    ] == [of(answer) for answer in answers]


# ------------------------------------------------------------------------------------------------- what is answered

ALL = {
    "rule": ({"rule": [rule(message="Ask the CRM team first.")]}, 900001, "GatekeeperException", None, "r"),
    "budget": ({"budget": [budget("0")]}, 900002, "GatekeeperException", None, "b"),
    "messaging limit": ({"limits": {"messaging_limit": 1}}, 900003, "GatekeeperException", None, "messaging_limit"),
    "throughput": ({"limits": {"throughput": 1}}, 130429, "OAuthException", "1", "throughput"),
    "pair rate": ({"limits": {"pair_rate": True}}, 131056, "OAuthException", "6", "pair_rate"),
}
REASON = {"rule": "policy_rule", "budget": "budget_exhausted", "messaging limit": "messaging_limit"} | {
    "throughput": "throughput_limit",
    "pair rate": "pair_rate_limit",
}


async def filled(house, what):
    """Everything is used up that the limit has."""
    for n in range({"messaging limit": 1, "throughput": 1, "pair rate": 45}.get(what, 0)):
        assert 200 == (await house.send(template(to=f"49151123456{n:02}" if what == "messaging limit" else USER))).status


@pytest.mark.parametrize("what", ALL)
async def test_a_block_says_which_and_why(what, open_house, graph):
    """Code, type, status, the rule's own words and the name; a wait only where waiting helps. Nothing went out."""
    policy, code, kind, wait, name = ALL[what]
    house = await open_house(graph.url, policy=policy)
    await filled(house, what)
    before = len(graph.arrived)
    answer = await house.send(template())
    error = answer.json["error"]

    assert (400, code, kind, f"(#{code}) ") == (answer.status, error["code"], error["type"], error["message"][:10])
    assert ("block", REASON[what], name, wait) == of(answer, *SAID, "Retry-After")
    assert ("whatsapp", answer["Gatekeeper-Id"]) == (error["error_data"]["messaging_product"], error["fbtrace_id"])
    assert (error["error_data"]["details"] == "Ask the CRM team first.") == (what == "rule")
    assert error["error_data"]["details"].endswith(f"({name})") == (what != "rule")
    assert before == len(graph.arrived)


@pytest.mark.parametrize("what", ALL)
async def test_a_block_is_logged_and_counted(what, open_house, graph):
    """The line names the rule, budget or limit and says what the caller was told."""
    policy, *_, name = ALL[what]
    house = await open_house(graph.url, policy=policy)
    await filled(house, what)
    answer = await house.send(template())
    line = house.logged("decision")[-1]

    assert (name, answer.json["error"]["error_data"]["details"], []) == (line["rule"], line["message"], line["annotated"])
    assert {(REASON[what], name, "blocked"): 1} == await hits(house)


async def test_a_refused_send_may_go_after_its_wait(open_house, graph):
    """`Retry-After` is in whole seconds, and enough."""
    house = await open_house(graph.url, policy={"limits": {"throughput": 3}})
    answers = [await house.send(template()) for _ in range(4)]
    house.now += 1000 * int(answers[-1]["Retry-After"])
    after = await house.send(template())

    assert [200, 200, 200, 400, 200] == [answer.status for answer in (*answers, after)]


async def test_a_name_of_any_letters_stands_in_the_header(open_house, graph):
    """What a header cannot carry is a question mark there, and itself in the log."""
    name = "Übung\nX-Evil: 1"
    house = await open_house(graph.url, policy={"rule": [{"name": name}], "budget": [budget("0", name=name)]})
    answer = await house.send(template())

    assert ("?bung?X-Evil: 1", None) == of(answer, "Gatekeeper-Rule", "X-Evil")
    assert name == house.logged("decision")[0]["rule"]


# ---------------------------------------------------------------------------------------------------------- annotate


def annotating(what, policy, how):
    """The same policy, of which something or all only annotates."""
    if how == "policy":
        return {**policy, "mode": "annotate"}
    kind = {"rule": "rule", "budget": "budget"}.get(what, "limits")
    mode = {"mode": "annotate"}
    return {kind: policy[kind] | mode if kind == "limits" else [{**one, **mode} for one in policy[kind]]}


@pytest.mark.parametrize("how", ["own mode", "policy"])
@pytest.mark.parametrize("what", ALL)
async def test_annotate_lets_out_and_says(what, how, open_house, graph):
    """The verdict says so, the reason what would have blocked, price and category are those of the send; its bytes are untouched."""
    policy, *_, name = ALL[what]
    house = await open_house(graph.url, policy=annotating(what, policy, how))
    await filled(house, what)
    body = json.dumps(template(), indent=1).encode()
    answer = await house.send(body)
    line = house.logged("decision")[-1]

    assert (200, body) == (answer.status, graph.arrived[-1].body)
    assert ("annotate", REASON[what], name) == of(answer)
    price = ("Gatekeeper-Price", "Gatekeeper-Price-Bound", "Gatekeeper-Category", "Gatekeeper-Charged", "Retry-After")
    assert (MARKETING, "exact", "marketing", "true", None) == of(answer, *price)
    assert (name, [name], MARKETING, 200) == tuple(line[field] for field in ("rule", "annotated", "price", "upstream_status"))
    assert {(REASON[what], name, "annotated"): 1} == await hits(house)


async def test_everything_that_would_have_blocked_is_named(open_house, graph):
    """In the order in which it would have: the first is the reason, the log has them all."""
    policy = {
        "mode": "annotate",
        "cold_start": "closed",
        "rule": [rule()],
        "budget": [budget("0", name="b1"), budget("5", name="b2"), budget("0.01", name="b3")],
        "limits": {"throughput": 1},
    }
    house = await open_house(graph.url, policy=policy)
    first, second = await house.send(template()), await house.send(template())
    text = await house.send(TEXT)
    lines = house.logged("decision")

    assert [("annotate", "policy_rule", "r")] * 2 == [of(first), of(second)]
    assert ("annotate", "outside_customer_service_window", None) == of(text)
    assert [
        ["r", "b1", "b3"],
        ["r", "b1", "b3", "throughput"],
        ["outside_customer_service_window", "r", "throughput"],
    ] == [line["annotated"] for line in lines]
    assert 3 == len(graph.arrived)


async def test_what_only_annotates_is_counted_too(open_house, graph, redis):
    """A budget that is only watched is full when it is enforced."""
    watched = await open_house(graph.url, policy={"budget": [budget(mode="annotate")]})
    for _ in range(3):
        await watched.send(template())
    enforced = await open_house(graph.url, policy={"budget": [budget("0.5460")]})
    answers = [await enforced.send(template()) for _ in range(2)]

    assert ["allow", "block"] == [answer["Gatekeeper-Verdict"] for answer in answers]


# ----------------------------------------------------------------------------------------------- the order of reasons


async def test_reasons_come_in_their_order(open_house, graph):
    """What Meta refuses at once, the closed window, the rules, the budgets, the limits: each when nothing before it holds."""
    policy = {
        "cold_start": "closed",
        "rule": [{"name": "not twice", "caller": ["a"]}, {"name": "nor here", "caller": ["a", "b"]}],
        "budget": [budget("0.10", name="small"), budget("0.12", name="smaller", scope="phone_number")],
        "limits": {"throughput": 2, "pair_rate": True, "messaging_limit": 1},
    }
    house = await open_house(graph.url, policy=policy)

    async def told(body, caller, path=SENDS):
        return of(await house.send(body, ("Gatekeeper-Caller", caller), path=path), "Gatekeeper-Reason", "Gatekeeper-Rule")

    cheap = template("order_update")
    assert [
        ("malformed_request", None),
        ("template_paused", None),
        ("marketing_templates_only", None),
        ("outside_customer_service_window", None),
        ("policy_rule", "not twice"),
        ("policy_rule", "nor here"),
        ("budget_exhausted", "small"),
        ("charged_message", None),
        ("budget_exhausted", "small"),
    ] == [
        await told({**TEXT, "type": 7}, "a"),
        await told(template("on_hold"), "a"),
        await told(TEXT, "a", SENDS.replace("/messages", "/marketing_messages")),
        await told(TEXT, "a"),
        await told(template(), "a"),
        await told(template(), "b"),
        await told(template(), "c"),
        await told(cheap, "c"),
        await told(cheap, "c"),
    ]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"throughput": 1, "pair_rate": True, "messaging_limit": 1}, "throughput_limit"),
        ({"throughput": 99, "pair_rate": True, "messaging_limit": 1}, "pair_rate_limit"),
    ],
)
async def test_limits_come_in_their_order(limits, reason, open_house, graph):
    """Throughput, the pace towards one recipient, recipients in a day, as the platform checks them."""
    house = await open_house(graph.url, policy={"limits": limits})
    answers = [await house.send(template()) for _ in range(46)]

    assert reason == answers[-1]["Gatekeeper-Reason"]


# -------------------------------------------------------------------------------------------- what is held to what


async def test_a_read_receipt_is_held_to_nothing(open_house, graph):
    """Nor does it take anything: a rule for all, an empty budget and a throughput of one let every receipt pass."""
    house = await open_house(graph.url, policy={"rule": [rule()], "budget": [budget("0")], "limits": {"throughput": 1}})
    answers = [await house.send(RECEIPT) for _ in range(3)]

    assert [("allow", "not_a_message", None)] * 3 == [of(answer) for answer in answers]
    assert {} == await hits(house)


async def test_a_reaction_is_free_and_a_message_all_the_same(open_house, graph):
    """An exhausted budget lets it pass; it counts towards the pace, and a rule can forbid it."""
    policy = {"budget": [budget("0")], "limits": {"throughput": 2}, "rule": [rule(caller=["crm"], category=["reaction"])]}
    house = await open_house(graph.url, policy=policy)
    await house.wrote()
    answers = [await house.send(REACTION, *headers) for headers in ((CRM,), (), (), ())]

    assert [BLOCKED, ("allow", "free_reaction", None), ("allow", "free_reaction", None)] == [of(one) for one in answers[:3]]
    assert ("block", "throughput_limit", "throughput") == of(answers[3])


async def test_what_is_free_passes_an_exhausted_budget(open_house, graph):
    """A text of the free tier goes; a template does not."""
    house = await open_house(graph.url, policy={"budget": [budget("0")]})
    await house.wrote()
    free, charged = await house.send(TEXT), await house.send(template("order_update"))

    assert [("allow", "within_free_tier", None), ("block", "budget_exhausted", "b")] == [of(free), of(charged)]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({}, GOES),
        ({"rule": [rule(price_above="1000000")]}, BLOCKED),
        ({"rule": [rule(price_above="1000000", mode="annotate")]}, ("annotate", "policy_rule", "r")),
        ({"budget": [budget("0")]}, GOES),
    ],
)
async def test_an_unknown_price_counts_as_above(policy, said, open_house, graph):
    """No card is known of this currency. Only a rule on price minds; a budget cannot say what it takes."""
    house = await open_house(graph.url, policy=policy, account={"currency": "BRL"})
    answer = await house.send(template())

    assert said == of(answer)
    assert (None, None if said == BLOCKED else "unknown") == of(answer, "Gatekeeper-Price", "Gatekeeper-Price-Bound")


async def test_a_group_is_priced_by_member(open_house, graph):
    """Its price is unknown when it is sent, so a rule on price counts it as above; each member's delivery is spent."""
    price = {"name": "dear", "price_above": "1000000", "caller": ["crm"]}
    house = await open_house(graph.url, policy={"rule": [price], "budget": [budget("0.20")]})
    group = template(to=GROUP, recipient_type="group")
    ruled, sent = await house.send(group, CRM), await house.send(group)
    members = {"recipient_type": "group", "recipient_id": GROUP}
    for member in (USER, INDIAN):
        await house.status("wamid.1", "delivered", recipient_participant_id=member, **members)
    after = await house.send(template("order_update"))

    assert [("block", "policy_rule", "dear"), GOES] == [of(ruled), of(sent)]
    assert (None, "unknown") == of(sent, "Gatekeeper-Price", "Gatekeeper-Price-Bound")
    assert ("block", "budget_exhausted", "b") == of(after)


async def test_each_caller_has_a_budget(open_house, graph):
    """Who gives no name shares one; the header stays here."""
    house = await open_house(graph.url, policy={"budget": [budget(scope="caller")]})
    callers = ["crm", "crm", "shop", "", ""]
    answers = [await house.send(template(), *([("Gatekeeper-Caller", caller)] if caller else [])) for caller in callers]

    assert ["allow", "block", "allow", "allow", "block"] == [answer["Gatekeeper-Verdict"] for answer in answers]
    assert [] == [value for arrived in graph.arrived for value in arrived.header("Gatekeeper-Caller")]


async def test_a_dry_run_is_told_the_same_and_takes_nothing(open_house, graph):
    """Before the budget is used up, and after."""
    house = await open_house(graph.url, policy={"budget": [budget()], "limits": {"throughput": 1}})
    dry = [await house.send(template(), DRY) for _ in range(3)]
    sent, over = await house.send(template()), await house.send(template(), DRY)

    assert ["allow"] * 3 == [answer.json["verdict"] for answer in dry]
    assert (200, 200, "block", "budget_exhausted", 900002) == (
        sent.status,
        over.status,
        *(over.json[field] for field in ("verdict", "reason", "error_code")),
    )
    assert ({}, 1) == (await hits(house), len(graph.arrived))


async def test_a_repeat_takes_nothing(open_house, graph):
    """The first answer is given again, however often; a new key is a new message."""
    house = await open_house(graph.url, policy={"budget": [budget("0.2730")]})
    key = ("Idempotency-Key", "one")
    answers = await asyncio.gather(*(house.send(template(), key) for _ in range(5)))
    more = [await house.send(template(), ("Idempotency-Key", name)) for name in ("two", "three")]
    again = await house.send(template(), ("Idempotency-Key", "three"))

    assert (1, {200}) == (len({answer["Gatekeeper-Id"] for answer in answers}), {answer.status for answer in answers})
    assert [200, 400, 400] == [answer.status for answer in (*more, again)]
    assert 2 == len(graph.arrived)


# ------------------------------------------------------------------------------------------ what becomes of the send

GRAPH_ERROR = b'{"error":{"message":"(#131026) x","type":"OAuthException","code":131026,"fbtrace_id":"x"}}'


def http(status, body):
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def closed_port():
    """A URL where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


async def reset(head, reader, writer):
    await reader.readexactly(int(head["Content-Length"]))
    writer.transport.abort()


async def silent(head, reader, writer):
    await reader.read()


@pytest.mark.parametrize(
    ("answer", "given_back"),
    [
        pytest.param(http(400, GRAPH_ERROR), True, id="refused"),
        pytest.param(http(429, GRAPH_ERROR), True, id="throttled"),
        pytest.param(http(500, GRAPH_ERROR), True, id="refused with 500"),
        pytest.param(http(404, b"not here"), True, id="404 of another shape"),
        pytest.param(http(503, b"<html>"), False, id="503 of another shape"),
        pytest.param(reset, False, id="reset"),
        pytest.param(silent, False, id="no answer"),
        pytest.param(None, True, id="nobody listens"),
    ],
)
async def test_what_meta_did_not_take_is_given_back(answer, given_back, open_house, wire):
    """And what it may have taken is not."""
    if callable(answer):
        wire.script = answer
    elif answer:
        wire.answer = answer
    url = wire.url if answer else closed_port()
    house = await open_house(url, policy={"budget": [budget()]}, upstream={"timeout": "300ms"})
    await house.send(template())
    after = await house.send(template(), DRY)

    assert ("allow" if given_back else "block") == after.json["verdict"]


@pytest.mark.parametrize(
    ("word", "more", "left"),
    [
        ("failed", {"errors": [{"code": 131026, "title": "x"}]}, 2),
        ("delivered", {}, 1),
        ("sent", {}, 1),
        ("delivered", {"pricing": {"pricing_model": "PMP", "type": "free_customer_service", "category": "marketing"}}, 2),
    ],
)
async def test_a_status_settles_what_was_reserved(word, more, left, open_house, graph):
    """A failure gives it back, a delivery spends what Meta charges, and repeats of it change nothing."""
    house = await open_house(graph.url, policy={"budget": [budget("0.2730")]})
    await house.send(template())
    for _ in range(3):
        await house.status("wamid.1", word, **more)
    answers = [await house.send(template()) for _ in range(3)]

    assert left == [answer.status for answer in answers].count(200)


# ------------------------------------------------------------------------------------------------- without the ledger

STATIC = {"name": "no crm", "caller": ["crm"]}
WINDOW = {"name": "open chat", "category": ["utility"], "window": "open"}
PRICE = {"name": "too dear", "price_above": "0.1"}
HELD = {"rule": [STATIC, WINDOW, PRICE], "budget": [budget("0")], "limits": {"throughput": 1, "pair_rate": True}}
NAMES = ["b", "throughput", "pair_rate"]


@pytest.mark.parametrize(
    ("body", "headers", "said", "unkept"),
    [
        (template("order_update"), [CRM], ("block", "policy_rule", "no crm"), []),
        (template(), [], ("block", "policy_rule", "too dear"), []),
        (template("order_update"), [], ("allow", "charged_message", None), ["open chat", *NAMES]),
        (template(to=INDIAN), [], ("allow", "charged_message", None), NAMES),
        (TEXT, [], ("allow", "window_unknown", None), NAMES),
    ],
)
async def test_without_the_ledger_what_can_be_told_holds(body, headers, said, unkept, open_house, graph, frozen):
    """Rules that need no state still apply; what could not be kept is named in the log and counted."""
    house = await open_house(graph.url, policy=HELD, ledger={"timeout": "100ms"})
    with frozen():
        answers = [await house.send(body, *headers) for _ in range(2)]
        line = house.logged("decision")[-1]
        counted = await hits(house)

    assert [said] * 2 == [of(answer) for answer in answers]
    assert ("degraded", unkept) == (answers[-1]["Gatekeeper-State"], line["unkept"])
    assert dict.fromkeys(unkept, 2) == {name: count for (_, name, how), count in counted.items() if how == "unkept"}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([rule(window="open"), rule(name="all")], ("block", "policy_rule", "all")),
        ([rule(window="open", action="allow"), rule(name="all")], GOES),
        ([rule(window="open", mode="annotate"), rule(name="all")], ("annotate", "policy_rule", "r")),
        ([rule(window="open"), rule(name="all", mode="annotate")], ("annotate", "policy_rule", "all")),
        ([rule(window="open"), rule(name="all", action="allow")], GOES),
        ([rule(window="closed")], GOES),
        ([rule(price_above=MARKETING), rule(name="all")], ("block", "policy_rule", "all")),
    ],
)
async def test_without_the_ledger_nothing_is_refused_that_might_go_out(rules, said, open_house, graph, frozen):
    """Where it depends on the window which rule is the first, a send is blocked when each of them blocks it."""
    house = await open_house(graph.url, policy={"rule": rules}, ledger={"timeout": "100ms"})
    with frozen():
        answer = await house.send(template())

    assert said == of(answer)


@pytest.mark.parametrize(
    ("mode", "headers", "status", "said"),
    [
        ("enforce", [], 503, ("block", "ledger_unavailable", None)),
        ("enforce", [CRM], 400, ("block", "policy_rule", "no crm")),
        ("annotate", [], 200, ("annotate", "ledger_unavailable", None)),
        ("annotate", [CRM], 200, ("annotate", "policy_rule", "no crm")),
    ],
)
async def test_without_the_ledger_a_sure_refusal_is_said_first(mode, headers, status, said, open_house, graph, frozen):
    """A caller who would be blocked in any case is not told to try again."""
    policy = {"rule": [STATIC], "ledger_failure": "block", "mode": mode}
    house = await open_house(graph.url, policy=policy, ledger={"timeout": "100ms"})
    with frozen():
        answer = await house.send(template(), *headers)

    assert (status, said) == (answer.status, of(answer))


async def test_with_the_ledger_back_budgets_are_kept_again(open_house, graph, frozen):
    """What went out meanwhile was in no budget."""
    house = await open_house(graph.url, policy={"budget": [budget()]}, ledger={"timeout": "100ms"})
    with frozen():
        without = [await house.send(template()) for _ in range(3)]
    await eventually(lambda: bool(house.logged("ledger_recovered")))
    answers = [await house.send(template()) for _ in range(2)]

    assert [200, 200, 200, 200, 400] == [answer.status for answer in (*without, *answers)]
    assert [["b"]] * 3 + [[]] * 2 == [line["unkept"] for line in house.logged("decision")]
