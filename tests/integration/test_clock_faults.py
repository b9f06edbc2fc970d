"""Clocks that go wrong: ours, which steps back and forth; Meta's is read in `test_hostile_webhooks.py`. And days of odd lengths."""

from __future__ import annotations

import pytest
from story import HOUR, Story, h

from gatekeeper.core.policy import Budget, Counted, Limits, Period, Policy
from gatekeeper.core.vocabulary import Money

GERMAN_MARKETING = 136_500
SECOND = 1_000
ODD_DAYS = [
    ("Europe/Berlin", "2026-03-29", 23),
    ("Europe/Berlin", "2026-10-25", 25),
    ("America/Los_Angeles", "2026-03-08", 23),
    ("America/Los_Angeles", "2026-11-01", 25),
    ("America/Santiago", "2026-09-06", 23),
    ("Australia/Lord_Howe", "2026-10-04", 23.5),
    ("Asia/Kathmandu", "2026-11-01", 24),
    ("UTC", "2026-02-28", 24),
]


def budgeted(ledger, zone: str, day: str, period: Period) -> Story:
    """An account that may spend one message in a period."""
    budget = Budget(name="b", scope=Counted.WABA, period=period, limit=Money(GERMAN_MARKETING))
    return Story(ledger, day, zone=zone, policy=Policy(budget=(budget,)))


@pytest.mark.parametrize(("zone", "day", "hours"), ODD_DAYS, ids=str)
async def test_a_daily_budget_lasts_as_long_as_the_day(ledger, zone, day, hours):
    """Of 23 hours, of 25 or of what the account's clock says: up to its last millisecond, and anew in the next day's first."""
    story = budgeted(ledger, zone, day, Period.DAY)
    moments = (0, 1, h(hours) - 1, h(hours), h(hours) + 1)
    said = [(await story.template(at, "marketing", lands=True)).verdict for at in moments]

    assert ["allow", "block", "block", "allow", "block"] == said


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Berlin", "2026-10-31", 24), ("America/Santiago", "2026-08-31", 24), ("Pacific/Kiritimati", "2026-12-31", 24)],
    ids=str,
)
async def test_a_monthly_budget_ends_at_the_accounts_midnight(ledger, zone, day, hours):
    """On the last day of a month the next month's budget begins with the day."""
    story = budgeted(ledger, zone, day, Period.MONTH)
    said = [(await story.template(at, "marketing", lands=True)).verdict for at in (0, h(hours) - 1, h(hours), h(hours) + 1)]

    assert ["allow", "block", "allow", "block"] == said


async def test_what_is_delivered_after_midnight_was_reserved_before_it(ledger):
    """A budget holds what was sent in its day: a delivery on the next one takes nothing of that."""
    story = budgeted(ledger, "Europe/Berlin", "2026-10-25", Period.DAY)
    sent = await story.template(h(25) - 1, "marketing")
    settled = await sent.delivered(h(25) + SECOND)
    next_day = [(await story.template(h(25) + at, "marketing")).verdict for at in (2 * SECOND, 3 * SECOND)]

    assert (True, ["allow", "block"]) == (settled["charged"], next_day)


@pytest.mark.parametrize("back", [1, SECOND, 60 * SECOND, HOUR, h(12), h(48)])
async def test_a_clock_that_steps_back_opens_and_shuts_nothing(ledger, back):
    """What was open is open, until the time that Meta's clock gave it; nothing that was counted is counted again."""
    story = Story(ledger, "2026-11-10")
    start = h(72)
    await story.wrote(start)
    sent = await story.template(start, "marketing")
    before = await story.text(start)
    stepped = await story.text(start - back)
    settled = [await sent.delivered(start, told=start - back), await sent.delivered(start, told=start + 1)]
    ends = [(await story.text(start + h(24) + at)).verdict for at in (-1, 0)]

    assert ("allow", "allow") == (before.verdict, stepped.verdict)
    assert before.window_expires == stepped.window_expires
    assert ([True, None], ["allow", "block"]) == ([one and one["charged"] for one in settled], ends)


@pytest.mark.parametrize("back", [1, SECOND, HOUR, h(30)])
@pytest.mark.parametrize(("limits", "longest"), [({"throughput": 4}, 2 * SECOND), ({"pair_rate": True}, 7 * SECOND)], ids=str)
async def test_nobody_waits_until_a_clock_is_where_it_was(ledger, limits, longest, back):
    """After a step back a full bucket is as good as empty, or empties as fast as ever."""
    story = Story(ledger, "2026-11-10", policy=Policy(limits=Limits(**limits)))
    at_once = [await story.template(h(40)) for _ in range(50)]
    stepped = await story.template(h(40) - back)
    later = [(await story.template(h(40) - back + longest + at)).verdict for at in (0, longest)]

    assert ("allow", "block") == (at_once[0].verdict, at_once[-1].verdict)
    assert (True, ["allow", "allow"]) == ((stepped.decided.decision.retry_after or 0) <= longest, later)


@pytest.mark.parametrize("back", [1, HOUR, h(30)])
async def test_the_messaging_limit_outlives_a_step_back(ledger, back):
    """Who was reached stays reached: only known recipients pass, until a day after the clock went on."""
    story = Story(ledger, "2026-11-10", policy=Policy(limits=Limits(messaging_limit=2)))
    users = [f"49151{n:08}" for n in range(3)]
    for user in users[:2]:
        await (await story.template(h(40), to=user)).delivered(h(40))
    stepped = [(await story.template(h(40) - back, to=user)).verdict for user in users]
    later = await story.template(h(64) + 1, to=users[2])

    assert (["allow", "allow", "block"], "allow") == (stepped, later.verdict)


@pytest.mark.parametrize("back", [1, HOUR, h(30)])
async def test_a_budget_is_not_spent_again_by_a_step_back(ledger, back):
    """The same day has one budget however often it is lived through; the day before has its own."""
    story = budgeted(ledger, "UTC", "2026-11-10", Period.DAY)
    first = await story.template(h(6), "marketing", lands=True)
    said = [(await story.template(at, "marketing")).verdict for at in (h(6) - back, h(6) - back, h(6))]

    assert "allow" == first.verdict
    assert (["block", "block", "block"] if back < h(6) else ["allow", "block", "block"]) == said


@pytest.mark.parametrize("forth", [HOUR, h(23), h(24 * 40)])
async def test_a_clock_that_steps_forth_and_back_is_where_it_was(ledger, forth):
    """For a while everything is late; then the window is open again, and a send that went out in between settles once."""
    story = Story(ledger, "2026-11-10")
    await story.wrote(h(1))
    ahead = await story.template(h(1) + forth, "marketing")
    back = await story.text(h(2))
    settled = [await ahead.delivered(h(2), told=h(2)), await ahead.delivered(h(2), told=h(2))]

    assert ("allow", "allow") == (ahead.verdict, back.verdict)
    assert [True, None] == [one and one["delivered"] for one in settled]


@pytest.mark.parametrize("step", [-3_600_000, -1, 3_600_000])
async def test_a_key_stays_used_when_the_clock_steps(step, house, graph):
    """A repeat after the step gets the first answer, and nothing is sent twice."""
    first = await house.template("order_update", ("Idempotency-Key", "k"))
    house.now += step
    again = await house.template("order_update", ("Idempotency-Key", "k"))

    assert (200, 200, first.body, 1) == (first.status, again.status, again.body, len(graph.arrived))


@pytest.mark.parametrize("step", [-3_600_000, -86_400_000, 3_600_000])
async def test_what_meta_says_counts_at_once_when_the_clock_stepped(step, house):
    """No cache outlives a step: a template that is paused after it is refused."""
    before = await house.template("order_update")
    house.now += step
    news = {"message_template_name": "order_update", "message_template_language": "en_US", "event": "PAUSED"}
    await house.changed(news, field="message_template_status_update")
    after = await house.template("order_update")

    assert (200, (400, 132015)) == (before.status, after.error)


@pytest.mark.parametrize(("at", "reason"), [(h(72) - 1, "free_entry_point"), (h(72), "charged_message")])
async def test_a_free_entry_point_ends_to_the_millisecond(ledger, at, reason):
    """It lasts 72 hours from the delivery of our first answer, whatever the clock did before."""
    story = Story(ledger, "2025-07-10")
    await story.clicked(h(1))
    answer = await story.text(h(2))
    await answer.delivered(h(2))
    sent = await story.template(h(2) + at, "marketing")

    assert ("opens_free_entry_point", reason) == (answer.reason, sent.reason)
