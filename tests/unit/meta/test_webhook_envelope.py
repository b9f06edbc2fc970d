"""The envelope of a webhook: every readable item is read, whatever lies beside it."""

import json

import pytest

from gatekeeper.meta.webhooks import Broken, Ignored, Inbound, NotAWebhook, Status, decode_webhook, events_of

WABA = "102290129340398"
NUMBER = "106540352242922"
METADATA = {"display_phone_number": "15550783881", "phone_number_id": NUMBER}
TEXT = {"from": "16505551234", "id": "wamid.I", "timestamp": "1750030000", "type": "text", "text": {"body": "Secret"}}
SENT = {"id": "wamid.S", "status": "sent", "timestamp": "1750030073", "recipient_id": "16505551234"}

INBOUND = Inbound(
    waba_id=WABA,
    phone_number_id=NUMBER,
    wamid="wamid.I",
    at=1750030000000,
    wa_id="16505551234",
    type="text",
    wish="Secret",
    own_number="15550783881",
)
STATUS = Status(
    waba_id=WABA, phone_number_id=NUMBER, wamid="wamid.S", status="sent", at=1750030073000, recipient_id="16505551234"
)


def change(**value) -> dict:
    return {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": METADATA, **value}}


def payload(*changes: object) -> dict:
    return {"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": list(changes)}]}


def test_messages_and_statuses_are_read_in_their_order():
    """Meta batches any mixture of entries, changes and items."""
    body = payload(change(messages=[TEXT], statuses=[SENT]), change(statuses=[SENT, SENT]))
    body["entry"].append({"id": 7, "changes": [{"field": "messages", "value": {"statuses": [SENT]}}]})

    events = decode_webhook(json.dumps(body).encode())

    assert [INBOUND, STATUS, STATUS, STATUS] == events[:4]
    assert [("7", "", "wamid.S")] == [(event.waba_id, event.phone_number_id, event.wamid) for event in events[4:]]


def test_a_decoded_payload_gives_the_same_events():
    """A recorded history holds payloads, not bytes."""
    body = payload(change(messages=[TEXT], statuses=[SENT]))

    assert decode_webhook(json.dumps(body).encode()) == events_of(body)


@pytest.mark.parametrize(
    ("bad", "where", "why"),
    [
        ({"messages": [5]}, "messages[0]", "not an object"),
        ({"messages": [None, TEXT]}, "messages[0]", "not an object"),
        ({"messages": {"id": "wamid.I"}}, "messages", "not an array"),
        ({"messages": [{**TEXT, "timestamp": None}]}, "messages[0]", "no timestamp"),
        ({"messages": [{**TEXT, "timestamp": "Secret"}]}, "messages[0]", "no timestamp"),
        ({"messages": [TEXT, {**TEXT, "timestamp": ""}]}, "messages[1]", "no timestamp"),
        ({"messages": [{**TEXT, "timestamp": 0}]}, "messages[0]", "no timestamp"),
        ({"messages": [{**TEXT, "timestamp": True}]}, "messages[0]", "no timestamp"),
        ({"messages": [{**TEXT, "timestamp": 10**15}]}, "messages[0]", "no timestamp"),
        ({"messages": [{**TEXT, "from": None}]}, "messages[0]", "no user"),
        ({"messages": [{**TEXT, "from": {"Secret": 1}}]}, "messages[0]", "no user"),
        ({"statuses": ["x"]}, "statuses[0]", "not an object"),
        ({"statuses": 5}, "statuses", "not an array"),
        ({"statuses": [{**SENT, "id": None}]}, "statuses[0]", "no id"),
        ({"statuses": [SENT, {**SENT, "status": []}]}, "statuses[1]", "no status"),
    ],
)
def test_a_bad_item_is_named_and_its_neighbours_are_kept(bad, where, why):
    """One update that cannot be read never costs another, in its own change or the next."""
    events = events_of(payload(change(messages=[TEXT]), change(**bad), change(statuses=[SENT])))

    assert [INBOUND, STATUS] == [events[0], events[-1]]
    assert [Broken(waba_id=WABA, phone_number_id=NUMBER, where=f"entry[0].changes[1].value.{where}", why=why)] == [
        event for event in events if isinstance(event, Broken)
    ]


@pytest.mark.parametrize(
    ("bad", "where", "why"),
    [
        (5, "entry[0].changes[0]", "not an object"),
        ({}, "entry[0].changes[0]", "no field"),
        ({"field": 5, "value": {}}, "entry[0].changes[0]", "no field"),
        ({"field": "messages"}, "entry[0].changes[0]", "no value"),
        ({"field": "messages", "value": [TEXT]}, "entry[0].changes[0]", "no value"),
    ],
)
def test_a_bad_change_is_named_and_its_neighbours_are_kept(bad, where, why):
    """So it is one level up."""
    assert [Broken(waba_id=WABA, where=where, why=why), INBOUND] == events_of(payload(bad, change(messages=[TEXT])))


@pytest.mark.parametrize(
    ("bad", "where", "why"),
    [
        (None, "entry[0]", "not an object"),
        ({}, "entry[0].changes", "not an array"),
        ({"changes": {"field": "messages"}}, "entry[0].changes", "not an array"),
    ],
)
def test_a_bad_entry_is_named_and_its_neighbours_are_kept(bad, where, why):
    """And at the top."""
    body = payload(change(messages=[TEXT]))
    body["entry"].insert(0, bad)

    assert [Broken(where=where, why=why), INBOUND] == events_of(body)


@pytest.mark.parametrize("body", [{}, {"entry": None}, {"entry": {"id": WABA}}, {"object": None, "entry": 5}])
def test_a_payload_without_entries_is_broken_as_a_whole(body):
    """It is an object, so it is not for the sender to repeat."""
    assert [Broken(where="entry", why="not an array")] == events_of(body)


@pytest.mark.parametrize(
    "field", ["smb_message_echoes", "history", "smb_app_state_sync", "message_echoes", "flows", "security", "a_field_of_2030"]
)
def test_a_field_that_says_nothing_to_us_is_ignored(field):
    """Echoes and imported history above all: what they hold must not open a window."""
    event = {"field": field, "value": {"metadata": METADATA, "messages": [TEXT], "statuses": [SENT]}}

    assert [Ignored(waba_id=WABA, phone_number_id=NUMBER, field=field)] == events_of(payload(event))


def test_errors_of_the_account_alone_are_ignored():
    """A change may report errors and no item."""
    event = change(errors=[{"code": 131052, "title": "Media download error"}])

    assert [Ignored(waba_id=WABA, phone_number_id=NUMBER, field="messages")] == events_of(payload(event))


def test_a_page_is_not_a_whatsapp_account():
    """An app may be subscribed to other products, whose fields have the same names."""
    body = payload(change(messages=[TEXT]))

    assert [Ignored(field="page")] == events_of({**body, "object": "page"})
    assert [Ignored(field="")] == events_of({**body, "object": 1.5})


def test_unknown_members_change_nothing():
    """Meta adds members without notice."""
    body = {**payload({**change(messages=[{**TEXT, "new": {"a": [1]}}], new=5), "new": 1}), "new": None}

    assert [INBOUND] == events_of(body)


@pytest.mark.parametrize(
    "noise",
    [b'"\\ud83d"', b'"\xff"', b"1e999", b"9" * 5000, b"[1.5, -1, true, null, 12]"],
    ids=["half an emoji", "a stray byte", "a huge float", "a huge integer", "numbers"],
)
def test_noise_in_one_member_costs_no_update(noise):
    """Meta would repeat the whole batch for days, and lose it in the end."""
    body = json.dumps(payload(change(messages=[TEXT], statuses=[SENT], noise="NOISE"))).encode()

    assert [INBOUND, STATUS] == decode_webhook(body.replace(b'"NOISE"', noise))


def test_half_an_emoji_in_an_id_can_still_be_stored():
    """What cannot be written as UTF-8 is replaced."""
    body = json.dumps(payload(change(statuses=[{**SENT, "id": "wamid.\ud83d"}]))).encode()

    assert [b"wamid.?"] == [event.wamid.encode() for event in decode_webhook(body)]


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"{", b"\xff\xfe", b"[]", b"5", b'"x"', b"null", b'{"entry": NaN}', b"[" * 100_000]
)
def test_what_is_no_json_object_is_no_webhook(body):
    """Only this is the sender's mistake as a whole."""
    with pytest.raises(NotAWebhook):
        decode_webhook(body)


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_what_was_decoded_to_no_object_is_no_webhook(body):
    """A recorded history may hold anything too."""
    with pytest.raises(NotAWebhook):
        events_of(body)
