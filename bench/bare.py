"""
Own what the gate is measured against: a pass-through of aiohttp that decides nothing and writes nothing down.

It is tuned as the gate is: uvloop, raw bodies, no cookies, no decompression, no access log. `python bench/bare.py UPSTREAM_URL [PATH]`
prints its port and serves; what comes to PATH ends here.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

OURS = ("Host", "Content-Length", "Connection", "Transfer-Encoding", "Keep-Alive")
AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


def passed_on(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """All headers but those that belong to one connection."""
    for name in OURS:
        headers.popall(name, None)
    return headers


async def serve(upstream: str, ends: str = "") -> None:
    """Pass every request on, but for those to one path, which are answered unread."""
    base = URL(upstream)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=AUTOMATIC,
    )

    async def handle(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        if request.path == ends:
            return web.Response()
        url = URL.build(scheme=base.scheme, authority=base.raw_authority, path=request.raw_path, encoded=True)
        headers = passed_on(CIMultiDict(request.headers))
        async with session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
            text = await answer.read()
            return web.Response(
                status=answer.status, reason=answer.reason, headers=passed_on(CIMultiDict(answer.headers)), body=text
            )

    async with session:
        runner = web.ServerRunner(web.Server(handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
