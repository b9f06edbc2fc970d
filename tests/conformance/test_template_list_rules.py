"""
Templates that are read from Meta: by the whole list, and by name when one is used.

Sources: Meta, "Template management" and "Template categorization", copies of 2025-10 to 2025-12; the webhooks
`message_template_status_update`, `template_category_update` and `message_template_quality_update`, copies of 2025-11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from story import LANGUAGE, WABA, Story, h, rulebook

from gatekeeper.core.accounts import Account, Template, TemplateCategory, TemplateStatus
from gatekeeper.core.errors import UpstreamError
from gatekeeper.engine import Engine
from gatekeeper.engine.reading import Listing
from gatekeeper.meta.listing import Listed
from gatekeeper.settings import Settings

DAY = "2026-10-13"
MINUTE = h(1 / 60)
NOT_FOUND = ("template_not_found", 132001)
SENT = ("charged_message", None)
SAYS = ("reason", "error_code")
UNKNOWN = ("unknown", None, "at-most")
PRICED = ("category", "error_code", "price_bound")
OUT_OF_REACH = UpstreamError("Meta cannot be reached", status=502, sent=False)


def row(name: str, category: str | None = "utility", status: str = "APPROVED", *, language: str = LANGUAGE, **more) -> Listed:
    """A row of Meta's list."""
    told = TemplateCategory(category) if category else None
    return Listed(name=name, language=language, status=TemplateStatus(status), category=told, **more)


class Meta:
    """Somebody to ask, who remembers what was asked; *meanwhile* happens while an answer is on its way."""

    def __init__(self, *rows: Listed) -> None:
        self.rows = rows
        self.asked: list[str | None] = []
        self.fault: Exception | None = None
        self.complete = True
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def listing(self, account: Account, name: str | None = None) -> Listing:
        """The filter finds what has *name* somewhere in its own."""
        self.asked.append(name)
        rows = tuple(one for one in self.rows if name is None or name in one.name)
        if self.meanwhile is not None:
            await self.meanwhile()
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        return Listing(rows=rows, complete=self.complete)


def told(ledger, meta: Meta | None, *, token: str = "EAAB", **account) -> Story:
    """A story of an account whose templates can be read."""
    story = Story(ledger, DAY, access_token=token, **account)
    settings = Settings(account=(story.account,))
    story.engine = Engine(settings, rulebook(), ledger, story.metrics, complete=True, reader=meta)
    return story


async def read(story: Story, at: int = 0):
    """The whole list is read."""
    return await story.engine.registry.read_all(story.account, now=story.start + at)


def count(story: Story, name: str, **labels: str) -> float | None:
    return story.metrics.registry.get_sample_value(name, labels)


# ------------------------------------------------------------------------------------------------- one name, when it is used


async def test_a_template_that_nobody_told_us_of_is_asked_for(ledger):
    """What Meta says of it counts for this very send, and later ones need not ask."""
    meta = Meta(row("news", "marketing"))
    story = told(ledger, meta)
    sent = [await story.template(h(n), "news") for n in range(3)]

    assert [("marketing", None, "exact")] * 3 == [each.of(*PRICED) for each in sent]
    assert ["news"] == meta.asked


async def test_a_name_that_meta_does_not_have_is_refused(ledger):
    """132001, before Meta has to say it; its filter may find other names that only begin so."""
    meta = Meta(row("news_of_today"))
    story = told(ledger, meta)
    sent = await story.template(h(0), "news")

    assert NOT_FOUND == sent.of(*SAYS)
    assert (None, False, None) == sent.of("category", "charged", "price")


async def test_a_template_in_another_language_is_not_found(ledger):
    """A template is known by name and language; one answer serves every language of the name."""
    meta = Meta(row("news", language="de"))
    story = told(ledger, meta)
    sent = [await story.template(h(0), "news", language=code) for code in ("en_US", "fr", "de")]

    assert [132001, 132001, None] == [each.blocked for each in sent]
    assert ["news"] == meta.asked


@pytest.mark.parametrize("spelled", ["pt-BR", "PT_BR", "pt_br"])
async def test_a_language_that_is_only_spelled_otherwise_is_left_to_meta(ledger, spelled):
    """Whether Meta minds is not said, so nothing is certain."""
    sent = await told(ledger, Meta(row("news", language="pt_BR"))).template(h(0), "news", language=spelled)

    assert UNKNOWN == sent.of(*PRICED)


async def test_many_sends_of_one_unknown_name_ask_once(ledger):
    """Fifty at the same moment wait for one answer, and all of them have it."""
    meta = Meta(row("news"))
    story = told(ledger, meta)
    sent = await asyncio.gather(*(story.template(h(0), "news", f"49151{n:08}") for n in range(50)))

    assert [("utility", None, "exact")] * 50 == [each.of(*PRICED) for each in sent]
    assert ["news"] == meta.asked


async def test_many_sends_of_a_name_that_is_missing_ask_once(ledger):
    """They are all refused by one answer, whatever their language."""
    meta = Meta()
    story = told(ledger, meta)
    sent = await asyncio.gather(*(story.template(h(0), "news", language=code) for code in ("de", "fr") * 25))

    assert [132001] * 50 == [each.blocked for each in sent]
    assert ["news"] == meta.asked


async def test_many_sends_without_an_answer_ask_once(ledger):
    """When it fails it fails for all who waited."""
    meta = Meta()
    meta.fault = OUT_OF_REACH
    story = told(ledger, meta)
    sent = await asyncio.gather(*(story.template(h(0), "news") for _ in range(50)))

    assert [UNKNOWN] * 50 == [each.of(*PRICED) for each in sent]
    assert ["news"] == meta.asked


async def test_who_waits_for_one_that_was_cancelled_is_not(ledger):
    """The first asker may be gone; the others go on without an answer."""
    meta, entered = Meta(row("news")), asyncio.Event()

    async def for_ever() -> None:
        entered.set()
        await asyncio.Event().wait()

    meta.meanwhile = for_ever
    story = told(ledger, meta)
    first = asyncio.create_task(story.template(h(0), "news"))
    await entered.wait()
    second = asyncio.create_task(story.template(h(0), "news"))
    await asyncio.sleep(0.05)
    first.cancel()
    sent = await second
    with pytest.raises(asyncio.CancelledError):
        await first

    assert UNKNOWN == sent.of(*PRICED)
    assert ["news"] == meta.asked


async def test_the_answer_that_there_is_none_stands_for_a_minute(ledger):
    """Then it is asked for again, since a template may be made at any time."""
    meta = Meta()
    story = told(ledger, meta)
    refused = [await story.template(at, "news") for at in (0, MINUTE - 1)]
    meta.rows = (row("news"),)
    sent = await story.template(MINUTE, "news")

    assert [132001, 132001, None] == [each.blocked for each in (*refused, sent)]
    assert ["news", "news"] == meta.asked


async def test_a_webhook_ends_the_answer_that_there_is_none(ledger):
    """Meta's own word on the template is younger."""
    meta = Meta()
    story = told(ledger, meta)
    refused = await story.template(0, "news")
    await story.template_news(1000, "news", "APPROVED", message_template_category="UTILITY")
    sent = await story.template(2000, "news")

    assert (132001, "utility") == (refused.blocked, sent.category)
    assert ["news"] == meta.asked


async def test_a_webhook_that_says_little_makes_us_ask_again(ledger):
    """Of a template that is flagged nothing else is said, but it exists."""
    meta = Meta()
    story = told(ledger, meta)
    await story.template(0, "news")
    meta.rows = (row("news"),)
    await story.template_news(1000, "news", "FLAGGED")
    sent = await story.template(2000, "news")

    assert "utility" == sent.category


async def test_the_whole_list_ends_the_answer_that_there_is_none(ledger):
    """What it lists can be sent."""
    meta = Meta()
    story = told(ledger, meta)
    refused = await story.template(0, "news")
    meta.rows = (row("news"),)
    await read(story)
    sent = await story.template(1000, "news")

    assert (132001, None) == (refused.blocked, sent.blocked)


async def test_a_template_without_a_category_is_asked_for(ledger):
    """A webhook may introduce one and not say what it is."""
    story = told(ledger, Meta(row("news", "marketing")))
    await story.template_news(0, "news", "APPROVED")
    sent = await story.template(1000, "news")

    assert ("marketing", None, "exact") == sent.of(*PRICED)


@pytest.mark.parametrize("fault", [OUT_OF_REACH, TimeoutError()], ids=["out of reach", "too late"])
async def test_without_an_answer_the_template_is_unknown(ledger, fault):
    """It passes, priced at most as marketing; for ten seconds nobody waits for Meta again."""
    meta = Meta(row("news"))
    meta.fault = fault
    story = told(ledger, meta)
    unknown = [await story.template(at, name) for at, name in ((0, "news"), (1, "other"), (9_999, "news"))]
    meta.fault = None
    sent = await story.template(10_000, "news")

    assert [UNKNOWN] * 3 == [each.of(*PRICED) for each in unknown]
    assert "utility" == sent.category
    assert ["news", "news"] == meta.asked
    assert (1, 1) == tuple(count(story, "gatekeeper_template_reads_total", what="name", outcome=o) for o in ("failed", "found"))


async def test_a_slow_meta_does_not_hold_a_send(ledger, monkeypatch):
    """The wait is bounded, and what comes after it is too late."""
    monkeypatch.setattr("gatekeeper.engine.reading.PATIENCE_S", 0.01)
    meta = Meta(row("news"))
    meta.meanwhile = asyncio.Event().wait
    sent = await told(ledger, meta).template(h(0), "news")

    assert UNKNOWN == sent.of(*PRICED)


async def test_a_part_of_the_answer_is_none(ledger):
    """Only a whole answer says that there is no such template."""
    meta = Meta()
    meta.complete = False
    sent = await told(ledger, meta).template(h(0), "news")

    assert UNKNOWN == sent.of(*PRICED)


async def test_an_account_without_a_token_asks_nobody(ledger):
    """It has nothing to ask with; the template passes as unknown."""
    meta = Meta()
    sent = await told(ledger, meta, token="").template(h(0), "news")

    assert UNKNOWN == sent.of(*PRICED)
    assert [] == meta.asked


@pytest.mark.parametrize("name", ["News", "news today", "news/../../me", "näws", "n" * 513, "news?fields=id"])
async def test_a_name_that_no_template_can_have_is_left_to_meta(ledger, name):
    """Nobody is asked for what a caller made up."""
    meta = Meta()
    sent = await told(ledger, meta).template(h(0), name)

    assert UNKNOWN == sent.of(*PRICED)
    assert [] == meta.asked


async def test_a_caller_cannot_spend_the_accounts_requests(ledger):
    """Sixty names a minute; beyond that they pass as unknown, and the next minute begins anew."""
    meta = Meta()
    story = told(ledger, meta)
    sent = [await story.template(n, f"news_{n}") for n in range(70)]
    later = await story.template(MINUTE, "news_again")

    assert [132001] * 60 + [None] * 10 == [each.blocked for each in sent]
    assert (132001, 61) == (later.blocked, len(meta.asked))


async def test_a_dry_run_asks_too(ledger):
    """What it says is what a send would hear."""
    meta = Meta(row("news"))
    story = told(ledger, meta)
    sent = await story.template(h(0), "news", answered=False)

    assert "utility" == sent.category


async def test_every_process_hears_the_answer(ledger):
    """What one asked for another need not."""
    meta, other = Meta(row("news", "marketing")), Meta()
    await told(ledger, meta).template(h(0), "news")
    sent = await told(ledger, other).template(h(1), "news")

    assert ("marketing", []) == (sent.category, other.asked)


# ------------------------------------------------------------------------------------------------------------ the whole list


async def test_the_list_corrects_what_we_were_told(ledger):
    """Status and category are Meta's; a template that it has and we did not know is known from then on."""
    meta = Meta(
        row("marketing", "utility"),
        row("utility", "utility", "PAUSED"),
        row("authentication", "authentication"),
        row("news", "marketing"),
    )
    story = told(ledger, meta)
    done = await read(story)
    sent = {name: await story.template(h(1), name) for name in ("marketing", "utility", "authentication", "news")}

    assert (4, 4, 0, True) == (done.templates, done.changed, done.deleted, done.complete)
    assert {"marketing": "utility", "utility": None, "authentication": "authentication", "news": "marketing"} == {
        name: each.category for name, each in sent.items()
    }
    assert 132015 == sent["utility"].blocked
    assert [None] == meta.asked


async def test_reading_the_same_list_again_changes_nothing(ledger):
    """So no process has to read what it knows anew."""
    story = told(ledger, Meta(row("marketing"), row("utility"), row("authentication")))
    done = [await read(story) for _ in range(2)]
    version = await ledger.templates_version(story.account.portfolio, WABA)

    assert [3, 0] == [each.changed for each in done]
    assert "1" == version


async def test_what_is_no_longer_listed_is_deleted(ledger):
    """Whether the configuration, a webhook or an earlier list told us of it; it is refused until it is listed again."""
    meta = Meta(row("marketing"), row("listed"))
    story = told(ledger, meta)
    await story.template_news(0, "heard", "APPROVED", message_template_category="UTILITY")
    await read(story)
    meta.rows = (row("news"),)
    done = await read(story)
    refused = [await story.template(h(1), name) for name in ("marketing", "utility", "listed", "heard")]
    meta.rows = (row("listed", "marketing"),)
    await read(story)
    back = await story.template(h(2), "listed")

    assert 2 == done.deleted - 3  # beside the three that the configuration told us of
    assert [NOT_FOUND] * 4 == [each.of(*SAYS) for each in refused]
    assert ("marketing", None, "exact") == back.of(*PRICED)


async def test_one_language_of_a_template_is_deleted_alone(ledger):
    """A template is known by name and language."""
    meta = Meta(row("news", language="de"), row("news", language="en_US"))
    story = told(ledger, meta)
    await read(story)
    meta.rows = (row("news", language="de"),)
    await read(story)
    sent = [await story.template(h(1), "news", language=code) for code in ("de", "en_US")]

    assert [None, 132001] == [each.blocked for each in sent]


async def test_a_part_of_the_list_deletes_nothing(ledger):
    """What stands in it counts all the same."""
    meta = Meta(row("utility", "marketing"))
    meta.complete = False
    story = told(ledger, meta)
    done = await read(story)
    sent = [await story.template(h(1), name) for name in ("utility", "marketing")]

    assert (False, 0) == (done.complete, done.deleted)
    assert ["marketing", "marketing"] == [each.category for each in sent]


async def test_a_list_that_does_not_come_changes_nothing(ledger):
    """It is asked for again later; until then what was known counts."""
    meta = Meta()
    meta.fault = OUT_OF_REACH
    story = told(ledger, meta)
    with pytest.raises(UpstreamError):
        await read(story)
    sent = await story.template(h(1), "utility")

    assert "utility" == sent.category
    assert 1 == count(story, "gatekeeper_template_reads_total", what="list", outcome="failed")


async def test_a_paused_template_comes_back_with_the_list(ledger):
    """The webhook that says so may be lost."""
    story = told(ledger, Meta(row("marketing", "marketing")))
    await story.template_news(h(0), "marketing", "PAUSED", other_info={"title": "FIRST_PAUSE"})
    paused = await story.template(h(1), "marketing")
    await read(story)
    sent = await story.template(h(4), "marketing")

    assert (132015, None) == (paused.blocked, sent.blocked)


@pytest.mark.parametrize("event", ["UNPAUSED", "UNPAUSE", "REINSTATED", "APPROVED"])
async def test_a_paused_template_comes_back_by_webhook(ledger, event):
    """Under whatever name Meta lets it."""
    story = told(ledger, None)
    await story.template_news(h(0), "marketing", "PAUSED")
    paused = await story.template(h(1), "marketing")
    await story.template_news(h(2), "marketing", event)
    sent = await story.template(h(3), "marketing")

    assert (132015, None) == (paused.blocked, sent.blocked)


async def test_other_accounts_are_not_touched(ledger):
    """A list is one account's own."""
    story = told(ledger, Meta())
    other = msgspec.structs.replace(story.account, waba_id="999", phone_number_ids=("888",))
    story.engine = Engine(
        Settings(account=(story.account, other)), rulebook(), ledger, story.metrics, complete=True, reader=Meta()
    )
    await read(story)
    sent = [await story.template(h(1), "utility", number=number) for number in (story.account.phone_number_ids[0], "888")]

    assert [132001, None] == [each.blocked for each in sent]


# ------------------------------------------------------------------------------------- what happens while an answer is on its way


async def test_a_webhook_is_younger_than_the_list_that_it_overtook(ledger):
    """Its template is left as the webhook has it; the rest of the list counts."""
    meta = Meta(row("utility"), row("marketing", "utility"), row("authentication", "authentication"))
    story = told(ledger, meta)

    async def paused() -> None:
        meta.meanwhile = None
        await story.template_news(h(0), "utility", "PAUSED")

    meta.meanwhile = paused
    await read(story)
    sent = [await story.template(h(1), name) for name in ("utility", "marketing", "authentication")]

    assert [(132015, None), (None, "utility"), (None, "authentication")] == [(each.blocked, each.category) for each in sent]


async def test_a_template_that_is_made_while_the_list_comes_is_not_deleted(ledger):
    """The list is older than it."""
    meta = Meta(row("utility"))
    story = told(ledger, meta)

    async def approved() -> None:
        meta.meanwhile = None
        await story.template_news(h(0), "news", "APPROVED", message_template_category="MARKETING")

    meta.meanwhile = approved
    done = await read(story)
    sent = [await story.template(h(1), name) for name in ("news", "marketing")]

    assert [None, 132001] == [each.blocked for each in sent]
    assert 2 == done.deleted  # two that the configuration told us of


async def test_webhooks_that_never_stop_do_not_stop_the_reading(ledger, monkeypatch):
    """After a few tries the rest is left to the next round."""
    meta = Meta(row("utility"))
    story = told(ledger, meta)
    learn, scores = ledger.learn, iter(range(100))

    async def overtaken(tag, waba_id, facts, version=""):
        if version:
            await learn(tag, waba_id, {"quality de other": str(next(scores))})
        return await learn(tag, waba_id, facts, version)

    monkeypatch.setattr(ledger, "learn", overtaken)
    await read(story)
    sent = await story.template(h(1), "utility")

    assert "utility" == sent.category
    assert 4 == next(scores)


async def test_a_long_list_is_written_piece_by_piece(ledger, monkeypatch):
    """A webhook between two pieces costs neither of them."""
    monkeypatch.setattr("gatekeeper.engine.reading._CHUNK", 3)
    meta = Meta(*(row(f"news_{n}") for n in range(10)))
    story = told(ledger, meta)
    learn, calls = ledger.learn, []

    async def watched(tag, waba_id, facts, version=""):
        calls.append(len(facts))
        if len(calls) == 3:
            await learn(tag, waba_id, {f"status {LANGUAGE} news_9": "PAUSED", f"category {LANGUAGE} news_9": "utility"})
        return await learn(tag, waba_id, facts, version)

    monkeypatch.setattr(ledger, "learn", watched)
    await read(story)
    sent = [await story.template(h(1), f"news_{n}") for n in range(10)]

    assert [None] * 9 + [132015] == [each.blocked for each in sent]
    assert 3 == max(calls)


async def test_an_answer_on_one_name_does_not_undo_a_webhook(ledger):
    """The webhook came while Meta was answering."""
    meta = Meta(row("news"))
    story = told(ledger, meta)

    async def paused() -> None:
        meta.meanwhile = None
        await story.template_news(h(0), "news", "PAUSED")

    meta.meanwhile = paused
    sent = await story.template(h(0), "news")

    assert 132015 == sent.blocked


async def test_a_refusal_rests_on_what_the_ledger_has_now(ledger):
    """The process that refuses may not be the one that heard the webhook."""
    hears, refuses = Story(ledger, DAY), Story(ledger, DAY)
    await hears.template_news(h(0), "marketing", "PAUSED")
    paused = await refuses.template(h(1), "marketing")
    await hears.template_news(h(1), "marketing", "APPROVED")
    sent = await refuses.template(h(1), "marketing")

    assert (132015, None) == (paused.blocked, sent.blocked)


async def test_a_decision_is_made_however_fast_templates_change(ledger, monkeypatch):
    """After a few new plans it is made by what was read last, priced and held like any other."""
    story = Story(ledger, DAY)
    authorize, changes = ledger.authorize, iter(range(100))

    async def overtaken(*given, **how):
        await ledger.learn(story.account.portfolio, WABA, {"quality de other": str(next(changes))})
        return await authorize(*given, **how)

    monkeypatch.setattr(ledger, "authorize", overtaken)
    sent = await story.template(h(0), "utility", lands=True)

    assert ("charged_message", "0.055", "exact") == sent.of("reason", "price", "price_bound")
    assert ("utility", "0.055") == sent.settled.of("category", "price")


# -------------------------------------------------------------------------------------------- categories to come, and quality


def pending(sent) -> str | None:
    return sent.decided.decision.category_pending


async def test_a_category_to_come_is_announced_and_not_yet_charged(ledger):
    """`correct_category` differs from `category` until the change; the price is that of the present one."""
    meta = Meta(row("utility", "utility", pending=TemplateCategory.MARKETING))
    story = told(ledger, meta)
    await read(story)
    before = await story.template(h(1), "utility")
    meta.rows = (row("utility", "marketing"),)
    await read(story)
    after = await story.template(h(2), "utility")

    assert [("utility", "marketing"), ("marketing", None)] == [(each.category, pending(each)) for each in (before, after)]


async def test_a_category_to_come_is_announced_by_webhook(ledger):
    """Until the webhook that says that it has come; `new_category` is the present one while `correct_category` is set."""
    story = told(ledger, None)
    coming = {"correct_category": "MARKETING", "category_update_timestamp": story.unix(h(24))}
    await story.template_category(h(0), "utility", new_category="UTILITY", **coming)
    before = await story.template(h(1), "utility")
    await story.template_category(h(24), "utility", previous_category="UTILITY", new_category="MARKETING")
    after = await story.template(h(25), "utility")

    assert [("utility", "marketing"), ("marketing", None)] == [(each.category, pending(each)) for each in (before, after)]


async def test_a_change_that_is_called_off_is_announced_no_longer(ledger):
    """An appeal may succeed: the list then names no other category."""
    story = told(ledger, Meta(row("utility")))
    await story.template_category(h(0), "utility", new_category="UTILITY", correct_category="MARKETING")
    await read(story)
    sent = await story.template(h(1), "utility")

    assert ("utility", None) == (sent.category, pending(sent))


async def test_a_change_that_has_come_is_announced_no_longer(ledger):
    """The webhook that says so may be lost, and another one name the new category."""
    story = told(ledger, None)
    await story.template_category(h(0), "utility", new_category="UTILITY", correct_category="MARKETING")
    await story.template_news(h(24), "utility", "APPROVED", message_template_category="MARKETING")
    sent = await story.template(h(25), "utility")

    assert ("marketing", None) == (sent.category, pending(sent))


async def test_what_is_refused_announces_nothing(ledger):
    """A paused template has other worries."""
    story = told(ledger, Meta(row("utility", "utility", "PAUSED", pending=TemplateCategory.MARKETING)))
    await read(story)
    sent = await story.template(h(1), "utility")

    assert (132015, None) == (sent.blocked, pending(sent))


async def test_quality_is_kept_and_counted(ledger):
    """By webhook and by the list; a status too. A template can be sent whatever its quality."""
    meta = Meta(row("utility", quality="GREEN"), row("marketing", "marketing", quality="YELLOW"), row("news", status="PAUSED"))
    story = told(ledger, meta)
    await read(story)
    value = {
        "message_template_id": 1,
        "message_template_name": "utility",
        "message_template_language": LANGUAGE,
        "previous_quality_score": "GREEN",
        "new_quality_score": "RED",
    }
    await story.post(h(0), "message_template_quality_update", value)
    sent = await story.template(h(1), "utility")
    scores = {score: count(story, "gatekeeper_template_quality", score=score) for score in ("GREEN", "YELLOW", "RED")}
    statuses = {name: count(story, "gatekeeper_templates", status=name) for name in ("APPROVED", "PAUSED", "DELETED")}

    assert sent.blocked is None
    assert {"GREEN": 0, "YELLOW": 1, "RED": 1} == scores
    assert {"APPROVED": 2, "PAUSED": 1, "DELETED": 1} == statuses  # the configuration told us of one that is not listed


@pytest.mark.parametrize("event", ["DELETED", "PENDING_DELETION"])
async def test_a_name_is_deleted_in_every_language(ledger, event):
    """Deleting by name removes them all, and then Meta has no language to say."""
    languages = ("de", "fr", LANGUAGE)
    offers = tuple(Template(name="offer", language=code, category=TemplateCategory.UTILITY) for code in languages[:2])
    story = told(ledger, None, template=(*offers, Template(name="other", language="de", category=TemplateCategory.UTILITY)))
    await story.template_news(h(0), "offer", "APPROVED", message_template_category="UTILITY")
    value = {"event": event, "message_template_id": 1, "message_template_name": "offer", "reason": "NONE"}
    await story.post(h(0), "message_template_status_update", value)
    sent = [await story.template(h(1), "offer", language=code) for code in languages]
    other = await story.template(h(1), "other", language="de")

    assert [NOT_FOUND] * 3 == [each.of(*SAYS) for each in sent]
    assert SENT == other.of(*SAYS)
