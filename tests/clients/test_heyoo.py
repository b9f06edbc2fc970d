"""heyoo against a running gate. It raises nothing: what it returns is Graph's answer, an error's as well."""

from __future__ import annotations

import asyncio

import pytest
from heyoo import WhatsApp
from sandboxed import CUSTOMER, NUMBER


@pytest.fixture
def whatsapp(gate):
    """heyoo as a user sets it up, and its three addresses, which it has written down."""
    whatsapp = WhatsApp("token", phone_number_id=NUMBER)
    whatsapp.base_url = whatsapp.v15_base_url = f"{gate.url}/v23.0"
    whatsapp.url = f"{whatsapp.base_url}/{NUMBER}/messages"
    return whatsapp


async def test_a_text_is_refused_outside_the_window_and_goes_out_inside(whatsapp, customer_writes):
    """heyoo returns Meta's error outside the window, and the message's id once the customer wrote."""
    refused = await asyncio.to_thread(whatsapp.send_message, "Hello", CUSTOMER)
    await customer_writes()
    sent = await asyncio.to_thread(whatsapp.send_message, "Hello", CUSTOMER)

    assert 131047 == refused["error"]["code"]
    assert sent["messages"][0]["id"].startswith("wamid.")


async def test_a_template_needs_no_window(whatsapp):
    """A template goes out to a customer who never wrote; one that is not there has Meta's code."""
    sent = await asyncio.to_thread(whatsapp.send_template, "order_update", CUSTOMER, [])
    refused = await asyncio.to_thread(whatsapp.send_template, "no_such_template", CUSTOMER, [])

    assert sent["messages"][0]["id"].startswith("wamid.")
    assert 132001 == refused["error"]["code"]


async def test_a_message_is_marked_as_read(whatsapp):
    """A read receipt is no message, and passes."""
    assert {"success": True} == await asyncio.to_thread(whatsapp.mark_as_read, "wamid.in1")


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # heyoo leaves the file that it uploads open
async def test_media_go_up_and_come_back(whatsapp, tmp_path):
    """An upload has an id, under which the file is found again; the sandbox's files are blank."""
    (tmp_path / "hello.txt").write_bytes(b"hello")
    uploaded = await asyncio.to_thread(whatsapp.upload_media, str(tmp_path / "hello.txt"))
    url = await asyncio.to_thread(whatsapp.query_media_url, uploaded["id"])
    saved = await asyncio.to_thread(whatsapp.download_media, url, "text/plain", str(tmp_path / "again"))

    assert bytes(5) == (tmp_path / "again.plain").read_bytes()
    assert str(tmp_path / "again.plain") == saved
