"""
Every figure of every installed card is what a message costs, from the first second of the card to its last, and to the micro-unit.

The cards are read here by the csv module alone, and priced through replay: what a cell says, a send and its delivery say too, and
where a cell is blank nobody knows the price. Sources: Meta's rate cards, as `config/rates/provenance.csv` names them.
"""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from typing import NamedTuple

import pytest
from rate_sheets import Country, Sheet, countries, places, sheet_on, sheets
from recorded import History, account, unix
from story import ONE, PORTFOLIO, TWO, Story, h, pmp

from gatekeeper.core.accounts import AuthenticationInternational
from gatekeeper.core.tariff import Meter
from gatekeeper.ledger.ledger import Ledger

TODAY, REGIME_OF_TODAY = dt.date(2026, 11, 20), dt.date(2026, 10, 1)
GERMAN, KAZAKH = "4915112345678", "77011234567"
ZONES = ("UTC", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Auckland", "America/Sao_Paulo")
INTERNATIONAL = "authentication_international"
TEMPLATES = {
    "marketing": "marketing",
    "utility": "utility",
    "authentication": "authentication",
    INTERNATIONAL: "authentication",
    "business_initiated": "utility",
}
FREE_FORM = ("service", "user_initiated")
SAYS = ("verdict", "market", "currency", "rate_card", "category", "charged", "price", "price_bound")
SETTLES = ("delivered", "category", "charged", "price")
# Markets whose authentication messages from abroad have a rate of their own, by the day from which they have it.
ABROAD = {
    dt.date(2024, 6, 1): {"Indonesia"},
    dt.date(2024, 7, 1): {"India"},
    dt.date(2025, 2, 1): {"Egypt", "Malaysia", "Nigeria", "Pakistan", "Saudi Arabia", "South Africa", "United Arab Emirates"},
    dt.date(2026, 10, 1): {"Bangladesh", "Iraq", "Kazakhstan", "Kuwait", "Morocco", "Nepal", "Oman", "Sri Lanka", "Ukraine"},
}
ELIGIBLE = AuthenticationInternational(start_time=dt.datetime(2022, 2, 1, tzinfo=dt.UTC))
FAR = "106540352242924"
# Between these days free-form messages were free, whatever a card's column says.
SERVICE_IS_FREE = (dt.date(2024, 11, 1), dt.date(2026, 10, 1))


class Cell(NamedTuple):
    """A message to reach the cell of *column*, and what it is billed as and costs; *paid* False: its regime does not ask the card."""

    name: str
    market: str
    column: str
    recipient: str
    category: str
    price: str | None
    paid: bool


def cells(sheet: Sheet, day: dt.date) -> list[Cell]:
    """One message for each cell, each to a number of its own, and to other countries of a region by turns."""
    found = []
    for n, (market, row) in enumerate(sheet.cells.items()):
        there = places(market, day)
        assert there, f"nobody is in {market} on {day}"
        for turn, column in enumerate(row):
            recipient = there[turn % len(there)].number(10 * n + turn)
            paid = column != "service" or not SERVICE_IS_FREE[0] <= day < SERVICE_IS_FREE[1]
            category = "authentication" if column == INTERNATIONAL and not has_rate_abroad(market, day) else column
            price = sheet.price(market, category)
            found.append(Cell(f"{day} {market} {column}", market, column, recipient, category, price, paid))
    return found


def has_rate_abroad(market: str, day: dt.date) -> bool:
    return any(market in markets for since, markets in ABROAD.items() if since <= day)


def tell(history: History, at: int, listed: list[Cell]) -> None:
    """The free tiers are used up; then each message is sent and delivered, all in one second, by two numbers and one from abroad."""
    near = [cell for cell in listed if cell.column != INTERNATIONAL]
    by_number = {ONE: near[::2], TWO: near[1::2], FAR: [cell for cell in listed if cell.column == INTERNATIONAL]}
    for number, some in by_number.items():
        history.used(at, 1000, number)
        history.wrote(at, *(cell.recipient for cell in some if cell.column in FREE_FORM), number=number)
        for cell in some:
            if cell.column in FREE_FORM:
                history.text(at, cell.name, cell.recipient, number=number)
            else:
                history.template(at, cell.name, TEMPLATES[cell.column], cell.recipient, number=number)
        history.delivered(at, *(cell.name for cell in some))


def decision(sheet: Sheet, cell: Cell) -> tuple[object, ...]:
    price, bound = (cell.price, "exact" if cell.price else "unknown") if cell.paid else ("0", "exact")
    return ("allow", cell.market, sheet.currency, str(sheet.effective), cell.category, cell.paid, price, bound)


def settlement(cell: Cell) -> tuple[object, ...]:
    return (True, cell.category, cell.paid, cell.price if cell.paid else "0")


@pytest.mark.parametrize(
    ("sheet", "zone"),
    [pytest.param(sheet, ZONES[n % len(ZONES)], id=f"{sheet.effective} {sheet.currency}") for n, sheet in enumerate(sheets())],
)
async def test_every_cell_of_a_card(sheet, zone):
    """In the first second of the card's first day and in the last one before the next card, where the account is."""
    far = account("102290129340399", [FAR], timezone=zone, currency=sheet.currency, authentication_international=ELIGIBLE)
    history = History(account(timezone=zone, currency=sheet.currency), far)
    last_day = sheet.ends - dt.timedelta(days=1)
    first, last = cells(sheet, sheet.effective), cells(sheet, last_day)
    tell(history, unix(str(sheet.effective), zone), first)
    tell(history, unix(str(sheet.ends), zone) - 1, last)
    listed = [*first, *last]
    said = await history.replayed()

    assert {cell.name: decision(sheet, cell) for cell in listed} == said.decisions(*SAYS)
    assert {cell.name: settlement(cell) for cell in listed} == said.settles(*SETTLES)
    assert {sheet.currency: sum(Decimal(cell.price or 0) for cell in listed if cell.paid)} == {
        currency: Decimal(spent) for currency, spent in said.summary.spend.items()
    }


async def test_a_second_before_the_first_card_of_a_currency_nothing_is_known():
    """The messages go out and are charged; what they cost is not made up from a later card, or from another currency's."""
    firsts = {sheet.currency: sheet for sheet in reversed(sheets()) if sheet.currency != "USD"}
    numbers = {currency: f"10654035{n:04d}" for n, currency in enumerate(firsts)}
    history = History(*(account(f"waba-{currency}", [number], currency=currency) for currency, number in numbers.items()))
    for currency, sheet in firsts.items():
        at = unix(str(sheet.effective)) - 1
        history.template(at, currency, "marketing", GERMAN, number=numbers[currency])
        history.delivered(at, currency)
    said = await history.replayed()

    assert {currency: ("allow", "Germany", currency, None, "marketing", True, None, "unknown") for currency in firsts} == (
        said.decisions(*SAYS)
    )
    assert dict.fromkeys(firsts, (True, "marketing", True, None)) == said.settles(*SETTLES)


async def test_a_card_that_outlives_its_regime():
    """
    From 2026-10-01 a card of July has neither a service column nor the markets that began then: charged, and unknown.

    What it does say is the most that a message costs.
    """
    history = History(account(currency="EUR"))
    at = unix("2026-10-01")
    history.used(at, 1000)
    history.wrote(at, GERMAN)
    history.text(at, "service", GERMAN)
    history.template(at, "utility", "utility", GERMAN)
    history.template(at, "kazakh", "marketing", KAZAKH)
    history.delivered(at, "service", "utility", "kazakh")
    said = await history.replayed()
    utility = sheet_on("EUR", dt.date(2026, 10, 1)).price("Germany", "utility")

    assert {
        "service": ("Germany", True, None, "unknown"),
        "utility": ("Germany", True, utility, "at-most"),
        "kazakh": ("Kazakhstan", True, None, "unknown"),
    } == said.decisions("market", "charged", "price", "price_bound")
    assert {"service": (True, None), "utility": (True, utility), "kazakh": (True, None)} == said.settles("charged", "price")


@pytest.mark.parametrize(
    "sheet", [sheet for sheet in sheets() if sheet == sheet_on(sheet.currency, TODAY)], ids=lambda sheet: sheet.currency
)
async def test_every_country_pays_its_market(sheet):
    """A number of each country in the world costs what the market's row says today."""
    history, at = History(account(currency=sheet.currency)), unix(str(TODAY))
    listed = {country.begins: country for country in countries()}
    for name, country in listed.items():
        history.template(at, name, "marketing", country.number(0))
    history.delivered(at, *listed)
    said = await history.replayed()
    costs = {name: cost(sheet, country, TODAY) for name, country in listed.items()}

    assert {name: (country.market(TODAY), *costs[name]) for name, country in listed.items()} == said.decisions(
        "market", "price", "price_bound"
    )
    assert {name: (price,) for name, (price, _) in costs.items()} == said.settles("price")


def cost(sheet: Sheet, country: Country, day: dt.date) -> tuple[str | None, str]:
    """
    What a marketing message to a country costs, and how far that is known.

    Of two markets that it may be in the dearer; and what a sheet from before the regime says is the most.
    """
    readings = [country.market(day), *filter(None, [country.perhaps(day)])]
    prices = [sheet.price(market, "marketing") for market in readings]
    if None in prices:
        return None, "unknown"
    certain = len(prices) == 1 and sheet.effective >= REGIME_OF_TODAY
    return max(prices, key=Decimal), "exact" if certain else "at-most"


@pytest.mark.parametrize(
    "sheet", [sheet for sheet in sheets() if sheet.tiers], ids=lambda sheet: f"{sheet.effective} {sheet.currency}"
)
async def test_every_tier_of_a_card(ledger, sheet):
    """
    The last message of a tier costs its rate and the next one the next tier's; each only its own.

    What is beyond the list rate is an estimate, and so the most that it can cost: Meta counts what other partners send too.
    """
    where = {"zone": "Asia/Kolkata", "currency": sheet.currency}
    near = Story(ledger, str(sheet.effective), **where)
    far = Story(ledger, str(sheet.effective), **where, portfolio_id="far", authentication_international=ELIGIBLE)
    expected, actual = {}, {}
    for (market, category), steps in sheet.tiers.items():
        story, recipient = far if category == INTERNATIONAL else near, places(market, sheet.effective)[0].number(0)
        meter = await volume_meter(story, TEMPLATES[category], recipient)
        for step, following in itertools.pairwise([*steps, steps[-1]]):
            nth = step.last or step.first + 10**9
            await ledger.set_settled(meter.owner, meter, nth - 1)
            for n, there, word in ((nth, step, {}), (nth + 1, following, pmp(category))):
                sent = await story.template(h(1), TEMPLATES[category], recipient)
                settled = await sent.delivered(h(1), **word)
                bound = "exact" if there.rate == steps[0].rate else "at-most"
                expected[market, category, n] = (category, there.rate, bound, True, there.rate)
                actual[market, category, n] = (*sent.of("category", "price", "price_bound"), *settled.of("charged", "price"))

    assert expected == actual
    assert len(expected) == 2 * sum(len(steps) for steps in sheet.tiers.values())


async def volume_meter(story: Story, template: str, recipient: str) -> Meter:
    """The meter that a template's price depends on; the send that asks for it is taken back."""
    probe = await story.template(h(0), template, recipient, answered=False)
    await probe.refused(h(0))
    return probe.decided.plan.rows[-1].meter


async def test_the_first_message_of_a_month_is_in_the_first_tier(ledger):
    """What was sent in the month before, in another market or of another category counts for nothing."""
    sheet = sheet_on("INR", dt.date(2026, 10, 1))
    story = Story(ledger, "2026-10-31", zone="Asia/Kolkata", currency="INR")
    await ledger.set_settled(PORTFOLIO, await volume_meter(story, "utility", GERMAN), 10**9)
    last = await story.template(h(24) - 1, "utility", GERMAN, lands=True)
    other = await story.template(h(24) - 1, "authentication", GERMAN, lands=True)
    abroad = await story.template(h(24) - 1, "utility", KAZAKH, lands=True)
    first = await story.template(h(24), "utility", GERMAN, lands=True)
    rates = [sheet.tiers["Germany", "utility"][-1].rate, sheet.price("Germany", "authentication")]
    rates += [sheet.price("Kazakhstan", "utility"), sheet.price("Germany", "utility")]

    assert rates == [each.price for each in (last, other, abroad, first)]
    assert rates == [each.settled.price for each in (last, other, abroad, first)]


# ------------------------------------------------------------------------------------------------------ what a tier counts

FRENCH = "33612345678"
LIST, TIER = "0.03", "0.0285"  # France, utility and authentication, from 2026-04-01; the second tier begins with number 100,001


async def at_the_edge(ledger: Ledger, **how: object) -> Story:
    """A month in which one utility message to France is left at the list rate."""
    story = Story(ledger, "2026-04-14", **how)
    await ledger.set_settled(PORTFOLIO, await volume_meter(story, "utility", FRENCH), 99_999)
    return story


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        pytest.param("delivered", True, id="a delivered one"),
        pytest.param("read", True, id="one of which only a read was heard"),
        pytest.param("failed", False, id="a failed one"),
        pytest.param("in the window", False, id="a free one, inside the customer service window"),
        pytest.param("after an ad", False, id="a free one, inside a free entry point"),
        pytest.param("marketing", False, id="another category"),
        pytest.param("authentication", False, id="another category with tiers"),
        pytest.param("to Germany", False, id="another market"),
        pytest.param("by another WABA", True, id="another WABA of the portfolio"),
        pytest.param("by a stranger", False, id="another portfolio"),
    ],
)
async def test_what_counts_towards_a_tier(ledger, name, counts):
    """Charged messages of the category to the market, over all WABAs of the portfolio. Source: Meta, "Pricing", copy of 2026-03-02."""
    story = await at_the_edge(ledger)
    other = Story(ledger, "2026-04-14", waba_id="102290129340399", phone_number_ids=(FAR,))
    stranger = Story(ledger, "2026-04-14", portfolio_id="506914307656635")
    user = "33612345679"
    if name == "in the window":
        await story.wrote(h(0), user)
    if name == "after an ad":
        await story.clicked(h(0), user)
    sends = {
        "marketing": lambda: story.template(h(1), "marketing", user),
        "authentication": lambda: story.template(h(1), "authentication", user),
        "to Germany": lambda: story.template(h(1), "utility", GERMAN),
        "by another WABA": lambda: other.template(h(1), "utility", user, number=FAR),
        "by a stranger": lambda: stranger.template(h(1), "utility", user),
    }
    sent = await sends.get(name, lambda: story.template(h(1), "utility", user))()
    await (sent.failed(h(2)) if name == "failed" else sent.read(h(2)) if name == "read" else sent.delivered(h(2)))
    following = Story(ledger, "2026-04-14", waba_id="102290129340400", phone_number_ids=("106540352242925",))
    told = await following.template(h(3), "utility", FRENCH, number="106540352242925")

    assert (TIER if counts else LIST) == told.price


async def test_authentication_abroad_goes_on_in_the_count_of_authentication(ledger):
    """Egypt, the 300,000th message in the last hour before the business pays more there, and the next one in the first hour after."""
    begins = AuthenticationInternational(start_time=dt.datetime(2026, 4, 15, tzinfo=dt.UTC))
    story, egyptian = Story(ledger, "2026-04-14", authentication_international=begins), "201001234567"
    await ledger.set_settled(PORTFOLIO, await volume_meter(story, "authentication", egyptian), 299_999)
    sent = [await story.template(at, "authentication", egyptian, lands=True) for at in (h(23), h(24), h(25))]

    assert [("authentication", "0.0036"), (INTERNATIONAL, "0.0618"), (INTERNATIONAL, "0.0618")] == [
        each.of("category", "price") for each in sent
    ]
    assert ["0.0036", "0.0618", "0.0618"] == [each.settled.price for each in sent]
