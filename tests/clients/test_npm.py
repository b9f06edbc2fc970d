"""The SDKs of npm against a running gate; `node/*.mjs` says how each is pointed at it."""

from __future__ import annotations

import json

import pytest
from sandboxed import CUSTOMER, NODE, NUMBER, TEMPLATES, WABA, installed

# What a text outside the window is to the user of an SDK: the class that it throws, or None where it returns Graph's error.
REFUSED = {"whatsapp-api-js": None, "kapso": "GraphApiError", "great-detail": "HTTPError"}
LISTING = ["kapso", "great-detail"]


@pytest.mark.parametrize("sdk", REFUSED)
async def test_a_text_is_refused_as_the_sdk_refuses_and_goes_out_once_the_customer_wrote(sdk, node, customer_writes):
    """Outside the window it is the SDK's own error with Meta's code; inside, the SDK gives the message's id."""
    refused = await node(sdk, "text", CUSTOMER, "Hello")
    await customer_writes()
    sent = await node(sdk, "text", CUSTOMER, "Hello")

    assert (REFUSED[sdk], 131047) == (refused["thrown"], refused["code"])
    assert (None, None) == (sent["thrown"], sent["code"])
    assert sent["returned"]["messages"][0]["id"].startswith("wamid.")


async def test_great_detail_keeps_the_version_that_ends_in_a_slash(node):
    """Without the slash its requests would lose the version on their way; its error says where one went."""
    refused = await node("great-detail", "text", CUSTOMER, "Hello")

    assert f"/v23.0/{NUMBER}/messages" in refused["message"]


@pytest.mark.parametrize("sdk", REFUSED)
async def test_a_template_needs_no_window(sdk, node):
    """A template goes out to a customer who never wrote, and its id comes back."""
    sent = await node(sdk, "template", CUSTOMER, "order_update", "en_US")

    assert sent["returned"]["messages"][0]["id"].startswith("wamid.")


@pytest.mark.parametrize("sdk", REFUSED)
async def test_a_template_that_is_not_there_has_metas_code(sdk, node):
    """An unknown template is 132001, from the sandbox as from Meta."""
    refused = await node(sdk, "template", CUSTOMER, "no_such_template", "en_US")

    assert (REFUSED[sdk], 132001) == (refused["thrown"], refused["code"])


@pytest.mark.parametrize("sdk", REFUSED)
async def test_a_message_is_marked_as_read(sdk, node):
    """A read receipt is no message, and passes."""
    read = await node(sdk, "read", "wamid.in1")

    assert {"success": True} == read["returned"]


@pytest.mark.parametrize("sdk", REFUSED)
async def test_media_go_up_and_come_back(sdk, node):
    """An upload has an id, under which the file is found again; the sandbox's files are blank."""
    uploaded = await node(sdk, "upload", "text/plain", "hello")
    downloaded = await node(sdk, "download", uploaded["returned"]["id"])

    assert bytes(5).hex() == downloaded["returned"]


@pytest.mark.parametrize("sdk", LISTING)
async def test_templates_are_listed(sdk, node):
    """The account's templates come through as Graph lists them."""
    listed = await node(sdk, "templates", WABA)

    assert TEMPLATES == {template["name"] for template in listed["returned"]["data"]}


def test_an_sdk_is_pinned_to_one_version():
    """What the README calls tested is what runs: package.json names versions, not ranges."""
    wanted = json.loads((NODE / "package.json").read_text())["dependencies"]
    locked = json.loads((NODE / "package-lock.json").read_text())["packages"]

    assert wanted == {name: locked[f"node_modules/{name}"]["version"] for name in wanted}


def test_an_install_that_fails_is_one_clear_line(tmp_path, monkeypatch):
    """Without its registry npm's reason is the failure, and nothing half installed stays behind."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(pytest.fail.Exception) as failed:
        installed(NODE, kept)

    assert [] == list(kept.iterdir())
    assert failed.value.msg.startswith("npm, which needs its registry once, could not install tests/clients/node: ")
    assert "ECONNREFUSED" in failed.value.msg
    assert 1 == len(failed.value.msg.splitlines())
