"""How to reach the servers: one, or a cluster; the few commands that name many keys at once, for both."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry

CONNECTIONS = 2000  # to one server, of one client: as many as it has requests on their way
TURNS = 32  # questions of an event loop, or to a cluster, on their way at once
FIRST_WAIT, LONGEST_WAIT = 0.02, 0.5  # seconds between two tries; each is drawn from nothing to it, so that not all come at once
GONE = (redis.ConnectionError, redis.TimeoutError)
"""What another try may cure."""
REFUSED = (redis.ResponseError, redis.exceptions.MaxConnectionsError)
"""Failures that say nothing of the server's health."""
FAILURES = (redis.RedisError, RedisClusterException, OSError)
"""All that the servers, or the way to them, may refuse."""


def split_uri(uri: str) -> tuple[str, bool]:
    """The address as the redis package takes it, and whether it is that of a cluster (`?cluster=yes`).

    Raises ValueError when `cluster` is neither yes nor no.
    """
    parts = urlsplit(uri.replace("valkey", "redis", 1) if uri.startswith("valkey") else uri)
    query = dict(parse_qsl(parts.query))
    cluster = query.pop("cluster", "no").lower()
    if cluster not in ("yes", "no", "true", "false"):
        raise ValueError(f"cluster={cluster}: say yes or no")
    clustered = cluster in ("yes", "true")
    path = "" if clustered else parts.path  # a cluster has one database, without a number
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), "")), clustered


def _options(retry: type[Retry] | type[AsyncRetry], *, timeout: float, retries: int) -> dict[str, Any]:
    backoff = ExponentialWithJitterBackoff(base=FIRST_WAIT, cap=LONGEST_WAIT)
    again = retry(backoff, retries, supported_errors=GONE)
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "protocol": 3,
        "retry": again,
        "max_connections": CONNECTIONS,
    }


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(TURNS, "nightfold-cluster")


def _crowded(seconds: float) -> redis.exceptions.MaxConnectionsError:
    """Too many ask here at once: that says nothing of the store."""
    return redis.exceptions.MaxConnectionsError(f"none of {TURNS} connections was free for {seconds:g} s")


class Wire:
    """Connections to the servers behind one address, made when they are needed; may be shared by threads.

    :param uri: redis[s]://[user:password@]host[:port][/db][?cluster=yes&ssl_ca_certs=FILE]
    :param timeout: seconds for one try, to connect and to answer
    :param retries: further tries where the connection was lost or was too slow
    """

    def __init__(self, uri: str, *, timeout: float, retries: int) -> None:
        self._address, self.clustered = split_uri(uri)
        self._options = _options(Retry, timeout=timeout, retries=retries)
        self._client: redis.Redis | RedisCluster | None = (
            None if self.clustered else redis.Redis.from_url(self._address, **self._options)
        )
        self._patience = (retries + 1) * timeout + LONGEST_WAIT
        self._aside, self._of = _threads(), os.getpid()
        """Where a cluster is asked: a node that is there and says nothing holds redis-py for seconds while it looks for the others."""

    @property
    def client(self) -> redis.Redis:
        """For commands that name one key, or keys of one pipeline's control; a cluster is asked for its nodes here, at first."""
        if self._client is None:
            self._client = RedisCluster.from_url(self._address, **self._options)
        return self._client

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """What is under these keys, in their order, None where there is nothing: at one moment, on one server."""
        if not self.clustered:
            return self.client.mget(keys) if len(keys) > 1 else [self.client.get(key) for key in keys]
        if self._of != os.getpid():  # a fork has neither the threads nor their connections
            self._aside, self._client, self._of = _threads(), None, os.getpid()
        found = self._aside.submit(self._each, "GET", [(key,) for key in keys])
        try:
            return found.result(self._patience)
        except FutureTimeout:
            if found.cancel():
                raise _crowded(self._patience) from None
            raise redis.TimeoutError(f"no answer of the cluster in {self._patience:g} s") from None

    def set(self, values: dict[str, bytes]) -> None:
        """Put all of them there, in one round trip to each server."""
        if not self.clustered:
            self.client.mset(values)
        else:
            self._each("SET", values.items())

    def exist(self, keys: Sequence[str]) -> int:
        """How many of these keys have something."""
        if not self.clustered:
            return int(self.client.exists(*keys))
        return sum(self._each("EXISTS", ((key,) for key in keys)))

    def unlink(self, keys: Sequence[str | bytes]) -> int:
        """Delete; returns how many there were."""
        if not self.clustered:
            return int(self.client.unlink(*keys))
        return sum(self._each("UNLINK", ((key,) for key in keys)))

    def _each(self, command: str, of: Iterable[tuple]) -> list[Any]:
        """One command for each key, in one round trip to each server of a cluster."""
        pipe = self.client.pipeline(transaction=False)
        for arguments in of:
            pipe.execute_command(command, *arguments)
        return pipe.execute()

    def servers(self) -> dict[str, dict]:
        """INFO of every server that keeps keys, by its name."""
        if not self.clustered:
            return {"": self.client.info()}
        return self.client.info(target_nodes=RedisCluster.PRIMARIES)

    def close(self) -> None:
        """Give the connections back."""
        self._aside.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()


class AsyncWire:
    """Reading alone, for an event loop; as Wire. A few connections take turns: to open hundreds takes longer than to wait for one."""

    def __init__(self, uri: str, *, timeout: float, retries: int) -> None:
        address, self.clustered = split_uri(uri)
        options = _options(AsyncRetry, timeout=timeout, retries=retries)
        self._again, self._timeout, self._patience = options["retry"], timeout, (retries + 1) * timeout
        self._turns = asyncio.Semaphore(TURNS)
        self._idle: list[Connection] = []
        """Of one server, open or not, by ourselves: a pool and its client take twice the time of the command itself."""
        if self.clustered:
            self._cluster = AsyncRedisCluster.from_url(address, **options)
        else:
            own = {"protocol": options["protocol"], "socket_timeout": None, "socket_connect_timeout": None}  # one for all of a try
            self._pool = ConnectionPool.from_url(address, **own)

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """As Wire.get."""
        if self._turns.locked():
            try:
                await asyncio.wait_for(self._turns.acquire(), self._patience)
            except TimeoutError:
                raise _crowded(self._patience) from None
        else:
            await self._turns.acquire()
        try:
            if self.clustered:
                return await self._of_cluster(keys)
            return await self._again.call_with_retry(lambda: self._try(keys), _nothing)
        finally:
            self._turns.release()

    async def _try(self, keys: Sequence[str]) -> list[bytes | None]:
        """Once; a connection that is not open, or no longer, opens itself, and one that did not get its answer closes itself."""
        connection = self._idle.pop() if self._idle else self._pool.make_connection()
        try:
            async with asyncio.timeout(self._timeout):
                await connection.send_command("MGET", *keys, check_health=False)
                return await connection.read_response()
        except TimeoutError:
            raise redis.TimeoutError(f"no answer in {self._timeout:g} s") from None
        finally:
            self._idle.append(connection)

    async def _of_cluster(self, keys: Sequence[str]) -> list[bytes | None]:
        pipe = self._cluster.pipeline(transaction=False)
        for key in keys:
            pipe.get(key)
        return await pipe.execute()

    async def close(self) -> None:
        """Give the connections back."""
        if self.clustered:
            await self._cluster.aclose()
        for connection in self._idle:
            await connection.disconnect()


async def _nothing(error: Exception) -> None:
    """Another try needs nothing done before it."""
