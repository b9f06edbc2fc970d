"""A recipient's names: what is a phone number, what is a BSUID, and which of them are one user."""

from __future__ import annotations

import pytest

from gatekeeper.core.errors import ConfigError
from gatekeeper.core.recipients import (
    Exactness,
    Link,
    Names,
    Undialable,
    answered,
    canonical,
    digits,
    exactness,
    is_bsuid,
    masked,
    spellings,
    undialable,
)

NUMBER, WA_ID, BSUID, PARENT = "41988887777", "5541988887777", "BR.13491208655302741918", "BR.ENT.11815799212886844830"
OLD_PARENT = "BR.11815799212886844830"  # as Meta wrote one at first
GROUP = "Y2FwaV9ncm91cDox"


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
        ("525543334444", "525543334444"),
        ("543511234567", "543511234567"),
        ("54911234567890", "54911234567890"),
        # Brazil: the ninth digit, of mobiles only; a landline keeps its eight.
        ("5541933334444", "5541933334444"),
        ("554133334444", "554133334444"),
        ("551187654321", "5511987654321"),
        ("5511987654321", "5511987654321"),
        ("556199999999", "5561999999999"),
        ("556160000000", "5561960000000"),
        ("551132345678", "551132345678"),
        ("551152345678", "551152345678"),
        # Ivory Coast: 01, 05 or 07 in front of what was a mobile of one of three networks; WhatsApp ids keep the old form.
        ("2250101234567", "22501234567"),
        ("22501234567", "22501234567"),
        ("+225 05 04 12 34 56", "22504123456"),
        ("2250504123456", "22504123456"),
        ("+225 07 07 12 34 56", "22507123456"),
        ("22507123456", "22507123456"),
        ("2250789123456", "22589123456"),
        ("2250103123456", "22503123456"),
        ("2250546123456", "22546123456"),
        ("2250701234567", "2250701234567"),
        ("2250107123456", "2250107123456"),
        ("2250120123456", "2250120123456"),
        ("2252720123456", "2252720123456"),
        ("225070712345", "225070712345"),
        ("22507071234567", "22507071234567"),
        # Benin: 01 in front of every number of eight digits.
        ("2290197123456", "22997123456"),
        ("+229 97 12 34 56", "22997123456"),
        ("2290121123456", "22921123456"),
        ("22901971234567", "22901971234567"),
        ("229019712345", "229019712345"),
        ("2290297123456", "2290297123456"),
        # Neighbours of both have one spelling.
        ("2280197123456", "2280197123456"),
        ("22601234567", "22601234567"),
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


# ------------------------------------------------------------------------------------------------- several names


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        (WA_ID, Exactness.NUMBER),
        (PARENT, Exactness.PARENT),
        (BSUID, Exactness.BSUID),
        (OLD_PARENT, Exactness.BSUID),
        (GROUP, None),
        ("1234", None),
        ("", None),
    ],
)
def test_how_exactly_a_name_tells_a_user(name, exact):
    """A number may come to be somebody else's; a group is nobody."""
    assert exact == exactness(name)


@pytest.mark.parametrize(
    ("names", "known", "links"),
    [
        (
            {"user_id": BSUID, "parent_user_id": PARENT, "wa_id": "554188887777"},
            [BSUID, PARENT, WA_ID],
            [(PARENT, BSUID), (WA_ID, BSUID)],
        ),
        ({"parent_user_id": PARENT, "wa_id": WA_ID}, [PARENT, WA_ID], [(WA_ID, PARENT)]),
        ({"user_id": BSUID, "parent_user_id": OLD_PARENT}, [BSUID, OLD_PARENT], [(OLD_PARENT, BSUID)]),
        ({"user_id": BSUID, "wa_id": WA_ID}, [BSUID, WA_ID], [(WA_ID, BSUID)]),
        ({"user_id": BSUID, "parent_user_id": "br" + BSUID[2:]}, [BSUID], []),
        ({"wa_id": WA_ID}, [WA_ID], []),
        ({"user_id": BSUID, "wa_id": GROUP}, [BSUID, GROUP], []),
        ({"user_id": "", "wa_id": None}, [], []),
    ],
)
def test_names_lead_to_the_most_exact(names, known, links):
    """A BSUID before a parent's before a number, however they are shaped; a group leads nowhere and nobody to it."""
    found = Names(**names)

    assert known == found.known
    assert [Link(*pair) for pair in links] == found.links


@pytest.mark.parametrize(
    ("dialled", "wa_id", "user_id", "link"),
    [
        ("+" + WA_ID, WA_ID, None, None),
        (NUMBER, WA_ID, None, Link(NUMBER, WA_ID)),
        (NUMBER, WA_ID, BSUID, Link(NUMBER, WA_ID)),
        (NUMBER, None, BSUID, Link(NUMBER, BSUID)),
        (BSUID, None, BSUID, None),
        (BSUID, WA_ID, BSUID, None),
        (BSUID, WA_ID, None, Link(WA_ID, BSUID)),
        (PARENT, None, BSUID, Link(PARENT, BSUID)),
        (PARENT, WA_ID, BSUID, Link(PARENT, BSUID)),
        (BSUID, None, PARENT, Link(PARENT, BSUID)),
        (PARENT, WA_ID, None, Link(WA_ID, PARENT)),
        (OLD_PARENT, None, BSUID, None),
        (BSUID, WA_ID, "BR.24817305912873645029", None),
        (GROUP, None, BSUID, None),
        (NUMBER, GROUP, None, None),
        ("", None, BSUID, None),
        (NUMBER, None, None, None),
    ],
)
def test_what_was_dialled_leads_to_what_the_answer_calls_it(dialled, wa_id, user_id, link):
    """A number by way of the number that Meta made of it; two BSUIDs never lead to each other."""
    assert link == answered(dialled, wa_id, user_id)


@pytest.mark.parametrize("thread", [WA_ID, PARENT, BSUID])
def test_a_link_is_as_exact_as_the_name_that_it_leads_to(thread):
    """By that the ledger tells two users from two names of one."""
    assert exactness(thread) == Link(NUMBER, thread).exact


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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("4915112345678", None),
        ("+4915112345678", None),
        ("+1 (631) 555-1234", None),
        ("1.631.555.1234", None),
        (" +49\u00a0151\u20101234\u20115678\n", None),
        ("1 (631) 555-1234", None),
        ("0151 2345678", None),
        ("(0151) 2345678", None),
        ("12345", None),
        ("123456789012345", None),
        ("+39 06 698 12345", None),
        ("tel:+4915112345678", Undialable.SCHEME),
        ("TEL: 4915112345678", Undialable.SCHEME),
        ("whatsapp:+4915112345678", Undialable.SCHEME),
        (" whatsapp : 4915112345678", Undialable.SCHEME),
        ("sms:4915112345678", Undialable.SCHEME),
        ("https://wa.me/4915112345678", Undialable.SCHEME),
        ("tel:00491511234567@c.us", Undialable.SCHEME),
        ("4915112345678@s.whatsapp.net", Undialable.CHAT_ID),
        ("4915112345678@c.us", Undialable.CHAT_ID),
        ("120363041234567890@g.us", Undialable.CHAT_ID),
        ("+33 (0)6 12 34 56 78", Undialable.TRUNK_ZERO),
        ("+33(0)612345678", Undialable.TRUNK_ZERO),
        ("+44 ( 0 ) 20 7946 0018", Undialable.TRUNK_ZERO),
        ("33-(0)6 12 34 56 78", Undialable.TRUNK_ZERO),
        ("0033 (0)6 12 34 56 78", Undialable.TRUNK_ZERO),
        ("0033612345678", Undialable.DOUBLE_ZERO),
        ("00 33 6 12 34 56 78", Undialable.DOUBLE_ZERO),
        ("(00)33612345678", Undialable.DOUBLE_ZERO),
        ("+0033612345678", Undialable.DOUBLE_ZERO),
        ("+ 00 33 612345678", Undialable.DOUBLE_ZERO),
        ("+0 151 2345678", Undialable.NO_COUNTRY),
        ("Ann", Undialable.OTHER_LETTERS),
        ("+49 151 CALLNOW", Undialable.OTHER_LETTERS),
        ("+4915112345678x", Undialable.OTHER_LETTERS),
        ("+4915112345678, +4915112345679", Undialable.OTHER_LETTERS),
        ("+49/151/12345678", Undialable.OTHER_LETTERS),
        ("\u202a+4915112345678\u202c", Undialable.OTHER_LETTERS),
        ("\u0664\u0669\u0661\u0665\u0661\u0661\u0662\u0663\u0664\u0665\u0666", Undialable.OTHER_LETTERS),
        ("\uff0b4915112345678", Undialable.OTHER_LETTERS),
        ("49151\ufffd1234567", Undialable.OTHER_LETTERS),
        ("US.1", Undialable.OTHER_LETTERS),
        ("", Undialable.TOO_SHORT),
        ("+", Undialable.TOO_SHORT),
        ("+ ()", Undialable.TOO_SHORT),
        ("1", Undialable.TOO_SHORT),
        ("+49", Undialable.TOO_SHORT),
        ("1234", Undialable.TOO_SHORT),
        ("1234567890123456", Undialable.TOO_LONG),
        ("+4915112345678 +4915112345679", Undialable.TOO_LONG),
    ],
)
def test_what_cannot_be_dialled(text, why):
    """Meta takes spaces, hyphens, dots and brackets, and numbers without a country; nothing else may stand around the digits."""
    assert why is undialable(text)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (r"XX,52(1)(\d{10}),,x", "is no pattern of a calling code and what is kept behind it"),
        (r"XX,(5)1(\d{10}),,x", "is no pattern of a calling code and what is kept behind it"),
        (r"XX,(52)1,,x", "is no pattern of a calling code and what is kept behind it"),
        (r"XX,(52)1(\d{10}),a,x", "is no pattern of a calling code and what is kept behind it"),
        (r"XX,(52)1([),,x", "is no pattern: "),
        (r"XX,(52)1(\d{10}),", "3 cells under 4 columns"),
    ],
)
def test_a_mistake_in_the_table_of_spellings_is_named(row, said):
    """By file and row."""
    with pytest.raises(ConfigError) as caught:
        spellings(f"iso2,spelling,between,source\n{row}\n")

    assert str(caught.value).startswith("spellings.csv, row 2")
    assert said in str(caught.value)
