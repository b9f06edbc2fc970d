"""
Own the names of everything in Redis: `gk:{tag}:<noun>:<ids…>`, its type and how long it lives.

The tag in braces is the business portfolio (or WABA, or a phone number that no account names): all that one decision touches shares
a slot of a Redis Cluster. Every key expires; a thread with its last clock.

    thread       HASH    clocks of one (phone number, recipient), or a link to the thread that this name stands for
    deliveries   HASH    what was delivered in a thread, and opened or joined something, for what is heard of later and was earlier
    reservation  HASH    what an allowed send holds, until Meta names the message
    message      HASH    the same from then on
    parked       LIST    statuses that came before the answer to their own send
    strays       HASH    the messages of one thread that such statuses are of
    unnamed      HASH    sends of one thread that Meta took, or may have, without naming their messages
    lapsing      ZSET    those sends, by when to give back what they hold
    lapsers      ZSET    the tags that have such sends, by until when
    watch        STRING  since when this phone number's webhooks have been seen
    meter        HASH    units of one allowance, of one owner, in one month: settled, reserved, before us, and told by Meta
    spend        HASH    a day's bill of one WABA: quoted, settled and open, in micro-units
    budget       HASH    spent and reserved micro-units of one budget, of one of its scope, in one day or month
    rate         STRING  how much of its throughput a phone number has used up
    pair         STRING  the same of its pace towards one recipient
    reached      ZSET    the recipients that a portfolio reached outside a window, or is about to, by when
    held         HASH    those of them that sends are on their way to
    templates    HASH    what Meta said of a WABA's templates, and a version
    repeat       HASH    the first send with an idempotency key, and its answer
    text         HASH    what waits for its recipient to answer, and what became of it
    waiting      HASH    those of one thread, in their order, and who asks the recipient to answer
    holding      ZSET    the lists of those, by when to look at each
    holders      ZSET    the tags that have such lists, by until when
    number       HASH    the WABA of a phone number that no account names
    numbers      SET     the phone numbers of such a WABA
    wabas        SET     every such WABA
    probe        STRING  what is written to see whether anything can be
"""

from __future__ import annotations

from datetime import date

DAY_MS = 86_400_000

# Meta drops a message after 30 days at most and repeats a webhook for 7: by then everything about it has been said.
RESERVATION_MS = 38 * DAY_MS
SETTLED_MS = 8 * DAY_MS
# An answer that has not come long after the upstream's time-out never will.
PARKED_MS = 10 * 60_000
# Meta says at once that a message was sent, and repeats a webhook for 7 days: a send that no status has named by then never was.
UNNAMED_MS = 8 * DAY_MS
# By so much Meta's clock may be behind ours, in a status that says when its message was sent; its times are whole seconds.
SKEW_MS = 10_000
# Webhooks missed for longer than Meta repeats them are lost, so an older watch proves nothing.
WATCH_MS = 7 * DAY_MS
# A month, and the deliveries that are settled in it late.
METER_MS = 75 * DAY_MS
SPEND_MS = 400 * DAY_MS
# The period itself, wherever on Earth it ends.
DAY_BUDGET_MS = 3 * DAY_MS
MONTH_BUDGET_MS = 33 * DAY_MS
# Beyond what a limit looks back at: a recorded history is decided at its own pace.
PACE_MS = 60_000
LINK_MS = 400 * DAY_MS
TEMPLATES_MS = 400 * DAY_MS
NUMBER_MS = 400 * DAY_MS
# How long a repeat gets the first answer. A promise of ours, not a rule of Meta's.
REPEAT_MS = DAY_MS
# How long it is told what became of a text that waited. A promise of ours, not a rule of Meta's.
TEXT_MS = 8 * DAY_MS
HOLDERS_MS = 75 * DAY_MS
PROBE_MS = 1000
# The tag of what belongs to no business.
NOBODY = "gate"
# As good as for ever; Meta lifts an opt-out by a `resume`.
OPTED_OUT_MS = 3650 * DAY_MS


def thread(tag: str, phone_number_id: str, recipient: str) -> str:
    """The clocks of one thread."""
    return f"gk:{{{tag}}}:thread:{phone_number_id}:{recipient}"


def deliveries(tag: str, phone_number_id: str, recipient: str) -> str:
    """What was delivered in one thread."""
    return f"gk:{{{tag}}}:deliveries:{phone_number_id}:{recipient}"


def reservation(tag: str, decision_id: str) -> str:
    """What a send holds until Meta names it."""
    return f"gk:{{{tag}}}:reservation:{decision_id}"


def message(tag: str, wamid: str) -> str:
    """What a send holds from then on."""
    return f"gk:{{{tag}}}:message:{wamid}"


def parked(tag: str, wamid: str) -> str:
    """Statuses of a message that nobody knows yet."""
    return f"gk:{{{tag}}}:parked:{wamid}"


def strays(tag: str, phone_number_id: str, recipient: str) -> str:
    """The messages of one thread that nobody knows yet."""
    return f"gk:{{{tag}}}:strays:{phone_number_id}:{recipient}"


def unnamed(tag: str, phone_number_id: str, recipient: str) -> str:
    """The sends of one thread that wait for the name of their message."""
    return f"gk:{{{tag}}}:unnamed:{phone_number_id}:{recipient}"


def lapsing(tag: str) -> str:
    """The sends that wait for the name of their message."""
    return f"gk:{{{tag}}}:lapsing"


def lapsers(tag: str) -> str:
    """The tags that have such sends."""
    return f"gk:{{{tag}}}:lapsers"


def watch(tag: str, phone_number_id: str) -> str:
    """Since when a phone number is watched."""
    return f"gk:{{{tag}}}:watch:{phone_number_id}"


def meter(tag: str, name: str, owner: str, month: str) -> str:
    """One month's reading of an allowance."""
    return f"gk:{{{tag}}}:meter:{name}:{owner}:{month}"


def spend(tag: str, waba_id: str, day: date) -> str:
    """One day's bill."""
    return f"gk:{{{tag}}}:spend:{waba_id}:{day.isoformat()}"


def budget(tag: str, name: str, scope: str, owner: str, currency: str, period: str) -> str:
    """What a budget has spent in one period; *name* and *owner* are quoted, for they may be any text."""
    return f"gk:{{{tag}}}:budget:{name}:{scope}:{owner}:{currency}:{period}"


def rate(tag: str, phone_number_id: str) -> str:
    """The throughput of a phone number."""
    return f"gk:{{{tag}}}:rate:{phone_number_id}"


def pair(tag: str, phone_number_id: str) -> str:
    """The pace of a phone number towards one recipient, whose name the script adds."""
    return f"gk:{{{tag}}}:pair:{phone_number_id}"


def reached(tag: str) -> str:
    """The recipients that a portfolio reached outside a window."""
    return f"gk:{{{tag}}}:reached"


def held(tag: str) -> str:
    """Those of them that are only on their way."""
    return f"gk:{{{tag}}}:held"


def templates(tag: str, waba_id: str) -> str:
    """What Meta said of a WABA's templates."""
    return f"gk:{{{tag}}}:templates:{waba_id}"


def repeat(tag: str, phone_number_id: str, digest: str) -> str:
    """The first send with an idempotency key."""
    return f"gk:{{{tag}}}:repeat:{phone_number_id}:{digest}"


def text(tag: str, text_id: str) -> str:
    """What waits for its recipient to answer."""
    return f"gk:{{{tag}}}:text:{text_id}"


def waiting(tag: str, phone_number_id: str, recipient: str) -> str:
    """What waits for one recipient of a phone number."""
    return f"gk:{{{tag}}}:waiting:{phone_number_id}:{recipient}"


def holding(tag: str) -> str:
    """The lists of what waits."""
    return f"gk:{{{tag}}}:holding"


def holders(tag: str) -> str:
    """The tags that have such lists."""
    return f"gk:{{{tag}}}:holders"


def number(phone_number_id: str) -> str:
    """What was learned of a phone number that no account names."""
    return f"gk:{{{phone_number_id}}}:number"


def numbers(waba_id: str) -> str:
    """The phone numbers of a WABA that no account names."""
    return f"gk:{{{waba_id}}}:numbers"


def wabas(tag: str) -> str:
    """The WABAs that no account names."""
    return f"gk:{{{tag}}}:wabas"


def probe(tag: str) -> str:
    """What is written to see whether anything can be."""
    return f"gk:{{{tag}}}:probe"
