"""What looks like a webhook or a send and is at no path of either is refused, and said; nothing of it passes in silence."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

NUMBER, USER = "106540352242922", "4915112345678"
BODY = json.dumps({"object": "whatsapp_business_account", "entry": []}).encode()
DIGEST = "sha256=" + hmac.new(b"the-app-secret", BODY, hashlib.sha256).hexdigest()
SIGNED = ("X-Hub-Signature-256", DIGEST)
HANDSHAKE = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=the-verify-token"
TWICE = [("X-A", "1"), ("X-A", "2")]  # a header that comes twice leads to aiohttp's own server
JSON = ("Content-Type", "application/json")
TEXT = json.dumps({"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hi"}}).encode()
ELSEWHERE = ["/Webhook", "/webhook/", "//webhook", "/%77ebhook", "/webhook;x", "/x/../webhook", "/webhooks", "/", "/v23.0/me"]


def rejected(house):
    return [(line["why"], line["status"], line["level"], line.get("sign")) for line in house.logged("request_rejected")]


@pytest.mark.parametrize(
    "path", [*ELSEWHERE, f"/v23.0/{NUMBER}/messages", f"/v23.0/{NUMBER}/media?x=1", "/webhook/102290129340398"]
)
@pytest.mark.parametrize("name", ["X-Hub-Signature-256", "x-hub-signature-256", "X-HUB-SIGNATURE-256", "X-Hub-Signature"])
@pytest.mark.parametrize("more", [[], TWICE], ids=["short", "long"])
async def test_what_is_signed_comes_to_the_webhooks_path_alone(more, name, path, house, graph):
    """It may be of a customer's words: the upstream never has it, and a send it is not, whichever way it comes in."""
    answer = await house.ask("POST", path, [JSON, (name, DIGEST), *more], BODY)

    assert ((404, 100), []) == (answer.error, graph.arrived)
    assert [("webhook_at_wrong_path", 404, "warning", "signature")] == rejected(house)
    assert ([], False) == (house.logged("decision"), DIGEST.partition("=")[2] in house.written.getvalue())


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_whatever_the_method_is(method, house, graph):
    """A signature makes it a webhook."""
    answer = await house.ask(method, "/Webhook", [SIGNED], BODY)

    assert ((404, 100), [], 1) == (answer.error, graph.arrived, len(rejected(house)))


@pytest.mark.parametrize("path", ELSEWHERE)
@pytest.mark.parametrize(
    "query",
    [
        HANDSHAKE,
        "HUB.mode=subscribe",
        "a=1&hub%2Echallenge=x",
        "%68ub.verify_token=the-verify-token",
        "hub.topic",
        "a=1&+hub.mode=x",
    ],
)
async def test_a_handshake_comes_there_alone(query, path, house, graph):
    """The verify token is nobody else's."""
    answer = await house.ask("GET", f"{path}?{query}")

    assert ((404, 100), []) == (answer.error, graph.arrived)
    assert [("webhook_at_wrong_path", 404, "warning", "handshake")] == rejected(house)
    assert "the-verify-token" not in house.written.getvalue()


async def test_a_handshake_may_hide_behind_an_escape(house, graph):
    """A server may take an escaped question mark for one."""
    answer = await house.ask("GET", f"/Webhook%3F{HANDSHAKE}")

    assert ((404, 100), []) == (answer.error, graph.arrived)


@pytest.mark.parametrize(
    "path", ["/Webhook", "/webhook/", "//webhook", "/%77ebhook", "/webhook;x", "/%2577ebhook", "/x/../webhook"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_spelling_of_the_webhooks_path_is_not_it(method, path, house, graph):
    """What some server would take for it is a mistake, signed or not."""
    answer = await house.ask(method, path, [], BODY if method == "POST" else b"")

    assert ((404, 100), []) == (answer.error, graph.arrived)
    assert [("webhook_at_wrong_path", 404, "warning", "path")] == rejected(house)


@pytest.mark.parametrize("path", ["/hook", "/webhooks", "/webhook2", "/v23.0/webhook", "/web/hook", "/?x=hub.mode", "/?xhub.a=1"])
async def test_what_is_not_like_it_passes(path, house, graph):
    """Byte for byte, as ever."""
    answer = await house.ask("GET", path)

    assert (200, [path], []) == (answer.status, [request.target for request in graph.arrived], rejected(house))


async def test_the_webhooks_path_may_have_a_query(house):
    """It is the path all the same."""
    statuses = [
        (await house.ask("POST", "/webhook?x=1", [SIGNED], BODY)).status,
        (await house.ask("GET", f"/webhook?x=1&{HANDSHAKE}")).status,
    ]

    assert ([200, 200], []) == (statuses, rejected(house))


@pytest.mark.parametrize(("configured", "asked"), [("/hooks/Meta", "/hooks/Meta"), ("/wéb hook", "/w%C3%A9b%20hook")])
async def test_the_path_is_the_configured_one(configured, asked, open_house, graph):
    """As a URL spells it."""
    house = await open_house(graph.url, webhook={"path": configured})
    answers = [
        await house.ask("POST", asked, [SIGNED], BODY),
        await house.ask("POST", asked.upper(), [SIGNED], BODY),
        await house.ask("POST", "/webhook", [SIGNED], BODY),
    ]

    assert ([200, 404, 404], []) == ([answer.status for answer in answers], graph.arrived)


@pytest.mark.parametrize(("method", "query", "headers"), [("PUT", "", [SIGNED]), ("DELETE", f"?{HANDSHAKE}", [])])
async def test_a_webhook_comes_by_post(method, query, headers, house, graph):
    """And a handshake by GET; neither is the upstream's by another method."""
    answer = await house.ask(method, "/webhook" + query, headers)

    assert ((405, 100), "GET, POST", []) == (answer.error, answer["Allow"], graph.arrived)
    assert [("webhook_by_wrong_method", 405, "warning", None)] == rejected(house)


WHY = {
    "no_signature": [],
    "wrong_signature": [("X-Hub-Signature-256", DIGEST[:-1] + ("0" if DIGEST[-1] != "0" else "1"))],
}


@pytest.mark.parametrize("why", WHY)
async def test_each_401_has_a_line(why, house):
    """Which says why, and nothing of the signature."""
    await house.ask("POST", "/webhook", WHY[why], BODY)

    assert [(401, why, "warning")] == [(one["status"], one["why"], one["level"]) for one in house.logged("webhook_refused")]
    assert DIGEST[7:30] not in house.written.getvalue()


async def test_a_gate_without_a_secret_says_so(open_house, graph):
    """Each time."""
    house = await open_house(graph.url, webhook={"app_secret": ""})
    answers = [await house.ask("POST", "/webhook", [SIGNED], BODY) for _ in range(3)]

    assert [401] * 3 == [answer.status for answer in answers]
    assert ["no_secret"] * 3 == [one["why"] for one in house.logged("webhook_refused")]


async def test_two_signatures_are_none(house):
    """Whoever reads on might take the other one."""
    twice = await house.ask("POST", "/webhook", [SIGNED, ("X-Hub-Signature-256", "sha256=" + "0" * 64)], BODY)

    assert (401, ["malformed_signature"]) == (twice.status, [one["why"] for one in house.logged("webhook_refused")])


NEARLY = [
    "/messages",
    "/v23.0/messages",
    "/me/messages",
    "/v23.0/me/messages",
    "/+15551234567/messages",
    "/v23.0/%2B1%20555%20123/messages",
    "/v23.0/abc/messages",
    f"/v23.0/{NUMBER}x/messages",
    f"/v23.0/x{NUMBER}/marketing_messages",
    "/marketing_messages",
    "/me/Messages/",
    "/me/%6dessages",
    "/me/mess%2561ges",
    "//me//messages//",
    "/me/x/../messages",
    "/me/messages;v=1",
    f"/v23.0/{NUMBER}/messages.json",
    f"/v23.0/{NUMBER}/MESSAGES.JSON",
    f"/v23.0/{NUMBER}/messages,x",
    f"/v23.0/{NUMBER}/messages:send",
    f"/v23.0/{NUMBER}/messages&x=1",
    "/me\\messages",
    "/me/messages%3Fx",
    "/me/messages?to=1",
    "/v23.0/t_100/messages",
]


@pytest.mark.parametrize("path", NEARLY)
async def test_an_edge_of_sends_without_a_number_is_refused(path, house, graph):
    """In Graph's shape, with the path named and a decision line: nobody could say from which number it would go."""
    answer = await house.ask("POST", path, [JSON], TEXT)
    [line] = house.logged("decision")

    assert ((400, 100), "malformed_request", []) == (answer.error, answer["Gatekeeper-Reason"], graph.arrived)
    assert ("block", "malformed_request") == (line["verdict"], line["reason"])
    assert "no phone number id" in answer.json["error"]["error_data"]["details"]
    assert "15551234567" not in answer.body.decode() + house.written.getvalue()


@pytest.mark.parametrize("path", ["/me/messages", "/messages", f"/v23.0/{NUMBER}/messages.json"])
async def test_what_only_annotates_lets_it_pass_and_says_so(path, open_house, graph):
    """With headers and a line."""
    house = await open_house(graph.url, policy={"mode": "annotate"})
    answer = await house.ask("POST", path, [JSON], TEXT)

    assert (200, [(path, TEXT)]) == (answer.status, [(request.target, request.body) for request in graph.arrived])
    assert ("annotate", "malformed_request") == (answer["Gatekeeper-Verdict"], answer["Gatekeeper-Reason"])
    assert ["annotate"] == [line["verdict"] for line in house.logged("decision")]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
@pytest.mark.parametrize("path", ["/me/messages", "/messages", "/v23.0/t_100/messages?fields=id"])
async def test_what_is_no_post_there_passes(path, method, bare, wire):
    """Reading a conversation is no send."""
    answer = await bare.ask(method, path)

    assert (200, [path], []) == (answer.status, [request.target for request in wire.arrived], bare.logged("decision"))


@pytest.mark.parametrize(
    ("query", "headers", "body"),
    [
        ("?method=post", [], b""),
        ("", [("X-HTTP-Method-Override", "POST")], b""),
        ("", [("X_HTTP_Method", "post")], b""),
        ("", [("Content-Type", "application/x-www-form-urlencoded")], b"method=post&to=1"),
        ("", [JSON], b'{"method": "POST"}'),
    ],
)
async def test_a_post_may_be_said_in_other_ways(query, headers, body, house, graph):
    """As with a send."""
    answer = await house.ask("GET", f"/me/messages{query}", headers, body)

    assert ((400, 100), [], 1) == (answer.error, graph.arrived, len(house.logged("decision")))


async def test_who_has_no_key_does_not_pass_there_either(open_house, graph):
    """Where callers are known, a request that is like a send is asked for a key."""
    house = await open_house(graph.url, caller=[{"name": "crm", "key": "a-key-that-is-long-enough"}])
    answers = [
        await house.ask("POST", "/me/messages", [JSON], TEXT),
        await house.ask("POST", "/me/messages", [JSON, ("Gatekeeper-Key", "a-key-that-is-long-enough")], TEXT),
    ]

    assert ([401, 400], []) == ([answer.status for answer in answers], graph.arrived)
