"""Errors of ours have Meta's shape."""

import json

from gatekeeper.core.vocabulary import REFUSALS, Reason
from gatekeeper.meta.graph_errors import graph_error, refusal_body


def test_an_error_is_written_as_graph_writes_it():
    """SDKs read code, details and the code in the message."""
    body = graph_error(code=131047, title="Re-engagement message", details="Send a template.", trace="A1")

    assert (
        b'{"error":{"message":"(#131047) Re-engagement message","type":"OAuthException","code":131047,'
        b'"error_data":{"messaging_product":"whatsapp","details":"Send a template."},"fbtrace_id":"A1"}}'
    ) == body


def test_an_error_of_ours_has_a_type_of_ours():
    """So that a client can tell them apart."""
    error = json.loads(graph_error(code=900002, title="Budget", details="…", type="GatekeeperException", trace="A1"))["error"]

    assert error["type"] == "GatekeeperException"


def test_a_refusal_brings_its_own_advice():
    """Every refusal has prose of its own, and its type."""
    refusal = REFUSALS[Reason.LEDGER_UNAVAILABLE]

    error = json.loads(refusal_body(refusal, trace="A1"))["error"]

    assert ("GatekeeperException", 900004, refusal.details) == (error["type"], error["code"], error["error_data"]["details"])


def test_details_take_the_place_of_the_advice():
    """A policy may say it in the operator's words."""
    error = json.loads(refusal_body(REFUSALS[Reason.TEMPLATE_PAUSED], trace="A1", details="Ask the CRM team."))["error"]

    assert error["error_data"]["details"] == "Ask the CRM team."
