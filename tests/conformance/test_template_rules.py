"""
Templates: which may be sent, and what they are billed as.

Sources: Meta, "Template management" and "Template pausing", copies of 2025-10 to 2025-12; the webhooks
`message_template_status_update` and `template_category_update`, copies of 2025-11; "Error codes", copy of 2025-12-12.
"""

from __future__ import annotations

import pytest
from story import LANGUAGE, Story, free_entry, h

from gatekeeper.core.accounts import Template, TemplateCategory, TemplateStatus

DAY = "2026-10-13"
NOT_FOUND, PAUSED, DISABLED = ("template_not_found", 132001), ("template_paused", 132015), ("template_disabled", 132016)
REFUSED = {
    "APPROVED": None,
    "PAUSED": PAUSED,
    "DISABLED": DISABLED,
    "PENDING": NOT_FOUND,
    "REJECTED": NOT_FOUND,
    "IN_APPEAL": NOT_FOUND,
    "PENDING_DELETION": NOT_FOUND,
    "DELETED": NOT_FOUND,
    "LIMIT_EXCEEDED": NOT_FOUND,
    "ARCHIVED": NOT_FOUND,
}
SAYS = ("reason", "error_code")


@pytest.fixture
def story(ledger) -> Story:
    return Story(ledger, DAY)


@pytest.mark.parametrize("status", REFUSED)
async def test_only_approved_templates_are_sent(ledger, status):
    """A status that we are told in the configuration counts from the first send."""
    template = Template(name="offer", language=LANGUAGE, category=TemplateCategory.MARKETING, status=TemplateStatus(status))
    sent = await Story(ledger, DAY, template=(template,)).template(h(0), "offer")
    refused = REFUSED[status]

    assert (refused or ("charged_message", None)) == sent.of(*SAYS)
    assert not refused or (None, False, None) == sent.of("category", "charged", "price")


@pytest.mark.parametrize("event", [*REFUSED, "REINSTATED", "FLAGGED", "LOCKED"])
async def test_news_of_a_template_counts_at_once(story, event):
    """`event` is the new status; a flagged or locked template can be sent, and a reinstated one can again."""
    await story.template_news(h(0), "marketing", event, reason="NONE")
    sent = await story.template(h(1), "marketing")

    assert (REFUSED.get(event) or ("charged_message", None)) == sent.of(*SAYS)


@pytest.mark.parametrize("event", ["APPROVED", "REINSTATED"])
async def test_a_template_comes_back(story, event):
    """A pause ends by itself, and an appeal may succeed."""
    await story.template_news(h(0), "marketing", "PAUSED", other_info={"title": "FIRST_PAUSE"})
    paused = await story.template(h(1), "marketing")
    await story.template_news(h(4), "marketing", event, other_info={"title": "UNPAUSED"})
    sent = await story.template(h(5), "marketing")

    assert (132015, None) == (paused.blocked, sent.blocked)


async def test_a_status_is_of_one_language(ledger):
    """A template is known by account, name and language; Meta's webhooks write pt-BR for what a send calls pt_BR."""
    story = Story(
        ledger,
        DAY,
        template=tuple(Template(name="offer", language=code, category=TemplateCategory.UTILITY) for code in ("en_US", "pt_BR")),
    )
    await story.template_news(h(0), "offer", "PAUSED", language="pt-BR")
    sent = [await story.template(h(1), "offer", language=code) for code in ("en_US", "pt_BR")]

    assert [None, 132015] == [each.blocked for each in sent]


async def test_a_status_is_of_one_account(story):
    """Another account's template of the same name is another."""
    news = {
        "event": "PAUSED",
        "message_template_id": 1,
        "message_template_name": "marketing",
        "message_template_language": LANGUAGE,
    }
    await story.post(h(0), "message_template_status_update", news, waba_id="999")
    sent = await story.template(h(1), "marketing")

    assert sent.blocked is None


async def test_news_reaches_every_process(ledger):
    """The one that hears a webhook is seldom the one that sends next."""
    hears, sends = Story(ledger, DAY), Story(ledger, DAY)
    before = await sends.template(h(0), "marketing")
    await hears.template_news(h(1), "marketing", "PAUSED")
    after = await sends.template(h(2), "marketing")

    assert (None, 132015) == (before.blocked, after.blocked)


async def test_a_number_that_no_account_names_has_the_templates_of_its_account(ledger):
    """Whose it is, the webhooks tell: `entry[].id` beside `metadata.phone_number_id`."""
    story, number, waba_id = Story(ledger, DAY), "106540352242999", "102290129340999"
    metadata = {"metadata": {"phone_number_id": number}}
    await story.post(h(0), "messages", {**metadata, "messages": [story.message(h(0))]}, waba_id=waba_id)
    before = await story.template(h(1), "offer", number=number)
    for event, name in (("APPROVED", "offer"), ("PAUSED", "other")):
        news = {"event": event, "message_template_name": name, "message_template_language": LANGUAGE}
        news |= {"message_template_category": "UTILITY"}
        await story.post(h(2), "message_template_status_update", news, waba_id=waba_id)
    after = [await story.template(h(3), name, number=number) for name in ("offer", "other")]

    assert ("unknown", "USD") == before.of("category", "currency")
    assert [("utility", None), (None, 132015)] == [each.of("category", "error_code") for each in after]


@pytest.mark.parametrize("day", ["2022-04-05", "2023-09-05", "2025-01-14", "2025-09-09", "2026-10-13"])
async def test_a_refused_template_takes_nothing(ledger, day):
    """It is neither charged nor counted, opens nothing, and is refused before anything else is asked."""
    story = Story(ledger, day)
    await story.template_news(h(0), "marketing", "DISABLED")
    await story.prefers(h(0), "stop")
    refused = await story.template(h(1), "marketing")
    await story.template_news(h(2), "marketing", "APPROVED")
    await story.prefers(h(2), "resume")
    sent = await story.template(h(3), "marketing")

    assert (DISABLED[1], "block") == refused.of("error_code", "verdict")
    assert sent.price_bound == "exact"
    assert sent.reason in ("opens_conversation", "charged_message", "within_free_tier")


# -------------------------------------------------------------------------------------------------------------------- categories


async def test_a_template_is_billed_by_its_category_at_the_time_of_use(ledger):
    """A recategorised template costs what its new category does; what is on its way is billed as it was sent."""
    story = Story(ledger, "2025-09-09")
    before = await story.template(h(0), "utility")
    await story.template_category(h(1), "utility", previous_category="UTILITY", new_category="MARKETING")
    after = await story.template(h(2), "utility")
    settled = [await each.delivered(h(3)) for each in (before, after)]

    assert ["utility", "marketing"] == [each.category for each in (before, after)]
    assert [("utility", "0.055"), ("marketing", "0.1365")] == [each.of("category", "price") for each in settled]


async def test_a_change_that_is_only_announced_changes_nothing_yet(story):
    """`new_category` is still the current one while `correct_category` names the one to come."""
    coming = {"correct_category": "MARKETING", "category_update_timestamp": story.unix(h(24))}
    await story.template_category(h(0), "utility", new_category="UTILITY", **coming)
    before = await story.template(h(1), "utility")
    await story.template_category(h(24), "utility", previous_category="UTILITY", new_category="MARKETING")
    after = await story.template(h(25), "utility")

    assert ["utility", "marketing"] == [each.category for each in (before, after)]


async def test_a_webhook_may_introduce_a_template(story):
    """A status update carries the category, so a template that the configuration does not name is known from then on."""
    unheard = await story.template(h(0), "news")
    await story.template_news(h(1), "news", "APPROVED", message_template_category="UTILITY")
    known = await story.template(h(2), "news")

    assert ["unknown", "utility"] == [each.category for each in (unheard, known)]


UNHEARD = ("category", "opens", "charged", "price", "price_bound")


@pytest.mark.parametrize("day", ["2023-09-05", "2025-01-14", "2025-09-09", "2026-10-13"])
@pytest.mark.parametrize("window", [True, False])
async def test_a_template_that_nobody_told_us_of(ledger, day, window):
    """It goes out, since Meta may know it, and costs a marketing template's rate at most; what it really was only Meta's word tells."""
    story = Story(ledger, day)
    if window:
        await story.wrote(h(0))
    sent = await story.template(h(1), "unheard")
    settled = await sent.delivered(h(2))

    assert ("allow", None) == sent.of("verdict", "error_code")
    assert ("unknown", None, None, "0.1365", "at-most") == sent.of(*UNHEARD)
    assert (True, None, "unknown", None, None) == settled.of("delivered", "opened", "category", "charged", "price")


@pytest.mark.parametrize("window", [True, False])
async def test_in_2022_a_template_needs_no_category_to_be_priced(ledger, window):
    """Conversations were told apart by who started them."""
    story = Story(ledger, "2022-04-05")
    await story.used(1000)
    if window:
        await story.wrote(h(0))
    sent = await story.template(h(1), "unheard")
    category, price = ("user_initiated", "0.0819") if window else ("business_initiated", "0.1365")

    assert (category, category, True, price, "exact") == sent.of(*UNHEARD)


async def test_a_template_that_nobody_told_us_of_is_free_inside_a_free_entry_point(story):
    """There its category does not matter."""
    await story.clicked(h(0))
    await (await story.text(h(1))).delivered(h(1), **free_entry())
    sent = await story.template(h(2), "unheard", lands=True)

    assert ("referral_conversion", None, False, "0", "exact") == sent.of(*UNHEARD)
    assert ("referral_conversion", False, "0") == sent.settled.of("category", "charged", "price")
