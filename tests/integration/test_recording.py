"""What a gate records, and that its history replayed decides as the gate did."""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fake_graph import FakeGraph, eventually

from gatekeeper.core.errors import ConfigError
from gatekeeper.replay import replay
from gatekeeper.server import recording
from gatekeeper.server.app import running
from gatekeeper.server.rotation import Line, Rotation
from gatekeeper.telemetry import logger

NOON = 1_794_312_000_000  # 2026-11-10T12:00Z
NUMBER, WABA, USER = "106540352242922", "102290129340398", "4915112345678"
SENDS = f"/v23.0/{NUMBER}/messages"
MARKETING = f"/v23.0/{NUMBER}/marketing_messages"
CONVERSATIONS = 1_693_900_800_000  # 2023-09-05T08:00Z
MINUTE, HOUR = 60_000, 3_600_000
OTHERS = ("5511987654321", "919812345678", "5215512345678", "14155552671")
BSUID = "DE.13491208655302741918"
SECRETS = ("a very private text", "Ann Example", "secret.example", "EAAsecrettoken", "private caption")
# What the log says of a decision and a replay does too.
COMPARED = ("verdict", "reason", "category", "opens", "charged", "price", "price_bound", "currency", "market")
POLICY: dict[str, Any] = {
    "cold_start": "closed",
    "rule": [{"name": "no prizes", "caller": ["prizes"], "category": ["marketing"]}],
    "budget": [{"name": "ads", "scope": "caller", "period": "day", "limit": "0.30", "category": ["marketing"]}],
    "fallback": [{"template": "order_update", "language": "en_US", "text_parameter": True, "caller": ["support"]}],
}


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl*"))


def lines(folder: Path) -> list[bytes]:
    """What is recorded so far, in the order of the files."""
    return [line for file in files(folder) for line in file.read_bytes().splitlines(keepends=True)]


async def recorded(folder: Path, count: int) -> list[bytes]:
    """Wait until so many lines are recorded."""
    await eventually(lambda: len(lines(folder)) >= count)
    found = lines(folder)
    assert count == len(found)
    return found


async def replayed(history: list[bytes], house) -> list[dict[str, Any]]:
    """What a replay under the gate's own configuration writes."""
    out = io.BytesIO()
    await replay(history, "a record", house.gate.settings, out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


async def decisions(history: list[bytes], house) -> dict[str, dict[str, Any]]:
    """What it decides, by the decision's id."""
    said = await replayed(history, house)
    return {line["id"]: {field: line[field] for field in COMPARED} for line in said if line["event"] == "decision"}


def decided(house) -> dict[str, dict[str, Any]]:
    """What the gate decided, by the decision's id."""
    return {line["id"]: {field: line[field] for field in COMPARED} for line in house.logged("decision") if not line["dry_run"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "history"


@pytest.fixture(params=["kept", "pseudonymised"])
async def house(open_house, graph: FakeGraph, folder: Path, request: pytest.FixtureRequest):
    """A gate with a policy, which records."""
    return await open_house(graph.url, policy=POLICY, record={"path": str(folder), "recipients": request.param})


def message(kind: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"messaging_product": "whatsapp", "to": USER, "type": kind, kind: content, **more}


def template(name: str, to: str = USER, **more: Any) -> dict[str, Any]:
    return message("template", {"name": name, "language": {"code": "en_US"}, **more}) | {"to": to}


TEXT = {"body": SECRETS[0]}
COMPONENTS = [{"type": "body", "parameters": [{"type": "text", "text": SECRETS[0]}]}]
BODIES: list[Any] = [
    message("text", TEXT),
    message("text", TEXT, to="+49 151 1234-5678"),
    message("text", TEXT, to=OTHERS[2]),
    message("text", TEXT, recipient_type="group", to="Y2FwaV9ncm91cDo"),
    message("text", TEXT, category="utility"),
    {"messaging_product": "whatsapp", "recipient": BSUID, "type": "text", "text": TEXT},
    message("image", {"link": f"https://{SECRETS[2]}/a.png", "caption": SECRETS[4]}),
    message("document", {"id": "1", "filename": SECRETS[2]}),
    message("location", {"latitude": 1, "longitude": 2, "name": SECRETS[1]}),
    message("contacts", [{"name": {"formatted_name": SECRETS[1]}}]),
    message("interactive", {"type": "button", "body": {"text": SECRETS[0]}}),
    message("reaction", {"message_id": "wamid.in", "emoji": "x"}),
    message("of_another_year", TEXT),
    {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in"},
    template("order_update", components=COMPONENTS),
    template("spring_sale", OTHERS[0]),
    template("one_time_code", OTHERS[1]),
    template("on_hold"),
    template("too_bad"),
    template("nobody_heard_of_it"),
]
MALFORMED: list[Any] = [
    b"not JSON",
    {"to": USER},
    message("text", {}),
    message("text", []),
    message("system", {}),
    message("text", TEXT, recipient=7),
    {"messaging_product": "whatsapp", "recipient": BSUID, "type": "text", "text": TEXT, "category": "authentication"},
]


async def live(house, graph: FakeGraph) -> int:
    """Traffic of each kind, once around the clock; how many lines it comes to."""
    count = 2  # a template's news are told again before its next send, for a file that begins there

    async def after(minutes: float, *coming: Any) -> list[Any]:
        nonlocal count
        house.now += round(minutes * MINUTE)
        count += len(coming)
        return [await one for one in coming]

    for body in (*BODIES, *MALFORMED):  # while nothing is open
        await after(1, house.send(body, ("Gatekeeper-Caller", "crm"), path=f"{SENDS}?access_token={SECRETS[3]}"))
    await after(1, house.text(("Gatekeeper-Caller", "support")), house.template("spring_sale", ("Gatekeeper-Caller", "prizes")))
    await after(
        1, house.send(message("text", {"body": "x" * 1100}), ("Gatekeeper-Caller", "support"))
    )  # too long for a parameter
    await after(1, house.send(template("spring_sale"), path=MARKETING), house.send(template("order_update"), path=MARKETING))
    profile = {"contacts": [{"wa_id": USER, "user_id": BSUID, "profile": {"name": SECRETS[1]}}]}
    came = {
        "from": USER,
        "from_user_id": BSUID,
        "id": "wamid.in",
        "timestamp": str(house.now // 1000),
        "type": "text",
        "text": TEXT,
    }
    await after(1, house.changed({**profile, "messages": [came]}))
    for body in BODIES:  # while the window is open
        await after(1, house.send(body))
    await after(1, house.wrote(user=OTHERS[3], referral={"source_type": "ad", "source_url": f"https://{SECRETS[2]}"}))
    [taken] = await after(1, house.send(template("spring_sale", OTHERS[3])))
    wamid = taken.json["messages"][0]["id"]
    pricing = {
        "pricing": {"billable": False, "pricing_model": "PMP", "type": "free_entry_point", "category": "referral_conversion"}
    }
    await after(1, *(house.status(wamid, word, recipient_id=OTHERS[3], **pricing) for word in ("sent", "delivered", "read")))
    await after(1, house.text(to=OTHERS[3]), house.send(template("spring_sale", OTHERS[3])))
    stop = {"wa_id": USER, "category": "marketing_messages", "value": "stop", "timestamp": house.now // 1000}
    await after(1, house.changed({"user_preferences": [stop]}, field="user_preferences"))
    await after(1, house.template("spring_sale"), house.template("order_update"))
    news = {"message_template_name": "order_update", "message_template_language": "en_US"}
    paused = {**news, "event": "PAUSED", "other_info": {"title": "FIRST_PAUSE", "description": SECRETS[0]}}
    await after(1, house.changed(paused, field="message_template_status_update"))
    await after(1, house.template("order_update"))
    await after(1, house.changed({**news, "event": "UNPAUSED"}, field="message_template_status_update"))
    await after(1, house.changed({**news, "new_category": "MARKETING"}, field="template_category_update"))
    await after(1, house.send(template("order_update", OTHERS[1])))
    ads = [house.send(template("spring_sale", to), ("Gatekeeper-Caller", "ads")) for to in (OTHERS[0], OTHERS[1], USER, USER)]
    await after(1, *ads)
    [failing] = await after(1, house.text())
    late = {"errors": [{"code": 131047, "title": SECRETS[0]}]}
    await after(1, house.status(failing.json["messages"][0]["id"], "failed", **late))
    await after(1, house.text())
    moved = {"type": "user_changed_number", "body": SECRETS[1], "wa_id": OTHERS[0]}
    system = {"from": USER, "id": "wamid.sys", "timestamp": str(house.now // 1000), "type": "system", "system": moved}
    await after(1, house.changed({"messages": [system]}))
    call = {"id": "wacid.1", "from": OTHERS[1], "to": "15550783881", "event": "connect", "direction": "USER_INITIATED"}
    await after(1, house.changed({"calls": [{**call, "timestamp": str(house.now // 1000)}]}, field="calls"))
    await after(1, house.text(to=OTHERS[1]), house.text(to=OTHERS[0]), house.text(to=USER))
    graph.script = refusing
    await after(1, house.send(template("one_time_code", OTHERS[1])))
    graph.script = losing
    await after(1, house.send(template("one_time_code", OTHERS[2])))
    graph.script = None
    await after(1, house.send(template("one_time_code", OTHERS[2])))
    await after(24 * 60, house.text(to=OTHERS[1]), house.send(template("spring_sale", OTHERS[2]), ("Gatekeeper-Caller", "ads")))
    return count


async def refusing(_: web.BaseRequest) -> web.StreamResponse:
    return web.json_response({"error": {"code": 131026, "message": "(#131026)"}}, status=400)


async def losing(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=502)


@pytest.mark.parametrize("began", [NOON, CONVERSATIONS], ids=["by message", "by conversation"])
async def test_a_record_decides_as_the_gate_did(house, graph, folder, began):
    """Each send of each kind: verdict, reason, category, price and all."""
    house.now = began
    history = await recorded(folder, await live(house, graph))
    found = await decisions(history, house)

    assert decided(house) == found
    assert {"allow", "block", "rewrite"} == {each["verdict"] for each in found.values()}
    assert 14 <= len({each["reason"] for each in found.values()})


async def test_a_record_settles_as_the_gate_did(house, graph, folder):
    """What deliveries cost is the same sum."""
    for name, word in (
        ("spring_sale", "delivered"),
        ("order_update", "read"),
        ("one_time_code", "failed"),
        ("spring_sale", "sent"),
    ):
        sent = await house.template(name)
        await house.status(sent.json["messages"][0]["id"], word)
    bill = (await house.admin(f"/v1/spend?waba_id={WABA}&month=2026-11")).json
    *_, summary = await replayed(await recorded(folder, 8), house)

    assert {"USD": bill["settled"]["total"]} == summary["spend"]
    assert 2 == summary["charged"]


async def test_nothing_private_is_recorded(house, graph, folder):
    """No text, no caption, no file's name, no profile's name, no token; and no number, no BSUID and no id of Meta's but our own."""
    history = b"".join(await recorded(folder, await live(house, graph))).decode()
    hidden = house.gate.settings.record.recipients == "pseudonymised"
    names = [name for name in (USER, BSUID, *OTHERS, "525512345678", '"wamid.1"', "wamid.in") if name in history]

    assert [] == [secret for secret in SECRETS if secret in history]
    assert hidden == (names == [])
    assert NUMBER in history


async def test_only_the_owner_can_read_it(house, folder):
    """Neither the folder nor a file is anybody else's business."""
    await house.text()
    await recorded(folder, 1)

    assert [0o700, 0o600] == [stat.S_IMODE(path.stat().st_mode) for path in (folder, *files(folder))]


async def test_what_decides_nothing_is_not_recorded(house, folder):
    """A dry run, a webhook that says nothing to us, and a webhook that the ledger did not take."""
    await house.text(("Gatekeeper-Dry-Run", "true"))
    await house.send(b"not JSON", ("Gatekeeper-Dry-Run", "true"))
    await house.changed({"phone_number": "1"}, field="phone_number_quality_update")
    await house.webhook({"object": "whatsapp_business_account", "entry": []})
    await house.text()
    [line] = [json.loads(text) for text in await recorded(folder, 1)]

    assert house.logged("decision")[-1]["id"] == line["send"]["id"]


async def test_a_webhook_that_the_ledger_did_not_take_is_recorded_once(house, folder, frozen):
    """Meta says it again, and then it is."""
    with frozen():
        lost = await house.wrote()
    await eventually(lambda: house.gate.engine.ledger.up)
    taken = await house.wrote()
    await recorded(folder, 1)

    assert [503, 200] == [lost.status, taken.status]


async def test_a_line_says_what_became_of_its_send(house, graph, folder):
    """Taken, refused, lost, or never sent; Meta's answer is in it only as far as it is read."""
    for script in (None, refusing, losing):
        graph.script = script
        await house.template("one_time_code")
    await house.text()
    found = [json.loads(line)["send"] for line in await recorded(folder, 4)]

    assert [{"wamid", "response"}, {"response"}, {"unanswered"}, {"unanswered"}] == [
        set(send) - {"id", "path", "body", "caller"} for send in found
    ]
    assert {"error": {}} == found[1]["response"]


async def test_a_message_and_its_statuses_have_one_id(house, folder):
    """Also where another one stands for it."""
    sent = await house.template("one_time_code")
    wamid = sent.json["messages"][0]["id"]
    await house.status(wamid, "delivered")
    send, webhook = (json.loads(line) for line in await recorded(folder, 2))
    [status] = webhook["webhook"]["entry"][0]["changes"][0]["value"]["statuses"]

    assert (send["send"]["wamid"] == status["id"], status["id"] == wamid) == (
        True,
        house.gate.settings.record.recipients == "kept",
    )
    assert send["send"]["response"]["messages"] == [{"id": status["id"]}]


# ---------------------------------------------------------------------------------------------------------------- many at once


async def test_a_send_in_flight_keeps_its_place(open_house, graph, folder):
    """What is refused at once stands behind what was decided before it, and whose answer comes later."""
    budget = [{"name": "ads", "scope": "waba", "period": "day", "limit": "0.30"}]
    house = await open_house(graph.url, policy={"budget": budget, "cold_start": "closed"}, record={"path": str(folder)})
    answers = [asyncio.Event(), asyncio.Event()]
    waiting = iter(answers)

    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        await next(waiting).wait()
        return graph.accept(await request.read())

    graph.script = slowly
    on_their_way = []
    for n in (1, 2):
        on_their_way.append(asyncio.create_task(house.template("spring_sale")))
        await eventually(lambda n=n: len(house.gate.engine._going) == n)
    await house.template("spring_sale")
    for event, task in zip(reversed(answers), reversed(on_their_way), strict=True):
        event.set()
        await task
    history = await recorded(folder, 3)
    found = await decisions(history, house)

    assert decided(house) == found
    assert [True, True, False] == ["wamid" in json.loads(line)["send"] for line in history]


async def test_as_many_of_a_crowd_pass_as_did(open_house, graph, folder):
    """Of sends in the same instant nobody knows the order for certain; a budget pays for as many of them when they are replayed."""
    budget = [{"name": "ads", "scope": "waba", "period": "day", "limit": "0.70"}]
    house = await open_house(graph.url, policy={"budget": budget, "cold_start": "closed"}, record={"path": str(folder)})
    waiting: list[asyncio.Event] = []

    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        mine = asyncio.Event()
        waiting.append(mine)
        await mine.wait()
        return graph.accept(await request.read())

    graph.script = slowly
    sends = [asyncio.create_task(house.template("spring_sale")) for _ in range(12)]
    await eventually(lambda: len(waiting) == 5 and len(house.logged("decision")) == 7)
    for event in reversed(waiting):
        event.set()
        await asyncio.sleep(0)
    await asyncio.gather(*sends)
    found = await decisions(await recorded(folder, 12), house)

    assert decided(house).keys() == found.keys()
    assert {"allow": 5, "block": 7} == {
        word: [each["verdict"] for each in found.values()].count(word) for word in ("allow", "block")
    }


async def test_nobody_waits_for_an_answer_for_ever(open_house, graph, folder, monkeypatch):
    """A send that takes long loses its place, and is recorded when its answer is there: later, and still in the order of time."""
    monkeypatch.setattr(recording, "_PATIENCE_S", 0.0)
    house = await open_house(graph.url, policy={"cold_start": "closed"}, record={"path": str(folder)})
    answer = asyncio.Event()

    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        await answer.wait()
        return graph.accept(await request.read())

    graph.script = slowly
    slow = asyncio.create_task(house.template("spring_sale"))
    await eventually(lambda: bool(house.gate.engine._going))
    house.now += MINUTE
    await house.text()
    await recorded(folder, 1)
    house.now += MINUTE
    answer.set()
    await slow
    first, second = (json.loads(line) for line in await recorded(folder, 2))

    assert ["text", "template"] == [line["send"]["body"]["type"] for line in (first, second)]
    assert [NOON // 1000 + 60, NOON // 1000 + 120] == [first["at"], second["at"]]


async def test_a_clock_that_is_set_back_does_not_turn_the_history_round(house, folder):
    """What happens then is recorded at the latest moment that there was."""
    await house.text()
    house.now -= HOUR
    await house.text()
    found = [json.loads(line)["at"] for line in await recorded(folder, 2)]

    assert [NOON // 1000] * 2 == found


# -------------------------------------------------------------------------------------------------------- templates from a list


async def test_what_meta_lists_of_a_template_is_recorded_as_news_of_it(open_house, graph, folder):
    """A replay has no token to read the list with: it hears of the template as from a webhook, once."""
    listed = {"name": "winter_sale", "language": "en_US", "status": "APPROVED", "category": "MARKETING", "components": []}

    async def listing(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"data": [listed]})
        return graph.accept(await request.read())

    graph.script = listing
    account = {"access_token": "EAAtoken"}
    house = await open_house(graph.url, account=account, policy={"cold_start": "closed"}, record={"path": str(folder)})
    await house.template("winter_sale")
    await house.template("winter_sale")
    history = await recorded(folder, 3)
    found = await decisions(history, house)

    assert ["webhook", "send", "send"] == [list(json.loads(line))[1] for line in history]
    assert decided(house) == found
    assert {"marketing"} == {each["category"] for each in found.values()}


# ------------------------------------------------------------------------------------------------------------- when it goes wrong


async def test_a_folder_that_cannot_be_is_said_at_the_start(open_house, graph, tmp_path):
    """A gate that was told to record and cannot does not start."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as fault:
        await open_house(graph.url, record={"path": str(tmp_path / "file" / "history")})

    assert f"$.record.path: cannot write to {tmp_path / 'file' / 'history'}: Not a directory" == str(fault.value)


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Let no file grow beyond so many bytes: what is written then is cut off in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_costs_no_send(open_house, graph, folder, full_disk, monkeypatch):
    """Lines are lost and counted, the log says so once, and once more when there is room again; what is there is whole."""
    monkeypatch.setattr(recording, "_QUIET_S", 0.0)
    house = await open_house(graph.url, policy={"cold_start": "closed"}, record={"path": str(folder)})
    await house.template("order_update")
    await recorded(folder, 1)
    full_disk(10)
    answers = [await house.template("order_update") for _ in range(5)]
    await eventually(lambda: count(house, "failed") == 5)
    full_disk(resource.RLIM_INFINITY)
    answers.append(await house.template("order_update"))
    await recorded(folder, 2)
    await eventually(lambda: bool(house.logged("record_resumed")))

    assert [200] * 6 == [answer.status for answer in answers]
    assert [("failed", str(folder), "File too large")] == [
        (line["reason"], line["path"], line["error"]) for line in house.logged("record_dropped")
    ]
    assert [5] == [line["dropped"] for line in house.logged("record_resumed")]
    assert all(json.loads(line) for line in lines(folder))
    assert (2.0, 5.0) == (count(house, "written"), count(house, "failed"))


def count(house, outcome: str) -> float:
    """How many lines had this outcome."""
    found = house.gate.engine._metrics.registry.get_sample_value("gatekeeper_record_lines_total", {"outcome": outcome})
    return found or 0.0


async def test_a_slow_disk_delays_no_send(open_house, graph, folder, monkeypatch):
    """What there is no room for while it is slow is dropped and counted; the rest is written when it can be."""
    slow = threading.Event()
    written = Rotation.write

    def waiting(self: Rotation, some: Any) -> Any:
        assert slow.wait(10)
        return written(self, some)

    monkeypatch.setattr(Rotation, "write", waiting)
    monkeypatch.setattr(recording, "_MOST", 4)
    house = await open_house(graph.url, policy={"cold_start": "closed"}, record={"path": str(folder)})
    answers = [await house.template("order_update") for _ in range(10)]
    slow.set()
    await recorded(folder, 4)
    await eventually(lambda: count(house, "written") == 4)

    assert [200] * 10 == [answer.status for answer in answers]
    assert ["full"] == [line["reason"] for line in house.logged("record_dropped")]
    assert 6.0 == count(house, "full")


async def test_what_cannot_be_written_down_is_one_line_lost(open_house, graph, folder, monkeypatch):
    """A fault of ours ends neither the gate nor the record, and its text is not in the log."""
    monkeypatch.setattr("gatekeeper.server.recorded.payload_of", lambda *_: 1 / 0)
    house = await open_house(graph.url, policy={"cold_start": "closed"}, record={"path": str(folder)})
    heard = await house.wrote()
    await house.text()
    await eventually(lambda: count(house, "failed") == 2)

    assert (200, ["ZeroDivisionError"]) == (heard.status, [line["error"] for line in house.logged("record_dropped")])


# --------------------------------------------------------------------------------------------------------------------- the files


def some(n: int, *, at: int = NOON) -> list[Line]:
    return [Line(at + each, b"%03d\n" % each) for each in range(n)]


def rotation(folder: Path, *, most: int = 16, keep: int = 30) -> Rotation:
    files = Rotation(folder, most=most, keep=keep)
    files.prepare()
    return files


def test_a_file_is_whole_before_the_next_begins(folder):
    """Each has as many lines as it can hold, and is named after the time of its first."""
    files_ = rotation(folder)
    written = files_.write(some(10))
    suffixes = [file.suffix for file in files(folder)]
    files_.close()

    assert ((10, None), [".jsonl", ".jsonl", ".open"]) == (written, suffixes)
    assert [4, 4, 2] == [len(file.read_bytes().splitlines()) for file in files(folder)]
    assert [f"20261110T1200000{n:02d}Z" for n in (0, 4, 8)] == [file.name.partition("-")[0] for file in files(folder)]
    assert [".jsonl"] * 3 == [file.suffix for file in files(folder)]
    assert b"".join(line.text for line in some(10)) == b"".join(lines(folder))


def test_a_line_larger_than_a_file_has_one_of_its_own(folder):
    """It is not cut."""
    files_ = rotation(folder)
    found = files_.write([Line(NOON, b"a\n"), Line(NOON, b"b" * 40 + b"\n"), Line(NOON, b"c\n")])

    assert (3, None) == found
    assert [2, 41, 2] == [len(file.read_bytes()) for file in files(folder)]


def test_only_so_many_files_are_kept(folder):
    """The oldest go; what is not ours stays."""
    files_ = rotation(folder, keep=2)
    (folder / "notes.jsonl").write_text("mine")
    files_.write(some(17))
    files_.close()

    assert [b"012\n", b"016\n"] == [file.read_bytes().splitlines(keepends=True)[0] for file in files(folder)[:-1]]
    assert "mine" == (folder / "notes.jsonl").read_text()


def test_files_of_one_moment_have_different_names(folder):
    """Two that begin in the same millisecond, or after a restart that nobody noticed."""
    for _ in range(3):
        files_ = rotation(folder)
        files_.write(some(1))
        files_.close()

    assert 3 == len(files(folder))


def test_half_a_line_is_cut_off(folder, full_disk):
    """A disk that is full in the middle of a line: what was whole stays, and the next line begins another file."""
    files_ = rotation(folder, most=1000)
    files_.write(some(2))
    full_disk(10)
    written, error = files_.write(some(2))
    full_disk(resource.RLIM_INFINITY)
    again = files_.write(some(1, at=NOON + HOUR))

    assert (0, "File too large") == (written, error.strerror)
    assert (1, None) == again
    assert [b"000\n001\n", b"000\n"] == [file.read_bytes() for file in files(folder)]
    assert [".jsonl", ".open"] == [file.suffix for file in files(folder)]


def test_what_a_killed_gate_left_is_made_whole(folder):
    """Half a line at its end is cut off; a file that somebody writes is left alone, and so is an empty one."""
    folder.mkdir()
    left = {"20261110T120000000Z-1.jsonl.open": b"1\n2\n3", "20261110T120000001Z-1.jsonl.open": b""}
    for name, text in left.items():
        (folder / name).write_bytes(text)
    living = rotation(folder)
    living.write(some(1, at=NOON + HOUR))
    rotation(folder)

    assert {
        "20261110T120000000Z-1.jsonl": b"1\n2\n",
        "20261110T120000001Z-1.jsonl.open": b"",
        f"20261110T130000000Z-{os.getpid()}.jsonl.open": b"000\n",
    } == {file.name: file.read_bytes() for file in files(folder)}


def test_a_folder_that_is_gone_is_made_again(folder):
    """With the next file: what was open when it went is lost with it."""
    files_ = rotation(folder)
    files_.write(some(4))
    for file in files(folder):
        file.unlink()
    folder.rmdir()
    lost = files_.write(some(1))
    found = files_.write(some(1))

    assert (0, "No such file or directory") == (lost[0], lost[1].strerror)
    assert (1, None) == found
    assert [b"000\n"] == lines(folder)


async def test_a_gate_that_stops_writes_all_that_there_is(open_house, graph, folder):
    """Its last file is whole, and a history of several files is one when they are put together."""
    record = {"path": str(folder), "max_file": "1KiB"}
    house = await open_house(graph.url, policy={"cold_start": "closed"}, record=record)
    async with running(house.gate.settings, logger(house.written), now=lambda: house.now) as house.gate:
        for _ in range(20):
            house.now += MINUTE
            await house.template("order_update")
    found = await decisions(lines(folder), house)

    assert {".jsonl"} == {file.suffix for file in files(folder)}
    assert len(files(folder)) > 5
    assert decided(house) == found


async def test_records_that_others_could_read_are_closed_to_them(tmp_path):
    """A folder and records that were there before, and readable, are the owner's alone from the next start on."""
    folder = tmp_path / "record"
    folder.mkdir(mode=0o755)
    for name in ("20260101T000000000Z-1.jsonl", "20260101T000000000Z-2.jsonl.open", "mine.txt"):
        (folder / name).write_text("{}\n")
        (folder / name).chmod(0o644)
    folder.chmod(0o755)
    Rotation(folder, most=1 << 20, keep=9).prepare()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}

    assert {
        "record": 0o700,
        "20260101T000000000Z-1.jsonl": 0o600,
        "20260101T000000000Z-2.jsonl": 0o600,
        "mine.txt": 0o644,
    } == modes
