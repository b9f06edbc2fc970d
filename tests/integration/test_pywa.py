"""A real SDK against a running gate: pywa raises its own errors, and reads our answers as Meta's."""

from __future__ import annotations

import asyncio

import aiohttp
import httpx
import pytest
from pywa import WhatsApp
from pywa.errors import ReEngagementMessage
from pywa.types.templates import TemplateLanguage

from gatekeeper.server.app import running
from gatekeeper.settings import parse
from gatekeeper.telemetry import logger

NUMBER, CUSTOMER = "106540352242922", "4915112345678"


@pytest.fixture
async def gate(tmp_path):
    """A gate in front of the sandbox, whose customers are all new."""
    raw = {
        "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"},
        "ledger": {"data_dir": str(tmp_path)},
        "policy": {"cold_start": "closed"},
    }
    with (tmp_path / "log").open("w") as log:
        async with running(parse(raw, name="test", environment={}), logger(log), sandbox=True) as gate:
            yield gate


@pytest.fixture
def whatsapp(gate):
    """pywa as a user sets it up, with one line more."""
    with httpx.Client() as session:
        whatsapp = WhatsApp(phone_id=NUMBER, token="token", session=session)
        session.base_url = f"{gate.url}/v23.0"
        yield whatsapp


async def test_pywa_raises_its_own_error_outside_the_window_and_sends_inside(gate, whatsapp):
    """A text outside the window is pywa's ReEngagementMessage; after the customer has written it goes out."""
    with pytest.raises(ReEngagementMessage):
        await asyncio.to_thread(whatsapp.send_message, to=CUSTOMER, text="Hello")
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gate.admin_url}/sandbox/customers/{CUSTOMER}/messages", json={"phone_number_id": NUMBER}) as wrote,
    ):
        written = wrote.status
    sent = await asyncio.to_thread(whatsapp.send_message, to=CUSTOMER, text="Hello")

    assert written == 200
    assert sent.id.startswith("wamid.")


async def test_pywa_sends_a_template_and_marks_a_message_as_read(whatsapp):
    """A template needs no window, and a read receipt is passed through."""
    sent = await asyncio.to_thread(
        whatsapp.send_template, to=CUSTOMER, name="order_update", language=TemplateLanguage.ENGLISH_US, params=[]
    )
    read = await asyncio.to_thread(whatsapp.mark_message_as_read, message_id="wamid.in1")

    assert sent.id.startswith("wamid.")
    assert read
