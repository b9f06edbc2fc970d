"""Write the README's tables from the tables of the code: `python tests/architecture/readme_tables.py`."""

from __future__ import annotations

import re
from pathlib import Path

from gatekeeper.core.vocabulary import MEANINGS, REFUSALS, Reason
from gatekeeper.server.headers import HEADERS

README = Path(__file__).parents[2] / "README.md"
_HEADER_MEANINGS = {
    "category": "what Meta's `pricing.category` will say; `unknown` for a template that we know nothing of",
    "category_pending": "the category that Meta is about to give the template; until then the price is that of the present one",
    "opens": "what this message opens when it is delivered: a conversation, by its category, or `free_entry_point`",
    "charged": "what we expect: `true`, `false` or `unknown`",
    "price": "what it costs when delivered, a plain decimal; with `at-most` the most that it can cost",
    "price_bound": "`exact`, `at-most` (something is still unconfirmed) or `unknown` (no rate: the price is absent)",
    "currency": "the account's currency; nothing is ever converted",
    "market": "the row of the rate card, from the recipient's number or BSUID",
    "rate_card": "the effective date of the card in force",
    "window_expires": "end of the customer service window, if open (Unix seconds)",
    "free_entry_expires": "end of the free entry point, if open (Unix seconds)",
    "conversation_expires": "end of the conversation joined (Unix seconds)",
    "free_remaining": "free messages or conversations left this month after this one, where it draws on an allowance",
}


def reasons() -> str:
    """The table of reasons: what happens, and the code that a blocked caller sees."""
    rows = ["| reason | verdict | means |", "| --- | --- | --- |"]
    for reason in Reason:
        refusal = REFUSALS.get(reason)
        verdict = (
            "allow"
            if refusal is None
            else f"block {refusal.code}" + (f", HTTP {refusal.http_status}" if refusal.http_status != 400 else "")
        )
        rows.append(f"| `{reason}` | {verdict} | {MEANINGS[reason]} |")
    return "\n".join(rows)


def headers() -> str:
    """The table of response headers."""
    rows = [
        "| header | says |",
        "| --- | --- |",
        "| `Gatekeeper-Id` | id of this decision, also in the log line |",
        "| `Gatekeeper-Verdict` | `allow`, `block`, `annotate` (it went out, but would have been blocked) or `rewrite` (a template did) |",
        "| `Gatekeeper-Reason` | one of the reasons below |",
    ]
    rows += [f"| `{name}` | {_HEADER_MEANINGS[field]} |" for field, name in HEADERS.items()]
    rows += [
        "| `Gatekeeper-Template` | the template that went out instead |",
        "| `Gatekeeper-Rule` | the rule, budget or limit of the policy that blocked, or that would have |",
        "| `Gatekeeper-State` | `warm`, `cold` (too new to call a window closed that was never seen) or `degraded` (without the ledger) |",
        "| `Gatekeeper-Held`, `Gatekeeper-Held-Until` | the id of a message that waits, and until when (Unix seconds) |",
        "| `Gatekeeper-Idempotent-Replay` | `true`: the first answer to this `Idempotency-Key`, once more |",
        "| `Server-Timing` | `decide` and `upstream`, in milliseconds |",
    ]
    return "\n".join(rows)


TABLES = {"headers": headers, "reasons": reasons}


def filled(text: str) -> str:
    """The README with its tables as the code has them."""
    for name, table in TABLES.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)",
            lambda found, made=table: found[1] + made() + found[2],
            text,
            flags=re.DOTALL,
        )
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text("utf-8")), "utf-8")
