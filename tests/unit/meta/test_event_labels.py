"""What an event is called in metrics and in the log: words of their own, whatever its class is called."""

from __future__ import annotations

import re
from typing import get_args

import msgspec

from gatekeeper.meta import events as meta

WORDS = {
    "Inbound": "inbound",
    "SystemChange": "system_change",
    "Call": "call",
    "Status": "status",
    "TemplateStatus": "template_status",
    "TemplateCategory": "template_category",
    "TemplateQuality": "template_quality",
    "Preference": "preference",
    "Handover": "handover",
    "InternationalRate": "international_rate",
    "PrimaryLocation": "primary_location",
    "VolumeTier": "volume_tier",
    "AccountUpdate": "account_update",
    "Ignored": "ignored",
    "Broken": "broken",
}


def test_each_event_has_a_label_of_its_own():
    """Dashboards and alerts are made of these words, so none of them ever changes."""
    labels = {kind.__name__: meta.LABELS[kind].value for kind in get_args(meta.Event)}

    assert WORDS == labels


def test_labels_are_written_like_all_others():
    """Prometheus's words are lower case with underscores."""
    odd = [label.value for label in meta.Label if not re.fullmatch(r"[a-z]+(_[a-z]+)*", label.value)]

    assert [] == odd


def test_a_renamed_class_keeps_its_label():
    """A label is found by the class and not by its name."""
    name, meta.Ignored.__name__ = meta.Ignored.__name__, "Passed"
    try:
        counts = meta.kinds([meta.Ignored(field="x"), meta.Ignored(field="y"), meta.Broken(where="entry[0]", why="z")])
    finally:
        meta.Ignored.__name__ = name

    assert {"ignored": 2, "broken": 1} == counts


def test_a_parked_status_is_tagged_by_a_word():
    """Statuses that wait in the ledger are read by the next version, whatever that calls the class."""
    tag = msgspec.msgpack.decode(msgspec.msgpack.encode(meta.Status(wamid="w", status="sent")))["what"]

    assert "Status" == tag
