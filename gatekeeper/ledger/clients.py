"""
Own how Redis is reached: one of it, one behind Sentinels, or a cluster; by TCP, TLS or a socket; as which user.

No client asks twice by itself: a script that was cut off may have run, and asking again would take again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gatekeeper.settings.ledgers import Target, target

Place = tuple[str, int]

_SHARE = 0.5  # of the time that a decision has, for the Sentinels: the master has the rest


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a TLS connection: authorities besides the system's, and our own certificate with its key; empty: none."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


def single(url: str, *, timeout_s: float, tls: Tls | None = None) -> redis.Redis:
    """
    Make a client for the one Redis at *url*, or for the master that Sentinels name; it connects when it is asked something.

    ValueError when *url* is no ledger's.
    """
    where, tls = target(url), tls or Tls()
    if where.service:
        return _watched(where, tls, timeout_s)
    if where.path:
        pool = redis.ConnectionPool(**_usual(where, timeout_s), connection_class=_Socket, path=where.path)
        return redis.Redis(connection_pool=pool)
    return redis.Redis(connection_pool=_pool(where, tls, timeout_s, where.places[0]))


def cluster(
    url: str, *, timeout_s: float, tls: Tls | None = None
) -> tuple[Sequence[Place], Callable[[Place], redis.ConnectionPool]]:
    """Say where the cluster at *url* may be asked for its nodes, and how each of them is reached."""
    where, files = target(url), tls or Tls()
    return where.places, lambda place: _pool(where, files, timeout_s, place)


def _pool(where: Target, tls: Tls, timeout_s: float, place: Place) -> redis.ConnectionPool:
    host, port = place
    return redis.ConnectionPool(**_usual(where, timeout_s), **_tcp(where, tls), host=host, port=port)


def _usual(where: Target, timeout_s: float) -> dict[str, Any]:
    return {
        "db": where.db,
        "username": where.username,
        "password": where.password,
        "protocol": 2,  # the third adds nothing that we use, and another command to allow
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,  # the ledger's verbs have their own, which a busy process does not run out of
        "socket_connect_timeout": timeout_s,
    }


def _tcp(where: Target, tls: Tls) -> dict[str, Any]:
    kind = _Secure if where.tls else _Plain
    return {"connection_class": kind, "socket_keepalive": True, **(_secured(tls) if where.tls else {})}


def _secured(tls: Tls) -> dict[str, Any]:
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": tls.ca or None,
        "ssl_certfile": tls.certificate or None,
        "ssl_keyfile": tls.key or None,
    }


class _Quiet:
    """A connection that does not tell Redis by which library it was made, which would be another command to permit."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.driver_info: Any = None  # one name or the others, by redis-py's version
        self.lib_name: Any = None
        self.lib_version: Any = None


class _Plain(_Quiet, redis.Connection):
    pass


class _Secure(_Quiet, redis.SSLConnection):
    pass


class _Socket(_Quiet, redis.UnixDomainSocketConnection):
    pass


class _Found(_Quiet, SentinelManagedConnection):
    pass


class _FoundSecure(_Quiet, SentinelManagedConnection, redis.SSLConnection):
    pass


def _watched(where: Target, tls: Tls, timeout_s: float) -> redis.Redis:
    """The Redis that Sentinels call the master; each connection asks them anew."""
    usual, secured = _usual(where, timeout_s), _secured(tls) if where.tls else {}
    asking = {
        "username": where.sentinel_username,
        "password": where.sentinel_password,
        "protocol": 2,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        **({"ssl": True, **secured} if where.tls else {}),
    }
    sentinels = _Sentinels(where.places, sentinel_kwargs=asking, limit_s=timeout_s * _SHARE)
    how = {**usual, **secured, "socket_keepalive": True, "connection_class": _FoundSecure if where.tls else _Found}
    found: redis.Redis = sentinels.master_for(
        where.service, redis_class=_Watched, connection_pool_class=SentinelConnectionPool, **how
    )
    return found


class _Watched(redis.Redis):
    """A Redis whose Sentinels are left with it."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001
        await super().aclose(close_connection_pool)
        for sentinel in self.connection_pool.sentinel_manager.sentinels:  # type: ignore[attr-defined]
            await sentinel.aclose()


class _Sentinels(Sentinel):
    """
    Asks all Sentinels at once, and believes most of them.

    One after the other, the first that does not answer would take the time of all; and one that was cut off from the others names a
    master that they have replaced.
    """

    def __init__(self, places: Sequence[Place], *, limit_s: float, sentinel_kwargs: dict[str, Any]) -> None:
        super().__init__(places, sentinel_kwargs=sentinel_kwargs)  # type: ignore[no-untyped-call]
        self._limit_s = limit_s

    async def discover_master(self, service_name: str) -> Place:
        """Say where the master is; MasterNotFoundError when nobody knows."""
        named: Counter[Place] = Counter()
        why = "they know none"
        asked = [asyncio.ensure_future(self._named(one, service_name)) for one in self.sentinels]
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    place = await answer
                except (RedisError, OSError, TimeoutError) as error:
                    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                    continue
                if place is not None:
                    named[place] += 1
                    if named[place] > len(asked) // 2:
                        return place
        finally:
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not named:
            raise MasterNotFoundError(f"none of {len(asked)} Sentinels names a master for {service_name!r}: {why}")
        [(place, _)] = named.most_common(1)
        return place

    async def _named(self, sentinel: redis.Redis, service: str) -> Place | None:
        async with asyncio.timeout(self._limit_s):
            found = await sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)  # type: ignore[no-untyped-call]
        return (found[0].decode(), int(found[1])) if found else None
