"""Held texts: the table of moves, and where a text is to who asks."""

from __future__ import annotations

import pytest

from gatekeeper.core.holding import PASSINGS, TextState, Turn, told

NOW = 1_700_000_000_000
OVER = {TextState.SENT, TextState.FAILED, TextState.EXPIRED, TextState.UNKNOWN}


def test_every_turn_has_its_move():
    """And none leaves what is over, but for Meta's answer to who was thought lost."""
    assert set(Turn) == set(PASSINGS)
    assert {(Turn.TAKEN, TextState.UNKNOWN), (Turn.REFUSED, TextState.UNKNOWN)} == {
        (turn, state) for turn, passing in PASSINGS.items() for state in passing.leaving if state in OVER
    }


@pytest.mark.parametrize("turn", Turn)
def test_a_turn_ends_a_text_or_lets_it_go_on(turn):
    """What is over is never waited for."""
    passing = PASSINGS[turn]

    assert passing.ends == (passing.to in OVER)


def test_nothing_is_put_back_that_may_have_been_sent():
    """Or it would be sent twice."""
    assert {TextState.CLAIMED, TextState.SENDING} == set(PASSINGS[Turn.PUT_BACK].leaving)
    assert (TextState.CLAIMED,) == PASSINGS[Turn.SEND].leaving


@pytest.mark.parametrize(
    ("state", "deadline", "lease", "says"),
    [
        (TextState.WAITING, 1, 0, TextState.WAITING),
        (TextState.WAITING, 0, 0, TextState.EXPIRED),
        (TextState.CLAIMED, 1, 0, TextState.WAITING),
        (TextState.CLAIMED, 0, 1, TextState.WAITING),
        (TextState.CLAIMED, 0, 0, TextState.EXPIRED),
        (TextState.SENDING, 0, 1, TextState.SENDING),
        (TextState.SENDING, 1, 0, TextState.UNKNOWN),
        (TextState.SENT, 0, 0, TextState.SENT),
        (TextState.FAILED, 1, 1, TextState.FAILED),
        (TextState.EXPIRED, 1, 1, TextState.EXPIRED),
        (TextState.UNKNOWN, 1, 1, TextState.UNKNOWN),
    ],
)
def test_where_a_text_is_follows_the_clock(state, deadline, lease, says):
    """Whoever asks hears what the next look at it will find; a claim is nobody's business."""
    assert says == told(state, deadline=NOW + deadline, lease=NOW + lease, now=NOW)
