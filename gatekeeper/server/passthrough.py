"""Own what is not a send: streamed to the upstream and back, byte for byte, without a decision."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from gatekeeper.core.errors import UpstreamError
from gatekeeper.server.bodies import BodyTooSlow
from gatekeeper.server.http import NO_BODY, answer_headers, stream_headers
from gatekeeper.server.replies import Reply, StreamedAnswer, fault, refusal_reply
from gatekeeper.server.upstream import Upstream

_TRACE = "gatekeeper-pass-through"
_FIRST_FINAL = 200
_READ_S = 60.0  # who does not read a piece of an answer for so long reads no more of it


async def pass_through(
    request: web.BaseRequest, upstream: Upstream, body: AsyncIterator[bytes] | None, said: Callable[[], dict[str, str]] = dict
) -> web.StreamResponse | Reply:
    """
    Stream a request to the upstream and its answer back.

    *body* is the request's own, as whoever reads along lets it out. *said* is asked for headers of ours when the answer is there.
    BodyTooSlow: it hardly makes progress. Whoever reads the answer too slowly loses the connection.
    """
    too_slow = False

    async def timed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        nonlocal too_slow
        try:
            async for piece in pieces:
                yield piece
        except BodyTooSlow:  # in a task of aiohttp's, which tells us only that the request failed
            too_slow = True
            raise

    headers = stream_headers(request.headers.items())
    response: web.StreamResponse | None = None
    try:
        async with upstream.stream(request.method, request.raw_path, headers, timed(body) if body else None) as answer:
            if answer.status < _FIRST_FINAL:
                raise aiohttp.ClientPayloadError  # nobody asked for another protocol, and no answer follows
            theirs = [*answer_headers(answer.headers.items(), stream=True), *said().items()]
            response = StreamedAnswer(status=answer.status, reason=answer.reason, headers=CIMultiDict(theirs))
            await response.prepare(request)
            if request.method != "HEAD" and answer.status not in NO_BODY:
                async for chunk in answer.content.iter_any():
                    async with asyncio.timeout(_READ_S):
                        await response.write(chunk)
            await response.write_eof()
            return response
    except UpstreamError as error:
        refusal = fault(error.status, "Service temporarily unavailable", f"{str(error).capitalize()}.")
        return refusal_reply(refusal, trace=_TRACE, headers={"Retry-After": "1"})
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        if response is not None and response.prepared:
            if request.transport is not None:  # half an answer is on its way: only a broken connection says that it is half
                request.transport.abort()
            return response
        if too_slow:
            raise BodyTooSlow from None
        timed_out = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
        status, details = (504, "The upstream did not answer in time.") if timed_out else (502, "The upstream cannot be reached.")
        return refusal_reply(fault(status, "Service temporarily unavailable", details), trace=_TRACE)
