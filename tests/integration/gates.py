"""Gates as processes of their own, by a file that a test changes under them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
PATIENCE_S = 40
URL = re.compile(r"https?://\S+")
WABA, NUMBER, USER = "102290129340398", "106540352242922", "4915112345678"
HEAD = """\
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
[upstream]
base_url = "{upstream}"
[ledger]
url = "{ledger}"
timeout = "5s"
[webhook]
app_secret = "the-app-secret"
"""
ACCOUNT = f"""
[[account]]
waba_id = "{WABA}"
phone_number_ids = ["{NUMBER}"]
[[account.template]]
name = "order_update"
language = "en_US"
category = "utility"
[[account.template]]
name = "spring_sale"
language = "en_US"
category = "marketing"
"""


def written(upstream: str, ledger: str, /, *, policy: str = "", account: str = ACCOUNT, **more: str) -> str:
    """A configuration; *more* are lines that stand in a section."""
    text = HEAD.format(upstream=upstream, ledger=ledger)
    for section, lines in more.items():
        assert f"[{section}]\n" in text
        text = text.replace(f"[{section}]\n", f"[{section}]\n{lines}\n")
    return text + policy + account


class Gate:
    """A running `gatekeeper serve`, its two addresses and what it wrote."""

    def __init__(self, process: asyncio.subprocess.Process, config: Path, log: Path, session: aiohttp.ClientSession) -> None:
        self.process, self.config, self.log, self._session = process, config, log, session
        self.url = self.admin_url = ""

    async def greeted(self) -> Gate:
        """Read the addresses from what it says on standard output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            lines = [(await self.process.stdout.readline()).decode() for _ in range(3)]
        self.url, self.admin_url = (URL.search(line)[0] for line in lines[1:])
        return self

    def takes(self, number: signal.Signals) -> bool:
        """Whether a signal is handled or ignored by now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return any(int(mask, 16) >> number - 1 & 1 for mask in re.findall(r"^Sig(?:Cgt|Ign):\s+(\w+)$", status, re.MULTILINE))

    def hang_up(self) -> None:
        """Ask it to read its files."""
        os.kill(self.process.pid, signal.SIGHUP)

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def send(self, name: str = "order_update", *, to: str = USER, number: str = NUMBER, **headers: str) -> tuple[int, Any]:
        """Send a template: the status, and our headers."""
        content = {"name": name, "language": {"code": "en_US"}}
        body = {"messaging_product": "whatsapp", "to": to, "type": "template", "template": content}
        url = f"{self.url}/v23.0/{number}/messages"
        async with self._session.post(url, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}) as answer:
            await answer.read()
            return answer.status, answer.headers

    async def reason(self, **send: str) -> str:
        """Why a send was let out or not, without sending it."""
        _, headers = await self.send(**send, Gatekeeper_Dry_Run="true")
        return str(headers["Gatekeeper-Reason"])

    async def asked(self, target: str) -> tuple[int, Any]:
        """The status and JSON, or text, of the admin listener."""
        async with self._session.get(self.admin_url + target) as answer:
            read = answer.json if "json" in answer.headers["Content-Type"] else answer.text
            return answer.status, await read()

    async def metric(self, name: str) -> float:
        _, page = await self.asked("/metrics")
        return float(re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)[1])


@contextlib.asynccontextmanager
async def gates(folder: Path, *, code: Path = ROOT) -> AsyncIterator[Any]:
    """A function that starts gates; what still runs at the end is killed, and none of them has written a traceback."""
    started: list[Gate] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def start(config: Path | str, *, greeted: bool = True, piped: str | None = None) -> Gate:
            """*piped*: what is written to standard input, once; *config* is then a name of it such as `/dev/stdin`."""
            if isinstance(config, str) and piped is None:
                path = folder / f"gatekeeper-{len(started)}.toml"
                path.write_text(config)
                config = path
            log = folder / f"{len(started)}.log"
            with log.open("wb") as stderr:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "gatekeeper", "serve", "--config", str(config)),
                    stdin=asyncio.subprocess.DEVNULL if piped is None else asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=stderr,
                    cwd=code,
                )
            gate = Gate(process, Path(config), log, session)
            started.append(gate)
            if piped is not None:
                process.stdin.write(piped.encode())
                process.stdin.close()
            return await gate.greeted() if greeted else gate

        try:
            yield start
        finally:
            for gate in started:
                with contextlib.suppress(ProcessLookupError):
                    gate.process.kill()
                await gate.process.communicate()
    assert [] == [gate.log.name for gate in started if "Traceback" in gate.log.read_text()]
