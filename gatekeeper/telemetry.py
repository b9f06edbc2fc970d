"""Own the names of log lines and metrics, and how they are written: one JSON object a line, and Prometheus."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from typing import Any, TextIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

DECISION, WEBHOOK, DRIFT = "decision", "webhook", "drifted"
LEDGER_LOST, LEDGER_BACK, LEDGER_RESTARTED = "ledger_lost", "ledger_recovered", "ledger_restarted"
LEDGER_REFUSED = "ledger_refused"
STARTED, STOPPED, ONE_WORKER = "started", "stopped", "workers_ignored"
WORKER_STARTED, WORKER_DIED = "worker_started", "worker_died"
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"  # the variable by which prometheus-client is told that there are several of us
RELOADED, RELOAD_FAILED, RESTART_NEEDED = "reloaded", "reload_failed", "restart_needed"
CONFIG_WARNING = "config_warning"
WEBHOOK_REFUSED, ITEMS_REFUSED = "webhook_refused", "items_refused"
HELD, HELD_ENDED = "held", "held_ended"
FORWARD_FAILED, FORWARD_DROPPED = "forward_failed", "forward_dropped"
TEMPLATES_READ, TEMPLATES_UNREAD, TEMPLATE_CHANGED = "templates_read", "templates_unread", "template_changed"
RECORD_STARTED, RECORD_DROPPED, RECORD_RESUMED = "record_started", "record_dropped", "record_resumed"
ANSWER_UNNAMED, SEND_LAPSED = "answer_unnamed", "send_lapsed"
TURNED_AWAY, FORGOTTEN = "turned_away", "forgotten"
REQUEST_REJECTED, WEBHOOK_REFUSED = "request_rejected", "webhook_refused"
ITEM_SKIPPED, FAULT = "item_skipped", "fault"

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Every metric; a label has few values, and never a recipient or a message's id."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        one: Any = {"registry": self.registry}
        summed, highest, lowest = ({**one, "multiprocess_mode": f"live{mode}"} for mode in ("sum", "max", "min"))
        self.decisions = Counter("gatekeeper_decisions", "Decided sends.", ["verdict", "reason", "category"], **one)
        self.answers = Counter(
            "gatekeeper_answers",
            "Free-form messages by caller, and by which answer it was to what a user wrote last.",
            ["caller", "answer"],
            **one,
        )
        self.hits = Counter(
            "gatekeeper_hits",
            "Sends that something blocked, or would have, or that could not be held to it: platform, rule, budget or limit.",
            ["reason", "name", "outcome"],
            **one,
        )
        self.unpriced = Counter("gatekeeper_unpriced", "Decided sends whose price no rate card knows.", ["currency"], **one)
        self.unknown_types = Counter("gatekeeper_unknown_types", "Sends of a message type that we do not know.", **one)
        self.held_texts = Counter(
            "gatekeeper_held_texts", "Messages held until their recipient answers, and what became of them.", ["outcome"], **one
        )
        self.held_recipients = Gauge("gatekeeper_held_recipients", "Recipients whose answer held messages wait for.", **highest)
        self.settlements = Counter("gatekeeper_settlements", "Settled messages.", ["delivered", "category", "charged"], **one)
        self.settled_difference = Counter(
            "gatekeeper_settled_difference_micros",
            "How far deliveries were settled above or below their quotes, in micro-units.",
            ["currency", "direction"],
            **one,
        )
        self.drift = Counter("gatekeeper_drift", "Times that Meta's word differed from ours.", ["kind"], **one)
        self.webhooks = Counter("gatekeeper_webhook_events", "Webhook events by what they were.", ["event"], **one)
        self.webhook_requests = Counter(
            "gatekeeper_webhook_requests", "Webhook requests by how they were answered.", ["status"], **one
        )
        self.forwards = Counter("gatekeeper_forwards", "Tries to hand on a webhook.", ["target", "outcome"], **one)
        self.forward_retries = Counter(
            "gatekeeper_forward_retries", "Further tries, for targets that Meta does not wait for.", ["target"], **one
        )
        self.forward_dead_letters = Counter(
            "gatekeeper_forward_dead_letters", "Webhooks given up for such a target.", ["target", "reason"], **one
        )
        self.forward_queue = Gauge(
            "gatekeeper_forward_queue",
            "Webhooks that wait for a target or are on their way.",
            ["target"],
            multiprocess_mode="livesum",
            **one,
        )
        self.forward_queue_bytes = Gauge("gatekeeper_forward_queue_bytes", "How much memory they take.", ["target"], **summed)
        self.forward_seconds = Histogram(
            "gatekeeper_forward_seconds", "From handing on to the answer.", ["target"], buckets=_SECONDS, **one
        )
        self.record_lines = Counter(
            "gatekeeper_record_lines", "Lines of the recorded history, by what became of them.", ["outcome"], **one
        )
        self.templates = Gauge("gatekeeper_templates", "Templates of the accounts, by status.", ["status"], **highest)
        self.template_quality = Gauge(
            "gatekeeper_template_quality",
            "Templates of which Meta told a quality, by it.",
            ["score"],
            multiprocess_mode="livemax",
            **one,
        )
        self.template_reads = Counter(
            "gatekeeper_template_reads", "Questions to Meta for templates: a whole list or one name.", ["what", "outcome"], **one
        )
        self.pending_categories = Counter(
            "gatekeeper_pending_categories",
            "Sends of a template that is about to change its category.",
            ["category", "pending"],
            **one,
        )
        self.upstream = Counter("gatekeeper_upstream_answers", "Answers of the upstream to gated sends.", ["status"], **one)
        self.unnamed_answers = Counter(
            "gatekeeper_unnamed_answers", "2xx answers to gated sends that named no message, by why.", ["why"], **one
        )
        self.unnamed_sends = Counter(
            "gatekeeper_unnamed_sends", "Sends whose answer named no message, and what became of them.", ["outcome"], **one
        )
        for outcome in ("waits", "named", "lapsed"):
            self.unnamed_sends.labels(outcome)
        self.decide_seconds = Histogram("gatekeeper_decide_seconds", "From the body to the verdict.", buckets=_SECONDS, **one)
        self.upstream_seconds = Histogram(
            "gatekeeper_upstream_seconds", "From forwarding to the answer.", buckets=_SECONDS, **one
        )
        self.turned_away = Counter("gatekeeper_turned_away", "Requests that no key or token admitted, by why.", ["why"], **one)
        self.rejected = Counter(
            "gatekeeper_rejected_requests", "Requests that were refused before anything was decided, by why.", ["why"], **one
        )
        self.reloads = Counter("gatekeeper_reloads", "Changed configurations, by what became of them.", ["outcome"], **one)
        self.policy_stale = Gauge("gatekeeper_policy_stale", "Whether the configuration's file has a mistake.", **highest)
        self.ledger_up = Gauge("gatekeeper_ledger_up", "Whether the ledger answers.", **lowest)
        self.ledger_failures = Counter(
            "gatekeeper_ledger_failures", "Decisions and webhooks that the ledger did not answer.", **one
        )
        self.ledger_restarts = Counter("gatekeeper_ledger_restarts", "Restarts of the embedded ledger after a crash.", **one)


def logger(stream: TextIO | None = None) -> structlog.stdlib.BoundLogger:
    """A logger that writes one JSON object a line to *stream* (standard error), timestamps in UTC."""
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # what a peer breaks is counted and answered, not traced
    structlog.configure(
        processors=[_line],
        wrapper_class=_Bound,
        logger_factory=structlog.BytesLoggerFactory(file=_Unbroken(stream or sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    bound: structlog.stdlib.BoundLogger = structlog.get_logger().bind()  # each line would bind it anew
    return bound


def exposed(metrics: Metrics) -> bytes:
    """Write every metric as Prometheus reads it, added up over the workers where there are several."""
    registry = metrics.registry
    if METRICS_DIR in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


class Labelled:
    """A metric whose children are looked up by the very values of their labels: prometheus-client makes strings of them each time."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric
        self._children: dict[tuple[Any, ...], Any] = {}

    def of(self, *values: Any) -> Any:
        """The child with these labels, which must have few values."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values)
        return child


class Few:
    """Keeps a label that callers choose to few values: the first ones are kept, and later ones are one."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._seen: set[str] = set()

    def of(self, value: str) -> str:
        """The value as a label."""
        if value not in self._seen and len(self._seen) < self._most:
            self._seen.add(value)
        return value if value in self._seen else "other"


class _Unbroken:
    """
    A stream that nobody may read any more: a line that cannot be written is lost, and never costs a send.

    A file is written to past its buffers: a line that was written is out, whatever becomes of us. Half a line that a full disk
    took is ended before the next one, which can be read then.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._file: int | None = None
        self._half = False
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._file = stream.fileno()

    def write(self, left: bytes) -> None:
        try:
            if self._file is None:
                self._stream.write(left.decode())
                self._stream.flush()
                return
            if self._half:
                os.write(self._file, b"\n")
                self._half = False
            while left:
                left = left[os.write(self._file, left) :]
                self._half = bool(left)
        except (OSError, ValueError):
            return

    def flush(self) -> None:
        """Nothing is kept back."""


_encode = msgspec.json.Encoder(enc_hook=str).encode


def _line(_: Any, level: str, said: Any) -> bytes:
    """One line: what was said, then how loud, when and what; an exception as the text of its traceback."""
    if said.get("exc_info"):
        said = structlog.processors.format_exc_info(None, level, said)
    else:
        said.pop("exc_info", None)
    event = said.pop("event")
    said["level"] = level
    said["at"] = _at(time.time_ns())
    said["event"] = event
    try:
        return _encode(said)
    except UnicodeEncodeError:  # half a character: no line is lost for it
        return json.dumps(said, default=str).encode()


_seconds: dict[int, str] = {}


def _at(now: int) -> str:
    """An instant, in nanoseconds, as a line has it; all but its fraction is made once a second."""
    second, fraction = divmod(now, 1_000_000_000)
    if second not in _seconds:
        _seconds.clear()
        _seconds[second] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    return f"{_seconds[second]}.{fraction // 1000:06}Z"


class _Bound(structlog.make_filtering_bound_logger(logging.INFO)):  # type: ignore[misc]  # a class that is made
    """A logger to which nothing is bound."""

    def info(self, event: str, **said: Any) -> None:
        """As inherited, but not by way of a chain of processors that has one link: each send has such a line."""
        self._logger.msg(_line(None, "info", {"event": event, **said}))
