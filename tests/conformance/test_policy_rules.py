"""The policy: which rule, budget or limit stands in a send's way, and what it leaves alone."""

from __future__ import annotations

import asyncio

import pytest
from story import ONE, OTHER_USER, TWO, USER, Story, h

from gatekeeper.core.policy import Action, Budget, Counted, Limits, Period, Policy, Rule, Window
from gatekeeper.core.vocabulary import Mode, Money

DAY = "2026-10-13"
INDIAN = "919812345678"
GERMAN_MARKETING = 136_500
SAYS = ("verdict", "reason", "error_code")
BY_RULE, BY_BUDGET = ("block", "policy_rule", 900001), ("block", "budget_exhausted", 900002)
GOES = ("allow", "charged_message", None)


def ruled(ledger, *rules: Rule, **account) -> Story:
    return Story(ledger, DAY, policy=Policy(rule=rules), **account)


def budgeted(ledger, limit: int, day: str = DAY, *, mode: Mode = Mode.ENFORCE, **budget) -> Story:
    usual = {"name": "b", "scope": Counted.WABA, "period": Period.MONTH, "limit": Money(limit)}
    return Story(ledger, day, policy=Policy(budget=(Budget(**usual | budget),), mode=mode))


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, BY_RULE),
        ({"category": ("marketing",)}, BY_RULE),
        ({"category": ("utility", "marketing")}, BY_RULE),
        ({"category": ("utility",)}, GOES),
        ({"market": ("Germany",)}, BY_RULE),
        ({"market": ("India",)}, GOES),
        ({"window": Window.CLOSED}, BY_RULE),
        ({"window": Window.OPEN}, GOES),
        ({"caller": ("crm",)}, GOES),
        ({"phone_number_id": (ONE,)}, BY_RULE),
        ({"phone_number_id": (TWO,)}, GOES),
        ({"template": ("mark*",)}, BY_RULE),
        ({"template": ("*_promo", "Marketing")}, GOES),
        ({"price_above": Money(GERMAN_MARKETING - 1)}, BY_RULE),
        ({"price_above": Money(GERMAN_MARKETING)}, GOES),
        ({"category": ("marketing",), "market": ("India",)}, GOES),
        ({"action": Action.ALLOW}, GOES),
    ],
)
async def test_a_rule_holds_when_each_of_its_conditions_does(ledger, conditions, expected):
    """A list means any of; nothing given means everything."""
    sent = await ruled(ledger, Rule(name="r", **conditions)).template(h(1), "marketing")

    assert expected == sent.of(*SAYS)


async def test_the_first_match_wins(ledger):
    """A rule that allows ends the list."""
    story = ruled(
        ledger,
        Rule(name="own", market=("India",), action=Action.ALLOW),
        Rule(name="no", category=("marketing",)),
        Rule(name="all"),
    )
    said = [
        (await story.template(h(1), name, to)).decided.decision.rule
        for name, to in (("marketing", INDIAN), ("marketing", USER), ("utility", USER))
    ]

    assert [None, "no", "all"] == said


async def test_a_rule_asks_for_the_window(ledger):
    """No marketing into an open chat: the same template goes once the window is closed."""
    story = ruled(ledger, Rule(name="r", category=("marketing",), window=Window.OPEN, message="Ask first."))
    await story.wrote(h(0))
    inside, after = [await story.template(at, "marketing") for at in (h(1), h(25))]

    assert (BY_RULE, GOES) == (inside.of(*SAYS), after.of(*SAYS))
    assert "Ask first." == inside.decided.decision.refusal.details


async def test_an_unknown_price_counts_as_above(ledger):
    """A market without a rate cannot be known to be cheap; without such a rule it never blocks."""
    dear = ruled(ledger, Rule(name="r", price_above=Money(10**9)), currency="BRL")
    free = ruled(ledger, currency="BRL")

    assert (BY_RULE, GOES) == tuple([(await story.template(h(1))).of(*SAYS) for story in (dear, free)])


@pytest.mark.parametrize("how", ["rule", "policy"])
async def test_annotate_lets_out_and_says(ledger, how):
    """What would have blocked is the reason; the price is that of the send."""
    rule = Rule(name="r", mode=Mode.ANNOTATE if how == "rule" else Mode.ENFORCE)
    story = Story(ledger, DAY, policy=Policy(rule=(rule,), mode=Mode.ANNOTATE if how == "policy" else Mode.ENFORCE))
    sent = await story.template(h(1), "marketing")

    assert ("annotate", "policy_rule", None, "0.1365", "marketing") == sent.of(*SAYS, "price", "category")
    assert "r" == sent.decided.decision.rule


async def test_the_platform_comes_first(ledger):
    """What Meta would refuse is the reason, whatever the policy says."""
    story = ruled(ledger, Rule(name="r"))
    sent = await story.text(h(1))

    assert ("block", "outside_customer_service_window", 131047) == sent.of(*SAYS)


async def test_a_budget_pays_for_so_many(ledger):
    """As many pass as the limit pays for, to the micro-unit; at once or one after the other."""
    story = budgeted(ledger, 3 * GERMAN_MARKETING)
    said = [sent.verdict for sent in await asyncio.gather(*(story.template(h(1), "marketing") for _ in range(20)))]
    after = await story.template(h(2), "marketing")

    assert (3, 17) == (said.count("allow"), said.count("block"))
    assert BY_BUDGET == after.of(*SAYS)


async def test_what_failed_is_given_back(ledger):
    """At Meta's door or later; what was delivered stays spent, however often it is said."""
    story = budgeted(ledger, 2 * GERMAN_MARKETING)
    one, two = [await story.template(h(1), "marketing") for _ in range(2)]
    full = await story.template(h(1), "marketing")
    await one.failed(h(2))
    await one.failed(h(2))
    third = await story.template(h(3), "marketing", answered=False)
    await third.refused(h(3))
    for _ in range(2):
        await two.delivered(h(3))
    last, over = [await story.template(h(4), "marketing") for _ in range(2)]

    assert ["block", "allow", "allow", "block"] == [each.verdict for each in (full, third, last, over)]


async def test_what_is_free_passes_an_exhausted_budget(ledger):
    """Inside the free tier nothing is spent."""
    story = budgeted(ledger, 1)
    await story.wrote(h(0))
    free, charged = await story.text(h(1)), await story.template(h(1))

    assert (("allow", "within_free_tier", None), BY_BUDGET) == (free.of(*SAYS), charged.of(*SAYS))


@pytest.mark.parametrize(
    ("scope", "second", "passes"),
    [
        (Counted.WABA, {"number": TWO}, False),
        (Counted.PORTFOLIO, {"number": TWO}, False),
        (Counted.PHONE_NUMBER, {"number": TWO}, True),
        (Counted.PHONE_NUMBER, {"to": OTHER_USER}, False),
        (Counted.RECIPIENT, {"to": OTHER_USER}, True),
        (Counted.RECIPIENT, {}, False),
    ],
)
async def test_each_of_a_scope_has_a_counter(ledger, scope, second, passes):
    """One budget, one counter for each account, number or recipient."""
    story = budgeted(ledger, GERMAN_MARKETING, scope=scope)
    await story.template(h(1), "marketing")
    sent = await story.template(h(1), "marketing", **second)

    assert passes == (sent.verdict == "allow")


@pytest.mark.parametrize(
    ("period", "days", "passes"),
    [(Period.DAY, 0, False), (Period.DAY, 1, True), (Period.MONTH, 1, False), (Period.MONTH, 20, True)],
)
async def test_a_period_begins_anew(ledger, period, days, passes):
    """At midnight in the account's time zone, or on the first of the month."""
    story = budgeted(ledger, GERMAN_MARKETING, period=period)
    await story.template(h(1), "marketing")
    sent = await story.template(h(2 + 24 * days), "marketing")

    assert passes == (sent.verdict == "allow")


async def test_a_budget_is_for_its_categories(ledger):
    """Others pass it by."""
    story = budgeted(ledger, 0, category=("marketing",))
    said = [(await story.template(h(1), name)).of(*SAYS) for name in ("marketing", "utility")]

    assert [BY_BUDGET, GOES] == said


async def test_a_raised_budget_counts_what_was_spent(ledger):
    """The counter is the budget's own, whatever its limit is now."""
    before = budgeted(ledger, GERMAN_MARKETING)
    await before.template(h(1), "marketing")
    raised = budgeted(ledger, 2 * GERMAN_MARKETING)
    said = [(await raised.template(h(2), "marketing")).verdict for _ in range(2)]

    assert ["allow", "block"] == said


def limited(ledger, **limits) -> Story:
    return Story(ledger, DAY, policy=Policy(limits=Limits(**limits)))


async def test_throughput_is_a_bucket_of_one_second(ledger):
    """So many at once, then one for each that drips out; other numbers have their own."""
    story = limited(ledger, throughput=4)
    at_once = [(await story.template(h(1))).verdict for _ in range(5)]
    refused = await story.template(h(1))
    later = [(await story.template(h(1) + ms)).verdict for ms in (249, 250, 251)]
    other = await story.template(h(1), number=TWO)

    assert ["allow"] * 4 + ["block"] == at_once
    assert (("block", "throughput_limit", 130429), 250) == (refused.of(*SAYS), refused.decided.decision.retry_after)
    assert ["block", "allow", "block"] == later
    assert "allow" == other.verdict


async def test_pair_rate_is_a_burst_and_one_in_six_seconds(ledger):
    """45 at once are borrowed from the future; another recipient has a pace of its own."""
    story = limited(ledger, pair_rate=True)
    at_once = [(await story.template(h(1))).verdict for _ in range(45)]
    refused = await story.template(h(1))
    later = [(await story.template(h(1) + 1000 * s)).verdict for s in (5, 6, 7)]
    other = await story.template(h(1), to=OTHER_USER)

    assert ["allow"] * 45 == at_once
    assert (("block", "pair_rate_limit", 131056), 6000) == (refused.of(*SAYS), refused.decided.decision.retry_after)
    assert ["block", "allow", "block"] == later
    assert "allow" == other.verdict


async def test_the_messaging_limit_counts_recipients_outside_a_window(ledger):
    """Distinct ones in 24 hours; a known one and one whose window is open pass; one that nothing was delivered to is given back."""
    story = limited(ledger, messaging_limit=2)
    users = [f"49151{n:08}" for n in range(5)]
    first, second = [await story.template(h(1), to=user) for user in users[:2]]
    full, known = await story.template(h(2), to=users[2]), await story.template(h(2), to=users[0])
    await story.wrote(h(2), users[2])
    inside = await story.template(h(3), to=users[2])
    await second.failed(h(3))
    freed = await story.template(h(4), to=users[3])
    await first.delivered(h(5))
    await freed.delivered(h(5))
    next_day = [(await story.template(at, to=users[4])).verdict for at in (h(28), h(29) - 1, h(29) + 1)]

    assert ("block", "messaging_limit", 900003) == full.of(*SAYS)
    assert ["allow"] * 3 == [each.verdict for each in (known, inside, freed)]
    assert ["block", "block", "allow"] == next_day


async def test_marketing_is_held_after_meta_held_it(ledger):
    """Error 131049 asks to wait for 24 hours; other messages go on."""
    story = limited(ledger, marketing_hold=True)
    sent = await story.template(h(1), "marketing")
    await sent.failed(h(2), 131049)
    said = [
        (await story.template(at, name)).verdict for at, name in ((h(3), "marketing"), (h(3), "utility"), (h(27), "marketing"))
    ]

    assert ["block", "allow", "allow"] == said


async def test_a_template_that_nobody_heard_of_is_paid_by_a_marketing_budget(ledger):
    """It may cost as much; a rule for marketing is not about it."""
    budget = Budget(name="b", scope=Counted.WABA, period=Period.MONTH, limit=Money(0), category=("marketing",))
    rule = Rule(name="r", category=("marketing",))
    said = [
        (await Story(ledger, DAY, policy=policy).template(h(1), "never_heard_of")).of(*SAYS)
        for policy in (Policy(budget=(budget,)), Policy(rule=(rule,)))
    ]

    assert [BY_BUDGET, GOES] == said


async def test_answers_are_counted_by_turn(ledger):
    """Two texts in answer to one message, then one to the next: three answers in two turns; a template is none."""
    story = Story(ledger, DAY)
    await story.wrote(h(0))
    nth = [(await story.text(h(1))).decided for _ in range(2)]
    await story.wrote(h(2))
    nth += [(await story.text(h(3))).decided, (await story.template(h(3))).decided]
    lines = (await story.engine.spend.lines(story.account.waba_id, None, now=story.start + h(4)))["lines"]

    assert [1, 2, 1, 0] == [each.outcome.nth_answer(each.plan) for each in nth]
    assert {("service", 3, 2), ("utility", 0, 0)} == {(line["category"], line["answers"], line["turns"]) for line in lines}
