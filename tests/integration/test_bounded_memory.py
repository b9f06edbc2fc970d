"""What is kept to be quick stays small, whatever callers make up."""

from __future__ import annotations

from conftest import USER, WABA

from gatekeeper.server import http, lines


def template(name, language="en_US"):
    content = {"name": name, "language": {"code": language}}
    return {"messaging_product": "whatsapp", "to": USER, "type": "template", "template": content}


async def test_a_long_name_is_not_kept(house):
    """Of a template that nobody knows, and of a language."""
    for n in range(10):
        await house.send(template(f"{n}" + "a" * 900_000))
        await house.send(template("order_update", f"{n}" + "a" * 900_000))
    engine = house.gate.engine
    laid = [len(part) for key in engine._laid for part in key if isinstance(part, str)]
    told = [len(part) for told in engine.registry._as_told.values() for key in told.templates for part in key]

    assert sum(laid) + sum(told) < 10_000


async def test_nobody_is_kept_with_a_plan(house):
    """A plan that others will be made by is nobody's."""
    await house.send(template("order_update"))
    kept = [plan.sent for plan in house.gate.engine._laid.values()]

    assert [("", None)] == [(sent.recipient, sent.given) for sent in kept]


async def test_a_large_head_is_not_kept(house):
    """aiohttp takes 128 headers of 8 KB each; 512 such heads are a gigabyte."""
    lines._head.cache_clear()
    http._going.cache_clear()
    for n in range(5):
        await house.send(template("order_update"), *[(f"X-{n}-{i}-{'a' * 4000}", f"{n:08}" * 500) for i in range(110)])

    assert (0, True) == (lines._head.cache_info().currsize, http._going.cache_info().currsize < 5)


async def test_of_what_was_known_only_the_last_is_kept(house):
    """An account with many templates is told of one of them again and again: not every reading of all of them stays."""
    for n in range(10):
        told = {"event": "APPROVED", "message_template_name": f"t{n}", "message_template_language": "en_US"}
        told |= {"message_template_id": n, "message_template_category": "UTILITY"}
        change = {"field": "message_template_status_update", "value": told}
        entry = {"id": WABA, "time": house.now // 1000, "changes": [change]}
        await house.webhook({"object": "whatsapp_business_account", "entry": [entry]})
        await house.send(template(f"t{n}"))
    kept = [sorted(told.templates) for told in house.gate.engine.registry._as_told.values()]

    assert [[("t9", "en_US")]] == kept
