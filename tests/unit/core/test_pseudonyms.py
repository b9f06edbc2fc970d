"""What stands for a recipient in a record: another name of the same kind, in the same market, and always the same one."""

from __future__ import annotations

import datetime as dt
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.core.data import data_dir
from gatekeeper.core.markets import Markets
from gatekeeper.core.pseudonyms import Pseudonyms
from gatekeeper.core.recipients import canonical, digits, is_bsuid

KEY = "a key of some length"
DAY = dt.date(2026, 11, 10)
NUMBERS = {
    "Germany": "4915112345678",
    "India": "919812345678",
    "North America": "14155552671",
    "Antigua, in a prefix of North America's": "12684641234",
    "Kazakhstan, in a prefix of Russia's": "77011234567",
    "Mexico": "525512345678",
    "Argentina": "541123456789",
    "a Brazilian mobile": "5511987654321",
    "a Brazilian landline": "551132654321",
    "no country": "99912345678",
    "a number without its country": "015112345678",
    "the shortest": "12345",
    "the longest": "49151123456789012345",
}


@functools.cache
def markets() -> Markets:
    return Markets.load(data_dir("config"))


@functools.cache
def names(key: str = KEY) -> Pseudonyms:
    return Pseudonyms(key, markets())


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_a_number_stays_in_its_market(number):
    """Its market, country and length are those of the number that it stands for, and it is not that number."""
    found = names().recipient(number)

    assert markets().market(number, DAY) == markets().market(found, DAY)
    assert (markets().country(number), len(number)) == (markets().country(found), len(found))
    assert (number != found, found) == (True, canonical(found))


@given(st.text("0123456789", min_size=1, max_size=20), st.sampled_from(["", "1", "49", "52", "54", "55", "7", "1268"]))
def test_any_number_stays_in_its_market(rest, prefix):
    """However odd a number is, what stands for it is as odd."""
    number = canonical(prefix + rest)
    found = names().recipient(number)

    assert (len(number), markets().prefix(number), digits(number) is None) == (
        len(found),
        markets().prefix(found),
        digits(found) is None,
    )
    assert canonical(found) == found
    assert markets().market(number, DAY) == markets().market(found, DAY)


@pytest.mark.parametrize("start", ["4915112340000", "1268464000", "5511987650000", "99912340000"])
def test_no_two_users_become_one(start):
    """Numbers that differ have pseudonyms that do."""
    found = {names().recipient(str(int(start) + n)) for n in range(3000)}

    assert 3000 == len(found)


@pytest.mark.parametrize("few", ["1268", "12680", "49", "4912", "7", ""])
def test_a_number_with_few_digits_to_change_ends_too(few):
    """Where there is nothing to choose from, it stands for itself, or for one of the few that there are."""
    assert len(few) == len(names().recipient(few)) or not few


@pytest.mark.parametrize(
    "spellings",
    [
        ("4915112345678", "+49 151 1234-5678", "(49)15112345678"),
        ("5215512345678", "525512345678"),
        ("5491123456789", "541123456789"),
        ("551187654321", "5511987654321"),
        ("us.13491208655302741918", "US.13491208655302741918"),
    ],
)
def test_every_spelling_of_a_name_has_one_pseudonym(spellings):
    """Twins and ways of writing lead to one thread, so one name stands for all of them."""
    assert 1 == len({names().recipient(name) for name in spellings})


@pytest.mark.parametrize("name", ["US.13491208655302741918", "BR.ENT.13491208655302741918", "DE.a1"])
def test_a_bsuid_keeps_its_country_and_its_kind(name):
    """It is another BSUID of that country, a parent's if it was one."""
    found = names().recipient(name)

    assert (True, name[:3], ".ENT." in name) == (is_bsuid(found), found[:3], ".ENT." in found)
    assert name.rsplit(".", 1)[1] not in found


def test_upper_and_lower_case_of_a_bsuid_are_two_users():
    """Only the country's case is none of the name."""
    assert names().recipient("US.abcdef") != names().recipient("US.ABCDEF")


@pytest.mark.parametrize("name", ["Y2FwaV9ncm91cDo", "the name of a person", "\ud800", "491511234567890123456789"])
def test_any_other_name_is_one_that_nobody_has(name):
    """A group's id, or what cannot be sent to at all: neither a number nor a BSUID stands for it, unless it is all digits."""
    found = names().recipient(name)

    assert (False, False) == (is_bsuid(found), name in found)
    assert name.isdigit() == (found.isdigit())


def test_a_messages_id_says_nothing_of_its_recipient():
    """Meta's ids have the recipient's number in them; what stands for one is as long for every message."""
    found = [names().message(wamid) for wamid in ("wamid.HBgNNDkxNTExMjM0NTY3OBUCABEYEj", "wamid.HBgN")]

    assert [len("wamid.") + 32] * 2 == list(map(len, found))
    assert 2 == len(set(found))


def test_a_key_says_who_is_who():
    """The same key gives the same names at any time, another one gives others."""
    name, wamid = NUMBERS["Germany"], "wamid.1"
    again, other = Pseudonyms(KEY, markets()), Pseudonyms(f"{KEY}!", markets())

    assert (names().recipient(name), names().message(wamid)) == (again.recipient(name), again.message(wamid))
    assert names().recipient(name) != other.recipient(name)
    assert names().message(wamid) != other.message(wamid)
