"""What is laid out once for many sends is what each of them would have got alone: two that differ in anything are tried in turn."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from gatekeeper.core.accounts import Account, AuthenticationInternational, Template, TemplateCategory, TemplateStatus
from gatekeeper.core.checks import Given
from gatekeeper.core.data import data_dir
from gatekeeper.core.decision import decide
from gatekeeper.core.guards import Kind
from gatekeeper.core.outcome import Outcome
from gatekeeper.core.plan import Sent, plan
from gatekeeper.core.policy import Action, Budget, Counted, Limits, Period, Policy, Rule, Window
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.vocabulary import CONVERSATION, Mode

BOOK = Rulebook.load(data_dir("config"))
YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ABROAD = AuthenticationInternational(start_time=dt.datetime(2025, 1, 1, tzinfo=dt.UTC), primary_location="DE")
ACCOUNTS = [
    Account(waba_id="1", phone_number_ids=("11", "12")),
    Account(waba_id="2", phone_number_ids=("21",), timezone="America/New_York", currency="EUR", direct_send=True),
    Account(waba_id="3", phone_number_ids=("31",), ai_provider=True, authentication_international=ABROAD),
]
TEMPLATES = [
    None,
    *(Template(name="a", language="en", category=category) for category in TemplateCategory),
    Template(name="a", language="en", category=TemplateCategory.MARKETING, max_price=70_000),
    Template(name="b", language="en", category=TemplateCategory.UTILITY, pending=TemplateCategory.MARKETING),
    Template(name="b", language="en", category=TemplateCategory.UTILITY, status=TemplateStatus.PAUSED),
]
POLICIES = [
    Policy(),
    Policy(
        rule=(
            Rule(name="by day", window=Window.OPEN, category=("service",), action=Action.ALLOW),
            Rule(name="dear", price_above=50_000, category=("marketing",)),
            Rule(name="told", caller=("crm",), mode=Mode.ANNOTATE),
            Rule(name="a template", template=("b",)),
        ),
        budget=(
            Budget(name="of all", scope=Counted.WABA, period=Period.DAY, limit=1_000_000),
            Budget(name="each", scope=Counted.RECIPIENT, period=Period.MONTH, limit=1_000_000, mode=Mode.ANNOTATE),
        ),
        limits=Limits(throughput=80, pair_rate=True, messaging_limit=1000, marketing_hold=True),
    ),
]
INSTANTS = [
    dt.datetime(2023, 5, 1, tzinfo=dt.UTC),
    dt.datetime(2025, 6, 30, 23, 30, tzinfo=dt.UTC),
    *(YEAR + dt.timedelta(days=days, hours=hour) for days in (0, 180, 272, 273, 330) for hour in (3, 23)),
]


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """All that a plan is made of."""

    sent: Sent
    account: Account = ACCOUNTS[0]
    template: Template | None = None
    caller: str = ""
    at: dt.datetime = YEAR


def text(**changes):
    return Asking(sent=Sent(**{"phone_number_id": "11", "recipient": GERMAN, **changes}))


def of_template(template, **changes):
    sent = {"is_template": True, "template": template.name, "language": "en"} if template else {}
    return msgspec.structs.replace(text(**sent, **changes), template=template)


def with_sent(asking, **changes):
    return msgspec.structs.replace(asking, sent=msgspec.structs.replace(asking.sent, **changes))


def relatives(asking):
    """The same but for one thing."""
    yield asking
    for field, values in OTHERWISE.items():
        yield from (msgspec.structs.replace(asking, **{field: value}) for value in values)
    for field, values in SENT_OTHERWISE.items():
        yield from (with_sent(asking, **{field: value}) for value in values)


GERMAN = "4915100000001"
OTHERWISE = {"account": ACCOUNTS, "template": TEMPLATES, "caller": ["crm"], "at": INSTANTS}
SENT_OTHERWISE = {
    "phone_number_id": ["12"],
    "recipient": ["4915100000002", "16505551234", "919876543210", "US.13491208655302741918"],
    "billed": ["16505551234"],
    "is_message": [False],
    "is_template": [True, False],
    "is_reaction": [True],
    "group": [True],
    "direct_send": ["utility", "authentication"],
    "marketing_api": [True],
    "template": ["a", "b"],
    "given": [Given(recipient=GERMAN), Given(recipient=GERMAN, sender=GERMAN)],
}
ASKINGS = {"text": text(), **{f"template {n}": of_template(template) for n, template in enumerate(TEMPLATES[1:])}}
OUTCOME = Outcome(
    status="reserved",
    bar=0,
    unseen=False,
    cold=False,
    case=3,
    reading=10,
    told=0,
    cost=0,
    sure=1,
    most=0,
    open=("csw", 1_790_000_000_000),
    rule=0,
    guard=0,
    wait=0,
    warned=(),
    looked=(),
)
OUTCOME_OTHERWISE = {
    "bar": [1],
    "unseen": [True],
    "cold": [True],
    "case": [1, 2, 4, 5, 6],
    "reading": [0, 998, 999, 1000, 250_000, 10_000_000],
    "told": [10, 250_000, 10_000_000],
    "cost": [-1, 50_000],
    "most": [-1, 50_000, 60_000],
    "open": [
        (),
        ("csw", 1_790_000_000_001),
        ("fep", 1_790_000_000_000),
        ("csw", 1_790_000_000_000, "fep", 1_791_000_000_000),
        (CONVERSATION + "service", 1_790_000_000_000),
        (CONVERSATION + "utility", 1_790_000_000_000),
        (CONVERSATION + "utility", 1_790_000_000_001),
    ],
    "rule": [1, 2],
    "guard": [1, 2],
    "wait": [1500],
    "warned": [(1,), (2,)],
}


TWICE = ["case", "guard"]


def findings(outcome):
    """The same but for one thing, or for two."""
    changes = [{field: value} for field, values in OUTCOME_OTHERWISE.items() for value in values]
    once = [msgspec.structs.replace(outcome, **change) for change in changes]
    twice = [
        msgspec.structs.replace(one, **{field: value}) for one in once for field in TWICE for value in OUTCOME_OTHERWISE[field]
    ]
    return [outcome, *once, *twice]


def fitted(outcome, planned):
    """An outcome that this plan can have."""
    can_fail = sum(guard.kind is not Kind.TURN for guard in planned.guards)  # they come first
    return msgspec.structs.replace(
        outcome,
        bar=min(outcome.bar, len(planned.bars)),
        case=min(outcome.case, len(planned.rows)),
        rule=min(outcome.rule, len(planned.rules)),
        guard=min(outcome.guard, can_fail),
        warned=tuple(n for n in outcome.warned if n <= can_fail),
    )


def planned(asking, policy, laid=None):
    sent, at = asking.sent, int(asking.at.timestamp() * 1000)
    made = plan(sent, asking.account, asking.template, BOOK, now=at, policy=policy, caller=asking.caller, laid=laid)
    return msgspec.structs.replace(made, decided={})


@pytest.mark.parametrize("policy", POLICIES, ids=["no policy", "a policy"])
@pytest.mark.parametrize("asking", ASKINGS.values(), ids=ASKINGS)
def test_a_plan_says_nothing_of_another_send(asking, policy):
    """Whichever of two comes first."""
    wrong = []
    for one in relatives(asking):
        for first, second in ((asking, one), (one, asking)):
            laid = {}
            planned(first, policy, laid)
            wrong += [(first, second)] * (planned(second, policy) != planned(second, policy, laid))

    assert [] == wrong


@pytest.mark.parametrize("enforce", [True, False])
@pytest.mark.parametrize("policy", POLICIES, ids=["no policy", "a policy"])
@pytest.mark.parametrize("at", INSTANTS, ids=str)
@pytest.mark.parametrize("asking", ASKINGS.values(), ids=ASKINGS)
def test_a_decision_says_nothing_of_another_one(asking, at, policy, enforce):
    """Neither of its windows nor of what was free, or was found."""
    made = planned(msgspec.structs.replace(asking, at=at), policy)
    found = list(dict.fromkeys(fitted(one, made) for one in findings(OUTCOME)))
    alone = [decide(msgspec.structs.replace(made, decided={}), one, enforce=enforce) for one in found]
    together = [decide(made, one, enforce=enforce) for one in found]
    backwards = msgspec.structs.replace(made, decided={})
    again = [decide(backwards, one, enforce=enforce) for one in reversed(found)]

    assert alone == together
    assert alone == again[::-1]
