"""Read the published lists from an application: in one round trip, from one version, with a fallback for everybody.

    from nightfold.client import Client
    client = Client("redis://reader:PASSWORD@HOST:6379/0")       # once per process; threads may share it
    answer = client.lookup("grocery", "1228")
    [item.id for item in answer.items], answer.source, answer.age_seconds

`AsyncClient` is the same for an event loop. When the store cannot be reached, everybody gets the fallback of the version that was
read last, and the answer says so (`degraded`); a client that has read nothing by then raises StoreError. docs/serving.md says more.
"""

import time
from collections.abc import Sequence
from typing import TypeVar

from nightfold import settings
from nightfold.client.answers import Answer, Item
from nightfold.client.reading import Reading, Steps
from nightfold.errors import StoreError
from nightfold.settings import without_password
from nightfold.store import VersionManifest, check
from nightfold.store.valkey.server import unreachable
from nightfold.store.valkey.wire import FAILURES, REFUSED, AsyncWire, Wire

import redis

T = TypeVar("T")

__all__ = ["Answer", "AsyncClient", "Client", "Item"]

TIMEOUT = 0.25  # seconds for one try
RETRIES = 2
POINTER = 1.0  # seconds that a pointer is believed
LARGE = 100  # keys: that more of them took too long says nothing of the store
AGAIN = 1.0  # seconds after a failure in which the store is not asked: a request must not wait for what is known to be gone


class _Memory:
    """What both clients do about a store that is gone."""

    def __init__(self, uri: str, *, pointer_seconds: float, atomic: bool) -> None:
        self.address = without_password(uri)
        self.reading = Reading(pointer_seconds=pointer_seconds, atomic=atomic)
        self.gone_until = 0.0

    def without_store(self, pipeline: str, keys: Sequence[str], *, n: int | None) -> list[Answer] | None:
        """The answers while the store is known to be gone; None when it is to be asked."""
        return self.reading.remembered(pipeline, keys, n=n) if time.monotonic() < self.gone_until else None

    def failed(self, error: Exception, pipeline: str, keys: Sequence[str], *, n: int | None) -> list[Answer]:
        """The answers after a failure; raises StoreError when there is nothing to remember."""
        slow = isinstance(error, redis.TimeoutError) and len(keys) > LARGE
        if isinstance(error, FAILURES) and not isinstance(error, REFUSED) and not slow:
            self.gone_until = time.monotonic() + AGAIN
        remembered = self.reading.remembered(pipeline, keys, n=n)
        if remembered is None:
            raise error if isinstance(error, StoreError) else unreachable(self.address, error) from error
        return remembered


class Client:
    """Reads lists; connects when first asked.

    :param uri: as of the Airflow Connection `kv_default`, which is taken when it is absent (AIRFLOW_CONN_KV_DEFAULT)
    :param timeout: seconds for one try; the longest wait is about (retries + 1) of them
    :param pointer_seconds: how late a promotion or a rollback may be seen

    Raises BadPipeline when the address is none of a store.
    """

    def __init__(
        self, uri: str | None = None, *, timeout: float = TIMEOUT, retries: int = RETRIES, pointer_seconds: float = POINTER
    ) -> None:
        address = check(uri or settings.connection_uri("kv_default"))
        self._wire = Wire(address, timeout=timeout, retries=retries)
        self._memory = _Memory(address, pointer_seconds=pointer_seconds, atomic=not self._wire.clustered)

    def lookup(self, pipeline: str, key: str, *, n: int | None = None) -> Answer:
        """One key's list, or its first n items; an unknown key gets the fallback, marked so.

        Raises UnknownVersion when nothing is published, StoreError when the store has not been reached yet.
        """
        return self.lookup_many(pipeline, [key], n=n)[0]

    def lookup_many(self, pipeline: str, keys: Sequence[str], *, n: int | None = None) -> list[Answer]:
        """The same for many keys in one round trip, in their order, all of one version (of two, while there are two)."""
        if not keys:
            return []
        known = self._memory.without_store(pipeline, keys, n=n)
        if known is not None:
            return known
        try:
            return self._take(self._memory.reading.lists(pipeline, keys, n=n))
        except (*FAILURES, StoreError) as error:
            return self._memory.failed(error, pipeline, keys, n=n)

    def live(self, pipeline: str) -> VersionManifest:
        """What is served now: version, night, when it was published, how many lists.

        Raises UnknownVersion when nothing is published, StoreError when the store cannot be reached.
        """
        try:
            return self._take(self._memory.reading.live(pipeline))
        except FAILURES as error:
            raise unreachable(self._memory.address, error) from error

    def _take(self, steps: Steps[T]) -> T:
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(self._wire.get(wanted))
        except StopIteration as end:
            return end.value

    def close(self) -> None:
        """Give the connections back."""
        self._wire.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """As Client, for an event loop."""

    def __init__(
        self, uri: str | None = None, *, timeout: float = TIMEOUT, retries: int = RETRIES, pointer_seconds: float = POINTER
    ) -> None:
        address = check(uri or settings.connection_uri("kv_default"))
        self._wire = AsyncWire(address, timeout=timeout, retries=retries)
        self._memory = _Memory(address, pointer_seconds=pointer_seconds, atomic=not self._wire.clustered)

    async def lookup(self, pipeline: str, key: str, *, n: int | None = None) -> Answer:
        """As Client.lookup."""
        return (await self.lookup_many(pipeline, [key], n=n))[0]

    async def lookup_many(self, pipeline: str, keys: Sequence[str], *, n: int | None = None) -> list[Answer]:
        """As Client.lookup_many."""
        if not keys:
            return []
        known = self._memory.without_store(pipeline, keys, n=n)
        if known is not None:
            return known
        try:
            return await self._take(self._memory.reading.lists(pipeline, keys, n=n))
        except (*FAILURES, StoreError) as error:
            return self._memory.failed(error, pipeline, keys, n=n)

    async def live(self, pipeline: str) -> VersionManifest:
        """As Client.live."""
        try:
            return await self._take(self._memory.reading.live(pipeline))
        except FAILURES as error:
            raise unreachable(self._memory.address, error) from error

    async def _take(self, steps: Steps[T]) -> T:
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(await self._wire.get(wanted))
        except StopIteration as end:
            return end.value

    async def close(self) -> None:
        """Give the connections back."""
        await self._wire.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
