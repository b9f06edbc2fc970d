"""
Own what is recorded of requests that are refused before anything is decided: a count by why, and one log line.

A stranger may make any number of them. So where each says the same, only so many lines are written in a while, and the next line says
how many were left out.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any

import structlog

from gatekeeper.telemetry import REQUEST_REJECTED, Metrics

_MOST_LINES, _WHILE_S = 100, 10.0


class Why(StrEnum):
    """Why a request is refused."""

    UNREADABLE = "unreadable"
    BAD_TARGET = "bad_target"
    AMBIGUOUS_HEADERS = "ambiguous_headers"
    BROKEN_BODY = "broken_body"
    TOO_SLOW = "too_slow"
    NO_ROOM = "no_room"
    LOOPED = "looped"
    WRONG_PLACE = "webhook_at_wrong_path"
    WRONG_METHOD = "webhook_by_wrong_method"


# A misdirected webhook is somebody's mistake that loses money: each has its line.
_ALWAYS = frozenset({Why.WRONG_PLACE, Why.WRONG_METHOD})


class Rejections:
    """Counts and logs them."""

    def __init__(self, metrics: Metrics, log: Any) -> None:
        self._log: structlog.stdlib.BoundLogger = log
        self._loop = asyncio.get_running_loop()
        self._counters = {why: metrics.rejected.labels(why) for why in Why}
        self._since = dict.fromkeys(Why, float("-inf"))
        self._written, self._left_out = dict.fromkeys(Why, 0), dict.fromkeys(Why, 0)

    def record(self, why: Why, *, status: int, **fields: str | int | None) -> None:
        """Count a request, and write its line; *fields* say nothing of who made it, and quote none of its text."""
        self._counters[why].inc()
        now = self._loop.time()
        if now - self._since[why] >= _WHILE_S:
            self._since[why], self._written[why] = now, 0
        if self._written[why] >= _MOST_LINES and why not in _ALWAYS:
            self._left_out[why] += 1
            return
        self._written[why] += 1
        left_out, self._left_out[why] = self._left_out[why], 0
        self._log.warning(REQUEST_REJECTED, why=why, status=status, **fields, left_out=left_out)
