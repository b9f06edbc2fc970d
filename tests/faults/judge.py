"""
What callers and Meta saw, held against each other: what was lost, sent twice, told wrong, told late, or not told at all.

A send by a key is excused from having gone out once only when the ledger forgot the key between the two.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right

from books import Attempt, Books, Invariant, Letter, Says, now
from house import LEDGER_TIMEOUT_S, House

SLACK_MS = 250
"""Several processes share two cores: a time-out that is due is seen a little later."""
KEEP_ALIVE_RACE_S = 0.005
CALM_S, STRAINED_S = 1.5, 3.0
PROMISED = (500, 502, 503, 504)


def judge(books: Books) -> None:
    """Hold every letter's answers against what arrived at Meta."""
    for letter in books.letters.values():
        _once(books, letter)
        for attempt in letter.attempts:
            _truly(books, letter, attempt)
            _in_bounds(books, attempt)
    _recovered(books)


def _once(books: Books, letter: Letter) -> None:
    for first, second in itertools.pairwise(letter.taken):
        if letter.key and books.forgetting(first.at, second.at):
            books.excuse("sent twice by a key that the ledger forgot")
            continue
        books.broke(Invariant.DOUBLED, f"{letter.marker}: {first.tag} and {second.tag}", first.at, second.at)
    never = not any(a.whole for a in letter.arrivals) and not any(a.says in (Says.NOTHING, Says.UNKNOWN) for a in letter.attempts)
    if letter.key and never and letter.attempts[-1].reason == "idempotency_conflict":
        books.excuse("a key of a send that never was answered 409")


def _truly(books: Books, letter: Letter, attempt: Attempt) -> None:
    """Whether what the caller was told of this attempt is so."""
    own = [arrival for arrival in letter.arrivals if arrival.tag == attempt.tag]
    taken = letter.taken if attempt.replayed else [arrival for arrival in own if arrival.taken]
    if attempt.says is Says.TAKEN and not taken:
        books.broke(Invariant.LOST, f"{attempt.tag} was answered {attempt.status}", attempt.began, attempt.ended)
    arrived = taken or (attempt.ours and any(arrival.whole for arrival in own))
    if attempt.says in (Says.NOT_SENT, Says.REFUSED) and arrived and not attempt.replayed:
        books.broke(Invariant.WRONG, f"{attempt.tag}: {attempt.status} {attempt.details}", attempt.began, attempt.ended)


def _in_bounds(books: Books, attempt: Attempt) -> None:
    """Whether an answer came, in time, and is one of those that the gate may give."""
    if attempt.says is Says.NOTHING and attempt.ended and not _cut(books, attempt):
        text = f"{attempt.tag} at {attempt.gate}: {attempt.error} after {attempt.ended - attempt.began:.3f} s"
        books.broke(Invariant.UNANSWERED, text, attempt.began, attempt.ended)
    if attempt.degraded and not is_repeat(attempt) and attempt.decide_ms > LEDGER_TIMEOUT_S * 1000 + SLACK_MS:
        if _strained(books, attempt.ended):
            books.excuse("a degraded answer late, while the machine kept us waiting")
        else:
            books.broke(Invariant.SLOW, f"{attempt.tag}: {attempt.decide_ms:.0f} ms", attempt.began, attempt.ended)
    upstreams_own = any(a.tag == attempt.tag and a.mood == "500" for a in attempt.letter.arrivals)
    if attempt.status >= 500 and (attempt.status not in PROMISED or (attempt.status == 500 and not upstreams_own)):
        books.broke(Invariant.ANSWER, f"{attempt.tag}: {attempt.status} {attempt.details}", attempt.began, attempt.ended)
    if attempt.reason == "outside_customer_service_window":
        _closed(books, attempt)


def _closed(books: Books, attempt: Attempt) -> None:
    """Whether a window may be called closed: of a customer who wrote it may not be, and while the ledger is cold none."""
    if attempt.state != "warm":
        books.broke(Invariant.COLD, f"{attempt.tag} was blocked while {attempt.state}", attempt.began, attempt.ended)
    window = attempt.letter.window
    if window is not None and not books.forgetting(window.began, attempt.ended):
        books.broke(Invariant.WEBHOOK, f"{attempt.tag}: the window was told of", window.began, window.at)


def _recovered(books: Books) -> None:
    """Whether all was well again in time: after a fault of the ledger, when the last send was decided without it."""
    attempts = sorted((a for letter in books.letters.values() for a in letter.attempts if is_without(a)), key=lambda a: a.ended)
    ledgers = [i for i in books.injections if i.of_ledger]
    for injection, following in zip([None, *ledgers], [*ledgers, None], strict=True):
        since, until = injection.healed if injection else books.started, following.began if following else now()
        late = [attempt for attempt in attempts if since < attempt.ended < until]
        kept = late[: _unprovoked(books, late, injection.well if injection else since)]
        if injection is not None and kept:
            injection.recovery_s = max(injection.recovery_s, kept[-1].ended - injection.healed)
            injection.last = f", {kept[-1].tag} at {kept[-1].gate} in {kept[-1].decide_ms:.0f} ms"
        elif kept:
            text = f"{len(kept)} were decided without the ledger before it had a fault"
            books.broke(Invariant.RECOVERY, text, kept[0].began, kept[-1].ended)
    for injection in books.injections:
        if injection.within_s is not None and injection.recovery_s > injection.within_s:
            text = f"after {injection.recovery_s:.1f} s{injection.last}"
            books.broke(Invariant.RECOVERY, text, injection.began, injection.began)


def _unprovoked(books: Books, late: list[Attempt], well: float) -> int:
    """
    Where the sends of a recovery end, and those begin that met a ledger which was slow by itself.

    A machine that others use too keeps Redis waiting for its disk or its turn for longer than the time-out now and then. It is that, and
    no recovery that goes on, when all was well for a while and then this process was kept waiting as well.
    """
    before = well
    for n, attempt in enumerate(late):
        if attempt.ended - before > CALM_S and _strained(books, attempt.ended):
            books.excuse("the machine kept the ledger, and us, waiting")
            return n
        before = max(before, attempt.ended)
    return len(late)


def _strained(books: Books, moment: float) -> bool:
    at = bisect_right(books.strained, moment)
    return at > 0 and moment - books.strained[at - 1] < STRAINED_S


def is_repeat(attempt: Attempt) -> bool:
    """Whether it may have waited for the answer to an earlier send by its key before it was decided."""
    return attempt.letter.key is not None and attempt is not attempt.letter.attempts[0]


def is_without(attempt: Attempt) -> bool:
    """Whether it was decided, or turned away, without the ledger."""
    return attempt.degraded or attempt.reason == "ledger_unavailable"


def _cut(books: Books, attempt: Attempt) -> bool:
    """
    Whether the gate was killed under this attempt, or closed a connection that it came by after it was told to stop.

    HTTP lets a server close an idle connection at any time, so only who makes a connection for each send can be told apart from it.
    """
    for injection in books.during(attempt.began, attempt.ended):
        until = injection.well or now()
        if attempt.gate in injection.killed and attempt.overlaps(injection.began, until):
            return True
        stopped = injection.stopped.get(attempt.gate)
        if stopped is not None and attempt.lasting and stopped - attempt.began < KEEP_ALIVE_RACE_S and attempt.began <= until:
            return True
    return False


def read_logs(house: House, books: Books) -> None:
    """Whether any gate wrote a traceback."""
    for gate in house.gates:
        for log in gate.logs:
            text = log.read_text(errors="replace")
            if "Traceback" in text or '"exception"' in text:
                line = next(line for line in text.splitlines() if "Traceback" in line or '"exception"' in line)
                books.broke(Invariant.LOG, f"{log.name}: {line[:600]}", books.started, now())
