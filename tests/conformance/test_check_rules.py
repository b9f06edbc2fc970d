"""
What Meta refuses by the looks of a send is refused before it gets there, with Meta's own code.

Sources: Meta, "Error codes", copies of 2025-12-12 and 2026-05-15; "Business-scoped user IDs", copy of 2026-02-06; what developers
report of Meta's answers, 2023 to 2026.
"""

from __future__ import annotations

import pytest
from story import LANGUAGE, OWN_NUMBER, USER, Story, h, message, rulebook

from gatekeeper.core.accounts import Button, ButtonKind, HeaderFormat, Shape, Template, TemplateCategory, TemplateStatus
from gatekeeper.core.checks import Checks
from gatekeeper.core.errors import UpstreamError
from gatekeeper.core.vocabulary import Mode
from gatekeeper.engine import Engine
from gatekeeper.engine.reading import Listing
from gatekeeper.meta.listing import Listed
from gatekeeper.settings import Policy, Settings

DAY = "2026-10-13"
MINUTE = h(1 / 60)
BSUID = "US.13491208655302741918"
ONE, PHOTO = Shape(body=("1",)), Shape(header=HeaderFormat.IMAGE)
NAMED = Shape(named=True, body=("first_name",))
LINKED = Shape(buttons=(Button(index=0, kind=ButtonKind.URL),))
CODE = Shape(body=("1",), buttons=(Button(index=0, kind=ButtonKind.OTP),))
TEXT = {"type": "text", "text": "Ann"}
ALLOWED = ("allow", "charged_message", None)
COUNTED = ("block", "malformed_request", 132000)
SAYS = ("verdict", "reason", "error_code")


class Meta:
    """Lists one template, with whatever components it has now."""

    def __init__(self, shape: Shape | None) -> None:
        self.shape = shape
        self.asked: list[str | None] = []
        self.away = False

    async def listing(self, account, name=None) -> Listing:
        self.asked.append(name)
        if self.away:
            raise UpstreamError("Meta cannot be reached", status=502, sent=False)
        category, status = TemplateCategory.UTILITY, TemplateStatus.APPROVED
        row = Listed(name="offer", language=LANGUAGE, status=status, category=category, shape=self.shape)
        return Listing(rows=(row,), complete=True)


async def told(ledger, meta: Meta, policy: Policy | None = None) -> Story:
    """A story whose account's templates were read from Meta at its beginning."""
    story = Story(ledger, DAY, access_token="EAAB", template=())
    settings = Settings(account=(story.account,), policy=policy or Policy())
    story.engine = Engine(settings, rulebook(), ledger, story.metrics, complete=True, reader=meta)
    await story.engine.registry.read_all(story.account, now=story.start)
    meta.asked.clear()
    return story


async def offer(story: Story, at: int, *components: dict, name: str = "offer", to: str | None = USER, **body):
    content = {"name": name, "language": {"code": LANGUAGE}, "components": list(components)}
    return await story.send(at, message(to, "template", content) | body)


def body(*parameters: dict) -> dict:
    return {"type": "body", "parameters": list(parameters)}


@pytest.mark.parametrize(
    ("shape", "components", "code"),
    [
        (ONE, [], 132000),
        (ONE, [body(TEXT, TEXT)], 132000),
        (ONE, [body(TEXT)], None),
        (ONE, [body({**TEXT, "text": ""})], 131008),
        (PHOTO, [], 132012),
        (PHOTO, [{"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]}], None),
        (NAMED, [body(TEXT)], 100),
        (NAMED, [body({**TEXT, "parameter_name": "first_name"})], None),
        (LINKED, [], 131008),
        (LINKED, [{"type": "button", "sub_type": "url", "index": 0, "parameters": [TEXT]}], None),
        (None, [body(TEXT, TEXT)], None),
    ],
)
async def test_a_send_is_held_against_the_components_that_meta_lists(ledger, shape, components, code):
    """The reason is `malformed_request` and the code is Meta's; what is refused takes nothing."""
    story = await told(ledger, Meta(shape))
    sent = await offer(story, h(1), *components)

    assert (("block", "malformed_request", code) if code else ALLOWED) == sent.of(*SAYS)
    assert code is None or (None, False, None) == sent.of("category", "charged", "price")
    assert code is None or not sent.decided.held


async def test_a_refusal_says_what_is_wrong(ledger):
    """In Meta's own words, without a word of the message."""
    sent = await offer(await told(ledger, Meta(ONE)), h(1), body(TEXT, TEXT))
    refusal = sent.decided.decision.refusal

    assert "(#132000) Number of parameters does not match the expected number of params" == refusal.message
    assert "body: number of localizable_params (2) does not match the expected number of params (1)" == refusal.details


async def test_a_refusal_for_its_shape_was_confirmed_by_meta(ledger):
    """Meta is asked for the template again, once a minute at most, before a send is refused for what it looked like some time ago."""
    meta = Meta(ONE)
    story = await told(ledger, meta)
    refused = [await offer(story, at) for at in (h(1), h(1) + 1, h(1) + MINUTE - 1, h(1) + MINUTE)]

    assert [COUNTED] * 4 == [each.of(*SAYS) for each in refused]
    assert ["offer", "offer"] == meta.asked


async def test_a_template_that_was_edited_is_what_it_is_now(ledger):
    """No webhook told of it, but Meta confirms what it is before anything is refused."""
    meta = Meta(ONE)
    story = await told(ledger, meta)
    meta.shape = Shape()
    sent = await offer(story, h(1))

    assert ALLOWED == sent.of(*SAYS)


async def test_a_webhook_ends_what_was_confirmed(ledger):
    """After news of the template its shape has to be confirmed anew."""
    meta = Meta(ONE)
    story = await told(ledger, meta)
    refused = await offer(story, h(1))
    meta.shape = Shape()
    await story.template_news(h(1), "offer", "APPROVED")
    sent = await offer(story, h(1) + 1)

    assert [COUNTED, ALLOWED] == [each.of(*SAYS) for each in (refused, sent)]


async def test_what_meta_cannot_confirm_is_left_to_meta(ledger):
    """Out of reach, it cannot say what the template is by now."""
    meta = Meta(ONE)
    story = await told(ledger, meta)
    meta.away = True
    sent = await offer(story, h(1))

    assert ALLOWED == sent.of(*SAYS)


async def test_a_shape_without_anybody_to_confirm_it_is_no_reason(ledger):
    """The account had a token once, and what was read with it is still known."""
    await told(ledger, Meta(ONE))
    sent = await offer(Story(ledger, DAY, template=()), h(1))

    assert ("allow", "utility") == sent.of("verdict", "category")


async def test_a_shape_that_we_were_told_needs_no_confirmation(ledger):
    """The operator answers for it."""
    template = Template(name="offer", language=LANGUAGE, category=TemplateCategory.UTILITY, shape=ONE)
    sent = await offer(Story(ledger, DAY, template=(template,)), h(1))

    assert COUNTED == sent.of(*SAYS)


@pytest.mark.parametrize("status", ["PAUSED", "DISABLED", "REJECTED"])
async def test_a_template_that_cannot_be_sent_has_its_own_refusal(ledger, status):
    """Its parameters do not matter."""
    known = {"name": "offer", "language": LANGUAGE, "category": TemplateCategory.UTILITY, "shape": ONE}
    sent = await offer(Story(ledger, DAY, template=(Template(**known, status=TemplateStatus(status)),)), h(1))

    assert {"PAUSED": 132015, "DISABLED": 132016, "REJECTED": 132001}[status] == sent.blocked


async def test_a_check_that_is_off_is_left_to_meta(ledger):
    """`[policy.checks]` names each."""
    meta = Meta(ONE)
    story = await told(ledger, meta, Policy(checks=Checks(parameter_count=False)))
    sent = await offer(story, h(1))

    assert ALLOWED == sent.of(*SAYS)
    assert [] == meta.asked


async def test_a_gate_that_only_annotates_says_so(ledger):
    """The send goes out, and is priced as what it is; Meta may refuse it."""
    story = await told(ledger, Meta(ONE), Policy(mode=Mode.ANNOTATE))
    sent = await offer(story, h(1))

    assert ("annotate", "malformed_request", None) == sent.of(*SAYS)
    assert ("utility", "0.055") == sent.of("category", "price")
    assert 132000 == sent.decided.decision.refusal.code


async def test_nobody_writes_to_the_number_that_he_writes_from(ledger):
    """131021, in any spelling, for any kind of message; known from the first message that came to the number."""
    story = Story(ledger, DAY)
    before = await story.text(h(0), OWN_NUMBER)
    await story.wrote(h(0))
    after = [
        await story.text(h(1), OWN_NUMBER),
        await story.template(h(1), "utility", f"+{OWN_NUMBER[0]} ({OWN_NUMBER[1:4]}) {OWN_NUMBER[4:]}"),
        await story.group_text(h(1), OWN_NUMBER),
        await story.text(h(1)),
    ]

    assert 131047 == before.blocked
    assert [131021, 131021, 131047, None] == [each.blocked for each in after]


async def test_a_code_goes_to_a_number(ledger):
    """131062: a copy-code template to a business-scoped user ID alone; where a number stands beside it, that counts."""
    code = Template(name="offer", language=LANGUAGE, category=TemplateCategory.AUTHENTICATION, shape=CODE)
    story = Story(ledger, DAY, template=(code,))
    filled = [body(TEXT), {"type": "button", "sub_type": "url", "index": "0", "parameters": [TEXT]}]
    sent = [
        await offer(story, h(1), *filled, to=None, recipient=BSUID),
        await offer(story, h(1), *filled, recipient=BSUID),
        await offer(story, h(1), *filled),
    ]

    assert [131062, None, None] == [each.blocked for each in sent]
