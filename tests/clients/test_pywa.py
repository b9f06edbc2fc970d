"""pywa against a running gate: it raises its own errors, and reads what comes back as Meta's."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import pywa_async
from pywa import WhatsApp
from pywa.errors import ReEngagementMessage, TemplateNotExists
from pywa.types.templates import TemplateLanguage
from sandboxed import CUSTOMER, NUMBER, TEMPLATES, WABA


@pytest.fixture
def whatsapp(gate):
    """pywa as a user sets it up, with one line more."""
    with httpx.Client() as session:
        whatsapp = WhatsApp(phone_id=NUMBER, token="token", session=session, waba_id=WABA)
        session.base_url = f"{gate.url}/v23.0"
        yield whatsapp


@pytest.fixture
async def whatsapp_async(gate):
    """pywa's other half: the same line."""
    async with httpx.AsyncClient() as session:
        whatsapp = pywa_async.WhatsApp(phone_id=NUMBER, token="token", session=session)
        session.base_url = f"{gate.url}/v23.0"
        yield whatsapp


async def test_a_text_raises_pywas_own_error_outside_the_window_and_goes_out_inside(whatsapp, customer_writes):
    """Outside the window it is pywa's ReEngagementMessage; after the customer wrote pywa has the message's id."""
    with pytest.raises(ReEngagementMessage) as refused:
        await asyncio.to_thread(whatsapp.send_message, to=CUSTOMER, text="Hello")
    await customer_writes()
    sent = await asyncio.to_thread(whatsapp.send_message, to=CUSTOMER, text="Hello")

    assert (131047, 400) == (refused.value.code, refused.value.status_code)
    assert "outside_customer_service_window" == refused.value.raw_response.headers["Gatekeeper-Reason"]
    assert sent.id.startswith("wamid.")


async def test_the_async_client_does_the_same(whatsapp_async, customer_writes):
    """pywa_async raises the same error and sends as well."""
    with pytest.raises(ReEngagementMessage):
        await whatsapp_async.send_message(to=CUSTOMER, text="Hello")
    await customer_writes()
    sent = await whatsapp_async.send_message(to=CUSTOMER, text="Hello")

    assert sent.id.startswith("wamid.")


async def test_a_template_needs_no_window(whatsapp):
    """A template goes out to a customer who never wrote; one that is not there is pywa's TemplateNotExists."""
    sent = await asyncio.to_thread(
        whatsapp.send_template, to=CUSTOMER, name="order_update", language=TemplateLanguage.ENGLISH_US, params=[]
    )
    with pytest.raises(TemplateNotExists):
        await asyncio.to_thread(
            whatsapp.send_template, to=CUSTOMER, name="no_such_template", language=TemplateLanguage.ENGLISH_US, params=[]
        )

    assert sent.id.startswith("wamid.")


async def test_a_message_is_marked_as_read(whatsapp):
    """A read receipt is no message, and passes."""
    assert await asyncio.to_thread(whatsapp.mark_message_as_read, message_id="wamid.in1")


async def test_media_go_up_and_come_back(whatsapp):
    """An upload has an id, under which the file is found again; the sandbox's files are blank."""
    uploaded = await asyncio.to_thread(whatsapp.upload_media, b"hello", mime_type="text/plain", filename="hello.txt")
    found = await asyncio.to_thread(whatsapp.get_media_url, uploaded.id)
    downloaded = await asyncio.to_thread(whatsapp.get_media_bytes, found.url)

    assert ("text/plain", 5) == (found.mime_type, found.file_size)
    assert bytes(5) == downloaded


async def test_templates_are_listed(whatsapp):
    """The account's templates come through as pywa reads them."""
    listed = await asyncio.to_thread(whatsapp.get_templates)

    assert TEMPLATES == {template.name for template in listed}
