"""The contract runs against every backend. A new one is one more name in BACKENDS."""

from collections.abc import Callable

from nightfold.store import Store, store_at

import pytest
import redis

BACKENDS = ("valkey",)


@pytest.fixture(params=BACKENDS)
def uri(request, valkey_uri) -> str:
    """The backend's address, with nothing in it."""
    address = valkey_uri.removesuffix("/0") + "/9"
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    return address


@pytest.fixture
def store(uri) -> Store:
    return store_at(uri)


@pytest.fixture
def names(uri) -> Callable[[], list[str]]:
    """Every name that the backend holds, whoever put it there."""

    def scan() -> list[str]:
        with redis.Redis.from_url(uri) as client:
            return sorted(key.decode() for key in client.scan_iter(count=1000))

    return scan
