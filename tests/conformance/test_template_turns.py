"""
A template turned from utility to marketing in the middle of a history: what it costs before, in between and afterwards, through replay.

Sources: Meta, `template_category_update`, copies of November 2025: an impending change says `new_category` for the current one and
`correct_category` for the one to come; "Pricing": a message is charged by the category that its template has when it is used.
"""

from __future__ import annotations

import pytest
from recorded import DAY, History, account, unix
from story import LANGUAGE, ONE, TWO, WABA, Json, cbp, pmp

from gatekeeper.core.accounts import Template, TemplateCategory

USERS = [f"49151120000{n:02d}" for n in range(20)]
HOUR = 60 * 60
NAME, OTHER_LANGUAGE = "order_update", "pt_BR"
SAYS, SETTLES = ("category", "charged", "price", "price_bound"), ("delivered", "category", "charged", "price")
# Germany: what a utility and a marketing template cost outside the window, by the day on which the story begins.
PRICES = {
    "2023-09-05": ("0.0853", "0.1365"),
    "2025-01-14": ("0.055", "0.1365"),
    "2025-09-09": ("0.055", "0.1365"),
    "2026-10-13": ("0.055", "0.1365"),
}
DAYS = pytest.mark.parametrize("day", PRICES)


def told(category: TemplateCategory | None = TemplateCategory.UTILITY, **more: str) -> History:
    """A history of an account that knows one template, in two languages."""
    templates = tuple(Template(name=NAME, language=code, category=category) for code in (LANGUAGE, OTHER_LANGUAGE))
    return History(account(template=templates, **more))


def turned(history: History, at: int, news: Json, waba_id: str = WABA) -> None:
    """Meta says that the template's category changes, or is about to."""
    names = {"message_template_id": 278077987957091, "message_template_name": NAME, "message_template_language": LANGUAGE}
    history.webhook(at, "template_category_update", names | news, waba_id)


def impending(at: int, current: str = "UTILITY", correct: str = "MARKETING") -> Json:
    return {"new_category": current, "correct_category": correct, "category_update_timestamp": at}


def done(previous: str = "UTILITY", current: str = "MARKETING") -> Json:
    return {"previous_category": previous, "new_category": current}


@DAYS
@pytest.mark.parametrize("window", [False, True], ids=["outside the window", "inside"])
@pytest.mark.parametrize("repeats", [1, 3], ids=["said once", "said three times"])
async def test_before_announced_and_done(day, window, repeats):
    """An announcement changes no price, the change does from the next send on, and what is on its way costs what was sent."""
    history, at = told(), unix(day)
    turn = at + 12 * HOUR
    if window:
        history.wrote(at, *USERS[:4])
    history.template(at + HOUR, "before", NAME, USERS[0])
    history.delivered(at + HOUR, "before")
    for n in range(repeats):
        turned(history, at + 2 * HOUR + n, impending(turn))
    history.template(at + 3 * HOUR, "announced", NAME, USERS[1])
    history.delivered(at + 3 * HOUR, "announced")
    history.template(turn - 1, "late", NAME, USERS[2])
    for _ in range(repeats):
        turned(history, turn, done())
    history.template(turn, "after", NAME, USERS[3])
    history.delivered(turn + HOUR, "late", "after")
    said = await history.replayed()
    utility, marketing = PRICES[day]
    as_utility = (False, "0") if window and day == "2025-09-09" else (True, utility)
    earlier = ("before", "announced", "late")

    assert {"after": ("marketing", True, marketing, "exact"), **dict.fromkeys(earlier, ("utility", *as_utility, "exact"))} == (
        said.decisions(*SAYS)
    )
    assert {"after": (True, "marketing", True, marketing), **dict.fromkeys(earlier, (True, "utility", *as_utility))} == (
        said.settles(*SETTLES)
    )


@DAYS
async def test_the_change_reaches_all_numbers_of_the_account_and_one_language(day):
    """A template belongs to an account; each of its languages has a category of its own."""
    history, at = told(), unix(day)
    turned(history, at, done())
    history.template(at, "one", NAME, USERS[0], number=ONE)
    history.template(at, "two", NAME, USERS[1], number=TWO)
    body = {"messaging_product": "whatsapp", "to": USERS[2], "type": "template"}
    history.send(at, "other", body | {"template": {"name": NAME, "language": {"code": OTHER_LANGUAGE}}})
    said = await history.replayed()
    utility, marketing = PRICES[day]

    assert {"one": ("marketing", marketing), "two": ("marketing", marketing), "other": ("utility", utility)} == (
        said.decisions("category", "price")
    )


async def test_another_accounts_change_is_no_news():
    """Two accounts of one portfolio may have a template of one name."""
    history, at = told(), unix("2026-10-13")
    turned(history, at, done(), waba_id="102290129340399")
    history.template(at, "s", NAME, USERS[0])
    said = await history.replayed()

    assert ("utility", "0.055") == said.decided["s"].of("category", "price")


@DAYS
async def test_there_and_back(day):
    """An appeal that succeeds turns it back, and an announcement that comes late again changes nothing."""
    history, at = told(), unix(day)
    turned(history, at + HOUR, done())
    turned(history, at + 2 * HOUR, impending(at + 12 * HOUR, current="MARKETING", correct="UTILITY"))
    history.template(at + 3 * HOUR, "marketing", NAME, USERS[0])
    turned(history, at + 4 * HOUR, done("MARKETING", "UTILITY"))
    history.template(at + 5 * HOUR, "utility", NAME, USERS[1])
    history.delivered(at + 6 * HOUR, "utility", "marketing")
    said = await history.replayed()
    utility, marketing = PRICES[day]

    assert {"marketing": ("marketing", marketing), "utility": ("utility", utility)} == said.decisions("category", "price")
    assert {"marketing": ("marketing", marketing), "utility": ("utility", utility)} == said.settles("category", "price")


@pytest.mark.parametrize("day", ["2023-09-05", "2025-01-14"])
async def test_a_turned_template_opens_a_conversation_of_its_new_category(day):
    """The open utility conversation does not cover it; a further one of the new category is covered by its own."""
    history, at = told(), unix(day)
    history.template(at, "opens", NAME, USERS[0])
    history.delivered(at, "opens")
    history.template(at + HOUR, "inside", NAME, USERS[0])
    history.delivered(at + HOUR, "inside")
    turned(history, at + 2 * HOUR, done())
    for n, name in enumerate(["opens anew", "inside anew"], 3):
        history.template(at + n * HOUR, name, NAME, USERS[0])
        history.delivered(at + n * HOUR, name)
    said = await history.replayed()
    utility, marketing = PRICES[day]

    assert {
        "opens": ("utility", "utility", True, utility),
        "inside": (None, "utility", False, "0"),
        "opens anew": ("marketing", "marketing", True, marketing),
        "inside anew": (None, "marketing", False, "0"),
    } == said.settles("opened", "category", "charged", "price")


@pytest.mark.parametrize(
    ("day", "word"),
    [
        pytest.param("2023-09-05", cbp("marketing"), id="2023"),
        pytest.param("2025-09-09", pmp("marketing"), id="2025"),
        pytest.param("2026-10-13", pmp("marketing"), id="2026"),
    ],
)
async def test_metas_word_is_of_the_category_that_counts(day, word):
    """A webhook of ours may be lost: where Meta says that it billed marketing, the message cost that."""
    history, at = told(), unix(day)
    history.template(at, "s", NAME, USERS[0])
    history.delivered(at + HOUR, "s", **word)
    said = await history.replayed()
    utility, marketing = PRICES[day]

    assert ("utility", utility) == said.decided["s"].of("category", "price")
    assert (True, "marketing", True, marketing) == said.settled["s"].of(*SETTLES)


@pytest.mark.parametrize("answer", [True, False], ids=["told before the send", "told while it is on its way"])
async def test_a_template_that_nobody_knew(answer):
    """An update may be the first that is heard of a template: what was sent before stays unknown, and is priced from then on."""
    history, at = History(account(template=())), unix("2026-10-13")
    turned(history, at + (0 if answer else HOUR), done())
    history.template(at + (HOUR if answer else 0), "s", NAME, USERS[0])
    history.delivered(at + 2 * HOUR, "s")
    said = await history.replayed()
    known = (("marketing", True, "0.1365", "exact"), (True, "marketing", True, "0.1365"))
    unknown = (("unknown", None, "0.1365", "at-most"), (True, "unknown", None, None))

    assert (known if answer else unknown) == (said.decided["s"].of(*SAYS), said.settled["s"].of(*SETTLES))


async def test_the_bill_of_a_month_with_a_turn():
    """Ten a day, turned at noon of the third day: half of the month's messages cost the one, half the other."""
    history, at = told(), unix("2026-10-01")
    turned(history, at + 2 * DAY + 12 * HOUR, done())
    for day in range(5):
        for n, to in enumerate(USERS[:10]):
            name, sent_at = f"{day}-{n}", at + day * DAY + (8 + n) * HOUR
            history.template(sent_at, name, NAME, to)
            history.delivered(sent_at + 1, name)
    said = await history.replayed()
    categories = [said.settled[f"{day}-{n}"].category for day in range(5) for n in range(10)]

    assert ["utility"] * 24 + ["marketing"] * 26 == categories
    assert {"USD": "4.869"} == said.summary.spend
