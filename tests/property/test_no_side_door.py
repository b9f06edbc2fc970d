"""Nothing that sends passes unread, and nothing that is not a send is touched."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from aiohttp import web
from graph_oracle import Headers, may_send, messages
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gatekeeper.core.recipients import masked
from gatekeeper.server.app import running
from gatekeeper.settings import parse
from gatekeeper.telemetry import logger

NUMBER, USER, OTHER = "106540352242922", "4915112345678", "491709999999"
MOST = 2048
TEXT = {"messaging_product": "whatsapp", "to": USER, "type": "text", "text": '{"body":"hi"}'}
TEMPLATE = {**TEXT, "type": "template", "template": '{"name":"a","language":{"code":"en"}}'}
READ = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in"}
SLOW = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@dataclass
class Request:
    """What a caller writes; *broken*: nobody can read it at all, *odd*: it can be read in several ways, or is more than is kept."""

    method: str
    target: str
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    broken: bool = False
    odd: bool = False


@dataclass
class Gate:
    """A gate, its log, and what arrived behind it."""

    url: str
    mode: str
    runner: asyncio.Runner
    written: io.StringIO
    arrived: list[Request]

    def ask(self, request: Request) -> tuple[int, list[dict[str, Any]], list[Request]]:
        """Give the status of the answer, the decision lines, and what reached the upstream."""
        self.arrived.clear()
        begun = self.written.tell()
        status = self.runner.run(self._asked(request))
        lines = [json.loads(line) for line in self.written.getvalue()[begun:].splitlines()]
        assert not [line for line in lines if "exception" in line]
        return status, [line for line in lines if line["event"] == "decision"], list(self.arrived)

    async def _asked(self, request: Request) -> int:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = [f"{request.method} {request.target} HTTP/1.1", "Host: x", "Connection: close"]
        head += [f"{name}: {value}" for name, value in request.headers]
        head += [f"Content-Length: {len(request.body)}"] if request.body or request.method == "POST" else []
        async with asyncio.timeout(10):
            writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + request.body)
            answer = await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return int(answer.split()[1])


@contextlib.asynccontextmanager
async def upstream(arrived: list[Request]) -> AsyncIterator[str]:
    """Keep what comes as it comes, and be content with it."""

    async def keep(request: web.BaseRequest) -> web.Response:
        headers = [(name.decode(), value.decode()) for name, value in request.raw_headers]
        body = await request.read()
        arrived.append(Request(request.method, request.raw_path, headers, body))
        return web.json_response({"messages": [{"id": "wamid.1"}]})

    runner = web.ServerRunner(web.Server(keep, auto_decompress=False))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture(scope="module", params=["enforce", "annotate"])
def gate(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Gate]:
    """A gate with a closed window in front of an upstream that takes anything."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def opened() -> Gate:
            arrived: list[Request] = []
            written = io.StringIO()
            sections = {
                "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "grace": "1s", "max_body": "2KiB"},
                "upstream": {"base_url": await stack.enter_async_context(upstream(arrived))},
                "ledger": {"url": redis_url, "timeout": "5s"},
                "policy": {"mode": request.param, "cold_start": "closed"},
            }
            opened = await stack.enter_async_context(
                running(parse(sections, name="test", environment={}), logger(written), now=lambda: 1_794_312_000_000)
            )
            return Gate(opened.url, request.param, runner, written, arrived)

        yield runner.run(opened())
        runner.run(stack.aclose())


WORDS = st.sampled_from(["", "a", "me", "v23.0", "media", NUMBER, "messages", "x" * 20])
VERBS = st.sampled_from(["POST", "GET", "PUT", "DELETE", "PATCH"])
SAID = st.sampled_from(["post", "POST", " Post", "get", "delete", "", "x"])
SPELT = st.sampled_from(["{}", "{}", "{}", " {}", "{}[]", "{}[0]"])

PATHS = st.one_of(
    st.sampled_from(["/", "/v23.0", "/v23.0/", "/a/v23.0/", "/me", f"/v23.0/{NUMBER}/media", "/messages", "/v23.0/me/messages"]),
    st.sampled_from([f"/{NUMBER}/messages", f"/v23.0/{NUMBER}/messages", f"/a/v23.0/{NUMBER}/marketing_messages/"]),
    st.lists(WORDS, max_size=4).map(lambda words: "/" + "/".join(words)),
)


@st.composite
def spelled(draw: st.DrawFn, path: str) -> str:
    """A path in another spelling, which may or may not mean the same."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(1, max(len(path), 1)))
        end = draw(st.integers(at, len(path))) if draw(st.booleans()) else at
        written = draw(
            st.sampled_from(
                ["", "/", "//", "/.", "/./", "/x/..", "/../", ";a", ";a=b/", "%20", "%00", "%3F", "%23x", "\\", "%5C", "%"]
            )
        )
        how = draw(st.integers(0, 3))
        if how == 0:
            path = path[:at] + written + path[at:]
        elif how == 1 and at < len(path):
            path = path[:at] + f"%{ord(path[at]):02x}" + path[at + 1 :]
        elif how == 2:
            path = path[:at] + path[at:end].upper() + path[end:]
        else:
            path = path[:at] + path[at:].replace("%", "%25").replace("/", draw(st.sampled_from(["/", "%2F", "\\", "//"])))
    return path if path.startswith("/") else "/" + path


def as_form(parameters: dict[str, Any]) -> str:
    return urlencode({name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()})


@st.composite
def operations(draw: st.DrawFn, depth: int = 2) -> Any:
    """One operation of a batch; some are messages, in more or less of a disguise."""
    url = draw(PATHS.flatmap(spelled))
    url = draw(st.sampled_from([url, url[1:], "https://graph.facebook.com" + url, "{result=a:$.b}" + url, "?x=1"]))
    body = draw(members(depth))
    if draw(st.booleans()):
        url += ("&" if "?" in url else "?") + as_form(draw(members(depth)))
    given: dict[str, Any] = {"method": draw(VERBS | SAID), "relative_url": url}
    given |= draw(st.sampled_from([{}, {"body": as_form(body)}, {"body": body}, {"body": json.dumps(body)}, {"name": "a"}]))
    given |= draw(st.sampled_from([{}, {}, {"headers": [{"name": "X-HTTP-Method-Override", "value": "POST"}]}]))
    return draw(st.sampled_from([given, given, json.dumps(given)]))


@st.composite
def members(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """Parameters of a request: a message or a part of one, a batch, a method, and others."""
    found = dict(
        draw(st.sampled_from([{}, {}, TEXT, TEMPLATE, READ, {"type": "text"}, {"fields": "id,name"}, {"note": "method=post"}]))
    )
    if draw(st.integers(0, 3)) == 0:
        found["method"] = draw(SAID)
    if draw(st.integers(0, 3)) == 0:
        found[draw(st.sampled_from(["id", "ids"]))] = draw(st.sampled_from([NUMBER, f"{NUMBER}/messages", "me", "1,2"]))
    if depth and draw(st.integers(0, 2)) == 0:
        batch = draw(st.lists(operations(depth - 1), max_size=3))
        name = draw(st.sampled_from(["batch", "batch", "Batch", " batch", "asyncbatch"]))
        found[name] = draw(st.sampled_from([batch, json.dumps(batch), {str(n): item for n, item in enumerate(batch)}]))
    found |= draw(st.dictionaries(st.sampled_from(["a", "access_token", "x[y]"]), st.text(max_size=5), max_size=2))
    return found


def as_parts(parameters: dict[str, Any]) -> bytes:
    sections = []
    for name, value in parameters.items():
        text = value if isinstance(value, str) else json.dumps(value)
        sections.append(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + text.encode() + b"\r\n")
    return b"".join(sections) + b"--b--\r\n"


FORMS = {
    "application/json": lambda given: json.dumps(given).encode(),
    "application/x-www-form-urlencoded": lambda given: as_form(given).encode(),
    "multipart/form-data; boundary=b": as_parts,
    "": lambda given: json.dumps(given).encode(),
    "text/plain": lambda given: as_form(given).encode(),
}
PACKED = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
}


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request that a caller may think of, and some that only a hostile one does."""
    target = draw(PATHS.flatmap(spelled))
    if draw(st.booleans()):
        target += "?" + as_form(draw(members()))
    headers: Headers = []
    if draw(st.integers(0, 4)) == 0:
        headers.append(
            (draw(st.sampled_from(["X-HTTP-Method-Override", "x-http-method", "X_Method_Override"])), draw(SAID).strip())
        )
    if draw(st.integers(0, 2)) == 0:
        return Request(draw(VERBS), target, headers)
    if draw(st.integers(0, 4)) == 0:
        return draw(disguised(target, headers))
    kind, packing = draw(st.sampled_from(sorted(FORMS))), draw(st.sampled_from(["", "", *sorted(PACKED)]))
    body = FORMS[kind](draw(members()))
    broken = draw(st.integers(0, 4)) == 0 and bool(body)
    if broken:
        at = draw(st.integers(0, len(body) - 1))
        body = draw(st.sampled_from([body[:at], body[:at] + b"\xff" + body[at:], body[:at] + b"\n" + body[at:], body[at:]]))
    headers += [("Content-Type", kind)] if kind else []
    headers += [("Content-Encoding", packing)] if packing else []
    return Request(draw(VERBS), target, headers, PACKED[packing](body), broken, len(body) > MOST)


LETTERS = ["utf-8", "latin-1", "utf-16", "utf-16-le", "utf-32-be", "utf-7", "cp037", "gbk"]


@st.composite
def disguised(draw: st.DrawFn, target: str, headers: Headers) -> Request:
    """A body that some would read in another way than it says: bare lists, other letters, two types, parameters that come twice."""
    given = draw(members())
    how = draw(st.sampled_from(["json", "list", "list", "text", "form", "brackets", "twice"]))
    kind = "application/json" if how in ("json", "list", "text") else "application/x-www-form-urlencoded"
    text = json.dumps(draw(st.lists(operations(1), min_size=1, max_size=2))) if how in ("list", "text") else json.dumps(given)
    text = json.dumps(text) if how == "text" else text
    if how in ("form", "twice"):
        text = as_form(given)
    if how == "twice":
        text = draw(st.sampled_from([f"to={OTHER}&{text}", f"{text}&to={OTHER}"]))
    if how == "brackets":
        text = as_form({"batch[0][method]": "POST", "batch[0][relative_url]": draw(PATHS), **given})
    if draw(st.booleans()):  # more than is kept
        pad = "x" * MOST if kind.endswith("urlencoded") else " " * MOST
        text = draw(st.sampled_from([text + ("&" if pad[0] == "x" else "") + pad, pad + ("=&" if pad[0] == "x" else "") + text]))
    letters = draw(st.sampled_from(LETTERS))
    mark = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) if letters == "utf-8" else b""
    declared = draw(st.sampled_from(["", f"; charset={letters}", f'; charset="{letters.upper()}"']))
    kinds = draw(
        st.sampled_from([[kind], [kind], [], ["text/plain"], ["text/plain", kind], [f"{kind}, text/plain"], ["image/png"]])
    )
    types = [("Content-Type", one + declared) for one in kinds]
    return Request(draw(VERBS), target, [*headers, *types], mark + text.encode(letters, "replace"), odd=True)


BATCH = json.dumps([{"method": "POST", "relative_url": f"{NUMBER}/messages"}])


@SLOW
@given(asked=requests())
@example(Request("POST", f"/{NUMBER}/messages", [("Content-Type", "application/json")], json.dumps(READ).encode()))
@example(Request("GET", f"/v23.0/{NUMBER}/%256dessages;x?method=post&{as_form(TEXT)}"))
@example(Request("POST", "/v23.0/me?batch=" + quote(BATCH)))
@example(Request("POST", "/", [("Content-Type", "application/json")], json.dumps({"batch": BATCH}).encode()))
@example(Request("DELETE", f"/v23.0/messages?id={NUMBER}", [("X-HTTP-Method", "POST")]))
@example(Request("POST", "/", [("Content-Type", "application/json; charset=utf-16")], BATCH.encode("utf-16")))
@example(Request("POST", "/", [("Content-Type", "application/json; charset=utf-7")], BATCH.encode("utf-7")))
@example(Request("POST", "/", [], BATCH.encode("utf-32")))
@example(Request("POST", "/me", [("Content-Type", "application/json"), ("Content-Type", "text/plain")], BATCH.encode()))
@example(Request("POST", "/v23.0/", [("Content-Type", "application/json")], b" " * MOST + BATCH.encode()))
@example(Request("POST", "/me", [("Content-Type", "application/json")], BATCH.encode() + b" " * MOST))
@example(Request("POST", "/me", [("Content-Type", "application/json")], b"{" + b" " * 9000 + b'"batch":' + BATCH.encode() + b"}"))
@example(Request("POST", "/messages", [("Content-Type", "application/json")], b" " * MOST + json.dumps({"id": NUMBER}).encode()))
@example(Request("POST", f"/{NUMBER}/messages?to={OTHER}", [("Content-Type", "application/json")], json.dumps(TEXT).encode()))
def test_no_request_that_may_send_leaves_without_a_decision(gate, asked):
    """
    Whatever Graph may take for a message has its line in the log, whether it leaves or stays; and that line is about this message.

    And what is none arrives as it was written, without one.
    """
    status, lines, arrived = gate.ask(asked)
    left = (
        [may_send(request.method, request.target, request.headers, request.body) for request in arrived]
        if not asked.broken
        else []
    )
    written = may_send(asked.method, asked.target, asked.headers, asked.body) if not asked.broken else None
    meant = {of for a in arrived for of in messages(a.method, a.target, a.headers, a.body)} if not asked.broken else set()
    judged = {(line["phone_number_id"], line["recipient"]) for line in lines if line["reason"] != "malformed_request"}

    assert len(arrived) <= 1
    assert len(lines) <= 1
    assert not any(left) or lines
    assert written is not True or lines or (400, []) == (status, arrived)  # a head that is no HTTP is refused before
    assert arrived or lines or status == 400
    assert gate.mode == "annotate" or not arrived or {line["verdict"] for line in lines} <= {"allow"}
    if judged:
        assert {(number, masked(user)) for number, user in meant} <= judged
    refused = status in (400, 413, 415) or (asked.odd and judged == set() and lines)
    if written is False and not refused:
        assert ([], (asked.method, asked.target, asked.body)) == (lines, *[(a.method, a.target, a.body) for a in arrived])
    if arrived:
        assert (asked.method, asked.target.partition("#")[0], asked.body) == (
            arrived[0].method,
            arrived[0].target,
            arrived[0].body,
        )
