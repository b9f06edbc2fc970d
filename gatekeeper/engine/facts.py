"""
Own how what Meta said of an account and its templates is written down, and what it comes to beside the configuration.

Each fact is a field of its own: `status en_US order_update`, `account start_time`. An empty one says nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from gatekeeper.core.accounts import Account, AuthenticationInternational, Shape, Template, TemplateCategory, TemplateStatus
from gatekeeper.meta import events as meta
from gatekeeper.meta.listing import Listed

Facts: TypeAlias = Mapping[str, str]
News: TypeAlias = (
    meta.TemplateStatus | meta.TemplateCategory | meta.TemplateQuality | meta.InternationalRate | meta.PrimaryLocation
)
Key: TypeAlias = tuple[str, str]
"""A template's name and language."""

# A template that is flagged or locked can still be sent, so those events say nothing here.
_STATUS_OF = {
    "REINSTATED": TemplateStatus.APPROVED,
    "UNPAUSED": TemplateStatus.APPROVED,
    "UNPAUSE": TemplateStatus.APPROVED,
    **{status.value: status for status in TemplateStatus},
}
_CATEGORIES = frozenset(TemplateCategory)
_START, _HOME, _EXCEPTION = "account start_time", "account primary_location", "account exception "
_STATUS, _CATEGORY, _PENDING, _QUALITY, _SHAPE = "status", "category", "pending", "quality", "shape"
_SCORES = frozenset({"GREEN", "YELLOW", "RED", "UNKNOWN"})
_OF_TEMPLATES = frozenset({_STATUS, _CATEGORY, _PENDING, _QUALITY, _SHAPE})
_encode = msgspec.json.Encoder().encode
_decode_shape = msgspec.json.Decoder(Shape).decode


def of_news(news: News, languages: Iterable[str]) -> dict[str, str]:
    """What a webhook says. *languages*: those in which the template is known, for news of all of them at once."""
    if isinstance(news, meta.PrimaryLocation):
        return {_HOME: news.country}
    if isinstance(news, meta.InternationalRate):
        return {_START: str(news.start_time), **{_EXCEPTION + country: str(at) for country, at in news.exceptions.items()}}
    said: dict[str, str] = {}
    if isinstance(news, meta.TemplateQuality):
        said[_QUALITY] = news.score
    elif news.category in _CATEGORIES:
        said[_CATEGORY] = str(news.category)
    if isinstance(news, meta.TemplateCategory):
        said[_PENDING] = str(news.impending) if news.impending in _CATEGORIES else ""
    elif isinstance(news, meta.TemplateStatus) and news.event in _STATUS_OF:
        said[_STATUS] = _STATUS_OF[news.event].value
    meant = (news.language,) if news.language else languages
    return {f"{what} {language} {news.name}": value for language in meant for what, value in said.items()}


def of_listed(row: Listed) -> dict[str, str]:
    """What a row of Meta's own list says; what it does not say of a status or a category leaves what is known."""
    said = {
        _PENDING: row.pending.value if row.pending else "",
        _QUALITY: row.quality or "",
        _SHAPE: _encode(row.shape).decode() if row.shape else "",
        **({_STATUS: row.status.value} if row.status else {}),
        **({_CATEGORY: row.category.value} if row.category else {}),
    }
    return {f"{what} {row.language} {row.name}": value for what, value in said.items()}


def of_deleted(key: Key) -> dict[str, str]:
    """What is left of a template that Meta no longer lists."""
    name, language = key
    return {f"{what} {language} {name}": "" for what in _OF_TEMPLATES} | {
        f"{_STATUS} {language} {name}": TemplateStatus.DELETED.value
    }


def key_of(field: str) -> Key | None:
    """The template that a field is of."""
    what, _, rest = field.partition(" ")
    language, _, name = rest.partition(" ")
    return (name, language) if what in _OF_TEMPLATES else None


def known(account: Account, facts: Facts) -> set[Key]:
    """Every template that the configuration or Meta spoke of."""
    told = {(template.name, template.language) for template in account.template}
    return told | {key for field in facts if (key := key_of(field)) is not None}


def template(account: Account, name: str, language: str, facts: Facts) -> Template | None:
    """What the configuration says of a template, corrected by what Meta said since; None: nobody said anything."""
    told = _told(account, name, language)
    category, status, pending = (facts.get(f"{what} {language} {name}") for what in (_CATEGORY, _STATUS, _PENDING))
    if told is None and category is None and status is None:
        return None
    told = told or Template(name=name, language=language)
    return msgspec.structs.replace(
        told,
        category=TemplateCategory(category) if category else told.category,
        status=TemplateStatus(status) if status else told.status,
        pending=TemplateCategory(pending) if pending else told.pending,
        shape=_shape(facts.get(f"{_SHAPE} {language} {name}")) or told.shape,
    )


def has_shape(name: str, language: str, facts: Facts) -> bool:
    """Whether it is Meta who said what a template's components ask for."""
    return bool(facts.get(f"{_SHAPE} {language} {name}"))


def corrected(account: Account, facts: Facts) -> Account:
    """An account as Meta says it is."""
    told, start = account.authentication_international, facts.get(_START)
    if told is None and start is None:
        return account
    exceptions = {field.removeprefix(_EXCEPTION): _instant(at) for field, at in facts.items() if field.startswith(_EXCEPTION)}
    told = told or AuthenticationInternational(start_time=_instant(str(start)))
    found = AuthenticationInternational(
        start_time=_instant(start) if start else told.start_time,
        primary_location=facts.get(_HOME) or told.primary_location,
        exception_countries={**told.exception_countries, **exceptions},
    )
    return msgspec.structs.replace(account, authentication_international=found)


def counted(account: Account, facts: Facts) -> tuple[Counter[str], Counter[str]]:
    """How many templates an account has of each status, and of each quality that Meta told."""
    told = {(one.name, one.language): one.status.value for one in account.template}
    said = {key: value for field, value in facts.items() if field.startswith(_STATUS) and (key := key_of(field))}
    scores = (value for field, value in facts.items() if field.startswith(_QUALITY))
    return Counter((told | said).values()), Counter(score if score in _SCORES else "OTHER" for score in scores)


def _told(account: Account, name: str, language: str) -> Template | None:
    return next((one for one in account.template if (one.name, one.language) == (name, language)), None)


def _shape(written: str | None) -> Shape | None:
    """A shape as it was kept; one that another version of ours kept in another way is not known."""
    try:
        return _decode_shape(written) if written else None
    except msgspec.DecodeError:
        return None


def _instant(millis: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(millis) / 1000, dt.UTC)
