"""Own what goes over the wire: the bench's sends, Meta's answers to them, and Meta's webhooks."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Iterable

WABA, NUMBER, SECRET = "102290129340398", "106540352242922", b"the-app-secret"
FIRST = 4915100000000
"""The first recipient's phone number; the others follow it."""

END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
WAMID = re.compile(rb'"id":"(wamid[^"]*)"')
KINDS = {
    "text": b'{"messaging_product":"whatsapp","recipient_type":"individual","to":"%d","type":"text",'
    b'"text":{"body":"Your parcel arrives today between 14:00 and 16:00."}}',
    "template": b'{"messaging_product":"whatsapp","to":"%d","type":"template",'
    b'"template":{"name":"order_update","language":{"code":"en_US"}}}',
}
ACCEPTED = b'{"messaging_product":"whatsapp","contacts":[{"input":"%s","wa_id":"%s"}],"messages":[{"id":"%s"}]}'
CHANGE = (
    b'{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881",'
    b'"phone_number_id":"' + NUMBER.encode() + b'"},%s}}'
)
ENVELOPE = b'{"object":"whatsapp_business_account","entry":[{"id":"' + WABA.encode() + b'","changes":[%s]}]}'
INBOUND = b'{"from":"%d","id":"wamid.in.%d","timestamp":"%d","type":"text","text":{"body":"Where is my parcel?"}}'
STATUS = b'{"id":"%s","status":"%s","timestamp":"%d","recipient_id":"%d"%s}'
PRICING = b',"pricing":{"billable":true,"pricing_model":"PMP","type":"regular","category":"service"}'
COURSE = ((b"sent", b""), (b"delivered", PRICING), (b"read", PRICING))


def wamid(n: int) -> bytes:
    """Make one up, as long as Meta's."""
    return b"wamid.HBgNNDkxNTEwMDAwMDAwMBUCABEYEjQ5%020d" % n


def webhook(*values: bytes) -> bytes:
    """Write and sign the request that brings *values*, a change each."""
    body = ENVELOPE % b",".join(CHANGE % value for value in values)
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode()
    return (
        b"POST /webhook HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nX-Hub-Signature-256: sha256=%s\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (signature, len(body), body)
    )


def inbound(recipient: int, n: int) -> bytes:
    """Write a customer's message."""
    return INBOUND % (recipient, n, int(time.time()))


def messages(recipients: Iterable[int], salt: int = 0) -> bytes:
    """Write the value that brings a message of each of *recipients*."""
    return b'"messages":[%s]' % b",".join(inbound(one, salt + one) for one in recipients)


def status(name: bytes, word: bytes, recipient: int, pricing: bytes = PRICING) -> bytes:
    """Write a status."""
    return STATUS % (name, word, int(time.time()), recipient, pricing)


def send_request(kind: str) -> bytes:
    """Write a send, with a place for its recipient, whose length is always that of the first."""
    body = KINDS[kind]
    return (
        b"POST /v23.0/%s/messages HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer EAAG0123456789\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (NUMBER.encode(), len(body % FIRST), body)
    )


def length(data: bytes, end: int) -> int:
    """Say how long the first message in *data* is, whose head ends at *end*."""
    found = LENGTH.search(data, 0, end)
    return end + len(END) + (int(found[1]) if found else 0)
