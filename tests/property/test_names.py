"""
One user under several names, beside the same user under one.

What was decided or settled before two names were known to be one user's was so of two users, and stays so; apart from that the names
make no difference. Nor does the order in which Meta tells them, except that a name which changes hands is the newest user's.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from histories import HEARD, account, disorders, event, histories
from hypothesis import given, note
from hypothesis import strategies as st
from story import MINUTE, ONE, WABA
from world import assumed, bounded, confirmed, running

from gatekeeper.core.effects import Change
from gatekeeper.core.recipients import Link, Names, answered, exactness
from gatekeeper.ledger import calls, keys
from gatekeeper.meta import events as meta

NUMBER, TWIN = "5541988887777", "554188887777"
BSUID, PARENT = "BR.13491208655302741918", "BR.ENT.11815799212886844830"
ALL = Names(user_id=BSUID, parent_user_id=PARENT, wa_id=NUMBER)
ADDRESSES = (NUMBER, TWIN, "+55 (41) 98888-7777", BSUID, "br" + BSUID[2:], PARENT)
ENDS = ("delivered", "read", "failed")
_HERE = {"waba_id": WABA, "phone_number_id": ONE}

one_of_them = st.sampled_from([Names(wa_id=NUMBER), Names(wa_id=TWIN), Names(user_id=BSUID), Names(parent_user_id=PARENT)])
some_of_them = st.builds(
    lambda number, user_id, parent: Names(wa_id=number, user_id=user_id, parent_user_id=parent),
    st.sampled_from([None, NUMBER, TWIN]),
    st.sampled_from([None, BSUID]),
    st.sampled_from([None, PARENT]),
).filter(lambda names: names.known)


# --------------------------------------------------------------------------------------- one history under many names


class Telling(NamedTuple):
    """How a history is told: whom each send is addressed to, by which names Meta calls the user, and when it gives all of them."""

    addresses: list[str]
    called: list[Names]
    introduced: int


ONE_NAME = Telling([NUMBER], [Names(wa_id=NUMBER)], 0)


@st.composite
def tellings(draw, *, latest):
    addresses = draw(st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=5))
    called = draw(st.lists(draw(st.sampled_from([one_of_them, some_of_them])), min_size=1, max_size=7))
    return Telling(addresses, called, draw(st.integers(0, latest)))


def renamed(told_event, names):
    """The same event, of a user who is called *names*."""
    number = "recipient_id" if isinstance(told_event, meta.Status) else "wa_id"
    return msgspec.structs.replace(
        told_event, **{number: names.wa_id}, user_id=names.user_id, parent_user_id=names.parent_user_id
    )


class Life:
    """A history on its way, told in one manner."""

    def __init__(self, world, history, telling):
        self.world, self.history, self.telling = world, history, telling
        self.story = world.story(history.day, **account(history))
        self.sent = []
        self._called = 0

    async def live(self, webhooks):
        """The sends, then what Meta says; it gives all names before the send or webhook of that number. The settlements come back."""
        found, steps = [], [*self.history.messages, *webhooks]
        await self.story.used(1000 - self.history.left)
        for n, step in enumerate(steps):
            if n == self.telling.introduced:
                await self.introduce()
            if n == 0:
                first = meta.Inbound(
                    wamid="wamid.first", at=self.story.start - MINUTE, type="text", from_ad=self.history.ad, **_HERE
                )
                await self.hear([first], now=self.story.start - MINUTE)
            if n < len(self.history.messages):
                self.sent.append(await self.send(step, self.telling.addresses[n % len(self.telling.addresses)]))
            else:
                heard = [event(self.history, each, self.story, self.sent) for each in step]
                found += await self.hear(heard, now=self.story.start + HEARD * MINUTE)
        if self.telling.introduced >= len(steps):
            await self.introduce()
        return found

    async def introduce(self):
        said = meta.SystemChange(
            kind="user_identity_changed",
            at=self.story.start - MINUTE,
            wa_id=ALL.wa_id,
            user_id=ALL.user_id,
            parent_user_id=ALL.parent_user_id,
            **_HERE,
        )
        await self.story.engine.absorb([said], now=self.story.start - MINUTE)

    async def hear(self, events, *, now):
        called = []
        for each in events:
            called.append(renamed(each, self.telling.called[self._called % len(self.telling.called)]))
            self._called += 1
        return await self.story.engine.absorb(called, now=now)

    async def send(self, message, address):
        at = message.at * MINUTE
        to, body = (None, {"recipient": address}) if "." in address else (address, {})
        if message.product == "text":
            return await self.story.text(at, to, body=body)
        return await self.story.template(at, message.product, to, body=body)

    def fields(self, name):
        return self.world.run(self.story.engine.ledger.thread(self.story.account.portfolio, ONE, name))

    def comes_to(self, settled):
        """What is left in the end, under any of the names."""
        fields, now = self.fields(NUMBER), self.story.start + HEARD * MINUTE
        return {
            "open": {clock: (ends - self.story.start) / MINUTE for clock, ends in running(confirmed(fields), now).items()},
            "hopes of what is settled": {each.id for each in settled}.intersection(fields.values()),
            "settled": [(each.id, each.at - self.story.start, msgspec.structs.asdict(each) | {"at": 0}) for each in settled],
            "meters": self.world.meters(),
        }


def lived(world, history, telling, webhooks):
    """The sends' decisions, and what the history comes to."""
    life = Life(world, history, telling)
    settled = list({each.id: each for each in world.run(life.live(webhooks))}.values())  # the last of each counts
    return life, [dict(sent) for sent in life.sent], life.comes_to(settled)


@bounded(120)
@given(data=st.data(), history=histories(), telling=tellings(latest=0))
def test_names_that_are_known_make_no_difference(world, data, history, telling):
    """Every decision, settlement, clock and count is that of a user with one name, under whichever of them one looks."""
    webhooks = data.draw(disorders(history))
    _, decided, came_to = lived(world, history, ONE_NAME, webhooks)
    life, many_decided, many_came_to = lived(world, history, telling, webhooks)
    note(f"{telling}")

    assert decided == many_decided
    assert came_to == many_came_to
    assert [life.fields(NUMBER)] * 3 == [life.fields(name) for name in (TWIN, BSUID, PARENT) if name != TWIN] + [
        life.fields(NUMBER)
    ]


@bounded(200)
@given(data=st.data(), history=histories())
def test_names_that_become_known_before_the_first_end_settle_as_one(world, data, history):
    """
    Whatever was sent and told under two users' names before: only what was delivered or failed by then was so as theirs.

    The quotes may differ until then, and a text may be refused that the window of the other name would have let out.
    """
    templates = [message._replace(product="utility") if message.product == "text" else message for message in history.messages]
    history = history._replace(messages=tuple(templates))
    webhooks = data.draw(disorders(history))
    early, late = [], []
    for each in (each for webhook in webhooks for each in webhook):
        heard = early if each.what not in ENDS and data.draw(st.booleans()) else late
        heard.append([each])
    telling = data.draw(tellings(latest=len(history.messages) + len(early)))
    note(f"{telling}")
    _, _, came_to = lived(world, history, ONE_NAME, early + late)
    _, _, many_came_to = lived(world, history, telling, early + late)

    assert came_to == many_came_to


@bounded(120)
@given(data=st.data(), history=histories())
def test_nothing_is_lost_whenever_names_become_known(world, data, history):
    """Each send settles once, gives back what it held and leaves nothing assumed; what the user did counts under every name."""
    webhooks = data.draw(disorders(history))
    telling = data.draw(tellings(latest=len(history.messages) + len(webhooks)))
    note(f"{telling}")
    _, _, came_to = lived(world, history, ONE_NAME, webhooks)
    wishes = {clock: came_to["open"].get(clock) for clock in ("csw", "stop", "held")}
    life, decided, many_came_to = lived(world, history, telling, webhooks)
    ended = {sent.id for sent, message in zip(life.sent, history.messages, strict=True) if message.end != "pending"}
    let_out = {sent["id"] for sent in decided if sent["verdict"] == "allow"}
    fields = [life.fields(name) for name in (NUMBER, BSUID, PARENT)]
    late = any(message.code != 131026 and message.end == "failed" for message in history.messages)

    assert sorted(ended & let_out) == sorted(each[0] for each in many_came_to["settled"])
    assert set() == many_came_to["hopes of what is settled"]
    assert [fields[0]] * 3 == fields
    if not late:  # what a refused or failed message says of the window or the user depends on which were let out
        assert wishes == {clock: many_came_to["open"].get(clock) for clock in wishes}
    if all(message.end != "pending" for message in history.messages):
        assert {} == {clock: ends for clock, ends in assumed(fields[0]).items() if fields[0].get(f"{clock}&") in let_out}
        assert {0} >= {reserved for _, reserved in many_came_to["meters"].values()}


# ------------------------------------------------------------------------------------------------- clocks of two names

NOW, LENGTH = 1_800_000_000_000, 100  # minutes


class Step(NamedTuple):
    """A clock is opened or denied under a name, or two names are linked; so long after the beginning."""

    at: int
    kind: str
    clock: str
    name: str


steps = st.builds(
    Step,
    st.integers(0, 2 * LENGTH),
    st.sampled_from(["open", "open", "shut", "link"]),
    st.sampled_from(["x", "x", "y"]),
    st.sampled_from([NUMBER, PARENT, BSUID]),
)


async def opened_by(ledger, told_steps, *, one_name):
    """The ends of the clocks that count, after all names have become one."""
    last = max((step.at for step in told_steps), default=0)
    now = NOW + last * MINUTE
    for step in [*told_steps, *(Step(last, "link", "", name) for name in (NUMBER, PARENT))]:
        at = NOW + step.at * MINUTE
        if step.kind != "link":
            change = Change(kind=step.kind, clock=step.clock, at=at, ends=at + LENGTH * MINUTE)
            thread = keys.thread("P", ONE, BSUID if one_name else step.name)
            await ledger.run([calls.observe(thread, [change], now=now)])
        elif not one_name and step.name != BSUID:
            await ledger.run([calls.link("P", ONE, Link(step.name, BSUID), now=now, said=at)])
    return running(confirmed(await ledger.thread("P", ONE, BSUID)), now)


@bounded(300)
@given(told_steps=st.lists(steps, max_size=8))
def test_clocks_are_merged_as_if_all_had_been_said_of_one(world, told_steps):
    """Nothing that was denied opens again, and nothing that opened later is denied: in any order, linked at any moment."""
    came_to = []
    for one_name in (True, False):
        world.redis.flushall()
        ordered = sorted(told_steps, key=lambda step: step.at) if one_name else told_steps
        came_to.append(world.run(opened_by(world.ledger, ordered, one_name=one_name)))

    assert came_to[0] == came_to[1]


# -------------------------------------------------------------------------------------------------- who names belong to


class Told(NamedTuple):
    """Something that Meta told of a user, under some names, at a moment: it opened a clock of its own."""

    at: int
    links: list[Link]
    names: list[str]
    clock: str


LONG = 3_600_000


async def take(ledger, tellings_):
    for each in tellings_:
        batch = [calls.link("P", ONE, link, now=NOW, said=NOW - LONG + each.at) for link in each.links]
        change = Change(kind="open", clock=each.clock, at=NOW - LONG + each.at, ends=NOW + LONG)
        batch.append(calls.observe(keys.thread("P", ONE, each.names[0]), [change], now=NOW))
        await ledger.run(batch)


async def clocks(ledger, name):
    """The clocks that are found under a name."""
    return {field for field in await ledger.thread("P", ONE, name) if field.isalnum()}


@st.composite
def populations(draw):
    """Numbers that come to belong to one user after another, each with a BSUID and a parent of its own, and what is told of them."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        for holder in range(draw(st.integers(1, 3))):
            user = f"{number}{holder}"
            for _ in range(draw(st.integers(1, 3))):
                names = Names(
                    user_id=f"DE.{user}",
                    parent_user_id=draw(st.sampled_from([None, f"DE.ENT.{user}"])),
                    wa_id=draw(st.sampled_from([None, f"4915112345{number}"])),
                )
                at = 1000 * holder + draw(st.integers(0, 999))
                found.append(Told(at, names.links, names.known, f"{user}x{len(found)}"))
    return draw(st.permutations(found + draw(st.lists(st.sampled_from(found), max_size=4))))


@bounded(200)
@given(told_=populations())
def test_a_number_is_its_newest_users(world, told_):
    """
    In whatever order words come: a BSUID finds all of its user's and nothing of anybody else's, and so does its parent; a number
    finds what its newest user's BSUID does.
    """
    world.redis.flushall()
    world.run(take(world.ledger, told_))
    users = {each.names[0] for each in told_}
    own = {user: {each.clock for each in told_ if each.names[0] == user} for user in users}
    newest = {}
    for each in sorted(told_, key=lambda each: each.at):
        for name in each.names[1:]:
            newest[name] = each.names[0]

    assert own == {user: world.run(clocks(world.ledger, user)) for user in users}
    assert {name: own[user] for name, user in newest.items()} == {name: world.run(clocks(world.ledger, name)) for name in newest}


@st.composite
def acquaintances(draw):
    """Users with a BSUID, a parent, two numbers and ways to dial them, of whom Meta tells any names at a time."""
    found = []
    for user in range(draw(st.integers(1, 3))):
        own, parent = f"DE.{user}", f"DE.ENT.{user}"
        numbers = [f"491511234{user}{n}" for n in range(2)]
        for _ in range(draw(st.integers(1, 6))):
            if draw(st.booleans()):
                dialled = f"00{draw(st.sampled_from(numbers))}"
                user_id, wa_id = draw(st.sampled_from([(None, dialled[2:]), (own, dialled[2:]), (own, None)]))
                links = [*Names(user_id=user_id, wa_id=wa_id).links, answered(dialled, wa_id, user_id)]
                names = list(dict.fromkeys(name for link in links for name in (link.thread, link.name)))
            else:
                told_names = Names(
                    user_id=draw(st.sampled_from([None, own])),
                    parent_user_id=draw(st.sampled_from([None, parent])),
                    wa_id=draw(st.sampled_from([None, *numbers])),
                )
                links, names = told_names.links, told_names.known
            if names:
                found.append(Told(draw(st.integers(0, 9)), links, names, f"{user}x{len(found)}"))
    return draw(st.permutations(found))


@bounded(200)
@given(told_=acquaintances())
def test_whatever_is_said_to_be_one_user_is_one_thread(world, told_):
    """Names that Meta connects, straight or over others, find all that was told under any of them, and names that it does not, nothing."""
    world.redis.flushall()
    world.run(take(world.ledger, told_))
    groups = []
    for each in told_:
        joined = [group for group in groups if group & set(each.names)]
        groups = [group for group in groups if group not in joined] + [set(each.names).union(*joined)]
    expected = {
        name: {each.clock for each in told_ if group & set(each.names)} for group in groups for name in group if exactness(name)
    }

    assert expected == {name: world.run(clocks(world.ledger, name)) for name in expected}
