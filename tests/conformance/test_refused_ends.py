"""A send that Meta refuses whatever its thread is in still says when the window and the free entry point end."""

from __future__ import annotations

import pytest
from story import OTHER_USER, USER, Story, free_entry, h

from gatekeeper.core.accounts import Template, TemplateCategory, TemplateStatus
from gatekeeper.ledger.ledger import Ledger

DAY = "2026-10-13"
ENDS = ("window_expires", "free_entry_expires", "conversation_expires")
STOPPED = tuple(
    Template(name=status.lower(), language="en_US", category=TemplateCategory.UTILITY, status=status)
    for status in (TemplateStatus.PAUSED, TemplateStatus.DISABLED)
)
REFUSED = {
    "direct_send_not_enabled": lambda story, at, to: story.direct(at, "utility", to),
    "template_disabled": lambda story, at, to: story.template(at, "disabled", to),
    "marketing_templates_only": lambda story, at, to: story.template(at, "utility", to, api="marketing_messages"),
    "template_paused": lambda story, at, to: story.template(at, "paused", to),
}


@pytest.fixture
async def story(ledger) -> Story:
    return refusing(ledger)


def refusing(ledger, **how) -> Story:
    usual = Story(ledger, DAY).account.template
    return Story(ledger, DAY, direct_send=False, template=(*usual, *STOPPED), **how)


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_refusal_says_when_the_window_ends(story, reason):
    """As a refusal by the ledger does: 24 hours after the user's last message; of another user's thread there is nothing to say."""
    await story.wrote(h(0))
    sent = await REFUSED[reason](story, h(1), USER)
    other = await REFUSED[reason](story, h(1), OTHER_USER)

    assert ("block", reason) == sent.of("verdict", "reason")
    assert (story.unix(h(24)), None, None) == sent.of(*ENDS)
    assert (None, None, None) == other.of(*ENDS)


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_refusal_says_when_the_free_entry_point_ends(story, reason):
    """72 hours after the answer to the ad; a window that is over has no end."""
    await story.clicked(h(0))
    await (await story.text(h(1))).delivered(h(1), **free_entry())
    sent = await REFUSED[reason](story, h(25), USER)

    assert (None, story.unix(h(73)), None) == sent.of(*ENDS)


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_refusal_needs_no_ledger(ledger, reason):
    """Where it does not answer, nothing is known of the thread, and Meta refuses the send all the same."""
    story = refusing(ledger, complete=False)
    await story.wrote(h(0))
    story.engine.ledger = Ledger("redis://127.0.0.1:1", timeout_ms=100)
    sent = await REFUSED[reason](story, h(1), USER)

    assert ("block", reason) == sent.of("verdict", "reason")
    assert (None, None, None) == sent.of(*ENDS)
