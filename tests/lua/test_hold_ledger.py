"""The ledger's own words for texts that wait, on one Redis and on a cluster."""

from __future__ import annotations

from gatekeeper.core.effects import Change
from gatekeeper.core.holding import Entry, Text, TextState, Turn
from gatekeeper.core.recipients import Link
from gatekeeper.ledger import calls, keys
from gatekeeper.ledger.holding import Found, List, Place, Step, Texts

NOW, HOUR, DAY = 1_700_000_000_000, 3_600_000, 86_400_000
USER, BY_ID = List("7", "1", "49151"), List("7", "1", "DE.49:x")


def made(name, deadline=DAY):
    entry = Entry(owner=name, most=9, deadline=NOW + deadline, clock="w", patience=1, look=HOUR, lifetime=DAY)
    return Text(id=f"7-{name}", entry=entry, request=b"\x00says", secret=b"\xfftoken")


async def take(texts, where=USER, owner="s1", at=0):
    return await texts.take(where, owner=owner, clock="w", patience=HOUR, look=HOUR, now=NOW + at)


async def course(ledger):
    """Two texts wait under one name of a user, who answers under another; one is sent, the other expires."""
    texts = Texts(ledger)
    heard = [await texts.queue(USER, made("a"), Step.ASK, now=NOW), await texts.queue(USER, made("a"), Step.ASKED, now=NOW)]
    heard.append(await texts.queue(USER, made("b", HOUR), Step.ASK, now=NOW))
    await ledger.run([calls.link("7", "1", Link("49151", "DE.49:x"), now=NOW, said=NOW)])
    shut = await take(texts)
    opened = Change(kind="open", clock="w", at=NOW, ends=NOW + DAY)
    await ledger.run([calls.observe(keys.thread("7", "1", "DE.49:x"), [opened], now=NOW)])
    woken = await texts.wake([BY_ID], now=NOW)
    due = await texts.due("7", now=NOW), await texts.tags(now=NOW)
    first = await take(texts, BY_ID)
    moved = await texts.move_on(BY_ID, first.text, Turn.SEND, now=NOW, lease=HOUR, due=HOUR)
    sent = await texts.move_on(BY_ID, first.text, Turn.TAKEN, now=NOW, told={"wamid": "wamid.1"})
    last = await take(texts, BY_ID, at=HOUR)
    return {
        "heard": heard,
        "shut": (shut.found, shut.list),
        "woken": woken,
        "due": due,
        "first": (first.found, first.text.id, first.text.request, first.text.secret, first.text.deadline),
        "moved": (moved, sent),
        "last": (last.found, last.expired, last.lost),
        "told": [await texts.told("7", f"7-{name}") for name in "abc"],
        "left": await texts.due("7", now=NOW, everything=True),
    }


def held(found):
    """Hold a course to what it has to be."""
    a, b, nobody = found.pop("told")

    assert {
        "heard": [(Place.FIRST, ""), (Place.JOINED, ""), (Place.JOINED, "")],
        "shut": (Found.SHUT, BY_ID),
        "woken": 1,
        "due": (([BY_ID], 1), ["7"]),
        "first": (Found.CLAIMED, "7-a", b"\x00says", b"\xfftoken", NOW + DAY),
        "moved": (True, True),
        "last": (Found.EMPTY, ["7-b"], []),
        "left": ([], 0),
    } == found
    assert ((TextState.SENT, "wamid.1"), (TextState.EXPIRED, None), None) == ((a.state, a.wamid), (b.state, b.wamid), nobody)


async def test_a_course_on_one_redis(ledger):
    """Asked, joined, moved, woken, sent, expired."""
    held(await course(ledger))


async def test_a_course_is_the_same_on_a_cluster(cluster_ledger):
    """Every key that a step touches is in one slot, but for the index of tags, which is asked by itself."""
    held(await course(cluster_ledger))


async def test_a_tag_is_remembered_as_long_as_the_last_text_of_it(ledger):
    """So that every gate looks after it, whatever its configuration names."""
    texts = Texts(ledger)
    await texts.queue(USER, made("a", DAY), Step.ASK, now=NOW)
    await texts.queue(USER, made("b", HOUR), Step.ASK, now=NOW)
    until = NOW + 2 * DAY

    assert [["7"], ["7"], []] == [await texts.tags(now=at) for at in (NOW, until, until + 1)]
