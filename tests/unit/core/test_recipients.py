"""A recipient's names: what is a phone number, what is a BSUID, and which of them are one user."""

from __future__ import annotations

import pytest

from gatekeeper.core.recipients import canonical, digits, is_bsuid, masked


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("16315551234", "16315551234"),
        ("+1 (631) 555-1234", "16315551234"),
        ("+1.631.555.1234", "16315551234"),
        ("+1\u00a0631\u2011555\u20101234", "16315551234"),
        ("  4915112345678\n", "4915112345678"),
        ("12345", "12345"),
        ("1" * 20, "1" * 20),
        ("1234", None),
        ("1" * 21, None),
        ("", None),
        ("+", None),
        ("16315551234x", None),
        ("US.13491208655302741918", None),
        ("٤٩١٥١١٢٣٤٥٦", None),
        ("²²²²²²", None),
    ],
)
def test_what_is_a_phone_number(text, number):
    """Plus, hyphens, brackets, dots and spaces fall away, as at Meta; whatever else is left over is no number."""
    assert number == digits(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("US.13491208655302741918", True),
        ("us.1", True),
        ("BR.aB9", True),
        ("US.ENT.11815799212886844830", True),
        ("US." + "a" * 128, True),
        ("US." + "a" * 129, False),
        ("US.", False),
        ("US", False),
        ("USA.1", False),
        ("U1.1", False),
        ("US.ENT.", False),
        ("US.12-3", False),
        ("US.1\n", False),
        ("US.é", False),
        ("16315551234", False),
    ],
)
def test_what_is_a_bsuid(text, answer):
    """Two letters of a country, a dot and up to 128 alphanumerics; a parent's has `.ENT.` between."""
    assert answer == is_bsuid(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        # Mexico: the 1 of a mobile.
        ("5215512345678", "525512345678"),
        ("525512345678", "525512345678"),
        ("+52 1 55 1234 5678", "525512345678"),
        ("521551234567", "521551234567"),
        ("52155123456789", "52155123456789"),
        # Argentina: the 9 of a mobile.
        ("5491123456789", "541123456789"),
        ("541123456789", "541123456789"),
        ("549112345678", "549112345678"),
        # Brazil: the ninth digit, of mobiles only; a landline keeps its eight.
        ("551187654321", "5511987654321"),
        ("5511987654321", "5511987654321"),
        ("556199999999", "5561999999999"),
        ("556160000000", "5561960000000"),
        ("551132345678", "551132345678"),
        ("551152345678", "551152345678"),
        # Everyone else has one spelling but for punctuation.
        ("+49 151 12345678", "4915112345678"),
        ("5712345678901", "5712345678901"),
        ("1521551234567", "1521551234567"),
        # A BSUID's country has one case, the rest of it is as Meta wrote it.
        ("us.13491208655302741918", "US.13491208655302741918"),
        ("US.ENT.aBc", "US.ENT.aBc"),
        (" br.aBc ", "BR.aBc"),
        # Anything else is known by its own name.
        (" Y2FwaV9ncm91cDox ", "Y2FwaV9ncm91cDox"),
        ("1234", "1234"),
        ("", ""),
    ],
)
def test_the_key_of_a_user(text, key):
    """Two spellings of one user give one key."""
    assert key == canonical(text)
    assert key == canonical(key)


@pytest.mark.parametrize(
    ("recipient", "text"),
    [
        ("4915112345678", "4915…78"),
        ("+49 (151) 12345678", "4915…78"),
        ("US.13491208655302741918", "US.1…18"),
        ("Y2FwaV9ncm91cDoxNzA1NTU1MDEzOQZDZD", "Y2Fw…ZD"),
        ("1234567890", "1234…90"),
        ("123456789", "…"),
        ("US.1", "…"),
        ("", "…"),
    ],
)
def test_a_log_never_holds_a_whole_recipient(recipient, text):
    """The first four and the last two characters are shown, and nothing of a name too short to hide the rest."""
    assert text == masked(recipient)
