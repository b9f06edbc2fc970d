"""Webhooks come late, twice and in any order: what they leave behind is the same."""

from __future__ import annotations

from histories import HEARD, account, begun, disorders, heard, histories, told
from hypothesis import given, note
from hypothesis import strategies as st
from story import MINUTE, ONE, USER
from world import assumed, bounded, confirmed, running


async def lived(world, history, webhooks):
    """What a history comes to when it is told in *webhooks*: clocks, settlements and counts."""
    story = world.story(history.day, **account(history))
    sent = await begun(story, history)
    settled = {each.id: each for each in await heard(story, history, sent, webhooks)}.values()  # the last of each counts
    fields = world.fields(story, USER, ONE)
    now = story.start + HEARD * MINUTE
    pending = any(message.end == "pending" for message in history.messages)
    return {
        "open": {clock: (ends - story.start) / MINUTE for clock, ends in running(confirmed(fields), now).items()},
        "assumed": "as long as something is on its way" if pending else running(assumed(fields), now),
        "settled": sorted((each.id, each.delivered) for each in settled),
        "charged": sum(bool(each.charged) for each in settled),
        "spent": sum(each.price or 0 for each in settled),
        "meters": world.meters(),
    }


@bounded(200)
@given(data=st.data(), history=histories())
def test_neither_order_nor_repetition_matters(world, data, history):
    """
    Clocks, what is settled, how many are charged and what all cost do not depend on how a history is told.

    Which of several messages is told to have opened, or to be the one beyond the free tier, is decided as they are heard of.
    """
    webhooks = data.draw(disorders(history))
    note("\n".join(str(webhook) for webhook in webhooks))

    assert world.run(lived(world, history, [[each] for each in told(history)])) == world.run(lived(world, history, webhooks))
