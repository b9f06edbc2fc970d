"""Windows, offers, entry points and conversations: news makes them longer, and only Meta's word makes them shorter."""

from __future__ import annotations

from histories import CBP, WINDOW_CLOSED, account, begun, disorders, expiry, heard, histories
from hypothesis import given, note
from hypothesis import strategies as st
from story import MINUTE, ONE, USER
from world import bounded, confirmed

# The user's own wishes end what a wish began; it is no window.
ENDS = {"resume": "stop", "wrote": "held", "given back": "held"}


def may_shorten(history, each, told_of):
    """The clocks that an event may end or shorten, by the rule that says so."""
    if each.what in ENDS:
        return {ENDS[each.what]}
    if each.message < 0:
        return set()
    message = history.messages[each.message]
    if each.what == "failed":  # Meta refused it late: the window was closed when it was sent
        return {"csw"} if message.code == WINDOW_CLOSED else set()
    found = {"offer"}  # an ad is answered once, and a word that is not of a free entry point denies both
    if history.worded and not history.ad:
        found.add("fep")
    if each.what == "sent" or clock_of(history, message) not in told_of:
        found.add(
            clock_of(history, message)
        )  # Meta tells its end; or the end was ours, and the delivery was earlier than we had heard
    return found


def clock_of(history, message):
    """What a message opens or is inside of."""
    return "fep" if history.ad else f"c:{message.product}"


@bounded(200)
@given(data=st.data(), history=histories())
def test_only_metas_word_makes_a_clock_shorter(world, data, history):
    """Whatever is heard, in whatever order: no end moves back unless Meta said so, or the beginning was earlier than we had heard."""
    events = [each for webhook in data.draw(disorders(history)) for each in webhook]
    note("\n".join(map(str, events)))

    async def course():
        story = world.story(history.day, **account(history))
        sent = await begun(story, history)
        told_of, shortened = {}, []
        before = confirmed(world.fields(story, USER, ONE))
        for each in events:
            await heard(story, history, sent, [[each]])
            after = confirmed(world.fields(story, USER, ONE))
            shorter = {clock for clock in before if after.get(clock, 0) < before[clock]}
            as_told = {clock for clock in shorter if after.get(clock) == told_of.get(clock)}
            shortened += [(each, clock) for clock in shorter - as_told - may_shorten(history, each, told_of)]
            message = history.messages[each.message]
            tells = each.what == "sent" and history.worded and (history.ad or history.day == CBP)
            if tells and message.end != "failed":  # what was told of a failed one is forgotten with it
                told_of[clock_of(history, message)] = story.start + expiry(history, message) * MINUTE
            before = after
        return shortened

    assert [] == world.run(course())
