"""The grammar of the ledger's keys, letter by letter: operators, other languages and older versions read them too."""

from __future__ import annotations

import datetime as dt
import inspect
import re

import pytest

from gatekeeper.ledger import keys, scripts
from gatekeeper.ledger.keys import (
    budget,
    held,
    holders,
    holding,
    lapsers,
    lapsing,
    message,
    meter,
    number,
    numbers,
    pair,
    parked,
    rate,
    reached,
    repeat,
    reservation,
    spend,
    strays,
    templates,
    text,
    thread,
    unnamed,
    wabas,
    waiting,
    watch,
)

DAY = dt.date(2026, 10, 1)
TAG, PHONE, USER, WABA = "506914307656634", "106540352242922", "4915112345678", "102290129340398"
BUILDERS = {
    name: builder
    for name, builder in vars(keys).items()
    if inspect.isfunction(builder) and builder.__module__ == keys.__name__ and not name.startswith("_")
}
HASH_TAG = re.compile(r"\{([^{}]+)\}")
DOCUMENTED = dict(re.findall(r"^    (\w+) +([A-Z]+) +\S", keys.__doc__, re.MULTILINE))
SHAPE = re.compile(r"^KEYS\[\d+…?\] +\w+ +(?P<kind>[A-Z]+) +(?P<shapes>gk:.*)$", re.MULTILINE)
IN_HEADERS = sorted(
    (name, found["kind"], shape)
    for name, script in scripts.load().items()
    for found in SHAPE.finditer(script.source)
    for shape in re.findall(r"gk:\{P\}(?::\w+|:<[^>]+>)+", found["shapes"])
)


@pytest.mark.parametrize(
    ("built", "key"),
    [
        (thread(TAG, PHONE, USER), "gk:{506914307656634}:thread:106540352242922:4915112345678"),
        (thread(TAG, PHONE, "US.13491208655302741918"), "gk:{506914307656634}:thread:106540352242922:US.13491208655302741918"),
        (reservation(TAG, "01JD3"), "gk:{506914307656634}:reservation:01JD3"),
        (message(TAG, "wamid.HBgL=="), "gk:{506914307656634}:message:wamid.HBgL=="),
        (parked(TAG, "wamid.HBgL=="), "gk:{506914307656634}:parked:wamid.HBgL=="),
        (watch(TAG, PHONE), "gk:{506914307656634}:watch:106540352242922"),
        (
            meter(TAG, "service_messages", PHONE, "2026-10"),
            "gk:{506914307656634}:meter:service_messages:106540352242922:2026-10",
        ),
        (templates(TAG, WABA), "gk:{506914307656634}:templates:102290129340398"),
        (repeat(TAG, PHONE, "9f86d081"), "gk:{506914307656634}:repeat:106540352242922:9f86d081"),
        (spend(TAG, WABA, DAY), "gk:{506914307656634}:spend:102290129340398:2026-10-01"),
        (
            budget(TAG, "promo%20a", "waba", WABA, "USD", "2026-10"),
            "gk:{506914307656634}:budget:promo%20a:waba:102290129340398:USD:2026-10",
        ),
        (rate(TAG, PHONE), "gk:{506914307656634}:rate:106540352242922"),
        (pair(TAG, PHONE), "gk:{506914307656634}:pair:106540352242922"),
        (reached(TAG), "gk:{506914307656634}:reached"),
        (held(TAG), "gk:{506914307656634}:held"),
        (number(PHONE), "gk:{106540352242922}:number"),
        (numbers(WABA), "gk:{102290129340398}:numbers"),
        (wabas("gate"), "gk:{gate}:wabas"),
        (text(TAG, f"{TAG}-9f86d081"), "gk:{506914307656634}:text:506914307656634-9f86d081"),
        (waiting(TAG, PHONE, USER), "gk:{506914307656634}:waiting:106540352242922:4915112345678"),
        (holding(TAG), "gk:{506914307656634}:holding"),
        (holders("gate"), "gk:{gate}:holders"),
        (strays(TAG, PHONE, USER), "gk:{506914307656634}:strays:106540352242922:4915112345678"),
        (unnamed(TAG, PHONE, USER), "gk:{506914307656634}:unnamed:106540352242922:4915112345678"),
        (lapsing(TAG), "gk:{506914307656634}:lapsing"),
        (lapsers("gate"), "gk:{gate}:lapsers"),
    ],
    ids=lambda key: key.split(":")[2],
)
def test_a_key_is_spelled_so(built, key):
    """Each noun's key, as it stands in Redis."""
    assert key == built


@pytest.mark.parametrize("noun", BUILDERS)
def test_a_key_follows_the_grammar(noun):
    """A key is `gk:`, one tag in braces, its noun and its ids in the order of the arguments, whatever these hold."""
    tag, *ids = inspect.signature(BUILDERS[noun]).parameters
    given = {name: DAY if name == "day" else f"<{name}>" for name in ids}
    key = BUILDERS[noun](tag, *given.values())

    assert ":".join(["gk", f"{{{tag}}}", noun, *map(str, given.values())]) == key
    assert [tag] == HASH_TAG.findall(key)


def test_every_noun_is_documented():
    """The module's docstring lists each noun with its type, and none that is not built."""
    assert set(BUILDERS) == set(DOCUMENTED)
    assert {"HASH", "LIST", "SET", "STRING", "ZSET"} >= set(DOCUMENTED.values())


@pytest.mark.parametrize(("script", "kind", "shape"), IN_HEADERS)
def test_a_header_names_keys_that_are_built(script, kind, shape):
    """A script's header shows a key of a known noun, with its type and as many ids as it has."""
    _, _, noun, *ids = re.findall(r"\w+|\{P\}|<[^>]+>", shape)
    _, *named = inspect.signature(BUILDERS[noun]).parameters

    assert DOCUMENTED[noun] == kind
    assert len(named) == len(ids)


def test_a_lifetime_is_a_number_of_days_or_less():
    """Lifetimes are whole milliseconds above nothing; each outlives what it is for."""
    lifetimes = {name: value for name, value in vars(keys).items() if name.endswith("_MS")}

    assert [] == [name for name, value in lifetimes.items() if not (isinstance(value, int) and value > 0)]
    assert keys.PARKED_MS < keys.SETTLED_MS <= keys.UNNAMED_MS < keys.RESERVATION_MS < keys.METER_MS < keys.SPEND_MS
