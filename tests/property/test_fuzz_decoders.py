"""Whatever bytes or values a decoder is given, nothing comes out of it but what it says: a value, or its own error."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import datetime as dt
import json
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.core.data import data_dir
from gatekeeper.core.errors import ConfigError, InputError
from gatekeeper.core.markets import Markets
from gatekeeper.core.pseudonyms import Pseudonyms
from gatekeeper.core.recipients import canonical, digits, exactness, masked
from gatekeeper.engine.facts import of_listed, of_news
from gatekeeper.finance.answers import answers
from gatekeeper.finance.exports import exported
from gatekeeper.meta import events as meta
from gatekeeper.meta.batch import asked, find, parameters
from gatekeeper.meta.bodies import UnreadableBody
from gatekeeper.meta.listing import NotAListing, decode_page
from gatekeeper.meta.mentions import users
from gatekeeper.meta.paths import gated, is_root, names_edge
from gatekeeper.meta.redaction import kept_answer, kept_send
from gatekeeper.meta.responses import decode_answer
from gatekeeper.meta.retelling import payload_of
from gatekeeper.meta.rewriting import Written, as_question, as_template, carries_rights, without_rights
from gatekeeper.meta.sends import MalformedSend, Send, decode_send
from gatekeeper.meta.showing import Showing
from gatekeeper.meta.webhooks import NotAWebhook, decode_webhook, events_of
from gatekeeper.rates.downloads import download
from gatekeeper.rates.sheets import sheets
from gatekeeper.replay.history import Line, walked
from gatekeeper.settings import described, load, parse

FIXTURES = Path(__file__).parents[1] / "fixtures"
SHAPES = json.loads((FIXTURES / "meta" / "webhook_shapes.json").read_text())
NAMES = Pseudonyms("a key of some length", Markets.load(data_dir("config")))
DEEP: Any = 0
for _ in range(900):
    DEEP = [DEEP]
ODD = (
    *(None, True, False, 0, -1, 1.5, 1e308, -0.0, 2**31, 2**63, 2**64, 10**30, -(10**30)),
    *(
        "",
        " ",
        "0",
        "-1",
        "1e999",
        "9" * 5_000,
        "x" * 5_000,
        "\0",
        "\r\n",
        "\u2028",
        "\ud800",
        "\udfff\ud800",
        "{",
        "env:",
        "%00%ff",
    ),
    *([], {}, [[]], [{}], {"": None}, [None] * 20, {"id": {"id": {}}}, {"type": []}, DEEP),
)
RAW_ODD = (b"NaN", b"Infinity", b"-0", b"1e99999", b"9" * 5_000, b'"\\ud800"', b'"\xff"', b"[" * 5_000, b'"', b"nul", b"")


def places(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a value, its own included."""
    yield at
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield from places(inner, (*at, key))


def put(value: Any, at: tuple[str | int, ...], odd: object) -> Any:
    """A copy with something else in one place."""
    if not at:
        return odd
    changed = copy.copy(value)
    changed[at[0]] = put(value[at[0]], at[1:], odd)
    return changed


def without(value: Any, at: tuple[str | int, ...]) -> Any:
    """A copy with nothing in one place."""
    changed = copy.copy(value)
    if len(at) > 1:
        changed[at[0]] = without(value[at[0]], at[1:])
    else:
        del changed[at[0]]
    return changed


MARK = "@@@"


def mutants(value: Any) -> Iterator[bytes]:
    """The JSON of a value, with something odd in one place, or nothing."""
    for at in places(value):
        if at:
            yield json.dumps(without(value, at)).encode()
        for odd in ODD:
            yield json.dumps(put(value, at, odd)).encode()
        marked = json.dumps(put(value, at, MARK)).encode()
        for raw in RAW_ODD:
            yield marked.replace(f'"{MARK}"'.encode(), raw)


def failures(texts: Iterator[bytes], decode: Callable[[bytes], object]) -> set[str]:
    """What comes out of a decoder that should not."""
    found = set()
    for text in texts:
        try:
            decode(text)
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            found.add(f"{type(error).__name__}: {str(error)[:80]} of {text[:300]!r}")
    return found


# ----------------------------------------------------------------------------------------------------------------- sends

HEAD = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": "4915112345678"}
PARAMETERS = [{"type": "text", "text": "Ada", "parameter_name": "name"}, {"type": "currency", "currency": {"amount_1000": 1}}]
BUTTON = {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "x"}]}
CONTENT = {"name": "a", "language": {"code": "en_US"}, "components": [{"type": "body", "parameters": PARAMETERS}, BUTTON]}
SENDS = [
    {**HEAD, "type": "text", "text": {"body": "hi", "preview_url": False}, "category": "utility", "context": {"message_id": "w"}},
    {**HEAD, "type": "template", "template": CONTENT, "recipient": "DE.abc", "biz_opaque_callback_data": "x"},
    {**HEAD, "type": "contacts", "contacts": [{"name": {"formatted_name": "Ada"}}]},
    {**HEAD, "type": "location", "location": {"latitude": 1.5, "longitude": "2"}},
    {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.x", "typing_indicator": {"type": "text"}},
]


def sent(body: bytes, content_type: str = "application/json", query: str = "") -> None:
    """Read a send, and do with it whatever is done with sends."""
    written = Written(body, content_type, query)
    try:
        read = decode_send(body, content_type=content_type, query=query)
    except MalformedSend:
        pass
    else:
        assert isinstance(read, Send)
        again = decode_send(json.dumps(kept_send(read, NAMES)).encode())
        assert (read.kind, read.template, read.language) == (again.kind, again.template, again.language)
        for name in (read.to or "", read.recipient or ""):
            assert (masked(name).count("…"), canonical(canonical(name))) == (1, canonical(name))
            exactness(canonical(name))
    for text_parameter in (True, False):
        as_template(written, name="a", language="en", text_parameter=text_parameter)
        as_question(written, name="a", language="en", text_parameter=text_parameter)
    carries_rights(written)
    list(users(body))


@pytest.mark.parametrize("body", SENDS, ids=lambda body: body.get("type", "read"))
def test_a_send_that_is_wrong_in_one_place_is_a_send_or_malformed(body):
    """Whatever stands there, whatever is missing; and what can be done with a send can be done with this one."""
    assert set() == failures(mutants(body), sent)


FORMS = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "application/json; charset=utf-16",
    "text/plain",
    "",
]
PART = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
PARTS = PART % (b"to", b"1") + PART % (b"type", b"text") + b"--b--"


@given(st.binary(max_size=300) | st.binary(max_size=9).map(lambda some: PARTS.replace(b"1\r\n", some)), st.sampled_from(FORMS))
def test_any_bytes_of_any_type_are_a_send_or_malformed(body, content_type):
    """Their content type may be right or not."""
    assert set() == failures(iter([body]), lambda text: sent(text, content_type))


@given(st.sampled_from(SENDS), st.text(max_size=40), st.sampled_from(FORMS))
def test_any_query_beside_a_send_is_read_with_it(body, query, content_type):
    """Graph takes parameters from there too."""
    form = urlencode({name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()})

    assert set() == failures(iter([json.dumps(body).encode()]), lambda text: sent(text, "application/json", query))
    assert set() == failures(iter([form.encode()]), lambda text: sent(text, content_type, query))


# ----------------------------------------------------------------------------------------------------------------- batches

OPERATION = {
    "method": "POST",
    "relative_url": "106540352242922/messages?a=b",
    "body": "to=1&type=text",
    "headers": [{"name": "a", "value": "b"}],
}
BATCH = {"batch": [OPERATION, {"method": "GET", "relative_url": "me"}, {"batch": "[]"}], "include_headers": False}


def batched(body: bytes, content_type: str = "application/json") -> None:
    request = asked("/v23.0/?batch=%5B%5D", "POST", [("Content-Type", content_type)])
    with contextlib.suppress(UnreadableBody):
        find(request.telling(parameters(body, content_type)))
    for types in ([], [content_type], ["multipart/form-data; boundary=batch"]):
        showing = Showing(types, closely=True)
        showing.feed(body)
        showing.end()
        assert {True, False} >= {showing.is_free(), showing.may_send(edge=True, posts=True)}


def test_a_batch_that_is_wrong_in_one_place_is_one_or_unreadable():
    """Also where the odd thing is text in a form."""
    bodies = list(mutants(BATCH))
    forms = [b"batch=" + body[10:] for body in bodies]

    assert set() == failures(iter(bodies), batched)
    assert set() == failures(iter(forms), lambda text: batched(text, FORMS[0]))


@given(
    st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: "/" + raw.decode("latin-1")),
    st.sampled_from(["GET", "POST", ""]),
)
def test_any_path_is_read(path, method):
    """Every target of a request is a send's or is not."""
    without_rights(path)

    assert {True, False} >= {is_root(path), names_edge(path), gated(path) is None, find(asked(path, method)) is None}


# ----------------------------------------------------------------------------------------------------------------- webhooks


def heard(body: bytes) -> None:
    """Read a webhook, and do with its events whatever is done with events."""
    try:
        events = decode_webhook(body)
    except NotAWebhook:
        return
    payload = payload_of(events, NAMES)
    msgspec.msgpack.encode([event for event in events if isinstance(event, meta.Status)])
    assert payload is None or isinstance(events_of(payload), list)
    for event in events:
        if isinstance(event, meta.TemplateStatus | meta.TemplateCategory | meta.TemplateQuality | meta.InternationalRate):
            of_news(event, {"en"})
        for name in ("wa_id", "user_id", "recipient_id", "new_wa_id"):
            digits(canonical(getattr(event, name, None) or ""))


@pytest.mark.parametrize("field", sorted({shape["field"] for shape in SHAPES}))
def test_a_webhook_that_is_wrong_in_one_place_is_read(field):
    """Every shape of Meta's, with whatever may stand in any place of it."""
    values = [shape["value"] for shape in SHAPES if shape["field"] == field]
    longest = sorted(values, key=lambda value: -len(json.dumps(value)))[:3]
    changes = [
        {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": field, "value": v}]}]}
        for v in longest
    ]

    assert set() == failures((text for change in changes for text in mutants(change)), heard)


# ----------------------------------------------------------------------------------------------------------------- answers

ANSWER = {
    "messaging_product": "whatsapp",
    "contacts": [{"input": "+49", "wa_id": "49", "user_id": "DE.a"}],
    "messages": [{"id": "wamid.x", "message_status": "accepted"}],
    "error": {"code": 100, "message": "m", "error_data": {"details": "d"}},
    "success": True,
}
ROW = {
    "name": "a",
    "language": "en",
    "status": "APPROVED",
    "category": "UTILITY",
    "quality_score": {"score": "GREEN"},
    "parameter_format": "NAMED",
    "components": [
        {"type": "HEADER", "format": "TEXT", "text": "{{a}}"},
        {"type": "BODY", "text": "{{b}} {{c}}"},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "url": "https://x/{{1}}"}, {"type": "OTP"}]},
    ],
}
LISTING = {"data": [ROW, ROW], "paging": {"cursors": {"after": "x"}, "next": "https://x/?after=[y&limit=1"}}


def answered(body: bytes) -> None:
    found = decode_answer(body)
    if found is not None:
        assert isinstance(decode_answer(json.dumps(kept_answer(found, NAMES)).encode()), object)


def listed(body: bytes) -> None:
    try:
        page = decode_page(body)
    except NotAListing:
        return
    for row in page.rows:
        said = of_listed(row)
        assert all(isinstance(text, str) for pair in said.items() for text in pair)


def test_an_answer_that_is_wrong_in_one_place_is_one_or_none():
    """Also Meta's list of templates, page by page."""
    assert set() == failures(mutants(ANSWER), answered)
    assert set() == failures(mutants(LISTING), listed)


# ------------------------------------------------------------------------------------------------------------------- files

HISTORY = [
    {"at": 1693897200, "webhook": {"entry": []}},
    {
        "at": 1693900800,
        "send": {"id": "s1", "path": "/1/messages", "body": SENDS[0], "wamid": "w", "response": ANSWER, "caller": "a"},
    },
    {"at": 1693900800.5, "free_used": {"waba_id": "1", "phone_number_id": "2", "count": 999}},
]


def told(text: bytes) -> None:
    """Read a line of a history, as `replay` does."""

    async def take(line: Line) -> None:
        happened = line.happened
        assert (isinstance(line.now, int), getattr(happened, "fate", "")) != (False, None)

    try:
        asyncio.run(walked([text], "history", take))
    except InputError as error:
        assert str(error).startswith("history: line 1: ")  # noqa: PT017 - it is what a person reads


@pytest.mark.parametrize("line", HISTORY, ids=max)
def test_a_line_of_a_history_is_read_or_named(line):
    """A history may be written by anybody."""
    assert set() == failures(mutants(line), told)


CARD = b"Meta's rates effective,July 1 2025\nMarket,Currency,Marketing,Utility,Authentication\nGermany,$US,0.1365,0.055,n/a\n"
EXPORT = (FIXTURES / "meta" / "pricing_analytics-2026-11.csv").read_bytes()
ANALYTICS = (FIXTURES / "meta" / "pricing_analytics-2026-11.json").read_bytes()


def spoilt(text: bytes) -> st.SearchStrategy[bytes]:
    """A file with a few bytes of it in place of others."""
    return st.builds(
        lambda at, length, some: text[: at % len(text)] + some + text[at % len(text) + length :],
        st.integers(0, 5_000),
        st.integers(0, 30),
        st.binary(max_size=8) | st.sampled_from([b'"', b"\0", b"\r", b",,,,", b"\xff", b"PK\x03\x04", b"1e99", b"\n\n"]),
    )


def filed(text: bytes, name: str) -> None:
    try:
        for sheet in sheets(text, name):
            download(sheet)
    except InputError as error:
        assert name in str(error)  # noqa: PT017


def analysed(text: bytes) -> None:
    for read in (answers, exported):
        try:
            read(text.decode("utf-8", "replace"), "points")
        except InputError as error:
            assert "points" in str(error)  # noqa: PT017


@given(st.binary(max_size=200) | spoilt(CARD) | spoilt(EXPORT) | spoilt(ANALYTICS))
def test_a_file_of_metas_is_read_or_named(text):
    """Rate cards and analytics come from a browser or a spreadsheet."""
    assert set() == failures(iter([text]), lambda raw: filed(raw, "card.csv"))
    assert set() == failures(iter([text]), analysed)


def test_analytics_that_are_wrong_in_one_place_are_read_or_named():
    """Graph's own answer, with whatever in any place of it."""
    assert set() == failures(mutants(json.loads(ANALYTICS)), analysed)


# ----------------------------------------------------------------------------------------------------------- configuration

WHOLE = tomllib.loads("""
[server]
listen = "127.0.0.1:8080"
admin_listen = "127.0.0.1:8081"
admin_token = "0123456789abcdef"
workers = 1
max_body = "1MiB"
grace = "30s"
[upstream]
base_url = "https://graph.facebook.com"
connect_timeout = "5s"
timeout = "60s"
[ledger]
url = "redis://localhost:6379/0"
cluster = false
data_dir = "var"
timeout = "250ms"
[webhook]
path = "/webhook"
app_secret = "x"
verify_token = "y"
forward_to = ["https://a.example/b", "https://c.example/"]
timeout = "10s"
retry_for = "5m"
[[webhook.route]]
phone_number_id = ["1"]
waba_id = ["2"]
forward_to = "https://d.example/"
[record]
path = ""
max_file = "64MiB"
keep = 3
recipients = "kept"
key = "0123456789abcdef"
[policy]
mode = "enforce"
cold_start = "closed"
ledger_failure = "block"
reaction_opens_window = true
opt_out_keywords = ["stop"]
opt_in_keywords = ["start"]
[policy.limits]
throughput = 80
pair_rate = true
messaging_limit = 2000
marketing_hold = true
mode = "annotate"
[policy.checks]
parameter_count = false
[[policy.rule]]
name = "a"
category = ["marketing"]
market = ["India"]
window = "open"
caller = ["crm"]
phone_number_id = ["1"]
template = ["promo_*"]
price_above = "0.05"
action = "block"
mode = "enforce"
message = "no"
[[policy.budget]]
name = "b"
scope = "waba"
period = "month"
limit = "250.00"
category = ["marketing"]
mode = "enforce"
[[policy.fallback]]
template = "a"
language = "en"
text_parameter = true
caller = ["crm"]
[[policy.hold]]
template = "a"
language = "en"
deadline = "1h"
max_texts = 3
max_bytes = "1KiB"
[[account]]
waba_id = "2"
timezone = "Europe/Berlin"
currency = "EUR"
phone_number_ids = ["1"]
portfolio_id = "3"
access_token = "token"
direct_send = false
marketing_on_messages = false
[account.authentication_international]
start_time = 2025-01-01T00:00:00Z
primary_location = "DE"
exception_countries = { IN = 2025-01-01T00:00:00Z }
[[account.template]]
name = "a"
language = "en"
category = "utility"
status = "APPROVED"
max_price = "0.05"
country_multipliers = { IN = "0.8" }
[account.template.shape]
named = true
header = "TEXT"
header_parameters = ["x"]
body = ["y"]
[[account.template.shape.buttons]]
index = 0
kind = "url"
[[account.opening]]
month = "2026-10"
free_used = 3
[[caller]]
name = "crm"
key = "crm-key-0123456789"
phone_number_ids = ["1"]
""")
TOML_ODD = (
    *ODD[1:],  # TOML has no null, but a float that is none
    *(float("nan"), float("inf"), dt.date(2025, 1, 1), dt.time(1), dt.datetime(1, 1, 1), dt.datetime.max.replace(tzinfo=dt.UTC)),  # noqa: DTZ001
    *(
        "env:\0",
        "env:HOME",
        "http://[",
        "http://a:99999",
        "https://user:pass@x/",
        "redis://[::1",
        "127.0.0.1:99999",
        "\u0663",
        "1\n",
    ),
    *(
        ["a"] * 3,
        [1, "a"],
        [["a"]],
        {"a": "b"},
        [{"a": 1}],
        {"[...]": 1, "a.b": 2, "`": 3},
        "9999999999h",
        "0.0000001",
        "-5s",
        "../../x",
    ),
)


def configured(raw: dict[str, Any]) -> str:
    """Read a configuration; what a person is told of a mistake in it, empty: there is none."""
    try:
        settings = parse(raw, name="file.toml", environment={"HOME": "/root"})
    except ConfigError as error:
        return str(error)
    described(settings)
    repr(settings)
    return ""


def test_the_whole_configuration_is_read():
    """So what is spoilt below is nothing but the one place."""
    assert "" == configured(WHOLE)


def path_of(at: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in at)


@pytest.mark.parametrize("section", sorted(WHOLE))
def test_a_mistake_in_the_configuration_is_named(section):
    """Whatever stands at any key, it is taken, or it is a ConfigError that names a key on the way to it, or below it."""
    found = set()
    for at in places(WHOLE[section], (section,)):
        for odd in TOML_ODD:
            try:
                said = configured(put(WHOLE, at, odd))
            except Exception as error:  # noqa: BLE001 - it is what is looked for
                found.add(f"{path_of(at)} = {str(odd)[:60]!r}: {type(error).__name__}: {str(error)[:100]}")
                continue
            if said and not said.startswith("file.toml: $"):
                found.add(f"{path_of(at)} = {str(odd)[:60]!r} says {said[:200]}")
            if len(said) > 12_000 or "\n" in said:
                found.add(f"{path_of(at)} = {str(odd)[:60]!r} is no line")

    assert set() == found


@pytest.mark.parametrize("at", [at for at in places(WHOLE) if at], ids=path_of)
def test_a_missing_key_is_a_default_or_named(at):
    """Nothing that is left out is anything else."""
    said = configured(without(WHOLE, at))

    assert "" == said or said.startswith("file.toml: $")


@given(
    st.binary(max_size=100)
    | st.text(max_size=100).map(str.encode)
    | spoilt(b'[policy]\nmode = "enforce"\n[[account]]\nwaba_id = "1"\n')
)
def test_any_file_is_a_configuration_or_named(text):
    """It is read as TOML in UTF-8, and every other is named."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fuzz.toml"
        file.write_bytes(text)
        try:
            said = described(load(file, {}))
        except ConfigError as error:
            said = str(error)

    assert isinstance(said, dict) or said.startswith(f"{file}: ")
