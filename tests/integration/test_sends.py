"""One send from bytes to bytes: what goes out is the caller's own, what comes back is Meta's own, and ours is beside it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import zlib

import pytest
from fake_graph import eventually

NUMBER, USER = "106540352242922", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
MARKETING = f"/v23.0/{NUMBER}/marketing_messages"
JSON = ("Content-Type", "application/json")
DRY = ("Gatekeeper-Dry-Run", "true")
TEXT = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hi"}}
PLAIN = json.dumps(TEXT).encode()
READ = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in"}
REACTION = {**TEXT, "type": "reaction", "reaction": {"message_id": "wamid.in", "emoji": "👍"}}
GROUP = {**TEXT, "recipient_type": "group", "to": "Y2FwaV9ncm91cDo"}


def template(name, **more):
    return {**TEXT, "type": "template", "template": {"name": name, "language": {"code": "en_US"}}, **more}


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


GRAPH_ERROR = b'{"error":{"message":"(#131026) Message undeliverable","type":"OAuthException","code":131026,"fbtrace_id":"A1"}}'
ACCEPTED = b'{"messaging_product":"whatsapp","contacts":[],"messages":[{"id":"wamid.1"}]}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            b'  {"messaging_product" :\t"whatsapp",\r\n"to":"4915112345678", "text":{"body":"hi"}}\n\n', id="white space"
        ),
        pytest.param(
            b'{"messaging_product":"whatsapp","to":"4915112345678","text":{"body":"\\u00e9\\ud83d\\ude00\\/ \xc3\xa9"}}',
            id="escapes",
        ),
        pytest.param(
            b'{"messaging_product":"whatsapp","to":"1","to":"4915112345678","type":"text","text":{},"text":{"body":"hi"}}',
            id="members that come twice",
        ),
        pytest.param(
            b'{"messaging_product":"whatsapp","to":"4915112345678","type":"text","text":{"body":"hi"},"n":1.0E+2}', id="numbers"
        ),
    ],
)
async def test_a_body_goes_out_byte_for_byte(body, bare, wire):
    """An allowed send goes upstream with the caller's own bytes, however odd."""
    answer = await bare.send(body)

    assert (200, [body]) == (answer.status, [request.body for request in wire.arrived])


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        pytest.param("gzip", gzip.compress(PLAIN), id="gzip"),
        pytest.param("x-gzip", gzip.compress(PLAIN), id="its old name"),
        pytest.param("GZip", gzip.compress(PLAIN), id="in another case"),
        pytest.param("deflate", zlib.compress(PLAIN), id="deflate"),
        pytest.param("deflate", raw_deflate(PLAIN), id="deflate without its header"),
        pytest.param("identity", PLAIN, id="identity"),
        pytest.param("deflate, gzip", gzip.compress(zlib.compress(PLAIN)), id="one in the other"),
        pytest.param("gzip", gzip.compress(PLAIN[:20]) + gzip.compress(PLAIN[20:]), id="gzip of two members"),
    ],
)
async def test_a_packed_body_is_read_and_goes_out_packed(encoding, packed, bare, wire):
    """A body in a content encoding that we read is decided by what is in it, and forwarded as it came."""
    answer = await bare.send(packed, ("Content-Encoding", encoding))

    assert (200, "4915…78") == (answer.status, bare.logged("decision")[0]["recipient"])
    assert [(packed, encoding)] == [(request.body, request["Content-Encoding"]) for request in wire.arrived]


@pytest.mark.parametrize(
    "target",
    [
        SENDS,
        SENDS + "?access_token=EAAx%2Fy&b=&b=2&empty",
        SENDS + "?q=a+b%20c%C3%A9",
        SENDS + "/",
        f"/{NUMBER}/messages",
        f"/my/prefix/v23.0/{NUMBER}/messages",
        f"//v23.0//{NUMBER}/messages",
        f"/v23.0/{NUMBER}/%6Dessages",
    ],
)
async def test_path_and_query_go_out_as_they_came(target, bare, wire):
    """The upstream sees the very target that the caller wrote."""
    await bare.send(TEXT, path=target)

    assert [target] == [request.target for request in wire.arrived]


KEPT = [
    ("authorization", "Bearer EAAxYz+/="),
    ("X-Tag", "One"),
    ("Cookie", "a=1; b=2"),
    ("X-Tag", "Two"),
    ("ACCEPT-LANGUAGE", "de, en;q=0.5"),
    ("Content-Type", 'application/json; charset="UTF-8"'),
    ("X-Empty", ""),
    ("X-Forwarded-For", "10.0.0.1"),
    ("User-Agent", "My SDK/1.0"),
]
FRAMING, HOP = ("host", "content-length"), "gatekeeper-hop"


def lower(headers):
    """The spelling of a name says nothing."""
    return [(name.lower(), value) for name, value in headers]


async def test_headers_go_out_in_their_order_spelling_and_number(bare, wire):
    """What is neither hop-by-hop nor ours goes on as it came, and nothing is added to it."""
    await bare.ask("POST", SENDS, KEPT, PLAIN)

    assert [lower(KEPT)] == [[h for h in lower(request.headers) if h[0] not in (*FRAMING, HOP)] for request in wire.arrived]
    assert [list(FRAMING)] == [[name for name, _ in lower(request.headers) if name in FRAMING] for request in wire.arrived]


async def test_a_header_that_comes_in_two_spellings_goes_out_twice(bare, wire):
    """Names in another case are the same header twice, not one in place of the other."""
    twice = [("X-Tag", "one"), ("x-tag", "two")]
    await bare.ask("POST", SENDS, [JSON, *twice], PLAIN)

    assert ["one", "two"] == wire.arrived[0].all("X-Tag")


async def test_a_header_in_utf8_goes_out_as_its_bytes(bare, wire):
    """A value outside ASCII is passed on."""
    odd = [("X-Utf8", "caf\xc3\xa9")]
    await bare.ask("POST", SENDS, [JSON, *odd], PLAIN)

    assert odd == [h for h in wire.arrived[0].headers if h in odd]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
        ("Gatekeeper-Caller", "crm"),
        ("gatekeeper-anything", "x"),
        ("Idempotency-Key", "k1"),
    ],
)
async def test_a_header_between_us_and_the_caller_stays_here(name, value, bare, wire):
    """Hop-by-hop headers and ours are never sent upstream."""
    await bare.ask("POST", SENDS, [JSON, (name, value)], PLAIN)

    assert [[]] == [request.all(name) for request in wire.arrived]


async def test_a_header_that_connection_names_stays_here(bare, wire):
    """What the Connection header lists is for us alone, whatever its case."""
    await bare.ask("POST", SENDS, [JSON, ("Connection", "close, X-Secret ,x-other"), ("x-secret", "1"), ("X-Other", "2")], PLAIN)

    assert lower([JSON]) == [h for h in lower(wire.arrived[0].headers) if h[0] not in (*FRAMING, HOP)]


async def test_a_chunked_body_goes_out_whole(bare, wire):
    """A body without a length is decided and forwarded like any other."""
    chunked = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (20, PLAIN[:20], len(PLAIN) - 20, PLAIN[20:])
    await bare.ask("POST", SENDS, [JSON, ("Transfer-Encoding", "chunked")], chunked)

    assert [(PLAIN, str(len(PLAIN)))] == [(request.body, request["Content-Length"]) for request in wire.arrived]


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        pytest.param("200 OK", ACCEPTED, [JSON, ("X-FB-Debug", "a=="), ("Date", "Tue, 10 Nov 2026 11:59:59 GMT")], id="200"),
        pytest.param(
            "200 Fine by me",
            b'{ "odd" : 1 }',
            [("Set-Cookie", "a=1"), ("content-type", "text/javascript"), ("Set-Cookie", "b=2")],
            id="odd",
        ),
        pytest.param(
            "200 OK", gzip.compress(ACCEPTED), [JSON, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")], id="gzip"
        ),
        pytest.param("400 Bad Request", GRAPH_ERROR, [JSON, ("WWW-Authenticate", 'OAuth "Facebook Platform"')], id="400"),
        pytest.param("429 Too Many Requests", b"", [("Retry-After", "7"), ("Content-Type", "text/plain")], id="429"),
        pytest.param("503 Service Unavailable", b"<html>", [("Content-Type", "text/html"), ("Server", "proxygen")], id="503"),
        pytest.param("204 No Content", b"", [("X-Nothing", "")], id="204"),
        pytest.param("302 Found", b"", [("Location", "https://example.com/"), ("Content-Type", "text/html")], id="302"),
        pytest.param("200 OK", ACCEPTED, [("X-Utf8", "caf\xc3\xa9"), JSON], id="outside ASCII"),
    ],
)
async def test_the_answer_comes_back_as_it_is(status, body, headers, bare, wire):
    """The upstream's status line, headers in their order, and body come back untouched."""
    wire.answer = http(status, body, *(f"{name}: {value}" for name, value in headers))
    answer = await bare.send(TEXT)

    assert (f"HTTP/1.1 {status}", body) == (answer.line, answer.body)
    assert lower(headers) == [h for h in lower(answer.headers) if h in lower(headers)]


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "204 No Content"])
async def test_nothing_is_added_to_an_answer_but_ours_and_its_date(status, bare, wire):
    """An answer without a type gets none, and nobody learns what we are made of."""
    wire.answer = http(status, b"" if status.startswith("204") else b"x")
    answer = await bare.send(TEXT)
    added = [name for name, _ in answer.headers if not name.startswith("Gatekeeper-")]

    assert {"server-timing"} == {name.lower() for name in added} - {"date", "content-length"}


async def test_an_answer_of_several_chunks_comes_back_whole(bare, wire):
    """A chunked answer of the upstream, here to a request with a body, is put together."""
    wire.answer = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
    answer = await bare.send(TEXT)

    assert (200, b'{"a":1}') == (answer.status, answer.body)


async def test_the_upstreams_own_gatekeeper_headers_do_not_pass_for_ours(bare, wire):
    """A header of ours that does not apply is absent, whatever the upstream says."""
    wire.answer = http("200 OK", ACCEPTED, "Gatekeeper-Verdict: block", "Gatekeeper-Opens: utility", "Gatekeeper-Id: theirs")
    answer = await bare.send(TEXT)

    assert ("allow", None, True) == (
        answer["Gatekeeper-Verdict"],
        answer["Gatekeeper-Opens"],
        answer["Gatekeeper-Id"] != "theirs",
    )


async def test_our_timing_stands_beside_the_upstreams(bare, wire):
    """Server-Timing says what the decision and the upstream took; the upstream's own stays."""
    wire.answer = http("200 OK", ACCEPTED, "Server-Timing: db;dur=1")
    answer = await bare.send(TEXT)
    theirs, ours = answer.all("Server-Timing")

    assert ("db;dur=1", ["decide", "upstream"]) == (theirs, [part.partition(";dur=")[0] for part in ours.split(", ")])


GERMANY = {"Gatekeeper-Currency": "USD", "Gatekeeper-Market": "Germany", "Gatekeeper-Rate-Card": "2026-10-01"}
OPEN = {"Gatekeeper-Window-Expires": "1794398400"}
COLD = {"Gatekeeper-State": "cold"}


def said(verdict, reason, **more):
    """Our headers on a send to Germany."""
    names = {f"Gatekeeper-{name.replace('_', '-').title()}": value for name, value in more.items()}
    return {"Gatekeeper-Verdict": verdict, "Gatekeeper-Reason": reason, **GERMANY, **COLD, **names}


def blocked(reason, **more):
    return said("block", reason, charged="false", **more)


def costs(category, price, bound="exact", charged="true", reason="charged_message", **more):
    return said("allow", reason, category=category, charged=charged, price=price, price_bound=bound, **more)


TIER = {"category": "service", "charged": "false", "price": "0", "price_bound": "exact", "free_remaining": "999"}
FREE = {"charged": "false", "price": "0", "price_bound": "exact"}


@pytest.mark.parametrize(
    ("body", "path", "answered", "ours"),
    [
        pytest.param(TEXT, SENDS, (400, 131047), blocked("outside_customer_service_window"), id="text"),
        pytest.param(REACTION, SENDS, (400, 131047), blocked("outside_customer_service_window"), id="reaction"),
        pytest.param(template("spring_sale"), SENDS, None, costs("marketing", "0.1365"), id="marketing"),
        pytest.param(template("order_update"), SENDS, None, costs("utility", "0.055"), id="utility"),
        pytest.param(template("one_time_code"), SENDS, None, costs("authentication", "0.055"), id="authentication"),
        pytest.param(
            template("never_heard_of"), SENDS, None, costs("unknown", "0.1365", "at-most", "unknown"), id="unknown template"
        ),
        pytest.param(template("spring_sale"), MARKETING, None, costs("marketing_lite", "0.1365"), id="marketing API"),
        pytest.param(template("order_update"), MARKETING, (400, 134100), blocked("marketing_templates_only"), id="utility there"),
        pytest.param(TEXT, MARKETING, (400, 134100), blocked("marketing_templates_only"), id="text there"),
        pytest.param({**TEXT, "category": "utility"}, SENDS, (400, 100), blocked("direct_send_not_enabled"), id="direct send"),
        pytest.param(template("on_hold"), SENDS, (400, 132015), blocked("template_paused"), id="paused"),
        pytest.param(template("too_bad"), SENDS, (400, 132016), blocked("template_disabled"), id="disabled"),
        pytest.param(template("not_yet"), SENDS, (404, 132001), blocked("template_not_found"), id="not approved"),
    ],
)
async def test_a_send_outside_the_window_says_what_becomes_of_it(body, path, answered, ours, house, graph):
    """Free-form is refused in Graph's shape and never sent, a template is priced and goes out."""
    answer = await house.send(body, path=path)
    found = answer.ours | COLD  # whether the ledger was asked at all is another test's

    assert (answered, 0 if answered else 1, ours) == (answer.error if answered else None, len(graph.arrived), found)


@pytest.mark.parametrize("body", [template("on_hold"), {**TEXT, "category": "utility"}, READ, b"{"])
async def test_what_needs_no_ledger_is_not_degraded(body, house):
    """`degraded` says that the ledger is away, not that it was not needed."""
    answer = await house.send(body)

    assert answer["Gatekeeper-State"] in ("cold", "warm", None)


@pytest.mark.parametrize(
    ("body", "ours"),
    [
        pytest.param(TEXT, said("allow", "within_free_tier", **TIER), id="text"),
        pytest.param(REACTION, said("allow", "free_reaction", category="service", **FREE), id="reaction"),
        pytest.param(
            template("order_update"), costs("utility", "0.055"), id="utility is charged inside the window since 2026-10"
        ),
    ],
)
async def test_a_send_inside_the_window_says_when_it_ends(body, ours, house, graph):
    """The user's message opens 24 hours, counted from its own time, in which free-form goes out."""
    await house.wrote()
    answer = await house.send(body)

    assert (200, 1, ours | OPEN) == (answer.status, len(graph.arrived), answer.ours)


@pytest.mark.parametrize("more", [{}, {"typing_indicator": {"type": "text"}}])
async def test_a_read_receipt_is_no_message(more, house, graph):
    """A receipt or typing indicator goes out free, whatever the window."""
    answer = await house.send({**READ, **more})
    money = {"Gatekeeper-Charged": "false", "Gatekeeper-Price": "0", "Gatekeeper-Price-Bound": "exact"}

    assert (200, 1, "allow", "not_a_message") == (
        answer.status,
        len(graph.arrived),
        answer["Gatekeeper-Verdict"],
        answer["Gatekeeper-Reason"],
    )
    assert money == {name: answer[name] for name in money}


async def test_a_window_never_seen_is_unknown_until_it_was_watched_for(open_house, graph):
    """Before the ledger has seen 24 hours of webhooks an unseen window lets free-form out; then it is closed."""
    house = await open_house(graph.url)
    unheard = await house.text()
    await house.wrote(user="4915100000000")
    house.now += 23 * 3_600_000
    cold = await house.text()
    house.now += 2 * 3_600_000
    warm = await house.text()

    assert said("allow", "window_unknown", **TIER) == unheard.ours
    assert ("window_unknown", "cold") == (cold["Gatekeeper-Reason"], cold["Gatekeeper-State"])
    assert (blocked("outside_customer_service_window", state="warm"), 131047) == (warm.ours, warm.error[1])


async def test_the_window_ends_to_the_second(house):
    """It is open for 24 hours from the user's own timestamp, and not a moment longer."""
    await house.wrote()
    house.now += 24 * 3_600_000 - 1
    inside = await house.text()
    house.now += 1
    outside = await house.text()

    assert (200, 400) == (inside.status, outside.status)


async def test_an_opted_out_user_gets_no_marketing(house, graph):
    """A user's stop is Meta's 131050 for marketing and nothing else, until they resume."""
    wish = {"wa_id": USER, "category": "marketing_messages", "timestamp": str(house.now // 1000)}
    await house.changed({"user_preferences": [{**wish, "value": "stop"}]}, field="user_preferences")
    stopped = await house.template("spring_sale")
    other = await house.template("order_update")
    house.now += 1000
    resumed = {**wish, "value": "resume", "timestamp": str(house.now // 1000)}
    await house.changed({"user_preferences": [resumed]}, field="user_preferences")
    again = await house.template("spring_sale")

    assert ((400, 131050), blocked("recipient_opted_out")) == (stopped.error, stopped.ours)
    assert (200, 200) == (other.status, again.status)


@pytest.mark.parametrize(
    ("event", "answered"),
    [("PAUSED", (400, 132015)), ("DISABLED", (400, 132016)), ("REJECTED", (404, 132001)), ("FLAGGED", None)],
)
async def test_a_template_is_refused_as_soon_as_meta_says_so(event, answered, house):
    """A webhook on a template counts for the next send, also where the configuration told another status."""
    before = await house.template("order_update")
    news = {"event": event, "message_template_name": "order_update", "message_template_language": "en_US"}
    await house.changed(news, field="message_template_status_update")
    after = await house.template("order_update")

    assert (200, answered) == (before.status, after.error if answered else None)


async def test_a_template_is_priced_by_its_new_category(house):
    """A template that Meta moves to another category costs what that one does."""
    news = {"message_template_name": "order_update", "message_template_language": "en_US"}
    await house.changed({**news, "previous_category": "UTILITY", "new_category": "MARKETING"}, field="template_category_update")
    answer = await house.template("order_update")

    assert costs("marketing", "0.1365") == answer.ours


async def test_an_unconfirmed_free_entry_is_expected_to_be_free_and_costs_at_most_its_price(house):
    """The answer to an ad opens the free entry point, but only Meta knows whether the ad counted."""
    await house.wrote(referral={"source_type": "ad", "source_id": "1"})
    answer = await house.template("spring_sale")
    expected = costs("referral_conversion", "0.1365", "at-most", "false", "opens_free_entry_point", opens="free_entry_point")

    assert expected | OPEN == answer.ours


async def test_a_thread_of_another_partner_is_not_taken_over(open_house, graph):
    """With takes_threads = false a service message is refused while the user's last message came on standby."""
    house = await open_house(graph.url, account={"takes_threads": False})
    await house.wrote()
    mine = await house.text()
    seconds = house.now // 1000 + 1
    message = {"from": USER, "id": "wamid.s", "timestamp": str(seconds), "type": "text", "text": {"body": "x"}}
    await house.changed({"messages": [message]}, field="standby")
    theirs = await house.text()
    template = await house.template("order_update")

    assert (200, (400, 131070), 200) == (mine.status, theirs.error, template.status)


async def test_direct_send_is_priced_where_it_is_enabled(open_house, graph):
    """A text with a category of its own is a template in all but name, and needs no window."""
    house = await open_house(graph.url, account={"direct_send": True}, policy={"cold_start": "closed"})
    answer = await house.send({**TEXT, "category": "utility"})

    assert costs("utility", "0.055") == answer.ours


async def test_a_group_message_has_no_price_of_its_own(house):
    """It is priced for each member: the decision says no price, and a market is nobody's."""
    answer = await house.send({**GROUP, "type": "template", "template": {"name": "spring_sale", "language": {"code": "en_US"}}})

    assert ("group_marketing", "true", None, "unknown", None) == tuple(
        answer[f"Gatekeeper-{name}"] for name in ("Category", "Charged", "Price", "Price-Bound", "Market")
    )


async def test_an_unknown_price_is_not_zero(open_house, graph):
    """Without a rate card the price header is absent, its bound unknown, and the send goes out."""
    house = await open_house(graph.url, account={"currency": "JPY"})
    answer = await house.template("spring_sale")

    assert (200, None, "unknown", "true", "JPY", None) == (
        answer.status,
        *(answer[f"Gatekeeper-{name}"] for name in ("Price", "Price-Bound", "Charged", "Currency", "Rate-Card")),
    )


async def test_in_the_time_of_conversations_the_first_opens_and_the_second_is_inside(open_house, graph):
    """Until June 2025 a template opened a conversation of its category, and the next one was in it."""
    house = await open_house(graph.url, now=1_693_900_800_000)  # 2023-09-05T08:00Z
    opener, inside = await house.template("order_update"), await house.template("order_update")
    thread = await house.thread()

    assert ("opens_conversation", "utility", "utility", "exact") == tuple(
        opener[f"Gatekeeper-{name}"] for name in ("Reason", "Category", "Opens", "Price-Bound")
    )
    assert ("inside_open_conversation", "utility", None, "at-most", "1693987200") == tuple(
        inside[f"Gatekeeper-{name}"] for name in ("Reason", "Category", "Opens", "Price-Bound", "Conversation-Expires")
    )
    assert [{"category": "utility", "expires": 1_693_987_200, "confirmed": False}] == thread["conversations"]


async def test_a_block_has_graphs_shape(house):
    """The body is what Meta's own refusal would be, so that the SDK in use raises its own exception."""
    answer = await house.text()
    error = answer.json["error"]

    assert ("application/json; charset=utf-8", None) == (answer["Content-Type"], answer["Retry-After"])
    assert {"error": {**error, "fbtrace_id": answer["Gatekeeper-Id"]}} == answer.json
    assert ["message", "type", "code", "error_data", "fbtrace_id"] == list(error)
    assert ("(#131047) Re-engagement message", "OAuthException", 131047) == (error["message"], error["type"], error["code"])
    assert ("whatsapp", True) == (error["error_data"]["messaging_product"], "template" in error["error_data"]["details"])


FIELDS = [
    "event",
    "id",
    "at",
    "verdict",
    "reason",
    "error_code",
    "category",
    "opens",
    "charged",
    "price",
    "price_bound",
    "currency",
    "market",
    "rate_card",
    "regime",
    "window_expires",
    "free_entry_expires",
    "conversation_expires",
    "free_remaining",
]


@pytest.mark.parametrize("value", ["true", "TRUE", "True"])
async def test_a_dry_run_sends_and_reserves_nothing(value, house, graph):
    """It answers 200 with the decision as JSON, and leaves no trace."""
    await house.wrote()
    runs = [await house.text(("Gatekeeper-Dry-Run", value)) for _ in range(3)]
    real = await house.text()

    assert ([200] * 3, [998 + 1] * 3, "999", 1) == (
        [run.status for run in runs],
        [run.json["free_remaining"] for run in runs],
        real["Gatekeeper-Free-Remaining"],
        len(graph.arrived),
    )
    assert (FIELDS, "allow", runs[0]["Gatekeeper-Id"]) == (list(runs[0].json), runs[0].json["verdict"], runs[0].json["id"])


async def test_a_dry_run_of_a_block_is_a_200(house, graph):
    """The decision is the answer, not its refusal."""
    answer = await house.text(DRY)

    assert (200, "block", 131047, None, []) == (
        answer.status,
        answer.json["verdict"],
        answer.json["error_code"],
        answer.json["price"],
        graph.arrived,
    )


async def test_a_dry_run_uses_up_no_key(house, graph):
    """Whatever Idempotency-Key it carries is still free for the real send."""
    key = ("Idempotency-Key", "k1")
    tried = [await house.template(name, DRY, key) for name in ("spring_sale", "order_update")]
    sent = await house.template("order_update", key)

    assert ([200, 200], 200, 1) == ([answer.status for answer in tried], sent.status, len(graph.arrived))


@pytest.mark.parametrize("value", ["false", "0", ""])
async def test_a_dry_run_that_is_none_is_sent(value, house, graph):
    """Only true makes a dry run."""
    await house.template("order_update", ("Gatekeeper-Dry-Run", value))

    assert 1 == len(graph.arrived)


@pytest.mark.parametrize(
    ("body", "reason", "charged", "price"),
    [
        (TEXT, "outside_customer_service_window", "false", "0"),
        (template("on_hold"), "template_paused", "true", "0.055"),
        (template("not_yet"), "template_not_found", "true", "0.055"),
        (b"{", "malformed_request", "unknown", None),
        ({"to": USER}, "malformed_request", "unknown", None),
    ],
)
async def test_annotate_blocks_nothing(body, reason, charged, price, open_house, graph):
    """What would have been refused goes out, says why, and is priced as what went out."""
    house = await open_house(graph.url, policy={"mode": "annotate", "cold_start": "closed"})
    answer = await house.send(body)

    assert (200, 1, "annotate", reason, charged, price) == (
        answer.status,
        len(graph.arrived),
        *(answer[f"Gatekeeper-{name}"] for name in ("Verdict", "Reason", "Charged", "Price")),
    )


@pytest.mark.parametrize("body", [TEXT, b"{"])
async def test_a_dry_run_says_what_would_really_happen(body, open_house, graph):
    """In annotate mode a dry run annotates too."""
    house = await open_house(graph.url, policy={"mode": "annotate", "cold_start": "closed"})
    answer = await house.send(body, DRY)

    assert ("annotate", "annotate", None) == (answer.json["verdict"], answer["Gatekeeper-Verdict"], answer.json["error_code"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", 100, id="nothing"),
        pytest.param(b"{", 100, id="half an object"),
        pytest.param(b"[]", 100, id="array"),
        pytest.param(b"null", 100, id="null"),
        pytest.param(b'{"messaging_product":"whatsapp"} x', 100, id="more after the object"),
        pytest.param(b'{"messaging_product":"whatsapp","to":"\xff","text":{"body":"hi"}}', 100, id="not UTF-8"),
        pytest.param(b'{"messaging_product":"whatsapp","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 100, id="deep"),
        pytest.param({}, 100, id="no product"),
        pytest.param({**TEXT, "messaging_product": "sms"}, 100, id="another product"),
        pytest.param({k: v for k, v in TEXT.items() if k != "to"}, 100, id="no recipient"),
        pytest.param({"messaging_product": "whatsapp", "to": USER}, 131008, id="no type"),
        pytest.param({**TEXT, "type": "image"}, 131008, id="no image"),
        pytest.param({**TEXT, "text": {}}, 131008, id="empty text"),
        pytest.param({**TEXT, "text": "hi"}, 131009, id="text is no object"),
        pytest.param({**TEXT, "to": ["1"]}, 131009, id="a list of recipients"),
        pytest.param({**TEXT, "type": "order"}, 131051, id="what only users send"),
        pytest.param({**TEXT, "type": "template", "template": {"name": "a"}}, 131008, id="template without a language"),
        pytest.param({**READ, "message_id": ""}, 131008, id="receipt of nothing"),
        pytest.param({**TEXT, "recipient_type": "everyone"}, 100, id="unknown kind of recipient"),
        pytest.param(
            {**TEXT, "to": None, "recipient": "US.1", "category": "authentication"},
            131062,
            id="code to a business-scoped user id",
        ),
    ],
)
async def test_a_malformed_body_is_refused_as_meta_would(body, code, house, graph):
    """The caller gets Meta's own code at once, and Meta gets nothing."""
    answer = await house.send(body)

    assert ((400, code), "malformed_request", "block", []) == (
        answer.error,
        answer["Gatekeeper-Reason"],
        answer["Gatekeeper-Verdict"],
        graph.arrived,
    )


@pytest.mark.parametrize("packed", [b"not gzip", gzip.compress(PLAIN)[:-9], b""], ids=["not gzip", "cut off", "nothing"])
async def test_a_body_that_is_not_what_its_encoding_says_is_malformed(packed, house, graph):
    """A broken or cut off encoding is the caller's mistake."""
    answer = await house.send(packed, ("Content-Encoding", "gzip"))

    assert ((400, 100), []) == (answer.error, graph.arrived)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        pytest.param("deflate", zlib.compress(PLAIN) + raw_deflate(json.dumps(READ).encode()), id="another body behind it"),
        pytest.param("deflate", zlib.compress(PLAIN) + b"x", id="a stray byte behind it"),
        pytest.param("gzip", gzip.compress(PLAIN) + json.dumps(READ).encode(), id="another body, unpacked"),
    ],
)
async def test_nothing_hides_behind_a_packed_body(encoding, packed, house, graph):
    """What we read of a body is what Meta reads of it: what follows its end is no second body that we would decide by."""
    answer = await house.send(packed, ("Content-Encoding", encoding))

    assert (400, []) == (answer.status, graph.arrived)


@pytest.mark.parametrize(
    ("encoding", "member"), [("gzip", gzip.compress(b"")), ("deflate", zlib.compress(b""))], ids=["gzip", "deflate"]
)
async def test_a_body_of_many_members_holds_nobody_up(encoding, member, house):
    """Reading a body takes a time that grows as it does, not as its square: one caller must not stop the others."""
    body = member * ((1 << 20) // len(member))
    began = time.monotonic()
    answer = await house.send(body, ("Content-Encoding", encoding))
    took = time.monotonic() - began

    assert (400, 100) == answer.error
    assert took < 0.4


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "compress"])
async def test_an_unknown_encoding_is_a_415(encoding, house, graph):
    """What we cannot read we cannot decide."""
    answer = await house.send(PLAIN, ("Content-Encoding", encoding))

    assert (415, []) == (answer.error[0], graph.arrived)


def padded(size):
    """A template of so many bytes."""
    body = json.dumps(template("order_update")).encode()
    return body + b" " * (size - len(body))


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param([], padded(4096), 200, id="the limit itself"),
        pytest.param([], padded(4097), 413, id="one byte more"),
        pytest.param([("Transfer-Encoding", "chunked")], b"1001\r\n" + padded(4097) + b"\r\n0\r\n\r\n", 413, id="chunked"),
        pytest.param([("Content-Encoding", "gzip")], gzip.compress(padded(4096)), 200, id="unpacked, the limit itself"),
        pytest.param([("Content-Encoding", "gzip")], gzip.compress(padded(4097)), 413, id="unpacked, one byte more"),
        pytest.param([("Content-Encoding", "gzip")], gzip.compress(bytes(1 << 24)), 413, id="gzip bomb"),
        pytest.param([("Content-Encoding", "deflate")], zlib.compress(bytes(1 << 20)), 413, id="deflate bomb"),
        pytest.param([], padded(1 << 20), 413, id="much more"),
    ],
)
async def test_a_body_is_read_up_to_its_limit(headers, body, status, open_house, graph):
    """`max_body` bounds a gated send, packed and unpacked; what is over it is a 413 in Graph's shape."""
    house = await open_house(graph.url, server={"max_body": "4KiB", "grace": "1s"})
    answer = await house.send(body, *headers)

    assert (status, 1 if status == 200 else 0) == (answer.status if status == 200 else answer.error[0], len(graph.arrived))


@pytest.mark.parametrize(
    "target",
    [
        f"/{NUMBER}/messages",
        f"/v9.0/{NUMBER}/messages/",
        f"/v23.0/{NUMBER}/messages?x=1",
        f"/prefix/of/mine/v23.0/{NUMBER}/messages",
        f"/v23.0/{NUMBER}/%6d%65ssages",
        f"/v23.0%2F{NUMBER}%2Fmessages",
        f"/v23.0/%31{NUMBER[1:]}/messages",
        f"//v23.0///{NUMBER}//messages//",
        f"/./v23.0/{NUMBER}/./messages",
        f"/x/../v23.0/{NUMBER}/messages",
        f"/x/%2e%2e/v23.0/{NUMBER}/%2E/messages",
        f"/v23.0/{NUMBER}/media/../messages",
        f"/../../v23.0/{NUMBER}/messages",
        f"/a%3Fb/v23.0/{NUMBER}/messages",
        f"/a%23b/v23.0/{NUMBER}/messages",
    ],
)
async def test_no_spelling_of_the_path_hides_a_send(target, house, graph):
    """Whatever the upstream would read as a send is one."""
    answer = await house.send(TEXT, path=target)

    assert ((400, 131047), []) == (answer.error, graph.arrived)


FORM = b"messaging_product=whatsapp&to=4915112345678&type=text&text=%7B%22body%22%3A%22hi%22%7D"
PARTS = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": '{"body":"hi"}'}
MULTIPART = (
    "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in PARTS.items()).encode() + b"--b--\r\n"
)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param([], PLAIN, id="none"),
        pytest.param([("Content-Type", "text/plain")], PLAIN, id="text"),
        pytest.param([("Content-Type", "application/JSON; charset=UTF-8")], PLAIN, id="JSON"),
        pytest.param([("Content-Type", "application/x-www-form-urlencoded")], FORM, id="form"),
        pytest.param([("Content-Type", 'multipart/form-data; boundary="b"')], MULTIPART, id="multipart"),
    ],
)
async def test_no_content_type_hides_a_send(headers, body, house, graph):
    """Whatever Graph would take a body for, it is read."""
    answer = await house.ask("POST", SENDS, headers, body)

    assert ((400, 131047), []) == (answer.error, graph.arrived)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", SENDS),
        ("DELETE", SENDS),
        ("PUT", SENDS),
        ("POST", f"/v23.0/{NUMBER}/media"),
        ("POST", f"/v23.0/{NUMBER}/messages/1"),
        ("POST", f"/v23.0/{NUMBER}/messages_history"),
        ("POST", f"/v23.0/{NUMBER}"),
        ("GET", "/v23.0/abc/messages"),
        ("DELETE", "/messages"),
        ("POST", f"/v23.0/x?path=/{NUMBER}/messages"),
    ],
)
async def test_what_is_no_send_is_passed_on_undecided(method, target, house, graph):
    """Any other path or method goes to the upstream without a decision."""
    answer = await house.ask(method, target, [JSON], PLAIN)

    assert (200, [(method, target)], {}) == (answer.status, [(a.method, a.target) for a in graph.arrived], answer.ours)


def closed_port() -> str:
    """A URL where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


async def test_a_connection_that_never_opened_is_a_502_and_given_back(open_house):
    """Nothing was sent, so nothing is held."""
    house = await open_house(closed_port())
    await house.wrote()
    answer = await house.text()

    assert (502, 999) == (answer.error[0], await house.free_remaining())


async def reset(head, reader, writer):
    """Take the body and break off."""
    await reader.readexactly(int(head["Content-Length"]))
    writer.transport.abort()


async def half(head, reader, writer):
    """Break off in the middle of the answer."""
    await reader.readexactly(int(head["Content-Length"]))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.transport.abort()


async def silence(head, reader, writer):
    """Take the body and say nothing."""
    await reader.read()


async def trickle(head, reader, writer):
    """Answer so slowly that the answer is never done."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def garbage(head, reader, writer):
    """Answer in no language that we know."""
    await reader.readexactly(int(head["Content-Length"]))
    writer.write(b"220 smtp.example.com ESMTP\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    ("script", "status"),
    [(reset, 502), (half, 502), (garbage, 502), (silence, 504), (trickle, 504)],
    ids=lambda x: getattr(x, "__name__", x),
)
async def test_an_answer_that_never_came_keeps_the_reservation(script, status, open_house, wire):
    """After the body was sent nobody knows: the caller hears of it, nothing is sent twice, and the money counts as spent."""
    house = await open_house(wire.url, upstream={"timeout": "300ms"})
    await house.wrote()
    wire.script = script
    answer = await house.text()

    assert (status, 1, 998) == (answer.error[0], len(wire.arrived), await house.free_remaining())


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        pytest.param(http("200 OK", ACCEPTED), 998, id="accepted"),
        pytest.param(http("200 OK", gzip.compress(ACCEPTED), "Content-Encoding: gzip"), 998, id="accepted, packed"),
        pytest.param(http("400 Bad Request", GRAPH_ERROR), 999, id="refused"),
        pytest.param(http("400 Bad Request", gzip.compress(GRAPH_ERROR), "Content-Encoding: gzip"), 999, id="refused, packed"),
        pytest.param(http("500 Internal Server Error", GRAPH_ERROR), 999, id="500 in Graph's shape"),
        pytest.param(
            http("503 Service Unavailable", zlib.compress(GRAPH_ERROR), "Content-Encoding: deflate"), 999, id="503, packed"
        ),
        pytest.param(http("200 OK", GRAPH_ERROR), 999, id="an error with 200"),
        pytest.param(http("500 Internal Server Error", b"<html>"), 998, id="500 of another shape"),
        pytest.param(http("502 Bad Gateway", b'{"message":"oops"}'), 998, id="502 of another shape"),
        pytest.param(http("503 Service Unavailable", b'{"error":"oops"}'), 998, id="503 of another shape"),
        pytest.param(
            http("500 Internal Server Error", b"\x1f\x8b broken", "Content-Encoding: gzip"), 998, id="500, broken encoding"
        ),
        pytest.param(http("500 Internal Server Error", b"?", "Content-Encoding: br"), 998, id="500, unknown encoding"),
        pytest.param(http("200 OK", b"not JSON"), 998, id="200 that says nothing"),
    ],
)
async def test_an_answer_is_passed_on_and_followed_up(answer, left, bare, wire):
    """An error in Graph's shape gives the reservation back, whatever its status; anything else that may have been sent holds it."""
    await bare.wrote()
    wire.answer = answer
    passed = await bare.text()
    head, _, body = answer.partition(b"\r\n\r\n")

    assert (head.split(b"\r\n")[0].decode(), body, left) == (passed.line, passed.body, await bare.free_remaining())


async def test_a_caller_that_hangs_up_does_not_undo_its_send(bare, wire):
    """Once the body is on its way its course is followed to the end: one line, and the reservation is named."""
    await bare.wrote()
    taken, answer = asyncio.Event(), asyncio.Event()

    async def slow(head, reader, writer):
        await reader.readexactly(int(head["Content-Length"]))
        taken.set()
        await answer.wait()
        writer.write(http("200 OK", ACCEPTED))

    wire.script = slow
    caller = asyncio.create_task(bare.text())
    await taken.wait()
    caller.cancel()
    await asyncio.wait([caller])
    answer.set()
    await eventually(lambda: bool(bare.logged("decision")))
    await bare.status("wamid.1", "delivered")
    await eventually(lambda: len(bare.logged("webhook")) == 2)

    assert (200, 1) == (bare.logged("decision")[0]["upstream_status"], bare.logged("webhook")[1]["settled"])


async def test_a_status_that_overtakes_its_sends_answer_settles_it(house, graph):
    """Meta may say that a message was delivered before it has answered the send."""
    await house.status("wamid.1", "delivered")
    await house.wrote()
    await house.text()
    metrics = (await house.admin("/metrics")).body.decode()

    assert 'gatekeeper_settlements_total{category="service",charged="false",delivered="true"} 1.0' in metrics


@pytest.mark.parametrize("timestamp", ["1", "86400", "253402300800"])
async def test_a_status_of_an_odd_time_does_not_spoil_its_sends_answer(timestamp, house, graph):
    """What Meta accepted is answered as Meta did, whatever our books make of a status that came before."""
    parked = await house.status("wamid.1", "delivered", timestamp=timestamp)
    answer = await house.template("order_update")

    assert (200, 200, 1) == (parked.status, answer.status, len(graph.arrived))


async def test_a_caller_names_itself_for_the_log(house):
    """Gatekeeper-Caller is in the line, cut to what a name may be."""
    await house.text(("Gatekeeper-Caller", "crm" + "x" * 100))

    assert "crm" + "x" * 61 == house.logged("decision")[0]["caller"]


@pytest.mark.parametrize(
    "header", ["Gatekeeper-Caller", "Idempotency-Key", "Gatekeeper-Dry-Run", "Content-Type", "Content-Encoding"]
)
async def test_a_header_of_stray_bytes_is_no_fault_of_ours(header, house, graph):
    """What we read of a request may be no text; the answer is a decision or a refusal, never a 500 for what may have been sent."""
    body = json.dumps(template("order_update")).encode()
    answer = await house.ask("POST", SENDS, [(header, "\xff\xfe")], body)

    assert answer.status in (200, 400, 415)
    assert (answer.status == 200) == (len(graph.arrived) == 1)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="two lengths"
        ),
        pytest.param(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two sizes"),
        pytest.param(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", id="less than nothing"),
        pytest.param(b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", id="bad chunk"),
        pytest.param(b"POST %b HTTP/1.1\r\nHost: x\r\nX-A: b\x00c\r\nContent-Length: 2\r\n\r\n{}", id="a zero in a header"),
        pytest.param(b"POST %b HTTP/1.1\r\nHost: x\r\nX A: b\r\nContent-Length: 2\r\n\r\n{}", id="a space in a name"),
        pytest.param(
            b"POST %b HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000 + b"\r\nContent-Length: 2\r\n\r\n{}", id="long header"
        ),
        pytest.param(b"POST http://evil.example%b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", id="another host"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 %b \r\n\r\n", id="TLS"),
        pytest.param(b"nonsense %b\r\n\r\n", id="nonsense"),
    ],
)
async def test_what_is_no_http_is_a_400_in_graphs_shape(request_bytes, house, graph):
    """A request that cannot be read is refused in the one shape that callers know, and goes nowhere."""
    answer = await house.exchange(request_bytes % SENDS.encode())

    assert (400, []) == (answer.error[0], graph.arrived)


async def test_a_body_that_breaks_off_goes_nowhere(house, graph):
    """Half a send is none."""
    half_sent = f"POST {SENDS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PLAIN)}\r\n\r\n".encode() + PLAIN[:-1]
    await house.exchange(half_sent, hang_up=True)
    whole = await house.template("order_update")

    assert (200, 1) == (whole.status, len(graph.arrived))


async def test_two_sends_on_one_connection_are_two(bare, wire):
    """Requests that a caller sends ahead are answered one after the other."""
    one = f"POST {SENDS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PLAIN)}\r\n\r\n".encode() + PLAIN
    await bare.exchange(one + one)
    await eventually(lambda: len(wire.arrived) == 2)

    assert [PLAIN, PLAIN] == [request.body for request in wire.arrived]


async def test_many_sends_at_once_are_all_decided_by_the_ledger(house, graph):
    """A burst waits for the ledger and is not mistaken for its loss; each send counts once."""
    await house.wrote()
    answers = await asyncio.gather(*(house.text() for _ in range(200)))

    assert ({200}, {"cold"}) == ({a.status for a in answers}, {a["Gatekeeper-State"] for a in answers})
    assert set(range(800, 1000)) == {int(a["Gatekeeper-Free-Remaining"]) for a in answers}


async def test_a_caller_that_expects_to_be_told_to_continue_is_told(bare):
    """Whoever asks before it sends its body gets an answer to that."""
    head = f"POST {SENDS} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(PLAIN)}\r\n\r\n".encode()
    async with asyncio.timeout(1):
        answer = await bare.exchange(head)

    assert "HTTP/1.1 100 Continue" == answer.line
