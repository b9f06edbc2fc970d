"""What operations may ask: whether the gate lives, whether it can decide, what it counted, and what it knows of a thread."""

from __future__ import annotations

import pytest
from fake_graph import eventually
from prometheus_client.parser import text_string_to_metric_families

NUMBER, USER = "106540352242922", "4915112345678"
NOON = 1_794_312_000
READY = {"ledger": "ok", "policy": "ok", "upstream": "not asked yet", "rate_card": "ok"}


async def test_a_process_that_lives_says_so(house):
    """/healthz asks nobody else."""
    answer = await house.admin("/healthz")

    assert (200, "application/json; charset=utf-8") == (answer.status, answer["Content-Type"])


async def test_a_gate_that_can_decide_is_ready(house):
    """Every check is named, and says ok."""
    answer = await house.admin("/readyz")

    assert (200, {"ready": True, "checks": READY}) == (answer.status, answer.json)


@pytest.mark.parametrize(("policy", "status", "ready"), [("block", 503, False), ("allow", 200, True)])
async def test_a_gate_without_its_ledger_is_as_ready_as_its_policy(policy, status, ready, open_house, graph, frozen):
    """Out of reach, the ledger makes a gate unready that must not decide without it, and degrades one that may."""
    house = await open_house(graph.url, ledger={"timeout": "100ms"}, policy={"ledger_failure": policy})
    with frozen():
        lost = await house.admin("/readyz")
        alive = await house.admin("/healthz")
    await eventually(lambda: bool(house.logged("ledger_recovered")))
    back = await house.admin("/readyz")

    assert (status, ready, "degraded", 200) == (lost.status, lost.json["ready"], lost.json["checks"]["ledger"][:8], alive.status)
    assert (200, {"ready": True, "checks": READY}) == (back.status, back.json)


async def test_a_gate_without_an_app_secret_says_that_it_hears_nothing(open_house, graph):
    """Without the secret webhooks are refused, and /readyz says so under `webhook`."""
    house = await open_house(graph.url, webhook={"app_secret": ""})
    answer = await house.admin("/readyz")

    assert (200, True, {*READY, "webhook"}) == (
        answer.status,
        "secret" in answer.json["checks"]["webhook"],
        set(answer.json["checks"]),
    )


async def test_the_upstream_is_as_the_last_send_found_it(house, graph):
    """/readyz does not ask Meta; it says what the last send met."""
    await house.template("order_update")
    reached = (await house.admin("/readyz")).json["checks"]["upstream"]
    await graph.stop()
    await house.template("order_update")
    lost = await house.admin("/readyz")

    assert ("ok", True, 200) == (reached, lost.json["checks"]["upstream"] != "ok", lost.status)


async def test_a_currency_without_rates_is_named(open_house, graph):
    """An account whose prices are unknown is a check that is not ok."""
    house = await open_house(graph.url, account={"currency": "JPY"})
    answer = await house.admin("/readyz")

    assert (200, True) == (answer.status, "JPY" in answer.json["checks"]["rate_card"])


async def counted(house, name):
    """A metric's samples by their labels."""
    answer = await house.admin("/metrics")
    families = text_string_to_metric_families(answer.body.decode())
    return {tuple(sorted(s.labels.items())): s.value for f in families for s in f.samples if s.name == name}


async def test_metrics_are_prometheus_own_text(house):
    """Every line parses, and no label is a recipient, a message's id or a template's name."""
    await house.wrote()
    await house.text(("Gatekeeper-Caller", "crm"))
    await house.template("order_update")
    await house.status("wamid.1", "delivered")
    answer = await house.admin("/metrics")
    samples = [s for family in text_string_to_metric_families(answer.body.decode()) for s in family.samples]
    labels = {value for sample in samples for value in sample.labels.values()}

    assert (200, "text/plain") == (answer.status, answer["Content-Type"].partition(";")[0])
    assert len(samples) > 10
    assert set() == {label for label in labels if USER in label or "wamid" in label or label in ("order_update", NUMBER)}


async def test_each_send_is_counted_once(house):
    """By verdict, reason and category; a dry run is none."""
    await house.text()
    await house.text(("Gatekeeper-Dry-Run", "true"))
    await house.template("order_update")
    await house.template("order_update")
    blocked = {"verdict": "block", "reason": "outside_customer_service_window", "category": "none"}
    charged = {"verdict": "allow", "reason": "charged_message", "category": "utility"}
    expected = {tuple(sorted(blocked.items())): 1.0, tuple(sorted(charged.items())): 2.0}

    assert expected == await counted(house, "gatekeeper_decisions_total")
    assert {(("status", "200"),): 2.0} == await counted(house, "gatekeeper_upstream_answers_total")


async def test_the_ledgers_loss_is_counted(open_house, graph, frozen):
    """Whether the ledger answers is a gauge; what it did not answer is counted."""
    house = await open_house(graph.url, ledger={"timeout": "100ms"})
    before = await counted(house, "gatekeeper_ledger_up")
    with frozen():
        await house.text()
        await house.text()
        lost = await counted(house, "gatekeeper_ledger_up")
        failures = await counted(house, "gatekeeper_ledger_failures_total")
    await eventually(lambda: bool(house.logged("ledger_recovered")))
    back = await counted(house, "gatekeeper_ledger_up")

    assert ([1.0, 0.0, 1.0], 2.0) == ([gauge[()] for gauge in (before, lost, back)], failures[()])


NOTHING = {
    "phone_number_id": NUMBER,
    "recipient": USER,
    "customer_service_window": None,
    "free_entry_offer": None,
    "free_entry_point": None,
    "conversations": [],
    "opted_out_of_marketing": False,
    "owned_elsewhere": False,
    "watched_since": None,
}


async def test_a_thread_never_heard_of_is_empty(house):
    """Everything is there, and nothing is open."""
    assert NOTHING == await house.thread()


async def test_a_thread_shows_what_is_open_and_until_when(house):
    """The window and the offer of an ad, in Unix seconds; what ended is not shown."""
    await house.wrote(referral={"source_type": "ad", "source_id": "1"})
    opened = await house.thread()
    await house.text()
    answered = await house.thread()
    house.now += 24 * 3_600_000
    ended = await house.thread()
    open_for_a_day = {"expires": NOON + 86_400, "confirmed": True}
    offered = {**NOTHING, "customer_service_window": open_for_a_day, "free_entry_offer": open_for_a_day, "watched_since": NOON}

    assert offered == opened
    assert {"expires": NOON + 72 * 3600, "confirmed": False} == answered["free_entry_point"]
    assert (None, None) == (ended["customer_service_window"], ended["free_entry_offer"])


@pytest.mark.parametrize("written", [USER, f"+{USER}", f"%2B{USER}", "+49%20151%2012345678", "+49-151-12345678"])
async def test_a_thread_is_found_under_every_spelling(written, house):
    """A number may be written as a caller would write it."""
    await house.wrote()
    answer = await house.admin(f"/v1/threads/{NUMBER}/{written}")

    assert (200, USER, True) == (answer.status, answer.json["recipient"], answer.json["customer_service_window"] is not None)


async def test_a_thread_that_cannot_be_read_is_a_503_problem(open_house, graph, frozen):
    """Nothing is guessed about state that is out of reach."""
    house = await open_house(graph.url, ledger={"timeout": "100ms"})
    with frozen():
        answer = await house.admin(f"/v1/threads/{NUMBER}/{USER}")
    await eventually(lambda: bool(house.logged("ledger_recovered")))

    assert (503, "application/problem+json", 503) == (
        answer.status,
        answer["Content-Type"].partition(";")[0],
        answer.json["status"],
    )


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/nope", 404, None),
        ("GET", f"/v1/threads/{NUMBER}", 404, None),
        ("POST", "/healthz", 405, "GET,HEAD"),
        ("DELETE", f"/v1/threads/{NUMBER}/{USER}", 405, "GET,HEAD"),
        ("POST", f"/v23.0/{NUMBER}/messages", 404, None),
    ],
)
async def test_an_error_is_a_problem(method, target, status, allow, house):
    """Errors are RFC 9457 problem details; what is not allowed says what is."""
    answer = await house.admin(target, method)

    assert (status, "application/problem+json", allow) == (
        answer.status,
        answer["Content-Type"].partition(";")[0],
        answer["Allow"],
    )
    assert (status, {"type", "title", "status", "detail"}) == (answer.json["status"], set(answer.json))


@pytest.mark.parametrize(
    "target", ["/v1/threads/%00/%ff", "/v1/threads/{a}/{b}", f"/v1/threads/{NUMBER}/" + "9" * 4000, "/v1/threads/x%0Ay/z"]
)
async def test_a_hostile_question_is_answered_like_any_other(target, house):
    """Whatever stands in the path is a name of nobody."""
    answer = await house.admin(target)

    assert answer.status in (200, 400, 404)
