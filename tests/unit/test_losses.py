"""What a reload may not take away: every caller, every account, or all there is."""

from __future__ import annotations

import pytest

from gatekeeper.settings import loss, parse

CALLERS = {"caller": [{"name": "crm", "key": "a-key-of-the-crm-system"}]}
ACCOUNTS = {"account": [{"waba_id": "1"}, {"waba_id": "2"}]}
POLICY = {"policy": {"mode": "annotate"}}
MEANT = {"server": {"allow_empty": True}}
OTHERS = {"caller": [{"name": "shop", "key": "a-key-of-the-shop-system"}], "account": [{"waba_id": "2"}]}


def lost(before, after):
    old, new = (parse(raw, name="test.toml", environment={}) for raw in (before, after))
    return loss(old, new, before=before, after=after)


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (CALLERS | ACCOUNTS, {}, "$.caller"),
        (ACCOUNTS, {}, "$.account"),
        (POLICY, {}, "$"),
        (POLICY, {"policy": {"limits": {}}, "account": [], "server": {}}, "$"),
        (CALLERS | ACCOUNTS, ACCOUNTS, "$.caller"),
        (CALLERS | ACCOUNTS, CALLERS, "$.account"),
        (CALLERS | ACCOUNTS, POLICY, "$.caller"),
        (CALLERS | ACCOUNTS, ACCOUNTS | {"caller": []}, "$.caller"),
        (CALLERS | ACCOUNTS, OTHERS, None),
        (CALLERS | ACCOUNTS, CALLERS | ACCOUNTS | POLICY, None),
        (CALLERS | ACCOUNTS, MEANT, None),
        (POLICY, ACCOUNTS, None),
        ({}, {}, None),
        ({}, POLICY, None),
    ],
)
def test_a_loss_is_named_by_its_key(before, after, path):
    """Some may go as long as one stays or comes; a file that says that it is meant may lose everything."""
    found = lost(before, after)

    assert path == (found and found[0])


def test_what_was_allowed_before_is_not_allowed_for_ever():
    """The new file says so itself, or it is not meant."""
    assert lost(CALLERS | MEANT, POLICY) is not None
