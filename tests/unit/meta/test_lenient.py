"""What counts as an id, a word, a number or a moment, whatever way it is written."""

import pytest

from gatekeeper.meta.lenient import integer, millis, text, word

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("wamid.A", "wamid.A"),
        ("é", "é"),
        ("half \ud83d", "half ?"),
        (0, "0"),
        (806312974732579, "806312974732579"),
        (10**30 - 1, "9" * 30),
        *[(value, None) for value in ("", None, True, -1, 10**30, 1.5, [], {}, b"x")],
    ],
)
def test_an_id_is_a_string_or_a_whole_number(value, expected):
    """Meta writes the ids of templates both ways."""
    assert expected == text(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("authentication-international", "authentication_international"),
        ("MARKETING", "marketing"),
        *[(value, None) for value in ("", None, 5, ["marketing"], "é", "\ud83d")],
    ],
)
def test_a_word_has_one_spelling(value, expected):
    """Meta writes some with hyphens here and underscores there."""
    assert expected == word(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (131047, 131047),
        ("131047", 131047),
        (-1, -1),
        (LARGEST, LARGEST),
        (-LARGEST, -LARGEST),
        (str(LARGEST), LARGEST),
        *[(value, None) for value in (LARGEST + 1, -LARGEST - 1, str(LARGEST + 1), "9" * 20, "-1", "²", "", None, True, 1.0)],
    ],
)
def test_a_number_is_whole_and_of_64_bits(value, expected):
    """What is larger could not be stored."""
    assert expected == integer(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1000),
        (0.25, 250),
        ("0.25", 250),
        (10**11, 10**14),
        (10**11 + 1, 10**11 + 1),
        (10**14, 10**14),
        (1e11, 10**14),
        (1e11 + 0.5, 10**11),
        (1e14, 10**14),
        *[
            (value, None)
            for value in (0, 0.0, -1, -0.5, 10**14 + 1, 1.1e14, "1e300", "nan", float("inf"), "", "x", None, True, [])
        ],
    ],
)
def test_a_moment_is_in_seconds_until_the_year_5138(value, expected):
    """What would lie beyond is in milliseconds already; what is beyond that is no moment."""
    assert expected == millis(value)
