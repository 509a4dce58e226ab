"""The contract runs against every backend. A new one is one more name in BACKENDS."""

from collections.abc import Callable

from nightfold.store import Store, store_at

import pytest
from servers import Admin, Cluster, TlsRedis

BACKENDS = ("valkey", "redis over TLS, as a user with few rights", "a cluster of three")


@pytest.fixture(scope="session")
def tls_redis(tmp_path_factory: pytest.TempPathFactory):
    with TlsRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(params=BACKENDS)
def backend(request) -> Admin:
    """A backend with nothing in it, as its owner sees it."""
    kind = {"valkey": "valkey_server", BACKENDS[1]: "tls_redis", BACKENDS[2]: "cluster"}[request.param]
    admin = Admin(request.getfixturevalue(kind))
    admin.flush()
    return admin


@pytest.fixture
def uri(backend) -> str:
    """Its address."""
    return backend.uri


@pytest.fixture
def store(uri) -> Store:
    return store_at(uri)


@pytest.fixture
def names(backend) -> Callable[[], list[str]]:
    """Every name that the backend holds, whoever put it there."""
    return backend.names
