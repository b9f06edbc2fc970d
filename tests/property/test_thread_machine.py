"""One thread lived step by step, beside a model of it: decisions, settlements, clocks and meters agree at every step."""

from __future__ import annotations

import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from story import MINUTE, ONE, USER, WABA, h
from thread_model import CBP, DAY, FREE, PMP, REACTION, TEXT, Thread
from world import FOR_EVER, bounded, confirmed, running

from gatekeeper.core.vocabulary import micros
from gatekeeper.ledger import keys

UNDELIVERABLE, WINDOW_CLOSED, OPTED_OUT = 131026, 131047, 131050
MONTHS = {CBP: ("2023-09", "2023-10"), PMP: ("2026-10", "2026-11")}
METERS = {CBP: ("service_conversations", WABA), PMP: ("service_messages", ONE)}
# Both sides of everything that ends by itself, and moments in between.
STEPS = st.sampled_from([0, 1000, MINUTE, h(1), h(5), h(23), h(24) - 1000, h(24), h(48), h(72) - 1000, h(72), 4 * DAY])


class Life(RuleBasedStateMachine):
    """The steps that one thread may take; *day* and *world* are set by the test."""

    day: str
    world = None

    on_its_way, settled = Bundle("on its way"), Bundle("settled")

    @initialize(left=st.integers(0, 3))
    def begins(self, left):
        self.at = 0
        self.story = self.world.story(self.day)
        self.model = Thread(self.day, FREE - left)
        self.run(self.story.used(FREE - left))

    def run(self, course):
        return self.world.run(course)

    # ----------------------------------------------------------------------------------------------------- time, user

    @rule(step=STEPS)
    def time_passes(self, step):
        self.at += step

    @rule(ad=st.booleans())
    def the_user_writes(self, ad):
        self.run(self.story.clicked(self.at) if ad else self.story.wrote(self.at))
        self.model.writes(self.at, ad=ad)

    @rule()
    def the_user_calls(self):
        self.run(self.story.called(self.at))
        self.model.writes(self.at, ad=False)

    @rule(stop=st.booleans())
    def the_user_prefers(self, stop):
        self.run(self.story.prefers(self.at, "stop" if stop else "resume"))
        (self.model.stops if stop else self.model.resumes)(self.at)

    # ------------------------------------------------------------------------------------------------------------ us

    async def _send(self, product):
        if product == TEXT:
            return await self.story.text(self.at, answered=False)
        if product == REACTION:
            return await self.story.reaction(self.at, answered=False)
        return await self.story.template(self.at, product, answered=False)

    @rule(target=on_its_way, product=st.sampled_from(["marketing", "utility", TEXT, TEXT, REACTION]), answered=st.booleans())
    def we_send(self, product, answered):
        """The quote is the model's; what is let out is on its way, its answer perhaps still to come."""
        quote = self.model.quote(product, self.at)
        sent = self.run(self._send(product))
        note(f"{self.at}: {product} {sent['reason']} {sent['price']}")
        assert (quote.blocked, quote.reason, quote.opens, quote.charged) == (sent.blocked, *sent.of("reason", "opens", "charged"))
        if quote.blocked:
            return multiple()
        assert (quote.price, quote.bound, quote.left) == (micros(sent.price), *sent.of("price_bound", "free_remaining"))
        self.model.sends(sent.id, product, self.at)
        if answered:
            assert [] == self.run(sent.answered(self.at))
        return sent, answered

    @rule(message=consumes(on_its_way))
    def meta_refuses(self, message):
        """Only what it has not accepted yet."""
        sent, answered = message
        if answered:
            self._settles(sent, "failed", UNDELIVERABLE)
        else:
            self.run(sent.refused(self.at))
            self.model.is_refused(sent.id)

    # ----------------------------------------------------------------------------------------------------------- Meta

    @rule(message=on_its_way)
    def it_is_sent(self, message):
        sent, answered = message
        if answered:
            assert self.run(sent.sent(self.at)) is None

    @rule(
        target=settled,
        message=consumes(on_its_way),
        word=st.sampled_from(["delivered", "delivered", "read", "failed"]),
        code=st.sampled_from([UNDELIVERABLE, WINDOW_CLOSED, OPTED_OUT]),
    )
    def it_settles(self, message, word, code):
        sent, answered = message
        self._settles(sent, word, code, answered=answered)
        return sent, word, code, self.at

    def _settles(self, sent, word, code, *, answered=True):
        async def course():
            found = await (sent.failed(self.at, code) if word == "failed" else sent.status(word, self.at))
            if answered:
                return found
            assert found is None  # it overtook the answer
            return (await sent.answered(self.at))[0]

        found = self.run(course())
        if word == "failed":
            self.model.fails(sent.id, self.at, code)
            assert (False, None, False, "0") == found.of("delivered", "opened", "charged", "price")
        else:
            expected = self.model.lands(sent.id, self.at)
            assert (True, *expected) == (found.delivered, found.opened, found.charged, micros(found.price))

    @rule(message=settled)
    def meta_repeats_itself(self, message):
        sent, word, code, at = message
        again = sent.failed(at, code, told=self.at) if word == "failed" else sent.status(word, at, told=self.at)
        assert self.run(again) is None

    @rule(message=settled)
    def it_is_read_afterwards(self, message):
        sent, word, _, _ = message
        if word != "failed":
            assert self.run(sent.read(self.at)) is None

    # ----------------------------------------------------------------------------------------------------------- always

    @invariant()
    def clocks_agree(self):
        if hasattr(self, "model"):
            now = self.story.start + self.at
            found = running(confirmed(self.world.fields(self.story, USER, ONE)), now)
            found.pop("stop", None)
            assert self.model.open(self.at) == {clock: ends - self.story.start for clock, ends in found.items()}

    @invariant()
    def meters_agree(self):
        if hasattr(self, "model"):
            names = {keys.meter(self.story.account.portfolio, *METERS[self.day], month): month for month in MONTHS[self.day]}
            read = {
                ("first" if month == MONTHS[self.day][0] else "second"): tuple(
                    int(value or 0) for value in self.world.redis.hmget(name, "settled", "reserved")
                )
                for name, month in names.items()
            }
            assert self.model.counts() == {month: reads for month, reads in read.items() if any(reads)}

    def teardown(self):
        if self.world is not None and hasattr(self, "model"):
            assert [] == [key for key, (left, _) in self.world.lifetimes().items() if left == FOR_EVER]


@pytest.mark.parametrize("day", [CBP, PMP], ids=["2023", "2026"])
def test_a_thread_lives_as_its_model(world, day):
    """Whatever the user, we and Meta do, step by step."""
    life = type("Life", (Life,), {"day": day, "world": world})
    run_state_machine_as_test(life, settings=bounded(60))
