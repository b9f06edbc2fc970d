"""Meta's list of templates: pages, rows, and what a template's components ask of a send."""

from __future__ import annotations

import json

import pytest

from gatekeeper.core.accounts import Button, ButtonKind, HeaderFormat, Shape, TemplateCategory, TemplateStatus
from gatekeeper.meta.listing import Listed, NotAListing, decode_page

OTP_LINK = "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code_expiration_minutes=5&code=otp{{1}}"


def row(**more):
    """One row as Meta writes it."""
    usual = {"name": "order_update", "language": "en_US", "status": "APPROVED", "category": "UTILITY", "id": "1"}
    return {**usual, **more}


def read(*rows, **more):
    return decode_page(json.dumps({"data": list(rows), **more}).encode())


def only(**more) -> Listed:
    (found,) = read(row(**more)).rows
    return found


def shape(*components, parameter_format="POSITIONAL") -> Shape | None:
    return only(parameter_format=parameter_format, components=list(components)).shape


def body(text="The text"):
    return {"type": "BODY", "text": text}


def buttons(*listed):
    return {"type": "BUTTONS", "buttons": list(listed)}


def test_a_row_says_what_a_template_is():
    """Status, category and quality in our words."""
    expected = Listed(
        name="order_update",
        language="en_US",
        status=TemplateStatus.APPROVED,
        category=TemplateCategory.UTILITY,
        quality="GREEN",
    )

    assert expected == only(quality_score={"score": "GREEN", "date": 1750030000})


@pytest.mark.parametrize(
    ("correct", "pending"),
    [
        ("MARKETING", TemplateCategory.MARKETING),
        ("UTILITY", None),
        ("", None),
        (None, None),
        ("SERVICE", None),
        (5, None),
    ],
)
def test_a_correct_category_that_differs_is_to_come(correct, pending):
    """Empty or equal to the category: nothing is pending."""
    assert pending == only(correct_category=correct).pending


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({"status": "paused"}, {"status": TemplateStatus.PAUSED}),
        ({"status": "SHINY"}, {"status": None}),
        ({"status": None}, {"status": None}),
        ({"category": "TRANSACTIONAL"}, {"category": None}),
        ({"category": 5}, {"category": None}),
        ({"language": "pt-BR"}, {"language": "pt_BR"}),
        ({"quality_score": "yellow"}, {"quality": "YELLOW"}),
        ({"quality_score": {}}, {"quality": None}),
        ({"quality_score": [1]}, {"quality": None}),
    ],
)
def test_words_that_we_do_not_know_say_nothing(told, known):
    """A member that is not what it should be counts as absent."""
    found = only(**told)

    assert known == {name: getattr(found, name) for name in known}


@pytest.mark.parametrize("bad", [None, 5, "row", [], {}, {"name": "a"}, {"language": "en"}, {"name": "", "language": "en"}])
def test_a_row_that_names_no_template_is_counted(bad):
    """Its neighbours are read; a list with such a row is not the whole list."""
    page = read(row(), bad)

    assert (1, 1) == (len(page.rows), page.unreadable)


@pytest.mark.parametrize(
    ("paging", "after", "more"),
    [
        ({}, None, False),
        ({"cursors": {"before": "a", "after": "b"}}, "b", False),
        ({"cursors": {"after": "b"}, "next": "https://graph.facebook.com/x?after=c"}, "b", True),
        ({"next": "https://evil.example/x?after=c&access_token=y"}, "c", True),
        ({"next": "https://[nonsense"}, None, True),
        ({"next": "https://graph.facebook.com/x"}, None, True),
        ({"cursors": None, "next": None}, None, False),
    ],
)
def test_the_next_page_is_found_by_its_cursor(paging, after, more):
    """`next` says that there is one; only the cursor of it is taken."""
    page = read(row(), paging=paging)

    assert (after, more) == (page.after, page.more)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"data": {}}', b'{"error": {"code": 190}}', b"\xff", b"[" * 5000])
def test_what_is_no_page_is_refused(text):
    """No list of templates is not an empty list of templates."""
    with pytest.raises(NotAListing):
        decode_page(text)


def test_an_empty_page_is_a_page():
    """An account without templates has one."""
    assert () == read().rows


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Hello", ()),
        ("Hello {{1}}", ("1",)),
        ("{{1}} and {{2}}", ("1", "2")),
        ("{{2}} and {{1}}", ("2", "1")),
        ("{{ 1 }}", ("1",)),
        ("".join(f"{{{{{n}}}}}" for n in range(1, 12)), tuple(str(n) for n in range(1, 12))),
        ("{{1}} and {{1}}", None),
        ("{{1}} and {{3}}", None),
        ("{{name}}", None),
        ("{{1}} {{first name}}", None),
        ("{{1", None),
        (None, None),
        (5, None),
    ],
)
def test_numbered_places_are_counted(text, places):
    """From 1 on without a gap, each once; anything else nobody can count."""
    assert Shape(body=places) == shape(body(text))


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Hello", ()),
        ("{{first_name}}, {{order_id}}", ("first_name", "order_id")),
        ("{{a}} and {{a}}", None),
        ("{{1}}", None),
    ],
)
def test_named_places_are_counted(text, places):
    """By the names that Meta gives them."""
    assert Shape(named=True, body=places) == shape(body(text), parameter_format="NAMED")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"format": "TEXT", "text": "Sale"}, {"header": HeaderFormat.TEXT}),
        ({"format": "TEXT", "text": "Sale on {{1}}"}, {"header": HeaderFormat.TEXT, "header_parameters": ("1",)}),
        ({"format": "TEXT"}, {"header": HeaderFormat.TEXT, "header_parameters": None}),
        ({"format": "IMAGE", "example": {"header_handle": ["x"]}}, {"header": HeaderFormat.IMAGE}),
        ({"format": "VIDEO"}, {"header": HeaderFormat.VIDEO}),
        ({"format": "DOCUMENT"}, {"header": HeaderFormat.DOCUMENT}),
        ({"format": "LOCATION"}, {"header": HeaderFormat.LOCATION}),
        ({"format": "GIF"}, {}),
        ({"format": "PRODUCT"}, {}),
        ({}, {}),
    ],
)
def test_a_header_is_of_a_format(header, expected):
    """One that we do not know asks for nothing that we could check."""
    assert Shape(**expected) == shape({"type": "HEADER", **header}, body())


@pytest.mark.parametrize(
    ("button", "kind"),
    [
        ({"type": "URL", "url": "https://example.com/{{1}}", "example": ["x"]}, ButtonKind.URL),
        ({"type": "URL", "url": "https://example.com/"}, None),
        ({"type": "URL"}, None),
        ({"type": "URL", "url": OTP_LINK}, ButtonKind.OTP),
        ({"type": "OTP", "otp_type": "ONE_TAP"}, ButtonKind.OTP),
        ({"type": "COPY_CODE", "example": ["25OFF"]}, ButtonKind.COPY_CODE),
        ({"type": "QUICK_REPLY", "text": "Yes"}, None),
        ({"type": "PHONE_NUMBER", "phone_number": "+15550783881"}, None),
        ({"type": "FLOW"}, None),
        (5, None),
    ],
)
def test_a_button_is_filled_in_or_not(button, kind):
    """Its place counts every button before it, whatever that one is."""
    expected = (Button(index=1, kind=kind),) if kind else ()

    assert Shape(buttons=expected) == shape(body(), buttons({"type": "QUICK_REPLY"}, button))


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"parameter_format": "POSITIONAL"},
        {"components": [body()]},
        {"parameter_format": "FREE", "components": [body()]},
        {"parameter_format": "POSITIONAL", "components": []},
        {"parameter_format": "POSITIONAL", "components": [body(), body()]},
        {"parameter_format": "POSITIONAL", "components": "BODY"},
        {"parameter_format": "POSITIONAL", "components": [{"type": "HEADER"}, {"type": "HEADER"}, body()]},
    ],
)
def test_a_template_that_does_not_say_has_no_shape(told):
    """How places are named, and one body, are what it takes to count them."""
    assert only(**told).shape is None


def test_metas_one_time_password_is_listed_with_a_link():
    """Its body has one place, and its button is a link to WhatsApp's own copy-code page."""
    listed = [
        {"type": "BODY", "text": "*{{1}}* is your verification code.", "add_security_recommendation": True},
        {"type": "FOOTER", "text": "This code expires in 5 minutes.", "code_expiration_minutes": 5},
        buttons({"type": "URL", "text": "Copy code", "url": OTP_LINK, "example": [OTP_LINK]}),
    ]

    assert Shape(body=("1",), buttons=(Button(index=0, kind=ButtonKind.OTP),)) == shape(*listed)
