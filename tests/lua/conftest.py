"""The scripts on an empty Redis."""

from __future__ import annotations

import pytest
from redis import Redis
from verbs import Verbs


@pytest.fixture
def lua(redis: Redis) -> Verbs:
    return Verbs(redis)
