"""What was not sent leaves nothing: a refusal, a dry run, and a send that Meta refused."""

from __future__ import annotations

from histories import HEARD, HOURS, account, begun, disorders, heard, histories
from hypothesis import given, note
from hypothesis import strategies as st
from story import LANGUAGE, MINUTE, ONE, USER
from world import SLACK_MS, bounded

from gatekeeper.meta.sends import Kind, Send

CATEGORIES = ("marketing", "utility", "authentication", "never heard of")
SENDS = st.one_of(
    st.sampled_from([Send(kind=Kind.FREE_FORM, type="text", to=USER), Send(kind=Kind.REACTION, type="reaction", to=USER)]),
    st.builds(
        Send,
        kind=st.just(Kind.TEMPLATE),
        type=st.just("template"),
        to=st.just(USER),
        template=st.sampled_from(CATEGORIES),
        language=st.just(LANGUAGE),
    ),
)
# While everything is open, when conversations have ended, and when windows and entry points have.
LATER = st.sampled_from([HEARD, 44 * HOURS + 1, 9 * 24 * HOURS])


async def grown(world, history, webhooks):
    """A ledger in which something has happened."""
    story = world.story(history.day, **account(history))
    await heard(story, history, await begun(story, history), webhooks)
    return story


def settled_down(content, now):
    """What is there, without what was assumed or told of clocks that have ended: a send that opens one anew writes over it."""

    def over(fields, field):
        return field[-1] in "?&=" and int(fields.get(field[:-1] + ("=" if field[-1] == "=" else "?"), now)) <= now

    return {
        key: {field: held for field, held in value.items() if not over(value, field)} if ":thread:" in key else value
        for key, value in content.items()
    }


@bounded(60)
@given(data=st.data(), history=histories(), send=SENDS, later=LATER)
def test_what_is_not_taken_leaves_no_trace(world, data, history, send, later):
    """A dry run of anything at any time, and a real send whenever it is refused, change no key and no lifetime."""
    webhooks = data.draw(disorders(history))

    async def course():
        story = await grown(world, history, webhooks)
        now = story.start + later * MINUTE
        before = world.content(), world.lifetimes()
        dry = await story.engine.decide(send, ONE, now=now, decision_id="dry", commit=False)
        taken = [dry]
        if not dry.decision.forwards:
            taken.append(await story.engine.decide(send, ONE, now=now, decision_id="real"))
        return before, (world.content(), world.lifetimes()), taken

    (before, lifetimes), (after, left), taken = world.run(course())

    assert [False] * len(taken) == [each.held for each in taken]
    assert before == after
    assert set(lifetimes) == set(left)
    assert [] == [key for key in left if abs(lifetimes[key][1] - left[key][1]) > SLACK_MS]


@bounded(60)
@given(data=st.data(), history=histories(), sends=st.lists(SENDS, min_size=1, max_size=3), later=LATER)
def test_what_is_reserved_and_released_was_never_there(world, data, history, sends, later):
    """Meta refuses what was let out: every key holds what it held, in whatever order they are refused."""
    webhooks = data.draw(disorders(history))
    order = data.draw(st.permutations(range(len(sends))))
    note("\n".join(map(str, webhooks)))

    async def course():
        story = await grown(world, history, webhooks)
        now = story.start + later * MINUTE
        before = world.content()
        decided = [await story.engine.decide(send, ONE, now=now, decision_id=f"r{n}") for n, send in enumerate(sends)]
        during = world.content()
        for n in order:
            await story.engine.released(decided[n], now=now)
        return now, before, during, world.content(), sum(each.held for each in decided)

    now, before, during, after, held = world.run(course())

    assert settled_down(before, now) == settled_down(after, now)
    assert held == sum(":reservation:" in key for key in during)
