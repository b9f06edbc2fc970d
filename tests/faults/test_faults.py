"""What holds while the ledger, Meta and the gates themselves break under load; `--long` for a thousand faults and README's table."""

from __future__ import annotations

import pytest
from books import Invariant
from faults import FAULTS
from table import BEGIN, README, RESULT, markdown, placed, read

TOLD = {
    Invariant.LOST: "Who was told that a message was taken may rely on it.",
    Invariant.DOUBLED: "No message is sent twice.",
    Invariant.WRONG: "Who was told that a message was not sent may rely on it.",
    Invariant.WEBHOOK: "What a webhook said is in the ledger once it was answered 200.",
    Invariant.BUDGET: "A budget counts what was sent, no more and no less.",
    Invariant.SLOW: "Without the ledger a send is decided within the ledger's time-out.",
    Invariant.RECOVERY: "All is well soon after a fault is over.",
    Invariant.ANSWER: "The gate answers as it promised, faults of its own included.",
    Invariant.UNANSWERED: "Whoever reached a gate that was not killed gets an answer.",
    Invariant.COLD: "An emptied ledger calls no window closed that it never saw.",
    Invariant.LOG: "No fault makes a gate write a traceback.",
}


@pytest.mark.parametrize("what", Invariant)
def test_it_holds_whatever_breaks(done, what):
    """What `TOLD` says of each invariant."""
    broken = done.broken(what)

    assert [] == broken, f"{TOLD[what]}\n{done.told}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_felt(done, fault):
    """Every fault was there, and some send met it: what nobody feels proves nothing."""
    times = [injection for injection in done.books.injections if injection.fault == fault.name]
    attempts = [attempt for letter in done.books.letters.values() for attempt in letter.attempts]
    felt = [a for a in attempts if fault.bites(a) and any(a.overlaps(i.began, i.well) for i in times)]

    assert times, f"{done.told}"
    assert felt, f"{done.told}"


def test_there_was_something_to_lose(done):
    """Sends were taken and refused, windows opened, messages delivered and failed, and budgets reserved and spent."""
    said = {attempt.says for letter in done.books.letters.values() for attempt in letter.attempts}
    told = {told.what for told in done.books.told if told.at}
    reserved, spent = (max(amounts) for amounts in zip(*done.books.sums, strict=True))

    assert (True, True) == (reserved > 0, spent > 0)
    assert {"taken", "not sent", "unknown", "nothing", "refused"} == said
    assert {"wrote", "delivered", "failed"} == told


def test_the_table_is_of_the_last_long_run():
    """No figure of README's table is typed by hand."""
    text = README.read_text("utf-8")
    written = placed(text, markdown(read(RESULT))) if RESULT.exists() and BEGIN in text else text

    assert (BEGIN in text) == RESULT.exists()
    assert written == text


def test_a_table_takes_the_place_of_the_one_before():
    """The table stands between its marks, which are made under its heading when they are not there."""
    first = placed("# A\n\n## Faults\n\n## B\n", "one")
    second = placed(first, "two")
    unheaded = placed("# A\n", "one")

    assert "# A\n\n## Faults\n\n<!-- faults: begin -->\none\n<!-- faults: end -->\n\n## B\n" == first
    assert first.replace("one", "two") == second
    assert "# A\n\n## Faults\n\n<!-- faults: begin -->\none\n<!-- faults: end -->\n" == unheaded
