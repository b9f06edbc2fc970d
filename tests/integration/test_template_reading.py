"""Reading templates from Meta over real sockets: what is asked, what is believed, and what a slow or hostile answer costs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from fake_graph import FakeGraph, eventually

from gatekeeper.core.accounts import Account
from gatekeeper.core.errors import LedgerError, UpstreamError
from gatekeeper.engine.reading import Read
from gatekeeper.server.app import running
from gatekeeper.server.templates import Rounds, TemplateReader
from gatekeeper.settings import Upstream, parse
from gatekeeper.telemetry import logger

WABA, NUMBER, TOKEN = "102290129340398", "106540352242922", "EAAB-very-secret"
ACCOUNT = Account(waba_id=WABA, phone_number_ids=(NUMBER,), access_token=TOKEN)
READABLE = {"access_token": TOKEN, "template": []}
NOON = 1_794_312_000_000
PAGE = 100


def row(name: str, category: str = "UTILITY", status: str = "APPROVED", **more):
    return {"name": name, "language": "en_US", "category": category, "status": status, "id": "1", **more}


@dataclass
class Listing:
    """The part of Graph that lists templates, page by page; what else is asked for is a send."""

    graph: FakeGraph
    rows: list = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    evil: str = "https://evil.example"
    answer: object = None
    hold: asyncio.Event | None = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            body = await request.read()
            self.graph.keep(request, body)
            return self.graph.accept(body)
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.raw_path).query).items()}
        self.asked.append(asked)
        self.headers.append(request.headers)
        self.paths.append(request.path)
        if self.hold is not None:
            await self.hold.wait()
        if self.answer is not None:
            return await self.answer(request) if callable(self.answer) else self.answer
        return web.json_response(self.page(asked))

    def page(self, asked: dict[str, str]) -> dict:
        rows = [one for one in self.rows if asked.get("name", "") in one["name"]]
        start, size = int(asked.get("after", "0")), min(int(asked.get("limit", "25")), PAGE)
        paging = {"cursors": {"before": str(start), "after": str(start + size)}}
        if start + size < len(rows):  # the cursor is the same; the host is not
            paging["next"] = f"{self.evil}/v26.0/{WABA}/message_templates?after={start + size}&access_token=x"
        return {"data": rows[start : start + size], "paging": paging}


@pytest.fixture
def listing(graph: FakeGraph) -> Listing:
    found = Listing(graph)
    graph.script = found
    return found


@pytest.fixture
async def reader(graph: FakeGraph):
    found = TemplateReader(Upstream(base_url=graph.url))
    yield found
    await found.close()


def refused(status: int, code: int):
    """What Graph answers to a request that it refuses."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.json_response({"error": {"message": f"({code}) no", "code": code}}, status=status)

    return answer


# -------------------------------------------------------------------------------------------------------------- the requests


async def test_a_list_is_read_page_by_page(listing, reader):
    """To its end, by the cursors; with the fields that matter and the account's own token."""
    listing.rows = [row(f"news_{n}") for n in range(250)]
    found = await reader.listing(ACCOUNT)

    assert ([one["name"] for one in listing.rows], True) == ([one.name for one in found.rows], found.complete)
    assert [None, "100", "200"] == [asked.get("after") for asked in listing.asked]
    assert {f"/v26.0/{WABA}/message_templates"} == set(listing.paths)
    assert {f"Bearer {TOKEN}"} == {headers["Authorization"] for headers in listing.headers}
    fields = "name,language,status,category,correct_category,previous_category,quality_score,parameter_format,components"
    assert {fields} == {asked["fields"] for asked in listing.asked}


async def test_a_token_goes_nowhere_else(listing, reader, wire):
    """Neither the address of a next page nor a redirect leads it to another host, and no query carries it."""
    listing.rows, listing.evil = [row(f"news_{n}") for n in range(150)], wire.url
    await reader.listing(ACCOUNT)

    async def elsewhere(_: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": wire.url})

    listing.answer = elsewhere
    with pytest.raises(UpstreamError, match=r"^Meta answered 302$"):
        await reader.listing(ACCOUNT)

    assert [] == wire.arrived
    assert not any(TOKEN in value for asked in listing.asked for value in asked.values())


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200])
async def test_a_list_ends_where_it_ends(listing, reader, count):
    """On both sides of a full page; a full last page may cost one request more."""
    listing.rows = [row(f"news_{n}") for n in range(count)]
    found = await reader.listing(ACCOUNT)

    assert (count, True) == (len(found.rows), found.complete)
    assert count // PAGE + 1 == len(listing.asked)


async def test_a_list_without_cursors_is_one_page(listing, reader):
    """Nothing says that there is more."""

    async def whole(_: web.BaseRequest) -> web.Response:
        return web.json_response({"data": [row(f"news_{n}") for n in range(150)]})

    listing.answer = whole
    found = await reader.listing(ACCOUNT)

    assert (150, True, 1) == (len(found.rows), found.complete, len(listing.asked))


@pytest.mark.parametrize(
    ("paging", "pages"),
    [
        ({"cursors": {"after": "1"}, "next": "https://x/?after=1"}, 2),
        ({"next": "https://x/"}, 1),
    ],
    ids=["the same cursor for ever", "a next page without a cursor"],
)
async def test_a_list_that_leads_nowhere_is_not_whole(listing, reader, paging, pages):
    """What was read counts, and nothing is taken for deleted."""

    async def round_and_round(_: web.BaseRequest) -> web.Response:
        return web.json_response({"data": [row("news")], "paging": paging})

    listing.answer = round_and_round
    found = await reader.listing(ACCOUNT)

    assert (False, pages) == (found.complete, len(listing.asked))


async def test_a_list_without_an_end_is_not_read_for_ever(listing, reader, monkeypatch):
    """An account has 6,000 templates at most."""
    monkeypatch.setattr("gatekeeper.server.templates._PAGES", 5)

    async def endless(_: web.BaseRequest) -> web.Response:
        n = len(listing.asked)
        return web.json_response({"data": [row(f"news_{n}")], "paging": {"cursors": {"after": str(n)}, "next": "x"}})

    listing.answer = endless
    found = await reader.listing(ACCOUNT)

    assert (5, False) == (len(found.rows), found.complete)


async def test_a_row_that_cannot_be_read_makes_the_list_a_part(listing, reader):
    """Its neighbours count."""
    listing.rows = [row("news"), {"name": "nameless", "language": None}]
    found = await reader.listing(ACCOUNT)

    assert (["news"], False) == ([one.name for one in found.rows], found.complete)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b'{"error": {"code": 190}}', "Meta answered 401 with error 190"),
        (400, b'{"error": {"code": 100}}', "Meta answered 400 with error 100"),
        (429, b"slow down", "Meta answered 429"),
        (500, b"", "Meta answered 500"),
        (200, b"<html>", "Meta answered what is no list of templates: not JSON"),
        (200, b'{"error": {"code": 190}}', "Meta answered what is no list of templates: no list of templates"),
    ],
)
async def test_what_is_no_list_is_a_fault_of_metas(listing, reader, status, body, says):
    """It says what came, and nothing of the request."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=body)

    listing.answer = answer
    with pytest.raises(UpstreamError) as caught:
        await reader.listing(ACCOUNT)

    assert (says, status) == (str(caught.value), caught.value.status)


async def test_an_answer_is_bounded(listing, reader, monkeypatch):
    """However much somebody sends, packed or not."""
    monkeypatch.setattr("gatekeeper.server.templates._MOST_PAGE", 1000)

    async def much(_: web.BaseRequest) -> web.Response:
        answer = web.Response(body=b" " * 100_000)
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    listing.answer = much
    with pytest.raises(UpstreamError, match="cannot be reached"):
        await reader.listing(ACCOUNT)


async def test_nobody_there_is_a_fault_of_metas():
    """The port is closed."""
    reader = TemplateReader(Upstream(base_url="http://127.0.0.1:9"))
    with pytest.raises(UpstreamError, match=r"^Meta cannot be reached: ClientConnectorError$"):
        await reader.listing(ACCOUNT)
    await reader.close()


# ------------------------------------------------------------------------------------------------------------------ the rounds


class Kept:
    """Instead of a registry: it says what is scripted, and remembers who was read."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.read: list[str] = []

    async def read_all(self, account: Account, *, now: int) -> Read:
        self.read.append(account.waba_id)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        return Read(templates=1, changed=0, deleted=0, complete=True)


class Pauses:
    """Instead of sleeping: it keeps how long, and lets so many pass."""

    def __init__(self, most: int) -> None:
        self.left, self.slept, self.done = most, [], asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left -= 1
        if self.left < 0:
            self.done.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)


def near(expected: list[float], found: list[float]) -> bool:
    """Whether each is as long as expected but for a tenth."""
    return len(expected) == len(found) and all(0.9 * a <= b <= 1.1 * a for a, b in zip(expected, found, strict=True))


DOWN = UpstreamError("Meta answered 401 with error 190", status=401, sent=True)


@pytest.mark.parametrize(
    ("outcomes", "pauses"),
    [
        ([None, None, None], [900, 900, 900]),
        ([DOWN, None, None], [30, 900, 900]),
        ([DOWN] * 7, [30, 60, 120, 240, 480, 900, 900]),
        ([DOWN, DOWN, None, DOWN], [30, 60, 900, 30]),
        ([LedgerError("away"), None], [30, 900]),
        ([ValueError("a bug"), None], [30, 900]),
    ],
)
async def test_a_round_comes_again(outcomes, pauses, open_house, graph):
    """Every quarter of an hour; after a failure sooner, but ever later while it fails; not all at the same moment."""
    house, kept, sleep = await open_house(graph.url), Kept(*outcomes), Pauses(len(pauses) - 1)
    rounds = Rounds(kept, logger(house.written), lambda: NOON, sleep=sleep)
    async with rounds.going([ACCOUNT]):
        await asyncio.wait_for(sleep.done.wait(), 5)
    faults = [line.pop("exception") for line in house.lines if "exception" in line]
    house.written.seek(0)
    house.written.truncate()

    assert near(pauses, sleep.slept)
    assert len(pauses) == len(kept.read)
    assert len([one for one in outcomes if isinstance(one, ValueError)]) == len(faults)


async def test_rounds_go_where_there_is_a_token(open_house, graph):
    """Accounts that change are followed: a new one or another token is read at once, and one that is gone no more."""
    house, kept, sleep = await open_house(graph.url), Kept(), Pauses(0)
    rounds = Rounds(kept, logger(house.written), lambda: NOON, sleep=sleep)
    second = Account(waba_id="2", access_token=TOKEN)
    async with rounds.going([ACCOUNT, Account(waba_id="1")]):
        await eventually(lambda: kept.read == [WABA])
        rounds.follow([ACCOUNT, second])
        await eventually(lambda: kept.read == [WABA, "2"])
        rounds.follow([Account(waba_id="2", access_token="another")])
        await eventually(lambda: kept.read == [WABA, "2", "2"])
        rounds.follow([])
        await asyncio.sleep(0)

    assert [WABA, "2", "2"] == kept.read


# -------------------------------------------------------------------------------------------------------------------- the gate


async def test_serving_does_not_wait_for_the_list(open_house, graph, listing):
    """The gate is ready while Meta is still thinking; once it has answered, its word counts."""
    listing.rows, listing.hold = [row("order_update", "MARKETING")], asyncio.Event()
    house = await open_house(graph.url, account={"access_token": TOKEN})
    ready, before = await house.admin("/readyz"), await house.template("order_update")
    listing.hold.set()
    await eventually(lambda: bool(house.logged("templates_read")))
    after = await house.template("order_update")
    [line] = house.logged("templates_read")

    assert (200, "utility", "marketing") == (ready.status, before["Gatekeeper-Category"], after["Gatekeeper-Category"])
    assert (WABA, 1, 6, 5, True) == tuple(line[name] for name in ("waba_id", "templates", "changed", "deleted", "complete"))


async def test_what_meta_does_not_list_is_refused_at_the_gate(open_house, graph, listing):
    """404 in Meta's own shape, and nothing goes out."""
    house = await open_house(graph.url, account={"access_token": TOKEN})
    await eventually(lambda: bool(house.logged("templates_read")))
    answers = [await house.template(name) for name in ("order_update", "never_heard_of")]

    assert [(404, 132001)] * 2 == [answer.error for answer in answers]
    assert ["template_not_found"] * 2 == [answer["Gatekeeper-Reason"] for answer in answers]
    assert [] == graph.arrived


async def test_fifty_sends_of_an_unknown_name_are_one_request(open_house, graph, listing):
    """All of them have the answer."""
    house = await open_house(graph.url, account=READABLE)
    await eventually(lambda: bool(house.logged("templates_read")))
    listing.rows, listing.asked, listing.hold = [row("news", "MARKETING"), row("news_of_today")], [], asyncio.Event()
    course = asyncio.gather(*(house.template("news") for _ in range(50)))
    await eventually(lambda: bool(listing.asked))
    listing.hold.set()
    answers = await course

    assert {(200, "marketing")} == {(answer.status, answer["Gatekeeper-Category"]) for answer in answers}
    assert ["news"] == [asked["name"] for asked in listing.asked]


@pytest.mark.parametrize("answer", [refused(401, 190), refused(500, 2), refused(400, 80007)], ids=["token", "fault", "limit"])
async def test_a_meta_that_refuses_costs_nothing_but_knowledge(open_house, graph, listing, answer):
    """Sends pass as unknown at a marketing template's rate at most; the log says why, without the token."""
    listing.answer = answer
    house = await open_house(graph.url, account=READABLE)
    await eventually(lambda: bool(house.logged("templates_unread")))
    sent = await house.template("news")
    [line] = house.logged("templates_unread")

    assert (200, "unknown", "at-most") == (sent.status, sent["Gatekeeper-Category"], sent["Gatekeeper-Price-Bound"])
    assert (WABA, "upstream") == (line["waba_id"], line["source"])
    assert line["error"].startswith(f"Meta answered {line['status']} with error ")


async def test_a_meta_that_never_answers_holds_no_send_for_long(open_house, graph, listing, monkeypatch):
    """The wait ends by itself, and the next send does not wait at all."""
    monkeypatch.setattr("gatekeeper.engine.reading.PATIENCE_S", 0.05)
    listing.hold = asyncio.Event()
    house = await open_house(graph.url, account=READABLE)
    await eventually(lambda: bool(listing.asked))
    sent = [await house.template("news") for _ in range(3)]
    listing.hold.set()

    assert ["unknown"] * 3 == [answer["Gatekeeper-Category"] for answer in sent]
    assert ["news"] == [asked["name"] for asked in listing.asked if "name" in asked]


async def test_without_the_ledger_nobody_is_asked(open_house, graph, listing, frozen):
    """What Meta says could not be kept; the send is decided as policy wants it without a ledger, and not held up."""
    house = await open_house(graph.url, account=READABLE, ledger={"timeout": "100ms"})
    await eventually(lambda: bool(house.logged("templates_read")))
    house.now += 3_600_000
    with frozen():
        sent = await house.template("news")
    await eventually(lambda: bool(house.logged("ledger_recovered")))

    assert (200, "degraded", "unknown") == (sent.status, sent["Gatekeeper-State"], sent["Gatekeeper-Category"])
    assert [] == [asked for asked in listing.asked if "name" in asked]


async def test_a_token_is_nowhere_to_be_read(open_house, graph, listing):
    """Not in the log, on the admin listener or in any answer, whatever Meta answers."""
    listing.rows = [row("news")]
    house = await open_house(graph.url, account=READABLE)
    await eventually(lambda: bool(house.logged("templates_read")))
    for listing.answer in (None, refused(401, 190), web.Response(body=b"<html>")):
        sent = [await house.template(f"news_{len(listing.asked)}"), await house.template("news")]
        house.now += 3_600_000
    pages = [await house.admin(path) for path in ("/metrics", "/readyz", "/v1/accounts")]
    said = house.written.getvalue() + "".join(page.body.decode() for page in (*pages, *sent))

    assert TOKEN not in said
    assert "secret" not in said


async def test_a_category_to_come_is_announced(open_house, graph, listing):
    """In a header, on the log line and as a count, while the price is that of the present one; the JSON stays as it is."""
    listing.rows = [row("news", "UTILITY", correct_category="MARKETING")]
    house = await open_house(graph.url, account=READABLE)
    await eventually(lambda: bool(house.logged("templates_read")))
    sent, dry = await house.template("news"), await house.template("news", ("Gatekeeper-Dry-Run", "true"))
    [line, _] = house.logged("decision")
    metrics = (await house.admin("/metrics")).body.decode()

    assert ("utility", "marketing") == (sent["Gatekeeper-Category"], sent["Gatekeeper-Category-Pending"])
    assert ("utility", "marketing") == (line["category"], line["category_pending"])
    assert 'gatekeeper_pending_categories_total{category="utility",pending="marketing"} 1.0' in metrics
    assert 'gatekeeper_templates{status="APPROVED"} 1.0' in metrics
    assert ("marketing", False) == (dry["Gatekeeper-Category-Pending"], "category_pending" in dry.json)


async def test_no_category_to_come_is_no_header(open_house, graph, listing):
    """`correct_category` empty or equal: nothing is pending."""
    listing.rows = [row("news", correct_category=""), row("other", correct_category="UTILITY")]
    house = await open_house(graph.url, account=READABLE)
    await eventually(lambda: bool(house.logged("templates_read")))
    sent = [await house.template(name) for name in ("news", "other")]

    assert [None, None] == [answer["Gatekeeper-Category-Pending"] for answer in sent]


async def test_parameters_are_checked_at_the_gate(open_house, graph, listing):
    """By the components that Meta lists; what is refused never reaches Meta, and is asked for once to be sure."""
    components = [{"type": "BODY", "text": "Hello {{1}}"}]
    listing.rows = [row("news", parameter_format="POSITIONAL", components=components)]
    house = await open_house(graph.url, account=READABLE)
    await eventually(lambda: bool(house.logged("templates_read")))
    answers = [await house.template("news") for _ in range(2)]
    said = answers[0].json["error"]

    assert [(400, 132000)] * 2 == [answer.error for answer in answers]
    assert {"malformed_request"} == {answer["Gatekeeper-Reason"] for answer in answers}
    assert (
        "body: number of localizable_params (0) does not match the expected number of params (1)" == said["error_data"]["details"]
    )
    assert [] == graph.arrived
    assert ["news"] == [asked["name"] for asked in listing.asked if "name" in asked]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (
            "message_template_status_update",
            {"event": "PAUSED", "other_info": {"title": "FIRST_PAUSE"}},
            {"status": "PAUSED", "title": "FIRST_PAUSE"},
        ),
        (
            "template_category_update",
            {"new_category": "UTILITY", "correct_category": "MARKETING"},
            {"category": "utility", "category_pending": "marketing"},
        ),
        ("message_template_quality_update", {"new_quality_score": "RED"}, {"quality": "RED"}),
    ],
)
async def test_news_of_a_template_is_a_line_of_the_log(house, field, value, said):
    """Operators see what became of which template."""
    named = {"message_template_id": 1, "message_template_name": "order_update", "message_template_language": "en_US"}
    await house.changed({**named, **value}, field=field)
    [line] = house.logged("template_changed")

    assert {"waba_id": WABA, "template": "order_update", "language": "en_US", **said} == {
        name: line[name] for name in line.keys() - {"event", "level", "at"}
    }


async def test_the_sandbox_is_read_like_meta(redis_url, redis, open_house, graph):
    """A gate with a token in front of the built-in sandbox knows its templates and what they ask for."""
    house = await open_house(graph.url)  # for its way of asking
    settings = parse(
        {
            "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "grace": "1s"},
            "ledger": {"url": redis_url, "timeout": "2s"},
            "account": [{"waba_id": WABA, "phone_number_ids": [NUMBER], "access_token": TOKEN}],
        },
        name="test",
        environment={},
    )
    async with running(settings, logger(house.written), sandbox=True) as house.gate:
        await eventually(lambda: bool(house.logged("templates_read")))
        names = ("summer_sale", "delivery_photo", "appointment_reminder", "one_time_password", "never_heard_of")
        answers = {name: await house.template(name, ("Authorization", "Bearer any")) for name in names}

    assert {"summer_sale": 200, "delivery_photo": 400, "appointment_reminder": 400, "one_time_password": 400} | {
        "never_heard_of": 404
    } == {name: answer.status for name, answer in answers.items()}
    assert "marketing" == answers["summer_sale"]["Gatekeeper-Category"]
    assert [132012, 132000, 132000, 132001] == [json.loads(answers[name].body)["error"]["code"] for name in names[1:]]
