"""
Numbers whose market is not what their calling code suggests, priced through replay on either side of each change.

Sources: Meta, "Pricing", country calling codes, copies of November 2025 and July 2026, with its change log of 2025-10-01, 2026-07-01
and 2026-10-01: a country that the table does not name is "Other". Which prefixes such a country has where it shares a code is general
knowledge of the numbering plans, not Meta's; some of them count as the country's by another reading of the page.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from rate_sheets import sheet_on
from recorded import History, account, unix

ZONES = ("UTC", "America/Los_Angeles", "Pacific/Auckland")
QUARTERS = ("2023-06-01", "2025-07-01", "2025-10-01", "2026-07-01", "2026-10-01")
CARIBBEAN, AMERICA, EUROPE, WEST = (
    "Rest of Latin America",
    "North America",
    "Rest of Central & Eastern Europe",
    "Rest of Western Europe",
)
ASIA, MIDDLE_EAST, AFRICA, OTHER = "Rest of Asia Pacific", "Rest of Middle East", "Rest of Africa", "Other"

# A recipient as a caller may write it, and its market on every day that we price.
SETTLED = {
    # North American numbers are Canada's and the United States', but for seven listed area codes and those of unlisted countries.
    "+1 (202) 555-0143": AMERICA,
    "14165550143": AMERICA,
    "18675550143": AMERICA,
    "18005550143": AMERICA,
    "18095550143": CARIBBEAN,
    "18295550143": CARIBBEAN,
    "18495550143": CARIBBEAN,
    "16585550143": CARIBBEAN,
    "18765550143": CARIBBEAN,
    "17875550143": CARIBBEAN,
    "19395550143": CARIBBEAN,
    **{f"1{area}5550143": OTHER for area in (242, 246, 264, 268, 284, 345, 441, 473, 649, 664, 721, 758)},
    **{f"1{area}5550143": OTHER for area in (767, 784, 868, 869)},
    # Russia's neighbours in +7, and what is Russia's for certain.
    "79161234567": "Russia",
    "+7 (495) 123-45-67": "Russia",
    # Islands behind a neighbour's calling code.
    "+44 20 7946 0018": "United Kingdom",
    "447400123456": "United Kingdom",
    "390612345678": "Italy",
    "393471234567": "Italy",
    "262262161234": OTHER,
    "262692123456": OTHER,
    "262269601234": OTHER,
    "262639012345": OTHER,
    "590690001234": OTHER,
    "5993181234": OTHER,
    "5994161234": OTHER,
    "59995181234": OTHER,
    "358401234567": WEST,
    "358171234567": WEST,
    "4778123456": WEST,
    "4740612345": WEST,
    "61891631234": ASIA,
    "61412345678": ASIA,
    "38349123456": OTHER,
    # Neighbours of Kosovo, and of the French departments, that are listed.
    "381601234567": EUROPE,
    "33639012345": "France",
    # Renumbered countries, in the old form and the new one.
    "22507123456": AFRICA,
    "2250707123457": AFRICA,
    "22997123456": AFRICA,
    "+229 01 97 12 34 57": AFRICA,
    # Mobiles with two spellings.
    "5215512345678": "Mexico",
    "525512345679": "Mexico",
    "5491123456789": "Argentina",
    "555187654320": "Brazil",
    "5551987654321": "Brazil",
}
# Of a territory that shares a calling code and is not listed: the market of the country whose code that is, or perhaps Other.
PERHAPS_OTHER = {
    **{f"1{area}5550143": AMERICA for area in (340, 670, 671, 684)},
    **{f"44{number}": "United Kingdom" for number in ("1534123456", "7797712345", "1481123456", "7781123456")},
    **{f"44{number}": "United Kingdom" for number in ("1624123456", "7524123456", "7457612345", "7700312345", "7911712345")},
    "+39 06 698 12345": "Italy",
    "3581812345678": WEST,
    "4779123456": WEST,
    "61891641234": ASIA,
    "61891621234": ASIA,
}
PERHAPS_OTHER_TOO = ("212528812345", "212528912345")  # and which moved
# A recipient, the day on which its country moved, and its market until then and since.
MOVED = {
    "263771234567": ("2025-10-01", OTHER, AFRICA),
    "85251234567": ("2026-07-01", ASIA, "Hong Kong"),
    "36201234567": ("2026-07-01", EUROPE, "Hungary"),
    "48501234567": ("2026-07-01", EUROPE, "Poland"),
    "97433123456": ("2026-07-01", MIDDLE_EAST, "Qatar"),
    "40712345678": ("2026-07-01", EUROPE, "Romania"),
    "6581234567": ("2026-07-01", ASIA, "Singapore"),
    "8801712345678": ("2026-10-01", ASIA, "Bangladesh"),
    "9647701234567": ("2026-10-01", MIDDLE_EAST, "Iraq"),
    "+7 701 234 56 78": ("2026-10-01", OTHER, "Kazakhstan"),
    "76012345678": ("2026-10-01", OTHER, "Kazakhstan"),
    "96550123456": ("2026-10-01", MIDDLE_EAST, "Kuwait"),
    "212612345678": ("2026-10-01", AFRICA, "Morocco"),
    "212528712345": ("2026-10-01", AFRICA, "Morocco"),
    **dict.fromkeys(PERHAPS_OTHER_TOO, ("2026-10-01", AFRICA, "Morocco")),
    "9779812345678": ("2026-10-01", ASIA, "Nepal"),
    "96892123456": ("2026-10-01", MIDDLE_EAST, "Oman"),
    "94712345678": ("2026-10-01", ASIA, "Sri Lanka"),
    "380501234567": ("2026-10-01", EUROPE, "Ukraine"),
}
# What some of the moves are worth, as the cards print it: marketing, the day before and on the day.
WORTH = {
    "263771234567": ("0.0604", "0.0225"),
    "85251234567": ("0.0732", "0.0732"),
    "48501234567": ("0.086", "0.0366"),
    "8801712345678": ("0.0732", "0.0732"),
    "96550123456": ("0.0341", "0.0792"),
    "212612345678": ("0.0225", "0.0414"),
    "212528812345": ("0.0604", "0.0604"),
    "380501234567": ("0.086", "0.086"),
}
EVERYBODY = {**{to: (QUARTERS[0], market, market) for to, market in (SETTLED | PERHAPS_OTHER).items()}, **MOVED}


def priced(to: str, day: dt.date) -> tuple[str, str | None, str, str]:
    """Market, price, its bound and the card on *day* by the tables above and the printed card: of two markets the dearer."""
    move, before, since = EVERYBODY[to]
    market, sheet = since if day >= dt.date.fromisoformat(move) else before, sheet_on("USD", day)
    price, other = sheet.price(market, "marketing"), sheet.price(OTHER, "marketing")
    if to not in PERHAPS_OTHER and to not in PERHAPS_OTHER_TOO:
        return market, price, "exact", str(sheet.effective)
    return market, max(price, other, key=Decimal), "at-most", str(sheet.effective)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("quarter", QUARTERS[1:])
async def test_where_an_awkward_number_is_priced(quarter, zone):
    """In the last second before a quarter day and in its first, where the account is; sent and delivered."""
    history, midnight = History(account(timezone=zone)), unix(quarter, zone)
    last, first = dt.date.fromisoformat(quarter) - dt.timedelta(days=1), dt.date.fromisoformat(quarter)
    for at, day in ((midnight - 1, last), (midnight, first)):
        for to in EVERYBODY:
            history.template(at, f"{to} on {day}", "marketing", to)
        history.delivered(at, *(f"{to} on {day}" for to in EVERYBODY))
    said = await history.replayed()
    expected = {f"{to} on {day}": priced(to, day) for day in (last, first) for to in EVERYBODY}

    assert expected == said.decisions("market", "price", "price_bound", "rate_card")
    assert {name: (price,) for name, (_, price, *_) in expected.items()} == said.settles("price")


@pytest.mark.parametrize("to", WORTH)
async def test_what_a_move_is_worth(to):
    """Literally: so that the tables and the cards cannot be wrong together."""
    history, midnight = History(), unix(MOVED[to][0])
    history.template(midnight - 1, "before", "marketing", to)
    history.template(midnight, "after", "marketing", to)
    said = await history.replayed()

    assert WORTH[to] == tuple(said.decided[name].price for name in ("before", "after"))


@pytest.mark.parametrize("to", MOVED)
async def test_a_message_that_arrives_after_the_move(to):
    """It was quoted in the old market and is billed in the new one, at the new card."""
    history, midnight = History(), unix(MOVED[to][0])
    history.template(midnight - 1, "late", "marketing", to)
    history.delivered(midnight, "late")
    said = await history.replayed()
    day = dt.date.fromisoformat(MOVED[to][0])

    assert priced(to, day - dt.timedelta(days=1))[:2] == said.decided["late"].of("market", "price")
    assert priced(to, day)[1] == said.settled["late"].price


@pytest.mark.parametrize(
    ("dialled", "answered", "market"),
    [
        pytest.param("+7 701 234 56 78", "77012345678", "Kazakhstan", id="as it was dialled"),
        pytest.param("447797712345", "447400123456", "United Kingdom", id="by the name that Meta gives"),
        pytest.param("14165550143", "18095550143", CARIBBEAN, id="in another country of one calling code"),
    ],
)
async def test_the_number_that_meta_names_is_billed(dialled, answered, market):
    """`recipient_id` of the status says whom Meta bills: the settlement is priced there."""
    history, at = History(), unix("2026-10-13")
    history.template(at, "s", "marketing", dialled)
    history.delivered(at, "s", recipient_id=answered)
    said = await history.replayed()

    assert sheet_on("USD", dt.date(2026, 10, 13)).price(market, "marketing") == said.settled["s"].price


@pytest.mark.parametrize("to", ["01512345678", "(0)151 2345678", "0 151 23 45 67 8"])
async def test_a_number_without_its_country_has_no_price(to):
    """No calling code begins with 0: it goes out, and what it costs is not made up."""
    history, at = History(), unix("2026-10-13")
    history.template(at, "s", "marketing", to)
    said = await history.replayed()

    assert ("allow", None, True, None, "unknown") == said.decided["s"].of("verdict", "market", "charged", "price", "price_bound")
