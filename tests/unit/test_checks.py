"""What Meta refuses by the looks of a send, row by row: what fails a check, what just passes it, and what is in doubt."""

from __future__ import annotations

import msgspec
import pytest

from gatekeeper.core.accounts import Button, ButtonKind, HeaderFormat, Shape, Template, TemplateCategory, TemplateStatus
from gatekeeper.core.checks import TABLE, TITLES, Checks, Component, Given, Parameter, find
from gatekeeper.settings import parse

US = "15550783881"
ALL = Checks()
TEXT, EMPTY = Parameter(kind="text"), Parameter(kind="text", empty=True)
NAMED = Parameter(kind="text", name="first_name")
IMAGE, VIDEO = Parameter(kind="image"), Parameter(kind="video")


def body(*parameters: Parameter) -> Component:
    return Component(kind="body", parameters=parameters)


def header(*parameters: Parameter) -> Component:
    return Component(kind="header", parameters=parameters)


def button(index: int | None, *parameters: Parameter) -> Component:
    return Component(kind="button", index=index, parameters=parameters)


def template(shape: Shape | None = None, category: TemplateCategory = TemplateCategory.UTILITY, **more) -> Template:
    return Template(name="a", language="en_US", category=category, shape=shape, **more)


def found(given: Given, known: Template | None, checks: Checks = ALL):
    """The check that fails, Meta's code for it, and what it says."""
    finding = find(checks, given, known)
    return finding and (finding.check, finding.refusal.code, finding.refusal.details)


def sent(*components: Component, **more) -> Given:
    return Given(recipient="16505551234", components=components, **more)


def mismatch(place: str, given: int, expected: int) -> tuple[str, int, str]:
    counted = f"number of localizable_params ({given}) does not match the expected number of params ({expected})"
    return "parameter_count", 132000, f"{place}: {counted}"


def format_mismatch(expected: str, received: str) -> tuple[str, int, str]:
    return "header_format", 132012, f"header: Format mismatch, expected {expected}, received {received}"


ONE, TWO = Shape(body=("1",)), Shape(body=("1", "2"))
UNTOLD = Shape(body=None)
TITLED = Shape(header=HeaderFormat.TEXT, header_parameters=("1",), body=())
PLAIN_TITLE = Shape(header=HeaderFormat.TEXT, body=())
PHOTO = Shape(header=HeaderFormat.IMAGE, body=())
PLACE = Shape(header=HeaderFormat.LOCATION, body=())
FRIENDLY = Shape(named=True, body=("first_name",))
LINKED = Shape(body=(), buttons=(Button(index=1, kind=ButtonKind.URL),))
CODED = Shape(body=("1",), buttons=(Button(index=0, kind=ButtonKind.OTP),))
COUPON = Shape(body=(), buttons=(Button(index=0, kind=ButtonKind.COPY_CODE),))
MISSING_BUTTON = ("button_parameter", 131008, "buttons: Button at index 1 of type Url requires a parameter")
MISSING_CODE = ("button_parameter", 131008, "buttons: Button at index 0 of type Url requires a parameter")
NO_NAME = ("parameter_names", 100, "body: Parameter name is missing or empty")
NO_TEXT = ("parameter_text", 131008, "Parameter of type text is missing text value")


@pytest.mark.parametrize(
    ("shape", "components", "fails"),
    [
        pytest.param(ONE, [body(TEXT)], None, id="as many as there are"),
        pytest.param(ONE, [], mismatch("body", 0, 1), id="none for one"),
        pytest.param(ONE, [body()], mismatch("body", 0, 1), id="an empty body for one"),
        pytest.param(ONE, [body(TEXT, TEXT)], mismatch("body", 2, 1), id="two for one"),
        pytest.param(TWO, [body(TEXT)], mismatch("body", 1, 2), id="one for two"),
        pytest.param(TWO, [body(TEXT, Parameter(kind="currency"))], None, id="money fills a place"),
        pytest.param(TWO, [body(TEXT, Parameter(kind="date_time"))], None, id="a time fills a place"),
        pytest.param(Shape(), [body(TEXT)], mismatch("body", 1, 0), id="one for none"),
        pytest.param(Shape(), [], None, id="none for none"),
        pytest.param(ONE, [body(Parameter(kind="hologram"), TEXT)], None, id="a kind that we do not know: in doubt"),
        pytest.param(ONE, [body(), body(TEXT)], None, id="two bodies: in doubt"),
        pytest.param(ONE, [Component(kind="body", parameters=None)], None, id="parameters that cannot be told: in doubt"),
        pytest.param(UNTOLD, [], None, id="places that cannot be counted: in doubt"),
        pytest.param(TITLED, [], mismatch("header", 0, 1), id="a title without its word"),
        pytest.param(TITLED, [header(TEXT)], None, id="a title with its word"),
        pytest.param(PLAIN_TITLE, [header(TEXT)], mismatch("header", 1, 0), id="a word for a plain title"),
        pytest.param(Shape(header=HeaderFormat.TEXT, header_parameters=None), [], None, id="a title that cannot be counted"),
        pytest.param(TITLED, [header(IMAGE)], format_mismatch("TEXT", "IMAGE"), id="an image for a title"),
        pytest.param(PHOTO, [], format_mismatch("IMAGE", "UNKNOWN"), id="no image"),
        pytest.param(PHOTO, [header(IMAGE)], None, id="an image"),
        pytest.param(PHOTO, [header(VIDEO)], format_mismatch("IMAGE", "VIDEO"), id="a video for an image"),
        pytest.param(PHOTO, [header(TEXT)], format_mismatch("IMAGE", "TEXT"), id="a text for an image"),
        pytest.param(PHOTO, [header(Parameter(kind="gif"))], None, id="a kind of header that we do not know: in doubt"),
        pytest.param(PHOTO, [header(Parameter(kind=""))], None, id="a kind that cannot be told: in doubt"),
        pytest.param(PLACE, [], format_mismatch("LOCATION", "UNKNOWN"), id="no location"),
        pytest.param(PLACE, [header(Parameter(kind="location"))], None, id="a location"),
        pytest.param(Shape(), [header(IMAGE)], None, id="a header for none: in doubt"),
        pytest.param(FRIENDLY, [body(NAMED)], None, id="a name for a named place"),
        pytest.param(FRIENDLY, [body(TEXT)], NO_NAME, id="no name for a named place"),
        pytest.param(FRIENDLY, [], mismatch("body", 0, 1), id="nothing for a named place"),
        pytest.param(FRIENDLY, [body(Parameter(kind="text", name="last_name"))], None, id="another name: in doubt"),
        pytest.param(ONE, [body(NAMED)], None, id="a name for a numbered place: in doubt"),
        pytest.param(Shape(named=True), [body(TEXT)], mismatch("body", 1, 0), id="one for none, by name"),
        pytest.param(LINKED, [], MISSING_BUTTON, id="a link without its end"),
        pytest.param(LINKED, [button(1, TEXT)], None, id="a link with its end"),
        pytest.param(LINKED, [button(0, TEXT)], MISSING_BUTTON, id="the end of another link"),
        pytest.param(LINKED, [button(1)], MISSING_BUTTON, id="an empty button"),
        pytest.param(LINKED, [button(None, TEXT)], None, id="a button at no place: in doubt"),
        pytest.param(LINKED, [Component(kind="button", index=1, parameters=None)], None, id="an unreadable button: in doubt"),
        pytest.param(CODED, [body(TEXT)], MISSING_CODE, id="a code without its button"),
        pytest.param(CODED, [body(TEXT), button(0, TEXT)], None, id="a code and its button"),
        pytest.param(COUPON, [], None, id="a coupon may have its example's code: in doubt"),
        pytest.param(ONE, [body(EMPTY)], NO_TEXT, id="an empty text"),
        pytest.param(TITLED, [header(EMPTY)], NO_TEXT, id="an empty word"),
        pytest.param(LINKED, [button(1, EMPTY)], None, id="an empty end of a link: in doubt"),
    ],
)
def test_a_send_is_held_against_its_template(shape, components, fails):
    """Each row on both sides of what it forbids; what cannot be told passes."""
    assert fails == found(sent(*components), template(shape))


@pytest.mark.parametrize("components", [None, ()])
@pytest.mark.parametrize("known", [None, template(), template(ONE, status=TemplateStatus.PAUSED)])
def test_what_is_not_known_is_not_checked(components, known):
    """Without a shape nothing can be held against a send, and a template that cannot be sent anyway has its own refusal."""
    assert found(Given(recipient="16505551234", components=components), known) is None


def test_components_that_cannot_be_read_are_in_doubt():
    """Whoever asks for anything of them gets no finding."""
    for shape in (ONE, TITLED, PHOTO, FRIENDLY, LINKED, CODED):
        assert found(Given(recipient="16505551234", components=None), template(shape)) is None


@pytest.mark.parametrize(
    ("given", "fails"),
    [
        ({"recipient": US, "sender": US}, True),
        ({"recipient": US, "sender": ""}, False),
        ({"recipient": "16505551234", "sender": US}, False),
        ({"recipient": US, "sender": US, "group": True}, False),
        ({"recipient": "", "sender": ""}, False),
    ],
)
def test_nobody_writes_to_himself(given, fails):
    """131021 once our own number is known; a group's id is no number."""
    said = ("sender_is_recipient", 131021, "The recipient is the number that the message is sent from.")

    assert (said if fails else None) == found(Given(**given), None)


@pytest.mark.parametrize(
    ("shape", "category", "to_user_id", "fails"),
    [
        (CODED, TemplateCategory.AUTHENTICATION, True, True),
        (CODED, TemplateCategory.AUTHENTICATION, False, False),
        (CODED, TemplateCategory.UTILITY, True, False),
        (ONE, TemplateCategory.AUTHENTICATION, True, False),
    ],
)
def test_a_code_goes_to_a_number(shape, category, to_user_id, fails):
    """131062: one-tap, zero-tap and copy-code templates cannot go to a business-scoped user ID."""
    given = sent(body(TEXT), button(0, TEXT), to_user_id=to_user_id)
    finding = find(Checks(), given, template(shape, category))

    assert (("authentication_to_user_id", 131062) if fails else None) == (finding and (finding.check, finding.refusal.code))


def test_a_send_that_fails_twice_has_one_reason():
    """The first row of the table: no image comes before too few parameters."""
    both = msgspec.structs.replace(PHOTO, body=("1",))

    assert format_mismatch("IMAGE", "UNKNOWN") == found(sent(), template(both))
    assert mismatch("body", 0, 1) == found(sent(), template(both), Checks(header_format=False))


OFFER = template(category=TemplateCategory.MARKETING, max_price=40_000)


@pytest.mark.parametrize(
    ("known", "given", "fails"),
    [
        pytest.param(OFFER, {}, ("max_price_on_messages", 131061), id="on /messages"),
        pytest.param(OFFER, {"to_user_id": True}, ("max_price_on_messages", 131061), id="on /messages, to a user ID"),
        pytest.param(OFFER, {"group": True}, ("max_price_on_messages", 131061), id="to a group"),
        pytest.param(OFFER, {"marketing_api": True}, None, id="where it belongs"),
        pytest.param(
            OFFER, {"marketing_api": True, "to_user_id": True}, ("max_price_to_user_id", 131062), id="to a user ID there"
        ),
        pytest.param(template(category=TemplateCategory.MARKETING), {"to_user_id": True}, None, id="no max price"),
        pytest.param(template(category=None, max_price=40_000), {}, ("max_price_on_messages", 131061), id="of no category yet"),
        pytest.param(template(max_price=40_000), {}, None, id="of a category that has none"),
        pytest.param(msgspec.structs.replace(OFFER, status=TemplateStatus.PAUSED), {}, None, id="paused, which is said instead"),
    ],
)
def test_where_a_template_with_a_max_price_can_go(known, given, fails):
    """To /marketing_messages and a phone number alone. Source: Meta's error codes, as of November 2026."""
    finding = find(ALL, sent(**given), known)

    assert fails == (finding and (finding.check, finding.refusal.code))


MARKETING = template(category=TemplateCategory.MARKETING)


@pytest.mark.parametrize(
    ("known", "given", "fails"),
    [
        pytest.param(MARKETING, {}, True, id="on /messages"),
        pytest.param(MARKETING, {"group": True}, True, id="to a group"),
        pytest.param(OFFER, {}, True, id="with a max price"),
        pytest.param(MARKETING, {"marketing_api": True}, False, id="on /marketing_messages"),
        pytest.param(template(), {}, False, id="another category"),
        pytest.param(template(category=None), {}, False, id="no category yet"),
        pytest.param(
            msgspec.structs.replace(MARKETING, status=TemplateStatus.PAUSED), {}, False, id="paused, which is said instead"
        ),
        pytest.param(None, {}, False, id="a template that nobody told us of"),
    ],
)
def test_an_account_whose_marketing_goes_elsewhere(known, given, fails):
    """131063 on /messages; its switch is the account's own, so no check has to be on for it."""
    elsewhere = find(Checks(max_price_on_messages=False), sent(marketing_elsewhere=True, **given), known)
    usual = find(Checks(max_price_on_messages=False), sent(**given), known)

    assert (131063 if fails else None) == (elsewhere and elsewhere.refusal.code)
    assert usual is None


def test_what_is_known_of_metas_codes_on_max_prices():
    """Those that no check predicts have their title too."""
    assert {131061, 131062, 131063, 131064, 131065, 138038} <= TITLES.keys()


FAILING = {
    "sender_is_recipient": (Given(recipient=US, sender=US), None),
    "authentication_to_user_id": (
        sent(body(TEXT), button(0, TEXT), to_user_id=True),
        template(CODED, TemplateCategory.AUTHENTICATION),
    ),
    "max_price_on_messages": (sent(), OFFER),
    "max_price_to_user_id": (sent(marketing_api=True, to_user_id=True), OFFER),
    "parameter_text": (sent(body(EMPTY)), template(ONE)),
    "header_format": (sent(), template(PHOTO)),
    "parameter_names": (sent(body(TEXT)), template(FRIENDLY)),
    "parameter_count": (sent(), template(ONE)),
    "button_parameter": (sent(), template(LINKED)),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_check_can_be_left_to_meta(name):
    """What is switched off is not looked for, and is the only thing that was found."""
    given, known = FAILING[name]
    off = Checks(**{name: False})

    assert name == find(Checks(), given, known).check
    assert find(off, given, known) is None


def test_every_check_has_its_switch_and_its_title():
    """The table and `[policy.checks]` name the same checks, in one order; all are on unless somebody says otherwise."""
    assert list(TABLE) == list(Checks.__struct_fields__)
    assert {True} == set(msgspec.structs.asdict(Checks()).values())
    assert {check.code for check in TABLE.values()} <= TITLES.keys()


def test_a_shape_can_be_told_by_the_configuration():
    """Where it cannot be read from Meta; what it leaves out is not asked for."""
    told = {"header": "IMAGE", "body": ["1", "2"], "buttons": [{"index": 0, "kind": "url"}]}
    account = {"waba_id": "1", "template": [{"name": "a", "language": "en_US", "category": "utility", "shape": told}]}
    settings = parse({"account": [account]}, name="test", environment={})
    (known,) = settings.account[0].template

    assert Shape(header=HeaderFormat.IMAGE, body=("1", "2"), buttons=(Button(index=0, kind=ButtonKind.URL),)) == known.shape
    assert "header_format" == find(Checks(), sent(), known).check
