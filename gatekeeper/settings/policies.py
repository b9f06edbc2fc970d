"""Own what can be wrong with a policy: names that stand twice, and conditions that nothing could ever meet."""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.core.policy import LONGEST_NAME, Policy
from gatekeeper.core.rulebook import Rulebook
from gatekeeper.core.vocabulary import Product
from gatekeeper.settings.callers import A_CALLER, names_caller
from gatekeeper.settings.kinds import nearest
from gatekeeper.settings.sections import Settings

_Mistake = tuple[str, str]
# What a message may be reported as besides what it is.
_REPORTED = ("referral_conversion", "user_initiated", "business_initiated")
# A list is walked in one atomic step; and Meta keeps an uploaded file, which a message may name, for 30 days.
_MOST_TEXTS, _LONGEST_WAIT_H, _MOST_BYTES_MIB = 100, 720, 1
_HOUR_MS = 3_600_000
_CATEGORIES = frozenset((*Product, *_REPORTED))


def policy_mistakes(policy: Policy) -> Iterator[_Mistake]:
    """Yield each mistake in `[policy]` that can be told without the rules, with its key path."""
    for kind in ("rule", "budget"):
        seen: dict[str, int] = {}
        for n, one in enumerate(getattr(policy, kind)):
            at = f"$.policy.{kind}[{n}]"
            if not one.name.strip():
                yield f"{at}.name", "must not be empty"
            elif len(one.name) > LONGEST_NAME:
                yield f"{at}.name", f"at most {LONGEST_NAME} characters"
            elif seen.setdefault(one.name, n) != n:
                yield f"{at}.name", f"also the name of {kind}[{seen[one.name]}]"
            for m, category in enumerate(one.category):
                if category not in _CATEGORIES:
                    yield f"{at}.category[{m}]", f"{category!r} is not a category{nearest(category, sorted(_CATEGORIES))}"
    for n, rule in enumerate(policy.rule):
        at = f"$.policy.rule[{n}]"
        yield from _ids(rule.phone_number_id, f"{at}.phone_number_id")
        yield from _callers(rule.caller, f"{at}.caller")
        for m, pattern in enumerate(rule.template):
            if not pattern.strip():
                yield f"{at}.template[{m}]", "must not be empty"
    limits = policy.limits
    for key in ("throughput", "messaging_limit"):
        limit = getattr(limits, key)
        if limit is not None and limit < 1:
            yield f"$.policy.limits.{key}", "at least 1"
    for kind in ("hold", "fallback"):
        for n, one in enumerate(getattr(policy, kind)):
            for key in ("template", "language"):
                if not getattr(one, key).strip():
                    yield f"$.policy.{kind}[{n}].{key}", "must not be empty"
            yield from _ids(one.phone_number_id, f"$.policy.{kind}[{n}].phone_number_id")
            yield from _callers(one.caller, f"$.policy.{kind}[{n}].caller")
    for n, hold in enumerate(policy.hold):
        if not 1 <= hold.max_texts <= _MOST_TEXTS:
            yield f"$.policy.hold[{n}].max_texts", f"from 1 to {_MOST_TEXTS}"
        if hold.deadline > _LONGEST_WAIT_H * _HOUR_MS:
            yield f"$.policy.hold[{n}].deadline", f"at most {_LONGEST_WAIT_H}h"
        if hold.max_bytes > _MOST_BYTES_MIB << 20:
            yield f"$.policy.hold[{n}].max_bytes", f"at most {_MOST_BYTES_MIB}MiB"
    for key in ("opt_out_keywords", "opt_in_keywords"):
        for m, word in enumerate(getattr(policy, key)):
            if not word.strip():
                yield f"$.policy.{key}[{m}]", "must not be empty"
    stops = {word.casefold() for word in policy.opt_out_keywords}
    for m, word in enumerate(policy.opt_in_keywords):
        if word.casefold() in stops:
            yield f"$.policy.opt_in_keywords[{m}]", "also one of opt_out_keywords"


def market_mistakes(settings: Settings, book: Rulebook) -> Iterator[_Mistake]:
    """Yield each market that the rules do not know, with its key path."""
    for n, rule in enumerate(settings.policy.rule):
        for m, market in enumerate(rule.market):
            if not book.markets.has(market):
                near = nearest(market, book.markets.names, listed=False)
                yield f"$.policy.rule[{n}].market[{m}]", f"{market!r} is not a market; `gatekeeper rates list` shows them{near}"
    for n, account in enumerate(settings.account):
        for m, opening in enumerate(account.opening):
            if opening.market and not book.markets.has(opening.market):
                near = nearest(opening.market, book.markets.names, listed=False)
                yield f"$.account[{n}].opening[{m}].market", f"{opening.market!r} is not a market{near}"


def _callers(names: tuple[str, ...], at: str) -> Iterator[_Mistake]:
    """Names that no header can carry; an empty one is that of who gives none."""
    for m, name in enumerate(names):
        if not names_caller(name):
            yield f"{at}[{m}]", A_CALLER


def _ids(ids: tuple[str, ...], at: str) -> Iterator[_Mistake]:
    for m, one in enumerate(ids):
        if not (one.isascii() and one.isdigit()):
            yield f"{at}[{m}]", "an id of digits"
