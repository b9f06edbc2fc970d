"""What a ledger's URL says, in each of its forms."""

from __future__ import annotations

import pytest

from gatekeeper.settings.ledgers import Target, target

HOME = ("localhost", 6379)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://", Target(places=(HOME,))),
        ("redis://localhost", Target(places=(HOME,))),
        ("redis://localhost/", Target(places=(HOME,))),
        ("rediss://redis.internal:6380/2", Target(tls=True, places=(("redis.internal", 6380),), db=2)),
        ("redis://[::1]:7000?db=3", Target(places=(("::1", 7000),), db=3)),
        ("redis://:word@localhost", Target(places=(HOME,), password="word")),
        ("redis://gate@localhost", Target(places=(HOME,), username="gate")),
        ("redis://g%40te:a%2Fb%3Ac%23@localhost", Target(places=(HOME,), username="g@te", password="a/b:c#")),
        ("redis://gate:a:b@localhost", Target(places=(HOME,), username="gate", password="a:b")),
        ("redis://localhost?username=gate&password=word", Target(places=(HOME,), username="gate", password="word")),
        ("redis://one,two:7000,[::1]", Target(places=(("one", 6379), ("two", 7000), ("::1", 6379)))),
        ("unix:///run/a%20b.sock?db=1", Target(path="/run/a b.sock", db=1)),
        ("unix://gate@/run/redis.sock?password=word", Target(path="/run/redis.sock", username="gate", password="word")),
        ("redis+sentinel://one,two:26380/main", Target(places=(("one", 26379), ("two", 26380)), service="main")),
        (
            "rediss+sentinel://gate:word@one/main/4?sentinel_username=s&sentinel_password=t",
            Target(
                tls=True,
                places=(("one", 26379),),
                service="main",
                db=4,
                username="gate",
                password="word",
                sentinel_username="s",
                sentinel_password="t",
            ),
        ),
    ],
)
def test_a_url_says_where_a_ledger_is(url, where):
    """As redis-py and others write it, and what it leaves out has the usual value."""
    assert where == target(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost",
        "REDIS://localhost",
        "redis://gate:sec/ret@localhost:6379/0",
        "redis://gate:12/ret@localhost",
        "redis://gate:se#ret@localhost",
        "redis://gate:se?ret@localhost",
        "redis://gate:12?db=ret@localhost",
        "redis://localhost:0",
        "redis://localhost:65536",
        "redis://localhost:port",
        "redis://local host",
        "redis://one,",
        "redis://,",
        "redis://localhost/ret",
        "redis://localhost/0/ret",
        "redis://localhost?ssl_cert_reqs=none",
        "redis://localhost?db=-1",
        "redis+sentinel://one",
        "redis+sentinel://one/main/ret",
        "unix://",
        "unix://localhost/run/redis.sock",
        "unix+sentinel://one/main",
    ],
)
def test_what_is_no_ledgers_url_is_told_without_a_word_of_it(url):
    """It may hold a password, and the mistake may be in that."""
    with pytest.raises(ValueError, match=r"^[^\n]+$") as fault:
        target(url)

    assert "ret" not in str(fault.value)
